/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * offload - what ethtool(8) calls "tx-checksumming": whether a link may be given packets without
 * their checksum.
 *
 * A setting is known as "offload/LINK/tx-checksum" beside the sysctls of a namespace, and is "on"
 * or "off".
 */
#ifndef NSROUTE_OFFLOAD_H
#define NSROUTE_OFFLOAD_H

#include <stdbool.h>

#include "error.h"

/* In the namespace of netns_fd. *ret_value is a constant; NULL, and success: there is no link, or
 * it has no such setting. */
int offload_read(int netns_fd, const char *link, const char **ret_value, struct error *err);
int offload_write(int netns_fd, const char *link, const char *value, struct error *err);

#endif
