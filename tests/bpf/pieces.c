/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a packet socket at the uplink sees what a program puts there as if it had arrived.
 */
#include "pieces.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

const uint8_t orders[ORDERS][PIECES] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
					{1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

int listen_at_uplink(struct lab *lab, uint16_t ethertype)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ethertype)};
	struct timeval patience = {.tv_sec = 5};
	int room = 4 << 20; /* for all that may be held of a datagram */
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	address.sll_ifindex = (int)lab->uplink[UP0];
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static bool is_fragment(struct frame *f)
{
	return frame_ip4(f)->version == 4 ? frame_ip4(f)->frag_off & htons(0x3fff)
					  : frame_ip6(f)->nexthdr == IPPROTO_FRAGMENT;
}

void expect_again(int fd, const struct frame *f)
{
	static struct frame seen;
	ssize_t length;

	do {
		length = recv(fd, seen.bytes, sizeof(seen.bytes), 0);
		assert_true(length > 0);
	} while (!is_fragment(&seen));
	assert_int_equal(length, f->length);
	assert_memory_equal(seen.bytes, f->bytes, f->length);
}

void expect_held(struct lab *lab, struct frame *f)
{
	uint64_t before = lab_uplink_counters(lab, UP0).rx_packets;

	assert_int_equal(lab_run(lab, DATAPATH_UPLINK_IN, lab->uplink[UP0], f, NULL),
			 TC_ACT_STOLEN);
	assert_int_equal(lab_uplink_counters(lab, UP0).rx_packets, before);
}

void expect_held_before(struct lab *lab, struct pieces *pieces, const uint8_t *order,
			uint16_t ethertype, int held)
{
	int fd = listen_at_uplink(lab, ethertype);
	uint32_t i, count;

	for (count = 0; order[count]; count++)
		expect_held(lab, &pieces->piece[order[count]]);
	if (count) {
		/* The first is put on the uplink again, and behind it what was held. */
		expect_held(lab, &pieces->piece[0]);
		expect_again(fd, &pieces->piece[0]);
		for (i = 0; i < count; i++)
			expect_again(fd, &pieces->piece[order[i]]);
		assert_int_equal(lab_entries(lab, held), 0);
	}
	close(fd);
}

void expect_for_the_host(struct lab *lab, struct pieces *pieces, uint16_t ethertype)
{
	int fd = listen_at_uplink(lab, ethertype);
	uint32_t i;

	for (i = PIECES; i-- > 0;)
		expect_held(lab, &pieces->piece[i]);
	expect_again(fd, &pieces->piece[0]);
	for (i = PIECES; --i > 0;)
		expect_again(fd, &pieces->piece[i]);
	for (i = 0; i < PIECES; i++)
		EXPECT_IN(lab, UP0, &pieces->piece[i], PASSED);
	close(fd);
}

void expect_given_up(struct lab *lab, struct frame *f, int held)
{
	struct timespec moment = {.tv_nsec = 100000000};
	struct nsr_uplink_counters c;
	int i;

	expect_held(lab, f);
	lab_clock_offset(lab, NSR_DATAGRAM_S + 1);
	for (i = 0; i < 300 && lab_entries(lab, held); i++)
		nanosleep(&moment, NULL);
	assert_int_equal(lab_entries(lab, held), 0);
	c = lab_uplink_counters(lab, UP0);
	assert_int_equal(c.rx_packets, 1);
	assert_int_equal(c.rx_bytes, f->length);
	assert_int_equal(c.rx_dropped, 1);
}

/* ---- Of IPv4. */

void pieces4_take_one(const struct frame *whole, uint32_t from, uint32_t bytes, struct frame *ret)
{
	struct frame copy = *whole;
	uint32_t header = ETH_HLEN + frame_ip4(&copy)->ihl * 4u, data = whole->length - header;
	bool last = data - from <= bytes;

	if (last)
		bytes = data - from;
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->bytes, whole->bytes, header);
	memcpy(ret->bytes + header, whole->bytes + header + from, bytes);
	ret->length = header + bytes;
	frame_ip4(ret)->tot_len = htons((uint16_t)(ret->length - ETH_HLEN));
	frame_ip4(ret)->frag_off = htons((uint16_t)((last ? 0 : PIECES4_MORE) | from / 8));
	frame_seal(ret);
}

void pieces4_take(const struct frame *whole, struct pieces *ret)
{
	for (uint32_t i = 0; i < PIECES; i++)
		pieces4_take_one(whole, i * PIECE, PIECE, &ret->piece[i]);
}

void pieces4_arriving(struct frame *f, const char *dest, uint8_t protocol, uint16_t port,
		      uint16_t id)
{
	bool inside = strcmp(dest, UPLINK_IP);

	FRAME(f, .to = inside ? mac_red : mac_up0, .from = inside ? mac_br1 : mac_router,
	      .source = REMOTE_IP, .dest = dest, .protocol = protocol,
	      .sport = protocol == IPPROTO_ICMP ? port : 80, .dport = port, .tcp_flags = FRAME_ACK,
	      .icmp_type = FRAME_ECHO_REPLY, .payload = PAYLOAD, .id = id, .ttl = inside ? 63 : 64);
}

uint16_t pieces4_open_flow(struct lab *lab, uint8_t protocol, uint16_t port)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = protocol, .sport = port, .dport = 80, .tcp_flags = FRAME_SYN,
	      .icmp_type = FRAME_ECHO_REQUEST);
	return frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
}
