/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: as topology_schema.c; the value is the uplink's name, or an object with that and
 * what is set for the network's flows.
 */
#include "topology_schema_masquerade.h"

#include <string.h>
#include <sys/socket.h>

#include "topology.h"
#include "topology_values.h"

static void read_ports(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	static const char expected[] = "a range of ports such as 1024-65535";
	const char *text = yaml_read_text(reader, pair->key, &pair->value, expected), *dash;
	struct masquerade *masquerade = into;
	unsigned int min, max;

	if (!text)
		return;
	dash = strchr(text, '-');
	if (!dash || !yaml_parse_number(dash + 1, 1, 65535, &max) ||
	    !yaml_parse_number(arena_printf(reader->arena, "%.*s", (int)(dash - text), text), 1,
			       max, &min)) {
		yaml_wrong(reader, pair->key, &pair->value, expected);
		return;
	}
	masquerade->port_min = (uint16_t)min;
	masquerade->port_max = (uint16_t)max;
}

/* Behind the first of its family. */
static void add_external_address(struct yaml_reader *reader, const char *key,
				 const struct yaml_tree_node *node, const struct ip_address *ip,
				 struct masquerade *masquerade)
{
	const struct ip_address *first =
		ip->family == AF_INET ? &masquerade->address : &masquerade->address6;
	bool twice = ip_equal(first, ip);
	size_t count = 1;

	for (size_t i = 0; i < masquerade->more_count; i++) {
		count += masquerade->more[i].family == ip->family;
		twice |= ip_equal(&masquerade->more[i], ip);
	}
	if (twice)
		yaml_refuse(reader, node->at, "'%s' names %s twice", key, node->text);
	else if (count == NSR_EXTERNALS_MAX)
		yaml_refuse(reader, node->at, "'%s' has more than %d IPv%d addresses", key,
			    NSR_EXTERNALS_MAX, ip->family == AF_INET ? 4 : 6);
	else
		*arena_push(reader->arena, masquerade->more, masquerade->more_count) = *ip;
}

static void read_external_address(struct yaml_reader *reader, const char *key,
				  const struct yaml_tree_node *node, struct masquerade *masquerade)
{
	struct ip_address ip, *into;
	bool has_prefix;

	if (!topology_read_address(reader, key, node, &ip, &has_prefix))
		return;
	into = ip.family == AF_INET ? &masquerade->address : &masquerade->address6;
	if (has_prefix)
		yaml_refuse(reader, node->at,
			    "'%s' are written without a prefix length, which is the uplink's: %.*s",
			    key, (int)strcspn(node->text, "/"), node->text);
	else if (!into->family)
		*into = ip;
	else
		add_external_address(reader, key, node, &ip, masquerade);
}

static void read_external_addresses(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
				    void *into)
{
	static const char expected[] = "'auto' or a list such as [203.0.113.1]";
	const char *text;

	if (pair->value.kind != YAML_TREE_SEQUENCE || !pair->value.count) {
		text = yaml_read_text(reader, pair->key, &pair->value, expected);
		if (text && strcmp(text, "auto"))
			yaml_wrong(reader, pair->key, &pair->value, expected);
		return;
	}
	for (size_t i = 0; i < pair->value.count; i++)
		read_external_address(reader, pair->key, &pair->value.items[i], into);
}

/* What no router forwards to, and no exception may have in it. */
static const struct {
	struct ip_address prefix;
	const char *what;
} never_excepted[] = {
	{{AF_INET, 8, {0}}, "addresses of no network (0.0.0.0/8)"},
	{{AF_INET, 8, {127}}, "loopback addresses (127.0.0.0/8)"},
	{{AF_INET, 16, {169, 254}}, "link-local addresses (169.254.0.0/16)"},
	{{AF_INET, 4, {224}}, "multicast groups (224.0.0.0/4)"},
	{{AF_INET, 4, {240}}, "reserved addresses (240.0.0.0/4)"},
	{{AF_INET6, 127, {0}}, "loopback addresses (::/127)"},
	{{AF_INET6, 10, {0xfe, 0x80}}, "link-local addresses (fe80::/10)"},
	{{AF_INET6, 8, {0xff}}, "multicast groups (ff00::/8)"},
};

/* Why it cannot be excepted; NULL: it can. */
static const char *except_problem(struct yaml_reader *reader, const struct masquerade *masquerade,
				  const struct ip_address *prefix)
{
	if (!prefix->prefix_len)
		return "is every destination, so nothing would be translated; leave 'masquerade' out, "
		       "or name the networks that have routes back";
	for (size_t i = 0; i < sizeof(never_excepted) / sizeof(*never_excepted); i++)
		if (ip_overlap(prefix, &never_excepted[i].prefix))
			return arena_printf(
				reader->arena,
				"overlaps %s, to which no uplink leads; name networks without them",
				never_excepted[i].what);
	for (size_t i = 0; i < masquerade->except_count; i++)
		if (ip_equal(prefix, &masquerade->except[i]) &&
		    prefix->prefix_len == masquerade->except[i].prefix_len)
			return arena_printf(reader->arena,
					    "is there already (line %u); leave one out",
					    masquerade->except_at[i].line);
	return NULL;
}

