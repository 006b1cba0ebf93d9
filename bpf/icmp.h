/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * icmp.h - ICMP errors about translated packets, both ways (RFC 5508 section 4).
 *
 * An error quotes the packet that it is about: its IP header and at least eight bytes more. One
 * that arrives quotes what went out, with the external address as its source; one that leaves
 * quotes what came in, with an inside address where it was going. In each that side of the quote is
 * translated as the packet itself would be on the way back, and the checksums with it: of the
 * quoted IP header, of the quoted transport header where the quote reaches so far, and of the ICMP
 * message. All are adjusted, so one that was wrong stays wrong, and whoever gets it will not
 * believe it; but kernels do not look at that of the quoted IP header, so that one is judged here.
 * Type, code and the MTU of "fragmentation needed" stay as they are.
 *
 *   arrives   router -> external   quotes external:port -> remote      to the inside endpoint
 *   leaves    router -> remote     quotes remote -> inside:port        in the external address's
 * name
 *
 * An error about a direct flow (direct.h) quotes what nobody has translated, and stays as it is.
 * What another inside address than the flow's reports, a router's for one, leaves in the external
 * address's name.
 *
 * The session that the quote names must exist (REQ-4, REQ-5). Errors neither keep it alive nor end
 * it (REQ-6). What is about none is the host's own when it arrives; when it leaves and would show
 * an inside address, it is dropped.
 *
 * All of it is off the hot path. Packets are read and changed by helpers alone, because the quote
 * may lie beyond the linear part.
 */
#ifndef NSROUTE_BPF_ICMP_H
#define NSROUTE_BPF_ICMP_H

#include "direct4.h"
#include "inner.h"
#include "options.h"
#include "other4.h"
#include "rewrite.h"
#include "steps.h"

/* What is taken of a quote. */
struct quote {
	u32 offset;                 /* of the quoted IP header, from the start of the packet */
	u32 beyond;                 /* bytes that are quoted of what is behind it */
	struct iphdr ip;            /* without options */
	struct transport transport; /* its offset, too, is from the start of the packet */
};

/* The words that a translation changes in a quote, in the order of nothing: for their sum. */
struct quote_words {
	__be32 address;
	u16 ip_check, l4_check;
	__be16 port;
	u16 zero;
};

/* Those that end hosts act upon. Source quench has been taken back (RFC 6633), and a redirect is
 * for a neighbour, so they are not translated. */
static __always_inline bool is_translated_error(u8 type)
{
	return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETER_PROBLEM;
}

/* What refuses an error that is to go back, where nobody else would have it. */
static __always_inline int error_refused(int result)
{
	return result == DROP(NAT_CLOSED) ? result : DROP(NAT_REWRITE);
}

#define ICMP_NONE 255

/* The type of the ICMP message in an IPv4 packet. */
static __always_inline u8 icmp4_type(struct __sk_buff *skb, const struct packet *p)
{
	u8 type;

	if (p->ip4->protocol != IPPROTO_ICMP || p->ip4->frag_off & bpf_htons(IP_OFFSET) ||
	    bpf_skb_load_bytes(skb, packet_link(p) + p->ip4->ihl * 4u, &type, sizeof(type)))
		return ICMP_NONE;
	return type;
}

/* Whether there is a quoted IP header. */
static __always_inline bool quote_read(struct __sk_buff *skb, const struct packet *p,
				       struct quote *ret)
{
	ret->offset = packet_link(p) + p->ip4->ihl * 4u + (u32)sizeof(struct icmp_header);
	return !bpf_skb_load_bytes(skb, ret->offset, &ret->ip, sizeof(ret->ip));
}

/* Whether the IPv4 header at offset has its checksum: a damaged one may name anybody (RFC 5508
 * REQ-3a). Not zero: it has. */
NSR_STEP int quote_is_sound(struct __sk_buff *skb, u32 offset)
{
	u8 options[OPTIONS_MAX] = {}; /* what is not there adds nothing */
	struct iphdr ip;
	s64 sum;

	if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)))
		return 0;
	if (ip.ihl > 5 && !options_load(skb, offset, options))
		return 0;
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&ip, sizeof(ip), 0);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)options, sizeof(options), (u32)sum);
	sum = (sum & 0xffff) + ((sum >> 16) & 0xffff);
	return (sum & 0xffff) + (sum >> 16) == 0xffff;
}

