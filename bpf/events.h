/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * events.h - drops a packet, and tells who listens ("nsroute drops").
 *
 * Reached from the drop path only; without a listener it costs a look at the lease. A listener
 * renews its lease, so one that was killed is forgotten by itself. What is told is limited for each
 * interface and reason, so that a flood hides nobody else's drops. What is too much for that, or
 * for the ring, is counted: a drop under a lease is in the ring or in left_out, never in both.
 */
#ifndef NSROUTE_BPF_EVENTS_H
#define NSROUTE_BPF_EVENTS_H

#include <linux/pkt_cls.h>

#include "limit.h"
#include "maps.h"
#include "trace.h"

#define EVENT_BARE 0x80

static __always_inline void event_packet(struct __sk_buff *skb, struct nsr_event *event)
{
	u32 last = skb->len - 1; /* one less, so that the verifier sees that it is never none */

	event->length = skb->len;
	event->captured = 0;
	if (last >= NSR_EVENT_PACKET)
		last = NSR_EVENT_PACKET - 1;
	barrier_var(last); /* clang knows the range and would leave the mask out */
	last &= NSR_EVENT_PACKET - 1;
	if (!bpf_skb_load_bytes(skb, 0, event->packet, last + 1))
		event->captured = last + 1;
}

/* hook: with EVENT_BARE for a packet that has no Ethernet header. */
NSR_STEP int event_drop(struct __sk_buff *skb, u32 reason, u32 hook)
{
	u32 zero = 0, slot;
	const struct nsr_event_lease *lease = bpf_map_lookup_elem(&event_lease, &zero);
	struct nsr_event_limits *limits;
	struct nsr_event *event = NULL;
	u64 now_ns;

	if (!lease || !lease->until_ns)
		return 0;
	now_ns = bpf_ktime_get_ns();
	limits = bpf_map_lookup_elem(&event_limits, &zero);
	reason &= NSR_DROP_SLOTS - 1;
	if (!limits || now_ns > lease->until_ns || !(lease->reasons >> reason & 1))
		return 0;
	slot = (skb->ifindex * NSR_DROP_SLOTS + reason) & (NSR_EVENT_LIMITS - 1);
	barrier_var(reason);
	barrier_var(slot);
	if (limit_token(&limits->due_ns[slot & (NSR_EVENT_LIMITS - 1)], now_ns, NSR_EVENT_INTERVAL,
			NSR_EVENTS_BURST))
		event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&limits->left_out[reason & (NSR_DROP_SLOTS - 1)], 1);
		return 0;
	}
	event->time_ns = now_ns;
	event->ifindex = skb->ifindex;
	event->reason = reason;
	event->hook = hook & ~EVENT_BARE;
	event->tagged = skb->vlan_present;
	event->vlan = skb->vlan_tci;
	event->protocol = hook & EVENT_BARE ? skb->protocol : 0;
	event_packet(skb, event);
	bpf_ringbuf_submit(event, 0);
	return 0;
}

static __always_inline int drop(struct __sk_buff *skb, int verdict, u32 hook)
{
	INSTEAD(TC_ACT_SHOT);
	event_drop(skb, -verdict, hook);
	return TC_ACT_SHOT;
}

#endif
