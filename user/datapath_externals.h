/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath_externals - the external addresses of an uplink: their slots, and how they change while
 * flows run. For datapath_*.c only.
 */
#ifndef NSROUTE_DATAPATH_EXTERNALS_H
#define NSROUTE_DATAPATH_EXTERNALS_H

#include "datapath.h"

/* Gives each other address of the entry a slot and sets its flags. known: the entry that there is,
 * whose places keep theirs; NULL: there is none. -ENOSPC past NSR_SLOTS_MAX. */
int datapath_slots_take(const struct datapath *datapath, const struct nsr_uplink *known,
			struct nsr_uplink *entry, struct error *err);
/* Places of the entry without an address keep no slot. */
void datapath_slots_trim(struct nsr_uplink *entry);
/* Slots of the uplink that its entry has not: no packet asks for them any more. */
int datapath_slots_release(const struct datapath *datapath, const struct nsr_uplink *entry,
			   struct error *err);
/* Whether pools of the slot are the uplink's. */
bool datapath_slot_is_of(const struct datapath *datapath, uint32_t slot, uint32_t index,
			 uint32_t ifindex);

/* What the file names and the host has lost is the uplink's still: known, as it was found, has it
 * as it is entered, and the next packet asks for it anew. If not, the flows of all others would end
 * with a change of the set. */
int datapath_recall(const struct datapath *datapath, const struct nsr_uplink *entered,
		    struct nsr_uplink *known, struct error *err);
/* Whether an entry has another address of the family in any place. */
bool datapath_externals_differ(const struct nsr_uplink *one, const struct nsr_uplink *other,
			       bool ipv6);
/* Whether the flows of some inside addresses can go on while those of others end. */
bool datapath_can_repair(const struct nsr_uplink *known, const struct nsr_uplink *entry, bool ipv6);
/* Gives the uplink the addresses of the entry, of one family. Sessions of the inside addresses that
 * get another one end, and those at an address that goes; all others go on. known is the entry that
 * there is, with the address that it has now. */
int datapath_repair(const struct datapath *datapath, bool ipv6, const struct nsr_uplink *known,
		    const struct nsr_uplink *entry, struct error *err);

/* Without an address the programs open no sessions of the family, and translate nothing. The mark
 * tells who comes after a process that was killed that sessions of it may have been left: they hold
 * ports of slots that are given back. */
void datapath_externals_close(struct nsr_uplink *uplink, bool change4, bool change6);
/* Other uplinks lose the addresses that the entry has: else two would hand out the same ports. */
int datapath_externals_part(const struct datapath *datapath, const struct nsr_uplink *entry,
			    struct error *err);

/* For all of its addresses of a family. */
int datapath_slots_open(const struct datapath *datapath, bool ipv6, const struct nsr_uplink *entry,
			struct error *err);

#endif
