/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Protocols without ports that we know: SCTP, GRE, ESP and any other, by address where that is not
 * ambiguous.
 *
 * What is wanted is built from the start with the other addresses and compared byte by byte:
 * nothing but an address and the IP header's checksum may be another.
 */
#include "portless.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <string.h>

#include "datapath_maps.h"

#define ROUTER_IP "198.51.100.77"
#define ANY       99 /* any private encryption scheme, RFC 1700 */
#define MORE      0x2000

static const uint8_t protocols[] = {IPPROTO_SCTP, IPPROTO_GRE, IPPROTO_ESP, IPPROTO_IPIP, ANY};

static void expect_sessions(struct lab *lab, uint32_t sessions)
{
	assert_int_equal(lab_active_sessions(lab), sessions);
	assert_int_equal(lab_session_bits(lab), sessions);
	assert_int_equal(lab_entries(lab, MAP_session_by_flow), sessions);
}

/* ---- Whole packets. */

static void test_both_ways(void **state)
{
	struct lab *lab = lab_of(state);
	size_t i;

	for (i = 0; i < sizeof(protocols); i++) {
		portless_expect_out(lab, RED_IP, REMOTE_IP, protocols[i]);
		portless_expect_in(lab, REMOTE_IP, protocols[i]);
		portless_expect_out(lab, RED_IP, REMOTE_IP, protocols[i]);
		expect_sessions(lab, (uint32_t)i + 1);
		portless_expect_passed(lab, REMOTE2_IP,
				       protocols[i]); /* of whom red has not heard */
	}
	assert_int_equal(lab_nat(lab, UP0).sessions_created[NSR_NAT_OTHER], i);
	assert_int_equal(lab_flows_of(lab, RED), i);
	assert_int_equal(lab_sum(lab_nat(lab, UP0).mappings_created), 0);
	lab_expect_no_flows(lab);
	portless_expect_passed(lab, REMOTE_IP, IPPROTO_GRE);
}

/* One inside address speaks a protocol to a remote; others are dropped while it does. */
static void test_ambiguous(void **state)
{
	struct lab *lab = lab_of(state);

	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_GRE);
	portless_expect_refused(lab, BLUE_IP, REMOTE_IP, IPPROTO_GRE, DROPPED(NAT_AMBIGUOUS));
	portless_expect_refused(lab, GREEN_IP, REMOTE_IP, IPPROTO_GRE, DROPPED(NAT_AMBIGUOUS));
	expect_sessions(lab, 1);
	assert_int_equal(lab_flows_of(lab, BLUE), 0);
	portless_expect_out(lab, BLUE_IP, REMOTE_IP, IPPROTO_ESP);
	portless_expect_out(lab, BLUE_IP, REMOTE2_IP, IPPROTO_GRE);
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_GRE);
	portless_expect_in(lab, REMOTE_IP, IPPROTO_GRE);
	expect_sessions(lab, 3);
	/* Red's is over: the first who comes has it. */
	lab_clock_offset(lab, 601);
	portless_expect_out(lab, BLUE_IP, REMOTE_IP, IPPROTO_GRE);
	portless_expect_refused(lab, RED_IP, REMOTE_IP, IPPROTO_GRE, DROPPED(NAT_AMBIGUOUS));
	lab_expect_no_flows(lab);
}

/* By another uplink it is another flow. */
static void test_uplinks_apart(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_GRE);
	portless_leaves(&f, "192.168.18.5", REMOTE_IP, IPPROTO_GRE);
	assert_int_equal(frame_ip4(&EXPECT_OUT(lab, UP1, &f, TRANSLATED)->out)->saddr,
			 address4(UPLINK2_IP));
	portless_leaves(&f, RED_IP, REMOTE_IP, IPPROTO_GRE);
	EXPECT_OUT(lab, UP1, &f, DROPPED(WRONG_UPLINK));
	expect_sessions(lab, 2);
	lab_expect_no_flows(lab);
}

