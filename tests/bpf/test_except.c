/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Destinations that a masqueraded network reaches untranslated, and that reach it straight, of both
 * families: what is listed passes as it is, and nothing else of inside does.
 *
 * That what passes is untouched is looked at by lab_expect(), with each packet.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <string.h>

#include "datapath_maps.h"
#include "datapath_publish.h"

#define MORE      0x2000
#define PORT      4321 /* red's; the remote's is 80 */
#define GRE       47
#define AH        51 /* which cannot be translated */
#define OWN_NETNS (-1)

static const struct family {
	const char *red, *blue, *green, *remote, *remote2, *uplink, *prefix, *prefix2, *gateway,
		*nobody, *router, *inside, *listed, *listed2;
	uint8_t icmp, request, reply, unreachable, redirect;
} families[2] = {
	{RED_IP, BLUE_IP, GREEN_IP, REMOTE_IP, "203.0.113.81", UPLINK_IP, "192.168.15.0/24",
	 "192.168.16.0/24", GATEWAY_IP, "192.168.15.99", "198.51.100.77", "192.168.0.0/16",
	 "192.0.2.0/24", "203.0.113.0/24", IPPROTO_ICMP, FRAME_ECHO_REQUEST, FRAME_ECHO_REPLY,
	 FRAME_UNREACHABLE, 5},
	{RED_IP6, BLUE_IP6, GREEN_IP6, REMOTE_IP6, "2001:db8:2::81", UPLINK_IP6, "fd00:15::/64",
	 "fd00:16::/64", "fd00:15::1", "fd00:15::99", "2001:db8:1::77", "fd00::/8", "2001:db8::/64",
	 "2001:db8:2::/48", FRAME_ICMPV6, FRAME6_ECHO_REQUEST, FRAME6_ECHO_REPLY,
	 FRAME6_UNREACHABLE, 137},
};

/* The family that a test runs with; each does with both. */
static const struct family *f;

static void set_with(struct lab *lab, const char *prefix, enum lab_uplink which, const char *first,
		     const char *second, bool inbound)
{
	struct nsr_inside inside = NSR_INSIDE_DEFAULT;
	struct ip_address of = lab_ip(prefix), except[2];
	size_t count = 0;

	inside.inbound = inbound;
	if (first)
		except[count++] = lab_ip(first);
	if (second)
		except[count++] = lab_ip(second);
	if (datapath_inside_set(lab->datapath, &of, lab->uplink[which], &inside, except, count,
				&lab->err))
		fail_msg("%s", lab->err.message);
}

static void set_except(struct lab *lab, const char *first, const char *second)
{
	set_with(lab, f->prefix, UP0, first, second, false);
}

/* What red sends, or gets, as it is on the wire. Of ICMP: this type. */
static void out_of(struct frame *frame, const char *source, const char *remote, uint8_t protocol,
		   uint8_t kind)
{
	FRAME(frame, .to = mac_router, .from = mac_up0, .source = source, .dest = remote,
	      .protocol = protocol, .sport = PORT, .dport = 80, .tcp_flags = kind,
	      .icmp_type = kind, .payload = 33);
}

static void in_to(struct frame *frame, const char *dest, const char *remote, uint8_t protocol,
		  uint8_t kind)
{
	FRAME(frame, .to = mac_up0, .from = mac_router, .source = remote, .dest = dest,
	      .protocol = protocol, .sport = protocol == f->icmp ? PORT : 80, .dport = PORT,
	      .tcp_flags = kind, .icmp_type = kind, .payload = 33);
}

static void expect_out(struct lab *lab, const char *source, const char *remote, uint8_t protocol,
		       uint8_t kind, int outcome)
{
	struct frame frame;

	out_of(&frame, source, remote, protocol, kind);
	EXPECT_OUT(lab, UP0, &frame, outcome);
}

static void expect_in(struct lab *lab, const char *dest, const char *remote, uint8_t protocol,
		      uint8_t kind, int outcome)
{
	struct frame frame;

	in_to(&frame, dest, remote, protocol, kind);
	EXPECT_IN(lab, UP0, &frame, outcome);
}

