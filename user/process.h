/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * process - runs another program to its end.
 */
#ifndef NSROUTE_PROCESS_H
#define NSROUTE_PROCESS_H

#include "arena.h"
#include "error.h"

#define PROCESS_OUTPUT_MAX (64 * 1024 * 1024) /* bytes that are read of each stream */

struct process_result {
	int status; /* exit status, or -1 when a signal ended it */
	int signal; /* that ended it, or 0 */
	const char *output;
	const char *errors; /* of its standard error */
};

/* Found by PATH, with our environment and no standard input; arguments end with NULL. No shell. It
 * is in a process group of its own, so that a Ctrl-C for us does not end it halfway; it must end by
 * itself. -ENOENT when there is no such program. */
int process_run(const char *const *arguments, struct arena *arena, struct process_result *ret,
		struct error *err);

#endif
