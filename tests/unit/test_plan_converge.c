/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Wherever it starts from (killed, damaged by hand, another file), a plan leads a simulated kernel
 * to where there is nothing to do.
 */
#include <errno.h>
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

/* ---- Killed at any instant. */

static void test_killed_then_applied(void **state)
{
	struct simulator *sim = *state;
	size_t count = plan_of(sim, parse(sim, fabric))->count;

	for (size_t done = 0; done <= count; done++) {
		struct plan *plan = plan_of(sim, parse(sim, fabric));

		for (size_t i = 0; i < done; i++)
			simulator_execute(sim, &plan->operations[i]);
		converge(sim, fabric);
		simulator_run(sim, removal_of(sim));
		assert_as_found(sim);
		sim->record.count = 0;
	}
}

static void test_killed_then_removed(void **state)
{
	struct simulator *sim = *state;
	size_t count = plan_of(sim, parse(sim, fabric))->count;

	for (size_t done = 0; done <= count; done++) {
		struct plan *plan = plan_of(sim, parse(sim, fabric));

		for (size_t i = 0; i < done; i++)
			simulator_execute(sim, &plan->operations[i]);
		simulator_run(sim, removal_of(sim));
		assert_as_found(sim);
		sim->record.count = 0;
	}
}

/* The record is written before the object: what it names need not be there. */
static void test_killed_before_the_alias(void **state)
{
	struct simulator *sim = *state;

	converge(sim, fabric);
	for (size_t i = 0; i < sim->spaces[0].links_count; i++)
		sim->spaces[0].links[i].alias[0] = '\0';
	converge(sim, fabric);
	assert_string_equal(simulator_link(sim, NULL, "v-net-0")->alias, "nsroute:lab");
}

/* ---- What somebody changed by hand. */

static const char *host_end(struct simulator *sim, size_t namespace)
{
	return parse(sim, fabric)->namespaces[namespace].interfaces[0].host_name;
}

static void test_deleted_by_hand(void **state)
{
	struct simulator *sim = *state;

	converge(sim, fabric);
	simulator_delete_link(sim, NULL, host_end(sim, 0));
	converge(sim, fabric);
	simulator_delete_space(sim, "blue");
	converge(sim, fabric);
	simulator_delete_link(sim, NULL, "v-net-0");
	converge(sim, fabric);
	simulator_delete_link(sim, "red", "p0");
	converge(sim, fabric);
	simulator_space(sim, NULL)->neighbours_count = 0;
	converge(sim, fabric);
	simulator_space(sim, "red")->addresses_count = 0;
	converge(sim, fabric);
	simulator_space(sim, "green")->routes_count = 0;
	converge(sim, fabric);
	simulator_set_sysctl(sim, "net/ipv4/conf/eth0/forwarding", "0");
	converge(sim, fabric);
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
}

/* Host ends may lack what the kernel gave them: they are made anew, and it is forgotten. */
static void test_removal_begun(void **state)
{
	struct simulator *sim = *state;
	struct operation begun = {
		.kind = OPERATION_ADOPT, .record = RECORD_STRIPPED, .link = RECORD_STRIPPED_NAME};
	const struct plan *plan;
	size_t veths;

	veths = count_kind(converge(sim, fabric), OPERATION_VETH_ADD);
	simulator_execute(sim, &begun);
	plan = converge(sim, fabric);
	/* All but the pair without a bridge, of which no end is on the host. */
	assert_int_equal(count_kind(plan, OPERATION_VETH_ADD), veths - 1);
	assert_non_null(find(plan, OPERATION_LINK_DELETE));
	assert_false(record_has(&sim->record, RECORD_STRIPPED, RECORD_STRIPPED_NAME));
	simulator_execute(sim, &begun);
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
}

static void test_tables_emptied(void **state)
{
	struct simulator *sim = *state;

	converge(sim, fabric);
	simulator_link(sim, NULL, host_end(sim, 1))->hook_in = false;
	assert_int_equal(converge(sim, fabric)->count, 1);
	sim->datapath.endpoints_count--;
	assert_int_equal(converge(sim, fabric)->count, 1);
	sim->datapath.sources_count = 0;
	assert_int_equal(converge(sim, fabric)->count, 1);
	sim->datapath.ports_count = 0;
	converge(sim, fabric);
	sim->datapath.inside_count = 0;
	assert_int_equal(converge(sim, fabric)->count, 1);
	sim->datapath.inside[0].inside.unfinished = 1; /* a change was interrupted */
	assert_int_equal(converge(sim, fabric)->count, 1);
	simulator_link(sim, NULL, "eth0")->hook_out = false;
	assert_int_equal(converge(sim, fabric)->count, 1);
	memset(&sim->datapath, 0, sizeof(sim->datapath));
	converge(sim, fabric);
}

