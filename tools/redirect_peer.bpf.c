// SPDX-License-Identifier: GPL-2.0-only
/*
 * redirect_peer - the least a forwarding tc program can do, as a yardstick for tools/compare.
 *
 * How it works: one hash look-up by destination address, TTL, MAC addresses, one counter, and
 * bpf_redirect_peer(). No policy, no MTU check, no neighbour handling: what nsroute's datapath adds
 * to this is the price of being correct. tools/compare compiles it once a direction, with the one
 * endpoint it knows given as macros, and the first packet puts that endpoint into the map; so
 * nothing but tc is needed to load it. That packet and all that is not IPv4 go to the kernel.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct endpoint {
	__u32 ifindex; /* the host's end of the veth */
	__u8 mac[ETH_ALEN];
	__u8 gateway_mac[ETH_ALEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __be32);
	__type(value, struct endpoint);
} endpoints SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

SEC("tc")
int redirect_peer(struct __sk_buff *skb)
{
	static const struct endpoint only = {TARGET_IFINDEX, {TARGET_MAC}, {TARGET_GATEWAY_MAC}};
	struct ethhdr *eth = (void *)(long)skb->data;
	struct iphdr *ip = (void *)(eth + 1);
	struct endpoint *endpoint;
	__u32 zero = 0, checksum;
	__u64 *count;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end || eth->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->ttl <= 1)
		return TC_ACT_UNSPEC;
	endpoint = bpf_map_lookup_elem(&endpoints, &ip->daddr);
	if (!endpoint) {
		bpf_map_update_elem(&endpoints, &ip->daddr, &only, BPF_ANY);
		return TC_ACT_UNSPEC;
	}
	ip->ttl--; /* RFC 1141: the checksum grows by what its 16-bit word lost */
	checksum = ip->check + bpf_htons(0x0100);
	ip->check = checksum + (checksum >= 0xffff);
	__builtin_memcpy(eth->h_dest, endpoint->mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, endpoint->gateway_mac, ETH_ALEN);
	count = bpf_map_lookup_elem(&packets, &zero);
	if (count)
		(*count)++;
	return bpf_redirect_peer(endpoint->ifindex, 0);
}

char LICENSE[] SEC("license") = "GPL";
