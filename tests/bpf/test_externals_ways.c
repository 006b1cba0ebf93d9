/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What goes its own way at an uplink with several external addresses: fragments, ICMP errors,
 * protocols without ports, hairpins, and what the host sends to itself.
 */
#include "externals.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "datapath_publish.h"

#define OWN_NETNS (-1)
#define GRE       47
#define MORE      0x2000

/* ---- What is rare. */

static void test_fragments(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame first, later, *f;
	uint16_t id;

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	FRAME(&first, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = 3000, .dport = 80, .fragment = MORE, .payload = 56, .id = 77);
	FRAME(&later, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .fragment = 8, .payload = 56, .id = 77);
	f = &EXPECT_OUT(lab, UP0, &first, TRANSLATED)->out;
	assert_int_equal(frame_ip4(f)->saddr, address4(externals_second));
	id = frame_ip4(f)->id;
	f = &EXPECT_OUT(lab, UP0, &later, TRANSLATED)->out;
	assert_int_equal(frame_ip4(f)->saddr, address4(externals_second));
	assert_int_equal(frame_ip4(f)->id, id);
	/* What comes in. */
	FRAME(&first, .to = mac_up0, .from = mac_router, .source = REMOTE_IP,
	      .dest = externals_second, .sport = 80, .dport = 3000, .fragment = MORE, .payload = 56,
	      .id = 78);
	FRAME(&later, .to = mac_up0, .from = mac_router, .source = REMOTE_IP,
	      .dest = externals_second, .fragment = 8, .payload = 56, .id = 78);
	EXPECT_IN(lab, UP0, &first, TRANSLATED_TO_PEER);
	EXPECT_IN(lab, UP0, &later, TRANSLATED_TO_PEER);
	FRAME(&first, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .sport = 80, .dport = 3000, .fragment = MORE, .payload = 56, .id = 78);
	EXPECT_IN(lab, UP0, &first, PASSED);
	lab_expect_no_flows(lab);
}

/* Fragments of an answer follow its first, by an address that is not the inside one's own. */
static void test_fragments_of_published(void **state)
{
	const struct published_ports dns = {5353, 53, 1, NSR_NAT_UDP};
	const struct ip_address inside = lab_ip(RED_IP), none = {0};
	struct lab *lab = lab_of(state);
	struct frame first, later;

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	assert_int_equal(datapath_publish_at(lab->datapath, lab->uplink[UP0], &none, &inside, &dns,
					     OWN_NETNS, &lab->err),
			 0);
	externals_in(lab, UPLINK_IP, IPPROTO_UDP, 4000, 5353, 0, TRANSLATED_TO_PEER);
	FRAME(&first, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = 53, .dport = 4000, .fragment = MORE, .payload = 56, .id = 79);
	FRAME(&later, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .fragment = 8, .payload = 56, .id = 79);
	assert_int_equal(frame_ip4(&EXPECT_OUT(lab, UP0, &first, TRANSLATED)->out)->saddr,
			 address4(UPLINK_IP));
	assert_int_equal(frame_ip4(&EXPECT_OUT(lab, UP0, &later, TRANSLATED)->out)->saddr,
			 address4(UPLINK_IP));
	assert_int_equal(datapath_unpublish_at(lab->datapath, lab->uplink[UP0], false, &none, &dns,
					       &lab->err),
			 0);
	lab_expect_no_flows(lab);
}

static void test_errors(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame about, f, *got;

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	externals_leave_by(lab, RED_IP, 3000, externals_second);
	/* Of a router, about what has left. */
	FRAME(&about, .to = mac_router, .from = mac_up0, .source = externals_second,
	      .dest = REMOTE_IP, .protocol = IPPROTO_UDP, .sport = 3000, .dport = 80,
	      .payload = 20);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = "198.51.100.77",
	      .dest = externals_second, .protocol = IPPROTO_ICMP, .icmp_type = FRAME_TIME_EXCEEDED,
	      .quoted = &about, .quoted_beyond = 8);
	got = &EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER)->out;
	assert_int_equal(frame_ip4(got)->daddr, address4(RED_IP));
	/* The same about the other address, which has not sent it. */
	FRAME(&about, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_UDP, .sport = 3000, .dport = 80, .payload = 20);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = "198.51.100.77", .dest = UPLINK_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_TIME_EXCEEDED, .quoted = &about,
	      .quoted_beyond = 8);
	EXPECT_IN(lab, UP0, &f, PASSED);
	/* Of the inside, about what has come: in the name of the address that it came to. */
	FRAME(&about, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = RED_IP,
	      .protocol = IPPROTO_UDP, .sport = 80, .dport = 3000, .payload = 20);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .icmp_code = 3,
	      .quoted = &about, .quoted_beyond = 8);
	got = &EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out;
	assert_int_equal(frame_ip4(got)->saddr, address4(externals_second));
	assert_int_equal(((struct iphdr *)(frame_transport(got) + 8))->daddr,
			 address4(externals_second));
	lab_expect_no_flows(lab);
}

