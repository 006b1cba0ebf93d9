/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * slots.h - the records of "sessions" as such: which are free, and how one becomes free again.
 */
#ifndef NSROUTE_BPF_SLOTS_H
#define NSROUTE_BPF_SLOTS_H

#include "conntrack.h"
#include "maps.h"
#include "ports.h"
#include "share.h"

#define NAT_SESSION_SET (NAT_SESSION_WORDS * 64) /* records */

/* The bits of a set; NULL: the table has not so many. */
static __always_inline u64 *nat_session_words(u32 set)
{
	struct nsr_session_bits *bits = bpf_map_lookup_elem(&session_bits, &set);

	return bits ? bits->words : NULL;
}

static __always_inline u32 session_sets(void)
{
	u32 sets = 0;

	while (sets < NSR_SESSION_SETS_MAX && nat_session_words(sets))
		sets++;
	return sets;
}

/* Records of the table. On its own, for the stack of who asks. */
NSR_STEP u32 session_room(void)
{
	return session_sets() * NAT_SESSION_SET;
}

/* A free slot of a set of the session table, or BITS_NONE. */
NSR_STEP u32 session_claim_in(u32 set)
{
	u64 *words = nat_session_words(set);
	u32 number;

	if (!words)
		return BITS_NONE;
	number = bits_claim_any(words, NAT_SESSION_WORDS, bpf_get_prandom_u32());
	return number == BITS_NONE ? BITS_NONE : set * NAT_SESSION_SET + number;
}

/* A free slot of the session table, or BITS_NONE. A set comes after those before it: a full one
 * costs two looks. Not a loop, because kernel 6.1 refuses one that ends in a call. */
NSR_STEP u32 session_claim(void)
{
	u32 number = session_claim_in(0);

	_Static_assert(NSR_SESSION_SETS_MAX == 8, "each set is tried");
	if (number == BITS_NONE)
		number = session_claim_in(1);
	if (number == BITS_NONE)
		number = session_claim_in(2);
	if (number == BITS_NONE)
		number = session_claim_in(3);
	if (number == BITS_NONE)
		number = session_claim_in(4);
	if (number == BITS_NONE)
		number = session_claim_in(5);
	if (number == BITS_NONE)
		number = session_claim_in(6);
	if (number == BITS_NONE)
		number = session_claim_in(7);
	return number;
}

static __always_inline void session_release(u32 number)
{
	u64 *words = nat_session_words(number / NAT_SESSION_SET);

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

/*
 * Makes the session ACTIVE that another CPU is just entering, if it has got so far
 * (session_begin()). The entry is read in one: a mixture of two could name a record that has its
 * flow, and is not entered.
 */
NSR_STEP int session_finish(const struct nsr_flow *flow)
{
	union {
		struct nsr_session_ref ref;
		u64 both;
	} entry;
	const struct nsr_session_ref *ref;
	struct nsr_session *session;
	struct nsr_flow key;

	if (!flow)
		return 0;
	INSTEAD(0);
	key = *flow;
	ref = bpf_map_lookup_elem(&session_by_flow, &key);
	if (!ref)
		return 0;
	entry.both = READ_ONCE(*(const u64 *)ref);
	session = bpf_map_lookup_elem(&sessions, &entry.ref.session);
	if (session && (entry.ref.state & NSR_SESSION_STATUS) == NSR_SESSION_ACTIVE &&
	    flow_equal(&session->flow, &key))
		session_begin(session, entry.ref.state);
	return 0;
}

#endif
