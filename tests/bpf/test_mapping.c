/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mapping: address-and-port-dependent - each remote sees another external port of an inside
 * endpoint: what is sent back, limits, published ports beside it, a change of the mode, and CPUs
 * that meet. That nothing of it lasts is in test_expiry.c, too.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <pthread.h>
#include <string.h>

#include "datapath_maps.h"
#include "datapath_publish.h"

#define NETWORK  "192.168.15.0/24"
#define NETWORK6 "fd00:15::/64"
#define PORT     3000 /* of the inside endpoint */
#define REMOTES  4

static const struct remote {
	const char *ip, *ip6;
	uint16_t port;
} remotes[REMOTES] = {
	{REMOTE_IP, REMOTE_IP6, 80},
	{REMOTE_IP, REMOTE_IP6, 81},
	{REMOTE2_IP, REMOTE2_IP6, 80},
	{REMOTE2_IP, REMOTE2_IP6, 81},
};
static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};

static void set(struct lab *lab, enum nsr_mapping_mode mode, enum nsr_filter filter,
		uint32_t flows_max)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;

	settings.mapping_mode = mode;
	settings.filtering = filter;
	settings.flows_max = flows_max;
	lab_inside_set(lab, NETWORK, UP0, &settings);
	lab_inside_set(lab, NETWORK6, UP0, &settings);
}

static void set_dependent(struct lab *lab)
{
	set(lab, NSR_MAPPING_MODE_ADDRESS_AND_PORT, NSR_FILTER_ADDRESS_AND_PORT, 100);
}

static void leaving(struct frame *f, uint8_t protocol, const char *inside, uint16_t port,
		    const char *remote, uint16_t remote_port)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = inside, .dest = remote,
	      .protocol = protocol, .sport = port, .dport = remote_port, .tcp_flags = FRAME_SYN,
	      .icmp_type = FRAME_ECHO_REQUEST);
}

/* Returns the external port. */
static uint16_t out(struct lab *lab, uint8_t protocol, const char *inside, uint16_t port,
		    const char *remote, uint16_t remote_port)
{
	struct frame f;

	leaving(&f, protocol, inside, port, remote, remote_port);
	return frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
}

static uint16_t udp(struct lab *lab, const char *remote, uint16_t remote_port)
{
	return out(lab, IPPROTO_UDP, RED_IP, PORT, remote, remote_port);
}

/* What the remote sends to the external port. */
static struct run *in(struct lab *lab, uint8_t protocol, const char *remote, uint16_t remote_port,
		      uint16_t port, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = remote, .dest = UPLINK_IP,
	      .protocol = protocol, .sport = protocol == IPPROTO_ICMP ? port : remote_port,
	      .dport = port, .tcp_flags = FRAME_SYN | FRAME_ACK, .icmp_type = FRAME_ECHO_REPLY);
	return EXPECT_IN(lab, UP0, &f, outcome);
}

static void expect_answered(struct lab *lab, uint8_t protocol, const struct remote *remote,
			    uint16_t port)
{
	struct run *run = in(lab, protocol, remote->ip, remote->port, port, TRANSLATED_TO_PEER);

	assert_int_equal(run->delivered, RED);
	assert_int_equal(frame_dport(&run->out), PORT);
	assert_int_equal(frame_ip4(&run->out)->daddr, address4(RED_IP));
}

/* RFC 4787 4.1: another port for each remote, of the same parity; each gets answers to its own, and
 * from nobody else's. ICMP has no ports, so of it remotes are addresses. */
static void test_each_remote_has_its_own(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t seen[REMOTES];
	uint64_t flows = 0;
	size_t p, i, j;

	set_dependent(lab);
	for (p = 0; p < sizeof(protocols); p++) {
		size_t step = protocols[p] == IPPROTO_ICMP ? 2 : 1;

		for (i = 0; i < REMOTES; i += step) {
			seen[i] = out(lab, protocols[p], RED_IP, PORT, remotes[i].ip,
				      remotes[i].port);
			assert_int_equal(seen[i] % 2, PORT % 2);
			for (j = 0; j < i; j += step)
				assert_int_not_equal(seen[i], seen[j]);
			flows++;
		}
		assert_int_equal(seen[0], PORT); /* preserved for the first */
		for (i = 0; i < REMOTES; i += step) {
			expect_answered(lab, protocols[p], &remotes[i], seen[i]);
			in(lab, protocols[p], remotes[i].ip, remotes[i].port,
			   seen[(i + 2) % REMOTES],
			   protocols[p] == IPPROTO_ICMP ? PASSED : DROPPED(NAT_FILTERED));
			assert_int_equal(out(lab, protocols[p], RED_IP, PORT, remotes[i].ip,
					     remotes[i].port),
					 seen[i]);
		}
	}
	assert_int_equal(lab_sum(lab_nat(lab, UP0).sessions_created), flows);
	assert_int_equal(lab_sum(lab_nat(lab, UP0).mappings_created), flows);
	assert_int_equal(lab_sum(lab_nat(lab, UP0).ports_used), flows);
	assert_int_equal(lab_entries(lab, MAP_mapping_by_inside), 0);
	lab_expect_no_flows(lab);
}

