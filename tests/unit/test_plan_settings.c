/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sysctls and files of namespaces: set, changed in place, given back, whatever happened meanwhile.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "planning.h"

#define COOKIES "net/ipv4/tcp_syncookies"
#define ALL     "net/ipv4/conf/all/forwarding"
#define P0      "net/ipv4/conf/p0/forwarding"
#define RESOLV  "/etc/netns/red/resolv.conf"

static const char settings[] =
	HEAD "namespaces:\n"
	     "  red:\n"
	     "    sysctl: {net.ipv4.tcp_syncookies: 2, net.ipv4.conf.p0.forwarding: 0, "
	     "net/ipv4/conf/all/forwarding: 1}\n"
	     "    dns: {nameservers: [192.0.2.53, \"2001:db8::53\"], search: [a.example, b]}\n"
	     "  blue: {}\n"
	     "links:\n"
	     "  - {endpoints: [\"red:p0\", \"blue:p0\"]}\n";

static const char nothing[] = HEAD "namespaces: {red: {}, blue: {}}\n"
				   "links:\n"
				   "  - {endpoints: [\"red:p0\", \"blue:p0\"]}\n";

static void assert_sysctl(struct simulator *sim, const char *key, const char *value)
{
	assert_string_equal(simulator_netns_sysctl(sim, "red", key), value);
}

static bool is_recorded(struct simulator *sim, enum record_kind kind, const char *name)
{
	return record_has(&sim->record, kind, name);
}

static int refusal(struct simulator *sim, const char *text, struct error *err)
{
	struct topology *topology = parse(sim, text);
	struct plan *plan;

	sim->record.fabric = topology->name;
	return plan_build(topology, simulator_observe(sim, topology), &sim->record, &sim->arena,
			  &plan, err);
}

/* Without the record's file nothing of it may be left. */
static void assert_removed(struct simulator *sim)
{
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
	assert_int_equal(sim->files_count, 0);
	sim->record.count = 0;
}

/* ---- Sysctls. */

static void test_set_changed_and_given_back(void **state)
{
	struct simulator *sim = *state;
	const struct operation *op;
	const char *text;

	converge(sim, settings);
	assert_sysctl(sim, COOKIES, "2");
	assert_sysctl(sim, ALL, "1");
	assert_sysctl(sim, P0, "0"); /* set after what sets it too */
	text = edited(sim, settings, "tcp_syncookies: 2", "tcp_syncookies: 0");
	op = find(converge(sim, text), OPERATION_SYSCTL_SET);
	assert_string_equal(op->key, COOKIES);
	assert_string_equal(op->old_value, "1"); /* the first one */
	assert_non_null(op->replaces);
	assert_string_equal(op->replaces->value, "2");
	converge(sim, edited(sim, text, "net.ipv4.tcp_syncookies: 0, ", ""));
	assert_sysctl(sim, COOKIES, "1");
	assert_false(is_recorded(sim, RECORD_NETNS_SYSCTL, "red/" COOKIES));
	converge(sim, nothing);
	assert_sysctl(sim, ALL, "0");
	assert_removed(sim);
}

/* What switches all interfaces goes back, and the one that the file names stays as it says. */
static void test_switch_goes_back(void **state)
{
	struct simulator *sim = *state;
	const char *text = edited(sim, settings, "forwarding: 0, net/ipv4/conf/all/forwarding: 1",
				  "forwarding: 1");

	converge(sim, edited(sim, settings, "p0.forwarding: 0", "p0.forwarding: 1"));
	converge(sim, text);
	assert_sysctl(sim, ALL, "0");
	assert_sysctl(sim, P0, "1");
	converge(sim, edited(sim, settings, "forwarding: 0", "forwarding: 1"));
	converge(sim, settings);
	assert_sysctl(sim, P0, "0");
}

static void test_changed_by_hand(void **state)
{
	struct simulator *sim = *state;

	converge(sim, settings);
	simulator_set_netns_sysctl(sim, "red", COOKIES, "0");
	assert_int_equal(converge(sim, settings)->count, 1);
	assert_sysctl(sim, COOKIES, "2");
	converge(sim, nothing);
	assert_sysctl(sim, COOKIES, "1");
}

/* What was so already is not ours. */
static void test_was_so_already(void **state)
{
	struct simulator *sim = *state;
	const char *text = HEAD "namespaces: {red: {sysctl: {" COOKIES ": 0x1}}}\n";

	converge(sim, HEAD "namespaces: {red: {}}\n");
	assert_int_equal(converge(sim, text)->count, 0);
	assert_false(is_recorded(sim, RECORD_NETNS_SYSCTL, "red/" COOKIES));
}

/* The record tells of a namespace (a link) that is no more: the new one's value counts. */
static void test_namespace_made_anew(void **state)
{
	struct simulator *sim = *state;
	const struct record_entry *entry;
	const char *key = "red/" COOKIES;

	converge(sim, settings);
	for (size_t i = 0; i < sim->record.count; i++)
		if (sim->record.entries[i].kind == RECORD_NETNS_SYSCTL)
			sim->record.entries[i].value = "7";
	simulator_delete_space(sim, "red");
	converge(sim, settings);
	entry = record_find(&sim->record, RECORD_NETNS_SYSCTL, key);
	assert_string_equal(entry->value, "1");
	simulator_delete_link(sim, "red", "p0");
	converge(sim, settings);
	assert_sysctl(sim, P0, "0");
	converge(sim, HEAD "namespaces: {blue: {}}\n");
	assert_false(is_recorded(sim, RECORD_NETNS_SYSCTL, key));
	assert_removed(sim);
}

