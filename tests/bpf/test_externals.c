/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An uplink with several external addresses: each inside address has one of them for all that it
 * begins (RFC 4787 REQ-2), what comes in is for who has the address that it was sent to, and when
 * the set changes no inside address has two at once.
 */
#include "externals.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "datapath_maps.h"
#include "datapath_publish.h"

#define OWN_NETNS (-1) /* the test is in the lab's namespace */

#define HOSTS 240 /* inside addresses of a test: 192.168.15.2 on */

/* No session is translated to another address than that of its mapping, and none that the inside
 * began to another than its own. */
static void expect_none_mixed(struct lab *lab)
{
	const struct nsr_uplink entry = externals_entered(lab);
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
		assert_int_equal(session.external, externals_at(&entry, slot));
	}
}

/* ---- What is begun inside. */

static void test_paired(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_UDP, IPPROTO_TCP, IPPROTO_ICMP};
	struct lab *lab = lab_of(state);
	unsigned int seconds = 0;

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	for (unsigned int i = 0; i < HOSTS; i++) {
		char inside[INET_ADDRSTRLEN];
		__be32 external;

		snprintf(inside, sizeof(inside), "192.168.15.%u", i + 2);
		external = externals_paired(lab, inside);
		seconds += external == address4(externals_second);
		for (size_t j = 0; j < sizeof(protocols); j++) {
			struct frame *f =
				externals_out(lab, inside, j ? REMOTE_IP : REMOTE2_IP, protocols[j],
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

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	externals_leave_by(lab, RED_IP, 3000, externals_second);
	externals_leave_by(lab, BLUE_IP, 3000, UPLINK_IP);
	assert_int_equal(
		externals_in(lab, externals_second, IPPROTO_UDP, 80, 3000, 0, TRANSLATED_TO_PEER)
			->delivered,
		RED);
	assert_int_equal(externals_in(lab, UPLINK_IP, IPPROTO_UDP, 80, 3000, 0, TRANSLATED_TO_PEER)
				 ->delivered,
			 BLUE);
	externals_leave_by(lab, RED_IP, 3001, externals_second);
	externals_in(lab, UPLINK_IP, IPPROTO_UDP, 80, 3001, 0, PASSED);
	externals_in(lab, externals_second, IPPROTO_UDP, 81, 3001, 0, DROPPED(NAT_FILTERED));
	assert_int_equal(lab_nat(lab, UP0).ports_used[NSR_NAT_UDP], 3);
	lab_expect_no_flows(lab);
}

/* A port's hook translates by the session, whichever address that has. */
static void test_port(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f;

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	externals_leave_by(lab, RED_IP, 3000, externals_second);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_UDP, .sport = 3000, .dport = 80, .payload = 20);
	for (int i = 0; i < 3; i++)
		assert_int_equal(frame_ip4(&EXPECT_PORT_IN(lab, RED, &f, TO_NEIGHBOUR)->out)->saddr,
				 address4(externals_second));
	lab_expect_no_flows(lab);
}

/* ---- Addresses that come and go. */

static void test_change(void **state)
{
	struct lab *lab = lab_of(state);
	__be32 before[HOSTS];
	uint32_t active;

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	for (unsigned int round = 0; round < 2; round++) {
		unsigned int moved = 0;

		for (unsigned int i = 0; i < HOSTS; i++) {
			char inside[INET_ADDRSTRLEN];

			snprintf(inside, sizeof(inside), "192.168.15.%u", i + 2);
			before[i] = frame_ip4(externals_out(lab, inside, REMOTE_IP, IPPROTO_UDP,
							    3000, 0, TRANSLATED))
					    ->saddr;
		}
		assert_int_equal(lab_active_sessions(lab), HOSTS);
		externals_set(lab, UPLINK_IP, externals_second, round ? NULL : externals_third);
		expect_none_mixed(lab);
		active = lab_active_sessions(lab);
		for (unsigned int i = 0; i < HOSTS; i++) {
			char inside[INET_ADDRSTRLEN];

			snprintf(inside, sizeof(inside), "192.168.15.%u", i + 2);
			if (externals_paired(lab, inside) == before[i])
				continue;
			/* Only to the one that has come, or from the one that has gone. */
			assert_int_equal(round ? before[i] : externals_paired(lab, inside),
					 address4(externals_third));
			moved++;
		}
		assert_in_range(moved, HOSTS / 5, HOSTS / 2);
		assert_int_equal(active, HOSTS - moved);
	}
	assert_int_equal(externals_entered(lab).slots[1], 0);
	lab_expect_no_flows(lab);
}

/* The first goes, and another one takes its place: the flows of both end, those of others stay. */
static void test_first_goes(void **state)
{
	struct lab *lab = lab_of(state);

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	externals_leave_by(lab, RED_IP, 3000, externals_second);
	externals_leave_by(lab, BLUE_IP, 3000, UPLINK_IP);
	externals_set(lab, externals_second, NULL, NULL);
	assert_int_equal(lab_active_sessions(lab), 0);
	externals_leave_by(lab, RED_IP, 3000, externals_second);
	externals_leave_by(lab, BLUE_IP, 3000, externals_second);
	externals_set(lab, UPLINK_IP, externals_second, NULL);
	expect_none_mixed(lab);
	externals_leave_by(lab, RED_IP, 3000, externals_second);
	externals_leave_by(lab, BLUE_IP, 3000, UPLINK_IP);
	lab_expect_no_flows(lab);
}

/* While the set changes nothing begins, and what runs goes on. Who comes after a process that was
 * killed then ends all. */
static void test_killed(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_uplink entry;

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	externals_leave_by(lab, RED_IP, 3000, externals_second);
	entry = externals_entered(lab);
	entry.flags |= NSR_UPLINK_CHANGING4;
	assert_int_equal(bpf_map_update_elem(lab->datapath->maps[MAP_uplinks], &lab->uplink[UP0],
					     &entry, BPF_ANY),
			 0);
	externals_leave_by(lab, RED_IP, 3000, externals_second);
	externals_in(lab, externals_second, IPPROTO_UDP, 80, 3000, 0, TRANSLATED_TO_PEER);
	externals_out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3001, 0, DROPPED(NAT_CLOSED));
	externals_out(lab, BLUE_IP, REMOTE_IP, IPPROTO_TCP, 3001, FRAME_SYN, DROPPED(NAT_CLOSED));
	externals_set(lab, UPLINK_IP, externals_second, NULL);
	assert_int_equal(lab_active_sessions(lab), 0);
	externals_leave_by(lab, RED_IP, 3001, externals_second);
	lab_expect_no_flows(lab);
}

