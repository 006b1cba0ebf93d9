/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "output.h"

#define WATCH_DEFAULT_S 1.0
#define WATCH_MIN_S     0.1 /* reading the counters of 4,000 namespaces takes about as long */
#define WATCH_MAX_S     86400.0

const char cmd_stats_help[] =
	"Counters of one fabric, or of all of them. Directions are those of the namespace: rx is what\n"
	"it received. Of the packets that a namespace sent, fast is what nsroute forwarded, slow what\n"
	"it left to the kernel, and the rest are drops, each with a reason; rx_dropped of them are what\n"
	"others sent and it did not get.\n"
	"\n"
	"Options:\n"
	"  --watch [SEC]  every SEC seconds (1 when not given), numbers are rates per second; flows and\n"
	"                 ports stay what they are. Until interrupted.\n"
	"\n"
	"With -j one object, with several fabrics or none such objects in {\"fabrics\": [...]}:\n"
	"{\"fabric\", \"namespaces\": [{\"name\", \"interfaces\": [{\"name\", \"rx_packets\", \"rx_bytes\",\n"
	"\"tx_packets\", \"tx_bytes\", \"fast_packets\", \"slow_packets\", \"rx_dropped\",\n"
	"\"drops\": {REASON: N}}]}],\n"
	"\"uplinks\": [{\"name\", \"nat\": {\"flows\", \"created\", \"expired\", \"failed\": {REASON: N},\n"
	"\"ports_used\", \"ports_total\"}}], \"drops\": {REASON: N}}, and more keys. --watch prints one\n"
	"object a line with the totals, \"interval_s\", and \"rates\" of the same shape.\n"
	"\n"
	"Examples:\n"
	"  sudo nsroute stats lab\n"
	"  sudo nsroute stats --watch 5\n"
	"  sudo nsroute -j stats lab | jq '.namespaces[].interfaces[].rx_packets'\n";

static json_t *stats_model(const struct record *record, const struct kernel_state *state,
			   void *argument)
{
	const char *name = argument;

	if (!name && strcmp(record->fabric, RECORD_STEPS) == 0)
		return NULL; /* they have no datapath; and a script's only fabric stays the only one
			      */
	return output_stats(record, state);
}

static void print_text(const struct context *context, const json_t *fabrics)
{
	json_t *fabric;
	size_t i;

	if (json_array_size(fabrics) == 0)
		fprintf(stderr, "no fabrics\n");
	json_array_foreach(fabrics, i, fabric)
	{
		if (i > 0)
			putchar('\n');
		output_stats_text(stdout, fabric, context->color);
	}
}

static int stats_once(struct context *context, const struct host *host, const char *name)
{
	struct error err;
	json_t *fabrics;

	if (command_models(host, name, stats_model, (void *)name, &fabrics, &err) != 0)
		return command_fail(context, &err);
	if (context->json) {
		command_print_json(output_one_or_many(fabrics));
		return EXIT_DONE;
	}
	print_text(context, fabrics);
	json_decref(fabrics);
	return EXIT_DONE;
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void sleep_s(double seconds)
{
	struct timespec left = {.tv_sec = (time_t)seconds};

	left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
	nanosleep(&left, NULL);
}

/* A terminal shows one table that changes; a pipe gets them one after another, or JSON lines. Takes
 * the reference of rates. */
static void print_interval(struct context *context, const json_t *totals, json_t *rates,
			   double seconds)
{
	json_t *line;

	if (!context->json) {
		if (isatty(STDOUT_FILENO))
			fputs("\033[H\033[J", stdout);
		printf("per second, over %.1f s\n", seconds);
		print_text(context, rates);
		json_decref(rates);
		return;
	}
	line = output_one_or_many(json_deep_copy(totals));
	json_object_set_new(line, "interval_s", json_real(seconds));
	json_object_set_new(line, "rates", output_one_or_many(rates));
	json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(line);
}

/* Ends by a signal, or when the fabric goes or nobody reads any more. */
static int stats_watch(struct context *context, const struct host *host, const char *name,
		       double interval_s)
{
	json_t *before, *after;
	double then, now;
	struct error err;

	then = now_s();
	if (command_models(host, name, stats_model, (void *)name, &before, &err) != 0)
		return command_fail(context, &err);
	do {
		sleep_s(interval_s);
		now = now_s();
		if (command_models(host, name, stats_model, (void *)name, &after, &err) != 0) {
			json_decref(before);
			return command_fail(context, &err);
		}
		print_interval(context, after, output_rates(before, after, now - then), now - then);
		json_decref(before);
		before = after;
		then = now;
	} while (fflush(stdout) == 0);
	json_decref(before);
	return EXIT_DONE;
}

static bool parse_interval(const char *text, double *ret_seconds)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= WATCH_MIN_S && seconds <= WATCH_MAX_S))
		return false;
	*ret_seconds = seconds;
	return true;
}

int cmd_stats(struct context *context, int argc, char **argv)
{
	static const struct option options[] = {{"watch", optional_argument, NULL, 256},
						{NULL, 0, NULL, 0}};
	double interval_s = WATCH_DEFAULT_S;
	bool watch = false;
	const char *name;
	struct error err;
	struct host host;
	int option, status;

	while ((option = command_option(context, argc, argv, options)) != -1) {
		if (option == '?')
			return EXIT_INVALID;
		watch = true;
		/* getopt_long() knows --watch=5 only. */
		if (!optarg && optind < argc && parse_interval(argv[optind], &interval_s))
			optind++;
		else if (optarg && !parse_interval(optarg, &interval_s))
			return command_usage(context,
					     "--watch takes %.1f to %.0f seconds, not '%s'",
					     WATCH_MIN_S, WATCH_MAX_S, optarg);
	}
	if (argc - optind > 1)
		return command_usage(context, "at most one name is needed");
	name = optind < argc ? argv[optind] : NULL;
	if (command_open_host(context, &host, &err) != 0)
		return command_fail(context, &err);
	status = watch ? stats_watch(context, &host, name, interval_s)
		       : stats_once(context, &host, name);
	close(host.fd);
	return status;
}