/* An error about what came to an address that the inside one has not for what it begins. */
static void test_errors_of_published(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame about, f, *got;

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	externals_publish(lab, NULL, RED_IP);
	externals_in(lab, UPLINK_IP, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	FRAME(&about, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = RED_IP,
	      .protocol = IPPROTO_TCP, .sport = 4000, .dport = 80, .payload = 20);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .icmp_code = 3,
	      .quoted = &about, .quoted_beyond = 8);
	got = &EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out;
	assert_int_equal(frame_ip4(got)->saddr, address4(UPLINK_IP));
	assert_int_equal(((struct iphdr *)(frame_transport(got) + 8))->daddr, address4(UPLINK_IP));
	externals_unpublish(lab, NULL);
	lab_expect_no_flows(lab);
}

static void gre(struct frame *f, const char *source, const char *dest, bool leaves)
{
	FRAME(f, .to = leaves ? mac_router : mac_up0, .from = leaves ? mac_up0 : mac_router,
	      .source = source, .dest = dest, .protocol = GRE, .payload = 60);
}

/* Who speaks a protocol to a remote keeps it, though another inside address has another external
 * one; nothing that comes to that one is for it. */
static void test_portless(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	gre(&f, RED_IP, REMOTE_IP, true);
	assert_int_equal(frame_ip4(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out)->saddr,
			 address4(externals_second));
	gre(&f, BLUE_IP, REMOTE_IP, true);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_AMBIGUOUS));
	gre(&f, BLUE_IP, REMOTE2_IP, true);
	assert_int_equal(frame_ip4(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out)->saddr,
			 address4(UPLINK_IP));
	gre(&f, REMOTE_IP, externals_second, false);
	assert_int_equal(EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER)->delivered, RED);
	gre(&f, REMOTE_IP, UPLINK_IP, false);
	EXPECT_IN(lab, UP0, &f, PASSED);
	assert_int_equal(lab_active_sessions(lab), 2);
	/* Red's address goes: so does its session, and blue's stays. */
	externals_set(lab, UPLINK_IP, NULL, NULL);
	assert_int_equal(lab_active_sessions(lab), 1);
	lab_expect_no_flows(lab);
}

/* Red publishes DNS at an address that is not its own, and has a client there; which of the two red
 * has for what it begins is put into *ret_own. */
static const struct published_ports dns = {5353, 53, 1, NSR_NAT_UDP};

static const char *publish_at_another(struct lab *lab, const char **ret_own)
{
	const struct ip_address inside = lab_ip(RED_IP);
	struct ip_address external;
	const char *at;

	externals_set(lab, UPLINK_IP, externals_second, externals_third);
	*ret_own = externals_second;
	at = externals_third;
	if (externals_paired(lab, RED_IP) == address4(at)) {
		*ret_own = at;
		at = externals_second;
	}
	external = lab_ip(at);
	assert_int_equal(datapath_publish_at(lab->datapath, lab->uplink[UP0], &external, &inside,
					     &dns, OWN_NETNS, &lab->err),
			 0);
	externals_in(lab, at, IPPROTO_UDP, 4000, 5353, 0, TRANSLATED_TO_PEER);
	return at;
}

/* A fragment of red's answer to the client. */
static struct frame *answers_in_pieces(struct lab *lab, bool first, uint16_t id, int outcome)
{
	struct frame f;

	if (first)
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
		      .sport = 53, .dport = 4000, .fragment = MORE, .payload = 56, .id = id);
	else
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
		      .fragment = 8, .payload = 56, .id = id);
	return &EXPECT_OUT(lab, UP0, &f, outcome)->out;
}

