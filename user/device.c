/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a move takes an interface out of one namespace as if it were deleted there: the
 * kernel drops its addresses, routes, neighbours and per-interface sysctls (net/core/dev.c:
 * __dev_change_net_namespace). It keeps the object itself, with MAC, MTU, alias and alternative
 * names.
 *
 * Addresses, routes and neighbours are kept as the messages in which the kernel told them, byte for
 * byte, because those are what it takes them back in, with every attribute that we do not know of
 * ("ip route save" does the same). Only the interface's number is exchanged, and lifetimes are
 * shortened by the time in between. What the kernel makes by itself (connected and local routes,
 * those of router advertisements, temporary addresses) is left to it.
 */
#include "device.h"

#include <errno.h>
#include <jansson.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "link.h"
#include "sysctl.h"

#define MESSAGE_MAX (NETLINK_REQUEST_MAX - MNL_NLMSG_HDRLEN) /* bytes of a payload */
#define FOREVER     0xffffffff                               /* a lifetime */

static const char *const sysctl_folders[] = {"net/ipv4/conf", "net/ipv4/neigh", "net/ipv6/conf",
					     "net/ipv6/neigh"};

/* ---- Finding and moving. */

int device_find(struct netlink *nl, const char *name, struct arena *arena,
		const struct state_link **ret_link, struct error *err)
{
	struct state_link *links;
	size_t count;
	int ret;

	ret = link_read(nl, arena, &links, &count, err);
	if (ret)
		return ret;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(links[i].name, name))
			continue;
		*ret_link = &links[i];
		return 0;
	}
	return error_set(err, -ENODEV, "there is no interface '%s'", name);
}

int device_set_alias(struct netlink *nl, const char *name, const char *alias, struct error *err)
{
	link_set(nl, name, &(struct link_change){.alias = alias});
	return netlink_flush(nl, NULL, err);
}

static int move(struct netlink *nl, const struct state_link *link, int to_netns_fd,
		const char *new_name, uint32_t ifindex, struct error *err)
{
	struct nlmsghdr *message = netlink_queue(nl, RTM_SETLINK, 0, sizeof(struct ifinfomsg),
						 "move interface '%s'", link->name);
	struct ifinfomsg *header = mnl_nlmsg_get_payload(message);

	header->ifi_index = (int)link->ifindex;
	netlink_put_string(message, IFLA_IFNAME, new_name);
	mnl_attr_put_u32(message, IFLA_NET_NS_FD, (uint32_t)to_netns_fd);
	if (ifindex)
		mnl_attr_put_u32(message, IFLA_NEW_IFINDEX, ifindex);
	return netlink_flush(nl, NULL, err);
}

int device_move(struct netlink *nl, const struct state_link *link, int to_netns_fd,
		const char *new_name, uint32_t ifindex, struct error *err)
{
	int ret = move(nl, link, to_netns_fd, new_name, ifindex, err);

	if (ret == -EBUSY && ifindex) /* the number is another's by now */
		ret = move(nl, link, to_netns_fd, new_name, 0, err);
	return ret;
}

/* ---- Keeping. */

struct saver {
	const struct state_link *link;
	json_t *messages;
	struct error *err;
};

static json_t *message_json(const struct nlmsghdr *message)
{
	const uint8_t *bytes = mnl_nlmsg_get_payload(message);
	size_t size = mnl_nlmsg_get_payload_len(message);
	char hex[2 * MESSAGE_MAX + 1];

	for (size_t i = 0; i < size; i++)
		snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
	return json_pack("{s:i, s:s}", "type", message->nlmsg_type, "bytes", hex);
}

static int keep(struct saver *saver, const struct nlmsghdr *message)
{
	if (mnl_nlmsg_get_payload_len(message) > MESSAGE_MAX)
		return error_set(saver->err, -EOPNOTSUPP,
				 "interface '%s' has a route with more options than can be kept",
				 saver->link->name);
	json_array_append_new(saver->messages, message_json(message));
	return 0;
}

