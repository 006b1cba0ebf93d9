/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Networks that are bridges of Open vSwitch, whatever became of them or their ports meanwhile.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "planning.h"

static const char switched[] =
	HEAD "networks:\n"
	     "  br0: {type: ovs, subnets: [10.0.0.0/24, \"fd00::/64\"], gateway: [10.0.0.254]}\n"
	     "namespaces:\n"
	     "  red: {interfaces: {eth0: {network: br0, addresses: [10.0.0.1/24]}}}\n"
	     "  blue: {interfaces: {eth0: {network: br0, addresses: [10.0.0.2/24]}}}\n";

static struct state_ovs_bridge bridges[] = {{.name = "br0", .userspace = true}, {.name = "br1"}};

static int setup_switch(void **state)
{
	struct simulator *sim = simulator_new();

	sim->ovs.bridges = bridges;
	sim->ovs.bridges_count = 2;
	*state = sim;
	return 0;
}

static int refusal(struct simulator *sim, struct error *err)
{
	struct topology *topology = parse(sim, switched);
	struct plan *plan;

	sim->record.fabric = topology->name;
	return plan_build(topology, simulator_observe(sim, topology), &sim->record, &sim->arena,
			  &plan, err);
}

static void assert_removed(struct simulator *sim)
{
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
	assert_int_equal(sim->ovs.ports_count, 0);
	sim->record.count = 0;
}

static const char *host_end(struct simulator *sim, size_t namespace)
{
	return parse(sim, switched)->namespaces[namespace].interfaces[0].host_name;
}

static const char *offload(struct simulator *sim)
{
	return simulator_netns_sysctl(sim, "red", "offload/eth0/tx-checksum");
}

/* ---- What is wanted. */

static void test_ports(void **state)
{
	struct simulator *sim = *state;
	const struct plan *plan = converge(sim, switched);
	const struct operation *op = find(plan, OPERATION_PORT_ADD);

	assert_int_equal(sim->ovs.ports_count, 2);
	assert_string_equal(sim->ovs.ports[0].bridge, "br0");
	assert_int_equal(op->port_flags & NSR_PORT_FAST, 0);
	assert_null(op->network_link);
	assert_int_equal(count_kind(plan, OPERATION_HOST_ADD), 0);
	assert_int_equal(count_kind(plan, OPERATION_NEIGHBOUR_ADD), 0);
	assert_int_equal(count_kind(plan, OPERATION_BRIDGE_ADD), 0);
	assert_int_equal(count_kind(plan, OPERATION_INNER_LINK_ADD), 0);
	/* The gateway is somebody else's. */
	assert_int_equal(count_kind(plan, OPERATION_ADDRESS_ADD), 2);
	assert_int_equal(count_kind(plan, OPERATION_SYSCTL_SET), 0);
	assert_int_equal(count_kind(plan, OPERATION_ROUTE_ADD), 2);
	assert_string_equal(offload(sim), "off");
	assert_removed(sim);
}

static void test_kernel_datapath_takes_packets_as_they_are(void **state)
{
	struct simulator *sim = *state;

	converge(sim, edited(sim, edited(sim, edited(sim, switched, "br0", "br1"), "br0", "br1"),
			     "br0", "br1"));
	assert_string_equal(offload(sim), "on");
	assert_removed(sim);
}

static void test_no_gateway_of_ours(void **state)
{
	struct simulator *sim = *state;
	const struct plan *plan =
		converge(sim, edited(sim, switched, ", gateway: [10.0.0.254]", ""));

	assert_int_equal(count_kind(plan, OPERATION_ROUTE_ADD), 0);
}

/* ---- What is refused. */

