/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsr_port_in: policy, switching, and what is left to the kernel; nsr_port_out. Routing is
 * test_port_route.c.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <string.h>

/* From red to blue, which is switched. */
static void to_blue(struct frame *f)
{
	FRAME(f, .to = mac_blue, .from = mac_red, .source = RED_IP, .dest = BLUE_IP, .sport = 1000,
	      .dport = 2000, .payload = 100);
}

static void to_blue6(struct frame *f, const char *source)
{
	FRAME(f, .to = mac_blue, .from = mac_red, .source = source, .dest = "fd00:15::12",
	      .sport = 1000, .dport = 2000);
}

/* Puts a tag behind the MAC addresses, as no receiving kernel leaves it there. */
static void tag(struct frame *f, uint16_t protocol)
{
	uint16_t words[2] = {htons(protocol), htons(7)};

	memmove(f->bytes + 16, f->bytes + 12, f->length - 12);
	memcpy(f->bytes + 12, words, sizeof(words));
	f->length += sizeof(words);
}

static void add_source(struct lab *lab, enum lab_port which, const char *prefix)
{
	struct nsr_port port = lab_port(lab, which);
	struct ip_address ip = lab_ip(prefix);

	port.flags |= NSR_PORT_MORE_SOURCES;
	lab_port_set(lab, which, &port);
	assert_int_equal(datapath_source_set(lab->datapath, lab->port[which], &ip, &lab->err), 0);
}

static void test_not_a_port(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	to_blue(&f);
	lab_expect(lab, DATAPATH_PORT_IN, lab->elsewhere, &f, UNCOUNTED, __FILE__, __LINE__);
	lab_expect(lab, DATAPATH_PORT_OUT, lab->elsewhere, &f, UNCOUNTED, __FILE__, __LINE__);
}

/* ---- Policy. */

static void expect_malformed(struct lab *lab, struct frame *f)
{
	struct nsr_port port = lab_port(lab, RED);

	EXPECT_PORT_IN(lab, RED, f, DROPPED(MALFORMED));
	/* Without the check it is nobody's business but the kernel's. */
	port.flags &= (uint16_t)~NSR_PORT_SPOOF_CHECK;
	lab_port_set(lab, RED, &port);
	EXPECT_PORT_IN(lab, RED, f, TO_KERNEL);
	port = lab_port(lab, RED);
	lab_port_set(lab, RED, &port);
}

static void test_malformed_ip4(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	to_blue(&f);
	f.length = ETH_HLEN + sizeof(struct iphdr) - 1;
	if (lab_takes(lab, &f))
		expect_malformed(lab, &f);
	to_blue(&f);
	frame_ip4(&f)->version = 5;
	expect_malformed(lab, &f);
	to_blue(&f);
	frame_ip4(&f)->ihl = 4;
	expect_malformed(lab, &f);
	to_blue(&f);
	frame_ip4(&f)->tot_len = htons(sizeof(struct iphdr) - 1);
	expect_malformed(lab, &f);
	to_blue(&f);
	frame_ip4(&f)->tot_len = htons((uint16_t)(f.length - ETH_HLEN + 1));
	expect_malformed(lab, &f);
}

static void test_malformed_ip6(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	to_blue6(&f, RED_IP6);
	f.length = ETH_HLEN + sizeof(struct ipv6hdr) - 1;
	if (lab_takes(lab, &f))
		expect_malformed(lab, &f);
	to_blue6(&f, RED_IP6);
	frame_ip6(&f)->version = 4;
	expect_malformed(lab, &f);
	to_blue6(&f, RED_IP6);
	f.length--;
	expect_malformed(lab, &f);
}

static void test_malformed_arp(void **state)
{
	static const uint8_t places[] = {0, 2, 4, 5}; /* hardware, protocol, their lengths */
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(places); i++) {
		frame_arp(&f, mac_br1, mac_red, mac_red, RED_IP, GATEWAY_IP);
		f.bytes[ETH_HLEN + places[i]]++;
		expect_malformed(lab, &f);
	}
	frame_arp(&f, mac_br1, mac_red, mac_red, RED_IP, GATEWAY_IP);
	f.length--;
	expect_malformed(lab, &f);
}

