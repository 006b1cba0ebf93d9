/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works
 *
 * A request without an interface number is looked up by IFLA_IFNAME in the kernel, so changes need
 * no number and may stand in the same batch as the creation. What the kernel ignores at creation
 * (the alias, the IPv6 address mode) is a change of its own.
 *
 * A veth's second end is described inside the first one's request (VETH_INFO_PEER: a header and
 * attributes of its own); with IFLA_NET_NS_FD there it is created in its namespace, which is much
 * faster than moving it.
 */
#include "link.h"

#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

/* Since Linux 6.3 (include/uapi/linux/if_link.h); our headers may be older. */
#define LINK_GSO_IPV4_MAX_SIZE 63
#define LINK_GRO_IPV4_MAX_SIZE 64

static const uint16_t size_attributes[STATE_SIZES] = {
	[STATE_GSO] = IFLA_GSO_MAX_SIZE,
	[STATE_GRO] = IFLA_GRO_MAX_SIZE,
	[STATE_GSO_IPV4] = LINK_GSO_IPV4_MAX_SIZE,
	[STATE_GRO_IPV4] = LINK_GRO_IPV4_MAX_SIZE,
};

struct link_list {
	struct arena *arena;
	struct state_link *links;
	size_t count;
};

/* ---- Requests. */

static void put_identity(struct nlmsghdr *message, const char *name, const uint8_t *mac,
			 uint32_t mtu)
{
	netlink_put_string(message, IFLA_IFNAME, name);
	if (mac)
		mnl_attr_put(message, IFLA_ADDRESS, 6, mac);
	if (mtu)
		mnl_attr_put_u32(message, IFLA_MTU, mtu);
}

void link_add_bridge(struct netlink *nl, const char *name, const uint8_t *mac, uint32_t mtu)
{
	struct nlmsghdr *message =
		netlink_queue(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg),
			      "create bridge '%s'", name);
	struct nlattr *info;

	put_identity(message, name, mac, mtu);
	info = mnl_attr_nest_start(message, IFLA_LINKINFO);
	netlink_put_string(message, IFLA_INFO_KIND, "bridge");
	mnl_attr_nest_end(message, info);
}

