/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Published ports of IPv6, beside those of IPv4: what comes in to them, what their namespace sends
 * from them, how they are taken from flows and given back.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "datapath_publish.h"

#define OWN_NETNS (-1) /* the test is in the lab's namespace */

static struct published_ports ports(enum nsr_nat_protocol protocol, uint16_t external,
				    uint16_t inside, uint16_t count)
{
	return (struct published_ports){external, inside, count, (uint8_t)protocol};
}

static int try_publish(struct lab *lab, const char *ip, struct published_ports what)
{
	struct ip_address inside = lab_ip(ip);

	return datapath_publish(lab->datapath, lab->uplink[UP0], &inside, &what, OWN_NETNS,
				&lab->err);
}

static void publish(struct lab *lab, const char *ip, struct published_ports what)
{
	if (try_publish(lab, ip, what))
		fail_msg("%s", lab->err.message);
}

static void unpublish(struct lab *lab, struct published_ports what)
{
	if (datapath_unpublish(lab->datapath, lab->uplink[UP0], true, &what, &lab->err))
		fail_msg("%s", lab->err.message);
}

/* Nothing is left when the last is gone. */
static void unpublish_all(struct lab *lab, struct published_ports what)
{
	unpublish(lab, what);
	assert_int_equal(lab_entries(lab, MAP_published6), 0);
	lab_expect_no_flows6(lab);
}

static uint32_t sessions(struct lab *lab)
{
	return lab_entries(lab, MAP_session_by_flow6);
}

static struct run *in(struct lab *lab, const char *remote, uint8_t protocol, uint16_t sport,
		      uint16_t dport, uint8_t flags, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = remote, .dest = UPLINK_IP6,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = flags,
	      .payload = 10);
	return EXPECT_IN(lab, UP0, &f, outcome);
}

static void send_out(struct frame *f, const char *inside, const char *remote, uint8_t protocol,
		     uint16_t sport, uint16_t dport, uint8_t flags)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = inside, .dest = remote,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = flags);
}

/* Returns the external port. */
static uint16_t out(struct lab *lab, const char *inside, const char *remote, uint8_t protocol,
		    uint16_t sport, uint16_t dport, uint8_t flags)
{
	struct frame f;

	send_out(&f, inside, remote, protocol, sport, dport, flags);
	return frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
}

static void expect_for(struct run *run, enum lab_port which, const char *source, uint16_t sport,
		       const char *dest, uint16_t dport)
{
	assert_int_equal(run->delivered, which);
	assert_memory_equal(&frame_ip6(&run->out)->saddr, lab_ip(source).bytes, 16);
	assert_memory_equal(&frame_ip6(&run->out)->daddr, lab_ip(dest).bytes, 16);
	assert_int_equal(frame_sport(&run->out), sport);
	assert_int_equal(frame_dport(&run->out), dport);
}

/* ---- From outside. */

