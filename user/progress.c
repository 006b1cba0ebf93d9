/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: stderr only, and only when it is a terminal. Work that is over in a moment shows
 * nothing, longer work a line that changes a few times a second. The line is overwritten with a
 * carriage return and spaces: no escape sequences, no colours, so there is nothing for NO_COLOR to
 * forbid. A terminal that calls itself dumb may not know even that.
 */
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FIRST_MS 200 /* after the start */
#define EVERY_MS 100
#define LINE_MAX 79 /* a longer line would wrap, and stay */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void progress_start(struct progress *progress, const char *fabric, bool quiet)
{
	const char *terminal = getenv("TERM");

	*progress = (struct progress){
		.shown_at_all = !quiet && isatty(STDERR_FILENO) && terminal &&
				strcmp(terminal, "dumb") != 0,
		.fabric = fabric,
		.start_ms = now_ms(),
	};
}

void progress_show(size_t done, size_t total, void *context)
{
	struct progress *progress = context;
	uint64_t now = progress->shown_at_all ? now_ms() : 0;
	char line[LINE_MAX + 1];

	if (!progress->shown_at_all || now - progress->start_ms < FIRST_MS ||
	    now - progress->last_ms < EVERY_MS)
		return;
	snprintf(line, sizeof(line), "fabric '%.24s': %zu of %zu operations, %llu s",
		 progress->fabric, done, total,
		 (unsigned long long)(now - progress->start_ms) / 1000);
	fprintf(stderr, "\r%-*s", (int)progress->width, line);
	progress->last_ms = now;
	if (strlen(line) > progress->width)
		progress->width = strlen(line);
}

void progress_end(struct progress *progress)
{
	if (progress->last_ms)
		fprintf(stderr, "\r%*s\r", (int)progress->width, "");
	progress->last_ms = 0;
}
