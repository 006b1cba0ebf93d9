/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A published port of red's, as plain reaches it, whose network leaves by no uplink: bpf/guest.h.
 *
 * What is wanted is built from the start with the other addresses and compared byte by byte.
 */
#include "guests.h"

#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath_publish.h"

static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};

/* As it is, and by the kernel: it has been taken for an answer. */
static void expect_straight(struct lab *lab, uint8_t protocol, uint8_t flags)
{
	struct frame f;

	guests_answered(&f, RED_IP, 80, protocol, flags);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

static void test_both_ways(void **state)
{
	struct lab *lab = lab_of(state);

	for (size_t i = 0; i < 2; i++) {
		guests_publish(lab, protocols[i]);
		guests_expect_asked(lab, protocols[i], FRAME_SYN);
		guests_expect_answered(lab, protocols[i], FRAME_SYN | FRAME_ACK, true);
		guests_expect_asked(lab, protocols[i], FRAME_ACK);
		guests_expect_answered(lab, protocols[i], FRAME_ACK, true);
		/* One, of who began it. */
		assert_int_equal(lab_active_sessions(lab), 1);
		assert_int_equal(lab_flows_of(lab, PLAIN), 1);
		assert_int_equal(lab_share(lab, RED).inbound, 0);
		guests_unpublish(lab, protocols[i]);
		assert_int_equal(lab_flows_of(lab, PLAIN), 0);
	}
}

/* What has no session: an answer would not be known. */
static void test_connections(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	guests_publish(lab, IPPROTO_TCP);
	guests_asked(&f, UPLINK_IP, GUESTS_PORT, IPPROTO_TCP, FRAME_RST);
	EXPECT_PORT_IN(lab, PLAIN, &f, DROPPED(NAT_STATE));
	guests_expect_answered(lab, IPPROTO_TCP, FRAME_SYN | FRAME_ACK, false);
	assert_int_equal(lab_active_sessions(lab), 0);
	/* One whose session was ended goes on. */
	guests_expect_asked(lab, IPPROTO_TCP, FRAME_ACK);
	guests_expect_answered(lab, IPPROTO_TCP, FRAME_ACK, true);
	/* When it is over, what begins is straight, ... */
	guests_expect_answered(lab, IPPROTO_TCP, FRAME_FIN | FRAME_ACK, true);
	guests_expect_asked(lab, IPPROTO_TCP, FRAME_FIN | FRAME_ACK);
	guests_expect_answered(lab, IPPROTO_TCP, FRAME_ACK, true);
	expect_straight(lab, IPPROTO_TCP, FRAME_SYN | FRAME_ACK);
	expect_straight(lab, IPPROTO_TCP, FRAME_ACK); /* finds that it has ended */
	guests_expect_answered(lab, IPPROTO_TCP, FRAME_ACK, false);
	/* ... unless it has asked by the published port again. */
	guests_expect_asked(lab, IPPROTO_TCP, FRAME_SYN);
	guests_expect_answered(lab, IPPROTO_TCP, FRAME_RST | FRAME_ACK, true);
	guests_expect_asked(lab, IPPROTO_TCP, FRAME_SYN);
	guests_expect_answered(lab, IPPROTO_TCP, FRAME_SYN | FRAME_ACK, true);
	assert_int_equal(lab_active_sessions(lab), 1);
	guests_unpublish(lab, IPPROTO_TCP);
}

/* From outside, in the client's name: what goes straight between the two is not turned by that, nor
 * what red tells about it. */
static void test_forged(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about;

	guests_publish(lab, IPPROTO_UDP);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = PLAIN_IP, .dest = UPLINK_IP,
	      .sport = GUESTS_CLIENT, .dport = GUESTS_PORT);
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	expect_straight(lab, IPPROTO_UDP, 0);
	guests_asked(&about, RED_IP, 80, IPPROTO_UDP, 0);
	guests_error(&f, mac_br1, mac_red, RED_IP, PLAIN_IP, 64, &about);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	guests_expect_asked(lab, IPPROTO_UDP, 0);
	guests_expect_answered(lab, IPPROTO_UDP, 0, true);
	assert_int_equal(lab_active_sessions(lab), 1);
	guests_unpublish(lab, IPPROTO_UDP);
}

static void test_expired(void **state)
{
	struct lab *lab = lab_of(state);

	guests_publish(lab, IPPROTO_UDP);
	guests_expect_asked(lab, IPPROTO_UDP, 0);
	lab_clock_offset(lab, 119);
	guests_expect_answered(lab, IPPROTO_UDP, 0, true);
	lab_clock_offset(lab, 119 + 301);
	expect_straight(lab, IPPROTO_UDP, 0);
	guests_expect_answered(lab, IPPROTO_UDP, 0, false);
	assert_int_equal(lab_active_sessions(lab), 0);
	lab_clock_offset(lab, 0);
	guests_unpublish(lab, IPPROTO_UDP);
}

