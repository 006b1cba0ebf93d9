/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a namespace is published at each uplink that a network of it masquerades to, so two
 * namespaces may have the same external port only where they have no uplink in common. What "auto"
 * is, and which addresses an uplink has, is not known here: plan looks again.
 */
#include "topology_publish.h"

#include <string.h>
#include <sys/socket.h>

static bool has_ipv4(const struct interface *interface)
{
	for (size_t i = 0; i < interface->addresses_count; i++)
		if (interface->addresses[i].family == AF_INET)
			return true;
	for (size_t i = 0; !interface->addresses_count && i < interface->network->subnets_count;
	     i++)
		if (interface->network->subnets[i].family == AF_INET)
			return true;
	return false;
}

/* The uplink that an interface of the namespace is published at; NULL: none. */
static const char *uplink_of(const struct interface *interface)
{
	if (!interface->network || !interface->network->masquerade.enabled || !has_ipv4(interface))
		return NULL;
	return interface->network->masquerade.uplink;
}

static bool share_uplink(const struct topology_namespace *a, const struct topology_namespace *b)
{
	for (size_t i = 0; i < a->interfaces_count; i++) {
		const char *uplink = uplink_of(&a->interfaces[i]);

		for (size_t j = 0; uplink && j < b->interfaces_count; j++) {
			const char *other = uplink_of(&b->interfaces[j]);

			if (other && !strcmp(uplink, other))
				return true;
		}
	}
	return false;
}

/* Nobody has to know which of the uplink's addresses are meant when one of the two says none. */
static bool collide(const struct publish *a, const struct publish *b)
{
	if (a->ports.protocol != b->ports.protocol ||
	    a->ports.external >= b->ports.external + b->ports.count ||
	    b->ports.external >= a->ports.external + a->ports.count)
		return false;
	return !a->address.family || !b->address.family || ip_equal(&a->address, &b->address);
}

struct known {
	const struct topology_namespace *namespace;
	const struct publish *publish;
};

static void check_publish(struct check *check, const struct known *one, const struct known *others,
			  size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct known *other = &others[i];

		if (!collide(one->publish, other->publish) ||
		    !share_uplink(one->namespace, other->namespace))
			continue;
		refuse(check, one->publish->at,
		       "namespace '%s': external port %u/%s is published by namespace '%s' (line %u) "
		       "already",
		       one->namespace->name,
		       one->publish->ports.external > other->publish->ports.external
			       ? one->publish->ports.external
			       : other->publish->ports.external,
		       published_protocol(one->publish->ports.protocol), other->namespace->name,
		       other->publish->at.line);
		return;
	}
}

static bool is_masqueraded(const struct topology_namespace *namespace)
{
	for (size_t i = 0; i < namespace->interfaces_count; i++)
		if (uplink_of(&namespace->interfaces[i]))
			return true;
	return false;
}

void check_publishes(struct check *check)
{
	const struct topology *topology = check->topology;
	struct known *known = NULL;
	size_t count = 0;

	if (topology->networks_incomplete)
		return;
	for (size_t i = 0; i < topology->namespaces_count; i++) {
		const struct topology_namespace *namespace = &topology->namespaces[i];

		if (!namespace->publish_count || namespace->interfaces_incomplete)
			continue;
		if (!is_masqueraded(namespace))
			refuse(check, namespace->publish[0].at,
			       "namespace '%s': to be published it needs an interface with an IPv4 "
			       "address on a network with 'masquerade', whose uplink is where it is "
			       "reached",
			       namespace->name);
		for (size_t j = 0; j < namespace->publish_count; j++) {
			struct known one = {namespace, &namespace->publish[j]};

			check_publish(check, &one, known, count);
			*arena_push(check->arena, known, count) = one;
		}
	}
}

const char *published_protocol(uint8_t protocol)
{
	return protocol == NSR_NAT_UDP ? "udp" : "tcp";
}
