/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nat.h - masquerade: which external address and port a flow has, and what comes back to it.
 *
 * A mapping (inside endpoint <-> external port) lives as long as one session refers to it; a
 * session is a mapping and a remote. Mappings are endpoint-independent (RFC 4787 REQ-1), unless the
 * network has them address- and port-dependent: then each session has its own. What comes
 * in needs a session; where the network's filter lets more in, the packet makes one. That one does
 * not refer to the mapping, so as not to keep it alive, until the inside answers.
 *
 *   out: session_by_flow -> session -> mapping = pool and port = the translation
 *   in:  pool[port] = inside endpoint -> session_by_flow -> session
 *
 * A mapping is named by its pool and port, so its translation is computed from its name and can not
 * be read half-written. Making a flow claims a port bit, writes the record, and enters the inside
 * endpoint and then the flow with BPF_NOEXIST; who finds an entry there undoes its own and uses the
 * other's. A mapping ends when its last reference goes; its port then cools down, so that a packet
 * which is still on its way through another CPU cannot end up in somebody else's flow.
 *
 * Everything fails closed: whatever goes wrong, the packet is dropped and the reason counted.
 */
#ifndef NSROUTE_BPF_NAT_H
#define NSROUTE_BPF_NAT_H

#include <linux/errno.h>

#include "conntrack.h"
#include "contact.h"
#include "counters.h"
#include "fib.h"
#include "flows.h"
#include "mapping.h"
#include "ports.h"
#include "share.h"
#include "trace.h"

/* ---- Sessions. */

/* Ends an active session once, whoever comes first; 1 when it was us, else 0. idle: only if it has
 * expired, which is looked at again, for a packet may have used it since the caller did. */
NSR_STEP int session_end(u32 number, u32 state, u32 now_s, bool idle)
{
	struct nsr_session *session = bpf_map_lookup_elem(&sessions, &number);
	u32 dying = (state & ~NSR_SESSION_STATUS) | NSR_SESSION_DYING;
	int result = -EAGAIN, i;
	struct nsr_flow flow;
	u32 life = 0;

	TELL(EXPIRED, number, state, now_s);
	INSTEAD(0);
	if (!session || (state & NSR_SESSION_STATUS) != NSR_SESSION_ACTIVE)
		return 0;
	for (i = 0; i < NAT_TRIES && result == -EAGAIN; i++) {
		life = READ_ONCE(session->life);
		if (idle && !session_is_expired(life, READ_ONCE(session->refreshed_s), now_s))
			return 0;
		result = session_swap(session, state, life, dying, life);
	}
	if (result)
		return 0;
	flow = session->flow;
	flow_to_key(&flow);
	bpf_map_delete_elem(&session_by_flow, &flow);
	if (life & NSR_SEEN_OUT)
		mapping_put(session->mapping, now_s);
	if (NSR_OWNER_KIND(session->owner) == NSR_OWNER_CONTACT)
		contact_forget(&flow);
	flows_give(session->owner);
	count_nat(flow.inside.uplink, sessions_expired, flow.inside.protocol, 1);
	session_vacate(session, number);
	return 1;
}

/*
 * Adds to what a session has seen, and changes its timeout with it; 0: done. What it lives on for
 * when it is over counts from then, whoever ended it (RFC 7857 2.2): a reset that the inside does
 * not believe must not take a connection that has been idle. The time is set first, so that nobody
 * finds the new timeout with the old time. In a record that is another session's by now only the
 * time can be changed, to that of a packet that is just being looked at.
 */
static __always_inline int session_turn(struct nsr_session *session, const struct nsr_flow *flow,
					u32 state, u32 seen, u32 now_s, u32 *ret_known)
{
	const struct nsr_inside *inside = nat_inside_of(&flow->inside.address);
	int result = -EAGAIN, i;
	u32 life, now_seen;

	for (i = 0; i < NAT_TRIES && result == -EAGAIN; i++) {
		life = READ_ONCE(session->life);
		if (!NSR_LIFE_TIMEOUT_S(life))
			return -ENOENT; /* given up: it gets no time again */
		now_seen = session_next(NSR_LIFE_SEEN(life), seen);
		if (session_is_over(now_seen) && !session_is_over(life)) {
			WRITE_ONCE(session->route.word, 0); /* nobody has asked in this second */
			WRITE_ONCE(session->refreshed_s, now_s);
		}
		*ret_known = life;
		result = session_swap(session, state, life, state,
				      inside ? session_life(inside, flow, now_seen)
					     : NSR_LIFE(NSR_LIFE_TIMEOUT_S(life), now_seen));
	}
	return result;
}

