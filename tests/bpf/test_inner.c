/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A network that is another's uplink: red's is masqueraded to green's, whose bridge is UP1 here,
 * and which is masqueraded to UP0 itself; plain's is a third one.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "datapath_maps.h"

#define AS_IP     "192.168.16.1" /* what green sees */
#define AS_IP6    "fd00:16::1"
#define PLAIN_IP6 "fd00:17::14"
#define OTHER_IP  "192.168.16.99" /* of nobody, on green's network */

static int set_up_group(void **state)
{
	int ret = lab_group_set_up(state);
	struct lab *lab = *state;

	if (ret || !lab)
		return ret;
	lab->uplink[UP1] = lab->bridge[GREEN];
	return system("ip neigh replace " GREEN_IP " lladdr 02:00:00:00:00:0d dev br2 && "
		      "ip neigh replace " GREEN_IP6 " lladdr 02:00:00:00:00:0d dev br2");
}

static void set_uplink(struct lab *lab, const char *ip)
{
	struct nsr_uplink uplink = {.address4 = address4(ip),
				    .fixed = 1,
				    .port_min = LAB_PORT_MIN,
				    .port_max = LAB_PORT_MAX};

	memcpy(uplink.address6, lab_ip(AS_IP6).bytes, sizeof(uplink.address6));
	assert_int_equal(datapath_uplink_set(lab->datapath, lab->uplink[UP1], &uplink,
					     &lab->uplink_number[UP1], &lab->err),
			 0);
}

/* Red's ports and addresses, as want_port() and want_host() enter them. */
static void put_behind(struct lab *lab, enum lab_port which, const char *ip, const char *ip6,
		       uint16_t more)
{
	struct nsr_port port = lab_port(lab, which);
	struct nsr_endpoint endpoint = lab_endpoint(lab, which);

	port.uplink = (uint16_t)(1 + lab->uplink_number[UP1]);
	port.flags |= NSR_PORT_BEHIND | more;
	endpoint.flags |= NSR_PORT_BEHIND | more;
	lab_port_set(lab, which, &port);
	lab_host_set(lab, ip, &endpoint);
	lab_host_set(lab, ip6, &endpoint);
}

static int set_up(void **state)
{
	struct lab *lab = *state;
	int ret = lab_set_up(state);

	if (ret || !lab)
		return ret;
	set_uplink(lab, AS_IP);
	put_behind(lab, RED, RED_IP, RED_IP6, 0);
	put_behind(lab, BLUE, BLUE_IP, BLUE_IP6, 0);
	lab_inside_set(lab, "192.168.15.0/24", UP1, NULL);
	lab_inside_set(lab, "fd00:15::/64", UP1, NULL);
	lab_inside_set(lab, "fd00:16::/64", UP0, NULL);
	return 0;
}

static void to_green(struct frame *f, uint8_t protocol)
{
	FRAME(f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = GREEN_IP,
	      .protocol = protocol, .tcp_flags = FRAME_SYN, .sport = 1000, .dport = 80,
	      .icmp_type = FRAME_ECHO_REQUEST);
}

/* What leaves by the bridge. */
static void at_bridge(struct frame *f, const char *source, const char *dest, uint8_t protocol)
{
	FRAME(f, .to = mac_green, .from = mac_br2, .source = source, .dest = dest,
	      .protocol = protocol, .tcp_flags = FRAME_SYN, .sport = 1000, .dport = 80,
	      .icmp_type = protocol == FRAME_ICMPV6 ? FRAME6_ECHO_REQUEST : FRAME_ECHO_REQUEST);
}

/* What green sent, or somebody on its network. */
static void from_green(struct frame *f, const char *source, const char *dest, uint16_t dport)
{
	FRAME(f, .to = mac_br2, .from = mac_green, .source = source, .dest = dest, .sport = 80,
	      .dport = dport, .tcp_flags = FRAME_SYN | FRAME_ACK, .protocol = IPPROTO_TCP);
}

/* ---- At ports. */

static void test_not_directly(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};
	struct lab *lab = lab_of(state);
	struct frame f;

	for (size_t i = 0; i < 3; i++) {
		to_green(&f, protocols[i]);
		EXPECT_PORT_IN(lab, RED, &f, TO_NEIGHBOUR); /* out by the bridge */
	}
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP6, .dest = GREEN_IP6);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL); /* as IPv6 at every uplink */
}

