/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: one pass over networks, namespaces, links, devices and routes, in that order,
 * because each refers only to what stands before it in this list. A pass never stops at an error:
 * it says what is wrong with one object, the mend if there is one, and goes on with the next.
 * Tables by name and by address (struct taken) keep the whole linear in the size of the file.
 *
 * What needs no other object than itself (is this an address? is it one a host may have?) was
 * checked by the reader already. What is missing is completed last, and only if nothing is wrong.
 */
#include "topology.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "topology_check.h"
#include "topology_limits.h"
#include "topology_masquerade.h"
#include "topology_publish.h"
#include "topology_sysctls.h"

void error_list_add(struct error_list *list, const char *file, struct position at,
		    const char *format, ...)
{
	struct error *err;
	va_list args;

	if (list->count == TOPOLOGY_ERRORS_MAX) {
		list->omitted++;
		return;
	}
	err = arena_push(list->arena, list->errors, list->count);
	*err = (struct error){.code = -EINVAL, .exit = EXIT_INVALID, .file = file, .at = at};
	va_start(args, format);
	vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
}

static int compare_errors(const void *left, const void *right)
{
	const struct error *a = left, *b = right;

	if (a->at.line != b->at.line)
		return a->at.line < b->at.line ? -1 : 1;
	if (a->at.column != b->at.column)
		return a->at.column < b->at.column ? -1 : 1;
	return strcmp(a->message, b->message);
}

void error_list_finish(struct error_list *list, const char *file)
{
	struct error *last;

	if (!list->count)
		return;
	qsort(list->errors, list->count, sizeof(*list->errors), compare_errors);
	if (!list->omitted)
		return;
	last = arena_push(list->arena, list->errors, list->count);
	*last = (struct error){.code = -EINVAL, .exit = EXIT_INVALID, .file = file};
	snprintf(last->message, sizeof(last->message), "%zu more errors are not shown",
		 list->omitted);
}

const char *taken_by(struct check *check, struct lookup *lookup, const char *name, char *owner)
{
	return lookup_add(lookup, check->arena, arena_strdup(check->arena, name), owner);
}

static char *interface_owner(struct check *check, const struct topology_namespace *namespace,
			     const struct interface *interface)
{
	return arena_printf(check->arena, "interface '%s' of namespace '%s' (line %u)",
			    interface->name, namespace->name, interface->at.line);
}

void check_address_free(struct check *check, struct position at, const char *object,
			const struct ip_address *address, char *owner)
{
	char text[IP_TEXT_MAX];
	const char *other =
		taken_by(check, &check->taken.addresses, ip_format(address, text), owner);

	if (other)
		refuse(check, at, "%s: address %s belongs to %s already", object, text, other);
}

const struct ip_address *subnet_of(const struct network *network, const struct ip_address *address)
{
	for (size_t i = 0; i < network->subnets_count; i++)
		if (ip_within(address, &network->subnets[i]))
			return &network->subnets[i];
	return NULL;
}

static const char *list_subnets(struct check *check, const struct network *network)
{
	const char *list = "";
	char text[IP_TEXT_MAX];

	for (size_t i = 0; i < network->subnets_count && i < 8; i++)
		list = arena_printf(check->arena, "%s%s%s", list, i ? ", " : "",
				    ip_format_prefix(&network->subnets[i], text));
	return network->subnets_count > 8 ? arena_printf(check->arena, "%s, ...", list) : list;
}

/* ---- Networks. */

static void check_gateway_written(struct check *check, const struct network *network, size_t i)
{
	struct ip_address *gateway = &network->gateways[i];
	const struct ip_address *subnet = subnet_of(network, gateway);
	struct position at = network->gateways_at[i];
	char text[IP_TEXT_MAX], subnet_text[IP_TEXT_MAX];

	if (!subnet) {
		refuse(check, at, "network '%s': gateway %s is outside its subnets (%s)",
		       network->name, ip_format(gateway, text), list_subnets(check, network));
		return;
	}
	if (gateway->prefix_len != ip_bits(gateway) && gateway->prefix_len != subnet->prefix_len)
		refuse(check, at,
		       "network '%s': gateway %s has another prefix length than subnet %s",
		       network->name, ip_format_prefix(gateway, text),
		       ip_format_prefix(subnet, subnet_text));
	gateway->prefix_len = subnet->prefix_len;
	if (subnet_reserves(gateway))
		refuse(check, at,
		       "network '%s': gateway %s is the first or last address of subnet %s, which no host "
		       "may have",
		       network->name, ip_format(gateway, text),
		       ip_format_prefix(subnet, subnet_text));
}

