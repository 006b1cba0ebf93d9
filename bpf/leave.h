/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * leave.h - what is left to the kernel's routing of a masqueraded network.
 *
 * Its sources may leave by their own uplink only, where they are translated. What is forwarded here
 * goes there, or into a namespace. What is not (options, too large, "datapath: kernel", addresses
 * that a router may have rules for) may go to the kernel only when it is known where the kernel
 * sends it: to the host itself, into a fabric, by the uplink, or nowhere. All else is dropped.
 *
 * So the FIB is asked for it as the kernel will ask, for rules may choose by protocol and ports:
 * those that the kernel's flow dissector finds, behind options and extension headers. And what
 * makes the kernel send a packet on from where it was going to, a source route of either family, is
 * dropped: no answer would be true for it.
 *
 * Off the hot path.
 */
#ifndef NSROUTE_BPF_LEAVE_H
#define NSROUTE_BPF_LEAVE_H

#include "hairpin6.h"
#include "options.h"
#include "policy.h"
#include "steps.h"
#include "trace.h"

#define LEAVE_HEADERS_MAX 8 /* extension headers that are looked at */

/* Whether the uplink's hook will take a source for one that it masquerades. A port's own first
 * address always is. */
static __always_inline bool masqueraded4(const struct nsr_port *port, __be32 address)
{
	const struct nsr_inside *inside;

	if (address == port->address4)
		return true;
	inside = inside_of4(address);
	return inside && inside->uplink + 1 == port->uplink;
}

static __always_inline bool masqueraded6(const struct nsr_port *port, const void *address)
{
	const struct nsr_inside *inside = inside_of6(address);

	return inside && inside->uplink + 1 == port->uplink;
}

/* Addresses that a router forwards nothing to, and nothing from: 0.0.0.0, 127/8, 224/4, and the
 * limited broadcast. The rest of 0/8 and 240/4 is like any other to the kernel. */
static __always_inline bool ip4_is_not_routed(__be32 address)
{
	u32 number = bpf_ntohl(address);

	return !number || number >> 24 == 127 || number >> 28 == 14 || number == 0xffffffff;
}

/* Where the flow dissector takes ports from: some of these protocols have something else there,
 * which is all the same to it. */
static __always_inline void leave_ports(struct __sk_buff *skb, u32 offset,
					struct bpf_fib_lookup *lookup)
{
	__be16 ports[2];

	switch (lookup->l4_protocol) {
	case IPPROTO_AH:
		offset += 4;
		break;
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_DCCP:
	case IPPROTO_ESP:
	case IPPROTO_SCTP:
	case IPPROTO_UDPLITE:
		break;
	default:
		return;
	}
	if (bpf_skb_load_bytes(skb, offset, ports, sizeof(ports)))
		return;
	lookup->sport = ports[0];
	lookup->dport = ports[1];
}

/* 0 and the question, or a reason to drop. */
static __always_inline int leave_question4(struct __sk_buff *skb, const struct packet *p,
					   struct bpf_fib_lookup *lookup)
{
	u32 header = p->ip4->ihl * 4u;
	bool fragment = ip4_is_fragment(p->ip4);

	lookup->family = ADDRESS_FAMILY_IPV4;
	lookup->tos = p->ip4->tos;
	lookup->l4_protocol = p->ip4->protocol;
	lookup->ipv4_src = p->ip4->saddr;
	lookup->ipv4_dst = p->ip4->daddr;
	if (header != sizeof(*p->ip4) && options_do(skb, sizeof(struct ethhdr)) & OPTION_ROUTES)
		return DROP(IP_OPTIONS);
	if (!fragment)
		leave_ports(skb, sizeof(struct ethhdr) + header, lookup);
	return 0;
}

/* Protocol and ports. What is in the fragments of a packet is seen by nobody but its receiver, so
 * that a source route in them would not be either. */
static __always_inline int leave_headers6(struct __sk_buff *skb, u8 next,
					  struct bpf_fib_lookup *lookup)
{
	u32 offset = sizeof(struct ethhdr) + sizeof(struct ipv6hdr);
	u8 header[4];
	int i;

#pragma unroll
	for (i = 0; i < LEAVE_HEADERS_MAX; i++) {
		if (!is_walked6(next))
			break;
		if (bpf_skb_load_bytes(skb, offset, header, sizeof(header)))
			return DROP(MALFORMED);
		if (next == IP6_ROUTING && header[3]) /* segments left */
			return DROP(IP_OPTIONS);
		if (next == IP6_FRAGMENT) {
			lookup->l4_protocol = header[0];
			return is_walked6(header[0]) ? DROP(IP_OPTIONS) : 0;
		}
		offset += (header[1] + 1) * 8;
		next = header[0];
	}
	if (is_walked6(next))
		return DROP(MALFORMED);
	lookup->l4_protocol = next;
	leave_ports(skb, offset, lookup);
	return 0;
}

