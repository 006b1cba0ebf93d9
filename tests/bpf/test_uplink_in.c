/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsr_uplink_in: replies are translated back, everything else is the host's or dropped.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Opens red's flow to the remote's port 80 and returns its external port. */
static uint16_t open_flow(struct lab *lab, uint8_t protocol, uint16_t sport)
{
	struct frame f;
	struct run *run;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = protocol, .sport = sport, .dport = 80, .tcp_flags = FRAME_SYN,
	      .icmp_type = FRAME_ECHO_REQUEST);
	run = EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	return frame_sport(&run->out);
}

/* What the remote sends to the external port. */
static void arriving(struct frame *f, uint8_t protocol, const char *remote, uint16_t sport,
		     uint16_t dport)
{
	FRAME(f, .to = mac_up0, .from = mac_router, .source = remote, .dest = UPLINK_IP,
	      .protocol = protocol, .sport = protocol == IPPROTO_ICMP ? dport : sport,
	      .dport = dport, .tcp_flags = FRAME_SYN | FRAME_ACK, .icmp_type = FRAME_ECHO_REPLY,
	      .payload = 33);
}

/* The packet as red is to have it. routed: by us, with what a router changes. */
static struct frame translated(const struct frame *f, uint16_t inside_port, bool routed)
{
	struct frame wanted = *f;
	uint16_t *words = frame_transport(&wanted);

	frame_ip4(&wanted)->daddr = address4(RED_IP);
	words[frame_ip4(&wanted)->protocol == IPPROTO_ICMP ? 2 : 1] = htons(inside_port);
	if (routed) {
		memcpy(frame_eth(&wanted)->h_dest, mac_red, 6);
		memcpy(frame_eth(&wanted)->h_source, mac_br1, 6);
		frame_ip4(&wanted)->ttl--;
	}
	frame_seal(&wanted);
	return wanted;
}

static void expect_delivered(struct lab *lab, struct frame *f, uint16_t inside_port)
{
	struct run *run = EXPECT_IN(lab, UP0, f, TRANSLATED_TO_PEER);
	struct frame wanted = translated(f, inside_port, true);

	assert_int_equal(run->delivered, RED);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
}

static void expect_left_translated(struct lab *lab, struct frame *f, uint16_t inside_port)
{
	struct run *run = EXPECT_IN(lab, UP0, f, TRANSLATED);
	struct frame wanted = translated(f, inside_port, false);

	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
}

/* A socket of the host on the external address. */
static int listen_at(int type, uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, type, 0);

	address.sin_addr.s_addr = address4(UPLINK_IP);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void test_not_an_uplink(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	arriving(&f, IPPROTO_UDP, REMOTE_IP, 80, 4321);
	lab_expect(lab, DATAPATH_UPLINK_IN, lab->elsewhere, &f, UNCOUNTED, __FILE__, __LINE__);
}

static void test_reply(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(protocols); i++) {
		arriving(&f, protocols[i], REMOTE_IP, 80,
			 open_flow(lab, protocols[i], (uint16_t)(4321 + i)));
		expect_delivered(lab, &f, (uint16_t)(4321 + i));
		expect_delivered(lab, &f, (uint16_t)(4321 + i));
	}
	lab_expect_no_flows(lab);
}

/* The port had to be changed on the way out, and comes back. */
static void test_reply_to_a_changed_port(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	uint16_t port = open_flow(lab, IPPROTO_UDP, 53);

	assert_int_not_equal(port, 53);
	arriving(&f, IPPROTO_UDP, REMOTE_IP, 80, port);
	expect_delivered(lab, &f, 53);
	((struct udphdr *)frame_transport(&f))->check = 0;
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
}

