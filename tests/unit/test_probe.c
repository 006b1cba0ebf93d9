/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets that trace asks about: as the reader of packets sees them, with right checksums.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "dissect.h"
#include "probe.h"

#define ROOM 4096

static struct ip_address ip(const char *text)
{
	struct ip_address result;

	assert_true(ip_parse(text, &result, NULL));
	return result;
}

/* RFC 1071, over 16-bit words in the order of the network; 0xffff: right. */
static uint32_t sum(const uint8_t *bytes, size_t count)
{
	uint32_t result = 0;

	for (size_t i = 0; i < count; i++)
		result += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return result;
}

static uint16_t folded(uint32_t value)
{
	while (value >> 16)
		value = (value & 0xffff) + (value >> 16);
	return (uint16_t)value;
}

static void expect_sound(const struct probe *probe, const uint8_t *bytes)
{
	bool ipv6 = probe->source.family == AF_INET6;
	uint32_t header = ipv6 ? 40 : 20, length = probe->size - header, pseudo = 0;
	const uint8_t *packet = bytes + ETH_HLEN;

	if (!ipv6)
		assert_int_equal(folded(sum(packet, header)), 0xffff);
	if (probe->protocol != IPPROTO_ICMP)
		pseudo = sum(ipv6 ? packet + 8 : packet + 12, ipv6 ? 32 : 8) + length +
			 probe->protocol;
	assert_int_equal(folded(pseudo + sum(packet + header, length)), 0xffff);
}

static struct dissection build(const struct probe *probe, uint8_t bytes[ROOM])
{
	struct dissection result;

	memset(bytes, 0xa5, ROOM);
	probe_build(probe, bytes);
	assert_int_equal(bytes[ETH_HLEN + probe->size], 0xa5); /* no byte more */
	expect_sound(probe, bytes);
	dissect(bytes, ETH_HLEN + probe->size, ETH_HLEN + probe->size, &result);
	assert_string_equal(result.problem, "");
	assert_true(ip_equal(&result.source, &probe->source));
	assert_true(ip_equal(&result.destination, &probe->destination));
	assert_int_equal(result.protocol, probe->protocol);
	assert_memory_equal(result.source_mac, probe->source_mac, 6);
	assert_memory_equal(result.destination_mac, probe->destination_mac, 6);
	return result;
}

static void test_every_kind(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6};
	static uint8_t bytes[ROOM];

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(protocols); i++) {
		bool ipv6 = i % 2;
		struct probe probe = {
			.source_mac = {2, 1, 2, 3, 4, 5},
			.destination_mac = {2, 9, 8, 7, 6, 5},
			.source = ip(ipv6 ? "fd00:15::11" : "192.168.15.11"),
			.destination = ip(ipv6 ? "2001:db8::ffff" : "203.0.113.255"),
			.protocol = protocols[i / 2],
			.source_port = 40000,
			.destination_port = 443,
			.ttl = 17,
		};
		uint32_t smallest = probe_smallest(&probe);
		struct dissection read;

		if (probe.protocol == (ipv6 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
			continue;
		for (probe.size = smallest; probe.size < smallest + 40; probe.size++) {
			read = build(&probe, bytes);
			assert_int_equal(read.ports, i / 2 < 2);
			if (read.ports) {
				assert_int_equal(read.source_port, 40000);
				assert_int_equal(read.destination_port, 443);
			}
		}
		probe.size = 3000;
		build(&probe, bytes);
		assert_int_equal(probe_ttl(bytes), 17);
		probe_hop(bytes);
		assert_int_equal(probe_ttl(bytes), 16);
		expect_sound(&probe, bytes);
	}
}

static void test_requests_and_answers(void **state)
{
	static uint8_t bytes[ROOM];
	struct probe probe = {
		.source = ip("192.0.2.1"),
		.destination = ip("192.0.2.2"),
		.protocol = IPPROTO_TCP,
		.source_port = 7,
		.ttl = 64,
		.size = 84,
	};

	(void)state;
	assert_string_equal(build(&probe, bytes).info, "SYN");
	probe.answer = true;
	assert_string_equal(build(&probe, bytes).info, "ACK");
	probe.protocol = IPPROTO_ICMP;
	assert_non_null(strstr(build(&probe, bytes).info, "echo reply"));
	probe.answer = false;
	assert_non_null(strstr(build(&probe, bytes).info, "echo request"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind),
		cmocka_unit_test(test_requests_and_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
