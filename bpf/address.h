/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * address.h - the external address of an uplink, which may change while nobody is there to tell us.
 *
 * User space enters the address that the uplink has. From then on the kernel's FIB is asked, at
 * most once a second and only when a flow begins or goes on, whether that is still an address of
 * the host: then it would not be forwarded to. When it would, it has gone, and its successor is
 * what the kernel would give a packet that leaves by the uplink as its source (from 6.7 on; before,
 * none). Without a successor the uplink is closed, and asked again each second. One that the file
 * names has none. Nor is it one that another uplink has, which user space refuses too: each hands
 * out its ports by itself, so two flows could have one translation.
 *
 * Sessions keep the address that they were opened with: they end when it is not the uplink's any
 * more, at their next packet or when expire.h comes by.
 *
 * What is found is kept beside the uplink's entry, together with the address that user space had
 * entered: when that is another, nothing has been found yet.
 */
#ifndef NSROUTE_BPF_ADDRESS_H
#define NSROUTE_BPF_ADDRESS_H

#include "fib.h"
#include "maps.h"
#include "trace.h"

#define LINK_LOCAL4    bpf_htonl(0xa9fe0000) /* 169.254.0.0/16 */
#define FIB_LOOKUP_SRC (1 << 4) /* BPF_FIB_LOOKUP_SRC, which linux/bpf.h has since 6.7 */

static __always_inline struct nsr_followed *address_followed(const struct nsr_uplink *uplink)
{
	u32 index = uplink->index;

	return bpf_map_lookup_elem(&followed, &index);
}

/* The external address as it was last found; 0: none. */
static __always_inline __be32 address_of(const struct nsr_uplink *uplink)
{
	const struct nsr_followed *found = address_followed(uplink);
	union nsr_followed_address known;

	if (!found)
		return 0;
	known.both = READ_ONCE(found->address.both);
	return known.entered == uplink->address4 ? known.now : uplink->address4;
}

/* Whether an address is the external one, or the one that was entered: then nothing has to be
 * looked up, and one that has gone is nobody's meanwhile. */
static __always_inline bool address_is_external(const struct nsr_uplink *uplink, __be32 address)
{
	return address == uplink->address4 || address == address_of(uplink);
}

/* Whether another uplink has the address, or had it. */
NSR_STEP int address_is_anothers(u32 index, u32 address)
{
	const struct nsr_uplink *uplink;
	u32 i, number, key, *ifindex;

	for (i = 0; i < NSR_UPLINKS_MAX; i++) {
		number = i;
		ifindex = bpf_map_lookup_elem(&uplink_by_index, &number);
		if (!ifindex)
			continue;
		key = *ifindex;
		uplink = bpf_map_lookup_elem(&uplinks, &key);
		if (uplink && uplink->index != index && address_is_external(uplink, address))
			return true;
	}
	return false;
}

/* Whether an address is the host's, or may be. */
static __always_inline bool address_is_here(struct __sk_buff *skb, struct bpf_fib_lookup *lookup,
					    u32 ifindex, __be32 address)
{
	int result;

	__builtin_memset(lookup, 0, sizeof(*lookup));
	lookup->family = ADDRESS_FAMILY_IPV4;
	lookup->ifindex = ifindex;
	lookup->ipv4_dst = address;
	result = bpf_fib_lookup(skb, lookup, sizeof(*lookup), 0);
	return result < 0 || result == BPF_FIB_LKUP_RET_NOT_FWDED ||
	       result == BPF_FIB_LKUP_RET_FWD_DISABLED;
}

/* What the kernel would choose as the source towards dest; 0: none that would do. */
static __always_inline __be32 address_chosen(struct __sk_buff *skb, struct bpf_fib_lookup *lookup,
					     u32 ifindex, __be32 dest, u32 index)
{
	int result;

	__builtin_memset(lookup, 0, sizeof(*lookup));
	lookup->family = ADDRESS_FAMILY_IPV4;
	lookup->ifindex = ifindex;
	lookup->ipv4_dst = dest;
	result = bpf_fib_lookup(skb, lookup, sizeof(*lookup),
				BPF_FIB_LOOKUP_OUTPUT | FIB_LOOKUP_SRC);
	if ((result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH &&
	     result != BPF_FIB_LKUP_RET_FRAG_NEEDED) ||
	    lookup->ifindex != ifindex ||
	    (lookup->ipv4_src & bpf_htonl(0xffff0000)) == LINK_LOCAL4 ||
	    inside_of4(lookup->ipv4_src) || address_is_anothers(index, lookup->ipv4_src))
		return 0;
	return lookup->ipv4_src;
}

static __always_inline void address_asked(struct nsr_followed *found, u32 now_s)
{
	INSTEAD();
	WRITE_ONCE(found->asked_s, now_s);
}

static __always_inline void address_found(struct nsr_followed *found,
					  union nsr_followed_address address)
{
	INSTEAD();
	__sync_lock_test_and_set(&found->address.both, address.both);
}

/* The external address for a packet to dest that leaves by the uplink now. Closed by user space,
 * nothing opens it. */
NSR_STEP u32 address_ask(struct __sk_buff *skb, u32 ifindex, __be32 dest, u32 now_s)
{
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	union nsr_followed_address next;
	struct bpf_fib_lookup lookup;
	struct nsr_followed *found;
	__be32 known;

	if (!uplink || !uplink->address4)
		return 0;
	known = address_of(uplink);
	found = address_followed(uplink);
	if (!found || READ_ONCE(found->asked_s) == now_s)
		return known;
	address_asked(found, now_s);
	next.entered = uplink->address4;
	if (known && (known == next.entered || !address_is_anothers(uplink->index, known)) &&
	    address_is_here(skb, &lookup, ifindex, known))
		return known;
	next.now = 0;
	if (!uplink->fixed) {
		next.now = address_chosen(skb, &lookup, ifindex, 0,
					  uplink->index); /* by the default route */
		if (!next.now)
			next.now = address_chosen(skb, &lookup, ifindex, dest, uplink->index);
	}
	if (!next.now && address_is_here(skb, &lookup, ifindex, next.entered) &&
	    !address_is_anothers(uplink->index, next.entered))
		next.now = next.entered;
	address_found(found, next);
	/* Two uplinks have chosen at once: whoever is seen by the other gives up. */
	if (next.now && next.now != next.entered && address_is_anothers(uplink->index, next.now)) {
		next.now = 0;
		address_found(found, next);
	}
	return next.now;
}

#endif