static void test_filtered(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	uint16_t udp = open_flow(lab, IPPROTO_UDP, 4321), tcp = open_flow(lab, IPPROTO_TCP, 4322);

	arriving(&f, IPPROTO_UDP, REMOTE2_IP, 80, udp);
	EXPECT_IN(lab, UP0, &f, DROPPED(NAT_FILTERED));
	arriving(&f, IPPROTO_UDP, REMOTE_IP, 81, udp);
	EXPECT_IN(lab, UP0, &f, DROPPED(NAT_FILTERED));
	arriving(&f, IPPROTO_TCP, REMOTE2_IP, 80, tcp);
	EXPECT_IN(lab, UP0, &f, DROPPED(NAT_FILTERED));
	/* None of them has opened anything. */
	assert_int_equal(lab_sum(lab_nat(lab, UP0).sessions_created), 2);
	assert_int_equal(lab_active_sessions(lab), 2);
}

static void test_for_the_host(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, caused;

	open_flow(lab, IPPROTO_UDP, 4321);
	arriving(&f, IPPROTO_UDP, REMOTE_IP, 80, 4322); /* a port that nobody has */
	EXPECT_IN(lab, UP0, &f, PASSED);
	arriving(&f, IPPROTO_TCP, REMOTE_IP, 80, 4321); /* another protocol's port */
	EXPECT_IN(lab, UP0, &f, PASSED);
	arriving(&f, IPPROTO_UDP, REMOTE_IP, 80, 22); /* outside the range */
	EXPECT_IN(lab, UP0, &f, PASSED);
	arriving(&f, 47, REMOTE_IP, 0, 0);
	EXPECT_IN(lab, UP0, &f, PASSED);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP6, .dest = "2001:db8:1::2");
	EXPECT_IN(lab, UP0, &f, PASSED);
	frame_arp(&f, mac_up0, mac_router, mac_router, "198.51.100.1", UPLINK_IP);
	EXPECT_IN(lab, UP0, &f, PASSED);
	frame_eth(&f)->h_proto = htons(0x88cc);
	EXPECT_IN(lab, UP0, &f, PASSED);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = "10.9.0.1");
	EXPECT_IN(lab, UP0, &f, PASSED);
	FRAME(&caused, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .sport = 9999);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .quoted = &caused);
	EXPECT_IN(lab, UP0, &f, PASSED);
}

static void test_malformed(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	uint16_t port = open_flow(lab, IPPROTO_UDP, 4321);

	arriving(&f, IPPROTO_UDP, REMOTE_IP, 80, port);
	frame_ip4(&f)->tot_len = htons((uint16_t)(f.length - ETH_HLEN + 1));
	EXPECT_IN(lab, UP0, &f, PASSED);
	arriving(&f, IPPROTO_UDP, REMOTE_IP, 80, port);
	f.length = ETH_HLEN + 20 + 7;
	frame_ip4(&f)->tot_len = htons((uint16_t)(f.length - ETH_HLEN));
	EXPECT_IN(lab, UP0, &f, PASSED);
}

/* An echo request is the host's to answer, even with the identifier of a mapping. */
static void test_echo(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	uint16_t identifier = open_flow(lab, IPPROTO_ICMP, 4321);

	arriving(&f, IPPROTO_ICMP, REMOTE_IP, 0, identifier);
	expect_delivered(lab, &f, 4321);
	*(uint8_t *)frame_transport(&f) = FRAME_ECHO_REQUEST;
	frame_seal(&f);
	EXPECT_IN(lab, UP0, &f, PASSED);
	arriving(&f, IPPROTO_ICMP, REMOTE_IP, 0, (uint16_t)(identifier + 1));
	EXPECT_IN(lab, UP0, &f, PASSED);
}

/* The host's own pings have no socket to be asked for, so an identifier may be theirs too. */
static void test_echo_of_another_remote(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	uint16_t identifier = open_flow(lab, IPPROTO_ICMP, 4321);

	arriving(&f, IPPROTO_ICMP, REMOTE2_IP, 0, identifier);
	EXPECT_IN(lab, UP0, &f, PASSED);
}

