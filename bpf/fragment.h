/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fragment.h - fragments of translated datagrams of IPv4, both ways and in any order (RFC 4787
 * REQ-14). Of protocols without ports each goes by itself: see other.h.
 *
 * Going out, a fragment needs the external address and, if it is the first, the port. All fragments
 * of a datagram get one identification that is ours: of two inside hosts that have chosen the same
 * one for the same remote the receiver would put together a mixture (RFC 6864). "datagrams_out"
 * remembers it, so their order does not matter. It is LRU, for the reason that datagram.h has.
 *
 * Coming in, only the first fragment tells whom the datagram is for: see datagram.h.
 */
#ifndef NSROUTE_BPF_FRAGMENT_H
#define NSROUTE_BPF_FRAGMENT_H

#include "datagram.h"
#include "inner.h"
#include "rewrite.h"
#include "steps.h"
#include "trace.h"

static __always_inline bool ip4_is_later_fragment(const struct iphdr *ip)
{
	return ip->frag_off & bpf_htons(IP_OFFSET);
}

static __always_inline struct nsr_datagram datagram4(const struct iphdr *ip, u32 uplink)
{
	struct nsr_datagram datagram = {
		.source = ip->saddr,
		.dest = ip->daddr,
		.id = ip->id,
		.protocol = ip->protocol,
		.uplink = uplink,
	};

	return datagram;
}

/* ---- Outbound. */

/* Identifications that have not been used for long towards a remote: from a counter that few of
 * them share, which begins anywhere. */
static __always_inline u16 datagram_fresh_id(__be32 dest, u8 protocol, u32 count)
{
	u32 slot = ((bpf_ntohl(dest) ^ protocol) * 0x9e3779b1u) / (0x100000000ull / NSR_IDS_MAX);
	u32 *counter, start;

	INSTEAD(0);
	barrier_var(slot);
	slot &= NSR_IDS_MAX - 1;
	counter = bpf_map_lookup_elem(&datagram_ids, &slot);
	if (!counter)
		return bpf_get_prandom_u32();
	start = bpf_get_prandom_u32() | 1;
	if (!READ_ONCE(*counter))
		__sync_val_compare_and_swap(counter, 0, start);
	return __sync_fetch_and_add(counter, count);
}

/* Takes the entry of a datagram away that is a direct flow's; see direct.h. */
static __always_inline void datagram_forget(const struct nsr_datagram *datagram)
{
	struct nsr_datagram key = *datagram;
	const struct nsr_datagram_out *known = bpf_map_lookup_elem(&datagrams_out, &key);

	if (known && READ_ONCE(known->state))
		bpf_map_delete_elem(&datagrams_out, &key);
}

/* The identification that all fragments of the datagram leave with, and the slot of the external
 * address: that of its first fragment, or of whichever comes before that. False: they cannot be
 * kept, or another CPU has just had a direct flow's first fragment by this name, so that the later
 * ones cannot be told apart. What is known of an older one is replaced in one, so of CPUs that are
 * at it together one wins. */
static __always_inline bool datagram_id(const struct nsr_datagram *datagram, bool first,
					__be16 *ret, u32 *slot)
{
	union {
		struct {
			__u32 since_s;
			__be16 id;
			__u16 slot;
		};
		u64 word; /* how nsr_datagram_out begins */
	} seen, name = {};
	const struct nsr_settings *settings = nat_settings();
	struct nsr_datagram key = *datagram;
	struct nsr_datagram_out *known = bpf_map_lookup_elem(&datagrams_out, &key), fresh = {};
	u64 *named = (u64 *)known;

	*ret = datagram->id;
	INSTEAD(true);
	if (!settings)
		return false;
	if (known && READ_ONCE(known->state)) { /* of a direct flow before */
		bpf_map_delete_elem(&datagrams_out, &key);
		known = NULL;
	}
	name.since_s = nat_now_s(settings);
	name.slot = *slot;
	if (known) {
		seen.word = READ_ONCE(*named);
		*ret = seen.id;
		if (!datagram_is_old(seen.since_s, name.since_s, datagram_lasts(&key.source)) &&
		    (!first || seen.slot == name.slot)) {
			*slot = seen.slot;
			return true;
		}
	}
	name.id = bpf_htons(datagram_fresh_id(key.dest, key.protocol, 1));
	*ret = name.id;
	fresh.since_s = name.since_s;
	fresh.id = name.id;
	fresh.slot = name.slot;
	if (known ? __sync_val_compare_and_swap(named, seen.word, name.word) == seen.word
		  : !bpf_map_update_elem(&datagrams_out, &key, &fresh, BPF_NOEXIST))
		return true;
	known = bpf_map_lookup_elem(&datagrams_out, &key); /* another CPU was faster */
	if (!known || READ_ONCE(known->state)) {
		bpf_map_delete_elem(&datagrams_out, &key);
		return false;
	}
	seen.word = READ_ONCE(*(u64 *)known);
	*ret = seen.id;
	*slot = seen.slot;
	return true;
}