/* What somebody tells the remote about a packet to an inside address. */
static struct frame *tells(struct lab *lab, const char *who, const char *inside, uint8_t protocol,
			   uint16_t sport, uint16_t dport, int outcome)
{
	struct frame about, f;

	FRAME(&about, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = inside,
	      .protocol = protocol, .sport = sport, .dport = dport, .payload = 20);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = who, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .icmp_code = 3,
	      .quoted = &about, .quoted_beyond = 8);
	return &EXPECT_OUT(lab, UP0, &f, outcome)->out;
}

static void expect_told(struct frame *got, const char *external)
{
	assert_int_equal(frame_ip4(got)->saddr, address4(external));
	assert_int_equal(((struct iphdr *)(frame_transport(got) + 8))->daddr, address4(external));
}

/* Fragments and errors go by the address of what they belong to, though the host has lost the
 * sender's own; and not at all where it has lost that one. */
static void test_lost(void **state)
{
	struct lab *lab = lab_of(state);
	struct ip_address external;
	const char *own, *at;
	struct frame f;
	uint64_t used;

	at = publish_at_another(lab, &own);
	externals_leave_by(lab, BLUE_IP, 3000, UPLINK_IP);
	gre(&f, BLUE_IP, REMOTE_IP, true);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	externals_ip("del", own);
	externals_let_ask();
	externals_out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 0, DROPPED(NAT_CLOSED));
	assert_int_equal(frame_ip4(answers_in_pieces(lab, true, 80, TRANSLATED))->saddr,
			 address4(at));
	assert_int_equal(frame_ip4(answers_in_pieces(lab, false, 80, TRANSLATED))->saddr,
			 address4(at));
	answers_in_pieces(lab, false, 81, DROPPED(NAT_CLOSED));
	expect_told(tells(lab, RED_IP, RED_IP, IPPROTO_UDP, 4000, 53, TRANSLATED), at);
	expect_told(tells(lab, RED_IP, BLUE_IP, IPPROTO_UDP, 80, 3000, TRANSLATED), UPLINK_IP);
	expect_told(tells(lab, RED_IP, BLUE_IP, GRE, 0, 0, TRANSLATED), UPLINK_IP);
	tells(lab, RED_IP, RED_IP, IPPROTO_UDP, 80, 3000, DROPPED(NAT_ICMP_ERROR));
	externals_ip("add", own);
	externals_ip("del", at);
	externals_let_ask();
	externals_leave_by(lab, RED_IP, 3001, own);
	/* Its session waits: no port of red's own address is taken for another one. */
	used = lab_nat(lab, UP0).ports_used[NSR_NAT_UDP];
	for (uint16_t i = 0; i < 2; i++)
		answers_in_pieces(lab, true, 82 + i, DROPPED(NAT_CLOSED));
	assert_int_equal(lab_nat(lab, UP0).ports_used[NSR_NAT_UDP], used);
	answers_in_pieces(lab, false, 80, DROPPED(NAT_CLOSED));
	tells(lab, RED_IP, RED_IP, IPPROTO_UDP, 4000, 53, DROPPED(NAT_CLOSED));
	externals_ip("add", at);
	external = lab_ip(at);
	assert_int_equal(datapath_unpublish_at(lab->datapath, lab->uplink[UP0], false, &external,
					       &dns, &lab->err),
			 0);
	lab_expect_no_flows(lab);
}

/* While the set changes no protocol is begun either, and what runs goes on, errors with it. */
static void test_portless_goes_on(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_uplink entry;
	struct frame f;

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	gre(&f, RED_IP, REMOTE_IP, true);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	entry = externals_entered(lab);
	entry.flags |= NSR_UPLINK_CHANGING4;
	assert_int_equal(bpf_map_update_elem(lab->datapath->maps[MAP_uplinks], &lab->uplink[UP0],
					     &entry, BPF_ANY),
			 0);
	assert_int_equal(frame_ip4(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out)->saddr,
			 address4(externals_second));
	gre(&f, REMOTE_IP, externals_second, false);
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	expect_told(tells(lab, RED_IP, RED_IP, GRE, 0, 0, TRANSLATED), externals_second);
	gre(&f, RED_IP, REMOTE2_IP, true);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_CLOSED));
	gre(&f, BLUE_IP, REMOTE2_IP, true);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_CLOSED));
	externals_set(lab, UPLINK_IP, externals_second, NULL);
	gre(&f, BLUE_IP, REMOTE_IP, true);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	lab_expect_no_flows(lab);
}

/* ---- The host, and hairpins. */

