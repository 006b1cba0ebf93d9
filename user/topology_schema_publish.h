/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * topology_schema_publish - reads the ports of a namespace that are reached at the uplink's
 * address.
 */
#ifndef NSROUTE_TOPOLOGY_SCHEMA_PUBLISH_H
#define NSROUTE_TOPOLOGY_SCHEMA_PUBLISH_H

#include "yaml_schema.h"

/* Reads into a struct topology_namespace. */
void topology_read_publish(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			   void *into);

#endif
