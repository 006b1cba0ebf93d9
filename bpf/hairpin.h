/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hairpin.h - what a namespace sends to the external address of its own uplink, where a namespace
 * is mapped or published (RFC 4787 REQ-9, RFC 5382 REQ-8).
 *
 * The kernel would take it for the host's own: no uplink's hook ever sees it. So it is translated
 * here, both ways at once: as if it left by the uplink and came back in. The source becomes the
 * sender's own external address and port (REQ-9a), the destination the inside host's, and whether
 * it is let in is decided as for what comes from outside. Each side has its own session, by which
 * what comes back is translated in the same way.
 *
 * An ICMP error about such a packet goes back by the same way, translated on both sides as well
 * (RFC 4787 REQ-12, RFC 5508 REQ-7). A flow that cannot be had is told (RFC 5508 REQ-8).
 *
 * Fragments are translated here as they leave, and go back in by the uplink's hook, which knows
 * what to do with fragments that arrive.
 *
 * What is mapped for nobody, or to a socket of the host, is the host's, as are other ICMP, and what
 * has options. If it answers what the host has sent to a published port, it is
 * translated, and goes back to where that came from: see local.h. Other translated packets cannot
 * be left to the kernel, which takes no packet from another that has one of its own addresses as
 * source: what does not fit is dropped.
 *
 * Off the hot path.
 */
#ifndef NSROUTE_BPF_HAIRPIN_H
#define NSROUTE_BPF_HAIRPIN_H

#include "address.h"
#include "fragment.h"
#include "icmp.h"
#include "local.h"
#include "refuse.h"
#include "rewrite.h"
#include "steps.h"
#include "trace.h"
#include "uplink.h"

static __always_inline const struct nsr_uplink *hairpin_uplink(const struct nsr_port *port)
{
	return uplink_at(port->uplink - 1u);
}

/* The slot of an external address that the uplink has now; NSR_SLOTS_MAX: it is another address. */
static __always_inline u32 hairpin_slot(const struct nsr_uplink *uplink, __be32 address)
{
	u32 slot = address_slot(uplink, address);

	return slot != NSR_SLOTS_MAX && address_at(uplink, slot) == address ? slot : NSR_SLOTS_MAX;
}

/* What is mapped to the port that a packet is for, by whichever of the uplink's addresses; NULL:
 * nothing. */
static __always_inline struct nsr_mapping *hairpin_mapped(const struct nsr_uplink *uplink,
							  __be32 dest, u8 protocol, __be16 port)
{
	u32 slot = hairpin_slot(uplink, dest);
	struct nsr_mapping *record =
		slot == NSR_SLOTS_MAX
			? NULL
			: nat_mapping(NSR_MAPPING(NSR_POOL(slot, protocol), bpf_ntohs(port)));

	return record && READ_ONCE(record->references) ? record : NULL;
}

/* Whether the kernel takes a packet for its own that may be for a namespace. */
NSR_STEP int hairpin_may_be(const struct nsr_port *port, __be32 dest)
{
	const struct nsr_uplink *uplink;

	if (!port)
		return 0;
	uplink = hairpin_uplink(port);
	return uplink && dest && hairpin_slot(uplink, dest) != NSR_SLOTS_MAX;
}

/* The same of a port that is published elsewhere: see guest.h. */
static __always_inline bool guest_may_be(void)
{
	return local_loopback();
}

static __always_inline bool hairpin_load(struct __sk_buff *skb, struct packet *p,
					 struct transport *t)
{
	return parse(skb, p) == PACKET_IPV4 && p->ip4->ihl == 5 && p->ip4->ttl > 1 &&
	       !ip4_is_later_fragment(p->ip4) && !load_transport(skb, p, t) &&
	       t->protocol != NSR_NAT_ICMP;
}

/* A flow that the sender is to open. Not on the stack, which opening one needs. */
NSR_ARRAY(hairpin_scratch, BPF_MAP_TYPE_PERCPU_ARRAY, struct nat_request, 1);

static __always_inline struct nat_request *hairpin_request(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&hairpin_scratch, &zero);
}

/* As if it went there by the inside address. */
static __always_inline bool hairpin_isolated(const struct nsr_port *port,
					     const struct nsr_endpoint *to)
{
	return to && policy_isolates(port->network, port->flags, to->network, to->flags);
}