/* Frames for another station, as an interface in promiscuous mode sees them. */
static void test_for_somebody_else(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	arriving(&f, IPPROTO_UDP, REMOTE_IP, 80, open_flow(lab, IPPROTO_UDP, 4321));
	memcpy(frame_eth(&f)->h_dest, mac_stranger, 6);
	EXPECT_IN(lab, UP0, &f, PASSED);
	FRAME(&f, .to = mac_stranger, .from = mac_router, .source = REMOTE_IP, .dest = RED_IP);
	EXPECT_IN(lab, UP0, &f, PASSED);
}

static void test_straight_to_the_inside(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = RED_IP);
	EXPECT_IN(lab, UP0, &f, DROPPED(INBOUND));
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = GATEWAY_IP);
	EXPECT_IN(lab, UP0, &f, DROPPED(INBOUND));
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = RED_IP,
	      .fragment = 8, .payload = 64);
	EXPECT_IN(lab, UP0, &f, DROPPED(INBOUND));
	/* Nor in the name of the inside: the kernel would send it out again, translated. */
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = RED_IP, .dest = REMOTE_IP);
	EXPECT_IN(lab, UP0, &f, DROPPED(SPOOFED_ADDRESS));
	/* By the other uplink too. */
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = "192.168.18.5");
	EXPECT_IN(lab, UP0, &f, DROPPED(INBOUND));
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP6, .dest = RED_IP6);
	EXPECT_IN(lab, UP0, &f, DROPPED(INBOUND));
	/* A network that is not masqueraded is reached like any. */
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = PLAIN_IP);
	EXPECT_IN(lab, UP0, &f, PASSED);
}

/* The kernel has to answer, for the inside host and not for itself: so it gets them translated. */
static void test_left_to_the_kernel_translated(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint red = lab_endpoint(lab, RED);
	struct frame f;
	uint16_t port = open_flow(lab, IPPROTO_UDP, 4321);

	arriving(&f, IPPROTO_UDP, REMOTE_IP, 80, port);
	frame_ip4(&f)->ttl = 1;
	frame_seal(&f);
	expect_left_translated(lab, &f, 4321);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .sport = 80, .dport = port, .ip_options = 8);
	expect_left_translated(lab, &f, 4321);
	arriving(&f, IPPROTO_UDP, REMOTE_IP, 80, port);
	red.mtu = f.length - ETH_HLEN - 1;
	lab_host_set(lab, RED_IP, &red);
	expect_left_translated(lab, &f, 4321);
	red.mtu++;
	lab_host_set(lab, RED_IP, &red);
	expect_delivered(lab, &f, 4321);
	red.flags = 0;
	lab_host_set(lab, RED_IP, &red);
	expect_left_translated(lab, &f, 4321);
}

/* An inside address that no port of ours has: behind a router in a namespace, say. */
static void test_no_endpoint(void **state)
{
	struct lab *lab = lab_of(state);
	struct ip_address red = lab_ip(RED_IP);
	struct frame f;
	uint16_t port;

	assert_int_equal(datapath_host_delete(lab->datapath, &red, &lab->err), 0);
	port = open_flow(lab, IPPROTO_TCP, 4321);
	arriving(&f, IPPROTO_TCP, REMOTE_IP, 80, port);
	expect_left_translated(lab, &f, 4321);
}

/* ---- The host's own sockets. */

static void test_host_socket_on_a_mapped_port(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	uint16_t udp = open_flow(lab, IPPROTO_UDP, 4321), tcp = open_flow(lab, IPPROTO_TCP, 4321);
	int fds[2] = {listen_at(SOCK_DGRAM, udp), listen_at(SOCK_STREAM, tcp)};

	arriving(&f, IPPROTO_UDP, REMOTE2_IP, 80, udp);
	EXPECT_IN(lab, UP0, &f, PASSED);
	arriving(&f, IPPROTO_TCP, REMOTE2_IP, 80, tcp);
	EXPECT_IN(lab, UP0, &f, PASSED);
	/* The flow that is there keeps its packets. */
	arriving(&f, IPPROTO_UDP, REMOTE_IP, 80, udp);
	expect_delivered(lab, &f, 4321);
	close(fds[0]);
	close(fds[1]);
	arriving(&f, IPPROTO_UDP, REMOTE2_IP, 80, udp);
	EXPECT_IN(lab, UP0, &f, DROPPED(NAT_FILTERED));
}

