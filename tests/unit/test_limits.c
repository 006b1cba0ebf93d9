/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Each table of the datapath, filled to its edge: the last entry that it has room for is taken, and
 * the next one is refused with its place in the file, by validate for what one file declares and by
 * plan together with what others have.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "planning.h"
#include "topology_read.h"

/* ---- One file. */

struct text {
	char *bytes;
	size_t length;
	FILE *stream;
};

static void open_text(struct text *text)
{
	text->stream = open_memstream(&text->bytes, &text->length);
	assert_non_null(text->stream);
	fputs(HEAD, text->stream);
}

/* The first error, or NULL; also frees the text. */
static const char *first_error(struct simulator *sim, struct text *text)
{
	struct error_list errors = {.arena = &sim->arena};
	struct topology *topology;
	char line[2 * ERROR_MESSAGE_MAX];

	fclose(text->stream);
	topology_parse("lab.yaml", text->bytes, text->length, &sim->arena, &topology, &errors);
	free(text->bytes);
	return errors.count ? arena_strdup(&sim->arena,
					   error_format(&errors.errors[0], line, sizeof(line)))
			    : NULL;
}

static void expect(const char *error, const char *position, const char *words)
{
	assert_non_null(error);
	if (strncmp(error, position, strlen(position)) || !strstr(error, words))
		fail_msg("not at %s, or not about %s: %s", position, words, error);
}

static const char *file_with_uplinks(struct simulator *sim, size_t uplinks)
{
	struct text text;

	open_text(&text);
	fputs("networks:\n", text.stream);
	for (size_t i = 0; i < uplinks; i++)
		fprintf(text.stream, "  n%zu: {subnets: [10.0.%zu.0/24], masquerade: up%zu}\n", i,
			i, i);
	return first_error(sim, &text);
}

static void test_uplinks(void **state)
{
	assert_null(file_with_uplinks(*state, NSR_UPLINKS_MAX));
	expect(file_with_uplinks(*state, NSR_UPLINKS_MAX + 1), "lab.yaml:20:", "16 uplinks");
}

static const char *file_with_inside(struct simulator *sim, size_t subnets, bool ipv6)
{
	struct text text;

	open_text(&text);
	fputs("networks:\n  lan:\n    masquerade: up0\n    subnets:\n", text.stream);
	for (size_t i = 0; i < subnets; i++)
		fprintf(text.stream,
			ipv6 ? "      - \"fd00:%zx:%zx::/64\"\n" : "      - 10.%zu.%zu.0/24\n",
			i / 256, i % 256);
	return first_error(sim, &text);
}

static void test_inside(void **state)
{
	assert_null(file_with_inside(*state, NSR_INSIDE_MAX, false));
	assert_null(file_with_inside(*state, NSR_INSIDE_MAX, true));
	expect(file_with_inside(*state, NSR_INSIDE_MAX + 1, false),
	       "lab.yaml:1031:9:", "1024 masqueraded IPv4 subnets");
	expect(file_with_inside(*state, NSR_INSIDE_MAX + 1, true),
	       "lab.yaml:1031:9:", "1024 masqueraded IPv6 subnets");
}

/* So many subnets, each with 64 destinations, and one network with so many more. */
static const char *file_with_exceptions(struct simulator *sim, size_t subnets, size_t more)
{
	struct text text;

	open_text(&text);
	fputs("networks:\n", text.stream);
	fputs("  few: {subnets: [10.99.0.0/24], masquerade: {uplink: up0, except: [", text.stream);
	for (size_t i = 0; i < more; i++)
		fprintf(text.stream, "172.16.%zu.0/24,", i);
	fputs("]}}\n  lan:\n    masquerade: {uplink: up0, except: [", text.stream);
	for (size_t i = 0; i < NSR_EXCEPT_MAX; i++)
		fprintf(text.stream, "172.17.%zu.0/24,", i);
	fputs(subnets ? "" : "\"fd12::/16\"", text.stream);
	fputs("]}\n    subnets:\n", text.stream);
	for (size_t i = 0; i < subnets; i++)
		fprintf(text.stream, "      - 10.1.%zu.0/24\n", i);
	return first_error(sim, &text);
}

static void test_exceptions(void **state)
{
	const size_t subnets = NSR_EXCEPTIONS_MAX / NSR_EXCEPT_MAX;

	assert_null(file_with_exceptions(*state, subnets, 0));
	assert_null(file_with_exceptions(*state, subnets - 1, NSR_EXCEPT_MAX));
	expect(file_with_exceptions(*state, subnets, 1),
	       "lab.yaml:6:", "4096 destinations that are not translated");
	expect(file_with_exceptions(*state, 0, 0), "lab.yaml:6:", "has room for 64");
}

