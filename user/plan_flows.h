/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_flows - the datapath, with room for as many masqueraded flows as the file asks for. For
 * plan*.c only.
 */
#ifndef NSROUTE_PLAN_FLOWS_H
#define NSROUTE_PLAN_FLOWS_H

#include "plan_builder.h"

/* -ENOSPC, with the position in the file, when the datapath is there and has less room. */
int want_datapath(struct builder *builder, struct error *err);
/* When all is wanted: which of the programs that is for. */
void complete_datapath(struct plan *desired);
/* A datapath that is there serves, but for programs that nobody needed before, or that somebody
 * lost; those of another build are exchanged for ours, which know what ours know, and have the same
 * tables. First of all: whatever follows works with them. desired NULL: all that is ours goes. */
void plan_programs(const struct view *view, const struct plan *desired, struct plan *plan);

#endif
