/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "frame.h"

#include <arpa/inet.h>
#include <assert.h>
#include <linux/if_arp.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TTL   64
#define DEFAULT_ID    0x1234
#define QUOTED_BEYOND 8 /* bytes behind the quoted IP header, RFC 792 */
#define IP_OPTION_NOP 1
#define ICMP_HEADER   8
#define ICMP_CHECKSUM 2 /* offset in it */

/* Texts are written in the tests: one that is no address is a bug there. */
static void parse(int family, const char *text, void *ret)
{
	if (inet_pton(family, text, ret) != 1)
		abort();
}

__be32 address4(const char *text)
{
	__be32 address;

	parse(AF_INET, text, &address);
	return address;
}

static bool is_ip6(struct frame *frame)
{
	return frame_eth(frame)->h_proto == htons(ETH_P_IPV6);
}

static uint8_t protocol_of(struct frame *frame)
{
	if (!is_ip6(frame))
		return frame_ip4(frame)->protocol;
	return frame->extended ? *(uint8_t *)(frame_ip6(frame) + 1) : frame_ip6(frame)->nexthdr;
}

uint8_t frame_protocol_of(struct frame *frame)
{
	return protocol_of(frame);
}

void *frame_transport(struct frame *frame)
{
	uint8_t *header = frame->bytes + ETH_HLEN;

	if (!is_ip6(frame))
		return header + frame_ip4(frame)->ihl * 4u;
	return header + sizeof(struct ipv6hdr) + (frame->extended ? FRAME_EXTENSION : 0);
}

static uint16_t transport_word(struct frame *frame, unsigned int word)
{
	return ntohs(((uint16_t *)frame_transport(frame))[word]);
}

static bool is_icmp(struct frame *frame)
{
	return protocol_of(frame) == IPPROTO_ICMP || protocol_of(frame) == FRAME_ICMPV6;
}

uint16_t frame_sport(struct frame *frame)
{
	return transport_word(frame, is_icmp(frame) ? 2 : 0);
}

uint16_t frame_dport(struct frame *frame)
{
	return transport_word(frame, is_icmp(frame) ? 2 : 1);
}

/* ---- Checksums. */

