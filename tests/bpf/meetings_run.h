/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * meetings_run - crowds (crowd.h) that take their time where CPUs may meet (meetings.h), again and
 * again until every meeting that is wanted has been seen.
 */
#ifndef TESTS_BPF_MEETINGS_RUN_H
#define TESTS_BPF_MEETINGS_RUN_H

#include "crowd.h"
#include "meetings.h"

#define MET(name) (1u << MEETING_##name)

struct meeting_of {
	uint32_t wanted;                      /* MET() of each */
	void *(*body)(void *crowd);           /* of each of CROWD_THREADS */
	void *(*beside)(void *crowd);         /* of CROWD_ENDERS meanwhile, or NULL */
	void (*prepare)(struct crowd *crowd); /* before each crowd, or NULL */
	void (*judge)(struct crowd *crowd);   /* after it, or NULL */
	bool ipv6;
	bool again;          /* see struct crowd */
	bool lossy;          /* packets are dropped for more than meetings */
	uint64_t fail_every; /* updates; 0: none does */
};

/* After each crowd no port has had two owners, and every count is even. Prints what was met. */
void meet(void **state, const struct meeting_of *of);

#endif
