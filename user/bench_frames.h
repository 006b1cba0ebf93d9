/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench_frames - the BPF programs of bench: the bare paths, and the in-kernel
 * generator with its two sinks. The only file that includes their skeleton.
 *
 * Frames leave by the client's interface as XDP frames. A veth takes such frames only when its
 * other end has NAPI (GRO on, or an XDP program); so that end gets GRO, on every path alike.
 * "frames" are counted where the server's stack begins (tc ingress), "frames_xdp" by an XDP program
 * at the server's interface, which paths that deliver behind it (redirect_peer) never reach.
 */
#ifndef NSROUTE_BENCH_FRAMES_H
#define NSROUTE_BENCH_FRAMES_H

#include "bench_world.h"

struct bench_frames;

int bench_frames_open(struct bench_frames **ret, struct error *err);
/* NULL is fine. */
void bench_frames_close(struct bench_frames *frames);

/* Makes a routed path (bench_peers.h) a bare program's: attaches it at the client's host end, and
 * bench_peer at the server's. */
int bench_frames_bare(struct bench_frames *frames, const struct bench_place *place,
		      struct error *err);

/* Puts the test's sink at the server's interface, and takes it away. */
int bench_frames_sink(struct bench_frames *frames, const struct bench_place *place,
		      enum bench_test test, bool attach, struct error *err);

/* Makes the other end of the client's interface take frames. The place's no_frames says why the
 * generator cannot be used there. */
void bench_frames_prepare(struct bench_place *place);

/* Tells the bare program that so many addresses, from BENCH_FIRST_HOST on, are the server's. */
int bench_frames_hosts(struct bench_frames *frames, const struct bench_place *place,
		       unsigned int hosts, struct error *err);

/* As bench_client_run(). For 0 seconds: sends a frame of each of the test's flows, and measures
 * nothing. */
int bench_frames_run(struct bench_frames *frames, const struct bench_world *world,
		     const struct bench_place *place, enum bench_test test, double seconds, int cpu,
		     struct bench_sample *shared, struct error *err);

#endif
