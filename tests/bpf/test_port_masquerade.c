/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsr_port_in on packets of flows that have a session: translated where they enter, whether the
 * FIB's last answer is fresh or it is asked; and what the uplink's hook makes of them.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include <time.h>

#include "datapath_maps.h"
#include "sysctl.h"

#define TRIES 5

static void to_remote(struct frame *f, uint8_t protocol, uint16_t payload)
{
	FRAME(f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = protocol, .tcp_flags = FRAME_ACK, .sport = 1000, .dport = 80,
	      .icmp_type = FRAME_ECHO_REQUEST, .payload = payload);
}

/* The flow's session, opened at the uplink by a packet like this one; returns the external port. */
static uint16_t open_session(struct lab *lab, uint8_t protocol)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = protocol, .tcp_flags = FRAME_SYN, .sport = 1000, .dport = 80,
	      .icmp_type = FRAME_ECHO_REQUEST);
	return frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
}

/* Sends the packet; whether it left translated. Either way nothing but that and the TTL changed. */
static bool translated(struct lab *lab, struct frame *f, uint16_t port)
{
	struct run *run = EXPECT_PORT_IN(lab, RED, f, TO_NEIGHBOUR);
	struct frame wanted = *f;
	uint16_t *words = frame_transport(&wanted);
	bool unsummed = frame_ip4(f)->protocol == IPPROTO_UDP && !words[3];
	bool was = frame_ip4(&run->out)->saddr != frame_ip4(f)->saddr;

	frame_ip4(&wanted)->ttl--;
	if (was) {
		frame_ip4(&wanted)->saddr = address4(UPLINK_IP);
		words[frame_ip4(f)->protocol == IPPROTO_ICMP ? 2 : 0] = htons(port);
	}
	frame_seal(&wanted);
	if (unsummed)
		words[3] = 0;
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	return was;
}

static void expect_translated(struct lab *lab, struct frame *f, uint16_t port)
{
	assert_true(translated(lab, f, port));
}

static void test_every_protocol(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};
	struct lab *lab = lab_of(state);
	struct frame f;

	for (size_t i = 0; i < 3; i++) {
		uint16_t port = open_session(lab, protocols[i]);

		to_remote(&f, protocols[i], 100);
		expect_translated(lab, &f, port); /* asks the FIB */
		expect_translated(lab, &f, port);
	}
	assert_int_equal(lab_active_sessions(lab), 3);
}

static void test_no_udp_checksum(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port = open_session(lab, IPPROTO_UDP);
	struct frame f;

	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = 1000, .dport = 80, .payload = 33, .no_checksum = true);
	expect_translated(lab, &f, port);
}

/* The port is another than the inside one. */
static void test_another_port(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port;
	struct frame f;

	lab_uplink_set(lab, UP0, UPLINK_IP, 20000, 20999);
	port = open_session(lab, IPPROTO_TCP);
	assert_in_range(port, 20000, 20999);
	to_remote(&f, IPPROTO_TCP, 100);
	expect_translated(lab, &f, port);
}

static void test_no_session(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	to_remote(&f, IPPROTO_TCP, 10);
	for (int i = 0; i < TRIES; i++)
		assert_false(translated(lab, &f, 0));
	open_session(lab, IPPROTO_TCP);
	lab_expect_no_flows(lab);
	for (int i = 0; i < TRIES; i++)
		assert_false(translated(lab, &f, 0));
	assert_int_equal(lab_active_sessions(lab), 0); /* a port's hook opens none */
}

/* What left by a session keeps it alive; one that has expired is none. */
static void test_time(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port = open_session(lab, IPPROTO_UDP);
	struct frame f;

	to_remote(&f, IPPROTO_UDP, 10);
	expect_translated(lab, &f, port);
	lab_clock_offset(lab, 100); /* an answer of the FIB is old by now */
	expect_translated(lab, &f, port);
	lab_clock_offset(lab, 200); /* 120 since the last that was translated would end it */
	expect_translated(lab, &f, port);
	lab_clock_offset(lab, 200 + 121);
	for (int i = 0; i < TRIES; i++)
		assert_false(translated(lab, &f, 0));
	assert_int_equal(lab_active_sessions(lab), 0);
}

/* Routes, forwarding and sizes hold as without a session. */
static void test_the_kernel_decides(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port = open_session(lab, IPPROTO_TCP);
	struct frame f, large;

	to_remote(&f, IPPROTO_TCP, 10);
	expect_translated(lab, &f, port);
	to_remote(&large, IPPROTO_TCP, LAB_MTU - 40 + 1);
	EXPECT_PORT_IN(lab, RED, &large, TO_KERNEL);
	large.gso_size = LAB_MTU - 40 + 1;
	EXPECT_PORT_IN(lab, RED, &large, TO_KERNEL);
	to_remote(&large, IPPROTO_TCP, 3000);
	large.gso_size = LAB_MTU - 40;
	expect_translated(lab, &large, port);
	frame_ip4(&f)->ttl = 1;
	frame_seal(&f);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = 1000, .dport = 80, .fragment = 0x2000, .protocol = IPPROTO_TCP);
	assert_false(translated(lab, &f, port)); /* the uplink's hook has its reason to drop it */
	to_remote(&f, IPPROTO_TCP, 10);
	assert_int_equal(sysctl_write(-1, "net/ipv4/ip_forward", "0", &lab->err), 0);
	lab_clock_offset(lab, 2);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	assert_int_equal(sysctl_write(-1, "net/ipv4/ip_forward", "1", &lab->err), 0);
	expect_translated(lab, &f, port);
}

