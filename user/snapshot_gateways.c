/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the kernel has one table of neighbours for all namespaces, and walks all of it for
 * each that is listed: thousands of namespaces would take thousands of walks over tens of thousands
 * of entries. But what a fabric enters in a namespace is its gateways, and those are addresses of
 * the host's link behind the interface, or of the bridge that this one is on. So just these are
 * asked for. One that was a gateway before and is none any more is still there, because a plan
 * takes it from the namespaces first and then from the host.
 */
#include "snapshot_gateways.h"

#include <stdlib.h>

#include "neighbour.h"

#define ASKED_MAX 64 /* gateways of one interface; of more the rest is taken for absent */

static int compare_numbers(uint32_t a, uint32_t b)
{
	return a == b ? 0 : a < b ? -1 : 1;
}

static int compare_links(const void *left, const void *right)
{
	const struct state_link *const *a = left, *const *b = right;

	return compare_numbers((*a)->ifindex, (*b)->ifindex);
}

static int compare_addresses(const void *left, const void *right)
{
	const struct state_address *const *a = left, *const *b = right;

	return compare_numbers((*a)->ifindex, (*b)->ifindex);
}

void gateways_index(const struct state_namespace *host, struct arena *arena, struct gateways *ret)
{
	*ret = (struct gateways){
		.links = arena_alloc(arena, host->links_count * sizeof(*ret->links)),
		.links_count = host->links_count,
		.addresses = arena_alloc(arena, host->addresses_count * sizeof(*ret->addresses)),
		.addresses_count = host->addresses_count,
	};
	for (size_t i = 0; i < host->links_count; i++)
		ret->links[i] = &host->links[i];
	for (size_t i = 0; i < host->addresses_count; i++)
		ret->addresses[i] = &host->addresses[i];
	if (ret->links_count)
		qsort(ret->links, ret->links_count, sizeof(*ret->links), compare_links);
	if (ret->addresses_count)
		qsort(ret->addresses, ret->addresses_count, sizeof(*ret->addresses),
		      compare_addresses);
}

static const struct state_link *find_link(const struct gateways *gateways, uint32_t ifindex)
{
	const struct state_link wanted = {.ifindex = ifindex}, *key = &wanted, **found = NULL;

	if (gateways->links_count)
		found = bsearch(&key, gateways->links, gateways->links_count,
				sizeof(*gateways->links), compare_links);
	return found ? *found : NULL;
}

/* The first address of the link, and all of its others behind it. */
static size_t first_address(const struct gateways *gateways, uint32_t ifindex)
{
	size_t low = 0, high = gateways->addresses_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (gateways->addresses[middle]->ifindex < ifindex)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int gateways_read(struct netlink *nl, const struct gateways *gateways, struct arena *arena,
		  struct state_namespace *ns, struct error *err)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < ns->links_count; i++) {
		const struct state_link *link = &ns->links[i];
		const struct state_link *host =
			link->peer_ifindex ? find_link(gateways, link->peer_ifindex) : NULL;
		struct state_neighbour asked[ASKED_MAX];
		uint32_t owner = 0;
		size_t count = 0;

		if (host)
			owner = host->master ? host->master : host->ifindex;
		for (size_t j = owner ? first_address(gateways, owner) : gateways->addresses_count;
		     j < gateways->addresses_count && gateways->addresses[j]->ifindex == owner &&
		     count < ASKED_MAX;
		     j++)
			asked[count++] = (struct state_neighbour){
				.ifindex = link->ifindex, .ip = gateways->addresses[j]->address};
		ret = neighbour_find(nl, arena, asked, count, &ns->neighbours,
				     &ns->neighbours_count, err);
	}
	return ret;
}
