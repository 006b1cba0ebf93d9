/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which interfaces can be uplinks, and with which programs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <net/if.h>
#include <sys/socket.h>

#include <linux/if_addr.h>
#include <linux/if_arp.h>

#include "planning.h"

/* An interface of the kind, with an address; the fabric's text, masquerading to it. */
static const char *to_uplink(struct simulator *sim, const char *name, const char *kind,
			     uint16_t type, uint32_t flags)
{
	struct state_namespace *host = simulator_space(sim, NULL);
	struct state_link *link = simulator_add_link(sim, NULL, name, kind);
	char words[64] = "masquerade: ";
	struct state_address *address;

	link->type = type;
	link->flags = flags | IFF_UP;
	address = arena_push(&sim->arena, host->addresses, host->addresses_count);
	address->ifindex = link->ifindex;
	assert_true(ip_parse("203.0.113.1/24", &address->address, NULL));
	return edited(sim, fabric, "masquerade: eth0", strcat(words, name));
}

static const struct operation *uplink_of(struct simulator *sim, const char *text)
{
	return find(plan_of(sim, parse(sim, text)), OPERATION_UPLINK_ADD);
}

static void assert_refused(struct simulator *sim, const char *text, const char *words)
{
	struct topology *topology = parse(sim, text);
	struct plan *plan = NULL;
	struct error err = {0};

	assert_int_equal(plan_build(topology, simulator_observe(sim, topology), &sim->record,
				    &sim->arena, &plan, &err),
			 -EOPNOTSUPP);
	assert_null(plan);
	assert_string_equal(err.file, "lab.yaml");
	assert_true(err.at.line > 0);
	if (!strstr(err.message, words))
		fail_msg("\"%s\" does not say \"%s\"", err.message, words);
}

/* ---- Those that can. */

static void test_ethernet_kinds(void **state)
{
	static const char *const kinds[] = {"vlan", "bond", "bridge", "macvlan", "veth", ""};
	struct simulator *sim = *state;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		assert_false(
			uplink_of(sim, to_uplink(sim, "up0", kinds[i], ARPHRD_ETHER, 0))->bare);
		simulator_delete_link(sim, NULL, "up0");
	}
}

static void test_layer_3_kinds(void **state)
{
	static const struct {
		const char *kind;
		uint16_t type;
	} kinds[] = {{"tun", ARPHRD_NONE},      {"wireguard", ARPHRD_NONE}, {"ppp", ARPHRD_PPP},
		     {"ipip", ARPHRD_TUNNEL},   {"gre", ARPHRD_IPGRE},      {"sit", ARPHRD_SIT},
		     {"ip6tnl", ARPHRD_TUNNEL6}};
	struct simulator *sim = *state;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		const char *text =
			to_uplink(sim, "up0", kinds[i].kind, kinds[i].type, IFF_POINTOPOINT);

		assert_true(uplink_of(sim, text)->bare);
		simulator_delete_link(sim, NULL, "up0");
	}
}

/* An undone removal brings the programs back that were there. */
static void test_removed_and_undone(void **state)
{
	struct simulator *sim = *state;
	struct operation inverse;

	simulator_set_sysctl(sim, "net/ipv4/conf/wg0/forwarding", "0");
	converge(sim, to_uplink(sim, "wg0", "wireguard", ARPHRD_NONE, IFF_POINTOPOINT));
	assert_true(plan_inverse(find(removal_of(sim), OPERATION_UPLINK_DELETE), &inverse));
	assert_int_equal(inverse.kind, OPERATION_UPLINK_ADD);
	assert_true(inverse.bare);
	simulator_run(sim, removal_of(sim));
}

static void test_auto_follows_the_default_route(void **state)
{
	struct simulator *sim = *state;
	const struct operation *op;
	const char *text;

	to_uplink(sim, "wg0", "wireguard", ARPHRD_NONE, IFF_POINTOPOINT);
	simulator_space(sim, NULL)->routes[0].ifindex = simulator_link(sim, NULL, "wg0")->ifindex;
	text = edited(sim, fabric, "masquerade: eth0", "masquerade: auto");
	op = uplink_of(sim, text);
	assert_string_equal(op->link, "wg0");
	assert_true(op->bare);
}

