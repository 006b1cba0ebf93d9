/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A million flows of either family by threads that all go the same way, with time enough at each
 * place where they may meet. What loses is sent again, as hosts do. Nobody's port is another's, no
 * endpoint has two, all is there in the end, and when its time is over all of it is given back by
 * the timer. IPv6 has room for a sixteenth of them at a time.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <linux/pkt_cls.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "meetings_data.h"

#define SETS      7 /* one namespace may have five eighths of the records */
#define FLOWS     1000000
#define ROUNDS6   16
#define HOSTS     25
#define FIRST     20000 /* inside port of each host, and so on: all want the same external ones */
#define REMOTES   64    /* ports of one */
#define ENDPOINTS (FLOWS / REMOTES)
#define THREADS   4
#define TOGETHER  8  /* every so many-th flow is opened by all threads */
#define AGAIN     50 /* times that a packet is sent before its flow is given up */
#define DELAY     256
#define LASTS_S   3600 /* so that all are there at once on a slow machine */
#define GIVE_UP_S 300

struct crossing {
	struct lab *lab;
	bool ipv6;
	uint32_t flows;
	atomic_uint next; /* gives each thread its number */
	atomic_uint lost, again, shared, moved, wrong;
	atomic_uint external[ENDPOINTS];      /* port of each, 0: none yet */
	atomic_uint owner[2][NSR_POOL_PORTS]; /* 1 + endpoint, of UDP and of TCP */
};

static int group_set_up(void **state)
{
	return lab_group_set_up_for(state, SETS * NSR_SESSION_SET, USE_ALL & ~USE_BARE);
}

static bool is_tcp(uint32_t endpoint)
{
	return endpoint % 2;
}

static void set_host(const struct crossing *c, struct frame *f, uint32_t host)
{
	if (c->ipv6)
		frame_ip6(f)->saddr.s6_addr[15] = (uint8_t)(0x20 + host);
	else
		frame_ip4(f)->saddr = htonl(ntohl(address4(RED_IP)) + 20 + host);
	frame_seal(f);
}

static void build(const struct crossing *c, struct frame *f, uint32_t flow)
{
	uint32_t endpoint = flow / REMOTES;

	FRAME(f, .to = mac_router, .from = mac_up0, .source = c->ipv6 ? RED_IP6 : RED_IP,
	      .dest = c->ipv6 ? REMOTE_IP6 : REMOTE_IP,
	      .protocol = is_tcp(endpoint) ? IPPROTO_TCP : IPPROTO_UDP, .tcp_flags = FRAME_SYN,
	      .sport = (uint16_t)(FIRST + endpoint / HOSTS),
	      .dport = (uint16_t)(8000 + flow % REMOTES));
	set_host(c, f, endpoint % HOSTS);
}

static bool is_inside(const struct crossing *c, struct frame *f)
{
	return c->ipv6 ? frame_ip6(f)->saddr.s6_addr[0] == 0xfd
		       : ntohl(frame_ip4(f)->saddr) >> 16 == 0xc0a8;
}

static void note(struct crossing *c, uint32_t endpoint, struct frame *out)
{
	uint32_t nobody = 0, none = 0, port = frame_sport(out);

	if (is_inside(c, out) || frame_fault(out))
		atomic_fetch_add(&c->wrong, 1);
	if (!atomic_compare_exchange_strong(&c->external[endpoint], &none, port) && none != port)
		atomic_fetch_add(&c->moved, 1);
	if (!atomic_compare_exchange_strong(&c->owner[is_tcp(endpoint)][port], &nobody,
					    endpoint + 1) &&
	    nobody != endpoint + 1)
		atomic_fetch_add(&c->shared, 1);
}

static void *open_flows(void *argument)
{
	struct crossing *c = argument;
	uint32_t number = atomic_fetch_add(&c->next, 1), tries, i;
	struct frame f, out;

	for (i = 0; i < c->flows; i++) {
		if (i % THREADS != number && i % TOGETHER)
			continue;
		build(c, &f, i);
		for (tries = 0; tries < AGAIN; tries++)
			if (lab_run(c->lab, DATAPATH_UPLINK_OUT, c->lab->uplink[UP0], &f, &out) ==
			    TC_ACT_UNSPEC)
				break;
		atomic_fetch_add(&c->again, tries);
		if (tries < AGAIN)
			note(c, i / REMOTES, &out);
		else
			atomic_fetch_add(&c->lost, 1);
	}
	return NULL;
}