/* With a session it is translated where it enters. */
static void test_translated_at_the_port(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	uint16_t port;

	at_bridge(&f, RED_IP, GREEN_IP, IPPROTO_UDP);
	port = frame_sport(&EXPECT_OUT(lab, UP1, &f, TRANSLATED)->out);
	to_green(&f, IPPROTO_UDP);
	f = EXPECT_PORT_IN(lab, RED, &f, TO_NEIGHBOUR)->out;
	assert_int_equal(frame_ip4(&f)->saddr, address4(AS_IP));
	assert_int_equal(frame_sport(&f), port);
}

static void test_not_straight_inside(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	from_green(&f, GREEN_IP, RED_IP, 1000);
	EXPECT_PORT_IN(lab, GREEN, &f, DROPPED(INBOUND));
	FRAME(&f, .to = mac_br2, .from = mac_green, .source = GREEN_IP6, .dest = RED_IP6);
	EXPECT_PORT_IN(lab, GREEN, &f, DROPPED(INBOUND));
}

static void test_third_networks(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = PLAIN_IP);
	EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP6, .dest = PLAIN_IP6);
	EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
	FRAME(&f, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = RED_IP);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_PEER);
	FRAME(&f, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = GREEN_IP);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_PEER);
	from_green(&f, GREEN_IP, PLAIN_IP, 1000);
	EXPECT_PORT_IN(lab, GREEN, &f, TO_PEER);
	FRAME(&f, .to = mac_blue, .from = mac_red, .source = RED_IP, .dest = BLUE_IP);
	EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
}

/* Who knows where it would go? And where else than by its uplink it may not. */
static void test_fails_closed(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	uint32_t none = 0;

	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = REMOTE_IP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(WRONG_UPLINK));
	assert_int_equal(bpf_map_update_elem(lab->datapath->maps[MAP_uplink_by_index],
					     &lab->uplink_number[UP1], &none, 0),
			 0);
	to_green(&f, IPPROTO_UDP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(NAT_CLOSED));
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP6, .dest = GREEN_IP6);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(NAT_CLOSED));
	set_uplink(lab, AS_IP);
	put_behind(lab, RED, RED_IP, RED_IP6, NSR_PORT_ISOLATED);
	to_green(&f, IPPROTO_UDP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(ISOLATED));
}

/* ---- At the bridge. */

static void test_bridge_translates(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};
	struct lab *lab = lab_of(state);
	struct run *run;
	struct frame f;

	for (size_t i = 0; i < 3; i++) {
		at_bridge(&f, RED_IP, GREEN_IP, protocols[i]);
		run = EXPECT_OUT(lab, UP1, &f, TRANSLATED);
		assert_int_equal(frame_ip4(&run->out)->saddr, address4(AS_IP));
	}
	at_bridge(&f, RED_IP, GREEN_IP, IPPROTO_GRE);
	EXPECT_OUT(lab, UP1, &f, TRANSLATED);
	at_bridge(&f, RED_IP6, GREEN_IP6, IPPROTO_UDP);
	run = EXPECT_OUT(lab, UP1, &f, TRANSLATED);
	assert_memory_equal(&frame_ip6(&run->out)->saddr, lab_ip(AS_IP6).bytes, 16);
}

static void test_answers(void **state)
{
	struct lab *lab = lab_of(state);
	struct run *run;
	struct frame f;

	at_bridge(&f, RED_IP, GREEN_IP, IPPROTO_TCP);
	run = EXPECT_OUT(lab, UP1, &f, TRANSLATED);
	from_green(&f, GREEN_IP, AS_IP, frame_sport(&run->out));
	EXPECT_PORT_IN(lab, GREEN, &f, TO_KERNEL);
	run = EXPECT_IN(lab, UP1, &f, TRANSLATED_TO_PEER);
	assert_int_equal(run->delivered, RED);
	assert_int_equal(frame_ip4(&run->out)->daddr, address4(RED_IP));
	from_green(&f, OTHER_IP, AS_IP, frame_dport(&f));
	EXPECT_IN(lab, UP1, &f, DROPPED(NAT_FILTERED));
	from_green(&f, GREEN_IP, AS_IP, 22); /* mapped for nobody */
	EXPECT_IN(lab, UP1, &f, PASSED);
}

