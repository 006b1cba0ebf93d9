/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * except.h - destinations that a masqueraded network reaches untranslated by its uplink, and that
 * reach its interfaces' addresses straight ("except"): a matter of addresses alone, without any
 * state. Only what has no session is looked for here.
 *
 * The key has the network's prefix and the uplink, so that no entry is good for anybody else, nor
 * while a network goes from one uplink to another. Other inside addresses than those of interfaces
 * are translated as ever: nobody outside may reach the gateway's, which is the host.
 */
#ifndef NSROUTE_BPF_EXCEPT_H
#define NSROUTE_BPF_EXCEPT_H

#include "fib.h"
#include "packet.h"

/* On their own: their keys take no room on the stack below which a session is made. */
NSR_STEP int except_lists4(u32 slot, u32 uplink, __be32 remote)
{
	struct nsr_except_key key = {
		.prefix_len = NSR_EXCEPT_BITS + 32,
		.slot = bpf_htons(slot),
		.uplink = uplink,
	};

	__builtin_memcpy(key.address, &remote, sizeof(remote));
	return !!bpf_map_lookup_elem(&exceptions, &key);
}

NSR_STEP int except_lists6(u32 slot, u32 uplink, const struct nsr_address6 *remote)
{
	struct nsr_except_key key = {
		.prefix_len = NSR_EXCEPT_BITS + 128,
		.slot = bpf_htons(slot),
		.uplink = uplink,
	};

	if (!remote)
		return false;
	__builtin_memcpy(key.address, remote, sizeof(key.address));
	return !!bpf_map_lookup_elem(&exceptions, &key);
}

/* Whether nothing between the inside address and the remote is translated, by inside's uplink. */
static __always_inline bool is_excepted4(const struct nsr_inside *inside, __be32 address,
					 __be32 remote)
{
	return inside && inside->except && !ip4_is_special(remote) && fib_host4(address) &&
	       except_lists4(inside->slot, inside->uplink, remote);
}

/* The remote is no part of a packet. */
static __always_inline bool is_excepted6(const struct nsr_inside *inside, const void *address,
					 const struct nsr_address6 *remote)
{
	return inside && inside->except && !ip6_is_special(remote) && fib_host6(address) &&
	       except_lists6(inside->slot, inside->uplink, remote);
}

#endif
