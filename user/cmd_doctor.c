/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "doctor.h"
#include "output.h"

const char cmd_doctor_help[] =
	"Tells what is wrong: each finding says what was seen, where, why it matters, and the command\n"
	"that mends it. Changes nothing.\n"
	"\n"
	"With a NAME it looks at that fabric. Without, at this machine (privilege, kernel, BTF, bpf file\n"
	"system, JIT, kinds of links, the classifier), at all fabrics of the host namespace, and at\n"
	"every namespace in /run/netns, also those made by hand.\n"
	"\n"
	"In namespaces: lo, interfaces and peers that are down, addresses without prefix length, no\n"
	"route out, gateways nobody has, duplicates, overlaps, MTU, forwarding, reverse path filter.\n"
	"In the host: rules that drop or translate what belongs to a fabric, programs of others before\n"
	"ours, uplinks, leftovers, network managers, full tables. And how a fabric differs from its\n"
	"file.\n"
	"\n"
	"With -j: {\"problems\": N, \"notes\": N, \"findings\": [{\"check\", \"status\", \"what\", \"where\",\n"
	"\"why\", \"mend\", \"fabric\", \"namespace\", \"interface\"}]}; status is good, problem, note or\n"
	"skipped.\n"
	"\n"
	"Exit code: 0 no problem, 3 problems, 1 unknown fabric.\n"
	"\n"
	"Examples:\n"
	"  sudo nsroute doctor\n"
	"  sudo nsroute doctor lab\n";

static json_t *text_or_null(const char *text)
{
	return text && *text ? output_string(text) : json_null();
}

static json_t *finding_json(const struct doctor_finding *finding)
{
	static const char *const status[] = {[DOCTOR_GOOD] = "good",
					     [DOCTOR_PROBLEM] = "problem",
					     [DOCTOR_SKIPPED] = "skipped",
					     [DOCTOR_NOTE] = "note"};

	return json_pack(
		"{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "check", finding->check, "status",
		status[finding->status], "what", output_string(finding->what), "where",
		output_string(finding->where), "why", output_string(finding->why), "mend",
		text_or_null(finding->mend), "fabric", text_or_null(finding->fabric), "namespace",
		text_or_null(finding->namespace), "interface", text_or_null(finding->interface));
}

static json_t *findings_json(const struct doctor_world *world)
{
	json_t *array = json_array();
	json_int_t problems = 0, notes = 0;

	for (size_t i = 0; i < world->findings_count; i++) {
		problems += world->findings[i].status == DOCTOR_PROBLEM;
		notes += world->findings[i].status == DOCTOR_NOTE;
		json_array_append_new(array, finding_json(&world->findings[i]));
	}
	return json_pack("{s:I, s:I, s:o}", "problems", problems, "notes", notes, "findings",
			 array);
}

static void add_not_looked(struct doctor_world *world, const char *why)
{
	struct doctor_finding *finding = doctor_add(world, DOCTOR_SKIPPED, "fabrics");

	finding->what = arena_strdup(world->arena, why);
	finding->where = "/run/nsroute, /run/netns";
	finding->why = "fabrics and namespaces are not looked at";
}

/* Fabrics and namespaces. Only an unknown fabric, or a host namespace that cannot be had, is an
 * error. */
static int look(struct context *context, struct doctor_world *world, struct error *err)
{
	struct host host;
	int code = doctor_privilege(err);

	if (code != 0 && !world->only) {
		add_not_looked(world, err->message);
		return 0;
	}
	code = command_open_host(context, &host, err);
	if (code != 0)
		return code;
	code = doctor_look(world, host.fd, host.cookie, err);
	close(host.fd);
	if (code == 0)
		doctor_judge(world);
	if (code == 0 || world->only)
		return code;
	add_not_looked(world, err->message);
	return 0;
}

int cmd_doctor(struct context *context, int argc, char **argv)
{
	static const struct option options[] = {{NULL, 0, NULL, 0}};
	struct doctor_world world = {.arena = &context->arena, .netns = context->netns};
	struct error err;
	json_t *model;
	int status;

	if (command_option(context, argc, argv, options) != -1)
		return EXIT_INVALID;
	if (argc - optind > 1)
		return command_usage(context, "one fabric at most");
	world.only = argv[optind];
	world.prefix = getenv("SUDO_UID") ? "sudo " : "";
	if (!world.only)
		doctor_machine(&world);
	if (look(context, &world, &err) != 0)
		return command_fail(context, &err);
	model = findings_json(&world);
	status = json_integer_value(json_object_get(model, "problems")) ? EXIT_DIFFERS : EXIT_DONE;
	if (context->json) {
		command_print_json(model);
		return status;
	}
	output_doctor_text(stdout, model, context->color);
	json_decref(model);
	return status;
}
