/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * other6.h - packets of IPv6 without ports that we know, as other.h tells, and ICMPv6 errors about
 * them.
 *
 * They are programs of their own, which those of uplink6.h hand over to by a tail call when they
 * have found such a packet: so none of what more is needed here is on the stack of those, or
 * verified with them. They look at the packet anew.
 *
 * Which protocols are translated is a list (is_portless6()), and not all but a few, as of IPv4.
 * None of those has a checksum that covers an address, so nothing but the address is changed, and a
 * fragment, first or later, is like any packet; but for its identification.
 */
#ifndef NSROUTE_BPF_OTHER6_H
#define NSROUTE_BPF_OTHER6_H

#include "uplink6.h"

/* RFC 4443: how a kernel says that nobody takes what it was sent. */
#define ICMP6_UNREACHABLE 1
#define ICMP6_NO_PORT     4 /* code: no such tunnel */
#define ICMP6_PARAMETER   4
#define ICMP6_NEXT_HEADER 1 /* code: no such protocol */

static __always_inline bool sctp6_ends(struct __sk_buff *skb, const struct transport6 *t)
{
	return t->next == IPPROTO_SCTP && !t->later && other_is_end6(skb, t->offset);
}

/* The packet's addresses, as those of a flow that leaves, and what is in it. As transport6_find(),
 * or DROP(MALFORMED). */
static __always_inline int other6_load(struct __sk_buff *skb, struct nat_work6 *work, bool bare)
{
	struct nat_request6 *request = &work->request;
	struct packet p;

	if (load_as(skb, &p, bare) != PACKET_IPV6)
		return DROP(MALFORMED); /* it was one before */
	__builtin_memcpy(&request->flow.inside.address, &p.ip6->saddr, sizeof(p.ip6->saddr));
	__builtin_memcpy(&request->flow.remote_address, &p.ip6->daddr, sizeof(p.ip6->daddr));
	work->old = request->flow.inside.address;
	return transport6_find(skb, link_bytes(bare), skb->len, &work->transport);
}

/* ---- Errors. */

/* Whether the session of the quoted protocol with a remote is live: its two addresses. */
static __always_inline bool other6_about(struct nat_work6 *work, const void *remote,
					 struct other_session6 *ret_session)
{
	struct nsr_address6 address;

	__builtin_memcpy(&address, remote, sizeof(address));
	other_ask6(&work->request, work->quote.transport.next, address);
	return !host_has6(&work->request) && !other_look6(&work->request, ret_session);
}

/* Whether an error from outside has been translated: NAT_INBOUND_SESSION. */
NSR_STEP int other6_error_arrives(struct __sk_buff *skb)
{
	struct nat_work6 *work = nat_work();
	struct other_session6 found = {};
	struct nat_request6 *request;

	if (!work || !quote6_read(skb, work) ||
	    quote6_find_transport(skb, &work->quote) != VERDICT_RARE)
		return NAT_INBOUND_HOST;
	request = &work->request;
	if (!address_equal6((void *)&work->quote.ip.saddr, &request->external) ||
	    !other6_about(work, &work->quote.ip.daddr, &found) ||
	    !address_equal6(&found.external, &request->external))
		return NAT_INBOUND_HOST;
	work->to.address = found.inside;
	work->to.port = 0;
	if (quote6_rewrite(skb, work, true) ||
	    rewrite_endpoint6(skb, work->link, &work->transport, false, &request->external,
			      &work->to.address, work->transport.dest))
		return NAT_INBOUND_FAILED;
	return NAT_INBOUND_SESSION;
}

/* Whether the host tells a remote that nobody takes what it sends of a protocol without ports, as
 * kernels do in either way. */
static __always_inline bool other6_refuses(struct __sk_buff *skb, const struct nat_work6 *work)
{
	const struct nat_request6 *request = &work->request;
	u8 code, type = work->transport.icmp_type;

	if (request->forwarded || address_is_none6(&request->external) ||
	    !address_equal6((void *)&work->quote.ip.daddr, &request->external) ||
	    bpf_skb_load_bytes(skb, work->transport.offset + 1, &code, sizeof(code)))
		return false;
	return (type == ICMP6_UNREACHABLE && code == ICMP6_NO_PORT) ||
	       (type == ICMP6_PARAMETER && code == ICMP6_NEXT_HEADER);
}

