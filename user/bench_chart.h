/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench_chart - the result as one SVG: a panel a test, a bar a path.
 */
#ifndef NSROUTE_BENCH_CHART_H
#define NSROUTE_BENCH_CHART_H

#include <jansson.h>
#include <stdio.h>

/* Of the tree that bench_output() makes. Self-contained: no script, no style or font from
 * elsewhere. */
void bench_chart(FILE *out, const json_t *tree);

#endif
