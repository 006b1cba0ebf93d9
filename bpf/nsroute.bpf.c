/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nsroute.bpf.c - the programs, one a hook. Each reads like a list: parse, classify, translate,
 * route, count, act. One object, so that they share their maps.
 *
 *   nsr_port_in     tc ingress of the host's end of a namespace's veth: what the namespace sends
 *   nsr_port_out    tc egress there: what the kernel delivers to the namespace
 *   nsr_uplink_out  tc egress of an uplink: source translation, and the guard against leaks
 *   nsr_uplink_in   tc ingress of an uplink: reverse translation
 *   nsr_arm         run once after loading: starts the clock that expires flows
 *   nsr_flush       run to end the sessions of an uplink or of an inside prefix
 *
 * What they leave alone gets TC_ACT_UNSPEC, so that other people's programs still run.
 */
#include "common.h"

#include <linux/pkt_cls.h>
#include <linux/if_packet.h>

#include "counters.h"
#include "expire.h"
#include "fib.h"
#include "maps.h"
#include "nat.h"
#include "packet.h"
#include "policy.h"
#include "rewrite.h"

char LICENSE[] SEC("license") = "GPL";

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

/* Headers must be in the linear part, where drivers and raw sockets do not always leave them. Asked
 * for only when a header was not found: it may copy the packet. */
static __always_inline bool pull_headers(struct __sk_buff *skb)
{
	return !bpf_skb_pull_data(skb, skb->len < PACKET_HEADERS ? skb->len : PACKET_HEADERS);
}

static __always_inline enum packet_kind parse(struct __sk_buff *skb, struct packet *p)
{
	return packet_parse(p, (void *)(long)skb->data, (void *)(long)skb->data_end, skb->len);
}

/* Whatever comes of the pull, pointers into the packet are lost by it. */
static __always_inline enum packet_kind load(struct __sk_buff *skb, struct packet *p)
{
	enum packet_kind kind = parse(skb, p);

	if (kind != PACKET_MALFORMED)
		return kind;
	pull_headers(skb);
	return parse(skb, p);
}

static __always_inline int load_transport(struct __sk_buff *skb, struct packet *p,
					  struct transport *t)
{
	int unfit = transport_parse(p, t);

	if (unfit != DROP(MALFORMED) || !pull_headers(skb) || parse(skb, p) != PACKET_IPV4)
		return unfit;
	return transport_parse(p, t);
}

static __always_inline int drop(void)
{
	return TC_ACT_SHOT;
}

/* Delivers into a namespace. Before 6.15 the packet type stays what it was at the host's end,
 * OTHERHOST for all but frames to that end's own MAC, and the receiver would drop it. */
static __always_inline int deliver(struct __sk_buff *skb, u32 ifindex)
{
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(ifindex, 0);
}

static __always_inline int to_neighbour(const struct bpf_fib_lookup *lookup)
{
	struct bpf_redir_neigh next = {.nh_family = lookup->family};

	__builtin_memcpy(next.ipv6_nh, lookup->ipv6_dst, sizeof(next.ipv6_nh));
	return bpf_redirect_neigh(lookup->ifindex, &next, sizeof(next), 0);
}

/* Whether an endpoint can take the packet from us; else the kernel answers as it always does. */
static __always_inline bool endpoint_takes(struct __sk_buff *skb, const struct packet *p,
					   const struct nsr_endpoint *to, bool ipv6)
{
	return to->flags & NSR_PORT_FAST && packet_fits(p, ipv6, skb->len, skb->gso_size, to->mtu);
}

static __always_inline const struct nsr_inside *inside_of4(__be32 address)
{
	struct nsr_inside4_key key = {.prefix_len = 32, .address = address};

	return bpf_map_lookup_elem(&inside4, &key);
}

static __always_inline const struct nsr_inside *inside_of6(const void *address)
{
	struct nsr_inside6_key key = {.prefix_len = 128};

	__builtin_memcpy(key.address, address, sizeof(key.address));
	return bpf_map_lookup_elem(&inside6, &key);
}

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
	return fib_outside(skb, port, lookup, packet_largest(p, ipv6, skb->len, skb->gso_size));
}

