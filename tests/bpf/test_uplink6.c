/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsr_uplink_out6 and nsr_uplink_in6, by way of the programs that hand over to them: IPv6 of a
 * masqueraded network is translated, or dropped, and what is the host's own is left alone.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <string.h>

#include "datapath_maps.h"

#define ECHO 4321 /* identifier, and source port */

/* What an extension header has behind its length. */
#define SEGMENTS_LEFT 1 /* offset of it in a routing header */

static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, FRAME_ICMPV6};

/* What red sends to the remote, as the uplink sees it. */
static void leaving(struct frame *f, uint8_t protocol, uint16_t sport, uint16_t dport)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = RED_IP6, .dest = REMOTE_IP6,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = FRAME_SYN,
	      .icmp_type = FRAME6_ECHO_REQUEST, .payload = 64);
}

/* What comes back for it. */
static void arriving(struct frame *f, uint8_t protocol, uint16_t sport, uint16_t dport)
{
	FRAME(f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP6, .dest = UPLINK_IP6,
	      .protocol = protocol, .sport = protocol == FRAME_ICMPV6 ? dport : sport,
	      .dport = dport, .tcp_flags = FRAME_SYN | FRAME_ACK, .icmp_type = FRAME6_ECHO_REPLY,
	      .payload = 64);
}

static void set_address(struct in6_addr *address, const char *text)
{
	memcpy(address, lab_ip(text).bytes, sizeof(*address));
}

static void set_port(struct frame *f, bool source, uint16_t port)
{
	uint16_t *words = frame_transport(f);

	words[frame_protocol_of(f) == FRAME_ICMPV6 ? 2 : source ? 0 : 1] = htons(port);
}

/* Translated and nothing else changed; returns the external port. */
static uint16_t expect_translated(struct lab *lab, struct frame *f)
{
	struct run *run = EXPECT_OUT(lab, UP0, f, TRANSLATED);
	struct frame wanted = *f;
	uint16_t port = frame_sport(&run->out);

	set_address(&frame_ip6(&wanted)->saddr, UPLINK_IP6);
	set_port(&wanted, true, port);
	frame_seal(&wanted);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	return port;
}

/* Translated to what is given, and delivered to its port. */
static void expect_delivered(struct lab *lab, struct frame *f, enum lab_port which, const char *ip,
			     uint16_t port)
{
	struct run *run = EXPECT_IN(lab, UP0, f, TRANSLATED_TO_PEER);
	struct frame wanted = *f;

	assert_int_equal(run->delivered, which);
	set_address(&frame_ip6(&wanted)->daddr, ip);
	set_port(&wanted, false, port);
	frame_seal(&wanted);
	frame_ip6(&wanted)->hop_limit--;
	memcpy(frame_eth(&wanted)->h_dest, which == RED ? mac_red : lab_endpoint(lab, which).mac,
	       6);
	memcpy(frame_eth(&wanted)->h_source, mac_br1, 6);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
}

static void expect_created(struct lab *lab, uint64_t sessions, uint64_t mappings)
{
	struct nsr_nat_counters nat = lab_nat6(lab, UP0);

	assert_int_equal(lab_sum(nat.sessions_created), sessions);
	assert_int_equal(lab_sum(nat.mappings_created), mappings);
	assert_int_equal(lab_sum(nat.ports_used), mappings);
	assert_int_equal(lab_entries(lab, MAP_session_by_flow6), sessions);
	assert_int_equal(lab_entries(lab, MAP_mapping_by_inside6), mappings);
	assert_int_equal(lab_sum(lab_nat(lab, UP0).sessions_created), 0); /* nothing of IPv4's */
}

/* ---- What is translated. */

static void test_both_ways(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(protocols); i++) {
		leaving(&f, protocols[i], ECHO, 80);
		assert_int_equal(expect_translated(lab, &f), ECHO); /* preserved */
		assert_int_equal(expect_translated(lab, &f), ECHO); /* the same session */
		expect_created(lab, i + 1, i + 1);
		arriving(&f, protocols[i], 80, ECHO);
		expect_delivered(lab, &f, RED, RED_IP6, ECHO);
	}
	lab_expect_no_flows(lab);
}

