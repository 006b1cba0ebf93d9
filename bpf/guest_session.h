/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guest_session.h - the session of a flow between a published port and a namespace that does not
 * leave by its uplink: see guest.h.
 *
 * It is as one that the outside begins, but it counts for who begins it, and there is none that
 * does without: what is sent back is known by it alone.
 *
 * One text for both families, as nat4.h tells.
 */
#ifndef NSROUTE_BPF_GUEST_SESSION_H
#define NSROUTE_BPF_GUEST_SESSION_H

#include "nat.h"

/* Not decided yet: a session has to be opened, or the packet is no answer. No other verdicts. */
#define GUEST_OPENS  0x40000000
#define GUEST_DIRECT 0x10000000

/* What is set for the flow: for how long, by the publisher's network; how many, by the client's. */
static __always_inline int guest_limits(const struct nsr_port *port, struct nat_request *request)
{
	const struct nsr_inside *inside = nat_inside_of(&request->flow.inside.address);

	if (!inside)
		return DROP(NAT_CLOSED);
	request_limits(request, inside);
	inside = nat_inside_of(&request->flow.remote_address);
	request->flows_max = inside ? inside->flows_max : NSR_FLOWS_DEFAULT;
	request->owner = NSR_OWNER(NSR_OWNER_OWN, 1 + port->index);
	return 0;
}

NSR_STEP int guest_enter(struct nat_request *request)
{
	u32 number;
	int result;

	request = nat_request_here(request);
	if (!request)
		return DROP(NAT_SESSIONS);
	result = share_take_session(request->owner, request->flows_max, NAT_FAMILY, session_room());
	INSTEAD(result);
	if (result)
		return result;
	number = session_claim();
	result = number == BITS_NONE ? DROP(NAT_SESSIONS) : session_enter(number, request);
	if (result)
		flows_give(request->owner);
	return result;
}

/* A session for request->mapping: 0, or a reason to drop. Another CPU may have opened it, or the
 * one that was there has ended; the remote may have one by another port of the publisher's, which
 * could not tell the two apart. */
NSR_STEP int guest_open(const struct nsr_port *port, struct nat_request *request)
{
	u32 mapping;
	int result;

	request = nat_request_here(request);
	if (!request || !port)
		return DROP(NAT_SESSIONS);
	mapping = request->mapping;
	result = guest_limits(port, request);
	if (!result)
		result = guest_enter(request);
	if (result != DROP(NAT_CONTENTION))
		return result;
	if (session_join(request))
		return request->mapping == mapping ? 0 : DROP(NAT_CONTENTION);
	return guest_enter(request);
}

/* Notes by the first fragment of a client's datagram whom the others are for. What the uplink has
 * of that name came from outside, forged: it neither is let go, nor does it keep a client's own
 * back. What cannot be noted must not be taken from an older entry. */
static __always_inline void guest_learn(const struct nsr_datagram_in *entry)
{
	INSTEAD();
	if (bpf_map_update_elem(&datagrams_in, &entry->datagram, entry, BPF_ANY))
		bpf_map_delete_elem(&datagrams_in, &entry->datagram);
}

/* Whether a live session has been opened here: one that came by the uplink, in the name of an
 * address inside, is forged, or nothing that an answer could go straight to. */
static __always_inline bool guest_is_ours(const struct nsr_session *session, u32 state)
{
	u32 owner = READ_ONCE(session->owner);

	barrier();
	return NSR_OWNER_KIND(owner) == NSR_OWNER_OWN && READ_ONCE(session->state) == state;
}

/* Whether the address by which a session came is the uplink's no more. */
static __always_inline bool guest_has_gone(const struct session_view *view,
					   const struct nsr_flow *flow)
{
	return nat_fate(flow->inside.uplink, NSR_MAPPING_SLOT(view->mapping), &view->external) !=
	       ADDRESS_STAYS;
}

/* The session of what a publisher sends, when that has been published: VERDICT_PEER, and
 * request->mapping and external; GUEST_DIRECT: there is none. A connection that begins while the
 * session is over is another one, straight between the two. */
NSR_STEP int guest_answer(struct nat_request *request)
{
	struct nsr_session *session;
	struct session_view view;
	u32 state;

	request = nat_request_here(request);
	if (!request)
		return GUEST_DIRECT;
	NAT_KEY(struct nsr_flow, flow, &request->flow);
	session = session_find(flow, request->now_s, false, &view, &state);
	if (!session || !guest_is_ours(session, state) || !mapping_is_published(view.mapping))
		return GUEST_DIRECT;
	if (guest_has_gone(&view, flow) ||
	    (request->seen & NSR_SEEN_OUT_SYN && session_is_over(READ_ONCE(session->life)))) {
		session_give_up(session, state);
		return GUEST_DIRECT;
	}
	if (!session_seen(session, state, request->seen, request->now_s))
		return GUEST_DIRECT;
	request->mapping = view.mapping;
	request->external = view.external;
	return VERDICT_PEER;
}

/* Whether a flow has such a session, by an address that stays: request->external and mapping. For
 * errors, by which it neither goes on nor ends. */
NSR_STEP int guest_knows(struct nat_request *request)
{
	const struct nsr_session *session;
	struct session_view view;
	u32 state;

	request = nat_request_here(request);
	if (!request)
		return false;
	session = session_peek(&request->flow, request->now_s, &view, &state);
	if (!session || !guest_is_ours(session, state) || !mapping_is_published(view.mapping) ||
	    guest_has_gone(&view, &request->flow))
		return false;
	request->mapping = view.mapping;
	request->external = view.external;
	return true;
}

/* What a client sends: VERDICT_PEER when it has a session, or GUEST_OPENS. A connection that begins
 * anew has a session of its own, so that one that is over is known to be. */
NSR_STEP int guest_ask(struct nat_request *request)
{
	struct nsr_session *session;
	struct session_view view;
	u32 state;

	request = nat_request_here(request);
	if (!request)
		return DROP(NAT_SESSIONS);
	NAT_KEY(struct nsr_flow, flow, &request->flow);
	session = session_find(flow, request->now_s, false, &view, &state);
	if (!session)
		return GUEST_OPENS;
	if (guest_has_gone(&view, flow) || !guest_is_ours(session, state) ||
	    (request->seen & NSR_SEEN_IN_SYN && session_is_over(READ_ONCE(session->life)))) {
		session_give_up(session, state);
		return GUEST_OPENS;
	}
	if (view.mapping != request->mapping || !address_equal(&view.external, &request->external))
		return DROP(NAT_CONTENTION);
	return session_seen(session, state, request->seen, request->now_s) ? VERDICT_PEER
									   : GUEST_OPENS;
}

#endif
