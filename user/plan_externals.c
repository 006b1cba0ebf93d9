/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: an address keeps the place that it has, because its sessions are in the pools of
 * that. The first place is never empty, for it is what tells that the uplink has the family at all.
 * In which order the file names them does not matter.
 */
#include "plan_externals.h"

#include <string.h>
#include <sys/socket.h>

static struct ip_address address_of(uint8_t family, const void *bytes)
{
	static const uint8_t none[16];
	const size_t size = family == AF_INET ? 4 : 16;
	struct ip_address ip = {.family = family, .prefix_len = (uint8_t)(8 * size)};

	if (!memcmp(bytes, none, size))
		return (struct ip_address){0};
	memcpy(ip.bytes, bytes, size);
	return ip;
}

static struct ip_address *place_of(struct uplink *uplink, struct more_externals *more, bool ipv6,
				   size_t place)
{
	if (!place)
		return ipv6 ? &uplink->address6 : &uplink->address;
	return ipv6 ? &more->address6[place - 1] : &more->address[place - 1];
}

static struct ip_address observed_at(const struct nsr_uplink *observed, bool ipv6, size_t place)
{
	if (!place)
		return ipv6 ? address_of(AF_INET6, observed->address6)
			    : address_of(AF_INET, &observed->address4);
	return ipv6 ? address_of(AF_INET6, observed->more6[place - 1])
		    : address_of(AF_INET, &observed->more4[place - 1]);
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

static void place_family(struct uplink *uplink, struct more_externals *into, bool ipv6,
			 const struct ip_address *more, size_t count,
			 const struct nsr_uplink *observed)
{
	const uint8_t family = ipv6 ? AF_INET6 : AF_INET;
	struct ip_address left[NSR_EXTERNALS_MAX], *first = place_of(uplink, into, ipv6, 0);
	size_t lefts = 0;

	left[lefts++] = *first;
	for (size_t i = 0; i < count && lefts < NSR_EXTERNALS_MAX; i++)
		if (more[i].family == family)
			left[lefts++] = more[i];
	*first = (struct ip_address){0};
	for (size_t i = 0; observed && i < NSR_EXTERNALS_MAX; i++) {
		const struct ip_address known = observed_at(observed, ipv6, i);

		if (known.family && take(left, &lefts, &known))
			*place_of(uplink, into, ipv6, i) = known;
	}
	for (size_t i = 0; i < NSR_EXTERNALS_MAX; i++) {
		struct ip_address *place = place_of(uplink, into, ipv6, i);

		if (place->family || !lefts)
			continue;
		*place = left[0];
		take(left, &lefts, &left[0]);
	}
	for (size_t i = NSR_EXTERNALS_MAX - 1; i && !first->family; i--) {
		struct ip_address *last = place_of(uplink, into, ipv6, i);

		*first = *last;
		*last = (struct ip_address){0};
	}
}

static bool is_empty(const struct more_externals *more)
{
	for (size_t i = 0; i < NSR_MORE_MAX; i++)
		if (more->address[i].family || more->address6[i].family)
			return false;
	return true;
}

void plan_place_externals(struct uplink *uplink, const struct ip_address *more, size_t count,
			  const struct nsr_uplink *observed, struct arena *arena)
{
	struct more_externals *into = arena_alloc(arena, sizeof(*into));

	uplink->more = NULL;
	if (!count) /* one of a family is in the first place, whatever there was */
		return;
	place_family(uplink, into, false, more, count, observed);
	if (uplink->address6.family)
		place_family(uplink, into, true, more, count, observed);
	uplink->more = is_empty(into) ? NULL : into;
}

const struct more_externals *plan_more_externals(const struct nsr_uplink *observed,
						 struct arena *arena)
{
	struct more_externals *more = arena_alloc(arena, sizeof(*more));

	for (size_t i = 0; i < NSR_MORE_MAX; i++) {
		more->address[i] = observed_at(observed, false, i + 1);
		more->address6[i] = observed_at(observed, true, i + 1);
	}
	return is_empty(more) ? NULL : more;
}

void plan_enter_externals(const struct more_externals *more, struct nsr_uplink *ret)
{
	for (size_t i = 0; more && i < NSR_MORE_MAX; i++) {
		memcpy(&ret->more4[i], more->address[i].bytes, sizeof(ret->more4[i]));
		memcpy(ret->more6[i], more->address6[i].bytes, sizeof(ret->more6[i]));
	}
}

bool plan_externals_differ(const struct nsr_uplink *observed, const struct more_externals *more)
{
	struct nsr_uplink wanted = {0};

	plan_enter_externals(more, &wanted);
	return observed->flags & (NSR_UPLINK_CHANGING4 | NSR_UPLINK_CHANGING6) ||
	       memcmp(observed->more4, wanted.more4, sizeof(wanted.more4)) ||
	       memcmp(observed->more6, wanted.more6, sizeof(wanted.more6));
}

/* Those that both have are in the same places. */
bool plan_same_externals6(const struct nsr_uplink *observed, const struct uplink *uplink)
{
	static const uint8_t none[sizeof(observed->more6)];
	struct nsr_uplink wanted = {0};

	plan_enter_externals(uplink->more, &wanted);
	return !memcmp(observed->more6, wanted.more6, sizeof(wanted.more6)) &&
	       (!memcmp(wanted.more6, none, sizeof(none)) ||
		!memcmp(observed->address6, uplink->address6.bytes, sizeof(observed->address6)));
}

/* Of IPv4, which each uplink has, and of which the file names all or none. */
bool plan_same_externals(const struct nsr_uplink *observed, const struct uplink *uplink)
{
	struct nsr_uplink wanted = {0};

	plan_enter_externals(uplink->more, &wanted);
	/* Those that both have are in the same places. */
	return !memcmp(&observed->address4, uplink->address.bytes, sizeof(observed->address4)) &&
	       !memcmp(observed->more4, wanted.more4, sizeof(wanted.more4));
}
