/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A million flows at once, opened by threads that meet on many of them: all are held, each with a
 * translation of its own, until the table is full to its last record; they are told one by one in
 * little memory; and when their time is over all of them, and all ports, are given back by the
 * timer. Prints what it saw: flows a MiB, and how long things took.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <jansson.h>
#include <linux/pkt_cls.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "datapath_sessions.h"
#include "output_nat.h"

#define SETS      4
#define ROOM      (SETS * NSR_SESSION_SET)
#define FLOWS     1000000
#define HOSTS     25
#define PORTS     625 /* of each host: all want the same external ones */
#define FIRST     20000
#define REMOTES   64 /* ADDRESSES times so many ports */
#define ADDRESSES 8
#define ENDPOINTS (HOSTS * PORTS)
#define THREADS   2
#define TWICE     16   /* every so many-th flow is opened by all threads */
#define OPENING_S 3600 /* a flow lasts, so that all are there at once on a slow machine */

#define FLOWS_A_MIB 3500
#define BACK_S      10  /* after their time is over */
#define TICK_MS     62  /* of the timer: EXPIRE_PERIOD_NS */
#define GIVE_UP_S   120 /* a busy machine's clock is late */
#define LISTED_KIB  8192

_Static_assert(ENDPOINTS *REMOTES == FLOWS, "each endpoint talks to each remote");

/* What threads see of what leaves, and agree on. */
struct crossing {
	struct lab *lab;
	atomic_uint next; /* gives each thread its number */
	atomic_uint dropped, shared, moved, wrong;
	atomic_uint external[ENDPOINTS];                         /* port of each, 0: none yet */
	atomic_uint owner[NSR_POOL_PORTS];                       /* 1 + endpoint */
	atomic_uchar seen[(size_t)REMOTES * NSR_POOL_PORTS / 8]; /* external tuples */
};

static int group_set_up(void **state)
{
	return lab_group_set_up_for(state, ROOM, USE_PORTS | USE_NAT | USE_ETHERNET);
}

static double now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- Flows. */

static __be32 host_address(uint32_t host)
{
	return htonl(ntohl(address4(RED_IP)) + 20 + host);
}

static void build(struct frame *f, __be32 source, uint16_t port, uint32_t remote)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = "192.0.2.8",
	      .sport = port, .dport = (uint16_t)(8000 + remote / ADDRESSES));
	frame_ip4(f)->saddr = source;
	frame_ip4(f)->daddr = htonl(ntohl(frame_ip4(f)->daddr) + remote % ADDRESSES);
	frame_seal(f);
}

/* Hosts are those of three namespaces, for one may have half of the table. */
static void prepare(struct lab *lab)
{
	struct nsr_endpoint endpoint;
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	char text[INET_ADDRSTRLEN];
	__be32 address;

	settings.flows_max = ROOM;
	settings.timeout_s[NSR_TIMEOUT_UDP_UNREPLIED] = OPENING_S;
	lab_inside_set(lab, "192.168.15.0/24", UP0, &settings);
	for (uint32_t host = 0; host < HOSTS; host++) {
		address = host_address(host);
		inet_ntop(AF_INET, &address, text, sizeof(text));
		endpoint = lab_endpoint(lab, (enum lab_port[]){RED, BLUE, GREEN}[host % 3]);
		lab_host_set(lab, text, &endpoint);
	}
}

/* Of flow number i: each endpoint has one external port, which is nobody else's. */
static void note(struct crossing *c, uint32_t i, struct frame *out, bool first)
{
	uint32_t endpoint = i / REMOTES, remote = i % REMOTES, nobody = 0, none = 0;
	uint16_t port = frame_sport(out);
	size_t tuple = (size_t)remote * NSR_POOL_PORTS + port;
	unsigned char bit = (unsigned char)(1 << tuple % 8);

	if (frame_ip4(out)->saddr != address4(UPLINK_IP) || frame_fault(out))
		atomic_fetch_add(&c->wrong, 1);
	if (!atomic_compare_exchange_strong(&c->external[endpoint], &none, port) && none != port)
		atomic_fetch_add(&c->moved, 1);
	if (!atomic_compare_exchange_strong(&c->owner[port], &nobody, endpoint + 1) &&
	    nobody != endpoint + 1)
		atomic_fetch_add(&c->shared, 1);
	if (first && atomic_fetch_or(&c->seen[tuple / 8], bit) & bit)
		atomic_fetch_add(&c->shared, 1);
}

