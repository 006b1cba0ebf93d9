/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * As test_externals_ways.c, of IPv6: fragments, ICMP errors, protocols without ports, hairpins, and
 * the host's own, at an uplink with several external addresses.
 */
#include "externals6.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath_maps.h"

#define ROUTER6 "2001:db8:9::1"

static const uint8_t nobody[6];

/* ---- What is rare. */

static struct frame *piece(struct lab *lab, bool first, uint8_t id, uint16_t dport, int outcome)
{
	struct frame_spec spec = {.to = mac_router,
				  .from = mac_up0,
				  .source = RED_IP6,
				  .dest = REMOTE_IP6,
				  .sport = dport == 80 ? 3000 : 80,
				  .dport = dport,
				  .payload = 104,
				  .extended = true,
				  .extension = IPPROTO_FRAGMENT,
				  .extension_data = {0, first ? 1 : 112, 0, 0, 0, id}};
	struct frame f;

	frame_build(&f, &spec);
	return &EXPECT_OUT(lab, UP0, &f, outcome)->out;
}

static void expect_pieces(struct lab *lab, uint8_t id, uint16_t dport, const char *external)
{
	externals6_expect(&frame_ip6(piece(lab, true, id, dport, TRANSLATED))->saddr, external);
	externals6_expect(&frame_ip6(piece(lab, false, id, dport, TRANSLATED))->saddr, external);
}

/* Later fragments leave by the address of the first, whichever that is. */
static void test_fragments(void **state)
{
	struct lab *lab = lab_of(state);

	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	externals6_publish(lab, NULL, RED_IP6, NSR_NAT_UDP);
	expect_pieces(lab, 7, 80, externals6_second);
	externals6_in(lab, UPLINK_IP6, IPPROTO_UDP, 4000, 8080, 0, TRANSLATED_TO_PEER);
	expect_pieces(lab, 7, 4000, UPLINK_IP6);
	/* And of a datagram with the same identification after that. */
	expect_pieces(lab, 7, 80, externals6_second);
	externals6_unpublish(lab, NULL, NSR_NAT_UDP);
	lab_expect_no_flows6(lab);
}

static void error_about(struct frame *f, const struct frame *about, const char *source,
			const char *dest, bool leaves)
{
	FRAME(f, .to = leaves ? mac_router : mac_up0, .from = leaves ? mac_up0 : mac_router,
	      .source = source, .dest = dest, .protocol = FRAME_ICMPV6,
	      .icmp_type = FRAME6_UNREACHABLE, .quoted = about, .quoted_beyond = 1000);
}

static void test_errors(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame about, f, *got;

	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	externals6_leave_by(lab, RED_IP6, 3000, externals6_second);
	for (int i = 0; i < 2; i++) {
		const char *external = i ? UPLINK_IP6 : externals6_second;

		FRAME(&about, .to = mac_router, .from = mac_up0, .source = external,
		      .dest = REMOTE_IP6, .sport = 3000, .dport = 80, .payload = 20);
		error_about(&f, &about, ROUTER6, external, false);
		got = &EXPECT_IN(lab, UP0, &f, i ? PASSED : TRANSLATED_TO_PEER)->out;
		if (!i)
			externals6_expect(&frame_ip6(got)->daddr, RED_IP6);
	}
	/* In the name of the address that it is about, which need not be the sender's own. */
	externals6_publish(lab, NULL, RED_IP6, NSR_NAT_UDP);
	externals6_in(lab, UPLINK_IP6, IPPROTO_UDP, 4000, 8080, 0, TRANSLATED_TO_PEER);
	for (int i = 0; i < 2; i++) {
		const char *external = i ? UPLINK_IP6 : externals6_second;

		FRAME(&about, .to = mac_up0, .from = mac_router, .source = REMOTE_IP6,
		      .dest = RED_IP6, .sport = i ? 4000 : 80, .dport = i ? 80 : 3000,
		      .payload = 20);
		error_about(&f, &about, RED_IP6, REMOTE_IP6, true);
		got = &EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out;
		externals6_expect(&frame_ip6(got)->saddr, external);
		externals6_expect(&((struct ipv6hdr *)((uint8_t *)frame_transport(got) + 8))->daddr,
				  external);
	}
	externals6_unpublish(lab, NULL, NSR_NAT_UDP);
	lab_expect_no_flows6(lab);
}

static struct run *gre(struct lab *lab, const char *source, const char *dest, bool leaves,
		       int outcome)
{
	struct frame f;

	FRAME(&f, .to = leaves ? mac_router : mac_up0, .from = leaves ? mac_up0 : mac_router,
	      .source = source, .dest = dest, .protocol = IPPROTO_GRE, .payload = 60);
	return leaves ? EXPECT_OUT(lab, UP0, &f, outcome) : EXPECT_IN(lab, UP0, &f, outcome);
}

