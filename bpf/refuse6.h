/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * refuse6.h - as refuse.h, where it is told how: the answer to a flow of IPv6 that cannot be had,
 * "communication administratively prohibited" (RFC 4443 3.1), in place of the packet.
 */
#ifndef NSROUTE_BPF_REFUSE6_H
#define NSROUTE_BPF_REFUSE6_H

#include "refuse.h"
#include "uplink6.h"

#define REFUSE6_TYPE  1 /* destination unreachable */
#define REFUSE6_CODE  1 /* communication administratively prohibited */
#define REFUSE6_LARGE 2 /* type: packet too big */

/* What the error's checksum is to be made of. */
struct refusal6 {
	struct nsr_address6 source, dest;
	__be32 length, protocol;
	struct icmp_header icmp;
	struct ipv6hdr quoted;
	__be32 beyond[sizeof(struct tcphdr) / 4];
};

/* What goes in front. */
struct refusal6_header {
	struct ipv6hdr ip;
	struct icmp_header icmp;
};

/* Reads what is quoted. 0: the namespace is not told of this packet; else how many bytes are quoted
 * of its transport header. */
static __always_inline u32 refuse6_read(struct __sk_buff *skb, u32 link, struct refusal6 *error)
{
	u32 transport = link + sizeof(struct ipv6hdr);
	u8 protocol;

	if (bpf_skb_load_bytes(skb, link, &error->quoted, sizeof(error->quoted)))
		return 0;
	protocol = error->quoted.nexthdr; /* no extension headers */
	if (protocol == IPPROTO_TCP)
		return bpf_skb_load_bytes(skb, transport, error->beyond, sizeof(struct tcphdr))
			       ? 0
			       : sizeof(struct tcphdr);
	if (protocol != IPPROTO_UDP && protocol != IP6_ICMP)
		return 0;
	return bpf_skb_load_bytes(skb, transport, error->beyond, REFUSE_BEYOND) ? 0 : REFUSE_BEYOND;
}

/* The answer to a packet that is dropped, in its place: because it is larger than mtu, or with 0
 * because its flow cannot be had. Returns the program's action. */
NSR_STEP int refuse6(struct __sk_buff *skb, bool bare, u32 mtu)
{
	struct refusal6 error = {.icmp = {.type = REFUSE6_TYPE, .code = REFUSE6_CODE}};
	struct refusal6_header header = {.ip = {.version = 6, .hop_limit = REFUSE_TTL}};
	u32 link = link_bytes(bare), size = refuse6_read(skb, link, &error), ifindex;
	const struct nsr_endpoint *to;
	struct nat_work6 *work = nat_work();
	struct ethhdr eth;

	if (!size || !work)
		return TC_ACT_SHOT;
	if (mtu) {
		error.icmp.type = REFUSE6_LARGE;
		error.icmp.code = 0;
		error.icmp.sequence = bpf_htons(mtu);
	}
	__builtin_memcpy(&error.dest, &error.quoted.saddr, sizeof(error.dest));
	error.source = work->request.external;
	to = fib_host6(&error.dest);
	if (!to || !refuse_may(to->port))
		return TC_ACT_SHOT;
	ifindex = to->ifindex;
	refuse_address(&eth, to, ETH_P_IPV6);
	if (!refuse_cut(skb, link + sizeof(struct ipv6hdr), error.quoted.nexthdr, error.beyond,
			size))
		return TC_ACT_SHOT;
	header.ip.nexthdr = IP6_ICMP;
	header.ip.payload_len = bpf_htons(sizeof(error.icmp) + sizeof(error.quoted) + size);
	__builtin_memcpy(&header.ip.saddr, &error.source, sizeof(header.ip.saddr));
	__builtin_memcpy(&header.ip.daddr, &error.dest, sizeof(header.ip.daddr));
	error.length = bpf_htonl(sizeof(error.icmp) + sizeof(error.quoted) + size);
	error.protocol = bpf_htonl(IP6_ICMP);
	header.icmp = error.icmp;
	header.icmp.checksum = refuse_checksum(&error, sizeof(error)); /* unused words are 0 */
	return refuse_send(skb, bare, &eth, &header, sizeof(header), ifindex);
}

#endif
