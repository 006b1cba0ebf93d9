/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Many CPUs at once: threads that open the same flows, and flows that want the same ports, while
 * others are ended. Whatever happens, two inside endpoints never have one external port, and in the
 * end every count is even and nothing is left.
 */
#include "crowd.h"

#include <stdlib.h>

static void test_same_flows(void **state)
{
	struct crowd *crowd = crowd_gather(lab_of(state));
	struct nsr_nat_counters nat;

	crowd_run(crowd, crowd_open_all, false);
	assert_int_equal(crowd->shared, 0);
	assert_int_equal(crowd->dropped, 0);
	nat = lab_nat(crowd->lab, UP0);
	/* Two flows an endpoint, and one mapping. */
	assert_int_equal(nat.sessions_created[NSR_NAT_UDP], 2 * CROWD_HOSTS * CROWD_ENDPOINTS);
	assert_int_equal(lab_pool_bits(crowd->lab, UP0, NSR_NAT_UDP),
			 CROWD_HOSTS * CROWD_ENDPOINTS);
	crowd_expect_even(crowd->lab);
	free(crowd);
}

static void test_same_ports(void **state)
{
	struct crowd *crowd = crowd_gather(lab_of(state));

	crowd_run(crowd, crowd_open_from_elsewhere, false);
	assert_int_equal(crowd->shared, 0);
	assert_int_equal(crowd->dropped, 0);
	crowd_expect_even(crowd->lab);
	free(crowd);
}

/* Fewer ports than endpoints: some get none, for good, and nobody another's. */
static void test_too_few_ports(void **state)
{
	struct crowd *crowd = crowd_gather(lab_of(state));

	lab_uplink_set(crowd->lab, UP0, UPLINK_IP, CROWD_FIRST,
		       CROWD_FIRST + CROWD_HOSTS * CROWD_ENDPOINTS / 2 - 1);
	crowd_run(crowd, crowd_open_from_elsewhere, false);
	assert_int_equal(crowd->shared, 0);
	assert_int_equal(lab_pool_bits(crowd->lab, UP0, NSR_NAT_UDP),
			 CROWD_HOSTS * CROWD_ENDPOINTS / 2);
	assert_int_not_equal(crowd->dropped, 0);
	crowd_expect_even(crowd->lab);
	free(crowd);
}

/* Sessions are ended as they are opened. A port cools down, so it is still nobody else's. */
static void test_ended_while_opened(void **state)
{
	struct crowd *crowd = crowd_gather(lab_of(state));

	crowd_run(crowd, crowd_open_all, true);
	assert_int_equal(crowd->shared, 0);
	crowd_expect_even(crowd->lab);
	free(crowd);
}

/* Protocols without ports: of inside hosts that want one remote at once one has it, for good. */
static void test_same_remotes(void **state)
{
	struct crowd *crowd = crowd_gather(lab_of(state));
	uint32_t i;

	crowd_run(crowd, crowd_speak, false);
	assert_int_equal(crowd->shared, 0);
	for (i = 0; i < CROWD_REMOTES; i++)
		assert_int_not_equal(crowd->owner[i], 0);
	assert_int_equal(lab_nat(crowd->lab, UP0).sessions_created[NSR_NAT_OTHER], CROWD_REMOTES);
	assert_int_equal(crowd->dropped, 2 * CROWD_REMOTES * (CROWD_THREADS - 1));
	crowd_expect_even(crowd->lab);
	free(crowd);
}

static void test_same_remotes_while_ended(void **state)
{
	struct crowd *crowd = crowd_gather(lab_of(state));

	crowd_run(crowd, crowd_speak, true);
	crowd_expect_even(crowd->lab);
	free(crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_same_flows),    LAB_TEST(test_same_ports),
		LAB_TEST(test_too_few_ports), LAB_TEST(test_ended_while_opened),
		LAB_TEST(test_same_remotes),  LAB_TEST(test_same_remotes_while_ended),
	};

	return LAB_MAIN(tests);
}
