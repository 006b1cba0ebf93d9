/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: one count for each table of the datapath, in the order of the file. The object that
 * is one too many is named, and only that: the rest would follow from it.
 */
#include "topology_limits.h"

#include <sys/socket.h>

#include "lookup.h"
#include "nsroute_abi.h"

enum table {
	PORTS,
	ADDRESSES4,
	ADDRESSES6,
	INNER,
	UPLINKS,
	INSIDE4,
	INSIDE6,
	EXCEPTED,
	PUBLISHED,
	TABLES
};

static const struct {
	size_t room;
	const char *what;
} tables[TABLES] = {
	[PORTS] = {NSR_PORTS_MAX, "interfaces on networks"},
	[ADDRESSES4] = {NSR_ADDRESSES_MAX, "IPv4 addresses of interfaces"},
	[ADDRESSES6] = {NSR_ADDRESSES_MAX, "IPv6 addresses of interfaces"},
	[INNER] = {NSR_INNER_MAX, "bridges and interfaces on routed networks"},
	[UPLINKS] = {NSR_UPLINKS_MAX, "uplinks"},
	[INSIDE4] = {NSR_INSIDE_MAX, "masqueraded IPv4 subnets"},
	[INSIDE6] = {NSR_INSIDE_MAX, "masqueraded IPv6 subnets"},
	[EXCEPTED] = {NSR_EXCEPTIONS_MAX, "destinations that are not translated, for each subnet"},
	[PUBLISHED] = {NSR_PUBLISHED_MAX, "published ports or ranges of ports"},
};

struct counting {
	const struct topology *topology;
	struct arena *arena;
	struct error_list *errors;
	struct lookup uplinks;
	size_t used[TABLES];
};

static void count(struct counting *c, enum table table, struct position at, const char *object)
{
	if (c->used[table]++ == tables[table].room)
		error_list_add(c->errors, c->topology->file, at,
			       "%s: one host namespace has room for %zu %s, and this is one more",
			       object, tables[table].room, tables[table].what);
}

/* Only what the gateway speaks for is looked up by its address. */
static void count_address(struct counting *c, const struct interface *interface,
			  const struct ip_address *prefix, const char *object)
{
	const struct network *network = interface->network;

	for (size_t i = 0; i < network->gateways_count; i++) {
		if (!ip_overlap(prefix, &network->gateways[i]))
			continue;
		count(c, prefix->family == AF_INET ? ADDRESSES4 : ADDRESSES6, interface->at,
		      object);
		return;
	}
}

static void count_interface(struct counting *c, const struct topology_namespace *namespace,
			    const struct interface *interface)
{
	const struct network *network = interface->network;
	const char *object;

	if (!network)
		return;
	object = arena_printf(c->arena, "interface '%s' of namespace '%s'", interface->name,
			      namespace->name);
	count(c, PORTS, interface->at, object);
	if (network->type == NETWORK_ROUTED)
		count(c, INNER, interface->at, object);
	for (size_t i = 0; i < interface->addresses_count; i++)
		count_address(c, interface, &interface->addresses[i], object);
	for (size_t i = 0; !interface->addresses_count && i < network->subnets_count; i++)
		count_address(c, interface, &network->subnets[i], object);
}

static void count_exceptions(struct counting *c, const struct network *network, const char *object)
{
	const struct masquerade *masquerade = &network->masquerade;

	for (size_t i = 0; i < masquerade->except_count; i++)
		for (size_t j = 0; j < network->subnets_count; j++)
			if (masquerade->except[i].family == network->subnets[j].family)
				count(c, EXCEPTED, masquerade->except_at[i], object);
}

static void count_network(struct counting *c, struct network *network)
{
	const char *object = arena_printf(c->arena, "network '%s'", network->name);

	if (network->type == NETWORK_BRIDGE)
		count(c, INNER, network->at, object);
	if (!network->masquerade.enabled)
		return;
	if (!lookup_add(&c->uplinks, c->arena, network->masquerade.uplink, network))
		count(c, UPLINKS, network->masquerade.at, object);
	for (size_t i = 0; i < network->subnets_count; i++)
		count(c, network->subnets[i].family == AF_INET ? INSIDE4 : INSIDE6,
		      network->subnets_at[i], object);
	count_exceptions(c, network, object);
}

static void count_published(struct counting *c, const struct topology_namespace *namespace)
{
	const char *object = arena_printf(c->arena, "namespace '%s'", namespace->name);

	for (size_t i = 0; i < namespace->publish_count; i++)
		count(c, PUBLISHED, namespace->publish[i].at, object);
}

void topology_check_limits(const struct topology *topology, struct arena *arena,
			   struct error_list *errors)
{
	struct counting c = {.topology = topology, .arena = arena, .errors = errors};

	for (size_t i = 0; i < topology->networks_count; i++)
		count_network(&c, &topology->networks[i]);
	for (size_t i = 0; i < topology->namespaces_count; i++)
		for (size_t j = 0; j < topology->namespaces[i].interfaces_count; j++)
			count_interface(&c, &topology->namespaces[i],
					&topology->namespaces[i].interfaces[j]);
	for (size_t i = 0; i < topology->namespaces_count; i++)
		count_published(&c, &topology->namespaces[i]);
}
