/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the outside begins straight with an inside address, and the answers to it, of both families:
 * they pass as they are, and nothing else of inside does.
 *
 * That what passes is untouched is looked at by lab_expect(), with each packet.
 */
#include "pieces.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "datapath_maps.h"

#define MORE 0x2000
#define PORT 4321 /* red's; the remote's is 80 */

static const struct family {
	const char *red, *blue, *remote, *remote2, *uplink, *prefix, *gateway, *nobody, *router;
	uint8_t icmp, request, reply, unreachable;
	uint16_t ethertype;
} families[2] = {
	{RED_IP, BLUE_IP, REMOTE_IP, REMOTE2_IP, UPLINK_IP, "192.168.15.0/24", GATEWAY_IP,
	 "192.168.15.99", "198.51.100.77", IPPROTO_ICMP, FRAME_ECHO_REQUEST, FRAME_ECHO_REPLY,
	 FRAME_UNREACHABLE, ETH_P_IP},
	{RED_IP6, BLUE_IP6, REMOTE_IP6, REMOTE2_IP6, UPLINK_IP6, "fd00:15::/64", "fd00:15::1",
	 "fd00:15::99", "2001:db8:1::77", FRAME_ICMPV6, FRAME6_ECHO_REQUEST, FRAME6_ECHO_REPLY,
	 FRAME6_UNREACHABLE, ETH_P_IPV6},
};

/* The family that a test runs with; each does with both. */
static const struct family *f;

static uint8_t protocol_at(unsigned int i)
{
	const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, f->icmp};

	return protocols[i];
}

static void set_inbound(struct lab *lab, bool inbound)
{
	struct nsr_inside inside = NSR_INSIDE_DEFAULT;

	inside.inbound = inbound;
	lab_inside_set(lab, f->prefix, UP0, &inside);
}

/* From the remote to red, as it is on the wire. */
static void in_from(struct frame *frame, const char *remote, uint8_t protocol, uint16_t port,
		    uint8_t flags)
{
	FRAME(frame, .to = mac_up0, .from = mac_router, .source = remote, .dest = f->red,
	      .protocol = protocol, .sport = protocol == f->icmp ? port : 80, .dport = port,
	      .tcp_flags = flags, .icmp_type = f->request, .payload = 33);
}

static void out_to(struct frame *frame, const char *remote, uint8_t protocol, uint16_t port,
		   uint8_t flags)
{
	FRAME(frame, .to = mac_router, .from = mac_up0, .source = f->red, .dest = remote,
	      .protocol = protocol, .sport = port, .dport = 80, .tcp_flags = flags,
	      .icmp_type = f->reply, .payload = 33);
}

static void expect_in(struct lab *lab, const char *remote, uint8_t protocol, uint8_t flags,
		      int outcome)
{
	struct frame frame;

	in_from(&frame, remote, protocol, PORT, flags);
	EXPECT_IN(lab, UP0, &frame, outcome);
}

static void expect_out(struct lab *lab, const char *remote, uint8_t protocol, uint8_t flags,
		       int outcome)
{
	struct frame frame;

	out_to(&frame, remote, protocol, PORT, flags);
	EXPECT_OUT(lab, UP0, &frame, outcome);
}

static uint32_t sessions(struct lab *lab)
{
	struct nsr_nat_counters nat = f == families ? lab_nat(lab, UP0) : lab_nat6(lab, UP0);

	return (uint32_t)(lab_sum(nat.sessions_created) - lab_sum(nat.sessions_expired));
}

/* Without "inbound" as ever. */
static void check_off(struct lab *lab)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		expect_in(lab, f->remote, protocol_at(i), FRAME_SYN, DROPPED(INBOUND));
		expect_out(lab, f->remote, protocol_at(i), FRAME_ACK,
			   protocol_at(i) == f->icmp ? DROPPED(NAT_PROTOCOL) : TRANSLATED);
	}
}

