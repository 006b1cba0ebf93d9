/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Updates of maps that fail, at every place where programs make one, of either family: one at a
 * time, and all from one on. Whatever it was, nothing leaves with an inside source or a wrong
 * checksum, and in the end every count is even, every port is back, and the same packets pass.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "datapath_publish.h"
#include "meetings_data.h"

#define OWN_NETNS     (-1) /* the test is in the lab's namespace */
#define PAYLOAD       1200 /* bytes: more than FRAME_HALF */
#define REMOTE_PORT   80
#define PUBLISHED     40000 /* and so on: external ports */
#define GIVE_UP_S     60
#define STEP          10 /* inside ports that all_sorts() may use */
#define HOST_REMOTES  1000
#define HEARD_REMOTES 2000

static const struct family {
	bool ipv6;
	const char *red, *blue, *green, *prefix; /* green is to have contacts, and direct flows */
	const char *external, *remote, *remote2, *remotes;
	uint8_t icmp, echo;
	int sessions, mappings; /* enum datapath_map */
} ipv4 = {false,
	  RED_IP,
	  BLUE_IP,
	  GREEN_IP,
	  "192.168.16.0/24",
	  UPLINK_IP,
	  REMOTE_IP,
	  REMOTE2_IP,
	  "198.18.0.0",
	  IPPROTO_ICMP,
	  FRAME_ECHO_REQUEST,
	  MAP_session_by_flow,
	  MAP_mapping_by_inside},
  ipv6 = {true,
	  RED_IP6,
	  BLUE_IP6,
	  GREEN_IP6,
	  "fd00:16::/64",
	  UPLINK_IP6,
	  REMOTE_IP6,
	  REMOTE2_IP6,
	  "2001:db8:f::",
	  FRAME_ICMPV6,
	  FRAME6_ECHO_REQUEST,
	  MAP_session_by_flow6,
	  MAP_mapping_by_inside6},
  *family;

static void no_faults(struct lab *lab)
{
	static const struct meetings none;

	meetings_set(lab, &none);
}

/* ---- What leaves. */

static const uint8_t *address_of(const struct frame *f, bool source)
{
	uint32_t at = family->ipv6 ? (source ? offsetof(struct ipv6hdr, saddr)
					     : offsetof(struct ipv6hdr, daddr))
				   : (source ? offsetof(struct iphdr, saddr)
					     : offsetof(struct iphdr, daddr));

	return f->bytes + ETH_HLEN + at;
}

static bool is_inside(const uint8_t *address)
{
	return family->ipv6 ? address[0] == 0xfd : address[0] == 192 && address[1] == 168;
}

static bool is_external(const uint8_t *address)
{
	return !memcmp(address, lab_ip(family->external).bytes, family->ipv6 ? 16 : 4);
}

/* What goes on, in whichever direction, is sound, and shows the outside no inside address. */
static int run(struct lab *lab, enum datapath_program program, uint32_t ifindex,
	       struct frame *frame, struct frame *ret_out)
{
	bool sound = !frame_fault(frame);
	int action = lab_run(lab, program, ifindex, frame, ret_out);

	if (action == TC_ACT_SHOT || action == TC_ACT_STOLEN)
		return action;
	if (sound)
		assert_null(frame_fault(ret_out));
	if (program == DATAPATH_UPLINK_OUT && !is_inside(address_of(ret_out, false)))
		assert_false(is_inside(address_of(ret_out, true)));
	return action;
}

/* Returns the external port, or 0: it does not leave. */
static uint16_t leave(struct lab *lab, struct frame *frame)
{
	struct frame out;

	if (run(lab, DATAPATH_UPLINK_OUT, lab->uplink[UP0], frame, &out) != TC_ACT_UNSPEC)
		return 0; /* dropped, or an answer goes back */
	return frame_sport(&out);
}

/* By the hook of its port first; whatever that does, the uplink's is next. */
static void leave_port(struct lab *lab, enum lab_port which, struct frame *frame)
{
	struct frame out;

	if (run(lab, DATAPATH_PORT_IN, lab->port[which], frame, &out) == TC_ACT_SHOT ||
	    is_inside(address_of(&out, false)))
		return;
	lab->came_in = lab->port[which];
	leave(lab, &out);
	lab->came_in = 0;
}

static void arrive(struct lab *lab, struct frame *frame)
{
	struct frame out;

	run(lab, DATAPATH_UPLINK_IN, lab->uplink[UP0], frame, &out);
}

