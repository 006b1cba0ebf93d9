/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * except4.h - packets of IPv4 that are not translated, for the sake of their remote: see except.h.
 *
 * They are as their sender made them, identification included. One with options that show where it
 * has been is dropped: it would show more than its source.
 *
 * A later fragment goes by its destination, like anything; but when the first of its datagram was
 * translated, because its flow has a session, so is it. "datagrams_out" has such an entry. A first
 * fragment that is not translated takes away an older one of its name.
 *
 * Off the hot path.
 */
#ifndef NSROUTE_BPF_EXCEPT4_H
#define NSROUTE_BPF_EXCEPT4_H

#include "direct4.h"
#include "except.h"
#include "options.h"
#include "other.h"
#include "steps.h"

/* Of what an inside address of this uplink sends: whether its destination is excepted. */
static __always_inline bool except4_is_to(const struct packet *p, u32 uplink)
{
	const struct nsr_inside *inside = inside_of4(p->ip4->saddr);

	return inside && inside->uplink == uplink &&
	       is_excepted4(inside, p->ip4->saddr, p->ip4->daddr);
}

/* 0, or a reason to drop what leaves as it is. */
static __always_inline int except4_pass(struct __sk_buff *skb, bool bare, const struct packet *p,
					u32 uplink)
{
	struct nsr_datagram datagram = datagram4(p->ip4, uplink);
	bool first = ip4_is_fragment(p->ip4) && !ip4_is_later_fragment(p->ip4);

	TELL(EXCEPT, 0, 0, 0);
	if (p->ip4->ihl != 5 && options_do(skb, link_bytes(bare)))
		return DROP(IP_OPTIONS);
	INSTEAD(0);
	if (first)
		bpf_map_delete_elem(&datagrams_out, &datagram);
	return 0;
}

/* What could have a session, and has none that is of use to it; request has its flow. 0: it leaves
 * as it is; VERDICT_RARE: it is to be translated; or a reason to drop. A session that was given up
 * just now, with the uplink's address, is followed by another one. */
NSR_STEP int except4_leaves(struct __sk_buff *skb, bool bare, const struct nat_request *request)
{
	struct nsr_flow flow;
	struct packet p;

	if (!request || parse_as(skb, &p, bare) != PACKET_IPV4 ||
	    !except4_is_to(&p, request->flow.inside.uplink))
		return VERDICT_RARE;
	flow = request->flow;
	if (bpf_map_lookup_elem(&session_by_flow, &flow))
		return VERDICT_RARE;
	return except4_pass(skb, bare, &p, request->flow.inside.uplink);
}

/* Later fragments, and ICMP that is neither an echo request nor an error. request has uplink and
 * time. As except4_leaves(). */
NSR_STEP int except4_rare(struct __sk_buff *skb, bool bare, const struct nat_request *request)
{
	struct nsr_datagram datagram;
	struct packet p;
	u8 type;

	if (!request || parse_as(skb, &p, bare) != PACKET_IPV4 ||
	    !except4_is_to(&p, request->flow.inside.uplink))
		return VERDICT_RARE;
	if (ip4_is_later_fragment(p.ip4)) {
		datagram = datagram4(p.ip4, request->flow.inside.uplink);
		if (direct_later(&datagram, request->now_s) == VERDICT_RARE)
			return VERDICT_RARE;
	} else if (bpf_skb_load_bytes(skb, packet_link(&p) + p.ip4->ihl * 4u, &type,
				      sizeof(type)) ||
		   icmp_is_error(type)) {
		return VERDICT_RARE;
	}
	return except4_pass(skb, bare, &p, request->flow.inside.uplink);
}

/* A packet without ports; request is other_ask()'s. As except4_leaves(): the inside address that
 * has the session with the remote is translated. */
NSR_STEP int except4_portless(struct __sk_buff *skb, bool bare, const struct nat_request *request)
{
	struct other_session found = {};
	struct packet p;
	int known;

	if (!request || parse_as(skb, &p, bare) != PACKET_IPV4 ||
	    !except4_is_to(&p, request->flow.inside.uplink))
		return VERDICT_RARE;
	known = other_look(request, &found);
	if (known == DROP(NAT_CONTENTION))
		return known;
	/* Without an external address none is of use, and one that is there waits. */
	if ((!known || (found.state && !request->external)) && found.inside == p.ip4->saddr)
		return VERDICT_RARE;
	return except4_pass(skb, bare, &p, request->flow.inside.uplink);
}

#endif
