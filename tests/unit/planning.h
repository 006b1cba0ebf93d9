/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * planning - plans for a simulated kernel, for the tests of plans.
 */
#ifndef NSROUTE_TESTS_PLANNING_H
#define NSROUTE_TESTS_PLANNING_H

#include "simulator.h"

#define HEAD "version: 1\nname: lab\n"

/* Scenario 8, with a static route through a namespace, IPv6, and a pair without a bridge. */
extern const char fabric[];

/* cmocka's: the state is a struct simulator. */
int setup(void **state);
int teardown(void **state);

/* Fails the test when the text is not a valid topology. */
struct topology *parse(struct simulator *sim, const char *text);
/* The text with the first occurrence of one piece exchanged. */
const char *edited(struct simulator *sim, const char *text, const char *old, const char *new);

/* What there is to do; fails the test when the plan is refused. */
struct plan *plan_of(struct simulator *sim, struct topology *topology);
struct plan *removal_of(struct simulator *sim);
/* Plans, runs the plan, which it returns, and fails unless there is nothing to do then. */
struct plan *converge(struct simulator *sim, const char *text);

void assert_empty(struct simulator *sim, const struct plan *plan);
/* The host as simulator_new() made it. */
void assert_as_found(struct simulator *sim);

/* The first of a kind, or NULL. */
const struct operation *find(const struct plan *plan, enum operation_kind kind);
size_t count_kind(const struct plan *plan, enum operation_kind kind);

#endif
