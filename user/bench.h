/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench - what the parts of "nsroute bench" share: the paths, the tests, a place where a path is
 * built, a measurement, and the result.
 *
 * A path leads from one network namespace, the client's, to another, the server's; both call the
 * interface eth0. Every figure is a ratio to the direct veth, measured right before and after.
 */
#ifndef NSROUTE_BENCH_USER_H
#define NSROUTE_BENCH_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench_stats.h"

enum bench_path {
	BENCH_DIRECT, /* the ceiling, and the unit of every ratio: always measured */
	BENCH_SWITCHED,
	BENCH_ROUTED,
	BENCH_CABLES,
	BENCH_MASQUERADED,
	BENCH_BIG_TCP,
	BENCH_REDIRECT_PEER,
	BENCH_REDIRECT_NEIGH,
	BENCH_BRIDGE,
	BENCH_BRIDGE_NETFILTER,
	BENCH_ROUTING,
	BENCH_IPTABLES,
	BENCH_NFT,
	BENCH_FLOWTABLE,
	BENCH_NETKIT,
	BENCH_IPVLAN,
	BENCH_MACVLAN,
	BENCH_OPENVSWITCH,
	BENCH_PATHS
};

enum bench_kind { BENCH_CEILING, BENCH_OURS, BENCH_BARE, BENCH_PEER };

struct bench_path_info {
	const char *name;
	const char *description;
	enum bench_kind kind;
};

enum bench_test {
	BENCH_TCP_RR,
	BENCH_UDP_RR,
	BENCH_TCP_CRR,
	BENCH_STREAM,
	BENCH_UDP_SMALL,
	BENCH_FRAMES,
	BENCH_FRAMES_XDP,
	BENCH_FLOWS_1K,
	BENCH_FLOWS_128K,
	BENCH_FLOWS_1M,
	BENCH_HOSTS_16,
	BENCH_HOSTS_16K,
	BENCH_TESTS
};

struct bench_test_info {
	const char *name;
	const char *unit;
	bool latency; /* has percentiles: one lap is one transaction */
	bool frames;  /* of the generator, not of sockets */
	/* Not 0: only when asked for by name; frames of so many flows, or to so many addresses. */
	unsigned int flows;
	unsigned int hosts;
};

extern const struct bench_path_info bench_paths[BENCH_PATHS];
extern const struct bench_test_info bench_tests[BENCH_TESTS];

#define BENCH_NAME_MAX   64
#define BENCH_REASON_MAX 256
#define BENCH_INTERFACE  "eth0"     /* of the client and the server */
#define BENCH_FIRST_HOST 0x0a4e0100 /* 10.78.1.0: addresses that no namespace has */

/* A path that was built, or why not. */
struct bench_place {
	enum bench_path path;
	bool built;
	char reason[BENCH_REASON_MAX]; /* not built: why */
	char host[BENCH_NAME_MAX];     /* namespaces; host: what lies between, "" when nothing */
	char client[BENCH_NAME_MAX];
	char server[BENCH_NAME_MAX];
	const char *server_address;       /* IPv4 */
	const char *next_hop;             /* of the client towards it */
	char differs[BENCH_REASON_MAX];   /* how the ends are unlike those of the direct veth */
	char no_frames[BENCH_REASON_MAX]; /* why the generator cannot be used; "" when it can */
};

/* One measurement. */
struct bench_sample {
	uint64_t units; /* that arrived */
	uint64_t lost;
	double seconds;
	struct bench_histogram laps;    /* of tests with latency */
	char failure[BENCH_REASON_MAX]; /* "" when it went well */
};

/* All measurements of one test on one path. */
struct bench_cell {
	double *ratios; /* one a round that was good */
	double *rates;
	size_t count;
	uint64_t units; /* that arrived in all rounds */
	uint64_t lost;
	struct bench_histogram laps;
	char note[BENCH_REASON_MAX]; /* why there is no figure */
};

struct bench_requirement {
	enum bench_path path;
	enum bench_test test;
	double ratio;
};

#define BENCH_REQUIREMENTS_MAX 64
#define BENCH_ENOUGH_ROUNDS    7 /* fewer prove nothing that is required */

struct bench_options {
	bool paths[BENCH_PATHS];
	bool paths_chosen; /* by name: one that cannot be built is an error */
	bool tests[BENCH_TESTS];
	bool quick;
	unsigned int rounds;
	double seconds; /* of one measurement */
	int cpu;        /* the server's */
	int client_cpu;
	const char *svg; /* file for the chart; NULL: none */
	struct bench_requirement requirements[BENCH_REQUIREMENTS_MAX];
	size_t requirements_count;
};

struct bench_counters {
	uint64_t bad_checksums;
	uint64_t retransmitted;
};

struct bench_result {
	const struct bench_options *options;
	struct bench_place places[BENCH_PATHS];
	struct bench_cell cells[BENCH_PATHS][BENCH_TESTS];
	struct bench_counters counters[BENCH_PATHS];
	bool fabric;         /* nsroute's was built */
	uint64_t fast, slow; /* packets of its ports by the fast path, and by the kernel */
	uint64_t repeated;   /* measurements thrown away because the direct veth moved */
	uint64_t missing;    /* that did not come to rest, or for which no time was left */
	char kernel[BENCH_NAME_MAX];
};

/* Whether what is required is reached, by enough good rounds. */
bool bench_met(const struct bench_result *result, const struct bench_requirement *requirement);
/* Lost or damaged packets make a figure void. The generator has no feedback: of its frames a path
 * may lose a tenth, and its rate is that of the frames that arrive. */
bool bench_void(const struct bench_result *result, enum bench_path path, enum bench_test test);

#endif
