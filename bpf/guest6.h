/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guest6.h - as guest.h, of IPv6: a published port, as a namespace reaches it that does not leave
 * by its uplink.
 *
 * Of a datagram in fragments that is an answer the first one is noted, in "datagrams_out6", with
 * the slot of the address that it has, so that the others, which come after it, are told from those
 * that go straight.
 */
#ifndef NSROUTE_BPF_GUEST6_H
#define NSROUTE_BPF_GUEST6_H

#include "guest.h"
#include "hairpin6.h"

/* As guest_slot(), of where the packet goes to, which is in the request then. */
NSR_STEP u32 guest6_slot(struct __sk_buff *skb)
{
	const struct nsr_uplink *loopback = local_loopback();
	struct nat_work6 *work = nat_work();
	struct packet p;
	u32 slot;

	if (!loopback || !work || parse(skb, &p) != PACKET_IPV6)
		return NSR_SLOTS_MAX;
	__builtin_memcpy(&work->request.external, &p.ip6->daddr, sizeof(p.ip6->daddr));
	slot = local6_slot();
	return slot == loopback->index ? NSR_SLOTS_MAX : slot;
}

/* The headers of a packet, with an uplink; NULL: it is not fit. The packet is not touched, for it
 * may go on. */
static __always_inline struct nat_work6 *guest6_work(struct __sk_buff *skb,
						     const struct nsr_uplink *uplink)
{
	struct nat_work6 *work = uplink ? uplink6_work(uplink, false) : NULL;
	struct packet p;

	if (!work || parse(skb, &p) != PACKET_IPV6 || p.ip6->hop_limit <= 1)
		return NULL;
	__builtin_memcpy(&work->request.flow.inside.address, &p.ip6->saddr, sizeof(p.ip6->saddr));
	__builtin_memcpy(&work->request.flow.remote_address, &p.ip6->daddr, sizeof(p.ip6->daddr));
	return transport6_find(skb, sizeof(struct ethhdr), skb->len, &work->transport) ? NULL
										       : work;
}

/* ---- What a client sends. */

/* The packet as one that arrives at the uplink which has its destination; 0: it is not fit. */
NSR_STEP int guest6_load(struct __sk_buff *skb)
{
	struct nat_work6 *work;
	u32 slot = guest6_slot(skb);

	work = guest6_work(skb, guest_uplink(slot));
	if (!work)
		return false;
	work->request.slot = slot;
	work->request.external = work->request.flow.remote_address;
	work->request.flow.remote_address = work->request.flow.inside.address;
	return true;
}

/* As guest_arrives(). */
NSR_STEP int guest6_arrives(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct nat_work6 *work = nat_work();
	const struct nsr_mapping6 *record;
	struct nat_request6 *request;
	const struct transport6 *t;
	int verdict;

	if (!port || !work || !work->transport.check_offset)
		return VERDICT_KERNEL;
	t = &work->transport;
	request = &work->request;
	request->mapping = NSR_MAPPING(NSR_POOL(request->slot, t->protocol), bpf_ntohs(t->dest));
	record = nat_mapping6(request->mapping);
	if (!record || !(record->flags & NSR_MAPPING_PUBLISHED))
		return VERDICT_KERNEL;
	request->flow.inside = record->inside;
	request->flow.remote_port = t->source;
	request->seen = seen_by(false, t->protocol, t->tcp_flags);
	verdict = guest_judge(port, skb->ifindex, request->flow.inside.uplink,
			      fib_host6(&request->flow.remote_address),
			      fib_host6(&request->flow.inside.address));
	if (verdict == VERDICT_KERNEL)
		return verdict;
	if (verdict == VERDICT_PEER)
		verdict = guest_ask6(request);
	if (verdict != VERDICT_PEER &&
	    host_has_socket6(skb, t->protocol, &request->flow.remote_address, t->source,
			     &request->external, t->dest, true))
		return VERDICT_KERNEL;
	return verdict == GUEST_OPENS && t->tcp_flags & TCP_RST ? DROP(NAT_STATE) : verdict;
}

NSR_STEP int guest6_learn(void)
{
	struct nsr_datagram_in6 entry = {.whom = NAT_INBOUND_SESSION};
	struct nat_work6 *work = nat_work();

	if (!work)
		return 0;
	entry.datagram = datagram6(work);
	entry.inside = work->request.flow.inside.address;
	entry.since_s = work->request.now_s;
	guest_learn6(&entry);
	return 0;
}