static __always_inline void rewrite_id4(struct iphdr *ip, __be16 id)
{
	ip->check = checksum_replace(ip->check, ip->id, id);
	ip->id = id;
}

/*
 * A new identification for a packet of source's that has been translated to the address of a slot,
 * and may be in pieces or be taken to pieces on its way. 0 or a reason to drop.
 */
NSR_STEP int fragment4_renumber(struct __sk_buff *skb, bool bare, u32 uplink, __be32 source,
				u32 slot)
{
	struct nsr_datagram datagram;
	struct packet p;
	u32 segments, kept = slot;
	__be16 id;

	if (parse_as(skb, &p, bare) != PACKET_IPV4)
		return DROP(NAT_REWRITE);
	datagram = datagram4(p.ip4, uplink);
	datagram.source = source;
	segments = skb->gso_segs;
	if (!ip4_is_fragment(p.ip4))
		id = bpf_htons(
			datagram_fresh_id(p.ip4->daddr, p.ip4->protocol, segments ? segments : 1));
	else if (!datagram_id(&datagram, !ip4_is_later_fragment(p.ip4), &id, &kept) || kept != slot)
		return DROP(NAT_FRAGMENT);
	rewrite_id4(p.ip4, id);
	return 0;
}

/* A later fragment that leaves by the uplink. request has uplink, and the sender's own external
 * address, which need not be that of the first one. 0 or a reason to drop; when it was translated,
 * request->forwarded is set. */
static __always_inline int fragment4_leaves(struct __sk_buff *skb, bool bare,
					    struct nat_request *request)
{
	struct nsr_datagram datagram;
	struct packet p;
	__be32 external;
	__be16 id;
	u32 slot;

	if (parse_as(skb, &p, bare) != PACKET_IPV4)
		return DROP(NAT_FRAGMENT);
	if (p.ip4->saddr == request->external ||
	    !inside_at4(skb, request->flow.inside.uplink, p.ip4->saddr))
		return 0; /* the host's own */
	datagram = datagram4(p.ip4, request->flow.inside.uplink);
	slot = request->slot;
	if (!datagram_id(&datagram, false, &id, &slot))
		return DROP(NAT_FRAGMENT);
	external = slot == request->slot ? request->external
					 : address_by_slot(request->flow.inside.uplink, slot);
	if (!external)
		return DROP(NAT_CLOSED);
	rewrite_id4(p.ip4, id);
	rewrite_address4(p.ip4, true, external);
	request->forwarded = skb->ifindex;
	return 0;
}

/* ---- Inbound. */

/*
 * The steps of what arrives are the rare path's own (uplink_in_rare()), one after the other,
 * because all of them together have no room on the stack. request has uplink, external address and
 * time.
 */

/* Whom a first fragment is for: as any packet. */
NSR_STEP int fragment4_first(struct __sk_buff *skb, bool bare, struct nat_request *request)
{
	struct session_view view = {};
	u32 state;
	struct nsr_mapping *record;
	struct nsr_session *session;
	struct transport t = {};
	struct packet p;
	u32 mapping;

	if (!request || parse_as(skb, &p, bare) != PACKET_IPV4 || load_transport(skb, &p, &t) ||
	    (t.protocol == NSR_NAT_ICMP && t.icmp_type != ICMP_ECHO_REPLY))
		return NAT_INBOUND_HOST;
	mapping = NSR_MAPPING(NSR_POOL(request->slot, t.protocol), bpf_ntohs(t.dest));
	record = nat_mapping(mapping);
	request->flow.inside.protocol = t.protocol;
	request->flow.remote_address = p.ip4->saddr;
	request->flow.remote_port = t.protocol == NSR_NAT_ICMP ? 0 : t.source;
	if (!record || !READ_ONCE(record->references))
		return nat_in_unmapped(request, t.dest);
	request->flow.inside = record->inside;
	session = session_peek(&request->flow, request->now_s, &view, &state);
	if (session && view.mapping == mapping && view.external == p.ip4->daddr &&
	    session_seen(session, state, seen_by(false, t.protocol, t.tcp_flags), request->now_s))
		return NAT_INBOUND_SESSION;
	request->seen = seen_by(false, t.protocol, t.tcp_flags);
	request_no_limits(request);
	return nat_in_unknown(skb, request, mapping);
}

