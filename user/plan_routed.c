/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a routed network is many cables to one router, the host. Every host end is the
 * gateway: it has the network's MAC, the gateway's addresses, each for itself alone (/32, /128),
 * and with IPv6 a link-local address derived from the MAC. The host has a route to each inside
 * address by its cable; the namespace has its address with the subnet's prefix length, but reaches
 * the subnet by the gateway. Both sides know the other's MAC from the first, so nobody ever asks.
 *
 * The next hop of a packet is never on the link that it came by, so no redirect is sent, but to a
 * namespace that sends to itself.
 */
#include "plan_routed.h"

#include <string.h>
#include <sys/socket.h>

#include "plan_big_tcp.h"

void want_routed_inner_link(struct builder *b, const struct interface *interface)
{
	if (interface->network->type == NETWORK_ROUTED)
		want_inner_link_of(b, interface->at, interface->host_name, interface->network);
}

/* Whether the interface has an address that the gateway speaks for. */
static bool is_gateway_of(const struct ip_address *gateway, const struct interface *interface)
{
	for (size_t i = 0; i < interface->addresses_count; i++)
		if (ip_within(&interface->addresses[i], gateway))
			return true;
	return false;
}

/* RFC 4291 appendix A: modified EUI-64. */
static struct ip_address link_local(const uint8_t mac[6])
{
	return (struct ip_address){AF_INET6,
				   64,
				   {0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1], mac[2], 0xff,
				    0xfe, mac[3], mac[4], mac[5]}};
}

/* Without the route that the kernel would make of it: 4,000 links with the same one are slow. */
static void want_gateway(struct builder *b, const struct interface *interface,
			 const struct ip_address *gateway)
{
	struct ip_address alone = plan_host_address(*gateway);

	want_address(b, interface->at, NULL, interface->host_name, &alone)->no_prefix_route = true;
}

void want_routed_host_end(struct builder *b, const struct interface *interface)
{
	struct operation *op =
		want_link(b, interface->at, NULL, interface->host_name, interface->host_mac);

	op->master = "";
	op->no_ipv6_autoaddress = true;
	op->forward = true;
	want_sizes(b, op, interface->network);
}

/* Where no IPv6 address is the gateway's, none is needed. */
static void want_link_local(struct builder *b, const struct interface *interface)
{
	const struct network *network = interface->network;
	struct ip_address local = link_local(network->mac);

	for (size_t i = 0; i < network->gateways_count; i++) {
		if (network->gateways[i].family != AF_INET6 ||
		    !is_gateway_of(&network->gateways[i], interface))
			continue;
		want_address(b, interface->at, NULL, interface->host_name, &local);
		return;
	}
}

void want_routed_ways(struct builder *b, const struct interface *interface)
{
	const struct network *network = interface->network;

	if (network->type != NETWORK_ROUTED)
		return;
	for (size_t i = 0; i < network->gateways_count; i++)
		if (is_gateway_of(&network->gateways[i], interface))
			want_gateway(b, interface, &network->gateways[i]);
	want_link_local(b, interface);
	for (size_t i = 0; i < interface->addresses_count; i++) {
		struct ip_address inside = plan_host_address(interface->addresses[i]);

		want_neighbour(b, interface->at, NULL, interface->host_name, &inside,
			       interface->mac);
		want_route(b, interface->at, NULL, interface->host_name, &inside, NULL);
	}
}

void want_routed_inner_routes(struct builder *b, const struct topology_namespace *ns,
			      const struct interface *interface)
{
	const struct network *network = interface->network;

	for (size_t i = 0; i < network->gateways_count; i++) {
		struct ip_address subnet = ip_network(&network->gateways[i]);
		struct ip_address alone = plan_host_address(network->gateways[i]);

		if (!is_gateway_of(&network->gateways[i], interface))
			continue;
		want_route(b, interface->at, ns->name, interface->name, &alone, NULL);
		want_route(b, interface->at, ns->name, interface->name, &subnet, &alone);
	}
}
