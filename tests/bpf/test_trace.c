/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The traced programs (bpf/trace.bpf.c): they say what the programs at the hooks then do, and leave
 * no trace of themselves in the tables.
 */
#include "portless.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datapath_maps.h"
#include "datapath_trace.h"
#include "trace.skel.h"

#define RANDOM_FRAMES 1000

/* ---- What the programs can do. */

/* Of helpers that change nothing but the packet that the run is about. */
static bool is_harmless(int32_t helper)
{
	switch (helper) {
	case BPF_FUNC_map_lookup_elem:
	case BPF_FUNC_ktime_get_ns:
	case BPF_FUNC_ktime_get_coarse_ns:
	case BPF_FUNC_get_prandom_u32:
	case BPF_FUNC_skb_load_bytes:
	case BPF_FUNC_skb_store_bytes:
	case BPF_FUNC_skb_pull_data:
	case BPF_FUNC_skb_change_head:
	case BPF_FUNC_skb_change_type:
	case BPF_FUNC_csum_diff:
	case BPF_FUNC_csum_update:
	case BPF_FUNC_l3_csum_replace:
	case BPF_FUNC_l4_csum_replace:
	case BPF_FUNC_fib_lookup:
	case BPF_FUNC_check_mtu:
	case BPF_FUNC_skc_lookup_tcp:
	case BPF_FUNC_sk_lookup_udp:
	case BPF_FUNC_sk_release:
		return true;
	default:
		return false;
	}
}

static void expect_harmless(const struct bpf_program *program)
{
	const struct bpf_insn *code = bpf_program__insns(program);
	size_t count = bpf_program__insn_cnt(program);

	assert_true(count > 100);
	for (size_t i = 0; i < count; i++) {
		if (BPF_CLASS(code[i].code) == BPF_STX && BPF_MODE(code[i].code) == BPF_ATOMIC)
			fail_msg("%s: instruction %zu is atomic", bpf_program__name(program), i);
		if (code[i].code == (BPF_JMP | BPF_CALL) && !code[i].src_reg &&
		    !is_harmless(code[i].imm))
			fail_msg("%s: instruction %zu calls helper %d", bpf_program__name(program),
				 i, code[i].imm);
	}
}

/* Counters, claims and states are changed by atomics, tables and rings by helpers. */
static void test_programs_have_no_effect(void **state)
{
	struct lab *lab = lab_of(state);
	struct trace_bpf *object = trace_bpf__open();

	assert_non_null(object);
	for (unsigned int i = 0; i < DATAPATH_MAPS_COUNT; i++)
		assert_int_equal(bpf_map__reuse_fd(bpf_object__find_map_by_name(
							   object->obj, datapath_map_name[i]),
						   lab->datapath->maps[i]),
				 0);
	bpf_program__set_autoload(object->progs.nsr_arm, false);
	bpf_program__set_autoload(object->progs.nsr_flush, false);
	assert_int_equal(trace_bpf__load(object), 0);
	expect_harmless(object->progs.nsr_port_in);
	expect_harmless(object->progs.nsr_uplink_in);
	expect_harmless(object->progs.nsr_uplink_out);
	expect_harmless(object->progs.nsr_uplink_in6);
	expect_harmless(object->progs.nsr_uplink_out6);
	expect_harmless(object->progs.nsr_other_in6);
	expect_harmless(object->progs.nsr_other_out6);
	trace_bpf__destroy(object);
}

/* ---- What they tell. */

static struct datapath_tracer *tracer_of(struct lab *lab)
{
	struct datapath_tracer *tracer;

	if (datapath_tracer_open(lab->datapath, &tracer, &lab->err))
		fail_msg("%s (%s)", lab->err.message, lab->err.kernel);
	return tracer;
}

