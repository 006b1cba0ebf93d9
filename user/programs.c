/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works
 *
 * At a hook come the tcx programs first, then the filters of clsact by priority (net/core/dev.c,
 * sch_handle_ingress). The way through the filters ends at the first that matches, unless its
 * last action is "continue" (TC_ACT_UNSPEC): no action at all is TC_ACT_OK. What a BPF program
 * answers cannot be told by looking at it.
 *
 * bpf_prog_query() of libbpf does not give the numbers of links before 1.3, so the call is made
 * here. A kernel before 6.6 does not know tcx: then there is none.
 */
#include "programs.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_gact.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "netns.h"

#define TCX_PROGRAMS_MAX 64 /* at one hook: kernel/bpf/mprog.c, BPF_MPROG_MAX */

struct filter_reader {
	const struct state_link *link;
	enum program_place place;
	struct arena *arena;
	struct program **programs;
	size_t *count;
};

/* ---- Filters. */

static const struct {
	const char *kind;
	uint16_t action; /* attribute of the options that has the actions */
} classifiers[] = {
	{"bpf", TCA_BPF_ACT},           {"flower", TCA_FLOWER_ACT}, {"u32", TCA_U32_ACT},
	{"matchall", TCA_MATCHALL_ACT}, {"basic", TCA_BASIC_ACT},   {"fw", TCA_FW_ACT},
};

static uint16_t action_attribute(const char *kind)
{
	for (size_t i = 0; i < sizeof(classifiers) / sizeof(*classifiers); i++)
		if (!strcmp(classifiers[i].kind, kind))
			return classifiers[i].action;
	return 0;
}

/* What an action ends with: gact and mirred have the same parameters at the same place, struct
 * tc_gact's. Others are taken to end the way. */
static int ends_with(const struct nlattr *action)
{
	const struct nlattr *attribute, *parameter;
	int verdict = TC_ACT_OK;

	mnl_attr_for_each_nested(attribute, action)
	{
		if (mnl_attr_get_type(attribute) != TCA_ACT_OPTIONS)
			continue;
		mnl_attr_for_each_nested(parameter, attribute)
		{
			if (mnl_attr_get_type(parameter) == TCA_GACT_PARMS &&
			    mnl_attr_get_payload_len(parameter) >= sizeof(struct tc_gact))
				verdict = ((const struct tc_gact *)mnl_attr_get_payload(parameter))
						  ->action;
		}
	}
	return verdict;
}

static bool goes_on(const struct nlattr *actions)
{
	const struct nlattr *action;
	int verdict = TC_ACT_OK;

	mnl_attr_for_each_nested(action, actions) verdict = ends_with(action);
	return verdict == TC_ACT_UNSPEC;
}

static void take_options(const struct nlattr *options, const char *kind, struct program *program,
			 struct arena *arena)
{
	uint16_t action = action_attribute(kind);
	bool bpf = !strcmp(kind, "bpf");
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, options)
	{
		uint16_t type = mnl_attr_get_type(attribute);

		if (action && type == action)
			program->goes_on = goes_on(attribute);
		if (bpf && type == TCA_BPF_NAME)
			program->name =
				arena_printf(arena, "%.*s", mnl_attr_get_payload_len(attribute),
					     (const char *)mnl_attr_get_payload(attribute));
		if (bpf && type == TCA_BPF_ID)
			program->number = mnl_attr_get_u32(attribute);
	}
}

/* One that ends the way is enough to tell of a priority. */
static bool is_known(const struct filter_reader *reader, uint32_t priority)
{
	for (size_t i = 0; i < *reader->count; i++) {
		const struct program *program = &(*reader->programs)[i];

		if (program->priority == priority && program->place == reader->place &&
		    !strcmp(program->link, reader->link->name) && !program->goes_on)
			return true;
	}
	return false;
}

