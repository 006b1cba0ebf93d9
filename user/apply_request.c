/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: each kind of operation becomes one to three requests. Deleting what is gone already
 * is no failure: the kernel may have moved since the plan was made, and takes more with a link than
 * we list. Neither is an address or route that is given again because the kernel might have taken
 * it.
 */
#include "apply_request.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "address.h"
#include "apply_table.h"
#include "link.h"
#include "neighbour.h"
#include "qdisc.h"
#include "route.h"

#include <linux/if_addr.h>

#define HARMLESS_CODES 3

/* Codes that an operation's requests may end with. */
static void harmless_codes(const struct operation *op, int codes[HARMLESS_CODES])
{
	memset(codes, 0, HARMLESS_CODES * sizeof(*codes));
	switch (op->kind) {
	case OPERATION_LINK_DELETE:
		codes[0] = -ENODEV;
		break;
	case OPERATION_ADDRESS_ADD:
	case OPERATION_ROUTE_ADD:
		codes[0] = op->replaces ? -EEXIST : 0;
		break;
	case OPERATION_ADDRESS_DELETE:
		codes[0] = -EADDRNOTAVAIL;
		codes[1] = -ENODEV;
		break;
	case OPERATION_ROUTE_DELETE:
		codes[0] = -ESRCH;
		codes[1] = -ENODEV;
		break;
	case OPERATION_NEIGHBOUR_DELETE:
	case OPERATION_FDB_DELETE:
		codes[0] = -ENOENT;
		codes[1] = -ENODEV;
		break;
	case OPERATION_NEIGHBOUR_ADD:
		codes[0] = op->unmarked ? -ENOENT : 0;
		break;
	case OPERATION_PORT_ADD:
	case OPERATION_UPLINK_ADD:
		codes[0] = -EEXIST; /* the clsact */
		break;
	case OPERATION_PORT_DELETE:
	case OPERATION_UPLINK_DELETE:
		codes[0] = -ENOENT;
		codes[1] = -EINVAL; /* no clsact */
		codes[2] = -ENODEV;
		break;
	default:
		break;
	}
}

bool is_harmless(const struct operation *op, size_t request, int code)
{
	bool attaches = op->kind == OPERATION_PORT_ADD || op->kind == OPERATION_UPLINK_ADD;
	int codes[HARMLESS_CODES];

	if (attaches && request) /* the filters, behind the clsact */
		return !code;
	harmless_codes(op, codes);
	return !code || code == codes[0] || code == codes[1] || code == codes[2];
}

static void tolerate(struct netlink *nl, const struct operation *op)
{
	int codes[HARMLESS_CODES];

	harmless_codes(op, codes);
	for (size_t i = 0; i < HARMLESS_CODES; i++)
		if (codes[i])
			netlink_tolerate(nl, codes[i]);
}

static uint32_t ifindex_of(const struct runner *r, const struct operation *op, const char *link)
{
	return place_ifindex(&r->places, op->namespace, link);
}

static int queue_veth(struct runner *r, struct netlink *nl, const struct operation *op,
		      struct error *err)
{
	struct place *peer;
	int ret = place_get(&r->places, op->peer_namespace, &peer, err);

	if (ret)
		return ret;
	link_add_veth(nl, &(struct link_veth){.name = op->link,
					      .mac = op->mac,
					      .peer = op->peer,
					      .peer_mac = op->peer_mac,
					      .peer_netns_fd = peer->fd,
					      .mtu = op->mtu});
	return 0;
}

static int queue_link_move(struct runner *r, struct netlink *nl, const struct operation *op,
			   struct error *err)
{
	struct place *target;
	int ret = place_get(&r->places, op->peer_namespace, &target, err);

	if (ret)
		return ret;
	link_move(nl, op->link, target->fd);
	place_forget_link(&r->places, op->namespace, op->link);
	return 0;
}

static void queue_link_delete(struct runner *r, struct netlink *nl, const struct operation *op)
{
	if (op->ifindex)
		link_doom(nl, op->ifindex, op->link, r->doomed_group, op->down);
	else
		link_delete(nl, op->link);
	tolerate(nl, op);
	place_forget_link(&r->places, op->namespace, op->link);
}

static void queue_link_set(struct runner *r, struct netlink *nl, const struct operation *op)
{
	bool joins = op->master && *op->master;
	struct link_change change = {
		.up = op->up,
		.down = op->down,
		.mtu = op->mtu,
		.mac = op->has_mac ? op->mac : NULL,
		.change_master = op->master,
		.master = joins ? ifindex_of(r, op, op->master) : 0,
		.alias = op->alias,
	};

	memcpy(change.sizes, op->sizes, sizeof(change.sizes));
	/* In a request of its own: the kernel looks at these after "up". With the alias there, the
	 * interface is not up yet when its change is told to all who walk their routes then. */
	if (op->no_ipv6_autoaddress || op->forward || op->no_forward) {
		link_set(nl, op->link,
			 &(struct link_change){.no_ipv6_autoaddress = op->no_ipv6_autoaddress,
					       .forward = op->forward,
					       .no_forward = op->no_forward,
					       .alias = op->alias});
		change.alias = NULL;
	}
	link_set(nl, op->link, &change);
}

