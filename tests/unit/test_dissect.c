/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is read from the first bytes of packets, and the lines made of it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "dissect.h"
#include "output.h"
#include "output_drops.h"

#define BYTES_MAX 256

struct bytes {
	uint8_t bytes[BYTES_MAX];
	size_t count;
};

/* Hexadecimal digits; blanks are passed over. */
static struct bytes hex(const char *text)
{
	struct bytes result = {.count = 0};
	unsigned int value;

	while (*text) {
		if (*text == ' ') {
			text++;
			continue;
		}
		assert_int_equal(sscanf(text, "%2x", &value), 1);
		result.bytes[result.count++] = (uint8_t)value;
		text += 2;
	}
	return result;
}

/* As it was on the wire, in full. */
static struct dissection read_whole(const char *text)
{
	struct bytes packet = hex(text);
	struct dissection result;

	dissect(packet.bytes, packet.count, packet.count, &result);
	return result;
}

static const char *from(const struct dissection *packet)
{
	static char text[IP_TEXT_MAX];

	return packet->source.family ? ip_format(&packet->source, text) : "-";
}

static const char *to(const struct dissection *packet)
{
	static char text[IP_TEXT_MAX];

	return packet->destination.family ? ip_format(&packet->destination, text) : "-";
}

static const char *protocol(const struct dissection *packet)
{
	static char number[16];
	const char *name = dissect_protocol(packet, number);

	return name ? name : "-";
}

#define ETH      "0200000000fe 02000000000b "
#define IP(rest) "0800 4500" rest "c0a80f0b c0000250 "
#define TCP_SYN                                                              \
	ETH IP("0028 00010000 40060000") "d431 01bb 00000001 00000000 5012 " \
					 "ffff 00000000"
#define UDP  ETH IP("001c 00010000 40110000") "0bb8 0035 0008 0000"
#define ECHO ETH IP("001c 00010000 40010000") "0800 0000 0007 0001"
/* fd00:15::11 to fd00:16::13 */
#define IP6(length, next)           \
	"86dd 60000000" length next \
	"40 fd000015000000000000000000000011 fd000016000000000000000000000013 "
#define SOLICITATION ETH IP6("0018", "3a") "8700 0000 00000000 fd000015000000000000000000000012"
#define ARP_REQUEST                                                                               \
	"ffffffffffff 02000000000b 0806 0001 0800 06 04 0001 02000000000b c0a80f0b 000000000000 " \
	"c0a80f0c"

static void test_transport(void **state)
{
	struct dissection p = read_whole(TCP_SYN);

	(void)state;
	assert_string_equal(protocol(&p), "tcp");
	assert_string_equal(from(&p), "192.168.15.11");
	assert_string_equal(to(&p), "192.0.2.80");
	assert_true(p.ports);
	assert_int_equal(p.source_port, 54321);
	assert_int_equal(p.destination_port, 443);
	assert_string_equal(p.info, "SYN ACK");
	assert_string_equal(p.problem, "");
	p = read_whole(UDP);
	assert_string_equal(protocol(&p), "udp");
	assert_int_equal(p.destination_port, 53);
	assert_string_equal(p.info, "");
	p = read_whole(ECHO);
	assert_string_equal(protocol(&p), "icmp");
	assert_false(p.ports);
	assert_string_equal(p.info, "echo request 7");
	p = read_whole(ETH IP("0014 00010000 402f0000"));
	assert_string_equal(protocol(&p), "gre");
	p = read_whole(ETH IP("0014 00010000 40fd0000"));
	assert_string_equal(protocol(&p), "253");
	assert_string_equal(p.problem, "");
}

static void test_ipv6(void **state)
{
	struct dissection p = read_whole(SOLICITATION);

	(void)state;
	assert_string_equal(protocol(&p), "icmpv6");
	assert_string_equal(from(&p), "fd00:15::11");
	assert_string_equal(p.info, "neighbour solicitation of fd00:15::12");
	/* Hop-by-hop and destination options before UDP. */
	p = read_whole(ETH IP6("0018", "00") "3c00 010400000000 1100 010400000000 "
					     "0bb8 0035 0008 0000");
	assert_string_equal(protocol(&p), "udp");
	assert_int_equal(p.source_port, 3000);
	/* A fragment that is not the first. */
	p = read_whole(ETH IP6("0010", "2c") "1100 0058 00000001 0bb8003500080000");
	assert_string_equal(protocol(&p), "udp");
	assert_false(p.ports);
	assert_string_equal(p.info, "fragment at 88");
	/* Nine headers of eight bytes. */
	p = read_whole(ETH IP6("0048", "00") "0000 010400000000 0000 010400000000 "
					     "0000 010400000000 0000 010400000000 "
					     "0000 010400000000 0000 010400000000 "
					     "0000 010400000000 0000 010400000000 "
					     "3b00 010400000000");
	assert_string_equal(p.problem, "more than 8 extension headers");
	assert_string_equal(protocol(&p), "ipv6");
}

