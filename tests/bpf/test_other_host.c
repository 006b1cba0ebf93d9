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

/* ---- It sends. */

static void test_host_first(void **state)
{
	struct lab *lab = lab_of(state);
	size_t i;

	for (i = 0; i < sizeof(family->protocols); i++) {
		portless_host_sends(lab, family->remote, family->protocols[i]);
		portless_expect_passed(lab, family->remote, family->protocols[i]);
		portless_expect_refused(lab, family->red, family->remote, family->protocols[i],
					DROPPED(NAT_SOCKET));
		portless_expect_out(lab, family->red, family->remote2, family->protocols[i]);
		portless_expect_in(lab, family->remote2, family->protocols[i]);
	}
	lab_clock_offset(lab, NSR_HOST_REMOTE_S + 1); /* it has been silent */
	portless_expect_out(lab, family->red, family->remote, IPPROTO_GRE);
	portless_expect_in(lab, family->remote, IPPROTO_GRE);
}

/* It speaks now and then, and is remembered from the last time. */
static void test_host_again(void **state)
{
	struct lab *lab = lab_of(state);

	portless_host_sends(lab, family->remote, IPPROTO_GRE);
	lab_clock_offset(lab, 500);
	portless_host_sends(lab, family->remote, IPPROTO_GRE);
	lab_clock_offset(lab, 1090);
	portless_expect_refused(lab, family->red, family->remote, IPPROTO_GRE, DROPPED(NAT_SOCKET));
	lab_clock_offset(lab, 1101); /* 600 s */
	portless_expect_out(lab, family->red, family->remote, IPPROTO_GRE);
}

/* What IPsec makes of a namespace's packet is the host's, though it came by a port. */
static void test_host_tunnels(void **state)
{
	struct lab *lab = lab_of(state);

	lab->came_in = lab->port[GREEN];
	portless_host_sends(lab, family->remote, IPPROTO_ESP);
	lab->came_in = 0;
	portless_expect_refused(lab, family->red, family->remote, IPPROTO_ESP, DROPPED(NAT_SOCKET));
	portless_expect_passed(lab, family->remote, IPPROTO_ESP);
}

/* It begins while red speaks: from then on all is the host's. */
static void test_host_later(void **state)
{
	struct lab *lab = lab_of(state);

	portless_expect_out(lab, family->red, family->remote, IPPROTO_GRE);
	portless_expect_in(lab, family->remote, IPPROTO_GRE);
	portless_host_sends(lab, family->remote, IPPROTO_GRE);
	portless_expect_passed(lab, family->remote, IPPROTO_GRE);
	portless_expect_refused(lab, family->red, family->remote, IPPROTO_GRE, DROPPED(NAT_SOCKET));
	lab_expect_no_flows(lab);
}

/* The host's SCTP refuses what it does not know; that makes no flow of its own. */
static void test_host_refuses(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	portless_leaves(&f, family->external, family->remote, IPPROTO_SCTP);
	portless_set_chunk(&f, SCTP_ABORT);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	portless_expect_out(lab, family->red, family->remote, IPPROTO_SCTP);
	portless_set_chunk(&f, SCTP_INIT);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	portless_expect_refused(lab, family->red, family->remote, IPPROTO_SCTP,
				DROPPED(NAT_SOCKET));
}

/* From another address of the host's nothing comes back to the external one. */
static void test_hosts_other_address(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	portless_leaves(&f, family->hosts_other, family->remote, IPPROTO_GRE);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	portless_expect_out(lab, family->red, family->remote, IPPROTO_GRE);
}

/* ---- It listens, and sends nothing. */

static void test_hears_first(void **state)
{
	struct lab *lab = lab_of(state);
	size_t i;

	for (i = 0; i < sizeof(family->protocols); i++) {
		portless_expect_passed(lab, family->remote, family->protocols[i]);
		portless_expect_refused(lab, family->red, family->remote, family->protocols[i],
					DROPPED(NAT_SOCKET));
		portless_expect_passed(lab, family->remote, family->protocols[i]);
		portless_expect_out(lab, family->red, family->remote2, family->protocols[i]);
		portless_expect_in(lab, family->remote2, family->protocols[i]);
	}
	/* It counts from the last that came. */
	lab_clock_offset(lab, 500);
	portless_expect_passed(lab, family->remote, IPPROTO_GRE);
	lab_clock_offset(lab, 1090);
	portless_expect_refused(lab, family->red, family->remote, IPPROTO_GRE, DROPPED(NAT_SOCKET));
	portless_expect_out(lab, family->red, family->remote, IPPROTO_ESP);
	lab_clock_offset(lab, 1101);
	portless_expect_out(lab, family->red, family->remote, IPPROTO_GRE);
	portless_expect_in(lab, family->remote, IPPROTO_GRE);
}

