/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * maps.h - every map. What they hold is told in nsroute_abi.h, where the structures are.
 *
 * Tables that only user space fills are not preallocated: they take memory for what is in them.
 * Those that packets fill are preallocated, and none that holds flows is an LRU: a live flow is
 * never evicted. Datagrams in fragments may be (fragment.h), and whom the host speaks to (other.h).
 * The tables of flows have the size of one set of sessions here; user space makes them for more
 * (user/datapath_object.c).
 */
#ifndef NSROUTE_BPF_MAPS_H
#define NSROUTE_BPF_MAPS_H

#include "common.h"

#define NSR_TABLE(map, key_type, value_type, entries) \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_HASH);      \
		__uint(map_flags, BPF_F_NO_PREALLOC); \
		__uint(max_entries, entries);         \
		__type(key, key_type);                \
		__type(value, value_type);            \
	} map SEC(".maps")

#define NSR_TRIE(map, key_type, value_type, entries)  \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);  \
		__uint(map_flags, BPF_F_NO_PREALLOC); \
		__uint(max_entries, entries);         \
		__type(key, key_type);                \
		__type(value, value_type);            \
	} map SEC(".maps")

#define NSR_FLOWS(map, key_type, value_type, entries) \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_HASH);      \
		__uint(max_entries, entries);         \
		__type(key, key_type);                \
		__type(value, value_type);            \
	} map SEC(".maps")

#define NSR_LRU(map, key_type, value_type, entries)  \
	struct {                                     \
		__uint(type, BPF_MAP_TYPE_LRU_HASH); \
		__uint(max_entries, entries);        \
		__type(key, key_type);               \
		__type(value, value_type);           \
	} map SEC(".maps")

#define NSR_ARRAY(map, kind, value_type, entries) \
	struct {                                  \
		__uint(type, kind);               \
		__uint(max_entries, entries);     \
		__type(key, u32);                 \
		__type(value, value_type);        \
	} map SEC(".maps")

struct ip6_key {
	u32 words[4];
};

NSR_ARRAY(settings, BPF_MAP_TYPE_ARRAY, struct nsr_settings, 1);

/* Forwarding. */
NSR_TABLE(ports, u32, struct nsr_port, NSR_PORTS_MAX);
NSR_TABLE(fdb, struct nsr_fdb_key, struct nsr_endpoint, NSR_PORTS_MAX);
NSR_TABLE(hosts4, __be32, struct nsr_endpoint, NSR_ADDRESSES_MAX);
NSR_TABLE(hosts6, struct ip6_key, struct nsr_endpoint, NSR_ADDRESSES_MAX);
NSR_TABLE(inner_links, u32, struct nsr_inner_link, NSR_INNER_MAX);
NSR_TRIE(sources, struct nsr_source_key, u8, NSR_SOURCES_MAX);
NSR_ARRAY(port_counters, BPF_MAP_TYPE_PERCPU_ARRAY, struct nsr_port_counters, NSR_PORTS_MAX);
NSR_ARRAY(port_drops, BPF_MAP_TYPE_ARRAY, struct nsr_drops, NSR_PORTS_MAX);

/* Uplinks. */
NSR_TABLE(uplinks, u32, struct nsr_uplink, NSR_UPLINKS_MAX);
NSR_ARRAY(followed, BPF_MAP_TYPE_ARRAY, struct nsr_followed, NSR_SLOTS_MAX);
NSR_ARRAY(followed6, BPF_MAP_TYPE_ARRAY, struct nsr_followed6, NSR_SLOTS_MAX);
NSR_ARRAY(uplink_by_index, BPF_MAP_TYPE_ARRAY, u32, NSR_SLOTS_MAX);
NSR_ARRAY(repairing, BPF_MAP_TYPE_ARRAY, struct nsr_repairing, 1);
NSR_TRIE(inside4, struct nsr_inside4_key, struct nsr_inside, NSR_INSIDE_MAX);
NSR_TRIE(inside6, struct nsr_inside6_key, struct nsr_inside, NSR_INSIDE_MAX);
NSR_TRIE(exceptions, struct nsr_except_key, u8, NSR_EXCEPTIONS_MAX);
NSR_ARRAY(uplink_counters, BPF_MAP_TYPE_PERCPU_ARRAY, struct nsr_uplink_counters, NSR_UPLINKS_MAX);
NSR_ARRAY(uplink_drops, BPF_MAP_TYPE_ARRAY, struct nsr_drops, NSR_UPLINKS_MAX);

/* NAT. */
struct nat_pool {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NSR_POOL_PORTS);
	__uint(key_size, sizeof(u32));
	__uint(value_size,
	       sizeof(struct nsr_mapping)); /* clang 14 leaves its type out of the BTF */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, NSR_POOLS_MAX);
	__type(key, u32);
	__array(values, struct nat_pool);
} pools SEC(".maps");

