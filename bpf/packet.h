/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * packet.h - one pass over the headers.
 *
 * The result points into the packet: it is valid until a helper that may move the packet has been
 * called. Lengths inside the headers are checked against the packet here, once; what cannot be
 * judged is PACKET_MALFORMED. Nothing here needs a helper.
 */
#ifndef NSROUTE_BPF_PACKET_H
#define NSROUTE_BPF_PACKET_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "common.h"

/* Linear bytes that cover every header looked at: Ethernet, IPv4 with options, TCP without. */
#define PACKET_HEADERS (14 + 60 + 20)

#define PACKET_LENGTH_MAX 0xffff /* of what the length field of an IP header can tell */

enum packet_kind { PACKET_MALFORMED, PACKET_IPV4, PACKET_IPV6, PACKET_ARP, PACKET_OTHER };

#define ARP_HARDWARE_ETHERNET 1 /* ARPHRD_ETHER; linux/if_arp.h drags in libc */

/* RFC 826 over Ethernet and IPv4; the kernel's struct arphdr ends before the addresses. */
struct arp_ipv4 {
	__be16 hardware, protocol;
	u8 hardware_len, protocol_len;
	__be16 operation;
	u8 sender_mac[6];
	u8 sender[4];
	u8 target_mac[6];
	u8 target[4];
} __attribute__((packed));

/* RFC 792; linux/icmp.h drags in libc as well. */
struct icmp_header {
	u8 type, code;
	__be16 checksum;
	__be16 identifier, sequence; /* of an echo */
};

#define ICMP_ECHO_REPLY        0
#define ICMP_UNREACHABLE       3
#define ICMP_NO_PROTOCOL       2 /* codes of it */
#define ICMP_NO_PORT           3
#define ICMP_SOURCE_QUENCH     4
#define ICMP_REDIRECT          5
#define ICMP_ECHO_REQUEST      8
#define ICMP_TIME_EXCEEDED     11
#define ICMP_PARAMETER_PROBLEM 12

/* Whether it quotes a packet. */
static __always_inline bool icmp_is_error(u8 type)
{
	return type == ICMP_UNREACHABLE || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT ||
	       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM;
}

struct packet {
	struct ethhdr *eth;
	union {
		struct iphdr *ip4;
		struct ipv6hdr *ip6;
		struct arp_ipv4 *arp;
	};
	void *end;
	u32 length; /* of the whole packet, paged data and Ethernet header included */
	/* It begins with its network header: of a layer-3 device (tun, WireGuard, ipip). A constant
	 * wherever it is used, because each hook is compiled for its kind. */
	bool bare;
};

/* Bytes before the network header. */
static __always_inline u32 link_bytes(bool bare)
{
	return bare ? 0 : (u32)sizeof(struct ethhdr);
}

static __always_inline u32 packet_link(const struct packet *p)
{
	return link_bytes(p->bare);
}

/* struct ethhdr is packed, so compilers read its protocol byte by byte. */
static __always_inline __be16 frame_protocol(const struct ethhdr *eth)
{
	const u8 *bytes = (const u8 *)eth;

	return *(const __be16 *)(bytes + offsetof(struct ethhdr, h_proto));
}

/* Version 4, and at least five words of header: one byte from 0x45 to 0x4f. */
static __always_inline bool ip4_has_header(const struct iphdr *ip)
{
	u32 first = *(const u8 *)ip;

	return first - 0x45 <= 0x4f - 0x45;
}

/* All but the network header is known. */
static __always_inline enum packet_kind packet_parse_network(struct packet *p, void *network,
							     __be16 protocol)
{
	u32 link = packet_link(p), length = p->length;
	void *end = p->end;

	if (protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = network;
		u32 total;

		p->ip4 = ip;
		if ((void *)(ip + 1) > end || !ip4_has_header(ip))
			return PACKET_MALFORMED;
		total = bpf_ntohs(ip->tot_len);
		/* 0: longer than the field can tell (BIG TCP). */
		if (total ? total < ip->ihl * 4u || total + link > length
			  : length <= PACKET_LENGTH_MAX + link)
			return PACKET_MALFORMED;
		return PACKET_IPV4;
	}
	if (protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = network;

		p->ip6 = ip;
		if ((void *)(ip + 1) > end || ip->version != 6)
			return PACKET_MALFORMED;
		if (bpf_ntohs(ip->payload_len) + sizeof(*ip) + link > length)
			return PACKET_MALFORMED;
		return PACKET_IPV6;
	}
	if (!p->bare && protocol == bpf_htons(ETH_P_ARP)) {
		struct arp_ipv4 *arp = network;

		p->arp = arp;
		if ((void *)(arp + 1) > end || arp->hardware != bpf_htons(ARP_HARDWARE_ETHERNET) ||
		    arp->protocol != bpf_htons(ETH_P_IP) || arp->hardware_len != 6 ||
		    arp->protocol_len != 4)
			return PACKET_MALFORMED;
		return PACKET_ARP;
	}
	return PACKET_OTHER;
}

