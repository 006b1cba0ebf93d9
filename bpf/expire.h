/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * expire.h - gives back what has expired: session slots, external ports that have cooled down, and
 * fragments whose first has not come.
 *
 * One timer walks all tables a slice at a time, so that a tick is short and a full pass takes
 * EXPIRE_TICKS ticks (8 s), however large the table of sessions is: then the slices are larger. It
 * needs no process: the timer lives in a pinned map, and its callback keeps the program alive that
 * armed it.
 */
#ifndef NSROUTE_BPF_EXPIRE_H
#define NSROUTE_BPF_EXPIRE_H

#include "nat6.h"
#include "reclaim.h"

#define EXPIRE_PERIOD_NS 62500000ull

#define CLOCK_MONOTONIC 1 /* linux/time.h clashes with the BPF headers */

/* Slots of a family's sessions that are in use, as the last pass has seen them. */
struct expire_used {
	u32 all; /* the sum of ... */
	u32 of_part[EXPIRE_TICKS];
};

struct expire_clock {
	struct bpf_timer timer;
	u32 tick;
	struct expire_used used, used6;
};

NSR_ARRAY(expire_clock, BPF_MAP_TYPE_ARRAY, struct expire_clock, 1);

/* How much is lacking of a quarter of the table, by what was in use when it was last looked at. */
static __always_inline u32 expire_lacking(const struct expire_used *used, u32 quarter)
{
	u32 all = used->all;

	if (all <= 3 * quarter)
		return 0;
	return all < 4 * quarter ? all - 3 * quarter : quarter;
}

static __always_inline void expire_seen(struct expire_used *used, u32 part, u32 seen)
{
	u32 *of_part;

	barrier_var(part);
	of_part = &used->of_part[part & (EXPIRE_TICKS - 1)];
	used->all += seen - *of_part;
	*of_part = seen;
}

static int expire_tick(void *map, u32 *key, struct expire_clock *clock)
{
	const struct nsr_settings *limits = nat_settings();
	u32 part = clock->tick++ & (EXPIRE_TICKS - 1);
	struct expire_slice slice = {};
	struct expire_slice6 slice6 = {};

	(void)map;
	(void)key;
	/* Before the work, so that a pass lasts no longer for it. */
	bpf_timer_start(&clock->timer, EXPIRE_PERIOD_NS, 0);
	if (limits) {
		slice.now_s = nat_now_s(limits);
		slice.spare = session_sets() * (NSR_SESSION_SET / 4);
		slice.lacking = expire_lacking(&clock->used, slice.spare);
		expire_sessions(part, &slice);
		expire_seen(&clock->used, part, slice.used);
		slice.first_word = part * (NSR_POOL_WORDS / EXPIRE_TICKS);
		bpf_loop(NSR_POOLS_MAX, expire_pool, &slice, 0);
		slice6.now_s = slice.now_s;
		slice6.spare = session_sets6() * (NSR_SESSION6_SET / 4);
		slice6.lacking = expire_lacking(&clock->used6, slice6.spare);
		expire_sessions6(part, &slice6);
		expire_seen(&clock->used6, part, slice6.used);
		slice6.first_word = part * (NSR_POOL_WORDS / EXPIRE_TICKS);
		bpf_loop(NSR_POOLS_MAX, expire_pool6, &slice6, 0);
		if (!part) {
			bpf_for_each_map_elem(&held_fragments, expire_held, &slice, 0);
			bpf_for_each_map_elem(&held_fragments6, expire_held6, &slice6, 0);
		}
	}
	return 0;
}

/* 0 or a negative errno. Arming again takes over the timer of an older program. */
static __always_inline int expire_arm(void)
{
	u32 zero = 0;
	struct expire_clock *clock = bpf_map_lookup_elem(&expire_clock, &zero);
	int result;

	if (!clock)
		return -ENOENT;
	result = bpf_timer_init(&clock->timer, &expire_clock, CLOCK_MONOTONIC);
	if (result && result != -EBUSY)
		return result;
	bpf_timer_set_callback(&clock->timer, expire_tick);
	return bpf_timer_start(&clock->timer, EXPIRE_PERIOD_NS, 0);
}

#endif
