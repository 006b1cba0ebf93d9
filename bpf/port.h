/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * port.h - the steps of what a namespace sends: judged, then switched, routed, or left to the
 * kernel.
 */
#ifndef NSROUTE_BPF_PORT_H
#define NSROUTE_BPF_PORT_H

#include "policy.h"
#include "rewrite.h"
#include "steps.h"
#include "trace.h"

/* Where a port's packet goes. */
struct route {
	const struct nsr_endpoint *to; /* VERDICT_PEER */
	struct bpf_fib_lookup *lookup; /* VERDICT_NEIGHBOUR */
	bool routed;                   /* not switched: TTL and MACs change */
	/* VERDICT_NEIGHBOUR, when the flow has a session: it is translated at once. */
	struct transport transport;
	__be32 external;
	u32 mapping; /* 0: the uplink's hook translates */
};

/* Whether the uplink's hook will take a source for one that it masquerades. A port's own first
 * address always is. */
static __always_inline bool masqueraded4(const struct nsr_port *port, __be32 address)
{
	const struct nsr_inside *inside;

	if (address == port->address4)
		return true;
	inside = inside_of4(address);
	return inside && inside->uplink + 1 == port->uplink;
}

static __always_inline bool masqueraded6(const struct nsr_port *port, const void *address)
{
	const struct nsr_inside *inside = inside_of6(address);

	return inside && inside->uplink + 1 == port->uplink;
}

/* Rules of the kernel's FIB may ask for ports. */
static __always_inline void lookup_ports(struct bpf_fib_lookup *lookup, const struct packet *p)
{
	struct udphdr *ports = (void *)(p->ip4 + 1); /* TCP's are where UDP's are */

	if (p->ip4->ihl != 5 || ip4_is_fragment(p->ip4) || (void *)(ports + 1) > p->end ||
	    (p->ip4->protocol != IPPROTO_TCP && p->ip4->protocol != IPPROTO_UDP))
		return;
	lookup->sport = ports->source;
	lookup->dport = ports->dest;
}

static __always_inline enum fib_way way_outside(struct __sk_buff *skb, const struct nsr_port *port,
						const struct packet *p, bool ipv6,
						struct bpf_fib_lookup *lookup)
{
	if (ipv6) {
		lookup->family = ADDRESS_FAMILY_IPV6;
		__builtin_memcpy(lookup->ipv6_src, &p->ip6->saddr, 16);
		__builtin_memcpy(lookup->ipv6_dst, &p->ip6->daddr, 16);
	} else {
		lookup->family = ADDRESS_FAMILY_IPV4;
		lookup->tos = p->ip4->tos;
		lookup->l4_protocol = p->ip4->protocol;
		lookup->ipv4_src = p->ip4->saddr;
		lookup->ipv4_dst = p->ip4->daddr;
		lookup_ports(lookup, p);
	}
	/* Where only the kernel can tell what it is cut into: the route's MTU is asked for. */
	return fib_outside(skb, port, lookup,
			   skb->gso_size ? gso_segment(skb) : skb->len - sizeof(struct ethhdr));
}

/* A masqueraded network's packet to the outside: policy first, by the kernel's own FIB. */
static __always_inline int port_outside(struct __sk_buff *skb, const struct nsr_port *port,
					const struct packet *p, bool ipv6, struct route *route)
{
	enum fib_way way = way_outside(skb, port, p, ipv6, route->lookup);

	TELL(FIB, way, route->lookup->ifindex | (u64)route->lookup->mtu_result << 32,
	     route->lookup->ipv4_dst);
	if (way == FIB_KERNEL)
		return VERDICT_KERNEL;
	if (way == FIB_ELSEWHERE)
		return DROP(WRONG_UPLINK);
	if (ipv6 ? !masqueraded6(port, &p->ip6->saddr) : !masqueraded4(port, p->ip4->saddr))
		return DROP(NOT_INSIDE);
	TELL_UNFIT_HEADER(p, ipv6, port->flags);
	/* IPv6 is not masqueraded: the uplink's hook refuses it, whichever way it comes. */
	if (way == FIB_UPLINK_KERNEL || ipv6 || p->ip4->ihl != 5 || p->ip4->ttl <= 1 ||
	    !(port->flags & NSR_PORT_FAST) ||
	    !packet_fits(skb, route->lookup->ifindex, route->lookup->mtu_result))
		return VERDICT_KERNEL;
	route->routed = true;
	return VERDICT_NEIGHBOUR;
}

/*
 * What belongs to a session and went by its uplink within this second goes there again, translated
 * here: the uplink's hook lets the external address pass. Everything else asks the FIB, and leaves
 * the answer with the session.
 */
