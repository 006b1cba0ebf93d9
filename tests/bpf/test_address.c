/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The external address that changes while no process of ours runs: the next packet, a second later
 * at most, uses what the uplink has then, and what was translated to the old one ends.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "datapath_maps.h"
#include "datapath_trace.h"

#define NEW_IP "198.18.7.2"

#define PASS_S 20 /* the timer's pass takes 8 */

static uint32_t seconds; /* that the clock is ahead */

/* Of the namespace that the lab is in. */
static void ip_command(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

static void lose_address(void)
{
	ip_command("ip address del 198.51.100.2/24 dev up0"); /* its routes go with it */
}

static void get_new_address(void)
{
	ip_command("ip address add " NEW_IP "/24 dev up0 && ip route add default via 198.18.7.1");
}

static void lose_new_address(void)
{
	ip_command("ip address del " NEW_IP
		   "/24 dev up0 && ip route replace default via 10.9.0.2 && "
		   "ip route replace " REMOTE_IP " dev up0 src 10.77.0.5");
}

static void find_another_way(void)
{
	ip_command("ip route add default via 10.9.0.2");
}

/* As lab.c has it. */
static void get_old_address(void)
{
	ip_command(
		"ip address flush dev up0 scope global && ip route flush root 0.0.0.0/0 exact default;"
		"ip address add 198.51.100.2/24 dev up0 && ip address add 2001:db8:1::2/64 dev up0 nodad && "
		"ip route replace default via 198.51.100.1 && "
		"ip route replace default via 2001:db8:1::1 && "
		"ip neigh replace 198.51.100.1 lladdr 02:00:00:00:00:fe dev up0 && "
		"ip neigh replace 198.51.100.77 lladdr 02:00:00:00:00:fd dev up0");
}

/* The kernel is asked again. */
static void next_second(struct lab *lab)
{
	lab_clock_offset(lab, ++seconds);
}

static bool kernel_chooses(void)
{
	struct utsname name;
	int major, minor;

	uname(&name);
	return sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 7));
}

static struct run *out(struct lab *lab, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_UDP, .sport = 3000, .dport = 80);
	return EXPECT_OUT(lab, UP0, &f, outcome);
}

/* Returns the external port. */
static uint16_t out_as(struct lab *lab, const char *address)
{
	struct run *run = out(lab, TRANSLATED);

	assert_int_equal(frame_ip4(&run->out)->saddr, address4(address));
	return frame_sport(&run->out);
}

static void in(struct lab *lab, const char *dest, uint16_t port, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = dest,
	      .protocol = IPPROTO_UDP, .sport = 80, .dport = port);
	EXPECT_IN(lab, UP0, &f, outcome);
}

static void expect_sessions(struct lab *lab, uint64_t created, uint64_t expired)
{
	struct nsr_nat_counters nat = lab_nat(lab, UP0);

	assert_int_equal(lab_sum(nat.sessions_created), created);
	assert_int_equal(lab_sum(nat.sessions_expired), expired);
	assert_int_equal(lab_active_sessions(lab), created - expired);
	assert_int_equal(lab_session_bits(lab), created - expired);
}

static int address_set_up(void **state)
{
	if (*state)
		get_old_address();
	seconds = 0;
	return lab_set_up(state);
}

/* ---- Another one in its place. */

static void test_followed(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_uplink uplink;
	uint16_t port, new_port;

	if (!kernel_chooses())
		skip();
	port = out_as(lab, UPLINK_IP);
	lose_address();
	get_new_address();
	next_second(lab);
	new_port = out_as(lab, NEW_IP);
	expect_sessions(lab, 2, 1);
	in(lab, NEW_IP, new_port, TRANSLATED_TO_PEER);
	in(lab, UPLINK_IP, port, PASSED);
	assert_true(datapath_find_uplink(lab->datapath, lab->uplink[UP0], &uplink));
	assert_int_equal(uplink.address4, address4(NEW_IP));
	/* And back, as user space has it. */
	get_old_address();
	next_second(lab);
	out_as(lab, UPLINK_IP);
	expect_sessions(lab, 3, 2);
	assert_true(datapath_find_uplink(lab->datapath, lab->uplink[UP0], &uplink));
	assert_int_equal(uplink.address4, address4(UPLINK_IP));
}