NSR_ARRAY(pool_bits, BPF_MAP_TYPE_ARRAY, struct nsr_pool_bits, NSR_POOLS_MAX);
NSR_ARRAY(sessions, BPF_MAP_TYPE_ARRAY, struct nsr_session, NSR_SESSION_SET);
NSR_ARRAY(session_bits, BPF_MAP_TYPE_ARRAY, struct nsr_session_bits, 1);
NSR_FLOWS(session_by_flow, struct nsr_flow, struct nsr_session_ref, NSR_SESSION_SET);
NSR_FLOWS(mapping_by_inside, struct nsr_inside_endpoint, struct nsr_mapping_ref, NSR_SESSION_SET);
NSR_ARRAY(shares, BPF_MAP_TYPE_ARRAY, struct nsr_share, NSR_OWNERS);
NSR_TABLE(published, u32, struct nsr_published, NSR_PUBLISHED_MAX);
NSR_ARRAY(set_aside, BPF_MAP_TYPE_ARRAY, struct nsr_set_aside, 1);
NSR_ARRAY(nat_counters, BPF_MAP_TYPE_ARRAY, struct nsr_nat_counters, NSR_UPLINKS_MAX);

NSR_ARRAY(refusals, BPF_MAP_TYPE_ARRAY, u64, NSR_PORTS_MAX);

/* The same of IPv6. */
struct nat_pool6 {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NSR_POOL_PORTS);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(struct nsr_mapping6));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, NSR_POOLS_MAX);
	__type(key, u32);
	__array(values, struct nat_pool6);
} pools6 SEC(".maps");

NSR_ARRAY(pool_bits6, BPF_MAP_TYPE_ARRAY, struct nsr_pool_bits, NSR_POOLS_MAX);
NSR_ARRAY(sessions6, BPF_MAP_TYPE_ARRAY, struct nsr_session6, NSR_SESSION6_SET);
NSR_ARRAY(session_bits6, BPF_MAP_TYPE_ARRAY, struct nsr_session_bits6, 1);
NSR_FLOWS(session_by_flow6, struct nsr_flow6, struct nsr_session_ref, NSR_SESSION6_SET);
NSR_FLOWS(mapping_by_inside6, struct nsr_inside_endpoint6, struct nsr_mapping_ref,
	  NSR_SESSION6_SET);
NSR_TABLE(published6, u32, struct nsr_published6, NSR_PUBLISHED_MAX);
NSR_ARRAY(nat_counters6, BPF_MAP_TYPE_ARRAY, struct nsr_nat_counters, NSR_UPLINKS_MAX);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, NSR_PROGRAMS6);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} programs6 SEC(".maps");

/* Fragments. */
NSR_LRU(datagrams_out, struct nsr_datagram, struct nsr_datagram_out, NSR_DATAGRAMS_MAX);
NSR_LRU(datagrams_in, struct nsr_datagram, struct nsr_datagram_in, NSR_DATAGRAMS_MAX);
NSR_ARRAY(datagram_ids, BPF_MAP_TYPE_ARRAY, u32, NSR_IDS_MAX);
NSR_ARRAY(held_waits, BPF_MAP_TYPE_ARRAY, u32, NSR_UPLINKS_MAX);
NSR_ARRAY(held_scratch, BPF_MAP_TYPE_PERCPU_ARRAY, struct nsr_held, 1);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NSR_HELD_MAX);
	__type(key, struct nsr_held_key);
	__type(value, struct nsr_held);
} held_fragments SEC(".maps");

NSR_LRU(datagrams_out6, struct nsr_datagram6, struct nsr_datagram_out, NSR_DATAGRAMS6_MAX);
NSR_LRU(datagrams_in6, struct nsr_datagram6, struct nsr_datagram_in6, NSR_DATAGRAMS6_MAX);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NSR_HELD6_MAX);
	__type(key, struct nsr_held_key6);
	__type(value, struct nsr_held);
} held_fragments6 SEC(".maps");

/* Protocols without ports. */
NSR_LRU(host_remotes, struct nsr_host_remote, u32, NSR_HOST_REMOTES_MAX);
NSR_LRU(host_hears, struct nsr_host_remote, u32, NSR_HOST_REMOTES_MAX);
NSR_LRU(host_remotes6, struct nsr_host_remote6, u32, NSR_HOST_REMOTES_MAX);
NSR_LRU(host_hears6, struct nsr_host_remote6, u32, NSR_HOST_REMOTES_MAX);

NSR_LRU(host_echoes, struct nsr_host_echo, u32, NSR_HOST_ECHOES_MAX);

/* Events. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, NSR_EVENTS_BYTES);
} events SEC(".maps");

NSR_ARRAY(event_lease, BPF_MAP_TYPE_ARRAY, struct nsr_event_lease, 1);
NSR_ARRAY(event_limits, BPF_MAP_TYPE_ARRAY, struct nsr_event_limits, 1);

#endif
