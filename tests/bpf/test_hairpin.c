/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is told about packets from one namespace to the external port of another, or of the host to
 * a published one: ICMP errors, translated on both sides (RFC 4787 REQ-12, RFC 5508 REQ-7), and
 * that a flow cannot be had (REQ-8); and what isolation leaves of it, which is the host.
 *
 * What is wanted is built from the start with the other addresses and compared byte by byte.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "datapath_publish.h"

#define OWN_NETNS   (-1) /* the test is in the lab's namespace */
#define LOOPBACK_IP "127.0.0.1"
#define CLIENT_IP   "169.254.78.1"

static const uint8_t nobody[6];
static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};

static void publish(struct lab *lab, uint32_t ifindex, uint8_t protocol)
{
	struct published_ports what = {8080, 80, 1,
				       protocol == IPPROTO_TCP ? NSR_NAT_TCP : NSR_NAT_UDP};
	struct ip_address red = lab_ip(RED_IP);

	if (datapath_publish(lab->datapath, ifindex, &red, &what, OWN_NETNS, &lab->err))
		fail_msg("%s", lab->err.message);
}

static void unpublish(struct lab *lab, uint32_t ifindex, uint8_t protocol)
{
	struct published_ports what = {8080, 80, 1,
				       protocol == IPPROTO_TCP ? NSR_NAT_TCP : NSR_NAT_UDP};

	if (datapath_unpublish(lab->datapath, ifindex, false, &what, &lab->err))
		fail_msg("%s", lab->err.message);
}

static void loopback_up(struct lab *lab)
{
	const struct nsr_uplink loopback = {
		.address4 = address4(LOOPBACK_IP), .port_min = 1, .port_max = 65535};

	if (datapath_uplink_set(lab->datapath, STATE_LOOPBACK, &loopback, NULL, &lab->err))
		fail_msg("%s", lab->err.message);
}

static void loopback_down(struct lab *lab)
{
	if (datapath_uplink_delete(lab->datapath, STATE_LOOPBACK, &lab->err))
		fail_msg("%s", lab->err.message);
}

static void packet(struct frame *f, const char *source, uint16_t sport, const char *dest,
		   uint16_t dport, uint8_t protocol)
{
	FRAME(f, .to = nobody, .from = nobody, .source = source, .dest = dest, .sport = sport,
	      .dport = dport, .protocol = protocol, .tcp_flags = FRAME_SYN, .payload = 33);
}

static void from_blue(struct frame *f, uint8_t protocol, uint16_t sport)
{
	packet(f, BLUE_IP, sport, UPLINK_IP, 8080, protocol);
	memcpy(frame_eth(f)->h_source, mac_blue, 6);
	memcpy(frame_eth(f)->h_dest, mac_br1, 6);
}

static void error(struct frame *f, const uint8_t *to, const uint8_t *from, const char *source,
		  const char *dest, uint8_t ttl, const struct frame *about)
{
	FRAME(f, .to = to, .from = from, .source = source, .dest = dest, .ttl = ttl,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .icmp_code = 3,
	      .quoted = about, .quoted_beyond = 28);
}

/* Of the receiver about what it has got, and of the sender about the answer. */
static void test_errors(void **state)
{
	struct lab *lab = lab_of(state);

	for (size_t i = 0; i < 2; i++) {
		struct frame f, about, wanted;
		struct run *run;

		publish(lab, lab->uplink[UP0], protocols[i]);
		from_blue(&f, protocols[i], 3000);
		EXPECT_PORT_IN(lab, BLUE, &f, TO_PEER);

		packet(&about, UPLINK_IP, 3000, RED_IP, 80, protocols[i]);
		error(&f, mac_br1, mac_red, RED_IP, UPLINK_IP, 64, &about);
		run = EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
		assert_int_equal(run->delivered, BLUE);
		packet(&about, BLUE_IP, 3000, UPLINK_IP, 8080, protocols[i]);
		error(&wanted, mac_blue, mac_br1, UPLINK_IP, BLUE_IP, 63, &about);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);

		packet(&about, UPLINK_IP, 8080, BLUE_IP, 3000, protocols[i]);
		error(&f, mac_br1, mac_blue, BLUE_IP, UPLINK_IP, 64, &about);
		run = EXPECT_PORT_IN(lab, BLUE, &f, TO_PEER);
		assert_int_equal(run->delivered, RED);
		packet(&about, RED_IP, 80, UPLINK_IP, 3000, protocols[i]);
		error(&wanted, mac_red, mac_br1, UPLINK_IP, RED_IP, 63, &about);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
		assert_int_equal(lab_active_sessions(lab), 2);
		unpublish(lab, lab->uplink[UP0], protocols[i]);
		lab_expect_no_flows(lab);
	}
}

/* About what is no session: the host's own, as it is. */
static void test_errors_to_the_host(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about;

	publish(lab, lab->uplink[UP0], IPPROTO_UDP);
	packet(&about, UPLINK_IP, 3000, RED_IP, 80, IPPROTO_UDP);
	error(&f, mac_br1, mac_red, RED_IP, UPLINK_IP, 64, &about);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_ECHO_REQUEST, .sport = 7);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	unpublish(lab, lab->uplink[UP0], IPPROTO_UDP);
}

