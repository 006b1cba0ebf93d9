/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Isolation, at the hook where a packet enters and at the one where the kernel delivers it, and
 * neighbour discovery in the name of others, wherever it hides. Sources are in test_port.c.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <string.h>

#define HOP_BY_HOP     0
#define ROUTING        43
#define FRAGMENT       44
#define AUTHENTICATION 51
#define NO_NEXT        59
#define DESTINATION    60
#define EXPERIMENT     253

#define MLD_REPORT    143
#define SOLICIT_ROUTE 133
#define ADVERT_ROUTE  134
#define SOLICIT       135
#define ADVERT        136
#define REDIRECT      137

#define SOURCE_LINK 1
#define TARGET_LINK 2

#define RED_LOCAL  "fe80::ff:fe00:b" /* of its MAC, RFC 4291 appendix A */
#define BLUE_LOCAL "fe80::ff:fe00:c"
#define BLUE_IP6   "fd00:15::12"

static const uint8_t all_nodes[6] = {0x33, 0x33, 0, 0, 0, 1};

/* ---- Building. */

/* An IPv6 header from red; what is appended is its payload. */
static void begin(struct frame *f, const char *source, uint8_t next)
{
	FRAME(f, .to = all_nodes, .from = mac_red, .source = source, .dest = "ff02::1",
	      .protocol = next);
	f->length = ETH_HLEN + sizeof(struct ipv6hdr);
	frame_ip6(f)->nexthdr = next;
	frame_ip6(f)->hop_limit = 255;
	frame_ip6(f)->payload_len = 0;
}

static void append(struct frame *f, const void *bytes, uint32_t count)
{
	memcpy(f->bytes + f->length, bytes, count);
	f->length += count;
	frame_ip6(f)->payload_len =
		htons((uint16_t)(f->length - ETH_HLEN - sizeof(struct ipv6hdr)));
}

/* A header of 8 bytes and size times 8 (4 behind 8, of an authentication header) more. */
static void append_header(struct frame *f, uint8_t next, uint8_t size, uint16_t fragment)
{
	uint8_t bytes[2048] = {next, size, (uint8_t)(fragment >> 8), (uint8_t)fragment};

	append(f, bytes, 8 + 8u * size);
}

static void append_message(struct frame *f, uint8_t type, const char *target)
{
	uint8_t bytes[8] = {type};
	struct ip_address ip;

	append(f, bytes, sizeof(bytes));
	if (!target)
		return;
	ip = lab_ip(target);
	append(f, ip.bytes, 16);
}

static void append_option(struct frame *f, uint8_t type, const uint8_t *mac)
{
	uint8_t bytes[8] = {type, 1};

	memcpy(bytes + 2, mac, 6);
	append(f, bytes, sizeof(bytes));
}

/* A whole message; option 0: none. */
static void message(struct frame *f, const char *source, uint8_t type, const char *target,
		    uint8_t option, const uint8_t *mac)
{
	begin(f, source, FRAME_ICMPV6);
	append_message(f, type, target);
	if (option)
		append_option(f, option, mac);
}

static void forged(struct frame *f)
{
	append_message(f, ADVERT, BLUE_IP6);
	append_option(f, TARGET_LINK, mac_red);
}

static void set_flags(struct lab *lab, enum lab_port which, uint16_t more)
{
	static const char *const ips[LAB_PORTS] = {RED_IP, BLUE_IP, GREEN_IP, PLAIN_IP};
	static const char *const ip6s[LAB_PORTS] = {RED_IP6, BLUE_IP6, GREEN_IP6, "fd00:17::14"};
	struct nsr_endpoint endpoint = lab_endpoint(lab, which);
	struct nsr_port port = lab_port(lab, which);
	struct nsr_inner_link inner = {endpoint.network, more};

	port.flags |= more;
	endpoint.flags |= more;
	lab_port_set(lab, which, &port);
	lab_host_set(lab, ips[which], &endpoint);
	lab_host_set(lab, ip6s[which], &endpoint);
	assert_int_equal(datapath_inner_link_set(lab->datapath, lab->bridge[which], &inner, NULL),
			 0);
}

/* ---- Neighbour discovery. */

