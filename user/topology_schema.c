/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: yaml_tree makes nodes of the bytes, the tables below say which keys each object
 * has, and the function beside each key puts its value into the model. To support a key is to take
 * it out of YAML_KEY_LATER and give it a function.
 *
 * An object with an error stays in the model, so that references to it resolve, and is marked
 * incomplete, so that topology_check() does not complain about what only follows. Names in the
 * model are fit for messages, whatever the file had in their place.
 */
#include "topology_schema.h"

#include <string.h>
#include <sys/socket.h>

#include "topology_schema_device.h"
#include "topology_schema_masquerade.h"
#include "topology_schema_publish.h"
#include "topology_settings.h"
#include "topology_values.h"

/* Words of keys of which we support only what we do anyway. */

static const struct yaml_word only_off[] = {{"off", 0, false}, {"on", 1, true}, {}};

/* ---- Networks. */

static void read_type(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	static const struct yaml_word words[] = {{"bridge", NETWORK_BRIDGE, false},
						 {"routed", NETWORK_ROUTED, false},
						 {"ovs", NETWORK_OVS, false},
						 {}};
	struct network *network = into;
	int type;

	if (yaml_read_word(reader, pair, words, &type))
		network->type = (enum network_type)type;
}

static void read_subnets(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	struct network *network = into;
	size_t problems = reader->problems;

	if (!yaml_is_sequence(reader, pair->key, &pair->value, "a list of networks")) {
		network->subnets_incomplete = true;
		return;
	}
	for (size_t i = 0; i < pair->value.count; i++) {
		const struct yaml_tree_node *item = &pair->value.items[i];
		size_t positions = network->subnets_count;
		struct ip_address subnet;
		const char *problem;

		if (!topology_read_prefix(reader, pair->key, item, &subnet))
			continue;
		problem = topology_address_problem(&subnet);
		if (problem) {
			yaml_refuse(reader, item->at, "subnet %s %s", item->text, problem);
			continue;
		}
		*arena_push(reader->arena, network->subnets_at, positions) = item->at;
		*arena_push(reader->arena, network->subnets, network->subnets_count) = subnet;
	}
	network->subnets_incomplete = reader->problems > problems;
}

static void read_gateway(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	struct network *network = into;
	const struct yaml_tree_node *node = &pair->value;

	if (node->kind == YAML_TREE_SCALAR && !strcmp(node->text, "auto"))
		return;
	network->gateway_auto = false;
	network->gateway_at = node->at;
	if (node->kind == YAML_TREE_SCALAR && !strcmp(node->text, "none")) {
		network->gateway_none = true;
		return;
	}
	if (node->kind != YAML_TREE_SEQUENCE || !node->count) {
		yaml_wrong(reader, pair->key, node, "'auto', 'none' or a list of addresses");
		return;
	}
	for (size_t i = 0; i < node->count; i++) {
		size_t positions = network->gateways_count;
		struct ip_address gateway;
		bool has_prefix; /* topology_check() gives it that of its subnet */

		if (!topology_read_address(reader, pair->key, &node->items[i], &gateway,
					   &has_prefix))
			continue;
		*arena_push(reader->arena, network->gateways_at, positions) = node->items[i].at;
		*arena_push(reader->arena, network->gateways, network->gateways_count) = gateway;
	}
}

static void read_isolate(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	static const struct yaml_word words[] = {{"true", 1, false}, {"false", 0, false}, {}};
	struct network *network = into;
	int isolate;

	network->isolate_at = pair->value.at;
	if (yaml_read_word(reader, pair, words, &isolate))
		network->isolate = isolate;
}

static void read_inbound(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	static const struct yaml_word words[] = {{"true", 1, false}, {"false", 0, false}, {}};
	struct network *network = into;
	int inbound;

	network->inbound_at = pair->value.at;
	if (yaml_read_word(reader, pair, words, &inbound))
		network->inbound = inbound;
}

static void read_big_tcp(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	static const struct yaml_word words[] = {{"auto", BIG_TCP_AUTO, false},
						 {"on", BIG_TCP_ON, false},
						 {"off", BIG_TCP_OFF, false},
						 {}};
	struct network *network = into;
	int word;

	network->big_tcp_at = pair->value.at;
	if (yaml_read_word(reader, pair, words, &word))
		network->big_tcp = (enum big_tcp_word)word;
}

