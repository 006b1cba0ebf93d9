/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the plan is walked in its order, and the entries of each table are counted on from
 * those that are there, whichever fabric they belong to. What a plan deletes makes room only for
 * what comes after it: most goes last.
 */
#include "plan_limits.h"

#include <errno.h>
#include <sys/socket.h>

enum table {
	PORTS,
	SOURCES,
	FDB,
	HOSTS4,
	HOSTS6,
	INNER,
	UPLINKS,
	EXTERNALS,
	INSIDE4,
	INSIDE6,
	EXCEPTED,
	PUBLISHED,
	TABLES
};

static const struct {
	size_t room;
	const char *what;
} tables[TABLES] = {
	[PORTS] = {NSR_PORTS_MAX, "interfaces on networks"},
	[SOURCES] = {NSR_SOURCES_MAX, "source prefixes besides the first addresses of interfaces"},
	[FDB] = {NSR_PORTS_MAX, "interfaces on bridges"},
	[HOSTS4] = {NSR_ADDRESSES_MAX, "IPv4 addresses of interfaces"},
	[HOSTS6] = {NSR_ADDRESSES_MAX, "IPv6 addresses of interfaces"},
	[INNER] = {NSR_INNER_MAX, "bridges and interfaces on routed networks"},
	[UPLINKS] = {NSR_UPLINKS_MAX, "uplinks"},
	[EXTERNALS] = {NSR_SLOTS_MAX - NSR_UPLINKS_MAX,
		       "external addresses besides the first of each uplink"},
	[INSIDE4] = {NSR_INSIDE_MAX, "masqueraded IPv4 subnets"},
	[INSIDE6] = {NSR_INSIDE_MAX, "masqueraded IPv6 subnets"},
	[EXCEPTED] = {NSR_EXCEPTIONS_MAX, "destinations that are not translated, for each subnet"},
	[PUBLISHED] = {NSR_PUBLISHED_MAX, "published ports or ranges of ports"},
};

static enum table hosts_of(const struct ip_address *ip)
{
	if (!ip->family)
		return FDB;
	return ip->family == AF_INET ? HOSTS4 : HOSTS6;
}

static enum table inside_of(const struct ip_address *prefix)
{
	return prefix->family == AF_INET ? INSIDE4 : INSIDE6;
}

/* Of both families one slot does. */
static size_t slots_of(const struct more_externals *more)
{
	size_t count = 0;

	for (size_t i = 0; more && i < NSR_MORE_MAX; i++)
		count += more->address[i].family || more->address6[i].family;
	return count;
}

/* Whether a prefix or an interface on a network leaves by the uplink of this number, or did before
 * a change that is not finished: until it does not, nobody else gets the number. */
static bool number_is_meant(const struct state_datapath *datapath, uint32_t number)
{
	for (size_t i = 0; i < datapath->inside_count; i++)
		if (datapath->inside[i].inside.uplink == number ||
		    datapath->inside[i].inside.unfinished == number + 1)
			return true;
	for (size_t i = 0; i < datapath->ports_count; i++)
		if (datapath->ports[i].port.uplink == number + 1)
			return true;
	return false;
}

static size_t numbers_of(const struct state_datapath *datapath)
{
	size_t count = 0;

	for (uint32_t number = 0; number < NSR_UPLINKS_MAX; number++) {
		bool used = number_is_meant(datapath, number);

		for (size_t i = 0; i < datapath->uplinks_count; i++)
			used = used || datapath->uplinks[i].uplink.index == number;
		count += used;
	}
	return count;
}

static size_t slots_taken(const struct nsr_uplink *uplink)
{
	size_t count = 0;

	for (size_t i = 0; i < NSR_MORE_MAX; i++)
		count += uplink->slots[i] != 0;
	return count;
}

/* Of one whose interface is gone: what is published there goes with it, and whose file still says
 * it enters it anew. Or of a bridge that is there: that is deleted by itself. */
static void count_lost_uplink(const struct view *view, uint32_t ifindex, size_t used[TABLES])
{
	const struct state_datapath *datapath = &view->state->datapath;
	bool lost = !view_link_by_index(view, NULL, ifindex);

	for (size_t i = 0; i < datapath->uplinks_count; i++) {
		const struct nsr_uplink *uplink = &datapath->uplinks[i].uplink;

		if (uplink->ifindex != ifindex)
			continue;
		used[EXTERNALS] -= slots_taken(uplink);
		used[UPLINKS] -= !number_is_meant(datapath, uplink->index);
		for (size_t j = 0; lost && j < datapath->published_count; j++)
			used[PUBLISHED] -=
				datapath->published[j].published.inside.uplink == uplink->index;
	}
}

