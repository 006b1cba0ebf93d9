/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * icmp6.h - ICMPv6 errors about translated packets, both ways: as icmp.h does it for IPv4.
 *
 * Types 1 to 4 (RFC 4443) quote the packet that they are about. The side of the quote that was
 * translated is translated back, with the checksum of the quoted transport header where the quote
 * has it, and that of the message, which covers the addresses of the error itself, too. Type, code,
 * and the MTU of "packet too big" stay as they are. The session that the quote names must exist.
 */
#ifndef NSROUTE_BPF_ICMP6_H
#define NSROUTE_BPF_ICMP6_H

#include "except.h"
#include "inner.h"
#include "rewrite.h"
#include "steps.h"
#include "transport6.h"

#define ICMP6_HEADER 8 /* bytes in front of the quote */

/* What is taken of a quote. */
struct quote6 {
	u32 offset; /* of the quoted IPv6 header, from the start of the frame */
	struct ipv6hdr ip;
	struct transport6 transport;
};

/* The words that a translation changes in a quote, for their sum. */
struct quote_words6 {
	struct nsr_address6 address;
	__be16 port;
	u16 check;
};

/* What a packet needs that is more than the stack has room for. */
struct nat_work6 {
	struct nat_request6 request; /* first: see nat6.h */
	struct transport6 transport;
	struct quote6 quote;
	struct quote_words6 from, to;
	struct nsr_address6 old; /* address of the packet that is changed */
	u32 link;                /* where its IPv6 header is: bytes of a link's */
};

_Static_assert(sizeof(struct nat_work6) <= NAT_WORK_ENTRY, "room in nat_scratch6");

static __always_inline struct nat_work6 *nat_work(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&nat_scratch6, &zero);
}

/* Whether an error quotes the header of an IPv6 packet. */
static __always_inline bool quote6_read(struct __sk_buff *skb, struct nat_work6 *work)
{
	struct quote6 *q = &work->quote;

	q->offset = work->transport.offset + ICMP6_HEADER;
	return !bpf_skb_load_bytes(skb, q->offset, &q->ip, sizeof(q->ip)) && q->ip.version == 6;
}

/* 0: the quoted packet is one that can have a session. VERDICT_RARE: likewise, without ports. */
static __always_inline int quote6_find_transport(struct __sk_buff *skb, struct quote6 *q)
{
	u32 end = q->offset + (u32)sizeof(q->ip) + bpf_ntohs(q->ip.payload_len);
	int unfit = transport6_find(skb, q->offset, end < skb->len ? end : skb->len, &q->transport);

	return !unfit && q->transport.later ? DROP(NAT_FRAGMENT) : unfit;
}

/* Whether it is one that can have a session, and ports. */
static __always_inline bool quote6_read_transport(struct __sk_buff *skb, struct quote6 *q)
{
	return !quote6_find_transport(skb, q);
}

static __always_inline u16 quote6_checksum(const struct quote6 *q, const struct quote_words6 *from,
					   const struct quote_words6 *to)
{
	u16 sum = from->check;
	int i;

	if (q->transport.protocol == NSR_NAT_UDP && !sum)
		return 0; /* it had none */
#pragma unroll
	for (i = 0; i < 4; i++)
		sum = checksum_replace32(sum, from->address.words[i], to->address.words[i]);
	sum = checksum_replace(sum, from->port, to->port);
	return q->transport.protocol == NSR_NAT_UDP && !sum ? 0xffff : sum;
}

