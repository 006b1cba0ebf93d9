/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsr_bare_out and nsr_bare_in: an uplink whose packets have no Ethernet header. What tests of the
 * others ask of steps that both have is not asked again; here is what depends on where a packet
 * begins.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "lab_bare.h"

#define INSIDE_IP "192.168.18.5" /* in the network of UP1; red has it */

static int set_up_group(void **state)
{
	int ret = lab_group_set_up_for(state, NSR_SESSION_SET, USE_ALL);

	if (!ret && *state && !lab_bare_set_up(*state)) {
		print_message("# needs tun devices\n");
		lab_group_tear_down(state);
		*state = NULL;
	}
	return ret;
}

static struct lab *bare_of(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint endpoint = lab_endpoint(lab, RED);

	lab_host_set(lab, INSIDE_IP, &endpoint);
	return lab;
}

/* As it is inside, or outside with this port. */
static void outgoing(struct frame *f, uint8_t protocol, bool outside, uint16_t port)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = outside ? UPLINK2_IP : INSIDE_IP,
	      .dest = REMOTE_IP, .protocol = protocol, .sport = port, .dport = 80,
	      .tcp_flags = FRAME_SYN, .icmp_type = FRAME_ECHO_REQUEST, .payload = 64);
}

/* As it arrives, or as red gets it. */
static void incoming(struct frame *f, uint8_t protocol, bool outside, uint16_t port)
{
	FRAME(f, .to = outside ? mac_router : mac_red, .from = outside ? mac_up0 : mac_br1,
	      .source = REMOTE_IP, .dest = outside ? UPLINK2_IP : INSIDE_IP, .protocol = protocol,
	      .sport = protocol == IPPROTO_ICMP ? port : 80, .dport = port, .tcp_flags = FRAME_ACK,
	      .icmp_type = FRAME_ECHO_REPLY, .ttl = outside ? 64 : 63, .payload = 64);
}

static void expect_out(struct lab *lab, uint8_t protocol, uint16_t port)
{
	struct frame f, wanted;
	struct run *run;

	outgoing(&f, protocol, false, port);
	outgoing(&wanted, protocol, true, port);
	run = EXPECT_BARE_OUT(lab, &f, TRANSLATED);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
}

static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ESP};

static void test_both_ways(void **state)
{
	struct lab *lab = bare_of(state);
	struct frame f, wanted;
	struct run *run;
	size_t i;

	for (i = 0; i < sizeof(protocols); i++) {
		expect_out(lab, protocols[i], 4321);
		incoming(&f, protocols[i], true, 4321);
		incoming(&wanted, protocols[i], false, 4321);
		run = EXPECT_BARE_IN(lab, &f, TRANSLATED_TO_PEER);
		assert_int_equal(run->delivered, RED);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	}
	lab_expect_no_flows(lab);
}

#define INSIDE_IP6  "fd00:18::5"
#define UPLINK2_IP6 "2001:db8:2::2"

/* The uplink has an address of IPv6, too, and red one inside. */
static struct lab *ipv6_of(void **state)
{
	struct lab *lab = bare_of(state);
	struct nsr_endpoint endpoint = lab_endpoint(lab, RED);
	struct nsr_uplink uplink = {.port_min = LAB_PORT_MIN, .port_max = LAB_PORT_MAX};

	assert_int_equal(system("ip address replace " UPLINK2_IP6 "/64 dev up1 nodad"), 0);
	memcpy(&uplink.address4, lab_ip(UPLINK2_IP).bytes, sizeof(uplink.address4));
	memcpy(uplink.address6, lab_ip(UPLINK2_IP6).bytes, sizeof(uplink.address6));
	assert_int_equal(datapath_uplink_set(lab->datapath, lab->uplink[UP1], &uplink,
					     &lab->uplink_number[UP1], &lab->err),
			 0);
	lab_inside_set(lab, "fd00:18::/64", UP1, NULL);
	lab_host_set(lab, INSIDE_IP6, &endpoint);
	return lab;
}