static void check_both_ways(struct lab *lab)
{
	struct frame frame, wanted;
	struct run *run;
	unsigned int i;

	set_inbound(lab, true);
	for (i = 0; i < 3; i++) {
		in_from(&frame, f->remote, protocol_at(i), PORT, FRAME_SYN);
		run = EXPECT_IN(lab, UP0, &frame, PASSED_TO_PEER);
		assert_int_equal(run->delivered, RED);
		FRAME(&wanted, .to = mac_red, .from = mac_br1, .source = f->remote, .dest = f->red,
		      .protocol = protocol_at(i), .sport = protocol_at(i) == f->icmp ? PORT : 80,
		      .dport = PORT, .tcp_flags = FRAME_SYN, .icmp_type = f->request, .payload = 33,
		      .ttl = 63);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
		expect_out(lab, f->remote, protocol_at(i), FRAME_SYN | FRAME_ACK, PASSED);
		expect_in(lab, f->remote, protocol_at(i), FRAME_ACK, PASSED_TO_PEER);
		expect_out(lab, f->remote, protocol_at(i), FRAME_ACK, PASSED);
	}
	assert_int_equal(sessions(lab), 3);
	/* They count as the outside's. */
	assert_int_equal(lab_share(lab, RED).inbound, 3);
	assert_int_equal(lab_share(lab, RED).flows, 0);
	assert_int_equal(lab_ports_of_all(lab), 0);
	/* What nobody has asked for is translated, or refused. */
	expect_out(lab, f->remote2, IPPROTO_UDP, 0, TRANSLATED);
	expect_out(lab, f->remote2, IPPROTO_TCP, FRAME_ACK, TRANSLATED);
	expect_out(lab, f->remote2, f->icmp, 0, DROPPED(NAT_PROTOCOL));
	/* And the direct flows go on beside that. */
	for (i = 0; i < 3; i++)
		expect_out(lab, f->remote, protocol_at(i), FRAME_ACK, PASSED);
}

/* A port that is closed is told: a reset, which is an answer; and then the time of a reset runs. */
static void check_reset(struct lab *lab)
{
	set_inbound(lab, true);
	expect_in(lab, f->remote, IPPROTO_TCP, FRAME_SYN, PASSED_TO_PEER);
	expect_out(lab, f->remote, IPPROTO_TCP, FRAME_RST | FRAME_ACK, PASSED);
	expect_out(lab, f->remote2, IPPROTO_TCP, FRAME_RST | FRAME_ACK, DROPPED(NAT_STATE));
	lab_clock_offset(lab, 239);
	expect_in(lab, f->remote, IPPROTO_TCP, FRAME_SYN, PASSED_TO_PEER);
	lab_clock_offset(lab, 242);
	expect_out(lab, f->remote, IPPROTO_TCP, FRAME_RST | FRAME_ACK, DROPPED(NAT_STATE));
}

static void check_what_opens(struct lab *lab)
{
	static const uint8_t flags[] = {FRAME_ACK, FRAME_SYN | FRAME_ACK, FRAME_RST,
					FRAME_FIN, FRAME_SYN | FRAME_RST, 0};
	struct frame frame;
	size_t i;

	set_inbound(lab, true);
	for (i = 0; i < sizeof(flags); i++)
		expect_in(lab, f->remote, IPPROTO_TCP, flags[i], DROPPED(NAT_STATE));
	in_from(&frame, f->remote, f->icmp, PORT, 0);
	*(uint8_t *)frame_transport(&frame) = f->reply;
	frame_seal(&frame);
	EXPECT_IN(lab, UP0, &frame, DROPPED(INBOUND));
	in_from(&frame, f->remote, 47, PORT, 0); /* no ports */
	EXPECT_IN(lab, UP0, &frame, DROPPED(INBOUND));
	in_from(&frame, f->remote, IPPROTO_UDP, PORT, 0);
	memset(frame.bytes, 0xff, 6);
	EXPECT_IN(lab, UP1, &frame, DROPPED(INBOUND)); /* another uplink */
	assert_int_equal(sessions(lab), 0);
}

static void expect_udp(struct lab *lab, const char *source, const char *dest, int outcome)
{
	struct frame frame;

	FRAME(&frame, .to = mac_up0, .from = mac_router, .source = source, .dest = dest,
	      .protocol = IPPROTO_UDP, .sport = 80, .dport = PORT);
	EXPECT_IN(lab, UP0, &frame, outcome);
}

