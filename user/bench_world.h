/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench_world - the namespaces of one run, the commands and processes in them, and their end.
 *
 * Every namespace is called nsrb-PID-PATH-WHAT and is marked as ours. A process that was killed
 * leaves its own; the next run removes them. Only one run at a time: two would measure each other.
 */
#ifndef NSROUTE_BENCH_WORLD_H
#define NSROUTE_BENCH_WORLD_H

#include <signal.h>
#include <sys/types.h>

#include "arena.h"
#include "bench.h"
#include "error.h"

struct bench_world {
	const volatile sig_atomic_t *interrupted;
	struct arena arena;
	const char **names; /* of namespaces, also of those that a fabric makes */
	size_t count;
	int lock;
	char fabric_host[BENCH_NAME_MAX]; /* "": there is no fabric */
};

/* Takes the lock (-EBUSY when another run has it) and removes what killed runs left. */
int bench_world_open(struct bench_world *world, const volatile sig_atomic_t *interrupted,
		     struct error *err);
/* Removes everything; goes on after a failure and reports the first. */
int bench_world_close(struct bench_world *world, struct error *err);

/* The name that WHAT of PATH has, e.g. "bridge", "h"; noted, so that it is removed at the end. */
const char *bench_world_name(struct bench_world *world, const char *path, const char *what);
/* Makes the namespace, with lo up. */
int bench_world_add(struct bench_world *world, const char *name, struct error *err);
/* Now, of a path that cannot be built. */
void bench_world_drop(struct bench_world *world, const char *name);

/* A child in the namespace (NULL: ours) and on the CPU (-1: any), with default signals, that dies
 * with us: 0 in the child, which leaves by _exit(). */
int bench_fork(const char *netns, int cpu, pid_t *ret_pid, struct error *err);
/* Its exit status, or -EINTR after a signal to us; then it has been killed. */
int bench_wait(const struct bench_world *world, pid_t pid, int *ret_status, struct error *err);
void bench_kill(pid_t pid);

/* Runs one command, words split at blanks, in the namespace. What it prints is thrown away; err
 * gets the command and the first line that it complained with. */
int bench_command(const struct bench_world *world, const char *netns, const char *line,
		  struct error *err);
/* The same, with the beginning of its output. */
int bench_command_output(const struct bench_world *world, const char *netns, const char *line,
			 char *ret_text, size_t size, struct error *err);

#endif