void link_add_veth(struct netlink *nl, const struct link_veth *veth)
{
	struct nlmsghdr *message =
		netlink_queue(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg),
			      "create veth pair '%s' and '%s'", veth->name, veth->peer);
	struct nlattr *info, *data, *peer;

	put_identity(message, veth->name, veth->mac, veth->mtu);
	if (veth->master)
		mnl_attr_put_u32(message, IFLA_MASTER, veth->master);
	info = mnl_attr_nest_start(message, IFLA_LINKINFO);
	netlink_put_string(message, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(message, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(message, sizeof(struct ifinfomsg));
	put_identity(message, veth->peer, veth->peer_mac, veth->mtu);
	if (veth->peer_netns_fd >= 0)
		mnl_attr_put_u32(message, IFLA_NET_NS_FD, (uint32_t)veth->peer_netns_fd);
	mnl_attr_nest_end(message, peer);
	mnl_attr_nest_end(message, data);
	mnl_attr_nest_end(message, info);
}

static void put_no_ipv6_autoaddress(struct nlmsghdr *message)
{
	struct nlattr *inet6 = mnl_attr_nest_start(message, AF_INET6);

	mnl_attr_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(message, inet6);
}

static void put_forwarding(struct nlmsghdr *message, bool on)
{
	struct nlattr *inet = mnl_attr_nest_start(message, AF_INET);
	struct nlattr *settings = mnl_attr_nest_start(message, IFLA_INET_CONF);

	mnl_attr_put_u32(message, IPV4_DEVCONF_FORWARDING, on);
	mnl_attr_nest_end(message, settings);
	mnl_attr_nest_end(message, inet);
}

static void put_families(struct nlmsghdr *message, const struct link_change *change)
{
	struct nlattr *families;

	if (!change->no_ipv6_autoaddress && !change->forward && !change->no_forward)
		return;
	families = mnl_attr_nest_start(message, IFLA_AF_SPEC);
	if (change->no_ipv6_autoaddress)
		put_no_ipv6_autoaddress(message);
	if (change->forward || change->no_forward)
		put_forwarding(message, change->forward);
	mnl_attr_nest_end(message, families);
}

void link_set(struct netlink *nl, const char *name, const struct link_change *change)
{
	struct nlmsghdr *message = netlink_queue(nl, RTM_SETLINK, 0, sizeof(struct ifinfomsg),
						 "set up link '%s'", name);
	struct ifinfomsg *header = mnl_nlmsg_get_payload(message);

	assert(!(change->up && change->down) && !(change->forward && change->no_forward));
	if (change->up || change->down) {
		header->ifi_change = IFF_UP;
		header->ifi_flags = change->up ? IFF_UP : 0;
	}
	put_identity(message, name, change->mac, change->mtu);
	for (size_t i = 0; i < STATE_SIZES; i++)
		if (change->sizes[i])
			mnl_attr_put_u32(message, size_attributes[i], change->sizes[i]);
	if (change->change_master)
		mnl_attr_put_u32(message, IFLA_MASTER, change->master);
	if (change->alias)
		netlink_put_string(message, IFLA_IFALIAS, change->alias);
	put_families(message, change);
}

void link_move(struct netlink *nl, const char *name, int netns_fd)
{
	struct nlmsghdr *message = netlink_queue(nl, RTM_SETLINK, 0, sizeof(struct ifinfomsg),
						 "move link '%s' to another namespace", name);

	netlink_put_string(message, IFLA_IFNAME, name);
	mnl_attr_put_u32(message, IFLA_NET_NS_FD, (uint32_t)netns_fd);
}

void link_delete(struct netlink *nl, const char *name)
{
	struct nlmsghdr *message = netlink_queue(nl, RTM_DELLINK, 0, sizeof(struct ifinfomsg),
						 "delete link '%s'", name);

	netlink_put_string(message, IFLA_IFNAME, name);
}

static struct ifinfomsg *queue_group(struct netlink *nl, uint32_t ifindex, const char *name,
				     uint32_t group)
{
	struct nlmsghdr *message = netlink_queue(nl, RTM_SETLINK, 0, sizeof(struct ifinfomsg),
						 "delete link '%s'", name);
	struct ifinfomsg *header = mnl_nlmsg_get_payload(message);

	header->ifi_index = (int)ifindex;
	mnl_attr_put_u32(message, IFLA_GROUP, group);
	return header;
}

void link_doom(struct netlink *nl, uint32_t ifindex, const char *name, uint32_t group, bool down)
{
	struct ifinfomsg *header = queue_group(nl, ifindex, name, group);

	if (down)
		header->ifi_change = IFF_UP;
}

void link_spare(struct netlink *nl, uint32_t ifindex, const char *name, bool up)
{
	struct ifinfomsg *header = queue_group(nl, ifindex, name, 0);

	if (up)
		header->ifi_flags = header->ifi_change = IFF_UP;
}

void link_delete_doomed(struct netlink *nl, uint32_t group)
{
	struct nlmsghdr *message =
		netlink_queue(nl, RTM_DELLINK, 0, sizeof(struct ifinfomsg), "delete links");

	mnl_attr_put_u32(message, IFLA_GROUP, group);
}

/* ---- Reading. */

static void queue_get(struct netlink *nl, const char *name)
{
	struct nlmsghdr *message =
		netlink_queue(nl, RTM_GETLINK, 0, sizeof(struct ifinfomsg), "find link '%s'", name);

	netlink_put_string(message, IFLA_IFNAME, name);
	mnl_attr_put_u32(message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
}

static int take_index(const struct nlmsghdr *message, size_t request, void *ret_ifindexes)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);

	((uint32_t *)ret_ifindexes)[request] = (uint32_t)header->ifi_index;
	return 0;
}

int link_index(struct netlink *nl, const char *name, uint32_t *ret_ifindex, struct error *err)
{
	uint32_t ifindex = 0;
	int code;

	assert(!netlink_pending(nl));
	queue_get(nl, name);
	code = netlink_flush_answers(nl, NULL, take_index, &ifindex, err);
	if (!code)
		*ret_ifindex = ifindex;
	return code;
}

int link_indexes(struct netlink *nl, const char *const *names, size_t count,
		 uint32_t *ret_ifindexes, struct error *err)
{
	assert(!netlink_pending(nl));
	for (size_t i = 0; i < count; i++) {
		ret_ifindexes[i] = 0;
		queue_get(nl, names[i]);
		netlink_tolerate(nl, -ENODEV);
	}
	return netlink_flush_answers(nl, NULL, take_index, ret_ifindexes, err);
}

static void copy_string(char *to, size_t size, const struct nlattr *attribute)
{
	size_t length =
		strnlen(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute));

	if (length >= size)
		length = size - 1;
	memcpy(to, mnl_attr_get_payload(attribute), length);
	to[length] = '\0';
}

static void take_statistics(struct state_link *link, const struct nlattr *attribute)
{
	struct rtnl_link_stats64 all = {0};
	size_t size = mnl_attr_get_payload_len(attribute);

	/* The kernel's may be longer than that of our headers, and is not aligned to 8. */
	memcpy(&all, mnl_attr_get_payload(attribute), size < sizeof(all) ? size : sizeof(all));
	link->rx_packets = all.rx_packets;
	link->rx_bytes = all.rx_bytes;
	link->rx_dropped = all.rx_dropped;
	link->tx_packets = all.tx_packets;
	link->tx_bytes = all.tx_bytes;
	link->tx_dropped = all.tx_dropped;
}