static void test_ipv6(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t seen[REMOTES];
	struct run *run;
	struct frame f;
	size_t i;

	set_dependent(lab);
	for (i = 0; i < REMOTES; i++) {
		seen[i] = out(lab, IPPROTO_UDP, RED_IP6, PORT, remotes[i].ip6, remotes[i].port);
		assert_int_equal(seen[i] % 2, PORT % 2);
		assert_true(i ? seen[i] != seen[i - 1] : seen[i] == PORT);
	}
	for (i = 0; i < REMOTES; i++) {
		FRAME(&f, .to = mac_up0, .from = mac_router, .source = remotes[i].ip6,
		      .dest = UPLINK_IP6, .protocol = IPPROTO_UDP, .sport = remotes[i].port,
		      .dport = seen[i]);
		run = EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
		assert_int_equal(run->delivered, RED);
		assert_int_equal(frame_dport(&run->out), PORT);
	}
	assert_int_equal(lab_sum(lab_nat6(lab, UP0).mappings_created), REMOTES);
	assert_int_equal(lab_entries(lab, MAP_mapping_by_inside6), 0);
	lab_expect_no_flows(lab);
}

/* By the port of the namespace, which translates what has a session. */
static void test_at_the_port(void **state)
{
	struct lab *lab = lab_of(state);
	struct run *run;
	uint16_t port;
	struct frame f;
	size_t i;

	set_dependent(lab);
	for (i = 0; i < REMOTES; i++) {
		port = udp(lab, remotes[i].ip, remotes[i].port);
		FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = remotes[i].ip,
		      .sport = PORT, .dport = remotes[i].port);
		run = EXPECT_PORT_IN(lab, RED, &f, TO_NEIGHBOUR);
		assert_int_equal(frame_sport(&run->out), port);
		assert_int_equal(frame_ip4(&run->out)->saddr, address4(UPLINK_IP));
	}
	assert_int_equal(lab_active_sessions(lab), REMOTES);
	lab_expect_no_flows(lab);
}

/* The first fragment opens the flow, and each way the others go with it. */
static void test_fragments(void **state)
{
	enum { MORE = 0x2000, SECOND = 64 / 8 };
	struct lab *lab = lab_of(state);
	uint16_t port;
	struct frame f;

	set_dependent(lab);
	udp(lab, REMOTE_IP, 80);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE2_IP,
	      .sport = PORT, .dport = 80, .payload = 56, .fragment = MORE, .id = 7);
	port = frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
	assert_int_not_equal(port, PORT);
	frame_ip4(&f)->frag_off = htons(SECOND);
	frame_seal(&f);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE2_IP, .dest = UPLINK_IP,
	      .sport = 80, .dport = port, .payload = 56, .fragment = MORE, .id = 8);
	assert_int_equal(frame_dport(&EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER)->out), PORT);
	frame_ip4(&f)->frag_off = htons(SECOND);
	frame_seal(&f);
	assert_int_equal(EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER)->delivered, RED);
	assert_int_equal(lab_active_sessions(lab), 2);
	lab_expect_no_flows(lab);
}

static struct run *sends(struct lab *lab, enum lab_port from, uint16_t dport)
{
	struct frame f;

	FRAME(&f, .to = mac_br1, .from = from == RED ? mac_red : mac_blue,
	      .source = from == RED ? RED_IP : BLUE_IP, .dest = UPLINK_IP, .sport = PORT,
	      .dport = dport);
	return EXPECT_PORT_IN(lab, from, &f, TO_PEER);
}

/* RFC 4787 REQ-9: to another's port, and back; a port of red's own is for that remote, too. */
static void test_hairpin(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t reds, blues;
	struct run *run;

	set(lab, NSR_MAPPING_MODE_ADDRESS_AND_PORT, NSR_FILTER_NOTHING, 100);
	assert_int_equal(udp(lab, REMOTE_IP, 80), PORT);
	blues = out(lab, IPPROTO_UDP, BLUE_IP, PORT, REMOTE_IP, 80);
	run = sends(lab, RED, blues);
	reds = frame_sport(&run->out);
	assert_int_equal(run->delivered, BLUE);
	assert_int_equal(frame_dport(&run->out), PORT);
	assert_int_not_equal(reds, PORT);
	run = sends(lab, BLUE, reds);
	assert_int_equal(run->delivered, RED);
	assert_int_equal(frame_dport(&run->out), PORT);
	assert_int_equal(frame_sport(&run->out), blues);
	assert_int_equal(lab_active_sessions(lab), 4);
	lab_expect_no_flows(lab);
}

