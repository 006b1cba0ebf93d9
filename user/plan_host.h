/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_host - what a fabric needs of the host, which it shares with others. For plan*.c only.
 */
#ifndef NSROUTE_PLAN_HOST_H
#define NSROUTE_PLAN_HOST_H

#include "plan_builder.h"

/* Name of the interface that a network is masqueraded to: "auto" is that of the default route; NULL
 * when there is no such route. */
const char *plan_uplink_name(const struct masquerade *masquerade, const struct kernel_state *state);
/* Whether an interface of the host has routes from router advertisements. */
bool plan_lives_on_advertisements(const struct kernel_state *state, uint32_t ifindex);

/* Whether the key of a sysctl is net/ipv6/conf/ANY/forwarding. */
bool plan_is_ipv6_forwarding(const char *key);

/* Whether our programs can be attached: -EEXIST where somebody else's qdisc or filter is in the
 * way. */
int check_hooks(const struct state_link *link, struct error *err);

/* Fill uplinks and numbers of the builder. */
int find_uplinks(struct builder *builder, struct error *err);
int number_networks(struct builder *builder, struct error *err);
/* Those outside of the fabric; or (inner) its bridges, once they are there: with what is
 * masqueraded to them. */
void want_uplinks(struct builder *builder, bool inner);
void want_host_sysctls(struct builder *builder);

#endif
