/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * uplink.h - the steps of what leaves by an uplink and of what arrives there.
 */
#ifndef NSROUTE_BPF_UPLINK_H
#define NSROUTE_BPF_UPLINK_H

#include "address.h"
#include "direct4.h"
#include "events.h"
#include "except4.h"
#include "fragment.h"
#include "icmp.h"
#include "inner.h"
#include "options.h"
#include "other4.h"
#include "own.h"
#include "policy.h"
#include "rewrite.h"
#include "steps.h"
#include "tagged.h"
#include "trace.h"
#include "uplink6.h"

/* One on the stack is without padding: steps want all of it to be set. */
_Static_assert(sizeof(struct nat_request) == sizeof(struct nsr_flow) + 40, "padding");

/* A datagram or an echo request of the host's own, or the first segment of a connection, may meet a
 * mapping's. VERDICT_OWN: it is for own_out(). */
static __always_inline int own_leaves(struct __sk_buff *skb, u32 uplink, u32 slot, bool bare)
{
	const struct nsr_settings *settings = nat_settings();
	struct nat_request request = {};
	struct transport t = {};
	struct packet p;

	if (!settings || parse_as(skb, &p, bare) != PACKET_IPV4 || load_transport(skb, &p, &t) ||
	    !outbound_flow(settings, uplink, &p, &t, &request))
		return 0;
	if (t.protocol == NSR_NAT_ICMP)
		host_echo_note(&request);
	else if (share_host_any())
		return VERDICT_OWN;
	if (!transport_may_begin(t.protocol == NSR_NAT_TCP, t.tcp_flags) ||
	    !own_port_is_taken(slot, t.protocol, t.source))
		return 0;
	if (t.protocol != NSR_NAT_ICMP)
		return VERDICT_OWN;
	request.slot = slot;
	request.external = p.ip4->saddr;
	return own_begins(skb, &request);
}

NSR_STEP int uplink_own(struct __sk_buff *skb, u32 uplink, u32 slot)
{
	return own_leaves(skb, uplink, slot, false);
}

NSR_STEP int bare_own(struct __sk_buff *skb, u32 uplink, u32 slot)
{
	return own_leaves(skb, uplink, slot, true);
}

/* Of TCP, all but the first segment is told from it without that: it is most of what the host
 * sends. */
static __always_inline bool own_may_begin(const struct packet *p)
{
	const u8 *flags = (const u8 *)(p->ip4 + 1) + TCP_FLAG_BYTE;

	return p->ip4->protocol != IPPROTO_TCP || p->ip4->ihl != 5 ||
	       (void *)(flags + 1) > p->end || transport_may_begin(true, *flags) ||
	       share_host_any();
}

/* Whether what leaves has a session, whose address the uplink still has when the kernel is asked.
 * On its own, so that what it keeps on the stack is not there below other steps. */
static __noinline bool uplink_session(struct __sk_buff *skb, struct nat_request *request)
{
	struct nsr_session *session;
	struct session_view view;
	__be32 now;
	u32 state;

	session = session_find(&request->flow, request->now_s, false, &view, &state);
	if (!session)
		return false;
	now = address_ask(skb, skb->ifindex, NSR_MAPPING_SLOT(view.mapping),
			  request->flow.remote_address, request->now_s);
	return session_goes_on(session, state, address_fate_of(view.external, now), &view, request);
}

/* The external address for what an inside one begins, and its slot; 0: there is none. */
static __always_inline void uplink_choose(struct __sk_buff *skb, const struct nsr_uplink *uplink,
					  __be32 inside, __be32 dest, struct nat_request *request)
{
	request->slot = address_pair(uplink, inside);
	request->external = address_begin(skb, uplink, request->slot, dest, request->now_s);
}

/*
 * What an IPv4 packet that leaves by the uplink needs: a reason to drop it, or 0 and, when it is to
 * be translated, request->mapping; VERDICT_RARE is for uplink_out_rare(). A session is proof enough
 * that the source is inside; without one the prefixes decide.
 */
