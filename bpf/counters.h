/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * counters.h - every packet that a hook sees is counted once: fast, slow or dropped.
 *
 * Per-CPU values need no atomics: a hook runs with bottom halves off and is not re-entered for the
 * same counter on one CPU. Drops are shared between CPUs and added to atomically.
 */
#ifndef NSROUTE_BPF_COUNTERS_H
#define NSROUTE_BPF_COUNTERS_H

#include "maps.h"
#include "trace.h"

static __always_inline void count_drop(struct nsr_drops *drops, int verdict)
{
	u32 reason = -verdict;

	/* clang knows the range and would leave the mask out; kernel 6.1 does not know it. */
	barrier_var(reason);
	if (drops)
		__sync_fetch_and_add(&drops->packets[reason & (NSR_DROP_SLOTS - 1)], 1);
}

static __always_inline void count_port_tx(u32 port, u32 bytes, int verdict)
{
	struct nsr_port_counters *c = bpf_map_lookup_elem(&port_counters, &port);

	TELL(VERDICT, verdict, 0, 0);
	INSTEAD();
	if (!c)
		return;
	c->tx_packets++;
	c->tx_bytes += bytes;
	if (verdict > 0) {
		c->fast_packets++;
	} else if (verdict == VERDICT_KERNEL) {
		c->slow_packets++;
	} else {
		count_drop(bpf_map_lookup_elem(&port_drops, &port), verdict);
	}
}

static __always_inline void count_port_rx(u32 port, u32 bytes)
{
	struct nsr_port_counters *c = bpf_map_lookup_elem(&port_counters, &port);

	TELL(RECEIVES, port, 0, 0);
	INSTEAD();
	if (!c)
		return;
	c->rx_packets++;
	c->rx_bytes += bytes;
}

static __always_inline void count_port_rx_drop(u32 port, int verdict)
{
	struct nsr_port_counters *c = bpf_map_lookup_elem(&port_counters, &port);

	TELL(VERDICT, verdict, 0, 0);
	INSTEAD();
	if (!c)
		return;
	c->rx_dropped++;
	count_drop(bpf_map_lookup_elem(&port_drops, &port), verdict);
}

static __always_inline void count_uplink_drop(u32 uplink, int verdict)
{
	count_drop(bpf_map_lookup_elem(&uplink_drops, &uplink), verdict);
}

static __always_inline void count_uplink_tx(u32 uplink, u32 bytes, int verdict, bool translated)
{
	struct nsr_uplink_counters *c = bpf_map_lookup_elem(&uplink_counters, &uplink);

	TELL(VERDICT, verdict, translated, 0);
	INSTEAD();
	if (!c)
		return;
	c->tx_packets++;
	c->tx_bytes += bytes;
	if (verdict < 0) {
		c->tx_dropped++;
		count_uplink_drop(uplink, verdict);
	} else if (translated) {
		c->tx_translated++;
	} else {
		c->tx_passed++;
	}
}

static __always_inline void count_uplink_rx(u32 uplink, u32 bytes, int verdict, bool translated)
{
	struct nsr_uplink_counters *c = bpf_map_lookup_elem(&uplink_counters, &uplink);

	TELL(VERDICT, verdict, translated, 0);
	INSTEAD();
	if (!c)
		return;
	c->rx_packets++;
	c->rx_bytes += bytes;
	if (verdict < 0) {
		c->rx_dropped++;
		count_uplink_drop(uplink, verdict);
	} else if (translated) {
		c->rx_translated++;
		if (verdict > 0)
			c->rx_fast++;
	} else {
		c->rx_passed++;
	}
}

/* counter is a member of struct nsr_nat_counters, an array by protocol. */
#define count_nat(uplink, counter, protocol, amount)                                     \
	do {                                                                             \
		u32 index = (uplink);                                                    \
		struct nsr_nat_counters *c = bpf_map_lookup_elem(&nat_counters, &index); \
		u32 slot = (protocol);                                                   \
                                                                                         \
		if (c && slot < sizeof(c->counter) / sizeof(c->counter[0]))              \
			__sync_fetch_and_add(&c->counter[slot], amount);                 \
	} while (0)

#endif
