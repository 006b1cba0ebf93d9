/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Time: when a session ends, what keeps it alive, and that everything comes back. The clock of the
 * datapath is moved by the offset in its settings; the timer that gives back is the real one.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "datapath_maps.h"

#define TIMER_PASS_S 9 /* of the timer over all tables, and a tick more */

/* One for each class, so that none can be taken for another. */
static const uint32_t timeouts[NSR_TIMEOUTS] = {
	[NSR_TIMEOUT_TCP_SYN] = 101,      [NSR_TIMEOUT_TCP_ESTABLISHED] = 211,
	[NSR_TIMEOUT_TCP_FIN] = 67,       [NSR_TIMEOUT_TCP_RST] = 53,
	[NSR_TIMEOUT_UDP_UNREPLIED] = 89, [NSR_TIMEOUT_UDP_REPLIED] = 151,
	[NSR_TIMEOUT_UDP_DNS] = 31,       [NSR_TIMEOUT_ICMP] = 61,
};

struct kind {
	uint8_t protocol;
	uint16_t remote_port;
};

static const struct kind tcp = {IPPROTO_TCP, 80}, udp = {IPPROTO_UDP, 80}, dns = {IPPROTO_UDP, 53},
			 echo = {IPPROTO_ICMP, 0};

static struct timespec kernel_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* what the programs read */
	return now;
}

/* Returns early in a second, so that the next steps are in the same one. */
static uint32_t settle(void)
{
	struct timespec now = kernel_clock();

	while (now.tv_nsec > 500000000) {
		usleep(20000);
		now = kernel_clock();
	}
	return (uint32_t)now.tv_sec;
}

static void set_timeouts(struct lab *lab)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;

	memcpy(settings.timeout_s, timeouts, sizeof(timeouts));
	lab_inside_set(lab, "192.168.15.0/24", UP0, &settings);
	settings.mapping_mode = NSR_MAPPING_MODE_ADDRESS_AND_PORT;
	lab_inside_set(lab, "192.168.16.0/24", UP0, &settings);
}

/* The datapath's clock shows so many seconds more than the kernel's did at start. */
static void at(struct lab *lab, uint32_t start, uint32_t seconds)
{
	lab_clock_offset(lab, start + seconds - settle());
}

static void out(struct lab *lab, const struct kind *kind, uint16_t sport, uint8_t flags)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = kind->protocol, .sport = sport, .dport = kind->remote_port,
	      .tcp_flags = flags, .icmp_type = FRAME_ECHO_REQUEST);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
}

static void reply(struct frame *f, const struct kind *kind, uint16_t port, uint8_t flags)
{
	FRAME(f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .protocol = kind->protocol, .tcp_flags = flags, .icmp_type = FRAME_ECHO_REPLY,
	      .sport = kind == &echo ? port : kind->remote_port, .dport = port);
}

/* A reply finds the session. */
static void in(struct lab *lab, const struct kind *kind, uint16_t port, uint8_t flags)
{
	struct frame f;

	reply(&f, kind, port, flags);
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
}

/* It finds none; whether it is filtered or the host's depends on whether the timer was here. */
static void expect_gone(struct lab *lab, const struct kind *kind, uint16_t port)
{
	struct nsr_uplink_counters before = lab_uplink_counters(lab, UP0), after;
	struct frame f;

	reply(&f, kind, port, 0);
	lab_run(lab, DATAPATH_UPLINK_IN, lab->uplink[UP0], &f, NULL);
	after = lab_uplink_counters(lab, UP0);
	assert_int_equal(after.rx_packets, before.rx_packets + 1);
	assert_int_equal(after.rx_translated, before.rx_translated);
}

/* How a flow gets into the state that is timed. */
typedef void drive(struct lab *lab, const struct kind *kind, uint16_t port);

/* Two flows alike: one is there a second before its time, the other gone when it is. */
static void expect_timeout(struct lab *lab, const struct kind *kind, drive *into,
			   enum nsr_nat_timeout class)
{
	uint32_t start = settle();

