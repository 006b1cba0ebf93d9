/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requirements of RFC 4787 (UDP), RFC 5382 and RFC 7857 (TCP) and RFC 5508 (ICMP), with the
 * timeouts that hold unless the file says otherwise. The clock of the datapath is moved by the
 * offset in its settings. docs/nat-rfc.md has the list. Each is tested with IPv4 and with IPv6.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <time.h>
#include <unistd.h>

#include "datapath_maps.h"

#define MINUTE_S 60
#define HOUR_S   3600

/* Which way a packet goes, and what is in it. */
struct step {
	bool outbound;
	uint8_t flags;
};
#define OUT(flags)          \
	{                   \
		true, flags \
	}
#define IN(flags)            \
	{                    \
		false, flags \
	}
#define SYN FRAME_SYN
#define ACK FRAME_ACK
#define FIN FRAME_FIN
#define RST FRAME_RST

static const struct family {
	const char *red, *blue, *external, *remote, *remote2;
	uint8_t icmp, request, reply; /* of echo */
} ipv4 = {RED_IP,     BLUE_IP,      UPLINK_IP,          REMOTE_IP,
	  REMOTE2_IP, IPPROTO_ICMP, FRAME_ECHO_REQUEST, FRAME_ECHO_REPLY},
  ipv6 = {RED_IP6,     BLUE_IP6,     UPLINK_IP6,          REMOTE_IP6,
	  REMOTE2_IP6, FRAME_ICMPV6, FRAME6_ECHO_REQUEST, FRAME6_ECHO_REPLY};
static const struct family *family;

static uint16_t out_to(struct lab *lab, const char *remote, uint8_t protocol, uint16_t sport,
		       uint16_t dport, uint8_t flags)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = family->red, .dest = remote,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = flags,
	      .icmp_type = family->request);
	return frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
}

static void in_from(struct lab *lab, const char *remote, uint8_t protocol, uint16_t sport,
		    uint16_t dport, uint8_t flags, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = remote, .dest = family->external,
	      .protocol = protocol, .sport = protocol == family->icmp ? dport : sport,
	      .dport = dport, .tcp_flags = flags, .icmp_type = family->reply);
	EXPECT_IN(lab, UP0, &f, outcome);
}

/* Returns early in a second of the clock that the programs read, so that the next steps are in the
 * same one. */
static uint32_t settle(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	while (now.tv_nsec > 500000000) {
		usleep(20000);
		clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	}
	return (uint32_t)now.tv_sec;
}

static void at(struct lab *lab, uint32_t start, uint32_t seconds)
{
	lab_clock_offset(lab, start + seconds - settle());
}

/* A TCP connection of red's port goes through these steps, each translated, all to one port. */
static void drive(struct lab *lab, uint16_t port, const struct step *steps, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (steps[i].outbound)
			assert_int_equal(
				out_to(lab, family->remote, IPPROTO_TCP, port, 80, steps[i].flags),
				port);
		else
			in_from(lab, family->remote, IPPROTO_TCP, 80, port, steps[i].flags,
				TRANSLATED_TO_PEER);
}
#define DRIVE(lab, port, ...)                                              \
	do {                                                               \
		static const struct step steps[] = {__VA_ARGS__};          \
		drive(lab, port, steps, sizeof(steps) / sizeof(steps[0])); \
	} while (0)

static void expect_alive(struct lab *lab, uint16_t port)
{
	in_from(lab, family->remote, IPPROTO_TCP, 80, port, ACK, TRANSLATED_TO_PEER);
}

static void expect_ended(struct lab *lab, uint16_t port)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = family->red, .dest = family->remote,
	      .protocol = IPPROTO_TCP, .sport = port, .dport = 80, .tcp_flags = RST);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_STATE)); /* there is none to end */
}

static void expect_sessions(struct lab *lab, uint32_t count)
{
	assert_int_equal(
		lab_entries(lab, family == &ipv6 ? MAP_session_by_flow6 : MAP_session_by_flow),
		count);
}

/* ---- RFC 5382 */

/* REQ-1, and REQ-7: one external port for an inside endpoint, and for no other one. */
static void test_tcp_mapping(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port = out_to(lab, family->remote, IPPROTO_TCP, 3000, 80, SYN);
	struct frame f;

	assert_int_equal(out_to(lab, family->remote, IPPROTO_TCP, 3000, 81, SYN), port);
	assert_int_equal(out_to(lab, family->remote2, IPPROTO_TCP, 3000, 80, SYN), port);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = family->blue,
	      .dest = family->remote2, .protocol = IPPROTO_TCP, .sport = 3000, .dport = 82,
	      .tcp_flags = SYN);
	assert_int_not_equal(frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out), port);
}

