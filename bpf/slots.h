/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * slots.h - the records of "sessions" as such: which are free, and how one becomes free again.
 */
#ifndef NSROUTE_BPF_SLOTS_H
#define NSROUTE_BPF_SLOTS_H

#include "conntrack.h"
#include "maps.h"
#include "ports.h"

#define NAT_TRIES 8 /* compare-and-swap attempts on one word */

static __always_inline u64 *nat_session_words(void)
{
	u32 zero = 0;
	struct nsr_session_bits *bits = bpf_map_lookup_elem(&session_bits, &zero);

	return bits ? bits->words : NULL;
}

/* A free slot of the session table, or BITS_NONE. */
NSR_STEP u32 session_claim(void)
{
	u64 *words = nat_session_words();

	return words ? bits_claim_any(words, NAT_SESSION_WORDS, bpf_get_prandom_u32()) : BITS_NONE;
}

static __always_inline void session_release(u32 number)
{
	u64 *words = nat_session_words();

	if (words)
		bits_release(words, NAT_SESSION_WORDS, number);
}

/* Makes a record free again that nobody refers to any more: the next one is of another generation.
 */
static __always_inline void session_vacate(struct nsr_session *session, u32 number)
{
	WRITE_ONCE(session->state, (session->state & ~NSR_SESSION_STATUS) + NSR_SESSION_GENERATION);
	barrier();
	session_release(number);
}

#endif