/* The programs of the lost tables guard until the new ones are filled; a process that is killed
 * before they are exchanged leaves that to the next. */
static void test_tables_lost(void **state)
{
	struct simulator *sim = *state;
	const struct state_link *eth0;
	struct plan *plan;

	converge(sim, fabric);
	memset(&sim->datapath, 0, sizeof(sim->datapath));
	plan = plan_of(sim, parse(sim, fabric));
	for (size_t i = 0; i < plan->count; i++)
		simulator_execute(sim, &plan->operations[i]);
	eth0 = simulator_link(sim, NULL, "eth0");
	assert_true(eth0->hook_out_program < sim->program);
	plan = converge(sim, fabric);
	assert_non_null(find(plan, OPERATION_UPLINK_ADD));
	assert_int_equal(plan->count, count_kind(plan, OPERATION_UPLINK_ADD) +
					      count_kind(plan, OPERATION_PORT_ADD));
	eth0 = simulator_link(sim, NULL, "eth0");
	assert_true(eth0->hook_in_program == sim->program &&
		    eth0->hook_out_program == sim->program);
}

/* A datapath that is put back, and undone: the lost one guards as before. */
static void test_tables_lost_undone(void **state)
{
	struct simulator *sim = *state;
	struct operation inverse;
	struct plan *plan;

	converge(sim, fabric);
	memset(&sim->datapath, 0, sizeof(sim->datapath));
	plan = plan_of(sim, parse(sim, fabric));
	for (size_t i = 0; i < plan->count; i++)
		simulator_execute(sim, &plan->operations[i]);
	for (size_t i = plan->count; i > 0; i--)
		if (plan_inverse(&plan->operations[i - 1], &inverse))
			simulator_execute(sim, &inverse);
	assert_true(simulator_link(sim, NULL, "eth0")->hook_out);
	assert_false(sim->datapath.loaded);
	converge(sim, fabric);
}

static void test_link_set_down(void **state)
{
	struct simulator *sim = *state;
	struct operation down = {
		.kind = OPERATION_LINK_SET, .namespace = "red", .link = "eth0", .down = true};
	const struct plan *plan;

	converge(sim, fabric);
	simulator_execute(sim, &down);
	plan = converge(sim, fabric);
	assert_int_equal(count_kind(plan, OPERATION_LINK_SET), 1);
	assert_int_equal(count_kind(plan, OPERATION_ROUTE_ADD), 2);
}

static void test_qdisc_stops_the_fast_path(void **state)
{
	struct simulator *sim = *state;
	const struct operation *op;

	converge(sim, fabric);
	simulator_link(sim, NULL, host_end(sim, 0))->other_qdisc = true;
	op = find(converge(sim, fabric), OPERATION_PORT_ADD);
	assert_int_equal(op->port_flags & NSR_PORT_FAST, 0);
	assert_non_null(op->replaces);
}

static void test_uplink_address_changes(void **state)
{
	struct simulator *sim = *state;
	const struct plan *plan;

	converge(sim, fabric);
	simulator_space(sim, NULL)->addresses[0].address.bytes[3] = 9;
	plan = converge(sim, fabric);
	assert_int_equal(plan->count, 1);
	assert_int_equal(plan->operations[0].kind, OPERATION_UPLINK_ADD);
}

/* ---- Edited files. */

