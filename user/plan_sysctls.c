/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: what a sysctl was is recorded when it is changed first, and it goes back to that
 * when the file does not name it any more. Of a namespace or link that is made by the same plan
 * nobody knows that yet: apply reads it before it writes. A record of one that was lost with its
 * namespace or link is forgotten first, for the new one may have started from another value.
 *
 * Some sysctls take those of all interfaces with them (sysctl_key_switches_all). They are set
 * before the others, and when one changes the others are set again (view_shake).
 */
#include "plan_sysctls.h"

#include <errno.h>
#include <string.h>

#include "plan_device.h"
#include "plan_host.h"
#include "sysctl_key.h"

static const struct ip_address none;

static char *record_name(struct arena *arena, const char *namespace, const char *key)
{
	return arena_printf(arena, "%s/%s", namespace, key);
}

/* ---- What is to be observed. */

static void need(struct arena *arena, struct lookup *seen, const char *namespace, const char *key,
		 struct sysctl_need **needs, size_t *count)
{
	struct sysctl_need *added;

	if (lookup_add(seen, arena, record_name(arena, namespace, key), seen))
		return;
	added = arena_push(arena, *needs, *count);
	added->namespace = namespace;
	added->key = key;
}

/* "NAMESPACE/KEY": a namespace's name has no slash. */
static const char *split(const char *name, struct arena *arena, const char **ret_namespace)
{
	const char *slash = strchr(name, '/');

	*ret_namespace = slash ? arena_printf(arena, "%.*s", (int)(slash - name), name) : name;
	return slash ? slash + 1 : "";
}

void plan_needs_netns_sysctls(const struct topology *topology, const struct record *record,
			      struct arena *arena, const struct sysctl_need **ret_needs,
			      size_t *ret_count)
{
	struct sysctl_need *needs = NULL;
	struct lookup seen = {};
	size_t count = 0;

	for (size_t i = 0; topology && i < topology->namespaces_count; i++) {
		const struct topology_namespace *ns = &topology->namespaces[i];

		for (size_t j = 0; j < ns->sysctls_count; j++)
			need(arena, &seen, ns->name, ns->sysctls[j].key, &needs, &count);
		for (size_t j = 0; j < ns->interfaces_count; j++)
			if (ns->interfaces[j].network->type == NETWORK_OVS)
				need(arena, &seen, ns->name,
				     sysctl_key_of_offload(ns->interfaces[j].name, arena), &needs,
				     &count);
	}
	for (size_t i = 0; record && i < record->count; i++) {
		const char *namespace, *key;

		if (record->entries[i].kind != RECORD_NETNS_SYSCTL)
			continue;
		key = split(record->entries[i].name, arena, &namespace);
		need(arena, &seen, namespace, key, &needs, &count);
	}
	*ret_needs = needs;
	*ret_count = count;
}

/* ---- What is wanted. */

static bool is_of_link(const struct topology_sysctl *sysctl)
{
	char name[NAME_INTERFACE_MAX + 1];

	return sysctl_key_interface(sysctl->key, name);
}

static enum operation_kind kind_of(const char *key)
{
	char link[NAME_INTERFACE_MAX + 1];

	return sysctl_key_offload(key, link) ? OPERATION_OFFLOAD_SET : OPERATION_SYSCTL_SET;
}

static void want_sysctl(struct builder *b, const struct topology_namespace *ns,
			const struct topology_sysctl *sysctl)
{
	struct operation *op = want(b, OPERATION_SYSCTL_SET, sysctl->at);

	op->namespace = ns->name;
	op->key = sysctl->key;
	op->value = sysctl->value;
	op->recorded_as = record_name(b->arena, ns->name, sysctl->key);
}

void want_netns_sysctls(struct builder *b)
{
	for (size_t i = 0; i < b->topology->namespaces_count; i++) {
		const struct topology_namespace *ns = &b->topology->namespaces[i];

		for (size_t j = 0; j < ns->sysctls_count; j++)
			if (sysctl_key_switches_all(ns->sysctls[j].key))
				want_sysctl(b, ns, &ns->sysctls[j]);
		for (size_t j = 0; j < ns->sysctls_count; j++)
			if (!sysctl_key_switches_all(ns->sysctls[j].key) &&
			    !is_of_link(&ns->sysctls[j]))
				want_sysctl(b, ns, &ns->sysctls[j]);
	}
}

