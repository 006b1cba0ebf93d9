/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * device - interfaces that we did not make: moved between namespaces, with all that a move takes
 * from them kept and given again.
 *
 * What is kept is a text (JSON, one line), which outlives the process in the record. It has the
 * interface's number, MTU, MAC, alias and whether it is up; its addresses, routes, permanent
 * and proxied neighbours and filter entries, all as the kernel's own messages; and the sysctls that
 * differ from what an interface gets that comes. Alternative names, queue lengths and the group
 * stay with an interface wherever it goes. Queueing disciplines and filters, multicast routes and
 * nexthop objects are not kept.
 */
#ifndef NSROUTE_DEVICE_H
#define NSROUTE_DEVICE_H

#include "arena.h"
#include "error.h"
#include "kernel_state.h"
#include "netlink.h"

/* All of these flush: the batch must be empty. nl is a socket in the namespace of netns_fd. */

/* -ENODEV when there is none. */
int device_find(struct netlink *nl, const char *name, struct arena *arena,
		const struct state_link **ret_link, struct error *err);
/* Refuses (-EOPNOTSUPP) routes that could not be given again: those with several next hops, or with
 * a nexthop object. */
int device_save(struct netlink *nl, int netns_fd, const char *name, struct arena *arena,
		const char **ret_text, struct error *err);
/* Gives all of it again; what is there already is left as it is. The alias comes last, and only
 * when nothing failed: whoever marked the interface with another one can go on from there. */
int device_restore(struct netlink *nl, int netns_fd, const char *name, const char *text,
		   struct arena *arena, struct error *err);
/* The number that it had. */
uint32_t device_saved_ifindex(const char *text);

int device_set_alias(struct netlink *nl, const char *name, const char *alias, struct error *err);
/* Moves it, down, to another namespace, where it is called new_name and has this number if that is
 * free (0: any). -EEXIST when the name, or one of its alternative names, is taken there. */
int device_move(struct netlink *nl, const struct state_link *link, int to_netns_fd,
		const char *new_name, uint32_t ifindex, struct error *err);

#endif
