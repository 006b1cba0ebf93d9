/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a cursor over the bytes. take() gives the next few or says that they are not there,
 * which ends the reading with what was read so far. Lengths that the headers claim are compared
 * with the packet's, and are never used to read further.
 */
#include "dissect.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define TAGS_MAX       2 /* VLAN tags that are looked behind */
#define EXTENSIONS_MAX 8 /* headers of IPv6 that are looked behind */

struct cursor {
	const uint8_t *at;
	size_t left;
	size_t packet; /* bytes of the packet from "at" on, of which "left" were captured */
	struct dissection *ret;
};

static uint16_t read16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static uint32_t read32(const uint8_t *bytes)
{
	return (uint32_t)read16(bytes) << 16 | read16(bytes + 2);
}

__attribute__((format(printf, 2, 3))) static void say(char text[DISSECT_INFO_MAX],
						      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(text, DISSECT_INFO_MAX, format, args);
	va_end(args);
}

/* The next bytes of what; NULL when they are not all there. */
static const uint8_t *take(struct cursor *cursor, size_t bytes, const char *what)
{
	const uint8_t *taken = cursor->at;

	if (cursor->left < bytes) {
		say(cursor->ret->problem,
		    cursor->packet >= bytes ? "%s is beyond what was captured" : "%s is cut off",
		    what);
		return NULL;
	}
	cursor->at += bytes;
	cursor->left -= bytes;
	cursor->packet -= bytes;
	return taken;
}

static struct ip_address address(int family, const uint8_t *bytes)
{
	struct ip_address ip = {.family = (uint8_t)family,
				.prefix_len = family == AF_INET ? 32 : 128};

	memcpy(ip.bytes, bytes, family == AF_INET ? 4 : 16);
	return ip;
}

/* ---- Transport. */

static void read_tcp(struct cursor *cursor)
{
	static const char *const flags[] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG"};
	struct dissection *ret = cursor->ret;
	const uint8_t *tcp = take(cursor, 20, "the TCP header");
	size_t used = 0;

	if (!tcp)
		return;
	/* RFC 9293 3.1; PSH says nothing about a flow. */
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (tcp[13] >> i & 1 && i != 3)
			used += (size_t)snprintf(ret->info + used, sizeof(ret->info) - used, "%s%s",
						 used ? " " : "", flags[i]);
}

static const char *icmp_name(uint8_t type)
{
	switch (type) {
	case 0:
		return "echo reply";
	case 3:
		return "destination unreachable";
	case 4:
		return "source quench";
	case 5:
		return "redirect";
	case 8:
		return "echo request";
	case 11:
		return "time exceeded";
	case 12:
		return "parameter problem";
	default:
		return NULL;
	}
}

/* RFC 4443, 4861 and 3810. */
static const char *icmp6_name(uint8_t type)
{
	switch (type) {
	case 1:
		return "destination unreachable";
	case 2:
		return "packet too big";
	case 3:
		return "time exceeded";
	case 4:
		return "parameter problem";
	case 128:
		return "echo request";
	case 129:
		return "echo reply";
	case 130:
		return "multicast listener query";
	case 131:
	case 143:
		return "multicast listener report";
	case 133:
		return "router solicitation";
	case 134:
		return "router advertisement";
	case 135:
		return "neighbour solicitation";
	case 136:
		return "neighbour advertisement";
	case 137:
		return "redirect";
	default:
		return NULL;
	}
}

static void read_icmp(struct cursor *cursor, bool ipv6)
{
	struct dissection *ret = cursor->ret;
	const uint8_t *icmp = take(cursor, 8, ipv6 ? "the ICMPv6 header" : "the ICMP header");
	const uint8_t *target;
	const char *name;
	char text[IP_TEXT_MAX];
	struct ip_address ip;

	if (!icmp)
		return;
	name = ipv6 ? icmp6_name(icmp[0]) : icmp_name(icmp[0]);
	if (!name)
		say(ret->info, "type %u code %u", icmp[0], icmp[1]);
	else if (!strncmp(name, "echo", 4))
		say(ret->info, "%s %u", name, read16(icmp + 4)); /* its identifier */
	else
		say(ret->info, icmp[1] ? "%s, code %u" : "%s", name, icmp[1]);
	if (!ipv6 || icmp[0] < 135 || icmp[0] > 137)
		return;
	target = take(cursor, 16, "the target");
	if (!target)
		return;
	ip = address(AF_INET6, target);
	say(ret->info, icmp[0] == 137 ? "%s to %s" : "%s of %s", name, ip_format(&ip, text));
}

