/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "output_nat.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "dissect.h"
#include "ip.h"
#include "output_model.h"

#define END_MAX (IP_TEXT_MAX + 10) /* an address and a port */

static const int numbers[NSR_NAT_PROTOCOLS] = {
	[NSR_NAT_TCP] = IPPROTO_TCP,
	[NSR_NAT_UDP] = IPPROTO_UDP,
	[NSR_NAT_ICMP] = IPPROTO_ICMP,
};

enum nsr_nat_protocol output_nat_kind(int number)
{
	for (unsigned int kind = 0; kind < NSR_NAT_PROTOCOLS; kind++)
		if (numbers[kind] == number)
			return kind;
	return NSR_NAT_OTHER;
}

/* A session of either family. */
struct session {
	struct ip_address inside, external, remote;
	uint16_t inside_port, external_port;
	__be16 remote_port;
	uint8_t protocol; /* enum nsr_nat_protocol */
	uint32_t seen;
	bool direct; /* not translated: external is inside */
	bool host;   /* the host's own */
};

/* Its name, or its number. */
static void set_protocol(json_t *object, const struct session *session)
{
	bool other = session->protocol >= NSR_NAT_PROTOCOLS;
	int number = other ? session->inside_port : numbers[session->protocol];
	const char *name = dissect_protocol_name(number);
	char text[16];

	snprintf(text, sizeof(text), "%d", number);
	model_set_text(object, "protocol", name ? name : text);
}

static const char *state_of(const struct session *session)
{
	uint32_t seen = session->seen;

	switch (nsr_timeout_by(session->protocol, htons(session->inside_port), session->remote_port,
			       seen)) {
	case NSR_TIMEOUT_TCP_SYN:
		return "opening";
	case NSR_TIMEOUT_TCP_ESTABLISHED:
		return seen & (NSR_SEEN_OUT_FIN | NSR_SEEN_IN_FIN) ? "closing" : "established";
	case NSR_TIMEOUT_TCP_FIN:
		return "closed";
	case NSR_TIMEOUT_TCP_RST:
		return "reset";
	default:
		return seen & NSR_SEEN_IN && seen & NSR_SEEN_OUT ? "replied" : "unreplied";
	}
}

/* port: -1: none. */
static void set_end(json_t *object, const char *address_key, const struct ip_address *address,
		    const char *port_key, int port)
{
	char text[IP_TEXT_MAX];

	model_set_text(object, address_key, ip_format(address, text));
	json_object_set_new(object, port_key, port < 0 ? json_null() : json_integer(port));
}

static void set_place(json_t *object, const char *key, const json_t *place)
{
	json_t *value = json_object_get(place, key);

	json_object_set_new(object, key, value ? json_incref(value) : json_null());
}

static json_t *describe(const struct session *session, uint32_t left_s, const json_t *inside,
			const json_t *uplink)
{
	bool other = session->protocol == NSR_NAT_OTHER;
	bool icmp = session->protocol == NSR_NAT_ICMP;
	json_t *object = json_object();

	set_place(object, "fabric", inside);
	set_place(object, "namespace", inside);
	set_place(object, "interface", inside);
	set_place(object, "uplink", uplink);
	set_protocol(object, session);
	set_end(object, "inside", &session->inside, "inside_port",
		other ? -1 : session->inside_port);
	set_end(object, "external", &session->external, "external_port",
		other ? -1 : session->external_port);
	set_end(object, "remote", &session->remote, "remote_port",
		icmp || other ? -1 : ntohs(session->remote_port));
	json_object_set_new(object, "direct", json_boolean(session->direct));
	json_object_set_new(object, "host", json_boolean(session->host));
	model_set_text(object, "state", state_of(session));
	model_set_number(object, "seconds_left", left_s);
	return object;
}

static struct ip_address address_of(uint8_t family, const void *bytes)
{
	bool ipv4 = family == AF_INET;
	struct ip_address ip = {.family = family, .prefix_len = ipv4 ? 32 : 128};

