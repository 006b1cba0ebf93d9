/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A flow of the host's own that begins later, from a port which is mapped to the same remote, where
 * it gets no other port: it is the host's from its first packet on, and what the inside has with
 * others goes on. Where it gets one: test_own_port.c.
 */
#include "own_flows.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "datapath_publish.h"

#define OWN_NETNS (-1) /* the test is in the lab's namespace */

/* The host has as many flows with another port as it may. */
static int set_up(void **state)
{
	int ret = lab_set_up(state);

	if (!ret && *state)
		host_has_flows(*state, NSR_HOST_FLOWS_MAX);
	return ret;
}

static void expect_none(struct lab *lab, const struct family *is)
{
	host_has_flows(lab, 0);
	expect_end(lab, is);
}

static void expect_udp(struct lab *lab, const struct family *is)
{
	int fd;

	open_flows(lab, is, IPPROTO_UDP);
	arrives(lab, is, is->remote, IPPROTO_UDP, 0, TRANSLATED_TO_PEER);
	fd = host_opens(is, SOCK_DGRAM, is->uplink, is->remote);
	/* It has not sent anything yet. */
	arrives(lab, is, is->remote, IPPROTO_UDP, 0, TRANSLATED_TO_PEER);
	leaves(lab, is->uplink, is->remote, IPPROTO_UDP, 0, PASSED);
	assert_int_equal(lab_entries(lab, is->sessions), 1);
	arrives(lab, is, is->remote, IPPROTO_UDP, 0, PASSED);
	leaves(lab, is->red, is->remote, IPPROTO_UDP, 0, REFUSED(NAT_SOCKET));
	/* With the other remote nothing has changed. */
	arrives(lab, is, is->remote2, IPPROTO_UDP, 0, TRANSLATED_TO_PEER);
	leaves(lab, is->red, is->remote2, IPPROTO_UDP, 0, TRANSLATED);
	close(fd);
	leaves(lab, is->red, is->remote, IPPROTO_UDP, 0, TRANSLATED);
	expect_none(lab, is);
}

static void test_udp(void **state)
{
	expect_udp(lab_of(state), &over_ipv4);
}

static void test_udp6(void **state)
{
	expect_udp(lab_of(state), &over_ipv6);
}

static void expect_tcp(struct lab *lab, const struct family *is)
{
	static const uint8_t no_beginning[] = {FRAME_ACK, FRAME_SYN | FRAME_ACK, FRAME_RST,
					       FRAME_RST | FRAME_ACK, FRAME_FIN | FRAME_ACK};
	int fd;

	open_flows(lab, is, IPPROTO_TCP);
	fd = host_opens(is, SOCK_STREAM, is->uplink, is->remote);
	for (size_t i = 0; i < sizeof(no_beginning); i++)
		leaves(lab, is->uplink, is->remote, IPPROTO_TCP, no_beginning[i], PASSED);
	assert_int_equal(lab_entries(lab, is->sessions), 2);
	leaves(lab, is->uplink, is->remote, IPPROTO_TCP, FRAME_SYN, PASSED);
	assert_int_equal(lab_entries(lab, is->sessions), 1);
	arrives(lab, is, is->remote, IPPROTO_TCP, FRAME_SYN | FRAME_ACK, PASSED);
	leaves(lab, is->red, is->remote, IPPROTO_TCP, FRAME_ACK, REFUSED(NAT_SOCKET));
	arrives(lab, is, is->remote2, IPPROTO_TCP, FRAME_SYN | FRAME_ACK, TRANSLATED_TO_PEER);
	close(fd);
	expect_none(lab, is);
}

static void test_tcp(void **state)
{
	expect_tcp(lab_of(state), &over_ipv4);
}

static void test_tcp6(void **state)
{
	expect_tcp(lab_of(state), &over_ipv6);
}

/* A socket for all remotes and addresses, and a mapping that has but this one session: what the
 * inside sends next has another port. */
