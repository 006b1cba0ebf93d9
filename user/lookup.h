/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lookup - finds things by their names, and guesses which name was meant.
 */
#ifndef NSROUTE_LOOKUP_H
#define NSROUTE_LOOKUP_H

#include <stddef.h>

#include "arena.h"

/* A table from names to pointers; {} is an empty one. Its memory is the arena's, names are
 * borrowed. */
struct lookup {
	struct lookup_slot *slots;
	size_t size, count;
};

/* Enters value, which may not be NULL, unless the name is taken: returns the value that has it, or
 * NULL when it was free. */
void *lookup_add(struct lookup *lookup, struct arena *arena, const char *name, void *value);
void *lookup_find(const struct lookup *lookup, const char *name);

/* "did you mean": shown every candidate, keeps the nearest of those that could be a typing slip. */
struct nearest {
	const char *wanted;
	const char *best; /* NULL: nothing is near */
	unsigned int distance;
};

void nearest_consider(struct nearest *nearest, const char *candidate);

#endif
