/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hairpins of IPv6: what a namespace sends to the external address, to a published port or to a
 * mapped one, with the errors about it, and what is the host's own there.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "datapath_publish.h"

#define OWN_NETNS  (-1) /* the test is in the lab's namespace */
#define CLIENT_IP6 "fd0d:2b16:9ad7::1"
#define MORE                     \
	{                        \
		0, 1, 0, 0, 0, 7 \
	} /* of a fragment header: the first, of datagram 7 */
#define LATER                      \
	{                          \
		0, 112, 0, 0, 0, 7 \
	}
#define FRAGMENT_ID 44 /* where the identification is in the frames of this file */

static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
static const uint8_t nobody[6];

static const struct {
	const char *ip;
	const uint8_t *mac;
} hosts[] = {[RED] = {RED_IP6, mac_red}, [BLUE] = {BLUE_IP6, mac_blue}};

static struct published_ports web(uint8_t protocol)
{
	return (struct published_ports){8080, 80, 1,
					protocol == IPPROTO_TCP ? NSR_NAT_TCP : NSR_NAT_UDP};
}

static void publish_at(struct lab *lab, uint32_t ifindex, uint8_t protocol)
{
	const struct published_ports what = web(protocol);
	struct ip_address red = lab_ip(RED_IP6);

	if (datapath_publish(lab->datapath, ifindex, &red, &what, OWN_NETNS, &lab->err))
		fail_msg("%s", lab->err.message);
}

static void publish(struct lab *lab, uint8_t protocol)
{
	publish_at(lab, lab->uplink[UP0], protocol);
}

static void unpublish(struct lab *lab, uint8_t protocol)
{
	const struct published_ports what = web(protocol);

	if (datapath_unpublish(lab->datapath, lab->uplink[UP0], true, &what, &lab->err))
		fail_msg("%s", lab->err.message);
	lab_expect_no_flows6(lab);
}

static uint32_t sessions(struct lab *lab)
{
	return lab_entries(lab, MAP_session_by_flow6);
}

static void from_port(struct frame *f, enum lab_port which, uint8_t protocol, uint16_t sport,
		      uint16_t dport, uint8_t flags, uint8_t hops, uint16_t payload)
{
	FRAME(f, .to = mac_br1, .from = hosts[which].mac, .source = hosts[which].ip,
	      .dest = UPLINK_IP6, .protocol = protocol, .sport = sport, .dport = dport,
	      .tcp_flags = flags, .ttl = hops, .payload = payload);
}

static struct run *sends(struct lab *lab, enum lab_port which, uint8_t protocol, uint16_t sport,
			 uint16_t dport, uint8_t flags, int outcome)
{
	struct frame f;

	from_port(&f, which, protocol, sport, dport, flags, 0, 20);
	return EXPECT_PORT_IN(lab, which, &f, outcome);
}

static void expect_for(struct run *run, enum lab_port which, const char *source, uint16_t sport,
		       uint16_t dport)
{
	assert_int_equal(run->delivered, which);
	assert_memory_equal(&frame_ip6(&run->out)->saddr, lab_ip(source).bytes, 16);
	assert_memory_equal(&frame_ip6(&run->out)->daddr, lab_ip(hosts[which].ip).bytes, 16);
	assert_int_equal(frame_sport(&run->out), sport);
	assert_int_equal(frame_dport(&run->out), dport);
	assert_int_equal(frame_ip6(&run->out)->hop_limit, 63);
	assert_memory_equal(frame_eth(&run->out)->h_dest, hosts[which].mac, 6);
	assert_memory_equal(frame_eth(&run->out)->h_source, mac_br1, 6);
}

/* To a neighbour, and to itself. */
static void test_both_ways(void **state)
{
	static const enum lab_port senders[] = {BLUE, RED};
	struct lab *lab = lab_of(state);

	for (size_t i = 0; i < 2; i++) {
		publish(lab, protocols[i]);
		for (size_t j = 0; j < 2; j++) {
			uint16_t sport = (uint16_t)(3000 + j);

			expect_for(sends(lab, senders[j], protocols[i], sport, 8080, FRAME_SYN,
					 TO_PEER),
				   RED, UPLINK_IP6, sport, 80);
			expect_for(sends(lab, RED, protocols[i], 80, sport, FRAME_SYN | FRAME_ACK,
					 TO_PEER),
				   senders[j], UPLINK_IP6, 8080, sport);
			sends(lab, senders[j], protocols[i], sport, 8080, FRAME_ACK, TO_PEER);
		}
		assert_int_equal(sessions(lab), 4);
		unpublish(lab, protocols[i]);
	}
}