static void test_the_hosts_own(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	guests_publish(lab, IPPROTO_UDP);
	guests_asked(&f, UPLINK_IP, GUESTS_PORT + 1, IPPROTO_UDP, 0);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	guests_asked(&f, UPLINK_IP, GUESTS_PORT, IPPROTO_TCP, FRAME_SYN);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	guests_asked(&f, REMOTE_IP, GUESTS_PORT, IPPROTO_UDP, 0);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	guests_asked(&f, "127.0.0.1", GUESTS_PORT, IPPROTO_UDP, 0);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	FRAME(&f, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_ECHO_REQUEST, .sport = 7);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	assert_int_equal(lab_active_sessions(lab), 0);
	guests_unpublish(lab, IPPROTO_UDP);
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

	guests_publish(lab, IPPROTO_UDP);
	guests_expect_asked(lab, IPPROTO_UDP, 0);
	fd = bind_at(UPLINK_IP, GUESTS_PORT);
	guests_expect_asked(lab, IPPROTO_UDP, 0);
	FRAME(&f, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = UPLINK_IP,
	      .sport = GUESTS_CLIENT + 1, .dport = GUESTS_PORT);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	plain.flags |= NSR_PORT_ISOLATED;
	lab_port_set(lab, PLAIN, &plain);
	EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
	close(fd);
	EXPECT_PORT_IN(lab, PLAIN, &f, DROPPED(ISOLATED));
	guests_unpublish(lab, IPPROTO_UDP);
}

/* About what the socket of the host has sent, by the port that red publishes: not for red, so it
 * goes by neither isolation nor red's MTU. */
static void test_errors_about_the_hosts_own(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint red = lab_endpoint(lab, RED), as_it_was = red;
	struct nsr_port plain = lab_port(lab, PLAIN);
	struct frame f[2], about;

	guests_publish(lab, IPPROTO_UDP);
	guests_expect_asked(lab, IPPROTO_UDP, 0);
	for (uint16_t i = 0; i < 2; i++) {
		FRAME(&about, .to = mac_plain, .from = mac_br3, .source = UPLINK_IP,
		      .dest = PLAIN_IP, .sport = GUESTS_PORT, .dport = GUESTS_CLIENT + i,
		      .payload = 33);
		guests_error(&f[i], mac_br3, mac_plain, PLAIN_IP, UPLINK_IP, 64, &about);
	}
	EXPECT_PORT_IN(lab, PLAIN, &f[0], TO_PEER);
	red.mtu = 68;
	lab_host_set(lab, RED_IP, &red);
	EXPECT_PORT_IN(lab, PLAIN, &f[0], DROPPED(NAT_HAIRPIN));
	EXPECT_PORT_IN(lab, PLAIN, &f[1], TO_KERNEL);
	lab_host_set(lab, RED_IP, &as_it_was);
	plain.flags |= NSR_PORT_ISOLATED;
	lab_port_set(lab, PLAIN, &plain);
	EXPECT_PORT_IN(lab, PLAIN, &f[0], DROPPED(ISOLATED));
	EXPECT_PORT_IN(lab, PLAIN, &f[1], TO_KERNEL);
	guests_unpublish(lab, IPPROTO_UDP);
}

static void test_policy(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_port plain = lab_port(lab, PLAIN), as_it_was = plain;
	struct nsr_endpoint red = lab_endpoint(lab, RED), red_was = red;
	struct frame f;

	guests_publish(lab, IPPROTO_UDP);
	guests_asked(&f, UPLINK_IP, GUESTS_PORT, IPPROTO_UDP, 0);
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
	      .sport = GUESTS_CLIENT, .dport = GUESTS_PORT);
	EXPECT_PORT_IN(lab, PLAIN, &f, DROPPED(NAT_HAIRPIN));
	FRAME(&f, .to = mac_br3, .from = mac_plain, .source = GREEN_IP, .dest = UPLINK_IP,
	      .sport = GUESTS_CLIENT, .dport = GUESTS_PORT);
	EXPECT_PORT_IN(lab, PLAIN, &f, DROPPED(NAT_HAIRPIN));
	lab_port_set(lab, PLAIN, &as_it_was);
	assert_int_equal(lab_active_sessions(lab), 0);
	guests_unpublish(lab, IPPROTO_UDP);
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
	guests_publish(lab, IPPROTO_UDP);
	guests_expect_asked(lab, IPPROTO_UDP, 0);
	FRAME(&f, .to = mac_br3, .from = mac_plain, .source = PLAIN_IP, .dest = UPLINK_IP,
	      .sport = GUESTS_CLIENT + 1, .dport = GUESTS_PORT);
	out = &EXPECT_PORT_IN(lab, PLAIN, &f, REFUSED(NAT_LIMIT))->out;
	icmp = frame_transport(out);
	assert_int_equal(frame_ip4(out)->saddr, address4(UPLINK_IP));
	assert_int_equal(frame_ip4(out)->daddr, address4(PLAIN_IP));
	assert_int_equal(icmp[1], 13);
	guests_unpublish(lab, IPPROTO_UDP);
}

