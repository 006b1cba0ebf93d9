/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The external address that changes while no process of ours runs: the next packet, a second later
 * at most, uses what the uplink has then, and what was translated to the old one ends. Of both
 * families, which have the same tests but for a few.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datapath_maps.h"
#include "datapath_trace.h"

#define NEW_IP  "198.18.7.2"
#define NEW_IP6 "2001:db8:7::2"

#define PASS_S 20 /* the timer's pass takes 8 */

/* As lab.c has it. */
#define GET_OLD4                                                                                \
	"ip address flush dev up0 scope global && ip route flush root 0.0.0.0/0 exact default;" \
	"ip address add 198.51.100.2/24 dev up0 && ip address add 2001:db8:1::2/64 dev up0 "    \
	"nodad && ip route replace default via 198.51.100.1 && "                                \
	"ip route replace default via 2001:db8:1::1 && "                                        \
	"ip neigh replace 198.51.100.1 lladdr 02:00:00:00:00:fe dev up0 && "                    \
	"ip neigh replace 198.51.100.77 lladdr 02:00:00:00:00:fd dev up0"

/* What the tests do, of a family. Commands are for the namespace that the lab is in. */
static const struct family {
	bool ipv6;
	const char *old_ip, *new_ip, *remote, *remote2, *red, *blue, *inside;
	const char *lose, *get_new, *find_another_way;
	/* Other addresses than the new one: for itself only, and by the way to the remote. */
	const char *get_others, *by_the_way, *lose_new, *get_inside;
} ipv4 =
	{
		.old_ip = UPLINK_IP,
		.new_ip = NEW_IP,
		.remote = REMOTE_IP,
		.remote2 = REMOTE2_IP,
		.red = RED_IP,
		.blue = BLUE_IP,
		.inside = "192.168.15.0/24",
		.lose = "ip address del 198.51.100.2/24 dev up0", /* its routes go with it */
		.get_new = "ip address add " NEW_IP
			   "/24 dev up0 && ip route add default via 198.18.7.1",
		.find_another_way = "ip route add default via 10.9.0.2",
		.get_others = "ip address add 169.254.9.9/16 dev up0 && "
			      "ip address add 10.77.0.5/32 dev up0 && "
			      "ip route add " REMOTE_IP " via 198.18.7.1 src 10.77.0.5",
		.by_the_way = "10.77.0.5",
		.lose_new = "ip address del " NEW_IP
			    "/24 dev up0 && ip route replace default via 10.9.0.2 && "
			    "ip route replace " REMOTE_IP " dev up0 src 10.77.0.5",
		.get_inside = "ip address add 192.168.16.77/32 dev up0 && "
			      "ip route add default dev up0 src 192.168.16.77",
},
  ipv6 =
	  {
		  .ipv6 = true,
		  .old_ip = UPLINK_IP6,
		  .new_ip = NEW_IP6,
		  .remote = REMOTE_IP6,
		  .remote2 = REMOTE2_IP6,
		  .red = RED_IP6,
		  .blue = BLUE_IP6,
		  .inside = "fd00:15::/64",
		  .lose = "ip address del 2001:db8:1::2/64 dev up0", /* the default route stays */
		  .get_new = "ip address add " NEW_IP6 "/64 dev up0 nodad",
		  .find_another_way = "true",
		  .get_others = "ip address add fe80::9/64 dev up0 nodad && "
				"ip address replace 2001:db8:9::5/128 dev else0 nodad && "
				"ip route add " REMOTE_IP6 " dev up0 src 2001:db8:9::5",
		  .by_the_way = "2001:db8:9::5",
		  .lose_new = "ip address del " NEW_IP6 "/64 dev up0 && ip route del default && "
			      "ip route add 2000::/3 dev br3",
		  .get_inside = "ip address add fd00:15::77/128 dev up0 nodad && "
				"ip route replace default dev up0 src fd00:15::77",
},
  *family;

static uint32_t seconds; /* that the clock is ahead */

