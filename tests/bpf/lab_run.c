/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Runs programs on packets and judges what became of them, by the counters that moved.
 */
#include "lab.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stdlib.h>
#include <string.h>

#include "datapath_maps.h"
#include "lab_bare.h"

/* Nothing but counters, so that two of them can be subtracted as one array. */
struct counts {
	struct nsr_port_counters port[LAB_PORTS];
	struct nsr_uplink_counters uplink[LAB_UPLINKS];
	struct nsr_drops port_drops[LAB_PORTS], uplink_drops[LAB_UPLINKS];
};

static const char *outcome_name(int outcome)
{
	static const char *const names[] = {
		[UNCOUNTED] = "uncounted",
		[DELIVERED] = "delivered",
		[TO_KERNEL] = "to the kernel",
		[TO_PEER] = "to a peer",
		[TO_NEIGHBOUR] = "to a neighbour",
		[PASSED] = "passed",
		[TRANSLATED] = "translated",
		[TRANSLATED_TO_PEER] = "translated, to a peer",
		[PASSED_TO_PEER] = "passed, to a peer",
	};
	static const char *const reasons[] = {
#define X(name, text, meaning) [NSR_DROP_##name] = "dropped: " text,
		NSR_DROP_REASONS(X)
#undef X
	};

	return outcome < 0 ? reasons[-outcome] : names[outcome];
}

static void read_per_cpu(int map, uint32_t index, void *ret_sums, size_t size)
{
	int cpus = libbpf_num_possible_cpus(), cpu;
	uint64_t *cells = calloc((size_t)cpus, size), *sums = ret_sums;
	size_t counters = size / sizeof(*sums), i;

	assert_int_equal(bpf_map_lookup_elem(map, &index, cells), 0);
	memset(ret_sums, 0, size);
	for (cpu = 0; cpu < cpus; cpu++)
		for (i = 0; i < counters; i++)
			sums[i] += cells[(size_t)cpu * counters + i];
	free(cells);
}

static void read_counts(struct lab *lab, struct counts *ret)
{
	const int *maps = lab->datapath->maps;
	uint32_t *number, i;

	for (i = 0; i < LAB_PORTS; i++) {
		number = &lab->port_number[i];
		read_per_cpu(maps[MAP_port_counters], *number, &ret->port[i], sizeof(ret->port[i]));
		assert_int_equal(
			bpf_map_lookup_elem(maps[MAP_port_drops], number, &ret->port_drops[i]), 0);
	}
	for (i = 0; i < LAB_UPLINKS; i++) {
		number = &lab->uplink_number[i];
		read_per_cpu(maps[MAP_uplink_counters], *number, &ret->uplink[i],
			     sizeof(ret->uplink[i]));
		assert_int_equal(
			bpf_map_lookup_elem(maps[MAP_uplink_drops], number, &ret->uplink_drops[i]),
			0);
	}
}

struct nsr_port_counters lab_port_counters(struct lab *lab, enum lab_port which)
{
	struct counts counts;

	read_counts(lab, &counts);
	return counts.port[which];
}

struct nsr_uplink_counters lab_uplink_counters(struct lab *lab, enum lab_uplink which)
{
	struct counts counts;

	read_counts(lab, &counts);
	return counts.uplink[which];
}

static void subtract(struct counts *from, const struct counts *what)
{
	uint64_t *a = (uint64_t *)from;
	const uint64_t *b = (const uint64_t *)what;
	size_t i;

	for (i = 0; i < sizeof(*from) / sizeof(*a); i++)
		a[i] -= b[i];
}

/* How many were dropped; *ret_reason is the last of their reasons. */
static uint64_t drops_of(const struct nsr_drops *drops, int *ret_reason)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < NSR_DROP_SLOTS; i++) {
		sum += drops->packets[i];
		if (drops->packets[i])
			*ret_reason = i;
	}
	return sum;
}

/* What the counters of one port say of a packet that it sent. */
static int port_outcome(const struct counts *moved, uint32_t port, uint64_t length)
{
	const struct nsr_port_counters *c = &moved->port[port];
	int reason = 0;
	uint64_t drops = drops_of(&moved->port_drops[port], &reason), i, delivered = 0;

	assert_int_equal(c->tx_packets + c->rx_dropped, c->fast_packets + c->slow_packets + drops);
	if (c->rx_dropped) {
		assert_int_equal(c->rx_dropped, 1);
		assert_int_equal(c->tx_packets + c->rx_packets, 0);
		return -reason;
	}
	if (!c->tx_packets)
		return UNCOUNTED;
	assert_int_equal(c->tx_packets, 1);
	assert_int_equal(c->tx_bytes, length);
	for (i = 0; i < LAB_PORTS; i++)
		delivered += moved->port[i].rx_packets;
	if (drops)
		return -reason;
	if (c->slow_packets)
		return TO_KERNEL;
	return delivered ? TO_PEER : TO_NEIGHBOUR;
}

static int uplink_outcome(const struct counts *moved, uint32_t uplink, uint64_t length)
{
	const struct nsr_uplink_counters *c = &moved->uplink[uplink];
	int reason = 0;
	uint64_t drops = drops_of(&moved->uplink_drops[uplink], &reason);

	assert_int_equal(c->tx_packets, c->tx_translated + c->tx_passed + c->tx_dropped);
	assert_int_equal(c->rx_packets, c->rx_translated + c->rx_passed + c->rx_dropped);
	assert_int_equal(drops, c->tx_dropped + c->rx_dropped);
	if (!c->tx_packets && !c->rx_packets)
		return UNCOUNTED;
	assert_int_equal(c->tx_packets + c->rx_packets, 1);
	assert_int_equal(c->tx_bytes + c->rx_bytes, length);
	if (drops)
		return -reason;
	if (c->tx_passed || c->rx_passed)
		return PASSED;
	return c->rx_fast ? TRANSLATED_TO_PEER : TRANSLATED;
}

