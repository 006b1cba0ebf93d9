/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Plans that move interfaces of the host into namespaces, and give them back.
 */
#include <linux/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <linux/if_addr.h>
#include <sys/socket.h>

#include "planning.h"

static const char with_device[] =
	HEAD "networks:\n"
	     "  v-net-0: {subnets: [192.168.15.0/24], masquerade: eth0}\n"
	     "namespaces:\n"
	     "  red:\n"
	     "    interfaces:\n"
	     "      in0: {network: v-net-0, addresses: [192.168.15.11/24]}\n"
	     "    routes: [{to: 10.99.0.0/16, via: 203.0.113.1}]\n"
	     "  blue: {}\n"
	     "devices:\n"
	     "  - {name: eth1, namespace: red, addresses: [203.0.113.2/24],"
	     " mac: \"02:00:00:00:00:51\", mtu: 1400}\n";

static const char route[] = "    routes: [{to: 10.99.0.0/16, via: 203.0.113.1}]\n";

static void add_eth1(struct simulator *sim)
{
	struct state_link *eth1 = simulator_add_link(sim, NULL, "eth1", "");
	struct state_namespace *host = &sim->spaces[0];

	eth1->flags = IFF_UP;
	memcpy(eth1->mac, "\x02\x00\x00\x00\x00\x01", 6);
	strcpy(eth1->alias, "somebody's");
	*arena_push(&sim->arena, host->addresses, host->addresses_count) =
		(struct state_address){.ifindex = eth1->ifindex,
				       .address = {AF_INET, 24, {203, 0, 113, 7}},
				       .flags = IFA_F_PERMANENT};
}

static const char *without_device(struct simulator *sim)
{
	return edited(sim, edited(sim, with_device, strstr(with_device, "devices:"), ""), route,
		      "");
}

static int setup_device(void **state)
{
	setup(state);
	add_eth1(*state);
	return 0;
}

/* eth1 as add_eth1() made it; then it is deleted, so that the rest can be compared. */
static void assert_given_back(struct simulator *sim)
{
	const struct state_link *eth1 = simulator_link(sim, NULL, "eth1");

	assert_non_null(eth1);
	assert_string_equal(eth1->alias, "somebody's");
	assert_memory_equal(eth1->mac, "\x02\x00\x00\x00\x00\x01", 6);
	assert_int_equal(eth1->mtu, 1500);
	assert_true(eth1->flags & IFF_UP);
	assert_int_equal(sim->spaces[0].addresses_count, 2);
	simulator_delete_link(sim, NULL, "eth1");
	assert_as_found(sim);
}

static const char *refusal(struct simulator *sim, const char *text)
{
	struct topology *topology = parse(sim, text);
	struct plan *plan = NULL;
	struct error *err = arena_alloc(&sim->arena, sizeof(*err));

	sim->record.fabric = topology->name;
	assert_true(plan_build(topology, simulator_observe(sim, topology), &sim->record,
			       &sim->arena, &plan, err) < 0);
	assert_int_equal(err->at.line, strstr(text, "devices:") ? 12 : 0);
	return err->message;
}

static void test_moved(void **state)
{
	struct simulator *sim = *state;
	const struct plan *plan = converge(sim, with_device);
	const struct operation *take = find(plan, OPERATION_DEVICE_TAKE);
	const struct state_link *eth1 = simulator_link(sim, "red", "eth1");
	char *text = plan_describe(take, &sim->arena);

	assert_string_equal(text, "+ device eth1 into red: an interface of the host itself");
	assert_ptr_equal(plan->confirm, take);
	assert_int_equal(plan->confirm_at, plan->count);
	assert_null(simulator_link(sim, NULL, "eth1"));
	assert_int_equal(eth1->mtu, 1400);
	assert_memory_equal(eth1->mac, "\x02\x00\x00\x00\x00\x51", 6);
	assert_string_equal(eth1->alias, "nsroute:lab");
	assert_true(eth1->flags & IFF_UP);
	plan = removal_of(sim);
	assert_int_equal(plan->operations[0].kind, OPERATION_DEVICE_RETURN);
	simulator_run(sim, plan);
	assert_given_back(sim);
}

static void test_keeps_its_own(void **state)
{
	struct simulator *sim = *state;

	converge(sim, with_device);
	converge(sim, edited(sim, with_device, ", mac: \"02:00:00:00:00:51\", mtu: 1400", ""));
	assert_int_equal(simulator_link(sim, "red", "eth1")->mtu, 1500);
	assert_memory_equal(simulator_link(sim, "red", "eth1")->mac, "\x02\x00\x00\x00\x00\x01", 6);
}

