/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench_stats - medians, quartiles, and a histogram of durations for percentiles.
 */
#ifndef NSROUTE_BENCH_STATS_H
#define NSROUTE_BENCH_STATS_H

#include <stddef.h>
#include <stdint.h>

struct bench_summary {
	double median;
	double low; /* quartiles */
	double high;
};

/* Of at least one value; the array is sorted by it. */
struct bench_summary bench_summarize(double *values, size_t count);

/* Buckets are 1/64 of a power of two wide: a percentile is right to 1.6 %. */
#define BENCH_HISTOGRAM_BITS    6
#define BENCH_HISTOGRAM_BUCKETS ((40 - BENCH_HISTOGRAM_BITS) << BENCH_HISTOGRAM_BITS)

struct bench_histogram {
	uint64_t count;
	uint32_t buckets[BENCH_HISTOGRAM_BUCKETS];
};

/* What is longer than the last bucket (nine minutes) counts in it. */
void bench_histogram_add(struct bench_histogram *histogram, uint64_t ns);
void bench_histogram_merge(struct bench_histogram *into, const struct bench_histogram *from);
/* In microseconds, the middle of its bucket; quantile from 0 to 1. 0 when it is empty. */
double bench_histogram_us(const struct bench_histogram *histogram, double quantile);

#endif