/* The same of a flow of the host's own: own.h. */
int session_turn_host(struct nsr_session *session, u32 state, u32 seen, u32 now_s);

/* Has a session be found expired from now on. */
static __always_inline int session_give_up(struct nsr_session *session, u32 state)
{
	u32 life = READ_ONCE(session->life);

	INSTEAD(-ENOENT);
	session_swap(session, state, life, state, NSR_LIFE(0, NSR_LIFE_SEEN(life)));
	return -ENOENT;
}

/* A session has seen something new; 0: done, also when it was not to be had: the next packet will
 * tell. -ENOENT: the session is of no use any more. One that the outside made refers to its mapping
 * from the first packet of the inside on; when that has ended, it is given up. */
NSR_STEP int session_change(struct nsr_session *session, u32 state, u32 seen, u32 now_s)
{
	struct nsr_mapping *record;
	u32 mapping = 0, known = 0;
	struct nsr_flow flow;
	int result;

	if (!session)
		return -ENOENT;
	/* It has had its mapping's reference from the beginning: the host has begun it. */
	if (READ_ONCE(session->owner) == NSR_OWNER_HOST)
		return session_turn_host(session, state, seen, now_s) == -ENOENT ? -ENOENT : 0;
	flow = session->flow;
	if (seen & ~READ_ONCE(session->life) & NSR_SEEN_OUT) {
		mapping = READ_ONCE(session->mapping);
		record = nat_mapping(mapping);
		if (!record || !mapping_get(record))
			return session_give_up(session, state);
		if (!inside_equal(&record->inside, &flow.inside)) {
			mapping_put(mapping, now_s);
			return session_give_up(session, state);
		}
	}
	result = session_turn(session, &flow, state, seen, now_s, &known);
	if (!mapping)
		return result == -ENOENT ? result : 0;
	if (result || known & NSR_SEEN_OUT) /* another CPU has got a reference for it */
		mapping_put(mapping, now_s);
	return result;
}

/*
 * A packet goes through; false when the session is of no use to it. Only what goes out keeps one
 * alive (RFC 4787 REQ-6: what comes in would let the outside hold it open). Written at most once a
 * second, and when the state changes.
 */
static __always_inline bool session_seen(struct nsr_session *session, u32 state, u32 seen,
					 u32 now_s)
{
	u32 known = READ_ONCE(session->life);

	INSTEAD(true);
	if ((seen & ~known || session_revives(known, seen)) &&
	    session_change(session, state, seen, now_s))
		return false;
	if (seen & NSR_SEEN_OUT && READ_ONCE(session->refreshed_s) != now_s)
		WRITE_ONCE(session->refreshed_s, now_s);
	return true;
}

/* The live session of a flow, and what is in it. One that has expired is ended here. */
static __always_inline struct nsr_session *session_find(const struct nsr_flow *flow, u32 now_s,
							bool routed, struct session_view *ret_view,
							u32 *ret_state)
{
	struct nsr_session_ref *ref = bpf_map_lookup_elem(&session_by_flow, flow);
	struct nsr_session *session;
	u32 number, state;

	if (!ref)
		return NULL;
	number = READ_ONCE(ref->session);
	state = READ_ONCE(ref->state);
	session = bpf_map_lookup_elem(&sessions, &number);
	if (!session || !session_matches(session, state, flow, routed, ret_view))
		return NULL;
	if (session_is_expired(READ_ONCE(session->life), READ_ONCE(session->refreshed_s), now_s)) {
		session_end(number, state, now_s, true);
		return NULL;
	}
	TELL(SESSION, ret_view->mapping, nat_told(ret_view->external),
	     NSR_LIFE_SEEN(session->life));
	*ret_state = state;
	return session;
}

