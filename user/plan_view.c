/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: one pass over the observed state enters every object in a table by the key of the
 * operation that would make it. Objects name their link by ifindex, operations by name, so links
 * go first. What names a link that is gone (an entry of the datapath, whose link somebody deleted)
 * has no key and is found by plan_extra.c, which walks the tables.
 */
#include "plan_view.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define RECORD_KEY_MAX 256

static const char *where(const char *namespace)
{
	return namespace ? namespace : ""; /* a namespace's name is never empty */
}

static void address_text(const struct ip_address *ip, char buffer[IP_TEXT_MAX])
{
	if (ip->family)
		ip_format_prefix(ip, buffer);
	else
		buffer[0] = '\0';
}

char *operation_key(const struct operation *op, char buffer[OPERATION_KEY_MAX])
{
	char address[IP_TEXT_MAX], via[IP_TEXT_MAX], mac[MAC_TEXT_MAX];
	const char *namespace = where(op->namespace), *link = op->link ? op->link : "";

	/* Only what the key has: a plan makes some hundred thousand of them. */
	address_text(&op->address, address);
	switch (op->kind) {
	case OPERATION_NETNS_ADD:
	case OPERATION_NETNS_DELETE:
		snprintf(buffer, OPERATION_KEY_MAX, "netns/%s", namespace);
		break;
	case OPERATION_BRIDGE_ADD:
	case OPERATION_VETH_ADD:
	case OPERATION_LINK_SET:
	case OPERATION_LINK_DELETE:
	case OPERATION_LINK_MOVE:
		snprintf(buffer, OPERATION_KEY_MAX, "link/%s/%s", namespace, link);
		break;
	case OPERATION_ADDRESS_ADD:
	case OPERATION_ADDRESS_DELETE:
		snprintf(buffer, OPERATION_KEY_MAX, "address/%s/%s/%s/%d", namespace, link, address,
			 op->no_prefix_route);
		break;
	case OPERATION_ROUTE_ADD:
	case OPERATION_ROUTE_DELETE:
		address_text(&op->via, via);
		snprintf(buffer, OPERATION_KEY_MAX, "route/%s/%s/%s/%s", namespace, link, address,
			 via);
		break;
	case OPERATION_NEIGHBOUR_ADD:
	case OPERATION_NEIGHBOUR_DELETE:
		snprintf(buffer, OPERATION_KEY_MAX, "neighbour/%s/%s/%s", namespace, link, address);
		break;
	case OPERATION_FDB_ADD:
	case OPERATION_FDB_DELETE:
		mac_format(op->mac, mac);
		snprintf(buffer, OPERATION_KEY_MAX, "fdb/%s/%s/%s", namespace, link, mac);
		break;
	case OPERATION_DEVICE_TAKE:
	case OPERATION_DEVICE_RETURN:
		snprintf(buffer, OPERATION_KEY_MAX, "device/%s/%s", namespace, link);
		break;
	case OPERATION_SYSCTL_SET:
	case OPERATION_OFFLOAD_SET:
		snprintf(buffer, OPERATION_KEY_MAX, "sysctl/%s/%s", namespace, op->key);
		break;
	case OPERATION_INNER_LINK_ADD:
	case OPERATION_INNER_LINK_DELETE:
		snprintf(buffer, OPERATION_KEY_MAX, "inner/%s", link);
		break;
	case OPERATION_PORT_ADD:
	case OPERATION_PORT_DELETE:
		snprintf(buffer, OPERATION_KEY_MAX, "port/%s", link);
		break;
	case OPERATION_HOST_ADD:
	case OPERATION_HOST_DELETE:
		if (op->address.family)
			snprintf(buffer, OPERATION_KEY_MAX, "host/%s", address);
		else
			snprintf(buffer, OPERATION_KEY_MAX, "host/%u/%s", op->network,
				 mac_format(op->mac, mac));
		break;
	case OPERATION_UPLINK_ADD:
	case OPERATION_UPLINK_DELETE:
		snprintf(buffer, OPERATION_KEY_MAX, "uplink/%s", link);
		break;
	case OPERATION_INSIDE_ADD:
	case OPERATION_INSIDE_DELETE:
		snprintf(buffer, OPERATION_KEY_MAX, "inside/%s", address);
		break;
	case OPERATION_PUBLISH_ADD:
	case OPERATION_PUBLISH_DELETE:
		address_text(&op->external, via);
		snprintf(buffer, OPERATION_KEY_MAX, "publish/%s/%s/%u/%u-%u/%s/%u", link, via,
			 op->ports.protocol, op->ports.external, op->ports.count, address,
			 op->ports.inside);
		break;
	case OPERATION_NETWORK_ADD:
		snprintf(buffer, OPERATION_KEY_MAX, "network/%s", link);
		break;
	case OPERATION_OVS_PORT_ADD:
	case OPERATION_OVS_PORT_DELETE:
		snprintf(buffer, OPERATION_KEY_MAX, "ovs/%s/%s", op->master, link);
		break;
	case OPERATION_DIRECTORY_ADD:
	case OPERATION_DIRECTORY_DELETE:
	case OPERATION_FILE_WRITE:
	case OPERATION_FILE_DELETE:
		snprintf(buffer, OPERATION_KEY_MAX, "file/%s", op->path);
		break;
	case OPERATION_PORTS_RESERVE:
	case OPERATION_PORTS_SET_ASIDE:
	case OPERATION_DATAPATH_LOAD:
	case OPERATION_DATAPATH_UNLOAD:
	case OPERATION_DATAPATH_EXCHANGE:
	case OPERATION_PROGRAMS_ADD:
	case OPERATION_PROGRAMS_REMOVE:
	case OPERATION_FORGET:
	case OPERATION_ADOPT:
	case OPERATION_KINDS:
		snprintf(buffer, OPERATION_KEY_MAX, "kind/%d/%s", (int)op->kind, link);
		break;
	}
	return buffer;
}

