/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "output_drops.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "output.h"
#include "output_model.h"

#define BAD    "\033[31m"
#define NORMAL "\033[0m"

#define TIME_MAX   40
#define CLOCK_AT   11 /* in "2026-01-31T12:00:00.000000+00:00", and ... */
#define CLOCK_SIZE 15 /* ... so long */

static const char *const hook_names[] = {
#define X(name, text) [NSR_HOOK_##name] = text,
	NSR_HOOKS(X)
#undef X
};
_Static_assert(sizeof(hook_names) / sizeof(*hook_names) == NSR_HOOKS_END, "a name for each hook");

/* ---- Places. */

static void add_place(json_t *places, uint32_t ifindex, json_t *place)
{
	char key[16];

	snprintf(key, sizeof(key), "%" PRIu32, ifindex);
	json_object_set_new(places, key, place);
}

static json_t *place_of(const char *fabric, const char *namespace, const char *interface,
			const char *uplink)
{
	json_t *place = json_object();

	model_set_text_or_null(place, "fabric", fabric);
	model_set_text_or_null(place, "namespace", namespace);
	model_set_text_or_null(place, "interface", interface);
	model_set_text_or_null(place, "uplink", uplink);
	return place;
}

static void add_namespace(json_t *places, const struct record *record,
			  const struct kernel_state *state, const char *name)
{
	const struct state_namespace *namespace = model_namespace(state, name);

	for (size_t i = 0; namespace && i < namespace->links_count; i++) {
		const struct state_link *link = &namespace->links[i];
		const struct state_port *port = NULL;

		model_host_end(state, link, &port);
		if (port)
			add_place(places, port->ifindex,
				  place_of(record->fabric, name, link->name, NULL));
	}
}

/* An uplink may be several fabrics'. */
json_t *output_places(const struct record *record, const struct kernel_state *state)
{
	json_t *places = json_object();

	for (size_t i = 0; i < record->count; i++) {
		const struct record_entry *entry = &record->entries[i];
		const struct state_link *link;

		if (entry->kind == RECORD_NETNS)
			add_namespace(places, record, state, entry->name);
		if (entry->kind != RECORD_UPLINK)
			continue;
		link = model_link_named(&state->host, entry->name);
		if (link)
			add_place(places, link->ifindex, place_of(NULL, NULL, NULL, entry->name));
	}
	return places;
}

const json_t *output_place(const json_t *places, uint32_t ifindex)
{
	char key[16];

	snprintf(key, sizeof(key), "%" PRIu32, ifindex);
	return json_object_get(places, key);
}

/* ---- The model. */

/* RFC 3339, with the local zone's offset. */
static void set_time(json_t *object, int64_t when_ns)
{
	time_t seconds = (time_t)(when_ns / 1000000000);
	char text[TIME_MAX], zone[8];
	struct tm local = {0};
	size_t used;

	localtime_r(&seconds, &local);
	used = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &local);
	strftime(zone, sizeof(zone), "%z", &local); /* "+hhmm" */
	snprintf(text + used, sizeof(text) - used, ".%06d%.3s:%.2s",
		 (int)(when_ns / 1000 % 1000000), zone, zone + 3);
	model_set_text(object, "time", text);
}

static void set_place(json_t *drop, const char *key, const json_t *place)
{
	json_t *value = json_object_get(place, key);

	json_object_set_new(drop, key, value ? json_incref(value) : json_null());
}

static void set_address(json_t *drop, const char *key, const struct ip_address *ip)
{
	char text[IP_TEXT_MAX];

	model_set_text_or_null(drop, key, ip->family ? ip_format(ip, text) : NULL);
}

static void set_number_or_null(json_t *drop, const char *key, bool there, int number)
{
	json_object_set_new(drop, key, there ? json_integer(number) : json_null());
}

static void set_packet(json_t *drop, const struct nsr_event *event, const struct dissection *packet)
{
	char text[MAC_TEXT_MAX], number[16];
	int vlan = event->tagged ? event->vlan & 0xfff : packet->vlan;

	model_set_text_or_null(drop, "protocol", dissect_protocol(packet, number));
	set_address(drop, "source", &packet->source);
	set_number_or_null(drop, "source_port", packet->ports, packet->source_port);
	set_address(drop, "destination", &packet->destination);
	set_number_or_null(drop, "destination_port", packet->ports, packet->destination_port);
	model_set_text_or_null(drop, "source_mac",
			       packet->ethernet ? mac_format(packet->source_mac, text) : NULL);
	model_set_text_or_null(drop, "destination_mac",
			       packet->ethernet ? mac_format(packet->destination_mac, text) : NULL);
	set_number_or_null(drop, "vlan", vlan >= 0, vlan);
	model_set_text_or_null(drop, "info", *packet->info ? packet->info : NULL);
	model_set_text_or_null(drop, "problem", *packet->problem ? packet->problem : NULL);
}

json_t *output_drop(const struct nsr_event *event, const struct dissection *packet,
		    const json_t *here, const json_t *inside, int64_t when_ns)
{
	json_t *drop = json_object();
	const char *reason = output_drop_reason(event->reason);
	const json_t *owner =
		event->hook == NSR_HOOK_PORT_IN || event->hook == NSR_HOOK_PORT_OUT ? here : inside;

	set_time(drop, when_ns);
	model_set_text(drop, "reason", reason ? reason : "unknown");
	model_set_text(drop, "hook",
		       event->hook < NSR_HOOKS_END ? hook_names[event->hook] : "unknown");
	set_place(drop, "fabric", owner);
	set_place(drop, "namespace", owner);
	set_place(drop, "interface", owner);
	set_place(drop, "uplink", here);
	model_set_number(drop, "ifindex", event->ifindex);
	set_packet(drop, event, packet);
	model_set_number(drop, "length", event->length);
	return drop;
}

