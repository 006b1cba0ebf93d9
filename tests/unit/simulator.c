/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the state is the very structures that a snapshot fills, so that observing is
 * copying. Elements are deleted by closing the gap.
 */
#include "simulator_private.h"

#include "plan_keep.h"
#include "plan_reserve.h"

#include <linux/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

static bool same(const char *a, const char *b)
{
	return !strcmp(a ? a : "", b ? b : "");
}

struct state_namespace *simulator_space(struct simulator *sim, const char *namespace)
{
	for (size_t i = 0; i < sim->spaces_count; i++)
		if (same(sim->spaces[i].name, namespace))
			return &sim->spaces[i];
	return NULL;
}

struct state_link *simulator_link(struct simulator *sim, const char *namespace, const char *name)
{
	struct state_namespace *ns = simulator_space(sim, namespace);

	for (size_t i = 0; ns && i < ns->links_count; i++)
		if (!strcmp(ns->links[i].name, name))
			return &ns->links[i];
	return NULL;
}

struct state_link *need(struct simulator *sim, const char *namespace, const char *name)
{
	struct state_link *link = name ? simulator_link(sim, namespace, name) : NULL;

	if (!link)
		fail_msg("there is no link %s in %s", name ? name : "(none)",
			 namespace ? namespace : "the host");
	return link;
}

struct state_link *simulator_add_link(struct simulator *sim, const char *namespace,
				      const char *name, const char *kind)
{
	struct state_namespace *ns = simulator_space(sim, namespace);
	struct state_link *link;

	assert_non_null(ns);
	assert_null(simulator_link(sim, namespace, name));
	link = arena_push(&sim->arena, ns->links, ns->links_count);
	memset(link, 0, sizeof(*link));
	link->ifindex = !strcmp(name, "lo") ? 1 : ++sim->next_ifindex;
	link->type = !strcmp(name, "lo") ? ARPHRD_LOOPBACK : ARPHRD_ETHER;
	link->mtu = 1500;
	for (size_t i = 0; i < STATE_SIZES; i++)
		link->sizes[i] = i < STATE_GSO_IPV4 || !sim->no_ipv4_sizes ? 65536 : 0;
	snprintf(link->name, sizeof(link->name), "%s", name);
	snprintf(link->kind, sizeof(link->kind), "%s", kind);
	if (namespace && strcmp(name, "lo"))
		add_link_sysctls(sim, namespace, name);
	return link;
}

static void add_space(struct simulator *sim, const char *name)
{
	struct state_namespace *ns;

	assert_null(simulator_space(sim, name));
	ns = arena_push(&sim->arena, sim->spaces, sim->spaces_count);
	memset(ns, 0, sizeof(*ns));
	ns->name = name;
	ns->exists = true;
	simulator_add_link(sim, name, "lo", "");
	if (!name)
		return;
	add_netns_sysctl(sim, name, "net/ipv4/tcp_syncookies", "1");
	add_netns_sysctl(sim, name, "net/ipv4/conf/all/forwarding", "0");
}

struct simulator *simulator_new(void)
{
	struct simulator *sim = calloc(1, sizeof(*sim));
	struct state_namespace *host;
	struct state_link *eth0;

	sim->next_ifindex = 1;
	add_space(sim, NULL);
	eth0 = simulator_add_link(sim, NULL, "eth0", "");
	eth0->flags = IFF_UP;
	host = &sim->spaces[0];
	*arena_push(&sim->arena, host->addresses, host->addresses_count) =
		(struct state_address){.ifindex = eth0->ifindex,
				       .address = {AF_INET, 24, {198, 51, 100, 1}},
				       .flags = IFA_F_PERMANENT};
	*arena_push(&sim->arena, host->routes, host->routes_count) =
		(struct state_route){.to = {.family = AF_INET},
				     .via = {AF_INET, 32, {198, 51, 100, 254}},
				     .ifindex = eth0->ifindex,
				     .protocol = RTPROT_BOOT,
				     .type = RTN_UNICAST};
	simulator_set_sysctl(sim, "net/ipv4/conf/eth0/forwarding", "0");
	simulator_set_sysctl(sim, RESERVED_KEY, "9001,40000");
	simulator_set_sysctl(sim, "net/ipv6/conf/eth0/accept_ra", "1");
	simulator_set_sysctl(sim, "net/ipv6/conf/all/forwarding", "0");
	simulator_set_sysctl(sim, "net/ipv6/conf/eth0/forwarding", "0");
	return sim;
}