/* No mapping has these numbers. */
#define HAIRPIN_OPENS 0x40000000
#define HAIRPIN_AGAIN 0x10000000 /* to arrive at the uplink: a fragment that has left */
#define HAIRPIN_LARGE 0x20000000 /* the receiver's MTU, in the low 16 bits, is too small */

/* The sender's side: its mapping, VERDICT_KERNEL, or a reason to drop; HAIRPIN_OPENS: it has no
 * session yet, and hairpin_request() is for one. */
NSR_STEP int hairpin_leaves(struct __sk_buff *skb, const struct nsr_port *port)
{
	const struct nsr_settings *settings = nat_settings();
	struct nat_request request, *opens = hairpin_request();
	const struct nsr_uplink *uplink;
	const struct nsr_inside *inside;
	struct nsr_mapping *record;
	struct transport t = {};
	struct packet p;

	if (!port || !settings || !opens || !hairpin_load(skb, &p, &t))
		return VERDICT_KERNEL;
	request_begin(&request);
	uplink = hairpin_uplink(port);
	if (!uplink)
		return VERDICT_KERNEL;
	if (!outbound_flow(settings, uplink->index, &p, &t, &request))
		return VERDICT_KERNEL;
	if (session_leaves(&request.flow, &request))
		return request.mapping;
	record = hairpin_mapped(uplink, p.ip4->daddr, t.protocol, t.dest);
	if (!record)
		return VERDICT_KERNEL;
	inside = inside_of4(p.ip4->saddr);
	if (!inside || inside->uplink != uplink->index ||
	    host_has_socket(skb, t.protocol, &p.ip4->saddr, t.source, &p.ip4->daddr, t.dest,
			    record->flags & NSR_MAPPING_PUBLISHED))
		return VERDICT_KERNEL; /* the host's, which isolation does not ask about */
	if (hairpin_isolated(port, fib_host4(record->inside.address)))
		return DROP(ISOLATED);
	request_limits(&request, inside);
	request.slot = address_pair(uplink, p.ip4->saddr);
	request.external = address_at(uplink, request.slot);
	if (!request.external || uplink->flags & NSR_UPLINK_CHANGING4)
		return DROP(NAT_CLOSED);
	if (t.tcp_flags & TCP_RST)
		return session_reset(skb, &request) ? DROP(NAT_STATE) : request.mapping;
	*opens = request;
	return HAIRPIN_OPENS;
}

static __always_inline int hairpin_open(struct __sk_buff *skb)
{
	struct nat_request *request = hairpin_request();
	int refused;

	if (!request)
		return DROP(NAT_SESSIONS);
	if (session_waits(request))
		return DROP(NAT_CLOSED);
	refused = session_open_or_join(skb, request);
	return refused ? refused : request->mapping;
}

/* The host's own. It has asked for an answer only of a port that is published. */
static __always_inline int hairpin_returns(struct __sk_buff *skb, struct packet *p,
					   const struct transport *t,
					   const struct nat_request *request, u32 sender)
{
	if (!mapping_is_published(sender))
		return VERDICT_KERNEL;
	return local_return(skb, p, t, request->flow.remote_address, sender);
}

/* Both sides are known. */
static __always_inline int hairpin_rewrite(struct __sk_buff *skb, const struct nsr_port *port,
					   struct packet *p, const struct transport *t,
					   const struct nat_request *request)
{
	const struct nsr_endpoint *to = fib_host4(request->flow.inside.address);

	TELL_ENDPOINT(ROUTED, to);
	if (hairpin_isolated(port, to)) /* the mapping is another's by now */
		return DROP(ISOLATED);
	if (!to)
		return DROP(NAT_HAIRPIN);
	if (!endpoint_takes_large(skb, to))
		return HAIRPIN_LARGE | (to->mtu & 0xffff);
	if (rewrite_endpoint4(skb, p, t, true, request->flow.remote_address,
			      request->flow.remote_port) ||
	    rewrite_endpoint4(skb, p, t, false, request->flow.inside.address,
			      request->flow.inside.port))
		return DROP(NAT_REWRITE);
	rewrite_ttl4(p->ip4);
	rewrite_macs(p->eth, to->mac, to->gateway_mac);
	return VERDICT_PEER;
}