static void test_edited(void **state)
{
	struct simulator *sim = *state;
	const char *text = edited(sim, with_device, "203.0.113.2/24", "203.0.113.3/24");
	const struct plan *plan;

	converge(sim, with_device);
	plan = converge(sim, text);
	assert_int_equal(plan->confirm->kind, OPERATION_ADDRESS_DELETE);
	text = edited(sim, text, "namespace: red", "namespace: blue");
	text = edited(sim, text, route, "");
	plan = converge(sim, text);
	assert_int_equal(plan->operations[0].kind, OPERATION_DEVICE_RETURN);
	assert_non_null(simulator_link(sim, "blue", "eth1"));
	plan = converge(sim, edited(sim, text, strstr(text, "devices:"), ""));
	assert_int_equal(plan->confirm->kind, OPERATION_DEVICE_RETURN);
	assert_non_null(simulator_link(sim, NULL, "eth1"));
	simulator_run(sim, removal_of(sim));
	assert_given_back(sim);
}

/* Undoing what was confirmed too late brings it back, for what destroys comes after it. */
static void test_undone(void **state)
{
	struct simulator *sim = *state;
	struct operation inverse;
	struct plan *plan;

	converge(sim, without_device(sim));
	plan = plan_of(sim, parse(sim, edited(sim, with_device, "  blue: {}\n", "")));
	assert_int_equal(plan->operations[plan->confirm_at].kind, OPERATION_NETNS_DELETE);
	for (size_t i = 0; i < plan->confirm_at; i++)
		simulator_execute(sim, &plan->operations[i]);
	for (size_t i = plan->confirm_at; i > 0; i--)
		if (plan_inverse(&plan->operations[i - 1], &inverse))
			simulator_execute(sim, &inverse);
	simulator_run(sim, removal_of(sim));
	assert_given_back(sim);
}

static void test_no_confirmation(void **state)
{
	struct simulator *sim = *state;

	assert_null(converge(sim, fabric)->confirm);
	simulator_run(sim, removal_of(sim));
	converge(sim, with_device);
	assert_null(
		converge(sim, edited(sim, with_device, "  blue: {}\n", "  white: {}\n"))->confirm);
}

/* ---- Killed. */

static void test_killed(void **state)
{
	struct simulator *sim = *state;
	size_t count = plan_of(sim, parse(sim, with_device))->count;

	for (size_t done = 0; done <= count; done++) {
		struct plan *plan = plan_of(sim, parse(sim, with_device));

		for (size_t i = 0; i < done; i++)
			simulator_execute(sim, &plan->operations[i]);
		if (done % 2)
			converge(sim, with_device);
		simulator_run(sim, removal_of(sim));
		assert_given_back(sim);
		sim->record.count = 0;
		add_eth1(sim);
	}
}

static void test_killed_while_taking(void **state)
{
	struct simulator *sim = *state;

	for (int step = 0; step < 4; step++) {
		simulator_note_device(sim, "eth1", "red");
		if (step & 1)
			simulator_mark_device(sim, "eth1");
		if (step & 2)
			converge(sim, with_device);
		simulator_run(sim, removal_of(sim));
		assert_given_back(sim);
		sim->record.count = 0;
		add_eth1(sim);
	}
}

/* What it had is what it had before the first move, wherever it goes afterwards. */
static void test_killed_while_returning(void **state)
{
	struct simulator *sim = *state;
	struct state_link *eth1;

	simulator_note_device(sim, "eth1", "red");
	simulator_mark_device(sim, "eth1");
	eth1 = simulator_link(sim, NULL, "eth1");
	eth1->mtu = 1400;
	eth1->flags = 0;
	sim->spaces[0].addresses_count = 1;
	converge(sim, edited(sim, edited(sim, with_device, route, ""), "eth1, namespace: red",
			     "eth1, namespace: blue"));
	simulator_run(sim, removal_of(sim));
	assert_given_back(sim);
}

/* ---- What others did. */

static void test_namespace_deleted(void **state)
{
	struct simulator *sim = *state;
	const char *message;

	converge(sim, with_device);
	simulator_delete_space(sim, "red");
	message = refusal(sim, with_device);
	assert_non_null(strstr(message, "it was in namespace 'red', which somebody deleted"));
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
}

