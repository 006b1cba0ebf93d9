/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * output_text - tables laid out from the model that -j prints.
 *
 * Keys that the model does not have read as "" or 0, which a table shows as "-" and 0.
 */
#include "output.h"

#include <inttypes.h>
#include <string.h>

#include "arena.h"
#include "output_table.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static json_int_t number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void add_text(struct table *table, const json_t *object, const char *key)
{
	table_add(table, text_of(object, key));
}

static void add_value(struct table *table, json_int_t value)
{
	table_add(table, arena_printf(table->arena, "%" JSON_INTEGER_FORMAT, value));
}

static void add_number(struct table *table, const json_t *object, const char *key)
{
	add_value(table, number_of(object, key));
}

static void add_state(struct table *table, const json_t *object)
{
	const char *state = text_of(object, "state");

	table_add_painted(table, state, strcmp(state, "up") == 0 ? TABLE_GOOD : TABLE_BAD);
}

/* An array of strings, separated by blanks. */
static void add_list(struct table *table, const json_t *array)
{
	const char *text = "";
	json_t *value;
	size_t i;

	json_array_foreach(array, i, value) text =
		arena_printf(table->arena, "%s%s%s", text, i ? " " : "", json_string_value(value));
	table_add(table, text);
}

/* A table that has rows, with a blank line before it. */
static void print_table(const struct table *table, FILE *out, bool color)
{
	if (table->count == 0)
		return;
	fputc('\n', out);
	table_print(table, out, color);
}

/* ---- show */

/* How many destinations are not translated; all of them are in the JSON. */
static const char *excepted(struct arena *arena, const json_t *masquerade)
{
	size_t count = json_array_size(json_object_get(masquerade, "except"));

	return count ? arena_printf(arena, " but for %zu", count) : "";
}

static void networks_table(struct table *table, const json_t *fabric)
{
	static const struct table_column columns[] = {
		{"NETWORK", false}, {"TYPE", false},    {"STATE", false},
		{"PORTS", true},    {"MTU", true},      {"BIG TCP", false},
		{"MAC", false},     {"GATEWAY", false}, {"MASQUERADE", false}};
	json_t *network, *masquerade;
	size_t i, j;

	table_init(table, table->arena, columns, COUNT(columns));
	json_array_foreach(json_object_get(fabric, "networks"), i, network)
	{
		const char *text = "";

		add_text(table, network, "name");
		add_text(table, network, "type");
		add_state(table, network);
		add_number(table, network, "ports");
		add_number(table, network, "mtu");
		add_list(table, json_object_get(network, "big_tcp"));
		add_text(table, network, "mac");
		add_list(table, json_object_get(network, "gateways"));
		json_array_foreach(json_object_get(network, "masquerade"), j, masquerade) text =
			arena_printf(table->arena, "%s%s%s to %s%s", text, j ? ", " : "",
				     text_of(masquerade, "prefix"), text_of(masquerade, "uplink"),
				     excepted(table->arena, masquerade));
		table_add(table, text);
	}
}

static char *addresses_text(struct arena *arena, const json_t *uplink)
{
	const json_t *addresses = json_object_get(uplink, "addresses"), *address;
	char *list = arena_printf(arena, "%s",
				  json_array_size(addresses) ? "" : text_of(uplink, "address"));
	size_t i;

	json_array_foreach(addresses, i, address) list =
		arena_printf(arena, "%s%s%s", list, i ? ", " : "", json_string_value(address));
	return list;
}

static void uplinks_table(struct table *table, const json_t *fabric)
{
	static const struct table_column columns[] = {{"UPLINK", false},
						      {"STATE", false},
						      {"ADDRESS", false},
						      {"PORTS", false},
						      {"PROGRAMS", false}};
	json_t *uplink;
	size_t i;

	table_init(table, table->arena, columns, COUNT(columns));
	json_array_foreach(json_object_get(fabric, "uplinks"), i, uplink)
	{
		bool attached = json_is_true(json_object_get(uplink, "attached"));

		add_text(table, uplink, "name");
		add_state(table, uplink);
		table_add(table, addresses_text(table->arena, uplink));
		table_add(table, arena_printf(table->arena,
					      "%" JSON_INTEGER_FORMAT "-%" JSON_INTEGER_FORMAT,
					      number_of(uplink, "port_min"),
					      number_of(uplink, "port_max")));
		table_add_painted(table, attached ? "attached" : "missing",
				  attached ? TABLE_GOOD : TABLE_BAD);
	}
}

