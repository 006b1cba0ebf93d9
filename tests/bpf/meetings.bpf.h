/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * meetings.bpf.h - what tests/tests.mk has the compiler read before nsroute.bpf.c, for programs as
 * meetings.h tells.
 *
 * How it works: the macros stand in for helpers and builtins of the same name. Which place it is
 * they tell by what is handed over, which the compiler decides.
 */
#ifndef TESTS_BPF_MEETINGS_BPF_H
#define TESTS_BPF_MEETINGS_BPF_H

#include "common.h"

#include <linux/errno.h>

#include "maps.h"
#include "meetings.h"

static volatile struct meetings
	meetings; /* static: not in the skeleton, whose users do not know it */

/* A loop and not bpf_loop(), whose function would have a place on the stack. */
static __always_inline void meet_spin(void)
{
	u32 delay = meetings.delay, steps = delay ? bpf_get_prandom_u32() % delay : 0, i;

	for (i = 0; i < MEETINGS_DELAY_MAX; i++) {
		if (i >= steps)
			break;
		barrier();
	}
}

NSR_STEP int meet_wait(void)
{
	meet_spin();
	return 0;
}

NSR_STEP int meet_count(u32 place)
{
	if (place < MEETINGS_END)
		__sync_fetch_and_add(&meetings.met[place], 1);
	return 0;
}

/* Before an update; 1: it is to fail. */
NSR_STEP int meet_update(void)
{
	u64 number = __sync_fetch_and_add(&meetings.updates, 1), every = meetings.fail_every;

	meet_spin();
	if (!every || number < meetings.fail_at || (number - meetings.fail_at) % every)
		return 0;
	__sync_fetch_and_add(&meetings.failed, 1);
	return 1;
}

static __always_inline long met_update(bool mapping, bool session, long result)
{
	if (result == -EEXIST && (mapping || session))
		meet_count(mapping ? MEETING_MAPPING_EXISTS : MEETING_SESSION_EXISTS);
	return result;
}

#define bpf_map_update_elem(map, key, value, flags)                         \
	met_update((const void *)(map) == (const void *)&mapping_by_inside, \
		   (const void *)(map) == (const void *)&session_by_flow,   \
		   meet_update() ? -ENOMEM : (bpf_map_update_elem)(map, key, value, flags))

/* An endpoint is read some time after it was found. */
#define bpf_map_lookup_elem(map, key)                                    \
	({                                                               \
		void *meet_found_elem = (bpf_map_lookup_elem)(map, key); \
		if ((const void *)(map) == (const void *)&hosts4)        \
			meet_wait();                                     \
		meet_found_elem;                                         \
	})

#define __sync_val_compare_and_swap(where, from, to)                              \
	({                                                                        \
		__typeof__(from) meet_from = (from), meet_found;                  \
		meet_wait();                                                      \
		meet_found = (__sync_val_compare_and_swap)(where, meet_from, to); \
		if (meet_found != meet_from) {                                    \
			if (!__builtin_strcmp(#where, "&record->references"))     \
				meet_count(MEETING_REFERENCES_MOVED);             \
			if (!__builtin_strcmp(#where, "&session->status"))        \
				meet_count(MEETING_SESSION_MOVED);                \
		}                                                                 \
		meet_found;                                                       \
	})

/* The generation is read between a mapping's name and its references. */
#undef READ_ONCE
#define READ_ONCE(x)                                                                   \
	({                                                                             \
		if (!__builtin_strcmp(#x, "ref->generation"))                          \
			meet_wait();                                                   \
		const __typeof__(x) meet_read = *(const volatile __typeof__(x) *)&(x); \
		if (!__builtin_strcmp(#x, "record->references") &&                     \
		    !*(const u32 *)&meet_read) /* some that are read are structs */    \
			meet_count(MEETING_MAPPING_ENDED);                             \
		meet_read;                                                             \
	})

#endif
