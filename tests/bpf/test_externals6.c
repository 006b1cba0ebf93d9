/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * As test_externals.c, of IPv6: which external address an inside one has, whose what comes in is,
 * and that nobody has two when the set changes.
 */
#include "externals6.h"

#include <bpf/bpf.h>
#include <stdio.h>
#include <string.h>

#include "datapath_maps.h"

#define HOSTS       100
#define UPLINK2_IP6 "2001:db8:7::2" /* of UP1, where none is needed */

/* No session that the inside began is translated to another address than its own. */
static uint32_t expect_none_mixed(struct lab *lab)
{
	const struct nsr_uplink entry = externals_entered(lab);
	struct nsr_flow6 key, *previous = NULL;
	uint32_t count = 0;

	for (; !bpf_map_get_next_key(lab->datapath->maps[MAP_session_by_flow6], previous, &key);
	     previous = &key) {
		struct nsr_session_ref ref;
		struct nsr_session6 session;
		uint32_t slot = nsr_pair6(&entry, key.inside.address.words);

		if (bpf_map_lookup_elem(lab->datapath->maps[MAP_session_by_flow6], &key, &ref) ||
		    bpf_map_lookup_elem(lab->datapath->maps[MAP_sessions6], &ref.session, &session))
			continue;
		assert_int_equal(NSR_MAPPING_SLOT(session.mapping), slot);
		assert_memory_equal(&session.external, externals6_at(&entry, slot), 16);
		count++;
	}
	return count;
}

/* ---- What is begun inside. */

static void test_paired(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_UDP, IPPROTO_TCP, FRAME_ICMPV6};
	struct lab *lab = lab_of(state);
	unsigned int seconds = 0;

	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	for (unsigned int i = 0; i < HOSTS; i++) {
		const struct nsr_uplink entry = externals_entered(lab);
		char inside[INET6_ADDRSTRLEN];
		uint32_t slot;

		snprintf(inside, sizeof(inside), "fd00:15::%x", i + 0x100);
		slot = externals6_slot_of(&entry, inside);
		seconds += slot != entry.index;
		for (size_t j = 0; j < sizeof(protocols); j++) {
			struct frame *f = externals6_out(lab, inside, j ? REMOTE_IP6 : REMOTE2_IP6,
							 protocols[j], (uint16_t)(3000 + j), 80,
							 FRAME_SYN, TRANSLATED);

			assert_memory_equal(&frame_ip6(f)->saddr, externals6_at(&entry, slot), 16);
		}
	}
	assert_in_range(seconds, HOSTS / 3, 2 * HOSTS / 3);
	assert_int_equal(expect_none_mixed(lab), 3 * HOSTS);
	lab_expect_no_flows6(lab);
}

static void test_ports_apart(void **state)
{
	struct lab *lab = lab_of(state);

	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	externals6_leave_by(lab, RED_IP6, 3000, externals6_second);
	externals6_leave_by(lab, BLUE_IP6, 3000, UPLINK_IP6);
	assert_int_equal(
		externals6_in(lab, externals6_second, IPPROTO_UDP, 80, 3000, 0, TRANSLATED_TO_PEER)
			->delivered,
		RED);
	assert_int_equal(
		externals6_in(lab, UPLINK_IP6, IPPROTO_UDP, 80, 3000, 0, TRANSLATED_TO_PEER)
			->delivered,
		BLUE);
	externals6_leave_by(lab, RED_IP6, 3001, externals6_second);
	externals6_in(lab, UPLINK_IP6, IPPROTO_UDP, 80, 3001, 0, PASSED);
	externals6_in(lab, externals6_second, IPPROTO_UDP, 81, 3001, 0, DROPPED(NAT_FILTERED));
	lab_expect_no_flows6(lab);
}

/* ---- Addresses that come and go. */

