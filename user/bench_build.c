/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: after a path is built a client connects once. That shows that it works, and leaves
 * its neighbours in the tables. Then the devices under the sockets are compared with those of the
 * direct veth, because a ratio shall mean the path: MTU, queues, qdisc, sizes of GSO and GRO, and
 * every offload that ethtool knows.
 */
#include "bench_build.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench_fabric.h"
#include "bench_peers.h"
#include "bench_traffic.h"

#define REACH_S          0.001
#define DESCRIPTION      16384
#define DIFFERENT_MAX    4     /* are named */
#define FLOWS_OF_SOCKETS 32768 /* as many as there may be by default */

static const char *const device_words[] = {"mtu",          "qdisc",        "txqueuelen",
					   "gso_max_size", "gro_max_size", "numrxqueues"};

/* ---- Building. */

static int build_bare(struct bench_world *world, struct bench_frames *frames, const char *reason,
		      enum bench_path path, struct bench_place *place, struct error *err)
{
	int code = bench_peer_build(world, path, place, err);

	if (code != 0 || !place->built)
		return code;
	if (frames && bench_frames_bare(frames, place, err) == 0)
		return 0;
	place->built = false;
	snprintf(place->reason, sizeof(place->reason), "%.*s", BENCH_REASON_MAX - 1,
		 frames ? err->message : reason);
	return 0;
}

static bool wants_ours(const struct bench_options *options)
{
	bool wanted = false;

	for (int i = 0; i < BENCH_PATHS; i++)
		wanted |= options->paths[i] && bench_paths[i].kind == BENCH_OURS;
	return wanted;
}

/* All flows of the tests, which may still be there when the next one begins. */
static unsigned int wanted_flows(const struct bench_options *options)
{
	unsigned int flows = FLOWS_OF_SOCKETS;

	for (int i = 0; i < BENCH_TESTS; i++)
		if (options->tests[i] && bench_tests[i].flows + FLOWS_OF_SOCKETS > flows)
			flows = bench_tests[i].flows + FLOWS_OF_SOCKETS;
	return flows;
}

static int build_all(struct bench_world *world, const struct bench_options *options,
		     struct bench_frames *frames, const char *reason, struct bench_place *places,
		     struct error *err)
{
	int code = 0;

	for (enum bench_path i = 0; code == 0 && i < BENCH_PATHS; i++) {
		if (!options->paths[i] || !bench_peer_has(i))
			continue;
		if (bench_paths[i].kind == BENCH_BARE)
			code = build_bare(world, frames, reason, i, &places[i], err);
		else
			code = bench_peer_build(world, i, &places[i], err);
	}
	if (code != 0 || !wants_ours(options))
		return code;
	code = bench_fabric_build(world, wanted_flows(options), places, err);
	return code ? error_context(err, "nsroute's own paths") : 0;
}

/* ---- Trying. */

static int try_path(const struct bench_world *world, struct bench_sample *shared,
		    struct bench_place *place, struct error *err)
{
	pid_t server;
	int code = bench_server_start(place, BENCH_TCP_CRR, -1, &server, err);

	if (code != 0)
		return code;
	code = bench_client_run(world, place, BENCH_TCP_CRR, REACH_S, -1, shared, err);
	bench_kill(server);
	if (code != 0 || !*shared->failure)
		return code;
	place->built = false;
	snprintf(place->reason, sizeof(place->reason), "nothing gets through: %.*s",
		 BENCH_REASON_MAX - 40, shared->failure);
	return 0;
}

/* ---- Comparing. */

/* The value after a word, "" when there is none. */
static void value_of(const char *text, const char *word, char *ret, size_t size)
{
	char pattern[32];
	const char *found;

	snprintf(pattern, sizeof(pattern), " %s ", word);
	found = strstr(text, pattern);
	*ret = '\0';
	if (found) {
		found += strlen(pattern);
		snprintf(ret, size, "%.*s", (int)strcspn(found, " \n"), found);
	}
}