static int take_filter(const struct nlmsghdr *message, size_t request, void *context)
{
	const struct tcmsg *header = mnl_nlmsg_get_payload(message);
	uint32_t priority = TC_H_MAJ(header->tcm_info) >> 16;
	const struct nlattr *attribute, *options = NULL;
	struct filter_reader *reader = context;
	struct program *program;
	const char *kind = "";

	(void)request;
	mnl_attr_for_each(attribute, message, sizeof(*header))
	{
		if (mnl_attr_get_type(attribute) == TCA_KIND)
			kind = mnl_attr_get_str(attribute);
		if (mnl_attr_get_type(attribute) == TCA_OPTIONS)
			options = attribute;
	}
	if (!header->tcm_handle || !options || priority >= STATE_HOOK_PRIORITY ||
	    is_known(reader, priority) ||
	    (!strcmp(kind, "u32") && !TC_U32_NODE(header->tcm_handle)))
		return 0;
	program = arena_push(reader->arena, *reader->programs, *reader->count);
	program->link = reader->link->name;
	program->place = reader->place;
	program->priority = priority;
	program->name = arena_strdup(reader->arena, kind);
	take_options(options, kind, program, reader->arena);
	return 0;
}

static int read_filters(struct netlink *nl, struct filter_reader *reader, uint32_t parent,
			struct error *err)
{
	struct tcmsg header = {.tcm_ifindex = (int)reader->link->ifindex, .tcm_parent = parent};

	return netlink_dump(nl, RTM_GETTFILTER, &header, sizeof(header), "read filters",
			    take_filter, reader, err);
}

/* ---- tcx. */

/* union bpf_attr's "query" as of Linux 6.6, which the headers we are built with may not have. */
struct tcx_query {
	__u32 ifindex, attach_type, query_flags, attach_flags;
	__aligned_u64 programs;
	__u32 count, reserved;
	__aligned_u64 program_flags, links, link_flags;
	__u64 revision;
};

#define TCX_INGRESS 46 /* BPF_TCX_INGRESS */
#define TCX_EGRESS  47

static const char *program_name(uint32_t number, struct arena *arena)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);
	const char *name = "";
	int fd = bpf_prog_get_fd_by_id(number);

	if (fd < 0)
		return name;
	if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0)
		name = arena_strdup(arena, info.name);
	close(fd);
	return name;
}

/* In the namespace of the thread. */
static void read_tcx(struct filter_reader *reader, uint32_t attach_type)
{
	__u32 programs[TCX_PROGRAMS_MAX] = {}, links[TCX_PROGRAMS_MAX] = {};
	struct tcx_query query = {.ifindex = reader->link->ifindex,
				  .attach_type = attach_type,
				  .programs = (uintptr_t)programs,
				  .links = (uintptr_t)links,
				  .count = TCX_PROGRAMS_MAX};

	if (syscall(SYS_bpf, BPF_PROG_QUERY, &query, sizeof(query)) != 0)
		return;
	for (size_t i = 0; i < query.count && i < TCX_PROGRAMS_MAX; i++) {
		struct program *program =
			arena_push(reader->arena, *reader->programs, *reader->count);

		program->link = reader->link->name;
		program->place = reader->place;
		program->number = programs[i];
		program->link_id = links[i];
		program->name = program_name(programs[i], reader->arena);
	}
}

int programs_read(struct netlink *nl, int host_fd, const struct state_link *link,
		  struct arena *arena, struct program **programs, size_t *count, struct error *err)
{
	struct filter_reader reader = {
		.link = link, .arena = arena, .programs = programs, .count = count};
	int previous, ret = 0;

	if (link->clsact) {
		reader.place = PROGRAM_TC_INGRESS;
		ret = read_filters(nl, &reader, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), err);
		reader.place = PROGRAM_TC_EGRESS;
		if (!ret)
			ret = read_filters(nl, &reader, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS),
					   err);
	}
	if (!ret)
		ret = netns_enter(host_fd, &previous, err);
	if (ret)
		return error_context(err, "link '%s'", link->name);
	reader.place = PROGRAM_TCX_INGRESS;
	read_tcx(&reader, TCX_INGRESS);
	reader.place = PROGRAM_TCX_EGRESS;
	read_tcx(&reader, TCX_EGRESS);
	netns_leave(previous);
	return 0;
}
