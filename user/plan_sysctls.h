/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_sysctls - sysctls of namespaces, and the way back of the host's, of which plan_host knows
 * what is wanted. For plan*.c only.
 */
#ifndef NSROUTE_PLAN_SYSCTLS_H
#define NSROUTE_PLAN_SYSCTLS_H

#include "plan_builder.h"
#include "plan_extra.h"

/* Those of the namespaces themselves, before there are links; then those of links. */
void want_netns_sysctls(struct builder *builder);
void want_link_sysctls(struct builder *builder);

bool netns_sysctl_missing(const struct view *view, struct operation *op);
/* -ENOENT when a namespace that is there has no such sysctl. */
int check_netns_sysctl(const struct view *view, const struct operation *op, struct error *err);

/* What is not wanted any more of namespaces that stay, before anything is set; then what is
 * recorded of those that go. */
void plan_extra_sysctls(struct extra *extra);
void plan_extra_lost_sysctls(struct extra *extra);
void plan_extra_host_sysctls(struct extra *extra);

#endif
