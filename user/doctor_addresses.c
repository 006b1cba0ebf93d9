/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: addresses of named namespaces are judged each on its interface, then against all
 * others on the same segment (duplicates) and in the same namespace (overlaps). Link-local ones are
 * everywhere the same network, so they take no part in overlaps.
 */
#include "doctor.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/socket.h>

#include "doctor_view.h"
#include "lookup.h"

#define TENTATIVE_S     5 /* duplicate detection takes one or two */
#define GUESSED_PREFIX4 24
#define GUESSED_PREFIX6 64

static bool is_judged(const struct doctor_world *world, const struct doctor_interface *interface)
{
	if (!doctor_is_layer3(interface))
		return false;
	if (!doctor_is_host(world, interface->namespace))
		return doctor_wanted(world, interface->namespace, NULL);
	return doctor_owner(world, interface->namespace, interface->link->name) &&
	       !doctor_is_uplink(world, interface->link->name) &&
	       doctor_wanted(world, interface->namespace, interface->link->name);
}

/* The host's interfaces that a judged namespace is connected to count as well. */
static bool is_concerned(const struct doctor_world *world, const struct doctor_interface *interface)
{
	if (is_judged(world, interface))
		return true;
	for (const struct doctor_interface *other = interface->first; other; other = other->next)
		if (doctor_is_layer3(interface) && other->namespace->name &&
		    is_judged(world, other))
			return true;
	return false;
}

/* ---- Without a prefix length. */

/* Whether there is a route over the link to anything but the address itself. */
static bool has_route_besides(const struct doctor_interface *interface, const struct ip_address *ip)
{
	const struct state_namespace *namespace = interface->namespace;

	for (size_t i = 0; i < namespace->routes_count; i++) {
		const struct state_route *route = &namespace->routes[i];

		if (route->ifindex == interface->link->ifindex && route->to.family == ip->family &&
		    !(route->to.prefix_len == ip->prefix_len && ip_equal(&route->to, ip)) &&
		    !ip_is_link_local(&route->to) &&
		    !(route->to.family == AF_INET6 && route->to.bytes[0] == 0xff))
			return true;
	}
	return false;
}

/* What the neighbours' addresses tell, else what is usual. */
static uint8_t guess_prefix(const struct doctor_interface *interface, const struct ip_address *ip)
{
	for (const struct doctor_interface *other = interface->first; other; other = other->next) {
		const struct state_address *address = NULL;

		while ((address = doctor_next_address(other, ip->family, address)))
			if (address->address.prefix_len < ip_bits(ip) &&
			    ip_within(ip, &address->address))
				return address->address.prefix_len;
	}
	return ip->family == AF_INET ? GUESSED_PREFIX4 : GUESSED_PREFIX6;
}

static void check_prefix(struct doctor_world *world, const struct doctor_interface *interface,
			 const struct state_address *address)
{
	const struct ip_address *ip = &address->address;
	const struct state_link *link = interface->link;
	struct doctor_finding *finding;
	char text[IP_TEXT_MAX], bare[IP_TEXT_MAX];

	if (ip->prefix_len != ip_bits(ip) || link->type != ARPHRD_ETHER || ip_is_link_local(ip) ||
	    !strcmp(link->kind, "dummy") || has_route_besides(interface, ip))
		return;
	finding = doctor_add_at(world, DOCTOR_PROBLEM, "address-prefix", interface->namespace,
				link->name);
	finding->what = arena_printf(world->arena,
				     "%s was given without a prefix length, and there is no route "
				     "to its neighbours",
				     ip_format(ip, bare));
	finding->why = "\"connect: Network is unreachable\" for every address but its own";
	finding->mend =
		doctor_then(world,
			    doctor_ip(world, interface->namespace, "address del %s/%u dev %s",
				      ip_format(ip, text), ip->prefix_len, link->name),
			    doctor_ip(world, interface->namespace, "address add %s/%u dev %s", bare,
				      guess_prefix(interface, ip), link->name));
}

/* ---- Duplicates. */

