/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A published port of red's, as plain reaches it, whose network leaves by no uplink: bpf/guest.h.
 *
 * What is wanted is built from the start with the other addresses and compared byte by byte.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "datapath_publish.h"
#include "externals.h"
#include "nsroute_trace.h"

#define OWN_NETNS (-1) /* the test is in the lab's namespace */
#define PORT      8080
#define CLIENT    3000

static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};

static enum nsr_nat_protocol nat_protocol(uint8_t protocol)
{
	return protocol == IPPROTO_TCP ? NSR_NAT_TCP : NSR_NAT_UDP;
}

static void publish_at(struct lab *lab, uint8_t protocol, uint16_t external)
{
	struct published_ports what = {external, 80, 1, nat_protocol(protocol)};
	struct ip_address red = lab_ip(RED_IP);

	if (datapath_publish(lab->datapath, lab->uplink[UP0], &red, &what, OWN_NETNS, &lab->err))
		fail_msg("%s", lab->err.message);
}

/* As user space does it: the loopback interface is an uplink, and red's port has its flag. */
static void publish_begins(struct lab *lab)
{
	const struct nsr_uplink loopback = {
		.address4 = address4("127.0.0.1"), .port_min = 1, .port_max = 65535};
	struct nsr_port red = lab_port(lab, RED);

	if (datapath_uplink_set(lab->datapath, STATE_LOOPBACK, &loopback, NULL, &lab->err))
		fail_msg("%s", lab->err.message);
	red.flags |= NSR_PORT_PUBLISHES;
	lab_port_set(lab, RED, &red);
}

static void publish(struct lab *lab, uint8_t protocol)
{
	publish_begins(lab);
	publish_at(lab, protocol, PORT);
}

static void unpublish(struct lab *lab, uint8_t protocol)
{
	struct published_ports what = {PORT, 80, 1, nat_protocol(protocol)};

	if (datapath_unpublish(lab->datapath, lab->uplink[UP0], false, &what, &lab->err) ||
	    datapath_uplink_delete(lab->datapath, STATE_LOOPBACK, &lab->err))
		fail_msg("%s", lab->err.message);
	lab_expect_no_flows(lab);
}

/* From plain to its gateway, or as red gets it; hops: that it has passed. */
static void asked(struct frame *f, const char *dest, uint16_t port, uint8_t protocol, uint8_t flags)
{
	bool inside = !strcmp(dest, RED_IP);

	FRAME(f, .to = inside ? mac_red : mac_br3, .from = inside ? mac_br1 : mac_plain,
	      .source = PLAIN_IP, .dest = dest, .protocol = protocol, .sport = CLIENT,
	      .dport = port, .tcp_flags = flags, .payload = 33, .ttl = inside ? 63 : 64);
}

/* From red to its gateway, or as plain gets it. */
static void answered(struct frame *f, const char *source, uint16_t port, uint8_t protocol,
		     uint8_t flags)
{
	bool inside = !strcmp(source, RED_IP);

	FRAME(f, .to = inside ? mac_br1 : mac_plain, .from = inside ? mac_red : mac_br3,
	      .source = source, .dest = PLAIN_IP, .protocol = protocol, .sport = port,
	      .dport = CLIENT, .tcp_flags = flags, .payload = 33, .ttl = inside ? 64 : 63);
}

static void expect(struct lab *lab, enum lab_port from, struct frame *f, enum lab_port to,
		   const struct frame *wanted)
{
	struct run *run = EXPECT_PORT_IN(lab, from, f, TO_PEER);

	assert_int_equal(run->delivered, to);
	assert_memory_equal(run->out.bytes, wanted->bytes, wanted->length);
}

static void expect_asked(struct lab *lab, uint8_t protocol, uint8_t flags)
{
	struct frame f, wanted;

	asked(&f, UPLINK_IP, PORT, protocol, flags);
	asked(&wanted, RED_IP, 80, protocol, flags);
	expect(lab, PLAIN, &f, RED, &wanted);
}

