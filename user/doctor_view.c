/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: interfaces are found by namespace and ifindex through a lookup. A segment is a
 * bridge with its ports and what is behind them, or a veth pair; anything else is a segment of its
 * own that is open to who knows whom.
 */
#include "doctor_view.h"

#include <net/if.h>
#include <net/if_arp.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lookup.h"

#define KEY_MAX 160 /* of a sysctl */

const struct state_namespace *doctor_space(const struct doctor_world *world, size_t at)
{
	if (at == 0)
		return &world->state->host;
	return at <= world->state->namespaces_count ? &world->state->namespaces[at - 1] : NULL;
}

bool doctor_is_host(const struct doctor_world *world, const struct state_namespace *namespace)
{
	return namespace == &world->state->host;
}

/* ---- Interfaces. */

static char *place_key(const struct doctor_world *world, const struct state_namespace *namespace,
		       uint32_t ifindex)
{
	return arena_printf(world->arena, "%p/%u", (const void *)namespace, ifindex);
}

struct doctor_interface *doctor_interface(const struct doctor_world *world,
					  const struct state_namespace *namespace, uint32_t ifindex)
{
	return lookup_find(world->by_place, place_key(world, namespace, ifindex));
}

struct doctor_interface *doctor_interface_named(const struct doctor_world *world,
						const struct state_namespace *namespace,
						const char *name)
{
	for (size_t i = 0; i < namespace->links_count; i++)
		if (!strcmp(namespace->links[i].name, name))
			return doctor_interface(world, namespace, namespace->links[i].ifindex);
	return NULL;
}

const struct state_port *doctor_port(const struct doctor_world *world, uint32_t ifindex)
{
	const struct state_datapath *datapath = &world->state->datapath;

	for (size_t i = 0; i < datapath->ports_count; i++)
		if (datapath->ports[i].ifindex == ifindex)
			return &datapath->ports[i];
	return NULL;
}

bool doctor_is_uplink(const struct doctor_world *world, const char *name)
{
	for (size_t i = 0; i < world->fabrics_count; i++)
		if (record_has(world->fabrics[i].record, RECORD_UPLINK, name))
			return true;
	return false;
}

bool doctor_is_layer3(const struct doctor_interface *interface)
{
	return !(interface->link->flags & IFF_LOOPBACK) && !interface->link->master;
}

bool doctor_is_up(const struct state_link *link)
{
	return link->flags & IFF_UP;
}

/* ---- Segments. */

static bool is_bridge(const struct doctor_interface *interface)
{
	return !strcmp(interface->link->kind, "bridge");
}

/* The interface that stands for the segment: the bridge, or the first end of a cable. */
static struct doctor_interface *segment_of(struct doctor_interface *interface)
{
	struct doctor_interface *peer = interface->peer;

	if (interface->master)
		return interface->master;
	if (!peer)
		return interface;
	if (peer->master)
		return peer->master;
	return peer < interface ? peer : interface;
}

static bool is_unclear(const struct doctor_interface *segment)
{
	if (is_bridge(segment))
		return segment->link->vlan_filtering;
	return !segment->peer; /* a NIC, or a switch of another kind */
}

static void join_segment(struct doctor_interface *interface)
{
	struct doctor_interface *first = segment_of(interface);

	interface->first = first;
	if (first != interface) {
		interface->next = first->next;
		first->next = interface;
	}
	first->unclear |= is_unclear(first);
	first->open |= !is_bridge(interface) && !interface->peer;
}

static void add_interface(struct doctor_world *world, const struct state_namespace *namespace,
			  const struct state_link *link)
{
	struct doctor_interface *interface = &world->interfaces[world->interfaces_count++];

	interface->namespace = namespace;
	interface->link = link;
	lookup_add(world->by_place, world->arena, place_key(world, namespace, link->ifindex),
		   interface);
}

