/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench_run - builds all paths side by side, measures them in turns, and removes everything.
 */
#ifndef NSROUTE_BENCH_RUN_H
#define NSROUTE_BENCH_RUN_H

#include <signal.h>

#include "arena.h"
#include "bench.h"
#include "error.h"

/* Called before each round, and when it is over (test NULL). */
typedef void (*bench_progress)(const char *test, unsigned int round, unsigned int rounds);

/* The options must outlive the result; its memory is the arena's. On failure, -EINTR among them,
 * everything is removed all the same; EXIT_PARTLY when that failed. */
int bench_run(const struct bench_options *options, const volatile sig_atomic_t *interrupted,
	      bench_progress progress, struct arena *arena, struct bench_result *ret,
	      struct error *err);

#endif
