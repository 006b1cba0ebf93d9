/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_reserve - the host's ip_local_reserved_ports: published ports are put into it, and what
 * others have put there is handed out to nobody. For plan*.c only, but for the name in the record.
 */
#ifndef NSROUTE_PLAN_RESERVE_H
#define NSROUTE_PLAN_RESERVE_H

#include "plan_builder.h"
#include "plan_extra.h"

#define RESERVED_KEY "net/ipv4/ip_local_reserved_ports"

/* Whether the sysctl has to be looked at. */
bool plan_needs_reserved_ports(const struct topology *topology, const struct record *record);

/* Before they are published. */
void want_reserved_ports(struct builder *builder);
bool reserve_missing(const struct view *view, struct operation *op);

/* Before there are pools. */
void want_set_aside(struct builder *builder);
bool set_aside_missing(const struct view *view, struct operation *op);

/* When nothing is published any more. */
void plan_extra_reserved_ports(struct extra *extra);

#endif