static __always_inline int uplink_translate(struct __sk_buff *skb, const struct nsr_uplink *uplink,
					    struct packet *p, struct transport *t,
					    struct nat_request *request)
{
	const struct nsr_settings *settings;
	u8 protocol = p->ip4->protocol;
	bool rare = protocol != IPPROTO_TCP && protocol != IPPROTO_UDP;
	__be32 source = p->ip4->saddr;
	const struct nsr_inside *inside;
	u32 slot = address_slot(uplink, source);
	int unfit;

	if (slot != NSR_SLOTS_MAX) {
		request->forwarded = port_translated(skb);
		if (rare && protocol != IPPROTO_ICMP)
			return VERDICT_RARE;
		if (!skb->ingress_ifindex && own_may_begin(p) &&
		    (p->bare ? bare_own(skb, uplink->index, slot)
			     : uplink_own(skb, uplink->index, slot)))
			return VERDICT_OWN;
		return rare ? VERDICT_RARE : 0;
	}
	settings = nat_settings();
	if (!settings)
		return DROP(NAT_SESSIONS);
	unfit = load_transport(skb, p, t);
	if (!unfit && !outbound_flow(settings, uplink->index, p, t, request))
		unfit = DROP(NAT_PROTOCOL);
	if (!unfit && uplink_session(skb, request))
		return 0;
	inside = inside_at4(skb, uplink->index, source);
	if (!inside) /* the host's own, from another of its addresses; or no concern of ours */
		return protocol == IPPROTO_ICMP ? VERDICT_RARE : 0;
	if (inside->uplink != uplink->index)
		return DROP(WRONG_UPLINK);
	if (inside->inbound)
		direct4_forget(skb, p->bare, uplink->index, source);
	if (unfit)
		return unfit == DROP(MALFORMED) ? unfit : VERDICT_RARE;
	if (inside->except) {
		unfit = except4_leaves(skb, p->bare, request);
		if (unfit != VERDICT_RARE)
			return drop_or_pass(unfit);
	}
	if (inside->inbound && t->protocol != NSR_NAT_ICMP) {
		unfit = direct4_leaves(skb, p->bare, request,
				       t->protocol == NSR_NAT_TCP &&
					       transport_may_begin(true, t->tcp_flags));
		if (unfit != VERDICT_RARE)
			return drop_or_pass(unfit);
	}
	request_limits(request, inside);
	uplink_choose(skb, uplink, source, request->flow.remote_address, request);
	if (uplink->flags & NSR_UPLINK_MORE4 && session_waits(request))
		return DROP(NAT_CLOSED); /* uplink_session() has asked about it */
	if (t->tcp_flags & TCP_RST)
		return request->external ? session_reset(skb, request) : DROP(NAT_STATE);
	return request->external ? session_open_or_join(skb, request) : DROP(NAT_CLOSED);
}

/* Options of what is translated: those that would show where it has been are written over. False:
 * it has a source route, or they cannot be. */
static __always_inline bool uplink_hide(struct __sk_buff *skb, struct packet *p)
{
	u32 link = packet_link(p);
	int does = options_do(skb, link);

	if (does & OPTION_ROUTES || (does && options_erase(skb, link)))
		return false;
	return parse_as(skb, p, p->bare) == PACKET_IPV4;
}

static __always_inline int uplink_masquerade(struct __sk_buff *skb, const struct nsr_uplink *uplink,
					     struct packet *p, struct nat_request *request)
{
	struct transport t = {};
	int verdict = uplink_translate(skb, uplink, p, &t, request);

	if (verdict || !request->mapping)
		return verdict;
	if (p->ip4->ihl != 5 && !uplink_hide(skb, p))
		verdict = DROP(IP_OPTIONS);
	else
		verdict = rewrite_endpoint4(skb, p, &t, true, request->external,
					    bpf_htons(NSR_MAPPING_PORT(request->mapping)));
	if (!verdict && ip4_is_fragment(p->ip4))
		verdict = fragment4_renumber(skb, p->bare, uplink->index,
					     request->flow.inside.address,
					     NSR_MAPPING_SLOT(request->mapping));
	if (verdict)
		direct4_forget(skb, p->bare, uplink->index, request->flow.inside.address);
	return verdict;
}

