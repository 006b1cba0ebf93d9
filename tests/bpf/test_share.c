/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What namespaces share, and what each of them has of it: sessions, its own and those of the
 * outside, and external ports. Whatever is done to one, or by one, the others have theirs.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "datapath_publish.h"

#define NETWORK    "192.168.15.0/24" /* red's and blue's */
#define STRANGER   "192.168.15.99"   /* of no interface */
#define STRANGER2  "192.168.16.99"
#define OWN        8 /* flows that one may have in most tests, ... */
#define INBOUND    2 /* ... and those that the outside may begin with it */
#define FLOOD      100
#define FIRST      40000 /* of a few external ports */
#define PASS_TRIES 4000  /* of 10 ms: the timer's pass takes 8 s when nothing else runs */
#define HALF       32256 /* of the 64,512 ports of a pool */

static void set(struct lab *lab, uint32_t filtering, uint32_t flows_max)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;

	settings.filtering = filtering;
	settings.flows_max = flows_max;
	lab_inside_set(lab, NETWORK, UP0, &settings);
}

static void out_frame(struct frame *f, const char *inside, uint8_t protocol, uint16_t sport,
		      uint16_t dport, uint8_t flags)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = inside, .dest = REMOTE_IP,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = flags,
	      .icmp_type = FRAME_ECHO_REQUEST);
}

/* Returns the external port; 0: it was refused, as expected. */
static uint16_t out(struct lab *lab, const char *inside, uint8_t protocol, uint16_t sport,
		    uint16_t dport, uint8_t flags, int outcome)
{
	struct frame f;
	struct run *run;

	out_frame(&f, inside, protocol, sport, dport, flags);
	run = EXPECT_OUT(lab, UP0, &f, outcome);
	return outcome == TRANSLATED ? frame_sport(&run->out) : 0;
}

static void in(struct lab *lab, uint8_t protocol, uint16_t sport, uint16_t dport, uint8_t flags,
	       int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = flags);
	EXPECT_IN(lab, UP0, &f, outcome);
}

static void publish(struct lab *lab, const char *ip, const struct published_ports *what)
{
	struct ip_address inside = lab_ip(ip);

	if (datapath_publish(lab->datapath, lab->uplink[UP0], &inside, what, -1, &lab->err))
		fail_msg("%s", lab->err.message);
}

static void unpublish(struct lab *lab, const struct published_ports *what)
{
	if (datapath_unpublish(lab->datapath, lab->uplink[UP0], false, what, &lab->err))
		fail_msg("%s", lab->err.message);
}

static void end_all(struct lab *lab)
{
	const struct nsr_selection all = {0};

	if (datapath_flush(lab->datapath, &all, NULL, &lab->err))
		fail_msg("%s", lab->err.message);
}

static uint32_t ports_of(struct lab *lab, enum lab_port which, enum nsr_nat_protocol protocol)
{
	return lab_share(lab, which).ports[protocol];
}

/* The timer gives back what has cooled down. */
static void await_ports(struct lab *lab, enum lab_port which, uint32_t ports)
{
	for (int i = 0; i < PASS_TRIES && ports_of(lab, which, NSR_NAT_UDP) != ports; i++)
		usleep(10000);
	assert_int_equal(ports_of(lab, which, NSR_NAT_UDP), ports);
}

/* ---- Sessions that the outside begins. */

