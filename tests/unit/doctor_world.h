/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * doctor_world - a world made by hand for doctor to judge: a healthy fabric (red and blue on one
 * bridge, an uplink), in which nothing is found until a test breaks something.
 */
#ifndef NSROUTE_TESTS_DOCTOR_WORLD_H
#define NSROUTE_TESTS_DOCTOR_WORLD_H

#include "doctor.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* Everything that a test may change. */
struct world {
	struct arena arena;
	struct doctor_world doctor;
	struct kernel_state state;
	struct state_namespace namespaces[3]; /* red, blue, and one of no fabric */
	struct record record;
	struct record_entry entries[9];
	struct doctor_fabric fabric;
	struct state_port ports[2];
	struct state_uplink uplink;
};

enum { RED, BLUE, OTHER };
enum { LO, ETH0, BRIDGE, RED_END, BLUE_END }; /* the host's links */

struct world *new_world(void);
void free_world(struct world *world);

struct ip_address ip(const char *text);
struct state_link *add_link(struct world *world, struct state_namespace *namespace,
			    const char *name, const char *kind);
struct state_address *add_address(struct world *world, struct state_namespace *namespace,
				  uint32_t ifindex, const char *text);
/* via NULL: a route of the kernel's own. */
struct state_route *add_route(struct world *world, struct state_namespace *namespace,
			      uint32_t ifindex, const char *to, const char *via);
void set_sysctl(struct world *world, struct state_namespace *namespace, const char *key,
		const char *value);

/* The first finding of this check; NULL: there is none. */
const struct doctor_finding *finding_of(const struct world *world, const char *check);
size_t count_status(const struct world *world, enum doctor_status status);
void print_findings(const struct world *world);
/* Judges, and expects this finding and no other; returns it. */
const struct doctor_finding *expect(struct world *world, enum doctor_status status,
				    const char *check, const char *where, const char *mend);

#define HOST     (&world->state.host)
#define SPACE(n) (&world->namespaces[n])

#define TEST(name)                                  \
	static void do_##name(struct world *world); \
	static void test_##name(void **state)       \
	{                                           \
		struct world *world = new_world();  \
                                                    \
		(void)state;                        \
		do_##name(world);                   \
		free_world(world);                  \
	}                                           \
	static void do_##name(struct world *world)

#endif