/* To whom, and from whom. */
static void check_addresses(struct lab *lab)
{
	set_inbound(lab, true);
	expect_udp(lab, f->remote, f->gateway, DROPPED(INBOUND));
	expect_udp(lab, f->remote, f->nobody, DROPPED(INBOUND));
	expect_udp(lab, f->blue, f->red, DROPPED(SPOOFED_ADDRESS));
	expect_udp(lab, f->uplink, f->red, DROPPED(SPOOFED_ADDRESS));
	expect_udp(lab, f == families ? PLAIN_IP : "fe80::80", f->red, DROPPED(SPOOFED_ADDRESS));
	expect_udp(lab, f == families ? "224.0.0.1" : "ff02::1", f->red, DROPPED(SPOOFED_ADDRESS));
	assert_int_equal(sessions(lab), 0);
	expect_udp(lab, f->remote, f->blue, PASSED_TO_PEER);
}

/* What the inside begins is translated, with the same remote and ports as well. */
static void check_inside_begins(struct lab *lab)
{
	struct frame frame;

	set_inbound(lab, true);
	expect_in(lab, f->remote, IPPROTO_TCP, FRAME_SYN, PASSED_TO_PEER);
	expect_out(lab, f->remote, IPPROTO_TCP, FRAME_SYN | FRAME_ACK, PASSED);
	expect_out(lab, f->remote, IPPROTO_TCP, FRAME_SYN, TRANSLATED);
	expect_out(lab, f->remote, IPPROTO_TCP, FRAME_ACK, TRANSLATED);
	expect_in(lab, f->remote, IPPROTO_TCP, FRAME_ACK, DROPPED(INBOUND));
	expect_in(lab, f->remote, IPPROTO_TCP, FRAME_SYN, DROPPED(INBOUND));
	/* Echoes of both sides with one identifier. */
	expect_in(lab, f->remote, f->icmp, 0, PASSED_TO_PEER);
	out_to(&frame, f->remote, f->icmp, PORT, 0);
	*(uint8_t *)frame_transport(&frame) = f->request;
	frame_seal(&frame);
	EXPECT_OUT(lab, UP0, &frame, TRANSLATED);
	expect_out(lab, f->remote, f->icmp, 0, PASSED);
	expect_in(lab, f->remote, f->icmp, 0, PASSED_TO_PEER);
	expect_out(lab, f->remote, f->icmp, 0, PASSED);
}

/* Packets that anybody can forge do not bring what is translated out as it is. */
static void check_forged(struct lab *lab)
{
	uint32_t before;
	unsigned int i;

	set_inbound(lab, true);
	for (i = 0; i < 2; i++) {
		expect_out(lab, f->remote, protocol_at(i), FRAME_SYN, TRANSLATED);
		before = sessions(lab);
		expect_in(lab, f->remote, protocol_at(i), FRAME_SYN, DROPPED(INBOUND));
		/* Nor is it known to whom the endpoint will send next. */
		expect_in(lab, f->remote2, protocol_at(i), FRAME_SYN, DROPPED(INBOUND));
		assert_int_equal(sessions(lab), before);
		expect_out(lab, f->remote, protocol_at(i), FRAME_ACK, TRANSLATED);
		expect_out(lab, f->remote2, protocol_at(i), FRAME_SYN, TRANSLATED);
	}
}

/* Who was first with another remote stays; a mapping that has come since is for new ones. */
static void check_mapped_later(struct lab *lab)
{
	set_inbound(lab, true);
	expect_in(lab, f->remote, IPPROTO_UDP, 0, PASSED_TO_PEER);
	expect_out(lab, f->remote2, IPPROTO_UDP, 0, TRANSLATED);
	expect_out(lab, f->remote, IPPROTO_UDP, 0, PASSED);
	expect_in(lab, f->remote, IPPROTO_UDP, 0, PASSED_TO_PEER);
	/* When that has expired the endpoint is the mapping's. */
	lab_clock_offset(lab, 290);
	expect_out(lab, f->remote2, IPPROTO_UDP, 0, TRANSLATED);
	lab_clock_offset(lab, 302);
	expect_in(lab, f->remote, IPPROTO_UDP, 0, DROPPED(INBOUND));
	expect_out(lab, f->remote, IPPROTO_UDP, 0, TRANSLATED);
}