static void note_difference(struct bench_place *place, const char *what, size_t size,
			    unsigned int *differences)
{
	size_t used = strlen(place->differs);
	char known[sizeof(place->differs)];

	snprintf(known, sizeof(known), "%.*s", (int)size, what);
	if (strstr(place->differs, known)) /* at the other end */
		return;
	if (++*differences <= DIFFERENT_MAX)
		snprintf(place->differs + used, sizeof(place->differs) - used, "%s%.*s",
			 used ? ", " : "", (int)size, what);
	else if (*differences == DIFFERENT_MAX + 1)
		snprintf(place->differs + used, sizeof(place->differs) - used, ", ...");
}

static void compare_words(struct bench_place *place, const char *device, const char *reference,
			  unsigned int *differences)
{
	char mine[32], other[32], text[80];

	for (size_t i = 0; i < sizeof(device_words) / sizeof(*device_words); i++) {
		value_of(device, device_words[i], mine, sizeof(mine));
		value_of(reference, device_words[i], other, sizeof(other));
		snprintf(text, sizeof(text), "%s %s", device_words[i], mine);
		if (strcmp(mine, other) != 0)
			note_difference(place, text, strlen(text), differences);
	}
}

/* Both are lines "feature: on". */
static void compare_offloads(struct bench_place *place, const char *device, const char *reference,
			     unsigned int *differences)
{
	while (*device && *reference) {
		size_t mine = strcspn(device, "\n"), other = strcspn(reference, "\n");

		if (mine != other || strncmp(device, reference, mine) != 0)
			note_difference(place, device + strspn(device, "\t"),
					mine - strspn(device, "\t"), differences);
		device += mine + (device[mine] == '\n');
		reference += other + (reference[other] == '\n');
	}
}

struct description {
	char link[DESCRIPTION];
	char offloads[DESCRIPTION]; /* "" where there is no ethtool */
};

static int describe(const struct bench_world *world, const char *netns, struct description *ret,
		    struct error *err)
{
	struct error ignored;
	int code = bench_command_output(world, netns, "ip -d -o link show dev " BENCH_INTERFACE,
					ret->link, sizeof(ret->link), err);

	if (code == 0 && bench_command_output(world, netns, "ethtool -k " BENCH_INTERFACE,
					      ret->offloads, sizeof(ret->offloads), &ignored) != 0)
		ret->offloads[0] = '\0';
	return code;
}

static int compare_place(const struct bench_world *world, const struct description *reference,
			 struct bench_place *place, struct error *err)
{
	const char *const ends[] = {place->client, place->server};
	unsigned int differences = 0;
	struct description end;

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		if (describe(world, ends[i], &end, err) != 0)
			return err->code;
		compare_words(place, end.link, reference->link, &differences);
		compare_offloads(place, end.offloads, reference->offloads, &differences);
	}
	return 0;
}

int bench_build(struct bench_world *world, const struct bench_options *options,
		struct bench_frames *frames, const char *reason, struct bench_sample *shared,
		struct bench_place *places, struct error *err)
{
	struct description reference;
	int code = build_all(world, options, frames, reason, places, err);

	for (enum bench_path i = 0; code == 0 && i < BENCH_PATHS; i++) {
		struct bench_place *place = &places[i];
		bool needed = i == BENCH_DIRECT || bench_paths[i].kind == BENCH_OURS ||
			      options->paths_chosen;

		if (!options->paths[i])
			continue;
		if (place->built)
			code = try_path(world, shared, place, err);
		if (code == 0 && !place->built && needed)
			code = error_set(err, -ENOTSUP, "path '%s' cannot be built: %s",
					 bench_paths[i].name, place->reason);
		if (code == 0 && i == BENCH_DIRECT)
			code = describe(world, place->client, &reference, err);
		if (code == 0 && place->built)
			code = compare_place(world, &reference, place, err);
	}
	return code;
}