static uint32_t sessions(struct lab *lab)
{
	struct nsr_nat_counters nat = f == families ? lab_nat(lab, UP0) : lab_nat6(lab, UP0);

	return (uint32_t)(lab_sum(nat.sessions_created) - lab_sum(nat.sessions_expired));
}

static const uint8_t segments[] = {FRAME_SYN, FRAME_SYN | FRAME_ACK, FRAME_ACK, FRAME_FIN,
				   FRAME_RST, FRAME_RST | FRAME_ACK};

/* All that there is, of no session, both ways. */
static void check_both_ways(struct lab *lab)
{
	size_t i;

	expect_out(lab, f->red, f->remote, GRE, 0, TRANSLATED);
	lab_expect_no_flows(lab);
	lab_expect_no_flows6(lab);
	expect_in(lab, f->red, f->remote, IPPROTO_TCP, FRAME_SYN, DROPPED(INBOUND));
	set_except(lab, f->listed, f->inside);
	for (i = 0; i < sizeof(segments); i++) {
		expect_out(lab, f->red, f->remote, IPPROTO_TCP, segments[i], PASSED);
		expect_in(lab, f->red, f->remote, IPPROTO_TCP, segments[i], PASSED_TO_PEER);
	}
	expect_out(lab, f->red, f->remote, IPPROTO_UDP, 0, PASSED);
	expect_in(lab, f->red, f->remote, IPPROTO_UDP, 0, PASSED_TO_PEER);
	expect_out(lab, f->red, f->remote, f->icmp, f->request, PASSED);
	expect_in(lab, f->red, f->remote, f->icmp, f->reply, PASSED_TO_PEER);
	expect_out(lab, f->red, f->remote, f->icmp, f->reply, PASSED);
	expect_in(lab, f->red, f->remote, f->icmp, f->request, PASSED_TO_PEER);
	expect_out(lab, f->red, f->remote, GRE, 0, PASSED);
	expect_in(lab, f->red, f->remote, GRE, 0, PASSED_TO_PEER);
	expect_in(lab, f->red, f->remote, AH, 0, PASSED_TO_PEER);
	if (f == families)
		expect_out(lab, f->red, f->remote, AH, 0, PASSED);
	expect_out(lab, f->red, f->remote, 254, 0, PASSED);
	assert_int_equal(sessions(lab), 0);
	assert_int_equal(lab_ports_of_all(lab), 0);
	/* Nobody else is meant. */
	expect_in(lab, f->red, f->remote2, IPPROTO_UDP, 0, DROPPED(INBOUND));
	expect_out(lab, f->red, f->remote2, f->icmp, f->reply, DROPPED(NAT_PROTOCOL));
	expect_out(lab, f->red, f->remote2, IPPROTO_TCP, FRAME_RST, DROPPED(NAT_STATE));
	expect_out(lab, f->red, f->remote2, IPPROTO_UDP, 0, TRANSLATED);
	/* Nor does the mapping that there is now count. */
	expect_out(lab, f->red, f->remote, IPPROTO_UDP, 0, PASSED);
	expect_in(lab, f->red, f->remote, IPPROTO_UDP, 0, PASSED_TO_PEER);
	set_except(lab, NULL, NULL);
	expect_out(lab, f->red, f->remote, IPPROTO_UDP, 0, TRANSLATED);
	expect_in(lab, f->red, f->remote, IPPROTO_UDP, 0, DROPPED(INBOUND));
}

