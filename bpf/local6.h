/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * local6.h - as local.h, of IPv6: what the host itself sends to a published port, at the external
 * address of an uplink or at ::1.
 *
 * It is a program of its own, which that of the loopback interface hands IPv6 over to. The steps
 * are those of what arrives at the uplink. The answer comes to the port's hook, as a hairpin would
 * (hairpin6.h).
 */
#ifndef NSROUTE_BPF_LOCAL6_H
#define NSROUTE_BPF_LOCAL6_H

#include "local.h"
#include "uplink6.h"

/* Whether the uplink of a slot translates to the address that the packet is for. */
NSR_STEP int local6_is_at(u32 slot)
{
	const struct nsr_uplink *uplink = local_uplink_at(slot);
	struct nat_work6 *work = uplink ? nat_work() : NULL;
	struct nsr_address6 address;

	if (!work)
		return false;
	address = address6_at(uplink, slot);
	return !address_is_none6(&address) && address_equal6(&address, &work->request.external);
}

/* NSR_SLOTS_MAX: none does. */
NSR_STEP u32 local6_slot(void)
{
	u32 slot;

#pragma unroll
	for (slot = 0; slot < NSR_SLOTS_MAX; slot++)
		if (local6_is_at(slot))
			return slot;
	return NSR_SLOTS_MAX;
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

/* Nobody can answer to ::1. */
static __always_inline int local6_as_client(struct __sk_buff *skb, struct nat_work6 *work)
{
	struct nsr_address6 *client = &work->to.address;

	client->words[0] = bpf_htonl(NSR_LOOPBACK_CLIENT6_0);
	client->words[1] = bpf_htonl(NSR_LOOPBACK_CLIENT6_1);
	client->words[2] = 0;
	client->words[3] = bpf_htonl(NSR_LOOPBACK_CLIENT6_3);
	return rewrite_endpoint6(skb, work->link, &work->transport, true, &work->request.external,
				 client, work->transport.source)
		       ? DROP(NAT_REWRITE)
		       : VERDICT_PEER;
}

/* VERDICT_KERNEL, a reason to drop, or VERDICT_PEER when it is for a namespace, and has been
 * translated. */
NSR_STEP int local6_leaves(struct __sk_buff *skb)
{
	const struct nsr_uplink *loopback = local_loopback(), *uplink;
	struct nat_work6 *work = loopback ? uplink6_work(loopback, false) : NULL;
	const struct nsr_endpoint *to;
	struct nat_request6 *request;
	enum nat_inbound whom;
	u32 slot;

	if (!work || !local6_load(skb, work))
		return VERDICT_KERNEL;
	request = &work->request;
	slot = local6_slot();
	uplink = slot < NSR_SLOTS_MAX ? uplink_at(slot) : NULL;
	if (!uplink || !mapping_is_published6(NSR_MAPPING(NSR_POOL(slot, work->transport.protocol),
							  bpf_ntohs(work->transport.dest))))
		return VERDICT_KERNEL;
	request->flow.inside.uplink = uplink->index;
	request->slot = slot;
	whom = uplink6_classify(skb, work);
	TELL(INBOUND, whom, 0, 0);
	if (whom != NAT_INBOUND_SESSION)
		return inbound_refused(whom);
	to = fib_host6(&request->flow.inside.address);
	TELL_ENDPOINT(ROUTED, to);
	if (!to || !endpoint_takes_large(skb, to))
		return DROP(NAT_HAIRPIN);
	if (rewrite_endpoint6(skb, work->link, &work->transport, false, &request->external,
			      &request->flow.inside.address, request->flow.inside.port))
		return DROP(NAT_REWRITE);
	return slot == loopback->index ? local6_as_client(skb, work) : VERDICT_PEER;
}

/* What a namespace sends, to what stands for the host's loopback address. */
static __always_inline bool local6_is_for_client(struct __sk_buff *skb)
{
	struct packet p;

	return parse(skb, &p) == PACKET_IPV6 && local6_is_client(&p.ip6->daddr);
}

/* As local_error(): what the error quotes has been sent to the host there. */
NSR_STEP int local6_error(struct __sk_buff *skb)
{
	struct nat_work6 *work = nat_work();
	struct nat_request6 *request;
	struct session_view6 view;
	struct transport6 *t;
	int result;
	u32 state;

	if (!work || !work->transport.check_offset || !quote6_read(skb, work) ||
	    !quote6_read_transport(skb, &work->quote) || !local6_is_client(&work->quote.ip.saddr))
		return DROP(NAT_STATE);
	request = &work->request;
	t = &work->quote.transport;
	work->old = request->flow.inside.address;
	__builtin_memcpy(&request->flow.inside.address, &work->quote.ip.daddr,
			 sizeof(request->flow.inside.address));
	request->flow.inside.port = t->dest;
	request->flow.inside.protocol = t->protocol;
	request->flow.remote_port = t->source;
	if (!session_peek6(&request->flow, request->now_s, &view, &state))
		return DROP(NAT_STATE);
	work->to.address = request->external;
	work->to.port = t->source;
	if (quote6_rewrite(skb, work, true) ||
	    rewrite_endpoint6(skb, work->link, &work->transport, false, &work->from.address,
			      &request->external, work->transport.dest))
		return DROP(NAT_REWRITE);
	request->flow.inside.address = work->old;
	result = icmp6_leaves(skb, true);
	return result ? error_refused(result) : VERDICT_NEIGHBOUR;
}

/* As local_answer(); VERDICT_RARE: it is an error. */
NSR_STEP int local6_answer(struct __sk_buff *skb)
{
	const struct nsr_uplink *loopback = local_loopback();
	struct nat_work6 *work = loopback ? uplink6_work(loopback, false) : NULL;
	struct nat_request6 *request;
	struct transport6 *t;
	struct packet p;

	if (!work || load(skb, &p) != PACKET_IPV6)
		return DROP(NAT_STATE);
	request = &work->request;
	t = &work->transport;
	__builtin_memcpy(&request->flow.inside.address, &p.ip6->saddr, sizeof(p.ip6->saddr));
	__builtin_memcpy(&work->to.address, &p.ip6->daddr, sizeof(p.ip6->daddr));
	request->flow.remote_address = request->external;
	if (transport6_find(skb, sizeof(struct ethhdr), skb->len, &work->transport) || t->fragment)
		return DROP(NAT_STATE);
	if (t->protocol == NSR_NAT_ICMP)
		return is_icmp6_error(t->icmp_type) ? VERDICT_RARE : DROP(NAT_STATE);
	uplink6_flow(work);
	if (!t->check_offset || !session_use6(&request->flow, request))
		return DROP(NAT_STATE);
	work->old = request->flow.inside.address;
	return rewrite_endpoint6(skb, work->link, t, false, &work->to.address, &request->external,
				 t->dest) ||
			       rewrite_endpoint6(skb, work->link, t, true, &work->old,
						 &request->external,
						 bpf_htons(NSR_MAPPING_PORT(request->mapping)))
		       ? DROP(NAT_REWRITE)
		       : VERDICT_NEIGHBOUR;
}

/* What is for the client. Errors are not below answers, for the sake of the stack. */
static __always_inline int local6_return(struct __sk_buff *skb)
{
	int verdict = local6_answer(skb);

	return verdict == VERDICT_RARE ? local6_error(skb) : verdict;
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
