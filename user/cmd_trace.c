/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsroute trace: what would happen to a packet. Nothing is sent, and nothing is changed.
 */
#include "command.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"
#include "output_drops.h"
#include "trace.h"

#define PORT_USUAL 40000 /* that it comes from, or the identifier of an echo */
#define TTL_USUAL  64
#define TTL_MAX    255
#define SIZE_MAX16 65535

const char cmd_trace_help[] =
	"Tells what would happen to a packet, step by step, and in one line at the end: \"delivered to\n"
	"green eth0 by the fast path\". The datapath's own steps are run on a packet that is made for it,\n"
	"on the live tables and sessions, but count, open, change and send nothing. Where they leave it\n"
	"to the kernel, the kernel's routes, neighbours and bridges are asked. Netfilter is not, nor are\n"
	"programs of others: \"nsroute doctor\" tells of them.\n"
	"\n"
	"Options:\n"
	"  --from NS              the namespace that sends it\n"
	"  --in UPLINK            or the uplink that it arrives at: a reply, or what nobody asked for\n"
	"                         (of TCP an ACK, of ICMP an echo reply)\n"
	"  --to ADDR[:PORT]       where to; an IPv6 address with a port is written [ADDR]:PORT.\n"
	"                         With --in the identifier of an ICMP packet stands for the port\n"
	"  --proto tcp|udp|icmp   tcp (a SYN) when --to has a port, else icmp (an echo request)\n"
	"  --size N               bytes from the IP header on: 84, or as its headers need\n"
	"  --interface IF         of the namespace; else by its routes\n"
	"  --source ADDR[:PORT]   where from, also \":PORT\"; else what the namespace would choose, and\n"
	"                         port (of ICMP: identifier) 40000. --in needs it\n"
	"  --ttl N                64\n"
	"\n"
	"With -j: {\"packet\", \"steps\": [{\"at\": \"namespace\", \"port-in\" (from a namespace), \"port-out\"\n"
	"(to one), \"uplink-out\", \"uplink-in\" or \"kernel\", \"step\", \"text\"}], \"hooks\": [{\"hook\",\n"
	"\"interface\", \"verdict\": \"fast\", \"slow\", \"received\", \"translated\", \"passed\" or \"dropped\",\n"
	"\"reason\"}] (the counters that would move), \"answer\": {\"result\": \"delivered\", \"sent\", \"host\"\n"
	"(gets it), \"dropped\" (by nsroute), \"answered\" (by the host, with ICMP), \"refused\" (by its\n"
	"routes), \"lost\", \"unresolved\" (a MAC has to be asked for), \"kernel\" (it is to many) or\n"
	"\"not-sent\", \"path\": \"fast\" or \"slow\", \"reason\", \"namespace\", \"interface\", \"source\": of\n"
	"what is sent, as the outside sees it, \"text\"},\n"
	"\"other_build\": the running programs are of another build than those that answered}.\n"
	"\n"
	"Examples:\n"
	"  sudo nsroute trace --from red --to 192.168.16.11\n"
	"  sudo nsroute trace --from red --to 198.51.100.7:443 --size 1500\n"
	"  sudo nsroute trace --in eth0 --source 198.51.100.7:443 --to 203.0.113.1:40000\n";

/* ---- Arguments. */