/* A flow of before stays translated, both ways, as long as its session lives. */
static void check_sessions(struct lab *lab)
{
	struct frame frame;

	expect_out(lab, f->red, f->remote, IPPROTO_UDP, 0, TRANSLATED);
	expect_out(lab, f->red, f->remote, f->icmp, f->request, TRANSLATED);
	expect_out(lab, f->red, f->remote, GRE, 0, TRANSLATED);
	set_except(lab, f->listed, NULL);
	expect_out(lab, f->red, f->remote, IPPROTO_UDP, 0, TRANSLATED);
	expect_in(lab, f->uplink, f->remote, IPPROTO_UDP, 0, TRANSLATED_TO_PEER);
	expect_out(lab, f->red, f->remote, f->icmp, f->request, TRANSLATED);
	expect_out(lab, f->red, f->remote, GRE, 0, TRANSLATED);
	expect_in(lab, f->uplink, f->remote, GRE, 0, TRANSLATED_TO_PEER);
	/* Another one's, of the same protocol, is not ambiguous here. */
	expect_out(lab, f->blue, f->remote, GRE, 0, PASSED);
	out_of(&frame, f->red, f->remote, IPPROTO_UDP, 0);
	*(uint16_t *)frame_transport(&frame) = htons(PORT + 1);
	frame_seal(&frame);
	EXPECT_OUT(lab, UP0, &frame, PASSED);
	/* It has run out. */
	lab_clock_offset(lab, 301);
	expect_out(lab, f->red, f->remote, IPPROTO_UDP, 0, PASSED);
	expect_in(lab, f->uplink, f->remote, IPPROTO_UDP, 0, PASSED);
	lab_clock_offset(lab, 601);
	expect_out(lab, f->red, f->remote, GRE, 0, PASSED);
}

/* To whom, and from whom. */
static void check_addresses(struct lab *lab)
{
	struct frame frame;

	set_except(lab, f->listed, f->inside);
	expect_in(lab, f->gateway, f->remote, IPPROTO_UDP, 0, DROPPED(INBOUND));
	expect_in(lab, f->nobody, f->remote, IPPROTO_UDP, 0, DROPPED(INBOUND));
	expect_out(lab, f->gateway, f->remote, IPPROTO_UDP, 0, TRANSLATED);
	expect_out(lab, f->nobody, f->remote, IPPROTO_UDP, 0, TRANSLATED);
	/* What is inside is so whatever is excepted. */
	expect_in(lab, f->red, f->blue, IPPROTO_UDP, 0, DROPPED(SPOOFED_ADDRESS));
	if (f == families)
		expect_in(lab, f->red, PLAIN_IP, IPPROTO_UDP, 0, DROPPED(SPOOFED_ADDRESS));
	expect_in(lab, f->red, f->gateway, IPPROTO_UDP, 0, DROPPED(SPOOFED_ADDRESS));
	/* At another uplink. */
	out_of(&frame, f->red, f->remote, IPPROTO_UDP, 0);
	EXPECT_OUT(lab, UP1, &frame, DROPPED(WRONG_UPLINK));
	in_to(&frame, f->red, f->remote, IPPROTO_UDP, 0);
	memset(frame.bytes, 0xff, 6);
	EXPECT_IN(lab, UP1, &frame, DROPPED(INBOUND));
	set_with(lab, f->prefix, UP0, f == families ? "198.51.100.0/24" : "2001:db8:1::/64", NULL,
		 false);
	expect_in(lab, f->red, f->uplink, IPPROTO_UDP, 0, DROPPED(SPOOFED_ADDRESS));
}

/* Each network has its own. */
static void check_networks(struct lab *lab)
{
	set_except(lab, f->listed, NULL);
	set_with(lab, f->prefix2, UP0, f->listed2, NULL, false);
	expect_out(lab, f->red, f->remote, IPPROTO_UDP, 0, PASSED);
	expect_out(lab, f->red, f->remote2, IPPROTO_UDP, 0, TRANSLATED);
	expect_out(lab, f->green, f->remote2, IPPROTO_UDP, 0, PASSED);
	expect_out(lab, f->green, f->remote, IPPROTO_UDP, 0, TRANSLATED);
	expect_in(lab, f->red, f->remote2, IPPROTO_UDP, 0, DROPPED(INBOUND));
	expect_in(lab, f->green, f->remote, IPPROTO_UDP, 0, DROPPED(INBOUND));
	expect_in(lab, f->green, f->remote2, IPPROTO_UDP, 0, PASSED_TO_PEER);
	/* Moved to another uplink, with what it had. */
	set_with(lab, f->prefix, UP1, f->listed, NULL, false);
	expect_out(lab, f->red, f->remote, IPPROTO_UDP, 0, DROPPED(WRONG_UPLINK));
	expect_in(lab, f->red, f->remote, IPPROTO_UDP, 0, DROPPED(INBOUND));
	set_except(lab, NULL, NULL);
	set_with(lab, f->prefix2, UP0, NULL, NULL, false);
}

