/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: plan_desired() lists every operation that makes the fabric from nothing. Those
 * whose object is there already are left out, those whose object is different change it, and what
 * is ours but not among them is removed. So there is one description of a fabric, and applying,
 * repairing and editing are the same thing.
 *
 *	1. names that are taken by somebody else are refused; what single steps made is taken over
 *	2. links that cannot be repaired are deleted: their bridge became a veth, their peer is gone
 *	3. devices that are not wanted any more, or elsewhere
 *	4. addresses, routes and neighbours that are not wanted any more, and what the datapath has
 *	   of uplinks that are gone (of bridges of networks: 6)
 *	5. what is missing, in the order of plan_desired.c
 *	6. links and namespaces that are not wanted any more, and what served them
 */
#include "plan.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "plan_adopt.h"
#include "plan_compare.h"
#include "plan_desired.h"
#include "plan_device.h"
#include "plan_extra.h"
#include "plan_files.h"
#include "plan_flows.h"
#include "plan_host.h"
#include "plan_limits.h"
#include "plan_ovs.h"
#include "plan_publish.h"
#include "plan_peers.h"
#include "plan_reserve.h"
#include "plan_sysctls.h"
#include "plan_view.h"

struct build {
	const struct topology *topology;
	struct view *view;
	struct arena *arena;
	struct plan desired;
	const struct state_address **others; /* of the host, on links of no fabric */
	size_t others_count;
	struct lookup wanted;
	struct plan *plan;
};

/* ---- What has to be observed. */

struct names {
	struct arena *arena;
	struct lookup seen;
	const char **names;
	size_t count;
};

static void add_name(struct names *names, const char *name)
{
	if (!lookup_add(&names->seen, names->arena, name, names))
		*arena_push(names->arena, names->names, names->count) = name;
}

static void add_recorded(struct names *names, const struct record *record, enum record_kind kind)
{
	for (size_t i = 0; record && i < record->count; i++)
		if (record->entries[i].kind == kind)
			add_name(names, record->entries[i].name);
}

/* Namespaces that links are recorded to be in. */
static void add_places(struct names *names, const struct record *record)
{
	for (size_t i = 0; record && i < record->count; i++) {
		const char *place = record->entries[i].name;

		if (record->entries[i].kind == RECORD_LINK_INSIDE)
			add_name(names, arena_printf(names->arena, "%.*s", (int)strcspn(place, "/"),
						     place));
	}
}

void plan_needs_namespaces(const struct topology *topology, const struct record *record,
			   struct arena *arena, const char *const **ret_names, size_t *ret_count)
{
	struct names names = {.arena = arena};
	struct device_note note;

	for (size_t i = 0; topology && i < topology->namespaces_count; i++)
		add_name(&names, topology->namespaces[i].name);
	add_recorded(&names, record, RECORD_NETNS);
	for (size_t i = 0; record && i < record->count; i++)
		if (record->entries[i].kind == RECORD_DEVICE &&
		    plan_device_note(&record->entries[i], &note))
			add_name(&names, note.namespace);
	add_places(&names, record);
	*ret_names = names.names;
	*ret_count = names.count;
}

static void add_ipv6_keys(struct names *keys, const struct kernel_state *state)
{
	add_name(keys, "net/ipv6/conf/all/forwarding");
	add_name(keys, "net/ipv6/conf/default/forwarding");
	for (size_t i = 0; i < state->host.links_count; i++) {
		const struct state_link *link = &state->host.links[i];

		if (strncmp(link->alias, "nsroute:", strlen("nsroute:"))) /* not of a fabric */
			add_name(keys, arena_printf(keys->arena, "net/ipv6/conf/%s/forwarding",
						    link->name));
		if (plan_lives_on_advertisements(state, link->ifindex))
			add_name(keys, arena_printf(keys->arena, "net/ipv6/conf/%s/accept_ra",
						    link->name));
	}
}