/* The number of the only session, and what is in the table of it. */
static uint32_t only_session(struct lab *lab, struct nsr_session *ret)
{
	uint32_t number;

	for (number = 0; number < NSR_SESSION_SET; number++) {
		assert_int_equal(
			bpf_map_lookup_elem(lab->datapath->maps[MAP_sessions], &number, ret), 0);
		if ((ret->state & NSR_SESSION_STATUS) == NSR_SESSION_ACTIVE)
			return number;
	}
	fail_msg("no session");
	return 0;
}

/* Whether an answer is believed that is remembered as if the FIB had given it in this second, which
 * is one that the session was used in, for this session or an older one in its place. */
static bool believed(struct lab *lab, const struct frame *f, uint32_t number,
		     struct nsr_session *session, uint32_t ago, uint16_t mtu)
{
	struct timespec now;
	struct frame out;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	session->refreshed_s = (uint32_t)now.tv_sec;
	session->route.tag =
		NSR_ROUTE_TAG(now.tv_sec, session->state - ago * NSR_SESSION_GENERATION, mtu);
	assert_int_equal(
		bpf_map_update_elem(lab->datapath->maps[MAP_sessions], &number, session, BPF_ANY),
		0);
	return lab_run(lab, DATAPATH_PORT_IN, lab->port[RED], f, &out) == TC_ACT_REDIRECT;
}

/* What two CPUs have written at once, one of them perhaps for a flow that is no more, is not
 * believed: neither an older session's answer, nor one with the MTU of another. The FIB refuses. */
static void test_mixed_answers(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_session session;
	uint32_t number, mtu;
	bool once = false;
	struct frame f;

	open_session(lab, IPPROTO_TCP);
	to_remote(&f, IPPROTO_TCP, 10);
	number = only_session(lab, &session);
	session.mtu = LAB_MTU;
	assert_int_equal(sysctl_write(-1, "net/ipv4/ip_forward", "0", &lab->err), 0);
	for (uint32_t i = 0; i < TRIES; i++) { /* a second may end in between */
		once = once || believed(lab, &f, number, &session, 0, LAB_MTU);
		assert_false(believed(lab, &f, number, &session, 1 + i, LAB_MTU));
		for (mtu = LAB_MTU - 100; mtu < LAB_MTU + 100; mtu++)
			if (mtu != LAB_MTU)
				assert_false(believed(lab, &f, number, &session, i, (uint16_t)mtu));
	}
	assert_true(once);
	assert_int_equal(sysctl_write(-1, "net/ipv4/ip_forward", "1", &lab->err), 0);
}

/* Nor is one of 65,536 s ago, of a second that looks like this one. The FIB refuses. */
static void test_old_answer(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_session session;
	uint32_t number;
	bool once = false;
	struct frame f;

	open_session(lab, IPPROTO_TCP);
	to_remote(&f, IPPROTO_TCP, 10);
	number = only_session(lab, &session);
	session.mtu = LAB_MTU;
	assert_int_equal(sysctl_write(-1, "net/ipv4/ip_forward", "0", &lab->err), 0);
	session.life = NSR_LIFE(432000, NSR_SEEN_OUT | NSR_SEEN_IN | NSR_SEEN_OUT_ACK);
	for (uint32_t i = 0; i < TRIES; i++) {
		lab_clock_offset(lab, 0);
		once = once || believed(lab, &f, number, &session, 0, LAB_MTU);
		lab_clock_offset(lab, 65536);
		assert_false(believed(lab, &f, number, &session, 0, LAB_MTU));
	}
	assert_true(once);
	assert_int_equal(sysctl_write(-1, "net/ipv4/ip_forward", "1", &lab->err), 0);
}

static void test_kernel_mode(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_port red = lab_port(lab, RED);
	uint16_t port = open_session(lab, IPPROTO_TCP);
	struct frame f;

	to_remote(&f, IPPROTO_TCP, 10);
	expect_translated(lab, &f, port);
	red.flags &= (uint16_t)~NSR_PORT_FAST;
	lab_port_set(lab, RED, &red);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

/* A source that the port may not use is none of the flow's. */
static void test_policy_first(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port = open_session(lab, IPPROTO_TCP);
	struct frame f;

	to_remote(&f, IPPROTO_TCP, 10);
	expect_translated(lab, &f, port);
	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_TCP, .tcp_flags = FRAME_ACK, .sport = 1000, .dport = 80);
	EXPECT_PORT_IN(lab, BLUE, &f, DROPPED(SPOOFED_ADDRESS));
}

