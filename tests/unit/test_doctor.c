/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What doctor finds in a world made by hand: a healthy fabric (red and blue on one bridge, an
 * uplink), in which nothing is found, and one thing at a time that is wrong in it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>

#include "doctor.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* Everything that a test may change. */
struct world {
	struct arena arena;
	struct doctor_world doctor;
	struct kernel_state state;
	struct state_namespace namespaces[3]; /* red, blue, and one of no fabric */
	struct record record;
	struct record_entry entries[9];
	struct doctor_fabric fabric;
	struct state_port ports[2];
	struct state_uplink uplink;
};

enum { RED, BLUE, OTHER };
enum { LO, ETH0, BRIDGE, RED_END, BLUE_END }; /* the host's links */

static struct ip_address ip(const char *text)
{
	struct ip_address address;

	assert_true(ip_parse(text, &address, NULL));
	return address;
}

/* ---- The healthy one. */

static struct state_link *add_link(struct world *world, struct state_namespace *namespace,
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

static struct state_address *add_address(struct world *world, struct state_namespace *namespace,
					 uint32_t ifindex, const char *text)
{
	struct state_address *address =
		arena_push(&world->arena, namespace->addresses, namespace->addresses_count);

	address->ifindex = ifindex;
	address->address = ip(text);
	return address;
}

static struct state_route *add_route(struct world *world, struct state_namespace *namespace,
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

static void set_sysctl(struct world *world, struct state_namespace *namespace, const char *key,
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

static struct world *new_world(void)
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

static void free_world(struct world *world)
{
	arena_free(&world->arena);
	test_free(world);
}

/* ---- What is found. */

static const struct doctor_finding *find(const struct world *world, const char *check)
{
	for (size_t i = 0; i < world->doctor.findings_count; i++)
		if (!strcmp(world->doctor.findings[i].check, check))
			return &world->doctor.findings[i];
	return NULL;
}

static size_t count_status(const struct world *world, enum doctor_status status)
{
	size_t count = 0;

	for (size_t i = 0; i < world->doctor.findings_count; i++)
		count += world->doctor.findings[i].status == status;
	return count;
}

static void print_findings(const struct world *world)
{
	for (size_t i = 0; i < world->doctor.findings_count; i++) {
		const struct doctor_finding *finding = &world->doctor.findings[i];

		print_error("%d %s %s: %s\n\t%s\n", finding->status, finding->check, finding->where,
			    finding->what, finding->mend);
	}
}

/* Judges, and expects this finding and no other; returns it. */
static const struct doctor_finding *expect(struct world *world, enum doctor_status status,
					   const char *check, const char *where, const char *mend)
{
	const struct doctor_finding *finding;

	doctor_judge(&world->doctor);
	finding = find(world, check);
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

#define HOST     (&world->state.host)
#define SPACE(n) (&world->namespaces[n])

#define TEST(name)                                  \
	static void do_##name(struct world *world); \
	static void test_##name(void **state)       \
	{                                           \
		struct world *world = new_world();  \
                                                    \
		(void)state;                        \
		do_##name(world);                   \
		free_world(world);                  \
	}                                           \
	static void do_##name(struct world *world)

TEST(healthy)
{
	doctor_judge(&world->doctor);
	if (count_status(world, DOCTOR_GOOD) != world->doctor.findings_count)
		print_findings(world);
	assert_int_equal(world->doctor.findings_count, 1);
	assert_string_equal(world->doctor.findings[0].check, "fabric");
	assert_string_equal(world->doctor.findings[0].where, "lab");
}

TEST(lo_down)
{
	SPACE(RED)->links[0].flags &= ~(unsigned)IFF_UP;
	expect(world, DOCTOR_PROBLEM, "lo-down", "red:lo", "ip -n red link set lo up");
}

TEST(peer_down)
{
	const struct doctor_finding *finding;

	SPACE(RED)->links[1].flags &= ~(unsigned)IFF_UP;
	HOST->links[RED_END].carrier = false;
	finding = expect(world, DOCTOR_PROBLEM, "peer-down", "red:eth0",
			 "ip -n red link set eth0 up");
	assert_non_null(strstr(finding->what, "host:red-eth0"));
	assert_string_equal(finding->fabric, "lab");
	assert_string_equal(finding->namespace, "red");
	assert_string_equal(finding->interface, "eth0");
}

TEST(uplink_down)
{
	world->doctor.netns = "lab host";
	HOST->links[ETH0].flags &= ~(unsigned)IFF_UP;
	expect(world, DOCTOR_PROBLEM, "link-down", "host:eth0",
	       "ip -n 'lab host' link set eth0 up");
}

TEST(no_cable)
{
	HOST->links[ETH0].carrier = false;
	expect(world, DOCTOR_NOTE, "no-carrier", "host:eth0", "");
}

TEST(pair_mtu)
{
	world->doctor.netns = "/run/user/host";
	HOST->links[RED_END].mtu = 9000;
	HOST->links[BRIDGE].mtu = 9000;
	HOST->links[BLUE_END].mtu = SPACE(BLUE)->links[1].mtu = 9000;
	HOST->links[ETH0].mtu = 9000;
	expect(world, DOCTOR_PROBLEM, "mtu", "host:red-eth0",
	       "nsenter --net=/run/user/host ip link set red-eth0 mtu 1500");
}

TEST(bridge_mtu)
{
	HOST->links[BRIDGE].mtu = 1400;
	expect(world, DOCTOR_PROBLEM, "mtu", "host:v-net-0",
	       "ip link set blue-eth0 mtu 1400 && ip -n blue link set eth0 mtu 1400 && "
	       "ip link set red-eth0 mtu 1400 && ip -n red link set eth0 mtu 1400");
}

TEST(uplink_mtu)
{
	HOST->links[ETH0].mtu = 1400;
	expect(world, DOCTOR_NOTE, "uplink-mtu", "host:eth0",
	       "${EDITOR:-vi} /etc/nsroute/lab.yaml && nsroute apply /etc/nsroute/lab.yaml");
}

TEST(no_prefix)
{
	SPACE(RED)->addresses[0].address = ip("192.168.15.11");
	SPACE(RED)->routes_count = 0;
	doctor_judge(&world->doctor);
	assert_non_null(find(world, "address-prefix"));
	assert_string_equal(find(world, "address-prefix")->mend,
			    "ip -n red address del 192.168.15.11/32 dev eth0 && "
			    "ip -n red address add 192.168.15.11/24 dev eth0");
}

TEST(single_address_with_routes) /* as routed networks and clouds have it */
{
	struct state_route *gateway = &SPACE(RED)->routes[0];

	SPACE(RED)->addresses[0].address = ip("192.168.15.11");
	gateway->to = ip("192.168.15.1");
	doctor_judge(&world->doctor);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 0);
}

TEST(duplicate)
{
	SPACE(BLUE)->addresses[0].address = ip("192.168.15.11/24");
	doctor_judge(&world->doctor);
	assert_non_null(find(world, "duplicate-address"));
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 1);
}

TEST(no_duplicate_over_vlans)
{
	HOST->links[BRIDGE].vlan_filtering = true;
	SPACE(BLUE)->addresses[0].address = ip("192.168.15.11/24");
	memcpy(SPACE(BLUE)->links[1].mac, SPACE(RED)->links[1].mac, 6);
	memcpy(world->ports[1].port.mac, SPACE(RED)->links[1].mac, 6);
	doctor_judge(&world->doctor);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 0);
}

TEST(detection_failed)
{
	add_address(world, SPACE(RED), 2, "fd00::1/64")->flags = IFA_F_DADFAILED | IFA_F_TENTATIVE;
	expect(world, DOCTOR_PROBLEM, "duplicate-address", "red:eth0",
	       "ip -n red address del fd00::1/64 dev eth0");
}

TEST(tentative)
{
	struct state_address *address = add_address(world, SPACE(RED), 2, "fd00::1/64");

	address->flags = IFA_F_TENTATIVE;
	address->age_s = 1;
	doctor_judge(&world->doctor);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 0);
	address->age_s = 60;
	world->doctor.findings_count = 0;
	expect(world, DOCTOR_PROBLEM, "address-tentative", "red:eth0",
	       "ip -n red address del fd00::1/64 dev eth0 && "
	       "ip -n red address add fd00::1/64 dev eth0 nodad");
}

