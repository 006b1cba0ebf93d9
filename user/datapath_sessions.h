/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * datapath_sessions - what is masqueraded at this moment: told one session at a time, and ended.
 */
#ifndef NSROUTE_DATAPATH_SESSIONS_H
#define NSROUTE_DATAPATH_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "datapath.h"
#include "error.h"
#include "nsroute_abi.h"

/* Called for each session that is alive, which lives until it returns; left_s is how long the
 * session lasts when nothing more is sent. Not 0: enough, no more is handed over. */
typedef int (*datapath_session)(const struct nsr_session *session, uint32_t left_s, void *argument);

typedef int (*datapath_session6)(const struct nsr_session6 *session, uint32_t left_s,
				 void *argument);

/* Hands over the sessions that are selected, in no order. One that begins or ends meanwhile may be
 * among them or not; of none is a part of another shown. */
int datapath_sessions(const struct datapath *datapath, const struct nsr_selection *selection,
		      datapath_session told, void *argument, struct error *err);
int datapath_sessions6(const struct datapath *datapath, const struct nsr_selection6 *selection,
		       datapath_session6 told, void *argument, struct error *err);
/* Ends them; others are not touched. *ret_ended is how many, also of those whose time was over and
 * that nobody had looked up since. */
int datapath_sessions_end(const struct datapath *datapath, const struct nsr_selection *selection,
			  uint64_t *ret_ended, struct error *err);
int datapath_sessions_end6(const struct datapath *datapath, const struct nsr_selection6 *selection,
			   uint64_t *ret_ended, struct error *err);

/* The uplink with this number: its ifindex; 0: there is none. And the other way round: *ret is its
 * number; false: it is no uplink. */
uint32_t datapath_uplink_of(const struct datapath *datapath, uint32_t number);
bool datapath_uplink_number(const struct datapath *datapath, uint32_t ifindex, uint32_t *ret);

#endif
