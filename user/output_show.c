/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * output_show - the model of one fabric: what was recorded says which objects belong to it, what
 * the kernel has says how they are. An object that is recorded but gone is shown as "missing", so
 * that a reader sees what the next apply would bring back.
 *
 * IPv6 link-local addresses and routes are left out: the kernel makes them for every interface and
 * they say nothing about the fabric.
 */
#include "output.h"

#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "output_model.h"
#include "topology.h"

static bool is_noise(const struct ip_address *ip)
{
	return ip->family == AF_INET6 && ip_is_link_local(ip);
}

static json_t *addresses_of(const struct state_namespace *namespace, uint32_t ifindex)
{
	json_t *addresses = json_array();
	char text[IP_TEXT_MAX];

	for (size_t i = 0; i < namespace->addresses_count; i++) {
		const struct state_address *address = &namespace->addresses[i];

		if (address->ifindex != ifindex || is_noise(&address->address))
			continue;
		json_array_append_new(addresses,
				      output_string(ip_format_prefix(&address->address, text)));
	}
	return addresses;
}

/* The families whose TCP packets of more than 64 KiB a link takes whole. */
static json_t *big_tcp_of(const struct state_link *link)
{
	json_t *families = json_array();

	if (link && link->sizes[STATE_GSO_IPV4] > NSR_GSO_MAX)
		json_array_append_new(families, json_string("ipv4"));
	if (link && link->sizes[STATE_GSO] > NSR_GSO_MAX)
		json_array_append_new(families, json_string("ipv6"));
	return families;
}

/* What every kind of link shows; name is for one that is missing. */
static json_t *link_head(const char *name, const struct state_link *link)
{
	json_t *object = json_object();
	char mac[MAC_TEXT_MAX];

	model_set_text(object, "name", name);
	model_set_text(object, "state", model_link_state(link));
	model_set_text_or_null(object, "mac", link ? mac_format(link->mac, mac) : NULL);
	model_set_number(object, "mtu", link ? link->mtu : 0);
	json_object_set_new(object, "big_tcp", big_tcp_of(link));
	return object;
}

/* ---- Networks and uplinks. */

/* What a masqueraded prefix reaches untranslated. */
static json_t *exceptions_of(const struct kernel_state *state, const struct ip_address *prefix)
{
	json_t *except = json_array();
	char text[IP_TEXT_MAX];

	for (size_t i = 0; i < state->datapath.inside_count; i++) {
		const struct state_inside *inside = &state->datapath.inside[i];

		if (!ip_equal(&inside->prefix, prefix) ||
		    inside->prefix.prefix_len != prefix->prefix_len)
			continue;
		for (size_t j = 0; j < inside->except_count; j++)
			json_array_append_new(
				except, output_string(ip_format_prefix(&inside->except[j], text)));
	}
	return except;
}

/* The masqueraded prefixes of a network are those that one of its gateways is in. */
static json_t *masquerade_of(const struct record *record, const struct kernel_state *state,
			     const json_t *gateways)
{
	json_t *masquerade = json_array(), *gateway;
	struct ip_address prefix, address;
	size_t j;

	for (size_t i = 0; i < record->count; i++) {
		const struct record_entry *entry = &record->entries[i];
		bool inside = false;

		if (entry->kind != RECORD_INSIDE || !ip_parse(entry->name, &prefix, NULL))
			continue;
		json_array_foreach(gateways, j, gateway) inside =
			inside || (ip_parse(json_string_value(gateway), &address, NULL) &&
				   ip_within(&address, &prefix));
		if (inside)
			json_array_append_new(masquerade,
					      json_pack("{s:o, s:o, s:o}", "prefix",
							output_string(entry->name), "uplink",
							output_string(entry->value), "except",
							exceptions_of(state, &prefix)));
	}
	return masquerade;
}