/* A port that the host uses is not handed out, and nothing of the attempt is left. */
static void test_host_socket_keeps_its_port(void **state)
{
	struct lab *lab = lab_of(state);
	int fd = listen_at(SOCK_DGRAM, 4321);

	assert_int_not_equal(open_flow(lab, IPPROTO_UDP, 4321), 4321);
	assert_int_equal(open_flow(lab, IPPROTO_TCP, 4321), 4321);
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_UDP), 1);
	close(fd);
}

/* The mapping is there already; towards this remote its port is the host's. */
static void test_host_talks_to_the_same_remote(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(81)};
	struct lab *lab = lab_of(state);
	uint16_t port = open_flow(lab, IPPROTO_UDP, 4321);
	int fd = listen_at(SOCK_DGRAM, port);
	struct frame f;

	to.sin_addr.s_addr = address4(REMOTE2_IP);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE2_IP,
	      .sport = 4321, .dport = 81);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_SOCKET));
	/* Other remotes, and the session that is there, are not touched by that. */
	open_flow(lab, IPPROTO_UDP, 4321);
	assert_int_equal(lab_active_sessions(lab), 1);
	close(fd);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	lab_expect_no_flows(lab);
}

/* One that goes on to an inside address, by the host. */
static void test_source_route(void **state)
{
	static const uint8_t route[] = {131, 7, 4, 192, 168, 15, 11},
			     record[] = {7, 7, 4, 0, 0, 0, 0};
	struct lab *lab = lab_of(state);
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .sport = 80, .dport = 9, .ip_options = 8);
	EXPECT_IN(lab, UP0, &f, PASSED);
	memcpy(frame_ip4(&f) + 1, record, sizeof(record));
	frame_seal(&f);
	EXPECT_IN(lab, UP0, &f, PASSED);
	memcpy(frame_ip4(&f) + 1, route, sizeof(route));
	frame_seal(&f);
	EXPECT_IN(lab, UP0, &f, DROPPED(IP_OPTIONS));
	frame_ip4(&f)->daddr = address4("10.9.0.1"); /* another address of the host */
	frame_seal(&f);
	EXPECT_IN(lab, UP0, &f, DROPPED(IP_OPTIONS));
	frame_ip4(&f)->protocol = IPPROTO_ICMP; /* an echo request */
	*(uint8_t *)frame_transport(&f) = FRAME_ECHO_REQUEST;
	frame_ip4(&f)->daddr = address4(UPLINK_IP);
	frame_seal(&f);
	EXPECT_IN(lab, UP0, &f, DROPPED(IP_OPTIONS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_not_an_uplink),
		LAB_TEST(test_reply),
		LAB_TEST(test_reply_to_a_changed_port),
		LAB_TEST(test_filtered),
		LAB_TEST(test_for_the_host),
		LAB_TEST(test_source_route),
		LAB_TEST(test_malformed),
		LAB_TEST(test_echo),
		LAB_TEST(test_echo_of_another_remote),
		LAB_TEST(test_for_somebody_else),
		LAB_TEST(test_straight_to_the_inside),
		LAB_TEST(test_left_to_the_kernel_translated),
		LAB_TEST(test_no_endpoint),
		LAB_TEST(test_host_socket_on_a_mapped_port),
		LAB_TEST(test_host_socket_keeps_its_port),
		LAB_TEST(test_host_talks_to_the_same_remote),
	};

	return LAB_MAIN(tests);
}
