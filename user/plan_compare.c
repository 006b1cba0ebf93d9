/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: an operation finds the observed twin of its object by key. Without a twin it is
 * missing. With one whose contents differ it is missing too, and points to an operation that would
 * bring the old contents back. What hangs on a link that is absent, or will be made again, is
 * missing with it: the kernel deletes it with the link.
 */
#include "plan_compare.h"

#include <linux/if.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/neighbour.h>

#include "plan_big_tcp.h"
#include "plan_device.h"
#include "plan_externals.h"
#include "plan_files.h"
#include "plan_ovs.h"
#include "plan_publish.h"
#include "plan_reserve.h"
#include "plan_sysctls.h"

static struct operation *copy(const struct view *view, const struct operation *op)
{
	struct operation *twin = arena_alloc(view->arena, sizeof(*twin));

	*twin = *op;
	twin->replaces = NULL;
	return twin;
}

/* ---- Links. */

static const char *master_name(const struct view *view, const char *namespace,
			       const struct state_link *link)
{
	const struct state_link *master =
		link->master ? view_link_by_index(view, namespace, link->master) : NULL;

	return master ? master->name : "";
}

static bool veth_missing(const struct view *view, const struct operation *op)
{
	return !view_link(view, op->namespace, op->link) ||
	       !view_link(view, op->peer_namespace, op->peer);
}

/* The mark that undoing brings back: that of single steps. What is marked for the first time is
 * deleted then. */
static const char *alias_before(const struct view *view, const struct operation *op,
				const struct state_link *link)
{
	if (strcmp(link->alias, STEPS_ALIAS) && !view_link_is_of_steps(view, op->namespace, link))
		return NULL;
	return arena_strdup(view->arena, link->alias);
}

static bool link_set_missing(const struct view *view, struct operation *op)
{
	const struct state_link *link = view_link(view, op->namespace, op->link);
	struct operation *old;
	bool new;

	if (!link && op->device) /* comes with its own MTU and MAC */
		return true;
	if (!link) { /* will be made with its MTU and MAC, and on no bridge */
		bool sizes = sizes_missing(NULL, op, NULL);

		op->mtu = 0;
		op->has_mac = false;
		op->master = op->master && *op->master ? op->master : NULL;
		return sizes || op->alias;
	}
	new = op->alias &&strcmp(link->alias, op->alias);
	old = copy(view, op);
	old->alias = op->alias ? alias_before(view, op, link) : NULL;
	old->up = false;
	old->no_ipv6_autoaddress = false;
	old->mtu = link->mtu;
	memcpy(old->mac, link->mac, sizeof(old->mac));
	if (!new)
		op->alias = NULL;
	if (op->up && !(link->flags & IFF_UP))
		old->down = true;
	else
		op->up = false;
	if (link->mtu == op->mtu || !op->mtu)
		op->mtu = old->mtu = 0;
	if (op->has_mac && !memcmp(link->mac, op->mac, sizeof(op->mac)))
		op->has_mac = old->has_mac = false;
	if (op->master) {
		const struct state_link *master = view_link(view, op->namespace, op->master);

		old->master = arena_strdup(view->arena, master_name(view, op->namespace, link));
		if (*op->master ? master && link->master == master->ifindex : !link->master)
			op->master = old->master = NULL;
	}
	if (op->forward && link->forwards)
		op->forward = false;
	old->no_forward = op->forward;
	old->forward = false;
	op->no_ipv6_autoaddress = new && op->no_ipv6_autoaddress;
	if (sizes_missing(link, op, old) || old->down || old->mtu || old->has_mac || old->master ||
	    old->no_forward || old->alias)
		op->replaces = old;
	return new || op->replaces;
}

/* ---- What hangs on links. */

static bool attached_missing(const struct view *view, const struct operation *op)
{
	return !op->link || !view_link(view, op->namespace, op->link) || !view_find(view, op);
}

