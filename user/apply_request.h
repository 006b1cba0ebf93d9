/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * apply_request - operations as netlink requests. For apply*.c only.
 */
#ifndef NSROUTE_APPLY_REQUEST_H
#define NSROUTE_APPLY_REQUEST_H

#include "apply_run.h"

#define REQUESTS_MAX 3 /* of one operation */

/* Appends the operation's requests to the batch of its namespace. The links it names must have been
 * resolved. None when what it deletes has gone with its link. */
int queue_operation(struct runner *runner, struct netlink *nl, const struct operation *operation,
		    struct error *err);
/* Appends what all operations of a run have in common: links that are deleted by number go
 * together. False: nothing. */
bool queue_rest(struct runner *runner, struct netlink *nl, const struct operation *operations,
		size_t count);
/* Takes back, of links that were to be deleted together and could not, what was done to them. */
void queue_spared(struct netlink *nl, const struct operation *operations, size_t count);
/* The programs of a link's hooks: a port's, or an uplink's with or without Ethernet headers, of
 * which the loopback interface is one that has none on the way in (DATAPATH_PROGRAMS). */
struct hook_programs {
	enum datapath_program in, out;
};
struct hook_programs hook_programs(bool port, bool bare, bool loopback);
/* Whether a request of the operation, the first being 0, may end so: it was so already. */
bool is_harmless(const struct operation *operation, size_t request, int code);

#endif