static void check_gateways(struct check *check, struct network *network)
{
	const char *object = arena_printf(check->arena, "network '%s'", network->name);
	char *owner = arena_printf(check->arena, "the gateway of network '%s' (line %u)",
				   network->name, network->at.line);
	char text[IP_TEXT_MAX];

	if (network->gateway_auto && network->type == NETWORK_OVS)
		return;              /* who routes there is not ours to say */
	if (network->gateway_auto) { /* taken already: only where subnets overlap */
		for (size_t i = 0; i < network->subnets_count; i++)
			*arena_push(check->arena, network->gateways, network->gateways_count) =
				subnet_first_host(&network->subnets[i]);
		for (size_t i = 0; i < network->gateways_count; i++)
			taken_by(check, &check->taken.addresses,
				 ip_format(&network->gateways[i], text), owner);
		return;
	}
	for (size_t i = 0; i < network->gateways_count; i++) {
		check_gateway_written(check, network, i);
		check_address_free(check, network->gateways_at[i], object, &network->gateways[i],
				   owner);
	}
}

/* Its namespaces have no other way to each other than by the gateway. */
static void check_routed(struct check *check, const struct network *network)
{
	char text[IP_TEXT_MAX];

	if (network->type != NETWORK_ROUTED || network->incomplete)
		return;
	if (!network->subnets_count)
		refuse(check, network->at,
		       "network '%s': a routed network needs subnets: it knows its namespaces by their "
		       "addresses",
		       network->name);
	if (network->gateway_none)
		refuse(check, network->gateway_at,
		       "network '%s': a routed network needs a gateway: without one its namespaces reach "
		       "nobody, not even each other",
		       network->name);
	for (size_t i = 0; i < network->subnets_count && !network->gateway_none; i++) {
		size_t j = 0;

		while (j < network->gateways_count &&
		       !ip_within(&network->gateways[j], &network->subnets[i]))
			j++;
		if (j == network->gateways_count)
			refuse(check, network->gateway_at,
			       "network '%s': a routed network needs a gateway in each subnet: %s has none",
			       network->name, ip_format_prefix(&network->subnets[i], text));
	}
}

static void check_big_tcp(struct check *check, const struct network *network)
{
	if (network->big_tcp == BIG_TCP_ON && network->type == NETWORK_OVS)
		refuse(check, network->big_tcp_at,
		       "network '%s': the sizes of packets on an Open vSwitch network are Open vSwitch's; "
		       "remove 'big_tcp'",
		       network->name);
}

static void check_isolate(struct check *check, const struct network *network)
{
	if (network->isolate && network->type == NETWORK_OVS)
		refuse(check, network->isolate_at,
		       "network '%s': an Open vSwitch network cannot be isolated here: what leaves it, and "
		       "by which way, only Open vSwitch knows",
		       network->name);
}

struct placed_subnet {
	const struct network *network;
	struct ip_address subnet;
	struct position at;
};

static int compare_subnets(const void *left, const void *right)
{
	const struct placed_subnet *a = left, *b = right;
	int order = memcmp(a->subnet.bytes, b->subnet.bytes, sizeof(a->subnet.bytes));

	if (a->subnet.family != b->subnet.family)
		return a->subnet.family < b->subnet.family ? -1 : 1;
	if (order)
		return order;
	if (a->subnet.prefix_len != b->subnet.prefix_len)
		return a->subnet.prefix_len < b->subnet.prefix_len ? -1 : 1;
	return a->at.line != b->at.line ? (a->at.line < b->at.line ? -1 : 1)
					: (a->at.column < b->at.column ? -1 : 1);
}

static void refuse_overlap(struct check *check, const struct placed_subnet *a,
			   const struct placed_subnet *b)
{
	bool in_order = a->at.line < b->at.line ||
			(a->at.line == b->at.line && a->at.column < b->at.column);
	const struct placed_subnet *first = in_order ? a : b, *second = in_order ? b : a;
	char text[IP_TEXT_MAX], first_text[IP_TEXT_MAX];

	refuse(check, second->at, "network '%s': subnet %s overlaps %s of network '%s' (line %u)",
	       second->network->name, ip_format_prefix(&second->subnet, text),
	       ip_format_prefix(&first->subnet, first_text), first->network->name, first->at.line);
}

/* Sorted by address, a subnet stands behind all that contain it, and the last one that contained
 * nothing of its predecessor starts anew. */
