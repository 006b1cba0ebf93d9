/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsroute_trace.h - what trace.bpf.c and datapath_trace.c share: what the steps tell of a packet.
 *
 * Nothing outlives a run, so nothing here is part of the layout.
 */
#ifndef NSROUTE_TRACE_H
#define NSROUTE_TRACE_H

#include <linux/types.h>

/* What is told: X(NAME). a, b and c are in the comments; a verdict is as in common.h. */
#define NSR_TELLINGS(X)                                                                            \
	X(PARSED)     /* enum packet_kind; at a port also its number and its flags */              \
	X(POLICY)     /* 0, or the verdict of the policy */                                        \
	X(SWITCHED)   /* asked by MAC: ifindex (0: none), MTU, network of the endpoint found */    \
	X(ROUTED)     /* asked by address: the same */                                             \
	X(UNFIT)      /* enum nsr_unfit: a reason why the kernel has to do it */                   \
	X(FIB)        /* the kernel's FIB: enum nsr_fib, ifindex and MTU << 32, next hop (IPv4) */ \
	X(SESSION)    /* of this flow there is one: mapping, external address, what it has seen */ \
	X(EXPIRED)    /* there is one, but it has expired: its number, state, now */               \
	X(REMEMBERED) /* its route of this second: ifindex, MTU, next hop */                       \
	X(OPENS)      /* would open one: mapping, enum nsr_opens */                                \
	X(MAPPED)     /* inbound: references of the mapping of that port, address and port */      \
	X(SOCKET)     /* whether the host has a socket for it: 0 or 1, the port */                 \
	X(DIRECT)     /* of a direct flow: 1 it is, 2 it would open one, 0 neither */              \
	X(EXCEPT)     /* an excepted remote: 0 it leaves as it is, 1 it comes in */                \
	X(INBOUND)    /* enum nsr_inbound */                                                       \
	X(VERDICT)    /* of the port or uplink: verdict, whether it is translated */               \
	X(RECEIVES)   /* the port, by number, that receives it */                                  \
	X(DELIVERS)   /* into the namespace behind this ifindex */                                 \
	X(NEIGHBOUR)  /* out by this ifindex, next hop (IPv4) */                                   \
	X(PROGRAM6)   /* of IPv6: goes on in this program (enum nsr_program6) */

enum nsr_telling {
#define X(name) NSR_TELLS_##name,
	NSR_TELLINGS(X)
#undef X
		NSR_TELLINGS_END
};

/* Why a packet is left to the kernel, which answers it as a router does or knows the way. */
enum nsr_unfit {
	NSR_UNFIT_TTL,
	NSR_UNFIT_OPTIONS,
	NSR_UNFIT_BACK,     /* back where it came from */
	NSR_UNFIT_NOT_FAST, /* the fast path is off at either end */
	NSR_UNFIT_TOO_LARGE,
	NSR_UNFIT_SPECIAL, /* multicast, loopback and the like */
	NSR_UNFIT_GROUP,   /* a frame to many */
	NSR_UNFIT_NOT_IP,
	NSR_UNFIT_END
};

/* What the kernel's FIB says; enum fib_way. */
enum nsr_fib {
	NSR_FIB_KERNEL,
	NSR_FIB_UPLINK,
	NSR_FIB_UPLINK_KERNEL,
	NSR_FIB_ELSEWHERE,
};

/* Whom a packet is for that arrives at an uplink; enum nat_inbound. */
enum nsr_inbound {
	NSR_INBOUND_HOST,
	NSR_INBOUND_SESSION,
	NSR_INBOUND_HELD,
	NSR_INBOUND_REFUSED,
	NSR_INBOUND_RARE,
	NSR_INBOUND_FAILED,
	NSR_INBOUND_LIMITED,
	NSR_INBOUND_FULL,
	NSR_INBOUND_BUSY,
	NSR_INBOUND_ROUTED,
	NSR_INBOUND_LEFT,
	NSR_INBOUND_LOST,
};

/* The external port of a flow that would be opened. */
enum nsr_opens {
	NSR_OPENS_KNOWN,   /* of the mapping that its inside endpoint has */
	NSR_OPENS_SAME,    /* the inside port, which is free */
	NSR_OPENS_ANY,     /* any free one */
	NSR_OPENS_NONE,    /* no flow: from a published port it passes without */
	NSR_OPENS_ADDRESS, /* none: only the address is translated */
};

#define NSR_TRACE_MAX 32 /* things told of one run; a power of two */

struct nsr_told {
	__u32 what; /* enum nsr_telling */
	__u32 reserved;
	__u64 a, b, c;
};

struct nsr_trace {
	__u32 count; /* may be above the maximum: what is too much is not told */
	__u32 reserved;
	struct nsr_told told[NSR_TRACE_MAX];
};

#endif
