/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the BPF programs keep between packets, run on the host: sets of numbers with threads, and
 * the rules of sessions.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "conntrack.h"
#include "ports.h"

/* ---- ports.h */

#define WORDS  NSR_POOL_WORDS
#define LENGTH NSR_POOL_BITS_WORDS

static u64 *new_set(void)
{
	u64 *words = calloc(LENGTH, sizeof(*words));
	u32 i;

	assert_non_null(words);
	for (i = WORDS / 64; i < 64; i++)
		words[LENGTH - 1] |= 1ull << i; /* summaries that do not exist */
	return words;
}

static void test_lowest_bit(void **state)
{
	u32 i, j;

	(void)state;
	for (i = 0; i < 64; i++) {
		assert_int_equal(lowest_bit(1ull << i), i);
		assert_int_equal(lowest_bit(~0ull << i), i);
		for (j = i; j < 64; j++)
			assert_int_equal(lowest_bit(1ull << i | 1ull << j), i);
	}
}

/* Every number is handed out once, wherever the search starts; then none is left; then all of them
 * again. */
static void test_handed_out_once(void **state)
{
	u8 *owned = calloc(NSR_POOL_PORTS, 1);
	u64 *words = new_set();
	u32 i, number, round;

	(void)state;
	for (round = 0; round < 2; round++) {
		for (i = 0; i < NSR_POOL_PORTS; i++) {
			number = bits_claim_any(words, WORDS, i * 2654435761u >> 16);
			assert_in_range(number, 0, NSR_POOL_PORTS - 1);
			assert_int_equal(owned[number]++, round);
		}
		assert_int_equal(bits_claim_any(words, WORDS, 12345), BITS_NONE);
		assert_false(bits_claim(words, WORDS, 12345));
		for (i = 0; i < NSR_POOL_PORTS; i++)
			bits_release(words, WORDS, i);
	}
	free(words);
	free(owned);
}

/* The last free number is found from everywhere. */
static void test_last_free_number(void **state)
{
	static const u32 last[] = {0, 63, 64, 4095, 4096, 40000, 65535};
	u64 *words = new_set();
	u32 i, start;

	(void)state;
	for (i = 0; i < NSR_POOL_PORTS; i++)
		assert_true(bits_claim(words, WORDS, i));
	for (i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
		for (start = 0; start < NSR_POOL_PORTS; start += 997) {
			bits_release(words, WORDS, last[i]);
			assert_int_equal(bits_claim_any(words, WORDS, start), last[i]);
		}
	}
	free(words);
}

/* A number that is asked for is found by whatever way leads to it; what comes first is its next. */
static void test_next(void **state)
{
	static const u32 left[] = {0, 63, 64, 4095, 4096, 40000, 65535};
	const u32 count = sizeof(left) / sizeof(left[0]);
	u64 *words = new_set();
	u32 i, from;

	(void)state;
	for (i = 0; i < NSR_POOL_PORTS; i++)
		assert_true(bits_claim(words, WORDS, i));
	for (i = 0; i < count; i++)
		bits_release(words, WORDS, left[i]);
	for (i = 0, from = 0; from < NSR_POOL_PORTS; from++) {
		i += from > left[i];
		assert_int_equal(bits_next(words, WORDS, from), left[i]);
	}
	assert_true(bits_claim(words, WORDS, 65535));
	assert_int_equal(bits_next(words, WORDS, 40001), BITS_NONE);
	free(words);
}

/* Each number is a port's; parts are those of a class and parity, in order, and all of them. */
static void test_parts(void **state)
{
	static const u32 wanted[] = {0, 1, 1022, 1023, 1024, 1025, 65534, 65535};
	u32 i, number;

	(void)state;
	for (number = 0; number < NSR_POOL_PORTS; number++)
		assert_int_equal(NSR_POOL_BIT(NSR_POOL_BIT_PORT(number)), number);
	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		u32 all = 0, part;

		for (part = 0; part < PORT_PARTS; part++) {
			struct port_part range = port_part(wanted[i], part);

			for (number = range.first; number < range.end; number++, all++) {
				u32 port = NSR_POOL_BIT_PORT(number);

				assert_int_equal((port < 1024) == (wanted[i] < 1024), part < 2);
				assert_int_equal(port % 2 == wanted[i] % 2, part % 2 == 0);
			}
		}
		assert_int_equal(all, NSR_POOL_PORTS);
	}
}

