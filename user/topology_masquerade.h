/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * topology_masquerade - whether a network can be masqueraded as the file says. For topology*.c
 * only.
 */
#ifndef NSROUTE_TOPOLOGY_MASQUERADE_H
#define NSROUTE_TOPOLOGY_MASQUERADE_H

#include "topology_check.h"

/* After the gateways of all networks; finds the network that it is masqueraded to, if it is one. */
void check_masquerade(struct check *check, struct network *network);

#endif