/* ---- Filling. */

struct ip_address plan_host_address(struct ip_address ip)
{
	if (ip.family)
		ip.prefix_len = (uint8_t)ip_bits(&ip);
	return ip;
}

static void enter(struct view *view, const struct operation *twin, void *object)
{
	char key[OPERATION_KEY_MAX];

	operation_key(twin, key);
	if (!lookup_find(&view->objects, key))
		lookup_add(&view->objects, view->arena, arena_strdup(view->arena, key), object);
}

static char *index_key(char buffer[OPERATION_KEY_MAX], const char *namespace, uint32_t ifindex)
{
	snprintf(buffer, OPERATION_KEY_MAX, "%u/%s", ifindex, where(namespace));
	return buffer;
}

/* Name of the link, NULL when it is gone. */
static const char *name_of(const struct view *view, const char *namespace, uint32_t ifindex)
{
	const struct state_link *link = view_link_by_index(view, namespace, ifindex);

	return link ? link->name : NULL;
}

static void enter_links(struct view *view, const struct state_namespace *ns)
{
	char key[OPERATION_KEY_MAX];

	enter(view, &(struct operation){.kind = OPERATION_NETNS_ADD, .namespace = ns->name},
	      (void *)ns);
	for (size_t i = 0; i < ns->links_count; i++) {
		struct state_link *link = &ns->links[i];

		index_key(key, ns->name, link->ifindex);
		lookup_add(&view->links, view->arena, arena_strdup(view->arena, key), link);
		enter(view,
		      &(struct operation){.kind = OPERATION_VETH_ADD,
					  .namespace = ns->name,
					  .link = link->name},
		      link);
	}
}

