/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * apply_exchange - puts this binary's programs in the place of another's. For apply*.c only.
 */
#ifndef NSROUTE_APPLY_EXCHANGE_H
#define NSROUTE_APPLY_EXCHANGE_H

#include "apply_run.h"

/* DATAPATH_EXCHANGE: of the whole host namespace, all fabrics. With op->revert back to those that
 * were there before. *outcome is OUTCOME_PARTLY from where a failure leaves something to revert. */
int exchange_programs(struct runner *runner, const struct operation *op, enum outcome *outcome,
		      struct error *err);

/* PROGRAMS_ADD, PROGRAMS_REMOVE. */
int run_programs(struct runner *runner, const struct operation *op, struct error *err);

/* After all operations of a plan: our programs that were attached before, perhaps those of a
 * datapath that is gone with its tables, are exchanged for those that the filled tables are of.
 * Until here they guarded; none of them is put back when this fails. */
int exchange_left(struct runner *runner, const struct plan *plan, struct error *err);

#endif
