/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A published port of red's over IPv6, as green reaches it when its network does not leave by red's
 * uplink: bpf/guest6.h. What differs from IPv4; test_guest.c has the rules.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "datapath_publish.h"
#include "nsroute_trace.h"

#define OWN_NETNS (-1) /* the test is in the lab's namespace */
#define PORT      8080
#define CLIENT    3000

static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};

static enum nsr_nat_protocol nat_protocol(uint8_t protocol)
{
	return protocol == IPPROTO_TCP ? NSR_NAT_TCP : NSR_NAT_UDP;
}

/* And green's network is masqueraded to nothing. */
static void publish(struct lab *lab, uint8_t protocol)
{
	const struct nsr_uplink loopback = {.port_min = 1, .port_max = 65535};
	struct published_ports what = {PORT, 80, 1, nat_protocol(protocol)};
	struct nsr_port red = lab_port(lab, RED), green = lab_port(lab, GREEN);
	struct ip_address inside = lab_ip(RED_IP6);

	if (datapath_uplink_set(lab->datapath, STATE_LOOPBACK, &loopback, NULL, &lab->err))
		fail_msg("%s", lab->err.message);
	red.flags |= NSR_PORT_PUBLISHES;
	lab_port_set(lab, RED, &red);
	green.uplink = 0;
	lab_port_set(lab, GREEN, &green);
	if (datapath_publish(lab->datapath, lab->uplink[UP0], &inside, &what, OWN_NETNS, &lab->err))
		fail_msg("%s", lab->err.message);
}

static void unpublish(struct lab *lab, uint8_t protocol)
{
	struct published_ports what = {PORT, 80, 1, nat_protocol(protocol)};

	if (datapath_unpublish(lab->datapath, lab->uplink[UP0], true, &what, &lab->err) ||
	    datapath_uplink_delete(lab->datapath, STATE_LOOPBACK, &lab->err))
		fail_msg("%s", lab->err.message);
	lab_expect_no_flows6(lab);
}

/* Of green, to the published port or, as red gets it, to red. */
static void asked(struct frame *f, bool inside, uint8_t protocol)
{
	FRAME(f, .to = inside ? mac_red : mac_br2, .from = inside ? mac_br1 : mac_green,
	      .source = GREEN_IP6, .dest = inside ? RED_IP6 : UPLINK_IP6, .protocol = protocol,
	      .sport = CLIENT, .dport = inside ? 80 : PORT, .tcp_flags = FRAME_SYN, .payload = 33,
	      .ttl = inside ? 63 : 64);
}

/* Of red, or as green gets it from the published port. */
static void answered(struct frame *f, bool inside, uint8_t protocol)
{
	FRAME(f, .to = inside ? mac_br1 : mac_green, .from = inside ? mac_red : mac_br2,
	      .source = inside ? RED_IP6 : UPLINK_IP6, .dest = GREEN_IP6, .protocol = protocol,
	      .sport = inside ? 80 : PORT, .dport = CLIENT, .tcp_flags = FRAME_SYN | FRAME_ACK,
	      .payload = 33, .ttl = inside ? 64 : 63);
}

static void expect(struct lab *lab, enum lab_port from, struct frame *f, enum lab_port to,
		   const struct frame *wanted)
{
	struct run *run = EXPECT_PORT_IN(lab, from, f, TO_PEER);

	assert_int_equal(run->delivered, to);
	assert_memory_equal(run->out.bytes, wanted->bytes, wanted->length);
}

static void expect_flow(struct lab *lab, uint8_t protocol)
{
	struct frame f, wanted;

	asked(&f, false, protocol);
	asked(&wanted, true, protocol);
	expect(lab, GREEN, &f, RED, &wanted);
	answered(&f, true, protocol);
	answered(&wanted, false, protocol);
	expect(lab, RED, &f, GREEN, &wanted);
}

