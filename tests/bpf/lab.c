/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lab.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "netns.h"
#include "sysctl.h"

const uint8_t mac_red[6] = {2, 0, 0, 0, 0, 0x0b}, mac_blue[6] = {2, 0, 0, 0, 0, 0x0c},
	      mac_green[6] = {2, 0, 0, 0, 0, 0x0d}, mac_plain[6] = {2, 0, 0, 0, 0, 0x0e},
	      mac_br1[6] = {2, 0, 0, 0, 0, 1}, mac_br2[6] = {2, 0, 0, 0, 0, 2},
	      mac_br3[6] = {2, 0, 0, 0, 0, 3}, mac_up0[6] = {2, 0, 0, 0, 0, 0x10},
	      mac_port_red[6] = {2, 0, 0, 0, 1, 0x0b}, mac_router[6] = {2, 0, 0, 0, 0, 0xfe},
	      mac_stranger[6] = {2, 0, 0, 0, 0, 0xee};

/* Input of "ip -batch". */
static const char links[] = "link set lo up\n"
			    "link add br1 address 02:00:00:00:00:01 type bridge\n"
			    "link add br2 address 02:00:00:00:00:02 mtu 32768 type bridge\n"
			    "link add br3 address 02:00:00:00:00:03 type bridge\n"
			    "link add red address 02:00:00:00:01:0b type veth peer name red-in\n"
			    "link add blue type veth peer name blue-in\n"
			    "link add green mtu 32768 type veth peer name green-in mtu 32768\n"
			    "link add plain type veth peer name plain-in\n"
			    "link add up0 address 02:00:00:00:00:10 type veth peer name out0\n"
			    "link add up1 type veth peer name out1\n"
			    "link add else0 type veth peer name else1\n"
			    "link set red master br1 up\n"
			    "link set blue master br1 up\n"
			    "link set green master br2 up\n"
			    "link set plain master br3 up\n"
			    "link set br1 up\n"
			    "link set br2 up\n"
			    "link set br3 up\n"
			    "link set red-in up\n"
			    "link set blue-in up\n"
			    "link set green-in up\n"
			    "link set plain-in up\n"
			    "link set up0 up\n"
			    "link set out0 up\n"
			    "link set up1 up\n"
			    "link set out1 up\n"
			    "link set else0 up\n"
			    "link set else1 up\n"
			    "addr add 192.168.15.1/24 dev br1\n"
			    "addr add fd00:15::1/64 dev br1 nodad\n"
			    "addr add 192.168.16.1/24 dev br2\n"
			    "addr add fd00:16::1/64 dev br2 nodad\n"
			    "addr add 192.168.17.1/24 dev br3\n"
			    "addr add 198.51.100.2/24 dev up0\n"
			    "addr add 2001:db8:1::2/64 dev up0 nodad\n"
			    "addr add 203.0.113.2/24 dev up1\n"
			    "addr add 10.9.0.1/24 dev else0\n"
			    "route add default via 198.51.100.1\n"
			    "route add default via 2001:db8:1::1\n"
			    "neigh add 198.51.100.1 lladdr 02:00:00:00:00:fe dev up0\n"
			    "neigh add 198.51.100.77 lladdr 02:00:00:00:00:fd dev up0\n"
			    "route add 192.0.2.128/25 via 10.9.0.2\n";

/* What the tables say of each port. */
static const struct {
	const char *link, *bridge, *ip, *ip6;
	const uint8_t *mac, *gateway_mac;
	uint16_t network;
	bool masqueraded;
	uint32_t mtu;
} fabric[LAB_PORTS] = {
	[RED] = {"red", "br1", RED_IP, RED_IP6, mac_red, mac_br1, 1, true, LAB_MTU},
	[BLUE] = {"blue", "br1", BLUE_IP, "fd00:15::12", mac_blue, mac_br1, 1, true, LAB_MTU},
	[GREEN] = {"green", "br2", GREEN_IP, GREEN_IP6, mac_green, mac_br2, 2, true, LAB_SPACIOUS},
	[PLAIN] = {"plain", "br3", PLAIN_IP, "fd00:17::14", mac_plain, mac_br3, 3, false, LAB_MTU},
};

