/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * guest.h - a published port, as a namespace reaches it at the uplink's address whose own network
 * does not leave by that uplink: it is not masqueraded, or leaves by another one.
 *
 * The kernel would take such a packet for the host's own. The destination becomes the publisher's,
 * and the source stays what it is, because the way back to it leads through us. So it is a flow as
 * if it came in from outside: one session of the publisher's, whose remote is the client.
 *
 * What the publisher sends back is for an address inside, and goes there past the uplink. So the
 * ports of who publishes have a flag, by which what they send to other networks is looked up among
 * the sessions (guest_answers()), and gets the published address and port back as its source. What
 * has no session goes straight, as ever. Here none passes without a session, as from outside it
 * may: the answer could not be told from that. The session counts for the client.
 *
 * Nobody reaches by a published port whom the policy keeps from the publisher itself.
 *
 * Programs of their own, off the hot path. Both directions are translated here, and what cannot be
 * delivered is dropped: see hairpin.h.
 */
#ifndef NSROUTE_BPF_GUEST_H
#define NSROUTE_BPF_GUEST_H

#include "guest_session.h"
#include "hairpin.h"
#include "leave.h"

/* The slot of an address that an uplink, other than the loopback interface, has while anything is
 * published; NSR_SLOTS_MAX: none has it. */
NSR_STEP u32 guest_slot(__be32 address)
{
	const struct nsr_uplink *loopback = local_loopback();
	u32 slot;

	if (!loopback || !address)
		return NSR_SLOTS_MAX;
	slot = local_slot(address);
	return slot == loopback->index ? NSR_SLOTS_MAX : slot;
}

static __always_inline const struct nsr_uplink *guest_uplink(u32 slot)
{
	return slot < NSR_SLOTS_MAX ? uplink_at(slot) : NULL;
}

/* Whether the bridge of the client's own network is the uplink, and has a hook. */
static __always_inline bool guest_is_beside(const struct nsr_port *port, u32 uplink)
{
	const struct nsr_inner_link *inner = inner_of_uplink(uplink);

	return inner && inner->network == port->network;
}

/* Whether a client, with this source, may have what is published at an uplink: VERDICT_PEER.
 * VERDICT_KERNEL: the uplink's hook knows. */
static __always_inline int guest_judge(const struct nsr_port *port, u32 ifindex, u32 uplink,
				       const struct nsr_endpoint *from,
				       const struct nsr_endpoint *to)
{
	const struct nsr_inner_link *inner;

	if (guest_is_beside(port, uplink))
		return VERDICT_KERNEL;
	if (hairpin_isolated(port, to))
		return DROP(ISOLATED);
	/* To what is no interface's the answer would not come back here; nor within a network. */
	if (!to || !from || from->ifindex != ifindex || to->network == port->network)
		return DROP(NAT_HAIRPIN);
	if (!(port->flags & NSR_PORT_BEHIND))
		return VERDICT_PEER;
	inner = inner_of_uplink(port->uplink - 1u);
	if (!inner) /* being changed */
		return DROP(NAT_CLOSED);
	/* There nobody sees its address. */
	return inner->network == to->network ? DROP(NAT_HAIRPIN) : VERDICT_PEER;
}

/* Of what a client sends: VERDICT_PEER, or GUEST_OPENS, and hairpin_request() is its flow; or
 * VERDICT_KERNEL, or a reason to drop. */
