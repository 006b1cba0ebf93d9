/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the table of sessions is read a part at a time, by batches, so that a million of
 * them take no memory. Programs go on meanwhile, so each part is read twice: a record counts when
 * it was active both times, of the same generation and with the same flow. One copy may be of two
 * generations in part; two copies that are alike in flow and generation are of one.
 */
#include "datapath_sessions.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datapath_maps.h"

#define PART 4096 /* sessions read at once */

/* Room for records of either family. */
struct part {
	uint32_t keys[PART];
	union {
		struct nsr_session ipv4[PART];
		struct nsr_session6 ipv6[PART];
	} first, second;
};

/* cursor is where to begin, NULL for the first part; *ret_next is where the next one begins. False
 * with errno when it cannot be read; *ret_count is 0 behind the end. */
static bool read_once(int map, const uint32_t *cursor, uint32_t *ret_next, uint32_t *keys,
		      void *sessions, uint32_t *ret_count)
{
	uint32_t from = cursor ? *cursor : 0, next = 0, count = PART;

	if (bpf_map_lookup_batch(map, cursor ? &from : NULL, &next, keys, sessions, &count, NULL) &&
	    errno != ENOENT) /* ENOENT: the last part */
		return false;
	*ret_next = next;
	*ret_count = count;
	return true;
}

/* Whether two copies of a record, of either family, are of one generation. */
#define IS_SOUND(first, second)                                                        \
	(((second)->state & NSR_SESSION_STATUS) == NSR_SESSION_ACTIVE &&               \
	 (first)->state == (second)->state && (first)->mapping == (second)->mapping && \
	 !memcmp(&(first)->flow, &(second)->flow, sizeof((first)->flow)))

/* One of the two families. */
struct walk {
	const struct nsr_selection *selection;
	const struct nsr_selection6 *selection6;
	datapath_session told;
	datapath_session6 told6;
	struct nsr_settings settings;
	uint32_t now_s;
	void *argument;
};

/* False: its time is over. */
static bool time_left(const struct walk *walk, uint32_t life, uint32_t refreshed_s,
		      uint32_t *ret_left_s)
{
	uint32_t age = walk->now_s - refreshed_s, limit = NSR_LIFE_TIMEOUT_S(life);

	if (age >= 0x80000000) /* the clock of that CPU is ahead by a tick */
		age = 0;
	*ret_left_s = limit - age;
	return age < limit;
}

/* Not 0: enough. */
static int tell(const struct walk *walk, const struct nsr_session *session)
{
	uint32_t left_s;

	if (!time_left(walk, session->life, session->refreshed_s, &left_s) ||
	    !nsr_selects(walk->selection, &session->flow, session->mapping))
		return 0;
	return walk->told(session, left_s, walk->argument);
}

static int tell6(const struct walk *walk, const struct nsr_session6 *session)
{
	uint32_t left_s;

	if (!time_left(walk, session->life, session->refreshed_s, &left_s) ||
	    !nsr_selects6(walk->selection6, &session->flow, session->mapping))
		return 0;
	return walk->told6(session, left_s, walk->argument);
}

static int tell_one(const struct walk *walk, const struct part *part, uint32_t i)
{
	if (walk->told6)
		return IS_SOUND(&part->first.ipv6[i], &part->second.ipv6[i])
			       ? tell6(walk, &part->second.ipv6[i])
			       : 0;
	return IS_SOUND(&part->first.ipv4[i], &part->second.ipv4[i])
		       ? tell(walk, &part->second.ipv4[i])
		       : 0;
}

static int walk_table(int map, uint32_t sessions_max, const struct walk *walk, struct part *part,
		      struct error *err)
{
	uint32_t cursor = 0, next, count, again;
	bool begun = false;

	for (;;) {
		if (!read_once(map, begun ? &cursor : NULL, &next, part->keys, &part->first,
			       &count) ||
		    !read_once(map, begun ? &cursor : NULL, &next, part->keys, &part->second,
			       &again))
			return error_set(err, -errno, "cannot read the sessions: %s",
					 strerror(errno));
		for (uint32_t i = 0; i < count; i++)
			if (tell_one(walk, part, i))
				return 0;
		if (count < PART || part->keys[count - 1] == sessions_max - 1)
			return 0;
		cursor = next;
		begun = true;
	}
}

/* What the programs' clock shows. */
static uint32_t now_s(const struct nsr_settings *settings)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* bpf_ktime_get_coarse_ns() */
	return (uint32_t)now.tv_sec + settings->clock_offset_s;
}

static int walk_sessions(const struct datapath *datapath, struct walk *walk, struct error *err)
{
	int map = datapath->maps[walk->told6 ? MAP_sessions6 : MAP_sessions];
	struct part *part;
	uint32_t zero = 0;
	int ret;

	if (bpf_map_lookup_elem(datapath->maps[MAP_settings], &zero, &walk->settings))
		return error_set(err, -errno, "cannot read the datapath's settings: %s",
				 strerror(errno));
	part = malloc(sizeof(*part));
	if (!part)
		return error_set(err, -ENOMEM, "out of memory");
	walk->now_s = now_s(&walk->settings);
	ret = walk_table(
		map, datapath->session_sets * (walk->told6 ? NSR_SESSION6_SET : NSR_SESSION_SET),
		walk, part, err);
	free(part);
	return ret;
}

int datapath_sessions(const struct datapath *datapath, const struct nsr_selection *selection,
		      datapath_session told, void *argument, struct error *err)
{
	struct walk walk = {.selection = selection, .told = told, .argument = argument};

	return walk_sessions(datapath, &walk, err);
}

int datapath_sessions6(const struct datapath *datapath, const struct nsr_selection6 *selection,
		       datapath_session6 told, void *argument, struct error *err)
{
	struct walk walk = {.selection6 = selection, .told6 = told, .argument = argument};

	return walk_sessions(datapath, &walk, err);
}

int datapath_sessions_end(const struct datapath *datapath, const struct nsr_selection *selection,
			  uint64_t *ret_ended, struct error *err)
{
	return datapath_flush(datapath, selection, ret_ended, err);
}

int datapath_sessions_end6(const struct datapath *datapath, const struct nsr_selection6 *selection,
			   uint64_t *ret_ended, struct error *err)
{
	return datapath_flush6(datapath, selection, ret_ended, err);
}

uint32_t datapath_uplink_of(const struct datapath *datapath, uint32_t number)
{
	uint32_t ifindex;

	if (bpf_map_lookup_elem(datapath->maps[MAP_uplink_by_index], &number, &ifindex))
		return 0;
	return ifindex;
}

bool datapath_uplink_number(const struct datapath *datapath, uint32_t ifindex, uint32_t *ret)
{
	struct nsr_uplink uplink;

	if (bpf_map_lookup_elem(datapath->maps[MAP_uplinks], &ifindex, &uplink))
		return false;
	*ret = uplink.index;
	return true;
}
