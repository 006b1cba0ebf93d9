/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nsroute_abi.h - what the BPF programs and the program that loads them agree on: the keys and
 * values of every map, the limits, the names of the drop reasons.
 *
 * It is the only header that both sides include. Types have fixed width, padding is explicit, and
 * the size of every structure is asserted, because the maps outlive the binary that made them: a
 * change of anything here is a change of NSR_LAYOUT_VERSION.
 *
 * Addresses and ports are in network byte order and say so in their type (__be32, __be16). Times
 * are seconds of the kernel's monotonic clock unless the name says otherwise.
 */
#ifndef NSROUTE_ABI_H
#define NSROUTE_ABI_H

#include <asm/byteorder.h>
#include <linux/types.h>

/* Version of everything in this file; kept in nsr_settings and checked before maps are reused.
 * Whoever raises it notes that by tools/check-layout --update. */
#ifndef NSR_LAYOUT_VERSION /* tests build others */
#define NSR_LAYOUT_VERSION 47
#endif

/* ---- Limits: each is enforced where the table is filled, and documented in docs/datapath.md. */

#define NSR_PORTS_MAX     16384 /* veths of namespaces in one host namespace (ports of networks) */
#define NSR_ADDRESSES_MAX 65536 /* addresses of those ports, per family */
#define NSR_SOURCES_MAX   65536 /* source prefixes beyond the first address of a port */
#define NSR_UPLINKS_MAX   16    /* interfaces that networks masquerade to */
#define NSR_INSIDE_MAX    1024  /* masqueraded prefixes, per family */
#define NSR_INNER_MAX     16384 /* interfaces that belong to fabrics (bridges) */
#define NSR_PUBLISHED_MAX 4096  /* published ports or ranges of them */
#define NSR_EXTERNALS_MAX 8     /* external addresses of an uplink, per family */
#define NSR_SLOTS_MAX     32    /* of external addresses: NSR_UPLINKS_MAX first ones, and others */
#define NSR_POOLS_MAX     (NSR_SLOTS_MAX * NSR_NAT_PROTOCOLS) /* one a protocol and slot */
#define NSR_POOL_PORTS    65536 /* external ports (ICMP: identifiers) of one pool */
/* Concurrent sessions of one host namespace: the table is made for one set of this size, or for so
 * many. Tests build others. */
#ifndef NSR_SESSION_SET
#define NSR_SESSION_SET 262144
#endif
#define NSR_SESSION_SETS_MAX 8
#define NSR_FLOWS_MAX        (NSR_SESSION_SETS_MAX * NSR_SESSION_SET)
#define NSR_SESSION6_SET     131072 /* of IPv6, of which there are as many sets */
#define NSR_PORT_COOLDOWN_S \
	120 /* a freed external port is not used again for this long (RFC 6888 8) */

/* ---- Drop reasons: X(NAME, "name as printed", "what it means").
 * Verdicts below zero are the negative of these, so that the reason is the verdict.
 */