static void enter_neighbour(struct view *view, const struct state_namespace *ns,
			    struct state_neighbour *neighbour)
{
	struct operation twin = {.kind = OPERATION_NEIGHBOUR_ADD,
				 .namespace = ns->name,
				 .link = name_of(view, ns->name, neighbour->ifindex),
				 .address = plan_host_address(neighbour->ip)};
	bool fdb = !neighbour->ip.family;

	if (!twin.link || !(neighbour->state & (fdb ? NUD_NOARP : NUD_PERMANENT)))
		return; /* learned: the kernel's */
	if (fdb)
		twin.kind = OPERATION_FDB_ADD;
	memcpy(twin.mac, neighbour->mac, sizeof(twin.mac));
	enter(view, &twin, neighbour);
}

static void enter_namespace(struct view *view, const struct state_namespace *ns)
{
	struct operation twin = {.namespace = ns->name};

	enter_links(view, ns);
	twin.kind = OPERATION_ADDRESS_ADD;
	for (size_t i = 0; i < ns->addresses_count; i++) {
		twin.link = name_of(view, ns->name, ns->addresses[i].ifindex);
		twin.address = ns->addresses[i].address;
		twin.no_prefix_route = ns->addresses[i].flags & IFA_F_NOPREFIXROUTE;
		enter(view, &twin, &ns->addresses[i]);
	}
	twin.kind = OPERATION_ROUTE_ADD;
	for (size_t i = 0; i < ns->routes_count; i++) {
		twin.link = name_of(view, ns->name, ns->routes[i].ifindex);
		twin.address = ns->routes[i].to;
		twin.via = plan_host_address(ns->routes[i].via);
		enter(view, &twin, &ns->routes[i]);
	}
	for (size_t i = 0; i < ns->neighbours_count; i++)
		enter_neighbour(view, ns, &ns->neighbours[i]);
	twin = (struct operation){.kind = OPERATION_SYSCTL_SET, .namespace = ns->name};
	for (size_t i = 0; i < ns->sysctls_count; i++) {
		twin.key = ns->sysctls[i].key;
		enter(view, &twin, &ns->sysctls[i]);
	}
}

static char *source_key(char buffer[OPERATION_KEY_MAX], uint32_t port,
			const struct ip_address *prefix)
{
	char text[IP_TEXT_MAX] = "";

	if (prefix)
		address_text(prefix, text);
	snprintf(buffer, OPERATION_KEY_MAX, "%u/%s", port, text);
	return buffer;
}

static void enter_sources(struct view *view, const struct state_datapath *datapath)
{
	char key[OPERATION_KEY_MAX];

	for (size_t i = 0; i < datapath->sources_count; i++) {
		struct state_source *source = &datapath->sources[i];
		size_t *count = lookup_find(&view->sources, source_key(key, source->port, NULL));

		if (!count) {
			count = arena_alloc(view->arena, sizeof(*count));
			lookup_add(&view->sources, view->arena, arena_strdup(view->arena, key),
				   count);
		}
		++*count;
		source_key(key, source->port, &source->prefix);
		lookup_add(&view->sources, view->arena, arena_strdup(view->arena, key), source);
	}
}

/* Of a slot that is not the uplink's first. */
static struct ip_address external_of(const struct nsr_uplink *uplink, uint32_t slot, bool ipv6)
{
	struct ip_address external = {.family = ipv6 ? AF_INET6 : AF_INET};

	external.prefix_len = (uint8_t)ip_bits(&external);
	for (size_t i = 0; slot != uplink->index && i < NSR_MORE_MAX; i++) {
		if (uplink->slots[i] != slot)
			continue;
		memcpy(external.bytes, ipv6 ? (const void *)uplink->more6[i] : &uplink->more4[i],
		       ip_bits(&external) / 8);
		return external;
	}
	return (struct ip_address){0};
}

