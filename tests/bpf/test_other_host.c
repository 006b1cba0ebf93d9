/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Protocols without ports that the host itself speaks, or listens to: it goes first, whoever began.
 */
#include "portless.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <stdio.h>

#include "datapath_maps.h"
#include "datapath_trace.h"

#define ROUTER_IP "198.51.100.77"

static const uint8_t protocols[] = {IPPROTO_SCTP, IPPROTO_GRE, IPPROTO_ESP, IPPROTO_IPIP, 99};

/* ---- It sends. */

static void test_host_first(void **state)
{
	struct lab *lab = lab_of(state);
	size_t i;

	for (i = 0; i < sizeof(protocols); i++) {
		portless_host_sends(lab, REMOTE_IP, protocols[i]);
		portless_expect_passed(lab, REMOTE_IP, protocols[i]);
		portless_expect_refused(lab, RED_IP, REMOTE_IP, protocols[i], DROPPED(NAT_SOCKET));
		portless_expect_out(lab, RED_IP, REMOTE2_IP, protocols[i]);
		portless_expect_in(lab, REMOTE2_IP, protocols[i]);
	}
	lab_clock_offset(lab, NSR_HOST_REMOTE_S + 1); /* it has been silent */
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_GRE);
	portless_expect_in(lab, REMOTE_IP, IPPROTO_GRE);
}

/* It speaks now and then, and is remembered from the last time. */
static void test_host_again(void **state)
{
	struct lab *lab = lab_of(state);

	portless_host_sends(lab, REMOTE_IP, IPPROTO_GRE);
	lab_clock_offset(lab, 500);
	portless_host_sends(lab, REMOTE_IP, IPPROTO_GRE);
	lab_clock_offset(lab, 1090);
	portless_expect_refused(lab, RED_IP, REMOTE_IP, IPPROTO_GRE, DROPPED(NAT_SOCKET));
	lab_clock_offset(lab, 1101); /* 600 s */
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_GRE);
}

/* What IPsec makes of a namespace's packet is the host's, though it came by a port. */
static void test_host_tunnels(void **state)
{
	struct lab *lab = lab_of(state);

	lab->came_in = lab->port[GREEN];
	portless_host_sends(lab, REMOTE_IP, IPPROTO_ESP);
	lab->came_in = 0;
	portless_expect_refused(lab, RED_IP, REMOTE_IP, IPPROTO_ESP, DROPPED(NAT_SOCKET));
	portless_expect_passed(lab, REMOTE_IP, IPPROTO_ESP);
}

/* It begins while red speaks: from then on all is the host's. */
static void test_host_later(void **state)
{
	struct lab *lab = lab_of(state);

	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_GRE);
	portless_expect_in(lab, REMOTE_IP, IPPROTO_GRE);
	portless_host_sends(lab, REMOTE_IP, IPPROTO_GRE);
	portless_expect_passed(lab, REMOTE_IP, IPPROTO_GRE);
	portless_expect_refused(lab, RED_IP, REMOTE_IP, IPPROTO_GRE, DROPPED(NAT_SOCKET));
	lab_expect_no_flows(lab);
}

/* The host's SCTP refuses what it does not know; that makes no flow of its own. */
static void test_host_refuses(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	portless_leaves(&f, UPLINK_IP, REMOTE_IP, IPPROTO_SCTP);
	portless_set_chunk(&f, SCTP_ABORT);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_SCTP);
	portless_set_chunk(&f, SCTP_INIT);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	portless_expect_refused(lab, RED_IP, REMOTE_IP, IPPROTO_SCTP, DROPPED(NAT_SOCKET));
}

/* From another address of the host's nothing comes back to the external one. */
static void test_hosts_other_address(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	portless_leaves(&f, "10.9.0.1", REMOTE_IP, IPPROTO_GRE);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_GRE);
}

/* ---- It listens, and sends nothing. */