static void test_portless(void **state)
{
	struct lab *lab = lab_of(state);

	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	externals6_expect(&frame_ip6(&gre(lab, RED_IP6, REMOTE_IP6, true, TRANSLATED)->out)->saddr,
			  externals6_second);
	gre(lab, BLUE_IP6, REMOTE_IP6, true, DROPPED(NAT_AMBIGUOUS));
	externals6_expect(
		&frame_ip6(&gre(lab, BLUE_IP6, REMOTE2_IP6, true, TRANSLATED)->out)->saddr,
		UPLINK_IP6);
	assert_int_equal(
		gre(lab, REMOTE_IP6, externals6_second, false, TRANSLATED_TO_PEER)->delivered, RED);
	gre(lab, REMOTE_IP6, UPLINK_IP6, false, PASSED);
	/* Red's address goes: so does its session, and blue's stays. */
	externals6_set(lab, UPLINK_IP6, NULL, NULL);
	assert_int_equal(lab_entries(lab, MAP_session_by_flow6), 1);
	lab_expect_no_flows6(lab);
}

/* What somebody tells the remote about a packet to an inside address. */
static struct frame *tells(struct lab *lab, const char *who, const char *inside, uint8_t protocol,
			   uint16_t sport, uint16_t dport, int outcome)
{
	struct frame about, f;

	FRAME(&about, .to = mac_up0, .from = mac_router, .source = REMOTE_IP6, .dest = inside,
	      .protocol = protocol, .sport = sport, .dport = dport, .payload = 20);
	error_about(&f, &about, who, REMOTE_IP6, true);
	return &EXPECT_OUT(lab, UP0, &f, outcome)->out;
}

static void expect_told(struct frame *got, const char *external)
{
	externals6_expect(&frame_ip6(got)->saddr, external);
	externals6_expect(&((struct ipv6hdr *)((uint8_t *)frame_transport(got) + 8))->daddr,
			  external);
}

/* Red's port, at an address that is not its own: that. A client has asked. */
static const char *publish_at_another(struct lab *lab, const char **ret_own)
{
	const char *own = externals6_second, *at = externals6_third;

	externals6_set(lab, UPLINK_IP6, externals6_second, externals6_third);
	if (externals6_is_paired(lab, RED_IP6, at)) {
		own = externals6_third;
		at = externals6_second;
	}
	externals6_publish(lab, at, RED_IP6, NSR_NAT_UDP);
	externals6_in(lab, at, IPPROTO_UDP, 4000, 8080, 0, TRANSLATED_TO_PEER);
	if (ret_own)
		*ret_own = own;
	return at;
}

/* Fragments and errors go by the address of what they belong to, though the host has lost the
 * sender's own; and not at all where it has lost that one. */
static void test_lost(void **state)
{
	struct lab *lab = lab_of(state);
	const char *own, *at;

	at = publish_at_another(lab, &own);
	externals6_leave_by(lab, BLUE_IP6, 3000, UPLINK_IP6);
	gre(lab, BLUE_IP6, REMOTE_IP6, true, TRANSLATED);
	expect_told(tells(lab, RED_IP6, BLUE_IP6, IPPROTO_GRE, 0, 0, TRANSLATED), UPLINK_IP6);
	externals6_ip("del", own);
	externals_let_ask();
	externals6_out(lab, RED_IP6, REMOTE_IP6, IPPROTO_UDP, 3000, 80, 0, DROPPED(NAT_CLOSED));
	expect_pieces(lab, 80, 4000, at);
	piece(lab, false, 81, 4000, DROPPED(NAT_CLOSED));
	expect_told(tells(lab, RED_IP6, RED_IP6, IPPROTO_UDP, 4000, 80, TRANSLATED), at);
	expect_told(tells(lab, RED_IP6, BLUE_IP6, IPPROTO_UDP, 80, 3000, TRANSLATED), UPLINK_IP6);
	expect_told(tells(lab, RED_IP6, BLUE_IP6, IPPROTO_GRE, 0, 0, TRANSLATED), UPLINK_IP6);
	tells(lab, RED_IP6, RED_IP6, IPPROTO_UDP, 80, 3000, DROPPED(NAT_ICMP_ERROR));
	externals6_ip("add", own);
	externals6_ip("del", at);
	externals_let_ask();
	externals6_leave_by(lab, RED_IP6, 3001, own);
	piece(lab, true, 82, 4000, DROPPED(NAT_CLOSED));
	piece(lab, false, 80, 4000, DROPPED(NAT_CLOSED));
	tells(lab, RED_IP6, RED_IP6, IPPROTO_UDP, 4000, 80, DROPPED(NAT_CLOSED));
	externals6_ip("add", at);
	externals6_unpublish(lab, at, NSR_NAT_UDP);
	lab_expect_no_flows6(lab);
}

