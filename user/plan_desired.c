/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: one loop over the topology for each phase, so that apply finds long runs of
 * operations of one kind in one namespace, which it sends together.
 *
 *	the datapath, the uplinks, the masqueraded prefixes	(nothing can leave untranslated)
 *	what the host's sysctls have to allow
 *	bridges; those that are uplinks, and what is masqueraded to them
 *	namespaces with their sysctls and files, veths, devices, all of them silent
 *	ports with their policy, hosts				(nothing can enter unjudged)
 *	the host's ends: up, on the bridge or on Open vSwitch; what sizes bridges take with them
 *	veths without a bridge, which have no policy
 *	the namespaces' ends: addresses, up, neighbours, routes	(now packets flow)
 *	without a bridge: the gateway's addresses, and routes by the host's ends
 *
 * The last of these is so late because the kernel walks all IPv6 routes with each interface that
 * comes up, or finds its other end. And a namespace's end comes up after the host's, because the
 * first of two waits for a worker of the kernel before it sends anything.
 *
 * What the observed state has to say about it is little: what plan_host.c finds of the host, and
 * ports with a qdisc that the fast path would bypass.
 */
#include "plan_desired.h"

#include <string.h>
#include <sys/socket.h>

#include "plan_big_tcp.h"
#include "plan_device.h"
#include "plan_files.h"
#include "plan_flows.h"
#include "plan_host.h"
#include "plan_ovs.h"
#include "plan_publish.h"
#include "plan_reserve.h"
#include "plan_routed.h"
#include "plan_sysctls.h"

struct via {
	const struct topology_route *route;
	struct via *next;
};

struct operation *want(struct builder *b, enum operation_kind kind, struct position at)
{
	struct operation *op = arena_push(b->arena, b->plan->operations, b->plan->count);

	op->kind = kind;
	op->at = at;
	return op;
}

static size_t network_place(const struct builder *b, const struct network *network)
{
	return (size_t)(network - b->topology->networks);
}

/* The gateway that speaks for an address; NULL when its subnet has none. */
static const struct ip_address *gateway_of(const struct network *network,
					   const struct ip_address *address)
{
	for (size_t i = 0; i < network->gateways_count; i++)
		if (ip_within(address, &network->gateways[i]))
			return &network->gateways[i];
	return NULL;
}

/* ---- Links. */

static void want_link_up(struct builder *b, struct position at, const char *namespace,
			 const char *link)
{
	struct operation *op = want(b, OPERATION_LINK_SET, at);

	op->namespace = namespace;
	op->link = link;
	op->alias = b->view->alias;
	op->up = true;
}

struct operation *want_address(struct builder *b, struct position at, const char *namespace,
			       const char *link, const struct ip_address *address)
{
	struct operation *op = want(b, OPERATION_ADDRESS_ADD, at);

	op->namespace = namespace;
	op->link = link;
	op->address = *address;
	return op;
}

void want_neighbour(struct builder *b, struct position at, const char *namespace, const char *link,
		    const struct ip_address *ip, const uint8_t mac[6])
{
	struct operation *op = want(b, OPERATION_NEIGHBOUR_ADD, at);

	op->namespace = namespace;
	op->link = link;
	op->address = plan_host_address(*ip);
	memcpy(op->mac, mac, sizeof(op->mac));
}

/* The settings of a link that we made: the operation before sets those of a new one. */
static void want_link_shape(struct builder *b, const uint8_t mac[6])
{
	struct operation *op = &b->plan->operations[b->plan->count - 1];

	op->mtu = b->topology->mtu;
	op->has_mac = true;
	memcpy(op->mac, mac, sizeof(op->mac));
}

struct operation *want_link(struct builder *b, struct position at, const char *namespace,
			    const char *link, const uint8_t mac[6])
{
	want_link_up(b, at, namespace, link);
	want_link_shape(b, mac);
	return &b->plan->operations[b->plan->count - 1];
}

void want_route(struct builder *b, struct position at, const char *namespace, const char *link,
		const struct ip_address *to, const struct ip_address *via)
{
	struct operation *op = want(b, OPERATION_ROUTE_ADD, at);

	op->namespace = namespace;
	op->link = link;
	op->address = *to;
	if (via)
		op->via = plan_host_address(*via);
}