static void test_own_neighbour_discovery(void **state)
{
	static const char *const own[] = {RED_IP6, RED_LOCAL};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < 2; i++) {
		message(&f, own[i], SOLICIT, BLUE_IP6, SOURCE_LINK, mac_red);
		EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
		message(&f, own[i], ADVERT, own[!i], TARGET_LINK, mac_red);
		EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
		message(&f, own[i], ADVERT, own[i], 0, NULL);
		EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
		message(&f, own[i], SOLICIT_ROUTE, NULL, SOURCE_LINK, mac_red);
		EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
		/* Is it free? Enhanced DAD adds a nonce, RFC 7527. */
		message(&f, "::", SOLICIT, own[i], 0, NULL);
		EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
		append_option(&f, 14, mac_blue);
		EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	}
	message(&f, "::", SOLICIT_ROUTE, NULL, 0, NULL);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

/* What multicast listeners report, with a router alert before it. */
static void test_multicast_reports(void **state)
{
	static const char *const sources[] = {"::", RED_LOCAL};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < 2; i++) {
		begin(&f, sources[i], HOP_BY_HOP);
		append_header(&f, FRAME_ICMPV6, 0, 0x0502);
		append_message(&f, MLD_REPORT, NULL);
		EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	}
}

static void test_neighbours_of_others(void **state)
{
	static const char *const others[] = {BLUE_IP6,          BLUE_LOCAL, "fd00:15::1", "fe80::1",
					     "fe80::ff:fe00:1", "ff02::1",  "::",         "::1"};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(others) / sizeof(*others); i++) {
		message(&f, RED_IP6, ADVERT, others[i], TARGET_LINK, mac_red);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
		message(&f, RED_LOCAL, ADVERT, others[i], 0, NULL);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
		/* As if it were about to take the address: who is, gives up. */
		message(&f, "::", SOLICIT, others[i], 0, NULL);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
	}
	for (i = 0; i < 4; i++) {
		message(&f, others[i], ADVERT, RED_IP6, TARGET_LINK, mac_red);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
		message(&f, others[i], SOLICIT, RED_IP6, SOURCE_LINK, mac_red);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	}
}

static void test_link_addresses_of_others(void **state)
{
	static const uint8_t types[] = {SOLICIT_ROUTE, SOLICIT, ADVERT};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(types); i++) {
		const char *target = types[i] == SOLICIT_ROUTE ? NULL : RED_IP6;

		message(&f, RED_IP6, types[i], target, SOURCE_LINK, mac_blue);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
		message(&f, RED_IP6, types[i], target, TARGET_LINK, mac_br1);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
		/* Behind a good one, and behind one that nobody knows. */
		message(&f, RED_IP6, types[i], target, SOURCE_LINK, mac_red);
		append_option(&f, 99, mac_red);
		append_option(&f, TARGET_LINK, mac_stranger);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
	}
	/* Of another length than a MAC's. */
	message(&f, RED_IP6, ADVERT, RED_IP6, TARGET_LINK, mac_red);
	f.bytes[f.length - 7] = 2;
	append(&f, mac_blue, 6);
	append(&f, "\0", 2);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
}

static void test_options_without_end(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	int i;

	message(&f, RED_IP6, ADVERT, RED_IP6, TARGET_LINK, mac_red);
	f.bytes[f.length - 7] = 0;
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(MALFORMED));
	message(&f, RED_IP6, ADVERT, RED_IP6, 99, mac_red);
	append(&f, "\1", 1); /* and cut off */
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(MALFORMED));
	message(&f, RED_IP6, ADVERT, RED_IP6, 0, NULL);
	for (i = 0; i < 8; i++)
		append_option(&f, 99, mac_red);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	append_option(&f, TARGET_LINK, mac_blue);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(MALFORMED));
}

static void test_routers(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	message(&f, RED_LOCAL, ADVERT_ROUTE, NULL, SOURCE_LINK, mac_red);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
	message(&f, RED_LOCAL, REDIRECT, RED_LOCAL, TARGET_LINK, mac_red);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
	/* To one namespace alone. */
	message(&f, RED_LOCAL, ADVERT_ROUTE, NULL, SOURCE_LINK, mac_red);
	memcpy(frame_eth(&f)->h_dest, mac_blue, 6);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
}

/* ---- Behind extension headers. */

