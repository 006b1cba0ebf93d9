/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_step - a single step as a plan of its own. Pure, as plan is.
 *
 * A step does what it is asked for, whoever made the object, as ip does; with these exceptions:
 * what a fabric has is the file's, and a link that nsroute did not make is neither deleted nor
 * moved, unless it is in a namespace that single steps have. What a step makes is recorded.
 */
#ifndef NSROUTE_PLAN_STEP_H
#define NSROUTE_PLAN_STEP_H

#include "plan.h"
#include "step.h"

/* The namespaces to observe before plan_step(). */
void plan_step_needs(const struct step *step, struct arena *arena, const char *const **ret_names,
		     size_t *ret_count);

/* record is that of single steps, or NULL. The MAC addresses of new links have been chosen. Not for
 * STEP_LIST. Refuses (-EEXIST, -ENOENT, -ENODEV, -EPERM, ...) with the mend. */
int plan_step(const struct step *step, const struct kernel_state *state,
	      const struct record *record, struct arena *arena, struct plan **ret,
	      struct error *err);

/* What forgets the entries of the record of single steps whose objects are gone. The state has all
 * namespaces that plan_needs_namespaces() names. */
struct plan *plan_prune(const struct record *record, const struct kernel_state *state,
			struct arena *arena);

/* What to do about a refusal of the kernel's; NULL: nothing comes to mind. */
const char *plan_step_mend(const struct step *step, int code, struct arena *arena);

#endif