/* A flow counts, and so does its port: half of those that there are. */
static void test_limits(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	set(lab, NSR_MAPPING_MODE_ADDRESS_AND_PORT, NSR_FILTER_ADDRESS_AND_PORT, 2);
	udp(lab, REMOTE_IP, 80);
	udp(lab, REMOTE_IP, 81);
	leaving(&f, IPPROTO_UDP, RED_IP, PORT, REMOTE_IP, 82);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_LIMIT));
	assert_int_equal(lab_share(lab, RED).ports[NSR_NAT_UDP], 2);
	lab_expect_no_flows(lab);

	lab_uplink_set(lab, UP0, UPLINK_IP, 40000, 40003);
	set_dependent(lab);
	udp(lab, REMOTE_IP, 80);
	udp(lab, REMOTE_IP, 81);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_LIMIT));
	/* Others have the other half, and then there is none. */
	out(lab, IPPROTO_UDP, BLUE_IP, PORT, REMOTE_IP, 80);
	out(lab, IPPROTO_UDP, BLUE_IP, PORT, REMOTE_IP, 81);
	leaving(&f, IPPROTO_UDP, GREEN_IP, PORT, REMOTE_IP, 80);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_PORTS));
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_UDP), 4);
	lab_expect_no_flows(lab);
}

/* Where the filter lets in more, what comes to a port is answered from it. */
static void test_filters(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t first, second;

	set(lab, NSR_MAPPING_MODE_ADDRESS_AND_PORT, NSR_FILTER_NOTHING, 100);
	first = udp(lab, REMOTE_IP, 80);
	second = udp(lab, REMOTE_IP, 81);
	in(lab, IPPROTO_UDP, REMOTE2_IP, 90, second, TRANSLATED_TO_PEER);
	assert_int_equal(udp(lab, REMOTE2_IP, 90), second);
	assert_int_equal(lab_active_sessions(lab), 3);
	/* The endpoint could not tell the two apart. */
	in(lab, IPPROTO_UDP, REMOTE_IP, 80, second, DROPPED(NAT_CONTENTION));
	lab_expect_no_flows(lab);

	set(lab, NSR_MAPPING_MODE_ADDRESS_AND_PORT, NSR_FILTER_ADDRESS, 100);
	first = udp(lab, REMOTE_IP, 80);
	in(lab, IPPROTO_UDP, REMOTE_IP, 90, first, TRANSLATED_TO_PEER);
	in(lab, IPPROTO_UDP, REMOTE2_IP, 90, first, DROPPED(NAT_FILTERED));
	lab_expect_no_flows(lab);
}

/* What is published is for all remotes; what the endpoint had before ends, and what it begins when
 * it is published no more has a port of its own again. */
static void expect_published(struct lab *lab, bool ipv6)
{
	static const char *const reds[] = {RED_IP, RED_IP6}, *const to[] = {REMOTE_IP, REMOTE_IP6},
				 *const to2[] = {REMOTE2_IP, REMOTE2_IP6};
	static const int flows[] = {MAP_session_by_flow, MAP_session_by_flow6};
	const struct published_ports sip = {6060, PORT, 1, NSR_NAT_UDP};
	const struct ip_address inside = lab_ip(reds[ipv6]);
	uint16_t first;

	assert_int_equal(out(lab, IPPROTO_UDP, reds[ipv6], PORT, to[ipv6], 80), PORT);
	assert_int_equal(
		datapath_publish(lab->datapath, lab->uplink[UP0], &inside, &sip, -1, &lab->err), 0);
	assert_int_equal(lab_entries(lab, flows[ipv6]), 0);
	assert_int_equal(out(lab, IPPROTO_UDP, reds[ipv6], PORT, to[ipv6], 80), 6060);
	assert_int_equal(out(lab, IPPROTO_UDP, reds[ipv6], PORT, to2[ipv6], 80), 6060);
	assert_int_equal(datapath_unpublish(lab->datapath, lab->uplink[UP0], ipv6, &sip, &lab->err),
			 0);
	assert_int_equal(lab_entries(lab, flows[ipv6]), 0);
	first = out(lab, IPPROTO_UDP, reds[ipv6], PORT, to[ipv6], 80);
	assert_int_not_equal(first, out(lab, IPPROTO_UDP, reds[ipv6], PORT, to2[ipv6], 80));
}

static void test_published(void **state)
{
	struct lab *lab = lab_of(state);

	set_dependent(lab);
	expect_published(lab, false);
	expect_published(lab, true);
	lab_expect_no_flows(lab);
}

