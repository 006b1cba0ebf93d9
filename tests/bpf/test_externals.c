/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An uplink with several external addresses: each inside address has one of them for all that it
 * begins (RFC 4787 REQ-2), what comes in is for who has the address that it was sent to, and when
 * the set changes no inside address has two at once.
 *
 * Of the lab's uplink the first is UPLINK_IP. The second is chosen so that it is red's, and blue
 * has the first.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datapath_maps.h"
#include "datapath_publish.h"

#define OWN_NETNS (-1)
#define GRE       47
#define MORE      0x2000
#define HOSTS     240 /* inside addresses of a test: 192.168.15.2 on */

static char second[INET_ADDRSTRLEN]; /* red's */
static char third[INET_ADDRSTRLEN];

static struct nsr_uplink entry_of(const char *const *externals, size_t count)
{
	struct nsr_uplink entry = {
		.port_min = LAB_PORT_MIN, .port_max = LAB_PORT_MAX, .fixed = 1, .fixed6 = 1};

	entry.address4 = address4(externals[0]);
	memcpy(entry.address6, lab_ip(UPLINK_IP6).bytes, sizeof(entry.address6));
	for (size_t i = 1; i < count; i++)
		entry.more4[i - 1] = address4(externals[i]);
	return entry;
}

/* In the places of externals; NULL: none is there. */
static void set(struct lab *lab, const char *one, const char *two, const char *three)
{
	const char *const externals[] = {one, two ? two : "0.0.0.0", three ? three : "0.0.0.0"};
	struct nsr_uplink entry = entry_of(externals, 3);

	if (datapath_uplink_set(lab->datapath, lab->uplink[UP0], &entry, NULL, &lab->err))
		fail_msg("%s", lab->err.message);
}

static struct nsr_uplink entered(struct lab *lab)
{
	struct nsr_uplink entry;

	assert_int_equal(
		bpf_map_lookup_elem(lab->datapath->maps[MAP_uplinks], &lab->uplink[UP0], &entry),
		0);
	return entry;
}

static __be32 external_of(const struct nsr_uplink *entry, uint32_t slot)
{
	for (size_t i = 0; slot != entry->index && i < NSR_MORE_MAX; i++)
		if (entry->slots[i] == slot)
			return entry->more4[i];
	assert_int_equal(slot, entry->index);
	return entry->address4;
}

/* The external address that an inside one is to have, by what is entered. */
static __be32 paired(struct lab *lab, const char *inside)
{
	const struct nsr_uplink entry = entered(lab);

	return external_of(&entry, nsr_pair(&entry, address4(inside)));
}

static void ip_address(const char *verb, const char *address)
{
	char command[80];

	snprintf(command, sizeof(command), "ip address %s %s/32 dev up0", verb, address);
	if (system(command) != 0)
		fail_msg("%s", command);
}

static bool suits(struct lab *lab, const char *candidate)
{
	const char *const externals[] = {UPLINK_IP, candidate};
	struct nsr_uplink entry = entry_of(externals, 2);

	entry.index = lab->uplink_number[UP0];
	entry.slots[0] = NSR_UPLINKS_MAX;
	return nsr_pair(&entry, address4(RED_IP)) == NSR_UPLINKS_MAX &&
	       nsr_pair(&entry, address4(BLUE_IP)) == entry.index;
}

static int set_up(void **state)
{
	struct lab *lab;
	int ret = lab_set_up(state);

	if (ret || !*state)
		return ret;
	lab = *state;
	if (*second)
		return 0;
	for (unsigned int i = 10; i < 250 && !*third; i++) {
		char candidate[INET_ADDRSTRLEN];

		snprintf(candidate, sizeof(candidate), "198.51.100.%u", i);
		if (!suits(lab, candidate))
			continue;
		strcpy(*second ? third : second, candidate);
		ip_address("add", candidate);
	}
	return 0;
}

/* ---- Packets. */