static void outgoing6(struct frame *f, uint8_t protocol, bool outside, uint16_t port)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = outside ? UPLINK2_IP6 : INSIDE_IP6,
	      .dest = REMOTE_IP6, .protocol = protocol, .sport = port, .dport = 80,
	      .tcp_flags = FRAME_SYN, .icmp_type = FRAME6_ECHO_REQUEST, .payload = 64);
}

static void incoming6(struct frame *f, uint8_t protocol, bool outside, uint16_t port)
{
	FRAME(f, .to = outside ? mac_router : mac_red, .from = outside ? mac_up0 : mac_br1,
	      .source = REMOTE_IP6, .dest = outside ? UPLINK2_IP6 : INSIDE_IP6,
	      .protocol = protocol, .sport = protocol == FRAME_ICMPV6 ? port : 80, .dport = port,
	      .tcp_flags = FRAME_ACK, .icmp_type = FRAME6_ECHO_REPLY, .ttl = outside ? 64 : 63,
	      .payload = 64);
}

static void test_ipv6(void **state)
{
	static const uint8_t all[] = {IPPROTO_TCP, IPPROTO_UDP, FRAME_ICMPV6, IPPROTO_GRE};
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = ipv6_of(state);
	struct frame f, wanted;
	struct run *run;
	size_t i;

	for (i = 0; i < sizeof(all); i++) {
		outgoing6(&f, all[i], false, 4321);
		outgoing6(&wanted, all[i], true, 4321);
		run = EXPECT_BARE_OUT(lab, &f, TRANSLATED);
		assert_memory_equal(run->out.bytes + ETH_HLEN, wanted.bytes + ETH_HLEN,
				    wanted.length - ETH_HLEN);
		incoming6(&f, all[i], true, 4321);
		incoming6(&wanted, all[i], false, 4321);
		run = EXPECT_BARE_IN(lab, &f, TRANSLATED_TO_PEER);
		assert_int_equal(run->delivered, RED);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	}
	settings.flows_max = 4;
	lab_inside_set(lab, "fd00:18::/64", UP1, &settings);
	outgoing6(&f, IPPROTO_UDP, false, 4322);
	run = EXPECT_BARE_OUT(lab, &f, REFUSED(NAT_LIMIT));
	assert_memory_equal(&frame_ip6(&run->out)->daddr, lab_ip(INSIDE_IP6).bytes, 16);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = REMOTE_IP6, .dest = INSIDE_IP6);
	EXPECT_BARE_IN(lab, &f, DROPPED(INBOUND));
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = INSIDE_IP6, .dest = REMOTE_IP6,
	      .protocol = IPPROTO_ESP);
	EXPECT_BARE_OUT(lab, &f, DROPPED(NAT_LIMIT));
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = INSIDE_IP6, .dest = REMOTE_IP6,
	      .protocol = IPPROTO_AH);
	EXPECT_BARE_OUT(lab, &f, DROPPED(NAT_PROTOCOL));
	lab_expect_no_flows(lab);
}

/* What we do not deliver ourselves goes to the kernel, translated. */
static void test_left_to_the_kernel(void **state)
{
	struct lab *lab = bare_of(state);
	struct nsr_endpoint endpoint = lab_endpoint(lab, RED);
	struct frame f;

	expect_out(lab, IPPROTO_UDP, 4321);
	incoming(&f, IPPROTO_UDP, true, 4321);
	endpoint.mtu = f.length - ETH_HLEN;
	lab_host_set(lab, INSIDE_IP, &endpoint);
	EXPECT_BARE_IN(lab, &f, TRANSLATED_TO_PEER);
	endpoint.mtu--;
	lab_host_set(lab, INSIDE_IP, &endpoint);
	EXPECT_BARE_IN(lab, &f, TRANSLATED);
	frame_ip4(&f)->ttl = 1;
	frame_seal(&f);
	endpoint.mtu = LAB_MTU;
	lab_host_set(lab, INSIDE_IP, &endpoint);
	EXPECT_BARE_IN(lab, &f, TRANSLATED);
}

