/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Protocols without ports that we know: SCTP, GRE, ESP and any other, by address where that is not
 * ambiguous. What the families have in common; of IPv6 there is more in test_other6.c.
 *
 * What is wanted is built from the start with the other addresses and compared byte by byte:
 * nothing but an address and the IP header's checksum may be another.
 */
#include "portless.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <string.h>

#include "datapath_maps.h"

#define ANY  (family->protocols[4])
#define MORE 0x2000

/* ---- Whole packets. */

static void test_both_ways(void **state)
{
	struct lab *lab = lab_of(state);
	size_t i;

	for (i = 0; i < sizeof(family->protocols); i++) {
		portless_expect_out(lab, family->red, family->remote, family->protocols[i]);
		portless_expect_in(lab, family->remote, family->protocols[i]);
		portless_expect_out(lab, family->red, family->remote, family->protocols[i]);
		portless_expect_sessions(lab, (uint32_t)i + 1);
		portless_expect_passed(lab, family->remote2,
				       family->protocols[i]); /* of whom red has not heard */
	}
	assert_int_equal(portless_nat(lab, UP0).sessions_created[NSR_NAT_OTHER], i);
	assert_int_equal(lab_flows_of(lab, RED), i);
	assert_int_equal(lab_sum(portless_nat(lab, UP0).mappings_created), 0);
	lab_expect_no_flows(lab);
	portless_expect_passed(lab, family->remote, IPPROTO_GRE);
}

/* One inside address speaks a protocol to a remote; others are dropped while it does. */
static void test_ambiguous(void **state)
{
	struct lab *lab = lab_of(state);

	portless_expect_out(lab, family->red, family->remote, IPPROTO_GRE);
	portless_expect_refused(lab, family->blue, family->remote, IPPROTO_GRE,
				DROPPED(NAT_AMBIGUOUS));
	portless_expect_refused(lab, family->third, family->remote, IPPROTO_GRE,
				DROPPED(NAT_AMBIGUOUS));
	portless_expect_sessions(lab, 1);
	assert_int_equal(lab_flows_of(lab, BLUE), 0);
	portless_expect_out(lab, family->blue, family->remote, IPPROTO_ESP);
	portless_expect_out(lab, family->blue, family->remote2, IPPROTO_GRE);
	portless_expect_out(lab, family->red, family->remote, IPPROTO_GRE);
	portless_expect_in(lab, family->remote, IPPROTO_GRE);
	portless_expect_sessions(lab, 3);
	/* Red's is over: the first who comes has it. */
	lab_clock_offset(lab, 601);
	portless_expect_out(lab, family->blue, family->remote, IPPROTO_GRE);
	portless_expect_refused(lab, family->red, family->remote, IPPROTO_GRE,
				DROPPED(NAT_AMBIGUOUS));
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
	portless_expect_sessions(lab, 2);
	lab_expect_no_flows(lab);
}

/* Checksums that cover addresses, groups, and nowhere. */
static void test_refused(void **state)
{
	struct lab *lab = lab_of(state);
	size_t i;

	for (i = 0; family->refused[i]; i++) {
		portless_expect_refused(lab, family->red, family->remote, family->refused[i],
					DROPPED(NAT_PROTOCOL));
		portless_expect_passed(lab, family->remote, family->refused[i]);
	}
	for (i = 0; i < 3; i++)
		portless_expect_refused(lab, family->red, family->nobody[i], IPPROTO_GRE,
					DROPPED(NAT_PROTOCOL));
	portless_expect_sessions(lab, 0);
}