static __always_inline int uplink_tagged(struct __sk_buff *skb)
{
	return drop_or_pass(tagged_judge(skb));
}

/* Whether a packet that cannot be judged has an inside address where its source should be. */
static __always_inline bool leaks_malformed(struct __sk_buff *skb, const struct packet *p)
{
	__be16 protocol = p->bare ? skb->protocol : frame_protocol(p->eth);
	const struct iphdr *ip4 = (void *)p->eth + packet_link(p);
	const struct ipv6hdr *ip6 = (void *)p->eth + packet_link(p);

	if ((void *)(ip4 + 1) > p->end)
		return false;
	if (protocol == bpf_htons(ETH_P_IP))
		return inside_of4(ip4->saddr);
	if (protocol != bpf_htons(ETH_P_IPV6) || (void *)(ip6 + 1) > p->end)
		return false;
	return inside_of6(&ip6->saddr);
}

/* ARP asks in the name of the packet that waits for the answer, which may be the host's own with
 * the gateway's address: then it asks in the uplink's. 0 or a reason to drop. */
static __always_inline int uplink_ask(struct __sk_buff *skb, const struct nsr_uplink *uplink,
				      struct packet *p)
{
	__be32 sender, address = address_of(uplink);

	__builtin_memcpy(&sender, p->arp->sender, sizeof(sender));
	if (!inside_at4(skb, uplink->index, sender))
		return 0;
	if (!address)
		return DROP(NAT_PROTOCOL);
	__builtin_memcpy(p->arp->sender, &address, sizeof(sender));
	return 0;
}

/* What is no proper IPv4 packet, but would show an inside address to the outside: 0 or the reason
 * to drop it. */
static __always_inline int uplink_leaks(struct __sk_buff *skb, const struct nsr_uplink *uplink,
					struct packet *p, enum packet_kind kind)
{
	switch (kind) {
	case PACKET_MALFORMED:
		return leaks_malformed(skb, p) ? DROP(MALFORMED) : 0;
	case PACKET_IPV6:
		return uplink6_leaves(skb, uplink, p, false);
	case PACKET_ARP:
		return uplink_ask(skb, uplink, p);
	default:
		return uplink_tagged(skb);
	}
}

/* Of a packet without an Ethernet header. */
NSR_STEP int bare_leaks_malformed(struct __sk_buff *skb)
{
	struct packet p;

	return load_as(skb, &p, true) == PACKET_MALFORMED && leaks_malformed(skb, &p)
		       ? DROP(MALFORMED)
		       : 0;
}

/* uplink_leaks() of it. What makes a tail call is no step: its program's caller would go on. */
static __always_inline int bare_leaks(struct __sk_buff *skb, const struct nsr_uplink *uplink,
				      const struct packet *p, enum packet_kind kind)
{
	if (kind == PACKET_IPV6)
		return uplink6_leaves(skb, uplink, p, true);
	return drop_or_pass(bare_leaks_malformed(skb));
}

/* Whom an IPv4 packet that arrives at the external address of request->slot is for;
 * NAT_INBOUND_SESSION: translate. */
static __always_inline enum nat_inbound uplink_classify(struct __sk_buff *skb, struct packet *p,
							struct transport *t,
							struct nat_request *request)
{
	const struct nsr_settings *settings = nat_settings();
	__be32 source = p->ip4->saddr, dest = p->ip4->daddr;
	enum nat_inbound whom;
	int unfit;