static struct frame *out(struct lab *lab, const char *inside, const char *remote, uint8_t protocol,
			 uint16_t sport, uint8_t flags, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = inside, .dest = remote,
	      .protocol = protocol, .sport = sport, .dport = 80, .tcp_flags = flags,
	      .icmp_type = FRAME_ECHO_REQUEST, .payload = 20);
	return &EXPECT_OUT(lab, UP0, &f, outcome)->out;
}

static void leaves_by(struct lab *lab, const char *inside, uint16_t sport, const char *external)
{
	struct frame *f = out(lab, inside, REMOTE_IP, IPPROTO_UDP, sport, 0, TRANSLATED);

	assert_int_equal(frame_ip4(f)->saddr, address4(external));
}

static struct run *in(struct lab *lab, const char *external, uint8_t protocol, uint16_t sport,
		      uint16_t dport, uint8_t flags, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = external,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = flags,
	      .icmp_type = FRAME_ECHO_REPLY, .payload = 20);
	return EXPECT_IN(lab, UP0, &f, outcome);
}

static void publish(struct lab *lab, const char *at, const char *ip)
{
	const struct published_ports web = {8080, 80, 1, NSR_NAT_TCP};
	const struct ip_address inside = lab_ip(ip);
	struct ip_address external = {0};

	if (at)
		external = lab_ip(at);
	if (datapath_publish_at(lab->datapath, lab->uplink[UP0], &external, &inside, &web,
				OWN_NETNS, &lab->err))
		fail_msg("%s", lab->err.message);
}

static void unpublish(struct lab *lab, const char *at)
{
	const struct published_ports web = {8080, 80, 1, NSR_NAT_TCP};
	struct ip_address external = {0};

	if (at)
		external = lab_ip(at);
	if (datapath_unpublish_at(lab->datapath, lab->uplink[UP0], false, &external, &web,
				  &lab->err))
		fail_msg("%s", lab->err.message);
}

/* No session is translated to another address than that of its mapping, and none that the inside
 * began to another than its own. */
static void expect_none_mixed(struct lab *lab)
{
	const struct nsr_uplink entry = entered(lab);
	struct nsr_flow key, *previous = NULL;

	while (!bpf_map_get_next_key(lab->datapath->maps[MAP_session_by_flow], previous, &key)) {
		struct nsr_session_ref ref;
		struct nsr_session session;
		uint32_t slot = nsr_pair(&entry, key.inside.address);

		previous = &key;
		if (bpf_map_lookup_elem(lab->datapath->maps[MAP_session_by_flow], &key, &ref) ||
		    bpf_map_lookup_elem(lab->datapath->maps[MAP_sessions], &ref.session, &session))
			continue;
		assert_int_equal(NSR_MAPPING_SLOT(session.mapping), slot);
		assert_int_equal(session.external, external_of(&entry, slot));
	}
}

/* ---- What is begun inside. */

static void test_paired(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMP};
	struct lab *lab = lab_of(state);
	unsigned int seconds = 0;

	set(lab, UPLINK_IP, second, NULL);
	for (unsigned int i = 0; i < HOSTS; i++) {
		char inside[INET_ADDRSTRLEN];
		__be32 external;

		snprintf(inside, sizeof(inside), "192.168.15.%u", i + 2);
		external = paired(lab, inside);
		seconds += external == address4(second);
		for (size_t j = 0; j < sizeof(protocols); j++) {
			struct frame *f = out(lab, inside, j ? REMOTE_IP : REMOTE2_IP, protocols[j],
					      (uint16_t)(3000 + j), FRAME_SYN, TRANSLATED);

			assert_int_equal(frame_ip4(f)->saddr, external);
			assert_int_equal(frame_sport(f) & 1, (3000 + j) & 1);
		}
	}
	assert_in_range(seconds, HOSTS / 3, 2 * HOSTS / 3);
	expect_none_mixed(lab);
	lab_expect_no_flows(lab);
}

