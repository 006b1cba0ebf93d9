/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What "nsroute bench" computes without a network: statistics, options, and the two outputs of a
 * result.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bench_chart.h"
#include "bench_options.h"
#include "bench_output.h"
#include "output.h"

/* ---- Statistics. */

static struct bench_summary summarize(const double *values, size_t count)
{
	double copy[16];

	memcpy(copy, values, count * sizeof(*values));
	return bench_summarize(copy, count);
}

static void assert_summary(struct bench_summary summary, double low, double median, double high)
{
	assert_float_equal(summary.low, low, 1e-9);
	assert_float_equal(summary.median, median, 1e-9);
	assert_float_equal(summary.high, high, 1e-9);
}

static void test_summary(void **state)
{
	static const double one[] = {0.5}, two[] = {3, 1}, four[] = {4, 1, 3, 2},
			    seven[] = {7, 6, 5, 4, 3, 2, 1}, outlier[] = {1, 1, 900, 1, 1};

	(void)state;
	assert_summary(summarize(one, 1), 0.5, 0.5, 0.5);
	assert_summary(summarize(two, 2), 1, 2, 3);
	assert_summary(summarize(four, 4), 1, 2.5, 4);
	assert_summary(summarize(seven, 7), 2, 4, 6);
	assert_summary(summarize(outlier, 5), 1, 1, 1);
}

/* Every duration lies in a bucket whose middle is near it, from a nanosecond to seconds. */
static void test_histogram_resolution(void **state)
{
	(void)state;
	for (uint64_t ns = 1; ns < 20000000000ull; ns += 1 + ns / 97) {
		struct bench_histogram histogram = {};
		double found;

		bench_histogram_add(&histogram, ns);
		found = bench_histogram_us(&histogram, 0.5) * 1000;
		assert_true(found >= (double)ns * 0.984 && found <= (double)ns * 1.016);
	}
}

static void test_histogram_percentiles(void **state)
{
	struct bench_histogram histogram = {}, more = {};

	(void)state;
	assert_float_equal(bench_histogram_us(&histogram, 0.5), 0, 0);
	for (unsigned int i = 0; i < 990; i++)
		bench_histogram_add(&histogram, 10000);
	for (unsigned int i = 0; i < 9; i++)
		bench_histogram_add(&more, 1000000);
	bench_histogram_add(&more, UINT64_MAX);
	bench_histogram_merge(&histogram, &more);
	assert_int_equal(histogram.count, 1000);
	assert_float_equal(bench_histogram_us(&histogram, 0.5), 10, 0.2);
	assert_float_equal(bench_histogram_us(&histogram, 0.99), 10, 0.2);
	assert_float_equal(bench_histogram_us(&histogram, 0.995), 1000, 16);
	assert_true(bench_histogram_us(&histogram, 1) > 1e8);
}

/* ---- Options. */

#define UNASKED BENCH_FLOWS_1K /* tests: those from here on are measured by name only */

static void test_options_default(void **state)
{
	struct bench_options options;
	struct error err;

	(void)state;
	bench_options_init(&options, 4);
	assert_int_equal(bench_options_finish(&options, &err), 0);
	assert_int_equal(options.cpu, 3);
	assert_int_equal(options.client_cpu, 3);
	assert_int_equal(options.rounds, 11);
	assert_float_equal(options.seconds, 0.4, 1e-9);
	for (int i = 0; i < BENCH_PATHS; i++)
		assert_true(options.paths[i]);
	for (int i = 0; i < BENCH_TESTS; i++)
		assert_int_equal(options.tests[i], i < UNASKED);
}

