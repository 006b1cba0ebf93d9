/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * topology_schema - the keys of a topology file, and what each puts into the model.
 */
#ifndef NSROUTE_TOPOLOGY_SCHEMA_H
#define NSROUTE_TOPOLOGY_SCHEMA_H

#include "topology.h"
#include "yaml_schema.h"

/* Those of the file's top level; they fill a struct topology. */
extern const struct yaml_key topology_keys[];

#endif
