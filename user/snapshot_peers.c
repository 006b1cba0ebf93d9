/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a veth tells the ifindex of its other end, and the number under which its own
 * namespace knows the other one. Ifindexes repeat in every namespace, so candidates are the
 * interfaces that name each other; of them the one is right whose namespace has that number
 * (RTM_GETNSID). A namespace without a number is not given one: asking changes nothing.
 *
 * The host's number is asked for once a namespace, as most other ends are there.
 */
#include "snapshot.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <unistd.h>

#include "netlink.h"
#include "netns.h"

/* Which namespaces have an interface of a number, so that candidates are found without walking
 * through all: for each ifindex a list, in the order of the state. */
struct candidates {
	struct arena arena;
	struct index_slot {
		size_t *spaces; /* 0: the host, then state->namespaces */
		size_t count;
	} * by_ifindex;
	size_t size;
};

struct peers {
	int host_fd;
	struct kernel_state *state;
	struct candidates candidates;
};

static struct state_namespace *space(struct kernel_state *state, size_t at)
{
	return at ? &state->namespaces[at - 1] : &state->host;
}

static struct state_link *find_link(struct state_namespace *namespace, uint32_t ifindex)
{
	for (size_t i = 0; i < namespace->links_count; i++)
		if (namespace->links[i].ifindex == ifindex)
			return &namespace->links[i];
	return NULL;
}

static bool is_veth(const struct state_link *link)
{
	return link->peer_ifindex && !strcmp(link->kind, "veth");
}

/* ---- Candidates. */

#define IFINDEX_MAX (1u << 20) /* larger ones are possible, but then their peers stay unknown */

static void add_candidate(struct candidates *all, uint32_t ifindex, size_t at)
{
	struct index_slot *slot;

	if (ifindex >= all->size)
		return;
	slot = &all->by_ifindex[ifindex];
	*(size_t *)arena_push(&all->arena, slot->spaces, slot->count) = at;
}

static void index_links(struct peers *peers)
{
	struct kernel_state *state = peers->state;
	struct candidates *all = &peers->candidates;
	uint32_t last = 0;

	for (size_t i = 0; i <= state->namespaces_count; i++)
		for (size_t j = 0; j < space(state, i)->links_count; j++)
			if (space(state, i)->links[j].ifindex > last)
				last = space(state, i)->links[j].ifindex;
	all->size = (last < IFINDEX_MAX ? last : IFINDEX_MAX) + 1;
	all->by_ifindex = arena_alloc(&all->arena, all->size * sizeof(*all->by_ifindex));
	for (size_t i = 0; i <= state->namespaces_count; i++)
		for (size_t j = 0; j < space(state, i)->links_count; j++)
			if (is_veth(&space(state, i)->links[j]))
				add_candidate(all, space(state, i)->links[j].ifindex, i);
}

/* ---- Numbers of namespaces. */

static int take_number(const struct nlmsghdr *message, size_t request, void *ret_number)
{
	const struct nlattr *attribute;

	(void)request;
	mnl_attr_for_each(attribute, message,
			  sizeof(struct rtgenmsg)) if (mnl_attr_get_type(attribute) ==
						       NETNSA_NSID) *
		(int32_t *)ret_number = (int32_t)mnl_attr_get_u32(attribute);
	return 0;
}

/* NETNSA_NSID_NOT_ASSIGNED when it has none. */
static int number_of(struct netlink *nl, int fd, int32_t *ret_number, struct error *err)
{
	struct nlmsghdr *message = netlink_queue(nl, RTM_GETNSID, 0, sizeof(struct rtgenmsg),
						 "ask for the number of a namespace");

	*ret_number = NETNSA_NSID_NOT_ASSIGNED;
	mnl_attr_put_u32(message, NETNSA_FD, (uint32_t)fd);
	return netlink_flush_answers(nl, NULL, take_number, ret_number, err);
}

static int number_of_space(struct peers *peers, struct netlink *nl, size_t at, int32_t *ret_number,
			   struct error *err)
{
	int fd, ret;

	if (at == 0)
		return number_of(nl, peers->host_fd, ret_number, err);
	ret = netns_open(space(peers->state, at)->name, &fd, err);
	if (ret)
		return ret;
	ret = number_of(nl, fd, ret_number, err);
	close(fd);
	return ret;
}

/* ---- Ends. */

static bool name_each_other(const struct state_link *link, const struct state_link *other)
{
	return other && is_veth(other) && link->peer_ifindex == other->ifindex &&
	       other->peer_ifindex == link->ifindex && other->peer_elsewhere;
}

static int find_elsewhere(struct peers *peers, struct netlink *nl, size_t own, int32_t host_number,
			  struct state_link *link, struct error *err)
{
	struct kernel_state *state = peers->state;
	const struct index_slot *slot;

