/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tables by name, the guess at a mistyped one, and what names may be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "lookup.h"
#include "names.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void test_lookup(void **state)
{
	struct arena arena = {};
	struct lookup lookup = {};
	static int values[5000];

	(void)state;
	assert_null(lookup_find(&lookup, "1"));
	for (size_t i = 0; i < COUNT(values); i++)
		assert_null(
			lookup_add(&lookup, &arena, arena_printf(&arena, "%zu", i), &values[i]));
	for (size_t i = 0; i < COUNT(values); i++)
		assert_ptr_equal(lookup_find(&lookup, arena_printf(&arena, "%zu", i)), &values[i]);
	assert_null(lookup_find(&lookup, "5000"));
	assert_ptr_equal(lookup_add(&lookup, &arena, "7", &values[8]), &values[7]);
	assert_ptr_equal(lookup_find(&lookup, "7"), &values[7]);
	arena_free(&arena);
}

static const char *guess(const char *wanted)
{
	static const char *const names[] = {"networks", "namespaces", "links", "mtu", "to", "red"};
	struct nearest nearest = {.wanted = wanted};

	for (size_t i = 0; i < COUNT(names); i++)
		nearest_consider(&nearest, names[i]);
	return nearest.best;
}

static void test_nearest(void **state)
{
	(void)state;
	assert_string_equal(guess("network"), "networks");
	assert_string_equal(guess("namepsaces"), "namespaces");
	assert_string_equal(guess("namespace"), "namespaces");
	assert_string_equal(guess("mut"), "mtu");
	assert_string_equal(guess("too"), "to");
	assert_string_equal(guess("erd"), "red");
	assert_null(guess("colour"));
	assert_null(guess("x"));
	assert_null(guess(""));
	assert_null(guess("a-word-of-more-than-thirty-two-letters"));
}

static void test_names(void **state)
{
	static const char *const bad[] = {
		"",     ".",   "..", "a/b",     "a:b",       "a b",  "a\tb",
		"a\nb", "a%d", "lo", "default", "a\xc2\xa0", "\x7f", "sixteen-letters-"};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		if (!name_interface_problem(bad[i]))
			fail_msg("'%s' was accepted", bad[i]);
	assert_null(name_interface_problem("fifteen-letters"));
	assert_null(name_interface_problem("-eth0.1@x"));
	assert_null(name_interface_problem("\xc3\xa9"));
	assert_null(name_namespace_problem("a-name-longer-than-an-interface-may-have"));
	assert_non_null(name_namespace_problem("host"));
	assert_non_null(name_namespace_problem(".hidden"));
	assert_non_null(name_namespace_problem("-option"));
	assert_null(name_namespace_problem("lo"));
	assert_null(name_fabric_problem("A-z_0.9"));
	assert_non_null(name_fabric_problem("\xc3\xa9"));
	assert_non_null(name_fabric_problem("-x"));
	assert_non_null(name_fabric_problem(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("lookup", tests, NULL, NULL);
}
