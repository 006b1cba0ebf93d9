/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * port.h - the steps of what a namespace sends: judged, then switched, routed, or left to the
 * kernel.
 */
#ifndef NSROUTE_BPF_PORT_H
#define NSROUTE_BPF_PORT_H

#include "address.h"
#include "guest6.h"
#include "hairpin6.h"
#include "inner.h"
#include "leave.h"
#include "local.h"
#include "mark.h"
#include "policy.h"
#include "quick.h"
#include "rewrite.h"
#include "steps.h"
#include "trace.h"

/* Where a port's packet goes. */
struct route {
	const struct nsr_endpoint *to; /* VERDICT_PEER */
	/* VERDICT_NEIGHBOUR: */
	struct bpf_redir_neigh next;
	u32 ifindex, mtu;
};

/* Whether the headers are those of almost all packets; what else there may be, and what comes of
 * it, is for leave.h. */
static __always_inline bool is_common4(const struct iphdr *ip)
{
	return ip->ihl == 5 && protocol_has_ports(ip->protocol);
}

/* Rules of the kernel's FIB may ask for ports. */
static __always_inline void lookup_ports(struct bpf_fib_lookup *lookup, const struct packet *p)
{
	struct udphdr *ports = (void *)(p->ip4 + 1); /* TCP's are where UDP's are */

	if (p->ip4->protocol == IPPROTO_ICMP || ip4_is_fragment(p->ip4) ||
	    (void *)(ports + 1) > p->end)
		return;
	lookup->sport = ports->source;
	lookup->dport = ports->dest;
}

static __always_inline enum fib_way way_outside(struct __sk_buff *skb, const struct nsr_port *port,
						const struct packet *p,
						struct bpf_fib_lookup *lookup)
{
	lookup->family = ADDRESS_FAMILY_IPV4;
	lookup->tos = p->ip4->tos;
	lookup->l4_protocol = p->ip4->protocol;
	lookup->ipv4_src = p->ip4->saddr;
	lookup->ipv4_dst = p->ip4->daddr;
	lookup_ports(lookup, p);
	/* Where only the kernel can tell what it is cut into: the route's MTU is asked for. */
	return fib_outside(skb, port, lookup,
			   skb->gso_size ? gso_segment(skb) : skb->len - sizeof(struct ethhdr));
}

/* A masqueraded network's packet to the outside: policy first, by the kernel's own FIB. */
static __noinline int port_outside(struct __sk_buff *skb, const struct nsr_port *port,
				   struct route *route)
{
	struct bpf_fib_lookup lookup = {};
	struct packet packet, *p = &packet;
	enum fib_way way;

	if (!packet_at(skb, p, false))
		return DROP(MALFORMED);
	if (!is_common4(p->ip4))
		return VERDICT_RARE;
	if (local_is_client(p->ip4->daddr))
		return VERDICT_HAIRPIN;
	way = way_outside(skb, port, p, &lookup);
	TELL(FIB, way, lookup.ifindex | (u64)lookup.mtu_result << 32, lookup.ipv4_dst);
	if (way == FIB_KERNEL && hairpin_may_be(port, lookup.ipv4_dst))
		return VERDICT_HAIRPIN;
	if (way == FIB_KERNEL)
		return guest_may_be() ? VERDICT_GUEST : VERDICT_KERNEL;
	if (way == FIB_ELSEWHERE)
		return DROP(WRONG_UPLINK);
	if (!masqueraded4(port, p->ip4->saddr))
		return DROP(NOT_INSIDE);
	TELL_UNFIT_HEADER(p, false, port->flags);
	if (way == FIB_UPLINK_KERNEL || p->ip4->ttl <= 1 || !(port->flags & NSR_PORT_FAST) ||
	    !packet_fits(skb, lookup.ifindex, lookup.mtu_result))
		return VERDICT_KERNEL;
	route->ifindex = lookup.ifindex;
	route->mtu = lookup.mtu_result;
	route->next.nh_family = lookup.family;
	__builtin_memcpy(route->next.ipv6_nh, lookup.ipv6_dst, sizeof(lookup.ipv6_dst));
	mark_none(skb);
	return VERDICT_NEIGHBOUR;
}

static __always_inline void route_by_session(struct route *route, u32 ifindex, __be32 next_hop)
{
	route->ifindex = ifindex;
	route->next = (struct bpf_redir_neigh){};
	route->next.nh_family = ADDRESS_FAMILY_IPV4;
	route->next.ipv4_nh = next_hop;
}

