/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fragments of translated datagrams of IPv6, both ways, in every order.
 *
 * A datagram is built whole and taken to pieces here, and what the programs made of the pieces is
 * put together again and compared with a datagram that was built with the other addresses.
 */
#include "pieces.h"

#include <arpa/inet.h>
#include <string.h>

#include "datapath_maps.h"

#define HEADERS (ETH_HLEN + (uint32_t)sizeof(struct ipv6hdr))
#define MORE    1

static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, FRAME_ICMPV6};

struct fragment_header {
	uint8_t next, reserved;
	uint16_t offset;
	uint32_t id;
};

static struct fragment_header *fragment_of(struct frame *f)
{
	return (struct fragment_header *)(frame_ip6(f) + 1);
}

static void take_to_pieces(const struct frame *whole, uint32_t id, struct pieces *ret)
{
	uint32_t data = whole->length - HEADERS, i;

	for (i = 0; i < PIECES; i++) {
		struct frame *f = &ret->piece[i];
		struct fragment_header header = {.id = htonl(id)};
		uint32_t length = i == PIECES - 1 ? data - i * PIECE : PIECE;

		memset(f, 0, sizeof(*f));
		memcpy(f->bytes, whole->bytes, HEADERS);
		header.next = frame_ip6(f)->nexthdr;
		header.offset = htons((uint16_t)(i * PIECE | (i < PIECES - 1 ? MORE : 0)));
		frame_ip6(f)->nexthdr = IPPROTO_FRAGMENT;
		frame_ip6(f)->payload_len = htons((uint16_t)(sizeof(header) + length));
		memcpy(f->bytes + HEADERS, &header, sizeof(header));
		memcpy(f->bytes + HEADERS + sizeof(header), whole->bytes + HEADERS + i * PIECE,
		       length);
		f->length = HEADERS + (uint32_t)sizeof(header) + length;
		f->extended = 1;
	}
}

/* All pieces have one identification, and together what wanted has. */
static void expect_whole(struct pieces *got, const struct frame *wanted)
{
	static struct frame whole;
	uint32_t i;

	memset(&whole, 0, sizeof(whole));
	for (i = 0; i < PIECES; i++) {
		struct frame *f = &got->piece[i];
		const struct fragment_header *header = fragment_of(f);

		assert_int_equal(header->id, fragment_of(&got->piece[0])->id);
		memcpy(whole.bytes, f->bytes, HEADERS);
		frame_ip6(&whole)->nexthdr = header->next;
		memcpy(whole.bytes + HEADERS + (ntohs(header->offset) & ~7u), header + 1,
		       f->length - HEADERS - sizeof(*header));
	}
	whole.length = wanted->length;
	frame_ip6(&whole)->payload_len = htons((uint16_t)(whole.length - HEADERS));
	assert_memory_equal(whole.bytes, wanted->bytes, wanted->length);
}

static void leaving(struct frame *f, const char *source, uint8_t protocol, uint16_t port)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = source, .dest = REMOTE_IP6,
	      .protocol = protocol, .sport = port, .dport = 80, .tcp_flags = FRAME_SYN,
	      .icmp_type = FRAME6_ECHO_REQUEST, .payload = PAYLOAD);
}

/* To red when that is the destination, by us; else as it is outside. */
static void arriving(struct frame *f, const char *dest, uint8_t protocol, uint16_t port)
{
	bool inside = strcmp(dest, UPLINK_IP6);

	FRAME(f, .to = inside ? mac_red : mac_up0, .from = inside ? mac_br1 : mac_router,
	      .source = REMOTE_IP6, .dest = dest, .protocol = protocol,
	      .sport = protocol == FRAME_ICMPV6 ? port : 80, .dport = port, .tcp_flags = FRAME_ACK,
	      .icmp_type = FRAME6_ECHO_REPLY, .payload = PAYLOAD, .ttl = inside ? 63 : 64);
}