static void check_detection(struct doctor_world *world, const struct doctor_interface *interface,
			    const struct state_address *address)
{
	bool failed = address->flags & IFA_F_DADFAILED;
	struct doctor_finding *finding;
	char text[IP_TEXT_MAX];
	const char *delete;

	if (!failed && (!(address->flags & IFA_F_TENTATIVE) || address->age_s < TENTATIVE_S ||
			!interface->link->carrier))
		return;
	ip_format_prefix(&address->address, text);
	delete = doctor_ip(world, interface->namespace, "address del %s dev %s", text,
			   interface->link->name);
	finding = doctor_add_at(world, DOCTOR_PROBLEM,
				failed ? "duplicate-address" : "address-tentative",
				interface->namespace, interface->link->name);
	finding->what = arena_printf(world->arena,
				     failed ? "%s failed duplicate detection: another interface on "
					      "the link has it"
					    : "%s has been tentative for too long",
				     text);
	finding->why = "the kernel does not use an address before it knows that it is the only one";
	finding->mend = failed ? delete
			       : doctor_then(world, delete,
					     doctor_ip(world, interface->namespace,
						       "address add %s dev %s nodad", text,
						       interface->link->name));
}

static void report_duplicate(struct doctor_world *world, const struct doctor_interface *interface,
			     const struct doctor_interface *other, const struct ip_address *ip)
{
	struct doctor_finding *finding = doctor_add_at(world, DOCTOR_PROBLEM, "duplicate-address",
						       interface->namespace, interface->link->name);
	char text[IP_TEXT_MAX];

	finding->what = arena_printf(world->arena, "%s is also the address of %s on the same link",
				     ip_format(ip, text),
				     doctor_place(world, other->namespace, other->link->name));
	finding->why = "neighbours reach now the one, now the other";
	finding->mend = doctor_ip(world, interface->namespace, "address del %s dev %s",
				  ip_format_prefix(ip, text), interface->link->name);
}

static void check_duplicate(struct doctor_world *world, struct lookup *seen,
			    struct doctor_interface *interface, const struct state_address *address)
{
	const struct doctor_interface *other;
	char text[IP_TEXT_MAX];

	if (interface->first->unclear || (address->flags & IFA_F_DADFAILED))
		return;
	other = lookup_add(seen, world->arena,
			   arena_printf(world->arena, "%p/%s", (void *)interface->first,
					ip_format(&address->address, text)),
			   interface);
	if (other && other != interface && (is_judged(world, interface) || is_judged(world, other)))
		report_duplicate(world, interface, other, &address->address);
}

/* The end of a link that has the MAC too; ports of a bridge differ from their peers. */
static void check_duplicate_mac(struct doctor_world *world, struct lookup *seen,
				struct doctor_interface *interface)
{
	const struct doctor_interface *other;
	struct doctor_finding *finding;
	char text[MAC_TEXT_MAX];
	uint8_t mac[6];

	if (interface->first->unclear || interface->link->type != ARPHRD_ETHER ||
	    !doctor_is_layer3(interface))
		return;
	other = lookup_add(seen, world->arena,
			   arena_printf(world->arena, "%p/%s", (void *)interface->first,
					mac_format(interface->link->mac, text)),
			   interface);
	if (!other || (!is_judged(world, interface) && !is_judged(world, other)))
		return;
	mac_derive(mac, "doctor", interface->namespace->name ? interface->namespace->name : "host",
		   interface->link->name);
	finding = doctor_add_at(world, DOCTOR_PROBLEM, "duplicate-mac", interface->namespace,
				interface->link->name);
	finding->what = arena_printf(world->arena, "has the same MAC address %s as %s", text,
				     doctor_place(world, other->namespace, other->link->name));
	finding->why = "a switch sends what is for the one to the other";
	finding->mend = doctor_ip(world, interface->namespace, "link set %s address %s",
				  interface->link->name, mac_format(mac, text));
}

/* ---- Overlaps. */

static bool is_subnet(const struct ip_address *ip)
{
	return ip->prefix_len < ip_bits(ip) && ip->prefix_len && !ip_is_link_local(ip);
}