static struct nsr_trace trace(struct lab *lab, struct datapath_tracer *tracer,
			      enum datapath_program hook, uint32_t ifindex,
			      const struct frame *frame, struct frame *out)
{
	struct datapath_packet packet = {.length = frame->length};
	struct nsr_trace told;

	memcpy(packet.bytes, frame->bytes, frame->length);
	if (datapath_trace(tracer, hook, -1, ifindex, lab->came_in, &packet, &told, &lab->err))
		fail_msg("%s", lab->err.message);
	if (out) {
		memcpy(out->bytes, packet.bytes, packet.length);
		out->length = packet.length;
	}
	return told;
}

static const struct nsr_told *find(const struct nsr_trace *trace, enum nsr_telling what)
{
	for (uint32_t i = 0; i < trace->count; i++)
		if (trace->told[i].what == what)
			return &trace->told[i];
	return NULL;
}

static bool is_unfit(const struct nsr_trace *trace, enum nsr_unfit why)
{
	for (uint32_t i = 0; i < trace->count; i++)
		if (trace->told[i].what == NSR_TELLS_UNFIT && trace->told[i].a == why)
			return true;
	return false;
}

static int verdict_of(const struct nsr_trace *trace)
{
	const struct nsr_told *told = find(trace, NSR_TELLS_VERDICT);

	assert_non_null(told);
	return (int)(int64_t)told->a;
}

static void test_switched(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath_tracer *tracer = tracer_of(lab);
	struct nsr_trace told;
	struct frame f;

	FRAME(&f, .to = mac_blue, .from = mac_red, .source = RED_IP, .dest = BLUE_IP);
	told = trace(lab, tracer, DATAPATH_PORT_IN, lab->port[RED], &f, NULL);
	assert_int_equal(verdict_of(&told), 1);
	assert_int_equal(find(&told, NSR_TELLS_PARSED)->b, lab->port_number[RED]);
	assert_int_equal(find(&told, NSR_TELLS_POLICY)->a, 0);
	assert_int_equal(find(&told, NSR_TELLS_SWITCHED)->a, lab->port[BLUE]);
	assert_int_equal(find(&told, NSR_TELLS_SWITCHED)->b, LAB_MTU);
	assert_int_equal(find(&told, NSR_TELLS_RECEIVES)->a, lab->port_number[BLUE]);
	assert_int_equal(find(&told, NSR_TELLS_DELIVERS)->a, lab->port[BLUE]);
	assert_null(find(&told, NSR_TELLS_UNFIT));
	assert_null(find(&told, NSR_TELLS_ROUTED));
	datapath_tracer_close(tracer);
}

static void test_routed(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath_tracer *tracer = tracer_of(lab);
	struct frame f, out;
	struct nsr_trace told;

	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = GREEN_IP, .ttl = 9);
	told = trace(lab, tracer, DATAPATH_PORT_IN, lab->port[RED], &f, &out);
	assert_int_equal(verdict_of(&told), 1);
	assert_int_equal(find(&told, NSR_TELLS_ROUTED)->a, lab->port[GREEN]);
	assert_int_equal(frame_ip4(&out)->ttl, 8);
	assert_memory_equal(frame_eth(&out)->h_dest, mac_green, 6);
	frame_ip4(&f)->ttl = 1;
	frame_seal(&f);
	told = trace(lab, tracer, DATAPATH_PORT_IN, lab->port[RED], &f, NULL);
	assert_int_equal(verdict_of(&told), 0);
	assert_true(is_unfit(&told, NSR_UNFIT_TTL));
	assert_false(is_unfit(&told, NSR_UNFIT_TOO_LARGE));
	datapath_tracer_close(tracer);
}

static void test_dropped(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath_tracer *tracer = tracer_of(lab);
	struct nsr_trace told;
	struct frame f;

	FRAME(&f, .to = mac_br1, .from = mac_red, .source = BLUE_IP, .dest = GREEN_IP);
	told = trace(lab, tracer, DATAPATH_PORT_IN, lab->port[RED], &f, NULL);
	assert_int_equal(verdict_of(&told), DROPPED(SPOOFED_ADDRESS));
	assert_int_equal((int)(int64_t)find(&told, NSR_TELLS_POLICY)->a, DROPPED(SPOOFED_ADDRESS));
	datapath_tracer_close(tracer);
}

