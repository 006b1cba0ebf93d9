/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the steps tell numbers; the words for them are here, and only here. Each telling
 * becomes a line of the result's "steps", the verdict an element of its "hooks", by which counters
 * can be compared.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <net/ethernet.h>
#include <netinet/ip6.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "dissect.h"
#include "output.h"
#include "output_drops.h"
#include "output_model.h"
#include "trace_walk.h"

#define TEXT_MAX 512

static const char *const hook_names[DATAPATH_PROGRAMS] = {
	[DATAPATH_PORT_IN] = "port-in",
	[DATAPATH_PORT_OUT] = "port-out",
	[DATAPATH_UPLINK_IN] = "uplink-in",
	[DATAPATH_UPLINK_OUT] = "uplink-out",
};

static const char *const telling_names[] = {
	[NSR_TELLS_PARSED] = "parse",      [NSR_TELLS_POLICY] = "policy",
	[NSR_TELLS_SWITCHED] = "switch",   [NSR_TELLS_ROUTED] = "route",
	[NSR_TELLS_UNFIT] = "slow",        [NSR_TELLS_FIB] = "fib",
	[NSR_TELLS_SESSION] = "session",   [NSR_TELLS_EXPIRED] = "session",
	[NSR_TELLS_REMEMBERED] = "fib",    [NSR_TELLS_OPENS] = "session",
	[NSR_TELLS_MAPPED] = "mapping",    [NSR_TELLS_SOCKET] = "socket",
	[NSR_TELLS_INBOUND] = "inbound",   [NSR_TELLS_VERDICT] = "verdict",
	[NSR_TELLS_RECEIVES] = "verdict",  [NSR_TELLS_DELIVERS] = "deliver",
	[NSR_TELLS_NEIGHBOUR] = "deliver", [NSR_TELLS_PROGRAM6] = "parse",
	[NSR_TELLS_DIRECT] = "session",    [NSR_TELLS_EXCEPT] = "except",
};
_Static_assert(sizeof(telling_names) / sizeof(*telling_names) == NSR_TELLINGS_END, "a name each");

static const char *const unfit_words[] = {
	[NSR_UNFIT_TTL] = "the TTL ends here",
	[NSR_UNFIT_OPTIONS] = "it has IP options",
	[NSR_UNFIT_BACK] = "it would go back where it came from",
	[NSR_UNFIT_NOT_FAST] = "the fast path is off there",
	[NSR_UNFIT_TOO_LARGE] = "it is larger than the MTU there",
	[NSR_UNFIT_SPECIAL] = "an address of it is no ordinary one",
	[NSR_UNFIT_GROUP] = "the frame is to many",
	[NSR_UNFIT_NOT_IP] = "it is not IP",
};
_Static_assert(sizeof(unfit_words) / sizeof(*unfit_words) == NSR_UNFIT_END, "words for each");

/* ---- Names. */

const struct state_link *walk_link(const struct walk *walk, uint32_t ifindex)
{
	for (size_t i = 0; i < walk->links_count; i++)
		if (walk->links[i].ifindex == ifindex)
			return &walk->links[i];
	return NULL;
}

char *walk_name(const struct walk *walk, uint32_t ifindex, char buffer[TRACE_NAME_MAX])
{
	const json_t *place = output_place(walk->places, ifindex);
	const char *namespace = json_string_value(json_object_get(place, "namespace"));
	const struct state_link *link = walk_link(walk, ifindex);

	if (namespace)
		snprintf(buffer, TRACE_NAME_MAX, "%s %s", namespace,
			 json_string_value(json_object_get(place, "interface")));
	else if (link)
		snprintf(buffer, TRACE_NAME_MAX, "%s", link->name);
	else
		snprintf(buffer, TRACE_NAME_MAX, "interface %" PRIu32, ifindex);
	return buffer;
}

char *walk_end(const struct ip_address *ip, bool has_port, uint16_t port,
	       char buffer[TRACE_END_MAX])
{
	char text[IP_TEXT_MAX];

	ip_format(ip, text);
	if (!has_port)
		snprintf(buffer, TRACE_END_MAX, "%s", text);
	else
		snprintf(buffer, TRACE_END_MAX, ip->family == AF_INET6 ? "[%s]:%u" : "%s:%u", text,
			 port);
	return buffer;
}

static char *name_address(__be32 address, char buffer[IP_TEXT_MAX])
{
	struct ip_address ip = {.family = AF_INET, .prefix_len = 32};

	memcpy(ip.bytes, &address, sizeof(address));
	return ip_format(&ip, buffer);
}