/* As guest_in(). */
NSR_STEP int guest6_in(struct __sk_buff *skb)
{
	struct nat_work6 *work = nat_work();
	const struct nsr_endpoint *to;
	struct nat_request6 *request;

	if (!work)
		return DROP(NAT_REWRITE);
	request = &work->request;
	to = fib_host6(&request->flow.inside.address);
	if (!to)
		return DROP(NAT_HAIRPIN);
	if (!endpoint_takes_large(skb, to))
		return HAIRPIN_LARGE | (to->mtu & 0xffff);
	if (work->transport.fragment)
		guest6_learn();
	return rewrite_endpoint6(skb, work->link, &work->transport, false, &request->external,
				 &request->flow.inside.address, request->flow.inside.port)
		       ? DROP(NAT_REWRITE)
		       : VERDICT_PEER;
}

/* As guest_in_forget(). */
NSR_STEP int guest6_in_forget(const struct nsr_port *port)
{
	struct nat_work6 *work = nat_work();
	const struct nsr_datagram_in6 *known;
	struct nsr_datagram6 key;

	if (!port || !work || guest_is_beside(port, work->request.flow.inside.uplink))
		return 0;
	INSTEAD(0);
	key = datagram6(work);
	known = bpf_map_lookup_elem(&datagrams_in6, &key);
	if (known && READ_ONCE(known->whom) == NAT_INBOUND_SESSION)
		bpf_map_delete_elem(&datagrams_in6, &key);
	return 0;
}

/* As guest_in_later(). */
NSR_STEP int guest6_in_later(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct nat_work6 *work = nat_work();
	struct nsr_address6 inside = {};
	const struct nsr_endpoint *to;
	struct nsr_datagram6 key;
	int verdict;

	if (!port || !work)
		return VERDICT_KERNEL;
	key = datagram6(work);
	if (datagram_whom6(&key, work->request.now_s, &inside) != NAT_INBOUND_SESSION)
		return VERDICT_KERNEL;
	to = fib_host6(&inside);
	verdict = guest_judge(port, skb->ifindex, work->request.flow.inside.uplink,
			      fib_host6(&key.source), to);
	if (verdict == VERDICT_KERNEL)
		return verdict;
	if (verdict != VERDICT_PEER)
		return DROP(NAT_FRAGMENT);
	if (!guest_takes(skb, to))
		return DROP(NAT_HAIRPIN);
	return fragment6_rewrite(skb, work->link, false, &inside) ? DROP(NAT_REWRITE)
								  : VERDICT_PEER;
}

/* As guest_error_judge(). */
NSR_STEP int guest6_error_judge(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct nat_work6 *work = nat_work();
	const struct nsr_mapping6 *record;
	const struct nsr_endpoint *to;
	struct nat_request6 *request;
	const struct transport6 *t;
	u32 mapping;

	if (!port || !work || !work->transport.check_offset ||
	    guest_is_beside(port, work->request.flow.inside.uplink) || !quote6_read(skb, work) ||
	    !quote6_read_transport(skb, &work->quote))
		return VERDICT_KERNEL;
	request = &work->request;
	t = &work->quote.transport;
	mapping = NSR_MAPPING(NSR_POOL(request->slot, t->protocol), bpf_ntohs(t->source));
	record = nat_mapping6(mapping);
	if (!record ||
	    !address_equal6(&request->flow.remote_address, (void *)&work->quote.ip.daddr) ||
	    !address_equal6(&request->external, (void *)&work->quote.ip.saddr))
		return VERDICT_KERNEL;
	request->flow.inside = record->inside;
	request->flow.remote_port = t->dest;
	if (!guest_knows6(request) || request->mapping != mapping ||
	    !address_equal6(&request->external, (void *)&work->quote.ip.saddr))
		return VERDICT_KERNEL;
	to = fib_host6(&request->flow.inside.address);
	if (hairpin_isolated(port, to))
		return DROP(ISOLATED);
	return guest_takes(skb, to) ? VERDICT_PEER : DROP(NAT_HAIRPIN);
}

/* As guest_error_in(). */
NSR_STEP int guest6_error_in(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct nat_work6 *work = nat_work();
	int verdict;

	if (!port || !work)
		return VERDICT_KERNEL;
	verdict = guest6_error_judge(skb, port);
	if (verdict != VERDICT_PEER)
		return verdict;
	switch (icmp6_arrives(skb)) {
	case NAT_INBOUND_SESSION:
		return hairpin_isolated(port, fib_host6(&work->request.flow.inside.address))
			       ? DROP(ISOLATED)
			       : VERDICT_PEER;
	case NAT_INBOUND_HOST:
	case NAT_INBOUND_RARE:
		return VERDICT_KERNEL;
	default:
		return DROP(NAT_REWRITE);
	}
}

