/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * transport6.h - where the transport header of an IPv6 packet is, and what a translation changes of
 * it.
 *
 * Extension headers are walked by a helper, wherever they lie, up to a bound. A packet is fit when
 * all of them are known to leave the addresses alone: an authentication header covers them, and a
 * routing header with segments left says that the destination is another one. ICMPv6 has the
 * addresses in its checksum, as TCP and UDP do, so that all of them are changed alike. An option
 * that has the sender's address in it (Mobile IPv6) is told of; what leaves with one is dropped.
 */
#ifndef NSROUTE_BPF_TRANSPORT6_H
#define NSROUTE_BPF_TRANSPORT6_H

#include "nat6.h"
#include "neighbour.h"
#include "packet.h"

#define TRANSPORT6_HEADERS_MAX 8 /* extension headers that are looked at */

/* In a destination options header: RFC 8200 4.2, RFC 6275 6.3. */
#define OPTION6_PAD1  0
#define OPTION6_HOME  201
#define OPTIONS6_MAX  8 /* of one header that are looked at */
#define OPTIONS6_HOME 2 /* least length of a header that has room for it, as the header says */

/* RFC 4443; those of neighbour discovery are in neighbour.h. */
#define ICMP6_ERRORS_FIRST 1
#define ICMP6_ERRORS_LAST  4
#define ICMP6_ECHO_REQUEST 128
#define ICMP6_ECHO_REPLY   129

/* In a fragment header, RFC 8200 4.5. */
#define FRAGMENT6_OFFSET 0xf8 /* low byte of the offset */
#define FRAGMENT6_MORE   1
#define FRAGMENT6_ID     4 /* where the identification is */

/* Not all of linux/in.h; of L2TPv3 (RFC 3931 4.1.1), EtherIP (RFC 3378), and what a segment routing
 * network carries (RFC 8986 10.1). */
#define IP6_ETHERIP  97
#define IP6_L2TP     115
#define IP6_ETHERNET 143

struct transport6 {
	u32 offset;          /* of the header, from the start of the frame */
	u32 check_offset;    /* of its checksum, likewise; 0: it is not there */
	__be16 source, dest; /* ports; of an echo both the identifier, of other ICMPv6 0 */
	u8 protocol;         /* enum nsr_nat_protocol */
	u8 next;             /* its number in the last header before it */
	u8 tcp_flags;
	u8 icmp_type;
	bool fragment, later; /* one of several; not the first, so that the rest is not there */
	bool home;            /* its sender's address is in an option, too, or may be */
	/* Of a packet with a fragment header: */
	u32 id_offset;
	__be32 id;
};

static __always_inline bool is_icmp6_error(u8 type)
{
	return type >= ICMP6_ERRORS_FIRST && type <= ICMP6_ERRORS_LAST;
}

/*
 * Protocols without ports of which the addresses are translated (other6.h). Those that are known,
 * and not all but those that are known to be unfit, as of IPv4: the number of an extension header
 * is one like any other, and in or behind one that nobody has heard of there may be an address, or
 * a checksum that covers some. Each of these ends the chain of headers, has none of the packet's
 * addresses in it, and a checksum that covers none, or no checksum.
 */
static __always_inline bool is_portless6(u8 next)
{
	return next == IPPROTO_IPIP || next == IPPROTO_IPV6 || next == IPPROTO_GRE ||
	       next == IPPROTO_ESP || next == IP6_ETHERIP || next == IP6_L2TP ||
	       next == IPPROTO_SCTP || next == IPPROTO_MPLS || next == IP6_ETHERNET;
}

static __always_inline int transport6_read(struct __sk_buff *skb, u8 protocol, u32 end,
					   struct transport6 *t)
{
	u8 bytes[8];

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP && protocol != IP6_ICMP)
		return DROP(NAT_PROTOCOL);
	if (t->offset + sizeof(bytes) > end ||
	    bpf_skb_load_bytes(skb, t->offset, bytes, sizeof(bytes)))
		return DROP(MALFORMED);
	t->source = *(__be16 *)bytes;
	t->dest = *(__be16 *)(bytes + 2);
	switch (protocol) {
	case IPPROTO_TCP:
		t->protocol = NSR_NAT_TCP;
		if (t->offset + sizeof(struct tcphdr) > end ||
		    bpf_skb_load_bytes(skb, t->offset + TCP_FLAG_BYTE, &t->tcp_flags, 1))
			return 0; /* in a quote, that is enough */
		t->check_offset = t->offset + TCP_CHECK_OFFSET;
		return 0;
	case IPPROTO_UDP:
		t->protocol = NSR_NAT_UDP;
		t->check_offset = t->offset + UDP_CHECK_OFFSET;
		return 0;
	default:
		t->protocol = NSR_NAT_ICMP;
		t->check_offset = t->offset + ICMP_CHECK_OFFSET;
		t->icmp_type = bytes[0];
		t->source = t->icmp_type == ICMP6_ECHO_REQUEST || t->icmp_type == ICMP6_ECHO_REPLY
				    ? *(__be16 *)(bytes + ICMP_ID_OFFSET)
				    : 0;
		t->dest = t->source;
		return 0;
	}
}