/*
 * An error that leaves by the uplink, as icmp6_leaves() has it: 0 or a reason to drop; when it was
 * translated, request->forwarded is set. inside: its sender is.
 */
NSR_STEP int other6_error_leaves(struct __sk_buff *skb, u32 inside)
{
	struct nat_work6 *work = nat_work();
	struct other_session6 found = {};
	struct nat_request6 *request;
	bool known;
	u32 uplink;

	if (!work || !quote6_read(skb, work) ||
	    quote6_find_transport(skb, &work->quote) != VERDICT_RARE)
		return DROP(NAT_ICMP_ERROR);
	request = &work->request;
	uplink = request->flow.inside.uplink;
	if (!inside && !inside_at6(skb, uplink, &work->quote.ip.daddr) &&
	    !inside_at6(skb, uplink, &work->quote.ip.saddr)) {
		/* About the host's own; what is masqueraded elsewhere has no say in that. */
		if (other6_refuses(skb, work) &&
		    (address_equal6(&work->old, &request->external) || !inside_of6(&work->old))) {
			__builtin_memcpy(&found.inside, &work->quote.ip.saddr,
					 sizeof(found.inside));
			other_ask6(request, work->quote.transport.next, found.inside);
			host_note6(request, NSR_HOST_REFUSES);
		}
		return 0;
	}
	/* It goes to whoever sent the packet. */
	if (!address_equal6(&request->flow.remote_address, (void *)&work->quote.ip.saddr))
		return DROP(NAT_ICMP_ERROR);
	known = other6_about(work, &work->quote.ip.saddr, &found) &&
		address_equal6(&found.inside, (void *)&work->quote.ip.daddr);
	if (!known && !icmp6_excepted())
		return DROP(NAT_ICMP_ERROR);
	/* That quote stays as it is; so does the error, unless somebody else reports. */
	if (!known && (!inside || address_equal6(&work->old, (void *)&work->quote.ip.daddr)))
		return 0;
	if (known)
		request->external = found.external;
	if (!address6_is_one_of(uplink, &request->external))
		return known ? DROP(NAT_CLOSED) : DROP(NAT_ICMP_ERROR);
	work->to.address = found.external;
	work->to.port = 0;
	request->forwarded = skb->ifindex;
	if ((known && quote6_rewrite(skb, work, false)) ||
	    (inside && rewrite_endpoint6(skb, work->link, &work->transport, true, &work->old,
					 &request->external, work->transport.source)))
		return DROP(NAT_REWRITE);
	return 0;
}

/* ---- Packets. */

/* The host speaks the protocol to the remote, or refuses to. */
NSR_STEP int other6_own(struct __sk_buff *skb)
{
	struct nat_work6 *work = nat_work();

	if (!work)
		return 0;
	other_ask6(&work->request, work->transport.next, work->request.flow.remote_address);
	return host_note6(&work->request,
			  sctp6_ends(skb, &work->transport) ? NSR_HOST_REFUSES : NSR_HOST_SENDS);
}

/* What is sent by an inside address. request has uplink, external address, remote and time. 0 or a
 * reason to drop. */