static void test_sources_that_must_not_leave(void **state)
{
	static const char *const strangers[] = {RED_IP, GREEN_IP};
	struct lab *lab = bare_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < 2; i++) {
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = strangers[i],
		      .dest = REMOTE_IP, .sport = 4321, .dport = 80);
		EXPECT_BARE_OUT(lab, &f, DROPPED(WRONG_UPLINK));
	}
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP6, .dest = REMOTE_IP6,
	      .sport = 4321, .dport = 80);
	EXPECT_BARE_OUT(lab, &f, DROPPED(WRONG_UPLINK));
	frame_ip6(&f)->payload_len = htons(2000);
	EXPECT_BARE_OUT(lab, &f, DROPPED(MALFORMED));
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = INSIDE_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_AH);
	EXPECT_BARE_OUT(lab, &f, DROPPED(NAT_PROTOCOL));
	frame_ip4(&f)->tot_len = htons(2000);
	EXPECT_BARE_OUT(lab, &f, DROPPED(MALFORMED));
	frame_ip4(&f)->ihl = 4;
	EXPECT_BARE_OUT(lab, &f, DROPPED(MALFORMED));
}

static void test_the_hosts_own(void **state)
{
	struct lab *lab = bare_of(state);
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .sport = 4321, .dport = 80, .ip_options = 8);
	EXPECT_BARE_OUT(lab, &f, PASSED);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK2_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_ECHO_REQUEST, .sport = 1);
	EXPECT_BARE_OUT(lab, &f, PASSED);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = "2001:db8:1::2", .dest = REMOTE_IP6,
	      .sport = 4321, .dport = 80);
	EXPECT_BARE_OUT(lab, &f, PASSED);
	frame_ip6(&f)->payload_len = htons(2000); /* whatever it is, it shows nobody inside */
	EXPECT_BARE_OUT(lab, &f, PASSED);
	frame_eth(&f)->h_proto = htons(ETH_P_MPLS_UC);
	EXPECT_BARE_OUT(lab, &f, PASSED);
}

/* One of a port that red has there: it leaves from another one. */
static void test_a_flow_of_the_hosts_own(void **state)
{
	const struct sockaddr_in at = {.sin_family = AF_INET,
				       .sin_addr.s_addr = address4(UPLINK2_IP),
				       .sin_port = htons(4321)};
	struct lab *lab = bare_of(state);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct frame f, wanted;
	struct run *run;
	uint16_t port;

	expect_out(lab, IPPROTO_UDP, 4321);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	outgoing(&f, IPPROTO_UDP, true, 4321);
	run = EXPECT_BARE_OUT(lab, &f, TRANSLATED);
	port = frame_sport(&run->out);
	assert_int_not_equal(port, 4321);
	outgoing(&wanted, IPPROTO_UDP, true, port);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	incoming(&f, IPPROTO_UDP, true, port);
	EXPECT_BARE_IN(lab, &f, TRANSLATED);
	incoming(&f, IPPROTO_UDP, true, 4321);
	EXPECT_BARE_IN(lab, &f, TRANSLATED_TO_PEER);
	close(fd);
	lab_expect_no_flows(lab);
}

static void test_inbound_that_no_session_knows(void **state)
{
	struct lab *lab = bare_of(state);
	struct frame f;

	incoming(&f, IPPROTO_UDP, true, 4321);
	EXPECT_BARE_IN(lab, &f, PASSED);
	incoming(&f, IPPROTO_UDP, false, 4321);
	EXPECT_BARE_IN(lab, &f, DROPPED(INBOUND));
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = REMOTE_IP6, .dest = RED_IP6,
	      .sport = 80, .dport = 4321);
	EXPECT_BARE_IN(lab, &f, DROPPED(INBOUND));
}

/* With these bytes as its options, up to eight. */
static void with_options(struct frame *f, const char *source, const char *dest,
			 const uint8_t *bytes, uint32_t count)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = source, .dest = dest, .sport = 4321,
	      .dport = 80, .ip_options = 8);
	memcpy(frame_ip4(f) + 1, bytes, count);
	frame_seal(f);
}

