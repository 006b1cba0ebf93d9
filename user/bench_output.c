/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "bench_output.h"

#include <string.h>

#include "output.h"
#include "output_table.h"

static const double percentiles[] = {0.5, 0.9, 0.99, 0.999};
static const char *const percentile_keys[] = {"p50_us", "p90_us", "p99_us", "p999_us"};

#define PERCENTILES 4
#define CELL_MAX    64
#define RATIO_STEP  1000 /* more digits would be noise */
#define ENDS        2    /* a table's columns beside those of the tests */

static const char *const kind_names[] = {[BENCH_CEILING] = "ceiling",
					 [BENCH_OURS] = "nsroute",
					 [BENCH_BARE] = "bare",
					 [BENCH_PEER] = "peer"};

/* ---- The tree. */

static json_t *rounded(double value, double steps)
{
	return json_real((double)(int64_t)(value * steps + 0.5) / steps);
}

static json_t *text_or_null(const char *text)
{
	return *text ? output_string(text) : json_null();
}

static void add_figures(json_t *object, const struct bench_cell *cell)
{
	bool any = cell->count > 0;
	struct bench_summary ratio = {}, rate = {};

	if (any) {
		ratio = bench_summarize(cell->ratios, cell->count);
		rate = bench_summarize(cell->rates, cell->count);
	}
	json_object_set_new(object, "ratio", any ? rounded(ratio.median, RATIO_STEP) : json_null());
	json_object_set_new(object, "quartile1",
			    any ? rounded(ratio.low, RATIO_STEP) : json_null());
	json_object_set_new(object, "quartile3",
			    any ? rounded(ratio.high, RATIO_STEP) : json_null());
	json_object_set_new(object, "rate", any ? rounded(rate.median, 1) : json_null());
}

static json_t *result_of(const struct bench_result *result, enum bench_path path,
			 enum bench_test test)
{
	const struct bench_cell *cell = &result->cells[path][test];
	json_t *object =
		json_pack("{s:s, s:s, s:I, s:I, s:b, s:o}", "test", bench_tests[test].name, "unit",
			  bench_tests[test].unit, "rounds", (json_int_t)cell->count, "lost",
			  (json_int_t)cell->lost, "void", bench_void(result, path, test), "note",
			  text_or_null(cell->note));

	add_figures(object, cell);
	for (size_t i = 0; bench_tests[test].latency && i < PERCENTILES; i++)
		json_object_set_new(
			object, percentile_keys[i],
			cell->count ? rounded(bench_histogram_us(&cell->laps, percentiles[i]), 100)
				    : json_null());
	return object;
}

static json_t *path_of(const struct bench_result *result, enum bench_path path)
{
	const struct bench_place *place = &result->places[path];
	const struct bench_counters *counters = &result->counters[path];
	json_t *results = json_array();

	for (enum bench_test i = 0; place->built && i < BENCH_TESTS; i++) {
		if (result->options->tests[i])
			json_array_append_new(results, result_of(result, path, i));
	}
	return json_pack("{s:s, s:s, s:s, s:b, s:o, s:o, s:I, s:I, s:o}", "path",
			 bench_paths[path].name, "description", bench_paths[path].description,
			 "kind", kind_names[bench_paths[path].kind], "built", place->built,
			 "reason", text_or_null(place->reason), "differs",
			 text_or_null(place->differs), "bad_checksums",
			 (json_int_t)counters->bad_checksums, "retransmitted",
			 (json_int_t)counters->retransmitted, "results", results);
}

static json_t *requirement_of(const struct bench_result *result,
			      const struct bench_requirement *requirement)
{
	const struct bench_cell *cell = &result->cells[requirement->path][requirement->test];

	return json_pack(
		"{s:s, s:s, s:f, s:o, s:b}", "path", bench_paths[requirement->path].name, "test",
		bench_tests[requirement->test].name, "required", requirement->ratio, "ratio",
		cell->count ? rounded(bench_summarize(cell->ratios, cell->count).median, RATIO_STEP)
			    : json_null(),
		"met", bench_met(result, requirement));
}

