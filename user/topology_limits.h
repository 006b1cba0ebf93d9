/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * topology_limits - whether the datapath's tables have room for all that a file declares.
 */
#ifndef NSROUTE_TOPOLOGY_LIMITS_H
#define NSROUTE_TOPOLOGY_LIMITS_H

#include "topology.h"

/* References are resolved; automatic addresses may be missing yet. Adds an error at the first
 * object that has no room, for each table. What other fabrics take is plan's to look at. */
void topology_check_limits(const struct topology *topology, struct arena *arena,
			   struct error_list *errors);

#endif
