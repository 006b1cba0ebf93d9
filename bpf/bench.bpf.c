/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bench.bpf.c - what "nsroute bench" measures with: a generator of frames, two sinks that count
 * them, and the least a forwarding tc program can do, as a yardstick.
 *
 *   bench_generate   run by BPF_PROG_RUN with live frames: each becomes the prepared frame and
 *                    leaves by the client's interface
 *   bench_sink_xdp   XDP at the server's interface: counts and drops
 *   bench_sink_tc    tc ingress there, where the stack begins: counts and drops
 *   bench_peer       one hash look-up by destination address, TTL, MAC addresses, one counter, and
 *                    bpf_redirect_peer(). No policy, no MTU check, no neighbour handling: what
 *                    nsroute's datapath adds to this is the price of being correct
 *   bench_neigh      the same, but out of the server's cable by bpf_redirect_neigh(), by which
 *                    the MAC addresses are written, as by an uplink: what masquerading adds to
 *                    this is the price of translation
 *
 * None of it is part of the datapath: it is loaded for a measurement, and goes with the process.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "nsroute_bench.h"

/* ---- The generator and its sinks. */

struct bench_frame frame; /* written before a run, only read during it */
__u32 generated;          /* by the one generator that runs */

/* Odd, so that any power of two frames in a row are as many flows, in an order without pattern. */
#define STRIDE 2654435761u

/* The headers' fields that differ from frame to frame. */
struct varied {
	__u8 before[24];
	__be16 ip_check;
	__u8 between[6];
	__be16 dest_low;
	__be16 source_port;
	__be16 dest_port;
	__be16 length;
	__be16 udp_check;
};

static __always_inline __be16 finish_sum(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return bpf_htons(~sum);
}

static __always_inline void vary(struct varied *to)
{
	__u32 number = generated++ * STRIDE, flow = number & (frame.flows - 1);
	__u16 dest = frame.first_host + (number & (frame.hosts - 1));
	__u16 source_port = BENCH_FRAME_SOURCE + flow % BENCH_FRAME_SOURCES;
	__u16 dest_port = BENCH_FRAME_PORT + flow / BENCH_FRAME_SOURCES;

	to->dest_low = bpf_htons(dest);
	to->source_port = bpf_htons(source_port);
	to->dest_port = bpf_htons(dest_port);
	to->ip_check = finish_sum(frame.ip_sum + dest);
	to->udp_check = finish_sum(frame.udp_sum + dest + source_port + dest_port);
}

/* Each CPU has its own, so that counting needs no atomics. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} arrived SEC(".maps");

/* The kernel reuses the page of a frame that was dropped, with whatever the path made of the
 * header; so all of it is written anew every time. */
SEC("xdp")
int bench_generate(struct xdp_md *ctx)
{
	struct bench_frame_words *to = (void *)(long)ctx->data;
	const struct bench_frame_words *from = &frame.words;

	if ((void *)(to + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
#pragma unroll
	for (int i = 0; i < BENCH_FRAME_WORDS; i++)
		to->word[i] = from->word[i];
	vary((void *)to);
	return bpf_redirect(frame.ifindex, 0);
}

/* Counts a frame of the generator, and only that: false for anything else. */
static __always_inline int count_arrival(void *data, void *end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__u32 zero = 0;
	__u64 *count;

	if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_UDP ||
	    (__u16)(bpf_ntohs(udp->dest) - BENCH_FRAME_PORT) >= BENCH_FRAME_PORTS)
		return 0;
	count = bpf_map_lookup_elem(&arrived, &zero);
	if (count)
		(*count)++;
	return 1;
}

SEC("xdp")
int bench_sink_xdp(struct xdp_md *ctx)
{
	return count_arrival((void *)(long)ctx->data, (void *)(long)ctx->data_end) ? XDP_DROP
										   : XDP_PASS;
}

SEC("tc")
int bench_sink_tc(struct __sk_buff *skb)
{
	return count_arrival((void *)(long)skb->data, (void *)(long)skb->data_end) ? TC_ACT_SHOT
										   : TC_ACT_UNSPEC;
}

/* ---- The bare programs. */

#define AF_INET 2 /* <sys/socket.h> is user space's */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * BENCH_HOSTS_MAX);
	__type(key, __be32);
	__type(value, struct bench_endpoint);
} endpoints SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} forwarded SEC(".maps");

/* Where the packet goes; NULL: it is left to the kernel. macs: for a helper that does not write
 * them. */
static __always_inline const struct bench_endpoint *forward(struct __sk_buff *skb, int macs,
							    __be32 *ret_address)
{
	struct ethhdr *eth = (void *)(long)skb->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct bench_endpoint *endpoint;
	__u32 zero = 0, checksum;
	__be32 address;
	__u64 *count;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end || eth->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->ttl <= 1)
		return NULL;
	address = ip->daddr;
	endpoint = bpf_map_lookup_elem(&endpoints, &address);
	if (!endpoint)
		return NULL;
	ip->ttl--; /* RFC 1141: the checksum grows by what its 16-bit word lost */
	checksum = ip->check + bpf_htons(0x0100);
	ip->check = checksum + (checksum >= 0xffff);
	if (macs) {
		__builtin_memcpy(eth->h_dest, endpoint->mac, ETH_ALEN);
		__builtin_memcpy(eth->h_source, endpoint->gateway_mac, ETH_ALEN);
	}
	count = bpf_map_lookup_elem(&forwarded, &zero);
	if (count)
		(*count)++;
	*ret_address = address;
	return endpoint;
}

SEC("tc")
int bench_peer(struct __sk_buff *skb)
{
	__be32 address;
	const struct bench_endpoint *endpoint = forward(skb, 1, &address);

	return endpoint ? bpf_redirect_peer(endpoint->ifindex, 0) : TC_ACT_UNSPEC;
}

SEC("tc")
int bench_neigh(struct __sk_buff *skb)
{
	struct bpf_redir_neigh next = {.nh_family = AF_INET};
	__be32 address;
	const struct bench_endpoint *endpoint = forward(skb, 0, &address);

	if (!endpoint)
		return TC_ACT_UNSPEC;
	next.ipv4_nh = address;
	return bpf_redirect_neigh(endpoint->ifindex, &next, sizeof(next), 0);
}

char LICENSE[] SEC("license") = "GPL";
