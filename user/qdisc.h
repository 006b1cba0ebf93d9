/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * qdisc - clsact, and our BPF program at its two hooks.
 *
 * Ours is the cls_bpf filter with this priority and handle whose name starts with the prefix of our
 * programs. All else at a hook is somebody else's.
 */
#ifndef NSROUTE_QDISC_H
#define NSROUTE_QDISC_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "kernel_state.h"
#include "netlink.h"

#define QDISC_FILTER_PRIORITY STATE_HOOK_PRIORITY
#define QDISC_FILTER_HANDLE   1

enum qdisc_hook { QDISC_INGRESS, QDISC_EGRESS };

/* link names the link in messages, here and below. -EEXIST when there is one; an "ingress" qdisc in
 * its place is -EEXIST too. */
void qdisc_add_clsact(struct netlink *nl, uint32_t ifindex, const char *link);
/* With every filter on it: only for one that we made. */
void qdisc_delete_clsact(struct netlink *nl, uint32_t ifindex, const char *link);

/* Attaches in direct-action mode, for all protocols. program is what the filter shows as its name.
 * -EEXIST when our place is taken. */
void qdisc_add_filter(struct netlink *nl, uint32_t ifindex, const char *link, enum qdisc_hook hook,
		      int program_fd, const char *program);
/* Adds, or exchanges the program in one step: no packet sees neither. */
void qdisc_replace_filter(struct netlink *nl, uint32_t ifindex, const char *link,
			  enum qdisc_hook hook, int program_fd, const char *program);
/* Whatever sits at our priority and handle: qdisc_read() tells whether it is ours. */
void qdisc_delete_filter(struct netlink *nl, uint32_t ifindex, const char *link,
			 enum qdisc_hook hook);

/* Fills in what struct state_link has of qdiscs and hooks, for links of the socket's namespace.
 * prefix is what names of our programs start with. */
int qdisc_read(struct netlink *nl, struct state_link *links, size_t count, const char *prefix,
	       struct error *err);

#endif
