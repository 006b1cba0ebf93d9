/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a path is a list of lists of commands. "h: COMMAND" runs in the namespace that lies
 * between, "c:" in the client's, "s:" in the server's; @h, @c and @s in a command are their names.
 * Nothing else happens: whoever types the commands gets the path that was measured. Whether the
 * machine has a peer is found out by trying: the first command that fails is the reason that is
 * told. Each peer is set up at its best; what costs and is not needed for its work is off.
 */
#include "bench_peers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_SIZE 512
#define LISTS_MAX     4

typedef const char *const commands[];

static commands direct = {
	"c: ip link add eth0 type veth peer name eth0 netns @s",
	"c: ip address add 10.77.0.1/24 dev eth0",
	"s: ip address add 10.77.0.2/24 dev eth0",
	"c: ip link set eth0 up",
	"s: ip link set eth0 up",
	NULL,
};

/* The peers' cables: a veth pair from each end to the namespace between. */
static commands cables = {
	"h: ip link add c0 type veth peer name eth0 netns @c",
	"h: ip link add s0 type veth peer name eth0 netns @s",
	"h: ip link set c0 up",
	"h: ip link set s0 up",
	"c: ip link set eth0 up",
	"s: ip link set eth0 up",
	NULL,
};

static commands one_subnet = {
	"c: ip address add 10.77.0.1/24 dev eth0",
	"s: ip address add 10.77.0.2/24 dev eth0",
	NULL,
};

static commands bridge = {
	"h: ip link add br0 type bridge",
	"h: ip link set c0 master br0",
	"h: ip link set s0 master br0",
	"h: ip link set br0 up",
	NULL,
};

/* No detour through netfilter where br_netfilter is loaded (-e: no matter where it is not). */
static commands bridge_bare = {
	"h: sysctl -qe -w net.bridge.bridge-nf-call-iptables=0",
	NULL,
};

/* As on a machine with containers: bridged packets pass the FORWARD chain, and the first rule there
 * lets what belongs to a connection pass. */
static commands bridge_filtered = {
	"h: sysctl -q -w net.bridge.bridge-nf-call-iptables=1",
	"h: iptables-legacy -w -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
	NULL,
};

static commands router = {
	"h: sysctl -q -w net.ipv4.ip_forward=1",
	"h: ip address add 10.77.1.1/24 dev c0",
	"h: ip address add 10.77.2.1/24 dev s0",
	"c: ip address add 10.77.1.2/24 dev eth0",
	"s: ip address add 10.77.2.2/24 dev eth0",
	"c: ip route add default via 10.77.1.1",
	NULL,
};

/* Addresses of its own: the bare programs share their table. Nobody else forwards. */
static commands uplink_router = {
	"h: sysctl -q -w net.ipv4.ip_forward=0",   "h: ip address add 10.77.3.1/24 dev c0",
	"h: ip address add 10.77.4.1/24 dev s0",   "c: ip address add 10.77.3.2/24 dev eth0",
	"s: ip address add 10.77.4.2/24 dev eth0", "c: ip route add default via 10.77.3.1",
	"s: ip route add default via 10.77.4.1",   NULL,
};

/* Not where the source is translated: there only translated packets shall be answered. */
static commands way_back = {
	"s: ip route add default via 10.77.2.1",
	NULL,
};

static commands iptables_masquerade = {
	"h: iptables-legacy -w -t nat -A POSTROUTING -s 10.77.1.0/24 -o s0 -j MASQUERADE",
	NULL,
};

static commands nft_masquerade = {
	"h: nft add table ip nat",
	"h: nft add chain ip nat postrouting { type nat hook postrouting priority 100 ; }",
	"h: nft add rule ip nat postrouting ip saddr 10.77.1.0/24 oif s0 masquerade",
	NULL,
};

static commands nft_flowtable = {
	"h: nft add table ip fast",
	"h: nft add flowtable ip fast flows { hook ingress priority 0 ; devices = { c0 , s0 } ; }",
	"h: nft add chain ip fast forward { type filter hook forward priority 0 ; }",
	"h: nft add rule ip fast forward ip protocol { tcp , udp } flow add @flows",
	NULL,
};

static commands netkit = {
	"c: ip link add eth0 type netkit mode l2 peer name eth0 netns @s",
	"c: ip address add 10.77.0.1/24 dev eth0",
	"s: ip address add 10.77.0.2/24 dev eth0",
	"c: ip link set eth0 up",
	"s: ip link set eth0 up",
	NULL,
};

/* Something for them to stand on; no packet between the two passes it. */
static commands parent = {
	"h: ip link add up0 type veth peer name up1",
	"h: ip link set up0 up",
	"h: ip link set up1 up",
	NULL,
};

static commands ipvlan = {
	"h: ip link add link up0 name eth0 netns @c type ipvlan mode l2",
	"h: ip link add link up0 name eth0 netns @s type ipvlan mode l2",
	"c: ip link set eth0 up",
	"s: ip link set eth0 up",
	NULL,
};

static commands macvlan = {
	"h: ip link add link up0 name eth0 netns @c type macvlan mode bridge",
	"h: ip link add link up0 name eth0 netns @s type macvlan mode bridge",
	"c: ip link set eth0 up",
	"s: ip link set eth0 up",
	NULL,
};

