/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The steps of the BPF programs that call no helper, run on the host, where sanitizers see every
 * byte they touch: the parser on packets of every length, and checksums against plain sums. What is
 * kept between packets is in test_bpf_state.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "ip.h"
#include "packet.h"
#include "rewrite.h"

#define HEADERS_MAX 128 /* longer than anything that the parser reads */

/* ---- packet.h */

/* Ethernet, IPv4 with so many words of header, and a transport header of zeros. */
static uint32_t build4(u8 *bytes, u8 ihl, u8 protocol)
{
	struct iphdr ip = {.version = 4, .ihl = ihl & 0xf, .protocol = protocol, .ttl = 64};
	uint32_t length = sizeof(struct ethhdr) + ihl * 4u + 20;

	memset(bytes, 0, HEADERS_MAX);
	bytes[12] = 0x08;
	ip.tot_len = bpf_htons((u16)(length - sizeof(struct ethhdr)));
	memcpy(bytes + sizeof(struct ethhdr), &ip, sizeof(ip));
	return length;
}

static uint32_t build6(u8 *bytes, u8 protocol)
{
	struct ipv6hdr ip = {.version = 6, .nexthdr = protocol, .payload_len = bpf_htons(20)};

	memset(bytes, 0, HEADERS_MAX);
	bytes[12] = 0x86;
	bytes[13] = 0xdd;
	memcpy(bytes + sizeof(struct ethhdr), &ip, sizeof(ip));
	return sizeof(struct ethhdr) + sizeof(ip) + 20;
}

/* Parses the first bytes of a packet, out of memory that ends with them. An address that is 2 more
 * than a multiple of 4 puts the IP header where the kernel puts it. */
static enum packet_kind parse(const u8 *bytes, uint32_t linear, uint32_t length, struct packet *p,
			      int *ret_unfit, struct transport *t)
{
	u8 *memory = malloc(2 + linear);
	enum packet_kind kind;

	assert_non_null(memory);
	memcpy(memory + 2, bytes, linear);
	kind = packet_parse(p, memory + 2, memory + 2 + linear, length);
	*ret_unfit = kind == PACKET_IPV4 ? transport_parse(p, t) : 0;
	if (kind == PACKET_IPV4 || kind == PACKET_IPV6)
		packet_segment(p, kind == PACKET_IPV6, length, 100);
	free(memory);
	return kind;
}

static enum packet_kind parse_all(const u8 *bytes, uint32_t length)
{
	struct transport t = {0};
	struct packet p;
	int unfit;

	return parse(bytes, length, length, &p, &unfit, &t);
}

/* Every header cut off at every place: nothing is read behind the end. */
static void test_cut_anywhere(void **state)
{
	static const u8 protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, 47};
	static const u8 needed[] = {20, 8, 8, 0};
	struct transport t = {0};
	struct packet p;
	u8 bytes[HEADERS_MAX];
	uint32_t length, cut, i, header;
	int unfit;

	(void)state;
	for (i = 0; i < sizeof(protocols); i++) {
		for (header = 5; header <= 15; header++) {
			length = build4(bytes, (u8)header, protocols[i]);
			for (cut = 0; cut <= length; cut++) {
				enum packet_kind kind = parse(bytes, cut, length, &p, &unfit, &t);

				assert_int_equal(kind == PACKET_IPV4, cut >= 14 + 20);
				if (kind != PACKET_IPV4 || protocols[i] == 47)
					continue;
				assert_int_equal(unfit, cut < 14 + header * 4 + needed[i]
								? DROP(MALFORMED)
								: 0);
			}
		}
		length = build6(bytes, protocols[i]);
		for (cut = 0; cut <= length; cut++)
			assert_int_equal(parse(bytes, cut, length, &p, &unfit, &t) == PACKET_IPV6,
					 cut >= 14 + 40);
	}
}

static void test_lengths_that_do_not_fit(void **state)
{
	u8 bytes[HEADERS_MAX];
	uint32_t length = build4(bytes, 5, IPPROTO_TCP), total;

	(void)state;
	for (total = 0; total < 256; total++) {
		bytes[14 + 3] = (u8)total;
		assert_int_equal(parse_all(bytes, length) == PACKET_IPV4,
				 total >= 20 && total <= length - 14);
	}
	length = build6(bytes, IPPROTO_TCP);
	for (total = 0; total < 256; total++) {
		bytes[14 + 5] = (u8)total;
		assert_int_equal(parse_all(bytes, length) == PACKET_IPV6, total <= 20);
	}
}

