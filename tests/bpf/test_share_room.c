/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What one namespace takes of a family's table of sessions, and what comes for one from outside,
 * leaves room for the others: in IPv4's table and in that of IPv6, which has another size, and
 * whatever limit the file sets.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <string.h>

#include "datapath_maps.h"

#define PORT   3000    /* an inside one, and external */
#define ALL    1000000 /* flows that one may have by the file: more than there are */
#define OTHERS 300     /* flows of somebody else */

static const struct family {
	const char *red, *blue, *external, *remote, *network;
	uint32_t room;
	bool ipv6;
} families[] = {
	{RED_IP, BLUE_IP, UPLINK_IP, REMOTE_IP, "192.168.15.0/24", NSR_SESSION_SET, false},
	{RED_IP6, BLUE_IP6, UPLINK_IP6, REMOTE_IP6, "fd00:15::/64", NSR_SESSION6_SET, true},
};

static void set(struct lab *lab, const struct family *family, uint32_t filtering)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;

	settings.filtering = filtering;
	settings.flows_max = 4 * ALL;
	lab_inside_set(lab, family->network, UP0, &settings);
}

/* Makes one of the addresses another one for each number. */
static void number_address(struct frame *f, const struct family *family, bool source, uint32_t i)
{
	struct in6_addr *address6;
	__be32 address4 = htonl(0x64000000 + i); /* 100.0.0.0 and so on */

	if (family->ipv6) {
		address6 = source ? &frame_ip6(f)->saddr : &frame_ip6(f)->daddr;
		memcpy(&address6->s6_addr[8], &address4, sizeof(address4));
	} else if (source) {
		frame_ip4(f)->saddr = address4;
	} else {
		frame_ip4(f)->daddr = address4;
	}
	frame_seal(f);
}

/* Whether a datagram to remote number i leaves. */
static bool leaves(struct lab *lab, const struct family *family, const char *inside, uint32_t i)
{
	struct frame f, out;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = inside, .dest = family->remote,
	      .sport = PORT, .dport = 80);
	number_address(&f, family, false, i);
	return lab_run(lab, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, &out) == TC_ACT_UNSPEC;
}

static uint32_t leave(struct lab *lab, const struct family *family, const char *inside,
		      uint32_t count)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < count; i++)
		left += leaves(lab, family, inside, i);
	return left;
}

/* The same of what comes in to an external port. */
static uint32_t arrive(struct lab *lab, const struct family *family, uint16_t port, uint32_t count)
{
	uint32_t arrived = 0;
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = family->remote,
	      .dest = family->external, .sport = 53, .dport = port);
	for (uint32_t i = 0; i < count; i++) {
		number_address(&f, family, true, ALL + i);
		arrived += lab_run(lab, DATAPATH_UPLINK_IN, lab->uplink[UP0], &f, NULL) ==
			   TC_ACT_REDIRECT;
	}
	return arrived;
}

static uint16_t open_one(struct lab *lab, const struct family *family, const char *inside)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = inside, .dest = family->remote,
	      .sport = PORT, .dport = 79);
	return frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
}

/* Takes what one may have of the table, whom it has sent to included; the other family's is not
 * touched by that. */
static void take_most(struct lab *lab, const struct family *family, uint32_t filtering)
{
	const uint32_t most = NSR_RECORDS_MAX(family->room);
	const uint32_t flows = filtering == NSR_FILTER_ADDRESS ? most / 2 : most;
	const struct family *other = &families[!family->ipv6];

	set(lab, family, filtering);
	set(lab, other, filtering);
	assert_int_equal(leave(lab, family, family->red, flows + OTHERS), flows);
	assert_int_equal(lab_share(lab, RED).records[family->ipv6], most);
	assert_int_equal(lab_flows_of(lab, RED), flows);
	assert_false(leaves(lab, family, family->red, ALL));
	assert_true(leaves(lab, family, family->red, 0)); /* what it has goes on */
	assert_int_equal(leave(lab, family, family->blue, OTHERS), OTHERS);
	assert_int_equal(leave(lab, other, other->red, OTHERS), OTHERS);
	assert_int_equal(leave(lab, other, other->blue, OTHERS), OTHERS);
	lab_expect_no_flows(lab);
}

static void test_most(void **state)
{
	for (size_t i = 0; i < 2; i++)
		take_most(lab_of(state), &families[i], NSR_FILTER_ADDRESS_AND_PORT);
}

static void test_most_with_contacts(void **state)
{
	for (size_t i = 0; i < 2; i++)
		take_most(lab_of(state), &families[i], NSR_FILTER_ADDRESS);
}

/* A contact is counted once, for as long as a session refers to it. */
static void test_contact_is_counted(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	for (size_t i = 0; i < 2; i++) {
		set(lab, &families[i], NSR_FILTER_ADDRESS);
		for (uint16_t port = 80; port < 83; port++) {
			FRAME(&f, .to = mac_router, .from = mac_up0, .source = families[i].red,
			      .dest = families[i].remote, .sport = PORT, .dport = port);
			EXPECT_OUT(lab, UP0, &f, TRANSLATED);
		}
		assert_int_equal(lab_share(lab, RED).records[i], 3 + 1);
	}
	assert_int_equal(lab_flows_of(lab, RED), 2 * 3);
	lab_expect_no_flows(lab);
}

/* One is flooded from outside until no more is let in, another takes all that it gets: there is
 * room for what the first one begins, and for the other family. */
static void flood_and_take(struct lab *lab, const struct family *family)
{
	const struct family *other = &families[!family->ipv6];
	const uint32_t inbound = NSR_INBOUND_MAX(family->room);
	const uint32_t most = NSR_RECORDS_MAX(family->room);
	struct nsr_uplink_counters before;
	uint16_t port, other_port;

	set(lab, family, NSR_FILTER_NOTHING);
	set(lab, other, NSR_FILTER_NOTHING);
	port = open_one(lab, family, family->blue);
	other_port = open_one(lab, other, other->blue);
	before = lab_uplink_counters(lab, UP0);
	assert_int_equal(arrive(lab, family, port, inbound + OTHERS), inbound);
	assert_int_equal(lab_uplink_counters(lab, UP0).rx_fast - before.rx_fast, inbound);
	assert_int_equal(lab_share(lab, BLUE).inbound, inbound);
	assert_int_equal(arrive(lab, other, other_port, OTHERS), OTHERS);
	assert_int_equal(leave(lab, family, family->red, most + OTHERS), most);
	assert_int_equal(leave(lab, family, family->blue, OTHERS), OTHERS);
	lab_expect_no_flows(lab);
}

static void test_flood_and_take(void **state)
{
	for (size_t i = 0; i < 2; i++)
		flood_and_take(lab_of(state), &families[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_most),
		LAB_TEST(test_most_with_contacts),
		LAB_TEST(test_contact_is_counted),
		LAB_TEST(test_flood_and_take),
	};

	return LAB_MAIN(tests);
}