/* The ports of one address are not those of another. */
static void test_ports_apart(void **state)
{
	struct lab *lab = lab_of(state);

	set(lab, UPLINK_IP, second, NULL);
	leaves_by(lab, RED_IP, 3000, second);
	leaves_by(lab, BLUE_IP, 3000, UPLINK_IP);
	assert_int_equal(in(lab, second, IPPROTO_UDP, 80, 3000, 0, TRANSLATED_TO_PEER)->delivered,
			 RED);
	assert_int_equal(
		in(lab, UPLINK_IP, IPPROTO_UDP, 80, 3000, 0, TRANSLATED_TO_PEER)->delivered, BLUE);
	leaves_by(lab, RED_IP, 3001, second);
	in(lab, UPLINK_IP, IPPROTO_UDP, 80, 3001, 0, PASSED);
	in(lab, second, IPPROTO_UDP, 81, 3001, 0, DROPPED(NAT_FILTERED));
	assert_int_equal(lab_nat(lab, UP0).ports_used[NSR_NAT_UDP], 3);
	lab_expect_no_flows(lab);
}

/* A port's hook translates by the session, whichever address that has. */
static void test_port(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	set(lab, UPLINK_IP, second, NULL);
	leaves_by(lab, RED_IP, 3000, second);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_UDP, .sport = 3000, .dport = 80, .payload = 20);
	for (int i = 0; i < 3; i++)
		assert_int_equal(frame_ip4(&EXPECT_PORT_IN(lab, RED, &f, TO_NEIGHBOUR)->out)->saddr,
				 address4(second));
	lab_expect_no_flows(lab);
}

/* ---- What is rare. */

static void test_fragments(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame first, later, *f;
	uint16_t id;

	set(lab, UPLINK_IP, second, NULL);
	FRAME(&first, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = 3000, .dport = 80, .fragment = MORE, .payload = 56, .id = 77);
	FRAME(&later, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .fragment = 8, .payload = 56, .id = 77);
	f = &EXPECT_OUT(lab, UP0, &first, TRANSLATED)->out;
	assert_int_equal(frame_ip4(f)->saddr, address4(second));
	id = frame_ip4(f)->id;
	f = &EXPECT_OUT(lab, UP0, &later, TRANSLATED)->out;
	assert_int_equal(frame_ip4(f)->saddr, address4(second));
	assert_int_equal(frame_ip4(f)->id, id);
	/* What comes in. */
	FRAME(&first, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = second,
	      .sport = 80, .dport = 3000, .fragment = MORE, .payload = 56, .id = 78);
	FRAME(&later, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = second,
	      .fragment = 8, .payload = 56, .id = 78);
	EXPECT_IN(lab, UP0, &first, TRANSLATED_TO_PEER);
	EXPECT_IN(lab, UP0, &later, TRANSLATED_TO_PEER);
	FRAME(&first, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .sport = 80, .dport = 3000, .fragment = MORE, .payload = 56, .id = 78);
	EXPECT_IN(lab, UP0, &first, PASSED);
	lab_expect_no_flows(lab);
}

/* Fragments of an answer follow its first, by an address that is not the inside one's own. */
static void test_fragments_of_published(void **state)
{
	const struct published_ports dns = {5353, 53, 1, NSR_NAT_UDP};
	const struct ip_address inside = lab_ip(RED_IP), none = {0};
	struct lab *lab = lab_of(state);
	struct frame first, later;

	set(lab, UPLINK_IP, second, NULL);
	assert_int_equal(datapath_publish_at(lab->datapath, lab->uplink[UP0], &none, &inside, &dns,
					     OWN_NETNS, &lab->err),
			 0);
	in(lab, UPLINK_IP, IPPROTO_UDP, 4000, 5353, 0, TRANSLATED_TO_PEER);
	FRAME(&first, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = 53, .dport = 4000, .fragment = MORE, .payload = 56, .id = 79);
	FRAME(&later, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .fragment = 8, .payload = 56, .id = 79);
	assert_int_equal(frame_ip4(&EXPECT_OUT(lab, UP0, &first, TRANSLATED)->out)->saddr,
			 address4(UPLINK_IP));
	assert_int_equal(frame_ip4(&EXPECT_OUT(lab, UP0, &later, TRANSLATED)->out)->saddr,
			 address4(UPLINK_IP));
	assert_int_equal(datapath_unpublish_at(lab->datapath, lab->uplink[UP0], false, &none, &dns,
					       &lab->err),
			 0);
	lab_expect_no_flows(lab);
}

