/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a namespace of the simulation has the few sysctls that tests set, and each of its
 * links one more. Files are paths with their text; a folder has none, and goes only when it is
 * empty.
 */
#include "simulator_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "plan_reserve.h"
#include "port_set.h"
#include "sysctl_key.h"

/* ---- Sysctls of namespaces. */

static struct state_sysctl *find_sysctl(struct simulator *sim, const char *namespace,
					const char *key)
{
	struct state_namespace *ns = simulator_space(sim, namespace);

	for (size_t i = 0; ns && i < ns->sysctls_count; i++)
		if (!strcmp(ns->sysctls[i].key, key))
			return &ns->sysctls[i];
	return NULL;
}

const char *simulator_netns_sysctl(struct simulator *sim, const char *namespace, const char *key)
{
	const struct state_sysctl *sysctl = find_sysctl(sim, namespace, key);

	return sysctl ? sysctl->value : NULL;
}

void add_netns_sysctl(struct simulator *sim, const char *namespace, const char *key,
		      const char *value)
{
	struct state_namespace *ns = simulator_space(sim, namespace);

	*arena_push(&sim->arena, ns->sysctls, ns->sysctls_count) =
		(struct state_sysctl){arena_strdup(&sim->arena, key), value};
}

void add_link_sysctls(struct simulator *sim, const char *namespace, const char *link)
{
	add_netns_sysctl(sim, namespace,
			 arena_printf(&sim->arena, "net/ipv4/conf/%s/forwarding", link),
			 simulator_netns_sysctl(sim, namespace, "net/ipv4/conf/all/forwarding"));
	add_netns_sysctl(sim, namespace, sysctl_key_of_offload(link, &sim->arena), "on");
}

void simulator_set_netns_sysctl(struct simulator *sim, const char *namespace, const char *key,
				const char *value)
{
	static const char all[] = "net/ipv4/conf/all/forwarding";
	struct state_namespace *ns = simulator_space(sim, namespace);
	struct state_sysctl *sysctl = find_sysctl(sim, namespace, key);

	assert_non_null(sysctl);
	sysctl->value = value;
	for (size_t i = 0; !strcmp(key, all) && i < ns->sysctls_count; i++)
		if (strstr(ns->sysctls[i].key, "/forwarding"))
			ns->sysctls[i].value = value;
}

/* As set_netns_sysctl() of apply. */
void run_netns_sysctl(struct simulator *sim, const struct operation *op)
{
	const char *old = simulator_netns_sysctl(sim, op->namespace, op->key);

	assert_non_null(old);
	if (!op->revert)
		note(sim, RECORD_NETNS_SYSCTL, op->recorded_as, op->old_value ? op->old_value : old,
		     "");
	simulator_set_netns_sysctl(sim, op->namespace, op->key, op->value);
	if (op->revert)
		unnote(sim, RECORD_NETNS_SYSCTL, op->recorded_as);
}

/* ---- The host's set of reserved ports. */

void run_reserve(struct simulator *sim, const struct operation *op)
{
	struct port_set set = {}, released = {};

	port_set_read(&set, simulator_sysctl(sim, op->key));
	port_set_read(&set, op->reserve);
	port_set_read(&released, op->release);
	port_set_take_out(&set, &released);
	note(sim, RECORD_RESERVED, RESERVED_KEY, op->value, op->old_value);
	simulator_set_sysctl(sim, op->key, port_set_text(&set, &sim->arena));
	if (*op->value)
		note(sim, RECORD_RESERVED, RESERVED_KEY, op->value, "");
	else
		unnote(sim, RECORD_RESERVED, RESERVED_KEY);
}

/* ---- Files. */

struct state_file *simulator_file(struct simulator *sim, const char *path)
{
	for (size_t i = 0; i < sim->files_count; i++)
		if (!strcmp(sim->files[i].path, path))
			return &sim->files[i];
	return NULL;
}

void simulator_add_file(struct simulator *sim, const char *path, const char *text)
{
	assert_null(simulator_file(sim, path));
	*arena_push(&sim->arena, sim->files, sim->files_count) =
		(struct state_file){.path = path, .exists = true, .directory = !text, .text = text};
}

void simulator_delete_file(struct simulator *sim, const char *path)
{
	DELETE_IF(sim->files, sim->files_count, !strcmp(it->path, path));
}