/* Changes one side of the quoted packet to what is in work->to. 0 or a reason to drop. */
static __always_inline int quote6_rewrite(struct __sk_buff *skb, struct nat_work6 *work,
					  bool source)
{
	struct quote_words6 *from = &work->from, *to = &work->to;
	const struct quote6 *q = &work->quote;
	const struct transport6 *t = &q->transport;
	u32 port_offset = t->offset, check = t->check_offset;
	u32 address_offset = q->offset + (source ? offsetof(struct ipv6hdr, saddr)
						 : offsetof(struct ipv6hdr, daddr));
	s64 difference;

	port_offset += t->protocol == NSR_NAT_ICMP ? ICMP_ID_OFFSET : source ? 0 : 2;
	__builtin_memcpy(&from->address, source ? &q->ip.saddr : &q->ip.daddr,
			 sizeof(from->address));
	from->port = source ? t->source : t->dest;
	from->check = 0;
	to->check = 0;
	if (check) {
		if (bpf_skb_load_bytes(skb, check, &from->check, sizeof(from->check)))
			return DROP(NAT_REWRITE);
		to->check = quote6_checksum(q, from, to);
	}
	difference = bpf_csum_diff((__be32 *)from, sizeof(*from), (__be32 *)to, sizeof(*to), 0);
	if (difference < 0 ||
	    bpf_l4_csum_replace(skb, work->transport.check_offset, 0, difference, 0) ||
	    bpf_skb_store_bytes(skb, address_offset, &to->address, sizeof(to->address), 0) ||
	    (to->port != from->port &&
	     bpf_skb_store_bytes(skb, port_offset, &to->port, sizeof(to->port), 0)) ||
	    (check && bpf_skb_store_bytes(skb, check, &to->check, sizeof(to->check), 0)))
		return DROP(NAT_REWRITE);
	return 0;
}

/*
 * An error that arrives at an external address. request has uplink, that address, its slot and
 * time. NAT_INBOUND_SESSION: it is for the inside, and has been translated. NAT_INBOUND_RARE: it is
 * for other6.h.
 */
NSR_STEP int icmp6_arrives(struct __sk_buff *skb)
{
	struct nat_work6 *work = nat_work();
	struct nat_request6 *request;
	struct nsr_mapping6 *record;
	struct session_view6 view;
	struct transport6 *t;
	u32 mapping, state;
	int unfit;

	if (!work || !quote6_read(skb, work))
		return NAT_INBOUND_HOST;
	unfit = quote6_find_transport(skb, &work->quote);
	if (unfit)
		return unfit == VERDICT_RARE ? NAT_INBOUND_RARE : NAT_INBOUND_HOST;
	request = &work->request;
	t = &work->quote.transport;
	if (!address_equal6((void *)&work->quote.ip.saddr, &request->external) ||
	    (t->protocol == NSR_NAT_ICMP && t->icmp_type != ICMP6_ECHO_REQUEST))
		return NAT_INBOUND_HOST;
	mapping = NSR_MAPPING(NSR_POOL(request->slot, t->protocol), bpf_ntohs(t->source));
	record = nat_mapping6(mapping);
	if (!record || !READ_ONCE(record->references))
		return NAT_INBOUND_HOST;
	request->flow.inside = record->inside;
	__builtin_memcpy(&request->flow.remote_address, &work->quote.ip.daddr,
			 sizeof(request->flow.remote_address));
	request->flow.remote_port = t->protocol == NSR_NAT_ICMP ? 0 : t->dest;
	if (!session_peek6(&request->flow, request->now_s, &view, &state) ||
	    view.mapping != mapping || !address_equal6(&view.external, &request->external))
		return NAT_INBOUND_HOST;
	work->to.address = request->flow.inside.address;
	work->to.port = request->flow.inside.port;
	if (quote6_rewrite(skb, work, true) ||
	    rewrite_endpoint6(skb, work->link, &work->transport, false, &request->external,
			      &work->to.address, work->transport.dest))
		return NAT_INBOUND_FAILED;
	return NAT_INBOUND_SESSION;
}

/* The quote of an error that leaves: 0 when it has been translated; request->external is then the
 * address that the remote has sent to. That may be here while the sender's own is not. */