static void enter_published(struct view *view, const struct state_datapath *datapath)
{
	for (size_t i = 0; i < datapath->published_count; i++) {
		struct state_published *observed = &datapath->published[i];
		const struct nsr_published6 *published = &observed->published;
		const struct state_uplink *uplink =
			view_uplink_by_slot(view, published->inside.uplink);
		struct operation twin = {
			.kind = OPERATION_PUBLISH_ADD,
			.link = uplink ? name_of(view, NULL, uplink->uplink.ifindex) : NULL,
			.address = {.family = observed->ipv6 ? AF_INET6 : AF_INET},
			.ports = {.protocol = published->inside.protocol,
				  .external = NSR_MAPPING_PORT(observed->mapping),
				  .inside = ntohs(published->inside.port),
				  .count = published->count}};

		twin.address.prefix_len = (uint8_t)ip_bits(&twin.address);
		memcpy(twin.address.bytes, &published->inside.address, ip_bits(&twin.address) / 8);
		if (uplink)
			twin.external =
				external_of(&uplink->uplink, NSR_MAPPING_SLOT(observed->mapping),
					    observed->ipv6);
		if (twin.link)
			enter(view, &twin, observed);
	}
}

static void enter_datapath(struct view *view, const struct state_datapath *datapath)
{
	struct operation twin = {.kind = OPERATION_PORT_ADD};

	for (size_t i = 0; i < datapath->ports_count; i++) {
		twin.link = name_of(view, NULL, datapath->ports[i].ifindex);
		if (twin.link)
			enter(view, &twin, &datapath->ports[i]);
	}
	twin.kind = OPERATION_UPLINK_ADD;
	for (size_t i = 0; i < datapath->uplinks_count; i++) {
		twin.link = name_of(view, NULL, datapath->uplinks[i].uplink.ifindex);
		if (twin.link)
			enter(view, &twin, &datapath->uplinks[i]);
	}
	twin.kind = OPERATION_INNER_LINK_ADD;
	for (size_t i = 0; i < datapath->inner_links_count; i++) {
		twin.link = name_of(view, NULL, datapath->inner_links[i].ifindex);
		if (twin.link)
			enter(view, &twin, &datapath->inner_links[i]);
	}
	twin.kind = OPERATION_INSIDE_ADD;
	for (size_t i = 0; i < datapath->inside_count; i++) {
		twin.address = datapath->inside[i].prefix;
		enter(view, &twin, &datapath->inside[i]);
	}
	twin.kind = OPERATION_HOST_ADD;
	for (size_t i = 0; i < datapath->endpoints_count; i++) {
		twin.address = plan_host_address(datapath->endpoints[i].ip);
		twin.network = datapath->endpoints[i].key.network;
		memcpy(twin.mac, datapath->endpoints[i].key.mac, sizeof(twin.mac));
		enter(view, &twin, &datapath->endpoints[i]);
	}
	enter_published(view, datapath);
	enter_sources(view, datapath);
}

static char *record_key(char buffer[RECORD_KEY_MAX], enum record_kind kind, const char *name)
{
	snprintf(buffer, RECORD_KEY_MAX, "%d/%s", (int)kind, name);
	return buffer;
}

static void enter_record(struct view *view, struct lookup *lookup, const struct record *record)
{
	char key[RECORD_KEY_MAX];

	for (size_t i = 0; record && i < record->count; i++) {
		record_key(key, record->entries[i].kind, record->entries[i].name);
		lookup_add(lookup, view->arena, arena_strdup(view->arena, key),
			   &record->entries[i]);
	}
}

