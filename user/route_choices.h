/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * route_choices - what makes the kernel route by more than addresses, protocol and ports, so that
 * the programs, which ask its FIB, do not learn of it.
 */
#ifndef NSROUTE_ROUTE_CHOICES_H
#define NSROUTE_ROUTE_CHOICES_H

#include <stdint.h>

#include "netlink.h"

struct route_choices {
	uint32_t marks;    /* IPv4 rules that ask for a firewall mark */
	uint32_t policies; /* of XFRM (IPsec), outbound */
};

/* Of the namespace that nl and netns_fd are of. A kernel without XFRM has no policies. */
int route_choices_read(struct netlink *nl, int netns_fd, struct route_choices *ret,
		       struct error *err);

#endif
