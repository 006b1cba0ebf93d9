/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: an "ovs" network is a bridge that somebody else runs; what is ours is one port of
 * it for each interface, with our mark in its external_ids. The database outlives a reboot, so a
 * port with our mark and no record is ours too when the file names it. Names of ports are unique in
 * the whole database: one that is on another bridge, or whose link is made again, is removed first.
 *
 * The kernel's datapath takes packets where a bridge would, after our program. The userspace
 * datapath ("netdev") reads them from a packet socket, which is before it: what it forwards nobody
 * has judged, and packets between namespaces have no checksum yet, which it does not add. So the
 * namespace's end has to.
 */
#include "plan_ovs.h"

#include <errno.h>
#include <string.h>

#include "log.h"
#include "sysctl_key.h"

bool plan_needs_ovs(const struct topology *topology, const struct record *record)
{
	for (size_t i = 0; topology && i < topology->networks_count; i++)
		if (topology->networks[i].type == NETWORK_OVS)
			return true;
	for (size_t i = 0; record && i < record->count; i++)
		if (record->entries[i].kind == RECORD_OVS_PORT)
			return true;
	return false;
}

static const struct state_ovs_bridge *find_bridge(const struct view *view, const char *name)
{
	const struct state_ovs *ovs = &view->state->ovs;

	for (size_t i = 0; i < ovs->bridges_count; i++)
		if (!strcmp(ovs->bridges[i].name, name))
			return &ovs->bridges[i];
	return NULL;
}

static const struct state_ovs_port *find_port(const struct view *view, const char *name)
{
	const struct state_ovs *ovs = &view->state->ovs;

	for (size_t i = 0; i < ovs->ports_count; i++)
		if (!strcmp(ovs->ports[i].name, name))
			return &ovs->ports[i];
	return NULL;
}

static bool is_ours(const struct view *view, const struct state_ovs_port *port)
{
	return !strcmp(port->fabric, view->fabric);
}

/* ---- What is wanted. */

static bool checks_sources(const struct builder *b, const struct network *network)
{
	for (size_t i = 0; i < b->topology->namespaces_count; i++) {
		const struct topology_namespace *ns = &b->topology->namespaces[i];

		for (size_t j = 0; j < ns->interfaces_count; j++)
			if (ns->interfaces[j].network == network && ns->interfaces[j].spoof_check)
				return true;
	}
	return false;
}

static int check_network(const struct builder *b, const struct network *network, struct error *err)
{
	const struct state_ovs *ovs = &b->view->state->ovs;
	const struct state_ovs_bridge *bridge = find_bridge(b->view, network->name);

	if (ovs->problem)
		return error_set(err, -ENODEV, "network '%s': %s", network->name, ovs->problem);
	if (!bridge)
		return error_set(err, -ENODEV,
				 "network '%s': Open vSwitch has no bridge of this name; make it "
				 "(ovs-vsctl add-br %s)",
				 network->name, network->name);
	if (bridge->userspace && checks_sources(b, network))
		log_warning("network '%s': spoof_check does not hold for what Open vSwitch's "
			    "userspace datapath forwards, which sees packets first; it keeps them "
			    "from the host only (spoof_check: off says that you know)",
			    network->name);
	return 0;
}

int check_ovs_networks(const struct builder *b, struct error *err)
{
	for (size_t i = 0; i < b->topology->networks_count; i++) {
		const struct network *network = &b->topology->networks[i];

		if (network->type != NETWORK_OVS || !check_network(b, network, err))
			continue;
		error_at(err, b->topology->file, network->at);
		return err->code;
	}
	return 0;
}

/* Of a Linux bridge that it was a port of; Open vSwitch's own master stays. */
static bool is_on_bridge(const struct view *view, const char *name)
{
	const struct state_link *link = view_link(view, NULL, name);
	const struct state_link *master =
		link && link->master ? view_link_by_index(view, NULL, link->master) : NULL;

	return master && !strcmp(master->kind, "bridge");
}