/* The receiver's side, as of a packet that comes in from the sender's external port. */
NSR_STEP int hairpin_arrives(struct __sk_buff *skb, const struct nsr_port *port, u32 sender)
{
	const struct nsr_settings *settings = nat_settings();
	const struct nsr_uplink *uplink;
	struct nat_request request;
	struct transport t = {};
	enum nat_inbound whom;
	struct packet p;

	if (!port || !settings || !hairpin_load(skb, &p, &t))
		return DROP(NAT_HAIRPIN);
	request_begin(&request);
	uplink = hairpin_uplink(port);
	if (!uplink)
		return DROP(NAT_HAIRPIN);
	request.flow.inside.protocol = t.protocol;
	request.flow.inside.uplink = uplink->index;
	request.flow.remote_address = address_at(uplink, NSR_MAPPING_SLOT(sender));
	request.flow.remote_port = bpf_htons(NSR_MAPPING_PORT(sender));
	request.seen = seen_by(false, t.protocol, t.tcp_flags);
	request.now_s = nat_now_s(settings);
	request.external = p.ip4->daddr;
	request.slot = hairpin_slot(uplink, p.ip4->daddr);
	if (request.slot == NSR_SLOTS_MAX || !request.flow.remote_address)
		return DROP(NAT_CLOSED); /* one of them has gone just now */
	whom = nat_in(skb, &request, t.dest);
	TELL(INBOUND, whom, 0, 0);
	if (whom == NAT_INBOUND_HOST)
		return hairpin_returns(skb, &p, &t, &request, sender);
	if (whom != NAT_INBOUND_SESSION)
		return uplink_judge(skb, uplink->index, whom, 0, 0);
	return hairpin_rewrite(skb, port, &p, &t, &request);
}

/* ---- Fragments. They leave here, and arrive at the uplink's hook, where others are put in order.
 */

/* The first of a datagram, with the sender's mapping. */
NSR_STEP int hairpin_first(struct __sk_buff *skb, const struct nsr_port *port, u32 sender)
{
	const struct nsr_uplink *uplink;
	struct nsr_mapping *record;
	struct transport t = {};
	struct packet p;
	__be32 inside, external;
	int refused;

	if (!port || !hairpin_load(skb, &p, &t))
		return DROP(NAT_HAIRPIN);
	uplink = hairpin_uplink(port);
	if (!uplink)
		return DROP(NAT_HAIRPIN);
	record = hairpin_mapped(uplink, p.ip4->daddr, t.protocol, t.dest);
	if (!record)
		return VERDICT_KERNEL;
	if (hairpin_isolated(port, fib_host4(record->inside.address)))
		return DROP(ISOLATED);
	inside = p.ip4->saddr;
	external = address_at(uplink, NSR_MAPPING_SLOT(sender));
	if (!external)
		return DROP(NAT_CLOSED);
	if (rewrite_endpoint4(skb, &p, &t, true, external, bpf_htons(NSR_MAPPING_PORT(sender))))
		return DROP(NAT_REWRITE);
	refused = fragment4_renumber(skb, false, uplink->index, inside, NSR_MAPPING_SLOT(sender));
	return refused < 0 ? refused : HAIRPIN_AGAIN;
}

/* Others are for a namespace when their first was, which has come before them; else the host's. */
NSR_STEP int hairpin_later(struct __sk_buff *skb, const struct nsr_port *port)
{
	const struct nsr_settings *settings = nat_settings();
	const struct nsr_datagram_out *known;
	const struct nsr_uplink *uplink;
	struct nsr_datagram key;
	struct packet p;
	__be32 external;

	if (!port || !settings || parse(skb, &p) != PACKET_IPV4 || p.ip4->ihl != 5)
		return VERDICT_KERNEL;
	uplink = hairpin_uplink(port);
	if (!uplink)
		return VERDICT_KERNEL;
	key = datagram4(p.ip4, uplink->index);
	known = bpf_map_lookup_elem(&datagrams_out, &key);
	if (!known || known->state ||
	    datagram_is_old(known->since_s, nat_now_s(settings), datagram_lasts(&key.source)))
		return VERDICT_KERNEL;
	external = address_at(uplink, known->slot);
	if (!external)
		return VERDICT_KERNEL;
	rewrite_id4(p.ip4, known->id);
	rewrite_address4(p.ip4, true, external);
	return HAIRPIN_AGAIN;
}

