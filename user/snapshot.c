/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: one netlink socket a namespace, one dump a table. The pieces are read one after the
 * other, so they may be of slightly different moments; what vanishes in between shows as missing,
 * which is what it is. A namespace that is deleted while it is read counts as one that is not
 * there.
 */
#include "snapshot.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "datapath.h"
#include "file.h"
#include "link.h"
#include "neighbour.h"
#include "netlink.h"
#include "netns.h"
#include "qdisc.h"
#include "route.h"
#include "setting.h"
#include "snapshot_gateways.h"
#include "sysctl.h"

#define LOOPBACK_IFINDEX 1 /* include/net/net_namespace.h */

static int read_hooks_of(struct netlink *nl, struct state_namespace *ns,
			 const struct snapshot_request *request, struct error *err)
{
	int ret = 0;

	for (size_t i = 0; i < ns->links_count; i++)
		for (size_t j = 0; !ret && j < request->hooked_count; j++)
			if (!strcmp(ns->links[i].name, request->hooked[j]))
				ret = qdisc_read(nl, &ns->links[i], 1, DATAPATH_PROGRAM_PREFIX,
						 err);
	return ret;
}

static int read_neighbours(struct netlink *nl, struct arena *arena, struct state_namespace *ns,
			   const struct snapshot_request *request, struct error *err)
{
	if (request->neighbours == SNAPSHOT_NEIGHBOURS_NONE)
		return 0;
	if (ns->name && request->gateways)
		return gateways_read(nl, request->gateways, arena, ns, err);
	return neighbour_read(nl, arena, &ns->neighbours, &ns->neighbours_count, err);
}

static int read_tables(struct netlink *nl, struct arena *arena, struct state_namespace *ns,
		       const struct snapshot_request *request, struct error *err)
{
	int ret;

	ret = link_read(nl, arena, &ns->links, &ns->links_count, err);
	if (!ret && request->links_only)
		return ns->name ? 0 : read_hooks_of(nl, ns, request, err);
	if (!ret)
		ret = address_read(nl, arena, &ns->addresses, &ns->addresses_count, err);
	if (!ret)
		ret = route_read(nl, arena, &ns->routes, &ns->routes_count, err);
	if (!ret)
		ret = read_neighbours(nl, arena, ns, request, err);
	if (!ret && !ns->name)
		ret = qdisc_read(nl, ns->links, ns->links_count, DATAPATH_PROGRAM_PREFIX, err);
	return ret;
}

static int read_namespace(int fd, struct arena *arena, struct state_namespace *ns,
			  const struct snapshot_request *request, struct error *err)
{
	struct netlink *nl;
	int ret;

	ret = netlink_open(&nl, fd, err);
	if (ret)
		return ret;
	ret = netlink_cookie(nl, &ns->cookie, err);
	if (!ret)
		ret = read_tables(nl, arena, ns, request, err);
	netlink_close(nl);
	if (ret)
		return ret;
	ns->exists = true;
	ns->alias = "";
	for (size_t i = 0; i < ns->links_count; i++)
		if (ns->links[i].ifindex == LOOPBACK_IFINDEX)
			ns->alias = ns->links[i].alias;
	return 0;
}

static int read_named(const char *name, struct arena *arena, struct state_namespace *ns,
		      const struct snapshot_request *request, struct error *err)
{
	enum netns_status status = netns_status(name);
	int fd, ret;

	*ns = (struct state_namespace){.name = arena_strdup(arena, name), .alias = ""};
	ns->stale = status == NETNS_STALE;
	ns->exists = status == NETNS_FOREIGN; /* with nothing in it that could be ours */
	if (status != NETNS_PRESENT)
		return 0;
	ret = netns_open(name, &fd, err);
	if (ret == -ENOENT)
		return 0;
	if (ret)
		return ret;
	ret = read_namespace(fd, arena, ns, request, err);
	close(fd);
	return ret ? error_context(err, "namespace '%s'", name) : 0;
}

static int read_datapath(uint64_t cookie, bool any_layout, struct arena *arena,
			 struct state_datapath *state, struct error *err)
{
	struct datapath *datapath;
	int ret;

