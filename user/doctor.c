/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the list of findings, the words for places, and the commands of mends. A command
 * names the namespace it acts in, the host's too when --netns chose one, so that it can be pasted
 * where "nsroute doctor" was typed.
 */
#include "doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "doctor_view.h"

#define COMMAND_MAX 1024 /* bytes of one command */

/* ---- Findings. */

struct doctor_finding *doctor_add(struct doctor_world *world, enum doctor_status status,
				  const char *check)
{
	struct doctor_finding *finding =
		arena_push(world->arena, world->findings, world->findings_count);

	*finding = (struct doctor_finding){
		.check = check, .status = status, .what = "", .where = "", .why = "", .mend = ""};
	return finding;
}

const char *doctor_place(const struct doctor_world *world, const struct state_namespace *namespace,
			 const char *interface)
{
	const char *name = namespace->name ? namespace->name : "host";

	return interface ? arena_printf(world->arena, "%s:%s", name, interface) : name;
}

struct doctor_finding *doctor_add_at(struct doctor_world *world, enum doctor_status status,
				     const char *check, const struct state_namespace *namespace,
				     const char *interface)
{
	const struct record *owner = doctor_owner(world, namespace, interface);
	struct doctor_finding *finding = doctor_add(world, status, check);

	finding->where = doctor_place(world, namespace, interface);
	finding->fabric = owner ? owner->fabric : NULL;
	finding->namespace = namespace->name ? namespace->name : "host";
	finding->interface = interface;
	return finding;
}

/* ---- Whose things are whose. */

static const struct record *find_owner(const struct doctor_world *world, enum record_kind kind,
				       const char *name)
{
	for (size_t i = 0; i < world->state->others_count; i++)
		if (record_has(&world->state->others[i], kind, name))
			return &world->state->others[i];
	return NULL;
}

const struct record *doctor_owner(const struct doctor_world *world,
				  const struct state_namespace *namespace, const char *link)
{
	const struct record *owner;

	if (namespace->name)
		return find_owner(world, RECORD_NETNS, namespace->name);
	if (!link)
		return NULL;
	owner = find_owner(world, RECORD_LINK, link);
	return owner ? owner : find_owner(world, RECORD_UPLINK, link);
}

bool doctor_wanted(const struct doctor_world *world, const struct state_namespace *namespace,
		   const char *link)
{
	const struct record *owner;

	if (!world->only)
		return true;
	/* An uplink may be of several fabrics. */
	if (!namespace->name && link && doctor_is_uplink(world, link))
		return true;
	owner = doctor_owner(world, namespace, link);
	return owner && !strcmp(owner->fabric, world->only);
}

/* ---- Commands. */

/* A word as a shell takes it. */
static const char *quoted(const struct doctor_world *world, const char *word)
{
	const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			    "-_./:=@%+,";
	char *text = arena_printf(world->arena, "'");

	if (*word && strspn(word, plain) == strlen(word))
		return word;
	for (; *word; word++)
		text = *word == '\'' ? arena_printf(world->arena, "%s'\\''", text)
				     : arena_printf(world->arena, "%s%c", text, *word);
	return arena_printf(world->arena, "%s'", text);
}

/* How to act in a namespace: "" where one is already. by_option: of the program "ip". */
static const char *enter(const struct doctor_world *world, const struct state_namespace *namespace,
			 bool by_option)
{
	const char *name = namespace->name ? namespace->name : world->netns;

	if (!name)
		return by_option ? "ip " : "";
	if (strchr(name, '/'))
		return arena_printf(world->arena, "nsenter --net=%s %s", quoted(world, name),
				    by_option ? "ip " : "");
	return arena_printf(world->arena, by_option ? "ip -n %s " : "ip netns exec %s ",
			    quoted(world, name));
}

#define FORMAT(text, format)                                 \
	do {                                                 \
		va_list args;                                \
		va_start(args, format);                      \
		vsnprintf(text, sizeof(text), format, args); \
		va_end(args);                                \
	} while (0)

const char *doctor_ip(const struct doctor_world *world, const struct state_namespace *namespace,
		      const char *format, ...)
{
	char text[COMMAND_MAX];

	FORMAT(text, format);
	return arena_printf(world->arena, "%s%s%s", world->prefix, enter(world, namespace, true),
			    text);
}

const char *doctor_run(const struct doctor_world *world, const struct state_namespace *namespace,
		       const char *format, ...)
{
	char text[COMMAND_MAX];

	FORMAT(text, format);
	return arena_printf(world->arena, "%s%s%s", world->prefix, enter(world, namespace, false),
			    text);
}

const char *doctor_nsroute(const struct doctor_world *world, const char *format, ...)
{
	char text[COMMAND_MAX];

	FORMAT(text, format);
	if (!world->netns)
		return arena_printf(world->arena, "%snsroute %s", world->prefix, text);
	return arena_printf(world->arena, "%snsroute --netns %s %s", world->prefix,
			    quoted(world, world->netns), text);
}

const char *doctor_then(const struct doctor_world *world, const char *first, const char *second)
{
	if (!*first || !*second)
		return *first ? first : second;
	return arena_printf(world->arena, "%s && %s", first, second);
}

const char *doctor_apply(const struct doctor_world *world, const struct record *record)
{
	return doctor_nsroute(world, "apply %s", quoted(world, record->file));
}

const char *doctor_edit(const struct doctor_world *world, const struct record *record)
{
	return doctor_then(world,
			   arena_printf(world->arena, "%s${EDITOR:-vi} %s", world->prefix,
					quoted(world, record->file)),
			   doctor_apply(world, record));
}

/* ---- All of it. */

static bool found_something(const struct doctor_world *world, const char *fabric)
{
	for (size_t i = 0; i < world->findings_count; i++) {
		const struct doctor_finding *finding = &world->findings[i];
		const char *other = finding->fabric ? finding->fabric : "";

		if (finding->status == DOCTOR_PROBLEM && finding->namespace &&
		    !strcmp(other, fabric))
			return true;
	}
	return false;
}

/* A line for what is as it should be: silence would leave one wondering what was looked at. */
static void praise(struct doctor_world *world)
{
	size_t foreign = 0;

	for (size_t i = 0; i < world->fabrics_count; i++) {
		const char *fabric = world->fabrics[i].record->fabric;
		struct doctor_finding *finding;

		if (found_something(world, fabric))
			continue;
		finding = doctor_add(world, DOCTOR_GOOD, "fabric");
		finding->what = "nothing is wrong with it";
		finding->where = finding->fabric = fabric;
		finding->why = "what nsroute made is there, and as it should be";
	}
	for (size_t i = 0; i < world->state->namespaces_count; i++)
		foreign += !doctor_owner(world, &world->state->namespaces[i], NULL);
	if (foreign && !world->only && !found_something(world, "")) {
		struct doctor_finding *finding = doctor_add(world, DOCTOR_GOOD, "namespaces");

		finding->what = arena_printf(world->arena, "nothing is wrong with %zu of no fabric",
					     foreign);
		finding->where = "/run/netns";
		finding->why = "namespaces made by hand are looked at, and never touched";
	}
}

void doctor_judge(struct doctor_world *world)
{
	doctor_connect(world);
	doctor_check_links(world);
	doctor_check_addresses(world);
	doctor_check_routes(world);
	doctor_check_fabrics(world);
	doctor_check_sockets(world);
	doctor_check_hooks(world);
	doctor_check_netfilter(world);
	doctor_check_host(world);
	praise(world);
}
