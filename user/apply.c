/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: operations are carried out in runs (apply_run.h). What became of each is kept, so
 * that after a failure exactly those that did something are undone, by their inverses, the last
 * first; one that failed in its middle too. A signal is looked at between runs and is a failure
 * like any other. Undoing goes on after a failure of its own, and cannot be interrupted.
 *
 * Killed at any instant, a plan leaves what it has done so far, and a record that names at least
 * that: the next plan starts from there. So when a fabric goes, by undoing or by removal, lines
 * that say what is gone may be lost: on a full disk it can be removed all the same.
 */
#include "apply.h"

#include <errno.h>
#include <linux/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "apply_exchange.h"
#include "apply_record.h"
#include "apply_run.h"
#include "apply_strip.h"
#include "device.h"
#include "guardian.h"
#include "log.h"
#include "record.h"

/* file NULL: the record's header stays as it is. */
static int start(struct runner *r, const struct apply_options *options, const char *file,
		 struct error *err)
{
	struct record *before;
	int ret;

	memset(r, 0, sizeof(*r));
	r->options = options;
	r->steps_fd = -1;
	while (!r->doomed_group)
		if (getrandom(&r->doomed_group, sizeof(r->doomed_group), 0) < 0)
			return error_set(err, -errno, "no random number: %s", strerror(errno));
	ret = places_open(&r->places, options->host_fd, &r->arena, err);
	if (ret)
		return ret;
	ret = record_read(options->host_cookie, options->fabric, &r->arena, &before, err);
	if (!ret)
		r->before = before;
	if (!ret || ret == -ENOENT)
		ret = record_open(options->host_cookie, options->fabric, file, &r->record_fd, err);
	if (ret)
		places_close(&r->places);
	return ret;
}

/* Single steps that have nothing left have no record. */
static void drop_empty_steps(struct runner *r)
{
	const struct apply_options *options = r->options;
	struct record *record;
	struct error ignored;

	if (!record_read(options->host_cookie, RECORD_STEPS, &r->arena, &record, &ignored) &&
	    !record->count)
		record_remove(options->host_cookie, RECORD_STEPS, &ignored);
}

static void finish(struct runner *r)
{
	places_close(&r->places);
	datapath_close(r->datapath);
	datapath_close(r->other_datapath);
	close(r->record_fd);
	if (r->steps_fd >= 0)
		close(r->steps_fd);
	if (r->steps_fd >= 0 || !strcmp(r->options->fabric, RECORD_STEPS))
		drop_empty_steps(r);
	arena_free(&r->arena);
}

static int check_signal(const struct apply_options *options, struct error *err)
{
	return options->interrupted && *options->interrupted
		       ? error_set(err, -EINTR, "interrupted by a signal")
		       : 0;
}

static void show_progress(const struct apply_options *options, size_t done, size_t total)
{
	if (options->progress)
		options->progress(done, total, options->progress_context);
}

/* Adds what cannot be as it was to the message of the failure that is being undone. */
static void name_rest(struct error *err, const char *which, const char *first, size_t count)
{
	size_t used = strlen(err->message);

	if (!count)
		return;
	snprintf(err->message + used, sizeof(err->message) - used, "; %s (%zu, the first: %s)",
		 which, count, first);
	err->exit = EXIT_PARTLY;
}

/* What of this was done is not done by undoing: there is nothing to bring it back from. */
static bool destroys(enum operation_kind kind)
{
	return kind == OPERATION_NETNS_DELETE || kind == OPERATION_LINK_DELETE ||
	       kind == OPERATION_DATAPATH_UNLOAD;
}

/* What keeps inside addresses in. It stays as long as something inside may be there still. */
static bool guards(enum operation_kind kind)
{
	return kind == OPERATION_INSIDE_DELETE || kind == OPERATION_UPLINK_DELETE ||
	       kind == OPERATION_PROGRAMS_REMOVE || kind == OPERATION_DATAPATH_UNLOAD;
}

static bool has_master(struct runner *r, const struct operation *op, const struct state_link *link)
{
	struct error ignored;

	if (!*op->master)
		return !link->master;
	return !place_resolve(&r->places, op->namespace, &op->master, 1, &ignored) &&
	       link->master == place_ifindex(&r->places, op->namespace, op->master);
}

/* The kernel may have set some of what it was asked to before it refused the rest: of the inverse
 * that is kept. False: it has set nothing. */