static void done(struct lab *lab, int ret)
{
	char text[2 * ERROR_MESSAGE_MAX];

	if (ret)
		fail_msg("%s", error_format(&lab->err, text, sizeof(text)));
}

/* ---- Set-up and tear-down. */

static int build_links(struct lab *lab)
{
	FILE *ip = popen("ip -batch -", "w");
	uint32_t i;

	if (!ip || fputs(links, ip) < 0 || pclose(ip) != 0)
		return -EIO;
	if (sysctl_write(-1, "net/ipv4/ip_forward", "1", &lab->err) ||
	    sysctl_write(-1, "net/ipv6/conf/all/forwarding", "1", &lab->err))
		return lab->err.code;
	for (i = 0; i < LAB_PORTS; i++) {
		lab->port[i] = if_nametoindex(fabric[i].link);
		lab->bridge[i] = if_nametoindex(fabric[i].bridge);
	}
	lab->uplink[UP0] = if_nametoindex("up0");
	lab->uplink[UP1] = if_nametoindex("up1");
	lab->elsewhere = if_nametoindex("else0");
	return 0;
}

int lab_group_set_up_for(void **state, uint32_t flows, uint32_t uses)
{
	struct lab *lab = NULL;
	uint64_t cookie;
	int ret;

	*state = NULL;
	if (geteuid() != 0)
		return 0;
	lab = calloc(1, sizeof(*lab));
	ret = unshare(CLONE_NEWNET) ? -errno : build_links(lab);
	if (!ret)
		ret = netns_cookie(-1, &cookie, &lab->err);
	if (!ret)
		ret = datapath_open(&lab->datapath, cookie, &(struct datapath_new){flows, uses},
				    &lab->err);
	if (!ret)
		ret = datapath_unpin(cookie, &lab->err);
	if (ret)
		print_error("no lab: %s (%s)\n", lab->err.message, lab->err.kernel);
	*state = lab;
	return ret;
}

int lab_group_set_up(void **state)
{
	return lab_group_set_up_for(state, NSR_SESSION_SET, USE_ALL & ~USE_BARE);
}

int lab_group_set_up_ports(void **state)
{
	return lab_group_set_up_for(state, NSR_SESSION_SET, USE_PORTS);
}

int lab_group_tear_down(void **state)
{
	struct lab *lab = *state;

	if (lab)
		datapath_close(lab->datapath);
	free(lab);
	return 0;
}

struct lab *lab_of(void **state)
{
	if (!*state) {
		print_message("# needs root: BPF and network namespaces\n");
		skip();
	}
	return *state;
}

static void clear(struct lab *lab, enum datapath_map map)
{
	char key[64];

	while (bpf_map_get_next_key(lab->datapath->maps[map], NULL, key) == 0)
		assert_int_equal(bpf_map_delete_elem(lab->datapath->maps[map], key), 0);
}

static void put(struct lab *lab, enum datapath_map map, uint32_t number, const void *value)
{
	assert_int_equal(bpf_map_update_elem(lab->datapath->maps[map], &number, value, BPF_ANY), 0);
}

/* Every port as if it had never been handed out. Replacing the pool would do that as well, but the
 * kernel takes its time over maps in maps. */
static void clear_pool(struct lab *lab, enum datapath_map map, enum datapath_map map_bits,
		       uint32_t pool)
{
	static const struct nsr_mapping6 unused; /* larger than struct nsr_mapping */
	static struct nsr_pool_bits bits;
	uint32_t id, port;
	int fd;

	if (bpf_map_lookup_elem(lab->datapath->maps[map], &pool, &id)) {
		assert_int_equal(map, MAP_pools6); /* not of each uplink */
		return;
	}
	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[map_bits], &pool, &bits), 0);
	fd = bpf_map_get_fd_by_id(id);
	assert_true(fd >= 0);
	for (port = LAB_PORT_MIN; port <= LAB_PORT_MAX; port++)
		if (bits.words[NSR_POOL_BIT(port) / 64] >> NSR_POOL_BIT(port) % 64 & 1)
			assert_int_equal(bpf_map_update_elem(fd, &port, &unused, BPF_ANY), 0);
	close(fd);
	put(lab, map_bits, pool, &lab->free_pool);
}

