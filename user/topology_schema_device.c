/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: as topology_schema.c. A device without a name or a namespace cannot be referred to,
 * so it is left out, and the list is marked incomplete.
 */
#include "topology_schema_device.h"

#include "names.h"
#include "topology.h"
#include "topology_values.h"

static void read_name(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	struct topology_device *device = into;
	const char *text = yaml_read_text(reader, pair->key, &pair->value,
					  "the name of an interface of the host");

	if (!text)
		return;
	topology_check_name(reader, pair->value.at, "interface", text, name_interface_problem);
	device->name = yaml_tree_shown(text, reader->arena);
}

static void read_namespace(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			   void *into)
{
	struct topology_device *device = into;
	const char *text =
		yaml_read_text(reader, pair->key, &pair->value, "the name of a namespace");

	if (!text)
		return;
	device->namespace_name = yaml_tree_shown(text, reader->arena);
	device->namespace_at = pair->value.at;
}

static void read_addresses(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			   void *into)
{
	struct topology_device *device = into;

	if (!yaml_is_sequence(reader, pair->key, &pair->value, "a list of addresses"))
		return;
	for (size_t i = 0; i < pair->value.count; i++) {
		const struct yaml_tree_node *item = &pair->value.items[i];
		size_t positions = device->addresses_count;
		struct ip_address address;

		if (!topology_read_address_with_prefix(reader, pair->key, item, &address))
			continue;
		*arena_push(reader->arena, device->addresses_at, positions) = item->at;
		*arena_push(reader->arena, device->addresses, device->addresses_count) = address;
	}
}

static void read_mac(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	struct topology_device *device = into;

	device->has_mac = topology_read_mac(reader, pair->key, &pair->value, device->mac);
	device->mac_at = pair->value.at;
}

static void read_mtu(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	struct topology_device *device = into;

	topology_read_mtu(reader, pair->key, &pair->value, &device->mtu);
}

static const struct yaml_key device_keys[] = {
	{.name = "name", .need = YAML_KEY_REQUIRED, .read = read_name},
	{.name = "namespace", .need = YAML_KEY_REQUIRED, .read = read_namespace},
	{.name = "addresses", .read = read_addresses},
	{.name = "mac", .read = read_mac},
	{.name = "mtu", .read = read_mtu},
	{},
};

void topology_read_devices(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			   void *into)
{
	struct topology *topology = into;

	if (!yaml_is_sequence(reader, pair->key, &pair->value, "a list of devices"))
		return;
	reader->object = "device";
	for (size_t i = 0; i < pair->value.count; i++) {
		const struct yaml_tree_node *item = &pair->value.items[i];
		struct topology_device device = {.at = item->at};
		size_t problems = reader->problems;

		yaml_read_keys(reader, "device", item, device_keys, &device);
		if (reader->problems > problems)
			topology->devices_incomplete = true;
		if (device.name && device.namespace_name)
			*arena_push(reader->arena, topology->devices, topology->devices_count) =
				device;
	}
	reader->object = "";
}
