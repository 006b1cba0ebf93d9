/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * topology_check - what the checks of a topology share. For topology*.c only.
 */
#ifndef NSROUTE_TOPOLOGY_CHECK_H
#define NSROUTE_TOPOLOGY_CHECK_H

#include "lookup.h"
#include "topology.h"
#include "topology_complete.h"

struct check {
	struct topology *topology;
	struct arena *arena;
	struct error_list *errors;
	struct taken taken;
	struct lookup networks, namespaces; /* by name */
	struct lookup links;                /* "NAMESPACE:INTERFACE": whose, a string */
	struct lookup uplinks;              /* first network that masquerades to it */
	size_t *ports;                      /* of each network's bridge */
};

#define refuse(check, at, ...) \
	error_list_add((check)->errors, (check)->topology->file, at, __VA_ARGS__)

/* Says who has the name in the table already, or enters owner and returns NULL. */
const char *taken_by(struct check *check, struct lookup *lookup, const char *name, char *owner);
void check_address_free(struct check *check, struct position at, const char *object,
			const struct ip_address *address, char *owner);

/* Refuses an address whose subnet is not apart from those of others in the same namespace, and
 * returns whether it is. */
bool check_apart(struct check *check, const char *object, struct position at,
		 const struct ip_address *address, const struct ip_address *others, size_t count,
		 const char *owner);

/* NULL: the address is on none. */
const struct ip_address *subnet_of(const struct network *network, const struct ip_address *address);

/* After networks and namespaces. */
void check_links(struct check *check);
/* After networks, namespaces and links. */
void check_devices(struct check *check);
/* After all of these. */
void check_routes(struct check *check, const struct topology_namespace *namespace);

#endif