/* As session_find(), but only looks: one that has expired is ended by others. For steps that have
 * no room on the stack for more. */
static __always_inline struct nsr_session *
session_peek(const struct nsr_flow *flow, u32 now_s, struct session_view *ret_view, u32 *ret_state)
{
	NAT_KEY(struct nsr_flow, key, flow);
	struct nsr_session_ref *ref = bpf_map_lookup_elem(&session_by_flow, key);
	struct nsr_session *session;
	u32 number, state;

	if (!ref)
		return NULL;
	number = READ_ONCE(ref->session);
	state = READ_ONCE(ref->state);
	session = bpf_map_lookup_elem(&sessions, &number);
	if (!session || !session_matches(session, state, key, false, ret_view) ||
	    session_is_expired(READ_ONCE(session->life), READ_ONCE(session->refreshed_s), now_s))
		return NULL;
	barrier();
	if (READ_ONCE(session->state) != state) /* and it may have been another one's time */
		return NULL;
	TELL(SESSION, ret_view->mapping, nat_told(ret_view->external),
	     NSR_LIFE_SEEN(session->life));
	*ret_state = state;
	return session;
}

/* Whether what the host itself sends to the request's remote from this port leaves by another one:
 * own.h. What comes to this one, or begins here, has nothing to do with the host's socket then. */
int host_is_translated(struct nat_request *request, u32 port);

/* Fills a claimed slot and enters it; on failure the slot is free again. */
NSR_STEP int session_enter(u32 number, const struct nat_request *request)
{
	struct nsr_session *session = bpf_map_lookup_elem(&sessions, &number);
	struct nsr_session_ref ref = {};
	u32 generation;
	int result;

	request = nat_request_here(request);
	if (!session || !request) {
		session_release(number);
		return DROP(NAT_SESSIONS);
	}
	generation = session->state & ~NSR_SESSION_STATUS;
	WRITE_ONCE(session->state, generation | NSR_SESSION_CLAIMED);
	barrier();
	NAT_ENTRY(flow, &request->flow);
	session->flow = request->flow;
	session->life = request->life;
	session->mapping = request->mapping;
	session->refreshed_s = request->now_s;
	session->external = request->external;
	session->route.word = 0;
	session->owner = request->owner;
	barrier();
	ref.session = number;
	ref.state = generation | NSR_SESSION_ACTIVE;
	result = bpf_map_update_elem(&session_by_flow, flow, &ref, BPF_NOEXIST);
	if (!result) {
		/* By who has looked for it, if faster. From here on others may end it. */
		session_begin(session, ref.state);
		count_nat(flow->inside.uplink, sessions_created, flow->inside.protocol, 1);
		return 0;
	}
	session_vacate(session, number);
	return result == -EEXIST ? DROP(NAT_CONTENTION) : DROP(NAT_SESSIONS);
}

/* The mapping that the inside endpoint has: VERDICT_RARE when it has none, or none for this flow.
 * One that it has may be of no use for this remote, when a socket of the host talks to it from the
 * same port. */
NSR_STEP int mapping_use(struct __sk_buff *skb, struct nat_request *request)
{
	__be16 port;
	bool paired;

	request = nat_request_here(request);
	if (!request)
		return DROP(NAT_PORTS);
	request->mapping =
		mapping_is_own(request) ? 0 : mapping_find(&request->flow.inside, request->now_s);
	if (!request->mapping)
		return VERDICT_RARE;
	port = bpf_htons(NSR_MAPPING_PORT(request->mapping));
	paired = NSR_MAPPING_SLOT(request->mapping) == request->slot; /* or it is about to end */
	if (paired && (!host_has_port(skb, request, port, mapping_is_published(request->mapping)) ||
		       host_is_translated(request, port)))
		return 0;
	mapping_put(request->mapping, request->now_s);
	return paired ? DROP(NAT_SOCKET) : DROP(NAT_CONTENTION);
}