NSR_STEP int guest_arrives(struct __sk_buff *skb, const struct nsr_port *port)
{
	const struct nsr_settings *settings = nat_settings();
	struct nat_request request, *asked = hairpin_request();
	const struct nsr_uplink *uplink;
	const struct nsr_mapping *record;
	struct transport t = {};
	struct packet p;
	u32 slot, mapping;
	int verdict;

	if (!port || !settings || !asked || !hairpin_load(skb, &p, &t))
		return VERDICT_KERNEL;
	slot = guest_slot(p.ip4->daddr);
	uplink = guest_uplink(slot);
	mapping = NSR_MAPPING(NSR_POOL(slot, t.protocol), bpf_ntohs(t.dest));
	record = uplink ? nat_mapping(mapping) : NULL;
	if (!record || !(record->flags & NSR_MAPPING_PUBLISHED))
		return VERDICT_KERNEL;
	request_begin(&request);
	request_no_limits(&request);
	request.flow.inside = record->inside;
	request.flow.remote_address = p.ip4->saddr;
	request.flow.remote_port = t.source;
	request.seen = seen_by(false, t.protocol, t.tcp_flags);
	request.now_s = nat_now_s(settings);
	request.external = p.ip4->daddr;
	verdict = guest_judge(port, skb->ifindex, uplink->index, fib_host4(p.ip4->saddr),
			      fib_host4(request.flow.inside.address));
	if (verdict == VERDICT_KERNEL)
		return verdict;
	request.mapping = mapping;
	request.slot = slot;
	if (verdict == VERDICT_PEER)
		verdict = guest_ask(&request);
	/* What the host has is the host's, also from who may not have what is published. */
	if (verdict != VERDICT_PEER && host_has_socket(skb, t.protocol, &p.ip4->saddr, t.source,
						       &request.external, t.dest, true))
		return VERDICT_KERNEL;
	if (verdict == GUEST_OPENS && t.tcp_flags & TCP_RST)
		return DROP(NAT_STATE);
	*asked = request;
	return verdict;
}

/* One of several, or all, of what a client sends: to the publisher. The first of a datagram leaves
 * word of whom the others are for. */
NSR_STEP int guest_in(struct __sk_buff *skb, const struct nsr_port *port)
{
	const struct nat_request *request = hairpin_request();
	struct nsr_datagram_in entry = {.whom = NAT_INBOUND_SESSION};
	const struct nsr_endpoint *to;
	struct transport t = {};
	struct packet p;

	if (!port || !request || !hairpin_load(skb, &p, &t))
		return DROP(NAT_REWRITE);
	to = fib_host4(request->flow.inside.address);
	TELL_ENDPOINT(ROUTED, to);
	if (!to)
		return DROP(NAT_HAIRPIN);
	if (!endpoint_takes_large(skb, to))
		return HAIRPIN_LARGE | (to->mtu & 0xffff);
	if (ip4_is_fragment(p.ip4)) {
		entry.datagram = datagram4(p.ip4, request->flow.inside.uplink);
		entry.inside = request->flow.inside.address;
		entry.since_s = request->now_s;
		guest_learn(&entry);
	}
	return rewrite_endpoint4(skb, &p, &t, false, request->flow.inside.address,
				 request->flow.inside.port)
		       ? DROP(NAT_REWRITE)
		       : VERDICT_PEER;
}

/* Whether a later fragment or an error fits its receiver: that it does not is not told. */
static __always_inline bool guest_takes(struct __sk_buff *skb, const struct nsr_endpoint *to)
{
	return to && endpoint_takes_large(skb, to);
}

static __always_inline bool guest_load_later(struct __sk_buff *skb, struct packet *p)
{
	return parse(skb, p) == PACKET_IPV4 && p->ip4->ihl == 5 && p->ip4->ttl > 1;
}

/* A client's first fragment that does not go to the publisher: neither do the others, by the entry
 * of an older datagram of that identification. What has come from outside is not touched. */
NSR_STEP int guest_in_forget(struct __sk_buff *skb, const struct nsr_port *port)
{
	const struct nsr_datagram_in *known;
	const struct nsr_uplink *uplink;
	struct nsr_datagram key;
	struct packet p;

	if (!port || parse(skb, &p) != PACKET_IPV4)
		return 0;
	uplink = guest_uplink(guest_slot(p.ip4->daddr));
	if (!uplink || guest_is_beside(port, uplink->index))
		return 0;
	INSTEAD(0);
	key = datagram4(p.ip4, uplink->index);
	known = bpf_map_lookup_elem(&datagrams_in, &key);
	if (known && READ_ONCE(known->whom) == NAT_INBOUND_SESSION)
		bpf_map_delete_elem(&datagrams_in, &key);
	return 0;
}