static void test_arp(void **state)
{
	struct dissection p = read_whole(ARP_REQUEST);

	(void)state;
	assert_string_equal(protocol(&p), "arp");
	assert_string_equal(from(&p), "192.168.15.11");
	assert_string_equal(p.info,
			    "who has 192.168.15.12? tell 192.168.15.11 at 02:00:00:00:00:0b");
	p = read_whole(ETH "0806 0001 0800 06 04 0002 02000000000b c0a80f0b 020000000001 c0a80f01");
	assert_string_equal(p.info, "192.168.15.11 is at 02:00:00:00:00:0b");
	p = read_whole(ETH "0806 0006 0800 06 04 0002 02000000000b c0a80f0b 020000000001 c0a80f01");
	assert_string_equal(p.problem, "ARP of another kind than Ethernet and IPv4");
}

static void test_fragment_and_tag(void **state)
{
	struct dissection p = read_whole(ETH IP("001c 0001000b 40110000") "6869 6869 6869 6869");

	(void)state;
	assert_string_equal(p.info, "fragment at 88");
	assert_false(p.ports);
	p = read_whole(ETH IP("001c 00012000 40110000") "0bb8 0035 0058 0000");
	assert_string_equal(p.info, "first fragment");
	assert_true(p.ports);
	p = read_whole(ETH "8100 0005 8100 0006 " IP("001e 00010000 40110000") "0bb8 0035 000a "
									       "0000 6869");
	assert_int_equal(p.vlan, 5);
	assert_string_equal(protocol(&p), "udp");
	p = read_whole(ETH "88cc 0000");
	assert_string_equal(protocol(&p), "0x88cc");
	assert_int_equal(p.vlan, -1);
}

/* What is readable is read. */
static void test_malformed(void **state)
{
	struct dissection p = read_whole(ETH IP("0028 00010000 40060000") "d431 01bb");

	(void)state;
	assert_string_equal(p.problem, "40 bytes of IPv4 in 24");
	assert_string_equal(from(&p), "192.168.15.11");
	p = read_whole(ETH IP("0018 00010000 40060000") "d431 01bb");
	assert_string_equal(p.problem, "the TCP header is cut off");
	assert_int_equal(p.destination_port, 443);
	p = read_whole(ETH "0800 5500 0014 00010000 40060000 c0a80f0b c0000250");
	assert_string_equal(p.problem, "version 5 in an IPv4 header");
	p = read_whole(ETH "0800 4100 0014 00010000 40060000 c0a80f0b c0000250");
	assert_string_equal(p.problem, "an IPv4 header of 4 bytes");
	p = read_whole(ETH "0800 4500");
	assert_string_equal(p.problem, "the IPv4 header is cut off");
	assert_string_equal(from(&p), "-");
	assert_string_equal(protocol(&p), "ipv4");
	p = read_whole("0200");
	assert_string_equal(p.problem, "the Ethernet header is cut off");
	assert_string_equal(protocol(&p), "-");
}

/* Any number of bytes of them, in memory of that size: sanitizers see what is read beyond. */
static void test_every_length(void **state)
{
	static const char *const packets[] = {
		TCP_SYN,
		UDP,
		ECHO,
		SOLICITATION,
		ARP_REQUEST,
		ETH IP6("0018", "00") "3c00 010400000000 1100 010400000000 0bb8 0035 0008 0000"};
	struct dissection p;

	(void)state;
	for (size_t i = 0; i < sizeof(packets) / sizeof(*packets); i++) {
		struct bytes whole = hex(packets[i]);

		for (size_t count = 0; count < whole.count; count++) {
			uint8_t *bytes = malloc(count ? count : 1);

			memcpy(bytes, whole.bytes, count);
			dissect(bytes, count, count, &p);
			assert_true(*p.problem);
			dissect(bytes, count, whole.count, &p);
			assert_non_null(strstr(p.problem, "beyond what was captured"));
			free(bytes);
		}
	}
}

/* ---- Lines. */

static struct nsr_event event_of(const char *text, enum nsr_drop_reason reason, enum nsr_hook hook)
{
	struct bytes packet = hex(text);
	struct nsr_event event = {.ifindex = 17,
				  .length = (uint32_t)packet.count,
				  .captured = (uint8_t)packet.count,
				  .reason = (uint8_t)reason,
				  .hook = (uint8_t)hook};

	memcpy(event.packet, packet.bytes, packet.count);
	return event;
}

static json_t *line_of(const struct nsr_event *event, const char *here, const char *inside)
{
	json_t *places = json_loads("{\"1\": {\"fabric\": \"lab\", \"namespace\": \"red\","
				    " \"interface\": \"eth\\u001b0\", \"uplink\": null},"
				    " \"2\": {\"fabric\": null, \"namespace\": null,"
				    " \"interface\": null, \"uplink\": \"up0\"}}",
				    0, NULL);
	struct dissection packet;
	json_t *line;

	dissect(event->packet, event->captured, event->length, &packet);
	line = output_drop(event, &packet, here ? json_object_get(places, here) : NULL,
			   inside ? json_object_get(places, inside) : NULL, 1700000000123456789);
	json_decref(places);
	return line;
}

