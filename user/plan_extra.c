/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: what is ours is what the record says, so the record is walked, and the tables of
 * the datapath for what belongs to our networks or to no link at all. On links that stay, only what
 * bears our mark (STATE_PROTOCOL) is removed; what somebody else put there is his. A bridge's
 * forwarding entries bear none: ours are those whose MAC the datapath has in the same network.
 *
 * The kernel takes more than it is asked to. With the last IPv4 address of a link go its IPv4
 * routes and neighbours (net/ipv4/fib_frontend.c: fib_disable_ip()), with the first address of a
 * subnet the others of that subnet, unless promote_secondaries is on (net/ipv4/devinet.c:
 * __inet_del_ifa()), and with a MAC all neighbours (net/core/neighbour.c: neigh_changeaddr()). What
 * of this is wanted the same plan gives again. Ours are deleted before: undoing brings them back.
 *
 * Links go before the tables that judge their packets, those before the masquerade: nothing is
 * forwarded without its policy, or leaves untranslated, while a fabric goes.
 */
#include "plan_extra.h"

#include <string.h>
#include <sys/socket.h>

#include <linux/if_addr.h>
#include <linux/neighbour.h>

#include "log.h"
#include "plan_device.h"
#include "plan_files.h"
#include "plan_ovs.h"
#include "plan_peers.h"
#include "plan_publish.h"
#include "plan_reserve.h"
#include "plan_sysctls.h"
#include "plan_externals.h"
#include "plan_uplink.h"

static struct operation *add(struct extra *extra, enum operation_kind kind)
{
	struct plan *plan = extra->plan;
	struct operation *op = arena_push(extra->view->arena, plan->operations, plan->count);

	op->kind = kind;
	return op;
}

static bool is_wanted(const struct extra *extra, const struct operation *twin)
{
	char key[OPERATION_KEY_MAX];

	return lookup_find(extra->wanted, operation_key(twin, key));
}

static bool link_is_wanted(const struct extra *extra, const char *namespace, const char *link)
{
	return is_wanted(extra, &(struct operation){.kind = OPERATION_VETH_ADD,
						    .namespace = namespace,
						    .link = link});
}

/* ---- On links that stay. */

/* A link of ours that stays as it is; NULL when the ifindex is of another. */
static const struct state_link *kept_link(const struct extra *extra,
					  const struct state_namespace *ns, uint32_t ifindex)
{
	const struct state_link *link = view_link_by_index(extra->view, ns->name, ifindex);

	if (!link || !strcmp(link->name, "lo") || !view_link(extra->view, ns->name, link->name) ||
	    !link_is_wanted(extra, ns->name, link->name))
		return NULL;
	return link;
}

static void drop_if_unwanted(struct extra *extra, const struct operation *twin)
{
	if (!is_wanted(extra, twin))
		*add(extra, twin->kind) = *twin;
}

static struct operation address_twin(const struct state_namespace *ns,
				     const struct state_link *link,
				     const struct state_address *address)
{
	return (struct operation){.kind = OPERATION_ADDRESS_DELETE,
				  .namespace = ns->name,
				  .link = link->name,
				  .address = address->address,
				  .no_prefix_route = address->flags & IFA_F_NOPREFIXROUTE};
}

/* The kernel has an address of a link once: one that was given by hand is in the way of the same
 * with the other kind of route to its network, and of IPv6 with another prefix. */
static bool is_in_the_way(const struct extra *extra, struct operation twin)
{
	twin.no_prefix_route = !twin.no_prefix_route;
	if (twin.address.family == AF_INET6)
		twin.address.prefix_len = 0; /* as enter_address6() has it */
	return is_wanted(extra, &twin);
}

/* Whether it goes; *ret is what deletes it. */
static bool address_goes(const struct extra *extra, const struct state_namespace *ns,
			 const struct state_address *address, struct operation *ret)
{
	const struct state_link *link = kept_link(extra, ns, address->ifindex);

	if (!link)
		return false;
	*ret = address_twin(ns, link, address);
	ret->device = ns->name && view_recorded(extra->view, RECORD_DEVICE, link->name);
	ret->unmarked = address->protocol != STATE_PROTOCOL;
	return !is_wanted(extra, ret) && (!ret->unmarked || is_in_the_way(extra, *ret));
}

static void extra_addresses(struct extra *extra, const struct state_namespace *ns)
{
	struct operation twin;

	for (size_t i = 0; i < ns->addresses_count; i++)
		if (address_goes(extra, ns, &ns->addresses[i], &twin))
			*add(extra, twin.kind) = twin;
}