static int keep_address(const struct nlmsghdr *message, size_t request, void *context)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	struct saver *saver = context;

	(void)request;
	if (header->ifa_index != saver->link->ifindex ||
	    (header->ifa_family == AF_INET6 && header->ifa_flags & IFA_F_TEMPORARY))
		return 0;
	return keep(saver, message);
}

static bool is_the_kernels(const struct rtmsg *header)
{
	return header->rtm_flags & RTM_F_CLONED || header->rtm_table == RT_TABLE_LOCAL ||
	       header->rtm_protocol == RTPROT_KERNEL || header->rtm_protocol == RTPROT_RA ||
	       header->rtm_protocol == RTPROT_REDIRECT;
}

static bool has_hop_on(const struct nlattr *multipath, uint32_t ifindex)
{
	const struct rtnexthop *hop = mnl_attr_get_payload(multipath);
	int left = mnl_attr_get_payload_len(multipath);

	for (; RTNH_OK(hop, left); left -= RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop))
		if ((uint32_t)hop->rtnh_ifindex == ifindex)
			return true;
	return false;
}

static int keep_route(const struct nlmsghdr *message, size_t request, void *context)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute;
	struct saver *saver = context;
	bool ours = false, complicated = false;

	(void)request;
	if (is_the_kernels(header))
		return 0;
	mnl_attr_for_each(attribute, message, sizeof(*header))
	{
		switch (mnl_attr_get_type(attribute)) {
		case RTA_OIF:
			ours |= mnl_attr_get_u32(attribute) == saver->link->ifindex;
			break;
		case RTA_MULTIPATH:
			complicated = true;
			ours |= has_hop_on(attribute, saver->link->ifindex);
			break;
		case RTA_NH_ID:
			complicated = true;
			break;
		}
	}
	if (ours && complicated)
		return error_set(saver->err, -EOPNOTSUPP,
				 "interface '%s' has a route with several next hops or with a "
				 "nexthop object, which could not be given back; delete it first "
				 "(ip route show)",
				 saver->link->name);
	return ours ? keep(saver, message) : 0;
}

/* Of a link's own filter (NTF_SELF) what somebody entered: multicast comes by itself. */
static bool is_filter_entry(const struct nlmsghdr *message)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attribute;
	bool unicast = false;

	mnl_attr_for_each(attribute, message, sizeof(*header))
	{
		const uint8_t *mac = mnl_attr_get_payload(attribute);

		if (mnl_attr_get_type(attribute) == NDA_LLADDR)
			unicast = !(mac[0] & 1);
	}
	return unicast && header->ndm_flags & NTF_SELF;
}

static int keep_neighbour(const struct nlmsghdr *message, size_t request, void *context)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	struct saver *saver = context;
	bool wanted;

	(void)request;
	if ((uint32_t)header->ndm_ifindex != saver->link->ifindex)
		return 0;
	if (header->ndm_family == PF_BRIDGE)
		wanted = is_filter_entry(message);
	else
		wanted = header->ndm_state & NUD_PERMANENT || header->ndm_flags & NTF_PROXY;
	return wanted ? keep(saver, message) : 0;
}

static int keep_neighbours(struct netlink *nl, struct saver *saver, struct error *err)
{
	static const struct ndmsg headers[] = {
		{.ndm_family = AF_INET},
		{.ndm_family = AF_INET6},
		{.ndm_family = AF_INET, .ndm_flags = NTF_PROXY},
		{.ndm_family = AF_INET6, .ndm_flags = NTF_PROXY},
		{.ndm_family = PF_BRIDGE},
	};
	int ret = 0;

	for (size_t i = 0; !ret && i < sizeof(headers) / sizeof(*headers); i++)
		ret = netlink_dump(nl, RTM_GETNEIGH, &headers[i], sizeof(headers[i]),
				   "read neighbours", keep_neighbour, saver, err);
	return ret;
}