static bool address_missing(const struct view *view, struct operation *op)
{
	const struct state_address *observed;

	if (attached_missing(view, op))
		return true;
	if (!view_is_shaken(view, SHAKEN_ADDRESSES, op->namespace, op->link, &op->address))
		return false;
	observed = view_find(view, op);
	op->unmarked = observed->protocol != STATE_PROTOCOL;
	op->replaces = copy(view, op);
	return true;
}

/* One of ours was deleted before what shakes its link (plan_extra.c), so that it is new now. */
static bool route_missing(const struct view *view, struct operation *op)
{
	const struct state_route *observed;

	if (attached_missing(view, op))
		return true;
	if (!view_is_shaken(view, SHAKEN_ROUTES, op->namespace, op->link, &op->address))
		return false;
	observed = view_find(view, op);
	op->unmarked = observed->protocol != STATE_PROTOCOL;
	if (op->unmarked)
		op->replaces = copy(view, op);
	return true;
}

static bool neighbour_missing(const struct view *view, struct operation *op)
{
	const struct state_neighbour *observed;
	struct operation *old;

	if (attached_missing(view, op))
		return true;
	observed = view_find(view, op);
	if (view_is_shaken(view, SHAKEN_NEIGHBOURS, op->namespace, op->link, &op->address) &&
	    observed->protocol == STATE_PROTOCOL)
		return true;
	if (!memcmp(observed->mac, op->mac, sizeof(op->mac)) &&
	    !view_is_shaken(view, SHAKEN_NEIGHBOURS, op->namespace, op->link, &op->address))
		return false;
	old = copy(view, op);
	memcpy(old->mac, observed->mac, sizeof(old->mac));
	old->unmarked = observed->protocol != STATE_PROTOCOL;
	op->replaces = old;
	return true;
}

/* Undoing what only made another fabric's object ours too. */
static const struct operation *forget(const struct view *view, enum record_kind kind,
				      const struct operation *op)
{
	struct operation *inverse = arena_alloc(view->arena, sizeof(*inverse));

	inverse->kind = OPERATION_FORGET;
	inverse->record = kind;
	inverse->link = kind == RECORD_SYSCTL ? op->key : op->link;
	return inverse;
}

static bool sysctl_missing(const struct view *view, struct operation *op)
{
	const struct state_sysctl *observed = view_find(view, op);

	if (!observed || !observed->value || strcmp(observed->value, op->value))
		return true;
	/* One that another fabric set is recorded for this one too: who goes last, gives it back.
	 */
	if (!op->old_value || view_recorded(view, RECORD_SYSCTL, op->key))
		return false;
	op->replaces = forget(view, RECORD_SYSCTL, op);
	return true;
}

/* ---- The datapath's tables. */

struct nsr_port plan_port_entry(const struct operation *op)
{
	struct nsr_port port = {.network = op->network, .flags = op->port_flags};

	memcpy(port.mac, op->mac, sizeof(port.mac));
	memcpy(port.gateway_mac, op->gateway_mac, sizeof(port.gateway_mac));
	memcpy(&port.address4, op->address.bytes, sizeof(port.address4));
	memcpy(port.address6, op->address6.bytes, sizeof(port.address6));
	return port;
}

struct nsr_endpoint plan_endpoint_entry(const struct operation *op)
{
	struct nsr_endpoint endpoint = {
		.mtu = op->mtu, .network = op->network, .flags = op->port_flags};

	memcpy(endpoint.mac, op->mac, sizeof(endpoint.mac));
	memcpy(endpoint.gateway_mac, op->gateway_mac, sizeof(endpoint.gateway_mac));
	return endpoint;
}

static struct ip_address address_of(uint8_t family, const void *bytes, size_t size)
{
	static const uint8_t none[16];
	struct ip_address ip = {.family = family, .prefix_len = (uint8_t)(8 * size)};

	if (!memcmp(bytes, none, size))
		return (struct ip_address){0};
	memcpy(ip.bytes, bytes, size);
	return ip;
}

static const char *host_link_name(const struct view *view, uint32_t ifindex)
{
	const struct state_link *link = view_link_by_index(view, NULL, ifindex);

	return link ? link->name : NULL;
}

