/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsr_uplink_out: what leaves by an uplink is translated, or somebody else's, or dropped.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath_maps.h"

/* What red sends to the remote, as the uplink sees it. */
static void leaving(struct frame *f, uint8_t protocol, uint16_t sport, uint16_t dport)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = FRAME_SYN,
	      .icmp_type = FRAME_ECHO_REQUEST, .payload = 64);
}

/* Translated and nothing else changed; returns the external port. */
static uint16_t expect_translated(struct lab *lab, struct frame *f)
{
	struct run *run = EXPECT_OUT(lab, UP0, f, TRANSLATED);
	struct frame wanted = *f;
	uint16_t port = frame_sport(&run->out), *words = frame_transport(&wanted);
	bool unsummed = frame_ip4(f)->protocol == IPPROTO_UDP && !words[3];

	frame_ip4(&wanted)->saddr = address4(UPLINK_IP);
	words[frame_ip4(f)->protocol == IPPROTO_ICMP ? 2 : 0] = htons(port);
	frame_seal(&wanted);
	if (unsummed)
		words[3] = 0;
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	return port;
}

static void expect_created(struct lab *lab, uint64_t sessions, uint64_t mappings)
{
	struct nsr_nat_counters nat = lab_nat(lab, UP0);

	assert_int_equal(lab_sum(nat.sessions_created), sessions);
	assert_int_equal(lab_sum(nat.mappings_created), mappings);
	assert_int_equal(lab_sum(nat.ports_used), mappings);
	assert_int_equal(lab_active_sessions(lab), sessions);
	assert_int_equal(lab_session_bits(lab), sessions);
}

static uint32_t bits_in_use(struct lab *lab)
{
	uint32_t bits = lab_session_bits(lab), protocol;

	for (protocol = 0; protocol < NSR_NAT_PROTOCOLS; protocol++)
		bits += lab_pool_bits(lab, UP0, protocol);
	return bits;
}

static void test_not_an_uplink(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	leaving(&f, IPPROTO_TCP, 1000, 80);
	lab_expect(lab, DATAPATH_UPLINK_OUT, lab->elsewhere, &f, UNCOUNTED, __FILE__, __LINE__);
}

static void test_own_traffic(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, caused;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .sport = 5000, .dport = 53);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .fragment = 0x2000, .payload = 64);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	/* Forwarded for somebody who is not masqueraded. */
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = PLAIN_IP, .dest = REMOTE_IP,
	      .protocol = 47);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = "2001:db8:1::2", .dest = REMOTE_IP6);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	frame_arp(&f, mac_router, mac_up0, mac_up0, UPLINK_IP, "198.51.100.1");
	EXPECT_OUT(lab, UP0, &f, PASSED);
	frame_eth(&f)->h_proto = htons(0x88cc); /* LLDP */
	EXPECT_OUT(lab, UP0, &f, PASSED);
	FRAME(&caused, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .quoted = &caused);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	expect_created(lab, 0, 0);
}

/* With our maps empty the host's traffic flows as if we were not there. */
static void test_own_traffic_fails_open(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	lab_uplink_set(lab, UP0, NULL, LAB_PORT_MIN, LAB_PORT_MAX); /* no address */
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	leaving(&f, IPPROTO_UDP, 1000, 53);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_CLOSED));
}

static void test_translated(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(protocols); i++) {
		leaving(&f, protocols[i], 4321, 80);
		assert_int_equal(expect_translated(lab, &f), 4321); /* preserved */
		assert_int_equal(expect_translated(lab, &f), 4321); /* the same session */
		expect_created(lab, i + 1, i + 1);
	}
	lab_expect_no_flows(lab);
}

/* RFC 4787 REQ-1: one mapping, whatever the remote. */
static void test_endpoint_independent(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	uint16_t port;

	leaving(&f, IPPROTO_UDP, 4321, 80);
	port = expect_translated(lab, &f);
	leaving(&f, IPPROTO_UDP, 4321, 81);
	assert_int_equal(expect_translated(lab, &f), port);
	leaving(&f, IPPROTO_UDP, 4321, 80);
	frame_ip4(&f)->daddr = address4(REMOTE2_IP);
	frame_seal(&f);
	assert_int_equal(expect_translated(lab, &f), port);
	expect_created(lab, 3, 1);
	lab_expect_no_flows(lab);
}