/* Closed is closed for each of the addresses, and nothing of a slot is left. */
static void test_taken_away(void **state)
{
	struct lab *lab = lab_of(state);
	uint32_t pools = 0;

	externals_set(lab, UPLINK_IP, externals_second, externals_third);
	externals_publish(lab, externals_second, RED_IP);
	externals_leave_by(lab, RED_IP, 3000,
			   (char *)(externals_paired(lab, RED_IP) == address4(externals_second)
					    ? externals_second
					    : externals_third));
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

/* Of the slots that are besides those of the uplinks' own numbers, how many are an uplink's. */
static unsigned int slots_of(struct lab *lab, uint32_t ifindex)
{
	unsigned int count = 0;

	for (uint32_t slot = NSR_UPLINKS_MAX; slot < NSR_SLOTS_MAX; slot++) {
		uint32_t owner = 0;

		assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_uplink_by_index],
						     &slot, &owner),
				 0);
		count += owner == ifindex;
	}
	return count;
}

/* As it is when a process is killed that has taken slots, and not entered them. */
static void leave_taken(struct lab *lab, uint32_t ifindex, uint32_t first, uint32_t last)
{
	for (uint32_t slot = first; slot <= last; slot++)
		assert_int_equal(bpf_map_update_elem(lab->datapath->maps[MAP_uplink_by_index],
						     &slot, &ifindex, BPF_ANY),
				 0);
}