static __always_inline enum packet_kind packet_parse(struct packet *p, void *data, void *end,
						     u32 length)
{
	struct ethhdr *eth = data;

	p->bare = false;
	p->eth = eth;
	p->end = end;
	p->length = length;
	if ((void *)(eth + 1) > end)
		return PACKET_MALFORMED;
	return packet_parse_network(p, eth + 1, frame_protocol(eth));
}

/* Of a packet without an Ethernet header. */
static __always_inline enum packet_kind packet_parse_bare(struct packet *p, void *data, void *end,
							  u32 length, __be16 protocol)
{
	p->bare = true;
	p->eth = data;
	p->end = end;
	p->length = length;
	return packet_parse_network(p, data, protocol);
}

/* No options, and no longer than the packet is; length without the Ethernet header. */
static __always_inline bool ip4_is_plain(const struct iphdr *ip, u32 length)
{
	u32 total = bpf_ntohs(ip->tot_len);

	return *(const u8 *)ip == 0x45 && total >= sizeof(*ip) && total <= length;
}

/* The same, with TCP or UDP right behind the header. */
static __always_inline bool ip6_is_plain(const struct ipv6hdr *ip, u32 length)
{
	return *(const u8 *)ip >> 4 == 6 && bpf_ntohs(ip->payload_len) + sizeof(*ip) <= length &&
	       (ip->nexthdr == IPPROTO_TCP || ip->nexthdr == IPPROTO_UDP);
}

static __always_inline bool mac_equal(const u8 *a, const u8 *b)
{
	const u16 *x = (const u16 *)a, *y = (const u16 *)b; /* 2-aligned in frames and in maps */

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]));
}

static __always_inline void mac_copy(u8 *to, const u8 *from)
{
	u16 *x = (u16 *)to;
	const u16 *y = (const u16 *)from;

	x[0] = y[0];
	x[1] = y[1];
	x[2] = y[2];
}

static __always_inline bool mac_is_multicast(const u8 *mac)
{
	return mac[0] & 1;
}

/*
 * The MACs of a frame by words. Its IP header is aligned, so the destination begins two bytes
 * before a word, and the source at one; MACs that they are compared with or written from lie alike.
 */
static __always_inline bool dest_is(const struct ethhdr *eth, const u8 *mac)
{
	const u8 *dest = eth->h_dest;

	return *(const u32 *)(dest + 2) == *(const u32 *)(mac + 2) &&
	       *(const u16 *)dest == *(const u16 *)mac;
}

static __always_inline void dest_copy(u8 *to, const u8 *from)
{
	*(u16 *)to = *(const u16 *)from;
	*(u32 *)(to + 2) = *(const u32 *)(from + 2);
}

static __always_inline void source_copy(u8 *to, const u8 *from)
{
	*(u32 *)to = *(const u32 *)from;
	*(u16 *)(to + 4) = *(const u16 *)(from + 4);
}

/* The source and the protocol behind it are eight bytes, aligned as well. What of them differs from
 * a MAC that has two zeros behind it: the protocol alone, if the frame is from there. */
static __always_inline u64 frame_differs(const struct ethhdr *eth, const u8 *mac)
{
	const u8 *source = eth->h_source;

	return *(const u64 *)source ^ *(const u64 *)mac;
}

#define FRAME_IPV4 bpf_cpu_to_be64(ETH_P_IP)
#define FRAME_IPV6 bpf_cpu_to_be64(ETH_P_IPV6)

/* Addresses of a packet and those in maps are aligned to eight bytes. */
static __always_inline bool ip6_equal(const void *a, const void *b)
{
	const u64 *x = a, *y = b;

	return x[0] == y[0] && x[1] == y[1];
}

#define IP_OFFSET         0x1fff /* RFC 791 3.1 */
#define IP_DONT_FRAGMENT  0x4000
#define IP_MORE_FRAGMENTS 0x2000

static __always_inline bool ip4_is_fragment(const struct iphdr *ip)
{
	return ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_OFFSET);
}

/* Among these are all that no router forwards from or to: 0/8, 127/8, 224/4 and 240/4 with the
 * broadcast (RFC 1122 3.2.1.3). */
static __always_inline bool ip4_is_special(__be32 address)
{
	u8 first = *(const u8 *)&address;

	return first == 0 || first == 127 || first >= 224;
}

