/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * apply_settings - sysctls and files of namespaces. For apply*.c only.
 */
#ifndef NSROUTE_APPLY_SETTINGS_H
#define NSROUTE_APPLY_SETTINGS_H

#include "apply_run.h"

/* Records what it was, which the plan could not always know; fails, with the old value in place,
 * when the kernel makes something else of the value. */
int set_netns_sysctl(struct runner *runner, const struct operation *operation, struct error *err);
/* Others' ports stay in the set, whenever they were put into it. */
int reserve_ports(struct runner *runner, const struct operation *operation, enum outcome *outcome,
		  struct error *err);
int run_file(struct runner *runner, const struct operation *operation, struct error *err);

#endif