#define NSR_DROP_REASONS(X)                                                                        \
	X(MALFORMED, "malformed", "headers truncated, inconsistent or too many")                   \
	X(VLAN_TAG, "vlan-tag", "a VLAN tag on a port that carries none")                          \
	X(SPOOFED_MAC, "spoofed-mac", "source MAC is not the one of the namespace's interface")    \
	X(SPOOFED_ADDRESS, "spoofed-address", "source address was not given to this interface")    \
	X(WRONG_UPLINK, "wrong-uplink", "masqueraded source routed to another interface")          \
	X(NOT_INSIDE, "not-masqueraded",                                                           \
	  "another source than the masqueraded ones, to the uplink")                               \
	X(INBOUND, "inbound-refused", "sent from the uplink straight to an inside address")        \
	X(NAT_PROTOCOL, "nat-protocol", "a protocol that cannot be masqueraded")                   \
	X(NAT_FRAGMENT, "nat-fragment", "a fragment that cannot be masqueraded")                   \
	X(NAT_ICMP_ERROR, "nat-icmp-error", "an ICMP error that quotes an inside address")         \
	X(NAT_STATE, "nat-state", "no session, and this packet cannot open one")                   \
	X(NAT_PORTS, "nat-ports-exhausted", "every external port is in use or cooling down")       \
	X(NAT_SESSIONS, "nat-sessions-full", "the session table is full")                          \
	X(NAT_CONTENTION, "nat-contention", "lost a race against another CPU too often")           \
	X(NAT_FILTERED, "nat-filtered", "a mapped port, but not from the remote it talks to")      \
	X(NAT_REWRITE, "nat-rewrite", "the kernel refused to change the packet")                   \
	X(ISOLATED, "isolated", "from or to another network, and one of the two is isolated")      \
	X(SPOOFED_NEIGHBOUR, "spoofed-neighbour",                                                  \
	  "neighbour discovery in the name of another, or of a router")                            \
	X(IP_OPTIONS, "ip-options", "a source route, by which a masquerade could be gone around")  \
	X(NAT_SOCKET, "nat-host-socket",                                                           \
	  "the host itself talks to this remote from the external port")                           \
	X(NAT_CLOSED, "nat-uplink-closed", "the uplink has no address, or is being changed")       \
	X(NAT_LIMIT, "nat-flows-limit", "the namespace has as many flows or ports as it may have") \
	X(NAT_HAIRPIN, "nat-hairpin", "to the external address, but does not fit or reach inside") \
	X(NAT_AMBIGUOUS, "nat-ambiguous",                                                          \
	  "a protocol without ports, which another inside host speaks to this remote")

enum nsr_drop_reason {
	NSR_DROP_NONE, /* never counted; keeps the reasons above zero */
#define X(name, text, meaning) NSR_DROP_##name,
	NSR_DROP_REASONS(X)
#undef X
		NSR_DROP_REASONS_END
};

#define NSR_DROP_SLOTS 32 /* reasons a counter array has room for */
_Static_assert(NSR_DROP_REASONS_END <= NSR_DROP_SLOTS, "drop reasons outgrew their counters");

/* ---- Forwarding. */

/* nsr_port.flags, nsr_endpoint.flags and nsr_inner_link.flags */
#define NSR_PORT_FAST         1  /* forwarded by us; without it policy and counters only */
#define NSR_PORT_SPOOF_CHECK  2  /* source MAC and addresses are checked */
#define NSR_PORT_MORE_SOURCES 4  /* "sources" has prefixes for this port */
#define NSR_PORT_ISOLATED     8  /* its network takes nothing from others, and gives them nothing */
#define NSR_PORT_BIG_TCP      16 /* of an endpoint: takes packets of NSR_GSO_MAX bytes and more */
#define NSR_PORT_BEHIND       32 /* its network is masqueraded to another network: see inner.h */
#define NSR_PORT_PUBLISHES    64 /* of a port: its namespace has published ports: see guest.h */

/* Bytes, Ethernet header included, that the kernel cuts a packet at for an interface of default
 * sizes (GSO_LEGACY_MAX_SIZE, gso_features_check()). */
#define NSR_GSO_MAX 65536

/* MACs lie here as they do in a frame, whose IP header is aligned: a source (mac of a port,
 * gateway_mac of an endpoint) begins a word, a destination two bytes before one.
 */

/* Map "ports": HASH by ifindex (__u32) of the host's end of a namespace's veth. */
struct nsr_port {
	__u32 index;           /* slot in "port_counters" and "port_drops" */
	__u32 gateway_ifindex; /* where the kernel would route: the bridge, or without one the port
				* itself; 0: no gateway */
	__u8 mac[6];           /* of the namespace's end; with reserved it is a word to compare */
	__u16 reserved;        /* 0 */
	__u16 network;         /* number of the network, unique in the host namespace */
	__u16 flags;
	__u16 uplink; /* 1 + index of the uplink that the network is masqueraded to; 0: none */
	__u8 gateway_mac[6]; /* frames to it are routed */
	/* The first address of the namespace's end that routers forward from, or 0. */
	__be32 address4;
	__u8 address6[16];
};
_Static_assert(sizeof(struct nsr_port) == 48, "layout");