/* Whether the kernel certainly keeps an IPv4 address of the link. */
static bool keeps_address(const struct extra *extra, const struct state_namespace *ns,
			  uint32_t ifindex, const char *link)
{
	struct operation twin;

	for (size_t i = 0; i < ns->addresses_count; i++) {
		const struct state_address *address = &ns->addresses[i];

		if (address->ifindex == ifindex && address->address.family == AF_INET &&
		    !address_goes(extra, ns, address, &twin) &&
		    !(address->flags & IFA_F_SECONDARY &&
		      view_is_shaken(extra->view, SHAKEN_ADDRESSES, ns->name, link,
				     &address->address)))
			return true;
	}
	return false;
}

static void shake_links(struct extra *extra, const struct state_namespace *ns)
{
	struct operation twin;

	for (size_t i = 0; i < ns->addresses_count; i++)
		if (ns->addresses[i].address.family == AF_INET &&
		    !(ns->addresses[i].flags & IFA_F_SECONDARY) &&
		    address_goes(extra, ns, &ns->addresses[i], &twin))
			view_shake(extra->view, SHAKEN_ADDRESSES, ns->name, twin.link,
				   &twin.address);
	for (size_t i = 0; i < ns->addresses_count; i++) {
		if (ns->addresses[i].address.family != AF_INET ||
		    !address_goes(extra, ns, &ns->addresses[i], &twin) ||
		    keeps_address(extra, ns, ns->addresses[i].ifindex, twin.link))
			continue;
		view_shake(extra->view, SHAKEN_ROUTES, ns->name, twin.link, &twin.address);
		view_shake(extra->view, SHAKEN_NEIGHBOURS, ns->name, twin.link, &twin.address);
	}
}

/* Those by a next hop go before those that lead to it, and come back after them. */
static void extra_routes(struct extra *extra, const struct state_namespace *ns, bool by_next_hop)
{
	for (size_t i = 0; i < ns->routes_count; i++) {
		const struct state_route *route = &ns->routes[i];
		const struct state_link *link = kept_link(extra, ns, route->ifindex);
		struct operation twin = {.kind = OPERATION_ROUTE_DELETE,
					 .namespace = ns->name,
					 .address = route->to,
					 .via = plan_host_address(route->via)};

		if (!link || route->protocol != STATE_PROTOCOL ||
		    (route->via.family != 0) != by_next_hop)
			continue;
		twin.link = link->name;
		if (!is_wanted(extra, &twin) ||
		    view_is_shaken(extra->view, SHAKEN_ROUTES, ns->name, link->name, &route->to))
			*add(extra, twin.kind) = twin;
	}
}

static void extra_neighbours(struct extra *extra, const struct state_namespace *ns)
{
	for (size_t i = 0; i < ns->neighbours_count; i++) {
		const struct state_neighbour *neighbour = &ns->neighbours[i];
		const struct state_link *link = kept_link(extra, ns, neighbour->ifindex);
		struct operation twin = {.kind = OPERATION_NEIGHBOUR_DELETE,
					 .namespace = ns->name,
					 .address = plan_host_address(neighbour->ip)};

		if (!link || !neighbour->ip.family || neighbour->protocol != STATE_PROTOCOL)
			continue;
		twin.link = link->name;
		memcpy(twin.mac, neighbour->mac, sizeof(twin.mac));
		if (!is_wanted(extra, &twin) ||
		    view_is_shaken(extra->view, SHAKEN_NEIGHBOURS, ns->name, link->name,
				   &neighbour->ip))
			*add(extra, twin.kind) = twin;
	}
}

static void extra_fdb(struct extra *extra)
{
	const struct state_namespace *host = &extra->view->state->host;

	for (size_t i = 0; i < host->neighbours_count; i++) {
		const struct state_neighbour *entry = &host->neighbours[i];
		const struct state_link *link = kept_link(extra, host, entry->ifindex);
		struct operation twin = {.kind = OPERATION_FDB_DELETE};

		if (!link || entry->ip.family || !(entry->state & NUD_NOARP))
			continue;
		twin.link = link->name;
		memcpy(twin.mac, entry->mac, sizeof(twin.mac));
		if (view_port_knows(extra->view, link, entry->mac))
			drop_if_unwanted(extra, &twin);
	}
}

static void extra_of_namespace(struct extra *extra, const struct state_namespace *ns)
{
	shake_links(extra, ns);
	extra_routes(extra, ns, true);
	extra_routes(extra, ns, false);
	extra_neighbours(extra, ns);
	extra_addresses(extra, ns);
}