static void want_networks(struct builder *b)
{
	for (size_t i = 0; i < b->topology->networks_count; i++) {
		const struct network *network = &b->topology->networks[i];
		struct operation *op = want(b, OPERATION_NETWORK_ADD, network->at);

		op->link = network->name;
		op->network = b->numbers[i];
		op->network_type = network->type;
		op->record = RECORD_NETWORK;
	}
}

static uint16_t isolated_flag(const struct network *network)
{
	return network->isolate ? NSR_PORT_ISOLATED : 0;
}

/* How it is kept from other networks. */
static uint16_t apart_flags(const struct network *network)
{
	return isolated_flag(network) | (network->masquerade.network ? NSR_PORT_BEHIND : 0);
}

void want_inner_link_of(struct builder *b, struct position at, const char *link,
			const struct network *network)
{
	struct operation *op = want(b, OPERATION_INNER_LINK_ADD, at);

	op->link = link;
	op->network = b->numbers[network_place(b, network)];
	op->port_flags = isolated_flag(network);
}

static void want_bridges(struct builder *b)
{
	for (size_t i = 0; i < b->topology->networks_count; i++) {
		const struct network *network = &b->topology->networks[i];
		struct operation *op;

		if (network->type != NETWORK_BRIDGE)
			continue;
		op = want(b, OPERATION_BRIDGE_ADD, network->at);
		op->link = network->name;
		want_link_shape(b, network->mac);
	}
	for (size_t i = 0; i < b->topology->networks_count; i++) {
		const struct network *network = &b->topology->networks[i];

		if (network->type == NETWORK_BRIDGE)
			want_inner_link_of(b, network->at, network->name, network);
	}
	for (size_t i = 0; i < b->topology->networks_count; i++) {
		const struct network *network = &b->topology->networks[i];

		if (network->type != NETWORK_BRIDGE)
			continue;
		for (size_t j = 0; j < network->gateways_count; j++)
			want_address(b, network->at, NULL, network->name, &network->gateways[j]);
		want_link(b, network->at, NULL, network->name, network->mac);
	}
	for (size_t i = 0; i < b->topology->networks_count; i++) {
		const struct network *network = &b->topology->networks[i];
		struct operation *op;

		if (network->type != NETWORK_BRIDGE || !network->gateways_count)
			continue;
		op = want(b, OPERATION_SYSCTL_SET, network->at);
		op->key = arena_printf(b->arena, "net/ipv4/conf/%s/forwarding", network->name);
		op->value = "1";
		op->why = "the gateway forwards";
	}
}

/* ---- Namespaces and veths. */

static void want_namespaces(struct builder *b)
{
	for (size_t i = 0; i < b->topology->namespaces_count; i++) {
		const struct topology_namespace *ns = &b->topology->namespaces[i];

		want(b, OPERATION_NETNS_ADD, ns->at)->namespace = ns->name;
		want_link_up(b, ns->at, ns->name, "lo");
	}
}

static void want_veths(struct builder *b)
{
	for (size_t i = 0; i < b->topology->namespaces_count; i++) {
		const struct topology_namespace *ns = &b->topology->namespaces[i];

		for (size_t j = 0; j < ns->interfaces_count; j++) {
			const struct interface *interface = &ns->interfaces[j];
			struct operation *op = want(b, OPERATION_VETH_ADD, interface->at);

			op->link = interface->host_name;
			op->peer_namespace = ns->name;
			op->peer = interface->name;
			memcpy(op->peer_mac, interface->mac, sizeof(op->peer_mac));
			want_link_shape(b, interface->host_mac);
		}
	}
	for (size_t i = 0; i < b->topology->links_count; i++) {
		const struct topology_link *link = &b->topology->links[i];
		const struct link_end *first = &link->ends[link->ends[1].namespace ? 0 : 1];
		const struct link_end *second = &link->ends[first == &link->ends[0]];
		struct operation *op = want(b, OPERATION_VETH_ADD, link->at);

		op->namespace = first->namespace ? first->namespace->name : NULL;
		op->link = first->name;
		op->peer_namespace = second->namespace ? second->namespace->name : NULL;
		op->peer = second->name;
		memcpy(op->peer_mac, second->mac, sizeof(op->peer_mac));
		want_link_shape(b, first->mac);
	}
}

