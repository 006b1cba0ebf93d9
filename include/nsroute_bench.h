/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsroute_bench - what bench.bpf.c and bench_frames.c share.
 */
#ifndef NSROUTE_BENCH_H
#define NSROUTE_BENCH_H

#include <linux/types.h>

/* A frame of the generator is UDP to one of these ports: by that the sinks know it. */
#define BENCH_FRAME_PORT    640 /* and those after it: nobody's here, and not DNS's */
#define BENCH_FRAME_PORTS   64
#define BENCH_FRAME_SOURCE  16384 /* source ports: the first, and how many; a NAT may give ... */
#define BENCH_FRAME_SOURCES 16384 /* ... one namespace no more than half of the external ones */
#define BENCH_FLOWS_MAX     (BENCH_FRAME_PORTS * BENCH_FRAME_SOURCES)
#define BENCH_HOSTS_MAX     16384
#define BENCH_FRAME_WORDS   8
#define BENCH_FRAME_SIZE    (8 * BENCH_FRAME_WORDS)

struct bench_frame_words {
	__u64 word[BENCH_FRAME_WORDS];
};

struct bench_frame {
	union {
		struct bench_frame_words words;
		__u8 bytes[BENCH_FRAME_SIZE];
	};
	__u32 ifindex; /* in the client's namespace: the way out */
	/* Frames differ in ports, flows in number, and in the lower half of the destination, hosts
	 * in number (powers of two). What differs is 0 in bytes, and left out of these sums of
	 * 16-bit words, which the checksums are made of. */
	__u32 flows;
	__u32 hosts;
	__u32 first_host; /* lower half of the first destination, host byte order */
	__u32 ip_sum;
	__u32 udp_sum;
};

/* Of the bare program: where an address is. */
struct bench_endpoint {
	__u32 ifindex; /* the host's end of the veth */
	__u8 mac[6];
	__u8 gateway_mac[6];
};

#endif
