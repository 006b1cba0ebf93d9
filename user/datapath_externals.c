/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: an uplink has up to NSR_EXTERNALS_MAX addresses of IPv4, in places that they keep:
 * the first, which is in the slot of the uplink's own number, and the others, each of which has a
 * slot that is nobody else's. "uplink_by_index" says whose a slot is. A slot has the pools of its
 * address. The one address of IPv6 is in the slot of the uplink's number, too.
 *
 * Which address an inside one has is computed from the set of them (nsroute_abi_pair.h), so a
 * change of the set changes it for some. That is done so that nobody ever has two:
 *
 *   the uplink is marked as being changed		nothing begins, what runs goes on
 *   programs are waited for				nothing is about to begin
 *   sessions of those whose address changes end	by the sets before and after
 *   pools of addresses that go are removed, those of new ones are made
 *   the new set is entered, still marked
 *   published ports are entered under their inside endpoints anew
 *   the mark goes
 *
 * A process that is killed in between leaves the mark. Who finds it begins at the beginning: all
 * sessions of the family end.
 */
#include "datapath_externals.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "datapath_entry.h"
#include "datapath_maps.h"
#include "datapath_pools.h"
#include "datapath_publish.h"
#include "datapath_reserve.h"

/* ---- Slots. */

static uint32_t owner_of(const struct datapath *datapath, uint32_t slot)
{
	uint32_t ifindex = 0;

	return bpf_map_lookup_elem(datapath->maps[MAP_uplink_by_index], &slot, &ifindex) ? 0
											 : ifindex;
}

bool datapath_slot_is_of(const struct datapath *datapath, uint32_t slot, uint32_t index,
			 uint32_t ifindex)
{
	return slot < NSR_UPLINKS_MAX ? slot == index : owner_of(datapath, slot) == ifindex;
}

static bool has_slot(const struct nsr_uplink *entry, uint32_t slot)
{
	for (size_t i = 0; i < NSR_MORE_MAX; i++)
		if (entry->slots[i] == slot)
			return true;
	return false;
}

static int take_slot(const struct datapath *datapath, struct nsr_uplink *entry, size_t place,
		     struct error *err)
{
	for (uint32_t slot = NSR_UPLINKS_MAX; slot < NSR_SLOTS_MAX; slot++) {
		if (owner_of(datapath, slot) || has_slot(entry, slot))
			continue;
		entry->slots[place] = (uint8_t)slot;
		return datapath_put(datapath, MAP_uplink_by_index, &slot, &entry->ifindex,
				    "an external address", err);
	}
	return error_set(err, -ENOSPC,
			 "cannot add an external address: this host namespace has %d besides the "
			 "first of each uplink already",
			 NSR_SLOTS_MAX - NSR_UPLINKS_MAX);
}

int datapath_slots_take(const struct datapath *datapath, const struct nsr_uplink *known,
			struct nsr_uplink *entry, struct error *err)
{
	int ret = 0;

	memset(entry->slots, 0, sizeof(entry->slots));
	if (known)
		memcpy(entry->slots, known->slots, sizeof(entry->slots));
	entry->flags = 0;
	for (size_t i = 0; i < NSR_MORE_MAX && !ret; i++) {
		if (!entry->more4[i])
			continue;
		if (!entry->slots[i])
			ret = take_slot(datapath, entry, i, err);
		entry->flags |= NSR_UPLINK_MORE4;
	}
	return ret;
}

void datapath_slots_trim(struct nsr_uplink *entry)
{
	for (size_t i = 0; i < NSR_MORE_MAX; i++)
		if (!entry->more4[i])
			entry->slots[i] = 0;
}

int datapath_slots_release(const struct datapath *datapath, const struct nsr_uplink *entry,
			   struct error *err)
{
	const uint32_t nobody = 0;
	int ret = 0;

	for (uint32_t slot = NSR_UPLINKS_MAX; slot < NSR_SLOTS_MAX && !ret; slot++) {
		if (owner_of(datapath, slot) != entry->ifindex || has_slot(entry, slot))
			continue;
		ret = datapath_pools_drop(datapath, false, slot, err);
		if (!ret)
			ret = datapath_pools_drop(datapath, true, slot, err);
		if (!ret)
			ret = datapath_put(datapath, MAP_uplink_by_index, &slot, &nobody,
					   "an external address", err);
	}
	return ret;
}

/* ---- Addresses by place: 0 is the first. */

static __be32 address_at(const struct nsr_uplink *entry, size_t place)
{
	return place ? entry->more4[place - 1] : entry->address4;
}

static uint32_t slot_at(const struct nsr_uplink *entry, size_t place)
{
	return place ? entry->slots[place - 1] : entry->index;
}

bool datapath_externals_differ(const struct nsr_uplink *one, const struct nsr_uplink *other)
{
	for (size_t i = 0; i < NSR_EXTERNALS_MAX; i++)
		if (address_at(one, i) != address_at(other, i))
			return true;
	return false;
}

bool datapath_can_repair(const struct nsr_uplink *known, const struct nsr_uplink *entry)
{
	return (known->flags | entry->flags) & NSR_UPLINK_MORE4 &&
	       !(known->flags & NSR_UPLINK_CHANGING4) && known->address4 && entry->address4;
}