void view_init(struct view *view, const struct kernel_state *state, const struct record *record,
	       const char *fabric, struct arena *arena)
{
	view->state = state;
	view->arena = arena;
	view->fabric = fabric;
	view->alias = arena_printf(arena, "nsroute:%s", fabric);
	enter_namespace(view, &state->host);
	for (size_t i = 0; i < state->namespaces_count; i++)
		enter_namespace(view, &state->namespaces[i]);
	enter_datapath(view, &state->datapath);
	for (size_t i = 0; i < state->files_count; i++)
		enter(view,
		      &(struct operation){.kind = OPERATION_FILE_WRITE,
					  .path = state->files[i].path},
		      &state->files[i]);
	enter_record(view, &view->records, record);
	for (size_t i = 0; i < state->others_count; i++)
		enter_record(view, &view->others, &state->others[i]);
	enter_record(view, &view->steps, state->steps);
	for (size_t i = 0; record && i < record->count; i++)
		if (record->entries[i].kind == RECORD_NETWORK)
			view->networks[(uint16_t)atoi(record->entries[i].value)] = true;
}

/* ---- Asking. */

void *view_find(const struct view *view, const struct operation *op)
{
	char key[OPERATION_KEY_MAX];

	return lookup_find(&view->objects, operation_key(op, key));
}

const struct state_namespace *view_namespace(const struct view *view, const char *name)
{
	return view_find(view, &(struct operation){.kind = OPERATION_NETNS_ADD, .namespace = name});
}

const struct state_namespace *view_space(const struct view *view, const char *name)
{
	return name ? view_namespace(view, name) : &view->state->host;
}

const struct state_link *view_link(const struct view *view, const char *namespace, const char *name)
{
	struct operation twin = {.kind = OPERATION_VETH_ADD, .namespace = namespace, .link = name};
	char key[OPERATION_KEY_MAX];

	operation_key(&twin, key);
	return lookup_find(&view->remade, key) ? NULL : lookup_find(&view->objects, key);
}

const struct state_link *view_link_by_index(const struct view *view, const char *namespace,
					    uint32_t ifindex)
{
	char key[OPERATION_KEY_MAX];

	return lookup_find(&view->links, index_key(key, namespace, ifindex));
}

const struct state_uplink *view_uplink_by_slot(const struct view *view, uint32_t index)
{
	const struct state_datapath *datapath = &view->state->datapath;

	for (size_t i = 0; i < datapath->uplinks_count; i++)
		if (datapath->uplinks[i].uplink.index == index)
			return &datapath->uplinks[i];
	return NULL;
}

bool view_port_knows(const struct view *view, const struct state_link *link, const uint8_t mac[6])
{
	struct operation twin = {.kind = OPERATION_PORT_ADD, .link = link->name};
	const struct state_port *port = view_find(view, &twin);
	const struct state_endpoint *endpoint;

	if (!port || !view->networks[port->port.network])
		return false;
	twin = (struct operation){.kind = OPERATION_HOST_ADD, .network = port->port.network};
	memcpy(twin.mac, mac, sizeof(twin.mac));
	endpoint = view_find(view, &twin);
	return endpoint && endpoint->endpoint.ifindex == link->ifindex;
}

bool view_sources_equal(const struct view *view, uint32_t port, const struct ip_address *sources,
			size_t count)
{
	char key[OPERATION_KEY_MAX];
	const size_t *observed = lookup_find(&view->sources, source_key(key, port, NULL));

	if (count != (observed ? *observed : 0))
		return false;
	for (size_t i = 0; i < count; i++)
		if (!lookup_find(&view->sources, source_key(key, port, &sources[i])))
			return false;
	return true;
}

const struct record_entry *view_recorded(const struct view *view, enum record_kind kind,
					 const char *name)
{
	char key[RECORD_KEY_MAX];

	return lookup_find(&view->records, record_key(key, kind, name));
}

const struct record_entry *view_recorded_elsewhere(const struct view *view, enum record_kind kind,
						   const char *name)
{
	char key[RECORD_KEY_MAX];

	return lookup_find(&view->others, record_key(key, kind, name));
}

static bool namespace_is_as_recorded(const struct record_entry *entry, const char *alias,
				     const struct state_namespace *ns)
{
	return entry &&
	       (ns->stale || (!strcmp(ns->alias, alias) && record_is_namespace(entry, ns->cookie)));
}

