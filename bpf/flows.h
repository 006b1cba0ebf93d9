/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * flows.h - how many sessions a namespace has: whose a new one is, and that it is counted
 * (share.h).
 */
#ifndef NSROUTE_BPF_FLOWS_H
#define NSROUTE_BPF_FLOWS_H

#include "fib.h"
#include "mapping.h"
#include "share.h"
#include "slots.h"

/* The owner of the inside address; when it is no interface's, who sent the packet; when that is not
 * known either, its prefix, as request_limits() has it. */
static __always_inline u32 flows_owner(struct __sk_buff *skb, const struct nat_request *request)
{
	const struct nsr_endpoint *owner = nat_owner_of(&request->flow.inside.address);
	u32 kind = NSR_OWNER_KIND(request->owner), from = skb->ingress_ifindex;
	const struct nsr_port *port;

	if (owner)
		return NSR_OWNER(kind, 1 + owner->port);
	port = kind == NSR_OWNER_INBOUND ? NULL : bpf_map_lookup_elem(&ports, &from);
	return port ? NSR_OWNER(kind, 1 + port->index) : request->owner;
}

/* A session for who owns it, unless it has as many as it may. */
NSR_STEP int flows_claim(struct __sk_buff *skb, struct nat_request *request)
{
	request = nat_request_here(request);
	if (!request)
		return DROP(NAT_SESSIONS);
	request->owner = flows_owner(skb, request);
	return share_take_session(request->owner, request->flows_max, NAT_FAMILY, session_room());
}

/* What flows_claim() took. */
static __always_inline void flows_give(u32 owner)
{
	share_give_session(owner, NAT_FAMILY);
}

#endif