static void namespace_rows(struct table *table, const json_t *namespace)
{
	const json_t *interfaces = json_object_get(namespace, "interfaces");
	json_t *interface;
	size_t i;

	if (json_array_size(interfaces) == 0) {
		add_text(table, namespace, "name");
		table_add(table, "");
		add_state(table, namespace);
		for (size_t blank = 3; blank < table->columns_count; blank++)
			table_add(table, "");
	}
	json_array_foreach(interfaces, i, interface)
	{
		const char *host_end = text_of(interface, "host_end");
		bool fast = json_is_true(json_object_get(interface, "fast_path"));

		add_text(table, namespace, "name");
		add_text(table, interface, "name");
		add_state(table, interface);
		add_text(table, interface, "network");
		table_add(table, host_end);
		table_add(table, fast ? "fast" : "kernel");
		add_text(table, interface, "mac");
		add_list(table, json_object_get(interface, "addresses"));
	}
}

static void namespaces_table(struct table *table, const json_t *fabric)
{
	static const struct table_column columns[] = {
		{"NAMESPACE", false}, {"INTERFACE", false}, {"STATE", false}, {"NETWORK", false},
		{"HOST END", false},  {"PATH", false},      {"MAC", false},   {"ADDRESSES", false}};
	json_t *namespace;
	size_t i;

	table_init(table, table->arena, columns, COUNT(columns));
	json_array_foreach(json_object_get(fabric, "namespaces"), i, namespace)
		namespace_rows(table, namespace);
}

/* Where an object is: a namespace of the fabric, or the host's. */
static void add_place(struct table *table, const json_t *object)
{
	const char *namespace = text_of(object, "namespace");

	table_add(table, *namespace ? namespace : "(host)");
}

static void links_table(struct table *table, const json_t *fabric)
{
	static const struct table_column columns[] = {
		{"NAMESPACE", false}, {"LINK", false}, {"KIND", false},   {"STATE", false},
		{"MTU", true},        {"MAC", false},  {"MASTER", false}, {"PEER", false}};
	json_t *link;
	size_t i;

	table_init(table, table->arena, columns, COUNT(columns));
	json_array_foreach(json_object_get(fabric, "links"), i, link)
	{
		const char *peer = text_of(link, "peer"), *place = text_of(link, "peer_namespace");

		add_place(table, link);
		add_text(table, link, "name");
		add_text(table, link, "kind");
		add_state(table, link);
		add_number(table, link, "mtu");
		add_text(table, link, "mac");
		add_text(table, link, "master");
		table_add(table, *place ? arena_printf(table->arena, "%s:%s", place, peer) : peer);
	}
}

static void routes_table(struct table *table, const json_t *fabric)
{
	static const struct table_column columns[] = {{"NAMESPACE", false},
						      {"TO", false},
						      {"VIA", false},
						      {"INTERFACE", false},
						      {"PROTOCOL", false}};
	json_t *route;
	size_t i;

	table_init(table, table->arena, columns, COUNT(columns));
	json_array_foreach(json_object_get(fabric, "routes"), i, route)
	{
		add_place(table, route);
		add_text(table, route, "to");
		add_text(table, route, "via");
		add_text(table, route, "interface");
		add_text(table, route, "protocol");
	}
}

static void published_table(struct table *table, const json_t *fabric)
{
	static const struct table_column columns[] = {
		{"UPLINK", false}, {"PROTOCOL", false}, {"PUBLISHED", false}, {"INSIDE", false}};
	json_t *published;
	size_t i;

	table_init(table, table->arena, columns, COUNT(columns));
	json_array_foreach(json_object_get(fabric, "published"), i, published)
	{
		add_text(table, published, "uplink");
		add_text(table, published, "protocol");
		add_text(table, published, "ports");
		add_text(table, published, "inside");
	}
}