json_t *bench_output(const struct bench_result *result)
{
	const struct bench_options *options = result->options;
	json_t *paths = json_array(), *requirements = json_array(), *tests = json_array();

	for (enum bench_test i = 0; i < BENCH_TESTS; i++) {
		if (options->tests[i])
			json_array_append_new(tests, json_string(bench_tests[i].name));
	}
	for (enum bench_path i = 0; i < BENCH_PATHS; i++) {
		if (options->paths[i])
			json_array_append_new(paths, path_of(result, i));
	}
	for (size_t i = 0; i < options->requirements_count; i++)
		json_array_append_new(requirements,
				      requirement_of(result, &options->requirements[i]));
	return json_pack("{s:o, s:i, s:i, s:i, s:o, s:b, s:o, s:o, s:o, s:I, s:I, s:o, s:o}",
			 "kernel", output_string(result->kernel), "cpu", options->cpu, "client_cpu",
			 options->client_cpu, "rounds", (int)options->rounds, "seconds",
			 rounded(options->seconds, 10000), "quick", options->quick, "tests", tests,
			 "fast_packets",
			 result->fabric ? json_integer((json_int_t)result->fast) : json_null(),
			 "slow_packets",
			 result->fabric ? json_integer((json_int_t)result->slow) : json_null(),
			 "repeated", (json_int_t)result->repeated, "missing",
			 (json_int_t)result->missing, "paths", paths, "requirements", requirements);
}

/* ---- Tables. */

static const char *string_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static double number_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static void add_ratio(struct table *table, const json_t *result)
{
	char text[CELL_MAX] = "";

	if (json_is_number(json_object_get(result, "ratio")))
		snprintf(text, sizeof(text), "%.2f (%.2f-%.2f)%s", number_of(result, "ratio"),
			 number_of(result, "quartile1"), number_of(result, "quartile3"),
			 is_true(result, "void") ? " void" : "");
	table_add_painted(table, text, is_true(result, "void") ? TABLE_BAD : TABLE_PLAIN);
}

static void print_ratios(FILE *out, const json_t *tree, struct arena *arena, bool color)
{
	struct table_column columns[BENCH_TESTS + ENDS + 1] = {{"path", false}};
	json_t *path, *result, *test;
	struct table table;
	size_t count = 1, i, j;

	json_array_foreach(json_object_get(tree, "tests"), i, test) columns[count++] =
		(struct table_column){json_string_value(test), false};
	columns[count++] = (struct table_column){"bad checksums", true};
	columns[count++] = (struct table_column){"retransmitted", true};
	table_init(&table, arena, columns, count);
	json_array_foreach(json_object_get(tree, "paths"), i, path)
	{
		char text[CELL_MAX];

		if (!is_true(path, "built"))
			continue;
		table_add(&table, string_of(path, "path"));
		json_array_foreach(json_object_get(path, "results"), j, result)
			add_ratio(&table, result);
		snprintf(text, sizeof(text), "%.0f", number_of(path, "bad_checksums"));
		table_add(&table, text);
		snprintf(text, sizeof(text), "%.0f", number_of(path, "retransmitted"));
		table_add(&table, text);
	}
	table_print(&table, out, color);
}

static void add_percentiles(struct table *table, const json_t *path)
{
	json_t *result;
	size_t i;

	json_array_foreach(json_object_get(path, "results"), i, result)
	{
		char text[CELL_MAX];

		if (!json_is_number(json_object_get(result, percentile_keys[0])))
			continue;
		table_add(table, string_of(path, "path"));
		table_add(table, string_of(result, "test"));
		for (size_t j = 0; j < PERCENTILES; j++) {
			snprintf(text, sizeof(text), "%.1f", number_of(result, percentile_keys[j]));
			table_add(table, text);
		}
		snprintf(text, sizeof(text), "%.0f", number_of(result, "lost"));
		table_add(table, text);
	}
}