/* Where the FIB has sent a session within this second: false when it has to be asked. */
static __always_inline bool route_known(struct __sk_buff *skb, const struct nsr_port *port,
					const struct session_view *view, u32 now_s, u32 state,
					struct route *route)
{
	u32 slot = port->uplink - 1;
	u32 *uplink = bpf_map_lookup_elem(&uplink_by_index, &slot);

	if (!uplink || !*uplink || view->route.tag != NSR_ROUTE_TAG(now_s, state, view->mtu) ||
	    !packet_fits(skb, *uplink, view->mtu))
		return false;
	TELL(REMEMBERED, *uplink, view->mtu, view->route.next_hop);
	route_by_session(route, *uplink, view->route.next_hop);
	return true;
}

/* As the uplink's hook would, which lets the external address pass. */
static __always_inline int port_translate(struct __sk_buff *skb, struct packet *p,
					  const struct transport *t,
					  const struct session_view *view)
{
	int unfit = rewrite_endpoint4(skb, p, t, true, view->external,
				      bpf_htons(NSR_MAPPING_PORT(view->mapping)));

	if (unfit)
		return unfit;
	rewrite_ttl4(p->ip4);
	return VERDICT_NEIGHBOUR;
}

/* VERDICT_RARE: not so plain, for port_masquerade(). */
static __noinline int port_quick(struct __sk_buff *skb, const struct nsr_port *port,
				 struct route *route)
{
	const struct nsr_settings *settings;
	const struct nsr_session_ref *ref;
	const struct nsr_session *session;
	u32 number, state, slot, ifindex, *uplink;
	struct session_view view;
	struct quick quick;
	struct packet p;
	int unfit;

	INSTEAD(VERDICT_RARE);
	slot = port->uplink - 1;
	if (!packet_at(skb, &p, false) || !(port->flags & NSR_PORT_FAST) ||
	    !quick_parse(&p, slot, &quick))
		return VERDICT_RARE;
	ref = bpf_map_lookup_elem(&session_by_flow, &quick.flow);
	if (!ref)
		return VERDICT_RARE;
	number = READ_ONCE(ref->session);
	state = READ_ONCE(ref->state);
	session = bpf_map_lookup_elem(&sessions, &number);
	settings = nat_settings();
	if (!session || !settings ||
	    !quick_matches(session, state, &quick, nat_now_s(settings), &view) ||
	    skb->len - sizeof(struct ethhdr) > view.mtu)
		return VERDICT_RARE;
	uplink = bpf_map_lookup_elem(&uplink_by_index, &slot);
	ifindex = uplink ? READ_ONCE(*uplink) : 0;
	if (!ifindex)
		return VERDICT_RARE;
	route_by_session(route, ifindex, view.route.next_hop);
	mark_translated(skb, settings, slot, ifindex);
	unfit = quick_translate(skb, &quick, view.external,
				bpf_htons(NSR_MAPPING_PORT(view.mapping)));
	return unfit ? unfit : VERDICT_NEIGHBOUR;
}

/* What has no session: the uplink's hook opens one or refuses. */
static __noinline int port_open(struct __sk_buff *skb, const struct nsr_port *port,
				struct route *route)
{
	int verdict = port_outside(skb, port, route);
	struct packet p;

	if (verdict != VERDICT_NEIGHBOUR)
		return verdict;
	if (!packet_at(skb, &p, false))
		return DROP(MALFORMED);
	rewrite_ttl4(p.ip4);
	return VERDICT_NEIGHBOUR;
}

/*
 * What belongs to a session is translated here. What went by its uplink within this second goes
 * there again; otherwise the FIB is asked, and its answer left with the session.
 */
static __noinline int port_masquerade(struct __sk_buff *skb, const struct nsr_port *port,
				      struct route *route)
{
	const struct nsr_settings *settings = nat_settings();
	struct nat_request request;
	struct transport transport = {};
	struct nsr_session *session;
	struct session_view view;
	bool still = true;
	struct packet p;
	int verdict;
	u32 state;

