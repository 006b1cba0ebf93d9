/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: open addressing with linear probing, never more than half full, so that a file of
 * many thousands of names is checked in linear time. Nearness is the number of letters to insert,
 * delete, change or swap with their neighbour; a third of the word may be wrong.
 */
#include "lookup.h"

#include <stdint.h>
#include <string.h>

#include "ip.h"

#define LOOKUP_SIZE_FIRST  16
#define NEAREST_LENGTH_MAX 32 /* nobody wants a guess at longer words */

struct lookup_slot {
	const char *name;
	void *value; /* NULL: free */
};

static struct lookup_slot *find_slot(struct lookup_slot *slots, size_t size, const char *name)
{
	size_t at = hash_strings(name, NULL) & (size - 1);

	while (slots[at].value && strcmp(slots[at].name, name))
		at = (at + 1) & (size - 1);
	return &slots[at];
}

static void double_size(struct lookup *lookup, struct arena *arena)
{
	size_t size = lookup->size ? 2 * lookup->size : LOOKUP_SIZE_FIRST;
	struct lookup_slot *slots = arena_alloc(arena, size * sizeof(*slots));

	for (size_t i = 0; i < lookup->size; i++)
		if (lookup->slots[i].value)
			*find_slot(slots, size, lookup->slots[i].name) = lookup->slots[i];
	lookup->slots = slots;
	lookup->size = size;
}

void *lookup_add(struct lookup *lookup, struct arena *arena, const char *name, void *value)
{
	struct lookup_slot *slot;

	if (2 * lookup->count >= lookup->size)
		double_size(lookup, arena);
	slot = find_slot(lookup->slots, lookup->size, name);
	if (slot->value)
		return slot->value;
	*slot = (struct lookup_slot){name, value};
	lookup->count++;
	return NULL;
}

void *lookup_find(const struct lookup *lookup, const char *name)
{
	return lookup->size ? find_slot(lookup->slots, lookup->size, name)->value : NULL;
}

static unsigned int least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/* Optimal string alignment distance: three rows of the usual table. */
static unsigned int edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	unsigned int rows[3][NEAREST_LENGTH_MAX + 1];
	unsigned int *above2 = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b_length; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; i <= a_length; i++) {
		unsigned int *oldest = above2;

		above2 = above;
		above = row;
		row = oldest;
		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= b_length; j++) {
			row[j] = least(above[j] + 1, row[j - 1] + 1);
			row[j] = least(row[j], above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], above2[j - 2] + 1);
		}
	}
	return row[b_length];
}

void nearest_consider(struct nearest *nearest, const char *candidate)
{
	size_t wanted_length = strlen(nearest->wanted), length = strlen(candidate);
	unsigned int distance, limit;

	if (wanted_length > NEAREST_LENGTH_MAX || length > NEAREST_LENGTH_MAX || wanted_length < 2)
		return;
	limit = wanted_length < 6 ? 1 : (unsigned int)wanted_length / 3;
	distance = edit_distance(nearest->wanted, wanted_length, candidate, length);
	if (distance > limit || (nearest->best && distance >= nearest->distance))
		return;
	nearest->best = candidate;
	nearest->distance = distance;
}
