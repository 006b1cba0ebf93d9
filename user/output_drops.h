/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * output_drops - dropped packets, one at a time, and what was not told of them.
 */
#ifndef NSROUTE_OUTPUT_DROPS_H
#define NSROUTE_OUTPUT_DROPS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "dissect.h"
#include "kernel_state.h"
#include "nsroute_abi.h"
#include "record.h"

/* Who is at the links of the host namespace that a fabric's packets pass:
 * {IFINDEX: {"fabric", "namespace", "interface", "uplink"}}. */
json_t *output_places(const struct record *record, const struct kernel_state *state);
/* The place of an ifindex; NULL: not known. Borrowed. */
const json_t *output_place(const json_t *places, uint32_t ifindex);

/* One dropped packet, with every key of "nsroute help drops". here is the place of the hook, inside
 * that of the inside address at an uplink; either may be NULL. when_ns is the time of day. */
json_t *output_drop(const struct nsr_event *event, const struct dissection *packet,
		    const json_t *here, const json_t *inside, int64_t when_ns);
/* {"time", "left_out": {REASON: N}, "deaf_s"} */
json_t *output_left_out(const uint64_t packets[NSR_DROP_SLOTS], double deaf_s, int64_t when_ns);

/* Either, as a line. */
void output_drop_text(FILE *out, const json_t *line, bool color);

#endif
