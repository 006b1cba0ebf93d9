/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What users see of a fabric, from a state built by hand: fabric "lab", namespaces red (a port),
 * blue (a port, and one end of a direct veth) and green (recorded, but gone).
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "output.h"
#include "output_table.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static struct ip_address ip(const char *text)
{
	struct ip_address address;

	assert_true(ip_parse(text, &address, NULL));
	return address;
}

/* ---- The fabric. */

static struct record_entry entries[] = {
	{.kind = RECORD_NETWORK, .name = "v-net-0", .value = "1", .set = ""},
	{.kind = RECORD_LINK, .name = "v-net-0", .value = "", .set = ""},
	{.kind = RECORD_UPLINK, .name = "up0", .value = "", .set = ""},
	{.kind = RECORD_INSIDE, .name = "192.168.15.0/24", .value = "up0", .set = ""},
	{.kind = RECORD_NETNS, .name = "red", .value = "", .set = ""},
	{.kind = RECORD_LINK, .name = "red-eth0", .value = "", .set = ""},
	{.kind = RECORD_NETNS, .name = "blue", .value = "", .set = ""},
	{.kind = RECORD_LINK, .name = "blue-eth0", .value = "", .set = ""},
	{.kind = RECORD_NETNS, .name = "green", .value = "", .set = ""},
	{.kind = RECORD_PUBLISHED, .name = "up0/tcp/90-99", .value = "192.168.15.11:70", .set = ""},
};
static struct record record = {
	.fabric = "lab", .file = "/etc/lab.yaml", .entries = entries, .count = COUNT(entries)};

static struct state_link host_links[] = {
	{.ifindex = 1, .name = "lo", .flags = IFF_UP | IFF_LOOPBACK, .carrier = true},
	{.ifindex = 2,
	 .name = "v-net-0",
	 .kind = "bridge",
	 .mac = {2, 0, 0, 0, 0, 1},
	 .mtu = 1500,
	 .sizes = {[STATE_GSO] = 65536, [STATE_GSO_IPV4] = 185000},
	 .flags = IFF_UP,
	 .carrier = true},
	{.ifindex = 3,
	 .name = "up0",
	 .kind = "veth",
	 .mac = {2, 0, 0, 0, 0, 2},
	 .mtu = 1500,
	 .flags = IFF_UP,
	 .carrier = true,
	 .clsact = true,
	 .hook_in = true,
	 .hook_out = true},
	{.ifindex = 10,
	 .name = "red-eth0",
	 .kind = "veth",
	 .mac = {2, 0, 0, 0, 1, 0},
	 .mtu = 1500,
	 .flags = IFF_UP,
	 .carrier = true,
	 .master = 2,
	 .peer_ifindex = 2,
	 .hook_in = true,
	 .hook_out = true},
	{.ifindex = 11,
	 .name = "blue-eth0",
	 .kind = "veth",
	 .mac = {2, 0, 0, 0, 1, 1},
	 .mtu = 1500,
	 .flags = 0,
	 .master = 2,
	 .peer_ifindex = 2,
	 .hook_in = true,
	 .hook_out = true},
};
static struct state_link red_links[] = {
	{.ifindex = 1, .name = "lo", .flags = IFF_UP | IFF_LOOPBACK, .carrier = true},
	{.ifindex = 2,
	 .name = "eth0",
	 .kind = "veth",
	 .mac = {2, 0, 0, 0, 0, 0x0b},
	 .mtu = 1500,
	 .sizes = {[STATE_GSO] = 185000, [STATE_GSO_IPV4] = 185000},
	 .flags = IFF_UP,
	 .carrier = true,
	 .peer_ifindex = 10},
};
/* p0's other end has ifindex 10 in some other namespace, as red's host end has in the host's: only
 * the MAC in the port's table tells that the two are not a pair. */
