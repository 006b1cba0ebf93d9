/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sources.h - the addresses that a port may speak for: those that the topology gives it, what the
 * file routes by it, and in IPv6 the link-local address that the kernel makes of its MAC.
 */
#ifndef NSROUTE_BPF_SOURCES_H
#define NSROUTE_BPF_SOURCES_H

#include "maps.h"
#include "packet.h"

static __always_inline bool source_listed(const struct nsr_port *port, u32 family,
					  struct nsr_source_key *key)
{
	if (!(port->flags & NSR_PORT_MORE_SOURCES))
		return false;
	key->prefix_len = 32 + 128;
	key->port = bpf_htonl(port->index | family);
	return bpf_map_lookup_elem(&sources, key);
}

static __always_inline bool source_allowed4(const struct nsr_port *port, __be32 address)
{
	struct nsr_source_key key = {};

	if (address == port->address4 && address)
		return true;
	__builtin_memcpy(key.address, &address, sizeof(address));
	return source_listed(port, 0, &key);
}

/* fe80:: and the modified EUI-64 of the MAC, RFC 4291 appendix A. */
static __always_inline bool ip6_is_of_mac(const void *address, const u8 *mac)
{
	const u32 *words = address;
	const u8 *bytes = address;

	return words[0] == bpf_htonl(0xfe800000) && !words[1] && bytes[8] == (mac[0] ^ 2) &&
	       bytes[9] == mac[1] && bytes[10] == mac[2] && bytes[11] == 0xff &&
	       bytes[12] == 0xfe && bytes[13] == mac[3] && bytes[14] == mac[4] &&
	       bytes[15] == mac[5];
}

static __always_inline bool source_allowed6(const struct nsr_port *port, const void *address)
{
	struct nsr_source_key key = {};

	if (ip6_is_unspecified(address))
		return false;
	if (ip6_equal(address, port->address6) || ip6_is_of_mac(address, port->mac))
		return true;
	__builtin_memcpy(key.address, address, sizeof(key.address));
	return source_listed(port, NSR_SOURCE_IPV6, &key);
}

#endif
