/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath_entry - entries of the datapath's tables, set and removed so that a program that has
 * just found one goes on with what it has found, and never with what has come in its place.
 *
 * "what" names the entry in an error: "a port". All return 0 or a negative errno.
 */
#ifndef NSROUTE_DATAPATH_ENTRY_H
#define NSROUTE_DATAPATH_ENTRY_H

#include "datapath_maps.h"

int datapath_put(const struct datapath *datapath, enum datapath_map map, const void *key,
		 const void *value, const char *what, struct error *err);
/* One that is not there is removed already. */
int datapath_drop(const struct datapath *datapath, enum datapath_map map, const void *key,
		  const char *what, struct error *err);
/* Returns when every program that ran before has ended: after some 15 ms. */
int datapath_wait(struct error *err);

#endif