static void test_options(void **state)
{
	static const uint8_t record[] = {7, 7, 8, 192, 168, 18, 1, 0},
			     source_route[] = {131, 7, 4, 10, 9, 9, 9, 0};
	struct lab *lab = bare_of(state);
	struct frame f, wanted;
	struct run *run;

	with_options(&f, INSIDE_IP, REMOTE_IP, record, sizeof(record));
	run = EXPECT_BARE_OUT(lab, &f, TRANSLATED);
	wanted = f;
	memset(frame_ip4(&wanted) + 1, 1, 8);
	frame_ip4(&wanted)->saddr = address4(UPLINK2_IP);
	frame_seal(&wanted);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	with_options(&f, INSIDE_IP, REMOTE_IP, source_route, sizeof(source_route));
	EXPECT_BARE_OUT(lab, &f, DROPPED(IP_OPTIONS));
	with_options(&f, REMOTE_IP, UPLINK2_IP, source_route, sizeof(source_route));
	EXPECT_BARE_IN(lab, &f, DROPPED(IP_OPTIONS));
}

static void error_about(struct frame *f, const char *source, const char *dest,
			const struct frame *about, uint8_t ttl)
{
	FRAME(f, .to = ttl == 63 ? mac_red : mac_router, .from = ttl == 63 ? mac_br1 : mac_up0,
	      .source = source, .dest = dest, .protocol = IPPROTO_ICMP,
	      .icmp_type = FRAME_UNREACHABLE, .icmp_code = 4, .icmp_mtu = 1280, .quoted = about,
	      .quoted_beyond = 40, .ttl = ttl);
}

static void test_icmp_errors(void **state)
{
	struct lab *lab = bare_of(state);
	struct frame f, about, wanted;
	struct run *run;
	size_t i;

	for (i = 0; i < sizeof(protocols); i++) {
		expect_out(lab, protocols[i], 4321);
		outgoing(&about, protocols[i], true, 4321);
		error_about(&f, REMOTE2_IP, UPLINK2_IP, &about, 64);
		run = EXPECT_BARE_IN(lab, &f, TRANSLATED_TO_PEER);
		outgoing(&about, protocols[i], false, 4321);
		error_about(&wanted, REMOTE2_IP, INSIDE_IP, &about, 63);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);

		incoming(&about, protocols[i], false, 4321);
		error_about(&f, INSIDE_IP, REMOTE_IP, &about, 64);
		run = EXPECT_BARE_OUT(lab, &f, TRANSLATED);
		/* As red got the answer: its TTL is quoted as it was. */
		incoming(&about, protocols[i], true, 4321);
		frame_ip4(&about)->ttl = 63;
		frame_seal(&about);
		error_about(&wanted, UPLINK2_IP, REMOTE_IP, &about, 64);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	}
	/* About no session: it would show an inside address. */
	incoming(&about, IPPROTO_UDP, false, 9999);
	error_about(&f, INSIDE_IP, REMOTE_IP, &about, 64);
	EXPECT_BARE_OUT(lab, &f, DROPPED(NAT_ICMP_ERROR));
	outgoing(&about, IPPROTO_UDP, true, 9999);
	error_about(&f, REMOTE2_IP, UPLINK2_IP, &about, 64);
	EXPECT_BARE_IN(lab, &f, PASSED);
}

/* Who cannot have a flow is told so. */
static void test_refused(void **state)
{
	struct lab *lab = bare_of(state);
	struct frame f, *error;
	const uint8_t *icmp;

	lab_uplink_set(lab, UP1, UPLINK2_IP, 40000, 40000);
	outgoing(&f, IPPROTO_UDP, false, 1000);
	EXPECT_BARE_OUT(lab, &f, TRANSLATED);
	outgoing(&f, IPPROTO_UDP, false, 1001);
	error = &EXPECT_BARE_OUT(lab, &f, REFUSED(NAT_PORTS))->out;
	assert_memory_equal(frame_eth(error)->h_dest, mac_red, ETH_ALEN);
	assert_memory_equal(frame_eth(error)->h_source, mac_br1, ETH_ALEN);
	assert_int_equal(frame_ip4(error)->saddr, address4(UPLINK2_IP));
	assert_int_equal(frame_ip4(error)->daddr, address4(INSIDE_IP));
	icmp = frame_transport(error);
	assert_int_equal(icmp[0], FRAME_UNREACHABLE);
	assert_int_equal(icmp[1], 13);
	assert_memory_equal(icmp + 8, f.bytes + ETH_HLEN, 28);
}

