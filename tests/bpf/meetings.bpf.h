/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * meetings.bpf.h - what tests/tests.mk has the compiler read before nsroute.bpf.c, for programs as
 * meetings.h tells.
 *
 * How it works: the macros stand in for helpers and builtins of the same name. Which place it is
 * they tell by the function and by what is handed over, which the compiler decides. What no list
 * names is counted, too, so that a test can say that there is none.
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

/* A function of the text of the NAT, of either family. */
#define MEET_IN(name) (!__builtin_strcmp(__func__, name) || !__builtin_strcmp(__func__, name "6"))

/* Constants all, so nothing of it is left but a number. */
static __always_inline u32 meet_site(const char *function, const char *map, u64 flags,
				     u32 *ret_meeting)
{
#define MEET_SITE(site, in, of, with, meeting)                                                  \
	if (!__builtin_strcmp(function, in) && !__builtin_strcmp(map, of) && flags == (with)) { \
		*ret_meeting = meeting;                                                         \
		return site;                                                                    \
	}
#define X(name, in, of, with, meeting)                \
	MEET_SITE(SITE_##name, in, of, with, meeting) \
	MEET_SITE(SITE6_##name, in "6", of, with, meeting)
	SITES2(X)
#undef X
#define X(name, in, of, with, meeting) MEET_SITE(SITE_##name, in, of, with, meeting)
	SITES1(X)
#undef X
	*ret_meeting = MEETINGS_END;
	return SITE_UNLISTED;
}

/* Before an update; 1: it is to fail. */
NSR_STEP int meet_update(u32 site)
{
	u64 number = __sync_fetch_and_add(&meetings.updates, 1), every = meetings.fail_every;

	if (site >= SITES_END)
		return 0;
	__sync_fetch_and_add(&meetings.updated[site], 1);
	meet_spin();
	if (!every || number < meetings.fail_at || (number - meetings.fail_at) % every)
		return 0;
	__sync_fetch_and_add(&meetings.failed, 1);
	__sync_fetch_and_add(&meetings.refused[site], 1);
	return 1;
}

/* What was entered is found by others some time before its maker goes on. */
#define bpf_map_update_elem(map, key, value, flags)                                          \
	({                                                                                   \
		u32 meet_meeting, meet_at = meet_site(__func__, #map, flags, &meet_meeting); \
		long meet_result = -ENOMEM;                                                  \
		if (!meet_update(meet_at)) {                                                 \
			meet_result = (bpf_map_update_elem)(map, key, value, flags);         \
			meet_wait();                                                         \
		}                                                                            \
		if (meet_meeting != MEETINGS_END && meet_result == -EEXIST)                  \
			meet_count(meet_meeting);                                            \
		meet_result;                                                                 \
	})

/* Who was about to hold a fragment takes it back. */
#define bpf_map_delete_elem(map, key)                               \
	({                                                          \
		long meet_result = (bpf_map_delete_elem)(map, key); \
		if (MEET_IN("held_take_back") && !meet_result)      \
			meet_count(MEETING_FRAGMENT_OVERTAKEN);     \
		meet_result;                                        \
	})

/* An endpoint is read some time after it was found. */
#define bpf_map_lookup_elem(map, key)                                    \
	({                                                               \
		void *meet_found_elem = (bpf_map_lookup_elem)(map, key); \
		if ((const void *)(map) == (const void *)&hosts4)        \
			meet_wait();                                     \
		meet_found_elem;                                         \
	})

#define MEET_IF(where, text, meeting)               \
	do {                                        \
		if (!__builtin_strcmp(where, text)) \
			meet_count(meeting);        \
	} while (0)

#define __sync_val_compare_and_swap(where, from, to)                                         \
	({                                                                                   \
		__typeof__(from) meet_from = (from), meet_found;                             \
		meet_wait();                                                                 \
		meet_found = (__sync_val_compare_and_swap)(where, meet_from, to);            \
		if (meet_found != meet_from) {                                               \
			MEET_IF(#where, "&record->references", MEETING_REFERENCES_MOVED);    \
			MEET_IF(#where, "&session->status", MEETING_SESSION_MOVED);          \
			MEET_IF(#where, "count", MEETING_SHARE_MOVED);                       \
			MEET_IF(#where, "counter", MEETING_IDS_BEGUN);                       \
			MEET_IF(#where, "named", MEETING_DATAGRAM_NAMED);                    \
			MEET_IF(#where, "&followed->busy", MEETING_ADDRESS_BUSY);            \
			if (!__builtin_strcmp(#where, "&record->released_s"))                \
				meet_count(MEET_IN("publish_claim") ? MEETING_PUBLISH_LOST   \
								    : MEETING_RECLAIM_LOST); \
		}                                                                            \
		meet_found;                                                                  \
	})

/* Of a set of numbers: one is free when it is looked at, and taken then; or a word is full, and is
 * not when that has been marked. A step, so that callers need hardly more of the stack. */
NSR_STEP u64 meet_or(u64 *where, u64 bits, u32 claims)
{
	u64 before, old;

	if (!where)
		return 0;
	before = *(volatile u64 *)where;
	meet_spin();
	old = __sync_fetch_and_or(where, bits);
	if (claims && old & bits & ~before)
		__sync_fetch_and_add(&meetings.met[MEETING_BIT_LOST], 1);
	return old;
}

#define __sync_fetch_and_or(where, bits) meet_or(where, bits, MEET_IN("bits_claim"))

#define __sync_fetch_and_and(where, bits)                                                      \
	({                                                                                     \
		if (MEET_IN("bits_mark_full") && !__builtin_strcmp(#where, "&words[summary]")) \
			meet_count(MEETING_FULL_TAKEN_BACK);                                   \
		(__sync_fetch_and_and)(where, bits);                                           \
	})

/* Of an address that is written while others leave it to this CPU. */
#define __sync_lock_test_and_set(where, value)            \
	({                                                \
		meet_wait();                              \
		(__sync_lock_test_and_set)(where, value); \
	})

/* The generation is read between a mapping's name and its references; and when an address was asked
 * for before who asks now says so. */
#undef READ_ONCE
#define READ_ONCE(x)                                                                   \
	({                                                                             \
		if (!__builtin_strcmp(#x, "ref->generation"))                          \
			meet_wait();                                                   \
		const __typeof__(x) meet_read = *(const volatile __typeof__(x) *)&(x); \
		if (!*(const u32 *)&meet_read) { /* some that are read are structs */  \
			MEET_IF(#x, "record->references", MEETING_MAPPING_ENDED);      \
			if (MEET_IN("contact_join"))                                   \
				MEET_IF(#x, "session->life", MEETING_CONTACT_ENDED);   \
		}                                                                      \
		if (!__builtin_strcmp(#x, "followed->asked_s"))                        \
			meet_wait();                                                   \
		if (MEET_IN("session_give_up"))                                        \
			meet_count(MEETING_SESSION_GIVEN_UP);                          \
		meet_read;                                                             \
	})

#endif