static void ip_command(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

static void lose_address(void)
{
	ip_command(family->lose);
}

static void get_new_address(void)
{
	ip_command(family->get_new);
}

static void get_old_address(void)
{
	ip_command(GET_OLD4);
	ip_command("ip -6 address flush dev else0 scope global; ip -6 route flush 2000::/3; "
		   "ip -6 route flush " REMOTE_IP6);
}

/* The kernel is asked again. */
static void next_second(struct lab *lab)
{
	lab_clock_offset(lab, ++seconds);
}

/* Since 6.7, and in what was made of older ones: Debian's 6.1 among them. */
static bool kernel_chooses(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool chooses;

	assert_non_null(btf);
	chooses = btf__find_str(btf, "BPF_FIB_LOOKUP_SRC") > 0;
	btf__free(btf);
	return chooses;
}

static struct run *out(struct lab *lab, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = family->red, .dest = family->remote,
	      .protocol = IPPROTO_UDP, .sport = 3000, .dport = 80);
	return EXPECT_OUT(lab, UP0, &f, outcome);
}

static void expect_source(struct run *run, const char *address)
{
	const struct ip_address ip = lab_ip(address);

	if (family->ipv6)
		assert_memory_equal(&frame_ip6(&run->out)->saddr, ip.bytes, 16);
	else
		assert_memory_equal(&frame_ip4(&run->out)->saddr, ip.bytes, 4);
}

/* Returns the external port. */
static uint16_t out_as(struct lab *lab, const char *address)
{
	struct run *run = out(lab, TRANSLATED);

	expect_source(run, address);
	return frame_sport(&run->out);
}

static void in(struct lab *lab, const char *dest, uint16_t port, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = family->remote, .dest = dest,
	      .protocol = IPPROTO_UDP, .sport = 80, .dport = port);
	EXPECT_IN(lab, UP0, &f, outcome);
}

static void expect_sessions(struct lab *lab, uint64_t created, uint64_t expired)
{
	struct nsr_nat_counters nat = family->ipv6 ? lab_nat6(lab, UP0) : lab_nat(lab, UP0);

	assert_int_equal(lab_sum(nat.sessions_created), created);
	assert_int_equal(lab_sum(nat.sessions_expired), expired);
	assert_int_equal(
		lab_entries(lab, family->ipv6 ? MAP_session_by_flow6 : MAP_session_by_flow),
		created - expired);
	if (family->ipv6)
		return;
	assert_int_equal(lab_active_sessions(lab), created - expired);
	assert_int_equal(lab_session_bits(lab), created - expired);
}

/* What user space takes for the address. */
static void expect_address(struct lab *lab, const char *address)
{
	const struct ip_address ip = lab_ip(address);
	struct nsr_uplink uplink;

	assert_true(datapath_find_uplink(lab->datapath, lab->uplink[UP0], &uplink));
	if (family->ipv6)
		assert_memory_equal(uplink.address6, ip.bytes, 16);
	else
		assert_memory_equal(&uplink.address4, ip.bytes, 4);
}

/* Nothing is known of before; last asked within the second that is given. */
static void put_asked(struct lab *lab, uint32_t asked_s)
{
	struct nsr_followed found = {.asked_s = asked_s};
	struct nsr_followed6 found6 = {.asked_s = asked_s};
	const uint32_t *number = &lab->uplink_number[UP0];
	const int *maps = lab->datapath->maps;

	assert_int_equal(bpf_map_update_elem(maps[MAP_followed], number, &found, BPF_ANY), 0);
	assert_int_equal(bpf_map_update_elem(maps[MAP_followed6], number, &found6, BPF_ANY), 0);
}

static int address_set_up(void **state, const struct family *which)
{
	family = which;
	if (*state)
		get_old_address();
	seconds = 0;
	lab_set_up(state);
	if (*state)
		put_asked(*state, 0);
	return 0;
}

static int set_up_ipv4(void **state)
{
	return address_set_up(state, &ipv4);
}

static int set_up_ipv6(void **state)
{
	return address_set_up(state, &ipv6);
}

/* ---- Another one in its place. */

static void test_followed(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port, new_port;

	if (!kernel_chooses())
		skip();
	port = out_as(lab, family->old_ip);
	lose_address();
	get_new_address();
	next_second(lab);
	new_port = out_as(lab, family->new_ip);
	expect_sessions(lab, 2, 1);
	in(lab, family->new_ip, new_port, TRANSLATED_TO_PEER);
	in(lab, family->old_ip, port, PASSED);
	expect_address(lab, family->new_ip);
	/* And back, as user space has it. */
	get_old_address();
	next_second(lab);
	out_as(lab, family->old_ip);
	expect_sessions(lab, 3, 2);
	expect_address(lab, family->old_ip);
}

