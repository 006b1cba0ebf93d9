/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_builder - what the phases of plan_desired.c share. For plan*.c only.
 */
#ifndef NSROUTE_PLAN_BUILDER_H
#define NSROUTE_PLAN_BUILDER_H

#include "plan_view.h"

struct uplink {
	const char *name;                    /* NULL: not masqueraded */
	struct ip_address address, address6; /* address6: family 0: none */
	const struct more_externals *more;   /* NULL: there are none */
	bool fixed;                          /* the file names the address of IPv4 */
	bool inner;                          /* another network's bridge */
	uint16_t port_min, port_max;
	bool first; /* no network before this one has the same */
};

struct big_tcp { /* packets of more than 64 KiB */
	bool ipv4, ipv6;
};

struct builder {
	const struct topology *topology;
	const struct view *view;
	struct arena *arena;
	struct plan *plan;
	struct uplink *uplinks;        /* by network */
	uint16_t *numbers;             /* by network */
	struct big_tcp kernel_big_tcp; /* whether there is such a thing */
	struct big_tcp *big_tcp;       /* by network */
	struct big_tcp big_tcp_links;  /* of links without a network */
	struct lookup vias;            /* routes of the file by their next hop */
};

/* Appends an operation; the pointer is good until the next one. */
struct operation *want(struct builder *builder, enum operation_kind kind, struct position at);
struct operation *want_address(struct builder *builder, struct position at, const char *namespace,
			       const char *link, const struct ip_address *address);
void want_neighbour(struct builder *builder, struct position at, const char *namespace,
		    const char *link, const struct ip_address *ip, const uint8_t mac[6]);
/* Up, and marked as ours; with the MAC, and the fabric's MTU, of a link that we made. */
struct operation *want_link(struct builder *builder, struct position at, const char *namespace,
			    const char *link, const uint8_t mac[6]);
/* The kernel's way into and out of the network. */
void want_inner_link_of(struct builder *builder, struct position at, const char *link,
			const struct network *network);
/* via may be NULL: what it leads to is on the link. */
void want_route(struct builder *builder, struct position at, const char *namespace,
		const char *link, const struct ip_address *to, const struct ip_address *via);

#endif
