/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nat.h - masquerade: which external address and port a flow has, and what comes back to it.
 *
 * A mapping (inside endpoint <-> external port) lives as long as one session refers to it; a
 * session is a mapping and a remote. Mappings are endpoint-independent (RFC 4787 REQ-1), filtering
 * is address-and-port-dependent: what comes in needs a session.
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
#include "counters.h"
#include "ports.h"
#include "trace.h"

#define NAT_TRIES        8 /* compare-and-swap attempts on one reference count */
#define NAT_SOCKET_TRIES 4 /* ports that the host itself uses before giving up */

struct nat_request {
	struct nsr_flow flow;
	u32 seen;
	u32 now_s;
	__be32 external;
	u32 forwarded; /* translated elsewhere: not 0 */
	/* Filled in. Eight bytes of its own: the verifier forgets that it is 0 when what shares
	 * them is written. */
	u32 mapping __attribute__((aligned(8)));
};

static __always_inline struct nsr_settings *nat_settings(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline u32 nat_now_s(const struct nsr_settings *settings)
{
	return bpf_ktime_get_coarse_ns() / 1000000000 + settings->clock_offset_s;
}

static __always_inline struct nsr_mapping *nat_mapping(u32 mapping)
{
	u32 pool = NSR_MAPPING_POOL(mapping), port = NSR_MAPPING_PORT(mapping);
	void *map = bpf_map_lookup_elem(&pools, &pool);

	return map ? bpf_map_lookup_elem(map, &port) : NULL;
}

static __always_inline u64 *nat_pool_words(u32 mapping)
{
	u32 pool = NSR_MAPPING_POOL(mapping);
	struct nsr_pool_bits *bits = bpf_map_lookup_elem(&pool_bits, &pool);

	return bits ? bits->words : NULL;
}

static __always_inline u64 *nat_session_words(void)
{
	u32 zero = 0;
	struct nsr_session_bits *bits = bpf_map_lookup_elem(&session_bits, &zero);

	return bits ? bits->words : NULL;
}

static __always_inline bool inside_equal(const struct nsr_inside_endpoint *a,
					 const struct nsr_inside_endpoint *b)
{
	return *(const u64 *)a == *(const u64 *)b;
}

/* ---- Mappings. */

/* The port is free again at once: only when no packet can have used it. */
static __always_inline void mapping_free_port(u32 mapping)
{
	u64 *words = nat_pool_words(mapping);

	if (words)
		bits_release(words, NSR_POOL_WORDS, NSR_MAPPING_PORT(mapping));
}

/* Gives a reference back. The last one ends the mapping: whoever takes the count to 0 owns the
 * record, and nothing raises the count again. */
NSR_STEP int mapping_put(u32 mapping, u32 now_s)
{
	struct nsr_mapping *record = nat_mapping(mapping);
	struct nsr_inside_endpoint inside;

	if (!record || __sync_fetch_and_add(&record->references, -1) != 1)
		return 0;
	inside = record->inside;
	bpf_map_delete_elem(&mapping_by_inside, &inside);
	count_nat(inside.uplink, mappings_ended, inside.protocol, 1);
	WRITE_ONCE(record->released_s, now_s ? now_s : 1);
	return 0;
}

/* Takes a reference to a mapping that somebody else holds; false when it has ended. */
static __always_inline bool mapping_get(struct nsr_mapping *record)
{
	u32 count = READ_ONCE(record->references), seen;
	int i;

	for (i = 0; i < NAT_TRIES; i++) {
		if (!count)
			return false;
		seen = __sync_val_compare_and_swap(&record->references, count, count + 1);
		if (seen == count)
			return true;
		count = seen;
	}
	return false;
}

/* The inside endpoint's mapping, referenced; 0 when it has none. Mappings are never 0, because port
 * 0 is reserved in every pool. */
static __always_inline u32 mapping_find(const struct nsr_inside_endpoint *inside, u32 now_s)
{
	struct nsr_inside_endpoint key = *inside; /* kernel 6.1 wants keys on the stack */
	struct nsr_mapping_ref *ref = bpf_map_lookup_elem(&mapping_by_inside, &key);
	struct nsr_mapping *record;
	u32 mapping, generation;

	if (!ref)
		return 0;
	mapping = READ_ONCE(ref->mapping);
	generation = READ_ONCE(ref->generation);
	record = nat_mapping(mapping);
	if (!record || !mapping_get(record))
		return 0;
	/* The entry may have been recycled while it was read; the reference holds the record still.
	 */
	if (inside_equal(&record->inside, inside) && READ_ONCE(record->generation) == generation)
		return mapping;
	mapping_put(mapping, now_s);
	return 0;
}

/* Whether the host itself has a socket that would get what the remote sends to this port. */
static __always_inline bool host_has_socket(struct __sk_buff *skb, u8 protocol, __be32 remote,
					    __be16 remote_port, __be32 local, __be16 local_port)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;

	tuple.ipv4.saddr = remote;
	tuple.ipv4.daddr = local;
	tuple.ipv4.sport = remote_port;
	tuple.ipv4.dport = local_port;
	if (protocol == NSR_NAT_TCP)
		socket =
			bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	else if (protocol == NSR_NAT_UDP)
		socket = bpf_sk_lookup_udp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	else
		return false;
	TELL(SOCKET, !!socket, bpf_ntohs(local_port), 0);
	if (!socket)
		return false;
	bpf_sk_release(socket);
	return true;
}

