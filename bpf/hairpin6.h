/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hairpin6.h - as hairpin.h tells, of IPv6: what a namespace sends to the external address of its
 * own uplink, where a namespace is mapped or published.
 *
 * It is a program of its own, which the port's hook hands over to by a tail call. The steps are
 * those of the uplink: what leaves by it, and then what arrives there. A packet is changed when
 * both sides are known: the kernel does not take it afterwards.
 *
 * Fragments are translated on both sides here. The first of a datagram leaves an entry, by which
 * the others, which come after it, are known; others are the host's.
 */
#ifndef NSROUTE_BPF_HAIRPIN6_H
#define NSROUTE_BPF_HAIRPIN6_H

#include "hairpin.h"
#include "local6.h"
#include "refuse6.h"
#include "uplink6.h"

/* As hairpin_slot(). */
NSR_STEP u32 hairpin6_slot(const struct nsr_uplink *uplink, const struct nsr_address6 *address)
{
	struct nsr_address6 now;
	u32 slot;

	if (!uplink || !address)
		return NSR_SLOTS_MAX;
	slot = address6_slot(uplink, address);
	if (slot == NSR_SLOTS_MAX)
		return slot;
	now = address6_at(uplink, slot);
	return !address_is_none6(&now) && address_equal6(&now, address) ? slot : NSR_SLOTS_MAX;
}

/* The request is about the external address that the packet is for. */
NSR_STEP int hairpin6_begin(const struct nsr_port *port)
{
	struct nat_work6 *work = nat_work();
	u32 slot;

	if (!work || !port)
		return false;
	slot = hairpin6_slot(hairpin_uplink(port), &work->request.flow.remote_address);
	if (slot >= NSR_SLOTS_MAX)
		return false;
	work->request.slot = slot;
	work->request.external = work->request.flow.remote_address;
	return true;
}

/* Whether the kernel takes a packet for its own that may be for a namespace. */
NSR_STEP int hairpin6_may_be(struct __sk_buff *skb, const struct nsr_port *port)
{
	const struct nsr_uplink *uplink;
	struct nsr_address6 dest;
	struct packet p;

	if (!port || parse(skb, &p) != PACKET_IPV6)
		return false;
	uplink = hairpin_uplink(port);
	if (!uplink)
		return false;
	__builtin_memcpy(&dest, &p.ip6->daddr, sizeof(dest));
	return hairpin6_slot(uplink, &dest) != NSR_SLOTS_MAX;
}

/* The host's own, as far as a session of the sender's goes. It has asked for an answer only of a
 * port that is published: that, at the external address, is the packet's source then, and
 * VERDICT_NEIGHBOUR. */
NSR_STEP int hairpin6_returns(struct __sk_buff *skb, u32 sender, struct nsr_address6 *external)
{
	struct nat_work6 *work = nat_work();

	if (!work || !external || work->transport.fragment || !mapping_is_published6(sender))
		return VERDICT_KERNEL;
	return rewrite_endpoint6(skb, work->link, &work->transport, true, &work->old, external,
				 bpf_htons(NSR_MAPPING_PORT(sender)))
		       ? DROP(NAT_REWRITE)
		       : VERDICT_NEIGHBOUR;
}

/* request has the external address that the packet is for, and its slot. What the packet is to a
 * namespace: VERDICT_PEER; VERDICT_KERNEL: it is for none; or a reason to
 * drop, with HAIRPIN_LARGE. Nothing is changed, but for VERDICT_NEIGHBOUR: for the host, which has
 * asked. */
