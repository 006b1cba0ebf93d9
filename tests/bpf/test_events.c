/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is told of dropped packets, and what is not: the ring, the lease and the limits.
 */
#include "lab.h"

#include <bpf/bpf.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "datapath_listen.h"
#include "datapath_maps.h"

#define ALL_REASONS UINT32_MAX
#define HEARD_MAX   4096

struct heard {
	struct nsr_event events[HEARD_MAX];
	size_t count;
	size_t enough; /* 0: never */
};
static struct heard heard;

static int hear(const struct nsr_event *event, void *argument)
{
	struct heard *to = argument;

	assert_in_range(to->count, 0, HEARD_MAX - 1);
	to->events[to->count++] = *event;
	return to->count == to->enough;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct nsr_event_limits limits_of(const struct lab *lab)
{
	struct nsr_event_limits limits;
	uint32_t zero = 0;

	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_event_limits], &zero, &limits),
			 0);
	return limits;
}

static void put_limits(const struct lab *lab, const struct nsr_event_limits *limits)
{
	uint32_t zero = 0;

	assert_int_equal(
		bpf_map_update_elem(lab->datapath->maps[MAP_event_limits], &zero, limits, BPF_ANY),
		0);
}

static void put_lease(const struct lab *lab, uint64_t until_ns)
{
	struct nsr_event_lease lease = {.until_ns = until_ns, .reasons = ALL_REASONS};
	uint32_t zero = 0;

	assert_int_equal(
		bpf_map_update_elem(lab->datapath->maps[MAP_event_lease], &zero, &lease, BPF_ANY),
		0);
}

/* As after loading, whatever the test before left. */
static int set_up(void **state)
{
	static const struct nsr_event_limits unused;

	if (lab_set_up(state) || !*state)
		return *state ? -1 : 0;
	put_limits(*state, &unused);
	put_lease(*state, 0);
	memset(&heard, 0, sizeof(heard));
	return 0;
}

static struct datapath_listener *start(struct lab *lab, uint32_t reasons)
{
	struct datapath_listener *listener = NULL;

	assert_int_equal(
		datapath_listen(lab->datapath, reasons, hear, &heard, &listener, &lab->err), 0);
	return listener;
}

static uint64_t left_out(struct datapath_listener *listener)
{
	uint64_t packets[NSR_DROP_SLOTS], sum = 0;
	bool any = datapath_listen_left_out(listener, packets);

	for (size_t i = 0; i < NSR_DROP_SLOTS; i++)
		sum += packets[i];
	assert_int_equal(any, sum > 0);
	return sum;
}

static void stop(struct datapath_listener *listener)
{
	datapath_listen_stop(listener);
	datapath_listen_free(listener);
}

static void spoofed(struct frame *f, uint16_t payload)
{
	FRAME(f, .to = mac_br1, .from = mac_red, .source = PLAIN_IP, .dest = REMOTE_IP,
	      .sport = 3000, .dport = 80, .payload = payload);
}

static void drop_spoofed(struct lab *lab, enum lab_port which, size_t times)
{
	const uint8_t *const macs[] = {
		[RED] = mac_red, [BLUE] = mac_blue, [GREEN] = mac_green, [PLAIN] = mac_plain};
	struct frame f;

	FRAME(&f, .to = mac_br1, .from = macs[which], .source = "10.1.2.3", .dest = REMOTE_IP);
	while (times--)
		assert_int_equal(lab_run(lab, DATAPATH_PORT_IN, lab->port[which], &f, NULL), 2);
}

static void assert_event(const struct nsr_event *event, uint32_t ifindex, enum nsr_hook hook,
			 int reason, const struct frame *f)
{
	size_t captured = f->length < NSR_EVENT_PACKET ? f->length : NSR_EVENT_PACKET;

	assert_int_equal(event->ifindex, ifindex);
	assert_int_equal(event->hook, hook);
	assert_int_equal(event->reason, reason);
	assert_int_equal(event->length, f->length);
	assert_int_equal(event->captured, captured);
	assert_memory_equal(event->packet, f->bytes, captured);
	assert_int_equal(event->tagged, 0);
}

