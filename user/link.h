/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * link - network interfaces: bridges and veths made, changed, deleted and read.
 *
 * Requests name links by their name where the kernel allows it, so that one batch can create a link
 * and set it up.
 */
#ifndef NSROUTE_LINK_H
#define NSROUTE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "error.h"
#include "kernel_state.h"
#include "netlink.h"

/* mac NULL: the kernel takes one at random; mtu 0: the kernel's default. A bridge that is given its
 * MAC keeps it, whatever ports come and go. */
void link_add_bridge(struct netlink *nl, const char *name, const uint8_t *mac, uint32_t mtu);

struct link_veth {
	const char *name; /* end in the socket's namespace */
	const uint8_t *mac;
	const char *peer; /* end in the namespace of peer_netns_fd, made there at once */
	const uint8_t *peer_mac;
	int peer_netns_fd; /* -1: the socket's namespace too */
	uint32_t mtu;      /* of both; 0: the kernel's default */
	uint32_t master;   /* ifindex of the bridge that the first end joins at creation; 0: none */
};

/* Both ends are down: the kernel refuses to bring up the peer here (ENOTCONN). */
void link_add_veth(struct netlink *nl, const struct link_veth *veth);

struct link_change {
	bool up, down; /* at most one */
	uint32_t mtu;
	uint32_t sizes[STATE_SIZES]; /* the kernel refuses some that it does not tell */
	const uint8_t *mac;
	bool change_master;
	uint32_t master;          /* ifindex; 0: leave the bridge */
	const char *alias;        /* "": remove */
	bool no_ipv6_autoaddress; /* addrgenmode none: no link-local address of the kernel's choice
				   */
	bool forward, no_forward; /* the link's sysctl for IPv4; at most one */
};

/* Changes what is set (not false, 0 or NULL) of the link, in the kernel's order. */
void link_set(struct netlink *nl, const char *name, const struct link_change *change);
/* Into the namespace of netns_fd, under the same name. The kernel takes its addresses and routes,
 * and leaves it down. -EEXIST when the name is taken there. */
void link_move(struct netlink *nl, const char *name, int netns_fd);
/* The other end of a veth goes too. */
void link_delete(struct netlink *nl, const char *name);
/* Many at once: the kernel waits for its readers once for all links of a group, not once a link.
 * Links are put into it by number, which a name that was given away meanwhile cannot fool; name is
 * for the message. A bridge goes much faster when it is down first: one that is up looks at all its
 * ports again for each port that leaves it. Deleting answers -ENODEV when nothing is in the group.
 * The group is any number but 0, and another one in each process: a killed one may have left links
 * in its own, which are wanted again. Sparing a link takes it out of the group. */
void link_doom(struct netlink *nl, uint32_t ifindex, const char *name, uint32_t group, bool down);
void link_spare(struct netlink *nl, uint32_t ifindex, const char *name, bool up);
void link_delete_doomed(struct netlink *nl, uint32_t group);

/* -ENODEV when there is none. Flushes: the batch must be empty, as for all that reads. */
int link_index(struct netlink *nl, const char *name, uint32_t *ret_ifindex, struct error *err);
/* Of many links in one go; 0 in ret_ifindexes for a link that does not exist. */
int link_indexes(struct netlink *nl, const char *const *names, size_t count,
		 uint32_t *ret_ifindexes, struct error *err);
/* All links of the namespace, without what qdisc_read() fills in. */
int link_read(struct netlink *nl, struct arena *arena, struct state_link **ret_links,
	      size_t *ret_count, struct error *err);

#endif
