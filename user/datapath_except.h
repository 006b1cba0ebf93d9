/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath_except - destinations that a masqueraded prefix reaches untranslated (bpf/except.h).
 */
#ifndef NSROUTE_DATAPATH_EXCEPT_H
#define NSROUTE_DATAPATH_EXCEPT_H

#include <stddef.h>

#include "datapath_maps.h"

/* Those of the prefix of this number are these from now on, at this uplink alone; whatever else has
 * been entered under the number goes first. Returns 0 or a negative errno. */
int datapath_except_set(const struct datapath *datapath, uint16_t slot, uint32_t uplink,
			const struct ip_address *except, size_t count, struct error *err);
/* Adds what there is to the masqueraded prefixes that have been read, in the order of addresses. */
void datapath_except_read(const struct datapath *datapath, struct arena *arena,
			  struct state_datapath *state);

#endif
