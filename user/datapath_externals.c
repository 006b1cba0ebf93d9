/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: an uplink has up to NSR_EXTERNALS_MAX addresses of a family, in places that they
 * keep: the first, which is in the slot of the uplink's own number, and the others, each of which
 * has a slot that is nobody else's (of both families the same). "uplink_by_index" says whose a slot
 * is. A slot has the pools of its address.
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
 *   programs are waited for				nobody reads the set before
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

static bool has_more(const struct nsr_uplink *entry, size_t place, bool ipv6)
{
	static const uint8_t none[16];

	return ipv6 ? memcmp(entry->more6[place], none, sizeof(none)) != 0
		    : entry->more4[place] != 0;
}

static bool in_use(const struct nsr_uplink *entry, size_t place)
{
	return has_more(entry, place, false) || has_more(entry, place, true);
}

static bool has_slot(const struct nsr_uplink *entry, uint32_t slot)
{
	for (size_t i = 0; i < NSR_MORE_MAX; i++)
		if (entry->slots[i] == slot)
			return true;
	return false;
}

static bool is_entered(const struct datapath *datapath, uint32_t ifindex)
{
	struct nsr_uplink uplink;

	return !bpf_map_lookup_elem(datapath->maps[MAP_uplinks], &ifindex, &uplink);
}

/* One that is the uplink's already, and not in its entry, was taken by a process that was killed
 * before it entered it, or to be given back by one; so is that of an uplink without an entry. */
static int take_slot(const struct datapath *datapath, struct nsr_uplink *entry, size_t place,
		     struct error *err)
{
	for (uint32_t slot = NSR_UPLINKS_MAX; slot < NSR_SLOTS_MAX; slot++) {
		const uint32_t owner = owner_of(datapath, slot);

		if ((owner && owner != entry->ifindex && is_entered(datapath, owner)) ||
		    has_slot(entry, slot))
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
		if (in_use(entry, i) && !entry->slots[i])
			ret = take_slot(datapath, entry, i, err);
		entry->flags |= has_more(entry, i, false) ? NSR_UPLINK_MORE4 : 0;
		entry->flags |= has_more(entry, i, true) ? NSR_UPLINK_MORE6 : 0;
	}
	return ret;
}

