/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Many CPUs at once: threads that open the same flows, and flows that want the same ports, while
 * others are ended. Whatever happens, two inside endpoints never have one external port, and in the
 * end every count is even and nothing is left.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <linux/pkt_cls.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "datapath_maps.h"

#define THREADS   4
#define HOSTS     8     /* inside addresses that want the same ports */
#define ENDPOINTS 512   /* ports of each */
#define FIRST     20000 /* of those ports */

struct crowd {
	struct lab *lab;
	atomic_uint next; /* gives each thread its number */
	atomic_uint dropped;
	atomic_uint owner[NSR_POOL_PORTS]; /* 1 + endpoint that was seen with this port */
	atomic_uint shared;                /* ports seen with two */
	atomic_bool done;
};

/* Endpoint number i, towards one of a few remotes. */
static void of_endpoint(struct frame *f, uint32_t i, uint16_t remote_port)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = (uint16_t)(FIRST + i / HOSTS), .dport = remote_port);
	frame_ip4(f)->saddr = htonl(ntohl(address4(RED_IP)) + i % HOSTS);
	frame_seal(f);
}

static void send_one(struct crowd *crowd, uint32_t i, uint16_t remote_port)
{
	struct lab *lab = crowd->lab;
	struct frame f, out;
	uint32_t nobody = 0;

	of_endpoint(&f, i, remote_port);
	if (lab_run(lab, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, &out) != TC_ACT_UNSPEC)
		atomic_fetch_add(&crowd->dropped, 1);
	else if (!atomic_compare_exchange_strong(&crowd->owner[frame_sport(&out)], &nobody,
						 i + 1) &&
		 nobody != i + 1)
		atomic_fetch_add(&crowd->shared, 1);
}

/* All threads walk the same endpoints the same way, so that they meet. */
static void *open_all(void *argument)
{
	struct crowd *crowd = argument;
	uint32_t i;

	for (i = 0; i < HOSTS * ENDPOINTS; i++) {
		send_one(crowd, i, 80);
		send_one(crowd, i, (uint16_t)(81 + i % 2));
	}
	return NULL;
}

/* Each thread begins elsewhere, so that they want the same ports at different times. */
static void *open_from_elsewhere(void *argument)
{
	struct crowd *crowd = argument;
	uint32_t start = atomic_fetch_add(&crowd->next, 1) * HOSTS * ENDPOINTS / THREADS, i;

	for (i = 0; i < HOSTS * ENDPOINTS; i++)
		send_one(crowd, (start + i * 7) % (HOSTS * ENDPOINTS), 80);
	return NULL;
}

static void *end_some(void *argument)
{
	struct crowd *crowd = argument;
	struct lab *lab = crowd->lab;
	struct nsr_selection what = {.uplink = (uint8_t)(1 + lab->uplink_number[UP0]),
				     .mask = 0xffffffff};
	struct error err;
	uint32_t i = 0;

	while (!atomic_load(&crowd->done)) {
		what.address = htonl(ntohl(address4(RED_IP)) + i++ % HOSTS);
		if (datapath_flush(lab->datapath, &what, NULL, &err))
			break;
	}
	return NULL;
}

static void run_threads(struct crowd *crowd, void *(*body)(void *), bool ending)
{
	pthread_t threads[THREADS], ender;
	int i;

	if (ending)
		assert_int_equal(pthread_create(&ender, NULL, end_some, crowd), 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, body, crowd), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&crowd->done, true);
	if (ending)
		pthread_join(ender, NULL);
}

static struct crowd *gather(struct lab *lab)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));

	crowd->lab = lab;
	return crowd;
}

/* Every count agrees with every other, and a port is in use for each that was taken. */
static void expect_even(struct lab *lab)
{
	struct nsr_uplink_counters c = lab_uplink_counters(lab, UP0);
	struct nsr_nat_counters nat = lab_nat(lab, UP0);

	assert_int_equal(c.tx_packets, c.tx_translated + c.tx_passed + c.tx_dropped);
	assert_int_equal(c.tx_passed, 0);
	assert_int_equal(lab_active_sessions(lab),
			 lab_sum(nat.sessions_created) - lab_sum(nat.sessions_expired));
	assert_int_equal(lab_session_bits(lab), lab_active_sessions(lab));
	assert_int_equal(lab_entries(lab, MAP_session_by_flow), lab_active_sessions(lab));
	assert_int_equal(lab_entries(lab, MAP_mapping_by_inside),
			 lab_sum(nat.mappings_created) - lab_sum(nat.mappings_ended));
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_UDP), lab_sum(nat.ports_used));
	lab_expect_no_flows(lab);
}

static void test_same_flows(void **state)
{
	struct crowd *crowd = gather(lab_of(state));
	struct nsr_nat_counters nat;

	run_threads(crowd, open_all, false);
	assert_int_equal(crowd->shared, 0);
	assert_int_equal(crowd->dropped, 0);
	nat = lab_nat(crowd->lab, UP0);
	/* Two flows an endpoint, and one mapping. */
	assert_int_equal(nat.sessions_created[NSR_NAT_UDP], 2 * HOSTS * ENDPOINTS);
	assert_int_equal(lab_pool_bits(crowd->lab, UP0, NSR_NAT_UDP), HOSTS * ENDPOINTS);
	expect_even(crowd->lab);
	free(crowd);
}

static void test_same_ports(void **state)
{
	struct crowd *crowd = gather(lab_of(state));

	run_threads(crowd, open_from_elsewhere, false);
	assert_int_equal(crowd->shared, 0);
	assert_int_equal(crowd->dropped, 0);
	expect_even(crowd->lab);
	free(crowd);
}

/* Fewer ports than endpoints: some get none, for good, and nobody another's. */
static void test_too_few_ports(void **state)
{
	struct crowd *crowd = gather(lab_of(state));

	lab_uplink_set(crowd->lab, UP0, UPLINK_IP, FIRST, FIRST + HOSTS * ENDPOINTS / 2 - 1);
	run_threads(crowd, open_from_elsewhere, false);
	assert_int_equal(crowd->shared, 0);
	assert_int_equal(lab_pool_bits(crowd->lab, UP0, NSR_NAT_UDP), HOSTS * ENDPOINTS / 2);
	assert_int_not_equal(crowd->dropped, 0);
	expect_even(crowd->lab);
	free(crowd);
}

/* Sessions are ended as they are opened. A port cools down, so it is still nobody else's. */
static void test_ended_while_opened(void **state)
{
	struct crowd *crowd = gather(lab_of(state));

	run_threads(crowd, open_all, true);
	assert_int_equal(crowd->shared, 0);
	expect_even(crowd->lab);
	free(crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_same_flows),
		LAB_TEST(test_same_ports),
		LAB_TEST(test_too_few_ports),
		LAB_TEST(test_ended_while_opened),
	};

	return LAB_MAIN(tests);
}