/* The one outcome that all counters together tell. length is with the Ethernet header, of which at
 * the uplink so many bytes are missing. */
static int outcome_of(const struct counts *moved, uint64_t length, uint64_t missing,
		      uint32_t *ret_delivered)
{
	uint32_t i, deliveries = 0;
	int outcome = UNCOUNTED, one;

	for (i = 0; i < LAB_PORTS + LAB_UPLINKS; i++) {
		one = i < LAB_PORTS ? port_outcome(moved, i, length)
				    : uplink_outcome(moved, i - LAB_PORTS, length - missing);
		if (one == UNCOUNTED)
			continue;
		assert_int_equal(outcome, UNCOUNTED); /* counted once */
		outcome = one;
	}
	for (i = 0; i < LAB_PORTS; i++) {
		if (!moved->port[i].rx_packets)
			continue;
		assert_int_equal(moved->port[i].rx_packets, 1);
		assert_int_equal(moved->port[i].rx_bytes, length);
		*ret_delivered = i;
		deliveries++;
	}
	if (deliveries && outcome == UNCOUNTED)
		outcome = DELIVERED;
	if (deliveries && outcome == PASSED)
		outcome = PASSED_TO_PEER;
	assert_int_equal(deliveries, outcome == DELIVERED || outcome == TO_PEER ||
					     outcome == TRANSLATED_TO_PEER ||
					     outcome == PASSED_TO_PEER);
	return outcome;
}

static int action_of(int outcome)
{
	if (outcome < 0)
		return TC_ACT_SHOT;
	if (outcome == TO_PEER || outcome == TO_NEIGHBOUR || outcome == TRANSLATED_TO_PEER ||
	    outcome == PASSED_TO_PEER)
		return TC_ACT_REDIRECT;
	return TC_ACT_UNSPEC;
}

static int prog_run(struct lab *lab, enum datapath_program which, uint32_t ifindex,
		    const struct frame *frame, struct frame *out, int *ret_action)
{
	struct __sk_buff context = {
		.ifindex = ifindex, .ingress_ifindex = lab->came_in, .gso_size = frame->gso_size};
	struct __sk_buff after;
	struct frame scrap;
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame->bytes,
		    .data_size_in = frame->length, .data_out = out ? out->bytes : scrap.bytes,
		    .data_size_out = FRAME_MAX, .ctx_in = &context, .ctx_size_in = sizeof(context),
		    .ctx_out = &after, .ctx_size_out = sizeof(after));
	int ret;

	if (frame->gso_size)
		context.gso_segs = frame->length / frame->gso_size + 1;
	memcpy(context.cb, lab->beside, sizeof(context.cb));
	ret = bpf_prog_test_run_opts(lab->datapath->programs[which], &options);
	*ret_action = (int)options.retval;
	memcpy(lab->left_beside, after.cb, sizeof(after.cb));
	if (out) {
		out->length = options.data_size_out;
		out->gso_size = frame->gso_size;
		out->extended = frame->extended;
	}
	return ret;
}

int lab_run(struct lab *lab, enum datapath_program program, uint32_t ifindex,
	    const struct frame *frame, struct frame *out)
{
	int action, ret;

	ret = prog_run(lab, program, ifindex, frame, out, &action);
	if (ret)
		fail_msg("PROG_RUN: %s", strerror(-ret));
	return action;
}

bool lab_takes(struct lab *lab, const struct frame *frame)
{
	int action; /* at an interface that is no port, where nothing happens */

	return !prog_run(lab, DATAPATH_PORT_IN, lab->elsewhere, frame, NULL, &action);
}

struct run *lab_expect(struct lab *lab, enum datapath_program program, uint32_t ifindex,
		       struct frame *frame, int outcome, const char *file, int line)
{
	static struct run run;
	struct counts before, moved;
	bool bare = program == DATAPATH_BARE_IN || program == DATAPATH_BARE_OUT;
	bool sound = !frame_fault(frame), refused = outcome <= -NSR_DROP_SLOTS;
	int action, wanted;

	outcome = refused ? outcome + NSR_DROP_SLOTS : outcome;
	wanted = refused ? TC_ACT_REDIRECT : action_of(outcome);

	read_counts(lab, &before);
	action = bare ? lab_bare_run(program, frame, &run.out)
		      : lab_run(lab, program, ifindex, frame, &run.out);
	read_counts(lab, &moved);
	subtract(&moved, &before);
	run.outcome = outcome_of(&moved, frame->length, bare ? ETH_HLEN : 0, &run.delivered);
	if (run.outcome != outcome) {
		print_error("%s, not %s\n", outcome_name(run.outcome), outcome_name(outcome));
		_fail(file, line);
	}
	if (action != LAB_UNKNOWN)
		_assert_int_equal((uint64_t)(int64_t)action, (uint64_t)(int64_t)wanted, file, line);
	if (!refused)
		_assert_int_equal(run.out.length, frame->length, file, line);
	if ((outcome <= TO_KERNEL && !refused) || outcome == PASSED)
		_assert_memory_equal(run.out.bytes, frame->bytes, frame->length, file, line);
	else if (sound && frame_fault(&run.out)) {
		print_error("wrong %s\n", frame_fault(&run.out));
		_fail(file, line);
	}
	return &run;
}
