/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * conntrack.h - sessions: one record a flow, from which both directions are derived.
 *
 *   FREE -> CLAIMED -> ACTIVE -> DYING -> FREE (next generation)
 *
 * A slot of "sessions" belongs to whoever claimed its bit, until it is ACTIVE; from then on to
 * whoever takes it from ACTIVE to DYING with a compare-and-swap, which is done once. Readers come
 * by way of "session_by_flow", whose entries may be recycled under them, so a reader believes a
 * record only if its state, generation included, is the one that the entry remembers, before and
 * after it has read the rest, and if the flow in it is the one it asked for.
 *
 * Expiry is decided at look-up, exactly; space is reclaimed later (expire.h).
 */
#ifndef NSROUTE_BPF_CONNTRACK_H
#define NSROUTE_BPF_CONNTRACK_H

#include "common.h"
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

static __always_inline u32 session_timeout_s(const struct nsr_settings *settings,
					     const struct nsr_flow *flow, u32 seen)
{
	switch (flow->inside.protocol) {
	case NSR_NAT_TCP:
		if (seen & NSR_SEEN_RST)
			return settings->timeout_s[NSR_TIMEOUT_TCP_RST];
		if (session_is_over(seen))
			return settings->timeout_s[NSR_TIMEOUT_TCP_FIN];
		if (seen & NSR_SEEN_IN && seen & NSR_SEEN_OUT_ACK)
			return settings->timeout_s[NSR_TIMEOUT_TCP_ESTABLISHED];
		return settings->timeout_s[NSR_TIMEOUT_TCP_SYN];
	case NSR_NAT_UDP:
		if (flow->remote_port == bpf_htons(NSR_DNS_PORT))
			return settings->timeout_s[NSR_TIMEOUT_UDP_DNS];
		if (seen & NSR_SEEN_IN)
			return settings->timeout_s[NSR_TIMEOUT_UDP_REPLIED];
		return settings->timeout_s[NSR_TIMEOUT_UDP_UNREPLIED];
	default:
		return settings->timeout_s[NSR_TIMEOUT_ICMP];
	}
}

/* Clocks of two CPUs may differ by a tick: what lies ahead of now is not old. */
static __always_inline bool session_is_expired(const struct nsr_settings *settings,
					       const struct nsr_flow *flow, u32 seen,
					       u32 refreshed_s, u32 now_s)
{
	u32 age = now_s - refreshed_s;

	/* In a busy flow most packets come in the second of the last; no timeout is shorter. */
	return age && age < 0x80000000 && age >= session_timeout_s(settings, flow, seen);
}

static __always_inline bool flow_equal(const struct nsr_flow *a, const struct nsr_flow *b)
{
	const u64 *x = (const u64 *)a, *y = (const u64 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]));
}

/* What a reader takes from a session's record. */
struct session_view {
	u32 mapping;
	__be32 external, next_hop;
	u32 route_tag, mtu;
};

/* Whether a record holds this flow under this state; *ret is then what else is in it. */
static __always_inline bool session_matches(const struct nsr_session *session, u32 state,
					    const struct nsr_flow *flow, struct session_view *ret)
{
	bool equal;

	if ((state & NSR_SESSION_STATUS) != NSR_SESSION_ACTIVE ||
	    READ_ONCE(session->state) != state)
		return false;
	barrier();
	equal = flow_equal(&session->flow, flow);
	ret->mapping = READ_ONCE(session->mapping);
	ret->external = READ_ONCE(session->external);
	ret->route_tag = READ_ONCE(session->route_tag);
	barrier();
	ret->next_hop = READ_ONCE(session->next_hop);
	ret->mtu = READ_ONCE(session->mtu);
	barrier();
	return equal && READ_ONCE(session->state) == state;
}

/* Keeps the FIB's answer, the tag last: of two CPUs that write at once either's will do. */
static __always_inline void session_keep_route(struct nsr_session *session, __be32 next_hop,
					       u32 mtu, u32 tag)
{
	INSTEAD();
	WRITE_ONCE(session->next_hop, next_hop);
	WRITE_ONCE(session->mtu, mtu);
	barrier();
	WRITE_ONCE(session->route_tag, tag);
}

/*
 * A packet went through. Only what goes out keeps a session alive (RFC 4787 REQ-6: what comes in
 * would let the outside hold it open). Written at most once a second, and when the state changes.
 * How long it lives on when it is over counts from then, whoever ended it (RFC 7857 2.2): a reset
 * that the inside does not believe must not take a connection that has been idle.
 */
static __always_inline void session_seen(struct nsr_session *session, u32 seen, u32 now_s)
{
	u32 known = READ_ONCE(session->seen);

	INSTEAD();
	if (seen & NSR_SEEN_OUT_SYN && session_is_over(known)) {
		WRITE_ONCE(session->seen, seen);
	} else if (seen & ~known) {
		if (seen & NSR_SEEN_ENDS && !session_is_over(known) &&
		    session_is_over(known | seen))
			WRITE_ONCE(session->refreshed_s, now_s);
		__sync_fetch_and_or(&session->seen, seen);
	}
	if (seen & NSR_SEEN_OUT && READ_ONCE(session->refreshed_s) != now_s)
		WRITE_ONCE(session->refreshed_s, now_s);
}

#endif
