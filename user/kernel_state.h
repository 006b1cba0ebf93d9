/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * kernel_state - what the kernel has, as plain data: links, addresses, routes, neighbours, sysctls
 * and the datapath's tables, of the host namespace and of the namespaces that a fabric names.
 *
 * snapshot_take() fills it, plan compares with it, output prints it. It holds no descriptors.
 */
#ifndef NSROUTE_KERNEL_STATE_H
#define NSROUTE_KERNEL_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ip.h"
#include "nsroute_abi.h"

/* Priority of our filters at clsact hooks: "NS"; late, so that others' usual low numbers run first.
 */
#define STATE_HOOK_PRIORITY 0x4e53

/* Our mark on routes, addresses and neighbours: who made them, which the kernel keeps with each
 * (rtm_protocol, IFA_PROTO since Linux 5.18, NDA_PROTOCOL since 5.0) and does nothing with. "N"; of
 * the numbers that are left to user space (4 and up for routes, include/uapi/linux/rtnetlink.h) one
 * that neither the kernel's headers nor iproute2's rt_protos give to another program, so that
 * "ip route" shows "proto 78". Forwarding entries of bridges have no such field: ours are those
 * that the datapath's table names as well. */
#define STATE_PROTOCOL 0x4e

#define STATE_LOOPBACK 1 /* ifindex of every namespace's loopback interface */

struct state_namespace;

/* The largest packets of TCP, in bytes, that a link takes whole from a socket or a forwarding
 * kernel (GSO), and that are made of what it receives (GRO). Each but the last two is for IPv6, and
 * on a kernel before 6.3, which does not tell those, for both families. */
enum state_size { STATE_GSO, STATE_GRO, STATE_GSO_IPV4, STATE_GRO_IPV4, STATE_SIZES };

struct state_link {
	uint32_t ifindex;
	char name[16];
	char alias[256]; /* "" when none */
	uint16_t type;   /* ARPHRD_* */
	char kind[16];   /* "veth", "bridge", "" for hardware and lo */
	uint8_t mac[6];
	uint32_t mtu;
	uint32_t sizes[STATE_SIZES]; /* 0: the kernel does not tell */
	uint32_t flags;              /* IFF_* */
	uint8_t operstate;           /* IF_OPER_* */
	bool carrier;
	bool forwards;          /* IPv4 forwarding is on (its sysctl) */
	uint32_t master;        /* ifindex of the bridge, 0: none */
	uint32_t lower_ifindex; /* of the link that it stands on (VLAN, macvlan), 0: none */
	uint32_t peer_ifindex;  /* veth: ifindex of the other end, in its own namespace */
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, rx_dropped, tx_dropped;
	bool peer_elsewhere; /* veth: the other end is in another namespace, ... */
	int32_t peer_nsid;   /* ... which this one knows by this number (NETNSA_NSID) */
	const struct state_namespace *peer_namespace; /* snapshot_peers(); NULL: not known */
	bool peer_asked; /* snapshot_ask_peers(): peer_namespace NULL says that it is elsewhere */
	bool vlan_filtering;  /* bridge: its ports are not one segment */
	uint32_t xdp_program; /* number of the XDP program, 0: none */
	/* host namespace only: */
	bool clsact;            /* has a clsact qdisc */
	bool other_qdisc;       /* has a root qdisc other than noqueue */
	bool set_qdisc;         /* ... that somebody set: it is not the kernel's default */
	bool ingress_qdisc;     /* has an "ingress" qdisc, which is where clsact would be */
	bool hook_in, hook_out; /* our program sits at clsact ingress / egress */
	uint32_t hook_in_program, hook_out_program; /* the kernel's numbers of them */
	bool foreign_hooks;                         /* somebody else's filter sits there too */
	bool place_taken;                           /* ... at the priority that is ours */
	bool shared_block; /* its clsact has its filters in a block that links share */
};

/* Whether our programs are where they are to be: the loopback interface has one on the way out. */
static inline bool state_link_is_hooked(const struct state_link *link)
{
	return link->hook_out && (link->hook_in || link->ifindex == STATE_LOOPBACK);
}

struct state_address {
	uint32_t ifindex;
	struct ip_address address;
	uint32_t flags;   /* IFA_F_* */
	uint8_t protocol; /* STATE_PROTOCOL: ours */
	uint32_t age_s;   /* since it was added */
};

struct state_route {           /* main table only, where nothing else is said */
	struct ip_address to;  /* prefix_len 0: default */
	struct ip_address via; /* family 0: on the link */
	uint32_t ifindex;
	uint8_t protocol; /* RTPROT_*; STATE_PROTOCOL: ours */
	uint8_t type;     /* RTN_* */
	uint8_t table;    /* 0: main */
	uint32_t metric;
	bool onlink; /* via is taken to be on the link, whatever the addresses say */
};

struct state_neighbour { /* ARP and ND entries, and FDB entries (ip.family 0) */
	uint32_t ifindex;
	struct ip_address ip;
	uint8_t mac[6];
	uint16_t state;   /* NUD_* */
	uint8_t flags;    /* NTF_* */
	uint8_t protocol; /* STATE_PROTOCOL: ours; not of FDB entries */
};

