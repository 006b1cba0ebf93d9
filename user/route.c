/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works
 *
 * Every request and dump names its table, and with strict checking on the kernel filters by it.
 * IPv4 has no main table before the first route is in it, and says ENOENT: that is no routes.
 */
#include "route.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define DESCRIPTION_MAX (2 * IP_TEXT_MAX + 16)

struct route_list {
	struct arena *arena;
	struct state_route *routes;
	size_t count;
	struct rtmsg filter;
	bool all_types;
};

static char *describe(const struct state_route *route, char text[DESCRIPTION_MAX])
{
	char to[IP_TEXT_MAX] = "default", via[IP_TEXT_MAX];

	if (route->to.prefix_len)
		ip_format_prefix(&route->to, to);
	if (route->via.family)
		snprintf(text, DESCRIPTION_MAX, "%s via %s", to, ip_format(&route->via, via));
	else
		snprintf(text, DESCRIPTION_MAX, "%s", to);
	return text;
}

static struct nlmsghdr *queue(struct netlink *nl, uint16_t type, uint16_t flags, const char *verb,
			      const struct state_route *route, const char *link)
{
	char text[DESCRIPTION_MAX];
	struct nlmsghdr *message =
		netlink_queue(nl, type, flags, sizeof(struct rtmsg), "%s route %s on '%s'", verb,
			      describe(route, text), link);
	struct rtmsg *header = mnl_nlmsg_get_payload(message);

	header->rtm_family = route->to.family;
	header->rtm_dst_len = route->to.prefix_len;
	header->rtm_table = route->table ? route->table : RT_TABLE_MAIN;
	header->rtm_protocol = route->protocol ? route->protocol : RTPROT_STATIC;
	header->rtm_type = route->type ? route->type : RTN_UNICAST;
	if (route->to.prefix_len)
		mnl_attr_put(message, RTA_DST, ip_bits(&route->to) / 8, route->to.bytes);
	if (route->via.family)
		mnl_attr_put(message, RTA_GATEWAY, ip_bits(&route->via) / 8, route->via.bytes);
	if (route->ifindex)
		mnl_attr_put_u32(message, RTA_OIF, route->ifindex);
	if (route->metric)
		mnl_attr_put_u32(message, RTA_PRIORITY, route->metric);
	return message;
}

void route_add(struct netlink *nl, const struct state_route *route, const char *link)
{
	struct nlmsghdr *message =
		queue(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, "add", route, link);
	struct rtmsg *header = mnl_nlmsg_get_payload(message);

	header->rtm_scope = route->via.family ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
}

void route_delete(struct netlink *nl, const struct state_route *route, const char *link)
{
	struct nlmsghdr *message = queue(nl, RTM_DELROUTE, 0, "delete", route, link);
	struct rtmsg *header = mnl_nlmsg_get_payload(message);

	header->rtm_scope = RT_SCOPE_NOWHERE; /* any */
}

static void take_ip(struct ip_address *ip, uint8_t family, const void *bytes, size_t size)
{
	ip->family = family;
	if (size == ip_bits(ip) / 8)
		memcpy(ip->bytes, bytes, size);
	ip->prefix_len = (uint8_t)ip_bits(ip);
}

/* A gateway of the other family. */
static void take_via(struct ip_address *via, const struct nlattr *attribute)
{
	const struct rtvia *rtvia = mnl_attr_get_payload(attribute);
	size_t size = mnl_attr_get_payload_len(attribute);

	if (size > sizeof(*rtvia))
		take_ip(via, (uint8_t)rtvia->rtvia_family, rtvia->rtvia_addr,
			size - sizeof(*rtvia));
}

/* Also for the attributes of a next hop, which are of the same kinds. */
static void take_attribute(struct state_route *route, const struct nlattr *attribute)
{
	uint16_t size = mnl_attr_get_payload_len(attribute);
	const void *payload = mnl_attr_get_payload(attribute);

	switch (mnl_attr_get_type(attribute)) {
	case RTA_DST:
		memcpy(route->to.bytes, payload, size < 16 ? size : 16);
		break;
	case RTA_GATEWAY:
		take_ip(&route->via, route->to.family, payload, size);
		break;
	case RTA_VIA:
		take_via(&route->via, attribute);
		break;
	case RTA_OIF:
		route->ifindex = mnl_attr_get_u32(attribute);
		break;
	case RTA_PRIORITY:
		route->metric = mnl_attr_get_u32(attribute);
		break;
	}
}

