/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench_output - the result as a JSON tree, and as tables laid out from that tree.
 */
#ifndef NSROUTE_BENCH_OUTPUT_H
#define NSROUTE_BENCH_OUTPUT_H

#include <jansson.h>
#include <stdio.h>

#include "bench.h"

/* With every key of "nsroute help bench"; the caller owns it. */
json_t *bench_output(const struct bench_result *result);
void bench_output_text(FILE *out, const json_t *tree, bool color);

#endif
