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

static __always_inline enum packet_kind load(struct __sk_buff *skb, struct packet *p)
{
	enum packet_kind kind = parse(skb, p);

	return kind != PACKET_MALFORMED || !pull_headers(skb) ? kind : parse(skb, p);
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

static __always_inline u32 largest_piece(struct __sk_buff *skb, const struct packet *p, bool ipv6)
{
	u32 network = ipv6 ? sizeof(struct ipv6hdr) : p->ip4->ihl * 4u;
	u8 protocol = ipv6 ? p->ip6->nexthdr : p->ip4->protocol;
	u8 *l4 = (u8 *)p->ip4 + network;

	if (!skb->gso_size)
		return skb->len - sizeof(struct ethhdr);
	if (protocol == IPPROTO_TCP && (void *)(l4 + sizeof(struct tcphdr)) <= p->end)
		network += (l4[12] >> 4) * 4u;
	else
		network += sizeof(struct udphdr);
	return skb->gso_size + network;
}

/* A masqueraded network's packet to the outside: policy first, by the kernel's own FIB. */
static __always_inline int port_outside(struct __sk_buff *skb, const struct nsr_port *port,
					const struct packet *p, bool ipv6, struct route *route)
{
	struct bpf_fib_lookup *lookup = route->lookup;
	bool rare;

	if (ipv6) {
		lookup->family = ADDRESS_FAMILY_IPV6;
		__builtin_memcpy(lookup->ipv6_src, &p->ip6->saddr, 16);
		__builtin_memcpy(lookup->ipv6_dst, &p->ip6->daddr, 16);
		rare = true; /* IPv6 is not masqueraded: the uplink's hook refuses it */
	} else {
		lookup->family = ADDRESS_FAMILY_IPV4;
		lookup->tos = p->ip4->tos;
		lookup->l4_protocol = p->ip4->protocol;
		lookup->ipv4_src = p->ip4->saddr;
		lookup->ipv4_dst = p->ip4->daddr;
		rare = p->ip4->ihl != 5 || p->ip4->ttl <= 1;
	}
	switch (fib_outside(skb, port, lookup, largest_piece(skb, p, ipv6))) {
	case FIB_ELSEWHERE:
		return DROP(WRONG_UPLINK);
	case FIB_UPLINK:
		if (rare || !(port->flags & NSR_PORT_FAST))
			return VERDICT_KERNEL;
		route->routed = true;
		return VERDICT_NEIGHBOUR;
	default:
		return VERDICT_KERNEL;
	}
}

static __always_inline int port_route(struct __sk_buff *skb, const struct nsr_port *port,
				      const struct packet *p, bool ipv6, struct route *route)
{
	u8 hops = ipv6 ? p->ip6->hop_limit : p->ip4->ttl;
	bool plain = ipv6 ? p->ip6->nexthdr != IPPROTO_HOPOPTS : p->ip4->ihl == 5;

	if (ipv6 ? p->ip6->daddr.s6_addr[0] == 0xff || ip6_is_link_local(&p->ip6->daddr)
		 : (p->ip4->daddr & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000))
		return VERDICT_KERNEL;
	route->to = ipv6 ? fib_host6(&p->ip6->daddr) : fib_host4(p->ip4->daddr);
	if (!route->to)
		return port->uplink ? port_outside(skb, port, p, ipv6, route) : VERDICT_KERNEL;
	/* A router answers these: too old, options, too large, or back where it came from. */
	if (hops <= 1 || !plain || route->to->network == port->network ||
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
	if (!route->to || !(port->flags & NSR_PORT_FAST) ||
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
	if (mac_is_multicast(p->eth->h_dest))
		return VERDICT_KERNEL;
	if (port->gateway_ifindex && mac_equal(p->eth->h_dest, port->gateway_mac))
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

/* The host's own ICMP errors quote the packet that caused them, which has been translated by then.
 */
static __always_inline bool quotes_inside(const struct packet *p)
{
	u32 header = p->ip4->ihl * 4u;
	struct icmp_header *icmp = (void *)((u8 *)p->ip4 + header);
	struct iphdr *quoted = (void *)(icmp + 1);

	if (p->ip4->protocol != IPPROTO_ICMP || ip4_is_fragment(p->ip4))
		return false;
	if ((void *)(icmp + 1) > p->end)
		return false;
	if (icmp->type != ICMP_UNREACHABLE && icmp->type != ICMP_TIME_EXCEEDED &&
	    icmp->type != ICMP_PARAMETER_PROBLEM && icmp->type != ICMP_REDIRECT &&
	    icmp->type != ICMP_SOURCE_QUENCH)
		return false;
	if ((void *)(quoted + 1) > p->end)
		return false;
	return inside_of4(quoted->daddr) || inside_of4(quoted->saddr);
}

/* What a flow from an inside address is called; false for what cannot have a session. */
static __always_inline bool outbound_flow(const struct nsr_settings *settings,
					  const struct nsr_uplink *uplink, const struct packet *p,
					  const struct transport *t, struct nat_request *request)
{
	if (t->protocol == NSR_NAT_ICMP && t->icmp_type != ICMP_ECHO_REQUEST)
		return false;
	request->flow.inside.address = p->ip4->saddr;
	request->flow.inside.port = t->source;
	request->flow.inside.protocol = t->protocol;
	request->flow.inside.uplink = uplink->index;
	request->flow.remote_address = p->ip4->daddr;
	request->flow.remote_port = t->protocol == NSR_NAT_ICMP ? 0 : t->dest;
	request->seen = seen_by(true, t->protocol, t->tcp_flags);
	request->now_s = nat_now_s(settings);
	request->external = uplink->address4;
	return true;
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
	__be32 source = p->ip4->saddr;
	const struct nsr_inside *inside;
	int unfit;

	if (source == uplink->address4)
		return quotes_inside(p) ? DROP(NAT_ICMP_ERROR) : 0;
	if (!settings)
		return DROP(NAT_SESSIONS);
	unfit = load_transport(skb, p, t);
	if (!unfit && !outbound_flow(settings, uplink, p, t, request))
		unfit = DROP(NAT_PROTOCOL);
	if (!unfit && session_use(settings, request))
		return 0;
	inside = inside_of4(source);
	if (!inside)
		return 0; /* the host's own */
	if (inside->uplink != uplink->index)
		return DROP(WRONG_UPLINK);
	if (unfit)
		return unfit;
	return uplink->address4 ? session_open_or_join(skb, request) : DROP(NAT_PORTS);
}

/* Whether an ARP packet or an IPv6 packet would show an inside address to the outside. */
static __always_inline bool leaks_other(const struct packet *p, enum packet_kind kind)
{
	__be32 sender;

	if (kind == PACKET_IPV6)
		return inside_of6(&p->ip6->saddr);
	if (kind != PACKET_ARP)
		return false;
	__builtin_memcpy(&sender, p->arp->sender, sizeof(sender));
	return inside_of4(sender);
}

SEC("tc")
int nsr_uplink_out(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex, length = skb->len;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	struct nat_request request = {};
	struct transport t = {};
	enum packet_kind kind;
	struct packet p;
	int verdict = 0;

	if (!uplink)
		return TC_ACT_UNSPEC;
	kind = load(skb, &p);
	if (kind == PACKET_IPV4)
		verdict = uplink_translate(skb, uplink, &p, &t, &request);
	else if (leaks_other(&p, kind))
		verdict = DROP(NAT_PROTOCOL);
	if (!verdict && request.mapping)
		verdict = rewrite_endpoint4(skb, &p, &t, true, uplink->address4,
					    bpf_htons(NSR_MAPPING_PORT(request.mapping)));
	count_uplink_tx(uplink->index, length, verdict, request.mapping);
	return verdict < 0 ? drop() : TC_ACT_UNSPEC;
}

/* Whom an IPv4 packet that arrives at the uplink is for; NAT_INBOUND_SESSION: translate. */
static __always_inline enum nat_inbound uplink_classify(struct __sk_buff *skb,
							const struct nsr_uplink *uplink,
							struct packet *p, struct transport *t,
							struct nat_request *request)
{
	const struct nsr_settings *settings = nat_settings();

	if (!settings || p->ip4->daddr != uplink->address4 || load_transport(skb, p, t))
		return NAT_INBOUND_HOST;
	if (t->protocol == NSR_NAT_ICMP && t->icmp_type != ICMP_ECHO_REPLY)
		return NAT_INBOUND_HOST;
	request->flow.inside.protocol = t->protocol;
	request->flow.inside.uplink = uplink->index;
	request->flow.remote_address = p->ip4->saddr;
	request->flow.remote_port = t->protocol == NSR_NAT_ICMP ? 0 : t->source;
	request->seen = seen_by(false, t->protocol, t->tcp_flags);
	request->now_s = nat_now_s(settings);
	request->external = uplink->address4;
	return nat_in(skb, settings, request, t->dest);
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
	if (kind == PACKET_IPV4) {
		dest = p.ip4->daddr;
		whom = uplink_classify(skb, uplink, &p, &t, &request);
		if (whom == NAT_INBOUND_REFUSED)
			verdict = DROP(NAT_FILTERED);
		else if (whom == NAT_INBOUND_HOST && inside_of4(dest))
			verdict = DROP(INBOUND);
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