/* Options tell more than the source. */
static void check_options(struct lab *lab)
{
	struct frame frame;

	set_except(lab, f->listed, NULL);
	if (f == families) {
		FRAME(&frame, .to = mac_router, .from = mac_up0, .source = f->red,
		      .dest = f->remote, .sport = PORT, .dport = 80, .ip_options = 8);
		memcpy(frame.bytes + ETH_HLEN + 20, (uint8_t[]){7, 7, 4, 0, 0, 0, 0, 0}, 8);
		frame_seal(&frame);
		EXPECT_OUT(lab, UP0, &frame, DROPPED(IP_OPTIONS));
		return;
	}
	FRAME(&frame, .to = mac_router, .from = mac_up0, .source = f->red, .dest = f->remote,
	      .sport = PORT, .dport = 80, .extended = true, .extension = 43,
	      .extension_data = {2, 1});
	EXPECT_OUT(lab, UP0, &frame, DROPPED(IP_OPTIONS));
	FRAME(&frame, .to = mac_up0, .from = mac_router, .source = f->remote, .dest = f->red,
	      .sport = 80, .dport = PORT, .extended = true, .extension = 43,
	      .extension_data = {2, 1});
	EXPECT_IN(lab, UP0, &frame, DROPPED(IP_OPTIONS));
	/* A neighbour's. */
	expect_out(lab, f->red, f->remote, f->icmp, 135, DROPPED(NAT_PROTOCOL));
	expect_in(lab, f->red, f->remote, f->icmp, 135, DROPPED(INBOUND));
}

/* Whoever answers a client that has asked the published port does so from there. */
static void check_published(struct lab *lab)
{
	const struct published_ports web = {8080, PORT, 1, NSR_NAT_TCP};
	const bool ipv6 = f != families;
	struct ip_address inside = lab_ip(f->red);
	struct frame frame;

	set_except(lab, f->listed, NULL);
	if (datapath_publish(lab->datapath, lab->uplink[UP0], &inside, &web, OWN_NETNS, &lab->err))
		fail_msg("%s", lab->err.message);
	FRAME(&frame, .to = mac_up0, .from = mac_router, .source = f->remote, .dest = f->uplink,
	      .protocol = IPPROTO_TCP, .sport = 80, .dport = 8080, .tcp_flags = FRAME_ACK);
	EXPECT_IN(lab, UP0, &frame, DROPPED(NAT_FILTERED)); /* of no session */
	FRAME(&frame, .to = mac_up0, .from = mac_router, .source = f->remote, .dest = f->uplink,
	      .protocol = IPPROTO_TCP, .sport = 80, .dport = 8080, .tcp_flags = FRAME_SYN);
	EXPECT_IN(lab, UP0, &frame, TRANSLATED_TO_PEER);
	expect_out(lab, f->red, f->remote, IPPROTO_TCP, FRAME_SYN | FRAME_ACK, TRANSLATED);
	/* Others do without, as ever. */
	FRAME(&frame, .to = mac_up0, .from = mac_router, .source = f->remote2, .dest = f->uplink,
	      .protocol = IPPROTO_TCP, .sport = 80, .dport = 8080, .tcp_flags = FRAME_ACK);
	EXPECT_IN(lab, UP0, &frame, TRANSLATED_TO_PEER);
	if (datapath_unpublish(lab->datapath, lab->uplink[UP0], ipv6, &web, &lab->err))
		fail_msg("%s", lab->err.message);
	expect_out(lab, f->red, f->remote, IPPROTO_TCP, FRAME_ACK, PASSED);
}

