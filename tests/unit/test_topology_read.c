/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The reader's edges: files that cannot be read, limits, encodings, the list of errors.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "topology_read.h"

struct fixture {
	struct arena arena;
	struct error_list errors;
	struct topology *topology;
	char line[2 * ERROR_MESSAGE_MAX];
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		return -1;
	fixture->errors.arena = &fixture->arena;
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	arena_free(&fixture->arena);
	free(fixture);
	return 0;
}

static int parse_bytes(struct fixture *fixture, const char *text, size_t size)
{
	return topology_parse("test", text, size, &fixture->arena, &fixture->topology,
			      &fixture->errors);
}

static int parse(struct fixture *fixture, const char *text)
{
	return parse_bytes(fixture, text, strlen(text));
}

static const char *line(struct fixture *fixture, size_t i)
{
	assert_true(i < fixture->errors.count);
	return error_format(&fixture->errors.errors[i], fixture->line, sizeof(fixture->line));
}

static void test_no_such_file(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(topology_read("/nonexistent/lab.yaml", &fixture->arena, &fixture->topology,
				       &fixture->errors),
			 -ENOENT);
	assert_null(fixture->topology);
	assert_int_equal(fixture->errors.count, 1);
	assert_string_equal(line(fixture, 0), "/nonexistent/lab.yaml: cannot read it: No such file "
					      "or directory");
}

static void test_directory(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(topology_read("/", &fixture->arena, &fixture->topology, &fixture->errors),
			 -EISDIR);
	assert_string_equal(line(fixture, 0), "/: cannot read it: Is a directory");
}

static void test_standard_input(void **state)
{
	static const char text[] = "version: 1\nname: lab\ncolour: red\n";
	struct fixture *fixture = *state;
	int ends[2], stdin_copy = dup(STDIN_FILENO);

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
	close(ends[1]);
	assert_true(dup2(ends[0], STDIN_FILENO) >= 0);
	close(ends[0]);
	assert_int_equal(topology_read("-", &fixture->arena, &fixture->topology, &fixture->errors),
			 -EINVAL);
	assert_true(stdin_copy < 0 || dup2(stdin_copy, STDIN_FILENO) >= 0);
	close(stdin_copy);
	assert_string_equal(line(fixture, 0),
			    "(standard input):3:1: unknown key 'colour' (allowed: version, name, "
			    "defaults, networks, namespaces, links, devices)");
}

static void test_too_big(void **state)
{
	static const char head[] = "version: 1\nname: lab\n";
	struct fixture *fixture = *state;
	size_t size = TOPOLOGY_FILE_MAX + 1;
	char *text = malloc(size);

	assert_non_null(text);
	memset(text, '\n', size);
	for (size_t i = 0; head[i]; i++)
		text[i] = head[i];
	assert_int_equal(parse_bytes(fixture, text, size), -EINVAL);
	assert_string_equal(line(fixture, 0), "test: larger than 16 MiB: not a topology");
	fixture->errors = (struct error_list){.arena = &fixture->arena};
	assert_int_equal(parse_bytes(fixture, text, size - 1), 0);
	free(text);
}

static void test_too_many_errors(void **state)
{
	struct fixture *fixture = *state;
	char *text = arena_strdup(&fixture->arena, "version: 1\nname: lab\n");

	for (int i = 0; i < TOPOLOGY_ERRORS_MAX + 10; i++)
		text = arena_printf(&fixture->arena, "%skey%d: 1\n", text, i);
	assert_int_equal(parse(fixture, text), -EINVAL);
	assert_int_equal(fixture->errors.count, TOPOLOGY_ERRORS_MAX + 1);
	assert_int_equal(fixture->errors.errors[0].at.line, 3);
	assert_string_equal(line(fixture, TOPOLOGY_ERRORS_MAX),
			    "test: 10 more errors are not shown");
}

static void test_depth(void **state)
{
	struct fixture *fixture = *state;
	char text[20000];

	memset(text, '[', sizeof(text));
	assert_int_equal(parse_bytes(fixture, text, sizeof(text)), -EINVAL);
	assert_string_equal(line(fixture, fixture->errors.count - 1),
			    "test:1:17: nested deeper than 16 levels");
}

static void test_byte_order_mark(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(parse(fixture, "\xef\xbb\xbfversion: 1\r\nname: lab\r\n"), 0);
	assert_int_equal(parse(fixture, "\xef\xbb\xbfversion: 2\r\nname: lab\r\n"), -EINVAL);
	assert_int_equal(fixture->errors.errors[0].at.column, 10);
}

static void test_other_encodings(void **state)
{
	static const char utf16[] = "\xff\xfev\0:\0";
	struct fixture *fixture = *state;

	assert_int_equal(parse_bytes(fixture, utf16, sizeof(utf16) - 1), -EINVAL);
	assert_string_equal(line(fixture, 0), "test:1:1: byte 0xff is not valid UTF-8");
}

/* Columns count characters, as editors do. */
static void test_columns(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(
		parse(fixture, "{version: 1, name: lab, '\u00e9\u20ac\U0001f600': 1, b: 2}"),
		-EINVAL);
	assert_int_equal(fixture->errors.count, 2);
	assert_int_equal(fixture->errors.errors[0].at.column, 25);
	assert_int_equal(fixture->errors.errors[1].at.column, 35);
}

/* A message is one line, and no terminal escape reaches it. */
static void test_message_is_clean(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(
		parse(fixture, "version: 1\nname: lab\n\"a\\e[31m\\nb\\u0085\\u202e\": 1\n"),
		-EINVAL);
	for (const char *c = line(fixture, 0); *c; c++)
		assert_false((unsigned char)*c < ' ' || *c == 0x7f);
}

static void test_long_value_is_shortened(void **state)
{
	struct fixture *fixture = *state;
	char text[5000] = "version: 1\nname: ";
	size_t used = strlen(text);

	memset(text + used, 'x', 4000);
	assert_int_equal(parse(fixture, text), -EINVAL);
	assert_true(strlen(line(fixture, 0)) < 200);
	assert_non_null(strstr(line(fixture, 0), "is longer than 32 bytes"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_such_file),
		TEST(test_directory),
		TEST(test_standard_input),
		TEST(test_too_big),
		TEST(test_too_many_errors),
		TEST(test_depth),
		TEST(test_byte_order_mark),
		TEST(test_other_encodings),
		TEST(test_columns),
		TEST(test_message_is_clean),
		TEST(test_long_value_is_shortened),
	};

	return cmocka_run_group_tests_name("topology_read", tests, NULL, NULL);
}
