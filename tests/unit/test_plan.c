/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Plans: what they say, and that on a simulated kernel each of them leads to one after which there
 * is nothing to do, wherever it started from.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include <linux/if.h>
#include <sys/socket.h>

#include "simulator.h"
#include "topology_read.h"

#define HEAD "version: 1\nname: lab\n"

/* Scenario 8, with a static route through a namespace, IPv6, and a pair without a bridge. */
static const char fabric[] =
	HEAD "networks:\n"
	     "  v-net-0: {subnets: [192.168.15.0/24], masquerade: eth0}\n"
	     "  v-net-1: {subnets: [10.1.0.0/24, \"fd00:1::/64\"]}\n"
	     "namespaces:\n"
	     "  red:\n"
	     "    interfaces:\n"
	     "      eth0: {network: v-net-0, addresses: [192.168.15.11/24]}\n"
	     "    routes: [{to: 10.99.0.0/16, via: 192.168.15.12}]\n"
	     "  blue:\n"
	     "    interfaces:\n"
	     "      eth0: {network: v-net-0, addresses: [192.168.15.12/24]}\n"
	     "  green:\n"
	     "    interfaces:\n"
	     "      eth0: {network: v-net-1, addresses: [10.1.0.2/24, \"fd00:1::2/64\"]}\n"
	     "links:\n"
	     "  - {endpoints: [\"red:p0\", \"green:p0\"], addresses: [10.0.0.1/30, 10.0.0.2/30]}\n";

static int setup(void **state)
{
	*state = simulator_new();
	return 0;
}

static int teardown(void **state)
{
	simulator_free(*state);
	return 0;
}

static struct topology *parse(struct simulator *sim, const char *text)
{
	struct error_list errors = {.arena = &sim->arena};
	struct topology *topology = NULL;
	char line[2 * ERROR_MESSAGE_MAX];

	topology_parse("lab.yaml", text, strlen(text), &sim->arena, &topology, &errors);
	for (size_t i = 0; i < errors.count; i++)
		print_error("%s\n", error_format(&errors.errors[i], line, sizeof(line)));
	assert_non_null(topology);
	return topology;
}

/* text with each occurrence of one piece exchanged. */
static const char *edited(struct simulator *sim, const char *text, const char *old, const char *new)
{
	const char *at = strstr(text, old);

	assert_non_null(at);
	return arena_printf(&sim->arena, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
}

static struct plan *plan_of(struct simulator *sim, const struct topology *topology)
{
	struct plan *plan = NULL;
	struct error err = {0};

	sim->record.fabric = topology->name;
	if (plan_build(topology, simulator_observe(sim, topology), &sim->record, &sim->arena, &plan,
		       &err))
		fail_msg("%s", err.message);
	return plan;
}

static void assert_empty(struct simulator *sim, const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		print_error("%s\n", plan_describe(&plan->operations[i], &sim->arena));
	assert_int_equal(plan->count, 0);
}

static struct plan *converge(struct simulator *sim, const char *text)
{
	struct topology *topology = parse(sim, text);
	struct plan *plan = plan_of(sim, topology);

	simulator_run(sim, plan);
	assert_empty(sim, plan_of(sim, topology));
	return plan;
}

static struct plan *removal_of(struct simulator *sim)
{
	struct plan *plan = NULL;
	struct error err = {0};

	sim->record.fabric = "lab";
	assert_int_equal(
		plan_removal(&sim->record, simulator_observe(sim, NULL), &sim->arena, &plan, &err),
		0);
	return plan;
}

static void assert_as_found(struct simulator *sim)
{
	const struct state_link *eth0 = simulator_link(sim, NULL, "eth0");

	assert_int_equal(sim->spaces_count, 1);
	assert_int_equal(sim->spaces[0].links_count, 2);
	assert_int_equal(sim->spaces[0].addresses_count, 1);
	assert_int_equal(sim->spaces[0].routes_count, 1);
	assert_int_equal(sim->spaces[0].neighbours_count, 0);
	assert_false(eth0->clsact || eth0->hook_in || eth0->hook_out);
	assert_string_equal(simulator_sysctl(sim, "net/ipv4/conf/eth0/forwarding"), "0");
	assert_string_equal(simulator_sysctl(sim, "net/ipv6/conf/all/forwarding"), "0");
	assert_string_equal(simulator_sysctl(sim, "net/ipv6/conf/eth0/accept_ra"), "1");
	assert_false(sim->datapath.loaded);
}

static const struct operation *find(const struct plan *plan, enum operation_kind kind)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->operations[i].kind == kind)
			return &plan->operations[i];
	return NULL;
}