/* Maps "fdb" (HASH by nsr_fdb_key), "hosts4" (HASH by __be32), "hosts6" (HASH by 16 bytes):
 * where a frame or packet for an interface of a namespace goes. Addresses that routers do not
 * forward to are not there.
 */
struct nsr_endpoint {
	__u32 ifindex;       /* host end of the veth: bpf_redirect_peer()'s argument */
	__u32 port;          /* nsr_port.index of it */
	__u32 mtu;           /* of the veth, both ends */
	__u8 gateway_mac[6]; /* source MAC of what is routed to it */
	__u8 mac[6];
	__u16 network;
	__u16 flags;
};
_Static_assert(sizeof(struct nsr_endpoint) == 28, "layout");

struct nsr_fdb_key {
	__u16 network;
	__u8 mac[6];
};
_Static_assert(sizeof(struct nsr_fdb_key) == 8, "layout");

/* Map "sources": LPM_TRIE of the prefixes a port may send from, besides its first addresses. An
 * IPv4 address is in the first four bytes; the families share no prefix, not even the shortest.
 */
struct nsr_source_key {
	__u32 prefix_len; /* 32 (port) + that of the prefix */
	__u32 port; /* nsr_port.index and NSR_SOURCE_IPV6, big endian: they are matched whole */
	__u8 address[16];
};
#define NSR_SOURCE_IPV6 0x80000000u
_Static_assert(sizeof(struct nsr_source_key) == 24, "layout");

/* Map "inner_links": HASH by ifindex of interfaces that belong to a fabric: what the kernel routes
 * comes in by one when it is from a network.
 */
struct nsr_inner_link {
	__u16 network;
	__u16 flags; /* NSR_PORT_ISOLATED */
};
_Static_assert(sizeof(struct nsr_inner_link) == 4, "layout");

/* ---- Counters. Every packet that a hook sees is in exactly one of fast, slow and drops. */

/* Map "port_counters": PERCPU_ARRAY by nsr_port.index. Bytes include the Ethernet header, a GSO
 * packet counts once: as in the statistics of the veth.
 */
struct nsr_port_counters {
	__u64 tx_packets; /* sent by the namespace = fast + slow + drops, but for rx_dropped */
	__u64 tx_bytes;
	__u64 rx_packets; /* delivered to the namespace, by whichever path */
	__u64 rx_bytes;
	__u64 fast_packets; /* of those sent: forwarded by us */
	__u64 slow_packets; /* of those sent: left to the kernel */
	__u64 rx_dropped;   /* not delivered; the reasons are in "port_drops" with the others */
};
_Static_assert(sizeof(struct nsr_port_counters) == 56, "layout");

/* Maps "port_drops", "uplink_drops": ARRAY by port or uplink index. Added to atomically: drops are
 * rare, and 16,384 ports times 32 reasons times the CPUs would be a lot of memory.
 */
struct nsr_drops {
	__u64 packets[NSR_DROP_SLOTS];
};
_Static_assert(sizeof(struct nsr_drops) == 256, "layout");

/* Map "uplink_counters": PERCPU_ARRAY by nsr_uplink.index. */
struct nsr_uplink_counters {
	__u64 tx_packets; /* seen on the way out = tx_translated + tx_passed + drops on that way */
	__u64 tx_bytes;
	__u64 rx_packets; /* seen on the way in = rx_translated + rx_passed + drops on that way */
	__u64 rx_bytes;
	__u64 tx_translated;
	__u64 rx_translated;
	__u64 tx_passed;
	__u64 rx_passed;
	__u64 rx_fast;    /* of rx_translated: delivered to the namespace by us */
	__u64 tx_dropped; /* drops by direction; the reasons are in "uplink_drops" */
	__u64 rx_dropped;
};
_Static_assert(sizeof(struct nsr_uplink_counters) == 88, "layout");

/* ---- NAT: see docs/nat.md. */