/* Two inside hosts want one port: the second gets another of the same parity. */
static void test_parity(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	uint16_t wanted, port;

	for (wanted = 5000; wanted < 5010; wanted++) {
		leaving(&f, IPPROTO_UDP, wanted, 80);
		assert_int_equal(expect_translated(lab, &f), wanted);
		frame_ip4(&f)->saddr = address4(BLUE_IP);
		frame_seal(&f);
		port = expect_translated(lab, &f);
		assert_int_not_equal(port, wanted);
		assert_int_equal(port % 2, wanted % 2);
	}
}

/* Ports outside the range are nobody's to have. */
static void test_port_not_in_range(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	leaving(&f, IPPROTO_UDP, 53, 80);
	assert_true(expect_translated(lab, &f) >= LAB_PORT_MIN);
	leaving(&f, IPPROTO_TCP, 0, 80);
	assert_true(expect_translated(lab, &f) >= LAB_PORT_MIN);
}

static void test_no_udp_checksum(void **state)
{
	struct lab *lab = lab_of(state);
	struct udphdr *udp;
	struct frame f;
	struct run *run;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = 53, .dport = 80, .no_checksum = true, .payload = 3);
	expect_translated(lab, &f);
	run = EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	udp = frame_transport(&run->out);
	assert_int_equal(udp->check, 0);
}

/* A sum that comes out as 0 is written as 0xffff (RFC 768), or it would say that there is none. */
static void test_udp_checksum_zero(void **state)
{
	struct lab *lab = lab_of(state);
	struct udphdr *udp;
	struct frame f;
	struct run *run;
	uint32_t sum;

	leaving(&f, IPPROTO_UDP, 4321, 80);
	run = EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	udp = frame_transport(&run->out);
	sum = ntohs(udp->check); /* a word of payload takes up what is missing to 0xffff */
	udp = frame_transport(&f);
	((uint16_t *)(udp + 1))[0] =
		htons((uint16_t)((ntohs(((uint16_t *)(udp + 1))[0]) + sum) % 0xffff));
	frame_seal(&f);
	expect_translated(lab, &f);
	run = EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	udp = frame_transport(&run->out);
	assert_int_equal(udp->check, 0xffff);
}

static void test_ip_options(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_TCP, .sport = 53, .dport = 80, .ip_options = 40);
	expect_translated(lab, &f);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .sport = 53, .icmp_type = FRAME_ECHO_REQUEST,
	      .ip_options = 4);
	expect_translated(lab, &f);
}

/* ---- Fail closed. */

static void test_untranslatable(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	leaving(&f, IPPROTO_AH, 0, 0);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PROTOCOL));
	leaving(&f, IPPROTO_ICMP, 7, 0);
	*(uint8_t *)frame_transport(&f) = FRAME_ECHO_REPLY;
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PROTOCOL));
	*(uint8_t *)frame_transport(&f) = FRAME_UNREACHABLE; /* it quotes nothing */
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
	expect_created(lab, 0, 0);
}

/* The host may ask in the name of the gateway's address: then it asks in the uplink's. */
static void test_arp_sender(void **state)
{
	static const uint32_t sender = ETH_HLEN + 14; /* its place in the frame */
	struct lab *lab = lab_of(state);
	struct frame f, out;
	__be32 address = address4(UPLINK_IP);

	frame_arp(&f, mac_router, mac_up0, mac_up0, GATEWAY_IP, "198.51.100.1");
	assert_int_equal(lab_run(lab, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, &out), -1);
	memcpy(f.bytes + sender, &address, sizeof(address));
	assert_memory_equal(out.bytes, f.bytes, f.length);
	assert_int_equal(lab_uplink_counters(lab, UP0).tx_passed, 1);
	lab_uplink_set(lab, UP0, NULL, LAB_PORT_MIN, LAB_PORT_MAX); /* no address to ask with */
	frame_arp(&f, mac_router, mac_up0, mac_up0, GATEWAY_IP, "198.51.100.1");
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PROTOCOL));
}