static void test_lets_in(void **state)
{
	const struct published_ports web = ports(NSR_NAT_TCP, 8080, 80, 1);
	struct lab *lab = lab_of(state);
	struct run *run;
	struct frame f;

	publish(lab, RED_IP6, web);
	/* What opens nothing is the namespace's to answer; the other protocol is the host's. */
	in(lab, REMOTE_IP6, IPPROTO_TCP, 4000, 8080, FRAME_ACK, TRANSLATED_TO_PEER);
	in(lab, REMOTE_IP6, IPPROTO_UDP, 4000, 8080, 0, PASSED);
	in(lab, REMOTE_IP6, IPPROTO_TCP, 4000, 8081, FRAME_SYN, PASSED);
	assert_int_equal(sessions(lab), 0);
	assert_int_equal(out(lab, RED_IP6, REMOTE_IP6, IPPROTO_TCP, 80, 4000, FRAME_RST), 8080);
	send_out(&f, RED_IP6, REMOTE_IP6, IPPROTO_TCP, 81, 4000, FRAME_RST);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_STATE));
	assert_int_equal(sessions(lab), 0);
	run = in(lab, REMOTE_IP6, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	expect_for(run, RED, REMOTE_IP6, 4000, RED_IP6, 80);
	assert_memory_equal(frame_eth(&run->out)->h_dest, mac_red, 6);
	assert_int_equal(frame_ip6(&run->out)->hop_limit, 63);
	in(lab, REMOTE_IP6, IPPROTO_TCP, 4000, 8080, FRAME_ACK, TRANSLATED_TO_PEER);
	in(lab, REMOTE2_IP6, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	assert_int_equal(sessions(lab), 2);
	assert_int_equal(
		out(lab, RED_IP6, REMOTE_IP6, IPPROTO_TCP, 80, 4000, FRAME_SYN | FRAME_ACK), 8080);
	assert_int_equal(lab_nat6(lab, UP0).mappings_created[NSR_NAT_TCP], 1);
	/* It has no timeout. */
	lab_clock_offset(lab, NSR_TIMEOUT_MAX_S);
	in(lab, REMOTE_IP6, IPPROTO_TCP, 4001, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	unpublish_all(lab, web);
	in(lab, REMOTE_IP6, IPPROTO_TCP, 4001, 8080, FRAME_SYN, PASSED);
}

static void test_range(void **state)
{
	const struct published_ports range = ports(NSR_NAT_UDP, 9000, 7000, 100);
	struct lab *lab = lab_of(state);

	publish(lab, RED_IP6, range);
	for (uint16_t i = 0; i < 100; i += 33)
		expect_for(in(lab, REMOTE_IP6, IPPROTO_UDP, 4000, (uint16_t)(9000 + i), 0,
			      TRANSLATED_TO_PEER),
			   RED, REMOTE_IP6, 4000, RED_IP6, (uint16_t)(7000 + i));
	in(lab, REMOTE_IP6, IPPROTO_UDP, 4000, 8999, 0, PASSED);
	in(lab, REMOTE_IP6, IPPROTO_UDP, 4000, 9100, 0, PASSED);
	assert_int_equal(lab_nat6(lab, UP0).ports_used[NSR_NAT_UDP], 100);
	unpublish_all(lab, range);
}

/* A port is another's in each family, and neither disturbs the other. */
static void test_both_families(void **state)
{
	const struct published_ports dns = ports(NSR_NAT_UDP, 5353, 53, 1);
	struct lab *lab = lab_of(state);
	struct frame f;

	publish(lab, BLUE_IP, dns);
	publish(lab, RED_IP6, dns);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .sport = 4000, .dport = 5353);
	assert_int_equal(EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER)->delivered, BLUE);
	expect_for(in(lab, REMOTE_IP6, IPPROTO_UDP, 4000, 5353, 0, TRANSLATED_TO_PEER), RED,
		   REMOTE_IP6, 4000, RED_IP6, 53);
	unpublish_all(lab, dns);
	assert_int_equal(EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER)->delivered, BLUE);
	assert_int_equal(lab_active_sessions(lab), 1);
	if (datapath_unpublish(lab->datapath, lab->uplink[UP0], false, &dns, &lab->err))
		fail_msg("%s", lab->err.message);
	EXPECT_IN(lab, UP0, &f, PASSED);
	lab_expect_no_flows(lab);
}

/* A datagram in fragments, which opens a session by its first. */
static void test_fragments(void **state)
{
	const struct published_ports dns = ports(NSR_NAT_UDP, 5353, 53, 1);
	struct lab *lab = lab_of(state);
	struct frame f;

	publish(lab, RED_IP6, dns);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP6, .dest = UPLINK_IP6,
	      .sport = 4000, .dport = 5353, .payload = 100, .extended = true,
	      .extension = IPPROTO_FRAGMENT, .extension_data = {0, 1, 0, 0, 0, 7});
	assert_int_equal(EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER)->delivered, RED);
	assert_int_equal(sessions(lab), 1);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP6, .dest = UPLINK_IP6,
	      .sport = 1, .dport = 1, .payload = 100, .extended = true,
	      .extension = IPPROTO_FRAGMENT, .extension_data = {0, 112, 0, 0, 0, 7});
	assert_int_equal(EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER)->delivered, RED);
	unpublish_all(lab, dns);
}

/* ---- What the namespace sends, and others. */

static void test_own_port(void **state)
{
	const struct published_ports sip = ports(NSR_NAT_UDP, 6060, 5060, 1);
	const struct published_ports also = ports(NSR_NAT_UDP, 6061, 5060, 1);
	struct lab *lab = lab_of(state);

	publish(lab, RED_IP6, sip);
	assert_int_equal(out(lab, RED_IP6, REMOTE_IP6, IPPROTO_UDP, 5060, 80, 0), 6060);
	assert_int_equal(out(lab, RED_IP6, REMOTE2_IP6, IPPROTO_UDP, 5060, 81, 0), 6060);
	assert_int_equal(out(lab, RED_IP6, REMOTE_IP6, IPPROTO_UDP, 5061, 80, 0), 5061);
	/* Nobody else gets it. */
	assert_int_not_equal(out(lab, BLUE_IP6, REMOTE_IP6, IPPROTO_UDP, 6060, 80, 0), 6060);
	/* A second one of the same port: what is answered keeps its port, the first sends. */
	publish(lab, RED_IP6, also);
	in(lab, REMOTE_IP6, IPPROTO_UDP, 4000, 6061, 0, TRANSLATED_TO_PEER);
	assert_int_equal(out(lab, RED_IP6, REMOTE_IP6, IPPROTO_UDP, 5060, 4000, 0), 6061);
	assert_int_equal(out(lab, RED_IP6, REMOTE_IP6, IPPROTO_UDP, 5060, 4001, 0), 6060);
	unpublish(lab, also);
	unpublish_all(lab, sip);
}

