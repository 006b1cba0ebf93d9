/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * port_set - sets of port numbers, and their text as the kernel has it: "80,8080-8081".
 */
#ifndef NSROUTE_PORT_SET_H
#define NSROUTE_PORT_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"

#define PORT_SET_WORDS 1024

struct port_set { /* {} is an empty one */
	uint64_t words[PORT_SET_WORDS];
};

void port_set_add(struct port_set *set, uint16_t first, uint16_t count);
bool port_set_has(const struct port_set *set, uint16_t port);
bool port_set_empty(const struct port_set *set);

/* Adds those that the text names; what it does not understand ends it. */
void port_set_read(struct port_set *set, const char *text);
/* "" for an empty set. */
char *port_set_text(const struct port_set *set, struct arena *arena);

void port_set_join(struct port_set *set, const struct port_set *other);
void port_set_take_out(struct port_set *set, const struct port_set *other);
void port_set_keep(struct port_set *set, const struct port_set *other); /* those of both */

#endif
