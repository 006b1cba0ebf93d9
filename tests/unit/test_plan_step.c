/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Single steps on the simulated kernel: what they make, whose it is, what they refuse, and how a
 * fabric takes it over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>
#include <linux/if.h>

#include "plan_step.h"
#include "planning.h"

#define WORDS_MAX 24

static const char cable[] = HEAD "namespaces:\n  red: {}\n  blue: {}\nlinks:\n"
				 "  - endpoints: [\"red:p0\", \"blue:p0\"]\n"
				 "    addresses: [10.0.0.1/24, 10.0.0.2/24]\n";

/* ---- Steps. */

static int plan_words(struct simulator *sim, enum step_object object, const char *text,
		      struct plan **ret, struct error *err)
{
	char *rest = arena_strdup(&sim->arena, text), *word;
	char **words = arena_alloc(&sim->arena, WORDS_MAX * sizeof(*words));
	struct step *step = arena_alloc(&sim->arena, sizeof(*step));
	const char *const *names;
	size_t names_count;
	int count = 0;

	while ((word = strsep(&rest, " ")))
		words[count++] = word;
	if (step_parse(object, NULL, count, words, step, err))
		fail_msg("%s", err->message);
	if (!step->link.has_mac)
		mac_derive(step->link.mac, "test", text, "1");
	mac_derive(step->peer.mac, "test", text, "2");
	plan_step_needs(step, &sim->arena, &names, &names_count);
	return plan_step(step, simulator_observe_named(sim, names, names_count), &sim->steps,
			 &sim->arena, ret, err);
}

static struct plan *step(struct simulator *sim, enum step_object object, const char *text)
{
	struct error err = {0};
	struct plan *plan = NULL;

	if (plan_words(sim, object, text, &plan, &err))
		fail_msg("%s", err.message);
	sim->by_hand = true;
	simulator_run(sim, plan);
	sim->by_hand = false;
	return plan;
}

static void refused(struct simulator *sim, enum step_object object, const char *text, int code,
		    const char *words)
{
	struct plan *plan = NULL;
	struct error err = {0};

	assert_int_equal(plan_words(sim, object, text, &plan, &err), code);
	assert_null(plan);
	if (!strstr(err.message, words))
		fail_msg("\"%s\" does not say \"%s\"", err.message, words);
}

/* Two namespaces and a cable, as the tutorials make it. */
static void make_cable(struct simulator *sim)
{
	step(sim, STEP_NETNS, "add red blue");
	step(sim, STEP_LINK, "add p0 netns red type veth peer name p0 netns blue");
	step(sim, STEP_ADDRESS, "add 10.0.0.1/24 dev p0 netns red");
	step(sim, STEP_ADDRESS, "add 10.0.0.2/24 dev p0 netns blue");
}

/* Of single steps, or of what is gone. */
static struct plan *forget_all(struct simulator *sim)
{
	struct plan *plan = NULL;
	struct error err;

	sim->steps.fabric = RECORD_STEPS;
	{
		const char *const *names;
		size_t count;

		plan_needs_namespaces(NULL, &sim->steps, &sim->arena, &names, &count);
		assert_int_equal(plan_removal(&sim->steps,
					      simulator_observe_named(sim, names, count),
					      &sim->arena, &plan, &err),
				 0);
	}
	sim->by_hand = true;
	simulator_run(sim, plan);
	sim->by_hand = false;
	return plan;
}

/* ---- What is made and recorded. */

static void test_recorded(void **state)
{
	struct simulator *sim = *state;

	make_cable(sim);
	assert_true(record_has(&sim->steps, RECORD_NETNS, "red"));
	assert_true(record_has(&sim->steps, RECORD_LINK_INSIDE, "red/p0"));
	assert_true(record_has(&sim->steps, RECORD_LINK_INSIDE, "blue/p0"));
	assert_string_equal(simulator_link(sim, "red", "p0")->alias, "nsroute:" RECORD_STEPS);
	assert_false(simulator_link(sim, "red", "lo")->flags & IFF_UP);
	step(sim, STEP_BRIDGE, "add br0");
	assert_true(record_has(&sim->steps, RECORD_LINK, "br0"));
	assert_false(record_has(&sim->steps, RECORD_NETWORK, "br0"));
	forget_all(sim);
	assert_as_found(sim);
}

static void test_moved(void **state)
{
	struct simulator *sim = *state;

	step(sim, STEP_NETNS, "add red");
	step(sim, STEP_LINK, "add veth-red type veth peer name veth-br");
	step(sim, STEP_LINK, "set veth-red netns red up");
	assert_false(record_has(&sim->steps, RECORD_LINK, "veth-red"));
	assert_true(record_has(&sim->steps, RECORD_LINK_INSIDE, "red/veth-red"));
	assert_true(simulator_link(sim, "red", "veth-red")->flags & IFF_UP);
	step(sim, STEP_LINK, "del veth-br");
	assert_null(simulator_link(sim, "red", "veth-red"));
}

