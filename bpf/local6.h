/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * local6.h - as local.h, of IPv6: what the host itself sends to a published port at the external
 * address of an uplink.
 *
 * It is a program of its own, which that of the loopback interface hands IPv6 over to. The steps
 * are those of what arrives at the uplink. The answer comes to the port's hook, as a hairpin would
 * (hairpin6.h). On the loopback address nothing is published.
 */
#ifndef NSROUTE_BPF_LOCAL6_H
#define NSROUTE_BPF_LOCAL6_H

#include "local.h"
#include "uplink6.h"

/* Whether the uplink of a slot translates to the address that the packet is for. */
NSR_STEP int local6_is_at(u32 slot)
{
	const struct nsr_uplink *uplink = local_uplink_at(slot);
	struct nat_work6 *work = nat_work();
	struct nsr_address6 address;

	if (!uplink || !work)
		return false;
	address = address6_of(uplink);
	return !address_is_none6(&address) && address_equal6(&address, &work->request.external);
}

/* NSR_UPLINKS_MAX: none does. */
NSR_STEP u32 local6_slot(void)
{
	u32 slot;

#pragma unroll
	for (slot = 0; slot < NSR_UPLINKS_MAX; slot++)
		if (local6_is_at(slot))
			return slot;
	return NSR_UPLINKS_MAX;
}

/* Whether a packet is one that a session can have, from an address to itself. */
static __always_inline bool local6_load(struct __sk_buff *skb, struct nat_work6 *work)
{
	struct nat_request6 *request = &work->request;
	const struct transport6 *t = &work->transport;
	struct packet p;

	if (load(skb, &p) != PACKET_IPV6)
		return false;
	__builtin_memcpy(&request->flow.remote_address, &p.ip6->saddr, sizeof(p.ip6->saddr));
	__builtin_memcpy(&request->external, &p.ip6->daddr, sizeof(p.ip6->daddr));
	return address_equal6(&request->flow.remote_address, &request->external) &&
	       !transport6_find(skb, sizeof(struct ethhdr), skb->len, &work->transport) &&
	       !t->fragment && t->check_offset && t->protocol != NSR_NAT_ICMP;
}

/* VERDICT_KERNEL, a reason to drop, or VERDICT_PEER when it is for a namespace, and has been
 * translated. */
NSR_STEP int local6_leaves(struct __sk_buff *skb)
{
	const struct nsr_uplink *loopback = local_loopback();
	struct nat_work6 *work = loopback ? uplink6_work(loopback, false) : NULL;
	const struct nsr_endpoint *to;
	struct nat_request6 *request;
	enum nat_inbound whom;
	u32 slot;

	if (!work || !local6_load(skb, work))
		return VERDICT_KERNEL;
	request = &work->request;
	slot = local6_slot();
	if (slot >= NSR_UPLINKS_MAX ||
	    !mapping_is_published6(NSR_MAPPING(NSR_POOL(slot, work->transport.protocol),
					       bpf_ntohs(work->transport.dest))))
		return VERDICT_KERNEL;
	request->flow.inside.uplink = slot;
	request->slot = slot;
	whom = uplink6_classify(skb, work);
	TELL(INBOUND, whom, 0, 0);
	if (whom != NAT_INBOUND_SESSION)
		return inbound_refused(whom);
	to = fib_host6(&request->flow.inside.address);
	TELL_ENDPOINT(ROUTED, to);
	if (!to || !endpoint_takes_large(skb, to))
		return DROP(NAT_HAIRPIN);
	return rewrite_endpoint6(skb, work->link, &work->transport, false, &request->external,
				 &request->flow.inside.address, request->flow.inside.port)
		       ? DROP(NAT_REWRITE)
		       : VERDICT_PEER;
}

/* Where it goes, with its new header; NULL: nowhere. */
static __always_inline const struct nsr_endpoint *local6_route(struct __sk_buff *skb)
{
	const struct nsr_endpoint *to;
	struct packet p;

	if (!packet_at(skb, &p, true))
		return NULL;
	to = fib_host6(&p.ip6->daddr);
	if (to)
		rewrite_macs(p.eth, to->mac, to->gateway_mac);
	return to;
}

/* The program's action. */
static __always_inline int local_out6(struct __sk_buff *skb)
{
	const struct nsr_uplink *loopback = local_loopback();
	const struct nsr_endpoint *to = NULL;
	u32 length = skb->len;
	int verdict;

	if (!loopback)
		return TC_ACT_UNSPEC;
	verdict = local6_leaves(skb);
	if (verdict == VERDICT_PEER) {
		to = local6_route(skb);
		if (!to)
			verdict = DROP(NAT_HAIRPIN);
	}
	count_uplink_tx(loopback->index, length, verdict, to);
	if (!to)
		return verdict < 0 ? drop(skb, verdict, NSR_HOOK_UPLINK_OUT) : TC_ACT_UNSPEC;
	TELL(DELIVERS, to->ifindex, 0, 0);
	INSTEAD(TC_ACT_REDIRECT);
	return bpf_redirect(to->ifindex, 0); /* nsr_port_out counts it */
}

#endif
