/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath_publish - ports of namespaces that are reached at an uplink's address. The families have
 * tables of their own, so that a port may be another's in each.
 */
#ifndef NSROUTE_DATAPATH_PUBLISH_H
#define NSROUTE_DATAPATH_PUBLISH_H

#include "datapath.h"
#include "kernel_state.h"
#include "topology.h"

/* In the family of "inside", at one of the uplink's addresses (family 0: the first). The sessions
 * that the external ports or the inside endpoints had under other mappings end. What is there
 * already stays as it is. -EADDRINUSE when a program of the host listens on one of the ports; then
 * none is published. */
int datapath_publish_at(const struct datapath *datapath, uint32_t uplink_ifindex,
			const struct ip_address *at, const struct ip_address *inside,
			const struct published_ports *ports, int host_fd, struct error *err);
/* With its sessions. What is not there is no error. */
int datapath_unpublish_at(const struct datapath *datapath, uint32_t uplink_ifindex, bool ipv6,
			  const struct ip_address *at, const struct published_ports *ports,
			  struct error *err);

/* The same at the first. */
static inline int datapath_publish(const struct datapath *datapath, uint32_t uplink_ifindex,
				   const struct ip_address *inside,
				   const struct published_ports *ports, int host_fd,
				   struct error *err)
{
	const struct ip_address first = {0};

	return datapath_publish_at(datapath, uplink_ifindex, &first, inside, ports, host_fd, err);
}

static inline int datapath_unpublish(const struct datapath *datapath, uint32_t uplink_ifindex,
				     bool ipv6, const struct published_ports *ports,
				     struct error *err)
{
	const struct ip_address first = {0};

	return datapath_unpublish_at(datapath, uplink_ifindex, ipv6, &first, ports, err);
}

/* For datapath_read.c: the entry after *previous (NULL: the first); false at the end. */
bool datapath_published(const struct datapath *datapath, bool ipv6, const uint32_t *previous,
			struct state_published *ret);

/* For datapath_tables.c: the pools of an uplink go, and come back. What is published is kept in its
 * table, or forgotten, in both families, when the number goes to another uplink. */
int datapath_publish_suspend(const struct datapath *datapath, bool ipv6, uint32_t uplink,
			     struct error *err);
/* The same of one address; for_good: it is forgotten. */
int datapath_publish_leave(const struct datapath *datapath, bool ipv6, uint32_t slot, bool for_good,
			   struct error *err);
int datapath_publish_resume(const struct datapath *datapath, bool ipv6, uint32_t uplink,
			    struct error *err);
int datapath_publish_forget(const struct datapath *datapath, uint32_t uplink, struct error *err);

#endif
