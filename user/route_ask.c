/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: RTM_GETROUTE for one destination is answered by the code that routes packets; with
 * RTA_IIF by the one that forwards, source validation included. What it would refuse is the code of
 * the acknowledgement, which is an answer here and no failure.
 */
#include "route_ask.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static void put_ip(struct nlmsghdr *message, uint16_t type, const struct ip_address *ip)
{
	mnl_attr_put(message, type, ip_bits(ip) / 8, ip->bytes);
}

static void queue_question(struct netlink *nl, const struct route_question *question)
{
	char to[IP_TEXT_MAX];
	struct nlmsghdr *message =
		netlink_queue(nl, RTM_GETROUTE, 0, sizeof(struct rtmsg), "ask for the route to %s",
			      ip_format(&question->to, to));
	struct rtmsg *header = mnl_nlmsg_get_payload(message);

	header->rtm_family = question->to.family;
	header->rtm_dst_len = (uint8_t)ip_bits(&question->to);
	put_ip(message, RTA_DST, &question->to);
	if (question->from.family) {
		header->rtm_src_len = (uint8_t)ip_bits(&question->from);
		put_ip(message, RTA_SRC, &question->from);
	}
	if (question->came_in)
		mnl_attr_put_u32(message, RTA_IIF, question->came_in);
	if (question->ifindex)
		mnl_attr_put_u32(message, RTA_OIF, question->ifindex);
	if (!question->protocol)
		return;
	mnl_attr_put_u8(message, RTA_IP_PROTO, question->protocol);
	if (question->protocol != IPPROTO_TCP && question->protocol != IPPROTO_UDP)
		return;
	mnl_attr_put_u16(message, RTA_SPORT, htons(question->source_port));
	mnl_attr_put_u16(message, RTA_DPORT, htons(question->destination_port));
}

static void take_ip(struct ip_address *ip, uint8_t family, const void *bytes, size_t size)
{
	ip->family = family;
	ip->prefix_len = (uint8_t)ip_bits(ip);
	if (size == ip_bits(ip) / 8)
		memcpy(ip->bytes, bytes, size);
}

static int take_route(const struct nlmsghdr *message, size_t request, void *context)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	struct route_answer *answer = context;
	const struct nlattr *attribute;

	(void)request;
	answer->type = header->rtm_type;
	mnl_attr_for_each(attribute, message, sizeof(*header))
	{
		const void *payload = mnl_attr_get_payload(attribute);
		uint16_t size = mnl_attr_get_payload_len(attribute);
		const struct rtvia *via = payload;

		switch (mnl_attr_get_type(attribute)) {
		case RTA_OIF:
			answer->ifindex = mnl_attr_get_u32(attribute);
			break;
		case RTA_GATEWAY:
			take_ip(&answer->via, header->rtm_family, payload, size);
			break;
		case RTA_VIA: /* of the other family */
			if (size > sizeof(*via))
				take_ip(&answer->via, (uint8_t)via->rtvia_family, via->rtvia_addr,
					size - sizeof(*via));
			break;
		case RTA_PREFSRC:
			take_ip(&answer->source, header->rtm_family, payload, size);
			break;
		}
	}
	return 0;
}

/* Of the socket, not of the question. */
static bool is_failure(int code)
{
	return code == -ENOBUFS || code == -ENOMEM || code == -EPERM || code == -EMSGSIZE;
}

int route_ask(struct netlink *nl, const struct route_question *question, struct route_answer *ret,
	      struct error *err)
{
	int code;

	memset(ret, 0, sizeof(*ret));
	queue_question(nl, question);
	code = netlink_flush_answers(nl, NULL, take_route, ret, err);
	if (is_failure(code))
		return code;
	ret->refused = code;
	return 0;
}

struct fdb_answer {
	uint32_t ifindex;
	bool own;
};

static int take_entry(const struct nlmsghdr *message, size_t request, void *context)
{
	const struct ndmsg *header = mnl_nlmsg_get_payload(message);
	struct fdb_answer *answer = context;

	(void)request;
	answer->ifindex = (uint32_t)header->ndm_ifindex;
	answer->own = header->ndm_state & NUD_PERMANENT;
	return 0;
}

int bridge_ask(struct netlink *nl, uint32_t bridge, const uint8_t mac[6], uint32_t *ret_ifindex,
	       bool *ret_own, struct error *err)
{
	struct fdb_answer answer = {0};
	char text[MAC_TEXT_MAX];
	struct nlmsghdr *message =
		netlink_queue(nl, RTM_GETNEIGH, 0, sizeof(struct ndmsg),
			      "ask for the forwarding entry of %s", mac_format(mac, text));
	struct ndmsg *header = mnl_nlmsg_get_payload(message);
	int code;

	header->ndm_family = PF_BRIDGE;
	mnl_attr_put(message, NDA_LLADDR, 6, mac);
	mnl_attr_put_u32(message, NDA_MASTER, bridge);
	netlink_tolerate(nl, -ENOENT);
	code = netlink_flush_answers(nl, NULL, take_entry, &answer, err);
	if (code)
		return code;
	*ret_ifindex = answer.ifindex;
	*ret_own = answer.own;
	return 0;
}