/* A session without a port. */
static void test_followed_by_address(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_nat_counters nat;
	struct frame f, back;
	struct run *run;

	if (!kernel_chooses())
		skip();
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_GRE);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	lose_address();
	get_new_address();
	next_second(lab);
	run = EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	assert_int_equal(frame_ip4(&run->out)->saddr, address4(NEW_IP));
	FRAME(&back, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = NEW_IP,
	      .protocol = IPPROTO_GRE);
	EXPECT_IN(lab, UP0, &back, TRANSLATED_TO_PEER);
	FRAME(&back, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_GRE);
	EXPECT_IN(lab, UP0, &back, PASSED);
	nat = lab_nat(lab, UP0);
	assert_int_equal(nat.sessions_created[NSR_NAT_OTHER], 2);
	assert_int_equal(nat.sessions_expired[NSR_NAT_OTHER], 1);
}

/* Who has as many flows as he may goes on with each of them, from its first packet on. */
static void test_at_the_limit(void **state)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);
	struct frame f;

	if (!kernel_chooses())
		skip();
	settings.flows_max = 1;
	lab_inside_set(lab, "192.168.15.0/24", UP0, &settings);
	out_as(lab, UPLINK_IP);
	lose_address();
	get_new_address();
	next_second(lab);
	out_as(lab, NEW_IP);
	expect_sessions(lab, 2, 1);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE2_IP,
	      .sport = 3000, .dport = 80);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_LIMIT));
}

/* What is late, or forged, to the old address ends nothing. */
static void test_late_packets(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port;

	if (!kernel_chooses())
		skip();
	out_as(lab, UPLINK_IP);
	lose_address();
	get_new_address();
	next_second(lab);
	port = out_as(lab, NEW_IP);
	in(lab, UPLINK_IP, port, DROPPED(NAT_FILTERED));
	in(lab, NEW_IP, port, TRANSLATED_TO_PEER);
	expect_sessions(lab, 2, 1);
}

/* One for itself only, and one by the way to this packet's remote alone, are no choice. */
static void test_by_the_default_route(void **state)
{
	struct lab *lab = lab_of(state);

	if (!kernel_chooses())
		skip();
	out_as(lab, UPLINK_IP);
	lose_address();
	ip_command("ip address add 169.254.9.9/16 dev up0");
	get_new_address();
	ip_command("ip address add 10.77.0.5/32 dev up0 && "
		   "ip route add " REMOTE_IP " via 198.18.7.1 src 10.77.0.5");
	next_second(lab);
	out_as(lab, NEW_IP);
	lose_new_address();
	next_second(lab);
	out_as(lab, "10.77.0.5");
}

/* Who is refused is told so from the new address. */
static void test_refused_from_it(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	struct run *run;

	if (!kernel_chooses())
		skip();
	lab_uplink_set(lab, UP0, UPLINK_IP, 40000, 40000);
	lose_address();
	get_new_address();
	next_second(lab);
	out_as(lab, NEW_IP);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_UDP, .sport = 3001, .dport = 80);
	run = EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_PORTS));
	assert_int_equal(frame_ip4(&run->out)->saddr, address4(NEW_IP));
}

/* A flow that the port translates asks in each second of its own. */
static void test_followed_at_port(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;
	struct run *run;

	if (!kernel_chooses())
		skip();
	out_as(lab, UPLINK_IP);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_UDP, .sport = 3000, .dport = 80);
	run = EXPECT_PORT_IN(lab, RED, &f, TO_NEIGHBOUR);
	assert_int_equal(frame_ip4(&run->out)->saddr, address4(UPLINK_IP));
	lose_address();
	get_new_address();
	ip_command("ip neigh replace 198.18.7.1 lladdr 02:00:00:00:00:fe dev up0");
	next_second(lab);
	run = EXPECT_PORT_IN(lab, RED, &f, TO_NEIGHBOUR);
	assert_int_equal(frame_ip4(&run->out)->saddr, address4(RED_IP)); /* for the uplink's hook */
	out_as(lab, NEW_IP);
	run = EXPECT_PORT_IN(lab, RED, &f, TO_NEIGHBOUR);
	assert_int_equal(frame_ip4(&run->out)->saddr, address4(NEW_IP));
	expect_sessions(lab, 2, 1);
}

/* As if it had been asked in this second: false when that has ended meanwhile. */
static bool out_when_asked(struct lab *lab)
{
	struct nsr_followed found = {0};
	struct timespec before, after;
	struct frame f;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &before);
	found.asked_s = (uint32_t)before.tv_sec + seconds;
	assert_int_equal(bpf_map_update_elem(lab->datapath->maps[MAP_followed],
					     &lab->uplink_number[UP0], &found, BPF_ANY),
			 0);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_UDP, .sport = 3000, .dport = 80);
	lab_run(lab, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, NULL);
	clock_gettime(CLOCK_MONOTONIC_COARSE, &after);
	return before.tv_sec == after.tv_sec;
}

