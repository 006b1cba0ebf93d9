/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: which sysctls matter depends on the interfaces and routes of the host ("uplink:
 * auto"), so they are read after the rest. The records of other fabrics come with it, because
 * uplinks and sysctls are shared. One that cannot be read is an error: without it we could take
 * away what that fabric lives on.
 */
#include "fabric.h"

#include <errno.h>
#include <string.h>

#include "orphans.h"
#include "ovs.h"
#include "plan.h"
#include "plan_keep.h"
#include "snapshot.h"

static int read_others(const char *fabric, struct kernel_state *state, struct arena *arena,
		       struct error *err)
{
	const char **names;
	size_t count;
	int ret;

	ret = record_list(state->host.cookie, arena, &names, &count, err);
	for (size_t i = 0; !ret && i < count; i++) {
		struct record *record;

		if (fabric && !strcmp(names[i], fabric))
			continue;
		ret = record_read(state->host.cookie, names[i], arena, &record, err);
		if (ret == -ENOENT)
			ret = 0; /* removed meanwhile */
		else if (!ret && !strcmp(names[i], RECORD_STEPS))
			state->steps = record;
		else if (!ret)
			*arena_push(arena, state->others, state->others_count) = *record;
	}
	return ret;
}

static int read_rest(const struct topology *topology, const struct record *record, int host_fd,
		     struct arena *arena, struct kernel_state *state, struct error *err)
{
	const struct sysctl_need *sysctls;
	const struct peer_need *peers;
	const char *const *paths;
	size_t count;
	int ret;

	plan_needs_netns_sysctls(topology, record, arena, &sysctls, &count);
	ret = snapshot_netns_sysctls(sysctls, count, arena, state, err);
	if (!ret && topology) {
		plan_needs_peers(topology, state, arena, &peers, &count);
		ret = snapshot_ask_peers(host_fd, peers, count, err);
	}
	if (ret)
		return ret;
	plan_needs_files(topology, record, arena, &paths, &count);
	ret = snapshot_files(paths, count, arena, state, err);
	if (ret || !plan_needs_ovs(topology, record))
		return ret;
	return ovs_read(arena, &state->ovs, err);
}

/* Of those that have our mark and are not of this fabric: for the message that refuses them. */
static bool is_recorded(const struct record *record, const struct state_namespace *ns)
{
	return record_is_namespace(record_find(record, RECORD_NETNS, ns->name), ns->cookie);
}

static void find_owners(const struct record *record, struct arena *arena,
			struct kernel_state *state)
{
	for (size_t i = 0; i < state->namespaces_count; i++) {
		struct state_namespace *ns = &state->namespaces[i];

		if (ns->alias && !strncmp(ns->alias, "nsroute:", strlen("nsroute:")) &&
		    !is_recorded(record, ns) && !is_recorded(state->steps, ns))
			ns->owner = orphans_owner(state->host.cookie, ns->name, arena);
	}
}

static int observe(struct topology *topology, const struct record *record,
		   struct snapshot_request *request, struct arena *arena,
		   struct kernel_state **ret_state, struct error *err)
{
	const char *fabric = topology ? topology->name : record ? record->fabric : NULL;
	struct kernel_state *state;
	const char *const *sysctls;
	size_t sysctls_count;
	int ret;

	plan_needs_namespaces(topology, record, arena, &request->namespaces,
			      &request->namespaces_count);
	ret = snapshot_take(request, arena, &state, err);
	if (!ret)
		ret = read_others(fabric, state, arena, err);
	if (!ret && topology)
		find_owners(record, arena, state);
	if (!ret && topology)
		ret = plan_keep(topology, record, state, arena, err);
	if (ret)
		return ret;
	plan_needs_sysctls(topology, record, state, arena, &sysctls, &sysctls_count);
	ret = snapshot_sysctls(request->host_fd, sysctls, sysctls_count, arena, state, err);
	if (!ret)
		ret = read_rest(topology, record, request->host_fd, arena, state, err);
	if (!ret)
		*ret_state = state;
	return ret;
}

int fabric_observe(struct topology *topology, const struct record *record, int host_fd,
		   struct arena *arena, struct kernel_state **ret_state, struct error *err)
{
	struct snapshot_request request = {.host_fd = host_fd,
					   .neighbours = topology ? SNAPSHOT_NEIGHBOURS_GATEWAYS
								  : SNAPSHOT_NEIGHBOURS_NONE};

	return observe(topology, record, &request, arena, ret_state, err);
}

int fabric_observe_removal(const struct record *record, int host_fd, struct arena *arena,
			   struct kernel_state **ret_state, struct error *err)
{
	struct snapshot_request request = {
		.host_fd = host_fd, .links_only = true, .any_layout = true};
	const char **uplinks = NULL;

	for (size_t i = 0; i < record->count; i++)
		if (record->entries[i].kind == RECORD_UPLINK)
			*arena_push(arena, uplinks, request.hooked_count) = record->entries[i].name;
	request.hooked = uplinks;
	return observe(NULL, record, &request, arena, ret_state, err);
}

int fabric_observe_named(const char *const *namespaces, size_t count, bool links_only, int host_fd,
			 struct arena *arena, struct kernel_state **ret_state, struct error *err)
{
	struct snapshot_request request = {.host_fd = host_fd,
					   .namespaces = namespaces,
					   .namespaces_count = count,
					   .links_only = links_only,
					   .neighbours = SNAPSHOT_NEIGHBOURS_NONE,
					   .no_datapath = true};
	struct kernel_state *state;
	int ret = snapshot_take(&request, arena, &state, err);

	if (!ret)
		ret = read_others(RECORD_STEPS, state, arena, err);
	if (!ret)
		*ret_state = state;
	return ret;
}
