/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a fabric is removed by its record, so its file may be changed, broken or gone. An
 * argument is first the name of a recorded fabric, then the path that one was applied from, and
 * only then a file to read a name out of.
 */
#include "command.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apply.h"
#include "fabric.h"
#include "netns.h"
#include "orphans.h"
#include "output.h"
#include "progress.h"
#include "topology_read.h"

#define LOCK_WAIT_S 30

const char cmd_down_help[] =
	"Removes what nsroute recorded as made for the fabric, and returns what it changed (sysctls,\n"
	"qdiscs) to what it was. Things that were changed by others meanwhile are left and named.\n"
	"NAME is that of the fabric; with FILE it is the fabric that was applied from that path, or\n"
	"whose name is in it. A file that is gone or broken is no obstacle.\n"
	"\n"
	"Options:\n"
	"  --all      every fabric of the host namespace\n"
	"  --orphans  every fabric of host namespaces that no longer exist: their records, pins and\n"
	"             namespaces; only where all processes of the machine can be seen\n"
	"\n"
	"With -j: {\"fabric\", \"changed\", \"operations_done\"}, with several fabrics one such object\n"
	"each in {\"fabrics\": [...]}.\n"
	"\n"
	"Exit code: 0 removed, or a file whose fabric is not there, 1 no such fabric, 2 the kernel\n"
	"refused, 4 removed in part; what is left stays recorded for the next try.\n"
	"\n"
	"Examples:\n"
	"  sudo nsroute down lab\n"
	"  sudo nsroute down lab.yaml\n"
	"  sudo nsroute down --all\n";