void plan_extra_attached(struct extra *extra)
{
	const struct kernel_state *state = extra->view->state;

	plan_extra_publishes(extra);
	plan_extra_ovs_ports(extra);
	plan_extra_sysctls(extra);
	/* The host's come last: by its addresses the neighbours in the namespaces were found. */
	for (size_t i = 0; i < state->namespaces_count; i++)
		extra_of_namespace(extra, &state->namespaces[i]);
	extra_of_namespace(extra, &state->host);
	extra_fdb(extra);
}

/* ---- Recorded objects. */

static void forget(struct extra *extra, enum record_kind kind, const char *name)
{
	struct operation *op;

	if (extra->removal)
		return;
	op = add(extra, OPERATION_FORGET);
	op->record = kind;
	op->link = name;
}

static const struct state_link *raw_link(const struct extra *extra, const char *name)
{
	return view_find(extra->view,
			 &(struct operation){.kind = OPERATION_VETH_ADD, .link = name});
}

static void extra_link(struct extra *extra, const char *name)
{
	const struct state_link *link = raw_link(extra, name);
	struct operation *op;

	if (link_is_wanted(extra, NULL, name))
		return;
	if (link && view_link_is_ours(extra->view, link)) {
		op = add(extra, OPERATION_LINK_DELETE);
		op->link = name;
		op->ifindex = link->ifindex;
		op->down = !strcmp(link->kind, "bridge");
		return;
	}
	if (link)
		log_warning("interface '%s' is not the one that fabric '%s' made: left alone", name,
			    extra->view->fabric);
	forget(extra, RECORD_LINK, name);
}

static void extra_netns(struct extra *extra, const char *name)
{
	const struct state_namespace *ns = view_namespace(extra->view, name);

	if (is_wanted(extra, &(struct operation){.kind = OPERATION_NETNS_ADD, .namespace = name}))
		return;
	if (ns && (ns->exists || ns->stale) && view_namespace_is_ours(extra->view, ns)) {
		add(extra, OPERATION_NETNS_DELETE)->namespace = name;
		return;
	}
	if (ns && (ns->exists || ns->stale))
		log_warning("namespace '%s' is not the one that fabric '%s' made: left alone", name,
			    extra->view->fabric);
	forget(extra, RECORD_NETNS, name);
}

static void extra_network(struct extra *extra, const char *name)
{
	if (!is_wanted(extra, &(struct operation){.kind = OPERATION_NETWORK_ADD, .link = name}))
		forget(extra, RECORD_NETWORK, name);
}

static void extra_inside(struct extra *extra, const struct record_entry *entry)
{
	struct operation twin = {.kind = OPERATION_INSIDE_DELETE, .uplink = entry->value};
	const struct state_inside *observed;

	if (!ip_parse(entry->name, &twin.address, NULL) || is_wanted(extra, &twin))
		return;
	observed = view_find(extra->view, &twin);
	twin.inside = observed ? &observed->inside : NULL;
	twin.except = observed ? observed->except : NULL;
	twin.except_count = observed ? observed->except_count : 0;
	if (!extra->unload && observed)
		*add(extra, twin.kind) = twin;
	else
		forget(extra, RECORD_INSIDE, entry->name);
}

static void extra_uplink(struct extra *extra, const char *name)
{
	const struct state_link *link = raw_link(extra, name);
	const struct state_uplink *observed;
	struct operation twin = {.kind = OPERATION_UPLINK_DELETE, .link = name};
	struct operation *op;

	if (is_wanted(extra, &twin))
		return;
	if (!link || view_recorded_elsewhere(extra->view, RECORD_UPLINK, name)) {
		if (view_recorded(extra->view, RECORD_CLSACT, name))
			forget(extra, RECORD_CLSACT, name);
		forget(extra, RECORD_UPLINK, name);
		return;
	}
	observed = view_find(extra->view, &twin);
	op = add(extra, OPERATION_UPLINK_DELETE);
	op->link = name;
	if (view_link_is_ours(extra->view, link) && !link_is_wanted(extra, NULL, name))
		op->ifindex = link->ifindex; /* another network's bridge, which goes */
	op->bare = plan_link_is_bare(link);
	op->loopback = link->ifindex == STATE_LOOPBACK;
	op->clsact = view_recorded(extra->view, RECORD_CLSACT, name) && link->clsact &&
		     !link->foreign_hooks;
	if (!observed)
		return;
	plan_uplink_as_it_is(op, &observed->known);
	op->more = plan_more_externals(&observed->uplink, extra->view->arena);
}