/* Checksums that cover addresses, groups, and nowhere. */
static void test_refused(void **state)
{
	static const uint8_t refused[] = {IPPROTO_AH, IPPROTO_DCCP, IPPROTO_UDPLITE, 139};
	static const char *const nobody[] = {"224.0.0.5", "239.1.2.3", "255.255.255.255"};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(refused); i++) {
		portless_expect_refused(lab, RED_IP, REMOTE_IP, refused[i], DROPPED(NAT_PROTOCOL));
		portless_expect_passed(lab, REMOTE_IP, refused[i]);
	}
	portless_leaves(&f, RED_IP, REMOTE_IP, ANY);
	frame_ip4(&f)->protocol = 0;
	frame_seal(&f);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PROTOCOL));
	for (i = 0; i < 3; i++)
		portless_expect_refused(lab, RED_IP, nobody[i], IPPROTO_GRE, DROPPED(NAT_PROTOCOL));
	lab_uplink_set(lab, UP0, NULL, LAB_PORT_MIN, LAB_PORT_MAX); /* no address */
	portless_expect_refused(lab, RED_IP, REMOTE_IP, IPPROTO_GRE, DROPPED(NAT_CLOSED));
	expect_sessions(lab, 0);
}

static void test_options(void **state)
{
	static const uint8_t record[] = {7, 7, 4};
	struct lab *lab = lab_of(state);
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_GRE, .ip_options = 8);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	memcpy(frame_ip4(&f) + 1, record, sizeof(record));
	frame_seal(&f);
	EXPECT_OUT(lab, UP0, &f, DROPPED(IP_OPTIONS));
}

/* What is cut off behind the IP header has all that is looked at. */
static void test_short(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = ANY);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	frame_ip4(&f)->tot_len = htons(2000);
	frame_seal(&f);
	EXPECT_OUT(lab, UP0, &f, DROPPED(MALFORMED));
}

/* By the port: the kernel routes what the fast path does not know. */
static void test_port(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_GRE, .payload = 60);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

/* ---- Time and number. */

static void test_timeouts(void **state)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);

	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_SCTP);
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_GRE);
	lab_clock_offset(lab, 500);
	portless_expect_in(lab, REMOTE_IP,
			   IPPROTO_GRE); /* which does not refresh it: RFC 4787 REQ-6 */
	lab_clock_offset(lab, 601);
	portless_expect_passed(lab, REMOTE_IP, IPPROTO_GRE);
	lab_clock_offset(lab, 7300);
	portless_expect_in(lab, REMOTE_IP, IPPROTO_SCTP);
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_SCTP);
	lab_clock_offset(lab, 2 * 7300);
	portless_expect_in(lab, REMOTE_IP, IPPROTO_SCTP);
	lab_clock_offset(lab, 3 * 7300);
	portless_expect_passed(lab, REMOTE_IP, IPPROTO_SCTP);
	lab_clock_offset(lab, 4 * 7300); /* the host has not heard of it for long */
	settings.timeout_s[NSR_TIMEOUT_OTHER] = 1000;
	settings.timeout_s[NSR_TIMEOUT_SCTP] = 2000;
	lab_inside_set(lab, "192.168.15.0/24", UP0, &settings);
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_SCTP);
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_ESP);
	lab_clock_offset(lab, 4 * 7300 + 800);
	portless_expect_in(lab, REMOTE_IP, IPPROTO_ESP);
	lab_clock_offset(lab, 4 * 7300 + 1500);
	portless_expect_passed(lab, REMOTE_IP, IPPROTO_ESP);
	portless_expect_in(lab, REMOTE_IP, IPPROTO_SCTP);
	lab_clock_offset(lab, 4 * 7300 + 2500);
	portless_expect_passed(lab, REMOTE_IP, IPPROTO_SCTP);
}

/* ---- SCTP associations. */

static void sctp_out(struct lab *lab, const char *source, uint8_t chunk, int outcome)
{
	struct frame f;

	portless_leaves(&f, source, REMOTE_IP, IPPROTO_SCTP);
	portless_set_chunk(&f, chunk);
	EXPECT_OUT(lab, UP0, &f, outcome);
}