/* A later fragment of a client's: to whom the first was, which has come before it; else the host's.
 */
NSR_STEP int guest_in_later(struct __sk_buff *skb, const struct nsr_port *port)
{
	const struct nsr_settings *settings = nat_settings();
	const struct nsr_uplink *uplink;
	const struct nsr_endpoint *to;
	struct nsr_datagram key;
	__be32 inside = 0;
	struct packet p;
	int verdict;

	if (!port || !settings || !guest_load_later(skb, &p))
		return VERDICT_KERNEL;
	uplink = guest_uplink(guest_slot(p.ip4->daddr));
	if (!uplink)
		return VERDICT_KERNEL;
	key = datagram4(p.ip4, uplink->index);
	if (datagram_whom(&key, nat_now_s(settings), &inside) != NAT_INBOUND_SESSION)
		return VERDICT_KERNEL;
	to = fib_host4(inside);
	verdict = guest_judge(port, skb->ifindex, uplink->index, fib_host4(key.source), to);
	if (verdict == VERDICT_KERNEL) /* the bridge's hook has had the first, too */
		return verdict;
	if (verdict != VERDICT_PEER)
		return DROP(NAT_FRAGMENT);
	if (!guest_takes(skb, to))
		return DROP(NAT_HAIRPIN);
	rewrite_address4(p.ip4, false, inside);
	return VERDICT_PEER;
}

/* ---- Answers. */

/* The flow of what a publisher sends to another namespace; false: it has none. */
static __always_inline bool guest_flow(const struct nsr_port *port, const struct packet *p,
				       const struct transport *t, struct nat_request *request)
{
	const struct nsr_settings *settings = nat_settings();
	const struct nsr_uplink *uplink = hairpin_uplink(port);

	request_begin(request);
	request_no_limits(request);
	return settings && uplink && outbound_flow(settings, uplink->index, p, t, request);
}

/* VERDICT_PEER: it has the published source now; GUEST_DIRECT: it is no answer. */
NSR_STEP int guest_out(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct nat_request request;
	const struct nsr_endpoint *to;
	struct transport t = {};
	struct packet p;
	int verdict;

	if (!port || !hairpin_load(skb, &p, &t) || !guest_flow(port, &p, &t, &request))
		return GUEST_DIRECT;
	verdict = guest_answer(&request);
	if (verdict != VERDICT_PEER)
		return verdict;
	to = fib_host4(p.ip4->daddr);
	TELL_ENDPOINT(ROUTED, to);
	if (!to)
		return DROP(NAT_HAIRPIN);
	if (!endpoint_takes_large(skb, to))
		return HAIRPIN_LARGE | (to->mtu & 0xffff);
	if (rewrite_endpoint4(skb, &p, &t, true, request.external,
			      bpf_htons(NSR_MAPPING_PORT(request.mapping))))
		return DROP(NAT_REWRITE);
	if (!ip4_is_fragment(p.ip4))
		return VERDICT_PEER;
	verdict =
		fragment4_renumber(skb, false, request.flow.inside.uplink,
				   request.flow.inside.address, NSR_MAPPING_SLOT(request.mapping));
	return verdict < 0 ? verdict : VERDICT_PEER;
}

/* What is no answer, or does not get through: of a datagram's first fragment, so are the others,
 * which the entry of an older one, an answer, must not turn. */
NSR_STEP int guest_out_forget(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct nsr_datagram datagram;
	struct packet p;

	if (!port || parse(skb, &p) != PACKET_IPV4)
		return 0;
	INSTEAD(0);
	datagram = datagram4(p.ip4, port->uplink - 1u);
	bpf_map_delete_elem(&datagrams_out, &datagram);
	return 0;
}