	if (own && link->peer_nsid == host_number) {
		link->peer_namespace = &state->host;
		return 0;
	}
	if (link->peer_ifindex >= peers->candidates.size)
		return 0;
	slot = &peers->candidates.by_ifindex[link->peer_ifindex];
	for (size_t i = 0; i < slot->count; i++) {
		struct state_namespace *namespace = space(state, slot->spaces[i]);
		int32_t number = NETNSA_NSID_NOT_ASSIGNED;
		int ret;

		if (slot->spaces[i] == 0 || slot->spaces[i] == own ||
		    !name_each_other(link, find_link(namespace, link->peer_ifindex)))
			continue;
		ret = number_of_space(peers, nl, slot->spaces[i], &number, err);
		if (ret == -ENOENT || ret == -EINVAL)
			continue; /* deleted since it was read */
		if (ret)
			return ret;
		if (number == link->peer_nsid) {
			link->peer_namespace = namespace;
			return 0;
		}
	}
	return 0;
}

static int find_all(struct peers *peers, struct netlink *nl, size_t own, struct error *err)
{
	struct state_namespace *namespace = space(peers->state, own);
	int32_t host_number = NETNSA_NSID_NOT_ASSIGNED;
	int ret = own ? number_of_space(peers, nl, 0, &host_number, err) : 0;

	for (size_t i = 0; !ret && i < namespace->links_count; i++) {
		struct state_link *link = &namespace->links[i];

		if (!is_veth(link) || link->peer_namespace)
			continue;
		if (!link->peer_elsewhere) {
			if (find_link(namespace, link->peer_ifindex))
				link->peer_namespace = namespace;
			continue;
		}
		ret = find_elsewhere(peers, nl, own, host_number, link, err);
		if (!ret && link->peer_namespace) { /* the other end need not ask again */
			struct state_link *other = find_link(
				(struct state_namespace *)link->peer_namespace, link->peer_ifindex);

			if (name_each_other(link, other))
				other->peer_namespace = namespace;
		}
	}
	return ret;
}

/* The host comes last: what its ends lead to is known by then, but for foreign namespaces. */
int snapshot_peers(int host_fd, struct kernel_state *state, struct error *err)
{
	struct peers peers = {.host_fd = host_fd, .state = state};
	int ret = 0;

	index_links(&peers);
	for (size_t i = state->namespaces_count + 1; !ret && i-- > 0;) {
		struct netlink *nl = NULL;
		int fd = host_fd;

		if (i &&
		    (!space(state, i)->exists || netns_open(space(state, i)->name, &fd, err) != 0))
			continue;
		ret = netlink_open(&nl, fd, err);
		if (!ret)
			ret = find_all(&peers, nl, i, err);
		netlink_close(nl);
		if (i)
			close(fd);
	}
	arena_free(&peers.candidates.arena);
	return ret;
}

/* ---- Single ones. */

static int open_space(const struct state_namespace *ns, int host_fd, int *ret_fd, struct error *err)
{
	*ret_fd = host_fd;
	return ns->name ? netns_open(ns->name, ret_fd, err) : 0;
}

static void close_space(const struct state_namespace *ns, int fd)
{
	if (ns->name)
		close(fd);
}

/* From where the link is. */
static int ask_from(struct netlink *nl, const struct peer_need *need, int host_fd,
		    struct error *err)
{
	struct state_link *link = need->link;
	int32_t number;
	int fd, ret;

	link->peer_asked = true;
	link->peer_namespace = NULL;
	if (!link->peer_elsewhere || need->other == need->namespace) {
		link->peer_namespace = link->peer_elsewhere ? NULL : need->namespace;
		return 0;
	}
	ret = open_space(need->other, host_fd, &fd, err);
	if (ret)
		return ret;
	ret = number_of(nl, fd, &number, err);
	close_space(need->other, fd);
	if (!ret && number != NETNSA_NSID_NOT_ASSIGNED && number == link->peer_nsid)
		link->peer_namespace = need->other;
	return ret;
}

static int ask_about(const struct peer_need *need, int host_fd, struct error *err)
{
	struct netlink *nl;
	int fd, ret;

	ret = open_space(need->namespace, host_fd, &fd, err);
	if (ret)
		return ret;
	ret = netlink_open(&nl, fd, err);
	if (!ret) {
		ret = ask_from(nl, need, host_fd, err);
		netlink_close(nl);
	}
	close_space(need->namespace, fd);
	return ret;
}

int snapshot_ask_peers(int host_fd, const struct peer_need *needs, size_t count, struct error *err)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < count; i++) {
		ret = ask_about(&needs[i], host_fd, err);
		if (ret == -ENOENT || ret == -EINVAL)
			ret = 0; /* deleted since it was read, and its links with it */
	}
	return ret;
}
