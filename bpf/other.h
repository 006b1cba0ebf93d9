/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * other.h - protocols of which we know no ports: SCTP, GRE, ESP, and all that are not TCP, UDP or
 * ICMP. Only the addresses are translated.
 *
 * So nothing but the protocol tells apart what a remote sends back, and of all that is inside an
 * uplink only one address may speak a protocol to a remote at a time. Another one's packets are
 * dropped as long as that session lives; also where the uplink has several external addresses and
 * the two have not the same, for what is remembered of the host is the uplink's, too.
 *
 * The session is like any other: counted, limited, expired, listed and ended as all are. Its record
 * has the protocol's number for a port, and no mapping. It is entered under a key without the
 * inside address, with BPF_NOEXIST: of two CPUs that open it for two inside hosts one wins, and the
 * other finds whose it is in the record.
 *
 *   out: session_by_flow (protocol, remote) -> session of the same inside address = the translation
 *   in:  session_by_flow (protocol, remote) -> session = the inside address
 *
 * The host itself goes first, whoever began. There is no socket that could be asked for, so what it
 * sends tells: for NSR_HOST_REMOTE_S after that the remote's packets of that protocol are the
 * host's, and nobody inside gets or sends any. So do packets that it gets, for it may be one that
 * only listens: those of no session, as long as it is not seen to refuse them, which the kernel
 * does by an ICMP error or an SCTP ABORT where nobody listens. Both are remembered in LRUs, so that
 * nothing that the host does takes room from sessions; what they forget is known again with the
 * next packet. Two of them: anybody can forge what the host gets, but not what it sends.
 *
 * An SCTP association that has ended is to make room for others: what ends one opens no session,
 * and one that has seen it lives as a TCP connection that was reset, until the inside sends
 * something else, as it does when it has another association with that remote.
 *
 * Nothing behind the headers of IP is looked at, so a fragment is translated like any packet.
 *
 * One text for both families, as nat4.h tells; their packets are in other4.h and other6.h. Off the
 * hot path.
 */
#ifndef NSROUTE_BPF_OTHER_H
#define NSROUTE_BPF_OTHER_H

#include "nat.h"
#include "trace.h"

/* Types of an SCTP packet's first chunk, RFC 9260 3.2, which comes behind 12 bytes. */
#define SCTP_HEADER            12
#define SCTP_ABORT             6
#define SCTP_SHUTDOWN_COMPLETE 14

/* What a session's record says, and its name. */
struct other_session {
	nat_address inside, external;
	u32 number;
	u32 state; /* 0: there is none */
};

/* The flow of a protocol and a remote; whose it is is not known yet. */
static __always_inline void other_ask(struct nat_request *request, u8 protocol, nat_address remote)
{
	__builtin_memset(&request->flow.inside.address, 0, sizeof(nat_address));
	request->flow.inside.port = bpf_htons(protocol);
	request->flow.inside.protocol = NSR_NAT_OTHER;
	request->flow.remote_address = remote;
	request->flow.remote_port = 0;
}

/* ---- The host's own. */

static __always_inline struct nsr_host_remote host_remote(const struct nat_request *request,
							  enum nsr_host_does does)
{
	struct nsr_host_remote key = {
		.address = request->flow.remote_address,
		.protocol = bpf_ntohs(request->flow.inside.port),
		.uplink = request->flow.inside.uplink,
		.does = does,
	};

	return key;
}

static __always_inline u32 *host_known(const struct nsr_host_remote *key)
{
	return key->does == NSR_HOST_SENDS ? bpf_map_lookup_elem(&host_remotes, key)
					   : bpf_map_lookup_elem(&host_hears, key);
}

/* Remembers what the host does with the request's remote; written at most once a second. */
NSR_STEP int host_note(const struct nat_request *request, u32 does)
{
	struct nsr_host_remote key;
	u32 *known, now_s;

	if (!request)
		return 0;
	INSTEAD((int)does);
	key = host_remote(request, does);
	now_s = request->now_s;
	known = host_known(&key);
	if (known && READ_ONCE(*known) != now_s)
		WRITE_ONCE(*known, now_s);
	else if (!known && does == NSR_HOST_SENDS)
		bpf_map_update_elem(&host_remotes, &key, &now_s, BPF_ANY);
	else if (!known)
		bpf_map_update_elem(&host_hears, &key, &now_s, BPF_ANY);
	return 0;
}

/* Of an entry that is recycled while it is read the answer may be another's, for one packet. */
NSR_STEP int host_did(const struct nat_request *request, u32 does)
{
	struct nsr_host_remote key;
	const u32 *known;
	u32 age;

	if (!request)
		return false;
	key = host_remote(request, does);
	known = host_known(&key);
	age = known ? request->now_s - READ_ONCE(*known) : NSR_HOST_REMOTE_S;
	return age < NSR_HOST_REMOTE_S || age >= 0x80000000; /* of a CPU that is ahead by a tick */
}

/* Whether what the request's remote sends is the host's own. */
static __always_inline bool host_has(const struct nat_request *request)
{
	return host_did(request, NSR_HOST_SENDS) ||
	       (host_did(request, NSR_HOST_HEARS) && !host_did(request, NSR_HOST_REFUSES));
}