/* A flow before it has a session, with one, and with one for another remote. */
static void test_masqueraded(void **state)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);
	struct datapath_tracer *tracer = tracer_of(lab);
	struct frame f, out, reply;
	struct nsr_trace told;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = 5000, .dport = 53);
	told = trace(lab, tracer, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, &out);
	assert_null(find(&told, NSR_TELLS_SESSION));
	assert_int_equal(find(&told, NSR_TELLS_OPENS)->b, NSR_OPENS_SAME);
	assert_int_equal(frame_sport(&out), 5000);
	assert_int_equal(frame_ip4(&out)->saddr, address4(UPLINK_IP));
	assert_null(frame_fault(&out));
	assert_int_equal(lab_active_sessions(lab), 0);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	told = trace(lab, tracer, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, NULL);
	assert_int_equal(NSR_MAPPING_PORT(find(&told, NSR_TELLS_SESSION)->a), 5000);
	assert_null(find(&told, NSR_TELLS_OPENS));
	assert_int_equal(find(&told, NSR_TELLS_VERDICT)->b, 1);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE2_IP,
	      .sport = 5000, .dport = 53);
	told = trace(lab, tracer, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, NULL);
	assert_int_equal(find(&told, NSR_TELLS_OPENS)->b, NSR_OPENS_KNOWN);
	/* The port is the first remote's own. */
	settings.mapping_mode = NSR_MAPPING_MODE_ADDRESS_AND_PORT;
	lab_inside_set(lab, "192.168.15.0/24", UP0, &settings);
	told = trace(lab, tracer, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, NULL);
	assert_int_equal(find(&told, NSR_TELLS_OPENS)->b, NSR_OPENS_ANY);
	/* The port is taken: another inside host would get any. */
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = BLUE_IP, .dest = REMOTE_IP,
	      .sport = 5000, .dport = 53);
	told = trace(lab, tracer, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, NULL);
	assert_int_equal(find(&told, NSR_TELLS_OPENS)->b, NSR_OPENS_ANY);
	/* Who gets what comes back, and what comes unasked. */
	FRAME(&reply, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .sport = 53, .dport = 5000);
	told = trace(lab, tracer, DATAPATH_UPLINK_IN, lab->uplink[UP0], &reply, &out);
	assert_int_equal(find(&told, NSR_TELLS_MAPPED)->b, address4(RED_IP));
	assert_int_equal(find(&told, NSR_TELLS_DELIVERS)->a, lab->port[RED]);
	assert_int_equal(frame_ip4(&out)->daddr, address4(RED_IP));
	FRAME(&reply, .to = mac_up0, .from = mac_router, .source = REMOTE2_IP, .dest = UPLINK_IP,
	      .sport = 53, .dport = 5000);
	told = trace(lab, tracer, DATAPATH_UPLINK_IN, lab->uplink[UP0], &reply, NULL);
	assert_int_equal(verdict_of(&told), DROPPED(NAT_FILTERED));
	assert_int_equal(find(&told, NSR_TELLS_SOCKET)->a, 0);
	datapath_tracer_close(tracer);
}

