/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a link that goes takes its routes along, but the kernel finds them by walking all
 * routes of the namespace, several times for each link (net/ipv6/route.c: rt6_sync_up(),
 * rt6_disable_ip(); net/ipv4/fib_frontend.c: fib_disable_ip()). With thousands of links that have
 * half a dozen routes each, this is most of what a removal takes. A route that is deleted by its
 * name takes no such walk, so all of them go first. The addresses stay: deleting one of IPv6 is a
 * walk again (rt6_remove_prefsrc()).
 *
 * Among them are those that the kernel made when the link came up, and will make again only then.
 * A plan does not know them, and could not give them back to a link that stays because a removal
 * was killed. So the record is told before the first one goes, and a plan that finds this in it
 * makes the links anew.
 */
#include "apply_strip.h"

#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "route.h"

#define STRIP_MIN 16 /* links: with fewer, the walks take less than the reading */

struct doomed {
	uint32_t *ifindexes; /* sorted */
	size_t count;
};

static int compare_numbers(const void *left, const void *right)
{
	const uint32_t *a = left, *b = right;

	return *a == *b ? 0 : *a < *b ? -1 : 1;
}

/* A bridge is one link, and may have addresses of others. */
static void find_doomed(struct doomed *doomed, const struct plan *plan, struct arena *arena)
{
	doomed->ifindexes = arena_alloc(arena, plan->count * sizeof(*doomed->ifindexes));
	for (size_t i = 0; i < plan->count; i++) {
		const struct operation *op = &plan->operations[i];

		if (op->kind == OPERATION_LINK_DELETE && !op->namespace && !op->down && op->ifindex)
			doomed->ifindexes[doomed->count++] = op->ifindex;
	}
	if (doomed->count)
		qsort(doomed->ifindexes, doomed->count, sizeof(*doomed->ifindexes),
		      compare_numbers);
}

static void delete_routes(struct netlink *nl, const struct doomed *doomed, struct arena *arena)
{
	struct state_route *routes;
	struct error ignored;
	size_t count;

	if (route_read_hanging(nl, arena, &routes, &count, &ignored))
		return;
	for (size_t i = 0; i < count; i++)
		if (bsearch(&routes[i].ifindex, doomed->ifindexes, doomed->count,
			    sizeof(*doomed->ifindexes), compare_numbers))
			route_delete(nl, &routes[i], "a link that goes");
	netlink_flush(nl, NULL, &ignored);
}

void strip_links(struct runner *r, const struct plan *plan)
{
	struct record_entry mark = {.kind = RECORD_STRIPPED, .name = RECORD_STRIPPED_NAME};
	struct doomed doomed = {};
	struct arena arena = {};
	struct error ignored;

	find_doomed(&doomed, plan, &arena);
	/* No plan makes links of single steps anew. */
	if (doomed.count >= STRIP_MIN && strcmp(r->options->fabric, RECORD_STEPS) &&
	    !record_add(r->record_fd, &mark, &ignored))
		delete_routes(r->places.host.nl, &doomed, &arena);
	arena_free(&arena);
}