static void check_expiry(struct lab *lab)
{
	set_inbound(lab, true);
	expect_in(lab, f->remote, IPPROTO_UDP, 0, PASSED_TO_PEER);
	lab_clock_offset(lab, 119);
	expect_in(lab, f->remote, IPPROTO_UDP, 0, PASSED_TO_PEER); /* does not keep it */
	lab_clock_offset(lab, 121);
	expect_in(lab, f->remote, IPPROTO_UDP, 0, PASSED_TO_PEER); /* another one */
	lab_clock_offset(lab, 242);
	expect_out(lab, f->remote, IPPROTO_UDP, 0, TRANSLATED);
	expect_in(lab, f->remote2, IPPROTO_UDP, 0, DROPPED(INBOUND)); /* mapped */
}

static void check_limits(struct lab *lab)
{
	struct nsr_inside inside = NSR_INSIDE_DEFAULT;
	struct frame frame;

	inside.inbound = true;
	inside.flows_max = 8;
	lab_inside_set(lab, f->prefix, UP0, &inside);
	expect_in(lab, f->remote, IPPROTO_UDP, 0, PASSED_TO_PEER);
	expect_in(lab, f->remote, IPPROTO_TCP, FRAME_SYN, PASSED_TO_PEER);
	expect_in(lab, f->remote, f->icmp, 0, DROPPED(NAT_LIMIT));
	expect_in(lab, f->remote, IPPROTO_TCP, FRAME_ACK, PASSED_TO_PEER);
	in_from(&frame, f->remote, IPPROTO_UDP, PORT + 1, 0);
	EXPECT_IN(lab, UP0, &frame, DROPPED(NAT_LIMIT));
	expect_out(lab, f->remote2, IPPROTO_UDP, 0, TRANSLATED); /* its own are counted apart */
}

/* When "inbound" is taken away, and when it is set again: no session of the time before counts. */
static void check_taken_away(struct lab *lab)
{
	struct nsr_inside inside;
	struct nsr_inside6_key key;
	struct ip_address prefix = lab_ip(f == families ? "192.168.15.0" : "fd00:15::");
	int map = lab->datapath->maps[f == families ? MAP_inside4 : MAP_inside6];

	set_inbound(lab, true);
	expect_in(lab, f->remote, IPPROTO_UDP, 0, PASSED_TO_PEER);
	expect_in(lab, f->remote, f->icmp, 0, PASSED_TO_PEER);
	set_inbound(lab, true); /* nothing changes */
	expect_out(lab, f->remote, IPPROTO_UDP, 0, PASSED);
	/* A process that is killed has changed the entry and done nothing else. */
	memset(&key, 0, sizeof(key));
	key.prefix_len = f == families ? 24 : 64;
	memcpy(key.address, prefix.bytes, 16);
	assert_int_equal(bpf_map_lookup_elem(map, &key, &inside), 0);
	inside.inbound = 0;
	assert_int_equal(bpf_map_update_elem(map, &key, &inside, 0), 0);
	expect_out(lab, f->remote, f->icmp, 0, DROPPED(NAT_PROTOCOL));
	expect_in(lab, f->remote, IPPROTO_UDP, 0, DROPPED(INBOUND));
	assert_int_equal(sessions(lab), 2);
	set_inbound(lab, true);
	expect_out(lab, f->remote, f->icmp, 0, DROPPED(NAT_PROTOCOL));
	expect_out(lab, f->remote, IPPROTO_UDP, 0, TRANSLATED);
	expect_in(lab, f->remote, f->icmp, 0, PASSED_TO_PEER); /* anew */
	expect_out(lab, f->remote, f->icmp, 0, PASSED);
	/* Taken away as it should be: the translated one stays. */
	set_inbound(lab, false);
	expect_out(lab, f->remote, f->icmp, 0, DROPPED(NAT_PROTOCOL));
	assert_int_equal(sessions(lab), 1);
	expect_out(lab, f->remote, IPPROTO_UDP, 0, TRANSLATED);
}

