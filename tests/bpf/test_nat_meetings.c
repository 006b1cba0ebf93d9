/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * CPUs that meet, with time enough at each place where they may that every one of them is seen.
 * Whatever it was, no port has two owners, and in the end every count is even and every port is
 * back.
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

#define GIVE_UP_S 60 /* for what has to happen some time, */
#define CROWDS    20 /* ... unless so few crowds have been by then: the machine is emulated */

static void no_faults(struct lab *lab)
{
	static const struct meetings none;

	meetings_set(lab, &none);
}

static uint32_t port_bits(struct lab *lab)
{
	return lab_pool_bits(lab, UP0, NSR_NAT_UDP) + lab_pool_bits(lab, UP0, NSR_NAT_TCP) +
	       lab_pool_bits(lab, UP0, NSR_NAT_ICMP);
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
		if (sum.met[i] || wanted >> i & 1)
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
		LAB_TEST(test_flows_meet),
		LAB_TEST(test_speakers_meet),
		LAB_TEST(test_changes_meet),
		LAB_TEST(test_ends_meet),
		LAB_TEST(test_ends_meet_and_updates_fail),
	};

	return LAB_MAIN(tests);
}