static void test_behind_extension_headers(void **state)
{
	static const uint8_t kinds[] = {HOP_BY_HOP, ROUTING, DESTINATION, 135,
					139,        140,     EXPERIMENT,  254};
	struct lab *lab = lab_of(state);
	struct frame f;
	size_t i;
	int depth;

	for (i = 0; i < sizeof(kinds); i++) {
		begin(&f, RED_IP6, kinds[i]);
		append_header(&f, FRAME_ICMPV6, 0, 0);
		forged(&f);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
		begin(&f, RED_IP6, kinds[i]);
		append_header(&f, FRAME_ICMPV6, 255, 0); /* 2048 bytes */
		forged(&f);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
		begin(&f, RED_IP6, kinds[i]);
		append_header(&f, NO_NEXT, 0, 0);
		EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
		begin(&f, RED_IP6, kinds[i]);
		append(&f, "\x3a", 1); /* cut off */
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(MALFORMED));
	}
	for (depth = 1; depth <= 10; depth++) {
		begin(&f, RED_IP6, DESTINATION);
		for (i = 1; i < (size_t)depth; i++)
			append_header(&f, DESTINATION, 0, 0);
		append_header(&f, FRAME_ICMPV6, 0, 0);
		forged(&f);
		EXPECT_PORT_IN(lab, RED, &f,
			       depth <= 8 ? DROPPED(SPOOFED_NEIGHBOUR) : DROPPED(MALFORMED));
	}
	/* Its length is in units of four. */
	begin(&f, RED_IP6, AUTHENTICATION);
	append_header(&f, FRAME_ICMPV6, 1, 0);
	f.length -= 4;
	forged(&f);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
	/* Behind all of them, what is one's own. */
	begin(&f, RED_IP6, DESTINATION);
	append_header(&f, FRAME_ICMPV6, 0, 0);
	append_message(&f, ADVERT, RED_IP6);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	/* Cut off before its type, and behind it. */
	begin(&f, RED_IP6, FRAME_ICMPV6);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(MALFORMED));
	append(&f, "\x88", 1);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(MALFORMED));
}

static void test_in_fragments(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	/* The first one, of a message that would be allowed (RFC 6980). */
	begin(&f, RED_IP6, FRAGMENT);
	append_header(&f, FRAME_ICMPV6, 0, 1);
	append_message(&f, ADVERT, RED_IP6);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
	/* One that is all there is, RFC 6946. */
	begin(&f, RED_IP6, FRAGMENT);
	append_header(&f, FRAME_ICMPV6, 0, 0);
	forged(&f);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
	/* A tiny one, with the message in the next. */
	begin(&f, RED_IP6, FRAGMENT);
	append_header(&f, DESTINATION, 0, 1);
	append_header(&f, FRAME_ICMPV6, 0, 0);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(MALFORMED));
	/* Which is of no use then. */
	begin(&f, RED_IP6, FRAGMENT);
	append_header(&f, DESTINATION, 0, 8);
	forged(&f);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	/* A fragment in a fragment. */
	begin(&f, RED_IP6, FRAGMENT);
	append_header(&f, FRAGMENT, 0, 1);
	append_header(&f, FRAME_ICMPV6, 0, 0);
	forged(&f);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
	/* Ordinary ones are none of our business. */
	begin(&f, RED_IP6, FRAGMENT);
	append_header(&f, FRAME_ICMPV6, 0, 1);
	append_message(&f, 128, NULL);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

/* :: is a source for nothing but DAD and multicast reports. */
static void test_unspecified_source(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	message(&f, "::", ADVERT, RED_IP6, 0, NULL);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	message(&f, "::", 128, NULL, 0, NULL);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	FRAME(&f, .to = mac_blue, .from = mac_red, .source = "::", .dest = BLUE_IP6);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	begin(&f, "::", DESTINATION);
	append_header(&f, IPPROTO_UDP, 0, 0);
	append_header(&f, 0, 0, 0);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	begin(&f, "::", FRAGMENT);
	append_header(&f, FRAME_ICMPV6, 0, 8);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
}

