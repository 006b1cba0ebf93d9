/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a namespace's TCP makes packets as large as its interface takes (gso_max_size), so
 *a larger size there makes fewer packets for the same bytes. Whoever cannot pass one on whole cuts
 *it into segments of the MTU, in software: for what goes that way, larger is slower. So "auto" asks
 * whether anything of this fabric would be in that place, and sets all of its links alike, or none:
 *
 *	an uplink whose own size is smaller, which most NICs' is
 *	Open vSwitch, which has a size of its own
 *	a device of the host in a namespace, where a router may be
 *	a network that is "off"
 *
 * and it means IPv4 only. In IPv6 a packet of more than 64 KiB has a jumbo option (RFC 2675), which
 * the kernel counts as a part of each segment when it routes (ip6_pkt_too_big() by way of
 * skb_gso_network_seglen(), at least up to 6.18; seen there): full segments are then 8 bytes too
 * large, and it drops the packet. The fast path counts right, but not all goes that way, and a
 * namespace may be a router. So IPv6 is for "on", which asks nothing.
 *
 * What the kernel knows is probed: the links of the host tell their sizes, or they do not. The
 * sizes for IPv4 are from 6.3. The kernel sets them with the others when those become small, so all
 * four go together.
 */
#include "plan_big_tcp.h"

#include <string.h>
#include <sys/socket.h>

/* The size that the kernel's authors measured with: 4 MiB of socket buffer hold some twenty, and 17
 * fragments of 32 KiB each hold one. */
#define BIG_TCP_SIZE 185000

static bool kernel_knows(const struct builder *b, enum state_size size)
{
	const struct state_link *lo = view_link(b->view, NULL, "lo");

	return lo && lo->sizes[size];
}

static bool passes_whole(const struct builder *b, size_t place)
{
	const struct network *network = &b->topology->networks[place];
	const char *name = b->uplinks[place].inner ? NULL : b->uplinks[place].name;
	const struct state_link *uplink = name ? view_link(b->view, NULL, name) : NULL;

	return network->big_tcp != BIG_TCP_OFF && network->type != NETWORK_OVS &&
	       (!uplink || uplink->sizes[STATE_GSO_IPV4] >= BIG_TCP_SIZE);
}

void find_big_tcp(struct builder *b)
{
	size_t count = b->topology->networks_count;
	bool alike = !b->topology->devices_count;
	struct big_tcp known = {kernel_knows(b, STATE_GSO_IPV4), kernel_knows(b, STATE_GRO)};

	b->kernel_big_tcp = known;
	b->big_tcp = arena_alloc(b->arena, count * sizeof(*b->big_tcp));
	b->big_tcp_links = (struct big_tcp){known.ipv4 && count, known.ipv6 && count};
	for (size_t i = 0; i < count; i++)
		alike = alike && passes_whole(b, i);
	for (size_t i = 0; i < count; i++) {
		const struct network *network = &b->topology->networks[i];
		bool on = network->big_tcp == BIG_TCP_ON;

		b->big_tcp[i].ipv4 = known.ipv4 && (on || alike);
		b->big_tcp[i].ipv6 = known.ipv6 && on;
		b->big_tcp_links.ipv4 &= b->big_tcp[i].ipv4;
		b->big_tcp_links.ipv6 &= b->big_tcp[i].ipv6;
	}
}

static struct big_tcp of_network(const struct builder *b, const struct network *network)
{
	return network ? b->big_tcp[network - b->topology->networks] : b->big_tcp_links;
}

void want_sizes(struct builder *b, struct operation *op, const struct network *network)
{
	struct big_tcp big = of_network(b, network);

	if (network && network->type == NETWORK_OVS)
		return;
	if (b->kernel_big_tcp.ipv6)
		op->sizes[STATE_GSO] = op->sizes[STATE_GRO] = big.ipv6 ? BIG_TCP_SIZE : NSR_GSO_MAX;
	if (b->kernel_big_tcp.ipv4)
		op->sizes[STATE_GSO_IPV4] = op->sizes[STATE_GRO_IPV4] =
			big.ipv4 ? BIG_TCP_SIZE : NSR_GSO_MAX;
}

/* Somebody else's port may take less than a veth; then the bridge's sizes are its owner's. */
static bool has_other_ports(const struct builder *b, const struct state_link *bridge)
{
	const struct state_namespace *host = &b->view->state->host;

	for (size_t i = 0; bridge && i < host->links_count; i++)
		if (host->links[i].master == bridge->ifindex &&
		    !view_link_is_ours(b->view, &host->links[i]) &&
		    !view_link_is_of_steps(b->view, NULL, &host->links[i]))
			return true;
	return false;
}

static bool has_interfaces(const struct builder *b, const struct network *network)
{
	for (size_t i = 0; i < b->topology->namespaces_count; i++) {
		const struct topology_namespace *ns = &b->topology->namespaces[i];

		for (size_t j = 0; j < ns->interfaces_count; j++)
			if (ns->interfaces[j].network == network)
				return true;
	}
	return false;
}

void want_bridge_sizes(struct builder *b)
{
	for (size_t i = 0; i < b->topology->networks_count; i++) {
		const struct network *network = &b->topology->networks[i];
		struct operation *op;

		if (network->type != NETWORK_BRIDGE || !has_interfaces(b, network) ||
		    has_other_ports(b, view_link(b->view, NULL, network->name)))
			continue;
		op = want(b, OPERATION_LINK_SET, network->at);
		op->link = network->name;
		want_sizes(b, op, network);
	}
}

uint16_t big_tcp_flag(const struct builder *b, const struct network *network, uint8_t family)
{
	struct big_tcp big = of_network(b, network);
	bool takes = family == AF_INET    ? big.ipv4
		     : family == AF_INET6 ? big.ipv6
					  : big.ipv4 || big.ipv6;

	return takes ? NSR_PORT_BIG_TCP : 0;
}

bool sizes_missing(const struct state_link *link, struct operation *op, struct operation *old)
{
	bool missing = false;

	for (size_t i = 0; i < STATE_SIZES; i++)
		missing |= op->sizes[i] && op->sizes[i] != (link ? link->sizes[i] : NSR_GSO_MAX);
	if (old)
		memset(old->sizes, 0, sizeof(old->sizes));
	if (!missing)
		memset(op->sizes, 0, sizeof(op->sizes));
	else if (link && old)
		for (size_t i = 0; i < STATE_SIZES; i++)
			old->sizes[i] = op->sizes[i] ? link->sizes[i] : 0;
	return missing;
}
