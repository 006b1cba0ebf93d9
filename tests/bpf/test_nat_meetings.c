/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What goes wrong while a flow is made: any update of a map, one at a time and all from one on; and
 * CPUs that meet, with time enough at each place where they may that every one of them is seen.
 * Whatever it was, nothing leaves with an inside source or a wrong checksum, no port has two
 * owners, and in the end every count is even, every port is back, and the same packets pass.
 */
#include "crowd.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "meetings_data.h"

#define MORE      0x2000
#define PIECE     800 /* bytes of a datagram in its first fragment */
#define GIVE_UP_S 60  /* for what has to happen some time, */
#define CROWDS    20  /* ... unless so few crowds have been by then: the machine is emulated */

static void no_faults(struct lab *lab)
{
	static const struct meetings none;

	meetings_set(lab, &none);
}

/* ---- Faults. */

static bool is_inside(__be32 address)
{
	return (ntohl(address) & 0xffff0000) == ntohl(address4("192.168.0.0"));
}

/* What leaves is translated and sound, whatever fails. */
static void leave(struct lab *lab, const struct frame *frame)
{
	struct frame out;

	if (lab_run(lab, DATAPATH_UPLINK_OUT, lab->uplink[UP0], frame, &out) != TC_ACT_UNSPEC)
		return; /* dropped, or an answer goes back */
	assert_false(is_inside(frame_ip4(&out)->saddr));
	assert_null(frame_fault(&out));
}

/* By the hook of its port first. */
static void leave_port(struct lab *lab, const struct frame *frame)
{
	struct frame out;

	if (lab_run(lab, DATAPATH_PORT_IN, lab->port[RED], frame, &out) == TC_ACT_SHOT ||
	    frame_ip4(&out)->daddr != address4(REMOTE_IP))
		return;
	lab->came_in = lab->port[RED];
	leave(lab, &out);
	lab->came_in = 0;
}

/* A frame that is to leave, from one of the inside hosts. */
static void outbound(struct frame *f, const char *source, const char *dest, uint8_t protocol,
		     uint16_t port)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = source, .dest = dest,
	      .protocol = protocol, .sport = port, .dport = protocol == IPPROTO_ICMP ? 0 : 80,
	      .tcp_flags = FRAME_SYN, .icmp_type = FRAME_ECHO_REQUEST, .payload = 9);
}

/* A datagram in two fragments. */
static void halve(const struct frame *whole, struct frame ret[2])
{
	uint32_t header = ETH_HLEN + 20, data = whole->length - header, i;

	for (i = 0; i < 2; i++) {
		memset(&ret[i], 0, sizeof(ret[i]));
		memcpy(ret[i].bytes, whole->bytes, header);
		memcpy(ret[i].bytes + header, whole->bytes + header + (size_t)i * PIECE,
		       i ? data - PIECE : PIECE);
		ret[i].length = header + (i ? data - PIECE : PIECE);
		frame_ip4(&ret[i])->tot_len = htons((uint16_t)(ret[i].length - ETH_HLEN));
		frame_ip4(&ret[i])->frag_off = htons((uint16_t)(i ? PIECE / 8 : MORE));
		frame_seal(&ret[i]);
	}
}

static void fragments(struct lab *lab, uint16_t port)
{
	struct frame whole, half[2];

	FRAME(&whole, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = port, .dport = 80, .payload = PIECE + 400, .id = port);
	halve(&whole, half);
	leave(lab, &half[0]);
	leave(lab, &half[1]);
	/* The other way, the second one first, so that it is held. */
	FRAME(&whole, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .sport = 80, .dport = port, .payload = PIECE + 400, .id = port);
	halve(&whole, half);
	lab_run(lab, DATAPATH_UPLINK_IN, lab->uplink[UP0], &half[1], NULL);
	lab_run(lab, DATAPATH_UPLINK_IN, lab->uplink[UP0], &half[0], NULL);
}

/* One of those that nobody has been given, instead of a port. */
static uint8_t unknown_protocol(uint16_t port)
{
	return (uint8_t)(150 + port / 10 % 50);
}