/* The external address is none of a direct flow's. */
static void check_address_changes(struct lab *lab)
{
	set_inbound(lab, true);
	expect_in(lab, f->remote, IPPROTO_TCP, FRAME_SYN, PASSED_TO_PEER);
	lab_uplink_set(lab, UP0, "203.0.113.9", LAB_PORT_MIN, LAB_PORT_MAX);
	expect_out(lab, f->remote, IPPROTO_TCP, FRAME_SYN | FRAME_ACK, PASSED);
	lab_uplink_set(lab, UP0, NULL, LAB_PORT_MIN, LAB_PORT_MAX);
	expect_out(lab, f->remote, IPPROTO_TCP, FRAME_ACK, PASSED);
	expect_in(lab, f->remote, IPPROTO_TCP, FRAME_ACK, PASSED_TO_PEER);
	lab_uplink_set(lab, UP0, UPLINK_IP, LAB_PORT_MIN, LAB_PORT_MAX);
}

/* ---- ICMP errors. */

static void error(struct frame *frame, const char *source, const char *dest,
		  const struct frame *about)
{
	FRAME(frame, .to = mac_up0, .from = mac_router, .source = source, .dest = dest,
	      .protocol = f->icmp, .icmp_type = f->unreachable, .quoted = about,
	      .quoted_beyond = 8);
}

static void check_errors(struct lab *lab)
{
	struct frame frame, about;
	struct run *run;
	unsigned int i;

	set_inbound(lab, true);
	for (i = 0; i < 3; i++) {
		out_to(&about, f->remote, protocol_at(i), PORT, FRAME_ACK);
		error(&frame, f->router, f->red, &about);
		EXPECT_IN(lab, UP0, &frame, DROPPED(NAT_STATE));
		in_from(&about, f->remote, protocol_at(i), PORT, FRAME_SYN);
		error(&frame, f->red, f->remote, &about);
		EXPECT_OUT(lab, UP0, &frame, DROPPED(NAT_ICMP_ERROR));
		expect_in(lab, f->remote, protocol_at(i), FRAME_SYN, PASSED_TO_PEER);
		/* Of red's own, of the host's and of another one's in between. */
		EXPECT_OUT(lab, UP0, &frame, PASSED);
		error(&frame, f->uplink, f->remote, &about);
		EXPECT_OUT(lab, UP0, &frame, PASSED);
		error(&frame, f->gateway, f->remote, &about);
		run = EXPECT_OUT(lab, UP0, &frame, TRANSLATED);
		error(&frame, f->uplink, f->remote, &about);
		assert_memory_equal(run->out.bytes, frame.bytes, frame.length);
		error(&frame, f->red, f->remote2, &about); /* not to who has sent it */
		EXPECT_OUT(lab, UP0, &frame, DROPPED(NAT_ICMP_ERROR));
		/* About the answer. */
		out_to(&about, f->remote, protocol_at(i), PORT, FRAME_ACK);
		error(&frame, f->router, f->red, &about);
		EXPECT_IN(lab, UP0, &frame, PASSED_TO_PEER);
		out_to(&about, f->remote2, protocol_at(i), PORT, FRAME_ACK);
		error(&frame, f->router, f->red, &about);
		EXPECT_IN(lab, UP0, &frame, DROPPED(NAT_STATE));
	}
	/* An inside address in a quote, of no flow. */
	out_to(&about, f->remote2, IPPROTO_UDP, PORT, 0);
	EXPECT_OUT(lab, UP0, &about, TRANSLATED);
	error(&frame, f->router, f->red, &about);
	EXPECT_IN(lab, UP0, &frame, DROPPED(NAT_STATE));
}

/* ---- Fragments. */

/* A piece of a datagram of UDP or an echo: 0 the first, 1 the last. */
static void piece(struct frame *frame, bool outbound, uint8_t protocol, uint16_t port, uint16_t id,
		  unsigned int number)
{
	const char *source = outbound ? f->red : f->remote, *dest = outbound ? f->remote : f->red;

	if (f == families) {
		FRAME(frame, .to = mac_router, .from = mac_up0, .source = source, .dest = dest,
		      .protocol = protocol, .sport = port, .dport = protocol == f->icmp ? 0 : port,
		      .icmp_type = outbound ? f->reply : f->request, .payload = 64,
		      .fragment = (uint16_t)(number ? 9 : MORE), .id = id);
	} else {
		FRAME(frame, .to = mac_router, .from = mac_up0, .source = source, .dest = dest,
		      .protocol = protocol, .sport = port, .dport = protocol == f->icmp ? 0 : port,
		      .icmp_type = outbound ? f->reply : f->request, .payload = 64,
		      .extended = true, .extension = 44,
		      .extension_data = {0, (uint8_t)(number ? 72 : 1), 0, 0, (uint8_t)(id >> 8),
					 (uint8_t)id});
	}
	if (!outbound)
		memcpy(frame->bytes, mac_up0, 6);
}