static void test_refused(void **state)
{
	struct simulator *sim = *state;
	struct error err = {0};

	sim->ovs.problem = "Open vSwitch does not run";
	assert_int_equal(refusal(sim, &err), -ENODEV);
	assert_string_equal(err.message, "network 'br0': Open vSwitch does not run");
	assert_int_equal(err.at.line, 4);
	sim->ovs.problem = NULL;
	sim->ovs.bridges_count = 0;
	assert_int_equal(refusal(sim, &err), -ENODEV);
	assert_non_null(strstr(err.message, "ovs-vsctl add-br br0"));
	sim->ovs.bridges_count = 2;
	*arena_push(&sim->arena, sim->ovs.ports, sim->ovs.ports_count) =
		(struct state_ovs_port){host_end(sim, 0), "br1", ""};
	assert_int_equal(refusal(sim, &err), -EEXIST);
	assert_int_equal(err.at.line, 6);
	assert_non_null(strstr(err.message, "on the Open vSwitch bridge 'br1' already"));
	sim->ovs.ports[0].fabric = "other";
	assert_int_equal(refusal(sim, &err), -EEXIST);
}

/* ---- What became of it. */

static void test_removed_by_hand(void **state)
{
	struct simulator *sim = *state;
	const struct plan *plan;

	converge(sim, switched);
	sim->ovs.ports_count = 1;
	plan = converge(sim, switched);
	assert_int_equal(plan->count, 1);
	assert_int_equal(plan->operations[0].kind, OPERATION_OVS_PORT_ADD);
	simulator_delete_link(sim, NULL, host_end(sim, 0));
	plan = converge(sim, switched);
	assert_int_equal(count_kind(plan, OPERATION_OVS_PORT_DELETE), 1);
	assert_string_equal(offload(sim), "off");
	assert_removed(sim);
}

/* The database outlives the record: what has our mark and the file's name is ours. */
static void test_after_a_reboot(void **state)
{
	struct simulator *sim = *state;

	*arena_push(&sim->arena, sim->ovs.ports, sim->ovs.ports_count) =
		(struct state_ovs_port){host_end(sim, 0), "br1", "lab"};
	converge(sim, switched);
	assert_int_equal(sim->ovs.ports_count, 2);
	assert_removed(sim);
}

static void test_moved_and_changed(void **state)
{
	struct simulator *sim = *state;
	const char *text = edited(sim, switched, "network: br0", "network: br1");

	text = edited(sim, text, "networks:\n", "networks:\n  br1: {type: ovs}\n");
	converge(sim, switched);
	converge(sim, text);
	assert_string_equal(offload(sim), "on");
	converge(sim, switched);
	assert_string_equal(offload(sim), "off");
	text = edited(sim, switched, "type: ovs", "type: bridge");
	converge(sim, text);
	assert_int_equal(sim->ovs.ports_count, 0);
	assert_string_equal(offload(sim), "on");
	assert_int_not_equal(simulator_link(sim, NULL, host_end(sim, 0))->master, 0);
	converge(sim, switched);
	assert_int_equal(simulator_link(sim, NULL, host_end(sim, 0))->master, 0);
	converge(sim, edited(sim, switched, strstr(switched, "  blue:"), ""));
	assert_int_equal(sim->ovs.ports_count, 1);
	assert_removed(sim);
}

/* A fabric goes whether or not the switch is there. */
static void test_switch_is_gone(void **state)
{
	struct simulator *sim = *state;

	converge(sim, switched);
	sim->ovs = (struct state_ovs){.problem = "Open vSwitch does not run"};
	assert_removed(sim);
}

static void test_killed(void **state)
{
	struct simulator *sim = *state;
	size_t count = plan_of(sim, parse(sim, switched))->count;

	for (size_t done = 0; done <= 2 * count; done++) {
		struct plan *plan = plan_of(sim, parse(sim, switched));

		for (size_t i = 0; i < done / 2; i++)
			simulator_execute(sim, &plan->operations[i]);
		if (done % 2)
			converge(sim, switched);
		assert_removed(sim);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup_switch, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ports),
		TEST(test_kernel_datapath_takes_packets_as_they_are),
		TEST(test_no_gateway_of_ours),
		TEST(test_refused),
		TEST(test_removed_by_hand),
		TEST(test_after_a_reboot),
		TEST(test_moved_and_changed),
		TEST(test_switch_is_gone),
		TEST(test_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