static void test_both_ways(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	for (size_t i = 0; i < 2; i++) {
		publish(lab, protocols[i]);
		answered(&f, true, protocols[i]);
		assert_int_equal(EXPECT_PORT_IN(lab, RED, &f, TO_PEER)->delivered, GREEN);
		assert_int_equal(lab_session_bits6(lab), 0);
		expect_flow(lab, protocols[i]);
		assert_int_equal(lab_session_bits6(lab), 1);
		assert_int_equal(lab_flows_of(lab, GREEN), 1);
		unpublish(lab, protocols[i]);
		assert_int_equal(lab_flows_of(lab, GREEN), 0);
	}
}

static void error(struct frame *f, const uint8_t *to, const uint8_t *from, const char *source,
		  const char *dest, uint8_t ttl, const struct frame *about)
{
	FRAME(f, .to = to, .from = from, .source = source, .dest = dest, .ttl = ttl,
	      .protocol = FRAME_ICMPV6, .icmp_type = FRAME6_UNREACHABLE, .icmp_code = 4,
	      .quoted = about, .quoted_beyond = 28);
}

static void test_errors(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about, wanted;

	for (size_t i = 0; i < 2; i++) {
		publish(lab, protocols[i]);
		asked(&about, true, protocols[i]);
		error(&f, mac_br1, mac_red, RED_IP6, GREEN_IP6, 64, &about);
		EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL); /* about none */
		expect_flow(lab, protocols[i]);

		asked(&about, false, protocols[i]);
		frame_ip6(&about)->hop_limit = 63;
		error(&wanted, mac_green, mac_br2, UPLINK_IP6, GREEN_IP6, 63, &about);
		expect(lab, RED, &f, GREEN, &wanted);

		answered(&about, false, protocols[i]);
		error(&f, mac_br2, mac_green, GREEN_IP6, UPLINK_IP6, 64, &about);
		answered(&about, true, protocols[i]);
		frame_ip6(&about)->hop_limit = 63;
		error(&wanted, mac_red, mac_br1, GREEN_IP6, RED_IP6, 63, &about);
		expect(lab, GREEN, &f, RED, &wanted);
		unpublish(lab, protocols[i]);
	}
}

/* As in IPv4: goes by neither isolation nor red's MTU. */
static void test_errors_about_the_hosts_own(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint red = lab_endpoint(lab, RED), as_it_was = red;
	struct nsr_port green;
	struct frame f[2], about;

	publish(lab, IPPROTO_UDP);
	expect_flow(lab, IPPROTO_UDP);
	for (uint16_t i = 0; i < 2; i++) {
		FRAME(&about, .to = mac_green, .from = mac_br2, .source = UPLINK_IP6,
		      .dest = GREEN_IP6, .sport = PORT, .dport = CLIENT + i, .payload = 33);
		error(&f[i], mac_br2, mac_green, GREEN_IP6, UPLINK_IP6, 64, &about);
	}
	EXPECT_PORT_IN(lab, GREEN, &f[0], TO_PEER);
	red.mtu = 88;
	lab_host_set(lab, RED_IP6, &red);
	EXPECT_PORT_IN(lab, GREEN, &f[0], DROPPED(NAT_HAIRPIN));
	EXPECT_PORT_IN(lab, GREEN, &f[1], TO_KERNEL);
	lab_host_set(lab, RED_IP6, &as_it_was);
	green = lab_port(lab, GREEN);
	green.uplink = 0;
	green.flags |= NSR_PORT_ISOLATED;
	lab_port_set(lab, GREEN, &green);
	EXPECT_PORT_IN(lab, GREEN, &f[0], DROPPED(ISOLATED));
	EXPECT_PORT_IN(lab, GREEN, &f[1], TO_KERNEL);
	unpublish(lab, IPPROTO_UDP);
}

/* From outside, in the client's name: what red tells about what goes straight is not turned. */
static void test_forged(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about;

	publish(lab, IPPROTO_UDP);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = GREEN_IP6, .dest = UPLINK_IP6,
	      .sport = CLIENT, .dport = PORT);
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	assert_int_equal(lab_session_bits6(lab), 1);
	asked(&about, true, IPPROTO_UDP);
	error(&f, mac_br1, mac_red, RED_IP6, GREEN_IP6, 64, &about);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	unpublish(lab, IPPROTO_UDP);
}

