/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sysctl - files below /proc/sys, of a network namespace.
 *
 * Keys have slashes ("net/ipv4/conf/eth0.1/forwarding"), because names of interfaces have dots.
 */
#ifndef NSROUTE_SYSCTL_H
#define NSROUTE_SYSCTL_H

#include <stddef.h>

#include "arena.h"
#include "error.h"

/* In the namespace of netns_fd, or the calling thread's when it is -1. *ret_value is without the
 * newline, in the arena; NULL, and success, when there is no such key. */
int sysctl_read(int netns_fd, const char *key, struct arena *arena, const char **ret_value,
		struct error *err);
/* -ENOENT when there is no such key. */
int sysctl_write(int netns_fd, const char *key, const char *value, struct error *err);
/* Of one that is a set of numbers, in the kernel a bitmap ("80,8080-8081"; "" is none): adds to it
 * what the value names, at once, or makes it that and nothing else. -ENOENT likewise. */
int sysctl_add_to_set(int netns_fd, const char *key, const char *value, struct error *err);
int sysctl_write_set(int netns_fd, const char *key, const char *value, struct error *err);
/* Names of the keys in a folder of them ("net/ipv4/conf/eth0"); none when there is no such folder.
 */
int sysctl_list(int netns_fd, const char *folder, struct arena *arena, const char ***ret_names,
		size_t *ret_count, struct error *err);

#endif