/* ---- Ports. */

static uint16_t fast_flag(const struct builder *b, const struct interface *interface)
{
	const struct state_link *link = view_link(b->view, NULL, interface->host_name);

	/* A qdisc of somebody's would be bypassed, and so would Open vSwitch. */
	return b->topology->datapath == DATAPATH_AUTO && !(link && link->other_qdisc) &&
			       interface->network->type != NETWORK_OVS
		       ? NSR_PORT_FAST
		       : 0;
}

static void index_vias(struct builder *b)
{
	char key[IP_TEXT_MAX];

	for (size_t i = 0; i < b->topology->namespaces_count; i++) {
		const struct topology_namespace *ns = &b->topology->namespaces[i];

		for (size_t j = 0; j < ns->routes_count; j++) {
			struct via *via = arena_alloc(b->arena, sizeof(*via)), *head;

			via->route = &ns->routes[j];
			ip_format(&ns->routes[j].via, key);
			head = lookup_add(&b->vias, b->arena, arena_strdup(b->arena, key), via);
			if (head) {
				via->next = head->next;
				head->next = via;
			}
		}
	}
}

static void add_source(struct builder *b, struct ip_address **sources, size_t *count,
		       const struct ip_address *prefix)
{
	for (size_t i = 0; i < *count; i++)
		if (ip_equal(&(*sources)[i], prefix) &&
		    (*sources)[i].prefix_len == prefix->prefix_len)
			return;
	*arena_push(b->arena, *sources, *count) = *prefix;
}

/* Its addresses, and the networks that the file routes via them. */
static void want_sources(struct builder *b, struct operation *op, const struct interface *interface)
{
	struct ip_address *sources = NULL;
	char key[IP_TEXT_MAX];
	size_t count = 0;

	for (size_t i = 0; i < interface->addresses_count; i++) {
		struct ip_address ip = plan_host_address(interface->addresses[i]);
		struct ip_address *first = ip.family == AF_INET ? &op->address : &op->address6;

		if (!first->family && ip_is_forwarded(&ip))
			*first = ip;
		else
			add_source(b, &sources, &count, &ip);
		for (const struct via *via = lookup_find(&b->vias, ip_format(&ip, key)); via;
		     via = via->next)
			add_source(b, &sources, &count, &via->route->to);
	}
	op->sources = sources;
	op->sources_count = count;
}

/* What is for the host alone is reached by no network. */
static uint16_t publishes_flag(const struct topology_namespace *ns)
{
	for (size_t i = 0; i < ns->publish_count; i++)
		if (!publish_is_loopback(&ns->publish[i]))
			return NSR_PORT_PUBLISHES;
	return 0;
}

static void want_port(struct builder *b, const struct topology_namespace *ns,
		      const struct interface *interface)
{
	const struct network *network = interface->network;
	size_t place = network_place(b, network);
	const struct uplink *uplink = &b->uplinks[place];
	struct operation *op = want(b, OPERATION_PORT_ADD, interface->at);

	op->link = interface->host_name;
	op->network = b->numbers[place];
	memcpy(op->mac, interface->mac, sizeof(op->mac));
	if (network->gateways_count && network->type != NETWORK_OVS) {
		op->network_link =
			network->type == NETWORK_ROUTED ? interface->host_name : network->name;
		memcpy(op->gateway_mac, network->mac, sizeof(op->gateway_mac));
	}
	if (uplink->name) {
		const struct state_uplink *observed =
			view_find(b->view, &(struct operation){.kind = OPERATION_UPLINK_ADD,
							       .link = uplink->name});

		op->uplink = uplink->name;
		op->uplink_slot = observed ? (uint16_t)(observed->uplink.index + 1) : 0;
	}
	want_sources(b, op, interface);
	op->port_flags = (uint16_t)(fast_flag(b, interface) | apart_flags(network) |
				    (interface->spoof_check ? NSR_PORT_SPOOF_CHECK : 0) |
				    (uplink->name ? publishes_flag(ns) : 0) |
				    (op->sources_count ? NSR_PORT_MORE_SOURCES : 0));
}