/* A namespace that is a router on purpose, and the kernel's own path. */
static void test_neighbours_and_flags(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_port red = lab_port(lab, RED);
	struct frame f;

	red.flags = NSR_PORT_FAST;
	lab_port_set(lab, RED, &red);
	message(&f, RED_LOCAL, ADVERT_ROUTE, NULL, SOURCE_LINK, mac_red);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	message(&f, RED_LOCAL, ADVERT, BLUE_IP6, TARGET_LINK, mac_red);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	red.flags = NSR_PORT_SPOOF_CHECK;
	lab_port_set(lab, RED, &red);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
}

/* An address beyond the first is one's own too. */
static void test_neighbours_of_more_sources(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_port red = lab_port(lab, RED);
	struct ip_address more = lab_ip("fe80::7");
	struct frame f;

	red.flags |= NSR_PORT_MORE_SOURCES;
	lab_port_set(lab, RED, &red);
	message(&f, "fe80::7", ADVERT, "fe80::7", TARGET_LINK, mac_red);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	assert_int_equal(datapath_source_set(lab->datapath, lab->port[RED], &more, NULL), 0);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
}

/* A prefix of one family says nothing of the other, however short it is. */
static void test_sources_of_the_other_family(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_port red = lab_port(lab, RED);
	struct ip_address all6 = lab_ip("::/0"), all4 = lab_ip("0.0.0.0/0");
	struct frame ip4, ip6;

	red.flags |= NSR_PORT_MORE_SOURCES;
	lab_port_set(lab, RED, &red);
	FRAME(&ip4, .to = mac_blue, .from = mac_red, .source = "9.9.9.9", .dest = BLUE_IP);
	FRAME(&ip6, .to = mac_blue, .from = mac_red, .source = "2001:db8::9",
	      .dest = "fd00:15::12");
	assert_int_equal(datapath_source_set(lab->datapath, lab->port[RED], &all6, NULL), 0);
	EXPECT_PORT_IN(lab, RED, &ip4, DROPPED(SPOOFED_ADDRESS));
	EXPECT_PORT_IN(lab, RED, &ip6, TO_PEER);
	assert_int_equal(datapath_source_delete(lab->datapath, lab->port[RED], &all6, NULL), 0);
	assert_int_equal(datapath_source_set(lab->datapath, lab->port[RED], &all4, NULL), 0);
	EXPECT_PORT_IN(lab, RED, &ip4, TO_PEER);
	EXPECT_PORT_IN(lab, RED, &ip6, DROPPED(SPOOFED_ADDRESS));
}

/* ---- ARP. */

static void test_arp_probes(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	frame_arp(&f, mac_br1, mac_red, mac_red, "0.0.0.0", RED_IP);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	frame_arp(&f, mac_br1, mac_red, mac_red, "0.0.0.0", BLUE_IP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	frame_arp(&f, mac_br1, mac_red, mac_red, "0.0.0.0", "0.0.0.0");
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	/* Gratuitous: one's own, and another's. */
	frame_arp(&f, mac_br1, mac_red, mac_red, RED_IP, RED_IP);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	frame_arp(&f, mac_br1, mac_red, mac_red, BLUE_IP, BLUE_IP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
	frame_arp(&f, mac_br1, mac_red, mac_red, GATEWAY_IP, RED_IP);
	f.bytes[ETH_HLEN + 7] = 2; /* a reply */
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
}

/* ---- Isolation. */

/* From red to green, by each way that there is. */
static void expect_refused(struct lab *lab)
{
	static const uint16_t fragments[] = {0, 0x2000, 0x2001, 0x1fff};
	const uint8_t *const gateways[] = {mac_br1, mac_port_red};
	struct frame f;
	size_t i, j;

	for (i = 0; i < sizeof(fragments) / sizeof(*fragments); i++) {
		for (j = 0; j < 2; j++) {
			FRAME(&f, .to = gateways[j], .from = mac_red, .source = RED_IP,
			      .dest = GREEN_IP, .fragment = fragments[i], .payload = 8);
			EXPECT_PORT_IN(lab, RED, &f, DROPPED(ISOLATED));
			frame_ip4(&f)->ttl = 1;
			frame_seal(&f);
			EXPECT_PORT_IN(lab, RED, &f, DROPPED(ISOLATED));
		}
		FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = GREEN_IP,
		      .fragment = fragments[i], .ip_options = 40, .payload = 8);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(ISOLATED));
	}
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = GREEN_IP,
	      .protocol = IPPROTO_TCP, .payload = 3000);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(ISOLATED));
	f.gso_size = 1000;
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(ISOLATED));
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP6, .dest = GREEN_IP6);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(ISOLATED));
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_LOCAL, .dest = GREEN_IP6);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(ISOLATED));
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP6, .dest = GREEN_IP6,
	      .protocol = HOP_BY_HOP, .payload = 8);
	memset(frame_transport(&f), 0, 8);
	((uint8_t *)frame_transport(&f))[0] = NO_NEXT;
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(ISOLATED));
}