static void test_each_hook(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath_listener *listener = start(lab, ALL_REASONS);
	uint64_t before = now_ns();
	struct frame in, out, back;

	spoofed(&in, 8);
	EXPECT_PORT_IN(lab, RED, &in, DROPPED(SPOOFED_ADDRESS));
	FRAME(&out, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_AH);
	EXPECT_OUT(lab, UP0, &out, DROPPED(NAT_PROTOCOL));
	FRAME(&back, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = RED_IP);
	EXPECT_IN(lab, UP0, &back, DROPPED(INBOUND));
	assert_int_equal(datapath_listen_wait(listener, 0, &lab->err), 0);
	assert_int_equal(heard.count, 3);
	assert_event(&heard.events[0], lab->port[RED], NSR_HOOK_PORT_IN, NSR_DROP_SPOOFED_ADDRESS,
		     &in);
	assert_event(&heard.events[1], lab->uplink[UP0], NSR_HOOK_UPLINK_OUT, NSR_DROP_NAT_PROTOCOL,
		     &out);
	assert_event(&heard.events[2], lab->uplink[UP0], NSR_HOOK_UPLINK_IN, NSR_DROP_INBOUND,
		     &back);
	assert_in_range(heard.events[0].time_ns, before, heard.events[1].time_ns);
	assert_in_range(heard.events[2].time_ns, heard.events[1].time_ns, now_ns());
	assert_int_equal(left_out(listener), 0);
	stop(listener);
}

/* Nothing more than the packet has, nothing more than there is room for. */
static void test_lengths(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath_listener *listener = start(lab, ALL_REASONS);
	uint32_t lengths[] = {ETH_HLEN + 20, 60, 127, 128, 129, 1400};
	struct frame f;
	size_t i, ran = 0;

	for (i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		spoofed(&f, 1400);
		f.length = lengths[i];
		frame_ip4(&f)->tot_len = __builtin_bswap16((uint16_t)(f.length - ETH_HLEN));
		if (!lab_takes(lab, &f))
			continue;
		lab_run(lab, DATAPATH_PORT_IN, lab->port[RED], &f, NULL);
		assert_int_equal(datapath_listen_wait(listener, 0, &lab->err), 0);
		assert_int_equal(heard.count, ++ran);
		assert_event(&heard.events[ran - 1], lab->port[RED], NSR_HOOK_PORT_IN,
			     NSR_DROP_SPOOFED_ADDRESS, &f);
	}
	assert_true(ran >= 5);
	stop(listener);
}

/* Forwarded packets are nobody's business. */
static void test_not_dropped(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath_listener *listener = start(lab, ALL_REASONS);
	struct frame f;

	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = GREEN_IP);
	EXPECT_PORT_IN(lab, RED, &f, TO_PEER);
	assert_int_equal(datapath_listen_wait(listener, 0, &lab->err), 0);
	assert_int_equal(heard.count, 0);
	stop(listener);
}

static void test_nobody_listens(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath_listener *listener;
	struct nsr_event_limits limits;

	drop_spoofed(lab, RED, 2 * NSR_EVENTS_BURST);
	put_lease(lab, now_ns() - 1); /* of one that was killed */
	drop_spoofed(lab, RED, 2 * NSR_EVENTS_BURST);
	limits = limits_of(lab);
	assert_int_equal(limits.left_out[NSR_DROP_SPOOFED_ADDRESS], 0);
	listener = start(lab, ALL_REASONS);
	stop(listener);
	drop_spoofed(lab, RED, 2 * NSR_EVENTS_BURST);
	limits = limits_of(lab);
	assert_int_equal(limits.left_out[NSR_DROP_SPOOFED_ADDRESS], 0);
	assert_int_equal(heard.count, 0);
}

/* What one that was killed did not read is not told to the next. */
static void test_next_listener(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath_listener *listener;

	put_lease(lab, UINT64_MAX);
	drop_spoofed(lab, RED, NSR_EVENTS_BURST + 100);
	assert_true(limits_of(lab).left_out[NSR_DROP_SPOOFED_ADDRESS] > 0);
	listener = start(lab, ALL_REASONS);
	assert_int_equal(left_out(listener), 0);
	drop_spoofed(lab, BLUE, 1);
	assert_int_equal(datapath_listen_wait(listener, 0, &lab->err), 0);
	assert_int_equal(heard.count, 1);
	assert_int_equal(heard.events[0].ifindex, lab->port[BLUE]);
	stop(listener);
}

static void test_reasons(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath_listener *listener = start(lab, 1u << NSR_DROP_SPOOFED_MAC);
	struct frame f;

	drop_spoofed(lab, RED, 2 * NSR_EVENTS_BURST);
	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = RED_IP, .dest = REMOTE_IP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_MAC));
	assert_int_equal(datapath_listen_wait(listener, 0, &lab->err), 0);
	assert_int_equal(heard.count, 1);
	assert_int_equal(heard.events[0].reason, NSR_DROP_SPOOFED_MAC);
	assert_int_equal(left_out(listener), 0);
	stop(listener);
}