static void expect_wild(struct lab *lab, const struct family *is)
{
	int fd;

	leaves(lab, is->red, is->remote, IPPROTO_UDP, 0, TRANSLATED);
	fd = host_opens(is, SOCK_DGRAM, is == &over_ipv4 ? "0.0.0.0" : "::", NULL);
	leaves(lab, is->uplink, is->remote, IPPROTO_UDP, 0, PASSED);
	assert_int_equal(lab_entries(lab, is->sessions), 0);
	arrives(lab, is, is->remote, IPPROTO_UDP, 0, PASSED);
	assert_int_not_equal(
		frame_sport(&leaves(lab, is->red, is->remote, IPPROTO_UDP, 0, TRANSLATED)->out),
		PORT);
	close(fd);
	expect_none(lab, is);
}

static void test_wild(void **state)
{
	struct lab *lab = lab_of(state);

	expect_wild(lab, &over_ipv4);
	host_has_flows(lab, NSR_HOST_FLOWS_MAX);
	expect_wild(lab, &over_ipv6);
}

/* What no socket of the host's has sent ends nothing: forged, or forwarded for somebody whom
 * netfilter masquerades. Nor does what is to another remote, or from another port. */
static void expect_others(struct lab *lab, const struct family *is)
{
	struct frame f;
	int fd;

	open_flows(lab, is, IPPROTO_UDP);
	leaves(lab, is->uplink, is->remote, IPPROTO_UDP, 0, PASSED);
	assert_int_equal(lab_entries(lab, is->sessions), 2);
	fd = host_opens(is, SOCK_DGRAM, is->uplink, NULL);
	lab->came_in = lab->elsewhere;
	leaves(lab, is->uplink, is->remote, IPPROTO_UDP, 0, PASSED);
	lab->came_in = 0;
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = is->uplink, .dest = is->remote,
	      .sport = PORT, .dport = REMOTE_PORT + 1);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = is->uplink, .dest = is->remote,
	      .sport = PORT + 1, .dport = REMOTE_PORT);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	leaves(lab, is->uplink, is->remote, IPPROTO_TCP, FRAME_SYN, PASSED);
	assert_int_equal(lab_entries(lab, is->sessions), 2);
	leaves(lab, is->uplink, is->remote, IPPROTO_UDP, 0, PASSED);
	assert_int_equal(lab_entries(lab, is->sessions), 1);
	close(fd);
	expect_none(lab, is);
}

static void test_others(void **state)
{
	struct lab *lab = lab_of(state);

	expect_others(lab, &over_ipv4);
	host_has_flows(lab, NSR_HOST_FLOWS_MAX);
	expect_others(lab, &over_ipv6);
}

/* Of a published port a socket of all addresses gets nothing, so it takes nothing; one of this
 * address does. */
static void test_published(void **state)
{
	const struct published_ports sip = {PORT, 5060, 1, NSR_NAT_UDP};
	const struct ip_address red = lab_ip(RED_IP);
	struct lab *lab = lab_of(state);
	int fd;

	assert_int_equal(
		datapath_publish(lab->datapath, lab->uplink[UP0], &red, &sip, OWN_NETNS, &lab->err),
		0);
	arrives(lab, &over_ipv4, REMOTE_IP, IPPROTO_UDP, 0, TRANSLATED_TO_PEER);
	assert_int_equal(lab_active_sessions(lab), 1);
	fd = host_opens(&over_ipv4, SOCK_DGRAM, "0.0.0.0", NULL);
	leaves(lab, UPLINK_IP, REMOTE_IP, IPPROTO_UDP, 0, PASSED);
	assert_int_equal(lab_active_sessions(lab), 1);
	close(fd);
	fd = host_opens(&over_ipv4, SOCK_DGRAM, UPLINK_IP, NULL);
	arrives(lab, &over_ipv4, REMOTE_IP, IPPROTO_UDP, 0, TRANSLATED_TO_PEER);
	leaves(lab, UPLINK_IP, REMOTE_IP, IPPROTO_UDP, 0, PASSED);
	assert_int_equal(lab_active_sessions(lab), 0);
	arrives(lab, &over_ipv4, REMOTE_IP, IPPROTO_UDP, 0, PASSED);
	close(fd);
	assert_int_equal(
		datapath_unpublish(lab->datapath, lab->uplink[UP0], false, &sip, &lab->err), 0);
	expect_none(lab, &over_ipv4);
}

