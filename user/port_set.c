/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: one bit a port. The text has ranges in ascending order, as the kernel prints the
 * sysctls that are sets of ports.
 */
#include "port_set.h"

#include <stdio.h>
#include <stdlib.h>

#define RANGE_MAX 12 /* bytes of ",65534-65535" */

void port_set_add(struct port_set *set, uint16_t first, uint16_t count)
{
	for (uint32_t port = first; port < (uint32_t)first + count && port <= UINT16_MAX; port++)
		set->words[port / 64] |= 1ULL << port % 64;
}

bool port_set_has(const struct port_set *set, uint16_t port)
{
	return set->words[port / 64] >> port % 64 & 1;
}

bool port_set_empty(const struct port_set *set)
{
	for (size_t i = 0; i < PORT_SET_WORDS; i++)
		if (set->words[i])
			return false;
	return true;
}

void port_set_read(struct port_set *set, const char *text)
{
	while (*text >= '0' && *text <= '9') {
		unsigned long first, last;
		char *end;

		first = last = strtoul(text, &end, 10);
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		if (first > last || last > UINT16_MAX)
			return;
		for (unsigned long port = first; port <= last; port++)
			port_set_add(set, (uint16_t)port, 1);
		text = end + (*end == ',');
	}
}

static size_t count_ranges(const struct port_set *set)
{
	size_t count = 0;

	for (uint32_t port = 0; port <= UINT16_MAX; port++)
		count += port_set_has(set, (uint16_t)port) &&
			 (!port || !port_set_has(set, (uint16_t)(port - 1)));
	return count;
}

char *port_set_text(const struct port_set *set, struct arena *arena)
{
	char *text = arena_alloc(arena, count_ranges(set) * RANGE_MAX + 1), *end = text;

	for (uint32_t port = 0, last; port <= UINT16_MAX; port = last + 1) {
		last = port;
		if (!port_set_has(set, (uint16_t)port))
			continue;
		while (last < UINT16_MAX && port_set_has(set, (uint16_t)(last + 1)))
			last++;
		end += sprintf(end, "%s%u", end > text ? "," : "", port);
		if (last > port)
			end += sprintf(end, "-%u", last);
	}
	return text;
}

void port_set_join(struct port_set *set, const struct port_set *other)
{
	for (size_t i = 0; i < PORT_SET_WORDS; i++)
		set->words[i] |= other->words[i];
}

void port_set_take_out(struct port_set *set, const struct port_set *other)
{
	for (size_t i = 0; i < PORT_SET_WORDS; i++)
		set->words[i] &= ~other->words[i];
}

void port_set_keep(struct port_set *set, const struct port_set *other)
{
	for (size_t i = 0; i < PORT_SET_WORDS; i++)
		set->words[i] &= other->words[i];
}