void datapath_slots_trim(struct nsr_uplink *entry)
{
	for (size_t i = 0; i < NSR_MORE_MAX; i++)
		if (!in_use(entry, i))
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

/* ---- As the programs have found them. */

void datapath_follow(const struct datapath *datapath, struct nsr_uplink *uplink)
{
	const struct nsr_found6 *last;
	struct nsr_followed6 found6;
	struct nsr_followed found;

	if (bpf_map_lookup_elem(datapath->maps[MAP_followed], &uplink->index, &found) == 0 &&
	    found.address.entered == uplink->address4)
		uplink->address4 = found.address.now;
	if (bpf_map_lookup_elem(datapath->maps[MAP_followed6], &uplink->index, &found6))
		return;
	last = &found6.found[found6.turn & 1];
	if (!memcmp(&last->entered, uplink->address6, sizeof(uplink->address6)))
		memcpy(uplink->address6, &last->now, sizeof(uplink->address6));
}

int datapath_recall(const struct datapath *datapath, const struct nsr_uplink *entered,
		    struct nsr_uplink *known, struct error *err)
{
	static const struct nsr_followed nothing;
	static const struct nsr_followed6 nothing6;
	int ret = 0;

	if (entered->fixed && known->address4 != entered->address4) {
		known->address4 = entered->address4;
		ret = datapath_put(datapath, MAP_followed, &entered->index, &nothing,
				   "an external address", err);
	}
	if (!ret && entered->fixed6 &&
	    memcmp(known->address6, entered->address6, sizeof(known->address6)) != 0) {
		memcpy(known->address6, entered->address6, sizeof(known->address6));
		ret = datapath_put(datapath, MAP_followed6, &entered->index, &nothing6,
				   "an external address", err);
	}
	return ret;
}

/* ---- Addresses by place: 0 is the first. */

static const void *address_at(const struct nsr_uplink *entry, size_t place, bool ipv6)
{
	if (!place)
		return ipv6 ? (const void *)entry->address6 : &entry->address4;
	return ipv6 ? (const void *)entry->more6[place - 1] : &entry->more4[place - 1];
}

static uint32_t slot_at(const struct nsr_uplink *entry, size_t place)
{
	return place ? entry->slots[place - 1] : entry->index;
}

static bool is_there(const struct nsr_uplink *entry, size_t place, bool ipv6)
{
	static const uint8_t none[16];

	return memcmp(address_at(entry, place, ipv6), none, ipv6 ? 16 : 4) != 0;
}

static bool same_at(const struct nsr_uplink *one, const struct nsr_uplink *other, size_t place,
		    bool ipv6)
{
	return !memcmp(address_at(one, place, ipv6), address_at(other, place, ipv6), ipv6 ? 16 : 4);
}

bool datapath_externals_differ(const struct nsr_uplink *one, const struct nsr_uplink *other,
			       bool ipv6)
{
	for (size_t i = 0; i < NSR_EXTERNALS_MAX; i++)
		if (!same_at(one, other, i, ipv6))
			return true;
	return false;
}

bool datapath_can_repair(const struct nsr_uplink *known, const struct nsr_uplink *entry, bool ipv6)
{
	const unsigned int more = ipv6 ? NSR_UPLINK_MORE6 : NSR_UPLINK_MORE4;
	const unsigned int changing = ipv6 ? NSR_UPLINK_CHANGING6 : NSR_UPLINK_CHANGING4;

	return (known->flags | entry->flags) & more && !(known->flags & changing) &&
	       is_there(known, 0, ipv6) && is_there(entry, 0, ipv6);
}

static int open_slot(const struct datapath *datapath, bool ipv6, const struct nsr_uplink *entry,
		     size_t place, struct error *err)
{
	static const struct nsr_followed nothing;
	static const struct nsr_followed6 nothing6;
	const uint32_t slot = slot_at(entry, place);
	int ret =
		datapath_put(datapath, ipv6 ? MAP_followed6 : MAP_followed, &slot,
			     ipv6 ? (const void *)&nothing6 : &nothing, "an external address", err);

	if (!ret)
		ret = datapath_pools_add(datapath, ipv6, entry, slot, err);
	return ret ? ret : datapath_set_aside_in(datapath, ipv6, entry, slot, err);
}

int datapath_slots_open(const struct datapath *datapath, bool ipv6, const struct nsr_uplink *entry,
			struct error *err)
{
	int ret = 0;

	for (size_t i = 0; i < NSR_EXTERNALS_MAX && !ret; i++)
		if (is_there(entry, i, ipv6))
			ret = open_slot(datapath, ipv6, entry, i, err);
	return ret;
}

/* ---- While flows run. */

static int end_sessions(const struct datapath *datapath, bool ipv6,
			const struct nsr_selection *selection, struct error *err)
{
	const struct nsr_selection6 selection6 = {.uplink = selection->uplink,
						  .mapping_first = selection->mapping_first,
						  .mapping_last = selection->mapping_last,
						  .repaired = selection->repaired,
						  .kind = selection->kind};

	return ipv6 ? datapath_flush6(datapath, &selection6, NULL, err)
		    : datapath_flush(datapath, selection, NULL, err);
}

/* Those of inside addresses that get another one. Direct ones have none. */
static int end_repaired(const struct datapath *datapath, bool ipv6, const struct nsr_uplink *known,
			const struct nsr_uplink *entry, struct error *err)
{
	const struct nsr_selection repaired = {.uplink = (uint8_t)(1 + known->index),
					       .repaired = 1,
					       .kind = 1 + NSR_FLOW_TRANSLATED};
	const struct nsr_repairing sets = {.before = *known, .after = *entry};
	const uint32_t zero = 0;
	int ret = datapath_put(datapath, MAP_repairing, &zero, &sets, "external addresses", err);

	return ret ? ret : end_sessions(datapath, ipv6, &repaired, err);
}

/* What is published there is forgotten when no address takes the place. */
static int empty_slot(const struct datapath *datapath, bool ipv6, uint32_t slot, bool forget,
		      struct error *err)
{
	const struct nsr_selection all = {
		.mapping_first = NSR_MAPPING(NSR_POOL(slot, 0), 0),
		.mapping_last =
			NSR_MAPPING(NSR_POOL(slot, NSR_NAT_PROTOCOLS - 1), NSR_POOL_PORTS - 1)};
	int ret = datapath_publish_leave(datapath, ipv6, slot, forget, err);

	if (!ret)
		ret = end_sessions(datapath, ipv6, &all, err);
	if (!ret)
		ret = datapath_flush_ports(datapath, ipv6, slot, err);
	return ret ? ret : datapath_pools_drop(datapath, ipv6, slot, err);
}

static int change_slots(const struct datapath *datapath, bool ipv6, const struct nsr_uplink *known,
			const struct nsr_uplink *entry, struct error *err)
{
	int ret = 0;

	for (size_t i = 0; i < NSR_EXTERNALS_MAX && !ret; i++) {
		if (same_at(known, entry, i, ipv6))
			continue;
		if (is_there(known, i, ipv6))
			ret = empty_slot(datapath, ipv6, slot_at(known, i),
					 !is_there(entry, i, ipv6), err);
		if (!ret && is_there(entry, i, ipv6))
			ret = open_slot(datapath, ipv6, entry, i, err);
	}
	return ret;
}

/* What is of the family. */
static void enter_family(struct nsr_uplink *into, const struct nsr_uplink *from, bool ipv6)
{
	const unsigned int more = ipv6 ? NSR_UPLINK_MORE6 : NSR_UPLINK_MORE4;

	if (ipv6) {
		memcpy(into->address6, from->address6, sizeof(into->address6));
		memcpy(into->more6, from->more6, sizeof(into->more6));
		into->fixed6 = from->fixed6;
	} else {
		into->address4 = from->address4;
		memcpy(into->more4, from->more4, sizeof(into->more4));
		into->fixed = from->fixed;
	}
	memcpy(into->slots, from->slots, sizeof(into->slots));
	into->flags = (uint8_t)((into->flags & ~more) | (from->flags & more));
}

static int put(const struct datapath *datapath, const struct nsr_uplink *entry, struct error *err)
{
	return datapath_put(datapath, MAP_uplinks, &entry->ifindex, entry, "an uplink", err);
}

int datapath_repair(const struct datapath *datapath, bool ipv6, const struct nsr_uplink *known,
		    const struct nsr_uplink *entry, struct error *err)
{
	const uint8_t changing = ipv6 ? NSR_UPLINK_CHANGING6 : NSR_UPLINK_CHANGING4;
	struct nsr_uplink now, next;
	int ret = 0;

	if (bpf_map_lookup_elem(datapath->maps[MAP_uplinks], &entry->ifindex, &now))
		return error_set(err, -errno, "cannot read an uplink: %s", strerror(errno));
	now.flags |= changing;
	next = now;
	enter_family(&next, entry, ipv6);
	ret = put(datapath, &now, err);
	if (!ret)
		ret = datapath_wait(err);
	if (!ret)
		ret = end_repaired(datapath, ipv6, known, &next, err);
	if (!ret)
		ret = change_slots(datapath, ipv6, known, &next, err);
	if (!ret)
		ret = put(datapath, &next, err);
	if (!ret)
		ret = datapath_publish_resume(datapath, ipv6, next.index, err);
	if (!ret) /* entries are used again: the set before without the mark is read by nobody */
		ret = datapath_wait(err);
	next.flags &= (uint8_t)~changing;
	return ret ? ret : put(datapath, &next, err);
}

void datapath_externals_close(struct nsr_uplink *uplink, bool change4, bool change6)
{
	if (change4) {
		uplink->address4 = 0;
		memset(uplink->more4, 0, sizeof(uplink->more4));
		uplink->flags &= (uint8_t)~NSR_UPLINK_MORE4;
		uplink->flags |= NSR_UPLINK_CHANGING4;
	}
	if (change6) {
		memset(uplink->address6, 0, sizeof(uplink->address6));
		memset(uplink->more6, 0, sizeof(uplink->more6));
		uplink->flags &= (uint8_t)~NSR_UPLINK_MORE6;
		uplink->flags |= NSR_UPLINK_CHANGING6;
	}
}

/* ---- From one uplink to another. */

static void set_at(struct nsr_uplink *entry, size_t place, bool ipv6, const void *address)
{
	if (!place)
		memcpy(ipv6 ? (void *)entry->address6 : &entry->address4, address, ipv6 ? 16 : 4);
	else
		memcpy(ipv6 ? (void *)entry->more6[place - 1] : &entry->more4[place - 1], address,
		       ipv6 ? 16 : 4);
}

static bool has_address(const struct nsr_uplink *entry, bool ipv6, const void *address)
{
	for (size_t i = 0; i < NSR_EXTERNALS_MAX; i++)
		if (!memcmp(address_at(entry, i, ipv6), address, ipv6 ? 16 : 4))
			return true;
	return false;
}

/* Takes those of entry out of next, whose first place gets the last that is left, as when one is
 * taken out of the file. */
static bool take_out(struct nsr_uplink *next, const struct nsr_uplink *entry, bool ipv6)
{
	static const uint8_t none[16];
	bool found = false;

	for (size_t i = 0; i < NSR_EXTERNALS_MAX; i++) {
		if (!is_there(next, i, ipv6) ||
		    !has_address(entry, ipv6, address_at(next, i, ipv6)))
			continue;
		set_at(next, i, ipv6, none);
		found = true;
	}
	for (size_t i = NSR_EXTERNALS_MAX - 1; i && !is_there(next, 0, ipv6); i--) {
		set_at(next, 0, ipv6, address_at(next, i, ipv6));
		set_at(next, i, ipv6, none);
	}
	return found;
}

/* What is left is entered for the time until the other's own turn, or nothing where no flow can go
 * on. */
static int part_from(const struct datapath *datapath, uint32_t ifindex,
		     const struct nsr_uplink *entry, bool ipv6, struct error *err)
{
	struct nsr_uplink other, known, next;
	int ret;

	if (bpf_map_lookup_elem(datapath->maps[MAP_uplinks], &ifindex, &other))
		return error_set(err, -errno, "cannot read an uplink: %s", strerror(errno));
	known = other;
	if (!(ipv6 ? other.fixed6 : other.fixed))
		datapath_follow(datapath, &known);
	next = known;
	if (!take_out(&next, entry, ipv6))
		return 0;
	ret = datapath_slots_take(datapath, &known, &next, err);
	if (!ret && datapath_can_repair(&known, &next, ipv6))
		return datapath_repair(datapath, ipv6, &known, &next, err);
	datapath_externals_close(&other, !ipv6, ipv6);
	if (!ret)
		ret = put(datapath, &other, err);
	return ret ? ret : datapath_wait(err);
}

int datapath_externals_part(const struct datapath *datapath, const struct nsr_uplink *entry,
			    struct error *err)
{
	uint32_t others[NSR_UPLINKS_MAX], key, *previous = NULL;
	size_t count = 0;
	int ret = 0;

	while (count < NSR_UPLINKS_MAX &&
	       bpf_map_get_next_key(datapath->maps[MAP_uplinks], previous, &key) == 0) {
		if (key != entry->ifindex)
			others[count++] = key;
		previous = &key;
	}
	for (size_t i = 0; i < count && !ret; i++) {
		ret = part_from(datapath, others[i], entry, false, err);
		if (!ret)
			ret = part_from(datapath, others[i], entry, true, err);
	}
	return ret;
}
