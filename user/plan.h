/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan - desired and observed state in, operations out. Pure: no system calls, no descriptors.
 *
 * Operations name links, not ifindexes (apply resolves them when they exist), and namespaces by
 * their name, NULL for the host's. Each kind but those that destroy has an inverse, so a plan that
 * fails in the middle is undone by the inverses in reverse order. Their order is part of the
 * contract: nothing forwards before the policy that judges it is attached, and what destroys comes
 * last wherever it can, so that a plan that fails has not destroyed anything.
 */
#ifndef NSROUTE_PLAN_H
#define NSROUTE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "error.h"
#include "ip.h"
#include "kernel_state.h"
#include "nsroute_abi.h"
#include "record.h"
#include "topology.h"

enum operation_kind {
	OPERATION_NETNS_ADD,
	OPERATION_NETNS_DELETE,
	OPERATION_BRIDGE_ADD,
	OPERATION_VETH_ADD,
	OPERATION_LINK_DELETE,
	OPERATION_LINK_SET, /* what of alias, up, down, mtu, sizes, mac, master is asked for */
	OPERATION_ADDRESS_ADD,
	OPERATION_ADDRESS_DELETE,
	OPERATION_ROUTE_ADD,
	OPERATION_ROUTE_DELETE,
	OPERATION_NEIGHBOUR_ADD,
	OPERATION_NEIGHBOUR_DELETE,
	OPERATION_FDB_ADD,
	OPERATION_FDB_DELETE,
	OPERATION_SYSCTL_SET,
	OPERATION_DATAPATH_LOAD,
	OPERATION_DATAPATH_UNLOAD,
	OPERATION_INNER_LINK_ADD,
	OPERATION_INNER_LINK_DELETE,
	OPERATION_PORT_ADD, /* both programs, then table entries */
	OPERATION_PORT_DELETE,
	OPERATION_HOST_ADD, /* entry of the datapath's hosts tables; of fdb when it has no address
			     */
	OPERATION_HOST_DELETE,
	OPERATION_UPLINK_ADD, /* both programs, then the table entry */
	OPERATION_UPLINK_DELETE,
	OPERATION_INSIDE_ADD, /* masqueraded prefix */
	OPERATION_INSIDE_DELETE,
	OPERATION_FORGET, /* a record of something that is gone, or that another fabric still needs
			   */
	OPERATION_NETWORK_ADD, /* a record: the network's number in the datapath */
	OPERATION_DIRECTORY_ADD,
	OPERATION_DIRECTORY_DELETE, /* unless others put something there */
	OPERATION_FILE_WRITE,       /* makes it, or exchanges one that has our mark */
	OPERATION_FILE_DELETE,      /* only one that has our mark */
	OPERATION_DEVICE_TAKE,      /* an interface of the host, into the namespace */
	OPERATION_DEVICE_RETURN, /* out of it, to be as it was; namespace NULL: it is out already */
	OPERATION_ADOPT,         /* a record: what single steps made is the fabric's from here on */
	OPERATION_LINK_MOVE,
	OPERATION_OFFLOAD_SET,  /* as SYSCTL_SET in a namespace: see sysctl_key_of_offload */
	OPERATION_OVS_PORT_ADD, /* of the Open vSwitch bridge "master" */
	OPERATION_OVS_PORT_DELETE,
	OPERATION_PROGRAMS_ADD, /* to a datapath that was not used for so much */
	OPERATION_PROGRAMS_REMOVE,
	OPERATION_DATAPATH_EXCHANGE, /* of its programs; "revert": back to what they were */
	OPERATION_PUBLISH_ADD,       /* ports of a namespace, at the uplink "link" */
	OPERATION_PUBLISH_DELETE,
	OPERATION_PORTS_RESERVE,   /* in the host's ip_local_reserved_ports, a set others share */
	OPERATION_PORTS_SET_ASIDE, /* of all pools of the host namespace */
	OPERATION_KINDS
};

/* External addresses besides the first, in places that they keep; family 0: none. */
struct more_externals {
	struct ip_address address[NSR_MORE_MAX], address6[NSR_MORE_MAX];
};

