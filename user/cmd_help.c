/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "command.h"

#include <stdio.h>
#include <string.h>

#include "output.h"

#define NAME_MAX_LENGTH 16 /* of a command, and of what may be a mistyped one */
#define NEAR            2  /* so many wrong letters are still a slip */

const char cmd_help_help[] =
	"Lists the commands, or tells how to use one of them.\n"
	"\n"
	"With -j: {\"commands\": [{\"name\", \"usage\", \"summary\", \"supported\"}]},\n"
	"or for one command {\"name\", \"usage\", \"summary\", \"help\"}.\n";

static const char global_options[] =
	"usage: nsroute [--netns NAME|PATH] [-j|--json] [--color=auto|always|never] COMMAND ...\n"
	"\n"
	"Options:\n"
	"  --netns NAME|PATH  the network namespace that plays the host; the current one by default\n"
	"  -j, --json         JSON: results on standard output, errors on standard error\n"
	"  --color=WHEN       auto, always or never; auto means a terminal, and no NO_COLOR\n"
	"\n"
	"Commands:\n";

const struct command *command_find(const char *name)
{
	if (strcmp(name, "address") == 0) /* iproute2's word; "addr" is what people type */
		name = "addr";
	for (const struct command *command = commands; command->name; command++) {
		if (strcmp(command->name, name) == 0)
			return command;
	}
	return NULL;
}

/* Letters to add, leave out, exchange or swap with their neighbour to make b of a (optimal string
 * alignment). Both are at most NAME_MAX_LENGTH long. */
static size_t distance(const char *a, const char *b)
{
	size_t cost[NAME_MAX_LENGTH + 1][NAME_MAX_LENGTH + 1];
	size_t rows = strlen(a), columns = strlen(b);

	for (size_t i = 0; i <= rows; i++) {
		for (size_t j = 0; j <= columns; j++) {
			size_t best = i + j;

			if (i > 0 && j > 0) {
				best = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
				if (cost[i - 1][j] + 1 < best)
					best = cost[i - 1][j] + 1;
				if (cost[i][j - 1] + 1 < best)
					best = cost[i][j - 1] + 1;
			}
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    cost[i - 2][j - 2] + 1 < best)
				best = cost[i - 2][j - 2] + 1;
			cost[i][j] = best;
		}
	}
	return cost[rows][columns];
}

const char *command_nearest(const char *name)
{
	const char *nearest = NULL;
	size_t least = NEAR + 1;

	if (strlen(name) > NAME_MAX_LENGTH)
		return NULL;
	for (const struct command *command = commands; command->name; command++) {
		size_t slips = distance(name, command->name);

		if (slips < least && slips < strlen(command->name)) {
			least = slips;
			nearest = command->name;
		}
	}
	return nearest;
}

int command_help(struct context *context, const struct command *command)
{
	if (context->json)
		command_print_json(json_pack("{s:s, s:s, s:s, s:s}", "name", command->name, "usage",
					     command->usage, "summary", command->summary, "help",
					     command->help));
	else
		printf("usage: nsroute %s%s%s\n\n%s", command->name, *command->usage ? " " : "",
		       command->usage, command->help);
	return EXIT_DONE;
}

int command_unsupported(struct context *context, const char *name)
{
	struct error err;

	error_invalid(&err, "'%s' is not supported yet", name);
	return command_fail(context, &err);
}

static int list_json(void)
{
	json_t *list = json_array();

	for (const struct command *command = commands; command->name; command++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:b}", "name", command->name,
						      "usage", command->usage, "summary",
						      command->summary, "supported",
						      command->run != NULL));
	command_print_json(json_pack("{s:o}", "commands", list));
	return EXIT_DONE;
}

static int list_text(void)
{
	fputs(global_options, stdout);
	for (const struct command *command = commands; command->name; command++) {
		if (command->run)
			printf("  %-10s %s\n", command->name, command->summary);
	}
	printf("\nNot supported yet:");
	for (const struct command *command = commands; command->name; command++) {
		if (!command->run)
			printf(" %s", command->name);
	}
	printf("\n\n\"nsroute help COMMAND\" tells how to use one.\n"
	       "Exit codes: 0 done; 1 wrong usage or invalid file; 2 the kernel refused;\n"
	       "3 plan found differences, doctor found problems; 4 partly done.\n");
	return EXIT_DONE;
}

int cmd_help(struct context *context, int argc, char **argv)
{
	static const struct option options[] = {{NULL, 0, NULL, 0}};
	const struct command *command;

	if (command_option(context, argc, argv, options) != -1)
		return EXIT_INVALID;
	if (argc - optind > 1)
		return command_usage(context, "one command at a time");
	if (argc == optind)
		return context->json ? list_json() : list_text();
	command = command_find(argv[optind]);
	if (!command)
		return command_usage(context, "there is no command '%s'", argv[optind]);
	if (!command->run)
		return command_unsupported(context, argv[optind]);
	return command_help(context, command);
}
