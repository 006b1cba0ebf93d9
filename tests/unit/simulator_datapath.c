/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the tables of the datapath, by the rules of datapath.h. A port has the ifindex of
 * its link as number, an uplink its place.
 */
#include "simulator_private.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "plan_externals.h"
#include "plan_publish.h"
#include "plan_reserve.h"
#include "port_set.h"

static char *prefix_text(struct simulator *sim, const struct ip_address *ip)
{
	return ip_format_prefix(ip, arena_alloc(&sim->arena, IP_TEXT_MAX));
}

struct state_port *port_of(struct simulator *sim, uint32_t ifindex)
{
	for (size_t i = 0; i < sim->datapath.ports_count; i++)
		if (sim->datapath.ports[i].ifindex == ifindex)
			return &sim->datapath.ports[i];
	return NULL;
}

static struct state_uplink *uplink_of(struct simulator *sim, const char *name)
{
	uint32_t ifindex = need(sim, NULL, name)->ifindex;

	for (size_t i = 0; i < sim->datapath.uplinks_count; i++)
		if (sim->datapath.uplinks[i].uplink.ifindex == ifindex)
			return &sim->datapath.uplinks[i];
	return NULL;
}

/* What is there stays until the plan is through. */
static void hook(const struct simulator *sim, const struct operation *op, struct state_link *link)
{
	link->clsact = true;
	assert_true(link->hook_in >= op->hook_in && link->hook_out >= op->hook_out);
	if (!op->hook_in)
		link->hook_in_program = sim->program;
	if (!op->hook_out)
		link->hook_out_program = sim->program;
	link->hook_in = !op->loopback;
	link->hook_out = true;
}

void exchange_left(struct simulator *sim, const struct operation *op)
{
	struct state_link *link;

	if ((op->kind != OPERATION_PORT_ADD && op->kind != OPERATION_UPLINK_ADD) || !op->hooks_lost)
		return;
	link = need(sim, NULL, op->link);
	link->hook_in_program = link->hook_out_program = sim->program;
}

static void set_port(struct simulator *sim, const struct operation *op)
{
	struct state_datapath *datapath = &sim->datapath;
	struct state_link *link = need(sim, NULL, op->link);
	struct state_port *port = port_of(sim, link->ifindex);
	uint32_t index = port ? port->port.index : link->ifindex;

	if (!port)
		port = arena_push(&sim->arena, datapath->ports, datapath->ports_count);
	memset(port, 0, sizeof(*port));
	port->ifindex = link->ifindex;
	port->port = plan_port_entry(op);
	port->port.index = index;
	if (op->network_link)
		port->port.gateway_ifindex = need(sim, NULL, op->network_link)->ifindex;
	if (op->uplink) {
		assert_non_null(uplink_of(sim, op->uplink));
		assert_true(datapath->inside_count > 0);
		port->port.uplink = (uint16_t)(uplink_of(sim, op->uplink)->uplink.index + 1);
	}
	hook(sim, op, link);
	DELETE_IF(datapath->sources, datapath->sources_count, it->port == index);
	for (size_t i = 0; i < op->sources_count; i++)
		*arena_push(&sim->arena, datapath->sources, datapath->sources_count) =
			(struct state_source){index, op->sources[i]};
}

static bool same_endpoint(const struct state_endpoint *endpoint, const struct operation *op)
{
	if (op->address.family)
		return endpoint->ip.family && ip_equal(&endpoint->ip, &op->address);
	return !endpoint->ip.family && !memcmp(endpoint->key.mac, op->mac, 6) &&
	       endpoint->key.network == op->network;
}

static void set_host(struct simulator *sim, const struct operation *op)
{
	struct state_datapath *datapath = &sim->datapath;
	struct state_endpoint endpoint = {.ip = op->address, .endpoint = plan_endpoint_entry(op)};
	const struct state_port *port;

	endpoint.endpoint.ifindex = need(sim, NULL, op->link)->ifindex;
	port = port_of(sim, endpoint.endpoint.ifindex);
	assert_non_null(port);
	endpoint.endpoint.port = port->port.index;
	if (!op->address.family) {
		endpoint.key.network = op->network;
		memcpy(endpoint.key.mac, op->mac, 6);
	}
	DELETE_IF(datapath->endpoints, datapath->endpoints_count, same_endpoint(it, op));
	*arena_push(&sim->arena, datapath->endpoints, datapath->endpoints_count) = endpoint;
}

static bool is_used(const struct state_datapath *datapath, uint32_t index)
{
	for (size_t i = 0; i < datapath->uplinks_count; i++)
		if (datapath->uplinks[i].uplink.index == index)
			return true;
	for (size_t i = 0; i < datapath->inside_count; i++)
		if (datapath->inside[i].inside.uplink == index)
			return true;
	for (size_t i = 0; i < datapath->ports_count; i++)
		if (datapath->ports[i].port.uplink == index + 1)
			return true;
	return false;
}

static uint32_t free_index(const struct state_datapath *datapath)
{
	uint32_t index = 0;

	while (is_used(datapath, index))
		index++;
	assert_true(index < NSR_UPLINKS_MAX);
	return index;
}

