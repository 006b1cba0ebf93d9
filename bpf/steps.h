/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * steps.h - what the steps of ports and uplinks share: getting at the headers, the last step of a
 * packet, and whom an address belongs to.
 */
#ifndef NSROUTE_BPF_STEPS_H
#define NSROUTE_BPF_STEPS_H

#include <linux/if_packet.h>
#include <linux/pkt_cls.h>

#include "fib.h"
#include "nat.h"
#include "packet.h"
#include "trace.h"

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

/* Where the IP header is in a packet of a known kind; false when it is not all there. */
static __always_inline bool packet_at(struct __sk_buff *skb, struct packet *p, bool ipv6)
{
	p->bare = false;
	p->eth = (void *)(long)skb->data;
	p->ip4 = (void *)(p->eth + 1);
	p->end = (void *)(long)skb->data_end;
	return ipv6 ? (void *)(p->ip6 + 1) <= p->end : (void *)(p->ip4 + 1) <= p->end;
}

/* The same where an uplink's kind is known. */
static __always_inline enum packet_kind parse_as(struct __sk_buff *skb, struct packet *p, bool bare)
{
	return bare ? packet_parse_bare(p, (void *)(long)skb->data, (void *)(long)skb->data_end,
					skb->len, skb->protocol)
		    : parse(skb, p);
}

/* Whatever comes of the pull, pointers into the packet are lost by it. */
static __always_inline enum packet_kind load_as(struct __sk_buff *skb, struct packet *p, bool bare)
{
	enum packet_kind kind = parse_as(skb, p, bare);

	if (kind != PACKET_MALFORMED)
		return kind;
	pull_headers(skb);
	return parse_as(skb, p, bare);
}

static __always_inline enum packet_kind load(struct __sk_buff *skb, struct packet *p)
{
	return load_as(skb, p, false);
}

static __always_inline int load_transport(struct __sk_buff *skb, struct packet *p,
					  struct transport *t)
{
	int unfit = transport_parse(p, t);

	if (unfit != DROP(MALFORMED) || !pull_headers(skb) ||
	    parse_as(skb, p, p->bare) != PACKET_IPV4)
		return unfit;
	return transport_parse(p, t);
}

/* Delivers into a namespace. Before 6.15 the packet type stays what it was at the host's end,
 * OTHERHOST for all but frames to that end's own MAC, and the receiver would drop it. */
static __always_inline int deliver(struct __sk_buff *skb, u32 ifindex)
{
	TELL(DELIVERS, ifindex, 0, 0);
	INSTEAD(TC_ACT_REDIRECT);
	if (skb->pkt_type != PACKET_HOST)
		bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(ifindex, 0);
}

/* Of a GSO packet: see packet_segment(). Such packets are few, for they are large, so that they are
 * parsed again rather than that the hot path keeps what this needs. */
NSR_STEP int gso_segment(struct __sk_buff *skb)
{
	struct packet p;
	enum packet_kind kind = parse(skb, &p);

	if (kind != PACKET_IPV4 && kind != PACKET_IPV6)
		return 0;
	return (int)packet_segment(&p, kind == PACKET_IPV6, skb->len, skb->gso_size);
}

static __always_inline bool gso_fits_kernel(struct __sk_buff *skb, u32 ifindex, u32 mtu)
{
	u32 interface_mtu = 0;

	return !bpf_check_mtu(skb, ifindex, &interface_mtu, 0, BPF_MTU_CHK_SEGS) &&
	       interface_mtu <= mtu;
}

/*
 * Whether what a GSO packet is cut into fits. Where the segments have more headers than we see, the
 * kernel has the word. It is that of its own forwarding (skb_gso_network_seglen(): GSO type and
 * all headers of a tunnel are looked at), but for the interface's MTU: where a route has a smaller
 * one, the packet is left to it.
 */
NSR_STEP int gso_fits(struct __sk_buff *skb, u32 ifindex, u32 mtu)
{
	u32 segment = gso_segment(skb);

	return segment ? segment <= mtu : gso_fits_kernel(skb, ifindex, mtu);
}

/* Whether a packet can leave by the interface in one piece, or what it is cut into can. */
static __always_inline bool packet_fits(struct __sk_buff *skb, u32 ifindex, u32 mtu)
{
	return skb->len - sizeof(struct ethhdr) <= mtu ||
	       (skb->gso_size && gso_fits(skb, ifindex, mtu));
}

/* A packet that is too large, unless it is a GSO packet. */
static __always_inline bool endpoint_takes_large(struct __sk_buff *skb,
						 const struct nsr_endpoint *to)
{
	return packet_fits(skb, to->ifindex, to->mtu) &&
	       (skb->len < NSR_GSO_MAX || !skb->gso_size || to->flags & NSR_PORT_BIG_TCP);
}

/* Whether an endpoint can take the packet from us; else the kernel answers as it always does, or
 * cuts it up. length is the packet's. */
static __always_inline bool endpoint_takes(struct __sk_buff *skb, u32 length,
					   const struct nsr_endpoint *to)
{
	if (!(to->flags & NSR_PORT_FAST))
		return false;
	if (length - sizeof(struct ethhdr) <= to->mtu && length < NSR_GSO_MAX)
		return true;
	return endpoint_takes_large(skb, to);
}

/* The same of a packet that will get its Ethernet header by and by. */
static __always_inline bool endpoint_takes_bare(struct __sk_buff *skb,
						const struct nsr_endpoint *to)
{
	u32 length = skb->len + sizeof(struct ethhdr);

	if (!(to->flags & NSR_PORT_FAST) ||
	    (skb->len > to->mtu && !(skb->gso_size && gso_fits_kernel(skb, to->ifindex, to->mtu))))
		return false;
	return length < NSR_GSO_MAX || !skb->gso_size || to->flags & NSR_PORT_BIG_TCP;
}

/* Whether a packet with the external address as its source is one that a port's hook has
 * translated. Others are the host's own, or what netfilter masquerades for somebody else. */
static __always_inline bool port_translated(struct __sk_buff *skb)
{
	u32 from = skb->ingress_ifindex;

	return from && bpf_map_lookup_elem(&ports, &from);
}

/* clang knows that it is never above zero, which the verifier has to be told. */
static __always_inline int drop_or_pass(int refused)
{
	barrier_var(refused);
	return refused < 0 ? refused : 0;
}

/* What a flow from an inside address is called; false for what cannot have a session. */
static __always_inline bool outbound_flow(const struct nsr_settings *settings, u32 uplink,
					  const struct packet *p, const struct transport *t,
					  struct nat_request *request)
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

#endif