static void read_transport(struct cursor *cursor, int protocol)
{
	struct dissection *ret = cursor->ret;
	size_t left = cursor->left;
	const uint8_t *ports = cursor->at;

	ret->protocol = protocol;
	switch (protocol) {
	case IPPROTO_TCP:
		read_tcp(cursor);
		break;
	case IPPROTO_UDP:
		take(cursor, 8, "the UDP header");
		break;
	case IPPROTO_SCTP:
		take(cursor, 12, "the SCTP header");
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		read_icmp(cursor, protocol == IPPROTO_ICMPV6);
		return;
	default:
		return;
	}
	if (left < 4)
		return;
	ret->ports = true;
	ret->source_port = read16(ports);
	ret->destination_port = read16(ports + 2);
}

/* ---- Network. */

static void read_ipv4(struct cursor *cursor)
{
	struct dissection *ret = cursor->ret;
	size_t packet = cursor->packet, header, total;
	const uint8_t *ip = take(cursor, 20, "the IPv4 header");
	unsigned int offset;

	if (!ip)
		return;
	ret->source = address(AF_INET, ip + 12);
	ret->destination = address(AF_INET, ip + 16);
	header = (ip[0] & 15) * 4u;
	total = read16(ip + 2); /* 0: too long for the field (BIG TCP) */
	if (ip[0] >> 4 != 4)
		say(ret->problem, "version %u in an IPv4 header", ip[0] >> 4);
	else if (header < 20)
		say(ret->problem, "an IPv4 header of %zu bytes", header);
	else if (total && (total < header || total > packet))
		say(ret->problem, "%zu bytes of IPv4 in %zu", total, packet);
	if (*ret->problem)
		return;
	ret->protocol = ip[9];
	if (!take(cursor, header - 20, "the IPv4 options"))
		return;
	offset = (read16(ip + 6) & 0x1fffu) * 8;
	if (offset) {
		say(ret->info, "fragment at %u", offset);
		return;
	}
	read_transport(cursor, ip[9]);
	if (read16(ip + 6) & 0x2000 && !*ret->info)
		say(ret->info, "first fragment");
}

static bool is_extension(int header)
{
	return header == IPPROTO_HOPOPTS || header == IPPROTO_ROUTING ||
	       header == IPPROTO_DSTOPTS || header == IPPROTO_FRAGMENT || header == IPPROTO_AH;
}

/* The next header's number, or -1 when what follows is not one. */
static int skip_extension(struct cursor *cursor, int header)
{
	const uint8_t *start = take(cursor, 8, "an extension header");
	size_t more;
	unsigned int offset;

	if (!start)
		return -1;
	/* RFC 8200 4, RFC 4302 2.2 */
	more = header == IPPROTO_AH ? (start[1] + 2u) * 4u : (start[1] + 1u) * 8u;
	if (header == IPPROTO_FRAGMENT) {
		offset = read16(start + 2) & 0xfff8u;
		if (!offset)
			return start[0];
		cursor->ret->protocol = start[0];
		say(cursor->ret->info, "fragment at %u", offset);
		return -1;
	}
	if (more > 8 && !take(cursor, more - 8, "an extension header"))
		return -1;
	return start[0];
}

static void read_ipv6(struct cursor *cursor)
{
	struct dissection *ret = cursor->ret;
	size_t packet = cursor->packet, payload;
	const uint8_t *ip = take(cursor, 40, "the IPv6 header");
	int header, seen;

	if (!ip)
		return;
	ret->source = address(AF_INET6, ip + 8);
	ret->destination = address(AF_INET6, ip + 24);
	payload = read16(ip + 4);
	if (ip[0] >> 4 != 6)
		say(ret->problem, "version %u in an IPv6 header", ip[0] >> 4);
	else if (payload + 40 > packet)
		say(ret->problem, "%zu bytes of IPv6 in %zu", payload + 40, packet);
	if (*ret->problem)
		return;
	header = ip[6];
	for (seen = 0; seen < EXTENSIONS_MAX && is_extension(header); seen++)
		header = skip_extension(cursor, header);
	if (header >= 0 && is_extension(header))
		say(ret->problem, "more than %d extension headers", EXTENSIONS_MAX);
	else if (header >= 0)
		read_transport(cursor, header);
}