/* As from the published port, or straight. */
static void expect_answered(struct lab *lab, uint8_t protocol, uint8_t flags, bool published)
{
	struct frame f, wanted;

	answered(&f, RED_IP, 80, protocol, flags);
	answered(&wanted, published ? UPLINK_IP : RED_IP, published ? PORT : 80, protocol, flags);
	memcpy(frame_eth(&wanted)->h_dest, mac_plain, 6);
	memcpy(frame_eth(&wanted)->h_source, mac_br3, 6);
	frame_ip4(&wanted)->ttl = 63;
	frame_seal(&wanted);
	expect(lab, RED, &f, PLAIN, &wanted);
}

/* As it is, and by the kernel: it has been taken for an answer. */
static void expect_straight(struct lab *lab, uint8_t protocol, uint8_t flags)
{
	struct frame f;

	answered(&f, RED_IP, 80, protocol, flags);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

static void error(struct frame *f, const uint8_t *to, const uint8_t *from, const char *source,
		  const char *dest, uint8_t ttl, const struct frame *about)
{
	FRAME(f, .to = to, .from = from, .source = source, .dest = dest, .ttl = ttl,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .icmp_code = 3,
	      .quoted = about, .quoted_beyond = 28);
}

static void test_both_ways(void **state)
{
	struct lab *lab = lab_of(state);

	for (size_t i = 0; i < 2; i++) {
		publish(lab, protocols[i]);
		expect_asked(lab, protocols[i], FRAME_SYN);
		expect_answered(lab, protocols[i], FRAME_SYN | FRAME_ACK, true);
		expect_asked(lab, protocols[i], FRAME_ACK);
		expect_answered(lab, protocols[i], FRAME_ACK, true);
		/* One, of who began it. */
		assert_int_equal(lab_active_sessions(lab), 1);
		assert_int_equal(lab_flows_of(lab, PLAIN), 1);
		assert_int_equal(lab_share(lab, RED).inbound, 0);
		unpublish(lab, protocols[i]);
		assert_int_equal(lab_flows_of(lab, PLAIN), 0);
	}
}

/* What has no session: an answer would not be known. */
static void test_connections(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	publish(lab, IPPROTO_TCP);
	asked(&f, UPLINK_IP, PORT, IPPROTO_TCP, FRAME_RST);
	EXPECT_PORT_IN(lab, PLAIN, &f, DROPPED(NAT_STATE));
	expect_answered(lab, IPPROTO_TCP, FRAME_SYN | FRAME_ACK, false);
	assert_int_equal(lab_active_sessions(lab), 0);
	/* One whose session was ended goes on. */
	expect_asked(lab, IPPROTO_TCP, FRAME_ACK);
	expect_answered(lab, IPPROTO_TCP, FRAME_ACK, true);
	/* When it is over, what begins is straight, ... */
	expect_answered(lab, IPPROTO_TCP, FRAME_FIN | FRAME_ACK, true);
	expect_asked(lab, IPPROTO_TCP, FRAME_FIN | FRAME_ACK);
	expect_answered(lab, IPPROTO_TCP, FRAME_ACK, true);
	expect_straight(lab, IPPROTO_TCP, FRAME_SYN | FRAME_ACK);
	expect_straight(lab, IPPROTO_TCP, FRAME_ACK); /* finds that it has ended */
	expect_answered(lab, IPPROTO_TCP, FRAME_ACK, false);
	/* ... unless it has asked by the published port again. */
	expect_asked(lab, IPPROTO_TCP, FRAME_SYN);
	expect_answered(lab, IPPROTO_TCP, FRAME_RST | FRAME_ACK, true);
	expect_asked(lab, IPPROTO_TCP, FRAME_SYN);
	expect_answered(lab, IPPROTO_TCP, FRAME_SYN | FRAME_ACK, true);
	assert_int_equal(lab_active_sessions(lab), 1);
	unpublish(lab, IPPROTO_TCP);
}

/* From outside, in the client's name: what goes straight between the two is not turned by that, nor
 * what red tells about it. */
static void test_forged(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about;

	publish(lab, IPPROTO_UDP);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = PLAIN_IP, .dest = UPLINK_IP,
	      .sport = CLIENT, .dport = PORT);
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	expect_straight(lab, IPPROTO_UDP, 0);
	asked(&about, RED_IP, 80, IPPROTO_UDP, 0);
	error(&f, mac_br1, mac_red, RED_IP, PLAIN_IP, 64, &about);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	expect_asked(lab, IPPROTO_UDP, 0);
	expect_answered(lab, IPPROTO_UDP, 0, true);
	assert_int_equal(lab_active_sessions(lab), 1);
	unpublish(lab, IPPROTO_UDP);
}

