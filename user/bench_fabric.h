/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench_fabric - nsroute's own paths: one fabric, made as "apply" makes it, in a host namespace of
 * its own.
 */
#ifndef NSROUTE_BENCH_FABRIC_H
#define NSROUTE_BENCH_FABRIC_H

#include "bench.h"
#include "error.h"

struct bench_world;

#define BENCH_FABRIC_HOST "fabric-h" /* what the host namespace's name ends with */

/* Builds it, where the client of the masquerade may have so many flows, and fills in the places of
 * all paths that are ours. */
int bench_fabric_build(struct bench_world *world, unsigned int flows, struct bench_place *places,
		       struct error *err);
/* Lets so many addresses, from BENCH_FIRST_HOST on, lead to where address (IPv4) is. */
int bench_fabric_hosts(const struct bench_world *world, const char *address, unsigned int hosts,
		       struct error *err);
/* Removes whatever fabrics the host namespace with this name has. */
int bench_fabric_remove(const char *host, struct error *err);
/* Packets that its ports sent by the fast path, and by the kernel. */
int bench_fabric_counters(const struct bench_world *world, uint64_t *ret_fast, uint64_t *ret_slow,
			  struct error *err);

#endif