/* 0 is how BIG TCP says that it is longer than the field can tell. */
static void test_longer_than_the_field(void **state)
{
	struct transport t = {0};
	struct packet p;
	u8 bytes[HEADERS_MAX];
	uint32_t linear = build4(bytes, 5, IPPROTO_TCP);
	int unfit;

	(void)state;
	bytes[14 + 2] = bytes[14 + 3] = 0;
	assert_int_equal(parse(bytes, linear, 14 + 65535, &p, &unfit, &t), PACKET_MALFORMED);
	assert_int_equal(parse(bytes, linear, 14 + 65536, &p, &unfit, &t), PACKET_IPV4);
	assert_int_equal(parse(bytes, linear, 1 << 20, &p, &unfit, &t), PACKET_IPV4);
}

#define BIG 150000 /* bytes of a packet, Ethernet header included */

/* As the kernel makes them: a hop-by-hop header of 8 bytes with the jumbo option, then TCP. */
static uint32_t build_jumbo(u8 *bytes, uint32_t payload)
{
	struct ipv6hdr *ip = (void *)(bytes + 14);
	struct ip6_jumbo jumbo = {IPPROTO_TCP, 0, IP6_OPTION_JUMBO, 4, bpf_htonl(payload)};

	build6(bytes, IPPROTO_HOPOPTS);
	ip->payload_len = 0;
	memcpy(bytes + 54, &jumbo, sizeof(jumbo));
	bytes[54 + 8 + 12] = 8 << 4; /* 12 bytes of options */
	return 54 + 8 + 20;
}

/* Of a packet of BIG bytes. */
static uint32_t segment_of(const u8 *bytes, uint32_t linear, bool *ret_big)
{
	u8 *memory = malloc(2 + linear);
	struct packet p = {0};
	uint32_t segment;

	assert_non_null(memory);
	memcpy(memory + 2, bytes, linear);
	assert_int_equal(packet_parse(&p, memory + 2, memory + 2 + linear, BIG), PACKET_IPV6);
	segment = packet_segment(&p, true, BIG, 1000);
	*ret_big = ip6_is_big_tcp(&p, BIG);
	free(memory);
	return segment;
}

static void test_jumbo_header(void **state)
{
	u8 bytes[HEADERS_MAX], other;
	uint32_t linear = build_jumbo(bytes, BIG - 54), cut, i;
	bool big;

	(void)state;
	/* The option is not in the segments. */
	assert_int_equal(segment_of(bytes, linear, &big), 1000 + 40 + 32);
	assert_true(big);
	for (cut = 54; cut < linear; cut++) {
		assert_int_equal(segment_of(bytes, cut, &big), 0);
		assert_int_equal(big, cut >= 54 + 8);
	}
	/* Without it, as of later kernels. */
	build6(bytes, IPPROTO_TCP);
	bytes[14 + 4] = bytes[14 + 5] = 0;
	bytes[54 + 12] = 5 << 4;
	assert_int_equal(segment_of(bytes, linear, &big), 1000 + 40 + 20);
	assert_false(big);
	/* Anything else in it is somebody's own option. */
	for (i = 54; i < 54 + 8; i++) {
		build_jumbo(bytes, BIG - 54);
		other = bytes[i];
		bytes[i] = other + 1;
		assert_int_equal(segment_of(bytes, linear, &big), 0);
		assert_false(big);
	}
}

static void test_versions_and_header_lengths(void **state)
{
	u8 bytes[HEADERS_MAX];
	uint32_t length = build4(bytes, 5, IPPROTO_TCP), i;

	(void)state;
	for (i = 0; i < 256; i++) {
		bytes[14] = (u8)i;
		assert_int_equal(parse_all(bytes, length) == PACKET_IPV4,
				 i >> 4 == 4 && (i & 15) >= 5 && (i & 15) * 4 <= length - 14);
	}
	length = build6(bytes, IPPROTO_TCP);
	for (i = 0; i < 16; i++) {
		bytes[14] = (u8)(i << 4);
		assert_int_equal(parse_all(bytes, length) == PACKET_IPV6, i == 6);
	}
}

