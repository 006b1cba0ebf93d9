/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A flow of the host's own that begins later, from a port which is mapped to the same remote: it
 * leaves from another port, which is its own in both directions, and the inside's goes on.
 */
#include "own_flows.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crowd.h"
#include "datapath_maps.h"
#include "datapath_publish.h"
#include "datapath_trace.h"

#define OWN_NETNS  (-1) /* the test is in the lab's namespace */
#define ROUTER_IP  "198.51.100.77"
#define ROUTER_IP6 "2001:db8:1::77"

/* Sends in the host's name, and returns the port that it leaves by; nothing else is changed. */
static uint16_t host_sends(struct lab *lab, const struct family *is, uint8_t protocol,
			   uint8_t flags)
{
	struct run *run = leaves(lab, is->uplink, is->remote, protocol, flags, TRANSLATED);
	struct frame wanted;
	uint16_t port = frame_sport(&run->out);

	assert_int_not_equal(port, PORT);
	FRAME(&wanted, .to = mac_router, .from = mac_up0, .source = is->uplink, .dest = is->remote,
	      .protocol = protocol, .sport = port, .dport = REMOTE_PORT, .tcp_flags = flags);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	return port;
}

/* What comes for that port goes on to the host's socket. */
static void host_hears(struct lab *lab, const struct family *is, uint16_t port, uint8_t protocol,
		       uint8_t flags)
{
	struct run *run = arrives_at(lab, is, is->remote, port, protocol, flags, TRANSLATED);
	struct frame wanted;

	FRAME(&wanted, .to = mac_up0, .from = mac_router, .source = is->remote, .dest = is->uplink,
	      .protocol = protocol, .sport = REMOTE_PORT, .dport = PORT, .tcp_flags = flags);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
}

static uint32_t host_flows(struct lab *lab)
{
	struct nsr_share share;
	uint32_t host = NSR_OWNER_HOST;

	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_shares], &host, &share), 0);
	return share.flows;
}

/* Runs it for both families. */
static void expect_of_both(void **state, void (*expect)(struct lab *lab, const struct family *is))
{
	struct lab *lab = lab_of(state);

	expect(lab, &over_ipv4);
	assert_int_equal(host_flows(lab), 0);
	lab_clock_offset(lab, 0);
	expect(lab, &over_ipv6);
	assert_int_equal(host_flows(lab), 0);
}

static uint16_t red_sends(struct lab *lab, const struct family *is, uint8_t protocol, uint8_t flags)
{
	return frame_sport(&leaves(lab, is->red, is->remote, protocol, flags, TRANSLATED)->out);
}

static void expect_udp(struct lab *lab, const struct family *is)
{
	uint16_t port;
	int fd;

	open_flows(lab, is, IPPROTO_UDP);
	fd = host_opens(is, SOCK_DGRAM, is->uplink, is->remote);
	assert_int_equal(host_flows(lab), 0);
	port = host_sends(lab, is, IPPROTO_UDP, 0);
	assert_int_equal(host_flows(lab), 1);
	assert_int_equal(lab_entries(lab, is->sessions), 3);
	host_hears(lab, is, port, IPPROTO_UDP, 0);
	assert_int_equal(host_sends(lab, is, IPPROTO_UDP, 0), port);
	/* The inside goes on, in both directions. */
	arrives(lab, is, is->remote, IPPROTO_UDP, 0, TRANSLATED_TO_PEER);
	assert_int_equal(red_sends(lab, is, IPPROTO_UDP, 0), PORT);
	arrives(lab, is, is->remote2, IPPROTO_UDP, 0, TRANSLATED_TO_PEER);
	/* To the other port comes what its remote sends, and nothing else. */
	arrives_at(lab, is, is->remote2, port, IPPROTO_UDP, 0, DROPPED(NAT_FILTERED));
	/* What the socket has not sent goes as it is. */
	leaves(lab, is->uplink, is->remote2, IPPROTO_UDP, 0, PASSED);
	lab->came_in = lab->elsewhere;
	leaves(lab, is->uplink, is->remote, IPPROTO_UDP, 0, PASSED);
	lab->came_in = 0;
	assert_int_equal(lab_entries(lab, is->sessions), 3);
	close(fd);
	expect_end(lab, is);
}