void simulator_free(struct simulator *sim)
{
	arena_free(&sim->arena);
	free(sim);
}

/* ---- What goes. */

static void drop_link(struct simulator *sim, struct state_namespace *ns, uint32_t ifindex)
{
	char key[64] = "", offload[64] = "";

	for (size_t i = 0; i < ns->links_count; i++) {
		if (ns->links[i].ifindex != ifindex)
			continue;
		snprintf(key, sizeof(key), "net/ipv4/conf/%s/forwarding", ns->links[i].name);
		snprintf(offload, sizeof(offload), "offload/%s/tx-checksum", ns->links[i].name);
	}
	DELETE_IF(ns->links, ns->links_count, it->ifindex == ifindex);
	DELETE_IF(ns->addresses, ns->addresses_count, it->ifindex == ifindex);
	DELETE_IF(ns->routes, ns->routes_count, it->ifindex == ifindex);
	DELETE_IF(ns->neighbours, ns->neighbours_count, it->ifindex == ifindex);
	DELETE_IF(ns->sysctls, ns->sysctls_count,
		  !strcmp(it->key, key) || !strcmp(it->key, offload));
	(void)sim;
}

void simulator_delete_link(struct simulator *sim, const char *namespace, const char *name)
{
	struct state_link link = *need(sim, namespace, name);

	drop_link(sim, simulator_space(sim, namespace), link.ifindex);
	/* ifindexes are unique in the whole simulation, but those of lo */
	for (size_t i = 0; link.peer_ifindex && i < sim->spaces_count; i++)
		drop_link(sim, &sim->spaces[i], link.peer_ifindex);
}

void simulator_delete_space(struct simulator *sim, const char *namespace)
{
	struct state_namespace *ns = simulator_space(sim, namespace);

	assert_non_null(ns);
	while (ns->links_count > 1)
		simulator_delete_link(sim, namespace, ns->links[ns->links_count - 1].name);
	DELETE_AT(sim->spaces, sim->spaces_count, (size_t)(ns - sim->spaces));
}

void simulator_set_sysctl(struct simulator *sim, const char *key, const char *value)
{
	struct state_namespace *host = &sim->spaces[0];

	DELETE_IF(host->sysctls, host->sysctls_count, !strcmp(it->key, key));
	*arena_push(&sim->arena, host->sysctls, host->sysctls_count) =
		(struct state_sysctl){arena_strdup(&sim->arena, key), value};
}

const char *simulator_sysctl(struct simulator *sim, const char *key)
{
	const struct state_namespace *host = &sim->spaces[0];

	for (size_t i = 0; i < host->sysctls_count; i++)
		if (!strcmp(host->sysctls[i].key, key))
			return host->sysctls[i].value;
	return NULL;
}

/* ---- Observing. */

#define COPY(sim, array, count)                                                                  \
	((array) = memcpy(arena_alloc(&(sim)->arena, ((count) + 1) * sizeof(*(array))), (array), \
			  (count) * sizeof(*(array))))

static struct state_namespace copy_space(struct simulator *sim, const struct state_namespace *from)
{
	struct state_namespace ns = *from;

	if (ns.links_count)
		COPY(sim, ns.links, ns.links_count);
	if (ns.addresses_count)
		COPY(sim, ns.addresses, ns.addresses_count);
	if (ns.routes_count)
		COPY(sim, ns.routes, ns.routes_count);
	if (ns.neighbours_count)
		COPY(sim, ns.neighbours, ns.neighbours_count);
	if (ns.sysctls_count)
		COPY(sim, ns.sysctls, ns.sysctls_count);
	ns.alias = arena_strdup(&sim->arena, ns.links[0].alias);
	return ns;
}

static struct state_datapath copy_datapath(struct simulator *sim)
{
	struct state_datapath datapath = sim->datapath;

	if (datapath.ports_count)
		COPY(sim, datapath.ports, datapath.ports_count);
	if (datapath.endpoints_count)
		COPY(sim, datapath.endpoints, datapath.endpoints_count);
	if (datapath.uplinks_count)
		COPY(sim, datapath.uplinks, datapath.uplinks_count);
	if (datapath.inside_count)
		COPY(sim, datapath.inside, datapath.inside_count);
	if (datapath.sources_count)
		COPY(sim, datapath.sources, datapath.sources_count);
	if (datapath.inner_links_count)
		COPY(sim, datapath.inner_links, datapath.inner_links_count);
	return datapath;
}