/* What comes in beyond the limit has no session, and passes all the same. */
static void test_limit(void **state)
{
	const struct published_ports dns = ports(NSR_NAT_UDP, 5353, 53, 1);
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);

	settings.flows_max = 2;
	lab_inside_set(lab, "fd00:15::/64", UP0, &settings);
	publish(lab, RED_IP6, dns);
	in(lab, REMOTE_IP6, IPPROTO_UDP, 4000, 5353, 0, TRANSLATED_TO_PEER);
	in(lab, REMOTE_IP6, IPPROTO_UDP, 4001, 5353, 0, TRANSLATED_TO_PEER);
	assert_int_equal(sessions(lab), 1);
	assert_int_equal(out(lab, RED_IP6, REMOTE_IP6, IPPROTO_UDP, 53, 4001, 0), 5353);
	assert_int_equal(sessions(lab), 1);
	unpublish_all(lab, dns);
	assert_int_equal(lab_share(lab, RED).inbound, 0);
}

/* ---- Taken, and given back. */

/* The inside port has a mapping that packets made, and the external one another's. */
static void test_takes_over(void **state)
{
	const struct published_ports range = ports(NSR_NAT_UDP, 9000, 7000, 2);
	struct lab *lab = lab_of(state);

	assert_int_equal(out(lab, RED_IP6, REMOTE_IP6, IPPROTO_UDP, 7000, 80, 0), 7000);
	assert_int_equal(out(lab, RED_IP6, REMOTE_IP6, IPPROTO_UDP, 7002, 80, 0), 7002);
	assert_int_equal(out(lab, BLUE_IP6, REMOTE_IP6, IPPROTO_UDP, 9000, 80, 0), 9000);
	assert_int_equal(out(lab, BLUE_IP6, REMOTE_IP6, IPPROTO_UDP, 9002, 80, 0), 9002);
	assert_int_equal(out(lab, BLUE_IP6, REMOTE_IP6, IPPROTO_UDP, 7001, 80, 0), 7001);
	publish(lab, RED_IP6, range);
	/* Theirs ended, no others. */
	assert_int_equal(sessions(lab), 3);
	in(lab, REMOTE_IP6, IPPROTO_UDP, 80, 7002, 0, TRANSLATED_TO_PEER);
	in(lab, REMOTE_IP6, IPPROTO_UDP, 80, 9002, 0, TRANSLATED_TO_PEER);
	in(lab, REMOTE_IP6, IPPROTO_UDP, 80, 7001, 0, TRANSLATED_TO_PEER);
	assert_int_equal(out(lab, RED_IP6, REMOTE_IP6, IPPROTO_UDP, 7000, 80, 0), 9000);
	assert_int_not_equal(out(lab, BLUE_IP6, REMOTE_IP6, IPPROTO_UDP, 9000, 80, 0), 9000);
	expect_for(in(lab, REMOTE2_IP6, IPPROTO_UDP, 80, 9000, 0, TRANSLATED_TO_PEER), RED,
		   REMOTE2_IP6, 80, RED_IP6, 7000);
	unpublish_all(lab, range);
}

