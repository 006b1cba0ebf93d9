/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a device that is taken loses its addresses and routes, as in the kernel; what it
 * had is kept aside until it is given back, as the record does.
 */
#include "simulator_private.h"

#include <linux/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct simulated_device *kept(struct simulator *sim, const char *name)
{
	for (size_t i = 0; i < sim->devices_count; i++)
		if (!strcmp(sim->devices[i].link.name, name))
			return &sim->devices[i];
	return arena_push(&sim->arena, sim->devices, sim->devices_count);
}

void simulator_note_device(struct simulator *sim, const char *name, const char *namespace)
{
	const struct state_namespace *host = &sim->spaces[0];
	const struct state_link *link = need(sim, NULL, name);
	struct simulated_device *device = kept(sim, name);
	char mac[MAC_TEXT_MAX];

	*device = (struct simulated_device){.link = *link};
	for (size_t i = 0; i < host->addresses_count; i++)
		if (host->addresses[i].ifindex == link->ifindex)
			device->address = host->addresses[i];
	note(sim, RECORD_DEVICE, arena_strdup(&sim->arena, name),
	     arena_printf(&sim->arena, "%s %u %s", mac_format(link->mac, mac), link->mtu,
			  namespace),
	     "kept");
}

void simulator_mark_device(struct simulator *sim, const char *name)
{
	strcpy(need(sim, NULL, name)->alias, "nsroute:lab");
}

/* The kernel takes it out as if it were deleted. */
static struct state_link move(struct simulator *sim, const char *from, const char *name,
			      const char *to)
{
	struct state_link link = *need(sim, from, name), *moved;

	link.peer_ifindex = 0; /* its other end is nobody's business here */
	need(sim, from, name)->peer_ifindex = 0;
	simulator_delete_link(sim, from, name);
	moved = simulator_add_link(sim, to, name, link.kind);
	link.ifindex = moved->ifindex;
	link.flags &= ~(uint32_t)IFF_UP;
	*moved = link;
	return link;
}

static const char *mark_of(struct simulator *sim, const char *name)
{
	return need(sim, NULL, name)->alias;
}

void take_device(struct simulator *sim, const struct operation *op)
{
	const struct state_link *link = need(sim, NULL, op->link);

	assert_non_null(simulator_space(sim, op->namespace));
	assert_int_equal(link->master, 0);
	if (strcmp(mark_of(sim, op->link), "nsroute:lab")) {
		simulator_note_device(sim, op->link, op->namespace);
	} else {
		const struct state_link *had = &kept(sim, op->link)->link;
		char mac[MAC_TEXT_MAX];

		note(sim, RECORD_DEVICE, op->link,
		     arena_printf(&sim->arena, "%s %u %s", mac_format(had->mac, mac), had->mtu,
				  op->namespace),
		     "kept");
	}
	simulator_mark_device(sim, op->link);
	move(sim, NULL, op->link, op->namespace);
}

void return_device(struct simulator *sim, const struct operation *op)
{
	struct state_namespace *host = &sim->spaces[0];
	const struct simulated_device *device = kept(sim, op->link);
	struct state_link *link;
	uint32_t ifindex;

	if (op->namespace)
		move(sim, op->namespace, op->link, NULL);
	link = need(sim, NULL, op->link);
	ifindex = link->ifindex;
	*link = device->link;
	link->ifindex = ifindex;
	DELETE_IF(host->addresses, host->addresses_count, it->ifindex == ifindex);
	if (device->address.address.family) {
		*arena_push(&sim->arena, host->addresses, host->addresses_count) = device->address;
		host->addresses[host->addresses_count - 1].ifindex = ifindex;
	}
	unnote(sim, RECORD_DEVICE, op->link);
}