static void outbound(struct frame *f, const char *source, const char *dest, uint8_t protocol,
		     uint16_t port)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = source, .dest = dest,
	      .protocol = protocol, .sport = port,
	      .dport = protocol == family->icmp ? 0 : REMOTE_PORT, .tcp_flags = FRAME_SYN,
	      .icmp_type = family->echo, .payload = 9);
}

static void inbound(struct frame *f, uint16_t remote_port, uint16_t port, uint16_t payload)
{
	FRAME(f, .to = mac_up0, .from = mac_router, .source = family->remote,
	      .dest = family->external, .sport = remote_port, .dport = port, .payload = payload,
	      .id = port);
}

/* ---- Everything that makes an entry of any table. */

/* One that leaves, and two that arrive: the first fragment first, so that nothing is held, and the
 * other way round. */
static void fragments(struct lab *lab, uint16_t port)
{
	struct frame whole, half[2];
	uint16_t external;

	FRAME(&whole, .to = mac_router, .from = mac_up0, .source = family->red,
	      .dest = family->remote, .sport = port, .dport = REMOTE_PORT, .payload = PAYLOAD,
	      .id = port);
	frame_halve(&whole, port, half);
	external = leave(lab, &half[0]);
	leave(lab, &half[1]);
	inbound(&whole, REMOTE_PORT, external ? external : port, PAYLOAD);
	for (uint16_t i = 0; i < 2; i++) {
		frame_halve(&whole, (uint16_t)(port + i), half);
		arrive(lab, &half[!i]);
		arrive(lab, &half[i]);
	}
}

/* Again when the tables still have what was remembered of datagrams that are too old by then. */
static void old_fragments(struct lab *lab, uint16_t port)
{
	struct frame whole, half[2];

	fragments(lab, port);
	inbound(&whole, REMOTE_PORT, (uint16_t)(port + 4), PAYLOAD);
	frame_halve(&whole, (uint16_t)(port + 4), half);
	arrive(lab, &half[1]);
	lab_clock_offset(lab, NSR_DATAGRAM_S + 1);
	arrive(lab, &half[1]);
	fragments(lab, port);
	lab_clock_offset(lab, 0);
}

/* Two datagrams of green's with one identification, by a direct flow and translated: what becomes
 * of the first fragment, the later ones of the second datagram do not leave as they are, however
 * its first one was told of. */
static void direct(struct lab *lab, uint16_t port)
{
	struct frame whole, half[2], other[2], out;

	FRAME(&whole, .to = mac_up0, .from = mac_router, .source = family->remote,
	      .dest = family->green, .sport = REMOTE_PORT, .dport = port, .payload = 9);
	arrive(lab, &whole);
	FRAME(&whole, .to = mac_router, .from = mac_up0, .source = family->green,
	      .dest = family->remote, .sport = port, .dport = REMOTE_PORT, .payload = PAYLOAD);
	frame_halve(&whole, port, half);
	FRAME(&whole, .to = mac_router, .from = mac_up0, .source = family->green,
	      .dest = family->remote, .sport = (uint16_t)(port + 1), .dport = REMOTE_PORT,
	      .payload = PAYLOAD);
	frame_halve(&whole, port, other);
	for (uint32_t i = 0; i < 2; i++) {
		lab_run(lab, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &half[0], &out);
		lab_run(lab, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &half[1], &out);
		leave(lab, &other[0]);
		leave(lab, &other[1]);
	}
}

/* GRE, between a host and a remote of this number. */
static void portless(struct frame *f, const char *source, uint32_t remote, bool arrives)
{
	uint8_t *address;

	FRAME(f, .to = arrives ? mac_up0 : mac_router, .from = arrives ? mac_router : mac_up0,
	      .source = arrives ? family->remotes : source,
	      .dest = arrives ? source : family->remotes, .protocol = IPPROTO_GRE, .payload = 9);
	address = (uint8_t *)(uintptr_t)address_of(f, arrives) + (family->ipv6 ? 14 : 2);
	address[0] = (uint8_t)(remote >> 8);
	address[1] = (uint8_t)remote;
	frame_seal(f);
}

static void without_ports(struct lab *lab, uint32_t number)
{
	struct frame f;

	portless(&f, family->red, number, false);
	leave(lab, &f);
	portless(&f, family->blue, number, false);
	leave(lab, &f);
	portless(&f, family->external, number + HOST_REMOTES, false);
	leave(lab, &f);
	portless(&f, family->external, number + HEARD_REMOTES, true);
	arrive(lab, &f);
	outbound(&f, family->external, family->remote, family->icmp, (uint16_t)number);
	leave(lab, &f);
}

