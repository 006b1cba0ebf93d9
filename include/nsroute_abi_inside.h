/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsroute_abi_inside.h - the part of nsroute_abi.h, which includes it, for masqueraded prefixes and
 * what is set for their flows. What is said there holds here.
 */
#ifndef NSROUTE_ABI_INSIDE_H
#define NSROUTE_ABI_INSIDE_H

#include <linux/types.h>

/* Map "inside4", "inside6": LPM_TRIE of masqueraded prefixes. */
struct nsr_inside4_key {
	__u32 prefix_len;
	__be32 address;
};
struct nsr_inside6_key {
	__u32 prefix_len;
	__u8 address[16];
};
/* What becomes of a packet from outside that is for a mapped port and has no session: X(NAME, "name
 * as in the topology file"). RFC 4787 5: it is refused; it gets one when the mapping has sent to
 * that address; it gets one.
 */
#define NSR_FILTERS(X)                                    \
	X(ADDRESS_AND_PORT, "address-and-port-dependent") \
	X(ADDRESS, "address-dependent")                   \
	X(NOTHING, "endpoint-independent")

enum nsr_filter {
#define X(name, text) NSR_FILTER_##name,
	NSR_FILTERS(X)
#undef X
		NSR_FILTERS_END
};

/* Which external port a flow gets: X(NAME, "name as in the topology file"). RFC 4787 4.1: the one
 * that its inside endpoint has; one of its own.
 */
#define NSR_MAPPING_MODES(X)                            \
	X(ENDPOINT_INDEPENDENT, "endpoint-independent") \
	X(ADDRESS_AND_PORT, "address-and-port-dependent")

enum nsr_mapping_mode {
#define X(name, text) NSR_MAPPING_MODE_##name,
	NSR_MAPPING_MODES(X)
#undef X
		NSR_MAPPING_MODES_END
};

#define NSR_FLOWS_DEFAULT 32768 /* of one interface of a namespace */

struct nsr_inside {
	__u32 uplink;     /* index of the only uplink it may leave by */
	__u32 filtering;  /* enum nsr_filter */
	__u32 flows_max;  /* of one interface of a namespace */
	__u16 slot;       /* no other prefix has the same, of either family */
	__u16 unfinished; /* for user space; not 0: a change has not come to its end, before which
			   * it had the uplink of this index, and 1 */
	__u32 timeout_s[NSR_TIMEOUT_SLOTS];
	__u32 mapping_mode; /* enum nsr_mapping_mode */
	/* Not 0: the outside may begin flows straight with its addresses. The number is another one
	 * each time that this is set anew, so that sessions of the time before are known. */
	__u32 inbound;
	__u32 except; /* how many destinations are in "exceptions" for it */
};
_Static_assert(sizeof(struct nsr_inside) == 28 + 4 * NSR_TIMEOUT_SLOTS, "layout");

/* Map "exceptions": LPM_TRIE of destinations that a masqueraded prefix reaches untranslated by its
 * uplink; the value says nothing. */
#define NSR_EXCEPT_MAX     64   /* of one network */
#define NSR_EXCEPTIONS_MAX 4096 /* entries: one for each prefix of the network and family */

struct nsr_except_key {
	__u32 prefix_len; /* NSR_EXCEPT_BITS more than that of the destination */
	__be16 slot;      /* nsr_inside.slot */
	__u8 uplink;      /* index */
	__u8 reserved;
	__u8 address[16]; /* IPv4: the first 4 */
};
#define NSR_EXCEPT_BITS 32

/* What holds unless the file says otherwise; an initializer. */
#define NSR_TIMEOUT_DEFAULT(name, text, seconds) [NSR_TIMEOUT_##name] = (seconds),
#define NSR_INSIDE_DEFAULT                                            \
	{                                                             \
		.flows_max = NSR_FLOWS_DEFAULT,                       \
		.timeout_s = {NSR_NAT_TIMEOUTS(NSR_TIMEOUT_DEFAULT)}, \
	}

#endif