/* A hairpin, and what the host sends to itself, is as without it, also where the external address
 * is listed: a segment of no session passes to a published port. */
static void check_published_near(struct lab *lab)
{
	const struct nsr_uplink loopback = {
		.address4 = address4("127.0.0.1"), .port_min = 1, .port_max = 65535};
	const struct published_ports web = {8080, PORT, 1, NSR_NAT_TCP};
	const struct ip_address inside = lab_ip(f->red);
	static const uint8_t nobody[6];
	struct frame frame, got;
	char listed[64];

	snprintf(listed, sizeof(listed), "%s/%u", f->uplink, f == families ? 32 : 128);
	set_except(lab, listed, NULL);
	assert_int_equal(
		datapath_uplink_set(lab->datapath, STATE_LOOPBACK, &loopback, NULL, &lab->err), 0);
	if (datapath_publish(lab->datapath, lab->uplink[UP0], &inside, &web, OWN_NETNS, &lab->err))
		fail_msg("%s", lab->err.message);
	FRAME(&frame, .to = mac_br1, .from = mac_blue, .source = f->blue, .dest = f->uplink,
	      .protocol = IPPROTO_TCP, .sport = 80, .dport = 8080, .tcp_flags = FRAME_ACK);
	EXPECT_PORT_IN(lab, BLUE, &frame, TO_PEER);
	FRAME(&frame, .to = nobody, .from = nobody, .source = f->uplink, .dest = f->uplink,
	      .protocol = IPPROTO_TCP, .sport = 81, .dport = 8080, .tcp_flags = FRAME_ACK);
	assert_int_equal(lab_run(lab, DATAPATH_LOCAL_OUT, STATE_LOOPBACK, &frame, &got),
			 TC_ACT_REDIRECT);
	if (datapath_unpublish(lab->datapath, lab->uplink[UP0], f != families, &web, &lab->err))
		fail_msg("%s", lab->err.message);
	assert_int_equal(datapath_uplink_delete(lab->datapath, STATE_LOOPBACK, &lab->err), 0);
}

/* ---- ICMP errors. */

static void error(struct frame *frame, const char *source, const char *dest, uint8_t type,
		  const struct frame *about)
{
	FRAME(frame, .to = mac_up0, .from = mac_router, .source = source, .dest = dest,
	      .protocol = f->icmp, .icmp_type = type, .quoted = about, .quoted_beyond = 8);
}

static void check_errors_of(struct lab *lab, uint8_t protocol, uint8_t kind)
{
	struct frame frame, about;
	struct run *run;

	/* About what has left: of a router that nobody has listed. */
	out_of(&about, f->red, f->remote, protocol, kind);
	error(&frame, f->router, f->red, f->unreachable, &about);
	EXPECT_IN(lab, UP0, &frame, PASSED_TO_PEER);
	error(&frame, f->router, f->red, f->redirect, &about);
	EXPECT_IN(lab, UP0, &frame, DROPPED(INBOUND));
	error(&frame, f->router, f->blue, f->unreachable, &about); /* which has not sent it */
	EXPECT_IN(lab, UP0, &frame, DROPPED(INBOUND));
	out_of(&about, f->red, f->remote2, protocol, kind);
	error(&frame, f->router, f->red, f->unreachable, &about);
	EXPECT_IN(lab, UP0, &frame, DROPPED(INBOUND));
	/* About what has come in: of red, of the host, and of another one in between. */
	in_to(&about, f->red, f->remote, protocol, kind);
	error(&frame, f->red, f->remote, f->unreachable, &about);
	EXPECT_OUT(lab, UP0, &frame, PASSED);
	error(&frame, f->uplink, f->remote, f->unreachable, &about);
	EXPECT_OUT(lab, UP0, &frame, PASSED);
	error(&frame, f->gateway, f->remote, f->unreachable, &about);
	run = EXPECT_OUT(lab, UP0, &frame, TRANSLATED);
	error(&frame, f->uplink, f->remote, f->unreachable, &about);
	assert_memory_equal(run->out.bytes, frame.bytes, frame.length);
	error(&frame, f->red, f->remote2, f->unreachable, &about); /* not to who has sent it */
	EXPECT_OUT(lab, UP0, &frame, DROPPED(NAT_ICMP_ERROR));
	in_to(&about, f->red, f->remote2, protocol, kind);
	error(&frame, f->red, f->remote2, f->unreachable, &about);
	EXPECT_OUT(lab, UP0, &frame, DROPPED(NAT_ICMP_ERROR));
}

