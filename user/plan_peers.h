/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_peers - which ends of veths belong together. For plan*.c only.
 */
#ifndef NSROUTE_PLAN_PEERS_H
#define NSROUTE_PLAN_PEERS_H

#include "kernel_state.h"

/* Whether they are the two ends of one veth; other is the namespace of the second. */
bool plan_are_peers(const struct state_namespace *namespace, const struct state_link *link,
		    const struct state_namespace *other, const struct state_link *end);

#endif