/* A session without a port. */
static void test_followed_by_address(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_nat_counters nat;
	struct frame f, wanted, back;
	struct run *run;

	if (!kernel_chooses())
		skip();
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = family->red, .dest = family->remote,
	      .protocol = IPPROTO_GRE);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	lose_address();
	get_new_address();
	next_second(lab);
	run = EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	FRAME(&wanted, .to = mac_router, .from = mac_up0, .source = family->new_ip,
	      .dest = family->remote, .protocol = IPPROTO_GRE);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
	FRAME(&back, .to = mac_up0, .from = mac_router, .source = family->remote,
	      .dest = family->new_ip, .protocol = IPPROTO_GRE);
	EXPECT_IN(lab, UP0, &back, TRANSLATED_TO_PEER);
	FRAME(&back, .to = mac_up0, .from = mac_router, .source = family->remote,
	      .dest = family->old_ip, .protocol = IPPROTO_GRE);
	EXPECT_IN(lab, UP0, &back, PASSED);
	/* That is no sign that the host has it. */
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	nat = family->ipv6 ? lab_nat6(lab, UP0) : lab_nat(lab, UP0);
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
	lab_inside_set(lab, family->inside, UP0, &settings);
	out_as(lab, family->old_ip);
	lose_address();
	get_new_address();
	next_second(lab);
	out_as(lab, family->new_ip);
	expect_sessions(lab, 2, 1);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = family->red, .dest = family->remote2,
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
	out_as(lab, family->old_ip);
	lose_address();
	get_new_address();
	next_second(lab);
	port = out_as(lab, family->new_ip);
	in(lab, family->old_ip, port, DROPPED(NAT_FILTERED));
	in(lab, family->new_ip, port, TRANSLATED_TO_PEER);
	expect_sessions(lab, 2, 1);
}

/* One for itself only, and one by the way to this packet's remote alone, are no choice. */
static void test_by_the_default_route(void **state)
{
	struct lab *lab = lab_of(state);

	if (!kernel_chooses())
		skip();
	out_as(lab, family->old_ip);
	lose_address();
	get_new_address();
	ip_command(family->get_others);
	next_second(lab);
	out_as(lab, family->new_ip);
	ip_command(family->lose_new);
	next_second(lab);
	out_as(lab, family->by_the_way);
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
	out_as(lab, family->new_ip);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = family->red, .dest = family->remote,
	      .protocol = IPPROTO_UDP, .sport = 3001, .dport = 80);
	run = EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_PORTS));
	expect_source(run, family->new_ip);
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
	struct timespec before, after;
	struct frame f;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &before);
	put_asked(lab, (uint32_t)before.tv_sec + seconds);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = family->red, .dest = family->remote,
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
	ip_command(family->find_another_way);
	do {
		translated = lab_uplink_counters(lab, UP0).tx_translated;
		within = out_when_asked(lab);
	} while (!within);
	assert_int_equal(lab_uplink_counters(lab, UP0).tx_translated, translated + 1);
	next_second(lab);
	out(lab, DROPPED(NAT_CLOSED));
}

/* Those whose address has gone end also when they are silent: of both families, for it takes
 * long.
 */
static void test_silent_flows_end(void **state)
{
	static const struct family *const both[] = {&ipv4, &ipv6};
	struct lab *lab = lab_of(state);
	const struct timespec moment = {.tv_nsec = 100000000};
	struct frame f;

	if (!kernel_chooses())
		skip();
	next_second(lab);
	for (size_t i = 0; i < 2; i++) {
		family = both[i];
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = family->blue,
		      .dest = family->remote, .protocol = IPPROTO_TCP, .sport = 4000, .dport = 80,
		      .tcp_flags = FRAME_SYN);
		EXPECT_OUT(lab, UP0, &f, TRANSLATED);
		lose_address();
		get_new_address();
	}
	next_second(lab);
	for (size_t i = 0; i < 2; i++) {
		family = both[i];
		out_as(lab, family->new_ip);
	}
	for (int i = 0; i < PASS_S * 10 && (lab_active_sessions(lab) > 1 ||
					    lab_entries(lab, MAP_session_by_flow6) > 1);
	     i++)
		nanosleep(&moment, NULL);
	for (size_t i = 0; i < 2; i++) {
		family = both[i];
		expect_sessions(lab, 2, 1);
		out_as(lab, family->new_ip);
	}
}