	if (ip4_is_fragment(p->ip4))
		return NAT_INBOUND_RARE;
	if (!settings)
		return NAT_INBOUND_HOST;
	unfit = load_transport(skb, p, t);
	if (unfit)
		return unfit == DROP(NAT_PROTOCOL) ? NAT_INBOUND_RARE : NAT_INBOUND_HOST;
	if (t->protocol == NSR_NAT_ICMP && t->icmp_type != ICMP_ECHO_REPLY)
		return NAT_INBOUND_RARE;
	request->flow.inside.protocol = t->protocol;
	request->flow.remote_address = source;
	request->flow.remote_port = t->protocol == NSR_NAT_ICMP ? 0 : t->source;
	request->seen = seen_by(false, t->protocol, t->tcp_flags);
	request->now_s = nat_now_s(settings);
	request->external = dest;
	whom = nat_in_outside(skb, request, t->dest);
	if (whom == NAT_INBOUND_RARE)
		return whom;
	TELL(INBOUND, whom, 0, 0);
	return whom;
}

/* What is not for a session: the host's own, unless it is refused. To the external address source
 * may be 0: only what the kernel could forward can come back as an inside host's. */
static __always_inline int uplink_judge(struct __sk_buff *skb, u32 uplink, enum nat_inbound whom,
					__be32 source, __be32 dest)
{
	int refused = inbound_refused(whom);

	if (refused < 0)
		return refused;
	if (inside_at4(skb, uplink, dest))
		return DROP(INBOUND);
	return source && inside_at4(skb, uplink, source) ? DROP(SPOOFED_ADDRESS) : VERDICT_KERNEL;
}

/* An Ethernet header for a packet that came without, because a namespace's interface wants one.
 * False: the packet is as it was. */
static __always_inline bool uplink_add_header(struct __sk_buff *skb, struct packet *p)
{
	bool added = !bpf_skb_change_head(skb, sizeof(struct ethhdr), 0);
	void *data = (void *)(long)skb->data;

	p->end = (void *)(long)skb->data_end;
	p->eth = data;
	p->ip4 = data + (added ? sizeof(struct ethhdr) : 0);
	if ((void *)(p->ip4 + 1) > p->end)
		return false;
	if (added)
		p->eth->h_proto = bpf_htons(ETH_P_IP);
	return added;
}

/* Delivers what was translated, or leaves it to the kernel, translated. */
static __always_inline int uplink_deliver(struct __sk_buff *skb, struct packet *p,
					  const struct nsr_endpoint **ret_to)
{
	const struct nsr_endpoint *to = fib_host4(p->ip4->daddr);

	TELL_ENDPOINT(ROUTED, to);
	TELL_UNFIT_HEADER(p, false, NSR_PORT_FAST);
	TELL_UNFIT_ENDPOINT(skb, to, false);
	if (!to || p->ip4->ttl <= 1 || p->ip4->ihl != 5 ||
	    !(p->bare ? endpoint_takes_bare(skb, to) && uplink_add_header(skb, p)
		      : endpoint_takes(skb, p->length, to)))
		return VERDICT_KERNEL;
	rewrite_ttl4(p->ip4);
	rewrite_macs(p->eth, to->mac, to->gateway_mac);
	*ret_to = to;
	return VERDICT_PEER;
}

/* Bytes that a packet for a namespace gets on the way. */
static __always_inline u32 uplink_adds(bool bare)
{
	return bare ? sizeof(struct ethhdr) : 0;
}

static __always_inline int uplink_drop(struct __sk_buff *skb, int verdict, u32 hook, bool bare)
{
	return drop(skb, verdict, bare ? hook | EVENT_BARE : hook);
}

/* The end of what arrives: it is dropped, left to the kernel, or delivered to the namespace it is
 * for. length: as it arrived. translated: for the counters. */
static __always_inline int uplink_arrived(struct __sk_buff *skb, const struct nsr_uplink *uplink,
					  const struct nsr_endpoint *to, int verdict, u32 length,
					  bool bare, bool translated)
{
	count_uplink_rx(uplink->index, length, verdict, translated);
	if (verdict < 0)
		return uplink_drop(skb, verdict, NSR_HOOK_UPLINK_IN, bare);
	if (!to)
		return TC_ACT_UNSPEC;
	count_port_rx(to->port, length + uplink_adds(bare));
	return deliver(skb, to->ifindex);
}

