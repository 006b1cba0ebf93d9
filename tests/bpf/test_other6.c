/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Protocols without ports that we know, of IPv6: what test_other.c, which is for both families, has
 * not. Extension headers, fragments, and programs of their own.
 */
#include "portless.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <string.h>

#include "datapath_maps.h"

/* GRE behind an extension header, from an address to another. */
static void extended(struct frame *f, const char *source, const char *dest, uint8_t extension,
		     const uint8_t data[FRAME_EXTENSION - 2])
{
	bool arrives = !strcmp(dest, UPLINK_IP6);
	struct frame_spec spec = {.to = arrives ? mac_up0 : mac_router,
				  .from = arrives ? mac_router : mac_up0,
				  .source = source,
				  .dest = dest,
				  .protocol = IPPROTO_GRE,
				  .sport = 1,
				  .dport = 2,
				  .payload = 64,
				  .extended = true,
				  .extension = extension};

	memcpy(spec.extension_data, data, sizeof(spec.extension_data));
	frame_build(f, &spec);
}

/* As it was sent, but for one address. */
static void expect_out(struct lab *lab, struct frame *f)
{
	struct run *run = EXPECT_OUT(lab, UP0, f, TRANSLATED);
	struct frame wanted = *f;

	memcpy(&frame_ip6(&wanted)->saddr, lab_ip(UPLINK_IP6).bytes, 16);
	assert_int_equal(run->out.length, wanted.length);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
}

/* To red. */
static void to_red(struct frame *f)
{
	memcpy(frame_eth(f)->h_dest, mac_red, 6);
	memcpy(frame_eth(f)->h_source, mac_br1, 6);
	memcpy(&frame_ip6(f)->daddr, lab_ip(RED_IP6).bytes, 16);
	frame_ip6(f)->hop_limit--;
	frame_seal(f);
}

static void expect_in(struct lab *lab, struct frame *f)
{
	struct frame wanted = *f;
	struct run *run = EXPECT_IN(lab, UP0, f, TRANSLATED_TO_PEER);

	to_red(&wanted);
	assert_int_equal(run->delivered, RED);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
}

/* ---- Extension headers. */

static const uint8_t nothing[FRAME_EXTENSION - 2]; /* options that are padding; no segments left */

static void test_extensions(void **state)
{
	static const uint8_t extensions[] = {IPPROTO_DSTOPTS, IPPROTO_ROUTING, IPPROTO_HOPOPTS};
	/* As the kernel's tunnels put it there: encapsulation limit, RFC 2473 4.1.1. */
	static const uint8_t limit[FRAME_EXTENSION - 2] = {4, 1, 4, 1, 1, 0};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(extensions); i++) {
		extended(&f, RED_IP6, REMOTE_IP6, extensions[i], nothing);
		expect_out(lab, &f);
	}
	extended(&f, RED_IP6, REMOTE_IP6, IPPROTO_DSTOPTS, limit);
	expect_out(lab, &f);
	for (i = 0; i < 2; i++) { /* what has hop-by-hop options the kernel delivers */
		extended(&f, REMOTE_IP6, UPLINK_IP6, extensions[i], nothing);
		expect_in(lab, &f);
	}
	extended(&f, REMOTE_IP6, UPLINK_IP6, IPPROTO_HOPOPTS, nothing);
	EXPECT_IN(lab, UP0, &f, TRANSLATED);
	portless_expect_sessions(lab, 1);
	lab_expect_no_flows(lab);
}

/* Where the headers have an address, or say that the destination is another one. */
static void test_unfit_extensions(void **state)
{
	static const uint8_t segments[FRAME_EXTENSION - 2] = {0, 1};
	struct lab *lab = lab_of(state);
	struct frame f, long_one;
	uint8_t *header;
	size_t i;

	extended(&f, RED_IP6, REMOTE_IP6, IPPROTO_ROUTING, segments);
	EXPECT_OUT(lab, UP0, &f, DROPPED(IP_OPTIONS));
	/* A home address option, RFC 6275 6.3, in a header of 24 bytes. */
	portless_leaves(&long_one, RED_IP6, REMOTE_IP6, IPPROTO_DSTOPTS);
	header = (uint8_t *)(frame_ip6(&long_one) + 1);
	memset(header, 0, 24);
	header[0] = IPPROTO_GRE;
	header[1] = 2;
	memcpy(header + 2, ((const uint8_t[]){1, 2, 0, 0, 201, 16}), 6);
	memcpy(header + 8, lab_ip(RED_IP6).bytes, 16);
	EXPECT_OUT(lab, UP0, &long_one, DROPPED(IP_OPTIONS));
	/* Nine headers in a row, and one that ends beyond the packet. */
	portless_leaves(&f, RED_IP6, REMOTE_IP6, IPPROTO_DSTOPTS);
	f.length = ETH_HLEN + sizeof(struct ipv6hdr) + 80;
	frame_ip6(&f)->payload_len = htons(80);
	header = (uint8_t *)(frame_ip6(&f) + 1);
	memset(header, 0, 80);
	for (i = 0; i < 8; i++)
		header[8 * i] = IPPROTO_DSTOPTS;
	header[64] = IPPROTO_GRE;
	EXPECT_OUT(lab, UP0, &f, DROPPED(MALFORMED));
	header[1] = 200;
	EXPECT_OUT(lab, UP0, &f, DROPPED(MALFORMED));
	portless_expect_sessions(lab, 0);
	/* The host would send it on, to an inside address maybe. */
	portless_expect_out(lab, RED_IP6, REMOTE_IP6, IPPROTO_GRE);
	extended(&f, REMOTE_IP6, UPLINK_IP6, IPPROTO_ROUTING, segments);
	EXPECT_IN(lab, UP0, &f, DROPPED(IP_OPTIONS));
}

