/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * inner.h - a network that is the uplink of another one.
 *
 * The bridge of the network that is masqueraded to has an uplink's programs, and its gateway's
 * address is the external one. It differs from other uplinks in whom it guards. It leads into a
 * fabric, and what is masqueraded elsewhere goes into a fabric untranslated, as it does where no
 * uplink is; the hosts of that network itself may be masqueraded elsewhere, too. So only what is
 * masqueraded to this very uplink is inside for it: that leaves translated or not at all, and
 * neither comes from there nor is reached from there.
 *
 * A port forwards to other networks without asking the kernel, past the bridge. Between these two
 * networks it must not: what is sent there is masqueraded as towards any uplink, and what is sent
 * from there straight to inside is refused. The endpoints and ports of the network behind have a
 * flag, so that all others pay nothing.
 */
#ifndef NSROUTE_BPF_INNER_H
#define NSROUTE_BPF_INNER_H

#include "fib.h"
#include "policy.h"
#include "steps.h"

NSR_STEP int uplink_is_inner(struct __sk_buff *skb)
{
	u32 ifindex = skb->ifindex;

	return !!bpf_map_lookup_elem(&inner_links, &ifindex);
}

/* Whether what is masqueraded elsewhere is no concern of the uplink of this number, which the
 * packet is at. */
static __always_inline bool inside_is_elsewhere(struct __sk_buff *skb,
						const struct nsr_inside *inside, u32 uplink)
{
	return inside->uplink != uplink && uplink_is_inner(skb);
}

/* What is inside for the uplink of this number, which the packet is at. */
static __always_inline const struct nsr_inside *inside_at4(struct __sk_buff *skb, u32 uplink,
							   __be32 address)
{
	const struct nsr_inside *inside = inside_of4(address);

	return inside && !inside_is_elsewhere(skb, inside, uplink) ? inside : NULL;
}

static __always_inline const struct nsr_inside *inside_at6(struct __sk_buff *skb, u32 uplink,
							   const void *address)
{
	const struct nsr_inside *inside = inside_of6(address);

	return inside && !inside_is_elsewhere(skb, inside, uplink) ? inside : NULL;
}

/* The network that an uplink leads to; NULL: it leads out of the fabrics, or there is none. */
static __always_inline const struct nsr_inner_link *inner_of_uplink(u32 index)
{
	const u32 *found = bpf_map_lookup_elem(&uplink_by_index, &index);
	u32 ifindex;

	if (!found)
		return NULL;
	ifindex = *found;
	return bpf_map_lookup_elem(&inner_links, &ifindex);
}

/* Whether the networks of a port and an endpoint may be two of those that inner_judge() is about,
 * or what it sends an answer by a published port (guest.h). */
static __always_inline bool inner_may_part(const struct nsr_port *port,
					   const struct nsr_endpoint *to)
{
	return port->network != to->network &&
	       (port->flags | to->flags) &
		       (NSR_PORT_ISOLATED | NSR_PORT_BEHIND | NSR_PORT_PUBLISHES);
}

/* Of what a port sends to an endpoint of another network: 0, a reason to drop it, or VERDICT_RARE:
 * it goes by the port's uplink. */
NSR_STEP int inner_judge(struct __sk_buff *skb, const struct nsr_port *port,
			 const struct nsr_endpoint *to)
{
	const struct nsr_inside *inside = NULL;
	const struct nsr_inner_link *inner;
	enum packet_kind kind;
	struct packet p;

	if (!port || !to)
		return DROP(MALFORMED);
	if (policy_isolates(port->network, port->flags, to->network, to->flags))
		return DROP(ISOLATED);
	if (port->flags & NSR_PORT_BEHIND) {
		inner = inner_of_uplink(port->uplink - 1u);
		if (!inner) /* being changed */
			return DROP(NAT_CLOSED);
		if (inner->network == to->network)
			return VERDICT_RARE;
	}
	if (!(to->flags & NSR_PORT_BEHIND))
		return 0;
	kind = parse(skb, &p);
	if (kind == PACKET_IPV4)
		inside = inside_of4(p.ip4->daddr);
	else if (kind == PACKET_IPV6)
		inside = inside_of6(&p.ip6->daddr);
	inner = inside ? inner_of_uplink(inside->uplink) : NULL;
	return inner && inner->network == port->network ? DROP(INBOUND) : 0;
}

#endif
