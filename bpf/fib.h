/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fib.h - where a packet of a namespace goes: one look-up, one verdict.
 *
 * Endpoints carry everything that forwarding to them takes, so a hit costs one hash look-up and the
 * kernel's FIB is not asked. A miss is the kernel's business, but a source that is masqueraded may
 * leave by its own uplink only, so for those the FIB says which way the kernel would go; that
 * answer serves the fast path too.
 */
#ifndef NSROUTE_BPF_FIB_H
#define NSROUTE_BPF_FIB_H

#include "maps.h"
#include "packet.h"

/* The uplink that has a slot: of its own number, or one of those that all share. NULL: none has. */
static __always_inline const struct nsr_uplink *uplink_at(u32 slot)
{
	u32 *found = bpf_map_lookup_elem(&uplink_by_index, &slot), ifindex;

	if (!found)
		return NULL;
	ifindex = *found;
	return bpf_map_lookup_elem(&uplinks, &ifindex);
}

#define ADDRESS_FAMILY_IPV4 2 /* AF_INET and AF_INET6 of linux/socket.h, which has no UAPI twin */
#define ADDRESS_FAMILY_IPV6 10
#define LOOPBACK_IFINDEX    1

static __always_inline const struct nsr_endpoint *fib_switch(const struct nsr_port *port,
							     const struct packet *p)
{
	struct nsr_fdb_key key = {.network = port->network};

	dest_copy(key.mac, p->eth->h_dest);
	return bpf_map_lookup_elem(&fdb, &key);
}

static __always_inline const struct nsr_endpoint *fib_host4(__be32 address)
{
	return bpf_map_lookup_elem(&hosts4, &address);
}

static __always_inline const struct nsr_endpoint *fib_host6(const void *address)
{
	struct ip6_key key;

	__builtin_memcpy(&key, address, sizeof(key));
	return bpf_map_lookup_elem(&hosts6, &key);
}

static __always_inline const struct nsr_inside *inside_of4(__be32 address)
{
	struct nsr_inside4_key key = {.prefix_len = 32, .address = address};

	return bpf_map_lookup_elem(&inside4, &key);
}

static __always_inline const struct nsr_inside *inside_of6(const void *address)
{
	struct nsr_inside6_key key = {.prefix_len = 128};

	__builtin_memcpy(key.address, address, sizeof(key.address));
	return bpf_map_lookup_elem(&inside6, &key);
}

/* Which way the kernel would route what a port sent to its gateway. */
enum fib_way {
	FIB_KERNEL,        /* to the host itself, into a fabric, or refused: the kernel answers */
	FIB_UPLINK,        /* by the uplink of the port's network; *lookup has the next hop */
	FIB_UPLINK_KERNEL, /* there too, but too large, or the next hop's MAC is to be found first
			    */
	FIB_ELSEWHERE,     /* by another interface */
};

/*
 * The helper refuses where forwarding is off on the interface that the packet came by. That is how
 * the kernel does it in IPv4. In IPv6 it only asks whether forwarding is on at all, and the
 * loopback interface is as all are.
 */
static __always_inline int fib_again6(struct __sk_buff *skb, struct bpf_fib_lookup *lookup)
{
	int result;

	lookup->ifindex = LOOPBACK_IFINDEX;
	lookup->tot_len = 1;
	result = bpf_fib_lookup(skb, lookup, sizeof(*lookup), 0);
	/* Nor does the helper know the leave that one interface can have (6.17, force_forwarding).
	 */
	if (result == BPF_FIB_LKUP_RET_FWD_DISABLED && !inside_of6(lookup->ipv6_dst))
		return -1;
	return result;
}

/*
 * lookup is filled here. length is what has to pass in one piece, IP header included; 0: nothing
 * is known of it, and the caller looks at the MTU, which is in the answer.
 *
 * Noinline: it has a 64-byte argument block and stays off the hot path of what is forwarded
 * inside.
 */
static __noinline enum fib_way fib_outside(struct __sk_buff *skb, const struct nsr_port *port,
					   struct bpf_fib_lookup *lookup, u32 length)
{
	u32 slot = port->uplink - 1;
	u32 *uplink = bpf_map_lookup_elem(&uplink_by_index, &slot);
	bool too_large = false;
	int result;

	lookup->ifindex = port->gateway_ifindex;
	/* Asked for 0 bytes, the kernel would tell the interface's MTU instead of the route's. */
	lookup->tot_len = length > PACKET_LENGTH_MAX ? PACKET_LENGTH_MAX : length ? length : 1;
	result = bpf_fib_lookup(skb, lookup, sizeof(*lookup), 0);
	if (result == BPF_FIB_LKUP_RET_FRAG_NEEDED) {
		/* The interface is not told with this answer: ask again for it alone. */
		too_large = true;
		lookup->ifindex = port->gateway_ifindex;
		lookup->tot_len = 0;
		result = bpf_fib_lookup(skb, lookup, sizeof(*lookup), 0);
	}
	if (result == BPF_FIB_LKUP_RET_FWD_DISABLED && lookup->family == ADDRESS_FAMILY_IPV6)
		result = fib_again6(skb, lookup);
	if (result == BPF_FIB_LKUP_RET_UNSUPP_LWT || result < 0)
		return FIB_ELSEWHERE; /* an encapsulating route, or none that we understand */
	if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH &&
	    result != BPF_FIB_LKUP_RET_FRAG_NEEDED)
		return FIB_KERNEL; /* local, or the kernel refuses it too */
	if (uplink && lookup->ifindex == *uplink)
		return too_large || result != BPF_FIB_LKUP_RET_SUCCESS ? FIB_UPLINK_KERNEL
								       : FIB_UPLINK;
	if (bpf_map_lookup_elem(&inner_links, &lookup->ifindex))
		return FIB_KERNEL;
	return FIB_ELSEWHERE;
}

#endif
