/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * except6.h - packets of IPv6 that are not translated, for the sake of their remote, both ways: as
 * except4.h and except_in.h have it for IPv4.
 *
 * A later fragment goes by its destination, unless the first of its datagram was translated. Of
 * networks without "inbound" that is noted, in "datagrams_out6", of those datagrams alone that go
 * to an excepted destination.
 */
#ifndef NSROUTE_BPF_EXCEPT6_H
#define NSROUTE_BPF_EXCEPT6_H

#include "direct6.h"
#include "except.h"

/* Of what an inside address of this uplink sends: whether its destination is excepted. */
static __always_inline bool except6_is_to(const struct nat_request6 *request)
{
	const struct nsr_inside *inside = inside_of6(&request->flow.inside.address);

	return inside && inside->uplink == request->flow.inside.uplink &&
	       is_excepted6(inside, &request->flow.inside.address, &request->flow.remote_address);
}

/* 0: it leaves as it is. */
static __always_inline int except6_pass(const struct nat_work6 *work)
{
	struct nsr_datagram6 datagram = direct6_datagram(work);

	TELL(EXCEPT, 0, 0, 0);
	INSTEAD(0);
	if (work->transport.fragment && !work->transport.later)
		bpf_map_delete_elem(&datagrams_out6, &datagram);
	return 0;
}

/* What could have a session, and has none that is of use to it; the request has its flow. 0: it
 * leaves as it is; VERDICT_RARE: it is to be translated. */
NSR_STEP int except6_leaves(void)
{
	struct nat_work6 *work = nat_work();

	if (!work || work->transport.home || !except6_is_to(&work->request) ||
	    bpf_map_lookup_elem(&session_by_flow6, &work->request.flow))
		return VERDICT_RARE;
	return except6_pass(work);
}

/* The first fragment of a datagram is about to be translated. */
NSR_STEP int except6_note(void)
{
	const struct nsr_session_ref none = {};
	struct nat_work6 *work = nat_work();

	return work && except6_is_to(&work->request) ? direct6_note(&none) : 0;
}

/* What can have no session: later fragments, echo replies, and, unknown, protocols that cannot be
 * translated. As except6_leaves(). */
NSR_STEP int except6_rare(u32 unknown)
{
	struct nat_work6 *work = nat_work();
	const struct transport6 *t;

	if (!work || work->transport.home || !except6_is_to(&work->request))
		return VERDICT_RARE;
	t = &work->transport;
	if (t->later && !unknown) {
		if (direct6_later() == VERDICT_RARE)
			return VERDICT_RARE;
	} else if (!unknown && (t->protocol != NSR_NAT_ICMP || t->icmp_type != ICMP6_ECHO_REPLY)) {
		return VERDICT_RARE;
	}
	return except6_pass(work);
}

/* What an inside address of a network with exceptions sends, before anything else is asked about
 * it. As except6_leaves(). */
static __always_inline int except6_begins(const struct nat_work6 *work, int unfit)
{
	const struct transport6 *t = &work->transport;

	if (unfit)
		return unfit == DROP(NAT_PROTOCOL) ? except6_rare(true) : VERDICT_RARE;
	return t->later || (t->protocol == NSR_NAT_ICMP && t->icmp_type == ICMP6_ECHO_REPLY)
		       ? except6_rare(false)
		       : VERDICT_RARE;
}

/* A packet without ports; the request is other_ask6()'s, but for the inside address. */
NSR_STEP int except6_portless(void)
{
	struct nat_work6 *work = nat_work();
	struct other_session6 found = {};
	const struct nsr_inside *inside;
	struct nat_request6 *request;
	int known;

	if (!work || work->transport.home)
		return VERDICT_RARE;
	request = &work->request;
	inside = inside_of6(&work->old);
	if (!inside || inside->uplink != request->flow.inside.uplink ||
	    !is_excepted6(inside, &work->old, &request->flow.remote_address))
		return VERDICT_RARE;
	known = other_look6(request, &found);
	if (known == DROP(NAT_CONTENTION))
		return known;
	/* Without an external address none is of use, and one that is there waits. */
	if ((!known || (found.state && address_is_none6(&request->external))) &&
	    address_equal6(&found.inside, &work->old))
		return VERDICT_RARE;
	TELL(EXCEPT, 0, 0, 0);
	return 0; /* nothing is remembered of its fragments */
}