static void extra_link_inside(struct extra *extra, const char *place)
{
	size_t length = strcspn(place, "/");
	const char *namespace = arena_printf(extra->view->arena, "%.*s", (int)length, place);
	const char *name = place[length] ? place + length + 1 : "";
	const struct state_link *link = view_link(extra->view, namespace, name);
	struct operation *op;

	if (!link || !view_inner_link_is_ours(extra->view, namespace, link)) {
		forget(extra, RECORD_LINK_INSIDE, place);
		return;
	}
	op = add(extra, OPERATION_LINK_DELETE);
	op->namespace = namespace;
	op->link = name;
	op->ifindex = link->ifindex;
	op->record_inside = true;
}

static void extra_stripped(struct extra *extra, const char *name)
{
	forget(extra, RECORD_STRIPPED, name); /* those that stay have been made anew */
}

static void extra_mac(struct extra *extra, const char *place)
{
	size_t length = strcspn(place, "/");
	const char *namespace =
		length ? arena_printf(extra->view->arena, "%.*s", (int)length, place) : NULL;

	if (!link_is_wanted(extra, namespace, place[length] ? place + length + 1 : ""))
		forget(extra, RECORD_MAC, place);
}

/* ---- Links inside namespaces that stay: those of "links", of which no end is recorded. */

/* With the host's end. What has no end there is listed with both, and may go with the first. */
static bool peer_goes(const struct extra *extra, const struct state_namespace *ns,
		      const struct state_link *link)
{
	const struct state_link *peer = view_link_by_index(extra->view, NULL, link->peer_ifindex);

	return peer && plan_are_peers(ns, link, &extra->view->state->host, peer) &&
	       view_recorded(extra->view, RECORD_LINK, peer->name);
}

static void extra_inner_veths(struct extra *extra)
{
	const struct kernel_state *state = extra->view->state;

	for (size_t i = 0; i < state->namespaces_count; i++) {
		const struct state_namespace *ns = &state->namespaces[i];

		if (!is_wanted(extra, &(struct operation){.kind = OPERATION_NETNS_ADD,
							  .namespace = ns->name}))
			continue;
		for (size_t j = 0; j < ns->links_count; j++) {
			const struct state_link *link = &ns->links[j];
			struct operation *op;

			if (!strcmp(link->name, "lo") || strcmp(link->alias, extra->view->alias) ||
			    link_is_wanted(extra, ns->name, link->name) ||
			    peer_goes(extra, ns, link) || plan_is_device(extra, ns->name, link))
				continue;
			op = add(extra, OPERATION_LINK_DELETE);
			op->namespace = ns->name;
			op->link = link->name;
			op->ifindex = link->ifindex;
		}
	}
}

/* ---- Tables of the datapath. */

/* Whether a link that a table names is gone, or goes with this plan. */
static bool link_goes(const struct extra *extra, uint32_t ifindex, const char **ret_name)
{
	const struct state_link *link = view_link_by_index(extra->view, NULL, ifindex);

	*ret_name = link ? link->name : NULL;
	if (!link || !view_link(extra->view, NULL, link->name))
		return true;
	return view_link_is_ours(extra->view, link) && !link_is_wanted(extra, NULL, link->name);
}

static void extra_ports(struct extra *extra)
{
	const struct state_datapath *datapath = &extra->view->state->datapath;

	for (size_t i = 0; i < datapath->ports_count; i++) {
		const struct state_port *port = &datapath->ports[i];
		struct operation *op;
		const char *name;

		if (!extra->view->networks[port->port.network] ||
		    !link_goes(extra, port->ifindex, &name))
			continue;
		op = add(extra, OPERATION_PORT_DELETE);
		op->ifindex = port->ifindex;
		op->link = name;
	}
}

static void extra_hosts(struct extra *extra)
{
	const struct state_datapath *datapath = &extra->view->state->datapath;

	for (size_t i = 0; i < datapath->endpoints_count; i++) {
		const struct state_endpoint *endpoint = &datapath->endpoints[i];
		struct operation twin = {.kind = OPERATION_HOST_DELETE,
					 .address = plan_host_address(endpoint->ip),
					 .network = endpoint->endpoint.network,
					 .mtu = endpoint->endpoint.mtu,
					 .port_flags = endpoint->endpoint.flags};
		const struct state_link *link =
			view_link_by_index(extra->view, NULL, endpoint->endpoint.ifindex);
		const uint8_t *mac =
			endpoint->ip.family ? endpoint->endpoint.mac : endpoint->key.mac;

		if (!extra->view->networks[twin.network])
			continue;
		twin.link = link ? link->name : NULL;
		memcpy(twin.mac, mac, sizeof(twin.mac));
		memcpy(twin.gateway_mac, endpoint->endpoint.gateway_mac, sizeof(twin.gateway_mac));
		drop_if_unwanted(extra, &twin);
	}
}

