/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: in a named namespace every interface is judged that somebody meant to use (veths,
 * NICs, whatever has an address). In the host namespace, which is full of other people's, only what
 * is recorded as ours and what a namespace is connected to.
 *
 * Of a veth with one end down the culprit is named, once, with what its other end shows.
 */
#include "doctor.h"

#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>

#include "doctor_view.h"

#define COMMANDS_MAX 8 /* of one mend: a longer line is no help */

static bool is_nic(const struct state_link *link)
{
	return !*link->kind && link->type == ARPHRD_ETHER;
}

/* The kernel puts fallback tunnels and the like into each namespace, all of them down. */
static bool is_meant(const struct doctor_interface *interface)
{
	return interface->peer || !strcmp(interface->link->kind, "veth") ||
	       (!strcmp(interface->link->kind, "bridge") && interface->next) ||
	       is_nic(interface->link) || doctor_next_address(interface, 0, NULL);
}

static bool leads_to_wanted(const struct doctor_world *world,
			    const struct doctor_interface *interface)
{
	const struct doctor_interface *peer = interface->peer;

	return peer && !doctor_is_host(world, peer->namespace) &&
	       doctor_wanted(world, peer->namespace, NULL);
}

static bool has_wanted_port(const struct doctor_world *world, const struct doctor_interface *bridge)
{
	for (const struct doctor_interface *port = bridge->next; port; port = port->next)
		if (port->master == bridge && leads_to_wanted(world, port))
			return true;
	return false;
}

static bool is_judged(const struct doctor_world *world, const struct doctor_interface *interface)
{
	const struct state_namespace *namespace = interface->namespace;
	const struct state_link *link = interface->link;

	if (!doctor_is_host(world, namespace))
		return (doctor_wanted(world, namespace, NULL) ||
			leads_to_wanted(world, interface)) &&
		       is_meant(interface);
	if (leads_to_wanted(world, interface) || has_wanted_port(world, interface))
		return true;
	return (doctor_owner(world, namespace, link->name) ||
		doctor_is_uplink(world, link->name)) &&
	       doctor_wanted(world, namespace, link->name);
}

/* ---- Up. */

static void check_loopback(struct doctor_world *world, const struct state_namespace *namespace,
			   const struct state_link *link)
{
	struct doctor_finding *finding;

	if (doctor_is_up(link))
		return;
	finding = doctor_add_at(world, DOCTOR_PROBLEM, "lo-down", namespace, link->name);
	finding->what = "down, as in every new namespace";
	finding->why =
		"programs inside cannot reach 127.0.0.1, ::1 or the namespace's own addresses";
	finding->mend = doctor_ip(world, namespace, "link set %s up", link->name);
}

static void report_down(struct doctor_world *world, const struct doctor_interface *interface)
{
	const struct doctor_interface *peer = interface->peer;
	bool seen_there = peer && doctor_is_up(peer->link);
	struct doctor_finding *finding =
		doctor_add_at(world, DOCTOR_PROBLEM, seen_there ? "peer-down" : "link-down",
			      interface->namespace, interface->link->name);

	finding->what =
		seen_there ? arena_printf(world->arena,
					  "down, so its peer %s has no carrier (LOWERLAYERDOWN)",
					  doctor_place(world, peer->namespace, peer->link->name))
			   : "down";
	finding->why = peer ? "a cable carries nothing until both of its ends are up"
			    : "nothing can be sent or received here";
	finding->mend =
		doctor_ip(world, interface->namespace, "link set %s up", interface->link->name);
}

/* Up, and still no carrier, though the other end (if it has one that we see) is up too. A new
 * veth's carrier may be a moment late: then both ends are up, and that is no finding. */
static void check_carrier(struct doctor_world *world, const struct doctor_interface *interface)
{
	const struct state_link *link = interface->link;
	struct doctor_finding *finding;
	bool veth = !strcmp(link->kind, "veth");

	if (link->carrier || interface->peer || (!veth && !is_nic(link)))
		return;
	finding = doctor_add_at(world, veth ? DOCTOR_PROBLEM : DOCTOR_NOTE, "no-carrier",
				interface->namespace, link->name);
	finding->what = veth ? "no carrier (LOWERLAYERDOWN): its peer, in a namespace without a "
			       "name in /run/netns, is down"
			     : "no carrier: no cable, or the other side is off";
	finding->why = "nothing can be sent or received here";
	if (veth)
		finding->mend =
			doctor_run(world, interface->namespace,
				   "nsenter -t PID -n ip link set dev INTERFACE up   # PID: a "
				   "process in it; \"lsns -t net\" lists them");
}