TEST(overlap)
{
	add_link(world, SPACE(RED), "eth1", "dummy");
	add_address(world, SPACE(RED), 3, "192.168.0.1/16");
	expect(world, DOCTOR_PROBLEM, "subnet-overlap", "red:eth1",
	       "ip -n red address del 192.168.0.1/16 dev eth1");
}

TEST(overlap_of_the_host)
{
	add_route(world, HOST, 2, "192.168.15.128/25", "203.0.113.7");
	expect(world, DOCTOR_PROBLEM, "host-overlap", "host:v-net-0",
	       "${EDITOR:-vi} /etc/nsroute/lab.yaml && nsroute apply /etc/nsroute/lab.yaml");
}

TEST(overlap_of_a_wide_route)
{
	add_route(world, HOST, 2, "192.168.0.0/16", "203.0.113.7");
	assert_int_equal(expect(world, DOCTOR_NOTE, "host-overlap", "host:v-net-0",
				"${EDITOR:-vi} /etc/nsroute/lab.yaml && "
				"nsroute apply /etc/nsroute/lab.yaml")
				 ->status,
			 DOCTOR_NOTE);
}

TEST(no_default_route)
{
	SPACE(RED)->routes_count = 1;
	expect(world, DOCTOR_PROBLEM, "no-route-out", "red:eth0",
	       "ip -n red route add default via 192.168.15.1");
}

