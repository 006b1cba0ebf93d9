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
 * An uplink may have several, which the file names: each has a slot, and is asked about by itself.
 * Which of them an inside address has is told in nsroute_abi_pair.h.
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

/* What has become of the address of a session. */
enum address_fate {
	ADDRESS_STAYS,
	ADDRESS_GONE, /* and there is none in its place: it may come back */
	ADDRESS_REPLACED,
};

static __always_inline struct nsr_followed *address_followed(u32 slot)
{
	return bpf_map_lookup_elem(&followed, &slot);
}

/* What has become of the address that is entered for a slot; 0: it has gone. */
static __always_inline __be32 address_now(u32 slot, __be32 entered)
{
	const struct nsr_followed *found = address_followed(slot);
	union nsr_followed_address known;

	if (!found)
		return 0;
	known.both = READ_ONCE(found->address.both);
	return known.entered == entered ? known.now : entered;
}

/* The first external address as it was last found; 0: none. */
static __always_inline __be32 address_of(const struct nsr_uplink *uplink)
{
	return address_now(uplink->index, uplink->address4);
}

/* The slot of one of the other external addresses; NSR_SLOTS_MAX: it is none of them. */
NSR_STEP u32 address_more_slot(const struct nsr_uplink *uplink, __be32 address)
{
	u32 slot = NSR_SLOTS_MAX, i;

	if (!uplink)
		return slot;
#pragma unroll
	for (i = 0; i < NSR_MORE_MAX; i++)
		if (address && uplink->more4[i] == address)
			slot = uplink->slots[i];
	return slot;
}

/* The slot of an external address, or of one that was entered: then nothing has to be looked up,
 * and one that has gone is nobody's meanwhile. NSR_SLOTS_MAX: it is another address. */
static __always_inline u32 address_slot(const struct nsr_uplink *uplink, __be32 address)
{
	if (address == uplink->address4 || address == address_of(uplink))
		return uplink->index;
	return uplink->flags & NSR_UPLINK_MORE4 ? address_more_slot(uplink, address)
						: NSR_SLOTS_MAX;
}

/* The same for what is in a hurry: whether there is one. */
static __always_inline bool address_find(const struct nsr_uplink *uplink, __be32 address,
					 u8 *ret_slot)
{
	if (address == uplink->address4 || address == address_of(uplink)) {
		*ret_slot = uplink->index;
		return true;
	}
	if (!(uplink->flags & NSR_UPLINK_MORE4))
		return false;
	*ret_slot = address_more_slot(uplink, address);
	return *ret_slot != NSR_SLOTS_MAX;
}

static __always_inline bool address_is_external(const struct nsr_uplink *uplink, __be32 address)
{
	return address_slot(uplink, address) != NSR_SLOTS_MAX;
}

/* The address that is entered for one of the other slots; 0: the uplink has no such. */
NSR_STEP u32 address_more_entered(const struct nsr_uplink *uplink, u32 slot)
{
	__be32 entered = 0;
	u32 i;

	if (!uplink)
		return 0;
#pragma unroll
	for (i = 0; i < NSR_MORE_MAX; i++)
		if (uplink->slots[i] == slot)
			entered = uplink->more4[i];
	return entered;
}

static __always_inline __be32 address_entered(const struct nsr_uplink *uplink, u32 slot)
{
	if (slot == uplink->index)
		return uplink->address4;
	return uplink->flags & NSR_UPLINK_MORE4 ? address_more_entered(uplink, slot) : 0;
}

/* The external address of a slot as it was last found; 0: none, or the uplink has not that slot. */
static __always_inline __be32 address_at(const struct nsr_uplink *uplink, u32 slot)
{
	__be32 entered = address_entered(uplink, slot);

	return entered ? address_now(slot, entered) : 0;
}

/* The external address of a slot of the uplink of this number; 0: none. */
NSR_STEP u32 address_by_slot(u32 index, u32 slot)
{
	const struct nsr_uplink *uplink = uplink_at(index);

	return uplink ? address_at(uplink, slot) : 0;
}

/* Whether an address is one of the external ones of the uplink of this number, as last found. */
NSR_STEP int address_is_one_of(u32 index, __be32 address)
{
	const struct nsr_uplink *uplink = uplink_at(index);
	u32 slot;

	if (!uplink || !address)
		return false;
	slot = address_slot(uplink, address);
	return slot != NSR_SLOTS_MAX && address_at(uplink, slot) == address;
}

NSR_STEP u32 address_pair_more(const struct nsr_uplink *uplink, __be32 inside)
{
	return uplink ? nsr_pair(uplink, inside) : NSR_SLOTS_MAX;
}

/* The slot of the external address that an inside one has for what it begins. */
static __always_inline u32 address_pair(const struct nsr_uplink *uplink, __be32 inside)
{
	return uplink->flags & NSR_UPLINK_MORE4 ? address_pair_more(uplink, inside) : uplink->index;
}

/* Whether another uplink has the address, or had it. */
NSR_STEP int address_is_anothers(u32 index, u32 address)
{
	const struct nsr_uplink *uplink;
	u32 i;

	for (i = 0; i < NSR_UPLINKS_MAX; i++) {
		uplink = uplink_at(i);
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

/* The external address of a slot for a packet to dest that leaves by the uplink now. Closed by user
 * space, nothing opens it. */
NSR_STEP u32 address_ask(struct __sk_buff *skb, u32 ifindex, u32 slot, __be32 dest, u32 now_s)
{
	const struct nsr_uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	union nsr_followed_address next;
	struct bpf_fib_lookup lookup;
	struct nsr_followed *found;
	__be32 known;

	if (!uplink)
		return 0;
	next.entered = address_entered(uplink, slot);
	if (!next.entered)
		return 0;
	known = address_now(slot, next.entered);
	found = address_followed(slot);
	if (!found || READ_ONCE(found->asked_s) == now_s)
		return known;
	address_asked(found, now_s);
	if (known && (known == next.entered || !address_is_anothers(uplink->index, known)) &&
	    address_is_here(skb, &lookup, ifindex, known))
		return known;
	next.now = 0;
	if (!uplink->fixed && slot == uplink->index) {
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

/* The same for what begins. */
static __always_inline __be32 address_begin(struct __sk_buff *skb, const struct nsr_uplink *uplink,
					    u32 slot, __be32 dest, u32 now_s)
{
	return uplink->flags & NSR_UPLINK_CHANGING4
		       ? 0
		       : address_ask(skb, uplink->ifindex, slot, dest, now_s);
}

static __always_inline enum address_fate address_fate_of(__be32 address, __be32 now)
{
	if (address == now)
		return ADDRESS_STAYS;
	return now ? ADDRESS_REPLACED : ADDRESS_GONE;
}

#endif