/* fe80::/10, RFC 4291 2.5.6 */
static __always_inline bool ip6_is_link_local(const void *address)
{
	const u8 *bytes = address;

	return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

/* ::, ::1, link-local and multicast: of no concern to a router. */
static __always_inline bool ip6_is_special(const void *address)
{
	const u32 *words = address;

	return *(const u8 *)address == 0xff || ip6_is_link_local(address) ||
	       !(words[0] | words[1] | words[2] | (words[3] & ~bpf_htonl(1)));
}

static __always_inline bool ip6_is_unspecified(const void *address)
{
	const u32 *words = address;

	return !(words[0] | words[1] | words[2] | words[3]);
}

/* Ports, or ICMP's identifiers, by which sessions can be told apart. */
static __always_inline bool protocol_has_ports(u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_ICMP;
}

/* What a translation needs to know of TCP, UDP and ICMP over IPv4. */
struct transport {
	u32 offset;          /* of the header, from the start of the packet */
	u32 check_offset;    /* of its checksum, likewise */
	__be16 source, dest; /* ports; ICMP: both the identifier */
	u8 protocol;         /* enum nsr_nat_protocol */
	u8 tcp_flags;
	u8 icmp_type;
};

#define TCP_CHECK_OFFSET  16
#define UDP_CHECK_OFFSET  6
#define ICMP_CHECK_OFFSET 2
#define ICMP_ID_OFFSET    4

#define TCP_FLAG_BYTE 13 /* offset of the flags in the TCP header, RFC 9293 3.1 */
#define TCP_FIN       0x01
#define TCP_SYN       0x02
#define TCP_RST       0x04
#define TCP_ACK       0x10

/* Whether a packet can be the first of its flow: of TCP a SYN alone. */
static __always_inline bool transport_may_begin(bool tcp, u8 tcp_flags)
{
	return !tcp || (tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

/* 0, or the reason why this packet cannot be translated. A first fragment is read like any packet.
 */
static __always_inline int transport_parse(const struct packet *p, struct transport *t)
{
	u32 header = p->ip4->ihl * 4u;
	u8 *l4 = (u8 *)p->ip4 + header;

	if (p->ip4->frag_off & bpf_htons(IP_OFFSET))
		return DROP(NAT_FRAGMENT);
	t->offset = packet_link(p) + header;
	switch (p->ip4->protocol) {
	case IPPROTO_TCP:
		if ((void *)(l4 + sizeof(struct tcphdr)) > p->end)
			return DROP(MALFORMED);
		t->protocol = NSR_NAT_TCP;
		t->check_offset = t->offset + TCP_CHECK_OFFSET;
		t->tcp_flags = l4[TCP_FLAG_BYTE];
		break;
	case IPPROTO_UDP:
		if ((void *)(l4 + sizeof(struct udphdr)) > p->end)
			return DROP(MALFORMED);
		t->protocol = NSR_NAT_UDP;
		t->check_offset = t->offset + UDP_CHECK_OFFSET;
		break;
	case IPPROTO_ICMP:
		if ((void *)(l4 + sizeof(struct icmp_header)) > p->end)
			return DROP(MALFORMED);
		t->protocol = NSR_NAT_ICMP;
		t->check_offset = t->offset + ICMP_CHECK_OFFSET;
		t->icmp_type = l4[0];
		t->source = *(__be16 *)(l4 + 4);
		t->dest = t->source;
		return 0;
	default:
		return DROP(NAT_PROTOCOL);
	}
	t->source = *(__be16 *)l4;
	t->dest = *(__be16 *)(l4 + 2);
	return 0;
}

/* RFC 2675 2: all that a hop-by-hop header of 8 bytes has room for. */
struct ip6_jumbo {
	u8 next, length;
	u8 option, option_length;
	__be32 payload;
};

#define IP6_OPTION_JUMBO 0xc2
#define IP6_FLOWINFO     0x0fffffff /* traffic class and flow label, of the first word */

/*
 * Whether the hop-by-hop header is there only to tell the length of a BIG TCP packet: the kernel
 * puts it in front of TCP when it makes one, and takes it out when it cuts it up. Later kernels
 * than 6.18 may leave it out; then the payload's length is 0, and TCP is the next header.
 */
static __always_inline bool ip6_is_big_tcp(const struct packet *p, u32 length)
{
	const struct ip6_jumbo *jumbo = (void *)(p->ip6 + 1);

	return length > PACKET_LENGTH_MAX && p->ip6->nexthdr == IPPROTO_HOPOPTS &&
	       (void *)(jumbo + 1) <= p->end && jumbo->next == IPPROTO_TCP && !jumbo->length &&
	       jumbo->option == IP6_OPTION_JUMBO && jumbo->option_length == 4 &&
	       !p->ip6->payload_len &&
	       bpf_ntohl(jumbo->payload) == length - packet_link(p) - sizeof(*p->ip6);
}

/*
 * Bytes from the IP header on of the largest packet that a GSO packet of TCP is cut into; segment
 * is its GSO size. 0: it is not plain TCP, or its header was not found. Then each segment may have
 * more headers than can be seen, those of a tunnel, and only the kernel can add them up.
 */
static __always_inline u32 packet_segment(const struct packet *p, bool ipv6, u32 length,
					  u32 segment)
{
	u32 network = ipv6 ? sizeof(struct ipv6hdr) : p->ip4->ihl * 4u;
	u8 protocol = ipv6 ? p->ip6->nexthdr : p->ip4->protocol;
	u8 *l4 = (u8 *)p->ip4 + network;

	if (ipv6 && ip6_is_big_tcp(p, length)) {
		protocol = IPPROTO_TCP;
		l4 += sizeof(struct ip6_jumbo);
	}
	if (protocol != IPPROTO_TCP || (void *)(l4 + sizeof(struct tcphdr)) > p->end)
		return 0;
	return segment + network + (l4[12] >> 4) * 4u; /* data offset, RFC 9293 3.1 */
}

#endif