static void test_edited(void **state)
{
	struct simulator *sim = *state;
	const char *text = fabric;

	converge(sim, text);
	text = edited(sim, text, "networks:", "defaults: {mtu: 9000}\nnetworks:");
	converge(sim, text);
	text = edited(sim, text, "10.1.0.2/24, \"fd00:1::2/64\"", "10.1.0.3/24");
	converge(sim, text);
	text = edited(sim, text, "    routes: [{to: 10.99.0.0/16, via: 192.168.15.12}]\n", "");
	converge(sim, text);
	text = edited(sim, text, ", masquerade: eth0", "");
	converge(sim, text);
	assert_string_equal(simulator_sysctl(sim, "net/ipv4/conf/eth0/forwarding"), "0");
	assert_false(simulator_link(sim, NULL, "eth0")->clsact);
	text = edited(sim, text, strstr(text, "links:"), "");
	converge(sim, text);
	assert_null(simulator_link(sim, "red", "p0"));
	text = edited(sim, text, strstr(text, "  green:"), "");
	converge(sim, text);
	assert_null(simulator_space(sim, "green"));
	text = edited(sim, text, "  v-net-1: {subnets: [10.1.0.0/24, \"fd00:1::/64\"]}\n", "");
	converge(sim, text);
	assert_null(simulator_link(sim, NULL, "v-net-1"));
	assert_string_equal(simulator_sysctl(sim, "net/ipv6/conf/all/forwarding"), "0");
	converge(sim, HEAD "namespaces:\n  red: {}\n");
	assert_false(sim->datapath.loaded);
	converge(sim, fabric);
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
}

/* One switch for all interfaces must not lose what one of them had alone. */
static void test_ipv6_forwarding_of_others(void **state)
{
	struct simulator *sim = *state;

	simulator_set_sysctl(sim, "net/ipv6/conf/eth1/forwarding", "1");
	converge(sim, fabric);
	assert_string_equal(simulator_sysctl(sim, "net/ipv6/conf/eth0/forwarding"), "1");
	converge(sim, fabric);
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
	assert_string_equal(simulator_sysctl(sim, "net/ipv6/conf/eth0/forwarding"), "0");
	assert_string_equal(simulator_sysctl(sim, "net/ipv6/conf/eth1/forwarding"), "1");
}

/* Killed after the switch went back, before the one interface got its own value again. */
static void test_ipv6_forwarding_of_others_after_kill(void **state)
{
	struct simulator *sim = *state;
	struct plan part;

	simulator_set_sysctl(sim, "net/ipv6/conf/eth1/forwarding", "1");
	converge(sim, fabric);
	part = *removal_of(sim);
	for (size_t i = 0; i < part.count; i++)
		if (part.operations[i].key &&
		    !strcmp(part.operations[i].key, "net/ipv6/conf/all/forwarding"))
			part.count = i + 1;
	simulator_run(sim, &part);
	assert_string_equal(simulator_sysctl(sim, "net/ipv6/conf/eth1/forwarding"), "0");
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
	assert_string_equal(simulator_sysctl(sim, "net/ipv6/conf/eth1/forwarding"), "1");
}

/* A host that lives on router advertisements goes on doing so. */
static void test_router_advertisements(void **state)
{
	struct simulator *sim = *state;

	simulator_space(sim, NULL)->routes[0].protocol = 9; /* RTPROT_RA */
	converge(sim, fabric);
	assert_string_equal(simulator_sysctl(sim, "net/ipv6/conf/eth0/accept_ra"), "2");
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
}

/* What cannot be taken back comes last. */
static void test_destruction_comes_last(void **state)
{
	struct simulator *sim = *state;
	const char *text = edited(sim, fabric, "  blue:", "  white:");
	const struct plan *plan;
	bool destroyed = false;

	converge(sim, fabric);
	plan = converge(sim, text);
	for (size_t i = 0; i < plan->count; i++) {
		enum operation_kind kind = plan->operations[i].kind;

		destroyed |= kind == OPERATION_LINK_DELETE || kind == OPERATION_NETNS_DELETE;
		assert_false(destroyed &&
			     (kind == OPERATION_VETH_ADD || kind == OPERATION_LINK_SET));
	}
	assert_true(destroyed);
}

/* ---- What others set up on our links is theirs. */

