/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * orphans - what is recorded or pinned for host namespaces that no longer exist.
 *
 * A fabric's links die with its host namespace; its record, its pins and the names of its own
 * namespaces stay. "nsroute down --orphans" removes them. doctor calls orphans_find() and reports
 * each one as a finding whose mend is that command; not *ret_sure is no finding, but worth a note.
 */
#ifndef NSROUTE_ORPHANS_H
#define NSROUTE_ORPHANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "error.h"

struct orphan {
	uint64_t cookie;      /* of a host namespace that is gone */
	const char **fabrics; /* recorded for it; none when only pins or an empty folder are left */
	size_t fabrics_count;
};

/* Memory is the arena's. Whether a host namespace is gone can only be told where every process can
 * be seen: by root, outside containers. Elsewhere none is returned, and *ret_sure is false when
 * there is one of which nobody is seen. */
int orphans_find(struct arena *arena, struct orphan **ret, size_t *ret_count, bool *ret_sure,
		 struct error *err);
/* Which fabric of another host namespace than this one (by its cookie) has made the namespace with
 * this name, in words: "fabric 'lab' of host namespace 'far' (nsroute --netns far)". NULL: none is
 * recorded for it. */
const char *orphans_owner(uint64_t cookie, const char *namespace, struct arena *arena);
/* Takes out of the orphan's records what the record of a host namespace that is not among the
 * orphans names too: somebody else has made it again. Under the lock (record.h). */
int orphans_disclaim(const struct orphan *orphans, size_t count, struct arena *arena,
		     struct error *err);

#endif