static void expect_piece(struct lab *lab, uint8_t protocol, uint16_t id, unsigned int number,
			 int outcome)
{
	struct frame frame;

	piece(&frame, true, protocol, PORT, id, number);
	EXPECT_OUT(lab, UP0, &frame, outcome);
}

static void check_fragments_out(struct lab *lab)
{
	struct nsr_inside once = NSR_INSIDE_DEFAULT;
	struct frame frame;
	unsigned int i;

	set_inbound(lab, true);
	for (i = 1; i < 3; i++) {
		uint8_t protocol = protocol_at(i);
		uint16_t id = (uint16_t)(6 + i);

		in_from(&frame, f->remote, protocol, PORT, 0);
		if (protocol == IPPROTO_UDP)
			*(uint16_t *)frame_transport(&frame) = htons(PORT);
		frame_seal(&frame);
		EXPECT_IN(lab, UP0, &frame, PASSED_TO_PEER);
		expect_piece(lab, protocol, id, 1, DROPPED(NAT_FRAGMENT)); /* before its first */
		expect_piece(lab, protocol, id, 0, PASSED);
		expect_piece(lab, protocol, id, 1, PASSED);
		expect_piece(lab, protocol, 9, 1, DROPPED(NAT_FRAGMENT)); /* another datagram */
	}
	/* The same identification, of a datagram that is translated: its first one counts. */
	piece(&frame, true, IPPROTO_UDP, PORT + 1, 7, 0);
	EXPECT_OUT(lab, UP0, &frame, TRANSLATED);
	expect_piece(lab, IPPROTO_UDP, 7, 1, TRANSLATED);
	expect_piece(lab, IPPROTO_UDP, 7, 0, PASSED);
	expect_piece(lab, IPPROTO_UDP, 7, 1, PASSED);
	/* It is over when its session is. */
	lab_clock_offset(lab, 29);
	expect_piece(lab, IPPROTO_UDP, 7, 1, PASSED);
	lab_clock_offset(lab, 31);
	expect_piece(lab, IPPROTO_UDP, 7, 1, DROPPED(NAT_FRAGMENT));
	expect_piece(lab, IPPROTO_UDP, 7, 0, PASSED);
	set_inbound(lab, false);
	set_inbound(lab, true);
	expect_piece(lab, IPPROTO_UDP, 7, 1, DROPPED(NAT_FRAGMENT));
	lab_inside_set(lab, f->prefix, UP0, &once);
	expect_piece(lab, IPPROTO_UDP, 7, 0, TRANSLATED);
	expect_piece(lab, IPPROTO_UDP, 7, 1, TRANSLATED);
}

static void check_fragments_of_ended(struct lab *lab)
{
	static const struct nsr_selection all;
	static const struct nsr_selection6 all6;
	struct frame frame;

	set_inbound(lab, true);
	expect_udp(lab, f->remote, f->red, PASSED_TO_PEER);
	piece(&frame, true, IPPROTO_UDP, PORT, 7, 0);
	*(uint16_t *)((uint8_t *)frame_transport(&frame) + 2) = htons(80);
	frame_seal(&frame);
	EXPECT_OUT(lab, UP0, &frame, PASSED);
	expect_piece(lab, IPPROTO_UDP, 7, 1, PASSED);
	assert_int_equal(datapath_flush(lab->datapath, &all, NULL, &lab->err), 0);
	assert_int_equal(datapath_flush6(lab->datapath, &all6, NULL, &lab->err), 0);
	expect_piece(lab, IPPROTO_UDP, 7, 1, DROPPED(NAT_FRAGMENT));
	/* The record is somebody else's by now. */
	expect_udp(lab, f->remote, f->blue, PASSED_TO_PEER);
	expect_piece(lab, IPPROTO_UDP, 7, 1, DROPPED(NAT_FRAGMENT));
}

