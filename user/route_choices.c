/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: rules are a dump like any other. How many policies there are is one question to
 * another family of netlink (linux/xfrm.h), and its answer one message; not being able to ask means
 * that there are none, for they cannot have been made then either.
 */
#include "route_choices.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>

#include "netns.h"

#define ANSWER_MAX 4096

static int take_rule(const struct nlmsghdr *message, size_t request, void *context)
{
	struct route_choices *choices = context;
	const struct nlattr *attribute;

	(void)request;
	mnl_attr_for_each(attribute, message, sizeof(struct fib_rule_hdr))
	{
		if (mnl_attr_get_type(attribute) == FRA_FWMARK && mnl_attr_get_u32(attribute))
			choices->marks++;
	}
	return 0;
}

static int take_policies(const struct nlmsghdr *message, void *context)
{
	struct route_choices *choices = context;
	const struct nlattr *attribute;
	struct xfrmu_spdinfo info;

	if (message->nlmsg_type != XFRM_MSG_NEWSPDINFO)
		return MNL_CB_STOP;
	mnl_attr_for_each(attribute, message, sizeof(uint32_t))
	{
		if (mnl_attr_get_type(attribute) != XFRMA_SPD_INFO ||
		    mnl_attr_get_payload_len(attribute) < sizeof(info))
			continue;
		memcpy(&info, mnl_attr_get_payload(attribute), sizeof(info));
		choices->policies = info.outcnt;
	}
	return MNL_CB_STOP;
}

static void ask_policies(struct mnl_socket *socket, struct route_choices *ret)
{
	_Alignas(struct nlmsghdr) char bytes[ANSWER_MAX];
	struct nlmsghdr *message = mnl_nlmsg_put_header(bytes);
	ssize_t size;

	message->nlmsg_type = XFRM_MSG_GETSPDINFO;
	message->nlmsg_flags = NLM_F_REQUEST;
	mnl_nlmsg_put_extra_header(message, sizeof(uint32_t));
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) ||
	    mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
		return;
	size = mnl_socket_recvfrom(socket, bytes, sizeof(bytes));
	if (size > 0)
		mnl_cb_run(bytes, (size_t)size, 0, 0, take_policies, ret);
}

static int read_policies(int netns_fd, struct route_choices *ret, struct error *err)
{
	struct mnl_socket *socket;
	int previous, code = netns_enter(netns_fd, &previous, err);

	if (code)
		return code;
	socket = mnl_socket_open2(NETLINK_XFRM, SOCK_CLOEXEC);
	netns_leave(previous);
	if (socket) {
		ask_policies(socket, ret);
		mnl_socket_close(socket);
	}
	return 0;
}

int route_choices_read(struct netlink *nl, int netns_fd, struct route_choices *ret,
		       struct error *err)
{
	struct fib_rule_hdr filter = {.family = AF_INET};
	struct route_choices choices = {0};
	int code = netlink_dump(nl, RTM_GETRULE, &filter, sizeof(filter), "read rules", take_rule,
				&choices, err);

	if (code == -EOPNOTSUPP) /* a kernel without rules */
		code = 0;
	if (!code)
		code = read_policies(netns_fd, &choices, err);
	if (!code)
		*ret = choices;
	return code;
}
