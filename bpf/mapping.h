/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mapping.h - mappings: which external port an inside endpoint has. What they are part of is told
 * in nat.h.
 */
#ifndef NSROUTE_BPF_MAPPING_H
#define NSROUTE_BPF_MAPPING_H

#include <linux/errno.h>

#include "conntrack.h"
#include "contact.h"
#include "counters.h"
#include "fib.h"
#include "ports.h"
#include "share.h"
#include "trace.h"

/* A search for a port ends after so many looks: eight for the ends of its parts, as many that begin
 * anew at random, and the others each at another port. */
#define NAT_PORT_LOOKS   128
#define NAT_PORT_RESTART 8

#define NAT_MAPPING_TRIES 64 /* CPUs that may take references to one mapping at once */

/* A packet's flow, and what is found for it. */
struct nat_request {
	struct nsr_flow flow;
	u32 seen;
	u32 now_s;
	nat_address external;
	/* For a flow that has no session yet; see request_limits(). */
	u32 life;
	u32 flows_max;
	u16 owner;
	u8 mapping_mode;
	u8 slot; /* of the external address */
	/* Filled in. Eight bytes each: the verifier forgets that one is 0 when what shares them is
	 * written. */
	u64 forwarded; /* translated elsewhere: not 0 */
	u64 mapping;
};

/* Before anything is known of a packet. What is left out is set before it is read. */
static __always_inline void request_begin(struct nat_request *request)
{
	request->flow = (struct nsr_flow){};
	request->forwarded = 0;
	request->mapping = 0;
}

/* Of a packet whose network is not known yet: steps want them set. */
static __always_inline void request_no_limits(struct nat_request *request)
{
	request->life = request->flows_max = 0;
	request->owner = request->mapping_mode = 0;
}

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

/* ---- Mappings. */

/* The port is free again at once: only when no packet can have used it. */
static __always_inline void mapping_free_port(u32 mapping)
{
	u64 *words = nat_pool_words(mapping);

	if (words)
		bits_release(words, NSR_POOL_WORDS, NSR_POOL_BIT(NSR_MAPPING_PORT(mapping)));
}

/* The uplink whose pool it is, by the mapping. */
static __always_inline const struct nsr_uplink *nat_pool_uplink(u32 mapping)
{
	return uplink_at(NSR_MAPPING_SLOT(mapping));
}

/* Whether the port is one that its uplink hands out. */
NSR_STEP int mapping_is_in_range(u32 mapping)
{
	const struct nsr_uplink *uplink = nat_pool_uplink(mapping);
	u32 port = NSR_MAPPING_PORT(mapping);

	return uplink && port >= uplink->port_min && port <= uplink->port_max;
}

/* Whether it is a published port's: see publish.h. */
static __always_inline bool mapping_is_held(u32 mapping)
{
	struct nsr_mapping *record = nat_mapping(mapping);

	return record && record->flags & NSR_MAPPING_HELD;
}

/* Whether anybody may send to it, with a session or without. */
static __always_inline bool mapping_is_published(u32 mapping)
{
	struct nsr_mapping *record = mapping ? nat_mapping(mapping) : NULL;

	return record && record->flags & NSR_MAPPING_PUBLISHED;
}

/* What is entered under the inside endpoint, which may have ended since; 0: nothing. */
static __always_inline u32 mapping_entered(const struct nsr_inside_endpoint *inside)
{
	NAT_KEY(struct nsr_inside_endpoint, key, inside);
	struct nsr_mapping_ref *ref = bpf_map_lookup_elem(&mapping_by_inside, key);

	return ref ? READ_ONCE(ref->mapping) : 0;
}

/* Whether the flow gets a mapping that no other one finds. What is published is for all remotes. */
static __always_inline bool mapping_is_own(const struct nat_request *request)
{
	return request->mapping_mode == NSR_MAPPING_MODE_ADDRESS_AND_PORT &&
	       !mapping_is_published(mapping_entered(&request->flow.inside));
}

/* Gives a reference back. The last one ends the mapping: whoever takes the count to 0 owns the
 * record, and nothing raises the count again. */
