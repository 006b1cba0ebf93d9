/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * interpreter_map - the interpreter's maps, in plain memory. For interpreter.c only.
 */
#ifndef TESTS_BPF_INTERPRETER_MAP_H
#define TESTS_BPF_INTERPRETER_MAP_H

#include <linux/bpf.h>
#include <stdint.h>

struct entry;

struct map {
	const char *name;
	enum bpf_map_type type;
	uint32_t key_size, value_size, max_entries;
	struct entry *entries; /* hash, trie, array of maps */
	uint8_t *cells;        /* array, per-CPU array: one CPU */
};

/* As the kernel's helpers: the value in place or NULL, 0 or a negative errno. The element of an
 * array of maps is made anew, whatever value is. */
void *map_find(struct map *map, const void *key);
long map_update(struct map *map, const void *key, const void *value, uint64_t flags);
long map_delete(struct map *map, const void *key);
void map_clear(struct map *map);

#endif