static void test_errors(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame about, f, *got;

	set(lab, UPLINK_IP, second, NULL);
	leaves_by(lab, RED_IP, 3000, second);
	/* Of a router, about what has left. */
	FRAME(&about, .to = mac_router, .from = mac_up0, .source = second, .dest = REMOTE_IP,
	      .protocol = IPPROTO_UDP, .sport = 3000, .dport = 80, .payload = 20);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = "198.51.100.77", .dest = second,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_TIME_EXCEEDED, .quoted = &about,
	      .quoted_beyond = 8);
	got = &EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER)->out;
	assert_int_equal(frame_ip4(got)->daddr, address4(RED_IP));
	/* The same about the other address, which has not sent it. */
	FRAME(&about, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_UDP, .sport = 3000, .dport = 80, .payload = 20);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = "198.51.100.77", .dest = UPLINK_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_TIME_EXCEEDED, .quoted = &about,
	      .quoted_beyond = 8);
	EXPECT_IN(lab, UP0, &f, PASSED);
	/* Of the inside, about what has come: in the name of the address that it came to. */
	FRAME(&about, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = RED_IP,
	      .protocol = IPPROTO_UDP, .sport = 80, .dport = 3000, .payload = 20);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .icmp_code = 3,
	      .quoted = &about, .quoted_beyond = 8);
	got = &EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out;
	assert_int_equal(frame_ip4(got)->saddr, address4(second));
	assert_int_equal(((struct iphdr *)(frame_transport(got) + 8))->daddr, address4(second));
	lab_expect_no_flows(lab);
}

/* An error about what came to an address that the inside one has not for what it begins. */
static void test_errors_of_published(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame about, f, *got;

	set(lab, UPLINK_IP, second, NULL);
	publish(lab, NULL, RED_IP);
	in(lab, UPLINK_IP, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	FRAME(&about, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = RED_IP,
	      .protocol = IPPROTO_TCP, .sport = 4000, .dport = 80, .payload = 20);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .icmp_code = 3,
	      .quoted = &about, .quoted_beyond = 8);
	got = &EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out;
	assert_int_equal(frame_ip4(got)->saddr, address4(UPLINK_IP));
	assert_int_equal(((struct iphdr *)(frame_transport(got) + 8))->daddr, address4(UPLINK_IP));
	unpublish(lab, NULL);
	lab_expect_no_flows(lab);
}

static void gre(struct frame *f, const char *source, const char *dest, bool leaves)
{
	FRAME(f, .to = leaves ? mac_router : mac_up0, .from = leaves ? mac_up0 : mac_router,
	      .source = source, .dest = dest, .protocol = GRE, .payload = 60);
}

/* Who speaks a protocol to a remote keeps it, though another inside address has another external
 * one; nothing that comes to that one is for it. */
static void test_portless(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	set(lab, UPLINK_IP, second, NULL);
	gre(&f, RED_IP, REMOTE_IP, true);
	assert_int_equal(frame_ip4(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out)->saddr,
			 address4(second));
	gre(&f, BLUE_IP, REMOTE_IP, true);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_AMBIGUOUS));
	gre(&f, BLUE_IP, REMOTE2_IP, true);
	assert_int_equal(frame_ip4(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out)->saddr,
			 address4(UPLINK_IP));
	gre(&f, REMOTE_IP, second, false);
	assert_int_equal(EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER)->delivered, RED);
	gre(&f, REMOTE_IP, UPLINK_IP, false);
	EXPECT_IN(lab, UP0, &f, PASSED);
	assert_int_equal(lab_active_sessions(lab), 2);
	/* Red's address goes: so does its session, and blue's stays. */
	set(lab, UPLINK_IP, NULL, NULL);
	assert_int_equal(lab_active_sessions(lab), 1);
	lab_expect_no_flows(lab);
}

