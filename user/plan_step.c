/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: each verb of each object makes one to three operations, after it has looked whether
 * the objects are there and whose they are. Deleting what is not there has to be refused here:
 * when a plan is carried out it is no failure. Addresses and routes are in plan_step_route.c.
 */
#include "plan_step.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/if.h>
#include <string.h>

#include "plan_stepping.h"

struct operation *stepping_add(struct stepping *s, enum operation_kind kind)
{
	struct operation *op = arena_push(s->arena, s->plan->operations, s->plan->count);

	op->kind = kind;
	op->record_inside = true;
	return op;
}

const char *stepping_in(const struct stepping *s, const char *namespace)
{
	return namespace ? arena_printf(s->arena, " in namespace '%s'", namespace) : "";
}

const char *stepping_option(const struct stepping *s, const char *namespace)
{
	return namespace ? arena_printf(s->arena, " -n %s", namespace) : "";
}

/* ---- Whose it is. */

/* The fabric whose mark it is; NULL: none. */
static const char *fabric_of(const char *alias)
{
	static const char mark[] = "nsroute:";

	return alias && !strncmp(alias, mark, strlen(mark)) && strcmp(alias, STEPS_ALIAS)
		       ? alias + strlen(mark)
		       : NULL;
}

static bool is_recorded_here(const struct stepping *s, const char *fabric)
{
	for (size_t i = 0; i < s->view->state->others_count; i++)
		if (!strcmp(s->view->state->others[i].fabric, fabric))
			return true;
	return false;
}

static int refuse_fabrics(struct stepping *s, const char *fabric, const char *what,
			  const char *name, const char *by_hand)
{
	if (is_recorded_here(s, fabric))
		return error_set(
			s->err, -EPERM,
			"%s '%s' belongs to fabric '%s': change its file and apply that, or "
			"remove the fabric (nsroute down %s)",
			what, name, fabric, fabric);
	return error_set(
		s->err, -EPERM,
		"%s '%s' has the mark of fabric '%s', which is not of this host namespace; "
		"when that fabric is gone, %s %s",
		what, name, fabric, by_hand, name);
}

const struct state_namespace *stepping_namespace(const struct stepping *s, const char *name)
{
	return name ? view_namespace(s->view, name) : &s->view->state->host;
}

int stepping_need_namespace(struct stepping *s, const char *name)
{
	const struct state_namespace *ns = stepping_namespace(s, name);

	if (!name || (ns && ns->exists))
		return 0;
	return error_set(
		s->err, -ENOENT,
		"there is no namespace '%s': %s; make it first (nsroute netns add %s), or see "
		"which there are (nsroute netns list)",
		name, strerror(ENOENT), name);
}

int stepping_need_link(struct stepping *s, const char *namespace, const char *name,
		       const struct state_link **ret)
{
	const struct state_namespace *ns = stepping_namespace(s, namespace);
	const struct state_link *link;
	const char *fabric;
	int code = stepping_need_namespace(s, namespace);

	if (code)
		return code;
	link = view_link(s->view, namespace, name);
	if (!link)
		return error_set(s->err, -ENODEV,
				 "there is no interface '%s'%s: %s; see which there are (nsroute "
				 "link%s list)",
				 name, stepping_in(s, namespace), strerror(ENODEV),
				 stepping_option(s, namespace));
	fabric = fabric_of(link->alias);
	if (!fabric && namespace && !view_inner_link_is_ours(s->view, namespace, link))
		fabric = fabric_of(ns->alias);
	*ret = link;
	return fabric ? refuse_fabrics(s, fabric, "interface", name, "ip link delete") : 0;
}

static bool link_is_ours(const struct stepping *s, const char *namespace,
			 const struct state_link *link)
{
	return namespace ? view_inner_link_is_ours(s->view, namespace, link)
			 : view_link_is_ours(s->view, link);
}

/* To delete or move: it cannot be taken back. */
static int need_own_link(struct stepping *s, const char *namespace, const struct state_link *link,
			 const char *mend)
{
	const struct state_namespace *ns = namespace ? view_namespace(s->view, namespace) : NULL;

	if (link_is_ours(s, namespace, link) || (ns && view_namespace_is_ours(s->view, ns)))
		return 0;
	return error_set(s->err, -EPERM, "interface '%s'%s was not made by nsroute: left alone; %s",
			 link->name, stepping_in(s, namespace), mend);
}

static int need_free_name(struct stepping *s, const struct step_end *end)
{
	int code = stepping_need_namespace(s, end->namespace);

	if (code || !view_link(s->view, end->namespace, end->name))
		return code;
	return error_set(s->err, -EEXIST,
			 "cannot create interface '%s'%s: %s; choose another name, or delete that "
			 "one first (nsroute link%s del %s)",
			 end->name, stepping_in(s, end->namespace), strerror(EEXIST),
			 stepping_option(s, end->namespace), end->name);
}