static const char *file_with_ports(struct simulator *sim, size_t ports, const char *more)
{
	struct text text;

	open_text(&text);
	fprintf(text.stream, "networks:\n  lan: {type: routed, subnets: [10.0.0.0/8]}\n%s", more);
	fputs("namespaces:\n", text.stream);
	for (size_t i = 0; i < ports; i++)
		fprintf(text.stream, "  n%zu: {interfaces: {eth0: {network: lan}}}\n", i);
	return first_error(sim, &text);
}

static void test_ports(void **state)
{
	assert_null(file_with_ports(*state, NSR_PORTS_MAX, ""));
	expect(file_with_ports(*state, NSR_PORTS_MAX + 1, ""), "lab.yaml:16390:", "16384 ");
	/* Bridges share a table with interfaces on routed networks. */
	assert_null(file_with_ports(*state, NSR_INNER_MAX - 1, "  br: {}\n"));
	expect(file_with_ports(*state, NSR_INNER_MAX, "  br: {}\n"),
	       "lab.yaml:16390:", "16384 bridges");
}

static const char *file_with_addresses(struct simulator *sim, size_t addresses, bool ipv6)
{
	struct text text;

	open_text(&text);
	fprintf(text.stream, "networks:\n  lan: {type: routed, subnets: [%s]}\nnamespaces:\n",
		ipv6 ? "\"fd00::/64\"" : "10.0.0.0/8");
	for (size_t i = 0; i < addresses; i++) {
		if (i % 4096 == 0)
			fprintf(text.stream,
				"%s  n%zu: {interfaces: {eth0: {network: lan, addresses: [",
				i ? "]}}}\n" : "", i);
		if (ipv6)
			fprintf(text.stream, "\"fd00::%zx:%zx/64\",", 1 + i / 256, i % 256);
		else
			fprintf(text.stream, "10.%zu.%zu.%zu/8,", 1 + i / 16384, i / 128 % 128,
				1 + i % 128);
	}
	fputs("]}}}\n", text.stream);
	return first_error(sim, &text);
}

static void test_addresses(void **state)
{
	expect(file_with_addresses(*state, NSR_ADDRESSES_MAX + 1, true),
	       "lab.yaml:22:", "65536 IPv6 addresses");
	assert_null(file_with_addresses(*state, NSR_ADDRESSES_MAX, true));
	expect(file_with_addresses(*state, NSR_ADDRESSES_MAX + 1, false),
	       "lab.yaml:22:", "65536 IPv4 addresses");
	assert_null(file_with_addresses(*state, NSR_ADDRESSES_MAX, false));
}

/* ---- Beside others. */

/* A fabric of others that has so many entries in each table. */
static void fill(struct simulator *sim, size_t ports, size_t sources, size_t hosts, uint8_t family,
		 size_t inner, size_t inside)
{
	struct state_datapath *datapath = &sim->datapath;

	datapath->loaded = true;
	for (size_t i = 0; i < ports; i++)
		*arena_push(&sim->arena, datapath->ports, datapath->ports_count) =
			(struct state_port){.ifindex = 1000000 + (uint32_t)i,
					    .port = {.network = 9999}};
	for (size_t i = 0; i < sources; i++)
		*arena_push(&sim->arena, datapath->sources, datapath->sources_count) =
			(struct state_source){
				1000000, {AF_INET, 32, {11, i >> 16 & 255, i >> 8 & 255, i & 255}}};
	for (size_t i = 0; i < hosts; i++)
		*arena_push(&sim->arena, datapath->endpoints, datapath->endpoints_count) =
			(struct state_endpoint){.ip = {family,
						       family == AF_INET ? 32 : 128,
						       {12, i >> 16 & 255, i >> 8 & 255, i & 255}},
						.endpoint = {.ifindex = 1000000, .network = 9999}};
	for (size_t i = 0; i < inner; i++)
		*arena_push(&sim->arena, datapath->inner_links, datapath->inner_links_count) =
			(struct state_inner_link){.ifindex = 1000000 + (uint32_t)i};
	for (size_t i = 0; i < inside; i++)
		*arena_push(&sim->arena, datapath->inside, datapath->inside_count) =
			(struct state_inside){.prefix = {family, 32, {13, i >> 8 & 255, i & 255}},
					      .inside = NSR_INSIDE_DEFAULT};
}