/* What a neighbour and the outside send to a published port; and it is given back. */
static void published(struct lab *lab, uint16_t port)
{
	const struct published_ports what = {PUBLISHED + port, port, 1, NSR_NAT_UDP};
	const struct ip_address red = lab_ip(family->red);
	struct frame f, out;

	if (!datapath_publish(lab->datapath, lab->uplink[UP0], &red, &what, OWN_NETNS, &lab->err)) {
		inbound(&f, REMOTE_PORT, what.external, 9);
		arrive(lab, &f);
		FRAME(&f, .to = mac_br1, .from = mac_blue, .source = family->blue,
		      .dest = family->external, .sport = port, .dport = what.external,
		      .payload = 9);
		if (run(lab, DATAPATH_PORT_IN, lab->port[BLUE], &f, &out) == TC_ACT_REDIRECT)
			assert_true(is_external(address_of(&out, true)));
		outbound(&f, family->red, family->remote, IPPROTO_UDP, port);
		leave(lab, &f);
	} else {
		assert_int_equal(lab->err.code, -ENOMEM);
	}
	assert_int_equal(
		datapath_unpublish(lab->datapath, lab->uplink[UP0], family->ipv6, &what, &lab->err),
		0);
	assert_int_equal(datapath_flush_ports(lab->datapath, family->ipv6, lab->uplink_number[UP0],
					      &lab->err),
			 0);
}

/* For inside ports from port on. */
static void all_sorts(struct lab *lab, uint16_t port)
{
	const struct {
		const char *source, *dest;
		uint8_t protocol;
	} flows[] = {
		{family->red, family->remote, IPPROTO_UDP},
		{family->red, family->remote2, IPPROTO_UDP},
		{family->red, family->remote, IPPROTO_TCP},
		{family->red, family->remote, family->icmp},
		{family->blue, family->remote, IPPROTO_UDP},
		{family->green, family->remote, IPPROTO_TCP},
		{family->green, family->remote, IPPROTO_UDP},
	};
	uint16_t external = 0;
	struct frame f;
	size_t i;

	for (i = 0; i < sizeof(flows) / sizeof(flows[0]); i++) {
		outbound(&f, flows[i].source, flows[i].dest, flows[i].protocol, port);
		external = leave(lab, &f);
	}
	if (external) { /* of green, from another port of its contact */
		inbound(&f, REMOTE_PORT + 1, external, 9);
		arrive(lab, &f);
	}
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = family->red, .dest = family->remote,
	      .sport = (uint16_t)(port + 1), .dport = REMOTE_PORT);
	leave_port(lab, RED, &f);
	leave_port(lab, RED, &f); /* has a session now */
	without_ports(lab, port / STEP);
	old_fragments(lab, (uint16_t)(port + 2));
	direct(lab, (uint16_t)(port + 5));
	published(lab, (uint16_t)(port + 9));
}

/* ---- What is left of it. */

/* The same packets pass now, each endpoint by one port. */
static void expect_no_harm(struct lab *lab, uint16_t port)
{
	struct frame f;
	uint16_t red;

	outbound(&f, family->red, family->remote, IPPROTO_UDP, port);
	red = frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
	outbound(&f, family->red, family->remote2, IPPROTO_UDP, port);
	assert_int_equal(frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out), red);
	outbound(&f, family->blue, family->remote, IPPROTO_UDP, port);
	assert_int_not_equal(frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out), red);
	outbound(&f, family->red, family->remote, IPPROTO_TCP, port);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	outbound(&f, family->red, family->remote, family->icmp, port);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	outbound(&f, family->green, family->remote, IPPROTO_UDP, port);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	inbound(&f, REMOTE_PORT, red, 9);
	EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	portless(&f, family->red, port / STEP + 2 * HEARD_REMOTES, false);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
}

static uint32_t port_bits(struct lab *lab)
{
	uint32_t (*bits)(struct lab *, enum lab_uplink, enum nsr_nat_protocol) =
		family->ipv6 ? lab_pool_bits6 : lab_pool_bits;

	return bits(lab, UP0, NSR_NAT_UDP) + bits(lab, UP0, NSR_NAT_TCP) +
	       bits(lab, UP0, NSR_NAT_ICMP);
}

static struct nsr_nat_counters nat_of(struct lab *lab)
{
	return family->ipv6 ? lab_nat6(lab, UP0) : lab_nat(lab, UP0);
}

