/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * snapshot_gateways - the neighbours of a namespace that a fabric may have given it.
 */
#ifndef NSROUTE_SNAPSHOT_GATEWAYS_H
#define NSROUTE_SNAPSHOT_GATEWAYS_H

#include "arena.h"
#include "error.h"
#include "kernel_state.h"
#include "netlink.h"

/* What the host has, by ifindex. Borrows from the state. */
struct gateways {
	const struct state_link **links;
	size_t links_count;
	const struct state_address **addresses;
	size_t addresses_count;
};

void gateways_index(const struct state_namespace *host, struct arena *arena, struct gateways *ret);
/* Sets ns->neighbours; its links have been read. */
int gateways_read(struct netlink *nl, const struct gateways *gateways, struct arena *arena,
		  struct state_namespace *ns, struct error *err);

#endif