static size_t count_kind(const struct plan *plan, enum operation_kind kind)
{
	size_t count = 0;

	for (size_t i = 0; i < plan->count; i++)
		count += plan->operations[i].kind == kind;
	return count;
}

/* ---- From nothing. */

static void test_text_from_nothing(void **state)
{
	static const char *const expected[] = {
		"+ datapath: BPF programs and tables",
		"+ uplink eth0: masquerade as 198.51.100.1, ports 1024-65535",
		"+ masquerade 192.168.15.0/24 to eth0",
		"~ sysctl net/ipv4/conf/eth0/forwarding = 1 (was 0): replies come in by eth0 and are "
		"forwarded",
		"+ bridge v-net-0",
		"+ inner interface v-net-0",
		"+ address 192.168.15.1/24 on v-net-0",
		"~ interface v-net-0: mark as ours, up",
		"~ sysctl net/ipv4/conf/v-net-0/forwarding = 1: the gateway forwards",
		"+ namespace red",
		"~ interface lo in red: mark as ours, up",
		"+ veth HOST to eth0 in red",
		"+ port HOST: policy with spoof check, fast path, masquerade to eth0",
		"+ host 02:00:00:00:00:0b behind HOST",
		"+ host 192.168.15.11 behind HOST",
		"~ interface HOST: mark as ours, port of v-net-0, no automatic IPv6 address, up",
		"+ forwarding entry 02:00:00:00:00:0b on HOST",
		"+ neighbour 192.168.15.11 at 02:00:00:00:00:0b on v-net-0",
		"+ address 192.168.15.11/24 on eth0 in red",
		"~ interface eth0 in red: mark as ours, up",
		"+ neighbour 192.168.15.1 at BRIDGE on eth0 in red",
		"+ route default via 192.168.15.1 on eth0 in red",
	};
	struct simulator *sim = *state;
	struct topology *topology = parse(
		sim, HEAD "networks:\n  v-net-0: {subnets: [192.168.15.0/24], masquerade: eth0}\n"
			  "namespaces:\n  red:\n    interfaces:\n      eth0: {network: v-net-0, "
			  "addresses: [192.168.15.11/24], mac: \"02:00:00:00:00:0b\"}\n");
	const char *host = topology->namespaces[0].interfaces[0].host_name;
	struct plan *plan = plan_of(sim, topology);
	char bridge[MAC_TEXT_MAX];

	mac_format(topology->networks[0].mac, bridge);
	assert_int_equal(plan->count, sizeof(expected) / sizeof(*expected));
	for (size_t i = 0; i < plan->count; i++) {
		const char *line = expected[i];

		if (strstr(line, "HOST"))
			line = edited(sim, line, "HOST", host);
		if (strstr(line, "BRIDGE"))
			line = edited(sim, line, "BRIDGE", bridge);
		assert_string_equal(plan_describe(&plan->operations[i], &sim->arena), line);
	}
}

static void test_applied_twice(void **state)
{
	converge(*state, fabric);
	converge(*state, fabric);
}

static void test_kernel_datapath(void **state)
{
	const char *text =
		edited(*state, fabric, "networks:", "defaults: {datapath: kernel}\nnetworks:");
	const struct operation *port = find(converge(*state, text), OPERATION_PORT_ADD);

	assert_int_equal(port->port_flags & NSR_PORT_FAST, 0);
	assert_true(port->port_flags & NSR_PORT_SPOOF_CHECK);
}

static void test_sources_of_routes(void **state)
{
	const struct plan *plan = converge(*state, fabric);
	size_t routed = 0;

	for (size_t i = 0; i < plan->count; i++) {
		const struct operation *op = &plan->operations[i];

		if (op->kind != OPERATION_PORT_ADD || !op->sources_count)
			continue;
		assert_int_equal(op->sources_count, 1);
		assert_int_equal(op->sources[0].prefix_len, 16); /* 10.99.0.0/16 is behind blue */
		assert_int_equal(op->address.bytes[3], 12);
		routed++;
	}
	assert_int_equal(routed, 1);
}

/* ---- Taking back. */

