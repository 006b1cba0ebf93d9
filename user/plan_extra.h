/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_extra - what is there and is ours, and is not wanted (any more). For plan*.c only.
 */
#ifndef NSROUTE_PLAN_EXTRA_H
#define NSROUTE_PLAN_EXTRA_H

#include "plan_view.h"

/* wanted has the keys of all desired operations; nothing is wanted of a fabric that goes. */
struct extra {
	struct view *view;
	const struct record *record;
	const struct lookup *wanted;
	struct plan *plan;
	bool removal; /* of the whole fabric: the record goes at the end */
	bool unload;  /* the datapath goes too, with all its tables */
};

/* Addresses, routes and neighbours of our links: can be taken back, and would be in the way. */
void plan_extra_attached(struct extra *extra);
/* What the datapath has of uplinks whose interface is gone: others need the room. */
void plan_extra_lost(struct extra *extra);
/* Everything that cannot be taken back: links, namespaces; then what they needed. */
void plan_extra_objects(struct extra *extra);

#endif
