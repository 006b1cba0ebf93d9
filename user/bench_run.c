/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: all paths are up together. A round measures every path once, with client and
 * server on the same CPU, and the direct veth before, after and between: direct A direct B direct C
 * direct. A path's figure of the round is its rate divided by the mean of its two neighbours. Where
 * these differ by more than BRACKET_PERCENT the machine was busy elsewhere: the path is measured
 * again, TRIES times at most. The order of paths moves on by one each round.
 *
 * --quick promises to end in time instead: nothing is repeated, and what is not measured when
 * QUICK_END_S have passed is left out and counted as missing.
 */
#include "bench_run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench_build.h"
#include "bench_fabric.h"
#include "bench_frames.h"
#include "bench_traffic.h"
#include "bench_world.h"
#include "netns.h"

#define BRACKET_PERCENT 10
#define TRIES           8
#define QUICK_END_S     46 /* the rest of the minute is for removing everything */

struct run {
	const struct bench_options *options;
	struct bench_world world;
	struct bench_frames *frames;
	struct bench_result *result;
	struct bench_sample *shared; /* memory that children write to */
	struct bench_sample sample;  /* the last one of a path */
	double bracket;              /* the last rate of the direct veth */
	struct timespec start;
	bench_progress progress;
	enum bench_path order[BENCH_PATHS]; /* asked for and built, without the direct veth */
	size_t paths;
	pid_t servers[BENCH_PATHS]; /* of the test that runs; 0: none */
	bool sinks[BENCH_PATHS];    /* the test's sink is there */
};

/* ---- One measurement. */

static double rate_of(const struct bench_sample *sample)
{
	return sample->seconds > 0 ? (double)sample->units / sample->seconds : 0;
}

/* Into run->shared. */
static int measure_for(struct run *run, double seconds, enum bench_path path, enum bench_test test,
		       struct error *err)
{
	const struct bench_options *options = run->options;
	const struct bench_place *place = &run->result->places[path];

	if (*run->world.interrupted)
		return error_set(err, -EINTR, "interrupted");
	if (bench_tests[test].frames)
		return bench_frames_run(run->frames, &run->world, place, test, seconds,
					options->client_cpu, run->shared, err);
	return bench_client_run(&run->world, place, test, seconds, options->client_cpu, run->shared,
				err);
}

static int measure(struct run *run, enum bench_path path, enum bench_test test, struct error *err)
{
	return measure_for(run, run->options->seconds, path, test, err);
}

/* One of the direct veth, which has to work. */
static int measure_direct(struct run *run, enum bench_test test, struct error *err)
{
	if (measure(run, BENCH_DIRECT, test, err) != 0)
		return err->code;
	if (*run->shared->failure)
		return error_set(err, -EIO, "direct veth, %s: %s", bench_tests[test].name,
				 run->shared->failure);
	run->bracket = rate_of(run->shared);
	return 0;
}

static void keep(struct bench_cell *cell, const struct bench_sample *sample, double ratio)
{
	cell->ratios[cell->count] = ratio;
	cell->rates[cell->count++] = rate_of(sample);
	cell->units += sample->units;
	cell->lost += sample->lost;
	bench_histogram_merge(&cell->laps, &sample->laps);
}

static bool is_still(double before, double after)
{
	double mean = (before + after) / 2, difference = before - after;

	if (difference < 0)
		difference = -difference;
	return difference * 100 <= mean * BRACKET_PERCENT;
}

/* Has the path see each of the test's flows, before the direct veth is measured that stands before
 * it: that takes seconds, in which the machine may become another one. */
static int meet_flows(struct run *run, enum bench_path path, enum bench_test test,
		      struct error *err)
{
	if (measure_for(run, 0, path, test, err) != 0)
		return err->code;
	return measure_direct(run, test, err);
}

/* Measures the path between two direct veths, the first of which is the one just measured, until
 * the two agree. */
static int measure_bracketed(struct run *run, enum bench_path path, enum bench_test test,
			     struct error *err)
{
	struct bench_result *result = run->result;
	bool quick = run->options->quick;

	if (bench_tests[test].flows && meet_flows(run, path, test, err) != 0)
		return err->code;
	for (unsigned int tries = 0; tries < TRIES; tries++) {
		double before = run->bracket, mean;

		if (measure(run, path, test, err) != 0)
			return err->code;
		run->sample = *run->shared;
		if (*run->sample.failure) {
			snprintf(result->cells[path][test].note, BENCH_REASON_MAX, "%s",
				 run->sample.failure);
			return 0;
		}
		if (measure_direct(run, test, err) != 0)
			return err->code;
		if (quick || is_still(before, run->bracket)) {
			mean = (before + run->bracket) / 2;
			keep(&result->cells[path][test], &run->sample,
			     rate_of(&run->sample) / mean);
			/* The yardstick's own row shows how still the machine was. */
			keep(&result->cells[BENCH_DIRECT][test], run->shared, run->bracket / mean);
			return 0;
		}
		result->repeated++;
	}
	result->missing++;
	return 0;
}

/* ---- One test. */