void plan_needs_sysctls(const struct topology *topology, const struct record *record,
			const struct kernel_state *state, struct arena *arena,
			const char *const **ret_keys, size_t *ret_count)
{
	struct names keys = {.arena = arena};

	for (size_t i = 0; topology && i < topology->networks_count; i++) {
		const struct network *network = &topology->networks[i];
		const char *uplink = network->masquerade.enabled && !network->masquerade.network
					     ? plan_uplink_name(&network->masquerade, state)
					     : NULL;

		if (network->type == NETWORK_BRIDGE)
			add_name(&keys,
				 arena_printf(arena, "net/ipv4/conf/%s/forwarding", network->name));
		if (uplink) {
			add_name(&keys, arena_printf(arena, "net/ipv4/conf/%s/forwarding", uplink));
			add_name(&keys,
				 arena_printf(arena, "net/ipv6/conf/%s/use_tempaddr", uplink));
		}
	}
	if (topology)
		add_ipv6_keys(&keys, state);
	if (plan_needs_reserved_ports(topology, record))
		add_name(&keys, RESERVED_KEY);
	add_recorded(&keys, record, RECORD_SYSCTL);
	*ret_keys = keys.names;
	*ret_count = keys.count;
}

/* ---- Names that are taken. */

static int refuse(struct error *err, const char *alias, const char *what, const char *name,
		  const char *mend)
{
	static const char ours[] = "nsroute:";

	if (!strcmp(alias, STEPS_ALIAS))
		return error_set(err, -EEXIST,
				 "%s '%s' has the mark of single steps but no record of this host "
				 "namespace says that they made it; choose another name or remove "
				 "it (%s %s)",
				 what, name, mend, name);
	if (!strncmp(alias, ours, strlen(ours)))
		return error_set(err, -EEXIST,
				 "%s '%s' belongs to fabric '%s'; choose another name", what, name,
				 alias + strlen(ours));
	return error_set(err, -EEXIST,
			 "%s '%s' exists already and is not ours; choose another name or remove it "
			 "(%s %s)",
			 what, name, mend, name);
}

static int check_namespace(const struct build *b, const char *name, struct error *err)
{
	const struct state_namespace *ns = view_namespace(b->view, name);

	if (!ns || (!ns->exists && !ns->stale) || view_namespace_is_ours(b->view, ns) ||
	    view_namespace_is_of_steps(b->view, ns))
		return 0;
	if (ns->owner)
		return error_set(err, -EEXIST, "namespace '%s' belongs to %s; choose another name",
				 name, ns->owner);
	if (ns->alias && !strcmp(ns->alias, b->view->alias))
		return error_set(err, -EEXIST,
				 "namespace '%s' has our mark but no record says that fabric '%s' "
				 "made it; choose another name or remove it (ip netns delete %s)",
				 name, b->view->fabric, name);
	if (ns->alias && !strncmp(ns->alias, "nsroute:", strlen("nsroute:")))
		return refuse(err, ns->alias, "namespace", name, "ip netns delete");
	return error_set(err, -EEXIST,
			 "namespace '%s' exists already and is not ours; choose another name, let "
			 "nsroute have it (nsroute netns adopt %s) or remove it (ip netns delete "
			 "%s)",
			 name, name, name);
}

static int check_host_link(const struct build *b, const char *name, struct error *err)
{
	const struct state_link *link = view_link(b->view, NULL, name);

	if (!link || view_link_is_ours(b->view, link) || view_link_is_of_steps(b->view, NULL, link))
		return 0;
	if (!strcmp(link->alias, b->view->alias))
		return error_set(err, -EEXIST,
				 "interface '%s' has our mark but no record says that fabric '%s' "
				 "made it; remove it (ip link delete %s)",
				 name, b->view->fabric, name);
	return refuse(err, link->alias, "interface", name, "ip link delete");
}