void doctor_connect(struct doctor_world *world)
{
	const struct state_namespace *namespace;
	size_t count = 0;

	for (size_t i = 0; (namespace = doctor_space(world, i)); i++)
		count += namespace->links_count;
	world->interfaces = arena_alloc(world->arena, (count + 1) * sizeof(*world->interfaces));
	world->interfaces_count = 0;
	world->by_place = arena_alloc(world->arena, sizeof(*world->by_place));
	for (size_t i = 0; (namespace = doctor_space(world, i)); i++)
		for (size_t j = 0; j < namespace->links_count; j++)
			add_interface(world, namespace, &namespace->links[j]);
	for (size_t i = 0; i < count; i++) {
		struct doctor_interface *interface = &world->interfaces[i];
		const struct state_link *link = interface->link;

		if (link->master)
			interface->master =
				doctor_interface(world, interface->namespace, link->master);
		if (link->peer_namespace)
			interface->peer =
				doctor_interface(world, link->peer_namespace, link->peer_ifindex);
	}
	for (size_t i = 0; i < count; i++)
		join_segment(&world->interfaces[i]);
}

/* ---- Addresses and routes. */

const struct state_address *doctor_next_address(const struct doctor_interface *interface,
						uint8_t family,
						const struct state_address *previous)
{
	const struct state_namespace *namespace = interface->namespace;
	size_t at = previous ? (size_t)(previous - namespace->addresses) + 1 : 0;

	for (; at < namespace->addresses_count; at++) {
		const struct state_address *address = &namespace->addresses[at];

		if (address->ifindex == interface->link->ifindex &&
		    (!family || address->address.family == family))
			return address;
	}
	return NULL;
}

struct doctor_interface *doctor_who_has(const struct doctor_interface *interface,
					const struct ip_address *ip)
{
	for (struct doctor_interface *other = interface->first; other; other = other->next) {
		const struct state_address *address = NULL;

		if (other == interface || !doctor_is_layer3(other))
			continue;
		while ((address = doctor_next_address(other, ip->family, address)))
			if (ip_equal(&address->address, ip))
				return other;
	}
	return NULL;
}

static bool is_in_a_subnet_of(const struct doctor_interface *interface, const struct ip_address *ip)
{
	const struct state_address *address = NULL;

	while ((address = doctor_next_address(interface, ip->family, address)))
		if (!ip_is_link_local(&address->address) && ip_within(ip, &address->address))
			return true;
	return false;
}

const struct state_address *doctor_gateway_for(const struct doctor_world *world,
					       const struct doctor_interface *interface,
					       uint8_t family)
{
	if (interface->first->unclear)
		return NULL;
	for (struct doctor_interface *other = interface->first; other; other = other->next) {
		const struct state_address *address = NULL;

		if (other == interface || !doctor_is_layer3(other) ||
		    !doctor_is_host(world, other->namespace))
			continue;
		while ((address = doctor_next_address(other, family, address)))
			if (is_in_a_subnet_of(interface, &address->address))
				return address;
	}
	return NULL;
}

const struct state_route *doctor_route(const struct state_namespace *namespace,
				       const struct ip_address *to)
{
	const struct state_route *best = NULL;

	for (size_t i = 0; i < namespace->routes_count; i++) {
		const struct state_route *route = &namespace->routes[i];

		if (route->to.family != to->family || !ip_within(to, &route->to))
			continue;
		if (!best || route->to.prefix_len > best->to.prefix_len ||
		    (route->to.prefix_len == best->to.prefix_len && route->metric < best->metric))
			best = route;
	}
	return best;
}

const struct state_route *doctor_default_route(const struct state_namespace *namespace,
					       uint8_t family)
{
	const struct state_route *best = NULL;

	for (size_t i = 0; i < namespace->routes_count; i++) {
		const struct state_route *route = &namespace->routes[i];

		if (route->to.family == family && !route->to.prefix_len &&
		    route->type == RTN_UNICAST && (!best || route->metric < best->metric))
			best = route;
	}
	return best;
}

const char *doctor_sysctl(const struct state_namespace *namespace, const char *format, ...)
{
	char key[KEY_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(key, sizeof(key), format, args);
	va_end(args);
	for (size_t i = 0; i < namespace->sysctls_count; i++)
		if (!strcmp(namespace->sysctls[i].key, key))
			return namespace->sysctls[i].value ? namespace->sysctls[i].value : "";
	return "";
}