static void set_uplink(struct simulator *sim, const struct operation *op)
{
	struct state_datapath *datapath = &sim->datapath;
	struct state_link *link = need(sim, NULL, op->link);
	struct state_uplink *uplink = uplink_of(sim, op->link);

	note(sim, RECORD_UPLINK, op->link, "", "");
	if (op->clsact)
		note(sim, RECORD_CLSACT, op->link, "", "");
	if (!uplink) {
		uint32_t index = free_index(datapath);

		uplink = arena_push(&sim->arena, datapath->uplinks, datapath->uplinks_count);
		memset(uplink, 0, sizeof(*uplink));
		uplink->uplink.index = index;
		uplink->uplink.ifindex = link->ifindex;
	}
	uplink->uplink.port_min = op->port_min;
	uplink->uplink.port_max = op->port_max;
	uplink->uplink.fixed = op->fixed;
	uplink->uplink.fixed6 = op->fixed6;
	memcpy(&uplink->uplink.address4, op->address.bytes, 4);
	memcpy(uplink->uplink.address6, op->address6.bytes, 16);
	plan_enter_externals(op->more, &uplink->uplink);
	uplink->known = uplink->uplink;
	hook(sim, op, link);
}

static void delete_uplink(struct simulator *sim, const struct operation *op)
{
	uint32_t ifindex = op->ifindex, index = NSR_UPLINKS_MAX;
	struct state_link *link;

	if (!ifindex) {
		link = need(sim, NULL, op->link);
		ifindex = link->ifindex;
		link->hook_in &= op->hook_in;
		link->hook_out &= op->hook_out;
		if (op->clsact)
			link->clsact = false;
	}
	for (size_t i = 0; i < sim->datapath.uplinks_count; i++)
		if (sim->datapath.uplinks[i].uplink.ifindex == ifindex)
			index = sim->datapath.uplinks[i].uplink.index;
	DELETE_IF(sim->datapath.published, sim->datapath.published_count,
		  it->published.inside.uplink == index);
	DELETE_IF(sim->datapath.uplinks, sim->datapath.uplinks_count,
		  it->uplink.ifindex == ifindex);
	if (!op->link)
		return;
	unnote(sim, RECORD_UPLINK, op->link);
	unnote(sim, RECORD_CLSACT, op->link);
}

static void set_inside(struct simulator *sim, const struct operation *op)
{
	struct state_datapath *datapath = &sim->datapath;
	struct state_inside inside;

	assert_non_null(uplink_of(sim, op->uplink));
	note(sim, RECORD_INSIDE, prefix_text(sim, &op->address), op->uplink, "");
	DELETE_IF(datapath->inside, datapath->inside_count, ip_equal(&it->prefix, &op->address));
	assert_non_null(op->inside);
	inside = (struct state_inside){.prefix = op->address, .inside = *op->inside};
	inside.inside.uplink = uplink_of(sim, op->uplink)->uplink.index;
	inside.inside.unfinished = 0; /* by when it has come to its end */
	inside.inside.except = (uint32_t)op->except_count;
	for (size_t i = 0; i < op->except_count; i++)
		*arena_push(&sim->arena, inside.except, inside.except_count) = op->except[i];
	*arena_push(&sim->arena, datapath->inside, datapath->inside_count) = inside;
}

static bool same_published(const struct state_published *published, const struct operation *op,
			   const struct state_uplink *uplink)
{
	return published->ipv6 == (op->address.family == AF_INET6) &&
	       NSR_MAPPING_PORT(published->mapping) == op->ports.external &&
	       published->published.inside.protocol == op->ports.protocol &&
	       published->published.inside.uplink == uplink->uplink.index;
}

/* Ports of one uplink are published once. */
static void add_published(struct simulator *sim, const struct operation *op)
{
	struct state_datapath *datapath = &sim->datapath;
	const struct state_uplink *uplink = uplink_of(sim, op->link);
	struct state_published entry = {0};
	char name[PUBLISH_TEXT_MAX], value[PUBLISH_TEXT_MAX];
	struct port_set reserved = {};

	assert_non_null(uplink);
	port_set_read(&reserved, simulator_sysctl(sim, RESERVED_KEY)); /* before it is published */
	for (uint32_t i = 0; i < op->ports.count; i++)
		assert_true(port_set_has(&reserved, (uint16_t)(op->ports.external + i)));
	entry.ipv6 = op->address.family == AF_INET6;
	assert_true(!entry.ipv6 || memcmp(uplink->uplink.address6, &(struct nsr_address6){{0}},
					  sizeof(uplink->uplink.address6)));
	entry.mapping =
		NSR_MAPPING(NSR_POOL(uplink->uplink.index, op->ports.protocol), op->ports.external);
	entry.published.inside.port = htons(op->ports.inside);
	entry.published.inside.protocol = op->ports.protocol;
	entry.published.inside.uplink = (uint8_t)uplink->uplink.index;
	memcpy(&entry.published.inside.address, op->address.bytes, entry.ipv6 ? 16 : 4);
	entry.published.count = op->ports.count;
	entry.published.ready = 1;
	DELETE_IF(datapath->published, datapath->published_count,
		  same_published(it, op, uplink) && it->published.count == entry.published.count &&
			  !memcmp(&it->published.inside, &entry.published.inside,
				  sizeof(entry.published.inside)));
	for (size_t i = 0; i < datapath->published_count; i++)
		assert_true(entry.ipv6 != datapath->published[i].ipv6 ||
			    entry.mapping >= datapath->published[i].mapping +
						     datapath->published[i].published.count ||
			    datapath->published[i].mapping >=
				    entry.mapping + entry.published.count);
	note(sim, RECORD_PUBLISHED, arena_strdup(&sim->arena, plan_publish_name(op, name)),
	     arena_strdup(&sim->arena, plan_publish_value(op, value)), "");
	*arena_push(&sim->arena, datapath->published, datapath->published_count) = entry;
}

