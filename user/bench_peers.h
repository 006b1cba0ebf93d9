/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench_peers - how the direct veth and the peers are set up, as commands that anyone can read and
 * type.
 */
#ifndef NSROUTE_BENCH_PEERS_H
#define NSROUTE_BENCH_PEERS_H

#include "bench_world.h"

/* Whether the path is built by commands (nsroute's own are not). */
bool bench_peer_has(enum bench_path path);
/* Builds it and fills in the place. On failure the place says why, and nothing is left of it; only
 * -EINTR is returned. */
int bench_peer_build(struct bench_world *world, enum bench_path path, struct bench_place *place,
		     struct error *err);

#endif
