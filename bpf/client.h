/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * client.h - the addresses that a namespace sees in place of the host's loopback addresses, as the
 * client of a port that is published there. While anything is published they are nobody else's:
 * local.h has what is sent to them and comes from them.
 */
#ifndef NSROUTE_BPF_CLIENT_H
#define NSROUTE_BPF_CLIENT_H

#include "fib.h"

static __always_inline const struct nsr_uplink *local_loopback(void)
{
	u32 ifindex = LOOPBACK_IFINDEX;

	return bpf_map_lookup_elem(&uplinks, &ifindex);
}

/* Whether an address stands for the host's own loopback address. */
static __always_inline bool local_is_client(__be32 address)
{
	return address == bpf_htonl(NSR_LOOPBACK_CLIENT) && local_loopback();
}

static __always_inline bool local6_is_client(const void *address)
{
	const u32 *words = address;

	return words[0] == bpf_htonl(NSR_LOOPBACK_CLIENT6_0) &&
	       words[1] == bpf_htonl(NSR_LOOPBACK_CLIENT6_1) && !words[2] &&
	       words[3] == bpf_htonl(NSR_LOOPBACK_CLIENT6_3) && local_loopback();
}

#endif