static void delete_published(struct simulator *sim, const struct operation *op)
{
	struct state_datapath *datapath = &sim->datapath;
	const struct state_uplink *uplink = uplink_of(sim, op->link);
	char name[PUBLISH_TEXT_MAX];

	assert_non_null(uplink);
	DELETE_IF(datapath->published, datapath->published_count, same_published(it, op, uplink));
	unnote(sim, RECORD_PUBLISHED, plan_publish_name(op, name));
}

static void load(struct simulator *sim, const struct operation *op)
{
	struct state_datapath *datapath = &sim->datapath;

	assert_false(datapath->loaded);
	datapath->loaded = true;
	datapath->flows_max = op->flows;
	datapath->uses = op->uses;
	*arena_push(&sim->arena, datapath->programs, datapath->programs_count) = ++sim->program;
}

void run_datapath(struct simulator *sim, const struct operation *op)
{
	struct state_datapath *datapath = &sim->datapath;
	uint32_t ifindex = op->ifindex;

	if (op->kind == OPERATION_DATAPATH_LOAD) {
		load(sim, op);
		return;
	}
	assert_true(datapath->loaded);
	if (!ifindex && op->link && simulator_link(sim, NULL, op->link))
		ifindex = simulator_link(sim, NULL, op->link)->ifindex;
	switch (op->kind) {
	case OPERATION_PROGRAMS_ADD:
		assert_int_equal(datapath->uses & op->uses, 0);
		datapath->uses |= op->uses;
		datapath->lacks_programs = false;
		break;
	case OPERATION_PROGRAMS_REMOVE:
		datapath->uses &= ~op->uses;
		break;
	case OPERATION_DATAPATH_EXCHANGE:
		assert_true(datapath->other_build != op->revert);
		datapath->uses |= op->uses;
		datapath->other_build = op->revert;
		break;
	case OPERATION_DATAPATH_UNLOAD:
		memset(datapath, 0, sizeof(*datapath));
		break;
	case OPERATION_INNER_LINK_ADD:
		DELETE_IF(datapath->inner_links, datapath->inner_links_count,
			  it->ifindex == ifindex);
		*arena_push(&sim->arena, datapath->inner_links, datapath->inner_links_count) =
			(struct state_inner_link){need(sim, NULL, op->link)->ifindex,
						  plan_inner_entry(op)};
		break;
	case OPERATION_INNER_LINK_DELETE:
		DELETE_IF(datapath->inner_links, datapath->inner_links_count,
			  it->ifindex == ifindex);
		break;
	case OPERATION_PORT_ADD:
		set_port(sim, op);
		break;
	case OPERATION_PORT_DELETE:
		DELETE_IF(datapath->sources, datapath->sources_count, it->port == ifindex);
		DELETE_IF(datapath->ports, datapath->ports_count, it->ifindex == ifindex);
		break;
	case OPERATION_HOST_ADD:
		set_host(sim, op);
		break;
	case OPERATION_HOST_DELETE:
		DELETE_IF(datapath->endpoints, datapath->endpoints_count, same_endpoint(it, op));
		break;
	case OPERATION_UPLINK_ADD:
		set_uplink(sim, op);
		break;
	case OPERATION_UPLINK_DELETE:
		delete_uplink(sim, op);
		break;
	case OPERATION_INSIDE_ADD:
		set_inside(sim, op);
		break;
	case OPERATION_INSIDE_DELETE:
		unnote(sim, RECORD_INSIDE, prefix_text(sim, &op->address));
		DELETE_IF(datapath->inside, datapath->inside_count,
			  ip_equal(&it->prefix, &op->address));
		break;
	case OPERATION_PUBLISH_ADD:
		add_published(sim, op);
		break;
	case OPERATION_PUBLISH_DELETE:
		delete_published(sim, op);
		break;
	case OPERATION_PORTS_SET_ASIDE:
		assert_string_equal(op->old_value, datapath->set_aside ? datapath->set_aside : "");
		datapath->set_aside = *op->value ? op->value : NULL;
		datapath->set_aside_unfinished = false;
		break;
	default:
		fail_msg("%s is not for the datapath", plan_kind_name(op->kind));
	}
}