struct kernel_state *simulator_observe_named(struct simulator *sim, const char *const *names,
					     size_t count)
{
	struct kernel_state *state = arena_alloc(&sim->arena, sizeof(*state));

	state->host = copy_space(sim, &sim->spaces[0]);
	state->namespaces = arena_alloc(&sim->arena, (count + 1) * sizeof(*state->namespaces));
	state->namespaces_count = count;
	for (size_t i = 0; i < count; i++) {
		const struct state_namespace *ns = simulator_space(sim, names[i]);

		state->namespaces[i] = ns ? copy_space(sim, ns)
					  : (struct state_namespace){.name = names[i], .alias = ""};
	}
	state->datapath = copy_datapath(sim);
	state->others = sim->others;
	state->others_count = sim->others_count;
	return state;
}

struct kernel_state *simulator_observe(struct simulator *sim, struct topology *topology)
{
	struct kernel_state *state;
	const char *const *names;
	struct error err;
	size_t count;

	plan_needs_namespaces(topology, &sim->record, &sim->arena, &names, &count);
	state = simulator_observe_named(sim, names, count);
	for (size_t i = 0; i < count; i++)
		hide_sysctls(sim, topology, &state->namespaces[i]);
	state->files = copy_files(sim, topology, &state->files_count);
	state->ovs = copy_ovs(sim, topology);
	state->steps = sim->steps.count ? &sim->steps : NULL;
	if (topology)
		assert_int_equal(plan_keep(topology, &sim->record, state, &sim->arena, &err), 0);
	plan_needs_sysctls(topology, &sim->record, state, &sim->arena, &names, &count);
	for (size_t i = 0; i < count; i++) /* what a plan looks at, it must have asked for */
		assert_non_null(names[i]);
	return state;
}

/* ---- The record, as apply_record.c keeps it. */

static struct record *written(struct simulator *sim)
{
	return sim->by_hand || sim->by_steps ? &sim->steps : &sim->record;
}

void note(struct simulator *sim, enum record_kind kind, const char *name, const char *value,
	  const char *set)
{
	struct record *record = written(sim);

	DELETE_IF(record->entries, record->count, it->kind == kind && !strcmp(it->name, name));
	*arena_push(&sim->arena, record->entries, record->count) =
		(struct record_entry){kind, name, value, set};
}

void unnote(struct simulator *sim, enum record_kind kind, const char *name)
{
	struct record *record = written(sim);

	DELETE_IF(record->entries, record->count, it->kind == kind && !strcmp(it->name, name));
}

static char *mac_text(struct simulator *sim, const uint8_t mac[6])
{
	return mac_format(mac, arena_alloc(&sim->arena, MAC_TEXT_MAX));
}

/* ---- Links. */

static const char *place_of(struct simulator *sim, const char *namespace, const char *link)
{
	return arena_printf(&sim->arena, "%s/%s", namespace, link);
}

static void note_end(struct simulator *sim, const struct operation *op, const char *namespace,
		     const char *link, const uint8_t mac[6])
{
	if (!namespace)
		note(sim, RECORD_LINK, link, mac_text(sim, mac), "");
	else if (op->record_inside)
		note(sim, RECORD_LINK_INSIDE, place_of(sim, namespace, link), mac_text(sim, mac),
		     "");
}

static void unnote_end(struct simulator *sim, const char *namespace, const char *link)
{
	if (namespace)
		unnote(sim, RECORD_LINK_INSIDE, place_of(sim, namespace, link));
	else
		unnote(sim, RECORD_LINK, link);
}

/* It keeps its alias and its MAC, and loses its addresses. */
static void move_link(struct simulator *sim, const struct operation *op)
{
	struct state_link moved = *need(sim, op->namespace, op->link), *link;
	uint32_t ifindex = moved.ifindex;

	note_end(sim, op, op->peer_namespace, op->link, op->mac);
	drop_link(sim, simulator_space(sim, op->namespace), ifindex);
	link = simulator_add_link(sim, op->peer_namespace, op->link, moved.kind);
	moved.flags &= ~(uint32_t)IFF_UP;
	moved.master = 0;
	*link = moved;
	unnote_end(sim, op->namespace, op->link);
}

