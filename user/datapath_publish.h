/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath_publish - ports of namespaces that are reached at an uplink's address.
 */
#ifndef NSROUTE_DATAPATH_PUBLISH_H
#define NSROUTE_DATAPATH_PUBLISH_H

#include "datapath.h"
#include "topology.h"

/* The sessions that the external ports or the inside endpoints had under other mappings end. What
 * is there already stays as it is. -EADDRINUSE when a program of the host listens on one of the
 * ports; then none is published. */
int datapath_publish(const struct datapath *datapath, uint32_t uplink_ifindex,
		     const struct ip_address *inside, const struct published_ports *ports,
		     int host_fd, struct error *err);
/* With its sessions. What is not there is no error. */
int datapath_unpublish(const struct datapath *datapath, uint32_t uplink_ifindex,
		       const struct published_ports *ports, struct error *err);

/* For datapath_tables.c: the pools of an uplink go, and come back. What is published is kept in its
 * table, or forgotten when the number goes to another uplink. */
int datapath_publish_suspend(const struct datapath *datapath, uint32_t uplink, struct error *err);
int datapath_publish_resume(const struct datapath *datapath, uint32_t uplink, struct error *err);
int datapath_publish_forget(const struct datapath *datapath, uint32_t uplink, struct error *err);

#endif