static void test_options_lists(void **state)
{
	struct bench_options options;
	struct error err;

	(void)state;
	bench_options_init(&options, 1);
	assert_int_equal(bench_options_paths(&options, "nft,switched", &err), 0);
	for (int i = 0; i < BENCH_PATHS; i++)
		assert_int_equal(options.paths[i],
				 i == BENCH_DIRECT || i == BENCH_NFT || i == BENCH_SWITCHED);
	assert_int_equal(bench_options_tests(&options, "stream", &err), 0);
	assert_true(options.tests[BENCH_STREAM]);
	assert_false(options.tests[BENCH_TCP_RR]);
	assert_int_equal(bench_options_paths(&options, "nft,switch", &err), -EINVAL);
	assert_int_equal(err.exit, EXIT_INVALID);
	assert_non_null(strstr(err.message, "'switch'"));
	assert_non_null(strstr(err.message, "switched"));
	assert_int_equal(bench_options_tests(&options, "", &err), -EINVAL);
	assert_int_equal(bench_options_tests(&options, "tcp_rr,", &err), -EINVAL);
}

static void test_options_numbers(void **state)
{
	static const char *const wrong_rounds[] = {"0", "1000", "1.5", "x", "", "3 "};
	struct bench_options options;
	struct error err;

	(void)state;
	bench_options_init(&options, 2);
	assert_int_equal(bench_options_rounds(&options, "7", &err), 0);
	assert_int_equal(options.rounds, 7);
	for (size_t i = 0; i < sizeof(wrong_rounds) / sizeof(*wrong_rounds); i++)
		assert_int_equal(bench_options_rounds(&options, wrong_rounds[i], &err), -EINVAL);
	assert_int_equal(bench_options_seconds(&options, "0.25", &err), 0);
	assert_int_equal(bench_options_seconds(&options, "0", &err), -EINVAL);
	assert_int_equal(bench_options_seconds(&options, "nan", &err), -EINVAL);
	assert_int_equal(bench_options_cpu(&options.client_cpu, "0", 2, &err), 0);
	assert_int_equal(bench_options_cpu(&options.client_cpu, "2", 2, &err), -EINVAL);
	assert_int_equal(bench_options_finish(&options, &err), 0);
	assert_int_equal(options.cpu, 1);
	assert_int_equal(options.client_cpu, 0);
	assert_int_equal(options.rounds, 7);
	assert_float_equal(options.seconds, 0.25, 1e-9);
}