/* Isolation is not gone around by the outside, neither of who sends nor of who is sent to. */
static void test_isolated(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint red = lab_endpoint(lab, RED), as_it_was = red;

	publish(lab, IPPROTO_TCP);
	red.network = 77;
	red.flags |= NSR_PORT_ISOLATED;
	lab_host_set(lab, RED_IP6, &red);
	sends(lab, BLUE, IPPROTO_TCP, 3000, 8080, FRAME_SYN, DROPPED(ISOLATED));
	assert_int_equal(sessions(lab), 0);
	lab_host_set(lab, RED_IP6, &as_it_was);
	sends(lab, BLUE, IPPROTO_TCP, 3000, 8080, FRAME_SYN, TO_PEER);
	unpublish(lab, IPPROTO_TCP);
}

/* As for what comes from outside: who it has not sent to is not let in. */
static void test_filter(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = BLUE_IP6, .dest = REMOTE_IP6,
	      .sport = 6000, .dport = 80);
	assert_int_equal(frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out), 6000);
	sends(lab, RED, IPPROTO_UDP, 6001, 6000, 0, DROPPED(NAT_FILTERED));
	/* red has a mapping now, which blue sends to: red has sent to it. */
	expect_for(sends(lab, BLUE, IPPROTO_UDP, 6000, 6001, 0, TO_PEER), RED, UPLINK_IP6, 6000,
		   6001);
	expect_for(sends(lab, RED, IPPROTO_UDP, 6001, 6000, 0, TO_PEER), BLUE, UPLINK_IP6, 6001,
		   6000);
	lab_expect_no_flows6(lab);
}

static int bind_at(const char *ip, uint16_t port, int type)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0), yes = 1;

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET6, ip, &at.sin6_addr), 1);
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &yes, sizeof(yes)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static int listen_on(uint16_t port)
{
	int fd = bind_at(UPLINK_IP6, port, SOCK_STREAM);

	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void test_to_the_host(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	int fd;

	publish(lab, IPPROTO_TCP);
	sends(lab, BLUE, IPPROTO_TCP, 3000, 22, FRAME_SYN, TO_KERNEL);
	sends(lab, BLUE, IPPROTO_UDP, 3000, 8080, 0, TO_KERNEL);
	from_port(&f, BLUE, IPPROTO_TCP, 3000, 8080, FRAME_SYN, 1, 0);
	EXPECT_PORT_IN(lab, BLUE, &f, TO_KERNEL);
	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = BLUE_IP6, .dest = UPLINK_IP6,
	      .protocol = FRAME_ICMPV6, .icmp_type = FRAME6_ECHO_REQUEST, .sport = 7);
	EXPECT_PORT_IN(lab, BLUE, &f, TO_KERNEL);
	fd = listen_on(8080);
	sends(lab, BLUE, IPPROTO_TCP, 3000, 8080, FRAME_SYN, TO_KERNEL);
	close(fd);
	assert_int_equal(sessions(lab), 0);
	sends(lab, BLUE, IPPROTO_TCP, 3000, 8080, FRAME_RST, DROPPED(NAT_STATE));
	/* The policy comes first. */
	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = RED_IP6, .dest = UPLINK_IP6,
	      .protocol = IPPROTO_TCP, .sport = 1, .dport = 8080, .tcp_flags = FRAME_SYN);
	EXPECT_PORT_IN(lab, BLUE, &f, DROPPED(SPOOFED_ADDRESS));
	unpublish(lab, IPPROTO_TCP);
}