static void isolate(struct lab *lab, enum lab_port which)
{
	struct nsr_port port = lab_port(lab, which);

	port.flags |= NSR_PORT_ISOLATED;
	lab_port_set(lab, which, &port);
}

/* They do not come where the packets could not have gone directly. */
static void test_errors_isolated(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint green = lab_endpoint(lab, GREEN), as_it_was = green;
	struct frame f, about;

	publish(lab, lab->uplink[UP0], IPPROTO_UDP);
	FRAME(&f, .to = mac_br2, .from = mac_green, .source = GREEN_IP, .dest = UPLINK_IP,
	      .sport = 3000, .dport = 8080);
	EXPECT_PORT_IN(lab, GREEN, &f, TO_PEER);
	green.flags |= NSR_PORT_ISOLATED;
	lab_host_set(lab, GREEN_IP, &green);
	packet(&about, UPLINK_IP, 3000, RED_IP, 80, IPPROTO_UDP);
	error(&f, mac_br1, mac_red, RED_IP, UPLINK_IP, 64, &about);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(ISOLATED));
	isolate(lab, GREEN);
	packet(&about, UPLINK_IP, 8080, GREEN_IP, 3000, IPPROTO_UDP);
	error(&f, mac_br2, mac_green, GREEN_IP, UPLINK_IP, 64, &about);
	EXPECT_PORT_IN(lab, GREEN, &f, DROPPED(ISOLATED));
	lab_host_set(lab, GREEN_IP, &as_it_was);
	unpublish(lab, lab->uplink[UP0], IPPROTO_UDP);
}

/* ---- The host has a socket. */

static int bind_at(uint32_t address, uint16_t port)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = address};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* Blue's own flow, which keeps its port. */
static void blue_maps(struct lab *lab, uint16_t port)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = BLUE_IP, .dest = REMOTE_IP,
	      .sport = port, .dport = 7);
	assert_int_equal(frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out), port);
}

/* All of a datagram, and its fragments; and, to_host, an error about the answer. */
static void expect_from_green(struct lab *lab, uint16_t port, bool to_host)
{
	int outcome = to_host ? TO_KERNEL : DROPPED(ISOLATED);
	struct frame whole, half[2], about, f;

	FRAME(&whole, .to = mac_br2, .from = mac_green, .source = GREEN_IP, .dest = UPLINK_IP,
	      .sport = 3000, .dport = port, .payload = 1000);
	frame_halve(&whole, 77, half);
	EXPECT_PORT_IN(lab, GREEN, &whole, outcome);
	EXPECT_PORT_IN(lab, GREEN, &half[0], outcome);
	EXPECT_PORT_IN(lab, GREEN, &half[1], TO_KERNEL);
	packet(&about, UPLINK_IP, port, GREEN_IP, 3000, IPPROTO_UDP);
	error(&f, mac_br2, mac_green, GREEN_IP, UPLINK_IP, 64, &about);
	EXPECT_PORT_IN(lab, GREEN, &f, TO_KERNEL);
}

/* An isolated network reaches the host, whosever the port is for others, and nobody else. */
static void test_isolated_to_the_host(void **state)
{
	struct lab *lab = lab_of(state);
	int fd;

	isolate(lab, GREEN);
	blue_maps(lab, 5000);
	expect_from_green(lab, 5000, false);
	fd = bind_at(INADDR_ANY, 5000);
	expect_from_green(lab, 5000, true);
	close(fd);
	expect_from_green(lab, 5000, false);
	/* A published one a socket has that is bound to the address. */
	publish(lab, lab->uplink[UP0], IPPROTO_UDP);
	fd = bind_at(INADDR_ANY, 8080);
	expect_from_green(lab, 8080, false);
	close(fd);
	fd = bind_at(address4(UPLINK_IP), 8080);
	expect_from_green(lab, 8080, true);
	close(fd);
	expect_from_green(lab, 8080, false);
	assert_int_equal(lab_active_sessions(lab), 1);
	unpublish(lab, lab->uplink[UP0], IPPROTO_UDP);
}

static void host_sends(struct lab *lab, const char *address, uint8_t protocol)
{
	struct frame f, out;

	packet(&f, address, 4000, address, 8080, protocol);
	assert_int_equal(lab_run(lab, DATAPATH_LOCAL_OUT, STATE_LOOPBACK, &f, &out),
			 TC_ACT_REDIRECT);
}

/* The host has sent, from an address that the namespace sees as seen. */
static void expect_told_to_host(struct lab *lab, const char *address, const char *seen,
				uint8_t protocol)
{
	struct frame f, about, wanted;
	struct run *run;

	host_sends(lab, address, protocol);
	packet(&about, seen, 4000, RED_IP, 80, protocol);
	error(&f, mac_br1, mac_red, RED_IP, seen, 64, &about);
	run = EXPECT_PORT_IN(lab, RED, &f, TO_NEIGHBOUR);
	packet(&about, address, 4000, address, 8080, protocol);
	error(&wanted, mac_br1, mac_red, address, address, 64, &about);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
}