/* Whether the quoted packet is one that can have a session. */
static __always_inline bool quote_read_transport(struct __sk_buff *skb, struct quote *q)
{
	u32 header = q->ip.ihl * 4u, total = bpf_ntohs(q->ip.tot_len);
	struct transport *t = &q->transport;
	u8 bytes[8];

	t->offset = q->offset + header;
	if (q->ip.version != 4 || q->ip.ihl < 5 || !quote_is_sound(skb, q->offset))
		return false;
	if (!protocol_has_ports(q->ip.protocol)) {
		t->protocol = NSR_NAT_OTHER;
		return true;
	}
	if (q->ip.frag_off & bpf_htons(IP_OFFSET) || total < header + sizeof(bytes) ||
	    bpf_skb_load_bytes(skb, t->offset, bytes, sizeof(bytes)))
		return false;
	/* Of extensions behind the quote (RFC 4884) nothing is taken for it. */
	q->beyond = skb->len - t->offset;
	if (q->beyond > total - header)
		q->beyond = total - header;
	__builtin_memcpy(&t->source, bytes, sizeof(t->source));
	__builtin_memcpy(&t->dest, bytes + 2, sizeof(t->dest));
	switch (q->ip.protocol) {
	case IPPROTO_TCP:
		t->protocol = NSR_NAT_TCP;
		return true;
	case IPPROTO_UDP:
		t->protocol = NSR_NAT_UDP;
		return true;
	case IPPROTO_ICMP:
		t->protocol = NSR_NAT_ICMP;
		t->icmp_type = bytes[0];
		__builtin_memcpy(&t->source, bytes + ICMP_ID_OFFSET, sizeof(t->source));
		t->dest = t->source;
		return true;
	default:
		return false;
	}
}

/* Where the checksum of the quoted transport header is; 0: not in the quote. */
static __always_inline u32 quote_check_offset(const struct quote *q)
{
	const struct transport *t = &q->transport;

	if (t->protocol == NSR_NAT_OTHER)
		return 0;
	if (t->protocol == NSR_NAT_ICMP)
		return t->offset + ICMP_CHECK_OFFSET;
	if (t->protocol == NSR_NAT_UDP)
		return t->offset + UDP_CHECK_OFFSET;
	return q->beyond >= TCP_CHECK_OFFSET + 2 ? t->offset + TCP_CHECK_OFFSET : 0;
}

static __always_inline u16 quote_checksum(const struct quote *q, const struct quote_words *from,
					  const struct quote_words *to)
{
	u16 sum = from->l4_check;

	if (q->transport.protocol == NSR_NAT_UDP && !sum)
		return 0; /* it had none */
	if (q->transport.protocol != NSR_NAT_ICMP)
		sum = checksum_replace32(sum, from->address, to->address);
	sum = checksum_replace(sum, from->port, to->port);
	return q->transport.protocol == NSR_NAT_UDP && !sum ? 0xffff : sum;
}

/* Changes address and port (ICMP: identifier; other protocols: no port) of one side of the quoted
 * packet. 0 or a reason to drop. */
static __always_inline int quote_rewrite(struct __sk_buff *skb, const struct quote *q, bool source,
					 __be32 address, __be16 port)
{
	const struct transport *t = &q->transport;
	struct quote_words from = {.address = source ? q->ip.saddr : q->ip.daddr,
				   .ip_check = q->ip.check,
				   .port = source ? t->source : t->dest};
	struct quote_words to = {.address = address,
				 .port = t->protocol == NSR_NAT_OTHER ? from.port : port};
	u32 check = quote_check_offset(q), port_offset = t->offset;
	u32 address_offset = q->offset + (source ? offsetof(struct iphdr, saddr)
						 : offsetof(struct iphdr, daddr));
	u32 icmp_check = q->offset - (u32)sizeof(struct icmp_header) + ICMP_CHECK_OFFSET;
	s64 difference;

	port_offset += t->protocol == NSR_NAT_ICMP ? ICMP_ID_OFFSET : source ? 0 : 2;
	to.ip_check = checksum_replace32(from.ip_check, from.address, address);
	if (check) {
		if (bpf_skb_load_bytes(skb, check, &from.l4_check, sizeof(from.l4_check)))
			return DROP(NAT_REWRITE);
		to.l4_check = quote_checksum(q, &from, &to);
	}
	difference = bpf_csum_diff((__be32 *)&from, sizeof(from), (__be32 *)&to, sizeof(to), 0);
	if (difference < 0 || bpf_l4_csum_replace(skb, icmp_check, 0, difference, 0) ||
	    bpf_skb_store_bytes(skb, address_offset, &to.address, sizeof(to.address), 0) ||
	    bpf_skb_store_bytes(skb, q->offset + offsetof(struct iphdr, check), &to.ip_check,
				sizeof(to.ip_check), 0) ||
	    (to.port != from.port &&
	     bpf_skb_store_bytes(skb, port_offset, &to.port, sizeof(to.port), 0)) ||
	    (check && bpf_skb_store_bytes(skb, check, &to.l4_check, sizeof(to.l4_check), 0)))
		return DROP(NAT_REWRITE);
	return 0;
}