/* ---- Answers. */

/* The packet as one that leaves by the publisher's uplink; 0: it is not fit. */
NSR_STEP int guest6_flow(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct nat_work6 *work;

	if (!port)
		return false;
	work = guest6_work(skb, hairpin_uplink(port));
	if (!work)
		return false;
	if (!work->transport.later && work->transport.protocol != NSR_NAT_ICMP)
		uplink6_flow(work);
	return true;
}

/* Notes that the later fragments of an answer leave as its first. What cannot be noted must not be
 * taken from an earlier datagram's entry. */
NSR_STEP int guest6_note(void)
{
	struct nat_work6 *work = nat_work();
	struct nsr_datagram_out entry = {};
	struct nsr_datagram6 datagram;

	if (!work)
		return 0;
	INSTEAD(0);
	datagram = direct6_datagram(work);
	entry.since_s = work->request.now_s;
	entry.slot = 1 + NSR_MAPPING_SLOT(work->request.mapping);
	if (bpf_map_update_elem(&datagrams_out6, &datagram, &entry, BPF_ANY))
		bpf_map_delete_elem(&datagrams_out6, &datagram);
	return 0;
}

/* As guest_out(). */
NSR_STEP int guest6_out(struct __sk_buff *skb)
{
	struct nat_work6 *work = nat_work();
	const struct nsr_endpoint *to;
	struct nat_request6 *request;
	int verdict;

	if (!work || !work->transport.check_offset)
		return GUEST_DIRECT;
	request = &work->request;
	verdict = guest_answer6(request);
	if (verdict != VERDICT_PEER)
		return verdict;
	to = fib_host6(&request->flow.remote_address);
	if (!to)
		return DROP(NAT_HAIRPIN);
	if (!endpoint_takes_large(skb, to))
		return HAIRPIN_LARGE | (to->mtu & 0xffff);
	if (work->transport.fragment) {
		guest6_note();
		if (fragment6_renumber(skb, &work->transport, &request->flow.inside.address))
			return DROP(NAT_REWRITE);
	}
	return rewrite_endpoint6(skb, work->link, &work->transport, true,
				 &request->flow.inside.address, &request->external,
				 bpf_htons(NSR_MAPPING_PORT(request->mapping)))
		       ? DROP(NAT_REWRITE)
		       : VERDICT_PEER;
}

/* As guest_out_forget(), of what is whole or a first fragment. */
NSR_STEP int guest6_out_forget(void)
{
	struct nat_work6 *work = nat_work();
	struct nsr_datagram6 datagram;

	if (!work)
		return 0;
	INSTEAD(0);
	datagram = direct6_datagram(work);
	bpf_map_delete_elem(&datagrams_out6, &datagram);
	return 0;
}

/* As guest_out_later(). */
NSR_STEP int guest6_out_later(struct __sk_buff *skb, const struct nsr_port *port)
{
	const struct nsr_uplink *uplink = port ? hairpin_uplink(port) : NULL;
	struct nat_work6 *work = nat_work();

	if (!work || !uplink || direct6_slot() >= NSR_SLOTS_MAX)
		return GUEST_DIRECT;
	uplink6_later(uplink);
	if (address_is_none6(&work->request.external))
		return GUEST_DIRECT;
	if (!guest_takes(skb, fib_host6(&work->request.flow.remote_address)))
		return DROP(NAT_HAIRPIN);
	return fragment6_leaves(skb, work) ? DROP(NAT_REWRITE) : VERDICT_PEER;
}

/* As guest_error_about(). */
NSR_STEP int guest6_error_about(struct __sk_buff *skb)
{
	struct nat_work6 *work = nat_work();
	struct nat_request6 *request;
	const struct transport6 *t;
	int known;

	if (!work || !work->transport.check_offset || !quote6_read(skb, work) ||
	    !quote6_read_transport(skb, &work->quote))
		return false;
	request = &work->request;
	t = &work->quote.transport;
	if (!address_equal6(&request->flow.remote_address, (void *)&work->quote.ip.saddr))
		return false;
	work->old = request->flow.inside.address;
	__builtin_memcpy(&request->flow.inside.address, &work->quote.ip.daddr,
			 sizeof(request->flow.inside.address));
	request->flow.inside.port = t->dest;
	request->flow.inside.protocol = t->protocol;
	request->flow.remote_port = t->source;
	known = guest_knows6(request);
	request->flow.inside.address = work->old; /* whose error it is */
	return known;
}

