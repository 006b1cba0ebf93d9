/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From one file to another and back: only what differs is done, whatever was done can be undone,
 * and between any two topologies a plan converges.
 *
 * Topologies for the latter are drawn from a seeded generator; a failure names the seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <linux/if_addr.h>

#include "planning.h"

/* ---- Single edits of the fabric of planning.c. */

static const struct edit {
	const char *from, *to;
	size_t there, back; /* how many operations */
} edits[] = {
	/* an address more: its port, host, neighbour and the address itself */
	{"192.168.15.12/24]", "192.168.15.12/24, 192.168.15.13/24]", 4, 4},
	/* another address: likewise, and the gateway and the default route given anew */
	{"192.168.15.11/24]", "192.168.15.13/24]", 13, 13},
	{"\"fd00:1::2/64\"]", "\"fd00:1::3/64\"]", 7, 7},
	/* a route; the next hop may send from there */
	{"    routes: [{to: 10.99.0.0/16, via: 192.168.15.12}]\n", "", 2, 2},
	{"to: 10.99.0.0/16, via: 192.168.15.12", "to: 10.99.0.0/16, via: 10.0.0.2", 3, 3},
	{"via: 192.168.15.12}]", "via: 192.168.15.12}, {to: default, via: 192.168.15.12}]", 3, 3},
	/* MAC: port, hosts, forwarding entry, neighbours on both sides, the interface */
	{"192.168.15.12/24]}", "192.168.15.12/24], mac: \"02:00:00:00:00:0b\"}", 10, 10},
	{"192.168.15.12/24]}", "192.168.15.12/24], spoof_check: off}", 1, 1},
	/* the gateway on the bridge, and in red and blue; neighbours of the bridge */
	{"{subnets: [192.168.15.0/24]", "{gateway: [192.168.15.9], subnets: [192.168.15.0/24]", 14,
	 14},
	/* a subnet nobody has an address of: masquerade and gateway */
	{"subnets: [192.168.15.0/24]", "subnets: [192.168.15.0/24, 192.168.16.0/24]", 2, 2},
	/* prefix, uplink, its sysctl and 2 ports; and as nothing cuts large packets up then, the
	 * sizes of 8 interfaces and 2 bridges, and 6 hosts */
	{", masquerade: eth0", "", 21, 21},
	{"masquerade: eth0", "masquerade: {uplink: eth0, ports: 2000-3000}", 1, 1},
	{"masquerade: eth0", "masquerade: {uplink: eth0, timeouts: {icmp: 30}}", 1, 1},
	{"masquerade: eth0", "masquerade: {uplink: eth0, max_flows_per_namespace: 9}", 1, 1},
	{"masquerade: eth0", "masquerade: {uplink: eth0, filtering: endpoint-independent}", 1, 1},
	{"masquerade: eth0", "masquerade: {uplink: eth0, mapping: address-and-port-dependent}", 1,
	 1},
	{"masquerade: eth0", "masquerade: {uplink: eth0, except: [172.16.0.0/12]}", 1, 1},
	/* 3 ports and their 7 hosts; with the MTU 8 more interfaces and 2 bridges */
	{"networks:", "defaults: {datapath: kernel}\nnetworks:", 10, 10},
	{"networks:", "defaults: {mtu: 9000}\nnetworks:", 17, 17},
	/* the bridge, 2 ports and their 4 hosts */
	{", masquerade: eth0", ", masquerade: eth0, isolate: true", 7, 7},
	{"links:\n", "  white: {}\nlinks:\n", 2, 1},
	{"  blue:\n", "  blue:\n    routes: [{to: 10.98.0.0/16, via: 192.168.15.11}]\n", 2, 2},
	/* the interface of one: all that a namespace has but itself */
	{"links:\n", "  white: {interfaces: {eth0: {network: v-net-0}}}\nlinks:\n", 13, 6},
	{"\"red:p0\", \"green:p0\"", "\"red:q0\", \"green:q0\"", 7, 7},
	{"\"red:p0\", \"green:p0\"", "\"red:p0\", \"host:p0\"", 7, 7},
	/* published: nothing else is touched, but the mark of its port, the host's way to it, whose
	 * program stays, and the host's free ports */
	{"  blue:\n", "  blue:\n    publish: [\"8080:80/tcp\", \"9000-9009:9000-9009/udp\"]\n", 6,
	 5},
	{"  v-net-1:", "  v-net-2: {subnets: [10.2.0.0/24]}\n  v-net-1:", 6, 3},
};