/* Of a protocol without ports only the address is translated. */
static void test_portless(void **state)
{
	static union {
		struct nsr_session_bits ipv4;
		struct nsr_session_bits6 ipv6;
	} full, before;
	struct lab *lab = lab_of(state);
	struct datapath_tracer *tracer = tracer_of(lab);
	int map = lab->datapath->maps[family->session_bits];
	struct frame f, out, wanted;
	struct nsr_trace told;
	uint32_t zero = 0;

	portless_leaves(&f, family->red, family->remote, IPPROTO_GRE);
	portless_leaves(&wanted, family->external, family->remote, IPPROTO_GRE);
	told = trace(lab, tracer, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, &out);
	assert_int_equal(find(&told, NSR_TELLS_OPENS)->b, NSR_OPENS_ADDRESS);
	assert_memory_equal(out.bytes, wanted.bytes, wanted.length);
	portless_expect_sessions(lab, 0);
	/* There is no record for it. */
	assert_int_equal(bpf_map_lookup_elem(map, &zero, &before), 0);
	memset(&full, 0xff, sizeof(full));
	assert_int_equal(bpf_map_update_elem(map, &zero, &full, BPF_ANY), 0);
	told = trace(lab, tracer, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, NULL);
	assert_int_equal(verdict_of(&told), DROPPED(NAT_SESSIONS));
	assert_null(find(&told, NSR_TELLS_OPENS));
	assert_int_equal(bpf_map_update_elem(map, &zero, &before, BPF_ANY), 0);
	/* It has a session. */
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	told = trace(lab, tracer, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, NULL);
	assert_null(find(&told, NSR_TELLS_OPENS));
	/* What comes for the host is nothing to remember, nor what it sends. */
	portless_arrives(&f, family->remote2, IPPROTO_GRE);
	told = trace(lab, tracer, DATAPATH_UPLINK_IN, lab->uplink[UP0], &f, NULL);
	assert_int_equal(verdict_of(&told), 0);
	portless_leaves(&f, family->external, family->remote2, IPPROTO_GRE);
	trace(lab, tracer, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, NULL);
	assert_int_equal(lab_entries(lab, family->host_hears), 0);
	assert_int_equal(lab_entries(lab, family->host_remotes), 0);
	/* What comes for red goes to it. */
	portless_arrives(&f, family->remote, IPPROTO_GRE);
	told = trace(lab, tracer, DATAPATH_UPLINK_IN, lab->uplink[UP0], &f, NULL);
	assert_int_equal(find(&told, NSR_TELLS_DELIVERS)->a, lab->port[RED]);
	datapath_tracer_close(tracer);
}

/* Who has as many flows, or ports, as it may. */
static void test_limits(void **state)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);
	struct datapath_tracer *tracer = tracer_of(lab);
	struct frame f, other, in;
	struct nsr_trace told;

	settings.filtering = NSR_FILTER_NOTHING;
	settings.flows_max = 1;
	lab_inside_set(lab, "192.168.15.0/24", UP0, &settings);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = 5000, .dport = 80);
	FRAME(&other, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = 5001, .dport = 80);
	FRAME(&in, .to = mac_up0, .from = mac_router, .source = REMOTE2_IP, .dest = UPLINK_IP,
	      .sport = 80, .dport = 5000);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	told = trace(lab, tracer, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &other, NULL);
	assert_null(find(&told, NSR_TELLS_OPENS));
	assert_int_equal(verdict_of(&told), DROPPED(NAT_LIMIT));
	told = trace(lab, tracer, DATAPATH_UPLINK_IN, lab->uplink[UP0], &in, NULL);
	assert_int_equal(find(&told, NSR_TELLS_INBOUND)->a, NSR_INBOUND_SESSION);
	EXPECT_IN(lab, UP0, &in, TRANSLATED_TO_PEER);
	FRAME(&in, .to = mac_up0, .from = mac_router, .source = REMOTE2_IP, .dest = UPLINK_IP,
	      .sport = 81, .dport = 5000);
	told = trace(lab, tracer, DATAPATH_UPLINK_IN, lab->uplink[UP0], &in, NULL);
	assert_int_equal(find(&told, NSR_TELLS_INBOUND)->a, NSR_INBOUND_LIMITED);
	assert_int_equal(verdict_of(&told), DROPPED(NAT_LIMIT));
	assert_int_equal(lab_active_sessions(lab), 2);
	/* Half of two ports. */
	settings.flows_max = 100;
	lab_inside_set(lab, "192.168.15.0/24", UP0, &settings);
	lab_uplink_set(lab, UP0, UPLINK_IP, 40000, 40001);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	told = trace(lab, tracer, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &other, NULL);
	assert_int_equal(verdict_of(&told), DROPPED(NAT_LIMIT));
	lab_expect_no_flows(lab);
	datapath_tracer_close(tracer);
}

