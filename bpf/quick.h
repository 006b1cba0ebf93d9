/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * quick.h - what leaves by a session as nearly all packets do: TCP or UDP, with nothing new to tell
 * of the connection, in the second that the session was last used in, and by the route of that
 * second. All of it is port_masquerade() with every "if" in it answered; what one of them says no
 * to is left to that, untouched. In a function of its own few values have to be kept at a time.
 *
 * A record is believed as in conntrack.h: everything is read between two looks at its state.
 */
#ifndef NSROUTE_BPF_QUICK_H
#define NSROUTE_BPF_QUICK_H

#include "conntrack.h"
#include "mark.h"
#include "packet.h"
#include "rewrite.h"
#include "steps.h"

/* What is taken from a packet. */
struct quick {
	struct nsr_flow flow;
	__be16 port;  /* as it was */
	u32 check_at; /* offset of the checksum */
	u32 seen;     /* that the session has to have seen */
};

/* False: not so plain. */
static __always_inline bool quick_parse(const struct packet *p, u32 uplink, struct quick *ret)
{
	const struct iphdr *ip = p->ip4;
	const u8 *l4 = (const u8 *)(ip + 1);

	if (*(const u8 *)ip != 0x45 || ip->ttl <= 1 || ip4_is_fragment(ip))
		return false;
	if (ip->protocol == IPPROTO_TCP) {
		if ((void *)(l4 + sizeof(struct tcphdr)) > p->end ||
		    (l4[TCP_FLAG_BYTE] & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK)) != TCP_ACK)
			return false;
		ret->flow.inside.protocol = NSR_NAT_TCP;
		ret->seen = NSR_SEEN_OUT | NSR_SEEN_OUT_ACK;
		ret->check_at = TCP_CHECK_OFFSET;
	} else if (ip->protocol == IPPROTO_UDP) {
		if ((void *)(l4 + sizeof(struct udphdr)) > p->end)
			return false;
		ret->flow.inside.protocol = NSR_NAT_UDP;
		ret->seen = NSR_SEEN_OUT;
		ret->check_at = UDP_CHECK_OFFSET;
	} else {
		return false;
	}
	ret->port = *(const __be16 *)l4;
	ret->flow.inside.address = ip->saddr;
	ret->flow.inside.port = ret->port;
	ret->flow.inside.uplink = uplink;
	ret->flow.remote_address = ip->daddr;
	ret->flow.remote_port = *(const __be16 *)(l4 + 2);
	ret->flow.kind = NSR_FLOW_TRANSLATED;
	return true;
}

/* Whether the record is the flow's, has been used in this second, and has seen all of it. */
static __always_inline bool quick_matches(const struct nsr_session *session, u32 state,
					  const struct quick *quick, u32 now_s,
					  struct session_view *ret)
{
	u32 life;

	if ((state & NSR_SESSION_STATUS) != NSR_SESSION_ACTIVE ||
	    READ_ONCE(session->state) != state)
		return false;
	barrier();
	life = READ_ONCE(session->life);
	if (!flow_equal(&session->flow, &quick->flow) || quick->seen & ~life ||
	    !NSR_LIFE_TIMEOUT_S(life) || READ_ONCE(session->refreshed_s) != now_s)
		return false;
	ret->mtu = READ_ONCE(session->mtu);
	ret->route.word = READ_ONCE(session->route.word);
	if (ret->route.tag != NSR_ROUTE_TAG(now_s, state, ret->mtu))
		return false;
	ret->mapping = READ_ONCE(session->mapping);
	ret->external = READ_ONCE(session->external);
	barrier();
	return READ_ONCE(session->state) == state;
}

/* Source, port and TTL. 0 or a reason to drop. */
static __always_inline int quick_translate(struct __sk_buff *skb, const struct quick *quick,
					   __be32 address, __be16 port)
{
	const u32 at = sizeof(struct ethhdr) + sizeof(struct iphdr);
	u32 check_at = at + quick->check_at;
	u64 flags = quick->check_at == UDP_CHECK_OFFSET ? BPF_F_MARK_MANGLED_0 : 0;
	struct packet p;

	if (bpf_l4_csum_replace(skb, check_at, quick->flow.inside.address, address,
				flags | BPF_F_PSEUDO_HDR | sizeof(address)))
		return DROP(NAT_REWRITE);
	if (port != quick->port &&
	    (bpf_l4_csum_replace(skb, check_at, quick->port, port, flags | sizeof(port)) ||
	     bpf_skb_store_bytes(skb, at, &port, sizeof(port), 0)))
		return DROP(NAT_REWRITE);
	if (!packet_at(skb, &p, false))
		return DROP(NAT_REWRITE);
	rewrite_source_and_ttl4(p.ip4, address);
	return 0;
}

#endif