static void test_options_require(void **state)
{
	static const char *const wrong[] = {
		"routed",           "routed:tcp_rr",  "routed:tcp_rr:", "routed:tcp_rr:x",
		"routed:tcp_rr:-1", "route:tcp_rr:1", "routed:rr:1"};
	struct bench_options options;
	struct error err;

	(void)state;
	bench_options_init(&options, 1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(bench_options_require(&options, wrong[i], &err), -EINVAL);
	assert_int_equal(bench_options_require(&options, "routed:tcp_rr:0.9,nft:stream:0.5", &err),
			 0);
	assert_int_equal(options.requirements_count, 2);
	assert_int_equal(options.requirements[0].path, BENCH_ROUTED);
	assert_int_equal(options.requirements[1].test, BENCH_STREAM);
	assert_float_equal(options.requirements[1].ratio, 0.5, 1e-9);
	assert_int_equal(bench_options_finish(&options, &err), 0);
	bench_options_paths(&options, "routed", &err);
	assert_int_equal(bench_options_finish(&options, &err), -EINVAL); /* nft is not measured */
}

/* However much is chosen, the measuring fits into half a minute. */
static void test_options_quick(void **state)
{
	struct bench_options options;
	struct error err;

	(void)state;
	bench_options_init(&options, 1);
	options.quick = true;
	assert_int_equal(bench_options_finish(&options, &err), 0);
	assert_true(options.seconds * options.rounds * UNASKED * (2 * BENCH_PATHS - 1) < 30);
	bench_options_init(&options, 1);
	options.quick = true;
	bench_options_tests(&options, "tcp_rr", &err);
	bench_options_paths(&options, "bridge", &err);
	assert_int_equal(bench_options_finish(&options, &err), 0);
	assert_float_equal(options.seconds, 0.2, 1e-9);
	assert_int_equal(bench_options_paths(&options, "direct", &err), 0);
	assert_int_equal(bench_options_finish(&options, &err), -EINVAL); /* to be compared with? */
}

/* ---- A result, and what is made of it. */

static double ratios[BENCH_ENOUGH_ROUNDS] = {0.9, 0.95, 0.94, 0.93, 0.96, 0.97, 0.92};
static double rates[BENCH_ENOUGH_ROUNDS] = {10, 20, 30, 40, 50, 60, 70};

/* direct and nft have figures of tcp_rr, and none of stream; netkit is not there. */
static struct bench_result *make_result(struct bench_options *options)
{
	struct bench_result *result = calloc(1, sizeof(*result));
	struct error err;

	assert_non_null(result);
	bench_options_init(options, 1);
	bench_options_paths(options, "nft,netkit", &err);
	bench_options_tests(options, "tcp_rr,stream", &err);
	bench_options_require(options, "nft:tcp_rr:0.9,nft:tcp_rr:0.95", &err);
	bench_options_finish(options, &err);
	result->options = options;
	strcpy(result->places[BENCH_NETKIT].reason, "<no> \"netkit\" & nothing");
	strcpy(result->places[BENCH_NFT].differs, "mtu 9000");
	strcpy(result->kernel, "6.1 <&>");
	for (int i = 0; i < BENCH_PATHS; i++) {
		if (i != BENCH_DIRECT && i != BENCH_NFT)
			continue;
		result->places[i].built = true;
		result->cells[i][BENCH_TCP_RR] = (struct bench_cell){
			.ratios = ratios, .rates = rates, .count = BENCH_ENOUGH_ROUNDS};
		bench_histogram_add(&result->cells[i][BENCH_TCP_RR].laps, 12000);
	}
	return result;
}

static void test_requirements(void **state)
{
	struct bench_options options;
	struct bench_result *result = make_result(&options);
	struct bench_cell *cell = &result->cells[BENCH_NFT][BENCH_TCP_RR];

	(void)state;
	assert_true(bench_met(result, &options.requirements[0]));
	assert_false(bench_met(result, &options.requirements[1]));
	cell->count--; /* too few rounds */
	assert_false(bench_met(result, &options.requirements[0]));
	cell->count++;
	cell->lost = 1;
	assert_false(bench_met(result, &options.requirements[0]));
	cell->lost = 0;
	result->counters[BENCH_NFT].bad_checksums = 1;
	assert_false(bench_met(result, &options.requirements[0]));
	free(result);
}

/* A generator without feedback may lose a tenth. */
static void test_void_frames(void **state)
{
	struct bench_options options;
	struct bench_result *result = make_result(&options);
	struct bench_cell *cell = &result->cells[BENCH_NFT][BENCH_FRAMES];

	(void)state;
	cell->units = 900;
	cell->lost = 100;
	assert_false(bench_void(result, BENCH_NFT, BENCH_FRAMES));
	cell->lost = 101;
	assert_true(bench_void(result, BENCH_NFT, BENCH_FRAMES));
	free(result);
}

static void test_json(void **state)
{
	struct bench_options options;
	struct bench_result *result = make_result(&options);
	json_t *tree = bench_output(result), *paths, *figures;

	(void)state;
	assert_non_null(tree);
	paths = json_object_get(tree, "paths");
	assert_int_equal(json_array_size(paths), 3); /* direct, nft, netkit */
	figures = json_array_get(json_object_get(json_array_get(paths, 1), "results"), 0);
	assert_string_equal(json_string_value(json_object_get(figures, "test")), "tcp_rr");
	assert_float_equal(json_number_value(json_object_get(figures, "ratio")), 0.94, 1e-9);
	assert_float_equal(json_number_value(json_object_get(figures, "quartile1")), 0.92, 1e-9);
	assert_float_equal(json_number_value(json_object_get(figures, "quartile3")), 0.96, 1e-9);
	assert_int_equal(json_number_value(json_object_get(figures, "rate")), 40);
	assert_float_equal(json_number_value(json_object_get(figures, "p999_us")), 12, 0.2);
	assert_true(json_is_false(json_object_get(figures, "void")));
	assert_true(json_is_false(json_object_get(json_array_get(paths, 2), "built")));
	assert_int_equal(json_array_size(json_object_get(json_array_get(paths, 2), "results")), 0);
	assert_true(json_is_null(json_object_get(tree, "fast_packets")));
	json_decref(tree);
	free(result);
}

static void test_text(void **state)
{
	struct bench_options options;
	struct bench_result *result = make_result(&options);
	json_t *tree = bench_output(result);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	bench_output_text(out, tree, false);
	fclose(out);
	assert_non_null(strstr(text, "nft     0.94 (0.92-0.96)"));
	assert_non_null(strstr(text, "not here: netkit: <no> \"netkit\" & nothing\n"));
	assert_non_null(strstr(text, "unlike the direct veth: nft: mtu 9000\n"));
	assert_non_null(strstr(text, "\ndirect veth, a second: tcp_rr 40 transactions\n"));
	assert_non_null(strstr(text, "required: nft tcp_rr >= 0.95, measured 0.940: NOT met\n"));
	free(text);
	json_decref(tree);
	free(result);
}

/* As much of a parser as tells a well-formed document: every element is closed by its own name, no
 * stray '<' or '&'. */
static void assert_well_formed(const char *text)
{
	char open[16][16];
	size_t depth = 0;

	while (*text) {
		size_t length = strcspn(text + 1, " >/");
		const char *end = strchr(text, '>');

		if (*text == '&') {
			assert_true(
				strncmp(text, "&lt;", 4) == 0 || strncmp(text, "&gt;", 4) == 0 ||
				strncmp(text, "&amp;", 5) == 0 || strncmp(text, "&quot;", 6) == 0);
		} else if (*text == '<' && text[1] == '/') {
			assert_true(depth > 0);
			depth--;
			assert_memory_equal(text + 2, open[depth], strlen(open[depth]));
		} else if (*text == '<') {
			assert_non_null(end);
			assert_true(length > 0 && length < sizeof(open[0]) && depth < 16);
			if (end[-1] != '/') {
				memcpy(open[depth], text + 1, length);
				open[depth++][length] = '\0';
			}
			text = end;
		}
		text++;
	}
	assert_int_equal(depth, 0);
}

static void test_chart(void **state)
{
	struct bench_options options;
	struct bench_result *result = make_result(&options);
	json_t *tree = bench_output(result);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	bench_chart(out, tree);
	fclose(out);
	assert_int_equal(strncmp(text, "<svg ", 5), 0);
	assert_well_formed(text);
	assert_non_null(strstr(text, ">0.94</text>"));
	assert_non_null(strstr(text, ">tcp_rr: 1.00 is 40.0 transactions a second</text>"));
	assert_non_null(strstr(text, "Linux 6.1 &lt;&amp;&gt;;"));
	assert_null(strstr(text, "netkit")); /* no figure, no bar, */
	assert_null(strstr(text, "stream")); /* and no panel */
	assert_null(strstr(text, "<script"));
	assert_null(strstr(text, "href"));
	free(text);
	json_decref(tree);
	free(result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_summary),
		cmocka_unit_test(test_histogram_resolution),
		cmocka_unit_test(test_histogram_percentiles),
		cmocka_unit_test(test_options_default),
		cmocka_unit_test(test_options_lists),
		cmocka_unit_test(test_options_numbers),
		cmocka_unit_test(test_options_require),
		cmocka_unit_test(test_options_quick),
		cmocka_unit_test(test_requirements),
		cmocka_unit_test(test_void_frames),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_chart),
	};

	output_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
