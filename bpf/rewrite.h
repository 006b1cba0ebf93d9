/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rewrite.h - changes of a packet: TTL, MAC addresses, addresses and ports with their checksums.
 *
 * The IPv4 header checksum is adjusted in place (RFC 1624, eqn. 3). Transport checksums go through
 * the kernel's helper, because only it knows whether the packet's checksum is complete or still to
 * be finished by the device (CHECKSUM_PARTIAL, as between namespaces): then only the pseudo header
 * counts.
 */
#ifndef NSROUTE_BPF_REWRITE_H
#define NSROUTE_BPF_REWRITE_H

#include "packet.h"

/* One's complement: adds the change of a 16-bit word to a checksum. */
static __always_inline u16 checksum_replace(u16 checksum, u16 from, u16 to)
{
	u32 sum = (u16)~checksum + (u16)~from + (u32)to;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* The same of two words at once. */
static __always_inline u16 checksum_replace32(u16 checksum, u32 from, u32 to)
{
	u64 sum = (u64)(u32)~from + to + (u16)~checksum;

	sum = (sum & 0xffff) + (sum >> 16); /* of 34 bits, ... */
	sum = (sum & 0xffff) + (sum >> 16); /* ... of 19 */
	return ~(sum + (sum >> 16));
}

/* The word that has the TTL in its upper half is one of 0x0100 less, so the sum one more (RFC
 * 1141). */
static __always_inline void rewrite_ttl4(struct iphdr *ip)
{
	u32 sum = ip->check + bpf_htons(0x0100);

	ip->check = sum + ((sum + 1) >> 16); /* from 0xffff on the carry comes round */
	ip->ttl--;
}

static __always_inline void rewrite_hop_limit(struct ipv6hdr *ip)
{
	ip->hop_limit--; /* no checksum covers it */
}

static __always_inline void rewrite_hops(const struct packet *p, bool ipv6)
{
	if (ipv6)
		rewrite_hop_limit(p->ip6);
	else
		rewrite_ttl4(p->ip4);
}

static __always_inline void rewrite_macs(struct ethhdr *eth, const u8 *dest, const u8 *source)
{
	dest_copy(eth->h_dest, dest);
	source_copy(eth->h_source, source);
}

static __always_inline void rewrite_address4(struct iphdr *ip, bool source, __be32 address)
{
	__be32 *field = source ? &ip->saddr : &ip->daddr;

	ip->check = checksum_replace32(ip->check, *field, address);
	*field = address;
}

/* Both at once, of what a router sends on in its own name. */
static __always_inline void rewrite_source_and_ttl4(struct iphdr *ip, __be32 address)
{
	u64 sum = (u64)(u32)~ip->saddr + address + (u16)~ip->check + (u16)~bpf_htons(0x0100);

	sum = (sum & 0xffff) + (sum >> 16); /* of 35 bits, ... */
	sum = (sum & 0xffff) + (sum >> 16); /* ... of 20 */
	ip->check = ~(sum + (sum >> 16));
	ip->saddr = address;
	ip->ttl--;
}

#ifdef __bpf__

#define UDP_LENGTH_OFFSET 4

/*
 * Whether the checksum of a UDP header is one already; addresses is the sum of both. Else there is
 * none, or it is the sum of the pseudo header (addresses, length and protocol), for others to
 * complete.
 *
 * It is a question because the kernel tells programs neither whether a checksum of the packet is to
 * be completed nor which: in a tunnel that has checksums of its own it is one further in, and the
 * tunnel's was made in advance ("local checksum offload", udp_set_csum()), but for GSO packets.
 * bpf_l4_csum_replace() takes that for one to be completed. One that is by chance what the pseudo
 * header's sum would be, one of 65,535, is taken for that here, too.
 */
static __always_inline bool udp_is_summed(struct __sk_buff *skb, u32 offset, u64 addresses)
{
	__be16 words[2] = {}; /* length, checksum */
	u64 sum;

	if (skb->gso_size ||
	    bpf_skb_load_bytes(skb, offset + UDP_LENGTH_OFFSET, words, sizeof(words)))
		return false;
	sum = addresses + words[0] + bpf_htons(IPPROTO_UDP);
	sum = (sum & 0xffff) + (sum >> 16); /* of 34 bits, ... */
	sum = (sum & 0xffff) + (sum >> 16); /* ... of 19, ... */
	sum = (sum & 0xffff) + (sum >> 16); /* ... of 17 */
	return words[1] && words[1] != sum;
}

/* What such a checksum is made of grows by so much: 0 or a reason to drop. */
NSR_STEP int rewrite_udp_sum(struct __sk_buff *skb, u32 check_offset, u64 sum)
{
	u16 check = 0;

	if (bpf_skb_load_bytes(skb, check_offset, &check, sizeof(check)))
		return DROP(NAT_REWRITE);
	sum = (sum & 0xffffffff) + (sum >> 32) + (u16)~check;
	sum = (sum & 0xffff) + (sum >> 16);    /* of 33 bits, ... */
	sum = (sum & 0xffff) + (sum >> 16);    /* ... of 18, ... */
	sum = (sum & 0xffff) + (sum >> 16);    /* ... of 17 */
	check = sum == 0xffff ? 0xffff : ~sum; /* 0 would say that there is none */
	return bpf_skb_store_bytes(skb, check_offset, &check, sizeof(check), 0) ? DROP(NAT_REWRITE)
										: 0;
}

/* Checksum and port of a UDP header for another address and port of one side: of which, and where
 * it is, and what is changed from which to which. other is the other side's address. In a sum over
 * the whole packet (CHECKSUM_COMPLETE) the IPv4 header's own checksum makes good for the address,
 * so that this one's change is one too many, which the kernel's helper knows. */
#define UDP4_SOURCE              0x80000000u
#define UDP4_ADDRESSES(from, to) ((u64)(from) << 32 | (to))
#define UDP4_PORTS(from, to)     ((u32)(from) << 16 | (to))

NSR_STEP int rewrite_udp4(struct __sk_buff *skb, u32 where, u64 addresses, u32 other, u32 ports)
{
	const u64 flags = BPF_F_MARK_MANGLED_0;
	u32 offset = where & ~UDP4_SOURCE, check_offset = offset + UDP_CHECK_OFFSET;
	__be32 old_address = addresses >> 32, address = addresses;
	__be16 old_port = ports >> 16, port = ports;
	u64 back = (u64)(u32)~address + old_address;

	if (udp_is_summed(skb, offset, (u64)old_address + other)) {
		if (rewrite_udp_sum(skb, check_offset,
				    (u64)(u32)~old_address + address + (u16)~old_port + port))
			return DROP(NAT_REWRITE);
		bpf_csum_update(skb, (u32)(back + (back >> 32)));
	} else if (bpf_l4_csum_replace(skb, check_offset, old_address, address,
				       flags | BPF_F_PSEUDO_HDR | sizeof(address)) ||
		   (port != old_port &&
		    bpf_l4_csum_replace(skb, check_offset, old_port, port, flags | sizeof(port)))) {
		return DROP(NAT_REWRITE);
	}
	if (port != old_port && bpf_skb_store_bytes(skb, where & UDP4_SOURCE ? offset : offset + 2,
						    &port, sizeof(port), 0))
		return DROP(NAT_REWRITE);
	return 0;
}

/*
 * Changes address and port (ICMP: identifier) of one side of an IPv4 packet. *p is good for another
 * look afterwards. context is handed to helpers only. 0 or a reason to drop.
 */
static __always_inline int rewrite_endpoint4(struct __sk_buff *skb, struct packet *p,
					     const struct transport *t, bool source, __be32 address,
					     __be16 port)
{
	__be32 old_address = source ? p->ip4->saddr : p->ip4->daddr;
	__be16 old_port = source ? t->source : t->dest;
	u32 port_offset;
	void *data;

	if (t->protocol == NSR_NAT_UDP) {
		if (rewrite_udp4(skb, source ? t->offset | UDP4_SOURCE : t->offset,
				 UDP4_ADDRESSES(old_address, address),
				 source ? p->ip4->daddr : p->ip4->saddr,
				 UDP4_PORTS(old_port, port)))
			return DROP(NAT_REWRITE);
	} else {
		if (t->protocol == NSR_NAT_TCP &&
		    bpf_l4_csum_replace(skb, t->check_offset, old_address, address,
					BPF_F_PSEUDO_HDR | sizeof(address)))
			return DROP(NAT_REWRITE);
		if (port != old_port) {
			port_offset = t->protocol == NSR_NAT_ICMP ? ICMP_ID_OFFSET : source ? 0 : 2;
			if (bpf_l4_csum_replace(skb, t->check_offset, old_port, port,
						sizeof(port)) ||
			    bpf_skb_store_bytes(skb, t->offset + port_offset, &port, sizeof(port),
						0))
				return DROP(NAT_REWRITE);
		}
	}
	data = (void *)(long)skb->data;
	p->end = (void *)(long)skb->data_end;
	p->eth = data;
	p->ip4 = data + packet_link(p);
	if ((void *)(p->ip4 + 1) > p->end)
		return DROP(NAT_REWRITE);
	rewrite_address4(p->ip4, source, address);
	return 0;
}

#endif
#endif