/* What is in a VRF sends and receives itself. */
static void test_in_a_vrf(void **state)
{
	struct simulator *sim = *state;
	uint32_t vrf = simulator_add_link(sim, NULL, "blue-vrf", "vrf")->ifindex;
	const char *text = to_uplink(sim, "eth1", "", ARPHRD_ETHER, 0);

	simulator_link(sim, NULL, "eth1")->master = vrf;
	assert_non_null(uplink_of(sim, text));
}

/* ---- Those that cannot. */

static void test_loopback(void **state)
{
	struct simulator *sim = *state;

	assert_refused(sim, to_uplink(sim, "lo1", "", ARPHRD_LOOPBACK, IFF_LOOPBACK),
		       "the loopback interface, which leads nowhere; name");
}

static void test_part_of_something_larger(void **state)
{
	static const char *const kinds[] = {"bridge", "bond", "team", "openvswitch"};
	struct simulator *sim = *state;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		uint32_t master = simulator_add_link(sim, NULL, "larger", kinds[i])->ifindex;
		const char *text = to_uplink(sim, "eth1", "", ARPHRD_ETHER, 0);

		simulator_link(sim, NULL, "eth1")->master = master;
		assert_refused(sim, text,
			       "a part of 'larger', which sends and receives in its "
			       "place; name 'larger'");
		simulator_delete_link(sim, NULL, "eth1");
		simulator_delete_link(sim, NULL, "larger");
	}
}

static void test_of_a_fabric(void **state)
{
	struct simulator *sim = *state;
	const char *text = to_uplink(sim, "br-other", "bridge", ARPHRD_ETHER, 0);

	strcpy(simulator_link(sim, NULL, "br-other")->alias, "nsroute:other");
	assert_refused(sim, text,
		       "belongs to fabric 'other'; name an interface that nsroute did "
		       "not make, or a network of the same file");
}

static void test_tunnel_without_an_end(void **state)
{
	struct simulator *sim = *state;

	assert_refused(sim, to_uplink(sim, "gre1", "gre", ARPHRD_IPGRE, 0),
		       "without a fixed other end; give it one (ip tunnel change gre1 remote");
}

static void test_another_link_layer(void **state)
{
	struct simulator *sim = *state;

	assert_refused(sim, to_uplink(sim, "ib0", "", ARPHRD_INFINIBAND, 0),
		       "(link type 32); name");
}

/* ---- An external address is that of one uplink. */

/* Two networks, and how each of them leaves. */
static const char *two_networks(struct simulator *sim, const char *first, const char *second)
{
	return arena_printf(&sim->arena,
			    "version: 1\nname: lab\nnetworks:\n"
			    "  a: {subnets: [10.0.1.0/24, \"fd00:1::/64\"], masquerade: {%s}}\n"
			    "  b: {subnets: [10.0.2.0/24, \"fd00:2::/64\"], masquerade: {%s}}\n",
			    first, second);
}

static int code_of(struct simulator *sim, const char *text, struct error *err)
{
	struct topology *topology = parse(sim, text);
	struct plan *plan;

	memset(err, 0, sizeof(*err));
	return plan_build(topology, simulator_observe(sim, topology), &sim->record, &sim->arena,
			  &plan, err);
}

/* "up0" and "up1", both with 203.0.113.1, as without numbers of their own. */
static void add_two(struct simulator *sim)
{
	to_uplink(sim, "up0", "", ARPHRD_ETHER, 0);
	to_uplink(sim, "up1", "", ARPHRD_ETHER, 0);
}

static void add_address(struct simulator *sim, const char *link, const char *text)
{
	struct state_namespace *host = simulator_space(sim, NULL);
	struct state_address *address =
		arena_push(&sim->arena, host->addresses, host->addresses_count);

	address->ifindex = simulator_link(sim, NULL, link)->ifindex;
	assert_true(ip_parse(text, &address->address, NULL));
}

