/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Masqueraded prefixes: their uplink, and what is set for their flows.
 *
 * How it works: what is set is in an entry that programs read when a session begins or changes; a
 * session that runs asks for none of it. So a change is an entry and then a walk over the sessions
 * that are there. Between the two the entry is marked "unfinished", with the uplink that it had
 * before: a process that was killed leaves the mark, plans take such an entry for another than the
 * wanted one, and the next change begins with what the last one has left.
 *
 * "inbound" is a number chosen at random when it is set, which stays until it is taken away. Direct
 * sessions have a copy, so none of them is good for anything from the moment that the entry says
 * otherwise; that they are ended after that gives their records back.
 *
 * What it excepts from translation is a table of its own (datapath_except.c), under the prefix's
 * number, in which entries come after the mark, and go before programs are waited for: who gets the
 * number next has none of them.
 *
 * Before an entry goes, it allows no flow any more; then sessions are ended; then it goes. So
 * nobody is left who could open one, whenever the process ends.
 */
#include "datapath.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "datapath_entry.h"
#include "datapath_except.h"
#include "datapath_maps.h"

static enum datapath_map map_of(const struct ip_address *prefix)
{
	return prefix->family == AF_INET ? MAP_inside4 : MAP_inside6;
}

static struct nsr_inside6_key key_of(const struct ip_address *prefix)
{
	struct nsr_inside6_key key = {.prefix_len = prefix->prefix_len};

	memcpy(key.address, prefix->bytes, 16); /* IPv4: the first 4, as nsr_inside4_key */
	return key;
}

static int put(const struct datapath *datapath, const struct ip_address *prefix,
	       const struct nsr_inside *inside, struct error *err)
{
	struct nsr_inside6_key key = key_of(prefix);

	if (bpf_map_update_elem(datapath->maps[map_of(prefix)], &key, inside, BPF_ANY) == 0)
		return 0;
	return error_set(err, -errno, "cannot add a masqueraded prefix: %s",
			 errno == E2BIG || errno == ENOSPC ? "the datapath's table is full"
							   : strerror(errno));
}

static bool find(const struct datapath *datapath, const struct ip_address *prefix,
		 struct nsr_inside *ret)
{
	struct nsr_inside6_key key = key_of(prefix);

	return bpf_map_lookup_elem(datapath->maps[map_of(prefix)], &key, ret) == 0;
}

/* ---- Slots. */

static void note_slots(struct datapath *datapath, enum datapath_map map)
{
	struct nsr_inside6_key key, previous;
	struct nsr_inside inside;
	bool first = true;

	while (bpf_map_get_next_key(datapath->maps[map], first ? NULL : &previous, &key) == 0) {
		if (bpf_map_lookup_elem(datapath->maps[map], &key, &inside) == 0 &&
		    inside.slot < NSR_INSIDE_SLOTS)
			datapath->inside_slots[inside.slot / 64] |= 1ull << inside.slot % 64;
		previous = key;
		first = false;
	}
}

static int read_slots(struct datapath *datapath, struct error *err)
{
	if (datapath->inside_slots)
		return 0;
	datapath->inside_slots = calloc(NSR_INSIDE_SLOTS / 64, sizeof(uint64_t));
	if (!datapath->inside_slots)
		return error_set(err, -ENOMEM, "out of memory");
	note_slots(datapath, MAP_inside4);
	note_slots(datapath, MAP_inside6);
	return 0;
}

/* There is one for each entry that the tables have room for. */
static int take_slot(struct datapath *datapath, uint16_t *ret, struct error *err)
{
	int result = read_slots(datapath, err);
	unsigned int word;

	if (result)
		return result;
	for (word = 0; word < NSR_INSIDE_SLOTS / 64; word++) {
		uint64_t left = ~datapath->inside_slots[word];

		if (!left)
			continue;
		*ret = (uint16_t)(word * 64 + (unsigned int)__builtin_ctzll(left));
		datapath->inside_slots[word] |= 1ull << *ret % 64;
		return 0;
	}
	return error_set(err, -ENOSPC,
			 "cannot add a masqueraded prefix: the datapath's table is full");
}