/* The folder that a path is in must be there. */
static void check_folder(struct simulator *sim, const char *path)
{
	const char *folder =
		arena_printf(&sim->arena, "%.*s", (int)(strrchr(path, '/') - path), path);

	assert_true(!strcmp(folder, "/etc") || simulator_file(sim, folder));
}

static bool is_empty(struct simulator *sim, const char *folder)
{
	for (size_t i = 0; i < sim->files_count; i++)
		if (!strncmp(sim->files[i].path, folder, strlen(folder)) &&
		    sim->files[i].path[strlen(folder)] == '/')
			return false;
	return true;
}

void run_file_operation(struct simulator *sim, const struct operation *op)
{
	switch (op->kind) {
	case OPERATION_DIRECTORY_ADD:
		note(sim, RECORD_FOLDER, op->path, "", "");
		check_folder(sim, op->path);
		if (!op->replaces)
			simulator_add_file(sim, op->path, NULL);
		break;
	case OPERATION_DIRECTORY_DELETE:
		if (is_empty(sim, op->path))
			simulator_delete_file(sim, op->path);
		unnote(sim, RECORD_FOLDER, op->path);
		break;
	case OPERATION_FILE_WRITE:
		note(sim, RECORD_FILE, op->path, "", "");
		check_folder(sim, op->path);
		simulator_delete_file(sim, op->path);
		simulator_add_file(sim, op->path, op->text);
		break;
	default:
		simulator_delete_file(sim, op->path);
		unnote(sim, RECORD_FILE, op->path);
		break;
	}
}

/* ---- Open vSwitch. */

void run_ovs(struct simulator *sim, const struct operation *op)
{
	struct state_ovs *ovs = &sim->ovs;

	DELETE_IF(ovs->ports, ovs->ports_count, !strcmp(it->name, op->link));
	if (op->kind == OPERATION_OVS_PORT_DELETE) {
		unnote(sim, RECORD_OVS_PORT, op->link);
		return;
	}
	assert_null(ovs->problem);
	assert_non_null(port_of(sim, need(sim, NULL, op->link)->ifindex)); /* policy first */
	note(sim, RECORD_OVS_PORT, op->link, op->master, "");
	*arena_push(&sim->arena, ovs->ports, ovs->ports_count) = (struct state_ovs_port){
		.name = op->link, .bridge = op->master, .fabric = sim->record.fabric};
}

struct state_ovs copy_ovs(struct simulator *sim, const struct topology *topology)
{
	struct state_ovs ovs = sim->ovs;

	if (!plan_needs_ovs(topology, &sim->record))
		return (struct state_ovs){};
	ovs.asked = true;
	ovs.ports = arena_alloc(&sim->arena, (ovs.ports_count + 1) * sizeof(*ovs.ports));
	if (ovs.ports_count)
		memcpy(ovs.ports, sim->ovs.ports, ovs.ports_count * sizeof(*ovs.ports));
	return ovs;
}

/* ---- Observing. */

struct state_file *copy_files(struct simulator *sim, const struct topology *topology,
			      size_t *ret_count)
{
	struct state_file *files;
	const char *const *paths;
	size_t count;

	plan_needs_files(topology, &sim->record, &sim->arena, &paths, &count);
	files = arena_alloc(&sim->arena, (count + 1) * sizeof(*files));
	for (size_t i = 0; i < count; i++) {
		const struct state_file *file = simulator_file(sim, paths[i]);

		files[i] = file ? *file : (struct state_file){.path = paths[i]};
	}
	*ret_count = count;
	return files;
}

/* Of what a namespace has, a plan sees only what it asked for. */
void hide_sysctls(struct simulator *sim, const struct topology *topology,
		  struct state_namespace *ns)
{
	const struct sysctl_need *needs;
	size_t count;

	plan_needs_netns_sysctls(topology, &sim->record, &sim->arena, &needs, &count);
	for (size_t i = ns->sysctls_count; i > 0; i--) {
		bool asked = false;

		for (size_t j = 0; j < count; j++)
			asked = asked || (!strcmp(needs[j].namespace, ns->name) &&
					  !strcmp(needs[j].key, ns->sysctls[i - 1].key));
		if (!asked)
			DELETE_AT(ns->sysctls, ns->sysctls_count, i - 1);
	}
}
