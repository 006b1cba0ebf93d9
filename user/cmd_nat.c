/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: what is meant is a selection, which the reader of the table and the program that
 * ends sessions judge by the same function. Namespaces have no number there: those that are listed
 * are told apart by their inside address, and those that are ended are selected by each address
 * that the namespace has.
 */
#include "command.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath_listen.h"
#include "datapath_sessions.h"
#include "dissect.h"
#include "ip.h"
#include "output.h"
#include "output_drops.h"
#include "output_nat.h"

const char cmd_nat_help[] =
	"Sessions that are masqueraded at this moment: a flow of a namespace, or of the host from a port\n"
	"that a namespace has outside, and the external address and port that the outside sees. flush ends\n"
	"them: what comes back for them then is refused, and what the namespace sends on them begins a new\n"
	"session, with another external port. Without an option all are meant.\n"
	"\n"
	"Options (what is given has to be true together):\n"
	"  --namespace NS       sent by this namespace\n"
	"  --uplink INTERFACE   leaves by this one\n"
	"  --protocol PROTOCOL  tcp, udp, icmp, sctp, gre, esp, ..., or the number of any, 1 to 255\n"
	"  --remote ADDR[/LEN]  with this address, or one in this prefix\n"
	"  --port N             inside, external or remote port; of icmp, the identifier\n"
	"\n"
	"With -j, list prints one object a line: {\"fabric\", \"namespace\", \"interface\", \"uplink\",\n"
	"\"protocol\", \"inside\", \"inside_port\", \"external\", \"external_port\", \"remote\", \"remote_port\",\n"
	"\"direct\" (not translated), \"host\" (the host's own), \"state\", \"seconds_left\"}, null where there is\n"
	"none: ports are of tcp and udp, of icmp the identifier; a protocol without a name has its number, as text. state is opening, established, closing,\n"
	"closed or reset of tcp, unreplied or replied of others; seconds_left is when it ends unless its\n"
	"namespace sends more. flush prints {\"ended\": N}.\n"
	"\n"
	"Examples:\n"
	"  sudo nsroute nat list --namespace red --protocol tcp\n"
	"  sudo nsroute -j nat list | jq -r .namespace | sort | uniq -c\n"
	"  sudo nsroute nat flush --remote 192.0.2.0/24\n";

struct nat {
	struct context *context;
	struct datapath *datapath;
	json_t *places;
	struct nsr_selection selection;
	struct nsr_selection6 selection6;
	bool not_ipv4, not_ipv6;        /* a remote of the other family is meant */
	const char *namespace, *uplink; /* NULL: any */
};

enum { NAMESPACE = 256, UPLINK, PROTOCOL, REMOTE, PORT }; /* options */

/* ---- Names. */

static int find_uplink(struct nat *nat, struct error *err)
{
	const char *ifindex, *name;
	uint32_t number;
	json_t *place;

	if (!nat->uplink)
		return 0;
	json_object_foreach(nat->places, ifindex, place)
	{
		name = json_string_value(json_object_get(place, "uplink"));
		if (!name || strcmp(name, nat->uplink) != 0 ||
		    !datapath_uplink_number(nat->datapath, (uint32_t)strtoul(ifindex, NULL, 10),
					    &number))
			continue;
		nat->selection.uplink = (uint8_t)(1 + number);
		nat->selection6.uplink = nat->selection.uplink;
		return 0;
	}
	return error_invalid(err, "no network of this host namespace is masqueraded to '%s'",
			     nat->uplink);
}

static bool is_ours(const struct nat *nat, const json_t *place)
{
	const char *name = json_string_value(json_object_get(place, "namespace"));

	return !nat->namespace || (name && strcmp(name, nat->namespace) == 0);
}

static int check_namespace(const struct nat *nat, struct error *err)
{
	const char *ifindex;
	json_t *place;

	if (!nat->namespace)
		return 0;
	json_object_foreach(nat->places, ifindex, place) if (is_ours(nat, place)) return 0;
	return error_invalid(err,
			     "no fabric of this host namespace has a namespace '%s' on a network",
			     nat->namespace);
}

/* ---- List. */