/* A search begins at each port of the range and part, and at no other, as long as there is one. */
static void test_starts(void **state)
{
	static const u32 ranges[][2] = {{1, 65535},   {1024, 65535}, {1000, 1050}, {1023, 1024},
					{1023, 1023}, {1024, 1024},  {1, 1},       {40001, 40003}};
	u32 i, j, part, random;

	(void)state;
	for (i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		for (part = 0; part < PORT_PARTS; part++) {
			struct port_part range = port_part(2000, part);
			u32 low = ranges[i][0], high = ranges[i][1], starts = 0, ports = 0;
			u8 *seen = calloc(NSR_POOL_PORTS, 1);

			for (random = 0; random < NSR_POOL_PORTS; random++)
				seen[port_start(range, low, high, random)] = 1;
			for (j = range.first; j < range.end; j++) {
				u32 port = NSR_POOL_BIT_PORT(j);

				if (port < low || port > high)
					continue;
				assert_true(seen[j]);
				ports++;
			}
			for (j = 0; j < NSR_POOL_PORTS; j++)
				starts += seen[j];
			assert_int_equal(starts, ports ? ports : 1);
			assert_true(ports || seen[range.first]);
			free(seen);
		}
	}
}

/* The table of sessions is the largest set that there may be. */
static void test_largest_set(void **state)
{
	u64 *words = calloc(NSR_SESSION_BITS_WORDS, sizeof(*words));
	u32 i;

	(void)state;
	assert_non_null(words);
	for (i = 0; i < NSR_SESSION_SET; i++)
		assert_in_range(bits_claim_any(words, NSR_SESSION_WORDS, i * 2654435761u), 0,
				NSR_SESSION_SET - 1);
	assert_int_equal(bits_claim_any(words, NSR_SESSION_WORDS, 0), BITS_NONE);
	for (i = 0; i < NSR_SESSION_BITS_WORDS; i++)
		assert_true(!~words[i]);
	bits_release(words, NSR_SESSION_WORDS, NSR_SESSION_SET - 1);
	assert_int_equal(bits_claim_any(words, NSR_SESSION_WORDS, 0), NSR_SESSION_SET - 1);
	free(words);
}

#define THREADS 4
#define HELD    20000 /* by each thread: 80,000 wanted of 65,536 */
#define ROUNDS  4

struct crowd {
	u64 *words;
	atomic_uchar owned[NSR_POOL_PORTS];
	atomic_uint twice, refused;
};

static void *claim_and_release(void *argument)
{
	struct crowd *crowd = argument;
	u32 *held = malloc(HELD * sizeof(*held)), count, round, i, number;

	for (round = 0; round < ROUNDS; round++) {
		for (count = 0, i = 0; i < HELD; i++) {
			number = bits_claim_any(crowd->words, WORDS, i * 2654435761u >> 16);
			if (number == BITS_NONE) {
				atomic_fetch_add(&crowd->refused, 1);
				continue;
			}
			if (atomic_fetch_add(&crowd->owned[number], 1))
				atomic_fetch_add(&crowd->twice, 1);
			held[count++] = number;
		}
		for (i = 0; i < count; i++) {
			atomic_fetch_sub(&crowd->owned[held[i]], 1);
			bits_release(crowd->words, WORDS, held[i]);
		}
	}
	free(held);
	return NULL;
}

