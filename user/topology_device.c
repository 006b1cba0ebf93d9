/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a device has its name in two places, the host namespace and the one that it moves
 * to, so it must be alone in both. What networks and links have there was entered before.
 */
#include "topology_check.h"

#include <string.h>

static void resolve_namespace(struct check *check, const char *object,
			      struct topology_device *device)
{
	struct topology *topology = check->topology;
	struct nearest nearest = {.wanted = device->namespace_name};

	device->namespace = lookup_find(&check->namespaces, device->namespace_name);
	if (device->namespace || topology->namespaces_incomplete)
		return;
	if (!strcmp(device->namespace_name, "host")) {
		refuse(check, device->namespace_at,
		       "%s: it is in the host namespace already; name one of 'namespaces'", object);
		return;
	}
	for (size_t i = 0; i < topology->namespaces_count; i++)
		nearest_consider(&nearest, topology->namespaces[i].name);
	if (nearest.best)
		refuse(check, device->namespace_at,
		       "%s: there is no namespace '%s'; did you mean '%s'?", object,
		       device->namespace_name, nearest.best);
	else
		refuse(check, device->namespace_at,
		       "%s: there is no namespace '%s'; declare it under 'namespaces'", object,
		       device->namespace_name);
}

static void check_names(struct check *check, const char *object, char *owner,
			const struct topology_device *device)
{
	const struct network *network = lookup_find(&check->uplinks, device->name);
	const char *other = taken_by(check, &check->taken.host_links, device->name, owner);

	if (network)
		refuse(check, device->at,
		       "%s: network '%s' (line %u) masquerades to it, so it has to stay in the host "
		       "namespace",
		       object, network->name, network->masquerade.at.line);
	if (!other)
		other = taken_by(
			check, &check->links,
			arena_printf(check->arena, "%s:%s", device->namespace_name, device->name),
			owner);
	if (other)
		refuse(check, device->at, "%s: the name is used by %s already", object, other);
}

/* With what else is in the namespace; devices before this one only, so that each pair is met once.
 */
static void check_overlaps(struct check *check, const char *object,
			   const struct topology_device *device, size_t which)
{
	const struct topology *topology = check->topology;
	const struct topology_namespace *ns = device->namespace;
	const struct ip_address *address = &device->addresses[which];
	struct position at = device->addresses_at[which];

	for (size_t i = 0; i < ns->interfaces_count; i++) {
		const struct interface *interface = &ns->interfaces[i];
		const struct network *network = interface->network;

		if (network)
			check_apart(check, object, at, address, network->subnets,
				    network->subnets_count,
				    arena_printf(check->arena, "network '%s' (line %u)",
						 network->name, network->at.line));
	}
	for (size_t i = 0; i < 2 * topology->links_count; i++) {
		const struct link_end *end = &topology->links[i / 2].ends[i % 2];

		if (end->namespace == ns && end->has_address)
			check_apart(check, object, at, address, &end->address, 1,
				    arena_printf(check->arena, "link end '%s:%s' (line %u)",
						 end->namespace_name, end->name, end->at.line));
	}
	for (const struct topology_device *other = topology->devices; other < device; other++)
		if (other->namespace == ns)
			check_apart(check, object, at, address, other->addresses,
				    other->addresses_count,
				    arena_printf(check->arena, "device '%s' (line %u)", other->name,
						 other->at.line));
}

static void check_addresses(struct check *check, const char *object, char *owner,
			    const struct topology_device *device)
{
	char text[IP_TEXT_MAX];

	for (size_t i = 0; i < device->addresses_count; i++) {
		check_address_free(check, device->addresses_at[i], object, &device->addresses[i],
				   owner);
		if (subnet_reserves(&device->addresses[i]))
			refuse(check, device->addresses_at[i],
			       "%s: address %s is the first or last address of its subnet, which no "
			       "host may have",
			       object, ip_format_prefix(&device->addresses[i], text));
		else if (device->namespace)
			check_overlaps(check, object, device, i);
	}
}

void check_devices(struct check *check)
{
	for (size_t i = 0; i < check->topology->devices_count; i++) {
		struct topology_device *device = &check->topology->devices[i];
		char *object = arena_printf(check->arena, "device '%s'", device->name);
		char *owner = arena_printf(check->arena, "%s (line %u)", object, device->at.line);
		char mac[MAC_TEXT_MAX];
		const char *other;

		resolve_namespace(check, object, device);
		check_names(check, object, owner, device);
		check_addresses(check, object, owner, device);
		if (!device->has_mac)
			continue;
		other = taken_by(check, &check->taken.macs, mac_format(device->mac, mac), owner);
		if (other)
			refuse(check, device->mac_at, "%s: MAC %s belongs to %s already", object,
			       mac, other);
	}
}
