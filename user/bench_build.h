/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench_build - all paths of a run: built, tried, and compared with the direct veth.
 */
#ifndef NSROUTE_BENCH_BUILD_H
#define NSROUTE_BENCH_BUILD_H

#include "bench_frames.h"
#include "bench_world.h"

/* The places of the paths that the options want; one that the machine has not says why. An error
 * when the direct veth, nsroute's own paths, or one that was chosen by name cannot be built.
 * frames NULL: the programs cannot be loaded, for that reason. shared is for bench_client_run(). */
int bench_build(struct bench_world *world, const struct bench_options *options,
		struct bench_frames *frames, const char *reason, struct bench_sample *shared,
		struct bench_place *places, struct error *err);

#endif