static __always_inline int port_masquerade(struct __sk_buff *skb, const struct nsr_port *port,
					   const struct packet *p, struct route *route)
{
	const struct nsr_settings *settings = nat_settings();
	struct nsr_session *session = NULL;
	struct nat_request request = {};
	struct session_view view;
	u32 state = 0, slot = port->uplink - 1;
	u32 *uplink;
	int verdict;

	if (settings && p->ip4->ihl == 5 && p->ip4->ttl > 1 && port->flags & NSR_PORT_FAST &&
	    !ip4_is_fragment(p->ip4) && !transport_parse(p, &route->transport) &&
	    outbound_flow(settings, slot, p, &route->transport, &request))
		session = session_find(settings, &request.flow, request.now_s, &view, &state);
	if (!session)
		return port_outside(skb, port, p, false, route);
	uplink = bpf_map_lookup_elem(&uplink_by_index, &slot);
	if (uplink && *uplink && view.route_tag == NSR_ROUTE_TAG(request.now_s, state) &&
	    packet_fits(skb, *uplink, view.mtu)) {
		TELL(REMEMBERED, *uplink, view.mtu, view.next_hop);
		session_seen(session, request.seen, request.now_s);
		route->lookup->family = ADDRESS_FAMILY_IPV4;
		route->lookup->ifindex = *uplink;
		route->lookup->ipv4_dst = view.next_hop;
		route->external = view.external;
		route->mapping = view.mapping;
		route->routed = true;
		return VERDICT_NEIGHBOUR;
	}
	verdict = port_outside(skb, port, p, false, route);
	if (verdict == VERDICT_NEIGHBOUR && route->lookup->family == ADDRESS_FAMILY_IPV4)
		session_keep_route(session, route->lookup->ipv4_dst, route->lookup->mtu_result,
				   NSR_ROUTE_TAG(request.now_s, state));
	return verdict;
}

/* Sources and destinations that a router has its own rules for. */
static __always_inline bool is_special(const struct packet *p, bool ipv6)
{
	return ipv6 ? ip6_is_special(&p->ip6->saddr) || ip6_is_special(&p->ip6->daddr)
		    : ip4_is_special(p->ip4->saddr) || ip4_is_special(p->ip4->daddr);
}

/* Back where it came from. A bridge leads to all of its network; without one the port is itself
 * what the kernel would route to. */
static __always_inline bool turns_back(const struct __sk_buff *skb, const struct nsr_port *port,
				       const struct nsr_endpoint *to)
{
	if (port->gateway_ifindex == skb->ifindex)
		return to->ifindex == skb->ifindex;
	return to->network == port->network;
}

static __always_inline int port_route(struct __sk_buff *skb, const struct nsr_port *port,
				      const struct packet *p, bool ipv6, struct route *route)
{
	u8 hops = ipv6 ? p->ip6->hop_limit : p->ip4->ttl;
	bool plain = ipv6 ? p->ip6->nexthdr != IPPROTO_HOPOPTS || ip6_is_big_tcp(p, skb->len)
			  : p->ip4->ihl == 5;

	route->to = ipv6 ? fib_host6(&p->ip6->daddr) : fib_host4(p->ip4->daddr);
	TELL_ENDPOINT(ROUTED, route->to);
	if (route->to &&
	    policy_isolates(port->network, port->flags, route->to->network, route->to->flags))
		return DROP(ISOLATED);
	TELL_UNFIT(SPECIAL, is_special(p, ipv6));
	if (is_special(p, ipv6))
		return VERDICT_KERNEL;
	if (!route->to)
		return !port->uplink ? VERDICT_KERNEL
		       : ipv6        ? port_outside(skb, port, p, true, route)
				     : port_masquerade(skb, port, p, route);
	TELL_UNFIT_HEADER(p, ipv6, port->flags);
	TELL_UNFIT_ENDPOINT(skb, route->to, turns_back(skb, port, route->to));
	/* A router answers these: too old, options, too large, or back where it came from. */
	if (hops <= 1 || !plain || turns_back(skb, port, route->to) ||
	    !(port->flags & NSR_PORT_FAST) || !endpoint_takes(skb, route->to))
		return VERDICT_KERNEL;
	route->routed = true;
	return VERDICT_PEER;
}

static __always_inline int port_switch(struct __sk_buff *skb, const struct nsr_port *port,
				       const struct packet *p, struct route *route)
{
	route->to = fib_switch(port, p);
	TELL_ENDPOINT(SWITCHED, route->to);
	TELL_UNFIT(NOT_FAST, !(port->flags & NSR_PORT_FAST));
	TELL_UNFIT_ENDPOINT(skb, route->to, route->to->ifindex == skb->ifindex);
	if (!route->to || route->to->ifindex == skb->ifindex || !(port->flags & NSR_PORT_FAST) ||
	    !endpoint_takes(skb, route->to))
		return VERDICT_KERNEL;
	return VERDICT_PEER;
}

static __always_inline int port_judge(struct __sk_buff *skb, const struct nsr_port *port,
				      struct packet *p, struct route *route)
{
	enum packet_kind kind = load(skb, p);
	int refused = policy_judge(skb, port, p, kind);

	TELL(PARSED, kind, port->index, port->flags);
	TELL(POLICY, refused, 0, 0);
	if (refused)
		return refused;
	TELL_UNFIT(NOT_IP, kind != PACKET_IPV4 && kind != PACKET_IPV6);
	if (kind != PACKET_IPV4 && kind != PACKET_IPV6)
		return VERDICT_KERNEL;
	TELL_UNFIT(GROUP, mac_is_multicast(p->eth->h_dest));
	if (mac_is_multicast(p->eth->h_dest) || skb->vlan_present)
		return VERDICT_KERNEL;
	/* A bridge takes frames for the MACs of its ports as its own, too. */
	if (port->gateway_ifindex &&
	    (mac_equal(p->eth->h_dest, port->gateway_mac) || skb->pkt_type == PACKET_HOST))
		return kind == PACKET_IPV6 ? port_route(skb, port, p, true, route)
					   : port_route(skb, port, p, false, route);
	return port_switch(skb, port, p, route);
}

#endif