/* Changes an address of the packet itself. */
static __always_inline int icmp4_readdress(struct __sk_buff *skb, bool bare, bool source,
					   __be32 address)
{
	struct packet p;

	if (parse_as(skb, &p, bare) != PACKET_IPV4)
		return DROP(NAT_REWRITE);
	rewrite_address4(p.ip4, source, address);
	return 0;
}

/* The session that an error from outside is about: request->flow is its. */
static __always_inline bool icmp4_about(struct nat_request *request, const struct quote *q)
{
	struct session_view view;
	u32 state, mapping;
	struct nsr_mapping *record;

	if (q->transport.protocol == NSR_NAT_ICMP && q->transport.icmp_type != ICMP_ECHO_REQUEST)
		return false;
	mapping = NSR_MAPPING(NSR_POOL(request->slot, q->transport.protocol),
			      bpf_ntohs(q->transport.source));
	record = nat_mapping(mapping);
	if (!record || !READ_ONCE(record->references))
		return false;
	request->flow.inside = record->inside;
	request->flow.remote_address = q->ip.daddr;
	request->flow.remote_port = q->transport.protocol == NSR_NAT_ICMP ? 0 : q->transport.dest;
	return session_peek(&request->flow, request->now_s, &view, &state) &&
	       view.mapping == mapping && view.external == q->ip.saddr;
}

/*
 * An ICMP packet to an external address that is no echo reply. request has uplink, slot and time.
 * Who gets an error is who has sent what it quotes. NAT_INBOUND_SESSION: it is for the inside, and
 * has been translated.
 */
NSR_STEP int icmp4_arrives(struct __sk_buff *skb, bool bare, struct nat_request *request)
{
	struct other_session other = {};
	struct quote q = {};
	struct packet p;

	if (!request || parse_as(skb, &p, bare) != PACKET_IPV4 ||
	    !is_translated_error(icmp4_type(skb, &p)) || !quote_read(skb, &p, &q) ||
	    !quote_read_transport(skb, &q) || q.ip.saddr != p.ip4->daddr)
		return NAT_INBOUND_HOST;
	if (q.transport.protocol == NSR_NAT_OTHER) {
		if (!other4_about(request, q.ip.protocol, q.ip.daddr, &other) ||
		    other.external != q.ip.saddr)
			return NAT_INBOUND_HOST;
		request->flow.inside.address = other.inside;
	} else if (!icmp4_about(request, &q)) {
		return NAT_INBOUND_HOST;
	}
	if (quote_rewrite(skb, &q, true, request->flow.inside.address, request->flow.inside.port) ||
	    icmp4_readdress(skb, bare, false, request->flow.inside.address))
		return NAT_INBOUND_FAILED;
	return NAT_INBOUND_SESSION;
}

/* The quote of an error that leaves: 0 when it has been translated; request->external is then the
 * address that the remote has sent to. That may be here while the sender's own is not. */
static __always_inline int icmp4_translate(struct __sk_buff *skb, struct nat_request *request,
					   struct quote *q)
{
	struct transport *t = &q->transport;
	struct other_session other = {};
	struct session_view view;
	u32 state;

	if (!quote_read_transport(skb, q) ||
	    (t->protocol == NSR_NAT_ICMP && t->icmp_type != ICMP_ECHO_REPLY))
		return DROP(NAT_ICMP_ERROR);
	if (t->protocol == NSR_NAT_OTHER) {
		if (!other4_about(request, q->ip.protocol, q->ip.saddr, &other) ||
		    other.inside != q->ip.daddr)
			return DROP(NAT_ICMP_ERROR);
		view.external = other.external;
		view.mapping = NSR_MAPPING_NONE;
	} else {
		request->flow.inside.address = q->ip.daddr;
		request->flow.inside.port = t->dest;
		request->flow.inside.protocol = t->protocol;
		request->flow.remote_address = q->ip.saddr;
		request->flow.remote_port = t->protocol == NSR_NAT_ICMP ? 0 : t->source;
		if (!session_peek(&request->flow, request->now_s, &view, &state))
			return DROP(NAT_ICMP_ERROR);
	}
	if (!address_is_one_of(request->flow.inside.uplink, view.external))
		return DROP(NAT_CLOSED);
	request->external = view.external;
	return quote_rewrite(skb, q, false, view.external,
			     bpf_htons(NSR_MAPPING_PORT(view.mapping)));
}

/* Whether the quote of an error that leaves is of a packet of a direct flow. */
NSR_STEP int icmp4_direct(struct nat_request *request, const struct quote *q)
{
	const struct transport *t = &q->transport;

	if (!request || !q || t->protocol == NSR_NAT_OTHER ||
	    (t->protocol == NSR_NAT_ICMP ? t->icmp_type != ICMP_ECHO_REQUEST : !t->dest))
		return false;
	request->flow.inside.address = q->ip.daddr;
	request->flow.inside.port = t->dest;
	request->flow.inside.protocol = t->protocol;
	request->flow.remote_address = q->ip.saddr;
	request->flow.remote_port = t->protocol == NSR_NAT_ICMP ? 0 : t->source;
	return direct_known(request);
}

