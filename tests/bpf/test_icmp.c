/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors about translated packets, both ways: each type that is translated, about each
 * protocol, with quotes of every length, with and without IP options and checksums.
 *
 * What is wanted is built from the start with the other addresses, never derived from what the
 * programs made, and compared byte by byte. So a wrong checksum anywhere, in the quote too, shows.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <string.h>

#include "datapath_maps.h"

#define ROUTER_IP "198.51.100.77"
#define MTU       1280

/* A way to send, and the external port that red's end of it has. */
struct flow {
	uint8_t protocol, ip_options;
	bool no_checksum;
	uint16_t inside, external;
};

struct kind {
	uint8_t type, code;
	uint16_t mtu;
};

static const struct kind kinds[] = {
	{FRAME_UNREACHABLE, 1, 0},   {FRAME_UNREACHABLE, 3, 0}, {FRAME_UNREACHABLE, 4, MTU},
	{FRAME_TIME_EXCEEDED, 0, 0}, {FRAME_PARAMETER, 0, 0},
};

/* Of the quoted packet behind its IP header: the least, just without and with the checksum of TCP,
 * and more than there is. */
static const uint16_t quoted[] = {8, 16, 18, 20, 1000};

/* What red sends to the remote, as it is inside or outside. */
static void outgoing(struct frame *f, const struct flow *flow, bool outside)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = outside ? UPLINK_IP : RED_IP,
	      .dest = REMOTE_IP, .protocol = flow->protocol,
	      .sport = outside ? flow->external : flow->inside, .dport = 80, .tcp_flags = FRAME_ACK,
	      .icmp_type = FRAME_ECHO_REQUEST, .ip_options = flow->ip_options,
	      .no_checksum = flow->no_checksum, .payload = 33);
}

/* And what the remote answers. */
static void incoming(struct frame *f, const struct flow *flow, bool outside)
{
	uint16_t port = outside ? flow->external : flow->inside;

	FRAME(f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP,
	      .dest = outside ? UPLINK_IP : RED_IP, .protocol = flow->protocol,
	      .sport = flow->protocol == IPPROTO_ICMP ? port : 80, .dport = port,
	      .tcp_flags = FRAME_ACK, .icmp_type = FRAME_ECHO_REPLY, .ip_options = flow->ip_options,
	      .no_checksum = flow->no_checksum, .payload = 33);
}

/* Opens red's flow; ports below the range are changed. */
static struct flow open_flow(struct lab *lab, uint8_t protocol, uint16_t port)
{
	struct flow flow = {.protocol = protocol, .inside = port};
	struct frame f;

	outgoing(&f, &flow, false);
	flow.external = frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
	return flow;
}

static void error_in(struct frame *f, const struct kind *kind, const struct frame *about,
		     uint16_t beyond)
{
	FRAME(f, .to = mac_up0, .from = mac_router, .source = ROUTER_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = kind->type, .icmp_code = kind->code,
	      .icmp_mtu = kind->mtu, .quoted = about, .quoted_beyond = beyond);
}

static void expect_error_in(struct lab *lab, const struct flow *flow, const struct kind *kind,
			    uint16_t beyond)
{
	struct frame f, about, wanted;
	struct run *run;

	outgoing(&about, flow, true);
	error_in(&f, kind, &about, beyond);
	run = EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	assert_int_equal(run->delivered, RED);
	outgoing(&about, flow, false);
	FRAME(&wanted, .to = mac_red, .from = mac_br1, .source = ROUTER_IP, .dest = RED_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = kind->type, .icmp_code = kind->code,
	      .icmp_mtu = kind->mtu, .quoted = &about, .quoted_beyond = beyond, .ttl = 63);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
}

static void error_out(struct frame *f, const char *source, const struct kind *kind,
		      const struct frame *about, uint16_t beyond)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = source, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = kind->type, .icmp_code = kind->code,
	      .icmp_mtu = kind->mtu, .quoted = about, .quoted_beyond = beyond);
}

/* From an inside host, the gateway, the host's uplink and another address of the host's. */
static void expect_error_out(struct lab *lab, const struct flow *flow, const struct kind *kind,
			     uint16_t beyond)
{
	static const char *const sources[][2] = {{RED_IP, UPLINK_IP},
						 {GATEWAY_IP, UPLINK_IP},
						 {UPLINK_IP, UPLINK_IP},
						 {"10.9.0.1", "10.9.0.1"}};
	struct frame f, inside, outside, wanted;
	struct run *run;
	size_t i;

	incoming(&inside, flow, false);
	incoming(&outside, flow, true);
	for (i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		error_out(&f, sources[i][0], kind, &inside, beyond);
		run = EXPECT_OUT(lab, UP0, &f, TRANSLATED);
		error_out(&wanted, sources[i][1], kind, &outside, beyond);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	}
}

