/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: an entry is a destination under the number of the masqueraded prefix and that of
 * its uplink. A look-up finds the longest prefix and not an entry, so what there is is found by
 * going through all of them.
 */
#include "datapath_except.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "datapath_entry.h"

static const char what[] = "a destination that is not translated";

static struct nsr_except_key key_of(uint16_t slot, uint32_t uplink, const struct ip_address *except)
{
	struct nsr_except_key key = {
		.prefix_len = NSR_EXCEPT_BITS + except->prefix_len,
		.slot = htons(slot),
		.uplink = (uint8_t)uplink,
	};

	memcpy(key.address, except->bytes, sizeof(key.address));
	return key;
}

static bool is_wanted(const struct nsr_except_key *key, uint16_t slot, uint32_t uplink,
		      const struct ip_address *except, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct nsr_except_key wanted = key_of(slot, uplink, &except[i]);

		if (!memcmp(key, &wanted, sizeof(wanted)))
			return true;
	}
	return false;
}

int datapath_except_set(const struct datapath *datapath, uint16_t slot, uint32_t uplink,
			const struct ip_address *except, size_t count, struct error *err)
{
	struct nsr_except_key key, next, *previous = NULL;
	const uint8_t unused = 0;
	int ret = 0;

	while (!ret && !bpf_map_get_next_key(datapath->maps[MAP_exceptions], previous, &next)) {
		if (next.slot == htons(slot) && !is_wanted(&next, slot, uplink, except, count)) {
			ret = datapath_drop(datapath, MAP_exceptions, &next, what, err);
			continue; /* from the one before again: this key is gone */
		}
		key = next;
		previous = &key;
	}
	for (size_t i = 0; !ret && i < count; i++) {
		key = key_of(slot, uplink, &except[i]);
		ret = datapath_put(datapath, MAP_exceptions, &key, &unused, what, err);
	}
	return ret;
}

static int compare(const void *left, const void *right)
{
	const struct ip_address *a = left, *b = right;
	int order = memcmp(a->bytes, b->bytes, sizeof(a->bytes));

	return order ? order : a->prefix_len - b->prefix_len;
}

static struct state_inside *inside_of(struct state_datapath *state,
				      const struct nsr_except_key *key)
{
	for (size_t i = 0; i < state->inside_count; i++)
		if (state->inside[i].inside.slot == ntohs(key->slot) &&
		    state->inside[i].inside.uplink == key->uplink)
			return &state->inside[i];
	return NULL;
}

void datapath_except_read(const struct datapath *datapath, struct arena *arena,
			  struct state_datapath *state)
{
	struct nsr_except_key key, *previous = NULL, next;
	struct ip_address *entry;

	while (!bpf_map_get_next_key(datapath->maps[MAP_exceptions], previous, &next)) {
		struct state_inside *inside = inside_of(state, &next);

		if (inside) {
			entry = arena_push(arena, inside->except, inside->except_count);
			entry->family = inside->prefix.family;
			entry->prefix_len = (uint8_t)(next.prefix_len - NSR_EXCEPT_BITS);
			memcpy(entry->bytes, next.address, sizeof(entry->bytes));
		}
		key = next;
		previous = &key;
	}
	for (size_t i = 0; i < state->inside_count; i++)
		if (state->inside[i].except_count)
			qsort(state->inside[i].except, state->inside[i].except_count,
			      sizeof(*state->inside[i].except), compare);
}