void want_link_sysctls(struct builder *b)
{
	for (size_t i = 0; i < b->topology->namespaces_count; i++) {
		const struct topology_namespace *ns = &b->topology->namespaces[i];

		for (size_t j = 0; j < ns->sysctls_count; j++)
			if (is_of_link(&ns->sysctls[j]))
				want_sysctl(b, ns, &ns->sysctls[j]);
	}
}

/* ---- What is missing. */

/* Whether the namespace, or the link that the key names, will be made: it ends with that. */
static bool is_new(const struct view *view, const char *namespace, const char *key)
{
	const struct state_namespace *ns = view_namespace(view, namespace);
	char link[NAME_INTERFACE_MAX + 1];

	return !ns || !ns->exists ||
	       (sysctl_key_interface(key, link) && !view_link(view, namespace, link));
}

bool netns_sysctl_missing(const struct view *view, struct operation *op)
{
	const struct state_sysctl *observed = view_find(view, op);
	const struct record_entry *entry =
		view_recorded(view, RECORD_NETNS_SYSCTL, op->recorded_as);
	struct operation *old;

	if (is_new(view, op->namespace, op->key) || !observed || !observed->value)
		return true;
	if (sysctl_value_equal(observed->value, op->value) &&
	    !view_is_shaken(view, SHAKEN_SYSCTLS, op->namespace, "", &none))
		return false;
	op->old_value = observed->value;
	if (entry) {
		old = arena_alloc(view->arena, sizeof(*old));
		*old = *op;
		old->value = observed->value;
		old->old_value = op->old_value = entry->value;
		op->replaces = old;
	}
	if (sysctl_key_switches_all(op->key))
		view_shake((struct view *)view, SHAKEN_SYSCTLS, op->namespace, "", &none);
	return true;
}

int check_netns_sysctl(const struct view *view, const struct operation *op, struct error *err)
{
	const struct state_sysctl *observed = view_find(view, op);

	if (is_new(view, op->namespace, op->key) || (observed && observed->value))
		return 0;
	return error_set(err, -ENOENT, "namespace '%s' has no sysctl '%s'", op->namespace, op->key);
}

/* ---- What is not wanted any more. */

struct recorded_sysctl {
	const struct record_entry *entry;
	const char *namespace, *key;
	bool wanted, new;
};

static struct recorded_sysctl look_at(const struct extra *extra, const struct record_entry *entry)
{
	struct recorded_sysctl sysctl = {.entry = entry};
	char key[OPERATION_KEY_MAX];

	sysctl.key = split(entry->name, extra->view->arena, &sysctl.namespace);
	sysctl.wanted = lookup_find(extra->wanted,
				    operation_key(&(struct operation){.kind = OPERATION_SYSCTL_SET,
								      .namespace = sysctl.namespace,
								      .key = sysctl.key},
						  key));
	sysctl.new = is_new(extra->view, sysctl.namespace, sysctl.key);
	return sysctl;
}

static void forget(struct extra *extra, enum record_kind kind, const char *name)
{
	struct operation *op;

	if (extra->removal)
		return;
	op = arena_push(extra->view->arena, extra->plan->operations, extra->plan->count);
	op->kind = OPERATION_FORGET;
	op->record = kind;
	op->link = name;
}

static void give_back(struct extra *extra, const struct recorded_sysctl *sysctl)
{
	struct operation twin = {
		.kind = kind_of(sysctl->key), .namespace = sysctl->namespace, .key = sysctl->key};
	const struct state_sysctl *observed = view_find(extra->view, &twin);

	if (!observed || !observed->value ||
	    sysctl_value_equal(observed->value, sysctl->entry->value)) {
		forget(extra, RECORD_NETNS_SYSCTL, sysctl->entry->name);
		return;
	}
	twin.value = sysctl->entry->value;
	twin.old_value = observed->value;
	twin.recorded_as = sysctl->entry->name;
	twin.revert = true;
	twin.why = "as it was before";
	*arena_push(extra->view->arena, extra->plan->operations, extra->plan->count) = twin;
	if (sysctl_key_switches_all(sysctl->key))
		view_shake(extra->view, SHAKEN_SYSCTLS, sysctl->namespace, "", &none);
}

