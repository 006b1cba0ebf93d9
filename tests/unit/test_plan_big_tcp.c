/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sizes of TCP's packets: when links get larger ones, on which kernels, and how they lose them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <sys/socket.h>

#include "planning.h"

#define BIG   185000
#define SMALL 65536

static const char plain[] = HEAD "networks:\n"
				 "  v-net-0: {subnets: [192.168.15.0/24, \"fd00::/64\"]}\n"
				 "  v-net-1: {type: routed, subnets: [10.1.0.0/24]}\n"
				 "namespaces:\n"
				 "  red: {interfaces: {eth0: {network: v-net-0}}}\n"
				 "  green: {interfaces: {eth0: {network: v-net-1}}}\n"
				 "links:\n"
				 "  - {endpoints: [\"red:p0\", \"green:p0\"]}\n";

static void assert_sizes(const struct state_link *link, uint32_t ipv4, uint32_t ipv6)
{
	assert_non_null(link);
	assert_int_equal(link->sizes[STATE_GSO], ipv6);
	assert_int_equal(link->sizes[STATE_GRO], ipv6);
	assert_int_equal(link->sizes[STATE_GSO_IPV4], ipv4);
	assert_int_equal(link->sizes[STATE_GRO_IPV4], ipv4);
}

/* Every link of the text above, and what the datapath was told of its hosts. */
static void assert_all(struct simulator *sim, uint32_t ipv4, uint32_t ipv6)
{
	static const char *const names[][2] = {
		{NULL, "v-net-0"}, {NULL, "red-eth0"}, {"red", "eth0"}, {NULL, "green-eth0"},
		{"green", "eth0"}, {"red", "p0"},      {"green", "p0"}};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_sizes(simulator_link(sim, names[i][0], names[i][1]), ipv4, ipv6);
	for (size_t i = 0; i < sim->datapath.endpoints_count; i++) {
		const struct state_endpoint *endpoint = &sim->datapath.endpoints[i];
		uint32_t size = endpoint->ip.family == AF_INET    ? ipv4
				: endpoint->ip.family == AF_INET6 ? ipv6
				: ipv4 > ipv6                     ? ipv4
								  : ipv6;

		assert_int_equal(endpoint->endpoint.flags & NSR_PORT_BIG_TCP,
				 size > SMALL ? NSR_PORT_BIG_TCP : 0);
	}
}

static const char *with_word(struct simulator *sim, const char *word)
{
	const char *text = edited(sim, plain, "fd00::/64\"]", "fd00::/64\"], big_tcp: ");

	text = edited(sim, text, "big_tcp: ", arena_printf(&sim->arena, "big_tcp: %s", word));
	return edited(sim, text, "10.1.0.0/24]",
		      arena_printf(&sim->arena, "10.1.0.0/24], big_tcp: %s", word));
}

static void test_words(void **state)
{
	struct simulator *sim = *state;

	converge(sim, plain);
	assert_all(sim, BIG, SMALL);
	converge(sim, with_word(sim, "on"));
	assert_all(sim, BIG, BIG);
	converge(sim, with_word(sim, "off"));
	assert_all(sim, SMALL, SMALL);
	converge(sim, with_word(sim, "on"));
	converge(sim, with_word(sim, "auto"));
	assert_all(sim, BIG, SMALL);
	assert_empty(sim, plan_of(sim, parse(sim, plain)));
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
}

/* What somebody changed by hand is as the file says again, and nothing else is touched. */
static void test_repaired(void **state)
{
	struct simulator *sim = *state;
	struct plan *plan;

	converge(sim, plain);
	simulator_link(sim, "red", "eth0")->sizes[STATE_GRO] = 32768;
	plan = converge(sim, plain);
	assert_int_equal(plan->count, 1);
	assert_string_equal(plan_describe(&plan->operations[0], &sim->arena),
			    "~ interface eth0 in red: TCP packets to 185000 bytes (IPv4) and 65536 "
			    "(IPv6)");
	assert_all(sim, BIG, SMALL);
}