void output_show_text(FILE *out, const json_t *fabric, bool color)
{
	static void (*const tables[])(struct table *, const json_t *) = {
		networks_table,  uplinks_table, namespaces_table,
		published_table, links_table,   routes_table};
	const char *state = text_of(fabric, "state"), *file = text_of(fabric, "file");
	struct arena arena = {};

	fprintf(out, "fabric '%s': %s%s%s\n", text_of(fabric, "fabric"), state,
		*file ? ", from " : "", file);
	for (size_t i = 0; i < COUNT(tables); i++) {
		struct table table = {.arena = &arena};

		tables[i](&table, fabric);
		print_table(&table, out, color);
	}
	arena_free(&arena);
}

void output_summaries_text(FILE *out, const json_t *fabrics, bool color)
{
	static const struct table_column columns[] = {{"FABRIC", false},
						      {"STATE", false},
						      {"NETWORKS", true},
						      {"NAMESPACES", true},
						      {"FILE", false}};
	struct arena arena = {};
	struct table table;
	json_t *fabric;
	size_t i;

	table_init(&table, &arena, columns, COUNT(columns));
	json_array_foreach(fabrics, i, fabric)
	{
		add_text(&table, fabric, "fabric");
		add_state(&table, fabric);
		add_number(&table, fabric, "network_count");
		add_number(&table, fabric, "namespace_count");
		add_text(&table, fabric, "file");
	}
	table_print(&table, out, color);
	arena_free(&arena);
}

/* ---- stats */

static json_int_t drops_of(const json_t *object)
{
	json_t *drops = json_object_get(object, "drops"), *value;
	json_int_t sum = 0;
	const char *reason;

	json_object_foreach(drops, reason, value) sum += json_integer_value(value);
	return sum;
}

/* Share of what was sent that took the fast path, cut rather than rounded: 100.0 means all. */
static void add_fast_share(struct table *table, const json_t *interface)
{
	json_int_t fast = number_of(interface, "fast_packets"),
		   sent = number_of(interface, "tx_packets");
	json_int_t tenths;

	if (sent <= 0 || !json_is_true(json_object_get(interface, "port"))) {
		table_add(table, "");
		return;
	}
	tenths = (json_int_t)((double)fast * 1000 / (double)sent);
	table_add(table,
		  arena_printf(table->arena, "%" JSON_INTEGER_FORMAT ".%" JSON_INTEGER_FORMAT "%%",
			       tenths / 10, tenths % 10));
}

static void interfaces_table(struct table *table, const json_t *fabric)
{
	static const struct table_column columns[] = {{"NAMESPACE", false}, {"INTERFACE", false},
						      {"RX PACKETS", true}, {"RX BYTES", true},
						      {"TX PACKETS", true}, {"TX BYTES", true},
						      {"FAST", true},       {"SLOW", true},
						      {"DROPS", true},      {"FAST SHARE", true}};
	json_t *namespace, *interface;
	size_t i, j;

	table_init(table, table->arena, columns, COUNT(columns));
	json_array_foreach(json_object_get(fabric, "namespaces"), i, namespace)
	{
		json_array_foreach(json_object_get(namespace, "interfaces"), j, interface)
		{
			add_text(table, namespace, "name");
			add_text(table, interface, "name");
			add_number(table, interface, "rx_packets");
			add_number(table, interface, "rx_bytes");
			add_number(table, interface, "tx_packets");
			add_number(table, interface, "tx_bytes");
			add_number(table, interface, "fast_packets");
			add_number(table, interface, "slow_packets");
			add_value(table, drops_of(interface));
			add_fast_share(table, interface);
		}
	}
}

