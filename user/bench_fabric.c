/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: one fabric carries all of nsroute's paths, so the masquerade is configured while
 * the others are measured, as it would be in use. Red and blue share a bridge network, green has
 * another one, black and white share one of type routed; the uplink of red's network leads to a
 * namespace that plays the outside. Amber and teal are on two networks whose TCP makes larger
 * packets than that of all others, the direct veth's among them.
 */
#include "bench_fabric.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apply.h"
#include "bench_world.h"
#include "datapath.h"
#include "fabric.h"
#include "netns.h"
#include "output.h"
#include "record.h"
#include "topology_read.h"

#define FABRIC       "bench"
#define LOCK_WAIT_S  30
#define TOPOLOGY_MAX 4096

static const char topology_format[] =
	"version: 1\n"
	"name: " FABRIC "\n"
	"networks:\n"
	"  near: {type: bridge, subnets: [10.77.1.0/24],\n"
	"         masquerade: {uplink: eth0, max_flows_per_namespace: %u}}\n"
	"  far: {type: bridge, subnets: [10.77.2.0/24]}\n"
	"  cables: {type: routed, subnets: [10.77.3.0/24]}\n"
	"  large: {type: bridge, subnets: [10.77.4.0/24], big_tcp: on}\n"
	"  larger: {type: bridge, subnets: [10.77.5.0/24], big_tcp: on}\n"
	"namespaces:\n"
	"  %s: {interfaces: {eth0: {network: near, addresses: [10.77.1.11/24]}}}\n"
	"  %s: {interfaces: {eth0: {network: near, addresses: [10.77.1.12/24]}}}\n"
	"  %s: {interfaces: {eth0: {network: far, addresses: [10.77.2.11/24]}}}\n"
	"  %s: {interfaces: {eth0: {network: cables, addresses: [10.77.3.11/24]}}}\n"
	"  %s: {interfaces: {eth0: {network: cables, addresses: [10.77.3.12/24]}}}\n"
	"  %s: {interfaces: {eth0: {network: large, addresses: [10.77.4.11/24]}}}\n"
	"  %s: {interfaces: {eth0: {network: larger, addresses: [10.77.5.11/24]}}}\n";

/* Its namespaces, in the order of topology_format. */
enum member { RED, BLUE, GREEN, BLACK, WHITE, AMBER, TEAL, MEMBERS };

static const char *const member_name[MEMBERS] = {"red",   "blue",  "green", "black",
						 "white", "amber", "teal"};

/* Where the paths lead. */
static const struct {
	enum bench_path path;
	enum member client;
	int server; /* -1: the outside */
	const char *server_address;
	const char *next_hop;
} routes[] = {
	{BENCH_SWITCHED, RED, BLUE, "10.77.1.12", "10.77.1.12"},
	{BENCH_ROUTED, RED, GREEN, "10.77.2.11", "10.77.1.1"},
	{BENCH_CABLES, BLACK, WHITE, "10.77.3.12", "10.77.3.1"},
	{BENCH_MASQUERADED, RED, -1, "192.0.2.2", "10.77.1.1"},
	{BENCH_BIG_TCP, AMBER, TEAL, "10.77.5.11", "10.77.4.1"},
};

/* ---- The host namespace, opened and locked. */

struct site {
	int fd;
	int lock;
	uint64_t cookie;
	struct arena arena;
};

static int site_open(struct site *site, const char *host, struct error *err)
{
	int code;

	*site = (struct site){};
	code = netns_open(host, &site->fd, err);
	if (code != 0)
		return code;
	code = netns_cookie(site->fd, &site->cookie, err);
	if (code == 0)
		code = record_lock(LOCK_WAIT_S, "measures", &site->lock, err);
	if (code != 0)
		close(site->fd);
	return code;
}

static void site_close(struct site *site)
{
	close(site->lock);
	close(site->fd);
	arena_free(&site->arena);
}

/* ---- Building. */

