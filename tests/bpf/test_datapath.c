/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * user/datapath*: pins, the numbers that it gives out, the limits of its tables, and the snapshot.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "datapath_programs.h"
#include "netns.h"

static const struct datapath_new small = {1, USE_PORTS};

static uint64_t own_cookie(struct lab *lab)
{
	uint64_t cookie;

	assert_int_equal(netns_cookie(-1, &cookie, &lab->err), 0);
	return cookie;
}

static void test_pinned(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath *made = NULL, *opened = NULL;
	uint64_t cookie = own_cookie(lab);
	struct nsr_port port = lab_port(lab, RED);
	struct arena arena = {0};
	struct state_datapath seen;

	assert_false(datapath_exists(cookie));
	assert_int_equal(datapath_open(&opened, cookie, NULL, &lab->err), -ENOENT);
	assert_null(opened);
	assert_int_equal(datapath_open(&made, cookie, &small, &lab->err), 0);
	assert_true(datapath_exists(cookie));
	assert_int_equal(datapath_port_set(made, 77, &port, NULL, &lab->err), 0);
	assert_int_equal(datapath_open(&opened, cookie, NULL, &lab->err), 0);
	assert_int_equal(datapath_snapshot(opened, &arena, &seen, &lab->err), 0);
	assert_int_equal(seen.ports_count, 1);
	assert_int_equal(seen.ports[0].ifindex, 77);
	datapath_close(opened);
	datapath_close(made);
	assert_int_equal(datapath_unpin(cookie, &lab->err), 0);
	assert_int_equal(datapath_unpin(cookie, &lab->err), 0); /* nothing there is success */
	assert_false(datapath_exists(cookie));
	arena_free(&arena);
}

static uint32_t uses_of(struct lab *lab, const struct datapath *datapath)
{
	struct arena arena = {0};
	struct state_datapath seen;

	assert_int_equal(datapath_snapshot((struct datapath *)datapath, &arena, &seen, &lab->err),
			 0);
	arena_free(&arena);
	return seen.uses;
}

/* As whoever comes next sees it: by the pins. */
static uint32_t pinned_uses(struct lab *lab)
{
	struct datapath *opened;
	uint32_t uses;

	assert_int_equal(datapath_open(&opened, own_cookie(lab), NULL, &lab->err), 0);
	uses = uses_of(lab, opened);
	datapath_close(opened);
	return uses;
}

static bool can_be_called(const struct datapath *datapath, uint32_t program)
{
	uint32_t number;

	return bpf_map_lookup_elem(datapath->maps[MAP_programs6], &program, &number) == 0;
}

/* Only what is used is there; what is added later works on the same maps. */
static void test_programs(void **state)
{
	const uint32_t nat = USE_NAT | USE_ETHERNET;
	struct nsr_selection all = {0};
	struct lab *lab = lab_of(state);
	struct datapath *made = NULL;
	uint64_t cookie = own_cookie(lab), ended = 1;
	uint32_t added;

	assert_int_equal(datapath_open(&made, cookie, &small, &lab->err), 0);
	assert_int_equal(pinned_uses(lab), USE_PORTS);
	assert_int_equal(datapath_program_fd(made, DATAPATH_UPLINK_OUT), -1);
	assert_int_equal(datapath_flush(made, &all, &ended, &lab->err), 0);
	assert_int_equal(ended, 0);
	assert_int_equal(datapath_programs_add(made, cookie, nat, &added, &lab->err), 0);
	assert_int_equal(pinned_uses(lab), USE_PORTS | nat);
	assert_true(datapath_program_fd(made, DATAPATH_UPLINK_OUT) >= 0);
	assert_int_equal(datapath_program_fd(made, DATAPATH_BARE_OUT), -1);
	assert_false(can_be_called(made, NSR_PROGRAM6_OUT));
	assert_int_equal(datapath_programs_add(made, cookie, USE_IPV6, &added, &lab->err), 0);
	assert_int_equal(pinned_uses(lab), USE_PORTS | nat | USE_IPV6);
	assert_true(can_be_called(made, NSR_PROGRAM6_OUT));
	assert_false(can_be_called(made, NSR_PROGRAM6_BARE_OUT));
	assert_int_equal(datapath_programs_remove(made, cookie, added, &lab->err), 0);
	assert_int_equal(pinned_uses(lab), USE_PORTS | nat);
	assert_false(can_be_called(made, NSR_PROGRAM6_OUT));
	datapath_close(made);
	assert_int_equal(datapath_unpin(cookie, &lab->err), 0);
}