static void test_hears_first(void **state)
{
	struct lab *lab = lab_of(state);
	size_t i;

	for (i = 0; i < sizeof(protocols); i++) {
		portless_expect_passed(lab, REMOTE_IP, protocols[i]);
		portless_expect_refused(lab, RED_IP, REMOTE_IP, protocols[i], DROPPED(NAT_SOCKET));
		portless_expect_passed(lab, REMOTE_IP, protocols[i]);
		portless_expect_out(lab, RED_IP, REMOTE2_IP, protocols[i]);
		portless_expect_in(lab, REMOTE2_IP, protocols[i]);
	}
	/* It counts from the last that came. */
	lab_clock_offset(lab, 500);
	portless_expect_passed(lab, REMOTE_IP, IPPROTO_GRE);
	lab_clock_offset(lab, 1090);
	portless_expect_refused(lab, RED_IP, REMOTE_IP, IPPROTO_GRE, DROPPED(NAT_SOCKET));
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_ESP);
	lab_clock_offset(lab, 1101);
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_GRE);
	portless_expect_in(lab, REMOTE_IP, IPPROTO_GRE);
}

/* What has a session is not the host's, so nothing of it keeps the session's host out. */
static void test_hears_later(void **state)
{
	struct lab *lab = lab_of(state);

	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_GRE);
	portless_expect_in(lab, REMOTE_IP, IPPROTO_GRE);
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_GRE);
	assert_int_equal(lab_entries(lab, MAP_host_hears), 0);
	lab_expect_no_flows(lab);
}

/* Protocols that nobody inside can have, and ends of SCTP, are nothing to remember. */
static void test_hears_nothing(void **state)
{
	static const uint8_t refused[] = {IPPROTO_AH, IPPROTO_DCCP, IPPROTO_UDPLITE, 139};
	static const uint8_t ends[] = {SCTP_ABORT, SCTP_SHUTDOWN_COMPLETE};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(refused); i++)
		portless_expect_passed(lab, REMOTE_IP, refused[i]);
	for (i = 0; i < sizeof(ends); i++) {
		portless_arrives(&f, REMOTE_IP, IPPROTO_SCTP);
		portless_set_chunk(&f, ends[i]);
		EXPECT_IN(lab, UP0, &f, PASSED);
	}
	assert_int_equal(lab_entries(lab, MAP_host_hears), 0);
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_SCTP);
}

/* The host's error about what it was sent. */
static void expect_tells(struct lab *lab, uint8_t type, uint8_t code, uint8_t protocol)
{
	struct frame f, about;

	portless_arrives(&about, REMOTE_IP, protocol);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = type, .icmp_code = code, .quoted = &about);
	EXPECT_OUT(lab, UP0, &f, PASSED);
}

/* Nobody listens, and the kernel says so: then the inside has it, though the remote goes on. */
static void test_refuses(void **state)
{
	static const uint8_t codes[] = {2, 3}; /* no such protocol; nobody who wants it */
	struct lab *lab = lab_of(state);
	size_t i;

	for (i = 0; i < 2; i++) {
		portless_expect_passed(lab, REMOTE_IP, protocols[i]);
		expect_tells(lab, FRAME_TIME_EXCEEDED, codes[i], protocols[i]);
		expect_tells(lab, FRAME_UNREACHABLE, 13, protocols[i]);
		portless_expect_refused(lab, RED_IP, REMOTE_IP, protocols[i], DROPPED(NAT_SOCKET));
		expect_tells(lab, FRAME_UNREACHABLE, codes[i], protocols[i]);
		portless_expect_passed(lab, REMOTE_IP, protocols[i]);
		portless_expect_out(lab, RED_IP, REMOTE_IP, protocols[i]);
		portless_expect_in(lab, REMOTE_IP, protocols[i]);
	}
	/* What it sends itself is its own in any case. */
	portless_host_sends(lab, REMOTE_IP, protocols[0]);
	portless_expect_refused(lab, RED_IP, REMOTE_IP, protocols[0], DROPPED(NAT_SOCKET));
	/* A refusal is forgotten, as all is. */
	lab_expect_no_flows(lab);
	lab_clock_offset(lab, 601);
	portless_expect_passed(lab, REMOTE_IP, protocols[1]);
	portless_expect_refused(lab, RED_IP, REMOTE_IP, protocols[1], DROPPED(NAT_SOCKET));
}