/* What has a session is not the host's, so nothing of it keeps the session's host out. */
static void test_hears_later(void **state)
{
	struct lab *lab = lab_of(state);

	portless_expect_out(lab, family->red, family->remote, IPPROTO_GRE);
	portless_expect_in(lab, family->remote, IPPROTO_GRE);
	portless_expect_out(lab, family->red, family->remote, IPPROTO_GRE);
	assert_int_equal(lab_entries(lab, family->host_hears), 0);
	lab_expect_no_flows(lab);
}

/* Protocols that nobody inside can have, and ends of SCTP, are nothing to remember. */
static void test_hears_nothing(void **state)
{
	static const uint8_t ends[] = {SCTP_ABORT, SCTP_SHUTDOWN_COMPLETE};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; family->refused[i]; i++)
		portless_expect_passed(lab, family->remote, family->refused[i]);
	for (i = 0; i < sizeof(ends); i++) {
		portless_arrives(&f, family->remote, IPPROTO_SCTP);
		portless_set_chunk(&f, ends[i]);
		EXPECT_IN(lab, UP0, &f, PASSED);
	}
	assert_int_equal(lab_entries(lab, family->host_hears), 0);
	portless_expect_out(lab, family->red, family->remote, IPPROTO_SCTP);
}

/* The host's error about what it was sent. */
static void expect_tells(struct lab *lab, uint8_t type, uint8_t code, uint8_t protocol)
{
	struct frame f, about;

	portless_arrives(&about, family->remote, protocol);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = family->external,
	      .dest = family->remote, .protocol = family->icmp, .icmp_type = type,
	      .icmp_code = code, .quoted = &about);
	EXPECT_OUT(lab, UP0, &f, PASSED);
}

/* Nobody listens, and the kernel says so: then the inside has it, though the remote goes on. */
static void test_refuses(void **state)
{
	bool is_ipv6 = family->icmp == FRAME_ICMPV6;
	struct lab *lab = lab_of(state);
	size_t i;

	for (i = 0; i < 2; i++) {
		portless_expect_passed(lab, family->remote, family->protocols[i]);
		expect_tells(lab, is_ipv6 ? FRAME6_TIME_EXCEEDED : FRAME_TIME_EXCEEDED,
			     family->refusals[i].code, family->protocols[i]);
		expect_tells(lab, is_ipv6 ? FRAME6_UNREACHABLE : FRAME_UNREACHABLE,
			     is_ipv6 ? 1 : 13, family->protocols[i]); /* prohibited */
		portless_expect_refused(lab, family->red, family->remote, family->protocols[i],
					DROPPED(NAT_SOCKET));
		expect_tells(lab, family->refusals[i].type, family->refusals[i].code,
			     family->protocols[i]);
		portless_expect_passed(lab, family->remote, family->protocols[i]);
		portless_expect_out(lab, family->red, family->remote, family->protocols[i]);
		portless_expect_in(lab, family->remote, family->protocols[i]);
	}
	/* What it sends itself is its own in any case. */
	portless_host_sends(lab, family->remote, family->protocols[0]);
	portless_expect_refused(lab, family->red, family->remote, family->protocols[0],
				DROPPED(NAT_SOCKET));
	/* A refusal is forgotten, as all is. */
	lab_expect_no_flows(lab);
	lab_clock_offset(lab, 601);
	portless_expect_passed(lab, family->remote, family->protocols[1]);
	portless_expect_refused(lab, family->red, family->remote, family->protocols[1],
				DROPPED(NAT_SOCKET));
}

/* Its SCTP refuses by a packet of SCTP. */
static void test_refuses_association(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	portless_expect_passed(lab, family->remote, IPPROTO_SCTP);
	portless_leaves(&f, family->external, family->remote, IPPROTO_SCTP);
	portless_set_chunk(&f, SCTP_ABORT);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	portless_expect_out(lab, family->red, family->remote, IPPROTO_SCTP);
	portless_expect_in(lab, family->remote, IPPROTO_SCTP);
}

/* An error about another's packet, or from elsewhere, is no word of the host's. */
static void test_refuses_nothing(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about;

	portless_expect_passed(lab, family->remote, IPPROTO_GRE);
	portless_leaves(&about, family->remote, family->router, IPPROTO_GRE);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = family->external,
	      .dest = family->remote, .protocol = family->icmp,
	      .icmp_type = family->refusals[0].type, .icmp_code = family->refusals[0].code,
	      .quoted = &about);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	expect_tells(lab, family->refusals[0].type, family->refusals[0].code, IPPROTO_ESP);
	portless_expect_refused(lab, family->red, family->remote, IPPROTO_GRE, DROPPED(NAT_SOCKET));
	/* From a port: some namespace says so, in the external address's name. */
	lab->came_in = lab->port[GREEN];
	portless_arrives(&about, family->remote, IPPROTO_GRE);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = family->external,
	      .dest = family->remote, .protocol = family->icmp,
	      .icmp_type = family->refusals[0].type, .icmp_code = family->refusals[0].code,
	      .quoted = &about);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	lab->came_in = 0;
	portless_expect_refused(lab, family->red, family->remote, IPPROTO_GRE, DROPPED(NAT_SOCKET));
}

