/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * apply - runs the operations of a plan, and undoes them in reverse when one fails.
 */
#ifndef NSROUTE_APPLY_H
#define NSROUTE_APPLY_H

#include <signal.h>
#include <stdint.h>

#include "error.h"
#include "plan.h"

struct apply_options {
	int host_fd; /* the host namespace */
	uint64_t host_cookie;
	const char *fabric;
	const char *file; /* topology file, for the record and for messages */
	const volatile sig_atomic_t *interrupted; /* set by a signal: undo, -EINTR */
	void (*progress)(size_t done, size_t total, void *context); /* may be NULL */
	void *progress_context;
	/* Called when all is done that can be taken back, before what cannot; not 0: undo, with
	 * its error. NULL: go on. */
	int (*confirm)(void *context, struct error *err);
	void *confirm_context;
};

/* Writes each object to the record before it creates it. On failure the operations that were done
 * are undone; err->exit is EXIT_PARTLY when that failed too, or something had been deleted that
 * cannot be brought back, and err->message names it. */
int apply_run(const struct plan *plan, const struct apply_options *options, struct error *err);
/* Runs a removal plan: goes on after failures, reports the first, forgets the record when all is
 * gone. */
int apply_remove(const struct plan *plan, const struct apply_options *options, struct error *err);

/* Removes what a process left that was killed before it recorded anything of a fabric, or after it
 * had forgotten it: folders and pins of a host namespace that has no fabric. Does nothing while it
 * has one. */
int apply_sweep(uint64_t host_cookie, struct error *err);

#endif
