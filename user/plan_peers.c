/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the two ends of a veth name each other's ifindex. Numbers repeat in every
 * namespace, so with "links", whose ends have the low numbers of small namespaces, that says
 * little: for each the kernel is asked whether the other end is in the namespace that it should be
 * in, and for one that is not wanted any more, whether the end of the host that looks like it is.
 * Other interfaces lead to the host, where there is only one of each number.
 */
#include "plan_peers.h"

#include <stdio.h>
#include <string.h>

#include "lookup.h"
#include "plan.h"

struct asker {
	struct arena *arena;
	struct lookup namespaces; /* state_namespace by name */
	struct lookup wanted;     /* by "NAMESPACE:LINK" */
	struct peer_need *needs;
	size_t count;
};

static bool name_each_other(const struct state_link *link, const struct state_link *other)
{
	return link->peer_ifindex == other->ifindex && other->peer_ifindex == link->ifindex;
}

bool plan_are_peers(const struct state_namespace *namespace, const struct state_link *link,
		    const struct state_namespace *other, const struct state_link *end)
{
	return name_each_other(link, end) && (!link->peer_asked || link->peer_namespace == other) &&
	       (!end->peer_asked || end->peer_namespace == namespace);
}

static struct state_link *find_link(const struct state_namespace *ns, const char *name)
{
	for (size_t i = 0; i < ns->links_count; i++)
		if (!strcmp(ns->links[i].name, name))
			return &ns->links[i];
	return NULL;
}

static void ask(struct asker *a, const struct state_namespace *ns, struct state_link *link,
		const struct state_namespace *other)
{
	if (link->peer_ifindex && (!link->peer_elsewhere || link->peer_nsid >= 0))
		*arena_push(a->arena, a->needs, a->count) =
			(struct peer_need){.namespace = ns, .link = link, .other = other};
}

static void want(struct asker *a, const char *namespace, const char *link)
{
	lookup_add(&a->wanted, a->arena, arena_printf(a->arena, "%s:%s", namespace, link), a);
}

static void index_all(struct asker *a, const struct topology *topology,
		      const struct kernel_state *state)
{
	for (size_t i = 0; i < state->namespaces_count; i++)
		lookup_add(&a->namespaces, a->arena, state->namespaces[i].name,
			   &state->namespaces[i]);
	for (size_t i = 0; i < topology->namespaces_count; i++) {
		const struct topology_namespace *ns = &topology->namespaces[i];

		for (size_t j = 0; j < ns->interfaces_count; j++)
			want(a, ns->name, ns->interfaces[j].name);
	}
}

static const struct state_namespace *namespace_of(const struct asker *a, const struct link_end *end,
						  const struct kernel_state *state)
{
	return end->namespace ? lookup_find(&a->namespaces, end->namespace->name) : &state->host;
}

static void ask_link(struct asker *a, const struct topology_link *link,
		     const struct kernel_state *state)
{
	size_t first = link->ends[0].namespace ? 0 : 1; /* the host has many more links */
	const struct state_namespace *one = namespace_of(a, &link->ends[first], state);
	const struct state_namespace *two = namespace_of(a, &link->ends[!first], state);
	struct state_link *end = one ? find_link(one, link->ends[first].name) : NULL;

	for (size_t i = 0; i < 2; i++)
		if (link->ends[i].namespace)
			want(a, link->ends[i].namespace_name, link->ends[i].name);
	if (end && two)
		ask(a, one, end, two);
}

/* Links of ours that go: does one of the host's go with them? */
static void ask_unwanted(struct asker *a, const struct state_namespace *ns, const char *alias,
			 const struct lookup *ends, const struct kernel_state *state)
{
	char number[16];

	for (size_t i = 0; i < ns->links_count; i++) {
		struct state_link *link = &ns->links[i];
		const struct state_link *end;

		if (!link->peer_ifindex || strcmp(link->alias, alias) ||
		    lookup_find(&a->wanted, arena_printf(a->arena, "%s:%s", ns->name, link->name)))
			continue;
		snprintf(number, sizeof(number), "%u", link->peer_ifindex);
		end = lookup_find(ends, number);
		if (end && name_each_other(link, end))
			ask(a, ns, link, &state->host);
	}
}

void plan_needs_peers(const struct topology *topology, const struct kernel_state *state,
		      struct arena *arena, const struct peer_need **ret_needs, size_t *ret_count)
{
	const char *alias = arena_printf(arena, "nsroute:%s", topology->name);
	struct asker a = {.arena = arena};
	struct lookup ends = {0}; /* state_link of the host, by ifindex */

	index_all(&a, topology, state);
	for (size_t i = 0; i < topology->links_count; i++)
		ask_link(&a, &topology->links[i], state);
	for (size_t i = 0; i < state->host.links_count; i++)
		lookup_add(&ends, arena, arena_printf(arena, "%u", state->host.links[i].ifindex),
			   &state->host.links[i]);
	for (size_t i = 0; i < state->namespaces_count; i++)
		ask_unwanted(&a, &state->namespaces[i], alias, &ends, state);
	*ret_needs = a.needs;
	*ret_count = a.count;
}