NSR_STEP int mapping_put(u32 mapping, u32 now_s)
{
	struct nsr_mapping *record = nat_mapping(mapping);
	struct nsr_inside_endpoint inside;
	struct nsr_mapping_ref *ref;

	if (!record || __sync_fetch_and_add(&record->references, -1) != 1)
		return 0;
	inside = record->inside;
	ref = bpf_map_lookup_elem(&mapping_by_inside, &inside);
	if (ref && READ_ONCE(ref->mapping) == mapping) /* and not one that is published since */
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

	for (i = 0; i < NAT_MAPPING_TRIES; i++) {
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
	NAT_KEY(struct nsr_inside_endpoint, key, inside);
	struct nsr_mapping_ref *ref = bpf_map_lookup_elem(&mapping_by_inside, key);
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

/* Whether the host itself has a socket that would get what the remote sends to this port. A port
 * that is published was free then, and what the host has bound since counts only if it is bound to
 * that address: a socket for all of them, be it of a client that the kernel gave the port, takes
 * nobody's clients away. */
static __always_inline bool host_has_socket(struct __sk_buff *skb, u8 protocol,
					    const nat_address *remote, __be16 remote_port,
					    const nat_address *local, __be16 local_port,
					    bool published)
{
	struct bpf_sock *socket;
	bool wild = false;

	if (protocol != NSR_NAT_TCP && protocol != NSR_NAT_UDP)
		return false;
	socket = host_socket(skb, protocol, remote, remote_port, local, local_port, &wild);
	TELL(SOCKET, socket && !(published && wild), bpf_ntohs(local_port), 0);
	if (!socket)
		return false;
	bpf_sk_release(socket);
	return !(published && wild);
}

/* ---- The host's own echo requests, of which it keeps no socket that could be asked for: what it
 * sends is remembered. In an LRU, so that nothing that the host does takes room from sessions. */

static __always_inline struct nsr_host_echo host_echo(const struct nat_request *request, __be16 id)
{
	struct nsr_host_echo key = {
		.id = id, .uplink = request->flow.inside.uplink, .family = NAT_FAMILY};

	address_spell(key.address, &request->flow.remote_address);
	return key;
}

/* One to the request's remote leaves, with its identifier; written at most once a second. */
NSR_STEP int host_echo_note(struct nat_request *request)
{
	struct nsr_host_echo key;
	u32 *known, now_s;

	INSTEAD(0);
	request = nat_request_here(request);
	if (!request)
		return 0;
	key = host_echo(request, request->flow.inside.port);
	now_s = request->now_s;
	known = bpf_map_lookup_elem(&host_echoes, &key);
	if (!known)
		bpf_map_update_elem(&host_echoes, &key, &now_s, BPF_ANY);
	else if (READ_ONCE(*known) != now_s)
		WRITE_ONCE(*known, now_s);
	return 0;
}

/* Whether the remote's replies with this identifier may be for the host. Of an entry that is
 * recycled while it is read the answer may be another's, for one packet. */
NSR_STEP int host_has_echo(struct nat_request *request, u32 id)
{
	struct nsr_host_echo key;
	const u32 *known;
	u32 age;

	request = nat_request_here(request);
	if (!request)
		return false;
	key = host_echo(request, id);
	known = bpf_map_lookup_elem(&host_echoes, &key);
	age = known ? request->now_s - READ_ONCE(*known) : NSR_HOST_ECHO_S;
	return age < NSR_HOST_ECHO_S || age >= 0x80000000; /* of a CPU that is ahead by a tick */
}

/* Whether what the request's remote sends to this port, or with this identifier, is for the host
 * itself. */
static __always_inline bool host_has_port(struct __sk_buff *skb, struct nat_request *request,
					  __be16 port, bool published)
{
	if (request->flow.inside.protocol == NSR_NAT_ICMP)
		return host_has_echo(request, port);
	return host_has_socket(skb, request->flow.inside.protocol, &request->flow.remote_address,
			       request->flow.remote_port, &request->external, port, published);
}

static __always_inline u32 pool_claim(u32 pool, u32 port)
{
	u64 *words = nat_pool_words(NSR_MAPPING(pool, 0));

	return words && bits_claim(words, NSR_POOL_WORDS, NSR_POOL_BIT(port)) ? port : BITS_NONE;
}

/* ---- How many ports a namespace has. */

/* One more for the owner, unless it has its share of the pool, or nobody can have one. 0 or a
 * reason to drop. */
NSR_STEP int port_count(struct nat_request *request)
{
	struct nsr_pool_bits *bits;
	struct nsr_share *share;
	u32 pool;
	int result;

	request = nat_request_here(request);
	if (!request)
		return DROP(NAT_PORTS);
	pool = NSR_POOL(request->slot, request->flow.inside.protocol);
	bits = bpf_map_lookup_elem(&pool_bits, &pool);
	share = share_of(NSR_OWNER_NUMBER(request->owner));
	if (!bits || !share)
		return DROP(NAT_PORTS);
	result = share_take(share_ports(share, NAT_SHARE_FIRST, request->flow.inside.protocol),
			    READ_ONCE(bits->share));
	if (result == DROP(NAT_LIMIT) && !bits_any_free(bits->words, NSR_POOL_WORDS))
		return DROP(NAT_PORTS);
	return result;
}

/* number: of the owner. */
static __always_inline void port_uncount(u32 number, u8 protocol)
{
	struct nsr_share *share = number ? share_of(number) : NULL;

	if (share)
		share_give(share_ports(share, NAT_SHARE_FIRST, protocol));
}

/* A search for a port: places are numbers of the pool's set. Small, for the stack. */
struct port_search {
	u32 from;  /* where it goes on; BITS_NONE: its part has not begun */
	u16 start; /* where its part was begun */
	u8 stage;  /* twice the part, see port_part(); 1 more: what is before start */
	u8 hosts;  /* ports that were found to be the host's */
};

struct port_looks {
	struct __sk_buff *skb;
	struct nat_request *request;
	struct port_search *search;
};

/* Claims the port, unless it is taken, or one that the host itself uses towards this remote: 0, or
 * why not. The host is asked first: a bit that is set only for a moment could be the last one that
 * another CPU looks for. */
static __always_inline int port_take(struct __sk_buff *skb, struct nat_request *request, u64 *words,
				     u32 mapping)
{
	u32 port = NSR_MAPPING_PORT(mapping), number = NSR_POOL_BIT(port);

	if (!bits_is_free(words, NSR_POOL_WORDS, number))
		return DROP(NAT_PORTS);
	if (host_has_port(skb, request, bpf_htons(port), false))
		return DROP(NAT_SOCKET);
	if (!bits_claim(words, NSR_POOL_WORDS, number))
		return DROP(NAT_PORTS);
	request->mapping = mapping;
	return 0;
}

/* One look; 1: the search is over. */
NSR_STEP int port_look(struct __sk_buff *skb, struct nat_request *request,
		       struct port_search *search)
{
	const struct nsr_uplink *uplink;
	struct port_part part;
	u32 pool, number = BITS_NONE;
	u64 *words;
	int result;

	request = nat_request_here(request);
	if (!request || !search || search->stage >= 2 * PORT_PARTS)
		return 1;
	pool = NSR_POOL(request->slot, request->flow.inside.protocol);
	words = nat_pool_words(NSR_MAPPING(pool, 0));
	if (!words)
		return 1;
	part = port_part(bpf_ntohs(request->flow.inside.port), search->stage / 2);
	if (search->from == BITS_NONE) {
		uplink = nat_pool_uplink(NSR_MAPPING(pool, 0));
		search->start = port_start(part, uplink ? uplink->port_min : 0,
					   uplink ? uplink->port_max : 0, bpf_get_prandom_u32());
		search->from = search->start;
		search->stage &= ~1;
	}
	if (search->stage & 1)
		part.end = search->start;
	if (search->from < part.end)
		number = bits_next(words, NSR_POOL_WORDS, search->from);
	if (number < part.end) {
		result = port_take(skb, request, words,
				   NSR_MAPPING(pool, NSR_POOL_BIT_PORT(number)));
		search->from = number + 1;
		if (result == DROP(NAT_SOCKET) && search->hosts++ < NAT_PORT_RESTART)
			search->from = BITS_NONE;
		return !result;
	}
	search->from = search->stage++ & 1 ? BITS_NONE : part.first;
	return 0;
}

static long port_look_again(u32 i, struct port_looks *looks)
{
	int over = port_look(looks->skb, looks->request, looks->search);

	(void)i;
	barrier_var(over); /* clang knows that it is 0 or 1, the verifier does not */
	return over & 1;
}

/* Claims a port that is next to a random one, of the inside one's class and parity if there is any.
 */
NSR_STEP int port_find(struct __sk_buff *skb, struct nat_request *request)
{
	struct port_search search = {.from = BITS_NONE};
	struct port_looks looks = {skb, request, &search};

	request = nat_request_here(request);
	if (!request)
		return DROP(NAT_PORTS);
	request->mapping = 0;
	bpf_loop(NAT_PORT_LOOKS, port_look_again, &looks, 0);
	if (request->mapping)
		return 0;
	return search.hosts ? DROP(NAT_SOCKET) : DROP(NAT_PORTS);
}

/* Claims the inside port as the external one. */
NSR_STEP int port_claim_same(struct __sk_buff *skb, struct nat_request *request)
{
	u32 mapping;
	u64 *words;

	request = nat_request_here(request);
	if (!request)
		return DROP(NAT_PORTS);
	mapping = NSR_MAPPING(NSR_POOL(request->slot, request->flow.inside.protocol),
			      bpf_ntohs(request->flow.inside.port));
	words = nat_pool_words(mapping);
	return words ? port_take(skb, request, words, mapping) : DROP(NAT_PORTS);
}

/* Claims an external port: the inside one when it can be had, else another. One step behind the
 * other, and not from it: kernel 6.1 counts the stack of both. */
static __always_inline int port_claim(struct __sk_buff *skb, struct nat_request *request)
{
	return port_claim_same(skb, request) ? port_find(skb, request) : 0;
}

/* Gives back a port that nobody can have used, and the count of it. number: of the owner. */
static __always_inline void mapping_undo(u32 mapping, u32 number, u8 protocol)
{
	mapping_free_port(mapping);
	port_uncount(number, protocol);
}

/* A new mapping of the port that was claimed and counted, with one reference, entered under its
 * inside endpoint, unless it is its session's own. Without it neither is left. */
NSR_STEP int mapping_enter(struct nat_request *request)
{
	struct nsr_mapping_ref ref = {};
	struct nsr_mapping *record;
	int result = 0;
	u32 owner;

	request = nat_request_here(request);
	if (!request)
		return DROP(NAT_PORTS);
	NAT_KEY(struct nsr_inside_endpoint, inside, &request->flow.inside);
	ref.mapping = request->mapping;
	owner = NSR_OWNER_NUMBER(request->owner);
	record = nat_mapping(ref.mapping);
	if (!record) {
		mapping_undo(ref.mapping, owner, inside->protocol);
		return DROP(NAT_CLOSED); /* the pool is gone */
	}
	record->inside = *inside;
	record->owner = owner;
	ref.generation = ++record->generation;
	barrier();
	WRITE_ONCE(record->references, 1);
	if (request->mapping_mode == NSR_MAPPING_MODE_ENDPOINT_INDEPENDENT)
		result = bpf_map_update_elem(&mapping_by_inside, inside, &ref, BPF_NOEXIST);
	if (result && __sync_fetch_and_add(&record->references, -1) == 1) {
		mapping_undo(ref.mapping, owner, inside->protocol);
	} else {
		/* Entered, or held by a session of the outside that was answered just now and had
		 * this port for the same inside before: then it is a mapping all the same, and ends
		 * with that session. */
		count_nat(inside->uplink, mappings_created, inside->protocol, 1);
		count_nat(inside->uplink, ports_used, inside->protocol, 1);
	}
	if (!result)
		return 0;
	return result == -EEXIST ? DROP(NAT_CONTENTION) : DROP(NAT_SESSIONS);
}

/* A new mapping, with a reference; else request->mapping is 0 again. */
static __always_inline int mapping_open(struct __sk_buff *skb, struct nat_request *request)
{
	int result = port_count(request);

	if (result)
		return result;
	result = port_claim(skb, request);
	if (result)
		port_uncount(NSR_OWNER_NUMBER(request->owner), request->flow.inside.protocol);
	else
		result = mapping_enter(request);
	if (result)
		request->mapping = 0;
	return result;
}

/* What is set for the network of a flow that is to get a session. */
static __always_inline void request_limits(struct nat_request *request,
					   const struct nsr_inside *inside)
{
	request->life = session_life(inside, &request->flow, request->seen);
	request->flows_max = inside->flows_max;
	request->owner = NSR_OWNER(inside->filtering == NSR_FILTER_ADDRESS ? NSR_OWNER_CONTACT
									   : NSR_OWNER_OWN,
				   NSR_STRANGERS + inside->slot);
	request->mapping_mode = inside->mapping_mode;
}

#endif
