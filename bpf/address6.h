/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * address6.h - as address.h, of IPv6: the external address of an uplink, which the kernel is asked
 * about at most once a second.
 *
 * Which one takes the place of one that has gone is the kernel's choice by RFC 6724, for a packet
 * that leaves by the uplink: neither a tentative one, nor a deprecated one while there is another,
 * nor a unique local one but in the place of another. It is asked as for the first address of all
 * global unicast, so that it does not depend on who sends first; where no route leads there by the
 * uplink, as for the packet's destination. Where the host prefers temporary addresses the kernel
 * would choose one of these: then, as where the file names one, nothing takes the place
 * (nsr_uplink.fixed6). Link-local and masqueraded ones are no choice.
 *
 * What is found cannot be read and written in one. So it is written beside what was found before,
 * by one CPU at a time, and then "turn" says that it holds; who reads looks at that again
 * afterwards. In the moment of a change there may be no telling: then there is no address.
 */
#ifndef NSROUTE_BPF_ADDRESS6_H
#define NSROUTE_BPF_ADDRESS6_H

#include "address.h"

#define GLOBAL_UNICAST6 bpf_htonl(0x20000000) /* 2000::/3, the first word of its first */

static __always_inline bool address6_is_none(const struct nsr_address6 *address)
{
	return !(address->words[0] | address->words[1] | address->words[2] | address->words[3]);
}

static __always_inline bool address6_equal(const void *a, const void *b)
{
	const u32 *x = a, *y = b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]));
}

static __always_inline struct nsr_followed6 *address6_followed(u32 slot)
{
	return bpf_map_lookup_elem(&followed6, &slot);
}

/* What has become of the address that is entered for a slot; ::, it has gone. */
static __always_inline struct nsr_address6 address6_now(u32 slot, const void *entered)
{
	struct nsr_followed6 *followed = address6_followed(slot);
	struct nsr_address6 address = {};
	struct nsr_found6 found;
	u32 turn;

	if (!followed)
		return address;
	turn = READ_ONCE(followed->turn);
	barrier();
	found = followed->found[turn & 1];
	barrier();
	if (READ_ONCE(followed->turn) != turn)
		return address;
	if (address6_equal(&found.entered, entered))
		return found.now;
	__builtin_memcpy(&address, entered, sizeof(address));
	return address;
}

/* The first external address as it was last found; ::, none. */
static __always_inline struct nsr_address6 address6_of(const struct nsr_uplink *uplink)
{
	return address6_now(uplink->index, uplink->address6);
}

/* As address_more_slot(). */
NSR_STEP u32 address6_more_slot(const struct nsr_uplink *uplink, const struct nsr_address6 *address)
{
	u32 slot = NSR_SLOTS_MAX, i;

	if (!uplink || !address || address6_is_none(address))
		return slot;
#pragma unroll
	for (i = 0; i < NSR_MORE_MAX; i++)
		if (address6_equal(address, uplink->more6[i]))
			slot = uplink->slots[i];
	return slot;
}

/* As address_slot(). The address may be in the packet. */
static __always_inline u32 address6_slot(const struct nsr_uplink *uplink, const void *address)
{
	struct nsr_address6 now, copy;

	if (address6_equal(address, uplink->address6))
		return uplink->index;
	now = address6_of(uplink);
	if (address6_equal(address, &now))
		return uplink->index;
	if (!(uplink->flags & NSR_UPLINK_MORE6))
		return NSR_SLOTS_MAX;
	__builtin_memcpy(&copy, address, sizeof(copy));
	return address6_more_slot(uplink, &copy);
}

static __always_inline bool address6_is_external(const struct nsr_uplink *uplink,
						 const void *address)
{
	return address6_slot(uplink, address) != NSR_SLOTS_MAX;
}

/* On its own, for the stack. */
NSR_STEP u32 address6_find(const struct nsr_uplink *uplink, const struct nsr_address6 *address)
{
	return uplink && address ? address6_slot(uplink, address) : NSR_SLOTS_MAX;
}

/* As address_is_anothers(). */
NSR_STEP int address6_is_anothers(u32 index, const struct nsr_address6 *address)
{
	const struct nsr_uplink *uplink;
	u32 i;

	for (i = 0; address && i < NSR_UPLINKS_MAX; i++) {
		uplink = uplink_at(i);
		if (uplink && uplink->index != index && address6_is_external(uplink, address))
			return true;
	}
	return false;
}