/* Writes down whom a datagram is for, by its first fragment: see datagram_learn(). */
NSR_STEP int fragment4_learn(struct __sk_buff *skb, bool bare, struct nat_request *request,
			     u32 whom)
{
	struct nsr_datagram_in entry = {.whom = whom};
	struct packet p;

	if (!request || parse_as(skb, &p, bare) != PACKET_IPV4)
		return NAT_INBOUND_HOST;
	entry.datagram = datagram4(p.ip4, request->flow.inside.uplink);
	entry.inside = request->flow.inside.address;
	entry.since_s = request->now_s;
	return datagram_learn(&entry);
}

/* The first fragment is put on the uplink again, and behind it what was held of its datagram. Now
 * all of them find whom they are for. */
NSR_STEP int fragment4_release(struct __sk_buff *skb, bool bare, struct nat_request *request,
			       u32 whom)
{
	struct held_release release = {.skb = skb};
	struct packet p;

	if (!request || parse_as(skb, &p, bare) != PACKET_IPV4)
		return 0;
	release.key.datagram = datagram4(p.ip4, request->flow.inside.uplink);
	release.now_s = request->now_s;
	release.lasts_s =
		datagram_counts(whom, request->flow.inside.uplink, &request->flow.inside.address);
	return datagram_release(&release);
}

/* Translates a first fragment: 0, or a reason to drop. */
NSR_STEP int fragment4_deliver(struct __sk_buff *skb, bool bare, struct nat_request *request)
{
	struct transport t = {};
	struct packet p;

	if (!request || parse_as(skb, &p, bare) != PACKET_IPV4 || transport_parse(&p, &t))
		return DROP(NAT_REWRITE);
	return rewrite_endpoint4(skb, &p, &t, false, request->flow.inside.address,
				 request->flow.inside.port);
}

/* A later fragment. NAT_INBOUND_SESSION: it has been translated. */
NSR_STEP int fragment4_later(struct __sk_buff *skb, bool bare, struct nat_request *request)
{
	struct held_copy copy = {};
	enum nat_inbound whom;
	struct packet p;
	__be32 inside = 0;

	if (!request || parse_as(skb, &p, bare) != PACKET_IPV4)
		return NAT_INBOUND_HOST;
	copy.key.datagram = datagram4(p.ip4, request->flow.inside.uplink);
	whom = datagram_whom(&copy.key.datagram, request->now_s, &inside);
	if (whom == NAT_INBOUND_HELD)
		whom = fragment_hold(skb, &copy, request->now_s, &inside);
	if (whom != NAT_INBOUND_SESSION)
		return whom;
	if (parse_as(skb, &p, bare) != PACKET_IPV4)
		return NAT_INBOUND_FAILED;
	rewrite_address4(p.ip4, false, inside);
	return NAT_INBOUND_SESSION;
}

/* A fragment to the external address. NAT_INBOUND_SESSION: it is for the inside, and has been
 * translated. NAT_INBOUND_HELD: there is nothing more to do with it. */
static __always_inline enum nat_inbound fragment4_arrives(struct __sk_buff *skb, bool bare,
							  struct nat_request *request,
							  const struct iphdr *ip)
{
	enum nat_inbound whom, others;

	if (ip4_is_later_fragment(ip))
		return fragment4_later(skb, bare, request);
	whom = fragment4_first(skb, bare, request);
	others = fragment4_learn(skb, bare, request, whom);
	if (others == NAT_INBOUND_LOST)
		return others;
	if (others == NAT_INBOUND_HELD) {
		fragment4_release(skb, bare, request, whom);
		return others;
	}
	if (whom == NAT_INBOUND_SESSION && fragment4_deliver(skb, bare, request))
		return NAT_INBOUND_FAILED;
	return whom;
}

#endif
