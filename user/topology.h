/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * topology - the model of one topology file, version 1, and the checks that need the whole of it.
 *
 * topology_read() fills it with what the file says; topology_check() resolves references, refuses
 * what cannot be, and completes what the file leaves to us (gateways, automatic addresses, MAC
 * addresses, names of host ends), always with the same result for the same file. After it, plan
 * needs no defaults. All memory is the arena's; strings and arrays are never NULL when their count
 * is not 0.
 */
#ifndef NSROUTE_TOPOLOGY_H
#define NSROUTE_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "error.h"
#include "ip.h"
#include "names.h"
#include "nsroute_abi.h"

/* Limits of one file; past each a clear error. */
#define TOPOLOGY_NAME_MAX      NAME_INTERFACE_MAX /* of an interface's or network's name */
#define TOPOLOGY_FABRIC_MAX    NAME_FABRIC_MAX
#define TOPOLOGY_NAMESPACE_MAX NAME_NAMESPACE_MAX
#define TOPOLOGY_BRIDGE_PORTS \
	1023                  /* net/bridge/br_private.h: BR_MAX_PORTS is 1 << 10, port 0 unused */
#define TOPOLOGY_MTU_MIN 1280 /* RFC 8200 5: what IPv6 needs */
#define TOPOLOGY_MTU_MAX 65535

#define TOPOLOGY_ERRORS_MAX 500 /* reported; the rest is only counted */

/* Positions and the "incomplete" marks serve the checks only. What is incomplete had an error when
 * it was read: checks that would only follow from that are left out. */

enum network_type { NETWORK_BRIDGE, NETWORK_ROUTED, NETWORK_OVS, NETWORK_TYPES };
enum datapath_mode { DATAPATH_AUTO, DATAPATH_KERNEL };

struct masquerade {
	bool enabled;
	struct position at;
	const char *uplink; /* interface of the host namespace, "auto": that of the default route;
			     * or another network of the file */
	const struct network *network; /* checked: of that name; NULL: an interface of the host */
	/* External, one of each family; family 0: whichever the uplink has. */
	struct ip_address address, address6;
	struct ip_address *more; /* that it names besides these, of either family */
	size_t more_count;
	uint16_t port_min, port_max; /* external ports; 1024-65535 unless the file says otherwise */
	struct nsr_inside inside;    /* filter, limit, timeouts; the uplink is not set */
	/* Destinations that are reached untranslated, host bits clear, in the order of the file. */
	struct ip_address *except;
	struct position *except_at;
	size_t except_count;
	uint32_t flows_max; /* room that the host namespace is to have; 0: the file does not say */
	struct position flows_max_at;
};

/* Packets of TCP of more than 64 KiB: when all of the fabric passes them whole; always; never. */
enum big_tcp_word { BIG_TCP_AUTO, BIG_TCP_ON, BIG_TCP_OFF };

struct network {
	const char *name; /* also the bridge's name in the host namespace */
	struct position at;
	enum network_type type;
	bool incomplete, subnets_incomplete;
	struct ip_address *subnets; /* host bits clear */
	struct position *subnets_at;
	size_t subnets_count;
	bool gateway_auto, gateway_none; /* how "gateway" was written; auto when absent */
	struct position gateway_at;      /* of what was written */
	struct ip_address *gateways;  /* checked: with the prefix of their subnet; none: count 0 */
	struct position *gateways_at; /* of those written in the file */
	size_t gateways_count;
	struct masquerade masquerade;
	bool isolate; /* nothing is forwarded to and from other networks */
	struct position isolate_at;
	bool inbound; /* the uplink may begin flows straight with its addresses */
	struct position inbound_at;
	enum big_tcp_word big_tcp;
	struct position big_tcp_at;
	uint8_t mac[6]; /* of the bridge = the gateway's MAC; completed */
};

struct interface {
	const char *name; /* in the namespace */
	struct position at;
	const char *network_name;
	struct position network_at;
	const struct network *network; /* resolved */
	struct ip_address
		*addresses; /* with prefix; completed: one a subnet when the file has none */
	struct position *addresses_at; /* of those written in the file */
	size_t addresses_count;
	bool addresses_auto; /* completed: the file has none */
	bool has_mac;
	struct position mac_at;
	uint8_t mac[6];        /* completed */
	bool spoof_check;      /* true unless "off" */
	const char *host_name; /* of the host's end; completed; at most 15 bytes, unique */
	uint8_t host_mac[6];   /* completed */
};