static void put_by_hand(struct simulator *sim, const char *namespace, const char *link)
{
	struct state_namespace *ns = simulator_space(sim, namespace);
	uint32_t ifindex = simulator_link(sim, namespace, link)->ifindex;

	*arena_push(&sim->arena, ns->addresses, ns->addresses_count) =
		(struct state_address){.ifindex = ifindex,
				       .address = {AF_INET, 24, {172, 16, 0, 9}},
				       .flags = IFA_F_PERMANENT};
	*arena_push(&sim->arena, ns->routes, ns->routes_count) =
		(struct state_route){.to = {AF_INET, 8, {11}},
				     .via = {AF_INET, 32, {172, 16, 0, 1}},
				     .ifindex = ifindex,
				     .protocol = RTPROT_STATIC,
				     .type = RTN_UNICAST};
	*arena_push(&sim->arena, ns->neighbours, ns->neighbours_count) = (struct state_neighbour){
		.ifindex = ifindex, .ip = {AF_INET, 32, {172, 16, 0, 1}}, .state = NUD_PERMANENT};
}

static size_t count_by_hand(struct simulator *sim, const char *namespace, const char *link)
{
	const struct state_namespace *ns = simulator_space(sim, namespace);
	uint32_t ifindex = simulator_link(sim, namespace, link)->ifindex;
	size_t count = 0;

	for (size_t i = 0; i < ns->addresses_count; i++)
		count += ns->addresses[i].ifindex == ifindex && !ns->addresses[i].protocol;
	for (size_t i = 0; i < ns->routes_count; i++)
		count +=
			ns->routes[i].ifindex == ifindex && ns->routes[i].protocol == RTPROT_STATIC;
	for (size_t i = 0; i < ns->neighbours_count; i++)
		count += ns->neighbours[i].ifindex == ifindex && ns->neighbours[i].ip.family &&
			 !ns->neighbours[i].protocol;
	return count;
}

static void test_leaves_others_alone(void **state)
{
	static const char *const places[][2] = {{NULL, "v-net-0"}, {"red", "eth0"}, {"red", "p0"}};
	struct simulator *sim = *state;
	struct state_namespace *host = simulator_space(sim, NULL);
	const char *text = fabric;
	uint32_t port;

	converge(sim, text);
	simulator_add_link(sim, "red", "tun0", "tun");
	for (size_t i = 0; i < 3; i++)
		put_by_hand(sim, places[i][0], places[i][1]);
	port = simulator_link(sim, NULL, host_end(sim, 0))->ifindex;
	*arena_push(&sim->arena, host->neighbours, host->neighbours_count) =
		(struct state_neighbour){
			.ifindex = port, .mac = {2, 0, 0, 0, 0, 99}, .state = NUD_NOARP};
	assert_empty(sim, plan_of(sim, parse(sim, text)));
	text = edited(sim, text, "192.168.15.11/24]",
		      "192.168.15.77/24], mac: \"02:00:00:00:00:0b\"");
	text = edited(sim, text, "10.0.0.1/30, 10.0.0.2/30", "10.0.0.5/30, 10.0.0.6/30");
	converge(sim, text);
	assert_non_null(simulator_link(sim, "red", "tun0"));
	assert_int_equal(count_by_hand(sim, NULL, "v-net-0"), 3);
	assert_int_equal(count_by_hand(sim, "red", "p0"), 3);
	/* With the old MAC the kernel itself forgets all neighbours. */
	assert_int_equal(count_by_hand(sim, "red", "eth0"), 2);
	assert_int_equal(host->neighbours[host->neighbours_count - 1].ifindex, port);
}

/* What the file asks for and is there already is not made again, and not ours when it goes. */
static void test_accepts_what_is_there(void **state)
{
	struct simulator *sim = *state;
	const char *text =
		edited(sim, fabric, "192.168.15.11/24]", "192.168.15.11/24, 192.168.15.50/24]");
	struct state_namespace *red;
	const struct plan *plan;

	converge(sim, fabric);
	red = simulator_space(sim, "red");
	*arena_push(&sim->arena, red->addresses, red->addresses_count) =
		(struct state_address){.ifindex = simulator_link(sim, "red", "eth0")->ifindex,
				       .address = {AF_INET, 24, {192, 168, 15, 50}},
				       .flags = IFA_F_PERMANENT | IFA_F_SECONDARY};
	plan = converge(sim, text);
	assert_int_equal(count_kind(plan, OPERATION_ADDRESS_ADD), 0);
	plan = converge(sim, fabric);
	assert_int_equal(count_kind(plan, OPERATION_ADDRESS_DELETE), 0);
	assert_int_equal(count_by_hand(sim, "red", "eth0"), 1);
}

