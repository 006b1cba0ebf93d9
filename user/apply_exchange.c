/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: old and new programs work on the same maps (datapath.c), so their hooks are
 * exchanged one by one while packets pass, each in one step of the kernel. The hooks are those of
 * the interfaces that the datapath's tables name, where our filter is there: one that is missing
 * is for the rest of the plan to mend. The old programs are kept open until the end. What fails in
 * its middle is undone like the operations before it, by an exchange in the other direction, which
 * goes as far as the kernel lets it and whose own failure is told.
 */
#include "apply_exchange.h"

#include <errno.h>

#include "apply_request.h"
#include "apply_table.h"
#include "link.h"
#include "plan_uplink.h"
#include "qdisc.h"

static void queue_exchange(const struct runner *r, struct netlink *nl,
			   const struct state_link *link)
{
	bool port = datapath_is_port(r->datapath, link->ifindex);
	struct hook_programs of =
		hook_programs(port, plan_link_is_bare(link), link->ifindex == STATE_LOOPBACK);

	if (!port && !datapath_is_uplink(r->datapath, link->ifindex))
		return;
	if (link->hook_in && of.in != DATAPATH_PROGRAMS) {
		qdisc_replace_filter(nl, link->ifindex, link->name, QDISC_INGRESS,
				     datapath_program_fd(r->datapath, of.in),
				     datapath_program_name(of.in));
		netlink_tolerate(nl, -ENODEV); /* gone since it was read */
	}
	if (link->hook_out) {
		qdisc_replace_filter(nl, link->ifindex, link->name, QDISC_EGRESS,
				     datapath_program_fd(r->datapath, of.out),
				     datapath_program_name(of.out));
		netlink_tolerate(nl, -ENODEV);
	}
}

static int exchange_hooks(struct runner *r, struct error *err)
{
	struct state_link *links;
	struct place *place;
	size_t count;
	int ret = place_get(&r->places, NULL, &place, err);

	if (!ret)
		ret = link_read(place->nl, &r->arena, &links, &count, err);
	if (!ret)
		ret = qdisc_read(place->nl, links, count, DATAPATH_PROGRAM_PREFIX, err);
	for (size_t i = 0; !ret && i < count; i++) {
		queue_exchange(r, place->nl, &links[i]);
		if (netlink_pending(place->nl) >= RUN_USUALLY || i + 1 == count)
			ret = netlink_flush(place->nl, NULL, err);
	}
	return ret;
}

/* On the way back hooks are exchanged whatever could not be written: each is one less to mend. */
static int exchange(struct runner *r, bool back, struct error *err)
{
	int ret = datapath_exchange_begin(r->datapath, r->options->host_cookie, !r->undone_in_part,
					  err);
	struct error later;

	if (!ret)
		ret = exchange_hooks(r, err);
	else if (back)
		exchange_hooks(r, &later);
	return ret ? ret : datapath_exchange_end(r->datapath, err);
}

int exchange_programs(struct runner *r, const struct operation *op, enum outcome *outcome,
		      struct error *err)
{
	struct datapath *other;
	int ret = open_datapath(r, NULL, err);

	if (!ret && !op->revert)
		ret = datapath_load_programs(r->datapath, op->uses, &r->other_datapath, err);
	if (ret)
		return ret;
	*outcome = OUTCOME_PARTLY;
	other = r->other_datapath;
	r->other_datapath = r->datapath;
	r->datapath = other;
	return exchange(r, op->revert, err);
}

int run_programs(struct runner *r, const struct operation *op, struct error *err)
{
	uint64_t cookie = r->options->host_cookie;
	int ret = open_datapath(r, NULL, err);

	if (ret)
		return ret;
	return op->kind == OPERATION_PROGRAMS_ADD
		       ? datapath_programs_add(r->datapath, cookie, op->uses, &r->added_programs,
					       err)
		       : datapath_programs_remove(r->datapath, cookie, r->added_programs, err);
}

static void queue_left(struct runner *r, struct netlink *nl, const struct operation *op)
{
	struct hook_programs of =
		hook_programs(op->kind == OPERATION_PORT_ADD, op->bare, op->loopback);
	uint32_t ifindex = place_ifindex(&r->places, NULL, op->link);

	if (of.in != DATAPATH_PROGRAMS)
		qdisc_replace_filter(nl, ifindex, op->link, QDISC_INGRESS,
				     datapath_program_fd(r->datapath, of.in),
				     datapath_program_name(of.in));
	qdisc_replace_filter(nl, ifindex, op->link, QDISC_EGRESS,
			     datapath_program_fd(r->datapath, of.out),
			     datapath_program_name(of.out));
}

int exchange_left(struct runner *r, const struct plan *plan, struct error *err)
{
	struct place *place;
	int ret = place_get(&r->places, NULL, &place, err);

	for (size_t i = 0; !ret && i < plan->count; i++) {
		const struct operation *op = &plan->operations[i];

		if ((op->kind == OPERATION_PORT_ADD || op->kind == OPERATION_UPLINK_ADD) &&
		    op->hooks_lost)
			queue_left(r, place->nl, op);
		if (netlink_pending(place->nl) >= RUN_USUALLY || i + 1 == plan->count)
			ret = netlink_flush(place->nl, NULL, err);
	}
	if (ret) {
		error_context(err,
			      "not all programs are exchanged; \"nsroute apply\" goes on with it");
		err->exit = EXIT_PARTLY;
	}
	return ret;
}