NSR_STEP int hairpin6_judge(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct nat_work6 *work = nat_work();
	const struct nsr_endpoint *to;
	const struct transport6 *t;
	struct nat_request6 *request;
	struct nsr_mapping6 *record;
	bool joined;

	if (!port || !work)
		return VERDICT_KERNEL;
	t = &work->transport;
	request = &work->request;
	record =
		nat_mapping6(NSR_MAPPING(NSR_POOL(request->slot, t->protocol), bpf_ntohs(t->dest)));
	uplink6_flow(work);
	if (!record || !READ_ONCE(record->references)) {
		work->old = request->flow.inside.address;
		return session_leaves6(&request->flow, request)
			       ? hairpin6_returns(skb, request->mapping, &request->external)
			       : VERDICT_KERNEL;
	}
	to = fib_host6(&record->inside.address);
	joined = session_leaves6(&request->flow, request);
	if (!joined &&
	    host_has_socket6(skb, t->protocol, &request->flow.inside.address, t->source,
			     &request->external, t->dest, record->flags & NSR_MAPPING_PUBLISHED))
		return VERDICT_KERNEL; /* the host's, which isolation does not ask about */
	/* An answer may be for the host still: hairpin6_arrives() knows, and holds to isolation. */
	if (hairpin_isolated(port, to))
		return joined && mapping_is_published6(request->mapping) ? VERDICT_PEER
									 : DROP(ISOLATED);
	if (!to)
		return DROP(NAT_HAIRPIN);
	return endpoint_takes_large(skb, to) ? VERDICT_PEER : HAIRPIN_LARGE | (to->mtu & 0xffff);
}

/* Both sides are known. The addresses and ports of the sender are in work->old and its transport.
 */
NSR_STEP int hairpin6_rewrite(struct __sk_buff *skb, u32 sender)
{
	struct nat_work6 *work = nat_work();
	struct nat_request6 *request;
	struct transport6 *t;

	if (!work)
		return DROP(NAT_REWRITE);
	request = &work->request;
	t = &work->transport;
	if (t->fragment) {
		if (fragment6_renumber(skb, t, &work->old))
			return DROP(NAT_REWRITE);
		t->id += fragment6_shift(&work->old);
		fragment6_learn(NAT_INBOUND_SESSION);
	}
	return rewrite_endpoint6(skb, work->link, t, true, &work->old,
				 &request->flow.remote_address,
				 bpf_htons(NSR_MAPPING_PORT(sender))) ||
			       rewrite_endpoint6(skb, work->link, t, false, &request->external,
						 &request->flow.inside.address,
						 request->flow.inside.port)
		       ? DROP(NAT_REWRITE)
		       : VERDICT_PEER;
}

/* The receiver's side, as of a packet that comes in from the sender's external port. request has
 * the sender's external address, and the other one as the remote. */
NSR_STEP int hairpin6_arrives(struct __sk_buff *skb, const struct nsr_port *port, u32 sender)
{
	struct nat_work6 *work = nat_work();
	struct nat_request6 *request;
	enum nat_inbound whom;
	__be16 source;
	u32 slot;

	if (!port || !work)
		return DROP(NAT_HAIRPIN);
	request = &work->request;
	work->old = request->flow.inside.address;
	source = work->transport.source;
	work->transport.source = bpf_htons(NSR_MAPPING_PORT(sender));
	work->to.address = request->external;
	request->external = request->flow.remote_address;
	request->flow.remote_address = work->to.address;
	slot = hairpin6_slot(hairpin_uplink(port), &request->external);
	if (slot >= NSR_SLOTS_MAX)
		return DROP(NAT_CLOSED); /* it has gone just now */
	request->slot = slot;
	request->mapping = 0;
	whom = uplink6_classify(skb, work);
	work->transport.source = source;
	TELL(INBOUND, whom, 0, 0);
	if (whom == NAT_INBOUND_HOST)
		return hairpin6_returns(skb, sender, &request->flow.remote_address);
	if (whom != NAT_INBOUND_SESSION)
		return inbound_refused(whom);
	/* The mapping may be another's by now. */
	return hairpin_isolated(port, fib_host6(&request->flow.inside.address))
		       ? DROP(ISOLATED)
		       : hairpin6_rewrite(skb, sender);
}

