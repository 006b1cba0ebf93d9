/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * apply_place - where operations happen: namespaces opened once, and the ifindexes of their links.
 * For apply*.c only.
 */
#ifndef NSROUTE_APPLY_PLACE_H
#define NSROUTE_APPLY_PLACE_H

#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "error.h"
#include "lookup.h"
#include "netlink.h"

/* Namespaces that are open at a time; the one that was not used for longest goes first. Twice as
 * many descriptors stay below the usual limit of 1,024. */
#define PLACES_MAX 256

struct place {
	const char *name; /* NULL: the host */
	int fd;
	struct netlink *nl;
	uint64_t used;
};

struct places {
	struct arena *arena;
	struct place host;
	struct place open[PLACES_MAX];
	size_t count;
	uint64_t clock;
	struct lookup ifindexes; /* uint32_t by namespace and name, 0: not known */
};

int places_open(struct places *places, int host_fd, struct arena *arena, struct error *err);
void places_close(struct places *places);

/* The result is good until PLACES_MAX others were asked for. Names are borrowed. */
int place_get(struct places *places, const char *namespace, struct place **ret, struct error *err);
/* Before the namespace is deleted: an open one would live on. */
void place_forget(struct places *places, const char *namespace);

/* Looks up those that are not known yet, at most RESOLVE_MAX, in one go. There must be no pending
 * request. A link that does not exist is no error. */
#define RESOLVE_MAX 256
int place_resolve(struct places *places, const char *namespace, const char *const *links,
		  size_t count, struct error *err);
/* 0: there is none, or it was not resolved. */
uint32_t place_ifindex(const struct places *places, const char *namespace, const char *link);
void place_forget_link(struct places *places, const char *namespace, const char *link);

#endif
