/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the table "set_aside" says which ports they are. The pools are made so by the
 * program "nsr_publish", a range at a time: it takes those that are free, and marks all, so that
 * one that somebody has is set aside when it has cooled down; a mark that is taken away gives the
 * port back in a few seconds (bpf/reclaim.h).
 *
 * A packet that has taken a port which is being marked gives it back when it finds no use for it.
 * So programs are waited for, and the ports taken once more. The table is "unfinished" until then,
 * and whoever finds it so does all of it again.
 */
#include "datapath_reserve.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <net/ethernet.h>
#include <string.h>

#include "datapath_entry.h"
#include "datapath_externals.h"
#include "datapath_maps.h"
#include "datapath_programs.h"

_Static_assert(sizeof(((struct port_set *)0)->words) == sizeof(((struct nsr_set_aside *)0)->words),
	       "a bit a port");

static bool read_table(const struct datapath *datapath, struct port_set *ret, bool *ret_unfinished)
{
	static struct nsr_set_aside table; /* 8 KiB: not for the stack */
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(datapath->maps[MAP_set_aside], &zero, &table))
		return false;
	memcpy(ret->words, table.words, sizeof(ret->words));
	*ret_unfinished = table.unfinished;
	return true;
}

static int write_table(const struct datapath *datapath, const struct port_set *set, bool unfinished,
		       struct error *err)
{
	static struct nsr_set_aside table;
	uint32_t zero = 0;

	memcpy(table.words, set->words, sizeof(table.words));
	table.unfinished = unfinished;
	return datapath_put(datapath, MAP_set_aside, &zero, &table, "ports that are set aside",
			    err);
}

/* ---- Pools. */

static int run_step(const struct datapath *datapath, bool ipv6, enum nsr_publish_step step,
		    uint32_t mapping, uint32_t count, struct error *err)
{
	char packet[ETH_HLEN + sizeof(struct nsr_publish6)] = {0};
	const struct nsr_publish6 asked6 = {.step = step, .mapping = mapping, .count = count};
	const struct nsr_publish asked = {.step = step, .mapping = mapping, .count = count};

	memcpy(packet + ETH_HLEN, ipv6 ? (const void *)&asked6 : &asked,
	       ipv6 ? sizeof(asked6) : sizeof(asked));
	return datapath_run(datapath->programs[ipv6 ? DATAPATH_PUBLISH6 : DATAPATH_PUBLISH], packet,
			    sizeof(packet), "set ports aside", err);
}

/* Of all ports of the pool, a range of either kind at a time. */
static int mark_ports(const struct datapath *datapath, bool ipv6, uint32_t pool,
		      const struct port_set *set, struct error *err)
{
	int ret = 0;

	for (uint32_t first = 0, end; first < NSR_POOL_PORTS && !ret; first = end) {
		bool aside = port_set_has(set, (uint16_t)first);

		for (end = first + 1;
		     end < NSR_POOL_PORTS && port_set_has(set, (uint16_t)end) == aside; end++)
			;
		ret = run_step(datapath, ipv6, aside ? NSR_PUBLISH_RESERVE : NSR_PUBLISH_UNRESERVE,
			       NSR_MAPPING(pool, first), end - first, err);
	}
	return ret;
}

/* One namespace may have half of what is handed out. */
static uint32_t share_of(const struct nsr_uplink *uplink, const struct port_set *set)
{
	uint32_t left = 0;

	for (uint32_t port = uplink->port_min; port <= uplink->port_max; port++)
		left += port && !port_set_has(set, (uint16_t)port);
	return left > 1 ? left / 2 : 1;
}

static int mark_pools(const struct datapath *datapath, bool ipv6, const struct nsr_uplink *uplink,
		      uint32_t slot, const struct port_set *set, bool *ret_any, struct error *err)
{
	static const enum nsr_nat_protocol with_ports[] = {NSR_NAT_TCP, NSR_NAT_UDP};
	const int pools = datapath->maps[ipv6 ? MAP_pools6 : MAP_pools];
	int ret = 0;

	for (size_t i = 0; i < sizeof(with_ports) / sizeof(*with_ports) && !ret; i++) {
		uint32_t pool = NSR_POOL(slot, with_ports[i]), id;

		if (bpf_map_lookup_elem(pools, &pool, &id))
			continue;
		*ret_any = true;
		ret = run_step(datapath, ipv6, NSR_PUBLISH_SHARE, NSR_MAPPING(pool, 0),
			       share_of(uplink, set), err);
		if (!ret)
			ret = mark_ports(datapath, ipv6, pool, set, err);
	}
	return ret;
}

static int mark_all(const struct datapath *datapath, const struct port_set *set, bool *ret_any,
		    struct error *err)
{
	const int map = datapath->maps[MAP_uplinks];
	uint32_t key, *previous = NULL;
	struct nsr_uplink uplink;
	int ret = 0;

	for (; !ret && !bpf_map_get_next_key(map, previous, &key); previous = &key) {
		if (bpf_map_lookup_elem(map, &key, &uplink))
			continue;
		for (uint32_t slot = 0; slot < NSR_SLOTS_MAX && !ret; slot++) {
			if (!datapath_slot_is_of(datapath, slot, uplink.index, uplink.ifindex))
				continue;
			ret = mark_pools(datapath, false, &uplink, slot, set, ret_any, err);
			if (!ret)
				ret = mark_pools(datapath, true, &uplink, slot, set, ret_any, err);
		}
	}
	return ret;
}

/* ---- What is asked for. */

int datapath_set_aside(const struct datapath *datapath, const struct port_set *set,
		       struct error *err)
{
	bool any = false;
	int ret = write_table(datapath, set, true, err);

	if (!ret)
		ret = mark_all(datapath, set, &any, err);
	if (!ret && any)
		ret = datapath_wait(err);
	if (!ret && any)
		ret = mark_all(datapath, set, &any, err);
	return ret ? ret : write_table(datapath, set, false, err);
}

int datapath_set_aside_in(const struct datapath *datapath, bool ipv6,
			  const struct nsr_uplink *uplink, uint32_t slot, struct error *err)
{
	struct port_set set;
	bool ignored;

	if (!read_table(datapath, &set, &ignored) || port_set_empty(&set))
		return 0;
	return mark_pools(datapath, ipv6, uplink, slot, &set, &ignored, err);
}

const char *datapath_set_aside_text(const struct datapath *datapath, struct arena *arena,
				    bool *ret_unfinished)
{
	struct port_set set;

	*ret_unfinished = false;
	return read_table(datapath, &set, ret_unfinished) && !port_set_empty(&set)
		       ? port_set_text(&set, arena)
		       : NULL;
}