static const struct operation *port_before(const struct view *view, const struct operation *op,
					   const struct state_port *observed)
{
	const struct state_datapath *datapath = &view->state->datapath;
	const struct nsr_port *port = &observed->port;
	const struct state_uplink *uplink =
		port->uplink ? view_uplink_by_slot(view, port->uplink - 1u) : NULL;
	struct ip_address *sources = NULL;
	struct operation *old = copy(view, op);

	old->network = port->network;
	old->port_flags = port->flags;
	old->network_link =
		port->gateway_ifindex ? host_link_name(view, port->gateway_ifindex) : NULL;
	old->uplink = uplink ? host_link_name(view, uplink->uplink.ifindex) : NULL;
	old->uplink_slot = port->uplink;
	old->address = address_of(AF_INET, &port->address4, sizeof(port->address4));
	old->address6 = address_of(AF_INET6, port->address6, sizeof(port->address6));
	memcpy(old->mac, port->mac, sizeof(old->mac));
	memcpy(old->gateway_mac, port->gateway_mac, sizeof(old->gateway_mac));
	old->sources_count = 0;
	for (size_t i = 0; i < datapath->sources_count; i++)
		if (datapath->sources[i].port == port->index)
			*arena_push(view->arena, sources, old->sources_count) =
				datapath->sources[i].prefix;
	old->sources = sources;
	return old;
}

struct nsr_inner_link plan_inner_entry(const struct operation *op)
{
	return (struct nsr_inner_link){.network = op->network, .flags = op->port_flags};
}

static bool inner_link_missing(const struct view *view, struct operation *op)
{
	struct nsr_inner_link wanted = plan_inner_entry(op);
	const struct state_inner_link *observed;
	struct operation *old;

	if (attached_missing(view, op))
		return true;
	observed = view_find(view, op);
	if (!memcmp(&wanted, &observed->inner, sizeof(wanted)))
		return false;
	old = copy(view, op);
	old->network = observed->inner.network;
	old->port_flags = observed->inner.flags;
	op->replaces = old;
	return true;
}

static bool is_pinned(const struct state_datapath *datapath, uint32_t program)
{
	for (size_t i = 0; i < datapath->programs_count; i++)
		if (datapath->programs[i] == program)
			return true;
	return false;
}

/* Whether the programs are attached, and work on the tables that are pinned: those of a datapath
 * that somebody removed go on with their own. While programs are exchanged all do. */
static bool is_hooked(const struct view *view, const struct state_link *link)
{
	const struct state_datapath *datapath = &view->state->datapath;

	if (!state_link_is_hooked(link))
		return false;
	return datapath->other_build ||
	       ((!link->hook_in || is_pinned(datapath, link->hook_in_program)) &&
		is_pinned(datapath, link->hook_out_program));
}

/* Asked when the links that are made anew are gone from the view. */
static void note_hooks(const struct view *view, struct operation *op, const struct state_link *link)
{
	const struct state_datapath *datapath = &view->state->datapath;

	op->hook_in = link && link->hook_in;
	op->hook_out = link && link->hook_out;
	op->hooks_lost = (op->hook_in && !is_pinned(datapath, link->hook_in_program)) ||
			 (op->hook_out && !is_pinned(datapath, link->hook_out_program));
}

static bool port_missing(const struct view *view, struct operation *op)
{
	const struct state_link *link = view_link(view, NULL, op->link);
	const struct state_link *bridge =
		op->network_link ? view_link(view, NULL, op->network_link) : NULL;
	const struct state_port *observed = link ? view_find(view, op) : NULL;
	struct nsr_port wanted = plan_port_entry(op);

	note_hooks(view, op, link);
	if (!observed)
		return true;
	wanted.index = observed->port.index;
	wanted.gateway_ifindex = bridge ? bridge->ifindex : 0;
	wanted.uplink = op->uplink_slot;
	if ((op->network_link && !bridge) || (op->uplink && !op->uplink_slot) ||
	    memcmp(&wanted, &observed->port, sizeof(wanted)) ||
	    !view_sources_equal(view, observed->port.index, op->sources, op->sources_count)) {
		op->replaces = port_before(view, op, observed);
		return true;
	}
	if (is_hooked(view, link))
		return false;
	op->replaces = copy(view, op);
	return true;
}