TEST(gateway_of_nobody)
{
	SPACE(RED)->routes[1].via = ip("192.168.15.99");
	SPACE(RED)->routes[1].metric = 5;
	expect(world, DOCTOR_PROBLEM, "gateway-unreachable", "red:eth0",
	       "ip -n red route replace default via 192.168.15.1 dev eth0 metric 5");
}

TEST(gateway_that_may_be_outside) /* a NIC on the bridge: who knows who is there */
{
	SPACE(RED)->routes[1].via = ip("192.168.15.99");
	add_link(world, HOST, "eth1", "")->master = 3;
	doctor_judge(&world->doctor);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 0);
}

TEST(gateway_off_the_link)
{
	SPACE(RED)->routes[1].via = ip("10.0.0.1");
	expect(world, DOCTOR_PROBLEM, "gateway-unreachable", "red:eth0",
	       "ip -n red route add 10.0.0.1/32 dev eth0");
	SPACE(RED)->routes[1].onlink = true;
	HOST->addresses[1].address = ip("10.0.0.1/24");
	SPACE(BLUE)->routes_count = 1;
	world->doctor.findings_count = 0;
	doctor_judge(&world->doctor);
	assert_null(find(world, "gateway-unreachable"));
}

TEST(no_forwarding)
{
	world->doctor.prefix = "sudo ";
	set_sysctl(world, HOST, "net/ipv4/conf/v-net-0/forwarding", "0");
	expect(world, DOCTOR_PROBLEM, "forwarding-off", "host:v-net-0",
	       "sudo sysctl -w net/ipv4/conf/v-net-0/forwarding=1");
}

TEST(no_forwarding_at_the_uplink)
{
	set_sysctl(world, HOST, "net/ipv4/conf/eth0/forwarding", "0");
	expect(world, DOCTOR_PROBLEM, "forwarding-off", "host:eth0",
	       "sysctl -w net/ipv4/conf/eth0/forwarding=1");
}

TEST(no_forwarding_in_a_namespace)
{
	add_route(world, SPACE(RED), 2, "10.99.0.0/16", "192.168.15.12");
	set_sysctl(world, SPACE(BLUE), "net/ipv4/conf/eth0/forwarding", "0");
	expect(world, DOCTOR_NOTE, "forwarding-off", "blue:eth0",
	       "ip netns exec blue sysctl -w net/ipv4/conf/eth0/forwarding=1");
}

TEST(strict_reverse_path)
{
	add_link(world, SPACE(RED), "eth1", "dummy");
	add_route(world, SPACE(RED), 3, "192.168.15.12/32", NULL);
	doctor_judge(&world->doctor);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 0);
	set_sysctl(world, SPACE(RED), "net/ipv4/conf/all/rp_filter", "1");
	expect(world, DOCTOR_PROBLEM, "rp-filter", "red:eth0",
	       "ip netns exec red sysctl -w net/ipv4/conf/eth0/rp_filter=2");
}

TEST(loose_reverse_path)
{
	add_link(world, SPACE(RED), "eth1", "dummy");
	add_route(world, SPACE(RED), 3, "192.168.15.12/32", NULL);
	set_sysctl(world, SPACE(RED), "net/ipv4/conf/all/rp_filter", "1");
	set_sysctl(world, SPACE(RED), "net/ipv4/conf/eth0/rp_filter", "2");
	doctor_judge(&world->doctor);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 0);
}