/* Two hosts with one port: the second gets another one, and each what is for it. */
static void test_port_in_use(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t external;
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(protocols); i++) {
		leaving(&f, protocols[i], ECHO, 80);
		assert_int_equal(expect_translated(lab, &f), ECHO);
		set_address(&frame_ip6(&f)->saddr, BLUE_IP6);
		frame_seal(&f);
		external = expect_translated(lab, &f);
		assert_int_not_equal(external, ECHO);
		assert_int_equal(external % 2, ECHO % 2); /* RFC 4787 REQ-4 */
		arriving(&f, protocols[i], 80, external);
		expect_delivered(lab, &f, BLUE, BLUE_IP6, ECHO);
		arriving(&f, protocols[i], 80, ECHO);
		expect_delivered(lab, &f, RED, RED_IP6, ECHO);
	}
	expect_created(lab, 6, 6);
	lab_expect_no_flows(lab);
}

/* RFC 4787 REQ-1: one mapping, whatever the remote; the filter looks at the remote. */
static void test_endpoint_independent(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	leaving(&f, IPPROTO_UDP, ECHO, 80);
	assert_int_equal(expect_translated(lab, &f), ECHO);
	arriving(&f, IPPROTO_UDP, 80, ECHO);
	set_address(&frame_ip6(&f)->saddr, REMOTE2_IP6);
	frame_seal(&f);
	EXPECT_IN(lab, UP0, &f, DROPPED(NAT_FILTERED));
	leaving(&f, IPPROTO_UDP, ECHO, 80);
	set_address(&frame_ip6(&f)->daddr, REMOTE2_IP6);
	frame_seal(&f);
	assert_int_equal(expect_translated(lab, &f), ECHO);
	expect_created(lab, 2, 1);
	arriving(&f, IPPROTO_UDP, 80, ECHO);
	set_address(&frame_ip6(&f)->saddr, REMOTE2_IP6);
	frame_seal(&f);
	expect_delivered(lab, &f, RED, RED_IP6, ECHO);
	arriving(&f, IPPROTO_UDP, 81, ECHO);
	EXPECT_IN(lab, UP0, &f, DROPPED(NAT_FILTERED));
}

static void set(struct lab *lab, uint32_t filtering)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;

	settings.filtering = filtering;
	lab_inside_set(lab, "fd00:15::/64", UP0, &settings);
}

/* What a remote sends to a port of red's that is mapped. */
static void from_remote(struct frame *f, const char *remote, uint16_t sport)
{
	arriving(f, IPPROTO_UDP, sport, ECHO);
	set_address(&frame_ip6(f)->saddr, remote);
	frame_seal(f);
}

/* RFC 4787 REQ-8, RFC 5382 REQ-3: whom a mapping lets in. */
static void test_filters(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	set(lab, NSR_FILTER_ADDRESS);
	leaving(&f, IPPROTO_UDP, ECHO, 80);
	assert_int_equal(expect_translated(lab, &f), ECHO);
	from_remote(&f, REMOTE2_IP6, 80);
	EXPECT_IN(lab, UP0, &f, DROPPED(NAT_FILTERED));
	from_remote(&f, REMOTE_IP6, 81);
	expect_delivered(lab, &f, RED, RED_IP6, ECHO);
	set(lab, NSR_FILTER_NOTHING);
	from_remote(&f, REMOTE2_IP6, 80);
	expect_delivered(lab, &f, RED, RED_IP6, ECHO);
	leaving(&f, IPPROTO_TCP, ECHO, 80);
	assert_int_equal(expect_translated(lab, &f), ECHO);
	arriving(&f, IPPROTO_TCP, 81, ECHO); /* no SYN alone */
	((uint8_t *)frame_transport(&f))[13] = FRAME_ACK;
	frame_seal(&f);
	EXPECT_IN(lab, UP0, &f, DROPPED(NAT_FILTERED));
	((uint8_t *)frame_transport(&f))[13] = FRAME_SYN;
	frame_seal(&f);
	expect_delivered(lab, &f, RED, RED_IP6, ECHO);
	lab_expect_no_flows(lab);
}

