/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * refuse.h - tells a namespace that a flow of its cannot be had (RFC 5508 REQ-8): an ICMP error,
 * "communication administratively prohibited", in place of the packet that was dropped.
 *
 * The packet becomes the error. It is cut behind the first bytes of its transport header, 28 bytes
 * come in front of its IP header, and it goes into the namespace by the host's end of its veth.
 * What it quotes is what the namespace sent, because nothing was translated.
 *
 * What is left of the packet keeps what the kernel knows of its checksum. If that was still to be
 * finished by a device (CHECKSUM_PARTIAL, as between namespaces), it still is, now that of the
 * quoted header, over what is quoted; this may happen on the way, or never. What a device would put
 * there can be told beforehand: afterwards all words that it covers add up to the opposite of what
 * is there now, the sum of the pseudo header. So the error's own checksum, which covers them, is
 * right when it is done. Programs are not told of which kind a packet is, but a packet whose
 * checksum is to be finished cannot be cut in front of it.
 *
 * Told are the addresses of namespaces' interfaces only, never groups, and never about an ICMP
 * error or a later fragment, which open no session (RFC 1122 3.2.2). A namespace is told no more
 * than NSR_REFUSALS_PER_S times a second. The refused packet is counted as dropped, the error as
 * delivered, by the port.
 */
#ifndef NSROUTE_BPF_REFUSE_H
#define NSROUTE_BPF_REFUSE_H

#include "events.h"
#include "fib.h"
#include "limit.h"
#include "packet.h"
#include "trace.h"
#include "uplink.h"

#define REFUSE_TTL    64
#define REFUSE_CODE   13 /* communication administratively prohibited, RFC 1812 5.2.7.1 */
#define REFUSE_LARGE  4  /* fragmentation needed, RFC 1191 */
#define REFUSE_BEYOND 8  /* bytes quoted behind the IP header, RFC 792 */

/* A part of the error that a checksum is to be made of, and that ends with what is quoted. */
struct refusal {
	struct icmp_header icmp;
	struct iphdr quoted;
	__be32 beyond[sizeof(struct tcphdr) / 4];
};

/* What goes in front. */
struct refusal_header {
	struct iphdr ip;
	struct icmp_header icmp;
};

static __always_inline u16 refuse_checksum(const void *words, u32 size)
{
	u64 sum = (u32)bpf_csum_diff(NULL, 0, (void *)words, size, 0);

	sum = (sum & 0xffff) + (sum >> 16);
	return ~(sum + (sum >> 16));
}

/* Whether these are for want of something that a flow needs. */
static __always_inline bool is_refused(int verdict)
{
	return verdict == DROP(NAT_PORTS) || verdict == DROP(NAT_SESSIONS) ||
	       verdict == DROP(NAT_SOCKET) || verdict == DROP(NAT_LIMIT);
}

static __always_inline bool refuse_may(u32 port)
{
	u64 *due_ns = bpf_map_lookup_elem(&refusals, &port);

	return due_ns &&
	       limit_token(due_ns, bpf_ktime_get_ns(), NSR_REFUSAL_INTERVAL, NSR_REFUSALS_BURST);
}

/* Cuts the packet behind the first bytes of its transport header, which are in beyond. Where a
 * checksum is still to be finished, that is what becomes of beyond. */
static __always_inline bool refuse_cut(struct __sk_buff *skb, u32 transport, u32 protocol,
				       __be32 *beyond, u32 size)
{
	u32 i;

	if (!bpf_skb_change_tail(skb, transport, 0))
		return !bpf_skb_change_tail(skb, transport + size, 0) &&
		       !bpf_skb_store_bytes(skb, transport, beyond, size, 0);
	if (bpf_skb_change_tail(skb, transport + size, 0))
		return false;
	beyond[0] = protocol == IPPROTO_TCP ? ((u16 *)beyond)[TCP_CHECK_OFFSET / 2]
					    : ((u16 *)beyond)[UDP_CHECK_OFFSET / 2];
	beyond[0] = (u16)~beyond[0];
	for (i = 1; i < sizeof(struct tcphdr) / 4; i++)
		beyond[i] = 0;
	return true;
}