static struct state_link blue_links[] = {
	{.ifindex = 2,
	 .name = "p0",
	 .kind = "veth",
	 .mac = {2, 0, 0, 0, 0, 0x0d},
	 .mtu = 9000,
	 .flags = IFF_UP,
	 .carrier = true,
	 .peer_ifindex = 10,
	 .rx_packets = 5,
	 .rx_bytes = 500,
	 .tx_packets = 6,
	 .tx_bytes = 600},
};
static struct state_address host_addresses[3], red_addresses[2];
static struct state_route red_routes[2];
static struct state_namespace namespaces[] = {
	{.name = "red",
	 .exists = true,
	 .links = red_links,
	 .links_count = COUNT(red_links),
	 .addresses = red_addresses,
	 .addresses_count = COUNT(red_addresses),
	 .routes = red_routes,
	 .routes_count = COUNT(red_routes)},
	{.name = "blue", .exists = true, .links = blue_links, .links_count = COUNT(blue_links)},
	{.name = "green"},
};
static struct state_port ports[] = {
	{.ifindex = 10,
	 .port = {.flags = NSR_PORT_FAST, .mac = {2, 0, 0, 0, 0, 0x0b}},
	 .counters = {.tx_packets = 1000,
		      .tx_bytes = 98000,
		      .rx_packets = 997,
		      .rx_bytes = 97706,
		      .fast_packets = 995,
		      .slow_packets = 2,
		      .rx_dropped = 4},
	 .drops = {.packets = {[NSR_DROP_SPOOFED_MAC] = 3}}},
};
static struct state_uplink uplinks[1];
static struct kernel_state state = {
	.host = {.exists = true,
		 .links = host_links,
		 .links_count = COUNT(host_links),
		 .addresses = host_addresses,
		 .addresses_count = COUNT(host_addresses)},
	.namespaces = namespaces,
	.namespaces_count = COUNT(namespaces),
	.datapath = {.loaded = true,
		     .ports = ports,
		     .ports_count = COUNT(ports),
		     .uplinks = uplinks,
		     .uplinks_count = COUNT(uplinks)},
};

static int build(void **unused)
{
	(void)unused;
	output_init();
	host_addresses[0] = (struct state_address){.ifindex = 2, .address = ip("192.168.15.1/24")};
	host_addresses[1] = (struct state_address){.ifindex = 2, .address = ip("fe80::1/64")};
	host_addresses[2] = (struct state_address){.ifindex = 3, .address = ip("198.51.100.1/24")};
	red_addresses[0] = (struct state_address){.ifindex = 2, .address = ip("192.168.15.11/24")};
	red_addresses[1] = (struct state_address){.ifindex = 2, .address = ip("fd00:15::b/64")};
	red_routes[0] = (struct state_route){.to = {.family = AF_INET},
					     .via = ip("192.168.15.1"),
					     .ifindex = 2,
					     .protocol = STATE_PROTOCOL};
	red_routes[1] = (struct state_route){
		.to = ip("192.168.15.0/24"), .ifindex = 2, .protocol = RTPROT_KERNEL};
	uplinks[0] =
		(struct state_uplink){.uplink = {.ifindex = 3, .port_min = 1024, .port_max = 65535},
				      .counters = {.tx_packets = 20,
						   .tx_bytes = 2000,
						   .rx_packets = 18,
						   .rx_bytes = 1800,
						   .tx_translated = 15,
						   .rx_translated = 14,
						   .tx_passed = 3,
						   .rx_passed = 4,
						   .tx_dropped = 2},
				      .drops = {.packets = {[NSR_DROP_NAT_PORTS] = 2}},
				      .nat = {.sessions_created = {7, 5, 1, 4},
					      .sessions_expired = {2, 0, 1, 1},
					      .ports_used = {6, 5, 1}}};
	uplinks[0].uplink.address4 = inet_addr("198.51.100.1");
	return 0;
}

/* ---- Helpers. */

typedef void (*renderer)(FILE *out, const json_t *model, bool color);

static void assert_text(renderer render, const json_t *model, bool color, const char *expected)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	render(out, model, color);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(text, expected);
	free(text);
}

/* The value at the path, whose steps are keys and numbers of elements. */
static const json_t *at(const json_t *value, const char *path)
{
	char copy[128], *step, *rest = copy;

	assert_true(strlen(path) < sizeof(copy));
	strcpy(copy, path);
	while ((step = strsep(&rest, "/"))) {
		value = json_is_array(value) ? json_array_get(value, strtoul(step, NULL, 10))
					     : json_object_get(value, step);
		assert_non_null(value);
	}
	return value;
}

static void assert_json(const json_t *model, const char *path, const char *expected)
{
	char *text = json_dumps(at(model, path), JSON_COMPACT | JSON_ENCODE_ANY);

	assert_string_equal(text, expected);
	free(text);
}

/* ---- show */