	set_timeouts(lab);
	lab_clock_offset(lab, 0);
	into(lab, kind, 3000);
	into(lab, kind, 3001);
	at(lab, start, timeouts[class] - 1);
	in(lab, kind, 3000, 0);
	at(lab, start, timeouts[class]);
	expect_gone(lab, kind, 3001);
}

static void unreplied(struct lab *lab, const struct kind *kind, uint16_t port)
{
	out(lab, kind, port, FRAME_SYN);
}

static void replied(struct lab *lab, const struct kind *kind, uint16_t port)
{
	out(lab, kind, port, FRAME_SYN);
	in(lab, kind, port, FRAME_SYN | FRAME_ACK);
}

static void established(struct lab *lab, const struct kind *kind, uint16_t port)
{
	replied(lab, kind, port);
	out(lab, kind, port, FRAME_ACK);
}

static void closed_by_inside(struct lab *lab, const struct kind *kind, uint16_t port)
{
	established(lab, kind, port);
	out(lab, kind, port, FRAME_FIN | FRAME_ACK);
}

static void closed_by_remote(struct lab *lab, const struct kind *kind, uint16_t port)
{
	established(lab, kind, port);
	in(lab, kind, port, FRAME_FIN | FRAME_ACK);
}

static void closed(struct lab *lab, const struct kind *kind, uint16_t port)
{
	closed_by_inside(lab, kind, port);
	in(lab, kind, port, FRAME_FIN | FRAME_ACK);
}

static void reset_by_inside(struct lab *lab, const struct kind *kind, uint16_t port)
{
	established(lab, kind, port);
	out(lab, kind, port, FRAME_RST);
}

static void reset_by_remote(struct lab *lab, const struct kind *kind, uint16_t port)
{
	established(lab, kind, port);
	in(lab, kind, port, FRAME_RST | FRAME_ACK);
}

static void reopened(struct lab *lab, const struct kind *kind, uint16_t port)
{
	closed(lab, kind, port);
	out(lab, kind, port, FRAME_SYN);
}

/* RFC 5382 REQ-2: both sides open. */
static void simultaneous(struct lab *lab, const struct kind *kind, uint16_t port)
{
	out(lab, kind, port, FRAME_SYN);
	in(lab, kind, port, FRAME_SYN);
	out(lab, kind, port, FRAME_SYN | FRAME_ACK);
	in(lab, kind, port, FRAME_ACK);
}

static void simultaneous_done(struct lab *lab, const struct kind *kind, uint16_t port)
{
	simultaneous(lab, kind, port);
	out(lab, kind, port, FRAME_ACK);
}

static void test_udp(void **state)
{
	expect_timeout(lab_of(state), &udp, unreplied, NSR_TIMEOUT_UDP_UNREPLIED);
}

static void test_udp_replied(void **state)
{
	expect_timeout(lab_of(state), &udp, replied, NSR_TIMEOUT_UDP_REPLIED);
}

static void test_dns(void **state)
{
	expect_timeout(lab_of(state), &dns, unreplied, NSR_TIMEOUT_UDP_DNS);
}

static void test_dns_replied(void **state)
{
	expect_timeout(lab_of(state), &dns, replied, NSR_TIMEOUT_UDP_DNS);
}

static void test_echo(void **state)
{
	expect_timeout(lab_of(state), &echo, replied, NSR_TIMEOUT_ICMP);
}

static void test_tcp_syn(void **state)
{
	expect_timeout(lab_of(state), &tcp, unreplied, NSR_TIMEOUT_TCP_SYN);
}

static void test_tcp_half_open(void **state)
{
	expect_timeout(lab_of(state), &tcp, replied, NSR_TIMEOUT_TCP_SYN);
}

static void test_tcp_established(void **state)
{
	expect_timeout(lab_of(state), &tcp, established, NSR_TIMEOUT_TCP_ESTABLISHED);
}