static void test_expired(void **state)
{
	struct lab *lab = lab_of(state);

	publish(lab, IPPROTO_UDP);
	expect_asked(lab, IPPROTO_UDP, 0);
	lab_clock_offset(lab, 119);
	expect_answered(lab, IPPROTO_UDP, 0, true);
	lab_clock_offset(lab, 119 + 301);
	expect_straight(lab, IPPROTO_UDP, 0);
	expect_answered(lab, IPPROTO_UDP, 0, false);
	assert_int_equal(lab_active_sessions(lab), 0);
	lab_clock_offset(lab, 0);
	unpublish(lab, IPPROTO_UDP);
}

static void test_the_hosts_own(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	publish(lab, IPPROTO_UDP);
	asked(&f, UPLINK_IP, PORT + 1, IPPROTO_UDP, 0);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	asked(&f, UPLINK_IP, PORT, IPPROTO_TCP, FRAME_SYN);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	asked(&f, REMOTE_IP, PORT, IPPROTO_UDP, 0);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	asked(&f, "127.0.0.1", PORT, IPPROTO_UDP, 0);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	FRAME(&f, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_ECHO_REQUEST, .sport = 7);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	assert_int_equal(lab_active_sessions(lab), 0);
	unpublish(lab, IPPROTO_UDP);
}

static int bind_at(const char *ip, uint16_t port)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = address4(ip)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* It has the published port: all but flows that run, whoever sends. */
static void test_the_hosts_socket(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_port plain = lab_port(lab, PLAIN);
	struct frame f;
	int fd;

	publish(lab, IPPROTO_UDP);
	expect_asked(lab, IPPROTO_UDP, 0);
	fd = bind_at(UPLINK_IP, PORT);
	expect_asked(lab, IPPROTO_UDP, 0);
	FRAME(&f, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = UPLINK_IP,
	      .sport = CLIENT + 1, .dport = PORT);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	plain.flags |= NSR_PORT_ISOLATED;
	lab_port_set(lab, PLAIN, &plain);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	close(fd);
	EXPECT_PORT_IN(lab, PLAIN, &f, DROPPED(ISOLATED));
	unpublish(lab, IPPROTO_UDP);
}