static json_t *bridge_object(const struct record *record, const struct kernel_state *state,
			     const char *name)
{
	const struct state_link *bridge = model_link_named(&state->host, name);
	json_t *network = link_head(name, bridge);
	json_t *gateways = bridge ? addresses_of(&state->host, bridge->ifindex) : json_array();
	size_t ports = 0;

	for (size_t i = 0; bridge && i < state->host.links_count; i++)
		ports += state->host.links[i].master == bridge->ifindex;
	model_set_text(network, "type", "bridge");
	json_object_set_new(network, "gateways", gateways);
	json_object_set_new(network, "masquerade", masquerade_of(record, state, gateways));
	model_set_number(network, "ports", ports);
	return network;
}

/* ---- Networks without a bridge are what their ports are. */

static bool has_number(const struct record_entry *entry, uint16_t number)
{
	return entry->kind == RECORD_NETWORK && atoi(entry->value) == number;
}

static bool is_bridge(const struct record_entry *entry)
{
	return !*entry->set || !strcmp(entry->set, network_type_name(NETWORK_BRIDGE));
}

static bool lists(const json_t *texts, const char *text)
{
	const json_t *known;
	size_t i;

	json_array_foreach(texts, i,
			   known) if (!strcmp(json_string_value(known), text)) return true;
	return false;
}

/* Each once: every port has the same ones. */
static json_t *gateways_of_ports(const struct kernel_state *state, uint16_t number)
{
	json_t *gateways = json_array();
	char text[IP_TEXT_MAX];

	for (size_t i = 0; i < state->host.addresses_count; i++) {
		const struct state_address *address = &state->host.addresses[i];
		const struct state_port *port;

		ip_format_prefix(&address->address, text);
		if (is_noise(&address->address) || lists(gateways, text))
			continue;
		port = model_port(state, address->ifindex);
		if (port && port->port.network == number)
			json_array_append_new(gateways, output_string(text));
	}
	return gateways;
}

/* The first port that is not as it should be speaks for all. */
static json_t *ports_object(const struct record *record, const struct kernel_state *state,
			    const struct record_entry *entry)
{
	uint16_t number = (uint16_t)atoi(entry->value);
	const struct state_link *shown = NULL;
	const char *worst = "up";
	json_t *network, *gateways = gateways_of_ports(state, number);
	size_t ports = 0;

	for (size_t i = 0; i < state->datapath.ports_count; i++) {
		const struct state_port *port = &state->datapath.ports[i];
		const struct state_link *link;

		if (port->port.network != number)
			continue;
		ports++;
		link = model_link(&state->host, port->ifindex);
		shown = shown ? shown : link;
		if (!strcmp(worst, "up"))
			worst = model_link_state(link);
	}
	network = link_head(entry->name, shown);
	model_set_text(network, "state", worst);
	model_set_text(network, "type", entry->set);
	json_object_set_new(network, "gateways", gateways);
	json_object_set_new(network, "masquerade", masquerade_of(record, state, gateways));
	model_set_number(network, "ports", ports);
	return network;
}

static const char *network_of(const struct record *record, const struct kernel_state *state,
			      const struct state_link *host, const struct state_port *port)
{
	const struct state_link *bridge =
		host && host->master ? model_link(&state->host, host->master) : NULL;

	for (size_t i = 0; port && i < record->count; i++)
		if (has_number(&record->entries[i], port->port.network) &&
		    !is_bridge(&record->entries[i]))
			return record->entries[i].name;
	return bridge ? bridge->name : NULL;
}

/* All external addresses of a family, the first of them first. */
static void add_externals(json_t *addresses, const struct nsr_uplink *uplink, uint8_t family)
{
	static const uint8_t none[16];
	const size_t size = family == AF_INET ? 4 : 16;

	for (size_t i = 0; i < NSR_EXTERNALS_MAX; i++) {
		struct ip_address ip = {.family = family, .prefix_len = (uint8_t)(8 * size)};
		const void *bytes =
			family == AF_INET
				? (i ? &uplink->more4[i - 1] : &uplink->address4)
				: (const void *)(i ? uplink->more6[i - 1] : uplink->address6);
		char text[IP_TEXT_MAX];

		memcpy(ip.bytes, bytes, size);
		if (memcmp(ip.bytes, none, size))
			json_array_append_new(addresses, output_string(ip_format(&ip, text)));
	}
}