static void test_one_address_at_two(void **state)
{
	struct simulator *sim = *state;
	struct error err;

	add_two(sim);
	assert_int_equal(code_of(sim, two_networks(sim, "uplink: up0", "uplink: up1"), &err),
			 -EADDRINUSE);
	assert_string_equal(err.file, "lab.yaml");
	assert_int_equal(err.at.line, 5);
	assert_string_equal(
		err.message,
		"network 'b' masquerades to 'up1' as 203.0.113.1, which is the external "
		"address at 'up0' too; give one of the two uplinks another address, and "
		"name it in 'addresses' if the uplink has several, or let both networks "
		"leave by one uplink");
	assert_int_equal(
		code_of(sim,
			two_networks(sim, "uplink: eth0, addresses: [203.0.113.1]", "uplink: up1"),
			&err),
		-EADDRINUSE);
	add_address(sim, "up1", "203.0.113.2/24");
	assert_int_equal(
		code_of(sim,
			two_networks(sim, "uplink: up0", "uplink: up1, addresses: [203.0.113.2]"),
			&err),
		0);
	assert_int_equal(code_of(sim, two_networks(sim, "uplink: up0", "uplink: up0"), &err), 0);
}

static void test_one_address6_at_two(void **state)
{
	struct simulator *sim = *state;
	struct error err;

	add_two(sim);
	add_address(sim, "up0", "2001:db8::1/64");
	add_address(sim, "up1", "2001:db8::1/64");
	add_address(sim, "up1", "203.0.113.2/24");
	assert_int_equal(
		code_of(sim,
			two_networks(sim, "uplink: up0", "uplink: up1, addresses: [203.0.113.2]"),
			&err),
		-EADDRINUSE);
	assert_non_null(strstr(err.message, "as 2001:db8::1, which is"));
}

/* What another fabric has entered. */
static void test_one_address_of_two_fabrics(void **state)
{
	static const char second[] =
		"version: 1\nname: two\n"
		"networks:\n  w-net: {subnets: [10.7.0.0/24], masquerade: %s}\n";
	struct simulator *sim = *state;
	struct error err;

	add_two(sim);
	simulator_set_sysctl(sim, "net/ipv4/conf/up0/forwarding", "0");
	converge(sim, two_networks(sim, "uplink: up0", "uplink: up0"));
	assert_int_equal(code_of(sim, two_networks(sim, "uplink: up1", "uplink: up1"), &err),
			 0); /* moves */
	sim->others[sim->others_count] = sim->record;
	sim->others[sim->others_count++].fabric = "lab";
	memset(&sim->record, 0, sizeof(sim->record));
	assert_int_equal(code_of(sim, arena_printf(&sim->arena, second, "up1"), &err), -EADDRINUSE);
	assert_non_null(strstr(err.message, "address at 'up0' too"));
	assert_int_equal(code_of(sim, arena_printf(&sim->arena, second, "up0"), &err), 0);
}

/* One that a file names stays that fabric's while the host has lost it, and when another interface
 * has it then. */
static void test_lost_address_at_two(void **state)
{
	static const char second[] =
		"version: 1\nname: two\n"
		"networks:\n  w-net: {subnets: [10.7.0.0/24], masquerade: up1}\n";
	const char *one = "uplink: up0, addresses: [203.0.113.1]";
	struct simulator *sim = *state;
	struct error err;

	add_two(sim);
	simulator_set_sysctl(sim, "net/ipv4/conf/up0/forwarding", "0");
	converge(sim, two_networks(sim, one, one));
	sim->others[sim->others_count] = sim->record;
	sim->others[sim->others_count++].fabric = "lab";
	memset(&sim->record, 0, sizeof(sim->record));
	sim->datapath.uplinks[0].uplink.address4 = 0;
	assert_int_equal(code_of(sim, second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.message, "as 203.0.113.1, which is"));
}

