/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The model that valid topologies give, and what is completed in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "topology_read.h"

#define HEAD "version: 1\nname: lab\n"

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct arena));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	arena_free(*state);
	free(*state);
	return 0;
}

static struct topology *finish(int code, struct topology *topology, const struct error_list *errors)
{
	char line[2 * ERROR_MESSAGE_MAX];

	for (size_t i = 0; i < errors->count; i++)
		print_error("%s\n", error_format(&errors->errors[i], line, sizeof(line)));
	assert_int_equal(code, 0);
	assert_int_equal(errors->count, 0);
	assert_non_null(topology);
	return topology;
}

static struct topology *parse(struct arena *arena, const char *text)
{
	struct error_list errors = {.arena = arena};
	struct topology *topology = NULL;
	int code = topology_parse("test", text, strlen(text), arena, &topology, &errors);

	return finish(code, topology, &errors);
}

static struct topology *read_valid(struct arena *arena, const char *name)
{
	const char *folder = getenv("FIXTURES");
	struct error_list errors = {.arena = arena};
	struct topology *topology = NULL;
	char *path;
	int code;

	path = arena_printf(arena, "%s/valid/%s", folder ? folder : "tests/fixtures", name);
	code = topology_read(path, arena, &topology, &errors);
	return finish(code, topology, &errors);
}

static void assert_address(const struct ip_address *ip, const char *expected)
{
	char text[IP_TEXT_MAX];

	assert_string_equal(ip_format_prefix(ip, text), expected);
}

static void assert_mac(const uint8_t mac[6], const char *expected)
{
	char text[MAC_TEXT_MAX];

	assert_string_equal(mac_format(mac, text), expected);
}

static void test_full_networks(void **state)
{
	const struct topology *topology = read_valid(*state, "full.yaml");
	const struct network *network = &topology->networks[0];

	assert_string_equal(topology->name, "lab");
	assert_int_equal(topology->mtu, 1500);
	assert_int_equal(topology->datapath, DATAPATH_AUTO);
	assert_int_equal(topology->networks_count, 1);
	assert_string_equal(network->name, "v-net-0");
	assert_int_equal(network->at.line, 7);
	assert_int_equal(network->at.column, 3);
	assert_int_equal(network->type, NETWORK_BRIDGE);
	assert_int_equal(network->subnets_count, 2);
	assert_address(&network->subnets[0], "192.168.15.0/24");
	assert_address(&network->subnets[1], "fd00:15::/64");
	assert_int_equal(network->gateways_count, 2);
	assert_address(&network->gateways[0], "192.168.15.1/24");
	assert_address(&network->gateways[1], "fd00:15::1/64");
	assert_true(network->isolate);
	assert_true(network->masquerade.enabled);
	assert_string_equal(network->masquerade.uplink, "eth0");
	assert_int_equal(network->masquerade.port_min, 1024);
	assert_int_equal(network->masquerade.port_max, 65535);
	assert_int_equal(network->masquerade.inside.filtering, NSR_FILTER_NOTHING);
	assert_int_equal(network->masquerade.inside.mapping_mode,
			 NSR_MAPPING_MODE_ADDRESS_AND_PORT);
	assert_int_equal(network->masquerade.flows_max, 1000000);
	assert_int_equal(network->masquerade.except_count, 3);
	assert_address(&network->masquerade.except[1], "fd00::/8");
	assert_int_equal(network->masquerade.flows_max_at.line, 18);
	assert_int_equal(network->masquerade.inside.flows_max, 4096);
	assert_int_equal(network->masquerade.inside.timeout_s[NSR_TIMEOUT_TCP_ESTABLISHED], 7440);
	assert_int_equal(network->masquerade.inside.timeout_s[NSR_TIMEOUT_UDP_REPLIED], 600);
	assert_int_equal(network->masquerade.inside.timeout_s[NSR_TIMEOUT_ICMP], 60);
	assert_int_equal(network->masquerade.inside.timeout_s[NSR_TIMEOUT_SCTP], 900);
	assert_int_equal(network->masquerade.inside.timeout_s[NSR_TIMEOUT_OTHER], 600);
	assert_int_equal(network->mac[0] & 3, 2);
}

static void test_routed(void **state)
{
	const struct topology *topology = read_valid(*state, "routed.yaml");
	const struct network *network = &topology->networks[0];
	const struct interface *red = &topology->namespaces[0].interfaces[0];
	const struct interface *blue = &topology->namespaces[1].interfaces[0];

	assert_int_equal(network->type, NETWORK_ROUTED);
	assert_address(&topology->networks[1].gateways[0], "10.0.0.1/31");
	assert_int_equal(blue->addresses_count, 2);
	/* Every host end is the gateway. */
	assert_memory_equal(red->host_mac, network->mac, sizeof(network->mac));
	assert_memory_equal(blue->host_mac, network->mac, sizeof(network->mac));
	assert_memory_not_equal(red->mac, blue->mac, sizeof(red->mac));
}