static void test_tcp_closed_by_inside_only(void **state)
{
	expect_timeout(lab_of(state), &tcp, closed_by_inside, NSR_TIMEOUT_TCP_ESTABLISHED);
}

static void test_tcp_closed_by_remote_only(void **state)
{
	expect_timeout(lab_of(state), &tcp, closed_by_remote, NSR_TIMEOUT_TCP_ESTABLISHED);
}

static void test_tcp_closed(void **state)
{
	expect_timeout(lab_of(state), &tcp, closed, NSR_TIMEOUT_TCP_FIN);
}

static void test_tcp_reset(void **state)
{
	expect_timeout(lab_of(state), &tcp, reset_by_inside, NSR_TIMEOUT_TCP_RST);
}

static void test_tcp_reset_by_remote(void **state)
{
	expect_timeout(lab_of(state), &tcp, reset_by_remote, NSR_TIMEOUT_TCP_RST);
}

/* RFC 7857 2.2: the connection may go on, so what is left of its time counts from the reset, or
 * from the second FIN, and not from what went out long before. */
static void test_tcp_over_after_a_rest(void **state)
{
	const uint32_t rest = timeouts[NSR_TIMEOUT_TCP_RST] + timeouts[NSR_TIMEOUT_TCP_FIN];
	struct lab *lab = lab_of(state);
	uint32_t start = settle();

	set_timeouts(lab);
	lab_clock_offset(lab, 0);
	assert_true(rest < timeouts[NSR_TIMEOUT_TCP_ESTABLISHED]);
	established(lab, &tcp, 3000);
	established(lab, &tcp, 3001);
	closed_by_inside(lab, &tcp, 3002);
	closed_by_inside(lab, &tcp, 3003);
	at(lab, start, rest);
	in(lab, &tcp, 3000, FRAME_RST);
	in(lab, &tcp, 3001, FRAME_RST);
	in(lab, &tcp, 3002, FRAME_FIN | FRAME_ACK);
	in(lab, &tcp, 3003, FRAME_FIN | FRAME_ACK);
	at(lab, start, rest + timeouts[NSR_TIMEOUT_TCP_RST] - 1);
	out(lab, &tcp, 3000, FRAME_ACK);
	in(lab, &tcp, 3000, FRAME_ACK);
	at(lab, start, rest + timeouts[NSR_TIMEOUT_TCP_RST]);
	expect_gone(lab, &tcp, 3001);
	at(lab, start, rest + timeouts[NSR_TIMEOUT_TCP_FIN] - 1);
	in(lab, &tcp, 3002, FRAME_ACK);
	at(lab, start, rest + timeouts[NSR_TIMEOUT_TCP_FIN]);
	expect_gone(lab, &tcp, 3003);
}

static void test_tcp_reopened(void **state)
{
	expect_timeout(lab_of(state), &tcp, reopened, NSR_TIMEOUT_TCP_SYN);
}

static void test_tcp_simultaneous_open(void **state)
{
	expect_timeout(lab_of(state), &tcp, simultaneous_done, NSR_TIMEOUT_TCP_ESTABLISHED);
}

/* RFC 4787 REQ-6: what comes in would let the outside hold a mapping open. */
static void test_only_outbound_refreshes(void **state)
{
	struct lab *lab = lab_of(state);
	uint32_t start = settle(), limit = timeouts[NSR_TIMEOUT_UDP_REPLIED];

	set_timeouts(lab);
	replied(lab, &udp, 3000);
	replied(lab, &udp, 3001);
	at(lab, start, limit - 1);
	in(lab, &udp, 3000, 0);
	out(lab, &udp, 3001, 0);
	at(lab, start, limit);
	expect_gone(lab, &udp, 3000);
	in(lab, &udp, 3001, 0);
	at(lab, start, limit - 1 + limit - 1);
	in(lab, &udp, 3001, 0);
	at(lab, start, limit - 1 + limit);
	expect_gone(lab, &udp, 3001);
}

/* A flow that comes back after its time is a new session; its mapping ended with the old one, so
 * the port is cooling down and it has another. */
