/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the datapath holds, as plain data. Tables are walked key by key; an entry that goes while
 * that is done is left out.
 */
#include "datapath.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "datapath_except.h"
#include "datapath_maps.h"
#include "datapath_object.h"
#include "datapath_programs.h"
#include "datapath_publish.h"
#include "datapath_reserve.h"

/* The next key after *key (NULL: the first) with its value; false at the end. */
static bool next_entry(int map, const void *key, void *next, void *value)
{
	while (bpf_map_get_next_key(map, key, next) == 0) {
		if (bpf_map_lookup_elem(map, next, value) == 0)
			return true;
		key = next;
	}
	return false;
}

/* Sums a per-CPU value that is all counters. cells is room for one value a CPU. */
static void read_per_cpu(int map, uint32_t index, uint64_t *cells, uint64_t *sums, size_t counters)
{
	int cpus = libbpf_num_possible_cpus(), cpu;
	size_t i;

	memset(sums, 0, counters * sizeof(*sums));
	if (bpf_map_lookup_elem(map, &index, cells))
		return;
	for (cpu = 0; cpu < cpus; cpu++)
		for (i = 0; i < counters; i++)
			sums[i] += cells[(size_t)cpu * counters + i];
}

static void *cells_for(struct arena *arena, size_t size)
{
	int cpus = libbpf_num_possible_cpus();

	return arena_alloc(arena, size * (size_t)(cpus > 0 ? cpus : 1));
}

static void read_ports(const struct datapath *datapath, struct arena *arena,
		       struct state_datapath *state)
{
	uint64_t *cells = cells_for(arena, sizeof(struct nsr_port_counters));
	uint32_t key, *previous = NULL;
	struct nsr_port port;
	struct state_port *entry;

	while (next_entry(datapath->maps[MAP_ports], previous, &key, &port)) {
		entry = arena_push(arena, state->ports, state->ports_count);
		entry->ifindex = key;
		entry->port = port;
		read_per_cpu(datapath->maps[MAP_port_counters], port.index, cells,
			     (uint64_t *)&entry->counters, sizeof(entry->counters) / 8);
		bpf_map_lookup_elem(datapath->maps[MAP_port_drops], &port.index, &entry->drops);
		previous = &key;
	}
}

static void read_hosts(const struct datapath *datapath, enum datapath_map map, uint8_t family,
		       struct arena *arena, struct state_datapath *state)
{
	uint8_t key[16], previous[16];
	struct nsr_endpoint endpoint;
	struct state_endpoint *entry;
	bool first = true;

	while (next_entry(datapath->maps[map], first ? NULL : previous, key, &endpoint)) {
		entry = arena_push(arena, state->endpoints, state->endpoints_count);
		entry->ip.family = family;
		entry->ip.prefix_len = family == AF_INET ? 32 : 128;
		memcpy(entry->ip.bytes, key, family == AF_INET ? 4 : 16);
		entry->endpoint = endpoint;
		memcpy(previous, key, sizeof(previous));
		first = false;
	}
}

static void read_fdb(const struct datapath *datapath, struct arena *arena,
		     struct state_datapath *state)
{
	struct nsr_fdb_key key, *previous = NULL;
	struct nsr_endpoint endpoint;
	struct state_endpoint *entry;

	while (next_entry(datapath->maps[MAP_fdb], previous, &key, &endpoint)) {
		entry = arena_push(arena, state->endpoints, state->endpoints_count);
		entry->key = key;
		entry->endpoint = endpoint;
		previous = &key;
	}
}

/* Of both families together. */
static void read_nat(const struct datapath *datapath, uint32_t index, struct nsr_nat_counters *ret)
{
	struct nsr_nat_counters ipv6 = {0};
	uint64_t *sums = (uint64_t *)ret;
	const uint64_t *more = (const uint64_t *)&ipv6;

	bpf_map_lookup_elem(datapath->maps[MAP_nat_counters], &index, ret);
	bpf_map_lookup_elem(datapath->maps[MAP_nat_counters6], &index, &ipv6);
	for (size_t i = 0; i < sizeof(ipv6) / sizeof(*more); i++)
		sums[i] += more[i];
}

static void read_uplinks(const struct datapath *datapath, struct arena *arena,
			 struct state_datapath *state)
{
	uint64_t *cells = cells_for(arena, sizeof(struct nsr_uplink_counters));
	uint32_t key, *previous = NULL;
	struct nsr_uplink uplink;
	struct state_uplink *entry;