static void test_vlan_tag_in_the_bytes(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	to_blue(&f);
	tag(&f, ETH_P_8021Q);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(VLAN_TAG));
	to_blue(&f);
	tag(&f, ETH_P_8021AD);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(VLAN_TAG));
}

static void test_spoofed_mac(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	to_blue(&f);
	memcpy(frame_eth(&f)->h_source, mac_stranger, 6);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_MAC));
	/* Whatever the frame carries: the address of another port, or a protocol we do not know. */
	memcpy(frame_eth(&f)->h_source, mac_blue, 6);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_MAC));
	frame_eth(&f)->h_proto = htons(0x88b5);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_MAC));
}

static void test_spoofed_address(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	FRAME(&f, .to = mac_blue, .from = mac_red, .source = BLUE_IP, .dest = BLUE_IP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	/* DHCP's source too: addresses come from the topology. */
	FRAME(&f, .to = mac_blue, .from = mac_red, .source = "0.0.0.0", .dest = "255.255.255.255");
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	to_blue6(&f, "fd00:15::12");
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	to_blue6(&f, "::ffff:192.168.15.11");
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	frame_arp(&f, mac_br1, mac_red, mac_red, GATEWAY_IP, GATEWAY_IP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	frame_arp(&f, mac_br1, mac_red, mac_blue, RED_IP, GATEWAY_IP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
}

/* No fragment and no option gets around the check. */
static void test_spoofed_address_in_odd_packets(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	FRAME(&f, .to = mac_blue, .from = mac_red, .source = BLUE_IP, .dest = BLUE_IP,
	      .fragment = 0x2001, .payload = 8);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = BLUE_IP, .dest = REMOTE_IP,
	      .ip_options = 40);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	FRAME(&f, .to = mac_blue, .from = mac_red, .source = "fd00:15::12", .dest = "fd00:15::12",
	      .protocol = 43);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	FRAME(&f, .to = (const uint8_t[6]){1, 0, 0x5e, 0, 0, 1}, .from = mac_red, .source = BLUE_IP,
	      .dest = "224.0.0.1");
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
}

/* A port without IPv4 address, whose table entry is 0. */
static void test_no_address(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_port port = lab_port(lab, RED);
	struct frame f;

	port.address4 = 0;
	memset(port.address6, 0, sizeof(port.address6));
	lab_port_set(lab, RED, &port);
	to_blue(&f);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	FRAME(&f, .to = mac_blue, .from = mac_red, .source = "0.0.0.0", .dest = BLUE_IP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	to_blue6(&f, RED_IP6);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	to_blue6(&f, "::");
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
}

static void test_more_sources(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	add_source(lab, RED, "172.16.4.0/22");
	add_source(lab, RED, "fd00:99::/48");
	FRAME(&f, .to = mac_blue, .from = mac_red, .source = "172.16.7.255", .dest = BLUE_IP);
	EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
	FRAME(&f, .to = mac_blue, .from = mac_red, .source = "172.16.8.0", .dest = BLUE_IP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	to_blue6(&f, "fd00:99:0:ffff::1");
	EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
	to_blue6(&f, "fd00:9a::1");
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	frame_arp(&f, mac_br1, mac_red, mac_red, "172.16.5.1", GATEWAY_IP);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

/* Sources are a port's own: the other port has the flag as well, and another prefix. */
static void test_more_sources_of_another_port(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	add_source(lab, RED, "172.16.4.0/22");
	add_source(lab, BLUE, "172.16.8.0/22");
	FRAME(&f, .to = mac_red, .from = mac_blue, .source = "172.16.4.1", .dest = RED_IP);
	EXPECT_PORT_IN(lab, BLUE, &f, DROPPED(SPOOFED_ADDRESS));
	/* An IPv4 prefix admits no IPv6 source but the mapped form, which no sane host sends. */
	FRAME(&f, .to = mac_red, .from = mac_blue, .source = "172:16::1", .dest = RED_IP6);
	EXPECT_PORT_IN(lab, BLUE, &f, DROPPED(SPOOFED_ADDRESS));
}

static void test_address_discovery(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	frame_arp(&f, mac_br1, mac_red, mac_red, RED_IP, GATEWAY_IP);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	frame_arp(&f, mac_br1, mac_red, mac_red, "0.0.0.0", RED_IP); /* a probe */
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

/* One is the port's: what the kernel makes of its MAC. */
static void test_link_local_sources(void **state)
{
	static const char *const others[] = {"fe80::ff:fe00:c",        "fe80::b",
					     "fe80:0:0:1:0:ff:fe00:b", "febf::ff:fe00:b",
					     "fe80:0:1::ff:fe00:b",    "fe80::200:ff:fe00:b"};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	to_blue6(&f, "fe80::ff:fe00:b");
	EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
	for (i = 0; i < sizeof(others) / sizeof(*others); i++) {
		to_blue6(&f, others[i]);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	}
}

static void test_spoof_check_off(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_port port = lab_port(lab, RED);
	struct frame f;

	port.flags = NSR_PORT_FAST;
	lab_port_set(lab, RED, &port);
	FRAME(&f, .to = mac_blue, .from = mac_stranger, .source = "10.1.2.3", .dest = BLUE_IP);
	EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
	frame_arp(&f, mac_br1, mac_red, mac_blue, BLUE_IP, GATEWAY_IP);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_blue(&f);
	tag(&f, ETH_P_8021Q);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

/* ---- Switching. */

static void test_switched(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	struct run *run;

	to_blue(&f);
	run = EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
	assert_int_equal(run->delivered, BLUE);
	assert_memory_equal(run->out.bytes, f.bytes, f.length);
	to_blue6(&f, RED_IP6);
	run = EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
	assert_int_equal(run->delivered, BLUE);
	assert_memory_equal(run->out.bytes, f.bytes, f.length);
	/* A switch looks at no TTL, option, fragment or checksum. */
	FRAME(&f, .to = mac_blue, .from = mac_red, .source = RED_IP, .dest = "10.1.2.3", .ttl = 1,
	      .ip_options = 8, .fragment = 0x2000, .payload = 8);
	frame_ip4(&f)->check ^= 1;
	run = EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
	assert_memory_equal(run->out.bytes, f.bytes, f.length);
}

static void test_not_switched(void **state)
{
	static const uint8_t broadcast[6] = {255, 255, 255, 255, 255, 255};
	struct lab *lab = lab_of(state);
	struct frame f;

	to_blue(&f);
	memcpy(frame_eth(&f)->h_dest, mac_stranger, 6);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	/* green is in another network: its MAC is not to be found from here. */
	memcpy(frame_eth(&f)->h_dest, mac_green, 6);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	memcpy(frame_eth(&f)->h_dest, broadcast, 6);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	memcpy(frame_eth(&f)->h_dest, (const uint8_t[6]){1, 0, 0x5e, 0, 0, 1}, 6);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_blue(&f);
	frame_eth(&f)->h_proto = htons(0x88b5); /* local experimental */
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	frame_arp(&f, mac_blue, mac_red, mac_red, RED_IP, BLUE_IP);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	to_blue(&f);
	memcpy(frame_eth(&f)->h_dest, mac_red, 6); /* back where it came from */
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

static void test_too_large_to_switch(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint blue = lab_endpoint(lab, BLUE);
	struct frame f;

	to_blue(&f);
	blue.mtu = f.length - ETH_HLEN;
	lab_fdb_set(lab, BLUE, &blue);
	EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
	blue.mtu--;
	lab_fdb_set(lab, BLUE, &blue);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

/* What counts for a GSO packet is what it is cut into: segment and headers. */
static void test_segments(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint blue = lab_endpoint(lab, BLUE);
	struct frame tcp, udp, tcp6;

	FRAME(&tcp, .to = mac_blue, .from = mac_red, .source = RED_IP, .dest = BLUE_IP,
	      .protocol = IPPROTO_TCP, .payload = 3000);
	FRAME(&udp, .to = mac_blue, .from = mac_red, .source = RED_IP, .dest = BLUE_IP,
	      .payload = 3000);
	FRAME(&tcp6, .to = mac_blue, .from = mac_red, .source = RED_IP6, .dest = "fd00:15::12",
	      .protocol = IPPROTO_TCP, .payload = 3000);
	EXPECT_PORT_IN(lab, RED, &tcp, TO_KERNEL);
	tcp.gso_size = udp.gso_size = tcp6.gso_size = 1000;
	blue.mtu = 1000 + 20 + 20;
	lab_fdb_set(lab, BLUE, &blue);
	EXPECT_PORT_IN(lab, RED, &tcp, TO_PEER);
	EXPECT_PORT_IN(lab, RED, &tcp6, TO_KERNEL);
	blue.mtu--;
	lab_fdb_set(lab, BLUE, &blue);
	EXPECT_PORT_IN(lab, RED, &tcp, TO_KERNEL);
	blue.mtu = 1000 + 40 + 20;
	lab_fdb_set(lab, BLUE, &blue);
	EXPECT_PORT_IN(lab, RED, &tcp6, TO_PEER);
	/* Only the kernel can tell, and a test run's packet has not what it looks at. */
	EXPECT_PORT_IN(lab, RED, &udp, TO_KERNEL);
	blue.mtu = udp.length - ETH_HLEN;
	lab_fdb_set(lab, BLUE, &blue);
	EXPECT_PORT_IN(lab, RED, &udp, TO_PEER);
}

static void test_kernel_mode(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint blue = lab_endpoint(lab, BLUE);
	struct nsr_port red = lab_port(lab, RED);
	struct frame f;

	to_blue(&f);
	blue.flags = 0;
	lab_fdb_set(lab, BLUE, &blue);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	blue.flags = NSR_PORT_FAST;
	lab_fdb_set(lab, BLUE, &blue);
	red.flags = NSR_PORT_SPOOF_CHECK;
	lab_port_set(lab, RED, &red);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	/* Policy is the same. */
	memcpy(frame_eth(&f)->h_source, mac_stranger, 6);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_MAC));
}

/* ---- nsr_port_out. */

static void test_delivered_by_the_kernel(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	struct run *run;

	to_blue(&f);
	run = EXPECT_PORT_OUT(lab, BLUE, &f, DELIVERED);
	assert_int_equal(run->delivered, BLUE);
	frame_arp(&f, mac_blue, mac_br1, mac_br1, GATEWAY_IP, BLUE_IP);
	EXPECT_PORT_OUT(lab, BLUE, &f, DELIVERED);
	f.length = ETH_HLEN + 1;
	EXPECT_PORT_OUT(lab, BLUE, &f, DELIVERED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_not_a_port),
		LAB_TEST(test_malformed_ip4),
		LAB_TEST(test_malformed_ip6),
		LAB_TEST(test_malformed_arp),
		LAB_TEST(test_vlan_tag_in_the_bytes),
		LAB_TEST(test_spoofed_mac),
		LAB_TEST(test_spoofed_address),
		LAB_TEST(test_spoofed_address_in_odd_packets),
		LAB_TEST(test_no_address),
		LAB_TEST(test_more_sources),
		LAB_TEST(test_more_sources_of_another_port),
		LAB_TEST(test_address_discovery),
		LAB_TEST(test_link_local_sources),
		LAB_TEST(test_spoof_check_off),
		LAB_TEST(test_switched),
		LAB_TEST(test_not_switched),
		LAB_TEST(test_too_large_to_switch),
		LAB_TEST(test_segments),
		LAB_TEST(test_kernel_mode),
		LAB_TEST(test_delivered_by_the_kernel),
	};

	return LAB_MAIN_PORTS(tests);
}