/* A masqueraded network's packet to the outside: policy first, by the kernel's own FIB. */
static __always_inline int port_outside(struct __sk_buff *skb, const struct nsr_port *port,
					const struct packet *p, bool ipv6, struct route *route)
{
	enum fib_way way = way_outside(skb, port, p, ipv6, route->lookup);

	if (way == FIB_KERNEL)
		return VERDICT_KERNEL;
	if (way == FIB_ELSEWHERE)
		return DROP(WRONG_UPLINK);
	if (ipv6 ? !masqueraded6(port, &p->ip6->saddr) : !masqueraded4(port, p->ip4->saddr))
		return DROP(NOT_INSIDE);
	/* IPv6 is not masqueraded: the uplink's hook refuses it, whichever way it comes. */
	if (way == FIB_UPLINK_KERNEL || ipv6 || p->ip4->ihl != 5 || p->ip4->ttl <= 1 ||
	    !(port->flags & NSR_PORT_FAST))
		return VERDICT_KERNEL;
	route->routed = true;
	return VERDICT_NEIGHBOUR;
}

/* What a flow from an inside address is called; false for what cannot have a session. */
static __always_inline bool outbound_flow(const struct nsr_settings *settings,
					  u32 uplink, const struct packet *p,
					  const struct transport *t, struct nat_request *request)
{
	if (t->protocol == NSR_NAT_ICMP && t->icmp_type != ICMP_ECHO_REQUEST)
		return false;
	request->flow.inside.address = p->ip4->saddr;
	request->flow.inside.port = t->source;
	request->flow.inside.protocol = t->protocol;
	request->flow.inside.uplink = uplink;
	request->flow.remote_address = p->ip4->daddr;
	request->flow.remote_port = t->protocol == NSR_NAT_ICMP ? 0 : t->dest;
	request->seen = seen_by(true, t->protocol, t->tcp_flags);
	request->now_s = nat_now_s(settings);
	return true;
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
	    packet_fits(p, false, skb->len, skb->gso_size, view.mtu)) {
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
	bool plain = ipv6 ? p->ip6->nexthdr != IPPROTO_HOPOPTS : p->ip4->ihl == 5;

	if (is_special(p, ipv6))
		return VERDICT_KERNEL;
	route->to = ipv6 ? fib_host6(&p->ip6->daddr) : fib_host4(p->ip4->daddr);
	if (!route->to)
		return !port->uplink ? VERDICT_KERNEL
		       : ipv6        ? port_outside(skb, port, p, true, route)
				     : port_masquerade(skb, port, p, route);
	/* A router answers these: too old, options, too large, or back where it came from. */
	if (hops <= 1 || !plain || turns_back(skb, port, route->to) ||
	    !(port->flags & NSR_PORT_FAST) || !endpoint_takes(skb, p, route->to, ipv6))
		return VERDICT_KERNEL;
	route->routed = true;
	return VERDICT_PEER;
}

static __always_inline int port_switch(struct __sk_buff *skb, const struct nsr_port *port,
				       const struct packet *p, enum packet_kind kind,
				       struct route *route)
{
	route->to = fib_switch(port, p);
	if (!route->to || route->to->ifindex == skb->ifindex || !(port->flags & NSR_PORT_FAST) ||
	    !endpoint_takes(skb, p, route->to, kind == PACKET_IPV6))
		return VERDICT_KERNEL;
	return VERDICT_PEER;
}

static __always_inline int port_judge(struct __sk_buff *skb, const struct nsr_port *port,
				      struct packet *p, struct route *route)
{
	enum packet_kind kind = load(skb, p);
	int refused = policy_source(port, p, kind, skb->vlan_present);

	if (refused)
		return refused;
	if (kind != PACKET_IPV4 && kind != PACKET_IPV6)
		return VERDICT_KERNEL;
	if (mac_is_multicast(p->eth->h_dest) || skb->vlan_present)
		return VERDICT_KERNEL;
	/* A bridge takes frames for the MACs of its ports as its own, too. */
	if (port->gateway_ifindex &&
	    (mac_equal(p->eth->h_dest, port->gateway_mac) || skb->pkt_type == PACKET_HOST))
		return kind == PACKET_IPV6 ? port_route(skb, port, p, true, route)
					   : port_route(skb, port, p, false, route);
	return port_switch(skb, port, p, kind, route);
}