static void test_udp(void **state)
{
	expect_of_both(state, expect_udp);
}

static void expect_tcp(struct lab *lab, const struct family *is)
{
	uint16_t port;
	int fd;

	open_flows(lab, is, IPPROTO_TCP);
	fd = host_opens(is, SOCK_STREAM, is->uplink, is->remote);
	leaves(lab, is->uplink, is->remote, IPPROTO_TCP, FRAME_ACK, PASSED);
	port = host_sends(lab, is, IPPROTO_TCP, FRAME_SYN);
	assert_int_equal(host_sends(lab, is, IPPROTO_TCP, FRAME_SYN), port);
	host_hears(lab, is, port, IPPROTO_TCP, FRAME_SYN | FRAME_ACK);
	assert_int_equal(host_sends(lab, is, IPPROTO_TCP, FRAME_ACK), port);
	arrives(lab, is, is->remote, IPPROTO_TCP, FRAME_SYN | FRAME_ACK, TRANSLATED_TO_PEER);
	assert_int_equal(red_sends(lab, is, IPPROTO_TCP, FRAME_ACK), PORT);
	/* Established, by the time that networks have which set none. */
	lab_clock_offset(lab, 431000);
	assert_int_equal(host_sends(lab, is, IPPROTO_TCP, FRAME_FIN | FRAME_ACK), port);
	host_hears(lab, is, port, IPPROTO_TCP, FRAME_FIN | FRAME_ACK);
	assert_int_equal(host_sends(lab, is, IPPROTO_TCP, FRAME_ACK), port);
	lab_clock_offset(lab, 431000 + 239);
	host_hears(lab, is, port, IPPROTO_TCP, FRAME_ACK);
	lab_clock_offset(lab, 431000 + 242);
	leaves(lab, is->uplink, is->remote, IPPROTO_TCP, FRAME_ACK, PASSED);
	assert_int_equal(host_flows(lab), 0);
	close(fd);
	expect_end(lab, is);
}

static void test_tcp(void **state)
{
	expect_of_both(state, expect_tcp);
}

/* "nsroute trace" says that red's packet would leave by the port that it has. */
static void expect_foretold(struct lab *lab, const struct family *is)
{
	struct datapath_packet packet;
	struct datapath_tracer *tracer;
	struct nsr_trace told;
	uint32_t opens = 0;
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = is->red, .dest = is->remote,
	      .sport = PORT, .dport = REMOTE_PORT);
	packet.length = f.length;
	memcpy(packet.bytes, f.bytes, f.length);
	assert_int_equal(datapath_tracer_open(lab->datapath, &tracer, &lab->err), 0);
	assert_int_equal(datapath_trace(tracer, DATAPATH_UPLINK_OUT, -1, lab->uplink[UP0], 0,
					&packet, &told, &lab->err),
			 0);
	for (uint32_t i = 0; i < told.count; i++) {
		if (told.told[i].what != NSR_TELLS_OPENS)
			continue;
		assert_int_equal(NSR_MAPPING_PORT(told.told[i].a), PORT);
		assert_int_equal(told.told[i].b, NSR_OPENS_KNOWN);
		opens++;
	}
	assert_int_equal(opens, 1);
	datapath_tracer_close(tracer);
}

/* The inside's session ends while its mapping lives for another remote: what the remote sends then
 * is for nobody, though the host has a socket that it would match, and the inside begins anew. */