static __always_inline int icmp6_translate(struct __sk_buff *skb, struct nat_work6 *work)
{
	struct nat_request6 *request = &work->request;
	struct transport6 *t = &work->quote.transport;
	struct session_view6 view;
	u32 state;

	__builtin_memcpy(&request->flow.inside.address, &work->quote.ip.daddr,
			 sizeof(request->flow.inside.address));
	request->flow.inside.port = t->dest;
	request->flow.inside.protocol = t->protocol;
	__builtin_memcpy(&request->flow.remote_address, &work->quote.ip.saddr,
			 sizeof(request->flow.remote_address));
	request->flow.remote_port = t->protocol == NSR_NAT_ICMP ? 0 : t->source;
	if ((t->protocol == NSR_NAT_ICMP && t->icmp_type != ICMP6_ECHO_REPLY) ||
	    !session_peek6(&request->flow, request->now_s, &view, &state))
		return DROP(NAT_ICMP_ERROR);
	request->external = view.external;
	if (!address6_is_one_of(request->flow.inside.uplink, &request->external))
		return DROP(NAT_CLOSED);
	work->to.address = view.external;
	work->to.port = bpf_htons(NSR_MAPPING_PORT(view.mapping));
	return quote6_rewrite(skb, work, false);
}

/* Whether the quote of an error that leaves is of a packet of a direct flow. */
static __always_inline bool icmp6_direct(struct nat_work6 *work)
{
	const struct transport6 *t = &work->quote.transport;

	if (t->protocol == NSR_NAT_ICMP ? t->icmp_type != ICMP6_ECHO_REQUEST : !t->dest)
		return false;
	/* The request has the flow from icmp6_translate(). */
	return direct_known6(&work->request);
}

/* As icmp4_excepted(). On its own, as except.h says. */
NSR_STEP int icmp6_excepted(void)
{
	struct nat_work6 *work = nat_work();
	const struct nsr_inside *inside;

	if (!work || address_equal6((void *)&work->quote.ip.saddr, &work->request.external))
		return false;
	inside = inside_of6(&work->quote.ip.daddr);
	return inside && inside->uplink == work->request.flow.inside.uplink &&
	       is_excepted6(inside, &work->quote.ip.daddr, (void *)&work->quote.ip.saddr);
}

/*
 * An error that leaves by the uplink: of an inside host, of the host itself about what it has
 * translated, or none of our business. request has uplink, external address and time, and the
 * packet's own addresses as those of a flow. 0 or a reason to drop; when it was translated,
 * request->forwarded is set. VERDICT_RARE: it is for other6.h, and nothing has been changed.
 */
NSR_STEP int icmp6_leaves(struct __sk_buff *skb, u32 inside)
{
	struct nat_work6 *work = nat_work();
	struct nat_request6 *request;
	int unfit, result;
	bool own;

	if (!work || !quote6_read(skb, work))
		return DROP(NAT_ICMP_ERROR); /* who knows whom it would quote */
	request = &work->request;
	unfit = quote6_find_transport(skb, &work->quote);
	if (unfit == VERDICT_RARE)
		return VERDICT_RARE;
	own = !inside && !inside_at6(skb, request->flow.inside.uplink, &work->quote.ip.daddr) &&
	      !inside_at6(skb, request->flow.inside.uplink, &work->quote.ip.saddr);
	if (own) {
		/* About the host's own: what came to another port of a flow (own.h) is told by that
		 * port. */
		if (unfit || request->forwarded || !share_host_any() ||
		    !address_equal6((void *)&work->quote.ip.daddr, &request->external))
			return 0;
	} else if (!address_equal6(&request->flow.remote_address, (void *)&work->quote.ip.saddr) ||
		   unfit) {
		return DROP(NAT_ICMP_ERROR); /* it goes to whoever sent the packet */
	}
	work->old = request->flow.inside.address;
	result = icmp6_translate(skb, work);
	if (own && result == DROP(NAT_ICMP_ERROR))
		return 0; /* of no such flow */
	if (result == DROP(NAT_ICMP_ERROR) && (icmp6_direct(work) || icmp6_excepted())) {
		/* The quote stays as it is; so does the error, unless somebody else reports. */
		if (!inside || address_equal6(&work->old, (void *)&work->quote.ip.daddr))
			return 0;
		if (!address_is_none6(&request->external))
			result = 0;
	}
	if (!result && inside)
		result = rewrite_endpoint6(skb, work->link, &work->transport, true, &work->old,
					   &request->external, work->transport.source);
	request->forwarded = skb->ifindex;
	return result;
}

#endif