static void queue_attached(struct netlink *nl, const struct operation *op, uint32_t ifindex)
{
	uint8_t protocol = op->unmarked ? op->protocol : STATE_PROTOCOL;
	struct state_address address = {
		.ifindex = ifindex, .address = op->address, .protocol = protocol};
	struct state_route route = {
		.ifindex = ifindex, .to = op->address, .via = op->via, .protocol = protocol};
	struct state_neighbour neighbour = {
		.ifindex = ifindex, .ip = op->address, .protocol = protocol};

	if (op->address.family == AF_INET6)
		address.flags = IFA_F_NODAD; /* the file says that it is free */
	if (op->no_prefix_route)
		address.flags |= IFA_F_NOPREFIXROUTE;
	memcpy(neighbour.mac, op->mac, sizeof(neighbour.mac));
	switch (op->kind) {
	case OPERATION_ADDRESS_ADD:
		address_add(nl, &address, op->link);
		break;
	case OPERATION_ADDRESS_DELETE:
		address_delete(nl, &address, op->link);
		break;
	case OPERATION_ROUTE_ADD:
		route_add(nl, &route, op->link);
		break;
	case OPERATION_ROUTE_DELETE:
		route_delete(nl, &route, op->link);
		break;
	case OPERATION_NEIGHBOUR_ADD:
	case OPERATION_FDB_ADD:
		if (op->unmarked) { /* the kernel would keep the mark of what is replaced */
			neighbour_delete(nl, &neighbour, op->link);
			tolerate(nl, op);
		}
		neighbour_add(nl, &neighbour, op->link);
		break;
	default: /* NEIGHBOUR_DELETE, FDB_DELETE */
		neighbour_delete(nl, &neighbour, op->link);
		break;
	}
	tolerate(nl, op);
}

struct hook_programs hook_programs(bool port, bool bare, bool loopback)
{
	if (port)
		return (struct hook_programs){DATAPATH_PORT_IN, DATAPATH_PORT_OUT};
	if (loopback)
		return (struct hook_programs){DATAPATH_PROGRAMS, DATAPATH_LOCAL_OUT};
	if (bare)
		return (struct hook_programs){DATAPATH_BARE_IN, DATAPATH_BARE_OUT};
	return (struct hook_programs){DATAPATH_UPLINK_IN, DATAPATH_UPLINK_OUT};
}

static int queue_hooks(struct runner *r, struct netlink *nl, const struct operation *op,
		       uint32_t ifindex, struct error *err)
{
	struct hook_programs of =
		hook_programs(op->kind == OPERATION_PORT_ADD, op->bare, op->loopback);
	int ret = open_datapath(r, NULL, err);

	if (ret)
		return ret;
	qdisc_add_clsact(nl, ifindex, op->link);
	tolerate(nl, op);
	/* What is ours and there guards until the tables that it is exchanged for are filled. What
	 * is there and is not ours came after the plan was made, and is an error. */
	if (!op->hook_in && of.in != DATAPATH_PROGRAMS)
		qdisc_add_filter(nl, ifindex, op->link, QDISC_INGRESS,
				 datapath_program_fd(r->datapath, of.in),
				 datapath_program_name(of.in));
	if (!op->hook_out)
		qdisc_add_filter(nl, ifindex, op->link, QDISC_EGRESS,
				 datapath_program_fd(r->datapath, of.out),
				 datapath_program_name(of.out));
	return 0;
}

static void queue_unhook(struct netlink *nl, const struct operation *op, uint32_t ifindex)
{
	if (!op->hook_in && !op->loopback) {
		qdisc_delete_filter(nl, ifindex, op->link, QDISC_INGRESS);
		tolerate(nl, op);
	}
	if (!op->hook_out) {
		qdisc_delete_filter(nl, ifindex, op->link, QDISC_EGRESS);
		tolerate(nl, op);
	}
	if (!op->clsact)
		return;
	qdisc_delete_clsact(nl, ifindex, op->link);
	tolerate(nl, op);
}

bool queue_rest(struct runner *r, struct netlink *nl, const struct operation *ops, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (ops[i].kind != OPERATION_LINK_DELETE || !ops[i].ifindex)
			continue;
		link_delete_doomed(nl, r->doomed_group);
		tolerate(nl, &ops[i]);
		return true;
	}
	return false;
}

void queue_spared(struct netlink *nl, const struct operation *ops, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (ops[i].kind == OPERATION_LINK_DELETE && ops[i].ifindex)
			link_spare(nl, ops[i].ifindex, ops[i].link, ops[i].down);
}

int queue_operation(struct runner *r, struct netlink *nl, const struct operation *op,
		    struct error *err)
{
	uint32_t ifindex = op->ifindex ? 0 : ifindex_of(r, op, op->link);

	switch (op->kind) {
	case OPERATION_BRIDGE_ADD:
		link_add_bridge(nl, op->link, op->mac, op->mtu);
		return 0;
	case OPERATION_VETH_ADD:
		return queue_veth(r, nl, op, err);
	case OPERATION_LINK_DELETE:
		queue_link_delete(r, nl, op);
		return 0;
	case OPERATION_LINK_MOVE:
		return queue_link_move(r, nl, op, err);
	case OPERATION_LINK_SET:
		queue_link_set(r, nl, op);
		return 0;
	case OPERATION_PORT_ADD:
	case OPERATION_UPLINK_ADD:
		return queue_hooks(r, nl, op, ifindex, err);
	case OPERATION_PORT_DELETE:
	case OPERATION_UPLINK_DELETE:
		if (ifindex)
			queue_unhook(nl, op, ifindex);
		return 0;
	default:
		if (ifindex)
			queue_attached(nl, op, ifindex);
		return 0;
	}
}
