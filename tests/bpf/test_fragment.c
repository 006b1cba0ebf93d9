/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments of translated datagrams, both ways, in every order.
 *
 * A datagram is built whole, taken to pieces here, and what the programs made of the pieces is put
 * together again and compared with a datagram that was built with the other addresses.
 */
#include "pieces.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "datapath_maps.h"

#define MORE   0x2000
#define OFFSET 0x1fff

static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};

static void take_to_pieces(const struct frame *whole, struct pieces *ret)
{
	struct frame copy = *whole;
	uint32_t header = ETH_HLEN + frame_ip4(&copy)->ihl * 4u, data = whole->length - header;
	uint32_t i, length;

	for (i = 0; i < PIECES; i++) {
		struct frame *f = &ret->piece[i];

		length = i == PIECES - 1 ? data - i * PIECE : PIECE;
		memset(f, 0, sizeof(*f));
		memcpy(f->bytes, whole->bytes, header);
		memcpy(f->bytes + header, whole->bytes + header + (size_t)i * PIECE, length);
		f->length = header + length;
		frame_ip4(f)->tot_len = htons((uint16_t)(f->length - ETH_HLEN));
		frame_ip4(f)->frag_off =
			htons((uint16_t)((i == PIECES - 1 ? 0 : MORE) | i * PIECE / 8));
		frame_seal(f);
	}
}

/* All pieces have one header but for offset and length, and together what wanted has. */
static void expect_whole(struct pieces *got, const struct frame *wanted)
{
	static struct frame whole;
	uint32_t header = ETH_HLEN + 20, i;

	memset(&whole, 0, sizeof(whole));
	for (i = 0; i < PIECES; i++) {
		struct frame *f = &got->piece[i];
		uint32_t at = (ntohs(frame_ip4(f)->frag_off) & OFFSET) * 8u;

		assert_null(frame_fault(f));
		assert_int_equal(frame_ip4(f)->id, frame_ip4(&got->piece[0])->id);
		memcpy(whole.bytes, f->bytes, header);
		memcpy(whole.bytes + header + at, f->bytes + header, f->length - header);
	}
	whole.length = wanted->length;
	frame_ip4(&whole)->id = frame_ip4((struct frame *)wanted)->id;
	frame_ip4(&whole)->frag_off = 0;
	frame_ip4(&whole)->tot_len = htons((uint16_t)(whole.length - ETH_HLEN));
	frame_ip4(&whole)->check = frame_ip4((struct frame *)wanted)->check;
	assert_memory_equal(whole.bytes, wanted->bytes, wanted->length);
}

static void leaving(struct frame *f, const char *source, uint8_t protocol, uint16_t port,
		    uint16_t id)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = source, .dest = REMOTE_IP,
	      .protocol = protocol, .sport = port, .dport = 80, .tcp_flags = FRAME_SYN,
	      .icmp_type = FRAME_ECHO_REQUEST, .payload = PAYLOAD, .id = id);
}

/* To red when mac is red's, by us; else as it is outside. */
static void arriving(struct frame *f, const char *dest, uint8_t protocol, uint16_t port,
		     uint16_t id)
{
	bool inside = strcmp(dest, UPLINK_IP);

	FRAME(f, .to = inside ? mac_red : mac_up0, .from = inside ? mac_br1 : mac_router,
	      .source = REMOTE_IP, .dest = dest, .protocol = protocol,
	      .sport = protocol == IPPROTO_ICMP ? port : 80, .dport = port, .tcp_flags = FRAME_ACK,
	      .icmp_type = FRAME_ECHO_REPLY, .payload = PAYLOAD, .id = id, .ttl = inside ? 63 : 64);
}

/* Sends all pieces out in this order, and returns the identification that they left with. */
static uint16_t expect_sent(struct lab *lab, const char *source, uint8_t protocol, uint16_t port,
			    uint16_t id, const uint8_t *order)
{
	static struct frame whole, wanted;
	static struct pieces pieces, sent;
	uint16_t external = 0;
	uint32_t i;

	leaving(&whole, source, protocol, port, id);
	take_to_pieces(&whole, &pieces);
	for (i = 0; i < PIECES; i++) {
		struct frame *out = &EXPECT_OUT(lab, UP0, &pieces.piece[order[i]], TRANSLATED)->out;

		sent.piece[order[i]] = *out;
		if (!order[i])
			external = frame_sport(out);
	}
	leaving(&wanted, UPLINK_IP, protocol, external, id);
	expect_whole(&sent, &wanted);
	return ntohs(frame_ip4(&sent.piece[0])->id);
}