/* REQ-2: every valid sequence of packets passes; here of openings and endings. */
static void test_tcp_sequences(void **state)
{
	struct lab *lab = lab_of(state);

	DRIVE(lab, 3000, OUT(SYN), IN(SYN | ACK), OUT(ACK), IN(ACK), OUT(FIN | ACK), IN(ACK),
	      IN(FIN | ACK), OUT(ACK));
	DRIVE(lab, 3001, OUT(SYN), IN(SYN | ACK), OUT(ACK), IN(FIN | ACK), OUT(ACK), OUT(ACK),
	      OUT(FIN | ACK), IN(ACK));
	/* Both sides open at once; both answers; data. */
	DRIVE(lab, 3002, OUT(SYN), IN(SYN), OUT(SYN | ACK), IN(SYN | ACK), OUT(ACK), IN(ACK));
	/* The SYN is sent again, on either side. */
	DRIVE(lab, 3003, OUT(SYN), OUT(SYN), IN(SYN | ACK), IN(SYN | ACK), OUT(ACK), IN(ACK));
	/* Both end at once. */
	DRIVE(lab, 3004, OUT(SYN), IN(SYN | ACK), OUT(ACK), OUT(FIN | ACK), IN(FIN | ACK), OUT(ACK),
	      IN(ACK));
	/* It is refused. */
	DRIVE(lab, 3005, OUT(SYN), IN(RST | ACK));
	/* On the same ports again, after the end. */
	DRIVE(lab, 3000, OUT(SYN), IN(SYN | ACK), OUT(ACK), IN(ACK));
	expect_sessions(lab, 6);
}

/* REQ-2: the remote's SYN is there first, and was dropped. The inside's SYN opens the session all
 * the same, and the remote's next one passes. */
static void test_tcp_simultaneous_open(void **state)
{
	struct lab *lab = lab_of(state);

	out_to(lab, family->remote2, IPPROTO_TCP, 3000, 80, SYN); /* the port is mapped */
	in_from(lab, family->remote, IPPROTO_TCP, 80, 3000, SYN, DROPPED(NAT_FILTERED));
	DRIVE(lab, 3000, OUT(SYN), IN(SYN), OUT(SYN | ACK), IN(SYN | ACK), OUT(ACK));
	/* It counts as established: REQ-5. */
	lab_clock_offset(lab, 2 * HOUR_S + 4 * MINUTE_S);
	expect_alive(lab, 3000);
}

/* REQ-4: nothing answers a SYN that nobody has asked for: not within 6 s, and not later, and not
 * the host, which would reset it. */
static void test_tcp_unsolicited_syn(void **state)
{
	struct lab *lab = lab_of(state);
	uint32_t start = settle();

	lab_clock_offset(lab, 0);
	out_to(lab, family->remote, IPPROTO_TCP, 3000, 80, SYN);
	in_from(lab, family->remote2, IPPROTO_TCP, 80, 3000, SYN, DROPPED(NAT_FILTERED));
	at(lab, start, 6);
	in_from(lab, family->remote2, IPPROTO_TCP, 80, 3000, SYN, DROPPED(NAT_FILTERED));
	at(lab, start, 60);
	in_from(lab, family->remote2, IPPROTO_TCP, 80, 3000, SYN, DROPPED(NAT_FILTERED));
	expect_sessions(lab, 1);
}

/* REQ-5: at least 2 hours and 4 minutes. */
static void test_tcp_established(void **state)
{
	struct lab *lab = lab_of(state);
	uint32_t start = settle();

	lab_clock_offset(lab, 0);
	DRIVE(lab, 3000, OUT(SYN), IN(SYN | ACK), OUT(ACK));
	/* Closed by one side is not closed. */
	DRIVE(lab, 3001, OUT(SYN), IN(SYN | ACK), OUT(ACK), OUT(FIN | ACK), IN(ACK));
	DRIVE(lab, 3002, OUT(SYN), IN(SYN | ACK), OUT(ACK), IN(FIN | ACK), OUT(ACK));
	at(lab, start, 2 * HOUR_S + 4 * MINUTE_S);
	expect_alive(lab, 3000);
	expect_alive(lab, 3001);
	expect_alive(lab, 3002);
}

/* REQ-5: at least 4 minutes while it opens and after it has ended (RFC 7857 2: both FIN, or RST),
 * from the packet on that brought it there; and no longer. */