static void count_observed(const struct state_datapath *datapath, size_t used[TABLES])
{
	used[PORTS] = datapath->ports_count;
	used[SOURCES] = datapath->sources_count;
	used[INNER] = datapath->inner_links_count;
	used[UPLINKS] = numbers_of(datapath);
	used[PUBLISHED] = datapath->published_count;
	for (size_t i = 0; i < datapath->uplinks_count; i++)
		used[EXTERNALS] += slots_taken(&datapath->uplinks[i].uplink);
	for (size_t i = 0; i < datapath->endpoints_count; i++)
		used[hosts_of(&datapath->endpoints[i].ip)]++;
	for (size_t i = 0; i < datapath->inside_count; i++) {
		used[inside_of(&datapath->inside[i].prefix)]++;
		used[EXCEPTED] += datapath->inside[i].except_count;
	}
}

/* Which table an operation changes, and by how much; TABLES: none. */
static enum table change_of(const struct view *view, const struct operation *op,
			    size_t used[TABLES])
{
	const struct operation *old = op->replaces;

	switch (op->kind) {
	case OPERATION_PORT_ADD:
		used[SOURCES] += op->sources_count - (old ? old->sources_count : 0);
		used[PORTS] += !old;
		return used[SOURCES] > tables[SOURCES].room ? SOURCES : PORTS;
	case OPERATION_HOST_ADD:
		used[hosts_of(&op->address)] += !view_find(view, op);
		return hosts_of(&op->address);
	case OPERATION_INNER_LINK_ADD:
		used[INNER]++;
		return INNER;
	case OPERATION_UPLINK_ADD:
		used[EXTERNALS] += slots_of(op->more) - (old ? slots_of(old->more) : 0);
		used[UPLINKS] += !old;
		return used[EXTERNALS] > tables[EXTERNALS].room ? EXTERNALS : UPLINKS;
	case OPERATION_UPLINK_DELETE:
		count_lost_uplink(view, op->ifindex, used);
		return UPLINKS;
	case OPERATION_INSIDE_ADD:
		used[inside_of(&op->address)] += !view_find(view, op);
		used[EXCEPTED] += op->except_count - (old ? old->except_count : 0);
		return used[EXCEPTED] > tables[EXCEPTED].room ? EXCEPTED : inside_of(&op->address);
	case OPERATION_PUBLISH_ADD:
		used[PUBLISHED] += !view_find(view, op);
		return PUBLISHED;
	case OPERATION_PUBLISH_DELETE:
		used[PUBLISHED]--;
		return PUBLISHED;
	case OPERATION_PORT_DELETE:
		used[PORTS]--;
		return PORTS;
	case OPERATION_HOST_DELETE:
		used[hosts_of(&op->address)]--;
		return hosts_of(&op->address);
	case OPERATION_INNER_LINK_DELETE:
		used[INNER]--;
		return INNER;
	default:
		return TABLES;
	}
}

/* Uplinks that are gone, whose numbers are nobody's. */
static size_t numbers_of_lost(const struct view *view)
{
	const struct state_datapath *datapath = &view->state->datapath;
	size_t count = 0;

	for (uint32_t number = 0; number < NSR_UPLINKS_MAX; number++) {
		bool lost = number_is_meant(datapath, number);

		for (size_t i = 0; i < datapath->uplinks_count && lost; i++)
			lost = datapath->uplinks[i].uplink.index != number ||
			       !view_link_by_index(view, NULL, datapath->uplinks[i].uplink.ifindex);
		count += lost;
	}
	return count;
}

/* What makes room: not only what has an uplink has its number. */
static const char *advice_of(const struct view *view, enum table table)
{
	const size_t lost = table == UPLINKS ? numbers_of_lost(view) : 0;

	return lost ? arena_printf(
			      view->arena,
			      "; those that are gone keep %zu of the places until no network is to "
			      "leave by them: take the fabrics of such networks down and "
			      "apply them again",
			      lost)
		    : "; remove some first";
}

int plan_check_limits(const struct view *view, const struct plan *plan, const char *file,
		      struct error *err)
{
	size_t used[TABLES] = {0};

	count_observed(&view->state->datapath, used);
	for (size_t i = 0; i < plan->count; i++) {
		const struct operation *op = &plan->operations[i];
		enum table table = change_of(view, op, used);

		if (table == TABLES || used[table] <= tables[table].room)
			continue;
		error_set(
			err, -ENOSPC,
			"no room for %s: this host namespace takes %zu %s, those of other fabrics "
			"included%s",
			op->link ? op->link : op->uplink, tables[table].room, tables[table].what,
			advice_of(view, table));
		error_at(err, file, op->at);
		return err->code;
	}
	return 0;
}
