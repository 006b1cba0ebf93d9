/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * meetings_data - the global data (meetings.h) of programs that are built with it, as the lab has
 * loaded them. Tests of other programs fail.
 */
#ifndef TESTS_BPF_MEETINGS_DATA_H
#define TESTS_BPF_MEETINGS_DATA_H

#include "lab.h"
#include "meetings.h"

struct meetings meetings_get(struct lab *lab);
/* What was counted is 0 again; so only while no program runs. */
void meetings_set(struct lab *lab, const struct meetings *meetings);

#endif