/* ---- Addresses that come and go. */

static void test_change(void **state)
{
	struct lab *lab = lab_of(state);
	__be32 before[HOSTS];
	uint32_t active;

	set(lab, UPLINK_IP, second, NULL);
	for (unsigned int round = 0; round < 2; round++) {
		unsigned int moved = 0;

		for (unsigned int i = 0; i < HOSTS; i++) {
			char inside[INET_ADDRSTRLEN];

			snprintf(inside, sizeof(inside), "192.168.15.%u", i + 2);
			before[i] = frame_ip4(out(lab, inside, REMOTE_IP, IPPROTO_UDP, 3000, 0,
						  TRANSLATED))
					    ->saddr;
		}
		assert_int_equal(lab_active_sessions(lab), HOSTS);
		set(lab, UPLINK_IP, second, round ? NULL : third);
		expect_none_mixed(lab);
		active = lab_active_sessions(lab);
		for (unsigned int i = 0; i < HOSTS; i++) {
			char inside[INET_ADDRSTRLEN];

			snprintf(inside, sizeof(inside), "192.168.15.%u", i + 2);
			if (paired(lab, inside) == before[i])
				continue;
			/* Only to the one that has come, or from the one that has gone. */
			assert_int_equal(round ? before[i] : paired(lab, inside), address4(third));
			moved++;
		}
		assert_in_range(moved, HOSTS / 5, HOSTS / 2);
		assert_int_equal(active, HOSTS - moved);
	}
	assert_int_equal(entered(lab).slots[1], 0);
	lab_expect_no_flows(lab);
}

/* The first goes, and another one takes its place: the flows of both end, those of others stay. */
static void test_first_goes(void **state)
{
	struct lab *lab = lab_of(state);

	set(lab, UPLINK_IP, second, NULL);
	leaves_by(lab, RED_IP, 3000, second);
	leaves_by(lab, BLUE_IP, 3000, UPLINK_IP);
	set(lab, second, NULL, NULL);
	assert_int_equal(lab_active_sessions(lab), 0);
	leaves_by(lab, RED_IP, 3000, second);
	leaves_by(lab, BLUE_IP, 3000, second);
	set(lab, UPLINK_IP, second, NULL);
	expect_none_mixed(lab);
	leaves_by(lab, RED_IP, 3000, second);
	leaves_by(lab, BLUE_IP, 3000, UPLINK_IP);
	lab_expect_no_flows(lab);
}

/* While the set changes nothing begins, and what runs goes on. Who comes after a process that was
 * killed then ends all. */
static void test_killed(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_uplink entry;

	set(lab, UPLINK_IP, second, NULL);
	leaves_by(lab, RED_IP, 3000, second);
	entry = entered(lab);
	entry.flags |= NSR_UPLINK_CHANGING4;
	assert_int_equal(bpf_map_update_elem(lab->datapath->maps[MAP_uplinks], &lab->uplink[UP0],
					     &entry, BPF_ANY),
			 0);
	leaves_by(lab, RED_IP, 3000, second);
	in(lab, second, IPPROTO_UDP, 80, 3000, 0, TRANSLATED_TO_PEER);
	out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3001, 0, DROPPED(NAT_CLOSED));
	out(lab, BLUE_IP, REMOTE_IP, IPPROTO_TCP, 3001, FRAME_SYN, DROPPED(NAT_CLOSED));
	set(lab, UPLINK_IP, second, NULL);
	assert_int_equal(lab_active_sessions(lab), 0);
	leaves_by(lab, RED_IP, 3001, second);
	lab_expect_no_flows(lab);
}

