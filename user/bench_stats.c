/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: below 64 ns a bucket is one nanosecond; above, the position of the highest bit
 * chooses a group of 64 buckets and the six bits after it the bucket. So all durations up to
 * minutes fit in a few kilobytes, and adding one takes two shifts.
 */
#include "bench_stats.h"

#include <assert.h>
#include <stdlib.h>

static int compare_doubles(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

struct bench_summary bench_summarize(double *values, size_t count)
{
	size_t quartile = (count + 3) / 4; /* from 1 */

	assert(count > 0);
	qsort(values, count, sizeof(*values), compare_doubles);
	return (struct bench_summary){
		.median = (values[(count - 1) / 2] + values[count / 2]) / 2,
		.low = values[quartile - 1],
		.high = values[count - quartile],
	};
}

#define GROUP (1u << BENCH_HISTOGRAM_BITS)

static size_t bucket_of(uint64_t ns)
{
	unsigned int shift;
	size_t bucket;

	if (ns < GROUP)
		return ns;
	shift = 63 - (unsigned int)__builtin_clzll(ns) - BENCH_HISTOGRAM_BITS;
	bucket = ((size_t)(shift + 1) << BENCH_HISTOGRAM_BITS) + ((ns >> shift) - GROUP);
	return bucket < BENCH_HISTOGRAM_BUCKETS ? bucket : BENCH_HISTOGRAM_BUCKETS - 1;
}

/* Half-way between the shortest duration of the bucket and that of the next. */
static double middle_of(size_t bucket)
{
	size_t group = bucket >> BENCH_HISTOGRAM_BITS;
	uint64_t width, start;

	if (group == 0)
		return (double)bucket;
	width = 1ull << (group - 1);
	start = (GROUP + (bucket & (GROUP - 1))) * width;
	return (double)start + (double)width / 2;
}

void bench_histogram_add(struct bench_histogram *histogram, uint64_t ns)
{
	histogram->buckets[bucket_of(ns)]++;
	histogram->count++;
}

void bench_histogram_merge(struct bench_histogram *into, const struct bench_histogram *from)
{
	for (size_t i = 0; i < BENCH_HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
	into->count += from->count;
}

double bench_histogram_us(const struct bench_histogram *histogram, double quantile)
{
	double left = quantile * (double)histogram->count;
	size_t bucket = 0;

	if (histogram->count == 0)
		return 0;
	while (bucket < BENCH_HISTOGRAM_BUCKETS - 1 && (left -= histogram->buckets[bucket]) > 0)
		bucket++;
	return middle_of(bucket) / 1000;
}