static void test_out(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t id = 1;
	size_t protocol, order;

	for (protocol = 0; protocol < sizeof(protocols); protocol++) {
		for (order = 0; order < ORDERS; order++) {
			expect_sent(lab, RED_IP, protocols[protocol], 4321, id++, orders[order]);
			expect_sent(lab, RED_IP, protocols[protocol], 53, id++, orders[order]);
		}
	}
	/* Later fragments open nothing: a session for each protocol and port. */
	assert_int_equal(lab_active_sessions(lab), 6);
	lab_expect_no_flows(lab);
}

/* RFC 6864: two inside hosts with one identification leave with two. */
static void test_identifications(void **state)
{
	static bool used[65536];
	struct lab *lab = lab_of(state);
	uint16_t red, blue, i;

	memset(used, 0, sizeof(used));
	for (i = 1; i <= 500; i++) {
		red = expect_sent(lab, RED_IP, IPPROTO_UDP, 4321, i, orders[i % ORDERS]);
		blue = expect_sent(lab, BLUE_IP, IPPROTO_UDP, 4321, i, orders[i % ORDERS]);
		assert_false(used[red]);
		used[red] = true;
		assert_false(used[blue]);
		used[blue] = true;
	}
	/* It is kept for 30 s, and then it is another datagram. */
	red = expect_sent(lab, RED_IP, IPPROTO_UDP, 4321, 7, orders[0]);
	assert_true(used[red]);
	lab_clock_offset(lab, 32);
	red = expect_sent(lab, RED_IP, IPPROTO_UDP, 4321, 7, orders[0]);
	assert_false(used[red]);
}

static void test_out_refused(void **state)
{
	struct lab *lab = lab_of(state);
	static struct frame whole;
	static struct pieces pieces;
	uint32_t i;

	leaving(&whole, RED_IP, IPPROTO_AH, 4321, 1);
	take_to_pieces(&whole, &pieces);
	for (i = 0; i < PIECES; i++)
		EXPECT_OUT(lab, UP0, &pieces.piece[i], DROPPED(NAT_PROTOCOL));
	leaving(&whole, RED_IP, IPPROTO_UDP, 4321, 2);
	take_to_pieces(&whole, &pieces);
	for (i = 0; i < PIECES; i++)
		EXPECT_OUT(lab, UP1, &pieces.piece[i], DROPPED(WRONG_UPLINK));
	lab_uplink_set(lab, UP0, NULL, LAB_PORT_MIN, LAB_PORT_MAX); /* no address */
	for (i = 0; i < PIECES; i++)
		EXPECT_OUT(lab, UP0, &pieces.piece[i], DROPPED(NAT_CLOSED));
}

/* The host's own, from whichever of its addresses. */
static void test_own(void **state)
{
	static const char *const sources[] = {UPLINK_IP, "10.9.0.1"};
	struct lab *lab = lab_of(state);
	static struct frame whole;
	static struct pieces pieces;
	size_t source, protocol;
	uint32_t i;

	for (source = 0; source < 2; source++) {
		for (protocol = 0; protocol < sizeof(protocols); protocol++) {
			leaving(&whole, sources[source], protocols[protocol], 4321, 1);
			take_to_pieces(&whole, &pieces);
			for (i = 0; i < PIECES; i++)
				EXPECT_OUT(lab, UP0, &pieces.piece[i], PASSED);
		}
	}
}

/* ---- Inbound. */

static uint16_t open_flow(struct lab *lab, uint8_t protocol, uint16_t port)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = protocol, .sport = port, .dport = 80, .tcp_flags = FRAME_SYN,
	      .icmp_type = FRAME_ECHO_REQUEST);
	return frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
}

static void expect_received(struct lab *lab, uint8_t protocol, uint16_t external, uint16_t inside,
			    uint16_t id, const uint8_t *order)
{
	static struct frame whole, wanted;
	static struct pieces pieces, got;
	uint32_t i;

	arriving(&whole, UPLINK_IP, protocol, external, id);
	take_to_pieces(&whole, &pieces);
	expect_held_before(lab, &pieces, order, ETH_P_IP, MAP_held_fragments);
	for (i = 0; i < PIECES; i++)
		got.piece[order[i]] =
			EXPECT_IN(lab, UP0, &pieces.piece[order[i]], TRANSLATED_TO_PEER)->out;
	arriving(&wanted, RED_IP, protocol, inside, id);
	expect_whole(&got, &wanted);
}

static void test_in(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t id = 1, preserved, changed;
	size_t protocol, order;

	for (protocol = 0; protocol < sizeof(protocols); protocol++) {
		preserved = open_flow(lab, protocols[protocol], 4321);
		changed = open_flow(lab, protocols[protocol], 53);
		for (order = 0; order < ORDERS; order++) {
			expect_received(lab, protocols[protocol], preserved, 4321, id++,
					orders[order]);
			expect_received(lab, protocols[protocol], changed, 53, id++, orders[order]);
		}
	}
	lab_expect_no_flows(lab);
}

