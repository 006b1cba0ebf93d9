/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a list is copied, split at commas, and each word looked for in its table; a word
 * that is not there is answered with the table. --quick shares QUICK_BUDGET_S among all that is to
 * be measured, so that it ends in time whatever was chosen.
 */
#include "bench_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_DEFAULT  11
#define ROUNDS_MAX      999
#define SECONDS_DEFAULT 0.4
#define SECONDS_MIN     0.01
#define SECONDS_MAX     99.9
#define QUICK_ROUNDS    3
#define QUICK_BUDGET_S  26.0 /* of measuring; processes and namespaces take time as well */
#define QUICK_SECONDS   0.2
#define LIST_MAX        1024

void bench_options_init(struct bench_options *ret, unsigned int cpus)
{
	*ret = (struct bench_options){.client_cpu = -1};
	ret->cpu = (int)cpus - 1;
	for (int i = 0; i < BENCH_PATHS; i++)
		ret->paths[i] = true;
	for (int i = 0; i < BENCH_TESTS; i++)
		ret->tests[i] = !bench_tests[i].flows && !bench_tests[i].hosts;
}

/* ---- Words. */

static int find_path(const char *word)
{
	int i = 0;

	while (i < BENCH_PATHS && strcmp(bench_paths[i].name, word) != 0)
		i++;
	return i < BENCH_PATHS ? i : -1;
}

static int find_test(const char *word)
{
	int i = 0;

	while (i < BENCH_TESTS && strcmp(bench_tests[i].name, word) != 0)
		i++;
	return i < BENCH_TESTS ? i : -1;
}

static int unknown_path(const char *word, struct error *err)
{
	char list[LIST_MAX] = "";

	for (int i = 0; i < BENCH_PATHS; i++) {
		strcat(list, i ? ", " : ""); /* all of them take a third of LIST_MAX */
		strcat(list, bench_paths[i].name);
	}
	return error_invalid(err, "no path is called '%s'; there are %s", word, list);
}

static int unknown_test(const char *word, struct error *err)
{
	char list[LIST_MAX] = "";

	for (int i = 0; i < BENCH_TESTS; i++) {
		strcat(list, i ? ", " : "");
		strcat(list, bench_tests[i].name);
	}
	return error_invalid(err, "no test is called '%s'; there are %s", word, list);
}

static int take_path(struct bench_options *options, char *word, struct error *err)
{
	int path = find_path(word);

	if (path < 0)
		return unknown_path(word, err);
	options->paths[path] = true;
	return 0;
}

static int take_test(struct bench_options *options, char *word, struct error *err)
{
	int test = find_test(word);

	if (test < 0)
		return unknown_test(word, err);
	options->tests[test] = true;
	return 0;
}

static int take_ratio(const char *text, double *ret)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value > 0 && value < 1000))
		return -EINVAL;
	*ret = value;
	return 0;
}

/* PATH:TEST:RATIO */
static int take_requirement(struct bench_options *options, char *word, struct error *err)
{
	struct bench_requirement requirement;
	char *rest = word, *path = strsep(&rest, ":"), *test = strsep(&rest, ":");
	int found;

	if (!test || !rest || take_ratio(rest, &requirement.ratio) != 0)
		return error_invalid(err,
				     "--require takes PATH:TEST:RATIO, as in routed:tcp_rr:0.9");
	found = find_path(path);
	if (found < 0)
		return unknown_path(path, err);
	requirement.path = (enum bench_path)found;
	found = find_test(test);
	if (found < 0)
		return unknown_test(test, err);
	requirement.test = (enum bench_test)found;
	if (options->requirements_count == BENCH_REQUIREMENTS_MAX)
		return error_invalid(err, "more than %d requirements", BENCH_REQUIREMENTS_MAX);
	options->requirements[options->requirements_count++] = requirement;
	return 0;
}

