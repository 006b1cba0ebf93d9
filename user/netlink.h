/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * netlink - one NETLINK_ROUTE socket in one network namespace, and a batch of requests on it.
 *
 * A socket keeps the namespace it was opened in, so the thread visits the namespace for a moment
 * and everything after that happens from outside. Builders (link.h, address.h, route.h,
 * neighbour.h, qdisc.h) only append a request to the batch; netlink_flush() sends all of them and
 * collects one result a request. The kernel goes on with the next request when one fails, which is
 * why undoing needs every result and not only the first failure.
 *
 * Each request carries the words for its failure ("create bridge 'br0'"). Builders never fail: a
 * request that finds no memory is remembered, and the flush then sends nothing and says -ENOMEM.
 * Descriptors given to builders (namespaces, programs) must stay open until the flush.
 */
#ifndef NSROUTE_NETLINK_H
#define NSROUTE_NETLINK_H

#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct netlink;

/* Opens in the namespace of netns_fd, or in that of the calling thread when it is -1. The thread is
 * back in its own namespace on return. */
int netlink_open(struct netlink **ret, int netns_fd, struct error *err);
/* As netns_cookie(), of the namespace that the socket is in. */
int netlink_cookie(const struct netlink *nl, uint64_t *ret_cookie, struct error *err);
/* Requests that were not flushed are forgotten. NULL is fine. */
void netlink_close(struct netlink *nl);

/* ---- Batch. */

/* Requests in the batch, which is the number of results that the next flush gives. */
size_t netlink_pending(const struct netlink *nl);
/* The request queued last may fail with this code (a negative errno), e.g. -EEXIST, -ENOENT: its
 * result says so, the flush does not count it as a failure. At most two codes a request. */
void netlink_tolerate(struct netlink *nl, int code);
/* Sends the batch and empties it. results (may be NULL) gets 0 or a negative errno for each request
 * in the order of queueing. Returns 0, or the code of the first failure that is not tolerated, with
 * its words and the kernel's in *err; the requests after it have been tried all the same. When the
 * socket itself fails, the requests that were not answered have the socket's error as result. */
int netlink_flush(struct netlink *nl, int *results, struct error *err);

/* ---- For the builders. */

#define NETLINK_REQUEST_MAX 1024 /* bytes of one request: none of ours comes near */
#define NETLINK_TEXT_MAX    160  /* bytes of its description, cut when longer */

/* Appends a request with a zeroed family header of header_size bytes (mnl_nlmsg_get_payload() of
 * the result); NLM_F_REQUEST and NLM_F_ACK are added to flags. The caller puts its attributes
 * before the next call. The description completes "cannot ...". Never NULL. */
struct nlmsghdr *netlink_queue(struct netlink *nl, uint16_t type, uint16_t flags,
			       size_t header_size, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* A string without terminator (the kernel goes by the length), cut where it is longer than any that
 * the kernel takes, so that the kernel is who refuses it. */
void netlink_put_string(struct nlmsghdr *message, uint16_t type, const char *string);

/* Called with each message of an answer; request is the request's place in the batch (0 for dumps).
 * Not 0 ends the reading with that code, and the callback has set *err if it has one. */
typedef int (*netlink_callback)(const struct nlmsghdr *message, size_t request, void *context);

/* netlink_flush() for requests that are answered with data. */
int netlink_flush_answers(struct netlink *nl, int *results, netlink_callback callback,
			  void *context, struct error *err);
/* Asks for a dump and calls back for each message, after the whole of it has arrived: one that the
 * kernel marks as inconsistent, or that did not fit, is asked for again first, and is -EAGAIN when
 * it stays so. header is the family header, with what to filter by; what completes "cannot ...". */
int netlink_dump(struct netlink *nl, uint16_t type, const void *header, size_t header_size,
		 const char *what, netlink_callback callback, void *context, struct error *err);

/* For dumps that the kernel does not mark as inconsistent: those until netlink_unwatch() are asked
 * for again when a message to the group (RTNLGRP_...) came meanwhile; where they come without end,
 * for a second, and then taken as they are. No request is flushed in between. */
int netlink_watch(struct netlink *nl, int group, struct error *err);
void netlink_unwatch(struct netlink *nl);

#endif