static void test_errors_about_the_host(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about;

	for (size_t i = 0; i < 2; i++) {
		loopback_up(lab);
		publish(lab, lab->uplink[UP0], protocols[i]);
		expect_told_to_host(lab, UPLINK_IP, UPLINK_IP, protocols[i]);
		publish(lab, STATE_LOOPBACK, protocols[i]);
		expect_told_to_host(lab, LOOPBACK_IP, CLIENT_IP, protocols[i]);
		/* Nobody has sent that. */
		packet(&about, CLIENT_IP, 4001, RED_IP, 80, protocols[i]);
		error(&f, mac_br1, mac_red, RED_IP, CLIENT_IP, 64, &about);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(NAT_STATE));
		FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = CLIENT_IP,
		      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_ECHO_REQUEST, .sport = 7);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(NAT_STATE));
		unpublish(lab, lab->uplink[UP0], protocols[i]);
		loopback_down(lab);
		lab_expect_no_flows(lab);
	}
}

/* The answer to the host, whose port a mapping of blue's has, too. */
static void test_isolated_answers_the_host(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	int fd;

	loopback_up(lab);
	blue_maps(lab, 4000);
	publish(lab, lab->uplink[UP0], IPPROTO_UDP);
	fd = bind_at(address4(UPLINK_IP), 4000);
	host_sends(lab, UPLINK_IP, IPPROTO_UDP);
	for (int isolated = 0; isolated < 2; isolated++) {
		struct nsr_endpoint blue = lab_endpoint(lab, BLUE);

		blue.network = 77;
		lab_host_set(lab, BLUE_IP, &blue);
		if (isolated)
			isolate(lab, RED);
		packet(&f, RED_IP, 80, UPLINK_IP, 4000, IPPROTO_UDP);
		memcpy(frame_eth(&f)->h_source, mac_red, 6);
		memcpy(frame_eth(&f)->h_dest, mac_br1, 6);
		EXPECT_PORT_IN(lab, RED, &f, TO_NEIGHBOUR);
	}
	close(fd);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(NAT_FILTERED));
	unpublish(lab, lab->uplink[UP0], IPPROTO_UDP);
	loopback_down(lab);
}

/* ---- Refused. */

static void expect_told(struct frame *out, uint8_t code, uint16_t mtu, const struct frame *about)
{
	const uint8_t *icmp = frame_transport(out);

	assert_int_equal(frame_ip4(out)->saddr, address4(UPLINK_IP));
	assert_int_equal(frame_ip4(out)->daddr, address4(BLUE_IP));
	assert_memory_equal(frame_eth(out)->h_dest, mac_blue, 6);
	assert_int_equal(icmp[0], FRAME_UNREACHABLE);
	assert_int_equal(icmp[1], code);
	assert_int_equal(icmp[6] << 8 | icmp[7], mtu);
	assert_memory_equal(icmp + 8, about->bytes + ETH_HLEN, sizeof(struct iphdr) + 8);
}

static void test_told_of_limit(void **state)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);
	struct frame f;

	settings.flows_max = 1;
	lab_inside_set(lab, "192.168.15.0/24", UP0, &settings);
	publish(lab, lab->uplink[UP0], IPPROTO_UDP);
	from_blue(&f, IPPROTO_UDP, 3000);
	EXPECT_PORT_IN(lab, BLUE, &f, TO_PEER);
	from_blue(&f, IPPROTO_UDP, 3001);
	expect_told(&EXPECT_PORT_IN(lab, BLUE, &f, REFUSED(NAT_LIMIT))->out, 13, 0, &f);
	unpublish(lab, lab->uplink[UP0], IPPROTO_UDP);
	lab_expect_no_flows(lab);
}

/* The receiver's MTU: told to who cannot have it cut up. */
static void test_told_of_size(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint endpoint = lab_endpoint(lab, RED);
	struct frame f;

	publish(lab, lab->uplink[UP0], IPPROTO_UDP);
	endpoint.mtu = 1280;
	lab_host_set(lab, RED_IP, &endpoint);
	for (uint16_t excess = 0; excess < 2; excess++) {
		FRAME(&f, .to = mac_br1, .from = mac_blue, .source = BLUE_IP, .dest = UPLINK_IP,
		      .sport = 3000, .dport = 8080, .fragment = 0x4000,
		      .payload = (uint16_t)(1280 - 28 + excess));
		if (!excess)
			EXPECT_PORT_IN(lab, BLUE, &f, TO_PEER);
	}
	expect_told(&EXPECT_PORT_IN(lab, BLUE, &f, REFUSED(NAT_HAIRPIN))->out, 4, 1280, &f);
	unpublish(lab, lab->uplink[UP0], IPPROTO_UDP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_errors),
		LAB_TEST(test_errors_to_the_host),
		LAB_TEST(test_errors_isolated),
		LAB_TEST(test_isolated_to_the_host),
		LAB_TEST(test_errors_about_the_host),
		LAB_TEST(test_isolated_answers_the_host),
		LAB_TEST(test_told_of_limit),
		LAB_TEST(test_told_of_size),
	};

	return LAB_MAIN(tests);
}
