/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * share.h - what each namespace has of what all of them share, so that none takes all.
 *
 *   sessions   those that it begins, as many as the file says
 *              those that the outside begins: counted apart, so that whoever sends to a namespace
 *              does not use up what it may have itself. Whether the inside answers tells nothing: a
 *              server answers every SYN. A quarter of the former, and NSR_INBOUND_MAX for all.
 *   records    five eighths of a family's table for what it begins, contacts (contact.h) included:
 *              so whatever the file says, the others have room
 *   ports      half of a pool, cooling down included (RFC 6888 REQ-4): whatever a namespace opens
 *              and ends, the others have the other half
 *
 * A count is taken by compare-and-swap before what it is for, and given back after it is gone: so
 * there is never more than may be, whoever else is at it.
 */
#ifndef NSROUTE_BPF_SHARE_H
#define NSROUTE_BPF_SHARE_H

#include "maps.h"
#include "trace.h"

#define NAT_TRIES 8 /* compare-and-swap attempts on one word */

static __always_inline struct nsr_share *share_of(u32 number)
{
	return bpf_map_lookup_elem(&shares, &number);
}

static __always_inline void share_give(u32 *count)
{
	__sync_fetch_and_add(count, -1);
}

/* 0, or the reason why there is no more. Where so many CPUs are at it that others were faster each
 * time, it is added to, which none can be faster than: one too many is given back at once. */
static __always_inline int share_take(u32 *count, u32 most)
{
	u32 known = READ_ONCE(*count), found;
	int i;

	INSTEAD(known < most ? 0 : DROP(NAT_LIMIT));
	for (i = 0; i < NAT_TRIES; i++) {
		if (known >= most)
			return DROP(NAT_LIMIT);
		found = __sync_val_compare_and_swap(count, known, known + 1);
		if (found == known)
			return 0;
		known = found;
	}
	if (__sync_fetch_and_add(count, 1) < most)
		return 0;
	share_give(count);
	return DROP(NAT_LIMIT);
}

/* All together: not by compare-and-swap, for many CPUs may be at it. One too many is given back at
 * once, so at the very end one may be refused for another that is just refused. */
static __always_inline int share_take_of_all(u32 *count, u32 most)
{
	INSTEAD(READ_ONCE(*count) < most ? 0 : DROP(NAT_SESSIONS));
	if (__sync_fetch_and_add(count, 1) < most)
		return 0;
	share_give(count);
	return DROP(NAT_SESSIONS);
}

static __always_inline int share_take_inbound(struct nsr_share *share, u32 flows_max, u32 family,
					      u32 room)
{
	int result = share_take(&share->inbound, NSR_INBOUND_OF(flows_max));
	struct nsr_share *all = share_of(0);

	if (result || !all)
		return result;
	result = share_take_of_all(&all->records[family], NSR_INBOUND_MAX(room));
	INSTEAD(result);
	if (result)
		share_give(&share->inbound);
	return result;
}

static __always_inline int share_take_own(struct nsr_share *share, u32 flows_max, u32 family,
					  u32 room)
{
	int result = share_take(&share->flows, flows_max);

	if (result)
		return result;
	result = share_take(&share->records[family], NSR_RECORDS_MAX(room));
	INSTEAD(result);
	if (result)
		share_give(&share->flows);
	return result;
}

/* A session for the owner, in the family's table of so many records; 0, or the reason why it gets
 * none. */
static __always_inline int share_take_session(u32 owner, u32 flows_max, u32 family, u32 room)
{
	struct nsr_share *share = share_of(NSR_OWNER_NUMBER(owner));

	if (!share)
		return DROP(NAT_SESSIONS);
	return NSR_OWNER_KIND(owner) == NSR_OWNER_INBOUND
		       ? share_take_inbound(share, flows_max, family, room)
		       : share_take_own(share, flows_max, family, room);
}

static __always_inline void share_give_session(u32 owner, u32 family)
{
	struct nsr_share *share = share_of(NSR_OWNER_NUMBER(owner)), *all;

	if (share && NSR_OWNER_KIND(owner) != NSR_OWNER_INBOUND) {
		share_give(&share->records[family]);
		share_give(&share->flows);
	} else if (share) {
		all = share_of(0);
		if (all)
			share_give(&all->records[family]);
		share_give(&share->inbound);
	}
}

/* A record that is no session. */
static __always_inline int share_take_record(u32 owner, u32 family, u32 room)
{
	struct nsr_share *share = share_of(NSR_OWNER_NUMBER(owner));

	return share ? share_take(&share->records[family], NSR_RECORDS_MAX(room))
		     : DROP(NAT_SESSIONS);
}

static __always_inline void share_give_record(u32 owner, u32 family)
{
	struct nsr_share *share = share_of(NSR_OWNER_NUMBER(owner));

	if (share)
		share_give(&share->records[family]);
}

/* Whether the host itself has any: who has one is counted before it is entered and until it is not.
 */
static __always_inline bool share_host_any(void)
{
	const struct nsr_share *share = share_of(NSR_OWNER_HOST);

	return share && READ_ONCE(share->flows);
}

/* Which of the ports; first: of the family. */
static __always_inline u32 *share_ports(struct nsr_share *share, u32 first, u8 protocol)
{
	u32 slot = first + protocol;

	barrier_var(slot);
	return &share->ports[slot & (NSR_SHARE_PORTS - 1)];
}

/* Whether what comes to a published port, or from one, has to do without a session. It can: the
 * translation is in the mapping, and anybody is let in. */
static __always_inline bool share_is_short(int refused)
{
	return refused == DROP(NAT_LIMIT) || refused == DROP(NAT_SESSIONS);
}

#endif