/* A later fragment is for who the first was for. */
NSR_STEP int hairpin6_later(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct nat_work6 *work = nat_work();
	struct nsr_address6 inside = {};
	const struct nsr_uplink *uplink;
	const struct nsr_endpoint *to;
	struct nsr_datagram6 key;

	if (!port || !work)
		return VERDICT_KERNEL;
	uplink = hairpin_uplink(port);
	if (!uplink)
		return VERDICT_KERNEL;
	uplink6_external(uplink, &work->request.flow.inside.address);
	uplink6_later(uplink);
	key = datagram6(work); /* it will come from the sender's external address */
	key.source = work->request.external;
	key.dest = work->request.flow.remote_address;
	key.id += fragment6_shift(&work->request.flow.inside.address);
	if (datagram_whom6(&key, work->request.now_s, &inside) != NAT_INBOUND_SESSION)
		return VERDICT_KERNEL;
	to = fib_host6(&inside);
	if (hairpin_isolated(port, to))
		return DROP(ISOLATED);
	return !to || fragment6_leaves(skb, work) ||
			       fragment6_rewrite(skb, work->link, false, &inside)
		       ? DROP(NAT_REWRITE)
		       : VERDICT_PEER;
}

/* As hairpin_error_isolated(), of what the quote has been read of. */
NSR_STEP int hairpin6_error_isolated(const struct nsr_port *port)
{
	struct nat_work6 *work = nat_work();
	const struct nsr_mapping6 *record;
	const struct transport6 *t;
	struct session_view6 view;
	struct nsr_flow6 flow;
	u32 state;

	if (!port || !work)
		return false;
	t = &work->quote.transport;
	record = nat_mapping6(
		NSR_MAPPING(NSR_POOL(work->request.slot, t->protocol), bpf_ntohs(t->source)));
	if (!record || !READ_ONCE(record->references) ||
	    !hairpin_isolated(port, fib_host6(&record->inside.address)))
		return false;
	flow = work->request.flow;
	__builtin_memcpy(&flow.inside.address, &work->quote.ip.daddr, sizeof(flow.inside.address));
	flow.inside.port = t->dest;
	flow.inside.protocol = t->protocol;
	__builtin_memcpy(&flow.remote_address, &work->quote.ip.saddr, sizeof(flow.remote_address));
	flow.remote_port = t->source;
	if (!session_peek6(&flow, work->request.now_s, &view, &state))
		return false;
	flow.inside = record->inside;
	flow.remote_address = view.external;
	flow.remote_port = bpf_htons(NSR_MAPPING_PORT(view.mapping));
	return !!session_peek6(&flow, work->request.now_s, &view, &state);
}

/* An error about what came by hairpin is translated on both sides. Others are the host's own. */
NSR_STEP int hairpin6_error(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct nat_work6 *work = nat_work();
	int result;

	if (!port || !work || !work->transport.check_offset || !quote6_read(skb, work) ||
	    !quote6_read_transport(skb, &work->quote))
		return VERDICT_KERNEL;
	if (hairpin6_error_isolated(port))
		return DROP(ISOLATED);
	result = icmp6_leaves(skb, true);
	if (result)
		return result == DROP(NAT_ICMP_ERROR) ? VERDICT_KERNEL : error_refused(result);
	work->request.external = work->request.flow.remote_address; /* that it is for, again */
	switch (icmp6_arrives(skb)) {
	case NAT_INBOUND_SESSION: /* the mapping may be another's by now */
		return hairpin_isolated(port, fib_host6(&work->request.flow.inside.address))
			       ? DROP(ISOLATED)
			       : VERDICT_PEER;
	case NAT_INBOUND_HOST:
		return VERDICT_NEIGHBOUR; /* the host has sent what it is about */
	default:
		return DROP(NAT_REWRITE);
	}
}

/* TCP and UDP. */
static __always_inline int hairpin6_packet(struct __sk_buff *skb, const struct nsr_port *port,
					   struct nat_work6 *work, const struct nsr_inside *inside)
{
	int verdict = hairpin6_judge(skb, port);
	const struct nsr_uplink *uplink;