static void test_no_such_sysctl(void **state)
{
	struct simulator *sim = *state;
	struct error err = {0};

	converge(sim, nothing);
	assert_int_equal(refusal(sim, edited(sim, settings, "tcp_syncookies", "tcp_cookies"), &err),
			 -ENOENT);
	assert_int_equal(err.at.line, 5);
	assert_string_equal(err.message, "namespace 'red' has no sysctl 'net/ipv4/tcp_cookies'");
}

/* ---- Files. */

static void test_file(void **state)
{
	struct simulator *sim = *state;
	const struct operation *op;

	converge(sim, settings);
	assert_string_equal(
		simulator_file(sim, RESOLV)->text,
		"# nsroute:lab made this file: apply overwrites changes, and down removes it\n"
		"search a.example b\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n");
	op = find(converge(sim, edited(sim, settings, ", search: [a.example, b]", "")),
		  OPERATION_FILE_WRITE);
	assert_non_null(op->replaces);
	assert_null(strstr(simulator_file(sim, RESOLV)->text, "search"));
	simulator_delete_file(sim, RESOLV);
	converge(sim, settings);
	converge(sim, nothing);
	assert_int_equal(sim->files_count, 0);
	assert_removed(sim);
}

static void test_file_of_others(void **state)
{
	struct simulator *sim = *state;
	struct error err = {0};

	simulator_add_file(sim, "/etc/netns", NULL);
	simulator_add_file(sim, "/etc/netns/red", NULL);
	simulator_add_file(sim, RESOLV, "nameserver 192.0.2.1\n");
	assert_int_equal(refusal(sim, settings, &err), -EEXIST);
	assert_int_equal(err.at.line, 6);
	simulator_file(sim, RESOLV)->text = "# nsroute:labour made this file\n";
	assert_int_equal(refusal(sim, settings, &err), -EEXIST);
	assert_non_null(strstr(err.message, "belongs to fabric 'labour'"));
	/* Ours, from before a reboot took the record. Folders were there: they stay. */
	simulator_file(sim, RESOLV)->text = "# nsroute:lab made this file\n";
	converge(sim, settings);
	simulator_file(sim, RESOLV)->text = "# somebody's\n";
	simulator_run(sim, removal_of(sim));
	assert_string_equal(simulator_file(sim, RESOLV)->text, "# somebody's\n");
	assert_int_equal(sim->files_count, 3);
}

/* Who goes last removes the folder that one of them made. */
static void test_folder_of_two_fabrics(void **state)
{
	static struct record_entry entry = {RECORD_FOLDER, "/etc/netns", "", ""};
	struct simulator *sim = *state;
	const struct operation *op;
	struct operation inverse;

	sim->others[0] = (struct record){.fabric = "other", .entries = &entry, .count = 1};
	sim->others_count = 1;
	simulator_add_file(sim, "/etc/netns", NULL);
	op = find(converge(sim, settings), OPERATION_DIRECTORY_ADD);
	assert_string_equal(op->path, "/etc/netns");
	assert_true(plan_inverse(op, &inverse));
	assert_int_equal(inverse.kind, OPERATION_FORGET);
	simulator_run(sim, removal_of(sim));
	assert_int_equal(sim->files_count, 1); /* the other one's */
	sim->record.count = sim->others_count = 0;
	simulator_execute(sim, op);
	assert_removed(sim);
}

/* ---- Killed at any instant. */

static void test_killed(void **state)
{
	struct simulator *sim = *state;
	size_t count = plan_of(sim, parse(sim, settings))->count;

	for (size_t done = 0; done <= 2 * count; done++) {
		struct plan *plan = plan_of(sim, parse(sim, settings));

		for (size_t i = 0; i < done / 2; i++)
			simulator_execute(sim, &plan->operations[i]);
		if (done % 2)
			converge(sim, settings);
		assert_removed(sim);
	}
}

/* A plan that fails is undone: what is recorded is what was. */
static void test_undone(void **state)
{
	struct simulator *sim = *state;
	struct operation inverse;
	const struct plan *plan;

	converge(sim, nothing);
	plan = plan_of(sim, parse(sim, settings));
	simulator_run(sim, plan);
	for (size_t i = plan->count; i > 0; i--) {
		assert_true(plan_inverse(&plan->operations[i - 1], &inverse));
		simulator_execute(sim, &inverse);
	}
	assert_sysctl(sim, COOKIES, "1");
	assert_sysctl(sim, ALL, "0");
	assert_sysctl(sim, P0, "0");
	assert_int_equal(sim->files_count, 0);
	assert_empty(sim, plan_of(sim, parse(sim, nothing)));
	for (size_t i = 0; i < sim->record.count; i++)
		assert_true(sim->record.entries[i].kind == RECORD_NETNS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_set_changed_and_given_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_switch_goes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changed_by_hand, setup, teardown),
		cmocka_unit_test_setup_teardown(test_was_so_already, setup, teardown),
		cmocka_unit_test_setup_teardown(test_namespace_made_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_such_sysctl, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_of_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_folder_of_two_fabrics, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_undone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