static bool host_missing(const struct view *view, struct operation *op)
{
	const struct state_link *link = view_link(view, NULL, op->link);
	const struct state_endpoint *observed = view_find(view, op);
	const struct state_port *port =
		view_find(view, &(struct operation){.kind = OPERATION_PORT_ADD, .link = op->link});
	struct nsr_endpoint wanted = plan_endpoint_entry(op);
	struct operation *old;

	if (!observed)
		return true;
	if (link && port) {
		wanted.ifindex = link->ifindex;
		wanted.port = port->port.index;
		if (!memcmp(&wanted, &observed->endpoint, sizeof(wanted)))
			return false;
	}
	old = copy(view, op);
	old->link = host_link_name(view, observed->endpoint.ifindex);
	old->mtu = observed->endpoint.mtu;
	old->network = observed->endpoint.network;
	old->port_flags = observed->endpoint.flags;
	memcpy(old->mac, observed->endpoint.mac, sizeof(old->mac));
	memcpy(old->gateway_mac, observed->endpoint.gateway_mac, sizeof(old->gateway_mac));
	if (old->link && view_link(view, NULL, old->link))
		op->replaces = old;
	return true;
}

/* Undone it has again what was entered, also of what the host has lost meanwhile: the programs find
 * by themselves whether it is there. */
static bool uplink_missing(const struct view *view, struct operation *op)
{
	const struct state_link *link = view_link(view, NULL, op->link);
	const struct state_uplink *observed = link ? view_find(view, op) : NULL;
	struct operation *old;

	note_hooks(view, op, link);
	if (!observed)
		return true;
	if (memcmp(&observed->uplink.address4, op->address.bytes,
		   sizeof(observed->uplink.address4)) ||
	    memcmp(observed->uplink.address6, op->address6.bytes,
		   sizeof(observed->uplink.address6)) ||
	    plan_externals_differ(&observed->uplink, op->more) ||
	    observed->uplink.fixed != op->fixed || observed->uplink.fixed6 != op->fixed6 ||
	    observed->uplink.port_min != op->port_min ||
	    observed->uplink.port_max != op->port_max) {
		old = copy(view, op);
		old->address = address_of(AF_INET, &observed->known.address4,
					  sizeof(observed->known.address4));
		old->address6 = address_of(AF_INET6, observed->known.address6,
					   sizeof(observed->known.address6));
		old->more = plan_more_externals(&observed->uplink, view->arena);
		old->fixed = observed->uplink.fixed;
		old->fixed6 = observed->uplink.fixed6;
		old->port_min = observed->uplink.port_min;
		old->port_max = observed->uplink.port_max;
		op->replaces = old;
		return true;
	}
	if (!view_recorded(view, RECORD_UPLINK, op->link)) {
		op->replaces = forget(view, RECORD_UPLINK, op);
		return true;
	}
	if (is_hooked(view, link) && (!op->clsact || view_recorded(view, RECORD_CLSACT, op->link)))
		return false;
	op->replaces = copy(view, op);
	return true;
}

/* One whose last change has not come to its end is not the same yet. */
static bool same_settings(const struct nsr_inside *observed, const struct nsr_inside *wanted)
{
	return !observed->unfinished && observed->filtering == wanted->filtering &&
	       observed->mapping_mode == wanted->mapping_mode &&
	       !observed->inbound == !wanted->inbound && observed->flows_max == wanted->flows_max &&
	       !memcmp(observed->timeout_s, wanted->timeout_s, sizeof(observed->timeout_s));
}

static bool same_exceptions(const struct state_inside *observed, const struct operation *wanted)
{
	if (observed->except_count != wanted->except_count ||
	    observed->inside.except != wanted->except_count)
		return false;
	for (size_t i = 0; i < wanted->except_count; i++)
		if (!ip_equal(&observed->except[i], &wanted->except[i]) ||
		    observed->except[i].prefix_len != wanted->except[i].prefix_len)
			return false;
	return true;
}

