/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * neighbour.h - neighbour discovery (RFC 4861) of a namespace: it may speak for its own addresses
 * and its own MAC, and is no router. Part of the spoof check.
 *
 * Router advertisements and redirects are dropped. Of solicitations and advertisements the source
 * or target has to be the port's, and every link-layer address in their options its MAC. They are
 * looked for behind extension headers, the way that a receiver would (RFC 7113), up to a bound;
 * in fragments they are not allowed (RFC 6980), and a first fragment whose headers go on in the
 * next is dropped (RFC 7112): without it no later one is of use to anybody.
 *
 * The packet is read by bpf_skb_load_bytes(), because headers may be anywhere, and only for what is
 * ICMPv6 or has extension headers.
 */
#ifndef NSROUTE_BPF_NEIGHBOUR_H
#define NSROUTE_BPF_NEIGHBOUR_H

#include "packet.h"
#include "sources.h"

#define NEIGHBOUR_HEADERS_MAX \
	8 /* extension headers, and options of a message, that are looked at */
#define NEIGHBOUR_OPTIONS_MAX 8

/* Next headers: RFC 8200 4, IANA "IPv6 Extension Header Types". */
#define IP6_HOP_BY_HOP     0
#define IP6_ROUTING        43
#define IP6_FRAGMENT       44
#define IP6_AUTHENTICATION 51
#define IP6_ICMP           58
#define IP6_DESTINATION    60
#define IP6_MOBILITY       135
#define IP6_HIP            139
#define IP6_SHIM6          140
#define IP6_EXPERIMENT1    253
#define IP6_EXPERIMENT2    254

#define ICMP6_MLD_QUERY      130
#define ICMP6_MLD_REPORT     131
#define ICMP6_MLD_DONE       132
#define ICMP6_ROUTER_SOLICIT 133
#define ICMP6_ROUTER_ADVERT  134
#define ICMP6_SOLICIT        135
#define ICMP6_ADVERT         136
#define ICMP6_ND_REDIRECT    137
#define ICMP6_MLD2_REPORT    143

#define ND_OPTION_SOURCE_LINK 1
#define ND_OPTION_TARGET_LINK 2

/* The headers of one packet: where the last one is, and what. */
struct ip6_chain {
	u32 offset;
	u8 next;
	bool fragment; /* the first of several */
	bool later;    /* another than the first: no more can be seen */
};

struct nd_message {
	u8 type, code;
	__be16 checksum;
	__be32 flags;
	u8 target[16]; /* not of a router solicitation */
} __attribute__((aligned(8)));

struct nd_option {
	u8 type, length; /* in units of 8 bytes */
	u8 mac[6];
};

static __always_inline bool ip6_is_extension(u8 next)
{
	switch (next) {
	case IP6_HOP_BY_HOP:
	case IP6_ROUTING:
	case IP6_FRAGMENT:
	case IP6_AUTHENTICATION:
	case IP6_DESTINATION:
	case IP6_MOBILITY:
	case IP6_HIP:
	case IP6_SHIM6:
	case IP6_EXPERIMENT1:
	case IP6_EXPERIMENT2:
		return true;
	default:
		return false;
	}
}

/* Those that any packet may have on its way, and behind which a transport header may be. */
static __always_inline bool is_walked6(u8 next)
{
	return next == IP6_HOP_BY_HOP || next == IP6_ROUTING || next == IP6_FRAGMENT ||
	       next == IP6_DESTINATION;
}

/* By the next header of the IPv6 header alone. */
static __always_inline bool neighbour_may_be(u8 next)
{
	return next == IP6_ICMP || ip6_is_extension(next);
}

