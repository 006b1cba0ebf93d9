/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * uplink6.h - the steps of IPv6 that leaves by an uplink and that arrives there.
 *
 * The programs of an uplink look at each IPv6 packet, and hand those that the NAT may have a part
 * in over to programs of their own, by a tail call: the families do not share a stack then. Until
 * these are loaded what is masqueraded is dropped, and the host's own passes.
 *
 * Never translated: neighbour discovery, which is a host's with its neighbours, and whatever else
 * has a link-local or multicast address. Such a destination with an inside source is dropped.
 */
#ifndef NSROUTE_BPF_UPLINK6_H
#define NSROUTE_BPF_UPLINK6_H

#include "direct6.h"
#include "except6.h"
#include "fragment6.h"
#include "icmp6.h"
#include "inner.h"
#include "steps.h"
#include "transport6.h"

static __always_inline void to_program6(struct __sk_buff *skb, enum nsr_program6 program)
{
	TELL(PROGRAM6, program, 0, 0);
	INSTEAD();
	bpf_tail_call(skb, &programs6, program);
}

/* Whether TCP or UDP of the host's own may begin a flow, from a port that is not free, or be of one
 * that has another port outside (own.h); from which address is asked later. Where the headers are
 * not at hand, it may. */
static __always_inline bool uplink6_own_may_begin(struct __sk_buff *skb,
						  const struct nsr_uplink *uplink,
						  const struct packet *p)
{
	const u8 *l4 = (const u8 *)(p->ip6 + 1);
	bool tcp = p->ip6->nexthdr == IPPROTO_TCP;
	u32 slot = uplink->index;

	if (skb->ingress_ifindex)
		return false;
	if (uplink->flags & NSR_UPLINK_MORE6)
		slot = address6_slot(uplink, &p->ip6->saddr);
	if ((void *)(l4 + TCP_FLAG_BYTE + 1) > p->end)
		return true;
	if (share_host_any())
		return true;
	return slot != NSR_SLOTS_MAX && transport_may_begin(tcp, l4[TCP_FLAG_BYTE]) &&
	       own_port_is_taken6(slot, tcp ? NSR_NAT_TCP : NSR_NAT_UDP, *(const __be16 *)l4);
}

/* What leaves: 0, or a reason to drop where the program did not take over. Anything but TCP and UDP
 * may be, or hide, an ICMPv6 error that quotes an inside address. */
static __always_inline int uplink6_leaves(struct __sk_buff *skb, const struct nsr_uplink *uplink,
					  const struct packet *p, bool bare)
{
	const struct ipv6hdr *ip = p->ip6;
	bool inside = inside_of6(&ip->saddr);

	if (inside || (ip->nexthdr != IPPROTO_TCP && ip->nexthdr != IPPROTO_UDP) ||
	    uplink6_own_may_begin(skb, uplink, p))
		to_program6(skb, bare ? NSR_PROGRAM6_BARE_OUT : NSR_PROGRAM6_OUT);
	return inside ? DROP(NAT_PROTOCOL) : 0;
}

static __always_inline struct nat_work6 *uplink6_work(const struct nsr_uplink *uplink, bool bare)
{
	const struct nsr_settings *settings = nat_settings();
	struct nat_work6 *work = nat_work();

	if (!work || !settings)
		return NULL;
	__builtin_memset(&work->request, 0, sizeof(work->request));
	work->request.external = address6_of(uplink);
	work->request.slot = uplink->index;
	work->request.flow.inside.uplink = uplink->index;
	work->request.now_s = nat_now_s(settings);
	work->link = link_bytes(bare);
	return work;
}

/* The external address that one is, or that an inside one has, and its slot. True: the former. */
NSR_STEP int uplink6_external(const struct nsr_uplink *uplink, const struct nsr_address6 *address)
{
	struct nat_work6 *work = nat_work();
	u32 slot;

	if (!work || !uplink || !address)
		return false;
	slot = address6_slot(uplink, address);
	work->request.slot = slot == NSR_SLOTS_MAX ? address6_pair(uplink, address) : slot;
	work->request.external = address6_at(uplink, work->request.slot);
	return slot != NSR_SLOTS_MAX;
}