static void test_policy(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_port plain = lab_port(lab, PLAIN), as_it_was = plain;
	struct nsr_endpoint red = lab_endpoint(lab, RED), red_was = red;
	struct frame f;

	publish(lab, IPPROTO_UDP);
	asked(&f, UPLINK_IP, PORT, IPPROTO_UDP, 0);
	plain.flags |= NSR_PORT_ISOLATED;
	lab_port_set(lab, PLAIN, &plain);
	EXPECT_PORT_IN(lab, PLAIN, &f, DROPPED(ISOLATED));
	lab_port_set(lab, PLAIN, &as_it_was);
	red.flags |= NSR_PORT_ISOLATED;
	lab_host_set(lab, RED_IP, &red);
	EXPECT_PORT_IN(lab, PLAIN, &f, DROPPED(ISOLATED));
	lab_host_set(lab, RED_IP, &red_was);
	/* What is behind plain would be answered by another way. */
	plain = as_it_was;
	plain.flags &= (uint16_t)~NSR_PORT_SPOOF_CHECK;
	lab_port_set(lab, PLAIN, &plain);
	FRAME(&f, .to = mac_br3, .from = mac_plain, .source = "10.77.0.1", .dest = UPLINK_IP,
	      .sport = CLIENT, .dport = PORT);
	EXPECT_PORT_IN(lab, PLAIN, &f, DROPPED(NAT_HAIRPIN));
	FRAME(&f, .to = mac_br3, .from = mac_plain, .source = GREEN_IP, .dest = UPLINK_IP,
	      .sport = CLIENT, .dport = PORT);
	EXPECT_PORT_IN(lab, PLAIN, &f, DROPPED(NAT_HAIRPIN));
	lab_port_set(lab, PLAIN, &as_it_was);
	assert_int_equal(lab_active_sessions(lab), 0);
	unpublish(lab, IPPROTO_UDP);
}

/* Of the client, told as of what leaves by an uplink. */
static void test_limit(void **state)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);
	const uint8_t *icmp;
	struct frame f, *out;

	settings.flows_max = 1;
	lab_inside_set(lab, "192.168.17.0/24", UP1, &settings);
	publish(lab, IPPROTO_UDP);
	expect_asked(lab, IPPROTO_UDP, 0);
	FRAME(&f, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = UPLINK_IP,
	      .sport = CLIENT + 1, .dport = PORT);
	out = &EXPECT_PORT_IN(lab, PLAIN, &f, REFUSED(NAT_LIMIT))->out;
	icmp = frame_transport(out);
	assert_int_equal(frame_ip4(out)->saddr, address4(UPLINK_IP));
	assert_int_equal(frame_ip4(out)->daddr, address4(PLAIN_IP));
	assert_int_equal(icmp[1], 13);
	unpublish(lab, IPPROTO_UDP);
}

/* The client's interface goes, and so does what it has had: another one begins anew. */
static void test_client_goes(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint plain = lab_endpoint(lab, PLAIN);
	struct ip_address ip = lab_ip(PLAIN_IP);

	publish(lab, IPPROTO_TCP);
	expect_asked(lab, IPPROTO_TCP, FRAME_SYN);
	assert_int_equal(lab_active_sessions(lab), 1);
	assert_int_equal(datapath_host_delete(lab->datapath, &ip, &lab->err), 0);
	assert_int_equal(lab_active_sessions(lab), 0);
	lab_host_set(lab, PLAIN_IP, &plain);
	unpublish(lab, IPPROTO_TCP);
}

/* By two ports to one of red's: it could not tell them apart. */
static void test_two_ports(void **state)
{
	struct published_ports second = {PORT + 1, 80, 1, NSR_NAT_UDP};
	struct lab *lab = lab_of(state);
	struct frame f;

	publish(lab, IPPROTO_UDP);
	publish_at(lab, IPPROTO_UDP, PORT + 1);
	expect_asked(lab, IPPROTO_UDP, 0);
	asked(&f, UPLINK_IP, PORT + 1, IPPROTO_UDP, 0);
	EXPECT_PORT_IN(lab, PLAIN, &f, DROPPED(NAT_CONTENTION));
	expect_answered(lab, IPPROTO_UDP, 0, true);
	if (datapath_unpublish(lab->datapath, lab->uplink[UP0], false, &second, &lab->err))
		fail_msg("%s", lab->err.message);
	unpublish(lab, IPPROTO_UDP);
}