static bool pinned_lack(struct lab *lab)
{
	struct arena arena = {0};
	struct state_datapath seen;
	struct datapath *opened;

	assert_int_equal(datapath_open(&opened, own_cookie(lab), NULL, &lab->err), 0);
	assert_int_equal(datapath_snapshot(opened, &arena, &seen, &lab->err), 0);
	datapath_close(opened);
	arena_free(&arena);
	return seen.lacks_programs;
}

/* A pin that is gone: that is seen, it alone is loaded again, and it alone goes. */
static void test_lost_program(void **state)
{
	struct lab *lab = lab_of(state);
	const struct datapath_new fresh = {1, USE_PORTS | USE_NAT | USE_ETHERNET};
	struct datapath *made = NULL, *opened = NULL;
	uint64_t cookie = own_cookie(lab);
	char path[128];
	uint32_t added;

	assert_int_equal(datapath_open(&made, cookie, &fresh, &lab->err), 0);
	snprintf(path, sizeof(path), DATAPATH_PINS "/%llu/nsr_uplink_in",
		 (unsigned long long)cookie);
	assert_int_equal(unlink(path), 0);
	assert_true(pinned_lack(lab));
	assert_int_equal(datapath_open(&opened, cookie, NULL, &lab->err), 0);
	assert_int_equal(datapath_programs_add(opened, cookie, 0, &added, &lab->err), 0);
	assert_int_equal(pinned_uses(lab), fresh.uses);
	assert_false(pinned_lack(lab));
	assert_int_equal(added, 1u << DATAPATH_UPLINK_IN);
	assert_int_equal(datapath_programs_remove(opened, cookie, added, &lab->err), 0);
	assert_true(pinned_lack(lab));
	assert_int_equal(pinned_uses(lab), fresh.uses);
	datapath_close(opened);
	datapath_close(made);
	assert_int_equal(datapath_unpin(cookie, &lab->err), 0);
}

static void test_another_layout_is_refused(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath *made, *opened = NULL;
	uint64_t cookie = own_cookie(lab);
	struct nsr_settings settings;
	uint32_t zero = 0;
	int ret;

	assert_int_equal(datapath_open(&made, cookie, &small, &lab->err), 0);
	assert_int_equal(bpf_map_lookup_elem(made->maps[MAP_settings], &zero, &settings), 0);
	settings.layout_version++;
	assert_int_equal(bpf_map_update_elem(made->maps[MAP_settings], &zero, &settings, BPF_ANY),
			 0);
	ret = datapath_open(&opened, cookie, &small, &lab->err);
	assert_int_equal(datapath_unpin(cookie, &lab->err), 0);
	assert_int_equal(ret, -ENOTSUP);
	assert_null(opened);
	datapath_close(made);
}

/* A table that is missing is another layout too, though the number is ours; of programs only those
 * are there that something needs. */
static void test_missing_table_is_refused(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath *made, *opened = NULL;
	uint64_t cookie = own_cookie(lab);
	char path[2 * DATAPATH_PIN_MAX];
	char folder[DATAPATH_PIN_MAX];
	int ret;

	assert_int_equal(datapath_open(&made, cookie, &small, &lab->err), 0);
	datapath_folder(folder, cookie, "");
	snprintf(path, sizeof(path), "%s/%s", folder, datapath_map_name[MAP_shares]);
	assert_int_equal(unlink(path), 0);
	ret = datapath_open(&opened, cookie, &small, &lab->err);
	assert_int_equal(datapath_unpin(cookie, &lab->err), 0);
	assert_int_equal(ret, -ENOTSUP);
	assert_non_null(strstr(lab->err.message, "it has no table 'shares'"));
	assert_null(opened);
	datapath_close(made);
}

static void test_port_numbers(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_port port = lab_port(lab, RED);
	uint32_t first, second, again;

	assert_int_equal(datapath_port_set(lab->datapath, 9001, &port, &first, &lab->err), 0);
	assert_int_equal(datapath_port_set(lab->datapath, 9002, &port, &second, &lab->err), 0);
	assert_int_not_equal(first, second);
	port.flags = 0; /* a changed port keeps its number */
	assert_int_equal(datapath_port_set(lab->datapath, 9001, &port, &again, &lab->err), 0);
	assert_int_equal(again, first);
	/* The lowest free one is given out next. */
	assert_int_equal(datapath_port_delete(lab->datapath, 9001, &lab->err), 0);
	assert_int_equal(datapath_port_delete(lab->datapath, 9001, &lab->err), 0);
	assert_int_equal(datapath_port_set(lab->datapath, 9003, &port, &again, &lab->err), 0);
	assert_int_equal(again, first);
	assert_int_equal(datapath_port_delete(lab->datapath, 9002, &lab->err), 0);
	assert_int_equal(datapath_port_delete(lab->datapath, 9003, &lab->err), 0);
}

