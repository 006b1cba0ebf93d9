/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsroute_abi_share.h - the part of nsroute_abi.h, which includes it, for what namespaces share:
 * how much each of them has. What is said there holds here.
 */
#ifndef NSROUTE_ABI_SHARE_H
#define NSROUTE_ABI_SHARE_H

#include <linux/types.h>

/* Who has it: 1 + nsr_port.index for an interface of a namespace; NSR_STRANGERS + nsr_inside.slot
 * for addresses of a masqueraded prefix that are no interface's; NSR_OWNER_HOST for the host
 * itself, see bpf/own.h; 0 for all of them together.
 */
#define NSR_STRANGERS    (NSR_PORTS_MAX + 1)
#define NSR_INSIDE_SLOTS (2 * NSR_INSIDE_MAX) /* of both families */
#define NSR_OWNER_HOST   (NSR_STRANGERS + NSR_INSIDE_SLOTS)
#define NSR_OWNERS       (NSR_OWNER_HOST + 1)

/* nsr_session.owner: who, and for what the session counts. */
enum nsr_owner_kind {
	NSR_OWNER_OWN,
	NSR_OWNER_CONTACT, /* the same, and it refers to a contact: see bpf/contact.h */
	NSR_OWNER_INBOUND, /* the outside has begun it, or it is from a published port */
	NSR_OWNER_KINDS
};
#define NSR_OWNER(kind, number) ((kind)*NSR_OWNERS + (number))
#define NSR_OWNER_KIND(owner)   ((owner) / NSR_OWNERS)
#define NSR_OWNER_NUMBER(owner) ((owner) % NSR_OWNERS)
_Static_assert(NSR_OWNER_KINDS *NSR_OWNERS <= 65536, "owners outgrew nsr_session.owner");

/* How many sessions may be inbound: of an owner that may have so many of its own, and of all, in a
 * family's table of so many records. */
#define NSR_INBOUND_OF(flows_max) ((flows_max) / 4 + ((flows_max) % 4 != 0))
#define NSR_INBOUND_MAX(room)     ((room) / 4)

#define NSR_HOST_FLOWS_MAX 1024 /* sessions of the host's own, of both families together */

/* The timeouts that those have, for no network sets others: NSR_HOST_TCP_SYN_S and so on. */
enum nsr_host_timeout {
#define X(name, text, seconds) NSR_HOST_##name##_S = (seconds),
	NSR_NAT_TIMEOUTS(X)
#undef X
};

/* How many records of a family's table one owner may have for what it begins. One that has them,
 * and all that is inbound, leave the others an eighth. */
#define NSR_RECORDS_MAX(room) ((room) / 8 * 5)

#define NSR_SHARE_PORTS 8 /* counts of ports there is room for: 4 of a family; a power of two */
_Static_assert(NSR_NAT_PROTOCOLS <= NSR_SHARE_PORTS / 2, "protocols outgrew nsr_share");

/* Map "shares": ARRAY by owner. */
struct nsr_share {
	__u32 flows;                  /* sessions, ... */
	__u32 inbound;                /* ... and those that are inbound */
	__u32 records[2];             /* of IPv4 and IPv6: what it has begun takes so many, contacts
				       * too; of all together (0): what is inbound */
	__u32 ports[NSR_SHARE_PORTS]; /* external ports by protocol, those that cool down too */
};
_Static_assert(sizeof(struct nsr_share) == 16 + 4 * NSR_SHARE_PORTS, "layout");

#endif
