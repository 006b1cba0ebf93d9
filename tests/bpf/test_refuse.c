/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a namespace is told of a flow that it cannot have: an ICMP error in place of the packet.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <stdlib.h>
#include <string.h>

#include "datapath_maps.h"

#define QUOTE   (ETH_HLEN + (uint32_t)sizeof(struct iphdr) + 8u) /* where it begins in an error */
#define NOT_ONE 41

static void leaving(struct frame *f, uint8_t protocol, uint16_t port)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP, .ttl = 63,
	      .protocol = protocol, .sport = port, .dport = 80, .tcp_flags = FRAME_SYN,
	      .icmp_type = FRAME_ECHO_REQUEST, .payload = NOT_ONE);
}

/* One port in all, and it is taken. */
static void take_all(struct lab *lab, uint8_t protocol)
{
	struct frame f;

	lab_uplink_set(lab, UP0, UPLINK_IP, 40000, 40000);
	leaving(&f, protocol, 1000);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
}

static void test_error(void **state)
{
	static const struct {
		uint8_t protocol;
		uint32_t beyond;
	} packets[] = {{IPPROTO_TCP, 20}, {IPPROTO_UDP, 8}, {IPPROTO_ICMP, 8}};
	struct lab *lab = lab_of(state);
	struct frame f, *error;
	struct iphdr *ip;
	uint8_t *icmp;
	size_t i;

	for (i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
		take_all(lab, packets[i].protocol);
		leaving(&f, packets[i].protocol, 1001);
		error = &EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_PORTS))->out;
		assert_int_equal(error->length, QUOTE + 20 + packets[i].beyond);
		assert_memory_equal(frame_eth(error)->h_dest, mac_red, ETH_ALEN);
		assert_memory_equal(frame_eth(error)->h_source, mac_br1, ETH_ALEN);
		assert_int_equal(frame_eth(error)->h_proto, htons(ETH_P_IP));
		ip = frame_ip4(error);
		assert_int_equal(ip->version, 4);
		assert_int_equal(ip->ihl, 5);
		assert_int_equal(ip->protocol, IPPROTO_ICMP);
		assert_int_equal(ip->ttl, 64);
		assert_int_equal(ip->frag_off, 0);
		assert_int_equal(ip->saddr, address4(UPLINK_IP));
		assert_int_equal(ip->daddr, address4(RED_IP));
		assert_int_equal(ntohs(ip->tot_len), error->length - ETH_HLEN);
		icmp = frame_transport(error);
		assert_int_equal(icmp[0], FRAME_UNREACHABLE);
		assert_int_equal(icmp[1], 13);
		assert_memory_equal(icmp + 4, "\0\0\0\0", 4);
		assert_memory_equal(error->bytes + QUOTE, f.bytes + ETH_HLEN,
				    20 + packets[i].beyond);
		lab_expect_no_flows(lab);
	}
}

/* A packet that is no longer than what is quoted of it, and one that is cut up on its way. */
static void test_lengths(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	take_all(lab, IPPROTO_TCP);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_TCP, .sport = 1001, .dport = 80, .tcp_flags = FRAME_SYN);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_PORTS));
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_TCP, .sport = 1001, .dport = 80, .tcp_flags = FRAME_ACK,
	      .payload = 3000);
	f.gso_size = 1000;
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_PORTS));
	take_all(lab, IPPROTO_UDP);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = 1001, .dport = 80);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_PORTS));
	/* A datagram's first fragment; of the rest nobody is told. */
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = 1001, .dport = 80, .payload = 64, .fragment = 0x2000);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_PORTS));
}

/* Who has flows keeps them, and nobody hears of others'. */
static void test_others(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	take_all(lab, IPPROTO_UDP);
	leaving(&f, IPPROTO_UDP, 1001);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_PORTS));
	leaving(&f, IPPROTO_UDP, 1000);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	frame_ip4(&f)->saddr = address4(GREEN_IP);
	frame_seal(&f);
	assert_memory_equal(frame_eth(&EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_PORTS))->out)->h_source,
			    mac_br2, ETH_ALEN);
}

static void test_not_told(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	take_all(lab, IPPROTO_UDP);
	/* To a group; from an address that is no interface's; with options. */
	leaving(&f, IPPROTO_UDP, 1001);
	frame_ip4(&f)->daddr = address4("224.1.2.3");
	frame_seal(&f);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PORTS));
	leaving(&f, IPPROTO_UDP, 1001);
	frame_ip4(&f)->saddr = address4("192.168.15.99");
	frame_seal(&f);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PORTS));
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = 1001, .dport = 80, .ip_options = 4);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PORTS));
	/* Not for want of anything. */
	leaving(&f, IPPROTO_AH, 0);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PROTOCOL));
	leaving(&f, IPPROTO_UDP, 1001);
	EXPECT_OUT(lab, UP1, &f, DROPPED(WRONG_UPLINK));
	/* Nothing to tell it from. */
	lab_uplink_set(lab, UP0, NULL, LAB_PORT_MIN, LAB_PORT_MAX);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_CLOSED));
}

