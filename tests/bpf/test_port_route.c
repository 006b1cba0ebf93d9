/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsr_port_in on frames for the gateway: routed into a namespace, out by the uplink, or left to the
 * kernel, which answers as routers do.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "sysctl.h"

/* From red to its gateway. */
static void to_gateway(struct frame *f, const char *dest, uint16_t payload)
{
	FRAME(f, .to = mac_br1, .from = mac_red, .source = strchr(dest, ':') ? RED_IP6 : RED_IP,
	      .dest = dest, .protocol = IPPROTO_TCP, .tcp_flags = FRAME_SYN, .sport = 1000,
	      .dport = 80, .payload = payload);
}

/* Routed by us: all that may differ is what a router changes. */
static void expect_routed(struct lab *lab, struct frame *f)
{
	struct run *run = EXPECT_PORT_IN(lab, RED, f, TO_PEER);
	struct frame wanted = *f;

	assert_int_equal(run->delivered, GREEN);
	memcpy(frame_eth(&wanted)->h_dest, mac_green, 6);
	memcpy(frame_eth(&wanted)->h_source, mac_br2, 6);
	if (frame_eth(f)->h_proto == htons(ETH_P_IP)) {
		frame_ip4(&wanted)->ttl--;
		frame_seal(&wanted);
	} else {
		frame_ip6(&wanted)->hop_limit--;
	}
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
}

static void test_routed(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	to_gateway(&f, GREEN_IP, 100);
	expect_routed(lab, &f);
	to_gateway(&f, GREEN_IP6, 100);
	expect_routed(lab, &f);
	to_gateway(&f, GREEN_IP, 101);
	frame_ip4(&f)->ttl = 2;
	frame_seal(&f);
	expect_routed(lab, &f);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = GREEN_IP, .ttl = 255,
	      .payload = 9);
	expect_routed(lab, &f);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = GREEN_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_ECHO_REQUEST, .payload = 56);
	expect_routed(lab, &f);
	/* A router forwards fragments as they are. */
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = GREEN_IP,
	      .fragment = 0x2000, .payload = 64);
	expect_routed(lab, &f);
}

/* The checksum is adjusted, not computed: so at every value, 0xffff and 0 included. */
static void test_every_ttl_and_checksum(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	uint32_t i;

	to_gateway(&f, GREEN_IP, 4);
	for (i = 2; i < 256; i++) {
		frame_ip4(&f)->ttl = (uint8_t)i;
		frame_ip4(&f)->id = htons((uint16_t)(i * 257));
		frame_seal(&f);
		expect_routed(lab, &f);
	}
	/* Where the sum wraps. */
	frame_ip4(&f)->ttl = 64;
	for (i = 0; i < 2; i++) {
		frame_seal(&f);
		frame_ip4(&f)->id = htons((uint16_t)(ntohs(frame_ip4(&f)->id) +
						     ntohs(frame_ip4(&f)->check) - i * 0x100));
		frame_seal(&f);
		expect_routed(lab, &f);
	}
}

static void test_answered_by_the_kernel(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = GREEN_IP, .ttl = 1);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	frame_ip4(&f)->ttl = 0;
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP6, .dest = GREEN_IP6, .ttl = 1);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = GREEN_IP,
	      .ip_options = 4);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP6, .dest = GREEN_IP6,
	      .protocol = 0, .payload = 8);
	frame_ip6(&f)->nexthdr = 0; /* hop-by-hop options */
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	/* Out where it came in: the kernel sends a redirect. */
	to_gateway(&f, BLUE_IP, 10);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, "fd00:15::12", 10);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

static void test_not_for_routers(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	to_gateway(&f, "224.1.2.3", 0);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, "239.255.255.250", 0);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, "ff02::1", 0);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, "fe80::1", 0);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, "::1", 0);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, "127.0.0.1", 0);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, "255.255.255.255", 0);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = "fe80::ff:fe00:b", .dest = GREEN_IP6);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

/* A bridge takes frames for the MAC of its port as its own, so they are for the router too. */
static void test_to_the_port_itself(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	to_gateway(&f, GREEN_IP, 10);
	memcpy(frame_eth(&f)->h_dest, mac_port_red, 6);
	expect_routed(lab, &f);
	to_gateway(&f, "10.9.0.7", 10);
	memcpy(frame_eth(&f)->h_dest, mac_port_red, 6);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(WRONG_UPLINK));
}