static void check_fragments_in(struct lab *lab)
{
	struct frame first, last;
	int fd = listen_at_uplink(lab, f->ethertype);

	set_inbound(lab, true);
	piece(&first, false, IPPROTO_UDP, PORT, 7, 0);
	piece(&last, false, IPPROTO_UDP, PORT, 7, 1);
	EXPECT_IN(lab, UP0, &first, PASSED_TO_PEER);
	EXPECT_IN(lab, UP0, &last, PASSED_TO_PEER);
	piece(&first, false, IPPROTO_UDP, PORT, 8, 0);
	piece(&last, false, IPPROTO_UDP, PORT, 8, 1);
	expect_held(lab, &last);
	expect_held(lab, &first);
	expect_again(fd, &first);
	expect_again(fd, &last);
	EXPECT_IN(lab, UP0, &first, PASSED_TO_PEER);
	EXPECT_IN(lab, UP0, &last, PASSED_TO_PEER);
	/* Of a datagram that was refused. */
	piece(&first, false, IPPROTO_TCP, PORT, 9, 0);
	piece(&last, false, IPPROTO_TCP, PORT, 9, 1);
	EXPECT_IN(lab, UP0, &first, DROPPED(NAT_STATE));
	EXPECT_IN(lab, UP0, &last, DROPPED(NAT_STATE));
	close(fd);
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

BOTH(off)
BOTH(both_ways)
BOTH(reset)
BOTH(what_opens)
BOTH(addresses)
BOTH(inside_begins)
BOTH(forged)
BOTH(mapped_later)
BOTH(expiry)
BOTH(limits)
BOTH(taken_away)
BOTH(errors)
BOTH(fragments_out)
BOTH(fragments_of_ended)
BOTH(fragments_in)

static void await_none(struct lab *lab)
{
	struct timespec moment = {.tv_nsec = 100000000};
	int i, tries = 120; /* a pass takes 8 s */

	for (i = 0; i < 2; i++)
		for (f = &families[i]; tries && sessions(lab); tries--)
			nanosleep(&moment, NULL);
	assert_int_not_equal(tries, 0);
	assert_int_equal(lab_share(lab, RED).inbound, 0);
}

/* The clock's walk gives back what has no say any more, and what has expired, where nothing else
 * comes by. */
static void test_walk(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_inside inside;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		struct nsr_inside6_key key = {.prefix_len = i ? 64 : 24};
		int map = lab->datapath->maps[i ? MAP_inside6 : MAP_inside4];

		f = &families[i];
		memcpy(key.address, lab_ip(i ? "fd00:15::" : "192.168.15.0").bytes, 16);
		set_inbound(lab, true);
		expect_in(lab, f->remote, IPPROTO_UDP, 0, PASSED_TO_PEER);
		assert_int_equal(bpf_map_lookup_elem(map, &key, &inside), 0);
		inside.inbound = 0;
		assert_int_equal(bpf_map_update_elem(map, &key, &inside, 0), 0);
		assert_int_equal(sessions(lab), 1);
	}
	await_none(lab);
	for (i = 0; i < 2; i++) {
		f = &families[i];
		set_inbound(lab, true);
		expect_in(lab, f->remote, IPPROTO_UDP, 0, PASSED_TO_PEER);
	}
	lab_clock_offset(lab, 121);
	await_none(lab);
}

static void test_address_changes(void **state)
{
	f = &families[0];
	check_address_changes(lab_of(state));
}

#define LAB_BOTH(name) LAB_TEST(test_##name), LAB_TEST(test_##name##6)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_BOTH(off),           LAB_BOTH(both_ways),
		LAB_BOTH(reset),         LAB_BOTH(what_opens),
		LAB_BOTH(addresses),     LAB_BOTH(inside_begins),
		LAB_BOTH(forged),        LAB_BOTH(mapped_later),
		LAB_BOTH(expiry),        LAB_BOTH(limits),
		LAB_BOTH(taken_away),    LAB_BOTH(errors),
		LAB_BOTH(fragments_out), LAB_BOTH(fragments_of_ended),
		LAB_BOTH(fragments_in),  LAB_TEST(test_address_changes),
		LAB_TEST(test_walk),
	};

	return LAB_MAIN(tests);
}
