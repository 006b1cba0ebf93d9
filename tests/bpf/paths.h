/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * paths - a packet for each way through the datapath, in the order that they need each other.
 */
#ifndef TESTS_BPF_PATHS_H
#define TESTS_BPF_PATHS_H

#include <stdint.h>

#include "frame.h"

enum path_link { PATH_RED, PATH_GREEN, PATH_UPLINK };

struct path {
	const char *name; /* NULL: run for what follows, and not measured */
	const char *program;
	enum path_link at;
	bool forwarded; /* comes from PATH_RED */
	/* Fills in the frame; port is the external one of the flow, host byte order. */
	void (*build)(struct frame *frame, uint16_t port);
	uint32_t instructions_goal, hash_goal; /* of performance.md's "per packet"; 0: none */
};

extern const struct path paths[];
extern const unsigned int paths_count;

/* A flow: the frame, as it leaves, has its external port as the source. */
bool path_opens(const struct path *path);

#endif