/* The families have ports of their own. */
static void test_beside_ipv4(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = BLUE_IP, .dest = REMOTE_IP,
	      .sport = ECHO, .dport = 80);
	assert_int_equal(frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out), ECHO);
	leaving(&f, IPPROTO_UDP, ECHO, 80);
	assert_int_equal(expect_translated(lab, &f), ECHO);
}

/* Headers in front of the transport header that leave the addresses alone. */
static void test_extensions(void **state)
{
	static const uint8_t extensions[] = {IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING,
					     IPPROTO_FRAGMENT};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(extensions); i++) {
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP6, .dest = REMOTE_IP6,
		      .sport = ECHO, .dport = 80, .payload = 64, .extended = true,
		      .extension = extensions[i]);
		if (extensions[i] == IPPROTO_FRAGMENT) { /* all of it in one: its checksum counts */
			frame_ip6(&f)->nexthdr = IPPROTO_DSTOPTS;
			frame_seal(&f);
			frame_ip6(&f)->nexthdr = IPPROTO_FRAGMENT;
		}
		EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	}
	expect_created(lab, 1, 1);
}

/* ---- What is not. */

static void test_untranslatable(void **state)
{
	struct lab *lab = lab_of(state);
	uint8_t type;
	struct frame f;

	leaving(&f, 200, 0, 0); /* which may be anything */
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PROTOCOL));
	for (type = FRAME6_ECHO_REPLY; type <= 143; type++) {
		leaving(&f, FRAME_ICMPV6, ECHO, 0);
		*(uint8_t *)frame_transport(&f) = type;
		frame_seal(&f);
		EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PROTOCOL));
	}
	leaving(&f, IPPROTO_TCP, ECHO, 80);
	((uint8_t *)frame_transport(&f))[13] = FRAME_RST;
	frame_seal(&f);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_STATE));
	leaving(&f, IPPROTO_UDP, ECHO, 80);
	set_address(&frame_ip6(&f)->daddr, "ff0e::1");
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PROTOCOL));
	set_address(&frame_ip6(&f)->daddr, "fe80::1");
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PROTOCOL));
	expect_created(lab, 0, 0);
}

static void test_unfit_extensions(void **state)
{
	static const struct {
		uint8_t extension, data[FRAME_EXTENSION - 2];
		int outcome;
	} cases[] = {
		{IPPROTO_ROUTING, {[SEGMENTS_LEFT] = 1}, DROPPED(IP_OPTIONS)},
		{IPPROTO_AH, {0}, DROPPED(NAT_PROTOCOL)},
		{135, {0}, DROPPED(NAT_PROTOCOL)}, /* mobility */
	};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct frame_spec spec = {.to = mac_router,
					  .from = mac_up0,
					  .source = RED_IP6,
					  .dest = REMOTE_IP6,
					  .sport = ECHO,
					  .dport = 80,
					  .payload = 64,
					  .extended = true,
					  .extension = cases[i].extension};

		memcpy(spec.extension_data, cases[i].data, sizeof(cases[i].data));
		frame_build(&f, &spec);
		EXPECT_OUT(lab, UP0, &f, cases[i].outcome);
	}
	/* Nine in a row, and one that ends beyond the packet. */
	leaving(&f, IPPROTO_DSTOPTS, 0, 0);
	memset(frame_ip6(&f) + 1, 0, 64 + 4);
	for (i = 0; i < 8; i++)
		((uint8_t *)(frame_ip6(&f) + 1))[8 * i] = IPPROTO_DSTOPTS;
	EXPECT_OUT(lab, UP0, &f, DROPPED(MALFORMED));
	leaving(&f, IPPROTO_DSTOPTS, 0, 0);
	((uint8_t *)(frame_ip6(&f) + 1))[1] = 200;
	EXPECT_OUT(lab, UP0, &f, DROPPED(MALFORMED));
	expect_created(lab, 0, 0);
}