static void test_inverse_of_inverse(void **state)
{
	struct simulator *sim = *state;
	struct plan *plan = plan_of(sim, parse(sim, fabric));
	struct operation once, twice;

	for (size_t i = 0; i < plan->count; i++) {
		const struct operation *op = &plan->operations[i];

		if (!plan_inverse(op, &once)) {
			assert_true(op->kind == OPERATION_LINK_SET || !op->old_value);
			continue;
		}
		if (once.kind == OPERATION_LINK_DELETE || once.kind == OPERATION_NETNS_DELETE ||
		    once.kind == OPERATION_DATAPATH_UNLOAD)
			continue;
		assert_true(plan_inverse(&once, &twice));
		assert_memory_equal(&twice, op, sizeof(twice));
	}
}

static void undo(struct simulator *sim, const struct plan *plan, size_t done)
{
	struct operation inverse;

	for (size_t i = done; i > 0; i--)
		if (plan_inverse(&plan->operations[i - 1], &inverse))
			simulator_execute(sim, &inverse);
}

static void test_undone_at_any_point(void **state)
{
	struct simulator *sim = *state;
	struct plan *plan = plan_of(sim, parse(sim, fabric));

	for (size_t done = 0; done <= plan->count; done++) {
		for (size_t i = 0; i < done; i++)
			simulator_execute(sim, &plan->operations[i]);
		undo(sim, plan, done);
		assert_as_found(sim);
		assert_int_equal(sim->record.count, 0);
	}
}

static void test_edit_undone(void **state)
{
	struct simulator *sim = *state;
	const char *text = edited(sim, fabric, "networks:", "defaults: {mtu: 9000}\nnetworks:");
	struct topology *after;
	struct plan *plan;

	text = edited(sim, text, "192.168.15.12/24", "192.168.15.13/24");
	text = edited(sim, text, "via: 192.168.15.12", "via: 192.168.15.13");
	converge(sim, fabric);
	after = parse(sim, text);
	plan = plan_of(sim, after);
	assert_true(plan->count > 0);
	simulator_run(sim, plan);
	undo(sim, plan, plan->count);
	assert_empty(sim, plan_of(sim, parse(sim, fabric)));
}

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
	simulator_link(sim, NULL, "eth0")->hook_out = false;
	assert_int_equal(converge(sim, fabric)->count, 1);
	memset(&sim->datapath, 0, sizeof(sim->datapath));
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

/* What processes in a namespace set up is theirs. */
static void test_leaves_others_alone(void **state)
{
	struct simulator *sim = *state;
	struct state_namespace *red;

	converge(sim, fabric);
	red = simulator_space(sim, "red");
	red->routes[0].protocol = 3; /* boot: "ip route add" */
	red->routes[0].to = (struct ip_address){AF_INET, 8, {11}};
	simulator_add_link(sim, "red", "tun0", "tun");
	converge(sim, fabric);
	assert_non_null(simulator_link(sim, "red", "tun0"));
}

/* ---- Refusals. */

static void assert_refused(struct simulator *sim, const char *text, int code, const char *words)
{
	struct topology *topology = parse(sim, text);
	struct plan *plan = NULL;
	struct error err = {0};

	assert_int_equal(plan_build(topology, simulator_observe(sim, topology), &sim->record,
				    &sim->arena, &plan, &err),
			 code);
	assert_null(plan);
	assert_string_equal(err.file, "lab.yaml");
	assert_true(err.at.line > 0);
	if (!strstr(err.message, words))
		fail_msg("\"%s\" does not say \"%s\"", err.message, words);
}

static void test_foreign_names(void **state)
{
	struct simulator *sim = *state;
	struct state_link *link = simulator_add_link(sim, NULL, "v-net-0", "bridge");

	assert_refused(sim, fabric, -EEXIST, "ip link delete v-net-0");
	strcpy(link->alias, "nsroute:other");
	assert_refused(sim, fabric, -EEXIST, "belongs to fabric 'other'");
	strcpy(link->alias, "nsroute:lab");
	assert_refused(sim, fabric, -EEXIST, "no record");
	simulator_delete_link(sim, NULL, "v-net-0");
	simulator_execute(sim,
			  &(struct operation){.kind = OPERATION_NETNS_ADD, .namespace = "blue"});
	sim->record.count = 0;
	assert_refused(sim, fabric, -EEXIST, "ip netns delete blue");
}

static void test_name_taken_after_ours_went(void **state)
{
	struct simulator *sim = *state;

	converge(sim, fabric);
	simulator_delete_link(sim, NULL, "v-net-0");
	simulator_add_link(sim, NULL, "v-net-0", "bridge");
	assert_refused(sim, fabric, -EEXIST, "v-net-0");
	simulator_run(sim, removal_of(sim));
	assert_non_null(simulator_link(sim, NULL, "v-net-0"));
}