/* A later fragment of an answer, whose first has come before it. */
NSR_STEP int guest_out_later(struct __sk_buff *skb, const struct nsr_port *port)
{
	const struct nsr_settings *settings = nat_settings();
	const struct nsr_datagram_out *known;
	const struct nsr_uplink *uplink;
	struct nsr_datagram key;
	__be32 external;
	struct packet p;

	if (!port || !settings || !guest_load_later(skb, &p))
		return GUEST_DIRECT;
	uplink = hairpin_uplink(port);
	if (!uplink)
		return GUEST_DIRECT;
	key = datagram4(p.ip4, uplink->index);
	known = bpf_map_lookup_elem(&datagrams_out, &key);
	if (!known || known->state ||
	    datagram_is_old(known->since_s, nat_now_s(settings), datagram_lasts(&key.source)))
		return GUEST_DIRECT;
	external = address_at(uplink, known->slot);
	if (!external)
		return GUEST_DIRECT;
	if (!guest_takes(skb, fib_host4(key.dest)))
		return DROP(NAT_HAIRPIN);
	rewrite_id4(p.ip4, known->id);
	rewrite_address4(p.ip4, true, external);
	return VERDICT_PEER;
}

/* ---- ICMP errors, about a session of who sends them. */

/* Of a client's error, before it is changed: VERDICT_PEER, about an answer of a publisher's to it;
 * VERDICT_KERNEL, about the host's own, which may have left by a published port as well, or about
 * nothing; or a reason to drop. request has the uplink, slot and time then. */
NSR_STEP int guest_error_judge(struct __sk_buff *skb, const struct nsr_port *port,
			       struct nat_request *request)
{
	const struct nsr_mapping *record;
	const struct nsr_uplink *uplink;
	const struct nsr_endpoint *to;
	struct quote q = {};
	struct packet p;
	u32 mapping;

	if (!port || !request || parse(skb, &p) != PACKET_IPV4 || p.ip4->ttl <= 1 ||
	    !quote_read(skb, &p, &q) || q.ip.daddr != p.ip4->saddr ||
	    !protocol_has_ports(q.ip.protocol) || !quote_read_transport(skb, &q))
		return VERDICT_KERNEL;
	request->slot = guest_slot(p.ip4->daddr);
	uplink = guest_uplink(request->slot);
	if (!uplink || guest_is_beside(port, uplink->index))
		return VERDICT_KERNEL;
	mapping = NSR_MAPPING(NSR_POOL(request->slot, q.transport.protocol),
			      bpf_ntohs(q.transport.source));
	record = nat_mapping(mapping);
	if (!record)
		return VERDICT_KERNEL;
	request->flow.inside = record->inside;
	request->flow.remote_address = q.ip.daddr;
	request->flow.remote_port = q.transport.dest;
	if (!guest_knows(request) || request->mapping != mapping ||
	    request->external != p.ip4->daddr)
		return VERDICT_KERNEL;
	to = fib_host4(request->flow.inside.address);
	if (hairpin_isolated(port, to))
		return DROP(ISOLATED);
	return guest_takes(skb, to) ? VERDICT_PEER : DROP(NAT_HAIRPIN);
}

/* From a client, about an answer to it. */
NSR_STEP int guest_error_in(struct __sk_buff *skb, const struct nsr_port *port)
{
	const struct nsr_settings *settings = nat_settings();
	struct nat_request request = {};
	int verdict;

	if (!port || !settings)
		return VERDICT_KERNEL;
	request.now_s = nat_now_s(settings);
	verdict = guest_error_judge(skb, port, &request);
	if (verdict != VERDICT_PEER)
		return verdict;
	switch (icmp4_arrives(skb, false, &request)) {
	case NAT_INBOUND_SESSION: /* the mapping may be another's by now */
		return hairpin_isolated(port, fib_host4(request.flow.inside.address))
			       ? DROP(ISOLATED)
			       : VERDICT_PEER;
	case NAT_INBOUND_HOST:
		return VERDICT_KERNEL;
	default:
		return DROP(NAT_REWRITE);
	}
}

