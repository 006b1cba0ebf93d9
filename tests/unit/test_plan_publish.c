/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Published ports in plans: they come, move and go, wherever the plan starts from.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "planning.h"

static const char *published(struct simulator *sim)
{
	return edited(sim, fabric, "  blue:\n",
		      "  blue:\n    publish: [\"8080:80/tcp\", \"9000-9009:7000-7009/udp\"]\n");
}

static void test_published_killed(void **state)
{
	struct simulator *sim = *state;
	size_t count = plan_of(sim, parse(sim, published(sim)))->count;

	for (size_t done = 0; done <= count; done++) {
		struct plan *plan = plan_of(sim, parse(sim, published(sim)));

		for (size_t i = 0; i < done; i++)
			simulator_execute(sim, &plan->operations[i]);
		if (done % 2)
			converge(sim, published(sim));
		simulator_run(sim, removal_of(sim));
		assert_as_found(sim);
		sim->record.count = 0;
	}
}

/* Ports that another namespace gets, and a range that has some of another's: the old go before the
 * new come (the simulator refuses a port that is there twice). */
static void test_published_moves(void **state)
{
	struct simulator *sim = *state;
	struct plan *plan;

	converge(sim, published(sim));
	plan = converge(sim, edited(sim, fabric, "  red:\n",
				    "  red:\n    publish: [\"9005-9019:7000-7014/udp\"]\n"));
	assert_int_equal(count_kind(plan, OPERATION_PUBLISH_DELETE), 2);
	assert_int_equal(count_kind(plan, OPERATION_PUBLISH_ADD), 1);
	assert_int_equal(plan->count, 3);
}

/* A process was killed between the entry and the last of its mappings. */
static void test_published_in_part(void **state)
{
	struct simulator *sim = *state;
	struct plan *plan;

	converge(sim, published(sim));
	sim->datapath.published[0].published.ready = 0;
	plan = converge(sim, published(sim));
	assert_int_equal(plan->count, 1);
	assert_int_equal(plan->operations[0].kind, OPERATION_PUBLISH_ADD);
}

static void test_published_on_an_address(void **state)
{
	struct simulator *sim = *state;
	const char *text = edited(sim, fabric, "  blue:\n",
				  "  blue:\n    publish: [\"203.0.113.77:8080:80/tcp\"]\n");
	struct topology *topology = parse(sim, text);
	struct error err = {0};
	struct plan *plan;

	sim->record.fabric = topology->name;
	assert_int_equal(plan_build(topology, simulator_observe(sim, topology), &sim->record,
				    &sim->arena, &plan, &err),
			 -EADDRNOTAVAIL);
	assert_non_null(strstr(err.message, "cannot be published on 203.0.113.77"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_published_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_published_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_published_in_part, setup, teardown),
		cmocka_unit_test_setup_teardown(test_published_on_an_address, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
