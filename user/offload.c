/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the old ioctl, which every kernel has (net/ethtool/ioctl.c), on a socket of the
 * namespace.
 */
#include "offload.h"

#include <errno.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/sockios.h>

#include "netns.h"

static int ask(int netns_fd, const char *link, struct ethtool_value *value, struct error *err)
{
	struct ifreq request = {.ifr_data = (void *)value};
	int previous, fd, code;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", link);
	code = netns_enter(netns_fd, &previous, err);
	if (code)
		return code;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	code = fd < 0 || ioctl(fd, SIOCETHTOOL, &request) ? -errno : 0;
	netns_leave(previous);
	if (fd >= 0)
		close(fd);
	return code ? error_set(err, code, "cannot %s the checksum offload of '%s': %s",
				value->cmd == ETHTOOL_STXCSUM ? "set" : "read", link,
				strerror(-code))
		    : 0;
}

int offload_read(int netns_fd, const char *link, const char **ret_value, struct error *err)
{
	struct ethtool_value value = {.cmd = ETHTOOL_GTXCSUM};
	int code = ask(netns_fd, link, &value, err);

	if (code && code != -ENODEV && code != -EOPNOTSUPP)
		return code;
	*ret_value = code ? NULL : value.data ? "on" : "off";
	return 0;
}

int offload_write(int netns_fd, const char *link, const char *value, struct error *err)
{
	struct ethtool_value wanted = {.cmd = ETHTOOL_STXCSUM, .data = !strcmp(value, "on")};

	return ask(netns_fd, link, &wanted, err);
}