/* Flows that run keep their port, whichever mode they are of. */
static void test_changes_in_place(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t other;

	assert_int_equal(udp(lab, REMOTE_IP, 80), PORT);
	assert_int_equal(udp(lab, REMOTE_IP, 81), PORT);
	set_dependent(lab);
	assert_int_equal(udp(lab, REMOTE_IP, 80), PORT);
	other = udp(lab, REMOTE2_IP, 80);
	assert_int_not_equal(other, PORT);
	set(lab, NSR_MAPPING_MODE_ENDPOINT_INDEPENDENT, NSR_FILTER_ADDRESS_AND_PORT, 100);
	assert_int_equal(udp(lab, REMOTE2_IP, 80), other);
	assert_int_equal(udp(lab, REMOTE2_IP, 81), PORT);
	assert_int_equal(lab_sum(lab_nat(lab, UP0).mappings_created), 2);
	lab_expect_no_flows(lab);
}

#define FLOWS 1000

struct rush {
	struct lab *lab;
	uint16_t ports[FLOWS]; /* that were seen; 0: dropped */
	uint32_t lost[FLOWS];  /* packets before that */
};

/* What is dropped because another CPU is at it, which is stopped just then, is sent again. */
static void *open_flows(void *argument)
{
	struct rush *rush = argument;
	struct frame f, seen;

	for (uint16_t i = 0; i < FLOWS; i++) {
		leaving(&f, IPPROTO_UDP, RED_IP, PORT, REMOTE_IP, (uint16_t)(1 + i));
		for (int tries = 0; tries < 1000 && !rush->ports[i]; tries++)
			if (lab_run(rush->lab, DATAPATH_UPLINK_OUT, rush->lab->uplink[UP0], &f,
				    &seen) == TC_ACT_UNSPEC)
				rush->ports[i] = frame_sport(&seen);
			else
				rush->lost[i]++;
	}
	return NULL;
}

static uint64_t contention(struct lab *lab)
{
	struct nsr_drops drops;

	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_uplink_drops],
					     &lab->uplink_number[UP0], &drops),
			 0);
	return drops.packets[NSR_DROP_NAT_CONTENTION];
}

/* Two threads open the same flows: one port each, and nothing is left of what the loser took but
 * ports that cool down. A packet is lost only against one that is not, and is counted; one thread
 * alone loses none. */
static void test_same_flows_at_once(void **state)
{
	static uint8_t taken[NSR_POOL_PORTS];
	struct lab *lab = lab_of(state);
	static struct rush rush[2];
	struct nsr_nat_counters nat;
	pthread_t threads[2];
	uint64_t lost = 0;

	memset(taken, 0, sizeof(taken));
	memset(rush, 0, sizeof(rush));
	set(lab, NSR_MAPPING_MODE_ADDRESS_AND_PORT, NSR_FILTER_ADDRESS_AND_PORT, 2 * FLOWS);
	rush[0].lab = rush[1].lab = lab;
	open_flows(&rush[0]);
	for (int i = 0; i < FLOWS; i++)
		assert_int_equal(rush[0].lost[i], 0);
	lab_set_up(state);
	set(lab, NSR_MAPPING_MODE_ADDRESS_AND_PORT, NSR_FILTER_ADDRESS_AND_PORT, 2 * FLOWS);
	memset(rush[0].ports, 0, sizeof(rush[0].ports));
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, open_flows, &rush[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < FLOWS; i++) {
		assert_int_not_equal(rush[0].ports[i], 0);
		assert_int_equal(rush[0].ports[i], rush[1].ports[i]);
		assert_int_equal(taken[rush[0].ports[i]]++, 0);
		assert_true(!rush[0].lost[i] || !rush[1].lost[i]);
		lost += rush[0].lost[i] + rush[1].lost[i];
	}
	assert_int_equal(contention(lab), lost);
	nat = lab_nat(lab, UP0);
	assert_int_equal(lab_active_sessions(lab), FLOWS);
	assert_int_equal(nat.sessions_created[NSR_NAT_UDP], FLOWS);
	assert_int_equal(nat.mappings_created[NSR_NAT_UDP] - nat.mappings_ended[NSR_NAT_UDP],
			 FLOWS);
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_UDP), nat.ports_used[NSR_NAT_UDP]);
	assert_int_equal(lab_share(lab, RED).ports[NSR_NAT_UDP], nat.ports_used[NSR_NAT_UDP]);
	assert_int_equal(lab_flows_of(lab, RED), FLOWS);
	lab_expect_no_flows(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_each_remote_has_its_own),
		LAB_TEST(test_ipv6),
		LAB_TEST(test_at_the_port),
		LAB_TEST(test_fragments),
		LAB_TEST(test_hairpin),
		LAB_TEST(test_limits),
		LAB_TEST(test_filters),
		LAB_TEST(test_published),
		LAB_TEST(test_changes_in_place),
		LAB_TEST(test_same_flows_at_once),
	};

	return LAB_MAIN(tests);
}
