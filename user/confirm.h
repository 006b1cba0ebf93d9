/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * confirm - waits until somebody says that a change may stay, and says so to one who waits.
 *
 * Confirmed is what an ENTER at the terminal says, or another process (another login) through the
 * socket /run/nsroute/COOKIE/FABRIC.confirm, which only root can reach. Standard input that is no
 * terminal says nothing. A process that is stopped could not undo anything, so the signals of a
 * terminal that would stop it are ignored while it waits.
 */
#ifndef NSROUTE_CONFIRM_H
#define NSROUTE_CONFIRM_H

#include <signal.h>
#include <stdint.h>

#include "arena.h"
#include "error.h"

#define CONFIRM_MAX_S 3600

struct confirm_request {
	uint64_t cookie; /* of the host namespace */
	const char *fabric;
	unsigned int seconds;
	const volatile sig_atomic_t *interrupted;
	void (*left)(unsigned int seconds, void *context); /* each second; may be NULL */
	void *context;
};

/* 0: confirmed; -ETIMEDOUT; -EINTR: a signal came. The fabric's record must be there. */
int confirm_wait(const struct confirm_request *request, struct error *err);

/* Confirms; -ENOENT when nobody waits (any more). */
int confirm_send(uint64_t cookie, const char *fabric, struct error *err);
/* Fabrics of this host namespace for which somebody waits, or was killed while waiting. */
int confirm_list(uint64_t cookie, struct arena *arena, const char ***ret_names, size_t *ret_count,
		 struct error *err);

#endif