static void show_json(void **unused)
{
	json_t *model = output_show(&record, &state, OUTPUT_ALL);

	(void)unused;
	assert_json(model, "fabric", "\"lab\"");
	assert_json(model, "file", "\"/etc/lab.yaml\"");
	assert_json(model, "state", "\"incomplete\""); /* green is gone */
	assert_json(
		model, "networks",
		"[{\"name\":\"v-net-0\",\"state\":\"up\",\"mac\":\"02:00:00:00:00:01\","
		"\"mtu\":1500,\"big_tcp\":[\"ipv4\"],\"type\":\"bridge\","
		"\"gateways\":[\"192.168.15.1/24\"],"
		"\"masquerade\":[{\"prefix\":\"192.168.15.0/24\",\"uplink\":\"up0\",\"except\":[]}],"
		"\"ports\":2}]");
	assert_json(
		model, "uplinks",
		"[{\"name\":\"up0\",\"state\":\"up\",\"mac\":\"02:00:00:00:00:02\","
		"\"mtu\":1500,\"big_tcp\":[],\"address\":\"198.51.100.1\",\"address6\":null,"
		"\"addresses\":[\"198.51.100.1\"],\"port_min\":1024,\"port_max\":65535,\"attached\":true}]");
	assert_json(model, "published",
		    "[{\"uplink\":\"up0\",\"protocol\":\"tcp\",\"ports\":\"90-99\","
		    "\"inside\":\"192.168.15.11:70\"}]");
	assert_json(model, "namespaces/0",
		    "{\"name\":\"red\",\"state\":\"up\",\"interfaces\":[{\"name\":\"eth0\","
		    "\"state\":\"up\",\"mac\":\"02:00:00:00:00:0b\",\"mtu\":1500,"
		    "\"big_tcp\":[\"ipv4\",\"ipv6\"],"
		    "\"addresses\":[\"192.168.15.11/24\",\"fd00:15::b/64\"],"
		    "\"network\":\"v-net-0\",\"host_end\":\"red-eth0\",\"fast_path\":true}],"
		    "\"routes\":[{\"to\":\"default\",\"family\":\"inet\",\"via\":\"192.168.15.1\","
		    "\"interface\":\"eth0\",\"protocol\":\"nsroute\"},"
		    "{\"to\":\"192.168.15.0/24\",\"family\":\"inet\",\"via\":null,"
		    "\"interface\":\"eth0\",\"protocol\":\"kernel\"}]}");
	assert_json(model, "namespaces/1/interfaces/0/host_end", "null");
	assert_json(model, "namespaces/2",
		    "{\"name\":\"green\",\"state\":\"missing\",\"interfaces\":[],\"routes\":[]}");
	assert_json(
		model, "links/1",
		"{\"name\":\"eth0\",\"state\":\"up\",\"mac\":\"02:00:00:00:00:0b\","
		"\"mtu\":1500,\"big_tcp\":[\"ipv4\",\"ipv6\"],\"namespace\":\"red\",\"kind\":\"veth\",\"master\":null,"
		"\"peer_namespace\":null,\"peer\":\"red-eth0\"}");
	assert_json(model, "links/2/peer_namespace", "\"red\"");
	assert_json(model, "links/2/peer", "\"eth0\"");
	assert_int_equal(json_array_size(at(model, "routes")), 2);
	json_decref(model);
}

/* A network without a bridge is its ports. */
static void show_routed(void **unused)
{
	struct state_link links[COUNT(host_links)];
	struct state_address addresses[COUNT(host_addresses)];
	struct record_entry written[COUNT(entries)];
	struct record routed = record;
	struct kernel_state observed = state;
	json_t *model;

	(void)unused;
	memcpy(links, host_links, sizeof(links));
	memcpy(addresses, host_addresses, sizeof(addresses));
	memcpy(written, entries, sizeof(written));
	written[0] = (struct record_entry){RECORD_NETWORK, "routed", "0", "routed"};
	links[3].master = links[4].master = 0;
	addresses[0] = (struct state_address){.ifindex = 10, .address = ip("192.168.15.1/32")};
	addresses[1] = (struct state_address){.ifindex = 10, .address = ip("fe80::1/64")};
	routed.entries = written;
	observed.host.links = links;
	observed.host.addresses = addresses;
	model = output_show(&routed, &observed, OUTPUT_ALL);
	assert_json(
		model, "networks",
		"[{\"name\":\"routed\",\"state\":\"up\",\"mac\":\"02:00:00:00:01:00\","
		"\"mtu\":1500,\"big_tcp\":[],\"type\":\"routed\",\"gateways\":[\"192.168.15.1/32\"],"
		"\"masquerade\":[{\"prefix\":\"192.168.15.0/24\",\"uplink\":\"up0\",\"except\":[]}],"
		"\"ports\":1}]");
	assert_json(model, "namespaces/0/interfaces/0/network", "\"routed\"");
	json_decref(model);
}