static void add_bridge(struct simulator *sim, const struct operation *op)
{
	struct state_link *link = simulator_add_link(sim, op->namespace, op->link, "bridge");

	memcpy(link->mac, op->mac, 6);
	link->mtu = op->mtu ? op->mtu : 1500;
	note_end(sim, op, op->namespace, op->link, op->mac);
	simulator_set_sysctl(
		sim, arena_printf(&sim->arena, "net/ipv4/conf/%s/forwarding", op->link), "0");
}

static void add_veth(struct simulator *sim, const struct operation *op)
{
	uint32_t ifindex = sim->next_ifindex + 1, peer_ifindex = ifindex + 1;
	struct state_link *link = simulator_add_link(sim, op->namespace, op->link, "veth");

	memcpy(link->mac, op->mac, 6);
	link->mtu = op->mtu ? op->mtu : 1500;
	link->peer_ifindex = peer_ifindex;
	note_end(sim, op, op->namespace, op->link, op->mac);
	link = simulator_add_link(sim, op->peer_namespace, op->peer, "veth");
	memcpy(link->mac, op->peer_mac, 6);
	link->mtu = op->mtu ? op->mtu : 1500;
	link->peer_ifindex = ifindex;
	if (op->record_inside)
		note_end(sim, op, op->peer_namespace, op->peer, op->peer_mac);
}

static struct state_link *host_peer(struct simulator *sim, const struct state_link *link)
{
	struct state_namespace *host = &sim->spaces[0];

	for (size_t i = 0; i < host->links_count; i++)
		if (link->peer_ifindex && host->links[i].ifindex == link->peer_ifindex)
			return &host->links[i];
	return NULL;
}

/* Nothing forwards before the policy that judges it. */
static void check_up(struct simulator *sim, const struct operation *op, struct state_link *link)
{
	struct state_link *end = op->namespace ? host_peer(sim, link) : link;

	if (sim->by_hand || !end || (!end->master && !end->forwards))
		return;
	assert_true(end->hook_in && end->hook_out);
	assert_non_null(port_of(sim, end->ifindex));
}

static bool has_ports(const struct simulator *sim, const struct state_link *bridge)
{
	for (size_t i = 0; i < sim->spaces[0].links_count; i++)
		if (sim->spaces[0].links[i].master == bridge->ifindex)
			return true;
	return false;
}

/* As netif_set_gso_max_size() and its like; a bridge has the limits of its ports. */
static void set_sizes(struct simulator *sim, const struct operation *op, struct state_link *link)
{
	for (enum state_size size = STATE_GSO; size < STATE_SIZES; size++) {
		if (!op->sizes[size])
			continue;
		assert_true(link->sizes[size]); /* the kernel knows it */
		if (op->sizes[size] > 65536 && !strcmp(link->kind, "bridge"))
			assert_true(has_ports(sim, link));
		link->sizes[size] = op->sizes[size];
		if (size < STATE_GSO_IPV4 && op->sizes[size] <= 65536 && !sim->no_ipv4_sizes)
			link->sizes[size + STATE_GSO_IPV4] = op->sizes[size];
	}
}

static void set_link(struct simulator *sim, const struct operation *op)
{
	struct state_link *link = need(sim, op->namespace, op->link);
	struct state_namespace *ns = simulator_space(sim, op->namespace);
	uint32_t ifindex = link->ifindex;

	if (op->alias)
		snprintf(link->alias, sizeof(link->alias), "%s", op->alias);
	if (op->mtu)
		link->mtu = op->mtu;
	set_sizes(sim, op, link);
	if (op->has_mac) {
		memcpy(link->mac, op->mac, 6);
		DELETE_IF(ns->neighbours, ns->neighbours_count,
			  it->ifindex == ifindex && it->ip.family);
	}
	if (op->master)
		link->master = *op->master ? need(sim, NULL, op->master)->ifindex : 0;
	if (op->forward || op->no_forward)
		link->forwards = op->forward;
	if (op->up) {
		check_up(sim, op, link);
		link->flags |= IFF_UP;
	}
	if (op->down) {
		link->flags &= ~(uint32_t)IFF_UP;
		DELETE_IF(ns->routes, ns->routes_count, it->ifindex == ifindex);
		DELETE_IF(ns->neighbours, ns->neighbours_count, it->ifindex == ifindex);
	}
}

static void delete_link(struct simulator *sim, const struct operation *op)
{
	if (simulator_link(sim, op->namespace, op->link))
		simulator_delete_link(sim, op->namespace, op->link);
	if (!op->namespace || op->record_inside)
		unnote_end(sim, op->namespace, op->link);
}

