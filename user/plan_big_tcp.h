/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_big_tcp - how large the packets of TCP may be that links take whole. For plan*.c only.
 */
#ifndef NSROUTE_PLAN_BIG_TCP_H
#define NSROUTE_PLAN_BIG_TCP_H

#include "plan_builder.h"

/* Fills big_tcp and big_tcp_links of the builder; its uplinks are known by then. */
void find_big_tcp(struct builder *builder);
/* The sizes of a LINK_SET: of a network's link, or (NULL) of a link that is of none. */
void want_sizes(struct builder *builder, struct operation *op, const struct network *network);
/* Of the bridges, which take no larger packets than their ports: when they have them. */
void want_bridge_sizes(struct builder *builder);
/* NSR_PORT_BIG_TCP, or 0, of an endpoint that is known by this address, or (family 0) by its MAC.
 */
uint16_t big_tcp_flag(const struct builder *builder, const struct network *network, uint8_t family);

/* Takes out of the operation what the link (NULL: it will be made) has; what it had goes into old,
 * which may be NULL. False: nothing is left. */
bool sizes_missing(const struct state_link *link, struct operation *op, struct operation *old);

#endif
