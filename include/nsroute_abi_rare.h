/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsroute_abi_rare.h - the part of nsroute_abi.h, which includes it, for what is rare: fragments,
 * protocols without ports, and packets that are dropped. What is said there holds here.
 */
#ifndef NSROUTE_ABI_RARE_H
#define NSROUTE_ABI_RARE_H

#include <linux/types.h>

/* ---- Fragments: see docs/nat.md. */

#define NSR_DATAGRAM_S     30 /* how long a datagram may take, unless its network has another time */
#define NSR_DATAGRAM_MAX_S 120   /* for longer nobody puts one together (RFC 1122 3.3.2) */
#define NSR_DATAGRAMS_MAX  16384 /* remembered, each way */
#define NSR_HELD_MAX       1024  /* parts of fragments held because their first has not come */
#define NSR_HELD_BYTES     1920  /* of each part: a frame of MTU 1500 and some is one */
#define NSR_HELD_PARTS     5     /* of a fragment: a frame of MTU 9000 and some */
#define NSR_HELD_NUMBERS   128   /* parts of one datagram */
#define NSR_IDS_MAX        4096  /* counters of identifications; a power of two */

/* Key of LRU_HASH "datagrams_out" (source is an inside address) and "datagrams_in" (dest is the
 * external one): what the fragments of a datagram have in common.
 */
struct nsr_datagram {
	__be32 source;
	__be32 dest;
	__be16 id;
	__u8 protocol; /* of IP */
	__u8 uplink;   /* index */
	__u32 reserved;
};
_Static_assert(sizeof(struct nsr_datagram) == 16, "layout");

struct nsr_datagram_out {
	__u32 since_s;
	__be16 id;  /* identification that it leaves with, ... */
	__u16 slot; /* ... and the slot of the external address; IPv6: 1 + it, 0: the one
		     * that the inside address has for what it begins */
	/* The direct session that it leaves by; a state of 0: it is translated. */
	__u32 session;
	__u32 state;
};
_Static_assert(sizeof(struct nsr_datagram_out) == 16, "layout");

struct nsr_datagram_in {
	struct nsr_datagram datagram; /* the key again: a reader may find another one's value */
	__be32 inside;                /* address that it is for */
	__u32 whom;                   /* enum nat_inbound */
	__u32 since_s;
	__u32 held; /* how many parts have been, before its first fragment came */
};
_Static_assert(sizeof(struct nsr_datagram_in) == 32, "layout");

/* Key of HASH "held_fragments"; the value is also that of PERCPU_ARRAY "held_scratch", of one. */
struct nsr_held_key {
	struct nsr_datagram datagram;
	__u32 number; /* in the order that they came in; the parts of a fragment on end */
	__u32 reserved;
};
_Static_assert(sizeof(struct nsr_held_key) == 24, "layout");

struct nsr_held {
	__u32 since_s;
	__u16 length;               /* of the frame */
	__u16 part;                 /* from 0 */
	__u8 bytes[NSR_HELD_BYTES]; /* of the frame as it arrived */
};
_Static_assert(sizeof(struct nsr_held) == 8 + NSR_HELD_BYTES, "layout");

/* Map "held_waits": ARRAY by uplink index of how long what is held there waits (__u32, seconds):
 * the longest time that one of its networks has; 0, or less than NSR_DATAGRAM_S: that. */

/* Map "datagram_ids": ARRAY of NSR_IDS_MAX counters (__u32; 0: not begun), by a hash of remote and
 * protocol.
 */

/* ---- Protocols without ports: see bpf/other.h. */

#define NSR_HOST_REMOTES_MAX 4096 /* remembered, in each table */
#define NSR_HOST_REMOTE_S    600  /* for how long */

/* Key of LRU_HASH "host_remotes", of those that the host itself sends to, and of LRU_HASH
 * "host_hears", of those that it hears from or refuses; the value is when it did so last, in
 * seconds (__u32).
 */