struct topology_route {
	struct position at;
	struct ip_address
		to; /* host bits clear; "default" is 0.0.0.0/0 or ::/0 by the family of via */
	struct ip_address via;
	struct position via_at;
};

struct topology_sysctl {
	struct position at;
	const char *key; /* relative to /proc/sys, with slashes between: below net/ */
	const char *value;
};

struct topology_dns { /* nothing in it: the namespace has no resolv.conf of its own */
	struct position at;
	struct ip_address *nameservers;
	size_t nameservers_count;
	const char **search;
	size_t search_count;
};

/* Consecutive ports of a namespace, and those that the outside reaches them by. */
struct published_ports {
	uint16_t external, inside; /* the first of each */
	uint16_t count;
	uint8_t protocol; /* enum nsr_nat_protocol: TCP or UDP */
};

struct publish {
	struct position at;
	struct ip_address address; /* external; family 0: whichever the uplink has */
	struct published_ports ports;
};

struct topology_namespace {
	const char *name;
	struct position at;
	bool interfaces_incomplete;
	struct interface *interfaces;
	size_t interfaces_count;
	struct topology_route *routes;
	size_t routes_count;
	struct topology_sysctl *sysctls;
	size_t sysctls_count;
	struct topology_dns dns;
	struct publish *publish;
	size_t publish_count;
};

struct link_end {
	const struct topology_namespace *namespace; /* NULL: the host namespace */
	const char *namespace_name;                 /* as written; "host" for the host */
	const char *name;
	struct position at;
	bool has_address;
	struct ip_address address;
	struct position address_at;
	uint8_t mac[6]; /* completed */
};

struct topology_link { /* a veth pair with nothing between */
	struct position at;
	struct link_end ends[2];
};

/* An existing interface of the host namespace that is moved into a namespace, and given back. */
struct topology_device {
	const char *name; /* in the host namespace and in the other */
	struct position at;
	const char *namespace_name;
	struct position namespace_at;
	const struct topology_namespace *namespace; /* resolved */
	struct ip_address *addresses;               /* with prefix */
	struct position *addresses_at;
	size_t addresses_count;
	bool has_mac; /* false: it keeps its own */
	struct position mac_at;
	uint8_t mac[6];
	unsigned int mtu; /* 0: it keeps its own */
};

struct topology {
	const char *file; /* as given on the command line, for messages */
	const char *name;
	struct position at;
	uint32_t mtu; /* of every link of the fabric; 1500 by default */
	enum datapath_mode datapath;
	bool networks_incomplete, namespaces_incomplete, links_incomplete, devices_incomplete;
	struct network *networks;
	size_t networks_count;
	struct topology_namespace *namespaces;
	size_t namespaces_count;
	struct topology_link *links;
	size_t links_count;
	struct topology_device *devices;
	size_t devices_count;
	const struct taken *taken; /* checked: what the file gives itself; topology_complete.h */
};

/* All errors of one file; topology_read() leaves them in the order of their positions. */
struct error_list {
	struct arena *arena;
	struct error *errors;
	size_t count;
	size_t omitted; /* past TOPOLOGY_ERRORS_MAX */
};

/* Appends an invalid-file error at a position; line 0: about the file as a whole. */
void error_list_add(struct error_list *list, const char *file, struct position at,
		    const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Orders by position, and says how many were omitted. */
void error_list_finish(struct error_list *list, const char *file);

/* Resolves, checks and completes (the latter only when the list is empty); adds every error it
 * finds. 0, or -EINVAL when the list is not empty. */
int topology_check(struct topology *topology, struct arena *arena, struct error_list *errors);

/* As in the file: "tcp". */
/* Whether both name the same external addresses, in whichever order. */
bool masquerade_same_externals(const struct masquerade *one, const struct masquerade *other);

const char *published_protocol(uint8_t protocol);
/* On 127.0.0.1 or ::1, where a port is published for the host alone. */
bool publish_is_loopback(const struct publish *publish);

/* As in the file: "bridge". */
const char *network_type_name(enum network_type type);

/* The default gateway of a namespace (first gateway, per family, of its first interface that has
 * one, unless its routes say "default"): false when it has none. */
bool topology_default_gateway(const struct topology_namespace *namespace, uint8_t family,
			      struct ip_address *ret_gateway,
			      const struct interface **ret_interface);

#endif