static bool is_late(const struct run *run)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return run->options->quick && now.tv_sec - run->start.tv_sec >= QUICK_END_S;
}

/* Whether the path has a table that the addresses are in: then they are. */
static int add_hosts(struct run *run, enum bench_path path, unsigned int hosts, struct error *err)
{
	const struct bench_place *place = &run->result->places[path];

	switch (path) {
	case BENCH_DIRECT:
		return 0;
	case BENCH_ROUTED:
		return bench_fabric_hosts(&run->world, place->server_address, hosts, err);
	case BENCH_REDIRECT_PEER:
		return bench_frames_hosts(run->frames, place, hosts, err);
	default:
		return error_set(err, -EOPNOTSUPP, "not measured on this path");
	}
}

static int start_path(struct run *run, enum bench_path path, enum bench_test test,
		      struct error *err)
{
	const struct bench_place *place = &run->result->places[path];
	struct bench_cell *cell = &run->result->cells[path][test];

	if (!bench_tests[test].frames)
		return bench_server_start(place, test, run->options->cpu, &run->servers[path], err);
	if (*place->no_frames) {
		memcpy(cell->note, place->no_frames, sizeof(cell->note));
		return 0;
	}
	run->sinks[path] = (!bench_tests[test].hosts ||
			    add_hosts(run, path, bench_tests[test].hosts, err) == 0) &&
			   bench_frames_sink(run->frames, place, test, true, err) == 0;
	if (!run->sinks[path])
		snprintf(cell->note, sizeof(cell->note), "%.*s", BENCH_REASON_MAX - 1,
			 err->message);
	return 0;
}

/* All paths, the direct veth first. */
static int start_test(struct run *run, enum bench_test test, struct error *err)
{
	int code = start_path(run, BENCH_DIRECT, test, err);

	for (size_t i = 0; code == 0 && i < run->paths; i++)
		code = start_path(run, run->order[i], test, err);
	return code;
}

static void end_test(struct run *run, enum bench_test test)
{
	struct error err; /* the namespace goes soon, with all that is attached in it */

	for (int i = 0; i < BENCH_PATHS; i++) {
		if (run->servers[i])
			bench_kill(run->servers[i]);
		run->servers[i] = 0;
		if (run->sinks[i])
			bench_frames_sink(run->frames, &run->result->places[i], test, false, &err);
		run->sinks[i] = false;
	}
}

static void next_order(struct run *run)
{
	enum bench_path first = run->order[0];

	if (run->paths == 0)
		return;
	memmove(run->order, run->order + 1, (run->paths - 1) * sizeof(*run->order));
	run->order[run->paths - 1] = first;
}

static int run_rounds(struct run *run, enum bench_test test, struct error *err)
{
	unsigned int rounds = run->options->rounds;
	int code = measure_direct(run, test, err);

	for (unsigned int round = 1; code == 0 && round <= rounds; round++) {
		if (run->progress)
			run->progress(bench_tests[test].name, round, rounds);
		for (size_t i = 0; code == 0 && i < run->paths; i++) {
			if (*run->result->cells[run->order[i]][test].note)
				continue;
			if (is_late(run))
				run->result->missing++;
			else
				code = measure_bracketed(run, run->order[i], test, err);
		}
		next_order(run);
	}
	return code;
}

static void note_all(struct run *run, enum bench_test test, const char *note)
{
	for (int i = 0; i < BENCH_PATHS; i++)
		snprintf(run->result->cells[i][test].note, BENCH_REASON_MAX, "%s", note);
}

static int run_test(struct run *run, enum bench_test test, struct error *err)
{
	int code = start_test(run, test, err);

	if (code == 0 && bench_tests[test].frames && !run->sinks[BENCH_DIRECT])
		note_all(run, test, run->result->cells[BENCH_DIRECT][test].note);
	else if (code == 0)
		code = run_rounds(run, test, err);
	end_test(run, test);
	if (run->progress)
		run->progress(NULL, 0, 0);
	return code;
}

/* ---- Counters. */

/* Sums "InCsumErrors" of all protocols and "RetransSegs" of the namespace the thread is in. The
 * file has two lines a protocol: names, and values in the same order. */
static void add_snmp(struct bench_counters *counters)
{
	char names[2048], values[2048], *name, *value, *rest_names, *rest_values;
	FILE *file = fopen("/proc/thread-self/net/snmp", "re");

	while (file && fgets(names, sizeof(names), file) && fgets(values, sizeof(values), file)) {
		rest_names = names;
		rest_values = values;
		while ((name = strsep(&rest_names, " \n")) &&
		       (value = strsep(&rest_values, " \n"))) {
			uint64_t number = 0;

			sscanf(value, "%lu", &number);
			if (strcmp(name, "InCsumErrors") == 0)
				counters->bad_checksums += number;
			if (strcmp(name, "RetransSegs") == 0)
				counters->retransmitted += number;
		}
	}
	if (file)
		fclose(file);
}

static int read_counters(const struct bench_place *place, struct bench_counters *counters,
			 struct error *err)
{
	const char *const ends[] = {place->client, place->server};
	int fd, previous, code = 0;

