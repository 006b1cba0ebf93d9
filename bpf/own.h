/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * own.h - a flow that the host itself begins from a port which is mapped to the same remote.
 *
 * The mapping has that port for all of its remotes, and its session goes on; the host's flow leaves
 * from another one, as an inside host's would. It is a session whose inside endpoint is the host's:
 * the external address and the port of its socket. Its mapping is its own, with another port of the
 * same pool. So it is found by all steps that find sessions, in both directions, and what comes in
 * for it has another port when it goes to the host's stack. Of TCP a SYN begins, of UDP any
 * datagram may.
 *
 * Where no port or session can be had, the inside's session ends before the host's packet has left:
 * what the remote answers finds no session then, and is the host's, and what the inside sends on
 * finds the host's socket.
 *
 * Only what a socket of the host would get the answers of begins such a flow or ends a session, so
 * what netfilter masquerades for others, or somebody forges, does not.
 *
 * Echo requests have no sockets that could be asked for, and are not translated. It is enough that
 * the host itself sends one, with the identifier of a mapping, to end the session; and it is
 * remembered (mapping.h), so that the inside gets another identifier towards that remote, and for
 * NSR_HOST_ECHO_S not this one.
 *
 * One text for both families, as nat4.h tells.
 */
#ifndef NSROUTE_BPF_OWN_H
#define NSROUTE_BPF_OWN_H

#include "nat.h"

/* As session_life(), without a network. They are few, so that DNS needs no time of its own. */
static __always_inline u32 session_life_host(const struct nsr_flow *flow, u32 seen)
{
	bool tcp = flow->inside.protocol == NSR_NAT_TCP;
	u32 settled = NSR_SEEN_IN | (tcp ? NSR_SEEN_OUT_ACK : NSR_SEEN_OUT);
	u32 timeout_s = tcp ? NSR_HOST_TCP_SYN_S : NSR_HOST_UDP_UNREPLIED_S;

	_Static_assert(NSR_HOST_TCP_SYN_S == NSR_HOST_TCP_FIN_S &&
			       NSR_HOST_TCP_SYN_S == NSR_HOST_TCP_RST_S,
		       "all but established is one");
	if ((seen & settled) == settled && !session_is_over(seen))
		timeout_s = tcp ? NSR_HOST_TCP_ESTABLISHED_S : NSR_HOST_UDP_REPLIED_S;
	barrier_var(timeout_s);
	return NSR_LIFE(timeout_s, seen);
}

/* As session_turn(). On its own, for it is rare. */
NSR_STEP int session_turn_host(struct nsr_session *session, u32 state, u32 seen, u32 now_s)
{
	int result = -EAGAIN, i;
	u32 life, now_seen;

	if (!session)
		return -ENOENT;
	for (i = 0; i < NAT_TRIES && result == -EAGAIN; i++) {
		life = READ_ONCE(session->life);
		if (!NSR_LIFE_TIMEOUT_S(life))
			return -ENOENT;
		now_seen = session_next(NSR_LIFE_SEEN(life), seen);
		if (session_is_over(now_seen) && !session_is_over(life))
			WRITE_ONCE(session->refreshed_s, now_s);
		result = session_swap(session, state, life, state,
				      session_life_host(&session->flow, now_seen));
	}
	return result;
}

NSR_STEP int host_is_translated(struct nat_request *request, u32 port)
{
	struct session_view view;
	struct nsr_flow flow;
	u32 state;

	request = nat_request_here(request);
	if (!request || !share_host_any())
		return false;
	flow = request->flow;
	flow.inside.address = request->external;
	flow.inside.port = port;
	return session_peek(&flow, request->now_s, &view, &state) != NULL;
}

/* Whom what comes to a port without a mapping is for: the host, unless it has another one towards
 * that remote. */
NSR_STEP int nat_in_unmapped(struct nat_request *request, u32 port)
{
	return host_is_translated(request, port) ? NAT_INBOUND_REFUSED : NAT_INBOUND_HOST;
}