static void test_other_kinds(void **state)
{
	static const u8 arp[] = {0, 1, 8, 0, 6, 4};
	u8 bytes[HEADERS_MAX] = {0};
	uint32_t i;

	(void)state;
	bytes[12] = 0x08;
	bytes[13] = 0x06;
	memcpy(bytes + 14, arp, sizeof(arp));
	assert_int_equal(parse_all(bytes, 14 + 28), PACKET_ARP);
	assert_int_equal(parse_all(bytes, 14 + 27), PACKET_MALFORMED);
	for (i = 0; i < sizeof(arp); i++) {
		bytes[14 + i]++;
		assert_int_equal(parse_all(bytes, 14 + 28), PACKET_MALFORMED);
		bytes[14 + i]--;
	}
	bytes[12] = 0x88;
	bytes[13] = 0xcc;
	assert_int_equal(parse_all(bytes, 14), PACKET_OTHER);
	assert_int_equal(parse_all(bytes, 13), PACKET_MALFORMED);
}

/* A fragment behind the first has no transport header, whatever its bytes look like. */
static void test_fragments(void **state)
{
	struct transport t = {0};
	struct packet p;
	u8 bytes[HEADERS_MAX];
	uint32_t length = build4(bytes, 5, IPPROTO_UDP), field;
	struct iphdr ip = {0};
	int unfit;

	(void)state;
	for (field = 0; field < 0x10000; field += 0x0fff) {
		bytes[14 + 6] = (u8)(field >> 8);
		bytes[14 + 7] = (u8)field;
		parse(bytes, length, length, &p, &unfit, &t);
		if (field & 0x1fff)
			assert_int_equal(unfit, DROP(NAT_FRAGMENT));
		ip.frag_off = bpf_htons((u16)field);
		assert_int_equal(ip4_is_fragment(&ip), (field & 0x3fff) != 0);
	}
}

static void test_transport_fields(void **state)
{
	struct transport t = {0};
	struct packet p;
	u8 bytes[HEADERS_MAX];
	uint32_t length = build4(bytes, 6, IPPROTO_TCP);
	int unfit;

	(void)state;
	memcpy(bytes + 14 + 24, "\x12\x34\x56\x78", 4);
	bytes[14 + 24 + 13] = TCP_SYN | TCP_ACK;
	parse(bytes, length, length, &p, &unfit, &t);
	assert_int_equal(unfit, 0);
	assert_int_equal(t.offset, 14 + 24);
	assert_int_equal(t.source, bpf_htons(0x1234));
	assert_int_equal(t.dest, bpf_htons(0x5678));
	assert_int_equal(t.tcp_flags, TCP_SYN | TCP_ACK);
	length = build4(bytes, 5, IPPROTO_ICMP);
	memcpy(bytes + 14 + 20, "\x08\x00\x00\x00\x9a\xbc", 6);
	parse(bytes, length, length, &p, &unfit, &t);
	assert_int_equal(t.icmp_type, ICMP_ECHO_REQUEST);
	assert_int_equal(t.source, bpf_htons(0x9abc));
	assert_int_equal(t.dest, t.source);
}

static void test_addresses(void **state)
{
	static const u32 none[4] __attribute__((aligned(8))) = {0};
	static const u32 one[4] __attribute__((aligned(8))) = {0, 0, 0, 1};
	u8 a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {0};
	u8 local[16] __attribute__((aligned(4))) = {0xfe, 0x80};
	int i;

	(void)state;
	mac_copy(b, a);
	for (i = 0; i < 6; i++) {
		assert_true(mac_equal(a, b));
		b[i] ^= 0x80;
		assert_false(mac_equal(a, b));
		b[i] ^= 0x80;
	}
	assert_true(mac_is_multicast(a));
	assert_true(ip6_is_unspecified(none));
	assert_false(ip6_is_unspecified(one));
	assert_false(ip6_equal(none, one));
	assert_true(ip6_is_link_local(local));
	local[1] = 0xbf;
	assert_true(ip6_is_link_local(local));
	local[1] = 0xc0;
	assert_false(ip6_is_link_local(local));
}