static void print_plan(struct simulator *sim, const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		print_error("%s\n", plan_describe(&plan->operations[i], &sim->arena));
}

/* Says how they differ, so that all that do are seen at once. */
static size_t differ(struct simulator *sim, const struct edit *edit, const struct plan *plan,
		     size_t count)
{
	if (plan->count == count)
		return 0;
	print_error("'%s' to '%s': %zu operations, not %zu\n", edit->from, edit->to, plan->count,
		    count);
	print_plan(sim, plan);
	return 1;
}

static void test_only_what_differs(void **state)
{
	struct simulator *sim = *state;
	size_t wrong = 0;

	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		const char *text = edited(sim, fabric, edits[i].from, edits[i].to);

		converge(sim, fabric);
		wrong += differ(sim, &edits[i], converge(sim, text), edits[i].there);
		wrong += differ(sim, &edits[i], converge(sim, fabric), edits[i].back);
		simulator_run(sim, removal_of(sim));
		assert_as_found(sim);
		sim->record.count = 0;
	}
	assert_int_equal(wrong, 0);
}

/* As apply.c does after operation "done" - 1 of the plan was the last that succeeded. False: the
 * plan had destroyed something by then, which cannot be brought back. */
static bool undo(struct simulator *sim, const struct plan *plan, size_t done)
{
	struct operation inverse;

	for (size_t i = 0; i < done; i++) {
		enum operation_kind kind = plan->operations[i].kind;

		if (kind == OPERATION_LINK_DELETE || kind == OPERATION_NETNS_DELETE ||
		    kind == OPERATION_DATAPATH_UNLOAD || kind == OPERATION_FORGET)
			return false;
	}
	for (size_t i = 0; i < done; i++)
		simulator_execute(sim, &plan->operations[i]);
	for (size_t i = done; i > 0; i--)
		if (plan_inverse(&plan->operations[i - 1], &inverse))
			simulator_execute(sim, &inverse);
	return true;
}

/* After each operation of each edit, there and back. */
static void test_undone_wherever_it_fails(void **state)
{
	struct simulator *sim = *state;
	const char *texts[2] = {fabric, NULL};
	size_t undone = 0;

	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		texts[1] = edited(sim, fabric, edits[i].from, edits[i].to);
		for (size_t way = 0; way < 2; way++) {
			struct topology *before = parse(sim, texts[way]);
			struct topology *after = parse(sim, texts[!way]);
			size_t count;

			converge(sim, texts[way]);
			count = plan_of(sim, after)->count;
			for (size_t done = 1; done <= count; done++) {
				const struct plan *rest;

				if (!undo(sim, plan_of(sim, after), done))
					break;
				undone++;
				rest = plan_of(sim, before);
				print_plan(sim, rest);
				if (rest->count)
					fail_msg("'%s' to '%s' (%zu), %zu operations undone",
						 edits[i].from, edits[i].to, way, done);
			}
		}
	}
	assert_true(undone > 200);
	converge(sim, fabric);
	simulator_run(sim, removal_of(sim));
	assert_as_found(sim);
}

/* With the first address of a subnet the kernel takes the others, which are given again. */
static void test_first_address_goes(void **state)
{
	struct simulator *sim = *state;
	const char *both =
		edited(sim, fabric, "192.168.15.12/24]", "192.168.15.12/24, 192.168.15.13/24]");
	const struct plan *plan;

	converge(sim, both);
	plan = converge(sim, edited(sim, fabric, "192.168.15.12/24]", "192.168.15.13/24]"));
	assert_int_equal(count_kind(plan, OPERATION_ADDRESS_DELETE), 1);
	assert_int_equal(count_kind(plan, OPERATION_ADDRESS_ADD), 1);
	assert_non_null(find(plan, OPERATION_ADDRESS_ADD)->replaces);
	plan = converge(sim, both); /* behind the one that is there now */
	assert_int_equal(count_kind(plan, OPERATION_ADDRESS_DELETE), 0);
	plan = converge(sim, fabric);
	assert_int_equal(count_kind(plan, OPERATION_ADDRESS_DELETE), 1);
}

/* ---- Any topology to any other. */