static struct nsr_share share_of(struct lab *lab, uint32_t owner)
{
	struct nsr_share share;

	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_shares], &owner, &share), 0);
	return share;
}

/* Calls act for whoever may have something: ports have the lowest numbers, as have prefixes. */
static void each_owner(struct lab *lab, void (*act)(struct lab *lab, uint32_t owner))
{
	uint32_t i;

	for (i = 0; i < 1 + LAB_PORTS; i++)
		act(lab, i);
	for (i = 0; i < 8; i++)
		act(lab, NSR_STRANGERS + i);
	act(lab, NSR_OWNER_HOST);
}

static void clear_share(struct lab *lab, uint32_t owner)
{
	static const struct nsr_share none;

	put(lab, MAP_shares, owner, &none);
}

static void expect_no_sessions(struct lab *lab, uint32_t owner)
{
	struct nsr_share share = share_of(lab, owner);

	assert_int_equal(share.flows, 0);
	assert_int_equal(share.inbound, 0);
	assert_int_equal(share.records[0], 0);
	assert_int_equal(share.records[1], 0);
}

/* What a test before this one left, even one that failed. */
static void clear_flows(struct lab *lab)
{
	static const struct nsr_session_bits no_sessions;
	static struct nsr_session_bits6 no_sessions6;
	struct nsr_selection all = {0};
	struct nsr_selection6 all6 = {0};
	uint32_t i, protocol;

	for (i = 0; i < LAB_UPLINKS; i++) {
		all.uplink = (uint8_t)(1 + lab->uplink_number[i]);
		all6.uplink = all.uplink;
		done(lab, datapath_flush(lab->datapath, &all, NULL, &lab->err));
		done(lab, datapath_flush6(lab->datapath, &all6, NULL, &lab->err));
		for (protocol = 0; protocol < NSR_NAT_PROTOCOLS; protocol++) {
			clear_pool(lab, MAP_pools, MAP_pool_bits,
				   NSR_POOL(lab->uplink_number[i], protocol));
			clear_pool(lab, MAP_pools6, MAP_pool_bits6,
				   NSR_POOL(lab->uplink_number[i], protocol));
		}
	}
	clear(lab, MAP_session_by_flow6);
	clear(lab, MAP_mapping_by_inside6);
	no_sessions6.words[NSR_SESSION6_BITS_WORDS - 1] = ~0ull << NSR_SESSION6_WORDS / 64;
	clear(lab, MAP_session_by_flow);
	clear(lab, MAP_mapping_by_inside);
	clear(lab, MAP_datagrams_out);
	clear(lab, MAP_datagrams_in);
	clear(lab, MAP_datagrams_out6);
	clear(lab, MAP_held_fragments);
	clear(lab, MAP_host_remotes);
	clear(lab, MAP_host_hears);
	clear(lab, MAP_host_remotes6);
	clear(lab, MAP_host_hears6);
	clear(lab, MAP_host_echoes);
	clear(lab, MAP_datagrams_in6);
	clear(lab, MAP_held_fragments6);
	for (i = 0; i < lab->datapath->session_sets; i++) {
		put(lab, MAP_session_bits, i, &no_sessions);
		put(lab, MAP_session_bits6, i, &no_sessions6);
	}
	each_owner(lab, clear_share);
	lab_clock_offset(lab, 0);
}