/* ---- TCP and UDP of the host's own, where any of it leaves from another port: see own.h. In
 * programs of their own. */

/* What own_translate() says of the packet, and it is done. */
static __always_inline int own_out(struct __sk_buff *skb, bool bare)
{
	u32 ifindex = skb->ifindex, length = skb->len;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	const struct nsr_settings *settings = nat_settings();
	struct nat_request request = {};
	struct transport t = {};
	struct packet p;
	int verdict = 0;

	if (!uplink)
		return TC_ACT_UNSPEC;
	if (settings && parse_as(skb, &p, bare) == PACKET_IPV4 && !load_transport(skb, &p, &t) &&
	    outbound_flow(settings, uplink->index, &p, &t, &request) &&
	    (request.slot = address_slot(uplink, p.ip4->saddr)) != NSR_SLOTS_MAX) {
		request.external = p.ip4->saddr;
		own_translate(skb, &request,
			      transport_may_begin(t.protocol == NSR_NAT_TCP, t.tcp_flags));
		if (request.mapping)
			verdict = rewrite_endpoint4(skb, &p, &t, true, request.external,
						    bpf_htons(NSR_MAPPING_PORT(request.mapping)));
	}
	count_uplink_tx(uplink->index, length, verdict, request.mapping);
	return verdict < 0 ? uplink_drop(skb, verdict, NSR_HOOK_UPLINK_OUT, bare) : TC_ACT_UNSPEC;
}

/* Where the program that has own_out() is not there: it passes. */
NSR_STEP int own_passes(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);

	if (uplink)
		count_uplink_tx(uplink->index, skb->len, VERDICT_KERNEL, false);
	return TC_ACT_UNSPEC;
}

/* ---- What is rare: all steps, off the hot path. Each returns the program's action. Either kind of
 * uplink has its own, so that "bare" is a constant: asked for at run time it would need more of the
 * stack than the calls leave. */

/* The external address that source is, or has; 0: none. */
static __always_inline void rare_external(const struct nsr_uplink *uplink, __be32 source,
					  struct nat_request *request)
{
	u32 slot = address_slot(uplink, source);

	request->slot = slot == NSR_SLOTS_MAX ? address_pair(uplink, source) : slot;
	request->external = address_at(uplink, request->slot);
}

/* Of a protocol that has ports. */
static __always_inline int out_rare_packet(struct __sk_buff *skb, bool bare,
					   struct nat_request *request, const struct packet *p)
{
	bool later = ip4_is_later_fragment(p->ip4);
	int verdict = except4_rare(skb, bare, request);

	if (verdict == VERDICT_RARE)
		verdict = direct4_rare(skb, bare, request);
	if (verdict != VERDICT_RARE)
		return drop_or_pass(verdict);
	return later ? fragment4_leaves(skb, bare, request) : icmp4_leaves(skb, bare, request);
}

/* Later fragments, ICMP packets that are no echo of a session's, and protocols without ports. */
static __always_inline int out_rare(struct __sk_buff *skb, bool bare)
{
	u32 ifindex = skb->ifindex, length = skb->len;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	const struct nsr_settings *settings = nat_settings();
	struct nat_request request = {};
	struct packet p;
	int verdict;

	if (!uplink)
		return TC_ACT_UNSPEC;
	request.flow.inside.uplink = uplink->index;
	request.now_s = settings ? nat_now_s(settings) : 0;
	if (parse_as(skb, &p, bare) != PACKET_IPV4) {
		verdict = DROP(MALFORMED); /* it was one before */
	} else {
		rare_external(uplink, p.ip4->saddr, &request);
		/* Without ports nothing is translated before it is here: it is the host's. */
		if (p.ip4->saddr == request.external && protocol_has_ports(p.ip4->protocol))
			request.forwarded = port_translated(skb);
		if (!protocol_has_ports(p.ip4->protocol))
			verdict = other4_leaves(skb, bare, &request);
		else
			verdict = out_rare_packet(skb, bare, &request, &p);
	}
	/* An ICMP error has been looked at. */
	if (!verdict && request.forwarded && options_do(skb, link_bytes(bare)))
		verdict = DROP(IP_OPTIONS);
	count_uplink_tx(uplink->index, length, verdict, request.forwarded);
	return verdict < 0 ? uplink_drop(skb, verdict, NSR_HOOK_UPLINK_OUT, bare) : TC_ACT_UNSPEC;
}

