/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: old and new programs work on the same maps (datapath.c), so their hooks are
 * exchanged one by one while packets pass, each in one step of the kernel. The hooks are those of
 * the interfaces that the datapath's tables name, where our filter is there: one that is missing
 * is for the rest of the plan to mend. The old programs are kept open until the end, to be put
 * back if something fails.
 */
#include "apply_exchange.h"

#include <errno.h>

#include "apply_table.h"
#include "link.h"
#include "qdisc.h"

static void queue_exchange(const struct runner *r, struct netlink *nl,
			   const struct state_link *link)
{
	bool port = datapath_is_port(r->datapath, link->ifindex);
	enum datapath_program in = port ? DATAPATH_PORT_IN : DATAPATH_UPLINK_IN;
	enum datapath_program out = port ? DATAPATH_PORT_OUT : DATAPATH_UPLINK_OUT;

	if (!port && !datapath_is_uplink(r->datapath, link->ifindex))
		return;
	if (link->hook_in) {
		qdisc_replace_filter(nl, link->ifindex, link->name, QDISC_INGRESS,
				     datapath_program_fd(r->datapath, in),
				     datapath_program_name[in]);
		netlink_tolerate(nl, -ENODEV); /* gone since it was read */
	}
	if (link->hook_out) {
		qdisc_replace_filter(nl, link->ifindex, link->name, QDISC_EGRESS,
				     datapath_program_fd(r->datapath, out),
				     datapath_program_name[out]);
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

static int exchange(struct runner *r, struct error *err)
{
	int ret = datapath_exchange_begin(r->datapath, r->options->host_cookie, err);

	if (!ret)
		ret = exchange_hooks(r, err);
	return ret ? ret : datapath_exchange_end(r->datapath, err);
}

static void swap(struct runner *r)
{
	struct datapath *other = r->other_datapath;

	r->other_datapath = r->datapath;
	r->datapath = other;
}

int exchange_programs(struct runner *r, const struct operation *op, struct error *err)
{
	struct error ignored;
	int ret = open_datapath(r, false, err);

	if (!ret && !op->revert)
		ret = datapath_load_programs(r->datapath, &r->other_datapath, err);
	if (ret)
		return ret;
	swap(r);
	ret = exchange(r, err);
	if (!ret || op->revert)
		return ret;
	swap(r);
	exchange(r, &ignored);
	return ret;
}

static void queue_left(struct runner *r, struct netlink *nl, const struct operation *op)
{
	bool port = op->kind == OPERATION_PORT_ADD;
	enum datapath_program in = port ? DATAPATH_PORT_IN : DATAPATH_UPLINK_IN;
	enum datapath_program out = port ? DATAPATH_PORT_OUT : DATAPATH_UPLINK_OUT;
	uint32_t ifindex = place_ifindex(&r->places, NULL, op->link);

	qdisc_replace_filter(nl, ifindex, op->link, QDISC_INGRESS,
			     datapath_program_fd(r->datapath, in), datapath_program_name[in]);
	qdisc_replace_filter(nl, ifindex, op->link, QDISC_EGRESS,
			     datapath_program_fd(r->datapath, out), datapath_program_name[out]);
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
