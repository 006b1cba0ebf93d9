/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A network that is masqueraded to another one of the file: its bridge is an uplink before anybody
 * behind it has a port, and both networks know that they are apart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <sys/socket.h>

#include "planning.h"

#define TO_ETH0 "masquerade: eth0"
#define TO_NET1 "masquerade: v-net-1"

/* The fabric, v-net-0 masqueraded to v-net-1. */
static const char *behind(struct simulator *sim)
{
	return edited(sim, fabric, TO_ETH0, TO_NET1);
}

static size_t place_of(const struct plan *plan, enum operation_kind kind, const char *link)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->operations[i].kind == kind && plan->operations[i].link &&
		    !strcmp(plan->operations[i].link, link))
			return i;
	fail_msg("no operation of kind %d on %s", kind, link);
	return 0;
}

static void test_its_bridge_is_the_uplink(void **state)
{
	struct simulator *sim = *state;
	const struct plan *plan = converge(sim, behind(sim));
	const struct operation *uplink = find(plan, OPERATION_UPLINK_ADD);
	size_t place = place_of(plan, OPERATION_UPLINK_ADD, "v-net-1"), ports = 0;

	assert_int_equal(count_kind(plan, OPERATION_UPLINK_ADD), 1);
	assert_true(uplink->fixed && uplink->clsact && !uplink->bare);
	assert_memory_equal(uplink->address.bytes, "\12\1\0\1", 4);
	assert_int_equal(uplink->address6.family, AF_INET6);
	assert_true(place > place_of(plan, OPERATION_BRIDGE_ADD, "v-net-1"));
	assert_true(place < (size_t)(find(plan, OPERATION_INSIDE_ADD) - plan->operations));
	for (size_t i = 0; i < plan->count; i++) {
		const struct operation *op = &plan->operations[i];

		if (op->kind != OPERATION_PORT_ADD && op->kind != OPERATION_HOST_ADD)
			continue;
		assert_true(i > place);
		assert_int_equal(op->port_flags & NSR_PORT_BEHIND,
				 op->network == 1 ? NSR_PORT_BEHIND : 0);
		ports++;
	}
	assert_true(ports > 3);
	/* It is ours: nothing of the host has to be changed for it. */
	assert_string_equal(simulator_sysctl(sim, "net/ipv4/conf/eth0/forwarding"), "0");
}

static void test_removed(void **state)
{
	struct simulator *sim = *state;

	converge(sim, behind(sim));
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
	assert_false(record_has(&sim->record, RECORD_UPLINK, "v-net-1"));
	assert_false(record_has(&sim->record, RECORD_CLSACT, "v-net-1"));
}

/* From and to an interface of the host, and without any. */
static void test_edits(void **state)
{
	struct simulator *sim = *state;
	const char *none = edited(sim, fabric, ", " TO_ETH0, "");
	const char *const texts[] = {fabric, behind(sim), none, behind(sim), fabric, none};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		converge(sim, texts[i]);
	assert_false(simulator_link(sim, NULL, "v-net-1")->clsact);
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
}

/* The address that it is masqueraded as. */
static void test_another_gateway(void **state)
{
	struct simulator *sim = *state;
	const char *text = edited(sim, behind(sim), "\"fd00:1::/64\"]",
				  "\"fd00:1::/64\"], gateway: [10.1.0.9, \"fd00:1::9\"]");
	const struct plan *plan;

	converge(sim, behind(sim));
	plan = converge(sim, text);
	assert_int_equal(find(plan, OPERATION_UPLINK_ADD)->address.bytes[3], 9);
}

/* The other network goes, and its bridge with it. */
static void test_the_other_goes(void **state)
{
	static const char two[] =
		HEAD "networks:\n"
		     "  one: {subnets: [10.1.0.0/24], masquerade: two}\n"
		     "  two: {subnets: [10.2.0.0/24]}\n"
		     "namespaces:\n"
		     "  red: {interfaces: {eth0: {network: one, addresses: [10.1.0.2/24]}}}\n";
	struct simulator *sim = *state;
	const char *alone = edited(sim, two, "  two: {subnets: [10.2.0.0/24]}\n", "");

	converge(sim, two);
	converge(sim, edited(sim, alone, "masquerade: two", TO_ETH0));
	assert_int_equal(sim->datapath.uplinks_count, 1);
	assert_false(record_has(&sim->record, RECORD_UPLINK, "two"));
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
}

static void test_killed(void **state)
{
	struct simulator *sim = *state;
	size_t count = plan_of(sim, parse(sim, behind(sim)))->count;

	for (size_t done = 0; done <= count; done++) {
		struct plan *plan = plan_of(sim, parse(sim, behind(sim)));

		for (size_t i = 0; i < done; i++)
			simulator_execute(sim, &plan->operations[i]);
		if (done % 2)
			converge(sim, behind(sim));
		simulator_run(sim, removal_of(sim));
		assert_as_found(sim);
		sim->record.count = 0;
	}
}

static void test_removal_killed(void **state)
{
	struct simulator *sim = *state;
	size_t count;

	converge(sim, behind(sim));
	count = removal_of(sim)->count;
	for (size_t done = 0; done < count; done++) {
		const struct plan *plan = removal_of(sim);

		for (size_t i = 0; i < done && i < plan->count; i++)
			simulator_execute(sim, &plan->operations[i]);
		converge(sim, behind(sim));
	}
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
}

static void test_bridge_deleted_by_hand(void **state)
{
	struct simulator *sim = *state;

	converge(sim, behind(sim));
	simulator_delete_link(sim, NULL, "v-net-1");
	converge(sim, behind(sim));
	assert_int_equal(sim->datapath.uplinks_count, 1);
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_its_bridge_is_the_uplink, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_gateway, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_other_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removal_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bridge_deleted_by_hand, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