/* What the flow of a packet that leaves is called, besides its addresses. */
static __always_inline void uplink6_flow(struct nat_work6 *work)
{
	struct nat_request6 *request = &work->request;
	const struct transport6 *t = &work->transport;

	request->flow.inside.port = t->source;
	request->flow.inside.protocol = t->protocol;
	request->flow.remote_port = t->protocol == NSR_NAT_ICMP ? 0 : t->dest;
	request->seen = seen_by(true, t->protocol, t->tcp_flags);
}

/* What the host itself sends from the external address. request->mapping is then the one that it
 * leaves by; 0: it goes as it is. */
static __always_inline void uplink6_own(struct __sk_buff *skb, struct nat_work6 *work)
{
	const struct transport6 *t = &work->transport;

	if (t->later || !t->check_offset ||
	    (t->protocol == NSR_NAT_ICMP && t->icmp_type != ICMP6_ECHO_REQUEST))
		return;
	work->request.external = work->request.flow.inside.address;
	uplink6_flow(work);
	if (t->protocol == NSR_NAT_ICMP) {
		host_echo_note6(&work->request);
		own_begins6(skb, &work->request);
	} else {
		own_translate6(skb, &work->request,
			       transport_may_begin(t->protocol == NSR_NAT_TCP, t->tcp_flags));
	}
}

/* Writes another port of the host's into the packet. On its own, as it is rare: 0, or a reason to
 * drop. */
NSR_STEP int uplink6_own_rewrite(struct __sk_buff *skb)
{
	struct nat_work6 *work = nat_work();
	struct nat_request6 *request;

	if (!work)
		return DROP(NAT_REWRITE);
	request = &work->request;
	return rewrite_endpoint6(skb, work->link, &work->transport, true, &request->external,
				 &request->external, bpf_htons(NSR_MAPPING_PORT(request->mapping)));
}

/* The mapping of what leaves, and its session: 0, or a reason to drop; VERDICT_RARE: it leaves as
 * it is. */
static __always_inline int uplink6_open(struct __sk_buff *skb, const struct nsr_uplink *uplink,
					struct nat_work6 *work, const struct nsr_inside *inside)
{
	struct nat_request6 *request = &work->request;

	uplink6_flow(work);
	if (session_leaves6(&request->flow, request)) {
		/* That of a published port may have another address than what it begins. */
		if (NSR_MAPPING_SLOT(request->mapping) != request->slot)
			address6_ask(skb, NSR_MAPPING_SLOT(request->mapping), request->now_s,
				     &request->external, &request->flow.remote_address);
		return address_is_none6(&request->external) ? DROP(NAT_CLOSED) : 0;
	}
	/* One that has gone is asked about, too, for its flow may be all that leaves by it. */
	if (uplink->flags & NSR_UPLINK_MORE6 && session_waits6(request)) {
		address6_ask(skb, request->slot, request->now_s, &request->external,
			     &request->flow.remote_address);
		return DROP(NAT_CLOSED);
	}
	/* Not of what a port's hook has, which is a hairpin. */
	if (inside->except && skb->ifindex == uplink->ifindex && !except6_leaves())
		return VERDICT_RARE;
	if (address_is_none6(&request->external) || uplink->flags & NSR_UPLINK_CHANGING6)
		return DROP(NAT_CLOSED);
	request_limits6(request, inside);
	return work->transport.tcp_flags & TCP_RST ? session_reset6(skb, request)
						   : session_open_or_join6(skb, request);
}

/* Later fragments leave with the address that the first has, where that is not what the inside
 * address has for what it begins. */
NSR_STEP int uplink6_later(const struct nsr_uplink *uplink)
{
	u32 slot = direct6_slot();
	struct nat_work6 *work = nat_work();

	if (uplink && work && slot < NSR_SLOTS_MAX)
		work->request.external = address6_at(uplink, slot);
	return 0;
}