/* The client's interface goes, and so does what it has had: another one begins anew. */
static void test_client_goes(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint plain = lab_endpoint(lab, PLAIN);
	struct ip_address ip = lab_ip(PLAIN_IP);

	guests_publish(lab, IPPROTO_TCP);
	guests_expect_asked(lab, IPPROTO_TCP, FRAME_SYN);
	assert_int_equal(lab_active_sessions(lab), 1);
	assert_int_equal(datapath_host_delete(lab->datapath, &ip, &lab->err), 0);
	assert_int_equal(lab_active_sessions(lab), 0);
	lab_host_set(lab, PLAIN_IP, &plain);
	guests_unpublish(lab, IPPROTO_TCP);
}

/* By two ports to one of red's: it could not tell them apart. */
static void test_two_ports(void **state)
{
	struct published_ports second = {GUESTS_PORT + 1, 80, 1, NSR_NAT_UDP};
	struct lab *lab = lab_of(state);
	struct frame f;

	guests_publish(lab, IPPROTO_UDP);
	guests_publish_at(lab, IPPROTO_UDP, GUESTS_PORT + 1);
	guests_expect_asked(lab, IPPROTO_UDP, 0);
	guests_asked(&f, UPLINK_IP, GUESTS_PORT + 1, IPPROTO_UDP, 0);
	EXPECT_PORT_IN(lab, PLAIN, &f, DROPPED(NAT_CONTENTION));
	guests_expect_answered(lab, IPPROTO_UDP, 0, true);
	if (datapath_unpublish(lab->datapath, lab->uplink[UP0], false, &second, &lab->err))
		fail_msg("%s", lab->err.message);
	guests_unpublish(lab, IPPROTO_UDP);
}

static void test_errors(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about, wanted;

	for (size_t i = 0; i < 2; i++) {
		guests_publish(lab, protocols[i]);
		guests_expect_asked(lab, protocols[i], FRAME_SYN);
		guests_expect_answered(lab, protocols[i], FRAME_SYN | FRAME_ACK, true);

		guests_asked(&about, RED_IP, 80, protocols[i], FRAME_ACK);
		guests_error(&f, mac_br1, mac_red, RED_IP, PLAIN_IP, 64, &about);
		guests_asked(&about, UPLINK_IP, GUESTS_PORT, protocols[i], FRAME_ACK);
		frame_ip4(&about)->ttl = 63;
		frame_seal(&about);
		guests_error(&wanted, mac_plain, mac_br3, UPLINK_IP, PLAIN_IP, 63, &about);
		guests_expect(lab, RED, &f, PLAIN, &wanted);

		guests_answered(&about, UPLINK_IP, GUESTS_PORT, protocols[i], FRAME_ACK);
		guests_error(&f, mac_br3, mac_plain, PLAIN_IP, UPLINK_IP, 64, &about);
		guests_answered(&about, RED_IP, 80, protocols[i], FRAME_ACK);
		frame_ip4(&about)->ttl = 63;
		frame_seal(&about);
		guests_error(&wanted, mac_red, mac_br1, PLAIN_IP, RED_IP, 63, &about);
		guests_expect(lab, PLAIN, &f, RED, &wanted);

		/* About another's flow, and about none. */
		FRAME(&about, .to = mac_up0, .from = mac_router, .source = UPLINK_IP,
		      .dest = REMOTE_IP, .protocol = protocols[i], .sport = GUESTS_PORT,
		      .dport = 7);
		guests_error(&f, mac_br3, mac_plain, PLAIN_IP, UPLINK_IP, 64, &about);
		EXPECT_PORT_IN(lab, PLAIN, &f, TO_KERNEL);
		guests_asked(&about, RED_IP, 81, protocols[i], FRAME_ACK);
		guests_error(&f, mac_br1, mac_red, RED_IP, PLAIN_IP, 64, &about);
		EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
		guests_unpublish(lab, protocols[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_both_ways),     LAB_TEST(test_connections),
		LAB_TEST(test_forged),        LAB_TEST(test_expired),
		LAB_TEST(test_the_hosts_own), LAB_TEST(test_the_hosts_socket),
		LAB_TEST(test_policy),        LAB_TEST(test_limit),
		LAB_TEST(test_client_goes),   LAB_TEST(test_two_ports),
		LAB_TEST(test_errors),        LAB_TEST(test_errors_about_the_hosts_own),
	};

	return LAB_MAIN(tests);
}