/* While the host had lost the first address, nobody else's file is another one than it was. */
static void test_lost_address_of_two_fabrics(void **state)
{
	static const char second[] = "version: 1\nname: two\nnetworks:\n"
				     "  w-net: {subnets: [10.7.0.0/24], masquerade: {uplink: up0, "
				     "addresses: [203.0.113.2, 203.0.113.1]}}\n";
	const char *both = "uplink: up0, addresses: [203.0.113.1, 203.0.113.2]";
	struct simulator *sim = *state;
	struct error err;

	to_uplink(sim, "up0", "", ARPHRD_ETHER, 0);
	add_address(sim, "up0", "203.0.113.2/24");
	simulator_set_sysctl(sim, "net/ipv4/conf/up0/forwarding", "0");
	converge(sim, two_networks(sim, both, both));
	sim->others[sim->others_count] = sim->record;
	sim->others[sim->others_count++].fabric = "lab";
	memset(&sim->record, 0, sizeof(sim->record));
	assert_int_equal(code_of(sim, second, &err), 0);
	sim->datapath.uplinks[0].uplink.address4 = 0;
	assert_int_equal(code_of(sim, second, &err), 0);
	assert_int_equal(code_of(sim, edited(sim, second, "203.0.113.2, ", ""), &err), -EEXIST);
}

/* From here on the other one is planned. */
static void change_fabric(struct simulator *sim)
{
	struct record record = sim->others[0];

	sim->others[0] = sim->record;
	sim->others_count = 1;
	sim->record = record;
}

static const struct nsr_uplink *entry_of(const struct simulator *sim)
{
	assert_int_equal(sim->datapath.uplinks_count, 1);
	return &sim->datapath.uplinks[0].known;
}

static const char naming4[] = "version: 1\nname: two\nnetworks:\n"
			      "  w-net: {subnets: [10.7.0.0/24], masquerade: {uplink: up0, "
			      "addresses: [203.0.113.1]}}\n";
static const char naming6[] = "uplink: up0, addresses: [203.0.113.1, \"2001:db8::1\"]";

/* Two fabrics' uplink, with what one of them names besides IPv4's address. */
static const char *add_up0(struct simulator *sim)
{
	to_uplink(sim, "up0", "", ARPHRD_ETHER, 0);
	add_address(sim, "up0", "2001:db8::2/64");
	add_address(sim, "eth0", "2001:db8::1/64");
	simulator_set_sysctl(sim, "net/ipv4/conf/up0/forwarding", "0");
	return two_networks(sim, naming6, naming6);
}

/* The IPv6 address that another fabric has named, whichever came first, and although there are
 * others at the uplink itself. */
static void test_named_address6_of_another_fabric(void **state)
{
	struct simulator *sim = *state;
	const char *named = add_up0(sim);

	converge(sim, naming4);
	change_fabric(sim);
	converge(sim, named);
	assert_true(entry_of(sim)->fixed6);
	assert_int_equal(entry_of(sim)->address6[15], 1);
	for (size_t i = 0; i < 2; i++) {
		change_fabric(sim);
		assert_empty(sim, plan_of(sim, parse(sim, i ? named : naming4)));
	}
	change_fabric(sim);
	converge(sim, edited(sim, naming4, "10.7.0.0/24", "10.7.0.0/24, \"fd00:7::/64\""));
	assert_true(entry_of(sim)->fixed6);
	assert_int_equal(entry_of(sim)->address6[15], 1);
}

static void test_named_address6_before_another_fabric(void **state)
{
	struct simulator *sim = *state;
	const char *named = add_up0(sim);

	converge(sim, named);
	change_fabric(sim);
	converge(sim, naming4);
	assert_true(entry_of(sim)->fixed6);
	assert_int_equal(entry_of(sim)->address6[15], 1);
	change_fabric(sim);
	assert_empty(sim, plan_of(sim, parse(sim, named)));
}

static struct state_address *find_address(struct simulator *sim, const char *text)
{
	struct state_namespace *host = simulator_space(sim, NULL);
	char words[IP_TEXT_MAX];

	for (size_t i = 0; i < host->addresses_count; i++)
		if (!strcmp(ip_format(&host->addresses[i].address, words), text))
			return &host->addresses[i];
	fail_msg("the host has no address %s", text);
	return NULL;
}