enum nsr_host_does { NSR_HOST_SENDS, NSR_HOST_HEARS, NSR_HOST_REFUSES };
struct nsr_host_remote {
	__be32 address;
	__u8 protocol; /* of IP */
	__u8 uplink;   /* index */
	__u16 does;    /* enum nsr_host_does */
};
_Static_assert(sizeof(struct nsr_host_remote) == 8, "layout");

/* ---- Echo requests of the host's own: see bpf/own.h. */

#define NSR_HOST_ECHOES_MAX 4096 /* remembered */
#define NSR_HOST_ECHO_S     60   /* for how long: as RFC 5508 REQ-2 has it */

/* Key of LRU_HASH "host_echoes"; the value is when the last one has left, in seconds (__u32). */
struct nsr_host_echo {
	__be32 address[4]; /* of the remote; IPv4: the first of them, the others 0 */
	__be16 id;
	__u8 uplink; /* index */
	__u8 family; /* 0, of IPv6 1 */
};
_Static_assert(sizeof(struct nsr_host_echo) == 20, "layout");

/* ---- Events: dropped packets, told to one listener. Nothing is told without a lease. */

/* Where a packet was dropped: X(NAME, "name as printed"). Directions are those of nsroute.bpf.c. */
#define NSR_HOOKS(X)                \
	X(PORT_IN, "port-in")       \
	X(PORT_OUT, "port-out")     \
	X(UPLINK_OUT, "uplink-out") \
	X(UPLINK_IN, "uplink-in")

enum nsr_hook {
#define X(name, text) NSR_HOOK_##name,
	NSR_HOOKS(X)
#undef X
		NSR_HOOKS_END
};

#define NSR_EVENTS_BYTES   262144 /* of the ring: a power of two, and whole pages */
#define NSR_EVENT_PACKET   128  /* bytes of a packet that are told, most headers; a power of two */
#define NSR_EVENTS_PER_S   100  /* of one interface and reason, after ... */
#define NSR_EVENTS_BURST   100  /* ... so many at once */
#define NSR_EVENT_LIMITS   1024 /* interfaces and reasons told apart; a power of two */
#define NSR_EVENT_INTERVAL (1000000000ull / NSR_EVENTS_PER_S) /* nanoseconds */

/* Map "events": RINGBUF of these. */
struct nsr_event {
	__u64 time_ns;   /* kernel's monotonic clock */
	__u32 ifindex;   /* of the hook */
	__u32 length;    /* of the packet, with its Ethernet header if it has one */
	__u8 reason;     /* enum nsr_drop_reason */
	__u8 hook;       /* enum nsr_hook */
	__u8 captured;   /* bytes of "packet" that are meant */
	__u8 tagged;     /* it has a VLAN tag beside its bytes, ... */
	__u16 vlan;      /* ... which is this */
	__be16 protocol; /* of a packet that has no Ethernet header: its ethertype; 0: it has one */
	__u8 packet[NSR_EVENT_PACKET];
};
_Static_assert(sizeof(struct nsr_event) == 24 + NSR_EVENT_PACKET, "layout");
_Static_assert(NSR_EVENT_PACKET < 256, "captured is a byte");

/* Map "event_lease": ARRAY of one, written by the listener only. */
struct nsr_event_lease {
	__u64 until_ns; /* monotonic clock; 0: nobody listens */
	__u32 reasons;  /* bit by reason: what to tell */
	__u32 reserved;
};
_Static_assert(sizeof(struct nsr_event_lease) == 16, "layout");
_Static_assert(NSR_DROP_SLOTS <= 32, "a bit for each reason");

/* Map "event_limits": ARRAY of one. Each drop under a lease is in the ring or in left_out. */
struct nsr_event_limits {
	__u64 left_out[NSR_DROP_SLOTS]; /* by reason, since the datapath was made */
	__u64 due_ns[NSR_EVENT_LIMITS]; /* when the next one is due, at NSR_EVENTS_PER_S */
};
_Static_assert(sizeof(struct nsr_event_limits) == 256 + 8 * NSR_EVENT_LIMITS, "layout");

#endif