/* In a namespace of ours: what we made has our alias, or is where we were killed before that. */
static int check_inner_link(const struct build *b, const char *namespace, const char *name,
			    const uint8_t mac[6], struct error *err)
{
	const struct state_link *link = view_link(b->view, namespace, name);

	if (!link || !strcmp(link->alias, b->view->alias) ||
	    view_link_is_of_steps(b->view, namespace, link) ||
	    (!link->alias[0] && !memcmp(link->mac, mac, sizeof(link->mac))))
		return 0;
	return error_set(err, -EEXIST,
			 "interface '%s' exists already in namespace '%s' and is not ours; rename "
			 "or remove it",
			 name, namespace);
}

static int check_veth(const struct build *b, const struct operation *op, struct error *err)
{
	int ret;

	ret = op->namespace ? check_inner_link(b, op->namespace, op->link, op->mac, err)
			    : check_host_link(b, op->link, err);
	if (ret)
		return ret;
	return op->peer_namespace
		       ? check_inner_link(b, op->peer_namespace, op->peer, op->peer_mac, err)
		       : check_host_link(b, op->peer, err);
}

/* Hosts are known by their address, whichever fabric they belong to. */
static int check_host(const struct build *b, const struct operation *op, struct error *err)
{
	const struct state_endpoint *other = op->address.family ? view_find(b->view, op) : NULL;
	const struct state_link *link =
		other ? view_link_by_index(b->view, NULL, other->endpoint.ifindex) : NULL;
	char address[IP_TEXT_MAX];

	if (!link || b->view->networks[other->endpoint.network])
		return 0;
	return error_set(err, -EEXIST, "address %s is used by another fabric, behind '%s'",
			 ip_format(&op->address, address), link->name);
}

static int check_inside(const struct build *b, const struct operation *op, struct error *err)
{
	char prefix[IP_TEXT_MAX];

	ip_format_prefix(&op->address, prefix);
	if (!view_recorded_elsewhere(b->view, RECORD_INSIDE, prefix))
		return 0;
	return error_set(err, -EEXIST, "another fabric masquerades %s already", prefix);
}

/* One of its addresses in a network of ours, and the host would not find its neighbours any more.
 */
static int check_address(const struct build *b, const struct operation *op, struct error *err)
{
	char ours[IP_TEXT_MAX], other[IP_TEXT_MAX];

	for (size_t i = 0; !op->namespace && i < b->others_count; i++) {
		const struct state_address *address = b->others[i];
		const struct state_link *link = view_link_by_index(b->view, NULL, address->ifindex);

		if (ip_is_link_local(&op->address) || !ip_within(&address->address, &op->address))
			continue;
		return error_set(err, -EEXIST,
				 "%s is in use: interface '%s' of the host has the address %s; "
				 "choose another subnet",
				 ip_format_prefix(&op->address, ours), link->name,
				 ip_format(&address->address, other));
	}
	return 0;
}

static int check_operation(const struct build *b, const struct operation *op, struct error *err)
{
	switch (op->kind) {
	case OPERATION_NETNS_ADD:
		return check_namespace(b, op->namespace, err);
	case OPERATION_BRIDGE_ADD:
		return check_host_link(b, op->link, err);
	case OPERATION_VETH_ADD:
		return check_veth(b, op, err);
	case OPERATION_DEVICE_TAKE:
		return check_device(b->view, &b->desired, op, err);
	case OPERATION_HOST_ADD:
		return check_host(b, op, err);
	case OPERATION_INSIDE_ADD:
		return check_inside(b, op, err);
	case OPERATION_PUBLISH_ADD:
		return check_publish_free(b->view, op, err);
	case OPERATION_ADDRESS_ADD:
		return check_address(b, op, err);
	case OPERATION_SYSCTL_SET:
		return op->namespace ? check_netns_sysctl(b->view, op, err) : 0;
	case OPERATION_OVS_PORT_ADD:
		return check_ovs_port(b->view, op, err);
	case OPERATION_DIRECTORY_ADD:
		return check_directory(b->view, op, err);
	case OPERATION_FILE_WRITE:
		return check_file(b->view, op, err);
	default:
		return 0;
	}
}