/* As guest_error_out(). */
NSR_STEP int guest6_error_out(struct __sk_buff *skb)
{
	struct nat_work6 *work = nat_work();
	int result;

	if (!work || !guest6_error_about(skb))
		return GUEST_DIRECT;
	if (!guest_takes(skb, fib_host6(&work->request.flow.remote_address)))
		return DROP(NAT_HAIRPIN);
	result = icmp6_leaves(skb, true);
	if (result == DROP(NAT_ICMP_ERROR) || result == VERDICT_RARE ||
	    (!result && !work->request.forwarded))
		return GUEST_DIRECT;
	return result ? error_refused(result) : VERDICT_PEER;
}

/* As guest_answers(). What has extension headers, fragments among it, may be one. */
NSR_STEP int guest6_answers(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct nat_work6 *work = nat_work();
	struct nsr_flow6 *flow;
	u32 offset = sizeof(struct ethhdr) + sizeof(struct ipv6hdr);
	__be16 ports[2]; /* of ICMPv6, type and code */
	struct packet p;
	u8 next;

	if (!port || !work || parse(skb, &p) != PACKET_IPV6)
		return false;
	next = p.ip6->nexthdr;
	if (next == IPPROTO_HOPOPTS && ip6_is_big_tcp(&p, skb->len)) {
		next = IPPROTO_TCP;
		offset += sizeof(struct ip6_jumbo);
	}
	if (is_walked6(next))
		return true;
	if (bpf_skb_load_bytes(skb, offset, ports, sizeof(ports)))
		return false;
	if (next == IP6_ICMP)
		return is_icmp6_error(*(u8 *)ports);
	if (next != IPPROTO_TCP && next != IPPROTO_UDP)
		return false;
	flow = &work->request.flow;
	__builtin_memcpy(&flow->inside.address, &p.ip6->saddr, sizeof(flow->inside.address));
	flow->inside.port = ports[0];
	flow->inside.protocol = next == IPPROTO_TCP ? NSR_NAT_TCP : NSR_NAT_UDP;
	flow->inside.uplink = port->uplink - 1u;
	flow->remote_port = ports[1];
	flow->kind = NSR_FLOW_TRANSLATED;
	__builtin_memcpy(&flow->remote_address, &p.ip6->daddr, sizeof(flow->remote_address));
	return !!bpf_map_lookup_elem(&session_by_flow6, flow);
}

/* ---- The hook. */

static __always_inline int guest6_translate_out(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct nat_work6 *work = nat_work();
	int verdict = GUEST_DIRECT;

	if (!work || !guest6_flow(skb, port))
		return GUEST_DIRECT;
	if (work->transport.later)
		return guest6_out_later(skb, port);
	if (work->transport.protocol != NSR_NAT_ICMP)
		verdict = guest6_out(skb);
	else if (is_icmp6_error(work->transport.icmp_type) && !work->transport.fragment)
		verdict = guest6_error_out(skb);
	if (work->transport.fragment && verdict != VERDICT_PEER)
		guest6_out_forget();
	return verdict;
}

static __always_inline int guest6_translate_in(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct nat_work6 *work = nat_work();
	int verdict;

	if (!work || !guest6_load(skb))
		return VERDICT_KERNEL;
	if (work->transport.later)
		return guest6_in_later(skb, port);
	if (work->transport.protocol == NSR_NAT_ICMP)
		return is_icmp6_error(work->transport.icmp_type) && !work->transport.fragment
			       ? guest6_error_in(skb, port)
			       : VERDICT_KERNEL;
	verdict = guest6_arrives(skb, port);
	if (verdict == GUEST_OPENS) {
		verdict = guest_open6(port, &work->request);
		if (!verdict)
			verdict = VERDICT_PEER;
	}
	if (verdict == VERDICT_PEER)
		verdict = guest6_in(skb);
	if (work->transport.fragment && verdict != VERDICT_PEER)
		guest6_in_forget(port);
	return verdict;
}

static __always_inline int guest6_translate(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct packet p;

	if (load(skb, &p) != PACKET_IPV6)
		return DROP(MALFORMED); /* it was one before */
	return fib_host6(&p.ip6->daddr) ? guest6_translate_out(skb, port)
					: guest6_translate_in(skb, port);
}

/* The program's action. */
static __always_inline int port_guest6(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex;
	const struct nsr_port *port = bpf_map_lookup_elem(&ports, &ifindex);

	return port ? guest_ends(skb, port, true, guest6_translate(skb, port)) : TC_ACT_UNSPEC;
}

#endif