#define FIRST 0x2000            /* more to come */
#define LATER (0x2000 | 72 / 8) /* behind a UDP header and 64 bytes */

/* One of two pieces, of a datagram that is never whole. */
static void piece(struct frame *f, const char *source, const char *dest, uint16_t fragment,
		  bool inside)
{
	FRAME(f, .to = inside ? mac_red : mac_router, .from = inside ? mac_br1 : mac_up0,
	      .source = source, .dest = dest, .sport = 80, .dport = 80, .payload = 64,
	      .fragment = fragment, .id = 77, .ttl = inside ? 63 : 64, .no_checksum = true);
}

static void test_fragments_out(void **state)
{
	struct lab *lab = bare_of(state);
	struct frame f, wanted;
	uint16_t id = 0;
	struct run *run;
	int i;

	for (i = 0; i < 2; i++) {
		piece(&f, INSIDE_IP, REMOTE_IP, i ? LATER : FIRST, false);
		run = EXPECT_BARE_OUT(lab, &f, TRANSLATED);
		if (i)
			assert_int_equal(frame_ip4(&run->out)->id, id);
		id = frame_ip4(&run->out)->id;
		piece(&wanted, UPLINK2_IP, REMOTE_IP, i ? LATER : FIRST, false);
		frame_ip4(&wanted)->id = id;
		if (!i) /* port 80 is not of the range */
			*(uint16_t *)frame_transport(&wanted) = htons(frame_sport(&run->out));
		frame_seal(&wanted);
		if (!i)
			((uint16_t *)frame_transport(&wanted))[3] = 0;
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	}
	piece(&f, RED_IP, REMOTE_IP, LATER, false);
	EXPECT_BARE_OUT(lab, &f, DROPPED(WRONG_UPLINK));
}

/* As red gets the piece: its port is that of the session. */
static void expect_piece(struct frame *got, uint16_t fragment)
{
	struct frame wanted;

	piece(&wanted, REMOTE_IP, INSIDE_IP, fragment, true);
	assert_int_equal(got->length, wanted.length);
	assert_memory_equal(got->bytes, wanted.bytes, wanted.length);
}

static void arriving_piece(struct frame *f, uint16_t fragment, uint16_t port, uint16_t id)
{
	piece(f, REMOTE_IP, UPLINK2_IP, fragment, false);
	frame_ip4(f)->id = htons(id);
	if (fragment == FIRST)
		((uint16_t *)frame_transport(f))[1] = htons(port);
	frame_seal(f);
	if (fragment == FIRST)
		((uint16_t *)frame_transport(f))[3] = 0;
}

static void test_fragments_in(void **state)
{
	struct lab *lab = bare_of(state);
	struct frame f;
	struct run *run;
	uint16_t port;

	piece(&f, INSIDE_IP, REMOTE_IP, 0, false);
	port = frame_sport(&EXPECT_BARE_OUT(lab, &f, TRANSLATED)->out);
	arriving_piece(&f, FIRST, port, 77);
	run = EXPECT_BARE_IN(lab, &f, TRANSLATED_TO_PEER);
	expect_piece(&run->out, FIRST);
	arriving_piece(&f, LATER, 0, 77);
	run = EXPECT_BARE_IN(lab, &f, TRANSLATED_TO_PEER);
	expect_piece(&run->out, LATER);
}

/* The later piece is held until the first has come, and then both go on, in this order. */
static void test_fragments_in_that_are_held(void **state)
{
	struct lab *lab = bare_of(state);
	struct frame f, got;
	uint16_t port;

	piece(&f, INSIDE_IP, REMOTE_IP, 0, false);
	port = frame_sport(&EXPECT_BARE_OUT(lab, &f, TRANSLATED)->out);
	arriving_piece(&f, LATER, 0, 77);
	EXPECT_BARE_IN(lab, &f, UNCOUNTED);
	arriving_piece(&f, FIRST, port, 77);
	assert_int_equal(lab_bare_run(DATAPATH_BARE_IN, &f, &got), TC_ACT_REDIRECT);
	expect_piece(&got, FIRST);
	assert_true(lab_bare_more(&got));
	expect_piece(&got, LATER);
	assert_false(lab_bare_more(&got));
}