/* Every kind, with quotes of every length, about packets with and without options and checksums. */
static void expect_matrix(struct lab *lab, struct flow flow)
{
	size_t kind, length;

	for (flow.ip_options = 0; flow.ip_options <= 40; flow.ip_options += 20) {
		for (kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
			for (length = 0; length < sizeof(quoted) / sizeof(quoted[0]); length++) {
				expect_error_in(lab, &flow, &kinds[kind], quoted[length]);
				expect_error_out(lab, &flow, &kinds[kind], quoted[length]);
			}
		}
	}
}

static void test_matrix(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};
	struct lab *lab = lab_of(state);
	struct flow flow;
	size_t i;

	for (i = 0; i < sizeof(protocols); i++) {
		expect_matrix(lab, open_flow(lab, protocols[i], 4321));
		flow = open_flow(lab, protocols[i], 53);
		assert_int_not_equal(flow.external, 53);
		expect_matrix(lab, flow);
	}
	flow = open_flow(lab, IPPROTO_UDP, 54);
	flow.no_checksum = true;
	expect_matrix(lab, flow);
	lab_expect_no_flows(lab);
}

/* A quote that ends before the eight bytes, is of a later fragment, or of another protocol, names
 * no session; nor does one of a packet that nobody sent. All are the host's, untouched. */
static void test_not_ours(void **state)
{
	struct lab *lab = lab_of(state);
	struct flow flow = open_flow(lab, IPPROTO_UDP, 4321), other = flow;
	struct frame f, about;

	outgoing(&about, &flow, true);
	error_in(&f, &kinds[0], &about, 7);
	EXPECT_IN(lab, UP0, &f, PASSED);
	frame_ip4(&about)->frag_off = htons(8);
	frame_seal(&about);
	error_in(&f, &kinds[0], &about, 0);
	EXPECT_IN(lab, UP0, &f, PASSED);
	other.protocol = 47;
	outgoing(&about, &other, true);
	error_in(&f, &kinds[0], &about, 0);
	EXPECT_IN(lab, UP0, &f, PASSED);
	other = flow;
	other.external++;
	outgoing(&about, &other, true);
	error_in(&f, &kinds[0], &about, 0);
	EXPECT_IN(lab, UP0, &f, PASSED);
	other = flow;
	other.protocol = IPPROTO_TCP;
	outgoing(&about, &other, true);
	error_in(&f, &kinds[0], &about, 0);
	EXPECT_IN(lab, UP0, &f, PASSED);
	/* A mapping, but no session with this remote. */
	outgoing(&about, &flow, true);
	frame_ip4(&about)->daddr = address4(REMOTE2_IP);
	frame_seal(&about);
	error_in(&f, &kinds[0], &about, 0);
	EXPECT_IN(lab, UP0, &f, PASSED);
	/* Sent by another address of the host's. */
	outgoing(&about, &flow, true);
	frame_ip4(&about)->saddr = address4("10.9.0.1");
	frame_seal(&about);
	error_in(&f, &kinds[0], &about, 0);
	EXPECT_IN(lab, UP0, &f, PASSED);
	/* An echo request that came from here is no answer of ours. */
	flow = open_flow(lab, IPPROTO_ICMP, 4321);
	outgoing(&about, &flow, true);
	*(uint8_t *)frame_transport(&about) = FRAME_ECHO_REPLY;
	frame_seal(&about);
	error_in(&f, &kinds[0], &about, 0);
	EXPECT_IN(lab, UP0, &f, PASSED);
}

/* Redirects and what else is no error are the host's on the way in. */
static void test_other_types(void **state)
{
	static const uint8_t types[] = {4, 5, 13, 17, 255}, queries[] = {13, 14, 15, 17};
	struct lab *lab = lab_of(state);
	struct flow flow = open_flow(lab, IPPROTO_UDP, 4321);
	struct kind kind = {0};
	struct frame f, about;
	size_t i;

	outgoing(&about, &flow, true);
	for (i = 0; i < sizeof(types); i++) {
		kind.type = types[i];
		error_in(&f, &kind, &about, 0);
		EXPECT_IN(lab, UP0, &f, PASSED);
	}
	/* RFC 5508 REQ-10b, c: queries that are no echo. */
	for (i = 0; i < sizeof(queries); i++) {
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
		      .protocol = IPPROTO_ICMP, .icmp_type = queries[i], .sport = 7);
		EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PROTOCOL));
	}
}

