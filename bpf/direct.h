/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * direct.h - what the outside begins straight with an inside address ("inbound: true"), and the
 * answers to it, which are the only packets of inside that leave as they are.
 *
 * A direct flow is a session without a mapping. It is in the tables of sessions, under a flow that
 * is marked, so that no step that translates finds one, and what is translated costs nothing more:
 * only what has no other session is looked for here. So where both kinds are, the translated one
 * wins, whichever came first.
 *
 *   in    opened by what can begin a flow, unless the endpoint has a translated session with this
 *         remote, or a mapping that is not published: then all that it sends leaves by that
 *   out   never opened; used by what answers, which the first segment of a connection and an echo
 *         request do not
 *
 * In place of an external address a record has the number that nsr_inside.inbound had when it was
 * made. That is another one whenever "inbound" has been taken away and set again, so a session of
 * the time before is none from the moment that the entry changes, whoever is just making it.
 *
 * A later fragment has no ports. It leaves as it is when the entry of its datagram names the
 * session of the first one, and that still lives. One that has no entry is dropped: there is no
 * telling whether it is to be translated.
 *
 * One text for both families, as nat4.h tells.
 */
#ifndef NSROUTE_BPF_DIRECT_H
#define NSROUTE_BPF_DIRECT_H

#include "datagram.h"
#include "nat.h"

/* The network of an inside address that the outside may reach straight by this uplink; NULL: it may
 * not. */
static __always_inline const struct nsr_inside *direct_inside(const nat_address *address,
							      u32 uplink)
{
	const struct nsr_inside *inside = nat_inside_of(address);

	return inside && inside->inbound && inside->uplink == uplink ? inside : NULL;
}

/* What a record of an inside address has in place of its external one now. */
static __always_inline bool direct_since(const nat_address *address, u32 uplink, nat_address *ret)
{
	const struct nsr_inside *inside = direct_inside(address, uplink);

	nat_number(inside ? inside->inbound : 0, ret);
	return inside;
}

/* Whether a direct session is of a time that is over. */
NSR_STEP int direct_is_stranded(const struct nsr_session *session)
{
	nat_address address, since;

	if (!session)
		return false;
	address = session->flow.inside.address;
	return !direct_since(&address, session->flow.inside.uplink, &since) ||
	       !address_equal(&since, &session->external);
}

/* The live direct session of a request's flow, whose kind is set. NULL: there is none; if *ret_ref
 * has a state, there is one that is over. */
static __always_inline struct nsr_session *direct_find(const struct nat_request *request,
						       struct nsr_session_ref *ret_ref)
{
	NAT_KEY(struct nsr_flow, flow, &request->flow);
	struct nsr_session_ref *ref = bpf_map_lookup_elem(&session_by_flow, flow);
	struct nsr_session *session;
	struct session_view view;
	nat_address since;
	u32 number, state;

	ret_ref->state = 0;
	if (!ref)
		return NULL;
	number = READ_ONCE(ref->session);
	state = READ_ONCE(ref->state);
	session = bpf_map_lookup_elem(&sessions, &number);
	if (!session || !session_matches(session, state, flow, false, &view))
		return NULL;
	ret_ref->session = number;
	ret_ref->state = state;
	if (!direct_since(&flow->inside.address, flow->inside.uplink, &since) ||
	    !address_equal(&since, &view.external) ||
	    session_is_expired(READ_ONCE(session->life), READ_ONCE(session->refreshed_s),
			       request->now_s))
		return NULL;
	return session;
}

/* Whether there is a direct session that a packet goes by; what it has seen is noted. ends: the
 * packet is not of it, but the end of it. *ret_ref as by direct_find(). */
