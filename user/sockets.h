/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sockets - whom a namespace's own programs wait for: sockets of TCP that listen, and of UDP that
 * have no remote.
 *
 * One of IPv6 that is bound to an IPv4 address (::ffff:203.0.113.1) has that port of IPv4, and is
 * told as one of IPv4.
 */
#ifndef NSROUTE_SOCKETS_H
#define NSROUTE_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "error.h"
#include "ip.h"

struct socket_open {
	struct ip_address address; /* its own; all zeros: whichever the namespace has */
	uint16_t port;
	uint8_t protocol; /* enum nsr_nat_protocol: TCP or UDP */
	bool only6;       /* of all addresses of IPv6, and of those alone (IPV6_V6ONLY) */
};

/* netns_fd -1: of this one. */
int sockets_read(int netns_fd, struct arena *arena, struct socket_open **ret, size_t *ret_count,
		 struct error *err);

#endif