/* ---- Fragments: each by itself, in any order. */

/* offset in units of 8 bytes. */
static void piece(struct frame *f, const char *source, const char *dest, uint16_t offset, bool more,
		  uint32_t id)
{
	uint16_t word = htons((uint16_t)(offset << 3 | more));
	uint8_t data[FRAME_EXTENSION - 2];

	id = htonl(id);
	memcpy(data, &word, 2);
	memcpy(data + 2, &id, 4);
	extended(f, source, dest, IPPROTO_FRAGMENT, data);
}

static uint32_t id_of(struct frame *f)
{
	uint32_t id;

	memcpy(&id, (uint8_t *)(frame_ip6(f) + 1) + 4, sizeof(id));
	return ntohl(id);
}

static void test_fragments(void **state)
{
	static const struct {
		uint16_t offset;
		bool more;
	} order[] = {{17, false}, {0, true}, {8, true}};
	struct lab *lab = lab_of(state);
	struct frame f, wanted;
	uint32_t id = 0;
	struct run *run;
	size_t i;

	for (i = 0; i < 3; i++) {
		piece(&f, RED_IP6, REMOTE_IP6, order[i].offset, order[i].more, 77);
		run = EXPECT_OUT(lab, UP0, &f, TRANSLATED);
		id = i ? id : id_of(&run->out);
		piece(&wanted, UPLINK_IP6, REMOTE_IP6, order[i].offset, order[i].more, id);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	}
	assert_int_not_equal(id, 77);
	for (i = 0; i < 3; i++) {
		piece(&f, REMOTE_IP6, UPLINK_IP6, order[i].offset, order[i].more, 78);
		expect_in(lab, &f);
	}
	/* Another host's, of the same identification: it leaves with another one. */
	piece(&f, BLUE_IP6, REMOTE_IP6, 17, false, 77);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_AMBIGUOUS));
	piece(&f, BLUE_IP6, REMOTE2_IP6, 17, false, 77);
	assert_int_not_equal(id_of(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out), id);
	/* All in one, but with the header. */
	piece(&f, RED_IP6, REMOTE_IP6, 0, false, 77);
	expect_out(lab, &f);
	/* Headers that go on in the next fragment. */
	piece(&f, RED_IP6, REMOTE_IP6, 0, true, 77);
	((uint8_t *)(frame_ip6(&f) + 1))[0] = IPPROTO_DSTOPTS;
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_FRAGMENT));
	assert_int_equal(lab_entries(lab, MAP_held_fragments6), 0);
	assert_int_equal(lab_entries(lab, MAP_datagrams_in6), 0);
	lab_expect_no_flows(lab);
}

/* Only what has a chunk can end an association: nothing is read out of a later fragment. */
static void test_later_fragment_ends_nothing(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	piece(&f, RED_IP6, REMOTE_IP6, 8, false, 77);
	((uint8_t *)(frame_ip6(&f) + 1))[0] = IPPROTO_SCTP;
	portless_set_chunk(&f, SCTP_ABORT);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	portless_leaves(&f, BLUE_IP6, REMOTE2_IP6, IPPROTO_SCTP);
	f.length = ETH_HLEN + sizeof(struct ipv6hdr) + 8; /* not even a header */
	frame_ip6(&f)->payload_len = htons(8);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	portless_expect_sessions(lab, 2);
}

/* ---- ICMPv6 errors about what has extension headers. */

