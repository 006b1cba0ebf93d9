/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_keep - what is there already keeps the automatic address, MAC and name that it has.
 */
#ifndef NSROUTE_PLAN_KEEP_H
#define NSROUTE_PLAN_KEEP_H

#include "arena.h"
#include "error.h"
#include "kernel_state.h"
#include "record.h"
#include "topology.h"

/* Completes the topology once more, around what the fabric has. The state needs links and addresses
 * only; record may be NULL. Fails (-ENOSPC) when a subnet has no free address. */
int plan_keep(struct topology *topology, const struct record *record,
	      const struct kernel_state *state, struct arena *arena, struct error *err);

#endif
