/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_view - the observed state and the records, arranged for questions. For plan*.c only.
 *
 * Each operation that makes an object has a key, the same text whether the object is wanted or
 * observed: what is to be made finds what is there, and the other way round, in constant time.
 */
#ifndef NSROUTE_PLAN_VIEW_H
#define NSROUTE_PLAN_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "kernel_state.h"
#include "lookup.h"
#include "plan.h"
#include "record.h"

#define OPERATION_KEY_MAX 256

#define STEPS_ALIAS "nsroute:" RECORD_STEPS

/* What an object is known by; the same for the operation that makes and the one that deletes it. */
char *operation_key(const struct operation *operation, char buffer[OPERATION_KEY_MAX]);

/* With the prefix of a single address; none stays none. */
struct ip_address plan_host_address(struct ip_address ip);

struct view {
	const struct kernel_state *state;
	const char *fabric;
	const char *alias; /* of what is ours */
	struct arena *arena;
	struct lookup objects; /* observed, by operation key */
	struct lookup links;   /* state_link, by namespace and ifindex */
	struct lookup sources; /* state_source by port and prefix; their number by port */
	struct lookup records; /* of this fabric, by kind and name */
	struct lookup others;  /* of the other fabrics */
	struct lookup steps;   /* of single steps, when this is about a fabric */
	struct lookup remade;  /* links that will be deleted and made again: as good as absent */
	struct lookup shaken;  /* what the kernel takes with an address or a MAC; view_shake() */
	bool networks[UINT16_MAX + 1]; /* numbers of this fabric's recorded networks */
};

/* record may be NULL. The view is large: allocate it. */
void view_init(struct view *view, const struct kernel_state *state, const struct record *record,
	       const char *fabric, struct arena *arena);

/* NULL: not observed, or there is none. A link that will be made again counts as none. */
const struct state_namespace *view_namespace(const struct view *view, const char *name);
/* NULL: the host. */
const struct state_namespace *view_space(const struct view *view, const char *name);
const struct state_link *view_link(const struct view *view, const char *namespace,
				   const char *name);
const struct state_link *view_link_by_index(const struct view *view, const char *namespace,
					    uint32_t ifindex);
/* The observed object that the operation would make or delete. */
void *view_find(const struct view *view, const struct operation *operation);
const struct state_uplink *view_uplink_by_slot(const struct view *view, uint32_t index);
/* Whether the datapath has the MAC behind this link, which is a port of one of our networks. */
bool view_port_knows(const struct view *view, const struct state_link *link, const uint8_t mac[6]);
/* Whether the port may send from exactly these prefixes besides its first addresses. */
bool view_sources_equal(const struct view *view, uint32_t port, const struct ip_address *sources,
			size_t count);

const struct record_entry *view_recorded(const struct view *view, enum record_kind kind,
					 const char *name);
const struct record_entry *view_recorded_elsewhere(const struct view *view, enum record_kind kind,
						   const char *name);

/* Recorded, and nobody has put something else in its place: the alias is ours. A namespace has it
 * from the first, so that only its stale name may be without. A link of ours may have none yet (we
 * were killed before it was set); then it has the MAC that the record promises. */
bool view_namespace_is_ours(const struct view *view, const struct state_namespace *namespace);
bool view_link_is_ours(const struct view *view, const struct state_link *link);
/* Of a link in a namespace: only single steps record those. */
bool view_inner_link_is_ours(const struct view *view, const char *namespace,
			     const struct state_link *link);

/* The same of what single steps made, which a fabric may take over. namespace NULL: the host. */
bool view_namespace_is_of_steps(const struct view *view, const struct state_namespace *namespace);
bool view_link_is_of_steps(const struct view *view, const char *namespace,
			   const struct state_link *link);
const struct record_entry *view_recorded_by_steps(const struct view *view, enum record_kind kind,
						  const char *name);
/* NAMESPACE/LINK, the name of a RECORD_LINK_INSIDE. */
char *view_place(const struct view *view, const char *namespace, const char *link);

void view_remake(struct view *view, const char *namespace, const char *link);

/* What the kernel takes, or may take, besides what it is asked to: given again by the same plan. */
enum shaken {
	SHAKEN_ADDRESSES,  /* those in the same subnet as the given one */
	SHAKEN_ROUTES,     /* of a link and the given one's family */
	SHAKEN_NEIGHBOURS, /* likewise; family 0: of both families */
	SHAKEN_SYSCTLS,    /* of the namespace; no link, no address */
};
void view_shake(struct view *view, enum shaken what, const char *namespace, const char *link,
		const struct ip_address *address);
bool view_is_shaken(const struct view *view, enum shaken what, const char *namespace,
		    const char *link, const struct ip_address *address);

#endif