/* Hardware comes to the initial namespace, with our mark still on it. */
static void test_hardware_comes_back_alone(void **state)
{
	struct simulator *sim = *state;
	struct state_link eth1;

	converge(sim, with_device);
	eth1 = *simulator_link(sim, "red", "eth1");
	simulator_delete_space(sim, "red");
	eth1.ifindex = simulator_add_link(sim, NULL, "eth1", "")->ifindex;
	*simulator_link(sim, NULL, "eth1") = eth1;
	converge(sim, with_device);
	assert_non_null(simulator_link(sim, "red", "eth1"));
	simulator_run(sim, removal_of(sim));
	assert_given_back(sim);
}

static void test_never_deleted(void **state)
{
	struct simulator *sim = *state;
	const struct plan *plan;

	converge(sim, with_device);
	plan = converge(sim, without_device(sim));
	assert_int_equal(count_kind(plan, OPERATION_LINK_DELETE), 0);
}

/* ---- Refused. */

static void test_refused(void **state)
{
	struct simulator *sim = *state;
	struct state_link *eth1 = simulator_link(sim, NULL, "eth1"), *other;
	struct record *two = &sim->others[0];
	struct record_entry *entry;
	const char *uplink;

	uplink = edited(sim, edited(sim, with_device, "masquerade: eth0", "masquerade: auto"),
			"name: eth1", "name: eth0");
	assert_non_null(strstr(refusal(sim, uplink), "'eth0' is the uplink of a fabric"));
	eth1->master = 2;
	assert_non_null(strstr(refusal(sim, with_device), "is a port of 'eth0'"));
	eth1->master = 0;
	eth1->clsact = true;
	assert_non_null(strstr(refusal(sim, with_device), "tc qdisc del dev eth1 clsact"));
	eth1->clsact = false;
	eth1->ingress_qdisc = true;
	assert_non_null(strstr(refusal(sim, with_device), "tc qdisc del dev eth1 ingress"));
	eth1->ingress_qdisc = false;
	eth1->set_qdisc = true;
	assert_non_null(strstr(refusal(sim, with_device), "tc qdisc del dev eth1 root"));
	eth1->set_qdisc = false;
	strcpy(eth1->alias, "nsroute:two");
	assert_non_null(strstr(refusal(sim, with_device), "belongs to fabric 'two'"));
	strcpy(eth1->alias, "");
	other = simulator_add_link(sim, NULL, "eth1.5", "vlan");
	eth1 = simulator_link(sim, NULL, "eth1");
	other->lower_ifindex = eth1->ifindex;
	assert_non_null(strstr(refusal(sim, with_device), "carries 'eth1.5'"));
	simulator_delete_link(sim, NULL, "eth1.5");
	sim->others_count = 1;
	two->fabric = "two";
	entry = arena_push(&sim->arena, two->entries, two->count);
	*entry = (struct record_entry){RECORD_UPLINK, "eth1", "", ""};
	assert_non_null(strstr(refusal(sim, with_device), "is the uplink of a fabric"));
	entry->kind = RECORD_DEVICE;
	simulator_delete_link(sim, NULL, "eth1");
	assert_non_null(strstr(refusal(sim, with_device), "fabric 'two' has it"));
	sim->others_count = 0;
	assert_non_null(strstr(refusal(sim, with_device), "there is no interface 'eth1'"));
}

static void test_refused_inside(void **state)
{
	struct simulator *sim = *state;

	converge(sim, without_device(sim));
	simulator_add_link(sim, "red", "eth1", "tun");
	assert_non_null(strstr(refusal(sim, with_device),
			       "interface 'eth1' exists already in namespace 'red'"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_moved, setup_device, teardown),
		cmocka_unit_test_setup_teardown(test_keeps_its_own, setup_device, teardown),
		cmocka_unit_test_setup_teardown(test_edited, setup_device, teardown),
		cmocka_unit_test_setup_teardown(test_undone, setup_device, teardown),
		cmocka_unit_test_setup_teardown(test_no_confirmation, setup_device, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup_device, teardown),
		cmocka_unit_test_setup_teardown(test_killed_while_taking, setup_device, teardown),
		cmocka_unit_test_setup_teardown(test_killed_while_returning, setup_device,
						teardown),
		cmocka_unit_test_setup_teardown(test_namespace_deleted, setup_device, teardown),
		cmocka_unit_test_setup_teardown(test_hardware_comes_back_alone, setup_device,
						teardown),
		cmocka_unit_test_setup_teardown(test_never_deleted, setup_device, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup_device, teardown),
		cmocka_unit_test_setup_teardown(test_refused_inside, setup_device, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