static int print_session(const struct nat *nat, json_t *model)
{
	if (nat->context->json) {
		json_dumpf(model, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		output_session_text(stdout, model);
	}
	json_decref(model);
	return ferror(stdout);
}

static const json_t *uplink_of(const struct nat *nat, uint8_t number)
{
	return output_place(nat->places, datapath_uplink_of(nat->datapath, number));
}

static int list_one(const struct nsr_session *session, uint32_t left_s, void *argument)
{
	struct ip_address ip = {.family = AF_INET, .prefix_len = 32};
	const struct nat *nat = argument;
	const json_t *inside;

	memcpy(ip.bytes, &session->flow.inside.address, 4);
	inside = output_place(nat->places, datapath_port_of(nat->datapath, &ip));
	if (!is_ours(nat, inside))
		return 0;
	return print_session(nat, output_session(session, left_s, inside,
						 uplink_of(nat, session->flow.inside.uplink)));
}

static int list_one6(const struct nsr_session6 *session, uint32_t left_s, void *argument)
{
	struct ip_address ip = {.family = AF_INET6, .prefix_len = 128};
	const struct nat *nat = argument;
	const json_t *inside;

	memcpy(ip.bytes, &session->flow.inside.address, 16);
	inside = output_place(nat->places, datapath_port_of(nat->datapath, &ip));
	if (!is_ours(nat, inside))
		return 0;
	return print_session(nat, output_session6(session, left_s, inside,
						  uplink_of(nat, session->flow.inside.uplink)));
}

static int list(struct nat *nat, struct error *err)
{
	int ret = 0;

	if (!nat->context->json)
		output_session_title(stdout);
	if (!nat->not_ipv4)
		ret = datapath_sessions(nat->datapath, &nat->selection, list_one, nat, err);
	if (!ret && !nat->not_ipv6)
		ret = datapath_sessions6(nat->datapath, &nat->selection6, list_one6, nat, err);
	return ret;
}

/* ---- Flush. */

/* What is selected of IPv4 and of IPv6. */
static int end_selected(const struct nat *nat, const struct nsr_selection *selection,
			const struct nsr_selection6 *selection6, uint64_t *ret_ended,
			struct error *err)
{
	uint64_t ended = 0, ended6 = 0;
	int ret = 0;

	if (selection && !nat->not_ipv4)
		ret = datapath_sessions_end(nat->datapath, selection, &ended, err);
	if (!ret && selection6 && !nat->not_ipv6)
		ret = datapath_sessions_end6(nat->datapath, selection6, &ended6, err);
	*ret_ended = ended + ended6;
	return ret;
}

/* Those of each address that the namespace has. */
static int end_of_namespace(struct nat *nat, uint64_t *ret_ended, struct error *err)
{
	struct nsr_selection6 selection6 = nat->selection6;
	struct nsr_selection selection = nat->selection;
	struct arena *arena = &nat->context->arena;
	struct state_datapath state;
	uint64_t ended = 0, sum = 0;
	int ret = datapath_snapshot(nat->datapath, arena, &state, err);

	for (size_t i = 0; i < state.endpoints_count && !ret; i++) {
		const struct state_endpoint *endpoint = &state.endpoints[i];
		bool ipv4 = endpoint->ip.family == AF_INET;

		if (!endpoint->ip.family ||
		    !is_ours(nat, output_place(nat->places, endpoint->endpoint.ifindex)))
			continue;
		memcpy(&selection.address, endpoint->ip.bytes, 4);
		selection.mask = ~(__be32)0;
		memcpy(&selection6.address, endpoint->ip.bytes, 16);
		memset(&selection6.mask, 0xff, sizeof(selection6.mask));
		ret = end_selected(nat, ipv4 ? &selection : NULL, ipv4 ? NULL : &selection6, &ended,
				   err);
		sum += ended;
	}
	*ret_ended = sum;
	return ret;
}

static int flush(struct nat *nat, struct error *err)
{
	uint64_t ended = 0;
	int ret = 0;

	if (nat->namespace)
		ret = end_of_namespace(nat, &ended, err);
	else
		ret = end_selected(nat, &nat->selection, &nat->selection6, &ended, err);
	if (ret)
		return ret;
	if (nat->context->json)
		command_print_json(json_pack("{s:I}", "ended", (json_int_t)ended));
	else
		printf("%llu session%s ended\n", (unsigned long long)ended, ended == 1 ? "" : "s");
	return 0;
}

/* ---- Arguments. */

static int run(struct nat *nat, const struct host *host, int (*act)(struct nat *, struct error *),
	       struct error *err)
{
	int ret = datapath_open(&nat->datapath, host->cookie, NULL, err);

	if (!ret)
		ret = command_places(host, &nat->places, err);
	if (!ret)
		ret = check_namespace(nat, err);
	if (!ret)
		ret = find_uplink(nat, err);
	if (!ret)
		ret = act(nat, err);
	json_decref(nat->places);
	datapath_close(nat->datapath);
	return ret;
}

static int set_protocol(struct nat *nat, const char *text)
{
	enum nsr_nat_protocol kind;
	const char *name;
	char buffer[8];
	int number;

	for (number = 1; number <= UINT8_MAX; number++) {
		name = dissect_protocol_name(number);
		snprintf(buffer, sizeof(buffer), "%d", number);
		if ((name && strcmp(name, text) == 0) || strcmp(buffer, text) == 0)
			break;
	}
	if (number > UINT8_MAX)
		return command_usage(nat->context,
				     "--protocol takes tcp, udp, icmp, sctp, gre, esp or a number "
				     "from 1 to 255, not '%s'",
				     text);
	kind = output_nat_kind(number);
	nat->selection.protocol = (uint8_t)(1 + kind);
	nat->selection6.protocol = nat->selection.protocol;
	if (kind == NSR_NAT_OTHER)
		nat->selection.inside_first = nat->selection.inside_last =
			nat->selection6.inside_first = nat->selection6.inside_last =
				(uint16_t)number;
	return 0;
}

static int set_remote(struct nat *nat, const char *text)
{
	struct ip_address ip;
	uint8_t mask[16] = {0};

	if (!ip_parse(text, &ip, NULL))
		return command_usage(nat->context,
				     "--remote takes an address or a prefix, not '%s'", text);
	ip = ip_network(&ip);
	for (unsigned int i = 0; i < ip.prefix_len; i++)
		mask[i / 8] |= (uint8_t)(0x80 >> i % 8);
	nat->not_ipv4 = ip.family != AF_INET;
	nat->not_ipv6 = ip.family == AF_INET;
	memcpy(&nat->selection.remote, ip.bytes, 4);
	memcpy(&nat->selection.remote_mask, mask, 4);
	memcpy(&nat->selection6.remote, ip.bytes, 16);
	memcpy(&nat->selection6.remote_mask, mask, 16);
	return 0;
}

static int set_port(struct nat *nat, const char *text)
{
	unsigned long port;
	char *end;

	errno = 0;
	port = strtoul(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9' || !port || port > UINT16_MAX)
		return command_usage(nat->context, "--port takes 1 to %d, not '%s'", UINT16_MAX,
				     text);
	nat->selection.port = (uint16_t)port;
	nat->selection6.port = nat->selection.port;
	return 0;
}

static int set_option(struct nat *nat, int option)
{
	switch (option) {
	case NAMESPACE:
		nat->namespace = optarg;
		return 0;
	case UPLINK:
		nat->uplink = optarg;
		return 0;
	case PROTOCOL:
		return set_protocol(nat, optarg);
	case REMOTE:
		return set_remote(nat, optarg);
	case PORT:
		return set_port(nat, optarg);
	default:
		return EXIT_INVALID;
	}
}

int cmd_nat(struct context *context, int argc, char **argv)
{
	static const struct option options[] = {{"namespace", required_argument, NULL, NAMESPACE},
						{"uplink", required_argument, NULL, UPLINK},
						{"protocol", required_argument, NULL, PROTOCOL},
						{"remote", required_argument, NULL, REMOTE},
						{"port", required_argument, NULL, PORT},
						{NULL, 0, NULL, 0}};
	struct nat nat = {.context = context};
	bool lists, flushes;
	struct error err;
	struct host host;
	int option, status;

	while ((option = command_option(context, argc, argv, options)) != -1) {
		status = set_option(&nat, option);
		if (status)
			return status;
	}
	lists = argc - optind == 1 && strcmp(argv[optind], "list") == 0;
	flushes = argc - optind == 1 && strcmp(argv[optind], "flush") == 0;
	if (!lists && !flushes)
		return command_usage(context, "list or flush is needed, and options");
	if (command_open_host(context, &host, &err) != 0)
		return command_fail(context, &err);
	status = run(&nat, &host, lists ? list : flush, &err) ? command_fail(context, &err)
							      : EXIT_DONE;
	close(host.fd);
	return status;
}
