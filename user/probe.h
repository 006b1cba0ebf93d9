/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * probe - builds the packet that "nsroute trace" asks about: Ethernet, IPv4 or IPv6, and TCP, UDP
 * or an ICMP echo with zeros in it, all checksums right.
 */
#ifndef NSROUTE_PROBE_H
#define NSROUTE_PROBE_H

#include <stdbool.h>
#include <stdint.h>

#include "ip.h"

struct probe {
	uint8_t source_mac[6], destination_mac[6];
	struct ip_address source, destination; /* of one family */
	uint8_t protocol;                      /* IPPROTO_TCP, _UDP, _ICMP or _ICMPV6 */
	uint16_t source_port;                  /* ICMP: the identifier */
	uint16_t destination_port;
	bool answer; /* as what answers would be: an echo reply, an ACK; else a request, a SYN */
	uint8_t ttl;
	uint32_t size; /* from the IP header on, at least probe_smallest() */
};

/* Of its headers. */
uint32_t probe_smallest(const struct probe *probe);
/* Writes ETH_HLEN + probe->size bytes. An IPv4 packet says that it is not to be fragmented, as what
 * Linux sends does. */
void probe_build(const struct probe *probe, uint8_t *bytes);

/* Of a packet that was built so. The router's work: one hop less. */
void probe_hop(uint8_t *bytes);
uint8_t probe_ttl(const uint8_t *bytes);

#endif
