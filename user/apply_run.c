/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: operations are of four classes. Those of one class in one namespace that follow
 *each other make a run, whose requests are sent together:
 *
 *	links		made and deleted by name
 *	settings	of links: they need ifindexes, which are asked for first, all at once
 *	hooks		ports and uplinks: netlink for the programs, then the datapath's tables. The
 *			table comes last, so that an entry in it says that its programs are there
 *	direct		no netlink: namespaces, sysctls, tables; each is a run
 *
 * Every request has its own result. Deleting what is gone already is no failure, and neither is an
 * address or a route that is there: the kernel may have moved since the plan was made.
 */
#include "apply_run.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "apply_device.h"
#include "apply_exchange.h"
#include "apply_record.h"
#include "apply_request.h"
#include "apply_settings.h"
#include "apply_table.h"
#include "neighbour.h"
#include "netns.h"
#include "ovs.h"
#include "sysctl.h"

#define NAMES_MAX 3 /* links that one operation needs to know */

enum class { CLASS_LINKS, CLASS_SETTINGS, CLASS_HOOKS, CLASS_DIRECT };

/* What an operation needs to know of the links it names. */
enum need {
	NEED_NOTHING,
	NEED_IF_THERE, /* it deletes: without the link there is nothing to do */
	NEED_LINKS,
};

static const struct {
	enum class class;
	enum need need;
} traits[OPERATION_KINDS] = {
	[OPERATION_NETNS_ADD] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_NETNS_DELETE] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_BRIDGE_ADD] = {CLASS_LINKS, NEED_NOTHING},
	[OPERATION_VETH_ADD] = {CLASS_LINKS, NEED_NOTHING},
	[OPERATION_LINK_DELETE] = {CLASS_LINKS, NEED_NOTHING},
	[OPERATION_LINK_SET] = {CLASS_SETTINGS, NEED_LINKS},
	[OPERATION_ADDRESS_ADD] = {CLASS_SETTINGS, NEED_LINKS},
	[OPERATION_ADDRESS_DELETE] = {CLASS_SETTINGS, NEED_IF_THERE},
	[OPERATION_ROUTE_ADD] = {CLASS_SETTINGS, NEED_LINKS},
	[OPERATION_ROUTE_DELETE] = {CLASS_SETTINGS, NEED_IF_THERE},
	[OPERATION_NEIGHBOUR_ADD] = {CLASS_SETTINGS, NEED_LINKS},
	[OPERATION_NEIGHBOUR_DELETE] = {CLASS_SETTINGS, NEED_IF_THERE},
	[OPERATION_FDB_ADD] = {CLASS_SETTINGS, NEED_LINKS},
	[OPERATION_FDB_DELETE] = {CLASS_SETTINGS, NEED_IF_THERE},
	[OPERATION_SYSCTL_SET] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_DATAPATH_LOAD] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_DATAPATH_UNLOAD] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_DATAPATH_EXCHANGE] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_PROGRAMS_ADD] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_PROGRAMS_REMOVE] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_INNER_LINK_ADD] = {CLASS_DIRECT, NEED_LINKS},
	[OPERATION_INNER_LINK_DELETE] = {CLASS_DIRECT, NEED_IF_THERE},
	[OPERATION_PORT_ADD] = {CLASS_HOOKS, NEED_LINKS},
	[OPERATION_PORT_DELETE] = {CLASS_HOOKS, NEED_IF_THERE},
	[OPERATION_HOST_ADD] = {CLASS_DIRECT, NEED_LINKS},
	[OPERATION_HOST_DELETE] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_UPLINK_ADD] = {CLASS_HOOKS, NEED_LINKS},
	[OPERATION_UPLINK_DELETE] = {CLASS_HOOKS, NEED_IF_THERE},
	[OPERATION_INSIDE_ADD] = {CLASS_DIRECT, NEED_LINKS},
	[OPERATION_INSIDE_DELETE] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_FORGET] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_DEVICE_TAKE] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_DEVICE_RETURN] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_ADOPT] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_LINK_MOVE] = {CLASS_LINKS, NEED_NOTHING},
	[OPERATION_NETWORK_ADD] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_OFFLOAD_SET] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_OVS_PORT_ADD] = {CLASS_DIRECT, NEED_LINKS},
	[OPERATION_OVS_PORT_DELETE] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_DIRECTORY_ADD] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_DIRECTORY_DELETE] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_FILE_WRITE] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_FILE_DELETE] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_PUBLISH_ADD] = {CLASS_DIRECT, NEED_LINKS},
	[OPERATION_PUBLISH_DELETE] = {CLASS_DIRECT, NEED_IF_THERE},
	[OPERATION_PORTS_RESERVE] = {CLASS_DIRECT, NEED_NOTHING},
	[OPERATION_PORTS_SET_ASIDE] = {CLASS_DIRECT, NEED_NOTHING},
};