/* Whether the SCTP packet whose header is at offset ends an association, or, as the kernel's SCTP
 * answers to what it does not know, refuses one. */
static __always_inline bool other_is_end(struct __sk_buff *skb, u32 offset)
{
	u8 chunk;

	return !bpf_skb_load_bytes(skb, offset + SCTP_HEADER, &chunk, sizeof(chunk)) &&
	       (chunk == SCTP_ABORT || chunk == SCTP_SHUTDOWN_COMPLETE);
}

/* ---- Sessions. */

/*
 * The session of the request's protocol and remote: 0 and what is in it. VERDICT_RARE: there is
 * none; if *ret_session has a state, that one is over. DROP(NAT_CONTENTION): it is just being made
 * or ended.
 */
NSR_STEP int other_find(const struct nat_request *request, struct other_session *ret_session)
{
	struct nsr_session_ref *ref;
	struct nsr_session *session;
	struct nsr_flow key, flow;
	u32 number, state;
	bool over;

	if (!request || !ret_session)
		return DROP(NAT_SESSIONS);
	key = request->flow;
	flow_to_key(&key);
	ret_session->state = 0;
	ref = bpf_map_lookup_elem(&session_by_flow, &key);
	if (!ref)
		return VERDICT_RARE;
	number = READ_ONCE(ref->session);
	state = READ_ONCE(ref->state);
	session = bpf_map_lookup_elem(&sessions, &number);
	if (!session || (state & NSR_SESSION_STATUS) != NSR_SESSION_ACTIVE ||
	    READ_ONCE(session->state) != state)
		return DROP(NAT_CONTENTION);
	barrier();
	flow = session->flow;
	ret_session->external = READ_ONCE(session->external);
	over = session_is_expired(READ_ONCE(session->life), READ_ONCE(session->refreshed_s),
				  request->now_s);
	barrier();
	ret_session->inside = flow.inside.address;
	flow_to_key(&flow);
	if (!flow_equal(&flow, &key) || READ_ONCE(session->state) != state)
		return DROP(NAT_CONTENTION);
	ret_session->number = number;
	ret_session->state = state;
	return over ? VERDICT_RARE : 0;
}

/* The same of a live one: VERDICT_RARE with a state is also one that was translated to an address
 * that is the uplink's no more. */
static __always_inline int other_look(const struct nat_request *request,
				      struct other_session *ret_session)
{
	int result = other_find(request, ret_session);

	if (!result && external_is_stranded(request->flow.inside.uplink, &ret_session->external))
		return VERDICT_RARE;
	return result;
}

/* A packet goes through; 0 when the session has ended meanwhile. */
NSR_STEP int other_seen(const struct nat_request *request, const struct other_session *found)
{
	struct nsr_session *session;
	u32 number;

	if (!request || !found)
		return 0;
	number = found->number;
	session = bpf_map_lookup_elem(&sessions, &number);
	return session && session_seen(session, found->state, request->seen, request->now_s);
}

NSR_STEP int other_open(struct __sk_buff *skb, struct nat_request *request)
{
	u32 number;
	int result;

	if (!request)
		return DROP(NAT_SESSIONS);
	if (nat_is_changing(request->flow.inside.uplink))
		return DROP(NAT_CLOSED);
	result = flows_claim(skb, request);
	INSTEAD(trace_open_other(result, request->slot));
	if (result)
		return result;
	number = session_claim();
	result = number == BITS_NONE ? DROP(NAT_SESSIONS) : session_enter(number, request);
	if (result)
		flows_give(request->owner);
	return result;
}

/* The session of what the request's inside address sends, or a new one: 0, or a reason to drop. */
static __always_inline int other_try(struct __sk_buff *skb, struct nat_request *request)
{
	struct other_session found = {};
	int result = other_look(request, &found);

	if (result == VERDICT_RARE) {
		if (found.state)
			session_end(found.number, found.state, request->now_s, false);
		return request->seen & NSR_SEEN_RST ? DROP(NAT_STATE) : other_open(skb, request);
	}
	if (result)
		return result;
	if (!address_equal(&found.inside, &request->flow.inside.address))
		return DROP(NAT_AMBIGUOUS);
	if (!address_equal(&found.external, &request->external)) { /* it has another one now */
		session_end(found.number, found.state, request->now_s, false);
		return request->seen & NSR_SEEN_RST ? DROP(NAT_STATE) : other_open(skb, request);
	}
	return other_seen(request, &found) ? 0 : DROP(NAT_CONTENTION);
}

/* Another CPU may have opened it meanwhile, and it may have been the last one that the namespace
 * may have. */
NSR_STEP int other_join(struct __sk_buff *skb, struct nat_request *request)
{
	int result;

	if (!request)
		return DROP(NAT_SESSIONS);
	result = other_try(skb, request);
	if (result == DROP(NAT_CONTENTION) || result == DROP(NAT_LIMIT))
		result = other_try(skb, request);
	return result;
}

#endif