/* A burst, then the rate; what is too much is counted, and hides nothing else. */
static void test_flood(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath_listener *listener = start(lab, ALL_REASONS);
	size_t flood = 5 * NSR_EVENTS_BURST, most;
	uint64_t begin = now_ns(), took;
	struct frame f;

	drop_spoofed(lab, RED, flood);
	took = now_ns() - begin;
	datapath_listen_wait(listener, 0, &lab->err);
	most = NSR_EVENTS_BURST + took / NSR_EVENT_INTERVAL + 1;
	assert_in_range(heard.count, NSR_EVENTS_BURST, most);
	assert_int_equal(heard.count + left_out(listener), flood);
	/* Not within one tick of the clock. */
	assert_true(most >= flood || heard.count < flood);

	heard.count = 0;
	drop_spoofed(lab, BLUE, 1);
	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = RED_IP, .dest = REMOTE_IP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_MAC));
	datapath_listen_wait(listener, 0, &lab->err);
	assert_int_equal(heard.count, 2);
	assert_int_equal(left_out(listener), 0);
	stop(listener);
}

/* After a rest the bucket is full again, and not fuller than full. */
static void test_bucket_refills(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath_listener *listener = start(lab, ALL_REASONS);
	struct nsr_event_limits limits;
	uint64_t begin, took;

	drop_spoofed(lab, RED, 2 * NSR_EVENTS_BURST);
	datapath_listen_wait(listener, 0, &lab->err);
	left_out(listener);
	limits = limits_of(lab);
	for (size_t i = 0; i < NSR_EVENT_LIMITS;
	     i++) /* as if it had been when the machine started */
		limits.due_ns[i] = limits.due_ns[i] ? 1 : 0;
	put_limits(lab, &limits);
	heard.count = 0;
	begin = now_ns();
	drop_spoofed(lab, RED, 2 * NSR_EVENTS_BURST);
	took = now_ns() - begin;
	datapath_listen_wait(listener, 0, &lab->err);
	assert_in_range(heard.count, NSR_EVENTS_BURST,
			NSR_EVENTS_BURST + took / NSR_EVENT_INTERVAL + 1);
	assert_int_equal(heard.count + left_out(listener), 2 * NSR_EVENTS_BURST);
	stop(listener);
}

/* Of a reader that does not keep up, what the ring has no room for is counted as well. */
static void test_full_ring(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath_listener *listener = start(lab, ALL_REASONS);
	size_t capacity = NSR_EVENTS_BYTES / (sizeof(struct nsr_event) + 8), rounds, dropped = 0;
	struct nsr_event_limits limits;

	for (rounds = capacity / NSR_EVENTS_BURST + 3; rounds; rounds--) {
		drop_spoofed(lab, RED, NSR_EVENTS_BURST);
		dropped += NSR_EVENTS_BURST;
		limits = limits_of(lab);
		memset(limits.due_ns, 0, sizeof(limits.due_ns));
		put_limits(lab, &limits);
	}
	datapath_listen_wait(listener, 0, &lab->err);
	assert_in_range(heard.count, capacity - 2, capacity);
	assert_int_equal(heard.count + left_out(listener), dropped);
	stop(listener);
}

/* A listener that has enough hears no more, and nothing is lost for the count. */
static void test_enough(void **state)
{
	struct lab *lab = lab_of(state);
	struct datapath_listener *listener = start(lab, ALL_REASONS);

	heard.enough = 3;
	drop_spoofed(lab, RED, 10);
	assert_int_equal(datapath_listen_wait(listener, 0, &lab->err), 0);
	assert_int_equal(heard.count, 3);
	stop(listener);
}

static void test_port_of(void **state)
{
	struct lab *lab = lab_of(state);
	struct ip_address ip4 = lab_ip(BLUE_IP), ip6 = lab_ip(RED_IP6), none = lab_ip(REMOTE_IP);
	struct ip_address unread = {0};

	assert_int_equal(datapath_port_of(lab->datapath, &ip4), lab->port[BLUE]);
	assert_int_equal(datapath_port_of(lab->datapath, &ip6), lab->port[RED]);
	assert_int_equal(datapath_port_of(lab->datapath, &none), 0);
	assert_int_equal(datapath_port_of(lab->datapath, &unread), 0);
}

#define EVENT_TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EVENT_TEST(test_each_hook),     EVENT_TEST(test_lengths),
		EVENT_TEST(test_not_dropped),   EVENT_TEST(test_nobody_listens),
		EVENT_TEST(test_next_listener), EVENT_TEST(test_reasons),
		EVENT_TEST(test_flood),         EVENT_TEST(test_bucket_refills),
		EVENT_TEST(test_full_ring),     EVENT_TEST(test_enough),
		EVENT_TEST(test_port_of),
	};

	return LAB_MAIN(tests);
}
