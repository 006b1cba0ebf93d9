/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * meetings - programs whose updates of maps can be made to fail, and that take their time where two
 * CPUs may meet. meetings.bpf.h is the half of the programs, test_nat_meetings.c that of the test;
 * this is what both look at, in the object's global data.
 */
#ifndef TESTS_BPF_MEETINGS_H
#define TESTS_BPF_MEETINGS_H

#include <linux/types.h>

/* Where one CPU finds that another has been there before it: X(NAME, "what it finds"). */
#define MEETINGS(X)                                                                 \
	X(MAPPING_EXISTS, "its inside endpoint has got a mapping from another CPU") \
	X(SESSION_EXISTS, "its flow has got a session from another CPU")            \
	X(REFERENCES_MOVED, "another CPU has taken or given back a reference")      \
	X(MAPPING_ENDED, "the mapping that its inside endpoint had has just ended") \
	X(SESSION_MOVED, "another CPU has changed or ended the session")

#define MEETINGS_DELAY_MAX 4096 /* the verifier follows each step */

enum meeting {
#define X(name, text) MEETING_##name,
	MEETINGS(X)
#undef X
		MEETINGS_END
};

struct meetings {
	__u64 met[MEETINGS_END];
	__u64 updates;    /* of maps, by programs */
	__u64 fail_at;    /* the update of this number fails, counted from 0 ... */
	__u64 fail_every; /* ... and each so many later; 0: none does */
	__u64 failed;
	__u32 delay; /* up to so many steps, at random, wherever CPUs may meet */
	__u32 reserved;
};

#endif
