/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works
 *
 * IFA_LOCAL is the link's own address and IFA_ADDRESS the far end's on a point-to-point link; on
 * all others they are the same, and IPv6 shows only the latter.
 */
#include "address.h"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define SETTABLE (IFA_F_NODAD | IFA_F_NOPREFIXROUTE) /* the rest is the kernel's to say */

struct address_list {
	struct arena *arena;
	struct state_address *addresses;
	size_t count;
};

static struct nlmsghdr *queue(struct netlink *nl, uint16_t type, uint16_t flags, const char *verb,
			      const struct state_address *address, const char *preposition,
			      const char *link)
{
	const struct ip_address *ip = &address->address;
	char text[IP_TEXT_MAX];
	struct nlmsghdr *message =
		netlink_queue(nl, type, flags, sizeof(struct ifaddrmsg), "%s address %s %s '%s'",
			      verb, ip_format_prefix(ip, text), preposition, link);
	struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);

	header->ifa_family = ip->family;
	header->ifa_prefixlen = ip->prefix_len;
	header->ifa_index = address->ifindex;
	mnl_attr_put(message, IFA_LOCAL, ip_bits(ip) / 8, ip->bytes);
	mnl_attr_put(message, IFA_ADDRESS, ip_bits(ip) / 8, ip->bytes);
	return message;
}

void address_add(struct netlink *nl, const struct state_address *address, const char *link)
{
	struct nlmsghdr *message =
		queue(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "add", address, "to", link);
	uint32_t flags = address->flags & SETTABLE;

	if (address->address.family == AF_INET)
		flags &= ~(uint32_t)IFA_F_NODAD; /* IPv4 would only show it */
	if (flags)
		mnl_attr_put_u32(message, IFA_FLAGS, flags);
	if (address->protocol)
		mnl_attr_put_u8(message, IFA_PROTO, address->protocol);
}

void address_delete(struct netlink *nl, const struct state_address *address, const char *link)
{
	queue(nl, RTM_DELADDR, 0, "delete", address, "from", link);
}

/* Hundredths of a second since boot, as the kernel gives times of addresses; it stands still while
 * the machine sleeps. */
static uint32_t age_s(const struct nlattr *attribute)
{
	const struct ifa_cacheinfo *times = mnl_attr_get_payload(attribute);
	struct timespec now;

	if (mnl_attr_get_payload_len(attribute) < sizeof(*times) ||
	    clock_gettime(CLOCK_MONOTONIC, &now) != 0)
		return 0;
	return (uint32_t)now.tv_sec > times->cstamp / 100
		       ? (uint32_t)now.tv_sec - times->cstamp / 100
		       : 0;
}

static int take_address(const struct nlmsghdr *message, size_t request, void *context)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	struct state_address entry = {.ifindex = header->ifa_index, .flags = header->ifa_flags};
	struct ip_address ip = {.family = header->ifa_family, .prefix_len = header->ifa_prefixlen};
	struct address_list *list = context;
	const struct nlattr *attribute;
	bool has_local = false;

	(void)request;
	if (ip.family != AF_INET && ip.family != AF_INET6)
		return 0;
	mnl_attr_for_each(attribute, message, sizeof(*header))
	{
		uint16_t type = mnl_attr_get_type(attribute);

		if (type == IFA_FLAGS)
			entry.flags = mnl_attr_get_u32(attribute);
		else if (type == IFA_PROTO)
			entry.protocol = mnl_attr_get_u8(attribute);
		else if (type == IFA_CACHEINFO)
			entry.age_s = age_s(attribute);
		else if ((type == IFA_LOCAL || (type == IFA_ADDRESS && !has_local)) &&
			 mnl_attr_get_payload_len(attribute) == ip_bits(&ip) / 8)
			memcpy(ip.bytes, mnl_attr_get_payload(attribute), ip_bits(&ip) / 8);
		has_local |= type == IFA_LOCAL;
	}
	entry.address = ip;
	*arena_push(list->arena, list->addresses, list->count) = entry;
	return 0;
}

int address_read(struct netlink *nl, struct arena *arena, struct state_address **ret_addresses,
		 size_t *ret_count, struct error *err)
{
	struct address_list list = {.arena = arena};
	struct ifaddrmsg header = {0};
	int code = netlink_dump(nl, RTM_GETADDR, &header, sizeof(header), "read addresses",
				take_address, &list, err);

	if (code)
		return code;
	*ret_addresses = list.addresses;
	*ret_count = list.count;
	return 0;
}