	if (!packet_at(skb, &p, false))
		return DROP(MALFORMED);
	request_begin(&request);
	if (!settings || p.ip4->ihl != 5 || p.ip4->ttl <= 1 || !(port->flags & NSR_PORT_FAST) ||
	    ip4_is_fragment(p.ip4) || transport_parse(&p, &transport) ||
	    !outbound_flow(settings, port->uplink - 1, &p, &transport, &request))
		return port_open(skb, port, route);
	session = session_find(&request.flow, request.now_s, true, &view, &state);
	if (!session)
		return port_open(skb, port, route);
	/* In a second that the session was not used in the FIB has given no answer either: the tag,
	 * which has 16 bits of the time, would be that of 65,536 s ago. */
	if (READ_ONCE(session->refreshed_s) != request.now_s ||
	    !route_known(skb, port, &view, request.now_s, state, route)) {
		verdict = port_outside(skb, port, route);
		if (verdict != VERDICT_NEIGHBOUR)
			return verdict;
		still = address_ask(skb, route->ifindex, NSR_MAPPING_SLOT(view.mapping),
				    request.flow.remote_address, request.now_s) == view.external;
		if (still && route->next.nh_family == ADDRESS_FAMILY_IPV4)
			session_keep_route(session, route->next.ipv4_nh, route->mtu,
					   NSR_ROUTE_TAG(request.now_s, state, route->mtu));
	}
	if (still && session_seen(session, state, request.seen, request.now_s)) {
		mark_translated(skb, settings, port->uplink - 1, route->ifindex);
		return port_translate(skb, &p, &transport, &view);
	}
	mark_none(skb); /* it ends: as of what has none */
	rewrite_ttl4(p.ip4);
	return VERDICT_NEIGHBOUR;
}

/* Back where it came from. A bridge leads to all of its network; without one the port is itself
 * what the kernel would route to. */
static __always_inline bool turns_back(const struct __sk_buff *skb, const struct nsr_port *port,
				       const struct nsr_endpoint *to)
{
	return to->network == port->network &&
	       (port->gateway_ifindex != skb->ifindex || to->ifindex == skb->ifindex);
}

static __always_inline bool source_is_special(const struct packet *p, bool ipv6)
{
	return ipv6 ? ip6_is_special(&p->ip6->saddr) : ip4_is_special(p->ip4->saddr);
}

static __always_inline bool dest_is_special(const struct packet *p, bool ipv6)
{
	return ipv6 ? ip6_is_special(&p->ip6->daddr) : ip4_is_special(p->ip4->daddr);
}

/* Options for routers; not those that are the kernel's own mark of BIG TCP. */
static __always_inline bool has_options(const struct packet *p, bool ipv6)
{
	return ipv6 ? p->ip6->nexthdr == IPPROTO_HOPOPTS && !ip6_is_big_tcp(p, p->length)
		    : p->ip4->ihl != 5;
}

/* To what is no namespace's address. What an uplink takes are functions of their own, so that what
 * stays inside has the registers. IPv6 is not masqueraded: the uplink's hook refuses it. */
static __always_inline int port_route_out(struct __sk_buff *skb, const struct nsr_port *port,
					  const struct packet *p, bool ipv6, bool glanced,
					  struct route *route)
{
	int verdict = VERDICT_RARE;

	TELL_UNFIT(SPECIAL, dest_is_special(p, ipv6));
	if (port->uplink && !ipv6 && !dest_is_special(p, ipv6)) {
		if (glanced)
			verdict = port_quick(skb, port, route);
		if (verdict == VERDICT_RARE)
			verdict = port_masquerade(skb, port, route);
	}
	if (verdict != VERDICT_RARE)
		return verdict;
	TELL_UNFIT_HEADER(p, ipv6, port->flags);
	if (!port->uplink)
		return guest_may_be() ? VERDICT_GUEST : to_kernel();
	if (!ipv6)
		return leave(skb, port);
	verdict = port_leave(skb, port);
	return verdict >= VERDICT_HAIRPIN6 ? verdict : kernel_or_drop(verdict);
}

/* Of what is for a namespace of another network, where the flags of either say that there is more
 * to it: 0, a reason to drop, VERDICT_RARE: it goes by the uplink, or VERDICT_GUEST. */
static __noinline int port_across(struct __sk_buff *skb, const struct nsr_port *port,
				  const struct nsr_endpoint *to, bool ipv6)
{
	int verdict = inner_judge(skb, port, to);

	if (verdict || !(port->flags & NSR_PORT_PUBLISHES))
		return verdict;
	return (ipv6 ? guest6_answers(skb, port) : guest_answers(skb, port)) ? VERDICT_GUEST : 0;
}

/* Addresses that a router may have its own rules for are in no table of hosts, and no port's first;
 * so of what a glance was enough for, only a destination that is not found can be one. */
static __always_inline int port_route(struct __sk_buff *skb, const struct nsr_port *port,
				      const struct packet *p, bool ipv6, bool glanced,
				      struct route *route, const struct nsr_endpoint **ret_to)
{
	const struct nsr_endpoint *to = ipv6 ? fib_host6(&p->ip6->daddr) : fib_host4(p->ip4->daddr);