static void show_text(void **unused)
{
	json_t *model = output_show(&record, &state, OUTPUT_NETWORKS | OUTPUT_NAMESPACES);

	(void)unused;
	assert_text(
		output_show_text, model, false,
		"fabric 'lab': incomplete, from /etc/lab.yaml\n"
		"\n"
		"NETWORK  TYPE    STATE  PORTS   MTU  BIG TCP  MAC                GATEWAY          "
		"MASQUERADE\n"
		"v-net-0  bridge  up         2  1500  ipv4     02:00:00:00:00:01  192.168.15.1/24  "
		"192.168.15.0/24 to up0\n"
		"\n"
		"UPLINK  STATE  ADDRESS       PORTS       PROGRAMS\n"
		"up0     up     198.51.100.1  1024-65535  attached\n"
		"\n"
		"NAMESPACE  INTERFACE  STATE    NETWORK  HOST END  PATH    MAC                "
		"ADDRESSES\n"
		"red        eth0       up       v-net-0  red-eth0  fast    02:00:00:00:00:0b  "
		"192.168.15.11/24 fd00:15::b/64\n"
		"blue       p0         up       -        -         kernel  02:00:00:00:00:0d  "
		"-\n"
		"green      -          missing  -        -         -       -                  "
		"-\n"
		"\n"
		"UPLINK  PROTOCOL  PUBLISHED  INSIDE\n"
		"up0     tcp       90-99      192.168.15.11:70\n");
	json_decref(model);
}

static void show_sections(void **unused)
{
	json_t *model = output_show(&record, &state, OUTPUT_LINKS | OUTPUT_ROUTES);

	(void)unused;
	assert_null(json_object_get(model, "networks"));
	assert_null(json_object_get(model, "uplinks"));
	assert_null(json_object_get(model, "namespaces"));
	assert_text(output_show_text, model, false,
		    "fabric 'lab': incomplete, from /etc/lab.yaml\n"
		    "\n"
		    "NAMESPACE  LINK       KIND    STATE   MTU  MAC                MASTER   PEER\n"
		    "(host)     v-net-0    bridge  up     1500  02:00:00:00:00:01  -        -\n"
		    "red        eth0       veth    up     1500  02:00:00:00:00:0b  -        "
		    "red-eth0\n"
		    "(host)     red-eth0   veth    up     1500  02:00:00:00:01:00  v-net-0  "
		    "red:eth0\n"
		    "blue       p0         veth    up     9000  02:00:00:00:00:0d  -        -\n"
		    "(host)     blue-eth0  veth    down   1500  02:00:00:00:01:01  v-net-0  -\n"
		    "\n"
		    "NAMESPACE  TO               VIA           INTERFACE  PROTOCOL\n"
		    "red        default          192.168.15.1  eth0       nsroute\n"
		    "red        192.168.15.0/24  -             eth0       kernel\n");
	json_decref(model);
}

static void summaries(void **unused)
{
	json_t *list = json_array();

	(void)unused;
	json_array_append_new(list, output_summary(&record, &state));
	assert_json(list, "0",
		    "{\"fabric\":\"lab\",\"file\":\"/etc/lab.yaml\",\"state\":\"incomplete\","
		    "\"network_count\":1,\"namespace_count\":3}");
	assert_text(output_summaries_text, list, true,
		    "\033[1mFABRIC\033[0m  \033[1mSTATE\033[0m       \033[1mNETWORKS\033[0m  "
		    "\033[1mNAMESPACES\033[0m  \033[1mFILE\033[0m\n"
		    "lab     \033[31mincomplete\033[0m         1           3  /etc/lab.yaml\n");
	json_decref(list);
}

/* ---- stats */