/* It cannot be left to the kernel, so the sender is told here. */
static void test_too_large(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint red = lab_endpoint(lab, RED), as_it_was = red;
	struct icmp6 {
		uint8_t type, code;
		uint16_t checksum;
		uint32_t mtu;
	} * told;
	struct run *run;
	struct frame f;

	publish(lab, IPPROTO_UDP);
	red.mtu = 1280;
	lab_host_set(lab, RED_IP6, &red);
	from_port(&f, BLUE, IPPROTO_UDP, 3000, 8080, 0, 0, 1280 - 48);
	EXPECT_PORT_IN(lab, BLUE, &f, TO_PEER);
	from_port(&f, BLUE, IPPROTO_UDP, 3000, 8080, 0, 0, 1281 - 48);
	run = EXPECT_PORT_IN(lab, BLUE, &f, REFUSED(NAT_HAIRPIN));
	told = frame_transport(&run->out);
	assert_int_equal(told->type, FRAME6_TOO_BIG);
	assert_int_equal(told->code, 0);
	assert_int_equal(ntohl(told->mtu), 1280);
	assert_memory_equal(&frame_ip6(&run->out)->daddr, lab_ip(BLUE_IP6).bytes, 16);
	assert_memory_equal(told + 1, f.bytes + ETH_HLEN, sizeof(struct ipv6hdr) + 8);
	lab_host_set(lab, RED_IP6, &as_it_was);
	unpublish(lab, IPPROTO_UDP);
}

static void fragment(struct frame *f, uint16_t dport, bool first)
{
	static const uint8_t data[2][FRAME_EXTENSION - 2] = {LATER, MORE};
	struct frame_spec spec = {.to = mac_br1,
				  .from = mac_blue,
				  .source = BLUE_IP6,
				  .dest = UPLINK_IP6,
				  .sport = 3000,
				  .dport = dport,
				  .payload = 100,
				  .extended = true,
				  .extension = IPPROTO_FRAGMENT};

	memcpy(spec.extension_data, data[first], sizeof(data[first]));
	frame_build(f, &spec);
}

/* Both sides are translated, with an identification of ours; without the first they are the
 * host's. */
static void test_fragments(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame first, later, out;
	struct run *run;

	publish(lab, IPPROTO_UDP);
	fragment(&first, 8080, true);
	fragment(&later, 8080, false);
	EXPECT_PORT_IN(lab, BLUE, &later, TO_KERNEL);
	run = EXPECT_PORT_IN(lab, BLUE, &first, TO_PEER);
	assert_int_equal(run->delivered, RED);
	out = run->out;
	run = EXPECT_PORT_IN(lab, BLUE, &later, TO_PEER);
	assert_int_equal(run->delivered, RED);
	assert_memory_equal(&frame_ip6(&run->out)->saddr, lab_ip(UPLINK_IP6).bytes, 16);
	assert_memory_equal(&frame_ip6(&run->out)->daddr, lab_ip(RED_IP6).bytes, 16);
	assert_memory_equal(run->out.bytes + ETH_HLEN + FRAGMENT_ID,
			    out.bytes + ETH_HLEN + FRAGMENT_ID, 4);
	assert_memory_not_equal(out.bytes + ETH_HLEN + FRAGMENT_ID,
				first.bytes + ETH_HLEN + FRAGMENT_ID, 4);
	assert_int_equal(sessions(lab), 2);
	/* What is mapped for nobody. */
	fragment(&first, 8081, true);
	EXPECT_PORT_IN(lab, BLUE, &first, TO_KERNEL);
	unpublish(lab, IPPROTO_UDP);
}

/* ---- Errors. */

static void packet(struct frame *f, const char *source, uint16_t sport, const char *dest,
		   uint16_t dport, uint8_t protocol)
{
	FRAME(f, .to = nobody, .from = nobody, .source = source, .dest = dest, .sport = sport,
	      .dport = dport, .protocol = protocol, .tcp_flags = FRAME_SYN, .payload = 33);
}

static void error(struct frame *f, const uint8_t *to, const uint8_t *from, const char *source,
		  const char *dest, uint8_t hops, const struct frame *about)
{
	FRAME(f, .to = to, .from = from, .source = source, .dest = dest, .ttl = hops,
	      .protocol = FRAME_ICMPV6, .icmp_type = FRAME6_UNREACHABLE, .icmp_code = 4,
	      .quoted = about, .quoted_beyond = 1000);
}

