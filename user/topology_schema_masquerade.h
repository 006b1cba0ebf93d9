/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * topology_schema_masquerade - reads how a network is masqueraded.
 */
#ifndef NSROUTE_TOPOLOGY_SCHEMA_MASQUERADE_H
#define NSROUTE_TOPOLOGY_SCHEMA_MASQUERADE_H

#include "yaml_schema.h"

/* Reads into a struct network. */
void topology_read_masquerade(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			      void *into);

#endif
