/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: tables name links by ifindex, which is known by now. A port says which uplink its
 * network leaves by with the uplink's number: the plan knows it of an uplink that was there before,
 * of a new one we keep what the datapath gave it. Without tables nothing is to be deleted from
 * them: whoever removed the pins, or the bpffs with them, does not keep the rest from being
 * removed.
 */
#include "apply_table.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "datapath_publish.h"
#include "datapath_reserve.h"
#include "plan_externals.h"

int open_datapath(struct runner *r, const struct datapath_new *fresh, struct error *err)
{
	if (r->datapath)
		return 0;
	return datapath_open(&r->datapath, r->options->host_cookie, fresh, err);
}

static uint16_t uplink_slot(const struct runner *r, const struct operation *op)
{
	for (size_t i = 0; op->uplink && i < r->uplinks_count; i++)
		if (!strcmp(r->uplinks[i].link, op->uplink))
			return r->uplinks[i].slot;
	return op->uplink_slot;
}

static bool has_source(const struct operation *op, const struct ip_address *prefix)
{
	for (size_t i = 0; i < op->sources_count; i++)
		if (ip_equal(&op->sources[i], prefix) &&
		    op->sources[i].prefix_len == prefix->prefix_len)
			return true;
	return false;
}

static int set_port(struct runner *r, const struct operation *op, struct error *err)
{
	const struct operation *old = op->replaces;
	uint32_t ifindex = place_ifindex(&r->places, NULL, op->link);
	struct nsr_port port = plan_port_entry(op);
	int ret;

	port.gateway_ifindex =
		op->network_link ? place_ifindex(&r->places, NULL, op->network_link) : 0;
	port.uplink = uplink_slot(r, op);
	ret = datapath_port_set(r->datapath, ifindex, &port, NULL, err);
	for (size_t i = 0; !ret && i < op->sources_count; i++)
		ret = datapath_source_set(r->datapath, ifindex, &op->sources[i], err);
	for (size_t i = 0; !ret && old && i < old->sources_count; i++)
		if (!has_source(op, &old->sources[i]))
			ret = datapath_source_delete(r->datapath, ifindex, &old->sources[i], err);
	return ret;
}

static int set_uplink(struct runner *r, const struct operation *op, struct error *err)
{
	struct nsr_uplink uplink = {.port_min = op->port_min,
				    .port_max = op->port_max,
				    .fixed = op->fixed,
				    .fixed6 = op->fixed6};
	uint32_t index;
	int ret;

	memcpy(&uplink.address4, op->address.bytes, sizeof(uplink.address4));
	memcpy(uplink.address6, op->address6.bytes, sizeof(uplink.address6));
	plan_enter_externals(op->more, &uplink);
	ret = datapath_uplink_set(r->datapath, place_ifindex(&r->places, NULL, op->link), &uplink,
				  &index, err);
	if (ret)
		return ret;
	for (size_t i = 0; i < r->uplinks_count; i++)
		if (!strcmp(r->uplinks[i].link, op->link))
			return 0;
	if (r->uplinks_count < NSR_UPLINKS_MAX) {
		r->uplinks[r->uplinks_count].link = op->link;
		r->uplinks[r->uplinks_count++].slot = (uint16_t)(index + 1);
	}
	return 0;
}

static int set_inner_link(struct runner *r, const struct operation *op, uint32_t ifindex,
			  struct error *err)
{
	struct nsr_inner_link inner = plan_inner_entry(op);

	return datapath_inner_link_set(r->datapath, ifindex, &inner, err);
}

static int set_host(struct runner *r, const struct operation *op, struct error *err)
{
	struct nsr_endpoint endpoint = plan_endpoint_entry(op);
	struct nsr_fdb_key key = {.network = op->network};

	endpoint.ifindex = place_ifindex(&r->places, NULL, op->link);
	memcpy(key.mac, op->mac, sizeof(key.mac));
	return op->address.family ? datapath_host_set(r->datapath, &op->address, &endpoint, err)
				  : datapath_fdb_set(r->datapath, &key, &endpoint, err);
}

static int delete_host(struct runner *r, const struct operation *op, struct error *err)
{
	struct nsr_fdb_key key = {.network = op->network};

	memcpy(key.mac, op->mac, sizeof(key.mac));
	return op->address.family ? datapath_host_delete(r->datapath, &op->address, err)
				  : datapath_fdb_delete(r->datapath, &key, err);
}

static int set_aside(struct runner *r, const struct operation *op, struct error *err)
{
	struct port_set set = {0};

	port_set_read(&set, op->value);
	return datapath_set_aside(r->datapath, &set, err);
}

static bool deletes(enum operation_kind kind)
{
	return kind == OPERATION_PORT_DELETE || kind == OPERATION_UPLINK_DELETE ||
	       kind == OPERATION_INNER_LINK_DELETE || kind == OPERATION_HOST_DELETE ||
	       kind == OPERATION_INSIDE_DELETE || kind == OPERATION_PUBLISH_DELETE;
}

int run_table(struct runner *r, const struct operation *op, struct error *err)
{
	uint32_t ifindex = op->ifindex ? op->ifindex : place_ifindex(&r->places, NULL, op->link);
	int ret;

	if (deletes(op->kind) && !r->datapath && !datapath_exists(r->options->host_cookie))
		return 0;
	ret = open_datapath(r, NULL, err);
	if (ret == -ENOTSUP && deletes(op->kind))
		return 0; /* of another layout: all of it goes when the last fabric does */
	if (ret)
		return ret;
	switch (op->kind) {
	case OPERATION_PORT_ADD:
		return set_port(r, op, err);
	case OPERATION_PORT_DELETE:
		return datapath_port_delete(r->datapath, ifindex, err);
	case OPERATION_UPLINK_ADD:
		return set_uplink(r, op, err);
	case OPERATION_UPLINK_DELETE:
		return datapath_uplink_delete(r->datapath, ifindex, err);
	case OPERATION_INNER_LINK_ADD:
		return set_inner_link(r, op, ifindex, err);
	case OPERATION_INNER_LINK_DELETE:
		return datapath_inner_link_delete(r->datapath, ifindex, err);
	case OPERATION_HOST_ADD:
		return set_host(r, op, err);
	case OPERATION_HOST_DELETE:
		return delete_host(r, op, err);
	case OPERATION_PUBLISH_ADD:
		return datapath_publish_at(r->datapath, ifindex, &op->external, &op->address,
					   &op->ports, r->options->host_fd, err);
	case OPERATION_PUBLISH_DELETE:
		return datapath_unpublish_at(r->datapath, ifindex, op->address.family == AF_INET6,
					     &op->external, &op->ports, err);
	case OPERATION_INSIDE_ADD:
		return datapath_inside_set(r->datapath, &op->address,
					   place_ifindex(&r->places, NULL, op->uplink), op->inside,
					   op->except, op->except_count, err);
	case OPERATION_PORTS_SET_ASIDE:
		return set_aside(r, op, err);
	default: /* INSIDE_DELETE */
		return datapath_inside_delete(r->datapath, &op->address, err);
	}
}
