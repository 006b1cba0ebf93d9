/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: ovs-vsctl makes one transaction of a whole command line, so a port and its mark
 * appear together, and what is read of bridges and ports is of one moment. It then waits until
 * ovs-vswitchd has done what the database says; when that takes longer than the time limit an alarm
 * ends it, and the database keeps the change, so a port that was not taken is removed again. It
 * waits for nothing when nothing changes, though the switch may not have taken yet what the
 * database kept over a restart; so a port that is there already is exchanged for itself.
 */
#include "ovs.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include <jansson.h>

#include "lookup.h"
#include "process.h"

#define PROGRAM      "ovs-vsctl"
#define TIMEOUT      "--timeout=10" /* seconds; taking a port takes milliseconds */
#define TIMEOUT_TEXT "10 seconds"

/* The first line of what it complains of, without its own name. */
static const char *complaint(const struct process_result *result, struct arena *arena)
{
	static const char prefix[] = PROGRAM ": ";
	const char *text = strstr(result->errors, prefix);

	text = text ? text + strlen(prefix) : result->errors;
	return arena_printf(arena, "%.*s", (int)strcspn(text, "\n"), text);
}

static bool timed_out(const struct process_result *result)
{
	return result->signal == SIGALRM;
}

/* ---- Reading. */

static const char *problem_of(const struct process_result *result, struct arena *arena)
{
	if (timed_out(result))
		return "the database of Open vSwitch does not answer within " TIMEOUT_TEXT;
	return arena_printf(arena,
			    "Open vSwitch does not run (%s); start it, or say in OVS_RUNDIR where "
			    "it does",
			    complaint(result, arena));
}

static const char *cell(const json_t *row, size_t column, struct arena *arena)
{
	const char *text = json_string_value(json_array_get(row, column));

	return text ? arena_strdup(arena, text) : "";
}

/* The value of the key in ["map", [[KEY, VALUE], ...]], or "". */
static const char *mapped(const json_t *map, const char *key, struct arena *arena)
{
	const json_t *pairs = json_array_get(map, 1);

	for (size_t i = 0; i < json_array_size(pairs); i++) {
		const json_t *pair = json_array_get(pairs, i);
		const char *name = json_string_value(json_array_get(pair, 0));

		if (name && !strcmp(name, key))
			return cell(pair, 1, arena);
	}
	return "";
}

static const char *uuid_of(const json_t *value)
{
	const char *text = json_string_value(json_array_get(value, 1));

	return text ? text : "";
}

/* A column that holds any number of rows: ["set", [["uuid", U], ...]], or ["uuid", U] for one. */
static void enter_ports(struct lookup *bridges, const json_t *ports, char *bridge,
			struct arena *arena)
{
	const json_t *set = json_array_get(ports, 1);

	if (!json_is_array(set)) {
		lookup_add(bridges, arena, arena_strdup(arena, uuid_of(ports)), bridge);
		return;
	}
	for (size_t i = 0; i < json_array_size(set); i++)
		lookup_add(bridges, arena, arena_strdup(arena, uuid_of(json_array_get(set, i))),
			   bridge);
}

static void parse(const json_t *bridge_rows, const json_t *port_rows, struct arena *arena,
		  struct state_ovs *ovs)
{
	struct lookup bridges = {}; /* name of the bridge by the UUID of its port */

	for (size_t i = 0; i < json_array_size(bridge_rows); i++) {
		const json_t *row = json_array_get(bridge_rows, i);
		struct state_ovs_bridge *bridge =
			arena_push(arena, ovs->bridges, ovs->bridges_count);

		bridge->name = cell(row, 0, arena);
		bridge->userspace = !strcmp(cell(row, 1, arena), "netdev");
		enter_ports(&bridges, json_array_get(row, 2), (char *)bridge->name, arena);
	}
	for (size_t i = 0; i < json_array_size(port_rows); i++) {
		const json_t *row = json_array_get(port_rows, i);
		const char *bridge = lookup_find(&bridges, uuid_of(json_array_get(row, 0)));
		struct state_ovs_port *port = arena_push(arena, ovs->ports, ovs->ports_count);

		port->bridge = bridge ? bridge : "";
		port->name = cell(row, 1, arena);
		port->fabric = mapped(json_array_get(row, 2), "nsroute", arena);
	}
}

int ovs_read(struct arena *arena, struct state_ovs *ret, struct error *err)
{
	static const char *const arguments[] = {PROGRAM,
						TIMEOUT,
						"--format=json",
						"--",
						"--columns=name,datapath_type,ports",
						"list",
						"Bridge",
						"--",
						"--columns=_uuid,name,external_ids",
						"list",
						"Port",
						NULL};
	struct process_result result;
	json_t *bridges, *ports;
	const char *second;
	int ret_code = process_run(arguments, arena, &result, err);

	*ret = (struct state_ovs){.asked = true};
	if (ret_code == -ENOENT) {
		ret->problem = "Open vSwitch is not here: there is no program '" PROGRAM
			       "'; install openvswitch-switch";
		return 0;
	}
	if (ret_code)
		return ret_code;
	if (result.status) {
		ret->problem = problem_of(&result, arena);
		return 0;
	}
	second = result.output + strcspn(result.output, "\n");
	bridges = json_loadb(result.output, (size_t)(second - result.output), 0, NULL);
	ports = json_loads(second, 0, NULL);
	if (bridges && ports)
		parse(json_object_get(bridges, "data"), json_object_get(ports, "data"), arena, ret);
	else
		ret_code = error_set(err, -EBADMSG, "'%s' prints what is not understood", PROGRAM);
	json_decref(bridges);
	json_decref(ports);
	return ret_code;
}

/* ---- Changing. */

int ovs_port_add(const char *bridge, const char *port, const char *fabric, struct arena *arena,
		 struct error *err)
{
	const char *mark = arena_printf(arena, "external_ids:nsroute=\"%s\"", fabric);
	const char *const arguments[] = {
		PROGRAM, TIMEOUT, "--", "--if-exists", "del-port", port, "--", "add-port",
		bridge,  port,    "--", "set",         "Port",     port, mark, NULL};
	static const char refused[] = "Error detected while setting up ";
	struct process_result result;
	struct error ignored;
	bool deaf = true;
	int ret = process_run(arguments, arena, &result, err);

	if (ret)
		return ret;
	if (!result.status && !strstr(result.errors, refused))
		return 0;
	if (timed_out(&result))
		error_set(err, -ETIMEDOUT,
			  "Open vSwitch did not take port '%s' within " TIMEOUT_TEXT
			  ": is ovs-vswitchd running?",
			  port);
	else
		error_set(err, -EINVAL, "Open vSwitch did not take port '%s' on bridge '%s': %s",
			  port, bridge, complaint(&result, arena));
	if (!result.status || timed_out(&result))
		ovs_port_delete(port, &deaf, arena, &ignored);
	return err->code;
}

int ovs_port_delete(const char *port, bool *deaf, struct arena *arena, struct error *err)
{
	const char *const arguments[] = {PROGRAM, TIMEOUT,       *deaf ? "--no-wait" : TIMEOUT,
					 "--",    "--if-exists", "del-port",
					 port,    NULL};
	struct process_result result;
	int ret = process_run(arguments, arena, &result, err);

	if (ret || !result.status)
		return ret;
	if (timed_out(&result)) {
		*deaf = true;
		return 0;
	}
	return error_set(err, -EINVAL, "cannot remove port '%s' from Open vSwitch: %s", port,
			 complaint(&result, arena));
}
