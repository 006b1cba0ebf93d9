/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_stepping - what the files of plan_step share.
 *
 * Those that are to be found refuse what is not there, or is a fabric's, with the mend.
 */
#ifndef NSROUTE_PLAN_STEPPING_H
#define NSROUTE_PLAN_STEPPING_H

#include "plan_step.h"
#include "plan_view.h"

struct stepping {
	const struct step *step;
	struct view *view;
	struct arena *arena;
	struct plan *plan;
	struct error *err;
};

struct operation *stepping_add(struct stepping *s, enum operation_kind kind);

/* For messages: " in namespace 'NAME'" and " -n NAME"; nothing for the host's. */
const char *stepping_in(const struct stepping *s, const char *namespace);
const char *stepping_option(const struct stepping *s, const char *namespace);

/* NULL: the host's. */
const struct state_namespace *stepping_namespace(const struct stepping *s, const char *name);
int stepping_need_namespace(struct stepping *s, const char *name);
/* A link that is there and that no fabric has; new ones in a fabric's namespace are fine. */
int stepping_need_link(struct stepping *s, const char *namespace, const char *name,
		       const struct state_link **ret);

/* The steps of addr and route. */
int stepping_address(struct stepping *s);
int stepping_route(struct stepping *s);

#endif
