/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench_traffic - servers and clients of the tests that use sockets.
 *
 * tcp_rr, udp_rr  one byte there and back on one connection, again and again
 * tcp_crr         connect, one byte there and back, close; the server closes first, so TIME_WAIT
 *                 stays on its side and the client does not run out of ports
 * stream          bulk TCP; the figure is what the sink says it received, not what was written
 * udp_small       frames of the smallest size, 64 in one sendmmsg(). The sink acknowledges each
 *                 batch, and the next one waits for that: on one CPU a sender without feedback
 *                 measures only how much of its flood the receive queue throws away.
 */
#ifndef NSROUTE_BENCH_TRAFFIC_H
#define NSROUTE_BENCH_TRAFFIC_H

#include "bench_world.h"

/* Listens when it returns; the process serves one client at a time until it is killed. */
int bench_server_start(const struct bench_place *place, enum bench_test test, int cpu,
		       pid_t *ret_pid, struct error *err);

/* Runs one client to its end. shared is memory that children share with us. What goes wrong on the
 * path is the sample's failure; an error is ours (or -EINTR). */
int bench_client_run(const struct bench_world *world, const struct bench_place *place,
		     enum bench_test test, double seconds, int cpu, struct bench_sample *shared,
		     struct error *err);

#endif