/* Of one whose uplink is lost no name is known; undone it stays, for its hosts are there still. */
static bool inside_missing(const struct view *view, struct operation *op)
{
	const struct state_inside *observed = view_find(view, op);
	const struct state_uplink *uplink =
		observed ? view_uplink_by_slot(view, observed->inside.uplink) : NULL;
	const char *name = uplink ? host_link_name(view, uplink->uplink.ifindex) : NULL;
	char prefix[IP_TEXT_MAX];
	const bool recorded =
		view_recorded(view, RECORD_INSIDE, ip_format_prefix(&op->address, prefix));
	struct operation *old;

	if (name ? strcmp(name, op->uplink) || !same_settings(&observed->inside, op->inside) ||
			    !same_exceptions(observed, op)
		 : observed && recorded) {
		old = copy(view, op);
		old->uplink = name ? name : op->uplink;
		old->inside = &observed->inside;
		old->except = observed->except;
		old->except_count = observed->except_count;
		op->replaces = old;
	}
	return op->replaces || !recorded || !name;
}

/* A record of an earlier version has no type: then it was a bridge. */
static enum network_type recorded_type(const struct record_entry *entry)
{
	for (enum network_type type = NETWORK_BRIDGE; type < NETWORK_TYPES; type++)
		if (!strcmp(entry->set, network_type_name(type)))
			return type;
	return NETWORK_BRIDGE;
}

static bool network_missing(const struct view *view, struct operation *op)
{
	const struct record_entry *entry = view_recorded(view, RECORD_NETWORK, op->link);
	struct operation *old;

	if (!entry)
		return true;
	if (recorded_type(entry) == op->network_type)
		return false;
	old = copy(view, op);
	old->network_type = recorded_type(entry);
	op->replaces = old;
	return true;
}

bool plan_missing(const struct view *view, struct operation *op)
{
	const struct state_namespace *ns;

	switch (op->kind) {
	case OPERATION_NETNS_ADD:
		ns = view_namespace(view, op->namespace);
		return !ns || !ns->exists;
	case OPERATION_NETWORK_ADD:
		return network_missing(view, op);
	case OPERATION_DEVICE_TAKE:
		return device_missing(view, op);
	case OPERATION_BRIDGE_ADD:
		return !view_link(view, op->namespace, op->link);
	case OPERATION_VETH_ADD:
		return veth_missing(view, op);
	case OPERATION_LINK_SET:
		return link_set_missing(view, op);
	case OPERATION_ADDRESS_ADD:
		return address_missing(view, op);
	case OPERATION_ROUTE_ADD:
		return route_missing(view, op);
	case OPERATION_FDB_ADD:
		return attached_missing(view, op);
	case OPERATION_INNER_LINK_ADD:
		return inner_link_missing(view, op);
	case OPERATION_NEIGHBOUR_ADD:
		return neighbour_missing(view, op);
	case OPERATION_SYSCTL_SET:
		return op->namespace ? netns_sysctl_missing(view, op) : sysctl_missing(view, op);
	case OPERATION_OFFLOAD_SET:
		return netns_sysctl_missing(view, op);
	case OPERATION_OVS_PORT_ADD:
		return ovs_port_missing(view, op);
	case OPERATION_DIRECTORY_ADD:
		return directory_missing(view, op);
	case OPERATION_FILE_WRITE:
		return file_missing(view, op);
	case OPERATION_DATAPATH_LOAD:
		return !view->state->datapath.loaded;
	case OPERATION_PORT_ADD:
		return port_missing(view, op);
	case OPERATION_HOST_ADD:
		return host_missing(view, op);
	case OPERATION_UPLINK_ADD:
		return uplink_missing(view, op);
	case OPERATION_INSIDE_ADD:
		return inside_missing(view, op);
	case OPERATION_PUBLISH_ADD:
		return publish_missing(view, op);
	case OPERATION_PORTS_RESERVE:
		return reserve_missing(view, op);
	case OPERATION_PORTS_SET_ASIDE:
		return set_aside_missing(view, op);
	default:
		return true; /* nothing else is desired */
	}
}
