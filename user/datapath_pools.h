/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath_pools - the external ports of an uplink: a pool for each protocol, and for IPv6 pools of
 * its own.
 */
#ifndef NSROUTE_DATAPATH_POOLS_H
#define NSROUTE_DATAPATH_POOLS_H

#include "datapath.h"

/* For datapath_tables.c: of a family whose sessions at this uplink have ended. */
int datapath_pools_add(const struct datapath *datapath, bool ipv6, const struct nsr_uplink *uplink,
		       struct error *err);
int datapath_pools_drop(const struct datapath *datapath, bool ipv6, uint32_t uplink,
			struct error *err);

#endif
