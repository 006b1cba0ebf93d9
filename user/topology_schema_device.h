/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * topology_schema_device - the key "devices". For topology_schema.c only.
 */
#ifndef NSROUTE_TOPOLOGY_SCHEMA_DEVICE_H
#define NSROUTE_TOPOLOGY_SCHEMA_DEVICE_H

#include "yaml_schema.h"

/* into is the struct topology. */
void topology_read_devices(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			   void *into);

#endif
