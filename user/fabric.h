/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * fabric - one call that reads all that plan, show and stats have to know of a fabric.
 */
#ifndef NSROUTE_FABRIC_H
#define NSROUTE_FABRIC_H

#include <stdbool.h>
#include <stddef.h>

#include "arena.h"
#include "error.h"
#include "kernel_state.h"
#include "record.h"
#include "topology.h"

/* Reads the kernel's state for the fabric that the topology describes, the record remembers, or
 * both; either may be NULL. What the file leaves to us and is there already stays as it is
 * (plan_keep.h). host_fd is a descriptor of the host namespace. The result has the
 * namespaces that either names, the sysctls that a plan may change, the datapath when there is one,
 * and the records of the other fabrics of this host namespace; neighbours only with a topology, and
 * of a namespace only its gateways. Memory is the arena's. */
int fabric_observe(struct topology *topology, const struct record *record, int host_fd,
		   struct arena *arena, struct kernel_state **ret_state, struct error *err);
/* As much of it as plan_removal() needs. */
int fabric_observe_removal(const struct record *record, int host_fd, struct arena *arena,
			   struct kernel_state **ret_state, struct error *err);

/* The same for single steps: the namespaces with these names, and the records of all fabrics, but
 * neither neighbours, sysctls nor the datapath; links_only: no addresses and routes either. */
int fabric_observe_named(const char *const *namespaces, size_t count, bool links_only, int host_fd,
			 struct arena *arena, struct kernel_state **ret_state, struct error *err);

#endif
