/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: an address keeps the place that it has, because its sessions are in the pools of
 * that. The first place is never empty, for it is what tells that the uplink has the family at all.
 * In which order the file names them does not matter.
 */
#include "plan_externals.h"

#include <string.h>
#include <sys/socket.h>

static struct ip_address address_of(__be32 bytes)
{
	struct ip_address ip = {0};

	if (!bytes)
		return ip;
	ip.family = AF_INET;
	ip.prefix_len = 32;
	memcpy(ip.bytes, &bytes, sizeof(bytes));
	return ip;
}

static struct ip_address *place_of(struct uplink *uplink, struct more_externals *more, size_t place)
{
	return place ? &more->address[place - 1] : &uplink->address;
}

static struct ip_address observed_at(const struct nsr_uplink *observed, size_t place)
{
	return address_of(place ? observed->more4[place - 1] : observed->address4);
}

/* Takes one out of the list. */
static bool take(struct ip_address *list, size_t *count, const struct ip_address *which)
{
	for (size_t i = 0; i < *count; i++) {
		if (!ip_equal(&list[i], which))
			continue;
		memmove(&list[i], &list[i + 1], (*count - i - 1) * sizeof(*list));
		--*count;
		return true;
	}
	return false;
}

static void place_all(struct uplink *uplink, struct more_externals *into,
		      const struct ip_address *more, size_t count,
		      const struct nsr_uplink *observed)
{
	struct ip_address left[NSR_EXTERNALS_MAX], *first = &uplink->address;
	size_t lefts = 0;

	left[lefts++] = *first;
	for (size_t i = 0; i < count && lefts < NSR_EXTERNALS_MAX; i++)
		left[lefts++] = more[i];
	*first = (struct ip_address){0};
	for (size_t i = 0; observed && i < NSR_EXTERNALS_MAX; i++) {
		const struct ip_address known = observed_at(observed, i);

		if (known.family && take(left, &lefts, &known))
			*place_of(uplink, into, i) = known;
	}
	for (size_t i = 0; i < NSR_EXTERNALS_MAX; i++) {
		struct ip_address *place = place_of(uplink, into, i);

		if (place->family || !lefts)
			continue;
		*place = left[0];
		take(left, &lefts, &left[0]);
	}
	for (size_t i = NSR_EXTERNALS_MAX - 1; i && !first->family; i--) {
		struct ip_address *last = place_of(uplink, into, i);

		*first = *last;
		*last = (struct ip_address){0};
	}
}

static bool is_empty(const struct more_externals *more)
{
	for (size_t i = 0; i < NSR_MORE_MAX; i++)
		if (more->address[i].family)
			return false;
	return true;
}

void plan_place_externals(struct uplink *uplink, const struct ip_address *more, size_t count,
			  const struct nsr_uplink *observed, struct arena *arena)
{
	struct more_externals *into = arena_alloc(arena, sizeof(*into));

	uplink->more = NULL;
	if (!count) /* one is in the first place, whatever there was */
		return;
	place_all(uplink, into, more, count, observed);
	uplink->more = is_empty(into) ? NULL : into;
}

const struct more_externals *plan_more_externals(const struct nsr_uplink *observed,
						 struct arena *arena)
{
	struct more_externals *more = arena_alloc(arena, sizeof(*more));

	for (size_t i = 0; i < NSR_MORE_MAX; i++)
		more->address[i] = observed_at(observed, i + 1);
	return is_empty(more) ? NULL : more;
}

void plan_enter_externals(const struct more_externals *more, struct nsr_uplink *ret)
{
	for (size_t i = 0; more && i < NSR_MORE_MAX; i++)
		memcpy(&ret->more4[i], more->address[i].bytes, sizeof(ret->more4[i]));
}

bool plan_externals_differ(const struct nsr_uplink *observed, const struct more_externals *more)
{
	struct nsr_uplink wanted = {0};

	plan_enter_externals(more, &wanted);
	return observed->flags & (NSR_UPLINK_CHANGING4 | NSR_UPLINK_CHANGING6) ||
	       memcmp(observed->more4, wanted.more4, sizeof(wanted.more4));
}

/* The file names all of IPv4 or none. */
bool plan_same_externals(const struct nsr_uplink *observed, const struct uplink *uplink)
{
	struct nsr_uplink wanted = {0};

	plan_enter_externals(uplink->more, &wanted);
	/* Those that both have are in the same places. */
	return !memcmp(&observed->address4, uplink->address.bytes, sizeof(observed->address4)) &&
	       !memcmp(observed->more4, wanted.more4, sizeof(wanted.more4));
}
