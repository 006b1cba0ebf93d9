/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "command.h"

#include <stdio.h>

#include "doctor.h"
#include "output.h"

const char cmd_doctor_help[] =
	"Looks at what this machine lacks: privilege, kernel, BTF, bpf file system, JIT, kinds of links\n"
	"and the classifier that programs are attached through. What has to be tried is tried in a\n"
	"network namespace of its own; nothing is changed. Some answers need root.\n"
	"\n"
	"With -j: {\"problems\": N, \"findings\": [{\"check\", \"status\", \"what\", \"where\", \"why\",\n"
	"\"mend\"}]}; status is good, problem or skipped.\n"
	"\n"
	"Exit code: 0 no problem, 3 problems.\n"
	"\n"
	"Example:\n"
	"  sudo nsroute doctor\n";

static json_t *findings_json(const struct doctor_finding *findings, size_t count)
{
	static const char *const status[] = {
		[DOCTOR_GOOD] = "good", [DOCTOR_PROBLEM] = "problem", [DOCTOR_SKIPPED] = "skipped"};
	json_t *array = json_array();
	json_int_t problems = 0;

	for (size_t i = 0; i < count; i++) {
		const struct doctor_finding *finding = &findings[i];

		problems += finding->status == DOCTOR_PROBLEM;
		json_array_append_new(
			array,
			json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "check", finding->check,
				  "status", status[finding->status], "what",
				  output_string(finding->what), "where",
				  output_string(finding->where), "why", output_string(finding->why),
				  "mend",
				  *finding->mend ? output_string(finding->mend) : json_null()));
	}
	return json_pack("{s:I, s:o}", "problems", problems, "findings", array);
}

int cmd_doctor(struct context *context, int argc, char **argv)
{
	static const struct option options[] = {{NULL, 0, NULL, 0}};
	struct doctor_finding *findings;
	size_t count;
	json_t *model;
	int status;

	if (command_option(context, argc, argv, options) != -1)
		return EXIT_INVALID;
	if (argc != optind)
		return command_usage(context, "it takes no arguments");
	doctor_machine(&context->arena, &findings, &count);
	model = findings_json(findings, count);
	status = json_integer_value(json_object_get(model, "problems")) ? EXIT_DIFFERS : EXIT_DONE;
	if (context->json) {
		command_print_json(model);
		return status;
	}
	output_doctor_text(stdout, model, context->color);
	json_decref(model);
	return status;
}