/* Whether a port is not free, which it is before anything else is asked: the pool's bit. */
static __always_inline bool own_port_is_taken(u32 slot, u8 protocol, __be16 port_be)
{
	u32 number = NSR_POOL_BIT(bpf_ntohs(port_be));
	const u64 *words = nat_pool_words(NSR_MAPPING(NSR_POOL(slot, protocol), 0));

	return words && !bits_is_free(words, NSR_POOL_WORDS, number);
}

/* The session that the mapping of the host's port has with the remote, if a socket of the host
 * would get its answers: number and, in the upper half, state; 0: there is none. */
NSR_STEP u64 own_session(struct __sk_buff *skb, struct nat_request *request)
{
	struct session_view view;
	const struct nsr_session *session;
	const struct nsr_mapping *record;
	const struct nsr_session_ref *ref;
	u32 mapping, number, state;
	__be16 port;

	request = nat_request_here(request);
	if (!request)
		return 0;
	port = request->flow.inside.port;
	mapping = NSR_MAPPING(NSR_POOL(request->slot, request->flow.inside.protocol),
			      bpf_ntohs(port));
	record = nat_mapping(mapping);
	if (!record || !READ_ONCE(record->references))
		return 0;
	request->flow.inside = record->inside;
	NAT_KEY(struct nsr_flow, flow, &request->flow);
	ref = bpf_map_lookup_elem(&session_by_flow, flow);
	if (!ref)
		return 0;
	number = READ_ONCE(ref->session);
	state = READ_ONCE(ref->state);
	session = bpf_map_lookup_elem(&sessions, &number);
	if (!session || !session_matches(session, state, flow, false, &view) ||
	    view.mapping != mapping || !address_equal(&view.external, &request->external) ||
	    (flow->inside.protocol != NSR_NAT_ICMP &&
	     !host_has_socket(skb, flow->inside.protocol, &request->flow.remote_address,
			      request->flow.remote_port, &request->external, port,
			      mapping_is_published(mapping))))
		return 0;
	return (u64)state << 32 | number;
}

/* request->flow has remote, protocol and uplink, and the host's port in place of the inside one;
 * request->slot is that of the host's address. Ended by the caller, so that what was needed to find
 * it is not on the stack below that. */
static __always_inline int own_begins(struct __sk_buff *skb, struct nat_request *request)
{
	u64 found = own_session(skb, request);

	if (found)
		session_end((u32)found, found >> 32, request->now_s, false);
	return 0;
}

/* What holds for a flow of the host's own that is translated. No mapping serves two of them, for
 * one is looked for under inside endpoints alone. */
static __always_inline void own_limits(struct nat_request *request)
{
	request->life = session_life_host(&request->flow, request->seen);
	request->flows_max = NSR_HOST_FLOWS_MAX;
	request->owner = NSR_OWNER(NSR_OWNER_OWN, NSR_OWNER_HOST);
	request->mapping_mode = NSR_MAPPING_MODE_ADDRESS_AND_PORT;
}

/*
 * TCP or UDP that the host sends: request is what own_begins() has, with the external address. Its
 * other port is of that address's pool.
 * request->mapping is then the one that it leaves by; 0: it goes as it is.
 */
static __always_inline void own_translate(struct __sk_buff *skb, struct nat_request *request,
					  bool begins)
{
	__be16 port = request->flow.inside.port;
	u64 found;

	if (share_host_any() && session_join(request))
		return;
	if (!begins || !own_port_is_taken(request->slot, request->flow.inside.protocol, port))
		return;
	found = own_session(skb, request);
	if (!found)
		return;
	request->flow.inside.address = request->external;
	request->flow.inside.port = port;
	own_limits(request);
	if (!nat_is_changing(request->flow.inside.uplink) && !session_open_or_join(skb, request))
		return;
	request->mapping = 0;
	session_end((u32)found, found >> 32, request->now_s, false);
}

#endif
