/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsroute: network namespaces, connected, from one file.
 *
 * How it works: the table below names every command; main() reads the options that come before the
 * command and hands over. Whatever a command needs it opens itself, and it returns the exit code.
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"

const struct command commands[] = {
	{"validate", cmd_validate, "FILE", "check the file only; needs no privilege",
	 cmd_validate_help},
	{"plan", cmd_plan, "FILE", "what apply would do, one operation a line", cmd_plan_help},
	{"apply", cmd_apply, "FILE [--dry-run] [--confirm SEC]",
	 "make the kernel match the file; only the differences", cmd_apply_help},
	{"confirm", cmd_confirm, "[FABRIC]",
	 "tell an apply that waits for it that its changes may stay", cmd_confirm_help},
	{"down", cmd_down, "NAME|FILE | --all | --orphans",
	 "remove a fabric, wherever its file went", cmd_down_help},
	{"show", cmd_show, "[NAME] [networks|namespaces|links|routes]",
	 "the fabrics that are there, or one of them in detail", cmd_show_help},
	{"exec", cmd_exec, "NAMESPACE -- COMMAND...", "run a command inside a namespace",
	 cmd_exec_help},
	{"stats", cmd_stats, "[NAME] [--watch [SEC]]",
	 "counters: per namespace, per uplink, per drop reason", cmd_stats_help},
	{"nat", cmd_nat,
	 "list|flush [--namespace NS] [--uplink INTERFACE] [--protocol PROTOCOL] "
	 "[--remote ADDRESS] [--port N]",
	 "sessions that are masqueraded: list or end them", cmd_nat_help},
	{"drops", cmd_drops, "[--reason REASON] [--namespace NS] [--count N] [--seconds S]",
	 "live stream of dropped packets", cmd_drops_help},
	{"trace", cmd_trace,
	 "--from NS | --in UPLINK --to ADDR[:PORT] [--proto tcp|udp|icmp] [--size N] "
	 "[--interface IF] [--source ADDR[:PORT]] [--ttl N]",
	 "what would happen to a packet, step by step", cmd_trace_help},
	{"metrics", NULL, "", "OpenMetrics text", ""},
	{"doctor", cmd_doctor, "[NAME]",
	 "what is wrong on this machine and in fabrics, and the mend", cmd_doctor_help},
	{"bench", cmd_bench,
	 "[--quick] [--rounds N] [--seconds S] [--tests T,...] [--paths P,...] [--cpu N] "
	 "[--client-cpu N] [--require PATH:TEST:RATIO,...] [--svg FILE]",
	 "speed of this machine: nsroute and its peers side by side", cmd_bench_help},
	{"netns", cmd_netns, "add|del|adopt NAME... | list | exec NAME -- COMMAND...",
	 "single steps: namespaces, as ip netns", cmd_netns_help},
	{"link", cmd_link,
	 "[-n NAMESPACE] add NAME type veth peer name NAME2 | set NAME ... | del NAME | list [NAME]",
	 "single steps: interfaces, as ip link", cmd_link_help},
	{"bridge", cmd_bridge, "[-n NAMESPACE] add|del NAME | list [NAME]", "single steps: bridges",
	 cmd_bridge_help},
	{"addr", cmd_addr, "[-n NAMESPACE] add|del ADDRESS/LEN dev INTERFACE | list [INTERFACE]",
	 "single steps: addresses, as ip addr", cmd_addr_help},
	{"route", cmd_route,
	 "[-n NAMESPACE] add|del PREFIX|default [via ADDRESS] [dev INTERFACE] | list",
	 "single steps: routes, as ip route", cmd_route_help},
	{"completion", cmd_completion, "bash|zsh|fish", "completion for a shell",
	 cmd_completion_help},
	{"help", cmd_help, "[COMMAND]", "this list, or how to use one command", cmd_help_help},
	{"version", cmd_version, "", "versions of nsroute and what it stands on", cmd_version_help},
	{NULL, NULL, NULL, NULL, NULL},
};

/* A descriptor that the caller closed would be given to the next file or socket that is opened, and
 * results would be written into that. Standard output stays unwritable. */
static void hold_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDONLY) != fd)
			abort();
	}
}

static bool use_color(const char *when)
{
	const char *no_color = getenv("NO_COLOR"), *terminal = getenv("TERM");

	if (strcmp(when, "auto") != 0)
		return strcmp(when, "always") == 0;
	return isatty(STDOUT_FILENO) && !(no_color && *no_color) &&
	       !(terminal && strcmp(terminal, "dumb") == 0);
}

static bool is_color(const char *when)
{
	return strcmp(when, "auto") == 0 || strcmp(when, "always") == 0 ||
	       strcmp(when, "never") == 0;
}

/* Reads the options before the command. Returns the name of the command, which may be one that an
 * option stands for; NULL after it has said what is wrong. */
static const char *global_options(struct context *context, int argc, char **argv)
{
	static const struct option options[] = {
		{"netns", required_argument, NULL, 'n'}, {"json", no_argument, NULL, 'j'},
		{"color", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},     {NULL, 0, NULL, 0}};
	const char *when = "auto";
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:jhV", options, NULL)) != -1) {
		switch (option) {
		case 'n':
			context->netns = optarg;
			break;
		case 'j':
			context->json = true;
			break;
		case 'c':
			when = optarg;
			break;
		case 'h':
			return "help";
		case 'V':
			return "version";
		case ':':
			command_usage(context, "option '%s' needs a value", argv[optind - 1]);
			return NULL;
		default:
			command_usage(context, "unknown option '%s'", argv[optind - 1]);
			return NULL;
		}
	}
	if (!is_color(when)) {
		command_usage(context, "--color is auto, always or never, not '%s'", when);
		return NULL;
	}
	context->color = use_color(when);
	if (optind == argc) {
		command_usage(context, "no command given");
		return NULL;
	}
	return argv[optind];
}

static int run_command(struct context *context, const char *name, int argc, char **argv)
{
	const struct command *command = command_find(name);
	const char *nearest;

	if (!command) {
		nearest = command_nearest(name);
		return command_usage(context, "unknown command '%s'%s%s%s", name,
				     nearest ? "; did you mean '" : "", nearest ? nearest : "",
				     nearest ? "'?" : "");
	}
	if (!command->run)
		return command_unsupported(context, name);
	context->command = command;
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return command_help(context, command);
	optind = 0; /* getopt_long() starts anew */
	return command->run(context, argc, argv);
}

/* A result that nobody could read is not a success. */
static int close_output(struct context *context, int status)
{
	struct error err;

	if (fflush(stdout) != 0)
		error_set(&err, -errno, "cannot write to standard output: %s", strerror(errno));
	else if (ferror(stdout)) /* earlier, and the reason is forgotten */
		error_set(&err, -EIO, "cannot write to standard output");
	else
		return status;
	command_fail(context, &err);
	return status == EXIT_DONE ? EXIT_REFUSED : status;
}

int main(int argc, char **argv)
{
	struct context context = {};
	int status = EXIT_INVALID;
	const char *name;

	hold_standard_descriptors();
	output_init();
	name = global_options(&context, argc, argv);
	if (name) {
		argc -= optind;
		argv += optind;
		status = run_command(&context, name, argc, argv);
		status = close_output(&context, status);
	}
	arena_free(&context.arena);
	return status;
}