static void test_truncated(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};
	static const uint8_t headers[] = {20, 8, 8};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(protocols); i++) {
		leaving(&f, protocols[i], 1000, 80);
		f.length = ETH_HLEN + sizeof(struct iphdr) + headers[i] - 1u;
		frame_ip4(&f)->tot_len = htons((uint16_t)(f.length - ETH_HLEN));
		EXPECT_OUT(lab, UP0, &f, DROPPED(MALFORMED));
	}
	expect_created(lab, 0, 0);
}

/* Whatever an inside address sends that cannot be judged. */
static void test_malformed(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	leaving(&f, IPPROTO_UDP, 1000, 80);
	frame_ip4(&f)->tot_len = htons((uint16_t)(f.length - ETH_HLEN + 1));
	EXPECT_OUT(lab, UP0, &f, DROPPED(MALFORMED));
	leaving(&f, IPPROTO_UDP, 1000, 80);
	frame_ip4(&f)->ihl = 4;
	EXPECT_OUT(lab, UP0, &f, DROPPED(MALFORMED));
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP6, .dest = REMOTE_IP6);
	f.length--;
	EXPECT_OUT(lab, UP0, &f, DROPPED(MALFORMED));
	/* The host's own garbage is the host's. */
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP);
	frame_ip4(&f)->tot_len = htons((uint16_t)(f.length - ETH_HLEN + 1));
	EXPECT_OUT(lab, UP0, &f, PASSED);
}

static void test_wrong_uplink(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	leaving(&f, IPPROTO_TCP, 1000, 80);
	EXPECT_OUT(lab, UP1, &f, DROPPED(WRONG_UPLINK));
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = "192.168.18.5", .dest = REMOTE_IP);
	EXPECT_OUT(lab, UP0, &f, DROPPED(WRONG_UPLINK));
	EXPECT_OUT(lab, UP1, &f, TRANSLATED);
	/* The other uplink's own address is not inside. */
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK2_IP, .dest = REMOTE_IP);
	EXPECT_OUT(lab, UP0, &f, PASSED);
}

/* The host answers an inside packet's cause, after translation: its quote would show the inside. */
static void test_quoted_inside(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, caused;

	FRAME(&caused, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = RED_IP);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_TIME_EXCEEDED, .quoted = &caused);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
	FRAME(&caused, .to = mac_up0, .from = mac_router, .source = RED_IP, .dest = REMOTE_IP);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .quoted = &caused);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
	/* From an address of the host that is not the uplink's. */
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = "10.9.0.1", .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .quoted = &caused);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
	/* From the gateway's address, which is inside itself. */
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = GATEWAY_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .quoted = &caused);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
	/* An echo that happens to carry such bytes quotes nothing. */
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_ECHO_REQUEST, .quoted = &caused);
	EXPECT_OUT(lab, UP0, &f, PASSED);
}

/* ---- Full tables. */

/* Every port is handed out once, across a summary word, and then none. */
static void test_ports_exhausted(void **state)
{
	enum { FIRST = 20000, LAST = 24200 };
	static const char *const sources[] = {RED_IP, BLUE_IP, GREEN_IP};
	static bool used[NSR_POOL_PORTS];
	struct lab *lab = lab_of(state);
	struct frame f;
	uint32_t i;
	uint16_t port;

	lab_uplink_set(lab, UP0, UPLINK_IP, FIRST, LAST);
	memset(used, 0, sizeof(used));
	for (i = 0; i < LAST - FIRST + 1; i++) {
		struct frame out;

		leaving(&f, IPPROTO_UDP, (uint16_t)(1024 + i * 7), 80);
		frame_ip4(&f)->saddr = address4(sources[i % 3]); /* one may have half */
		frame_seal(&f);
		assert_int_equal(lab_run(lab, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, &out), -1);
		port = frame_sport(&out);
		assert_in_range(port, FIRST, LAST);
		assert_false(used[port]);
		used[port] = true;
	}
	leaving(&f, IPPROTO_UDP, 1000, 80);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_PORTS));
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_PORTS));
	expect_created(lab, LAST - FIRST + 1, LAST - FIRST + 1);
	/* Those who have a port keep it, other protocols have ports of their own. */
	leaving(&f, IPPROTO_UDP, 1024, 81);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	leaving(&f, IPPROTO_TCP, 1000, 80);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	lab_expect_no_flows(lab);
	/* Cooling down: still none. */
	leaving(&f, IPPROTO_UDP, 1000, 80);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_PORTS));
	assert_int_equal(lab_session_bits(lab), 0);
}