/* Those up to NSR_NAT_PROTOCOLS have ports, so a pool each. All the others are one: see
 * bpf/other.h.
 */
enum nsr_nat_protocol {
	NSR_NAT_TCP,
	NSR_NAT_UDP,
	NSR_NAT_ICMP,
	NSR_NAT_PROTOCOLS,
	NSR_NAT_OTHER = NSR_NAT_PROTOCOLS,
	NSR_NAT_KINDS
};

#define NSR_PROTOCOL_SCTP 132

/* Timeouts: X(NAME, "name as in the topology file", default in seconds). RFC 5382 REQ-5, RFC 4787
 * REQ-5, RFC 5508 REQ-2, RFC 7857 2.2.
 */
#define NSR_NAT_TIMEOUTS(X)                           \
	X(TCP_SYN, "tcp_syn", 240)                    \
	X(TCP_ESTABLISHED, "tcp_established", 432000) \
	X(TCP_FIN, "tcp_fin", 240)                    \
	X(TCP_RST, "tcp_rst", 240)                    \
	X(UDP_UNREPLIED, "udp_unreplied", 120)        \
	X(UDP_REPLIED, "udp_replied", 300)            \
	X(UDP_DNS, "udp_dns", 30)                     \
	X(ICMP, "icmp", 60)                           \
	X(SCTP, "sctp", 7440)                         \
	X(OTHER, "other", 600)                        \
	X(FRAGMENT, "fragment", NSR_DATAGRAM_S)

enum nsr_nat_timeout {
#define X(name, text, seconds) NSR_TIMEOUT_##name,
	NSR_NAT_TIMEOUTS(X)
#undef X
		NSR_TIMEOUTS
};

#define NSR_TIMEOUT_SLOTS 16       /* timeouts there is room for; a power of two */
#define NSR_TIMEOUT_MAX_S 16777215 /* has to fit into nsr_session.life */
_Static_assert(NSR_TIMEOUTS <= NSR_TIMEOUT_SLOTS, "timeouts outgrew their slots");

/* Map "settings": ARRAY of one. */
struct nsr_settings {
	__u32 layout_version;
	__u32 clock_offset_s; /* added to the clock; tests only */
	__u64 build;          /* of the programs (datapath_object.h); 0: they are being exchanged */
	__u64 secret;         /* at random, of what bpf/mark.h says of a packet */
};
_Static_assert(sizeof(struct nsr_settings) == 24, "layout");

/* External addresses have slots: the first of an uplink that with the uplink's index, others one of
 * those behind NSR_UPLINKS_MAX. */
#define NSR_MORE_MAX (NSR_EXTERNALS_MAX - 1)

/* Map "uplinks": HASH by ifindex. Each update is one, so that nobody sees half of the addresses. */
struct nsr_uplink {
	__u32 index;     /* slot in "uplink_counters", "uplink_drops", "nat_counters" */
	__be32 address4; /* external address; 0: nothing can be translated, so inside is dropped */
	__u16 port_min;  /* external ports, host byte order, inclusive */
	__u16 port_max;
	__u32 ifindex;     /* the key again, to compare a route's interface with */
	__u8 address6[16]; /* external address of IPv6; ::, likewise: none */
	__u32 fixed;       /* 1: address4 is the one to use; 0: and whatever comes in its place */
	__u32 fixed6;      /* the same of address6 */
	/* Several of a family: the others. Nothing takes the place of any of them. */
	__u8 slots[NSR_MORE_MAX];   /* of those below; 0: not in use */
	__u8 flags;                 /* NSR_UPLINK_* */
	__be32 more4[NSR_MORE_MAX]; /* 0: none */
	__u8 more6[NSR_MORE_MAX][16];
};
_Static_assert(sizeof(struct nsr_uplink) == 48 + 20 * NSR_MORE_MAX, "layout");

/* Map "uplink_by_index": ARRAY by slot of the ifindex of its uplink (__u32; 0: unused). */

/* A mapping is named by one number: its pool and its external port. So the translation can be
 * computed from the name, and no reader can ever see half of one.
 */
