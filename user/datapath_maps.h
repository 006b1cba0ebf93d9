/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath_maps - what the files of the datapath share: the maps by name, and the open datapath.
 * Nothing else includes it.
 */
#ifndef NSROUTE_DATAPATH_MAPS_H
#define NSROUTE_DATAPATH_MAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "datapath.h"

/* Every map, under the name that it is pinned by. */
#define DATAPATH_MAPS(X)      \
	X(settings)           \
	X(ports)              \
	X(fdb)                \
	X(hosts4)             \
	X(hosts6)             \
	X(inner_links)        \
	X(sources)            \
	X(port_counters)      \
	X(port_drops)         \
	X(uplinks)            \
	X(followed)           \
	X(uplink_by_index)    \
	X(inside4)            \
	X(inside6)            \
	X(uplink_counters)    \
	X(uplink_drops)       \
	X(pools)              \
	X(pool_bits)          \
	X(sessions)           \
	X(session_bits)       \
	X(session_by_flow)    \
	X(mapping_by_inside)  \
	X(shares)             \
	X(nat_counters)       \
	X(pools6)             \
	X(pool_bits6)         \
	X(sessions6)          \
	X(session_bits6)      \
	X(session_by_flow6)   \
	X(mapping_by_inside6) \
	X(nat_counters6)      \
	X(programs6)          \
	X(datagrams_out)      \
	X(datagrams_in)       \
	X(datagram_ids)       \
	X(held_fragments)     \
	X(held_scratch)       \
	X(expire_clock)       \
	X(events)             \
	X(event_lease)        \
	X(event_limits)       \
	X(refusals)           \
	X(published)          \
	X(published6)         \
	X(hairpin_scratch)    \
	X(nat_scratch6)       \
	X(datagrams_in6)      \
	X(held_fragments6)    \
	X(host_remotes)       \
	X(host_hears)         \
	X(host_remotes6)      \
	X(host_hears6)        \
	X(host_echoes)        \
	X(set_aside)          \
	X(followed6)          \
	X(held_waits)         \
	X(datagrams_out6)     \
	X(repairing)          \
	X(exceptions)

enum datapath_map {
#define X(name) MAP_##name,
	DATAPATH_MAPS(X)
#undef X
		DATAPATH_MAPS_COUNT
};

/* Programs that sit at no hook, behind those of enum datapath_program. */
enum {
	DATAPATH_ARM = DATAPATH_PROGRAMS,
	DATAPATH_FLUSH,
	DATAPATH_FLUSH6,
	DATAPATH_PUBLISH,
	DATAPATH_PUBLISH6,
	DATAPATH_UPLINK_OUT6, /* these are called by those of an uplink: "programs6" */
	DATAPATH_UPLINK_IN6,
	DATAPATH_BARE_OUT6,
	DATAPATH_BARE_IN6,
	DATAPATH_OTHER_OUT6, /* these by those */
	DATAPATH_OTHER_IN6,
	DATAPATH_OBARE_OUT6,
	DATAPATH_OBARE_IN6,
	DATAPATH_HAIRPIN, /* called by that of a port, likewise */
	DATAPATH_HAIRPIN6,
	DATAPATH_GUEST,
	DATAPATH_GUEST6,
	DATAPATH_LOCAL_OUT6, /* called by that of the loopback interface */
	DATAPATH_OWN_OUT,    /* by those of an uplink */
	DATAPATH_BARE_OWN,
	DATAPATH_ALL_PROGRAMS
};

extern const char *const datapath_map_name[];

struct datapath {
	int maps[DATAPATH_MAPS_COUNT];
	int programs[DATAPATH_ALL_PROGRAMS]; /* -1: not used */
	uint64_t build;        /* of the programs; 0: not known, they are being exchanged */
	uint32_t session_sets; /* NSR_SESSION_SET sessions each, and NSR_SESSION6_SET of IPv6 */
	/* Numbers of ports in use, read once and then kept; NULL: not read yet. */
	uint64_t *port_numbers;
	/* The same of masqueraded prefixes (nsr_inside.slot). */
	uint64_t *inside_slots;
};

/* Sets the uplink's address to what has become of it (bpf/address.h). */
void datapath_follow(const struct datapath *datapath, struct nsr_uplink *uplink);
/* Ends the sessions that are selected. ret_ended, which may be NULL, is set to how many. */
int datapath_flush(const struct datapath *datapath, const struct nsr_selection *selection,
		   uint64_t *ret_ended, struct error *err);
int datapath_flush6(const struct datapath *datapath, const struct nsr_selection6 *selection,
		    uint64_t *ret_ended, struct error *err);
/* Gives them the timeouts that are set for their inside addresses now. */
int datapath_renew(const struct datapath *datapath, const struct nsr_selection *selection,
		   struct error *err);
int datapath_renew6(const struct datapath *datapath, const struct nsr_selection6 *selection,
		    struct error *err);
/* Gives back the ports of the address in this slot that cool down. */
int datapath_flush_ports(const struct datapath *datapath, bool ipv6, uint32_t slot,
			 struct error *err);
bool datapath_has_sessions(const struct datapath *datapath, bool ipv6);
/* Returns when every program that ran before, and that has to do with the uplink of this number,
 * has ended. */
int datapath_wait_for_programs(const struct datapath *datapath, uint32_t uplink, struct error *err);

#endif