/* ---- What the file leaves to us, in a subnet that is full: 13 addresses for 13 namespaces. */

#define DENSE 13

/* Where the namespace stands in the file differs from edit to edit. */
static const char *dense(struct simulator *sim, size_t first, size_t without)
{
	const char *text = HEAD "networks: {lan: {subnets: [10.0.0.0/28]}}\nnamespaces:\n";

	for (size_t i = 0; i < DENSE; i++) {
		size_t which = (first + 5 * i) % DENSE;

		if (which != without)
			text = arena_printf(&sim->arena,
					    "%s  n%zu: {interfaces: {eth0: {network: lan}}}\n",
					    text, which);
	}
	return text;
}

static uint8_t last_byte(struct simulator *sim, size_t which)
{
	struct state_namespace *ns = simulator_space(sim, arena_printf(&sim->arena, "n%zu", which));

	if (!ns)
		return 0;
	assert_int_equal(ns->addresses_count, 1);
	return ns->addresses[0].address.bytes[3];
}

static void test_no_edit_moves_an_automatic_address(void **state)
{
	struct simulator *sim = *state;
	uint8_t before[DENSE] = {0};
	size_t displaced = 0;

	for (size_t start = 0; start < DENSE; start++) {
		converge(sim, dense(sim, start, start));
		for (size_t i = 0; i < DENSE; i++)
			before[i] = last_byte(sim, i);
		for (size_t i = 0; i < DENSE; i++) {
			const struct plan *plan = converge(sim, dense(sim, i, (start + i) % DENSE));
			const char *gone;

			gone = arena_printf(&sim->arena, "n%zu", (start + i) % DENSE);
			for (size_t j = 0; j < plan->count; j++) /* the others are not touched */
				assert_true(plan->operations[j].kind != OPERATION_ADDRESS_DELETE);
			assert_null(simulator_space(sim, gone));
			for (size_t j = 0; j < DENSE; j++) {
				uint8_t now = last_byte(sim, j);

				if (now && before[j])
					assert_int_equal(now, before[j]);
				before[j] = now;
			}
		}
		simulator_run(sim, removal_of(sim));
		assert_as_found(sim);
		sim->record.count = 0;
		converge(sim, dense(sim, 0, start)); /* as after a reboot */
		for (size_t i = 0; i < DENSE; i++)
			displaced += last_byte(sim, i) != before[i];
		simulator_run(sim, removal_of(sim));
		sim->record.count = 0;
	}
	assert_true(displaced > 0); /* or this test would show nothing */
}

/* Two namespaces whose host ends would have one name: who is there keeps it. */
static void test_no_edit_moves_a_host_name(void **state)
{
	static const char *const lines[] = {"  a: {interfaces: {b-c: {network: lan}}}\n",
					    "  a-b: {interfaces: {c: {network: lan}}}\n"};
	struct simulator *sim = *state;

	for (size_t i = 0; i < 2; i++) {
		const char *text = arena_printf(
			&sim->arena,
			HEAD "networks: {lan: {subnets: [10.0.0.0/24]}}\nnamespaces:\n%s",
			lines[i]);
		uint32_t ifindex;

		converge(sim, text);
		ifindex = simulator_link(sim, NULL, "a-b-c")->ifindex;
		text = edited(sim, text, "namespaces:\n",
			      arena_printf(&sim->arena, "namespaces:\n%s", lines[!i]));
		assert_int_equal(count_kind(converge(sim, text), OPERATION_LINK_DELETE), 0);
		assert_int_equal(simulator_link(sim, NULL, "a-b-c")->ifindex, ifindex);
		simulator_run(sim, removal_of(sim));
		sim->record.count = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_killed_then_applied, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_then_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_before_the_alias, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deleted_by_hand, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removal_begun, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tables_emptied, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tables_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tables_lost_undone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_link_set_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_qdisc_stops_the_fast_path, setup, teardown),
		cmocka_unit_test_setup_teardown(test_uplink_address_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edited, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ipv6_forwarding_of_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ipv6_forwarding_of_others_after_kill, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_router_advertisements, setup, teardown),
		cmocka_unit_test_setup_teardown(test_destruction_comes_last, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaves_others_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_accepts_what_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_edit_moves_an_automatic_address, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_no_edit_moves_a_host_name, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