static bool is_listed(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

/* The path as a record has it, of a file that may be gone. */
static const char *absolute_path(const char *path, struct arena *arena)
{
	char real[PATH_MAX];

	if (realpath(path, real))
		return arena_strdup(arena, real);
	if (*path == '/' || !getcwd(real, sizeof(real)))
		return path;
	return arena_printf(arena, "%s/%s", real, path);
}

/* The fabric that was applied from this path, or NULL. A record that cannot be read is no match. */
static const char *fabric_of_path(const struct host *host, const char *path,
				  const char *const *names, size_t count, struct arena *arena)
{
	const char *absolute = absolute_path(path, arena);
	struct record *record;
	struct error err;

	for (size_t i = 0; i < count; i++) {
		if (record_read(host->cookie, names[i], arena, &record, &err) == 0 &&
		    strcmp(record->file, absolute) == 0)
			return names[i];
	}
	return NULL;
}

/* What an argument means: one of names, or, for the file of a fabric that is not there, its name.
 * NULL when it means nothing. */
static const char *fabric_named(const struct host *host, const char *argument,
				const char *const *names, size_t count, struct arena *arena)
{
	struct error_list ignored = {.arena = arena};
	struct topology *topology;
	const char *name;

	if (is_listed(argument, names, count))
		return argument;
	name = fabric_of_path(host, argument, names, count, arena);
	if (!name && topology_read(argument, arena, &topology, &ignored) == 0)
		name = topology->name;
	return name;
}

/* Without the layout one fabric's entries cannot be taken out of tables that others live on. */
static int check_tables(const struct kernel_state *state, bool all, struct error *err)
{
	if (all || !state->datapath.unreadable || !state->others_count)
		return 0;
	return error_set(err, -ENOTSUP,
			 "the datapath is of another version of nsroute, and other fabrics use it: "
			 "take this one down with that version, or all of them with \"nsroute down "
			 "--all\"");
}

static int remove_fabric(struct context *context, const struct host *host, const char *name,
			 bool all, const volatile sig_atomic_t *interrupted, size_t *ret_done,
			 struct error *err)
{
	struct progress progress;
	struct apply_options options = {.host_fd = host->fd,
					.host_cookie = host->cookie,
					.fabric = name,
					.interrupted = interrupted,
					.progress = progress_show,
					.progress_context = &progress};
	struct arena *arena = &context->arena;
	struct kernel_state *state;
	struct record *record;
	struct plan *plan;
	int code;

	code = record_read(host->cookie, name, arena, &record, err);
	if (code == 0)
		code = fabric_observe_removal(record, host->fd, arena, &state, err);
	if (code == 0)
		code = check_tables(state, all, err);
	if (code == 0)
		code = plan_removal(record, state, arena, &plan, err);
	if (code != 0)
		return code;
	options.file = record->file;
	progress_start(&progress, name, context->json);
	code = apply_remove(plan, &options, err);
	progress_end(&progress);
	if (code == 0)
		*ret_done = plan->count;
	return code;
}

/* Goes on after a failure: each fabric stands for itself. The worst exit code wins. */
static int remove_all(struct context *context, const struct host *host, const char *const *names,
		      size_t count, bool all)
{
	const volatile sig_atomic_t *interrupted = command_catch_signals();
	json_t *removed = json_array();
	int status = EXIT_DONE;

	for (size_t i = 0; i < count; i++) {
		struct error err;
		size_t done;

		if (remove_fabric(context, host, names[i], all, interrupted, &done, &err) != 0) {
			int failed = command_fail(context, &err);

			status = failed > status ? failed : status;
			continue;
		}
		if (!context->json)
			printf("fabric '%s': removed, %zu operations done\n", names[i], done);
		json_array_append_new(removed, json_pack("{s:o, s:b, s:I}", "fabric",
							 output_string(names[i]), "changed", true,
							 "operations_done", (json_int_t)done));
	}
	if (context->json)
		command_print_json(output_one_or_many(removed));
	else
		json_decref(removed);
	return status;
}

static int report_nothing(struct context *context, const char *name)
{
	if (context->json)
		command_print_json(json_pack("{s:o, s:b, s:i}", "fabric", output_string(name),
					     "changed", false, "operations_done", 0));
	else
		printf("fabric '%s': nothing to do\n", name);
	return EXIT_DONE;
}

/* argument NULL: all of them. */
static int remove_named(struct context *context, const struct host *host, const char *argument)
{
	const char **names, *name;
	struct error err;
	size_t count;

	if (record_list(host->cookie, &context->arena, &names, &count, &err) != 0)
		return command_fail(context, &err);
	if (!argument)
		return remove_all(context, host, names, count, true);
	name = fabric_named(host, argument, names, count, &context->arena);
	if (!name) {
		error_invalid(&err,
			      "there is no fabric '%s', and no file of that name that tells one"
			      " (\"nsroute show\" lists fabrics)",
			      argument);
		return command_fail(context, &err);
	}
	if (!is_listed(name, names, count))
		return report_nothing(context, name);
	return remove_all(context, host, &name, 1, false);
}

/* What is removed, and the lock is held: status is the worst so far. */
static int sweep(struct context *context, uint64_t cookie, int status)
{
	struct error err;

	if (apply_sweep(cookie, &err) == 0)
		return status;
	command_fail(context, &err);
	return EXIT_PARTLY;
}

/* An empty namespace plays the host that is gone: none of its links is found, and all else is. */
static int remove_orphans(struct context *context)
{
	struct orphan *orphans;
	struct host host;
	struct error err;
	size_t count;
	int code, worst = EXIT_DONE;
	bool sure;

	code = orphans_find(&context->arena, &orphans, &count, &sure, &err);
	if (code == 0 && !sure)
		code = error_set(&err, -ENOTSUP,
				 "not all processes of this machine can be seen from here, so no "
				 "host namespace is known to be gone; run this outside containers");
	if (code == 0)
		code = orphans_disclaim(orphans, count, &context->arena, &err);
	if (code == 0)
		code = netns_temporary(&host.fd, &err);
	if (code != 0)
		return command_fail(context, &err);
	for (size_t i = 0; i < count; i++) {
		int status;

		host.cookie = orphans[i].cookie;
		status = remove_all(context, &host, orphans[i].fabrics, orphans[i].fabrics_count,
				    true);
		status = sweep(context, host.cookie, status);
		worst = status > worst ? status : worst;
	}
	close(host.fd);
	return worst;
}

enum { OPTION_ALL = 256, OPTION_ORPHANS };

int cmd_down(struct context *context, int argc, char **argv)
{
	static const struct option options[] = {{"all", no_argument, NULL, OPTION_ALL},
						{"orphans", no_argument, NULL, OPTION_ORPHANS},
						{NULL, 0, NULL, 0}};
	bool all = false, orphans = false;
	struct error err;
	struct host host;
	int option, status, lock;

	while ((option = command_option(context, argc, argv, options)) != -1) {
		if (option == '?')
			return EXIT_INVALID;
		all |= option == OPTION_ALL;
		orphans |= option == OPTION_ORPHANS;
	}
	if (argc - optind != (all || orphans ? 0 : 1) || (all && orphans))
		return command_usage(context,
				     all       ? "--all takes no name"
				     : orphans ? "--orphans takes no name"
					       : "the name or the file of one fabric is needed");
	if (command_open_host(context, &host, &err) != 0)
		return command_fail(context, &err);
	if (record_lock(LOCK_WAIT_S, "removes fabrics", &lock, &err) != 0) {
		close(host.fd);
		return command_fail(context, &err);
	}
	if (orphans)
		status = remove_orphans(context);
	else
		status = sweep(context, host.cookie,
			       remove_named(context, &host, all ? NULL : argv[optind]));
	close(lock);
	close(host.fd);
	return status;
}