void want_ovs_host_end(struct builder *b, const struct interface *interface)
{
	struct operation *op =
		want_link(b, interface->at, NULL, interface->host_name, interface->host_mac);

	op->no_ipv6_autoaddress = true;
	if (is_on_bridge(b->view, interface->host_name))
		op->master = "";
	op = want(b, OPERATION_OVS_PORT_ADD, interface->at);
	op->link = interface->host_name;
	op->master = interface->network->name;
}

void want_ovs_offload(struct builder *b, const struct topology_namespace *ns,
		      const struct interface *interface)
{
	const struct state_ovs_bridge *bridge = find_bridge(b->view, interface->network->name);
	struct operation *op;

	if (!bridge || !bridge->userspace)
		return;
	op = want(b, OPERATION_OFFLOAD_SET, interface->at);
	op->namespace = ns->name;
	op->key = sysctl_key_of_offload(interface->name, b->arena);
	op->value = "off";
	op->recorded_as = arena_printf(b->arena, "%s/%s", ns->name, op->key);
	op->why = "Open vSwitch's userspace datapath adds no checksums";
}

/* ---- What is missing. */

bool ovs_port_missing(const struct view *view, struct operation *op)
{
	const struct state_ovs_port *port = find_port(view, op->link);

	return !port || strcmp(port->bridge, op->master) || !view_link(view, NULL, op->link) ||
	       !view_recorded(view, RECORD_OVS_PORT, op->link);
}

int check_ovs_port(const struct view *view, const struct operation *op, struct error *err)
{
	const struct state_ovs_port *port = find_port(view, op->link);

	if (!port || is_ours(view, port))
		return 0;
	return error_set(err, -EEXIST,
			 "port '%s' is on the Open vSwitch bridge '%s' already and is not ours; "
			 "remove it (ovs-vsctl del-port %s)",
			 op->link, port->bridge, op->link);
}

/* ---- What is not wanted any more. */

static void delete_port(struct extra *extra, const struct state_ovs_port *port)
{
	struct operation *op =
		arena_push(extra->view->arena, extra->plan->operations, extra->plan->count);

	op->kind = OPERATION_OVS_PORT_DELETE;
	op->link = port->name;
	op->master = port->bridge;
}

static void forget(struct extra *extra, const char *name)
{
	struct operation *op;

	if (extra->removal)
		return;
	op = arena_push(extra->view->arena, extra->plan->operations, extra->plan->count);
	op->kind = OPERATION_FORGET;
	op->record = RECORD_OVS_PORT;
	op->link = name;
}

static bool stays(const struct extra *extra, const char *port, const char *bridge)
{
	struct operation twin = {.kind = OPERATION_OVS_PORT_ADD, .link = port, .master = bridge};
	char key[OPERATION_KEY_MAX];

	return lookup_find(extra->wanted, operation_key(&twin, key));
}

void plan_extra_ovs_ports(struct extra *extra)
{
	const struct record *record = extra->record;

	for (size_t i = 0; record && i < record->count; i++) {
		const struct record_entry *entry = &record->entries[i];
		const struct state_ovs_port *port;

		if (entry->kind != RECORD_OVS_PORT)
			continue;
		port = find_port(extra->view, entry->name);
		if (port && is_ours(extra->view, port)) {
			if (!view_link(extra->view, NULL, port->name) ||
			    !stays(extra, port->name, port->bridge))
				delete_port(extra, port);
		} else if (!stays(extra, entry->name, entry->value)) {
			forget(extra, entry->name);
		}
	}
}

void plan_removed_ovs_ports(struct extra *extra)
{
	const struct state_ovs *ovs = &extra->view->state->ovs;

	if (ovs->problem)
		log_warning("%s: ports that fabric '%s' put on its bridges may still be in its "
			    "database (ovs-vsctl del-port)",
			    ovs->problem, extra->view->fabric);
	plan_extra_ovs_ports(extra);
}
