/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Extension headers of IPv6 that show an inside address, or lead to one.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <string.h>

#include "datapath_maps.h"

#define ECHO          4321 /* source port */
#define PAYLOAD       64
#define SEGMENTS_LEFT 1 /* offset of it in a routing header, behind its length */

/* What comes in so, the host would send on, to an inside address maybe. */
static void test_routed_on(void **state)
{
	struct lab *lab = lab_of(state);
	uint8_t segments;
	struct frame f;

	for (segments = 0; segments < 2; segments++) {
		FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP6,
		      .dest = UPLINK_IP6, .sport = 80, .dport = ECHO, .payload = 64,
		      .extended = true, .extension = IPPROTO_ROUTING,
		      .extension_data = {[SEGMENTS_LEFT] = segments});
		EXPECT_IN(lab, UP0, &f, segments ? DROPPED(IP_OPTIONS) : PASSED);
	}
}

/* A header of 24 bytes with options in front of UDP: those, then padding. */
static void with_options(struct frame *f, const uint8_t *options, size_t length)
{
	uint8_t *header = (uint8_t *)(frame_ip6(f) + 1);
	uint8_t transport[8 + PAYLOAD];

	FRAME(f, .to = mac_router, .from = mac_up0, .source = RED_IP6, .dest = REMOTE_IP6,
	      .sport = ECHO, .dport = 80, .payload = PAYLOAD);
	memcpy(transport, header, sizeof(transport));
	memset(header, 0, 24); /* Pad1 */
	header[0] = IPPROTO_UDP;
	header[1] = 2;
	memcpy(header + 2, options, length);
	if (length < 20) { /* PadN */
		header[2 + length] = 1;
		header[3 + length] = (uint8_t)(20 - length);
	}
	memcpy(header + 24, transport, sizeof(transport));
	frame_ip6(f)->nexthdr = IPPROTO_DSTOPTS;
	frame_ip6(f)->payload_len = htons(24 + sizeof(transport));
	f->length = ETH_HLEN + sizeof(struct ipv6hdr) + 24 + sizeof(transport);
	frame_seal(f);
}

/* An option that says who sent it would show the inside address. */
static void test_home_address(void **state)
{
	static const uint8_t home[] = {1, 2, 0, 0, 201, 16, 0xfd, 0, 0, 0x15}, last[] = {201, 16};
	static const uint8_t known[] = {5, 2, 0, 0}, pads[9] = {0};
	struct lab *lab = lab_of(state);
	struct frame f;

	with_options(&f, home, sizeof(home));
	EXPECT_OUT(lab, UP0, &f, DROPPED(IP_OPTIONS));
	with_options(&f, last, sizeof(last));
	EXPECT_OUT(lab, UP0, &f, DROPPED(IP_OPTIONS));
	with_options(&f, pads, sizeof(pads)); /* more than are looked at */
	EXPECT_OUT(lab, UP0, &f, DROPPED(IP_OPTIONS));
	assert_int_equal(lab_entries(lab, MAP_session_by_flow6), 0);
	with_options(&f, known, sizeof(known));
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_routed_on),
		LAB_TEST(test_home_address),
	};

	return LAB_MAIN(tests);
}
