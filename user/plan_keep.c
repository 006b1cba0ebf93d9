/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: only what is ours counts: interfaces with our alias, in namespaces that are ours,
 * host ends that the record names, and of addresses those with our mark. So nothing that somebody
 * made by hand is taken for what we gave out. What single steps made counts as well: it becomes
 * ours as it is, with the MAC addresses that its neighbours know.
 */
#include "plan_keep.h"

#include <errno.h>
#include <string.h>

#include "lookup.h"
#include "topology_complete.h"

struct owner {
	const char *alias;
	struct lookup links, namespaces, inside, macs; /* entries of the record, by name */
};

struct keeper {
	struct arena *arena;
	struct owner fabric, steps;
	struct lookup ends; /* state_link of recorded host links, by ifindex */
	struct lookup kept; /* struct kept, as topology_complete() wants it */
};

static struct kept *keep(struct keeper *k, const char *namespace, const struct state_link *link)
{
	struct kept *kept = arena_alloc(k->arena, sizeof(*kept));
	const struct record_entry *entry = lookup_find(
		&k->fabric.macs, arena_printf(k->arena, "%s/%s", namespace, link->name));

	memcpy(kept->mac, link->mac, sizeof(kept->mac));
	kept->taken_over = !strcmp(link->alias, k->steps.alias) ||
			   (entry && mac_parse(entry->value, kept->mac));
	lookup_add(&k->kept, k->arena, arena_printf(k->arena, "%s:%s", namespace, link->name),
		   kept);
	return kept;
}

static char *number(struct keeper *k, uint32_t ifindex)
{
	return arena_printf(k->arena, "%u", ifindex);
}

static void enter_record(struct keeper *k, struct owner *owner, const struct record *record)
{
	for (size_t i = 0; record && i < record->count; i++) {
		struct record_entry *entry = &record->entries[i];

		if (entry->kind == RECORD_LINK)
			lookup_add(&owner->links, k->arena, entry->name, entry);
		else if (entry->kind == RECORD_NETNS)
			lookup_add(&owner->namespaces, k->arena, entry->name, entry);
		else if (entry->kind == RECORD_LINK_INSIDE)
			lookup_add(&owner->inside, k->arena, entry->name, entry);
		else if (entry->kind == RECORD_MAC)
			lookup_add(&owner->macs, k->arena, entry->name, entry);
	}
}

/* Which of the two has something, by its mark. */
static const struct owner *owner_of(const struct keeper *k, const char *alias)
{
	if (!strcmp(alias, k->fabric.alias))
		return &k->fabric;
	return !strcmp(alias, k->steps.alias) ? &k->steps : NULL;
}

static void keep_host_links(struct keeper *k, const struct state_namespace *host)
{
	for (size_t i = 0; i < host->links_count; i++) {
		struct state_link *link = &host->links[i];

		const struct owner *owner = owner_of(k, link->alias);

		if (!owner || !lookup_find(&owner->links, link->name))
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

/* Single steps record each; ours are recorded with their namespace. */
static bool is_kept(const struct keeper *k, const struct state_namespace *ns,
		    const struct state_link *link)
{
	const struct owner *owner = owner_of(k, link->alias);

	if (!owner || !strcmp(link->name, "lo"))
		return false;
	return owner == &k->fabric ||
	       lookup_find(&owner->inside, arena_printf(k->arena, "%s/%s", ns->name, link->name));
}

static bool is_owned(const struct keeper *k, const struct state_namespace *ns)
{
	const struct owner *owner = ns->exists ? owner_of(k, ns->alias) : NULL;

	return owner && lookup_find(&owner->namespaces, ns->name);
}

static void keep_inner_links(struct keeper *k, const struct state_namespace *ns)
{
	for (size_t i = 0; i < ns->links_count; i++) {
		const struct state_link *link = &ns->links[i], *end;
		struct kept *kept;

		if (!is_kept(k, ns, link))
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
			   .fabric.alias = arena_printf(arena, "nsroute:%s", topology->name),
			   .steps.alias = "nsroute:" RECORD_STEPS};
	struct error_list errors = {.arena = arena};

	enter_record(&k, &k.fabric, record);
	enter_record(&k, &k.steps, state->steps);
	keep_host_links(&k, &state->host);
	for (size_t i = 0; i < state->namespaces_count; i++)
		if (is_owned(&k, &state->namespaces[i]))
			keep_inner_links(&k, &state->namespaces[i]);
	topology_complete(topology, arena, &k.kept, &errors);
	if (!errors.count)
		return 0;
	*err = errors.errors[0];
	return err->code;
}