/* ---- netns */

static int add_namespace(struct stepping *s, const char *name)
{
	const struct state_namespace *ns = view_namespace(s->view, name);

	if (ns && ns->stale)
		return error_set(
			s->err, -EEXIST,
			"cannot create namespace '%s': only its name is left of an earlier "
			"one; delete that first (nsroute netns del %s)",
			name, name);
	if (ns && ns->exists)
		return error_set(s->err, -EEXIST,
				 "cannot create namespace '%s': %s; choose another name, or delete "
				 "that one first (nsroute netns del %s)",
				 name, strerror(EEXIST), name);
	stepping_add(s, OPERATION_NETNS_ADD)->namespace = name;
	return 0;
}

/* The links that steps made there go first, so that their other ends are gone at once, and when a
 * process keeps the namespace alive. */
static int delete_namespace(struct stepping *s, const char *name)
{
	const struct state_namespace *ns = view_namespace(s->view, name);
	const char *fabric;

	if (!ns || (!ns->exists && !ns->stale))
		return error_set(s->err, -ENOENT,
				 "cannot delete namespace '%s': %s; see which there are (nsroute "
				 "netns list)",
				 name, strerror(ENOENT));
	fabric = fabric_of(ns->alias);
	if (fabric)
		return refuse_fabrics(s, fabric, "namespace", name, "ip netns delete");
	for (size_t i = 0; i < ns->links_count; i++) {
		struct operation *op;

		if (!view_inner_link_is_ours(s->view, name, &ns->links[i]))
			continue;
		op = stepping_add(s, OPERATION_LINK_DELETE);
		op->namespace = name;
		op->link = ns->links[i].name;
		op->ifindex = ns->links[i].ifindex;
	}
	stepping_add(s, OPERATION_NETNS_DELETE)->namespace = name;
	return 0;
}

static void mark(struct stepping *s, const char *namespace, const struct state_link *link)
{
	struct operation *op = stepping_add(s, OPERATION_LINK_SET), *old;

	op->namespace = namespace;
	op->link = link->name;
	op->alias = s->view->alias;
	old = arena_alloc(s->arena, sizeof(*old));
	*old = *op;
	old->alias = link->alias;
	op->replaces = old;
}

/* Those that can only have been made for it: a NIC that was moved in is its owner's. */
static void adopt_links(struct stepping *s, const struct state_namespace *ns)
{
	for (size_t i = 0; i < ns->links_count; i++) {
		const struct state_link *link = &ns->links[i];
		struct operation *op;

		if (link->alias[0] || (strcmp(link->kind, "veth") && strcmp(link->kind, "bridge")))
			continue;
		op = stepping_add(s, OPERATION_ADOPT);
		op->record = RECORD_LINK_INSIDE;
		op->link = view_place(s->view, ns->name, link->name);
		op->has_mac = true;
		memcpy(op->mac, link->mac, sizeof(op->mac));
		mark(s, ns->name, link);
	}
}

static int adopt_namespace(struct stepping *s, const char *name)
{
	const struct state_namespace *ns = view_namespace(s->view, name);
	const struct state_link *lo = view_link(s->view, name, "lo");
	const char *fabric;
	struct operation *op;
	int code = stepping_need_namespace(s, name);

	if (code)
		return code;
	fabric = fabric_of(ns->alias);
	if (fabric)
		return refuse_fabrics(s, fabric, "namespace", name, "ip netns delete");
	if (!view_namespace_is_ours(s->view, ns) && lo) {
		op = stepping_add(s, OPERATION_ADOPT);
		op->record = RECORD_NETNS;
		op->link = name;
		op->value = arena_printf(s->arena, "%" PRIu64, ns->cookie);
		mark(s, name, lo);
	}
	adopt_links(s, ns);
	return 0;
}

static int step_netns(struct stepping *s)
{
	int (*act)(struct stepping *, const char *) = s->step->verb == STEP_ADD ? add_namespace
						      : s->step->verb == STEP_ADOPT
							      ? adopt_namespace
							      : delete_namespace;
	int code = 0;

	for (size_t i = 0; !code && i < s->step->names_count; i++)
		code = act(s, s->step->names[i]);
	return code;
}

/* ---- link and bridge */

static void mark_new(struct stepping *s, const struct step_end *end)
{
	struct operation *op = stepping_add(s, OPERATION_LINK_SET);

	op->namespace = end->namespace;
	op->link = end->name;
	op->alias = s->view->alias;
}