#define SEEDS      300
#define NETWORKS   3
#define NAMESPACES 5
#define LINKS      2

struct draw {
	struct simulator *sim;
	uint64_t random;
	char *text;
	bool has[NETWORKS], masquerades[NETWORKS];
	unsigned int turn;              /* which namespace has which published ports */
	unsigned int variant[NETWORKS]; /* of the subnet */
	bool here[NAMESPACES];
};

/* xorshift64 (Marsaglia) */
static unsigned int draw(struct draw *d, unsigned int choices)
{
	d->random ^= d->random << 13;
	d->random ^= d->random >> 7;
	d->random ^= d->random << 17;
	return (unsigned int)(d->random >> 33) % choices;
}

static void put(struct draw *d, const char *more)
{
	d->text = arena_printf(&d->sim->arena, "%s%s", d->text, more);
}

static void draw_network(struct draw *d, unsigned int i)
{
	static const char *const masquerades[] = {
		"", "", ", masquerade: eth0",
		", masquerade: {uplink: eth0, max_flows_per_namespace: 7}"};
	static const char *const big_tcp[] = {
		"", "", "", ", big_tcp: auto", ", big_tcp: off", ", big_tcp: on"};
	unsigned int variant = draw(d, 2), masquerade;
	bool six = draw(d, 2), other_gateway = draw(d, 3) == 0;
	struct arena *arena = &d->sim->arena;

	d->variant[i] = variant;
	put(d, arena_printf(arena, "  net%u: {type: %s, subnets: [10.%u.%u.0/24%s]", i,
			    draw(d, 3) ? "bridge" : "routed", i, variant,
			    six ? arena_printf(arena, ", \"fd00:%u::/64\"", i) : ""));
	if (other_gateway)
		put(d, arena_printf(arena, ", gateway: [10.%u.%u.200%s]", i, variant,
				    six ? arena_printf(arena, ", \"fd00:%u::c8\"", i) : ""));
	masquerade = draw(d, 4);
	d->masquerades[i] = masquerade >= 2;
	put(d, masquerades[masquerade]);
	put(d, draw(d, 3) ? "" : ", isolate: true");
	put(d, big_tcp[draw(d, 6)]);
	put(d, "}\n");
}

static void draw_interface(struct draw *d, unsigned int name, unsigned int namespace,
			   unsigned int network)
{
	struct arena *arena = &d->sim->arena;

	put(d, arena_printf(arena, "      eth%u: {network: net%u", name, network));
	if (draw(d, 2))
		put(d, arena_printf(arena, ", addresses: [10.%u.%u.%u/24%s]", network,
				    d->variant[network], 10 + namespace,
				    draw(d, 2) ? arena_printf(arena, ", 10.%u.%u.%u/24", network,
							      d->variant[network], 30 + namespace)
					       : ""));
	if (draw(d, 4) == 0)
		put(d, arena_printf(arena, ", mac: \"02:00:00:00:%02x:%02x\"", network, namespace));
	if (draw(d, 4) == 0)
		put(d, ", spoof_check: off");
	put(d, "}\n");
}

static void draw_published(struct draw *d, unsigned int i)
{
	unsigned int first = 8000 + 10 * ((i + d->turn) % NAMESPACES), more = draw(d, 10);
	unsigned int inside = 80 + draw(d, 2);

	put(d, arena_printf(&d->sim->arena, "    publish: [\"%u-%u:%u-%u/%s\"]\n", first,
			    first + more, inside, inside + more, draw(d, 4) ? "tcp" : "udp"));
}

static void draw_namespace(struct draw *d, unsigned int i)
{
	unsigned int interfaces = 0;
	bool masqueraded = false;

	put(d, arena_printf(&d->sim->arena, "  ns%u:\n    interfaces:\n", i));
	for (unsigned int network = 0; network < NETWORKS; network++)
		if (d->has[network] && draw(d, 2)) {
			draw_interface(d, draw(d, 2) ? network : interfaces++ + NETWORKS, i,
				       network);
			masqueraded |= d->masquerades[network];
		}
	if (strcmp(d->text + strlen(d->text) - strlen("interfaces:\n"), "interfaces:\n") == 0)
		d->text[strlen(d->text) - strlen("    interfaces:\n") - 2] = '\0', put(d, ": {}\n");
	if (masqueraded && draw(d, 2))
		draw_published(d, i);
}