static void give_slot(struct datapath *datapath, uint16_t slot)
{
	if (datapath->inside_slots && slot < NSR_INSIDE_SLOTS)
		datapath->inside_slots[slot / 64] &= ~(1ull << slot % 64);
}

/* ---- Sessions. */

static struct nsr_selection sessions_of(const struct ip_address *prefix, uint32_t uplink)
{
	struct nsr_selection selection = {.uplink = (uint8_t)(1 + uplink)};

	if (prefix->family != AF_INET)
		return selection; /* for sessions_of6() */
	selection.mask = prefix->prefix_len ? htonl(~0u << (32 - prefix->prefix_len)) : 0;
	memcpy(&selection.address, prefix->bytes, sizeof(selection.address));
	return selection;
}

static struct nsr_selection6 sessions_of6(const struct ip_address *prefix, uint32_t uplink)
{
	struct nsr_selection6 selection = {.uplink = (uint8_t)(1 + uplink)};
	uint8_t mask[16] = {0};

	for (unsigned int i = 0; i < prefix->prefix_len; i++)
		mask[i / 8] |= (uint8_t)(0x80 >> i % 8);
	memcpy(&selection.address, prefix->bytes, sizeof(selection.address));
	memcpy(&selection.mask, mask, sizeof(selection.mask));
	return selection;
}

/* Programs that have looked at the entry that was there before are waited for, also where the
 * uplink has no address: direct sessions need none. */
static int end_sessions(const struct datapath *datapath, const struct ip_address *prefix,
			uint32_t uplink, struct error *err)
{
	const struct nsr_selection ending = sessions_of(prefix, uplink);
	const struct nsr_selection6 ending6 = sessions_of6(prefix, uplink);
	int ret = datapath_wait(err);

	if (ret)
		return ret;
	return prefix->family == AF_INET ? datapath_flush(datapath, &ending, NULL, err)
					 : datapath_flush6(datapath, &ending6, NULL, err);
}

/* They get the timeouts that are set now. */
static int renew_sessions(const struct datapath *datapath, const struct ip_address *prefix,
			  uint32_t uplink, struct error *err)
{
	const struct nsr_selection renewed = sessions_of(prefix, uplink);
	const struct nsr_selection6 renewed6 = sessions_of6(prefix, uplink);

	return prefix->family == AF_INET ? datapath_renew(datapath, &renewed, err)
					 : datapath_renew6(datapath, &renewed6, err);
}

/* Those that the outside has begun and a stricter filter may refuse. What is published has a filter
 * of its own, and what comes straight to an inside address has none. */
static int end_unanswered(const struct datapath *datapath, const struct ip_address *prefix,
			  uint32_t uplink, struct error *err)
{
	struct nsr_selection ending = sessions_of(prefix, uplink);
	struct nsr_selection6 ending6 = sessions_of6(prefix, uplink);

	ending.unpublished = ending6.unpublished = 1;
	ending.unanswered = ending6.unanswered = 1;
	ending.kind = ending6.kind = 1 + NSR_FLOW_TRANSLATED;
	return prefix->family == AF_INET ? datapath_flush(datapath, &ending, NULL, err)
					 : datapath_flush6(datapath, &ending6, NULL, err);
}

/* Those that the outside had begun straight with its addresses, when it may no more. */
static int end_direct(const struct datapath *datapath, const struct ip_address *prefix,
		      uint32_t uplink, struct error *err)
{
	struct nsr_selection ending = sessions_of(prefix, uplink);
	struct nsr_selection6 ending6 = sessions_of6(prefix, uplink);

	ending.kind = ending6.kind = 1 + NSR_FLOW_DIRECT;
	return prefix->family == AF_INET ? datapath_flush(datapath, &ending, NULL, err)
					 : datapath_flush6(datapath, &ending6, NULL, err);
}

