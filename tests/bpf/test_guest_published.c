/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is published where, as plain reaches it, whose network leaves by no uplink. test_guest.c has
 * the rules.
 */
#include "guests.h"

#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <stdio.h>

#include "datapath_publish.h"
#include "externals.h"

/* On 127.0.0.1 alone: it is for programs of the host. */
static void test_on_loopback(void **state)
{
	struct published_ports what = {GUESTS_PORT, 80, 1, NSR_NAT_UDP};
	struct ip_address red = lab_ip(RED_IP);
	struct lab *lab = lab_of(state);
	struct frame f;

	guests_publish_begins(lab);
	if (datapath_publish(lab->datapath, STATE_LOOPBACK, &red, &what, GUESTS_NETNS, &lab->err))
		fail_msg("%s", lab->err.message);
	guests_asked(&f, "127.0.0.1", GUESTS_PORT, IPPROTO_UDP, 0);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	guests_asked(&f, UPLINK_IP, GUESTS_PORT, IPPROTO_UDP, 0);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	guests_expect_answered(lab, IPPROTO_UDP, 0, false);
	assert_int_equal(lab_active_sessions(lab), 0);
	if (datapath_unpublish(lab->datapath, STATE_LOOPBACK, false, &what, &lab->err))
		fail_msg("%s", lab->err.message);
	guests_publish_ends(lab);
}

static void test_range(void **state)
{
	struct published_ports range = {GUESTS_PORT + 10, 180, 3, NSR_NAT_UDP};
	struct lab *lab = lab_of(state);
	struct ip_address red = lab_ip(RED_IP);
	struct frame f, wanted;

	guests_publish(lab, IPPROTO_UDP);
	if (datapath_publish(lab->datapath, lab->uplink[UP0], &red, &range, GUESTS_NETNS,
			     &lab->err))
		fail_msg("%s", lab->err.message);
	for (uint16_t i = 0; i < range.count; i++) {
		guests_asked(&f, UPLINK_IP, range.external + i, IPPROTO_UDP, 0);
		guests_asked(&wanted, RED_IP, range.inside + i, IPPROTO_UDP, 0);
		guests_expect(lab, PLAIN, &f, RED, &wanted);
		guests_answered(&f, RED_IP, range.inside + i, IPPROTO_UDP, 0);
		guests_answered(&wanted, UPLINK_IP, range.external + i, IPPROTO_UDP, 0);
		guests_expect(lab, RED, &f, PLAIN, &wanted);
	}
	guests_asked(&f, UPLINK_IP, range.external + range.count, IPPROTO_UDP, 0);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	guests_asked(&f, UPLINK_IP, range.external - 1, IPPROTO_UDP, 0);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	if (datapath_unpublish(lab->datapath, lab->uplink[UP0], false, &range, &lab->err))
		fail_msg("%s", lab->err.message);
	guests_unpublish(lab, IPPROTO_UDP);
}

static void expect_published_at(struct lab *lab, const char *external)
{
	struct frame f, wanted;

	guests_asked(&f, external, GUESTS_PORT, IPPROTO_TCP, FRAME_SYN);
	guests_asked(&wanted, RED_IP, 80, IPPROTO_TCP, FRAME_SYN);
	guests_expect(lab, PLAIN, &f, RED, &wanted);
	guests_answered(&f, RED_IP, 80, IPPROTO_TCP, FRAME_SYN | FRAME_ACK);
	guests_answered(&wanted, external, GUESTS_PORT, IPPROTO_TCP, FRAME_SYN | FRAME_ACK);
	guests_expect(lab, RED, &f, PLAIN, &wanted);
}

/* On one of several addresses: the others are the host's. */
static void test_one_address(void **state)
{
	struct lab *lab = lab_of(state);
	const char *const at[] = {externals_second, UPLINK_IP};
	struct frame f;

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	guests_publish_begins(lab);
	for (size_t i = 0; i < 2; i++) {
		externals_publish(lab, i ? NULL : at[i], RED_IP);
		guests_asked(&f, at[!i], GUESTS_PORT, IPPROTO_TCP, FRAME_SYN);
		EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
		expect_published_at(lab, at[i]);
		externals_unpublish(lab, i ? NULL : at[i]);
		lab_expect_no_flows(lab);
	}
	guests_publish_ends(lab);
}

/* Of the uplink's addresses the first one, so that none is known but by the session. */
static void test_errors_when_the_first_has_gone(void **state)
{
	struct lab *lab = lab_of(state);
	char inside[INET_ADDRSTRLEN] = BLUE_IP;
	struct frame f, about, wanted;

	externals_set(lab, externals_third, externals_second, NULL);
	for (unsigned int i = 20; externals_paired(lab, inside) != address4(externals_third); i++) {
		assert_in_range(i, 20, 254);
		snprintf(inside, sizeof(inside), "192.168.15.%u", i);
	}
	guests_publish_begins(lab);
	externals_publish(lab, externals_second, RED_IP);
	guests_asked(&f, externals_second, GUESTS_PORT, IPPROTO_TCP, FRAME_SYN);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_PEER);
	externals_ip("del", externals_third);
	externals_let_ask();
	externals_out(lab, inside, REMOTE_IP, IPPROTO_UDP, 3000, 0, DROPPED(NAT_CLOSED));

	guests_asked(&about, RED_IP, 80, IPPROTO_TCP, FRAME_SYN);
	guests_error(&f, mac_br1, mac_red, RED_IP, PLAIN_IP, 64, &about);
	guests_asked(&about, externals_second, GUESTS_PORT, IPPROTO_TCP, FRAME_SYN);
	frame_ip4(&about)->ttl = 63;
	frame_seal(&about);
	guests_error(&wanted, mac_plain, mac_br3, externals_second, PLAIN_IP, 63, &about);
	guests_expect(lab, RED, &f, PLAIN, &wanted);
	externals_ip("add", externals_third);
	externals_unpublish(lab, externals_second);
	guests_publish_ends(lab);
	lab_expect_no_flows(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_on_loopback),
		LAB_TEST(test_range),
		cmocka_unit_test_setup(test_one_address, externals_set_up),
		cmocka_unit_test_setup(test_errors_when_the_first_has_gone, externals_set_up),
	};

	return LAB_MAIN(tests);
}