/* Everything that makes an entry of any table, for inside port numbers from port on. */
static void all_sorts(struct lab *lab, uint16_t port)
{
	static const struct {
		const char *source, *dest;
		uint8_t protocol;
	} flows[] = {
		{RED_IP, REMOTE_IP, IPPROTO_UDP},  {RED_IP, REMOTE2_IP, IPPROTO_UDP},
		{RED_IP, REMOTE_IP, IPPROTO_TCP},  {RED_IP, REMOTE_IP, IPPROTO_ICMP},
		{BLUE_IP, REMOTE_IP, IPPROTO_UDP}, {GREEN_IP, REMOTE_IP, IPPROTO_TCP},
	};
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(flows) / sizeof(flows[0]); i++) {
		outbound(&f, flows[i].source, flows[i].dest, flows[i].protocol, port);
		leave(lab, &f);
	}
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = (uint16_t)(port + 1), .dport = 80);
	leave_port(lab, &f);
	leave_port(lab, &f); /* has a session now */
	for (i = 0; i < 3; i++) {
		static const char *const sources[] = {RED_IP, BLUE_IP, UPLINK_IP};

		outbound(&f, sources[i], i < 2 ? REMOTE_IP : REMOTE2_IP, unknown_protocol(port), 0);
		leave(lab, &f);
	}
	fragments(lab, (uint16_t)(port + 2));
}

/* Nothing of the fault is left: the same packets pass now, each endpoint by one port. */
static void expect_no_harm(struct lab *lab, uint16_t port)
{
	struct frame f;
	uint16_t red;

	outbound(&f, RED_IP, REMOTE_IP, IPPROTO_UDP, port);
	red = frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
	outbound(&f, RED_IP, REMOTE2_IP, IPPROTO_UDP, port);
	assert_int_equal(frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out), red);
	outbound(&f, BLUE_IP, REMOTE_IP, IPPROTO_UDP, port);
	assert_int_not_equal(frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out), red);
	outbound(&f, RED_IP, REMOTE_IP, IPPROTO_TCP, port);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	outbound(&f, RED_IP, REMOTE_IP, IPPROTO_ICMP, port);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .sport = 80, .dport = red);
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	outbound(&f, GREEN_IP, REMOTE_IP, (uint8_t)(unknown_protocol(port) + 50), 0);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
}

static uint32_t port_bits(struct lab *lab)
{
	return lab_pool_bits(lab, UP0, NSR_NAT_UDP) + lab_pool_bits(lab, UP0, NSR_NAT_TCP) +
	       lab_pool_bits(lab, UP0, NSR_NAT_ICMP);
}

/* On a slow machine some have cooled down, and come back while they are counted. */
static void expect_ports_counted(struct lab *lab)
{
	struct nsr_nat_counters nat;
	uint64_t bits, shares, tries = 0;

	do {
		if (tries)
			usleep(20000);
		nat = lab_nat(lab, UP0);
		bits = port_bits(lab);
		shares = lab_ports_of_all(lab);
	} while ((bits != lab_sum(nat.ports_used) || bits != shares) && ++tries < 100);
	assert_int_equal(bits, lab_sum(nat.ports_used));
	assert_int_equal(bits, shares);
}

/* All ports have cooled down, and are back. */
static void expect_ports_back(struct lab *lab)
{
	time_t end = time(NULL) + GIVE_UP_S;
	struct nsr_nat_counters nat;

	lab_clock_offset(lab, 2 * NSR_PORT_COOLDOWN_S);
	while ((port_bits(lab) || lab_ports_of_all(lab)) && time(NULL) < end)
		usleep(100000);
	assert_int_equal(port_bits(lab), 0);
	nat = lab_nat(lab, UP0);
	assert_int_equal(lab_sum(nat.ports_used), 0);
	assert_int_equal(lab_ports_of_all(lab), 0);
}

/* Each update fails once, the others do not; or with it all that follow. */
static void with_each_fault(struct lab *lab, uint64_t every)
{
	struct meetings fault = {.fail_every = every};
	uint16_t port = 2000;
	uint64_t count;

	no_faults(lab);
	all_sorts(lab, port);
	count = meetings_get(lab).updates;
	assert_true(count >= 16);
	for (fault.fail_at = 0; fault.fail_at < count; fault.fail_at++) {
		port = (uint16_t)(port + 10);
		meetings_set(lab, &fault);
		all_sorts(lab, port);
		assert_true(meetings_get(lab).failed);
		expect_ports_counted(lab);
		assert_int_equal(lab_session_bits(lab), lab_active_sessions(lab));
		no_faults(lab);
		expect_no_harm(lab, port);
	}
	expect_ports_counted(lab);
	lab_expect_no_flows(lab);
}

