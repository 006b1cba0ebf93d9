/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath_reserve - ports that no uplink hands out for TCP and UDP, because the host wants them
 * for itself. What is published there is, all the same.
 */
#ifndef NSROUTE_DATAPATH_RESERVE_H
#define NSROUTE_DATAPATH_RESERVE_H

#include "arena.h"
#include "datapath.h"
#include "port_set.h"

/* These, and no others. Who has one of them keeps it. */
int datapath_set_aside(const struct datapath *datapath, const struct port_set *set,
		       struct error *err);

/* For datapath_tables.c: in pools of the uplink that have just been made. */
int datapath_set_aside_in(const struct datapath *datapath, bool ipv6,
			  const struct nsr_uplink *uplink, uint32_t slot, struct error *err);

/* For datapath_read.c: NULL when there are none. */
const char *datapath_set_aside_text(const struct datapath *datapath, struct arena *arena,
				    bool *ret_unfinished);

#endif