static void test_change(void **state)
{
	struct lab *lab = lab_of(state);

	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	for (unsigned int round = 0; round < 2; round++) {
		const struct nsr_uplink before = externals_entered(lab);
		struct nsr_uplink after;
		unsigned int moved = 0;

		for (unsigned int i = 0; i < HOSTS; i++) {
			char inside[INET6_ADDRSTRLEN];

			snprintf(inside, sizeof(inside), "fd00:15::%x", i + 0x100);
			externals6_out(lab, inside, REMOTE_IP6, IPPROTO_UDP, 3000, 80, 0,
				       TRANSLATED);
		}
		externals6_set(lab, UPLINK_IP6, externals6_second, round ? NULL : externals6_third);
		after = externals_entered(lab);
		for (unsigned int i = 0; i < HOSTS; i++) {
			char inside[INET6_ADDRSTRLEN];

			snprintf(inside, sizeof(inside), "fd00:15::%x", i + 0x100);
			moved += externals6_slot_of(&before, inside) !=
				 externals6_slot_of(&after, inside);
		}
		assert_in_range(moved, HOSTS / 6, HOSTS / 2);
		assert_int_equal(expect_none_mixed(lab), HOSTS - moved);
	}
	lab_expect_no_flows6(lab);
}

static void test_killed(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_uplink entry;

	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	externals6_leave_by(lab, RED_IP6, 3000, externals6_second);
	entry = externals_entered(lab);
	entry.flags |= NSR_UPLINK_CHANGING6;
	assert_int_equal(bpf_map_update_elem(lab->datapath->maps[MAP_uplinks], &lab->uplink[UP0],
					     &entry, BPF_ANY),
			 0);
	externals6_leave_by(lab, RED_IP6, 3000, externals6_second);
	externals6_out(lab, RED_IP6, REMOTE_IP6, IPPROTO_UDP, 3001, 80, 0, DROPPED(NAT_CLOSED));
	externals6_out(lab, BLUE_IP6, REMOTE_IP6, IPPROTO_TCP, 3001, 80, FRAME_SYN,
		       DROPPED(NAT_CLOSED));
	externals6_out(lab, BLUE_IP6, REMOTE_IP6, IPPROTO_GRE, 0, 0, 0, DROPPED(NAT_CLOSED));
	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	assert_int_equal(lab_entries(lab, MAP_session_by_flow6), 0);
	externals6_leave_by(lab, RED_IP6, 3001, externals6_second);
	lab_expect_no_flows6(lab);
}

/* Blue's answer by an address that the host has lost: its session waits, and no port of blue's own
 * address is taken for another one. */
static void expect_none_taken(struct lab *lab)
{
	const uint64_t used = lab_nat6(lab, UP0).ports_used[NSR_NAT_UDP];

	for (int i = 0; i < 3; i++)
		externals6_out(lab, BLUE_IP6, REMOTE_IP6, IPPROTO_UDP, 80, 4000, 0,
			       DROPPED(NAT_CLOSED));
	assert_int_equal(lab_nat6(lab, UP0).ports_used[NSR_NAT_UDP], used);
}

/* Nothing but answers of a published port leaves by it: they notice that it has gone, and that it
 * is back. */
static void test_answers_alone(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame *f;

	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	externals6_publish(lab, externals6_second, BLUE_IP6, NSR_NAT_UDP);
	externals6_in(lab, externals6_second, IPPROTO_UDP, 4000, 8080, 0, TRANSLATED_TO_PEER);
	externals6_ip("del", externals6_second);
	externals_let_ask();
	expect_none_taken(lab);
	externals_let_ask();
	expect_none_taken(lab);
	externals6_ip("add", externals6_second);
	externals_let_ask();
	externals6_out(lab, BLUE_IP6, REMOTE_IP6, IPPROTO_UDP, 80, 4000, 0, DROPPED(NAT_CLOSED));
	f = externals6_out(lab, BLUE_IP6, REMOTE_IP6, IPPROTO_UDP, 80, 4000, 0, TRANSLATED);
	externals6_expect(&frame_ip6(f)->saddr, externals6_second);
	assert_int_equal(frame_sport(f), 8080);
	externals6_unpublish(lab, externals6_second, NSR_NAT_UDP);
	lab_expect_no_flows6(lab);
}