/* As many as are let in of them, the namespace has all of its own. */
static void test_inbound_is_apart(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port;

	set(lab, NSR_FILTER_NOTHING, OWN);
	port = out(lab, RED_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	for (uint16_t i = 0; i < FLOOD; i++)
		in(lab, IPPROTO_UDP, (uint16_t)(5000 + i), port, 0,
		   i < INBOUND ? TRANSLATED_TO_PEER : DROPPED(NAT_LIMIT));
	/* Answered or not. */
	assert_int_equal(out(lab, RED_IP, IPPROTO_UDP, 3000, 5000, 0, TRANSLATED), port);
	assert_int_equal(lab_share(lab, RED).flows, 1);
	assert_int_equal(lab_share(lab, RED).inbound, INBOUND);
	for (uint16_t i = 1; i < OWN; i++)
		out(lab, RED_IP, IPPROTO_UDP, (uint16_t)(3000 + i), 80, 0, TRANSLATED);
	out(lab, RED_IP, IPPROTO_UDP, 3100, 80, 0, REFUSED(NAT_LIMIT));
	in(lab, IPPROTO_UDP, 5001, port, 0, TRANSLATED_TO_PEER);
	lab_expect_no_flows(lab);
}

/* To a published port more than that pass all the same, with what goes back, and none of it counts
 * for what the namespace begins. */
static void test_published_under_flood(void **state)
{
	const struct published_ports web = {8080, 80, 1, NSR_NAT_TCP};
	struct lab *lab = lab_of(state);

	set(lab, NSR_FILTER_ADDRESS_AND_PORT, OWN);
	publish(lab, RED_IP, &web);
	for (uint16_t i = 0; i < FLOOD; i++) {
		uint16_t client = (uint16_t)(5000 + i);

		in(lab, IPPROTO_TCP, client, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
		assert_int_equal(out(lab, RED_IP, IPPROTO_TCP, 80, client, FRAME_SYN | FRAME_ACK,
				     TRANSLATED),
				 8080);
	}
	assert_int_equal(lab_active_sessions(lab), INBOUND);
	assert_int_equal(lab_share(lab, RED).flows, 0);
	/* One of those that have none goes on, and one is refused by the server. */
	in(lab, IPPROTO_TCP, 5099, 8080, FRAME_ACK, TRANSLATED_TO_PEER);
	assert_int_equal(out(lab, RED_IP, IPPROTO_TCP, 80, 5099, FRAME_ACK, TRANSLATED), 8080);
	assert_int_equal(out(lab, RED_IP, IPPROTO_TCP, 80, 5098, FRAME_RST, TRANSLATED), 8080);
	out(lab, RED_IP, IPPROTO_TCP, 81, 5098, FRAME_RST, DROPPED(NAT_STATE));
	out(lab, BLUE_IP, IPPROTO_TCP, 80, 5098, FRAME_RST, DROPPED(NAT_STATE));
	for (uint16_t i = 0; i < OWN; i++)
		out(lab, RED_IP, IPPROTO_TCP, (uint16_t)(3000 + i), 80, FRAME_SYN, TRANSLATED);
	out(lab, RED_IP, IPPROTO_TCP, 3100, 80, FRAME_SYN, REFUSED(NAT_LIMIT));
	/* When there is room again it has a session from its next packet to the outside on. */
	end_all(lab);
	in(lab, IPPROTO_TCP, 5099, 8080, FRAME_ACK, TRANSLATED_TO_PEER);
	assert_int_equal(lab_active_sessions(lab), 0);
	assert_int_equal(out(lab, RED_IP, IPPROTO_TCP, 80, 5099, FRAME_ACK, TRANSLATED), 8080);
	assert_int_equal(lab_share(lab, RED).inbound, 1);
	unpublish(lab, &web);
	in(lab, IPPROTO_TCP, 5099, 8080, FRAME_ACK, PASSED);
	lab_expect_no_flows(lab);
}

/* All together leave room in the table. */
static void test_inbound_of_all(void **state)
{
	const struct published_ports dns = {5353, 53, 1, NSR_NAT_UDP};
	struct nsr_share all = {.records = {NSR_INBOUND_MAX(NSR_SESSION_SET) - 1}};
	struct lab *lab = lab_of(state);
	uint32_t everybody = 0;
	uint16_t port;

	set(lab, NSR_FILTER_NOTHING, 100);
	publish(lab, BLUE_IP, &dns);
	port = out(lab, RED_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	assert_int_equal(
		bpf_map_update_elem(lab->datapath->maps[MAP_shares], &everybody, &all, BPF_ANY), 0);
	in(lab, IPPROTO_UDP, 5000, port, 0, TRANSLATED_TO_PEER);
	in(lab, IPPROTO_UDP, 5001, port, 0, DROPPED(NAT_SESSIONS));
	assert_int_equal(lab_share(lab, RED).inbound, 1);
	in(lab, IPPROTO_UDP, 5001, 5353, 0, TRANSLATED_TO_PEER);
	assert_int_equal(out(lab, BLUE_IP, IPPROTO_UDP, 53, 5001, 0, TRANSLATED), 5353);
	out(lab, RED_IP, IPPROTO_UDP, 3001, 80, 0, TRANSLATED);
	assert_int_equal(lab_active_sessions(lab), 3);
	all.records[0] = 1;
	assert_int_equal(
		bpf_map_update_elem(lab->datapath->maps[MAP_shares], &everybody, &all, BPF_ANY), 0);
	unpublish(lab, &dns);
	lab_expect_no_flows(lab);
}

/* What comes in when there is no slot is counted as that; a published port can do without. */
static void test_table_full(void **state)
{
	const struct published_ports dns = {5353, 53, 1, NSR_NAT_UDP};
	static struct nsr_session_bits full, before;
	struct lab *lab = lab_of(state);
	uint32_t zero = 0;
	uint16_t port;

	set(lab, NSR_FILTER_NOTHING, 100);
	publish(lab, BLUE_IP, &dns);
	port = out(lab, RED_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	memset(&full, 0xff, sizeof(full));
	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_session_bits], &zero, &before),
			 0);
	assert_int_equal(
		bpf_map_update_elem(lab->datapath->maps[MAP_session_bits], &zero, &full, BPF_ANY),
		0);
	in(lab, IPPROTO_UDP, 5000, port, 0, DROPPED(NAT_SESSIONS));
	in(lab, IPPROTO_UDP, 80, port, 0, TRANSLATED_TO_PEER);
	in(lab, IPPROTO_UDP, 5000, 5353, 0, TRANSLATED_TO_PEER);
	assert_int_equal(out(lab, BLUE_IP, IPPROTO_UDP, 53, 5000, 0, TRANSLATED), 5353);
	out(lab, RED_IP, IPPROTO_UDP, 3001, 80, 0, REFUSED(NAT_SESSIONS));
	assert_int_equal(
		bpf_map_update_elem(lab->datapath->maps[MAP_session_bits], &zero, &before, BPF_ANY),
		0);
	assert_int_equal(lab_share(lab, RED).inbound, 0);
	assert_int_equal(lab_share(lab, BLUE).inbound, 0);
	assert_int_equal(lab_share(lab, RED).flows, 1);
	unpublish(lab, &dns);
	lab_expect_no_flows(lab);
}

/* Another CPU is just making the session, of another packet: to a published port a packet passes
 * all the same. */
static void test_busy(void **state)
{
	const struct published_ports dns = {5353, 53, 1, NSR_NAT_UDP};
	const struct nsr_session_ref unfinished = {.session = 7, .state = NSR_SESSION_ACTIVE};
	struct nsr_flow flow = {.inside = {.port = htons(53), .protocol = NSR_NAT_UDP},
				.remote_address = address4(REMOTE_IP),
				.remote_port = htons(5000)};
	struct lab *lab = lab_of(state);
	int map = lab->datapath->maps[MAP_session_by_flow];
	uint16_t port;

	set(lab, NSR_FILTER_NOTHING, 100);
	publish(lab, BLUE_IP, &dns);
	flow.inside.uplink = (uint8_t)lab->uplink_number[UP0];
	flow.inside.address = address4(BLUE_IP);
	assert_int_equal(bpf_map_update_elem(map, &flow, &unfinished, BPF_NOEXIST), 0);
	in(lab, IPPROTO_UDP, 5000, 5353, 0, TRANSLATED_TO_PEER);
	assert_int_equal(bpf_map_delete_elem(map, &flow), 0);
	/* What is mapped and not published needs one. */
	port = out(lab, RED_IP, IPPROTO_UDP, 53, 80, 0, TRANSLATED);
	flow.inside.address = address4(RED_IP);
	assert_int_equal(bpf_map_update_elem(map, &flow, &unfinished, BPF_NOEXIST), 0);
	in(lab, IPPROTO_UDP, 5000, port, 0, DROPPED(NAT_CONTENTION));
	assert_int_equal(bpf_map_delete_elem(map, &flow), 0);
	assert_int_equal(lab_share(lab, BLUE).inbound, 0);
	unpublish(lab, &dns);
	lab_expect_no_flows(lab);
}

struct rush {
	struct lab *lab;
	uint16_t port, first;
};

static void *knock(void *argument)
{
	struct rush *rush = argument;
	struct frame f;

	for (uint16_t i = 0; i < 1000; i++) {
		FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
		      .sport = (uint16_t)(rush->first + i % 400), .dport = rush->port);
		lab_run(rush->lab, DATAPATH_UPLINK_IN, rush->lab->uplink[UP0], &f, NULL);
	}
	return NULL;
}

