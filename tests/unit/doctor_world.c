/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the state is the very structures that a snapshot fills, in arrays that grow in the
 * world's arena. A link's place in its namespace gives it its ifindex.
 */
#include "doctor_world.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>

struct ip_address ip(const char *text)
{
	struct ip_address address;

	assert_true(ip_parse(text, &address, NULL));
	return address;
}

struct state_link *add_link(struct world *world, struct state_namespace *namespace,
			    const char *name, const char *kind)
{
	struct state_link *link =
		arena_push(&world->arena, namespace->links, namespace->links_count);

	link->ifindex = (uint32_t) namespace->links_count;
	strcpy(link->name, name);
	strcpy(link->kind, kind);
	link->type = ARPHRD_ETHER;
	link->flags = IFF_UP;
	link->carrier = true;
	link->mtu = 1500;
	memcpy(link->mac, "ns\0\0\0\0", 6);
	link->mac[4] = (uint8_t)(namespace->name ? *namespace->name : 0);
	link->mac[5] = (uint8_t)link->ifindex;
	if (!strcmp(name, "lo")) {
		link->type = ARPHRD_LOOPBACK;
		link->flags |= IFF_LOOPBACK;
	}
	return link;
}

struct state_address *add_address(struct world *world, struct state_namespace *namespace,
				  uint32_t ifindex, const char *text)
{
	struct state_address *address =
		arena_push(&world->arena, namespace->addresses, namespace->addresses_count);

	address->ifindex = ifindex;
	address->address = ip(text);
	return address;
}

struct state_route *add_route(struct world *world, struct state_namespace *namespace,
			      uint32_t ifindex, const char *to, const char *via)
{
	struct state_route *route =
		arena_push(&world->arena, namespace->routes, namespace->routes_count);

	route->ifindex = ifindex;
	route->to = ip(to);
	route->type = RTN_UNICAST;
	route->protocol = via ? RTPROT_STATIC : RTPROT_KERNEL;
	if (via)
		route->via = ip(via);
	return route;
}

void set_sysctl(struct world *world, struct state_namespace *namespace, const char *key,
		const char *value)
{
	struct state_sysctl *sysctl;

	for (size_t i = 0; i < namespace->sysctls_count; i++) {
		if (!strcmp(namespace->sysctls[i].key, key)) {
			namespace->sysctls[i].value = value;
			return;
		}
	}
	sysctl = arena_push(&world->arena, namespace->sysctls, namespace->sysctls_count);
	*sysctl = (struct state_sysctl){key, value};
}

static void join_ends(struct state_namespace *a, uint32_t a_index, struct state_namespace *b,
		      uint32_t b_index)
{
	a->links[a_index - 1].peer_ifindex = b_index;
	a->links[a_index - 1].peer_namespace = b;
	b->links[b_index - 1].peer_ifindex = a_index;
	b->links[b_index - 1].peer_namespace = a;
}

static void add_namespace(struct world *world, size_t at, const char *name, const char *address)
{
	struct state_namespace *namespace = &world->namespaces[at];

	*namespace = (struct state_namespace){.name = name, .exists = true, .alias = "nsroute:lab"};
	add_link(world, namespace, "lo", "");
	add_link(world, namespace, "eth0", "veth");
	add_address(world, namespace, 2, address);
	add_route(world, namespace, 2, "192.168.15.0/24", NULL);
	add_route(world, namespace, 2, "0.0.0.0/0", "192.168.15.1");
}

static void add_host(struct world *world)
{
	struct state_namespace *host = &world->state.host;

	host->exists = true;
	add_link(world, host, "lo", "");
	add_link(world, host, "eth0", "");
	add_link(world, host, "v-net-0", "bridge");
	add_link(world, host, "red-eth0", "veth");
	add_link(world, host, "blue-eth0", "veth");
	for (size_t i = ETH0; i <= BLUE_END; i++)
		host->links[i].hook_in = host->links[i].hook_out = host->links[i].clsact =
			i != BRIDGE;
	host->links[RED_END].master = host->links[BLUE_END].master = 3;
	strcpy(host->links[BRIDGE].alias, "nsroute:lab");
	add_address(world, host, 2, "203.0.113.1/24");
	add_address(world, host, 3, "192.168.15.1/24");
	add_route(world, host, 2, "203.0.113.0/24", NULL);
	add_route(world, host, 3, "192.168.15.0/24", NULL);
	add_route(world, host, 2, "0.0.0.0/0", "203.0.113.10");
	set_sysctl(world, host, "net/ipv4/conf/eth0/forwarding", "1");
	set_sysctl(world, host, "net/ipv4/conf/v-net-0/forwarding", "1");
}