NSR_STEP int uplink_out_rare(struct __sk_buff *skb)
{
	return out_rare(skb, false);
}

NSR_STEP int bare_out_rare(struct __sk_buff *skb)
{
	return out_rare(skb, true);
}

/* TCP or UDP to a port that has been mapped, while the host has flows of another port: nat_in(). */
NSR_STEP int unmapped4_arrives(struct __sk_buff *skb, bool bare, struct nat_request *request)
{
	struct transport t = {};
	struct packet p;
	int whom;

	if (!request || parse_as(skb, &p, bare) != PACKET_IPV4 || load_transport(skb, &p, &t))
		return NAT_INBOUND_HOST;
	request->flow.inside.protocol = t.protocol;
	request->flow.remote_address = p.ip4->saddr;
	request->flow.remote_port = t.source;
	whom = nat_in_unmapped(request, t.dest);
	TELL(INBOUND, whom, 0, 0);
	return whom;
}

/* Fragments, ICMP packets that are no echo reply, protocols without ports, and unmapped4_arrives().
 */
static __always_inline int in_rare(struct __sk_buff *skb, bool bare)
{
	u32 ifindex = skb->ifindex, length = skb->len;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	const struct nsr_settings *settings = nat_settings();
	const struct nsr_endpoint *to = NULL;
	struct nat_request request = {};
	enum packet_kind kind;
	enum nat_inbound whom;
	bool routed;
	struct packet p;
	int verdict;

	if (!uplink)
		return TC_ACT_UNSPEC;
	request.flow.inside.uplink = uplink->index;
	request.now_s = settings ? nat_now_s(settings) : 0;
	routed = options_do(skb, link_bytes(bare)) & OPTION_ROUTES;
	kind = parse_as(skb, &p, bare);
	if (kind == PACKET_IPV4)
		rare_external(uplink, p.ip4->daddr, &request);
	if (routed || kind != PACKET_IPV4)
		whom = NAT_INBOUND_HOST;
	else if (!protocol_has_ports(p.ip4->protocol))
		whom = other4_arrives(skb, bare, &request);
	else if (ip4_is_fragment(p.ip4))
		whom = fragment4_arrives(skb, bare, &request, p.ip4);
	else if (p.ip4->protocol == IPPROTO_ICMP)
		whom = icmp4_arrives(skb, bare, &request);
	else
		whom = unmapped4_arrives(skb, bare, &request);
	if (whom == NAT_INBOUND_HELD)
		return TC_ACT_STOLEN; /* counted when it goes on */
	if (routed)
		verdict = DROP(IP_OPTIONS);
	else if (whom == NAT_INBOUND_SESSION)
		verdict = parse_as(skb, &p, bare) == PACKET_IPV4 ? uplink_deliver(skb, &p, &to)
								 : DROP(NAT_REWRITE);
	else
		verdict = uplink_judge(skb, uplink->index, whom, 0, 0);
	return uplink_arrived(skb, uplink, to, verdict, length, bare, whom == NAT_INBOUND_SESSION);
}

NSR_STEP int uplink_in_rare(struct __sk_buff *skb)
{
	return in_rare(skb, false);
}

NSR_STEP int bare_in_rare(struct __sk_buff *skb)
{
	return in_rare(skb, true);
}

#endif
