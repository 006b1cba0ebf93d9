/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: an end of a link must be alone with its name and its subnet where it is. Namespaces
 * that do not see each other may have the same subnet, as in a lab of many like pairs; its own far
 * end is in another namespace, and on the same subnet, or neither would reach the other.
 */
#include "topology_check.h"

#include <stdbool.h>
#include <string.h>

bool check_apart(struct check *check, const char *object, struct position at,
		 const struct ip_address *address, const struct ip_address *others, size_t count,
		 const char *owner)
{
	char text[IP_TEXT_MAX], other[IP_TEXT_MAX];

	for (size_t i = 0; i < count; i++) {
		if (!ip_overlap(address, &others[i]) || ip_equal(address, &others[i]))
			continue;
		refuse(check, at,
		       "%s: address %s overlaps %s of %s, so the namespace would not know which way "
		       "leads there",
		       object, ip_format_prefix(address, text), ip_format_prefix(&others[i], other),
		       owner);
		return false;
	}
	return true;
}

static void resolve_end(struct check *check, struct link_end *end)
{
	struct topology *topology = check->topology;
	struct nearest nearest = {.wanted = end->namespace_name};

	if (!strcmp(end->namespace_name, "host"))
		return;
	end->namespace = lookup_find(&check->namespaces, end->namespace_name);
	if (end->namespace || topology->namespaces_incomplete)
		return;
	nearest_consider(&nearest, "host");
	for (size_t i = 0; i < topology->namespaces_count; i++)
		nearest_consider(&nearest, topology->namespaces[i].name);
	if (nearest.best)
		refuse(check, end->at,
		       "link end '%s:%s': there is no namespace '%s'; did you mean '%s'?",
		       end->namespace_name, end->name, end->namespace_name, nearest.best);
	else
		refuse(check, end->at,
		       "link end '%s:%s': there is no namespace '%s'; declare it under 'namespaces'",
		       end->namespace_name, end->name, end->namespace_name);
}

static void check_end(struct check *check, struct link_end *end)
{
	char *name = arena_printf(check->arena, "%s:%s", end->namespace_name, end->name);
	char *object = arena_printf(check->arena, "link end '%s'", name);
	char *owner = arena_printf(check->arena, "%s (line %u)", object, end->at.line);
	bool host = !strcmp(end->namespace_name, "host");
	const char *other;

	resolve_end(check, end);
	if (host)
		other = taken_by(check, &check->taken.host_links, end->name, owner);
	else
		other = taken_by(check, &check->links, name, owner);
	if (other)
		refuse(check, end->at, "%s: the name is used by %s already", object, other);
	if (!end->has_address)
		return;
	check_address_free(check, end->address_at, object, &end->address, owner);
	if (subnet_reserves(&end->address))
		refuse(check, end->address_at,
		       "%s: address %s is the first or last address of its subnet, which no host may have",
		       object, ip_format_prefix(&end->address, (char[IP_TEXT_MAX]){}));
}

/* Networks that the end's namespace is on; the host is on all of them. */
static bool is_on(const struct link_end *end, const struct network *network)
{
	if (!end->namespace)
		return true;
	for (size_t i = 0; i < end->namespace->interfaces_count; i++)
		if (end->namespace->interfaces[i].network == network)
			return true;
	return false;
}

/* With what else is in its namespace; ends before this one only, so that each pair is met once. */
static void check_overlaps(struct check *check, const bool *good, size_t which)
{
	const struct topology *topology = check->topology;
	const struct link_end *end = &topology->links[which / 2].ends[which % 2];
	const char *object =
		arena_printf(check->arena, "link end '%s:%s'", end->namespace_name, end->name);
	bool apart = true;

	for (size_t i = 0; apart && i < topology->networks_count; i++) {
		const struct network *network = &topology->networks[i];

		if (is_on(end, network))
			apart = check_apart(check, object, end->address_at, &end->address,
					    network->subnets, network->subnets_count,
					    arena_printf(check->arena, "network '%s' (line %u)",
							 network->name, network->at.line));
	}
	for (size_t i = 0; apart && i < which; i++) {
		const struct link_end *other = &topology->links[i / 2].ends[i % 2];

		if (good[i] && other->has_address &&
		    !strcmp(other->namespace_name, end->namespace_name))
			apart = check_apart(
				check, object, end->address_at, &end->address, &other->address, 1,
				arena_printf(check->arena, "link end '%s:%s' (line %u)",
					     other->namespace_name, other->name, other->at.line));
	}
}

static void check_pair(struct check *check, const struct topology_link *link)
{
	const struct link_end *one = &link->ends[0], *two = &link->ends[1];
	char text[IP_TEXT_MAX], other[IP_TEXT_MAX];

	if (!strcmp(one->namespace_name, two->namespace_name))
		refuse(check, two->at,
		       "link end '%s:%s': the other end is in the same namespace; a link leads from one "
		       "to another",
		       two->namespace_name, two->name);
	else if (one->has_address && two->has_address &&
		 !(ip_within(&one->address, &two->address) &&
		   ip_within(&two->address, &one->address)))
		refuse(check, two->address_at,
		       "link end '%s:%s': address %s and that of the other end, %s, are not on one "
		       "subnet, so that neither would reach the other",
		       two->namespace_name, two->name, ip_format_prefix(&two->address, text),
		       ip_format_prefix(&one->address, other));
}

/* What has an error by itself is not looked at beside others: that would only follow from it. */
void check_links(struct check *check)
{
	const struct topology *topology = check->topology;
	size_t count = topology->links_count;
	bool *good = arena_alloc(check->arena, 2 * count * sizeof(*good));

	for (size_t i = 0; i < 2 * count; i++) {
		size_t errors = check->errors->count;

		check_end(check, &topology->links[i / 2].ends[i % 2]);
		good[i] = check->errors->count == errors;
	}
	for (size_t i = 0; i < count; i++) {
		size_t errors = check->errors->count;

		if (good[2 * i] && good[2 * i + 1])
			check_pair(check, &topology->links[i]);
		if (check->errors->count != errors)
			good[2 * i] = good[2 * i + 1] = false;
	}
	for (size_t i = 0; i < 2 * count; i++)
		if (good[i] && topology->links[i / 2].ends[i % 2].has_address)
			check_overlaps(check, good, i);
}