TEST(uplink_without_a_route)
{
	HOST->routes_count = 2;
	expect(world, DOCTOR_PROBLEM, "uplink-route", "host:eth0",
	       "ip route add default via GATEWAY dev eth0");
}

TEST(uplink_beside_the_route)
{
	add_link(world, HOST, "eth1", "");
	HOST->routes[2].ifindex = 6;
	expect(world, DOCTOR_NOTE, "uplink-route", "host:eth0",
	       "${EDITOR:-vi} /etc/nsroute/lab.yaml && nsroute apply /etc/nsroute/lab.yaml");
}

TEST(uplink_renumbered)
{
	HOST->addresses[0].address = ip("203.0.113.2/24");
	expect(world, DOCTOR_PROBLEM, "uplink-address", "host:eth0",
	       "nsroute apply /etc/nsroute/lab.yaml");
}

TEST(advertisements)
{
	add_route(world, HOST, 2, "::/0", "fe80::1")->protocol = RTPROT_RA;
	set_sysctl(world, HOST, "net/ipv6/conf/eth0/forwarding", "1");
	set_sysctl(world, HOST, "net/ipv6/conf/eth0/accept_ra", "1");
	expect(world, DOCTOR_PROBLEM, "accept-ra", "host:eth0",
	       "sysctl -w net/ipv6/conf/eth0/accept_ra=2");
}

TEST(namespace_gone)
{
	SPACE(BLUE)->exists = false;
	SPACE(BLUE)->links_count = SPACE(BLUE)->addresses_count = SPACE(BLUE)->routes_count = 0;
	HOST->links[BLUE_END].peer_namespace = NULL;
	expect(world, DOCTOR_PROBLEM, "namespace-missing", "blue",
	       "nsroute apply /etc/nsroute/lab.yaml");
}

TEST(link_gone)
{
	strcpy(HOST->links[BLUE_END].name, "renamed");
	expect(world, DOCTOR_PROBLEM, "link-missing", "host:blue-eth0",
	       "nsroute apply /etc/nsroute/lab.yaml");
}

TEST(mac_changed)
{
	world->entries[5].value = "02:00:00:00:00:09";
	expect(world, DOCTOR_PROBLEM, "mac-changed", "host:red-eth0",
	       "ip link set red-eth0 address 02:00:00:00:00:09");
}

TEST(mac_changed_inside)
{
	memcpy(world->ports[0].port.mac, "\2\0\0\0\0\7", 6);
	expect(world, DOCTOR_PROBLEM, "mac-changed", "red:eth0",
	       "ip -n red link set eth0 address 02:00:00:00:00:07");
}

TEST(program_gone)
{
	HOST->links[RED_END].hook_out = false;
	expect(world, DOCTOR_PROBLEM, "program-missing", "host:red-eth0",
	       "nsroute apply /etc/nsroute/lab.yaml");
}

TEST(ingress_qdisc)
{
	HOST->links[ETH0].hook_in = HOST->links[ETH0].hook_out = false;
	HOST->links[ETH0].ingress_qdisc = true;
	expect(world, DOCTOR_PROBLEM, "ingress-qdisc", "host:eth0",
	       "tc qdisc del dev eth0 ingress && nsroute apply /etc/nsroute/lab.yaml");
}

TEST(queueing)
{
	HOST->links[RED_END].other_qdisc = true;
	expect(world, DOCTOR_NOTE, "qdisc", "host:red-eth0",
	       "tc qdisc del dev red-eth0 root && nsroute apply /etc/nsroute/lab.yaml");
}

TEST(xdp)
{
	HOST->links[RED_END].xdp_program = 7;
	expect(world, DOCTOR_PROBLEM, "foreign-xdp", "host:red-eth0",
	       "ip link set dev red-eth0 xdp off");
}

TEST(programs_of_others)
{
	static struct program programs[] = {
		{"eth0", PROGRAM_TC_INGRESS, "counter", 1, 0, 5, true},
		{"eth0", PROGRAM_TCX_EGRESS, "stranger", 0, 12, 6, false}};

	world->doctor.programs = programs;
	world->doctor.programs_count = COUNT(programs);
	expect(world, DOCTOR_PROBLEM, "foreign-program", "host:eth0", "bpftool link detach id 12");
}

