/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * other4.h - packets of IPv4 without ports that we know, as other.h tells. Refused are protocols
 * whose checksums cover the addresses, and those that are for groups.
 */
#ifndef NSROUTE_BPF_OTHER4_H
#define NSROUTE_BPF_OTHER4_H

#include "address.h"
#include "except4.h"
#include "fragment.h"
#include "inner.h"
#include "options.h"
#include "other.h"
#include "rewrite.h"
#include "steps.h"

#ifndef IPPROTO_HIP
#define IPPROTO_HIP 139 /* RFC 7401 5.1; not in linux/in.h */
#endif

/* Their checksums, or what they are for, cover the addresses; 0 is none of IPv4. */
static __always_inline bool other_is_refused(u8 protocol)
{
	return !protocol || protocol == IPPROTO_AH || protocol == IPPROTO_DCCP ||
	       protocol == IPPROTO_UDPLITE || protocol == IPPROTO_HIP;
}

/* Whether the packet ends an SCTP association, or refuses one. */
static __always_inline bool sctp_ends(struct __sk_buff *skb, const struct packet *p)
{
	return p->ip4->protocol == IPPROTO_SCTP && !ip4_is_later_fragment(p->ip4) &&
	       other_is_end(skb, packet_link(p) + p->ip4->ihl * 4u);
}

/* What is sent by an inside address. 0 or a reason to drop. */
static __always_inline int other4_request(struct __sk_buff *skb, const struct packet *p,
					  const struct nsr_inside *inside,
					  struct nat_request *request)
{
	const struct iphdr *ip = p->ip4;

	if (other_is_refused(ip->protocol) || ip4_is_special(ip->daddr))
		return DROP(NAT_PROTOCOL);
	if (ip->ihl != 5 && options_do(skb, packet_link(p)))
		return DROP(IP_OPTIONS);
	if (host_has(request))
		return DROP(NAT_SOCKET);
	request->flow.inside.address = ip->saddr;
	request->seen = NSR_SEEN_OUT;
	if (ip->protocol == IPPROTO_SCTP)
		request->seen |= sctp_ends(skb, p) ? NSR_SEEN_RST : NSR_SEEN_OUT_SYN;
	request_limits(request, inside);
	/* Whom it has sent to is all that is let in anyway: no contacts. */
	request->owner = NSR_OWNER(NSR_OWNER_OWN, NSR_OWNER_NUMBER(request->owner));
	request->mapping = NSR_MAPPING_NONE;
	request->external =
		address_ask(skb, skb->ifindex, request->slot, ip->daddr, request->now_s);
	return request->external ? 0 : DROP(NAT_CLOSED);
}

/* A packet that leaves by the uplink. request has uplink, external address and time. 0 or a reason
 * to drop; when it was translated, request->forwarded is set. */
NSR_STEP int other4_leaves(struct __sk_buff *skb, bool bare, struct nat_request *request)
{
	const struct nsr_inside *inside = NULL;
	struct packet p;
	int refused;

	if (!request || parse_as(skb, &p, bare) != PACKET_IPV4)
		return DROP(MALFORMED);
	other_ask(request, p.ip4->protocol, p.ip4->daddr);
	if (p.ip4->saddr != request->external) /* none of the uplink's own */
		inside = inside_of4(p.ip4->saddr);
	if (inside && inside_is_elsewhere(skb, inside, request->flow.inside.uplink))
		return 0;
	if (!inside) {
		host_note(request, sctp_ends(skb, &p) ? NSR_HOST_REFUSES : NSR_HOST_SENDS);
		return 0;
	}
	refused = inside->except ? except4_portless(skb, bare, request) : VERDICT_RARE;
	if (refused != VERDICT_RARE)
		return drop_or_pass(refused);
	if (parse_as(skb, &p, bare) != PACKET_IPV4)
		return DROP(MALFORMED);
	refused = other4_request(skb, &p, inside, request);
	if (!refused)
		refused = other_join(skb, request);
	if (refused)
		return refused;
	if (parse_as(skb, &p, bare) != PACKET_IPV4)
		return DROP(NAT_REWRITE);
	rewrite_address4(p.ip4, true, request->external);
	request->forwarded = skb->ifindex;
	return ip4_is_fragment(p.ip4)
		       ? fragment4_renumber(skb, bare, request->flow.inside.uplink,
					    request->flow.inside.address, request->slot)
		       : 0;
}

/* A packet to an external address, or to one that was. request has uplink, the address that is in
 * the place of that now, and time. NAT_INBOUND_SESSION: it is for the inside, and has been
 * translated. What comes to an address that was says nothing of who has the protocol at the one
 * that is. */
NSR_STEP int other4_arrives(struct __sk_buff *skb, bool bare, struct nat_request *request)
{
	struct other_session found = {};
	struct packet p;
	bool ends, current;
	int known;

	if (!request || parse_as(skb, &p, bare) != PACKET_IPV4)
		return NAT_INBOUND_HOST;
	ends = sctp_ends(skb, &p);
	other_ask(request, p.ip4->protocol, p.ip4->saddr);
	request->seen = ends ? NSR_SEEN_IN | NSR_SEEN_RST : NSR_SEEN_IN;
	current = request->external == p.ip4->daddr;
	request->external = p.ip4->daddr;
	known = host_has(request) ? VERDICT_RARE : other_look(request, &found);
	if (!known && found.external != request->external)
		known = VERDICT_RARE; /* the remote speaks to another of the uplink's addresses */
	if (known == VERDICT_RARE && current && !ends && !other_is_refused(p.ip4->protocol))
		host_note(request, NSR_HOST_HEARS);
	if (known || !other_seen(request, &found))
		return NAT_INBOUND_HOST;
	if (parse_as(skb, &p, bare) != PACKET_IPV4)
		return NAT_INBOUND_FAILED;
	rewrite_address4(p.ip4, false, found.inside);
	return NAT_INBOUND_SESSION;
}

/* The host tells remote that it does not take the protocol. request has uplink and time. */
NSR_STEP int other4_refuses(struct nat_request *request, u32 protocol, __be32 remote)
{
	if (!request)
		return 0;
	other_ask(request, protocol, remote);
	return host_note(request, NSR_HOST_REFUSES);
}

/* Whom an ICMP error about such a packet to or from remote is for: the session's two addresses.
 * request has uplink, external address and time. */
NSR_STEP int other4_about(struct nat_request *request, u32 protocol, __be32 remote,
			  struct other_session *ret_session)
{
	if (!request || !ret_session)
		return false;
	other_ask(request, protocol, remote);
	return !host_has(request) && !other_look(request, ret_session);
}

#endif