/* Whether an error of a publisher's is about what a client has sent by a session of ours: what goes
 * straight is not told in the external address's name, whatever session a packet from outside has
 * made of it. request has uplink and time, and the address that the client has sent to then. */
NSR_STEP int guest_error_about(struct __sk_buff *skb, struct nat_request *request)
{
	const struct transport *t;
	struct quote q = {};
	struct packet p;

	if (!request || parse(skb, &p) != PACKET_IPV4 || p.ip4->ttl <= 1 ||
	    !quote_read(skb, &p, &q) || !quote_read_transport(skb, &q) ||
	    !protocol_has_ports(q.ip.protocol) || p.ip4->daddr != q.ip.saddr)
		return false;
	t = &q.transport;
	request->flow.inside.address = q.ip.daddr;
	request->flow.inside.port = t->dest;
	request->flow.inside.protocol = t->protocol;
	request->flow.remote_address = q.ip.saddr;
	request->flow.remote_port = t->source;
	return guest_knows(request);
}

/* From a publisher, about what a client has sent. */
NSR_STEP int guest_error_out(struct __sk_buff *skb, const struct nsr_port *port)
{
	const struct nsr_settings *settings = nat_settings();
	struct nat_request request = {};
	const struct nsr_uplink *uplink;
	int result;

	if (!port || !settings)
		return GUEST_DIRECT;
	uplink = hairpin_uplink(port);
	if (!uplink)
		return GUEST_DIRECT;
	request.flow.inside.uplink = uplink->index;
	request.now_s = nat_now_s(settings);
	if (!guest_error_about(skb, &request))
		return GUEST_DIRECT;
	if (!guest_takes(skb, fib_host4(request.flow.remote_address)))
		return DROP(NAT_HAIRPIN);
	result = icmp4_leaves(skb, false, &request);
	if (result == DROP(NAT_ICMP_ERROR) || (!result && !request.forwarded))
		return GUEST_DIRECT;
	return result ? error_refused(result) : VERDICT_PEER;
}

/* ---- The hook. */

/* Whether a publisher's packet to another network may be an answer to what came by its published
 * port. It is not touched, for it may go on. */
NSR_STEP int guest_answers(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct nsr_datagram datagram;
	struct nsr_flow flow = {};
	__be16 ports[2];
	struct packet p;

	if (!port || parse(skb, &p) != PACKET_IPV4 || p.ip4->ihl != 5)
		return false;
	if (p.ip4->protocol == IPPROTO_ICMP)
		return icmp_is_error(icmp4_type(skb, &p));
	if (p.ip4->protocol != IPPROTO_TCP && p.ip4->protocol != IPPROTO_UDP)
		return false;
	if (ip4_is_later_fragment(p.ip4)) {
		datagram = datagram4(p.ip4, port->uplink - 1u);
		return !!bpf_map_lookup_elem(&datagrams_out, &datagram);
	}
	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr) + sizeof(*p.ip4), ports, sizeof(ports)))
		return false;
	flow.inside.address = p.ip4->saddr;
	flow.inside.port = ports[0];
	flow.inside.protocol = p.ip4->protocol == IPPROTO_TCP ? NSR_NAT_TCP : NSR_NAT_UDP;
	flow.inside.uplink = port->uplink - 1u;
	flow.remote_address = p.ip4->daddr;
	flow.remote_port = ports[1];
	if (bpf_map_lookup_elem(&session_by_flow, &flow))
		return true;
	if (ip4_is_fragment(p.ip4))
		guest_out_forget(skb, port);
	return false;
}