/* What is masqueraded elsewhere, or nowhere, goes into a fabric as it is. */
static void test_bridge_lets_others_through(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_GRE};
	static const char *const sources[] = {PLAIN_IP, GREEN_IP, "192.168.18.9", AS_IP};
	struct lab *lab = lab_of(state);
	struct frame f;

	lab_inside_set(lab, "192.168.18.0/24", UP0, NULL);
	for (size_t i = 0; i < 4; i++)
		for (size_t j = 0; j < 4; j++) {
			at_bridge(&f, sources[j], OTHER_IP, protocols[i]);
			EXPECT_OUT(lab, UP1, &f, PASSED);
		}
	FRAME(&f, .to = mac_green, .from = mac_br2, .source = "192.168.18.9", .dest = GREEN_IP,
	      .protocol = IPPROTO_UDP, .fragment = 100, .payload = 64);
	EXPECT_OUT(lab, UP1, &f, PASSED);
	at_bridge(&f, GREEN_IP6, "fd00:16::99", IPPROTO_UDP);
	EXPECT_OUT(lab, UP1, &f, PASSED);
	at_bridge(&f, GREEN_IP6, "fd00:16::99", FRAME_ICMPV6);
	EXPECT_OUT(lab, UP1, &f, PASSED);
	frame_arp(&f, mac_green, mac_br2, mac_br2, "192.168.16.2", GREEN_IP);
	EXPECT_OUT(lab, UP1, &f, PASSED);
	/* They have not made the protocol the host's own. */
	at_bridge(&f, RED_IP, OTHER_IP, IPPROTO_ESP);
	EXPECT_OUT(lab, UP1, &f, TRANSLATED);
	at_bridge(&f, "192.168.18.9", GREEN_IP, IPPROTO_GRE);
	EXPECT_OUT(lab, UP1, &f, PASSED);
	at_bridge(&f, RED_IP, GREEN_IP, IPPROTO_GRE);
	EXPECT_OUT(lab, UP1, &f, TRANSLATED);
}

/* An error that the host sends to green quotes what green has sent. */
static void test_errors_about_others(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, quoted;

	FRAME(&quoted, .to = mac_br2, .from = mac_green, .source = GREEN_IP, .dest = REMOTE_IP,
	      .sport = 7, .dport = 80);
	FRAME(&f, .to = mac_green, .from = mac_br2, .source = AS_IP, .dest = GREEN_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_TIME_EXCEEDED, .quoted = &quoted);
	EXPECT_OUT(lab, UP1, &f, PASSED);
	FRAME(&quoted, .to = mac_br2, .from = mac_green, .source = GREEN_IP, .dest = RED_IP,
	      .sport = 7, .dport = 80);
	FRAME(&f, .to = mac_green, .from = mac_br2, .source = AS_IP, .dest = GREEN_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_TIME_EXCEEDED, .quoted = &quoted);
	EXPECT_OUT(lab, UP1, &f, DROPPED(NAT_ICMP_ERROR)); /* it would show red's address */
}

static void test_bridge_guards(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	from_green(&f, GREEN_IP, RED_IP, 1000);
	EXPECT_IN(lab, UP1, &f, DROPPED(INBOUND));
	from_green(&f, RED_IP, PLAIN_IP, 1000);
	EXPECT_IN(lab, UP1, &f, DROPPED(SPOOFED_ADDRESS));
	from_green(&f, GREEN_IP, PLAIN_IP, 1000);
	EXPECT_IN(lab, UP1, &f, PASSED);
	from_green(&f, GREEN_IP, REMOTE_IP, 1000);
	EXPECT_IN(lab, UP1, &f, PASSED);
	FRAME(&f, .to = mac_br2, .from = mac_green, .source = GREEN_IP6, .dest = RED_IP6);
	EXPECT_IN(lab, UP1, &f, DROPPED(INBOUND));
	FRAME(&f, .to = mac_br2, .from = mac_green, .source = GREEN_IP6, .dest = PLAIN_IP6);
	EXPECT_IN(lab, UP1, &f, PASSED);
	/* An uplink out of the fabrics guards them all. */
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP);
	EXPECT_OUT(lab, UP0, &f, DROPPED(WRONG_UPLINK));
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = RED_IP);
	EXPECT_IN(lab, UP0, &f, DROPPED(INBOUND));
}

int main(void)
{
#define INNER_TEST(name) cmocka_unit_test_setup(name, set_up)
	const struct CMUnitTest tests[] = {
		INNER_TEST(test_not_directly),
		INNER_TEST(test_translated_at_the_port),
		INNER_TEST(test_not_straight_inside),
		INNER_TEST(test_third_networks),
		INNER_TEST(test_fails_closed),
		INNER_TEST(test_bridge_translates),
		INNER_TEST(test_answers),
		INNER_TEST(test_bridge_lets_others_through),
		INNER_TEST(test_errors_about_others),
		INNER_TEST(test_bridge_guards),
	};

	return cmocka_run_group_tests(tests, set_up_group, lab_group_tear_down);
}
