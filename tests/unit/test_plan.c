/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Plans: what they say, that they can be taken back, and what they refuse.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "planning.h"

/* ---- From nothing. */

static void test_text_from_nothing(void **state)
{
	static const char *const expected[] = {
		"+ datapath: BPF programs and tables",
		("~ ports not handed out: 9001,40000 (were none): the host's "
		 "ip_local_reserved_ports"),
		"+ uplink eth0: masquerade as 198.51.100.1, ports 1024-65535",
		"+ masquerade 192.168.15.0/24 to eth0",
		("~ sysctl net/ipv4/conf/eth0/forwarding = 1 (was 0): replies come in by eth0 and "
		 "are forwarded"),
		"+ network v-net-0: bridge",
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

/* Once, and first: whatever is new gets the new programs. */
static void test_another_build(void **state)
{
	struct simulator *sim = *state;
	struct operation inverse;
	struct plan *plan;

	converge(sim, fabric);
	sim->datapath.other_build = true;
	plan = plan_of(sim, parse(sim, edited(sim, fabric, "links:\n", "  white: {}\nlinks:\n")));
	assert_true(plan->count > 1);
	assert_int_equal(plan->operations[0].kind, OPERATION_DATAPATH_EXCHANGE);
	assert_int_equal(count_kind(plan, OPERATION_DATAPATH_EXCHANGE), 1);
	assert_true(plan_inverse(&plan->operations[0], &inverse));
	assert_true(inverse.kind == OPERATION_DATAPATH_EXCHANGE && inverse.revert);
	plan = converge(sim, fabric);
	assert_int_equal(plan->count, 1);
	assert_string_equal(plan_describe(&plan->operations[0], &sim->arena),
			    "~ datapath: BPF programs of this nsroute: those of another build are "
			    "attached; flows go on");
	sim->datapath.other_build = true; /* what is removed is not exchanged before */
	assert_null(find(removal_of(sim), OPERATION_DATAPATH_EXCHANGE));
}

/* Programs are loaded when something needs them first: none before, and none again. */
static void test_more_programs(void **state)
{
	struct simulator *sim = *state;
	const char *plain = edited(sim, fabric, ", masquerade: eth0", "");
	struct operation inverse;
	struct plan *plan;
	uint32_t ifindex;

	plan = converge(sim, plain);
	assert_int_equal(plan->operations[0].kind, OPERATION_DATAPATH_LOAD);
	assert_int_equal(plan->operations[0].uses, USE_PORTS);
	plan = converge(sim, fabric);
	assert_string_equal(plan_describe(&plan->operations[0], &sim->arena),
			    "+ datapath: BPF programs for masquerading, Ethernet uplinks");
	assert_int_equal(plan->operations[0].uses, USE_NAT | USE_ETHERNET);
	assert_int_equal(count_kind(plan, OPERATION_PROGRAMS_ADD), 1);
	assert_true(plan_inverse(&plan->operations[0], &inverse));
	assert_int_equal(inverse.kind, OPERATION_PROGRAMS_REMOVE);
	assert_int_equal(inverse.uses, USE_NAT | USE_ETHERNET);
	converge(sim, plain);
	assert_int_equal(count_kind(converge(sim, fabric), OPERATION_PROGRAMS_ADD), 0);
	/* Some were lost: first of all they are loaded again, by whatever is asked for. */
	sim->datapath.lacks_programs = true;
	plan = converge(sim, fabric);
	assert_int_equal(plan->count, 1);
	assert_string_equal(plan_describe(&plan->operations[0], &sim->arena),
			    "+ datapath: BPF programs that were lost");
	sim->datapath.lacks_programs = true;
	assert_int_equal(plan_of(sim, parse(sim, plain))->operations[0].kind,
			 OPERATION_PROGRAMS_ADD);
	assert_int_equal(removal_of(sim)->operations[0].kind, OPERATION_PROGRAMS_ADD);
	sim->datapath.lacks_programs = false;
	assert_null(find(removal_of(sim), OPERATION_PROGRAMS_ADD));
	sim->datapath.uses = USE_PORTS; /* all of the uplink: what the tables need is missing */
	plan = plan_of(sim, parse(sim, plain));
	assert_int_equal(plan->operations[0].kind, OPERATION_PROGRAMS_ADD);
	assert_int_equal(plan->operations[0].uses, USE_NAT | USE_ETHERNET);
	assert_int_equal(removal_of(sim)->operations[0].uses, USE_NAT | USE_ETHERNET);
	/* Of an uplink that is lost they need none. */
	ifindex = sim->datapath.uplinks[0].uplink.ifindex;
	sim->datapath.uplinks[0].uplink.ifindex = 1000000;
	sim->datapath.uses = USE_PORTS | USE_NAT;
	assert_null(find(removal_of(sim), OPERATION_PROGRAMS_ADD));
	sim->datapath.uplinks[0].uplink.ifindex = ifindex;
	/* What is exchanged are as many as the file needs. */
	sim->datapath.uses = USE_PORTS;
	sim->datapath.other_build = true;
	plan = converge(sim, fabric);
	assert_int_equal(plan->count, 1);
	assert_int_equal(plan->operations[0].kind, OPERATION_DATAPATH_EXCHANGE);
	assert_int_equal(sim->datapath.uses, USE_PORTS | USE_NAT | USE_ETHERNET);
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

/* Told to the ports, their hosts, and the bridge that leads to them; in place. */
static void test_isolated(void **state)
{
	const char *text =
		edited(*state, fabric, "masquerade: eth0", "isolate: true, masquerade: eth0");
	const struct plan *plan = converge(*state, fabric);
	size_t isolated = 0;

	for (size_t i = 0; i < plan->count; i++)
		assert_int_equal(plan->operations[i].port_flags & NSR_PORT_ISOLATED, 0);
	plan = converge(*state, text);
	for (size_t i = 0; i < plan->count; i++) {
		const struct operation *op = &plan->operations[i];

		assert_non_null(op->replaces);
		assert_int_equal(op->network, op->replaces->network);
		assert_int_equal(op->port_flags, op->replaces->port_flags | NSR_PORT_ISOLATED);
		isolated += op->kind == OPERATION_INNER_LINK_ADD;
	}
	assert_int_equal(isolated, 1);
	converge(*state, fabric);
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

/* Where routers do not forward from or to an address, no table says that they do: it is a source of
 * its interface, and the next one is the first. */
static void test_link_local_address(void **state)
{
	const char *wider = edited(*state, fabric, "192.168.15.0/24]",
				   "192.168.15.0/24, \"fe80::/64\", \"fd00:15::/64\"]");
	const char *text = edited(*state, wider, "192.168.15.11/24]",
				  "\"fe80::99/64\", 192.168.15.11/24, \"fd00:15::b/64\"]");
	const struct plan *plan = converge(*state, text);
	size_t sources = 0;

	for (size_t i = 0; i < plan->count; i++) {
		const struct operation *op = &plan->operations[i];

		if (op->kind == OPERATION_HOST_ADD)
			assert_false(ip_is_link_local(&op->address));
		if (op->kind != OPERATION_PORT_ADD || !op->address6.family)
			continue;
		assert_int_equal(op->address6.bytes[0], 0xfd);
		for (size_t j = 0; j < op->sources_count; j++)
			sources += ip_is_link_local(&op->sources[j]);
	}
	assert_int_equal(sources, 1);
	converge(*state, fabric);
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
		    once.kind == OPERATION_DATAPATH_UNLOAD || once.kind == OPERATION_FORGET)
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

static void test_namespace_taken_after_ours_went(void **state)
{
	struct simulator *sim = *state;

	converge(sim, fabric);
	simulator_delete_space(sim, "red");
	simulator_execute(sim,
			  &(struct operation){.kind = OPERATION_NETNS_ADD, .namespace = "red"});
	simulator_link(sim, "red", "lo")->alias[0] = '\0';
	assert_refused(sim, fabric, -EEXIST, "ip netns delete red");
	simulator_run(sim, removal_of(sim));
	assert_non_null(simulator_space(sim, "red"));
	assert_null(simulator_space(sim, "green"));
}

/* Killed right after making it, where the kernel puts tunnels of its own into each namespace. */
static void test_half_made_namespace(void **state)
{
	struct simulator *sim = *state;

	sim->record.fabric = "lab";
	simulator_execute(sim,
			  &(struct operation){.kind = OPERATION_NETNS_ADD, .namespace = "red"});
	simulator_add_link(sim, "red", "tunl0", "ipip");
	simulator_add_link(sim, "red", "sit0", "sit");
	converge(sim, fabric);
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
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
	struct record *other = &sim->others[sim->others_count++];

	*other = sim->record;
	other->fabric = name;
	memset(&sim->record, 0, sizeof(sim->record));
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
	sim->record = sim->others[0];
	sim->others[0] = mine;
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
		cmocka_unit_test_setup_teardown(test_another_build, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_programs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_applied_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kernel_datapath, setup, teardown),
		cmocka_unit_test_setup_teardown(test_isolated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sources_of_routes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_link_local_address, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inverse_of_inverse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_undone_at_any_point, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edit_undone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_name_taken_after_ours_went, setup, teardown),
		cmocka_unit_test_setup_teardown(test_namespace_taken_after_ours_went, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_half_made_namespace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_uplink_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_uplink_auto, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_with_another_fabric, setup, teardown),
		cmocka_unit_test_setup_teardown(test_address_of_another_fabric, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