/* In the order in which they are given again: routes need addresses. */
static int keep_messages(struct netlink *nl, struct saver *saver, struct error *err)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct ifaddrmsg addresses = {.ifa_family = AF_UNSPEC};
	int ret = netlink_dump(nl, RTM_GETADDR, &addresses, sizeof(addresses), "read addresses",
			       keep_address, saver, err);

	if (!ret)
		ret = keep_neighbours(nl, saver, err);
	for (size_t i = 0; !ret && i < sizeof(families); i++) {
		struct rtmsg header = {.rtm_family = families[i]};

		ret = netlink_dump(nl, RTM_GETROUTE, &header, sizeof(header), "read routes",
				   keep_route, saver, err);
	}
	return ret;
}

/* Some cannot be read until they are set, some only written. */
static const char *value_of(int netns_fd, const char *key, struct arena *arena)
{
	struct error ignored;
	const char *value;

	return sysctl_read(netns_fd, key, arena, &value, &ignored) ? NULL : value;
}

static int keep_sysctls(int netns_fd, const char *name, json_t *sysctls, struct arena *arena,
			struct error *err)
{
	for (size_t i = 0; i < sizeof(sysctl_folders) / sizeof(*sysctl_folders); i++) {
		const char *folder = sysctl_folders[i], **keys;
		size_t count;
		int ret = sysctl_list(netns_fd, arena_printf(arena, "%s/%s", folder, name), arena,
				      &keys, &count, err);

		if (ret)
			return ret;
		for (size_t j = 0; j < count; j++) {
			const char *value = value_of(
				netns_fd, arena_printf(arena, "%s/%s/%s", folder, name, keys[j]),
				arena);
			const char *usual = value_of(
				netns_fd, arena_printf(arena, "%s/default/%s", folder, keys[j]),
				arena);

			if (value && (!usual || strcmp(value, usual)))
				json_object_set_new(sysctls,
						    arena_printf(arena, "%s/*/%s", folder, keys[j]),
						    json_string(value));
		}
	}
	return 0;
}

static json_int_t now_s(void)
{
	struct timespec now = {0};

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec;
}

int device_save(struct netlink *nl, int netns_fd, const char *name, struct arena *arena,
		const char **ret_text, struct error *err)
{
	json_t *kept = NULL, *sysctls = json_object();
	struct saver saver = {.messages = json_array(), .err = err};
	char mac[MAC_TEXT_MAX], *text;
	int ret;

	ret = device_find(nl, name, arena, &saver.link, err);
	if (!ret)
		ret = keep_messages(nl, &saver, err);
	if (!ret)
		ret = keep_sysctls(netns_fd, name, sysctls, arena, err);
	if (ret)
		goto cleanup;
	kept = json_pack("{s:I, s:I, s:b, s:I, s:s, s:s, s:O, s:O}", "time", now_s(), "ifindex",
			 (json_int_t)saver.link->ifindex, "up", !!(saver.link->flags & IFF_UP),
			 "mtu", (json_int_t)saver.link->mtu, "mac",
			 mac_format(saver.link->mac, mac), "alias", saver.link->alias, "messages",
			 saver.messages, "sysctls", sysctls);
	text = kept ? json_dumps(kept, JSON_COMPACT) : NULL;
	if (text)
		*ret_text = arena_strdup(arena, text);
	else /* an alias that is not UTF-8, or no memory */
		ret = error_set(err, -EINVAL, "cannot keep what interface '%s' has", name);
	free(text);
cleanup:
	json_decref(kept);
	json_decref(sysctls);
	json_decref(saver.messages);
	return ret;
}

/* ---- Giving again. */

struct restorer {
	struct netlink *nl;
	int netns_fd;
	const char *name;
	const struct state_link *link;
	const json_t *kept;
	struct arena *arena;
};

