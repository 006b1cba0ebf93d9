/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The error: set once, given context on the way up, printed with all that is known.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "error.h"

static void test_set(void **state)
{
	struct error err = {.kernel = "old words"};
	char text[256];

	(void)state;
	assert_int_equal(error_set(&err, -ENOENT, "cannot open '%s'", "x"), -ENOENT);
	assert_int_equal(err.code, -ENOENT);
	assert_int_equal(err.exit, EXIT_REFUSED);
	assert_string_equal(error_format(&err, text, sizeof(text)), "cannot open 'x'");
	assert_int_equal(error_invalid(&err, "no such command"), -EINVAL);
	assert_int_equal(err.exit, EXIT_INVALID);
}

static void test_context(void **state)
{
	struct error err;
	char text[256];

	(void)state;
	error_set(&err, -EPERM, "not permitted");
	assert_int_equal(error_context(&err, "cannot create %s", "br0"), -EPERM);
	assert_int_equal(error_context(&err, "apply"), -EPERM);
	assert_string_equal(error_format(&err, text, sizeof(text)),
			    "apply: cannot create br0: not permitted");
}

static void test_position(void **state)
{
	struct error err;
	char text[256];

	(void)state;
	error_set(&err, -EOPNOTSUPP, "cannot create bridge 'br0'");
	snprintf(err.kernel, sizeof(err.kernel), "Unknown device type");
	error_at(&err, "lab.yaml", (struct position){12, 3});
	error_at(&err, "other.yaml", (struct position){1, 1}); /* the first one knew better */
	assert_string_equal(
		error_format(&err, text, sizeof(text)),
		"lab.yaml:12:3: cannot create bridge 'br0' (kernel: Unknown device type)");
	err.at = (struct position){};
	err.kernel[0] = '\0';
	assert_string_equal(error_format(&err, text, sizeof(text)),
			    "lab.yaml: cannot create bridge 'br0'");
}

static void test_too_long(void **state)
{
	struct error err;
	char long_text[3 * ERROR_MESSAGE_MAX], text[64];

	(void)state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	error_set(&err, -E2BIG, "%s", long_text);
	error_context(&err, "%s", long_text);
	assert_int_equal(strlen(err.message), ERROR_MESSAGE_MAX - 1);
	assert_int_equal(strlen(error_format(&err, text, sizeof(text))), sizeof(text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_context),
		cmocka_unit_test(test_position),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
