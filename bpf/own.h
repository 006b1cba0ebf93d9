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
 * One text for both families, as nat4.h tells.
 */
#ifndef NSROUTE_BPF_OWN_H
#define NSROUTE_BPF_OWN_H

#include "nat.h"

/* Whether a port is not free, which it is before anything else is asked: the pool's bit. */
static __always_inline bool own_port_is_taken(u32 slot, u8 protocol, __be16 port_be)
{
	u32 port = bpf_ntohs(port_be), word = bits_word(port, NSR_POOL_WORDS);
	const u64 *words = nat_pool_words(NSR_MAPPING(NSR_POOL(slot, protocol), 0));

	return words && READ_ONCE(words[word]) >> (port % 64) & 1;
}

/* request->flow has remote and protocol, and the host's port in place of the inside one;
 * request->slot is that of the host's address. */
NSR_STEP int own_begins(struct __sk_buff *skb, struct nat_request *request)
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
	    !host_has_socket(skb, flow->inside.protocol, &request->flow.remote_address,
			     request->flow.remote_port, &request->external, port,
			     mapping_is_published(mapping)))
		return 0;
	session_end(number, state, request->now_s);
	return 0;
}

#endif
