/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * snapshot - reads the kernel's state into plain data.
 */
#ifndef NSROUTE_SNAPSHOT_H
#define NSROUTE_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "error.h"
#include "kernel_state.h"
#include "plan.h"

/* The kernel walks those of the whole machine for each namespace whose neighbours are listed. */
enum snapshot_neighbours {
	SNAPSHOT_NEIGHBOURS_ALL,
	SNAPSHOT_NEIGHBOURS_GATEWAYS, /* of a namespace only its gateways: for plans */
	SNAPSHOT_NEIGHBOURS_NONE,     /* for what is only shown */
};

/* What to read: the host namespace (host_fd, a descriptor of it) always, and the namespaces named.
 */
struct snapshot_request {
	int host_fd;
	const char *const *namespaces;
	size_t namespaces_count;
	/* For a removal of everything links are enough, wherever they are, and the hooks of these
	 * links of the host: what hangs on a link goes with it. */
	bool links_only;
	const char *const *hooked;
	size_t hooked_count;
	bool any_layout;  /* a datapath of another layout is no error: it is "unreadable" */
	bool no_datapath; /* leave out our own tables, which may be of another version */
	enum snapshot_neighbours neighbours;
	const struct gateways *gateways; /* snapshot_take()'s own */
};

/* A namespace that does not exist is in the result with exists = false. */
int snapshot_take(const struct snapshot_request *request, struct arena *arena,
		  struct kernel_state **ret_state, struct error *err);

/* Finds out which of the state's namespaces the other ends of their veths are in; those that are in
 * none of them stay unknown. */
int snapshot_peers(int host_fd, struct kernel_state *state, struct error *err);

/* The same only for these, which is less to ask. */
int snapshot_ask_peers(int host_fd, const struct peer_need *needs, size_t count, struct error *err);

/* Adds the values of the host's sysctls with these keys (see state_sysctl), which are borrowed. */
int snapshot_sysctls(int host_fd, const char *const *keys, size_t count, struct arena *arena,
		     struct kernel_state *state, struct error *err);
/* The same for sysctls of namespaces, which are entered only for this, and for files below
 * /etc/netns. */
int snapshot_netns_sysctls(const struct sysctl_need *needs, size_t count, struct arena *arena,
			   struct kernel_state *state, struct error *err);
int snapshot_files(const char *const *paths, size_t count, struct arena *arena,
		   struct kernel_state *state, struct error *err);

#endif