/* A new port begins with counters at 0, whoever had its number before. */
static void test_counters_of_a_new_port(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_port port = lab_port(lab, RED);
	struct frame f;

	FRAME(&f, .to = mac_blue, .from = mac_red, .source = RED_IP, .dest = BLUE_IP);
	EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
	memcpy(frame_eth(&f)->h_source, mac_stranger, 6);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_MAC));
	lab_port_set(lab, RED, &port);
	assert_int_equal(lab_port_counters(lab, RED).tx_packets, 2);
	assert_int_equal(datapath_port_delete(lab->datapath, lab->port[RED], &lab->err), 0);
	lab_port_set(lab, RED, &port);
	assert_int_equal(lab_port_counters(lab, RED).tx_packets, 0);
}

static void test_too_many_ports(void **state)
{
	enum { FIRST_IFINDEX = 100000 };
	struct lab *lab = lab_of(state);
	struct nsr_port port = lab_port(lab, RED);
	uint32_t i, room = NSR_PORTS_MAX - LAB_PORTS;

	for (i = 0; i < room; i++)
		assert_int_equal(
			datapath_port_set(lab->datapath, FIRST_IFINDEX + i, &port, NULL, &lab->err),
			0);
	assert_int_equal(
		datapath_port_set(lab->datapath, FIRST_IFINDEX + room, &port, NULL, &lab->err),
		-ENOSPC);
	for (i = 0; i < room; i++)
		assert_int_equal(datapath_port_delete(lab->datapath, FIRST_IFINDEX + i, &lab->err),
				 0);
}

/* The next port with the same number may not send from what the last one was given. */
static void test_sources_go_with_their_port(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_port port = lab_port(lab, RED);
	struct ip_address prefix = lab_ip("172.16.4.0/22"), other = lab_ip("fd00:99::/48");

	assert_int_equal(datapath_source_set(lab->datapath, 9999, &prefix, &lab->err), -ENOENT);
	port.flags |= NSR_PORT_MORE_SOURCES;
	lab_port_set(lab, RED, &port);
	lab_port_set(lab, BLUE, &port);
	assert_int_equal(datapath_source_set(lab->datapath, lab->port[RED], &prefix, &lab->err), 0);
	assert_int_equal(datapath_source_set(lab->datapath, lab->port[RED], &other, &lab->err), 0);
	assert_int_equal(datapath_source_set(lab->datapath, lab->port[BLUE], &prefix, &lab->err),
			 0);
	assert_int_equal(lab_entries(lab, MAP_sources), 3);
	assert_int_equal(datapath_port_delete(lab->datapath, lab->port[RED], &lab->err), 0);
	assert_int_equal(lab_entries(lab, MAP_sources), 1);
	assert_int_equal(datapath_source_delete(lab->datapath, lab->port[BLUE], &prefix, &lab->err),
			 0);
	assert_int_equal(datapath_source_delete(lab->datapath, lab->port[BLUE], &prefix, &lab->err),
			 0);
	assert_int_equal(lab_entries(lab, MAP_sources), 0);
}

static void test_endpoints_need_their_port(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint nowhere = {.ifindex = 9999};
	struct nsr_fdb_key key = {.network = 1};
	struct ip_address ip = lab_ip("192.168.15.200");
	const struct nsr_inside inside = NSR_INSIDE_DEFAULT;

	assert_int_equal(datapath_host_set(lab->datapath, &ip, &nowhere, &lab->err), -ENOENT);
	assert_int_equal(datapath_fdb_set(lab->datapath, &key, &nowhere, &lab->err), -ENOENT);
	assert_int_equal(datapath_inside_set(lab->datapath, &ip, 9999, &inside, NULL, 0, &lab->err),
			 -ENOENT);
	assert_int_equal(datapath_host_delete(lab->datapath, &ip, &lab->err), 0);
	assert_int_equal(datapath_fdb_delete(lab->datapath, &key, &lab->err), 0);
	assert_int_equal(datapath_inside_delete(lab->datapath, &ip, &lab->err), 0);
	assert_int_equal(datapath_inner_link_delete(lab->datapath, 9999, &lab->err), 0);
	assert_int_equal(datapath_uplink_delete(lab->datapath, 9999, &lab->err), 0);
}

static void test_too_many_uplinks(void **state)
{
	enum { FIRST_IFINDEX = 100000 };
	struct lab *lab = lab_of(state);
	struct nsr_uplink uplink = {.address4 = 1, .port_min = 1024, .port_max = 2000};
	uint32_t i, number, room = NSR_UPLINKS_MAX - LAB_UPLINKS;

	for (i = 0; i < room; i++) {
		assert_int_equal(datapath_uplink_set(lab->datapath, FIRST_IFINDEX + i, &uplink,
						     &number, &lab->err),
				 0);
		assert_int_equal(number, LAB_UPLINKS + i);
	}
	assert_int_equal(
		datapath_uplink_set(lab->datapath, FIRST_IFINDEX + room, &uplink, NULL, &lab->err),
		-ENOSPC);
	for (i = 0; i < room; i++)
		assert_int_equal(
			datapath_uplink_delete(lab->datapath, FIRST_IFINDEX + i, &lab->err), 0);
}