static bool same_place(const struct operation *a, const struct operation *b)
{
	return a->namespace && b->namespace ? !strcmp(a->namespace, b->namespace)
					    : !a->namespace && !b->namespace;
}

size_t run_length(const struct operation *ops, size_t count)
{
	enum class class = traits[ops[0].kind].class;
	bool deletes = ops[0].kind == OPERATION_LINK_DELETE;
	size_t length = 1, max = deletes ? RUN_MAX : RUN_USUALLY;

	while (class != CLASS_DIRECT && length < count && length < max &&
	       traits[ops[length].kind].class == class &&
	       (ops[length].kind == OPERATION_LINK_DELETE) == deletes &&
	       same_place(&ops[0], &ops[length]))
		length++;
	return length;
}

/* ---- Links by number. */

/* All in the operation's namespace. */
static size_t names_needed(const struct operation *op, const char *names[NAMES_MAX])
{
	size_t count = 0;

	if (traits[op->kind].need == NEED_NOTHING || op->ifindex)
		return 0;
	if (op->kind == OPERATION_LINK_SET) { /* goes by name itself */
		if (op->master && *op->master)
			names[count++] = op->master;
		return count;
	}
	if (op->link)
		names[count++] = op->link;
	if (op->network_link)
		names[count++] = op->network_link;
	if (op->kind == OPERATION_INSIDE_ADD)
		names[count++] = op->uplink;
	return count;
}

static int resolve(struct runner *r, const struct operation *ops, size_t count, struct error *err)
{
	const char *names[RUN_MAX * NAMES_MAX];
	size_t needed = 0;

	for (size_t i = 0; i < count; i++)
		needed += names_needed(&ops[i], names + needed);
	return needed ? place_resolve(&r->places, ops[0].namespace, names, needed, err) : 0;
}

/* Whether all links that are needed to make something are there. */
static int check_links(const struct runner *r, const struct operation *op, struct error *err)
{
	const char *names[NAMES_MAX];
	size_t count = traits[op->kind].need == NEED_LINKS ? names_needed(op, names) : 0;

	for (size_t i = 0; i < count; i++)
		if (!place_ifindex(&r->places, op->namespace, names[i]))
			return error_set(err, -ENODEV, "there is no interface '%s' in %s", names[i],
					 op->namespace ? op->namespace : "the host namespace");
	return 0;
}

/* ---- Direct ones. */

/* The kernel's number of it tells it from one of the same name that somebody makes later. */
static int add_namespace(struct runner *r, const struct operation *op, enum outcome *outcome,
			 struct error *err)
{
	uint64_t cookie;
	int ret =
		netns_add(op->namespace, arena_printf(&r->arena, "nsroute:%s", r->options->fabric),
			  &cookie, err);

	if (ret)
		return ret;
	*outcome = OUTCOME_PARTLY;
	return note_namespace(r->record_fd, op->namespace, cookie, err);
}

static int delete_namespace(struct runner *r, const struct operation *op, struct error *err)
{
	int ret = check_no_device(r, op->namespace, err);

	if (ret)
		return ret;
	place_forget(&r->places, op->namespace);
	ret = netns_delete(op->namespace, err);
	return ret == -ENOENT ? 0 : ret;
}

static int unload(struct runner *r, struct error *err)
{
	datapath_close(r->datapath);
	r->datapath = NULL;
	return datapath_unpin(r->options->host_cookie, err);
}

