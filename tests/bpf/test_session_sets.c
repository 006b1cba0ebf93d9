/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A table of sessions that is larger than one set of bits: records of a later set are found, told,
 * ended and given back as those of the first, and are used when those before them are in use.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "datapath_sessions.h"

#define SETS      2
#define GIVE_UP_S 60 /* for the timer, a pass of which takes 8 s */

static int group_set_up(void **state)
{
	return lab_group_set_up_for(state, NSR_SESSION_SET + 1,
				    USE_PORTS | USE_NAT | USE_ETHERNET | USE_IPV6);
}

/* ---- Bits. */

static void set_bits(struct lab *lab, uint32_t set, const struct nsr_session_bits *bits)
{
	assert_int_equal(
		bpf_map_update_elem(lab->datapath->maps[MAP_session_bits], &set, bits, BPF_ANY), 0);
}

/* All of a set are in use, but for one; number NSR_SESSION_SET: no exception. */
static void fill(struct lab *lab, uint32_t set, uint32_t number)
{
	struct nsr_session_bits *bits = malloc(sizeof(*bits));
	uint32_t word = number / 64;

	memset(bits, 0xff, sizeof(*bits));
	if (number < NSR_SESSION_SET) {
		bits->words[word] &= ~(1ull << number % 64);
		bits->words[NSR_SESSION_WORDS + word / 64] &= ~(1ull << word % 64);
		bits->words[NSR_SESSION_BITS_WORDS - 1] &= ~(1ull << word / 64);
	}
	set_bits(lab, set, bits);
	free(bits);
}

static bool has_bit(struct lab *lab, uint32_t number)
{
	struct nsr_session_bits *bits = malloc(sizeof(*bits));
	uint32_t set = number / NSR_SESSION_SET, within = number % NSR_SESSION_SET;
	bool used;

	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_session_bits], &set, bits), 0);
	used = bits->words[within / 64] >> within % 64 & 1;
	free(bits);
	return used;
}

/* ---- Flows. */

static void leaving(struct frame *f, uint16_t port)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = port, .dport = 80);
}

/* Number of the session that the flow has. */
static uint32_t session_of(struct lab *lab, uint16_t port)
{
	struct nsr_flow flow = {.inside = {.address = address4(RED_IP),
					   .port = htons(port),
					   .protocol = NSR_NAT_UDP,
					   .uplink = (uint8_t)lab->uplink_number[UP0]},
				.remote_address = address4(REMOTE_IP),
				.remote_port = htons(80)};
	struct nsr_session_ref ref;

	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_session_by_flow], &flow, &ref),
			 0);
	return ref.session;
}

static void expect_works(struct lab *lab, uint16_t port)
{
	struct frame f;
	uint16_t external;

	leaving(&f, port);
	external = frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .sport = 80, .dport = external);
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
}

static int count_one(const struct nsr_session *session, uint32_t left_s, void *argument)
{
	(void)session;
	(void)left_s;
	++*(uint32_t *)argument;
	return 0;
}

static uint32_t told(struct lab *lab)
{
	const struct nsr_selection all = {0};
	uint32_t count = 0;

	assert_int_equal(datapath_sessions(lab->datapath, &all, count_one, &count, &lab->err), 0);
	return count;
}

/* ---- Tests. */

static void test_size(void **state)
{
	struct lab *lab = lab_of(state);
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info);
	struct datapath *fresh;

	assert_int_equal(lab->datapath->session_sets, SETS);
	assert_int_equal(bpf_obj_get_info_by_fd(lab->datapath->maps[MAP_sessions], &info, &size),
			 0);
	assert_int_equal(info.max_entries, SETS * NSR_SESSION_SET);
	/* Programs that take over do so at this size. */
	assert_int_equal(datapath_load_programs(lab->datapath, 0, &fresh, &lab->err), 0);
	assert_int_equal(fresh->session_sets, SETS);
	datapath_close(fresh);
}

