/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: an uplink hands out its ports by itself. With the external address of another one
 * two live flows could have one translation, and one get what is for the other. So each address is
 * that of one uplink, among those of the file and those that other fabrics have entered.
 */
#include "plan_apart.h"

#include <errno.h>
#include <string.h>

#include "plan_host.h"
#include "plan_uplink.h"

static bool is_same(const struct ip_address *a, const struct ip_address *b)
{
	return a->family && ip_equal(a, b);
}

static int check_apart(const struct builder *b, size_t place, const struct operation *other,
		       struct error *err)
{
	const struct uplink *uplink = &b->uplinks[place];
	const struct ip_address address6 = plan_uplink_address6(b, uplink);
	const bool same = is_same(&uplink->address, &other->address);
	char text[IP_TEXT_MAX];

	if (!same && !is_same(&address6, &other->address6))
		return 0;
	error_set(
		err, -EADDRINUSE,
		"network '%s' masquerades to '%s' as %s, which is the external address at '%s' too; "
		"give one of the two uplinks another address, and name it in 'addresses' if the "
		"uplink has several, or let both networks leave by one uplink",
		b->topology->networks[place].name, uplink->name,
		ip_format(same ? &uplink->address : &address6, text), other->link);
	error_at(err, b->topology->file, b->topology->networks[place].masquerade.at);
	return err->code;
}

/* Of other uplinks of this file, and of those of other fabrics. */
static int check_others(const struct builder *b, size_t place, struct error *err)
{
	const struct state_datapath *datapath = &b->view->state->datapath;
	int ret = 0;

	for (size_t i = 0; i < place && !ret; i++) {
		struct operation other = {.link = b->uplinks[i].name};

		if (!b->uplinks[i].first || !strcmp(other.link, b->uplinks[place].name))
			continue;
		other.address = b->uplinks[i].address;
		other.address6 = plan_uplink_address6(b, &b->uplinks[i]);
		ret = check_apart(b, place, &other, err);
	}
	for (size_t i = 0; i < datapath->uplinks_count && !ret; i++) {
		const struct nsr_uplink *observed = &datapath->uplinks[i].uplink;
		const struct state_link *link =
			view_link_by_index(b->view, NULL, observed->ifindex);
		struct operation other = {.link = link ? link->name : NULL};

		if (!link || !strcmp(link->name, b->uplinks[place].name) ||
		    !view_recorded_elsewhere(b->view, RECORD_UPLINK, link->name))
			continue;
		plan_uplink_as_it_is(&other, observed);
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