	if (!datapath_exists(cookie))
		return 0;
	ret = datapath_open(&datapath, cookie, NULL, err);
	if (ret == -ENOTSUP && any_layout) {
		state->loaded = state->unreadable = true;
		return 0;
	}
	if (ret)
		return ret;
	ret = datapath_snapshot(datapath, arena, state, err);
	datapath_close(datapath);
	return ret;
}

int snapshot_take(const struct snapshot_request *asked, struct arena *arena,
		  struct kernel_state **ret_state, struct error *err)
{
	struct kernel_state *state = arena_alloc(arena, sizeof(*state));
	struct snapshot_request request = *asked;
	struct gateways gateways;
	int ret;

	ret = read_namespace(request.host_fd, arena, &state->host, &request, err);
	if (ret)
		return ret;
	if (request.neighbours == SNAPSHOT_NEIGHBOURS_GATEWAYS) {
		gateways_index(&state->host, arena, &gateways);
		request.gateways = &gateways;
	}
	state->namespaces_count = request.namespaces_count;
	state->namespaces =
		arena_alloc(arena, request.namespaces_count * sizeof(*state->namespaces));
	for (size_t i = 0; i < request.namespaces_count; i++) {
		ret = read_named(request.namespaces[i], arena, &state->namespaces[i], &request,
				 err);
		if (ret)
			return ret;
	}
	if (!request.no_datapath)
		ret = read_datapath(state->host.cookie, request.any_layout, arena, &state->datapath,
				    err);
	if (ret)
		return ret;
	*ret_state = state;
	return 0;
}

int snapshot_sysctls(int host_fd, const char *const *keys, size_t count, struct arena *arena,
		     struct kernel_state *state, struct error *err)
{
	struct state_sysctl *sysctls = arena_alloc(arena, count * sizeof(*sysctls));
	int ret;

	for (size_t i = 0; i < count; i++) {
		sysctls[i].key = keys[i];
		ret = sysctl_read(host_fd, keys[i], arena, &sysctls[i].value, err);
		if (ret)
			return ret;
	}
	state->host.sysctls = sysctls;
	state->host.sysctls_count = count;
	return 0;
}

static struct state_namespace *find_namespace(struct kernel_state *state, const char *name)
{
	for (size_t i = 0; i < state->namespaces_count; i++)
		if (!strcmp(state->namespaces[i].name, name))
			return &state->namespaces[i];
	return NULL;
}

/* Of one namespace: all needs are its. One that was deleted meanwhile has none. */
static int read_netns_sysctls(const struct sysctl_need *needs, size_t count, struct arena *arena,
			      struct state_namespace *ns, struct error *err)
{
	int fd, ret;

	ret = netns_open(ns->name, &fd, err);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	for (size_t i = 0; !ret && i < count; i++) {
		struct state_sysctl *sysctl = arena_push(arena, ns->sysctls, ns->sysctls_count);

		sysctl->key = needs[i].key;
		ret = setting_read(fd, needs[i].key, arena, &sysctl->value, err);
	}
	close(fd);
	return ret ? error_context(err, "namespace '%s'", ns->name) : 0;
}

int snapshot_netns_sysctls(const struct sysctl_need *needs, size_t count, struct arena *arena,
			   struct kernel_state *state, struct error *err)
{
	int ret = 0;

	for (size_t i = 0, length; !ret && i < count; i += length) {
		struct state_namespace *ns = find_namespace(state, needs[i].namespace);

		for (length = 1; i + length < count &&
				 !strcmp(needs[i].namespace, needs[i + length].namespace);)
			length++;
		if (ns && ns->exists)
			ret = read_netns_sysctls(&needs[i], length, arena, ns, err);
	}
	return ret;
}

int snapshot_files(const char *const *paths, size_t count, struct arena *arena,
		   struct kernel_state *state, struct error *err)
{
	int ret = 0;

	state->files = arena_alloc(arena, count * sizeof(*state->files));
	state->files_count = count;
	for (size_t i = 0; !ret && i < count; i++) {
		state->files[i].path = paths[i];
		ret = file_read(paths[i], arena, &state->files[i], err);
	}
	return ret;
}