static void test_tcp_transitory(void **state)
{
	struct lab *lab = lab_of(state);
	uint32_t start = settle();

	lab_clock_offset(lab, 0);
	DRIVE(lab, 3000, OUT(SYN));
	DRIVE(lab, 3001, OUT(SYN), IN(SYN | ACK));
	DRIVE(lab, 3002, OUT(SYN), IN(SYN));
	DRIVE(lab, 3003, OUT(SYN), IN(SYN | ACK), OUT(ACK));
	DRIVE(lab, 3004, OUT(SYN), IN(SYN | ACK), OUT(ACK));
	at(lab, start, 4 * MINUTE_S - 1);
	expect_alive(lab, 3000);
	expect_alive(lab, 3001);
	expect_alive(lab, 3002);
	at(lab, start, 1 * HOUR_S); /* of rest */
	DRIVE(lab, 3003, OUT(FIN | ACK), IN(FIN | ACK));
	DRIVE(lab, 3004, IN(RST));
	at(lab, start, 1 * HOUR_S + 4 * MINUTE_S - 1);
	expect_alive(lab, 3003);
	expect_alive(lab, 3004);
	at(lab, start, 1 * HOUR_S + 4 * MINUTE_S);
	assert_int_equal(out_to(lab, family->remote, IPPROTO_TCP, 4000, 80, SYN), 4000);
	for (uint16_t port = 3000; port < 3005; port++)
		expect_ended(lab, port);
}

/* RFC 7857 2.2: a reset that the inside does not believe does not take the connection: what goes on
 * keeps it. */
static void test_tcp_reset_that_is_none(void **state)
{
	struct lab *lab = lab_of(state);
	uint32_t start = settle();

	lab_clock_offset(lab, 0);
	DRIVE(lab, 3000, OUT(SYN), IN(SYN | ACK), OUT(ACK), IN(RST));
	for (uint32_t seconds = 200; seconds < 1000; seconds += 200) {
		at(lab, start, seconds);
		DRIVE(lab, 3000, OUT(ACK), IN(ACK));
	}
}

/* RFC 7857 2.2, RFC 6146 3.5.2.2: and it may be idle again for as long as any other (REQ-5). */
static void test_tcp_reset_taken_back(void **state)
{
	struct lab *lab = lab_of(state);
	uint32_t start = settle();

	lab_clock_offset(lab, 0);
	DRIVE(lab, 3000, OUT(SYN), IN(SYN | ACK), OUT(ACK), IN(RST), OUT(ACK));
	DRIVE(lab, 3001, OUT(SYN), IN(SYN | ACK), OUT(ACK), IN(RST), OUT(FIN | ACK));
	/* What comes in does not take it back, nor does the inside's own; and it may come again. */
	DRIVE(lab, 3002, OUT(SYN), IN(SYN | ACK), OUT(ACK), IN(RST), IN(ACK));
	DRIVE(lab, 3003, OUT(SYN), IN(SYN | ACK), OUT(ACK), IN(RST), OUT(RST | ACK), IN(ACK));
	DRIVE(lab, 3004, OUT(SYN), IN(SYN | ACK), OUT(ACK), IN(RST), OUT(ACK), IN(RST));
	/* One that was closed stays closed. */
	DRIVE(lab, 3005, OUT(SYN), IN(SYN | ACK), OUT(ACK), OUT(FIN | ACK), IN(FIN | ACK), IN(RST),
	      OUT(ACK));
	at(lab, start, 4 * MINUTE_S - 1);
	for (uint16_t port = 3000; port < 3006; port++)
		expect_alive(lab, port);
	at(lab, start, 4 * MINUTE_S);
	for (uint16_t port = 3002; port < 3006; port++)
		expect_ended(lab, port);
	at(lab, start, 2 * HOUR_S + 4 * MINUTE_S);
	expect_alive(lab, 3000);
	expect_alive(lab, 3001);
}

/* ---- RFC 4787 */

