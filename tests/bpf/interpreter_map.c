/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: tables are lists that are walked, for there are a few entries in each; arrays are
 * memory that is taken when one is first looked into.
 */
#include "interpreter_map.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "nsroute_abi.h"

struct entry {
	struct entry *next;
	void *value;
	uint8_t key[32];
};

static bool is_array(const struct map *map)
{
	return map->type == BPF_MAP_TYPE_ARRAY || map->type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

/* Whether the first bits of the key's data, as many as the entry's key says, are the entry's. */
static bool has_prefix(const struct map *map, const uint8_t *entry, const uint8_t *key)
{
	uint32_t length, whole;

	memcpy(&length, entry, sizeof(length));
	whole = length / 8;
	assert(whole <= map->key_size - 4);
	if (memcmp(entry + 4, key + 4, whole))
		return false;
	return length % 8 == 0 || !((entry[4 + whole] ^ key[4 + whole]) >> (8 - length % 8));
}

static struct entry *find_entry(const struct map *map, const void *key, bool exact)
{
	struct entry *best = NULL;

	for (struct entry *entry = map->entries; entry; entry = entry->next) {
		if (map->type != BPF_MAP_TYPE_LPM_TRIE || exact) {
			if (!memcmp(entry->key, key, map->key_size))
				return entry;
		} else if (has_prefix(map, entry->key, key) &&
			   (!best || *(uint32_t *)entry->key > *(uint32_t *)best->key)) {
			best = entry;
		}
	}
	return best;
}

static void *cell(struct map *map, const void *key)
{
	uint32_t index;

	memcpy(&index, key, sizeof(index));
	if (index >= map->max_entries)
		return NULL;
	if (!map->cells)
		map->cells = calloc(map->max_entries, map->value_size);
	return map->cells + (size_t)index * map->value_size;
}

void *map_find(struct map *map, const void *key)
{
	struct entry *entry;

	if (is_array(map))
		return cell(map, key);
	entry = find_entry(map, key, false);
	return entry ? entry->value : NULL;
}

static void *new_inner(void)
{
	struct map *map = calloc(1, sizeof(*map));

	*map = (struct map){.name = "inner",
			    .type = BPF_MAP_TYPE_ARRAY,
			    .key_size = 4,
			    .value_size = sizeof(struct nsr_mapping),
			    .max_entries = NSR_POOL_PORTS};
	return map;
}

long map_update(struct map *map, const void *key, const void *value, uint64_t flags)
{
	struct entry *entry;

	if (is_array(map)) {
		memcpy(cell(map, key), value, map->value_size);
		return 0;
	}
	assert(map->key_size <= sizeof(entry->key));
	entry = find_entry(map, key, true);
	if (entry && flags == BPF_NOEXIST)
		return -EEXIST;
	if (!entry) {
		entry = calloc(1, sizeof(*entry));
		memcpy(entry->key, key, map->key_size);
		entry->value = map->type == BPF_MAP_TYPE_ARRAY_OF_MAPS ? new_inner()
								       : calloc(1, map->value_size);
		entry->next = map->entries;
		map->entries = entry;
	}
	if (map->type != BPF_MAP_TYPE_ARRAY_OF_MAPS)
		memcpy(entry->value, value, map->value_size);
	return 0;
}

static void free_entry(const struct map *map, struct entry *entry)
{
	if (map->type == BPF_MAP_TYPE_ARRAY_OF_MAPS)
		free(((struct map *)entry->value)->cells);
	free(entry->value);
	free(entry);
}

long map_delete(struct map *map, const void *key)
{
	for (struct entry **at = &map->entries; *at; at = &(*at)->next) {
		struct entry *entry = *at;

		if (memcmp(entry->key, key, map->key_size))
			continue;
		*at = entry->next;
		free_entry(map, entry);
		return 0;
	}
	return -ENOENT;
}

void map_clear(struct map *map)
{
	while (map->entries)
		map_delete(map, map->entries->key);
	free(map->cells);
	map->cells = NULL;
}