static void expect_session_ends(struct lab *lab, const struct family *is)
{
	uint16_t port;
	int fd;

	open_flows(lab, is, IPPROTO_UDP);
	arrives(lab, is, is->remote2, IPPROTO_UDP, 0, TRANSLATED_TO_PEER);
	fd = host_opens(is, SOCK_DGRAM, is->uplink, is->remote);
	port = host_sends(lab, is, IPPROTO_UDP, 0);
	host_hears(lab, is, port, IPPROTO_UDP, 0);
	lab_clock_offset(lab,
			 200); /* that of red and the remote, which has not answered, is over */
	assert_int_equal(host_sends(lab, is, IPPROTO_UDP, 0), port);
	arrives(lab, is, is->remote, IPPROTO_UDP, 0, DROPPED(NAT_FILTERED));
	arrives(lab, is, is->remote, IPPROTO_UDP, 0, DROPPED(NAT_FILTERED));
	expect_foretold(lab, is);
	assert_int_equal(red_sends(lab, is, IPPROTO_UDP, 0), PORT);
	arrives(lab, is, is->remote, IPPROTO_UDP, 0, TRANSLATED_TO_PEER);
	host_hears(lab, is, port, IPPROTO_UDP, 0);
	close(fd);
	expect_end(lab, is);
}

static void test_session_ends(void **state)
{
	expect_of_both(state, expect_session_ends);
}

/* The same where the mapping ends with it. */
static void expect_mapping_ends(struct lab *lab, const struct family *is)
{
	uint16_t port;
	int fd;

	assert_int_equal(red_sends(lab, is, IPPROTO_UDP, 0), PORT);
	fd = host_opens(is, SOCK_DGRAM, is->uplink, is->remote);
	port = host_sends(lab, is, IPPROTO_UDP, 0);
	host_hears(lab, is, port, IPPROTO_UDP, 0);
	lab_clock_offset(lab, 200);
	assert_int_equal(host_sends(lab, is, IPPROTO_UDP, 0), port);
	arrives(lab, is, is->remote, IPPROTO_UDP, 0, DROPPED(NAT_FILTERED));
	assert_int_equal(lab_entries(lab, is->sessions), 1);
	arrives(lab, is, is->remote, IPPROTO_UDP, 0, DROPPED(NAT_FILTERED));
	arrives(lab, is, is->remote2, IPPROTO_UDP, 0, PASSED);
	assert_int_equal(host_sends(lab, is, IPPROTO_UDP, 0), port);
	host_hears(lab, is, port, IPPROTO_UDP, 0);
	/* When the host's has ended as well, its port is its own again. */
	lab_clock_offset(lab, 501);
	leaves(lab, is->uplink, is->remote, IPPROTO_UDP, 0, PASSED);
	arrives(lab, is, is->remote, IPPROTO_UDP, 0, PASSED);
	close(fd);
	expect_end(lab, is);
}

static void test_mapping_ends(void **state)
{
	expect_of_both(state, expect_mapping_ends);
}

/* One that has expired is one more port, for that of before cools down. */
static void expect_anew(struct lab *lab, const struct family *is)
{
	uint16_t port;
	int fd;

	open_flows(lab, is, IPPROTO_UDP);
	arrives(lab, is, is->remote, IPPROTO_UDP, 0, TRANSLATED_TO_PEER);
	fd = host_opens(is, SOCK_DGRAM, is->uplink, is->remote);
	port = host_sends(lab, is, IPPROTO_UDP, 0);
	lab_clock_offset(lab, 121);
	arrives_at(lab, is, is->remote, port, IPPROTO_UDP, 0, DROPPED(NAT_FILTERED));
	arrives_at(lab, is, is->remote, port, IPPROTO_UDP, 0, PASSED); /* it has been ended */
	assert_int_not_equal(host_sends(lab, is, IPPROTO_UDP, 0), port);
	close(fd);
	expect_end(lab, is);
}

static void test_anew(void **state)
{
	expect_of_both(state, expect_anew);
}