	if (verdict != VERDICT_PEER)
		return verdict;
	uplink = hairpin_uplink(port);
	if (!uplink)
		return DROP(NAT_CLOSED);
	uplink6_external(uplink, &work->request.flow.inside.address);
	verdict = uplink6_open(skb, uplink, work, inside);
	if (!verdict && work->transport.fragment && uplink->flags & NSR_UPLINK_MORE6)
		direct6_leaves_by(work->request.mapping);
	return verdict ? verdict : hairpin6_arrives(skb, port, work->request.mapping);
}

/* VERDICT_PEER: translated, for a namespace. VERDICT_KERNEL: unchanged. */
static __always_inline int hairpin6_translate(struct __sk_buff *skb, const struct nsr_port *port,
					      u32 uplink, struct nat_work6 *work)
{
	const struct transport6 *t = &work->transport;
	const struct nsr_inside *inside;
	struct packet p;

	if (load(skb, &p) != PACKET_IPV6 || p.ip6->hop_limit <= 1)
		return VERDICT_KERNEL;
	__builtin_memcpy(&work->request.flow.inside.address, &p.ip6->saddr, sizeof(p.ip6->saddr));
	__builtin_memcpy(&work->request.flow.remote_address, &p.ip6->daddr, sizeof(p.ip6->daddr));
	inside = inside_of6(&p.ip6->saddr);
	if (!inside || inside->uplink != uplink || !hairpin6_begin(port) ||
	    transport6_find(skb, sizeof(struct ethhdr), skb->len, &work->transport))
		return VERDICT_KERNEL;
	if (t->later)
		return t->protocol == NSR_NAT_ICMP ? VERDICT_KERNEL : hairpin6_later(skb, port);
	if (t->protocol == NSR_NAT_ICMP)
		return is_icmp6_error(t->icmp_type) && !t->fragment ? hairpin6_error(skb, port)
								    : VERDICT_KERNEL;
	return t->check_offset ? hairpin6_packet(skb, port, work, inside) : VERDICT_KERNEL;
}

/* Where it goes, with its new headers; NULL: nowhere. */
static __always_inline const struct nsr_endpoint *hairpin6_route(struct __sk_buff *skb)
{
	const struct nsr_endpoint *to;
	struct packet p;

	if (!packet_at(skb, &p, true))
		return NULL;
	to = fib_host6(&p.ip6->daddr);
	TELL_ENDPOINT(ROUTED, to);
	if (!to)
		return NULL;
	rewrite_hop_limit(p.ip6);
	rewrite_macs(p.eth, to->mac, to->gateway_mac);
	return to;
}

/* The program's action. */
static __always_inline int port_hairpin6(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex, length = skb->len, mtu = 0;
	const struct nsr_port *port = bpf_map_lookup_elem(&ports, &ifindex);
	const struct nsr_endpoint *to = NULL;
	const struct nsr_uplink *uplink;
	int verdict = VERDICT_KERNEL;
	struct nat_work6 *work;

	if (!port)
		return TC_ACT_UNSPEC;
	uplink = hairpin_uplink(port);
	work = uplink ? uplink6_work(uplink, false) : NULL;
	if (local6_is_for_client(skb))
		verdict = local6_return(skb);
	else if (work)
		verdict = hairpin6_translate(skb, port, uplink->index, work);
	if (verdict > 0 && verdict & HAIRPIN_LARGE) {
		mtu = verdict & 0xffff;
		verdict = DROP(NAT_HAIRPIN);
	}
	if (verdict == VERDICT_PEER)
		to = hairpin6_route(skb);
	if (verdict == VERDICT_PEER && !to)
		verdict = DROP(NAT_HAIRPIN);
	count_port_tx(port->index, length, verdict);
	if (to)
		return hairpin_deliver(skb, to, length);
	if (verdict == VERDICT_NEIGHBOUR)
		return local_deliver(skb);
	if (verdict >= 0)
		return TC_ACT_UNSPEC;
	drop(skb, verdict, NSR_HOOK_PORT_IN);
	INSTEAD(TC_ACT_SHOT);
	return mtu || is_refused(verdict) ? refuse6(skb, false, mtu) : TC_ACT_SHOT;
}

#endif
