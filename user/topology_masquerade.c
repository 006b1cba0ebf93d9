/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: an uplink is an interface of the host, of which nothing is known here, or another
 * network of the file, whose name then goes before an interface's. What leaves for that network
 * does so by its bridge, with its gateway's address, so it has to have both. Nothing is sent
 * straight from one of the two networks to the other, so neither can be isolated, and only one of
 * the two can be masqueraded to the other.
 */
#include "topology_masquerade.h"

#include <string.h>
#include <sys/socket.h>

static bool has_gateway(const struct network *network, uint8_t family,
			const struct ip_address *address)
{
	for (size_t i = 0; i < network->gateways_count; i++)
		if (network->gateways[i].family == family &&
		    (!address || ip_equal(&network->gateways[i], address)))
			return true;
	return false;
}

/* The external address is that of a gateway. */
static void check_external(struct check *check, const struct network *network,
			   const struct network *to, const struct ip_address *address)
{
	char text[IP_TEXT_MAX];

	if (address->family && !has_gateway(to, address->family, address))
		refuse(check, network->masquerade.at,
		       "network '%s': %s is no gateway of network '%s', to which it is masqueraded; leave "
		       "'addresses' out",
		       network->name, ip_format(address, text), to->name);
}

/* As what network is masqueraded to. */
static void check_network(struct check *check, const struct network *network,
			  const struct network *to)
{
	struct position at = network->masquerade.at;

	if (to == network) {
		refuse(check, at, "network '%s' is masqueraded to itself", network->name);
		return;
	}
	if (to->type != NETWORK_BRIDGE)
		refuse(check, at,
		       "network '%s': network '%s' is no bridge (type %s), so there is no one interface "
		       "that leads to it and could be an uplink",
		       network->name, to->name, network_type_name(to->type));
	else if (!to->incomplete && !to->subnets_incomplete && !has_gateway(to, AF_INET, NULL))
		refuse(check, at,
		       "network '%s': network '%s' has no IPv4 gateway, whose address would be what it "
		       "is masqueraded as",
		       network->name, to->name);
	if (network->isolate || to->isolate)
		refuse(check, at,
		       "network '%s' is masqueraded to network '%s', and '%s' is isolated: nothing is "
		       "forwarded between it and others",
		       network->name, to->name, network->isolate ? network->name : to->name);
	if (to->masquerade.network == network) /* checked before this one */
		refuse(check, at,
		       "network '%s': network '%s' (line %u) is masqueraded to this one; only one of the "
		       "two can be masqueraded to the other",
		       network->name, to->name, to->at.line);
	check_external(check, network, to, &network->masquerade.address);
	check_external(check, network, to, &network->masquerade.address6);
	for (size_t i = 0; i < network->masquerade.more_count; i++)
		check_external(check, network, to, &network->masquerade.more[i]);
}

static void find_network(struct check *check, struct network *network)
{
	struct masquerade *masquerade = &network->masquerade;

	if (!strcmp(masquerade->uplink, "auto"))
		return;
	masquerade->network = lookup_find(&check->networks, masquerade->uplink);
	if (masquerade->network)
		check_network(check, network, masquerade->network);
}

static bool names(const struct masquerade *masquerade, const struct ip_address *address)
{
	for (size_t i = 0; i < masquerade->more_count; i++)
		if (ip_equal(&masquerade->more[i], address))
			return true;
	return ip_equal(&masquerade->address, address) || ip_equal(&masquerade->address6, address);
}

static bool names_all(const struct masquerade *masquerade, const struct masquerade *of)
{
	bool all = names(masquerade, &of->address) && names(masquerade, &of->address6);

	for (size_t i = 0; i < of->more_count; i++)
		all = all && names(masquerade, &of->more[i]);
	return all;
}

bool masquerade_same_externals(const struct masquerade *one, const struct masquerade *other)
{
	return names_all(one, other) && names_all(other, one);
}

