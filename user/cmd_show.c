/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "output.h"

const char cmd_show_help[] =
	"Without arguments the fabrics of the host namespace. With a name, or with what to show, the\n"
	"details: networks (with uplinks), namespaces (with what they publish), links, routes; all of\n"
	"them when none is named.\n"
	"A section's word always means the section, also when a fabric has that name.\n"
	"\n"
	"With -j one object: {\"fabric\", \"file\", \"state\", \"networks\": [...], \"uplinks\": [...],\n"
	"\"namespaces\": [...], \"published\": [...], \"links\": [...], \"routes\": [...]}; without\n"
	"arguments, and when there are several fabrics or none, such objects in {\"fabrics\": [...]}.\n"
	"\n"
	"States: a fabric is up, or incomplete when something it was made of is gone; a link is up,\n"
	"down, no-carrier or missing.\n"
	"\n"
	"Examples:\n"
	"  sudo nsroute show\n"
	"  sudo nsroute show lab\n"
	"  sudo nsroute -j show lab namespaces\n";

static json_t *summary_model(const struct record *record, const struct kernel_state *state,
			     void *argument)
{
	(void)argument;
	return output_summary(record, state);
}

static json_t *show_model(const struct record *record, const struct kernel_state *state,
			  void *argument)
{
	return output_show(record, state, *(const unsigned int *)argument);
}

/* 0 when the word names no section. */
static unsigned int section_of(const char *word)
{
	static const struct {
		const char *word;
		enum output_section section;
	} sections[] = {{"networks", OUTPUT_NETWORKS},
			{"namespaces", OUTPUT_NAMESPACES},
			{"links", OUTPUT_LINKS},
			{"routes", OUTPUT_ROUTES}};

	for (size_t i = 0; i < sizeof(sections) / sizeof(*sections); i++) {
		if (strcmp(sections[i].word, word) == 0)
			return sections[i].section;
	}
	return 0;
}

static void print_list(const struct context *context, json_t *fabrics)
{
	if (context->json) {
		command_print_json(json_pack("{s:O}", "fabrics", fabrics));
		return;
	}
	if (json_array_size(fabrics) == 0)
		fprintf(stderr, "no fabrics\n");
	output_summaries_text(stdout, fabrics, context->color);
}

static void print_details(const struct context *context, json_t *fabrics)
{
	json_t *fabric;
	size_t i;

	if (context->json) {
		command_print_json(output_one_or_many(json_incref(fabrics)));
		return;
	}
	if (json_array_size(fabrics) == 0)
		fprintf(stderr, "no fabrics\n");
	json_array_foreach(fabrics, i, fabric)
	{
		if (i > 0)
			putchar('\n');
		output_show_text(stdout, fabric, context->color);
	}
}

int cmd_show(struct context *context, int argc, char **argv)
{
	static const struct option options[] = {{NULL, 0, NULL, 0}};
	const char *name = NULL;
	unsigned int sections = 0;
	json_t *fabrics;
	struct error err;
	struct host host;
	bool list;
	int code;

	if (command_option(context, argc, argv, options) != -1)
		return EXIT_INVALID;
	list = optind == argc;
	for (int i = optind; i < argc; i++) {
		unsigned int section = section_of(argv[i]);

		if (!section && name)
			return command_usage(context, "'%s' is not a section", argv[i]);
		sections |= section;
		name = section ? name : argv[i];
	}
	if (!sections)
		sections = OUTPUT_ALL;
	if (command_open_host(context, &host, &err) != 0)
		return command_fail(context, &err);
	code = command_models(&host, name, list ? summary_model : show_model, &sections, &fabrics,
			      &err);
	close(host.fd);
	if (code != 0)
		return command_fail(context, &err);
	if (list)
		print_list(context, fabrics);
	else
		print_details(context, fabrics);
	json_decref(fabrics);
	return EXIT_DONE;
}