static void test_full_namespaces(void **state)
{
	const struct topology *topology = read_valid(*state, "full.yaml");
	const struct topology_namespace *red = &topology->namespaces[0];
	const struct topology_namespace *blue = &topology->namespaces[1];
	const struct topology_link *link = &topology->links[0];

	assert_int_equal(topology->namespaces_count, 2);
	assert_string_equal(red->name, "red");
	assert_int_equal(red->interfaces_count, 1);
	assert_string_equal(red->interfaces[0].name, "eth0");
	assert_ptr_equal(red->interfaces[0].network, &topology->networks[0]);
	assert_int_equal(red->interfaces[0].addresses_count, 1);
	assert_address(&red->interfaces[0].addresses[0], "192.168.15.11/24");
	assert_mac(red->interfaces[0].mac, "02:00:00:00:00:0b");
	assert_true(red->interfaces[0].spoof_check);
	assert_string_equal(red->interfaces[0].host_name, "red-eth0");
	assert_int_equal(red->routes_count, 1);
	assert_address(&red->routes[0].to, "10.99.0.0/16");
	assert_address(&red->routes[0].via, "192.168.15.12/32");
	assert_int_equal(blue->interfaces[0].addresses_count, 2);
	assert_int_equal(topology->links_count, 1);
	assert_ptr_equal(link->ends[0].namespace, red);
	assert_ptr_equal(link->ends[1].namespace, blue);
	assert_string_equal(link->ends[1].namespace_name, "blue");
	assert_string_equal(link->ends[1].name, "p0");
	assert_address(&link->ends[1].address, "10.0.0.2/30");
	assert_memory_not_equal(link->ends[0].mac, link->ends[1].mac, 6);
}

static void test_many(void **state)
{
	const struct topology *topology = read_valid(*state, "many.yaml");
	const struct topology_namespace *first = &topology->namespaces[0];

	assert_int_equal(topology->mtu, 9000);
	assert_int_equal(topology->datapath, DATAPATH_KERNEL);
	assert_int_equal(topology->networks[0].gateways_count, 2);
	assert_address(&topology->networks[0].gateways[0], "10.2.0.254/24");
	assert_address(&topology->networks[0].gateways[1], "fd00:1::fe/64");
	assert_string_equal(topology->networks[0].masquerade.uplink, "auto");
	assert_true(topology->networks[2].gateway_none);
	assert_int_equal(topology->networks[3].gateways_count, 0);
	assert_int_equal(first->interfaces[0].addresses_count, 3);
	assert_false(first->interfaces[1].spoof_check);
	assert_address(&first->interfaces[4].addresses[0], "172.16.0.1/16");
	assert_null(topology->links[0].ends[0].namespace);
	assert_string_equal(topology->links[0].ends[0].namespace_name, "host");
	assert_address(&topology->links[0].ends[0].address, "192.0.2.1/24");
	assert_int_equal(topology->namespaces[1].routes[0].to.family, AF_INET6);
	assert_int_equal(topology->namespaces[1].routes[0].to.prefix_len, 0);
}

/* What YAML 1.1 takes for booleans and numbers stays what was written. */
static void test_words(void **state)
{
	const struct topology *topology = read_valid(*state, "words.yaml");

	assert_string_equal(topology->name, "no");
	assert_int_equal(topology->namespaces_count, 3);
	assert_string_equal(topology->namespaces[0].name, "on");
	assert_string_equal(topology->namespaces[2].name, "12");
	assert_string_equal(topology->namespaces[2].interfaces[0].name, "off");
	assert_string_equal(topology->namespaces[2].interfaces[0].network->name, "null");
}

/* /29 without a gateway: six addresses, one written, five given out. */
static void test_automatic_addresses(void **state)
{
	const struct topology *topology = parse(
		*state, HEAD
		"networks: {lan: {subnets: [10.0.0.0/29], gateway: none}}\n"
		"namespaces:\n"
		"  a: {interfaces: {e0: {network: lan}, e1: {network: lan}, e2: {network: lan}}}\n"
		"  b: {interfaces: {e0: {network: lan}, e1: {network: lan}}}\n"
		"  c: {interfaces: {e0: {network: lan, addresses: [10.0.0.3/29]}}}\n");
	bool seen[8] = {};

	for (size_t i = 0; i < topology->namespaces_count; i++) {
		const struct topology_namespace *namespace = &topology->namespaces[i];

		for (size_t j = 0; j < namespace->interfaces_count; j++) {
			const struct ip_address *ip = &namespace->interfaces[j].addresses[0];

			assert_int_equal(namespace->interfaces[j].addresses_count, 1);
			assert_int_equal(ip->prefix_len, 29);
			assert_in_range(ip->bytes[3], 1, 6);
			assert_false(seen[ip->bytes[3]]);
			seen[ip->bytes[3]] = true;
		}
	}
}