TEST(orphan)
{
	strcpy(add_link(world, HOST, "lost", "")->alias, "nsroute:gone");
	expect(world, DOCTOR_PROBLEM, "orphan", "host:lost", "ip link del lost");
}

TEST(file_differs)
{
	world->fabric.file = DOCTOR_FILE_DIFFERS;
	world->fabric.operations = 3;
	world->fabric.first = "+ namespace green";
	assert_non_null(strstr(expect(world, DOCTOR_PROBLEM, "differs", "lab",
				      "nsroute apply /etc/nsroute/lab.yaml")
				       ->what,
			       "in 3 operations"));
}

TEST(file_gone)
{
	world->fabric.file = DOCTOR_FILE_GONE;
	expect(world, DOCTOR_NOTE, "file-gone", "lab", "");
}

TEST(managers)
{
	world->doctor.managers.network_manager = true;
	doctor_judge(&world->doctor);
	assert_int_equal(find(world, "manager")->status, DOCTOR_NOTE);
	world->doctor.managers.told = true;
	world->doctor.findings_count = 0;
	doctor_judge(&world->doctor);
	assert_null(find(world, "manager"));
}

TEST(full_tables)
{
	world->doctor.limits = (struct doctor_limits){.neighbours4 = 950,
						      .neighbours4_max = 1024,
						      .neighbours6 = 10,
						      .neighbours6_max = 1024,
						      .files_max = 1024};
	expect(world, DOCTOR_PROBLEM, "neighbours", "net/ipv4/neigh/default/gc_thresh3",
	       "sysctl -w net/ipv4/neigh/default/gc_thresh3=8192");
}

TEST(full_connections)
{
	world->doctor.limits =
		(struct doctor_limits){.connections = 65000, .connections_max = 65536};
	expect(world, DOCTOR_PROBLEM, "connections", "net/netfilter/nf_conntrack_max",
	       "sysctl -w net/netfilter/nf_conntrack_max=524288");
}

TEST(few_files)
{
	world->doctor.limits.files_max = 67;
	expect(world, DOCTOR_PROBLEM, "files", "ulimit -n", "ulimit -n 136");
}

/* What is of no fabric is looked at only when no fabric is asked for. */
TEST(foreign_namespace)
{
	struct state_namespace *other = SPACE(OTHER);

	world->state.namespaces_count = 3;
	*other = (struct state_namespace){.name = "other", .exists = true, .alias = ""};
	add_link(world, other, "lo", "")->flags = IFF_LOOPBACK;
	add_link(world, other, "tunl0", "ipip")->flags = 0; /* the kernel's own: not a finding */
	expect(world, DOCTOR_PROBLEM, "lo-down", "other:lo", "ip -n other link set lo up");
	assert_null(find(world, "lo-down")->fabric);
	assert_non_null(find(world, "fabric"));
	assert_null(find(world, "namespaces"));
	world->doctor.findings_count = 0;
	world->doctor.only = "lab";
	doctor_judge(&world->doctor);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 0);
}

/* ---- Rules of others. */

static void read_nft(struct world *world, const char *rules)
{
	struct error err;
	char *text = arena_printf(&world->arena, "{\"nftables\": [%s]}", rules);

	if (netfilter_parse_nft(text, &world->arena, &world->doctor.netfilter, &err) != 0)
		fail_msg("%s", err.message);
}

#define CHAIN(family, table, name, rest)                                                       \
	"{\"chain\": {\"family\": \"" family "\", \"table\": \"" table "\", \"name\": \"" name \
	"\"" rest "}}"
#define FORWARD(policy)               \
	CHAIN("inet", "guard", "fwd", \
	      ", \"type\": \"filter\", \"hook\": \"forward\", \"policy\": \"" policy "\"")
#define RULE(family, table, chain, expressions)                                                  \
	",{\"rule\": {\"family\": \"" family "\", \"table\": \"" table "\", \"chain\": \"" chain \
	"\", \"handle\": 9, \"expr\": [" expressions "]}}"
#define IN(name)                                                                                        \
	"{\"match\": {\"op\": \"==\", \"left\": {\"meta\": {\"key\": \"iifname\"}}, \"right\": \"" name \
	"\"}}"
