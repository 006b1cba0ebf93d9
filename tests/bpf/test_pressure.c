/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table of sessions is nearly full: connections that have been idle for long go before their
 * time, and no others.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <string.h>
#include <unistd.h>

#include "datapath_maps.h"

#define LEAST_S    7440
#define PASS_TRIES 6000 /* of 10 ms: two passes of the timer take 16 s when nothing else runs */

static void tcp_out(struct lab *lab, uint16_t port, uint8_t flags)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_TCP, .sport = port, .dport = 80, .tcp_flags = flags);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
}

static void tcp_in(struct lab *lab, uint16_t port, uint8_t flags)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_TCP, .sport = 80, .dport = port, .tcp_flags = flags);
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
}

static void establish(struct lab *lab, uint16_t port)
{
	tcp_out(lab, port, FRAME_SYN);
	tcp_in(lab, port, FRAME_SYN | FRAME_ACK);
	tcp_out(lab, port, FRAME_ACK);
}

/* As if all slots were in use, by what is no session. */
static void fill_table(struct lab *lab)
{
	static struct nsr_session_bits full;
	uint32_t zero = 0;

	memset(&full, 0xff, sizeof(full));
	assert_int_equal(
		bpf_map_update_elem(lab->datapath->maps[MAP_session_bits], &zero, &full, BPF_ANY),
		0);
}

/* Connections that have been idle for longer than they need to be let go; one that has not, one
 * that is as old but goes on, and what is no connection, stay. There are enough of the former to be
 * all over the table: when they are gone, all of it has been looked at. */
static void test_idle_ones_go(void **state)
{
	enum { FIRST = 3000, COUNT = 64, YOUNG = 4000, BUSY, DATAGRAM };
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);
	uint64_t ended = 0;
	struct frame f;

	settings.timeout_s[NSR_TIMEOUT_UDP_UNREPLIED] = 10 * LEAST_S;
	lab_inside_set(lab, "192.168.15.0/24", UP0, &settings);
	for (uint16_t i = 0; i < COUNT; i++)
		establish(lab, (uint16_t)(FIRST + i));
	establish(lab, BUSY);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = DATAGRAM, .dport = 80);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	lab_clock_offset(lab, 1000);
	establish(lab, YOUNG);
	tcp_out(lab, BUSY, FRAME_ACK);
	lab_clock_offset(lab, LEAST_S + 100);
	assert_int_equal(lab_active_sessions(lab), COUNT + 3);
	fill_table(lab);
	for (int i = 0; i < PASS_TRIES && ended < COUNT; i++) {
		usleep(10000);
		ended = lab_nat(lab, UP0).sessions_expired[NSR_NAT_TCP];
	}
	assert_int_equal(ended, COUNT);
	tcp_in(lab, YOUNG, FRAME_ACK);
	tcp_in(lab, BUSY, FRAME_ACK);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	assert_int_equal(lab_flows_of(lab, RED), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_idle_ones_go),
	};

	return LAB_MAIN(tests);
}