/* All follow the first: to the host, or nowhere. */
static void test_in_not_ours(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port = open_flow(lab, IPPROTO_UDP, 4321);
	static struct frame whole;
	static struct pieces pieces;
	uint32_t i;

	arriving(&whole, UPLINK_IP, IPPROTO_UDP, (uint16_t)(port + 1), 1);
	take_to_pieces(&whole, &pieces);
	for (i = 0; i < PIECES; i++)
		EXPECT_IN(lab, UP0, &pieces.piece[i], PASSED);
	arriving(&whole, UPLINK_IP, IPPROTO_UDP, port, 2);
	frame_ip4(&whole)->saddr = address4(REMOTE2_IP);
	frame_seal(&whole);
	take_to_pieces(&whole, &pieces);
	for (i = 0; i < PIECES; i++)
		EXPECT_IN(lab, UP0, &pieces.piece[i], DROPPED(NAT_FILTERED));
	arriving(&whole, UPLINK_IP, 47, port, 3);
	take_to_pieces(&whole, &pieces);
	for (i = PIECES; i-- > 0;)
		EXPECT_IN(lab, UP0, &pieces.piece[i], PASSED);
	arriving(&whole, UPLINK_IP, IPPROTO_ICMP, port, 4);
	*(uint8_t *)frame_transport(&whole) = FRAME_ECHO_REQUEST;
	frame_seal(&whole);
	take_to_pieces(&whole, &pieces);
	for (i = 0; i < PIECES; i++)
		EXPECT_IN(lab, UP0, &pieces.piece[i], PASSED);
	arriving(&whole, RED_IP, IPPROTO_UDP, port, 5);
	memcpy(whole.bytes, mac_up0, 6);
	take_to_pieces(&whole, &pieces);
	for (i = 0; i < PIECES; i++)
		EXPECT_IN(lab, UP0, &pieces.piece[i], DROPPED(INBOUND));
}

/* Those of the host's that come in another order are held and let go to it. */
static void test_in_for_the_host(void **state)
{
	struct lab *lab = lab_of(state);
	static struct frame whole;
	static struct pieces pieces;

	arriving(&whole, UPLINK_IP, IPPROTO_UDP, 4321, 1);
	take_to_pieces(&whole, &pieces);
	expect_for_the_host(lab, &pieces, ETH_P_IP);
}

/* What there is no room for is left to the host. */
static void test_room(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	uint32_t i;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .fragment = MORE | 100, .payload = NSR_HELD_BYTES);
	EXPECT_IN(lab, UP0, &f, PASSED); /* too long */
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .fragment = MORE | 64, .payload = 64);
	for (i = 0; i < NSR_HELD_NUMBERS; i++)
		expect_held(lab, &f);
	EXPECT_IN(lab, UP0, &f, PASSED); /* too many of one datagram */
	for (i = lab_entries(lab, MAP_held_fragments); i < NSR_HELD_MAX; i++) {
		frame_ip4(&f)->id = htons((uint16_t)i);
		frame_seal(&f);
		assert_int_equal(lab_run(lab, DATAPATH_UPLINK_IN, lab->uplink[UP0], &f, NULL),
				 TC_ACT_STOLEN);
	}
	frame_ip4(&f)->id = htons(0xffff);
	frame_seal(&f);
	EXPECT_IN(lab, UP0, &f, PASSED);
}

/* What is not followed by its first is dropped, and counted only then. */
static void test_given_up(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_drops drops;
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .fragment = MORE | 64, .payload = 64);
	expect_given_up(lab, &f, MAP_held_fragments);
	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_uplink_drops],
					     &lab->uplink_number[UP0], &drops),
			 0);
	assert_int_equal(drops.packets[NSR_DROP_NAT_FRAGMENT], 1);
}

/* What a first fragment said is forgotten after as long. */
static void test_forgotten(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port = open_flow(lab, IPPROTO_TCP, 4321);
	static struct frame whole;
	static struct pieces pieces;

	arriving(&whole, UPLINK_IP, IPPROTO_TCP, port, 1);
	take_to_pieces(&whole, &pieces);
	EXPECT_IN(lab, UP0, &pieces.piece[0], TRANSLATED_TO_PEER);
	EXPECT_IN(lab, UP0, &pieces.piece[1], TRANSLATED_TO_PEER);
	lab_clock_offset(lab, NSR_DATAGRAM_S + 1);
	expect_held(lab, &pieces.piece[1]);
}

static struct nsr_inside lasting(uint32_t seconds)
{
	struct nsr_inside inside = NSR_INSIDE_DEFAULT;

	inside.timeout_s[NSR_TIMEOUT_FRAGMENT] = seconds;
	return inside;
}

