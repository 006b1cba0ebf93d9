/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * own.h - a flow that the host itself begins from a port which is mapped to the same remote.
 *
 * A mapping has one port for all remotes, so it cannot go out of the way. The session that it has
 * with this remote ends before the host's packet has left: what the remote answers finds no session
 * then, and is the host's, and what the inside sends on finds the host's socket. Of TCP a SYN
 * begins, of UDP any datagram may.
 *
 * Only what a socket of the host would get the answers of ends a session, so what netfilter
 * masquerades for others, or somebody forges, does not. Whatever fails, the packet goes its way.
 *
 * Echo requests have no sockets that could be asked for. Of these it is enough that the host itself
 * sends one, with the identifier of a mapping, and it is remembered (mapping.h), so that the inside
 * gets another identifier towards that remote, and for NSR_HOST_ECHO_S not this one.
 *
 * One text for both families, as nat4.h tells.
 */
#ifndef NSROUTE_BPF_OWN_H
#define NSROUTE_BPF_OWN_H

#include "nat.h"

/* Whether a port is not free, which it is before anything else is asked: the pool's bit. */
static __always_inline bool own_port_is_taken(u32 slot, u8 protocol, __be16 port_be)
{
	u32 number = NSR_POOL_BIT(bpf_ntohs(port_be));
	const u64 *words = nat_pool_words(NSR_MAPPING(NSR_POOL(slot, protocol), 0));

	return words && !bits_is_free(words, NSR_POOL_WORDS, number);
}

/* The session that the mapping of the host's port has with the remote, if a socket of the host
 * would get its answers: number and, in the upper half, state; 0: there is none. */
NSR_STEP u64 own_session(struct __sk_buff *skb, struct nat_request *request)
{
	struct session_view view;
	const struct nsr_session *session;
	const struct nsr_mapping *record;
	const struct nsr_session_ref *ref;
	u32 mapping, number, state;
	__be16 port;

	request = nat_request_here(request);
	if (!request)
		return 0;
	port = request->flow.inside.port;
	mapping = NSR_MAPPING(NSR_POOL(request->slot, request->flow.inside.protocol),
			      bpf_ntohs(port));
	record = nat_mapping(mapping);
	if (!record || !READ_ONCE(record->references))
		return 0;
	request->flow.inside = record->inside;
	NAT_KEY(struct nsr_flow, flow, &request->flow);
	ref = bpf_map_lookup_elem(&session_by_flow, flow);
	if (!ref)
		return 0;
	number = READ_ONCE(ref->session);
	state = READ_ONCE(ref->state);
	session = bpf_map_lookup_elem(&sessions, &number);
	if (!session || !session_matches(session, state, flow, false, &view) ||
	    view.mapping != mapping ||
	    (flow->inside.protocol != NSR_NAT_ICMP &&
	     !host_has_socket(skb, flow->inside.protocol, &request->flow.remote_address,
			      request->flow.remote_port, &request->external, port,
			      mapping_is_published(mapping))))
		return 0;
	return (u64)state << 32 | number;
}

/* request->flow has remote, protocol and uplink, and the host's port in place of the inside one;
 * request->slot is that of the host's address. Ended by the caller, so that what was needed to find
 * it is not on the stack below that. */
static __always_inline int own_begins(struct __sk_buff *skb, struct nat_request *request)
{
	u64 found = own_session(skb, request);

	if (found)
		session_end((u32)found, found >> 32, request->now_s, false);
	return 0;
}

#endif
