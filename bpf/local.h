/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * local.h - what the host itself sends to a published port: to the external address of an uplink,
 * or to the loopback address, where a port may be published for the host alone.
 *
 * The kernel keeps such packets on the loopback interface. A program at its hook on the way out
 * takes those that are for a published port, translates them as if they came in from outside, and
 * puts them into the namespace. All others pass, and so does what came in by another interface: it
 * is what goes back to the host from here.
 *
 * What the host sends from the external address keeps its source. The namespace answers to that
 * address, as it does to a neighbour that came by hairpin; where no namespace but the host has the
 * port, the answer gets the published port as its source, and goes to the loopback interface.
 *
 * The loopback interface is an uplink of its own, which nothing masquerades to: its addresses are
 * 127.0.0.1 and, where something is published there, ::1; its pools have what is published there.
 * Nobody can answer to those, so the namespace sees a client (client.h) in their place, which
 * stands for nothing else: ports need no translation, and no state but the session.
 *
 * Answers are handed to the kernel at the loopback interface's output, with a route of the
 * kernel's: on their way in by any interface it would refuse them for their source, an address of
 * its own.
 */
#ifndef NSROUTE_BPF_LOCAL_H
#define NSROUTE_BPF_LOCAL_H

#include "address.h"
#include "client.h"
#include "icmp.h"
#include "rewrite.h"
#include "steps.h"
#include "trace.h"
#include "uplink.h"

/* A packet that has a session, if any has. */
static __always_inline bool local_load(struct __sk_buff *skb, struct packet *p, struct transport *t)
{
	return parse(skb, p) == PACKET_IPV4 && p->ip4->ihl == 5 && !ip4_is_fragment(p->ip4) &&
	       !load_transport(skb, p, t) && t->protocol != NSR_NAT_ICMP;
}

/* As uplink_at(), for who asks of all slots: most are nobody's, and end with the first look-up. */
static __always_inline const struct nsr_uplink *local_uplink_at(u32 slot)
{
	u32 *entry = bpf_map_lookup_elem(&uplink_by_index, &slot), ifindex;

	if (!entry || !*entry)
		return NULL;
	ifindex = *entry;
	return bpf_map_lookup_elem(&uplinks, &ifindex);
}

/* The slot of an address that an uplink translates to; NSR_SLOTS_MAX: none does. */
NSR_STEP u32 local_slot(__be32 address)
{
	const struct nsr_uplink *uplink = local_loopback();
	u32 slot;

	if (uplink && uplink->address4 == address)
		return uplink->index;
#pragma unroll
	for (slot = 0; slot < NSR_SLOTS_MAX; slot++) {
		uplink = local_uplink_at(slot);
		if (uplink && address_at(uplink, slot) == address)
			return slot;
	}
	return NSR_SLOTS_MAX;
}

/* Into the namespace, whose answers come by port_hairpin(). */
static __always_inline int local_rewrite(struct __sk_buff *skb, struct packet *p,
					 const struct transport *t,
					 const struct nat_request *request)
{
	const struct nsr_endpoint *to = fib_host4(request->flow.inside.address);
	const struct nsr_uplink *loopback = local_loopback();

	TELL_ENDPOINT(ROUTED, to);
	if (!to || !endpoint_takes_large(skb, to))
		return DROP(NAT_HAIRPIN);
	if (rewrite_endpoint4(skb, p, t, false, request->flow.inside.address,
			      request->flow.inside.port))
		return DROP(NAT_REWRITE);
	if (loopback && loopback->index == request->flow.inside.uplink &&
	    rewrite_endpoint4(skb, p, t, true, bpf_htonl(NSR_LOOPBACK_CLIENT), t->source))
		return DROP(NAT_REWRITE);
	rewrite_macs(p->eth, to->mac, to->gateway_mac);
	return VERDICT_PEER;
}

/* Whether a packet is between an address of an uplink and itself, or two of the same uplink: then
 * the answer is known by where it goes. Of a secondary address the kernel says so itself: it
 * prefers the primary one as source. */
static __always_inline bool local_is_between(const struct nsr_uplink *uplink,
					     const struct iphdr *ip)
{
	u32 slot;

	if (ip->saddr == ip->daddr)
		return true;
	slot = address_slot(uplink, ip->saddr);
	return slot != NSR_SLOTS_MAX && address_at(uplink, slot) == ip->saddr;
}

/* What the host sends to itself: VERDICT_KERNEL, a reason to drop, or VERDICT_PEER when it is for a
 * namespace, and has been translated. */
NSR_STEP int local_leaves(struct __sk_buff *skb)
{
	const struct nsr_settings *settings = nat_settings();
	struct nat_request request;
	struct transport t = {};
	enum nat_inbound whom;
	const struct nsr_uplink *uplink;
	struct packet p;
	u32 slot;

	if (!settings || !local_load(skb, &p, &t))
		return VERDICT_KERNEL;
	slot = local_slot(p.ip4->daddr);
	uplink = slot < NSR_SLOTS_MAX ? uplink_at(slot) : NULL;
	if (!uplink || !local_is_between(uplink, p.ip4))
		return VERDICT_KERNEL;
	if (!mapping_is_published(NSR_MAPPING(NSR_POOL(slot, t.protocol), bpf_ntohs(t.dest))))
		return VERDICT_KERNEL;
	request_begin(&request);
	request.flow.inside.protocol = t.protocol;
	request.flow.inside.uplink = uplink->index;
	request.slot = slot;
	request.flow.remote_address = p.ip4->saddr;
	request.flow.remote_port = t.source;
	request.seen = seen_by(false, t.protocol, t.tcp_flags);
	request.now_s = nat_now_s(settings);
	request.external = p.ip4->daddr;
	whom = nat_in(skb, &request, t.dest);
	TELL(INBOUND, whom, 0, 0);
	if (whom != NAT_INBOUND_SESSION)
		return whom == NAT_INBOUND_HOST ? VERDICT_KERNEL
						: uplink_judge(skb, uplink->index, whom, 0, 0);
	return local_rewrite(skb, &p, &t, &request);
}