static void find_others(struct build *b)
{
	const struct state_namespace *host = &b->view->state->host;

	for (size_t i = 0; i < host->addresses_count; i++) {
		const struct state_link *link =
			view_link_by_index(b->view, NULL, host->addresses[i].ifindex);

		if (link && strncmp(link->alias, "nsroute:", strlen("nsroute:")) &&
		    !view_link_is_ours(b->view, link))
			*arena_push(b->arena, b->others, b->others_count) = &host->addresses[i];
	}
}

static int check_names(struct build *b, struct error *err)
{
	int ret;

	find_others(b);
	for (size_t i = 0; i < b->desired.count; i++) {
		ret = check_operation(b, &b->desired.operations[i], err);
		if (!ret)
			continue;
		error_at(err, b->topology->file, b->desired.operations[i].at);
		return ret;
	}
	return 0;
}

/* ---- Links that cannot be repaired. */

static void remake(struct build *b, const char *namespace, const char *link, const char *why)
{
	const struct state_link *observed = view_link(b->view, namespace, link);
	struct operation *op;

	if (!observed)
		return;
	view_remake(b->view, namespace, link);
	op = arena_push(b->arena, b->plan->operations, b->plan->count);
	op->kind = OPERATION_LINK_DELETE;
	op->namespace = namespace;
	op->link = link;
	op->ifindex = observed->ifindex;
	op->why = why;
}

/* Whether a removal that was not brought to its end has taken away what no plan can give back. */
static bool is_stripped(const struct build *b, const struct operation *op)
{
	return (!op->namespace || !op->peer_namespace) &&
	       view_recorded(b->view, RECORD_STRIPPED, RECORD_STRIPPED_NAME);
}

static void remake_veth(struct build *b, const struct operation *op)
{
	const char *why = is_stripped(b, op) ? "lost its routes when its removal began"
					     : "is not what we made any more";
	const struct state_link *one = view_link(b->view, op->namespace, op->link);
	const struct state_link *two = view_link(b->view, op->peer_namespace, op->peer);

	if (one && two &&
	    plan_are_peers(view_space(b->view, op->namespace), one,
			   view_space(b->view, op->peer_namespace), two) &&
	    !is_stripped(b, op))
		return;
	remake(b, op->namespace, op->link, why);
	remake(b, op->peer_namespace, op->peer, why);
}

static void remake_broken(struct build *b)
{
	for (size_t i = 0; i < b->desired.count; i++) {
		const struct operation *op = &b->desired.operations[i];
		const struct state_namespace *ns;
		const struct state_link *link;

		if (op->kind == OPERATION_NETNS_ADD) {
			ns = view_namespace(b->view, op->namespace);
			if (ns && ns->stale) {
				struct operation *gone =
					arena_push(b->arena, b->plan->operations, b->plan->count);

				gone->kind = OPERATION_NETNS_DELETE;
				gone->namespace = op->namespace;
				gone->why = "only its name is left";
			}
		} else if (op->kind == OPERATION_BRIDGE_ADD) {
			link = view_link(b->view, NULL, op->link);
			if (link && strcmp(link->kind, "bridge"))
				remake(b, NULL, op->link, "is not what we made any more");
		} else if (op->kind == OPERATION_VETH_ADD) {
			remake_veth(b, op);
		}
	}
}

/* ---- All of it. */

/* The kernel forgets the neighbours of a link whose MAC changes. */
static void shake_changed_macs(struct build *b)
{
	for (size_t i = 0; i < b->desired.count; i++) {
		const struct operation *op = &b->desired.operations[i];
		const struct state_link *link =
			op->kind == OPERATION_LINK_SET && op->has_mac
				? view_link(b->view, op->namespace, op->link)
				: NULL;

		if (link && memcmp(link->mac, op->mac, sizeof(op->mac)))
			view_shake(b->view, SHAKEN_NEIGHBOURS, op->namespace, op->link,
				   &(struct ip_address){0});
	}
}

