/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_address6 - which external IPv6 address an uplink has. For plan*.c only.
 */
#ifndef NSROUTE_PLAN_ADDRESS6_H
#define NSROUTE_PLAN_ADDRESS6_H

#include "plan_builder.h"

/* The address that an uplink of the builder is to have; family 0: none. */
struct ip_address plan_uplink_address6(const struct builder *builder, const struct uplink *uplink);
/* Whether none that comes in the place of it would do. */
bool plan_uplink_fixed6(const struct builder *builder, const struct uplink *uplink);
/* Whether the file names another one than a fabric that has the uplink too. */
bool plan_address6_differs(const struct builder *builder, const struct uplink *uplink);

#endif