static void test_sessions_full(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_session_bits *full = malloc(sizeof(*full));
	int map = lab->datapath->maps[MAP_session_bits];
	uint32_t zero = 0;
	struct frame f;

	memset(full, 0xff, sizeof(*full));
	assert_int_equal(bpf_map_update_elem(map, &zero, full, BPF_ANY), 0);
	free(full);
	leaving(&f, IPPROTO_UDP, 1000, 80);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_SESSIONS));
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_UDP), 0);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP);
	EXPECT_OUT(lab, UP0, &f, PASSED);
}

/* Fills a hash with keys that no packet has, in one system call; false: empties it of them. */
static void fill(struct lab *lab, enum datapath_map map, size_t key_size, bool add)
{
	uint64_t *keys = calloc(NSR_SESSION_SET, key_size), value[1] = {0};
	uint64_t *values = calloc(NSR_SESSION_SET, sizeof(value));
	uint32_t count = NSR_SESSION_SET, i;
	int fd = lab->datapath->maps[map], ret;

	for (i = 0; i < count; i++)
		keys[i * (key_size / 8)] = 0xffffffff00000000 + i;
	ret = add ? bpf_map_update_batch(fd, keys, values, &count, NULL)
		  : bpf_map_delete_batch(fd, keys, &count, NULL);
	free(keys);
	free(values);
	assert_int_equal(ret, 0);
}

static void test_mapping_table_full(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	leaving(&f, IPPROTO_UDP, 1000, 80);
	fill(lab, MAP_mapping_by_inside, sizeof(struct nsr_inside_endpoint), true);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_SESSIONS));
	fill(lab, MAP_mapping_by_inside, sizeof(struct nsr_inside_endpoint), false);
	expect_created(lab, 0, 0);
	assert_int_equal(bits_in_use(lab), 0); /* what was claimed has been given back */
	expect_translated(lab, &f);
}

static void test_flow_table_full(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_nat_counters nat;
	struct frame f;

	leaving(&f, IPPROTO_UDP, 1000, 80);
	fill(lab, MAP_session_by_flow, sizeof(struct nsr_flow), true);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_SESSIONS));
	fill(lab, MAP_session_by_flow, sizeof(struct nsr_flow), false);
	nat = lab_nat(lab, UP0);
	assert_int_equal(lab_sum(nat.sessions_created), 0);
	assert_int_equal(lab_sum(nat.mappings_created), lab_sum(nat.mappings_ended));
	assert_int_equal(lab_session_bits(lab), 0);
	lab_expect_no_flows(lab);
}

/* An entry that belongs to no live mapping, as if its owner were stopped in the middle. */
static void test_contention(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_inside_endpoint inside = {
		.address = address4(RED_IP), .port = htons(1000), .protocol = NSR_NAT_UDP};
	struct nsr_mapping_ref ref = {.mapping = NSR_MAPPING(0, 9)};
	struct frame f;

	inside.uplink = (uint8_t)lab->uplink_number[UP0];
	assert_int_equal(bpf_map_update_elem(lab->datapath->maps[MAP_mapping_by_inside], &inside,
					     &ref, BPF_ANY),
			 0);
	leaving(&f, IPPROTO_UDP, 1000, 80);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_CONTENTION));
	assert_int_equal(bits_in_use(lab), 0);
	expect_created(lab, 0, 0);
}

/* Its maker was stopped between the entry and the record's last word: who comes next says that
 * word, and its packet has the port that the flow has. */
