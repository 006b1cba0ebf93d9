/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trace.h - the hooks of "nsroute trace" in the steps.
 *
 * The steps are built twice. In the programs that packets meet nothing of this is there: the macros
 * are empty. With NSR_TRACE (trace.bpf.c) TELL() writes what a step has found into a buffer of the
 * object's own, and INSTEAD() ends a function that would change something: whatever adds to a
 * counter, makes, keeps or ends a session, sends an event or redirects begins with it. A function
 * that the verifier checks on its own has to use its arguments even so: clang would not pass them.
 * tests/bpf/test_trace.c looks at the programs for what would have an effect and was forgotten.
 */
#ifndef NSROUTE_BPF_TRACE_H
#define NSROUTE_BPF_TRACE_H

#include "common.h"

#ifdef NSR_TRACE

#include "nsroute_trace.h"

struct nat_request;
struct nat_request6;

struct nsr_trace trace;

/* Also where the verifier looks at a step on its own: buffer and number are bounded here. */
NSR_STEP int tell(u32 what, u64 a, u64 b, u64 c)
{
	u32 number = trace.count++;
	struct nsr_told *told;

	if (number >= NSR_TRACE_MAX)
		return 0;
	barrier_var(number);
	told = &trace.told[number & (NSR_TRACE_MAX - 1)];
	told->what = what;
	told->a = a;
	told->b = b;
	told->c = c;
	return 0;
}

/* In place of session_open_or_join(). */
int trace_open(struct __sk_buff *skb, struct nat_request *request);
int trace_open6(struct __sk_buff *skb, struct nat_request6 *request);
/* In place of what other_open() does for a session that is not refused. */
int trace_open_other(int refused, u32 slot);
int trace_open_other6(int refused, u32 slot);

#define TELL(what, a, b, c) tell(NSR_TELLS_##what, (u64)(a), (u64)(b), (u64)(c))
#define TELL_ENDPOINT(what, to) \
	TELL(what, (to) ? (to)->ifindex : 0, (to) ? (to)->mtu : 0, (to) ? (to)->network : 0)
#define INSTEAD(...) return __VA_ARGS__

/* Told when it is so. */
#define TELL_UNFIT(why, is)                                 \
	do {                                                \
		if (is)                                     \
			TELL(UNFIT, NSR_UNFIT_##why, 0, 0); \
	} while (0)
#define TELL_UNFIT_HEADER(p, ipv6, flags)                                                       \
	do {                                                                                    \
		TELL_UNFIT(TTL, ((ipv6) ? (p)->ip6->hop_limit : (p)->ip4->ttl) <= 1);           \
		TELL_UNFIT(OPTIONS,                                                             \
			   (ipv6) ? (p)->ip6->nexthdr == IPPROTO_HOPOPTS : (p)->ip4->ihl != 5); \
		TELL_UNFIT(NOT_FAST, !((flags)&NSR_PORT_FAST));                                 \
	} while (0)
#define TELL_UNFIT_ENDPOINT(skb, to, back)                                          \
	do {                                                                        \
		if (!(to))                                                          \
			break;                                                      \
		TELL_UNFIT(BACK, back);                                             \
		TELL_UNFIT(NOT_FAST, !((to)->flags & NSR_PORT_FAST));               \
		TELL_UNFIT(TOO_LARGE, !packet_fits(skb, (to)->ifindex, (to)->mtu)); \
	} while (0)

#else

#define TELL(what, a, b, c)
#define TELL_ENDPOINT(what, to)
#define TELL_UNFIT(why, is)
#define TELL_UNFIT_HEADER(p, ipv6, flags)
#define TELL_UNFIT_ENDPOINT(skb, to, back)
#define INSTEAD(...)

#endif
#endif