static __always_inline int leave_question6(struct __sk_buff *skb, const struct packet *p,
					   struct bpf_fib_lookup *lookup)
{
	lookup->family = ADDRESS_FAMILY_IPV6;
	lookup->flowinfo = *(__be32 *)p->ip6 & bpf_htonl(IP6_FLOWINFO);
	__builtin_memcpy(lookup->ipv6_src, &p->ip6->saddr, 16);
	__builtin_memcpy(lookup->ipv6_dst, &p->ip6->daddr, 16);
	return leave_headers6(skb, p->ip6->nexthdr, lookup);
}

/* A packet of a masqueraded network to the gateway: VERDICT_KERNEL, VERDICT_HAIRPIN6,
 * VERDICT_GUEST, or a reason to drop. */
NSR_STEP int port_leave(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct bpf_fib_lookup lookup = {};
	enum packet_kind kind;
	bool ipv6, translated;
	enum fib_way way;
	struct packet p;
	int refused;

	if (!port)
		return DROP(MALFORMED);
	kind = parse(skb, &p);
	if (kind != PACKET_IPV4 && kind != PACKET_IPV6)
		return DROP(MALFORMED);
	ipv6 = kind == PACKET_IPV6;
	if (ipv6 ? ip6_is_special(&p.ip6->saddr) || ip6_is_special(&p.ip6->daddr)
		 : ip4_is_not_routed(p.ip4->saddr) || ip4_is_not_routed(p.ip4->daddr))
		return VERDICT_KERNEL;
	if (ipv6 && local6_is_client(&p.ip6->daddr))
		return VERDICT_HAIRPIN6;
	translated = ipv6 ? masqueraded6(port, &p.ip6->saddr) : masqueraded4(port, p.ip4->saddr);
	refused = ipv6 ? leave_question6(skb, &p, &lookup) : leave_question4(skb, &p, &lookup);
	if (refused)
		return refused;
	way = fib_outside(skb, port, &lookup, 0);
	TELL(FIB, way, lookup.ifindex | (u64)lookup.mtu_result << 32, lookup.ipv4_dst);
	switch (way) {
	case FIB_KERNEL:
		if (ipv6 && hairpin6_may_be(skb, port))
			return VERDICT_HAIRPIN6;
		return ipv6 && guest_may_be() ? VERDICT_GUEST : VERDICT_KERNEL;
	case FIB_ELSEWHERE:
		return DROP(WRONG_UPLINK);
	default:
		return translated ? VERDICT_KERNEL : DROP(NOT_INSIDE);
	}
}

/* clang knows that it is never above zero, which the verifier has to be told: by a branch, which
 * the second barrier keeps. */
static __always_inline int kernel_or_drop(int verdict)
{
	barrier_var(verdict);
	if (verdict >= 0)
		return VERDICT_KERNEL;
	barrier_var(verdict);
	return verdict;
}

static __always_inline int leave(struct __sk_buff *skb, const struct nsr_port *port)
{
	return port->uplink ? kernel_or_drop(port_leave(skb, port)) : VERDICT_KERNEL;
}

/* What has a tag and may have one: never forwarded here. The kernel takes some for untagged. */
NSR_STEP int leave_tagged(struct __sk_buff *skb, const struct nsr_port *port)
{
	enum packet_kind kind;
	enum tag tag;
	struct packet p;

	if (!port)
		return DROP(MALFORMED);
	tag = tag_look(skb);
	if (tag == TAG_TWICE)
		return DROP(VLAN_TAG);
	kind = parse(skb, &p);
	if (tag == TAG_NUMBER || (kind != PACKET_IPV4 && kind != PACKET_IPV6))
		return VERDICT_KERNEL;
	if (!port->gateway_ifindex ||
	    (!mac_equal(p.eth->h_dest, port->gateway_mac) && skb->pkt_type != PACKET_HOST))
		return VERDICT_KERNEL;
	if (kind == PACKET_IPV6 ? local6_is_client(&p.ip6->daddr) : local_is_client(p.ip4->daddr))
		return DROP(NAT_STATE); /* for the host alone, by another program */
	return leave(skb, port);
}

#endif