static json_t *uplink_object(const struct kernel_state *state, const char *name)
{
	const struct state_link *link = model_link_named(&state->host, name);
	const struct state_uplink *uplink = link ? model_uplink(state, link->ifindex) : NULL;
	json_t *object = link_head(name, link), *addresses = json_array();
	struct ip_address address = {.family = AF_INET, .prefix_len = 32};
	struct ip_address address6 = {.family = AF_INET6, .prefix_len = 128};
	static const uint8_t none[16];
	char text[IP_TEXT_MAX];
	bool ipv6;

	if (uplink) {
		memcpy(address.bytes, &uplink->uplink.address4, sizeof(uplink->uplink.address4));
		memcpy(address6.bytes, uplink->uplink.address6, sizeof(uplink->uplink.address6));
		add_externals(addresses, &uplink->uplink, AF_INET);
		add_externals(addresses, &uplink->uplink, AF_INET6);
	}
	ipv6 = memcmp(address6.bytes, none, sizeof(none)) != 0;
	model_set_text_or_null(object, "address", uplink ? ip_format(&address, text) : NULL);
	model_set_text_or_null(object, "address6", ipv6 ? ip_format(&address6, text) : NULL);
	json_object_set_new(object, "addresses", addresses);
	model_set_number(object, "port_min", uplink ? uplink->uplink.port_min : 0);
	model_set_number(object, "port_max", uplink ? uplink->uplink.port_max : 0);
	json_object_set_new(object, "attached", json_boolean(model_is_attached(link)));
	return object;
}

/* ---- Namespaces. */

static json_t *interface_object(const struct record *record, const struct kernel_state *state,
				const struct state_namespace *namespace,
				const struct state_link *link)
{
	const struct state_port *port = NULL;
	const struct state_link *host = model_host_end(state, link, &port);
	json_t *interface = link_head(link->name, link);

	json_object_set_new(interface, "addresses", addresses_of(namespace, link->ifindex));
	model_set_text_or_null(interface, "network", network_of(record, state, host, port));
	model_set_text_or_null(interface, "host_end", host ? host->name : NULL);
	json_object_set_new(
		interface, "fast_path",
		json_boolean(port && port->port.flags & NSR_PORT_FAST && model_is_attached(host)));
	return interface;
}

static const char *protocol_name(uint8_t protocol)
{
	switch (protocol) {
	case RTPROT_KERNEL:
		return "kernel";
	case RTPROT_BOOT:
		return "boot";
	case RTPROT_STATIC:
		return "static";
	case RTPROT_RA:
		return "ra";
	case STATE_PROTOCOL:
		return "nsroute";
	default:
		return "other";
	}
}

json_t *model_route(const struct state_namespace *namespace, const struct state_route *route)
{
	const struct state_link *link = model_link(namespace, route->ifindex);
	json_t *object = json_object();
	char to[IP_TEXT_MAX], via[IP_TEXT_MAX];

	model_set_text(object, "to",
		       route->to.prefix_len ? ip_format_prefix(&route->to, to) : "default");
	model_set_text(object, "family", route->to.family == AF_INET6 ? "inet6" : "inet");
	model_set_text_or_null(object, "via",
			       route->via.family ? ip_format(&route->via, via) : NULL);
	model_set_text_or_null(object, "interface", link ? link->name : NULL);
	model_set_text(object, "protocol", protocol_name(route->protocol));
	return object;
}

static const char *namespace_state(const struct state_namespace *namespace)
{
	if (namespace && namespace->exists)
		return "up";
	return namespace && namespace->stale ? "stale" : "missing";
}