/* Full and emptied by all at once: nothing twice, and afterwards nothing is hidden by a summary. */
static void test_threads(void **state)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));
	pthread_t threads[THREADS];
	u32 i;

	(void)state;
	crowd->words = new_set();
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, claim_and_release, crowd), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(crowd->twice, 0);
	for (i = 0; i < WORDS; i++)
		assert_true(!crowd->words[i]);
	for (i = 0; i < NSR_POOL_PORTS; i++)
		assert_int_not_equal(bits_claim_any(crowd->words, WORDS, 0), BITS_NONE);
	free(crowd->words);
	free(crowd);
}

/* ---- conntrack.h */

static void test_what_a_packet_tells(void **state)
{
	(void)state;
	assert_int_equal(seen_by(true, NSR_NAT_UDP, 0xff), NSR_SEEN_OUT);
	assert_int_equal(seen_by(false, NSR_NAT_ICMP, 0xff), NSR_SEEN_IN);
	assert_int_equal(seen_by(true, NSR_NAT_TCP, TCP_SYN), NSR_SEEN_OUT | NSR_SEEN_OUT_SYN);
	assert_int_equal(seen_by(true, NSR_NAT_TCP, TCP_SYN | TCP_ACK),
			 NSR_SEEN_OUT | NSR_SEEN_OUT_SYN);
	assert_int_equal(seen_by(true, NSR_NAT_TCP, TCP_ACK), NSR_SEEN_OUT | NSR_SEEN_OUT_ACK);
	assert_int_equal(seen_by(false, NSR_NAT_TCP, TCP_SYN | TCP_ACK),
			 NSR_SEEN_IN | NSR_SEEN_IN_SYN);
	assert_int_equal(seen_by(false, NSR_NAT_TCP, TCP_ACK), NSR_SEEN_IN);
	assert_int_equal(seen_by(true, NSR_NAT_TCP, TCP_FIN | TCP_ACK),
			 NSR_SEEN_OUT | NSR_SEEN_OUT_ACK | NSR_SEEN_OUT_FIN);
	assert_int_equal(seen_by(false, NSR_NAT_TCP, TCP_FIN), NSR_SEEN_IN | NSR_SEEN_IN_FIN);
	assert_int_equal(seen_by(false, NSR_NAT_TCP, TCP_RST), NSR_SEEN_IN | NSR_SEEN_RST);
}

static void test_expired_at_the_second(void **state)
{
	const u32 life = NSR_LIFE(60, NSR_SEEN_OUT);
	static const u32 starts[] = {0, 1000, 0x7ffffff0, 0xfffffff0}; /* the clock wraps */
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		assert_false(session_is_expired(life, starts[i], starts[i] + 59));
		assert_true(session_is_expired(life, starts[i], starts[i] + 60));
		/* Refreshed by a CPU whose clock is ahead. */
		assert_false(session_is_expired(life, starts[i], starts[i] - 1));
	}
}

static void test_over(void **state)
{
	(void)state;
	assert_false(session_is_over(NSR_SEEN_OUT_FIN));
	assert_false(session_is_over(NSR_SEEN_IN_FIN));
	assert_true(session_is_over(NSR_SEEN_IN_FIN | NSR_SEEN_OUT_FIN));
	assert_true(session_is_over(NSR_SEEN_RST));
}

static void test_match_is_of_one_generation(void **state)
{
	struct nsr_session session = {
		.flow = {.inside = {.address = 1, .port = 2}, .remote_address = 3},
		.state = 4 * NSR_SESSION_GENERATION | NSR_SESSION_ACTIVE,
		.mapping = 77,
	};
	struct nsr_flow other = session.flow;
	struct session_view view = {0};

	(void)state;
	assert_true(session_matches(&session, session.state, &session.flow, true, &view));
	assert_int_equal(view.mapping, 77);
	assert_false(session_matches(&session, session.state + NSR_SESSION_GENERATION,
				     &session.flow, true, &view));
	other.remote_port = 1;
	assert_false(session_matches(&session, session.state, &other, true, &view));
	session.state = (session.state & ~NSR_SESSION_STATUS) | NSR_SESSION_DYING;
	assert_false(session_matches(&session, session.state, &session.flow, true, &view));
}

