/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: addresses, routes and neighbours hang on a link by its number, and go with it. What
 * the kernel refuses fails the test, but where apply tolerates it.
 */
#include "simulator_private.h"

#include <linux/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

static bool same_subnet(const struct ip_address *a, const struct ip_address *b)
{
	return a->prefix_len == b->prefix_len && ip_within(a, b);
}

static void add_address(struct simulator *sim, struct state_namespace *ns, uint32_t ifindex,
			const struct operation *op)
{
	uint32_t no_route = op->no_prefix_route ? IFA_F_NOPREFIXROUTE : 0;
	struct state_address address = {.ifindex = ifindex,
					.address = op->address,
					.flags = IFA_F_PERMANENT | no_route,
					.protocol = op->unmarked ? 0 : STATE_PROTOCOL};

	for (size_t i = 0; i < ns->addresses_count; i++) {
		const struct state_address *other = &ns->addresses[i];

		if (other->ifindex == ifindex && op->address.family == AF_INET6 &&
		    ip_equal(&other->address, &op->address)) /* whatever its prefix */
			assert_int_equal(other->address.prefix_len, op->address.prefix_len);
		if (other->ifindex != ifindex || !same_subnet(&other->address, &op->address))
			continue;
		if (ip_equal(&other->address, &op->address)) {
			assert_non_null(op->replaces); /* only then apply tolerates it */
			return;
		}
		if (op->address.family == AF_INET && !(other->flags & IFA_F_SECONDARY))
			address.flags |= IFA_F_SECONDARY;
	}
	*arena_push(&sim->arena, ns->addresses, ns->addresses_count) = address;
}

/* As the kernel does: with a subnet's first IPv4 address go its others, and with a link's last one
 * its routes and neighbours. */
static void delete_address(struct state_namespace *ns, uint32_t ifindex,
			   const struct ip_address *address)
{
	uint32_t flags = IFA_F_SECONDARY;

	for (size_t i = 0; i < ns->addresses_count; i++)
		if (ns->addresses[i].ifindex == ifindex &&
		    ip_equal(&ns->addresses[i].address, address))
			flags = ns->addresses[i].flags;
	DELETE_IF(ns->addresses, ns->addresses_count,
		  it->ifindex == ifindex &&
			  (ip_equal(&it->address, address) ||
			   (!(flags & IFA_F_SECONDARY) && it->flags & IFA_F_SECONDARY &&
			    same_subnet(&it->address, address))));
	for (size_t i = 0; i < ns->addresses_count; i++)
		if (ns->addresses[i].ifindex == ifindex &&
		    ns->addresses[i].address.family == AF_INET)
			return;
	if (address->family != AF_INET)
		return;
	DELETE_IF(ns->routes, ns->routes_count, it->ifindex == ifindex && it->to.family == AF_INET);
	DELETE_IF(ns->neighbours, ns->neighbours_count,
		  it->ifindex == ifindex && it->ip.family == AF_INET);
}

static bool same_route(const struct state_route *route, uint32_t ifindex,
		       const struct operation *op)
{
	return route->ifindex == ifindex && route->to.family == op->address.family &&
	       ip_equal(&route->to, &op->address) && route->to.prefix_len == op->address.prefix_len;
}

static void add_route(struct simulator *sim, struct state_namespace *ns, uint32_t ifindex,
		      const struct operation *op)
{
	for (size_t i = 0; i < ns->routes_count; i++)
		if (same_route(&ns->routes[i], ifindex, op)) {
			assert_non_null(op->replaces);
			return;
		}
	*arena_push(&sim->arena, ns->routes, ns->routes_count) =
		(struct state_route){.to = op->address,
				     .via = op->via,
				     .ifindex = ifindex,
				     .protocol = op->unmarked ? RTPROT_STATIC : STATE_PROTOCOL,
				     .type = RTN_UNICAST};
}

void run_attached(struct simulator *sim, const struct operation *op)
{
	struct state_namespace *ns = simulator_space(sim, op->namespace);
	struct state_link *link = need(sim, op->namespace, op->link);
	bool fdb = op->kind == OPERATION_FDB_ADD || op->kind == OPERATION_FDB_DELETE;
	struct state_neighbour entry = {.ifindex = link->ifindex,
					.ip = op->address,
					.state = fdb ? NUD_NOARP : NUD_PERMANENT,
					.protocol = fdb || op->unmarked ? 0 : STATE_PROTOCOL};

	memcpy(entry.mac, op->mac, 6);
	switch (op->kind) {
	case OPERATION_ADDRESS_ADD:
		add_address(sim, ns, link->ifindex, op);
		break;
	case OPERATION_ADDRESS_DELETE:
		delete_address(ns, link->ifindex, &op->address);
		break;
	case OPERATION_ROUTE_ADD:
		assert_true(link->flags & IFF_UP);
		add_route(sim, ns, link->ifindex, op);
		break;
	case OPERATION_ROUTE_DELETE:
		DELETE_IF(ns->routes, ns->routes_count,
			  same_route(it, link->ifindex, op) && it->protocol == STATE_PROTOCOL);
		break;
	case OPERATION_NEIGHBOUR_ADD:
	case OPERATION_NEIGHBOUR_DELETE:
	case OPERATION_FDB_ADD:
	case OPERATION_FDB_DELETE:
		DELETE_IF(ns->neighbours, ns->neighbours_count,
			  it->ifindex == link->ifindex && !it->ip.family == fdb &&
				  (fdb ? !memcmp(it->mac, op->mac, 6)
				       : ip_equal(&it->ip, &op->address)));
		if (op->kind == OPERATION_NEIGHBOUR_ADD || op->kind == OPERATION_FDB_ADD) {
			assert_true(fdb ? link->master != 0 : (link->flags & IFF_UP) != 0);
			*arena_push(&sim->arena, ns->neighbours, ns->neighbours_count) = entry;
		}
		break;
	default:
		fail_msg("%s is not for a link", plan_kind_name(op->kind));
	}
}
