/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_limits - whether the datapath's tables have room for what a plan adds. For plan*.c only.
 */
#ifndef NSROUTE_PLAN_LIMITS_H
#define NSROUTE_PLAN_LIMITS_H

#include "plan_view.h"

/* -ENOSPC, with the position in the file, at the first operation that finds its table full. */
int plan_check_limits(const struct view *view, const struct plan *plan, const char *file,
		      struct error *err);

#endif
