/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * progress - one line on a terminal about work that takes long, which is erased when it is over.
 */
#ifndef NSROUTE_PROGRESS_H
#define NSROUTE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
	bool shown_at_all; /* stderr is a terminal that can overwrite a line */
	const char *fabric;
	uint64_t start_ms, last_ms; /* last 0: nothing was shown yet */
	size_t width;               /* of what is on the line */
};

/* quiet: nothing is ever shown. The fabric's name is borrowed. */
void progress_start(struct progress *progress, const char *fabric, bool quiet);
/* For struct apply_options: context is the struct progress. */
void progress_show(size_t done, size_t total, void *context);
/* Before anything else is printed. */
void progress_end(struct progress *progress);

#endif