/* Red reaches blue by blue's address, and is seen by its own; the answer comes back. */
static void test_hairpin(void **state)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);
	struct frame f, *got;

	settings.filtering = NSR_FILTER_NOTHING;
	lab_inside_set(lab, "192.168.15.0/24", UP0, &settings);
	externals_set(lab, UPLINK_IP, externals_second, NULL);
	externals_leave_by(lab, BLUE_IP, 3000, UPLINK_IP);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_UDP, .sport = 5000, .dport = 3000, .payload = 20);
	got = &EXPECT_PORT_IN(lab, RED, &f, TO_PEER)->out;
	assert_int_equal(frame_ip4(got)->saddr, address4(externals_second));
	assert_int_equal(frame_ip4(got)->daddr, address4(BLUE_IP));
	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = BLUE_IP, .dest = externals_second,
	      .protocol = IPPROTO_UDP, .sport = 3000, .dport = 5000, .payload = 20);
	got = &EXPECT_PORT_IN(lab, BLUE, &f, TO_PEER)->out;
	assert_int_equal(frame_ip4(got)->saddr, address4(UPLINK_IP));
	assert_int_equal(frame_ip4(got)->daddr, address4(RED_IP));
	/* The port of the one address is not mapped at the other. */
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = externals_second,
	      .protocol = IPPROTO_UDP, .sport = 5001, .dport = 3000, .payload = 20);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	lab_expect_no_flows(lab);
}

/* An error about what came by hairpin goes back translated on both sides. */
static void test_hairpin_error(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about, *got;

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	externals_publish(lab, NULL, BLUE_IP);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_TCP, .sport = 5000, .dport = 8080, .tcp_flags = FRAME_SYN);
	got = &EXPECT_PORT_IN(lab, RED, &f, TO_PEER)->out;
	assert_int_equal(frame_ip4(got)->saddr, address4(externals_second));
	FRAME(&about, .to = mac_blue, .from = mac_br1, .source = externals_second, .dest = BLUE_IP,
	      .protocol = IPPROTO_TCP, .sport = 5000, .dport = 80, .tcp_flags = FRAME_SYN);
	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = BLUE_IP, .dest = externals_second,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .icmp_code = 3,
	      .quoted = &about, .quoted_beyond = 8);
	got = &EXPECT_PORT_IN(lab, BLUE, &f, TO_PEER)->out;
	assert_int_equal(frame_ip4(got)->saddr, address4(UPLINK_IP));
	assert_int_equal(frame_ip4(got)->daddr, address4(RED_IP));
	assert_int_equal(((struct iphdr *)(frame_transport(got) + 8))->saddr, address4(RED_IP));
	assert_int_equal(((struct iphdr *)(frame_transport(got) + 8))->daddr, address4(UPLINK_IP));
	externals_unpublish(lab, NULL);
	lab_expect_no_flows(lab);
}