/* A link in a namespace of ip's goes with down, the namespace stays. */
static void test_in_a_foreign_namespace(void **state)
{
	struct simulator *sim = *state;

	sim->by_hand = true;
	simulator_execute(sim,
			  &(struct operation){.kind = OPERATION_NETNS_ADD, .namespace = "red"});
	sim->by_hand = false;
	sim->steps.count = 0;
	simulator_link(sim, "red", "lo")->alias[0] = '\0';
	step(sim, STEP_LINK, "add veth0 type veth peer name p0 netns red");
	forget_all(sim);
	assert_null(simulator_link(sim, NULL, "veth0"));
	assert_non_null(simulator_space(sim, "red"));
	step(sim, STEP_NETNS, "del red");
	assert_null(simulator_space(sim, "red"));
}

static void test_prune(void **state)
{
	struct simulator *sim = *state;
	const char *const *names;
	struct plan *plan;
	size_t count;

	make_cable(sim);
	simulator_delete_link(sim, "red", "p0");
	plan_needs_namespaces(NULL, &sim->steps, &sim->arena, &names, &count);
	plan = plan_prune(&sim->steps, simulator_observe_named(sim, names, count), &sim->arena);
	assert_int_equal(plan->count, 2);
	assert_int_equal(count_kind(plan, OPERATION_FORGET), 2);
	assert_int_equal(plan->operations[0].record, RECORD_LINK_INSIDE);
}

/* ---- Refusals. */

static void test_refusals(void **state)
{
	struct simulator *sim = *state;

	converge(sim, fabric);
	memcpy(&sim->others[sim->others_count++], &sim->record, sizeof(sim->record));
	refused(sim, STEP_NETNS, "add red", -EEXIST, "File exists");
	refused(sim, STEP_NETNS, "del red", -EPERM, "belongs to fabric 'lab'");
	refused(sim, STEP_NETNS, "adopt red", -EPERM, "nsroute down lab");
	refused(sim, STEP_NETNS, "del none", -ENOENT, "nsroute netns list");
	refused(sim, STEP_LINK, "del v-net-0", -EPERM, "belongs to fabric 'lab'");
	refused(sim, STEP_LINK, "set v-net-0 down", -EPERM, "change its file");
	refused(sim, STEP_ADDRESS, "add 10.0.0.1/24 dev eth0 netns red", -EPERM, "'lab'");
	refused(sim, STEP_LINK, "del eth0", -EPERM, "ip link delete eth0");
	refused(sim, STEP_LINK, "set eth0 netns red", -EPERM, "not made by nsroute");
	refused(sim, STEP_LINK, "set eth9 up", -ENODEV, "No such device");
	refused(sim, STEP_LINK, "add eth0 type bridge", -EEXIST, "File exists");
	refused(sim, STEP_LINK, "add a type veth peer name b netns none", -ENOENT,
		"nsroute netns add none");
	refused(sim, STEP_BRIDGE, "del eth0", -EINVAL, "is no bridge");
	refused(sim, STEP_ADDRESS, "del 10.9.9.9/24 dev eth0", -EADDRNOTAVAIL, "list dev eth0");
	refused(sim, STEP_ROUTE, "del 10.0.0.0/8", -ESRCH, "there is none");
	refused(sim, STEP_ROUTE, "add 10.0.0.0/8 via 172.16.0.1", -ENETUNREACH,
		"no interface that is up");
	/* What a step adds to a fabric's namespace is the step's. */
	step(sim, STEP_LINK, "add extra type veth peer name extra netns red");
	refused(sim, STEP_LINK, "set extra master eth0", -EINVAL,
		"is no bridge: it can be nobody's master");
	step(sim, STEP_LINK, "set extra up");
	sim->others_count = 0;
	assert_empty(sim, plan_of(sim, parse(sim, fabric)));
}

/* ---- Taken over. */

static void test_adopted_cable(void **state)
{
	struct simulator *sim = *state;
	uint8_t mac[6];
	const struct plan *plan;

	make_cable(sim);
	step(sim, STEP_NETNS, "add other");
	memcpy(mac, simulator_link(sim, "red", "p0")->mac, 6);
	plan = converge(sim, cable);
	assert_int_equal(count_kind(plan, OPERATION_NETNS_ADD), 0);
	assert_int_equal(count_kind(plan, OPERATION_VETH_ADD), 0);
	assert_int_equal(count_kind(plan, OPERATION_LINK_DELETE), 0);
	assert_int_equal(count_kind(plan, OPERATION_ADDRESS_ADD), 0);
	assert_memory_equal(simulator_link(sim, "red", "p0")->mac, mac, 6);
	assert_string_equal(simulator_link(sim, "red", "p0")->alias, "nsroute:lab");
	assert_true(record_has(&sim->record, RECORD_NETNS, "red"));
	/* Single steps have the rest. */
	assert_int_equal(sim->steps.count, 1);
	assert_string_equal(sim->steps.entries[0].name, "other");
	simulator_run(sim, removal_of(sim));
	assert_non_null(simulator_space(sim, "other"));
	forget_all(sim);
	assert_as_found(sim);
}