SEC("tc")
int nsr_port_in(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex, length = skb->len;
	const struct nsr_port *port = bpf_map_lookup_elem(&ports, &ifindex);
	struct bpf_fib_lookup lookup = {};
	struct route route = {.lookup = &lookup};
	struct packet p;
	int verdict;

	if (!port)
		return TC_ACT_UNSPEC;
	verdict = port_judge(skb, port, &p, &route);
	if (verdict == VERDICT_NEIGHBOUR && route.mapping) {
		int unfit = rewrite_endpoint4(skb, &p, &route.transport, true, route.external,
					      bpf_htons(NSR_MAPPING_PORT(route.mapping)));

		if (unfit)
			verdict = unfit;
	}
	count_port_tx(port->index, length, verdict);
	if (verdict < 0)
		return drop();
	if (verdict == VERDICT_KERNEL)
		return TC_ACT_UNSPEC;
	if (route.routed) {
		if (p.eth->h_proto == bpf_htons(ETH_P_IP))
			rewrite_ttl4(p.ip4);
		else
			rewrite_hop_limit(p.ip6);
	}
	if (verdict == VERDICT_NEIGHBOUR)
		return to_neighbour(&lookup);
	if (route.routed)
		rewrite_macs(p.eth, route.to->mac, route.to->gateway_mac);
	count_port_rx(route.to->port, length);
	return deliver(skb, route.to->ifindex);
}

SEC("tc")
int nsr_port_out(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex;
	const struct nsr_port *port = bpf_map_lookup_elem(&ports, &ifindex);

	if (port)
		count_port_rx(port->index, skb->len);
	return TC_ACT_UNSPEC;
}

static __always_inline bool is_icmp_error(u8 type)
{
	return type == ICMP_UNREACHABLE || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT ||
	       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM;
}

/*
 * Of an ICMP packet. The host's own ICMP errors quote the packet that caused them, which has been
 * translated by then. One whose quote cannot be read is not let out either.
 */
static __always_inline bool quotes_inside(struct __sk_buff *skb, struct packet *p)
{
	struct icmp_header *icmp;
	struct iphdr *quoted;

	if (!pull_headers(skb) || parse(skb, p) != PACKET_IPV4)
		return true;
	if (ip4_is_fragment(p->ip4))
		return false;
	icmp = (void *)((u8 *)p->ip4 + p->ip4->ihl * 4u);
	if ((void *)(icmp + 1) > p->end || !is_icmp_error(icmp->type))
		return false;
	quoted = (void *)(icmp + 1);
	return (void *)(quoted + 1) > p->end || inside_of4(quoted->daddr) ||
	       inside_of4(quoted->saddr);
}

/*
 * What an IPv4 packet that leaves by the uplink needs: a reason to drop it, or 0 and, when it is to
 * be translated, request->mapping. A session is proof enough that the source is inside; without one
 * the prefixes decide.
 */
static __always_inline int uplink_translate(struct __sk_buff *skb, const struct nsr_uplink *uplink,
					    struct packet *p, struct transport *t,
					    struct nat_request *request)
{
	const struct nsr_settings *settings = nat_settings();
	bool icmp = p->ip4->protocol == IPPROTO_ICMP;
	__be32 source = p->ip4->saddr;
	const struct nsr_inside *inside;
	int unfit;