/* Also while the host has lost it, unless the uplink has another one: whose wish it was may have
 * gone. It takes it back. */
static void test_lost_address6_of_another_fabric(void **state)
{
	struct simulator *sim = *state;
	const char *named = add_up0(sim);
	const struct operation *op;

	converge(sim, named);
	change_fabric(sim);
	memset(sim->datapath.uplinks[0].uplink.address6, 0, 16);
	find_address(sim, "2001:db8::1")->address.bytes[15] = 9;
	find_address(sim, "2001:db8::2")->flags = IFA_F_DEPRECATED;
	op = find(plan_of(sim, parse(sim, naming4)), OPERATION_UPLINK_ADD);
	assert_true(op && op->fixed6);
	assert_int_equal(op->address6.bytes[15], 1);
	find_address(sim, "2001:db8::2")->flags = 0;
	converge(sim, naming4);
	assert_false(entry_of(sim)->fixed6);
	assert_int_equal(entry_of(sim)->address6[15], 2);
	find_address(sim, "2001:db8::9")->address.bytes[15] = 1;
	change_fabric(sim);
	converge(sim, named);
	change_fabric(sim);
	assert_empty(sim, plan_of(sim, parse(sim, naming4)));
	assert_int_equal(entry_of(sim)->address6[15], 1);
}

static void test_another_address6_of_two_fabrics(void **state)
{
	struct simulator *sim = *state;
	struct error err;

	converge(sim, add_up0(sim));
	change_fabric(sim);
	assert_int_equal(
		code_of(sim, edited(sim, naming4, "203.0.113.1", "203.0.113.1, \"2001:db8::2\""),
			&err),
		-EEXIST);
	assert_non_null(strstr(err.message, "'up0' as other addresses; give this one the same"));
	assert_int_equal(
		code_of(sim, edited(sim, naming4, "203.0.113.1", "203.0.113.1, \"2001:db8::1\""),
			&err),
		0);
}

/* One that is as fixed because the host prefers temporary ones is not kept when it has gone. */
static void test_temporary_address6_of_two_fabrics(void **state)
{
	static const char second[] = "version: 1\nname: two\nnetworks:\n"
				     "  w-net: {subnets: [10.7.0.0/24], masquerade: up0}\n";
	struct simulator *sim = *state;
	struct error err;

	add_up0(sim);
	simulator_set_sysctl(sim, "net/ipv6/conf/up0/use_tempaddr", "2");
	converge(sim, two_networks(sim, "uplink: up0", "uplink: up0"));
	assert_int_equal(entry_of(sim)->address6[15], 2);
	assert_true(entry_of(sim)->fixed6);
	change_fabric(sim);
	converge(sim, second);
	find_address(sim, "2001:db8::2")->address.bytes[15] = 3;
	memset(sim->datapath.uplinks[0].uplink.address6, 0, 16);
	converge(sim, second);
	assert_int_equal(entry_of(sim)->address6[15], 3);
	/* Nor does it keep anybody from naming one; and it is followed when they are not preferred.
	 */
	assert_int_equal(code_of(sim,
				 edited(sim, second, "masquerade: up0",
					"masquerade: {uplink: up0, addresses: "
					"[\"2001:db8::1\"]}"),
				 &err),
			 0);
	simulator_set_sysctl(sim, "net/ipv6/conf/up0/use_tempaddr", "0");
	find_address(sim, "2001:db8::3")->address.bytes[15] = 4;
	memset(sim->datapath.uplinks[0].uplink.address6, 0, 16);
	converge(sim, second);
	assert_int_equal(entry_of(sim)->address6[15], 4);
	assert_false(entry_of(sim)->fixed6);
}

static void assert_address(const struct ip_address *address, const char *text)
{
	char words[IP_TEXT_MAX];

	assert_int_not_equal(address->family, 0);
	assert_string_equal(ip_format(address, words), text);
}

/* Undoing gives back what was entered, also while the host has lost it: with nothing in the first
 * place flows at the others would end, and none would begin when it is back. */