NSR_STEP int other6_leaves(struct __sk_buff *skb)
{
	struct nat_work6 *work = nat_work();
	const struct nsr_inside *inside = work ? inside_of6(&work->old) : NULL;
	struct nat_request6 *request;
	const struct transport6 *t;
	int refused;

	if (!inside)
		return DROP(NAT_PROTOCOL);
	request = &work->request;
	t = &work->transport;
	if (t->home)
		return DROP(IP_OPTIONS);
	other_ask6(request, t->next, request->flow.remote_address);
	if (inside->except) {
		refused = except6_portless();
		if (refused != VERDICT_RARE)
			return drop_or_pass(refused);
	}
	if (address_is_none6(&request->external))
		return DROP(NAT_CLOSED);
	if (host_has6(request))
		return DROP(NAT_SOCKET);
	request->flow.inside.address = work->old;
	request->seen = NSR_SEEN_OUT;
	if (t->next == IPPROTO_SCTP)
		request->seen |= sctp6_ends(skb, t) ? NSR_SEEN_RST : NSR_SEEN_OUT_SYN;
	request_limits6(request, inside);
	/* Whom it has sent to is all that is let in anyway: no contacts. */
	request->owner = NSR_OWNER(NSR_OWNER_OWN, NSR_OWNER_NUMBER(request->owner));
	request->mapping = NSR_MAPPING_NONE;
	refused = other_join6(skb, request);
	if (refused)
		return refused;
	request->forwarded = skb->ifindex;
	if ((t->fragment && fragment6_renumber(skb, t, &work->old)) ||
	    fragment6_rewrite(skb, work->link, true, &request->external))
		return DROP(NAT_REWRITE);
	return 0;
}

/* A packet to the external address; current: it is the one that is in use. request has uplink,
 * remote, that address and time. NAT_INBOUND_SESSION: it is for the inside, and has been
 * translated. */
NSR_STEP int other6_arrives(struct __sk_buff *skb, u32 current)
{
	struct nat_work6 *work = nat_work();
	struct other_session6 found = {};
	struct nat_request6 *request;
	bool ends;
	int known;

	if (!work)
		return NAT_INBOUND_HOST;
	request = &work->request;
	ends = sctp6_ends(skb, &work->transport);
	other_ask6(request, work->transport.next, request->flow.remote_address);
	request->seen = ends ? NSR_SEEN_IN | NSR_SEEN_RST : NSR_SEEN_IN;
	known = host_has6(request) ? VERDICT_RARE : other_look6(request, &found);
	if (!known && !address_equal6(&found.external, &request->external))
		known = VERDICT_RARE;
	if (known == VERDICT_RARE && current && !ends)
		host_note6(request, NSR_HOST_HEARS);
	if (known || !other_seen6(request, &found))
		return NAT_INBOUND_HOST;
	return fragment6_rewrite(skb, work->link, false, &found.inside) ? NAT_INBOUND_FAILED
									: NAT_INBOUND_SESSION;
}

/* What leaves, whoever sent it: 0, or a reason to drop; when it was translated, request->forwarded
 * is set. */
static __always_inline int other6_send(struct __sk_buff *skb, const struct nsr_uplink *uplink,
				       struct nat_work6 *work, bool bare)
{
	struct nat_request6 *request = &work->request;
	int unfit = other6_load(skb, work, bare);
	bool own = uplink6_external(uplink, &work->old);
	const struct nsr_inside *inside = own ? NULL : inside_at6(skb, uplink->index, &work->old);

	if (unfit && unfit != VERDICT_RARE)
		return DROP(MALFORMED);
	if (inside) {
		if (inside->uplink != uplink->index)
			return DROP(WRONG_UPLINK);
		if (ip6_is_special(&request->flow.remote_address))
			return DROP(NAT_PROTOCOL);
		address6_ask(skb, request->slot, request->now_s, &request->external,
			     &request->flow.remote_address);
	}
	if (!unfit) {
		request->forwarded = own && port_translated(skb);
		return other6_error_leaves(skb, !!inside);
	}
	return inside ? other6_leaves(skb) : own ? other6_own(skb) : 0;
}

/* Whom what arrives at the external address is for. NAT_INBOUND_SESSION: it has been translated. */
static __always_inline enum nat_inbound other6_receive(struct __sk_buff *skb,
						       const struct nsr_uplink *uplink,
						       struct nat_work6 *work, bool bare)
{
	struct nat_request6 *request = &work->request;
	int unfit = other6_load(skb, work, bare);
	bool current;

	uplink6_external(uplink, &request->flow.remote_address);
	current = address_equal6(&request->external, &request->flow.remote_address);
	request->external = request->flow.remote_address;
	request->flow.remote_address = work->old;
	if (unfit == VERDICT_RARE)
		return other6_arrives(skb, current);
	return unfit ? NAT_INBOUND_HOST : other6_error_arrives(skb);
}

#endif