/* ---- All of it. */

/* net/ipv6/addrconf.c: addrconf_fixup_forwarding() */
static void set_all_ipv6_forwarding(struct simulator *sim, const char *value)
{
	struct state_namespace *host = &sim->spaces[0];

	for (size_t i = 0; i < host->sysctls_count; i++)
		if (!strncmp(host->sysctls[i].key, "net/ipv6/", 9) &&
		    strstr(host->sysctls[i].key, "/forwarding"))
			host->sysctls[i].value = value;
}

static void set_sysctl(struct simulator *sim, const struct operation *op)
{
	if (op->namespace) {
		run_netns_sysctl(sim, op);
		return;
	}
	assert_non_null(simulator_sysctl(sim, op->key));
	if (!strcmp(op->key, "net/ipv6/conf/all/forwarding"))
		set_all_ipv6_forwarding(sim, op->value);
	simulator_set_sysctl(sim, op->key, op->value);
	if (op->revert)
		unnote(sim, RECORD_SYSCTL, op->key);
	else if (op->old_value)
		note(sim, RECORD_SYSCTL, op->key, op->old_value, op->value);
}

void simulator_execute(struct simulator *sim, const struct operation *op)
{
	switch (op->kind) {
	case OPERATION_NETNS_ADD:
		note(sim, RECORD_NETNS, op->namespace, "", "");
		add_space(sim, op->namespace);
		strcpy(simulator_link(sim, op->namespace, "lo")->alias,
		       sim->by_hand ? "nsroute:" RECORD_STEPS : "nsroute:lab");
		break;
	case OPERATION_NETNS_DELETE:
		simulator_delete_space(sim, op->namespace);
		unnote(sim, RECORD_NETNS, op->namespace);
		break;
	case OPERATION_BRIDGE_ADD:
		add_bridge(sim, op);
		break;
	case OPERATION_VETH_ADD:
		add_veth(sim, op);
		break;
	case OPERATION_LINK_DELETE:
		delete_link(sim, op);
		break;
	case OPERATION_LINK_SET:
		set_link(sim, op);
		break;
	case OPERATION_SYSCTL_SET:
		set_sysctl(sim, op);
		break;
	case OPERATION_OFFLOAD_SET:
		run_netns_sysctl(sim, op);
		break;
	case OPERATION_PORTS_RESERVE:
		run_reserve(sim, op);
		break;
	case OPERATION_OVS_PORT_ADD:
	case OPERATION_OVS_PORT_DELETE:
		run_ovs(sim, op);
		break;
	case OPERATION_DIRECTORY_ADD:
	case OPERATION_DIRECTORY_DELETE:
	case OPERATION_FILE_WRITE:
	case OPERATION_FILE_DELETE:
		run_file_operation(sim, op);
		break;
	case OPERATION_DEVICE_TAKE:
		take_device(sim, op);
		break;
	case OPERATION_DEVICE_RETURN:
		return_device(sim, op);
		break;
	case OPERATION_LINK_MOVE:
		move_link(sim, op);
		break;
	case OPERATION_ADOPT:
		sim->by_steps = op->by_steps;
		note(sim, op->record, op->link, op->has_mac ? mac_text(sim, op->mac) : "", "");
		sim->by_steps = false;
		break;
	case OPERATION_FORGET:
		sim->by_steps = op->by_steps;
		unnote(sim, op->record, op->link);
		sim->by_steps = false;
		break;
	case OPERATION_NETWORK_ADD:
		note(sim, RECORD_NETWORK, op->link, arena_printf(&sim->arena, "%u", op->network),
		     network_type_name(op->network_type));
		break;
	case OPERATION_ADDRESS_ADD:
	case OPERATION_ADDRESS_DELETE:
	case OPERATION_ROUTE_ADD:
	case OPERATION_ROUTE_DELETE:
	case OPERATION_NEIGHBOUR_ADD:
	case OPERATION_NEIGHBOUR_DELETE:
	case OPERATION_FDB_ADD:
	case OPERATION_FDB_DELETE:
		run_attached(sim, op);
		break;
	default:
		run_datapath(sim, op);
		break;
	}
}

void simulator_run(struct simulator *sim, const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		simulator_execute(sim, &plan->operations[i]);
	for (size_t i = 0; i < plan->count; i++)
		exchange_left(sim, &plan->operations[i]);
}
