/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: each named namespace is asked for its way out; each route through a gateway for the
 * gateway, and the gateway, where we see it, whether it forwards. Then the uplinks of fabrics.
 *
 * A foreign namespace that has other routes through a gateway and no default one is meant so; in a
 * fabric a network with a gateway gives every namespace a default route. That nobody
 * has a gateway's address is said only where everybody on the link is known.
 */
#include "doctor.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "doctor_view.h"
#include "lookup.h"

struct route_checks {
	struct doctor_world *world;
	struct lookup reported; /* forwarding, by place and family */
};

static const uint8_t families[] = {AF_INET, AF_INET6};

static const char *family_name(uint8_t family)
{
	return family == AF_INET ? "IPv4" : "IPv6";
}

static bool has_routes_through_gateways(const struct state_namespace *namespace, uint8_t family)
{
	for (size_t i = 0; i < namespace->routes_count; i++)
		if (namespace->routes[i].to.family == family && namespace->routes[i].via.family)
			return true;
	return false;
}

/* ---- A way out. */

/* The first interface with an address of the family that neighbours could be reached by. */
static const struct doctor_interface *first_usable(const struct doctor_world *world,
						   const struct state_namespace *namespace,
						   uint8_t family)
{
	for (size_t i = 0; i < namespace->links_count; i++) {
		const struct doctor_interface *interface =
			doctor_interface(world, namespace, namespace->links[i].ifindex);
		const struct state_address *address = NULL;

		if (!doctor_is_layer3(interface) || !doctor_is_up(interface->link))
			continue;
		while ((address = doctor_next_address(interface, family, address)))
			if (!ip_is_link_local(&address->address) &&
			    address->address.prefix_len < ip_bits(&address->address))
				return interface;
	}
	return NULL;
}

/* By hand a cable to the host will do; in a fabric only a network has a gateway. */
static const struct state_address *find_gateway(const struct doctor_world *world,
						const struct state_namespace *namespace,
						uint8_t family)
{
	bool ours = doctor_owner(world, namespace, NULL);

	for (size_t i = 0; i < namespace->links_count; i++) {
		const struct doctor_interface *interface =
			doctor_interface(world, namespace, namespace->links[i].ifindex);
		const struct state_address *gateway =
			doctor_is_layer3(interface) ? doctor_gateway_for(world, interface, family)
						    : NULL;
		const struct doctor_interface *on =
			gateway ? doctor_interface(world, &world->state->host, gateway->ifindex)
				: NULL;

		if (on && (!ours || !strcmp(on->link->kind, "bridge")))
			return gateway;
	}
	return NULL;
}

static void check_way_out(struct doctor_world *world, const struct state_namespace *namespace,
			  uint8_t family)
{
	const struct doctor_interface *interface = first_usable(world, namespace, family);
	const struct state_address *gateway;
	struct doctor_finding *finding;
	char text[IP_TEXT_MAX];

	bool ours = doctor_owner(world, namespace, NULL);

	if (!interface || doctor_default_route(namespace, family) ||
	    (!ours && has_routes_through_gateways(namespace, family)))
		return;
	gateway = find_gateway(world, namespace, family);
	if (!gateway && (family == AF_INET6 || ours))
		return; /* meant so, or at least nothing unusual */
	finding = doctor_add_at(world, gateway ? DOCTOR_PROBLEM : DOCTOR_NOTE, "no-route-out",
				namespace, interface->link->name);
	finding->what = arena_printf(world->arena, "no default %s route%s", family_name(family),
				     gateway ? ""
					     : ", and nobody on its links who could be the "
					       "gateway");
	finding->why = "\"Network is unreachable\" for all that is not on its own links";
	if (gateway)
		finding->mend = doctor_ip(world, namespace, "route add default via %s",
					  ip_format(&gateway->address, text));
}

/* ---- Gateways. */

static bool is_on_link(const struct state_namespace *namespace, const struct state_route *route)
{
	if (route->onlink || (route->via.family == AF_INET6 && ip_is_link_local(&route->via)))
		return true;
	for (size_t i = 0; i < namespace->routes_count; i++) {
		const struct state_route *direct = &namespace->routes[i];

		if (direct->ifindex == route->ifindex && !direct->via.family &&
		    ip_within(&route->via, &direct->to))
			return true;
	}
	return false;
}