/* A reset by the inside ends the session as it does at the uplink. */
static void test_state_is_seen(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port = open_session(lab, IPPROTO_TCP);
	struct frame f;

	to_remote(&f, IPPROTO_TCP, 0);
	expect_translated(lab, &f, port);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_TCP, .tcp_flags = FRAME_RST, .sport = 1000, .dport = 80);
	expect_translated(lab, &f, port);
	lab_clock_offset(lab, 241); /* tcp_rst, not tcp_established */
	to_remote(&f, IPPROTO_TCP, 0);
	assert_false(translated(lab, &f, port));
	assert_int_equal(lab_active_sessions(lab), 0);
}

/* RFC 7857 2.2: one by the outside is taken back by what the inside sends on, by the quick way too,
 * which the packet before it has opened. */
static void test_reset_taken_back(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port = open_session(lab, IPPROTO_TCP);
	struct nsr_session session;
	struct frame f, reset;

	to_remote(&f, IPPROTO_TCP, 0);
	FRAME(&reset, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_TCP, .tcp_flags = FRAME_RST, .sport = 80, .dport = port);
	for (int i = 0; i < TRIES; i++) {
		expect_translated(lab, &f, port);
		EXPECT_IN(lab, UP0, &reset, TRANSLATED_TO_PEER);
		only_session(lab, &session);
		assert_true(session.life & NSR_SEEN_RST);
		expect_translated(lab, &f, port);
		only_session(lab, &session);
		assert_false(session.life & NSR_SEEN_RST);
	}
}

/* What the uplink's hook is told of a packet that it leaves as it is. */
static void expect_out(struct lab *lab, enum lab_uplink which, struct frame *f, int outcome)
{
	EXPECT_OUT(lab, which, f, outcome);
	memset(lab->beside, 0, sizeof(lab->beside));
}

/* A packet that was translated here is known at its uplink, once. It came in by no port here, so
 * that nothing but the mark tells. */
static void test_mark(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};
	struct lab *lab = lab_of(state);
	struct frame f;

	for (size_t i = 0; i < 6; i++) { /* by the way that asks the FIB, and by the other */
		uint16_t port = open_session(lab, protocols[i / 2]);

		to_remote(&f, protocols[i / 2], 10);
		expect_translated(lab, &f, port);
		if (i & 1)
			expect_translated(lab, &f, port);
		f = EXPECT_PORT_IN(lab, RED, &f, TO_NEIGHBOUR)->out;
		memcpy(lab->beside, lab->left_beside, sizeof(lab->beside));
		expect_out(lab, UP1, &f, PASSED);
		memcpy(lab->beside, lab->left_beside, sizeof(lab->beside));
		expect_out(lab, UP0, &f, TRANSLATED);
		memcpy(lab->beside, lab->left_beside, sizeof(lab->beside));
		expect_out(lab, UP0, &f, PASSED);
	}
}

/* Who does not know the secret gets no packet out. */
/* What a namespace's programs wrote beside a packet goes no further. */
static void test_foreign_mark(void **state)
{
	static const uint8_t none[sizeof(((struct lab *)NULL)->beside)];
	struct lab *lab = lab_of(state);
	struct frame f;

	to_remote(&f, IPPROTO_TCP, 10); /* without a session */
	lab->beside[0] = lab->beside[1] = UINT32_MAX;
	EXPECT_PORT_IN(lab, RED, &f, TO_NEIGHBOUR);
	assert_memory_equal(lab->left_beside, none, 2 * sizeof(*lab->beside));
}

static void test_forged_mark(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port = open_session(lab, IPPROTO_TCP);
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_AH);
	for (uint32_t index = 0; index < LAB_UPLINKS; index++) {
		lab->beside[0] = index;
		lab->beside[1] = lab->uplink[UP0];
		expect_out(lab, UP0, &f, DROPPED(NAT_PROTOCOL));
	}
	to_remote(&f, IPPROTO_TCP, 10);
	expect_translated(lab, &f, port);
	memcpy(lab->beside, lab->left_beside, sizeof(lab->beside));
	lab->beside[0] ^= 1u << 31;
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_AH);
	expect_out(lab, UP0, &f, DROPPED(NAT_PROTOCOL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_every_protocol), LAB_TEST(test_no_udp_checksum),
		LAB_TEST(test_another_port),   LAB_TEST(test_no_session),
		LAB_TEST(test_time),           LAB_TEST(test_the_kernel_decides),
		LAB_TEST(test_mixed_answers),  LAB_TEST(test_old_answer),
		LAB_TEST(test_kernel_mode),    LAB_TEST(test_policy_first),
		LAB_TEST(test_state_is_seen),  LAB_TEST(test_reset_taken_back),
		LAB_TEST(test_mark),           LAB_TEST(test_forged_mark),
		LAB_TEST(test_foreign_mark),
	};

	return LAB_MAIN(tests);
}