/* The number that "inbound" has: a new one when it was not set before. */
static int choose_inbound(const struct nsr_inside *before, struct nsr_inside *now,
			  struct error *err)
{
	if (now->inbound && before && before->inbound && before->uplink == now->uplink) {
		now->inbound = before->inbound;
		return 0;
	}
	if (!now->inbound)
		return 0;
	if (getrandom(&now->inbound, sizeof(now->inbound), 0) != sizeof(now->inbound))
		return error_set(err, -errno, "cannot choose a number: %s", strerror(errno));
	now->inbound |= 1; /* never 0 */
	return 0;
}

static bool same_timeouts(const struct nsr_inside *a, const struct nsr_inside *b)
{
	return !memcmp(a->timeout_s, b->timeout_s, sizeof(a->timeout_s));
}

/* The sessions that were there before feel what is set now. */
static int change_sessions(const struct datapath *datapath, const struct ip_address *prefix,
			   const struct nsr_inside *before, const struct nsr_inside *now,
			   struct error *err)
{
	bool unknown = before->unfinished; /* what they have felt of it */
	int ret = 0;

	if (before->uplink != now->uplink)
		ret = end_sessions(datapath, prefix, before->uplink, err);
	if (ret)
		return ret;
	if (unknown || !same_timeouts(before, now) || now->filtering < before->filtering)
		ret = datapath_wait_for_programs(datapath, now->uplink, err);
	if (!ret && (unknown || !same_timeouts(before, now)))
		ret = renew_sessions(datapath, prefix, now->uplink, err);
	if (!ret && !now->inbound && (unknown || before->inbound))
		ret = end_direct(datapath, prefix, now->uplink, err);
	if (!ret && (unknown || now->filtering < before->filtering) &&
	    now->filtering != NSR_FILTER_NOTHING)
		ret = end_unanswered(datapath, prefix, now->uplink, err);
	return ret;
}

/* ---- Fragments that are held. */

static uint32_t fragment_s(const struct nsr_inside *inside)
{
	return inside->timeout_s[NSR_TIMEOUT_FRAGMENT];
}

static uint32_t longest_in(const struct datapath *datapath, enum datapath_map map, uint32_t uplink)
{
	struct nsr_inside6_key key, previous;
	struct nsr_inside inside;
	uint32_t longest = 0;
	bool first = true;

	while (bpf_map_get_next_key(datapath->maps[map], first ? NULL : &previous, &key) == 0) {
		if (bpf_map_lookup_elem(datapath->maps[map], &key, &inside) == 0 &&
		    inside.uplink == uplink && fragment_s(&inside) > longest)
			longest = fragment_s(&inside);
		previous = key;
		first = false;
	}
	return longest;
}

static int wait_for(const struct datapath *datapath, uint32_t uplink, uint32_t seconds,
		    struct error *err)
{
	if (!bpf_map_update_elem(datapath->maps[MAP_held_waits], &uplink, &seconds, BPF_ANY))
		return 0;
	return error_set(err, -errno, "cannot set how long fragments wait: %s", strerror(errno));
}

/* Before an entry is there: what is held may be for its network. */
static int wait_longer(const struct datapath *datapath, const struct nsr_inside *now,
		       struct error *err)
{
	uint32_t uplink = now->uplink, known;

	if (bpf_map_lookup_elem(datapath->maps[MAP_held_waits], &uplink, &known) ||
	    fragment_s(now) <= NSR_DATAGRAM_S || fragment_s(now) <= known)
		return 0;
	return wait_for(datapath, uplink, fragment_s(now), err);
}

/* After one has gone, or has changed: it may have been the longest. Whoever is killed before leaves
 * a wait that is too long, until the next of them goes: it costs room, and nothing else. */
static int wait_no_longer(const struct datapath *datapath, const struct nsr_inside *before,
			  struct error *err)
{
	uint32_t uplink = before->uplink, ipv4, ipv6;

