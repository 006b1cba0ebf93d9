/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * topology_publish - checks of what namespaces publish. For topology*.c only.
 */
#ifndef NSROUTE_TOPOLOGY_PUBLISH_H
#define NSROUTE_TOPOLOGY_PUBLISH_H

#include "topology_check.h"

/* After the references to networks are resolved. */
void check_publishes(struct check *check);

#endif