/* Hosts are red's, which may have all flows there are. */
static void prepare(struct crossing *c)
{
	struct nsr_endpoint endpoint = lab_endpoint(c->lab, RED);
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	char text[INET6_ADDRSTRLEN];
	struct frame f;

	settings.flows_max = SETS * NSR_SESSION_SET;
	for (uint32_t i = 0; i < NSR_TIMEOUT_SLOTS; i++)
		settings.timeout_s[i] = LASTS_S;
	lab_inside_set(c->lab, c->ipv6 ? "fd00:15::/64" : "192.168.15.0/24", UP0, &settings);
	for (uint32_t host = 0; host < HOSTS; host++) {
		build(c, &f, host * REMOTES);
		inet_ntop(c->ipv6 ? AF_INET6 : AF_INET,
			  c->ipv6 ? (void *)&frame_ip6(&f)->saddr : (void *)&frame_ip4(&f)->saddr,
			  text, sizeof(text));
		lab_host_set(c->lab, text, &endpoint);
	}
}

static struct nsr_nat_counters nat_of(const struct crossing *c)
{
	return c->ipv6 ? lab_nat6(c->lab, UP0) : lab_nat(c->lab, UP0);
}

static uint32_t ports_in_use(const struct crossing *c)
{
	return c->ipv6 ? lab_pool_bits6(c->lab, UP0, NSR_NAT_UDP) +
				 lab_pool_bits6(c->lab, UP0, NSR_NAT_TCP)
		       : lab_pool_bits(c->lab, UP0, NSR_NAT_UDP) +
				 lab_pool_bits(c->lab, UP0, NSR_NAT_TCP);
}

static void expect_held(const struct crossing *c)
{
	uint32_t endpoints = (c->flows + REMOTES - 1) / REMOTES;
	struct nsr_nat_counters nat = nat_of(c);
	struct lab *lab = c->lab;

	assert_int_equal(lab_sum(nat.sessions_created), c->flows);
	assert_int_equal(lab_sum(nat.sessions_expired), 0);
	assert_int_equal(lab_sum(nat.mappings_created), endpoints);
	assert_int_equal(lab_sum(nat.ports_used), endpoints);
	assert_int_equal(ports_in_use(c), endpoints);
	assert_int_equal(lab_ports_of_all(lab), endpoints);
	assert_int_equal(lab_flows_of(lab, RED), c->flows);
	assert_int_equal(c->ipv6 ? lab_session_bits6(lab) : lab_session_bits(lab), c->flows);
	assert_int_equal(lab_entries(lab, c->ipv6 ? MAP_session_by_flow6 : MAP_session_by_flow),
			 c->flows);
	assert_int_equal(lab_entries(lab, c->ipv6 ? MAP_mapping_by_inside6 : MAP_mapping_by_inside),
			 endpoints);
}

/* By the timer alone. */
static void expect_back(struct crossing *c)
{
	time_t end = time(NULL) + GIVE_UP_S;

	lab_clock_offset(c->lab, 2 * LASTS_S);
	while (lab_sum(nat_of(c).sessions_expired) != c->flows && time(NULL) < end)
		usleep(50000);
	assert_int_equal(lab_sum(nat_of(c).sessions_expired), c->flows);
	lab_clock_offset(c->lab, 2 * LASTS_S + 2 * NSR_PORT_COOLDOWN_S);
	while ((ports_in_use(c) || lab_ports_of_all(c->lab)) && time(NULL) < end)
		usleep(50000);
	assert_int_equal(ports_in_use(c), 0);
	assert_int_equal(lab_ports_of_all(c->lab), 0);
	assert_int_equal(lab_sum(nat_of(c).ports_used), 0);
	lab_expect_no_flows(c->lab);
}

/* Of the threads' meetings in these flows. */
static uint64_t cross(struct lab *lab, uint32_t flows, bool ipv6)
{
	static const struct meetings none;
	struct meetings meetings = {.delay = DELAY};
	struct crossing *c = calloc(1, sizeof(*c));
	pthread_t threads[THREADS];
	uint64_t met = 0;
	int i;

	c->lab = lab;
	c->flows = flows;
	c->ipv6 = ipv6;
	prepare(c);
	meetings_set(lab, &meetings);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, open_flows, c), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	meetings = meetings_get(lab);
	meetings_set(lab, &none);
	for (i = 0; i < MEETINGS_END; i++)
		met += meetings.met[i];
	print_message("# %u flows, %u packets sent again, %llu meetings\n", flows, c->again,
		      (unsigned long long)met);
	assert_int_equal(c->lost, 0);
	assert_int_equal(c->wrong, 0);
	assert_int_equal(c->moved, 0);
	assert_int_equal(c->shared, 0);
	expect_held(c);
	expect_back(c);
	free(c);
	return met;
}

static void test_million(void **state)
{
	assert_true(cross(lab_of(state), FLOWS, false) || sysconf(_SC_NPROCESSORS_ONLN) == 1);
}

static void test_million6(void **state)
{
	uint64_t met = 0;

	for (int i = 0; i < ROUNDS6; i++) {
		lab_set_up(state);
		met += cross(lab_of(state), FLOWS / ROUNDS6, true);
	}
	assert_true(met || sysconf(_SC_NPROCESSORS_ONLN) == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_million),
		LAB_TEST(test_million6),
	};

	return cmocka_run_group_tests(tests, group_set_up, lab_group_tear_down);
}
