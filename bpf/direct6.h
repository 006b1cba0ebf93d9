/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * direct6.h - direct flows of IPv6, both ways: as direct4.h and inbound.h have it for IPv4.
 *
 * Of a network with "inbound" the first fragment of each datagram that leaves is noted, in
 * "datagrams_out6"; other networks do without.
 */
#ifndef NSROUTE_BPF_DIRECT6_H
#define NSROUTE_BPF_DIRECT6_H

#include "fragment6.h"
#include "icmp6.h"
#include "steps.h"

/* ---- What leaves. */

/* Of a packet that leaves. */
static __always_inline struct nsr_datagram6 direct6_datagram(const struct nat_work6 *work)
{
	struct nsr_datagram6 datagram = {
		.source = work->request.flow.inside.address,
		.dest = work->request.flow.remote_address,
		.id = work->transport.id,
		.uplink = work->request.flow.inside.uplink,
	};

	return datagram;
}

NSR_STEP int direct6_note(const struct nsr_session_ref *ref)
{
	struct nat_work6 *work = nat_work();
	struct nsr_datagram6 datagram;

	if (!work || !ref)
		return 0;
	datagram = direct6_datagram(work);
	return direct_note6(&datagram, ref, work->request.now_s);
}

/* What may be a first fragment does not leave as it is, whatever becomes of it. */
static __always_inline void direct6_forget(const struct transport6 *t)
{
	const struct nsr_session_ref none = {};

	if (t->fragment && !t->later)
		direct6_note(&none);
}

/* Notes the address that a first fragment leaves with, if it is not the one that the inside address
 * has for what it begins. */
NSR_STEP int direct6_leaves_by(u32 mapping)
{
	struct nat_work6 *work = nat_work();
	struct nsr_datagram_out entry = {};
	struct nsr_datagram6 datagram;
	bool paired;

	if (!work)
		return 0;
	paired = NSR_MAPPING_SLOT(mapping) == work->request.slot;
	datagram = direct6_datagram(work);
	if (paired && !bpf_map_lookup_elem(&datagrams_out6, &datagram))
		return 0;
	INSTEAD(0);
	entry.since_s = work->request.now_s;
	entry.slot = paired ? 0 : 1 + NSR_MAPPING_SLOT(mapping);
	bpf_map_update_elem(&datagrams_out6, &datagram, &entry, BPF_ANY);
	return 0;
}

/* The slot that direct6_leaves_by() has noted of the datagram; NSR_SLOTS_MAX: none. */
NSR_STEP u32 direct6_slot(void)
{
	struct nat_work6 *work = nat_work();
	const struct nsr_datagram_out *known;
	struct nsr_datagram6 datagram;

	if (!work)
		return NSR_SLOTS_MAX;
	datagram = direct6_datagram(work);
	known = bpf_map_lookup_elem(&datagrams_out6, &datagram);
	if (!known || READ_ONCE(known->state) || !READ_ONCE(known->slot) ||
	    datagram_is_old(READ_ONCE(known->since_s), work->request.now_s,
			    datagram_lasts6(&datagram.source)))
		return NSR_SLOTS_MAX;
	return READ_ONCE(known->slot) - 1;
}

NSR_STEP int direct6_later(void)
{
	struct nat_work6 *work = nat_work();
	struct nsr_datagram6 datagram;

	if (!work)
		return DROP(NAT_FRAGMENT);
	datagram = direct6_datagram(work);
	return direct_later6(&datagram, work->request.now_s);
}

/* Whether a packet that is whole, or the first fragment of one, answers a direct flow. */
static __always_inline bool direct6_answers(struct nat_work6 *work, struct nsr_session_ref *ret_ref)
{
	struct nat_request6 *request = &work->request;
	const struct transport6 *t = &work->transport;
	bool tcp = t->protocol == NSR_NAT_TCP;
	struct session_view6 view;
	u32 state;

	if (!t->check_offset || (t->protocol == NSR_NAT_ICMP && t->icmp_type != ICMP6_ECHO_REPLY))
		return false;
	request->flow.inside.port = t->source;
	request->flow.inside.protocol = t->protocol;
	request->flow.remote_port = t->protocol == NSR_NAT_ICMP ? 0 : t->dest;
	request->seen = seen_by(true, t->protocol, t->tcp_flags);
	if (t->protocol != NSR_NAT_ICMP &&
	    session_peek6(&request->flow, request->now_s, &view, &state))
		return false; /* it is translated */
	return direct_use6(request, tcp && transport_may_begin(true, t->tcp_flags), ret_ref);
}

/* What an inside host of a network with "inbound" sends: 0, it leaves as it is; VERDICT_RARE, it is
 * to be translated; or a reason to drop. Errors are for icmp6.h. */
