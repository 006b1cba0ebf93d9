/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "command.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "output.h"

#define OPTIONS_MAX 12 /* of one command */

/* ---- Results and errors. */

static void print_json(FILE *out, json_t *value)
{
	json_dumpf(value, out, isatty(fileno(out)) ? JSON_INDENT(2) : JSON_COMPACT);
	fputc('\n', out);
	json_decref(value);
}

void command_print_json(json_t *result)
{
	print_json(stdout, result);
}

json_t *command_error_json(const struct error *err)
{
	const char *code = strerrorname_np(-err->code);
	bool placed = err->file && err->at.line;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "message", output_string(err->message),
			 "file", err->file ? output_string(err->file) : json_null(), "line",
			 placed ? json_integer(err->at.line) : json_null(), "column",
			 placed ? json_integer(err->at.column) : json_null(), "kernel",
			 *err->kernel ? output_string(err->kernel) : json_null(), "code",
			 code ? json_string(code) : json_null());
}

/* An error that names its place in a file looks like a compiler's, for editors that know those. */
static void print_error(const struct error *err)
{
	char text[3 * ERROR_MESSAGE_MAX];

	fprintf(stderr, "%s%s\n",
		err->file ? "" : "nsroute: ", error_format(err, text, sizeof(text)));
}

int command_fail(struct context *context, const struct error *err)
{
	if (context->json)
		print_json(stderr, json_pack("{s:o}", "error", command_error_json(err)));
	else
		print_error(err);
	return err->exit;
}

json_t *command_errors_json(const struct error_list *errors)
{
	json_t *array = json_array();

	for (size_t i = 0; i < errors->count; i++)
		json_array_append_new(array, command_error_json(&errors->errors[i]));
	return array;
}

int command_fail_all(struct context *context, const struct error_list *errors)
{
	if (context->json)
		print_json(stderr,
			   json_pack("{s:o, s:o}", "error", command_error_json(&errors->errors[0]),
				     "errors", command_errors_json(errors)));
	for (size_t i = 0; !context->json && i < errors->count; i++)
		print_error(&errors->errors[i]);
	return errors->errors[0].exit;
}

/* ---- Arguments. */

int command_usage(struct context *context, const char *format, ...)
{
	const struct command *command = context->command;
	char message[512];
	struct error err;
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	error_invalid(&err, "%s%s%s", command ? command->name : "", command ? ": " : "", message);
	command_fail(context, &err);
	if (!context->json && command)
		fprintf(stderr, "usage: nsroute %s %s\n", command->name, command->usage);
	else if (!context->json)
		fprintf(stderr, "\"nsroute help\" lists the commands\n");
	return EXIT_INVALID;
}

int command_option(struct context *context, int argc, char **argv, const struct option *options)
{
	struct option all[1 + OPTIONS_MAX + 1] = {{"json", no_argument, NULL, 'j'}};
	char letters[2 + 2 * OPTIONS_MAX + 1] = ":j", *letter = letters + 2;
	int option;

	for (size_t i = 0; options[i].name; i++) {
		assert(i < OPTIONS_MAX);
		all[1 + i] = options[i];
		if (options[i].val > 'z')
			continue;
		*letter++ = (char)options[i].val; /* a short one */
		if (options[i].has_arg == required_argument)
			*letter++ = ':';
	}
	while ((option = getopt_long(argc, argv, letters, all, NULL)) == 'j')
		context->json = true;
	if (option != '?' && option != ':')
		return option;
	if (option == ':')
		command_usage(context, "option '%s' needs a value", argv[optind - 1]);
	else
		command_usage(context, "unknown option '%s'", argv[optind - 1]);
	return '?';
}

/* ---- Signals. */

static volatile sig_atomic_t interrupted;

static void note_signal(int number)
{
	(void)number;
	interrupted = 1;
}

const volatile sig_atomic_t *command_catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction note = {.sa_handler = note_signal}, ignore = {.sa_handler = SIG_IGN};
	struct sigaction before;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		sigaction(numbers[i], NULL, &before);
		if (before.sa_handler != SIG_IGN)
			sigaction(numbers[i], &note, NULL);
	}
	sigaction(SIGPIPE, &ignore, NULL);
	return &interrupted;
}
