/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * frame - builds packets and judges them.
 *
 * Checksums are computed here the plain way, by adding all words up (RFC 1071), and share no code
 * with the programs under test, which adjust them.
 */
#ifndef TESTS_BPF_FRAME_H
#define TESTS_BPF_FRAME_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX 3328 /* PROG_RUN takes a page, minus what the kernel puts around a packet */

#define FRAME_FIN 0x01
#define FRAME_SYN 0x02
#define FRAME_RST 0x04
#define FRAME_ACK 0x10

/* RFC 792 and RFC 4443; linux/icmp.h clashes with net/if.h. */
#define FRAME_ECHO_REPLY    0
#define FRAME_UNREACHABLE   3
#define FRAME_ECHO_REQUEST  8
#define FRAME_TIME_EXCEEDED 11
#define FRAME_PARAMETER     12
#define FRAME_ICMPV6        58

/* RFC 4443 */
#define FRAME6_UNREACHABLE   1
#define FRAME6_TOO_BIG       2
#define FRAME6_TIME_EXCEEDED 3
#define FRAME6_PARAMETER     4
#define FRAME6_ECHO_REQUEST  128
#define FRAME6_ECHO_REPLY    129

#define FRAME_HALF      800 /* bytes of a datagram in its first fragment */
#define FRAME_EXTENSION 8   /* bytes of an extension header of IPv6 */

struct frame {
	uint32_t length;
	uint32_t extended; /* by frame_spec.extension */
	uint16_t gso_size;
	uint8_t bytes[FRAME_MAX];
};
_Static_assert((offsetof(struct frame, bytes) + ETH_HLEN) % 4 == 0, "alignment");

struct frame_spec {
	const uint8_t *to, *from;  /* MAC addresses */
	const char *source, *dest; /* IPv4, or IPv6 */
	uint8_t protocol;          /* 0: UDP */
	uint16_t sport, dport;     /* ICMP: sport is the identifier */
	uint8_t ttl;               /* 0: 64 */
	uint8_t tcp_flags;
	uint8_t icmp_type;
	uint8_t ip_options;         /* bytes, a multiple of 4 */
	uint16_t fragment;          /* IPv4 flags and offset, host byte order */
	uint16_t payload;           /* bytes behind the transport header */
	bool no_checksum;           /* UDP over IPv4 only */
	const struct frame *quoted; /* its IP header and 8 bytes more are the payload ... */
	uint16_t quoted_beyond;     /* ... or so many, but no more than it has */
	uint8_t icmp_code;
	uint16_t icmp_mtu; /* of "fragmentation needed"; RFC 1191 */
	uint16_t id;       /* of IPv4; 0: some */
	/* IPv6: a header of FRAME_EXTENSION bytes in front of the transport header, and what is in
	 * it behind its length: options, or segments left, or offset and identification. */
	bool extended;
	uint8_t extension; /* its number */
	uint8_t extension_data[FRAME_EXTENSION - 2];
};

void frame_build(struct frame *frame, const struct frame_spec *spec);
#define FRAME(frame, ...) frame_build(frame, &(struct frame_spec){__VA_ARGS__})

/* An ARP request. */
void frame_arp(struct frame *frame, const uint8_t *to, const uint8_t *from,
	       const uint8_t *sender_mac, const char *sender, const char *target);
/* Takes it to pieces, in two fragments with this identification. */
void frame_halve(const struct frame *whole, uint16_t id, struct frame ret[2]);
/* Puts the checksums right after the frame was changed by hand. */
void frame_seal(struct frame *frame);
/* What is wrong with its checksums; NULL: nothing. */
const char *frame_fault(struct frame *frame);

__be32 address4(const char *text);

static inline struct ethhdr *frame_eth(struct frame *frame)
{
	return (void *)frame->bytes;
}

/* PACKET_HOST and so on, at an interface with this MAC. */
uint32_t frame_packet_type(struct frame *frame, const uint8_t mac[6]);

static inline struct iphdr *frame_ip4(struct frame *frame)
{
	return (void *)(frame->bytes + ETH_HLEN);
}

static inline struct ipv6hdr *frame_ip6(struct frame *frame)
{
	return (void *)(frame->bytes + ETH_HLEN);
}

/* The transport header; its first two words are the ports of TCP and UDP. */
void *frame_transport(struct frame *frame);
uint8_t frame_protocol_of(struct frame *frame);
/* In host byte order; ICMP: the identifier. */
uint16_t frame_sport(struct frame *frame);
uint16_t frame_dport(struct frame *frame);

#endif