/* Sends all pieces out in this order, and returns the identification that they left with. */
static uint32_t expect_sent(struct lab *lab, const char *source, uint8_t protocol, uint16_t port,
			    uint32_t id, const uint8_t *order)
{
	static struct frame whole, wanted;
	static struct pieces pieces, sent;
	uint16_t external = 0;
	uint32_t i;

	leaving(&whole, source, protocol, port);
	take_to_pieces(&whole, id, &pieces);
	for (i = 0; i < PIECES; i++) {
		struct frame *out = &EXPECT_OUT(lab, UP0, &pieces.piece[order[i]], TRANSLATED)->out;

		sent.piece[order[i]] = *out;
		if (!order[i])
			external = frame_sport(out);
	}
	leaving(&wanted, UPLINK_IP6, protocol, external);
	expect_whole(&sent, &wanted);
	return ntohl(fragment_of(&sent.piece[0])->id);
}

static void test_out(void **state)
{
	struct lab *lab = lab_of(state);
	size_t protocol, order;
	uint32_t id = 1;

	for (protocol = 0; protocol < sizeof(protocols); protocol++) {
		for (order = 0; order < ORDERS; order++) {
			expect_sent(lab, RED_IP6, protocols[protocol], 4321, id++, orders[order]);
			expect_sent(lab, RED_IP6, protocols[protocol], 53, id++, orders[order]);
		}
	}
	/* Later fragments open nothing: a session for each protocol and port. */
	assert_int_equal(lab_entries(lab, MAP_session_by_flow6), 6);
	lab_expect_no_flows(lab);
}

/* Two inside hosts with one identification leave with two. */
static void test_identifications(void **state)
{
	struct lab *lab = lab_of(state);
	uint32_t red, blue, id;

	for (id = 1; id <= 100; id++) {
		red = expect_sent(lab, RED_IP6, IPPROTO_UDP, 4321, id, orders[id % ORDERS]);
		blue = expect_sent(lab, BLUE_IP6, IPPROTO_UDP, 4321, id, orders[id % ORDERS]);
		assert_int_not_equal(red, blue);
	}
}

static void test_out_refused(void **state)
{
	struct lab *lab = lab_of(state);
	static struct frame whole;
	static struct pieces pieces;
	uint32_t i;

	leaving(&whole, RED_IP6, IPPROTO_UDP, 4321);
	take_to_pieces(&whole, 2, &pieces);
	for (i = 0; i < PIECES; i++)
		EXPECT_OUT(lab, UP1, &pieces.piece[i], DROPPED(WRONG_UPLINK));
	for (i = 0; i < PIECES; i++)
		fragment_of(&pieces.piece[i])->next = IPPROTO_UDPLITE;
	for (i = 0; i < PIECES; i++)
		EXPECT_OUT(lab, UP0, &pieces.piece[i], DROPPED(NAT_PROTOCOL));
	for (i = 0; i < PIECES; i++)
		fragment_of(&pieces.piece[i])->next = IPPROTO_DSTOPTS;
	EXPECT_OUT(lab, UP0, &pieces.piece[0], DROPPED(NAT_FRAGMENT));
	EXPECT_OUT(lab, UP0, &pieces.piece[1], DROPPED(NAT_FRAGMENT));
	leaving(&whole, RED_IP6, FRAME_ICMPV6, 4321);
	*(uint8_t *)frame_transport(&whole) = FRAME6_TOO_BIG;
	take_to_pieces(&whole, 3, &pieces);
	EXPECT_OUT(lab, UP0, &pieces.piece[0], DROPPED(NAT_FRAGMENT));
}

static void test_own(void **state)
{
	static const char *const sources[] = {UPLINK_IP6, "2001:db8:1::77"};
	struct lab *lab = lab_of(state);
	static struct frame whole;
	static struct pieces pieces;
	size_t source, protocol;
	uint32_t i;

	for (source = 0; source < 2; source++) {
		for (protocol = 0; protocol < sizeof(protocols); protocol++) {
			leaving(&whole, sources[source], protocols[protocol], 4321);
			take_to_pieces(&whole, 1, &pieces);
			for (i = 0; i < PIECES; i++)
				EXPECT_OUT(lab, UP0, &pieces.piece[i], PASSED);
		}
	}
}