static void test_automatic_is_stable(void **state)
{
	static const char head[] =
		HEAD "networks: {lan: {subnets: [10.0.0.0/16, 'fd00::/48']}}\n"
		     "namespaces:\n  red: {interfaces: {eth0: {network: lan}}}\n";
	const struct interface *before = &parse(*state, head)->namespaces[0].interfaces[0];
	const char *longer =
		arena_printf(*state, "%s  blue: {interfaces: {eth0: {network: lan}}}\n", head);
	const struct interface *after = &parse(*state, longer)->namespaces[0].interfaces[0];

	for (int i = 0; i < 2; i++)
		assert_true(ip_equal(&before->addresses[i], &after->addresses[i]));
	assert_memory_equal(before->mac, after->mac, 6);
	assert_memory_equal(before->host_mac, after->host_mac, 6);
	assert_memory_not_equal(before->mac, before->host_mac, 6);
	assert_string_equal(before->host_name, after->host_name);
}

static const struct topology_namespace *find_namespace(const struct topology *topology,
						       const char *name)
{
	for (size_t i = 0; i < topology->namespaces_count; i++)
		if (!strcmp(topology->namespaces[i].name, name))
			return &topology->namespaces[i];
	fail_msg("there is no namespace %s", name);
	return NULL;
}

/* Where nearly all hashes meet, and names of host ends too, the order in the file says nothing. */
static void test_automatic_is_of_the_set(void **state)
{
	const char *names[] = {"a", "a-b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"};
	const size_t count = sizeof(names) / sizeof(names[0]);
	const struct topology *first = NULL, *topology;

	for (size_t start = 0; start < count; start++) {
		char *text = arena_printf(*state, HEAD "networks: {lan: {subnets: [10.0.0.0/28]}}\n"
						       "namespaces:\n");

		for (size_t i = 0; i < count; i++) {
			const char *name = names[(start + 5 * i) % count];

			text = arena_printf(*state, "%s  %s: {interfaces: {%s: {network: lan}}}\n",
					    text, name, strcmp(name, "a") ? "c" : "b-c");
		}
		topology = parse(*state, text);
		if (!first)
			first = topology;
		for (size_t i = 0; i < count; i++) {
			const struct interface *a = find_namespace(first, names[i])->interfaces;
			const struct interface *b = find_namespace(topology, names[i])->interfaces;

			assert_true(ip_equal(&a->addresses[0], &b->addresses[0]));
			assert_memory_equal(a->mac, b->mac, 6);
			assert_memory_equal(a->host_mac, b->host_mac, 6);
			assert_string_equal(a->host_name, b->host_name);
		}
	}
}

static void test_point_to_point_subnets(void **state)
{
	const struct topology *topology = parse(
		*state, HEAD
		"networks: {a: {subnets: [10.0.0.0/31, 'fd00::/127', 10.0.0.9/32], gateway: none}}\n"
		"namespaces:\n"
		"  x: {interfaces: {e: {network: a, addresses: [10.0.0.0/31, 'fd00::/127', 10.0.0.9/32]}}}\n"
		"  y: {interfaces: {e: {network: a, addresses: [10.0.0.1/31]}}}\n");

	assert_address(&topology->namespaces[0].interfaces[0].addresses[1], "fd00::/127");
	topology = parse(*state, HEAD "networks: {a: {subnets: [10.0.0.0/31]}}\n"
				      "namespaces: {x: {interfaces: {e: {network: a}}}}\n");
	assert_address(&topology->networks[0].gateways[0], "10.0.0.0/31");
	assert_address(&topology->namespaces[0].interfaces[0].addresses[0], "10.0.0.1/31");
}