/* ---- What arrives. */

/* Whether it is an ICMPv6 error that quotes what its destination has sent to an excepted one. */
NSR_STEP int except6_is_about(struct __sk_buff *skb)
{
	struct nat_work6 *work = nat_work();
	const struct transport6 *t;
	const struct nsr_inside *inside;

	if (!work)
		return false;
	t = &work->transport;
	if (t->fragment || t->protocol != NSR_NAT_ICMP || !is_icmp6_error(t->icmp_type) ||
	    !quote6_read(skb, work) ||
	    !address_equal6((void *)&work->quote.ip.saddr, &work->request.external))
		return false;
	inside = inside_of6(&work->request.external);
	return is_excepted6(inside, &work->request.external, (void *)&work->quote.ip.daddr);
}

/* A packet straight to an inside address, which is the request's external one here, and the remote
 * is known. 0: it is let in as it is; VERDICT_RARE: for all that is excepted it may not come in; or
 * a reason to drop. */
NSR_STEP int except6_judge(struct __sk_buff *skb, int unfit)
{
	struct nat_work6 *work = nat_work();
	const struct nsr_inside *inside;
	struct nat_request6 *request;
	const struct transport6 *t;
	bool listed;

	if (!work)
		return VERDICT_RARE;
	request = &work->request;
	t = &work->transport;
	inside = inside_of6(&request->external);
	listed = is_excepted6(inside, &request->external, &request->flow.remote_address);
	if (listed && unfit == DROP(IP_OPTIONS))
		return unfit; /* the namespace could send it on */
	if (!listed && (unfit || !except6_is_about(skb)))
		return VERDICT_RARE;
	if (!unfit && !t->later && t->protocol == NSR_NAT_ICMP && !is_icmp6_error(t->icmp_type) &&
	    t->icmp_type != ICMP6_ECHO_REQUEST && t->icmp_type != ICMP6_ECHO_REPLY)
		return VERDICT_RARE; /* a neighbour's */
	TELL(EXCEPT, 1, 0, 0);
	return 0;
}

NSR_STEP int except6_arrives(struct __sk_buff *skb, bool bare)
{
	u32 ifindex = skb->ifindex;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	struct nat_work6 *work = nat_work();
	const struct nsr_inside *inside;
	struct nat_request6 *request;
	struct packet p;
	int verdict;

	if (!uplink || !work || parse_as(skb, &p, bare) != PACKET_IPV6)
		return VERDICT_RARE;
	request = &work->request;
	inside = inside_of6(&p.ip6->daddr);
	if (!inside || !inside->except || inside->uplink != uplink->index)
		return VERDICT_RARE;
	__builtin_memcpy(&request->flow.remote_address, &p.ip6->saddr, sizeof(p.ip6->saddr));
	__builtin_memcpy(&request->external, &p.ip6->daddr, sizeof(p.ip6->daddr));
	verdict = except6_judge(skb,
				transport6_find(skb, link_bytes(bare), skb->len, &work->transport));
	if (verdict)
		return verdict;
	return ip6_is_special(&request->flow.remote_address) ||
			       address6_is_external(uplink, &request->flow.remote_address) ||
			       inside_of6(&request->flow.remote_address) ||
			       fib_host6(&request->flow.remote_address) ||
			       local6_is_client(&request->flow.remote_address)
		       ? DROP(SPOOFED_ADDRESS)
		       : 0;
}

#endif