static void check_translation(struct check *check, struct network *network)
{
	struct masquerade *masquerade = &network->masquerade;
	const struct network *other;

	if (!masquerade->enabled)
		return;
	if (network->type == NETWORK_OVS) {
		refuse(check, masquerade->at,
		       "network '%s': an Open vSwitch network has its gateway elsewhere, so what "
		       "leaves it cannot be masqueraded here",
		       network->name);
		return;
	}
	if (!network->subnets_count && !network->incomplete)
		refuse(check, masquerade->at,
		       "network '%s': masquerade needs subnets: there is no address to translate",
		       network->name);
	else if (network->gateway_none)
		refuse(check, masquerade->at,
		       "network '%s': masquerade needs a gateway: without one nothing is routed to the "
		       "uplink",
		       network->name);
	find_network(check, network);
	other = lookup_add(&check->uplinks, check->arena, masquerade->uplink, network);
	if (other && !masquerade_same_externals(&other->masquerade, masquerade))
		refuse(check, masquerade->at,
		       "network '%s': 'addresses' differ from those of network '%s' (line %u); networks "
		       "with the same uplink ('%s') share its address, so write the same",
		       network->name, other->name, other->at.line, masquerade->uplink);
	if (other && (other->masquerade.port_min != masquerade->port_min ||
		      other->masquerade.port_max != masquerade->port_max))
		refuse(check, masquerade->at,
		       "network '%s': ports %u-%u differ from the %u-%u of network '%s' (line %u); "
		       "networks with the same uplink ('%s') share its ports, so write the same range",
		       network->name, masquerade->port_min, masquerade->port_max,
		       other->masquerade.port_min, other->masquerade.port_max, other->name,
		       other->at.line, masquerade->uplink);
}

/* Without a masquerade no uplink is known, and nothing keeps anybody out or in. */
static void check_inbound(struct check *check, struct network *network)
{
	if (!network->inbound)
		return;
	if (!network->masquerade.enabled && !network->incomplete)
		refuse(check, network->inbound_at,
		       "network '%s': 'inbound' is about the uplink that the network is masqueraded to, and "
		       "it has no 'masquerade': what comes straight to its addresses is the kernel's to "
		       "forward; leave 'inbound' out",
		       network->name);
	else if (network->masquerade.network)
		refuse(check, network->inbound_at,
		       "network '%s' is masqueraded to network '%s', whose hosts cannot reach it straight: "
		       "they are on the same machine, and would be told apart from their own network's by "
		       "nothing; publish ports, or leave 'masquerade' out",
		       network->name, network->masquerade.network->name);
	network->masquerade.inside.inbound = network->inbound;
}

/* A prefix that is in a subnet of the file is reached without the uplink. One that has subnets in
 * it is not refused: what is inside stays so. */
static void check_excepted(struct check *check, const struct network *network,
			   const struct ip_address *prefix, struct position at)
{
	const struct topology *topology = check->topology;
	char text[IP_TEXT_MAX], subnet[IP_TEXT_MAX];

	for (size_t i = 0; i < topology->networks_count; i++) {
		const struct network *other = &topology->networks[i];

		for (size_t j = 0; j < other->subnets_count; j++)
			if (ip_within(prefix, &other->subnets[j]) &&
			    prefix->prefix_len >= other->subnets[j].prefix_len)
				refuse(check, at,
				       "network '%s': 'except' has %s, which is in subnet %s of network "
				       "'%s' and is never reached by the uplink; leave it out",
				       network->name, ip_format_prefix(prefix, text),
				       ip_format_prefix(&other->subnets[j], subnet), other->name);
	}
}

static void check_exceptions(struct check *check, const struct network *network)
{
	const struct masquerade *masquerade = &network->masquerade;

	if (masquerade->except_count && masquerade->network) {
		refuse(check, masquerade->except_at[0],
		       "network '%s' is masqueraded to network '%s', and 'except' is about what leaves "
		       "the host: hosts of that network are on the same machine, and would be told apart "
		       "from others by nothing; leave 'except' or 'masquerade' out",
		       network->name, masquerade->network->name);
		return;
	}
	for (size_t i = 0; i < masquerade->except_count; i++)
		check_excepted(check, network, &masquerade->except[i], masquerade->except_at[i]);
}

void check_masquerade(struct check *check, struct network *network)
{
	check_translation(check, network);
	check_exceptions(check, network);
	check_inbound(check, network);
}
