/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * except_in.h - what an excepted remote (except.h) sends straight to an inside address, of IPv4.
 *
 * It is let in to addresses of interfaces alone, untranslated, and so is an ICMP error of anybody
 * that quotes what such an address has sent to an excepted destination: routers between the two
 * tell how large a packet may be. Off the hot path.
 */
#ifndef NSROUTE_BPF_EXCEPT_IN_H
#define NSROUTE_BPF_EXCEPT_IN_H

#include "address.h"
#include "except.h"
#include "icmp.h"

/* The destination that a packet of an inside address is quoted to have, by an error to it; 0: it is
 * no such error. */
static __always_inline __be32 except4_quoted(struct __sk_buff *skb, const struct packet *p)
{
	struct quote q = {};

	if (!is_translated_error(icmp4_type(skb, p)) || !quote_read(skb, p, &q) ||
	    q.ip.version != 4 || q.ip.saddr != p->ip4->daddr || !quote_is_sound(skb, q.offset))
		return 0;
	return q.ip.daddr;
}

/* A packet straight to an inside address: 0, it is let in as it is; VERDICT_RARE: for all that is
 * excepted it may not come in; or a reason to drop. */
NSR_STEP int except4_arrives(struct __sk_buff *skb, bool bare)
{
	u32 ifindex = skb->ifindex;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	const struct nsr_inside *inside;
	__be32 source, remote, dest;
	struct packet p;
	u8 type;

	if (!uplink || parse_as(skb, &p, bare) != PACKET_IPV4)
		return VERDICT_RARE;
	source = p.ip4->saddr;
	dest = p.ip4->daddr;
	inside = inside_of4(dest);
	if (!inside || inside->uplink != uplink->index)
		return VERDICT_RARE;
	remote = source;
	if (!is_excepted4(inside, dest, remote))
		remote = except4_quoted(skb, &p);
	if (remote != source && (!remote || !is_excepted4(inside, dest, remote)))
		return VERDICT_RARE;
	type = icmp4_type(skb, &p);
	if (icmp_is_error(type) && !is_translated_error(type))
		return VERDICT_RARE; /* a redirect is a neighbour's */
	TELL(EXCEPT, 1, 0, 0);
	return ip4_is_special(source) || address_is_external(uplink, source) ||
			       inside_of4(source) || fib_host4(source) || local_is_client(source)
		       ? DROP(SPOOFED_ADDRESS)
		       : 0;
}

#endif
