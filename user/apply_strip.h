/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * apply_strip - takes their routes from links of the host, before they are deleted. For apply.c
 * only.
 */
#ifndef NSROUTE_APPLY_STRIP_H
#define NSROUTE_APPLY_STRIP_H

#include "apply_run.h"

/* For a plan that removes a fabric. It is only for speed, so failures are of no account. */
void strip_links(struct runner *runner, const struct plan *plan);

#endif
