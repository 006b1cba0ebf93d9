/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_externals - which place each external address of an uplink has. For plan*.c, and who enters
 * what was planned.
 */
#ifndef NSROUTE_PLAN_EXTERNALS_H
#define NSROUTE_PLAN_EXTERNALS_H

#include "plan_builder.h"

/* Gives the addresses of the uplink, those of count more, their places: those that are in use
 * (NULL: none) keep theirs. One that is taken out of the first place is replaced by a new one, or
 * else by the last. */
void plan_place_externals(struct uplink *uplink, const struct ip_address *more, size_t count,
			  const struct nsr_uplink *observed, struct arena *arena);
/* Those that an uplink has besides the first; NULL: none. */
const struct more_externals *plan_more_externals(const struct nsr_uplink *observed,
						 struct arena *arena);
/* Whether it has others in any place, or a change of them has not come to its end. */
bool plan_externals_differ(const struct nsr_uplink *observed, const struct more_externals *more);
/* Whether it has the same of IPv4, in whichever places. */
bool plan_same_externals(const struct nsr_uplink *observed, const struct uplink *uplink);
/* Whether it has the same of IPv6, where either has several. */
bool plan_same_externals6(const struct nsr_uplink *observed, const struct uplink *uplink);
/* Into the datapath's entry. */
void plan_enter_externals(const struct more_externals *more, struct nsr_uplink *ret);

#endif