/* A link that stays, but not as one that masqueraded sources may go to. */
static bool is_inner_no_more(const struct extra *extra, uint32_t ifindex)
{
	const struct state_link *link = view_link_by_index(extra->view, NULL, ifindex);

	return view_link_is_ours(extra->view, link) &&
	       !is_wanted(extra, &(struct operation){.kind = OPERATION_INNER_LINK_ADD,
						     .link = link->name});
}

static void extra_inner_links(struct extra *extra)
{
	const struct state_datapath *datapath = &extra->view->state->datapath;

	for (size_t i = 0; i < datapath->inner_links_count; i++) {
		const struct state_inner_link *observed = &datapath->inner_links[i];
		uint32_t ifindex = observed->ifindex;
		struct operation *op;
		const char *name;
		bool goes;

		goes = link_goes(extra, ifindex, &name);
		if (!goes && !is_inner_no_more(extra, ifindex))
			continue;
		op = add(extra, OPERATION_INNER_LINK_DELETE);
		op->ifindex = goes ? ifindex : 0;
		op->link = name;
		op->network = observed->inner.network;
		op->port_flags = observed->inner.flags;
	}
}

/* A network's bridge: what it guards is inside until that leaves by another uplink. */
static bool is_inner(const struct extra *extra, uint32_t ifindex)
{
	const struct state_datapath *datapath = &extra->view->state->datapath;

	for (size_t i = 0; i < datapath->inner_links_count; i++)
		if (datapath->inner_links[i].ifindex == ifindex)
			return true;
	return false;
}

/* Entries of uplinks, whichever fabric's, whose interface is gone or is made anew by this plan.
 * What points to the number may still do so: nobody gets it before that. */
static void extra_lost_uplinks(struct extra *extra, bool inner)
{
	const struct state_datapath *datapath = &extra->view->state->datapath;

	for (size_t i = 0; i < datapath->uplinks_count; i++) {
		uint32_t ifindex = datapath->uplinks[i].uplink.ifindex;
		const struct state_link *link = view_link_by_index(extra->view, NULL, ifindex);

		if ((!link || !view_link(extra->view, NULL, link->name)) &&
		    is_inner(extra, ifindex) == inner)
			add(extra, OPERATION_UPLINK_DELETE)->ifindex = ifindex;
	}
}

void plan_extra_lost(struct extra *extra)
{
	if (!extra->unload)
		extra_lost_uplinks(extra, false);
}

static void each_recorded(struct extra *extra, enum record_kind kind,
			  void (*act)(struct extra *, const char *))
{
	for (size_t i = 0; extra->record && i < extra->record->count; i++)
		if (extra->record->entries[i].kind == kind)
			act(extra, extra->record->entries[i].name);
}

void plan_extra_objects(struct extra *extra)
{
	const struct record *record = extra->record;

	if (extra->removal) {
		plan_extra_publishes(extra);
		plan_removed_ovs_ports(extra);
	}
	each_recorded(extra, RECORD_LINK, extra_link);
	each_recorded(extra, RECORD_STRIPPED, extra_stripped);
	each_recorded(extra, RECORD_LINK_INSIDE, extra_link_inside);
	each_recorded(extra, RECORD_MAC, extra_mac);
	extra_inner_veths(extra);
	each_recorded(extra, RECORD_NETNS, extra_netns);
	plan_extra_lost_sysctls(extra);
	plan_extra_files(extra);
	if (!extra->unload) {
		extra_hosts(extra);
		extra_ports(extra);
		extra_inner_links(extra);
	}
	each_recorded(extra, RECORD_NETWORK, extra_network); /* by it the entries were found */
	for (size_t i = 0; record && i < record->count; i++)
		if (record->entries[i].kind == RECORD_INSIDE)
			extra_inside(extra, &record->entries[i]);
	plan_extra_host_sysctls(extra);
	plan_extra_reserved_ports(extra);
	each_recorded(extra, RECORD_UPLINK, extra_uplink);
	if (extra->unload) {
		add(extra, OPERATION_DATAPATH_UNLOAD);
		return;
	}
	if (extra->removal)
		plan_extra_lost(extra);
	extra_lost_uplinks(extra, true);
}
