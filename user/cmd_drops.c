/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the datapath tells of each drop by the number of a link (datapath_listen.h); names
 * come from the records and the kernel. They are read before listening begins, and again when a
 * number turns up that is not known, at most once a second.
 */
#include "command.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "datapath_listen.h"
#include "lookup.h"
#include "output.h"
#include "output_drops.h"

#define WAIT_MS     200
#define SECOND_NS   1000000000ll
#define SECONDS_MAX 1e9

const char cmd_drops_help[] =
	"Tells of packets as nsroute drops them: when, why, whose, and what they were. The reasons are\n"
	"those of \"nsroute stats\". Without a listener this costs the datapath nothing; with one, up to\n"
	"100 packets a second are told of each interface and reason. How many more there were is told\n"
	"once a second (of all namespaces, also with --namespace). One can listen at a time.\n"
	"\n"
	"Options:\n"
	"  --reason REASON  only these; may be given several times\n"
	"  --namespace NS   only what this namespace sent or would have received\n"
	"  --count N        ends after N packets\n"
	"  --seconds S      ends after so long\n"
	"\n"
	"With -j one object a line: {\"time\", \"reason\", \"hook\": \"port-in\" (from a namespace),\n"
	"\"port-out\" (to one), \"uplink-out\" or \"uplink-in\", \"fabric\", \"namespace\", \"interface\",\n"
	"\"uplink\", \"ifindex\", \"protocol\", \"source\", \"source_port\", \"destination\",\n"
	"\"destination_port\", \"source_mac\", \"destination_mac\", \"vlan\", \"info\", \"problem\",\n"
	"\"length\"}, null where there is none or it cannot be read; or {\"time\", \"left_out\":\n"
	"{REASON: N}, \"deaf_s\"}, where deaf_s is how long nsroute could not listen. When listening\n"
	"begins, standard error gets {\"listening\": true}.\n"
	"\n"
	"Examples:\n"
	"  sudo nsroute drops\n"
	"  sudo nsroute drops --namespace red --reason spoofed-address --count 10\n"
	"  sudo nsroute -j drops --seconds 60 | jq -r 'select(.reason).reason' | sort | uniq -c\n";

struct drops {
	struct context *context;
	const struct host *host;
	const struct datapath *datapath;
	struct datapath_listener *listener;
	uint32_t reasons;      /* a bit each */
	const char *namespace; /* NULL: all */
	uint64_t count;        /* still to be told */
	double seconds;
	json_t *places;
	int64_t places_ns; /* when they were read */
};

static int64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* ---- Names. */

static int read_places(struct drops *drops, struct error *err)
{
	json_t *places;
	int ret = command_places(drops->host, &places, err);

	if (ret)
		return ret;
	json_decref(drops->places);
	drops->places = places;
	drops->places_ns = now_ns(CLOCK_MONOTONIC);
	return 0;
}

static const json_t *find_place(struct drops *drops, uint32_t ifindex)
{
	const json_t *place = output_place(drops->places, ifindex);
	struct error ignored; /* the number is shown */

	if (place || now_ns(CLOCK_MONOTONIC) - drops->places_ns < SECOND_NS)
		return place;
	if (read_places(drops, &ignored))
		drops->places_ns = now_ns(CLOCK_MONOTONIC);
	return output_place(drops->places, ifindex);
}

static bool is_namespace_known(const struct drops *drops)
{
	const char *ifindex, *name;
	json_t *place;

	json_object_foreach(drops->places, ifindex, place)
	{
		name = json_string_value(json_object_get(place, "namespace"));
		if (name && strcmp(name, drops->namespace) == 0)
			return true;
	}
	return false;
}

/* ---- What is told. */

static void print_line(const struct drops *drops, json_t *line)
{
	if (drops->context->json) {
		json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
		putchar('\n');
	} else {
		output_drop_text(stdout, line, drops->context->color);
	}
	json_decref(line);
}

/* Whose packet it is that an uplink's hook dropped; NULL: not known. */
static const json_t *find_inside(struct drops *drops, enum nsr_hook hook,
				 const struct dissection *packet)
{
	uint32_t port = 0;

	if (hook == NSR_HOOK_UPLINK_OUT)
		port = datapath_port_of(drops->datapath, &packet->source);
	else if (hook == NSR_HOOK_UPLINK_IN)
		port = datapath_port_of(drops->datapath, &packet->destination);
	return port ? find_place(drops, port) : NULL;
}

static bool is_wanted(const struct drops *drops, const json_t *drop)
{
	const char *namespace = json_string_value(json_object_get(drop, "namespace"));

	return !drops->namespace || (namespace && strcmp(namespace, drops->namespace) == 0);
}

static int tell(const struct nsr_event *event, void *argument)
{
	int64_t since_boot = now_ns(CLOCK_REALTIME) - now_ns(CLOCK_MONOTONIC);
	struct drops *drops = argument;
	struct dissection packet;
	const json_t *here;
	json_t *inside, *drop;

	if (!drops->count)
		return 1;
	if (event->protocol)
		dissect_bare(event->packet, event->captured, event->length, ntohs(event->protocol),
			     &packet);
	else
		dissect(event->packet, event->captured, event->length, &packet);
	inside = json_copy((json_t *)find_inside(drops, event->hook, &packet));
	here = find_place(drops, event->ifindex);
	drop = output_drop(event, &packet, here, inside, since_boot + (int64_t)event->time_ns);
	json_decref(inside);
	if (!is_wanted(drops, drop)) {
		json_decref(drop);
		return 0;
	}
	print_line(drops, drop);
	return --drops->count == 0;
}