/* What would show an inside address is dropped when it cannot be translated. */
static void test_fails_closed(void **state)
{
	struct lab *lab = lab_of(state);
	struct flow flow = open_flow(lab, IPPROTO_UDP, 4321), other = flow;
	static const char *const sources[] = {RED_IP, GATEWAY_IP, UPLINK_IP, "10.9.0.1"};
	struct kind quench = {.type = 4};
	struct frame f, about;
	size_t i;

	other.inside++;
	for (i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		incoming(&about, &other, false); /* no session */
		error_out(&f, sources[i], &kinds[0], &about, 0);
		EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
		outgoing(&about, &flow, false); /* it did not come from the outside */
		error_out(&f, sources[i], &kinds[0], &about, 0);
		EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
		incoming(&about, &flow, false);
		error_out(&f, sources[i], &quench, &about, 0);
		EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
		error_out(&f, sources[i], &kinds[0], &about, 7); /* cut off */
		EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
		error_out(&f, sources[i], &kinds[0], &about, 0); /* to somebody else */
		frame_ip4(&f)->daddr = address4(REMOTE2_IP);
		frame_seal(&f);
		EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
		frame_ip4(&about)->frag_off = htons(8);
		frame_seal(&about);
		error_out(&f, sources[i], &kinds[0], &about, 0);
		EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
		f.length = ETH_HLEN + 20 + 8 + 19; /* not even an IP header */
		frame_ip4(&f)->tot_len = htons((uint16_t)(f.length - ETH_HLEN));
		frame_seal(&f);
		EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
	}
	/* Nor by an uplink that another network masquerades to. */
	incoming(&about, &flow, false);
	error_out(&f, RED_IP, &kinds[0], &about, 0);
	EXPECT_OUT(lab, UP1, &f, DROPPED(WRONG_UPLINK));
	error_out(&f, UPLINK2_IP, &kinds[0], &about, 0);
	EXPECT_OUT(lab, UP1, &f, DROPPED(NAT_ICMP_ERROR));
}

/* The host's own in fragments: the first has the quote. */
static void test_first_fragment(void **state)
{
	static const char *const sources[] = {UPLINK_IP, "10.9.0.1"};
	struct lab *lab = lab_of(state);
	struct flow flow = {.protocol = IPPROTO_UDP, .inside = 4321};
	struct frame f, about;
	size_t i;

	for (i = 0; i < 2; i++) {
		incoming(&about, &flow, false);
		error_out(&f, sources[i], &kinds[0], &about, 0);
		frame_ip4(&f)->frag_off = htons(0x2000);
		frame_seal(&f);
		EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
		frame_ip4(&f)->frag_off = htons(4); /* another: no quote */
		frame_seal(&f);
		EXPECT_OUT(lab, UP0, &f, PASSED);
	}
}

/* A record of where it was, in the quote or in its own options. */
static void test_recorded_route(void **state)
{
	static const uint8_t record[] = {7, 7, 8, 192, 168, 15, 1};
	struct lab *lab = lab_of(state);
	struct flow flow = open_flow(lab, IPPROTO_UDP, 4321);
	struct frame f, about;

	flow.ip_options = 20;
	incoming(&about, &flow, false);
	error_out(&f, RED_IP, &kinds[0], &about, 0);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	memcpy(frame_ip4(&about) + 1, record, sizeof(record));
	frame_seal(&about);
	error_out(&f, RED_IP, &kinds[0], &about, 0);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
}

/* RFC 5508 REQ-6: an error neither ends a session nor keeps it alive. */
static void test_session_untouched(void **state)
{
	struct lab *lab = lab_of(state);
	struct flow flow = open_flow(lab, IPPROTO_UDP, 4321);
	struct frame f, about;

	expect_error_in(lab, &flow, &kinds[1], 8);
	expect_error_out(lab, &flow, &kinds[1], 8);
	assert_int_equal(lab_active_sessions(lab), 1);
	lab_clock_offset(lab, 100);
	expect_error_in(lab, &flow, &kinds[1], 8);
	expect_error_out(lab, &flow, &kinds[1], 8);
	lab_clock_offset(lab, 122); /* 120 s without a packet and without a reply: it is over */
	outgoing(&about, &flow, true);
	error_in(&f, &kinds[1], &about, 8);
	EXPECT_IN(lab, UP0, &f, PASSED);
	incoming(&about, &flow, false);
	error_out(&f, RED_IP, &kinds[1], &about, 8);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
}

