/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A published port, as plain reaches it, whose network leaves by no uplink: fragments, and what
 * does not get any further. test_guest.c has the rules.
 */
#include "guests.h"

#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>

#include "datapath_maps.h"
#include "nsroute_trace.h"

static void expect_half(struct lab *lab, enum lab_port from, struct frame *f, enum lab_port to,
			const char *source, const char *dest)
{
	struct run *run = EXPECT_PORT_IN(lab, from, f, TO_PEER);

	assert_int_equal(run->delivered, to);
	assert_int_equal(frame_ip4(&run->out)->saddr, address4(source));
	assert_int_equal(frame_ip4(&run->out)->daddr, address4(dest));
}

static void test_fragments(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame whole, half[2];
	uint16_t id;

	guests_publish(lab, IPPROTO_UDP);
	FRAME(&whole, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = UPLINK_IP,
	      .sport = GUESTS_CLIENT, .dport = GUESTS_PORT, .payload = 1000);
	frame_halve(&whole, 77, half);
	EXPECT_PORT_IN(lab, PLAIN, &half[1], TO_KERNEL); /* the host's: its first has not come */
	expect_half(lab, PLAIN, &half[0], RED, PLAIN_IP, RED_IP);
	expect_half(lab, PLAIN, &half[1], RED, PLAIN_IP, RED_IP);

	FRAME(&whole, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = PLAIN_IP,
	      .sport = 80, .dport = GUESTS_CLIENT, .payload = 1000);
	frame_halve(&whole, 78, half);
	expect_half(lab, RED, &half[1], PLAIN, RED_IP, PLAIN_IP); /* of none that is known */
	expect_half(lab, RED, &half[0], PLAIN, UPLINK_IP, PLAIN_IP);
	id = frame_ip4(&EXPECT_PORT_IN(lab, RED, &half[0], TO_PEER)->out)->id;
	expect_half(lab, RED, &half[1], PLAIN, UPLINK_IP, PLAIN_IP);
	assert_int_equal(frame_ip4(&EXPECT_PORT_IN(lab, RED, &half[1], TO_PEER)->out)->id, id);
	guests_unpublish(lab, IPPROTO_UDP);
}

/* What has come from outside in the client's name, before it: too large to be held. */
static void test_forged_fragment(void **state)
{
	struct lab *lab = lab_of(state);
	int in = lab->datapath->maps[MAP_datagrams_in];
	struct nsr_datagram_in entry;
	struct nsr_datagram key = {.source = address4(PLAIN_IP),
				   .dest = address4(UPLINK_IP),
				   .protocol = IPPROTO_UDP,
				   .id = htons(77),
				   .uplink = (uint8_t)lab->uplink_number[UP0]};
	struct frame whole, half[2];

	guests_publish(lab, IPPROTO_UDP);
	FRAME(&whole, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = UPLINK_IP,
	      .sport = GUESTS_CLIENT, .dport = GUESTS_PORT, .payload = 1000);
	frame_halve(&whole, 77, half);
	expect_half(lab, PLAIN, &half[0], RED, PLAIN_IP, RED_IP);
	assert_int_equal(bpf_map_lookup_elem(in, &key, &entry), 0);
	entry.whom = NSR_INBOUND_LEFT;
	assert_int_equal(bpf_map_update_elem(in, &key, &entry, BPF_EXIST), 0);
	expect_half(lab, PLAIN, &half[0], RED, PLAIN_IP, RED_IP);
	expect_half(lab, PLAIN, &half[1], RED, PLAIN_IP, RED_IP);
	guests_unpublish(lab, IPPROTO_UDP);
}

static void answered_in_two(uint16_t sport, uint16_t dport, struct frame half[2])
{
	struct frame whole;

	FRAME(&whole, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = PLAIN_IP,
	      .sport = sport, .dport = dport, .payload = 1000);
	frame_halve(&whole, 78, half);
}

/* A datagram that goes straight, with the identification of an answer before: of no session, and of
 * one that is not the client's. */
