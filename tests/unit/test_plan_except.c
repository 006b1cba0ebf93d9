/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Destinations that a masquerade excepts: what becomes of the file's in a plan, and what there is
 * room for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>

#include "planning.h"

static const char *with(struct simulator *sim, const char *except)
{
	char words[256] = "masquerade: {uplink: eth0, except: [";

	strcat(strcat(words, except), "]}");
	return edited(sim, fabric, "masquerade: eth0", words);
}

static void expect(struct simulator *sim, const char *text, const char *words)
{
	const struct plan *plan = converge(sim, text);

	assert_int_equal(plan->count, 1);
	assert_string_equal(plan_describe(&plan->operations[0], &sim->arena), words);
}

/* Only what differs, whatever the order in the file; an IPv4 subnet takes those of its family. */
static void test_differences(void **state)
{
	struct simulator *sim = *state;

	converge(sim, fabric);
	expect(sim, with(sim, "172.16.0.0/12, 10.200.0.0/16, \"fd12::/16\""),
	       "~ masquerade 192.168.15.0/24 to eth0, except 10.200.0.0/16, 172.16.0.0/12");
	assert_int_equal(
		converge(sim, with(sim, "10.200.0.0/16, \"fd13::/16\", 172.16.0.0/12"))->count, 0);
	expect(sim, with(sim, "10.200.0.0/17, 172.16.0.0/12"),
	       "~ masquerade 192.168.15.0/24 to eth0, except 10.200.0.0/17, no more except "
	       "10.200.0.0/16");
	expect(sim, fabric,
	       "~ masquerade 192.168.15.0/24 to eth0, no more except 10.200.0.0/17, 172.16.0.0/12");
}

/* A change that was cut short: entries that the prefix does not count, or that are not there. */
static void test_cut_short(void **state)
{
	struct simulator *sim = *state;
	const char *text = with(sim, "10.200.0.0/16, 172.16.0.0/12");
	struct state_inside *inside;

	converge(sim, text);
	inside = &sim->datapath.inside[0];
	assert_int_equal(inside->except_count, 2);
	inside->inside.except = 0;
	assert_int_equal(converge(sim, text)->count, 1);
	inside = &sim->datapath.inside[0];
	assert_int_equal(inside->inside.except, 2);
	inside->except_count = 1;
	assert_int_equal(converge(sim, text)->count, 1);
	assert_int_equal(converge(sim, text)->count, 0);
}

/* What others have of the table counts. */
static void test_room(void **state)
{
	struct simulator *sim = *state;
	struct state_inside *other;
	struct topology *topology = parse(sim, with(sim, "10.200.0.0/16, 172.16.0.0/12"));
	struct plan *plan;
	struct error err = {0};

	converge(sim, with(sim, "10.200.0.0/16"));
	other = arena_push(&sim->arena, sim->datapath.inside, sim->datapath.inside_count);
	*other = (struct state_inside){.prefix = {AF_INET, 24, {13}}, .inside = NSR_INSIDE_DEFAULT};
	other->inside.slot = 9;
	while (other->except_count < NSR_EXCEPTIONS_MAX - 2)
		*arena_push(&sim->arena, other->except, other->except_count) =
			(struct ip_address){AF_INET, 32, {14}};
	assert_int_equal(plan_build(topology, simulator_observe(sim, topology), &sim->record,
				    &sim->arena, &plan, &err),
			 0);
	*arena_push(&sim->arena, other->except, other->except_count) =
		(struct ip_address){AF_INET, 32, {14}};
	assert_int_equal(plan_build(topology, simulator_observe(sim, topology), &sim->record,
				    &sim->arena, &plan, &err),
			 -ENOSPC);
	assert_non_null(strstr(err.message, "4096 destinations that are not translated"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_differences, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cut_short, setup, teardown),
		cmocka_unit_test_setup_teardown(test_room, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