	for (size_t i = 0; code == 0 && i < sizeof(ends) / sizeof(*ends); i++) {
		code = netns_open(ends[i], &fd, err);
		if (code != 0)
			break;
		code = netns_enter(fd, &previous, err);
		if (code == 0) {
			add_snmp(counters);
			netns_leave(previous);
		}
		close(fd);
	}
	return code;
}

static int read_all_counters(struct run *run, struct error *err)
{
	struct bench_result *result = run->result;
	int code = 0;

	for (int i = 0; code == 0 && i < BENCH_PATHS; i++) {
		if (result->places[i].built)
			code = read_counters(&result->places[i], &result->counters[i], err);
	}
	result->fabric = *run->world.fabric_host != '\0';
	if (code == 0 && result->fabric)
		code = bench_fabric_counters(&run->world, &result->fast, &result->slow, err);
	return code;
}

/* ---- All of it. */

static bool wants_frames(const struct bench_options *options)
{
	bool wanted = false;

	for (int i = 0; i < BENCH_PATHS; i++)
		wanted |= options->paths[i] && bench_paths[i].kind == BENCH_BARE;
	for (int i = 0; i < BENCH_TESTS; i++)
		wanted |= options->tests[i] && bench_tests[i].frames;
	return wanted;
}

static void prepare(struct run *run, struct arena *arena)
{
	struct bench_result *result = run->result;
	size_t values = (size_t)run->options->rounds * BENCH_PATHS;

	for (int i = 0; i < BENCH_PATHS; i++) {
		for (int j = 0; j < BENCH_TESTS; j++) {
			struct bench_cell *cell = &result->cells[i][j];

			cell->ratios = arena_alloc(arena, values * sizeof(double));
			cell->rates = arena_alloc(arena, values * sizeof(double));
		}
	}
	for (int i = 0; i < BENCH_PATHS; i++) {
		/* nsroute's own are all built when one of them is asked for. */
		if (i != BENCH_DIRECT && run->options->paths[i] && result->places[i].built)
			run->order[run->paths++] = (enum bench_path)i;
	}
}

static int run_tests(struct run *run, struct error *err)
{
	const struct bench_options *options = run->options;
	bool prepared = false;
	int code = 0;

	for (enum bench_test i = 0; code == 0 && i < BENCH_TESTS; i++) {
		if (!options->tests[i])
			continue;
		if (bench_tests[i].frames && !run->frames) {
			note_all(run, i, "the generator cannot be loaded");
			continue;
		}
		for (int j = 0; bench_tests[i].frames && !prepared && j < BENCH_PATHS; j++) {
			if (run->result->places[j].built)
				bench_frames_prepare(&run->result->places[j]);
		}
		prepared |= bench_tests[i].frames;
		code = run_test(run, i, err);
	}
	return code ? code : read_all_counters(run, err);
}

static int build_and_run(struct run *run, struct arena *arena, struct error *err)
{
	char reason[BENCH_REASON_MAX] = "";
	int code;

	if (wants_frames(run->options) && bench_frames_open(&run->frames, err) != 0)
		snprintf(reason, sizeof(reason), "%.*s", BENCH_REASON_MAX - 1, err->message);
	code = bench_build(&run->world, run->options, run->frames, reason, run->shared,
			   run->result->places, err);
	if (code != 0)
		return code;
	prepare(run, arena);
	return run_tests(run, err);
}

static void describe_kernel(struct bench_result *result)
{
	struct utsname name;

	if (uname(&name) == 0)
		snprintf(result->kernel, sizeof(result->kernel), "%.*s", BENCH_NAME_MAX - 1,
			 name.release);
}

/* What went wrong first is what is told; that something is left comes with it. */
static int close_world(struct run *run, int code, struct error *err)
{
	struct error another;

	if (bench_world_close(&run->world, &another) == 0)
		return code;
	if (code == 0)
		*err = another;
	err->exit = EXIT_PARTLY;
	return error_context(err, "not everything could be removed (%s); the next run tries again",
			     another.message);
}

int bench_run(const struct bench_options *options, const volatile sig_atomic_t *interrupted,
	      bench_progress progress, struct arena *arena, struct bench_result *ret,
	      struct error *err)
{
	struct run *run = arena_alloc(arena, sizeof(*run));
	int code;

	memset(ret, 0, sizeof(*ret));
	ret->options = options;
	describe_kernel(ret);
	*run = (struct run){.options = options, .result = ret, .progress = progress};
	clock_gettime(CLOCK_MONOTONIC, &run->start);
	run->shared = mmap(NULL, sizeof(*run->shared), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (run->shared == MAP_FAILED)
		return error_set(err, -errno, "mmap: %s", strerror(errno));
	code = bench_world_open(&run->world, interrupted, err);
	if (code == 0) {
		code = build_and_run(run, arena, err);
		code = close_world(run, code, err);
	}
	bench_frames_close(run->frames);
	munmap(run->shared, sizeof(*run->shared));
	return code;
}
