/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_uplink - which interfaces of the host can be uplinks, and what their packets begin with.
 */
#ifndef NSROUTE_PLAN_UPLINK_H
#define NSROUTE_PLAN_UPLINK_H

#include "plan_view.h"

/* A layer-3 device (tun, WireGuard, ipip): its packets have no Ethernet header, so it gets programs
 * of its own. */
bool plan_link_is_bare(const struct state_link *link);
/* -EOPNOTSUPP, with the mend, when the network cannot masquerade to the link. */
int plan_check_uplink(const struct view *view, const struct state_link *link, const char *network,
		      struct error *err);

/* Puts what the datapath has of an uplink into the operation that removes it. */
void plan_uplink_as_it_is(struct operation *op, const struct nsr_uplink *uplink);

#endif
