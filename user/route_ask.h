/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * route_ask - asks the kernel where it would send a packet: its FIB, with rules and all, and a
 * bridge's forwarding table. Nothing is sent.
 */
#ifndef NSROUTE_ROUTE_ASK_H
#define NSROUTE_ROUTE_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "error.h"
#include "ip.h"
#include "netlink.h"

struct route_question {
	struct ip_address to;
	struct ip_address from; /* family 0: the kernel chooses, for a packet of its own */
	uint32_t came_in;       /* ifindex that it is forwarded from; 0: of the namespace itself */
	uint32_t ifindex;       /* by this link; 0: by any */
	uint8_t protocol;       /* rules may ask for it and for the ports; 0: not given */
	uint16_t source_port, destination_port;
};

struct route_answer {
	int refused;  /* 0, or why the kernel would not send it: a negative errno */
	uint8_t type; /* RTN_* */
	uint32_t ifindex;
	struct ip_address via;    /* family 0: on the link */
	struct ip_address source; /* that it would have; family 0: not told */
};

/* Fails only when the kernel cannot be asked. Flushes: the batch must be empty. */
int route_ask(struct netlink *nl, const struct route_question *question, struct route_answer *ret,
	      struct error *err);

/* The port of a bridge that a MAC is behind, 0: not known; *ret_own: it is the bridge's own, or a
 * port's. */
int bridge_ask(struct netlink *nl, uint32_t bridge, const uint8_t mac[6], uint32_t *ret_ifindex,
	       bool *ret_own, struct error *err);

#endif