/* All walk the same way, so that they meet at endpoints, and at flows that all of them open. */
static void *open_flows(void *argument)
{
	struct crossing *c = argument;
	uint32_t number = atomic_fetch_add(&c->next, 1), endpoint, i;
	struct frame f, out;
	bool first;

	for (i = 0; i < FLOWS; i++) {
		endpoint = i / REMOTES;
		first = i % THREADS == number;
		if (!first && i % TWICE)
			continue;
		build(&f, host_address(endpoint % HOSTS), (uint16_t)(FIRST + endpoint / HOSTS),
		      i % REMOTES);
		if (lab_run(c->lab, DATAPATH_UPLINK_OUT, c->lab->uplink[UP0], &f, &out) ==
		    TC_ACT_UNSPEC)
			note(c, i, &out, first);
		else
			atomic_fetch_add(&c->dropped, 1);
	}
	return NULL;
}

static void open_all(struct lab *lab)
{
	struct crossing *c = calloc(1, sizeof(*c));
	pthread_t threads[THREADS];
	double begun = now();
	int i;

	c->lab = lab;
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, open_flows, c), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	print_message("# %d flows opened in %.1f s\n", FLOWS, now() - begun);
	assert_int_equal(c->dropped, 0);
	assert_int_equal(c->wrong, 0);
	assert_int_equal(c->moved, 0);
	assert_int_equal(c->shared, 0);
	free(c);
}

static void expect_held(struct lab *lab, uint32_t flows, uint32_t endpoints)
{
	struct nsr_nat_counters nat = lab_nat(lab, UP0);

	assert_int_equal(nat.sessions_created[NSR_NAT_UDP], flows);
	assert_int_equal(lab_sum(nat.sessions_expired), 0);
	assert_int_equal(nat.mappings_created[NSR_NAT_UDP], endpoints);
	assert_int_equal(nat.ports_used[NSR_NAT_UDP], endpoints);
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_UDP), endpoints);
	assert_int_equal(lab_active_sessions(lab), flows);
	assert_int_equal(lab_session_bits(lab), flows);
	assert_int_equal(
		lab_flows_of(lab, RED) + lab_flows_of(lab, BLUE) + lab_flows_of(lab, GREEN), flows);
	assert_int_equal(lab_entries(lab, MAP_session_by_flow), flows);
	assert_int_equal(lab_entries(lab, MAP_mapping_by_inside), endpoints);
}

/* What is still free, to the last record; and one too many. */
static void fill_up(struct lab *lab)
{
	struct frame f, out;
	uint32_t i;

	for (i = FLOWS; i < ROOM; i++) {
		build(&f, address4(RED_IP), (uint16_t)(10000 + i / REMOTES % 10000), i % REMOTES);
		assert_int_equal(lab_run(lab, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, &out),
				 TC_ACT_UNSPEC);
	}
	build(&f, address4(BLUE_IP), 1000, 0);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_SESSIONS));
}

/* ---- Memory. */

static uint64_t memory_of(int map)
{
	char path[64], line[256];
	unsigned long long bytes = 0;
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", map);
	info = fopen(path, "re");
	assert_non_null(info);
	while (fgets(line, sizeof(line), info))
		if (sscanf(line, "memlock: %llu", &bytes) == 1)
			break;
	fclose(info);
	assert_true(bytes > 0);
	return bytes;
}

/* Of the ports of all uplinks. */
static uint64_t memory_of_pools(struct lab *lab)
{
	uint64_t sum = memory_of(lab->datapath->maps[MAP_pools]) +
		       memory_of(lab->datapath->maps[MAP_pool_bits]);
	uint32_t pool, id;
	int fd;

	for (pool = 0; pool < NSR_POOLS_MAX; pool++) {
		if (bpf_map_lookup_elem(lab->datapath->maps[MAP_pools], &pool, &id))
			continue;
		fd = bpf_map_get_fd_by_id(id);
		assert_true(fd >= 0);
		sum += memory_of(fd);
		close(fd);
	}
	return sum;
}

/* With a port for each flow there would be a mapping more for each. */
static void expect_compact(struct lab *lab)
{
	const int *maps = lab->datapath->maps;
	double tables = (double)(memory_of(maps[MAP_sessions]) + memory_of(maps[MAP_session_bits]) +
				 memory_of(maps[MAP_session_by_flow]) +
				 memory_of(maps[MAP_mapping_by_inside]));
	double all = tables + (double)(memory_of_pools(lab) + memory_of(maps[MAP_shares]) +
				       memory_of(maps[MAP_nat_counters]));
	double held = ROOM * 1048576.0 / all;
	double apart = 1048576.0 / (tables / ROOM + sizeof(struct nsr_mapping));

	print_message("# %d flows in %.1f MiB of maps: %.0f flows a MiB; %.0f when each has a port "
		      "of its own\n",
		      ROOM, all / 1048576, held, apart);
	assert_true(held >= FLOWS_A_MIB);
	assert_true(apart >= FLOWS_A_MIB);
}