static void clear_uplink_counters(struct lab *lab)
{
	static const struct nsr_nat_counters no_nat;
	static const struct nsr_drops no_drops;
	void *zeros =
		calloc((size_t)libbpf_num_possible_cpus(), sizeof(struct nsr_uplink_counters));
	uint32_t i, no_wait = 0;

	for (i = 0; i < LAB_UPLINKS; i++) {
		put(lab, MAP_held_waits, lab->uplink_number[i], &no_wait);
		put(lab, MAP_uplink_counters, lab->uplink_number[i], zeros);
		put(lab, MAP_uplink_drops, lab->uplink_number[i], &no_drops);
		put(lab, MAP_nat_counters, lab->uplink_number[i], &no_nat);
		put(lab, MAP_nat_counters6, lab->uplink_number[i], &no_nat);
	}
	free(zeros);
}

static void set_uplinks(struct lab *lab)
{
	uint32_t pool;

	lab_uplink_set(lab, UP0, UPLINK_IP, LAB_PORT_MIN, LAB_PORT_MAX);
	lab_uplink_set(lab, UP1, UPLINK2_IP, LAB_PORT_MIN, LAB_PORT_MAX);
	if (lab->ready)
		return;
	pool = NSR_POOL(lab->uplink_number[UP0], NSR_NAT_TCP);
	assert_int_equal(
		bpf_map_lookup_elem(lab->datapath->maps[MAP_pool_bits], &pool, &lab->free_pool), 0);
	lab->ready = true;
}

int lab_set_up(void **state)
{
	struct lab *lab = *state;
	struct nsr_inner_link inner = {0};
	struct nsr_endpoint endpoint;
	struct nsr_port port;
	uint64_t never = 0;
	uint32_t i;

	if (!lab)
		return 0;
	set_uplinks(lab);
	clear_flows(lab);
	clear_uplink_counters(lab);
	clear(lab, MAP_hosts4);
	clear(lab, MAP_hosts6);
	clear(lab, MAP_fdb);
	clear(lab, MAP_inside4);
	clear(lab, MAP_inside6);
	free(lab->datapath->inside_slots); /* read again */
	lab->datapath->inside_slots = NULL;
	clear(lab, MAP_sources);
	for (i = 0; i < LAB_PORTS; i++) {
		done(lab, datapath_port_delete(lab->datapath, lab->port[i], &lab->err));
		port = lab_port(lab, i);
		lab_port_set(lab, i, &port);
		assert_int_equal(bpf_map_update_elem(lab->datapath->maps[MAP_refusals],
						     &lab->port_number[i], &never, BPF_ANY),
				 0);
		inner.network = fabric[i].network;
		done(lab,
		     datapath_inner_link_set(lab->datapath, lab->bridge[i], &inner, &lab->err));
		endpoint = lab_endpoint(lab, i);
		lab_host_set(lab, fabric[i].ip, &endpoint);
		lab_host_set(lab, fabric[i].ip6, &endpoint);
		lab_fdb_set(lab, i, &endpoint);
	}
	lab_inside_set(lab, "192.168.15.0/24", UP0, NULL);
	lab_inside_set(lab, "192.168.16.0/24", UP0, NULL);
	lab_inside_set(lab, "192.168.18.0/24", UP1, NULL);
	lab_inside_set(lab, "fd00:15::/64", UP0, NULL);
	return 0;
}

/* ---- Tables. */

struct ip_address lab_ip(const char *text)
{
	struct ip_address ip;

	assert_true(ip_parse(text, &ip, NULL));
	return ip;
}

struct nsr_port lab_port(const struct lab *lab, enum lab_port which)
{
	struct nsr_port port = {
		.gateway_ifindex = lab->bridge[which],
		.network = fabric[which].network,
		.flags = NSR_PORT_FAST | NSR_PORT_SPOOF_CHECK,
		.uplink = (uint16_t)(fabric[which].masqueraded ? 1 + lab->uplink_number[UP0] : 0),
		.address4 = address4(fabric[which].ip),
	};

	memcpy(port.mac, fabric[which].mac, 6);
	memcpy(port.gateway_mac, fabric[which].gateway_mac, 6);
	memcpy(port.address6, lab_ip(fabric[which].ip6).bytes, 16);
	return port;
}