/* As a frame to all, for it has to be to a MAC address of the uplink, which no table has. */
static __always_inline int hairpin_again(struct __sk_buff *skb, const struct nsr_port *port)
{
	const struct nsr_uplink *uplink = hairpin_uplink(port);
	struct packet p;

	if (!uplink || !packet_at(skb, &p, false))
		return TC_ACT_SHOT;
	TELL(DELIVERS, uplink->ifindex, 0, 0);
	INSTEAD(TC_ACT_REDIRECT);
	__builtin_memset(p.eth->h_dest, 0xff, sizeof(p.eth->h_dest));
	return bpf_redirect(uplink->ifindex, BPF_F_INGRESS);
}

/* ---- ICMP errors. */

/* Whether an error is for somebody whom isolation keeps from its sender. Asked before it is
 * changed, and of the sessions of both sides: what it quotes the host may have sent, by a port that
 * is mapped for another as well. */
NSR_STEP int hairpin_error_isolated(struct __sk_buff *skb, const struct nsr_port *port,
				    const struct nat_request *request)
{
	const struct nsr_mapping *record;
	struct session_view view;
	struct nsr_flow flow;
	struct quote q = {};
	struct packet p;
	u32 state;

	if (!port || !request || parse(skb, &p) != PACKET_IPV4 || !quote_read(skb, &p, &q) ||
	    !protocol_has_ports(q.ip.protocol) || !quote_read_transport(skb, &q))
		return false;
	record = nat_mapping(NSR_MAPPING(NSR_POOL(request->slot, q.transport.protocol),
					 bpf_ntohs(q.transport.source)));
	if (!record || !READ_ONCE(record->references) ||
	    !hairpin_isolated(port, fib_host4(record->inside.address)))
		return false;
	flow = request->flow;
	flow.inside.address = q.ip.daddr;
	flow.inside.port = q.transport.dest;
	flow.inside.protocol = q.transport.protocol;
	flow.remote_address = q.ip.saddr;
	flow.remote_port = q.transport.source;
	if (!session_peek(&flow, request->now_s, &view, &state))
		return false;
	flow.inside = record->inside;
	flow.remote_address = view.external;
	flow.remote_port = bpf_htons(NSR_MAPPING_PORT(view.mapping));
	return !!session_peek(&flow, request->now_s, &view, &state);
}

/* An error that has been translated for its receiver. */
static __always_inline int hairpin_error_arrives(struct __sk_buff *skb, const struct nsr_port *port)
{
	const struct nsr_endpoint *to;
	struct packet p;

	if (parse(skb, &p) != PACKET_IPV4)
		return DROP(NAT_REWRITE);
	to = fib_host4(p.ip4->daddr);
	TELL_ENDPOINT(ROUTED, to);
	if (hairpin_isolated(port, to)) /* the mapping is another's by now */
		return DROP(ISOLATED);
	if (!to || !endpoint_takes_large(skb, to))
		return DROP(NAT_HAIRPIN);
	rewrite_ttl4(p.ip4);
	rewrite_macs(p.eth, to->mac, to->gateway_mac);
	return VERDICT_PEER;
}

/* ICMP to the external address. What is no error about a session is the host's own, and has not
 * been touched. */
