/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * neighbour - permanent ARP and ND entries, and static entries of bridges' forwarding tables.
 *
 * Both are what struct state_neighbour holds: an entry whose ip.family is 0 belongs to the bridge
 * that the link is a port of.
 */
#ifndef NSROUTE_NEIGHBOUR_H
#define NSROUTE_NEIGHBOUR_H

#include <stddef.h>

#include "arena.h"
#include "error.h"
#include "kernel_state.h"
#include "netlink.h"

/* ifindex, ip, mac and protocol count. Takes the place of an entry that the kernel learned. link
 * names the link in messages. */
void neighbour_add(struct netlink *nl, const struct state_neighbour *entry, const char *link);
void neighbour_delete(struct netlink *nl, const struct state_neighbour *entry, const char *link);

/* All entries of the namespace, but the NOARP ones that the kernel makes for multicast and lo, and
 * those without a MAC. FDB entries: state NUD_PERMANENT are the ports' own MACs, NUD_NOARP static.
 */
int neighbour_read(struct netlink *nl, struct arena *arena, struct state_neighbour **ret_neighbours,
		   size_t *ret_count, struct error *err);

/* Those of the entries asked for (by ifindex and ip) that are there, and have a MAC; appended.
 * Flushes: the batch must be empty. */
int neighbour_find(struct netlink *nl, struct arena *arena, const struct state_neighbour *asked,
		   size_t count, struct state_neighbour **neighbours, size_t *neighbours_count,
		   struct error *err);

/* Drops the packets that wait on a link for the MAC of their next hop. */
int neighbour_drop_waiting(struct netlink *nl, struct arena *arena, uint32_t ifindex,
			   const char *link, struct error *err);

#endif
