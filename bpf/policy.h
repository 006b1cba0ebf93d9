/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * policy.h - whether a namespace may send this. Comes before everything else: no option, fragment,
 * extension header or VLAN tag gets around it, because it looks at nothing but the Ethernet source
 * and the network-layer source, which are where they always are; what it cannot judge is dropped.
 */
#ifndef NSROUTE_BPF_POLICY_H
#define NSROUTE_BPF_POLICY_H

#include "maps.h"
#include "packet.h"

static __always_inline bool source_listed(const struct nsr_port *port, struct nsr_source_key *key)
{
	if (!(port->flags & NSR_PORT_MORE_SOURCES))
		return false;
	key->prefix_len = 32 + 128;
	key->port = bpf_htonl(port->index);
	return bpf_map_lookup_elem(&sources, key);
}

static __always_inline bool source_allowed4(const struct nsr_port *port, __be32 address)
{
	struct nsr_source_key key = {};

	if (address == port->address4 && address)
		return true;
	key.address[10] = 0xff;
	key.address[11] = 0xff;
	__builtin_memcpy(&key.address[12], &address, sizeof(address));
	return source_listed(port, &key);
}

static __always_inline bool source_allowed6(const struct nsr_port *port, const void *address)
{
	struct nsr_source_key key = {};

	if (ip6_equal(address, port->address6) && !ip6_is_unspecified(address))
		return true;
	/* Never forwarded by a router (RFC 4291 2.5.6); :: is what DAD and MLD send from. */
	if (ip6_is_link_local(address) || ip6_is_unspecified(address))
		return true;
	__builtin_memcpy(key.address, address, sizeof(key.address));
	return source_listed(port, &key);
}

/* Sender of an ARP packet: an address of the port, or 0.0.0.0 in a probe (RFC 5227 2.1.1). */
static __always_inline bool source_allowed_arp(const struct nsr_port *port,
					       const struct arp_ipv4 *arp)
{
	__be32 sender;

	if (!mac_equal(arp->sender_mac, port->mac))
		return false;
	__builtin_memcpy(&sender, arp->sender, sizeof(sender));
	return !sender || source_allowed4(port, sender);
}

/* 0, or the reason to drop. tagged: the packet carries a VLAN tag beside its bytes. */
static __always_inline int policy_source(const struct nsr_port *port, const struct packet *p,
					 enum packet_kind kind, bool tagged)
{
	if (!(port->flags & NSR_PORT_SPOOF_CHECK))
		return 0;
	if (kind == PACKET_MALFORMED)
		return DROP(MALFORMED);
	if (tagged || p->eth->h_proto == bpf_htons(ETH_P_8021Q) ||
	    p->eth->h_proto == bpf_htons(ETH_P_8021AD))
		return DROP(VLAN_TAG);
	if (!mac_equal(p->eth->h_source, port->mac))
		return DROP(SPOOFED_MAC);
	if ((kind == PACKET_IPV4 && !source_allowed4(port, p->ip4->saddr)) ||
	    (kind == PACKET_IPV6 && !source_allowed6(port, &p->ip6->saddr)) ||
	    (kind == PACKET_ARP && !source_allowed_arp(port, p->arp)))
		return DROP(SPOOFED_ADDRESS);
	return 0;
}

#endif
