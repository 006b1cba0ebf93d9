/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Networks without a bridge, and networks that change their type: applied, killed, applied again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <sys/socket.h>

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "planning.h"

static const char *host_end(struct simulator *sim, size_t namespace)
{
	return parse(sim, fabric)->namespaces[namespace].interfaces[0].host_name;
}

/* ---- A network that changes its type. */

static const char *routed(struct simulator *sim)
{
	const char *text =
		edited(sim, fabric, "v-net-0: {subnets", "v-net-0: {type: routed, subnets");

	text = edited(sim, text, "    routes: [{to: 10.99.0.0/16, via: 192.168.15.12}]\n", "");
	return edited(sim, text, "v-net-1: {subnets", "v-net-1: {type: routed, subnets");
}

static void test_routed(void **state)
{
	struct simulator *sim = *state;
	const struct state_port *port;
	const struct state_link *red;

	converge(sim, routed(sim));
	red = simulator_link(sim, NULL, host_end(sim, 0));
	assert_true(red->forwards);
	assert_null(simulator_link(sim, NULL, "v-net-0"));
	for (size_t i = 0; i < sim->datapath.endpoints_count; i++)
		assert_int_not_equal(sim->datapath.endpoints[i].ip.family, 0); /* no FDB entry */
	assert_int_equal(sim->datapath.inner_links_count, 3);
	port = &sim->datapath.ports[0];
	assert_int_equal(port->port.gateway_ifindex, port->ifindex);
	simulator_delete_link(sim, NULL, host_end(sim, 0));
	converge(sim, routed(sim));
	simulator_space(sim, NULL)->routes_count = 1;
	converge(sim, routed(sim));
	simulator_space(sim, "green")->addresses_count = 0;
	converge(sim, routed(sim));
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
}

static void test_routed_killed(void **state)
{
	struct simulator *sim = *state;
	size_t count = plan_of(sim, parse(sim, routed(sim)))->count;

	for (size_t done = 0; done <= count; done++) {
		struct plan *plan = plan_of(sim, parse(sim, routed(sim)));

		for (size_t i = 0; i < done; i++)
			simulator_execute(sim, &plan->operations[i]);
		converge(sim, routed(sim));
		simulator_run(sim, removal_of(sim));
		assert_as_found(sim);
		sim->record.count = 0;
	}
}

/* Only what differs is touched, and the network keeps its number. */
static void test_type_changes(void **state)
{
	struct simulator *sim = *state;
	const char *bridged =
		edited(sim, fabric, "    routes: [{to: 10.99.0.0/16, via: 192.168.15.12}]\n", "");
	const char *half =
		edited(sim, bridged, "v-net-0: {subnets", "v-net-0: {type: routed, subnets");
	const char *const texts[] = {half, bridged, half};
	const struct plan *plan;
	uint16_t network;

	converge(sim, bridged);
	network = sim->datapath.ports[0].port.network;
	for (size_t i = 0; i < 3; i++) {
		plan = converge(sim, texts[i]);
		assert_int_equal(count_kind(plan, OPERATION_VETH_ADD), 0);
		assert_int_equal(count_kind(plan, OPERATION_NETNS_ADD), 0);
		assert_int_equal(count_kind(plan, OPERATION_PORT_ADD), 2);
		for (size_t j = 0; j < plan->count; j++)
			assert_false(plan->operations[j].namespace &&
				     !strcmp(plan->operations[j].namespace, "green"));
		assert_int_equal(sim->datapath.ports[0].port.network, network);
		assert_int_equal(simulator_link(sim, NULL, "v-net-0") != NULL, i == 1);
	}
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
}

static void test_type_change_killed(void **state, bool to_routed)
{
	struct simulator *sim = *state;
	const char *bridged =
		edited(sim, fabric, "    routes: [{to: 10.99.0.0/16, via: 192.168.15.12}]\n", "");
	const char *from = to_routed ? bridged : routed(sim);
	const char *to = to_routed ? routed(sim) : bridged;
	struct operation inverse;
	struct plan *plan;
	size_t count;

	converge(sim, from);
	count = plan_of(sim, parse(sim, to))->count;
	for (size_t done = 0; done <= count; done++) {
		plan = plan_of(sim, parse(sim, to));
		for (size_t i = 0; i < done; i++)
			simulator_execute(sim, &plan->operations[i]);
		converge(sim, done % 2 ? to : from);
		converge(sim, from);
	}
	/* A failure anywhere before the first deletion is undone. */
	plan = plan_of(sim, parse(sim, to));
	for (count = 0; count < plan->count; count++) {
		if (plan->operations[count].kind == OPERATION_LINK_DELETE)
			break;
		simulator_execute(sim, &plan->operations[count]);
	}
	while (count > 0)
		if (plan_inverse(&plan->operations[--count], &inverse))
			simulator_execute(sim, &inverse);
	assert_empty(sim, plan_of(sim, parse(sim, from)));
}

static void test_becomes_routed_killed(void **state)
{
	test_type_change_killed(state, true);
}

static void test_becomes_bridge_killed(void **state)
{
	test_type_change_killed(state, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_routed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_routed_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_type_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_becomes_routed_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_becomes_bridge_killed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
