/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "command.h"

#include <stdio.h>

#include "output.h"
#include "topology_read.h"

const char cmd_validate_help[] =
	"Reads the file (- is standard input) and checks all of it. Every error is reported, as\n"
	"FILE:LINE:COLUMN: MESSAGE. Touches nothing and needs no privilege.\n"
	"\n"
	"With -j the result, errors included, is one object on standard output:\n"
	"{\"file\", \"valid\", \"fabric\", \"networks\", \"namespaces\", \"links\", \"errors\": [...]}.\n"
	"\n"
	"Exit code: 0 valid, 1 not.\n"
	"\n"
	"Example:\n"
	"  nsroute validate lab.yaml\n";

static json_t *result_json(const char *file, const struct topology *topology,
			   const struct error_list *errors)
{
	json_t *result = json_object();

	json_object_set_new(result, "file", output_string(file));
	json_object_set_new(result, "valid", json_boolean(topology));
	if (topology) {
		json_object_set_new(result, "fabric", output_string(topology->name));
		json_object_set_new(result, "networks",
				    json_integer((json_int_t)topology->networks_count));
		json_object_set_new(result, "namespaces",
				    json_integer((json_int_t)topology->namespaces_count));
		json_object_set_new(result, "links",
				    json_integer((json_int_t)topology->links_count));
		json_object_set_new(result, "devices",
				    json_integer((json_int_t)topology->devices_count));
	}
	json_object_set_new(result, "errors", command_errors_json(errors));
	return result;
}

static const char *plural(size_t count)
{
	return count == 1 ? "" : "s";
}

/* Few files have any. */
static const char *devices_text(const struct topology *topology, struct arena *arena)
{
	size_t count = topology->devices_count;

	return count ? arena_printf(arena, ", %zu device%s", count, plural(count)) : "";
}

int cmd_validate(struct context *context, int argc, char **argv)
{
	static const struct option options[] = {{NULL, 0, NULL, 0}};
	struct error_list errors = {.arena = &context->arena};
	struct topology *topology = NULL;

	if (command_option(context, argc, argv, options) != -1)
		return EXIT_INVALID;
	if (argc - optind != 1)
		return command_usage(context, "one file is needed");
	topology_read(argv[optind], &context->arena, &topology, &errors);
	if (context->json) {
		command_print_json(result_json(argv[optind], topology, &errors));
		return topology ? EXIT_DONE : EXIT_INVALID;
	}
	if (!topology)
		return command_fail_all(context, &errors);
	printf("%s: valid: fabric '%s', %zu network%s, %zu namespace%s, %zu link%s%s\n",
	       topology->file, topology->name, topology->networks_count,
	       plural(topology->networks_count), topology->namespaces_count,
	       plural(topology->namespaces_count), topology->links_count,
	       plural(topology->links_count), devices_text(topology, &context->arena));
	return EXIT_DONE;
}