static int open_slot(const struct datapath *datapath, const struct nsr_uplink *entry, size_t place,
		     struct error *err)
{
	static const struct nsr_followed nothing;
	const uint32_t slot = slot_at(entry, place);
	int ret = datapath_put(datapath, MAP_followed, &slot, &nothing, "an external address", err);

	if (!ret)
		ret = datapath_pools_add(datapath, false, entry, slot, err);
	return ret ? ret : datapath_set_aside_in(datapath, false, entry, slot, err);
}

int datapath_slots_open(const struct datapath *datapath, const struct nsr_uplink *entry,
			struct error *err)
{
	int ret = 0;

	for (size_t i = 0; i < NSR_EXTERNALS_MAX && !ret; i++)
		if (address_at(entry, i))
			ret = open_slot(datapath, entry, i, err);
	return ret;
}

int datapath_slot6_open(const struct datapath *datapath, const struct nsr_uplink *entry,
			struct error *err)
{
	static const struct nsr_followed6 nothing;
	static const uint8_t none[16];
	int ret;

	if (!memcmp(entry->address6, none, sizeof(none)))
		return 0;
	ret = datapath_put(datapath, MAP_followed6, &entry->index, &nothing, "an external address",
			   err);
	if (!ret)
		ret = datapath_pools_add(datapath, true, entry, entry->index, err);
	return ret ? ret : datapath_set_aside_in(datapath, true, entry, entry->index, err);
}

/* ---- While flows run. */

/* Those of inside addresses that get another one. Direct ones have none. */
static int end_repaired(const struct datapath *datapath, const struct nsr_uplink *known,
			const struct nsr_uplink *entry, struct error *err)
{
	const struct nsr_selection repaired = {.uplink = (uint8_t)(1 + known->index),
					       .repaired = 1,
					       .kind = 1 + NSR_FLOW_TRANSLATED};
	const struct nsr_repairing sets = {.before = *known, .after = *entry};
	const uint32_t zero = 0;
	int ret = datapath_put(datapath, MAP_repairing, &zero, &sets, "external addresses", err);

	return ret ? ret : datapath_flush(datapath, &repaired, NULL, err);
}

/* What is published there is forgotten when no address takes the place. */
static int empty_slot(const struct datapath *datapath, uint32_t slot, bool forget,
		      struct error *err)
{
	const struct nsr_selection all = {
		.mapping_first = NSR_MAPPING(NSR_POOL(slot, 0), 0),
		.mapping_last =
			NSR_MAPPING(NSR_POOL(slot, NSR_NAT_PROTOCOLS - 1), NSR_POOL_PORTS - 1)};
	int ret = datapath_publish_leave(datapath, false, slot, forget, err);

	if (!ret)
		ret = datapath_flush(datapath, &all, NULL, err);
	if (!ret)
		ret = datapath_flush_ports(datapath, false, slot, err);
	return ret ? ret : datapath_pools_drop(datapath, false, slot, err);
}

static int change_slots(const struct datapath *datapath, const struct nsr_uplink *known,
			const struct nsr_uplink *entry, struct error *err)
{
	int ret = 0;

	for (size_t i = 0; i < NSR_EXTERNALS_MAX && !ret; i++) {
		if (address_at(known, i) == address_at(entry, i))
			continue;
		if (address_at(known, i))
			ret = empty_slot(datapath, slot_at(known, i), !address_at(entry, i), err);
		if (!ret && address_at(entry, i))
			ret = open_slot(datapath, entry, i, err);
	}
	return ret;
}

/* What is of IPv4. */
static void enter_externals(struct nsr_uplink *into, const struct nsr_uplink *from)
{
	into->address4 = from->address4;
	memcpy(into->more4, from->more4, sizeof(into->more4));
	into->fixed = from->fixed;
	memcpy(into->slots, from->slots, sizeof(into->slots));
	into->flags =
		(uint8_t)((into->flags & ~NSR_UPLINK_MORE4) | (from->flags & NSR_UPLINK_MORE4));
}

static int put(const struct datapath *datapath, const struct nsr_uplink *entry, struct error *err)
{
	return datapath_put(datapath, MAP_uplinks, &entry->ifindex, entry, "an uplink", err);
}

int datapath_repair(const struct datapath *datapath, const struct nsr_uplink *known,
		    const struct nsr_uplink *entry, struct error *err)
{
	struct nsr_uplink now, next;
	int ret = 0;

	if (bpf_map_lookup_elem(datapath->maps[MAP_uplinks], &entry->ifindex, &now))
		return error_set(err, -errno, "cannot read an uplink: %s", strerror(errno));
	now.flags |= NSR_UPLINK_CHANGING4;
	next = now;
	enter_externals(&next, entry);
	ret = put(datapath, &now, err);
	if (!ret)
		ret = datapath_wait(err);
	if (!ret)
		ret = end_repaired(datapath, known, &next, err);
	if (!ret)
		ret = change_slots(datapath, known, &next, err);
	if (!ret)
		ret = put(datapath, &next, err);
	if (!ret)
		ret = datapath_publish_resume(datapath, false, next.index, err);
	next.flags &= (uint8_t)~NSR_UPLINK_CHANGING4;
	return ret ? ret : put(datapath, &next, err);
}
