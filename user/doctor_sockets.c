/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sockets of the host that have a published port. One that is bound to the very address gets what
 * begins there, in place of the namespace; one of all addresses gets nothing of what comes to that
 * address from outside. Either came after the port was published, for publishing refuses the port
 * then.
 */
#include "doctor.h"

#include <string.h>
#include <sys/socket.h>

#include "plan_publish.h"

/* Where the port is published: the uplink's address, of the family. */
static struct ip_address external_of(const struct doctor_world *world,
				     const struct operation *published)
{
	const struct kernel_state *state = world->state;
	const uint8_t family = published->address.family;
	struct ip_address ret = {.family = family,
				 .prefix_len = (uint8_t)(family == AF_INET ? 32 : 128)};

	if (published->external.family)
		return published->external;
	for (size_t i = 0; i < state->datapath.uplinks_count; i++) {
		const struct nsr_uplink *uplink = &state->datapath.uplinks[i].uplink;

		for (size_t j = 0; j < state->host.links_count; j++)
			if (state->host.links[j].ifindex == uplink->ifindex &&
			    !strcmp(state->host.links[j].name, published->link))
				memcpy(ret.bytes,
				       family == AF_INET ? (const void *)&uplink->address4
							 : uplink->address6,
				       family == AF_INET ? 4 : 16);
	}
	return ret;
}

static bool has_port(const struct published_ports *ports, const struct socket_open *socket)
{
	return socket->protocol == ports->protocol && socket->port >= ports->external &&
	       socket->port - ports->external < ports->count;
}

static void report(struct doctor_world *world, const struct doctor_fabric *fabric,
		   const struct operation *published, const struct socket_open *socket, bool wild)
{
	struct doctor_finding *finding =
		doctor_add(world, wild ? DOCTOR_NOTE : DOCTOR_PROBLEM, "port-taken");
	char address[IP_TEXT_MAX];

	finding->fabric = fabric->record->fabric;
	finding->where = arena_printf(world->arena, "%s %s port %u", published->link,
				      published_protocol(socket->protocol), socket->port);
	finding->what = arena_printf(world->arena,
				     "is published, and a program of the host has a socket there, "
				     "on %s",
				     wild ? "all addresses" : ip_format(&socket->address, address));
	finding->why = wild ? "what comes there from outside goes to the namespace, not to it"
			    : "what begins there goes to it, not to the namespace";
	finding->mend = fabric->file == DOCTOR_FILE_SAME || fabric->file == DOCTOR_FILE_DIFFERS
				? doctor_edit(world, fabric->record)
				: "";
}

static void check_published(struct doctor_world *world, const struct doctor_fabric *fabric,
			    const struct operation *published)
{
	static const struct ip_address none;
	const struct ip_address external = external_of(world, published);

	for (size_t i = 0; i < world->sockets_count; i++) {
		const struct socket_open *socket = &world->sockets[i];
		const uint8_t family = socket->address.family;
		bool wild = !memcmp(socket->address.bytes, none.bytes, sizeof(none.bytes));

		/* One of IPv6 has the port of IPv4 too, unless it says otherwise. */
		if (has_port(&published->ports, socket) &&
		    (wild ? family == external.family || (family == AF_INET6 && !socket->only6)
			  : ip_equal(&socket->address, &external)))
			report(world, fabric, published, socket, wild);
	}
}

void doctor_check_sockets(struct doctor_world *world)
{
	for (size_t i = 0; i < world->fabrics_count; i++) {
		const struct record *record = world->fabrics[i].record;

		for (size_t j = 0; j < record->count; j++) {
			struct operation published;

			if (record->entries[j].kind == RECORD_PUBLISHED &&
			    plan_publish_read(&record->entries[j], world->arena, &published))
				check_published(world, &world->fabrics[i], &published);
		}
	}
}