/* Two threads reach for it: as many are let in as may be, never more. */
static void test_inbound_is_exact(void **state)
{
	struct lab *lab = lab_of(state);
	struct rush rush[2] = {{.lab = lab, .first = 5000}, {.lab = lab, .first = 5200}};
	pthread_t threads[2];
	uint16_t port;

	set(lab, NSR_FILTER_NOTHING, 400);
	port = out(lab, RED_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	for (int i = 0; i < 2; i++) {
		rush[i].port = port;
		assert_int_equal(pthread_create(&threads[i], NULL, knock, &rush[i]), 0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(lab_share(lab, RED).inbound, 100);
	assert_int_equal(lab_active_sessions(lab), 101);
	assert_int_equal(lab_session_bits(lab), 101);
	lab_expect_no_flows(lab);
}

/* ---- Ports. */

/* Half of a pool, those that cool down included; the other half is the others'. */
static void test_ports(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port = 3000;

	lab_uplink_set(lab, UP0, UPLINK_IP, FIRST, FIRST + 9);
	for (int i = 0; i < 5; i++)
		out(lab, RED_IP, IPPROTO_UDP, port++, 80, 0, TRANSLATED);
	out(lab, RED_IP, IPPROTO_UDP, port, 80, 0, REFUSED(NAT_LIMIT));
	/* More flows from the ports that it has; another protocol has a pool of its own. */
	out(lab, RED_IP, IPPROTO_UDP, 3000, 81, 0, TRANSLATED);
	out(lab, RED_IP, IPPROTO_TCP, 3000, 80, FRAME_SYN, TRANSLATED);
	assert_int_equal(lab_share(lab, RED).flows, 7);
	assert_int_equal(lab_session_bits(lab), 7);
	end_all(lab);
	assert_int_equal(ports_of(lab, RED, NSR_NAT_UDP), 5);
	out(lab, RED_IP, IPPROTO_UDP, port, 80, 0, REFUSED(NAT_LIMIT));
	for (int i = 0; i < 5; i++)
		out(lab, BLUE_IP, IPPROTO_UDP, port++, 80, 0, TRANSLATED);
	out(lab, GREEN_IP, IPPROTO_UDP, port, 80, 0, REFUSED(NAT_PORTS));
	assert_int_equal(ports_of(lab, GREEN, NSR_NAT_UDP), 0);
	lab_clock_offset(lab, NSR_PORT_COOLDOWN_S);
	await_ports(lab, RED, 0);
	out(lab, RED_IP, IPPROTO_UDP, port, 80, 0, TRANSLATED);
	assert_int_equal(ports_of(lab, RED, NSR_NAT_UDP), 1);
	assert_int_equal(ports_of(lab, RED, NSR_NAT_TCP), 0);
	lab_expect_no_flows(lab);
}

/* A namespace opens and ends flows as fast as it can, of as many ports as there are. */
static void test_ports_of_a_pool(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 32768; i++) {
			out_frame(&f, RED_IP, IPPROTO_UDP, (uint16_t)(1 + round * 32767 + i), 53,
				  0);
			lab_run(lab, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, NULL);
		}
		assert_int_equal(lab_flows_of(lab, RED), round ? 0 : HALF);
		end_all(lab);
		assert_int_equal(lab_flows_of(lab, RED), 0);
		assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_UDP), HALF);
	}
	out(lab, BLUE_IP, IPPROTO_UDP, 4000, 80, 0, TRANSLATED);
	lab_expect_no_flows(lab);
}