	if (source == uplink->address4) {
		/* Nothing but what a port's hook has translated is forwarded with this source. */
		request->forwarded = skb->ingress_ifindex;
		return icmp && quotes_inside(skb, p) ? DROP(NAT_ICMP_ERROR) : 0;
	}
	if (!settings)
		return DROP(NAT_SESSIONS);
	unfit = ip4_is_fragment(p->ip4) ? DROP(NAT_FRAGMENT) : load_transport(skb, p, t);
	if (!unfit && !outbound_flow(settings, uplink->index, p, t, request))
		unfit = DROP(NAT_PROTOCOL);
	request->external = uplink->address4;
	if (!unfit && session_use(settings, request))
		return 0;
	inside = inside_of4(source);
	if (!inside) /* the host's own, from another of its addresses */
		return icmp && quotes_inside(skb, p) ? DROP(NAT_ICMP_ERROR) : 0;
	if (inside->uplink != uplink->index)
		return DROP(WRONG_UPLINK);
	if (unfit)
		return unfit;
	if (t->tcp_flags & TCP_RST)
		return DROP(NAT_STATE); /* it ends what is not there */
	return uplink->address4 ? session_open_or_join(skb, request) : DROP(NAT_PORTS);
}

static __always_inline int uplink_masquerade(struct __sk_buff *skb, const struct nsr_uplink *uplink,
					     struct packet *p, struct nat_request *request)
{
	struct transport t = {};
	int verdict = uplink_translate(skb, uplink, p, &t, request);

	if (verdict || !request->mapping)
		return verdict;
	return rewrite_endpoint4(skb, p, &t, true, uplink->address4,
				 bpf_htons(NSR_MAPPING_PORT(request->mapping)));
}

/* Whether a packet that cannot be judged has an inside address where its source should be. */
static __always_inline bool leaks_malformed(const struct packet *p)
{
	const struct iphdr *ip4 = (void *)(p->eth + 1);
	const struct ipv6hdr *ip6 = (void *)(p->eth + 1);

	if ((void *)(ip4 + 1) > p->end)
		return false;
	if (p->eth->h_proto == bpf_htons(ETH_P_IP))
		return inside_of4(ip4->saddr);
	if (p->eth->h_proto != bpf_htons(ETH_P_IPV6) || (void *)(ip6 + 1) > p->end)
		return false;
	return inside_of6(&ip6->saddr);
}

/* ARP asks in the name of the packet that waits for the answer, which may be the host's own with
 * the gateway's address: then it asks in the uplink's. 0 or a reason to drop. */
static __always_inline int uplink_ask(const struct nsr_uplink *uplink, struct packet *p)
{
	__be32 sender;

	__builtin_memcpy(&sender, p->arp->sender, sizeof(sender));
	if (!inside_of4(sender))
		return 0;
	if (!uplink->address4)
		return DROP(NAT_PROTOCOL);
	__builtin_memcpy(p->arp->sender, &uplink->address4, sizeof(sender));
	return 0;
}

/* What is no proper IPv4 packet, but would show an inside address to the outside: 0 or the reason
 * to drop it. */
static __always_inline int uplink_leaks(const struct nsr_uplink *uplink, struct packet *p,
					enum packet_kind kind)
{
	switch (kind) {
	case PACKET_MALFORMED:
		return leaks_malformed(p) ? DROP(MALFORMED) : 0;
	case PACKET_IPV6:
		return inside_of6(&p->ip6->saddr) ? DROP(NAT_PROTOCOL) : 0;
	case PACKET_ARP:
		return uplink_ask(uplink, p);
	default:
		return 0;
	}
}

SEC("tc")
int nsr_uplink_out(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex, length = skb->len;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	struct nat_request request = {};
	enum packet_kind kind;
	struct packet p;
	int verdict = 0;

	if (!uplink)
		return TC_ACT_UNSPEC;
	kind = load(skb, &p);
	if (skb->vlan_present)
		verdict = 0; /* of a VLAN interface upon the uplink, where no network masquerades to
			      */
	else if (kind != PACKET_IPV4)
		verdict = uplink_leaks(uplink, &p, kind);
	else
		verdict = uplink_masquerade(skb, uplink, &p, &request);
	count_uplink_tx(uplink->index, length, verdict, request.mapping || request.forwarded);
	return verdict < 0 ? drop() : TC_ACT_UNSPEC;
}

/* Whom an IPv4 packet that arrives at the external address is for; NAT_INBOUND_SESSION: translate.
 */
static __always_inline enum nat_inbound uplink_classify(struct __sk_buff *skb,
							const struct nsr_uplink *uplink,
							struct packet *p, struct transport *t,
							struct nat_request *request)
{
	const struct nsr_settings *settings = nat_settings();
	bool fragment = ip4_is_fragment(p->ip4);
	__be32 source = p->ip4->saddr;
	enum nat_inbound whom;