static void want_ports(struct builder *b)
{
	for (size_t i = 0; i < b->topology->namespaces_count; i++) {
		const struct topology_namespace *ns = &b->topology->namespaces[i];

		for (size_t j = 0; j < ns->interfaces_count; j++)
			want_port(b, ns, &ns->interfaces[j]);
	}
}

/* Known by its MAC, or by one of its addresses. */
static void want_host(struct builder *b, const struct interface *interface,
		      const struct ip_address *address)
{
	const struct network *network = interface->network;
	struct operation *op = want(b, OPERATION_HOST_ADD, interface->at);

	op->link = interface->host_name;
	op->mtu = b->topology->mtu;
	op->network = b->numbers[network_place(b, network)];
	op->port_flags = (uint16_t)(fast_flag(b, interface) | apart_flags(network) |
				    big_tcp_flag(b, network, address ? address->family : 0));
	if (address)
		op->address = plan_host_address(*address);
	memcpy(op->mac, interface->mac, sizeof(op->mac));
	if (network->gateways_count)
		memcpy(op->gateway_mac, network->mac, sizeof(op->gateway_mac));
}

static void for_each_interface(struct builder *b,
			       void (*act)(struct builder *, const struct interface *))
{
	for (size_t i = 0; i < b->topology->namespaces_count; i++)
		for (size_t j = 0; j < b->topology->namespaces[i].interfaces_count; j++)
			act(b, &b->topology->namespaces[i].interfaces[j]);
}

static void want_hosts(struct builder *b, const struct interface *interface)
{
	if (interface->network->type == NETWORK_OVS)
		return; /* only Open vSwitch knows what may reach it */
	if (interface->network->type != NETWORK_ROUTED)
		want_host(b, interface, NULL);
	for (size_t i = 0; i < interface->addresses_count; i++)
		if (gateway_of(interface->network, &interface->addresses[i]) &&
		    ip_is_forwarded(&interface->addresses[i]))
			want_host(b, interface, &interface->addresses[i]);
}

/* ---- Ends. */

static void want_host_end(struct builder *b, const struct interface *interface)
{
	const struct network *network = interface->network;
	struct operation *op;

	if (network->type == NETWORK_ROUTED)
		return want_routed_host_end(b, interface);
	if (network->type == NETWORK_OVS)
		return want_ovs_host_end(b, interface);
	op = want_link(b, interface->at, NULL, interface->host_name, interface->host_mac);
	op->master = network->name;
	op->no_ipv6_autoaddress = true;
	want_sizes(b, op, network);
	op = want(b, OPERATION_FDB_ADD, interface->at);
	op->link = interface->host_name;
	memcpy(op->mac, interface->mac, sizeof(op->mac));
	for (size_t i = 0; i < interface->addresses_count; i++)
		if (gateway_of(network, &interface->addresses[i]))
			want_neighbour(b, interface->at, NULL, network->name,
				       &interface->addresses[i], interface->mac);
}

static void want_link_ends(struct builder *b)
{
	for (size_t i = 0; i < 2 * b->topology->links_count; i++) {
		const struct topology_link *link = &b->topology->links[i / 2];
		const struct link_end *end = &link->ends[i % 2];
		const char *namespace = end->namespace ? end->namespace->name : NULL;

		if (end->has_address)
			want_address(b, link->at, namespace, end->name, &end->address);
		want_sizes(b, want_link(b, link->at, namespace, end->name, end->mac), NULL);
	}
}

static void want_inner_end(struct builder *b, const struct topology_namespace *ns,
			   const struct interface *interface)
{
	const struct network *network = interface->network;

	if (network->type == NETWORK_OVS)
		want_ovs_offload(b, ns, interface);
	for (size_t i = 0; i < interface->addresses_count; i++)
		want_address(b, interface->at, ns->name, interface->name, &interface->addresses[i])
			->no_prefix_route = network->type == NETWORK_ROUTED;
	want_sizes(b, want_link(b, interface->at, ns->name, interface->name, interface->mac),
		   network);
	if (network->type == NETWORK_OVS)
		return; /* whose gateway has a MAC of its own */
	for (size_t i = 0; i < network->gateways_count; i++)
		for (size_t j = 0; j < interface->addresses_count; j++)
			if (ip_within(&interface->addresses[j], &network->gateways[i])) {
				want_neighbour(b, interface->at, ns->name, interface->name,
					       &network->gateways[i], network->mac);
				break;
			}
	if (network->type == NETWORK_ROUTED)
		want_routed_inner_routes(b, ns, interface);
}

