/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every invalid topology of tests/fixtures/invalid gives exactly the errors beside it: NAME.yaml
 * and NAME.expected. FIXTURES names another folder of fixtures.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "topology_read.h"

static const char *fixtures(void)
{
	const char *folder = getenv("FIXTURES");

	return folder ? folder : "tests/fixtures";
}

static char *read_fixture(struct arena *arena, const char *name, size_t *ret_size)
{
	char *path = arena_printf(arena, "%s/invalid/%s", fixtures(), name), *text;
	FILE *file = fopen(path, "rb");
	long size;

	if (!file)
		fail_msg("cannot open %s", path);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	size = ftell(file);
	assert_true(size >= 0);
	rewind(file);
	text = arena_alloc(arena, (size_t)size + 1);
	assert_int_equal(fread(text, 1, (size_t)size, file), size);
	fclose(file);
	*ret_size = (size_t)size;
	return text;
}

static const char *errors_of(struct arena *arena, const char *name)
{
	struct error_list errors = {.arena = arena};
	struct topology *topology = NULL;
	char line[2 * ERROR_MESSAGE_MAX];
	const char *lines = "";
	size_t size;
	char *text = read_fixture(arena, name, &size);

	assert_true(topology_parse(name, text, size, arena, &topology, &errors) < 0);
	assert_null(topology);
	for (size_t i = 0; i < errors.count; i++) {
		assert_int_equal(errors.errors[i].exit, EXIT_INVALID);
		lines = arena_printf(arena, "%s%s\n", lines,
				     error_format(&errors.errors[i], line, sizeof(line)));
	}
	return lines;
}

static void test_fixtures(void **state)
{
	char *folder_name;
	struct arena arena = {};
	struct dirent *entry;
	size_t count = 0, size;
	DIR *folder;

	(void)state;
	folder_name = arena_printf(&arena, "%s/invalid", fixtures());
	folder = opendir(folder_name);
	if (!folder) {
		fail_msg("cannot open %s", folder_name);
		return;
	}
	while ((entry = readdir(folder))) {
		const char *dot = strrchr(entry->d_name, '.'), *name = entry->d_name;

		if (!dot || strcmp(dot, ".yaml"))
			continue;
		print_message("# %s\n", name);
		assert_string_equal(
			errors_of(&arena, name),
			read_fixture(&arena,
				     arena_printf(&arena, "%.*s.expected", (int)(dot - name), name),
				     &size));
		count++;
	}
	closedir(folder);
	arena_free(&arena);
	assert_true(count > 50); /* the folder is the right one */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixtures),
	};

	return cmocka_run_group_tests_name("topology_invalid", tests, NULL, NULL);
}