	if (fragment_s(before) <= NSR_DATAGRAM_S && !before->unfinished)
		return 0;
	ipv4 = longest_in(datapath, MAP_inside4, uplink);
	ipv6 = longest_in(datapath, MAP_inside6, uplink);
	return wait_for(datapath, uplink, ipv4 > ipv6 ? ipv4 : ipv6, err);
}

/* ---- Entries. */

/* What was unfinished may have sessions at an uplink that it has no more: they are ended first, so
 * that one mark is enough. */
static int finish_last(const struct datapath *datapath, const struct ip_address *prefix,
		       const struct nsr_inside *before, struct error *err)
{
	if (!before->unfinished || before->unfinished - 1u == before->uplink)
		return 0;
	return end_sessions(datapath, prefix, before->unfinished - 1u, err);
}

static int change(const struct datapath *datapath, const struct ip_address *prefix,
		  const struct nsr_inside *before, struct nsr_inside *now,
		  const struct ip_address *except, struct error *err)
{
	int ret = finish_last(datapath, prefix, before, err);

	now->slot = before->slot;
	now->unfinished = (uint16_t)(1 + before->uplink);
	if (!ret)
		ret = choose_inbound(before, now, err);
	if (!ret)
		ret = wait_longer(datapath, now, err);
	if (!ret)
		ret = put(datapath, prefix, now, err);
	if (!ret)
		ret = datapath_except_set(datapath, now->slot, now->uplink, except, now->except,
					  err);
	if (!ret)
		ret = wait_no_longer(datapath, before, err);
	if (!ret)
		ret = change_sessions(datapath, prefix, before, now, err);
	now->unfinished = 0;
	return ret ? ret : put(datapath, prefix, now, err);
}

int datapath_inside_set(struct datapath *datapath, const struct ip_address *prefix,
			uint32_t uplink_ifindex, const struct nsr_inside *settings,
			const struct ip_address *except, size_t except_count, struct error *err)
{
	struct nsr_inside inside = *settings, known;
	struct nsr_uplink uplink;
	int ret;

	if (bpf_map_lookup_elem(datapath->maps[MAP_uplinks], &uplink_ifindex, &uplink))
		return error_set(err, -ENOENT, "cannot masquerade: no uplink has ifindex %u",
				 uplink_ifindex);
	inside.uplink = uplink.index;
	inside.except = (uint32_t)except_count;
	if (find(datapath, prefix, &known))
		return change(datapath, prefix, &known, &inside, except, err);
	inside.unfinished = 0;
	ret = choose_inbound(NULL, &inside, err);
	if (!ret)
		ret = wait_longer(datapath, &inside, err);
	if (!ret)
		ret = take_slot(datapath, &inside.slot, err);
	if (ret)
		return ret;
	ret = datapath_except_set(datapath, inside.slot, inside.uplink, except, except_count, err);
	if (!ret)
		ret = put(datapath, prefix, &inside, err);
	if (ret)
		give_slot(datapath, inside.slot);
	return ret;
}

int datapath_inside_delete(struct datapath *datapath, const struct ip_address *prefix,
			   struct error *err)
{
	struct nsr_inside6_key key = key_of(prefix);
	struct nsr_inside inside;
	int ret;

	if (!find(datapath, prefix, &inside))
		return 0;
	ret = finish_last(datapath, prefix, &inside, err);
	inside.flows_max = 0;
	inside.inbound = 0;
	inside.except = 0;
	inside.unfinished = (uint16_t)(1 + inside.uplink);
	if (!ret)
		ret = put(datapath, prefix, &inside, err);
	if (!ret)
		ret = datapath_except_set(datapath, inside.slot, inside.uplink, NULL, 0, err);
	if (!ret)
		ret = end_sessions(datapath, prefix, inside.uplink, err);
	if (ret)
		return ret;
	if (bpf_map_delete_elem(datapath->maps[map_of(prefix)], &key) && errno != ENOENT)
		return error_set(err, -errno, "cannot remove a masqueraded prefix: %s",
				 strerror(errno));
	give_slot(datapath, inside.slot);
	return wait_no_longer(datapath, &inside, err);
}