/* red has two addresses of each family. */
static const char lan[] = HEAD
	"networks:\n"
	"  lan:\n"
	"    type: routed\n"
	"    subnets: [192.168.15.0/24, \"fd00:15::/64\"]\n"
	"    masquerade: eth0\n"
	"namespaces:\n"
	"  red:\n"
	"    interfaces:\n"
	"      eth0:\n"
	"        network: lan\n"
	"        addresses: [192.168.15.2/24, 192.168.15.3/24, \"fd00:15::2/64\", \"fd00:15::3/64\"]\n";

static int plan_code(struct simulator *sim, struct error *err)
{
	const struct topology *topology = parse(sim, lan);
	struct plan *plan;

	sim->record.fabric = topology->name;
	return plan_build(topology, simulator_observe(sim, parse(sim, lan)), &sim->record,
			  &sim->arena, &plan, err);
}

/* lan fits; with one entry more in the table it does not. */
static void expect_edge(struct simulator *sim, uint32_t line, const char *words)
{
	struct error err = {0};

	assert_int_equal(plan_code(sim, &err), -28); /* ENOSPC */
	assert_string_equal(err.file, "lab.yaml");
	assert_int_equal(err.at.line, line);
	if (!strstr(err.message, words))
		fail_msg("not about %s: %s", words, err.message);
}

static void test_ports_beside_others(void **state)
{
	struct simulator *sim = *state;
	struct error err = {0};

	fill(sim, NSR_PORTS_MAX - 1, 0, 0, 0, 0, 0);
	assert_int_equal(plan_code(sim, &err), 0);
	fill(sim, 1, 0, 0, 0, 0, 0);
	expect_edge(sim, 11, "no room for red-eth0: this host namespace takes 16384 interfaces");
}

static void test_sources_beside_others(void **state)
{
	struct simulator *sim = *state;
	struct error err = {0};

	fill(sim, 0, NSR_SOURCES_MAX - 2, 0, 0, 0, 0);
	assert_int_equal(plan_code(sim, &err), 0);
	fill(sim, 0, 1, 0, 0, 0, 0);
	expect_edge(sim, 11, "65536 source prefixes");
}

static void test_hosts_beside_others(void **state)
{
	struct simulator *sim = *state;
	struct error err = {0};

	fill(sim, 0, 0, NSR_ADDRESSES_MAX - 2, AF_INET, 0, 0);
	assert_int_equal(plan_code(sim, &err), 0);
	fill(sim, 0, 0, 1, AF_INET, 0, 0);
	expect_edge(sim, 11, "65536 IPv4 addresses");
}

static void test_hosts6_beside_others(void **state)
{
	struct simulator *sim = *state;
	struct error err = {0};

	fill(sim, 0, 0, NSR_ADDRESSES_MAX - 2, AF_INET6, 0, 0);
	assert_int_equal(plan_code(sim, &err), 0);
	fill(sim, 0, 0, 1, AF_INET6, 0, 0);
	expect_edge(sim, 11, "65536 IPv6 addresses");
}

static void test_inner_beside_others(void **state)
{
	struct simulator *sim = *state;
	struct error err = {0};

	fill(sim, 0, 0, 0, 0, NSR_INNER_MAX - 1, 0);
	assert_int_equal(plan_code(sim, &err), 0);
	fill(sim, 0, 0, 0, 0, 1, 0);
	expect_edge(sim, 11, "16384 bridges");
}

static void test_inside_beside_others(void **state)
{
	struct simulator *sim = *state;
	struct error err = {0};

	fill(sim, 0, 0, 0, AF_INET, 0, NSR_INSIDE_MAX - 1);
	assert_int_equal(plan_code(sim, &err), 0);
	fill(sim, 0, 0, 0, AF_INET, 0, 1);
	expect_edge(sim, 7, "1024 masqueraded IPv4 subnets");
}

/* The interface is there, unless it is lost. */
static struct nsr_uplink *add_uplink(struct simulator *sim, uint32_t index, bool lost)
{
	struct state_datapath *datapath = &sim->datapath;
	struct state_uplink *uplink =
		arena_push(&sim->arena, datapath->uplinks, datapath->uplinks_count);
	const char *name = arena_printf(&sim->arena, "up%u", index);

	uplink->uplink.index = index;
	uplink->uplink.ifindex =
		lost ? 1000000 + index : simulator_add_link(sim, NULL, name, "veth")->ifindex;
	return &uplink->uplink;
}

static void test_uplinks_beside_others(void **state)
{
	struct simulator *sim = *state;
	struct error err = {0};

	sim->datapath.loaded = true;
	for (uint32_t i = 1; i < NSR_UPLINKS_MAX; i++)
		add_uplink(sim, i, false);
	assert_int_equal(plan_code(sim, &err), 0);
	add_uplink(sim, 0, false);
	expect_edge(sim, 7, "no room for eth0: this host namespace takes 16 uplinks");
}