/* Which datagrams have later fragments that are translated without a look at the first. */
static __always_inline int transport6_later(u8 protocol, struct transport6 *t)
{
	t->protocol = protocol == IPPROTO_TCP   ? NSR_NAT_TCP
		      : protocol == IPPROTO_UDP ? NSR_NAT_UDP
						: NSR_NAT_ICMP;
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IP6_ICMP
		       ? 0
		       : DROP(NAT_PROTOCOL);
}

static __always_inline void transport6_fragment(const u8 header[8], u32 offset,
						struct transport6 *t)
{
	t->later = header[2] || header[3] & FRAGMENT6_OFFSET;
	t->fragment = t->later || header[3] & FRAGMENT6_MORE;
	t->id_offset = offset + FRAGMENT6_ID;
	__builtin_memcpy(&t->id, header + FRAGMENT6_ID, sizeof(t->id));
}

/* Whether there is a home address among the options of the header from offset to end. When they are
 * more than are looked at, there may be. */
NSR_STEP int options6_home(struct __sk_buff *skb, u32 offset, u32 end)
{
	u8 option[2]; /* type and length */
	int i;

	offset += sizeof(option); /* those of the header */
#pragma unroll
	for (i = 0; i < OPTIONS6_MAX; i++) {
		if (offset >= end)
			return false;
		if (bpf_skb_load_bytes(skb, offset, option, sizeof(option)) ||
		    option[0] == OPTION6_HOME)
			return true;
		offset += option[0] == OPTION6_PAD1 ? 1 : sizeof(option) + option[1];
	}
	return offset < end;
}

/* Of the packet whose IPv6 header is at offset, and which ends at end. 0; VERDICT_RARE: it is
 * one without ports, see other6.h; or the reason why it cannot be translated. Extension headers in
 * fragments are not walked: only one of these has them.
 */
NSR_STEP int transport6_find(struct __sk_buff *skb, u32 offset, u32 end, struct transport6 *t)
{
	u8 next, header[8];
	int i;

	if (!t || bpf_skb_load_bytes(skb, offset + offsetof(struct ipv6hdr, nexthdr), &next, 1))
		return DROP(MALFORMED);
	__builtin_memset(t, 0, sizeof(*t));
	offset += sizeof(struct ipv6hdr);
#pragma unroll
	for (i = 0; i < TRANSPORT6_HEADERS_MAX; i++) {
		if (!is_walked6(next) || t->fragment)
			break;
		if (offset + sizeof(header) > end ||
		    bpf_skb_load_bytes(skb, offset, header, sizeof(header)))
			return DROP(MALFORMED);
		if (next == IP6_ROUTING && header[3]) /* segments left */
			return DROP(IP_OPTIONS);
		if (next == IP6_DESTINATION && header[1] >= OPTIONS6_HOME &&
		    options6_home(skb, offset, offset + (header[1] + 1) * 8))
			t->home = true;
		if (next == IP6_FRAGMENT) {
			transport6_fragment(header, offset, t);
			offset += sizeof(header);
		} else {
			offset += (header[1] + 1) * 8;
		}
		next = header[0];
	}
	if (is_walked6(next))
		return t->fragment ? DROP(NAT_FRAGMENT) : DROP(MALFORMED);
	t->offset = offset;
	t->next = next;
	if (is_portless6(next)) {
		t->protocol = NSR_NAT_OTHER;
		return VERDICT_RARE;
	}
	if (t->later)
		return transport6_later(next, t);
	return transport6_read(skb, next, end, t);
}

/*
 * Changes address and port (ICMPv6: identifier) of one side of the packet at hand, which has to be
 * old's, and whose IPv6 header is at link. 0 or a reason to drop.
 *
 * There is no checksum of the IPv6 header that would make good for the address in a sum over the
 * whole packet (CHECKSUM_COMPLETE): address and transport checksum do that for each other. The
 * helper, which has IPv4 in mind, takes the address out of that sum; so it is added again.
 */
static __always_inline int rewrite_endpoint6(struct __sk_buff *skb, u32 link,
					     const struct transport6 *t, bool source,
					     struct nsr_address6 *old, struct nsr_address6 *address,
					     __be16 port)
{
	u64 flags = t->protocol == NSR_NAT_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__be16 old_port = source ? t->source : t->dest;
	u32 port_offset = t->offset, check_offset = t->check_offset;
	s64 difference;

	difference = bpf_csum_diff(old->words, sizeof(*old), address->words, sizeof(*address), 0);
	if (difference < 0 || !check_offset ||
	    bpf_l4_csum_replace(skb, check_offset, 0, difference, flags | BPF_F_PSEUDO_HDR))
		return DROP(NAT_REWRITE);
	bpf_csum_update(skb, difference);
	if (port != old_port) {
		port_offset += t->protocol == NSR_NAT_ICMP ? ICMP_ID_OFFSET : source ? 0 : 2;
		if (bpf_l4_csum_replace(skb, check_offset, old_port, port, flags | sizeof(port)) ||
		    bpf_skb_store_bytes(skb, port_offset, &port, sizeof(port), 0))
			return DROP(NAT_REWRITE);
	}
	link += source ? offsetof(struct ipv6hdr, saddr) : offsetof(struct ipv6hdr, daddr);
	if (bpf_skb_store_bytes(skb, link, address, sizeof(*address), 0))
		return DROP(NAT_REWRITE);
	return 0;
}

#endif