/* A session with request->mapping, or when that is 0 with a new one. */
static __always_inline int session_make(struct __sk_buff *skb, struct nat_request *request)
{
	u32 number = session_claim();
	int result;

	if (number == BITS_NONE)
		return DROP(NAT_SESSIONS);
	result = request->mapping ? 0 : mapping_open(skb, request);
	if (!result)
		return session_enter(number, request);
	session_release(number);
	return result;
}

/* The same, of what the namespace may have. */
static __always_inline int session_make_counted(struct __sk_buff *skb, struct nat_request *request)
{
	bool contact = NSR_OWNER_KIND(request->owner) == NSR_OWNER_CONTACT;
	int result = flows_claim(skb, request);

	if (result)
		return result;
	if (contact)
		result = contact_get(&request->flow, request->owner);
	if (result == VERDICT_RARE)
		result = contact_make(&request->flow, request->owner);
	if (!result) {
		result = session_make(skb, request);
		if (result && contact)
			contact_forget(&request->flow);
	}
	if (result)
		flows_give(request->owner);
	return result;
}

/* Opens a session, with the mapping its inside endpoint has or a new one. It calls one step after
 * the other, and they hardly any: what they need of the stack is not needed at once. 0 is also for
 * a packet from a published port that does without. */
NSR_STEP int session_open(struct __sk_buff *skb, struct nat_request *request)
{
	bool published;
	int result;

	request = nat_request_here(request);
	if (!request)
		return DROP(NAT_SESSIONS);
	result = mapping_use(skb, request);
	if (result && result != VERDICT_RARE)
		return result;
	published = mapping_is_published(request->mapping);
	if (published)
		request->owner = NSR_OWNER(NSR_OWNER_INBOUND, NSR_OWNER_NUMBER(request->owner));
	result = session_make_counted(skb, request);
	if (result && request->mapping)
		mapping_put(request->mapping, request->now_s);
	return published && share_is_short(result) ? 0 : result;
}

/* What resets a connection that has no session ends nothing. From a published port it is the answer
 * to what came in without one; request->mapping is then that port's. 0 or a reason to drop. */
NSR_STEP int session_reset(struct __sk_buff *skb, struct nat_request *request)
{
	const struct nsr_mapping *record;
	u32 mapping;

	request = nat_request_here(request);
	if (!request)
		return DROP(NAT_STATE);
	mapping = mapping_entered(&request->flow.inside);
	record = mapping ? nat_mapping(mapping) : NULL;
	if (!record || !(record->flags & NSR_MAPPING_PUBLISHED) ||
	    NSR_MAPPING_SLOT(mapping) != request->slot ||
	    !inside_equal(&record->inside, &request->flow.inside))
		return DROP(NAT_STATE);
	if (host_has_socket(skb, request->flow.inside.protocol, &request->flow.remote_address,
			    request->flow.remote_port, &request->external,
			    bpf_htons(NSR_MAPPING_PORT(mapping)), true))
		return DROP(NAT_SOCKET);
	request->mapping = mapping;
	return 0;
}

/* Whether the flow has a session of the request's external address that this packet belongs to;
 * request->mapping is then its. flow is the request's, on the stack. */
static __always_inline bool session_use(const struct nsr_flow *flow, struct nat_request *request)
{
	struct session_view view;
	struct nsr_session *session;
	u32 state;

	session = session_find(flow, request->now_s, false, &view, &state);
	if (!session || !address_equal(&view.external, &request->external) ||
	    !session_seen(session, state, request->seen, request->now_s))
		return false;
	request->mapping = view.mapping;
	return true;
}

/* Whether a packet leaves by a session that was found. Only then the request has its address. */
static __always_inline bool session_goes_on(struct nsr_session *session, u32 state, int fate,
					    const struct session_view *view,
					    struct nat_request *request)
{
	if (fate == ADDRESS_REPLACED)
		session_give_up(session, state);
	if (fate != ADDRESS_STAYS || !session_seen(session, state, request->seen, request->now_s))
		return false;
	request->mapping = view->mapping;
	request->external = view->external;
	return true;
}