	while (next_entry(datapath->maps[MAP_uplinks], previous, &key, &uplink)) {
		entry = arena_push(arena, state->uplinks, state->uplinks_count);
		entry->uplink = uplink;
		datapath_follow(datapath, &entry->uplink);
		entry->known = entry->uplink;
		if (uplink.fixed)
			entry->known.address4 = uplink.address4;
		if (uplink.fixed6)
			memcpy(entry->known.address6, uplink.address6, sizeof(uplink.address6));
		read_per_cpu(datapath->maps[MAP_uplink_counters], uplink.index, cells,
			     (uint64_t *)&entry->counters, sizeof(entry->counters) / 8);
		bpf_map_lookup_elem(datapath->maps[MAP_uplink_drops], &uplink.index, &entry->drops);
		read_nat(datapath, uplink.index, &entry->nat);
		previous = &key;
	}
}

static void read_inside(const struct datapath *datapath, enum datapath_map map, uint8_t family,
			struct arena *arena, struct state_datapath *state)
{
	struct nsr_inside6_key key = {0}, previous; /* begins as nsr_inside4_key does */
	struct nsr_inside inside;
	struct state_inside *entry;
	bool first = true;

	while (next_entry(datapath->maps[map], first ? NULL : &previous, &key, &inside)) {
		entry = arena_push(arena, state->inside, state->inside_count);
		entry->prefix.family = family;
		entry->prefix.prefix_len = (uint8_t)key.prefix_len;
		memcpy(entry->prefix.bytes, key.address, family == AF_INET ? 4 : 16);
		entry->inside = inside;
		previous = key;
		first = false;
	}
}

static void read_published(const struct datapath *datapath, struct arena *arena,
			   struct state_datapath *state)
{
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		uint32_t key, *previous = NULL;
		struct state_published entry;

		for (; datapath_published(datapath, ipv6, previous, &entry); previous = &key) {
			key = entry.mapping;
			*arena_push(arena, state->published, state->published_count) = entry;
		}
	}
}

static void read_sources(const struct datapath *datapath, struct arena *arena,
			 struct state_datapath *state)
{
	struct nsr_source_key key, previous;
	struct state_source *entry;
	bool first = true, ipv6;
	uint8_t unused;

	while (next_entry(datapath->maps[MAP_sources], first ? NULL : &previous, &key, &unused)) {
		entry = arena_push(arena, state->sources, state->sources_count);
		ipv6 = ntohl(key.port) & NSR_SOURCE_IPV6;
		entry->port = ntohl(key.port) & ~NSR_SOURCE_IPV6;
		entry->prefix.family = ipv6 ? AF_INET6 : AF_INET;
		entry->prefix.prefix_len = (uint8_t)(key.prefix_len - 32);
		memcpy(entry->prefix.bytes, key.address, ipv6 ? 16 : 4);
		previous = key;
		first = false;
	}
}

static void read_inner_links(const struct datapath *datapath, struct arena *arena,
			     struct state_datapath *state)
{
	uint32_t key, *previous = NULL;
	struct nsr_inner_link inner;

	while (next_entry(datapath->maps[MAP_inner_links], previous, &key, &inner)) {
		*arena_push(arena, state->inner_links, state->inner_links_count) =
			(struct state_inner_link){key, inner};
		previous = &key;
	}
}

static void read_programs(const struct datapath *datapath, struct arena *arena,
			  struct state_datapath *state)
{
	for (unsigned int i = 0; i < DATAPATH_PROGRAMS; i++) {
		struct bpf_prog_info info = {};
		uint32_t size = sizeof(info);

		if (bpf_obj_get_info_by_fd(datapath->programs[i], &info, &size) == 0)
			*arena_push(arena, state->programs, state->programs_count) = info.id;
	}
}

int datapath_snapshot(struct datapath *datapath, struct arena *arena, struct state_datapath *ret,
		      struct error *err)
{
	struct state_datapath state = {.loaded = true,
				       .other_build = datapath->build != object_build(),
				       .flows_max = datapath->session_sets * NSR_SESSION_SET,
				       .uses = programs_uses(datapath),
				       .lacks_programs = programs_lack(datapath)};

	(void)err; /* a table that cannot be read is one that is empty: they are all our own */
	read_programs(datapath, arena, &state);
	read_ports(datapath, arena, &state);
	read_hosts(datapath, MAP_hosts4, AF_INET, arena, &state);
	read_hosts(datapath, MAP_hosts6, AF_INET6, arena, &state);
	read_fdb(datapath, arena, &state);
	read_uplinks(datapath, arena, &state);
	read_inside(datapath, MAP_inside4, AF_INET, arena, &state);
	read_inside(datapath, MAP_inside6, AF_INET6, arena, &state);
	datapath_except_read(datapath, arena, &state);
	read_published(datapath, arena, &state);
	read_sources(datapath, arena, &state);
	read_inner_links(datapath, arena, &state);
	state.set_aside = datapath_set_aside_text(datapath, arena, &state.set_aside_unfinished);
	*ret = state;
	return 0;
}