static __always_inline void refuse_address(struct ethhdr *eth, const struct nsr_endpoint *to,
					   u16 ethertype)
{
	eth->h_proto = bpf_htons(ethertype);
	__builtin_memcpy(eth->h_dest, to->mac, sizeof(eth->h_dest));
	__builtin_memcpy(eth->h_source, to->gateway_mac, sizeof(eth->h_source));
}

/* What is left of the packet goes into the namespace behind this. Returns the program's action. */
static __always_inline int refuse_send(struct __sk_buff *skb, bool bare, const struct ethhdr *eth,
				       const void *header, u32 size, u32 ifindex)
{
	if (bpf_skb_adjust_room(skb, size, BPF_ADJ_ROOM_MAC, 0) ||
	    (bare && bpf_skb_change_head(skb, sizeof(*eth), 0)) ||
	    bpf_skb_store_bytes(skb, 0, eth, sizeof(*eth), 0) ||
	    bpf_skb_store_bytes(skb, sizeof(*eth), header, size, 0))
		return TC_ACT_SHOT;
	return bpf_redirect(ifindex, 0);
}

/* The answer to a packet that is dropped, in its place: because it is larger than mtu, or with 0
 * because its flow cannot be had. Returns the program's action. */
NSR_STEP int refuse4(struct __sk_buff *skb, __be32 external, bool bare, u32 mtu)
{
	struct refusal error = {.icmp = {.type = ICMP_UNREACHABLE, .code = REFUSE_CODE}};
	struct refusal_header header = {.ip = {.version = 4, .ihl = 5, .ttl = REFUSE_TTL}};
	const struct nsr_endpoint *to;
	u32 network = link_bytes(bare), transport = network + sizeof(struct iphdr), size, ifindex;
	struct ethhdr eth;
	__be32 source;

	if (!external || bpf_skb_load_bytes(skb, network, &error.quoted, sizeof(error.quoted)))
		return TC_ACT_SHOT;
	if (mtu && !(error.quoted.frag_off & bpf_htons(IP_DONT_FRAGMENT)))
		return TC_ACT_SHOT;
	if (mtu)
		error.icmp.code = REFUSE_LARGE;
	error.icmp.sequence = bpf_htons(mtu);
	size = error.quoted.protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : REFUSE_BEYOND;
	if (error.quoted.ihl != 5 || ip4_is_special(error.quoted.daddr) ||
	    bpf_skb_load_bytes(skb, transport, error.beyond, size))
		return TC_ACT_SHOT;
	source = error.quoted.saddr;
	to = fib_host4(source);
	if (!to || !refuse_may(to->port))
		return TC_ACT_SHOT;
	ifindex = to->ifindex;
	refuse_address(&eth, to, ETH_P_IP);
	if (!refuse_cut(skb, transport, error.quoted.protocol, error.beyond, size))
		return TC_ACT_SHOT;
	header.ip.tot_len = bpf_htons(sizeof(header) + sizeof(error.quoted) + size);
	header.ip.protocol = IPPROTO_ICMP;
	header.ip.saddr = external;
	header.ip.daddr = source;
	header.ip.check = refuse_checksum(&header.ip, sizeof(header.ip));
	header.icmp = error.icmp;
	header.icmp.checksum = refuse_checksum(&error, sizeof(error)); /* unused words are 0 */
	return refuse_send(skb, bare, &eth, &header, sizeof(header), ifindex);
}

/* Drops what leaves by an uplink, and tells the namespace if it is to be told. */
static __always_inline int refuse(struct __sk_buff *skb, __be32 external, int verdict, bool bare)
{
	int action = uplink_drop(skb, verdict, NSR_HOOK_UPLINK_OUT, bare);

	INSTEAD(action);
	return is_refused(verdict) ? refuse4(skb, external, bare, 0) : action;
}

#endif
