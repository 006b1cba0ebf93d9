/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_ovs - ports of Open vSwitch. For plan*.c only.
 */
#ifndef NSROUTE_PLAN_OVS_H
#define NSROUTE_PLAN_OVS_H

#include "plan_builder.h"
#include "plan_extra.h"

/* Whether each network's bridge is there; with the position of the network when not. Warns of what
 * does not hold with it. */
int check_ovs_networks(const struct builder *builder, struct error *err);
void want_ovs_host_end(struct builder *builder, const struct interface *interface);
/* Where the switch sees what the namespace sends before it has a checksum. */
void want_ovs_offload(struct builder *builder, const struct topology_namespace *namespace,
		      const struct interface *interface);

bool ovs_port_missing(const struct view *view, struct operation *op);
/* -EEXIST when the switch has a port of that name that is not ours. */
int check_ovs_port(const struct view *view, const struct operation *op, struct error *err);

/* Ports that are in the way, or whose link is gone; before anything is made. */
void plan_extra_ovs_ports(struct extra *extra);
/* Ports of a fabric that goes. */
void plan_removed_ovs_ports(struct extra *extra);

#endif