static int set_number(struct context *context, const char *option, const char *text, long max,
		      long *ret)
{
	char *end;

	errno = 0;
	*ret = strtol(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9' || *ret > max)
		return command_usage(context, "%s takes a number up to %ld, not '%s'", option, max,
				     text);
	return 0;
}

static int set_port(struct context *context, const char *option, const char *text, uint16_t *ret)
{
	long port;
	int status = set_number(context, option, text, UINT16_MAX, &port);

	if (!status)
		*ret = (uint16_t)port;
	return status;
}

/* "ADDR", "ADDR:PORT", "[ADDR]:PORT", ":PORT" */
static int set_endpoint(struct context *context, const char *option, const char *text,
			struct ip_address *ret_ip, uint16_t *ret_port, bool *ret_has_port)
{
	bool bracket = *text == '[', prefix = false;
	const char *start = text + bracket;
	const char *colon = strchr(start, ':'), *end;
	char address[IP_TEXT_MAX];

	if (bracket)
		end = strchr(start, ']');
	else if (colon && !strchr(colon + 1, ':'))
		end = colon; /* one colon: behind it is a port */
	else
		end = start + strlen(start);
	if (!end || (size_t)(end - start) >= sizeof(address))
		return command_usage(context, "%s takes an address, not '%s'", option, text);
	snprintf(address, sizeof(address), "%.*s", (int)(end - start), start);
	if ((*address || bracket) && (!ip_parse(address, ret_ip, &prefix) || prefix))
		return command_usage(context, "%s takes an address, not '%s'", option, text);
	end += bracket;
	if (!*end)
		return *address ? 0
				: command_usage(context, "%s takes an address, not '%s'", option,
						text);
	*ret_has_port = true;
	if (*end != ':')
		return command_usage(context, "%s takes an address, not '%s'", option, text);
	return set_port(context, option, end + 1, ret_port);
}

static int set_protocol(struct context *context, const char *text, struct trace_request *request)
{
	static const struct {
		const char *name;
		uint8_t number;
	} protocols[] = {{"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"icmp", IPPROTO_ICMP}};

	for (size_t i = 0; i < sizeof(protocols) / sizeof(*protocols); i++) {
		if (strcmp(text, protocols[i].name) == 0) {
			request->protocol = protocols[i].number;
			return 0;
		}
	}
	return command_usage(context, "--proto is tcp, udp or icmp, not '%s'", text);
}

struct arguments {
	struct trace_request request;
	const char *from, *in;
	bool to_port, source_port; /* were given */
};

static int check(struct context *context, struct arguments *arguments)
{
	struct trace_request *request = &arguments->request;
	bool icmp;

	if (!arguments->from == !arguments->in)
		return command_usage(context, "either --from or --in is needed");
	if (!request->to.family)
		return command_usage(context, "--to is needed, with an address");
	if (arguments->in && (!request->source.family || request->interface))
		return command_usage(context, "--in needs --source, and takes no --interface");
	if (request->source.family && request->source.family != request->to.family)
		return command_usage(context, "--source and --to are of one family");
	if (!request->protocol)
		request->protocol =
			arguments->to_port && (arguments->from || arguments->source_port)
				? IPPROTO_TCP
				: IPPROTO_ICMP;
	icmp = request->protocol == IPPROTO_ICMP;
	if (icmp && (arguments->in ? arguments->source_port : arguments->to_port))
		return command_usage(context, "an ICMP packet has no port: leave it out");
	if (!icmp && (!arguments->to_port || (arguments->in && !arguments->source_port)))
		return command_usage(context, "a port is needed: %s",
				     arguments->to_port ? "--source ADDR:PORT" : "--to ADDR:PORT");
	if (icmp && request->to.family == AF_INET6)
		request->protocol = IPPROTO_ICMPV6;
	request->namespace = arguments->from;
	if (arguments->in)
		request->interface = arguments->in;
	return 0;
}

enum { FROM = 256, IN, TO, PROTO, SIZE, INTERFACE, SOURCE, TTL };

static int take(struct context *context, int option, struct arguments *arguments)
{
	struct trace_request *request = &arguments->request;
	long number = 0;
	int status;

	switch (option) {
	case FROM:
		arguments->from = optarg;
		return 0;
	case IN:
		arguments->in = optarg;
		return 0;
	case INTERFACE:
		request->interface = optarg;
		return 0;
	case PROTO:
		return set_protocol(context, optarg, request);
	case TO:
		return set_endpoint(context, "--to", optarg, &request->to, &request->to_port,
				    &arguments->to_port);
	case SOURCE:
		return set_endpoint(context, "--source", optarg, &request->source,
				    &request->source_port, &arguments->source_port);
	case SIZE:
		status = set_number(context, "--size", optarg, SIZE_MAX16, &number);
		request->size = (uint32_t)number;
		return status;
	case TTL:
		status = set_number(context, "--ttl", optarg, TTL_MAX, &number);
		request->ttl = (uint8_t)number;
		return status;
	default:
		return EXIT_INVALID;
	}
}

/* ---- Running. */

static json_t *places_model(const struct record *record, const struct kernel_state *state,
			    void *argument)
{
	(void)argument;
	return output_places(record, state);
}

static int read_places(const struct host *host, json_t **ret_places, struct error *err)
{
	json_t *fabrics, *fabric;
	size_t i;
	int ret = command_models(host, NULL, places_model, NULL, &fabrics, err);

	if (ret)
		return ret;
	*ret_places = json_object();
	json_array_foreach(fabrics, i, fabric) json_object_update(*ret_places, fabric);
	json_decref(fabrics);
	return 0;
}

static void print(const struct context *context, json_t *trace)
{
	if (context->json) {
		command_print_json(trace);
		return;
	}
	trace_text(stdout, trace, context->color);
	fflush(stdout);
	if (json_is_true(json_object_get(trace, "other_build")))
		fprintf(stderr,
			"nsroute: the running programs are of another build than this "
			"nsroute, and may do otherwise: \"nsroute apply\" exchanges them\n");
	json_decref(trace);
}

static int run(struct context *context, const struct trace_request *request)
{
	json_t *places = NULL, *trace = NULL;
	struct datapath *datapath = NULL;
	struct error err;
	struct host host;
	int ret;

	if (command_open_host(context, &host, &err) != 0)
		return command_fail(context, &err);
	ret = datapath_open(&datapath, host.cookie, NULL, &err);
	if (!ret)
		ret = read_places(&host, &places, &err);
	if (!ret)
		ret = trace_packet(request, datapath, host.fd, places, &context->arena, &trace,
				   &err);
	json_decref(places);
	datapath_close(datapath);
	close(host.fd);
	if (ret)
		return command_fail(context, &err);
	print(context, trace);
	return EXIT_DONE;
}

int cmd_trace(struct context *context, int argc, char **argv)
{
	static const struct option options[] = {{"from", required_argument, NULL, FROM},
						{"in", required_argument, NULL, IN},
						{"to", required_argument, NULL, TO},
						{"proto", required_argument, NULL, PROTO},
						{"size", required_argument, NULL, SIZE},
						{"interface", required_argument, NULL, INTERFACE},
						{"source", required_argument, NULL, SOURCE},
						{"ttl", required_argument, NULL, TTL},
						{NULL, 0, NULL, 0}};
	struct arguments arguments = {.request = {.ttl = TTL_USUAL, .source_port = PORT_USUAL}};
	int option, status = 0;

	while (!status && (option = command_option(context, argc, argv, options)) != -1)
		status = take(context, option, &arguments);
	if (!status && optind < argc)
		status = command_usage(context, "it takes options only, not '%s'", argv[optind]);
	if (!status)
		status = check(context, &arguments);
	return status ? status : run(context, &arguments.request);
}
