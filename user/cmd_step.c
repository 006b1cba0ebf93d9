/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a step is a plan of a few operations that is carried out as a fabric's is: under
 * the lock, recorded before it is made, undone when a part of it fails. What is made belongs to
 * RECORD_STEPS, which "show" and "down" treat as a fabric. When something was deleted, entries of
 * the record whose objects went with it (the other end of a veth) are dropped as well.
 */
#include "cmd_step.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "apply.h"
#include "fabric.h"
#include "netns.h"
#include "plan_step.h"

#define LOCK_WAIT_S 30

/* A MAC address that no other link has, and that says that it was not bought. */
static int choose_mac(struct step_end *end, struct error *err)
{
	if (end->has_mac || !end->name)
		return 0;
	if (getrandom(end->mac, sizeof(end->mac), 0) != (ssize_t)sizeof(end->mac))
		return error_set(err, -errno, "cannot choose a MAC address: %s", strerror(errno));
	end->mac[0] = (uint8_t)((end->mac[0] & ~1) | 2);
	return 0;
}

static int choose_macs(struct step *step, struct error *err)
{
	int code = 0;

	if (step->verb != STEP_ADD || (step->object != STEP_LINK && step->object != STEP_BRIDGE))
		return 0;
	code = choose_mac(&step->link, err);
	return code ? code : choose_mac(&step->peer, err);
}

static int read_record(const struct host *host, struct arena *arena, struct record **ret,
		       struct error *err)
{
	int code = record_read(host->cookie, RECORD_STEPS, arena, ret, err);

	if (code != -ENOENT)
		return code;
	*ret = NULL;
	return 0;
}

static int run(const struct host *host, const struct plan *plan,
	       const volatile sig_atomic_t *interrupted, struct error *err)
{
	struct apply_options options = {
		.host_fd = host->fd,
		.host_cookie = host->cookie,
		.fabric = RECORD_STEPS,
		.interrupted = interrupted,
	};

	return plan->count ? apply_run(plan, &options, err) : 0;
}

static int prune(const struct host *host, struct arena *arena, struct error *err)
{
	const char *const *names;
	struct kernel_state *state;
	struct record *record;
	size_t count;
	int code = read_record(host, arena, &record, err);

	if (code != 0 || !record)
		return code;
	plan_needs_namespaces(NULL, record, arena, &names, &count);
	code = fabric_observe_named(names, count, true, host->fd, arena, &state, err);
	return code ? code : run(host, plan_prune(record, state, arena), NULL, err);
}

static int observe(const struct host *host, const struct step *step, struct arena *arena,
		   struct kernel_state **ret, struct error *err)
{
	bool links_only = step->object <= STEP_BRIDGE;
	const char *const *names;
	const char **all;
	size_t count;
	int code;

	plan_step_needs(step, arena, &names, &count);
	if (step->object == STEP_NETNS && step->verb == STEP_LIST) {
		code = netns_list(arena, &all, &count, err);
		if (code != 0)
			return code;
		names = all;
	}
	return fabric_observe_named(names, count, links_only, host->fd, arena, ret, err);
}

static void explain(const struct step *step, struct arena *arena, struct error *err)
{
	const char *mend = plan_step_mend(step, err->code, arena);
	const char *namespace = step->link.namespace;

	if (namespace)
		error_context(err, "namespace '%s'", namespace);
	if (mend) {
		size_t used = strlen(err->message);

		snprintf(err->message + used, sizeof(err->message) - used, "; %s", mend);
	}
}

static int do_step(const struct host *host, struct step *step, struct arena *arena,
		   size_t *ret_done, struct error *err)
{
	const volatile sig_atomic_t *interrupted = command_catch_signals();
	struct kernel_state *state;
	struct record *record;
	struct plan *plan;
	int code = choose_macs(step, err);

	if (code == 0)
		code = read_record(host, arena, &record, err);
	if (code == 0)
		code = observe(host, step, arena, &state, err);
	if (code == 0)
		code = plan_step(step, state, record, arena, &plan, err);
	if (code != 0)
		return code;
	*ret_done = plan->count;
	code = run(host, plan, interrupted, err);
	if (code != 0)
		explain(step, arena, err);
	else if (step->verb == STEP_DELETE && step->object <= STEP_BRIDGE)
		code = prune(host, arena, err);
	return code;
}

static int change(struct context *context, const struct host *host, struct step *step)
{
	struct error err;
	size_t done = 0;
	int lock, code;

	if (record_lock(LOCK_WAIT_S, "takes a single step", &lock, &err) != 0)
		return command_fail(context, &err);
	code = do_step(host, step, &context->arena, &done, &err);
	close(lock);
	if (code != 0)
		return command_fail(context, &err);
	if (context->json)
		command_print_json(json_pack("{s:b, s:I}", "changed", done > 0, "operations_done",
					     (json_int_t)done));
	return EXIT_DONE;
}

static int list(struct context *context, const struct host *host, const struct step *step,
		step_model model, step_text text)
{
	struct kernel_state *state;
	struct error err;
	json_t *result;

	if (step->link.namespace && netns_status(step->link.namespace) == NETNS_ABSENT) {
		error_set(&err, -ENOENT,
			  "there is no namespace '%s': %s; see which there are (nsroute netns "
			  "list)",
			  step->link.namespace, strerror(ENOENT));
		return command_fail(context, &err);
	}
	if (observe(host, step, &context->arena, &state, &err) != 0)
		return command_fail(context, &err);
	result = model(host, step, state, &err);
	if (!result)
		return command_fail(context, &err);
	if (context->json) {
		command_print_json(result);
	} else {
		text(stdout, result, context->color);
		json_decref(result);
	}
	return EXIT_DONE;
}

int cmd_step(struct context *context, int argc, char **argv, enum step_object object,
	     step_model model, step_text text)
{
	static const struct option options[] = {{"namespace", required_argument, NULL, 'n'},
						{NULL, 0, NULL, 0}};
	const char *namespace = NULL;
	struct error err;
	struct host host;
	struct step step;
	int option, status;

	while ((option = command_option(context, argc, argv, options)) != -1) {
		if (option == '?')
			return EXIT_INVALID;
		namespace = optarg;
	}
	if (step_parse(object, namespace, argc - optind, argv + optind, &step, &err) != 0)
		return command_usage(context, "%s", err.message);
	if (command_open_host(context, &host, &err) != 0)
		return command_fail(context, &err);
	status = step.verb == STEP_LIST ? list(context, &host, &step, model, text)
					: change(context, &host, &step);
	close(host.fd);
	return status;
}