static const struct yaml_key network_keys[] = {
	{.name = "type", .read = read_type},
	{.name = "subnets", .read = read_subnets},
	{.name = "gateway", .read = read_gateway},
	{.name = "masquerade", .read = topology_read_masquerade},
	{.name = "isolate", .read = read_isolate},
	{.name = "inbound", .read = read_inbound},
	{.name = "big_tcp", .read = read_big_tcp},
	{.name = "xdp", .words = only_off},
	{},
};

static void read_networks(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	struct topology *topology = into;

	topology->networks_incomplete =
		!yaml_is_mapping(reader, pair->key, &pair->value, "a mapping of names to networks");
	if (topology->networks_incomplete)
		return;
	for (size_t i = 0; i < pair->value.count; i++) {
		const struct yaml_tree_pair *item = &pair->value.pairs[i];
		struct network *network =
			arena_push(reader->arena, topology->networks, topology->networks_count);
		size_t problems = reader->problems;

		topology_check_name(reader, item->at, "network", item->key, name_interface_problem);
		network->name = yaml_tree_shown(item->key, reader->arena);
		network->at = item->at;
		network->gateway_auto = true;
		reader->object = arena_printf(reader->arena, "network '%s'", network->name);
		yaml_read_keys(reader, network->name, &item->value, network_keys, network);
		reader->object = "";
		network->incomplete = reader->problems > problems;
	}
}

/* ---- Namespaces. */

static void read_interface_network(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
				   void *into)
{
	struct interface *interface = into;
	const char *text = yaml_read_text(reader, pair->key, &pair->value, "the name of a network");

	if (text)
		interface->network_name = yaml_tree_shown(text, reader->arena);
	interface->network_at = pair->value.at;
}

static void read_interface_addresses(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
				     void *into)
{
	static const char expected[] = "a list of addresses (without the key one is chosen)";
	struct interface *interface = into;

	if (pair->value.kind != YAML_TREE_SEQUENCE || !pair->value.count) {
		yaml_wrong(reader, pair->key, &pair->value, expected);
		return;
	}
	for (size_t i = 0; i < pair->value.count; i++) {
		const struct yaml_tree_node *item = &pair->value.items[i];
		size_t positions = interface->addresses_count;
		struct ip_address address;

		if (!topology_read_address_with_prefix(reader, pair->key, item, &address))
			continue;
		*arena_push(reader->arena, interface->addresses_at, positions) = item->at;
		*arena_push(reader->arena, interface->addresses, interface->addresses_count) =
			address;
	}
}

static void read_mac(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	struct interface *interface = into;

	interface->has_mac = topology_read_mac(reader, pair->key, &pair->value, interface->mac);
	interface->mac_at = pair->value.at;
}

static void read_spoof_check(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			     void *into)
{
	static const struct yaml_word words[] = {{"on", 1, false}, {"off", 0, false}, {}};
	struct interface *interface = into;
	int on;

	if (yaml_read_word(reader, pair, words, &on))
		interface->spoof_check = on;
}

static const struct yaml_key interface_keys[] = {
	{.name = "network", .need = YAML_KEY_REQUIRED, .read = read_interface_network},
	{.name = "addresses", .read = read_interface_addresses},
	{.name = "mac", .read = read_mac},
	{.name = "spoof_check", .read = read_spoof_check},
	{},
};

static void read_interfaces(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			    void *into)
{
	struct topology_namespace *namespace = into;
	const char *object = reader->object;
	size_t problems = reader->problems;

	namespace->interfaces_incomplete = !yaml_is_mapping(reader, pair->key, &pair->value,
							    "a mapping of names to interfaces");
	if (namespace->interfaces_incomplete)
		return;
	for (size_t i = 0; i < pair->value.count; i++) {
		const struct yaml_tree_pair *item = &pair->value.pairs[i];
		struct interface *interface = arena_push(reader->arena, namespace->interfaces,
							 namespace->interfaces_count);

		topology_check_name(reader, item->at, "interface", item->key,
				    name_interface_problem);
		interface->name = yaml_tree_shown(item->key, reader->arena);
		interface->at = item->at;
		interface->spoof_check = true;
		reader->object = arena_printf(reader->arena, "interface '%s' of namespace '%s'",
					      interface->name, namespace->name);
		yaml_read_keys(reader, interface->name, &item->value, interface_keys, interface);
		reader->object = object;
	}
	namespace->interfaces_incomplete = reader->problems > problems;
}

