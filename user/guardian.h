/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * guardian - a process that takes back what this one has done when this one is killed.
 */
#ifndef NSROUTE_GUARDIAN_H
#define NSROUTE_GUARDIAN_H

#include <sys/types.h>

#include "error.h"

struct guardian {
	pid_t pid;
	int fd;
};

/* When this process ends without guardian_dismiss(), undo(context) runs in a copy of it as it is
 * now, with its sockets and locks. */
int guardian_start(void (*undo)(void *context), void *context, struct guardian *ret,
		   struct error *err);
void guardian_dismiss(const struct guardian *guardian);

#endif