/* They make room, and their numbers too when nobody is to leave by them any more. */
static void test_lost_uplinks(void **state)
{
	struct simulator *sim = *state;
	struct error err = {0};

	sim->datapath.loaded = true;
	for (uint32_t i = 1; i < NSR_UPLINKS_MAX; i++)
		add_uplink(sim, i, false);
	memset(add_uplink(sim, 0, true)->slots, NSR_UPLINKS_MAX, NSR_MORE_MAX);
	assert_int_equal(plan_code(sim, &err), 0);
	fill(sim, 0, 0, 0, AF_INET, 0, 1);
	expect_edge(
		sim, 7,
		"no room for eth0: this host namespace takes 16 uplinks, those of other "
		"fabrics included; those that are gone keep 1 of the places until no network is to "
		"leave by them: take the fabrics of such networks down and apply them again");
	for (size_t i = 0; i < sim->datapath.uplinks_count; i++)
		if (sim->datapath.uplinks[i].uplink.index == 2)
			sim->datapath.uplinks[i].uplink.ifindex += 1000000;
	*arena_push(&sim->arena, sim->datapath.ports, sim->datapath.ports_count) =
		(struct state_port){.ifindex = 1, .port = {.uplink = 1 + 2}};
	expect_edge(sim, 7, "those that are gone keep 2 of the places until");
}

static void test_external_addresses_of_lost_uplinks(void **state)
{
	static const char more[] =
		"masquerade: {uplink: eth0, addresses: [203.0.113.1, 203.0.113.2, 203.0.113.3]}\n";
	struct simulator *sim = *state;
	struct state_namespace *host = simulator_space(sim, NULL);
	struct topology *topology = parse(sim, edited(sim, lan, "masquerade: eth0\n", more));
	struct nsr_uplink *uplink;
	struct plan *plan;
	struct error err;

	for (size_t i = 1; i <= 3; i++) {
		struct state_address *address =
			arena_push(&sim->arena, host->addresses, host->addresses_count);

		address->ifindex = simulator_link(sim, NULL, "eth0")->ifindex;
		address->address = (struct ip_address){AF_INET, 32, {203, 0, 113, (uint8_t)i}};
	}
	sim->datapath.loaded = true;
	for (uint32_t i = 1; i <= 2; i++)
		memset(add_uplink(sim, i, false)->slots, NSR_UPLINKS_MAX, NSR_MORE_MAX);
	uplink = add_uplink(sim, 3, true);
	uplink->slots[0] = NSR_UPLINKS_MAX + 14;
	assert_int_equal(plan_build(topology, simulator_observe(sim, topology), &sim->record,
				    &sim->arena, &plan, &err),
			 0);
	assert_true(find(plan, OPERATION_UPLINK_DELETE) < find(plan, OPERATION_UPLINK_ADD));
	uplink->ifindex = simulator_add_link(sim, NULL, "up3", "veth")->ifindex;
	assert_int_equal(plan_build(topology, simulator_observe(sim, topology), &sim->record,
				    &sim->arena, &plan, &err),
			 -28); /* ENOSPC */
	assert_non_null(strstr(err.message, "16 external addresses"));
}

/* What the file publishes anew was published there: it is not counted twice. */
static void test_published_of_lost_uplinks(void **state)
{
	static const char publishing[] =
		"version: 1\nname: lab\nnetworks:\n"
		"  lan: {subnets: [192.168.15.0/24], masquerade: eth0}\n"
		"namespaces:\n  red:\n    interfaces:\n      eth0:\n"
		"        network: lan\n        addresses: [192.168.15.2/24]\n"
		"    publish: [\"8080:80/tcp\"]\n";
	struct simulator *sim = *state;
	struct state_datapath *datapath = &sim->datapath;
	struct topology *topology = parse(sim, publishing);
	struct nsr_uplink *uplink;
	struct plan *plan;
	struct error err;

	datapath->loaded = true;
	uplink = add_uplink(sim, 3, true);
	for (uint32_t i = 0; i < NSR_PUBLISHED_MAX; i++)
		*arena_push(&sim->arena, datapath->published, datapath->published_count) =
			(struct state_published){
				.mapping = NSR_MAPPING(NSR_POOL(3, IPPROTO_TCP), 2 + i),
				.published = {.inside = {.uplink = 3}, .count = 1}};
	assert_int_equal(plan_build(topology, simulator_observe(sim, topology), &sim->record,
				    &sim->arena, &plan, &err),
			 0);
	assert_true(find(plan, OPERATION_UPLINK_DELETE) < find(plan, OPERATION_PUBLISH_ADD));
	uplink->ifindex = simulator_add_link(sim, NULL, "up3", "veth")->ifindex;
	assert_int_equal(plan_build(topology, simulator_observe(sim, topology), &sim->record,
				    &sim->arena, &plan, &err),
			 -28); /* ENOSPC */
	assert_non_null(strstr(err.message, "4096 published ports"));
}

