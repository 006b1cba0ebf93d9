/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is held of fragments of IPv4 that come before their first: large ones in parts, as many as
 * there is room for, and what becomes of the rest.
 */
#include "pieces.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "nsroute_trace.h"

#define SMALL 400 /* bytes of a first piece that leave more than NSR_HELD_BYTES to the other */

/* One that is held in two parts, of this datagram to red's port. */
static void take_to_large(uint16_t port, uint16_t id, struct frame *ret_first,
			  struct frame *ret_large)
{
	static struct frame whole;

	pieces4_arriving(&whole, UPLINK_IP, IPPROTO_UDP, port, id);
	pieces4_take_one(&whole, 0, SMALL, ret_first);
	pieces4_take_one(&whole, SMALL, PAYLOAD, ret_large);
	assert_in_range(ret_large->length, NSR_HELD_BYTES + 1, 2 * NSR_HELD_BYTES);
}

/* They are put together again as they were, among others. */
static void test_large(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port = pieces4_open_flow(lab, IPPROTO_UDP, 4321);
	static struct frame first[2], large[2];
	struct frame *out;
	int fd = listen_at_uplink(lab, ETH_P_IP);
	uint32_t i;

	for (i = 0; i < 2; i++) {
		take_to_large(port, (uint16_t)(i + 1), &first[i], &large[i]);
		expect_held(lab, &large[i]);
	}
	expect_held(lab, &large[1]); /* once more, as a network may do it */
	assert_int_equal(lab_entries(lab, MAP_held_fragments), 6);
	for (i = 2; i-- > 0;) {
		expect_held(lab, &first[i]);
		expect_again(fd, &first[i]);
		expect_again(fd, &large[i]);
		if (i)
			expect_again(fd, &large[i]);
		assert_int_equal(lab_entries(lab, MAP_held_fragments), i ? 2 : 0);
		/* It is too large for red's interface, so the kernel gets it. */
		EXPECT_IN(lab, UP0, &first[i], TRANSLATED_TO_PEER);
		out = &EXPECT_IN(lab, UP0, &large[i], TRANSLATED)->out;
		assert_null(frame_fault(out));
		assert_int_equal(frame_ip4(out)->daddr, address4(RED_IP));
		assert_memory_equal(frame_transport(out), frame_transport(&large[i]),
				    large[i].length - ETH_HLEN - 20);
	}
	close(fd);
}

#define MEETINGS 1500

struct meeting {
	struct lab *lab;
	pthread_barrier_t both;
	struct frame first, large, out;
	int action;
};

/* One is late, and then the other, by up to some 50 microseconds. */
static void delay(uint32_t number, uint32_t factor)
{
	for (volatile uint32_t spin = number * factor % 1009 * 100; spin; spin--)
		;
}

static void *large_arrives(void *argument)
{
	struct meeting *m = argument;

	for (uint32_t i = 0; i < MEETINGS; i++) {
		pthread_barrier_wait(&m->both);
		delay(i, 331);
		m->action = lab_run(m->lab, DATAPATH_UPLINK_IN, m->lab->uplink[UP0], &m->large,
				    &m->out);
		pthread_barrier_wait(&m->both);
	}
	return NULL;
}

/* The first fragment comes while another CPU is holding the second: that is held and let go, or
 * translated, and nothing stays. */
static void test_meeting(void **state)
{
	static struct meeting m;
	static struct frame seen;
	uint16_t port = pieces4_open_flow(lab_of(state), IPPROTO_UDP, 4321);
	int fd = listen_at_uplink(lab_of(state), ETH_P_IP);
	pthread_t other;
	uint32_t i, held = 0;

	m.lab = lab_of(state);
	assert_int_equal(pthread_barrier_init(&m.both, NULL, 2), 0);
	assert_int_equal(pthread_create(&other, NULL, large_arrives, &m), 0);
	for (i = 0; i < MEETINGS; i++) {
		take_to_large(port, (uint16_t)(i + 1), &m.first, &m.large);
		pthread_barrier_wait(&m.both);
		delay(i, 617);
		lab_run(m.lab, DATAPATH_UPLINK_IN, m.lab->uplink[UP0], &m.first, NULL);
		pthread_barrier_wait(&m.both);
		assert_int_equal(lab_entries(m.lab, MAP_held_fragments), 0);
		if (m.action != TC_ACT_STOLEN) {
			assert_int_equal(frame_ip4(&m.out)->daddr, address4(RED_IP));
			continue;
		}
		held++;
		do
			assert_true(recv(fd, seen.bytes, sizeof(seen.bytes), 0) > 0);
		while (!(frame_ip4(&seen)->frag_off & htons(PIECES4_OFFSET)));
		assert_memory_equal(seen.bytes, m.large.bytes, m.large.length);
	}
	pthread_join(other, NULL);
	pthread_barrier_destroy(&m.both);
	print_message("of %u, %u held\n", MEETINGS, held);
	close(fd);
}

/* What is not followed by its first is counted once, and all of it goes. */
static void test_large_given_up(void **state)
{
	struct lab *lab = lab_of(state);
	static struct frame first, large;

	take_to_large(1234, 1, &first, &large);
	expect_given_up(lab, &large, MAP_held_fragments);
}

/* A datagram of which the host has got a piece, as it is too large to be held, is the host's if its
 * first fragment is. Else it is dropped, and told. PROG_RUN takes no piece that is as large. */