/* 0 is no protocol of IPv4; and an uplink has to have an address. */
static void test_nothing(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	portless_leaves(&f, family->red, family->remote, ANY);
	frame_ip4(&f)->protocol = 0;
	frame_seal(&f);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PROTOCOL));
	lab_uplink_set(lab, UP0, NULL, LAB_PORT_MIN, LAB_PORT_MAX); /* no address */
	portless_expect_refused(lab, family->red, family->remote, IPPROTO_GRE, DROPPED(NAT_CLOSED));
	portless_expect_sessions(lab, 0);
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

	portless_expect_out(lab, family->red, family->remote, IPPROTO_SCTP);
	portless_expect_out(lab, family->red, family->remote, IPPROTO_GRE);
	lab_clock_offset(lab, 500);
	portless_expect_in(lab, family->remote,
			   IPPROTO_GRE); /* which does not refresh it: RFC 4787 REQ-6 */
	lab_clock_offset(lab, 601);
	portless_expect_passed(lab, family->remote, IPPROTO_GRE);
	lab_clock_offset(lab, 7300);
	portless_expect_in(lab, family->remote, IPPROTO_SCTP);
	portless_expect_out(lab, family->red, family->remote, IPPROTO_SCTP);
	lab_clock_offset(lab, 2 * 7300);
	portless_expect_in(lab, family->remote, IPPROTO_SCTP);
	lab_clock_offset(lab, 3 * 7300);
	portless_expect_passed(lab, family->remote, IPPROTO_SCTP);
	lab_clock_offset(lab, 4 * 7300); /* the host has not heard of it for long */
	settings.timeout_s[NSR_TIMEOUT_OTHER] = 1000;
	settings.timeout_s[NSR_TIMEOUT_SCTP] = 2000;
	lab_inside_set(lab, family->prefix, UP0, &settings);
	portless_expect_out(lab, family->red, family->remote, IPPROTO_SCTP);
	portless_expect_out(lab, family->red, family->remote, IPPROTO_ESP);
	lab_clock_offset(lab, 4 * 7300 + 800);
	portless_expect_in(lab, family->remote, IPPROTO_ESP);
	lab_clock_offset(lab, 4 * 7300 + 1500);
	portless_expect_passed(lab, family->remote, IPPROTO_ESP);
	portless_expect_in(lab, family->remote, IPPROTO_SCTP);
	lab_clock_offset(lab, 4 * 7300 + 2500);
	portless_expect_passed(lab, family->remote, IPPROTO_SCTP);
}

/* ---- SCTP associations. */

static void sctp_out(struct lab *lab, const char *source, uint8_t chunk, int outcome)
{
	struct frame f;

	portless_leaves(&f, source, family->remote, IPPROTO_SCTP);
	portless_set_chunk(&f, chunk);
	EXPECT_OUT(lab, UP0, &f, outcome);
}

static void sctp_in(struct lab *lab, uint8_t chunk, int outcome)
{
	struct frame f;

	portless_arrives(&f, family->remote, IPPROTO_SCTP);
	portless_set_chunk(&f, chunk);
	EXPECT_IN(lab, UP0, &f, outcome);
}

/* What ends an association opens no session, so nobody is kept out by it. */
static void test_end_opens_nothing(void **state)
{
	struct lab *lab = lab_of(state);

	sctp_out(lab, family->red, SCTP_ABORT, DROPPED(NAT_STATE));
	sctp_out(lab, family->red, SCTP_SHUTDOWN_COMPLETE, DROPPED(NAT_STATE));
	portless_expect_sessions(lab, 0);
	sctp_out(lab, family->blue, SCTP_INIT, TRANSLATED);
	sctp_out(lab, family->red, SCTP_ABORT, DROPPED(NAT_AMBIGUOUS));
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
		sctp_out(lab, family->red, SCTP_INIT, TRANSLATED);
		sctp_in(lab, SCTP_DATA, TRANSLATED_TO_PEER);
		lab_clock_offset(lab, now_s += 3000);
		if (i < 2)
			sctp_out(lab, family->red, ends[i], TRANSLATED);
		else
			sctp_in(lab, ends[i - 2], TRANSLATED_TO_PEER);
		lab_clock_offset(lab, now_s + 230);
		sctp_in(lab, SCTP_DATA, TRANSLATED_TO_PEER); /* that was on its way */
		sctp_out(lab, family->blue, SCTP_INIT, DROPPED(NAT_AMBIGUOUS));
		lab_clock_offset(lab, now_s += 245);
		sctp_out(lab, family->blue, SCTP_INIT, TRANSLATED);
		lab_expect_no_flows(lab);
	}
}

/* Another association of the same two, or an end that was forged: all goes on. */
static void test_end_of_one(void **state)
{
	struct lab *lab = lab_of(state);

	sctp_out(lab, family->red, SCTP_INIT, TRANSLATED);
	sctp_in(lab, SCTP_ABORT, TRANSLATED_TO_PEER);
	sctp_out(lab, family->red, SCTP_DATA, TRANSLATED);
	lab_clock_offset(lab, 7400);
	sctp_in(lab, SCTP_DATA, TRANSLATED_TO_PEER);
	sctp_out(lab, family->blue, SCTP_INIT, DROPPED(NAT_AMBIGUOUS));
	sctp_out(lab, family->red, SCTP_SHUTDOWN_COMPLETE, TRANSLATED);
	lab_clock_offset(lab, 7400 + 245);
	sctp_out(lab, family->blue, SCTP_INIT, TRANSLATED);
	portless_expect_sessions(lab, 1);
	lab_expect_no_flows(lab);
}