struct operation {
	enum operation_kind kind;
	struct position at;    /* of the object in the topology file; line 0: none */
	const char *namespace; /* where; NULL: host */
	const char *link;      /* name of the link it is about, in that namespace */
	uint32_t ifindex; /* of a link that may be gone: PORT_, INNER_LINK_, UPLINK_DELETE; or 0 */
	/* What was there and is changed by this one; NULL: nothing was. Its inverse. */
	const struct operation *replaces;
	/* The rest depends on the kind. */
	const char *peer_namespace; /* VETH_ADD; LINK_MOVE: where it goes */
	const char *peer;           /* VETH_ADD: name of the other end; DEVICE_RETURN: of the
				     * device in the namespace, where it may have been renamed */
	uint8_t mac[6], peer_mac[6];
	bool has_mac;
	uint32_t mtu;                /* 0: leave */
	uint32_t sizes[STATE_SIZES]; /* LINK_SET; 0: leave */
	const char *alias;           /* LINK_SET; NULL: leave */
	const char *master;          /* LINK_SET; NULL: leave, "": none; OVS_PORT_*: its bridge */
	bool up, down;               /* LINK_SET; neither: leave. LINK_DELETE: down first */
	bool no_ipv6_autoaddress;    /* LINK_SET: no link-local address of the kernel's choice */
	bool forward, no_forward;    /* LINK_SET: IPv4 forwarding; neither: leave */
	bool no_prefix_route;        /* ADDRESS_*: its neighbours are not on the link */
	struct ip_address address;   /* ADDRESS_*, NEIGHBOUR_*, ROUTE_* (to), HOST_*, INSIDE_*;
				      * UPLINK_*:  the external one; PORT_*: the first IPv4 one */
	struct ip_address address6;  /* PORT_*: the first IPv6 one; UPLINK_*: external one */
	struct ip_address external;  /* PUBLISH_*: which of the uplink's it is published on, when
				      * that is not the first; family 0: the first */
	struct ip_address via;       /* ROUTE_* */
	const char *key, *value;     /* SYSCTL_SET; ADOPT, FORGET of a namespace: its cookie;
				      * PORTS_RESERVE: value, old_value: what is ours in it;
				      * PORTS_SET_ASIDE: the set, and what it was */
	const char *old_value;       /* SYSCTL_SET: what to return to; NULL: it ends with its link
				      * or namespace, but what it was is read and recorded */
	bool revert;                 /* SYSCTL_SET, DATAPATH_EXCHANGE: takes an earlier one back */
	uint16_t network;            /* number of the network in the datapath */
	enum network_type network_type; /* NETWORK_ADD */
	const char *network_link;       /* PORT_ADD: the bridge, when it has a gateway */
	uint8_t gateway_mac[6];         /* PORT_ADD, HOST_ADD */
	uint16_t port_flags;            /* PORT_ADD, HOST_ADD, INNER_LINK_ADD: NSR_PORT_* */
	const struct ip_address
		*sources; /* PORT_ADD: what it may send from besides its first addresses */
	size_t sources_count;
	const char *uplink;              /* PORT_ADD (may be NULL), INSIDE_ADD: uplink's name */
	const struct nsr_inside *inside; /* INSIDE_*: what is set; but for its uplink */
	const struct ip_address *except; /* INSIDE_*: of its family, in the order of addresses */
	size_t except_count;
	uint32_t flows;       /* DATAPATH_LOAD: that there is to be room for */
	uint32_t uses;        /* DATAPATH_LOAD, DATAPATH_EXCHANGE, PROGRAMS_*: enum datapath_use */
	uint16_t uplink_slot; /* PORT_ADD: 1 + index of it; 0: an UPLINK_ADD before this tells */
	uint16_t port_min, port_max;       /* UPLINK_ADD */
	bool fixed;                        /* UPLINK_ADD: the file names the address of IPv4 */
	const struct more_externals *more; /* UPLINK_*: those besides; NULL: there are none */
	bool fixed6;                       /* of IPv6, or none that comes in its place would do */
	struct published_ports ports;      /* PUBLISH_*; "address" is inside */
	bool clsact;             /* UPLINK_*: the clsact qdisc is made, or removed, by us */
	bool bare;               /* UPLINK_*: a layer-3 device, no Ethernet headers there */
	bool loopback;           /* UPLINK_*: the loopback interface, where ports are published */
	bool hook_in, hook_out;  /* PORT_ADD, UPLINK_ADD: ours is there, and stays */
	bool hooks_lost;         /* ... but is of a datapath that is gone: exchanged last */
	enum record_kind record; /* FORGET, NETWORK_ADD, ADOPT: "link" is the name in it */
	uint8_t protocol;        /* ROUTE_DELETE, when unmarked: RTPROT_* of it */
	bool by_steps;           /* FORGET, ADOPT: in the record of single steps */
	bool record_inside; /* *_ADD, LINK_MOVE, LINK_DELETE: of single steps, which record links in
			     * namespaces too */
	bool device;        /* LINK_SET, ADDRESS_*: of an interface that is the host's */
	bool unmarked;      /* ADDRESS_, ROUTE_, NEIGHBOUR_ADD: it was somebody else's */
	const char *recorded_as;       /* SYSCTL_SET in a namespace: the name in the record */
	const char *reserve, *release; /* PORTS_RESERVE: what is put in and taken out */
	const char *path;              /* DIRECTORY_*, FILE_* */
	const char *text;              /* FILE_*: what is in it; NULL: it may not be there */
	const char *why;               /* SYSCTL_SET and other surprising ones: shown by plan */
};

