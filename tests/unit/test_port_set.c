/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sets of ports: from the kernel's text and back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "port_set.h"

static void test_text(void **state)
{
	static const char *const same[] = {
		"", "0", "65535", "1,3,5", "8080-8081", "0-65535", "1-2,80,65534-65535"};
	struct arena arena = {};

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++) {
		struct port_set set = {};

		port_set_read(&set, same[i]);
		assert_string_equal(port_set_text(&set, &arena), same[i]);
		assert_int_equal(port_set_empty(&set), !*same[i]);
	}
	arena_free(&arena);
}

/* What is no set of ports ends it, and nothing of that is in it. */
static void test_text_that_is_none(void **state)
{
	static const char *const texts[] = {"7,x", "7,65536", "7,9-8", "7,99999999999999999999",
					    "7,-1"};
	struct arena arena = {};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct port_set set = {};

		port_set_read(&set, texts[i]);
		assert_string_equal(port_set_text(&set, &arena), "7");
	}
	arena_free(&arena);
}

static void test_most_text(void **state)
{
	struct port_set set = {}, again = {};
	struct arena arena = {};

	(void)state;
	for (uint32_t port = 1; port <= UINT16_MAX; port += 2)
		port_set_add(&set, (uint16_t)port, 1);
	port_set_read(&again, port_set_text(&set, &arena));
	assert_memory_equal(&set, &again, sizeof(set));
	arena_free(&arena);
}

static void test_together(void **state)
{
	struct port_set a = {}, b = {}, c;
	struct arena arena = {};

	(void)state;
	port_set_add(&a, 60, 10);
	port_set_add(&b, 65, 10);
	c = a;
	port_set_join(&c, &b);
	assert_string_equal(port_set_text(&c, &arena), "60-74");
	c = a;
	port_set_take_out(&c, &b);
	assert_string_equal(port_set_text(&c, &arena), "60-64");
	c = a;
	port_set_keep(&c, &b);
	assert_string_equal(port_set_text(&c, &arena), "65-69");
	port_set_add(&c, 65530, 100); /* no further than there are ports */
	assert_string_equal(port_set_text(&c, &arena), "65-69,65530-65535");
	assert_true(port_set_has(&c, 65535) && !port_set_has(&c, 65529));
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_that_is_none),
		cmocka_unit_test(test_most_text),
		cmocka_unit_test(test_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
