/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_routed - what interfaces of routed networks have instead of a bridge. For plan*.c only.
 */
#ifndef NSROUTE_PLAN_ROUTED_H
#define NSROUTE_PLAN_ROUTED_H

#include "plan_builder.h"

/* These do nothing for interfaces of other networks. */
void want_routed_inner_link(struct builder *builder, const struct interface *interface);
void want_routed_ways(struct builder *builder, const struct interface *interface);
/* These are for interfaces of routed networks only. */
void want_routed_host_end(struct builder *builder, const struct interface *interface);
void want_routed_inner_routes(struct builder *builder, const struct topology_namespace *namespace,
			      const struct interface *interface);

#endif