static json_int_t number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static int parse_hex(const char *hex, uint8_t bytes[MESSAGE_MAX], size_t *ret_size)
{
	size_t size = hex ? strlen(hex) / 2 : 0;

	if (!size || size > MESSAGE_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < size; i++) {
		unsigned int byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return -EBADMSG;
		bytes[i] = (uint8_t)byte;
	}
	*ret_size = size;
	return 0;
}

static struct nlattr *find_attribute(struct nlmsghdr *message, size_t header_size, uint16_t type)
{
	struct nlattr *attribute;

	mnl_attr_for_each(attribute, message, header_size)
	{
		if (mnl_attr_get_type(attribute) == type)
			return attribute;
	}
	return NULL;
}

static uint32_t shortened(uint32_t lifetime, json_int_t by)
{
	if (lifetime == FOREVER || by < 0)
		return lifetime;
	return lifetime > by ? lifetime - (uint32_t)by : 0;
}

/* False: its time is over. */
static bool adjust_address(const struct restorer *r, struct nlmsghdr *message)
{
	struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	struct nlattr *attribute = find_attribute(message, sizeof(*header), IFA_CACHEINFO);
	json_int_t elapsed = now_s() - number_of(r->kept, "time");
	struct ifa_cacheinfo *lifetimes;

	header->ifa_index = r->link->ifindex;
	if (!attribute)
		return true;
	lifetimes = mnl_attr_get_payload(attribute);
	lifetimes->ifa_valid = shortened(lifetimes->ifa_valid, elapsed);
	lifetimes->ifa_prefered = shortened(lifetimes->ifa_prefered, elapsed);
	return lifetimes->ifa_valid;
}

static void adjust_route(const struct restorer *r, struct nlmsghdr *message)
{
	struct rtmsg *header = mnl_nlmsg_get_payload(message);
	struct nlattr *attribute = find_attribute(message, sizeof(*header), RTA_OIF);

	header->rtm_flags &= RTNH_F_ONLINK; /* the others are the kernel's findings */
	if (attribute)
		memcpy(mnl_attr_get_payload(attribute), &r->link->ifindex,
		       sizeof(r->link->ifindex));
}

static const char *what_is(uint16_t type)
{
	return type == RTM_NEWADDR ? "address" : type == RTM_NEWROUTE ? "route" : "neighbour";
}

/* IPv4 takes a second route to the same network behind the first one; IPv6 would make one of
 * several next hops of it. */
static uint16_t flags_for(uint16_t type, uint8_t family)
{
	return NLM_F_CREATE |
	       (type == RTM_NEWROUTE && family == AF_INET ? NLM_F_APPEND : NLM_F_EXCL);
}

static int queue_kept(const struct restorer *r, const json_t *kept, struct error *err)
{
	uint16_t type = (uint16_t)number_of(kept, "type");
	_Alignas(struct nlmsghdr) char room[NETLINK_REQUEST_MAX];
	uint8_t bytes[MESSAGE_MAX];
	struct nlmsghdr *message;
	size_t size;

	if (parse_hex(json_string_value(json_object_get(kept, "bytes")), bytes, &size))
		return error_set(err, -EBADMSG, "what interface '%s' had is not readable any more",
				 r->name);
	message = mnl_nlmsg_put_header(room);
	memcpy(mnl_nlmsg_put_extra_header(message, size), bytes, size);
	if (type == RTM_NEWADDR && !adjust_address(r, message))
		return 0;
	if (type == RTM_NEWROUTE)
		adjust_route(r, message);
	if (type == RTM_NEWNEIGH)
		((struct ndmsg *)mnl_nlmsg_get_payload(message))->ndm_ifindex =
			(int)r->link->ifindex;
	memcpy(mnl_nlmsg_get_payload(netlink_queue(r->nl, type, flags_for(type, bytes[0]), size,
						   "give interface '%s' its %s again", r->name,
						   what_is(type))),
	       mnl_nlmsg_get_payload(message), size);
	netlink_tolerate(r->nl, -EEXIST);
	return 0;
}