/* ---- Room for flows, which a datapath has from its first day on. */

/* Two networks, with what is set for the masquerade of each. */
static const char *with_flows(struct simulator *sim, const char *first, const char *second)
{
	return arena_printf(&sim->arena,
			    HEAD "networks:\n"
				 "  a: {subnets: [10.0.1.0/24], masquerade: {uplink: eth0%s}}\n"
				 "  b: {subnets: [10.0.2.0/24], masquerade: {uplink: eth0%s}}\n",
			    first, second);
}

static uint32_t flows_of_plan(struct simulator *sim, const char *first, const char *second)
{
	const struct plan *plan = plan_of(sim, parse(sim, with_flows(sim, first, second)));
	const struct operation *load = find(plan, OPERATION_DATAPATH_LOAD);

	assert_non_null(load);
	return load->flows;
}

static void test_flows(void **state)
{
	struct simulator *sim = *state;
	struct plan *plan;

	assert_int_equal(flows_of_plan(sim, "", ""), NSR_SESSION_SET);
	assert_int_equal(flows_of_plan(sim, "", ", max_flows: 9"), NSR_SESSION_SET);
	assert_int_equal(flows_of_plan(sim, "", ", max_flows: 500000"), 500000);
	assert_int_equal(flows_of_plan(sim, ", max_flows: 600000", ", max_flows: 500000"), 600000);
	assert_int_equal(
		flows_of_plan(sim, ", max_flows: 600000", ", max_flows_per_namespace: 700000"),
		5 * NSR_SESSION_SET);
	/* One has five eighths at most, to the last flow, and of the largest table too. */
	assert_int_equal(flows_of_plan(sim, "", ", max_flows_per_namespace: 163840"),
			 NSR_SESSION_SET);
	assert_int_equal(flows_of_plan(sim, "", ", max_flows_per_namespace: 163841"),
			 2 * NSR_SESSION_SET);
	assert_int_equal(flows_of_plan(sim, "", ", max_flows_per_namespace: 2000000"),
			 NSR_FLOWS_MAX);
	plan = converge(sim, with_flows(sim, "", ", max_flows: 500000"));
	assert_string_equal(plan_describe(&plan->operations[0], &sim->arena),
			    "+ datapath: BPF programs and tables, for 500000 flows");
}

static void test_flows_of_what_is_there(void **state)
{
	struct simulator *sim = *state;
	struct topology *topology;
	struct error err = {0};
	struct plan *plan;

	converge(sim, with_flows(sim, ", max_flows: 500000", ""));
	converge(sim, with_flows(sim, ", max_flows: 400000", ", max_flows: 500000"));
	assert_int_equal(sim->datapath.flows_max, 500000);
	topology = parse(sim, with_flows(sim, "", ", max_flows: 500001"));
	assert_int_equal(plan_build(topology, simulator_observe(sim, topology), &sim->record,
				    &sim->arena, &plan, &err),
			 -28); /* ENOSPC */
	assert_string_equal(err.file, "lab.yaml");
	assert_int_equal(err.at.line, 5);
	assert_int_equal(err.at.column, 58);
	assert_string_equal(err.message,
			    "no room for 500001 flows of network 'b': the table that all fabrics "
			    "of this host namespace share takes 500000, and is made but once; take "
			    "them down with \"nsroute down --all\" and apply them again, this one "
			    "first");
	topology = parse(sim, with_flows(sim, "", ", max_flows_per_namespace: 400000"));
	assert_int_equal(plan_build(topology, simulator_observe(sim, topology), &sim->record,
				    &sim->arena, &plan, &err),
			 -28); /* ENOSPC */
	assert_string_equal(
		err.message,
		"no room for 786432 flows of network 'b', of which one namespace may have "
		"400000 by 'max_flows_per_namespace' and has five eighths at most: the "
		"table that all fabrics of this host namespace share takes 500000, and is "
		"made but once; take them down with \"nsroute down --all\" and apply them "
		"again, this one first");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_uplinks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exceptions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ports_beside_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sources_beside_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hosts_beside_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hosts6_beside_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inner_beside_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inside_beside_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_uplinks_beside_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_uplinks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_external_addresses_of_lost_uplinks, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_published_of_lost_uplinks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flows_of_what_is_there, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