/* While the set changes no protocol is begun either, and what runs goes on, errors with it. */
static void test_portless_goes_on(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_uplink entry;

	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	gre(lab, RED_IP6, REMOTE_IP6, true, TRANSLATED);
	entry = externals_entered(lab);
	entry.flags |= NSR_UPLINK_CHANGING6;
	assert_int_equal(bpf_map_update_elem(lab->datapath->maps[MAP_uplinks], &lab->uplink[UP0],
					     &entry, BPF_ANY),
			 0);
	externals6_expect(&frame_ip6(&gre(lab, RED_IP6, REMOTE_IP6, true, TRANSLATED)->out)->saddr,
			  externals6_second);
	gre(lab, REMOTE_IP6, externals6_second, false, TRANSLATED_TO_PEER);
	expect_told(tells(lab, RED_IP6, RED_IP6, IPPROTO_GRE, 0, 0, TRANSLATED), externals6_second);
	gre(lab, RED_IP6, REMOTE2_IP6, true, DROPPED(NAT_CLOSED));
	gre(lab, BLUE_IP6, REMOTE2_IP6, true, DROPPED(NAT_CLOSED));
	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	gre(lab, BLUE_IP6, REMOTE_IP6, true, TRANSLATED);
	lab_expect_no_flows6(lab);
}

/* ---- The host, and hairpins. */

static struct frame *from_port(struct lab *lab, enum lab_port which, const char *dest,
			       uint16_t sport, uint16_t dport, int outcome)
{
	const bool red = which == RED;
	struct frame f;

	FRAME(&f, .to = mac_br1, .from = red ? mac_red : mac_blue,
	      .source = red ? RED_IP6 : BLUE_IP6, .dest = dest, .sport = sport, .dport = dport,
	      .payload = 20);
	return &EXPECT_PORT_IN(lab, which, &f, outcome)->out;
}

static void test_hairpin(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about, *got;

	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	externals6_publish(lab, NULL, BLUE_IP6, NSR_NAT_UDP);
	got = from_port(lab, RED, UPLINK_IP6, 5000, 8080, TO_PEER);
	externals6_expect(&frame_ip6(got)->saddr, externals6_second);
	externals6_expect(&frame_ip6(got)->daddr, BLUE_IP6);
	assert_int_equal(frame_sport(got), 5000);
	got = from_port(lab, BLUE, externals6_second, 80, 5000, TO_PEER);
	externals6_expect(&frame_ip6(got)->saddr, UPLINK_IP6);
	externals6_expect(&frame_ip6(got)->daddr, RED_IP6);
	assert_int_equal(frame_sport(got), 8080);
	/* The port of the one address is not mapped at the other. */
	from_port(lab, RED, externals6_second, 5001, 8080, TO_KERNEL);
	/* An error about it goes back translated on both sides. */
	FRAME(&about, .to = mac_blue, .from = mac_br1, .source = externals6_second,
	      .dest = BLUE_IP6, .sport = 5000, .dport = 80, .payload = 20);
	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = BLUE_IP6, .dest = externals6_second,
	      .protocol = FRAME_ICMPV6, .icmp_type = FRAME6_UNREACHABLE, .icmp_code = 4,
	      .quoted = &about, .quoted_beyond = 1000);
	got = &EXPECT_PORT_IN(lab, BLUE, &f, TO_PEER)->out;
	externals6_expect(&frame_ip6(got)->saddr, UPLINK_IP6);
	externals6_expect(&frame_ip6(got)->daddr, RED_IP6);
	externals6_unpublish(lab, NULL, NSR_NAT_UDP);
	lab_expect_no_flows6(lab);
}