static void test_asked_once_a_second(void **state)
{
	struct lab *lab = lab_of(state);
	uint64_t translated;
	bool within;

	lose_address();
	find_another_way();
	do {
		translated = lab_uplink_counters(lab, UP0).tx_translated;
		within = out_when_asked(lab);
	} while (!within);
	assert_int_equal(lab_uplink_counters(lab, UP0).tx_translated, translated + 1);
	next_second(lab);
	out(lab, DROPPED(NAT_CLOSED));
}

/* Those whose address has gone end also when they are silent. */
static void test_silent_flows_end(void **state)
{
	struct lab *lab = lab_of(state);
	const struct timespec moment = {.tv_nsec = 100000000};
	struct frame f;

	if (!kernel_chooses())
		skip();
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = BLUE_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_TCP, .sport = 4000, .dport = 80, .tcp_flags = FRAME_SYN);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	lose_address();
	get_new_address();
	next_second(lab);
	out_as(lab, NEW_IP);
	for (int i = 0; i < PASS_S * 10 && lab_active_sessions(lab) > 1; i++)
		nanosleep(&moment, NULL);
	expect_sessions(lab, 2, 1);
	out_as(lab, NEW_IP);
}

/* ---- None in its place. */

static void test_closed_until_it_returns(void **state)
{
	struct lab *lab = lab_of(state);

	out_as(lab, UPLINK_IP);
	lose_address();
	find_another_way();
	next_second(lab);
	out(lab, DROPPED(NAT_CLOSED));
	in(lab, UPLINK_IP, 3000, TRANSLATED_TO_PEER); /* what still arrives */
	next_second(lab);
	out(lab, DROPPED(NAT_CLOSED));
	/* The same again: its flows live on. */
	get_old_address();
	next_second(lab);
	out_as(lab, UPLINK_IP);
	expect_sessions(lab, 1, 0);
}

/* One that the file names: none takes its place. */
static void test_fixed(void **state)
{
	struct nsr_uplink fixed = {.address4 = address4(UPLINK_IP),
				   .port_min = LAB_PORT_MIN,
				   .port_max = LAB_PORT_MAX,
				   .fixed = 1};
	struct lab *lab = lab_of(state);

	assert_int_equal(datapath_uplink_set(lab->datapath, lab->uplink[UP0], &fixed,
					     &lab->uplink_number[UP0], &lab->err),
			 0);
	out_as(lab, UPLINK_IP);
	lose_address();
	get_new_address();
	next_second(lab);
	out(lab, DROPPED(NAT_CLOSED));
	get_old_address();
	next_second(lab);
	out_as(lab, UPLINK_IP);
	expect_sessions(lab, 1, 0);
}

/* An inside address is no external one, whatever the kernel would choose. */
static void test_never_an_inside_address(void **state)
{
	struct lab *lab = lab_of(state);

	out_as(lab, UPLINK_IP);
	lose_address();
	ip_command("ip address add 192.168.16.77/32 dev up0 && "
		   "ip route add default dev up0 src 192.168.16.77");
	next_second(lab);
	out(lab, DROPPED(NAT_CLOSED));
}

/* What user space has closed nothing opens. */
static void test_closed_by_us(void **state)
{
	struct lab *lab = lab_of(state);

	lab_uplink_set(lab, UP0, NULL, LAB_PORT_MIN, LAB_PORT_MAX);
	out(lab, DROPPED(NAT_CLOSED));
	next_second(lab);
	out(lab, DROPPED(NAT_CLOSED));
}

/* What user space enters counts, whatever was found before. */
static void test_entered_again(void **state)
{
	struct lab *lab = lab_of(state);

	if (!kernel_chooses())
		skip();
	lose_address();
	get_new_address();
	out_as(lab, NEW_IP);
	get_old_address();
	lab_uplink_set(lab, UP0, UPLINK_IP, LAB_PORT_MIN, LAB_PORT_MAX);
	out_as(lab, UPLINK_IP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, address_set_up)
		TEST(test_followed),
		TEST(test_followed_by_address),
		TEST(test_at_the_limit),
		TEST(test_late_packets),
		TEST(test_by_the_default_route),
		TEST(test_refused_from_it),
		TEST(test_followed_at_port),
		TEST(test_asked_once_a_second),
		TEST(test_silent_flows_end),
		TEST(test_closed_until_it_returns),
		TEST(test_fixed),
		TEST(test_never_an_inside_address),
		TEST(test_closed_by_us),
		TEST(test_entered_again),
	};

	return LAB_MAIN(tests);
}