static void sctp_in(struct lab *lab, uint8_t chunk, int outcome)
{
	struct frame f;

	portless_arrives(&f, REMOTE_IP, IPPROTO_SCTP);
	portless_set_chunk(&f, chunk);
	EXPECT_IN(lab, UP0, &f, outcome);
}

/* What ends an association opens no session, so nobody is kept out by it. */
static void test_end_opens_nothing(void **state)
{
	struct lab *lab = lab_of(state);

	sctp_out(lab, RED_IP, SCTP_ABORT, DROPPED(NAT_STATE));
	sctp_out(lab, RED_IP, SCTP_SHUTDOWN_COMPLETE, DROPPED(NAT_STATE));
	expect_sessions(lab, 0);
	sctp_out(lab, BLUE_IP, SCTP_INIT, TRANSLATED);
	sctp_out(lab, RED_IP, SCTP_ABORT, DROPPED(NAT_AMBIGUOUS));
	sctp_in(lab, SCTP_DATA, TRANSLATED_TO_PEER);
	lab_expect_no_flows(lab);
}

/* Whoever ends it: 240 s later, and not 7440, another has room. */
static void test_end_makes_room(void **state)
{
	static const uint8_t ends[] = {SCTP_ABORT, SCTP_SHUTDOWN_COMPLETE};
	struct lab *lab = lab_of(state);
	uint32_t now_s = 0;
	size_t i;

	for (i = 0; i < 4; i++) {
		sctp_out(lab, RED_IP, SCTP_INIT, TRANSLATED);
		sctp_in(lab, SCTP_DATA, TRANSLATED_TO_PEER);
		lab_clock_offset(lab, now_s += 3000);
		if (i < 2)
			sctp_out(lab, RED_IP, ends[i], TRANSLATED);
		else
			sctp_in(lab, ends[i - 2], TRANSLATED_TO_PEER);
		lab_clock_offset(lab, now_s + 230);
		sctp_in(lab, SCTP_DATA, TRANSLATED_TO_PEER); /* that was on its way */
		sctp_out(lab, BLUE_IP, SCTP_INIT, DROPPED(NAT_AMBIGUOUS));
		lab_clock_offset(lab, now_s += 245);
		sctp_out(lab, BLUE_IP, SCTP_INIT, TRANSLATED);
		lab_expect_no_flows(lab);
	}
}

/* Another association of the same two, or an end that was forged: all goes on. */
static void test_end_of_one(void **state)
{
	struct lab *lab = lab_of(state);

	sctp_out(lab, RED_IP, SCTP_INIT, TRANSLATED);
	sctp_in(lab, SCTP_ABORT, TRANSLATED_TO_PEER);
	sctp_out(lab, RED_IP, SCTP_DATA, TRANSLATED);
	lab_clock_offset(lab, 7400);
	sctp_in(lab, SCTP_DATA, TRANSLATED_TO_PEER);
	sctp_out(lab, BLUE_IP, SCTP_INIT, DROPPED(NAT_AMBIGUOUS));
	sctp_out(lab, RED_IP, SCTP_SHUTDOWN_COMPLETE, TRANSLATED);
	lab_clock_offset(lab, 7400 + 245);
	sctp_out(lab, BLUE_IP, SCTP_INIT, TRANSLATED);
	expect_sessions(lab, 1);
	lab_expect_no_flows(lab);
}

static void test_limit(void **state)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);

	settings.flows_max = 2;
	lab_inside_set(lab, "192.168.15.0/24", UP0, &settings);
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_GRE);
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_ESP);
	portless_expect_refused(lab, RED_IP, REMOTE_IP, ANY, DROPPED(NAT_LIMIT));
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_GRE);
	portless_expect_out(lab, BLUE_IP, REMOTE_IP, ANY);
	assert_int_equal(lab_flows_of(lab, RED), 2);
	lab_expect_no_flows(lab);
}

static void test_table_full(void **state)
{
	static struct nsr_session_bits full;
	struct lab *lab = lab_of(state);
	uint32_t zero = 0;

	memset(&full, 0xff, sizeof(full));
	assert_int_equal(
		bpf_map_update_elem(lab->datapath->maps[MAP_session_bits], &zero, &full, BPF_ANY),
		0);
	portless_expect_refused(lab, RED_IP, REMOTE_IP, IPPROTO_GRE, DROPPED(NAT_SESSIONS));
	assert_int_equal(lab_flows_of(lab, RED), 0);
}

