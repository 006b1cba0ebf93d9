/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * output_steps - the lists that single steps ask for. What a namespace has is shown as it is,
 * whoever made it, and whose it is.
 */
#include "output.h"

#include <netinet/in.h>
#include <string.h>

#include "output_model.h"
#include "output_table.h"

/* ---- Models. */

void output_owner(json_t *object, const char *alias)
{
	static const char mark[] = "nsroute:";
	const char *fabric =
		alias && strncmp(alias, mark, strlen(mark)) == 0 ? alias + strlen(mark) : NULL;
	bool by_step = fabric && strcmp(fabric, RECORD_STEPS) == 0;

	model_set_text(object, "owner", by_step ? "nsroute" : fabric ? "fabric" : "other");
	model_set_text_or_null(object, "fabric", by_step ? NULL : fabric);
}

static bool is_asked_for(const struct state_link *link, const char *name)
{
	return link && (!name || strcmp(link->name, name) == 0);
}

static json_t *link_object(const struct state_namespace *namespace, const struct state_link *link)
{
	const struct state_link *master = link->master ? model_link(namespace, link->master) : NULL;
	json_t *object = json_object();
	char mac[MAC_TEXT_MAX];

	model_set_text(object, "name", link->name);
	model_set_text(object, "state", model_link_state(link));
	model_set_text(object, "kind", link->kind);
	model_set_text(object, "mac", mac_format(link->mac, mac));
	model_set_number(object, "mtu", link->mtu);
	model_set_text_or_null(object, "master", master ? master->name : NULL);
	output_owner(object, link->alias);
	return object;
}

json_t *output_links(const struct state_namespace *namespace, const char *name)
{
	json_t *links = json_array();

	for (size_t i = 0; i < namespace->links_count; i++) {
		if (is_asked_for(&namespace->links[i], name))
			json_array_append_new(links, link_object(namespace, &namespace->links[i]));
	}
	return json_pack("{s:o}", "links", links);
}

static json_t *ports_of(const struct state_namespace *namespace, const struct state_link *bridge)
{
	json_t *ports = json_array();

	for (size_t i = 0; i < namespace->links_count; i++) {
		if (namespace->links[i].master == bridge->ifindex)
			json_array_append_new(ports, output_string(namespace->links[i].name));
	}
	return ports;
}

json_t *output_bridges(const struct state_namespace *namespace, const char *name)
{
	json_t *bridges = json_array();

	for (size_t i = 0; i < namespace->links_count; i++) {
		const struct state_link *link = &namespace->links[i];
		json_t *bridge;

		if (strcmp(link->kind, "bridge") != 0 || !is_asked_for(link, name))
			continue;
		bridge = json_object();
		model_set_text(bridge, "name", link->name);
		model_set_text(bridge, "state", model_link_state(link));
		output_owner(bridge, link->alias);
		json_object_set_new(bridge, "ports", ports_of(namespace, link));
		json_array_append_new(bridges, bridge);
	}
	return json_pack("{s:o}", "bridges", bridges);
}

json_t *output_addresses(const struct state_namespace *namespace, const char *name)
{
	json_t *addresses = json_array();
	char text[IP_TEXT_MAX];

	for (size_t i = 0; i < namespace->addresses_count; i++) {
		const struct state_address *address = &namespace->addresses[i];
		const struct state_link *link = model_link(namespace, address->ifindex);
		json_t *object;

		if (!is_asked_for(link, name))
			continue;
		object = json_object();
		model_set_text(object, "interface", link->name);
		model_set_text(object, "address", ip_format_prefix(&address->address, text));
		model_set_text(object, "family",
			       address->address.family == AF_INET6 ? "inet6" : "inet");
		json_array_append_new(addresses, object);
	}
	return json_pack("{s:o}", "addresses", addresses);
}

json_t *output_routes(const struct state_namespace *namespace, const char *name)
{
	json_t *routes = json_array();

	for (size_t i = 0; i < namespace->routes_count; i++) {
		const struct state_route *route = &namespace->routes[i];

		if (!name || is_asked_for(model_link(namespace, route->ifindex), name))
			json_array_append_new(routes, model_route(namespace, route));
	}
	return json_pack("{s:o}", "routes", routes);
}

/* ---- Text: the keys of the first object are the columns. */

static const char *cell_text(const json_t *value, struct arena *arena)
{
	const char *text = "";
	json_t *element;
	size_t i;

	if (json_is_string(value))
		return json_string_value(value);
	if (json_is_integer(value))
		return arena_printf(arena, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	json_array_foreach(value, i, element)
	{
		text = arena_printf(arena, "%s%s%s", text, i ? " " : "",
				    json_string_value(element));
	}
	return text;
}

void output_list_text(FILE *out, const json_t *list, bool color)
{
	struct table_column columns[TABLE_COLUMNS_MAX] = {{0}};
	const json_t *rows = json_object_iter_value(json_object_iter((json_t *)list));
	struct arena arena = {0};
	struct table table;
	const char *key;
	json_t *row, *value;
	size_t i, count = 0;

	json_object_foreach(json_array_get(rows, 0), key, value)
	{
		if (count < TABLE_COLUMNS_MAX)
			columns[count++] = (struct table_column){.title = key};
	}
	if (count > 0) {
		table_init(&table, &arena, columns, count);
		json_array_foreach(rows, i, row)
		{
			for (size_t column = 0; column < count; column++)
				table_add(&table,
					  cell_text(json_object_get(row, columns[column].title),
						    &arena));
		}
		table_print(&table, out, color);
	}
	arena_free(&arena);
}