static void test_errors(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about, wanted;

	for (size_t i = 0; i < 2; i++) {
		publish(lab, protocols[i]);
		expect_asked(lab, protocols[i], FRAME_SYN);
		expect_answered(lab, protocols[i], FRAME_SYN | FRAME_ACK, true);

		asked(&about, RED_IP, 80, protocols[i], FRAME_ACK);
		error(&f, mac_br1, mac_red, RED_IP, PLAIN_IP, 64, &about);
		asked(&about, UPLINK_IP, PORT, protocols[i], FRAME_ACK);
		frame_ip4(&about)->ttl = 63;
		frame_seal(&about);
		error(&wanted, mac_plain, mac_br3, UPLINK_IP, PLAIN_IP, 63, &about);
		expect(lab, RED, &f, PLAIN, &wanted);

		answered(&about, UPLINK_IP, PORT, protocols[i], FRAME_ACK);
		error(&f, mac_br3, mac_plain, PLAIN_IP, UPLINK_IP, 64, &about);
		answered(&about, RED_IP, 80, protocols[i], FRAME_ACK);
		frame_ip4(&about)->ttl = 63;
		frame_seal(&about);
		error(&wanted, mac_red, mac_br1, PLAIN_IP, RED_IP, 63, &about);
		expect(lab, PLAIN, &f, RED, &wanted);

		/* About another's flow, and about none. */
		FRAME(&about, .to = mac_up0, .from = mac_router, .source = UPLINK_IP,
		      .dest = REMOTE_IP, .protocol = protocols[i], .sport = PORT, .dport = 7);
		error(&f, mac_br3, mac_plain, PLAIN_IP, UPLINK_IP, 64, &about);
		EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
		asked(&about, RED_IP, 81, protocols[i], FRAME_ACK);
		error(&f, mac_br1, mac_red, RED_IP, PLAIN_IP, 64, &about);
		EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
		unpublish(lab, protocols[i]);
	}
}

static void a_second_passes(void)
{
	const struct timespec second_and_some = {1, 100000000};

	nanosleep(&second_and_some, NULL);
}

/* Of the uplink's addresses the first one, so that none is known but by the session. */
static void test_errors_when_the_first_has_gone(void **state)
{
	struct lab *lab = lab_of(state);
	char inside[INET_ADDRSTRLEN] = BLUE_IP;
	struct frame f, about, wanted;

	externals_set(lab, externals_third, externals_second, NULL);
	for (uint8_t i = 20; externals_paired(lab, inside) != address4(externals_third); i++)
		snprintf(inside, sizeof(inside), "192.168.15.%u", i);
	publish_begins(lab);
	externals_publish(lab, externals_second, RED_IP);
	asked(&f, externals_second, PORT, IPPROTO_TCP, FRAME_SYN);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_PEER);
	externals_ip("del", externals_third);
	a_second_passes();
	externals_out(lab, inside, REMOTE_IP, IPPROTO_UDP, 3000, 0, DROPPED(NAT_CLOSED));

	asked(&about, RED_IP, 80, IPPROTO_TCP, FRAME_SYN);
	error(&f, mac_br1, mac_red, RED_IP, PLAIN_IP, 64, &about);
	asked(&about, externals_second, PORT, IPPROTO_TCP, FRAME_SYN);
	frame_ip4(&about)->ttl = 63;
	frame_seal(&about);
	error(&wanted, mac_plain, mac_br3, externals_second, PLAIN_IP, 63, &about);
	expect(lab, RED, &f, PLAIN, &wanted);
	externals_ip("add", externals_third);
	externals_unpublish(lab, externals_second);
	if (datapath_uplink_delete(lab->datapath, STATE_LOOPBACK, &lab->err))
		fail_msg("%s", lab->err.message);
	lab_expect_no_flows(lab);
}

static void expect_half(struct lab *lab, enum lab_port from, struct frame *f, enum lab_port to,
			const char *source, const char *dest)
{
	struct run *run = EXPECT_PORT_IN(lab, from, f, TO_PEER);

	assert_int_equal(run->delivered, to);
	assert_int_equal(frame_ip4(&run->out)->saddr, address4(source));
	assert_int_equal(frame_ip4(&run->out)->daddr, address4(dest));
}

