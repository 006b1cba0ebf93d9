/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Addresses and MACs: what is accepted, what is refused, and the arithmetic of prefixes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "ip.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct ip_address parse(const char *text)
{
	struct ip_address ip;

	if (!ip_parse(text, &ip, NULL))
		fail_msg("'%s' was refused", text);
	return ip;
}

static void test_parse(void **state)
{
	struct ip_address ip;
	bool has_prefix;

	(void)state;
	assert_true(ip_parse("192.0.2.1/24", &ip, &has_prefix));
	assert_int_equal(ip.family, AF_INET);
	assert_int_equal(ip.prefix_len, 24);
	assert_memory_equal(ip.bytes, "\xc0\x00\x02\x01\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_true(has_prefix);
	assert_true(ip_parse("fd00::1", &ip, &has_prefix));
	assert_int_equal(ip.family, AF_INET6);
	assert_int_equal(ip.prefix_len, 128);
	assert_false(has_prefix);
	assert_true(ip_parse("0.0.0.0/0", &ip, &has_prefix));
	assert_int_equal(ip.prefix_len, 0);
}

static void test_parse_refuses(void **state)
{
	static const char *const texts[] = {
		"",
		"/",
		"/24",
		"1",
		"1.2.3",
		"1.2.3.4.5",
		"1.2.3.256",
		"1.2.3.4/",
		"1.2.3.4/33",
		"1.2.3.4/024",
		"1.2.3.4/+1",
		"1.2.3.4/-1",
		"1.2.3.4/1 ",
		" 1.2.3.4",
		"1.2.3.4 ",
		"1.2.3.4/24/24",
		"01.2.3.4",
		"::/129",
		"::1::",
		"fe80::1%eth0",
		"g::",
		":",
		"1.2.3.4/99999999999999999999",
		"host",
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000"};
	struct ip_address ip, before;

	(void)state;
	memset(&ip, 0xaa, sizeof(ip));
	before = ip;
	for (size_t i = 0; i < COUNT(texts); i++) {
		if (ip_parse(texts[i], &ip, NULL))
			fail_msg("'%s' was accepted", texts[i]);
		assert_memory_equal(&ip, &before, sizeof(ip));
	}
}

static void test_format(void **state)
{
	struct ip_address ip = parse("FD00:0:0::1/64"), none = {};
	char text[IP_TEXT_MAX];

	(void)state;
	assert_string_equal(ip_format(&ip, text), "fd00::1");
	assert_string_equal(ip_format_prefix(&ip, text), "fd00::1/64");
	ip = parse("192.0.2.1");
	assert_string_equal(ip_format_prefix(&ip, text), "192.0.2.1/32");
	assert_string_equal(ip_format(&none, text), "");
	ip = parse("1111:2222:3333:4444:5555:6666:123.123.123.123/128");
	assert_string_equal(ip_format_prefix(&ip, text),
			    "1111:2222:3333:4444:5555:6666:7b7b:7b7b/128");
}

static void test_network(void **state)
{
	static const struct {
		const char *address, *network;
	} cases[] = {
		{"192.168.15.77/24", "192.168.15.0/24"},
		{"192.168.15.77/25", "192.168.15.0/25"},
		{"192.168.15.177/25", "192.168.15.128/25"},
		{"192.168.15.77/32", "192.168.15.77/32"},
		{"192.168.15.77/31", "192.168.15.76/31"},
		{"192.168.15.77/0", "0.0.0.0/0"},
		{"192.168.15.77/1", "128.0.0.0/1"},
		{"fd00:15::ffff/64", "fd00:15::/64"},
		{"fd00:15::ffff/127", "fd00:15::fffe/127"},
		{"fd00:15::ffff/128", "fd00:15::ffff/128"},
		{"fd00:15::ffff/0", "::/0"},
	};
	char text[IP_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct ip_address ip = parse(cases[i].address), net = ip_network(&ip);

		assert_string_equal(ip_format_prefix(&net, text), cases[i].network);
		assert_true(ip_within(&ip, &net));
	}
}

static void test_within_and_overlap(void **state)
{
	struct ip_address wide = parse("10.0.0.0/8"), narrow = parse("10.1.0.0/16");
	struct ip_address other = parse("11.0.0.0/8"), host = parse("10.1.2.3");
	struct ip_address six = parse("a00::/8"), all = parse("0.0.0.0/0");

	(void)state;
	assert_true(ip_within(&host, &narrow));
	assert_true(ip_within(&host, &wide));
	assert_true(ip_within(&host, &all));
	assert_false(ip_within(&host, &other));
	assert_false(ip_within(&host, &six));
	assert_true(ip_overlap(&wide, &narrow));
	assert_true(ip_overlap(&narrow, &wide));
	assert_false(ip_overlap(&wide, &other));
	assert_false(ip_overlap(&wide, &six));
	assert_true(ip_overlap(&all, &other));
}

static void test_equal(void **state)
{
	struct ip_address a = parse("10.0.0.1/8"), b = parse("10.0.0.1/24"),
			  c = parse("10.0.0.2/8");

	(void)state;
	assert_true(ip_equal(&a, &b));
	assert_false(ip_equal(&a, &c));
}

static void test_link_local(void **state)
{
	struct ip_address yes[] = {parse("fe80::1"), parse("febf::1"), parse("169.254.1.2")};
	struct ip_address no[] = {parse("fec0::1"), parse("fd00::1"), parse("169.253.1.2")};

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_true(ip_is_link_local(&yes[i]));
		assert_false(ip_is_link_local(&no[i]));
	}
}

static void test_mac(void **state)
{
	static const char *const wrong[] = {"",
					    "02:00:00:00:00",
					    "02:00:00:00:00:0",
					    "02-00-00-00-00-0b",
					    "02:00:00:00:00:0g",
					    "02:00:00:00:00:0b:",
					    "0200:00:00:00:0b0"};
	uint8_t mac[6] = {9, 9, 9, 9, 9, 9};
	char text[MAC_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++)
		assert_false(mac_parse(wrong[i], mac));
	assert_memory_equal(mac, "\x09\x09\x09\x09\x09\x09", 6);
	assert_true(mac_parse("02:aB:00:00:ff:0b", mac));
	assert_string_equal(mac_format(mac, text), "02:ab:00:00:ff:0b");
}

static void test_mac_derive(void **state)
{
	uint8_t a[6], again[6], b[6];

	(void)state;
	mac_derive(a, "lab", "red", "eth0");
	mac_derive(again, "lab", "red", "eth0");
	mac_derive(b, "lab", "rede", "th0");
	assert_memory_equal(a, again, 6);
	assert_memory_not_equal(a, b, 6);
	assert_int_equal(a[0] & 3, 2);   /* locally administered, unicast */
	assert_memory_equal(a, "ns", 2); /* as 70-nsroute.rules looks for */
	assert_memory_equal(b, "ns", 2);
}

static void test_hash(void **state)
{
	(void)state;
	/* FNV-1a's published value for one zero byte: the terminator is hashed too. */
	assert_true(hash_strings("", NULL) == 0xaf63bd4c8601b7df);
	assert_true(hash_strings("a", "b", NULL) != hash_strings("ab", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_within_and_overlap),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_link_local),
		cmocka_unit_test(test_mac),
		cmocka_unit_test(test_mac_derive),
		cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests_name("ip", tests, NULL, NULL);
}