static void stats_json(void **unused)
{
	json_t *model = output_stats(&record, &state);
	const char *reason;
	json_t *value;
	size_t reasons = 0;

	(void)unused;
	assert_json(model, "namespaces/0/interfaces/0/rx_packets", "997");
	assert_json(model, "namespaces/0/interfaces/0/rx_bytes", "97706");
	assert_json(model, "namespaces/0/interfaces/0/tx_packets", "1000");
	assert_json(model, "namespaces/0/interfaces/0/tx_bytes", "98000");
	assert_json(model, "namespaces/0/interfaces/0/fast_packets", "995");
	assert_json(model, "namespaces/0/interfaces/0/slow_packets", "2");
	assert_json(model, "namespaces/0/interfaces/0/rx_dropped", "4");
	assert_json(model, "namespaces/0/interfaces/0/drops/spoofed-mac", "3");
	assert_json(model, "namespaces/0/interfaces/0/drops/vlan-tag", "0");
	assert_json(model, "namespaces/1/interfaces/0/port", "false");
	assert_json(model, "namespaces/1/interfaces/0/tx_packets", "6");
	assert_json(model, "namespaces/1/interfaces/0/slow_packets", "0");
	assert_json(model, "namespaces/2", "{\"name\":\"green\",\"interfaces\":[]}");
	assert_json(model, "uplinks/0/name", "\"up0\"");
	assert_json(model, "uplinks/0/nat/flows", "13");
	assert_json(model, "uplinks/0/nat/created", "17");
	assert_json(model, "uplinks/0/nat/expired", "4");
	assert_json(model, "uplinks/0/nat/ports_used", "12");
	assert_json(model, "uplinks/0/nat/ports_total",
		    "193536"); /* 64512 each of TCP, UDP, ICMP */
	assert_json(model, "uplinks/0/nat/failed/nat-ports-exhausted", "2");
	assert_json(model, "uplinks/0/nat/protocols/udp",
		    "{\"flows\":5,\"created\":5,\"expired\":0,\"ports_used\":5,"
		    "\"ports_total\":64512}");
	assert_json(model, "uplinks/0/nat/protocols/other",
		    "{\"flows\":3,\"created\":4,\"expired\":1,\"ports_used\":0,"
		    "\"ports_total\":0}");
	assert_json(model, "drops/spoofed-mac", "3");
	assert_json(model, "drops/nat-ports-exhausted", "2");
	json_object_foreach((json_t *)at(model, "drops"), reason, value) reasons++;
	assert_int_equal(reasons, NSR_DROP_REASONS_END - 1);
	json_object_foreach((json_t *)at(model, "uplinks/0/nat/failed"), reason, value)
		assert_true(strncmp(reason, "nat-", 4) == 0);
	json_decref(model);
}

static void stats_text(void **unused)
{
	json_t *model = output_stats(&record, &state);

	(void)unused;
	assert_text(
		output_stats_text, model, false,
		"fabric 'lab': incomplete\n"
		"\n"
		"NAMESPACE  INTERFACE  RX PACKETS  RX BYTES  TX PACKETS  TX BYTES  FAST  SLOW  "
		"DROPS  FAST SHARE\n"
		"red        eth0              997     97706        1000     98000   995     2  "
		"    3       99.5%\n"
		"blue       p0                  5       500           6       600     0     0  "
		"    0           -\n"
		"\n"
		"UPLINK       PACKETS  BYTES  TRANSLATED  PASSED  DROPS\n"
		"up0     in        18   1800          14       4      0\n"
		"up0     out       20   2000          15       3      2\n"
		"\n"
		"UPLINK  PROTOCOL  FLOWS  CREATED  EXPIRED  PORTS USED  PORTS TOTAL\n"
		"up0     tcp           5        7        2           6        64512\n"
		"up0     udp           5        5        0           5        64512\n"
		"up0     icmp          0        1        1           1        64512\n"
		"up0     other         3        4        1           0            0\n"
		"\n"
		"DROPS  REASON               MEANING\n"
		"    3  spoofed-mac          source MAC is not the one of the namespace's interface\n"
		"    2  nat-ports-exhausted  every external port is in use or cooling down\n");
	json_decref(model);
}

static void rates(void **unused)
{
	json_t *before = json_loads(
		"{\"a\":[{\"name\":\"x\",\"n\":10,\"flows\":3},{\"name\":\"y\",\"n\":50}]}", 0,
		NULL);
	json_t *after = json_loads("{\"a\":[{\"name\":\"new\",\"n\":9},{\"name\":\"y\",\"n\":40},"
				   "{\"name\":\"x\",\"n\":31,\"flows\":8}]}",
				   0, NULL);
	json_t *result = output_rates(before, after, 2.0);

	(void)unused;
	assert_json(result, "a",
		    "[{\"name\":\"new\",\"n\":0},{\"name\":\"y\",\"n\":0},"
		    "{\"name\":\"x\",\"n\":11,\"flows\":8}]");
	json_decref(before);
	json_decref(after);
	json_decref(result);
}