static void test_refused(void **state)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);
	struct nsr_port green;
	struct frame f;
	int fd;

	settings.flows_max = 1;
	lab_inside_set(lab, "fd00:16::/64", UP0, &settings);
	publish(lab, IPPROTO_UDP);
	expect_flow(lab, IPPROTO_UDP);
	FRAME(&f, .to = mac_br2, .from = mac_green, .source = GREEN_IP6, .dest = UPLINK_IP6,
	      .sport = CLIENT + 1, .dport = PORT);
	EXPECT_PORT_IN(lab, GREEN, &f, REFUSED(NAT_LIMIT));
	FRAME(&f, .to = mac_br2, .from = mac_green, .source = GREEN_IP6, .dest = UPLINK_IP6,
	      .sport = CLIENT, .dport = PORT + 1);
	EXPECT_PORT_IN(lab, GREEN, &f, TO_KERNEL);
	green = lab_port(lab, GREEN);
	green.uplink = 0;
	green.flags |= NSR_PORT_ISOLATED;
	lab_port_set(lab, GREEN, &green);
	asked(&f, false, IPPROTO_UDP);
	EXPECT_PORT_IN(lab, GREEN, &f, DROPPED(ISOLATED));
	/* The host's own may be reached. */
	inet_pton(AF_INET6, UPLINK_IP6, &at.sin6_addr);
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	EXPECT_PORT_IN(lab, GREEN, &f, TO_KERNEL);
	close(fd);
	unpublish(lab, IPPROTO_UDP);
}

/* Of a datagram in fragments, the first or a later one. */
static void piece(struct frame *f, bool later, bool asks, uint8_t ttl)
{
	FRAME(f, .to = asks ? mac_br2 : mac_br1, .from = asks ? mac_green : mac_red,
	      .source = asks ? GREEN_IP6 : RED_IP6, .dest = asks ? UPLINK_IP6 : GREEN_IP6,
	      .sport = asks ? CLIENT : 80, .dport = asks ? PORT : CLIENT, .payload = 512,
	      .ttl = ttl, .extended = true, .extension = 44,
	      .extension_data = {(uint8_t)(later ? 2 : 0), (uint8_t)!later, 1, 2, 3, 4});
}

static void expect_piece(struct lab *lab, bool later, bool asks, const char *source)
{
	struct in6_addr wanted;
	struct frame f, *out;

	inet_pton(AF_INET6, source, &wanted);
	piece(&f, later, asks, 64);
	out = &EXPECT_PORT_IN(lab, asks ? GREEN : RED, &f, TO_PEER)->out;
	assert_memory_equal(&frame_ip6(out)->saddr, &wanted, sizeof(wanted));
}

static void test_fragments(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	publish(lab, IPPROTO_UDP);
	expect_flow(lab, IPPROTO_UDP);
	piece(&f, true, false, 64);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL); /* straight: of none that is known */
	expect_piece(lab, false, false, UPLINK_IP6);
	expect_piece(lab, true, false, UPLINK_IP6);
	/* Another one of that identification, which goes straight. */
	piece(&f, false, false, 64);
	*(__be16 *)(f.bytes + ETH_HLEN + sizeof(struct ipv6hdr) + FRAME_EXTENSION) = htons(81);
	frame_seal(&f);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	piece(&f, true, false, 64);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	unpublish(lab, IPPROTO_UDP);
}

/* A first fragment with the identification of one before, which is the host's, or too large: what
 * follows it is not for whom the older was for. */
