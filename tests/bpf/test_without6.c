/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * IPv6 where the programs that take it over are not there, or not yet: what is the host's own
 * passes untouched, of whatever kind it is, and what is inside does not leave. Each entry of
 * "programs6" is removed by itself, so that none makes good for another.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <string.h>

#include "datapath_maps.h"

#define OTHER_IP6 "2001:db8:1::77" /* another address of the host's */
#define LINK_IP6  "fe80::2"

/* Which of the entries is not there. */
static const uint32_t entries[] = {NSR_PROGRAM6_OUT, NSR_PROGRAM6_IN, NSR_PROGRAM6_HAIRPIN};
static const unsigned int programs[] = {DATAPATH_UPLINK_OUT6, DATAPATH_UPLINK_IN6,
					DATAPATH_HAIRPIN6};

static void set_entries(struct lab *lab, bool there)
{
	int map = lab->datapath->maps[MAP_programs6];
	size_t i;

	for (i = 0; i < sizeof(entries) / sizeof(*entries); i++) {
		if (there)
			assert_int_equal(bpf_map_update_elem(map, &entries[i],
							     &lab->datapath->programs[programs[i]],
							     0),
					 0);
		else
			assert_int_equal(bpf_map_delete_elem(map, &entries[i]), 0);
	}
}

static struct lab *lab_without(void **state)
{
	struct lab *lab = lab_of(state);

	set_entries(lab, false);
	return lab;
}

/* Also of a test that has failed. */
static int tear_down(void **state)
{
	if (*state)
		set_entries(*state, true);
	return 0;
}

static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, FRAME_ICMPV6, IPPROTO_ESP, 47, 132};
static const uint8_t types[] = {FRAME6_ECHO_REQUEST,
				FRAME6_ECHO_REPLY,
				FRAME6_UNREACHABLE,
				FRAME6_TOO_BIG,
				133,
				135,
				136,
				143};

/* All that a host may say: each protocol, in pieces and behind extension headers. */
static void out(struct lab *lab, const char *source, const char *dest, int outcome)
{
	struct frame f, about;
	size_t i;

	for (i = 0; i < sizeof(protocols); i++) {
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = source, .dest = dest,
		      .protocol = protocols[i], .sport = 4321, .dport = 80, .tcp_flags = FRAME_SYN,
		      .icmp_type = FRAME6_ECHO_REQUEST, .payload = 40);
		EXPECT_OUT(lab, UP0, &f, outcome);
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = source, .dest = dest,
		      .protocol = protocols[i], .sport = 4321, .dport = 80, .tcp_flags = FRAME_ACK,
		      .icmp_type = FRAME6_ECHO_REPLY, .payload = 40, .extended = true,
		      .extension = IPPROTO_FRAGMENT, .extension_data = {0, 1, 0, 0, 0, 7});
		EXPECT_OUT(lab, UP0, &f, outcome);
	}
	FRAME(&about, .to = mac_up0, .from = mac_router, .source = dest, .dest = source,
	      .sport = 80, .dport = 4321);
	for (i = 0; i < sizeof(types); i++) {
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = source, .dest = dest,
		      .protocol = FRAME_ICMPV6, .icmp_type = types[i], .quoted = &about);
		EXPECT_OUT(lab, UP0, &f, outcome);
	}
}

static void in(struct lab *lab, const char *source, const char *dest, int outcome)
{
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(protocols); i++) {
		FRAME(&f, .to = mac_up0, .from = mac_router, .source = source, .dest = dest,
		      .protocol = protocols[i], .sport = 80, .dport = 4321, .tcp_flags = FRAME_SYN,
		      .icmp_type = FRAME6_ECHO_REPLY, .payload = 40);
		EXPECT_IN(lab, UP0, &f, outcome);
		FRAME(&f, .to = mac_up0, .from = mac_router, .source = source, .dest = dest,
		      .protocol = protocols[i], .sport = 80, .dport = 4321, .tcp_flags = FRAME_ACK,
		      .icmp_type = FRAME6_ECHO_REQUEST, .payload = 40, .extended = true,
		      .extension = IPPROTO_FRAGMENT, .extension_data = {0, 81, 0, 0, 0, 7});
		EXPECT_IN(lab, UP0, &f, outcome);
	}
	for (i = 0; i < sizeof(types); i++) {
		FRAME(&f, .to = mac_up0, .from = mac_router, .source = source, .dest = dest,
		      .protocol = FRAME_ICMPV6, .icmp_type = types[i], .payload = 24);
		EXPECT_IN(lab, UP0, &f, outcome);
	}
}

static void test_out(void **state)
{
	struct lab *lab = lab_without(state);

	out(lab, UPLINK_IP6, REMOTE_IP6, PASSED);
	out(lab, OTHER_IP6, REMOTE_IP6, PASSED);
	out(lab, LINK_IP6, "fe80::1", PASSED);
	out(lab, LINK_IP6, "ff02::1:ff00:1", PASSED);
	out(lab, RED_IP6, REMOTE_IP6, DROPPED(NAT_PROTOCOL));
}

/* A mapping that there is from before takes nothing from the host either. */
static void test_out_of_a_mapped_port(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP6, .dest = REMOTE_IP6,
	      .sport = 4321, .dport = 80);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	set_entries(lab, false);
	out(lab, UPLINK_IP6, REMOTE_IP6, PASSED);
	in(lab, REMOTE_IP6, UPLINK_IP6, PASSED);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PROTOCOL));
}

static void test_in(void **state)
{
	struct lab *lab = lab_without(state);
	struct nsr_inside inside = NSR_INSIDE_DEFAULT;

	in(lab, REMOTE_IP6, UPLINK_IP6, PASSED);
	in(lab, REMOTE_IP6, OTHER_IP6, PASSED);
	in(lab, "fe80::1", LINK_IP6, PASSED);
	in(lab, "fe80::1", "ff02::1", PASSED);
	in(lab, RED_IP6, OTHER_IP6, DROPPED(SPOOFED_ADDRESS));
	in(lab, REMOTE_IP6, RED_IP6, DROPPED(INBOUND));
	inside.inbound = 1;
	lab_inside_set(lab, "fd00:15::/64", UP0, &inside);
	in(lab, REMOTE_IP6, RED_IP6, DROPPED(INBOUND));
	out(lab, RED_IP6, REMOTE_IP6, DROPPED(NAT_PROTOCOL));
}

/* What a namespace sends to the host: to the external address it might be for a namespace. */
static void test_from_a_namespace(void **state)
{
	struct lab *lab = lab_without(state);
	struct frame f;

	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP6, .dest = UPLINK_IP6,
	      .sport = 4321, .dport = 80);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(NAT_HAIRPIN));
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP6, .dest = "fd00:15::1",
	      .sport = 4321, .dport = 80);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

#define WITHOUT_TEST(name) cmocka_unit_test_setup_teardown(name, lab_set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITHOUT_TEST(test_out),
		WITHOUT_TEST(test_out_of_a_mapped_port),
		WITHOUT_TEST(test_in),
		WITHOUT_TEST(test_from_a_namespace),
	};

	return LAB_MAIN(tests);
}