static void test_late_packet_opens_anew(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_nat_counters nat;
	uint32_t start = settle();

	set_timeouts(lab);
	out(lab, &udp, 3000, 0);
	at(lab, start, timeouts[NSR_TIMEOUT_UDP_UNREPLIED]);
	out(lab, &udp, 3000, 0);
	nat = lab_nat(lab, UP0);
	assert_int_equal(lab_sum(nat.sessions_created), 2);
	assert_int_equal(lab_sum(nat.sessions_expired), 1);
	assert_int_equal(lab_sum(nat.mappings_created), 2);
	assert_int_equal(lab_sum(nat.mappings_ended), 1);
	assert_int_equal(lab_sum(nat.ports_used), 2);
	expect_gone(lab, &udp, 3000);
}

/* A mapping lives as long as one session of it, whichever was first. */
static void test_mapping_lives_with_its_last_session(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_nat_counters nat;
	uint32_t start = settle();

	set_timeouts(lab);
	out(lab, &dns, 3000, 0);
	out(lab, &udp, 3000, 0);
	at(lab, start, timeouts[NSR_TIMEOUT_UDP_DNS]);
	expect_gone(lab, &dns, 3000);
	nat = lab_nat(lab, UP0);
	assert_int_equal(lab_sum(nat.sessions_expired), 1);
	assert_int_equal(lab_sum(nat.mappings_ended), 0);
	in(lab, &udp, 3000, 0);
	lab_expect_no_flows(lab);
	assert_int_equal(lab_sum(lab_nat(lab, UP0).mappings_ended), 1);
}

/* ---- What gives back. */

static void flush(struct lab *lab, const char *address, uint32_t mask)
{
	struct nsr_selection what = {.uplink = (uint8_t)(1 + lab->uplink_number[UP0]),
				     .address = address4(address),
				     .mask = htonl(mask)};

	assert_int_equal(datapath_flush(lab->datapath, &what, NULL, &lab->err), 0);
}

static void test_flush_ends_what_was_asked_for(void **state)
{
	static const char *const sources[] = {RED_IP, BLUE_IP, GREEN_IP, "192.168.18.5"};
	static const enum lab_uplink ways[] = {UP0, UP0, UP0, UP1};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < 4; i++) {
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = sources[i],
		      .dest = REMOTE_IP, .sport = 3000);
		EXPECT_OUT(lab, ways[i], &f, TRANSLATED);
	}
	flush(lab, "192.168.17.0", 0xffffff00);
	assert_int_equal(lab_active_sessions(lab), 4);
	flush(lab, BLUE_IP, 0xffffffff);
	assert_int_equal(lab_active_sessions(lab), 3);
	flush(lab, "192.168.15.0", 0xffffff00);
	assert_int_equal(lab_active_sessions(lab), 2);
	flush(lab, "0.0.0.0", 0); /* all of this uplink */
	assert_int_equal(lab_active_sessions(lab), 1);
	assert_int_equal(lab_sum(lab_nat(lab, UP1).sessions_expired), 0);
	lab_expect_no_flows(lab);
}

/* Another address is another mapping for all: what was there ends, at that uplink only. */
static void test_a_changed_uplink_starts_anew(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_nat_counters nat;

	out(lab, &udp, 3000, 0);
	lab_uplink_set(lab, UP0, "198.51.100.3", LAB_PORT_MIN, LAB_PORT_MAX);
	nat = lab_nat(lab, UP0);
	assert_int_equal(lab_sum(nat.sessions_created), lab_sum(nat.sessions_expired));
	assert_int_equal(lab_active_sessions(lab), 0);
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_UDP), 0);
	assert_int_equal(lab_sum(nat.ports_used), 0);
	out(lab, &udp, 3000, 0);
	assert_int_equal(lab_sum(lab_nat(lab, UP0).ports_used), 1);
}

