/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsroute_bench - what bench.bpf.c and bench_frames.c share.
 */
#ifndef NSROUTE_BENCH_H
#define NSROUTE_BENCH_H

#include <linux/types.h>

#define BENCH_FRAME_PORT  9 /* discard: by it the sinks know a frame of the generator */
#define BENCH_FRAME_WORDS 8
#define BENCH_FRAME_SIZE  (8 * BENCH_FRAME_WORDS)

struct bench_frame_words {
	__u64 word[BENCH_FRAME_WORDS];
};

struct bench_frame {
	union {
		struct bench_frame_words words;
		__u8 bytes[BENCH_FRAME_SIZE];
	};
	__u32 ifindex; /* in the client's namespace: the way out */
	__u32 padding;
};

/* Of the bare program: where an address is. */
struct bench_endpoint {
	__u32 ifindex; /* the host's end of the veth */
	__u8 mac[6];
	__u8 gateway_mac[6];
};

#endif