/* The answer of a published port to the host's external address: as from that port. */
static __always_inline int local_return(struct __sk_buff *skb, struct packet *p,
					const struct transport *t, __be32 external, u32 mapping)
{
	if (rewrite_endpoint4(skb, p, t, true, external, bpf_htons(NSR_MAPPING_PORT(mapping))))
		return DROP(NAT_REWRITE);
	return VERDICT_NEIGHBOUR;
}

/* The answer to what stands for the host's loopback address. There is nothing else there, so what
 * belongs to no session ends here. VERDICT_NEIGHBOUR: it has been translated. */
NSR_STEP int local_answer(struct __sk_buff *skb)
{
	const struct nsr_settings *settings = nat_settings();
	const struct nsr_uplink *loopback = local_loopback();
	struct nat_request request;
	struct transport t = {};
	struct packet p;

	if (!settings || !loopback || !local_load(skb, &p, &t))
		return DROP(NAT_STATE);
	request_begin(&request);
	if (!outbound_flow(settings, loopback->index, &p, &t, &request))
		return DROP(NAT_STATE);
	request.flow.remote_address = loopback->address4;
	request.external = loopback->address4;
	request.slot = loopback->index;
	if (!session_use(&request.flow, &request))
		return DROP(NAT_STATE);
	if (rewrite_endpoint4(skb, &p, &t, false, loopback->address4, t.dest))
		return DROP(NAT_REWRITE);
	return local_return(skb, &p, &t, loopback->address4, request.mapping);
}

/* An error about what came from there quotes it as its sender. Changed only if it is about a
 * session. */
NSR_STEP int local_error_client(struct __sk_buff *skb, const struct nsr_uplink *loopback, u32 now_s)
{
	struct session_view view;
	struct nsr_flow flow = {};
	struct quote q = {};
	struct packet p;
	u32 state;

	if (!loopback || parse(skb, &p) != PACKET_IPV4 ||
	    !is_translated_error(icmp4_type(skb, &p)) || !quote_read(skb, &p, &q) ||
	    !quote_read_transport(skb, &q) || q.ip.saddr != bpf_htonl(NSR_LOOPBACK_CLIENT))
		return DROP(NAT_STATE);
	flow.inside.address = q.ip.daddr;
	flow.inside.port = q.transport.dest;
	flow.inside.protocol = q.transport.protocol;
	flow.inside.uplink = loopback->index;
	flow.remote_address = loopback->address4;
	flow.remote_port = q.transport.source;
	if (!session_peek(&flow, now_s, &view, &state))
		return DROP(NAT_STATE);
	return quote_rewrite(skb, &q, true, loopback->address4, q.transport.source)
		       ? DROP(NAT_REWRITE)
		       : icmp4_readdress(skb, false, false, loopback->address4);
}

/* ICMP to what stands for the host's loopback address: an error about a session, or dropped. */
NSR_STEP int local_error(struct __sk_buff *skb)
{
	const struct nsr_settings *settings = nat_settings();
	const struct nsr_uplink *loopback = local_loopback();
	struct nat_request request = {};
	int result;

	if (!settings || !loopback)
		return DROP(NAT_STATE);
	request.external = loopback->address4;
	request.slot = loopback->index;
	request.flow.inside.uplink = loopback->index;
	request.now_s = nat_now_s(settings);
	result = local_error_client(skb, loopback, request.now_s);
	if (result)
		return result;
	result = icmp4_leaves(skb, false, &request);
	return result ? error_refused(result) : VERDICT_NEIGHBOUR;
}

/* To the host, by its loopback interface, which leaves the packet type as it was at the host's end:
 * that of a bridge's port takes its frames for others'. */
static __always_inline int local_deliver(struct __sk_buff *skb)
{
	TELL(DELIVERS, LOOPBACK_IFINDEX, 0, 0);
	INSTEAD(TC_ACT_REDIRECT);
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_neigh(LOOPBACK_IFINDEX, NULL, 0, 0);
}

/* What leaves by the loopback interface. The program's action. */
static __always_inline int local_out(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex, length = skb->len;
	const struct nsr_uplink *loopback = bpf_map_lookup_elem(&uplinks, &ifindex);
	const struct nsr_endpoint *to = NULL;
	int verdict = VERDICT_KERNEL;
	struct packet p;

	if (!loopback)
		return TC_ACT_UNSPEC;
	if (!skb->ingress_ifindex) {
		if (skb->protocol == bpf_htons(ETH_P_IPV6))
			to_program6(skb, NSR_PROGRAM6_LOCAL); /* not there: the host's own */
		verdict = local_leaves(skb);
	}
	if (verdict == VERDICT_PEER && packet_at(skb, &p, false))
		to = fib_host4(p.ip4->daddr);
	if (verdict == VERDICT_PEER && !to)
		verdict = DROP(NAT_HAIRPIN);
	count_uplink_tx(loopback->index, length, verdict, to);
	if (!to)
		return verdict < 0 ? drop(skb, verdict, NSR_HOOK_UPLINK_OUT) : TC_ACT_UNSPEC;
	TELL(DELIVERS, to->ifindex, 0, 0);
	INSTEAD(TC_ACT_REDIRECT);
	return bpf_redirect(to->ifindex, 0); /* nsr_port_out counts it */
}

#endif
