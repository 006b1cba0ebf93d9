/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * apply_table - operations as entries of the datapath's tables. For apply*.c only.
 */
#ifndef NSROUTE_APPLY_TABLE_H
#define NSROUTE_APPLY_TABLE_H

#include "apply_run.h"

/* Opens the datapath unless it is open; fresh: see datapath_open(). */
int open_datapath(struct runner *runner, const struct datapath_new *fresh, struct error *err);
int run_table(struct runner *runner, const struct operation *operation, struct error *err);

#endif
