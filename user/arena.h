/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * arena - memory of one command, freed at once.
 *
 * Allocations are zeroed and never fail: a command that has no memory left for its plan says so and
 * exits (2) before it has changed anything, because planning allocates and applying does not.
 */
#ifndef NSROUTE_ARENA_H
#define NSROUTE_ARENA_H

#include <stddef.h>

struct arena {
	struct arena_block *blocks;
};

void *arena_alloc(struct arena *arena, size_t size);
char *arena_strdup(struct arena *arena, const char *string);
char *arena_printf(struct arena *arena, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Makes room for one more element: returns the (possibly moved) array; *count elements are in use,
 * their number doubles when it is reached. Use through arena_push(). */
void *arena_grow(struct arena *arena, void *array, size_t count, size_t size);
void arena_free(struct arena *arena);

/* Appends a zeroed element to ARRAY (an lvalue pointer) with COUNT elements; yields its address. */
#define arena_push(arena, array, count) \
	((array) = arena_grow((arena), (array), (count), sizeof(*(array))), &(array)[(count)++])

#endif