static int parse(struct site *site, unsigned int flows, const char *const *members,
		 struct topology **ret, struct error *err)
{
	struct error_list errors = {.arena = &site->arena};
	char text[TOPOLOGY_MAX];
	int size = snprintf(text, sizeof(text), topology_format, flows, members[RED], members[BLUE],
			    members[GREEN], members[BLACK], members[WHITE], members[AMBER],
			    members[TEAL]);

	if (topology_parse("(bench)", text, (size_t)size, &site->arena, ret, &errors) == 0)
		return 0;
	*err = errors.errors[0];
	err->file = NULL; /* none that the user has */
	return err->code;
}

static int apply_topology(struct site *site, const volatile sig_atomic_t *stop,
			  struct topology *topology, struct error *err)
{
	struct apply_options options = {.host_fd = site->fd,
					.host_cookie = site->cookie,
					.fabric = topology->name,
					.file = topology->file,
					.interrupted = stop};
	struct kernel_state *state;
	struct plan *plan;
	int code = fabric_observe(topology, NULL, site->fd, &site->arena, &state, err);

	if (code == 0)
		code = plan_build(topology, state, NULL, &site->arena, &plan, err);
	return code ? code : apply_run(plan, &options, err);
}

/* The host namespace, the outside, and the cable between them. */
static int build_ends(struct bench_world *world, const char *host, const char *outside,
		      struct error *err)
{
	char line[BENCH_REASON_MAX];
	int code = bench_world_add(world, host, err);

	if (code == 0)
		code = bench_world_add(world, outside, err);
	snprintf(line, sizeof(line),
		 "ip link add eth0 type veth peer name " BENCH_INTERFACE " netns %s", outside);
	if (code == 0)
		code = bench_command(world, host, line, err);
	if (code == 0)
		code = bench_command(world, host, "ip address add 192.0.2.1/24 dev eth0", err);
	if (code == 0)
		code = bench_command(world, host, "ip link set eth0 up", err);
	if (code == 0)
		code = bench_command(world, outside, "ip address add 192.0.2.2/24 dev eth0", err);
	return code ? code : bench_command(world, outside, "ip link set eth0 up", err);
}

static void fill_places(struct bench_place *places, const char *host, const char *outside,
			const char *const *members)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
		struct bench_place *place = &places[routes[i].path];

		place->path = routes[i].path;
		place->built = true;
		place->server_address = routes[i].server_address;
		place->next_hop = routes[i].next_hop;
		snprintf(place->host, sizeof(place->host), "%s", host);
		snprintf(place->client, sizeof(place->client), "%s", members[routes[i].client]);
		snprintf(place->server, sizeof(place->server), "%s",
			 routes[i].server < 0 ? outside : members[routes[i].server]);
	}
}

int bench_fabric_build(struct bench_world *world, unsigned int flows, struct bench_place *places,
		       struct error *err)
{
	const char *host = bench_world_name(world, "", BENCH_FABRIC_HOST);
	const char *outside = bench_world_name(world, "fabric", "outside");
	const char *members[MEMBERS];
	struct topology *topology;
	struct site site;
	int code = build_ends(world, host, outside, err);

	for (int i = 0; i < MEMBERS; i++)
		members[i] = bench_world_name(world, "fabric", member_name[i]);
	if (code == 0)
		code = site_open(&site, host, err);
	if (code != 0)
		return code;
	snprintf(world->fabric_host, sizeof(world->fabric_host), "%s", host);
	code = parse(&site, flows, members, &topology, err);
	if (code == 0)
		code = apply_topology(&site, world->interrupted, topology, err);
	site_close(&site);
	if (code == 0)
		fill_places(places, host, outside, members);
	return code;
}

/* ---- Many addresses. */

static const struct nsr_endpoint *find_endpoint(const struct state_datapath *state,
						in_addr_t address)
{
	for (size_t i = 0; i < state->endpoints_count; i++) {
		const struct state_endpoint *entry = &state->endpoints[i];

		if (entry->ip.family == AF_INET &&
		    memcmp(entry->ip.bytes, &address, sizeof(address)) == 0)
			return &entry->endpoint;
	}
	return NULL;
}