/* Whether what leaves has a session, of an address that its uplink was last found to have. */
static __always_inline bool session_leaves(const struct nsr_flow *flow, struct nat_request *request)
{
	struct nsr_session *session;
	struct session_view view;
	u32 state;
	int fate;

	session = session_find(flow, request->now_s, false, &view, &state);
	if (!session)
		return false;
	fate = nat_fate(flow->inside.uplink, NSR_MAPPING_SLOT(view.mapping), &view.external);
	return session_goes_on(session, state, fate, &view, request);
}

/* Whether the flow's live session has another slot than what the flow would begin with, whose
 * address has gone: it waits for that, and gets no other. The request has that slot then, and no
 * address. On its own, for the stack. */
NSR_STEP int session_waits(struct nat_request *request)
{
	struct session_view view;
	u32 state, slot;

	request = nat_request_here(request);
	if (!request || !session_peek(&request->flow, request->now_s, &view, &state))
		return false;
	slot = NSR_MAPPING_SLOT(view.mapping);
	if (slot == request->slot ||
	    nat_fate(request->flow.inside.uplink, slot, &view.external) != ADDRESS_GONE)
		return false;
	request->slot = slot;
	nat_number(0, &request->external);
	return true;
}

/* On its own, so that it takes no room on the stack below which a session is opened. */
NSR_STEP int session_join(struct nat_request *request)
{
	request = nat_request_here(request);
	if (!request)
		return 0;
	NAT_KEY(struct nsr_flow, flow, &request->flow);
	session_finish(flow);
	return session_leaves(flow, request);
}

/* Opens a session, or finds the one that another CPU has opened meanwhile, which may have been the
 * last one that the namespace may have. Tries three times; not a loop, because kernel 6.1 refuses
 * one that ends in a call. */
NSR_STEP int session_open_or_join(struct __sk_buff *skb, struct nat_request *request)
{
	int result;

	if (!request)
		return DROP(NAT_SESSIONS);
	INSTEAD(trace_open(skb, request));
	result = session_open(skb, request);
	if (result == DROP(NAT_CONTENTION))
		result = session_join(request) ? 0 : session_open(skb, request);
	if (result == DROP(NAT_CONTENTION))
		result = session_join(request) ? 0 : session_open(skb, request);
	/* One that has expired was ended, which makes room. */
	if (result == DROP(NAT_LIMIT))
		result = session_join(request) ? 0 : session_open(skb, request);
	return result;
}

/* A session of the outside's, for request->mapping. 0: it has one now; VERDICT_RARE: the remote has
 * one with the endpoint, by another port of it. */
static __always_inline int session_admit(struct __sk_buff *skb, struct nat_request *request)
{
	struct session_view view;
	u32 number, state;
	int result = flows_claim(skb, request);

	INSTEAD(result);
	if (!result) {
		number = session_claim();
		result = number == BITS_NONE ? DROP(NAT_SESSIONS) : session_enter(number, request);
		if (result)
			flows_give(request->owner);
	}
	if (result != DROP(NAT_CONTENTION))
		return result;
	/* Another CPU has made it, of a packet like this one: nothing new has been seen. */
	session_finish(&request->flow);
	if (!session_peek(&request->flow, request->now_s, &view, &state))
		return result;
	return view.mapping == request->mapping && address_equal(&view.external, &request->external)
		       ? 0
		       : VERDICT_RARE;
}

/* Whether the request's flow has a live direct session: direct.h. */
int direct_known(struct nat_request *request);

/*
 * What comes in to request->mapping and has no session, where it is not for the host: one is made
 * where the filter lets it in, which is the network's, unless the port is published. To a published
 * port it may pass without, where the answer is translated. 0: it is let in.
 */
