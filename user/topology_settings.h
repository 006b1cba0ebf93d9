/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * topology_settings - reads what a namespace has beside its interfaces: sysctl and dns.
 */
#ifndef NSROUTE_TOPOLOGY_SETTINGS_H
#define NSROUTE_TOPOLOGY_SETTINGS_H

#include "yaml_schema.h"

/* Both read into a struct topology_namespace. */
void topology_read_sysctl(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			  void *into);
void topology_read_dns(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into);

#endif
