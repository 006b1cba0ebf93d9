/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "apply.h"
#include "confirm.h"
#include "output.h"
#include "progress.h"
#include "yaml_schema.h"

#define LOCK_WAIT_S 30 /* longer than the largest fabric takes */

const char cmd_apply_help[] =
	"Makes the kernel match the file: does what plan shows, and nothing when there is nothing to\n"
	"do. When an operation fails, or on SIGINT, SIGTERM or SIGHUP, what was done is undone.\n"
	"\n"
	"A plan that moves or renumbers an interface of the host itself (\"devices\") could cut you off.\n"
	"It asks for --confirm: all that can be taken back is done, and then ENTER at a terminal, or\n"
	"\"nsroute confirm\" elsewhere, has to come within SEC seconds. When it does not, on one of those signals,\n"
	"or when apply is killed meanwhile, everything is undone; what cannot be taken back (deletions) is done after it only.\n"
	"\n"
	"Options:\n"
	"  --dry-run      print the plan and change nothing; exit code 3 when there is something to do\n"
	"  --confirm SEC  1 to 3600; 0: do not ask (for scripts that run at boot)\n"
	"\n"
	"With -j: {\"fabric\", \"file\", \"changed\", \"operations_done\"}.\n"
	"\n"
	"Exit code: 0 done, 1 invalid file, or one that needs --confirm, 2 the kernel refused, or\n"
	"interrupted, or not confirmed, and all is undone, 4 some of it could not be undone; the message names what is left.\n"
	"\n"
	"Examples:\n"
	"  sudo nsroute apply lab.yaml\n"
	"  sudo nsroute apply --confirm 60 device.yaml\n"
	"  sudo nsroute --netns host apply lab.yaml   # in a namespace that plays the host\n";

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

/* ---- Confirmation. */

struct asking {
	struct context *context;
	const struct host *host;
	const struct topology *topology;
	const volatile sig_atomic_t *interrupted;
	struct progress *progress;
	int lock;
};

/* How to confirm from elsewhere. */
static const char *confirm_command(const struct asking *asking)
{
	const char *netns = asking->context->netns;

	return arena_printf(&asking->context->arena, "nsroute%s%s confirm %s",
			    netns ? " --netns " : "", netns ? netns : "", asking->topology->name);
}

static void show_left(unsigned int seconds, void *context)
{
	(void)context;
	fprintf(stderr, "\r%u s left \033[K", seconds);
}

static void say_what_to_do(const struct asking *asking)
{
	struct context *context = asking->context;

	if (context->json)
		fprintf(stderr, "{\"waiting\": {\"fabric\": \"%s\", \"seconds\": %d}}\n",
			asking->topology->name, context->confirm_s);
	else
		fprintf(stderr,
			"fabric '%s': done, but not for good. %sun \"%s\" elsewhere, within %d s "
			"to keep it; else it is undone.\n",
			asking->topology->name, isatty(STDIN_FILENO) ? "Press ENTER, or r" : "R",
			confirm_command(asking), context->confirm_s);
}

/* For others who wait for the lock. */
static const char *doing(struct context *context, const struct topology *topology)
{
	return arena_printf(&context->arena, "applies fabric '%s'", topology->name);
}

static int ask(void *argument, struct error *err)
{
	const struct asking *asking = argument;
	struct context *context = asking->context;
	bool terminal = !context->json && isatty(STDERR_FILENO);
	struct confirm_request request = {
		.cookie = asking->host->cookie,
		.fabric = asking->topology->name,
		.seconds = (unsigned int)context->confirm_s,
		.interrupted = asking->interrupted,
		.left = terminal ? show_left : NULL,
	};
	int code;

	progress_end(asking->progress);
	say_what_to_do(asking);
	record_lock_says(asking->lock, arena_printf(&context->arena, "waits for \"%s\"",
						    confirm_command(asking)));
	code = confirm_wait(&request, err);
	record_lock_says(asking->lock, doing(context, asking->topology));
	if (terminal)
		fputs("\r\033[K", stderr);
	return code;
}

static int refuse_unasked(struct context *context, const struct topology *topology,
			  const struct plan *plan)
{
	struct error err;

	error_invalid(
		&err,
		"\"%s\" changes an interface of the host itself, which may cut you off; add "
		"--confirm 60 to have it undone unless you confirm it within 60 s (--confirm 0: "
		"do it without asking)",
		plan_describe(plan->confirm, &context->arena));
	if (plan->confirm->at.line)
		error_at(&err, topology->file, plan->confirm->at);
	return command_fail(context, &err);
}

/* ---- All of it. */

static int run_plan(struct context *context, const struct host *host,
		    const struct topology *topology, const struct plan *plan, int lock)
{
	struct progress progress;
	struct asking asking = {.context = context,
				.host = host,
				.topology = topology,
				.interrupted = command_catch_signals(),
				.progress = &progress,
				.lock = lock};
	struct apply_options options = {
		.host_fd = host->fd,
		.host_cookie = host->cookie,
		.fabric = topology->name,
		.file = topology->file,
		.interrupted = asking.interrupted,
		.progress = progress_show,
		.progress_context = &progress,
		.confirm = plan->confirm && context->confirm_s ? ask : NULL,
		.confirm_context = &asking,
	};
	struct error err;
	int code;

	progress_start(&progress, topology->name, context->json);
	code = apply_run(plan, &options, &err);
	progress_end(&progress);
	if ((code == -EINTR || code == -ETIMEDOUT) && err.exit == EXIT_REFUSED)
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

	if (record_lock(LOCK_WAIT_S, doing(context, topology), &lock, &err) != 0)
		return command_fail(context, &err);
	if (command_plan(host, topology, &context->arena, &plan, &err) != 0)
		status = command_fail(context, &err);
	else if (plan->count == 0)
		status = report(context, topology, 0);
	else if (plan->confirm && context->confirm_s < 0)
		status = refuse_unasked(context, topology, plan);
	else
		status = run_plan(context, host, topology, plan, lock);
	close(lock);
	return status;
}

static bool parse_seconds(const char *text, int *ret)
{
	unsigned int seconds;

	if (!yaml_parse_number(text, 0, CONFIRM_MAX_S, &seconds))
		return false;
	*ret = (int)seconds;
	return true;
}

int cmd_apply(struct context *context, int argc, char **argv)
{
	static const struct option options[] = {{"dry-run", no_argument, NULL, 256},
						{"confirm", required_argument, NULL, 257},
						{NULL, 0, NULL, 0}};
	bool dry_run = false;
	int option;

	context->confirm_s = -1;
	while ((option = command_option(context, argc, argv, options)) != -1) {
		if (option == '?')
			return EXIT_INVALID;
		dry_run |= option == 256;
		if (option == 257 && !parse_seconds(optarg, &context->confirm_s))
			return command_usage(context,
					     "--confirm takes seconds, 1 to %d, or 0, not '%s'",
					     CONFIRM_MAX_S, optarg);
	}
	if (argc - optind != 1)
		return command_usage(context, "one file is needed");
	return command_with_topology(context, argv[optind],
				     dry_run ? command_show_plan : plan_and_run);
}
