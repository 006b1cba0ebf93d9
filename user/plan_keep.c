/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: only what is ours counts: interfaces with our alias, in namespaces that are ours,
 * host ends that the record names, and of addresses those with our mark. So nothing that somebody
 * made by hand is taken for what we gave out.
 */
#include "plan_keep.h"

#include <errno.h>
#include <string.h>

#include "lookup.h"
#include "topology_complete.h"

struct keeper {
	struct arena *arena;
	const char *alias;
	struct lookup links, namespaces; /* entries of the record, by name */
	struct lookup ends;              /* state_link of recorded host links, by ifindex */
	struct lookup kept;              /* struct kept, as topology_complete() wants it */
};

static struct kept *keep(struct keeper *k, const char *namespace, const struct state_link *link)
{
	struct kept *kept = arena_alloc(k->arena, sizeof(*kept));

	memcpy(kept->mac, link->mac, sizeof(kept->mac));
	lookup_add(&k->kept, k->arena, arena_printf(k->arena, "%s:%s", namespace, link->name),
		   kept);
	return kept;
}

static char *number(struct keeper *k, uint32_t ifindex)
{
	return arena_printf(k->arena, "%u", ifindex);
}

static void enter_record(struct keeper *k, const struct record *record)
{
	for (size_t i = 0; record && i < record->count; i++) {
		struct record_entry *entry = &record->entries[i];

		if (entry->kind == RECORD_LINK)
			lookup_add(&k->links, k->arena, entry->name, entry);
		else if (entry->kind == RECORD_NETNS)
			lookup_add(&k->namespaces, k->arena, entry->name, entry);
	}
}

static void keep_host_links(struct keeper *k, const struct state_namespace *host)
{
	for (size_t i = 0; i < host->links_count; i++) {
		struct state_link *link = &host->links[i];

		if (strcmp(link->alias, k->alias) || !lookup_find(&k->links, link->name))
			continue;
		keep(k, "", link);
		lookup_add(&k->ends, k->arena, number(k, link->ifindex), link);
	}
}

static void keep_addresses(struct keeper *k, struct kept *kept, const struct state_namespace *ns,
			   uint32_t ifindex)
{
	struct ip_address *addresses = NULL;

	for (size_t i = 0; i < ns->addresses_count; i++)
		if (ns->addresses[i].ifindex == ifindex &&
		    ns->addresses[i].protocol == STATE_PROTOCOL)
			*arena_push(k->arena, addresses, kept->addresses_count) =
				ns->addresses[i].address;
	kept->addresses = addresses;
}

static void keep_inner_links(struct keeper *k, const struct state_namespace *ns)
{
	for (size_t i = 0; i < ns->links_count; i++) {
		const struct state_link *link = &ns->links[i], *end;
		struct kept *kept;

		if (!strcmp(link->name, "lo") || strcmp(link->alias, k->alias))
			continue;
		kept = keep(k, ns->name, link);
		keep_addresses(k, kept, ns, link->ifindex);
		end = lookup_find(&k->ends, number(k, link->peer_ifindex));
		if (end && end->peer_ifindex == link->ifindex)
			kept->host_name = end->name;
	}
}

int plan_keep(struct topology *topology, const struct record *record,
	      const struct kernel_state *state, struct arena *arena, struct error *err)
{
	struct keeper k = {.arena = arena,
			   .alias = arena_printf(arena, "nsroute:%s", topology->name)};
	struct error_list errors = {.arena = arena};

	enter_record(&k, record);
	keep_host_links(&k, &state->host);
	for (size_t i = 0; i < state->namespaces_count; i++)
		if (state->namespaces[i].exists && !strcmp(state->namespaces[i].alias, k.alias) &&
		    lookup_find(&k.namespaces, state->namespaces[i].name))
			keep_inner_links(&k, &state->namespaces[i]);
	topology_complete(topology, arena, &k.kept, &errors);
	if (!errors.count)
		return 0;
	*err = errors.errors[0];
	return err->code;
}