/* A transport header that is not all there. */
static void test_truncated(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(protocols); i++) {
		leaving(&f, protocols[i], ECHO, 80);
		f.length = ETH_HLEN + sizeof(struct ipv6hdr) + (i ? 7 : 19);
		frame_ip6(&f)->payload_len = htons(i ? 7 : 19);
		EXPECT_OUT(lab, UP0, &f, DROPPED(MALFORMED));
	}
	expect_created(lab, 0, 0);
}

static void test_wrong_uplink(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	leaving(&f, IPPROTO_UDP, ECHO, 80);
	EXPECT_OUT(lab, UP1, &f, DROPPED(WRONG_UPLINK));
}

/* Without an external address nothing can be translated, and nothing gets out. */
static void test_no_address(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	lab_inside_set(lab, "fd00:18::/64", UP1, NULL); /* it has an IPv4 address only */
	for (i = 0; i < sizeof(protocols); i++) {
		leaving(&f, protocols[i], ECHO, 80);
		set_address(&frame_ip6(&f)->saddr, "fd00:18::1");
		frame_seal(&f);
		EXPECT_OUT(lab, UP1, &f, DROPPED(NAT_CLOSED));
	}
}

/* The programs that take over are not there: inside is dropped, the rest is the host's. */
static void test_nobody_takes_over(void **state)
{
	struct lab *lab = lab_of(state);
	int map = lab->datapath->maps[MAP_programs6];
	uint32_t out = NSR_PROGRAM6_OUT, in = NSR_PROGRAM6_IN;
	struct frame f;

	assert_int_equal(bpf_map_delete_elem(map, &out), 0);
	assert_int_equal(bpf_map_delete_elem(map, &in), 0);
	leaving(&f, IPPROTO_UDP, ECHO, 80);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PROTOCOL));
	arriving(&f, IPPROTO_UDP, 80, ECHO);
	EXPECT_IN(lab, UP0, &f, PASSED);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP6, .dest = REMOTE_IP6,
	      .protocol = FRAME_ICMPV6, .icmp_type = FRAME6_ECHO_REQUEST);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	assert_int_equal(
		bpf_map_update_elem(map, &out, &lab->datapath->programs[DATAPATH_UPLINK_OUT6], 0),
		0);
	assert_int_equal(
		bpf_map_update_elem(map, &in, &lab->datapath->programs[DATAPATH_UPLINK_IN6], 0), 0);
}

/* ---- The host's own. */

static void test_own(void **state)
{
	static const uint8_t types[] = {FRAME6_ECHO_REQUEST, FRAME6_ECHO_REPLY, 133, 135, 136, 143};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP6, .dest = REMOTE_IP6);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	for (i = 0; i < sizeof(types); i++) {
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP6,
		      .dest = "fe80::1", .protocol = FRAME_ICMPV6, .icmp_type = types[i],
		      .payload = 24);
		EXPECT_OUT(lab, UP0, &f, PASSED);
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = "fe80::2",
		      .dest = "ff02::1:ff00:1", .protocol = FRAME_ICMPV6, .icmp_type = types[i],
		      .payload = 24);
		EXPECT_OUT(lab, UP0, &f, PASSED);
		FRAME(&f, .to = mac_up0, .from = mac_router, .source = "fe80::1",
		      .dest = UPLINK_IP6, .protocol = FRAME_ICMPV6, .icmp_type = types[i],
		      .payload = 24);
		EXPECT_IN(lab, UP0, &f, PASSED);
	}
	arriving(&f, IPPROTO_TCP, 80, ECHO); /* no mapping of that port */
	EXPECT_IN(lab, UP0, &f, PASSED);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP6, .dest = "2001:db8:1::9");
	EXPECT_IN(lab, UP0, &f, PASSED);
	expect_created(lab, 0, 0);
}