/* Of the receiver about what it has got, and of the sender about the answer. */
static void test_errors(void **state)
{
	struct lab *lab = lab_of(state);

	for (size_t i = 0; i < 2; i++) {
		struct frame f, about, wanted;
		struct run *run;

		publish(lab, protocols[i]);
		sends(lab, BLUE, protocols[i], 3000, 8080, FRAME_SYN, TO_PEER);

		packet(&about, UPLINK_IP6, 3000, RED_IP6, 80, protocols[i]);
		error(&f, mac_br1, mac_red, RED_IP6, UPLINK_IP6, 64, &about);
		run = EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
		assert_int_equal(run->delivered, BLUE);
		packet(&about, BLUE_IP6, 3000, UPLINK_IP6, 8080, protocols[i]);
		error(&wanted, mac_blue, mac_br1, UPLINK_IP6, BLUE_IP6, 63, &about);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);

		packet(&about, UPLINK_IP6, 8080, BLUE_IP6, 3000, protocols[i]);
		error(&f, mac_br1, mac_blue, BLUE_IP6, UPLINK_IP6, 64, &about);
		run = EXPECT_PORT_IN(lab, BLUE, &f, TO_PEER);
		assert_int_equal(run->delivered, RED);
		packet(&about, RED_IP6, 80, UPLINK_IP6, 3000, protocols[i]);
		error(&wanted, mac_red, mac_br1, UPLINK_IP6, RED_IP6, 63, &about);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
		assert_int_equal(sessions(lab), 2);
		unpublish(lab, protocols[i]);
	}
}

/* About what is no session: the host's own, as it is. */
static void test_errors_to_the_host(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about;

	publish(lab, IPPROTO_UDP);
	packet(&about, UPLINK_IP6, 3000, RED_IP6, 80, IPPROTO_UDP);
	error(&f, mac_br1, mac_red, RED_IP6, UPLINK_IP6, 64, &about);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	packet(&about, UPLINK_IP6, 8080, RED_IP6, 80, IPPROTO_UDP);
	error(&f, mac_br1, mac_red, RED_IP6, UPLINK_IP6, 64, &about);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	unpublish(lab, IPPROTO_UDP);
}

static void loopback_up(struct lab *lab)
{
	const struct nsr_uplink loopback = {.address4 = htonl(INADDR_LOOPBACK),
					    .port_min = 1,
					    .port_max = 65535,
					    .address6 = {[15] = 1}};

	if (datapath_uplink_set(lab->datapath, STATE_LOOPBACK, &loopback, NULL, &lab->err))
		fail_msg("%s", lab->err.message);
}

static void loopback_down(struct lab *lab)
{
	if (datapath_uplink_delete(lab->datapath, STATE_LOOPBACK, &lab->err))
		fail_msg("%s", lab->err.message);
}

/* The host has sent, from an address that the namespace sees as seen. */
static void expect_told_to_host(struct lab *lab, const char *address, const char *seen,
				uint8_t protocol)
{
	struct frame f, about, wanted;
	struct run *run;

	packet(&f, address, 4000, address, 8080, protocol);
	assert_int_equal(lab_run(lab, DATAPATH_LOCAL_OUT, STATE_LOOPBACK, &f, &about),
			 TC_ACT_REDIRECT);
	packet(&about, seen, 4000, RED_IP6, 80, protocol);
	error(&f, mac_br1, mac_red, RED_IP6, seen, 64, &about);
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
		publish(lab, protocols[i]);
		expect_told_to_host(lab, UPLINK_IP6, UPLINK_IP6, protocols[i]);
		publish_at(lab, STATE_LOOPBACK, protocols[i]);
		expect_told_to_host(lab, "::1", CLIENT_IP6, protocols[i]);
		/* Nobody has sent that, and what is no error is nobody's. */
		packet(&about, CLIENT_IP6, 4001, RED_IP6, 80, protocols[i]);
		error(&f, mac_br1, mac_red, RED_IP6, CLIENT_IP6, 64, &about);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(NAT_STATE));
		packet(&about, UPLINK_IP6, 4000, RED_IP6, 80, protocols[i]);
		error(&f, mac_br1, mac_red, RED_IP6, CLIENT_IP6, 64, &about);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(NAT_STATE));
		FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP6, .dest = CLIENT_IP6,
		      .protocol = FRAME_ICMPV6, .icmp_type = FRAME6_ECHO_REQUEST, .sport = 7);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(NAT_STATE));
		loopback_down(lab);
		unpublish(lab, protocols[i]);
	}
}

/* ---- Isolated: to the host, and to nobody else. */

/* Red's own flow, which keeps its port. */
static void maps(struct lab *lab, enum lab_port which, uint16_t port)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = hosts[which].ip, .dest = REMOTE_IP6,
	      .sport = port, .dport = 7);
	assert_int_equal(frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out), port);
}