static void take_bridge(struct state_link *link, const struct nlattr *data)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute,
				 data) if (mnl_attr_get_type(attribute) == IFLA_BR_VLAN_FILTERING)
		link->vlan_filtering = mnl_attr_get_u8(attribute);
}

/* The kind comes before its data. */
static void take_kind(struct state_link *link, const struct nlattr *info)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, info)
	{
		if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND)
			copy_string(link->kind, sizeof(link->kind), attribute);
		if (mnl_attr_get_type(attribute) == IFLA_INFO_DATA && !strcmp(link->kind, "bridge"))
			take_bridge(link, attribute);
	}
}

static void take_xdp(struct state_link *link, const struct nlattr *xdp)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute,
				 xdp) if (mnl_attr_get_type(attribute) == IFLA_XDP_PROG_ID)
		link->xdp_program = mnl_attr_get_u32(attribute);
}

/* Of IFLA_AF_SPEC: for IPv4 an array of all settings, of which the first has the number 1. */
static void take_forwarding(struct state_link *link, const struct nlattr *families)
{
	const struct nlattr *family, *settings;
	uint32_t value;

	mnl_attr_for_each_nested(family, families)
	{
		if (mnl_attr_get_type(family) != AF_INET)
			continue;
		mnl_attr_for_each_nested(settings, family)
		{
			if (mnl_attr_get_type(settings) != IFLA_INET_CONF ||
			    mnl_attr_get_payload_len(settings) <
				    IPV4_DEVCONF_FORWARDING * sizeof(value))
				continue;
			memcpy(&value,
			       (const uint32_t *)mnl_attr_get_payload(settings) +
				       IPV4_DEVCONF_FORWARDING - 1,
			       sizeof(value));
			link->forwards = value;
		}
	}
}

static void take_size(struct state_link *link, const struct nlattr *attribute)
{
	for (size_t i = 0; i < STATE_SIZES; i++)
		if (mnl_attr_get_type(attribute) == size_attributes[i])
			link->sizes[i] = mnl_attr_get_u32(attribute);
}

static void take_attribute(struct state_link *link, const struct nlattr *attribute)
{
	switch (mnl_attr_get_type(attribute)) {
	case IFLA_IFNAME:
		copy_string(link->name, sizeof(link->name), attribute);
		break;
	case IFLA_IFALIAS:
		copy_string(link->alias, sizeof(link->alias), attribute);
		break;
	case IFLA_LINKINFO:
		take_kind(link, attribute);
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(attribute) == sizeof(link->mac))
			memcpy(link->mac, mnl_attr_get_payload(attribute), sizeof(link->mac));
		break;
	case IFLA_MTU:
		link->mtu = mnl_attr_get_u32(attribute);
		break;
	case IFLA_MASTER:
		link->master = mnl_attr_get_u32(attribute);
		break;
	case IFLA_LINK:
		link->peer_ifindex = mnl_attr_get_u32(attribute);
		break;
	case IFLA_LINK_NETNSID:
		link->peer_elsewhere = true;
		link->peer_nsid = (int32_t)mnl_attr_get_u32(attribute);
		break;
	case IFLA_XDP:
		take_xdp(link, attribute);
		break;
	case IFLA_OPERSTATE:
		link->operstate = mnl_attr_get_u8(attribute);
		break;
	case IFLA_CARRIER:
		link->carrier = mnl_attr_get_u8(attribute);
		break;
	case IFLA_STATS64:
		take_statistics(link, attribute);
		break;
	case IFLA_AF_SPEC:
		take_forwarding(link, attribute);
		break;
	default:
		take_size(link, attribute);
	}
}

static int take_link(const struct nlmsghdr *message, size_t request, void *context)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	struct link_list *list = context;
	const struct nlattr *attribute;
	struct state_link *link = arena_push(list->arena, list->links, list->count);

	(void)request;
	link->ifindex = (uint32_t)header->ifi_index;
	link->type = header->ifi_type;
	link->flags = header->ifi_flags;
	mnl_attr_for_each(attribute, message, sizeof(*header)) take_attribute(link, attribute);
	if (strcmp(link->kind, "veth") != 0) { /* IFLA_LINK of others is the link below them */
		link->lower_ifindex = link->peer_ifindex;
		link->peer_ifindex = 0;
	}
	return 0;
}

int link_read(struct netlink *nl, struct arena *arena, struct state_link **ret_links,
	      size_t *ret_count, struct error *err)
{
	struct link_list list = {.arena = arena};
	struct ifinfomsg header = {0};
	int code = netlink_dump(nl, RTM_GETLINK, &header, sizeof(header), "read links", take_link,
				&list, err);

	if (code)
		return code;
	*ret_links = list.links;
	*ret_count = list.count;
	return 0;
}