#define OUT(name)                                                                                       \
	"{\"match\": {\"op\": \"==\", \"left\": {\"meta\": {\"key\": \"oifname\"}}, \"right\": \"" name \
	"\"}}"
#define ESTABLISHED                                                                          \
	"{\"match\": {\"op\": \"in\", \"left\": {\"ct\": {\"key\": \"state\"}}, \"right\": " \
	"[\"established\", \"related\"]}}"
#define PORT \
	"{\"match\": {\"op\": \"==\", \"left\": {\"payload\": {\"protocol\": \"tcp\", \"field\": \"dport\"}}, \"right\": 22}}"

#define MEND                                                        \
	"nft insert rule inet guard fwd iifname v-net-0 accept && " \
	"nft insert rule inet guard fwd oifname v-net-0 accept"

TEST(forward_policy)
{
	read_nft(world, FORWARD("drop"));
	assert_non_null(
		strstr(expect(world, DOCTOR_PROBLEM, "forward-dropped", "host:v-net-0", MEND)->what,
		       "drops what goes from v-net-0 to eth0"));
}

TEST(forward_accepted)
{
	read_nft(world,
		 FORWARD("drop") RULE("inet", "guard", "fwd", ESTABLISHED ", {\"accept\": null}")
			 RULE("inet", "guard", "fwd", IN("v-*") ", {\"accept\": null}"));
	doctor_judge(&world->doctor);
	assert_null(find(world, "forward-dropped"));
}

TEST(forward_answers_only)
{
	read_nft(world,
		 FORWARD("drop") RULE("inet", "guard", "fwd", ESTABLISHED ", {\"accept\": null}"));
	expect(world, DOCTOR_PROBLEM, "forward-dropped", "host:v-net-0", MEND);
}

TEST(forward_perhaps)
{
	read_nft(world,
		 FORWARD("accept") RULE("inet", "guard", "fwd", IN("other0") ", {\"drop\": null}")
			 RULE("inet", "guard", "fwd", PORT ", {\"drop\": null}"));
	assert_non_null(
		strstr(expect(world, DOCTOR_NOTE, "forward-dropped", "host:v-net-0", MEND)->what,
		       "may drop"));
}

TEST(forward_by_another_chain)
{
	read_nft(world,
		 FORWARD("accept") "," CHAIN("inet", "guard", "more", "")
			 RULE("inet", "guard", "fwd", "{\"jump\": {\"target\": \"more\"}}")
				 RULE("inet", "guard", "more", OUT("eth0") ", {\"reject\": null}"));
	expect(world, DOCTOR_PROBLEM, "forward-dropped", "host:v-net-0", MEND);
}

TEST(forward_of_other_families)
{
	read_nft(world,
		 CHAIN("ip6", "guard", "fwd",
		       ", \"type\": \"filter\", \"hook\": \"forward\", \"policy\": \"drop\""));
	doctor_judge(&world->doctor);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 0);
}

TEST(forward_of_iptables)
{
	netfilter_parse_iptables("# Generated by iptables-save v1.8.9 on Sun\n*filter\n"
				 ":INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n"
				 "-A FORWARD -j DOCKER-USER\n"
				 "-A FORWARD -o docker0 -m conntrack --ctstate "
				 "RELATED,ESTABLISHED -j ACCEPT\n"
				 "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\nCOMMIT\n",
				 "ip", &world->arena, &world->doctor.netfilter);
	expect(world, DOCTOR_PROBLEM, "forward-dropped", "host:v-net-0",
	       "iptables-legacy -I DOCKER-USER -i v-net-0 -j ACCEPT && "
	       "iptables-legacy -I DOCKER-USER -o v-net-0 -j ACCEPT");
}

TEST(forward_of_iptables_let_through)
{
	netfilter_parse_iptables("*filter\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n"
				 "-A FORWARD -j DOCKER-USER\n"
				 "-A DOCKER-USER -i v-net-0 -m comment --comment \"a -j DROP b\" "
				 "-j ACCEPT\n"
				 "-A DOCKER-USER -o v-net+ -j ACCEPT\nCOMMIT\n",
				 "ip", &world->arena, &world->doctor.netfilter);
	doctor_judge(&world->doctor);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM) + count_status(world, DOCTOR_NOTE), 0);
}