/* The address that is entered for one of the other slots; *ret stays ::, when there is none. */
NSR_STEP int address6_more_entered(const struct nsr_uplink *uplink, u32 slot,
				   struct nsr_address6 *ret)
{
	u32 i;

	if (!uplink || !ret)
		return 0;
#pragma unroll
	for (i = 0; i < NSR_MORE_MAX; i++)
		if (uplink->slots[i] == slot)
			__builtin_memcpy(ret, uplink->more6[i], sizeof(*ret));
	return 0;
}

static __always_inline void address6_entered(const struct nsr_uplink *uplink, u32 slot,
					     struct nsr_address6 *ret)
{
	__builtin_memset(ret, 0, sizeof(*ret));
	if (slot == uplink->index)
		__builtin_memcpy(ret, uplink->address6, sizeof(*ret));
	else if (uplink->flags & NSR_UPLINK_MORE6)
		address6_more_entered(uplink, slot, ret);
}

/* As address_at(). */
static __always_inline struct nsr_address6 address6_at(const struct nsr_uplink *uplink, u32 slot)
{
	struct nsr_address6 entered;

	address6_entered(uplink, slot, &entered);
	return address6_is_none(&entered) ? entered : address6_now(slot, &entered);
}

/* Whether an address is what has become of the one that is entered for a slot. Compared where it is
 * found: what calls this has no room on the stack for a copy. */
static __always_inline bool address6_is_now(u32 slot, const void *entered, const void *address)
{
	struct nsr_followed6 *followed = address6_followed(slot);
	const struct nsr_found6 *found;
	bool same;
	u32 turn;

	if (!followed)
		return false;
	turn = READ_ONCE(followed->turn);
	barrier();
	found = &followed->found[turn & 1];
	same = address6_equal(address,
			      address6_equal(&found->entered, entered) ? &found->now : entered);
	barrier();
	return same && READ_ONCE(followed->turn) == turn;
}

/* As address_is_one_of(). */
NSR_STEP int address6_is_one_of(u32 index, const struct nsr_address6 *address)
{
	const struct nsr_uplink *uplink = uplink_at(index);
	u32 slot;

	if (!uplink || !address || address6_is_none(address))
		return false;
	if (address6_is_now(index, uplink->address6, address))
		return true;
	if (!(uplink->flags & NSR_UPLINK_MORE6))
		return false;
	slot = address6_more_slot(uplink, address);
	return slot != NSR_SLOTS_MAX && address6_is_now(slot, address, address);
}

NSR_STEP u32 address6_pair_more(const struct nsr_uplink *uplink, const struct nsr_address6 *inside)
{
	return uplink && inside ? nsr_pair6(uplink, inside->words) : NSR_SLOTS_MAX;
}

/* As address_pair(). */
static __always_inline u32 address6_pair(const struct nsr_uplink *uplink,
					 const struct nsr_address6 *inside)
{
	return uplink->flags & NSR_UPLINK_MORE6 ? address6_pair_more(uplink, inside)
						: uplink->index;
}

/* Whether an address is the host's, or may be. Asked as of what the loopback interface sends: where
 * forwarding is off on the uplink alone, the kernel would not say. */
static __always_inline bool address6_is_here(struct __sk_buff *skb, struct bpf_fib_lookup *lookup,
					     const struct nsr_address6 *address)
{
	int result;

	__builtin_memset(lookup, 0, sizeof(*lookup));
	lookup->family = ADDRESS_FAMILY_IPV6;
	lookup->ifindex = LOOPBACK_IFINDEX;
	__builtin_memcpy(lookup->ipv6_dst, address, sizeof(*address));
	result = bpf_fib_lookup(skb, lookup, sizeof(*lookup), 0);
	return result < 0 || result == BPF_FIB_LKUP_RET_NOT_FWDED ||
	       result == BPF_FIB_LKUP_RET_FWD_DISABLED;
}

static __always_inline bool address6_is_local(const void *address)
{
	return (*(const u8 *)address & 0xfe) == 0xfc; /* RFC 4193 */
}

/* What the kernel would choose as the source towards an address; ::, none that would do. ret may be
 * dest. */