static const char *route_text(const struct state_route *route, char text[IP_TEXT_MAX])
{
	return route->to.prefix_len ? ip_format_prefix(&route->to, text) : "default";
}

static void report_off_link(struct doctor_world *world, const struct doctor_interface *interface,
			    const struct state_route *route)
{
	struct doctor_finding *finding = doctor_add_at(world, DOCTOR_PROBLEM, "gateway-unreachable",
						       interface->namespace, interface->link->name);
	char to[IP_TEXT_MAX], via[IP_TEXT_MAX];

	ip_format(&route->via, via);
	finding->what = arena_printf(world->arena,
				     "the gateway %s of the route to %s is in no network of the "
				     "link",
				     via, route_text(route, to));
	finding->why = "a gateway is reached over the link itself, so the link needs an address of "
		       "its network, or a route to it";
	finding->mend = doctor_ip(world, interface->namespace, "route add %s/%u dev %s", via,
				  ip_bits(&route->via), interface->link->name);
}

/* Who should have the gateway's address: the bridge, or the other end of the cable. */
static const char *give_address(const struct doctor_world *world,
				const struct doctor_interface *interface,
				const struct ip_address *via)
{
	const struct state_address *own = NULL;
	const struct doctor_interface *to =
		interface->first != interface ? interface->first : interface->peer;
	char text[IP_TEXT_MAX];

	while ((own = doctor_next_address(interface, via->family, own)))
		if (ip_within(via, &own->address))
			break;
	return doctor_ip(world, to->namespace, "address add %s/%u dev %s", ip_format(via, text),
			 own ? own->address.prefix_len : ip_bits(via), to->link->name);
}

static void report_nobody(struct doctor_world *world, const struct doctor_interface *interface,
			  const struct state_route *route)
{
	const struct state_address *other = doctor_gateway_for(world, interface, route->via.family);
	struct doctor_finding *finding = doctor_add_at(world, DOCTOR_PROBLEM, "gateway-unreachable",
						       interface->namespace, interface->link->name);
	char to[IP_TEXT_MAX], via[IP_TEXT_MAX];

	finding->what = arena_printf(world->arena,
				     "nobody on the link has the address %s, the gateway of the "
				     "route to %s",
				     ip_format(&route->via, via), route_text(route, to));
	finding->why = "\"Destination Host Unreachable\": the gateway does not answer";
	if (!other)
		finding->mend = give_address(world, interface, &route->via);
	else
		finding->mend = doctor_ip(
			world, interface->namespace, "route replace %s via %s dev %s%s",
			route_text(route, to), ip_format(&other->address, via),
			interface->link->name,
			route->metric ? arena_printf(world->arena, " metric %u", route->metric)
				      : "");
}

/* A namespace that others have a route through may have what they look for itself, or a program
 * that forwards: that is no more than a note. IPv4 asks the interface that a packet came in by,
 * IPv6 the namespace. */
static void check_forwarding(struct route_checks *checks, const struct doctor_interface *interface,
			     uint8_t family, enum doctor_status status)
{
	struct doctor_world *world = checks->world;
	const char *name = family == AF_INET ? interface->link->name : "all";
	const char *tree = family == AF_INET ? "ipv4" : "ipv6";
	struct doctor_finding *finding;

	if (strcmp(doctor_sysctl(interface->namespace, "net/%s/conf/%s/forwarding", tree, name),
		   "0") ||
	    lookup_add(&checks->reported, world->arena,
		       arena_printf(world->arena, "%p/%s/%s", (const void *)interface->namespace,
				    tree, name),
		       world))
		return;
	finding = doctor_add_at(world, status, "forwarding-off", interface->namespace,
				interface->link->name);
	finding->what = arena_printf(world->arena, "does not forward %s", family_name(family));
	finding->why = "it is the way of other namespaces to other networks, and drops what is not "
		       "for itself";
	finding->mend = doctor_run(world, interface->namespace,
				   "sysctl -w net/%s/conf/%s/forwarding=1", tree, name);
}

static void check_route(struct route_checks *checks, const struct state_namespace *namespace,
			const struct state_route *route)
{
	struct doctor_world *world = checks->world;
	const struct doctor_interface *interface =
		doctor_interface(world, namespace, route->ifindex);
	const struct doctor_interface *gateway;

	if (!interface || !route->via.family || route->type != RTN_UNICAST)
		return;
	if (!is_on_link(namespace, route)) {
		report_off_link(world, interface, route);
		return;
	}
	gateway = doctor_who_has(interface, &route->via);
	if (gateway && !interface->first->unclear)
		check_forwarding(checks, gateway, route->to.family,
				 doctor_is_host(world, gateway->namespace) || !route->to.prefix_len
					 ? DOCTOR_PROBLEM
					 : DOCTOR_NOTE);
	else if (!gateway && !interface->first->open && !interface->first->unclear)
		report_nobody(world, interface, route);
}

