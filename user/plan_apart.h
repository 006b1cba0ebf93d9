/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_apart - that no two uplinks of a host namespace have one external address. For plan*.c only.
 */
#ifndef NSROUTE_PLAN_APART_H
#define NSROUTE_PLAN_APART_H

#include "plan_builder.h"

/* Of the builder's uplinks, which have been found. */
int plan_check_apart(const struct builder *b, struct error *err);

#endif
