/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works
 *
 * clsact is a qdisc that queues nothing and has two places for filters, named by the parent of the
 * filter. A place holds classifiers by priority, and each holds filters by handle; a dump shows
 * every classifier once with handle 0 (it is only the container), then its filters.
 */
#include "qdisc.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <string.h>

#define CLSACT_HANDLE TC_H_MAKE(TC_H_CLSACT, 0)

static const char *const hook_name[] = {[QDISC_INGRESS] = "ingress", [QDISC_EGRESS] = "egress"};
static const uint32_t hook_parent[] = {
	[QDISC_INGRESS] = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
	[QDISC_EGRESS] = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS),
};

struct qdisc_reader {
	struct state_link *links;
	size_t count;
	size_t last; /* found last: dumps come in the order of the links, or nearly */
};

struct filter_reader {
	const char *prefix;
	bool ours, foreign, place_taken;
	uint32_t program; /* ours */
};

/* ---- Requests. */

static struct nlmsghdr *queue_clsact(struct netlink *nl, uint16_t type, uint16_t flags,
				     const char *verb, uint32_t ifindex, const char *link)
{
	struct nlmsghdr *message = netlink_queue(nl, type, flags, sizeof(struct tcmsg),
						 "%s clsact of '%s'", verb, link);
	struct tcmsg *header = mnl_nlmsg_get_payload(message);

	header->tcm_ifindex = (int)ifindex;
	header->tcm_parent = TC_H_CLSACT;
	header->tcm_handle = CLSACT_HANDLE;
	mnl_attr_put_strz(message, TCA_KIND, "clsact");
	return message;
}

void qdisc_add_clsact(struct netlink *nl, uint32_t ifindex, const char *link)
{
	queue_clsact(nl, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, "create", ifindex, link);
}

void qdisc_delete_clsact(struct netlink *nl, uint32_t ifindex, const char *link)
{
	queue_clsact(nl, RTM_DELQDISC, 0, "delete", ifindex, link);
}

static struct nlmsghdr *queue_filter(struct netlink *nl, uint16_t type, uint16_t flags,
				     const char *verb, uint32_t ifindex, const char *link,
				     enum qdisc_hook hook)
{
	struct nlmsghdr *message =
		netlink_queue(nl, type, flags, sizeof(struct tcmsg), "%s program at %s of '%s'",
			      verb, hook_name[hook], link);
	struct tcmsg *header = mnl_nlmsg_get_payload(message);

	header->tcm_ifindex = (int)ifindex;
	header->tcm_parent = hook_parent[hook];
	header->tcm_handle = QDISC_FILTER_HANDLE;
	header->tcm_info = TC_H_MAKE(QDISC_FILTER_PRIORITY << 16, htons(ETH_P_ALL));
	mnl_attr_put_strz(message, TCA_KIND, "bpf");
	return message;
}