/* One after the other: a route may need the one before it. Goes on after a failure. */
static int restore_messages(const struct restorer *r, struct error *err)
{
	struct error cause;
	int first = 0;
	json_t *kept;
	size_t i;

	json_array_foreach(json_object_get(r->kept, "messages"), i, kept)
	{
		int ret = queue_kept(r, kept, &cause);

		if (!ret)
			ret = netlink_flush(r->nl, NULL, &cause);
		if (ret && !first) {
			first = ret;
			*err = cause;
		}
	}
	return first;
}

/* Keys are kept with a * for the name, which may be another by now. */
static const char *key_of(const struct restorer *r, const char *kept)
{
	const char *star = strchr(kept, '*');

	return star ? arena_printf(r->arena, "%.*s%s%s", (int)(star - kept), kept, r->name,
				   star + 1)
		    : kept;
}

static int restore_sysctls(const struct restorer *r, struct error *err)
{
	json_t *sysctls = json_object_get(r->kept, "sysctls"), *value;
	const char *kept;
	int first = 0;

	json_object_foreach(sysctls, kept, value)
	{
		const char *key = key_of(r, kept);
		const char *present = value_of(r->netns_fd, key, r->arena);
		struct error cause;
		int ret = 0;

		if (!present || strcmp(present, json_string_value(value)))
			ret = sysctl_write(r->netns_fd, key, json_string_value(value), &cause);
		if (ret && !first) {
			first = ret;
			*err = cause;
		}
	}
	return first;
}

static int restore_link(const struct restorer *r, struct error *err)
{
	const char *text = json_string_value(json_object_get(r->kept, "mac"));
	struct link_change change = {.mtu = (uint32_t)number_of(r->kept, "mtu")};
	uint8_t mac[6];

	if (change.mtu == r->link->mtu)
		change.mtu = 0;
	if (text && mac_parse(text, mac) && memcmp(mac, r->link->mac, sizeof(mac)))
		change.mac = mac;
	if (!change.mtu && !change.mac)
		return 0;
	link_set(r->nl, r->name, &change);
	return netlink_flush(r->nl, NULL, err);
}

static int set_up(const struct restorer *r, struct error *err)
{
	bool up = json_is_true(json_object_get(r->kept, "up"));

	if (up == !!(r->link->flags & IFF_UP))
		return 0;
	link_set(r->nl, r->name, &(struct link_change){.up = up, .down = !up});
	return netlink_flush(r->nl, NULL, err);
}

int device_restore(struct netlink *nl, int netns_fd, const char *name, const char *text,
		   struct arena *arena, struct error *err)
{
	struct restorer r = {.nl = nl, .netns_fd = netns_fd, .name = name, .arena = arena};
	static int (*const steps[])(const struct restorer *, struct error *) = {
		restore_link, restore_sysctls, set_up, restore_messages};
	json_t *kept = json_loads(text, 0, NULL);
	struct error cause;
	int first;

	r.kept = kept;
	first = kept ? device_find(nl, name, arena, &r.link, err)
		     : error_set(err, -EBADMSG, "what interface '%s' had is not readable any more",
				 name);
	for (size_t i = 0; r.link && i < sizeof(steps) / sizeof(*steps); i++) {
		int ret = steps[i](&r, &cause);

		if (ret && !first) {
			first = ret;
			*err = cause;
		}
	}
	if (!first)
		first = device_set_alias(nl, name,
					 json_string_value(json_object_get(kept, "alias")), err);
	json_decref(kept);
	return first;
}

uint32_t device_saved_ifindex(const char *text)
{
	json_t *kept = json_loads(text, 0, NULL);
	uint32_t ifindex = (uint32_t)number_of(kept, "ifindex");

	json_decref(kept);
	return ifindex;
}