static void check_errors(struct lab *lab)
{
	set_except(lab, f->listed, NULL);
	check_errors_of(lab, IPPROTO_TCP, FRAME_ACK);
	check_errors_of(lab, IPPROTO_UDP, 0);
	check_errors_of(lab, f->icmp, f->request);
	check_errors_of(lab, f->icmp, f->reply);
	check_errors_of(lab, GRE, 0);
}

/* To another network's namespace no uplink leads. What red, who publishes, reports there of others
 * is about no session of its own, and so stays as it is (guest_error_about()), though the prefix is
 * listed. */
static void check_errors_within(struct lab *lab)
{
	const struct nsr_uplink loopback = {
		.address4 = address4("127.0.0.1"), .port_min = 1, .port_max = 65535};
	struct nsr_port red = lab_port(lab, RED);
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, GRE};
	struct frame frame, about;

	set_except(lab, f->inside, NULL);
	assert_int_equal(
		datapath_uplink_set(lab->datapath, STATE_LOOPBACK, &loopback, NULL, &lab->err), 0);
	red.flags |= NSR_PORT_PUBLISHES;
	lab_port_set(lab, RED, &red);
	for (size_t i = 0; i < sizeof(protocols); i++) {
		FRAME(&about, .to = mac_blue, .from = mac_br1, .source = f->green, .dest = f->blue,
		      .protocol = protocols[i], .sport = 80, .dport = PORT, .payload = 33);
		FRAME(&frame, .to = mac_br1, .from = mac_red, .source = f->red, .dest = f->green,
		      .protocol = f->icmp, .icmp_type = f->unreachable, .quoted = &about,
		      .quoted_beyond = 8);
		EXPECT_PORT_IN(lab, RED, &frame, TO_KERNEL);
	}
	red.flags &= (uint8_t)~NSR_PORT_PUBLISHES;
	lab_port_set(lab, RED, &red);
	assert_int_equal(datapath_uplink_delete(lab->datapath, STATE_LOOPBACK, &lab->err), 0);
}

/* Without an external address: errors, too, where they need none. */
static void check_closed(struct lab *lab)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, GRE};
	struct frame frame, about;

	expect_out(lab, f->red, f->remote, IPPROTO_UDP, 0, TRANSLATED);
	set_except(lab, f->listed, NULL);
	lab_uplink_set(lab, UP0, NULL, LAB_PORT_MIN, LAB_PORT_MAX);
	expect_out(lab, f->red, f->remote2, IPPROTO_UDP, 0, DROPPED(NAT_CLOSED));
	expect_out(lab, f->red, f->remote, IPPROTO_TCP, FRAME_SYN, PASSED);
	expect_out(lab, f->red, f->remote, f->icmp, f->request, PASSED);
	expect_out(lab, f->red, f->remote, GRE, 0, PASSED);
	expect_out(lab, f->red, f->remote2, GRE, 0, DROPPED(NAT_CLOSED));
	expect_in(lab, f->red, f->remote, IPPROTO_TCP, FRAME_SYN | FRAME_ACK, PASSED_TO_PEER);
	out_of(&frame, f->red, f->remote2, f->icmp, f->request);
	EXPECT_OUT(lab, UP0, &frame, DROPPED(NAT_CLOSED));
	for (size_t i = 0; i < sizeof(protocols); i++) {
		in_to(&about, f->red, f->remote, protocols[i], FRAME_SYN);
		error(&frame, f->red, f->remote, f->unreachable, &about);
		EXPECT_OUT(lab, UP0, &frame, PASSED);
		error(&frame, f->gateway, f->remote, f->unreachable, &about);
		EXPECT_OUT(lab, UP0, &frame, DROPPED(NAT_ICMP_ERROR));
	}
}