static int add_link(struct stepping *s)
{
	const struct step *step = s->step;
	struct operation *op;
	int code = need_free_name(s, &step->link);

	if (!code && step->peer.name)
		code = need_free_name(s, &step->peer);
	if (code)
		return code;
	op = stepping_add(s, step->peer.name ? OPERATION_VETH_ADD : OPERATION_BRIDGE_ADD);
	op->namespace = step->link.namespace;
	op->link = step->link.name;
	op->mtu = step->mtu;
	memcpy(op->mac, step->link.mac, sizeof(op->mac));
	op->peer_namespace = step->peer.name ? step->peer.namespace : NULL;
	op->peer = step->peer.name;
	memcpy(op->peer_mac, step->peer.mac, sizeof(op->peer_mac));
	mark_new(s, &step->link);
	if (step->peer.name)
		mark_new(s, &step->peer);
	return 0;
}

static int move_link(struct stepping *s, const struct state_link *link)
{
	const struct step *step = s->step;
	const struct step_end target = {.namespace = step->target, .name = step->link.name};
	struct operation *op;
	int code = need_own_link(
		s, step->link.namespace, link,
		"let a file have it, which gives it back (devices:), or move it with ip link set");

	if (!code)
		code = need_free_name(s, &target);
	if (code)
		return code;
	op = stepping_add(s, OPERATION_LINK_MOVE);
	op->namespace = step->link.namespace;
	op->link = link->name;
	op->peer_namespace = step->target;
	memcpy(op->mac, link->mac, sizeof(op->mac));
	return 0;
}

static bool sets_anything(const struct operation *op)
{
	return op->up || op->down || op->mtu || op->has_mac || op->master;
}

/* What it was is part of it: when the kernel refuses one of several, the others are undone. */
static void change_link(struct stepping *s, const char *namespace, const struct state_link *link,
			const struct operation *wanted)
{
	const struct state_link *master =
		wanted->master && link->master
			? view_link_by_index(s->view, s->step->link.namespace, link->master)
			: NULL;
	struct operation *op, *old;

	if (!sets_anything(wanted))
		return;
	op = stepping_add(s, OPERATION_LINK_SET);
	*op = *wanted;
	op->kind = OPERATION_LINK_SET;
	op->namespace = namespace;
	op->link = link->name;
	old = arena_alloc(s->arena, sizeof(*old));
	*old = *op;
	old->up = op->down && link->flags & IFF_UP;
	old->down = op->up && !(link->flags & IFF_UP);
	old->mtu = op->mtu ? link->mtu : 0;
	memcpy(old->mac, link->mac, sizeof(old->mac));
	if (op->master)
		old->master = master ? master->name : "";
	if (sets_anything(old))
		op->replaces = old;
}

/* Asked before anything is done: a link that has moved cannot be undone with its addresses. */
static int need_master(struct stepping *s, const char *namespace)
{
	static const char *const kinds[] = {"bridge", "bond", "team", "vrf", "openvswitch"};
	const struct state_link *master;
	int code = stepping_need_link(s, namespace, s->step->master, &master);

	if (code)
		return code;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(master->kind, kinds[i]))
			return 0;
	return error_set(s->err, -EINVAL,
			 "interface '%s'%s is no bridge: it can be nobody's master", master->name,
			 stepping_in(s, namespace));
}

/* What a link keeps when it moves is set before, so that it has not moved when that is refused. */
static int set_link(struct stepping *s)
{
	const struct step *step = s->step;
	const char *namespace = step->moves ? step->target : step->link.namespace;
	struct operation kept = {.mtu = step->mtu, .has_mac = step->link.has_mac};
	struct operation there = {.up = step->up, .down = step->down, .master = step->master};
	const struct state_link *link;
	int code = stepping_need_link(s, step->link.namespace, step->link.name, &link);

	memcpy(kept.mac, step->link.mac, sizeof(kept.mac));
	if (!step->moves) { /* all at once */
		kept.up = step->up;
		kept.down = step->down;
		kept.master = step->master;
	}
	if (!code && step->master && *step->master)
		code = need_master(s, namespace);
	if (code)
		return code;
	change_link(s, step->link.namespace, link, &kept);
	if (!step->moves)
		return 0;
	code = move_link(s, link);
	if (!code)
		change_link(s, namespace, link, &there);
	return code;
}