static void test_lost_address_and_undone(void **state)
{
	static const char both[] =
		"uplink: up0, addresses: [203.0.113.1, 203.0.113.2, \"2001:db8::1\"]";
	static const char other[] =
		"uplink: up0, addresses: [203.0.113.3, 203.0.113.2, \"2001:db8::1\"]";
	struct simulator *sim = *state;
	struct operation inverse;
	const struct plan *plan;

	to_uplink(sim, "up0", "", ARPHRD_ETHER, 0);
	add_address(sim, "up0", "203.0.113.2/24");
	add_address(sim, "up0", "203.0.113.3/24");
	add_address(sim, "up0", "2001:db8::1/64");
	simulator_set_sysctl(sim, "net/ipv4/conf/up0/forwarding", "0");
	converge(sim, two_networks(sim, both, both));
	sim->datapath.uplinks[0].uplink.address4 = 0;
	memset(sim->datapath.uplinks[0].uplink.address6, 0, 16);
	plan = plan_of(sim, parse(sim, two_networks(sim, other, other)));
	assert_true(plan_inverse(find(plan, OPERATION_UPLINK_ADD), &inverse));
	assert_int_equal(inverse.kind, OPERATION_UPLINK_ADD);
	assert_address(&inverse.address, "203.0.113.1");
	assert_address(&inverse.address6, "2001:db8::1");
	assert_true(inverse.fixed && inverse.fixed6);
	assert_true(plan_inverse(find(removal_of(sim), OPERATION_UPLINK_DELETE), &inverse));
	assert_int_equal(inverse.kind, OPERATION_UPLINK_ADD);
	assert_address(&inverse.address, "203.0.113.1");
	assert_address(&inverse.address6, "2001:db8::1");
}

/* What is inside is guarded also when the plan that makes its uplink anew is undone. */
static void test_lost_and_undone(void **state)
{
	struct simulator *sim = *state;
	const struct operation *op;
	struct operation inverse;
	const struct plan *plan;
	const char *text;

	simulator_set_sysctl(sim, "net/ipv4/conf/wg0/forwarding", "0");
	text = to_uplink(sim, "wg0", "wireguard", ARPHRD_NONE, IFF_POINTOPOINT);
	converge(sim, text);
	simulator_delete_link(sim, NULL, "wg0");
	to_uplink(sim, "wg0", "wireguard", ARPHRD_NONE, IFF_POINTOPOINT);
	simulator_set_sysctl(sim, "net/ipv4/conf/wg0/forwarding", "0");
	plan = plan_of(sim, parse(sim, text));
	assert_null(find(plan, OPERATION_PROGRAMS_ADD));
	assert_true(find(plan, OPERATION_UPLINK_DELETE) < find(plan, OPERATION_UPLINK_ADD));
	op = find(plan, OPERATION_INSIDE_ADD);
	assert_true(plan_inverse(op, &inverse));
	assert_int_equal(inverse.kind, OPERATION_INSIDE_ADD);
	assert_string_equal(inverse.uplink, "wg0");
	converge(sim, text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_one_address_at_two),
		TEST(test_one_address6_at_two),
		TEST(test_one_address_of_two_fabrics),
		TEST(test_lost_address_at_two),
		TEST(test_lost_address_of_two_fabrics),
		TEST(test_named_address6_of_another_fabric),
		TEST(test_named_address6_before_another_fabric),
		TEST(test_lost_address6_of_another_fabric),
		TEST(test_another_address6_of_two_fabrics),
		TEST(test_temporary_address6_of_two_fabrics),
		TEST(test_lost_address_and_undone),
		TEST(test_ethernet_kinds),
		TEST(test_layer_3_kinds),
		TEST(test_removed_and_undone),
		TEST(test_lost_and_undone),
		TEST(test_auto_follows_the_default_route),
		TEST(test_in_a_vrf),
		TEST(test_loopback),
		TEST(test_part_of_something_larger),
		TEST(test_of_a_fabric),
		TEST(test_tunnel_without_an_end),
		TEST(test_another_link_layer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