static void test_straight_to_inside(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP6, .dest = RED_IP6);
	EXPECT_IN(lab, UP0, &f, DROPPED(INBOUND));
	/* In the name of an inside host, which it could leave again as. */
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = RED_IP6, .dest = "2001:db8:1::9");
	EXPECT_IN(lab, UP0, &f, DROPPED(SPOOFED_ADDRESS));
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = RED_IP6, .dest = UPLINK_IP6);
	EXPECT_IN(lab, UP0, &f, PASSED);
}

/* ---- Errors. */

/* What an error about f quotes, with as much of it as is there. */
static void error_about(struct frame *error, const struct frame *f, bool outbound,
			const char *source, const char *dest, uint8_t type, uint16_t mtu)
{
	FRAME(error, .to = outbound ? mac_router : mac_up0, .from = outbound ? mac_up0 : mac_router,
	      .source = source, .dest = dest, .protocol = FRAME_ICMPV6, .icmp_type = type,
	      .icmp_mtu = mtu, .quoted = f, .quoted_beyond = 1000);
}

/* The packet that an error quotes, as a frame. */
static void quoted_of(struct frame *error, struct frame *ret)
{
	uint8_t *quote = (uint8_t *)frame_transport(error) + 8;

	memset(ret, 0, sizeof(*ret));
	ret->length = error->length - (uint32_t)(quote - error->bytes) + ETH_HLEN;
	memcpy(ret->bytes + ETH_HLEN, quote, ret->length - ETH_HLEN);
	frame_eth(ret)->h_proto = htons(ETH_P_IPV6);
}

static void test_error_arrives(void **state)
{
	static const uint8_t types[] = {FRAME6_UNREACHABLE, FRAME6_TOO_BIG, FRAME6_TIME_EXCEEDED,
					FRAME6_PARAMETER};
	struct lab *lab = lab_of(state);
	struct frame f, sent, error, quoted;
	struct run *run;
	size_t i, j;

	for (i = 0; i < sizeof(protocols); i++) {
		leaving(&f, protocols[i], ECHO, 80);
		EXPECT_OUT(lab, UP0, &f, TRANSLATED);
		set_address(&frame_ip6(&f)->saddr, BLUE_IP6); /* whose port is another one */
		frame_seal(&f);
		sent = EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out;
		for (j = 0; j < sizeof(types); j++) {
			error_about(&error, &sent, false, "2001:db8:9::1", UPLINK_IP6, types[j],
				    1280);
			run = EXPECT_IN(lab, UP0, &error, TRANSLATED_TO_PEER);
			assert_int_equal(run->delivered, BLUE);
			quoted_of(&run->out, &quoted);
			assert_null(frame_fault(&quoted));
			memcpy(frame_eth(&quoted)->h_dest, frame_eth(&f)->h_dest, 12);
			assert_int_equal(quoted.length, f.length);
			assert_memory_equal(quoted.bytes, f.bytes, f.length);
		}
	}
	/* Of what nobody has sent; and what quotes an IPv4 packet, or not even a header. */
	set_port(&sent, true, 9);
	error_about(&error, &sent, false, "2001:db8:9::1", UPLINK_IP6, FRAME6_TOO_BIG, 1280);
	EXPECT_IN(lab, UP0, &error, PASSED);
	arriving(&error, FRAME_ICMPV6, 0, 0);
	*(uint8_t *)frame_transport(&error) = FRAME6_TOO_BIG;
	EXPECT_IN(lab, UP0, &error, PASSED);
}