/* Takes the reference. */
static void assert_text(json_t *line, const char *expected)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	output_drop_text(out, line, false);
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
	json_decref(line);
}

static int in_utc(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	tzset();
	return 0;
}

static void test_text(void **state)
{
	struct nsr_event event = event_of(TCP_SYN, NSR_DROP_SPOOFED_ADDRESS, NSR_HOOK_PORT_IN);

	(void)state;
	assert_text(
		line_of(&event, "1", NULL),
		"22:13:20.123456  spoofed-address      from red eth?0: tcp 192.168.15.11:54321 > "
		"192.0.2.80:443, SYN ACK, 54 bytes\n");
	assert_text(line_of(&event, NULL, NULL),
		    "22:13:20.123456  spoofed-address      from interface 17: tcp "
		    "192.168.15.11:54321 > 192.0.2.80:443, SYN ACK, 54 bytes\n");
	event.hook = NSR_HOOK_PORT_OUT;
	event.tagged = 1;
	event.vlan = 0x2005;
	assert_text(line_of(&event, "1", NULL),
		    "22:13:20.123456  spoofed-address      to red eth?0: tcp 192.168.15.11:54321 > "
		    "192.0.2.80:443, SYN ACK, VLAN 5, 54 bytes\n");
	event = event_of(UDP, NSR_DROP_NAT_PORTS, NSR_HOOK_UPLINK_OUT);
	assert_text(line_of(&event, "2", "1"),
		    "22:13:20.123456  nat-ports-exhausted  from red eth?0, out up0: udp "
		    "192.168.15.11:3000 > 192.0.2.80:53, 42 bytes\n");
	assert_text(line_of(&event, "2", NULL),
		    "22:13:20.123456  nat-ports-exhausted  out up0: udp 192.168.15.11:3000 > "
		    "192.0.2.80:53, 42 bytes\n");
	event = event_of(SOLICITATION, NSR_DROP_INBOUND, NSR_HOOK_UPLINK_IN);
	assert_text(
		line_of(&event, "2", "1"),
		"22:13:20.123456  inbound-refused      in up0, to red eth?0: icmpv6 fd00:15::11 > "
		"fd00:16::13, neighbour solicitation of fd00:15::12, 78 bytes\n");
	event = event_of(ETH "0800 4500", NSR_DROP_MALFORMED, NSR_HOOK_PORT_IN);
	assert_text(
		line_of(&event, "1", NULL),
		"22:13:20.123456  malformed            from red eth?0: ipv4 02:00:00:00:00:0b > "
		"02:00:00:00:00:fe, 16 bytes; the IPv4 header is cut off\n");
}

static void test_json(void **state)
{
	struct nsr_event event = event_of(UDP, NSR_DROP_NAT_PORTS, NSR_HOOK_UPLINK_OUT);
	json_t *line = line_of(&event, "2", "1");
	char *text = json_dumps(line, JSON_COMPACT);

	(void)state;
	assert_string_equal(
		text, "{\"time\":\"2023-11-14T22:13:20.123456+00:00\","
		      "\"reason\":\"nat-ports-exhausted\",\"hook\":\"uplink-out\","
		      "\"fabric\":\"lab\",\"namespace\":\"red\",\"interface\":\"eth\\u001B0\","
		      "\"uplink\":\"up0\",\"ifindex\":17,\"protocol\":\"udp\","
		      "\"source\":\"192.168.15.11\",\"source_port\":3000,"
		      "\"destination\":\"192.0.2.80\",\"destination_port\":53,"
		      "\"source_mac\":\"02:00:00:00:00:0b\","
		      "\"destination_mac\":\"02:00:00:00:00:fe\",\"vlan\":null,\"info\":null,"
		      "\"problem\":null,\"length\":42}");
	free(text);
	json_decref(line);
}

static void test_left_out(void **state)
{
	uint64_t packets[NSR_DROP_SLOTS] = {[NSR_DROP_MALFORMED] = 7, [NSR_DROP_NAT_STATE] = 8};
	json_t *line = output_left_out(packets, 1.5, 1700000000123456789);

	(void)state;
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(line, "left_out"), "malformed")),
		7);
	assert_text(line, "22:13:20.123456  malformed            7 more, left out\n"
			  "22:13:20.123456  nat-state            8 more, left out\n"
			  "22:13:20.123456  not listened for 1.5 s\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transport), cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_arp),       cmocka_unit_test(test_fragment_and_tag),
		cmocka_unit_test(test_malformed), cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_text),      cmocka_unit_test(test_json),
		cmocka_unit_test(test_left_out),
	};

	return cmocka_run_group_tests(tests, in_utc, NULL);
}
