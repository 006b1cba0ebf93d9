/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsroute_abi_ipv6.h - the part of nsroute_abi.h, which includes it, for the NAT of IPv6.
 *
 * It has tables of its own, by the rules of those of IPv4: "mapping_by_inside6", "pools6",
 * "pool_bits6", "session_by_flow6", "sessions6", "session_bits6", "published6", "datagrams_in6",
 * "held_fragments6", "host_remotes6", "host_hears6". Records have the same fields, for one text
 * makes and reads both (bpf/nat6.h).
 */
#ifndef NSROUTE_ABI_IPV6_H
#define NSROUTE_ABI_IPV6_H

#include <linux/types.h>

struct nsr_address6 {
	__u32 words[4]; /* network byte order */
};

struct nsr_inside_endpoint6 {
	struct nsr_address6 address;
	__be16 port;
	__u8 protocol;
	__u8 uplink;
};
_Static_assert(sizeof(struct nsr_inside_endpoint6) == 20, "layout");

struct nsr_mapping6 {
	struct nsr_inside_endpoint6 inside;
	__u32 references;
	__u32 generation;
	__u32 released_s;
	__u16 flags;
	__u16 owner;
};
_Static_assert(sizeof(struct nsr_mapping6) == 36, "layout");

/* Map "published6", and what the program "nsr_publish6" is asked for. */
struct nsr_published6 {
	struct nsr_inside_endpoint6 inside;
	__u16 count;
	__u16 ready;
};
_Static_assert(sizeof(struct nsr_published6) == 24, "layout");

struct nsr_publish6 {
	__u32 step; /* enum nsr_publish_step */
	__u32 mapping;
	struct nsr_inside_endpoint6 inside;
	struct nsr_address6 external;
	__u32 count;
	__u32 unpaired;
};
_Static_assert(sizeof(struct nsr_publish6) == 52, "layout");

struct nsr_flow6 {
	struct nsr_inside_endpoint6 inside;
	__be16 remote_port;
	__u16 kind;
	struct nsr_address6 remote_address;
};
_Static_assert(sizeof(struct nsr_flow6) == 40, "layout");

struct nsr_session6 {
	struct nsr_flow6 flow;
	union {
		struct {
			__u32 state;
			__u32 life;
		};
		__u64 status;
	};
	__u32 mapping;
	__u32 refreshed_s;
	struct nsr_address6 external;
	__u16 mtu;
	__u16 owner;
	__u32 reserved;
	union nsr_route route; /* not used: the kernel finds the way of what leaves */
};
_Static_assert(sizeof(struct nsr_session6) == 88, "layout");

/* Map "followed6": ARRAY by slot, see bpf/address6.h. */
struct nsr_found6 {
	struct nsr_address6 entered; /* the slot's address then; another: now means nothing */
	struct nsr_address6 now;     /* ::, it has gone, and there is none in its place */
};
struct nsr_followed6 {
	struct nsr_found6 found[2]; /* by the lowest bit of turn */
	__u32 turn;
	__u32 busy; /* 1: the other one is being written */
	__u32 asked_s;
	__u32 reserved;
};
_Static_assert(sizeof(struct nsr_followed6) == 80, "layout");

#define NSR_SESSION6_WORDS      (NSR_SESSION6_SET / 64)
#define NSR_SESSION6_BITS_WORDS (NSR_SESSION6_WORDS + NSR_SESSION6_WORDS / 64 + 1)

struct nsr_session_bits6 {
	__u64 words[NSR_SESSION6_BITS_WORDS];
};

static inline enum nsr_nat_timeout nsr_timeout_of6(const struct nsr_flow6 *flow, __u32 seen)
{
	return nsr_timeout_by(flow->inside.protocol, flow->inside.port, flow->remote_port, seen);
}

struct nsr_selection6 {
	struct nsr_address6 address, mask; /* inside */
	struct nsr_address6 remote, remote_mask;
	__u16 port;
	__u8 protocol;
	__u8 uplink;
	__u32 mapping_first, mapping_last;
	__u16 inside_first, inside_last;
	__u32 unpublished;
	__u16 unanswered;
	__u16 repaired;
	__u32 kind;
};
_Static_assert(sizeof(struct nsr_selection6) == 92, "layout");

static inline int nsr_is_in6(const struct nsr_address6 *address, const struct nsr_address6 *prefix,
			     const struct nsr_address6 *mask)
{
	return !(((address->words[0] & mask->words[0]) ^ prefix->words[0]) |
		 ((address->words[1] & mask->words[1]) ^ prefix->words[1]) |
		 ((address->words[2] & mask->words[2]) ^ prefix->words[2]) |
		 ((address->words[3] & mask->words[3]) ^ prefix->words[3]));
}

