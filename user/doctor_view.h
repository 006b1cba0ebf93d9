/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * doctor_view - a doctor_world arranged for questions: who is connected to whom, who has which
 * address, where a packet would go. For doctor*.c only.
 */
#ifndef NSROUTE_DOCTOR_VIEW_H
#define NSROUTE_DOCTOR_VIEW_H

#include "doctor.h"

/* Fills the interfaces of all namespaces and their segments. */
void doctor_connect(struct doctor_world *world);

/* All namespaces: the host is number 0. NULL past the end. */
const struct state_namespace *doctor_space(const struct doctor_world *world, size_t at);
bool doctor_is_host(const struct doctor_world *world, const struct state_namespace *namespace);
/* NULL when there is none, here and below. */
struct doctor_interface *doctor_interface(const struct doctor_world *world,
					  const struct state_namespace *namespace,
					  uint32_t ifindex);
struct doctor_interface *doctor_interface_named(const struct doctor_world *world,
						const struct state_namespace *namespace,
						const char *name);
const struct state_port *doctor_port(const struct doctor_world *world, uint32_t ifindex);
/* Whether the interface (of the host) belongs to an uplink of a recorded fabric. */
bool doctor_is_uplink(const struct doctor_world *world, const char *name);

/* Whether the link takes part in networks at all: neither lo nor a port of something. */
bool doctor_is_layer3(const struct doctor_interface *interface);
bool doctor_is_up(const struct state_link *link);

const struct state_address *doctor_next_address(const struct doctor_interface *interface,
						uint8_t family,
						const struct state_address *previous);
/* Who on the segment has the address, besides the interface itself. */
struct doctor_interface *doctor_who_has(const struct doctor_interface *interface,
					const struct ip_address *ip);
/* An address of the host on the interface's segment, in one of its subnets: what could be its
 * gateway. */
const struct state_address *doctor_gateway_for(const struct doctor_world *world,
					       const struct doctor_interface *interface,
					       uint8_t family);
/* The best route of the main table. */
const struct state_route *doctor_route(const struct state_namespace *namespace,
				       const struct ip_address *to);
const struct state_route *doctor_default_route(const struct state_namespace *namespace,
					       uint8_t family);
/* "" when it was not read. The key is printed. */
const char *doctor_sysctl(const struct state_namespace *namespace, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