/* Any free port of a pool, of the parity of start if possible; BITS_NONE when all are in use. */
NSR_STEP u32 pool_claim_any(u32 pool, u32 start)
{
	u64 *words = nat_pool_words(NSR_MAPPING(pool, 0));

	return words ? bits_claim_any(words, NSR_POOL_WORDS, start) : BITS_NONE;
}

static __always_inline u32 pool_claim(u32 pool, u32 port)
{
	u64 *words = nat_pool_words(NSR_MAPPING(pool, 0));

	return words && bits_claim(words, NSR_POOL_WORDS, port) ? port : BITS_NONE;
}

/* Claims an external port: the inside one when it can be had, else one of its parity, else any.
 * Ports that the host itself uses towards this remote are left to it. */
NSR_STEP int port_claim(struct __sk_buff *skb, struct nat_request *request)
{
	u32 pool, wanted, port, mapping;
	int i;

	if (!request)
		return DROP(NAT_PORTS);
	pool = NSR_POOL(request->flow.inside.uplink, request->flow.inside.protocol);
	wanted = bpf_ntohs(request->flow.inside.port);
	port = pool_claim(pool, wanted);
	for (i = 0; i < NAT_SOCKET_TRIES; i++) {
		if (port == BITS_NONE)
			port = pool_claim_any(pool,
					      (bpf_get_prandom_u32() & 0xfffe) | (wanted & 1));
		if (port == BITS_NONE)
			return DROP(NAT_PORTS);
		mapping = NSR_MAPPING(pool, port);
		if (!host_has_socket(skb, request->flow.inside.protocol,
				     request->flow.remote_address, request->flow.remote_port,
				     request->external, bpf_htons(port))) {
			request->mapping = mapping;
			return 0;
		}
		mapping_free_port(mapping);
		port = BITS_NONE;
	}
	return DROP(NAT_SOCKET);
}

/* A new mapping with one reference, entered under its inside endpoint: request->mapping. */
NSR_STEP int mapping_create(struct __sk_buff *skb, struct nat_request *request)
{
	struct nsr_inside_endpoint inside;
	struct nsr_mapping_ref ref = {};
	struct nsr_mapping *record;
	int result;

	if (!request)
		return DROP(NAT_PORTS);
	result = port_claim(skb, request);
	if (result)
		return result;
	inside = request->flow.inside;
	ref.mapping = request->mapping;
	record = nat_mapping(ref.mapping);
	if (!record) {
		mapping_free_port(ref.mapping);
		return DROP(NAT_CLOSED); /* the pool is gone */
	}
	record->inside = inside;
	ref.generation = ++record->generation;
	barrier();
	WRITE_ONCE(record->references, 1);
	result = bpf_map_update_elem(&mapping_by_inside, &inside, &ref, BPF_NOEXIST);
	if (result) {
		/* Nobody can have used it: inbound needs a session too. */
		WRITE_ONCE(record->references, 0);
		mapping_free_port(ref.mapping);
		return result == -EEXIST ? DROP(NAT_CONTENTION) : DROP(NAT_SESSIONS);
	}
	count_nat(inside.uplink, mappings_created, inside.protocol, 1);
	count_nat(inside.uplink, ports_used, inside.protocol, 1);
	return 0;
}

/* ---- Sessions. */

/* A free slot of the session table, or BITS_NONE. */
NSR_STEP u32 session_claim(void)
{
	u64 *words = nat_session_words();

	return words ? bits_claim_any(words, NSR_SESSION_WORDS, bpf_get_prandom_u32()) : BITS_NONE;
}