static void test_one_update_fails(void **state)
{
	with_each_fault(lab_of(state), UINT64_MAX);
}

static void test_updates_fail_from_one_on(void **state)
{
	with_each_fault(lab_of(state), 1);
	expect_ports_back(lab_of(state));
}

/* ---- Meetings. */

static const char *meeting_text(enum meeting meeting)
{
	static const char *const texts[] = {
#define X(name, text) text,
		MEETINGS(X)
#undef X
	};

	return texts[meeting];
}

static bool all_met(const struct meetings *meetings, uint32_t wanted)
{
	uint32_t i;

	for (i = 0; i < MEETINGS_END; i++)
		if (wanted >> i & 1 && !meetings->met[i])
			return false;
	return true;
}

/* Packets that lost against another CPU's, or that another inside host was faster than. */
static uint64_t losses(struct lab *lab)
{
	struct nsr_drops drops;

	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_uplink_drops],
					     &lab->uplink_number[UP0], &drops),
			 0);
	return drops.packets[NSR_DROP_NAT_CONTENTION] + drops.packets[NSR_DROP_NAT_AMBIGUOUS];
}

/* One crowd, with delays of up to so many steps. Adds to what has been met. */
static void run_crowd(struct lab *lab, void *(*body)(void *), bool ending, struct meetings *sum,
		      uint32_t delay)
{
	struct meetings meetings = {.fail_every = sum->fail_every, .delay = delay};
	struct crowd *crowd = crowd_gather(lab);
	uint64_t before = losses(lab);
	uint32_t i;

	meetings_set(lab, &meetings);
	crowd_run(crowd, body, ending);
	meetings = meetings_get(lab);
	no_faults(lab);
	for (i = 0; i < MEETINGS_END; i++)
		sum->met[i] += meetings.met[i];
	sum->failed += meetings.failed;
	assert_int_equal(crowd->shared, 0);
	/* Who meets a winner that is held up half-way may lose three times, and says so. */
	if (!ending && !sum->fail_every)
		assert_int_equal(crowd->dropped, losses(lab) - before);
	crowd_expect_even(lab);
	free(crowd);
}

/* Runs crowds until every meeting that is wanted has been. Updates fail at times, if at all. */
static void run_until_met(void **state, uint32_t wanted, void *(*body)(void *), bool ending,
			  uint64_t fail_every)
{
	struct lab *lab = lab_of(state);
	struct meetings sum = {.fail_every = fail_every};
	time_t end = time(NULL) + GIVE_UP_S;
	uint32_t delay = 64, crowds = 0, i;

	do {
		lab_set_up(state); /* the ports of the crowd before this one are cooling down */
		run_crowd(lab, body, ending, &sum, delay);
		crowds++;
		delay = delay < 4096 ? 2 * delay : 64;
	} while (!all_met(&sum, wanted) && time(NULL) < end);
	for (i = 0; i < MEETINGS_END; i++)
		print_message("# %llu times: %s\n", sum.met[i], meeting_text(i));
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1 && crowds >= CROWDS)
		assert_true(all_met(&sum, wanted));
	if (fail_every)
		assert_true(sum.failed);
}

static void test_flows_meet(void **state)
{
	run_until_met(state,
		      1 << MEETING_MAPPING_EXISTS | 1 << MEETING_SESSION_EXISTS |
			      1 << MEETING_REFERENCES_MOVED,
		      crowd_open_all, false, 0);
}

static void test_speakers_meet(void **state)
{
	run_until_met(state, 1 << MEETING_SESSION_EXISTS, crowd_speak, false, 0);
}

static void test_changes_meet(void **state)
{
	run_until_met(state, 1 << MEETING_SESSION_MOVED, crowd_change_one, true, 0);
}

static void test_ends_meet(void **state)
{
	run_until_met(state, 1 << MEETING_MAPPING_ENDED, crowd_open_few, true, 0);
}

static void test_ends_meet_and_updates_fail(void **state)
{
	run_until_met(state, 1 << MEETING_MAPPING_ENDED, crowd_open_few, true, 7);
	expect_ports_back(lab_of(state));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_one_update_fails),
		LAB_TEST(test_updates_fail_from_one_on),
		LAB_TEST(test_flows_meet),
		LAB_TEST(test_speakers_meet),
		LAB_TEST(test_changes_meet),
		LAB_TEST(test_ends_meet),
		LAB_TEST(test_ends_meet_and_updates_fail),
	};

	return LAB_MAIN(tests);
}