#define NSR_MAPPING(pool, port)  ((__u32)(pool) << 16 | (__u16)(port))
#define NSR_MAPPING_POOL(m)      ((m) >> 16)
#define NSR_MAPPING_PORT(m)      ((__u16)(m))
#define NSR_POOL(slot, protocol) ((slot)*NSR_NAT_PROTOCOLS + (protocol))
#define NSR_MAPPING_SLOT(m)      (NSR_MAPPING_POOL(m) / NSR_NAT_PROTOCOLS)
#define NSR_MAPPING_NONE         0xffff0000u /* of NSR_NAT_OTHER; no pool has this number */

/* The inside half of a mapping; key of HASH "mapping_by_inside", which has those that more than one
 * session may refer to: all but those of NSR_MAPPING_MODE_ADDRESS_AND_PORT. */
struct nsr_inside_endpoint {
	__be32 address;
	__be16 port;   /* ICMP: identifier; NSR_NAT_OTHER: number of the protocol */
	__u8 protocol; /* enum nsr_nat_protocol */
	__u8 uplink;   /* index */
};
_Static_assert(sizeof(struct nsr_inside_endpoint) == 8, "layout");

/* Map "pools": ARRAY_OF_MAPS by pool; each inner map is an ARRAY of NSR_POOL_PORTS by port. An
 * inner map exists only for pools that are in use.
 */
struct nsr_mapping {
	struct nsr_inside_endpoint inside;
	__u32 references; /* sessions; whoever takes it to 0 ends the mapping, nothing revives it */
	__u32 generation; /* counts the uses of the record, so that an older reference shows */
	__u32 released_s; /* when it ended: the port cools down; 0: it is not cooling down */
	__u16 flags;      /* NSR_MAPPING_* */
	__u16 owner;      /* by whose count of ports it is; 0: published, nobody's */
};
_Static_assert(sizeof(struct nsr_mapping) == 24, "layout");

/* nsr_mapping.flags: set and cleared by the program "nsr_publish" only. */
#define NSR_MAPPING_PUBLISHED 1 /* any remote may send to it (RFC 4787 8: endpoint-independent) */
#define NSR_MAPPING_HELD      2 /* one of the references is the publication's */
#define NSR_MAPPING_RESERVED  4 /* not handed out, but published when asked for */

/* nsr_mapping.released_s of a port that is set aside: its bit is set, and nobody has it. */
#define NSR_RELEASED_ASIDE 0xffffffffu

/* Map "set_aside": ARRAY of one, filled by user space, which alone reads it: the ports that no pool
 * of TCP or UDP hands out, whatever its range. */
struct nsr_set_aside {
	__u64 words[NSR_POOL_PORTS / 64]; /* a bit a port */
	__u32 unfinished;                 /* not all of the pools are so yet */
	__u32 reserved;
};
_Static_assert(sizeof(struct nsr_set_aside) == NSR_POOL_PORTS / 8 + 8, "layout");

/* What a namespace sees in place of the host's loopback address, as the client of a port that is
 * published there: 169.254.78.1. Host byte order. */
#define NSR_LOOPBACK_CLIENT 0xa9fe4e01u

/* Map "published": HASH by the mapping (__u32) of the first external port, filled by user space,
 * which alone reads it: what the mappings are made again from when their pool is. */
struct nsr_published {
	struct nsr_inside_endpoint inside; /* of the first port */
	__u16 count;                       /* consecutive ports, of both sides */
	__u16 ready;                       /* all of the mappings are there, and nothing else is */
};
_Static_assert(sizeof(struct nsr_published) == 12, "layout");

/* What the program "nsr_publish" is asked for, behind an Ethernet header of zeros: one step for one
 * port, or for "count" of them. 0 or a negative errno; see bpf/publish.h. */