/* Errors about what left by the other port name that of the socket when the host gets them, and
 * those of the host about what came there the other one. */
static void expect_errors(struct lab *lab, const struct family *is)
{
	const bool v4 = is == &over_ipv4;
	const char *router = v4 ? ROUTER_IP : ROUTER_IP6;
	struct frame f, about, wanted;
	uint16_t port;
	int fd;

	open_flows(lab, is, IPPROTO_UDP);
	fd = host_opens(is, SOCK_DGRAM, is->uplink, is->remote);
	port = host_sends(lab, is, IPPROTO_UDP, 0);
#define ERROR(frame, ...)                                                                    \
	FRAME(frame, .protocol = v4 ? IPPROTO_ICMP : FRAME_ICMPV6,                           \
	      .icmp_type = v4 ? FRAME_UNREACHABLE : FRAME6_TOO_BIG, .icmp_code = v4 ? 4 : 0, \
	      .icmp_mtu = 1280, .quoted = &about, .quoted_beyond = 100, __VA_ARGS__)
	FRAME(&about, .to = mac_router, .from = mac_up0, .source = is->uplink, .dest = is->remote,
	      .sport = port, .dport = REMOTE_PORT, .payload = 33);
	ERROR(&f, .to = mac_up0, .from = mac_router, .source = router, .dest = is->uplink);
	FRAME(&about, .to = mac_router, .from = mac_up0, .source = is->uplink, .dest = is->remote,
	      .sport = PORT, .dport = REMOTE_PORT, .payload = 33);
	ERROR(&wanted, .to = mac_up0, .from = mac_router, .source = router, .dest = is->uplink);
	assert_memory_equal(EXPECT_IN(lab, UP0, &f, TRANSLATED)->out.bytes, wanted.bytes,
			    wanted.length);
	/* What names the socket's own port is about the inside's. */
	EXPECT_IN(lab, UP0, &wanted, TRANSLATED_TO_PEER);

	FRAME(&about, .to = mac_up0, .from = mac_router, .source = is->remote, .dest = is->uplink,
	      .sport = REMOTE_PORT, .dport = PORT, .payload = 33);
	ERROR(&f, .to = mac_router, .from = mac_up0, .source = is->uplink, .dest = is->remote);
	FRAME(&about, .to = mac_up0, .from = mac_router, .source = is->remote, .dest = is->uplink,
	      .sport = REMOTE_PORT, .dport = port, .payload = 33);
	ERROR(&wanted, .to = mac_router, .from = mac_up0, .source = is->uplink, .dest = is->remote);
	assert_memory_equal(EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out.bytes, wanted.bytes,
			    wanted.length);
	/* Of another remote the host has no such flow. */
	FRAME(&about, .to = mac_up0, .from = mac_router, .source = is->remote2, .dest = is->uplink,
	      .sport = REMOTE_PORT, .dport = PORT, .payload = 33);
	ERROR(&f, .to = mac_router, .from = mac_up0, .source = is->uplink, .dest = is->remote2);
	EXPECT_OUT(lab, UP0, &f, PASSED);
#undef ERROR
	close(fd);
	expect_end(lab, is);
}

static void test_errors(void **state)
{
	expect_of_both(state, expect_errors);
}