/* RFC 826, over Ethernet and IPv4 */
static void read_arp(struct cursor *cursor)
{
	struct dissection *ret = cursor->ret;
	const uint8_t *arp = take(cursor, 28, "the ARP packet");
	char source[IP_TEXT_MAX], target[IP_TEXT_MAX], mac[MAC_TEXT_MAX];

	if (!arp)
		return;
	if (read32(arp) != (1u << 16 | ETH_P_IP) || read16(arp + 4) != (6 << 8 | 4)) {
		say(ret->problem, "ARP of another kind than Ethernet and IPv4");
		return;
	}
	ret->source = address(AF_INET, arp + 14);
	ret->destination = address(AF_INET, arp + 24);
	ip_format(&ret->source, source);
	ip_format(&ret->destination, target);
	if (read16(arp + 6) == 1)
		say(ret->info, "who has %s? tell %s at %s", target, source,
		    mac_format(arp + 8, mac));
	else if (read16(arp + 6) == 2)
		say(ret->info, "%s is at %s", source, mac_format(arp + 8, mac));
	else
		say(ret->info, "operation %u", read16(arp + 6));
}

static bool read_ethernet(struct cursor *cursor)
{
	struct dissection *ret = cursor->ret;
	const uint8_t *eth = take(cursor, ETH_HLEN, "the Ethernet header"), *tag;

	if (!eth)
		return false;
	ret->ethernet = true;
	memcpy(ret->destination_mac, eth, 6);
	memcpy(ret->source_mac, eth + 6, 6);
	ret->ethertype = read16(eth + 12);
	for (int tags = 0; tags < TAGS_MAX; tags++) {
		if (ret->ethertype != ETH_P_8021Q && ret->ethertype != ETH_P_8021AD)
			return true;
		tag = take(cursor, 4, "the VLAN tag");
		if (!tag)
			return false;
		if (ret->vlan < 0)
			ret->vlan = read16(tag) & 0xfff;
		ret->ethertype = read16(tag + 2);
	}
	return true;
}

static void read_network(struct cursor *cursor)
{
	switch (cursor->ret->ethertype) {
	case ETH_P_IP:
		read_ipv4(cursor);
		break;
	case ETH_P_IPV6:
		read_ipv6(cursor);
		break;
	case ETH_P_ARP:
		read_arp(cursor);
		break;
	default:
		break;
	}
}

/* ---- Public. */

static const struct dissection nothing = {.vlan = -1, .protocol = -1};

void dissect(const uint8_t *bytes, size_t count, size_t length, struct dissection *ret)
{
	struct cursor cursor = {.at = bytes, .left = count, .packet = length, .ret = ret};

	*ret = nothing;
	if (read_ethernet(&cursor))
		read_network(&cursor);
}

void dissect_bare(const uint8_t *bytes, size_t count, size_t length, uint16_t ethertype,
		  struct dissection *ret)
{
	struct cursor cursor = {.at = bytes, .left = count, .packet = length, .ret = ret};

	*ret = nothing;
	ret->ethertype = ethertype;
	read_network(&cursor);
}

const char *dissect_protocol_name(int number)
{
	static const struct {
		int number;
		const char *name;
	} names[] = {
		{IPPROTO_ICMP, "icmp"}, {IPPROTO_IGMP, "igmp"}, {IPPROTO_TCP, "tcp"},
		{IPPROTO_UDP, "udp"},   {IPPROTO_GRE, "gre"},   {IPPROTO_ESP, "esp"},
		{IPPROTO_AH, "ah"},     {IPPROTO_SCTP, "sctp"}, {IPPROTO_ICMPV6, "icmpv6"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (names[i].number == number)
			return names[i].name;
	return NULL;
}

const char *dissect_protocol(const struct dissection *packet, char buffer[16])
{
	if (!packet->ethernet && !packet->ethertype)
		return NULL;
	if (dissect_protocol_name(packet->protocol))
		return dissect_protocol_name(packet->protocol);
	if (packet->protocol >= 0)
		snprintf(buffer, 16, "%d", packet->protocol);
	else if (packet->ethertype == ETH_P_ARP)
		return "arp";
	else if (packet->ethertype == ETH_P_IP)
		return "ipv4";
	else if (packet->ethertype == ETH_P_IPV6)
		return "ipv6";
	else
		snprintf(buffer, 16, "0x%04x", packet->ethertype);
	return buffer;
}