/* Of a datagram in fragments the first has the ports. */
static void test_shapes(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	int fd;

	open_flows(lab, &over_ipv4, IPPROTO_UDP);
	fd = host_opens(&over_ipv4, SOCK_DGRAM, UPLINK_IP, NULL);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .sport = PORT, .dport = REMOTE_PORT, .payload = 64, .fragment = 0x2001, .id = 7);
	EXPECT_OUT(lab, UP0, &f, PASSED); /* a later one */
	assert_int_equal(lab_active_sessions(lab), 2);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .sport = PORT, .dport = REMOTE_PORT, .payload = 64, .fragment = 0x2000, .id = 7);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	assert_int_equal(lab_active_sessions(lab), 1);
	close(fd);
	expect_none(lab, &over_ipv4);
}

/* ---- Echo requests: the host's are known by having left. */

static struct run *asks(struct lab *lab, const struct family *is, const char *source,
			const char *dest, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = source, .dest = dest,
	      .protocol = is == &over_ipv4 ? IPPROTO_ICMP : FRAME_ICMPV6, .sport = PORT,
	      .icmp_type = is == &over_ipv4 ? FRAME_ECHO_REQUEST : FRAME6_ECHO_REQUEST);
	return EXPECT_OUT(lab, UP0, &f, outcome);
}

static void answers(struct lab *lab, const struct family *is, const char *remote, uint16_t id,
		    int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = remote, .dest = is->uplink,
	      .protocol = is == &over_ipv4 ? IPPROTO_ICMP : FRAME_ICMPV6, .sport = id,
	      .icmp_type = is == &over_ipv4 ? FRAME_ECHO_REPLY : FRAME6_ECHO_REPLY);
	EXPECT_IN(lab, UP0, &f, outcome);
}

/* The identifier that red's request leaves with. */
static uint16_t asks_as(struct lab *lab, const struct family *is, const char *dest)
{
	return frame_sport(&asks(lab, is, is->red, dest, TRANSLATED)->out);
}

static void expect_echo_second(struct lab *lab, const struct family *is)
{
	uint16_t id;

	assert_int_equal(asks_as(lab, is, is->remote), PORT);
	answers(lab, is, is->remote, PORT, TRANSLATED_TO_PEER);
	asks(lab, is, is->uplink, is->remote2, PASSED); /* is nothing to the other remote's */
	answers(lab, is, is->remote, PORT, TRANSLATED_TO_PEER);
	asks(lab, is, is->uplink, is->remote, PASSED);
	assert_int_equal(lab_entries(lab, is->sessions), 0);
	answers(lab, is, is->remote, PORT, PASSED);
	id = asks_as(lab, is, is->remote); /* that was all that the mapping was for */
	assert_int_not_equal(id, PORT);
	asks(lab, is, is->uplink, is->remote, PASSED);
	answers(lab, is, is->remote, PORT, PASSED);
	answers(lab, is, is->remote, id, TRANSLATED_TO_PEER);
	expect_none(lab, is);
}

static void expect_echo_first(struct lab *lab, const struct family *is)
{
	uint16_t id;

	asks(lab, is, is->uplink, is->remote, PASSED);
	id = asks_as(lab, is, is->remote);
	assert_int_not_equal(id, PORT);
	answers(lab, is, is->remote, PORT, PASSED);
	answers(lab, is, is->remote, id, TRANSLATED_TO_PEER);
	expect_none(lab, is);
}

/* Red has the identifier with another remote, and keeps it there. For as long as the host may be
 * answered it has not the remote's as well. */