/* Closed is closed for each of the addresses, and nothing of a slot is left. */
static void test_taken_away(void **state)
{
	struct lab *lab = lab_of(state);
	uint32_t pools = 0;

	set(lab, UPLINK_IP, second, third);
	publish(lab, second, RED_IP);
	leaves_by(lab, RED_IP, 3000,
		  (char *)(paired(lab, RED_IP) == address4(second) ? second : third));
	assert_int_equal(datapath_uplink_delete(lab->datapath, lab->uplink[UP0], &lab->err), 0);
	assert_int_equal(lab_active_sessions(lab), 0);
	assert_int_equal(lab_entries(lab, MAP_published), 0);
	for (uint32_t slot = NSR_UPLINKS_MAX; slot < NSR_SLOTS_MAX; slot++) {
		uint32_t pool = NSR_POOL(slot, NSR_NAT_UDP), id, ifindex = 0;

		pools += !bpf_map_lookup_elem(lab->datapath->maps[MAP_pools], &pool, &id);
		assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_uplink_by_index],
						     &slot, &ifindex),
				 0);
		assert_int_equal(ifindex, 0);
	}
	assert_int_equal(pools, 0);
}

/* A second from now, for what is asked once a second. */
static void let_ask(void)
{
	const struct timespec second_and_some = {1, 100000000};

	nanosleep(&second_and_some, NULL);
}

/* One that the host loses: what is inside has no other, until it is back. */
static void test_gone(void **state)
{
	struct lab *lab = lab_of(state);

	set(lab, UPLINK_IP, second, NULL);
	leaves_by(lab, RED_IP, 3000, second);
	leaves_by(lab, BLUE_IP, 3000, UPLINK_IP);
	ip_address("del", second);
	let_ask();
	out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 0, DROPPED(NAT_CLOSED));
	out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3001, 0, DROPPED(NAT_CLOSED));
	leaves_by(lab, BLUE_IP, 3000, UPLINK_IP);
	leaves_by(lab, BLUE_IP, 3001, UPLINK_IP);
	ip_address("add", second);
	let_ask();
	leaves_by(lab, RED_IP, 3000, second);
	assert_int_equal(lab_active_sessions(lab), 3);
	lab_expect_no_flows(lab);
}

/* ---- Published ports. */