json_t *output_left_out(const uint64_t packets[NSR_DROP_SLOTS], double deaf_s, int64_t when_ns)
{
	json_t *line = json_object(), *reasons = json_object();

	for (unsigned int i = 0; i < NSR_DROP_REASONS_END; i++)
		if (packets[i])
			model_set_number(reasons, output_drop_reason(i), packets[i]);
	set_time(line, when_ns);
	json_object_set_new(line, "left_out", reasons);
	json_object_set_new(line, "deaf_s", json_real(deaf_s));
	return line;
}

/* ---- Text. */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* A namespace gives its interfaces what names it likes; none shall steer the terminal. */
static void print_name(FILE *out, const char *name)
{
	for (; *name; name++)
		fputc((unsigned char)*name < ' ' || *name == 0x7f ? '?' : *name, out);
}

static void print_owner(FILE *out, const json_t *drop)
{
	print_name(out, text_of(drop, "namespace"));
	fputc(' ', out);
	print_name(out, text_of(drop, "interface"));
}

/* The link of the hook when nobody knows whose it is. */
static void print_number(FILE *out, const json_t *drop)
{
	fprintf(out, "interface %" JSON_INTEGER_FORMAT,
		json_integer_value(json_object_get(drop, "ifindex")));
}

static void print_uplink(FILE *out, const json_t *drop)
{
	if (*text_of(drop, "uplink"))
		print_name(out, text_of(drop, "uplink"));
	else
		print_number(out, drop);
}

static bool is_hook(const json_t *drop, enum nsr_hook hook)
{
	return strcmp(text_of(drop, "hook"), hook_names[hook]) == 0;
}

/* "from red eth0", "to red eth0", "from red eth0, out eth0", "in eth0, to red eth0" */
static void print_place(FILE *out, const json_t *drop)
{
	bool known = *text_of(drop, "namespace"), in = is_hook(drop, NSR_HOOK_UPLINK_IN);
	bool to = in || is_hook(drop, NSR_HOOK_PORT_OUT);
	bool port = is_hook(drop, NSR_HOOK_PORT_IN) || is_hook(drop, NSR_HOOK_PORT_OUT);

	if (in) {
		fputs("in ", out);
		print_uplink(out, drop);
	}
	if (known || port)
		fprintf(out, "%s%s ", in ? ", " : "", to ? "to" : "from");
	if (known)
		print_owner(out, drop);
	else if (port)
		print_number(out, drop);
	if (!port && !in) {
		fprintf(out, "%sout ", known ? ", " : "");
		print_uplink(out, drop);
	}
}

static void end_text(char *text, size_t size, const json_t *drop, const char *address,
		     const char *port, const char *mac)
{
	const char *ip = text_of(drop, address);
	const json_t *number = json_object_get(drop, port);

	if (!*ip)
		snprintf(text, size, "%s", text_of(drop, mac));
	else if (!json_is_integer(number))
		snprintf(text, size, "%s", ip);
	else
		snprintf(text, size,
			 strchr(ip, ':') ? "[%s]:%" JSON_INTEGER_FORMAT
					 : "%s:%" JSON_INTEGER_FORMAT,
			 ip, json_integer_value(number));
}

static void print_packet(FILE *out, const json_t *drop)
{
	const json_t *vlan = json_object_get(drop, "vlan");
	const char *info = text_of(drop, "info"), *problem = text_of(drop, "problem");
	char source[IP_TEXT_MAX + 16], destination[IP_TEXT_MAX + 16];

	end_text(source, sizeof(source), drop, "source", "source_port", "source_mac");
	end_text(destination, sizeof(destination), drop, "destination", "destination_port",
		 "destination_mac");
	if (*source)
		fprintf(out, "%s %s > %s, ", text_of(drop, "protocol"), source, destination);
	if (*info)
		fprintf(out, "%s, ", info);
	if (json_is_integer(vlan))
		fprintf(out, "VLAN %" JSON_INTEGER_FORMAT ", ", json_integer_value(vlan));
	fprintf(out, "%" JSON_INTEGER_FORMAT " bytes",
		json_integer_value(json_object_get(drop, "length")));
	if (*problem)
		fprintf(out, "; %s", problem);
}

static void left_out_text(FILE *out, const json_t *line)
{
	double deaf_s = json_real_value(json_object_get(line, "deaf_s"));
	const char *reason;
	json_t *packets;

	json_object_foreach(json_object_get(line, "left_out"), reason, packets)
		fprintf(out, "%.*s  %-19s  %" JSON_INTEGER_FORMAT " more, left out\n", CLOCK_SIZE,
			text_of(line, "time") + CLOCK_AT, reason, json_integer_value(packets));
	if (deaf_s > 0)
		fprintf(out, "%.*s  not listened for %.1f s\n", CLOCK_SIZE,
			text_of(line, "time") + CLOCK_AT, deaf_s);
}

void output_drop_text(FILE *out, const json_t *line, bool color)
{
	if (json_object_get(line, "left_out")) {
		left_out_text(out, line);
		return;
	}
	fprintf(out, "%.*s  %s%-19s%s  ", CLOCK_SIZE, text_of(line, "time") + CLOCK_AT,
		color ? BAD : "", text_of(line, "reason"), color ? NORMAL : "");
	print_place(out, line);
	fputs(": ", out);
	print_packet(out, line);
	fputc('\n', out);
}