static void test_limit(void **state)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);

	settings.flows_max = 2;
	lab_inside_set(lab, family->prefix, UP0, &settings);
	portless_expect_out(lab, family->red, family->remote, IPPROTO_GRE);
	portless_expect_out(lab, family->red, family->remote, IPPROTO_ESP);
	portless_expect_refused(lab, family->red, family->remote, ANY, DROPPED(NAT_LIMIT));
	portless_expect_out(lab, family->red, family->remote, IPPROTO_GRE);
	portless_expect_out(lab, family->blue, family->remote, ANY);
	assert_int_equal(lab_flows_of(lab, RED), 2);
	lab_expect_no_flows(lab);
}

static void test_table_full(void **state)
{
	static union {
		struct nsr_session_bits ipv4;
		struct nsr_session_bits6 ipv6;
	} full;
	struct lab *lab = lab_of(state);
	uint32_t zero = 0;

	memset(&full, 0xff, sizeof(full));
	assert_int_equal(bpf_map_update_elem(lab->datapath->maps[family->session_bits], &zero,
					     &full, BPF_ANY),
			 0);
	portless_expect_refused(lab, family->red, family->remote, IPPROTO_GRE,
				DROPPED(NAT_SESSIONS));
	assert_int_equal(lab_flows_of(lab, RED), 0);
}

/* How many sessions are ended, of the family, by a protocol's number or a port. */
static uint64_t flush(struct lab *lab, uint8_t number, uint16_t port)
{
	struct nsr_selection selection = {.protocol = number ? 1 + NSR_NAT_OTHER : 0,
					  .inside_first = number,
					  .inside_last = number,
					  .port = port};
	struct nsr_selection6 selection6 = {.protocol = number ? 1 + NSR_NAT_OTHER : 0,
					    .inside_first = number,
					    .inside_last = number,
					    .port = port};
	uint64_t ended;

	assert_int_equal(family->session_bits == MAP_session_bits
				 ? datapath_flush(lab->datapath, &selection, &ended, &lab->err)
				 : datapath_flush6(lab->datapath, &selection6, &ended, &lab->err),
			 0);
	return ended;
}

/* What "nat flush" and "nat list" select: a protocol by its number, ports of nothing. */
static void test_selected(void **state)
{
	struct lab *lab = lab_of(state);

	portless_expect_out(lab, family->red, family->remote, IPPROTO_GRE);
	portless_expect_out(lab, family->red, family->remote, IPPROTO_ESP);
	assert_int_equal(flush(lab, 0, IPPROTO_ESP), 0);
	assert_int_equal(flush(lab, IPPROTO_GRE, 0), 1);
	portless_expect_passed(lab, family->remote, IPPROTO_GRE);
	portless_expect_in(lab, family->remote, IPPROTO_ESP);
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
		piece(&f, family->red, family->remote, order[i]);
		piece(&wanted, family->external, family->remote, order[i]);
		run = EXPECT_OUT(lab, UP0, &f, TRANSLATED);
		id = i ? id : frame_ip4(&run->out)->id;
		frame_ip4(&wanted)->id = id;
		frame_seal(&wanted);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	}
	for (i = 0; i < 3; i++) {
		FRAME(&f, .to = mac_up0, .from = mac_router, .source = family->remote,
		      .dest = family->external, .protocol = IPPROTO_GRE, .fragment = order[i],
		      .payload = 596, .id = 78);
		FRAME(&wanted, .to = mac_red, .from = mac_br1, .source = family->remote,
		      .dest = family->red, .protocol = IPPROTO_GRE, .fragment = order[i],
		      .payload = 596, .id = 78, .ttl = 63);
		run = EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	}
	piece(&f, family->blue, family->remote, 75);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_AMBIGUOUS));
	assert_int_equal(lab_entries(lab, MAP_held_fragments), 0);
	lab_expect_no_flows(lab);
}

/* ---- ICMP errors. */

#define KINDS (sizeof(family->errors) / sizeof(family->errors[0]))

static void icmp_error(struct frame *f, const char *source, const char *dest, size_t kind,
		       const struct frame *about)
{
	FRAME(f, .to = mac_up0, .from = mac_router, .source = source, .dest = dest,
	      .protocol = family->icmp, .icmp_type = family->errors[kind].type,
	      .icmp_code = family->errors[kind].code, .icmp_mtu = family->errors[kind].mtu,
	      .quoted = about, .quoted_beyond = kind ? 0 : 4);
}