static void test_later_set(void **state)
{
	struct lab *lab = lab_of(state);
	const struct nsr_selection all = {0};
	uint32_t number;
	uint64_t ended;

	expect_works(lab, 1000);
	assert_in_range(session_of(lab, 1000), 0, NSR_SESSION_SET - 1);
	assert_int_equal(datapath_sessions_end(lab->datapath, &all, &ended, &lab->err), 0);
	fill(lab, 0, NSR_SESSION_SET);
	expect_works(lab, 1001);
	number = session_of(lab, 1001);
	assert_in_range(number, NSR_SESSION_SET, SETS * NSR_SESSION_SET - 1);
	assert_true(has_bit(lab, number));
	assert_int_equal(told(lab), 1);
	assert_true(datapath_has_sessions(lab->datapath, false));
	assert_int_equal(datapath_sessions_end(lab->datapath, &all, &ended, &lab->err), 0);
	assert_int_equal(ended, 1);
	assert_false(has_bit(lab, number));
	assert_int_equal(told(lab), 0);
}

/* To the last record of either set, and no further. */
static void test_last_record(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	fill(lab, 0, NSR_SESSION_SET - 1);
	fill(lab, 1, 4711);
	expect_works(lab, 1000);
	assert_int_equal(session_of(lab, 1000), NSR_SESSION_SET - 1);
	expect_works(lab, 1001);
	assert_int_equal(session_of(lab, 1001), NSR_SESSION_SET + 4711);
	leaving(&f, 1002);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_SESSIONS));
	expect_works(lab, 1000);
	expect_works(lab, 1001);
}

/* A quarter of the whole table may be what the outside begins, not a quarter of a set. */
static void test_inbound(void **state)
{
	struct nsr_inside anybody = NSR_INSIDE_DEFAULT;
	struct nsr_share all = {.records = {NSR_INBOUND_MAX(SETS * NSR_SESSION_SET) - 1}};
	struct lab *lab = lab_of(state);
	uint32_t everybody = 0;
	struct frame f;

	anybody.filtering = NSR_FILTER_NOTHING;
	lab_inside_set(lab, "192.168.15.0/24", UP0, &anybody);
	expect_works(lab, 2000);
	assert_int_equal(
		bpf_map_update_elem(lab->datapath->maps[MAP_shares], &everybody, &all, BPF_ANY), 0);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE2_IP, .dest = UPLINK_IP,
	      .sport = 80, .dport = 2000);
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE2_IP, .dest = UPLINK_IP,
	      .sport = 81, .dport = 2000);
	EXPECT_IN(lab, UP0, &f, DROPPED(NAT_SESSIONS));
	all.records[0] = 1;
	assert_int_equal(
		bpf_map_update_elem(lab->datapath->maps[MAP_shares], &everybody, &all, BPF_ANY), 0);
	lab_expect_no_flows(lab);
}

/* By the timer, which passes over all sets. */
static void test_given_back(void **state)
{
	struct lab *lab = lab_of(state);
	uint32_t numbers[SETS], tries;
	struct nsr_nat_counters nat;

	expect_works(lab, 1000);
	fill(lab, 0, NSR_SESSION_SET);
	expect_works(lab, 1001);
	numbers[0] = session_of(lab, 1000);
	numbers[1] = session_of(lab, 1001);
	lab_clock_offset(lab, 10000);
	for (tries = 0; tries < GIVE_UP_S * 10; tries++) {
		if (!has_bit(lab, numbers[0]) && !has_bit(lab, numbers[1]))
			break;
		usleep(100000);
	}
	nat = lab_nat(lab, UP0);
	assert_int_equal(lab_sum(nat.sessions_expired), 2);
	assert_false(has_bit(lab, numbers[0]));
	assert_false(has_bit(lab, numbers[1]));
	assert_int_equal(lab_entries(lab, MAP_session_by_flow), 0);
}

/* ---- IPv6, which has as many sets. */

static void leaving6(struct frame *f, uint16_t port)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = RED_IP6, .dest = REMOTE_IP6,
	      .sport = port, .dport = 80);
}