static void test_maker_stopped(void **state)
{
	struct lab *lab = lab_of(state);
	int map = lab->datapath->maps[MAP_sessions];
	struct nsr_session session;
	struct frame f;
	uint32_t number;
	uint16_t port;

	leaving(&f, IPPROTO_UDP, 4321, 80);
	port = expect_translated(lab, &f);
	for (number = 0; number < NSR_SESSION_SET; number++) {
		assert_int_equal(bpf_map_lookup_elem(map, &number, &session), 0);
		if ((session.state & NSR_SESSION_STATUS) == NSR_SESSION_ACTIVE)
			break;
	}
	session.state += NSR_SESSION_CLAIMED - NSR_SESSION_ACTIVE;
	assert_int_equal(bpf_map_update_elem(map, &number, &session, BPF_EXIST), 0);
	assert_int_equal(lab_active_sessions(lab), 0);
	assert_int_equal(expect_translated(lab, &f), port);
	assert_int_equal(lab_active_sessions(lab), 1);
	expect_created(lab, 1, 1);
	lab_expect_no_flows(lab);
}

/* ---- Options. */

/* With these bytes as the last of its options, behind NOPs. */
static void with_options(struct frame *f, uint8_t size, const uint8_t *bytes, uint32_t count)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = 4321, .dport = 80, .ip_options = size, .payload = 16);
	memcpy((uint8_t *)(frame_ip4(f) + 1) + size - count, bytes, count);
	frame_seal(f);
}

/* Routers on the way wrote their addresses down, and the host its own, which is inside. */
static void test_options_that_tell(void **state)
{
	static const uint8_t route[] = {7, 7, 8, 192, 168, 15, 1},
			     time[] = {68, 12, 13, 1, 192, 168, 15, 1, 0, 0, 0, 9};
	struct lab *lab = lab_of(state);
	struct frame f, wanted;
	struct run *run;
	uint8_t size;

	for (size = 12; size <= 40; size = (uint8_t)(size + 4)) {
		bool even = size % 8;

		with_options(&f, size, even ? time : route, even ? sizeof(time) : sizeof(route));
		run = EXPECT_OUT(lab, UP0, &f, TRANSLATED);
		wanted = f;
		memset(frame_ip4(&wanted) + 1, 1, size);
		frame_ip4(&wanted)->saddr = address4(UPLINK_IP);
		frame_seal(&wanted);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	}
}

static void test_options_that_do_not_tell(void **state)
{
	static const uint8_t alert[] = {148, 4, 0, 0};
	struct lab *lab = lab_of(state);
	struct frame f;

	with_options(&f, 8, alert, sizeof(alert));
	expect_translated(lab, &f);
}

static void test_source_route(void **state)
{
	static const uint8_t route[] = {131, 7, 4, 8, 8, 8, 8};
	struct lab *lab = lab_of(state);
	struct frame f;

	with_options(&f, 8, route, sizeof(route));
	EXPECT_OUT(lab, UP0, &f, DROPPED(IP_OPTIONS));
	/* The host's own is its own. */
	frame_ip4(&f)->saddr = address4(UPLINK_IP);
	frame_seal(&f);
	EXPECT_OUT(lab, UP0, &f, PASSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_not_an_uplink),
		LAB_TEST(test_own_traffic),
		LAB_TEST(test_own_traffic_fails_open),
		LAB_TEST(test_translated),
		LAB_TEST(test_endpoint_independent),
		LAB_TEST(test_parity),
		LAB_TEST(test_port_not_in_range),
		LAB_TEST(test_no_udp_checksum),
		LAB_TEST(test_udp_checksum_zero),
		LAB_TEST(test_ip_options),
		LAB_TEST(test_untranslatable),
		LAB_TEST(test_arp_sender),
		LAB_TEST(test_truncated),
		LAB_TEST(test_malformed),
		LAB_TEST(test_wrong_uplink),
		LAB_TEST(test_options_that_tell),
		LAB_TEST(test_options_that_do_not_tell),
		LAB_TEST(test_source_route),
		LAB_TEST(test_quoted_inside),
		LAB_TEST(test_ports_exhausted),
		LAB_TEST(test_sessions_full),
		LAB_TEST(test_mapping_table_full),
		LAB_TEST(test_flow_table_full),
		LAB_TEST(test_contention),
		LAB_TEST(test_maker_stopped),
	};

	return LAB_MAIN(tests);
}