/* The kernel's part alone, with flows that are there already: no daemon is asked anything. */
static commands openvswitch = {
	"h: ovs-dpctl add-dp dp0",
	"h: ovs-dpctl add-if dp0 c0,port_no=1 s0,port_no=2",
	"h: ovs-dpctl add-flow dp0 in_port(1),eth(),eth_type(0x0806),arp() 2",
	"h: ovs-dpctl add-flow dp0 in_port(2),eth(),eth_type(0x0806),arp() 1",
	"h: ovs-dpctl add-flow dp0 in_port(1),eth(),eth_type(0x0800),ipv4(frag=no) 2",
	"h: ovs-dpctl add-flow dp0 in_port(2),eth(),eth_type(0x0800),ipv4(frag=no) 1",
	NULL,
};

static const struct {
	const char *const *lists[LISTS_MAX + 1];
	const char *server_address; /* NULL: this path is nsroute's */
	const char *next_hop;
} recipes[BENCH_PATHS] = {
	[BENCH_DIRECT] = {{direct}, "10.77.0.2", "10.77.0.2"},
	[BENCH_REDIRECT_PEER] = {{cables, router, way_back}, "10.77.2.2", "10.77.1.1"},
	[BENCH_REDIRECT_NEIGH] = {{cables, uplink_router}, "10.77.4.2", "10.77.3.1"},
	[BENCH_BRIDGE] = {{cables, one_subnet, bridge, bridge_bare}, "10.77.0.2", "10.77.0.2"},
	[BENCH_BRIDGE_NETFILTER] = {{cables, one_subnet, bridge, bridge_filtered},
				    "10.77.0.2",
				    "10.77.0.2"},
	[BENCH_ROUTING] = {{cables, router, way_back}, "10.77.2.2", "10.77.1.1"},
	[BENCH_IPTABLES] = {{cables, router, iptables_masquerade}, "10.77.2.2", "10.77.1.1"},
	[BENCH_NFT] = {{cables, router, nft_masquerade}, "10.77.2.2", "10.77.1.1"},
	[BENCH_FLOWTABLE] = {{cables, router, nft_masquerade, nft_flowtable},
			     "10.77.2.2",
			     "10.77.1.1"},
	[BENCH_NETKIT] = {{netkit}, "10.77.0.2", "10.77.0.2"},
	[BENCH_IPVLAN] = {{parent, ipvlan, one_subnet}, "10.77.0.2", "10.77.0.2"},
	[BENCH_MACVLAN] = {{parent, macvlan, one_subnet}, "10.77.0.2", "10.77.0.2"},
	[BENCH_OPENVSWITCH] = {{cables, one_subnet, openvswitch}, "10.77.0.2", "10.77.0.2"},
};

bool bench_peer_has(enum bench_path path)
{
	return recipes[path].server_address != NULL;
}

static const char *namespace_of(const struct bench_place *place, char letter)
{
	switch (letter) {
	case 'c':
		return place->client;
	case 's':
		return place->server;
	default:
		return place->host;
	}
}

/* "@c" becomes the client's name, where a blank or the end follows. */
static void fill_in(const struct bench_place *place, const char *command, char line[LINE_MAX_SIZE])
{
	size_t used = 0;

	while (*command && used + BENCH_NAME_MAX < LINE_MAX_SIZE) {
		if (*command == '@' && strchr("hcs", command[1]) && strchr(" ", command[2])) {
			used += (size_t)sprintf(line + used, "%s", namespace_of(place, command[1]));
			command += 2;
		} else {
			line[used++] = *command++;
		}
	}
	line[used] = '\0';
}

static int run_list(struct bench_world *world, const struct bench_place *place,
		    const char *const *list, struct error *err)
{
	char line[LINE_MAX_SIZE];
	int code = 0;

	for (; code == 0 && *list; list++) {
		fill_in(place, *list + 3, line);
		code = bench_command(world, namespace_of(place, **list), line, err);
	}
	return code;
}

static int add_namespaces(struct bench_world *world, struct bench_place *place, struct error *err)
{
	const char *path = bench_paths[place->path].name;
	char *const names[] = {place->host, place->client, place->server};
	static const char *const letters[] = {"h", "c", "s"};
	int code = 0;

	for (size_t i = 0; code == 0 && i < sizeof(names) / sizeof(*names); i++) {
		snprintf(names[i], BENCH_NAME_MAX, "%s", bench_world_name(world, path, letters[i]));
		code = bench_world_add(world, names[i], err);
	}
	return code;
}

static void drop_namespaces(struct bench_world *world, const struct bench_place *place)
{
	bench_world_drop(world, place->client);
	bench_world_drop(world, place->server);
	bench_world_drop(world, place->host);
}

int bench_peer_build(struct bench_world *world, enum bench_path path, struct bench_place *place,
		     struct error *err)
{
	int code;

	*place = (struct bench_place){.path = path,
				      .server_address = recipes[path].server_address,
				      .next_hop = recipes[path].next_hop};
	code = add_namespaces(world, place, err);
	for (size_t i = 0; code == 0 && recipes[path].lists[i]; i++)
		code = run_list(world, place, recipes[path].lists[i], err);
	place->built = code == 0;
	if (code == 0 || code == -EINTR)
		return code;
	snprintf(place->reason, sizeof(place->reason), "%.*s", BENCH_REASON_MAX - 1, err->message);
	drop_namespaces(world, place);
	return 0;
}
