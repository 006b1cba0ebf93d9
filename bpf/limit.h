/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * limit.h - how often something may be done: a token bucket in one word.
 *
 * The word is when the next one is due if they come at the rate. It lies up to a burst behind the
 * clock; who moves it forward has a token. Of CPUs that meet here one wins, and the others look
 * again.
 */
#ifndef NSROUTE_BPF_LIMIT_H
#define NSROUTE_BPF_LIMIT_H

#include "common.h"

#define LIMIT_TRIES 4 /* at a token that other CPUs want as well */

/* One every interval_ns, after so many at once. */
static __always_inline bool limit_token(u64 *due_ns, u64 now_ns, u64 interval_ns, u32 burst)
{
	u64 ahead = (burst - 1) * interval_ns, due, from;
	int i;

	for (i = 0; i < LIMIT_TRIES; i++) {
		due = READ_ONCE(*due_ns);
		from = due + ahead < now_ns ? now_ns - ahead : due;
		if (from > now_ns)
			return false;
		if (__sync_val_compare_and_swap(due_ns, due, from + interval_ns) == due)
			return true;
	}
	return false;
}

#endif
