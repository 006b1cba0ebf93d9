/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * conntrack.h - sessions: one record a flow, from which both directions are derived.
 *
 *   FREE -> CLAIMED -> ACTIVE -> DYING -> FREE (next generation)
 *
 * A slot of "sessions" belongs to whoever claimed its bit, until it is ACTIVE, which it is made by
 * its maker or by the next one that finds its entry; from then on to whoever takes it from ACTIVE
 * to DYING with a compare-and-swap, which is done once. Readers come by way of "session_by_flow",
 * whose entries may be recycled under them, so a reader believes a record only if its state,
 * generation included, is the one that the entry remembers, before and after it has read the rest,
 * and if the flow in it is the one it asked for.
 *
 * Expiry is decided at look-up, exactly; space is reclaimed later (expire.h).
 */
#ifndef NSROUTE_BPF_CONNTRACK_H
#define NSROUTE_BPF_CONNTRACK_H

#include <linux/errno.h>

#include "common.h"
#include "nat4.h"
#include "packet.h"
#include "trace.h"

/* What a packet tells of its TCP connection. */
static __always_inline u32 seen_by(bool outbound, u8 protocol, u8 tcp_flags)
{
	u32 seen = outbound ? NSR_SEEN_OUT : NSR_SEEN_IN;

	if (protocol != NSR_NAT_TCP)
		return seen;
	if (tcp_flags & TCP_SYN)
		seen |= outbound ? NSR_SEEN_OUT_SYN : NSR_SEEN_IN_SYN;
	else if (outbound && tcp_flags & TCP_ACK)
		seen |= NSR_SEEN_OUT_ACK;
	if (tcp_flags & TCP_FIN)
		seen |= outbound ? NSR_SEEN_OUT_FIN : NSR_SEEN_IN_FIN;
	if (tcp_flags & TCP_RST)
		seen |= NSR_SEEN_RST;
	return seen;
}

/* Closed by both sides or reset: a SYN on the same ports starts anew. */
static __always_inline bool session_is_over(u32 seen)
{
	return seen & NSR_SEEN_RST || (seen & NSR_SEEN_OUT_FIN && seen & NSR_SEEN_IN_FIN);
}

/* The reset that a packet takes back: the inside, which is the one to know, goes on as if it had
 * not been (RFC 7857 2.2, RFC 6146 3.5.2.2: TRANS). A reset of its own does not. No branch, for
 * each is one more way through the loop of session_turn(). */
static __always_inline u32 reset_doubted(u32 seen)
{
	_Static_assert(NSR_SEEN_OUT == 1, "times another bit it is that bit");
	return (seen & NSR_SEEN_OUT) * NSR_SEEN_RST & ~seen;
}

/* Whether a packet takes back something that the session has seen. */
static __always_inline bool session_revives(u32 known, u32 seen)
{
	return known & NSR_SEEN_ENDS &&
	       (known & reset_doubted(seen) || (seen & NSR_SEEN_OUT_SYN && session_is_over(known)));
}

/* What a session has seen with one more packet. */
static __always_inline u32 session_next(u32 known, u32 seen)
{
	return seen & NSR_SEEN_OUT_SYN && session_is_over(known)
		       ? seen
		       : (known & ~reset_doubted(seen)) | seen;
}

/* Clocks of two CPUs may differ by a tick: what lies ahead of now is not old. */
static __always_inline bool session_is_expired(u32 life, u32 refreshed_s, u32 now_s)
{
	u32 age = now_s - refreshed_s;

	return age < 0x80000000 && age >= NSR_LIFE_TIMEOUT_S(life);
}

/* What a reader takes from a session's record. */
struct session_view {
	u32 mapping;
	nat_address external;
	/* If asked for: */
	union nsr_route route;
	u32 mtu;
};

/* Whether a record holds this flow under this state; *ret is then what else is in it. */
static __always_inline bool session_matches(const struct nsr_session *session, u32 state,
					    const struct nsr_flow *flow, bool routed,
					    struct session_view *ret)
{
	bool equal;

	if ((state & NSR_SESSION_STATUS) != NSR_SESSION_ACTIVE ||
	    READ_ONCE(session->state) != state)
		return false;
	barrier();
	equal = flow_equal(&session->flow, flow);
	ret->mapping = READ_ONCE(session->mapping);
	ret->external = READ_ONCE(session->external);
	if (routed) {
		ret->route.word = READ_ONCE(session->route.word);
		ret->mtu = READ_ONCE(session->mtu);
	}
	barrier();
	return equal && READ_ONCE(session->state) == state;
}

/*
 * Changes what a session lives by, or ends it. State and life are compared in one, so that a record
 * which is another session's by now, of another generation, stays as it is, and so that who ends a
 * session knows what it had seen. 0: done; -EAGAIN: its life is another; -ENOENT: it has ended.
 */
static __always_inline int session_swap(struct nsr_session *session, u32 state, u32 life,
					u32 new_state, u32 new_life)
{
	union {
		struct {
			u32 state, life;
		};
		u64 both;
	} known = {{state, life}}, next = {{new_state, new_life}}, found;

	found.both = __sync_val_compare_and_swap(&session->status, known.both, next.both);
	if (found.both == known.both)
		return 0;
	return found.state == state ? -EAGAIN : -ENOENT;
}

/* Makes a record that was entered ACTIVE, once: by its maker, or by who has found it while the
 * maker was interrupted in between. */
static __always_inline void session_begin(struct nsr_session *session, u32 state)
{
	u32 life = READ_ONCE(session->life);

	session_swap(session, (state & ~NSR_SESSION_STATUS) | NSR_SESSION_CLAIMED, life, state,
		     life);
}

/* Keeps the FIB's answer. Next hop and tag are written in one and name the MTU, so of CPUs that
 * write at once, be it for a flow that is no more, nobody believes a mixture. */
static __always_inline void session_keep_route(struct nsr_session *session, __be32 next_hop,
					       u32 mtu, u32 tag)
{
	union nsr_route route = {.next_hop = next_hop, .tag = tag};

	INSTEAD();
	WRITE_ONCE(session->mtu, mtu);
	WRITE_ONCE(session->route.word, route.word);
}

#ifdef __bpf__

/* What a session lives by in a network. */
static __always_inline u32 session_life(const struct nsr_inside *inside,
					const struct nsr_flow *flow, u32 seen)
{
	u32 timeout = nsr_timeout_of(flow, seen);

	barrier_var(timeout);
	return NSR_LIFE(inside->timeout_s[timeout & (NSR_TIMEOUT_SLOTS - 1)], seen);
}

/* Whether an external address that sessions of an uplink have has gone, and there is another in its
 * place, or it was taken out of the file. */
NSR_STEP int external_is_stranded(u32 index, const nat_address *address)
{
	const struct nsr_uplink *uplink = uplink_at(index);
	nat_address now;

	if (!uplink || !address || nat_is_more(uplink, address))
		return false;
	now = nat_address_of(uplink);
	return !address_is_none(&now) && !address_equal(&now, address);
}

#endif

#endif
