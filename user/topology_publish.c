/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a namespace is published at each uplink that a network of it masquerades to, in
 * both families as far as it has them, so two namespaces may have the same external port only where
 * they have no uplink of one family in common. What "auto" is, and which addresses an uplink has,
 * is not known here: plan looks again.
 */
#include "topology_publish.h"

#include <string.h>
#include <sys/socket.h>

/* What stands for the host there, by its loopback addresses. */
#define CLIENT  "169.254.78.1"      /* NSR_LOOPBACK_CLIENT */
#define CLIENT6 "fd0d:2b16:9ad7::1" /* NSR_LOOPBACK_CLIENT6_0 and the others */

static bool has(const struct interface *interface, uint8_t family)
{
	for (size_t i = 0; i < interface->addresses_count; i++)
		if (interface->addresses[i].family == family)
			return true;
	for (size_t i = 0; !interface->addresses_count && i < interface->network->subnets_count;
	     i++)
		if (interface->network->subnets[i].family == family)
			return true;
	return false;
}

/* The uplink that an interface of the namespace is published at in a family; NULL: none. */
static const char *uplink_of(const struct interface *interface, uint8_t family)
{
	if (!interface->network || !interface->network->masquerade.enabled ||
	    !has(interface, family))
		return NULL;
	return interface->network->masquerade.uplink;
}

static bool share_uplink(const struct topology_namespace *a, const struct topology_namespace *b,
			 uint8_t family)
{
	for (size_t i = 0; i < a->interfaces_count; i++) {
		const char *uplink = uplink_of(&a->interfaces[i], family);

		for (size_t j = 0; uplink && j < b->interfaces_count; j++) {
			const char *other = uplink_of(&b->interfaces[j], family);

			if (other && !strcmp(uplink, other))
				return true;
		}
	}
	return false;
}

bool publish_is_loopback(const struct publish *publish)
{
	static const uint8_t one[16] = {[15] = 1};

	return publish->address.family == AF_INET6
		       ? !memcmp(publish->address.bytes, one, sizeof(one))
		       : publish->address.family && publish->address.bytes[0] == 127;
}

/* Nobody has to know which of the uplink's addresses are meant when one of the two says none. */
static bool collide(const struct publish *a, const struct publish *b)
{
	if (a->ports.protocol != b->ports.protocol ||
	    a->ports.external >= b->ports.external + b->ports.count ||
	    b->ports.external >= a->ports.external + a->ports.count)
		return false;
	if (publish_is_loopback(a) || publish_is_loopback(b))
		return ip_equal(&a->address, &b->address);
	return !a->address.family || !b->address.family || ip_equal(&a->address, &b->address);
}

struct known {
	const struct topology_namespace *namespace;
	const struct publish *publish;
};

/* Whether two that collide are published at one uplink, in a family that both are published in. */
static bool meet(const struct known *one, const struct known *other)
{
	const uint8_t family = one->publish->address.family ? one->publish->address.family
							    : other->publish->address.family;

	return publish_is_loopback(one->publish) ||
	       (family != AF_INET6 && share_uplink(one->namespace, other->namespace, AF_INET)) ||
	       (family != AF_INET && share_uplink(one->namespace, other->namespace, AF_INET6));
}

static void check_publish(struct check *check, const struct known *one, const struct known *others,
			  size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct known *other = &others[i];

		if (!collide(one->publish, other->publish) || !meet(one, other))
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

static bool is_masqueraded(const struct topology_namespace *namespace, uint8_t family)
{
	for (size_t i = 0; i < namespace->interfaces_count; i++)
		if (uplink_of(&namespace->interfaces[i], family))
			return true;
	return false;
}

/* An address needs one of its family inside. */
static void check_family(struct check *check, const struct known *one)
{
	const uint8_t family = one->publish->address.family;

	if (!family || is_masqueraded(one->namespace, family))
		return;
	refuse(check, one->publish->at,
	       "namespace '%s': to be published on an %s address it needs one of its own on a "
	       "network with 'masquerade'",
	       one->namespace->name, family == AF_INET ? "IPv4" : "IPv6");
}

/* The address that stands for the host there must be nobody's. */
static void check_client(struct check *check, const struct known *one)
{
	const struct topology *topology = check->topology;
	const bool ipv6 = one->publish->address.family == AF_INET6;
	const char *text = ipv6 ? CLIENT6 : CLIENT;
	struct ip_address client;

	ip_parse(text, &client, NULL);
	for (size_t i = 0; publish_is_loopback(one->publish) && i < topology->networks_count; i++)
		for (size_t j = 0; j < topology->networks[i].subnets_count; j++)
			if (ip_overlap(&topology->networks[i].subnets[j], &client))
				refuse(check, one->publish->at,
				       "namespace '%s': what is published on %s sees the host as "
				       "%s, which is in a subnet of network '%s'; give that "
				       "network another one",
				       one->namespace->name, ipv6 ? "::1" : "127.0.0.1", text,
				       topology->networks[i].name);
}

void check_publishes(struct check *check)
{
	const struct topology *topology = check->topology;
	struct known *known = NULL;
	bool masqueraded;
	size_t count = 0;

	if (topology->networks_incomplete)
		return;
	for (size_t i = 0; i < topology->namespaces_count; i++) {
		const struct topology_namespace *namespace = &topology->namespaces[i];

		if (!namespace->publish_count || namespace->interfaces_incomplete)
			continue;
		masqueraded =
			is_masqueraded(namespace, AF_INET) || is_masqueraded(namespace, AF_INET6);
		if (!masqueraded)
			refuse(check, namespace->publish[0].at,
			       "namespace '%s': to be published it needs an interface with an "
			       "address on a network with 'masquerade', whose uplink is where it is "
			       "reached",
			       namespace->name);
		for (size_t j = 0; j < namespace->publish_count; j++) {
			struct known one = {namespace, &namespace->publish[j]};

			check_publish(check, &one, known, count);
			check_client(check, &one);
			if (masqueraded)
				check_family(check, &one);
			*arena_push(check->arena, known, count) = one;
		}
	}
}

const char *published_protocol(uint8_t protocol)
{
	return protocol == NSR_NAT_UDP ? "udp" : "tcp";
}