static void read_route_to(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	struct topology_route *route = into;

	if (pair->value.kind == YAML_TREE_SCALAR && !strcmp(pair->value.text, "default"))
		route->to.family = AF_UNSPEC; /* known when via is */
	else
		topology_read_prefix(reader, pair->key, &pair->value, &route->to);
}

static void read_route_via(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			   void *into)
{
	struct topology_route *route = into;
	bool has_prefix;

	route->via_at = pair->value.at;
	if (topology_read_address(reader, pair->key, &pair->value, &route->via, &has_prefix) &&
	    has_prefix)
		yaml_refuse(reader, pair->value.at,
			    "'via' is one address; write it without a prefix length");
}

static const struct yaml_key route_keys[] = {
	{.name = "to", .need = YAML_KEY_REQUIRED, .read = read_route_to},
	{.name = "via", .need = YAML_KEY_REQUIRED, .read = read_route_via},
	{},
};

static void read_routes(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	struct topology_namespace *namespace = into;

	if (!yaml_is_sequence(reader, pair->key, &pair->value, "a list of routes"))
		return;
	for (size_t i = 0; i < pair->value.count; i++) {
		const struct yaml_tree_node *item = &pair->value.items[i];
		struct topology_route route = {.at = item->at};
		const char *object = reader->object;
		size_t problems = reader->problems;

		reader->object = arena_printf(reader->arena, "route of %s", object);
		yaml_read_keys(reader, "route", item, route_keys, &route);
		reader->object = object;
		if (reader->problems > problems || !route.via.family)
			continue;
		if (!route.to.family)
			route.to.family = route.via.family;
		*arena_push(reader->arena, namespace->routes, namespace->routes_count) = route;
	}
}

static const struct yaml_key namespace_keys[] = {
	{.name = "interfaces", .read = read_interfaces},
	{.name = "routes", .read = read_routes},
	{.name = "sysctl", .read = topology_read_sysctl},
	{.name = "dns", .read = topology_read_dns},
	{.name = "publish", .read = topology_read_publish},
	{},
};

static void read_namespaces(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			    void *into)
{
	struct topology *topology = into;

	topology->namespaces_incomplete = !yaml_is_mapping(reader, pair->key, &pair->value,
							   "a mapping of names to namespaces");
	if (topology->namespaces_incomplete)
		return;
	for (size_t i = 0; i < pair->value.count; i++) {
		const struct yaml_tree_pair *item = &pair->value.pairs[i];
		struct topology_namespace *namespace =
			arena_push(reader->arena, topology->namespaces, topology->namespaces_count);

		topology_check_name(reader, item->at, "namespace", item->key,
				    name_namespace_problem);
		namespace->name = yaml_tree_shown(item->key, reader->arena);
		namespace->at = item->at;
		reader->object = arena_printf(reader->arena, "namespace '%s'", namespace->name);
		yaml_read_keys(reader, namespace->name, &item->value, namespace_keys, namespace);
		reader->object = "";
	}
}

/* ---- Links. */

static bool read_endpoint(struct yaml_reader *reader, const struct yaml_tree_node *node,
			  struct link_end *ret)
{
	static const char expected[] = "\"NAMESPACE:INTERFACE\"";
	const char *text = yaml_read_text(reader, "endpoint", node, expected), *colon;
	size_t problems = reader->problems;
	const char *namespace;

	if (!text)
		return false;
	colon = strrchr(text, ':');
	if (!colon) {
		yaml_wrong(reader, "endpoint", node, expected);
		return false;
	}
	namespace = arena_printf(reader->arena, "%.*s", (int)(colon - text), text);
	if (strcmp(namespace, "host"))
		topology_check_name(reader, node->at, "namespace", namespace,
				    name_namespace_problem);
	topology_check_name(reader, node->at, "interface", colon + 1, name_interface_problem);
	if (reader->problems > problems)
		return false;
	*ret = (struct link_end){.namespace_name = namespace, .name = colon + 1, .at = node->at};
	return true;
}

static bool is_pair(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
		    const char *expected)
{
	if (pair->value.kind == YAML_TREE_SEQUENCE && pair->value.count == 2)
		return true;
	if (pair->value.kind == YAML_TREE_SEQUENCE)
		yaml_refuse(reader, pair->value.at, "'%s' must be %s, not a list of %zu", pair->key,
			    expected, pair->value.count);
	else
		yaml_wrong(reader, pair->key, &pair->value, expected);
	return false;
}

