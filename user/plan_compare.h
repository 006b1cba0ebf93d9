/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_compare - what of the desired is there already. For plan.c only.
 */
#ifndef NSROUTE_PLAN_COMPARE_H
#define NSROUTE_PLAN_COMPARE_H

#include "plan_view.h"

/* Whether the operation has something to do. A LINK_SET keeps only what differs, and an operation
 * that changes what is there gets to know what it replaces. */
bool plan_missing(const struct view *view, struct operation *operation);

#endif