static void test_fragments(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame whole, half[2];
	uint16_t id;

	publish(lab, IPPROTO_UDP);
	FRAME(&whole, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = UPLINK_IP,
	      .sport = CLIENT, .dport = PORT, .payload = 1000);
	frame_halve(&whole, 77, half);
	EXPECT_PORT_IN(lab, PLAIN, &half[1], TO_KERNEL); /* the host's: its first has not come */
	expect_half(lab, PLAIN, &half[0], RED, PLAIN_IP, RED_IP);
	expect_half(lab, PLAIN, &half[1], RED, PLAIN_IP, RED_IP);

	FRAME(&whole, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = PLAIN_IP,
	      .sport = 80, .dport = CLIENT, .payload = 1000);
	frame_halve(&whole, 78, half);
	expect_half(lab, RED, &half[1], PLAIN, RED_IP, PLAIN_IP); /* of none that is known */
	expect_half(lab, RED, &half[0], PLAIN, UPLINK_IP, PLAIN_IP);
	id = frame_ip4(&EXPECT_PORT_IN(lab, RED, &half[0], TO_PEER)->out)->id;
	expect_half(lab, RED, &half[1], PLAIN, UPLINK_IP, PLAIN_IP);
	assert_int_equal(frame_ip4(&EXPECT_PORT_IN(lab, RED, &half[1], TO_PEER)->out)->id, id);
	unpublish(lab, IPPROTO_UDP);
}

/* What has come from outside in the client's name, before it: too large to be held. */
static void test_forged_fragment(void **state)
{
	struct lab *lab = lab_of(state);
	int in = lab->datapath->maps[MAP_datagrams_in];
	struct nsr_datagram_in entry;
	struct nsr_datagram key = {.source = address4(PLAIN_IP),
				   .dest = address4(UPLINK_IP),
				   .protocol = IPPROTO_UDP,
				   .id = htons(77),
				   .uplink = (uint8_t)lab->uplink_number[UP0]};
	struct frame whole, half[2];

	publish(lab, IPPROTO_UDP);
	FRAME(&whole, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = UPLINK_IP,
	      .sport = CLIENT, .dport = PORT, .payload = 1000);
	frame_halve(&whole, 77, half);
	expect_half(lab, PLAIN, &half[0], RED, PLAIN_IP, RED_IP);
	assert_int_equal(bpf_map_lookup_elem(in, &key, &entry), 0);
	entry.whom = NSR_INBOUND_LEFT;
	assert_int_equal(bpf_map_update_elem(in, &key, &entry, BPF_EXIST), 0);
	expect_half(lab, PLAIN, &half[0], RED, PLAIN_IP, RED_IP);
	expect_half(lab, PLAIN, &half[1], RED, PLAIN_IP, RED_IP);
	unpublish(lab, IPPROTO_UDP);
}

static void answered_in_two(uint16_t sport, uint16_t dport, struct frame half[2])
{
	struct frame whole;

	FRAME(&whole, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = PLAIN_IP,
	      .sport = sport, .dport = dport, .payload = 1000);
	frame_halve(&whole, 78, half);
}

/* A datagram that goes straight, with the identification of an answer before: of no session, and of
 * one that is not the client's. */
static void test_identification_again(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, half[2];

	publish(lab, IPPROTO_UDP);
	expect_asked(lab, IPPROTO_UDP, 0);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = PLAIN_IP, .dest = UPLINK_IP,
	      .sport = CLIENT + 1, .dport = PORT);
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	for (int forged = 0; forged < 2; forged++) {
		answered_in_two(80, CLIENT, half);
		expect_half(lab, RED, &half[0], PLAIN, UPLINK_IP, PLAIN_IP);
		expect_half(lab, RED, &half[1], PLAIN, UPLINK_IP, PLAIN_IP);
		answered_in_two(forged ? 80 : 81, CLIENT + 1, half);
		EXPECT_PORT_IN(lab, RED, &half[0], forged ? TO_KERNEL : TO_PEER);
		expect_half(lab, RED, &half[1], PLAIN, RED_IP, PLAIN_IP);
	}
	unpublish(lab, IPPROTO_UDP);
}