static void uplink_packets_table(struct table *table, const json_t *fabric)
{
	static const struct table_column columns[] = {
		{"UPLINK", false},    {"", false},      {"PACKETS", true}, {"BYTES", true},
		{"TRANSLATED", true}, {"PASSED", true}, {"DROPS", true}};
	static const char *const keys[][5] = {
		{"rx_packets", "rx_bytes", "rx_translated", "rx_passed", "rx_dropped"},
		{"tx_packets", "tx_bytes", "tx_translated", "tx_passed", "tx_dropped"}};
	json_t *uplink;
	size_t i;

	table_init(table, table->arena, columns, COUNT(columns));
	json_array_foreach(json_object_get(fabric, "uplinks"), i, uplink)
	{
		for (size_t direction = 0; direction < COUNT(keys); direction++) {
			add_text(table, uplink, "name");
			table_add(table, direction ? "out" : "in");
			for (size_t key = 0; key < COUNT(keys[direction]); key++)
				add_number(table, uplink, keys[direction][key]);
		}
	}
}

static void nat_table(struct table *table, const json_t *fabric)
{
	static const struct table_column columns[] = {
		{"UPLINK", false}, {"PROTOCOL", false},  {"FLOWS", true},      {"CREATED", true},
		{"EXPIRED", true}, {"PORTS USED", true}, {"PORTS TOTAL", true}};
	const char *name;
	json_t *uplink, *protocol;
	size_t i;

	table_init(table, table->arena, columns, COUNT(columns));
	json_array_foreach(json_object_get(fabric, "uplinks"), i, uplink)
	{
		json_t *nat = json_object_get(uplink, "nat");

		json_object_foreach(json_object_get(nat, "protocols"), name, protocol)
		{
			add_text(table, uplink, "name");
			table_add(table, name);
			add_number(table, protocol, "flows");
			add_number(table, protocol, "created");
			add_number(table, protocol, "expired");
			add_number(table, protocol, "ports_used");
			add_number(table, protocol, "ports_total");
		}
	}
}

static void drops_table(struct table *table, const json_t *fabric)
{
	static const struct table_column columns[] = {
		{"DROPS", true}, {"REASON", false}, {"MEANING", false}};
	const char *reason;
	json_t *value;

	table_init(table, table->arena, columns, COUNT(columns));
	json_object_foreach(json_object_get(fabric, "drops"), reason, value)
	{
		if (json_integer_value(value) == 0)
			continue;
		add_value(table, json_integer_value(value));
		table_add(table, reason);
		table_add(table, output_drop_meaning(reason));
	}
}

void output_stats_text(FILE *out, const json_t *fabric, bool color)
{
	static void (*const tables[])(struct table *, const json_t *) = {
		interfaces_table, uplink_packets_table, nat_table, drops_table};
	struct arena arena = {};

	fprintf(out, "fabric '%s': %s\n", text_of(fabric, "fabric"), text_of(fabric, "state"));
	for (size_t i = 0; i < COUNT(tables); i++) {
		struct table table = {.arena = &arena};

		tables[i](&table, fabric);
		print_table(&table, out, color);
	}
	arena_free(&arena);
}

/* ---- doctor */

void output_doctor_text(FILE *out, const json_t *result, bool color)
{
	json_int_t problems = number_of(result, "problems"), notes = number_of(result, "notes");
	json_t *finding;
	size_t i;

	json_array_foreach(json_object_get(result, "findings"), i, finding)
	{
		const char *status = text_of(finding, "status"), *mend = text_of(finding, "mend");
		bool bad = strcmp(status, "problem") == 0;

		fprintf(out, "%s%-8s%s %-19s %s: %s\n", color && bad ? "\033[31m" : "", status,
			color && bad ? "\033[0m" : "", text_of(finding, "check"),
			text_of(finding, "where"), text_of(finding, "what"));
		if (bad || strcmp(status, "note") == 0)
			fprintf(out, "%29swhy:  %s\n", "", text_of(finding, "why"));
		if (*mend)
			fprintf(out, "%29smend: %s\n", "", mend);
	}
	if (problems == 0)
		fputs("no problems", out);
	else
		fprintf(out, "%" JSON_INTEGER_FORMAT " problem%s", problems,
			problems == 1 ? "" : "s");
	if (notes > 0)
		fprintf(out, ", %" JSON_INTEGER_FORMAT " note%s", notes, notes == 1 ? "" : "s");
	fputc('\n', out);
}