/* ---- Agreement. */

static void random_frame(struct frame *f)
{
	static const char *const sources[] = {RED_IP,  RED_IP,    RED_IP,   RED_IP,
					      BLUE_IP, "0.0.0.0", REMOTE_IP};
	static const char *const dests[] = {BLUE_IP,    GREEN_IP,    PLAIN_IP,
					    REMOTE_IP,  REMOTE2_IP,  UPLINK_IP,
					    "10.9.0.7", "224.0.0.5", GATEWAY_IP};
	static const uint8_t *const macs[] = {mac_br1,      mac_br1,   mac_br1,     mac_blue,
					      mac_port_red, mac_green, mac_stranger};
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, 47};
	static const uint8_t ttls[] = {64, 64, 64, 1, 2, 255};
	static const uint16_t fragments[] = {0, 0, 0, 0, 0x2000, 0x0010};
#define ANY(array) array[(size_t)rand() % (sizeof(array) / sizeof(*(array)))]
	struct frame_spec spec = {
		.to = ANY(macs),
		.from = rand() % 16 ? mac_red : mac_blue,
		.source = ANY(sources),
		.dest = ANY(dests),
		.protocol = ANY(protocols),
		.sport = (uint16_t)(5000 + rand() % 4),
		.dport = (uint16_t)(50 + rand() % 4),
		.ttl = ANY(ttls),
		.tcp_flags = rand() % 8 ? FRAME_SYN : FRAME_RST,
		.icmp_type = rand() % 4 ? FRAME_ECHO_REQUEST : FRAME_UNREACHABLE,
		.fragment = ANY(fragments),
		.ip_options = rand() % 16 ? 0 : 4,
		.payload = (uint16_t)(rand() % 4 ? rand() % 400 : rand() % 3000),
	};
#undef ANY

	frame_build(f, &spec);
}

struct tables {
	struct nsr_port_counters ports[LAB_PORTS];
	struct nsr_uplink_counters uplinks[LAB_UPLINKS];
	struct nsr_nat_counters nat[LAB_UPLINKS];
	uint64_t records; /* a sum over those of the flows' sessions */
	uint32_t mappings, flows;
};

static uint64_t sum_records(struct lab *lab)
{
	const int *maps = lab->datapath->maps;
	struct nsr_flow flow, *last = NULL;
	struct nsr_session_ref ref;
	struct nsr_session session;
	uint64_t sum = 0;

	while (bpf_map_get_next_key(maps[MAP_session_by_flow], last, &flow) == 0) {
		const uint32_t *words = (const uint32_t *)&session;

		last = &flow;
		assert_int_equal(bpf_map_lookup_elem(maps[MAP_session_by_flow], &flow, &ref), 0);
		assert_int_equal(bpf_map_lookup_elem(maps[MAP_sessions], &ref.session, &session),
				 0);
		for (size_t i = 0; i < sizeof(session) / sizeof(*words); i++)
			sum = sum * 31 + words[i];
	}
	return sum;
}

static void read_tables(struct lab *lab, struct tables *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = 0; i < LAB_PORTS; i++)
		ret->ports[i] = lab_port_counters(lab, i);
	for (unsigned int i = 0; i < LAB_UPLINKS; i++) {
		ret->uplinks[i] = lab_uplink_counters(lab, i);
		ret->nat[i] = lab_nat(lab, i);
	}
	ret->records = sum_records(lab);
	ret->mappings = lab_entries(lab, MAP_mapping_by_inside);
	ret->flows = lab_entries(lab, MAP_session_by_flow);
}