static __always_inline int guest_translate(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct packet p;
	bool fragment;
	int verdict;

	if (!packet_at(skb, &p, false))
		return DROP(MALFORMED);
	fragment = ip4_is_fragment(p.ip4);
	if (fib_host4(p.ip4->daddr)) {
		if (p.ip4->protocol == IPPROTO_ICMP)
			return guest_error_out(skb, port);
		if (ip4_is_later_fragment(p.ip4))
			return guest_out_later(skb, port);
		verdict = guest_out(skb, port);
		if (fragment && verdict != VERDICT_PEER)
			guest_out_forget(skb, port);
		return verdict;
	}
	if (p.ip4->protocol == IPPROTO_ICMP)
		return guest_error_in(skb, port);
	if (ip4_is_later_fragment(p.ip4))
		return guest_in_later(skb, port);
	verdict = guest_arrives(skb, port);
	if (verdict == GUEST_OPENS) {
		verdict = guest_open(port, hairpin_request());
		if (!verdict)
			verdict = VERDICT_PEER;
	}
	if (verdict == VERDICT_PEER)
		verdict = guest_in(skb, port);
	if (fragment && verdict != VERDICT_PEER)
		guest_in_forget(skb, port);
	return verdict;
}

/* Where what has been translated goes, with its new headers; NULL: nowhere. */
static __always_inline const struct nsr_endpoint *guest_route(struct __sk_buff *skb)
{
	const struct nsr_endpoint *to;
	struct packet p;

	if (!packet_at(skb, &p, false))
		return NULL;
	to = fib_host4(p.ip4->daddr);
	if (!to)
		return NULL;
	rewrite_ttl4(p.ip4);
	rewrite_macs(p.eth, to->mac, to->gateway_mac);
	return to;
}

/* The address that a packet is refused in the name of: what a client asks for, or where an answer
 * would have come from. */
static __always_inline __be32 guest_address(struct __sk_buff *skb, const struct nsr_port *port)
{
	const struct nsr_uplink *uplink = hairpin_uplink(port);
	struct packet p;

	if (!packet_at(skb, &p, false))
		return 0;
	if (!fib_host4(p.ip4->daddr))
		return p.ip4->daddr;
	return uplink ? address_of(uplink) : 0;
}

/* What becomes of a packet that has been judged, of either family: the program's action. */
static __always_inline int guest_ends(struct __sk_buff *skb, const struct nsr_port *port, bool ipv6,
				      int verdict)
{
	const struct nsr_endpoint *to = NULL;
	u32 length = skb->len, mtu = 0;

	if (verdict == GUEST_DIRECT)
		verdict = kernel_or_drop(port_leave(skb, port));
	if (verdict > 0 && verdict & HAIRPIN_LARGE) {
		mtu = verdict & 0xffff;
		verdict = DROP(NAT_HAIRPIN);
	}
	if (verdict == VERDICT_PEER) {
		to = ipv6 ? hairpin6_route(skb) : guest_route(skb);
		if (!to)
			verdict = DROP(NAT_HAIRPIN);
	}
	count_port_tx(port->index, length, verdict);
	if (to)
		return hairpin_deliver(skb, to, length);
	if (verdict >= 0)
		return TC_ACT_UNSPEC;
	drop(skb, verdict, NSR_HOOK_PORT_IN);
	INSTEAD(TC_ACT_SHOT);
	if (!mtu && !is_refused(verdict))
		return TC_ACT_SHOT;
	return ipv6 ? refuse6(skb, false, mtu) : refuse4(skb, guest_address(skb, port), false, mtu);
}

/* The program's action. */
static __always_inline int port_guest(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex;
	const struct nsr_port *port = bpf_map_lookup_elem(&ports, &ifindex);

	return port ? guest_ends(skb, port, false, guest_translate(skb, port)) : TC_ACT_UNSPEC;
}

#endif