	if (!settings || load_transport(skb, p, t))
		return NAT_INBOUND_HOST;
	if (t->protocol == NSR_NAT_ICMP && t->icmp_type != ICMP_ECHO_REPLY)
		return NAT_INBOUND_HOST;
	request->flow.inside.protocol = t->protocol;
	request->flow.inside.uplink = uplink->index;
	request->flow.remote_address = source;
	request->flow.remote_port = t->protocol == NSR_NAT_ICMP ? 0 : t->source;
	request->seen = fragment ? 0 : seen_by(false, t->protocol, t->tcp_flags);
	request->now_s = nat_now_s(settings);
	request->external = uplink->address4;
	whom = nat_in(skb, settings, request, t->dest);
	return whom == NAT_INBOUND_SESSION && fragment ? NAT_INBOUND_FRAGMENT : whom;
}

/* What is not for a session: the host's own, unless it is refused. */
static __always_inline int uplink_judge(enum nat_inbound whom, __be32 dest)
{
	switch (whom) {
	case NAT_INBOUND_REFUSED:
		return DROP(NAT_FILTERED);
	case NAT_INBOUND_FRAGMENT:
		return DROP(NAT_FRAGMENT);
	default:
		return inside_of4(dest) ? DROP(INBOUND) : VERDICT_KERNEL;
	}
}

/* Delivers what was translated, or leaves it to the kernel, translated. */
static __always_inline int uplink_deliver(struct __sk_buff *skb, struct packet *p,
					  const struct nsr_endpoint **ret_to)
{
	const struct nsr_endpoint *to = fib_host4(p->ip4->daddr);

	if (!to || p->ip4->ttl <= 1 || p->ip4->ihl != 5 || !endpoint_takes(skb, p, to, false))
		return VERDICT_KERNEL;
	rewrite_ttl4(p->ip4);
	rewrite_macs(p->eth, to->mac, to->gateway_mac);
	*ret_to = to;
	return VERDICT_PEER;
}

SEC("tc")
int nsr_uplink_in(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex, length = skb->len;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	enum nat_inbound whom = NAT_INBOUND_HOST;
	const struct nsr_endpoint *to = NULL;
	struct nat_request request = {};
	struct transport t = {};
	enum packet_kind kind;
	struct packet p;
	int verdict = VERDICT_KERNEL;
	__be32 dest;

	if (!uplink)
		return TC_ACT_UNSPEC;
	kind = load(skb, &p);
	if (skb->vlan_present || skb->pkt_type == PACKET_OTHERHOST) {
		verdict = VERDICT_KERNEL; /* for an interface upon the uplink, or somebody else */
	} else if (kind == PACKET_IPV4) {
		dest = p.ip4->daddr;
		if (dest == uplink->address4)
			whom = uplink_classify(skb, uplink, &p, &t, &request);
		if (whom != NAT_INBOUND_SESSION)
			verdict = uplink_judge(whom, dest);
	} else if (kind == PACKET_IPV6 && inside_of6(&p.ip6->daddr)) {
		verdict = DROP(INBOUND);
	}
	if (whom == NAT_INBOUND_SESSION) {
		verdict = rewrite_endpoint4(skb, &p, &t, false, request.flow.inside.address,
					    request.flow.inside.port);
		if (!verdict)
			verdict = uplink_deliver(skb, &p, &to);
	}
	count_uplink_rx(uplink->index, length, verdict, whom == NAT_INBOUND_SESSION);
	if (verdict < 0)
		return drop();
	if (!to)
		return TC_ACT_UNSPEC;
	count_port_rx(to->port, length);
	return deliver(skb, to->ifindex);
}

SEC("tc")
int nsr_arm(struct __sk_buff *skb)
{
	(void)skb;
	return expire_arm();
}

SEC("tc")
int nsr_flush(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct nsr_flush *flush = data + sizeof(struct ethhdr);

	if ((void *)(flush + 1) > end)
		return -EINVAL;
	return expire_flush(flush);
}