/* What the host sends to itself, by whichever of the addresses, and what comes back. */
static void test_local(void **state)
{
	const struct nsr_uplink loopback = {
		.address4 = address4("127.0.0.1"), .port_min = 1, .port_max = 65535};
	static const uint8_t nobody[6];
	struct lab *lab = lab_of(state);
	struct frame f, got;

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	assert_int_equal(
		datapath_uplink_set(lab->datapath, STATE_LOOPBACK, &loopback, NULL, &lab->err), 0);
	externals_publish(lab, externals_second, BLUE_IP);
	FRAME(&f, .to = nobody, .from = nobody, .source = externals_second,
	      .dest = externals_second, .protocol = IPPROTO_TCP, .sport = 5000, .dport = 8080,
	      .tcp_flags = FRAME_SYN);
	assert_int_equal(lab_run(lab, DATAPATH_LOCAL_OUT, STATE_LOOPBACK, &f, &got),
			 TC_ACT_REDIRECT);
	assert_int_equal(frame_ip4(&got)->saddr, address4(externals_second));
	assert_int_equal(frame_ip4(&got)->daddr, address4(BLUE_IP));
	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = BLUE_IP, .dest = externals_second,
	      .protocol = IPPROTO_TCP, .sport = 80, .dport = 5000,
	      .tcp_flags = FRAME_SYN | FRAME_ACK);
	got = EXPECT_PORT_IN(lab, BLUE, &f, TO_NEIGHBOUR)->out;
	assert_int_equal(frame_ip4(&got)->saddr, address4(externals_second));
	assert_int_equal(frame_sport(&got), 8080);
	FRAME(&f, .to = nobody, .from = nobody, .source = UPLINK_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_TCP, .sport = 5000, .dport = 8080, .tcp_flags = FRAME_SYN);
	assert_int_equal(lab_run(lab, DATAPATH_LOCAL_OUT, STATE_LOOPBACK, &f, &got), TC_ACT_UNSPEC);
	/* From another of them; but from no other address of the host's. */
	FRAME(&f, .to = nobody, .from = nobody, .source = "10.9.0.1", .dest = externals_second,
	      .protocol = IPPROTO_TCP, .sport = 5001, .dport = 8080, .tcp_flags = FRAME_SYN);
	assert_int_equal(lab_run(lab, DATAPATH_LOCAL_OUT, STATE_LOOPBACK, &f, &got), TC_ACT_UNSPEC);
	FRAME(&f, .to = nobody, .from = nobody, .source = UPLINK_IP, .dest = externals_second,
	      .protocol = IPPROTO_TCP, .sport = 5001, .dport = 8080, .tcp_flags = FRAME_SYN);
	assert_int_equal(lab_run(lab, DATAPATH_LOCAL_OUT, STATE_LOOPBACK, &f, &got),
			 TC_ACT_REDIRECT);
	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = BLUE_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_TCP, .sport = 80, .dport = 5001,
	      .tcp_flags = FRAME_SYN | FRAME_ACK);
	got = EXPECT_PORT_IN(lab, BLUE, &f, TO_NEIGHBOUR)->out;
	assert_int_equal(frame_ip4(&got)->saddr, address4(externals_second));
	assert_int_equal(frame_sport(&got), 8080);
	assert_int_equal(datapath_uplink_delete(lab->datapath, STATE_LOOPBACK, &lab->err), 0);
	externals_unpublish(lab, externals_second);
	lab_expect_no_flows(lab);
}

/* ---- Whose a flow is. */

/* A socket of the host's at one of its addresses, to REMOTE_IP. */
static int host_opens(const char *local, uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)},
			   to = {.sin_family = AF_INET, .sin_port = htons(80)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = address4(local);
	to.sin_addr.s_addr = address4(REMOTE_IP);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* What the host begins from one of them, with a port that somebody has there, leaves from another
 * port of that address, and everybody's flows go on. */
static void test_own(void **state)
{
	const char *const inside[] = {BLUE_IP, RED_IP};
	struct lab *lab = lab_of(state);
	struct frame *f;
	uint16_t other;
	int fd;

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	for (int i = 0; i < 2; i++) {
		const char *const external[] = {UPLINK_IP, externals_second};
		const uint16_t port = (uint16_t)(3000 + i); /* none that cools down */

		externals_leave_by(lab, BLUE_IP, port, UPLINK_IP);
		externals_leave_by(lab, RED_IP, port, externals_second);
		fd = host_opens(external[i], port);
		f = externals_out(lab, external[i], REMOTE_IP, IPPROTO_UDP, port, 0, TRANSLATED);
		assert_int_equal(frame_ip4(f)->saddr, address4(external[i]));
		other = frame_sport(f);
		assert_int_not_equal(other, port);
		assert_int_equal(lab_active_sessions(lab), 3);
		f = &externals_in(lab, external[i], IPPROTO_UDP, 80, other, 0, TRANSLATED)->out;
		assert_int_equal(frame_ip4(f)->daddr, address4(external[i]));
		assert_int_equal(frame_dport(f), port);
		for (int j = 0; j < 2; j++) {
			externals_in(lab, external[j], IPPROTO_UDP, 80, port, 0,
				     TRANSLATED_TO_PEER);
			externals_leave_by(lab, inside[j], port, external[j]);
		}
		close(fd);
		lab_expect_no_flows(lab);
	}
}

/* The host's own have the address that they are sent from, also when others come. */
static void test_own_stays(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_uplink entry;
	uint16_t other;
	int fd;

	externals_set(lab, UPLINK_IP, NULL, NULL);
	externals_leave_by(lab, BLUE_IP, 3000, UPLINK_IP);
	fd = host_opens(UPLINK_IP, 3000);
	other = frame_sport(
		externals_out(lab, UPLINK_IP, REMOTE_IP, IPPROTO_UDP, 3000, 0, TRANSLATED));
	externals_set(lab, UPLINK_IP, externals_second, externals_third);
	entry = externals_entered(lab);
	assert_int_not_equal(nsr_pair(&entry, address4(UPLINK_IP)), entry.index);
	assert_int_equal(frame_sport(externals_out(lab, UPLINK_IP, REMOTE_IP, IPPROTO_UDP, 3000, 0,
						   TRANSLATED)),
			 other);
	close(fd);
	lab_expect_no_flows(lab);
}

static int asks(struct lab *lab, const char *external, uint16_t sport, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = external,
	      .protocol = IPPROTO_TCP, .sport = sport, .dport = 8080, .tcp_flags = FRAME_SYN);
	return EXPECT_PORT_IN(lab, PLAIN, &f, outcome)->delivered;
}