/* Ports that cool down go with their pool, and are nobody's when they are published. */
static void test_ports_are_given_back(void **state)
{
	const struct published_ports dns = {FIRST, 53, 2, NSR_NAT_UDP};
	struct lab *lab = lab_of(state);

	lab_uplink_set(lab, UP0, UPLINK_IP, FIRST, FIRST + 9);
	for (uint16_t i = 0; i < 3; i++)
		assert_int_equal(
			out(lab, RED_IP, IPPROTO_UDP, (uint16_t)(FIRST + i), 80, 0, TRANSLATED),
			FIRST + i);
	end_all(lab);
	assert_int_equal(ports_of(lab, RED, NSR_NAT_UDP), 3);
	publish(lab, BLUE_IP, &dns);
	assert_int_equal(ports_of(lab, RED, NSR_NAT_UDP), 1);
	unpublish(lab, &dns);
	assert_int_equal(ports_of(lab, RED, NSR_NAT_UDP), 1);
	assert_int_equal(ports_of(lab, BLUE, NSR_NAT_UDP), 0);
	lab_uplink_set(lab, UP0, UPLINK_IP, FIRST, FIRST + 19);
	assert_int_equal(ports_of(lab, RED, NSR_NAT_UDP), 0);
	for (uint16_t i = 0; i < 10; i++)
		out(lab, RED_IP, IPPROTO_UDP, (uint16_t)(3000 + i), 80, 0, TRANSLATED);
	out(lab, RED_IP, IPPROTO_UDP, 3100, 80, 0, REFUSED(NAT_LIMIT));
	lab_expect_no_flows(lab);
}