/* What an inside host sends: 0 when it has been translated, or a reason to drop. */
static __always_inline int uplink6_masquerade(struct __sk_buff *skb,
					      const struct nsr_uplink *uplink,
					      struct nat_work6 *work,
					      const struct nsr_inside *inside, int unfit)
{
	struct nat_request6 *request = &work->request;
	struct transport6 *t = &work->transport;
	int refused;

	if (unfit)
		return unfit;
	if (t->home)
		return DROP(IP_OPTIONS);
	if (t->later) {
		if (uplink->flags & NSR_UPLINK_MORE6)
			uplink6_later(uplink);
		return address_is_none6(&request->external) ? DROP(NAT_CLOSED)
							    : fragment6_leaves(skb, work);
	}
	if (t->protocol == NSR_NAT_ICMP && is_icmp6_error(t->icmp_type))
		return t->fragment ? DROP(NAT_FRAGMENT) : icmp6_leaves(skb, true);
	if (t->protocol == NSR_NAT_ICMP && t->icmp_type != ICMP6_ECHO_REQUEST)
		return DROP(NAT_PROTOCOL);
	if (!t->check_offset)
		return DROP(MALFORMED);
	refused = uplink6_open(skb, uplink, work, inside);
	if (refused)
		return drop_or_pass(refused == VERDICT_RARE ? 0 : refused);
	if (t->fragment && inside->except)
		except6_note();
	if (t->fragment && uplink->flags & NSR_UPLINK_MORE6)
		direct6_leaves_by(request->mapping);
	if (t->fragment && fragment6_renumber(skb, t, &request->flow.inside.address))
		return DROP(NAT_REWRITE);
	return rewrite_endpoint6(skb, work->link, t, true, &request->flow.inside.address,
				 &request->external, bpf_htons(NSR_MAPPING_PORT(request->mapping)));
}

/* What leaves, whoever sent it: 0, or a reason to drop; VERDICT_RARE: it is for other6.h. */
static __always_inline int uplink6_send(struct __sk_buff *skb, const struct nsr_uplink *uplink,
					struct nat_work6 *work, bool bare)
{
	struct nat_request6 *request = &work->request;
	const struct nsr_inside *inside;
	struct packet p;
	bool special, own = false, external;
	int unfit;

	if (load_as(skb, &p, bare) != PACKET_IPV6)
		return DROP(MALFORMED); /* it was one before */
	__builtin_memcpy(&request->flow.inside.address, &p.ip6->saddr, sizeof(p.ip6->saddr));
	__builtin_memcpy(&request->flow.remote_address, &p.ip6->daddr, sizeof(p.ip6->daddr));
	special = ip6_is_special(&p.ip6->daddr);
	inside = inside_at6(skb, uplink->index, &p.ip6->saddr);
	external = uplink6_external(uplink, &request->flow.inside.address);
	if (external) {
		request->forwarded = port_translated(skb);
		own = !skb->ingress_ifindex;
		inside = NULL;
	}
	unfit = transport6_find(skb, link_bytes(bare), skb->len, &work->transport);
	if (unfit == VERDICT_RARE)
		return inside || external ? VERDICT_RARE : 0;
	if (own && !unfit)
		uplink6_own(skb, work);
	if (own && request->mapping)
		return uplink6_own_rewrite(skb);
	if (!inside)
		return !unfit && !work->transport.later &&
				       work->transport.protocol == NSR_NAT_ICMP &&
				       is_icmp6_error(work->transport.icmp_type)
			       ? icmp6_leaves(skb, false)
			       : 0;
	if (inside->uplink != uplink->index)
		return DROP(WRONG_UPLINK);
	if (special)
		return DROP(NAT_PROTOCOL);
	if (inside->except) {
		int excepted = except6_begins(work, unfit);

		if (excepted != VERDICT_RARE)
			return drop_or_pass(excepted);
	}
	if (inside->inbound && !unfit) {
		unfit = direct6_leaves(skb);
		if (unfit != VERDICT_RARE)
			return drop_or_pass(unfit);
		unfit = 0;
	} else if (inside->inbound) {
		direct6_forget(&work->transport);
	}
	address6_ask(skb, request->slot, request->now_s, &request->external,
		     &request->flow.remote_address);
	return uplink6_masquerade(skb, uplink, work, inside, unfit);
}

