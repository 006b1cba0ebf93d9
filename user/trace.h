/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * trace - what would happen to a packet, step by step: the datapath's steps, run without effect on
 * the live tables, and where these leave it to the kernel, what the kernel's own tables say.
 */
#ifndef NSROUTE_TRACE_WALK_H
#define NSROUTE_TRACE_WALK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "arena.h"
#include "datapath.h"
#include "error.h"
#include "ip.h"

struct trace_request {
	const char *namespace; /* that sends it; NULL: it arrives at the uplink */
	const char *interface; /* of the namespace (NULL: by its routes), or the uplink */
	struct ip_address to;
	struct ip_address source;      /* family 0: the one that the namespace would choose */
	uint8_t protocol;              /* IPPROTO_TCP, _UDP or _ICMP (of IPv6: _ICMPV6) */
	uint16_t to_port, source_port; /* ICMP: the identifier is source_port; inbound to_port */
	uint8_t ttl;
	uint32_t size; /* from the IP header on; 0: a small one */
};

/* host_fd is a descriptor of the host namespace, places what output_places() says of all its
 * fabrics. *ret is the model of "nsroute help trace", which the caller owns. */
int trace_packet(const struct trace_request *request, const struct datapath *datapath, int host_fd,
		 const json_t *places, struct arena *arena, json_t **ret, struct error *err);

/* The same for people. */
void trace_text(FILE *out, const json_t *trace, bool color);

#endif