/* Whether the quote is of a packet from an excepted remote. What it has no ports of, too. */
NSR_STEP int icmp4_excepted(const struct nat_request *request, const struct quote *q)
{
	const struct nsr_inside *inside;

	if (!request || !q || q->ip.version != 4 || q->ip.saddr == request->external)
		return false;
	inside = inside_of4(q->ip.daddr);
	return inside && inside->uplink == request->flow.inside.uplink &&
	       is_excepted4(inside, q->ip.daddr, q->ip.saddr);
}

/* Whether the host tells a remote that nobody takes what it sends of a protocol without ports, as
 * kernels do by either code. */
static __always_inline bool icmp4_refuses(struct __sk_buff *skb, const struct nat_request *request,
					  u8 type, const struct quote *q)
{
	u32 code_offset = q->offset - (u32)sizeof(struct icmp_header) +
			  (u32)offsetof(struct icmp_header, code);
	u8 code;

	return type == ICMP_UNREACHABLE && !request->forwarded &&
	       address_is_one_of(request->flow.inside.uplink, q->ip.daddr) &&
	       !protocol_has_ports(q->ip.protocol) &&
	       !bpf_skb_load_bytes(skb, code_offset, &code, sizeof(code)) &&
	       (code == ICMP_NO_PROTOCOL || code == ICMP_NO_PORT);
}

/* Whether an error of the host's own may quote what came to another port of a flow of its own,
 * which is told by that port then: see own.h. */
static __always_inline bool icmp4_may_be_own(const struct nat_request *request, u8 type,
					     const struct quote *q)
{
	return share_host_any() && !request->forwarded && request->external &&
	       q->ip.daddr == request->external && protocol_has_ports(q->ip.protocol) &&
	       is_translated_error(type);
}

/*
 * An ICMP packet without a session that leaves by the uplink: an error of an inside host, of the
 * host itself about what it has translated, or none of our business. request has uplink and the
 * sender's own external address, if there is one. 0 or a reason to drop; when it was translated,
 * request->forwarded is set.
 */
NSR_STEP int icmp4_leaves(struct __sk_buff *skb, bool bare, struct nat_request *request)
{
	struct quote q = {};
	struct packet p;
	bool inside, own;
	__be32 source;
	int result;
	u8 type;

	if (!request || parse_as(skb, &p, bare) != PACKET_IPV4)
		return DROP(NAT_ICMP_ERROR);
	inside = p.ip4->saddr != request->external &&
		 inside_at4(skb, request->flow.inside.uplink, p.ip4->saddr);
	type = icmp4_type(skb, &p);
	source = p.ip4->saddr;
	if (!icmp_is_error(type))
		return inside ? DROP(NAT_PROTOCOL) : 0;
	if (!quote_read(skb, &p, &q))
		return DROP(NAT_ICMP_ERROR); /* who knows whom it would quote */
	own = !inside && !inside_at4(skb, request->flow.inside.uplink, q.ip.daddr) &&
	      !inside_at4(skb, request->flow.inside.uplink, q.ip.saddr);
	if (own) {
		/* About the host's own; what is masqueraded elsewhere has no say in that. */
		if ((p.ip4->saddr == request->external || !inside_of4(p.ip4->saddr)) &&
		    icmp4_refuses(skb, request, type, &q))
			other4_refuses(request, q.ip.protocol, q.ip.saddr);
		if (!icmp4_may_be_own(request, type, &q))
			return 0;
	} else if (!is_translated_error(type) || p.ip4->daddr != q.ip.saddr) {
		return DROP(NAT_ICMP_ERROR); /* it goes to whoever sent the packet */
	} else if (options_do(skb, link_bytes(bare)) || options_do(skb, q.offset)) {
		/* Options record addresses, those that were echoed and those that are quoted. */
		return DROP(NAT_ICMP_ERROR);
	}
	result = icmp4_translate(skb, request, &q);
	if (own && result == DROP(NAT_ICMP_ERROR))
		return 0; /* of no such flow */
	if (result == DROP(NAT_ICMP_ERROR) &&
	    (icmp4_direct(request, &q) ||
	     (icmp4_excepted(request, &q) && quote_is_sound(skb, q.offset)))) {
		/* The quote stays as it is; so does the error, unless somebody else reports. */
		if (!inside || source == q.ip.daddr)
			return 0;
		if (request->external)
			result = 0;
	}
	if (!result && inside)
		result = icmp4_readdress(skb, bare, true, request->external);
	request->forwarded = skb->ifindex;
	return result;
}

#endif