static int add_hosts(struct site *site, struct datapath *datapath, const char *address,
		     unsigned int hosts, struct error *err)
{
	struct ip_address ip = {.family = AF_INET};
	struct state_datapath state = {};
	const struct nsr_endpoint *endpoint;
	int code = datapath_snapshot(datapath, &site->arena, &state, err);

	if (code != 0)
		return code;
	endpoint = find_endpoint(&state, inet_addr(address));
	if (!endpoint)
		return error_set(err, -ENOENT, "no endpoint has %s", address);
	for (unsigned int i = 0; code == 0 && i < hosts; i++) {
		in_addr_t host = htonl(BENCH_FIRST_HOST + i);

		memcpy(ip.bytes, &host, sizeof(host));
		code = datapath_host_set(datapath, &ip, endpoint, err);
	}
	return code;
}

int bench_fabric_hosts(const struct bench_world *world, const char *address, unsigned int hosts,
		       struct error *err)
{
	struct datapath *datapath;
	struct site site;
	int code = site_open(&site, world->fabric_host, err);

	if (code != 0)
		return code;
	code = datapath_open(&datapath, site.cookie, NULL, err);
	if (code == 0) {
		code = add_hosts(&site, datapath, address, hosts, err);
		datapath_close(datapath);
	}
	site_close(&site);
	return code;
}

/* ---- Removing. */

static int remove_one(struct site *site, const char *fabric, struct error *err)
{
	static const volatile sig_atomic_t never;
	struct apply_options options = {.host_fd = site->fd,
					.host_cookie = site->cookie,
					.fabric = fabric,
					.interrupted = &never};
	struct kernel_state *state;
	struct record *record;
	struct plan *plan;
	int code = record_read(site->cookie, fabric, &site->arena, &record, err);

	if (code == 0)
		code = fabric_observe_removal(record, site->fd, &site->arena, &state, err);
	if (code == 0)
		code = plan_removal(record, state, &site->arena, &plan, err);
	if (code != 0)
		return code;
	options.file = record->file;
	return apply_remove(plan, &options, err);
}

int bench_fabric_remove(const char *host, struct error *err)
{
	const char **names;
	struct site site;
	size_t count;
	int code = site_open(&site, host, err);

	if (code != 0)
		return code;
	code = record_list(site.cookie, &site.arena, &names, &count, err);
	for (size_t i = 0; code == 0 && i < count; i++)
		code = remove_one(&site, names[i], err);
	if (code == 0)
		code = apply_sweep(site.cookie, err);
	site_close(&site);
	return code;
}

/* ---- Counters. */

static uint64_t sum_of(const json_t *stats, const char *counter)
{
	json_t *namespace, *interface;
	uint64_t sum = 0;
	size_t i, j;

	json_array_foreach(json_object_get(stats, "namespaces"), i, namespace)
	{
		json_array_foreach(json_object_get(namespace, "interfaces"), j, interface) sum +=
			(uint64_t)json_integer_value(json_object_get(interface, counter));
	}
	return sum;
}

int bench_fabric_counters(const struct bench_world *world, uint64_t *ret_fast, uint64_t *ret_slow,
			  struct error *err)
{
	struct kernel_state *state;
	struct record *record;
	struct site site;
	int code = site_open(&site, world->fabric_host, err);

	if (code != 0)
		return code;
	code = record_read(site.cookie, FABRIC, &site.arena, &record, err);
	if (code == 0)
		code = fabric_observe(NULL, record, site.fd, &site.arena, &state, err);
	if (code == 0) {
		json_t *stats = output_stats(record, state);

		*ret_fast = sum_of(stats, "fast_packets");
		*ret_slow = sum_of(stats, "slow_packets");
		json_decref(stats);
	}
	site_close(&site);
	return code;
}