static void draw_link(struct draw *d, unsigned int i)
{
	unsigned int one = draw(d, NAMESPACES), two = draw(d, NAMESPACES), name = draw(d, 2);
	struct arena *arena = &d->sim->arena;

	if (!d->here[one] || one == two)
		return;
	put(d, arena_printf(arena, "  - endpoints: [\"ns%u:p%u%u\", \"%s:p%u%u\"]\n", one, i, name,
			    d->here[two] ? arena_printf(arena, "ns%u", two) : "host", i, name));
	if (draw(d, 3))
		put(d, arena_printf(arena, "    addresses: [10.200.%u.%u/24, 10.200.%u.%u/24]\n", i,
				    1 + 2 * draw(d, 2), i, 2 + 2 * draw(d, 2)));
}

static const char *draw_topology(struct simulator *sim, uint64_t seed)
{
	static const char *const defaults[] = {"", "", "defaults: {mtu: 9000}\n",
					       "defaults: {datapath: kernel}\n"};
	struct draw d = {.sim = sim, .random = seed * 0x9e3779b97f4a7c15 + 1, .text = ""};

	for (int i = 0; i < 8; i++) /* far from the seed */
		draw(&d, 2);
	d.turn = draw(&d, NAMESPACES);
	put(&d, HEAD);
	put(&d, defaults[draw(&d, 4)]);
	put(&d, "networks:\n  always: {subnets: [10.100.0.0/24]}\n");
	for (unsigned int i = 0; i < NETWORKS; i++) {
		d.has[i] = draw(&d, 4);
		if (d.has[i])
			draw_network(&d, i);
	}
	put(&d, "namespaces:\n  always: {}\n");
	for (unsigned int i = 0; i < NAMESPACES; i++) {
		d.here[i] = draw(&d, 3);
		if (d.here[i])
			draw_namespace(&d, i);
	}
	put(&d, "links:\n  - endpoints: [\"always:a\", \"host:a\"]\n");
	for (unsigned int i = 0; i < LINKS; i++)
		draw_link(&d, i);
	return d.text;
}

static void test_any_to_any(void **state)
{
	size_t operations = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct simulator *sim = *state;
		const char *from = draw_topology(sim, 2 * seed);
		const char *to = draw_topology(sim, 2 * seed + 1);
		struct plan *plan;

		converge(sim, from);
		plan = plan_of(sim, parse(sim, to));
		operations += plan->count;
		simulator_run(sim, plan);
		plan = plan_of(sim, parse(sim, to));
		print_plan(sim, plan);
		if (plan->count)
			fail_msg("seed %u: from\n%sto\n%s", (unsigned int)seed, from, to);
		simulator_run(sim, removal_of(sim));
		assert_as_found(sim);
		simulator_free(sim);
		*state = simulator_new();
	}
	assert_true(operations > 30 * SEEDS);
}

/* ---- Links between namespaces, in each of which the same numbers are given. */

static const char *const four[] = {"a", "b", "c", "d"};

#define FOUR           HEAD "namespaces: {a: {}, b: {}, c: {}, d: {}}\n"
#define LINK(one, two) "  - {endpoints: [\"" one ":p0\", \"" two ":p0\"]}\n"

static struct simulator *with_links_alike(void **state)
{
	struct simulator *sim = *state;

	converge(sim, FOUR "links:\n" LINK("a", "b") LINK("c", "d"));
	for (size_t i = 0; i < 4; i++) {
		struct state_link *link = simulator_link(sim, four[i], "p0");

		link->ifindex = link->peer_ifindex = 2;
	}
	return sim;
}

static void test_links_alike_go_at_once(void **state)
{
	struct simulator *sim = with_links_alike(state);
	const struct plan *plan = plan_of(sim, parse(sim, FOUR));
	bool gone[4] = {false};

	for (size_t i = 0; i < plan->count; i++)
		for (size_t j = 0; j < 4; j++)
			gone[j] |= plan->operations[i].kind == OPERATION_LINK_DELETE &&
				   !strcmp(plan->operations[i].namespace, four[j]);
	assert_true((gone[0] || gone[1]) && (gone[2] || gone[3]));
}

