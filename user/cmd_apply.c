/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "apply.h"
#include "output.h"

#define LOCK_WAIT_S 30 /* longer than the largest fabric takes */

const char cmd_apply_help[] =
	"Makes the kernel match the file: does what plan shows, and nothing when there is nothing to\n"
	"do. When an operation fails, or on SIGINT, SIGTERM or SIGHUP, what was done is undone.\n"
	"\n"
	"Options:\n"
	"  --dry-run  print the plan and change nothing; exit code 3 when there is something to do\n"
	"\n"
	"With -j: {\"fabric\", \"file\", \"changed\", \"operations_done\"}.\n"
	"\n"
	"Exit code: 0 done, 1 invalid file, 2 the kernel refused or interrupted, and all is undone,\n"
	"4 some of it could not be undone; the message names what is left.\n"
	"\n"
	"Examples:\n"
	"  sudo nsroute apply lab.yaml\n"
	"  sudo nsroute --netns host apply lab.yaml   # in a namespace that plays the host\n";

/* Only a terminal sees it: each number overwrites the one before. */
static void show_progress(size_t done, size_t total, void *context)
{
	(void)context;
	fprintf(stderr, "\r%zu of %zu operations", done, total);
}

static void erase_progress(void)
{
	fputs("\r\033[K", stderr);
}

static int report(struct context *context, const struct topology *topology, size_t done)
{
	if (context->json)
		command_print_json(json_pack("{s:o, s:o, s:b, s:I}", "fabric",
					     output_string(topology->name), "file",
					     output_string(topology->file), "changed", done > 0,
					     "operations_done", (json_int_t)done));
	else if (done == 0)
		printf("fabric '%s': nothing to do\n", topology->name);
	else
		printf("fabric '%s': %zu operation%s done\n", topology->name, done,
		       done == 1 ? "" : "s");
	return EXIT_DONE;
}

static int run_plan(struct context *context, const struct host *host,
		    const struct topology *topology, const struct plan *plan)
{
	struct apply_options options = {
		.host_fd = host->fd,
		.host_cookie = host->cookie,
		.fabric = topology->name,
		.file = topology->file,
		.interrupted = command_catch_signals(),
		.progress = !context->json && isatty(STDERR_FILENO) ? show_progress : NULL,
	};
	struct error err;
	int code = apply_run(plan, &options, &err);

	if (options.progress)
		erase_progress();
	if (code == -EINTR && err.exit == EXIT_REFUSED)
		error_context(&err, "everything is as it was before");
	if (code != 0)
		return command_fail(context, &err);
	return report(context, topology, plan->count);
}

/* The lock covers the look at the kernel too: a plan is good for what was seen. */
static int plan_and_run(struct context *context, const struct host *host, struct topology *topology)
{
	struct plan *plan;
	struct error err;
	int lock, status;

	if (record_lock(LOCK_WAIT_S, &lock, &err) != 0)
		return command_fail(context, &err);
	if (command_plan(host, topology, &context->arena, &plan, &err) != 0)
		status = command_fail(context, &err);
	else if (plan->count == 0)
		status = report(context, topology, 0);
	else
		status = run_plan(context, host, topology, plan);
	close(lock);
	return status;
}

int cmd_apply(struct context *context, int argc, char **argv)
{
	static const struct option options[] = {{"dry-run", no_argument, NULL, 256},
						{NULL, 0, NULL, 0}};
	bool dry_run = false;
	int option;

	while ((option = command_option(context, argc, argv, options)) != -1) {
		if (option == '?')
			return EXIT_INVALID;
		dry_run = true;
	}
	if (argc - optind != 1)
		return command_usage(context, "one file is needed");
	return command_with_topology(context, argv[optind],
				     dry_run ? command_show_plan : plan_and_run);
}