/* What follows a first one: fragments, and errors, by either side. */
struct followers {
	struct frame asked, answered, asked_error, answered_error;
};

static void follow(struct lab *lab, uint8_t ttl, struct followers *ret)
{
	struct frame whole, half[2];

	FRAME(&whole, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = UPLINK_IP,
	      .sport = CLIENT, .dport = PORT, .payload = 1000, .ttl = ttl);
	frame_halve(&whole, 77, half);
	ret->asked = half[1];
	frame_ip4(&half[0])->ttl = 64;
	frame_seal(&half[0]);
	expect_half(lab, PLAIN, &half[0], RED, PLAIN_IP, RED_IP);
	FRAME(&whole, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = PLAIN_IP,
	      .sport = 80, .dport = CLIENT, .payload = 1000, .ttl = ttl);
	frame_halve(&whole, 78, half);
	ret->answered = half[1];
	frame_ip4(&half[0])->ttl = 64;
	frame_seal(&half[0]);
	expect_half(lab, RED, &half[0], PLAIN, UPLINK_IP, PLAIN_IP);
	answered(&whole, UPLINK_IP, PORT, IPPROTO_UDP, 0);
	error(&ret->asked_error, mac_br3, mac_plain, PLAIN_IP, UPLINK_IP, ttl, &whole);
	asked(&whole, RED_IP, 80, IPPROTO_UDP, 0);
	error(&ret->answered_error, mac_br1, mac_red, RED_IP, PLAIN_IP, ttl, &whole);
}

static void expect_followers(struct lab *lab, struct followers *f, int outcome)
{
	EXPECT_PORT_IN(lab, PLAIN, &f->asked, outcome);
	EXPECT_PORT_IN(lab, RED, &f->answered, outcome);
	EXPECT_PORT_IN(lab, PLAIN, &f->asked_error, outcome);
	EXPECT_PORT_IN(lab, RED, &f->answered_error, outcome);
}

/* The kernel answers that the way ends here, or takes it. */
static void test_last_hop(void **state)
{
	struct lab *lab = lab_of(state);
	struct followers f;

	publish(lab, IPPROTO_UDP);
	follow(lab, 2, &f);
	expect_followers(lab, &f, TO_PEER);
	follow(lab, 1, &f);
	expect_followers(lab, &f, TO_KERNEL);
	unpublish(lab, IPPROTO_UDP);
}

static void test_too_large(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint red = lab_endpoint(lab, RED), plain = lab_endpoint(lab, PLAIN);
	struct followers f;

	publish(lab, IPPROTO_UDP);
	follow(lab, 64, &f);
	red.mtu = plain.mtu = 68;
	lab_host_set(lab, RED_IP, &red);
	lab_host_set(lab, PLAIN_IP, &plain);
	expect_followers(lab, &f, DROPPED(NAT_HAIRPIN));
	red.mtu = plain.mtu = LAB_MTU;
	lab_host_set(lab, RED_IP, &red);
	lab_host_set(lab, PLAIN_IP, &plain);
	unpublish(lab, IPPROTO_UDP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_both_ways),
		LAB_TEST(test_connections),
		LAB_TEST(test_expired),
		LAB_TEST(test_errors),
		LAB_TEST(test_the_hosts_own),
		LAB_TEST(test_policy),
		LAB_TEST(test_forged),
		LAB_TEST(test_limit),
		LAB_TEST(test_two_ports),
		LAB_TEST(test_fragments),
		LAB_TEST(test_client_goes),
		LAB_TEST(test_last_hop),
		LAB_TEST(test_too_large),
		LAB_TEST(test_identification_again),
		LAB_TEST(test_the_hosts_socket),
		LAB_TEST(test_forged_fragment),
		cmocka_unit_test_setup(test_errors_when_the_first_has_gone, externals_set_up),
	};

	return LAB_MAIN(tests);
}