/* The one is of an isolated network, the other of another one. */
static void isolate(struct lab *lab, enum lab_port which, enum lab_port other)
{
	struct nsr_endpoint endpoint = lab_endpoint(lab, other);
	struct nsr_port port = lab_port(lab, which);

	endpoint.network = 77;
	lab_host_set(lab, hosts[other].ip, &endpoint);
	port.flags |= NSR_PORT_ISOLATED;
	lab_port_set(lab, which, &port);
}

static void expect_from_blue(struct lab *lab, uint16_t port, bool to_host)
{
	int outcome = to_host ? TO_KERNEL : DROPPED(ISOLATED);
	struct frame f, about;

	sends(lab, BLUE, IPPROTO_UDP, 3000, port, 0, outcome);
	fragment(&f, port, true);
	EXPECT_PORT_IN(lab, BLUE, &f, outcome);
	fragment(&f, port, false);
	EXPECT_PORT_IN(lab, BLUE, &f, TO_KERNEL);
	packet(&about, UPLINK_IP6, port, BLUE_IP6, 3000, IPPROTO_UDP);
	error(&f, mac_br1, mac_blue, BLUE_IP6, UPLINK_IP6, 64, &about);
	EXPECT_PORT_IN(lab, BLUE, &f, TO_KERNEL);
}

static void test_isolated_to_the_host(void **state)
{
	struct lab *lab = lab_of(state);
	int fd;

	isolate(lab, BLUE, RED);
	maps(lab, RED, 5000);
	expect_from_blue(lab, 5000, false);
	fd = bind_at("::", 5000, SOCK_DGRAM);
	expect_from_blue(lab, 5000, true);
	close(fd);
	expect_from_blue(lab, 5000, false);
	/* A published one a socket has that is bound to the address. */
	publish(lab, IPPROTO_UDP);
	fd = bind_at("::", 8080, SOCK_DGRAM);
	expect_from_blue(lab, 8080, false);
	close(fd);
	fd = bind_at(UPLINK_IP6, 8080, SOCK_DGRAM);
	expect_from_blue(lab, 8080, true);
	close(fd);
	expect_from_blue(lab, 8080, false);
	assert_int_equal(sessions(lab), 1);
	unpublish(lab, IPPROTO_UDP);
}

/* About a flow that was there before. */
static void test_errors_isolated(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about;

	publish(lab, IPPROTO_UDP);
	sends(lab, BLUE, IPPROTO_UDP, 3000, 8080, 0, TO_PEER);
	isolate(lab, BLUE, RED);
	packet(&about, UPLINK_IP6, 8080, BLUE_IP6, 3000, IPPROTO_UDP);
	error(&f, mac_br1, mac_blue, BLUE_IP6, UPLINK_IP6, 64, &about);
	EXPECT_PORT_IN(lab, BLUE, &f, DROPPED(ISOLATED));
	unpublish(lab, IPPROTO_UDP);
}

/* The answer to the host, whose port a mapping of blue's has, too. */
static void test_isolated_answers_the_host(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, out;
	int fd;

	loopback_up(lab);
	maps(lab, BLUE, 4000);
	publish(lab, IPPROTO_UDP);
	fd = bind_at(UPLINK_IP6, 4000, SOCK_DGRAM);
	packet(&f, UPLINK_IP6, 4000, UPLINK_IP6, 8080, IPPROTO_UDP);
	assert_int_equal(lab_run(lab, DATAPATH_LOCAL_OUT, STATE_LOOPBACK, &f, &out),
			 TC_ACT_REDIRECT);
	sends(lab, RED, IPPROTO_UDP, 80, 4000, 0, TO_NEIGHBOUR);
	isolate(lab, RED, BLUE);
	sends(lab, RED, IPPROTO_UDP, 80, 4000, 0, TO_NEIGHBOUR);
	close(fd);
	sends(lab, RED, IPPROTO_UDP, 80, 4000, 0, DROPPED(NAT_FILTERED));
	loopback_down(lab);
	unpublish(lab, IPPROTO_UDP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_both_ways),
		LAB_TEST(test_isolated),
		LAB_TEST(test_filter),
		LAB_TEST(test_to_the_host),
		LAB_TEST(test_too_large),
		LAB_TEST(test_fragments),
		LAB_TEST(test_errors),
		LAB_TEST(test_errors_to_the_host),
		LAB_TEST(test_errors_about_the_host),
		LAB_TEST(test_isolated_to_the_host),
		LAB_TEST(test_errors_isolated),
		LAB_TEST(test_isolated_answers_the_host),
	};

	return LAB_MAIN(tests);
}