static void take_first_hop(struct state_route *route, const struct nlattr *multipath)
{
	const struct rtnexthop *hop = mnl_attr_get_payload(multipath);
	const struct nlattr *attr; /* libmnl's macro wants this name */

	if (!RTNH_OK(hop, (int)mnl_attr_get_payload_len(multipath)))
		return;
	route->ifindex = (uint32_t)hop->rtnh_ifindex;
	mnl_attr_for_each_payload((const struct nlattr *)(hop + 1), hop->rtnh_len - sizeof(*hop))
		take_attribute(route, attr);
}

static bool is_wanted(const struct rtmsg *header, const struct route_list *list)
{
	if (header->rtm_family != list->filter.rtm_family ||
	    header->rtm_table != list->filter.rtm_table)
		return false;
	switch (header->rtm_type) {
	case RTN_LOCAL:
	case RTN_BROADCAST:
	case RTN_ANYCAST:
	case RTN_MULTICAST:
		return list->all_types;
	}
	return true;
}

static int take_route(const struct nlmsghdr *message, size_t request, void *context)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	struct route_list *list = context;
	const struct nlattr *attribute;
	struct state_route *route;

	(void)request;
	if (!is_wanted(header, list))
		return 0;
	route = arena_push(list->arena, list->routes, list->count);
	route->to.family = header->rtm_family;
	route->to.prefix_len = header->rtm_dst_len;
	route->protocol = header->rtm_protocol;
	route->type = header->rtm_type;
	route->table = header->rtm_table == RT_TABLE_MAIN ? 0 : header->rtm_table;
	route->onlink = header->rtm_flags & RTNH_F_ONLINK;
	mnl_attr_for_each(attribute, message, sizeof(*header))
	{
		take_attribute(route, attribute);
		if (mnl_attr_get_type(attribute) == RTA_MULTIPATH)
			take_first_hop(route, attribute);
	}
	return 0;
}

/* Appends to the list. A table that there is not yet has no routes. */
static int read_table(struct netlink *nl, struct rtmsg filter, struct route_list *list,
		      struct error *err)
{
	bool unmarked = filter.rtm_family == AF_INET6; /* see netlink.c */
	int code = unmarked ? netlink_watch(nl, RTNLGRP_IPV6_ROUTE, err) : 0;

	if (code)
		return code;
	list->filter = filter;
	code = netlink_dump(nl, RTM_GETROUTE, &filter, sizeof(filter), "read routes", take_route,
			    list, err);
	if (unmarked)
		netlink_unwatch(nl);
	return code == -ENOENT && filter.rtm_family == AF_INET ? 0 : code;
}

static int read_tables(struct netlink *nl, const struct rtmsg *filters, size_t filters_count,
		       struct route_list *list, struct error *err)
{
	int code = 0;

	for (size_t i = 0; !code && i < filters_count; i++)
		code = read_table(nl, filters[i], list, err);
	return code;
}

int route_read(struct netlink *nl, struct arena *arena, struct state_route **ret_routes,
	       size_t *ret_count, struct error *err)
{
	static const struct rtmsg filters[] = {
		{.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN},
		{.rtm_family = AF_INET6, .rtm_table = RT_TABLE_MAIN},
	};
	struct route_list list = {.arena = arena};
	int code = read_tables(nl, filters, sizeof(filters) / sizeof(filters[0]), &list, err);

	if (code)
		return code;
	*ret_routes = list.routes;
	*ret_count = list.count;
	return 0;
}

int route_read_hanging(struct netlink *nl, struct arena *arena, struct state_route **ret_routes,
		       size_t *ret_count, struct error *err)
{
	static const struct rtmsg filters[] = {
		{.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = STATE_PROTOCOL},
		{.rtm_family = AF_INET, .rtm_table = RT_TABLE_LOCAL},
		{.rtm_family = AF_INET6,
		 .rtm_table = RT_TABLE_MAIN,
		 .rtm_protocol = STATE_PROTOCOL},
		{.rtm_family = AF_INET6, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_KERNEL},
		{.rtm_family = AF_INET6, .rtm_table = RT_TABLE_LOCAL},
	};
	struct route_list list = {.arena = arena, .all_types = true};
	int code = read_tables(nl, filters, sizeof(filters) / sizeof(filters[0]), &list, err);

	if (code)
		return code;
	*ret_routes = list.routes;
	*ret_count = list.count;
	return 0;
}
