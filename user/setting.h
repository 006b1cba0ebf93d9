/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * setting - sysctls and offloads of a namespace by one kind of key: see sysctl.h and offload.h.
 */
#ifndef NSROUTE_SETTING_H
#define NSROUTE_SETTING_H

#include "arena.h"
#include "error.h"

/* NULL, and success, when there is no such setting. */
int setting_read(int netns_fd, const char *key, struct arena *arena, const char **ret_value,
		 struct error *err);
int setting_write(int netns_fd, const char *key, const char *value, struct error *err);

#endif
