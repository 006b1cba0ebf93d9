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

#define NAT_SOCKET_TRIES 4 /* ports that the host itself uses before giving up */

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
		bits_release(words, NSR_POOL_WORDS, NSR_MAPPING_PORT(mapping));
}

/* Whether the port is one that its uplink hands out. */
NSR_STEP int mapping_is_in_range(u32 mapping)
{
	u32 slot = NSR_MAPPING_SLOT(mapping), port = NSR_MAPPING_PORT(mapping);
	u32 *ifindex = bpf_map_lookup_elem(&uplink_by_index, &slot), key;
	const struct nsr_uplink *uplink;

	if (!ifindex)
		return 0;
	key = *ifindex;
	uplink = bpf_map_lookup_elem(&uplinks, &key);
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

/* Claims an external port: the inside one when it can be had, else one of its parity, else any.
 * Ports that the host itself uses towards this remote are left to it. */
NSR_STEP int port_claim(struct __sk_buff *skb, struct nat_request *request)
{
	u32 pool, wanted, port, mapping;
	int i;

	request = nat_request_here(request);
	if (!request)
		return DROP(NAT_PORTS);
	pool = NSR_POOL(request->slot, request->flow.inside.protocol);
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
				     &request->flow.remote_address, request->flow.remote_port,
				     &request->external, bpf_htons(port), false)) {
			request->mapping = mapping;
			return 0;
		}
		mapping_free_port(mapping);
		port = BITS_NONE;
	}
	return DROP(NAT_SOCKET);
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

#endif
