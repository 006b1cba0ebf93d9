/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * address - addresses of links.
 */
#ifndef NSROUTE_ADDRESS_H
#define NSROUTE_ADDRESS_H

#include <stddef.h>

#include "arena.h"
#include "error.h"
#include "kernel_state.h"
#include "netlink.h"

/* flags of the address: IFA_F_NODAD (IPv6: usable at once, no duplicate detection) and
 * IFA_F_NOPREFIXROUTE have a meaning here, and protocol says who made it. link names the link in
 * messages. */
void address_add(struct netlink *nl, const struct state_address *address, const char *link);
void address_delete(struct netlink *nl, const struct state_address *address, const char *link);

/* All addresses of the namespace, both families. */
int address_read(struct netlink *nl, struct arena *arena, struct state_address **ret_addresses,
		 size_t *ret_count, struct error *err);

#endif