/* By RFC 6724: neither one that may be another's yet, nor one that is about to go, nor one for the
 * site alone. */
static void test_chosen_ipv6(void **state)
{
	struct lab *lab = lab_of(state);

	if (!kernel_chooses())
		skip();
	out_as(lab, family->old_ip);
	lose_address();
	ip_command("echo 1000 >/proc/sys/net/ipv6/conf/up0/dad_transmits && "
		   "ip address add 2001:db8:5::2/64 dev up0 && "
		   "echo 1 >/proc/sys/net/ipv6/conf/up0/dad_transmits");
	next_second(lab);
	out(lab, DROPPED(NAT_CLOSED));
	ip_command("ip address add fd77::2/64 dev up0 nodad");
	get_new_address();
	ip_command("ip address add 2001:db8:6::2/64 dev up0 nodad preferred_lft 0");
	next_second(lab);
	out_as(lab, family->new_ip);
	/* It stays as long as it is there. */
	ip_command("ip address add 2001:0:1::2/64 dev up0 nodad");
	next_second(lab);
	out_as(lab, family->new_ip);
}

/* ---- None in its place. */

static void test_closed_until_it_returns(void **state)
{
	struct lab *lab = lab_of(state);

	out_as(lab, family->old_ip);
	lose_address();
	ip_command(family->find_another_way);
	next_second(lab);
	out(lab, DROPPED(NAT_CLOSED));
	in(lab, family->old_ip, 3000, TRANSLATED_TO_PEER); /* what still arrives */
	next_second(lab);
	out(lab, DROPPED(NAT_CLOSED));
	/* The same again: its flows live on. */
	get_old_address();
	next_second(lab);
	out_as(lab, family->old_ip);
	expect_sessions(lab, 1, 0);
}

/* One that the file names: none takes its place. */
static void test_fixed(void **state)
{
	struct nsr_uplink fixed = {.address4 = address4(UPLINK_IP),
				   .port_min = LAB_PORT_MIN,
				   .port_max = LAB_PORT_MAX,
				   .fixed = !family->ipv6,
				   .fixed6 = family->ipv6};
	struct lab *lab = lab_of(state);

	memcpy(fixed.address6, lab_ip(UPLINK_IP6).bytes, sizeof(fixed.address6));
	assert_int_equal(datapath_uplink_set(lab->datapath, lab->uplink[UP0], &fixed,
					     &lab->uplink_number[UP0], &lab->err),
			 0);
	out_as(lab, family->old_ip);
	lose_address();
	get_new_address();
	next_second(lab);
	out(lab, DROPPED(NAT_CLOSED));
	get_old_address();
	next_second(lab);
	out_as(lab, family->old_ip);
	expect_sessions(lab, 1, 0);
}

/* An inside address is no external one, whatever the kernel would choose. */
static void test_never_an_inside_address(void **state)
{
	struct lab *lab = lab_of(state);

	out_as(lab, family->old_ip);
	lose_address();
	ip_command(family->get_inside);
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
	out_as(lab, family->new_ip);
	get_old_address();
	lab_uplink_set(lab, UP0, UPLINK_IP, LAB_PORT_MIN, LAB_PORT_MAX);
	out_as(lab, family->old_ip);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define IPV4(name) cmocka_unit_test_setup(name, set_up_ipv4)
#define IPV6(name) {#name "_ipv6", name, set_up_ipv6, NULL, NULL}
#define BOTH(name) IPV4(name), IPV6(name)
		BOTH(test_followed),
		BOTH(test_followed_by_address),
		BOTH(test_at_the_limit),
		BOTH(test_late_packets),
		BOTH(test_by_the_default_route),
		BOTH(test_refused_from_it),
		IPV4(test_followed_at_port),
		BOTH(test_asked_once_a_second),
		IPV4(test_silent_flows_end),
		IPV6(test_chosen_ipv6),
		BOTH(test_closed_until_it_returns),
		BOTH(test_fixed),
		BOTH(test_never_an_inside_address),
		BOTH(test_closed_by_us),
		BOTH(test_entered_again),
	};

	return LAB_MAIN(tests);
}
