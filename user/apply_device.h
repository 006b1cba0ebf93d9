/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * apply_device - interfaces of the host moved into namespaces, and given back. For apply*.c only.
 */
#ifndef NSROUTE_APPLY_DEVICE_H
#define NSROUTE_APPLY_DEVICE_H

#include "apply_run.h"

/* Records what it has, marks it, moves it. On failure it is as it was; the caller forgets the
 * record. Undoing a return_device(), it also gets again what it had in the namespace. */
int take_device(struct runner *runner, const struct operation *operation, struct error *err);
/* Moves it back and gives it what the record has kept. *outcome becomes OUTCOME_PARTLY once it has
 * moved; what fails then is tried again by the next plan, for the mark stays. */
int return_device(struct runner *runner, const struct operation *operation, enum outcome *outcome,
		  struct error *err);
/* -EBUSY when a device that this plan could not give back is in the namespace: deleting that would
 * destroy it, or send it where nobody looks for it. */
int check_no_device(const struct runner *runner, const char *namespace, struct error *err);

#endif