static __always_inline void session_release(u32 number)
{
	u64 *words = nat_session_words();

	if (words)
		bits_release(words, NSR_SESSION_WORDS, number);
}

/* Ends an active session once, whoever comes first; 1 when it was us, else 0. */
NSR_STEP int session_end(u32 number, u32 state, u32 now_s)
{
	struct nsr_session *session = bpf_map_lookup_elem(&sessions, &number);
	u32 dying = (state & ~NSR_SESSION_STATUS) | NSR_SESSION_DYING;
	struct nsr_flow flow;

	TELL(EXPIRED, number, state, now_s);
	INSTEAD(0);
	if (!session || (state & NSR_SESSION_STATUS) != NSR_SESSION_ACTIVE ||
	    __sync_val_compare_and_swap(&session->state, state, dying) != state)
		return 0;
	flow = session->flow;
	bpf_map_delete_elem(&session_by_flow, &flow);
	mapping_put(session->mapping, now_s);
	count_nat(flow.inside.uplink, sessions_expired, flow.inside.protocol, 1);
	WRITE_ONCE(session->state, (dying & ~NSR_SESSION_STATUS) + NSR_SESSION_GENERATION);
	barrier();
	session_release(number);
	return 1;
}

/* The live session of a flow, and what is in it. One that has expired is ended here. Kernel 6.1
 * wants the flow on the stack. */
static __always_inline struct nsr_session *session_find(const struct nsr_settings *settings,
							const struct nsr_flow *flow, u32 now_s,
							struct session_view *ret_view,
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
	if (!session || !session_matches(session, state, flow, ret_view))
		return NULL;
	if (session_is_expired(settings, flow, session->seen, session->refreshed_s, now_s)) {
		session_end(number, state, now_s);
		return NULL;
	}
	TELL(SESSION, ret_view->mapping, ret_view->external, session->seen);
	*ret_state = state;
	return session;
}

/* As session_find(), but only looks: one that has expired is ended by others. For steps that have
 * no room on the stack for more. */
static __always_inline struct nsr_session *session_peek(const struct nsr_flow *flow, u32 now_s,
							struct session_view *ret_view)
{
	const struct nsr_settings *settings = nat_settings();
	struct nsr_flow key = *flow;
	struct nsr_session_ref *ref = bpf_map_lookup_elem(&session_by_flow, &key);
	struct nsr_session *session;
	u32 number, state;

	if (!settings || !ref)
		return NULL;
	number = READ_ONCE(ref->session);
	state = READ_ONCE(ref->state);
	session = bpf_map_lookup_elem(&sessions, &number);
	if (!session || !session_matches(session, state, &key, ret_view) ||
	    session_is_expired(settings, &key, session->seen, session->refreshed_s, now_s))
		return NULL;
	TELL(SESSION, ret_view->mapping, ret_view->external, session->seen);
	return session;
}

/* Fills a claimed slot and enters it; on failure the slot is free again. */
static __always_inline int session_enter(u32 number, const struct nat_request *request)
{
	struct nsr_session *session = bpf_map_lookup_elem(&sessions, &number);
	struct nsr_session_ref ref = {};
	struct nsr_flow flow = request->flow;
	u32 generation;
	int result;

	if (!session) {
		session_release(number);
		return DROP(NAT_SESSIONS);
	}
	generation = session->state & ~NSR_SESSION_STATUS;
	WRITE_ONCE(session->state, generation | NSR_SESSION_CLAIMED);
	barrier();
	session->flow = flow;
	session->mapping = request->mapping;
	session->refreshed_s = request->now_s;
	session->seen = request->seen;
	session->external = request->external;
	session->route_tag = 0;
	barrier();
	ref.session = number;
	ref.state = generation | NSR_SESSION_ACTIVE;
	result = bpf_map_update_elem(&session_by_flow, &flow, &ref, BPF_NOEXIST);
	if (!result) {
		/* From here on others may end it; until here it was nobody's but ours. */
		WRITE_ONCE(session->state, ref.state);
		count_nat(flow.inside.uplink, sessions_created, flow.inside.protocol, 1);
		return 0;
	}
	WRITE_ONCE(session->state, generation + NSR_SESSION_GENERATION);
	barrier();
	session_release(number);
	return result == -EEXIST ? DROP(NAT_CONTENTION) : DROP(NAT_SESSIONS);
}

/* The mapping that the inside endpoint has, or a new one; with a reference. One that it has may be
 * of no use for this remote, when a socket of the host talks to it from the same port. */
