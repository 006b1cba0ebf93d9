/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "command.h"

#include <stdio.h>

#include "output.h"

const char cmd_plan_help[] =
	"Compares the file with the kernel and prints what apply would do, one operation a line, in\n"
	"the order in which it would be done. Changes nothing.\n"
	"\n"
	"With -j: {\"fabric\", \"file\", \"operations\": [{\"kind\", \"namespace\", \"link\", \"text\",\n"
	"\"line\", \"column\"}]}.\n"
	"\n"
	"Exit code: 0 nothing to do, 3 something to do, 1 invalid file, 2 the kernel refused.\n"
	"\n"
	"Example:\n"
	"  nsroute plan lab.yaml\n";

static json_t *operation_json(const struct operation *operation, struct arena *arena)
{
	const struct position *at = &operation->at;
	json_t *object = json_object();

	json_object_set_new(object, "kind", json_string(plan_kind_name(operation->kind)));
	json_object_set_new(object, "namespace",
			    operation->namespace ? output_string(operation->namespace)
						 : json_null());
	json_object_set_new(object, "link",
			    operation->link ? output_string(operation->link) : json_null());
	json_object_set_new(object, "text", output_string(plan_describe(operation, arena)));
	json_object_set_new(object, "line", at->line ? json_integer(at->line) : json_null());
	json_object_set_new(object, "column", at->line ? json_integer(at->column) : json_null());
	return object;
}

static void print_json(const struct topology *topology, const struct plan *plan,
		       struct arena *arena)
{
	json_t *operations = json_array();

	for (size_t i = 0; i < plan->count; i++)
		json_array_append_new(operations, operation_json(&plan->operations[i], arena));
	command_print_json(json_pack("{s:o, s:o, s:o}", "fabric", output_string(topology->name),
				     "file", output_string(topology->file), "operations",
				     operations));
}

/* The first letter says what kind of change it is. */
static void print_operation(const char *text, bool color)
{
	const char *paint = *text == '+' ? "\033[32m" : *text == '-' ? "\033[31m" : "\033[33m";

	printf("%s%s%s\n", color ? paint : "", text, color ? "\033[0m" : "");
}

int command_show_plan(struct context *context, const struct host *host, struct topology *topology)
{
	struct plan *plan;
	struct error err;

	if (command_plan(host, topology, &context->arena, &plan, &err) != 0)
		return command_fail(context, &err);
	if (context->json)
		print_json(topology, plan, &context->arena);
	else if (plan->count == 0)
		printf("fabric '%s': nothing to do\n", topology->name);
	for (size_t i = 0; !context->json && i < plan->count; i++)
		print_operation(plan_describe(&plan->operations[i], &context->arena),
				context->color);
	return plan->count ? EXIT_DIFFERS : EXIT_DONE;
}

int cmd_plan(struct context *context, int argc, char **argv)
{
	static const struct option options[] = {{NULL, 0, NULL, 0}};

	if (command_option(context, argc, argv, options) != -1)
		return EXIT_INVALID;
	if (argc - optind != 1)
		return command_usage(context, "one file is needed");
	return command_with_topology(context, argv[optind], command_show_plan);
}