/* The first fragment has the port; the others have the same addresses, and go as they are. */
static void expect_fragments(struct lab *lab, const struct family *is)
{
	struct frame whole, half[2], wanted[2];
	uint16_t port;
	int fd;

	open_flows(lab, is, IPPROTO_UDP);
	fd = host_opens(is, SOCK_DGRAM, is->uplink, is->remote);
	port = host_sends(lab, is, IPPROTO_UDP, 0);
	FRAME(&whole, .to = mac_router, .from = mac_up0, .source = is->uplink, .dest = is->remote,
	      .sport = PORT, .dport = REMOTE_PORT, .payload = 1200);
	frame_halve(&whole, 7, half);
	FRAME(&whole, .to = mac_router, .from = mac_up0, .source = is->uplink, .dest = is->remote,
	      .sport = port, .dport = REMOTE_PORT, .payload = 1200);
	frame_halve(&whole, 7, wanted);
	EXPECT_OUT(lab, UP0, &half[1], PASSED);
	assert_memory_equal(EXPECT_OUT(lab, UP0, &half[0], TRANSLATED)->out.bytes, wanted[0].bytes,
			    wanted[0].length);

	FRAME(&whole, .to = mac_up0, .from = mac_router, .source = is->remote, .dest = is->uplink,
	      .sport = REMOTE_PORT, .dport = port, .payload = 1200);
	frame_halve(&whole, 7, half);
	FRAME(&whole, .to = mac_up0, .from = mac_router, .source = is->remote, .dest = is->uplink,
	      .sport = REMOTE_PORT, .dport = PORT, .payload = 1200);
	frame_halve(&whole, 7, wanted);
	for (int i = 0; i < 2; i++)
		assert_memory_equal(EXPECT_IN(lab, UP0, &half[i], TRANSLATED)->out.bytes,
				    wanted[i].bytes, wanted[i].length);
	close(fd);
	expect_end(lab, is);
}

static void test_fragments(void **state)
{
	expect_of_both(state, expect_fragments);
}

/* ---- Several CPUs. */

static const struct family *family_of(const struct crowd *crowd)
{
	return crowd->ipv6 ? &over_ipv6 : &over_ipv4;
}

/* All send in the host's name; each has a port that is not the inside's, and the inside its own. */
static void *send_all(void *argument)
{
	struct crowd *crowd = argument;
	const struct family *is = family_of(crowd);
	struct frame mine, theirs, sent;

	FRAME(&mine, .to = mac_router, .from = mac_up0, .source = is->uplink, .dest = is->remote,
	      .sport = PORT, .dport = REMOTE_PORT);
	FRAME(&theirs, .to = mac_router, .from = mac_up0, .source = is->red, .dest = is->remote,
	      .sport = PORT, .dport = REMOTE_PORT);
	for (int i = 0; i < 20000; i++) {
		lab_run(crowd->lab, DATAPATH_UPLINK_OUT, crowd->lab->uplink[UP0], &mine, &sent);
		if (frame_sport(&sent) == PORT)
			atomic_fetch_add(&crowd->dropped, 1);
		lab_run(crowd->lab, DATAPATH_UPLINK_OUT, crowd->lab->uplink[UP0], &theirs, &sent);
		if (frame_sport(&sent) != PORT)
			atomic_fetch_add(&crowd->shared, 1);
	}
	return NULL;
}

/* Meanwhile the host's sessions end. */
static void *end_hosts(void *argument)
{
	struct crowd *crowd = argument;
	struct nsr_selection host = {.address = address4(UPLINK_IP), .mask = 0xffffffff};
	struct nsr_selection6 host6 = {.mask = {{~0u, ~0u, ~0u, ~0u}}};
	struct error err;

	memcpy(&host6.address, lab_ip(UPLINK_IP6).bytes, sizeof(host6.address));
	while (!atomic_load(&crowd->done))
		if (crowd->ipv6 ? datapath_flush6(crowd->lab->datapath, &host6, NULL, &err)
				: datapath_flush(crowd->lab->datapath, &host, NULL, &err))
			break;
	return NULL;
}