static __always_inline int mapping_use(struct __sk_buff *skb, struct nat_request *request)
{
	request->mapping = mapping_find(&request->flow.inside, request->now_s);
	if (!request->mapping)
		return mapping_create(skb, request);
	if (!host_has_socket(skb, request->flow.inside.protocol, request->flow.remote_address,
			     request->flow.remote_port, request->external,
			     bpf_htons(NSR_MAPPING_PORT(request->mapping))))
		return 0;
	mapping_put(request->mapping, request->now_s);
	return DROP(NAT_SOCKET);
}

/* Opens a session, with the mapping its inside endpoint has or a new one. */
NSR_STEP int session_open(struct __sk_buff *skb, struct nat_request *request)
{
	u32 number;
	int result;

	if (!request)
		return DROP(NAT_SESSIONS);
	number = session_claim();
	if (number == BITS_NONE)
		return DROP(NAT_SESSIONS);
	result = mapping_use(skb, request);
	if (result) {
		session_release(number);
		return result;
	}
	result = session_enter(number, request);
	if (result)
		mapping_put(request->mapping, request->now_s);
	return result;
}

/* Whether the flow has a session that this packet belongs to; request->mapping is then its. */
static __always_inline bool session_use(const struct nsr_settings *settings,
					struct nat_request *request)
{
	struct session_view view;
	struct nsr_session *session;
	u32 state;

	session = session_find(settings, &request->flow, request->now_s, &view, &state);
	if (!session)
		return false;
	request->mapping = view.mapping;
	session_seen(session, request->seen, request->now_s);
	return true;
}

/* The same for a request that is not on the stack. */
static __always_inline bool session_join(const struct nsr_settings *settings,
					 struct nat_request *request)
{
	struct nat_request own = *request;

	if (!session_use(settings, &own))
		return false;
	request->mapping = own.mapping;
	return true;
}

/* Opens a session, or finds the one that another CPU has opened meanwhile. Tries three times; not a
 * loop, because kernel 6.1 refuses one that ends in a call. */
NSR_STEP int session_open_or_join(struct __sk_buff *skb, struct nat_request *request)
{
	const struct nsr_settings *settings = nat_settings();
	int result;

	INSTEAD(trace_open(skb, request));
	if (!request || !settings)
		return DROP(NAT_SESSIONS);
	result = session_open(skb, request);
	if (result == DROP(NAT_CONTENTION))
		result = session_join(settings, request) ? 0 : session_open(skb, request);
	if (result == DROP(NAT_CONTENTION))
		result = session_join(settings, request) ? 0 : session_open(skb, request);
	return result;
}

/* Whom an arriving packet is for. */
enum nat_inbound {
	NAT_INBOUND_HOST,    /* the host itself */
	NAT_INBOUND_SESSION, /* request->flow.inside */
	NAT_INBOUND_HELD,    /* a fragment that goes on later: see fragment.h */
	NAT_INBOUND_REFUSED, /* a mapped port, but this remote is not one it talks to */
	NAT_INBOUND_RARE,    /* see uplink_in_rare() */
	NAT_INBOUND_FAILED,  /* the kernel refused to change it */
};

/*
 * request->flow has remote, protocol and uplink; port is the external one. Inbound packets never
 * create anything. What belongs to no session goes to the host when the host has a socket for it,
 * and is dropped in silence when it has not (RFC 5382 REQ-4: no RST for an unsolicited SYN). Echo
 * replies go to the host in any case: it keeps no sockets for them that could be asked for, and
 * answers none.
 */
static __always_inline enum nat_inbound nat_in(struct __sk_buff *skb,
					       const struct nsr_settings *settings,
					       struct nat_request *request, __be16 port)
{
	struct nsr_inside_endpoint asked = request->flow.inside;
	u32 mapping = NSR_MAPPING(NSR_POOL(asked.uplink, asked.protocol), bpf_ntohs(port));
	struct nsr_mapping *record = nat_mapping(mapping);

	if (!record || !READ_ONCE(record->references))
		return NAT_INBOUND_HOST;
	TELL(MAPPED, READ_ONCE(record->references), record->inside.address, record->inside.port);
	request->flow.inside = record->inside;
	if (session_use(settings, request) && request->mapping == mapping)
		return NAT_INBOUND_SESSION;
	if (asked.protocol == NSR_NAT_ICMP ||
	    host_has_socket(skb, asked.protocol, request->flow.remote_address,
			    request->flow.remote_port, request->external, port))
		return NAT_INBOUND_HOST;
	return NAT_INBOUND_REFUSED;
}

#endif
