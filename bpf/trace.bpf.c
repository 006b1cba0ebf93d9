/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trace.bpf.c - the programs of nsroute.bpf.c once more, for "nsroute trace": the same steps, which
 * tell what they find and change nothing (trace.h). They run by BPF_PROG_RUN only, on the maps of
 * the datapath, and sit at no hook.
 */
#define NSR_TRACE

#include "nsroute.bpf.c"
#include "trace_nat.h"

_Static_assert(NSR_FIB_KERNEL == FIB_KERNEL && NSR_FIB_UPLINK == FIB_UPLINK &&
		       NSR_FIB_UPLINK_KERNEL == FIB_UPLINK_KERNEL &&
		       NSR_FIB_ELSEWHERE == FIB_ELSEWHERE,
	       "told as they are");
_Static_assert(NSR_INBOUND_HOST == NAT_INBOUND_HOST && NSR_INBOUND_SESSION == NAT_INBOUND_SESSION &&
		       NSR_INBOUND_HELD == NAT_INBOUND_HELD &&
		       NSR_INBOUND_REFUSED == NAT_INBOUND_REFUSED &&
		       NSR_INBOUND_LIMITED == NAT_INBOUND_LIMITED &&
		       NSR_INBOUND_FULL == NAT_INBOUND_FULL &&
		       NSR_INBOUND_BUSY == NAT_INBOUND_BUSY &&
		       NSR_INBOUND_ROUTED == NAT_INBOUND_ROUTED,
	       "told as they are");
