/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * options.h - IPv4 options (RFC 791 3.1): those that say which way a packet goes, and those that
 * tell where it has been.
 *
 * Off the hot path: they are read by a helper, wherever they lie, and walked the way that the
 * kernel does it (ip_options_compile()). Where its walk ends with an error, ours just ends: it
 * answers such a packet, and forwards it nowhere.
 */
#ifndef NSROUTE_BPF_OPTIONS_H
#define NSROUTE_BPF_OPTIONS_H

#include "packet.h"

#define OPTIONS_MIN 4 /* bytes, if there are any */
#define OPTIONS_MAX 40

/* What an option does. */
#define OPTION_ROUTES  1 /* a source route: to elsewhere than the header says */
#define OPTION_RECORDS 2 /* routers write their addresses into it */

#define IP4_OPTION_END          0
#define IP4_OPTION_NOP          1
#define IP4_OPTION_RECORD_ROUTE 7
#define IP4_OPTION_TIMESTAMP    68
#define IP4_OPTION_LOOSE_ROUTE  131
#define IP4_OPTION_STRICT_ROUTE 137

static __always_inline u32 option_does(u8 kind)
{
	switch (kind) {
	case IP4_OPTION_LOOSE_ROUTE:
	case IP4_OPTION_STRICT_ROUTE:
		return OPTION_ROUTES | OPTION_RECORDS;
	case IP4_OPTION_RECORD_ROUTE:
	case IP4_OPTION_TIMESTAMP:
		return OPTION_RECORDS;
	default:
		return 0;
	}
}

/* Bytes of options in the header at offset, copied to bytes; 0: none. */
static __always_inline u32 options_load(struct __sk_buff *skb, u32 offset, u8 *bytes)
{
	u32 more, size;
	u8 first;

	if (bpf_skb_load_bytes(skb, offset, &first, sizeof(first)))
		return 0;
	more = ((first & 0xf) * 4u) - (u32)sizeof(struct iphdr) - OPTIONS_MIN;
	if (more > OPTIONS_MAX - OPTIONS_MIN)
		return 0;
	barrier_var(more); /* now both bounds of the size are known to the verifier */
	size = more + OPTIONS_MIN;
	if (bpf_skb_load_bytes(skb, offset + sizeof(struct iphdr), bytes, size))
		return 0;
	return size;
}

/*
 * What the options of the IPv4 header at offset do: OPTION_*, or 0.
 *
 * What is carried from one option to the next is in memory, by bytes: of those the verifier
 * remembers no values, so that all ways to the next option are one to it.
 */
NSR_STEP int options_do(struct __sk_buff *skb, u32 offset)
{
	u8 bytes[OPTIONS_MAX + 1] = {}; /* a length that is cut off reads as 0 */
	u32 size = options_load(skb, offset, bytes), at, length, i;
	volatile u8 next = 0, found = 0;

	for (i = 0; i < OPTIONS_MAX; i++) {
		at = next;
		/* Of a comparison with what is no constant kernel 6.1 remembers nothing. */
		if (at >= OPTIONS_MAX || at >= size || bytes[at] == IP4_OPTION_END)
			break;
		length = bytes[at] == IP4_OPTION_NOP ? 1 : bytes[at + 1];
		if (!length || (length == 1 && bytes[at] != IP4_OPTION_NOP))
			break;
		if (at + length > OPTIONS_MAX)
			length = OPTIONS_MAX - at;
		next = at + length;
		found |= option_does(bytes[at]);
	}
	return found;
}

/* Writes over all options, so that they tell nothing. 0 or a reason to drop. */
NSR_STEP int options_erase(struct __sk_buff *skb, u32 offset)
{
	u8 bytes[OPTIONS_MAX] = {}, nothing[OPTIONS_MAX];
	u32 size = options_load(skb, offset, bytes);
	s64 difference;

	if (!size)
		return DROP(NAT_REWRITE);
	__builtin_memset(nothing, IP4_OPTION_NOP, sizeof(nothing));
	difference = bpf_csum_diff((__be32 *)bytes, size, (__be32 *)nothing, size, 0);
	if (difference < 0 ||
	    bpf_l3_csum_replace(skb, offset + offsetof(struct iphdr, check), 0, difference, 0) ||
	    bpf_skb_store_bytes(skb, offset + sizeof(struct iphdr), nothing, size, 0))
		return DROP(NAT_REWRITE);
	return 0;
}

#endif
