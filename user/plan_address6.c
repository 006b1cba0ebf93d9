/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the address that the file names, or the one that another fabric has named for the
 * uplink; or else the best that the uplink itself has, when a network that leaves by it has IPv6.
 */
#include "plan_address6.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/if_addr.h>

static const struct state_uplink *observed_uplink(const struct builder *b, const char *name)
{
	return view_find(b->view, &(struct operation){.kind = OPERATION_UPLINK_ADD, .link = name});
}

/* Whether the kernel would choose temporary addresses for what leaves by an interface. */
static bool prefers_temporary(const struct builder *b, const char *link)
{
	const char *key = arena_printf(b->arena, "net/ipv6/conf/%s/use_tempaddr", link);
	const struct state_sysctl *sysctl =
		view_find(b->view, &(struct operation){.kind = OPERATION_SYSCTL_SET, .key = key});

	return sysctl && sysctl->value && atoi(sysctl->value) > 1;
}

static bool has_address(const struct state_namespace *host, const struct ip_address *address)
{
	for (size_t i = 0; i < host->addresses_count; i++) {
		const struct ip_address there = plan_host_address(host->addresses[i].address);

		if (ip_equal(&there, address))
			return true;
	}
	return false;
}

/* Of the global ones that last: others than unique local ones (RFC 4193) first, and the one that is
 * in use before all, so that flows live on when another is added. */
static int rank(const struct state_address *address, const uint8_t *in_use)
{
	const uint32_t unfit = IFA_F_TEMPORARY | IFA_F_DEPRECATED | IFA_F_DADFAILED;

	if (address->address.family != AF_INET6 || !ip_is_forwarded(&address->address) ||
	    address->flags & unfit)
		return 0;
	if (in_use && !memcmp(address->address.bytes, in_use, 16))
		return 3;
	return (address->address.bytes[0] & 0xfe) == 0xfc ? 1 : 2;
}

static struct ip_address best_of(const struct builder *b, const struct state_link *link)
{
	const struct state_uplink *observed = observed_uplink(b, link->name);
	const struct state_namespace *host = &b->view->state->host;
	struct ip_address address = {0};
	int best = 0;

	for (size_t i = 0; i < host->addresses_count; i++) {
		int this = host->addresses[i].ifindex == link->ifindex
				   ? rank(&host->addresses[i],
					  observed ? observed->known.address6 : NULL)
				   : 0;

		if (this <= best)
			continue;
		best = this;
		address = plan_host_address(host->addresses[i].address);
	}
	return address;
}

/* The one that another fabric has named; family 0: none. One that was chosen where temporary ones
 * are preferred, or that is left over from a fabric that has gone, looks the same: so one that the
 * host has lost is kept only where there is nothing else, and temporary ones are not preferred. */
static struct ip_address named_elsewhere(const struct builder *b, const char *name)
{
	static const uint8_t none[16];
	const struct state_uplink *observed = observed_uplink(b, name);
	struct ip_address address = {.family = AF_INET6, .prefix_len = 128};

	if (!observed || !observed->known.fixed6 ||
	    !memcmp(observed->known.address6, none, sizeof(none)) ||
	    !view_recorded_elsewhere(b->view, RECORD_UPLINK, name))
		return (struct ip_address){0};
	memcpy(address.bytes, observed->known.address6, sizeof(observed->known.address6));
	if (!has_address(&b->view->state->host, &address) &&
	    (prefers_temporary(b, name) || best_of(b, view_link(b->view, NULL, name)).family))
		return (struct ip_address){0};
	return address;
}

/* Whether a network that leaves by the uplink has IPv6, or one of another fabric. */
static bool has_ipv6(const struct builder *b, const char *name)
{
	static const uint8_t none[16];
	const struct state_uplink *observed = observed_uplink(b, name);

	for (size_t i = 0; i < b->topology->networks_count; i++) {
		const struct network *network = &b->topology->networks[i];

		if (!b->uplinks[i].name || strcmp(b->uplinks[i].name, name))
			continue;
		for (size_t j = 0; j < network->subnets_count; j++)
			if (network->subnets[j].family == AF_INET6)
				return true;
	}
	return observed && memcmp(observed->known.address6, none, sizeof(none)) &&
	       view_recorded_elsewhere(b->view, RECORD_UPLINK, name);
}

struct ip_address plan_uplink_address6(const struct builder *b, const struct uplink *uplink)
{
	struct ip_address address = uplink->address6;

	if (address.family || uplink->inner)
		return address;
	address = named_elsewhere(b, uplink->name);
	if (!address.family && has_ipv6(b, uplink->name))
		address = best_of(b, view_link(b->view, NULL, uplink->name));
	return address;
}

bool plan_uplink_fixed6(const struct builder *b, const struct uplink *uplink)
{
	return plan_uplink_address6(b, uplink).family &&
	       (uplink->address6.family || named_elsewhere(b, uplink->name).family ||
		prefers_temporary(b, uplink->name));
}

bool plan_address6_differs(const struct builder *b, const struct uplink *uplink)
{
	const struct ip_address named = named_elsewhere(b, uplink->name);

	return named.family && uplink->address6.family && !ip_equal(&named, &uplink->address6) &&
	       !prefers_temporary(b, uplink->name); /* there it may be nobody's wish */
}