void lab_port_set(struct lab *lab, enum lab_port which, const struct nsr_port *port)
{
	done(lab, datapath_port_set(lab->datapath, lab->port[which], port, &lab->port_number[which],
				    &lab->err));
}

struct nsr_endpoint lab_endpoint(const struct lab *lab, enum lab_port which)
{
	struct nsr_endpoint endpoint = {
		.ifindex = lab->port[which],
		.mtu = fabric[which].mtu,
		.network = fabric[which].network,
		.flags = NSR_PORT_FAST,
	};

	memcpy(endpoint.mac, fabric[which].mac, 6);
	memcpy(endpoint.gateway_mac, fabric[which].gateway_mac, 6);
	return endpoint;
}

void lab_host_set(struct lab *lab, const char *ip, const struct nsr_endpoint *endpoint)
{
	struct ip_address address = lab_ip(ip);

	done(lab, datapath_host_set(lab->datapath, &address, endpoint, &lab->err));
}

void lab_fdb_set(struct lab *lab, enum lab_port which, const struct nsr_endpoint *endpoint)
{
	struct nsr_fdb_key key = {.network = fabric[which].network};

	memcpy(key.mac, fabric[which].mac, 6);
	done(lab, datapath_fdb_set(lab->datapath, &key, endpoint, &lab->err));
}

void lab_uplink_set(struct lab *lab, enum lab_uplink which, const char *ip, uint16_t port_min,
		    uint16_t port_max)
{
	struct nsr_uplink uplink = {
		.address4 = ip ? address4(ip) : 0, .port_min = port_min, .port_max = port_max};

	if (ip && which == UP0)
		memcpy(uplink.address6, lab_ip(UPLINK_IP6).bytes, sizeof(uplink.address6));
	done(lab, datapath_uplink_set(lab->datapath, lab->uplink[which], &uplink,
				      &lab->uplink_number[which], &lab->err));
}

void lab_inside_set(struct lab *lab, const char *prefix, enum lab_uplink which,
		    const struct nsr_inside *settings)
{
	static const struct nsr_inside usual = NSR_INSIDE_DEFAULT;
	struct ip_address ip = lab_ip(prefix);

	done(lab, datapath_inside_set(lab->datapath, &ip, lab->uplink[which],
				      settings ? settings : &usual, NULL, 0, &lab->err));
}

/* ---- State of the NAT. */

void lab_clock_offset(struct lab *lab, uint32_t seconds)
{
	int map = lab->datapath->maps[MAP_settings];
	struct nsr_settings settings;
	uint32_t zero = 0;

	assert_int_equal(bpf_map_lookup_elem(map, &zero, &settings), 0);
	settings.clock_offset_s = seconds;
	assert_int_equal(bpf_map_update_elem(map, &zero, &settings, 0), 0);
}

struct nsr_nat_counters lab_nat(struct lab *lab, enum lab_uplink which)
{
	struct nsr_nat_counters nat;

	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_nat_counters],
					     &lab->uplink_number[which], &nat),
			 0);
	return nat;
}

uint64_t lab_sum(const __u64 counters[NSR_NAT_PROTOCOLS])
{
	return counters[NSR_NAT_TCP] + counters[NSR_NAT_UDP] + counters[NSR_NAT_ICMP];
}

struct nsr_share lab_share(struct lab *lab, enum lab_port which)
{
	return share_of(lab, 1 + lab->port_number[which]);
}

static uint32_t ports_counted;

static void count_ports(struct lab *lab, uint32_t owner)
{
	struct nsr_share share = share_of(lab, owner);

	for (uint32_t i = 0; i < NSR_SHARE_PORTS; i++)
		ports_counted += share.ports[i];
}

uint32_t lab_ports_of_all(struct lab *lab)
{
	ports_counted = 0;
	each_owner(lab, count_ports);
	return ports_counted;
}