enum nsr_publish_step {
	NSR_PUBLISH_CLEAR,   /* who has the port, or the inside endpoint, opens no more sessions */
	NSR_PUBLISH_MAKE,    /* -EADDRINUSE: a socket of the host has the port; -EBUSY: not yet */
	NSR_PUBLISH_CLOSE,   /* no more sessions are opened */
	NSR_PUBLISH_RELEASE, /* the publication's reference is given back */
	NSR_PUBLISH_RESERVE, /* of a range: not handed out any more; who has one keeps it */
	NSR_PUBLISH_UNRESERVE, /* of a range: handed out again */
	NSR_PUBLISH_SHARE,     /* of a pool: count is what one namespace may have of it */
};
struct nsr_publish {
	__u32 step; /* enum nsr_publish_step */
	__u32 mapping;
	struct nsr_inside_endpoint inside;
	__be32 external; /* where sockets of the host would listen; 0: not asked for */
	__u32 count;
	__u32 unpaired; /* 1: the inside address has another external one for what it begins */
};
_Static_assert(sizeof(struct nsr_publish) == 28, "layout");

struct nsr_mapping_ref {
	__u32 mapping;
	__u32 generation;
};

/* What is entered under a flow. */
enum nsr_flow_kind {
	NSR_FLOW_TRANSLATED,
	NSR_FLOW_CONTACT, /* no flow, but whom the endpoint has sent to: see bpf/contact.h */
	NSR_FLOW_DIRECT,  /* one that is not translated: see bpf/direct.h */
};

/* Key of HASH "session_by_flow", which serves both directions; of NSR_NAT_OTHER without the inside
 * address, which is in the record alone. */
struct nsr_flow {
	struct nsr_inside_endpoint inside;
	__be32 remote_address;
	__be16 remote_port; /* ICMP, NSR_NAT_OTHER: 0 */
	__u16 kind;         /* enum nsr_flow_kind */
};
_Static_assert(sizeof(struct nsr_flow) == 16, "layout");

/* nsr_session.state: status in the low two bits, generation above. */
#define NSR_SESSION_FREE       0
#define NSR_SESSION_CLAIMED    1
#define NSR_SESSION_ACTIVE     2
#define NSR_SESSION_DYING      3
#define NSR_SESSION_STATUS     3u /* mask */
#define NSR_SESSION_GENERATION 4u /* added on every reuse */

/* nsr_session.life: what was seen, in the low byte, and for how many seconds it lives by that. */
#define NSR_LIFE(timeout_s, seen) ((__u32)(timeout_s) << 8 | (seen))
#define NSR_LIFE_SEEN(life)       ((life)&0xffu)
#define NSR_LIFE_TIMEOUT_S(life)  ((life) >> 8)

/* What was seen. */
#define NSR_SEEN_OUT     1 /* a packet went out */
#define NSR_SEEN_IN      2 /* a packet came in */
#define NSR_SEEN_OUT_SYN 4 /* of SCTP: anything but such an end */
#define NSR_SEEN_IN_SYN  8
#define NSR_SEEN_OUT_ACK 16 /* an ACK without SYN: the handshake's third segment */
#define NSR_SEEN_OUT_FIN 32
#define NSR_SEEN_IN_FIN  64
#define NSR_SEEN_RST     128 /* of SCTP: the end of an association */
#define NSR_SEEN_ENDS    (NSR_SEEN_OUT_FIN | NSR_SEEN_IN_FIN | NSR_SEEN_RST)

#define NSR_DNS_PORT 53

/* What the kernel's FIB said of a session's remote, by the uplink. Both are read and written in
 * one.
 */
union nsr_route {
	struct {
		__be32 next_hop;
		__u32 tag; /* when, of which generation, with which MTU; 0: not asked yet */
	};
	__u64 word;
};

/* Map "sessions": ARRAY by session number. */
struct nsr_session {
	struct nsr_flow flow;
	union {
		struct {
			__u32 state;
			__u32 life;
		};
		__u64 status; /* both, for compare-and-swap */
	};
	__u32 mapping;     /* referenced once a packet went out, not before */
	__u32 refreshed_s; /* last packet that counts for the timeout */
	__be32 external; /* address that it is translated to; of a direct one nsr_inside.inbound */
	__u16 mtu;       /* of the route */
	__u16 owner;     /* see nsroute_abi_share.h */
	union nsr_route route;
};
_Static_assert(sizeof(struct nsr_session) == 48, "layout");