static void enter_wanted(struct build *b, const struct operation *op)
{
	char key[OPERATION_KEY_MAX];

	operation_key(op, key);
	lookup_add(&b->wanted, b->arena, arena_strdup(b->arena, key), b);
}

static void add_missing(struct build *b)
{
	for (size_t i = 0; i < b->desired.count; i++) {
		struct operation *op = &b->desired.operations[i];

		if (plan_missing(b->view, op))
			*arena_push(b->arena, b->plan->operations, b->plan->count) = *op;
	}
}

/* An IPv6 address, whatever its prefix and the route to it. */
static void enter_address6(struct build *b, const struct operation *op)
{
	struct operation twin = {.kind = OPERATION_ADDRESS_ADD,
				 .namespace = op->namespace,
				 .link = op->link,
				 .address = op->address};

	twin.address.prefix_len = 0;
	enter_wanted(b, &twin);
	twin.no_prefix_route = true;
	enter_wanted(b, &twin);
}

static void index_wanted(struct build *b)
{
	for (size_t i = 0; i < b->desired.count; i++) {
		const struct operation *op = &b->desired.operations[i];

		enter_wanted(b, op);
		if (op->kind == OPERATION_ADDRESS_ADD && op->address.family == AF_INET6)
			enter_address6(b, op);
		if (op->kind == OPERATION_VETH_ADD)
			enter_wanted(b, &(struct operation){.kind = OPERATION_VETH_ADD,
							    .namespace = op->peer_namespace,
							    .link = op->peer});
		if (op->kind == OPERATION_DEVICE_TAKE) { /* ... as a link that stays, and at all */
			enter_wanted(b, &(struct operation){.kind = OPERATION_VETH_ADD,
							    .namespace = op->namespace,
							    .link = op->link});
			enter_wanted(b, &(struct operation){.kind = OPERATION_DEVICE_TAKE,
							    .link = op->link});
		}
	}
}

int plan_build(const struct topology *topology, const struct kernel_state *state,
	       const struct record *record, struct arena *arena, struct plan **ret,
	       struct error *err)
{
	struct build b = {
		.topology = topology,
		.arena = arena,
		.view = arena_alloc(arena, sizeof(*b.view)),
		.plan = arena_alloc(arena, sizeof(*b.plan)),
	};
	struct extra extra = {
		.view = b.view, .record = record, .wanted = &b.wanted, .plan = b.plan};
	int result;

	view_init(b.view, state, record, topology->name, arena);
	result = plan_desired(topology, b.view, &b.desired, err);
	if (!result)
		result = check_names(&b, err);
	if (result)
		return result;
	index_wanted(&b);
	extra.unload = !topology->networks_count && state->datapath.loaded && !state->others_count;
	plan_programs(b.view, &b.desired, b.plan);
	remake_broken(&b);
	shake_changed_macs(&b);
	extra_devices(&extra);
	plan_adopt(b.view, &b.desired, b.plan);
	plan_extra_attached(&extra);
	plan_extra_lost(&extra);
	add_missing(&b);
	b.plan->confirm_at = b.plan->count;
	plan_extra_objects(&extra);
	plan_release(b.view, &b.desired, b.plan);
	b.plan->confirm = plan_needs_confirmation(b.plan);
	result = plan_check_limits(b.view, b.plan, topology->file, err);
	if (!result)
		*ret = b.plan;
	return result;
}

int plan_removal(const struct record *record, const struct kernel_state *state, struct arena *arena,
		 struct plan **ret, struct error *err)
{
	struct lookup nothing = {0};
	struct extra extra = {
		.view = arena_alloc(arena, sizeof(*extra.view)),
		.record = record,
		.wanted = &nothing,
		.plan = arena_alloc(arena, sizeof(*extra.plan)),
		.removal = true,
		.unload = state->datapath.loaded && !state->others_count,
	};

	(void)err;
	view_init(extra.view, state, record, record->fabric, arena);
	plan_programs(extra.view, NULL, extra.plan);
	extra_devices(&extra);
	plan_extra_objects(&extra);
	*ret = extra.plan;
	return 0;
}