NSR_STEP int direct_use(struct nat_request *request, u32 ends, struct nsr_session_ref *ret_ref)
{
	struct nsr_session *session;
	int ret = false;

	request = nat_request_here(request);
	if (!request || !ret_ref)
		return false;
	request->flow.kind = NSR_FLOW_DIRECT;
	session = direct_find(request, ret_ref);
	if (session && ends)
		session_give_up(session, ret_ref->state);
	else if (session)
		ret = session_seen(session, ret_ref->state, request->seen, request->now_s);
	request->flow.kind = NSR_FLOW_TRANSLATED;
	TELL(DIRECT, ret, 0, 0);
	return ret;
}

/* Whether an ICMP error is about a direct session, which it leaves as it is. */
NSR_STEP int direct_known(struct nat_request *request)
{
	struct session_view view;
	nat_address since;
	bool ret;
	u32 state;

	request = nat_request_here(request);
	if (!request)
		return false;
	request->flow.kind = NSR_FLOW_DIRECT;
	ret = session_peek(&request->flow, request->now_s, &view, &state) &&
	      direct_since(&request->flow.inside.address, request->flow.inside.uplink, &since) &&
	      address_equal(&since, &view.external);
	request->flow.kind = NSR_FLOW_TRANSLATED;
	return ret;
}

/* ---- What arrives. */

/* Whether what the endpoint sends to the remote is translated. Echo requests of either side are not
 * mistaken for the other's. */
NSR_STEP int direct_is_translated(struct nat_request *request)
{
	struct session_view view;
	u32 state;

	request = nat_request_here(request);
	if (!request)
		return true;
	return request->flow.inside.protocol != NSR_NAT_ICMP &&
	       session_peek(&request->flow, request->now_s, &view, &state);
}

/* Whether it would be if it sent there first. */
NSR_STEP int direct_would_be(struct nat_request *request)
{
	const struct nsr_mapping *record;
	u32 mapping;

	request = nat_request_here(request);
	if (!request)
		return true;
	if (request->flow.inside.protocol == NSR_NAT_ICMP)
		return false;
	mapping = mapping_entered(&request->flow.inside);
	record = mapping ? nat_mapping(mapping) : NULL;
	return record && READ_ONCE(record->references) &&
	       !(record->flags & NSR_MAPPING_PUBLISHED) &&
	       inside_equal(&record->inside, &request->flow.inside);
}

/* A session for the request's flow. 0: it has one now. */
NSR_STEP int direct_open(struct __sk_buff *skb, struct nat_request *request)
{
	const struct nsr_inside *inside;
	nat_address outer;
	int result;

	request = nat_request_here(request);
	if (!request)
		return DROP(NAT_SESSIONS);
	inside = direct_inside(&request->flow.inside.address, request->flow.inside.uplink);
	if (!inside)
		return DROP(INBOUND);
	request_limits(request, inside);
	request->owner = NSR_OWNER(NSR_OWNER_INBOUND, NSR_OWNER_NUMBER(request->owner));
	request->mapping = NSR_MAPPING_NONE;
	request->flow.kind = NSR_FLOW_DIRECT;
	outer = request->external;
	nat_number(inside->inbound, &request->external);
	result = session_admit(skb, request);
	request->external = outer;
	request->flow.kind = NSR_FLOW_TRANSLATED;
	request->mapping = 0;
	TELL(DIRECT, 2, result, 0);
	return result;
}

/* What comes straight to an inside address: NAT_INBOUND_SESSION when it may pass; of a flow that is
 * translated NAT_INBOUND_REFUSED, and NAT_INBOUND_HOST when it belongs to no session. begins: it
 * can open one. */