static __always_inline int nat_admit(struct __sk_buff *skb, struct nat_request *request)
{
	const struct nsr_inside *inside = nat_inside_of(&request->flow.inside.address);
	bool published = mapping_is_published(request->mapping);
	bool without = published && !nat_is_excepted(inside, &request->flow);
	int refused;

	/* Nobody takes a direct flow away by asking for the same endpoint by another address. */
	if (!inside || (inside->inbound && direct_known(request)))
		return DROP(NAT_FILTERED);
	if (!filter_admits(request, published ? (u32)NSR_FILTER_NOTHING : inside->filtering))
		return without ? 0 : DROP(NAT_FILTERED);
	if (!published && nat_is_changing(request->flow.inside.uplink))
		return DROP(NAT_FILTERED);
	request_limits(request, inside);
	request->owner = NSR_OWNER(NSR_OWNER_INBOUND, NSR_OWNER_NUMBER(request->owner));
	refused = session_admit(skb, request);
	if (refused == VERDICT_RARE) /* it could not tell the two ports apart */
		return DROP(NAT_CONTENTION);
	return without && (refused == DROP(NAT_CONTENTION) || share_is_short(refused)) ? 0
										       : refused;
}

/* Of a packet to a mapped port that belongs to no session. */
NSR_STEP int nat_in_unknown(struct __sk_buff *skb, struct nat_request *request, u32 mapping)
{
	__be16 port = bpf_htons(NSR_MAPPING_PORT(mapping));
	int refused;

	request = nat_request_here(request);
	if (!request)
		return NAT_INBOUND_REFUSED;
	if (request->flow.inside.protocol == NSR_NAT_ICMP)
		return NAT_INBOUND_HOST;
	if (host_has_socket(skb, request->flow.inside.protocol, &request->flow.remote_address,
			    request->flow.remote_port, &request->external, port,
			    mapping_is_published(mapping)) &&
	    !host_is_translated(request, port))
		return NAT_INBOUND_HOST;
	if (nat_is_client(&request->flow.remote_address))
		return NAT_INBOUND_REFUSED; /* forged, to be taken for the host */
	if (address_equal(&request->flow.inside.address, &request->external))
		return NAT_INBOUND_REFUSED; /* the host's own has it for its remote alone */
	request->mapping = mapping;
	refused = nat_admit(skb, request);
	if (refused == DROP(NAT_LIMIT))
		return NAT_INBOUND_LIMITED;
	if (refused == DROP(NAT_SESSIONS))
		return NAT_INBOUND_FULL;
	if (refused == DROP(NAT_CONTENTION))
		return NAT_INBOUND_BUSY;
	return refused || request->mapping != mapping ? NAT_INBOUND_REFUSED : NAT_INBOUND_SESSION;
}

/*
 * request->flow has remote and protocol; slot and port are the external ones. Inbound packets never
 * create a mapping. What belongs to no session goes to the host when the host has a socket for it;
 * else the network's filter lets it in, or it is dropped in silence (RFC 5382 REQ-4: no RST for an
 * unsolicited SYN). Echo replies go to the host in any case: it keeps no sockets for them that
 * could be asked for, and answers none. NAT_INBOUND_RARE: nat_in_unmapped() knows. Only a port that
 * has been mapped can be another one's.
 */
static __always_inline enum nat_inbound nat_in_outside(struct __sk_buff *skb,
						       struct nat_request *request, __be16 port)
{
	u32 pool = NSR_POOL(request->slot, request->flow.inside.protocol);
	u32 mapping = NSR_MAPPING(pool, bpf_ntohs(port));
	struct nsr_mapping *record = nat_mapping(mapping);

	if (!record || !READ_ONCE(record->references))
		return record && record->generation && share_host_any() ? NAT_INBOUND_RARE
									: NAT_INBOUND_HOST;
	TELL(MAPPED, READ_ONCE(record->references), nat_told(record->inside.address),
	     record->inside.port);
	request->flow.inside = record->inside;
	if (session_use(&request->flow, request) && request->mapping == mapping)
		return NAT_INBOUND_SESSION;
	request_no_limits(request);
	return nat_in_unknown(skb, request, mapping);
}

/* The same of what does not come from outside: the host sends nothing there from another port. */
static __always_inline enum nat_inbound nat_in(struct __sk_buff *skb, struct nat_request *request,
					       __be16 port)
{
	enum nat_inbound whom = nat_in_outside(skb, request, port);

	return whom == NAT_INBOUND_RARE ? NAT_INBOUND_HOST : whom;
}

#endif