static uint32_t add_up(uint32_t sum, const void *data, uint32_t length)
{
	const uint8_t *bytes = data;
	uint32_t i;

	for (i = 0; i < length; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static uint16_t finish(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint32_t transport_length(struct frame *frame)
{
	if (is_ip6(frame))
		return ntohs(frame_ip6(frame)->payload_len) -
		       (frame->extended ? FRAME_EXTENSION : 0);
	return ntohs(frame_ip4(frame)->tot_len) - frame_ip4(frame)->ihl * 4u;
}

/* Over header and payload, with the pseudo header where there is one; 0 when it is right. */
static uint16_t transport_sum(struct frame *frame)
{
	uint32_t length = transport_length(frame), sum = 0;
	uint8_t protocol = protocol_of(frame);

	if (is_ip6(frame))
		sum = add_up(length + protocol, &frame_ip6(frame)->saddr, 32);
	else if (protocol != IPPROTO_ICMP)
		sum = add_up(length + protocol, &frame_ip4(frame)->saddr, 8);
	return finish(add_up(sum, frame_transport(frame), length));
}

/* Where the transport checksum is; NULL for protocols without, and in fragments. */
static uint16_t *transport_field(struct frame *frame)
{
	uint8_t *l4 = frame_transport(frame);

	if (!is_ip6(frame) && frame_ip4(frame)->frag_off & htons(0x3fff))
		return NULL;
	if (frame->extended && frame_ip6(frame)->nexthdr == IPPROTO_FRAGMENT)
		return NULL;
	switch (protocol_of(frame)) {
	case IPPROTO_TCP:
		return (uint16_t *)(l4 + offsetof(struct tcphdr, check));
	case IPPROTO_UDP:
		return (uint16_t *)(l4 + offsetof(struct udphdr, check));
	case IPPROTO_ICMP:
	case FRAME_ICMPV6:
		return (uint16_t *)(l4 + ICMP_CHECKSUM);
	default:
		return NULL;
	}
}

void frame_seal(struct frame *frame)
{
	uint16_t *field = transport_field(frame);

	if (!is_ip6(frame)) {
		frame_ip4(frame)->check = 0;
		frame_ip4(frame)->check =
			htons(finish(add_up(0, frame_ip4(frame), frame_ip4(frame)->ihl * 4u)));
	}
	if (!field)
		return;
	*field = 0;
	*field = htons(transport_sum(frame));
	if (!*field && protocol_of(frame) == IPPROTO_UDP)
		*field = 0xffff; /* 0 would say that there is none, RFC 768 */
}

const char *frame_fault(struct frame *frame)
{
	uint16_t *field;

	if (!is_ip6(frame) && frame_eth(frame)->h_proto != htons(ETH_P_IP))
		return NULL;
	if (!is_ip6(frame) && finish(add_up(0, frame_ip4(frame), frame_ip4(frame)->ihl * 4u)))
		return "IPv4 header checksum";
	field = transport_field(frame);
	if (!field || (!*field && protocol_of(frame) == IPPROTO_UDP && !is_ip6(frame)))
		return NULL;
	return transport_sum(frame) ? "transport checksum" : NULL;
}

/* ---- Building. */

static uint32_t build_transport(struct frame *frame, const struct frame_spec *spec,
				uint8_t protocol)
{
	uint16_t *words = frame_transport(frame);
	uint8_t *bytes = (uint8_t *)words;

	words[0] = htons(spec->sport);
	words[1] = htons(spec->dport);
	switch (protocol) {
	case IPPROTO_TCP:
		bytes[12] = sizeof(struct tcphdr) / 4 << 4;
		bytes[13] = spec->tcp_flags;
		words[7] = htons(0xffff); /* window */
		return sizeof(struct tcphdr);
	case IPPROTO_UDP:
		words[2] = htons((uint16_t)(sizeof(struct udphdr) + spec->payload));
		return sizeof(struct udphdr);
	case IPPROTO_ICMP:
	case FRAME_ICMPV6:
		bytes[0] = spec->icmp_type;
		bytes[1] = spec->icmp_code;
		words[1] = 0;
		words[2] = spec->quoted ? 0 : htons(spec->sport);
		words[3] = htons(spec->icmp_mtu);
		return ICMP_HEADER;
	default:
		return 4;
	}
}

static void build_ip4(struct frame *frame, const struct frame_spec *spec)
{
	struct iphdr *ip = frame_ip4(frame);

	frame_eth(frame)->h_proto = htons(ETH_P_IP);
	ip->version = 4;
	ip->ihl = (sizeof(*ip) + spec->ip_options) / 4u & 0xf;
	memset(ip + 1, IP_OPTION_NOP, spec->ip_options);
	ip->id = htons(spec->id ? spec->id : DEFAULT_ID);
	ip->frag_off = htons(spec->fragment);
	ip->ttl = spec->ttl ? spec->ttl : DEFAULT_TTL;
	ip->protocol = spec->protocol ? spec->protocol : IPPROTO_UDP;
	ip->saddr = address4(spec->source);
	ip->daddr = address4(spec->dest);
}

static void build_ip6(struct frame *frame, const struct frame_spec *spec)
{
	struct ipv6hdr *ip = frame_ip6(frame);
	uint8_t *extension = (uint8_t *)(ip + 1);

	frame_eth(frame)->h_proto = htons(ETH_P_IPV6);
	ip->version = 6;
	ip->nexthdr = spec->protocol ? spec->protocol : IPPROTO_UDP;
	frame->extended = spec->extended;
	if (spec->extended) {
		extension[0] = ip->nexthdr;
		memcpy(extension + 2, spec->extension_data, sizeof(spec->extension_data));
		ip->nexthdr = spec->extension;
	}
	ip->hop_limit = spec->ttl ? spec->ttl : DEFAULT_TTL;
	parse(AF_INET6, spec->source, &ip->saddr);
	parse(AF_INET6, spec->dest, &ip->daddr);
}

void frame_build(struct frame *frame, const struct frame_spec *spec)
{
	struct frame quoted;
	uint32_t header, payload = spec->payload, i;
	uint8_t *behind;

	memset(frame, 0, sizeof(*frame));
	memcpy(frame->bytes, spec->to, ETH_ALEN);
	memcpy(frame->bytes + ETH_ALEN, spec->from, ETH_ALEN);
	if (strchr(spec->source, ':'))
		build_ip6(frame, spec);
	else
		build_ip4(frame, spec);
	header = build_transport(frame, spec, protocol_of(frame));
	behind = (uint8_t *)frame_transport(frame) + header;
	if (spec->quoted) {
		memcpy(&quoted, spec->quoted, sizeof(quoted)); /* other types are read of it */
		payload = (is_ip6(&quoted) ? (uint32_t)sizeof(struct ipv6hdr)
					   : frame_ip4(&quoted)->ihl * 4u) +
			  (spec->quoted_beyond ? spec->quoted_beyond : QUOTED_BEYOND);
		if (payload > quoted.length - ETH_HLEN)
			payload = quoted.length - ETH_HLEN;
		memcpy(behind, frame_ip4(&quoted), payload);
	}
	for (i = 0; i < spec->payload; i++)
		behind[i] = (uint8_t)(i * 7 + 1);
	frame->length = (uint32_t)(behind - frame->bytes) + payload;
	assert(frame->length <= FRAME_MAX);
	if (is_ip6(frame))
		frame_ip6(frame)->payload_len =
			htons((uint16_t)(frame->length - ETH_HLEN - sizeof(struct ipv6hdr)));
	else
		frame_ip4(frame)->tot_len = htons((uint16_t)(frame->length - ETH_HLEN));
	frame_seal(frame);
	if (spec->no_checksum)
		((struct udphdr *)frame_transport(frame))->check = 0;
}

void frame_arp(struct frame *frame, const uint8_t *to, const uint8_t *from,
	       const uint8_t *sender_mac, const char *sender, const char *target)
{
	struct arphdr *arp = (void *)(frame->bytes + ETH_HLEN);
	uint8_t *behind = (uint8_t *)(arp + 1);
	__be32 address;

	memset(frame, 0, sizeof(*frame));
	memcpy(frame->bytes, to, ETH_ALEN);
	memcpy(frame->bytes + ETH_ALEN, from, ETH_ALEN);
	frame_eth(frame)->h_proto = htons(ETH_P_ARP);
	arp->ar_hrd = htons(ARPHRD_ETHER);
	arp->ar_pro = htons(ETH_P_IP);
	arp->ar_hln = ETH_ALEN;
	arp->ar_pln = sizeof(address);
	arp->ar_op = htons(ARPOP_REQUEST);
	memcpy(behind, sender_mac, ETH_ALEN);
	address = address4(sender);
	memcpy(behind + 6, &address, sizeof(address));
	address = address4(target);
	memcpy(behind + 16, &address, sizeof(address));
	frame->length = ETH_HLEN + 28;
}

/* As eth_type_trans(). */
uint32_t frame_packet_type(struct frame *frame, const uint8_t mac[6])
{
	static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	const uint8_t *to = frame_eth(frame)->h_dest;

	if (!memcmp(to, mac, sizeof(all)))
		return PACKET_HOST;
	if (!memcmp(to, all, sizeof(all)))
		return PACKET_BROADCAST;
	return to[0] & 1 ? PACKET_MULTICAST : PACKET_OTHERHOST;
}

void frame_halve(const struct frame *whole, uint16_t id, struct frame ret[2])
{
	const bool ipv6 = whole->bytes[ETH_HLEN] >> 4 == 6;
	const uint32_t header = ETH_HLEN + (ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	const uint32_t more = ipv6 ? FRAME_EXTENSION : 0, data = whole->length - header;

	for (uint32_t i = 0; i < 2; i++) {
		uint32_t length = i ? data - FRAME_HALF : FRAME_HALF;

		memset(&ret[i], 0, sizeof(ret[i]));
		memcpy(ret[i].bytes, whole->bytes, header);
		memcpy(ret[i].bytes + header + more, whole->bytes + header + (size_t)i * FRAME_HALF,
		       length);
		ret[i].length = header + more + length;
		if (ipv6) {
			const uint16_t fragment[] = {
				htons((uint16_t)(frame_ip6(&ret[i])->nexthdr << 8)),
				htons((uint16_t)(i ? FRAME_HALF : 1)), 0, htons(id)};

			memcpy(ret[i].bytes + header, fragment, sizeof(fragment));
			frame_ip6(&ret[i])->nexthdr = IPPROTO_FRAGMENT;
			frame_ip6(&ret[i])->payload_len = htons((uint16_t)(more + length));
			ret[i].extended = 1;
		} else {
			frame_ip4(&ret[i])->id = htons(id);
			frame_ip4(&ret[i])->tot_len = htons((uint16_t)(ret[i].length - ETH_HLEN));
			frame_ip4(&ret[i])->frag_off =
				htons((uint16_t)(i ? FRAME_HALF / 8 : 0x2000));
			frame_seal(&ret[i]);
		}
	}
}
