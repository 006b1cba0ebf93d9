/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * output_model - how the objects of a kernel_state belong together, for output_show and
 * output_stats, and the pieces of JSON that both build.
 */
#ifndef NSROUTE_OUTPUT_MODEL_H
#define NSROUTE_OUTPUT_MODEL_H

#include <jansson.h>
#include <stdbool.h>

#include "kernel_state.h"
#include "record.h"

/* All return NULL when there is none. */
const struct state_link *model_link(const struct state_namespace *namespace, uint32_t ifindex);
const struct state_link *model_link_named(const struct state_namespace *namespace,
					  const char *name);
/* The link of a RECORD_LINK_INSIDE, and where it is. */
const struct state_link *model_link_at(const struct kernel_state *state, const char *place,
				       const struct state_namespace **ret_namespace);
const struct state_namespace *model_namespace(const struct kernel_state *state, const char *name);
const struct state_port *model_port(const struct kernel_state *state, uint32_t ifindex);
/* An uplink of the datapath by the ifindex of its link. */
const struct state_uplink *model_uplink(const struct kernel_state *state, uint32_t ifindex);

/* Whether inside (in a namespace) and host (in the host namespace) are the two ends of one veth;
 * port is model_port() of the host's end, which its caller has at hand. Two ends know each other's
 * ifindex, but ifindexes are not unique over namespaces: among several that fit it is the one with
 * the MAC that the datapath knows. The only one may have another: a namespace can change it, and
 * what is dropped then has to show. Where snapshot_peers() has asked the kernel, its answer counts.
 */
bool model_is_pair(const struct kernel_state *state, const struct state_link *host,
		   const struct state_port *port, const struct state_link *inside);
/* The host's end of an interface of a namespace, and its port. */
const struct state_link *model_host_end(const struct kernel_state *state,
					const struct state_link *inside,
					const struct state_port **ret_port);

/* Whether an interface is one to show: everything but lo. */
bool model_is_shown(const struct state_link *link);
/* Whether both of our programs sit at the link; false for NULL. */
bool model_is_attached(const struct state_link *link);
/* "up", "down", "no-carrier"; "missing" for NULL. */
const char *model_link_state(const struct state_link *link);

/* {"record"}'s head: "fabric", "file", "state" ("up", or "incomplete" when something recorded is
 * not there or an uplink has lost its programs). */
json_t *model_fabric(const struct record *record, const struct kernel_state *state);

/* {"to", "family", "via", "interface", "protocol"} */
json_t *model_route(const struct state_namespace *namespace, const struct state_route *route);

void model_set_text(json_t *object, const char *key, const char *value);
void model_set_text_or_null(json_t *object, const char *key, const char *value);
void model_set_number(json_t *object, const char *key, uint64_t value);

#endif
