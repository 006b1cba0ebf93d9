/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * inbound.h - what arrives at an uplink for an inside address straight, of IPv4: see direct.h.
 *
 * It is let through to addresses of interfaces alone: not to the gateway's, which is the host, and
 * to nobody where nobody is. Nothing is translated. Its fragments are put in order as those to the
 * external address are (fragment.h), and what goes wrong ends here: nothing is left to the kernel
 * but what it delivers to the namespace or answers in its place.
 *
 * Off the hot path.
 */
#ifndef NSROUTE_BPF_INBOUND_H
#define NSROUTE_BPF_INBOUND_H

#include "address.h"
#include "direct4.h"
#include "except_in.h"
#include "icmp.h"

/* 0, or the reason to drop what is for an inside address. */
static __always_inline int inbound4_judge(const struct nsr_uplink *uplink, __be32 source,
					  __be32 dest)
{
	const struct nsr_inside *inside = inside_of4(dest);

	if (!inside || !inside->inbound || inside->uplink != uplink->index || !fib_host4(dest))
		return DROP(INBOUND);
	return ip4_is_special(source) || address_is_external(uplink, source) ||
			       inside_of4(source) || fib_host4(source) || local_is_client(source)
		       ? DROP(SPOOFED_ADDRESS)
		       : 0;
}

/* TCP, UDP and echo requests, whole or the first of their fragments. request has uplink and time.
 */
NSR_STEP int inbound4_packet(struct __sk_buff *skb, bool bare, struct nat_request *request)
{
	struct transport t = {};
	struct packet p;

	if (!request || parse_as(skb, &p, bare) != PACKET_IPV4 || load_transport(skb, &p, &t) ||
	    (t.protocol == NSR_NAT_ICMP && t.icmp_type != ICMP_ECHO_REQUEST))
		return NAT_INBOUND_RARE;
	request->flow.inside.address = p.ip4->daddr;
	request->flow.inside.port = t.dest;
	request->flow.inside.protocol = t.protocol;
	request->flow.remote_address = p.ip4->saddr;
	request->flow.remote_port = t.protocol == NSR_NAT_ICMP ? 0 : t.source;
	request->seen = seen_by(false, t.protocol, t.tcp_flags);
	return direct_arrives(skb, request,
			      transport_may_begin(t.protocol == NSR_NAT_TCP, t.tcp_flags));
}

/* An ICMP error about what has left by a direct flow. */
NSR_STEP int inbound4_error(struct __sk_buff *skb, bool bare, struct nat_request *request)
{
	struct quote q = {};
	struct packet p;

	if (!request || parse_as(skb, &p, bare) != PACKET_IPV4 ||
	    !is_translated_error(icmp4_type(skb, &p)) || !quote_read(skb, &p, &q) ||
	    !quote_read_transport(skb, &q) || q.ip.saddr != p.ip4->daddr ||
	    q.transport.protocol == NSR_NAT_OTHER ||
	    (q.transport.protocol == NSR_NAT_ICMP && q.transport.icmp_type != ICMP_ECHO_REPLY))
		return NAT_INBOUND_RARE;
	request->flow.inside.address = q.ip.saddr;
	request->flow.inside.port = q.transport.source;
	request->flow.inside.protocol = q.transport.protocol;
	request->flow.remote_address = q.ip.daddr;
	request->flow.remote_port = q.transport.protocol == NSR_NAT_ICMP ? 0 : q.transport.dest;
	return direct_known(request) ? NAT_INBOUND_SESSION : NAT_INBOUND_HOST;
}

/* Of a packet that inbound4_judge() has nothing against. */
static __always_inline enum nat_inbound inbound4_receive(struct __sk_buff *skb, bool bare,
							 struct nat_request *request,
							 const struct packet *p)
{
	bool fragment = ip4_is_fragment(p->ip4);
	enum nat_inbound whom, others;

	if (ip4_is_later_fragment(p->ip4))
		return fragment4_later(skb, bare, request);
	if (!fragment && icmp_is_error(icmp4_type(skb, p)))
		return inbound4_error(skb, bare, request);
	whom = inbound4_packet(skb, bare, request);
	others = fragment ? fragment4_learn(skb, bare, request, whom) : NAT_INBOUND_HOST;
	if (others == NAT_INBOUND_LOST)
		return others;
	if (others != NAT_INBOUND_HELD)
		return whom;
	fragment4_release(skb, bare, request, whom);
	return NAT_INBOUND_HELD;
}

/* The program's action. */
static __always_inline int inbound4(struct __sk_buff *skb, bool bare)
{
	u32 ifindex = skb->ifindex, length = skb->len;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	const struct nsr_settings *settings = nat_settings();
	enum nat_inbound whom = NAT_INBOUND_REFUSED;
	const struct nsr_endpoint *to = NULL;
	struct nat_request request = {};
	struct packet p;
	int excepted, verdict = DROP(INBOUND);

	if (!uplink)
		return TC_ACT_UNSPEC;
	request.flow.inside.uplink = uplink->index;
	excepted = except4_arrives(skb, bare);
	if (excepted != VERDICT_RARE) {
		verdict = drop_or_pass(excepted);
		whom = verdict ? NAT_INBOUND_REFUSED : NAT_INBOUND_SESSION;
	} else if (settings && parse_as(skb, &p, bare) == PACKET_IPV4) {
		request.now_s = nat_now_s(settings);
		verdict = inbound4_judge(uplink, p.ip4->saddr, p.ip4->daddr);
		if (!verdict) {
			whom = inbound4_receive(skb, bare, &request, &p);
			verdict = direct_refused(whom);
			TELL(INBOUND, whom, true, 0);
		}
	}
	if (whom == NAT_INBOUND_HELD)
		return TC_ACT_STOLEN; /* counted when it goes on */
	if (whom == NAT_INBOUND_SESSION)
		verdict = parse_as(skb, &p, bare) == PACKET_IPV4 ? uplink_deliver(skb, &p, &to)
								 : DROP(NAT_REWRITE);
	return uplink_arrived(skb, uplink, to, verdict, length, bare, false);
}

NSR_STEP int uplink_inbound(struct __sk_buff *skb)
{
	return inbound4(skb, false);
}

NSR_STEP int bare_inbound(struct __sk_buff *skb)
{
	return inbound4(skb, true);
}

#endif
