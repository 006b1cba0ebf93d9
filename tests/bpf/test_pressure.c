/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table of sessions, IPv4's or IPv6's, is nearly full: connections that have been idle for long
 * go before their time, and no others.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <string.h>
#include <unistd.h>

#include "datapath_maps.h"

#define LEAST_S    7440
#define PASS_TRIES 6000 /* of 10 ms: two passes of the timer take 16 s when nothing else runs */

/* Of each family one, as all here. */
static const struct {
	const char *inside, *external, *remote, *network;
} families[] = {
	{RED_IP, UPLINK_IP, REMOTE_IP, "192.168.15.0/24"},
	{RED_IP6, UPLINK_IP6, REMOTE_IP6, "fd00:15::/64"},
};

static void out(struct lab *lab, uint8_t protocol, uint16_t port, uint8_t flags)
{
	struct frame f;

	for (int i = 0; i < 2; i++) {
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = families[i].inside,
		      .dest = families[i].remote, .protocol = protocol, .sport = port, .dport = 80,
		      .tcp_flags = flags);
		EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	}
}

static void in(struct lab *lab, uint16_t port, uint8_t flags)
{
	struct frame f;

	for (int i = 0; i < 2; i++) {
		FRAME(&f, .to = mac_up0, .from = mac_router, .source = families[i].remote,
		      .dest = families[i].external, .protocol = IPPROTO_TCP, .sport = 80,
		      .dport = port, .tcp_flags = flags);
		EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	}
}

static void establish(struct lab *lab, uint16_t port)
{
	out(lab, IPPROTO_TCP, port, FRAME_SYN);
	in(lab, port, FRAME_SYN | FRAME_ACK);
	out(lab, IPPROTO_TCP, port, FRAME_ACK);
}

/* Connections of the family that have ended: 0 is IPv4. */
static uint64_t ended_of(struct lab *lab, int family)
{
	struct nsr_nat_counters nat = family ? lab_nat6(lab, UP0) : lab_nat(lab, UP0);

	return nat.sessions_expired[NSR_NAT_TCP];
}

/* As if all slots were in use, by what is no session. */
static void fill_tables(struct lab *lab)
{
	static struct nsr_session_bits full;
	static struct nsr_session_bits6 full6;
	const int *maps = lab->datapath->maps;
	uint32_t zero = 0;

	memset(&full, 0xff, sizeof(full));
	memset(&full6, 0xff, sizeof(full6));
	assert_int_equal(bpf_map_update_elem(maps[MAP_session_bits], &zero, &full, BPF_ANY), 0);
	assert_int_equal(bpf_map_update_elem(maps[MAP_session_bits6], &zero, &full6, BPF_ANY), 0);
}

/* Connections that have been idle for longer than they need to be let go; one that has not, one
 * that is as old but goes on, and what is no connection, stay. There are enough of the former to be
 * all over the table: when they are gone, all of it has been looked at. */
static void test_idle_ones_go(void **state)
{
	enum { FIRST = 3000, COUNT = 64, YOUNG = 4000, BUSY, DATAGRAM };
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);

	settings.timeout_s[NSR_TIMEOUT_UDP_UNREPLIED] = 10 * LEAST_S;
	for (int i = 0; i < 2; i++)
		lab_inside_set(lab, families[i].network, UP0, &settings);
	for (uint16_t i = 0; i < COUNT; i++)
		establish(lab, (uint16_t)(FIRST + i));
	establish(lab, BUSY);
	out(lab, IPPROTO_UDP, DATAGRAM, 0);
	lab_clock_offset(lab, 1000);
	establish(lab, YOUNG);
	out(lab, IPPROTO_TCP, BUSY, FRAME_ACK);
	lab_clock_offset(lab, LEAST_S + 100);
	assert_int_equal(lab_active_sessions(lab), COUNT + 3);
	assert_int_equal(lab_flows_of(lab, RED), 2 * (COUNT + 3));
	fill_tables(lab);
	for (int i = 0; i < PASS_TRIES && (ended_of(lab, 0) < COUNT || ended_of(lab, 1) < COUNT);
	     i++)
		usleep(10000);
	assert_int_equal(ended_of(lab, 0), COUNT);
	assert_int_equal(ended_of(lab, 1), COUNT);
	in(lab, YOUNG, FRAME_ACK);
	in(lab, BUSY, FRAME_ACK);
	out(lab, IPPROTO_UDP, DATAGRAM, 0);
	assert_int_equal(lab_flows_of(lab, RED), 2 * 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_idle_ones_go),
	};

	return LAB_MAIN(tests);
}