/* What was for other6.h, where its program did not take over, as in uplink6_leaves(): the host's
 * own passes, unless it is an error, which may quote an inside address. */
static __always_inline int uplink6_not_sent(const struct nsr_uplink *uplink,
					    const struct nat_work6 *work)
{
	return work->transport.protocol == NSR_NAT_OTHER &&
			       address6_is_external(uplink, &work->request.flow.inside.address)
		       ? 0
		       : DROP(NAT_PROTOCOL);
}

/* Whom a packet that is whole, or the first fragment of one, is for. */
static __always_inline enum nat_inbound uplink6_classify(struct __sk_buff *skb,
							 struct nat_work6 *work)
{
	struct nat_request6 *request = &work->request;
	const struct transport6 *t = &work->transport;
	enum nat_inbound whom;

	if (!t->check_offset || (t->protocol == NSR_NAT_ICMP && t->icmp_type != ICMP6_ECHO_REPLY))
		return NAT_INBOUND_HOST;
	request->flow.inside.protocol = t->protocol;
	request->flow.remote_port = t->protocol == NSR_NAT_ICMP ? 0 : t->source;
	request->seen = seen_by(false, t->protocol, t->tcp_flags);
	whom = nat_in_outside6(skb, request, t->dest);
	return whom == NAT_INBOUND_RARE ? (enum nat_inbound)nat_in_unmapped6(request, t->dest)
					: whom;
}

/* Whom a packet that arrives at the external address is for. NAT_INBOUND_SESSION: it has been
 * translated. NAT_INBOUND_HELD: there is nothing more to do with it. NAT_INBOUND_RARE: it is for
 * other6.h, and unchanged. */
static __always_inline enum nat_inbound uplink6_receive(struct __sk_buff *skb,
							const struct nsr_uplink *uplink,
							struct nat_work6 *work, bool bare)
{
	struct nat_request6 *request = &work->request;
	struct transport6 *t = &work->transport;
	enum nat_inbound whom, others;
	struct packet p;
	int unfit;
	u32 slot;

	if (load_as(skb, &p, bare) != PACKET_IPV6)
		return NAT_INBOUND_HOST;
	__builtin_memcpy(&request->flow.remote_address, &p.ip6->saddr, sizeof(p.ip6->saddr));
	__builtin_memcpy(&request->external, &p.ip6->daddr, sizeof(p.ip6->daddr));
	slot = address6_find(uplink, &request->external);
	if (slot >= NSR_SLOTS_MAX)
		return NAT_INBOUND_HOST; /* it has gone just now */
	request->slot = slot;
	unfit = transport6_find(skb, link_bytes(bare), skb->len, t);
	if (unfit == VERDICT_RARE)
		return NAT_INBOUND_RARE;
	if (unfit)
		return unfit == DROP(IP_OPTIONS) ? NAT_INBOUND_ROUTED : NAT_INBOUND_HOST;
	if (t->later)
		return fragment6_later(skb);
	if (!t->fragment && t->protocol == NSR_NAT_ICMP && is_icmp6_error(t->icmp_type))
		return t->check_offset ? icmp6_arrives(skb) : NAT_INBOUND_HOST;
	whom = uplink6_classify(skb, work);
	others = t->fragment ? fragment6_learn(whom) : NAT_INBOUND_HOST;
	if (others == NAT_INBOUND_LOST)
		return others;
	if (others == NAT_INBOUND_HELD) {
		fragment6_release(skb, whom);
		return others;
	}
	if (whom != NAT_INBOUND_SESSION)
		return whom;
	return rewrite_endpoint6(skb, work->link, t, false, &request->external,
				 &request->flow.inside.address, request->flow.inside.port)
		       ? NAT_INBOUND_FAILED
		       : NAT_INBOUND_SESSION;
}