NSR_STEP int direct6_leaves(struct __sk_buff *skb)
{
	struct nat_work6 *work = nat_work();
	struct nsr_session_ref ref = {};
	bool direct;

	if (!work || !skb->len)
		return DROP(NAT_SESSIONS);
	if (work->transport.later)
		return work->transport.home ? DROP(IP_OPTIONS) : direct6_later();
	if (work->transport.home) {
		direct6_forget(&work->transport);
		return DROP(IP_OPTIONS);
	}
	direct = direct6_answers(work, &ref);
	if (work->transport.fragment) {
		if (!direct)
			ref.state = 0;
		direct6_note(&ref);
	}
	return direct ? 0 : VERDICT_RARE;
}

/* ---- What arrives. */

/* 0, or the reason to drop what is for an inside address. On its own: its keys take no room on the
 * stack below which a session is made. */
NSR_STEP int inbound6_judge(struct __sk_buff *skb, bool bare)
{
	u32 ifindex = skb->ifindex;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	const struct nsr_inside *inside;
	struct packet p;

	if (!uplink || parse_as(skb, &p, bare) != PACKET_IPV6)
		return DROP(INBOUND);
	inside = inside_of6(&p.ip6->daddr);
	if (!inside || !inside->inbound || inside->uplink != uplink->index ||
	    !fib_host6(&p.ip6->daddr))
		return DROP(INBOUND);
	return ip6_is_special(&p.ip6->saddr) ||
			       address6_is_external(uplink, (const void *)&p.ip6->saddr) ||
			       inside_of6(&p.ip6->saddr) || fib_host6(&p.ip6->saddr) ||
			       local6_is_client(&p.ip6->saddr)
		       ? DROP(SPOOFED_ADDRESS)
		       : 0;
}

/* An error about what has left by a direct flow. */
NSR_STEP int inbound6_error(struct __sk_buff *skb)
{
	struct nat_work6 *work = nat_work();
	const struct transport6 *t;
	struct nat_request6 *request;

	if (!work || !work->transport.check_offset || !quote6_read(skb, work) ||
	    !quote6_read_transport(skb, &work->quote))
		return NAT_INBOUND_RARE;
	request = &work->request;
	t = &work->quote.transport;
	if (!address_equal6((void *)&work->quote.ip.saddr, &request->external) ||
	    (t->protocol == NSR_NAT_ICMP && t->icmp_type != ICMP6_ECHO_REPLY))
		return NAT_INBOUND_RARE;
	request->flow.inside.address = request->external;
	request->flow.inside.port = t->source;
	request->flow.inside.protocol = t->protocol;
	__builtin_memcpy(&request->flow.remote_address, &work->quote.ip.daddr,
			 sizeof(request->flow.remote_address));
	request->flow.remote_port = t->protocol == NSR_NAT_ICMP ? 0 : t->dest;
	return direct_known6(request) ? NAT_INBOUND_SESSION : NAT_INBOUND_HOST;
}

/* TCP, UDP and echo requests, whole or the first of their fragments. */
NSR_STEP int inbound6_packet(struct __sk_buff *skb)
{
	struct nat_work6 *work = nat_work();
	const struct transport6 *t;
	struct nat_request6 *request;

	if (!work)
		return NAT_INBOUND_REFUSED;
	request = &work->request;
	t = &work->transport;
	if (!t->check_offset || (t->protocol == NSR_NAT_ICMP && t->icmp_type != ICMP6_ECHO_REQUEST))
		return NAT_INBOUND_RARE;
	request->flow.inside.address = request->external;
	request->flow.inside.port = t->dest;
	request->flow.inside.protocol = t->protocol;
	request->flow.remote_port = t->protocol == NSR_NAT_ICMP ? 0 : t->source;
	request->seen = seen_by(false, t->protocol, t->tcp_flags);
	return direct_arrives6(skb, request,
			       transport_may_begin(t->protocol == NSR_NAT_TCP, t->tcp_flags));
}

/* What inbound6_judge() has nothing against; request->external is the inside address here. */
static __always_inline enum nat_inbound
inbound6_receive(struct __sk_buff *skb, struct nat_work6 *work, bool bare, const struct ipv6hdr *ip)
{
	struct nat_request6 *request = &work->request;
	struct transport6 *t = &work->transport;
	enum nat_inbound whom, others;
	int unfit;

	__builtin_memcpy(&request->flow.remote_address, &ip->saddr, sizeof(ip->saddr));
	__builtin_memcpy(&request->external, &ip->daddr, sizeof(ip->daddr));
	unfit = transport6_find(skb, link_bytes(bare), skb->len, t);
	if (unfit)
		return unfit == DROP(IP_OPTIONS) ? NAT_INBOUND_ROUTED : NAT_INBOUND_RARE;
	if (t->later)
		return fragment6_later(skb);
	if (!t->fragment && t->protocol == NSR_NAT_ICMP && is_icmp6_error(t->icmp_type))
		return inbound6_error(skb);
	whom = inbound6_packet(skb);
	others = t->fragment ? fragment6_learn(whom) : NAT_INBOUND_HOST;
	if (others == NAT_INBOUND_LOST)
		return others;
	if (others != NAT_INBOUND_HELD)
		return whom;
	fragment6_release(skb, whom);
	return NAT_INBOUND_HELD;
}

#endif