/* ---- Addresses that are no interface's. */

static void test_strangers(void **state)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);

	settings.flows_max = 1;
	lab_inside_set(lab, NETWORK, UP0, &settings);
	lab_inside_set(lab, "192.168.16.0/24", UP0, &settings);
	out(lab, STRANGER, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	out(lab, STRANGER, IPPROTO_UDP, 3001, 80, 0, DROPPED(NAT_LIMIT));
	/* Another network's are not theirs, nor are those of an interface. */
	out(lab, STRANGER2, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	out(lab, STRANGER2, IPPROTO_UDP, 3001, 80, 0, DROPPED(NAT_LIMIT));
	out(lab, RED_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	/* Where it is known who has sent it, it is his. */
	lab->came_in = lab->port[BLUE];
	out(lab, STRANGER, IPPROTO_UDP, 3002, 80, 0, TRANSLATED);
	assert_int_equal(lab_share(lab, BLUE).flows, 1);
	out(lab, STRANGER, IPPROTO_UDP, 3003, 80, 0, DROPPED(NAT_LIMIT));
	lab->came_in = 0;
	out(lab, BLUE_IP, IPPROTO_UDP, 3003, 80, 0, REFUSED(NAT_LIMIT));
	lab_expect_no_flows(lab);
}

/* ---- Changes that did not come to their end. */

static struct nsr_inside inside_entry(struct lab *lab, uint32_t *ret_key)
{
	struct nsr_inside entry;

	ret_key[0] = 24;
	ret_key[1] = address4("192.168.15.0");
	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_inside4], ret_key, &entry), 0);
	return entry;
}