static void tell_left_out(struct drops *drops)
{
	uint64_t packets[NSR_DROP_SLOTS];
	double deaf_s = datapath_listen_deaf_s(drops->listener);

	if (datapath_listen_left_out(drops->listener, packets) || deaf_s > 0)
		print_line(drops, output_left_out(packets, deaf_s, now_ns(CLOCK_REALTIME)));
}

/* ---- Listening. */

static void say_listening(const struct context *context)
{
	fprintf(stderr, context->json ? "{\"listening\": true}\n" : "listening for drops\n");
}

/* Until a signal, the count or the time says so, or nobody reads any more. */
static int listen_on(struct drops *drops, int claim, struct error *err)
{
	const volatile sig_atomic_t *interrupted = command_catch_signals();
	int64_t now = now_ns(CLOCK_MONOTONIC), told_ns = now;
	int64_t end_ns = now + (int64_t)(drops->seconds * (double)SECOND_NS);
	int ret = 0;

	signal(SIGPIPE, SIG_DFL); /* as of any filter; the lease ends by itself */
	say_listening(drops->context);
	while (!ret && !*interrupted && drops->count && now < end_ns && fflush(stdout) == 0) {
		int64_t left_ms = (end_ns - now) / 1000000 + 1;

		ret = datapath_listen_wait(drops->listener,
					   left_ms < WAIT_MS ? (int)left_ms : WAIT_MS, err);
		now = now_ns(CLOCK_MONOTONIC);
		if (ret || now - told_ns < SECOND_NS)
			continue;
		tell_left_out(drops);
		told_ns = now;
		if (!datapath_listen_holds(claim))
			ret = error_set(err, -ENOENT,
					"the datapath is gone: its last fabric was taken down");
	}
	return ret;
}

static int listen_to(struct drops *drops, int claim, struct error *err)
{
	int ret = read_places(drops, err);

	if (ret)
		return ret;
	if (drops->namespace && !is_namespace_known(drops))
		return error_invalid(err,
				     "no fabric of this host namespace has a namespace '%s' on a "
				     "network",
				     drops->namespace);
	ret = datapath_listen(drops->datapath, drops->reasons, tell, drops, &drops->listener, err);
	if (ret)
		return ret;
	ret = listen_on(drops, claim, err);
	datapath_listen_stop(drops->listener);
	tell_left_out(drops);
	datapath_listen_free(drops->listener);
	return ret;
}

static int run(struct context *context, struct drops *drops)
{
	struct datapath *datapath = NULL;
	struct error err;
	struct host host;
	int claim = -1, ret, status = EXIT_DONE;

	if (command_open_host(context, &host, &err) != 0)
		return command_fail(context, &err);
	drops->context = context;
	drops->host = &host;
	ret = datapath_listen_claim(host.cookie, &claim, &err);
	if (!ret)
		ret = datapath_open(&datapath, host.cookie, NULL, &err);
	drops->datapath = datapath;
	if (!ret)
		ret = listen_to(drops, claim, &err);
	if (ret)
		status = command_fail(context, &err);
	json_decref(drops->places);
	datapath_close(datapath);
	if (claim >= 0)
		close(claim);
	close(host.fd);
	drops->host = NULL;
	return status;
}

/* ---- Arguments. */

static int refuse_reason(struct context *context, const char *text)
{
	struct nearest nearest = {.wanted = text};

	for (unsigned int i = 1; output_drop_reason(i); i++)
		nearest_consider(&nearest, output_drop_reason(i));
	if (nearest.best)
		return command_usage(context, "unknown reason '%s'; did you mean '%s'?", text,
				     nearest.best);
	return command_usage(context, "unknown reason '%s'; \"nsroute -j stats\" has all of them",
			     text);
}

static int add_reason(struct context *context, const char *text, uint32_t *reasons)
{
	for (unsigned int i = 1; output_drop_reason(i); i++) {
		if (strcmp(output_drop_reason(i), text) == 0) {
			*reasons |= 1u << i;
			return 0;
		}
	}
	return refuse_reason(context, text);
}

static int set_count(struct context *context, const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	if (errno || *end || !*ret || *text < '0' || *text > '9')
		return command_usage(context, "--count takes a number from 1 on, not '%s'", text);
	return 0;
}

static int set_seconds(struct context *context, const char *text, double *ret)
{
	char *end;

	*ret = strtod(text, &end);
	if (end == text || *end || !(*ret > 0 && *ret <= SECONDS_MAX))
		return command_usage(context, "--seconds takes a number above 0, not '%s'", text);
	return 0;
}

int cmd_drops(struct context *context, int argc, char **argv)
{
	enum { REASON = 256, NAMESPACE, COUNT, SECONDS };
	static const struct option options[] = {{"reason", required_argument, NULL, REASON},
						{"namespace", required_argument, NULL, NAMESPACE},
						{"count", required_argument, NULL, COUNT},
						{"seconds", required_argument, NULL, SECONDS},
						{NULL, 0, NULL, 0}};
	struct drops drops = {.count = UINT64_MAX, .seconds = SECONDS_MAX};
	int option, status = 0;

	while (!status && (option = command_option(context, argc, argv, options)) != -1) {
		if (option == REASON)
			status = add_reason(context, optarg, &drops.reasons);
		else if (option == NAMESPACE)
			drops.namespace = optarg;
		else if (option == COUNT)
			status = set_count(context, optarg, &drops.count);
		else if (option == SECONDS)
			status = set_seconds(context, optarg, &drops.seconds);
		else
			status = EXIT_INVALID;
	}
	if (status)
		return status;
	if (optind < argc)
		return command_usage(context, "it takes options only, not '%s'", argv[optind]);
	if (!drops.reasons)
		drops.reasons = UINT32_MAX;
	return run(context, &drops);
}