static int run_direct(struct runner *r, const struct operation *op, enum outcome *outcome,
		      struct error *err)
{
	switch (op->kind) {
	case OPERATION_DEVICE_TAKE:
		return take_device(r, op, err);
	case OPERATION_DEVICE_RETURN:
		return return_device(r, op, outcome, err);
	case OPERATION_NETNS_ADD:
		return add_namespace(r, op, outcome, err);
	case OPERATION_NETNS_DELETE:
		return delete_namespace(r, op, err);
	case OPERATION_SYSCTL_SET:
		return op->namespace ? set_netns_sysctl(r, op, err)
				     : sysctl_write(r->options->host_fd, op->key, op->value, err);
	case OPERATION_OFFLOAD_SET:
		return set_netns_sysctl(r, op, err);
	case OPERATION_PORTS_RESERVE:
		return reserve_ports(r, op, outcome, err);
	case OPERATION_OVS_PORT_ADD:
		return ovs_port_add(op->master, op->link, r->options->fabric, &r->arena, err);
	case OPERATION_OVS_PORT_DELETE:
		return ovs_port_delete(op->link, &r->ovs_deaf, &r->arena, err);
	case OPERATION_DIRECTORY_ADD:
	case OPERATION_DIRECTORY_DELETE:
	case OPERATION_FILE_WRITE:
	case OPERATION_FILE_DELETE:
		return run_file(r, op, err);
	case OPERATION_DATAPATH_LOAD:
		return open_datapath(r, &(struct datapath_new){op->flows, op->uses}, err);
	case OPERATION_PROGRAMS_ADD:
	case OPERATION_PROGRAMS_REMOVE:
		return run_programs(r, op, err);
	case OPERATION_DATAPATH_UNLOAD:
		return unload(r, err);
	case OPERATION_DATAPATH_EXCHANGE:
		return exchange_programs(r, op, outcome, err);
	case OPERATION_FORGET:
	case OPERATION_ADOPT:
	case OPERATION_NETWORK_ADD:
		return 0; /* the record is all there is */
	default:
		return run_table(r, op, err);
	}
}

/* ---- Runs. */

/* Keeps the first failure, and where in the file it belongs. */
static void fail(const struct runner *r, const struct operation *op, const struct error *cause,
		 struct error *err)
{
	if (err->code)
		return;
	*err = *cause;
	if (op->at.line)
		error_at(err, r->options->file, op->at);
}

/* The record that an operation is about: the fabric's, or that of single steps. */
static int record_of(struct runner *r, const struct operation *op, int *ret_fd, struct error *err)
{
	int ret = 0;

	if (op->by_steps && r->steps_fd < 0)
		ret = record_open(r->options->host_cookie, RECORD_STEPS, NULL, &r->steps_fd, err);
	*ret_fd = op->by_steps ? r->steps_fd : r->record_fd;
	return ret;
}

static int write_before(struct runner *r, const struct operation *op, struct error *err)
{
	int fd, ret = record_of(r, op, &fd, err);

	return ret ? ret : note_before(fd, op, err);
}

static int write_after(struct runner *r, const struct operation *op, struct error *err)
{
	int fd, ret = record_of(r, op, &fd, err);

	return ret ? ret : note_after(fd, op->by_steps ? NULL : r->kept, op, err);
}

static int prepare(struct runner *r, const struct operation *op, struct error *err)
{
	int ret = check_links(r, op, err);

	return ret ? ret : write_before(r, op, err);
}

static int note_done(struct runner *r, const struct operation *op, struct error *err)
{
	int ret = write_after(r, op, err);

	return r->record_goes ? 0 : ret;
}

static int run_one(struct runner *r, const struct operation *op, enum outcome *outcome,
		   struct error *err)
{
	int ret = resolve(r, op, 1, err);

	if (!ret)
		ret = prepare(r, op, err);
	if (!ret)
		ret = run_direct(r, op, outcome, err);
	if (!ret)
		*outcome = OUTCOME_DONE;
	return ret ? ret : note_done(r, op, err);
}

static void note_clsact(struct runner *r, const char *link)
{
	struct made_clsact *made = arena_alloc(&r->arena, sizeof(*made));

	made->link = link;
	made->next = r->clsacts;
	r->clsacts = made;
}

bool made_clsact(const struct runner *r, const char *link)
{
	const struct made_clsact *made = r->clsacts;

	while (made && strcmp(made->link, link))
		made = made->next;
	return made;
}

/* What came of an operation whose requests have been answered; its table entry comes now. */
static int conclude(struct runner *r, const struct operation *op, const int *results, size_t count,
		    enum outcome *outcome, struct error *err)
{
	enum outcome reached = OUTCOME_DONE;
	int ret = 0;

