/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * reclaim.h - gives back session slots and external ports, a slice of the tables at a time: what
 * has expired and what has cooled down, by the clock of expire.h, or what somebody wants to end.
 */
#ifndef NSROUTE_BPF_RECLAIM_H
#define NSROUTE_BPF_RECLAIM_H

#include "datagram.h"
#include "direct.h"
#include "nat.h"

#define EXPIRE_TICKS   128  /* slices of a pass; a power of two */
#define EXPIRE_LEAST_S 7440 /* that an established connection may be idle, RFC 5382 REQ-5 */

struct expire_slice {
	struct nsr_selection flush;
	u32 flushing; /* what flush selects; 0: what has expired */
	u32 renewing; /* give it the timeouts that are set now; 0: end it */
	u32 ended;
	u32 first_word;
	u32 pool, pools_first;
	u32 now_s;
	u32 used;    /* slots that were seen to be */
	u32 spare;   /* free slots: with fewer there is pressure */
	u32 lacking; /* of those; 0: there is none */
};

/* On its own, so that it is verified once and not for each bit of a word. */
NSR_STEP int expire_selects(const struct nsr_selection *flush, const struct nsr_session *session)
{
	if (!flush || !session || !nsr_selects(flush, &session->flow, session->mapping))
		return 0;
	if (flush->unanswered && READ_ONCE(session->life) & NSR_SEEN_OUT)
		return 0;
	/* The host's own have the address that they are sent from. */
	if (flush->repaired &&
	    (READ_ONCE(session->owner) == NSR_OWNER(NSR_OWNER_OWN, NSR_OWNER_HOST) ||
	     !nat_is_repaired(&session->flow.inside.address)))
		return 0;
	return !flush->unpublished || !mapping_is_held(session->mapping);
}

/* Whether the address that a session is translated to has gone, or what a direct one lives by. */
NSR_STEP int expire_stranded(const struct nsr_session *session)
{
	if (!session)
		return false;
	if (session->flow.kind == NSR_FLOW_DIRECT)
		return direct_is_stranded(session);
	return external_is_stranded(session->flow.inside.uplink, &session->external);
}

/*
 * Whether a session has to go because room gets short: established TCP that has been idle for
 * longer than it may be then. With all that are spare free that is its timeout, with none the least
 * that it has a right to. What goes on is not idle: nothing that lives is ended.
 */
NSR_STEP int expire_hurried(const struct nsr_session *session, u32 now_s, u32 lacking, u32 spare)
{
	u32 life, age, timeout_s;

	if (!session || !spare)
		return false;
	life = READ_ONCE(session->life);
	age = now_s - READ_ONCE(session->refreshed_s);
	timeout_s = NSR_LIFE_TIMEOUT_S(life);
	if (timeout_s <= EXPIRE_LEAST_S || age >= 0x80000000 ||
	    session->flow.inside.protocol != NSR_NAT_TCP ||
	    nsr_timeout_of(&session->flow, NSR_LIFE_SEEN(life)) != NSR_TIMEOUT_TCP_ESTABLISHED)
		return false;
	timeout_s -= (u64)(timeout_s - EXPIRE_LEAST_S) * lacking / spare;
	return age >= timeout_s;
}

static __always_inline bool expire_due(const struct nsr_session *session,
				       const struct expire_slice *slice)
{
	if (slice->flushing)
		return expire_selects(&slice->flush, session);
	if (expire_stranded(session) ||
	    (slice->lacking && expire_hurried(session, slice->now_s, slice->lacking, slice->spare)))
		return true;
	return session_is_expired(READ_ONCE(session->life), READ_ONCE(session->refreshed_s),
				  slice->now_s);
}

/* Whether nothing but its age is the reason. */
static __always_inline bool expire_is_idle(const struct nsr_session *session,
					   const struct expire_slice *slice)
{
	return !slice->flushing && !slice->lacking && !expire_stranded(session);
}

NSR_STEP int expire_one_session(u32 number, struct expire_slice *slice)
{
	struct nsr_session *session = bpf_map_lookup_elem(&sessions, &number);
	u32 state;

	if (!session || !slice)
		return 0;
	state = READ_ONCE(session->state);
	if ((state & NSR_SESSION_STATUS) == NSR_SESSION_ACTIVE && expire_due(session, slice) &&
	    (slice->renewing
		     ? !session_change(session, state, 0, slice->now_s)
		     : session_end(number, state, slice->now_s, expire_is_idle(session, slice))))
		__sync_fetch_and_add(&slice->ended, 1); /* no value for the verifier to follow */
	return 0;
}

/* Words are counted through all sets. */
static long expire_session_word(u32 i, struct expire_slice *slice)
{
	u32 word = slice->first_word + i, bit;
	u64 *words = nat_session_words(word / NAT_SESSION_WORDS);
	u64 used;

	if (!words)
		return 1;
	used = READ_ONCE(words[word & (NAT_SESSION_WORDS - 1)]);
	__sync_fetch_and_add(&slice->used, bits_count(used));
	for (bit = 0; bit < 64 && used; bit++, used >>= 1)
		if (used & 1)
			expire_one_session(word * 64 + bit, slice);
	return 0;
}

