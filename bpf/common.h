/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * common.h - what every step needs. Steps that call no helper compile on the host as well, where
 * the unit tests and sanitizers run them.
 */
#ifndef NSROUTE_BPF_COMMON_H
#define NSROUTE_BPF_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#ifdef __bpf__
#include <bpf/bpf_helpers.h>
#else
#define barrier()        __asm__ volatile("" ::: "memory")
#define barrier_var(var) __asm__ volatile("" : "+r"(var))
#endif

#include "nsroute_abi.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;

#define READ_ONCE(x)     (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

/*
 * What a step decided. Below zero: dropped, and the negative of the reason (NSR_DROP_*), so that
 * the verdict is its counter.
 */
enum verdict {
	VERDICT_KERNEL = 0,    /* left to the kernel, unchanged unless it says otherwise */
	VERDICT_PEER = 1,      /* into a namespace: bpf_redirect_peer() */
	VERDICT_NEIGHBOUR = 2, /* to an uplink: bpf_redirect_neigh() */
	VERDICT_RARE = 3,      /* not decided yet: by steps that are off the hot path */
	VERDICT_HAIRPIN = 4,   /* likewise: see hairpin.h */
	VERDICT_HAIRPIN6 = 5,  /* likewise: see hairpin6.h */
	VERDICT_GUEST = 6,     /* likewise: see guest.h */
	VERDICT_OWN = 7,       /* likewise: see own.h */
};

/* Whom a packet that arrives at an uplink is for. */
enum nat_inbound {
	NAT_INBOUND_HOST,    /* the host itself */
	NAT_INBOUND_SESSION, /* the inside, for it belongs to a session */
	NAT_INBOUND_HELD,    /* a fragment that goes on later: see fragment.h */
	NAT_INBOUND_REFUSED, /* a mapped port, but this remote is not one it talks to */
	NAT_INBOUND_RARE,    /* see uplink_in_rare() */
	NAT_INBOUND_FAILED,  /* the kernel refused to change it */
	NAT_INBOUND_LIMITED, /* let in, but the namespace has as many flows as it may */
	NAT_INBOUND_FULL,    /* the same, but all of them together have */
	NAT_INBOUND_BUSY,    /* the same, but other CPUs were faster */
	NAT_INBOUND_ROUTED,  /* the host would send it on, to an address that is in it */
	NAT_INBOUND_LEFT,    /* of a datagram: the host has a fragment that could not be held */
	NAT_INBOUND_LOST,    /* of a datagram: the same, and it was for the inside */
};

/*
 * A step off the hot path that the verifier checks once, on its own, and not again at each call.
 * Its arguments are numbers, the context, and pointers to structures (which it has to test for
 * NULL).
 */
#define NSR_STEP __attribute__((noinline))

/* VERDICT_KERNEL, in one place: clang would set it ahead of each test that leads to it. */
static __always_inline int to_kernel(void)
{
	int verdict = VERDICT_KERNEL;

	barrier_var(verdict);
	return verdict;
}

#define DROP(reason) (-(int)NSR_DROP_##reason)

/* Why an arriving packet is dropped; VERDICT_KERNEL when that does not tell. Without a default,
 * so that an answer that is new does not compile until it is judged here, for both families. */
static __always_inline int inbound_refused(enum nat_inbound whom)
{
	switch (whom) {
	case NAT_INBOUND_REFUSED:
		return DROP(NAT_FILTERED);
	case NAT_INBOUND_FAILED:
		return DROP(NAT_REWRITE);
	case NAT_INBOUND_LIMITED:
		return DROP(NAT_LIMIT);
	case NAT_INBOUND_FULL:
		return DROP(NAT_SESSIONS);
	case NAT_INBOUND_BUSY:
		return DROP(NAT_CONTENTION);
	case NAT_INBOUND_ROUTED:
		return DROP(IP_OPTIONS);
	case NAT_INBOUND_LOST:
		return DROP(NAT_FRAGMENT);
	case NAT_INBOUND_HOST:
	case NAT_INBOUND_SESSION:
	case NAT_INBOUND_HELD:
	case NAT_INBOUND_RARE:
	case NAT_INBOUND_LEFT:
		break;
	}
	return VERDICT_KERNEL;
}

#endif