static void test_error_leaves(void **state)
{
	struct lab *lab = lab_of(state);
	const char *const sources[] = {RED_IP6, "fd00:15::1", UPLINK_IP6, "2001:db8:1::77"};
	struct frame f, received, error, quoted;
	struct run *run;
	size_t i, j;

	for (i = 0; i < sizeof(protocols); i++) {
		leaving(&f, protocols[i], ECHO, 80);
		EXPECT_OUT(lab, UP0, &f, TRANSLATED);
		arriving(&f, protocols[i], 80, ECHO);
		received = EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER)->out;
		for (j = 0; j < sizeof(sources) / sizeof(*sources); j++) {
			error_about(&error, &received, true, sources[j], REMOTE_IP6,
				    FRAME6_UNREACHABLE, 0);
			run = EXPECT_OUT(lab, UP0, &error, TRANSLATED);
			assert_memory_equal(&frame_ip6(&run->out)->saddr,
					    lab_ip(j < 2 ? UPLINK_IP6 : sources[j]).bytes, 16);
			quoted_of(&run->out, &quoted);
			assert_null(frame_fault(&quoted));
			assert_memory_equal(&frame_ip6(&quoted)->daddr, lab_ip(UPLINK_IP6).bytes,
					    16);
			assert_int_equal(frame_dport(&quoted), ECHO);
			/* Not to somebody else. */
			error_about(&error, &received, true, sources[j], REMOTE2_IP6,
				    FRAME6_UNREACHABLE, 0);
			EXPECT_OUT(lab, UP0, &error, DROPPED(NAT_ICMP_ERROR));
		}
	}
	/* Of no session. */
	set_port(&received, false, 9);
	error_about(&error, &received, true, UPLINK_IP6, REMOTE_IP6, FRAME6_UNREACHABLE, 0);
	EXPECT_OUT(lab, UP0, &error, DROPPED(NAT_ICMP_ERROR));
	/* The host's about its own. */
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP6, .dest = UPLINK_IP6);
	error_about(&error, &f, true, UPLINK_IP6, REMOTE_IP6, FRAME6_UNREACHABLE, 0);
	EXPECT_OUT(lab, UP0, &error, PASSED);
}

/* A quote that ends in the transport header. */
static void test_short_quote(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, sent, error, quoted;
	struct run *run;

	leaving(&f, IPPROTO_TCP, ECHO, 80);
	sent = EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out;
	FRAME(&error, .to = mac_up0, .from = mac_router, .source = "2001:db8:9::1",
	      .dest = UPLINK_IP6, .protocol = FRAME_ICMPV6, .icmp_type = FRAME6_TIME_EXCEEDED,
	      .quoted = &sent);
	run = EXPECT_IN(lab, UP0, &error, TRANSLATED_TO_PEER);
	quoted_of(&run->out, &quoted);
	assert_memory_equal(quoted.bytes + ETH_HLEN, f.bytes + ETH_HLEN, quoted.length - ETH_HLEN);
}

/* ---- Time. */

static void test_expires(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	leaving(&f, IPPROTO_UDP, ECHO, 80);
	assert_int_equal(expect_translated(lab, &f), ECHO);
	lab_clock_offset(lab, 121);
	arriving(&f, IPPROTO_UDP, 80, ECHO);
	EXPECT_IN(lab, UP0, &f, DROPPED(NAT_FILTERED));
	EXPECT_IN(lab, UP0, &f, PASSED); /* the mapping went with its session */
	leaving(&f, IPPROTO_UDP, ECHO, 80);
	assert_int_not_equal(expect_translated(lab, &f), ECHO); /* which cools down */
	assert_int_equal(lab_sum(lab_nat6(lab, UP0).sessions_expired), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_both_ways),
		LAB_TEST(test_port_in_use),
		LAB_TEST(test_endpoint_independent),
		LAB_TEST(test_filters),
		LAB_TEST(test_beside_ipv4),
		LAB_TEST(test_extensions),
		LAB_TEST(test_untranslatable),
		LAB_TEST(test_unfit_extensions),
		LAB_TEST(test_truncated),
		LAB_TEST(test_wrong_uplink),
		LAB_TEST(test_no_address),
		LAB_TEST(test_nobody_takes_over),
		LAB_TEST(test_own),
		LAB_TEST(test_straight_to_inside),
		LAB_TEST(test_error_arrives),
		LAB_TEST(test_error_leaves),
		LAB_TEST(test_short_quote),
		LAB_TEST(test_expires),
	};

	return LAB_MAIN(tests);
}