/* One part of the fabric that would cut them up is enough. */
static void test_all_or_none(void **state)
{
	struct simulator *sim = *state;
	const char *masqueraded =
		edited(sim, plain, "10.1.0.0/24]", "10.1.0.0/24], masquerade: eth0");

	converge(sim, edited(sim, plain, "10.1.0.0/24]", "10.1.0.0/24], big_tcp: off"));
	assert_all(sim, SMALL, SMALL);
	converge(sim, masqueraded);
	assert_all(sim, SMALL, SMALL);
	simulator_link(sim, NULL, "eth0")->sizes[STATE_GSO_IPV4] = BIG;
	converge(sim, masqueraded);
	assert_all(sim, BIG, SMALL);
	simulator_link(sim, NULL, "eth0")->sizes[STATE_GSO_IPV4] = BIG - 1;
	converge(sim, masqueraded);
	assert_all(sim, SMALL, SMALL);
	converge(sim,
		 edited(sim, masqueraded, "masquerade: eth0", "masquerade: eth0, big_tcp: on"));
	assert_sizes(simulator_link(sim, "green", "eth0"), BIG, BIG);
	assert_sizes(simulator_link(sim, "red", "eth0"), SMALL, SMALL);
	assert_sizes(simulator_link(sim, "red", "p0"), SMALL, SMALL);
	/* The host's own is left alone. */
	assert_int_equal(simulator_link(sim, NULL, "eth0")->sizes[STATE_GSO_IPV4], BIG - 1);
}

static void forget_sizes(struct simulator *sim, enum state_size from)
{
	for (size_t i = 0; i < sim->spaces_count; i++)
		for (size_t j = 0; j < sim->spaces[i].links_count; j++)
			for (size_t k = from; k < STATE_SIZES; k++)
				sim->spaces[i].links[j].sizes[k] = 0;
}

/* A kernel that has no sizes for IPv4 is not asked for any; there "auto" changes nothing. */
static void test_older_kernel(void **state)
{
	struct simulator *sim = *state;

	sim->no_ipv4_sizes = true;
	forget_sizes(sim, STATE_GSO_IPV4);
	converge(sim, plain);
	assert_all(sim, 0, SMALL);
	converge(sim, with_word(sim, "on"));
	assert_all(sim, 0, BIG);
	converge(sim, plain);
	assert_all(sim, 0, SMALL);
}

/* Another's port on our bridge may take less: then the bridge stays as it is. */
static void test_other_port(void **state)
{
	struct simulator *sim = *state;
	struct state_link *tap;

	converge(sim, with_word(sim, "off"));
	tap = simulator_add_link(sim, NULL, "tap0", "");
	tap->master = simulator_link(sim, NULL, "v-net-0")->ifindex;
	converge(sim, plain);
	assert_sizes(simulator_link(sim, NULL, "v-net-0"), SMALL, SMALL);
	assert_sizes(simulator_link(sim, NULL, "red-eth0"), BIG, SMALL);
}

/* Whatever of a change has been done, taking it back leaves the sizes that were. */
static void test_undone(void **state)
{
	struct simulator *sim = *state;
	struct plan *plan;
	struct operation inverse;

	converge(sim, with_word(sim, "off"));
	plan = plan_of(sim, parse(sim, with_word(sim, "on")));
	assert_true(plan->count > 7);
	for (size_t done = 0; done <= plan->count; done++) {
		for (size_t i = 0; i < done; i++)
			simulator_execute(sim, &plan->operations[i]);
		for (size_t i = done; i-- > 0;) {
			assert_true(plan_inverse(&plan->operations[i], &inverse));
			simulator_execute(sim, &inverse);
		}
		assert_all(sim, SMALL, SMALL);
		assert_empty(sim, plan_of(sim, parse(sim, with_word(sim, "off"))));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_words, setup, teardown),
		cmocka_unit_test_setup_teardown(test_repaired, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_or_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_older_kernel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_port, setup, teardown),
		cmocka_unit_test_setup_teardown(test_undone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