struct plan {
	struct operation *operations;
	size_t count;
	/* Whether it moves or renumbers an interface of the host itself: by this operation first
	 * (NULL: no). Then those before confirm_at can be taken back, and what destroys comes
	 * after it. */
	const struct operation *confirm;
	size_t confirm_at;
};

/* What to observe before plan_build() or plan_removal(); topology and record may be NULL. The
 * second needs a state that has the host's links and routes already. */
void plan_needs_namespaces(const struct topology *topology, const struct record *record,
			   struct arena *arena, const char *const **ret_names, size_t *ret_count);
void plan_needs_sysctls(const struct topology *topology, const struct record *record,
			const struct kernel_state *state, struct arena *arena,
			const char *const **ret_keys, size_t *ret_count);

/* The same for sysctls of namespaces, in the order of plan_needs_namespaces(), and for paths. */
struct sysctl_need {
	const char *namespace;
	const char *key;
};
void plan_needs_netns_sysctls(const struct topology *topology, const struct record *record,
			      struct arena *arena, const struct sysctl_need **ret_needs,
			      size_t *ret_count);
/* Whether the other end of this veth is in that namespace. The state needs links. */
struct peer_need {
	const struct state_namespace *namespace;
	struct state_link *link;
	const struct state_namespace *other;
};
void plan_needs_peers(const struct topology *topology, const struct kernel_state *state,
		      struct arena *arena, const struct peer_need **ret_needs, size_t *ret_count);
/* Whether Open vSwitch has to be asked. */
bool plan_needs_ovs(const struct topology *topology, const struct record *record);
void plan_needs_files(const struct topology *topology, const struct record *record,
		      struct arena *arena, const char *const **ret_paths, size_t *ret_count);

/* What has to be done; nothing when the kernel is as the file says. record is NULL when the fabric
 * is new. Refuses (-EEXIST, with the position in the file) names and addresses that exist and are
 * not ours, and (-ENODEV, -EADDRNOTAVAIL) an uplink that does not exist or has no address. */
int plan_build(const struct topology *topology, const struct kernel_state *state,
	       const struct record *record, struct arena *arena, struct plan **ret,
	       struct error *err);

/* What removes a fabric by its record; what is not there any more is left out, what is there but is
 * not ours is left alone and named through log_warning(). */
int plan_removal(const struct record *record, const struct kernel_state *state, struct arena *arena,
		 struct plan **ret, struct error *err);

/* The operation that takes it back; false when none can: NETNS_DELETE, LINK_DELETE, FORGET in
 * the own record, LINK_SET of a new link, and sysctls that end with their link. */
bool plan_inverse(const struct operation *operation, struct operation *ret);

/* The entries of the datapath's tables for PORT_ADD and HOST_ADD, but for the ifindexes and numbers
 * that only the kernel and the datapath know. */
struct nsr_port plan_port_entry(const struct operation *operation);
struct nsr_endpoint plan_endpoint_entry(const struct operation *operation);
struct nsr_inner_link plan_inner_entry(const struct operation *operation);

/* One line, without newline: "+ namespace red", "+ address 192.168.15.11/24 on eth0 in red". */
char *plan_describe(const struct operation *operation, struct arena *arena);
/* Short word for JSON: "netns_add". */
const char *plan_kind_name(enum operation_kind kind);

#endif