/* On each address; what the namespace begins leaves by its own one. */
static void test_published(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame *f;

	set(lab, UPLINK_IP, second, NULL);
	publish(lab, NULL, RED_IP);
	publish(lab, second, RED_IP);
	for (int i = 0; i < 2; i++) {
		const char *external = i ? second : UPLINK_IP;
		uint16_t client = (uint16_t)(4000 + i);

		in(lab, external, IPPROTO_TCP, client, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
		f = out(lab, RED_IP, REMOTE_IP, IPPROTO_TCP, 80, FRAME_SYN | FRAME_ACK, TRANSLATED);
		assert_int_equal(frame_ip4(f)->saddr, address4(second));
		assert_int_equal(frame_sport(f), 8080);
	}
	assert_int_equal(lab_active_sessions(lab), 3);
	/* Where red's own address is the first now: so is that of what it begins. */
	set(lab, UPLINK_IP, NULL, NULL);
	in(lab, second, IPPROTO_TCP, 4005, 8080, FRAME_SYN, PASSED);
	f = out(lab, RED_IP, REMOTE_IP, IPPROTO_TCP, 80, FRAME_SYN | FRAME_ACK, TRANSLATED);
	assert_int_equal(frame_ip4(f)->saddr, address4(UPLINK_IP));
	assert_int_equal(frame_sport(f), 8080);
	assert_int_equal(lab_active_sessions(lab), 1);
	unpublish(lab, NULL);
	assert_int_equal(lab_entries(lab, MAP_published), 0);
	lab_expect_no_flows(lab);
}

/* Of the answer's client: the address that it sent to. */
static void test_published_answers(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, *got;

	set(lab, UPLINK_IP, second, NULL);
	publish(lab, NULL, RED_IP);
	in(lab, UPLINK_IP, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_TCP, .sport = 80, .dport = 4000,
	      .tcp_flags = FRAME_SYN | FRAME_ACK);
	got = &EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out;
	assert_int_equal(frame_ip4(got)->saddr, address4(UPLINK_IP));
	assert_int_equal(frame_sport(got), 8080);
	/* What red begins from there has nothing to do with it. */
	got = out(lab, RED_IP, REMOTE2_IP, IPPROTO_TCP, 80, FRAME_SYN, TRANSLATED);
	assert_int_equal(frame_ip4(got)->saddr, address4(second));
	unpublish(lab, NULL);
	lab_expect_no_flows(lab);
}

/* ---- The host, and hairpins. */

/* Red reaches blue by blue's address, and is seen by its own; the answer comes back. */
static void test_hairpin(void **state)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);
	struct frame f, *got;

	settings.filtering = NSR_FILTER_NOTHING;
	lab_inside_set(lab, "192.168.15.0/24", UP0, &settings);
	set(lab, UPLINK_IP, second, NULL);
	leaves_by(lab, BLUE_IP, 3000, UPLINK_IP);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_UDP, .sport = 5000, .dport = 3000, .payload = 20);
	got = &EXPECT_PORT_IN(lab, RED, &f, TO_PEER)->out;
	assert_int_equal(frame_ip4(got)->saddr, address4(second));
	assert_int_equal(frame_ip4(got)->daddr, address4(BLUE_IP));
	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = BLUE_IP, .dest = second,
	      .protocol = IPPROTO_UDP, .sport = 3000, .dport = 5000, .payload = 20);
	got = &EXPECT_PORT_IN(lab, BLUE, &f, TO_PEER)->out;
	assert_int_equal(frame_ip4(got)->saddr, address4(UPLINK_IP));
	assert_int_equal(frame_ip4(got)->daddr, address4(RED_IP));
	/* The port of the one address is not mapped at the other. */
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = second,
	      .protocol = IPPROTO_UDP, .sport = 5001, .dport = 3000, .payload = 20);
	EXPECT_PORT_IN(lab, RED, &f, TO_KERNEL);
	lab_expect_no_flows(lab);
}

/* An error about what came by hairpin goes back translated on both sides. */
static void test_hairpin_error(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about, *got;

	set(lab, UPLINK_IP, second, NULL);
	publish(lab, NULL, BLUE_IP);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_TCP, .sport = 5000, .dport = 8080, .tcp_flags = FRAME_SYN);
	got = &EXPECT_PORT_IN(lab, RED, &f, TO_PEER)->out;
	assert_int_equal(frame_ip4(got)->saddr, address4(second));
	FRAME(&about, .to = mac_blue, .from = mac_br1, .source = second, .dest = BLUE_IP,
	      .protocol = IPPROTO_TCP, .sport = 5000, .dport = 80, .tcp_flags = FRAME_SYN);
	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = BLUE_IP, .dest = second,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .icmp_code = 3,
	      .quoted = &about, .quoted_beyond = 8);
	got = &EXPECT_PORT_IN(lab, BLUE, &f, TO_PEER)->out;
	assert_int_equal(frame_ip4(got)->saddr, address4(UPLINK_IP));
	assert_int_equal(frame_ip4(got)->daddr, address4(RED_IP));
	assert_int_equal(((struct iphdr *)(frame_transport(got) + 8))->saddr, address4(RED_IP));
	assert_int_equal(((struct iphdr *)(frame_transport(got) + 8))->daddr, address4(UPLINK_IP));
	unpublish(lab, NULL);
	lab_expect_no_flows(lab);
}