/* However often: the next has room. */
static void test_killed_taking(void **state)
{
	struct lab *lab = lab_of(state);
	const uint32_t up0 = lab->uplink[UP0], stranger = lab->elsewhere;

	leave_taken(lab, up0, NSR_UPLINKS_MAX, NSR_SLOTS_MAX - 1);
	externals_set(lab, UPLINK_IP, externals_second, externals_third);
	assert_int_equal(slots_of(lab, up0), 2);
	externals_leave_by(lab, BLUE_IP, 3000, UPLINK_IP);
	/* Where nothing is to be changed, too; and the flows go on. */
	leave_taken(lab, up0, NSR_SLOTS_MAX - 3, NSR_SLOTS_MAX - 1);
	externals_set(lab, UPLINK_IP, externals_second, externals_third);
	assert_int_equal(slots_of(lab, up0), 2);
	assert_int_equal(lab_active_sessions(lab), 1);
	/* Before there was an entry. */
	leave_taken(lab, stranger, NSR_SLOTS_MAX - 3, NSR_SLOTS_MAX - 1);
	assert_int_equal(datapath_uplink_delete(lab->datapath, stranger, &lab->err), 0);
	assert_int_equal(slots_of(lab, stranger), 0);
	assert_int_equal(slots_of(lab, up0), 2);
	/* And its interface has gone since. */
	externals_set(lab, UPLINK_IP, NULL, NULL);
	leave_taken(lab, stranger, NSR_UPLINKS_MAX, NSR_SLOTS_MAX - 1);
	externals_set(lab, UPLINK_IP, externals_second, NULL);
	assert_int_equal(slots_of(lab, up0), 1);
	assert_int_equal(slots_of(lab, stranger), NSR_SLOTS_MAX - NSR_UPLINKS_MAX - 1);
	leave_taken(lab, 0, NSR_UPLINKS_MAX + 1, NSR_SLOTS_MAX - 1);
	lab_expect_no_flows(lab);
}

/* One that the host loses: what is inside has no other, until it is back. */
static void test_gone(void **state)
{
	struct lab *lab = lab_of(state);

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	externals_leave_by(lab, RED_IP, 3000, externals_second);
	externals_leave_by(lab, BLUE_IP, 3000, UPLINK_IP);
	externals_ip("del", externals_second);
	externals_let_ask();
	externals_out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 0, DROPPED(NAT_CLOSED));
	externals_out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3001, 0, DROPPED(NAT_CLOSED));
	externals_leave_by(lab, BLUE_IP, 3000, UPLINK_IP);
	externals_leave_by(lab, BLUE_IP, 3001, UPLINK_IP);
	externals_ip("add", externals_second);
	externals_let_ask();
	externals_leave_by(lab, RED_IP, 3000, externals_second);
	assert_int_equal(lab_active_sessions(lab), 3);
	lab_expect_no_flows(lab);
}

/* One that has the external address by both. */
static void find_inside(const struct nsr_uplink *entry, const struct nsr_uplink *other,
			const char *external, char inside[INET_ADDRSTRLEN])
{
	for (unsigned int i = 0; i < HOSTS; i++) {
		snprintf(inside, INET_ADDRSTRLEN, "192.168.15.%u", i + 2);
		if (externals_at(entry, nsr_pair(entry, address4(inside))) == address4(external) &&
		    externals_at(other, nsr_pair(other, address4(inside))) == address4(external))
			return;
	}
	fail_msg("nobody has %s", external);
}

/* The first one is lost, and is back, or is taken out of the set: flows of others go on, and where
 * it is back its own, too. */