static void expect_crowd(struct lab *lab, const struct family *is)
{
	struct crowd *crowd = crowd_gather(lab);
	int fd;

	open_flows(lab, is, IPPROTO_UDP);
	fd = host_opens(is, SOCK_DGRAM, is->uplink, is->remote);
	crowd->ipv6 = is == &over_ipv6;
	crowd_run(crowd, send_all, false);
	assert_int_equal(host_flows(lab), 1);
	assert_int_equal(lab_entries(lab, is->sessions), 3);
	assert_int_equal(crowd->dropped, 0);
	assert_int_equal(crowd->shared, 0);
	crowd_run_beside(crowd, send_all, end_hosts);
	/* Who loses three times in a row ends the inside's session: the host is not to wait. */
	assert_true(crowd->dropped || !crowd->shared);
	print_message("# by its own port: the host %u times\n", crowd->dropped);
	close(fd);
	free(crowd);
	expect_end(lab, is);
}

static void test_crowd(void **state)
{
	expect_of_both(state, expect_crowd);
}

/* No other port: the inside's session ends, and the host has its port. */
static void expect_no_port(struct lab *lab, const struct family *is)
{
	int fd;

	lab_uplink_set(lab, UP0, UPLINK_IP, PORT, PORT);
	open_flows(lab, is, IPPROTO_UDP);
	fd = host_opens(is, SOCK_DGRAM, is->uplink, is->remote);
	leaves(lab, is->uplink, is->remote, IPPROTO_UDP, 0, PASSED);
	assert_int_equal(lab_entries(lab, is->sessions), 1);
	assert_int_equal(host_flows(lab), 0);
	arrives(lab, is, is->remote, IPPROTO_UDP, 0, PASSED);
	close(fd);
	lab_uplink_set(lab, UP0, UPLINK_IP, LAB_PORT_MIN, LAB_PORT_MAX);
	expect_end(lab, is);
}

static void test_no_port(void **state)
{
	expect_of_both(state, expect_no_port);
}

/* Before the program is there that does it, or when it has gone. */
static void test_without_program(void **state)
{
	struct lab *lab = lab_of(state);
	int map = lab->datapath->maps[MAP_programs6], fd;
	uint32_t own = NSR_PROGRAM_OWN;

	open_flows(lab, &over_ipv4, IPPROTO_UDP);
	fd = host_opens(&over_ipv4, SOCK_DGRAM, UPLINK_IP, REMOTE_IP);
	assert_int_equal(bpf_map_delete_elem(map, &own), 0);
	leaves(lab, UPLINK_IP, REMOTE_IP, IPPROTO_UDP, 0, PASSED);
	assert_int_equal(
		bpf_map_update_elem(map, &own, &lab->datapath->programs[DATAPATH_OWN_OUT], BPF_ANY),
		0);
	host_sends(lab, &over_ipv4, IPPROTO_UDP, 0);
	close(fd);
	lab_expect_no_flows(lab);
}

/* Of a published port a socket of all addresses has nothing, and sends as it is; one of that
 * address has another port. */
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
	fd = host_opens(&over_ipv4, SOCK_DGRAM, "0.0.0.0", NULL);
	leaves(lab, UPLINK_IP, REMOTE_IP, IPPROTO_UDP, 0, PASSED);
	close(fd);
	fd = host_opens(&over_ipv4, SOCK_DGRAM, UPLINK_IP, NULL);
	host_hears(lab, &over_ipv4, host_sends(lab, &over_ipv4, IPPROTO_UDP, 0), IPPROTO_UDP, 0);
	arrives(lab, &over_ipv4, REMOTE_IP, IPPROTO_UDP, 0, TRANSLATED_TO_PEER);
	close(fd);
	assert_int_equal(
		datapath_unpublish(lab->datapath, lab->uplink[UP0], false, &sip, &lab->err), 0);
	lab_expect_no_flows(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_udp),          LAB_TEST(test_tcp),     LAB_TEST(test_session_ends),
		LAB_TEST(test_mapping_ends), LAB_TEST(test_anew),    LAB_TEST(test_errors),
		LAB_TEST(test_fragments),    LAB_TEST(test_no_port), LAB_TEST(test_without_program),
		LAB_TEST(test_published),    LAB_TEST(test_crowd),
	};

	return LAB_MAIN(tests);
}