/* ---- Reverse path filter. */

static bool is_strict(const struct doctor_interface *interface)
{
	int all = atoi(doctor_sysctl(interface->namespace, "net/ipv4/conf/all/rp_filter"));
	int own = atoi(doctor_sysctl(interface->namespace, "net/ipv4/conf/%s/rp_filter",
				     interface->link->name));

	return (all > own ? all : own) == 1;
}

/* Whether other sends to an address of the interface over their common link. */
static bool sends_here(const struct doctor_interface *other,
		       const struct doctor_interface *interface)
{
	const struct state_address *address = NULL;

	while ((address = doctor_next_address(interface, AF_INET, address))) {
		const struct state_route *route = doctor_route(other->namespace, &address->address);

		if (route && route->ifindex == other->link->ifindex && !route->via.family)
			return true;
	}
	return false;
}

static bool report_asymmetry(struct doctor_world *world, const struct doctor_interface *interface,
			     const struct doctor_interface *other)
{
	const struct state_address *address = NULL;

	while ((address = doctor_next_address(other, AF_INET, address))) {
		const struct state_route *back =
			doctor_route(interface->namespace, &address->address);
		const struct doctor_interface *by =
			back ? doctor_interface(world, interface->namespace, back->ifindex) : NULL;
		struct doctor_finding *finding;
		char text[IP_TEXT_MAX];

		if (!by || by == interface || !sends_here(other, interface))
			continue;
		finding = doctor_add_at(world, DOCTOR_PROBLEM, "rp-filter", interface->namespace,
					interface->link->name);
		finding->what = arena_printf(
			world->arena, "packets from %s arrive here, and the way back is by %s",
			ip_format(&address->address, text), by->link->name);
		finding->why = "the strict reverse path filter drops them";
		finding->mend =
			doctor_run(world, interface->namespace,
				   "sysctl -w net/ipv4/conf/%s/rp_filter=2", interface->link->name);
		return true;
	}
	return false;
}

static void check_reverse_path(struct doctor_world *world, const struct doctor_interface *interface)
{
	if (!doctor_is_layer3(interface) || interface->first->unclear || !is_strict(interface))
		return;
	for (const struct doctor_interface *other = interface->first; other; other = other->next)
		if (other->namespace != interface->namespace && doctor_is_layer3(other) &&
		    report_asymmetry(world, interface, other))
			return;
}

/* ---- Uplinks. */

/* A neighbour of the uplink's own network, which is a better guess at the gateway than none. */
static const char *guess_gateway(const struct doctor_world *world,
				 const struct doctor_interface *uplink)
{
	const struct state_namespace *host = uplink->namespace;
	char text[IP_TEXT_MAX];

	for (size_t i = 0; i < host->neighbours_count; i++) {
		const struct state_neighbour *neighbour = &host->neighbours[i];
		const struct state_address *address = NULL;

		if (neighbour->ifindex != uplink->link->ifindex || neighbour->ip.family != AF_INET)
			continue;
		while ((address = doctor_next_address(uplink, AF_INET, address)))
			if (ip_within(&neighbour->ip, &address->address))
				return arena_strdup(world->arena, ip_format(&neighbour->ip, text));
	}
	return "GATEWAY";
}