static void test_first_lost(void **state)
{
	char of_first[INET_ADDRSTRLEN], of_second[INET_ADDRSTRLEN];
	struct lab *lab = lab_of(state);
	struct nsr_uplink entry, later;

	externals_set(lab, externals_third, externals_second, NULL);
	entry = later = externals_entered(lab);
	later.address4 = address4(UPLINK_IP);
	find_inside(&entry, &entry, externals_third, of_first);
	find_inside(&entry, &later, externals_second, of_second);
	externals_leave_by(lab, of_first, 3000, externals_third);
	externals_leave_by(lab, of_second, 3000, externals_second);
	externals_ip("del", externals_third);
	externals_let_ask();
	externals_out(lab, of_first, REMOTE_IP, IPPROTO_UDP, 3001, 0, DROPPED(NAT_CLOSED));
	externals_ip("add", externals_third);
	externals_set(lab, externals_third, externals_second, NULL);
	assert_int_equal(lab_active_sessions(lab), 2);
	externals_leave_by(lab, of_first, 3000, externals_third);
	externals_leave_by(lab, of_first, 3001, externals_third);
	externals_leave_by(lab, of_second, 3000, externals_second);
	externals_ip("del", externals_third);
	externals_let_ask();
	externals_out(lab, of_first, REMOTE_IP, IPPROTO_UDP, 3002, 0, DROPPED(NAT_CLOSED));
	externals_set(lab, UPLINK_IP, externals_second, NULL);
	externals_ip("add", externals_third);
	assert_int_equal(lab_active_sessions(lab), 1);
	externals_leave_by(lab, of_second, 3000, externals_second);
	expect_none_mixed(lab);
	lab_expect_no_flows(lab);
}

/* At the other uplink. */
static void move(struct lab *lab, const char *first, const char *another)
{
	struct nsr_uplink entry = {.address4 = address4(first),
				   .port_min = LAB_PORT_MIN,
				   .port_max = LAB_PORT_MAX,
				   .fixed = 1};

	entry.more4[0] = address4(another);
	if (datapath_uplink_set(lab->datapath, lab->uplink[UP1], &entry, NULL, &lab->err))
		fail_msg("%s", lab->err.message);
}

/* One that moves to another uplink is at one of the two at any time, also before the turn of that
 * which has it no more. Flows at others go on. */
static void test_moved(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_uplink entry;

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	externals_leave_by(lab, RED_IP, 3000, externals_second);
	externals_leave_by(lab, BLUE_IP, 3000, UPLINK_IP);
	move(lab, UPLINK2_IP, externals_second);
	entry = externals_entered(lab);
	assert_int_equal(entry.more4[0], 0);
	assert_int_equal(entry.flags, 0);
	assert_int_equal(lab_active_sessions(lab), 1);
	externals_leave_by(lab, BLUE_IP, 3000, UPLINK_IP);
	externals_leave_by(lab, RED_IP, 3000, UPLINK_IP);
	externals_set(lab, UPLINK_IP, NULL, NULL); /* its turn */
	assert_int_equal(slots_of(lab, lab->uplink[UP0]), 0);
	assert_int_equal(lab_active_sessions(lab), 2);
	/* The only one; and they change places. */
	move(lab, UPLINK_IP, externals_third);
	assert_int_equal(externals_entered(lab).address4, 0);
	externals_out(lab, BLUE_IP, REMOTE_IP, IPPROTO_UDP, 3000, 0, DROPPED(NAT_CLOSED));
	externals_set(lab, externals_second, NULL, NULL);
	assert_int_equal(externals_entered(lab).flags, 0);
	assert_int_equal(lab_active_sessions(lab), 0);
	externals_leave_by(lab, BLUE_IP, 3000, externals_second);
	lab_expect_no_flows(lab);
}

/* ---- Published ports. */