/* A prefix that is masqueraded no more ends its flows, and no others. */
static void test_inside_deleted(void **state)
{
	struct lab *lab = lab_of(state);
	struct ip_address prefix = lab_ip("192.168.15.0/24");
	struct frame red, green;

	FRAME(&red, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP);
	FRAME(&green, .to = mac_router, .from = mac_up0, .source = GREEN_IP, .dest = REMOTE_IP);
	EXPECT_OUT(lab, UP0, &red, TRANSLATED);
	EXPECT_OUT(lab, UP0, &green, TRANSLATED);
	assert_int_equal(datapath_inside_delete(lab->datapath, &prefix, &lab->err), 0);
	assert_int_equal(lab_active_sessions(lab), 1);
	EXPECT_OUT(lab, UP0, &green, TRANSLATED);
	EXPECT_OUT(lab, UP0, &red, PASSED);
}

/* An address that goes, or goes to another interface, ends its flows; one that stays keeps them. */
static void test_host_ends_its_flows(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint red = lab_endpoint(lab, RED), blue = lab_endpoint(lab, BLUE);
	struct ip_address ip = lab_ip(RED_IP);
	struct frame from_red, from_green;

	FRAME(&from_red, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP);
	FRAME(&from_green, .to = mac_router, .from = mac_up0, .source = GREEN_IP,
	      .dest = REMOTE_IP);
	EXPECT_OUT(lab, UP0, &from_red, TRANSLATED);
	EXPECT_OUT(lab, UP0, &from_green, TRANSLATED);
	red.mtu = 1400;
	lab_host_set(lab, RED_IP, &red);
	assert_int_equal(lab_active_sessions(lab), 2);
	lab_host_set(lab, RED_IP, &blue);
	assert_int_equal(lab_active_sessions(lab), 1);
	EXPECT_OUT(lab, UP0, &from_red, TRANSLATED);
	assert_int_equal(lab_active_sessions(lab), 2);
	assert_int_equal(datapath_host_delete(lab->datapath, &ip, &lab->err), 0);
	assert_int_equal(lab_active_sessions(lab), 1);
	EXPECT_OUT(lab, UP0, &from_green, TRANSLATED);
}

static void test_snapshot(void **state)
{
	struct lab *lab = lab_of(state);
	struct state_datapath seen;
	struct arena arena = {0};
	struct frame f;
	size_t i;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	FRAME(&f, .to = mac_blue, .from = mac_red, .source = BLUE_IP, .dest = BLUE_IP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	assert_int_equal(datapath_snapshot(lab->datapath, &arena, &seen, &lab->err), 0);
	assert_int_equal(seen.ports_count, LAB_PORTS);
	assert_int_equal(seen.endpoints_count, 3 * LAB_PORTS); /* IPv4, IPv6 and MAC of each */
	assert_int_equal(seen.uplinks_count, LAB_UPLINKS);
	assert_int_equal(seen.inside_count, 4);
	assert_int_equal(seen.inner_links_count, 3);
	for (i = 0; i < LAB_PORTS; i++) {
		if (seen.ports[i].ifindex != lab->port[RED])
			continue;
		assert_int_equal(seen.ports[i].counters.tx_packets, 1);
		assert_int_equal(seen.ports[i].drops.packets[NSR_DROP_SPOOFED_ADDRESS], 1);
	}
	for (i = 0; i < LAB_UPLINKS; i++) {
		if (seen.uplinks[i].uplink.ifindex != lab->uplink[UP0])
			continue;
		assert_int_equal(seen.uplinks[i].counters.tx_translated, 1);
		assert_int_equal(seen.uplinks[i].nat.sessions_created[NSR_NAT_UDP], 1);
	}
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_pinned),
		LAB_TEST(test_programs),
		LAB_TEST(test_lost_program),
		LAB_TEST(test_another_layout_is_refused),
		LAB_TEST(test_missing_table_is_refused),
		LAB_TEST(test_port_numbers),
		LAB_TEST(test_counters_of_a_new_port),
		LAB_TEST(test_too_many_ports),
		LAB_TEST(test_sources_go_with_their_port),
		LAB_TEST(test_endpoints_need_their_port),
		LAB_TEST(test_too_many_uplinks),
		LAB_TEST(test_inside_deleted),
		LAB_TEST(test_host_ends_its_flows),
		LAB_TEST(test_snapshot),
	};

	return LAB_MAIN(tests);
}
