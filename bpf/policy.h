/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * policy.h - whether a namespace may send this. Comes before everything else: no option, fragment,
 * extension header or VLAN tag gets around it, because it looks at the Ethernet source and the
 * network-layer source, which are where they always are, and for neighbour discovery behind all
 * extension headers (neighbour.h); what it cannot judge is dropped.
 *
 * Isolation is judged twice: where a packet enters, by its destination, and where the kernel
 * delivers it, by the interface that it came from. The second catches what only the kernel knows:
 * source routes, routes of somebody else's.
 */
#ifndef NSROUTE_BPF_POLICY_H
#define NSROUTE_BPF_POLICY_H

#include "maps.h"
#include "neighbour.h"
#include "packet.h"
#include "sources.h"
#include "steps.h"
#include "trace.h"

#define VLAN_NUMBER 0x0fff /* of a tag, IEEE 802.1Q 9.6 */

/* Sender of an ARP packet: an address of the port, or 0.0.0.0 in a probe for one (RFC 5227 2.1.1),
 * for a probe for another's address would be a conflict to who probes for it as well. */
static __always_inline bool source_allowed_arp(const struct nsr_port *port,
					       const struct arp_ipv4 *arp)
{
	__be32 sender, target;

	if (!mac_equal(arp->sender_mac, port->mac))
		return false;
	__builtin_memcpy(&sender, arp->sender, sizeof(sender));
	__builtin_memcpy(&target, arp->target, sizeof(target));
	return source_allowed4(port, sender ? sender : target);
}

/* :: is what DAD and MLD send from: see neighbour.h. */
static __always_inline bool source_plausible6(const struct nsr_port *port,
					      const struct ipv6hdr *ip6)
{
	return ip6_is_unspecified(&ip6->saddr) ? neighbour_may_be(ip6->nexthdr)
					       : source_allowed6(port, &ip6->saddr);
}

/*
 * What a port's packet almost always is: without a tag, from its MAC and its first address, the
 * headers in place and without options or extensions. Then there is nothing to refuse; otherwise,
 * PACKET_MALFORMED, it takes all of the steps below to tell.
 */
static __always_inline enum packet_kind policy_glance(struct __sk_buff *skb,
						      const struct nsr_port *port, struct packet *p)
{
	u32 length = p->length - sizeof(struct ethhdr);
	u64 differs;

	if (!packet_at(skb, p, false) || skb->vlan_present)
		return PACKET_MALFORMED;
	differs = frame_differs(p->eth, port->mac);
	if (differs == FRAME_IPV4 && ip4_is_plain(p->ip4, length) &&
	    p->ip4->saddr == port->address4 && port->address4)
		return PACKET_IPV4;
	if (differs == FRAME_IPV6 && (void *)(p->ip6 + 1) <= p->end &&
	    ip6_is_plain(p->ip6, length) && ip6_equal(&p->ip6->saddr, port->address6) &&
	    port->address6[0])
		return PACKET_IPV6;
	return PACKET_MALFORMED;
}

/* 0, or the reason to drop. tagged: the packet carries a VLAN tag beside its bytes. */
static __always_inline int policy_source(const struct nsr_port *port, const struct packet *p,
					 enum packet_kind kind, bool tagged)
{
	if (!(port->flags & NSR_PORT_SPOOF_CHECK))
		return 0;
	if (kind == PACKET_MALFORMED)
		return DROP(MALFORMED);
	if (tagged || frame_protocol(p->eth) == bpf_htons(ETH_P_8021Q) ||
	    frame_protocol(p->eth) == bpf_htons(ETH_P_8021AD))
		return DROP(VLAN_TAG);
	if (!mac_equal(p->eth->h_source, port->mac))
		return DROP(SPOOFED_MAC);
	if ((kind == PACKET_IPV4 && !source_allowed4(port, p->ip4->saddr)) ||
	    (kind == PACKET_IPV6 && !source_plausible6(port, p->ip6)) ||
	    (kind == PACKET_ARP && !source_allowed_arp(port, p->arp)))
		return DROP(SPOOFED_ADDRESS);
	return 0;
}

/* 0, or the reason to drop. */
NSR_STEP int policy_judge(struct __sk_buff *skb, const struct nsr_port *port)
{
	enum packet_kind kind;
	struct packet p;
	int refused;

	if (!port)
		return DROP(MALFORMED);
	kind = load(skb, &p);
	TELL(PARSED, kind, port->index, port->flags);
	refused = policy_source(port, &p, kind, skb->vlan_present);
	if (!refused && kind == PACKET_IPV6 && port->flags & NSR_PORT_SPOOF_CHECK &&
	    neighbour_may_be(p.ip6->nexthdr))
		refused = neighbour_judge(skb, port);
	TELL(POLICY, refused, 0, 0);
	return refused;
}

/*
 * What a VLAN tag beside the bytes is to the kernel: one with the number 0 says only how urgent the
 * frame is, and is taken off where it arrives, and so is a second one behind it. Any other is for
 * an interface of that number, or for nobody.
 */
enum tag { TAG_NONE, TAG_NUMBER, TAG_TWICE };

NSR_STEP int tag_look(struct __sk_buff *skb)
{
	struct {
		__be16 protocol, tag;
	} next;

	if (skb->vlan_tci & VLAN_NUMBER)
		return TAG_NUMBER;
	if (bpf_skb_load_bytes(skb, offsetof(struct ethhdr, h_proto), &next, sizeof(next)) ||
	    (next.protocol != bpf_htons(ETH_P_8021Q) && next.protocol != bpf_htons(ETH_P_8021AD)))
		return TAG_NONE;
	return next.tag & bpf_htons(VLAN_NUMBER) ? TAG_NUMBER : TAG_TWICE;
}

/* Whether isolation keeps a network, of these flags, from one of those. */
static __always_inline bool policy_isolates(u16 network, u16 flags, u16 other, u16 other_flags)
{
	return network != other && (flags | other_flags) & NSR_PORT_ISOLATED;
}

/* Of what the kernel delivers to a port: 0, or the reason to drop. The host's own comes in by no
 * interface, and what is no fabric's by one that is not listed. */
static __always_inline int policy_delivery(const struct __sk_buff *skb, const struct nsr_port *port)
{
	u32 from = skb->ingress_ifindex;
	const struct nsr_inner_link *inner;

	if (!from)
		return 0;
	inner = bpf_map_lookup_elem(&inner_links, &from);
	if (!inner || !policy_isolates(port->network, port->flags, inner->network, inner->flags))
		return 0;
	return DROP(ISOLATED);
}

#endif
