/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * output_nat - masqueraded sessions, one at a time.
 */
#ifndef NSROUTE_OUTPUT_NAT_H
#define NSROUTE_OUTPUT_NAT_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "nsroute_abi.h"

/* What a protocol of IP is called in a session: its kind, and for NSR_NAT_OTHER what is in place of
 * the inside port. */
enum nsr_nat_protocol output_nat_kind(int number);

/* One session, with every key of "nsroute help nat". inside is the place (output_drops.h) of the
 * inside address, uplink that of the uplink; either may be NULL. */
json_t *output_session(const struct nsr_session *session, uint32_t left_s, const json_t *inside,
		       const json_t *uplink);
json_t *output_session6(const struct nsr_session6 *session, uint32_t left_s, const json_t *inside,
			const json_t *uplink);

/* What the columns are, and a session as a line. */
void output_session_title(FILE *out);
void output_session_text(FILE *out, const json_t *session);

#endif
