/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * plan_publish - ports of namespaces that are reached at the uplink's address. For plan*.c only,
 * but for the names in the record.
 */
#ifndef NSROUTE_PLAN_PUBLISH_H
#define NSROUTE_PLAN_PUBLISH_H

#include "plan_builder.h"
#include "plan_extra.h"

#define PUBLISH_TEXT_MAX  96 /* of the name */
#define PUBLISH_VALUE_MAX 64

/* "UPLINK/tcp/9000-9099", the name in the record, and "192.168.15.11:9000", its value; of IPv6
 * "UPLINK/tcp6/9000-9099" and "[fd00:15::11]:9000"; on another than the uplink's first address
 * "UPLINK/tcp/9000@203.0.113.2". Together they are all that there is to know of
 * one. */
char *plan_publish_name(const struct operation *op, char buffer[PUBLISH_TEXT_MAX]);
char *plan_publish_value(const struct operation *op, char buffer[PUBLISH_VALUE_MAX]);
/* The other way round; the strings of *ret are the arena's. False: it says something else. */
bool plan_publish_read(const struct record_entry *entry, struct arena *arena,
		       struct operation *ret);

/* Whether each uplink has the addresses that are to be published on, no port is there twice, and
 * the loopback interface has room for our program. */
int check_publications(const struct builder *builder, struct error *err);
void want_publishes(struct builder *builder);

bool publish_missing(const struct view *view, struct operation *op);
/* -EEXIST when another fabric has one of the ports. */
int check_publish_free(const struct view *view, const struct operation *op, struct error *err);

/* Those that are not wanted any more; before others are made, which may have the same ports. */
void plan_extra_publishes(struct extra *extra);

#endif
