/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath_trace - asks the datapath's steps what they would do with a packet.
 *
 * The only user of the traced programs (bpf/trace.bpf.c), which are loaded on the maps of an open
 * datapath, change nothing, and are gone with the process.
 */
#ifndef NSROUTE_DATAPATH_TRACE_H
#define NSROUTE_DATAPATH_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datapath.h"
#include "error.h"
#include "nsroute_trace.h"

#define DATAPATH_TRACE_PACKET 4096 /* room for one; the kernel takes a little less */

struct datapath_tracer;

/* datapath stays the caller's, and must live as long. */
int datapath_tracer_open(const struct datapath *datapath, struct datapath_tracer **ret,
			 struct error *err);
void datapath_tracer_close(struct datapath_tracer *tracer);

/* Whether the programs that packets meet are of another build than those that tell. */
bool datapath_is_other_build(const struct datapath *datapath);

struct datapath_packet {
	uint8_t bytes[DATAPATH_TRACE_PACKET];
	uint32_t length;
};

/* One hook's steps on a packet at the link with this ifindex, in the host namespace of host_fd;
 * came_in is the ifindex that the packet came in by when it leaves by the link, 0 for the host's
 * own. *packet becomes what the steps make of it; what they told is in *ret. -EMSGSIZE when the
 * kernel runs no programs on packets of that size. */
int datapath_trace(struct datapath_tracer *tracer, enum datapath_program hook, int host_fd,
		   uint32_t ifindex, uint32_t came_in, struct datapath_packet *packet,
		   struct nsr_trace *ret, struct error *err);

/* What the tables say of a port, an uplink and an inside address; false: nothing. */
bool datapath_find_port(const struct datapath *datapath, uint32_t ifindex, struct nsr_port *ret);
bool datapath_find_uplink(const struct datapath *datapath, uint32_t ifindex,
			  struct nsr_uplink *ret);
bool datapath_find_host(const struct datapath *datapath, const struct ip_address *ip,
			struct nsr_endpoint *ret);
/* The uplink that a port's network is masqueraded to. */
bool datapath_find_uplink_of(const struct datapath *datapath, const struct nsr_port *port,
			     struct nsr_uplink *ret);
/* Whether an uplink is the bridge of another network. */
bool datapath_leads_inside(const struct datapath *datapath, uint32_t uplink_ifindex);

#endif