/* On each address; what the namespace begins leaves by its own one. */
static void test_published(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame *f;

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	externals_publish(lab, NULL, RED_IP);
	externals_publish(lab, externals_second, RED_IP);
	for (int i = 0; i < 2; i++) {
		const char *external = i ? externals_second : UPLINK_IP;
		uint16_t client = (uint16_t)(4000 + i);

		externals_in(lab, external, IPPROTO_TCP, client, 8080, FRAME_SYN,
			     TRANSLATED_TO_PEER);
		f = externals_out(lab, RED_IP, REMOTE_IP, IPPROTO_TCP, 80, FRAME_SYN | FRAME_ACK,
				  TRANSLATED);
		assert_int_equal(frame_ip4(f)->saddr, address4(externals_second));
		assert_int_equal(frame_sport(f), 8080);
	}
	assert_int_equal(lab_active_sessions(lab), 3);
	/* Where red's own address is the first now: so is that of what it begins. */
	externals_set(lab, UPLINK_IP, NULL, NULL);
	externals_in(lab, externals_second, IPPROTO_TCP, 4005, 8080, FRAME_SYN, PASSED);
	f = externals_out(lab, RED_IP, REMOTE_IP, IPPROTO_TCP, 80, FRAME_SYN | FRAME_ACK,
			  TRANSLATED);
	assert_int_equal(frame_ip4(f)->saddr, address4(UPLINK_IP));
	assert_int_equal(frame_sport(f), 8080);
	assert_int_equal(lab_active_sessions(lab), 1);
	externals_unpublish(lab, NULL);
	assert_int_equal(lab_entries(lab, MAP_published), 0);
	lab_expect_no_flows(lab);
}

/* No address at all is not that of the uplink that has number 0, as the first one has: later tests
 * make uplinks anew. */