static bool is_even(struct lab *lab)
{
	struct nsr_nat_counters nat = nat_of(lab);
	uint64_t ports = port_bits(lab);

	return ports == lab_sum(nat.ports_used) && ports == lab_ports_of_all(lab) &&
	       (family->ipv6 ? lab_session_bits6(lab) : lab_session_bits(lab)) ==
		       lab_entries(lab, family->sessions) &&
	       lab_entries(lab, family->mappings) ==
		       lab_sum(nat.mappings_created) - lab_sum(nat.mappings_ended);
}

/* On a slow machine something expires while it is counted. */
static void expect_even(struct lab *lab)
{
	for (int tries = 0; tries < 100 && !is_even(lab); tries++)
		usleep(20000);
	assert_true(is_even(lab));
}

/* All ports have cooled down, and are back. */
static void expect_ports_back(struct lab *lab)
{
	time_t end = time(NULL) + GIVE_UP_S;

	lab_clock_offset(lab, 2 * NSR_PORT_COOLDOWN_S);
	while ((port_bits(lab) || lab_ports_of_all(lab)) && time(NULL) < end)
		usleep(100000);
	assert_int_equal(port_bits(lab), 0);
	assert_int_equal(lab_sum(nat_of(lab).ports_used), 0);
	assert_int_equal(lab_ports_of_all(lab), 0);
}

/* ---- Faults. */

static const struct {
	const char *function;
	uint32_t family; /* 0: of both */
} sites[] = {
#define X(name, in, map, flags, meeting) [SITE_##name] = {in, 4}, [SITE6_##name] = {in "6", 6},
	SITES2(X)
#undef X
#define X(name, in, map, flags, meeting) [SITE_##name] = {in, 4},
		SITES1(X)
#undef X
};

/* Each place has been seen to fail, and there is none that is not listed. */
static void expect_all_sites(const struct meetings *sum)
{
	uint32_t missed = 0, i;

	for (i = 0; i < SITE_UNLISTED; i++) {
		if (sites[i].family != (family->ipv6 ? 6 : 4))
			continue;
		print_message("# %llu times: %s (%u)\n", sum->refused[i], sites[i].function, i);
		missed += !sum->refused[i];
	}
	assert_int_equal(missed, 0);
	assert_int_equal(sum->updated[SITE_UNLISTED], 0);
}

static void add(struct meetings *sum, const struct meetings *more)
{
	assert_true(more->failed);
	for (uint32_t i = 0; i < SITES_END; i++) {
		sum->updated[i] += more->updated[i];
		sum->refused[i] += more->refused[i];
	}
}

/* Each update fails once, the others do not; or with it all that follow. */
static void with_each_fault(struct lab *lab, const struct family *is, uint64_t every)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct meetings fault = {.fail_every = every}, sum = {0}, more;
	uint16_t port = 2000;
	uint64_t count;

	family = is;
	settings.filtering = NSR_FILTER_ADDRESS;
	settings.inbound = true;
	lab_inside_set(lab, family->prefix, UP0, &settings);
	no_faults(lab);
	all_sorts(lab, port);
	expect_even(lab);
	count = meetings_get(lab).updates;
	for (fault.fail_at = 0; fault.fail_at < count; fault.fail_at++) {
		port = (uint16_t)(port + STEP);
		meetings_set(lab, &fault);
		all_sorts(lab, port);
		more = meetings_get(lab);
		add(&sum, &more);
		no_faults(lab);
		expect_even(lab);
		expect_no_harm(lab, port);
	}
	expect_even(lab);
	expect_all_sites(&sum);
	lab_expect_no_flows(lab);
	expect_ports_back(lab);
}

static void test_one_update_fails(void **state)
{
	with_each_fault(lab_of(state), &ipv4, UINT64_MAX);
}

static void test_one_update_fails6(void **state)
{
	with_each_fault(lab_of(state), &ipv6, UINT64_MAX);
}

static void test_updates_fail_from_one_on(void **state)
{
	with_each_fault(lab_of(state), &ipv4, 1);
}

static void test_updates_fail_from_one_on6(void **state)
{
	with_each_fault(lab_of(state), &ipv6, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_one_update_fails),
		LAB_TEST(test_one_update_fails6),
		LAB_TEST(test_updates_fail_from_one_on),
		LAB_TEST(test_updates_fail_from_one_on6),
	};

	return LAB_MAIN(tests);
}