static void test_left(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port = pieces4_open_flow(lab, IPPROTO_UDP, 4321);
	int in = lab->datapath->maps[MAP_datagrams_in], fd = listen_at_uplink(lab, ETH_P_IP);
	static struct frame whole;
	static struct pieces pieces;
	struct nsr_datagram_in entry;
	struct nsr_datagram key = {.source = address4(REMOTE_IP),
				   .dest = address4(UPLINK_IP),
				   .protocol = IPPROTO_UDP,
				   .uplink = (uint8_t)lab->uplink_number[UP0]};
	uint16_t id;
	uint32_t i;

	for (id = 1; id <= 2; id++) {
		pieces4_arriving(&whole, UPLINK_IP, IPPROTO_UDP, id == 1 ? port : 99, id);
		pieces4_take(&whole, &pieces);
		expect_held(lab, &pieces.piece[1]);
		key.id = htons(id);
		assert_int_equal(bpf_map_lookup_elem(in, &key, &entry), 0);
		assert_int_equal(entry.whom, NSR_INBOUND_HELD);
		entry.whom = NSR_INBOUND_LEFT;
		assert_int_equal(bpf_map_update_elem(in, &key, &entry, BPF_EXIST), 0);
		EXPECT_IN(lab, UP0, &pieces.piece[2], PASSED); /* what follows, too */
		if (id == 1) {
			for (i = 0; i < PIECES; i++)
				EXPECT_IN(lab, UP0, &pieces.piece[i], DROPPED(NAT_FRAGMENT));
			continue;
		}
		expect_held(lab, &pieces.piece[0]);
		expect_again(fd, &pieces.piece[0]);
		expect_again(fd, &pieces.piece[1]);
		EXPECT_IN(lab, UP0, &pieces.piece[2], PASSED);
	}
	assert_int_equal(lab_entries(lab, MAP_held_fragments), 1); /* until it is given up */
	/* Another datagram with its identification, later. */
	lab_clock_offset(lab, NSR_DATAGRAM_S + 1);
	pieces4_arriving(&whole, UPLINK_IP, IPPROTO_UDP, port, 1);
	pieces4_take(&whole, &pieces);
	for (i = 0; i < PIECES; i++)
		EXPECT_IN(lab, UP0, &pieces.piece[i], TRANSLATED_TO_PEER);
	close(fd);
}

/* A fragment of nothing, that comes first and has no room. */
static void forge(struct lab *lab, const char *source, uint16_t id)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = source, .dest = UPLINK_IP,
	      .fragment = PIECES4_MORE | 64, .payload = 64, .id = id);
	lab_run(lab, DATAPATH_UPLINK_IN, lab->uplink[UP0], &f, NULL);
}

/* RFC 4787 REQ-14a: a flood of fragments, by which nothing more can be held, costs datagrams that
 * come in order nothing, nor what is whole; not even where the identifications are guessed. */
static void test_flood_guessed(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port = pieces4_open_flow(lab, IPPROTO_UDP, 4321), id;
	static struct frame whole;
	static struct pieces pieces;
	uint32_t i, sent = 1;

	while (lab_entries(lab, MAP_held_fragments) < NSR_HELD_MAX)
		forge(lab, REMOTE2_IP, (uint16_t)sent++);
	for (id = 1; id <= 40; id++) {
		pieces4_arriving(&whole, UPLINK_IP, IPPROTO_UDP, port, id);
		pieces4_take(&whole, &pieces);
		EXPECT_IN(lab, UP0, &whole, TRANSLATED);
		if (id % 2) {
			forge(lab, REMOTE_IP, id);
			expect_held(lab,
				    &pieces.piece[0]); /* goes on behind what is held: nothing */
		}
		for (i = 0; i < PIECES; i++) {
			EXPECT_IN(lab, UP0, &pieces.piece[i], TRANSLATED_TO_PEER);
			for (uint32_t end = sent + 500; sent < end; sent++)
				forge(lab, REMOTE2_IP, (uint16_t)sent);
		}
	}
	assert_int_equal(lab_entries(lab, MAP_held_fragments), NSR_HELD_MAX);
}

/* What there is no room for is left to the host. */
static void test_room(void **state)
{
	struct lab *lab = lab_of(state);
	static struct frame first, large;
	struct frame f;
	uint32_t i;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .fragment = PIECES4_MORE | 64, .payload = 64);
	for (i = 0; i < NSR_HELD_NUMBERS; i++)
		expect_held(lab, &f);
	EXPECT_IN(lab, UP0, &f, PASSED); /* too many of one datagram */
	for (i = lab_entries(lab, MAP_held_fragments); i < NSR_HELD_MAX; i++) {
		if (i == NSR_HELD_MAX - 1) { /* for one part, but not for two */
			take_to_large(1234, 0xfffe, &first, &large);
			EXPECT_IN(lab, UP0, &large, PASSED);
			assert_int_equal(lab_entries(lab, MAP_held_fragments), i);
		}
		frame_ip4(&f)->id = htons((uint16_t)i);
		frame_seal(&f);
		assert_int_equal(lab_run(lab, DATAPATH_UPLINK_IN, lab->uplink[UP0], &f, NULL),
				 TC_ACT_STOLEN);
	}
	frame_ip4(&f)->id = htons(0xffff);
	frame_seal(&f);
	EXPECT_IN(lab, UP0, &f, PASSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_large), LAB_TEST(test_meeting),       LAB_TEST(test_large_given_up),
		LAB_TEST(test_left),  LAB_TEST(test_flood_guessed), LAB_TEST(test_room),
	};

	return LAB_MAIN(tests);
}