/* What "nat flush" and "nat list" select: a protocol by its number, ports of nothing. */
static void test_selected(void **state)
{
	struct nsr_selection gre = {.protocol = 1 + NSR_NAT_OTHER,
				    .inside_first = IPPROTO_GRE,
				    .inside_last = IPPROTO_GRE};
	struct nsr_selection port = {.port = IPPROTO_ESP};
	struct lab *lab = lab_of(state);
	uint64_t ended;

	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_GRE);
	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_ESP);
	assert_int_equal(datapath_flush(lab->datapath, &port, &ended, &lab->err), 0);
	assert_int_equal(ended, 0);
	assert_int_equal(datapath_flush(lab->datapath, &gre, &ended, &lab->err), 0);
	assert_int_equal(ended, 1);
	portless_expect_passed(lab, REMOTE_IP, IPPROTO_GRE);
	portless_expect_in(lab, REMOTE_IP, IPPROTO_ESP);
}

/* ---- Fragments: each by itself, in any order. */

static void piece(struct frame *f, const char *source, const char *dest, uint16_t fragment)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = source, .dest = dest,
	      .protocol = IPPROTO_GRE, .fragment = fragment, .payload = 596, .id = 77);
}

static void test_fragments(void **state)
{
	static const uint16_t order[] = {75, 0 | MORE, 75 | MORE};
	struct lab *lab = lab_of(state);
	struct frame f, wanted;
	struct run *run;
	uint16_t id = 0;
	size_t i;

	for (i = 0; i < 3; i++) {
		piece(&f, RED_IP, REMOTE_IP, order[i]);
		piece(&wanted, UPLINK_IP, REMOTE_IP, order[i]);
		run = EXPECT_OUT(lab, UP0, &f, TRANSLATED);
		id = i ? id : frame_ip4(&run->out)->id;
		frame_ip4(&wanted)->id = id;
		frame_seal(&wanted);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	}
	for (i = 0; i < 3; i++) {
		FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
		      .protocol = IPPROTO_GRE, .fragment = order[i], .payload = 596, .id = 78);
		FRAME(&wanted, .to = mac_red, .from = mac_br1, .source = REMOTE_IP, .dest = RED_IP,
		      .protocol = IPPROTO_GRE, .fragment = order[i], .payload = 596, .id = 78,
		      .ttl = 63);
		run = EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	}
	piece(&f, BLUE_IP, REMOTE_IP, 75);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_AMBIGUOUS));
	assert_int_equal(lab_entries(lab, MAP_held_fragments), 0);
	lab_expect_no_flows(lab);
}

/* ---- ICMP errors. */

static const struct {
	uint8_t type, code;
	uint16_t mtu;
} kinds[] = {
	{FRAME_UNREACHABLE, 2, 0},
	{FRAME_UNREACHABLE, 4, 1280},
	{FRAME_TIME_EXCEEDED, 0, 0},
	{FRAME_PARAMETER, 0, 0},
};

static void icmp_error(struct frame *f, const char *source, const char *dest, size_t kind,
		       const struct frame *about)
{
	FRAME(f, .to = mac_up0, .from = mac_router, .source = source, .dest = dest,
	      .protocol = IPPROTO_ICMP, .icmp_type = kinds[kind].type,
	      .icmp_code = kinds[kind].code, .icmp_mtu = kinds[kind].mtu, .quoted = about,
	      .quoted_beyond = kind ? 0 : 4);
}

/* As red gets it. */
static void hopped(struct frame *f)
{
	memcpy(f->bytes, mac_red, 6);
	memcpy(f->bytes + 6, mac_br1, 6);
	frame_ip4(f)->ttl--;
	frame_seal(f);
}