static void check_overlaps(struct check *check)
{
	const struct topology *topology = check->topology;
	const struct placed_subnet *widest = NULL;
	struct placed_subnet *all = NULL;
	size_t count = 0;

	for (size_t i = 0; i < topology->networks_count; i++)
		for (size_t j = 0; j < topology->networks[i].subnets_count; j++)
			*arena_push(check->arena, all, count) = (struct placed_subnet){
				&topology->networks[i], topology->networks[i].subnets[j],
				topology->networks[i].subnets_at[j]};
	if (count)
		qsort(all, count, sizeof(*all), compare_subnets);
	for (size_t i = 0; i < count; i++) {
		if (widest && ip_overlap(&widest->subnet, &all[i].subnet))
			refuse_overlap(check, widest, &all[i]);
		else
			widest = &all[i];
	}
}

static void check_networks(struct check *check)
{
	struct topology *topology = check->topology;

	for (size_t i = 0; i < topology->networks_count; i++) {
		struct network *network = &topology->networks[i];
		char *owner = arena_printf(check->arena, "network '%s' (line %u)", network->name,
					   network->at.line);

		if (network->type == NETWORK_OVS && network->name[0] == '-')
			refuse(check, network->at,
			       "network '%s': ovs-vsctl would take the name for an option",
			       network->name);
		lookup_add(&check->networks, check->arena, network->name, network);
		lookup_add(&check->taken.host_links, check->arena, network->name, owner);
	}
	for (size_t i = 0; i < topology->networks_count; i++) {
		if (topology->networks[i].subnets_incomplete)
			continue;
		check_gateways(check, &topology->networks[i]);
		check_routed(check, &topology->networks[i]);
		check_isolate(check, &topology->networks[i]);
		check_big_tcp(check, &topology->networks[i]);
	}
	for (size_t i = 0; i < topology->networks_count; i++)
		if (!topology->networks[i].subnets_incomplete)
			check_masquerade(check, &topology->networks[i]);
	check_overlaps(check);
}

/* ---- Namespaces. */

static void resolve_network(struct check *check, const char *object, struct interface *interface)
{
	struct topology *topology = check->topology;
	struct nearest nearest = {.wanted = interface->network_name};

	if (!interface->network_name)
		return;
	interface->network = lookup_find(&check->networks, interface->network_name);
	if (interface->network || topology->networks_incomplete)
		return;
	for (size_t i = 0; i < topology->networks_count; i++)
		nearest_consider(&nearest, topology->networks[i].name);
	if (nearest.best)
		refuse(check, interface->network_at,
		       "%s: there is no network '%s'; did you mean '%s'?", object,
		       interface->network_name, nearest.best);
	else
		refuse(check, interface->network_at,
		       "%s: there is no network '%s'; declare it under 'networks'", object,
		       interface->network_name);
}

static void check_interface_address(struct check *check, const char *object,
				    const struct interface *interface, size_t i)
{
	const struct network *network = interface->network;
	const struct ip_address *address = &interface->addresses[i], *subnet = NULL;
	char text[IP_TEXT_MAX], subnet_text[IP_TEXT_MAX];
	struct position at = interface->addresses_at[i];

	if (network && network->subnets_count && !network->subnets_incomplete) {
		subnet = subnet_of(network, address);
		if (!subnet) {
			refuse(check, at,
			       "%s: address %s is outside the subnets of network '%s' (%s)", object,
			       ip_format_prefix(address, text), network->name,
			       list_subnets(check, network));
			return;
		}
		ip_format_prefix(subnet, subnet_text);
		if (subnet->prefix_len != address->prefix_len) {
			refuse(check, at,
			       "%s: address %s has another prefix length than subnet %s of network "
			       "'%s'; write %s/%u",
			       object, ip_format_prefix(address, text), subnet_text, network->name,
			       ip_format(address, (char[IP_TEXT_MAX]){}), subnet->prefix_len);
			return;
		}
	}
	if (subnet_reserves(address))
		refuse(check, at,
		       "%s: address %s is the first or last address of its subnet, which no "
		       "host may have",
		       object, ip_format_prefix(address, text));
}

/* Two would lead to the same gateway, and the kernel has one route to it. */
static void check_only_cable(struct check *check, const char *object,
			     const struct topology_namespace *namespace,
			     const struct interface *interface)
{
	for (const struct interface *other = namespace->interfaces; other < interface; other++)
		if (other->network == interface->network) {
			refuse(check, interface->at,
			       "%s: '%s' (line %u) is on network '%s' already; a routed network "
			       "takes one interface of a namespace",
			       object, other->name, other->at.line, interface->network_name);
			return;
		}
}

