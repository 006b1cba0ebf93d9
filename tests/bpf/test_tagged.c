/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What leaves an Ethernet uplink with VLAN tags in its bytes: dropped when it would show an inside
 * address, untouched otherwise. (PROG_RUN has no tags beside the bytes: see uplinks.bats.)
 */
#include <arpa/inet.h>
#include <string.h>

#include "lab.h"

#define TAGS_MAX 4

/* Puts tags in front of what the frame carries. */
static void tag(struct frame *f, uint32_t tags)
{
	uint8_t *at = f->bytes + ETH_HLEN - 2; /* the type, which goes behind the tags */
	uint32_t i;

	memmove(at + (size_t)tags * 4, at, f->length - (ETH_HLEN - 2));
	for (i = 0; i < tags; i++) {
		uint16_t type = htons(i % 2 ? ETH_P_8021Q : ETH_P_8021AD),
			 number = htons((uint16_t)(100 + i));

		memcpy(at + (size_t)i * 4, &type, 2);
		memcpy(at + (size_t)i * 4 + 2, &number, 2);
	}
	f->length += tags * 4;
}

static void udp_from(struct frame *f, const char *source)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = source,
	      .dest = strchr(source, ':') ? REMOTE_IP6 : REMOTE_IP, .sport = 4321, .dport = 80,
	      .payload = 32);
}

static void test_sources(void **state)
{
	static const char *const inside[] = {RED_IP, GREEN_IP, RED_IP6}, *const own[] = {
										 UPLINK_IP,
										 "10.7.7.7",
										 "2001:db8:1::2"};
	struct lab *lab = lab_of(state);
	struct frame f;
	uint32_t tags;
	size_t i;

	for (tags = 1; tags <= TAGS_MAX; tags++) {
		for (i = 0; i < 3; i++) {
			udp_from(&f, inside[i]);
			tag(&f, tags);
			EXPECT_OUT(lab, UP0, &f, DROPPED(WRONG_UPLINK));
			udp_from(&f, own[i]);
			tag(&f, tags);
			EXPECT_OUT(lab, UP0, &f, PASSED);
		}
	}
	lab_expect_no_flows(lab);
}

static void test_arp(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	frame_arp(&f, mac_router, mac_up0, mac_up0, RED_IP, REMOTE_IP);
	tag(&f, 1);
	EXPECT_OUT(lab, UP0, &f, DROPPED(WRONG_UPLINK));
	frame_arp(&f, mac_router, mac_up0, mac_up0, "10.7.7.7", REMOTE_IP);
	tag(&f, 1);
	EXPECT_OUT(lab, UP0, &f, PASSED);
}

/* An error of the host's, about a packet of this one's to that one. */
static void error_about(struct frame *f, const char *source, const char *dest)
{
	struct frame about;

	FRAME(&about, .to = mac_up0, .from = mac_router, .source = source, .dest = dest,
	      .sport = 80, .dport = 4321);
	FRAME(f, .to = mac_router, .from = mac_up0, .source = "10.7.7.7", .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .icmp_code = 1,
	      .quoted = &about);
	tag(f, 1);
}

static void test_quotes(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	error_about(&f, REMOTE_IP, RED_IP);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
	error_about(&f, GREEN_IP, REMOTE_IP);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
	error_about(&f, REMOTE_IP, "10.7.7.7");
	EXPECT_OUT(lab, UP0, &f, PASSED);
}

/* More tags than are looked behind may hide anyone. */
static void test_too_many(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	udp_from(&f, "10.7.7.7");
	tag(&f, TAGS_MAX + 1);
	EXPECT_OUT(lab, UP0, &f, DROPPED(MALFORMED));
}

/* What ends before its source does shows none. */
static void test_cut_off(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	udp_from(&f, RED_IP);
	tag(&f, 1);
	f.length = ETH_HLEN + 4 + 16; /* the source is there, the destination is not */
	EXPECT_OUT(lab, UP0, &f, DROPPED(WRONG_UPLINK));
	f.length--;
	EXPECT_OUT(lab, UP0, &f, PASSED);
	f.length = ETH_HLEN + 4;
	EXPECT_OUT(lab, UP0, &f, PASSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_sources),  LAB_TEST(test_arp),     LAB_TEST(test_quotes),
		LAB_TEST(test_too_many), LAB_TEST(test_cut_off),
	};

	return LAB_MAIN(tests);
}
