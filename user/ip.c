/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: inet_pton() and inet_ntop() know the text of addresses; the prefix length is ours,
 * and strict ("/24", no sign, no leading zero), because a lenient reader would accept what ip(8)
 * refuses. Comparisons look at whole bytes, then at the bits of the last one. MAC addresses are
 * derived from names with FNV-1a: stable over runs and machines, and not meant to be secret.
 */
#include "ip.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

unsigned int ip_bits(const struct ip_address *ip)
{
	return ip->family == AF_INET6 ? 128 : 32;
}

static bool parse_prefix_len(const char *text, unsigned int max, uint8_t *ret)
{
	unsigned int value = 0;
	size_t length = strlen(text);

	if (length == 0 || length > 3 || (text[0] == '0' && length > 1))
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (unsigned int)(*text - '0');
	}
	if (value > max)
		return false;
	*ret = (uint8_t)value;
	return true;
}

bool ip_parse(const char *text, struct ip_address *ret, bool *ret_has_prefix)
{
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	struct ip_address ip = {};
	char address[INET6_ADDRSTRLEN];

	if (length >= sizeof(address))
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	ip.family = strchr(address, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(ip.family, address, ip.bytes) != 1)
		return false;
	ip.prefix_len = (uint8_t)ip_bits(&ip);
	if (slash && !parse_prefix_len(slash + 1, ip_bits(&ip), &ip.prefix_len))
		return false;
	*ret = ip;
	if (ret_has_prefix)
		*ret_has_prefix = slash != NULL;
	return true;
}

char *ip_format(const struct ip_address *ip, char buffer[IP_TEXT_MAX])
{
	if (!inet_ntop(ip->family, ip->bytes, buffer, IP_TEXT_MAX))
		buffer[0] = '\0'; /* family 0: no address */
	return buffer;
}

char *ip_format_prefix(const struct ip_address *ip, char buffer[IP_TEXT_MAX])
{
	size_t used = strlen(ip_format(ip, buffer));

	snprintf(buffer + used, IP_TEXT_MAX - used, "/%u", ip->prefix_len);
	return buffer;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	unsigned int whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole))
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

bool ip_equal(const struct ip_address *a, const struct ip_address *b)
{
	return a->family == b->family && same_bits(a->bytes, b->bytes, ip_bits(a));
}

bool ip_within(const struct ip_address *ip, const struct ip_address *net)
{
	return ip->family == net->family && same_bits(ip->bytes, net->bytes, net->prefix_len);
}

bool ip_overlap(const struct ip_address *a, const struct ip_address *b)
{
	/* Two prefixes overlap only when one contains the other. */
	return a->prefix_len < b->prefix_len ? ip_within(b, a) : ip_within(a, b);
}

struct ip_address ip_network(const struct ip_address *ip)
{
	struct ip_address net = *ip;
	unsigned int whole = ip->prefix_len / 8, rest = ip->prefix_len % 8;

	if (whole < sizeof(net.bytes)) {
		net.bytes[whole] &= (uint8_t)(0xff00 >> rest);
		memset(net.bytes + whole + 1, 0, sizeof(net.bytes) - whole - 1);
	}
	return net;
}

bool ip_is_link_local(const struct ip_address *ip)
{
	if (ip->family == AF_INET6)
		return ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
	return ip->family == AF_INET && ip->bytes[0] == 169 && ip->bytes[1] == 254;
}

/* As ip4_is_special() and ip6_is_special() of bpf/packet.h have it. */
bool ip_is_forwarded(const struct ip_address *ip)
{
	static const uint8_t zero[15];
	uint8_t first = ip->bytes[0];

	if (ip->family == AF_INET)
		return first != 0 && first != 127 && first < 224;
	return first != 0xff && !ip_is_link_local(ip) &&
	       (memcmp(ip->bytes, zero, sizeof(zero)) || ip->bytes[15] > 1);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool mac_parse(const char *text, uint8_t ret[6])
{
	uint8_t mac[6];

	if (strlen(text) != MAC_TEXT_MAX - 1)
		return false;
	for (int i = 0; i < 6; i++) {
		int high = hex_digit(text[3 * i]), low = hex_digit(text[3 * i + 1]);

		if (high < 0 || low < 0 || (i < 5 && text[3 * i + 2] != ':'))
			return false;
		mac[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(ret, mac, sizeof(mac));
	return true;
}

char *mac_format(const uint8_t mac[6], char buffer[MAC_TEXT_MAX])
{
	snprintf(buffer, MAC_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	return buffer;
}

void mac_derive(uint8_t ret[6], const char *fabric, const char *owner, const char *interface)
{
	uint64_t hash = hash_strings(fabric, owner, interface, NULL);
	uint32_t folded = (uint32_t)(hash ^ hash >> 32);

	ret[0] = MAC_DERIVED_0;
	ret[1] = MAC_DERIVED_1;
	for (int i = 2; i < 6; i++)
		ret[i] = (uint8_t)(folded >> (40 - 8 * i));
}

uint64_t hash_strings(const char *first, ...)
{
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a's offset basis and prime, 64 bits */
	va_list args;

	va_start(args, first);
	for (const char *string = first; string; string = va_arg(args, const char *)) {
		const char *byte = string;

		do
			hash = (hash ^ (uint8_t)*byte) * 0x100000001b3;
		while (*byte++);
	}
	va_end(args);
	return hash;
}
