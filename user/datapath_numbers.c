/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a number is free when no uplink has it, whatever "uplink_by_index" says, and
 * nothing points to it. An uplink that is lost goes at once, and whose networks leave by it, maybe
 * another fabric's, is told later. Until then their number is nobody's: with another uplink's they
 * would leave by that one, which is not the one that they are to leave by.
 */
#include "datapath_numbers.h"

#include <bpf/bpf.h>
#include <errno.h>

#include "datapath_maps.h"

static void note(bool used[NSR_UPLINKS_MAX], uint32_t number)
{
	if (number < NSR_UPLINKS_MAX)
		used[number] = true;
}

static void note_uplinks(const struct datapath *datapath, bool used[NSR_UPLINKS_MAX])
{
	uint32_t key, *previous = NULL;
	struct nsr_uplink uplink;

	while (bpf_map_get_next_key(datapath->maps[MAP_uplinks], previous, &key) == 0) {
		if (bpf_map_lookup_elem(datapath->maps[MAP_uplinks], &key, &uplink) == 0)
			note(used, uplink.index);
		previous = &key;
	}
}

static void note_inside(const struct datapath *datapath, enum datapath_map map,
			bool used[NSR_UPLINKS_MAX])
{
	struct nsr_inside6_key key, next = {0}, *previous = NULL; /* IPv4's is shorter */
	struct nsr_inside inside;

	while (bpf_map_get_next_key(datapath->maps[map], previous, &next) == 0) {
		if (bpf_map_lookup_elem(datapath->maps[map], &next, &inside) == 0) {
			note(used, inside.uplink);
			note(used, inside.unfinished - 1u);
		}
		key = next;
		previous = &key;
	}
}

static void note_ports(const struct datapath *datapath, bool used[NSR_UPLINKS_MAX])
{
	uint32_t key, *previous = NULL;
	struct nsr_port port;

	while (bpf_map_get_next_key(datapath->maps[MAP_ports], previous, &key) == 0) {
		if (bpf_map_lookup_elem(datapath->maps[MAP_ports], &key, &port) == 0)
			note(used, port.uplink - 1u);
		previous = &key;
	}
}

int datapath_take_number(const struct datapath *datapath, uint32_t *ret_number, struct error *err)
{
	bool used[NSR_UPLINKS_MAX] = {false};

	note_uplinks(datapath, used);
	note_inside(datapath, MAP_inside4, used);
	note_inside(datapath, MAP_inside6, used);
	note_ports(datapath, used);
	for (uint32_t number = 0; number < NSR_UPLINKS_MAX; number++) {
		if (used[number])
			continue;
		*ret_number = number;
		return 0;
	}
	return error_set(err, -ENOSPC, "cannot add an uplink: this host namespace has %d already",
			 NSR_UPLINKS_MAX);
}