static void test_a_syn_starts_anew(void **state)
{
	u32 established = NSR_SEEN_OUT | NSR_SEEN_IN | NSR_SEEN_OUT_ACK;
	u32 syn = NSR_SEEN_OUT | NSR_SEEN_OUT_SYN;

	(void)state;
	/* A stray one changes nothing. */
	assert_int_equal(session_next(established, syn), established | syn);
	assert_int_equal(session_next(established | NSR_SEEN_RST, syn), syn);
	assert_int_equal(session_next(established | NSR_SEEN_OUT_FIN | NSR_SEEN_IN_FIN, syn), syn);
	/* One from outside is not what opens it. */
	assert_int_equal(session_next(established | NSR_SEEN_RST, NSR_SEEN_IN | NSR_SEEN_IN_SYN),
			 established | NSR_SEEN_RST | NSR_SEEN_IN_SYN);
}

/* A reset is believed until the inside sends something else. */
static void test_the_inside_takes_a_reset_back(void **state)
{
	const u32 established = NSR_SEEN_OUT | NSR_SEEN_IN | NSR_SEEN_OUT_ACK;
	const u32 reset = established | NSR_SEEN_RST, ack = NSR_SEEN_OUT | NSR_SEEN_OUT_ACK;
	const u32 fins = NSR_SEEN_OUT_FIN | NSR_SEEN_IN_FIN;

	(void)state;
	assert_int_equal(session_next(reset, ack), established);
	assert_int_equal(session_next(reset, ack | NSR_SEEN_OUT_FIN),
			 established | NSR_SEEN_OUT_FIN);
	assert_int_equal(session_next(reset, ack | NSR_SEEN_RST), reset);
	assert_int_equal(session_next(reset, NSR_SEEN_IN), reset);
	assert_int_equal(session_next(reset, NSR_SEEN_IN | NSR_SEEN_RST), reset);
	/* It was closed all the same. */
	assert_int_equal(session_next(reset | fins, ack), established | fins);
}

/* A packet that found a session, and is late: the record is another session's by now, and looks the
 * same but for its generation. */
static void test_reused_record_is_left_alone(void **state)
{
	const u32 old = 4 * NSR_SESSION_GENERATION | NSR_SESSION_ACTIVE;
	const u32 new = old + NSR_SESSION_GENERATION, life = NSR_LIFE(60, NSR_SEEN_OUT);
	struct nsr_session session = {.state = new, .life = life};

	(void)state;
	assert_int_equal(session_swap(&session, old, life, old, NSR_LIFE(1, NSR_SEEN_RST)),
			 -ENOENT);
	assert_int_equal(session.state, new);
	assert_int_equal(session.life, life);
	assert_int_equal(session_swap(&session, new, life, new, NSR_LIFE(1, NSR_SEEN_RST)), 0);
	assert_int_equal(session.life, NSR_LIFE(1, NSR_SEEN_RST));
	/* Nor is one changed of which another CPU has just seen more. */
	assert_int_equal(session_swap(&session, new, life, new, NSR_LIFE(2, NSR_SEEN_IN)), -EAGAIN);
	assert_int_equal(session.state, new);
	assert_int_equal(session.life, NSR_LIFE(1, NSR_SEEN_RST));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lowest_bit),
		cmocka_unit_test(test_handed_out_once),
		cmocka_unit_test(test_last_free_number),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_starts),
		cmocka_unit_test(test_largest_set),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_what_a_packet_tells),
		cmocka_unit_test(test_expired_at_the_second),
		cmocka_unit_test(test_over),
		cmocka_unit_test(test_match_is_of_one_generation),
		cmocka_unit_test(test_a_syn_starts_anew),
		cmocka_unit_test(test_the_inside_takes_a_reset_back),
		cmocka_unit_test(test_reused_record_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
