/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * programs - what else sits where our programs sit: filters of tc, tcx programs, XDP.
 */
#ifndef NSROUTE_PROGRAMS_H
#define NSROUTE_PROGRAMS_H

#include "arena.h"
#include "error.h"
#include "kernel_state.h"
#include "netlink.h"

enum program_place {
	PROGRAM_TC_INGRESS,
	PROGRAM_TC_EGRESS,
	PROGRAM_TCX_INGRESS,
	PROGRAM_TCX_EGRESS,
};

/* Somebody else's program or filter that packets of a link meet before ours. */
struct program {
	const char *link;
	enum program_place place;
	const char *name;  /* of a BPF program, else the classifier's ("flower"); may be "" */
	uint32_t priority; /* tc */
	uint32_t link_id;  /* tcx: of the BPF link that holds it; 0: none does */
	uint32_t number;   /* of the BPF program; 0: none */
	bool goes_on;      /* whatever it decides, the packet goes on to ours */
};

/* Of one link of the namespace that the socket is in; the calling thread visits it (host_fd) for
 * tcx. Adds to the array. */
int programs_read(struct netlink *nl, int host_fd, const struct state_link *link,
		  struct arena *arena, struct program **programs, size_t *count, struct error *err);

#endif
