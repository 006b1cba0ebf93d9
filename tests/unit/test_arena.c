/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The arena: zeroed, aligned, growing; what it hands out stays where it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arena.h"

static void test_alloc(void **state)
{
	struct arena arena = {};

	(void)state;
	for (size_t size = 0; size < 200000; size = 3 * size + 1) {
		unsigned char *memory = arena_alloc(&arena, size);

		assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(memory[i], 0);
		memset(memory, 0xff, size);
	}
	arena_free(&arena);
	assert_null(arena.blocks);
	arena_free(&arena); /* freeing twice is harmless */
}

static void test_strings(void **state)
{
	struct arena arena = {};
	char *first = arena_strdup(&arena, "first");

	(void)state;
	assert_string_equal(arena_printf(&arena, "%s-%d", first, 42), "first-42");
	assert_string_equal(arena_printf(&arena, "%s", ""), "");
	assert_int_equal(strlen(arena_printf(&arena, "%100000d", 1)), 100000);
	assert_string_equal(first, "first");
	arena_free(&arena);
}

static void test_push(void **state)
{
	struct arena arena = {};
	int *numbers = NULL;
	size_t count = 0;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		int *number = arena_push(&arena, numbers, count);

		assert_int_equal(*number, 0);
		*number = i;
	}
	assert_int_equal(count, 10000);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(numbers[i], i);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alloc),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_push),
	};

	return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