static void test_error_about_extended(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame sent[2], inside[2], f, wanted;
	struct run *run;
	size_t i;

	portless_expect_out(lab, RED_IP6, REMOTE_IP6, IPPROTO_GRE);
	extended(&sent[0], UPLINK_IP6, REMOTE_IP6, IPPROTO_DSTOPTS, nothing);
	extended(&inside[0], RED_IP6, REMOTE_IP6, IPPROTO_DSTOPTS, nothing);
	piece(&sent[1], UPLINK_IP6, REMOTE_IP6, 8, true, 5);
	piece(&inside[1], RED_IP6, REMOTE_IP6, 8, true, 5);
	for (i = 0; i < 2; i++) {
		FRAME(&f, .to = mac_up0, .from = mac_router, .source = family->router,
		      .dest = UPLINK_IP6, .protocol = FRAME_ICMPV6, .icmp_type = FRAME6_TOO_BIG,
		      .icmp_mtu = 1280, .quoted = &sent[i], .quoted_beyond = 60);
		run = EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
		FRAME(&wanted, .to = mac_up0, .from = mac_router, .source = family->router,
		      .dest = UPLINK_IP6, .protocol = FRAME_ICMPV6, .icmp_type = FRAME6_TOO_BIG,
		      .icmp_mtu = 1280, .quoted = &inside[i], .quoted_beyond = 60);
		to_red(&wanted);
		assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	}
	/* Of a protocol that nobody knows: nothing is guessed. */
	portless_leaves(&sent[0], UPLINK_IP6, REMOTE_IP6, 200);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = family->router, .dest = UPLINK_IP6,
	      .protocol = FRAME_ICMPV6, .icmp_type = FRAME6_TOO_BIG, .quoted = &sent[0]);
	EXPECT_IN(lab, UP0, &f, PASSED);
	portless_leaves(&inside[0], REMOTE_IP6, RED_IP6, 200);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP6, .dest = REMOTE_IP6,
	      .protocol = FRAME_ICMPV6, .icmp_type = FRAME6_TOO_BIG, .quoted = &inside[0]);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
}

/* ---- Beside others. */

/* The families have protocols of their own, and one limit. */
static void test_beside_ipv4(void **state)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);
	struct frame f;

	settings.flows_max = 2;
	lab_inside_set(lab, "192.168.15.0/24", UP0, &settings);
	lab_inside_set(lab, "fd00:15::/64", UP0, &settings);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_GRE, .payload = 60);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	portless_expect_out(lab, RED_IP6, REMOTE_IP6, IPPROTO_GRE);
	portless_expect_refused(lab, RED_IP6, REMOTE_IP6, IPPROTO_ESP, DROPPED(NAT_LIMIT));
	assert_int_equal(lab_flows_of(lab, RED), 2);
	lab_expect_no_flows(lab);
	assert_int_equal(lab_flows_of(lab, RED), 0);
}

static void test_wrong_uplink(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	portless_leaves(&f, RED_IP6, REMOTE_IP6, IPPROTO_GRE);
	EXPECT_OUT(lab, UP1, &f, DROPPED(WRONG_UPLINK));
	lab_inside_set(lab, "fd00:18::/64", UP1, NULL); /* it has an IPv4 address only */
	portless_leaves(&f, "fd00:18::1", REMOTE_IP6, IPPROTO_GRE);
	EXPECT_OUT(lab, UP1, &f, DROPPED(NAT_CLOSED));
	/* Straight to inside, and in the name of an inside host. */
	portless_arrives(&f, REMOTE_IP6, IPPROTO_GRE);
	memcpy(&frame_ip6(&f)->daddr, lab_ip(RED_IP6).bytes, 16);
	EXPECT_IN(lab, UP0, &f, DROPPED(INBOUND));
	portless_expect_sessions(lab, 0);
}

/* The programs that take over are not there: inside is dropped, and what would show it; the rest is
 * the host's. */
static void test_nobody_takes_over(void **state)
{
	struct lab *lab = lab_of(state);
	int map = lab->datapath->maps[MAP_programs6];
	const int *programs = lab->datapath->programs;
	uint32_t out = NSR_PROGRAM6_OTHER_OUT, in = NSR_PROGRAM6_OTHER_IN;
	struct frame f, about;

	portless_expect_out(lab, RED_IP6, REMOTE_IP6, IPPROTO_GRE);
	assert_int_equal(bpf_map_delete_elem(map, &out), 0);
	assert_int_equal(bpf_map_delete_elem(map, &in), 0);
	portless_expect_refused(lab, RED_IP6, REMOTE_IP6, IPPROTO_GRE, DROPPED(NAT_PROTOCOL));
	portless_host_sends(lab, REMOTE_IP6, IPPROTO_GRE);
	portless_expect_passed(lab, REMOTE_IP6, IPPROTO_GRE);
	portless_leaves(&about, REMOTE_IP6, RED_IP6, IPPROTO_GRE);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP6, .dest = REMOTE_IP6,
	      .protocol = FRAME_ICMPV6, .icmp_type = FRAME6_TOO_BIG, .quoted = &about);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PROTOCOL));
	assert_int_equal(bpf_map_update_elem(map, &out, &programs[DATAPATH_OTHER_OUT6], 0), 0);
	assert_int_equal(bpf_map_update_elem(map, &in, &programs[DATAPATH_OTHER_IN6], 0), 0);
}

#define TEST6(test)                                       \
	{                                                 \
#test, test, portless_set_up6, NULL, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST6(test_extensions),
		TEST6(test_unfit_extensions),
		TEST6(test_fragments),
		TEST6(test_later_fragment_ends_nothing),
		TEST6(test_error_about_extended),
		TEST6(test_beside_ipv4),
		TEST6(test_wrong_uplink),
		TEST6(test_nobody_takes_over),
	};

	return LAB_MAIN(tests);
}
