/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * tagged.h - what an uplink sends with VLAN tags: of an interface upon it, or of a program of the
 * host's that writes whole frames. No network masquerades there (one that masquerades to the VLAN
 * interface has been translated at that one's own hook), so nothing is translated: what would show
 * an inside address is dropped, all else passes.
 *
 * A tag is beside the bytes or in them, or both. Off the hot path, so bytes are asked for by a
 * helper, wherever they lie. What ends before its source does shows none.
 */
#ifndef NSROUTE_BPF_TAGGED_H
#define NSROUTE_BPF_TAGGED_H

#include "packet.h"
#include "steps.h"

#define TAGS_MAX 4 /* in the bytes; behind more nobody looks, so those are dropped */

static __always_inline bool is_tag(__be16 protocol)
{
	return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD);
}

/* IPv4, and what an ICMP error in it quotes. offset is of the header. */
static __always_inline int tagged_judge4(struct __sk_buff *skb, u32 offset)
{
	struct {
		struct icmp_header icmp;
		struct iphdr quoted;
	} error;
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, offset + offsetof(struct iphdr, saddr), &ip.saddr,
			       sizeof(ip.saddr)))
		return 0;
	if (inside_of4(ip.saddr))
		return DROP(WRONG_UPLINK);
	if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)) || ip.protocol != IPPROTO_ICMP ||
	    ip4_is_fragment(&ip) ||
	    bpf_skb_load_bytes(skb, offset + ip.ihl * 4u, &error, sizeof(error)) ||
	    !icmp_is_error(error.icmp.type))
		return 0;
	return inside_of4(error.quoted.saddr) || inside_of4(error.quoted.daddr)
		       ? DROP(NAT_ICMP_ERROR)
		       : 0;
}

static __always_inline int tagged_judge6(struct __sk_buff *skb, u32 offset)
{
	u8 source[16];

	if (bpf_skb_load_bytes(skb, offset + offsetof(struct ipv6hdr, saddr), source,
			       sizeof(source)))
		return 0;
	return inside_of6(source) ? DROP(WRONG_UPLINK) : 0;
}

static __always_inline int tagged_judge_arp(struct __sk_buff *skb, u32 offset)
{
	__be32 sender;

	if (bpf_skb_load_bytes(skb, offset + offsetof(struct arp_ipv4, sender), &sender,
			       sizeof(sender)))
		return 0;
	return inside_of4(sender) ? DROP(WRONG_UPLINK) : 0;
}

/* Of an Ethernet frame: 0, or the reason to drop it. */
NSR_STEP int tagged_judge(struct __sk_buff *skb)
{
	u32 offset = sizeof(struct ethhdr) - sizeof(__be16); /* of the type to be read next */
	__be16 protocol = 0;
	int tags;

#pragma unroll
	for (tags = 0; tags <= TAGS_MAX; tags++) {
		if (bpf_skb_load_bytes(skb, offset, &protocol, sizeof(protocol)))
			return 0;
		offset += sizeof(protocol);
		if (!is_tag(protocol))
			break;
		offset += sizeof(__be16); /* priority and number */
	}
	if (is_tag(protocol))
		return DROP(MALFORMED);
	if (protocol == bpf_htons(ETH_P_IP))
		return tagged_judge4(skb, offset);
	if (protocol == bpf_htons(ETH_P_IPV6))
		return tagged_judge6(skb, offset);
	return protocol == bpf_htons(ETH_P_ARP) ? tagged_judge_arp(skb, offset) : 0;
}

#endif
