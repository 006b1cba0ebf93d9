/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * topology_sysctls - sysctls of namespaces against what the rest of the file needs.
 */
#ifndef NSROUTE_TOPOLOGY_SYSCTLS_H
#define NSROUTE_TOPOLOGY_SYSCTLS_H

#include "topology.h"

/* Adds what cannot be together to the list. References must be resolved. */
void topology_check_sysctls(const struct topology *topology, struct error_list *errors);

#endif
