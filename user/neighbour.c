/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works
 *
 * The kernel speaks of ARP, ND and a bridge's forwarding table with one message, struct ndmsg, told
 * apart by its family. A static FDB entry is NUD_NOARP in the table of the link's master
 * (NTF_MASTER); without that flag the link's own multicast filter would be meant.
 */
#include "neighbour.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

struct neighbour_list {
	struct arena *arena;
	struct state_neighbour *neighbours;
	size_t count;
	uint32_t waiting_on; /* only entries of this link that have no MAC yet; 0: those with one */
};

static struct nlmsghdr *queue(struct netlink *nl, uint16_t type, uint16_t flags, const char *verb,
			      const struct state_neighbour *entry, const char *link)
{
	bool is_fdb = !entry->ip.family;
	char object[IP_TEXT_MAX];
	struct nlmsghdr *message;
	struct ndmsg *header;

	if (is_fdb)
		mac_format(entry->mac, object);
	else
		ip_format(&entry->ip, object);
	message = netlink_queue(nl, type, flags, sizeof(*header), "%s %s %s on '%s'", verb,
				is_fdb ? "forwarding entry" : "neighbour", object, link);
	header = mnl_nlmsg_get_payload(message);
	header->ndm_family = is_fdb ? PF_BRIDGE : entry->ip.family;
	header->ndm_ifindex = (int)entry->ifindex;
	header->ndm_state = is_fdb ? NUD_NOARP : NUD_PERMANENT;
	header->ndm_flags = is_fdb ? NTF_MASTER : 0;
	if (!is_fdb)
		mnl_attr_put(message, NDA_DST, ip_bits(&entry->ip) / 8, entry->ip.bytes);
	mnl_attr_put(message, NDA_LLADDR, sizeof(entry->mac), entry->mac);
	if (!is_fdb && entry->protocol)
		mnl_attr_put_u8(message, NDA_PROTOCOL, entry->protocol);
	return message;
}

void neighbour_add(struct netlink *nl, const struct state_neighbour *entry, const char *link)
{
	queue(nl, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, "add", entry, link);
}

void neighbour_delete(struct netlink *nl, const struct state_neighbour *entry, const char *link)
{
	queue(nl, RTM_DELNEIGH, 0, "delete", entry, link);
}

/* What the header alone tells. FDB entries with NTF_SELF are a link's own filter. */
static bool is_wanted(const struct ndmsg *header)
{
	if (header->ndm_family == PF_BRIDGE)
		return !(header->ndm_flags & NTF_SELF);
	return (header->ndm_family == AF_INET || header->ndm_family == AF_INET6) &&
	       header->ndm_state != NUD_NOARP;
}

static int take_neighbour(const struct nlmsghdr *message, size_t request, void *context)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	struct state_neighbour entry = {.ifindex = (uint32_t)header->ndm_ifindex,
					.state = header->ndm_state,
					.flags = header->ndm_flags};
	bool has_mac = false, has_vlan = false;
	struct neighbour_list *list = context;
	const struct nlattr *attribute;

	(void)request;
	if (!is_wanted(header))
		return 0;
	if (header->ndm_family != PF_BRIDGE)
		entry.ip.family = header->ndm_family;
	mnl_attr_for_each(attribute, message, sizeof(*header))
	{
		uint16_t type = mnl_attr_get_type(attribute);
		uint16_t size = mnl_attr_get_payload_len(attribute);
		const void *payload = mnl_attr_get_payload(attribute);

		if (type == NDA_DST && entry.ip.family && size == ip_bits(&entry.ip) / 8)
			memcpy(entry.ip.bytes, payload, size);
		if (type == NDA_LLADDR && size == sizeof(entry.mac)) {
			memcpy(entry.mac, payload, size);
			has_mac = true;
		}
		if (type == NDA_PROTOCOL)
			entry.protocol = mnl_attr_get_u8(attribute);
		has_vlan |= type == NDA_VLAN; /* copies that the bridge keeps for its VLANs */
	}
	if (list->waiting_on ? entry.ifindex != list->waiting_on || entry.state != NUD_INCOMPLETE
			     : !has_mac || has_vlan)
		return 0;
	if (entry.ip.family)
		entry.ip.prefix_len = (uint8_t)ip_bits(&entry.ip);
	*arena_push(list->arena, list->neighbours, list->count) = entry;
	return 0;
}

int neighbour_read(struct netlink *nl, struct arena *arena, struct state_neighbour **ret_neighbours,
		   size_t *ret_count, struct error *err)
{
	static const uint8_t families[] = {AF_UNSPEC, PF_BRIDGE};
	struct neighbour_list list = {.arena = arena};

	for (size_t i = 0; i < sizeof(families); i++) {
		struct ndmsg header = {.ndm_family = families[i]};
		int code = netlink_dump(nl, RTM_GETNEIGH, &header, sizeof(header),
					"read neighbours", take_neighbour, &list, err);

		if (code)
			return code;
	}
	*ret_neighbours = list.neighbours;
	*ret_count = list.count;
	return 0;
}

int neighbour_find(struct netlink *nl, struct arena *arena, const struct state_neighbour *asked,
		   size_t count, struct state_neighbour **neighbours, size_t *neighbours_count,
		   struct error *err)
{
	struct neighbour_list list = {
		.arena = arena, .neighbours = *neighbours, .count = *neighbours_count};
	int code;

	for (size_t i = 0; i < count; i++) {
		const struct ip_address *ip = &asked[i].ip;
		char text[IP_TEXT_MAX];
		struct nlmsghdr *message = netlink_queue(nl, RTM_GETNEIGH, 0, sizeof(struct ndmsg),
							 "read neighbour %s", ip_format(ip, text));
		struct ndmsg *header = mnl_nlmsg_get_payload(message);

		header->ndm_family = ip->family;
		header->ndm_ifindex = (int)asked[i].ifindex;
		mnl_attr_put(message, NDA_DST, ip_bits(ip) / 8, ip->bytes);
		netlink_tolerate(nl, -ENOENT);
	}
	code = count ? netlink_flush_answers(nl, NULL, take_neighbour, &list, err) : 0;
	if (code)
		return code;
	*neighbours = list.neighbours;
	*neighbours_count = list.count;
	return 0;
}

int neighbour_drop_waiting(struct netlink *nl, struct arena *arena, uint32_t ifindex,
			   const char *link, struct error *err)
{
	struct neighbour_list list = {.arena = arena, .waiting_on = ifindex};
	struct ndmsg header = {.ndm_family = AF_UNSPEC};
	int code = netlink_dump(nl, RTM_GETNEIGH, &header, sizeof(header), "read neighbours",
				take_neighbour, &list, err);

	if (code || !list.count)
		return code;
	for (size_t i = 0; i < list.count; i++) {
		neighbour_delete(nl, &list.neighbours[i], link);
		netlink_tolerate(nl, -ENOENT);
	}
	return netlink_flush(nl, NULL, err);
}