/* One that the host loses: what is inside has no other, until it is back. */
static void test_gone(void **state)
{
	struct lab *lab = lab_of(state);

	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	externals6_publish(lab, externals6_second, BLUE_IP6, NSR_NAT_UDP);
	externals6_leave_by(lab, RED_IP6, 3000, externals6_second);
	externals6_leave_by(lab, BLUE_IP6, 3000, UPLINK_IP6);
	externals6_in(lab, externals6_second, IPPROTO_UDP, 4000, 8080, 0, TRANSLATED_TO_PEER);
	externals6_ip("del", externals6_second);
	externals_let_ask();
	expect_none_taken(lab);
	externals6_out(lab, RED_IP6, REMOTE_IP6, IPPROTO_UDP, 3000, 80, 0, DROPPED(NAT_CLOSED));
	externals6_out(lab, RED_IP6, REMOTE_IP6, IPPROTO_UDP, 3001, 80, 0, DROPPED(NAT_CLOSED));
	externals6_leave_by(lab, BLUE_IP6, 3000, UPLINK_IP6);
	externals6_leave_by(lab, BLUE_IP6, 3001, UPLINK_IP6);
	externals6_ip("add", externals6_second);
	externals_let_ask();
	externals6_leave_by(lab, RED_IP6, 3000, externals6_second);
	externals6_unpublish(lab, externals6_second, NSR_NAT_UDP);
	lab_expect_no_flows6(lab);
}

/* One that has the external address by both. */
static void find_inside(const struct nsr_uplink *entry, const struct nsr_uplink *other,
			const char *external, char inside[INET6_ADDRSTRLEN])
{
	const struct ip_address wanted = lab_ip(external);

	for (unsigned int i = 0; i < HOSTS; i++) {
		snprintf(inside, INET6_ADDRSTRLEN, "fd00:15::%x", i + 0x100);
		if (!memcmp(externals6_at(entry, externals6_slot_of(entry, inside)), wanted.bytes,
			    16) &&
		    !memcmp(externals6_at(other, externals6_slot_of(other, inside)), wanted.bytes,
			    16))
			return;
	}
	fail_msg("nobody has %s", external);
}

/* The first one is lost, and is back, or is taken out of the set: flows of others go on, and where
 * it is back its own, too. */
static void test_first_lost(void **state)
{
	char of_first[INET6_ADDRSTRLEN], of_second[INET6_ADDRSTRLEN];
	struct lab *lab = lab_of(state);
	struct nsr_uplink entry, later;

	externals6_set(lab, externals6_third, externals6_second, NULL);
	entry = later = externals_entered(lab);
	memcpy(later.address6, lab_ip(UPLINK_IP6).bytes, sizeof(later.address6));
	find_inside(&entry, &entry, externals6_third, of_first);
	find_inside(&entry, &later, externals6_second, of_second);
	externals6_leave_by(lab, of_first, 3000, externals6_third);
	externals6_leave_by(lab, of_second, 3000, externals6_second);
	externals6_ip("del", externals6_third);
	externals_let_ask();
	externals6_out(lab, of_first, REMOTE_IP6, IPPROTO_UDP, 3001, 80, 0, DROPPED(NAT_CLOSED));
	externals6_ip("add", externals6_third);
	externals6_set(lab, externals6_third, externals6_second, NULL);
	assert_int_equal(expect_none_mixed(lab), 2);
	externals6_leave_by(lab, of_first, 3000, externals6_third);
	externals6_leave_by(lab, of_first, 3001, externals6_third);
	externals6_leave_by(lab, of_second, 3000, externals6_second);
	externals6_ip("del", externals6_third);
	externals_let_ask();
	externals6_out(lab, of_first, REMOTE_IP6, IPPROTO_UDP, 3002, 80, 0, DROPPED(NAT_CLOSED));
	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	externals6_ip("add", externals6_third);
	assert_int_equal(expect_none_mixed(lab), 1);
	externals6_leave_by(lab, of_second, 3000, externals6_second);
	lab_expect_no_flows6(lab);
}

/* At the other uplink. */
static void move(struct lab *lab, const char *first, const char *another)
{
	struct nsr_uplink entry = {.address4 = address4(UPLINK2_IP),
				   .port_min = LAB_PORT_MIN,
				   .port_max = LAB_PORT_MAX,
				   .fixed = 1,
				   .fixed6 = 1};

	memcpy(entry.address6, lab_ip(first).bytes, sizeof(entry.address6));
	memcpy(entry.more6[0], lab_ip(another).bytes, sizeof(entry.more6[0]));
	if (datapath_uplink_set(lab->datapath, lab->uplink[UP1], &entry, NULL, &lab->err))
		fail_msg("%s", lab->err.message);
}