static void read_except(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	struct masquerade *masquerade = into;

	if (!yaml_is_sequence(reader, pair->key, &pair->value,
			      "a list of networks such as [10.0.0.0/8]"))
		return;
	if (pair->value.count > NSR_EXCEPT_MAX)
		yaml_refuse(
			reader, pair->value.items[NSR_EXCEPT_MAX].at,
			"'%s' has %zu networks; one masquerade has room for %d: name larger ones, "
			"which have several of these in them",
			pair->key, pair->value.count, NSR_EXCEPT_MAX);
	for (size_t i = 0; i < pair->value.count && i < NSR_EXCEPT_MAX; i++) {
		const struct yaml_tree_node *item = &pair->value.items[i];
		size_t positions = masquerade->except_count;
		struct ip_address prefix;
		const char *problem;

		if (!topology_read_prefix(reader, pair->key, item, &prefix))
			continue;
		problem = except_problem(reader, masquerade, &prefix);
		if (problem) {
			yaml_refuse(reader, item->at, "'%s': %s %s", pair->key, item->text,
				    problem);
			continue;
		}
		*arena_push(reader->arena, masquerade->except_at, positions) = item->at;
		*arena_push(reader->arena, masquerade->except, masquerade->except_count) = prefix;
	}
}

static void read_mapping(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	static const struct yaml_word words[] = {
#define X(name, text) {text, NSR_MAPPING_MODE_##name, false},
		NSR_MAPPING_MODES(X)
#undef X
			{}};
	struct masquerade *masquerade = into;
	int value;

	if (yaml_read_word(reader, pair, words, &value))
		masquerade->inside.mapping_mode = (uint32_t)value;
}

static void read_filtering(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			   void *into)
{
	static const struct yaml_word words[] = {
#define X(name, text) {text, NSR_FILTER_##name, false},
		NSR_FILTERS(X)
#undef X
			{}};
	struct masquerade *masquerade = into;
	int value;

	if (yaml_read_word(reader, pair, words, &value))
		masquerade->inside.filtering = (uint32_t)value;
}

/* A number of what is written behind it, from 1 on. */
static void read_limit(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
		       const char *what, unsigned int max, uint32_t *ret)
{
	const char *expected =
		arena_printf(reader->arena, "a number of %s from 1 to %u", what, max);
	const char *text = yaml_read_text(reader, pair->key, &pair->value, expected);
	unsigned int value;

	if (!text)
		return;
	if (yaml_parse_number(text, 1, max, &value))
		*ret = value;
	else
		yaml_wrong(reader, pair->key, &pair->value, expected);
}

static void read_flows_max(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			   void *into)
{
	struct masquerade *masquerade = into;

	masquerade->flows_max_at = pair->at;
	read_limit(reader, pair, "flows", NSR_FLOWS_MAX, &masquerade->flows_max);
}

static void read_flows_of_one(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			      void *into)
{
	struct masquerade *masquerade = into;

	read_limit(reader, pair, "flows", NSR_FLOWS_MAX, &masquerade->inside.flows_max);
}

static void read_timeout(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	static const char *const names[] = {
#define X(name, text, seconds) [NSR_TIMEOUT_##name] = text,
		NSR_NAT_TIMEOUTS(X)
#undef X
	};
	struct masquerade *masquerade = into;

	for (unsigned int i = 0; i < NSR_TIMEOUTS; i++)
		if (!strcmp(names[i], pair->key))
			read_limit(reader, pair, "seconds",
				   i == NSR_TIMEOUT_FRAGMENT ? NSR_DATAGRAM_MAX_S
							     : NSR_TIMEOUT_MAX_S,
				   &masquerade->inside.timeout_s[i]);
}

static void read_timeouts(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	static const struct yaml_key keys[] = {
#define X(symbol, key, seconds) {.name = key, .read = read_timeout},
		NSR_NAT_TIMEOUTS(X)
#undef X
			{},
	};
	const char *object = reader->object;

	reader->object = arena_printf(reader->arena, "%s: timeouts", object);
	yaml_read_keys(reader, pair->key, &pair->value, keys, into);
	reader->object = object;
}

static void read_uplink(struct yaml_reader *reader, const struct yaml_tree_pair *pair, void *into)
{
	struct masquerade *masquerade = into;
	const char *text =
		yaml_read_text(reader, pair->key, &pair->value,
			       "the name of an interface of the host or of another network, or "
			       "'auto'");

	if (!text)
		return;
	topology_check_name(reader, pair->value.at, "interface", text, name_interface_problem);
	masquerade->uplink = yaml_tree_shown(text, reader->arena);
}

static const struct yaml_key masquerade_keys[] = {
	{.name = "uplink", .need = YAML_KEY_REQUIRED, .read = read_uplink},
	{.name = "addresses", .read = read_external_addresses},
	{.name = "ports", .read = read_ports},
	{.name = "mapping", .read = read_mapping},
	{.name = "filtering", .read = read_filtering},
	{.name = "except", .read = read_except},
	{.name = "max_flows", .read = read_flows_max},
	{.name = "max_flows_per_namespace", .read = read_flows_of_one},
	{.name = "timeouts", .read = read_timeouts},
	{},
};

void topology_read_masquerade(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			      void *into)
{
	struct network *network = into;
	struct masquerade masquerade = {
		.enabled = true,
		.at = pair->at,
		.port_min = 1024,
		.port_max = 65535,
		.inside = NSR_INSIDE_DEFAULT,
	};

	if (pair->value.kind == YAML_TREE_MAPPING)
		yaml_read_keys(reader, pair->key, &pair->value, masquerade_keys, &masquerade);
	else
		read_uplink(reader, pair, &masquerade);
	if (masquerade.uplink)
		network->masquerade = masquerade;
}
