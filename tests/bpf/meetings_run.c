/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "meetings_run.h"

#include <bpf/bpf.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "meetings_data.h"

#define GIVE_UP_S 60 /* for what has to happen some time, */
#define CROWDS    20 /* ... unless so few crowds have been by then: the machine is emulated */

static const char *meeting_text(enum meeting meeting)
{
	static const char *const texts[] = {
#define X(name, text) text,
		MEETINGS(X)
#undef X
	};

	return texts[meeting];
}

static bool all_met(const struct meetings *meetings, uint32_t wanted)
{
	for (uint32_t i = 0; i < MEETINGS_END; i++)
		if (wanted >> i & 1 && !meetings->met[i])
			return false;
	return true;
}

/* Packets that lost against another CPU's, or that another inside host was faster than. */
static uint64_t losses(struct lab *lab)
{
	struct nsr_drops drops;

	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_uplink_drops],
					     &lab->uplink_number[UP0], &drops),
			 0);
	return drops.packets[NSR_DROP_NAT_CONTENTION] + drops.packets[NSR_DROP_NAT_AMBIGUOUS];
}

/* One crowd, with delays of up to so many steps. Adds to what has been met. */
static void run_crowd(struct lab *lab, const struct meeting_of *of, struct meetings *sum,
		      uint32_t delay)
{
	static const struct meetings none;
	struct meetings meetings = {.fail_every = of->fail_every, .delay = delay};
	struct crowd *crowd = crowd_gather(lab);

	crowd->ipv6 = of->ipv6;
	crowd->again = of->again;
	if (of->prepare)
		of->prepare(crowd);
	meetings_set(lab, &meetings);
	crowd_run_beside(crowd, of->body, of->beside);
	meetings = meetings_get(lab);
	meetings_set(lab, &none);
	meetings.met[MEETING_INBOUND_BUSY] = lab_uplink_counters(lab, UP0).rx_dropped;
	for (uint32_t i = 0; i < MEETINGS_END; i++)
		sum->met[i] += meetings.met[i];
	sum->failed += meetings.failed;
	if (!of->again)
		assert_int_equal(crowd->shared, 0);
	/* Who meets a winner that is held up half-way may lose three times, and says so. */
	if (!of->beside && !of->lossy && !of->fail_every)
		assert_int_equal(crowd->dropped, losses(lab));
	if (of->judge)
		of->judge(crowd);
	crowd_expect_even_of(crowd);
	free(crowd);
}

void meet(void **state, const struct meeting_of *of)
{
	struct lab *lab = lab_of(state);
	struct meetings sum = {0};
	time_t end = time(NULL) + GIVE_UP_S;
	uint32_t delay = 64, crowds = 0, i;

	do {
		lab_set_up(state); /* the ports of the crowd before this one are cooling down */
		run_crowd(lab, of, &sum, delay);
		crowds++;
		delay = delay < MEETINGS_DELAY_MAX ? 2 * delay : 64;
	} while (!all_met(&sum, of->wanted) && time(NULL) < end);
	for (i = 0; i < MEETINGS_END; i++)
		if (sum.met[i] || of->wanted >> i & 1)
			print_message("# %llu times%s: %s\n", sum.met[i],
				      of->wanted >> i & 1 ? ", as wanted" : "", meeting_text(i));
	print_message("# %u crowds\n", crowds);
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1 && crowds >= CROWDS)
		assert_true(all_met(&sum, of->wanted));
	if (of->fail_every)
		assert_true(sum.failed);
}