static void check_interface(struct check *check, const struct topology_namespace *namespace,
			    struct interface *interface)
{
	const char *object = arena_printf(check->arena, "interface '%s' of namespace '%s'",
					  interface->name, namespace->name);
	char *owner = interface_owner(check, namespace, interface);
	char mac[MAC_TEXT_MAX];
	const char *other;

	resolve_network(check, object, interface);
	if (interface->network && interface->network->type == NETWORK_ROUTED)
		check_only_cable(check, object, namespace, interface);
	else if (interface->network && interface->network->type == NETWORK_BRIDGE &&
		 check->ports[interface->network - check->topology->networks]++ ==
			 TOPOLOGY_BRIDGE_PORTS)
		refuse(check, interface->at,
		       "%s: network '%s' has more than %d interfaces, the most that a Linux bridge takes; "
		       "'type: routed' has no such limit",
		       object, interface->network_name, TOPOLOGY_BRIDGE_PORTS);
	for (size_t i = 0; i < interface->addresses_count; i++) {
		check_interface_address(check, object, interface, i);
		check_address_free(check, interface->addresses_at[i], object,
				   &interface->addresses[i], owner);
	}
	if (interface->has_mac) {
		other = taken_by(check, &check->taken.macs, mac_format(interface->mac, mac), owner);
		if (other)
			refuse(check, interface->mac_at, "%s: MAC %s belongs to %s already", object,
			       mac, other);
	}
	taken_by(check, &check->links,
		 arena_printf(check->arena, "%s:%s", namespace->name, interface->name), owner);
}

static void check_namespaces(struct check *check)
{
	struct topology *topology = check->topology;

	check->ports = arena_alloc(check->arena, topology->networks_count * sizeof(*check->ports));
	for (size_t i = 0; i < topology->namespaces_count; i++) {
		struct topology_namespace *namespace = &topology->namespaces[i];

		lookup_add(&check->namespaces, check->arena, namespace->name, namespace);
		for (size_t j = 0; j < namespace->interfaces_count; j++)
			check_interface(check, namespace, &namespace->interfaces[j]);
	}
}

int topology_check(struct topology *topology, struct arena *arena, struct error_list *errors)
{
	struct check check = {.topology = topology, .arena = arena, .errors = errors};

	check_networks(&check);
	check_namespaces(&check);
	check_links(&check);
	check_devices(&check);
	for (size_t i = 0; i < topology->namespaces_count; i++)
		check_routes(&check, &topology->namespaces[i]);
	check_publishes(&check);
	topology_check_sysctls(topology, errors);
	topology_check_limits(topology, arena, errors);
	if (!errors->count) {
		struct taken *taken = arena_alloc(arena, sizeof(*taken));

		*taken = check.taken;
		topology->taken = taken;
		topology_complete(topology, arena, NULL, errors);
	}
	return errors->count ? -EINVAL : 0;
}

const char *network_type_name(enum network_type type)
{
	static const char *const names[NETWORK_TYPES] = {
		[NETWORK_BRIDGE] = "bridge",
		[NETWORK_ROUTED] = "routed",
		[NETWORK_OVS] = "ovs",
	};

	return names[type];
}

/* The routes of the file come first: nsroute adds no second default. */
static bool has_default_route(const struct topology_namespace *namespace, uint8_t family)
{
	for (size_t i = 0; i < namespace->routes_count; i++)
		if (namespace->routes[i].to.family == family && !namespace->routes[i].to.prefix_len)
			return true;
	return false;
}

static bool interface_reaches(const struct interface *interface, const struct ip_address *gateway)
{
	for (size_t i = 0; i < interface->addresses_count; i++)
		if (ip_within(gateway, &interface->addresses[i]))
			return true;
	return false;
}

bool topology_default_gateway(const struct topology_namespace *namespace, uint8_t family,
			      struct ip_address *ret_gateway,
			      const struct interface **ret_interface)
{
	if (has_default_route(namespace, family))
		return false;
	for (size_t i = 0; i < namespace->interfaces_count; i++) {
		const struct interface *interface = &namespace->interfaces[i];

		for (size_t j = 0; j < interface->network->gateways_count; j++) {
			const struct ip_address *gateway = &interface->network->gateways[j];

			if (gateway->family != family || !interface_reaches(interface, gateway))
				continue;
			*ret_gateway = *gateway;
			*ret_interface = interface;
			return true;
		}
	}
	return false;
}