/* The two keys of a link may come in any order: the ends' addresses wait until both are read. */
struct link_parts {
	struct link_end ends[2];
	struct link_end addresses[2];
};

static void read_endpoints(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			   void *into)
{
	struct link_parts *parts = into;

	if (!is_pair(reader, pair, "a list of two \"NAMESPACE:INTERFACE\""))
		return;
	for (int i = 0; i < 2; i++)
		read_endpoint(reader, &pair->value.items[i], &parts->ends[i]);
}

static void read_link_addresses(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
				void *into)
{
	struct link_parts *parts = into;

	if (!is_pair(reader, pair, "a list of two addresses, one an end"))
		return;
	for (int i = 0; i < 2; i++) {
		struct link_end *end = &parts->addresses[i];

		end->address_at = pair->value.items[i].at;
		end->has_address = topology_read_address_with_prefix(
			reader, pair->key, &pair->value.items[i], &end->address);
	}
}

static const struct yaml_key link_keys[] = {
	{.name = "endpoints", .need = YAML_KEY_REQUIRED, .read = read_endpoints},
	{.name = "addresses", .read = read_link_addresses},
	{},
};

static void read_links(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	struct topology *topology = into;

	if (!yaml_is_sequence(reader, pair->key, &pair->value, "a list of links"))
		return;
	reader->object = "link";
	for (size_t i = 0; i < pair->value.count; i++) {
		const struct yaml_tree_node *item = &pair->value.items[i];
		size_t problems = reader->problems;
		struct link_parts parts = {};
		struct topology_link *link;

		yaml_read_keys(reader, "link", item, link_keys, &parts);
		if (reader->problems > problems)
			topology->links_incomplete = true;
		if (!parts.ends[0].name || !parts.ends[1].name)
			continue;
		link = arena_push(reader->arena, topology->links, topology->links_count);
		link->at = item->at;
		for (int end = 0; end < 2; end++) {
			link->ends[end] = parts.ends[end];
			link->ends[end].has_address = parts.addresses[end].has_address;
			link->ends[end].address = parts.addresses[end].address;
			link->ends[end].address_at = parts.addresses[end].address_at;
		}
	}
	reader->object = "";
}

/* ---- The file. */

static void read_version(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	static const char expected[] = "1, the version of the format that this nsroute reads";
	const char *text = yaml_read_text(reader, pair->key, &pair->value, expected);

	(void)into;
	if (text && strcmp(text, "1"))
		yaml_wrong(reader, pair->key, &pair->value, expected);
}

static void read_name(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	struct topology *topology = into;
	const char *text = yaml_read_text(reader, pair->key, &pair->value, "the fabric's name");

	if (!text)
		return;
	topology_check_name(reader, pair->value.at, "fabric", text, name_fabric_problem);
	topology->name = yaml_tree_shown(text, reader->arena);
	topology->at = pair->value.at;
}

static void read_mtu(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	struct topology *topology = into;

	topology_read_mtu(reader, pair->key, &pair->value, &topology->mtu);
}

static void read_datapath(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	static const struct yaml_word words[] = {
		{"auto", DATAPATH_AUTO, false}, {"kernel", DATAPATH_KERNEL, false}, {}};
	struct topology *topology = into;
	int mode;

	if (yaml_read_word(reader, pair, words, &mode))
		topology->datapath = (enum datapath_mode)mode;
}

static const struct yaml_key defaults_keys[] = {
	{.name = "mtu", .read = read_mtu},
	{.name = "datapath", .read = read_datapath},
	{},
};

static void read_defaults(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	reader->object = "defaults";
	yaml_read_keys(reader, pair->key, &pair->value, defaults_keys, into);
	reader->object = "";
}

const struct yaml_key topology_keys[] = {
	{.name = "version", .need = YAML_KEY_REQUIRED, .read = read_version},
	{.name = "name", .need = YAML_KEY_REQUIRED, .read = read_name},
	{.name = "defaults", .read = read_defaults},
	{.name = "networks", .read = read_networks},
	{.name = "namespaces", .read = read_namespaces},
	{.name = "links", .read = read_links},
	{.name = "devices", .read = topology_read_devices},
	{},
};