static void add_fabric(struct world *world)
{
	static const struct record_entry entries[] = {
		{RECORD_NETWORK, "v-net-0", "1", ""},
		{RECORD_LINK, "v-net-0", "", ""},
		{RECORD_UPLINK, "eth0", "", ""},
		{RECORD_INSIDE, "192.168.15.0/24", "eth0", ""},
		{RECORD_NETNS, "red", "", ""},
		{RECORD_LINK, "red-eth0", "", ""},
		{RECORD_NETNS, "blue", "", ""},
		{RECORD_LINK, "blue-eth0", "", ""},
	};
	struct state_datapath *datapath = &world->state.datapath;

	memcpy(world->entries, entries, sizeof(entries));
	world->record = (struct record){.fabric = "lab",
					.file = "/etc/nsroute/lab.yaml",
					.entries = world->entries,
					.count = COUNT(entries)};
	world->fabric.record = &world->record;
	world->state.others = &world->record;
	world->state.others_count = 1;
	datapath->loaded = true;
	datapath->ports = world->ports;
	datapath->ports_count = COUNT(world->ports);
	for (size_t i = 0; i < COUNT(world->ports); i++) {
		world->ports[i].ifindex = (uint32_t)(RED_END + 1 + i);
		memcpy(world->ports[i].port.mac, world->namespaces[i].links[1].mac, 6);
	}
	datapath->uplinks = &world->uplink;
	datapath->uplinks_count = 1;
	world->uplink.uplink.ifindex = 2;
	world->uplink.uplink.address4 = inet_addr("203.0.113.1");
}

struct world *new_world(void)
{
	struct world *world = test_calloc(1, sizeof(*world));

	world->state.namespaces = world->namespaces;
	world->state.namespaces_count = 2;
	add_host(world);
	add_namespace(world, RED, "red", "192.168.15.11/24");
	add_namespace(world, BLUE, "blue", "192.168.15.12/24");
	join_ends(&world->state.host, RED_END + 1, &world->namespaces[RED], 2);
	join_ends(&world->state.host, BLUE_END + 1, &world->namespaces[BLUE], 2);
	add_fabric(world);
	world->doctor = (struct doctor_world){.arena = &world->arena,
					      .prefix = "",
					      .state = &world->state,
					      .fabrics = &world->fabric,
					      .fabrics_count = 1};
	return world;
}

void free_world(struct world *world)
{
	arena_free(&world->arena);
	test_free(world);
}

const struct doctor_finding *finding_of(const struct world *world, const char *check)
{
	for (size_t i = 0; i < world->doctor.findings_count; i++)
		if (!strcmp(world->doctor.findings[i].check, check))
			return &world->doctor.findings[i];
	return NULL;
}

size_t count_status(const struct world *world, enum doctor_status status)
{
	size_t count = 0;

	for (size_t i = 0; i < world->doctor.findings_count; i++)
		count += world->doctor.findings[i].status == status;
	return count;
}

void print_findings(const struct world *world)
{
	for (size_t i = 0; i < world->doctor.findings_count; i++) {
		const struct doctor_finding *finding = &world->doctor.findings[i];

		print_error("%d %s %s: %s\n\t%s\n", finding->status, finding->check, finding->where,
			    finding->what, finding->mend);
	}
}

const struct doctor_finding *expect(struct world *world, enum doctor_status status,
				    const char *check, const char *where, const char *mend)
{
	const struct doctor_finding *finding;

	doctor_judge(&world->doctor);
	finding = finding_of(world, check);
	if (!finding)
		print_findings(world);
	assert_non_null(finding);
	assert_int_equal(finding->status, status);
	assert_string_equal(finding->where, where);
	assert_string_equal(finding->mend, mend);
	assert_true(*finding->what && *finding->why);
	if (count_status(world, DOCTOR_PROBLEM) + count_status(world, DOCTOR_NOTE) != 1)
		print_findings(world);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM) + count_status(world, DOCTOR_NOTE), 1);
	return finding;
}