/* ---- Telling. */

struct listing {
	FILE *out;
	uint32_t count;
	long resident_kib, most_kib;
};

static long resident_kib(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	long pages = 0;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
	fclose(file);
	return pages * sysconf(_SC_PAGESIZE) / 1024;
}

static int list_one(const struct nsr_session *session, uint32_t left_s, void *argument)
{
	struct listing *listing = argument;
	json_t *model = output_session(session, left_s, NULL, NULL);
	long kib;

	json_dumpf(model, listing->out, JSON_COMPACT);
	putc('\n', listing->out);
	json_decref(model);
	if (listing->count++ % 65536)
		return 0;
	kib = resident_kib() - listing->resident_kib;
	if (kib > listing->most_kib)
		listing->most_kib = kib;
	return 0;
}

static void expect_told(struct lab *lab)
{
	const struct nsr_selection all = {0};
	struct listing listing = {.out = fopen("/dev/null", "we")};
	double begun = now();

	assert_non_null(listing.out);
	listing.resident_kib = resident_kib();
	assert_int_equal(datapath_sessions(lab->datapath, &all, list_one, &listing, &lab->err), 0);
	fclose(listing.out);
	print_message("# %u flows listed in %.1f s, in %ld KiB more\n", listing.count,
		      now() - begun, listing.most_kib);
	assert_int_equal(listing.count, ROOM);
	assert_true(listing.most_kib < LISTED_KIB);
}

/* ---- The end. */

/* struct expire_clock: the tick is behind the timer. */
static uint32_t ticks(struct lab *lab)
{
	int map = lab->datapath->maps[MAP_expire_clock];
	struct bpf_map_info info = {0};
	uint32_t size = sizeof(info), zero = 0, tick;
	char *clock;

	assert_int_equal(bpf_obj_get_info_by_fd(map, &info, &size), 0);
	clock = calloc(1, info.value_size);
	assert_int_equal(bpf_map_lookup_elem(map, &zero, clock), 0);
	memcpy(&tick, clock + sizeof(struct bpf_timer), sizeof(tick));
	free(clock);
	return tick;
}

static uint64_t sessions_left(struct lab *lab)
{
	struct nsr_nat_counters nat = lab_nat(lab, UP0);

	return lab_sum(nat.sessions_created) - lab_sum(nat.sessions_expired);
}

static uint64_t ports_left(struct lab *lab)
{
	return lab_sum(lab_nat(lab, UP0).ports_used);
}

/* By the timer alone. Its own clock is judged, which a busy machine's delays are not in: a pass is
 * so many ticks. */
static void expect_back(struct lab *lab, uint64_t (*left)(struct lab *), const char *what)
{
	double begun = now();
	uint32_t start = ticks(lab), took;

	while (left(lab) && now() - begun < GIVE_UP_S)
		usleep(10000);
	took = ticks(lab) - start;
	print_message("# all %s back after %.1f s, %u ticks\n", what, now() - begun, took);
	assert_int_equal(left(lab), 0);
	assert_in_range(took, 1, BACK_S * 1000 / TICK_MS);
}

static void test_million(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_nat_counters nat;

	prepare(lab);
	open_all(lab);
	expect_held(lab, FLOWS, ENDPOINTS);
	fill_up(lab);
	expect_held(lab, ROOM, ENDPOINTS + (ROOM - FLOWS + REMOTES - 1) / REMOTES);
	expect_compact(lab);
	expect_told(lab);
	lab_clock_offset(lab, 2 * OPENING_S);
	expect_back(lab, sessions_left, "sessions");
	nat = lab_nat(lab, UP0);
	assert_int_equal(lab_sum(nat.mappings_created), lab_sum(nat.mappings_ended));
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_UDP), lab_sum(nat.ports_used));
	lab_clock_offset(lab, 2 * OPENING_S + 2 * NSR_PORT_COOLDOWN_S);
	expect_back(lab, ports_left, "ports");
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_UDP), 0);
	assert_int_equal(lab_ports_of_all(lab), 0);
	lab_expect_no_flows(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_million),
	};

	return cmocka_run_group_tests(tests, group_set_up, lab_group_tear_down);
}
