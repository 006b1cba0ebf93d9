/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsroute_abi_pair.h - the part of nsroute_abi.h, which includes it, for uplinks with several
 * external addresses: which of them an inside address has (RFC 4787 REQ-2, "paired"), and what has
 * become of each.
 *
 * Each of them has a weight for an inside address, a hash of the two, and the heaviest it is
 * (highest random weight). So no table is needed, it is the same for all ports and protocols and in
 * whichever order the addresses are, and when one comes or goes only those inside addresses change
 * that get it, or had it. Packets and user space ask the same question.
 */
#ifndef NSROUTE_ABI_PAIR_H
#define NSROUTE_ABI_PAIR_H

#include <linux/types.h>

/* nsr_uplink.flags: there are others than the first; which there are is being changed, so that
 * nothing begins. */
#define NSR_UPLINK_MORE4     1
#define NSR_UPLINK_MORE6     2
#define NSR_UPLINK_CHANGING4 4
#define NSR_UPLINK_CHANGING6 8

/* Any bit of x changes each of the result's with a probability of a half. */
static inline __u32 nsr_pair_mix(__u32 x)
{
	x ^= x >> 16;
	x *= 0x7feb352du;
	x ^= x >> 15;
	x *= 0x846ca68bu;
	return x ^ x >> 16;
}

static inline __u32 nsr_pair_weight(__be32 inside, __be32 external)
{
	return nsr_pair_mix(nsr_pair_mix(inside) ^ external);
}

static inline __u32 nsr_pair_weight6(const __u32 inside[4], const __u32 external[4])
{
	__u32 weight = 0, i;

	for (i = 0; i < 4; i++)
		weight = nsr_pair_mix(weight ^ inside[i]);
	for (i = 0; i < 4; i++)
		weight = nsr_pair_mix(weight ^ external[i]);
	return weight;
}

/* The slot of the external address that an inside one has. Of two that weigh the same it is the one
 * with the larger number. */
static inline __u32 nsr_pair(const struct nsr_uplink *uplink, __be32 inside)
{
	__u32 slot = uplink->index, heaviest = nsr_pair_weight(inside, uplink->address4), i;
	__be32 best = uplink->address4;

	for (i = 0; i < NSR_MORE_MAX; i++) {
		__be32 external = uplink->more4[i];
		__u32 weight = nsr_pair_weight(inside, external);

		if (!external || weight < heaviest || (weight == heaviest && external <= best))
			continue;
		heaviest = weight;
		best = external;
		slot = uplink->slots[i];
	}
	return slot;
}

/* Map "followed": ARRAY by slot: what has become of its address, see bpf/address.h. */
union nsr_followed_address {
	struct {
		__be32 entered; /* the address of the slot, when now was found; another: now means
				   nothing */
		__be32 now;     /* 0: it has gone, and there is none in its place */
	};
	__u64 both;
};
struct nsr_followed {
	union nsr_followed_address address;
	__u32 asked_s;
	__u32 reserved;
};
_Static_assert(sizeof(struct nsr_followed) == 16, "layout");

static inline int nsr_pair_is_larger6(const __u32 a[4], const __u32 b[4])
{
	__u32 i;

	for (i = 0; i < 3; i++)
		if (a[i] != b[i])
			return a[i] > b[i];
	return a[3] > b[3];
}

static inline __u32 nsr_pair6(const struct nsr_uplink *uplink, const __u32 inside[4])
{
	const __u32 *best = (const __u32 *)uplink->address6;
	__u32 slot = uplink->index, heaviest = nsr_pair_weight6(inside, best), i;

	for (i = 0; i < NSR_MORE_MAX; i++) {
		const __u32 *external = (const __u32 *)uplink->more6[i];
		__u32 weight;

		if (!(external[0] | external[1] | external[2] | external[3]))
			continue;
		weight = nsr_pair_weight6(inside, external);
		if (weight < heaviest ||
		    (weight == heaviest && !nsr_pair_is_larger6(external, best)))
			continue;
		heaviest = weight;
		best = external;
		slot = uplink->slots[i];
	}
	return slot;
}

/* Map "repairing": ARRAY of one, written by user space while it ends the sessions of those inside
 * addresses that another external one is to be for. */
struct nsr_repairing {
	struct nsr_uplink before, after;
};

#endif
