/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ovs - bridges and ports of Open vSwitch, by its own program ovs-vsctl.
 *
 * It finds the database as ovs-vsctl always does: OVS_RUNDIR in the environment, or its built-in
 * place. A port of ours has external_ids:nsroute=FABRIC from the transaction that makes it.
 */
#ifndef NSROUTE_OVS_H
#define NSROUTE_OVS_H

#include "arena.h"
#include "error.h"
#include "kernel_state.h"

/* When Open vSwitch is not there, or does not answer, that is ret->problem, and no error. */
int ovs_read(struct arena *arena, struct state_ovs *ret, struct error *err);

/* Returns when the switch has taken the port; on failure it has none of it. A port that is there
 * already becomes ours. */
int ovs_port_add(const char *bridge, const char *port, const char *fabric, struct arena *arena,
		 struct error *err);
/* Returns when the switch has let it go, or at once when *deaf; sets that when nobody does what
 * the database says. One that is gone is no error. */
int ovs_port_delete(const char *port, bool *deaf, struct arena *arena, struct error *err);

#endif