const struct nsr_told *walk_find(const struct nsr_trace *told, enum nsr_telling what)
{
	for (uint32_t i = 0; i < told->count; i++)
		if (told->told[i].what == what)
			return &told->told[i];
	return NULL;
}

int walk_verdict(const struct nsr_trace *told)
{
	const struct nsr_told *verdict = walk_find(told, NSR_TELLS_VERDICT);

	return verdict ? (int)(int64_t)verdict->a : 0;
}

const char *walk_reason(int verdict)
{
	const char *reason = verdict < 0 ? output_drop_reason((unsigned int)-verdict) : NULL;

	return reason ? reason : verdict < 0 ? "unknown" : NULL;
}

/* ---- Lines. */

static json_t *add_line(struct walk *walk, const char *where, const char *what, const char *text)
{
	json_t *line = json_object();

	model_set_text(line, "at", where);
	model_set_text(line, "step", what);
	model_set_text(line, "text", text);
	json_array_append_new(json_object_get(walk->result, "steps"), line);
	return line;
}

void walk_say(struct walk *walk, const char *where, const char *what, const char *format, ...)
{
	char text[TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	add_line(walk, where, what, text);
}

void walk_answer(struct walk *walk, const char *result, uint32_t ifindex, const char *path,
		 const char *reason, const char *format, ...)
{
	const json_t *place = output_place(walk->places, ifindex);
	const struct state_link *link = walk_link(walk, ifindex);
	const char *namespace = json_string_value(json_object_get(place, "namespace"));
	json_t *answer = json_object();
	char text[TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	model_set_text(answer, "result", result);
	model_set_text_or_null(answer, "path", path);
	model_set_text_or_null(answer, "reason", reason);
	model_set_text_or_null(answer, "namespace", namespace);
	model_set_text_or_null(answer, "interface",
			       namespace ? json_string_value(json_object_get(place, "interface"))
			       : link    ? link->name
					 : NULL);
	model_set_text_or_null(answer, "source", *walk->external ? walk->external : NULL);
	model_set_text(answer, "text", text);
	json_object_set_new(walk->result, "answer", answer);
}

/* ---- Tellings. */

static void put_parsed(struct walk *walk, char text[TEXT_MAX])
{
	char source[TRACE_END_MAX], destination[TRACE_END_MAX], number[16];
	struct dissection packet;

	dissect(walk->packet.bytes, walk->packet.length, walk->packet.length, &packet);
	walk_end(&packet.source, packet.ports, packet.source_port, source);
	walk_end(&packet.destination, packet.ports, packet.destination_port, destination);
	snprintf(text, TEXT_MAX, "%s %s > %s, TTL %u, %" PRIu32 " bytes",
		 dissect_protocol(&packet, number), source, destination,
		 walk->packet.bytes[packet.source.family == AF_INET6 ? 21 : 22],
		 walk->packet.length);
}

static void put_policy(const struct walk *walk, uint32_t ifindex, int verdict, char text[TEXT_MAX])
{
	char name[TRACE_NAME_MAX];
	struct nsr_port port;

	if (verdict < 0)
		snprintf(text, TEXT_MAX, "refused: %s", output_drop_meaning(walk_reason(verdict)));
	else if (datapath_find_port(walk->datapath, ifindex, &port) &&
		 !(port.flags & NSR_PORT_SPOOF_CHECK))
		snprintf(text, TEXT_MAX, "the source of %s is not checked",
			 walk_name(walk, ifindex, name));
	else
		snprintf(text, TEXT_MAX, "source MAC and address are those of %s",
			 walk_name(walk, ifindex, name));
}

static void put_endpoint(const struct walk *walk, const struct nsr_told *told, char text[TEXT_MAX])
{
	const char *what = told->what == NSR_TELLS_SWITCHED ? "MAC" : "address";
	char name[TRACE_NAME_MAX];

	if (told->a)
		snprintf(text, TEXT_MAX, "its destination %s is that of %s, MTU %" PRIu64, what,
			 walk_name(walk, (uint32_t)told->a, name), (uint64_t)told->b);
	else
		snprintf(text, TEXT_MAX, "no namespace has its destination %s", what);
}

static void put_fib(const struct walk *walk, const struct nsr_told *told, char text[TEXT_MAX])
{
	char name[TRACE_NAME_MAX], hop[IP_TEXT_MAX];

	walk_name(walk, (uint32_t)told->b, name);
	name_address((__be32)told->c, hop);
	switch (told->a) {
	case NSR_FIB_KERNEL:
		snprintf(text, TEXT_MAX, "the kernel does not route it to the outside");
		break;
	case NSR_FIB_UPLINK:
		snprintf(text, TEXT_MAX, "the kernel routes it by %s, the network's uplink", name);
		break;
	case NSR_FIB_UPLINK_KERNEL:
		snprintf(text, TEXT_MAX,
			 "the kernel routes it by %s, the network's uplink, but it is too large or "
			 "the next hop is no known neighbour yet",
			 name);
		break;
	default:
		snprintf(text, TEXT_MAX,
			 "the kernel routes it by another interface than the network's uplink");
	}
}

static bool is_ipv6(const struct walk *walk)
{
	return walk->packet.bytes[12] == 0x86 && walk->packet.bytes[13] == 0xdd;
}

/* Whether it is for what stands for the host's ::1. */
static bool is_to_client6(const struct walk *walk)
{
	const uint32_t client[] = {htonl(NSR_LOOPBACK_CLIENT6_0), htonl(NSR_LOOPBACK_CLIENT6_1), 0,
				   htonl(NSR_LOOPBACK_CLIENT6_3)};

	return !memcmp(walk->packet.bytes + ETH_HLEN + offsetof(struct ip6_hdr, ip6_dst), client,
		       sizeof(client));
}

/* The uplink at whose hook the packet is, or that of the port, whose hook does a hairpin. */
static void find_uplink(const struct walk *walk, uint32_t ifindex, struct nsr_uplink *ret)
{
	struct nsr_port port;

	if (!datapath_find_uplink(walk->datapath, ifindex, ret) &&
	    datapath_find_port(walk->datapath, ifindex, &port))
		datapath_find_uplink_of(walk->datapath, &port, ret);
}

/* Whether it is what is told of a mapping or session: by its slot, or by the half that there is
 * room for. */
static bool is_told6(const struct nsr_uplink *uplink, size_t place, const struct nsr_told *told)
{
	uint32_t words[4];

	if (told->what == NSR_TELLS_OPENS)
		return told->a && uplink->slots[place] == NSR_MAPPING_SLOT(told->a);
	memcpy(words, uplink->more6[place], sizeof(words));
	return (words[2] | (uint64_t)words[3] << 32) == told->b;
}

static const void *external6_of(const struct nsr_uplink *uplink, const struct nsr_told *told)
{
	static const uint8_t none[16];

	for (size_t i = 0; i < NSR_MORE_MAX; i++)
		if (memcmp(uplink->more6[i], none, sizeof(none)) && is_told6(uplink, i, told))
			return uplink->more6[i];
	return uplink->address6;
}

/* What a flow of the packet's family leaves the uplink with: IPv6 has no room in what is told. */
static char *name_external(const struct walk *walk, uint32_t ifindex, __be32 address4,
			   const struct nsr_told *told, char buffer[IP_TEXT_MAX + 2])
{
	const struct nsr_port by_slot = {.uplink = (uint16_t)(NSR_MAPPING_SLOT(told->a) + 1)};
	struct ip_address ip = {.family = AF_INET6, .prefix_len = 128};
	struct nsr_uplink uplink = {0};
	char text[IP_TEXT_MAX];

	if (!is_ipv6(walk))
		return name_address(address4, buffer);
	find_uplink(walk, ifindex, &uplink);
	/* A session's is that of its mapping: of a guest's (bpf/guest.h) it is not the port's. */
	if (told->what == NSR_TELLS_SESSION && told->a)
		datapath_find_uplink_of(walk->datapath, &by_slot, &uplink);
	if (is_to_client6(walk)) /* and comes from the host's loopback address */
		datapath_find_uplink(walk->datapath, STATE_LOOPBACK, &uplink);
	memcpy(ip.bytes, external6_of(&uplink, told), sizeof(uplink.address6));
	snprintf(buffer, IP_TEXT_MAX + 2, "[%s]", ip_format(&ip, text));
	return buffer;
}

static void put_mapped(const struct walk *walk, const struct nsr_told *told, char text[TEXT_MAX])
{
	char address[IP_TEXT_MAX];

	if (is_ipv6(walk))
		snprintf(text, TEXT_MAX, "the port is mapped to port %u of an inside address",
			 ntohs((uint16_t)told->c));
	else
		snprintf(text, TEXT_MAX, "the port is mapped to %s:%u",
			 name_address((__be32)told->b, address), ntohs((uint16_t)told->c));
}

/* The external address of a mapping's slot. */
static __be32 external_of(const struct nsr_uplink *uplink, uint32_t mapping)
{
	for (size_t i = 0; mapping && i < NSR_MORE_MAX; i++)
		if (uplink->slots[i] == NSR_MAPPING_SLOT(mapping) &&
		    uplink->slots[i] != uplink->index && uplink->more4[i])
			return uplink->more4[i];
	return uplink->address4;
}

static void put_opens(const struct walk *walk, uint32_t ifindex, const struct nsr_told *told,
		      char text[TEXT_MAX])
{
	struct nsr_uplink uplink = {0};
	char address[IP_TEXT_MAX + 2];

	find_uplink(walk, ifindex, &uplink);
	name_external(walk, ifindex, external_of(&uplink, (uint32_t)told->a), told, address);
	if (told->b == NSR_OPENS_ADDRESS)
		snprintf(text, TEXT_MAX, "no session: it would open one as %s", address);
	else if (told->b == NSR_OPENS_NONE)
		snprintf(text, TEXT_MAX,
			 "no session, and room for none: it passes as %s:%u, a published port",
			 address, NSR_MAPPING_PORT(told->a));
	else if (told->b == NSR_OPENS_ANY)
		snprintf(text, TEXT_MAX, "no session: it would open one and take a free port of %s",
			 address);
	else
		snprintf(text, TEXT_MAX, "no session: it would open one as %s:%u, %s", address,
			 NSR_MAPPING_PORT(told->a),
			 told->b == NSR_OPENS_KNOWN ? "the mapping that its source has"
						    : "its own port, which is free");
}

static const char *inbound_word(uint64_t whom)
{
	static const char *const words[] = {
		[NSR_INBOUND_HOST] = "it belongs to no session: the host may want it",
		[NSR_INBOUND_SESSION] = "it belongs to that session",
		[NSR_INBOUND_HELD] = "it is held until its first fragment comes",
		[NSR_INBOUND_REFUSED] = "the port is mapped, but not for this remote",
		[NSR_INBOUND_LIMITED] =
			"the port is open to it, but the namespace has all the flows it may have",
		[NSR_INBOUND_FULL] =
			"the port is open to it, but there is no room for another flow",
		[NSR_INBOUND_BUSY] = "the port is open to it, but other CPUs were faster",
		[NSR_INBOUND_ROUTED] = "it has a routing header, which leads on from here",
		[NSR_INBOUND_LEFT] = "the host has been left a fragment before it",
		[NSR_INBOUND_LOST] = "an earlier fragment of its datagram could not be held",
	};

	return whom < sizeof(words) / sizeof(*words) ? words[whom] : NULL;
}

/* Of what is for an inside address straight. */
static const char *straight_word(uint64_t whom)
{
	switch (whom) {
	case NSR_INBOUND_HOST:
		return "it belongs to no direct session, and cannot open one";
	case NSR_INBOUND_REFUSED:
		return "what its destination sends there is translated";
	case NSR_INBOUND_RARE:
		return "nothing of its kind comes in straight";
	case NSR_INBOUND_LIMITED:
		return "it would open a direct session, but the namespace has all it may have";
	case NSR_INBOUND_FULL:
		return "it would open a direct session, but there is no room for another one";
	case NSR_INBOUND_BUSY:
		return "it would open a direct session, but other CPUs were faster";
	default:
		return inbound_word(whom);
	}
}

static void put_inbound(const struct nsr_told *told, char text[TEXT_MAX])
{
	const char *known = told->b ? straight_word(told->a) : inbound_word(told->a);

	snprintf(text, TEXT_MAX, "%s", known ? known : "unknown");
}

static void put_verdict(enum datapath_program hook, const struct nsr_told *told,
			char text[TEXT_MAX])
{
	int verdict = (int)(int64_t)told->a;
	bool uplink = hook == DATAPATH_UPLINK_IN || hook == DATAPATH_UPLINK_OUT;

	if (verdict < 0)
		snprintf(text, TEXT_MAX, "dropped, counted as %s", walk_reason(verdict));
	else if (uplink)
		snprintf(text, TEXT_MAX, told->b ? "translated" : "passed as it is");
	else
		snprintf(text, TEXT_MAX,
			 verdict ? "forwarded by the fast path" : "left to the kernel");
}

/* False: there is nothing to say about it. */
static bool put_telling(struct walk *walk, enum datapath_program hook, uint32_t ifindex,
			const struct nsr_told *told, char text[TEXT_MAX])
{
	char name[TRACE_NAME_MAX], address[IP_TEXT_MAX + 2];

	switch (told->what) {
	case NSR_TELLS_PARSED:
		put_parsed(walk, text);
		return true;
	case NSR_TELLS_POLICY:
		put_policy(walk, ifindex, (int)(int64_t)told->a, text);
		return true;
	case NSR_TELLS_SWITCHED:
	case NSR_TELLS_ROUTED:
		put_endpoint(walk, told, text);
		return true;
	case NSR_TELLS_UNFIT:
		snprintf(text, TEXT_MAX, "not by the fast path: %s",
			 told->a < NSR_UNFIT_END ? unfit_words[told->a] : "unknown");
		return true;
	case NSR_TELLS_FIB:
		put_fib(walk, told, text);
		return true;
	case NSR_TELLS_SESSION:
		snprintf(text, TEXT_MAX, "session: known outside as %s:%u",
			 name_external(walk, ifindex, (__be32)told->b, told, address),
			 NSR_MAPPING_PORT(told->a));
		return true;
	case NSR_TELLS_EXPIRED:
		snprintf(text, TEXT_MAX, "its session has expired, and would be ended now");
		return true;
	case NSR_TELLS_REMEMBERED:
		snprintf(text, TEXT_MAX, "the session went by %s within this second, next hop %s",
			 walk_name(walk, (uint32_t)told->a, name),
			 name_address((__be32)told->c, address));
		return true;
	case NSR_TELLS_OPENS:
		put_opens(walk, ifindex, told, text);
		return true;
	case NSR_TELLS_MAPPED:
		put_mapped(walk, told, text);
		return true;
	case NSR_TELLS_SOCKET:
		snprintf(text, TEXT_MAX, "the host itself has %s for port %u",
			 told->a ? "a socket" : "no socket", (unsigned int)told->b);
		return true;
	case NSR_TELLS_DIRECT:
		snprintf(text, TEXT_MAX, "%s",
			 told->a == 1 ? "it belongs to a direct session, and is not translated"
			 : told->a    ? "no session: it would open a direct one"
				      : "it belongs to no direct session");
		return true;
	case NSR_TELLS_EXCEPT:
		snprintf(text, TEXT_MAX, "%s",
			 told->a ? "its network excepts where it comes from: it is let in as it is"
				 : "its network excepts where it goes: it leaves as it is");
		return true;
	case NSR_TELLS_INBOUND:
		put_inbound(told, text);
		return true;
	case NSR_TELLS_VERDICT:
		put_verdict(hook, told, text);
		return true;
	default:
		return false; /* the answer says it */
	}
}

static const char *verdict_word(enum datapath_program hook, const struct nsr_trace *told)
{
	const struct nsr_told *verdict = walk_find(told, NSR_TELLS_VERDICT);

	if (walk_verdict(told) < 0)
		return "dropped";
	switch (hook) {
	case DATAPATH_PORT_IN:
		return walk_verdict(told) ? "fast" : "slow";
	case DATAPATH_PORT_OUT:
		return "received";
	default:
		return verdict && verdict->b ? "translated" : "passed";
	}
}

void walk_tell(struct walk *walk, enum datapath_program hook, uint32_t ifindex,
	       const struct nsr_trace *told)
{
	char text[TEXT_MAX], name[TRACE_NAME_MAX];
	json_t *counted = json_object();

	for (uint32_t i = 0; i < told->count; i++) {
		uint32_t what = told->told[i].what;

		if (put_telling(walk, hook, ifindex, &told->told[i], text))
			add_line(walk, hook_names[hook], telling_names[what], text);
	}
	model_set_text(counted, "hook", hook_names[hook]);
	model_set_text(counted, "interface", walk_name(walk, ifindex, name));
	model_set_text(counted, "verdict", verdict_word(hook, told));
	model_set_text_or_null(counted, "reason", walk_reason(walk_verdict(told)));
	json_array_append_new(json_object_get(walk->result, "hooks"), counted);
}

/* ---- Text. */

/* A namespace gives its interfaces what names it likes; none shall steer the terminal. */
static void print_clean(FILE *out, const char *text)
{
	for (; *text; text++)
		fputc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, out);
}

static void print_part(FILE *out, const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	print_clean(out, text ? text : "");
}

void trace_text(FILE *out, const json_t *trace, bool color)
{
	const json_t *step;
	size_t i;

	json_array_foreach(json_object_get(trace, "steps"), i, step)
	{
		fprintf(out, "%-10s  ", json_string_value(json_object_get(step, "at")));
		fprintf(out, "%-9s  ", json_string_value(json_object_get(step, "step")));
		print_part(out, step, "text");
		fputc('\n', out);
	}
	fputs(color ? "\033[1m" : "", out);
	print_part(out, json_object_get(trace, "answer"), "text");
	fputs(color ? "\033[0m\n" : "\n", out);
}