static void check_uplink_route(struct doctor_world *world, const struct record *record,
			       const struct doctor_interface *uplink)
{
	const struct state_route *out = doctor_default_route(uplink->namespace, AF_INET);
	const struct doctor_interface *by =
		out ? doctor_interface(world, uplink->namespace, out->ifindex) : NULL;
	struct doctor_finding *finding;

	if (record_has(record, RECORD_NETWORK, uplink->link->name))
		return; /* its bridge: the network is all that is to be reached */
	for (size_t i = 0; i < uplink->namespace->routes_count; i++) {
		const struct state_route *route = &uplink->namespace->routes[i];

		if (route->to.family == AF_INET && !route->to.prefix_len &&
		    route->ifindex == uplink->link->ifindex)
			return;
	}
	finding = doctor_add_at(world, by ? DOCTOR_NOTE : DOCTOR_PROBLEM, "uplink-route",
				uplink->namespace, uplink->link->name);
	if (by) {
		finding->what = arena_printf(world->arena,
					     "an uplink, and the host's default route is by %s",
					     by->link->name);
		finding->why = "what a masqueraded network sends leaves by its uplink only, so it "
			       "reaches the uplink's own network and not the rest of the world";
		finding->mend = doctor_edit(world, record);
		return;
	}
	finding->what = "an uplink, and the host has no default route";
	finding->why = "namespaces reach the uplink's own network and nothing behind it";
	finding->mend = doctor_ip(world, uplink->namespace, "route add default via %s dev %s",
				  guess_gateway(world, uplink), uplink->link->name);
}

static bool lives_on_advertisements(const struct doctor_interface *uplink)
{
	for (size_t i = 0; i < uplink->namespace->routes_count; i++) {
		const struct state_route *route = &uplink->namespace->routes[i];

		if (route->protocol == RTPROT_RA && route->ifindex == uplink->link->ifindex)
			return true;
	}
	return false;
}

static void check_advertisements(struct doctor_world *world, const struct doctor_interface *uplink)
{
	const char *name = uplink->link->name;
	struct doctor_finding *finding;

	if (strcmp(doctor_sysctl(uplink->namespace, "net/ipv6/conf/%s/forwarding", name), "1") ||
	    strcmp(doctor_sysctl(uplink->namespace, "net/ipv6/conf/%s/accept_ra", name), "1") ||
	    !lives_on_advertisements(uplink))
		return;
	finding = doctor_add_at(world, DOCTOR_PROBLEM, "accept-ra", uplink->namespace, name);
	finding->what = "forwards IPv6, and so ignores the router advertisements its routes are "
			"from (accept_ra is 1)";
	finding->why = "the host's IPv6 default route is gone when the last one runs out";
	finding->mend = doctor_run(world, uplink->namespace,
				   "sysctl -w net/ipv6/conf/%s/accept_ra=2", name);
}

static void check_uplink_mtu(struct doctor_world *world, const struct record *record,
			     const struct doctor_interface *uplink)
{
	for (size_t i = 0; i < record->count; i++) {
		const struct record_entry *entry = &record->entries[i];
		const struct doctor_interface *bridge =
			entry->kind == RECORD_NETWORK
				? doctor_interface_named(world, uplink->namespace, entry->name)
				: NULL;
		struct doctor_finding *finding;

		if (!bridge || bridge->link->mtu <= uplink->link->mtu)
			continue;
		finding = doctor_add_at(world, DOCTOR_NOTE, "uplink-mtu", uplink->namespace,
					uplink->link->name);
		finding->what =
			arena_printf(world->arena, "MTU %u, and %u in the network %s",
				     uplink->link->mtu, bridge->link->mtu, bridge->link->name);
		finding->why = "every connection to the outside begins with packets that are too "
			       "large, and hangs where the answers to that are filtered; "
			       "\"defaults: {mtu: ...}\" in the file avoids it";
		finding->mend = doctor_edit(world, record);
		return;
	}
}

static bool host_has(const struct doctor_world *world, const struct ip_address *ip)
{
	const struct state_namespace *host = &world->state->host;

	for (size_t i = 0; i < host->addresses_count; i++) {
		const struct ip_address *there = &host->addresses[i].address;

		if (there->family == ip->family &&
		    !memcmp(there->bytes, ip->bytes, ip_bits(ip) / 8))
			return true;
	}
	return false;
}

/* Those besides the first may be on any interface. */
static void check_more_addresses(struct doctor_world *world, const struct record *record,
				 const struct doctor_interface *uplink,
				 const struct nsr_uplink *entry)
{
	static const uint8_t none[16];

	for (size_t i = 0; i < 2 * NSR_MORE_MAX; i++) {
		const bool ipv6 = i >= NSR_MORE_MAX;
		struct ip_address ip = {.family = ipv6 ? AF_INET6 : AF_INET};
		struct doctor_finding *finding;
		char text[IP_TEXT_MAX];

		ip.prefix_len = (uint8_t)ip_bits(&ip);
		memcpy(ip.bytes,
		       ipv6 ? (const void *)entry->more6[i - NSR_MORE_MAX] : &entry->more4[i],
		       ip_bits(&ip) / 8);
		if (!memcmp(ip.bytes, none, sizeof(none)) || host_has(world, &ip))
			continue;
		finding = doctor_add_at(world, DOCTOR_PROBLEM, "uplink-address", uplink->namespace,
					uplink->link->name);
		finding->what = arena_printf(world->arena,
					     "masquerade uses %s, which the host does not have",
					     ip_format(&ip, text));
		finding->why = "what has that address is dropped until it is back";
		finding->mend = doctor_apply(world, record);
	}
}

