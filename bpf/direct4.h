/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * direct4.h - the packets of direct flows of IPv4 that leave: see direct.h.
 *
 * They leave as they are, their identification too, which is the only thing that tells the
 * datagrams of one sender apart. One with options that show where it has been is dropped: it would
 * show addresses that are none of the flow's.
 */
#ifndef NSROUTE_BPF_DIRECT4_H
#define NSROUTE_BPF_DIRECT4_H

#include "direct.h"
#include "fragment.h"
#include "options.h"
#include "steps.h"

/* A packet of an inside host that is whole, or the first fragment of one. request has its flow. 0:
 * it leaves as it is; VERDICT_RARE: it answers no direct flow; or a reason to drop it. */
NSR_STEP int direct4_leaves(struct __sk_buff *skb, bool bare, struct nat_request *request,
			    u32 begins)
{
	struct nsr_session_ref ref = {};
	struct nsr_datagram datagram;
	struct packet p;

	if (!request || !direct_use(request, begins, &ref))
		return VERDICT_RARE;
	if (parse_as(skb, &p, bare) != PACKET_IPV4)
		return DROP(MALFORMED);
	if (p.ip4->ihl != 5 && options_do(skb, link_bytes(bare)))
		return DROP(IP_OPTIONS);
	if (!ip4_is_fragment(p.ip4))
		return 0;
	datagram = datagram4(p.ip4, request->flow.inside.uplink);
	return direct_note(&datagram, &ref, request->now_s);
}

/* An echo reply. request has uplink and time. */
static __always_inline int direct4_replies(struct __sk_buff *skb, bool bare, struct packet *p,
					   struct nat_request *request)
{
	struct transport t = {};

	if (load_transport(skb, p, &t) || t.protocol != NSR_NAT_ICMP ||
	    t.icmp_type != ICMP_ECHO_REPLY)
		return VERDICT_RARE;
	request->flow.inside.address = p->ip4->saddr;
	request->flow.inside.port = t.source;
	request->flow.inside.protocol = NSR_NAT_ICMP;
	request->flow.remote_address = p->ip4->daddr;
	request->flow.remote_port = 0;
	request->seen = NSR_SEEN_OUT;
	return direct4_leaves(skb, bare, request, false);
}

/* What is rare of what an inside host sends: a later fragment, or an echo reply. request has uplink
 * and time. As direct4_leaves(). */
NSR_STEP int direct4_rare(struct __sk_buff *skb, bool bare, struct nat_request *request)
{
	struct nsr_datagram datagram;
	struct packet p;
	int verdict;

	if (!request || parse_as(skb, &p, bare) != PACKET_IPV4 ||
	    !direct_inside(&p.ip4->saddr, request->flow.inside.uplink))
		return VERDICT_RARE;
	if (!ip4_is_later_fragment(p.ip4))
		return direct4_replies(skb, bare, &p, request);
	datagram = datagram4(p.ip4, request->flow.inside.uplink);
	verdict = direct_later(&datagram, request->now_s);
	return !verdict && options_do(skb, link_bytes(bare)) ? DROP(IP_OPTIONS) : verdict;
}

#endif