NSR_STEP int hairpin_error(struct __sk_buff *skb, const struct nsr_port *port)
{
	const struct nsr_settings *settings = nat_settings();
	struct nat_request request = {};
	const struct nsr_uplink *uplink;
	struct packet p;
	int result;

	if (!port || !settings || !packet_at(skb, &p, false))
		return VERDICT_KERNEL;
	uplink = hairpin_uplink(port);
	if (!uplink)
		return VERDICT_KERNEL;
	request.external = p.ip4->daddr; /* who has sent it is known by the session */
	request.slot = hairpin_slot(uplink, p.ip4->daddr);
	if (request.slot == NSR_SLOTS_MAX)
		return VERDICT_KERNEL;
	request.flow.inside.uplink = uplink->index;
	request.now_s = nat_now_s(settings);
	if (hairpin_error_isolated(skb, port, &request))
		return DROP(ISOLATED);
	result = icmp4_leaves(skb, false, &request);
	if (result == DROP(NAT_ICMP_ERROR) || result == DROP(NAT_PROTOCOL) ||
	    (!result && !request.forwarded))
		return VERDICT_KERNEL;
	if (result)
		return error_refused(result);
	switch (icmp4_arrives(skb, false, &request)) {
	case NAT_INBOUND_SESSION:
		return hairpin_error_arrives(skb, port);
	case NAT_INBOUND_HOST:
		return VERDICT_NEIGHBOUR; /* the host has sent what it is about */
	default:
		return DROP(NAT_REWRITE);
	}
}

/* ---- The hook. */

/* Into the namespace; by the way that the kernel would take where the fast path is off. */
static __always_inline int hairpin_deliver(struct __sk_buff *skb, const struct nsr_endpoint *to,
					   u32 length)
{
	if (to->flags & NSR_PORT_FAST) {
		count_port_rx(to->port, length);
		return deliver(skb, to->ifindex);
	}
	TELL(DELIVERS, to->ifindex, 0, 0);
	INSTEAD(TC_ACT_REDIRECT);
	return bpf_redirect(to->ifindex, 0); /* nsr_port_out counts it */
}

static __always_inline int hairpin_translate(struct __sk_buff *skb, const struct nsr_port *port)
{
	struct packet p;
	bool fragment;
	int verdict;

	if (!packet_at(skb, &p, false))
		return DROP(MALFORMED);
	fragment = ip4_is_fragment(p.ip4);
	if (local_is_client(p.ip4->daddr))
		return p.ip4->protocol == IPPROTO_ICMP ? local_error(skb) : local_answer(skb);
	if (p.ip4->protocol == IPPROTO_ICMP)
		return hairpin_error(skb, port);
	if (ip4_is_later_fragment(p.ip4))
		return hairpin_later(skb, port);
	verdict = hairpin_leaves(skb, port);
	if (verdict == HAIRPIN_OPENS)
		verdict = hairpin_open(skb);
	if (verdict <= 0)
		return verdict;
	return fragment ? hairpin_first(skb, port, verdict) : hairpin_arrives(skb, port, verdict);
}

/* mtu: not 0, of the receiver for whom it is too large. */
static __always_inline int hairpin_drop(struct __sk_buff *skb, const struct nsr_port *port,
					int verdict, u32 mtu)
{
	int action = drop(skb, verdict, NSR_HOOK_PORT_IN);
	const struct nsr_uplink *uplink = hairpin_uplink(port);

	INSTEAD(action);
	if (!uplink || (!mtu && !is_refused(verdict)))
		return action;
	return refuse4(skb, address_of(uplink), false, mtu);
}

/* What hairpin_may_be() a hairpin. The program's action. */
NSR_STEP int port_hairpin(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex, length = skb->len;
	const struct nsr_port *port = bpf_map_lookup_elem(&ports, &ifindex);
	const struct nsr_endpoint *to = NULL;
	struct packet p;
	u32 mtu = 0;
	int verdict;

	if (!port)
		return TC_ACT_UNSPEC;
	verdict = hairpin_translate(skb, port);
	if (verdict > 0 && verdict & HAIRPIN_LARGE) {
		mtu = verdict & 0xffff;
		verdict = DROP(NAT_HAIRPIN);
	}
	if (verdict == HAIRPIN_AGAIN) {
		count_port_tx(port->index, length, VERDICT_NEIGHBOUR);
		return hairpin_again(skb, port);
	}
	if (verdict == VERDICT_PEER && packet_at(skb, &p, false))
		to = fib_host4(p.ip4->daddr);
	if (verdict == VERDICT_PEER && !to)
		verdict = DROP(NAT_HAIRPIN);
	count_port_tx(port->index, length, verdict);
	if (to)
		return hairpin_deliver(skb, to, length);
	if (verdict == VERDICT_NEIGHBOUR)
		return local_deliver(skb);
	return verdict < 0 ? hairpin_drop(skb, port, verdict, mtu) : TC_ACT_UNSPEC;
}

#endif
