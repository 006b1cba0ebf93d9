/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ports that the host wants handed out to nobody: they are set aside in the pools of TCP and UDP,
 * in both families, while flows go on, and given back.
 */
#include "lab.h"

#include <netinet/in.h>
#include <string.h>

#include "arena.h"
#include "datapath_maps.h"
#include "datapath_publish.h"
#include "datapath_reserve.h"

#define OWN_NETNS (-1) /* the test is in the lab's namespace */

static void set_aside(struct lab *lab, const char *text)
{
	struct port_set set = {0};

	port_set_read(&set, text);
	if (datapath_set_aside(lab->datapath, &set, &lab->err))
		fail_msg("%s", lab->err.message);
}

/* What cools down has done so, and what is reserved no more is given back: it takes the clock some
 * seconds. */
static void pass(struct lab *lab, bool ipv6)
{
	if (datapath_flush_ports(lab->datapath, ipv6, lab->uplink_number[UP0], &lab->err))
		fail_msg("%s", lab->err.message);
}

static uint16_t out_to(struct lab *lab, const char *remote, const char *inside, uint8_t protocol,
		       uint16_t sport)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = inside, .dest = remote,
	      .protocol = protocol, .sport = sport, .dport = 80,
	      .tcp_flags = protocol == IPPROTO_TCP ? FRAME_SYN : 0);
	return frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
}

static uint16_t out(struct lab *lab, const char *inside, uint8_t protocol, uint16_t sport)
{
	return out_to(lab, strchr(inside, ':') ? REMOTE_IP6 : REMOTE_IP, inside, protocol, sport);
}

static void end_flows(struct lab *lab)
{
	set_aside(lab, "");
	lab_expect_no_flows(lab);
	pass(lab, false);
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_TCP), 0);
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_UDP), 0);
	assert_int_equal(lab_nat(lab, UP0).ports_used[NSR_NAT_TCP], 0);
	assert_int_equal(lab_nat(lab, UP0).ports_used[NSR_NAT_UDP], 0);
}

static void test_not_handed_out(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	set_aside(lab, "80,5000-5001,40000");
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_TCP), 3); /* 80 is none of its own */
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_UDP), 3);
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_ICMP), 0);
	assert_int_not_equal(out(lab, RED_IP, IPPROTO_UDP, 5000), 5000);
	assert_int_not_equal(out(lab, RED_IP, IPPROTO_TCP, 40000), 40000);
	assert_int_not_equal(out(lab, RED_IP, IPPROTO_TCP, 80), 80);
	assert_int_equal(out(lab, RED_IP, IPPROTO_UDP, 5002), 5002);
	assert_int_equal(lab_nat(lab, UP0).ports_used[NSR_NAT_UDP], 2);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = 8, .sport = 5000);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	/* What is said again changes nothing. */
	set_aside(lab, "80,5000-5001,40000");
	pass(lab, false);
	assert_int_not_equal(out(lab, BLUE_IP, IPPROTO_UDP, 5001), 5001);
	end_flows(lab);
	assert_int_equal(out(lab, BLUE_IP, IPPROTO_UDP, 5001), 5001);
	assert_int_not_equal(out(lab, BLUE_IP, IPPROTO_TCP, 80), 80);
	end_flows(lab);
}

/* A flow that has the port keeps it, and so does its endpoint as long as it has any; then it is set
 * aside in place of being given back. */
static void test_flow_keeps_its_port(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	assert_int_equal(out(lab, RED_IP, IPPROTO_UDP, 6000), 6000);
	set_aside(lab, "6000-6001");
	assert_int_equal(out(lab, RED_IP, IPPROTO_UDP, 6000), 6000);
	assert_int_equal(out_to(lab, REMOTE2_IP, RED_IP, IPPROTO_UDP, 6000), 6000);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .sport = 80, .dport = 6000);
	assert_int_equal(EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER)->delivered, RED);
	lab_expect_no_flows(lab);
	assert_int_equal(lab_share(lab, RED).ports[NSR_NAT_UDP], 1); /* it cools down */
	pass(lab, false);
	assert_int_equal(lab_share(lab, RED).ports[NSR_NAT_UDP], 0);
	assert_int_equal(lab_nat(lab, UP0).ports_used[NSR_NAT_UDP], 0);
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_UDP), 2);
	assert_int_not_equal(out(lab, BLUE_IP, IPPROTO_UDP, 6000), 6000);
	EXPECT_IN(lab, UP0, &f, PASSED);
	/* Given back while a flow has it. */
	assert_int_equal(out(lab, RED_IP, IPPROTO_UDP, 7000), 7000);
	set_aside(lab, "7000");
	set_aside(lab, "");
	assert_int_equal(out(lab, RED_IP, IPPROTO_UDP, 7000), 7000);
	assert_int_not_equal(out(lab, BLUE_IP, IPPROTO_UDP, 7000), 7000);
	end_flows(lab);
}