/* A burst, and then at a rate; each namespace by itself. */
static void test_rate(void **state)
{
	struct lab *lab = lab_of(state);
	uint64_t far = UINT64_MAX / 2;
	struct frame f;
	uint32_t told = 0, i;

	take_all(lab, IPPROTO_UDP);
	leaving(&f, IPPROTO_UDP, 1001);
	for (i = 0; i < 10 * NSR_REFUSALS_BURST; i++)
		told += lab_run(lab, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, NULL) ==
			TC_ACT_REDIRECT;
	assert_in_range(told, NSR_REFUSALS_BURST, 10 * NSR_REFUSALS_BURST);
	assert_int_equal(bpf_map_update_elem(lab->datapath->maps[MAP_refusals],
					     &lab->port_number[RED], &far, BPF_ANY),
			 0);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PORTS));
	frame_ip4(&f)->saddr = address4(BLUE_IP);
	frame_seal(&f);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_PORTS));
}

/* ---- The whole pool. */

/* Every port that there is but 0 is handed out once, before the first failure. */
static void test_every_port(void **state)
{
	enum { ALL = NSR_POOL_PORTS - 1 };
	static const char *const sources[] = {RED_IP, BLUE_IP, GREEN_IP};
	bool *used = calloc(NSR_POOL_PORTS, sizeof(*used));
	struct lab *lab = lab_of(state);
	struct frame f, out;
	uint32_t i;

	lab_uplink_set(lab, UP0, UPLINK_IP, 1, ALL);
	for (i = 0; i < ALL; i++) {
		/* Most of them want a port that is taken. */
		leaving(&f, IPPROTO_UDP, (uint16_t)(2048 + i / 3));
		frame_ip4(&f)->saddr = address4(sources[i % 3]);
		frame_seal(&f);
		assert_int_equal(lab_run(lab, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, &out), -1);
		assert_null(frame_fault(&out));
		assert_in_range(frame_sport(&out), 1, ALL);
		assert_false(used[frame_sport(&out)]);
		used[frame_sport(&out)] = true;
	}
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_UDP), ALL);
	leaving(&f, IPPROTO_UDP, 1024);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_PORTS));
	leaving(&f, IPPROTO_TCP, 1024); /* has ports of its own */
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	assert_int_equal(lab_active_sessions(lab), ALL + 1);
	leaving(&f, IPPROTO_UDP, 2048);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED); /* has one */
	lab_expect_no_flows(lab);
	free(used);
}

/* Of IPv6. A namespace's limit is of both families together. */
static void test_ipv6(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, FRAME_ICMPV6};
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);
	struct frame f, *error;
	uint32_t quoted;
	size_t i;

	settings.flows_max = 1;
	lab_inside_set(lab, "fd00:15::/64", UP0, &settings);
	leaving(&f, IPPROTO_UDP, 1000);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	for (i = 0; i < sizeof(protocols); i++) {
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP6, .dest = REMOTE_IP6,
		      .protocol = protocols[i], .sport = 1001, .dport = 81, .tcp_flags = FRAME_SYN,
		      .icmp_type = FRAME6_ECHO_REQUEST, .payload = NOT_ONE);
		error = &EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_LIMIT))->out;
		assert_null(frame_fault(error));
		assert_memory_equal(frame_eth(error)->h_dest, mac_red, 6);
		assert_memory_equal(&frame_ip6(error)->saddr, lab_ip(UPLINK_IP6).bytes, 16);
		assert_memory_equal(&frame_ip6(error)->daddr, lab_ip(RED_IP6).bytes, 16);
		assert_int_equal(((uint8_t *)frame_transport(error))[0], FRAME6_UNREACHABLE);
		assert_int_equal(((uint8_t *)frame_transport(error))[1], 1); /* prohibited */
		quoted = error->length - ETH_HLEN - (uint32_t)sizeof(struct ipv6hdr) - 8;
		assert_in_range(quoted, sizeof(struct ipv6hdr) + 8, f.length);
		assert_memory_equal((uint8_t *)frame_transport(error) + 8, f.bytes + ETH_HLEN,
				    quoted);
	}
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = BLUE_IP6, .dest = REMOTE_IP6,
	      .sport = 1001, .dport = 81); /* somebody else's is another one */
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	lab_expect_no_flows(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_error),    LAB_TEST(test_lengths), LAB_TEST(test_others),
		LAB_TEST(test_not_told), LAB_TEST(test_rate),    LAB_TEST(test_every_port),
		LAB_TEST(test_ipv6),
	};

	return LAB_MAIN(tests);
}
