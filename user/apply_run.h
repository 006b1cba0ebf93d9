/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * apply_run - carries out operations that can be sent together. For apply.c only.
 */
#ifndef NSROUTE_APPLY_RUN_H
#define NSROUTE_APPLY_RUN_H

#include "apply.h"
#include "apply_place.h"
#include "datapath.h"

/* Operations of one run: bounds what an interrupt waits for. The kernel deletes links in a group,
 * and waits for its own readers once for each group, so there may be more of them. */
#define RUN_MAX     1024
#define RUN_USUALLY 64

struct runner {
	const struct apply_options *options;
	struct arena arena;
	struct places places;
	struct datapath *datapath;       /* NULL until it is needed */
	struct datapath *other_datapath; /* its programs before an exchange, to go back to */
	int record_fd;
	uint32_t added_programs;     /* of the datapath, by this plan */
	bool undone_in_part;         /* undoing: something stays, so what guards does too */
	uint32_t doomed_group;       /* of links that are deleted together */
	bool record_goes;            /* what is noted as gone may be lost: see apply.c */
	int steps_fd;                /* -1: not opened; the record of single steps */
	const struct record *before; /* NULL: the fabric is new */
	bool ovs_deaf;               /* ovs-vswitchd does not do what its database says */
	const struct record *kept;   /* undoing: what was noted before stays so; else NULL */
	struct {
		const char *link;
		uint16_t slot;      /* 1 + index */
	} uplinks[NSR_UPLINKS_MAX]; /* those that this plan set */
	size_t uplinks_count;
	struct made_clsact {
		const char *link;
		const struct made_clsact *next;
	} * clsacts; /* of uplinks, by this plan */
	struct returned_device {
		const char *name, *namespace;
		const char *kept; /* what it had there; NULL: not known */
		bool stuck;       /* it is there still */
		struct returned_device *next;
	} * returned;             /* by this plan */
	const char **stuck_files; /* paths of ours that this plan could not remove */
	size_t stuck_files_count;
};

enum outcome {
	OUTCOME_UNTRIED, /* its turn did not come */
	OUTCOME_FAILED,  /* nothing of it was done */
	OUTCOME_PARTLY,  /* failed, but some of its requests did something */
	OUTCOME_QUEUED,  /* never an end */
	OUTCOME_NOTHING, /* it was so already */
	OUTCOME_DONE,
};

/* Whether this plan made the clsact of the uplink, and did not find it there. */
bool made_clsact(const struct runner *runner, const char *link);
/* How many operations from the first on go together; at least 1. */
size_t run_length(const struct operation *operations, size_t count);
/* Carries out one run, all of it even when a part fails. 0, or the first failure with its position
 * in the file; outcomes has one for each in any case. What is made is recorded before, what is
 * deleted after. */
int run(struct runner *runner, const struct operation *operations, size_t count,
	enum outcome *outcomes, struct error *err);

#endif
