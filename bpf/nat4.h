/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nat4.h - what IPv4 brings with it into the text of the NAT.
 *
 * conntrack.h, slots.h, contact.h, mapping.h, flows.h, nat.h, guest_session.h, own.h, other.h,
 * datagram.h, direct.h, reclaim.h, publish.h and trace_nat.h speak of addresses by the names of
 * this header alone, so that they can be compiled for another family: what an address is, how two
 * of them are compared, where keys and requests lie, and what the kernel and the tables are asked
 * about one. The rest of IPv4 (headers, rewriting) is in no text but its own.
 */
#ifndef NSROUTE_BPF_NAT4_H
#define NSROUTE_BPF_NAT4_H

#include "common.h"

typedef __be32 nat_address;

#define NAT_SESSION_WORDS NSR_SESSION_WORDS
#define NAT_SHARE_FIRST   0 /* of nsr_share.ports */
#define NAT_FAMILY        0 /* of nsr_share.records, and where the families share a table */

/* A key on the stack, where kernel 6.1 wants keys: *from, copied. */
#define NAT_KEY(key_type, name, from) const key_type name[1] = {*(from)}

/* What a flow is entered under, on the stack. */
#define NAT_ENTRY(name, from)                \
	struct nsr_flow name[1] = {*(from)}; \
	flow_to_key(name)

/* The request that a step is about, by its argument: the caller's. */
#define nat_request_here(request) (request)

/* An address, for TELL(). */
#define nat_told(address) (address)

static __always_inline bool address_equal(const nat_address *a, const nat_address *b)
{
	return *a == *b;
}

static __always_inline bool address_is_none(const nat_address *address)
{
	return !*address;
}

/* A number, where an address would be. */
static __always_inline void nat_number(u32 number, nat_address *ret)
{
	*ret = number;
}

/* An address where the families share a table. */
static __always_inline void address_spell(__be32 *words, const nat_address *address)
{
	words[0] = *address;
}

static __always_inline bool inside_equal(const struct nsr_inside_endpoint *a,
					 const struct nsr_inside_endpoint *b)
{
	return *(const u64 *)a == *(const u64 *)b;
}

static __always_inline bool flow_equal(const struct nsr_flow *a, const struct nsr_flow *b)
{
	const u64 *x = (const u64 *)a, *y = (const u64 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]));
}

/* Turns a flow into what it is entered under. Of a protocol without ports all inside hosts have one
 * key to a remote, so that only one of them can have the session: see other.h. */
static __always_inline void flow_to_key(struct nsr_flow *flow)
{
	if (flow->inside.protocol == NSR_NAT_OTHER)
		flow->inside.address = 0;
}

static __always_inline bool datagram_equal(const struct nsr_datagram *a,
					   const struct nsr_datagram *b)
{
	const u64 *x = (const u64 *)a, *y = (const u64 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]));
}

#ifdef __bpf__

#include "address.h"
#include "client.h"
#include "except.h"
#include "fib.h"

/* Whether it is of this protocol, one with ports or identifiers. */
static __always_inline bool datagram_is_by(const struct nsr_datagram *datagram, u8 protocol)
{
	return datagram->protocol == (protocol == NSR_NAT_TCP   ? IPPROTO_TCP
				      : protocol == NSR_NAT_UDP ? IPPROTO_UDP
								: IPPROTO_ICMP);
}

static __always_inline const struct nsr_inside *nat_inside_of(const nat_address *address)
{
	return inside_of4(*address);
}

static __always_inline const struct nsr_endpoint *nat_owner_of(const nat_address *address)
{
	return fib_host4(*address);
}

/* What has become of an address that has a slot of an uplink, as it was last found. */
NSR_STEP int nat_fate(u32 index, u32 slot, const nat_address *address)
{
	const struct nsr_uplink *uplink = uplink_at(index);

	return uplink && address ? address_fate_of(*address, address_at(uplink, slot))
				 : ADDRESS_GONE;
}

/* Whether it is being changed which addresses the uplink of this number has: nothing begins then.
 */
NSR_STEP int nat_is_changing(u32 index)
{
	const struct nsr_uplink *uplink = uplink_at(index);

	return !uplink || uplink->flags & NSR_UPLINK_CHANGING4;
}

/* Whether an address is one of the others that an uplink has besides its first. */
static __always_inline bool nat_is_more(const struct nsr_uplink *uplink, const nat_address *address)
{
	return uplink->flags & NSR_UPLINK_MORE4 &&
	       address_more_slot(uplink, *address) != NSR_SLOTS_MAX;
}

/* Whether an inside address is to have another external one than it had, or the same in another
 * slot: see nsr_repairing. */
static __always_inline bool nat_is_repaired(const nat_address *inside)
{
	u32 zero = 0, slot;
	const struct nsr_repairing *sets = bpf_map_lookup_elem(&repairing, &zero);

	if (!sets)
		return true;
	slot = address_pair(&sets->before, *inside);
	return address_pair(&sets->after, *inside) != slot ||
	       address_entered(&sets->before, slot) != address_entered(&sets->after, slot);
}

static __always_inline bool nat_is_client(const nat_address *address)
{
	return local_is_client(*address);
}

/* Whether what the flow's inside address sends to the remote is not translated. To an external
 * address it is: that is a hairpin, or the host. */
static __always_inline bool nat_is_excepted(const struct nsr_inside *inside,
					    const struct nsr_flow *flow)
{
	return is_excepted4(inside, flow->inside.address, flow->remote_address) &&
	       !address_is_one_of(flow->inside.uplink, flow->remote_address);
}

/* The first external address as it was last found. */
static __always_inline nat_address nat_address_of(const struct nsr_uplink *uplink)
{
	return address_of(uplink);
}

/* The part of struct bpf_sock_tuple that IPv4 needs: a third of it. */
struct socket_tuple4 {
	__be32 source, dest;
	__be16 source_port, dest_port;
};

/* The verifier wants the two kinds of sockets read by different instructions, which clang would
 * make one of: it does not look into these. */
#define SOCKET_READ(kind, socket, address, ret_wild)            \
	do {                                                    \
		asm volatile("# " kind : "+r"(socket));         \
		u32 bound = address(socket);                    \
		asm volatile("# " kind " bound" : "+r"(bound)); \
		*(ret_wild) = !bound;                           \
	} while (0)

#define SOCKET_ADDRESS4(socket) ((socket)->src_ip4)

/* The socket that gets what the remote sends to this port, of TCP or UDP; NULL, or to be released.
 * *ret_wild: it is there for all addresses of the host, and no remote. */
static __always_inline struct bpf_sock *host_socket(struct __sk_buff *skb, u8 protocol,
						    const nat_address *remote, __be16 remote_port,
						    const nat_address *local, __be16 local_port,
						    bool *ret_wild)
{
	struct socket_tuple4 of = {*remote, *local, remote_port, local_port};
	struct bpf_sock_tuple *tuple = (void *)&of;
	struct bpf_sock *socket;

	if (protocol == NSR_NAT_TCP) {
		socket = bpf_skc_lookup_tcp(skb, tuple, sizeof(of), BPF_F_CURRENT_NETNS, 0);
		if (socket)
			SOCKET_READ("tcp", socket, SOCKET_ADDRESS4, ret_wild);
	} else {
		socket = bpf_sk_lookup_udp(skb, tuple, sizeof(of), BPF_F_CURRENT_NETNS, 0);
		if (socket)
			SOCKET_READ("udp", socket, SOCKET_ADDRESS4, ret_wild);
	}
	return socket;
}

#endif

#endif