static bool changed_in_part(struct runner *r, const struct operation *op, struct operation *inverse)
{
	const struct state_link *link;
	struct error ignored;
	struct place *place;

	if (op->kind != OPERATION_LINK_SET || !op->replaces ||
	    place_get(&r->places, op->namespace, &place, &ignored) ||
	    device_find(place->nl, op->link, &r->arena, &link, &ignored))
		return false;
	if (inverse->mtu == link->mtu)
		inverse->mtu = 0;
	if (!memcmp(inverse->sizes, link->sizes, sizeof(link->sizes)))
		memset(inverse->sizes, 0, sizeof(inverse->sizes));
	if (!memcmp(inverse->mac, link->mac, sizeof(link->mac)))
		inverse->has_mac = false;
	if (inverse->alias && !strcmp(inverse->alias, link->alias))
		inverse->alias = NULL;
	if (inverse->master && has_master(r, inverse, link))
		inverse->master = NULL;
	inverse->up = inverse->up && !(link->flags & IFF_UP);
	inverse->down = inverse->down && link->flags & IFF_UP;
	inverse->forward = inverse->no_forward = false; /* a request of its own */
	return inverse->mtu || inverse->sizes[STATE_GSO] || inverse->sizes[STATE_GSO_IPV4] ||
	       inverse->has_mac || inverse->alias || inverse->master || inverse->up ||
	       inverse->down;
}

/* What was not deleted may be gone with an address that was: the kernel takes routes and secondary
 * addresses with it. Given again when it is; else it fails as the deletion did, or is there. */
static void give_again(struct runner *r, const struct operation *op, struct operation *inverse)
{
	enum outcome outcome;
	struct error ignored;

	if (op->kind != OPERATION_ADDRESS_DELETE && op->kind != OPERATION_ROUTE_DELETE)
		return;
	inverse->replaces = op;
	run(r, inverse, 1, &outcome, &ignored);
}

/* Of what failed nothing was made, but it was noted. */
static int undo_one(struct runner *r, const struct operation *op, enum outcome outcome,
		    struct operation *inverse, struct error *err)
{
	enum outcome ignored;

	if (outcome == OUTCOME_FAILED)
		give_again(r, op, inverse);
	if (outcome == OUTCOME_FAILED && !changed_in_part(r, op, inverse)) {
		note_failed(r->record_fd, r->kept, op, err);
		return 0;
	}
	/* One that was there has others' filters perhaps. */
	if (inverse->kind == OPERATION_UPLINK_DELETE)
		inverse->clsact = inverse->clsact && made_clsact(r, inverse->link);
	return run(r, inverse, 1, &ignored, err);
}

static size_t count_lost(struct runner *r, const struct plan *plan, const enum outcome *outcomes,
			 const char **ret_first)
{
	size_t lost = 0;

	for (size_t i = 0; i < plan->count; i++) {
		const struct operation *op = &plan->operations[i];

		if (outcomes[i] != OUTCOME_DONE || !destroys(op->kind))
			continue;
		if (!lost++)
			*ret_first = plan_describe(op, &r->arena);
	}
	return lost;
}

/* Whether all that was made is gone again. */
static bool undo(struct runner *r, const struct plan *plan, const enum outcome *outcomes,
		 struct error *err)
{
	struct operation inverse;
	const char *first = NULL, *first_lost = NULL;
	struct error cause;
	size_t left = 0, lost = count_lost(r, plan, outcomes, &first_lost);

	r->kept = r->before;
	r->record_goes = true;
	for (size_t i = plan->count; i > 0; i--) {
		const struct operation *op = &plan->operations[i - 1];
		enum outcome outcome = outcomes[i - 1];

		if (outcome == OUTCOME_UNTRIED || outcome == OUTCOME_NOTHING ||
		    !plan_inverse(op, &inverse))
			continue;
		if (left && outcome != OUTCOME_FAILED && guards(inverse.kind)) {
			left++;
			continue;
		}
		r->undone_in_part = left;
		if (!undo_one(r, op, outcome, &inverse, &cause))
			continue;
		if (lost && cause.code == -ENODEV)
			continue; /* it served a link that is among what is lost */
		if (!first)
			first = arena_printf(&r->arena, "%s: %s",
					     plan_describe(&inverse, &r->arena), cause.message);
		left++;
	}
	name_rest(err, "not everything could be undone", first, left);
	name_rest(err, "what was deleted cannot be brought back", first_lost, lost);
	return !left;
}

static int run_part(struct runner *r, const struct plan *plan, size_t from, size_t to,
		    enum outcome *outcomes, struct error *err)
{
	int ret = 0;