struct state_sysctl {
	const char *key;   /* "net/ipv4/conf/eth0/forwarding", relative to /proc/sys */
	const char *value; /* without the newline; NULL: there is no such sysctl */
};

/* One network namespace. */
struct state_namespace {
	const char *name; /* NULL: the host namespace */
	bool exists;      /* /run/netns/NAME is a network namespace */
	bool stale; /* /run/netns/NAME is there but is no namespace (left by a killed process) */
	uint64_t cookie;   /* SO_NETNS_COOKIE */
	const char *alias; /* of lo: "nsroute:FABRIC" when it is ours; "" when none */
	const char *owner; /* in words, the fabric of another host namespace that it is of; NULL */
	struct state_link *links;
	size_t links_count;
	struct state_address *addresses;
	size_t addresses_count;
	struct state_route *routes;
	size_t routes_count;
	struct state_neighbour *neighbours;
	size_t neighbours_count;
	struct state_sysctl *sysctls; /* those asked for */
	size_t sysctls_count;
};

/* Tables of the datapath, as its maps hold them (nsroute_abi.h). */
struct state_port {
	uint32_t ifindex;
	struct nsr_port port;
	struct nsr_port_counters counters;
	struct nsr_drops drops;
};

struct state_endpoint {
	struct ip_address ip; /* family 0: an FDB entry */
	struct nsr_fdb_key key;
	struct nsr_endpoint endpoint;
};

struct state_uplink {
	struct nsr_uplink uplink; /* as the programs have found its first addresses */
	struct nsr_uplink known;  /* what is fixed of them as it was entered, also while the host
				   * has lost it */
	struct nsr_uplink_counters counters;
	struct nsr_drops drops;
	struct nsr_nat_counters nat; /* IPv4 and IPv6 */
};

struct state_inside {
	struct ip_address prefix;
	struct nsr_inside inside;
	struct ip_address *except; /* reached untranslated, in the order of addresses */
	size_t except_count;
};

struct state_published {
	bool ipv6;
	uint32_t mapping;                /* of the first port */
	struct nsr_published6 published; /* an IPv4 address is its first word */
};

struct state_source {
	uint32_t port;
	struct ip_address prefix;
};

struct state_inner_link {
	uint32_t ifindex;
	struct nsr_inner_link inner;
};

/* What a datapath is used for, in bits. A program is loaded when all that it is for is used: what
 * takes time is that the kernel verifies it. */
enum datapath_use {
	USE_PORTS = 1,     /* namespaces; always */
	USE_NAT = 2,       /* masquerading and publishing, at whatever kind of uplink */
	USE_ETHERNET = 4,  /* an uplink with Ethernet headers */
	USE_BARE = 8,      /* an uplink without */
	USE_LOOPBACK = 16, /* published ports are reached from the host itself */
	USE_IPV6 = 32,     /* masquerading of IPv6 */
};
#define USE_ALL 63

struct state_datapath {
	bool loaded;         /* pinned for this host namespace */
	bool other_build;    /* the programs are not this binary's, or not all of them */
	bool unreadable;     /* of another layout: nothing else is known of it */
	uint32_t flows_max;  /* masqueraded flows that there is room for */
	uint32_t uses;       /* enum datapath_use: what programs are loaded for */
	bool lacks_programs; /* some for that are not there: somebody was killed, or removed them */
	uint32_t *programs;  /* the kernel's numbers of those that are pinned for hooks */
	size_t programs_count;
	struct state_port *ports;
	size_t ports_count;
	struct state_endpoint *endpoints;
	size_t endpoints_count;
	struct state_uplink *uplinks;
	size_t uplinks_count;
	struct state_inside *inside;
	size_t inside_count;
	struct state_published *published;
	size_t published_count;
	struct state_source *sources;
	size_t sources_count;
	struct state_inner_link *inner_links;
	size_t inner_links_count;
	const char *set_aside; /* ports that no pool hands out, as port_set_text(); NULL: none */
	bool set_aside_unfinished;
};

/* What lies at a path below /etc/netns. */
struct state_file {
	const char *path;
	bool exists, directory;
	const char *text; /* of a regular file of reasonable size; else NULL */
};

struct state_ovs_bridge {
	const char *name;
	bool userspace; /* datapath_type=netdev */
};

struct state_ovs_port {
	const char *name;
	const char *bridge;
	const char *fabric; /* external_ids:nsroute; "" when it is not a fabric's */
};

/* Open vSwitch, which is looked at only when a fabric has to do with it. */
struct state_ovs {
	bool asked;
	const char *problem; /* why nothing is known; NULL: all is well */
	struct state_ovs_bridge *bridges;
	size_t bridges_count;
	struct state_ovs_port *ports;
	size_t ports_count;
};

struct record;

struct kernel_state {
	struct state_namespace host;
	struct state_namespace *namespaces;
	size_t namespaces_count;
	struct state_datapath datapath;
	struct state_file *files; /* those asked for */
	size_t files_count;
	struct state_ovs ovs;
	/* Not the kernel's, but as shared as it is: records of the other fabrics of this host
	 * namespace, which may need the same uplink or sysctl. */
	struct record *others;
	size_t others_count;
	const struct record *steps; /* of what single steps made; NULL: nothing */
};

#endif
