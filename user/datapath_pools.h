/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath_pools - the external ports of an address: a pool for each protocol, and for IPv6 pools
 * of its own.
 */
#ifndef NSROUTE_DATAPATH_POOLS_H
#define NSROUTE_DATAPATH_POOLS_H

#include "datapath.h"

/* For datapath_tables.c: of a family whose sessions in this slot have ended. */
int datapath_pools_add(const struct datapath *datapath, bool ipv6, const struct nsr_uplink *uplink,
		       uint32_t slot, struct error *err);
int datapath_pools_drop(const struct datapath *datapath, bool ipv6, uint32_t slot,
			struct error *err);
/* All of an uplink's pools of the family have gone, with the ports that were in use. */
int datapath_pools_reset(const struct datapath *datapath, bool ipv6, uint32_t uplink,
			 struct error *err);

#endif