/* The link that a next hop is on; NULL when none of the file is, and the kernel will say so. */
static const char *link_towards(const struct builder *b, const struct topology_namespace *ns,
				const struct ip_address *via)
{
	for (size_t i = 0; i < ns->interfaces_count; i++)
		for (size_t j = 0; j < ns->interfaces[i].addresses_count; j++)
			if (ip_within(via, &ns->interfaces[i].addresses[j]))
				return ns->interfaces[i].name;
	for (size_t i = 0; i < 2 * b->topology->links_count; i++) {
		const struct link_end *end = &b->topology->links[i / 2].ends[i % 2];

		if (end->namespace == ns && end->has_address && ip_within(via, &end->address))
			return end->name;
	}
	return device_towards(b->topology, ns, via);
}

static void want_routes(struct builder *b, const struct topology_namespace *ns)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	const struct interface *interface;
	struct ip_address gateway;

	for (size_t i = 0; i < 2; i++)
		if (topology_default_gateway(ns, families[i], &gateway, &interface))
			want_route(b, interface->at, ns->name, interface->name,
				   &(struct ip_address){.family = families[i]}, &gateway);
	for (size_t i = 0; i < ns->routes_count; i++)
		want_route(b, ns->routes[i].at, ns->name, link_towards(b, ns, &ns->routes[i].via),
			   &ns->routes[i].to, &ns->routes[i].via);
}

static void want_inner_ends(struct builder *b)
{
	for (size_t i = 0; i < b->topology->namespaces_count; i++) {
		const struct topology_namespace *ns = &b->topology->namespaces[i];

		for (size_t j = 0; j < ns->interfaces_count; j++)
			want_inner_end(b, ns, &ns->interfaces[j]);
		want_routes(b, ns);
	}
}

static int check_ports(const struct builder *b, struct error *err)
{
	for (size_t i = 0; i < b->topology->namespaces_count; i++) {
		const struct topology_namespace *ns = &b->topology->namespaces[i];

		for (size_t j = 0; j < ns->interfaces_count; j++) {
			const struct state_link *link =
				view_link(b->view, NULL, ns->interfaces[j].host_name);

			if (link && check_hooks(link, err)) {
				error_at(err, b->topology->file, ns->interfaces[j].at);
				return err->code;
			}
		}
	}
	return 0;
}

int plan_desired(const struct topology *topology, const struct view *view, struct plan *plan,
		 struct error *err)
{
	struct builder b = {.topology = topology, .view = view, .arena = view->arena, .plan = plan};
	int ret;

	ret = find_uplinks(&b, err);
	if (!ret)
		ret = number_networks(&b, err);
	if (!ret)
		ret = check_ports(&b, err);
	if (!ret)
		ret = check_ovs_networks(&b, err);
	if (!ret)
		ret = check_publications(&b, err);
	if (ret)
		return ret;
	index_vias(&b);
	find_big_tcp(&b);
	ret = want_datapath(&b, err);
	if (ret)
		return ret;
	want_set_aside(&b);
	want_uplinks(&b, false);
	want_host_sysctls(&b);
	want_networks(&b);
	want_bridges(&b);
	want_uplinks(&b, true);
	want_namespaces(&b);
	want_files(&b);
	want_netns_sysctls(&b);
	want_veths(&b);
	want_devices(&b);
	want_link_sysctls(&b);
	want_ports(&b);
	for_each_interface(&b, want_routed_inner_link);
	for_each_interface(&b, want_hosts);
	for_each_interface(&b, want_host_end);
	want_bridge_sizes(&b);
	want_link_ends(&b);
	want_device_ends(&b);
	want_inner_ends(&b);
	for_each_interface(&b, want_routed_ways);
	want_reserved_ports(&b);
	want_publishes(&b);
	complete_datapath(plan);
	return 0;
}
