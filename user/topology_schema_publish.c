/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: what is published is "[ADDRESS:]PORT[-PORT]:PORT[-PORT]/PROTOCOL", the external
 * side first, as container tools write it. It is taken apart from the right, where nothing is left
 * out; an IPv6 address is in brackets. Whether the address is one of the uplink's is not known
 * before plan looks at the uplink.
 */
#include "topology_schema_publish.h"

#include <string.h>
#include <sys/socket.h>

#include "topology.h"
#include "topology_values.h"

#define EXPECTED "[ADDRESS:]PORT:PORT/tcp or /udp, as in 8080:80/tcp or 9000-9099:9000-9099/udp"

struct port_range {
	unsigned int first, last;
};

/* "PORT" or "FIRST-LAST". */
static bool read_range(struct yaml_reader *reader, const struct yaml_tree_node *node, char *text,
		       const char *side, struct port_range *ret)
{
	char *dash = strchr(text, '-');

	if (dash)
		*dash++ = '\0';
	if (!yaml_parse_number(text, 1, 65535, &ret->first) ||
	    !yaml_parse_number(dash ? dash : text, 1, 65535, &ret->last)) {
		yaml_refuse(reader, node->at, "'%s': the %s port must be a number from 1 to 65535",
			    yaml_tree_shown(node->text, reader->arena), side);
		return false;
	}
	if (ret->first <= ret->last)
		return true;
	yaml_refuse(reader, node->at, "'%s': the %s range ends before it begins",
		    yaml_tree_shown(node->text, reader->arena), side);
	return false;
}

/* Takes "[" and "]" off; false: there are none. */
static bool cut_brackets(char **text)
{
	size_t length = strlen(*text);

	if (length < 2 || (*text)[0] != '[' || (*text)[length - 1] != ']')
		return false;
	(*text)[length - 1] = '\0';
	++*text;
	return true;
}

/* An address that the outside can send to, or the host's own. */
static bool read_published_address(struct yaml_reader *reader, const struct yaml_tree_node *node,
				   char *text, struct ip_address *ret)
{
	const char *problem;
	bool has_prefix, in_brackets = cut_brackets(&text);

	if (!in_brackets && strchr(text, ':')) {
		yaml_refuse(reader, node->at,
			    "'%s': write an IPv6 address in brackets, as in "
			    "[2001:db8::1]:8080:80/tcp",
			    yaml_tree_shown(node->text, reader->arena));
		return false;
	}
	if (!ip_parse(text, ret, &has_prefix) || has_prefix ||
	    in_brackets != (ret->family == AF_INET6)) {
		yaml_refuse(reader, node->at, "'%s': '%s' is not an %saddress",
			    yaml_tree_shown(node->text, reader->arena), text,
			    in_brackets ? "IPv6 " : "");
		return false;
	}
	if (!strcmp(text, "127.0.0.1") ||
	    (in_brackets && publish_is_loopback(&(struct publish){.address = *ret})))
		return true; /* for the host alone */
	problem = topology_address_problem(ret);
	if (problem && strstr(problem, "loopback")) {
		yaml_refuse(reader, node->at,
			    "'%s': of the loopback addresses ports can be published on 127.0.0.1 "
			    "and ::1 only",
			    yaml_tree_shown(node->text, reader->arena));
		return false;
	}
	if (problem)
		yaml_refuse(reader, node->at, "'%s': %s %s",
			    yaml_tree_shown(node->text, reader->arena), text, problem);
	return !problem;
}

static bool read_protocol(struct yaml_reader *reader, const struct yaml_tree_node *node,
			  const char *word, uint8_t *ret)
{
	*ret = !strcmp(word, "udp") ? NSR_NAT_UDP : NSR_NAT_TCP;
	if (!strcmp(word, "tcp") || !strcmp(word, "udp"))
		return true;
	yaml_refuse(reader, node->at, "'%s': the protocol must be tcp or udp, not '%s'",
		    yaml_tree_shown(node->text, reader->arena), word);
	return false;
}

/* What stands before the last colon is cut off, and returned; NULL: there is none. */
static char *cut_last(char *text, char **ret_rest)
{
	char *colon = strrchr(text, ':');

	if (!colon)
		return NULL;
	*colon = '\0';
	*ret_rest = colon + 1;
	return text;
}

static bool read_one(struct yaml_reader *reader, const struct yaml_tree_node *node,
		     struct publish *ret)
{
	const char *text = yaml_read_text(reader, "publish", node, EXPECTED);
	struct port_range external, inside;
	char *before, *slash, *right, *left;

	if (!text)
		return false;
	before = arena_strdup(reader->arena, text);
	slash = strrchr(before, '/');
	if (slash)
		*slash = '\0';
	if (!slash || !cut_last(before, &right)) {
		yaml_wrong(reader, "publish", node, EXPECTED);
		return false;
	}
	left = before;
	*ret = (struct publish){.at = node->at};
	if (cut_last(before, &left) && !read_published_address(reader, node, before, &ret->address))
		return false;
	if (!read_protocol(reader, node, slash + 1, &ret->ports.protocol) ||
	    !read_range(reader, node, left, "external", &external) ||
	    !read_range(reader, node, right, "inside", &inside))
		return false;
	if (external.last - external.first != inside.last - inside.first) {
		yaml_refuse(reader, node->at,
			    "'%s': %u external ports for %u of the namespace; give both the same "
			    "number",
			    yaml_tree_shown(node->text, reader->arena),
			    external.last - external.first + 1, inside.last - inside.first + 1);
		return false;
	}
	ret->ports.external = (uint16_t)external.first;
	ret->ports.inside = (uint16_t)inside.first;
	ret->ports.count = (uint16_t)(external.last - external.first + 1);
	return true;
}

void topology_read_publish(struct yaml_reader *reader, const struct yaml_tree_pair *pair,
			   void *into)
{
	struct topology_namespace *namespace = into;
	struct publish publish;

	if (!yaml_is_sequence(reader, pair->key, &pair->value, "a list of ports"))
		return;
	for (size_t i = 0; i < pair->value.count; i++)
		if (read_one(reader, &pair->value.items[i], &publish))
			*arena_push(reader->arena, namespace->publish, namespace->publish_count) =
				publish;
}