/* What the outside begins straight with an inside address, and the answer. */
static void test_direct(void **state)
{
	struct lab *lab = ipv6_of(state);
	struct nsr_inside inside = NSR_INSIDE_DEFAULT;
	const struct {
		const char *red, *remote, *prefix;
	} families[] = {{INSIDE_IP, REMOTE_IP, "192.168.18.0/24"},
			{INSIDE_IP6, REMOTE_IP6, "fd00:18::/64"}};
	struct frame f, wanted;
	struct run *run;
	size_t i;

	for (i = 0; i < 2; i++) {
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = families[i].remote,
		      .dest = families[i].red, .protocol = IPPROTO_TCP, .sport = 80, .dport = 4321,
		      .tcp_flags = FRAME_SYN);
		EXPECT_BARE_IN(lab, &f, DROPPED(INBOUND));
		inside.inbound = 1;
		lab_inside_set(lab, families[i].prefix, UP1, &inside);
		run = EXPECT_BARE_IN(lab, &f, PASSED_TO_PEER);
		assert_int_equal(run->delivered, RED);
		FRAME(&wanted, .to = mac_red, .from = mac_br1, .source = families[i].remote,
		      .dest = families[i].red, .protocol = IPPROTO_TCP, .sport = 80, .dport = 4321,
		      .tcp_flags = FRAME_SYN, .ttl = 63);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = families[i].red,
		      .dest = families[i].remote, .protocol = IPPROTO_TCP, .sport = 4321,
		      .dport = 80, .tcp_flags = FRAME_SYN | FRAME_ACK);
		EXPECT_BARE_OUT(lab, &f, PASSED);
		lab_inside_set(lab, families[i].prefix, UP1, NULL);
		inside.inbound = 0;
	}
}

/* IPv6 where the programs that take it over are not there: the host's own passes. */
static void test_nobody_takes_over(void **state)
{
	struct lab *lab = ipv6_of(state);
	int map = lab->datapath->maps[MAP_programs6];
	uint32_t out = NSR_PROGRAM6_BARE_OUT, in = NSR_PROGRAM6_BARE_IN;
	struct frame f;

	assert_int_equal(bpf_map_delete_elem(map, &out), 0);
	assert_int_equal(bpf_map_delete_elem(map, &in), 0);
	outgoing6(&f, IPPROTO_UDP, false, 4321);
	EXPECT_BARE_OUT(lab, &f, DROPPED(NAT_PROTOCOL));
	outgoing6(&f, FRAME_ICMPV6, true, 4321);
	EXPECT_BARE_OUT(lab, &f, PASSED);
	outgoing6(&f, IPPROTO_UDP, true, 4321);
	EXPECT_BARE_OUT(lab, &f, PASSED);
	incoming6(&f, IPPROTO_UDP, true, 4321);
	EXPECT_BARE_IN(lab, &f, PASSED);
	incoming6(&f, IPPROTO_UDP, false, 4321);
	EXPECT_BARE_IN(lab, &f, DROPPED(INBOUND));
	assert_int_equal(
		bpf_map_update_elem(map, &out, &lab->datapath->programs[DATAPATH_BARE_OUT6], 0), 0);
	assert_int_equal(
		bpf_map_update_elem(map, &in, &lab->datapath->programs[DATAPATH_BARE_IN6], 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_both_ways),
		LAB_TEST(test_ipv6),
		LAB_TEST(test_left_to_the_kernel),
		LAB_TEST(test_sources_that_must_not_leave),
		LAB_TEST(test_the_hosts_own),
		LAB_TEST(test_a_flow_of_the_hosts_own),
		LAB_TEST(test_inbound_that_no_session_knows),
		LAB_TEST(test_options),
		LAB_TEST(test_icmp_errors),
		LAB_TEST(test_refused),
		LAB_TEST(test_fragments_out),
		LAB_TEST(test_fragments_in),
		LAB_TEST(test_fragments_in_that_are_held),
		LAB_TEST(test_direct),
		LAB_TEST(test_nobody_takes_over),
	};

	return cmocka_run_group_tests(tests, set_up_group, lab_group_tear_down);
}
