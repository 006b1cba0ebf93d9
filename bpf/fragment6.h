/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fragment6.h - fragments of translated datagrams of IPv6, both ways and in any order: as
 * fragment.h does it for IPv4, but for the identification.
 *
 * That has 32 bits, and a sender chooses one that it has not used for long. What two inside hosts
 * have chosen alike leaves apart: to each is added what is made of the inside address. So nothing
 * has to be remembered of a datagram that leaves. Only its sender takes a datagram of IPv6 to
 * pieces, so what is whole needs none.
 */
#ifndef NSROUTE_BPF_FRAGMENT6_H
#define NSROUTE_BPF_FRAGMENT6_H

#include "icmp6.h"
#include "transport6.h"

/* What an inside host's identifications are moved by: any number will do that is hardly ever that
 * of another host. */
static __always_inline u32 fragment6_shift(const struct nsr_address6 *inside)
{
	u32 sum = 0, i;

#pragma unroll
	for (i = 0; i < 4; i++) {
		sum = (sum ^ inside->words[i]) * 0x9e3779b1u;
		sum ^= sum >> 15;
	}
	return sum;
}

/* A packet with a fragment header that leaves, of the inside address: 0, or a reason to drop. */
static __always_inline int fragment6_renumber(struct __sk_buff *skb, const struct transport6 *t,
					      const struct nsr_address6 *inside)
{
	__be32 id = t->id + fragment6_shift(inside);

	return bpf_skb_store_bytes(skb, t->id_offset, &id, sizeof(id), BPF_F_RECOMPUTE_CSUM)
		       ? DROP(NAT_REWRITE)
		       : 0;
}

/* Changes one address of a later fragment, in which no checksum covers it. */
static __always_inline int fragment6_rewrite(struct __sk_buff *skb, u32 link, bool source,
					     const struct nsr_address6 *address)
{
	link += source ? offsetof(struct ipv6hdr, saddr) : offsetof(struct ipv6hdr, daddr);
	return bpf_skb_store_bytes(skb, link, address, sizeof(*address), BPF_F_RECOMPUTE_CSUM);
}

/* A later fragment of an inside host. 0, or a reason to drop; when it was translated,
 * request->forwarded is set. */
static __always_inline int fragment6_leaves(struct __sk_buff *skb, struct nat_work6 *work)
{
	struct nat_request6 *request = &work->request;

	if (fragment6_renumber(skb, &work->transport, &request->flow.inside.address) ||
	    fragment6_rewrite(skb, work->link, true, &request->external))
		return DROP(NAT_REWRITE);
	request->forwarded = skb->ifindex;
	return 0;
}

static __always_inline struct nsr_datagram6 datagram6(const struct nat_work6 *work)
{
	struct nsr_datagram6 datagram = {
		.source = work->request.flow.remote_address,
		.dest = work->request.external,
		.id = work->transport.id,
		.uplink = work->request.flow.inside.uplink,
	};

	return datagram;
}

/* Writes down whom the datagram of a first fragment is for. True when others of it are held. */
NSR_STEP int fragment6_learn(u32 whom)
{
	struct nat_work6 *work = nat_work();
	struct nsr_datagram_in6 entry = {.whom = whom};

	if (!work)
		return false;
	entry.datagram = datagram6(work);
	entry.inside = work->request.flow.inside.address;
	entry.since_s = work->request.now_s;
	return datagram_learn6(&entry);
}

NSR_STEP int fragment6_release(struct __sk_buff *skb, u32 whom)
{
	struct held_release6 release = {.skb = skb};
	struct nat_work6 *work = nat_work();

	if (!work)
		return 0;
	release.key.datagram = datagram6(work);
	release.now_s = work->request.now_s;
	release.lasts_s = datagram_counts6(whom, work->request.flow.inside.uplink,
					   &work->request.flow.inside.address);
	return datagram_release6(&release);
}

/* A later fragment that arrives. NAT_INBOUND_SESSION: it has been translated. */
NSR_STEP int fragment6_later(struct __sk_buff *skb)
{
	struct nat_work6 *work = nat_work();
	struct nsr_held_key6 key = {};
	struct nsr_address6 inside = {};
	enum nat_inbound whom;

	if (!work)
		return NAT_INBOUND_HOST;
	key.datagram = datagram6(work);
	whom = datagram_whom6(&key.datagram, work->request.now_s, &inside);
	if (whom == NAT_INBOUND_HELD)
		whom = fragment_hold6(skb, &key, work->request.now_s, &inside);
	if (whom != NAT_INBOUND_SESSION)
		return whom;
	return fragment6_rewrite(skb, work->link, false, &inside) ? NAT_INBOUND_FAILED
								  : NAT_INBOUND_SESSION;
}

#endif
