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
#include <linux/if_addr.h>
#include <sys/socket.h>

#include "plan_reserve.h"
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
	assert_int_equal(count_kind(plan, OPERATION_PORTS_RESERVE), 1);
	assert_int_equal(count_kind(plan, OPERATION_PORT_ADD), 2); /* who publishes is another */
	assert_int_equal(plan->count, 6);
}

/* What a publisher sends is looked at from before its ports are published until after they are. */
static void test_published_ports_are_marked(void **state)
{
	struct simulator *sim = *state;
	struct plan *plan;
	size_t i;

	converge(sim, fabric);
	plan = converge(sim, published(sim));
	for (i = 0; plan->operations[i].kind != OPERATION_PUBLISH_ADD; i++)
		if (plan->operations[i].kind == OPERATION_PORT_ADD)
			break;
	assert_int_equal(plan->operations[i].kind, OPERATION_PORT_ADD);
	assert_true(plan->operations[i].port_flags & NSR_PORT_PUBLISHES);
	plan = converge(sim, fabric);
	for (i = 0; plan->operations[i].kind != OPERATION_PORT_ADD; i++)
		if (plan->operations[i].kind == OPERATION_PUBLISH_DELETE)
			break;
	assert_int_equal(plan->operations[i].kind, OPERATION_PUBLISH_DELETE);
	assert_int_equal(count_kind(plan, OPERATION_PORT_ADD), 1);
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

static bool has_program(struct simulator *sim)
{
	const struct state_link *lo = simulator_link(sim, NULL, "lo");

	return lo->clsact && lo->hook_out && !lo->hook_in;
}

/* The loopback interface gets its program with the first port, and loses it with the last; one of
 * others stays what it was. */
static void test_published_loopback(void **state)
{
	struct simulator *sim = *state;
	struct plan *plan;

	converge(sim, fabric);
	assert_false(has_program(sim));
	plan = converge(sim, edited(sim, fabric, "  blue:\n",
				    "  blue:\n    publish: [\"127.0.0.1:8080:80/tcp\"]\n"));
	assert_int_equal(count_kind(plan, OPERATION_UPLINK_ADD), 1);
	assert_int_equal(count_kind(plan, OPERATION_PUBLISH_ADD), 1);
	assert_int_equal(count_kind(plan, OPERATION_PORTS_RESERVE), 1);
	assert_int_equal(plan->count, 4);
	assert_int_equal(plan->operations[0].kind, OPERATION_PROGRAMS_ADD);
	assert_string_equal(plan->operations[2].link, "lo");
	assert_string_equal(plan->operations[3].link, "lo");
	assert_true(has_program(sim));
	/* At the uplink now: it is still what the host goes by. */
	plan = converge(
		sim, edited(sim, fabric, "  blue:\n", "  blue:\n    publish: [\"8080:80/tcp\"]\n"));
	assert_int_equal(count_kind(plan, OPERATION_PORT_ADD), 1);
	assert_int_equal(plan->count, 3);
	assert_true(has_program(sim));
	/* Somebody takes the program away. */
	simulator_link(sim, NULL, "lo")->hook_out = false;
	plan = converge(
		sim, edited(sim, fabric, "  blue:\n", "  blue:\n    publish: [\"8080:80/tcp\"]\n"));
	assert_int_equal(plan->count, 1);
	assert_int_equal(plan->operations[0].kind, OPERATION_UPLINK_ADD);
	plan = converge(sim, fabric);
	assert_int_equal(count_kind(plan, OPERATION_PORTS_RESERVE), 1);
	assert_int_equal(plan->count, 4);
	assert_false(has_program(sim) || simulator_link(sim, NULL, "lo")->clsact);
}

/* ---- Reserved for them. */

static const char *reserved(struct simulator *sim)
{
	return simulator_sysctl(sim, RESERVED_KEY);
}

static const char *recorded(struct simulator *sim)
{
	const struct record_entry *entry = record_find(&sim->record, RECORD_RESERVED, RESERVED_KEY);

	return entry ? entry->value : "";
}

/* 9001 is in the set before, 5000 comes later; somebody takes 9003 out. */
static void test_reserved(void **state)
{
	struct simulator *sim = *state;
	struct plan *plan;

	plan = converge(sim, published(sim));
	assert_int_equal(count_kind(plan, OPERATION_PORTS_RESERVE), 1);
	assert_string_equal(
		plan_describe(find(plan, OPERATION_PORTS_RESERVE), &sim->arena),
		"~ sysctl net/ipv4/ip_local_reserved_ports: with 8080,9000,9002-9009: no published "
		"port for a socket of the host's that takes any");
	assert_string_equal(reserved(sim), "8080,9000-9009,40000");
	assert_string_equal(recorded(sim), "8080,9000,9002-9009");
	simulator_set_sysctl(sim, RESERVED_KEY, "5000,8080,9000-9002,9004-9009,40000");
	plan = converge(sim, published(sim));
	assert_int_equal(plan->count, 2);
	assert_string_equal(plan->operations[0].value, "5000,9001,40000"); /* set aside */
	assert_string_equal(plan->operations[1].reserve, "9003");
	plan = converge(sim, edited(sim, fabric, "  blue:\n",
				    "  blue:\n    publish: [\"9005-9010:7000-7005/udp\"]\n"));
	assert_string_equal(find(plan, OPERATION_PORTS_RESERVE)->reserve, "9010");
	assert_string_equal(find(plan, OPERATION_PORTS_RESERVE)->release, "8080,9000,9002-9004");
	assert_string_equal(reserved(sim), "5000,9001,9005-9010,40000");
	converge(sim, fabric);
	assert_string_equal(reserved(sim), "5000,9001,40000");
	assert_string_equal(recorded(sim), "");
}

/* The last of the fabrics that need a port takes it out. */
static void test_reserved_by_two(void **state)
{
	static struct record_entry others = {RECORD_RESERVED, RESERVED_KEY, "8080", ""};
	struct simulator *sim = *state;

	converge(sim, fabric);
	sim->others[0] = (struct record){.fabric = "other", .entries = &others, .count = 1};
	sim->others_count = 1;
	simulator_set_sysctl(sim, RESERVED_KEY, "8080,9001,40000");
	converge(sim, published(sim));
	assert_string_equal(recorded(sim), "8080,9000,9002-9009");
	converge(sim, fabric);
	assert_string_equal(reserved(sim), "8080,9001,40000");
	converge(sim, published(sim));
	sim->others_count = 0;
	converge(sim, published(sim));
	converge(sim, fabric);
	assert_string_equal(reserved(sim), "9001,40000");
}

/* A process was killed before it changed the set, or after that: both are in the record. */
static void test_reserved_in_part(void **state)
{
	struct simulator *sim = *state;
	struct record_entry *entry;

	for (int changed = 0; changed < 2; changed++) {
		converge(sim, published(sim));
		entry = (struct record_entry *)record_find(&sim->record, RECORD_RESERVED,
							   RESERVED_KEY);
		entry->set = "6000,8080";
		simulator_set_sysctl(sim, RESERVED_KEY,
				     changed ? "8080,9000-9009,40000" : "6000,8080,9001,40000");
		simulator_run(sim, removal_of(sim));
		assert_as_found(sim);
		sim->record.count = 0;
	}
}

/* ---- Refused. */

static void expect_refusal(struct simulator *sim, const char *text, int code, const char *words)
{
	struct topology *topology = parse(sim, text);
	struct error err = {0};
	struct plan *plan;

	sim->record.fabric = topology->name;
	assert_int_equal(plan_build(topology, simulator_observe(sim, topology), &sim->record,
				    &sim->arena, &plan, &err),
			 code);
	if (!strstr(err.message, words))
		fail_msg("%s", err.message);
}

/* Others' filters on the loopback interface are in the way only when something is published. */
static void test_published_loopback_taken(void **state)
{
	struct simulator *sim = *state;

	simulator_link(sim, NULL, "lo")->ingress_qdisc = true;
	expect_refusal(sim, published(sim), -EEXIST, "interface 'lo' has an 'ingress' qdisc");
	converge(sim, fabric);
}

/* One network names the interface that is "auto" to the other. */
static void test_published_twice(void **state)
{
	struct simulator *sim = *state;
	const char *text =
		edited(sim, fabric, "  v-net-1: {subnets: [10.1.0.0/24, \"fd00:1::/64\"]}",
		       "  v-net-1: {subnets: [10.1.0.0/24, \"fd00:1::/64\"], masquerade: auto}");
	const char *twice;

	text = edited(sim, text, "  blue:\n", "  blue:\n    publish: [\"8080-8089:80-89/tcp\"]\n");
	twice = edited(sim, text, "  green:\n", "  green:\n    publish: [\"8085:80/tcp\"]\n");
	expect_refusal(sim, twice, -EEXIST,
		       "namespace 'green': external port 8085/tcp is published at 'eth0' by "
		       "namespace 'blue'");
	converge(sim, edited(sim, text, "  green:\n",
			     "  green:\n    publish: [\"8085:80/udp\", \"8090:80/tcp\"]\n"));
}

/* The host gets an IPv6 address, and the network of blue and red a subnet. */
static const char *with_ipv6(struct simulator *sim, const char *blue, bool uplink)
{
	const struct state_link *eth0 = simulator_link(sim, NULL, "eth0");
	struct state_namespace *host = &sim->spaces[0];
	const char *text;

	if (uplink) {
		struct state_address address = {.ifindex = eth0->ifindex, .flags = IFA_F_PERMANENT};

		ip_parse("2001:db8::1/64", &address.address, NULL);
		*arena_push(&sim->arena, host->addresses, host->addresses_count) = address;
	}
	text = edited(sim, fabric, "192.168.15.0/24", "192.168.15.0/24, \"fd00:15::/64\"");
	text = edited(sim, text, "192.168.15.12/24", "192.168.15.12/24, \"fd00:15::12/64\"");
	return edited(sim, text, "  blue:\n", blue);
}

static size_t count_ipv6(const struct plan *plan, enum operation_kind kind)
{
	size_t count = 0;

	for (size_t i = 0; i < plan->count; i++)
		count += plan->operations[i].kind == kind &&
			 plan->operations[i].address.family == AF_INET6;
	return count;
}

/* An entry without an address is for each family that namespace and uplink have. */
static void test_published_ipv6(void **state)
{
	static const char blue[] = "  blue:\n    publish: [\"8080-8089:80-89/tcp\"]\n";
	struct simulator *sim = *state;
	struct plan *plan = converge(sim, with_ipv6(sim, blue, false));

	assert_int_equal(count_kind(plan, OPERATION_PUBLISH_ADD), 1);
	assert_int_equal(count_ipv6(plan, OPERATION_PUBLISH_ADD), 0);
	plan = converge(sim, with_ipv6(sim, blue, true));
	assert_int_equal(count_kind(plan, OPERATION_UPLINK_ADD), 1);
	assert_int_equal(count_kind(plan, OPERATION_PUBLISH_ADD), 1);
	assert_int_equal(count_ipv6(plan, OPERATION_PUBLISH_ADD), 1);
	assert_int_equal(plan->count, 2);
	assert_string_equal(plan_describe(&plan->operations[1], &sim->arena),
			    "+ publish 8080-8089/tcp at eth0: to [fd00:15::12]:80-89");
	plan = converge(sim, with_ipv6(sim, "  blue:\n", false));
	assert_int_equal(count_kind(plan, OPERATION_PUBLISH_DELETE), 2);
	assert_int_equal(count_ipv6(plan, OPERATION_PUBLISH_DELETE), 1);
	simulator_run(sim, removal_of(sim));
}

/* A port may be another's in each family. */
static void test_published_one_family(void **state)
{
	static const char blue[] = "  blue:\n    publish: [\"[2001:db8::1]:8080:80/tcp\"]\n";
	struct simulator *sim = *state;
	const char *text = with_ipv6(sim, blue, true);
	struct plan *plan;

	plan = converge(sim,
			edited(sim, text, "  red:\n", "  red:\n    publish: [\"8080:80/tcp\"]\n"));
	assert_int_equal(count_kind(plan, OPERATION_PUBLISH_ADD), 2);
	assert_int_equal(count_ipv6(plan, OPERATION_PUBLISH_ADD), 1);
	expect_refusal(sim, edited(sim, text, "[2001:db8::1]", "[2001:db8::2]"), -EADDRNOTAVAIL,
		       "cannot be published on 2001:db8::2: its uplink 'eth0' translates to "
		       "2001:db8::1");
}

static void test_published_no_address(void **state)
{
	static const char blue[] = "  blue:\n    publish: [\"8080:80/tcp\"]\n";
	struct simulator *sim = *state;
	const char *text = with_ipv6(sim, blue, false);

	text = edited(sim, text, "192.168.15.12/24, ", "");
	text = edited(sim, text, "    routes: [{to: 10.99.0.0/16, via: 192.168.15.12}]\n", "");
	expect_refusal(sim, text, -EADDRNOTAVAIL,
		       "namespace 'blue' cannot be published: its uplink 'eth0' has no global IPv6 "
		       "address");
}

static void add_loopback6(struct simulator *sim)
{
	struct state_address address = {.ifindex = 1, .flags = IFA_F_PERMANENT};
	struct state_namespace *host = &sim->spaces[0];

	ip_parse("::1/128", &address.address, NULL);
	*arena_push(&sim->arena, host->addresses, host->addresses_count) = address;
}

/* Whether the loopback interface's uplink has ::1. */
static bool has_loopback6(struct simulator *sim)
{
	for (size_t i = 0; i < sim->datapath.uplinks_count; i++)
		if (sim->datapath.uplinks[i].uplink.ifindex == 1)
			return sim->datapath.uplinks[i].uplink.address6[15];
	return false;
}

/* On ::1, which the uplink's addresses have no part in; as long as any fabric has something there.
 */
static void test_published_loopback6(void **state)
{
	static struct record_entry others[] = {
		{RECORD_UPLINK, "lo", "", ""},
		{RECORD_PUBLISHED, "lo/udp/9000", "10.9.9.9:9", ""},
		{RECORD_PUBLISHED, "lo/udp6/9000", "[fd00:9::9]:9", ""}};
	struct simulator *sim = *state;
	const char *text = with_ipv6(sim, "  blue:\n    publish: [\"[::1]:8080:80/tcp\"]\n", false);
	const char *four = edited(sim, text, "[::1]", "127.0.0.1");
	struct plan *plan;

	expect_refusal(sim, text, -EADDRNOTAVAIL,
		       "cannot be published on ::1, which the host's 'lo'");
	converge(sim, four);
	assert_false(has_loopback6(sim));
	add_loopback6(sim);
	plan = converge(sim, text);
	assert_int_equal(count_kind(plan, OPERATION_UPLINK_ADD), 1);
	assert_string_equal(plan_describe(find(plan, OPERATION_PUBLISH_ADD), &sim->arena),
			    "+ publish 8080/tcp at lo: to [fd00:15::12]:80");
	assert_int_equal(count_kind(plan, OPERATION_PUBLISH_DELETE), 1);
	assert_int_equal(plan->count, 3);
	assert_true(has_loopback6(sim));
	sim->others[0] = (struct record){.fabric = "other", .entries = others, .count = 3};
	sim->others_count = 1;
	converge(sim, four);
	assert_true(has_loopback6(sim));
	sim->others[0].count = 2;
	converge(sim, four);
	assert_false(has_loopback6(sim));
	sim->others_count = 0;
	converge(sim, text);
	converge(sim, fabric);
	assert_false(has_program(sim));
}

/* ---- Reserved by the host. */

/* What is in the set and not ours is handed out to nobody; what changes is seen at the next apply,
 * and the fabric's own published ports are not of it, whoever publishes. */
static void test_set_aside(void **state)
{
	struct simulator *sim = *state;
	struct plan *plan;

	plan = converge(sim, fabric);
	assert_string_equal(plan_describe(find(plan, OPERATION_PORTS_SET_ASIDE), &sim->arena),
			    "~ ports not handed out: 9001,40000 (were none): the host's "
			    "ip_local_reserved_ports");
	assert_true(find(plan, OPERATION_PORTS_SET_ASIDE) < find(plan, OPERATION_UPLINK_ADD));
	plan = converge(sim, published(sim));
	assert_int_equal(count_kind(plan, OPERATION_PORTS_SET_ASIDE), 0);
	assert_int_equal(converge(sim, published(sim))->count, 0);
	simulator_set_sysctl(sim, RESERVED_KEY, "8080,9000-9009");
	plan = converge(sim, published(sim));
	assert_int_equal(plan->count, 1);
	assert_string_equal(plan->operations[0].value, "9001");
	assert_string_equal(plan->operations[0].old_value, "9001,40000");
	converge(sim, fabric);
	simulator_set_sysctl(sim, RESERVED_KEY, "");
	plan = converge(sim, fabric);
	assert_int_equal(plan->count, 1);
	assert_string_equal(plan->operations[0].value, "");
	assert_null(sim->datapath.set_aside);
}

/* A process was killed before all pools were so; and one that failed takes it back. */
static void test_set_aside_in_part(void **state)
{
	struct simulator *sim = *state;
	struct operation inverse;
	struct plan *plan;

	converge(sim, fabric);
	sim->datapath.set_aside_unfinished = true;
	plan = converge(sim, fabric);
	assert_int_equal(plan->count, 1);
	assert_int_equal(plan->operations[0].kind, OPERATION_PORTS_SET_ASIDE);
	simulator_set_sysctl(sim, RESERVED_KEY, "7");
	plan = plan_of(sim, parse(sim, fabric));
	simulator_run(sim, plan);
	assert_string_equal(sim->datapath.set_aside, "7");
	assert_true(plan_inverse(&plan->operations[0], &inverse));
	simulator_execute(sim, &inverse);
	assert_string_equal(sim->datapath.set_aside, "9001,40000");
	/* Nothing is masqueraded: nothing is looked at. */
	simulator_run(sim, removal_of(sim));
	sim->record.count = 0;
	plan = converge(sim, edited(sim, fabric, ", masquerade: eth0", ""));
	assert_int_equal(count_kind(plan, OPERATION_PORTS_SET_ASIDE), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_published_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_published_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_published_ports_are_marked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_published_in_part, setup, teardown),
		cmocka_unit_test_setup_teardown(test_published_on_an_address, setup, teardown),
		cmocka_unit_test_setup_teardown(test_published_loopback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reserved, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reserved_by_two, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reserved_in_part, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set_aside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set_aside_in_part, setup, teardown),
		cmocka_unit_test_setup_teardown(test_published_loopback_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_published_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_published_ipv6, setup, teardown),
		cmocka_unit_test_setup_teardown(test_published_one_family, setup, teardown),
		cmocka_unit_test_setup_teardown(test_published_no_address, setup, teardown),
		cmocka_unit_test_setup_teardown(test_published_loopback6, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