static void check_uplink_address(struct doctor_world *world, const struct record *record,
				 const struct doctor_interface *uplink)
{
	const struct state_datapath *datapath = &world->state->datapath;

	for (size_t i = 0; i < datapath->uplinks_count; i++) {
		struct ip_address ip = {.family = AF_INET, .prefix_len = 32};
		const struct state_address *address = NULL;
		struct doctor_finding *finding;
		char text[IP_TEXT_MAX];

		if (datapath->uplinks[i].uplink.ifindex != uplink->link->ifindex)
			continue;
		check_more_addresses(world, record, uplink, &datapath->uplinks[i].uplink);
		memcpy(ip.bytes, &datapath->uplinks[i].uplink.address4, 4);
		while ((address = doctor_next_address(uplink, AF_INET, address)))
			if (ip_equal(&address->address, &ip))
				return;
		finding = doctor_add_at(world, DOCTOR_PROBLEM, "uplink-address", uplink->namespace,
					uplink->link->name);
		finding->what =
			datapath->uplinks[i].uplink.address4
				? arena_printf(world->arena,
					       "masquerade uses %s, which the uplink does not have",
					       ip_format(&ip, text))
				: "nothing is masqueraded: the uplink lost its address, and none was "
				  "found in its place";
		finding->why = "answers to that address do not come back";
		finding->mend = doctor_apply(world, record);
	}
}

/* The programs ask the FIB, which is not told of marks and policies. */
static void check_choices(struct doctor_world *world, const struct doctor_interface *uplink)
{
	const struct route_choices *choices = &world->choices;
	struct doctor_finding *finding;

	if (!choices->marks && !choices->policies)
		return;
	finding = doctor_add_at(world, DOCTOR_NOTE, "policy-routing", uplink->namespace,
				uplink->link->name);
	finding->what =
		arena_printf(world->arena, "%u rules by firewall mark, %u XFRM policies outbound",
			     choices->marks, choices->policies);
	finding->why = "masqueraded flows do not see them: what they would send another way leaves "
		       "by this uplink all the same";
	finding->mend = "";
}

static void check_uplink(struct route_checks *checks, const struct record *record, const char *name)
{
	struct doctor_world *world = checks->world;
	const struct doctor_interface *uplink =
		doctor_interface_named(world, &world->state->host, name);

	if (!uplink || uplink->link->ifindex == STATE_LOOPBACK)
		return; /* what is missing is told elsewhere; nothing is routed to this one */
	check_forwarding(checks, uplink, AF_INET, DOCTOR_PROBLEM);
	check_uplink_route(world, record, uplink);
	check_advertisements(world, uplink);
	check_uplink_mtu(world, record, uplink);
	check_uplink_address(world, record, uplink);
	check_choices(world, uplink);
}

void doctor_check_routes(struct doctor_world *world)
{
	struct route_checks checks = {.world = world};
	const struct state_namespace *namespace;

	for (size_t i = 1; (namespace = doctor_space(world, i)); i++) {
		if (!doctor_wanted(world, namespace, NULL))
			continue;
		for (size_t j = 0; j < sizeof(families); j++)
			check_way_out(world, namespace, families[j]);
		for (size_t j = 0; j < namespace->routes_count; j++)
			check_route(&checks, namespace, &namespace->routes[j]);
	}
	for (size_t i = 0; i < world->interfaces_count; i++) {
		const struct doctor_interface *interface = &world->interfaces[i];

		if (doctor_wanted(world, interface->namespace, interface->link->name))
			check_reverse_path(world, interface);
	}
	for (size_t i = 0; i < world->fabrics_count; i++) {
		const struct record *record = world->fabrics[i].record;

		for (size_t j = 0; j < record->count; j++)
			if (record->entries[j].kind == RECORD_UPLINK)
				check_uplink(&checks, record, record->entries[j].name);
	}
}