static uint32_t wait_at(const struct lab *lab, enum lab_uplink which)
{
	uint32_t ret;

	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_held_waits],
					     &lab->uplink_number[which], &ret),
			 0);
	return ret;
}

/* Each network has its own time: going out, and coming in from the first fragment on. */
static void test_times_of_networks(void **state)
{
	struct lab *lab = lab_of(state);
	const struct nsr_inside slow = lasting(60);
	uint16_t red, green, red_id, green_id;
	static struct frame whole;
	static struct pieces pieces, to_green;

	lab_inside_set(lab, "192.168.15.0/24", UP0, &slow);
	red = open_flow(lab, IPPROTO_UDP, 4321);
	FRAME(&whole, .to = mac_router, .from = mac_up0, .source = GREEN_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_UDP, .sport = 4322, .dport = 80);
	green = frame_sport(&EXPECT_OUT(lab, UP0, &whole, TRANSLATED)->out);
	red_id = expect_sent(lab, RED_IP, IPPROTO_UDP, 4321, 7, orders[0]);
	green_id = expect_sent(lab, GREEN_IP, IPPROTO_UDP, 4322, 7, orders[0]);
	arriving(&whole, UPLINK_IP, IPPROTO_UDP, red, 1);
	take_to_pieces(&whole, &pieces);
	EXPECT_IN(lab, UP0, &pieces.piece[0], TRANSLATED_TO_PEER);
	arriving(&whole, UPLINK_IP, IPPROTO_UDP, green, 2);
	take_to_pieces(&whole, &to_green);
	EXPECT_IN(lab, UP0, &to_green.piece[0], TRANSLATED_TO_PEER);
	lab_clock_offset(lab, 45);
	EXPECT_IN(lab, UP0, &pieces.piece[1], TRANSLATED_TO_PEER);
	expect_held(lab, &to_green.piece[1]);
	assert_int_equal(expect_sent(lab, RED_IP, IPPROTO_UDP, 4321, 7, orders[0]), red_id);
	assert_int_not_equal(expect_sent(lab, GREEN_IP, IPPROTO_UDP, 4322, 7, orders[0]), green_id);
	lab_clock_offset(lab, 62);
	expect_held(lab, &pieces.piece[2]);
	assert_int_not_equal(expect_sent(lab, RED_IP, IPPROTO_UDP, 4321, 7, orders[0]), red_id);
}

/* What is held waits as long as any network of the uplink has it; when the first comes, what is
 * older than its own network has it is not let go. */
static void test_times_of_held(void **state)
{
	struct lab *lab = lab_of(state);
	const struct nsr_inside slow = lasting(60), quick = lasting(5), usual = lasting(30);
	static struct frame whole;
	static struct pieces pieces;
	struct timespec pass = {.tv_sec = 9};
	uint16_t port;
	int fd;

	assert_int_equal(wait_at(lab, UP0), 0);
	lab_inside_set(lab, "192.168.15.0/24", UP0, &quick);
	assert_int_equal(wait_at(lab, UP0), 0);
	lab_inside_set(lab, "192.168.16.0/24", UP0, &slow);
	assert_int_equal(wait_at(lab, UP0), 60);
	port = open_flow(lab, IPPROTO_UDP, 4321);
	arriving(&whole, UPLINK_IP, IPPROTO_UDP, port, 1);
	take_to_pieces(&whole, &pieces);
	expect_held(lab, &pieces.piece[1]);
	lab_clock_offset(lab, 45);
	nanosleep(&pass, NULL);
	assert_int_equal(lab_entries(lab, MAP_held_fragments), 1);
	expect_held(lab, &pieces.piece[2]);
	fd = listen_at_uplink(lab, ETH_P_IP);
	expect_held(lab, &pieces.piece[0]);
	expect_again(fd, &pieces.piece[0]);
	expect_again(fd, &pieces.piece[2]);
	close(fd);
	assert_int_equal(lab_entries(lab, MAP_held_fragments), 1);
	lab_inside_set(lab, "192.168.16.0/24", UP0, &usual);
	assert_int_equal(wait_at(lab, UP0), 30);
	lab_inside_set(lab, "192.168.16.0/24", UP1, &slow);
	assert_int_equal(wait_at(lab, UP1), 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_out),
		LAB_TEST(test_identifications),
		LAB_TEST(test_out_refused),
		LAB_TEST(test_own),
		LAB_TEST(test_in),
		LAB_TEST(test_in_not_ours),
		LAB_TEST(test_in_for_the_host),
		LAB_TEST(test_room),
		LAB_TEST(test_given_up),
		LAB_TEST(test_forgotten),
		LAB_TEST(test_times_of_networks),
		LAB_TEST(test_times_of_held),
	};

	return LAB_MAIN(tests);
}
