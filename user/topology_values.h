/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * topology_values - reads names, addresses, networks, MACs and MTUs from nodes of a topology file.
 *
 * What does not fit is reported, and the output untouched.
 */
#ifndef NSROUTE_TOPOLOGY_VALUES_H
#define NSROUTE_TOPOLOGY_VALUES_H

#include <stdbool.h>

#include "ip.h"
#include "yaml_schema.h"

/* problem: one of names.h. */
void topology_check_name(struct yaml_reader *reader, struct position at, const char *what,
			 const char *name, const char *(*problem)(const char *name));
/* Why no interface may have the address; NULL: it may. */
const char *topology_address_problem(const struct ip_address *ip);
/* An address that an interface may have. */
bool topology_read_address(struct yaml_reader *reader, const char *key,
			   const struct yaml_tree_node *node, struct ip_address *ret,
			   bool *ret_has_prefix);
bool topology_read_address_with_prefix(struct yaml_reader *reader, const char *key,
				       const struct yaml_tree_node *node, struct ip_address *ret);
/* A network: with a prefix length, and nothing behind it. */
bool topology_read_prefix(struct yaml_reader *reader, const char *key,
			  const struct yaml_tree_node *node, struct ip_address *ret);
/* A MAC that one interface may have. */
bool topology_read_mac(struct yaml_reader *reader, const char *key,
		       const struct yaml_tree_node *node, uint8_t ret[6]);
bool topology_read_mtu(struct yaml_reader *reader, const char *key,
		       const struct yaml_tree_node *node, uint32_t *ret);

#endif
