/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: what host namespaces left that are gone is found as "down --orphans" finds it,
 * which is the mend. Pins of this host namespace without any record beside them are orphans, too.
 */
#include "doctor.h"

#include <inttypes.h>
#include <unistd.h>

#include "datapath.h"
#include "orphans.h"

static void add_orphan(struct doctor_world *world, const char *what, const char *folder,
		       uint64_t cookie, const char *mend)
{
	const char *path = arena_printf(world->arena, "%s/%" PRIu64, folder, cookie);
	struct doctor_orphan *orphan;

	if (access(path, F_OK) != 0)
		return;
	orphan = arena_push(world->arena, world->orphans, world->orphans_count);
	orphan->what = what;
	orphan->where = path;
	orphan->mend = mend;
}

static void look_at_others(struct doctor_world *world)
{
	const char *mend = doctor_nsroute(world, "down --orphans");
	struct orphan *orphans;
	struct error err;
	size_t count;
	bool sure;

	if (orphans_find(world->arena, &orphans, &count, &sure, &err)) {
		world->orphans_problem = arena_strdup(world->arena, err.message);
		return;
	}
	if (!sure)
		world->orphans_problem =
			"there is something of a host namespace in which nobody is seen, but not "
			"all processes of this machine can be seen from here";
	for (size_t i = 0; i < count; i++) {
		add_orphan(world, "the record of fabrics in a host namespace that is gone",
			   RECORD_DIRECTORY, orphans[i].cookie, mend);
		add_orphan(world, "programs and tables of a host namespace that is gone",
			   DATAPATH_PINS, orphans[i].cookie, mend);
	}
}

void doctor_look_for_orphans(struct doctor_world *world, uint64_t cookie)
{
	look_at_others(world);
	if (!world->state->others_count)
		add_orphan(world, "programs and tables of this host namespace, which has no fabric",
			   DATAPATH_PINS, cookie, doctor_nsroute(world, "down --all"));
}