/* The gateway of another network is a MAC like any other here, and one that nobody has. */
static void test_another_gateway(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_port red = lab_port(lab, RED);
	struct frame f;

	to_gateway(&f, GREEN_IP, 10);
	memcpy(frame_eth(&f)->h_dest, mac_br2, 6);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	/* A network without gateway does not route, whatever its entry's MAC is. */
	red.gateway_ifindex = 0;
	lab_port_set(lab, RED, &red);
	to_gateway(&f, GREEN_IP, 10);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

/* A port that is its own gateway is on no bridge: it routes to its own network, but not to itself.
 */
static void test_port_is_the_gateway(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_port red = lab_port(lab, RED);
	struct frame f, wanted;
	struct run *run;

	red.gateway_ifindex = lab->port[RED];
	lab_port_set(lab, RED, &red);
	to_gateway(&f, BLUE_IP, 10);
	run = EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
	assert_int_equal(run->delivered, BLUE);
	wanted = f;
	memcpy(frame_eth(&wanted)->h_dest, mac_blue, 6);
	memcpy(frame_eth(&wanted)->h_source, mac_br1, 6);
	frame_ip4(&wanted)->ttl--;
	frame_seal(&wanted);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	frame_ip4(&f)->ttl = 1;
	frame_seal(&f);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, GREEN_IP, 10);
	expect_routed(lab, &f);
	to_gateway(&f, RED_IP, 10);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, REMOTE_IP, 10);
	EXPECT_PORT_IN(lab, RED, &f, TO_NEIGHBOUR);
	to_gateway(&f, "10.9.0.7", 10);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(WRONG_UPLINK));
	/* Policy as everywhere. */
	to_gateway(&f, BLUE_IP, 10);
	frame_ip4(&f)->saddr = inet_addr(GREEN_IP);
	frame_seal(&f);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
}

static void test_too_large_to_route(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint green = lab_endpoint(lab, GREEN);
	struct frame f;

	green.mtu = 1400;
	lab_host_set(lab, GREEN_IP, &green);
	lab_host_set(lab, GREEN_IP6, &green);
	to_gateway(&f, GREEN_IP, 1400 - 40);
	expect_routed(lab, &f);
	to_gateway(&f, GREEN_IP, 1400 - 40 + 1);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	f.gso_size = 1360;
	expect_routed(lab, &f);
	f.gso_size = 1361;
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, GREEN_IP6, 1400 - 60 + 1);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	f.gso_size = 1340;
	expect_routed(lab, &f);
}

static void test_kernel_mode(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint green = lab_endpoint(lab, GREEN);
	struct nsr_port red = lab_port(lab, RED);
	struct frame f;

	green.flags = 0;
	lab_host_set(lab, GREEN_IP, &green);
	to_gateway(&f, GREEN_IP, 10);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	green.flags = NSR_PORT_FAST;
	lab_host_set(lab, GREEN_IP, &green);
	expect_routed(lab, &f);
	red.flags = NSR_PORT_SPOOF_CHECK;
	lab_port_set(lab, RED, &red);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, REMOTE_IP, 10);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	/* Policy holds all the same. */
	to_gateway(&f, "10.9.0.7", 10);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(WRONG_UPLINK));
}

/* ---- Out of the fabric. */

static void expect_to_uplink(struct lab *lab, enum lab_port which, struct frame *f)
{
	struct run *run = EXPECT_PORT_IN(lab, which, f, TO_NEIGHBOUR);
	struct frame wanted = *f;

	frame_ip4(&wanted)->ttl--;
	frame_seal(&wanted);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
}

static void test_to_the_uplink(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	to_gateway(&f, REMOTE_IP, 100); /* by the default route */
	expect_to_uplink(lab, RED, &f);
	to_gateway(&f, "198.51.100.77", 100); /* on the uplink's own network */
	expect_to_uplink(lab, RED, &f);
	FRAME(&f, .to = mac_br2, .from = mac_green, .source = GREEN_IP, .dest = REMOTE_IP,
	      .payload = 10);
	expect_to_uplink(lab, GREEN, &f);
}

static void test_to_the_uplink_by_the_kernel(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = REMOTE_IP, .ttl = 1);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = REMOTE_IP,
	      .ip_options = 8);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, REMOTE_IP6, 10);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, "198.51.100.78", 10); /* nobody knows its MAC yet */
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

