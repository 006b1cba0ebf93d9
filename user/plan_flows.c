/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: one datapath serves all fabrics of a host namespace, and its tables keep the size
 * that they are made with. So of all networks of a file the one that asks for most counts, and a
 * datapath that is there has room for it or has not; what another fabric asked for is in its size.
 * A namespace has a part of the table at most, so that is made larger than its limit.
 */
#include "plan_flows.h"

#include <errno.h>
#include <sys/socket.h>

#include "plan_uplink.h"

/* The smallest table of which one namespace may have so many flows; the largest that there is, when
 * none is so large. */
static uint32_t room_for_one(uint32_t flows)
{
	uint64_t sets = 1;

	while (sets < NSR_SESSION_SETS_MAX && NSR_RECORDS_MAX(sets * NSR_SESSION_SET) < flows)
		sets++;
	return (uint32_t)(sets * NSR_SESSION_SET);
}

/* What a network asks for. */
static uint32_t flows_of(const struct masquerade *masquerade)
{
	uint32_t one = room_for_one(masquerade->inside.flows_max);

	return masquerade->flows_max > one ? masquerade->flows_max : one;
}

/* NULL: no network asks for more than there is in any case. */
static const struct network *find_largest(const struct topology *topology)
{
	const struct network *largest = NULL;
	uint32_t flows = NSR_SESSION_SET;

	for (size_t i = 0; i < topology->networks_count; i++) {
		const struct network *network = &topology->networks[i];

		if (!network->masquerade.enabled || flows_of(&network->masquerade) <= flows)
			continue;
		flows = flows_of(&network->masquerade);
		largest = network;
	}
	return largest;
}

static int refuse(const struct builder *b, const struct network *network, uint32_t flows,
		  struct error *err)
{
	const struct masquerade *masquerade = &network->masquerade;

	error_set(err, -ENOSPC,
		  "no room for %u flows of network '%s'%s: the table that all fabrics of this host "
		  "namespace share takes %u, and is made but once; take them down with \"nsroute "
		  "down --all\" and apply them again, this one first",
		  flows, network->name,
		  masquerade->flows_max == flows
			  ? ""
			  : arena_printf(b->arena,
					 ", of which one namespace may have %u by "
					 "'max_flows_per_namespace' and has five eighths at most",
					 masquerade->inside.flows_max),
		  b->view->state->datapath.flows_max);
	error_at(err, b->topology->file,
		 masquerade->flows_max == flows ? masquerade->flows_max_at : masquerade->at);
	return err->code;
}

static uint32_t uses_of(const struct operation *op)
{
	if (op->kind == OPERATION_INSIDE_ADD)
		return USE_NAT | (op->address.family == AF_INET6 ? USE_IPV6 : 0);
	if (op->kind != OPERATION_UPLINK_ADD)
		return 0;
	return USE_NAT | (op->address6.family ? USE_IPV6 : 0) |
	       (op->loopback ? USE_LOOPBACK
		: op->bare   ? USE_BARE
			     : USE_ETHERNET);
}

void complete_datapath(struct plan *desired)
{
	struct operation *load = NULL;

	for (size_t i = 0; i < desired->count; i++) {
		struct operation *op = &desired->operations[i];

		if (op->kind == OPERATION_DATAPATH_LOAD)
			load = op;
		else if (load)
			load->uses |= uses_of(op);
	}
}

/* What the entries of all fabrics need. */
static uint32_t uses_of_tables(const struct view *view)
{
	const struct state_datapath *datapath = &view->state->datapath;
	uint32_t uses = datapath->ports_count ? USE_PORTS : 0;

	for (size_t i = 0; i < datapath->inside_count; i++)
		uses |= USE_NAT | (datapath->inside[i].prefix.family == AF_INET6 ? USE_IPV6 : 0);
	for (size_t i = 0; i < datapath->uplinks_count; i++) {
		const struct nsr_uplink *uplink = &datapath->uplinks[i].uplink;
		const struct state_link *link = view_link_by_index(view, NULL, uplink->ifindex);
		struct operation op = {.kind = OPERATION_UPLINK_ADD};

		if (!link) /* it is lost: no packet comes by it */
			continue;
		plan_uplink_as_it_is(&op, uplink);
		op.loopback = uplink->ifindex == STATE_LOOPBACK;
		op.bare = plan_link_is_bare(link);
		uses |= uses_of(&op);
	}
	return uses;
}

/* The first that needs what is not there. */
static struct position asked_at(const struct plan *desired, uint32_t uses)
{
	for (size_t i = 0; desired && i < desired->count; i++)
		if (uses_of(&desired->operations[i]) & uses)
			return desired->operations[i].at;
	return (struct position){0};
}

void plan_programs(const struct view *view, const struct plan *desired, struct plan *plan)
{
	const struct state_datapath *datapath = &view->state->datapath;
	uint32_t uses = uses_of_tables(view);
	struct operation *op;
	bool exchange = false;

	if (!datapath->loaded || datapath->unreadable)
		return;
	for (size_t i = 0; desired && i < desired->count; i++) {
		uses |= desired->operations[i].uses;
		exchange |= datapath->other_build &&
			    desired->operations[i].kind == OPERATION_DATAPATH_LOAD;
	}
	if (!exchange && !datapath->lacks_programs && !(uses & ~datapath->uses))
		return;
	op = arena_push(view->arena, plan->operations, plan->count);
	op->kind = exchange ? OPERATION_DATAPATH_EXCHANGE : OPERATION_PROGRAMS_ADD;
	op->uses = exchange ? uses : uses & ~datapath->uses;
	op->at = asked_at(desired, op->uses);
	if (exchange)
		op->why = "those of another build are attached; flows go on";
}

int want_datapath(struct builder *b, struct error *err)
{
	const struct state_datapath *datapath = &b->view->state->datapath;
	const struct network *largest = find_largest(b->topology);
	uint32_t flows = largest ? flows_of(&largest->masquerade) : NSR_SESSION_SET;
	struct operation *load;

	if (!b->topology->networks_count)
		return 0;
	if (largest && datapath->loaded && flows > datapath->flows_max)
		return refuse(b, largest, flows, err);
	load = want(b, OPERATION_DATAPATH_LOAD, (struct position){0});
	load->flows = flows;
	load->uses = USE_PORTS;
	return 0;
}