static int delete_link(struct stepping *s)
{
	const char *namespace = s->step->link.namespace;
	const struct state_link *link;
	struct operation *op;
	int code = stepping_need_link(s, namespace, s->step->link.name, &link);

	if (!code && s->step->object == STEP_BRIDGE && strcmp(link->kind, "bridge"))
		return error_set(s->err, -EINVAL,
				 "interface '%s'%s is no bridge; nsroute link%s del %s deletes it",
				 link->name, stepping_in(s, namespace),
				 stepping_option(s, namespace), link->name);
	if (!code)
		code = need_own_link(s, namespace, link,
				     arena_printf(s->arena, "ip%s link delete %s deletes it",
						  stepping_option(s, namespace), link->name));
	if (code)
		return code;
	op = stepping_add(s, OPERATION_LINK_DELETE);
	op->namespace = namespace;
	op->link = link->name;
	op->ifindex = link->ifindex;
	return 0;
}

/* ---- All of them. */

static void add_name(struct arena *arena, const char *const **names, size_t *count,
		     const char *name)
{
	const char **list = (const char **)*names;

	for (size_t i = 0; name && i < *count; i++)
		if (!strcmp(list[i], name))
			return;
	if (name)
		*arena_push(arena, list, *count) = name;
	*names = list;
}

void plan_step_needs(const struct step *step, struct arena *arena, const char *const **ret_names,
		     size_t *ret_count)
{
	*ret_names = NULL;
	*ret_count = 0;
	for (size_t i = 0; i < step->names_count; i++)
		add_name(arena, ret_names, ret_count, step->names[i]);
	add_name(arena, ret_names, ret_count, step->link.namespace);
	add_name(arena, ret_names, ret_count, step->peer.namespace);
	add_name(arena, ret_names, ret_count, step->target);
}

int plan_step(const struct step *step, const struct kernel_state *state,
	      const struct record *record, struct arena *arena, struct plan **ret,
	      struct error *err)
{
	struct stepping s = {
		.step = step,
		.view = arena_alloc(arena, sizeof(*s.view)),
		.arena = arena,
		.plan = arena_alloc(arena, sizeof(*s.plan)),
		.err = err,
	};
	int code;

	view_init(s.view, state, record, RECORD_STEPS, arena);
	if (step->object == STEP_NETNS)
		code = step_netns(&s);
	else if (step->object == STEP_ADDRESS)
		code = stepping_address(&s);
	else if (step->object == STEP_ROUTE)
		code = stepping_route(&s);
	else if (step->verb == STEP_ADD)
		code = add_link(&s);
	else if (step->verb == STEP_SET)
		code = set_link(&s);
	else
		code = delete_link(&s);
	if (!code)
		*ret = s.plan;
	return code;
}

static bool is_there(const struct view *view, const struct record_entry *entry)
{
	size_t length = strcspn(entry->name, "/");
	const struct state_namespace *ns;

	switch (entry->kind) {
	case RECORD_NETNS:
		ns = view_namespace(view, entry->name);
		return ns && (ns->exists || ns->stale);
	case RECORD_LINK:
		return view_link(view, NULL, entry->name);
	case RECORD_LINK_INSIDE:
		return entry->name[length] &&
		       view_link(view, arena_printf(view->arena, "%.*s", (int)length, entry->name),
				 entry->name + length + 1);
	default:
		return true;
	}
}

struct plan *plan_prune(const struct record *record, const struct kernel_state *state,
			struct arena *arena)
{
	struct plan *plan = arena_alloc(arena, sizeof(*plan));
	struct view *view = arena_alloc(arena, sizeof(*view));

	view_init(view, state, record, RECORD_STEPS, arena);
	for (size_t i = 0; i < record->count; i++) {
		struct operation *op;

		if (is_there(view, &record->entries[i]))
			continue;
		op = arena_push(arena, plan->operations, plan->count);
		op->kind = OPERATION_FORGET;
		op->record = record->entries[i].kind;
		op->link = record->entries[i].name;
	}
	return plan;
}

const char *plan_step_mend(const struct step *step, int code, struct arena *arena)
{
	const char *where =
		step->link.namespace ? arena_printf(arena, " -n %s", step->link.namespace) : "";

	switch (step->object) {
	case STEP_ADDRESS:
		return code == -EEXIST ? "it has that address already" : NULL;
	case STEP_ROUTE:
		if (code == -ENETDOWN)
			return arena_printf(
				arena, "bring the interface up first (nsroute link%s set IF up)",
				where);
		if (code == -EEXIST)
			return arena_printf(
				arena,
				"there is one already; delete it first (nsroute route%s "
				"del ...)",
				where);
		return code == -ENETUNREACH || code == -EINVAL
			       ? arena_printf(arena,
					      "an interface that is up needs an address in the "
					      "network of the next hop (nsroute addr%s list)",
					      where)
			       : NULL;
	default:
		return NULL;
	}
}
