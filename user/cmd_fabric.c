/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: what commands do before their own work begins - open the host namespace, read
 * records, observe, plan.
 */
#include "command.h"

#include <errno.h>
#include <unistd.h>

#include "doctor.h"
#include "fabric.h"
#include "netns.h"
#include "output_drops.h"
#include "snapshot.h"
#include "topology_read.h"

int command_open_host(const struct context *context, struct host *ret, struct error *err)
{
	struct host host;
	int code;

	code = doctor_privilege(err);
	if (code != 0)
		return code;
	code = netns_open(context->netns, &host.fd, err);
	if (code != 0)
		return code;
	code = netns_cookie(host.fd, &host.cookie, err);
	if (code != 0) {
		close(host.fd);
		return code;
	}
	*ret = host;
	return 0;
}

/* Names are the whole machine's: what another host namespace has made under one that was this
 * fabric's is none of it. */
static void leave_out_others(const struct record *record, struct kernel_state *state)
{
	for (size_t i = 0; i < state->namespaces_count; i++) {
		struct state_namespace *ns = &state->namespaces[i];
		const struct record_entry *entry = record_find(record, RECORD_NETNS, ns->name);

		if (ns->exists && entry && !record_is_namespace(entry, ns->cookie))
			*ns = (struct state_namespace){.name = ns->name, .alias = ""};
	}
}

int command_observe(const struct host *host, const char *fabric, struct arena *arena,
		    struct record **ret_record, struct kernel_state **ret_state, struct error *err)
{
	int code = record_read(host->cookie, fabric, arena, ret_record, err);

	if (code == -ENOENT)
		err->exit = EXIT_INVALID;
	if (code != 0)
		return code;
	code = fabric_observe(NULL, *ret_record, host->fd, arena, ret_state, err);
	if (code != 0)
		return code;
	leave_out_others(*ret_record, *ret_state);
	return snapshot_peers(host->fd, *ret_state, err);
}

static void append(json_t *array, json_t *model)
{
	if (model)
		json_array_append_new(array, model);
}

int command_models(const struct host *host, const char *fabric, command_model model, void *argument,
		   json_t **ret_array, struct error *err)
{
	const char **names = &fabric;
	struct kernel_state *state;
	struct record *record;
	struct arena arena = {};
	json_t *array = json_array();
	size_t count = 1;
	int code = 0;

	if (!fabric)
		code = record_list(host->cookie, &arena, &names, &count, err);
	for (size_t i = 0; code == 0 && i < count; i++) {
		code = command_observe(host, names[i], &arena, &record, &state, err);
		if (code == -ENOENT && !fabric)
			code = 0; /* gone since the list was made */
		else if (code == 0)
			append(array, model(record, state, argument));
	}
	arena_free(&arena);
	if (code != 0) {
		json_decref(array);
		return code;
	}
	*ret_array = array;
	return 0;
}

static json_t *places_model(const struct record *record, const struct kernel_state *state,
			    void *argument)
{
	(void)argument;
	return output_places(record, state);
}

int command_places(const struct host *host, json_t **ret, struct error *err)
{
	json_t *fabrics, *fabric, *places;
	size_t i;
	int code = command_models(host, NULL, places_model, NULL, &fabrics, err);

	if (code)
		return code;
	places = json_object();
	json_array_foreach(fabrics, i, fabric) json_object_update(places, fabric);
	json_decref(fabrics);
	*ret = places;
	return 0;
}

int command_plan(const struct host *host, struct topology *topology, struct arena *arena,
		 struct plan **ret, struct error *err)
{
	struct kernel_state *state;
	struct record *record = NULL;
	int code = record_read(host->cookie, topology->name, arena, &record, err);

	if (code != 0 && code != -ENOENT)
		return code;
	code = fabric_observe(topology, record, host->fd, arena, &state, err);
	if (code != 0)
		return code;
	return plan_build(topology, state, record, arena, ret, err);
}

int command_with_topology(struct context *context, const char *file,
			  int (*run)(struct context *context, const struct host *host,
				     struct topology *topology))
{
	struct error_list errors = {.arena = &context->arena};
	struct topology *topology;
	struct error err;
	struct host host;
	int status;

	if (command_open_host(context, &host, &err) != 0)
		return command_fail(context, &err);
	if (topology_read(file, &context->arena, &topology, &errors) != 0)
		status = command_fail_all(context, &errors);
	else
		status = run(context, &host, topology);
	close(host.fd);
	return status;
}