/* An answer of the FIB is believed within the second it was given in, which is one that the session
 * was used in. Whoever writes it may have
 * been overtaken by a new flow in the same record: the tag is then of a generation that is gone, or
 * of an MTU that is another one's. */
#define NSR_ROUTE_TAG(now_s, state, mtu) \
	((__u32)((now_s) ^ (mtu)) << 16 ^ ((state) | NSR_SESSION_STATUS))

struct nsr_session_ref {
	__u32 session;
	__u32 state; /* the session's state when it was entered */
};

/* Which timeout a session is under; a port that its protocol has not is of no matter. */
static inline enum nsr_nat_timeout nsr_timeout_by(__u8 protocol, __be16 inside_port,
						  __be16 remote_port, __u32 seen)
{
	const __u32 both_fins = NSR_SEEN_OUT_FIN | NSR_SEEN_IN_FIN;

	switch (protocol) {
	case NSR_NAT_TCP:
		if (seen & NSR_SEEN_RST)
			return NSR_TIMEOUT_TCP_RST;
		if ((seen & both_fins) == both_fins)
			return NSR_TIMEOUT_TCP_FIN;
		return seen & NSR_SEEN_IN && seen & NSR_SEEN_OUT_ACK ? NSR_TIMEOUT_TCP_ESTABLISHED
								     : NSR_TIMEOUT_TCP_SYN;
	case NSR_NAT_UDP:
		if (__be16_to_cpu(remote_port) == NSR_DNS_PORT)
			return NSR_TIMEOUT_UDP_DNS;
		return seen & NSR_SEEN_IN && seen & NSR_SEEN_OUT ? NSR_TIMEOUT_UDP_REPLIED
								 : NSR_TIMEOUT_UDP_UNREPLIED;
	case NSR_NAT_OTHER:
		if (__be16_to_cpu(inside_port) != NSR_PROTOCOL_SCTP)
			return NSR_TIMEOUT_OTHER;
		return seen & NSR_SEEN_RST ? NSR_TIMEOUT_TCP_RST : NSR_TIMEOUT_SCTP;
	default:
		return NSR_TIMEOUT_ICMP;
	}
}

static inline enum nsr_nat_timeout nsr_timeout_of(const struct nsr_flow *flow, __u32 seen)
{
	return nsr_timeout_by(flow->inside.protocol, flow->inside.port, flow->remote_port, seen);
}

/* Which sessions are meant. What is 0 may be anything. */
struct nsr_selection {
	__be32 address, mask; /* inside */
	__be32 remote, remote_mask;
	__u16 port;    /* inside, external, or the remote's; host byte order */
	__u8 protocol; /* 1 + enum nsr_nat_protocol */
	__u8 uplink;   /* 1 + index */
	__u32 mapping_first, mapping_last;
	__u16 inside_first, inside_last; /* ports, host byte order */
	__u32 unpublished;               /* only sessions of mappings that are not published */
	__u16 unanswered;                /* only sessions on which the inside has sent nothing */
	__u16 repaired; /* only those of inside addresses that "repairing" is about */
	__u32 kind;     /* 1 + enum nsr_flow_kind */
};
_Static_assert(sizeof(struct nsr_selection) == 44, "layout");

static inline int nsr_selects(const struct nsr_selection *selection, const struct nsr_flow *flow,
			      __u32 mapping)
{
	const struct nsr_inside_endpoint *inside = &flow->inside;

	if ((inside->address & selection->mask) != selection->address ||
	    (flow->remote_address & selection->remote_mask) != selection->remote)
		return 0;
	if ((selection->uplink && inside->uplink + 1 != selection->uplink) ||
	    (selection->protocol && inside->protocol + 1 != selection->protocol) ||
	    (selection->kind && flow->kind + 1u != selection->kind))
		return 0;
	if ((selection->mapping_last &&
	     (mapping < selection->mapping_first || mapping > selection->mapping_last)) ||
	    (selection->inside_last && (__be16_to_cpu(inside->port) < selection->inside_first ||
					__be16_to_cpu(inside->port) > selection->inside_last)))
		return 0;
	if (!selection->port)
		return 1;
	return inside->protocol != NSR_NAT_OTHER &&
	       (__be16_to_cpu(inside->port) == selection->port ||
		NSR_MAPPING_PORT(mapping) == selection->port ||
		__be16_to_cpu(flow->remote_port) == selection->port);
}