static void put_program(struct nlmsghdr *message, int program_fd, const char *program)
{
	struct nlattr *options = mnl_attr_nest_start(message, TCA_OPTIONS);

	mnl_attr_put_u32(message, TCA_BPF_FD, (uint32_t)program_fd);
	mnl_attr_put_strz(message, TCA_BPF_NAME, program);
	mnl_attr_put_u32(message, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	mnl_attr_nest_end(message, options);
}

void qdisc_add_filter(struct netlink *nl, uint32_t ifindex, const char *link, enum qdisc_hook hook,
		      int program_fd, const char *program)
{
	put_program(queue_filter(nl, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, "attach", ifindex,
				 link, hook),
		    program_fd, program);
}

void qdisc_replace_filter(struct netlink *nl, uint32_t ifindex, const char *link,
			  enum qdisc_hook hook, int program_fd, const char *program)
{
	put_program(queue_filter(nl, RTM_NEWTFILTER, NLM_F_CREATE, "replace", ifindex, link, hook),
		    program_fd, program);
}

void qdisc_delete_filter(struct netlink *nl, uint32_t ifindex, const char *link,
			 enum qdisc_hook hook)
{
	queue_filter(nl, RTM_DELTFILTER, 0, "detach", ifindex, link, hook);
}

/* ---- Reading. */

static struct state_link *find_link(struct qdisc_reader *reader, uint32_t ifindex)
{
	for (size_t i = 0; i < reader->count; i++) {
		size_t at = (reader->last + i) % reader->count;

		if (reader->links[at].ifindex == ifindex) {
			reader->last = at;
			return &reader->links[at];
		}
	}
	return NULL;
}

static bool is_string(const struct nlattr *attribute, const char *string)
{
	return strncmp(mnl_attr_get_str(attribute), string, mnl_attr_get_payload_len(attribute)) ==
	       0;
}

static int take_qdisc(const struct nlmsghdr *message, size_t request, void *context)
{
	const struct tcmsg *header = mnl_nlmsg_get_payload(message);
	struct state_link *link = find_link(context, (uint32_t)header->tcm_ifindex);
	const struct nlattr *attribute;

	(void)request;
	if (!link) /* it came after the links were read */
		return 0;
	mnl_attr_for_each(attribute, message, sizeof(*header))
	{
		if (mnl_attr_get_type(attribute) == TCA_INGRESS_BLOCK ||
		    mnl_attr_get_type(attribute) == TCA_EGRESS_BLOCK)
			link->shared_block |= mnl_attr_get_u32(attribute) != 0;
		if (mnl_attr_get_type(attribute) != TCA_KIND)
			continue;
		if (is_string(attribute, "clsact"))
			link->clsact = true;
		else if (header->tcm_parent == TC_H_INGRESS)
			link->ingress_qdisc = true;
		else if (header->tcm_parent == TC_H_ROOT && !is_string(attribute, "noqueue"))
			link->other_qdisc = true;
		if (header->tcm_parent == TC_H_ROOT && header->tcm_handle)
			link->set_qdisc = true; /* the kernel's default ones have no number */
	}
	return 0;
}

/* Whether the options of a cls_bpf filter name a program of ours. */
static bool has_our_name(const struct nlattr *options, const char *prefix)
{
	const struct nlattr *attribute;
	size_t length = strlen(prefix);

	mnl_attr_for_each_nested(
		attribute, options) if (mnl_attr_get_type(attribute) ==
					TCA_BPF_NAME) return mnl_attr_get_payload_len(attribute) >
			length &&
		!memcmp(mnl_attr_get_payload(attribute), prefix, length);
	return false;
}

static uint32_t program_of(const struct nlattr *options)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, options)
	{
		if (mnl_attr_get_type(attribute) == TCA_BPF_ID)
			return mnl_attr_get_u32(attribute);
	}
	return 0;
}

static int take_filter(const struct nlmsghdr *message, size_t request, void *context)
{
	const struct tcmsg *header = mnl_nlmsg_get_payload(message);
	bool our_place = TC_H_MAJ(header->tcm_info) >> 16 == QDISC_FILTER_PRIORITY;
	bool is_bpf = false, is_named = false;
	struct filter_reader *reader = context;
	const struct nlattr *attribute;
	uint32_t program = 0;

	(void)request;
	if (!header->tcm_handle)
		return 0;
	mnl_attr_for_each(attribute, message, sizeof(*header))
	{
		if (mnl_attr_get_type(attribute) == TCA_KIND)
			is_bpf = is_string(attribute, "bpf");
		if (mnl_attr_get_type(attribute) == TCA_OPTIONS) {
			is_named = has_our_name(attribute, reader->prefix);
			program = program_of(attribute);
		}
	}
	if (is_bpf && is_named && header->tcm_handle == QDISC_FILTER_HANDLE && our_place) {
		reader->ours = true;
		reader->program = program;
	} else {
		reader->foreign = true;
		reader->place_taken |= our_place;
	}
	return 0;
}

static int read_hook(struct netlink *nl, struct state_link *link, enum qdisc_hook hook,
		     const char *prefix, bool *ret_ours, uint32_t *ret_program, struct error *err)
{
	struct filter_reader reader = {.prefix = prefix};
	struct tcmsg header = {.tcm_ifindex = (int)link->ifindex, .tcm_parent = hook_parent[hook]};
	int code = netlink_dump(nl, RTM_GETTFILTER, &header, sizeof(header), "read filters",
				take_filter, &reader, err);

	if (code)
		return error_context(err, "link '%s'", link->name);
	*ret_ours = reader.ours;
	*ret_program = reader.program;
	link->foreign_hooks |= reader.foreign;
	link->place_taken |= reader.place_taken;
	return 0;
}

int qdisc_read(struct netlink *nl, struct state_link *links, size_t count, const char *prefix,
	       struct error *err)
{
	struct qdisc_reader reader = {.links = links, .count = count};
	struct tcmsg header = {0};
	int code = netlink_dump(nl, RTM_GETQDISC, &header, sizeof(header),
				"read queueing disciplines", take_qdisc, &reader, err);

	for (size_t i = 0; i < count && !code; i++) {
		if (!links[i].clsact)
			continue;
		code = read_hook(nl, &links[i], QDISC_INGRESS, prefix, &links[i].hook_in,
				 &links[i].hook_in_program, err);
		if (!code)
			code = read_hook(nl, &links[i], QDISC_EGRESS, prefix, &links[i].hook_out,
					 &links[i].hook_out_program, err);
	}
	return code;
}
