/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: everything is derived from names, so that each apply of a file, on any machine,
 * comes to the same result, and an interface keeps what it has when others are added after it.
 *
 * A name's hash says where in its subnet an address (or MAC) is tried first; what is taken is
 * passed over by counting up. So only where two hashes meet does the order of the file matter.
 * Addresses written in the file, and gateways, are taken before any is given out.
 */
#include "topology_complete.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* IPv6 addresses are given out of the first 2^32 of a subnet: enough room, and still readable. */
#define AUTO_HOST_BITS_MAX 32

static unsigned int host_bits(const struct ip_address *address)
{
	return ip_bits(address) - address->prefix_len;
}

static bool host_part_is(const struct ip_address *address, uint8_t fill)
{
	for (unsigned int bit = address->prefix_len; bit < ip_bits(address); bit++)
		if ((address->bytes[bit / 8] ^ fill) >> (7 - bit % 8) & 1)
			return false;
	return true;
}

bool subnet_reserves(const struct ip_address *address)
{
	if (host_bits(address) < 2)
		return false;
	return host_part_is(address, 0) ||
	       (address->family == AF_INET && host_part_is(address, 0xff));
}

/* subnet + offset; the caller keeps offset below the subnet's size. */
static struct ip_address subnet_host(const struct ip_address *subnet, uint64_t offset)
{
	struct ip_address host = *subnet;

	for (unsigned int byte = ip_bits(subnet) / 8; offset; offset >>= 8)
		host.bytes[--byte] |= (uint8_t)offset;
	return host;
}

struct ip_address subnet_first_host(const struct ip_address *subnet)
{
	return subnet_host(subnet, host_bits(subnet) < 2 ? 0 : 1);
}

/* How many addresses automatic ones are looked for among, starting with the first host. */
static uint64_t subnet_hosts(const struct ip_address *subnet)
{
	unsigned int bits = host_bits(subnet);

	if (bits < 2)
		return UINT64_C(1) << bits;
	if (bits > AUTO_HOST_BITS_MAX)
		bits = AUTO_HOST_BITS_MAX;
	return (UINT64_C(1) << bits) - 2;
}

static bool take_address(struct taken *taken, struct arena *arena, const struct ip_address *address,
			 char *owner)
{
	char text[IP_TEXT_MAX];

	if (lookup_find(&taken->addresses, ip_format(address, text)))
		return false;
	lookup_add(&taken->addresses, arena, arena_strdup(arena, text), owner);
	return true;
}

static bool find_address(struct taken *taken, struct arena *arena, const struct ip_address *subnet,
			 uint64_t hash, char *owner, struct ip_address *ret)
{
	uint64_t hosts = subnet_hosts(subnet), first = host_bits(subnet) < 2 ? 0 : 1;

	for (uint64_t tries = 0; tries < hosts; tries++) {
		struct ip_address address =
			subnet_host(subnet, first + (hash % hosts + tries) % hosts);

		if (take_address(taken, arena, &address, owner)) {
			*ret = address;
			return true;
		}
	}
	return false;
}

static void complete_addresses(struct topology *topology,
			       const struct topology_namespace *namespace,
			       struct interface *interface, struct arena *arena,
			       struct taken *taken, struct error_list *errors)
{
	const struct network *network = interface->network;
	uint64_t hash = hash_strings(topology->name, namespace->name, interface->name, NULL);

	if (interface->addresses_count)
		return;
	for (size_t i = 0; i < network->subnets_count; i++) {
		char subnet[IP_TEXT_MAX], *owner;
		struct ip_address address;

		owner = arena_printf(arena, "interface '%s' of namespace '%s'", interface->name,
				     namespace->name);
		if (!find_address(taken, arena, &network->subnets[i], hash, owner, &address)) {
			error_list_add(
				errors, topology->file, interface->at,
				"interface '%s' of namespace '%s': subnet %s has no free address; "
				"use a larger one",
				interface->name, namespace->name,
				ip_format_prefix(&network->subnets[i], subnet));
			continue;
		}
		*arena_push(arena, interface->addresses, interface->addresses_count) = address;
	}
}

static void complete_mac(uint8_t mac[6], const char *fabric, const char *owner,
			 const char *interface, struct arena *arena, struct taken *taken)
{
	char text[MAC_TEXT_MAX], *name;

	mac_derive(mac, fabric, owner, interface);
	while (lookup_find(&taken->macs, mac_format(mac, text)))
		for (int byte = 5; byte > 1 && ++mac[byte] == 0; byte--)
			; /* counts up, but not in what all of ours begin with */
	name = arena_strdup(arena, text);
	lookup_add(&taken->macs, arena, name, name);
}

/* How many of the first bytes of a name fit max without cutting a UTF-8 sequence. */
static int prefix_length(const char *name, size_t max)
{
	size_t length = strlen(name);

	if (length > max)
		for (length = max; length && ((unsigned char)name[length] & 0xc0) == 0x80;)
			length--;
	return (int)length;
}

/* "NAMESPACE-INTERFACE", or when that is too long or taken the namespace's beginning and 6 digits.
 */
static const char *find_host_name(const struct topology *topology, const char *namespace,
				  const char *interface, struct arena *arena, struct taken *taken)
{
	uint64_t hash = hash_strings(topology->name, namespace, interface, NULL);
	char *name = arena_printf(arena, "%s-%s", namespace, interface);
	const int length = prefix_length(namespace, TOPOLOGY_NAME_MAX - strlen("-123456"));

	while (strlen(name) > TOPOLOGY_NAME_MAX || lookup_find(&taken->host_links, name))
		name = arena_printf(arena, "%.*s-%06x", length, namespace,
				    (unsigned int)(hash++ & 0xffffff));
	lookup_add(&taken->host_links, arena, name, name);
	return name;
}

void topology_complete(struct topology *topology, struct arena *arena, struct taken *taken,
		       struct error_list *errors)
{
	const char *fabric = topology->name;

	/* Owners that no namespace's name can be ("", "host") keep the kinds of MACs apart. */
	for (size_t i = 0; i < topology->networks_count; i++) {
		struct network *network = &topology->networks[i];

		complete_mac(network->mac, fabric, "", network->name, arena, taken);
	}
	for (size_t i = 0; i < topology->namespaces_count; i++) {
		struct topology_namespace *namespace = &topology->namespaces[i];

		for (size_t j = 0; j < namespace->interfaces_count; j++) {
			struct interface *interface = &namespace->interfaces[j];

			complete_addresses(topology, namespace, interface, arena, taken, errors);
			if (!interface->has_mac)
				complete_mac(interface->mac, fabric, namespace->name,
					     interface->name, arena, taken);
			interface->host_name = find_host_name(topology, namespace->name,
							      interface->name, arena, taken);
			complete_mac(interface->host_mac, fabric, "host", interface->host_name,
				     arena, taken);
		}
	}
	for (size_t i = 0; i < 2 * topology->links_count; i++) {
		struct link_end *end = &topology->links[i / 2].ends[i % 2];

		complete_mac(end->mac, fabric, end->namespace_name, end->name, arena, taken);
	}
}