static void print_percentiles(FILE *out, const json_t *tree, struct arena *arena, bool color)
{
	static const struct table_column columns[] = {
		{"path", false},  {"test", false},    {"p50 us", true}, {"p90 us", true},
		{"p99 us", true}, {"p99.9 us", true}, {"lost", true}};
	struct table table;
	json_t *path;
	size_t i;

	table_init(&table, arena, columns, sizeof(columns) / sizeof(*columns));
	json_array_foreach(json_object_get(tree, "paths"), i, path) add_percentiles(&table, path);
	if (table.count > 0)
		fputc('\n', out);
	table_print(&table, out, color);
}

/* What the ratios are of. */
static void print_rates(FILE *out, const json_t *tree)
{
	const json_t *direct = json_array_get(json_object_get(tree, "paths"), 0);
	const char *separator = "";
	json_t *result;
	size_t i;

	fputs("\ndirect veth, a second:", out);
	json_array_foreach(json_object_get(direct, "results"), i, result)
	{
		if (!json_is_number(json_object_get(result, "rate")))
			continue;
		fprintf(out, "%s %s %.0f %s", separator, string_of(result, "test"),
			number_of(result, "rate"), string_of(result, "unit"));
		separator = ",";
	}
	fputc('\n', out);
}

static void print_notes(FILE *out, const json_t *tree)
{
	json_t *path, *result;
	size_t i, j;

	json_array_foreach(json_object_get(tree, "paths"), i, path)
	{
		if (!is_true(path, "built"))
			fprintf(out, "not here: %s: %s\n", string_of(path, "path"),
				string_of(path, "reason"));
		if (*string_of(path, "differs"))
			fprintf(out, "unlike the direct veth: %s: %s\n", string_of(path, "path"),
				string_of(path, "differs"));
		json_array_foreach(json_object_get(path, "results"), j, result)
		{
			if (*string_of(result, "note"))
				fprintf(out, "no figure: %s, %s: %s\n", string_of(path, "path"),
					string_of(result, "test"), string_of(result, "note"));
		}
	}
}

static void print_ends(FILE *out, const json_t *tree)
{
	json_t *requirement;
	size_t i;

	if (json_is_number(json_object_get(tree, "fast_packets")))
		fprintf(out, "nsroute: %.0f packets by the fast path, %.0f by the kernel\n",
			number_of(tree, "fast_packets"), number_of(tree, "slow_packets"));
	if (!is_true(tree, "quick"))
		fprintf(out, "repeated because the direct veth moved: %.0f\n",
			number_of(tree, "repeated"));
	if (number_of(tree, "missing") > 0)
		fprintf(out, "missing: %.0f measurements (%s)\n", number_of(tree, "missing"),
			is_true(tree, "quick") ? "no time was left" : "the machine was not still");
	json_array_foreach(json_object_get(tree, "requirements"), i, requirement) fprintf(
		out, "required: %s %s >= %.2f, measured %.3f: %s\n", string_of(requirement, "path"),
		string_of(requirement, "test"), number_of(requirement, "required"),
		number_of(requirement, "ratio"), is_true(requirement, "met") ? "met" : "NOT met");
}

void bench_output_text(FILE *out, const json_t *tree, bool color)
{
	struct arena arena = {};

	fprintf(out,
		"Ratio to a direct veth pair: median (quartiles). Linux %s; %.0f rounds of "
		"%g s; ",
		string_of(tree, "kernel"), number_of(tree, "rounds"), number_of(tree, "seconds"));
	if (number_of(tree, "cpu") == number_of(tree, "client_cpu"))
		fprintf(out, "CPU %.0f", number_of(tree, "cpu"));
	else
		fprintf(out, "server on CPU %.0f, client on CPU %.0f", number_of(tree, "cpu"),
			number_of(tree, "client_cpu"));
	fputs(is_true(tree, "quick") ? "; a look, not a figure\n\n" : "\n\n", out);
	print_ratios(out, tree, &arena, color);
	print_percentiles(out, tree, &arena, color);
	print_rates(out, tree);
	print_notes(out, tree);
	print_ends(out, tree);
	arena_free(&arena);
}
