/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: headers are written byte by byte in network order, then the checksums (RFC 1071)
 * over what was written; those of TCP, UDP and ICMPv6 with the pseudo header, whose sum does not
 * depend on the order of its words.
 */
#include "probe.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#define IP4_HEADER 20
#define IP6_HEADER 40

#define TCP_SYN 0x02
#define TCP_ACK 0x10

#define ICMP_ECHO_REQUEST  8
#define ICMP_ECHO_REPLY    0
#define ICMP6_ECHO_REQUEST 128
#define ICMP6_ECHO_REPLY   129

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t add_up(uint32_t sum, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static uint16_t complement(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint32_t network_header(const struct probe *probe)
{
	return probe->destination.family == AF_INET6 ? IP6_HEADER : IP4_HEADER;
}

uint32_t probe_smallest(const struct probe *probe)
{
	return network_header(probe) + (probe->protocol == IPPROTO_TCP ? 20 : 8);
}

static void build_ip4(const struct probe *probe, uint8_t *ip)
{
	ip[0] = 0x45;
	put16(ip + 2, probe->size);
	ip[6] = 0x40; /* do not fragment */
	ip[8] = probe->ttl;
	ip[9] = probe->protocol;
	memcpy(ip + 12, probe->source.bytes, 4);
	memcpy(ip + 16, probe->destination.bytes, 4);
	put16(ip + 10, complement(add_up(0, ip, IP4_HEADER)));
}

static void build_ip6(const struct probe *probe, uint8_t *ip)
{
	ip[0] = 0x60;
	put16(ip + 4, probe->size - IP6_HEADER);
	ip[6] = probe->protocol;
	ip[7] = probe->ttl;
	memcpy(ip + 8, probe->source.bytes, 16);
	memcpy(ip + 24, probe->destination.bytes, 16);
}

static uint32_t pseudo_header(const struct probe *probe, uint32_t length)
{
	size_t size = ip_bits(&probe->source) / 8;

	return add_up(add_up(length + probe->protocol, probe->source.bytes, size),
		      probe->destination.bytes, size);
}

static void build_transport(const struct probe *probe, uint8_t *l4, uint32_t length)
{
	uint32_t check = 2, sum = pseudo_header(probe, length);

	switch (probe->protocol) {
	case IPPROTO_TCP:
		l4[12] = 5 << 4; /* words of the header */
		l4[13] = probe->answer ? TCP_ACK : TCP_SYN;
		put16(l4 + 14, 0xffff); /* window */
		check = 16;
		break;
	case IPPROTO_UDP:
		put16(l4 + 4, length);
		check = 6;
		break;
	case IPPROTO_ICMP:
		l4[0] = probe->answer ? ICMP_ECHO_REPLY : ICMP_ECHO_REQUEST;
		sum = 0; /* has no pseudo header */
		break;
	default:
		l4[0] = probe->answer ? ICMP6_ECHO_REPLY : ICMP6_ECHO_REQUEST;
	}
	if (check == 2) {
		put16(l4 + 4, probe->source_port);
		put16(l4 + 6, 1); /* sequence */
	} else {
		put16(l4, probe->source_port);
		put16(l4 + 2, probe->destination_port);
	}
	sum = complement(add_up(sum, l4, length));
	put16(l4 + check, !sum && probe->protocol == IPPROTO_UDP ? 0xffff : sum);
}

void probe_build(const struct probe *probe, uint8_t *bytes)
{
	bool ipv6 = probe->destination.family == AF_INET6;
	uint8_t *ip = bytes + ETH_HLEN;
	uint32_t header = network_header(probe);

	memset(bytes, 0, ETH_HLEN + probe->size);
	memcpy(bytes, probe->destination_mac, ETH_ALEN);
	memcpy(bytes + ETH_ALEN, probe->source_mac, ETH_ALEN);
	put16(bytes + 2 * ETH_ALEN, ipv6 ? ETH_P_IPV6 : ETH_P_IP);
	if (ipv6)
		build_ip6(probe, ip);
	else
		build_ip4(probe, ip);
	build_transport(probe, ip + header, probe->size - header);
}

static bool is_ipv6(const uint8_t *bytes)
{
	return bytes[ETH_HLEN] >> 4 == 6;
}

uint8_t probe_ttl(const uint8_t *bytes)
{
	return bytes[ETH_HLEN + (is_ipv6(bytes) ? 7 : 8)];
}

void probe_hop(uint8_t *bytes)
{
	uint8_t *ip = bytes + ETH_HLEN;

	if (is_ipv6(bytes)) {
		ip[7]--;
		return;
	}
	ip[8]--;
	put16(ip + 10, 0);
	put16(ip + 10, complement(add_up(0, ip, IP4_HEADER)));
}