	if (op->kind == OPERATION_UPLINK_ADD && !results[0]) /* the first asks for the clsact */
		note_clsact(r, op->link);
	for (size_t i = 0; i < count; i++) {
		if (!is_harmless(op, i, results[i]))
			return results[i]; /* the flush has said it in its words */
		if (results[i])
			reached = OUTCOME_NOTHING;
	}
	if (traits[op->kind].class == CLASS_HOOKS) {
		ret = run_table(r, op, err);
		reached = OUTCOME_DONE;
	}
	if (ret)
		return ret;
	*outcome = reached;
	return note_done(r, op, err);
}

/* What an operation has come to when it fails now: of several requests, each stands for itself. */
static enum outcome failed(const int *results, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!results[i])
			return OUTCOME_PARTLY;
	return OUTCOME_FAILED;
}

/* The batch is queued and answered; starts[i] is the first request of operation i. */
static void run_queued(struct runner *r, struct netlink *nl, const struct operation *ops,
		       size_t count, const size_t *starts, enum outcome *outcomes,
		       struct error *err)
{
	int results[RUN_MAX * REQUESTS_MAX + 1];
	struct error cause, flushed, ignored;
	bool together;

	assert(starts[count] <= RUN_MAX * REQUESTS_MAX);
	together = queue_rest(r, nl, ops, count);
	if (netlink_pending(nl))
		netlink_flush(nl, results, &flushed);
	if (together && results[starts[count]] && results[starts[count]] != -ENODEV) {
		queue_spared(nl, ops, count);
		netlink_flush(nl, NULL, &ignored);
	}
	for (size_t i = 0; i < count; i++) {
		if (outcomes[i] != OUTCOME_QUEUED)
			continue;
		if (together && ops[i].ifindex && !results[starts[i]])
			results[starts[i]] = results[starts[count]];
		outcomes[i] = failed(results + starts[i], starts[i + 1] - starts[i]);
		cause.code = 0;
		if (conclude(r, &ops[i], results + starts[i], starts[i + 1] - starts[i],
			     &outcomes[i], &cause))
			fail(r, &ops[i], cause.code ? &cause : &flushed, err);
	}
}

/* Packets are translated when they leave an uplink, after they have waited for their next hop's
 * MAC. None may be waiting when that ends. */
static int release_uplinks(struct runner *r, struct netlink *nl, const struct operation *ops,
			   size_t count, struct error *err)
{
	int ret = 0;

	for (size_t i = 0; i < count && !ret; i++) {
		uint32_t ifindex = ops[i].kind == OPERATION_UPLINK_DELETE && !ops[i].ifindex
					   ? place_ifindex(&r->places, NULL, ops[i].link)
					   : 0;

		if (ifindex)
			ret = neighbour_drop_waiting(nl, &r->arena, ifindex, ops[i].link, err);
	}
	return ret;
}

static void run_batch(struct runner *r, const struct operation *ops, size_t count,
		      enum outcome *outcomes, struct error *err)
{
	size_t starts[RUN_MAX + 1];
	struct place *place;
	struct error cause;

	if (resolve(r, ops, count, &cause) ||
	    place_get(&r->places, ops[0].namespace, &place, &cause)) {
		fail(r, &ops[0], &cause, err);
		return;
	}
	if (release_uplinks(r, place->nl, ops, count, &cause)) {
		fail(r, &ops[0], &cause, err);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		starts[i] = netlink_pending(place->nl);
		if (prepare(r, &ops[i], &cause) || queue_operation(r, place->nl, &ops[i], &cause))
			fail(r, &ops[i], &cause, err);
		else
			outcomes[i] = OUTCOME_QUEUED;
	}
	starts[count] = netlink_pending(place->nl);
	run_queued(r, place->nl, ops, count, starts, outcomes, err);
}

int run(struct runner *r, const struct operation *ops, size_t count, enum outcome *outcomes,
	struct error *err)
{
	struct error cause;

	for (size_t i = 0; i < count; i++)
		outcomes[i] = OUTCOME_FAILED;
	err->code = 0;
	if (traits[ops[0].kind].class != CLASS_DIRECT)
		run_batch(r, ops, count, outcomes, err);
	else if (run_one(r, &ops[0], &outcomes[0], &cause))
		fail(r, &ops[0], &cause, err);
	return err->code;
}