static void put_entry(struct lab *lab, const uint32_t *key, const struct nsr_inside *entry)
{
	assert_int_equal(bpf_map_update_elem(lab->datapath->maps[MAP_inside4], key, entry, BPF_ANY),
			 0);
}

static uint32_t timeout_of_session(struct lab *lab)
{
	struct nsr_session session;

	for (uint32_t i = 0; i < NSR_SESSION_SET; i++)
		if (bpf_map_lookup_elem(lab->datapath->maps[MAP_sessions], &i, &session) == 0 &&
		    (session.state & NSR_SESSION_STATUS) == NSR_SESSION_ACTIVE)
			return NSR_LIFE_TIMEOUT_S(session.life);
	return 0;
}

/* A process was killed behind the entry's change, and before sessions felt it. */
static void test_unfinished_timeouts(void **state)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT, entry;
	struct lab *lab = lab_of(state);
	uint32_t key[2];

	out(lab, RED_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	settings.timeout_s[NSR_TIMEOUT_UDP_UNREPLIED] = 7;
	entry = inside_entry(lab, key);
	memcpy(entry.timeout_s, settings.timeout_s, sizeof(entry.timeout_s));
	entry.unfinished = (uint16_t)(1 + lab->uplink_number[UP0]);
	put_entry(lab, key, &entry);
	assert_int_equal(timeout_of_session(lab), 120);
	lab_inside_set(lab, NETWORK, UP0, &settings);
	assert_int_equal(timeout_of_session(lab), 7);
	entry = inside_entry(lab, key);
	assert_int_equal(entry.unfinished, 0);
	lab_expect_no_flows(lab);
}

/* The same of another uplink; and a deletion. */
static void test_unfinished_uplink(void **state)
{
	struct ip_address prefix = lab_ip(NETWORK);
	struct lab *lab = lab_of(state);
	struct nsr_inside entry;
	uint32_t key[2];

	out(lab, RED_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	entry = inside_entry(lab, key);
	entry.uplink = lab->uplink_number[UP1];
	entry.unfinished = (uint16_t)(1 + lab->uplink_number[UP0]);
	put_entry(lab, key, &entry);
	lab_inside_set(lab, NETWORK, UP1, NULL);
	assert_int_equal(lab_active_sessions(lab), 0);
	lab_inside_set(lab, NETWORK, UP0, NULL);
	out(lab, RED_IP, IPPROTO_UDP, 3000, 81, 0, TRANSLATED);
	put_entry(lab, key, &entry);
	assert_int_equal(datapath_inside_delete(lab->datapath, &prefix, &lab->err), 0);
	assert_int_equal(lab_active_sessions(lab), 0);
}

/* An address of nobody, whose sessions a killed process has left: its next owner gets none of them.
 */
static void test_unfinished_host(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_endpoint blue = lab_endpoint(lab, BLUE);
	__be32 address = address4(RED_IP);

	out(lab, RED_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	assert_int_equal(bpf_map_delete_elem(lab->datapath->maps[MAP_hosts4], &address), 0);
	lab_host_set(lab, RED_IP, &blue);
	assert_int_equal(lab_active_sessions(lab), 0);
	lab_expect_no_flows(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_inbound_is_apart),
		LAB_TEST(test_published_under_flood),
		LAB_TEST(test_inbound_of_all),
		LAB_TEST(test_table_full),
		LAB_TEST(test_busy),
		LAB_TEST(test_inbound_is_exact),
		LAB_TEST(test_ports),
		LAB_TEST(test_ports_of_a_pool),
		LAB_TEST(test_ports_are_given_back),
		LAB_TEST(test_strangers),
		LAB_TEST(test_unfinished_timeouts),
		LAB_TEST(test_unfinished_uplink),
		LAB_TEST(test_unfinished_host),
	};

	return LAB_MAIN(tests);
}