/* Sources that a port may send from, but that the uplink would let out as they are. */
static void test_only_what_is_masqueraded(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_port red = lab_port(lab, RED);
	struct ip_address prefixes[] = {lab_ip("172.16.0.0/16"), lab_ip("fd00:99::/48")};
	struct frame f;
	int i;

	red.flags |= NSR_PORT_MORE_SOURCES;
	lab_port_set(lab, RED, &red);
	for (i = 0; i < 2; i++)
		assert_int_equal(
			datapath_source_set(lab->datapath, lab->port[RED], &prefixes[i], &lab->err),
			0);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = "172.16.4.1", .dest = REMOTE_IP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(NOT_INSIDE));
	lab_inside_set(lab, "172.16.4.0/22", UP1, NULL); /* another uplink's */
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(NOT_INSIDE));
	lab_inside_set(lab, "172.16.4.0/22", UP0, NULL);
	expect_to_uplink(lab, RED, &f);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = "fd00:99::1", .dest = REMOTE_IP6);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(NOT_INSIDE));
	/* Inside the fabric they go where they like. */
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = "172.16.200.1", .dest = GREEN_IP);
	EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
}

static void test_too_large_for_the_uplink(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	to_gateway(&f, REMOTE_IP, LAB_MTU - 40);
	expect_to_uplink(lab, RED, &f);
	to_gateway(&f, REMOTE_IP, LAB_MTU - 40 + 1);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, REMOTE_IP, 3000);
	f.gso_size = LAB_MTU - 40;
	expect_to_uplink(lab, RED, &f);
	f.gso_size = LAB_MTU - 40 + 1;
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	/* Only the kernel can tell, and a test run's packet has not what it looks at. */
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = REMOTE_IP,
	      .payload = 3000);
	f.gso_size = 1000;
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	/* Too large for an interface that it must not leave by at all: refused, not answered. */
	to_gateway(&f, "10.9.0.7", LAB_MTU);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(WRONG_UPLINK));
}

static void test_to_another_interface(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	to_gateway(&f, "10.9.0.7", 10);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(WRONG_UPLINK));
	to_gateway(&f, "192.0.2.200", 10); /* a more specific route goes by else0 */
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(WRONG_UPLINK));
	to_gateway(&f, "203.0.113.9", 10); /* an uplink, but not red's */
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(WRONG_UPLINK));
}

static void test_left_to_the_kernel(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	to_gateway(&f, GATEWAY_IP, 10); /* to the host itself */
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, UPLINK_IP, 10);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, "fd00:15::1", 10);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, "192.168.17.99", 10); /* into a network: nobody has this address */
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_gateway(&f, "192.168.15.99", 10);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

/* A host that does not forward lets nothing out. */
static void test_forwarding_off(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	to_gateway(&f, REMOTE_IP, 10);
	assert_int_equal(sysctl_write(-1, "net/ipv4/ip_forward", "0", &lab->err), 0);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	assert_int_equal(sysctl_write(-1, "net/ipv4/ip_forward", "1", &lab->err), 0);
	expect_to_uplink(lab, RED, &f);
}

/* No masquerade: not our business, whichever interface it leaves by. */
static void test_not_masqueraded(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	FRAME(&f, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = REMOTE_IP);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	FRAME(&f, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = "10.9.0.7");
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	FRAME(&f, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = GREEN_IP);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_PEER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_routed),
		LAB_TEST(test_every_ttl_and_checksum),
		LAB_TEST(test_answered_by_the_kernel),
		LAB_TEST(test_not_for_routers),
		LAB_TEST(test_to_the_port_itself),
		LAB_TEST(test_another_gateway),
		LAB_TEST(test_port_is_the_gateway),
		LAB_TEST(test_too_large_to_route),
		LAB_TEST(test_kernel_mode),
		LAB_TEST(test_to_the_uplink),
		LAB_TEST(test_to_the_uplink_by_the_kernel),
		LAB_TEST(test_only_what_is_masqueraded),
		LAB_TEST(test_too_large_for_the_uplink),
		LAB_TEST(test_to_another_interface),
		LAB_TEST(test_left_to_the_kernel),
		LAB_TEST(test_forwarding_off),
		LAB_TEST(test_not_masqueraded),
	};

	return LAB_MAIN(tests);
}
