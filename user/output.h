/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * output - what users see of a fabric, as one model with two forms.
 *
 * output_show(), output_stats() and output_rates() build the model, a JSON tree, from plain data;
 * -j prints the tree, output_*_text() lays tables out from the very same tree. So the two forms
 * cannot differ, and whatever a table shows has a key. Keys are an interface: they are only added
 * to. Numbers are totals since the object was made, unless output_rates() made them.
 *
 * Allocation failures end the process (output_init()), so no function here fails.
 */
#ifndef NSROUTE_OUTPUT_H
#define NSROUTE_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "kernel_state.h"
#include "record.h"

enum output_section {
	OUTPUT_NETWORKS = 1,
	OUTPUT_NAMESPACES = 2,
	OUTPUT_LINKS = 4,
	OUTPUT_ROUTES = 8,
	OUTPUT_ALL = 15,
};

/* Once, before anything else here: gives the JSON library an allocator that does not fail. */
void output_init(void);

/* A JSON string of any bytes: those that are not UTF-8 become '?'. */
json_t *output_string(const char *text);

/* One fabric, as recorded and as the kernel has it: {"fabric", "file", "state"} and the arrays of
 * the sections (of enum output_section), "networks" with "uplinks". */
json_t *output_show(const struct record *record, const struct kernel_state *state,
		    unsigned int sections);
/* One of the list of fabrics: {"fabric", "file", "state", "network_count", "namespace_count"}. */
json_t *output_summary(const struct record *record, const struct kernel_state *state);
/* Counters of one fabric, with every key of "nsroute help stats". */
json_t *output_stats(const struct record *record, const struct kernel_state *state);
/* The same tree with each counter as its growth a second between two of them; gauges
 * (flows, ports) stay as they are, and what is new in "after" has no growth yet. */
json_t *output_rates(const json_t *before, const json_t *after, double seconds);

/* The model of several fabrics is the model itself when there is one, else {"fabrics": [...]}.
 * Takes the reference of an array. */
json_t *output_one_or_many(json_t *fabrics);

/* Lists of single steps: {"namespaces"}, {"links"}, {"bridges"}, {"addresses"}, {"routes"} of one
 * namespace; name NULL: of all interfaces. owner_of: the object's keys "owner" ("fabric",
 * "nsroute", "other") and "fabric", by its mark. */
void output_owner(json_t *object, const char *alias);
json_t *output_links(const struct state_namespace *namespace, const char *name);
json_t *output_bridges(const struct state_namespace *namespace, const char *name);
json_t *output_addresses(const struct state_namespace *namespace, const char *name);
json_t *output_routes(const struct state_namespace *namespace, const char *name);
/* Any of them as a table. */
void output_list_text(FILE *out, const json_t *list, bool color);

void output_show_text(FILE *out, const json_t *fabric, bool color);
void output_summaries_text(FILE *out, const json_t *fabrics, bool color);
void output_stats_text(FILE *out, const json_t *fabric, bool color);
void output_doctor_text(FILE *out, const json_t *result, bool color);
/* What a drop reason means, by its printed name; "" when unknown. */
const char *output_drop_meaning(const char *reason);
/* The printed name of enum nsr_drop_reason; NULL: there is none. */
const char *output_drop_reason(unsigned int reason);

#endif