/* ---- Fragments. */

static void expect_piece(struct lab *lab, bool outbound, uint16_t port, uint16_t id,
			 unsigned int number, int outcome)
{
	const char *source = outbound ? f->red : f->remote, *dest = outbound ? f->remote : f->red;
	struct frame frame;

	if (f == families)
		FRAME(&frame, .to = mac_router, .from = mac_up0, .source = source, .dest = dest,
		      .sport = port, .dport = 80, .payload = 64,
		      .fragment = (uint16_t)(number ? 9 : MORE), .id = id);
	else
		FRAME(&frame, .to = mac_router, .from = mac_up0, .source = source, .dest = dest,
		      .sport = port, .dport = 80, .payload = 64, .extended = true, .extension = 44,
		      .extension_data = {0, (uint8_t)(number ? 72 : 1), 0, 0, (uint8_t)(id >> 8),
					 (uint8_t)id});
	if (!outbound)
		memcpy(frame.bytes, mac_up0, 6);
	if (outbound)
		EXPECT_OUT(lab, UP0, &frame, outcome);
	else
		EXPECT_IN(lab, UP0, &frame, outcome);
}

/* A later one goes the way of its first; without that, by its destination. */
static void check_fragments(struct lab *lab)
{
	unsigned int i;

	expect_out(lab, f->red, f->remote, IPPROTO_UDP, 0, TRANSLATED);
	for (i = 0; i < 2; i++) {
		set_with(lab, f->prefix, UP0, f->listed, NULL, i);
		expect_piece(lab, true, PORT + 1, 7, 1, PASSED); /* before its first */
		expect_piece(lab, true, PORT + 1, 7, 0, PASSED);
		expect_piece(lab, true, PORT + 1, 7, 1, PASSED);
		expect_piece(lab, false, PORT + 1, 7, 1, PASSED_TO_PEER);
		expect_piece(lab, false, PORT + 1, 7, 0, PASSED_TO_PEER);
		/* Of a flow that is translated. */
		expect_piece(lab, true, PORT, 8, 0, TRANSLATED);
		expect_piece(lab, true, PORT, 8, 1, TRANSLATED);
		/* The same identification: its own first one counts. */
		expect_piece(lab, true, PORT + 1, 8, 0, PASSED);
		expect_piece(lab, true, PORT + 1, 8, 1, PASSED);
		expect_piece(lab, true, PORT, 8, 0, TRANSLATED);
		expect_piece(lab, true, PORT, 8, 1, TRANSLATED);
	}
	lab_clock_offset(lab, 31);
	expect_piece(lab, true, PORT, 8, 1, PASSED);
}

/* ---- Tables. */

static void expect_table(struct lab *lab, unsigned int entries)
{
	struct nsr_except_key key, *previous = NULL, next;
	unsigned int count = 0;

	for (; !bpf_map_get_next_key(lab->datapath->maps[MAP_exceptions], previous, &next);
	     count++) {
		key = next;
		previous = &key;
	}
	assert_int_equal(count, entries);
}