/* Too old for another hop, or to a namespace that takes nothing from us: the kernel has it then. */
static void test_left_to_the_kernel_translated(void **state)
{
	struct lab *lab = lab_of(state);
	struct flow flow = open_flow(lab, IPPROTO_TCP, 4321);
	struct nsr_endpoint red = lab_endpoint(lab, RED);
	struct frame f, about, wanted;
	struct run *run;

	red.flags = 0;
	lab_host_set(lab, RED_IP, &red);
	outgoing(&about, &flow, true);
	error_in(&f, &kinds[2], &about, 20);
	run = EXPECT_IN(lab, UP0, &f, TRANSLATED);
	outgoing(&about, &flow, false);
	error_in(&wanted, &kinds[2], &about, 20);
	frame_ip4(&wanted)->daddr = address4(RED_IP);
	frame_seal(&wanted);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
}

/* Sums that are wrong stay wrong: nobody is to believe what was damaged on its way. */
static void test_damaged(void **state)
{
	struct lab *lab = lab_of(state);
	struct flow flow = open_flow(lab, IPPROTO_UDP, 53);
	struct frame f, about;
	struct run *run;

	outgoing(&about, &flow, true);
	error_in(&f, &kinds[0], &about, 0);
	f.bytes[f.length - 1] ^= 1;
	assert_non_null(frame_fault(&f));
	run = EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	assert_non_null(frame_fault(&run->out));
}

/* RFC 5508 REQ-3a: a quoted header that is damaged, in its options too, names no session. */
static void test_damaged_quote(void **state)
{
	struct lab *lab = lab_of(state);
	struct flow flow = open_flow(lab, IPPROTO_UDP, 4321);
	struct frame f, about;
	uint8_t *options;

	for (flow.ip_options = 0; flow.ip_options <= 40; flow.ip_options += 20) {
		outgoing(&about, &flow, true);
		frame_ip4(&about)->ttl ^= 1; /* and the sum as it was */
		error_in(&f, &kinds[1], &about, 0);
		EXPECT_IN(lab, UP0, &f, PASSED);
		incoming(&about, &flow, false);
		frame_ip4(&about)->ttl ^= 1;
		error_out(&f, RED_IP, &kinds[1], &about, 0);
		EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
	}
	flow.ip_options = 20;
	outgoing(&about, &flow, true);
	options = (uint8_t *)(frame_ip4(&about) + 1);
	options[19] ^= 1;
	error_in(&f, &kinds[1], &about, 0);
	EXPECT_IN(lab, UP0, &f, PASSED);
	options[19] ^= 1;
	error_in(&f, &kinds[1], &about, 0);
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
}

/* The bytes behind the quote, extensions of RFC 4884 say, are not taken for a checksum. */
static void test_extension(void **state)
{
	struct lab *lab = lab_of(state);
	struct flow flow = open_flow(lab, IPPROTO_TCP, 53);
	struct frame f, about, wanted;
	struct run *run;
	uint8_t *behind;

	outgoing(&about, &flow, true);
	error_in(&f, &kinds[3], &about, 8);
	behind = f.bytes + f.length;
	memset(behind, 0x5a, 40);
	f.length += 40;
	frame_ip4(&f)->tot_len = htons((uint16_t)(f.length - ETH_HLEN));
	/* The quoted packet says that it ended with what is quoted of it. */
	frame_ip4(&about)->tot_len = htons(28);
	frame_seal(&about);
	memcpy(f.bytes + ETH_HLEN + 28, frame_ip4(&about), 20);
	frame_seal(&f);
	run = EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	wanted = run->out;
	assert_memory_equal(wanted.bytes + ETH_HLEN + 28 + 28, behind, 40);
}

/* An echo that a port's hook has translated is counted as such; the host's own is not, nor what
 * netfilter has masqueraded for somebody else. */
static void test_echo_of_a_port(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .sport = 4321, .icmp_type = FRAME_ECHO_REQUEST);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	lab->came_in = lab->port[RED];
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	lab->came_in = lab->elsewhere;
	EXPECT_OUT(lab, UP0, &f, PASSED);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP);
	EXPECT_OUT(lab, UP0, &f, PASSED);
	lab->came_in = lab->port[RED];
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	lab->came_in = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_matrix),
		LAB_TEST(test_not_ours),
		LAB_TEST(test_other_types),
		LAB_TEST(test_fails_closed),
		LAB_TEST(test_first_fragment),
		LAB_TEST(test_recorded_route),
		LAB_TEST(test_session_untouched),
		LAB_TEST(test_left_to_the_kernel_translated),
		LAB_TEST(test_damaged),
		LAB_TEST(test_damaged_quote),
		LAB_TEST(test_extension),
		LAB_TEST(test_echo_of_a_port),
	};

	return LAB_MAIN(tests);
}