/* What the kernel is asked, and what becomes of its answers. */
static void test_links_alike_are_asked_about(void **state)
{
	struct simulator *sim = with_links_alike(state);
	struct topology *crossed = parse(sim, FOUR "links:\n" LINK("a", "c") LINK("b", "d"));
	struct kernel_state *observed = simulator_observe(sim, crossed);
	const struct peer_need *needs;
	struct plan *plan;
	struct error err;
	size_t count;

	plan_needs_peers(crossed, observed, &sim->arena, &needs, &count);
	assert_int_equal(count, 2);
	for (size_t i = 0; i < count; i++) {
		assert_string_equal(needs[i].namespace->name, four[i]);
		assert_string_equal(needs[i].other->name, four[i + 2]);
		needs[i].link->peer_asked = true;
		needs[i].link->peer_namespace = needs[i].other;
	}
	assert_int_equal(plan_build(crossed, observed, &sim->record, &sim->arena, &plan, &err), 0);
	assert_int_equal(count_kind(plan, OPERATION_LINK_DELETE), 0);
	needs[0].link->peer_namespace = NULL; /* it is elsewhere */
	assert_int_equal(plan_build(crossed, observed, &sim->record, &sim->arena, &plan, &err), 0);
	assert_int_equal(count_kind(plan, OPERATION_LINK_DELETE), 2);
	assert_int_equal(count_kind(plan, OPERATION_VETH_ADD), 1);
}

/* ---- An address that was deleted by hand and given again. */

static struct state_address *address_of_red(struct simulator *sim)
{
	struct state_namespace *red = simulator_space(sim, "red");
	struct ip_address wanted;

	assert_true(ip_parse("192.168.15.11", &wanted, NULL));
	for (size_t i = 0; i < red->addresses_count; i++)
		if (ip_equal(&red->addresses[i].address, &wanted))
			return &red->addresses[i];
	fail_msg("red has lost its address");
	return NULL;
}

/* The kernel has an IPv6 address once, an IPv4 one with each prefix. */
static void test_address_with_another_prefix(void **state)
{
	struct simulator *sim = *state;
	struct ip_address wanted;
	struct state_namespace *green;
	struct plan *plan;

	assert_true(ip_parse("fd00:1::2", &wanted, NULL));
	converge(sim, fabric);
	green = simulator_space(sim, "green");
	for (size_t i = 0; i < green->addresses_count; i++) {
		if (!ip_equal(&green->addresses[i].address, &wanted))
			continue;
		green->addresses[i].address.prefix_len = 80;
		green->addresses[i].protocol = 0;
	}
	address_of_red(sim)->address.prefix_len = 16;
	address_of_red(sim)->protocol = 0;
	plan = converge(sim, fabric);
	assert_int_equal(count_kind(plan, OPERATION_ADDRESS_DELETE), 1);
	assert_int_equal(count_kind(plan, OPERATION_ADDRESS_ADD), 2);
}

static void test_address_with_the_other_route(void **state)
{
	struct simulator *sim = *state;
	const char *plain =
		edited(sim, fabric, "    routes: [{to: 10.99.0.0/16, via: 192.168.15.12}]\n", "");
	const char *texts[] = {
		plain, edited(sim, plain, "v-net-0: {subnets", "v-net-0: {type: routed, subnets")};

	for (size_t i = 0; i < 2; i++) {
		struct plan *plan;
		uint32_t flags;

		converge(sim, texts[i]);
		flags = address_of_red(sim)->flags ^ IFA_F_NOPREFIXROUTE;
		address_of_red(sim)->flags = flags;
		address_of_red(sim)->protocol = 0;
		plan = plan_of(sim, parse(sim, texts[i]));
		assert_true(undo(sim, plan, plan->count));
		assert_int_equal(address_of_red(sim)->flags, flags);
		assert_int_equal(address_of_red(sim)->protocol, 0);
		plan = converge(sim, texts[i]);
		assert_int_equal(count_kind(plan, OPERATION_ADDRESS_DELETE), 1);
		assert_int_equal(address_of_red(sim)->flags, flags ^ IFA_F_NOPREFIXROUTE);
		simulator_run(sim, removal_of(sim));
		assert_as_found(sim);
		sim->record.count = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_only_what_differs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_undone_wherever_it_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_first_address_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_to_any, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links_alike_go_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links_alike_are_asked_about, setup, teardown),
		cmocka_unit_test_setup_teardown(test_address_with_another_prefix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_address_with_the_other_route, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