/* What a killed process has left under a number is not the next one's. */
static void check_number_of_another(struct lab *lab)
{
	const char *fresh = f == families ? "192.168.99.0/24" : "fd00:99::/64";
	struct ip_address prefix = lab_ip(fresh), listed = lab_ip(f->listed);
	struct nsr_except_key key = {.prefix_len = NSR_EXCEPT_BITS + listed.prefix_len};
	const uint8_t value = 0;
	unsigned int slot;

	set_except(lab, f->listed, f->listed2);
	expect_table(lab, 2);
	memcpy(key.address, listed.bytes, 16);
	for (slot = 10; slot < 40; slot++) {
		key.slot = htons((uint16_t)slot);
		assert_int_equal(bpf_map_update_elem(lab->datapath->maps[MAP_exceptions], &key,
						     &value, BPF_ANY),
				 0);
	}
	set_except(lab, NULL, NULL);
	expect_table(lab, 30);
	for (slot = 0; slot < 40; slot++) {
		/* All those numbers, one after the other. */
		prefix.bytes[f == families ? 2 : 3] = (uint8_t)(100 + slot);
		if (datapath_inside_set(lab->datapath, &prefix, lab->uplink[UP0],
					&(struct nsr_inside)NSR_INSIDE_DEFAULT, NULL, 0, &lab->err))
			fail_msg("%s", lab->err.message);
	}
	expect_table(lab, 0);
	for (slot = 0; slot < 40; slot++) {
		prefix.bytes[f == families ? 2 : 3] = (uint8_t)(100 + slot);
		assert_int_equal(datapath_inside_delete(lab->datapath, &prefix, &lab->err), 0);
	}
	/* One that goes takes its own with it. */
	set_with(lab, fresh, UP0, f->listed, f->listed2, false);
	expect_table(lab, 2);
	prefix = lab_ip(fresh);
	assert_int_equal(datapath_inside_delete(lab->datapath, &prefix, &lab->err), 0);
	expect_table(lab, 0);
}

/* As many as one network may have, and what user space reads of them. */
static void check_limit(struct lab *lab)
{
	struct ip_address except[NSR_EXCEPT_MAX], of = lab_ip(f->prefix);
	const struct nsr_inside inside = NSR_INSIDE_DEFAULT;
	struct state_datapath state;
	struct arena arena = {0};
	struct error err = {0};
	size_t i;

	for (i = 0; i < NSR_EXCEPT_MAX; i++) {
		except[i] = lab_ip(f->listed2);
		except[i].bytes[f == families ? 1 : 3] = (uint8_t)i;
	}
	if (datapath_inside_set(lab->datapath, &of, lab->uplink[UP0], &inside, except,
				NSR_EXCEPT_MAX, &lab->err))
		fail_msg("%s", lab->err.message);
	expect_table(lab, NSR_EXCEPT_MAX);
	assert_int_equal(datapath_snapshot(lab->datapath, &arena, &state, &err), 0);
	for (i = 0; i < state.inside_count; i++) {
		if (!ip_equal(&state.inside[i].prefix, &of)) {
			assert_int_equal(state.inside[i].except_count, 0);
			continue;
		}
		assert_int_equal(state.inside[i].except_count, NSR_EXCEPT_MAX);
		assert_memory_equal(state.inside[i].except, except, sizeof(except));
	}
	arena_free(&arena);
	set_except(lab, NULL, NULL);
	expect_table(lab, 0);
}

#define BOTH(name)                               \
	static void test_##name(void **state)    \
	{                                        \
		f = &families[0];                \
		check_##name(lab_of(state));     \
	}                                        \
	static void test_##name##6(void **state) \
	{                                        \
		f = &families[1];                \
		check_##name(lab_of(state));     \
	}

BOTH(both_ways)
BOTH(sessions)
BOTH(addresses)
BOTH(networks)
BOTH(options)
BOTH(published)
BOTH(published_near)
BOTH(closed)
BOTH(errors)
BOTH(errors_within)
BOTH(fragments)
BOTH(number_of_another)
BOTH(limit)

#define LAB_BOTH(name) LAB_TEST(test_##name), LAB_TEST(test_##name##6)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_BOTH(both_ways),         LAB_BOTH(sessions),  LAB_BOTH(addresses),
		LAB_BOTH(networks),          LAB_BOTH(options),   LAB_BOTH(published),
		LAB_BOTH(published_near),    LAB_BOTH(closed),    LAB_BOTH(errors),
		LAB_BOTH(errors_within),     LAB_BOTH(fragments), LAB_BOTH(limit),
		LAB_BOTH(number_of_another),
	};

	return LAB_MAIN(tests);
}