/* The port of the first of a range of them is published; it is nobody's again afterwards. */
static void test_published(void **state)
{
	const struct published_ports dns = {5353, 53, 1, NSR_NAT_UDP};
	const struct ip_address red = lab_ip(RED_IP);
	struct lab *lab = lab_of(state);
	struct frame f;

	set_aside(lab, "5353-5360");
	assert_int_equal(
		datapath_publish(lab->datapath, lab->uplink[UP0], &red, &dns, OWN_NETNS, &lab->err),
		0);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .sport = 4000, .dport = 5353);
	assert_int_equal(EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER)->delivered, RED);
	assert_int_equal(lab_nat(lab, UP0).ports_used[NSR_NAT_UDP], 1);
	set_aside(lab, "5353-5361"); /* it stays published */
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	assert_int_equal(
		datapath_unpublish(lab->datapath, lab->uplink[UP0], false, &dns, &lab->err), 0);
	pass(lab, false);
	assert_int_equal(lab_nat(lab, UP0).ports_used[NSR_NAT_UDP], 0);
	EXPECT_IN(lab, UP0, &f, PASSED);
	assert_int_not_equal(out(lab, BLUE_IP, IPPROTO_UDP, 5353), 5353);
	end_flows(lab);
}

/* Pools that are made anew leave them out, to the last port; a namespace has half of the others. */
static void test_pools_made_anew(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	set_aside(lab, "20001-20005,20007-65535");
	lab_uplink_set(lab, UP0, UPLINK_IP, 20000, 20999);
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_UDP), 998);
	out(lab, RED_IP, IPPROTO_UDP, 1);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = 2, .dport = 80);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_LIMIT));
	out(lab, BLUE_IP, IPPROTO_UDP, 2);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = GREEN_IP, .dest = REMOTE_IP,
	      .sport = 2, .dport = 80);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_PORTS));
	end_flows(lab);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	lab_uplink_set(lab, UP0, UPLINK_IP, LAB_PORT_MIN, LAB_PORT_MAX);
}

static void test_ipv6(void **state)
{
	struct lab *lab = lab_of(state);

	assert_int_equal(out(lab, RED_IP6, IPPROTO_UDP, 6000), 6000);
	set_aside(lab, "5000,6000");
	assert_int_not_equal(out(lab, RED_IP6, IPPROTO_UDP, 5000), 5000);
	assert_int_equal(out(lab, RED_IP6, IPPROTO_UDP, 6000), 6000);
	lab_expect_no_flows6(lab);
	pass(lab, true);
	assert_int_not_equal(out(lab, BLUE_IP6, IPPROTO_UDP, 6000), 6000);
	set_aside(lab, "");
	lab_expect_no_flows6(lab);
	pass(lab, true);
	assert_int_equal(out(lab, BLUE_IP6, IPPROTO_UDP, 6000), 6000);
	assert_int_equal(lab_nat6(lab, UP0).ports_used[NSR_NAT_UDP], 1);
	lab_expect_no_flows6(lab);
}

/* What user space sees: the next apply goes by it. */
static void test_told(void **state)
{
	struct lab *lab = lab_of(state);
	struct arena arena = {0};
	bool unfinished = true;

	assert_null(datapath_set_aside_text(lab->datapath, &arena, &unfinished));
	assert_false(unfinished);
	set_aside(lab, "5000-5001,7");
	assert_string_equal(datapath_set_aside_text(lab->datapath, &arena, &unfinished),
			    "7,5000-5001");
	assert_false(unfinished);
	set_aside(lab, "");
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_not_handed_out), LAB_TEST(test_flow_keeps_its_port),
		LAB_TEST(test_published),      LAB_TEST(test_pools_made_anew),
		LAB_TEST(test_ipv6),           LAB_TEST(test_told),
	};

	return LAB_MAIN(tests);
}