static bool stays(const struct extra *extra, const char *namespace)
{
	struct operation twin = {.kind = OPERATION_NETNS_ADD, .namespace = namespace};
	char key[OPERATION_KEY_MAX];

	return lookup_find(extra->wanted, operation_key(&twin, key));
}

void plan_extra_sysctls(struct extra *extra)
{
	const struct record *record = extra->record;

	for (size_t i = record ? record->count : 0; i > 0; i--) { /* the last change first */
		struct recorded_sysctl sysctl;

		if (record->entries[i - 1].kind != RECORD_NETNS_SYSCTL)
			continue;
		sysctl = look_at(extra, &record->entries[i - 1]);
		if (!stays(extra, sysctl.namespace))
			continue;
		if (sysctl.new)
			forget(extra, RECORD_NETNS_SYSCTL, sysctl.entry->name);
		else if (!sysctl.wanted)
			give_back(extra, &sysctl);
	}
}

/* A namespace that is left to others keeps nothing of ours. */
void plan_extra_lost_sysctls(struct extra *extra)
{
	const struct record *record = extra->record;
	struct lookup deleted = {};

	for (size_t i = 0; i < extra->plan->count; i++)
		if (extra->plan->operations[i].kind == OPERATION_NETNS_DELETE)
			lookup_add(&deleted, extra->view->arena,
				   extra->plan->operations[i].namespace, extra);
	for (size_t i = record ? record->count : 0; i > 0; i--) {
		struct recorded_sysctl sysctl;
		const struct state_namespace *ns;

		if (record->entries[i - 1].kind != RECORD_NETNS_SYSCTL)
			continue;
		sysctl = look_at(extra, &record->entries[i - 1]);
		if (stays(extra, sysctl.namespace))
			continue;
		ns = view_namespace(extra->view, sysctl.namespace);
		if (sysctl.new || lookup_find(&deleted, sysctl.namespace) ||
		    !view_namespace_is_ours(extra->view, ns))
			forget(extra, RECORD_NETNS_SYSCTL, sysctl.entry->name);
		else
			give_back(extra, &sysctl);
	}
}

/* ---- Those of the host. */

/* Whether a sysctl has the value that we gave it. That of an interface for IPv6 forwarding may have
 * gone already with the one for all interfaces, when a process was killed between the two. */
static bool is_as_we_left_it(const struct state_sysctl *observed, const struct record_entry *entry)
{
	if (!observed || !observed->value)
		return false;
	return !strcmp(observed->value, entry->set) ||
	       (plan_is_ipv6_forwarding(entry->name) && !strcmp(observed->value, "0") &&
		strcmp(entry->value, "0"));
}

/* Given back only while it has that value, and nobody else counts on it. */
static void extra_sysctl(struct extra *extra, const struct record_entry *entry)
{
	struct operation twin = {.kind = OPERATION_SYSCTL_SET, .key = entry->name};
	const struct state_sysctl *observed = view_find(extra->view, &twin);
	struct state_sysctl came_back = {.key = entry->name};
	char key[OPERATION_KEY_MAX];

	if (lookup_find(extra->wanted, operation_key(&twin, key)) ||
	    plan_sysctl_is_away(extra, entry->name))
		return;
	if (plan_sysctl_comes_back(extra, entry->name)) {
		came_back.value = entry->set;
		observed = &came_back;
	}
	if (!is_as_we_left_it(observed, entry) ||
	    view_recorded_elsewhere(extra->view, RECORD_SYSCTL, entry->name)) {
		forget(extra, RECORD_SYSCTL, entry->name);
		return;
	}
	twin.value = entry->value;
	twin.old_value = observed->value;
	twin.revert = true;
	twin.why = "as it was before";
	*arena_push(extra->view->arena, extra->plan->operations, extra->plan->count) = twin;
}

void plan_extra_host_sysctls(struct extra *extra)
{
	const struct record *record = extra->record;

	for (size_t i = record ? record->count : 0; i > 0; i--) /* the last change first */
		if (record->entries[i - 1].kind == RECORD_SYSCTL)
			extra_sysctl(extra, &record->entries[i - 1]);
}