/* What the host sends to itself, by whichever of the addresses, and what comes back. */
static void test_local(void **state)
{
	const struct nsr_uplink loopback = {
		.address4 = address4("127.0.0.1"), .port_min = 1, .port_max = 65535};
	static const uint8_t nobody[6];
	struct lab *lab = lab_of(state);
	struct frame f, got;

	set(lab, UPLINK_IP, second, NULL);
	assert_int_equal(
		datapath_uplink_set(lab->datapath, STATE_LOOPBACK, &loopback, NULL, &lab->err), 0);
	publish(lab, second, BLUE_IP);
	FRAME(&f, .to = nobody, .from = nobody, .source = second, .dest = second,
	      .protocol = IPPROTO_TCP, .sport = 5000, .dport = 8080, .tcp_flags = FRAME_SYN);
	assert_int_equal(lab_run(lab, DATAPATH_LOCAL_OUT, STATE_LOOPBACK, &f, &got),
			 TC_ACT_REDIRECT);
	assert_int_equal(frame_ip4(&got)->saddr, address4(second));
	assert_int_equal(frame_ip4(&got)->daddr, address4(BLUE_IP));
	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = BLUE_IP, .dest = second,
	      .protocol = IPPROTO_TCP, .sport = 80, .dport = 5000,
	      .tcp_flags = FRAME_SYN | FRAME_ACK);
	got = EXPECT_PORT_IN(lab, BLUE, &f, TO_NEIGHBOUR)->out;
	assert_int_equal(frame_ip4(&got)->saddr, address4(second));
	assert_int_equal(frame_sport(&got), 8080);
	FRAME(&f, .to = nobody, .from = nobody, .source = UPLINK_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_TCP, .sport = 5000, .dport = 8080, .tcp_flags = FRAME_SYN);
	assert_int_equal(lab_run(lab, DATAPATH_LOCAL_OUT, STATE_LOOPBACK, &f, &got), TC_ACT_UNSPEC);
	/* From another of them; but from no other address of the host's. */
	FRAME(&f, .to = nobody, .from = nobody, .source = "10.9.0.1", .dest = second,
	      .protocol = IPPROTO_TCP, .sport = 5001, .dport = 8080, .tcp_flags = FRAME_SYN);
	assert_int_equal(lab_run(lab, DATAPATH_LOCAL_OUT, STATE_LOOPBACK, &f, &got), TC_ACT_UNSPEC);
	FRAME(&f, .to = nobody, .from = nobody, .source = UPLINK_IP, .dest = second,
	      .protocol = IPPROTO_TCP, .sport = 5001, .dport = 8080, .tcp_flags = FRAME_SYN);
	assert_int_equal(lab_run(lab, DATAPATH_LOCAL_OUT, STATE_LOOPBACK, &f, &got),
			 TC_ACT_REDIRECT);
	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = BLUE_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_TCP, .sport = 80, .dport = 5001,
	      .tcp_flags = FRAME_SYN | FRAME_ACK);
	got = EXPECT_PORT_IN(lab, BLUE, &f, TO_NEIGHBOUR)->out;
	assert_int_equal(frame_ip4(&got)->saddr, address4(second));
	assert_int_equal(frame_sport(&got), 8080);
	assert_int_equal(datapath_uplink_delete(lab->datapath, STATE_LOOPBACK, &lab->err), 0);
	unpublish(lab, second);
	lab_expect_no_flows(lab);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
	const struct CMUnitTest tests[] = {
		TEST(test_paired),
		TEST(test_ports_apart),
		TEST(test_port),
		TEST(test_fragments),
		TEST(test_fragments_of_published),
		TEST(test_errors),
		TEST(test_errors_of_published),
		TEST(test_portless),
		TEST(test_change),
		TEST(test_first_goes),
		TEST(test_killed),
		TEST(test_gone),
		TEST(test_published),
		TEST(test_published_answers),
		TEST(test_hairpin),
		TEST(test_hairpin_error),
		TEST(test_local),
		TEST(test_taken_away),
	};

	return LAB_MAIN(tests);
}