	memcpy(ip.bytes, bytes, ipv4 ? 4 : 16);
	return ip;
}

#define IS_DIRECT(session) ((session)->flow.kind == NSR_FLOW_DIRECT)

/* Of an nsr_session, or nsr_session6, which have the same members. */
#define SESSION_OF(family, session)                                                             \
	((struct session){                                                                      \
		.inside = address_of(family, &(session)->flow.inside.address),                  \
		.external =                                                                     \
			address_of(family, IS_DIRECT(session) ? &(session)->flow.inside.address \
							      : &(session)->external),          \
		.remote = address_of(family, &(session)->flow.remote_address),                  \
		.inside_port = ntohs((session)->flow.inside.port),                              \
		.external_port = IS_DIRECT(session) ? ntohs((session)->flow.inside.port)        \
						    : NSR_MAPPING_PORT((session)->mapping),     \
		.remote_port = (session)->flow.remote_port,                                     \
		.protocol = (session)->flow.inside.protocol,                                    \
		.seen = NSR_LIFE_SEEN((session)->life),                                         \
		.direct = IS_DIRECT(session),                                                   \
		.host = NSR_OWNER_NUMBER((session)->owner) == NSR_OWNER_HOST,                   \
	})

json_t *output_session(const struct nsr_session *session, uint32_t left_s, const json_t *inside,
		       const json_t *uplink)
{
	return describe(&SESSION_OF(AF_INET, session), left_s, inside, uplink);
}

json_t *output_session6(const struct nsr_session6 *session, uint32_t left_s, const json_t *inside,
			const json_t *uplink)
{
	return describe(&SESSION_OF(AF_INET6, session), left_s, inside, uplink);
}

/* ---- Text. Lines are printed as they come, so columns have widths that nearly all fit in. */

#define COLUMNS "%-15s  %-8s  %-8s  %-21s  %-21s  %-21s  %-11s  %8s\n"

void output_session_title(FILE *out)
{
	fprintf(out, COLUMNS, "NAMESPACE", "UPLINK", "PROTOCOL", "INSIDE", "EXTERNAL", "REMOTE",
		"STATE", "SECONDS");
}

/* No name shall steer the terminal. */
static const char *text_of(const json_t *session, const char *key, char buffer[END_MAX])
{
	const char *text = json_string_value(json_object_get(session, key));

	snprintf(buffer, END_MAX, "%s", text ? text : "-");
	for (char *c = buffer; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return buffer;
}

static const char *end_of(const json_t *session, const char *address, const char *port,
			  char buffer[END_MAX])
{
	const json_t *number = json_object_get(session, port);
	size_t used;

	text_of(session, address, buffer);
	if (strchr(buffer, ':') && json_is_integer(number)) { /* [ADDRESS]:PORT */
		used = strlen(buffer);
		memmove(buffer + 1, buffer, used + 1);
		buffer[0] = '[';
		snprintf(buffer + used + 1, END_MAX - used - 1, "]");
	}
	used = strlen(buffer);
	if (json_is_integer(number))
		snprintf(buffer + used, END_MAX - used, ":%" JSON_INTEGER_FORMAT,
			 json_integer_value(number));
	return buffer;
}

void output_session_text(FILE *out, const json_t *session)
{
	char namespace[END_MAX], uplink[END_MAX], inside[END_MAX], external[END_MAX];
	char remote[END_MAX], left[24];

	snprintf(left, sizeof(left), "%" JSON_INTEGER_FORMAT,
		 json_integer_value(json_object_get(session, "seconds_left")));
	fprintf(out, COLUMNS,
		json_is_true(json_object_get(session, "host"))
			? "(host)"
			: text_of(session, "namespace", namespace),
		text_of(session, "uplink", uplink),
		json_string_value(json_object_get(session, "protocol")),
		end_of(session, "inside", "inside_port", inside),
		json_is_true(json_object_get(session, "direct"))
			? "direct"
			: end_of(session, "external", "external_port", external),
		end_of(session, "remote", "remote_port", remote),
		json_string_value(json_object_get(session, "state")), left);
}
