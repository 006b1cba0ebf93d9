/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a test's state is a simulator. Texts of topologies are edited rather than repeated.
 */
#include "planning.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "plan_reserve.h"
#include "topology_read.h"

const char fabric[] =
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

int setup(void **state)
{
	*state = simulator_new();
	return 0;
}

int teardown(void **state)
{
	simulator_free(*state);
	return 0;
}

struct topology *parse(struct simulator *sim, const char *text)
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

const char *edited(struct simulator *sim, const char *text, const char *old, const char *new)
{
	const char *at = strstr(text, old);

	assert_non_null(at);
	return arena_printf(&sim->arena, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
}

struct plan *plan_of(struct simulator *sim, struct topology *topology)
{
	struct plan *plan = NULL;
	struct error err = {0};

	sim->record.fabric = topology->name;
	if (plan_build(topology, simulator_observe(sim, topology), &sim->record, &sim->arena, &plan,
		       &err))
		fail_msg("%s", err.message);
	return plan;
}

void assert_empty(struct simulator *sim, const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		print_error("%s\n", plan_describe(&plan->operations[i], &sim->arena));
	assert_int_equal(plan->count, 0);
}

struct plan *converge(struct simulator *sim, const char *text)
{
	struct topology *topology = parse(sim, text);
	struct plan *plan = plan_of(sim, topology);

	simulator_run(sim, plan);
	assert_empty(sim, plan_of(sim, topology));
	return plan;
}

struct plan *removal_of(struct simulator *sim)
{
	struct plan *plan = NULL;
	struct error err = {0};

	sim->record.fabric = "lab";
	assert_int_equal(
		plan_removal(&sim->record, simulator_observe(sim, NULL), &sim->arena, &plan, &err),
		0);
	return plan;
}

void assert_as_found(struct simulator *sim)
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
	assert_string_equal(simulator_sysctl(sim, RESERVED_KEY), "9001,40000");
	assert_false(sim->datapath.loaded);
}

const struct operation *find(const struct plan *plan, enum operation_kind kind)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->operations[i].kind == kind)
			return &plan->operations[i];
	return NULL;
}

size_t count_kind(const struct plan *plan, enum operation_kind kind)
{
	size_t count = 0;

	for (size_t i = 0; i < plan->count; i++)
		count += plan->operations[i].kind == kind;
	return count;
}
