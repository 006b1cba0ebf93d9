/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench_chart.h"
#include "bench_options.h"
#include "bench_output.h"
#include "bench_run.h"
#include "doctor.h"

const char cmd_bench_help[] =
	"Measures how fast packets get from one network namespace to another: along nsroute's paths,\n"
	"along those of its peers that the machine has, and along bare programs, all side by side in\n"
	"namespaces of their own, and prints each as a ratio to a direct veth pair. The machine's own\n"
	"interfaces, routes and firewall are not touched. docs/benchmarks.md tells the method.\n"
	"\n"
	"Options:\n"
	"  --quick           under a minute in all: a look, not a figure\n"
	"  --rounds N        11 by default (--quick: 3)\n"
	"  --seconds S       of each measurement, 0.4 by default\n"
	"  --tests T,...     tcp_rr udp_rr tcp_crr stream udp_small frames frames_xdp; by name only:\n"
	"                    flows_1k flows_128k flows_1m hosts_16 hosts_16k (frames of so many flows, or\n"
	"                    to so many addresses)\n"
	"  --paths P,...     switched routed cables masqueraded big_tcp (nsroute), redirect_peer and\n"
	"                    redirect_neigh (bare programs),\n"
	"                    bridge bridge_netfilter routing iptables nft flowtable netkit ipvlan\n"
	"                    macvlan openvswitch; without it all that the machine has\n"
	"  --cpu N           the server's CPU, and the client's unless --client-cpu names another\n"
	"  --require PATH:TEST:RATIO,...   exit code 3 unless each is reached, in 7 rounds at least,\n"
	"                    with no packet lost or damaged\n"
	"  --svg FILE        a chart as well\n"
	"\n"
	"With -j: {\"kernel\", \"cpu\", \"client_cpu\", \"rounds\", \"seconds\", \"quick\", \"tests\",\n"
	"\"fast_packets\", \"slow_packets\", \"repeated\", \"missing\", \"paths\": [{\"path\", \"description\",\n"
	"\"kind\", \"built\", \"reason\", \"differs\", \"bad_checksums\", \"retransmitted\", \"results\": [{\"test\",\n"
	"\"unit\", \"rounds\", \"ratio\", \"quartile1\", \"quartile3\", \"rate\", \"lost\", \"void\", \"note\",\n"
	"\"p50_us\", \"p90_us\", \"p99_us\", \"p999_us\"}]}], \"requirements\": [{\"path\", \"test\", \"required\",\n"
	"\"ratio\", \"met\"}]}.\n"
	"\n"
	"Exit code: 0 done, 1 wrong usage, 2 the kernel refused, or interrupted, 3 a requirement is not\n"
	"met, 4 not all namespaces could be removed (the next run tries again).\n"
	"\n"
	"Examples:\n"
	"  sudo nsroute bench --quick\n"
	"  sudo nsroute bench --svg speed.svg\n"
	"  sudo nsroute bench --paths switched,redirect_peer --tests tcp_rr,udp_rr --rounds 31\n";

enum { QUICK = 256, ROUNDS, SECONDS, TESTS, PATHS, CPU, CLIENT_CPU, REQUIRE, SVG };

static const struct option option_table[] = {{"quick", no_argument, NULL, QUICK},
					     {"rounds", required_argument, NULL, ROUNDS},
					     {"seconds", required_argument, NULL, SECONDS},
					     {"tests", required_argument, NULL, TESTS},
					     {"paths", required_argument, NULL, PATHS},
					     {"cpu", required_argument, NULL, CPU},
					     {"client-cpu", required_argument, NULL, CLIENT_CPU},
					     {"require", required_argument, NULL, REQUIRE},
					     {"svg", required_argument, NULL, SVG},
					     {NULL, 0, NULL, 0}};

static unsigned int count_cpus(void)
{
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	return count > 0 ? (unsigned int)count : 1;
}

static int take_option(struct bench_options *options, int option, struct error *err)
{
	switch (option) {
	case QUICK:
		options->quick = true;
		return 0;
	case ROUNDS:
		return bench_options_rounds(options, optarg, err);
	case SECONDS:
		return bench_options_seconds(options, optarg, err);
	case TESTS:
		return bench_options_tests(options, optarg, err);
	case PATHS:
		return bench_options_paths(options, optarg, err);
	case CPU:
		return bench_options_cpu(&options->cpu, optarg, count_cpus(), err);
	case CLIENT_CPU:
		return bench_options_cpu(&options->client_cpu, optarg, count_cpus(), err);
	case REQUIRE:
		return bench_options_require(options, optarg, err);
	default:
		options->svg = optarg;
		return 0;
	}
}

/* Only a terminal sees it. */
static void show_progress(const char *test, unsigned int round, unsigned int rounds)
{
	fputs("\r\033[K", stderr);
	if (test)
		fprintf(stderr, "%s: round %u of %u", test, round, rounds);
}

/* Opened before anything is measured: a file that cannot be written should not cost minutes. What
 * is in it stays until there is a chart. */
static int open_chart(const char *path, FILE **ret, struct error *err)
{
	*ret = path ? fopen(path, "ae") : NULL;
	return path && !*ret ? error_set(err, -errno, "cannot write %s: %s", path, strerror(errno))
			     : 0;
}

static int close_chart(const char *path, FILE *chart, const json_t *tree, struct error *err)
{
	bool failed = false;

	if (!chart)
		return 0;
	if (tree) {
		failed = ftruncate(fileno(chart), 0) != 0 && errno != EINVAL; /* not of a pipe */
		bench_chart(chart, tree);
	}
	failed |= ferror(chart) != 0;
	failed |= fclose(chart) != 0;
	return failed ? error_set(err, -EIO, "cannot write all of %s", path) : 0;
}

static int report(struct context *context, const struct bench_result *result, FILE *chart)
{
	const struct bench_options *options = result->options;
	json_t *tree = bench_output(result);
	int status = EXIT_DONE;
	struct error err;

	if (close_chart(options->svg, chart, tree, &err) != 0)
		status = command_fail(context, &err);
	if (context->json) {
		command_print_json(tree);
	} else {
		bench_output_text(stdout, tree, context->color);
		json_decref(tree);
	}
	for (size_t i = 0; status == EXIT_DONE && i < options->requirements_count; i++) {
		if (!bench_met(result, &options->requirements[i]))
			status = EXIT_DIFFERS;
	}
	return status;
}

int cmd_bench(struct context *context, int argc, char **argv)
{
	struct bench_result *result = arena_alloc(&context->arena, sizeof(*result));
	struct bench_options options;
	struct error err, ignored;
	FILE *chart;
	int option;

	bench_options_init(&options, count_cpus());
	while ((option = command_option(context, argc, argv, option_table)) != -1) {
		if (option == '?')
			return EXIT_INVALID;
		if (take_option(&options, option, &err) != 0)
			return command_fail(context, &err);
	}
	if (optind != argc)
		return command_usage(context, "takes options only");
	if (context->netns)
		return command_usage(context, "--netns has no meaning here: it makes its own");
	if (bench_options_finish(&options, &err) != 0 || doctor_privilege(&err) != 0 ||
	    open_chart(options.svg, &chart, &err) != 0)
		return command_fail(context, &err);
	if (bench_run(&options, command_catch_signals(),
		      isatty(STDERR_FILENO) && !context->json ? show_progress : NULL,
		      &context->arena, result, &err) != 0) {
		close_chart(options.svg, chart, NULL, &ignored);
		return command_fail(context, &err);
	}
	return report(context, result, chart);
}