static inline int nsr_selects6(const struct nsr_selection6 *selection, const struct nsr_flow6 *flow,
			       __u32 mapping)
{
	const struct nsr_inside_endpoint6 *inside = &flow->inside;

	if (!nsr_is_in6(&inside->address, &selection->address, &selection->mask) ||
	    !nsr_is_in6(&flow->remote_address, &selection->remote, &selection->remote_mask))
		return 0;
	if ((selection->uplink && inside->uplink + 1 != selection->uplink) ||
	    (selection->protocol && inside->protocol + 1 != selection->protocol) ||
	    (selection->kind && flow->kind + 1u != selection->kind))
		return 0;
	if ((selection->mapping_last &&
	     (mapping < selection->mapping_first || mapping > selection->mapping_last)) ||
	    (selection->inside_last && (__be16_to_cpu(inside->port) < selection->inside_first ||
					__be16_to_cpu(inside->port) > selection->inside_last)))
		return 0;
	if (!selection->port)
		return 1;
	return inside->protocol != NSR_NAT_OTHER &&
	       (__be16_to_cpu(inside->port) == selection->port ||
		NSR_MAPPING_PORT(mapping) == selection->port ||
		__be16_to_cpu(flow->remote_port) == selection->port);
}

/* Of the program "nsr_flush6". */
struct nsr_flush6 {
	__u32 what;       /* enum nsr_flush_what */
	__u32 first_word; /* of "session_bits6" */
	__u32 words;
	__u32 slot;
	struct nsr_selection6 selection;
};

/* As NSR_LOOPBACK_CLIENT: fd0d:2b16:9ad7::1, by its words, of which the third is 0. Of a prefix
 * that was drawn by lot (RFC 4193 3.2.2); docs/nat.md tells why. Host byte order. */
#define NSR_LOOPBACK_CLIENT6_0 0xfd0d2b16u
#define NSR_LOOPBACK_CLIENT6_1 0x9ad70000u
#define NSR_LOOPBACK_CLIENT6_3 0x00000001u

/* Fragments: keys and values of "datagrams_in6" and "held_fragments6". "datagrams_out6", whose
 * values are those of "datagrams_out", has those of networks with "inbound", and of excepted
 * destinations, alone. */
#define NSR_DATAGRAMS6_MAX 4096 /* remembered */
#define NSR_HELD6_MAX      256

struct nsr_datagram6 {
	struct nsr_address6 source, dest;
	__be32 id;
	__u32 uplink;
};
_Static_assert(sizeof(struct nsr_datagram6) == 40, "layout");

struct nsr_datagram_in6 {
	struct nsr_datagram6 datagram;
	struct nsr_address6 inside;
	__u32 whom;
	__u32 since_s;
	__u32 held;
};
_Static_assert(sizeof(struct nsr_datagram_in6) == 68, "layout");

struct nsr_held_key6 {
	struct nsr_datagram6 datagram;
	__u32 number;
	__u32 reserved;
};
_Static_assert(sizeof(struct nsr_held_key6) == 48, "layout");

/* Protocols without ports: keys of "host_remotes6" and "host_hears6". */
struct nsr_host_remote6 {
	struct nsr_address6 address;
	__u8 protocol;
	__u8 uplink;
	__u16 does; /* enum nsr_host_does */
};
_Static_assert(sizeof(struct nsr_host_remote6) == 20, "layout");

/* Map "programs6": PROG_ARRAY of the programs that take over a packet: of IPv6 at an uplink's hook,
 * where it needs the NAT, or at that of the loopback interface, and at a port's a hairpin, or what
 * guest.h tells of. Each has the stack to itself then. */
enum nsr_program6 {
	NSR_PROGRAM6_OUT,
	NSR_PROGRAM6_IN,
	NSR_PROGRAM6_BARE_OUT,
	NSR_PROGRAM6_BARE_IN,
	NSR_PROGRAM_HAIRPIN,
	NSR_PROGRAM6_HAIRPIN,
	NSR_PROGRAM6_LOCAL,
	NSR_PROGRAM6_OTHER_OUT, /* called by the first four */
	NSR_PROGRAM6_OTHER_IN,
	NSR_PROGRAM6_OBARE_OUT,
	NSR_PROGRAM6_OBARE_IN,
	NSR_PROGRAM_GUEST,
	NSR_PROGRAM6_GUEST,
	NSR_PROGRAM_OWN, /* of IPv4: see bpf/own.h */
	NSR_PROGRAM_BARE_OWN,
	NSR_PROGRAMS6
};

#endif
