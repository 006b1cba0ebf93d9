/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * CPUs that meet, with time enough at each place where they may that every one of them is seen, of
 * either family. Whatever it was, no port has two owners, and in the end every count is even and
 * every port is back.
 */
#include "meetings_run.h"

#include <linux/pkt_cls.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GIVE_UP_S  60
#define LIMIT      300 /* flows of a namespace */
#define TURNS      4096
#define ABSENT_IP6 "2001:db8:1::99" /* an uplink's, that its interface does not have */

static uint32_t port_bits(struct lab *lab, bool ipv6)
{
	return ipv6 ? lab_pool_bits6(lab, UP0, NSR_NAT_UDP) : lab_pool_bits(lab, UP0, NSR_NAT_UDP);
}

/* All ports have cooled down, and are back. */
static void expect_ports_back(struct lab *lab, bool ipv6)
{
	time_t end = time(NULL) + GIVE_UP_S;
	struct nsr_nat_counters nat;

	lab_clock_offset(lab, 2 * NSR_PORT_COOLDOWN_S);
	while ((port_bits(lab, ipv6) || lab_ports_of_all(lab)) && time(NULL) < end)
		usleep(100000);
	assert_int_equal(port_bits(lab, ipv6), 0);
	nat = ipv6 ? lab_nat6(lab, UP0) : lab_nat(lab, UP0);
	assert_int_equal(lab_sum(nat.ports_used), 0);
	assert_int_equal(lab_ports_of_all(lab), 0);
}

static void flows_meet(void **state, bool ipv6)
{
	meet(state, &(struct meeting_of){.wanted = MET(MAPPING_EXISTS) | MET(SESSION_EXISTS) |
						   MET(REFERENCES_MOVED) | MET(SHARE_MOVED),
					 .body = crowd_open_all,
					 .ipv6 = ipv6});
}

static void test_flows_meet(void **state)
{
	flows_meet(state, false);
}

static void test_flows_meet6(void **state)
{
	flows_meet(state, true);
}

/* Red wants more than it may have: that many it has, and not one more. */
static void limit(struct crowd *crowd)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;

	settings.flows_max = LIMIT;
	lab_inside_set(crowd->lab, crowd->ipv6 ? "fd00:15::/64" : "192.168.15.0/24", UP0,
		       &settings);
}

static void expect_limit(struct crowd *crowd)
{
	assert_int_equal(lab_flows_of(crowd->lab, RED), LIMIT);
}

static void limit_is_met(void **state, bool ipv6)
{
	meet(state, &(struct meeting_of){.wanted = MET(SHARE_MOVED),
					 .prepare = limit,
					 .body = crowd_open_all,
					 .judge = expect_limit,
					 .lossy = true,
					 .ipv6 = ipv6});
}

static void test_limit_is_met(void **state)
{
	limit_is_met(state, false);
}

static void test_limit_is_met6(void **state)
{
	limit_is_met(state, true);
}

static void speakers_meet(void **state, bool ipv6)
{
	meet(state, &(struct meeting_of){
			    .wanted = MET(SESSION_EXISTS), .body = crowd_speak, .ipv6 = ipv6});
}

static void test_speakers_meet(void **state)
{
	speakers_meet(state, false);
}

static void test_speakers_meet6(void **state)
{
	speakers_meet(state, true);
}

static void changes_meet(void **state, bool ipv6)
{
	meet(state, &(struct meeting_of){.wanted = MET(SESSION_MOVED),
					 .body = crowd_change_one,
					 .beside = crowd_end_all,
					 .ipv6 = ipv6});
}

static void test_changes_meet(void **state)
{
	changes_meet(state, false);
}

static void test_changes_meet6(void **state)
{
	changes_meet(state, true);
}

static void ends_meet(void **state, bool ipv6, uint64_t fail_every)
{
	meet(state, &(struct meeting_of){.wanted = MET(MAPPING_ENDED),
					 .body = crowd_open_few,
					 .beside = crowd_end_all,
					 .ipv6 = ipv6,
					 .fail_every = fail_every});
	if (fail_every)
		expect_ports_back(lab_of(state), ipv6);
}

static void test_ends_meet(void **state)
{
	ends_meet(state, false, 0);
}

static void test_ends_meet6(void **state)
{
	ends_meet(state, true, 0);
}

static void test_ends_meet_and_updates_fail(void **state)
{
	ends_meet(state, false, 7);
}

static void test_ends_meet_and_updates_fail6(void **state)
{
	ends_meet(state, true, 7);
}

/* ---- An address that the uplink's interface does not have is looked for each second. */

static void take_address(struct crowd *crowd)
{
	struct lab *lab = crowd->lab;
	struct nsr_uplink uplink = {.address4 = address4(UPLINK_IP),
				    .port_min = LAB_PORT_MIN,
				    .port_max = LAB_PORT_MAX,
				    .fixed6 = 1};

	memcpy(uplink.address6, lab_ip(ABSENT_IP6).bytes, sizeof(uplink.address6));
	assert_int_equal(datapath_uplink_set(lab->datapath, lab->uplink[UP0], &uplink,
					     &lab->uplink_number[UP0], &lab->err),
			 0);
}

static void *ask_for_address(void *argument)
{
	struct crowd *crowd = argument;
	const bool clock = !atomic_fetch_add(&crowd->next, 1);
	struct frame f, sent;

	for (uint32_t i = 0; i < TURNS; i++) {
		if (clock)
			lab_clock_offset(crowd->lab, i % 2);
		crowd_sends(crowd, &f, i % CROWD_HOSTS, 80);
		/* While another CPU asks it may still leave by the address that was there. */
		if (lab_run(crowd->lab, DATAPATH_UPLINK_OUT, crowd->lab->uplink[UP0], &f, &sent) ==
			    TC_ACT_UNSPEC &&
		    frame_ip6(&sent)->saddr.s6_addr[0] == 0xfd)
			atomic_fetch_add(&crowd->shared, 1);
	}
	return NULL;
}

static void test_address6(void **state)
{
	meet(state, &(struct meeting_of){.wanted = MET(ADDRESS_BUSY),
					 .prepare = take_address,
					 .body = ask_for_address,
					 .lossy = true,
					 .ipv6 = true});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_flows_meet),
		LAB_TEST(test_flows_meet6),
		LAB_TEST(test_limit_is_met),
		LAB_TEST(test_limit_is_met6),
		LAB_TEST(test_speakers_meet),
		LAB_TEST(test_speakers_meet6),
		LAB_TEST(test_changes_meet),
		LAB_TEST(test_changes_meet6),
		LAB_TEST(test_ends_meet),
		LAB_TEST(test_ends_meet6),
		LAB_TEST(test_ends_meet_and_updates_fail),
		LAB_TEST(test_ends_meet_and_updates_fail6),
		LAB_TEST(test_address6),
	};

	return LAB_MAIN(tests);
}
