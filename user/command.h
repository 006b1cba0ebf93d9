/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * command - what main.c and the commands share: the table's row, the global options, and the way
 * results and errors leave the program.
 *
 * Results go to standard output, diagnostics to standard error. With -j both are JSON: a result is
 * one object (or one a line, where it repeats), an error is
 * {"error": {"message", "file", "line", "column", "kernel", "code"}}, and when a file has several
 * errors "errors" holds all of them. A command returns its exit code; main.c turns it into 2 when
 * standard output could not be written.
 */
#ifndef NSROUTE_COMMAND_H
#define NSROUTE_COMMAND_H

#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>

#include "arena.h"
#include "error.h"
#include "kernel_state.h"
#include "plan.h"
#include "record.h"
#include "topology.h"

struct command;

/* One run of the program. */
struct context {
	const char
		*netns; /* --netns: name or path of the namespace that plays the host; NULL: ours */
	bool json;
	bool color;                    /* of standard output */
	int confirm_s;                 /* apply --confirm; -1: not given */
	const struct command *command; /* the one that runs */
	struct arena arena;            /* of everything the command allocates; main.c frees it */
};

struct command {
	const char *name;
	int (*run)(struct context *context, int argc, char **argv); /* NULL: not supported yet */
	const char *usage;   /* its arguments: "FILE [--dry-run]" */
	const char *summary; /* one line */
	const char *help;    /* options, exit codes, examples; whole lines */
};

extern const struct command commands[]; /* ends with a NULL name */
const struct command *command_find(const char *name);
/* The name in the table that is nearest to a mistyped one, or NULL when none is near. */
const char *command_nearest(const char *name);

/* How to use one, on standard output. */
int command_help(struct context *context, const struct command *command);
/* Refuses a command that comes later. */
int command_unsupported(struct context *context, const char *name);

int cmd_validate(struct context *context, int argc, char **argv);
int cmd_plan(struct context *context, int argc, char **argv);
int cmd_apply(struct context *context, int argc, char **argv);
int cmd_confirm(struct context *context, int argc, char **argv);
int cmd_down(struct context *context, int argc, char **argv);
int cmd_show(struct context *context, int argc, char **argv);
int cmd_exec(struct context *context, int argc, char **argv);
int cmd_stats(struct context *context, int argc, char **argv);
int cmd_nat(struct context *context, int argc, char **argv);
int cmd_drops(struct context *context, int argc, char **argv);
int cmd_trace(struct context *context, int argc, char **argv);
int cmd_doctor(struct context *context, int argc, char **argv);
int cmd_bench(struct context *context, int argc, char **argv);
int cmd_netns(struct context *context, int argc, char **argv);
int cmd_link(struct context *context, int argc, char **argv);
int cmd_bridge(struct context *context, int argc, char **argv);
int cmd_addr(struct context *context, int argc, char **argv);
int cmd_route(struct context *context, int argc, char **argv);
int cmd_completion(struct context *context, int argc, char **argv);
int cmd_help(struct context *context, int argc, char **argv);
int cmd_version(struct context *context, int argc, char **argv);

extern const char cmd_netns_help[], cmd_link_help[], cmd_bridge_help[], cmd_addr_help[],
	cmd_route_help[], cmd_completion_help[];
extern const char cmd_validate_help[], cmd_plan_help[], cmd_apply_help[], cmd_confirm_help[],
	cmd_down_help[], cmd_show_help[], cmd_exec_help[], cmd_stats_help[], cmd_doctor_help[],
	cmd_help_help[], cmd_version_help[], cmd_bench_help[], cmd_drops_help[], cmd_nat_help[],
	cmd_trace_help[];

/* Next long option of the running command, as getopt_long() (the command's own options have values
 * from 256 on, or a letter when they have a short form): -1 at the end; '?' after it has said what
 * is wrong. -j and --json are taken here.
 */
int command_option(struct context *context, int argc, char **argv, const struct option *options);

/* Says what is wrong with the arguments, and the usage. Returns EXIT_INVALID. */
int command_usage(struct context *context, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Both print and return the exit code. */
int command_fail(struct context *context, const struct error *err);
int command_fail_all(struct context *context, const struct error_list *errors);

/* One error as the object that -j shows; the caller owns it; and all of a file's. */
json_t *command_error_json(const struct error *err);
json_t *command_errors_json(const struct error_list *errors);

/* Writes a result and takes the reference. */
void command_print_json(json_t *result);

/* ---- Commands that look at a fabric. */

/* The namespace that plays the host. */
struct host {
	int fd;
	uint64_t cookie;
};

/* Opens what --netns says, after it has refused (-EPERM) who may not go on: without root nothing of
 * ours can be read, let alone changed. The caller closes fd. */
int command_open_host(const struct context *context, struct host *ret, struct error *err);

/* What a fabric is recorded to have, and what the kernel has of it. Memory is the arena's. -ENOENT
 * (EXIT_INVALID) when there is no such fabric. */
int command_observe(const struct host *host, const char *fabric, struct arena *arena,
		    struct record **ret_record, struct kernel_state **ret_state, struct error *err);

/* Builds something of every fabric of the host namespace, or of the one that is named: an array.
 * -ENOENT when the name is unknown; an empty array when there are none. A model may
 * be NULL: not one to list. */
typedef json_t *(*command_model)(const struct record *record, const struct kernel_state *state,
				 void *argument);
int command_models(const struct host *host, const char *fabric, command_model model, void *argument,
		   json_t **ret_array, struct error *err);

/* The places (output_drops.h) of all fabrics of the host namespace, as one object; the caller owns
 * it. */
int command_places(const struct host *host, json_t **ret, struct error *err);

/* plan FILE and apply FILE: what is to be done. Memory is the arena's. */
int command_plan(const struct host *host, struct topology *topology, struct arena *arena,
		 struct plan **ret, struct error *err);
/* Prints it; EXIT_DIFFERS when there is something. */
int command_show_plan(struct context *context, const struct host *host, struct topology *topology);
/* Opens the host namespace, reads the file, and returns what run() returns for both. */
int command_with_topology(struct context *context, const char *file,
			  int (*run)(struct context *context, const struct host *host,
				     struct topology *topology));

/* Makes SIGINT, SIGTERM and SIGHUP set a flag instead of ending the process, and write errors
 * return instead of SIGPIPE: from here on the command is in the middle of a change. A signal that
 * the parent had ignored (nohup) stays ignored. */
const volatile sig_atomic_t *command_catch_signals(void);

#endif