/* What the NAT has no part in: the host's own, unless it is refused. Only what the kernel could
 * forward can come back as an inside host's. */
static __always_inline int uplink6_judge_other(struct __sk_buff *skb, u32 uplink,
					       const struct ipv6hdr *ip)
{
	if (inside_at6(skb, uplink, &ip->daddr))
		return DROP(INBOUND);
	return inside_at6(skb, uplink, &ip->saddr) ? DROP(SPOOFED_ADDRESS) : VERDICT_KERNEL;
}

/* Whether a packet that arrives is for an inside address, and not for the external one. */
static __always_inline bool uplink6_is_inbound(struct __sk_buff *skb,
					       const struct nsr_uplink *uplink, bool bare)
{
	struct packet p;

	/* Both are looked at: what is external may have become another one since the uplink's own
	 * program looked, and that is nobody's inside address. */
	return load_as(skb, &p, bare) == PACKET_IPV6 &&
	       !address6_is_external(uplink, (void *)&p.ip6->daddr) &&
	       inside_at6(skb, uplink->index, &p.ip6->daddr);
}

/* What is for an inside address straight: NAT_INBOUND_SESSION, it goes on as it is. Otherwise
 * *ret_refused is the reason to drop it. */
static __always_inline enum nat_inbound
uplink6_inbound(struct __sk_buff *skb, struct nat_work6 *work, bool bare, int *ret_refused)
{
	enum nat_inbound whom = NAT_INBOUND_REFUSED;
	struct packet p;

	*ret_refused = except6_arrives(skb, bare);
	if (*ret_refused != VERDICT_RARE) {
		*ret_refused = drop_or_pass(*ret_refused);
		return *ret_refused ? whom : NAT_INBOUND_SESSION;
	}
	*ret_refused = drop_or_pass(inbound6_judge(skb, bare));
	if (*ret_refused)
		return whom;
	if (parse_as(skb, &p, bare) == PACKET_IPV6)
		whom = inbound6_receive(skb, work, bare, p.ip6);
	TELL(INBOUND, whom, true, 0);
	*ret_refused = direct_refused6(whom);
	return whom;
}

/* An Ethernet header for a packet that came without, because a namespace's interface wants one.
 * False: the packet is as it was. */
static __always_inline bool uplink6_add_header(struct __sk_buff *skb)
{
	const __be16 protocol = bpf_htons(ETH_P_IPV6);

	return !bpf_skb_change_head(skb, sizeof(struct ethhdr), 0) &&
	       !bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &protocol,
				    sizeof(protocol), 0);
}

/* Whether a packet, of as many bytes, goes into the namespace by us. */
static __always_inline bool uplink6_takes(struct __sk_buff *skb, const struct packet *p,
					  const struct nsr_endpoint *to)
{
	if (!to || p->ip6->hop_limit <= 1 ||
	    (p->ip6->nexthdr == IPPROTO_HOPOPTS && !ip6_is_big_tcp(p, skb->len)))
		return false;
	return p->bare ? endpoint_takes_bare(skb, to) && uplink6_add_header(skb)
		       : endpoint_takes(skb, skb->len, to);
}

/* Delivers what was translated, or leaves it to the kernel, translated. */
static __always_inline int uplink6_deliver(struct __sk_buff *skb, bool bare,
					   const struct nsr_endpoint **ret_to)
{
	const struct nsr_endpoint *to;
	struct packet p;

	if (parse_as(skb, &p, bare) != PACKET_IPV6)
		return VERDICT_KERNEL;
	to = fib_host6(&p.ip6->daddr);
	TELL_ENDPOINT(ROUTED, to);
	TELL_UNFIT_HEADER(&p, true, NSR_PORT_FAST);
	TELL_UNFIT_ENDPOINT(skb, to, false);
	if (!uplink6_takes(skb, &p, to) || !packet_at(skb, &p, true))
		return VERDICT_KERNEL;
	rewrite_hop_limit(p.ip6);
	rewrite_macs(p.eth, to->mac, to->gateway_mac);
	*ret_to = to;
	return VERDICT_PEER;
}

#endif
