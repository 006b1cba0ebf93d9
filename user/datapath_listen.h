/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath_listen - the packets that a datapath drops, told as they are dropped.
 */
#ifndef NSROUTE_DATAPATH_LISTEN_H
#define NSROUTE_DATAPATH_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "datapath.h"
#include "error.h"
#include "ip.h"
#include "nsroute_abi.h"

struct datapath_listener;

/* Called for each event, which lives until it returns. Not 0: enough, no more is handed over. */
typedef int (*datapath_heard)(const struct nsr_event *event, void *argument);

/* There is one listener in a host namespace, for a ring has one reader: -EBUSY when there is one
 * already. What is returned is held by the descriptor, and given up when it is closed. */
int datapath_listen_claim(uint64_t cookie, int *ret_fd, struct error *err);
/* Whether the datapath that was claimed is still the one of the host namespace. */
bool datapath_listen_holds(int claim);

/* From here on drops for these reasons (a bit each) are told. datapath stays the caller's, and must
 * live as long. */
int datapath_listen(const struct datapath *datapath, uint32_t reasons, datapath_heard heard,
		    void *argument, struct datapath_listener **ret, struct error *err);
/* Hands over what comes, for timeout_ms or until something came or a signal did; to be called once
 * a second at least, for it says that somebody still listens. */
int datapath_listen_wait(struct datapath_listener *listener, int timeout_ms, struct error *err);
/* Drops that were not told since it was last asked, by reason; true when there are any. */
bool datapath_listen_left_out(struct datapath_listener *listener,
			      uint64_t ret_packets[NSR_DROP_SLOTS]);
/* Seconds since it was last asked in which nobody had asked to be told (the process was stopped, or
 * waited for its own reader). */
double datapath_listen_deaf_s(struct datapath_listener *listener);
/* No more is told; hands over what is left. */
void datapath_listen_stop(struct datapath_listener *listener);
void datapath_listen_free(struct datapath_listener *listener);

/* The port (ifindex of the host's end) that an inside address belongs to; 0: none. */
uint32_t datapath_port_of(const struct datapath *datapath, const struct ip_address *ip);

#endif