static void test_uplink_refusals(void **state)
{
	struct simulator *sim = *state;

	assert_refused(sim, edited(sim, fabric, "masquerade: eth0", "masquerade: eth9"), -ENODEV,
		       "no such interface");
	simulator_space(sim, NULL)->addresses_count = 0;
	assert_refused(sim, fabric, -EADDRNOTAVAIL, "no IPv4 address");
	simulator_space(sim, NULL)->routes_count = 0;
	assert_refused(sim, edited(sim, fabric, "masquerade: eth0", "masquerade: auto"), -ENODEV,
		       "no default route");
}

static void test_uplink_auto(void **state)
{
	const char *text = edited(*state, fabric, "masquerade: eth0", "masquerade: auto");

	assert_string_equal(find(converge(*state, text), OPERATION_UPLINK_ADD)->link, "eth0");
}

/* ---- Other fabrics of the host. */

/* Puts the record of what is there aside as another fabric's. */
static void becomes_other(struct simulator *sim, const char *name)
{
	struct record *other = arena_alloc(&sim->arena, sizeof(*other));

	*other = sim->record;
	other->fabric = name;
	memset(&sim->record, 0, sizeof(sim->record));
	sim->others[sim->others_count++] = other;
}

static void test_shared_with_another_fabric(void **state)
{
	static const char second[] =
		"version: 1\nname: two\n"
		"networks:\n  w-net: {subnets: [10.7.0.0/24], masquerade: eth0}\n"
		"namespaces:\n  pink:\n    interfaces:\n      eth0: {network: w-net}\n";
	struct simulator *sim = *state;
	struct record mine;

	converge(sim, fabric);
	becomes_other(sim, "lab");
	converge(sim, second);
	assert_true(record_has(&sim->record, RECORD_CLSACT, "eth0"));
	assert_string_equal(record_find(&sim->record, RECORD_NETWORK, "w-net")->value, "3");

	/* The first goes: uplink, sysctl and datapath stay for the second. */
	mine = sim->record;
	sim->record = *sim->others[0];
	*sim->others[0] = mine;
	simulator_run(sim, removal_of(sim));
	assert_true(simulator_link(sim, NULL, "eth0")->hook_out);
	assert_string_equal(simulator_sysctl(sim, "net/ipv4/conf/eth0/forwarding"), "1");

	/* The last one takes all of it away. */
	sim->record = mine;
	sim->record.fabric = "two";
	sim->others_count = 0;
	assert_empty(sim, plan_of(sim, parse(sim, second)));
	sim->record.fabric = "two";
	{
		struct plan *plan;
		struct error err;

		plan_removal(&sim->record, simulator_observe(sim, NULL), &sim->arena, &plan, &err);
		simulator_run(sim, plan);
	}
	assert_as_found(sim);
}

static void test_address_of_another_fabric(void **state)
{
	struct simulator *sim = *state;
	const char *text = edited(sim, fabric, "v-net-0: {", "x-net-0: {");

	converge(sim, fabric);
	becomes_other(sim, "other");
	for (size_t i = 0; i < 2; i++)
		text = edited(sim, text, "network: v-net-0", "network: x-net-0");
	text = edited(sim, text, "v-net-1: {", "x-net-1: {");
	text = edited(sim, text, "network: v-net-1", "network: x-net-1");
	text = edited(sim, text, "  red:", "  red2:");
	text = edited(sim, text, "  blue:", "  blue2:");
	text = edited(sim, text, "  green:", "  green2:");
	text = edited(sim, text, strstr(text, "links:"), "");
	text = edited(sim, text, ", masquerade: eth0", "");
	text = edited(sim, text, "name: lab", "name: two");
	assert_refused(sim, text, -EEXIST, "used by another fabric");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_text_from_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_applied_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kernel_datapath, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sources_of_routes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inverse_of_inverse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_undone_at_any_point, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edit_undone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_then_applied, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_then_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_before_the_alias, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deleted_by_hand, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tables_emptied, setup, teardown),
		cmocka_unit_test_setup_teardown(test_link_set_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_qdisc_stops_the_fast_path, setup, teardown),
		cmocka_unit_test_setup_teardown(test_uplink_address_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edited, setup, teardown),
		cmocka_unit_test_setup_teardown(test_destruction_comes_last, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaves_others_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_name_taken_after_ours_went, setup, teardown),
		cmocka_unit_test_setup_teardown(test_uplink_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_uplink_auto, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_with_another_fabric, setup, teardown),
		cmocka_unit_test_setup_teardown(test_address_of_another_fabric, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