static void report_overlap(struct doctor_world *world, const struct doctor_interface *interface,
			   const struct ip_address *ip, const struct doctor_interface *other,
			   const struct ip_address *other_ip)
{
	struct doctor_finding *finding = doctor_add_at(world, DOCTOR_PROBLEM, "subnet-overlap",
						       interface->namespace, interface->link->name);
	char text[IP_TEXT_MAX], other_text[IP_TEXT_MAX];

	finding->what =
		arena_printf(world->arena, "%s overlaps %s on %s", ip_format_prefix(ip, text),
			     ip_format_prefix(other_ip, other_text),
			     doctor_place(world, other->namespace, other->link->name));
	finding->why = "the same destinations are on two links: half of them are looked for on the "
		       "wrong one";
	finding->mend = doctor_ip(world, interface->namespace, "address del %s dev %s", text,
				  interface->link->name);
}

/* Against the addresses that come before it in the namespace, on other links. */
static void check_overlap(struct doctor_world *world, const struct doctor_interface *interface,
			  const struct state_address *address)
{
	const struct state_namespace *namespace = interface->namespace;

	if (!is_subnet(&address->address))
		return;
	for (const struct state_address *other = namespace->addresses; other < address; other++) {
		const struct doctor_interface *on;

		if (other->ifindex == address->ifindex || !is_subnet(&other->address) ||
		    !ip_overlap(&other->address, &address->address))
			continue;
		on = doctor_interface(world, namespace, other->ifindex);
		if (on && doctor_is_layer3(on)) {
			report_overlap(world, interface, &address->address, on, &other->address);
			return;
		}
	}
}

/* A route of the host that takes, or has taken, a part of a fabric's network. */
static void check_host_route(struct doctor_world *world, const struct doctor_interface *interface,
			     const struct state_address *address)
{
	const struct record *owner =
		doctor_owner(world, interface->namespace, interface->link->name);
	const struct state_namespace *host = interface->namespace;

	if (!owner || !is_subnet(&address->address))
		return;
	for (size_t i = 0; i < host->routes_count; i++) {
		const struct state_route *route = &host->routes[i];
		const struct doctor_interface *on = doctor_interface(world, host, route->ifindex);
		struct doctor_finding *finding;
		char text[IP_TEXT_MAX], to[IP_TEXT_MAX];

		if (route->ifindex == address->ifindex || !route->to.prefix_len ||
		    !ip_overlap(&route->to, &address->address) ||
		    (on && doctor_owner(world, host, on->link->name) &&
		     !doctor_is_uplink(world, on->link->name)))
			continue;
		finding = doctor_add_at(world,
					route->to.prefix_len < address->address.prefix_len
						? DOCTOR_NOTE
						: DOCTOR_PROBLEM,
					"host-overlap", host, interface->link->name);
		finding->what = arena_printf(
			world->arena, "its subnet of %s overlaps the host's route to %s%s%s",
			ip_format_prefix(&address->address, text), ip_format_prefix(&route->to, to),
			on ? " by " : "", on ? on->link->name : "");
		finding->why = "of two networks with the same addresses the host reaches only one";
		finding->mend = doctor_edit(world, owner);
		return;
	}
}

static void check_address(struct doctor_world *world, const struct doctor_interface *interface,
			  const struct state_address *address)
{
	check_prefix(world, interface, address);
	check_detection(world, interface, address);
	check_overlap(world, interface, address);
	if (doctor_is_host(world, interface->namespace))
		check_host_route(world, interface, address);
}

void doctor_check_addresses(struct doctor_world *world)
{
	struct lookup addresses = {}, macs = {};

	for (size_t i = 0; i < world->interfaces_count; i++) {
		struct doctor_interface *interface = &world->interfaces[i];
		const struct state_address *address = NULL;
		bool judged = is_judged(world, interface);

		if (!judged && !is_concerned(world, interface))
			continue;
		check_duplicate_mac(world, &macs, interface);
		while ((address = doctor_next_address(interface, 0, address))) {
			check_duplicate(world, &addresses, interface, address);
			if (judged || doctor_is_host(world, interface->namespace))
				check_address(world, interface, address);
		}
	}
}