/* REQ-5, 5c: 2 minutes at least, 5 once it is answered; REQ-5a: less only for a well-known port. */
static void test_udp_timers(void **state)
{
	struct lab *lab = lab_of(state);
	uint32_t start = settle();

	lab_clock_offset(lab, 0);
	for (uint16_t port = 3000; port < 3004; port++)
		out_to(lab, family->remote, IPPROTO_UDP, port, 8080, 0);
	for (uint16_t port = 3002; port < 3004; port++)
		in_from(lab, family->remote, IPPROTO_UDP, 8080, port, 0, TRANSLATED_TO_PEER);
	out_to(lab, family->remote, IPPROTO_UDP, 3004, 1024, 0);
	out_to(lab, family->remote, IPPROTO_UDP, 3005, 53, 0);
	at(lab, start, 29);
	out_to(lab, family->remote2, IPPROTO_UDP, 3005, 8080, 0); /* keeps the port mapped */
	at(lab, start, 30);
	in_from(lab, family->remote, IPPROTO_UDP, 53, 3005, 0, DROPPED(NAT_FILTERED));
	at(lab, start, 2 * MINUTE_S - 1);
	in_from(lab, family->remote, IPPROTO_UDP, 8080, 3000, 0, TRANSLATED_TO_PEER);
	in_from(lab, family->remote, IPPROTO_UDP, 1024, 3004, 0, TRANSLATED_TO_PEER);
	out_to(lab, family->remote2, IPPROTO_UDP, 3001, 8080, 0);
	at(lab, start, 2 * MINUTE_S);
	in_from(lab, family->remote, IPPROTO_UDP, 8080, 3001, 0, DROPPED(NAT_FILTERED));
	at(lab, start, 5 * MINUTE_S - 1);
	in_from(lab, family->remote, IPPROTO_UDP, 8080, 3002, 0, TRANSLATED_TO_PEER);
	out_to(lab, family->remote2, IPPROTO_UDP, 3003, 8080, 0);
	at(lab, start, 5 * MINUTE_S);
	in_from(lab, family->remote, IPPROTO_UDP, 8080, 3003, 0, DROPPED(NAT_FILTERED));
}

/* REQ-3: two endpoints have never one port. REQ-11: what is done with a packet does not depend on
 * whether another inside host wants the same port. */
static void test_udp_no_overloading(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t ports[2];
	struct frame f;

	ports[0] = out_to(lab, family->remote, IPPROTO_UDP, 3000, 80, 0);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = family->blue,
	      .dest = family->remote2, .protocol = IPPROTO_UDP, .sport = 3000, .dport = 80);
	ports[1] = frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
	assert_int_not_equal(ports[0], ports[1]);
	/* The one that came second is mapped and filtered as the first. */
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = family->blue, .dest = family->remote,
	      .protocol = IPPROTO_UDP, .sport = 3000, .dport = 80);
	assert_int_equal(frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out), ports[1]);
	for (int i = 0; i < 2; i++) {
		in_from(lab, family->remote, IPPROTO_UDP, 80, ports[i], 0, TRANSLATED_TO_PEER);
		in_from(lab, family->remote, IPPROTO_UDP, 81, ports[i], 0, DROPPED(NAT_FILTERED));
	}
}

/* ---- RFC 5508 */

/* REQ-1: echo requests go out, and their answers come in; one mapping for all remotes. REQ-2: for
 * 60 s at least. */
static void test_echo(void **state)
{
	struct lab *lab = lab_of(state);
	uint32_t start = settle();
	uint16_t id;

	lab_clock_offset(lab, 0);
	id = out_to(lab, family->remote, family->icmp, 3000, 0, 0);
	assert_int_equal(out_to(lab, family->remote2, family->icmp, 3000, 0, 0), id);
	in_from(lab, family->remote, family->icmp, 0, id, 0, TRANSLATED_TO_PEER);
	in_from(lab, family->remote2, family->icmp, 0, id, 0, TRANSLATED_TO_PEER);
	at(lab, start, 59);
	in_from(lab, family->remote, family->icmp, 0, id, 0, TRANSLATED_TO_PEER);
	at(lab, start, 60);
	in_from(lab, family->remote, family->icmp, 0, id, 0, PASSED); /* the host answers none */
}

static int set_up4(void **state)
{
	family = &ipv4;
	return lab_set_up(state);
}

static int set_up6(void **state)
{
	family = &ipv6;
	return lab_set_up(state);
}

#define BOTH(test)                                          \
	{#test, test, set_up4, NULL, NULL},                 \
	{                                                   \
#test " of IPv6", test, set_up6, NULL, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_tcp_mapping),
		BOTH(test_tcp_sequences),
		BOTH(test_tcp_simultaneous_open),
		BOTH(test_tcp_unsolicited_syn),
		BOTH(test_tcp_established),
		BOTH(test_tcp_transitory),
		BOTH(test_tcp_reset_that_is_none),
		BOTH(test_tcp_reset_taken_back),
		BOTH(test_udp_timers),
		BOTH(test_udp_no_overloading),
		BOTH(test_echo),
	};

	return LAB_MAIN(tests);
}