uint32_t lab_flows_of(struct lab *lab, enum lab_port which)
{
	return lab_share(lab, which).flows;
}

static uint32_t count_bits(const uint64_t *words, uint32_t count)
{
	uint32_t bits = 0, i;

	for (i = 0; i < count; i++)
		bits += (uint32_t)__builtin_popcountll(words[i]);
	return bits;
}

uint32_t lab_session_bits(struct lab *lab)
{
	static struct nsr_session_bits bits;
	uint32_t count = 0, set;

	for (set = 0; set < lab->datapath->session_sets; set++) {
		assert_int_equal(
			bpf_map_lookup_elem(lab->datapath->maps[MAP_session_bits], &set, &bits), 0);
		count += count_bits((const uint64_t *)bits.words, NSR_SESSION_WORDS);
	}
	return count;
}

uint32_t lab_pool_bits(struct lab *lab, enum lab_uplink which, enum nsr_nat_protocol protocol)
{
	static struct nsr_pool_bits bits;
	uint32_t pool = NSR_POOL(lab->uplink_number[which], protocol);
	struct nsr_uplink uplink;

	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_pool_bits], &pool, &bits), 0);
	assert_int_equal(
		bpf_map_lookup_elem(lab->datapath->maps[MAP_uplinks], &lab->uplink[which], &uplink),
		0);
	return count_bits((const uint64_t *)bits.words, NSR_POOL_WORDS) -
	       (NSR_POOL_PORTS - (uplink.port_max - uplink.port_min + 1u));
}

uint32_t lab_entries(struct lab *lab, int map)
{
	char key[64], next[64];
	uint32_t entries = 0;
	void *previous = NULL;

	while (bpf_map_get_next_key(lab->datapath->maps[map], previous, next) == 0) {
		memcpy(key, next, sizeof(key));
		previous = key;
		entries++;
	}
	return entries;
}

/* Slots that were never used read as FREE, so only those with a bit can be active: but a leak may
 * have lost the bit, so all are looked at. */
uint32_t lab_active_sessions(struct lab *lab)
{
	const uint32_t room = lab->datapath->session_sets * NSR_SESSION_SET;
	struct nsr_session *all = calloc(room, sizeof(*all));
	uint32_t *keys = calloc(room, sizeof(*keys));
	uint32_t count = room, active = 0, next, i;
	int map = lab->datapath->maps[MAP_sessions];

	if (bpf_map_lookup_batch(map, NULL, &next, keys, all, &count, NULL) && errno != ENOENT)
		fail_msg("cannot read the sessions: %s", strerror(errno));
	assert_int_equal(count, room);
	for (i = 0; i < count; i++)
		active += (all[i].state & NSR_SESSION_STATUS) == NSR_SESSION_ACTIVE;
	free(keys);
	free(all);
	return active;
}

void lab_expect_no_flows(struct lab *lab)
{
	struct nsr_nat_counters nat;
	struct nsr_selection all = {0};
	uint32_t i;

	lab_expect_no_flows6(lab);
	for (i = 0; i < LAB_UPLINKS; i++) {
		all.uplink = (uint8_t)(1 + lab->uplink_number[i]);
		done(lab, datapath_flush(lab->datapath, &all, NULL, &lab->err));
		nat = lab_nat(lab, i);
		assert_int_equal(lab_sum(nat.sessions_created), lab_sum(nat.sessions_expired));
		assert_int_equal(nat.sessions_created[NSR_NAT_OTHER],
				 nat.sessions_expired[NSR_NAT_OTHER]);
		assert_int_equal(lab_sum(nat.mappings_created), lab_sum(nat.mappings_ended));
	}
	each_owner(lab, expect_no_sessions);
	assert_int_equal(lab_active_sessions(lab), 0);
	assert_int_equal(lab_session_bits(lab), 0);
	assert_int_equal(lab_entries(lab, MAP_session_by_flow), 0);
	assert_int_equal(lab_entries(lab, MAP_mapping_by_inside), 0);
}