/* What the program "nsr_flush" is asked for, behind an Ethernet header of zeros in the packet that
 * it is run on: to end those sessions of a part of the table, or to give them the timeouts that are
 * set now. It returns how many it has ended. Or to give back, by a clock that is far ahead, all
 * ports of an external address that cool down.
 */
enum nsr_flush_what { NSR_FLUSH_END, NSR_FLUSH_RENEW, NSR_FLUSH_PORTS };
struct nsr_flush {
	__u32 what;       /* enum nsr_flush_what */
	__u32 first_word; /* of "session_bits", counted through all sets, ... */
	__u32 words;      /* ... and how many: 64 sessions each; at most those of a set */
	__u32 slot;       /* NSR_FLUSH_PORTS: whose ports */
	struct nsr_selection selection;
};

/* A set of numbers that are handed out: one bit each, a summary bit for 64 full words, and one for
 * 64 full summaries, in consecutive words of the ARRAY that holds it.
 */
#define NSR_POOL_WORDS         (NSR_POOL_PORTS / 64)
#define NSR_POOL_BITS_WORDS    (NSR_POOL_WORDS + NSR_POOL_WORDS / 64 + 1)
#define NSR_SESSION_WORDS      (NSR_SESSION_SET / 64)
#define NSR_SESSION_BITS_WORDS (NSR_SESSION_WORDS + NSR_SESSION_WORDS / 64 + 1)

/* A port's number in the set of its pool: all even ports, then all odd ones. So the ports of one
 * parity, above 1023 or not, are words of their own, and one that is free is found by the
 * summaries.
 */
#define NSR_POOL_BIT(port)     ((__u32)(__u16)(port) >> 1 | ((__u32)(port)&1) << 15)
#define NSR_POOL_BIT_PORT(bit) (((__u32)(bit) << 1 & 0xfffe) | ((__u32)(bit) >> 15 & 1))

/* Map "pool_bits": ARRAY by pool. */
struct nsr_pool_bits {
	__u64 words[NSR_POOL_BITS_WORDS];
	__u64 share; /* ports that one namespace may have of it */
};
/* Map "session_bits": ARRAY by set: of the records in "sessions" that follow those of the sets
 * before it. */
struct nsr_session_bits {
	__u64 words[NSR_SESSION_BITS_WORDS];
};

/* Maps "nat_counters", "nat_counters6": ARRAY by uplink index, added to atomically. */
struct nsr_nat_counters {
	__u64 sessions_created[NSR_NAT_KINDS];
	__u64 sessions_expired[NSR_NAT_KINDS];
	__u64 mappings_created[NSR_NAT_PROTOCOLS];
	__u64 mappings_ended[NSR_NAT_PROTOCOLS];
	__u64 ports_used[NSR_NAT_PROTOCOLS]; /* claimed and cooling down */
};
_Static_assert(sizeof(struct nsr_nat_counters) == 136, "layout");

#define NSR_REFUSALS_PER_S   100 /* ICMP errors that a namespace is told of flows refused, ... */
#define NSR_REFUSALS_BURST   100 /* ... after so many at once */
#define NSR_REFUSAL_INTERVAL (1000000000ull / NSR_REFUSALS_PER_S) /* nanoseconds */

/* Map "refusals": ARRAY by port index of when the next one is due (__u64, nanoseconds). */

#include "nsroute_abi_inside.h"
#include "nsroute_abi_ipv6.h"
#include "nsroute_abi_pair.h"
#include "nsroute_abi_rare.h"
#include "nsroute_abi_share.h"

#endif