static int each_word(struct bench_options *options, const char *text,
		     int (*take)(struct bench_options *options, char *word, struct error *err),
		     struct error *err)
{
	char copy[LIST_MAX], *rest = copy, *word;
	int code = 0;

	if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
		return error_invalid(err, "a list of more than %d bytes", LIST_MAX - 1);
	while (code == 0 && (word = strsep(&rest, ",")))
		code = take(options, word, err);
	return code;
}

int bench_options_paths(struct bench_options *options, const char *text, struct error *err)
{
	memset(options->paths, 0, sizeof(options->paths));
	options->paths[BENCH_DIRECT] = true;
	options->paths_chosen = true;
	return each_word(options, text, take_path, err);
}

int bench_options_tests(struct bench_options *options, const char *text, struct error *err)
{
	memset(options->tests, 0, sizeof(options->tests));
	return each_word(options, text, take_test, err);
}

int bench_options_require(struct bench_options *options, const char *text, struct error *err)
{
	return each_word(options, text, take_requirement, err);
}

/* ---- Numbers. */

static int take_number(const char *name, const char *text, double min, double max, double *ret,
		       struct error *err)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= min && value <= max))
		return error_invalid(err, "%s takes %g to %g, not '%s'", name, min, max, text);
	*ret = value;
	return 0;
}

static int take_integer(const char *name, const char *text, int min, int max, int *ret,
			struct error *err)
{
	double value = 0;

	if (take_number(name, text, min, max, &value, err) != 0)
		return err->code;
	if (value != (double)(int)value)
		return error_invalid(err, "%s takes a whole number, not '%s'", name, text);
	*ret = (int)value;
	return 0;
}

int bench_options_rounds(struct bench_options *options, const char *text, struct error *err)
{
	int rounds = 0;
	int code = take_integer("--rounds", text, 1, ROUNDS_MAX, &rounds, err);

	if (code == 0)
		options->rounds = (unsigned int)rounds;
	return code;
}

int bench_options_seconds(struct bench_options *options, const char *text, struct error *err)
{
	return take_number("--seconds", text, SECONDS_MIN, SECONDS_MAX, &options->seconds, err);
}

int bench_options_cpu(int *ret_cpu, const char *text, unsigned int cpus, struct error *err)
{
	return take_integer("a CPU", text, 0, (int)cpus - 1, ret_cpu, err);
}

/* ---- Together. */

static unsigned int count_true(const bool *flags, size_t size)
{
	unsigned int count = 0;

	for (size_t i = 0; i < size; i++)
		count += flags[i];
	return count;
}

static double quick_seconds(const struct bench_options *options)
{
	unsigned int measurements = count_true(options->tests, BENCH_TESTS) *
				    (2 * count_true(options->paths, BENCH_PATHS) - 1) *
				    options->rounds;

	double seconds = QUICK_BUDGET_S / (measurements ? measurements : 1);

	if (seconds > QUICK_SECONDS)
		return QUICK_SECONDS;
	return seconds < SECONDS_MIN ? SECONDS_MIN : seconds;
}

int bench_options_finish(struct bench_options *options, struct error *err)
{
	if (count_true(options->paths, BENCH_PATHS) < 2)
		return error_invalid(
			err, "--paths takes one besides direct, which is measured with each");
	if (options->client_cpu < 0)
		options->client_cpu = options->cpu;
	if (options->rounds == 0)
		options->rounds = options->quick ? QUICK_ROUNDS : ROUNDS_DEFAULT;
	if (options->seconds == 0)
		options->seconds = options->quick ? quick_seconds(options) : SECONDS_DEFAULT;
	for (size_t i = 0; i < options->requirements_count; i++) {
		const struct bench_requirement *requirement = &options->requirements[i];

		if (!options->paths[requirement->path] || !options->tests[requirement->test])
			return error_invalid(err, "%s:%s is required but not measured",
					     bench_paths[requirement->path].name,
					     bench_tests[requirement->test].name);
	}
	return 0;
}