TEST(iptables_over_nft_is_left_to_nft)
{
	netfilter_parse_iptables("# Generated by iptables-save v1.8.9 (nf_tables) on Sun\n"
				 "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n",
				 "ip", &world->arena, &world->doctor.netfilter);
	assert_int_equal(world->doctor.netfilter.count, 0);
}

TEST(nonsense_is_refused)
{
	struct error err;

	assert_int_not_equal(netfilter_parse_nft("", &world->arena, &world->doctor.netfilter, &err),
			     0);
	assert_int_not_equal(
		netfilter_parse_nft("{}", &world->arena, &world->doctor.netfilter, &err), 0);
}

TEST(bridges_ask)
{
	read_nft(world, FORWARD("drop") RULE("inet", "guard", "fwd",
					     IN("v-net-0") "," OUT("eth0") ", {\"accept\": null}")
				RULE("inet", "guard", "fwd",
				     IN("eth0") "," OUT("v-net-0") ", {\"accept\": null}"));
	doctor_judge(&world->doctor);
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 0);
	set_sysctl(world, HOST, "net/bridge/bridge-nf-call-iptables", "1");
	expect(world, DOCTOR_PROBLEM, "bridge-nf-call", "host:v-net-0",
	       "sysctl -w net/bridge/bridge-nf-call-iptables=0");
}

TEST(other_translation)
{
	netfilter_parse_iptables("*nat\n:POSTROUTING ACCEPT [0:0]\n"
				 "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n",
				 "ip", &world->arena, &world->doctor.netfilter);
	expect(world, DOCTOR_NOTE, "shared-uplink", "host:eth0",
	       "${EDITOR:-vi} /etc/nsroute/lab.yaml && nsroute apply /etc/nsroute/lab.yaml");
}

TEST(double_translation)
{
	netfilter_parse_iptables("*nat\n:POSTROUTING ACCEPT [0:0]\n"
				 "-A POSTROUTING -s 192.168.0.0/16 -o eth0 -j MASQUERADE\n"
				 "-A POSTROUTING -s 192.168.15.0/24 -o eth1 -j MASQUERADE\n",
				 "ip", &world->arena, &world->doctor.netfilter);
	doctor_judge(&world->doctor);
	assert_string_equal(
		find(world, "foreign-nat")->mend,
		"iptables-legacy -t nat -D POSTROUTING -s 192.168.0.0/16 -o eth0 -j MASQUERADE");
	assert_int_equal(count_status(world, DOCTOR_PROBLEM), 1);
}

int main(void)
{
#define T(name) cmocka_unit_test(test_##name)
	static const struct CMUnitTest tests[] = {
		T(healthy),
		T(lo_down),
		T(peer_down),
		T(uplink_down),
		T(no_cable),
		T(pair_mtu),
		T(bridge_mtu),
		T(uplink_mtu),
		T(no_prefix),
		T(single_address_with_routes),
		T(duplicate),
		T(no_duplicate_over_vlans),
		T(detection_failed),
		T(tentative),
		T(overlap),
		T(overlap_of_the_host),
		T(overlap_of_a_wide_route),
		T(no_default_route),
		T(gateway_of_nobody),
		T(gateway_that_may_be_outside),
		T(gateway_off_the_link),
		T(no_forwarding),
		T(no_forwarding_at_the_uplink),
		T(no_forwarding_in_a_namespace),
		T(strict_reverse_path),
		T(loose_reverse_path),
		T(uplink_without_a_route),
		T(uplink_beside_the_route),
		T(uplink_renumbered),
		T(advertisements),
		T(namespace_gone),
		T(link_gone),
		T(mac_changed),
		T(mac_changed_inside),
		T(program_gone),
		T(ingress_qdisc),
		T(queueing),
		T(xdp),
		T(programs_of_others),
		T(orphan),
		T(file_differs),
		T(file_gone),
		T(managers),
		T(full_tables),
		T(full_connections),
		T(few_files),
		T(foreign_namespace),
		T(forward_policy),
		T(forward_accepted),
		T(forward_answers_only),
		T(forward_perhaps),
		T(forward_by_another_chain),
		T(forward_of_other_families),
		T(forward_of_iptables),
		T(forward_of_iptables_let_through),
		T(iptables_over_nft_is_left_to_nft),
		T(nonsense_is_refused),
		T(bridges_ask),
		T(other_translation),
		T(double_translation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