/* One that moves to another uplink is at one of the two at any time, also before the turn of that
 * which has it no more. Flows at others go on. */
static void test_moved(void **state)
{
	static const uint8_t none[16];
	struct lab *lab = lab_of(state);
	struct nsr_uplink entry;

	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	externals6_leave_by(lab, RED_IP6, 3000, externals6_second);
	externals6_leave_by(lab, BLUE_IP6, 3000, UPLINK_IP6);
	move(lab, UPLINK2_IP6, externals6_second);
	entry = externals_entered(lab);
	assert_memory_equal(entry.more6[0], none, sizeof(none));
	assert_int_equal(entry.flags, 0);
	assert_int_equal(expect_none_mixed(lab), 1);
	externals6_leave_by(lab, BLUE_IP6, 3000, UPLINK_IP6);
	externals6_leave_by(lab, RED_IP6, 3000, UPLINK_IP6);
	externals6_set(lab, UPLINK_IP6, NULL, NULL); /* its turn */
	assert_int_equal(expect_none_mixed(lab), 2);
	/* The only one; and they change places. */
	move(lab, UPLINK_IP6, externals6_third);
	assert_memory_equal(externals_entered(lab).address6, none, sizeof(none));
	externals6_out(lab, BLUE_IP6, REMOTE_IP6, IPPROTO_UDP, 3000, 80, 0, DROPPED(NAT_CLOSED));
	externals6_set(lab, externals6_second, NULL, NULL);
	assert_int_equal(externals_entered(lab).flags, 0);
	assert_int_equal(lab_entries(lab, MAP_session_by_flow6), 0);
	externals6_leave_by(lab, BLUE_IP6, 3000, externals6_second);
	lab_expect_no_flows6(lab);
}

/* ---- Published ports. */

static void test_published(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame *f;

	externals6_set(lab, UPLINK_IP6, externals6_second, NULL);
	externals6_publish(lab, NULL, RED_IP6, NSR_NAT_TCP);
	externals6_publish(lab, externals6_second, RED_IP6, NSR_NAT_TCP);
	for (uint16_t i = 0; i < 2; i++) {
		const char *external = i ? externals6_second : UPLINK_IP6;

		externals6_in(lab, external, IPPROTO_TCP, (uint16_t)(4000 + i), 8080, FRAME_SYN,
			      TRANSLATED_TO_PEER);
		f = externals6_out(lab, RED_IP6, REMOTE_IP6, IPPROTO_TCP, 80, (uint16_t)(4000 + i),
				   FRAME_SYN | FRAME_ACK, TRANSLATED);
		externals6_expect(&frame_ip6(f)->saddr, external);
		assert_int_equal(frame_sport(f), 8080);
	}
	/* What it begins from there leaves by its own. */
	f = externals6_out(lab, RED_IP6, REMOTE2_IP6, IPPROTO_TCP, 80, 80, FRAME_SYN, TRANSLATED);
	externals6_expect(&frame_ip6(f)->saddr, externals6_second);
	/* At the one it is unpublished, at the other it stays. */
	externals6_unpublish(lab, NULL, NSR_NAT_TCP);
	externals6_in(lab, UPLINK_IP6, IPPROTO_TCP, 4002, 8080, FRAME_SYN, PASSED);
	externals6_in(lab, externals6_second, IPPROTO_TCP, 4002, 8080, FRAME_SYN,
		      TRANSLATED_TO_PEER);
	externals6_set(lab, UPLINK_IP6, NULL, NULL);
	assert_int_equal(lab_entries(lab, MAP_published6), 0);
	lab_expect_no_flows6(lab);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, externals6_set_up)
	const struct CMUnitTest tests[] = {
		TEST(test_paired),     TEST(test_ports_apart),   TEST(test_change),
		TEST(test_killed),     TEST(test_answers_alone), TEST(test_gone),
		TEST(test_first_lost), TEST(test_moved),         TEST(test_published),
	};

	return LAB_MAIN(tests);
}
