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

#endif