static void test_host_names(void **state)
{
	const struct topology *topology =
		parse(*state, HEAD
		      "networks: {lan: {}, red-eth0: {}}\n"
		      "namespaces:\n"
		      "  red: {interfaces: {eth0: {network: lan}, eth1: {network: lan}}}\n"
		      "  a: {interfaces: {b-c: {network: lan}}}\n"
		      "  a-b: {interfaces: {c: {network: lan}}}\n"
		      "  exactly-10: {interfaces: {eth0: {network: lan}}}\n"
		      "  exactly-11x: {interfaces: {eth0: {network: lan}}}\n"
		      "  \"1234567\\u00e9\\u00e9\\u00e9\": {interfaces: {eth0: {network: lan}}}\n"
		      "  blue: {interfaces: {p0: {network: lan}}}\n"
		      "links: [{endpoints: ['host:blue-p0', 'red:p0']}]\n");
	const struct topology_namespace *namespaces = topology->namespaces;

	assert_memory_equal(namespaces[0].interfaces[0].host_name, "red-", 4);
	assert_int_equal(strlen(namespaces[0].interfaces[0].host_name), 10); /* not the network's */
	assert_string_equal(namespaces[0].interfaces[1].host_name, "red-eth1");
	assert_int_equal(!strcmp(namespaces[1].interfaces[0].host_name, "a-b-c") +
				 !strcmp(namespaces[2].interfaces[0].host_name, "a-b-c"),
			 1);
	assert_string_equal(namespaces[3].interfaces[0].host_name, "exactly-10-eth0");
	assert_memory_equal(namespaces[4].interfaces[0].host_name, "exactly--", 9);
	assert_int_equal(strlen(namespaces[4].interfaces[0].host_name), TOPOLOGY_NAME_MAX);
	assert_memory_equal(namespaces[5].interfaces[0].host_name, "1234567-", 8);
	assert_string_not_equal(namespaces[6].interfaces[0].host_name, "blue-p0");
}

/* A MAC in the file that is the one we would derive for another interface. */
static void test_mac_taken(void **state)
{
	const struct topology *topology;
	uint8_t derived[6], next[6];
	char text[MAC_TEXT_MAX];

	mac_derive(derived, "lab", "red", "eth0");
	memcpy(next, derived, 6);
	next[5]++;
	topology =
		parse(*state,
		      arena_printf(*state,
				   HEAD "networks: {lan: {}}\nnamespaces:\n"
					"  red: {interfaces: {eth0: {network: lan}}}\n"
					"  blue: {interfaces: {eth0: {network: lan, mac: '%s'}}}\n",
				   mac_format(derived, text)));
	assert_memory_equal(topology->namespaces[0].interfaces[0].mac, next, 6);
	assert_memory_equal(topology->namespaces[1].interfaces[0].mac, derived, 6);
}

static void test_default_gateway(void **state)
{
	const struct topology *topology = parse(
		*state, HEAD
		"networks:\n"
		"  closed: {subnets: [10.1.0.0/24], gateway: none}\n"
		"  open: {subnets: [10.2.0.0/24, 'fd00:2::/64']}\n"
		"  more: {subnets: [10.3.0.0/24]}\n"
		"namespaces:\n"
		"  a: {interfaces: {e0: {network: closed}, e1: {network: open}, e2: {network: more}}}\n"
		"  b: {interfaces: {e0: {network: open}}, routes: [{to: default, via: 10.2.0.9}]}\n"
		"  c: {interfaces: {e0: {network: open, addresses: [10.2.0.3/24]}}}\n"
		"  d: {}\n");
	const struct topology_namespace *namespaces = topology->namespaces;
	const struct interface *interface = NULL;
	struct ip_address gateway;

	assert_true(topology_default_gateway(&namespaces[0], AF_INET, &gateway, &interface));
	assert_address(&gateway, "10.2.0.1/24");
	assert_ptr_equal(interface, &namespaces[0].interfaces[1]);
	assert_true(topology_default_gateway(&namespaces[0], AF_INET6, &gateway, &interface));
	assert_address(&gateway, "fd00:2::1/64");
	assert_false(topology_default_gateway(&namespaces[1], AF_INET, &gateway, &interface));
	assert_true(topology_default_gateway(&namespaces[1], AF_INET6, &gateway, &interface));
	assert_true(topology_default_gateway(&namespaces[2], AF_INET, &gateway, &interface));
	assert_false(topology_default_gateway(&namespaces[2], AF_INET6, &gateway, &interface));
	assert_false(topology_default_gateway(&namespaces[3], AF_INET, &gateway, &interface));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_full_networks),
		TEST(test_routed),
		TEST(test_full_namespaces),
		TEST(test_many),
		TEST(test_words),
		TEST(test_automatic_addresses),
		TEST(test_automatic_is_stable),
		TEST(test_automatic_is_of_the_set),
		TEST(test_point_to_point_subnets),
		TEST(test_host_names),
		TEST(test_mac_taken),
		TEST(test_default_gateway),
	};

	return cmocka_run_group_tests_name("topology", tests, NULL, NULL);
}