/* It ends its flows and no others, and goes to somebody else at once. */
static void test_given_back(void **state)
{
	const struct published_ports high = ports(NSR_NAT_TCP, 8080, 80, 1);
	const struct published_ports low = ports(NSR_NAT_TCP, 80, 80, 1);
	struct lab *lab = lab_of(state);

	publish(lab, RED_IP6, high);
	publish(lab, BLUE_IP6, low);
	in(lab, REMOTE_IP6, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	in(lab, REMOTE_IP6, IPPROTO_TCP, 4000, 80, FRAME_SYN, TRANSLATED_TO_PEER);
	unpublish(lab, high);
	assert_int_equal(sessions(lab), 1);
	in(lab, REMOTE_IP6, IPPROTO_TCP, 4000, 80, FRAME_ACK, TRANSLATED_TO_PEER);
	assert_int_not_equal(out(lab, RED_IP6, REMOTE_IP6, IPPROTO_TCP, 8080, 80, FRAME_SYN), 8080);
	publish(lab, BLUE_IP6, high);
	assert_int_equal(lab_nat6(lab, UP0).ports_used[NSR_NAT_TCP], 3);
	in(lab, REMOTE_IP6, IPPROTO_TCP, 4001, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	unpublish(lab, high);
	unpublish_all(lab, low);
}

/* Steps can be done again: as after a process that was killed between. */
static void test_done_again(void **state)
{
	const struct published_ports range = ports(NSR_NAT_UDP, 9000, 7000, 3);
	const struct published_ports overlaps = ports(NSR_NAT_UDP, 8999, 6999, 2);
	struct lab *lab = lab_of(state);

	publish(lab, RED_IP6, range);
	in(lab, REMOTE_IP6, IPPROTO_UDP, 4000, 9001, 0, TRANSLATED_TO_PEER);
	publish(lab, RED_IP6, range);
	assert_int_equal(sessions(lab), 1); /* its own go on */
	assert_int_equal(lab_nat6(lab, UP0).mappings_created[NSR_NAT_UDP], 3);
	assert_int_equal(try_publish(lab, BLUE_IP6, overlaps), -EEXIST);
	assert_int_equal(lab_entries(lab, MAP_published6), 1);
	assert_int_equal(lab_entries(lab, MAP_mapping_by_inside6), 3);
	in(lab, REMOTE_IP6, IPPROTO_UDP, 4000, 9001, 0, TRANSLATED_TO_PEER);
	unpublish_all(lab, range);
	unpublish_all(lab, range);
}

/* The pools of an uplink are made anew when its range changes, or its address. */
static void test_pools_made_anew(void **state)
{
	const struct published_ports web = ports(NSR_NAT_TCP, 8080, 80, 1);
	struct lab *lab = lab_of(state);

	publish(lab, RED_IP6, web);
	in(lab, REMOTE_IP6, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	lab_uplink_set(lab, UP0, UPLINK_IP, 20000, 20999);
	assert_int_equal(sessions(lab), 0);
	in(lab, REMOTE_IP6, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	assert_int_equal(out(lab, RED_IP6, REMOTE2_IP6, IPPROTO_TCP, 80, 4000, FRAME_SYN), 8080);
	/* Without an address there is none, and with one it is there again. */
	lab_uplink_set(lab, UP0, NULL, 20000, 20999);
	in(lab, REMOTE_IP6, IPPROTO_TCP, 4000, 8080, FRAME_SYN, PASSED);
	assert_int_equal(lab_entries(lab, MAP_mapping_by_inside6), 0);
	lab_uplink_set(lab, UP0, UPLINK_IP, LAB_PORT_MIN, LAB_PORT_MAX);
	in(lab, REMOTE_IP6, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	unpublish_all(lab, web);
}

/* ---- The host's own. */

static int listen_on(const char *ip, uint16_t port)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET6, ip, &at.sin6_addr), 1);
	/* The lab's address may still be tentative. */
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &yes, sizeof(yes)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void test_host_listens(void **state)
{
	const struct published_ports range = ports(NSR_NAT_TCP, 8079, 79, 3);
	struct lab *lab = lab_of(state);
	int fd = listen_on("::", 8080);

	assert_int_equal(try_publish(lab, RED_IP6, range), -EADDRINUSE);
	assert_non_null(strstr(lab->err.message, "8080/tcp"));
	assert_int_equal(lab_entries(lab, MAP_published6), 0);
	assert_int_equal(lab_entries(lab, MAP_mapping_by_inside6), 0);
	close(fd);
	publish(lab, RED_IP6, range);
	/* One that comes later has other addresses ... */
	fd = listen_on("::", 8080);
	in(lab, REMOTE_IP6, IPPROTO_TCP, 4001, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	close(fd);
	/* ... unless it is bound to this one: the host's own is not disturbed. */
	fd = listen_on(UPLINK_IP6, 8080);
	in(lab, REMOTE_IP6, IPPROTO_TCP, 4000, 8080, FRAME_SYN, PASSED);
	in(lab, REMOTE_IP6, IPPROTO_TCP, 4000, 8081, FRAME_SYN, TRANSLATED_TO_PEER);
	close(fd);
	in(lab, REMOTE_IP6, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	unpublish_all(lab, range);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_lets_in),       LAB_TEST(test_range),
		LAB_TEST(test_both_families), LAB_TEST(test_fragments),
		LAB_TEST(test_own_port),      LAB_TEST(test_limit),
		LAB_TEST(test_takes_over),    LAB_TEST(test_given_back),
		LAB_TEST(test_done_again),    LAB_TEST(test_pools_made_anew),
		LAB_TEST(test_host_listens),
	};

	return LAB_MAIN(tests);
}