NSR_STEP int direct_arrives(struct __sk_buff *skb, struct nat_request *request, u32 begins)
{
	struct nsr_session_ref ref = {};

	request = nat_request_here(request);
	if (!request || direct_is_translated(request))
		return NAT_INBOUND_REFUSED;
	if (direct_use(request, false, &ref))
		return NAT_INBOUND_SESSION;
	if (!begins)
		return NAT_INBOUND_HOST;
	if (direct_would_be(request))
		return NAT_INBOUND_REFUSED;
	if (ref.state)
		session_end(ref.session, ref.state, request->now_s);
	switch (direct_open(skb, request)) {
	case 0:
		return NAT_INBOUND_SESSION;
	case DROP(NAT_LIMIT):
		return NAT_INBOUND_LIMITED;
	case DROP(NAT_SESSIONS):
		return NAT_INBOUND_FULL;
	case DROP(NAT_CONTENTION):
		return NAT_INBOUND_BUSY;
	default:
		return NAT_INBOUND_REFUSED;
	}
}

/* Why it is dropped. */
static __always_inline int direct_refused(enum nat_inbound whom)
{
	if (whom == NAT_INBOUND_HOST)
		return DROP(NAT_STATE);
	return whom == NAT_INBOUND_REFUSED || whom == NAT_INBOUND_RARE ? DROP(INBOUND)
								       : inbound_refused(whom);
}

/* ---- Fragments that leave. */

/* Notes by the first fragment of a datagram which session it leaves by; a state of 0: translated.
 */
NSR_STEP int direct_note(const struct nsr_datagram *datagram, const struct nsr_session_ref *ref,
			 u32 now_s)
{
	struct nsr_datagram_out entry = {.since_s = now_s};
	struct nsr_datagram key;

	if (!datagram || !ref || !now_s)
		return 0;
	INSTEAD(0);
	key = *datagram;
	entry.session = ref->session;
	entry.state = ref->state;
	bpf_map_update_elem(&datagrams_out, &key, &entry, BPF_ANY);
	return 0;
}

/* Whether a session is a direct one of the datagram's two addresses, and lives. The entry that
 * names it may have been recycled while it was read. */
static __always_inline bool direct_is_of(const struct nsr_session_ref *ref,
					 const struct nsr_datagram *datagram, u32 now_s)
{
	const struct nsr_session *session;
	u32 number = ref->session;
	nat_address since;
	bool equal;

	session = bpf_map_lookup_elem(&sessions, &number);
	if (!session || (ref->state & NSR_SESSION_STATUS) != NSR_SESSION_ACTIVE ||
	    READ_ONCE(session->state) != ref->state ||
	    !direct_since(&datagram->source, datagram->uplink, &since))
		return false;
	barrier();
	equal = session->flow.kind == NSR_FLOW_DIRECT &&
		session->flow.inside.uplink == datagram->uplink &&
		address_equal(&session->flow.inside.address, &datagram->source) &&
		address_equal(&session->flow.remote_address, &datagram->dest) &&
		address_equal(&session->external, &since) &&
		!session_is_expired(READ_ONCE(session->life), READ_ONCE(session->refreshed_s),
				    now_s);
	barrier();
	return equal && READ_ONCE(session->state) == ref->state;
}

/* A later fragment of an inside address that the outside may reach: 0, it leaves as it is;
 * VERDICT_RARE, it is to be translated; or a reason to drop. */
NSR_STEP int direct_later(const struct nsr_datagram *datagram, u32 now_s)
{
	const struct nsr_datagram_out *known;
	struct nsr_session_ref ref;
	struct nsr_datagram key;
	u32 since_s;

	if (!datagram)
		return DROP(NAT_FRAGMENT);
	key = *datagram;
	known = bpf_map_lookup_elem(&datagrams_out, &key);
	if (!known)
		return DROP(NAT_FRAGMENT);
	since_s = READ_ONCE(known->since_s);
	ref.session = READ_ONCE(known->session);
	ref.state = READ_ONCE(known->state);
	if (datagram_is_old(since_s, now_s, datagram_lasts(&key.source)))
		return DROP(NAT_FRAGMENT);
	if (!ref.state)
		return VERDICT_RARE;
	return direct_is_of(&ref, &key, now_s) ? 0 : DROP(NAT_FRAGMENT);
}

#endif