static json_t *namespace_object(const struct record *record, const struct kernel_state *state,
				const char *name)
{
	const struct state_namespace *namespace = model_namespace(state, name);
	json_t *object = json_object(), *interfaces = json_array(), *routes = json_array();

	for (size_t i = 0; namespace && i < namespace->links_count; i++) {
		if (model_is_shown(&namespace->links[i]))
			json_array_append_new(interfaces, interface_object(record, state, namespace,
									   &namespace->links[i]));
	}
	for (size_t i = 0; namespace && i < namespace->routes_count; i++) {
		if (!is_noise(&namespace->routes[i].to))
			json_array_append_new(routes,
					      model_route(namespace, &namespace->routes[i]));
	}
	model_set_text(object, "name", name);
	model_set_text(object, "state", namespace_state(namespace));
	json_object_set_new(object, "interfaces", interfaces);
	json_object_set_new(object, "routes", routes);
	return object;
}

/* ---- Links: everything the fabric has, in the host namespace and in its own. */

static void set_link_rest(json_t *object, const char *namespace, const struct state_link *link,
			  const char *master, const char *peer_namespace, const char *peer)
{
	model_set_text_or_null(object, "namespace", namespace);
	model_set_text(object, "kind", link ? link->kind : "");
	model_set_text_or_null(object, "master", master);
	model_set_text_or_null(object, "peer_namespace", peer_namespace);
	model_set_text_or_null(object, "peer", peer);
}

static json_t *host_link_object(const struct record *record, const struct kernel_state *state,
				const char *name)
{
	const struct state_link *link = model_link_named(&state->host, name), *master = NULL;
	const struct state_port *port = link ? model_port(state, link->ifindex) : NULL;
	const char *peer = NULL, *peer_namespace = NULL;
	json_t *object = link_head(name, link);

	if (link && link->master)
		master = model_link(&state->host, link->master);
	for (size_t i = 0; link && link->peer_ifindex && !peer && i < state->namespaces_count;
	     i++) {
		const struct state_namespace *namespace = &state->namespaces[i];
		const struct state_link *inside = model_link(namespace, link->peer_ifindex);

		if (!inside || !model_is_pair(state, link, port, inside) ||
		    !record_has(record, RECORD_NETNS, namespace->name))
			continue;
		peer = inside->name;
		peer_namespace = namespace->name;
	}
	set_link_rest(object, NULL, link, master ? master->name : NULL, peer_namespace, peer);
	return object;
}

static json_t *inside_link_object(const struct kernel_state *state,
				  const struct state_namespace *namespace,
				  const struct state_link *link)
{
	const struct state_port *port;
	const struct state_link *host = model_host_end(state, link, &port);
	const struct state_link *master = link->master ? model_link(namespace, link->master) : NULL;
	const struct state_namespace *other = link->peer_namespace;
	const struct state_link *peer = other ? model_link(other, link->peer_ifindex) : host;
	json_t *object = link_head(link->name, link);

	set_link_rest(object, namespace->name, link, master ? master->name : NULL,
		      other && peer ? other->name : NULL, peer ? peer->name : NULL);
	return object;
}

static void append_inside_links(json_t *links, const struct kernel_state *state, const char *name)
{
	const struct state_namespace *namespace = model_namespace(state, name);

	for (size_t i = 0; namespace && i < namespace->links_count; i++) {
		if (model_is_shown(&namespace->links[i]))
			json_array_append_new(
				links, inside_link_object(state, namespace, &namespace->links[i]));
	}
}

/* ---- Routes: those of the namespaces, and those of the host over the fabric's links. */

static void append_routes(json_t *routes, const struct record *record,
			  const struct state_namespace *namespace)
{
	for (size_t i = 0; i < namespace->routes_count; i++) {
		const struct state_route *route = &namespace->routes[i];
		const struct state_link *link = model_link(namespace, route->ifindex);
		json_t *object;

		if (is_noise(&route->to))
			continue;
		if (!namespace->name && (!link || !record_has(record, RECORD_LINK, link->name)))
			continue;
		object = model_route(namespace, route);
		model_set_text_or_null(object, "namespace", namespace->name);
		json_array_append_new(routes, object);
	}
}

/* ---- Published ports. */

/* "UPLINK/PROTOCOL/PORTS", and the address and port inside. Protocols are "tcp", "tcp6" and so on;
 * the address tells the family. */