/* Scenario 7, whose host ends have names of their own. */
static void test_adopted_bridge(void **state)
{
	static const char text[] =
		HEAD "networks:\n  v-net-0: {subnets: [10.0.0.0/24], gateway: none}\n"
		     "namespaces:\n  red: {interfaces: {veth-red: {network: v-net-0, addresses: "
		     "[10.0.0.1/24]}}}\n";
	struct simulator *sim = *state;
	const struct plan *plan;

	step(sim, STEP_NETNS, "add red");
	step(sim, STEP_BRIDGE, "add v-net-0");
	step(sim, STEP_LINK, "add veth-red type veth peer name veth-red-br");
	step(sim, STEP_LINK, "set veth-red netns red");
	step(sim, STEP_LINK, "set veth-red-br master v-net-0");
	step(sim, STEP_ADDRESS, "add 10.0.0.1/24 dev veth-red netns red");
	step(sim, STEP_LINK, "set v-net-0 up");
	plan = converge(sim, text);
	assert_int_equal(count_kind(plan, OPERATION_VETH_ADD), 0);
	assert_int_equal(count_kind(plan, OPERATION_BRIDGE_ADD), 0);
	assert_int_equal(count_kind(plan, OPERATION_LINK_DELETE), 0);
	assert_string_equal(find(plan, OPERATION_PORT_ADD)->link, "veth-red-br");
	assert_int_equal(sim->steps.count, 0);
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
}

/* Killed after any operation: what is there has one owner, and the next apply goes on. */
static void test_adoption_cut_anywhere(void **state)
{
	size_t count = 0;

	for (size_t done = 0; done <= count; done++) {
		struct simulator *sim = simulator_new();
		const struct plan *plan;

		make_cable(sim);
		plan = plan_of(sim, parse(sim, cable));
		count = plan->count;
		for (size_t i = 0; i < done; i++)
			simulator_execute(sim, &plan->operations[i]);
		if (done % 2) {
			converge(sim, cable);
			assert_int_equal(sim->steps.count, 0);
		}
		simulator_run(sim, removal_of(sim));
		sim->record.count = 0;
		forget_all(sim);
		assert_as_found(sim);
		simulator_free(sim);
	}
	(void)state;
}

static void test_adoption_undone(void **state)
{
	struct simulator *sim = *state;
	const struct plan *plan;
	struct operation inverse;
	size_t count;

	make_cable(sim);
	count = sim->steps.count;
	plan = plan_of(sim, parse(sim, cable));
	for (size_t done = 0; done <= plan->count; done++) {
		for (size_t i = 0; i < done; i++)
			simulator_execute(sim, &plan->operations[i]);
		for (size_t i = done; i > 0; i--)
			if (plan_inverse(&plan->operations[i - 1], &inverse))
				simulator_execute(sim, &inverse);
		assert_int_equal(sim->record.count, 0);
		assert_int_equal(sim->steps.count, count);
		assert_string_equal(simulator_link(sim, "red", "p0")->alias,
				    "nsroute:" RECORD_STEPS);
		assert_string_equal(simulator_link(sim, "red", "lo")->alias,
				    "nsroute:" RECORD_STEPS);
	}
	forget_all(sim);
	assert_as_found(sim);
}

static void test_adopt_foreign(void **state)
{
	struct simulator *sim = *state;
	struct topology *topology;
	struct plan *plan = NULL;
	struct error err = {0};

	make_cable(sim);
	sim->steps.count = 0; /* as if ip had made it */
	simulator_link(sim, "red", "lo")->alias[0] = '\0';
	simulator_link(sim, "red", "p0")->alias[0] = '\0';
	simulator_link(sim, "blue", "lo")->alias[0] = '\0';
	simulator_link(sim, "blue", "p0")->alias[0] = '\0';
	topology = parse(sim, cable);
	assert_int_equal(plan_build(topology, simulator_observe(sim, topology), &sim->record,
				    &sim->arena, &plan, &err),
			 -EEXIST);
	assert_non_null(strstr(err.message, "nsroute netns adopt"));
	step(sim, STEP_NETNS, "adopt red blue");
	plan = converge(sim, cable);
	assert_int_equal(count_kind(plan, OPERATION_VETH_ADD), 0);
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_recorded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moved, setup, teardown),
		cmocka_unit_test_setup_teardown(test_in_a_foreign_namespace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_prune, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adopted_cable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adopted_bridge, setup, teardown),
		cmocka_unit_test(test_adoption_cut_anywhere),
		cmocka_unit_test_setup_teardown(test_adoption_undone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adopt_foreign, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
