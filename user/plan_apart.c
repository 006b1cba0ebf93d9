/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: an uplink hands out its ports by itself. With the external address of another one
 * two live flows could have one translation, and one get what is for the other. So each address,
 * also where an uplink has several, is that of one uplink, among those of the file and those that
 * other fabrics have entered.
 */
#include "plan_apart.h"

#include <errno.h>
#include <string.h>

#include "plan_address6.h"
#include "plan_externals.h"
#include "plan_uplink.h"

/* The external addresses of an uplink. */
struct externals {
	const char *link;
	struct ip_address address, address6;
	const struct more_externals *more; /* NULL: there are none */
};

/* By place, of IPv4 first; family 0: none is there. */
static const struct ip_address *external_at(const struct externals *externals, size_t place)
{
	static const struct ip_address none;

	if (place % NSR_EXTERNALS_MAX == 0)
		return place ? &externals->address6 : &externals->address;
	if (!externals->more)
		return &none;
	return place < NSR_EXTERNALS_MAX
		       ? &externals->more->address[place - 1]
		       : &externals->more->address6[place - NSR_EXTERNALS_MAX - 1];
}

enum { PLACES = 2 * NSR_EXTERNALS_MAX };

/* An address that both have; NULL: none. */
static const struct ip_address *find_same(const struct externals *one,
					  const struct externals *other)
{
	for (size_t i = 0; i < PLACES; i++)
		for (size_t j = 0; j < PLACES; j++)
			if (external_at(one, i)->family &&
			    ip_equal(external_at(one, i), external_at(other, j)))
				return external_at(one, i);
	return NULL;
}

static struct externals externals_of(const struct builder *b, const struct uplink *uplink)
{
	return (struct externals){uplink->name, uplink->address, plan_uplink_address6(b, uplink),
				  uplink->more};
}

static int check_apart(const struct builder *b, size_t place, const struct externals *other,
		       struct error *err)
{
	const struct uplink *uplink = &b->uplinks[place];
	const struct externals own = externals_of(b, uplink);
	const struct ip_address *same = find_same(&own, other);
	char text[IP_TEXT_MAX];

	if (!same)
		return 0;
	error_set(
		err, -EADDRINUSE,
		"network '%s' masquerades to '%s' as %s, which is the external address at '%s' too; "
		"give one of the two uplinks another address, and name it in 'addresses' if the "
		"uplink has several, or let both networks leave by one uplink",
		b->topology->networks[place].name, uplink->name, ip_format(same, text),
		other->link);
	error_at(err, b->topology->file, b->topology->networks[place].masquerade.at);
	return err->code;
}

/* Of other uplinks of this file, and of those of other fabrics. */
static int check_others(const struct builder *b, size_t place, struct error *err)
{
	const struct state_datapath *datapath = &b->view->state->datapath;
	int ret = 0;

	for (size_t i = 0; i < place && !ret; i++) {
		struct externals other;

		if (!b->uplinks[i].first || !strcmp(b->uplinks[i].name, b->uplinks[place].name))
			continue;
		other = externals_of(b, &b->uplinks[i]);
		ret = check_apart(b, place, &other, err);
	}
	for (size_t i = 0; i < datapath->uplinks_count && !ret; i++) {
		const struct nsr_uplink *observed = &datapath->uplinks[i].known;
		const struct state_link *link =
			view_link_by_index(b->view, NULL, observed->ifindex);
		struct operation as_it_is = {0};
		struct externals other;

		if (!link || !strcmp(link->name, b->uplinks[place].name) ||
		    !view_recorded_elsewhere(b->view, RECORD_UPLINK, link->name))
			continue;
		plan_uplink_as_it_is(&as_it_is, observed);
		other = (struct externals){link->name, as_it_is.address, as_it_is.address6,
					   plan_more_externals(observed, b->arena)};
		ret = check_apart(b, place, &other, err);
	}
	return ret;
}

int plan_check_apart(const struct builder *b, struct error *err)
{
	int ret = 0;

	for (size_t i = 0; i < b->topology->networks_count && !ret; i++)
		if (b->uplinks[i].first)
			ret = check_others(b, i, err);
	return ret;
}