static json_t *published_object(const struct record_entry *entry)
{
	size_t uplink = strcspn(entry->name, "/");
	const char *protocol = entry->name + uplink + (entry->name[uplink] == '/');
	size_t length = strcspn(protocol, "/"), word = strcspn(protocol, "6/");

	return json_pack("{s:s%, s:s%, s:o, s:o}", "uplink", entry->name, uplink, "protocol",
			 protocol, word, "ports",
			 output_string(protocol + length + (protocol[length] == '/')), "inside",
			 output_string(entry->value));
}

static json_t *published_of(const struct record *record)
{
	json_t *published = json_array();

	for (size_t i = 0; i < record->count; i++)
		if (record->entries[i].kind == RECORD_PUBLISHED)
			json_array_append_new(published, published_object(&record->entries[i]));
	return published;
}

/* ---- The whole. */

static void append_entry(json_t *networks, json_t *uplinks, json_t *namespaces, json_t *links,
			 const struct record *record, const struct kernel_state *state,
			 const struct record_entry *entry)
{
	const struct state_namespace *namespace;
	const struct state_link *link;

	switch (entry->kind) {
	case RECORD_NETWORK:
		json_array_append_new(networks, is_bridge(entry)
							? bridge_object(record, state, entry->name)
							: ports_object(record, state, entry));
		break;
	case RECORD_UPLINK:
		json_array_append_new(uplinks, uplink_object(state, entry->name));
		break;
	case RECORD_NETNS:
		json_array_append_new(namespaces, namespace_object(record, state, entry->name));
		append_inside_links(links, state, entry->name);
		break;
	case RECORD_LINK:
		json_array_append_new(links, host_link_object(record, state, entry->name));
		break;
	case RECORD_LINK_INSIDE:
		link = model_link_at(state, entry->name, &namespace);
		if (link && !record_has(record, RECORD_NETNS, namespace->name))
			json_array_append_new(links, inside_link_object(state, namespace, link));
		break;
	default:
		break;
	}
}

json_t *output_show(const struct record *record, const struct kernel_state *state,
		    unsigned int sections)
{
	json_t *fabric = model_fabric(record, state);
	json_t *networks = json_array(), *uplinks = json_array(), *namespaces = json_array(),
	       *links = json_array(), *routes = json_array();

	for (size_t i = 0; i < record->count; i++)
		append_entry(networks, uplinks, namespaces, links, record, state,
			     &record->entries[i]);
	append_routes(routes, record, &state->host);
	for (size_t i = 0; i < state->namespaces_count; i++) {
		if (record_has(record, RECORD_NETNS, state->namespaces[i].name))
			append_routes(routes, record, &state->namespaces[i]);
	}
	json_object_set_new(fabric, "networks", networks);
	json_object_set_new(fabric, "uplinks", uplinks);
	json_object_set_new(fabric, "namespaces", namespaces);
	json_object_set_new(fabric, "published", published_of(record));
	json_object_set_new(fabric, "links", links);
	json_object_set_new(fabric, "routes", routes);
	if (!(sections & OUTPUT_NETWORKS)) {
		json_object_del(fabric, "networks");
		json_object_del(fabric, "uplinks");
	}
	if (!(sections & OUTPUT_NAMESPACES)) {
		json_object_del(fabric, "namespaces");
		json_object_del(fabric, "published");
	}
	if (!(sections & OUTPUT_LINKS))
		json_object_del(fabric, "links");
	if (!(sections & OUTPUT_ROUTES))
		json_object_del(fabric, "routes");
	return fabric;
}

json_t *output_summary(const struct record *record, const struct kernel_state *state)
{
	json_t *fabric = model_fabric(record, state);
	size_t networks = 0, namespaces = 0;

	for (size_t i = 0; i < record->count; i++) {
		networks += record->entries[i].kind == RECORD_NETWORK;
		namespaces += record->entries[i].kind == RECORD_NETNS;
	}
	model_set_number(fabric, "network_count", networks);
	model_set_number(fabric, "namespace_count", namespaces);
	return fabric;
}
