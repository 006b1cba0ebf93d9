/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench_options - the words and numbers that "nsroute bench" takes, understood. Pure.
 */
#ifndef NSROUTE_BENCH_OPTIONS_H
#define NSROUTE_BENCH_OPTIONS_H

#include "bench.h"
#include "error.h"

/* All paths and tests, 11 rounds of 0.4 s; both processes on the last of so many CPUs. */
void bench_options_init(struct bench_options *ret, unsigned int cpus);

/* Each takes the text of one option. -EINVAL with what is wrong, and what there is instead. */
int bench_options_paths(struct bench_options *options, const char *text, struct error *err);
int bench_options_tests(struct bench_options *options, const char *text, struct error *err);
int bench_options_rounds(struct bench_options *options, const char *text, struct error *err);
int bench_options_seconds(struct bench_options *options, const char *text, struct error *err);
/* *ret_cpu is one of the options' two. */
int bench_options_cpu(int *ret_cpu, const char *text, unsigned int cpus, struct error *err);
int bench_options_require(struct bench_options *options, const char *text, struct error *err);

/* After the last of them: whether they go together, and what --quick makes of them. */
int bench_options_finish(struct bench_options *options, struct error *err);

#endif
