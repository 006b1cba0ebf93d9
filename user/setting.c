/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the first part of the key says which it is.
 */
#include "setting.h"

#include "offload.h"
#include "sysctl.h"
#include "sysctl_key.h"

int setting_read(int netns_fd, const char *key, struct arena *arena, const char **ret_value,
		 struct error *err)
{
	char link[NAME_INTERFACE_MAX + 1];

	return sysctl_key_offload(key, link) ? offload_read(netns_fd, link, ret_value, err)
					     : sysctl_read(netns_fd, key, arena, ret_value, err);
}

int setting_write(int netns_fd, const char *key, const char *value, struct error *err)
{
	char link[NAME_INTERFACE_MAX + 1];

	return sysctl_key_offload(key, link) ? offload_write(netns_fd, link, value, err)
					     : sysctl_write(netns_fd, key, value, err);
}
