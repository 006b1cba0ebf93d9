/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * route - routes of the main table.
 */
#ifndef NSROUTE_ROUTE_H
#define NSROUTE_ROUTE_H

#include <stddef.h>

#include "arena.h"
#include "error.h"
#include "kernel_state.h"
#include "netlink.h"

/* to, via (family 0: on the link), table, ifindex and metric (0: the kernel's default) count;
 * protocol 0 is RTPROT_STATIC and type 0 RTN_UNICAST. link names the link in messages. -EEXIST when
 * there is such a route. */
void route_add(struct netlink *nl, const struct state_route *route, const char *link);
void route_delete(struct netlink *nl, const struct state_route *route, const char *link);

/* Of what hangs on links: our own routes of the main table, and all that the kernel makes with a
 * link or an address, but IPv4's in the main table. Of use for route_delete(). */
int route_read_hanging(struct netlink *nl, struct arena *arena, struct state_route **ret_routes,
		       size_t *ret_count, struct error *err);
/* Routes of the main table, both families, but local, broadcast, anycast and multicast ones. Of a
 * route with several next hops the first is given. */
int route_read(struct netlink *nl, struct arena *arena, struct state_route **ret_routes,
	       size_t *ret_count, struct error *err);

#endif