/* A slice of all sets. */
static __always_inline void expire_sessions(u32 part, struct expire_slice *slice)
{
	u32 words = session_sets() * (NAT_SESSION_WORDS / EXPIRE_TICKS);

	slice->first_word = part * words;
	bpf_loop(words, expire_session_word, slice, 0);
}

NSR_STEP int expire_one_port(u32 mapping, const struct expire_slice *slice)
{
	struct nsr_mapping *record = nat_mapping(mapping);
	u32 released_s, owner;
	bool aside, reserved;
	u8 protocol, uplink;

	if (!record || !slice)
		return 0;
	released_s = READ_ONCE(record->released_s);
	reserved = READ_ONCE(record->flags) & NSR_MAPPING_RESERVED;
	aside = released_s == NSR_RELEASED_ASIDE;
	/* Another CPU may have crossed a second since this pass began. */
	if (!released_s || (aside && reserved) ||
	    (!aside && !slice->flushing && (int)(slice->now_s - released_s) < NSR_PORT_COOLDOWN_S))
		return 0;
	owner = record->owner;
	protocol = record->inside.protocol;
	uplink = record->inside.uplink;
	barrier();
	/* References are 0 and the bit is set: nobody else touches the record, but who publishes
	 * the port. What he finds set aside is counted no more; if he is ahead, neither is it. */
	if (__sync_val_compare_and_swap(&record->released_s, released_s,
					reserved ? NSR_RELEASED_ASIDE : 0) != released_s)
		return 0;
	if (!aside)
		count_nat(uplink, ports_used, protocol, -1);
	barrier();
	if (!reserved && mapping_is_in_range(mapping))
		mapping_free_port(mapping);
	if (!aside)
		port_uncount(owner, protocol);
	return 0;
}

static long expire_port_word(u32 i, struct expire_slice *slice)
{
	u64 *words = nat_pool_words(NSR_MAPPING(slice->pool, 0));
	u32 word = (slice->first_word + i) & (NSR_POOL_WORDS - 1), bit, first;
	u64 used;

	if (!words)
		return 1;
	first = NSR_MAPPING(slice->pool, NSR_POOL_BIT_PORT(word * 64));
	used = READ_ONCE(words[word]);
	for (bit = 0; bit < 64 && used; bit++, used >>= 1)
		if (used & 1)
			expire_one_port(first + 2 * bit, slice); /* all of one parity */
	return 0;
}

static long expire_pool(u32 pool, struct expire_slice *slice)
{
	if (!bpf_map_lookup_elem(&pools, &pool))
		return 0; /* not in use */
	slice->pool = pool;
	bpf_loop(NSR_POOL_WORDS / EXPIRE_TICKS, expire_port_word, slice, 0);
	return 0;
}

/* All of a pool that cool down, however long they have. */
static long expire_ports_at_once(u32 protocol, struct expire_slice *slice)
{
	slice->pool = slice->pools_first + protocol;
	if (bpf_map_lookup_elem(&pools, &slice->pool))
		bpf_loop(NSR_POOL_WORDS, expire_port_word, slice, 0);
	return 0;
}

static __always_inline int expire_ports_of(u32 slot, struct expire_slice *slice)
{
	slice->pools_first = NSR_POOL(slot, 0);
	bpf_loop(NSR_NAT_PROTOCOLS, expire_ports_at_once, slice, 0);
	return 0;
}

/*
 * Its first fragment has not come: only now is it counted. Who takes out part 0 has the others too,
 * and nobody else touches them. A part that has outlived any datagram's time was forgotten so.
 */
static long expire_held(void *map, const struct nsr_held_key *fragment, struct nsr_held *held,
			struct expire_slice *slice)
{
	struct nsr_held_key key = *fragment;
	u32 length = held->length, part = held->part, lasts_s, i;

	(void)map;
	lasts_s = part ? 2 * NSR_DATAGRAM_MAX_S : held_lasts(key.datagram.uplink);
	if (!datagram_is_old(held->since_s, slice->now_s, lasts_s) ||
	    bpf_map_delete_elem(&held_fragments, &key) || part)
		return 0;
	count_uplink_rx(key.datagram.uplink, length, DROP(NAT_FRAGMENT), false);
#pragma unroll
	for (i = 1; i < NSR_HELD_PARTS; i++) {
		key.number++;
		if (i * NSR_HELD_BYTES < length)
			bpf_map_delete_elem(&held_fragments, &key);
	}
	return 0;
}

/* Ends the sessions that are selected, whatever their age, or renews them. Returns how many. */
static __always_inline int expire_flush(const struct nsr_flush *flush)
{
	const struct nsr_settings *limits = nat_settings();
	struct expire_slice slice = {.flush = flush->selection,
				     .flushing = 1,
				     .renewing = flush->what == NSR_FLUSH_RENEW};
	u32 words = flush->words;

	if (!limits)
		return -ENOENT;
	slice.now_s = nat_now_s(limits);
	if (flush->what == NSR_FLUSH_PORTS)
		return expire_ports_of(flush->slot, &slice);
	slice.first_word = flush->first_word;
	bpf_loop(words < NAT_SESSION_WORDS ? words : NAT_SESSION_WORDS, expire_session_word, &slice,
		 0);
	return slice.ended;
}

#endif