bool view_namespace_is_ours(const struct view *view, const struct state_namespace *ns)
{
	return namespace_is_as_recorded(view_recorded(view, RECORD_NETNS, ns->name), view->alias,
					ns);
}

static bool is_as_recorded(const struct record_entry *entry, const char *alias,
			   const struct state_link *link)
{
	char mac[MAC_TEXT_MAX];

	if (!entry)
		return false;
	if (link->alias[0])
		return !strcmp(link->alias, alias);
	return !strcmp(entry->value, mac_format(link->mac, mac));
}

bool view_link_is_ours(const struct view *view, const struct state_link *link)
{
	return is_as_recorded(view_recorded(view, RECORD_LINK, link->name), view->alias, link);
}

bool view_inner_link_is_ours(const struct view *view, const char *namespace,
			     const struct state_link *link)
{
	const struct state_namespace *ns = view_namespace(view, namespace);
	const struct record_entry *entry = view_recorded(view, RECORD_NETNS, namespace);

	if (ns && entry && !record_is_namespace(entry, ns->cookie))
		return false;
	return is_as_recorded(
		view_recorded(view, RECORD_LINK_INSIDE, view_place(view, namespace, link->name)),
		view->alias, link);
}

char *view_place(const struct view *view, const char *namespace, const char *link)
{
	return arena_printf(view->arena, "%s/%s", where(namespace), link);
}

const struct record_entry *view_recorded_by_steps(const struct view *view, enum record_kind kind,
						  const char *name)
{
	char key[RECORD_KEY_MAX];

	return lookup_find(&view->steps, record_key(key, kind, name));
}

bool view_namespace_is_of_steps(const struct view *view, const struct state_namespace *ns)
{
	return namespace_is_as_recorded(view_recorded_by_steps(view, RECORD_NETNS, ns->name),
					STEPS_ALIAS, ns);
}

bool view_link_is_of_steps(const struct view *view, const char *namespace,
			   const struct state_link *link)
{
	return is_as_recorded(
		namespace ? view_recorded_by_steps(view, RECORD_LINK_INSIDE,
						   view_place(view, namespace, link->name))
			  : view_recorded_by_steps(view, RECORD_LINK, link->name),
		STEPS_ALIAS, link);
}

/* ---- Marks. */

void view_remake(struct view *view, const char *namespace, const char *link)
{
	struct operation twin = {.kind = OPERATION_VETH_ADD, .namespace = namespace, .link = link};
	char key[OPERATION_KEY_MAX];

	operation_key(&twin, key);
	lookup_add(&view->remade, view->arena, arena_strdup(view->arena, key), view);
}

static char *shaken_key(char buffer[OPERATION_KEY_MAX], enum shaken what, const char *namespace,
			const char *link, const struct ip_address *address)
{
	struct ip_address subnet = ip_network(address);
	char text[IP_TEXT_MAX] = "";

	if (what == SHAKEN_ADDRESSES)
		ip_format_prefix(&subnet, text);
	snprintf(buffer, OPERATION_KEY_MAX, "%d/%u/%s/%s/%s", (int)what, address->family,
		 where(namespace), link, text);
	return buffer;
}

void view_shake(struct view *view, enum shaken what, const char *namespace, const char *link,
		const struct ip_address *address)
{
	char key[OPERATION_KEY_MAX];

	shaken_key(key, what, namespace, link, address);
	lookup_add(&view->shaken, view->arena, arena_strdup(view->arena, key), view);
}

bool view_is_shaken(const struct view *view, enum shaken what, const char *namespace,
		    const char *link, const struct ip_address *address)
{
	static const struct ip_address both;
	char key[OPERATION_KEY_MAX];

	if (lookup_find(&view->shaken, shaken_key(key, what, namespace, link, address)))
		return true;
	return what == SHAKEN_NEIGHBOURS &&
	       lookup_find(&view->shaken, shaken_key(key, what, namespace, link, &both));
}