/* The answer to a hairpin, and an error about it, whose address the host has lost. */
static void test_hairpin_lost(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about;
	uint64_t used;
	const char *at;

	at = publish_at_another(lab, NULL);
	from_port(lab, BLUE, at, 5000, 8080, TO_PEER);
	externals6_ip("del", at);
	externals_let_ask();
	piece(lab, true, 80, 4000, DROPPED(NAT_CLOSED));
	used = lab_nat6(lab, UP0).ports_used[NSR_NAT_UDP];
	for (int i = 0; i < 2; i++)
		from_port(lab, RED, UPLINK_IP6, 80, 5000, DROPPED(NAT_CLOSED));
	assert_int_equal(lab_nat6(lab, UP0).ports_used[NSR_NAT_UDP], used);
	FRAME(&about, .to = mac_red, .from = mac_br1, .source = UPLINK_IP6, .dest = RED_IP6,
	      .sport = 5000, .dport = 80, .payload = 20);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP6, .dest = UPLINK_IP6,
	      .protocol = FRAME_ICMPV6, .icmp_type = FRAME6_UNREACHABLE, .icmp_code = 4,
	      .quoted = &about, .quoted_beyond = 1000);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(NAT_CLOSED));
	externals6_ip("add", at);
	externals6_unpublish(lab, at, NSR_NAT_UDP);
	lab_expect_no_flows6(lab);
}

static void test_local(void **state)
{
	const struct nsr_uplink loopback = {
		.address4 = address4("127.0.0.1"), .port_min = 1, .port_max = 65535};
	struct lab *lab = lab_of(state);
	struct frame f, got, *answer;

	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	assert_int_equal(
		datapath_uplink_set(lab->datapath, STATE_LOOPBACK, &loopback, NULL, &lab->err), 0);
	externals6_publish(lab, externals6_second, BLUE_IP6, NSR_NAT_UDP);
	for (int i = 0; i < 2; i++) {
		const char *external = i ? UPLINK_IP6 : externals6_second;

		FRAME(&f, .to = nobody, .from = nobody, .source = external, .dest = external,
		      .sport = 5000, .dport = 8080, .payload = 20);
		assert_int_equal(lab_run(lab, DATAPATH_LOCAL_OUT, STATE_LOOPBACK, &f, &got),
				 i ? TC_ACT_UNSPEC : TC_ACT_REDIRECT);
		if (!i)
			externals6_expect(&frame_ip6(&got)->daddr, BLUE_IP6);
	}
	answer = from_port(lab, BLUE, externals6_second, 80, 5000, TO_NEIGHBOUR);
	externals6_expect(&frame_ip6(answer)->saddr, externals6_second);
	assert_int_equal(frame_sport(answer), 8080);
	assert_int_equal(datapath_uplink_delete(lab->datapath, STATE_LOOPBACK, &lab->err), 0);
	externals6_unpublish(lab, externals6_second, NSR_NAT_UDP);
	lab_expect_no_flows6(lab);
}

static int host_opens(const char *local, uint16_t port)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(port)},
			    to = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET6, local, &at.sin6_addr);
	inet_pton(AF_INET6, REMOTE_IP6, &to.sin6_addr);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* What the host begins from one of them, with a port that somebody has there, leaves from another
 * port of that address, and everybody's flows go on. */
static void test_own(void **state)
{
	const char *const inside[] = {BLUE_IP6, RED_IP6}, *const external[] = {UPLINK_IP6,
									       externals6_second};
	struct lab *lab = lab_of(state);

	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	for (int i = 0; i < 2; i++) {
		const uint16_t port = (uint16_t)(3000 + i); /* none that cools down */
		struct frame *f;
		int fd;

		externals6_leave_by(lab, BLUE_IP6, port, UPLINK_IP6);
		externals6_leave_by(lab, RED_IP6, port, externals6_second);
		fd = host_opens(external[i], port);
		f = externals6_out(lab, external[i], REMOTE_IP6, IPPROTO_UDP, port, 80, 0,
				   TRANSLATED);
		externals6_expect(&frame_ip6(f)->saddr, external[i]);
		assert_int_not_equal(frame_sport(f), port);
		assert_int_equal(lab_entries(lab, MAP_session_by_flow6), 3);
		f = &externals6_in(lab, external[i], IPPROTO_UDP, 80, frame_sport(f), 0, TRANSLATED)
			     ->out;
		externals6_expect(&frame_ip6(f)->daddr, external[i]);
		assert_int_equal(frame_dport(f), port);
		for (int j = 0; j < 2; j++) {
			externals6_in(lab, external[j], IPPROTO_UDP, 80, port, 0,
				      TRANSLATED_TO_PEER);
			externals6_leave_by(lab, inside[j], port, external[j]);
		}
		close(fd);
		lab_expect_no_flows6(lab);
	}
}
int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, externals6_set_up)
	const struct CMUnitTest tests[] = {
		TEST(test_fragments),
		TEST(test_errors),
		TEST(test_portless),
		TEST(test_lost),
		TEST(test_portless_goes_on),
		TEST(test_hairpin),
		TEST(test_hairpin_lost),
		TEST(test_local),
		TEST(test_own),
	};

	return LAB_MAIN(tests);
}