static void expect_echo_both(struct lab *lab, const struct family *is)
{
	assert_int_equal(asks_as(lab, is, is->remote2), PORT);
	asks(lab, is, is->uplink, is->remote, PASSED);
	lab_clock_offset(lab, NSR_HOST_ECHO_S - 2);
	assert_int_equal(asks_as(lab, is, is->remote2), PORT);
	asks(lab, is, is->red, is->remote, REFUSED(NAT_SOCKET));
	answers(lab, is, is->remote2, PORT, TRANSLATED_TO_PEER);
	lab_clock_offset(lab, NSR_HOST_ECHO_S + 1);
	assert_int_equal(asks_as(lab, is, is->remote), PORT);
	answers(lab, is, is->remote, PORT, TRANSLATED_TO_PEER);
	asks(lab, is, is->uplink, is->remote, PASSED); /* until it asks again */
	answers(lab, is, is->remote, PORT, PASSED);
	answers(lab, is, is->remote2, PORT, TRANSLATED_TO_PEER);
	expect_none(lab, is);
}

/* Replies of the host's, requests that it forwards for others, and TCP and UDP. */
static void expect_no_echo(struct lab *lab, const struct family *is)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = is->uplink, .dest = is->remote,
	      .protocol = is == &over_ipv4 ? IPPROTO_ICMP : FRAME_ICMPV6, .sport = PORT,
	      .icmp_type = is == &over_ipv4 ? FRAME_ECHO_REPLY : FRAME6_ECHO_REPLY);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	lab->came_in = lab->elsewhere;
	asks(lab, is, is->uplink, is->remote, PASSED);
	lab->came_in = 0;
	leaves(lab, is->uplink, is->remote, IPPROTO_UDP, 0, PASSED);
	assert_int_equal(lab_entries(lab, MAP_host_echoes), 0);
	assert_int_equal(asks_as(lab, is, is->remote), PORT);
	expect_none(lab, is);
}

static void test_echo_second(void **state)
{
	struct lab *lab = lab_of(state);

	expect_echo_second(lab, &over_ipv4);
	expect_echo_second(lab, &over_ipv6);
}

static void test_no_echo(void **state)
{
	struct lab *lab = lab_of(state);

	expect_no_echo(lab, &over_ipv4);
	expect_no_echo(lab, &over_ipv6);
}

static void test_echo_first(void **state)
{
	struct lab *lab = lab_of(state);

	expect_echo_first(lab, &over_ipv4);
	expect_echo_first(lab, &over_ipv6);
}

static void test_echo_both(void **state)
{
	struct lab *lab = lab_of(state);

	expect_echo_both(lab, &over_ipv4);
	lab_clock_offset(lab, 0);
	expect_echo_both(lab, &over_ipv6);
}

/* What the host asks of many makes room for itself, and of one it is one entry. */
static void test_echo_many(void **state)
{
	struct lab *lab = lab_of(state);
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info);
	struct frame f;

	for (int i = 0; i < 3; i++)
		asks(lab, &over_ipv4, UPLINK_IP, REMOTE_IP, PASSED);
	assert_int_equal(lab_entries(lab, MAP_host_echoes), 1);
	for (uint32_t id = 1; id <= 2 * NSR_HOST_ECHOES_MAX; id++) {
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
		      .protocol = IPPROTO_ICMP, .sport = (uint16_t)id,
		      .icmp_type = FRAME_ECHO_REQUEST);
		EXPECT_OUT(lab, UP0, &f, PASSED);
	}
	assert_int_equal(bpf_obj_get_info_by_fd(lab->datapath->maps[MAP_host_echoes], &info, &size),
			 0);
	assert_in_range(lab_entries(lab, MAP_host_echoes), NSR_HOST_ECHOES_MAX, info.max_entries);
	asks(lab, &over_ipv4, UPLINK_IP, REMOTE_IP, PASSED);
	assert_int_not_equal(asks_as(lab, &over_ipv4, REMOTE_IP), PORT);
	expect_none(lab, &over_ipv4);
}

#define OWN_TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		OWN_TEST(test_udp),       OWN_TEST(test_udp6),       OWN_TEST(test_tcp),
		OWN_TEST(test_tcp6),      OWN_TEST(test_wild),       OWN_TEST(test_others),
		OWN_TEST(test_published), OWN_TEST(test_shapes),     OWN_TEST(test_echo_second),
		OWN_TEST(test_no_echo),   OWN_TEST(test_echo_first), OWN_TEST(test_echo_both),
		OWN_TEST(test_echo_many),
	};

	return LAB_MAIN(tests);
}