static void test_identification_again(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, half[2];

	guests_publish(lab, IPPROTO_UDP);
	guests_expect_asked(lab, IPPROTO_UDP, 0);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = PLAIN_IP, .dest = UPLINK_IP,
	      .sport = GUESTS_CLIENT + 1, .dport = GUESTS_PORT);
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	for (int forged = 0; forged < 2; forged++) {
		answered_in_two(80, GUESTS_CLIENT, half);
		expect_half(lab, RED, &half[0], PLAIN, UPLINK_IP, PLAIN_IP);
		expect_half(lab, RED, &half[1], PLAIN, UPLINK_IP, PLAIN_IP);
		answered_in_two(forged ? 80 : 81, GUESTS_CLIENT + 1, half);
		EXPECT_PORT_IN(lab, RED, &half[0], forged ? TO_KERNEL : TO_PEER);
		expect_half(lab, RED, &half[1], PLAIN, RED_IP, PLAIN_IP);
	}
	guests_unpublish(lab, IPPROTO_UDP);
}

static void asked_in_two(uint16_t port, struct frame half[2])
{
	struct frame whole;

	FRAME(&whole, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = UPLINK_IP,
	      .sport = GUESTS_CLIENT, .dport = port, .payload = 1000);
	frame_halve(&whole, 77, half);
}

/* A client's datagram that is the host's, with the identification of one before that was red's:
 * red gets nothing of it. What has come from outside of that name stays as it is. */
static void test_the_hosts_again(void **state)
{
	struct lab *lab = lab_of(state);
	int in = lab->datapath->maps[MAP_datagrams_in];
	struct nsr_datagram_in entry;
	struct nsr_datagram key = {.source = address4(PLAIN_IP),
				   .dest = address4(UPLINK_IP),
				   .protocol = IPPROTO_UDP,
				   .id = htons(77),
				   .uplink = (uint8_t)lab->uplink_number[UP0]};
	struct frame reds[2], hosts[2];

	guests_publish(lab, IPPROTO_UDP);
	asked_in_two(GUESTS_PORT, reds);
	asked_in_two(GUESTS_PORT + 1, hosts);
	expect_half(lab, PLAIN, &reds[0], RED, PLAIN_IP, RED_IP);
	expect_half(lab, PLAIN, &hosts[1], RED, PLAIN_IP, RED_IP);
	EXPECT_PORT_IN(lab, PLAIN, &hosts[0], TO_KERNEL);
	EXPECT_PORT_IN(lab, PLAIN, &hosts[1], TO_KERNEL);
	expect_half(lab, PLAIN, &reds[0], RED, PLAIN_IP, RED_IP);
	assert_int_equal(bpf_map_lookup_elem(in, &key, &entry), 0);
	entry.whom = NSR_INBOUND_LEFT;
	assert_int_equal(bpf_map_update_elem(in, &key, &entry, BPF_EXIST), 0);
	EXPECT_PORT_IN(lab, PLAIN, &hosts[0], TO_KERNEL);
	assert_int_equal(bpf_map_lookup_elem(in, &key, &entry), 0);
	guests_unpublish(lab, IPPROTO_UDP);
}

/* A first fragment that is too large: those that follow are not for whom an older one of that
 * identification was for, nor come from there. */
static void test_too_large_again(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint red = lab_endpoint(lab, RED), plain = lab_endpoint(lab, PLAIN);
	struct frame asked[2], answered[2];

	guests_publish(lab, IPPROTO_UDP);
	asked_in_two(GUESTS_PORT, asked);
	expect_half(lab, PLAIN, &asked[0], RED, PLAIN_IP, RED_IP);
	answered_in_two(80, GUESTS_CLIENT, answered);
	expect_half(lab, RED, &answered[0], PLAIN, UPLINK_IP, PLAIN_IP);
	red.mtu = plain.mtu = 68;
	lab_host_set(lab, RED_IP, &red);
	lab_host_set(lab, PLAIN_IP, &plain);
	EXPECT_PORT_IN(lab, PLAIN, &asked[0], DROPPED(NAT_HAIRPIN));
	EXPECT_PORT_IN(lab, RED, &answered[0], DROPPED(NAT_HAIRPIN));
	red.mtu = plain.mtu = LAB_MTU;
	lab_host_set(lab, RED_IP, &red);
	lab_host_set(lab, PLAIN_IP, &plain);
	EXPECT_PORT_IN(lab, PLAIN, &asked[1], TO_KERNEL);
	expect_half(lab, RED, &answered[1], PLAIN, RED_IP, PLAIN_IP);
	guests_unpublish(lab, IPPROTO_UDP);
}