static __always_inline void address6_choose(struct __sk_buff *skb, struct bpf_fib_lookup *lookup,
					    const struct nsr_uplink *uplink,
					    const struct nsr_address6 *dest,
					    struct nsr_address6 *ret)
{
	int result;

	__builtin_memset(lookup, 0, sizeof(*lookup));
	lookup->family = ADDRESS_FAMILY_IPV6;
	lookup->ifindex = uplink->ifindex;
	__builtin_memcpy(lookup->ipv6_dst, dest, sizeof(*dest));
	__builtin_memset(ret, 0, sizeof(*ret));
	result = bpf_fib_lookup(skb, lookup, sizeof(*lookup),
				BPF_FIB_LOOKUP_OUTPUT | FIB_LOOKUP_SRC);
	if (result == BPF_FIB_LKUP_RET_FWD_DISABLED) {
		lookup->ifindex = LOOPBACK_IFINDEX;
		result = bpf_fib_lookup(skb, lookup, sizeof(*lookup), FIB_LOOKUP_SRC);
	}
	if ((result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH &&
	     result != BPF_FIB_LKUP_RET_FRAG_NEEDED) ||
	    lookup->ifindex != uplink->ifindex || ip6_is_special(lookup->ipv6_src) ||
	    (address6_is_local(lookup->ipv6_src) && !address6_is_local(uplink->address6)) ||
	    inside_of6(lookup->ipv6_src))
		return;
	__builtin_memcpy(ret, lookup->ipv6_src, sizeof(*ret));
	if (address6_is_anothers(uplink->index, ret))
		__builtin_memset(ret, 0, sizeof(*ret));
}

static __always_inline void address6_asked(struct nsr_followed6 *followed, u32 now_s)
{
	INSTEAD();
	WRITE_ONCE(followed->asked_s, now_s);
}

/* Two CPUs seldom come here at once: the second leaves it to the first. */
static __always_inline void address6_found(struct nsr_followed6 *followed,
					   const struct nsr_address6 *entered,
					   const struct nsr_address6 *now)
{
	struct nsr_found6 *found;
	u32 turn;

	INSTEAD();
	if (__sync_val_compare_and_swap(&followed->busy, 0, 1))
		return;
	turn = READ_ONCE(followed->turn) + 1;
	found = &followed->found[turn & 1];
	found->now = *now;
	found->entered = *entered;
	__sync_lock_test_and_set(&followed->turn, turn);
	__sync_lock_test_and_set(&followed->busy, 0);
}

/* As address_ask(): the external address of a slot for a packet to dest that leaves by the uplink
 * now is put into *address, which is what address6_at() has said. */
NSR_STEP int address6_ask(struct __sk_buff *skb, u32 slot, u32 now_s, struct nsr_address6 *address,
			  const struct nsr_address6 *dest)
{
	struct nsr_address6 next = {.words = {GLOBAL_UNICAST6}}, entered;
	u32 ifindex = skb->ifindex;
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	struct nsr_followed6 *followed;
	struct bpf_fib_lookup lookup;

	if (!uplink || !address || !dest)
		return 0;
	followed = address6_followed(slot);
	address6_entered(uplink, slot, &entered);
	if (!followed || address6_is_none(&entered) || READ_ONCE(followed->asked_s) == now_s)
		return 0;
	address6_asked(followed, now_s);
	if (!address6_is_none(address) && address6_is_here(skb, &lookup, address) &&
	    (address6_equal(address, &entered) || !address6_is_anothers(uplink->index, address)))
		return 0;
	if (uplink->fixed6 || slot != uplink->index) {
		__builtin_memset(&next, 0, sizeof(next));
	} else {
		address6_choose(skb, &lookup, uplink, &next, &next);
		if (address6_is_none(&next))
			address6_choose(skb, &lookup, uplink, dest, &next);
	}
	if (address6_is_none(&next) && address6_is_here(skb, &lookup, &entered) &&
	    !address6_is_anothers(uplink->index, &entered))
		next = entered;
	address6_found(followed, &entered, &next);
	if (!address6_is_none(&next) && !address6_equal(&next, &entered) &&
	    address6_is_anothers(uplink->index, &next)) {
		__builtin_memset(&next, 0, sizeof(next));
		address6_found(followed, &entered, &next);
	}
	*address = next;
	return 0;
}

#endif
