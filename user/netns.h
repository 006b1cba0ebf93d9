/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netns - network namespaces, named as "ip netns" names them.
 *
 * A name is a file in /run/netns with the namespace's nsfs file mounted on it. A file with nothing
 * mounted is what a killed process (or a reboot of a container) leaves: "stale". Only the calling
 * thread changes namespaces, and it always comes back.
 */
#ifndef NSROUTE_NETNS_H
#define NSROUTE_NETNS_H

#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "error.h"

#define NETNS_DIRECTORY "/run/netns"

enum netns_status { NETNS_ABSENT, NETNS_STALE, NETNS_PRESENT, NETNS_FOREIGN };

/* A name that cannot be opened is present: what is not known to be stale must not be removed as
 * such, and netns_open() tells what is the matter with it. What is no file, or a link that leads
 * nowhere, is foreign: nobody makes namespaces like that. */
enum netns_status netns_status(const char *name);

/* As "ip netns add": -EEXIST when the name is taken, by a stale file too. Its lo is down, and has
 * the alias from before the name can be seen. */
int netns_add(const char *name, const char *alias, uint64_t *ret_cookie, struct error *err);
/* As "ip netns delete"; removes a stale file as well. -ENOENT when there is none. */
int netns_delete(const char *name, struct error *err);
/* Names that are namespaces, sorted; memory is the arena's. None when there is no registry. */
int netns_list(struct arena *arena, const char ***ret_names, size_t *ret_count, struct error *err);

/* Opens by name, or by path when there is a slash in it; NULL is the calling thread's own. The
 * caller closes. */
int netns_open(const char *name_or_path, int *ret_fd, struct error *err);
/* The kernel's number of the namespace (SO_NETNS_COOKIE): never given twice in one boot. */
int netns_cookie(int fd, uint64_t *ret_cookie, struct error *err);

/* The number that the namespace of host_fd knows that of fd by ("ip netns" shows it); -1: none. */
int netns_id(int host_fd, int fd, int32_t *ret_id, struct error *err);
/* One that has no name and ends with its last descriptor. The caller closes. */
int netns_temporary(int *ret_fd, struct error *err);

/* Moves the thread into the namespace, or nowhere when fd is -1; *ret_previous is for
 * netns_leave(), which must follow on every path. */
int netns_enter(int fd, int *ret_previous, struct error *err);
/* Back, and closes. A thread that cannot come back must not go on: aborts. Keeps errno. */
void netns_leave(int previous);

/* Makes the calling process ready to run a command in the namespace: its network, a private mount
 * namespace with the /sys of that network (with the host's bpffs, cgroups and tracing files still
 * in it), and the files of /etc/netns/NAME/ in place of those in /etc. name NULL: no such files.
 * For a child that is going to exec: there is no way back. */
int netns_become(int fd, const char *name, struct error *err);

#endif