/* What follows a first one: fragments, and errors, by either side. */
struct followers {
	struct frame asked, answered, asked_error, answered_error;
};

static void follow(struct lab *lab, uint8_t ttl, struct followers *ret)
{
	struct frame whole, half[2];

	FRAME(&whole, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = UPLINK_IP,
	      .sport = GUESTS_CLIENT, .dport = GUESTS_PORT, .payload = 1000, .ttl = ttl);
	frame_halve(&whole, 77, half);
	ret->asked = half[1];
	frame_ip4(&half[0])->ttl = 64;
	frame_seal(&half[0]);
	expect_half(lab, PLAIN, &half[0], RED, PLAIN_IP, RED_IP);
	FRAME(&whole, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = PLAIN_IP,
	      .sport = 80, .dport = GUESTS_CLIENT, .payload = 1000, .ttl = ttl);
	frame_halve(&whole, 78, half);
	ret->answered = half[1];
	frame_ip4(&half[0])->ttl = 64;
	frame_seal(&half[0]);
	expect_half(lab, RED, &half[0], PLAIN, UPLINK_IP, PLAIN_IP);
	guests_answered(&whole, UPLINK_IP, GUESTS_PORT, IPPROTO_UDP, 0);
	guests_error(&ret->asked_error, mac_br3, mac_plain, PLAIN_IP, UPLINK_IP, ttl, &whole);
	guests_asked(&whole, RED_IP, 80, IPPROTO_UDP, 0);
	guests_error(&ret->answered_error, mac_br1, mac_red, RED_IP, PLAIN_IP, ttl, &whole);
}

static void expect_followers(struct lab *lab, struct followers *f, int outcome)
{
	EXPECT_PORT_IN(lab, PLAIN, &f->asked, outcome);
	EXPECT_PORT_IN(lab, RED, &f->answered, outcome);
	EXPECT_PORT_IN(lab, PLAIN, &f->asked_error, outcome);
	EXPECT_PORT_IN(lab, RED, &f->answered_error, outcome);
}

/* The kernel answers that the way ends here, or takes it. */
static void test_last_hop(void **state)
{
	struct lab *lab = lab_of(state);
	struct followers f;

	guests_publish(lab, IPPROTO_UDP);
	follow(lab, 2, &f);
	expect_followers(lab, &f, TO_PEER);
	follow(lab, 1, &f);
	expect_followers(lab, &f, TO_KERNEL);
	guests_unpublish(lab, IPPROTO_UDP);
}

static void test_too_large(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint red = lab_endpoint(lab, RED), plain = lab_endpoint(lab, PLAIN);
	struct followers f;

	guests_publish(lab, IPPROTO_UDP);
	follow(lab, 64, &f);
	red.mtu = plain.mtu = 68;
	lab_host_set(lab, RED_IP, &red);
	lab_host_set(lab, PLAIN_IP, &plain);
	expect_followers(lab, &f, DROPPED(NAT_HAIRPIN));
	red.mtu = plain.mtu = LAB_MTU;
	lab_host_set(lab, RED_IP, &red);
	lab_host_set(lab, PLAIN_IP, &plain);
	guests_unpublish(lab, IPPROTO_UDP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_fragments),
		LAB_TEST(test_forged_fragment),
		LAB_TEST(test_identification_again),
		LAB_TEST(test_the_hosts_again),
		LAB_TEST(test_too_large_again),
		LAB_TEST(test_last_hop),
		LAB_TEST(test_too_large),
	};

	return LAB_MAIN(tests);
}