/* ---- Inbound. */

static uint16_t open_flow(struct lab *lab, uint8_t protocol, uint16_t port)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP6, .dest = REMOTE_IP6,
	      .protocol = protocol, .sport = port, .dport = 80, .tcp_flags = FRAME_SYN,
	      .icmp_type = FRAME6_ECHO_REQUEST);
	return frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
}

static void expect_received(struct lab *lab, uint8_t protocol, uint16_t external, uint16_t inside,
			    uint32_t id, const uint8_t *order)
{
	static struct frame whole, wanted;
	static struct pieces pieces, got;
	uint32_t i;

	arriving(&whole, UPLINK_IP6, protocol, external);
	take_to_pieces(&whole, id, &pieces);
	expect_held_before(lab, &pieces, order, ETH_P_IPV6, MAP_held_fragments6);
	for (i = 0; i < PIECES; i++)
		got.piece[order[i]] =
			EXPECT_IN(lab, UP0, &pieces.piece[order[i]], TRANSLATED_TO_PEER)->out;
	arriving(&wanted, RED_IP6, protocol, inside);
	expect_whole(&got, &wanted);
}

static void test_in(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t preserved, changed;
	size_t protocol, order;
	uint32_t id = 1;

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

	arriving(&whole, UPLINK_IP6, IPPROTO_UDP, (uint16_t)(port + 1));
	take_to_pieces(&whole, 1, &pieces);
	for (i = 0; i < PIECES; i++)
		EXPECT_IN(lab, UP0, &pieces.piece[i], PASSED);
	arriving(&whole, UPLINK_IP6, IPPROTO_UDP, port);
	memcpy(&frame_ip6(&whole)->saddr, lab_ip(REMOTE2_IP6).bytes, 16);
	frame_seal(&whole);
	take_to_pieces(&whole, 2, &pieces);
	for (i = 0; i < PIECES; i++)
		EXPECT_IN(lab, UP0, &pieces.piece[i], DROPPED(NAT_FILTERED));
	arriving(&whole, UPLINK_IP6, IPPROTO_UDP, port);
	take_to_pieces(&whole, 3, &pieces);
	for (i = PIECES; i-- > 0;) {
		fragment_of(&pieces.piece[i])->next = 47;
		EXPECT_IN(lab, UP0, &pieces.piece[i], PASSED);
	}
	arriving(&whole, RED_IP6, IPPROTO_UDP, port);
	memcpy(whole.bytes, mac_up0, 6);
	take_to_pieces(&whole, 4, &pieces);
	for (i = 0; i < PIECES; i++)
		EXPECT_IN(lab, UP0, &pieces.piece[i], DROPPED(INBOUND));
}

/* Those of the host's that come in another order are held and let go to it. */
static void test_in_for_the_host(void **state)
{
	struct lab *lab = lab_of(state);
	static struct frame whole;
	static struct pieces pieces;

	arriving(&whole, UPLINK_IP6, IPPROTO_UDP, 4321);
	take_to_pieces(&whole, 1, &pieces);
	expect_for_the_host(lab, &pieces, ETH_P_IPV6);
}

/* What is not followed by its first is dropped, and counted only then. */
static void test_given_up(void **state)
{
	struct lab *lab = lab_of(state);
	static struct frame whole;
	static struct pieces pieces;

	arriving(&whole, UPLINK_IP6, IPPROTO_UDP, 4321);
	take_to_pieces(&whole, 1, &pieces);
	expect_given_up(lab, &pieces.piece[1], MAP_held_fragments6);
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
		LAB_TEST(test_given_up),
	};

	return LAB_MAIN(tests);
}