static void check_up(struct doctor_world *world, const struct doctor_interface *interface)
{
	if (interface->link->flags & IFF_LOOPBACK) {
		if (!doctor_is_host(world, interface->namespace) &&
		    doctor_wanted(world, interface->namespace, NULL))
			check_loopback(world, interface->namespace, interface->link);
	} else if (!is_judged(world, interface)) {
		return;
	} else if (!doctor_is_up(interface->link)) {
		report_down(world, interface);
	} else {
		check_carrier(world, interface);
	}
}

/* ---- MTU. */

/* Both ends of a cable; told at the first of them, for the larger. */
static void check_pair_mtu(struct doctor_world *world, const struct doctor_interface *interface)
{
	const struct doctor_interface *peer = interface->peer, *larger = interface;
	struct doctor_finding *finding;
	uint32_t least;

	if (!peer || peer < interface || peer->link->mtu == interface->link->mtu ||
	    (!is_judged(world, interface) && !is_judged(world, peer)))
		return;
	if (peer->link->mtu > larger->link->mtu)
		larger = peer;
	least = interface->link->mtu + peer->link->mtu - larger->link->mtu;
	finding =
		doctor_add_at(world, DOCTOR_PROBLEM, "mtu", larger->namespace, larger->link->name);
	finding->what = arena_printf(
		world->arena, "MTU %u, but %u at its other end %s", larger->link->mtu, least,
		larger == interface ? doctor_place(world, peer->namespace, peer->link->name)
				    : doctor_place(world, interface->namespace,
						   interface->link->name));
	finding->why = "what is larger than the other end's MTU is lost there, and nobody is told";
	finding->mend = doctor_ip(world, larger->namespace, "link set %s mtu %u",
				  larger->link->name, least);
}

static const char *mtu_command(const struct doctor_world *world, const char *before,
			       const struct doctor_interface *interface, uint32_t mtu)
{
	return doctor_then(world, before,
			   doctor_ip(world, interface->namespace, "link set %s mtu %u",
				     interface->link->name, mtu));
}

/* A bridge and its ports: the least is what all can have. */
static void check_bridge_mtu(struct doctor_world *world, const struct doctor_interface *bridge)
{
	const struct doctor_interface *odd = NULL;
	uint32_t least = bridge->link->mtu;
	struct doctor_finding *finding;
	const char *mend = "";
	size_t commands = 0;

	for (const struct doctor_interface *port = bridge->next; port; port = port->next) {
		if (port->master != bridge || port->link->mtu == bridge->link->mtu)
			continue;
		odd = odd ? odd : port;
		if (port->link->mtu < least)
			least = port->link->mtu;
	}
	if (!odd)
		return;
	if (bridge->link->mtu != least)
		mend = mtu_command(world, mend, bridge, least);
	for (const struct doctor_interface *port = bridge->next; port; port = port->next) {
		if (port->master != bridge || port->link->mtu == least ||
		    commands++ == COMMANDS_MAX)
			continue;
		mend = mtu_command(world, mend, port, least);
		if (port->peer)
			mend = mtu_command(world, mend, port->peer, least);
	}
	finding =
		doctor_add_at(world, DOCTOR_PROBLEM, "mtu", bridge->namespace, bridge->link->name);
	finding->what = arena_printf(world->arena, "MTU %u, but %u at its port %s",
				     bridge->link->mtu, odd->link->mtu, odd->link->name);
	finding->why = "what is larger than a port's MTU, or than that of the bridge on its way to "
		       "the gateway, is lost there, and nobody is told";
	finding->mend = mend;
}

void doctor_check_links(struct doctor_world *world)
{
	for (size_t i = 0; i < world->interfaces_count; i++) {
		const struct doctor_interface *interface = &world->interfaces[i];

		check_up(world, interface);
		check_pair_mtu(world, interface);
		if (!strcmp(interface->link->kind, "bridge") && is_judged(world, interface))
			check_bridge_mtu(world, interface);
	}
}