/* ---- The rest. */

static void one_or_many(void **unused)
{
	json_t *result = output_one_or_many(json_pack("[{s:s}]", "fabric", "a"));

	(void)unused;
	assert_json(result, "fabric", "\"a\"");
	json_decref(result);
	result = output_one_or_many(json_pack("[{s:s}, {s:s}]", "fabric", "a", "fabric", "b"));
	assert_json(result, "fabrics/1/fabric", "\"b\"");
	json_decref(result);
	result = output_one_or_many(json_array());
	assert_json(result, "fabrics", "[]");
	json_decref(result);
}

static void strings_of_any_bytes(void **unused)
{
	json_t *string = output_string("caf\xc3\xa9");

	(void)unused;
	assert_string_equal(json_string_value(string), "caf\xc3\xa9");
	json_decref(string);
	string = output_string("x\xff.yaml");
	assert_string_equal(json_string_value(string), "x?.yaml");
	json_decref(string);
}

static void render_evil(FILE *out, const json_t *model, bool color)
{
	static const struct table_column columns[] = {{"A", true}, {"B", false}};
	struct arena arena = {};
	struct table table;

	(void)model;
	table_init(&table, &arena, columns, COUNT(columns));
	table_add(&table, "\033[2J");
	table_add(&table, "");
	table_add(&table, "\xc3\xa9");
	table_add(&table, "plain");
	table_print(&table, out, color);
	arena_free(&arena);
}

static void tables_cannot_steer_the_terminal(void **unused)
{
	(void)unused;
	assert_text(render_evil, NULL, false, "   A  B\n?[2J  -\n   \xc3\xa9  plain\n");
}

/* Where the kernel was asked, its answer counts, whatever the ifindexes say. */
static void show_peers(void **unused)
{
	struct state_link *inside = &blue_links[0];
	json_t *model;

	(void)unused;
	inside->peer_ifindex = 2;
	inside->peer_namespace = &namespaces[0];
	model = output_show(&record, &state, OUTPUT_LINKS);
	assert_json(
		model, "links/3",
		"{\"name\":\"p0\",\"state\":\"up\",\"mac\":\"02:00:00:00:00:0d\",\"mtu\":9000,\"big_tcp\":[],"
		"\"namespace\":\"blue\",\"kind\":\"veth\",\"master\":null,"
		"\"peer_namespace\":\"red\",\"peer\":\"eth0\"}");
	json_decref(model);
	inside->peer_ifindex = 10;
	inside->peer_namespace = NULL;
}

static void doctor_text(void **unused)
{
	json_t *model = json_loads(
		"{\"problems\":1,\"notes\":1,\"findings\":[{\"check\":\"kernel\",\"status\":\"good\","
		"\"what\":\"6.1\",\"where\":\"uname -r\",\"why\":\"w\",\"mend\":null},"
		"{\"check\":\"bpffs\",\"status\":\"problem\",\"what\":\"not mounted\","
		"\"where\":\"/sys/fs/bpf\",\"why\":\"pins\",\"mend\":\"mount\"},"
		"{\"check\":\"file-gone\",\"status\":\"note\",\"what\":\"gone\","
		"\"where\":\"lab\",\"why\":\"w\",\"mend\":null}]}",
		0, NULL);

	(void)unused;
	assert_text(output_doctor_text, model, false,
		    "good     kernel              uname -r: 6.1\n"
		    "problem  bpffs               /sys/fs/bpf: not mounted\n"
		    "                             why:  pins\n"
		    "                             mend: mount\n"
		    "note     file-gone           lab: gone\n"
		    "                             why:  w\n"
		    "1 problem, 1 note\n");
	json_decref(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(show_json),
		cmocka_unit_test(show_routed),
		cmocka_unit_test(show_text),
		cmocka_unit_test(show_sections),
		cmocka_unit_test(show_peers),
		cmocka_unit_test(summaries),
		cmocka_unit_test(stats_json),
		cmocka_unit_test(stats_text),
		cmocka_unit_test(rates),
		cmocka_unit_test(one_or_many),
		cmocka_unit_test(strings_of_any_bytes),
		cmocka_unit_test(tables_cannot_steer_the_terminal),
		cmocka_unit_test(doctor_text),
	};

	return cmocka_run_group_tests(tests, build, NULL);
}