/* 0, or the reason to drop. */
static __always_inline int chain_walk(struct __sk_buff *skb, struct ip6_chain *chain)
{
	u8 header[8];
	int i;

#pragma unroll
	for (i = 0; i < NEIGHBOUR_HEADERS_MAX; i++) {
		if (!ip6_is_extension(chain->next))
			return 0;
		if (bpf_skb_load_bytes(skb, chain->offset, header, sizeof(header)))
			return DROP(MALFORMED);
		if (chain->next == IP6_FRAGMENT) {
			chain->later = header[2] || header[3] & 0xf8;
			chain->fragment |= header[3] & 1;
			chain->offset += 8;
		} else if (chain->next == IP6_AUTHENTICATION) {
			chain->offset += (header[1] + 2) * 4;
		} else {
			chain->offset += (header[1] + 1) * 8;
		}
		chain->next = header[0];
		if (chain->later)
			return 0;
	}
	return ip6_is_extension(chain->next) ? DROP(MALFORMED) : 0;
}

/* Each link-layer address in the options has to be the port's. One of length 0 has no end, and the
 * receiver refuses the message too. */
static __always_inline int nd_options(struct __sk_buff *skb, const struct nsr_port *port,
				      u32 offset)
{
	struct nd_option option;
	int i;

#pragma unroll
	for (i = 0; i < NEIGHBOUR_OPTIONS_MAX; i++) {
		if (offset >= skb->len)
			return 0;
		if (bpf_skb_load_bytes(skb, offset, &option, sizeof(option)) || !option.length)
			return DROP(MALFORMED);
		if ((option.type == ND_OPTION_SOURCE_LINK ||
		     option.type == ND_OPTION_TARGET_LINK) &&
		    (option.length != 1 || !mac_equal(option.mac, port->mac)))
			return DROP(SPOOFED_NEIGHBOUR);
		offset += option.length * 8;
	}
	return offset >= skb->len ? 0 : DROP(MALFORMED);
}

/* What has a target. Who has no address yet asks for its own to see whether it is free; to ask for
 * another's would tell who is about to take it that it is not. */
static __always_inline int nd_target(struct __sk_buff *skb, const struct nsr_port *port, u32 offset,
				     bool unspecified)
{
	struct nd_message message;

	if (bpf_skb_load_bytes(skb, offset, &message, sizeof(message)))
		return DROP(MALFORMED);
	if ((message.type == ICMP6_ADVERT || unspecified) && !source_allowed6(port, message.target))
		return DROP(SPOOFED_NEIGHBOUR);
	return nd_options(skb, port, offset + sizeof(message));
}

static __always_inline bool is_mld(u8 type)
{
	return (type >= ICMP6_MLD_QUERY && type <= ICMP6_MLD_DONE) || type == ICMP6_MLD2_REPORT;
}

/* 0, or the reason to drop. The source has been looked at, but for :: */
NSR_STEP int neighbour_judge(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct ip6_chain chain = {.offset = sizeof(struct ethhdr) + sizeof(struct ipv6hdr)};
	struct ipv6hdr ip6;
	bool unspecified;
	u8 type;
	int unfit;

	if (!port || bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &ip6, sizeof(ip6)))
		return DROP(MALFORMED);
	unspecified = ip6_is_unspecified(&ip6.saddr);
	chain.next = ip6.nexthdr;
	unfit = chain_walk(skb, &chain);
	if (unfit)
		return unfit;
	if (chain.later || chain.next != IP6_ICMP)
		return unspecified ? DROP(SPOOFED_ADDRESS) : 0;
	if (bpf_skb_load_bytes(skb, chain.offset, &type, sizeof(type)))
		return DROP(MALFORMED);
	if (type < ICMP6_ROUTER_SOLICIT || type > ICMP6_ND_REDIRECT)
		return unspecified && !is_mld(type) ? DROP(SPOOFED_ADDRESS) : 0;
	if (chain.fragment || type == ICMP6_ROUTER_ADVERT || type == ICMP6_ND_REDIRECT)
		return DROP(SPOOFED_NEIGHBOUR);
	if (type == ICMP6_ROUTER_SOLICIT)
		return nd_options(skb, port, chain.offset + 8);
	return nd_target(skb, port, chain.offset, unspecified);
}

#endif
