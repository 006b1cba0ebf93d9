/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * doctor - checks, each with one finding: what was seen, where, why it matters, and the command
 * that mends it.
 *
 * Checks look and try, they change nothing: what has to be created to know (a veth, a bridge, a
 * filter) is created in a network namespace of its own that has no name and is gone at the end.
 */
#ifndef NSROUTE_DOCTOR_H
#define NSROUTE_DOCTOR_H

#include <stddef.h>

#include "arena.h"
#include "error.h"

enum doctor_status {
	DOCTOR_GOOD,
	DOCTOR_PROBLEM,
	DOCTOR_SKIPPED, /* could not be found out; what says why */
};

struct doctor_finding {
	const char *check; /* short name: "bpffs" */
	enum doctor_status status;
	const char *what;  /* "not mounted" */
	const char *where; /* "/sys/fs/bpf" */
	const char *why;   /* what does not work without it */
	const char *mend;  /* a command, or "" when good */
};

/* Looks at this machine. Never fails: what cannot be found out is a finding too. Memory is the
 * arena's. */
void doctor_machine(struct arena *arena, struct doctor_finding **ret_findings, size_t *ret_count);

/* -EPERM, naming the missing capabilities, when this process may not do what nsroute does. */
int doctor_privilege(struct error *err);

#endif