/* A frame as drivers lay it, so that the IP header is aligned, and MACs of tables. */
static void test_macs_by_words(void **state)
{
	static const u8 source[8] __attribute__((aligned(8))) = {2, 0, 0, 0, 0, 0x0b};
	static const u8 dest[8]
		__attribute__((aligned(8))) = {0, 0, 2, 0x10, 0x20, 0x30, 0x40, 0xb};
	u8 room[2 + 16] __attribute__((aligned(8))) = {0}, *mac;
	struct ethhdr *eth = (struct ethhdr *)(room + 2);

	(void)state;
	dest_copy(eth->h_dest, dest + 2);
	source_copy(eth->h_source, source);
	assert_memory_equal(eth->h_dest, dest + 2, 6);
	assert_memory_equal(eth->h_source, source, 6);
	assert_int_equal(frame_protocol(eth), 0);
	eth->h_proto = bpf_htons(ETH_P_IP);
	assert_true(frame_differs(eth, source) == FRAME_IPV4);
	eth->h_proto = bpf_htons(ETH_P_IPV6);
	assert_int_equal(frame_protocol(eth), bpf_htons(ETH_P_IPV6));
	assert_true(frame_differs(eth, source) == FRAME_IPV6);
	for (mac = eth->h_source; mac < eth->h_source + 6; mac++) {
		*mac ^= 1;
		assert_false(frame_differs(eth, source) == FRAME_IPV6);
		*mac ^= 1;
	}
	assert_true(dest_is(eth, dest + 2));
	for (mac = eth->h_dest; mac < eth->h_dest + 6; mac++) {
		*mac ^= 0x80;
		assert_false(dest_is(eth, dest + 2));
		*mac ^= 0x80;
	}
}

/* What the tables of the programs leave out is what the programs would have refused. */
static void test_forwarded_addresses(void **state)
{
	static const char *const six[] = {
		"::",      "::1",    "::2",     "1::1",    "fd00::1", "fe7f::1",
		"fe80::1", "febf::", "fec0::1", "feff::1", "ff02::1", "::1:0:1"};
	struct ip_address ip = {.family = AF_INET, .bytes = {0, 1, 2, 3}};
	__be32 address;
	bool prefix;
	u64 words[2];

	(void)state;
	for (int first = 0; first < 256; first++) {
		ip.bytes[0] = (u8)first;
		memcpy(&address, ip.bytes, sizeof(address));
		assert_int_equal(ip_is_forwarded(&ip), !ip4_is_special(address));
	}
	for (size_t i = 0; i < sizeof(six) / sizeof(*six); i++) {
		assert_true(ip_parse(six[i], &ip, &prefix));
		memcpy(words, ip.bytes, sizeof(words));
		assert_int_equal(ip_is_forwarded(&ip), !ip6_is_special(words));
	}
}

/* ---- rewrite.h */

static u16 plain_checksum(const u16 *words, size_t count)
{
	u32 sum = 0;
	size_t i;

	for (i = 0; i < count; i++)
		sum += words[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (u16)~sum;
}

/* Adjusting one word gives what adding all of them up gives, at every value of the word. The sum of
 * a header is never 0, because its version is in it, so that 0 has one form. */
static void test_checksum_of_every_change(void **state)
{
	static const u16 from[] = {0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff, 0x4006};
	u16 words[10] = {0x4500, 0x0054, 0x1234, 0x4000, 0, 0, 0xc0a8, 0x0f0b, 0xc000, 0x0250};
	u16 before;
	size_t i;
	u32 to;

	(void)state;
	for (i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		words[4] = from[i];
		before = plain_checksum(words, 10);
		for (to = 0; to < 0x10000; to++) {
			words[4] = (u16)to;
			assert_int_equal(checksum_replace(before, from[i], (u16)to),
					 plain_checksum(words, 10));
		}
	}
}

static void test_rewritten_header(void **state)
{
	struct iphdr ip = {.version = 4, .ihl = 5, .protocol = IPPROTO_TCP, .saddr = 0x0b0fa8c0};
	u16 words[10];
	u32 i;

	(void)state;
	for (i = 0; i < 100000; i++) {
		ip.ttl = (u8)(1 + i % 255);
		ip.id = (u16)(i * 2654435761u >> 16);
		ip.check = 0;
		memcpy(words, &ip, sizeof(words));
		ip.check = plain_checksum(words, 10);
		rewrite_ttl4(&ip);
		rewrite_address4(&ip, true, i * 2246822519u);
		rewrite_address4(&ip, false, i * 3266489917u);
		assert_int_equal(ip.ttl, i % 255);
		assert_int_equal(ip.saddr, i * 2246822519u);
		assert_int_equal(ip.daddr, i * 3266489917u);
		memcpy(words, &ip, sizeof(words));
		assert_int_equal(plain_checksum(words, 10), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_lengths_that_do_not_fit),
		cmocka_unit_test(test_longer_than_the_field),
		cmocka_unit_test(test_jumbo_header),
		cmocka_unit_test(test_versions_and_header_lengths),
		cmocka_unit_test(test_other_kinds),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_transport_fields),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_macs_by_words),
		cmocka_unit_test(test_forwarded_addresses),
		cmocka_unit_test(test_checksum_of_every_change),
		cmocka_unit_test(test_rewritten_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