/* Its SCTP refuses by a packet of SCTP. */
static void test_refuses_association(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	portless_expect_passed(lab, REMOTE_IP, IPPROTO_SCTP);
	portless_leaves(&f, UPLINK_IP, REMOTE_IP, IPPROTO_SCTP);
	portless_set_chunk(&f, SCTP_ABORT);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_SCTP);
	portless_expect_in(lab, REMOTE_IP, IPPROTO_SCTP);
}

/* An error about another's packet, or from elsewhere, is no word of the host's. */
static void test_refuses_nothing(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about;

	portless_expect_passed(lab, REMOTE_IP, IPPROTO_GRE);
	portless_leaves(&about, REMOTE_IP, ROUTER_IP, IPPROTO_GRE);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .icmp_code = 2,
	      .quoted = &about);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	expect_tells(lab, FRAME_UNREACHABLE, 2, IPPROTO_ESP);
	portless_expect_refused(lab, RED_IP, REMOTE_IP, IPPROTO_GRE, DROPPED(NAT_SOCKET));
	/* From a port: some namespace says so, in the external address's name. */
	lab->came_in = lab->port[GREEN];
	portless_arrives(&about, REMOTE_IP, IPPROTO_GRE);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .icmp_code = 2,
	      .quoted = &about);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	lab->came_in = 0;
	portless_expect_refused(lab, RED_IP, REMOTE_IP, IPPROTO_GRE, DROPPED(NAT_SOCKET));
}

/* Whoever forges what the host gets does not make it forget what it sends. */
static void test_forged(void **state)
{
	struct lab *lab = lab_of(state);
	char remote[INET_ADDRSTRLEN];
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info), i;
	struct frame f;

	portless_host_sends(lab, REMOTE_IP, IPPROTO_GRE);
	for (i = 0; i <= 3 * NSR_HOST_REMOTES_MAX; i++) { /* the last makes room for many */
		snprintf(remote, sizeof(remote), "203.0.%u.%u", 120 + i / 256, i % 256);
		portless_arrives(&f, remote, IPPROTO_GRE);
		lab_run(lab, DATAPATH_UPLINK_IN, lab->uplink[UP0], &f, NULL);
	}
	assert_int_equal(bpf_obj_get_info_by_fd(lab->datapath->maps[MAP_host_hears], &info, &size),
			 0);
	assert_in_range(lab_entries(lab, MAP_host_hears), NSR_HOST_REMOTES_MAX, info.max_entries);
	portless_expect_refused(lab, RED_IP, REMOTE_IP, IPPROTO_GRE, DROPPED(NAT_SOCKET));
}

/* An uplink that is taken away takes with it what is known of its number. */
static void test_other_uplink(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_uplink uplink = {0};
	struct frame f;

	portless_host_sends(lab, REMOTE_IP, IPPROTO_GRE);
	portless_expect_passed(lab, REMOTE_IP, IPPROTO_ESP);
	portless_leaves(&f, UPLINK2_IP, REMOTE_IP, IPPROTO_GRE);
	EXPECT_OUT(lab, UP1, &f, PASSED);
	assert_true(datapath_find_uplink(lab->datapath, lab->uplink[UP0], &uplink));
	assert_int_equal(datapath_uplink_delete(lab->datapath, lab->uplink[UP0], &lab->err), 0);
	assert_int_equal(datapath_uplink_set(lab->datapath, lab->uplink[UP0], &uplink,
					     &lab->uplink_number[UP0], &lab->err),
			 0);
	assert_int_equal(lab_entries(lab, MAP_host_hears), 0);
	assert_int_equal(lab_entries(lab, MAP_host_remotes), 1); /* UP1's */
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_GRE);
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_ESP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_host_first),
		LAB_TEST(test_host_again),
		LAB_TEST(test_host_tunnels),
		LAB_TEST(test_host_later),
		LAB_TEST(test_host_refuses),
		LAB_TEST(test_hosts_other_address),
		LAB_TEST(test_hears_first),
		LAB_TEST(test_hears_later),
		LAB_TEST(test_hears_nothing),
		LAB_TEST(test_refuses),
		LAB_TEST(test_refuses_association),
		LAB_TEST(test_refuses_nothing),
		LAB_TEST(test_forged),
		LAB_TEST(test_other_uplink),
	};

	return LAB_MAIN(tests);
}