/* Waits for the timer until so many ports are in use, by bit, and no session. */
static void expect_given_back(struct lab *lab, uint32_t ports)
{
	uint32_t tries, used = 0, sessions = 0, protocol;

	for (tries = 0; tries < TIMER_PASS_S * 10; tries++) {
		used = 0;
		for (protocol = 0; protocol < NSR_NAT_PROTOCOLS; protocol++)
			used += lab_pool_bits(lab, UP0, protocol);
		sessions = lab_session_bits(lab);
		if (used == ports && !sessions)
			break;
		usleep(100000);
	}
	assert_int_equal(used, ports);
	assert_int_equal(sessions, 0);
	assert_int_equal(lab_sum(lab_nat(lab, UP0).ports_used), ports);
}

/* Green, of whose ports each remote sees another: two. */
static void out_to_two(struct lab *lab)
{
	static const char *const to[] = {REMOTE_IP, REMOTE2_IP};
	struct frame f;

	for (size_t i = 0; i < 2; i++) {
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = GREEN_IP, .dest = to[i],
		      .sport = 8000, .dport = 80);
		EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	}
}

/*
 * Ports in one word of the pool, which a pass looks at in one go: one that has cooled down, one
 * that has not, and one that another CPU's clock released later than now. And sessions whose time
 * is over, with nobody to look them up.
 */
static void test_timer_gives_back(void **state)
{
	enum { COOLED = 3200, WARM = 3201, LATER = 3202 }; /* 3200 is a multiple of 64 */
	struct lab *lab = lab_of(state);
	uint32_t start = settle();
	struct nsr_nat_counters nat;

	set_timeouts(lab);
	out(lab, &udp, COOLED, 0);
	flush(lab, RED_IP, 0xffffffff);
	at(lab, start, 60);
	out(lab, &udp, WARM, 0);
	flush(lab, RED_IP, 0xffffffff);
	at(lab, start, 5000);
	out(lab, &udp, LATER, 0);
	flush(lab, RED_IP, 0xffffffff);
	at(lab, start, 0);
	out(lab, &tcp, 5000, FRAME_SYN);
	out(lab, &udp, 6000, 0);
	out(lab, &echo, 7000, 0);
	out_to_two(lab);
	assert_int_equal(lab_sum(lab_nat(lab, UP0).ports_used), 8);
	at(lab, start, NSR_PORT_COOLDOWN_S);
	expect_given_back(lab, 7); /* the ports of what has expired are cooling down */
	nat = lab_nat(lab, UP0);
	assert_int_equal(lab_sum(nat.sessions_created), lab_sum(nat.sessions_expired));
	assert_int_equal(lab_sum(nat.mappings_created), lab_sum(nat.mappings_ended));
	assert_int_equal(lab_entries(lab, MAP_session_by_flow), 0);
	assert_int_equal(lab_entries(lab, MAP_mapping_by_inside), 0);
	at(lab, start, 10000);
	expect_given_back(lab, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_udp),
		LAB_TEST(test_udp_replied),
		LAB_TEST(test_dns),
		LAB_TEST(test_dns_replied),
		LAB_TEST(test_echo),
		LAB_TEST(test_tcp_syn),
		LAB_TEST(test_tcp_half_open),
		LAB_TEST(test_tcp_established),
		LAB_TEST(test_tcp_closed_by_inside_only),
		LAB_TEST(test_tcp_closed_by_remote_only),
		LAB_TEST(test_tcp_closed),
		LAB_TEST(test_tcp_reset),
		LAB_TEST(test_tcp_reset_by_remote),
		LAB_TEST(test_tcp_over_after_a_rest),
		LAB_TEST(test_tcp_reopened),
		LAB_TEST(test_tcp_simultaneous_open),
		LAB_TEST(test_only_outbound_refreshes),
		LAB_TEST(test_late_packet_opens_anew),
		LAB_TEST(test_mapping_lives_with_its_last_session),
		LAB_TEST(test_flush_ends_what_was_asked_for),
		LAB_TEST(test_a_changed_uplink_starts_anew),
		LAB_TEST(test_timer_gives_back),
	};

	return LAB_MAIN(tests);
}