/* Whoever forges what the host gets does not make it forget what it sends. */
static void test_forged(void **state)
{
	struct lab *lab = lab_of(state);
	char remote[INET6_ADDRSTRLEN];
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info), i;
	struct frame f;

	portless_host_sends(lab, family->remote, IPPROTO_GRE);
	for (i = 0; i <= 3 * NSR_HOST_REMOTES_MAX; i++) { /* the last makes room for many */
		if (family->icmp == FRAME_ICMPV6)
			snprintf(remote, sizeof(remote), "2001:db8:5::%x", 1 + i);
		else
			snprintf(remote, sizeof(remote), "203.0.%u.%u", 120 + i / 256, i % 256);
		portless_arrives(&f, remote, IPPROTO_GRE);
		lab_run(lab, DATAPATH_UPLINK_IN, lab->uplink[UP0], &f, NULL);
	}
	assert_int_equal(
		bpf_obj_get_info_by_fd(lab->datapath->maps[family->host_hears], &info, &size), 0);
	assert_in_range(lab_entries(lab, family->host_hears), NSR_HOST_REMOTES_MAX,
			info.max_entries);
	portless_expect_refused(lab, family->red, family->remote, IPPROTO_GRE, DROPPED(NAT_SOCKET));
}

/* While anything points to a number nobody gets it. */
static void all_leave_by(struct lab *lab, enum lab_uplink which)
{
	lab_inside_set(lab, "192.168.15.0/24", which, NULL);
	lab_inside_set(lab, "192.168.16.0/24", which, NULL);
	lab_inside_set(lab, "fd00:15::/64", which, NULL);
	for (unsigned int i = 0; i < LAB_PORTS; i++) {
		struct nsr_port port = lab_port(lab, i);

		if (port.uplink)
			port.uplink = (uint16_t)(1 + lab->uplink_number[which]);
		lab_port_set(lab, i, &port);
	}
}

/* An uplink that is taken away takes with it what is known of its number. */
static void test_other_uplink(void **state)
{
	struct lab *lab = lab_of(state);
	const uint32_t number = lab->uplink_number[UP0];
	struct nsr_uplink uplink = {0};
	struct frame f;

	portless_host_sends(lab, family->remote, IPPROTO_GRE);
	portless_expect_passed(lab, family->remote, IPPROTO_ESP);
	if (family->external2) {
		portless_leaves(&f, family->external2, family->remote, IPPROTO_GRE);
		EXPECT_OUT(lab, UP1, &f, PASSED);
	}
	assert_true(datapath_find_uplink(lab->datapath, lab->uplink[UP0], &uplink));
	assert_int_equal(datapath_uplink_delete(lab->datapath, lab->uplink[UP0], &lab->err), 0);
	assert_int_equal(datapath_uplink_set(lab->datapath, lab->uplink[UP0], &uplink,
					     &lab->uplink_number[UP0], &lab->err),
			 0);
	assert_int_not_equal(lab->uplink_number[UP0], number);
	all_leave_by(lab, UP1);
	assert_int_equal(datapath_uplink_delete(lab->datapath, lab->uplink[UP0], &lab->err), 0);
	assert_int_equal(datapath_uplink_set(lab->datapath, lab->uplink[UP0], &uplink,
					     &lab->uplink_number[UP0], &lab->err),
			 0);
	assert_int_equal(lab->uplink_number[UP0], number);
	all_leave_by(lab, UP0);
	assert_int_equal(lab_entries(lab, family->host_hears), 0);
	assert_int_equal(lab_entries(lab, family->host_remotes), !!family->external2);
	portless_expect_out(lab, family->red, family->remote, IPPROTO_GRE);
	portless_expect_out(lab, family->red, family->remote, IPPROTO_ESP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PORTLESS_TEST(test_host_first),
		PORTLESS_TEST(test_host_again),
		PORTLESS_TEST(test_host_tunnels),
		PORTLESS_TEST(test_host_later),
		PORTLESS_TEST(test_host_refuses),
		PORTLESS_TEST(test_hosts_other_address),
		PORTLESS_TEST(test_hears_first),
		PORTLESS_TEST(test_hears_later),
		PORTLESS_TEST(test_hears_nothing),
		PORTLESS_TEST(test_refuses),
		PORTLESS_TEST(test_refuses_association),
		PORTLESS_TEST(test_refuses_nothing),
		PORTLESS_TEST(test_forged),
		PORTLESS_TEST(test_other_uplink),
	};

	return LAB_MAIN(tests);
}
