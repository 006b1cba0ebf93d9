/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tables that change while packets look at them, by programs that take their time between finding
 * an entry and reading it (meetings.h): a packet goes to whom its address belongs, or nowhere, and
 * never to whoever has been given that piece of memory next.
 */
#include "lab.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "meetings_data.h"

#define SECONDS   3
#define GIVE_UP_S 60 /* on a machine that has other work */
#define OTHER_IP  "192.168.16.77"

struct stream {
	struct lab *lab;
	struct frame frame; /* to GREEN_IP */
	atomic_uint right, nowhere, wrong;
	atomic_bool done;
};

static void *send_all_the_time(void *argument)
{
	struct stream *stream = argument;
	struct frame out;

	while (!atomic_load(&stream->done)) {
		lab_run(stream->lab, DATAPATH_PORT_IN, stream->lab->port[RED], &stream->frame,
			&out);
		if (!memcmp(frame_eth(&out)->h_dest, mac_green, 6))
			atomic_fetch_add(&stream->right, 1);
		else if (!memcmp(frame_eth(&out)->h_dest, mac_plain, 6))
			atomic_fetch_add(&stream->wrong, 1);
		else
			atomic_fetch_add(&stream->nowhere, 1);
	}
	return NULL;
}

static void begin(struct stream *stream, struct lab *lab, pthread_t *ret_thread)
{
	struct meetings slow = {.delay = MEETINGS_DELAY_MAX};

	memset(stream, 0, sizeof(*stream));
	stream->lab = lab;
	FRAME(&stream->frame, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = GREEN_IP);
	meetings_set(lab, &slow);
	assert_int_equal(pthread_create(ret_thread, NULL, send_all_the_time, stream), 0);
}

static void end(struct stream *stream, pthread_t thread)
{
	struct meetings none = {0};

	atomic_store(&stream->done, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	meetings_set(stream->lab, &none);
	assert_int_equal(stream->wrong, 0);
	assert_true(stream->right > 0);
}

static bool later_than(const struct timespec *since, int seconds)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - since->tv_sec >= seconds;
}

/* One endpoint goes, and another one comes. */
static void an_endpoint_that_goes(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint green = lab_endpoint(lab, GREEN), plain = lab_endpoint(lab, PLAIN);
	struct ip_address address = lab_ip(GREEN_IP), other = lab_ip(OTHER_IP);
	struct timespec since;
	struct stream stream;
	pthread_t thread;

	begin(&stream, lab, &thread);
	clock_gettime(CLOCK_MONOTONIC, &since);
	while (!later_than(&since, SECONDS) ||
	       (!atomic_load(&stream.right) && !later_than(&since, GIVE_UP_S))) {
		assert_int_equal(datapath_host_delete(lab->datapath, &address, &lab->err), 0);
		lab_host_set(lab, OTHER_IP, &plain);
		lab_host_set(lab, GREEN_IP, &green);
		assert_int_equal(datapath_host_delete(lab->datapath, &other, &lab->err), 0);
	}
	end(&stream, thread);
}

/* One is entered anew, which takes another element, and then another one. */
static void an_endpoint_that_changes(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint green = lab_endpoint(lab, GREEN), plain = lab_endpoint(lab, PLAIN);
	struct timespec since;
	struct stream stream;
	pthread_t thread;

	lab_host_set(lab, OTHER_IP, &plain);
	begin(&stream, lab, &thread);
	clock_gettime(CLOCK_MONOTONIC, &since);
	while (!later_than(&since, SECONDS)) {
		lab_host_set(lab, GREEN_IP, &green);
		lab_host_set(lab, OTHER_IP, &plain);
	}
	end(&stream, thread);
	assert_int_equal(stream.nowhere, 0); /* it was there at every instant */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(an_endpoint_that_goes),
		LAB_TEST(an_endpoint_that_changes),
	};

	return LAB_MAIN(tests);
}