static void test_identification_again(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint red = lab_endpoint(lab, RED), green = lab_endpoint(lab, GREEN);
	struct frame f;

	publish(lab, IPPROTO_UDP);
	expect_flow(lab, IPPROTO_UDP);
	expect_piece(lab, false, true, GREEN_IP6);
	expect_piece(lab, true, true, GREEN_IP6);
	piece(&f, false, true, 64);
	*(__be16 *)(f.bytes + ETH_HLEN + sizeof(struct ipv6hdr) + FRAME_EXTENSION + 2) =
		htons(PORT + 1);
	frame_seal(&f);
	EXPECT_PORT_IN(lab, GREEN, &f, TO_KERNEL);
	piece(&f, true, true, 64);
	EXPECT_PORT_IN(lab, GREEN, &f, TO_KERNEL);
	expect_piece(lab, false, true, GREEN_IP6);
	expect_piece(lab, false, false, UPLINK_IP6);
	red.mtu = green.mtu = 88;
	lab_host_set(lab, RED_IP6, &red);
	lab_host_set(lab, GREEN_IP6, &green);
	for (int asks = 0; asks < 2; asks++) {
		piece(&f, false, asks, 64);
		EXPECT_PORT_IN(lab, asks ? GREEN : RED, &f, DROPPED(NAT_HAIRPIN));
	}
	red.mtu = green.mtu = LAB_MTU;
	lab_host_set(lab, RED_IP6, &red);
	lab_host_set(lab, GREEN_IP6, &green);
	for (int asks = 0; asks < 2; asks++) {
		piece(&f, true, asks, 64);
		EXPECT_PORT_IN(lab, asks ? GREEN : RED, &f, TO_KERNEL);
	}
	unpublish(lab, IPPROTO_UDP);
}

/* What has come from outside in the client's name, before it: too large to be held. */
static void test_forged_fragment(void **state)
{
	struct lab *lab = lab_of(state);
	int in = lab->datapath->maps[MAP_datagrams_in6];
	struct nsr_datagram_in6 entry;
	struct nsr_datagram6 key = {.id = htonl(0x01020304), .uplink = lab->uplink_number[UP0]};

	inet_pton(AF_INET6, GREEN_IP6, &key.source);
	inet_pton(AF_INET6, UPLINK_IP6, &key.dest);
	publish(lab, IPPROTO_UDP);
	expect_piece(lab, false, true, GREEN_IP6);
	assert_int_equal(bpf_map_lookup_elem(in, &key, &entry), 0);
	entry.whom = NSR_INBOUND_LEFT;
	assert_int_equal(bpf_map_update_elem(in, &key, &entry, BPF_EXIST), 0);
	expect_piece(lab, false, true, GREEN_IP6);
	expect_piece(lab, true, true, GREEN_IP6);
	unpublish(lab, IPPROTO_UDP);
}

/* What follows a first one, when it ends here and when it is too large. */
static void test_followers(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint red = lab_endpoint(lab, RED), green = lab_endpoint(lab, GREEN);
	struct frame f[4], about;
	static const uint8_t ttls[] = {64, 1, 64};
	const int outcomes[] = {TO_PEER, TO_KERNEL, DROPPED(NAT_HAIRPIN)};

	publish(lab, IPPROTO_UDP);
	expect_flow(lab, IPPROTO_UDP);
	expect_piece(lab, false, true, GREEN_IP6);
	expect_piece(lab, false, false, UPLINK_IP6);
	for (size_t i = 0; i < 3; i++) {
		if (i == 2) {
			red.mtu = green.mtu = 88;
			lab_host_set(lab, RED_IP6, &red);
			lab_host_set(lab, GREEN_IP6, &green);
		}
		piece(&f[0], true, true, ttls[i]);
		piece(&f[1], true, false, ttls[i]);
		answered(&about, false, IPPROTO_UDP);
		error(&f[2], mac_br2, mac_green, GREEN_IP6, UPLINK_IP6, ttls[i], &about);
		asked(&about, true, IPPROTO_UDP);
		error(&f[3], mac_br1, mac_red, RED_IP6, GREEN_IP6, ttls[i], &about);
		for (size_t j = 0; j < 4; j++)
			EXPECT_PORT_IN(lab, j % 2 ? RED : GREEN, &f[j], outcomes[i]);
	}
	unpublish(lab, IPPROTO_UDP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_both_ways),
		LAB_TEST(test_errors),
		LAB_TEST(test_forged),
		LAB_TEST(test_refused),
		LAB_TEST(test_fragments),
		LAB_TEST(test_forged_fragment),
		LAB_TEST(test_followers),
		LAB_TEST(test_errors_about_the_hosts_own),
		LAB_TEST(test_identification_again),
	};

	return LAB_MAIN(tests);
}