/* All of a set are in use, but for one. */
static void fill6(struct lab *lab, uint32_t set, uint32_t number)
{
	struct nsr_session_bits6 *bits = malloc(sizeof(*bits));
	uint32_t word = number / 64;

	memset(bits, 0xff, sizeof(*bits));
	bits->words[word] &= ~(1ull << number % 64);
	bits->words[NSR_SESSION6_WORDS + word / 64] &= ~(1ull << word % 64);
	bits->words[NSR_SESSION6_BITS_WORDS - 1] &= ~(1ull << word / 64);
	assert_int_equal(
		bpf_map_update_elem(lab->datapath->maps[MAP_session_bits6], &set, bits, BPF_ANY),
		0);
	free(bits);
}

static bool has_bit6(struct lab *lab, uint32_t number)
{
	struct nsr_session_bits6 *bits = malloc(sizeof(*bits));
	uint32_t set = number / NSR_SESSION6_SET, within = number % NSR_SESSION6_SET;
	bool used;

	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_session_bits6], &set, bits),
			 0);
	used = bits->words[within / 64] >> within % 64 & 1;
	free(bits);
	return used;
}

static void expect_works6(struct lab *lab, uint16_t port)
{
	struct frame f;
	uint16_t external;

	leaving6(&f, port);
	external = frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP6, .dest = UPLINK_IP6,
	      .sport = 80, .dport = external);
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
}

static int count_one6(const struct nsr_session6 *session, uint32_t left_s, void *argument)
{
	(void)session;
	(void)left_s;
	++*(uint32_t *)argument;
	return 0;
}

/* The last records of either set are used, and no more; they are told, and ended. */
static void test_sets_of_ipv6(void **state)
{
	const uint32_t last[SETS] = {NSR_SESSION6_SET - 1, SETS * NSR_SESSION6_SET - 1};
	const struct nsr_selection6 all = {0};
	struct lab *lab = lab_of(state);
	uint32_t count = 0;
	uint64_t ended;
	struct frame f;

	for (uint32_t set = 0; set < SETS; set++)
		fill6(lab, set, NSR_SESSION6_SET - 1);
	for (uint16_t i = 0; i < SETS; i++) {
		assert_false(has_bit6(lab, last[i]));
		expect_works6(lab, (uint16_t)(1000 + i));
		assert_true(has_bit6(lab, last[i]));
	}
	leaving6(&f, 1000 + SETS);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_SESSIONS));
	expect_works6(lab, 1000 + SETS - 1);
	assert_int_equal(datapath_sessions6(lab->datapath, &all, count_one6, &count, &lab->err), 0);
	assert_int_equal(count, SETS);
	assert_int_equal(datapath_sessions_end6(lab->datapath, &all, &ended, &lab->err), 0);
	assert_int_equal(ended, SETS);
	for (uint16_t i = 0; i < SETS; i++)
		assert_false(has_bit6(lab, last[i]));
}

/* By the timer. */
static void test_given_back_of_ipv6(void **state)
{
	const uint32_t last = SETS * NSR_SESSION6_SET - 1;
	struct lab *lab = lab_of(state);
	uint32_t tries;

	fill6(lab, 0, NSR_SESSION6_SET - 1);
	fill6(lab, 1, NSR_SESSION6_SET - 1);
	expect_works6(lab, 1000);
	expect_works6(lab, 1001);
	assert_true(has_bit6(lab, last));
	lab_clock_offset(lab, 10000);
	for (tries = 0; tries < GIVE_UP_S * 10 && has_bit6(lab, last); tries++)
		usleep(100000);
	assert_false(has_bit6(lab, last));
	for (tries = 0; tries < GIVE_UP_S * 10 && lab_entries(lab, MAP_session_by_flow6); tries++)
		usleep(100000);
	assert_int_equal(lab_entries(lab, MAP_session_by_flow6), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_size),
		LAB_TEST(test_later_set),
		LAB_TEST(test_last_record),
		LAB_TEST(test_inbound),
		LAB_TEST(test_given_back),
		LAB_TEST(test_sets_of_ipv6),
		LAB_TEST(test_given_back_of_ipv6),
	};

	return cmocka_run_group_tests(tests, group_set_up, lab_group_tear_down);
}
