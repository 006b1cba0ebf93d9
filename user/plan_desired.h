/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_desired - every operation that makes a fabric from nothing. For plan.c only.
 */
#ifndef NSROUTE_PLAN_DESIRED_H
#define NSROUTE_PLAN_DESIRED_H

#include "plan_view.h"

/* Appends to plan, in the order of the contract. Fails when an uplink does not exist, has no IPv4
 * address, or is used in another way already. */
int plan_desired(const struct topology *topology, const struct view *view, struct plan *plan,
		 struct error *err);

/* Name of the interface that a network is masqueraded to: "auto" is that of the default route; NULL
 * when there is no such route. */
const char *plan_uplink_name(const struct masquerade *masquerade, const struct kernel_state *state);

/* Whether an interface of the host has routes from router advertisements. */
bool plan_lives_on_advertisements(const struct kernel_state *state, uint32_t ifindex);

#endif
