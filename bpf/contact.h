/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * contact.h - whom an inside endpoint has sent to, for the filter that lets in what such addresses
 * send (RFC 4787 REQ-8: address-dependent).
 *
 * A contact is an inside endpoint and a remote address. It is in the tables of sessions, under a
 * flow that is marked and has no remote port, so asking for it costs two look-ups; its record stays
 * CLAIMED, so it is a session to nobody. Where nsr_session.life would be it counts the sessions
 * that the inside has opened to that address while the filter was set: each holds one reference,
 * and the last one ends the contact. Its record counts for the namespace whose session made it.
 *
 * Who takes a reference compares state and count in one, so the record is of the generation that
 * the entry named, and the count was not 0: from then on it stays what it is. Only then is the flow
 * in it compared, because the entry may have been recycled while it was read; of a contact that is
 * another's the reference is given back. A count of 0 is never raised.
 */
#ifndef NSROUTE_BPF_CONTACT_H
#define NSROUTE_BPF_CONTACT_H

#include "conntrack.h"
#include "mapping.h"
#include "maps.h"
#include "share.h"
#include "slots.h"

static __always_inline struct nsr_flow contact_key(const struct nsr_flow *flow)
{
	struct nsr_flow key = *flow;

	key.remote_port = 0;
	key.kind = NSR_FLOW_CONTACT;
	return key;
}

/* What an entry names, read at once. */
union contact_entry {
	struct nsr_session_ref ref;
	u64 both;
};

static __always_inline bool contact_entry_read(const struct nsr_flow *key, union contact_entry *ret)
{
	const struct nsr_session_ref *ref = bpf_map_lookup_elem(&session_by_flow, key);

	if (!ref)
		return false;
	ret->both = READ_ONCE(*(const u64 *)ref);
	return true;
}

/* Gives a reference back. */
NSR_STEP int contact_put(u32 number)
{
	struct nsr_session *session = bpf_map_lookup_elem(&sessions, &number);
	struct nsr_flow key;
	u32 owner;

	if (!session || __sync_fetch_and_add(&session->life, -1) != 1)
		return 0;
	key = session->flow;
	owner = session->owner;
	bpf_map_delete_elem(&session_by_flow, &key);
	session_vacate(session, number);
	share_give_record(owner, NAT_FAMILY);
	return 0;
}

/* Gives back the reference of a session of this flow. */
NSR_STEP int contact_forget(const struct nsr_flow *flow)
{
	union contact_entry entry;
	struct nsr_flow key;

	if (!flow)
		return 0;
	key = contact_key(flow);
	return contact_entry_read(&key, &entry) ? contact_put(entry.ref.session) : 0;
}

static __always_inline int contact_join(const struct nsr_flow *key,
					const union contact_entry *entry)
{
	u32 number = entry->ref.session, state = entry->ref.state, count;
	struct nsr_session *session = bpf_map_lookup_elem(&sessions, &number);
	int result = -EAGAIN, i;

	if (!session || (state & NSR_SESSION_STATUS) != NSR_SESSION_CLAIMED)
		return DROP(NAT_CONTENTION);
	for (i = 0; i < NAT_TRIES && result == -EAGAIN; i++) {
		count = READ_ONCE(session->life);
		if (!count)
			return DROP(NAT_CONTENTION);
		result = session_swap(session, state, count, state, count + 1);
	}
	if (result)
		return DROP(NAT_CONTENTION);
	if (flow_equal(&session->flow, key))
		return 0;
	contact_put(number);
	return DROP(NAT_CONTENTION);
}

/* Fills a claimed record and enters it; on failure it is free again. */
static __always_inline int contact_enter(const struct nsr_flow *flow, u32 owner, u32 number)
{
	struct nsr_session *session = bpf_map_lookup_elem(&sessions, &number);
	struct nsr_flow key = contact_key(flow);
	struct nsr_session_ref ref = {};
	int result;

	if (!session)
		return DROP(NAT_SESSIONS);
	ref.session = number;
	ref.state = (session->state & ~NSR_SESSION_STATUS) | NSR_SESSION_CLAIMED;
	WRITE_ONCE(session->state, ref.state);
	session->flow = key;
	session->owner = owner;
	WRITE_ONCE(session->life, 1);
	barrier();
	result = bpf_map_update_elem(&session_by_flow, &key, &ref, BPF_NOEXIST);
	if (!result)
		return 0;
	session_vacate(session, number);
	return result == -EEXIST ? DROP(NAT_CONTENTION) : DROP(NAT_SESSIONS);
}

/* A contact with a reference, when contact_get() has found none. 0 or a reason to drop. */
NSR_STEP int contact_make(const struct nsr_flow *flow, u32 owner)
{
	u32 number = session_claim();
	int result = DROP(NAT_SESSIONS);

	if (flow && number != BITS_NONE)
		result = contact_enter(flow, owner, number);
	if (result)
		share_give_record(owner, NAT_FAMILY);
	return result;
}

/* A reference to the contact of a flow that the owner is about to open. 0, a reason to drop, or
 * VERDICT_RARE: there is none, and a record for it is counted. */
NSR_STEP int contact_get(const struct nsr_flow *flow, u32 owner)
{
	union contact_entry entry;
	struct nsr_flow key;
	int result;

	if (!flow)
		return DROP(NAT_SESSIONS);
	key = contact_key(flow);
	if (contact_entry_read(&key, &entry))
		return contact_join(&key, &entry);
	result = share_take_record(owner, NAT_FAMILY, session_room());
	return result ? result : VERDICT_RARE;
}

/* Whether the inside endpoint has sent to the remote address. */
NSR_STEP int contact_known(const struct nsr_flow *flow)
{
	const struct nsr_session *session;
	union contact_entry entry;
	struct nsr_flow key;
	u32 number;
	bool equal;

	if (!flow)
		return 0;
	key = contact_key(flow);
	if (!contact_entry_read(&key, &entry))
		return 0;
	number = entry.ref.session;
	session = bpf_map_lookup_elem(&sessions, &number);
	if (!session || (entry.ref.state & NSR_SESSION_STATUS) != NSR_SESSION_CLAIMED)
		return 0;
	equal = flow_equal(&session->flow, &key) && READ_ONCE(session->life);
	barrier();
	return equal && READ_ONCE(session->state) == entry.ref.state;
}

/* RFC 4787 REQ-8: whether what comes from outside and has no session gets one. Of TCP only a SYN.
 */
static __always_inline bool filter_admits(const struct nat_request *request, u32 filtering)
{
	u8 protocol = request->flow.inside.protocol;

	if (!request->seen || protocol == NSR_NAT_ICMP ||
	    (protocol == NSR_NAT_TCP && !(request->seen & NSR_SEEN_IN_SYN)))
		return false;
	return filtering == NSR_FILTER_NOTHING ||
	       (filtering == NSR_FILTER_ADDRESS && contact_known(&request->flow));
}

#endif