static void test_published_at_no_address(void **state)
{
	const struct published_ports web = {8080, 80, 1, NSR_NAT_TCP};
	const struct ip_address inside = lab_ip(RED_IP), none = lab_ip("0.0.0.0");
	struct lab *lab = lab_of(state);

	assert_int_equal(lab->uplink_number[UP0], 0);
	externals_set(lab, UPLINK_IP, externals_second, NULL);
	externals_publish(lab, NULL, RED_IP);
	assert_int_equal(datapath_unpublish_at(lab->datapath, lab->uplink[UP1], false, &none, &web,
					       &lab->err),
			 0);
	assert_int_equal(lab_entries(lab, MAP_published), 1);
	assert_int_equal(datapath_publish_at(lab->datapath, lab->uplink[UP1], &none, &inside, &web,
					     OWN_NETNS, &lab->err),
			 -EADDRNOTAVAIL);
	externals_in(lab, UPLINK_IP, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	externals_unpublish(lab, NULL);
	lab_expect_no_flows(lab);
}

/* Of the answer's client: the address that it sent to. */
static void test_published_answers(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, *got;

	externals_set(lab, UPLINK_IP, externals_second, NULL);
	externals_publish(lab, NULL, RED_IP);
	externals_in(lab, UPLINK_IP, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_TCP, .sport = 80, .dport = 4000,
	      .tcp_flags = FRAME_SYN | FRAME_ACK);
	got = &EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out;
	assert_int_equal(frame_ip4(got)->saddr, address4(UPLINK_IP));
	assert_int_equal(frame_sport(got), 8080);
	/* What red begins from there has nothing to do with it. */
	got = externals_out(lab, RED_IP, REMOTE2_IP, IPPROTO_TCP, 80, FRAME_SYN, TRANSLATED);
	assert_int_equal(frame_ip4(got)->saddr, address4(externals_second));
	externals_unpublish(lab, NULL);
	lab_expect_no_flows(lab);
}

/* Red's port, at an address that is not its own: that. A client has asked. */
static const char *publish_at_another(struct lab *lab)
{
	const char *at = externals_third;

	externals_set(lab, UPLINK_IP, externals_second, externals_third);
	if (externals_paired(lab, RED_IP) == address4(at))
		at = externals_second;
	externals_publish(lab, at, RED_IP);
	externals_in(lab, at, IPPROTO_TCP, 80, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	return at;
}

static struct frame *answers(struct lab *lab, int outcome)
{
	return externals_out(lab, RED_IP, REMOTE_IP, IPPROTO_TCP, 80, FRAME_SYN | FRAME_ACK,
			     outcome);
}

/* Its session waits for its address, and no port of red's own is taken for another one. */
static void expect_none_taken(struct lab *lab)
{
	const uint64_t used = lab_nat(lab, UP0).ports_used[NSR_NAT_TCP];

	for (int i = 0; i < 3; i++)
		answers(lab, DROPPED(NAT_CLOSED));
	assert_int_equal(lab_nat(lab, UP0).ports_used[NSR_NAT_TCP], used);
}

/* Nothing but answers of a published port leaves by it: they notice that it has gone, and that it
 * is back. */
static void test_answers_alone(void **state)
{
	struct lab *lab = lab_of(state);
	const char *at = publish_at_another(lab);
	struct frame *f;

	externals_ip("del", at);
	for (int i = 0; i < 2; i++) {
		externals_let_ask();
		expect_none_taken(lab);
	}
	externals_ip("add", at);
	externals_let_ask();
	f = answers(lab, TRANSLATED);
	assert_int_equal(frame_ip4(f)->saddr, address4(at));
	assert_int_equal(frame_sport(f), 8080);
	externals_unpublish(lab, at);
	lab_expect_no_flows(lab);
}

/* The answer to a hairpin, and an error about it. */
static void test_hairpin_lost(void **state)
{
	struct lab *lab = lab_of(state);
	const char *at = publish_at_another(lab);
	struct frame f, about;
	uint64_t used;

	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = BLUE_IP, .dest = at,
	      .protocol = IPPROTO_TCP, .sport = 5000, .dport = 8080, .tcp_flags = FRAME_SYN);
	EXPECT_PORT_IN(lab, BLUE, &f, TO_PEER);
	externals_ip("del", at);
	externals_let_ask();
	expect_none_taken(lab);
	used = lab_nat(lab, UP0).ports_used[NSR_NAT_TCP];
	for (int i = 0; i < 2; i++) {
		FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = UPLINK_IP,
		      .protocol = IPPROTO_TCP, .sport = 80, .dport = 5000,
		      .tcp_flags = FRAME_SYN | FRAME_ACK);
		EXPECT_PORT_IN(lab, RED, &f, DROPPED(NAT_CLOSED));
	}
	assert_int_equal(lab_nat(lab, UP0).ports_used[NSR_NAT_TCP], used);
	FRAME(&about, .to = mac_red, .from = mac_br1, .source = UPLINK_IP, .dest = RED_IP,
	      .protocol = IPPROTO_TCP, .sport = 5000, .dport = 80, .tcp_flags = FRAME_SYN);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .icmp_code = 3,
	      .quoted = &about, .quoted_beyond = 8);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(NAT_CLOSED));
	externals_ip("add", at);
	externals_unpublish(lab, at);
	lab_expect_no_flows(lab);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, externals_set_up)
	const struct CMUnitTest tests[] = {
		TEST(test_published_at_no_address),
		TEST(test_paired),
		TEST(test_ports_apart),
		TEST(test_port),
		TEST(test_change),
		TEST(test_first_goes),
		TEST(test_killed),
		TEST(test_taken_away),
		TEST(test_killed_taking),
		TEST(test_gone),
		TEST(test_first_lost),
		TEST(test_moved),
		TEST(test_published),
		TEST(test_published_answers),
		TEST(test_answers_alone),
		TEST(test_hairpin_lost),
	};

	return LAB_MAIN(tests);
}