static void test_errors_in(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about, wanted;
	struct run *run;
	size_t i, kind;

	for (i = 0; i < sizeof(protocols); i++) {
		portless_leaves(&about, UPLINK_IP, REMOTE_IP, protocols[i]);
		icmp_error(&f, ROUTER_IP, UPLINK_IP, 0, &about);
		EXPECT_IN(lab, UP0, &f, PASSED); /* about nothing that we know */
		portless_expect_out(lab, RED_IP, REMOTE_IP, protocols[i]);
		for (kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
			portless_leaves(&about, UPLINK_IP, REMOTE_IP, protocols[i]);
			icmp_error(&f, ROUTER_IP, UPLINK_IP, kind, &about);
			run = EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
			portless_leaves(&about, RED_IP, REMOTE_IP, protocols[i]);
			icmp_error(&wanted, ROUTER_IP, RED_IP, kind, &about);
			hopped(&wanted);
			assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
		}
	}
	/* The host's own: its packet is quoted. */
	portless_host_sends(lab, REMOTE_IP, IPPROTO_GRE);
	portless_leaves(&about, UPLINK_IP, REMOTE_IP, IPPROTO_GRE);
	icmp_error(&f, ROUTER_IP, UPLINK_IP, 0, &about);
	EXPECT_IN(lab, UP0, &f, PASSED);
}

/* From red, the gateway and the host, about what came in for red. */
static void test_errors_out(void **state)
{
	static const char *const sources[][2] = {
		{RED_IP, UPLINK_IP}, {GATEWAY_IP, UPLINK_IP}, {UPLINK_IP, UPLINK_IP}};
	struct lab *lab = lab_of(state);
	struct frame f, inside, outside, wanted;
	struct run *run;
	size_t i, kind;

	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_ESP);
	portless_leaves(&inside, REMOTE_IP, RED_IP, IPPROTO_ESP);
	portless_leaves(&outside, REMOTE_IP, UPLINK_IP, IPPROTO_ESP);
	for (i = 0; i < 3; i++) {
		for (kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
			icmp_error(&f, sources[i][0], REMOTE_IP, kind, &inside);
			run = EXPECT_OUT(lab, UP0, &f, TRANSLATED);
			icmp_error(&wanted, sources[i][1], REMOTE_IP, kind, &outside);
			assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
		}
	}
	/* Blue did not get it, nor has red a session of this protocol or with this remote. */
	portless_leaves(&inside, REMOTE_IP, BLUE_IP, IPPROTO_ESP);
	icmp_error(&f, BLUE_IP, REMOTE_IP, 0, &inside);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
	portless_leaves(&inside, REMOTE_IP, RED_IP, IPPROTO_GRE);
	icmp_error(&f, RED_IP, REMOTE_IP, 0, &inside);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
	portless_leaves(&inside, REMOTE2_IP, RED_IP, IPPROTO_ESP);
	icmp_error(&f, RED_IP, REMOTE2_IP, 0, &inside);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
}

/* RFC 5508 REQ-6: an error does not keep a session alive. */
static void test_errors_refresh_nothing(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about;

	portless_expect_out(lab, RED_IP, REMOTE_IP, IPPROTO_GRE);
	portless_leaves(&about, UPLINK_IP, REMOTE_IP, IPPROTO_GRE);
	icmp_error(&f, ROUTER_IP, UPLINK_IP, 0, &about);
	lab_clock_offset(lab, 500);
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	lab_clock_offset(lab, 602);
	EXPECT_IN(lab, UP0, &f, PASSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_both_ways),
		LAB_TEST(test_ambiguous),
		LAB_TEST(test_uplinks_apart),
		LAB_TEST(test_refused),
		LAB_TEST(test_options),
		LAB_TEST(test_short),
		LAB_TEST(test_port),
		LAB_TEST(test_timeouts),
		LAB_TEST(test_end_opens_nothing),
		LAB_TEST(test_end_makes_room),
		LAB_TEST(test_end_of_one),
		LAB_TEST(test_limit),
		LAB_TEST(test_table_full),
		LAB_TEST(test_selected),
		LAB_TEST(test_fragments),
		LAB_TEST(test_errors_in),
		LAB_TEST(test_errors_out),
		LAB_TEST(test_errors_refresh_nothing),
	};

	return LAB_MAIN(tests);
}