static void expect_answer(struct lab *lab, uint16_t dport, const char *external)
{
	struct frame f, *got;

	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = PLAIN_IP,
	      .protocol = IPPROTO_TCP, .sport = 80, .dport = dport,
	      .tcp_flags = FRAME_SYN | FRAME_ACK);
	got = &EXPECT_PORT_IN(lab, RED, &f, TO_PEER)->out;
	assert_int_equal(frame_ip4(got)->saddr, address4(external));
	assert_int_equal(frame_sport(got), 8080);
}

/* A namespace that leaves elsewhere is answered by the address that it has asked. One port of its
 * own towards two of them could not be told apart: the flow that is there stays. */
static void test_guests(void **state)
{
	const struct nsr_uplink loopback = {
		.address4 = address4("127.0.0.1"), .port_min = 1, .port_max = 65535};
	const char *const external[] = {UPLINK_IP, externals_second};
	struct lab *lab = lab_of(state);
	struct nsr_port red = lab_port(lab, RED);

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	assert_int_equal(
		datapath_uplink_set(lab->datapath, STATE_LOOPBACK, &loopback, NULL, &lab->err), 0);
	red.flags |= NSR_PORT_PUBLISHES;
	lab_port_set(lab, RED, &red);
	externals_publish(lab, NULL, RED_IP);
	externals_publish(lab, externals_second, RED_IP);
	for (uint16_t i = 0; i < 2; i++)
		assert_int_equal(asks(lab, external[i], 4000 + i, TO_PEER), RED);
	for (uint16_t i = 0; i < 2; i++) {
		asks(lab, external[!i], 4000 + i, DROPPED(NAT_CONTENTION));
		expect_answer(lab, 4000 + i, external[i]);
	}
	externals_unpublish(lab, NULL);
	externals_unpublish(lab, externals_second);
	assert_int_equal(datapath_uplink_delete(lab->datapath, STATE_LOOPBACK, &lab->err), 0);
	lab_expect_no_flows(lab);
}

/* Flows straight to inside addresses have none of the external ones: they go on when these
 * change. What comes from any of them is forged. */
static void test_direct(void **state)
{
	struct nsr_inside inside = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);
	struct frame f;

	inside.inbound = 1;
	lab_inside_set(lab, "192.168.15.0/24", UP0, &inside);
	externals_set(lab, UPLINK_IP, NULL, NULL);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = RED_IP,
	      .sport = 80, .dport = 3000);
	EXPECT_IN(lab, UP0, &f, PASSED_TO_PEER);
	externals_leave_by(lab, RED_IP, 3001, UPLINK_IP);
	assert_int_equal(lab_active_sessions(lab), 2);
	externals_set(lab, UPLINK_IP, externals_second, NULL);
	assert_int_equal(lab_active_sessions(lab), 1); /* red has another one now */
	externals_out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 0, PASSED);
	externals_leave_by(lab, RED_IP, 3001, externals_second);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = externals_second, .dest = RED_IP,
	      .sport = 80, .dport = 3000);
	EXPECT_IN(lab, UP0, &f, DROPPED(SPOOFED_ADDRESS));
	inside.inbound = 0;
	lab_inside_set(lab, "192.168.15.0/24", UP0, &inside);
	lab_expect_no_flows(lab);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, externals_set_up)
	const struct CMUnitTest tests[] = {
		TEST(test_fragments),
		TEST(test_fragments_of_published),
		TEST(test_errors),
		TEST(test_errors_of_published),
		TEST(test_portless),
		TEST(test_lost),
		TEST(test_portless_goes_on),
		TEST(test_hairpin),
		TEST(test_hairpin_error),
		TEST(test_local),
		TEST(test_own),
		TEST(test_own_stays),
		TEST(test_guests),
		TEST(test_direct),
	};

	return LAB_MAIN(tests);
}