/* As red gets it. */
static void hopped(struct frame *f)
{
	memcpy(f->bytes, mac_red, 6);
	memcpy(f->bytes + 6, mac_br1, 6);
	if (family->icmp == FRAME_ICMPV6)
		frame_ip6(f)->hop_limit--;
	else
		frame_ip4(f)->ttl--;
	frame_seal(f);
}

static void test_errors_in(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about, wanted;
	struct run *run;
	size_t i, kind;

	for (i = 0; i < sizeof(family->protocols); i++) {
		portless_leaves(&about, family->external, family->remote, family->protocols[i]);
		icmp_error(&f, family->router, family->external, 0, &about);
		EXPECT_IN(lab, UP0, &f, PASSED); /* about nothing that we know */
		portless_expect_out(lab, family->red, family->remote, family->protocols[i]);
		for (kind = 0; kind < KINDS; kind++) {
			portless_leaves(&about, family->external, family->remote,
					family->protocols[i]);
			icmp_error(&f, family->router, family->external, kind, &about);
			run = EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
			portless_leaves(&about, family->red, family->remote, family->protocols[i]);
			icmp_error(&wanted, family->router, family->red, kind, &about);
			hopped(&wanted);
			assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
		}
	}
	/* The host's own: its packet is quoted. */
	portless_host_sends(lab, family->remote, IPPROTO_GRE);
	portless_leaves(&about, family->external, family->remote, IPPROTO_GRE);
	icmp_error(&f, family->router, family->external, 0, &about);
	EXPECT_IN(lab, UP0, &f, PASSED);
}

/* From red, the gateway and the host, about what came in for red. */
static void test_errors_out(void **state)
{
	const char *const sources[][2] = {{family->red, family->external},
					  {family->gateway, family->external},
					  {family->external, family->external}};
	struct lab *lab = lab_of(state);
	struct frame f, inside, outside, wanted;
	struct run *run;
	size_t i, kind;

	portless_expect_out(lab, family->red, family->remote, IPPROTO_ESP);
	portless_leaves(&inside, family->remote, family->red, IPPROTO_ESP);
	portless_leaves(&outside, family->remote, family->external, IPPROTO_ESP);
	for (i = 0; i < 3; i++) {
		for (kind = 0; kind < KINDS; kind++) {
			icmp_error(&f, sources[i][0], family->remote, kind, &inside);
			run = EXPECT_OUT(lab, UP0, &f, TRANSLATED);
			icmp_error(&wanted, sources[i][1], family->remote, kind, &outside);
			assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
		}
	}
	/* Blue did not get it, nor has red a session of this protocol or with this remote. */
	portless_leaves(&inside, family->remote, family->blue, IPPROTO_ESP);
	icmp_error(&f, family->blue, family->remote, 0, &inside);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
	portless_leaves(&inside, family->remote, family->red, IPPROTO_GRE);
	icmp_error(&f, family->red, family->remote, 0, &inside);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
	portless_leaves(&inside, family->remote2, family->red, IPPROTO_ESP);
	icmp_error(&f, family->red, family->remote2, 0, &inside);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
}

/* RFC 5508 REQ-6: an error does not keep a session alive. */
static void test_errors_refresh_nothing(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about;

	portless_expect_out(lab, family->red, family->remote, IPPROTO_GRE);
	portless_leaves(&about, family->external, family->remote, IPPROTO_GRE);
	icmp_error(&f, family->router, family->external, 0, &about);
	lab_clock_offset(lab, 500);
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	lab_clock_offset(lab, 602);
	EXPECT_IN(lab, UP0, &f, PASSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PORTLESS_TEST(test_both_ways),
		PORTLESS_TEST(test_ambiguous),
		PORTLESS_TEST4(test_uplinks_apart),
		PORTLESS_TEST(test_refused),
		PORTLESS_TEST4(test_nothing),
		PORTLESS_TEST4(test_options),
		PORTLESS_TEST4(test_short),
		PORTLESS_TEST4(test_port),
		PORTLESS_TEST(test_timeouts),
		PORTLESS_TEST(test_end_opens_nothing),
		PORTLESS_TEST(test_end_makes_room),
		PORTLESS_TEST(test_end_of_one),
		PORTLESS_TEST(test_limit),
		PORTLESS_TEST(test_table_full),
		PORTLESS_TEST(test_selected),
		PORTLESS_TEST4(test_fragments),
		PORTLESS_TEST(test_errors_in),
		PORTLESS_TEST(test_errors_out),
		PORTLESS_TEST(test_errors_refresh_nothing),
	};

	return LAB_MAIN(tests);
}
