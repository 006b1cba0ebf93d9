/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ip - addresses of either family with a prefix length, and MAC addresses, as text and bytes.
 */
#ifndef NSROUTE_IP_H
#define NSROUTE_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IP_TEXT_MAX  64 /* longest address with prefix, terminated */
#define MAC_TEXT_MAX 18

struct ip_address {
	uint8_t family;     /* AF_INET or AF_INET6; 0: none */
	uint8_t prefix_len; /* 32 or 128 when none was written */
	uint8_t bytes[16];  /* network byte order; the first 4 for IPv4, the rest zero */
};

/* Parses "ADDRESS" or "ADDRESS/LEN". *ret_has_prefix (may be NULL) tells which. False: not one. */
bool ip_parse(const char *text, struct ip_address *ret, bool *ret_has_prefix);
/* "192.0.2.1" / "192.0.2.1/24"; returns buffer. */
char *ip_format(const struct ip_address *ip, char buffer[IP_TEXT_MAX]);
char *ip_format_prefix(const struct ip_address *ip, char buffer[IP_TEXT_MAX]);
unsigned int ip_bits(const struct ip_address *ip);                     /* 32 or 128 */
bool ip_equal(const struct ip_address *a, const struct ip_address *b); /* address, not prefix */
/* Whether the first net->prefix_len bits are the same; false between families. */
bool ip_within(const struct ip_address *ip, const struct ip_address *net);
bool ip_overlap(const struct ip_address *a, const struct ip_address *b);
struct ip_address ip_network(const struct ip_address *ip); /* host bits cleared */
/* Whether routers forward from and to it: not fe80::/10, loopback, multicast, 0/8 or 240/4. */
bool ip_is_forwarded(const struct ip_address *ip);
bool ip_is_link_local(const struct ip_address *ip); /* fe80::/10, 169.254.0.0/16 */

bool mac_parse(const char *text, uint8_t ret[6]);
char *mac_format(const uint8_t mac[6], char buffer[MAC_TEXT_MAX]);
/* A locally administered unicast MAC that is always the same for the same words. All of them begin
 * with 6e:73 ("ns"), by which udev's rules know our links from the first (tools/system/). */
#define MAC_DERIVED_0 0x6e
#define MAC_DERIVED_1 0x73
void mac_derive(uint8_t ret[6], const char *fabric, const char *owner, const char *interface);
/* FNV-1a over several strings, each with its terminator; the list ends with NULL. */
uint64_t hash_strings(const char *first, ...) __attribute__((sentinel));

#endif