static void test_isolated(void **state)
{
	static const enum lab_port sides[] = {RED, GREEN};
	struct lab *lab = lab_of(state);
	struct nsr_port red;
	size_t i;

	for (i = 0; i < 2; i++) {
		assert_int_equal(lab_set_up(state), 0);
		set_flags(lab, sides[i], NSR_PORT_ISOLATED);
		expect_refused(lab);
		/* Without the fast path, and without the spoof check. */
		red = lab_port(lab, RED);
		red.flags = i ? 0 : NSR_PORT_ISOLATED;
		lab_port_set(lab, RED, &red);
		expect_refused(lab);
	}
}

/* Its own network, the host and the outside are what they were. */
static void test_isolated_but_for(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	set_flags(lab, RED, NSR_PORT_ISOLATED);
	set_flags(lab, BLUE, NSR_PORT_ISOLATED);
	FRAME(&f, .to = mac_blue, .from = mac_red, .source = RED_IP, .dest = BLUE_IP);
	EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = BLUE_IP);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = GATEWAY_IP);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = REMOTE_IP);
	EXPECT_PORT_IN(lab, RED, &f, TO_NEIGHBOUR);
	FRAME(&f, .to = mac_br2, .from = mac_green, .source = GREEN_IP, .dest = PLAIN_IP);
	EXPECT_PORT_IN(lab, GREEN, &f, TO_PEER);
}

/* What the kernel brings to green, by the interface that it came in by. */
static void expect_delivery(struct lab *lab, uint32_t from, int outcome)
{
	struct frame f;
	struct run *run;

	FRAME(&f, .to = mac_green, .from = mac_br2, .source = "10.3.2.1", .dest = GREEN_IP);
	lab->came_in = from;
	run = EXPECT_PORT_OUT(lab, GREEN, &f, outcome);
	lab->came_in = 0;
	if (outcome == DELIVERED)
		assert_int_equal(run->delivered, GREEN);
}

static void test_isolated_delivery(void **state)
{
	static const enum lab_port sides[] = {RED, GREEN};
	struct lab *lab = lab_of(state);
	size_t i;

	expect_delivery(lab, lab->bridge[RED], DELIVERED);
	for (i = 0; i < 2; i++) {
		assert_int_equal(lab_set_up(state), 0);
		set_flags(lab, sides[i], NSR_PORT_ISOLATED);
		expect_delivery(lab, lab->bridge[RED], DROPPED(ISOLATED));
		expect_delivery(lab, lab->bridge[PLAIN],
				sides[i] == RED ? DELIVERED : DROPPED(ISOLATED));
		expect_delivery(lab, lab->bridge[GREEN], DELIVERED);
		expect_delivery(lab, lab->port[GREEN], DELIVERED);
		expect_delivery(lab, lab->uplink[UP0], DELIVERED);
		expect_delivery(lab, lab->elsewhere, DELIVERED);
		expect_delivery(lab, 0, DELIVERED); /* the host's own */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_own_neighbour_discovery),
		LAB_TEST(test_multicast_reports),
		LAB_TEST(test_neighbours_of_others),
		LAB_TEST(test_link_addresses_of_others),
		LAB_TEST(test_options_without_end),
		LAB_TEST(test_routers),
		LAB_TEST(test_behind_extension_headers),
		LAB_TEST(test_in_fragments),
		LAB_TEST(test_unspecified_source),
		LAB_TEST(test_neighbours_and_flags),
		LAB_TEST(test_neighbours_of_more_sources),
		LAB_TEST(test_sources_of_the_other_family),
		LAB_TEST(test_arp_probes),
		LAB_TEST(test_isolated),
		LAB_TEST(test_isolated_but_for),
		LAB_TEST(test_isolated_delivery),
	};

	return LAB_MAIN_PORTS(tests);
}