	TELL_ENDPOINT(ROUTED, to);
	if (to && inner_may_part(port, to)) {
		int verdict = port_across(skb, port, to, ipv6);

		if (verdict && verdict != VERDICT_RARE)
			return verdict;
		if (verdict)
			to = NULL;
	}
	if (!glanced && source_is_special(p, ipv6)) {
		TELL(UNFIT, NSR_UNFIT_SPECIAL, 0, 0);
		return leave(skb, port);
	}
	if (!to)
		return port_route_out(skb, port, p, ipv6, glanced, route);
	TELL_UNFIT_HEADER(p, ipv6, port->flags);
	TELL_UNFIT_ENDPOINT(skb, to, turns_back(skb, port, to));
	/* A router answers these: too old, options, too large, or back where it came from. */
	if ((ipv6 ? p->ip6->hop_limit : p->ip4->ttl) <= 1)
		return to_kernel(); /* which does not forward it, whatever else it is */
	if ((!glanced && has_options(p, ipv6)) || turns_back(skb, port, to) ||
	    !(port->flags & NSR_PORT_FAST) || !endpoint_takes(skb, p->length, to))
		return leave(skb, port);
	rewrite_hops(p, ipv6);
	rewrite_macs(p->eth, to->mac, to->gateway_mac);
	*ret_to = to;
	return VERDICT_PEER;
}

static __always_inline int port_switch(struct __sk_buff *skb, const struct nsr_port *port,
				       const struct packet *p, const struct nsr_endpoint **ret_to)
{
	const struct nsr_endpoint *to = fib_switch(port, p);

	TELL_ENDPOINT(SWITCHED, to);
	TELL_UNFIT(NOT_FAST, !(port->flags & NSR_PORT_FAST));
	TELL_UNFIT_ENDPOINT(skb, to, to->ifindex == skb->ifindex);
	if (!to || to->ifindex == skb->ifindex || !(port->flags & NSR_PORT_FAST) ||
	    !endpoint_takes(skb, p->length, to))
		return to_kernel();
	*ret_to = to;
	return VERDICT_PEER;
}

/* Of a packet that policy has nothing against. Multicast is in no table of MACs. */
static __always_inline int port_forward(struct __sk_buff *skb, const struct nsr_port *port,
					const struct packet *p, bool ipv6, bool glanced,
					struct route *route, const struct nsr_endpoint **ret_to)
{
	TELL_UNFIT(GROUP, mac_is_multicast(p->eth->h_dest));
	/* A bridge takes frames for the MACs of its ports as its own, too. */
	if (port->gateway_ifindex &&
	    (dest_is(p->eth, port->gateway_mac) || skb->pkt_type == PACKET_HOST))
		return port_route(skb, port, p, ipv6, glanced, route, ret_to);
	return port_switch(skb, port, p, ret_to);
}

/* What a glance does not tell enough of. */
static __noinline int port_examine(struct __sk_buff *skb, const struct nsr_port *port,
				   struct route *route)
{
	int refused = policy_judge(skb, port);
	enum packet_kind kind;
	struct packet p;

	if (refused < 0)
		return refused;
	if (skb->vlan_present)
		return kernel_or_drop(leave_tagged(skb, port));
	kind = parse(skb, &p);
	TELL_UNFIT(NOT_IP, kind != PACKET_IPV4 && kind != PACKET_IPV6);
	if (kind != PACKET_IPV4 && kind != PACKET_IPV6)
		return VERDICT_KERNEL;
	return kind == PACKET_IPV6 ? port_forward(skb, port, &p, true, false, route, &route->to)
				   : port_forward(skb, port, &p, false, false, route, &route->to);
}

static __always_inline int to_neighbour(struct route *route)
{
	TELL(NEIGHBOUR, route->ifindex, route->next.ipv4_nh, 0);
	INSTEAD(TC_ACT_REDIRECT);
	return bpf_redirect_neigh(route->ifindex, &route->next, sizeof(route->next), 0);
}

/* VERDICT_PEER: into the namespace *ret_to, which otherwise is NULL (and is what tells kernel 6.1
 * of it). VERDICT_NEIGHBOUR: as route says. */
static __always_inline int port_judge(struct __sk_buff *skb, const struct nsr_port *port,
				      u32 length, struct route *route,
				      const struct nsr_endpoint **ret_to)
{
	struct packet p = {.length = length};
	enum packet_kind kind = policy_glance(skb, port, &p);
	int verdict;

	if (kind != PACKET_MALFORMED) {
		TELL(PARSED, kind, port->index, port->flags);
		TELL(POLICY, 0, 0, 0);
	}
	switch (kind) {
	case PACKET_IPV4:
		return port_forward(skb, port, &p, false, true, route, ret_to);
	case PACKET_IPV6:
		return port_forward(skb, port, &p, true, true, route, ret_to);
	default:
		route->to = NULL;
		verdict = port_examine(skb, port, route);
		*ret_to = route->to;
		return verdict;
	}
}

#endif