/* What it says, in the words of lab_expect(). */
static int outcome_told(const struct nsr_trace *told, enum datapath_program hook)
{
	int verdict = verdict_of(told);

	if (verdict < 0)
		return verdict;
	if (hook == DATAPATH_PORT_IN)
		return verdict == 0 ? TO_KERNEL : verdict == 1 ? TO_PEER : TO_NEIGHBOUR;
	if (!find(told, NSR_TELLS_VERDICT)->b)
		return PASSED;
	return verdict ? TRANSLATED_TO_PEER : TRANSLATED;
}

/* However slow the machine is, no session expires on its own between two looks at the tables. */
static void set_long_timeouts(struct lab *lab)
{
	static const char *const networks[] = {"192.168.15.0/24", "192.168.16.0/24"};
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;

	for (unsigned int i = 0; i < NSR_TIMEOUTS; i++)
		settings.timeout_s[i] = 1000000;
	for (unsigned int i = 0; i < 2; i++)
		lab_inside_set(lab, networks[i], UP0, &settings);
}

/* Traced, then run; by turns from a port, and out by the uplink. */
static void test_agrees_with_random_packets(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath_tracer *tracer = tracer_of(lab);
	unsigned int seed = getenv("SEED") ? (unsigned int)atoi(getenv("SEED")) : 20261122;
	struct tables before, after;
	unsigned int seen[2] = {0};
	struct frame f;

	set_long_timeouts(lab);
	print_message("SEED=%u\n", seed);
	srand(seed);
	for (int i = 0; i < RANDOM_FRAMES; i++) {
		bool out = i % 2;
		enum datapath_program hook = out ? DATAPATH_UPLINK_OUT : DATAPATH_PORT_IN;
		uint32_t ifindex = out ? lab->uplink[UP0] : lab->port[RED];
		struct nsr_trace told;

		random_frame(&f);
		if (!lab_takes(lab, &f))
			continue;
		read_tables(lab, &before);
		told = trace(lab, tracer, hook, ifindex, &f, NULL);
		read_tables(lab, &after);
		assert_memory_equal(&before, &after, sizeof(before));
		lab_expect(lab, hook, ifindex, &f, outcome_told(&told, hook), __FILE__, __LINE__);
		seen[out]++;
	}
	assert_true(seen[0] > RANDOM_FRAMES / 3 && seen[1] > RANDOM_FRAMES / 3);
	datapath_tracer_close(tracer);
}

/* What is no port and no uplink has nothing to tell; a packet may be too large to run on. */
static void test_ends(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath_tracer *tracer = tracer_of(lab);
	struct datapath_packet large = {.length = sizeof(large.bytes)};
	struct nsr_trace told;
	struct frame f;

	FRAME(&f, .to = mac_blue, .from = mac_red, .source = RED_IP, .dest = BLUE_IP);
	told = trace(lab, tracer, DATAPATH_PORT_IN, lab->elsewhere, &f, NULL);
	assert_int_equal(told.count, 0);
	memcpy(large.bytes, f.bytes, f.length);
	assert_int_equal(datapath_trace(tracer, DATAPATH_PORT_IN, -1, lab->port[RED], 0, &large,
					&told, &lab->err),
			 -EMSGSIZE);
	assert_false(datapath_is_other_build(lab->datapath));
	datapath_tracer_close(tracer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_programs_have_no_effect),
		LAB_TEST(test_switched),
		LAB_TEST(test_routed),
		LAB_TEST(test_dropped),
		LAB_TEST(test_masqueraded),
		PORTLESS_TEST(test_portless),
		LAB_TEST(test_limits),
		LAB_TEST(test_agrees_with_random_packets),
		LAB_TEST(test_ends),
	};

	return LAB_MAIN(tests);
}
