/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mark.h - what a port's hook tells the uplink's of a packet: that it has translated it.
 *
 * bpf_redirect_neigh() hands a packet to the uplink's egress hook with the words beside it
 * (skb->cb) as they are, also where it has to wait for a neighbour. So the mark lies there, and the
 * uplink's hook has nothing to do but to count. It names the uplink's interface and index, and is
 * good at that interface alone, once.
 *
 * Whatever else passes has something of the kernel's in these words, which somebody else may have a
 * part in. So a secret is added, which only the tables have. A mark that is lost, or of other
 * programs' making, costs time and nothing else: the packet is judged as any is.
 */
#ifndef NSROUTE_BPF_MARK_H
#define NSROUTE_BPF_MARK_H

#include "common.h"
#include "counters.h"
#include "mapping.h"

#define MARK_OF(skb) (*(u64 *)&(skb)->cb[0])

static __always_inline void
mark_translated(struct __sk_buff *skb, const struct nsr_settings *settings, u32 uplink, u32 ifindex)
{
	MARK_OF(skb) = settings->secret + ((u64)ifindex << 32 | uplink);
}

/* A veth lets these words through: what a namespace's own programs wrote there goes no further. */
static __always_inline void mark_none(struct __sk_buff *skb)
{
	MARK_OF(skb) = 0;
}

/* Whether what leaves by an uplink bears the mark of it; then it is counted. */
static __always_inline bool mark_counted(struct __sk_buff *skb)
{
	const struct nsr_settings *settings = nat_settings();
	u64 mark;

	if (!settings)
		return false;
	mark = MARK_OF(skb) - settings->secret;
	if (mark >> 32 != skb->ifindex || (u32)mark >= NSR_UPLINKS_MAX)
		return false;
	mark_none(skb);
	count_uplink_tx((u32)mark, skb->len, VERDICT_KERNEL, true);
	return true;
}

#endif