	for (size_t i = from, length; !ret && i < to; i += length) {
		length = run_length(&plan->operations[i], to - i);
		ret = check_signal(r->options, err);
		if (!ret)
			ret = run(r, &plan->operations[i], length, &outcomes[i], err);
		if (!ret)
			show_progress(r->options, i + length, plan->count);
	}
	return ret;
}

/* Undone: a fabric that was there is that of its file again. */
static void forget_file(const struct runner *r)
{
	const struct apply_options *options = r->options;
	struct error ignored;
	int fd;

	if (!r->before || !r->before->count)
		record_remove(options->host_cookie, options->fabric, &ignored);
	else if (!record_open(options->host_cookie, options->fabric, r->before->file, &fd,
			      &ignored))
		close(fd);
}

struct undoing {
	struct runner *r;
	const struct plan *plan;
	const enum outcome *outcomes;
};

/* In the guardian's process. */
static void undo_for_the_killed(void *context)
{
	const struct undoing *undoing = context;
	const char *fabric = undoing->r->options->fabric;
	struct error err;

	error_set(&err, -EINTR, "killed while it waited for a confirmation");
	if (undo(undoing->r, undoing->plan, undoing->outcomes, &err)) {
		forget_file(undoing->r);
		log_warning("fabric '%s': everything is as it was before: %s", fabric, err.message);
	} else {
		log_error("fabric '%s': %s", fabric, err.message);
	}
}

static int ask(const struct undoing *undoing, struct error *err)
{
	const struct apply_options *options = undoing->r->options;
	struct guardian guardian;
	int ret = guardian_start(undo_for_the_killed, (void *)undoing, &guardian, err);

	if (ret)
		return ret;
	ret = options->confirm(options->confirm_context, err);
	guardian_dismiss(&guardian);
	return ret;
}

int apply_run(const struct plan *plan, const struct apply_options *options, struct error *err)
{
	size_t middle = options->confirm ? plan->confirm_at : plan->count;
	enum outcome *outcomes;
	struct runner *r = calloc(1, sizeof(*r));
	int ret;

	if (!r)
		return error_set(err, -ENOMEM, "out of memory");
	ret = start(r, options, options->file, err);
	if (ret)
		goto cleanup;
	outcomes = arena_alloc(&r->arena, plan->count * sizeof(*outcomes));
	ret = run_part(r, plan, 0, middle, outcomes, err);
	if (!ret && options->confirm)
		ret = ask(&(struct undoing){r, plan, outcomes}, err);
	if (!ret)
		ret = run_part(r, plan, middle, plan->count, outcomes, err);
	if (ret && undo(r, plan, outcomes, err))
		forget_file(r);
	else if (!ret)
		ret = exchange_left(r, plan, err);
	finish(r);
cleanup:
	free(r);
	return ret;
}

int apply_remove(const struct plan *plan, const struct apply_options *options, struct error *err)
{
	struct runner *r = calloc(1, sizeof(*r));
	enum outcome outcomes[RUN_MAX];
	struct error cause;
	int ret, code = 0;

	if (!r)
		return error_set(err, -ENOMEM, "out of memory");
	ret = start(r, options, NULL, err);
	if (ret)
		goto cleanup;
	r->record_goes = true;
	strip_links(r, plan);
	for (size_t i = 0, length; i < plan->count && code != -EINTR; i += length) {
		length = run_length(&plan->operations[i], plan->count - i);
		if (ret && guards(plan->operations[i].kind))
			continue;
		code = check_signal(options, &cause);
		if (!code)
			code = run(r, &plan->operations[i], length, outcomes, &cause);
		if (code && !ret) {
			ret = code;
			*err = cause;
			err->exit = EXIT_PARTLY;
		}
		show_progress(options, i + length, plan->count);
	}
	if (ret)
		error_context(err, "fabric '%s' is not removed entirely", options->fabric);
	else
		ret = record_remove(options->host_cookie, options->fabric, err);
	finish(r);
cleanup:
	free(r);
	return ret;
}

int apply_sweep(uint64_t host_cookie, struct error *err)
{
	struct arena arena = {};
	const char **names;
	size_t count;
	int ret = record_list(host_cookie, &arena, &names, &count, err);

	arena_free(&arena);
	if (ret || count)
		return ret;
	ret = datapath_unpin(host_cookie, err);
	return ret ? ret : record_remove_folder(host_cookie, err);
}
