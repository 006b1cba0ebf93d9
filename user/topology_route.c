/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a next hop must be on a subnet that the namespace is on, by whatever leads out of
 * it: an interface, a link or a device. So routes are checked when all of these are known.
 */
#include "topology_check.h"

#include <string.h>

/* The addresses of a namespace, with their prefixes; for automatic ones, their subnets. */
struct own_prefixes {
	struct ip_address *prefixes;
	size_t count;
	bool incomplete; /* because of errors: there may be more */
};

static void add_prefixes(struct check *check, struct own_prefixes *own,
			 const struct ip_address *prefixes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		*arena_push(check->arena, own->prefixes, own->count) = prefixes[i];
}

static struct own_prefixes find_prefixes(struct check *check,
					 const struct topology_namespace *namespace)
{
	const struct topology *topology = check->topology;
	struct own_prefixes own = {.incomplete = namespace->interfaces_incomplete ||
						 topology->links_incomplete ||
						 topology->devices_incomplete};

	for (size_t i = 0; i < namespace->interfaces_count; i++) {
		const struct interface *interface = &namespace->interfaces[i];
		const struct network *network = interface->network;

		if (interface->addresses_count)
			add_prefixes(check, &own, interface->addresses, interface->addresses_count);
		else if (network)
			add_prefixes(check, &own, network->subnets, network->subnets_count);
		own.incomplete = own.incomplete || !network || network->subnets_incomplete;
	}
	for (size_t i = 0; i < 2 * topology->links_count; i++) {
		const struct link_end *end = &topology->links[i / 2].ends[i % 2];

		if (end->namespace == namespace && end->has_address)
			add_prefixes(check, &own, &end->address, 1);
	}
	for (size_t i = 0; i < topology->devices_count; i++) {
		const struct topology_device *device = &topology->devices[i];

		if (device->namespace == namespace)
			add_prefixes(check, &own, device->addresses, device->addresses_count);
	}
	return own;
}

/* The gateway is the only next hop that a routed network has. NULL: the next hop is not on one. */
static const struct network *routed_towards(const struct topology_namespace *namespace,
					    const struct ip_address *via)
{
	for (size_t i = 0; i < namespace->interfaces_count; i++) {
		const struct network *network = namespace->interfaces[i].network;

		if (network && network->type == NETWORK_ROUTED && subnet_of(network, via))
			return network;
	}
	return NULL;
}

static bool is_gateway(const struct network *network, const struct ip_address *address)
{
	for (size_t i = 0; i < network->gateways_count; i++)
		if (ip_equal(&network->gateways[i], address))
			return true;
	return false;
}

static void check_route(struct check *check, const struct topology_namespace *namespace,
			const struct own_prefixes *own, const struct topology_route *route)
{
	const struct network *routed = routed_towards(namespace, &route->via);
	bool reached = own->incomplete, own_address = false, own_subnet = false;
	char to[IP_TEXT_MAX], via[IP_TEXT_MAX];

	for (size_t i = 0; i < own->count; i++) {
		struct ip_address subnet = ip_network(&own->prefixes[i]);

		reached = reached || ip_within(&route->via, &subnet);
		own_address = own_address || ip_equal(&route->via, &own->prefixes[i]);
		own_subnet = own_subnet || (subnet.prefix_len == route->to.prefix_len &&
					    ip_equal(&route->to, &subnet));
	}
	ip_format_prefix(&route->to, to);
	ip_format(&route->via, via);
	if (own_subnet)
		refuse(check, route->at,
		       "namespace '%s': a route to %s, which is a subnet it is on, so it needs none",
		       namespace->name, to);
	if (route->to.family != route->via.family)
		refuse(check, route->via_at,
		       "namespace '%s': a route to %s cannot go via %s, an address of the other family",
		       namespace->name, to, via);
	else if (own_address)
		refuse(check, route->via_at,
		       "namespace '%s': route via %s, which is its own address", namespace->name,
		       via);
	else if (!reached)
		refuse(check, route->via_at,
		       "namespace '%s': route via %s, which is on no subnet of the namespace, so it "
		       "could not be reached",
		       namespace->name, via);
	else if (routed && !is_gateway(routed, &route->via))
		refuse(check, route->via_at,
		       "namespace '%s': route via %s, another namespace of network '%s', which is routed: "
		       "its gateway is the only next hop there is",
		       namespace->name, via, routed->name);
}

void check_routes(struct check *check, const struct topology_namespace *namespace)
{
	struct lookup destinations = {};
	struct own_prefixes own;

	if (!namespace->routes_count)
		return;
	own = find_prefixes(check, namespace);
	for (size_t i = 0; i < namespace->routes_count; i++) {
		const struct topology_route *route = &namespace->routes[i];
		char to[IP_TEXT_MAX];
		const char *other;

		other = taken_by(check, &destinations, ip_format_prefix(&route->to, to),
				 arena_printf(check->arena, "line %u", route->at.line));
		if (other)
			refuse(check, route->at,
			       "namespace '%s': there is a route to %s already (%s)",
			       namespace->name, to, other);
		check_route(check, namespace, &own, route);
	}
}
