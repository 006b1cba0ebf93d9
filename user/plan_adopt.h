/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_adopt - what single steps made becomes a fabric's when its file names it. For plan*.c only.
 */
#ifndef NSROUTE_PLAN_ADOPT_H
#define NSROUTE_PLAN_ADOPT_H

#include "plan_view.h"

/* Appends what makes the fabric's own what is there and desired and was made by single steps; their
 * marks are changed by the LINK_SETs that follow. Links that will be made again are left out. */
void plan_adopt(const struct view *view, const struct plan *desired, struct plan *plan);
/* Appends, at the end, what takes all that is desired out of the record of single steps. */
void plan_release(const struct view *view, const struct plan *desired, struct plan *plan);

#endif
