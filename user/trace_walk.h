/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * trace_walk - one packet on its way. For trace*.c only.
 */
#ifndef NSROUTE_TRACE_WALK_PRIVATE_H
#define NSROUTE_TRACE_WALK_PRIVATE_H

#include <stddef.h>

#include "datapath_trace.h"
#include "kernel_state.h"
#include "netlink.h"
#include "trace.h"

#define TRACE_NAME_MAX 300               /* "NAMESPACE INTERFACE" */
#define TRACE_END_MAX  (IP_TEXT_MAX + 8) /* with a port */

struct walk {
	const struct trace_request *request;
	const struct datapath *datapath;
	struct datapath_tracer *steps;
	int host_fd;
	struct netlink *nl; /* of the host namespace */
	struct arena *arena;
	struct state_link *links; /* of the host namespace */
	size_t links_count;
	const json_t *places;
	struct datapath_packet packet; /* as it is here */
	bool unknown_mac;              /* the kernel has to ask for the next hop's first */
	char external[TRACE_END_MAX];  /* its source as it leaves by an uplink; empty: it has not */
	const char *external_more;     /* empty, or that the port is not decided */
	json_t *result;
	struct error *err;
};

/* ---- What is told. */

/* A line of the way: where is the hook's name, "kernel" or "namespace". */
void walk_say(struct walk *walk, const char *where, const char *what, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* What the steps at a hook told, and the counter that it moves. */
void walk_tell(struct walk *walk, enum datapath_program hook, uint32_t ifindex,
	       const struct nsr_trace *told);
/* The end of it. ifindex is the host's end of who gets it, or the uplink; 0: nobody. path is "fast"
 * or "slow", reason of a drop; NULL: none. */
void walk_answer(struct walk *walk, const char *result, uint32_t ifindex, const char *path,
		 const char *reason, const char *format, ...) __attribute__((format(printf, 6, 7)));

const struct nsr_told *walk_find(const struct nsr_trace *told, enum nsr_telling what);
int walk_verdict(const struct nsr_trace *told);
const char *walk_reason(int verdict);
/* "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]:80"; returns buffer. */
char *walk_end(const struct ip_address *ip, bool has_port, uint16_t port,
	       char buffer[TRACE_END_MAX]);
/* "red eth0", "eth0" (of the host), or "interface 7"; returns buffer. */
char *walk_name(const struct walk *walk, uint32_t ifindex, char buffer[TRACE_NAME_MAX]);
const struct state_link *walk_link(const struct walk *walk, uint32_t ifindex);

/* ---- Stages: each goes on to the next, up to the answer. */

int walk_port_in(struct walk *walk, uint32_t ifindex);
int walk_port_out(struct walk *walk, uint32_t ifindex, uint32_t came_in);
int walk_uplink_out(struct walk *walk, uint32_t ifindex, uint32_t came_in, bool fast);
int walk_uplink_in(struct walk *walk, uint32_t ifindex);

/* What the kernel does with what was left to it: of a frame that a port's hook passed on, and of a
 * packet that came in by a link to be routed. */
int walk_kernel_frame(struct walk *walk, uint32_t port_ifindex);
int walk_kernel_route(struct walk *walk, uint32_t came_in);
/* What a network's bridge does with a packet that has been masqueraded to it. */
int walk_inner(struct walk *walk, uint32_t bridge, uint32_t came_in);

#endif
