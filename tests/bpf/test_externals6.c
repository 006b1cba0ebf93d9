/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * As test_externals.c and test_externals_ways.c, of IPv6: which external address an inside one has,
 * whose what comes in is, and that nobody has two when the set changes.
 */
#include "externals.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "datapath_publish.h"

#define OWN_NETNS (-1)
#define HOSTS     100
#define ROUTER6   "2001:db8:9::1"

/* Red's, where the first is UPLINK_IP6 and that is blue's. */
static char second[INET6_ADDRSTRLEN], third[INET6_ADDRSTRLEN];
static const uint8_t nobody[6];

static struct nsr_uplink entry_of(const char *const *externals, size_t count)
{
	struct nsr_uplink entry = {
		.port_min = LAB_PORT_MIN, .port_max = LAB_PORT_MAX, .fixed = 1, .fixed6 = 1};

	entry.address4 = address4(UPLINK_IP);
	for (size_t i = 0; i < count; i++)
		if (externals[i])
			memcpy(i ? entry.more6[i - 1] : entry.address6, lab_ip(externals[i]).bytes,
			       16);
	return entry;
}

static void set(struct lab *lab, const char *two, const char *three)
{
	const char *const externals[] = {UPLINK_IP6, two, three};
	const struct nsr_uplink entry = entry_of(externals, 3);

	if (datapath_uplink_set(lab->datapath, lab->uplink[UP0], &entry, NULL, &lab->err))
		fail_msg("%s", lab->err.message);
}

static uint32_t slot_of(const struct nsr_uplink *entry, const char *inside)
{
	const struct ip_address ip = lab_ip(inside);
	uint32_t words[4];

	memcpy(words, ip.bytes, sizeof(words));
	return nsr_pair6(entry, words);
}

static const void *address_at(const struct nsr_uplink *entry, uint32_t slot)
{
	for (size_t i = 0; slot != entry->index && i < NSR_MORE_MAX; i++)
		if (entry->slots[i] == slot)
			return entry->more6[i];
	assert_int_equal(slot, entry->index);
	return entry->address6;
}

static void ip(const char *verb, const char *address)
{
	char command[100];

	snprintf(command, sizeof(command), "ip address %s %s/128 dev up0 nodad", verb, address);
	if (!strcmp(verb, "del"))
		*strstr(command, " nodad") = 0;
	if (system(command) != 0)
		fail_msg("%s", command);
}

static bool suits(struct lab *lab, const char *candidate)
{
	const char *const externals[] = {UPLINK_IP6, candidate};
	struct nsr_uplink entry = entry_of(externals, 2);

	entry.index = lab->uplink_number[UP0];
	entry.slots[0] = NSR_UPLINKS_MAX;
	return slot_of(&entry, RED_IP6) == NSR_UPLINKS_MAX &&
	       slot_of(&entry, BLUE_IP6) == entry.index;
}

static int set_up(void **state)
{
	int ret = lab_set_up(state);

	if (ret || !*state || *second)
		return ret;
	for (unsigned int i = 0x10; i < 0xff && !*third; i++) {
		char candidate[INET6_ADDRSTRLEN];

		snprintf(candidate, sizeof(candidate), "2001:db8:1::%x", i);
		if (!suits(*state, candidate))
			continue;
		strcpy(*second ? third : second, candidate);
		ip("add", candidate);
	}
	return 0;
}

/* ---- Packets. */

static struct frame *out(struct lab *lab, const char *inside, const char *remote, uint8_t protocol,
			 uint16_t sport, uint16_t dport, uint8_t flags, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = inside, .dest = remote,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = flags,
	      .icmp_type = FRAME6_ECHO_REQUEST, .payload = 20);
	return &EXPECT_OUT(lab, UP0, &f, outcome)->out;
}

static void expect_address(const void *address, const char *wanted)
{
	assert_memory_equal(address, lab_ip(wanted).bytes, 16);
}

static void leaves_by(struct lab *lab, const char *inside, uint16_t sport, const char *external)
{
	struct frame *f = out(lab, inside, REMOTE_IP6, IPPROTO_UDP, sport, 80, 0, TRANSLATED);

	expect_address(&frame_ip6(f)->saddr, external);
}

static struct run *in(struct lab *lab, const char *external, uint8_t protocol, uint16_t sport,
		      uint16_t dport, uint8_t flags, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP6, .dest = external,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = flags,
	      .icmp_type = FRAME6_ECHO_REPLY, .payload = 20);
	return EXPECT_IN(lab, UP0, &f, outcome);
}

static void publish(struct lab *lab, const char *at, const char *inside, uint8_t protocol)
{
	const struct published_ports web = {8080, 80, 1, protocol};
	const struct ip_address to = lab_ip(inside);
	struct ip_address external = {0};

	if (at)
		external = lab_ip(at);
	if (datapath_publish_at(lab->datapath, lab->uplink[UP0], &external, &to, &web, OWN_NETNS,
				&lab->err))
		fail_msg("%s", lab->err.message);
}

static void unpublish(struct lab *lab, const char *at, uint8_t protocol)
{
	const struct published_ports web = {8080, 80, 1, protocol};
	struct ip_address external = {0};

	if (at)
		external = lab_ip(at);
	if (datapath_unpublish_at(lab->datapath, lab->uplink[UP0], true, &external, &web,
				  &lab->err))
		fail_msg("%s", lab->err.message);
}

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
		assert_memory_equal(&session.external, address_at(&entry, slot), 16);
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

	set(lab, second, NULL);
	for (unsigned int i = 0; i < HOSTS; i++) {
		const struct nsr_uplink entry = externals_entered(lab);
		char inside[INET6_ADDRSTRLEN];
		uint32_t slot;

		snprintf(inside, sizeof(inside), "fd00:15::%x", i + 0x100);
		slot = slot_of(&entry, inside);
		seconds += slot != entry.index;
		for (size_t j = 0; j < sizeof(protocols); j++) {
			struct frame *f =
				out(lab, inside, j ? REMOTE_IP6 : REMOTE2_IP6, protocols[j],
				    (uint16_t)(3000 + j), 80, FRAME_SYN, TRANSLATED);

			assert_memory_equal(&frame_ip6(f)->saddr, address_at(&entry, slot), 16);
		}
	}
	assert_in_range(seconds, HOSTS / 3, 2 * HOSTS / 3);
	assert_int_equal(expect_none_mixed(lab), 3 * HOSTS);
	lab_expect_no_flows6(lab);
}

static void test_ports_apart(void **state)
{
	struct lab *lab = lab_of(state);

	set(lab, second, NULL);
	leaves_by(lab, RED_IP6, 3000, second);
	leaves_by(lab, BLUE_IP6, 3000, UPLINK_IP6);
	assert_int_equal(in(lab, second, IPPROTO_UDP, 80, 3000, 0, TRANSLATED_TO_PEER)->delivered,
			 RED);
	assert_int_equal(
		in(lab, UPLINK_IP6, IPPROTO_UDP, 80, 3000, 0, TRANSLATED_TO_PEER)->delivered, BLUE);
	leaves_by(lab, RED_IP6, 3001, second);
	in(lab, UPLINK_IP6, IPPROTO_UDP, 80, 3001, 0, PASSED);
	in(lab, second, IPPROTO_UDP, 81, 3001, 0, DROPPED(NAT_FILTERED));
	lab_expect_no_flows6(lab);
}

/* ---- Addresses that come and go. */

static void test_change(void **state)
{
	struct lab *lab = lab_of(state);

	set(lab, second, NULL);
	for (unsigned int round = 0; round < 2; round++) {
		const struct nsr_uplink before = externals_entered(lab);
		struct nsr_uplink after;
		unsigned int moved = 0;

		for (unsigned int i = 0; i < HOSTS; i++) {
			char inside[INET6_ADDRSTRLEN];

			snprintf(inside, sizeof(inside), "fd00:15::%x", i + 0x100);
			out(lab, inside, REMOTE_IP6, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
		}
		set(lab, second, round ? NULL : third);
		after = externals_entered(lab);
		for (unsigned int i = 0; i < HOSTS; i++) {
			char inside[INET6_ADDRSTRLEN];

			snprintf(inside, sizeof(inside), "fd00:15::%x", i + 0x100);
			moved += slot_of(&before, inside) != slot_of(&after, inside);
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

	set(lab, second, NULL);
	leaves_by(lab, RED_IP6, 3000, second);
	entry = externals_entered(lab);
	entry.flags |= NSR_UPLINK_CHANGING6;
	assert_int_equal(bpf_map_update_elem(lab->datapath->maps[MAP_uplinks], &lab->uplink[UP0],
					     &entry, BPF_ANY),
			 0);
	leaves_by(lab, RED_IP6, 3000, second);
	out(lab, RED_IP6, REMOTE_IP6, IPPROTO_UDP, 3001, 80, 0, DROPPED(NAT_CLOSED));
	out(lab, BLUE_IP6, REMOTE_IP6, IPPROTO_TCP, 3001, 80, FRAME_SYN, DROPPED(NAT_CLOSED));
	out(lab, BLUE_IP6, REMOTE_IP6, IPPROTO_GRE, 0, 0, 0, DROPPED(NAT_CLOSED));
	set(lab, second, NULL);
	assert_int_equal(lab_entries(lab, MAP_session_by_flow6), 0);
	leaves_by(lab, RED_IP6, 3001, second);
	lab_expect_no_flows6(lab);
}

static void let_ask(void)
{
	const struct timespec second_and_some = {1, 100000000};

	nanosleep(&second_and_some, NULL);
}

/* One that the host loses: what is inside has no other, until it is back. That is noticed also
 * where nothing but answers of a published port leaves by it. */
static void test_gone(void **state)
{
	struct lab *lab = lab_of(state);

	set(lab, second, NULL);
	publish(lab, second, BLUE_IP6, NSR_NAT_UDP);
	leaves_by(lab, RED_IP6, 3000, second);
	leaves_by(lab, BLUE_IP6, 3000, UPLINK_IP6);
	in(lab, second, IPPROTO_UDP, 4000, 8080, 0, TRANSLATED_TO_PEER);
	ip("del", second);
	let_ask();
	out(lab, BLUE_IP6, REMOTE_IP6, IPPROTO_UDP, 80, 4000, 0, DROPPED(NAT_CLOSED));
	out(lab, RED_IP6, REMOTE_IP6, IPPROTO_UDP, 3000, 80, 0, DROPPED(NAT_CLOSED));
	out(lab, RED_IP6, REMOTE_IP6, IPPROTO_UDP, 3001, 80, 0, DROPPED(NAT_CLOSED));
	leaves_by(lab, BLUE_IP6, 3000, UPLINK_IP6);
	leaves_by(lab, BLUE_IP6, 3001, UPLINK_IP6);
	ip("add", second);
	let_ask();
	leaves_by(lab, RED_IP6, 3000, second);
	unpublish(lab, second, NSR_NAT_UDP);
	lab_expect_no_flows6(lab);
}

/* ---- Published ports. */

static void test_published(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame *f;

	set(lab, second, NULL);
	publish(lab, NULL, RED_IP6, NSR_NAT_TCP);
	publish(lab, second, RED_IP6, NSR_NAT_TCP);
	for (uint16_t i = 0; i < 2; i++) {
		const char *external = i ? second : UPLINK_IP6;

		in(lab, external, IPPROTO_TCP, (uint16_t)(4000 + i), 8080, FRAME_SYN,
		   TRANSLATED_TO_PEER);
		f = out(lab, RED_IP6, REMOTE_IP6, IPPROTO_TCP, 80, (uint16_t)(4000 + i),
			FRAME_SYN | FRAME_ACK, TRANSLATED);
		expect_address(&frame_ip6(f)->saddr, external);
		assert_int_equal(frame_sport(f), 8080);
	}
	/* What it begins from there leaves by its own. */
	f = out(lab, RED_IP6, REMOTE2_IP6, IPPROTO_TCP, 80, 80, FRAME_SYN, TRANSLATED);
	expect_address(&frame_ip6(f)->saddr, second);
	/* At the one it is unpublished, at the other it stays. */
	unpublish(lab, NULL, NSR_NAT_TCP);
	in(lab, UPLINK_IP6, IPPROTO_TCP, 4002, 8080, FRAME_SYN, PASSED);
	in(lab, second, IPPROTO_TCP, 4002, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	set(lab, NULL, NULL);
	assert_int_equal(lab_entries(lab, MAP_published6), 0);
	lab_expect_no_flows6(lab);
}

/* ---- What is rare. */

static struct frame *piece(struct lab *lab, const uint8_t data[FRAME_EXTENSION - 2], uint16_t dport)
{
	struct frame_spec spec = {.to = mac_router,
				  .from = mac_up0,
				  .source = RED_IP6,
				  .dest = REMOTE_IP6,
				  .sport = dport == 80 ? 3000 : 80,
				  .dport = dport,
				  .payload = 104,
				  .extended = true,
				  .extension = IPPROTO_FRAGMENT};
	struct frame f;

	memcpy(spec.extension_data, data, sizeof(spec.extension_data));
	frame_build(&f, &spec);
	return &EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out;
}

/* Later fragments leave by the address of the first, whichever that is. */
static void test_fragments(void **state)
{
	static const uint8_t first[] = {0, 1, 0, 0, 0, 7}, later[] = {0, 112, 0, 0, 0, 7};
	struct lab *lab = lab_of(state);

	set(lab, second, NULL);
	publish(lab, NULL, RED_IP6, NSR_NAT_UDP);
	expect_address(&frame_ip6(piece(lab, first, 80))->saddr, second);
	expect_address(&frame_ip6(piece(lab, later, 80))->saddr, second);
	in(lab, UPLINK_IP6, IPPROTO_UDP, 4000, 8080, 0, TRANSLATED_TO_PEER);
	expect_address(&frame_ip6(piece(lab, first, 4000))->saddr, UPLINK_IP6);
	expect_address(&frame_ip6(piece(lab, later, 4000))->saddr, UPLINK_IP6);
	/* And of a datagram with the same identification after that. */
	expect_address(&frame_ip6(piece(lab, first, 80))->saddr, second);
	expect_address(&frame_ip6(piece(lab, later, 80))->saddr, second);
	unpublish(lab, NULL, NSR_NAT_UDP);
	lab_expect_no_flows6(lab);
}

static void error_about(struct frame *f, const struct frame *about, const char *source,
			const char *dest, bool leaves)
{
	FRAME(f, .to = leaves ? mac_router : mac_up0, .from = leaves ? mac_up0 : mac_router,
	      .source = source, .dest = dest, .protocol = FRAME_ICMPV6,
	      .icmp_type = FRAME6_UNREACHABLE, .quoted = about, .quoted_beyond = 1000);
}

static void test_errors(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame about, f, *got;

	set(lab, second, NULL);
	leaves_by(lab, RED_IP6, 3000, second);
	for (int i = 0; i < 2; i++) {
		const char *external = i ? UPLINK_IP6 : second;

		FRAME(&about, .to = mac_router, .from = mac_up0, .source = external,
		      .dest = REMOTE_IP6, .sport = 3000, .dport = 80, .payload = 20);
		error_about(&f, &about, ROUTER6, external, false);
		got = &EXPECT_IN(lab, UP0, &f, i ? PASSED : TRANSLATED_TO_PEER)->out;
		if (!i)
			expect_address(&frame_ip6(got)->daddr, RED_IP6);
	}
	/* In the name of the address that it is about, which need not be the sender's own. */
	publish(lab, NULL, RED_IP6, NSR_NAT_UDP);
	in(lab, UPLINK_IP6, IPPROTO_UDP, 4000, 8080, 0, TRANSLATED_TO_PEER);
	for (int i = 0; i < 2; i++) {
		const char *external = i ? UPLINK_IP6 : second;

		FRAME(&about, .to = mac_up0, .from = mac_router, .source = REMOTE_IP6,
		      .dest = RED_IP6, .sport = i ? 4000 : 80, .dport = i ? 80 : 3000,
		      .payload = 20);
		error_about(&f, &about, RED_IP6, REMOTE_IP6, true);
		got = &EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out;
		expect_address(&frame_ip6(got)->saddr, external);
		expect_address(&((struct ipv6hdr *)((uint8_t *)frame_transport(got) + 8))->daddr,
			       external);
	}
	unpublish(lab, NULL, NSR_NAT_UDP);
	lab_expect_no_flows6(lab);
}

static struct run *gre(struct lab *lab, const char *source, const char *dest, bool leaves,
		       int outcome)
{
	struct frame f;

	FRAME(&f, .to = leaves ? mac_router : mac_up0, .from = leaves ? mac_up0 : mac_router,
	      .source = source, .dest = dest, .protocol = IPPROTO_GRE, .payload = 60);
	return leaves ? EXPECT_OUT(lab, UP0, &f, outcome) : EXPECT_IN(lab, UP0, &f, outcome);
}

static void test_portless(void **state)
{
	struct lab *lab = lab_of(state);

	set(lab, second, NULL);
	expect_address(&frame_ip6(&gre(lab, RED_IP6, REMOTE_IP6, true, TRANSLATED)->out)->saddr,
		       second);
	gre(lab, BLUE_IP6, REMOTE_IP6, true, DROPPED(NAT_AMBIGUOUS));
	expect_address(&frame_ip6(&gre(lab, BLUE_IP6, REMOTE2_IP6, true, TRANSLATED)->out)->saddr,
		       UPLINK_IP6);
	assert_int_equal(gre(lab, REMOTE_IP6, second, false, TRANSLATED_TO_PEER)->delivered, RED);
	gre(lab, REMOTE_IP6, UPLINK_IP6, false, PASSED);
	/* Red's address goes: so does its session, and blue's stays. */
	set(lab, NULL, NULL);
	assert_int_equal(lab_entries(lab, MAP_session_by_flow6), 1);
	lab_expect_no_flows6(lab);
}

/* ---- The host, and hairpins. */

static struct frame *from_port(struct lab *lab, enum lab_port which, const char *dest,
			       uint16_t sport, uint16_t dport, int outcome)
{
	const bool red = which == RED;
	struct frame f;

	FRAME(&f, .to = mac_br1, .from = red ? mac_red : mac_blue,
	      .source = red ? RED_IP6 : BLUE_IP6, .dest = dest, .sport = sport, .dport = dport,
	      .payload = 20);
	return &EXPECT_PORT_IN(lab, which, &f, outcome)->out;
}

static void test_hairpin(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame f, about, *got;

	set(lab, second, NULL);
	publish(lab, NULL, BLUE_IP6, NSR_NAT_UDP);
	got = from_port(lab, RED, UPLINK_IP6, 5000, 8080, TO_PEER);
	expect_address(&frame_ip6(got)->saddr, second);
	expect_address(&frame_ip6(got)->daddr, BLUE_IP6);
	assert_int_equal(frame_sport(got), 5000);
	got = from_port(lab, BLUE, second, 80, 5000, TO_PEER);
	expect_address(&frame_ip6(got)->saddr, UPLINK_IP6);
	expect_address(&frame_ip6(got)->daddr, RED_IP6);
	assert_int_equal(frame_sport(got), 8080);
	/* The port of the one address is not mapped at the other. */
	from_port(lab, RED, second, 5001, 8080, TO_KERNEL);
	/* An error about it goes back translated on both sides. */
	FRAME(&about, .to = mac_blue, .from = mac_br1, .source = second, .dest = BLUE_IP6,
	      .sport = 5000, .dport = 80, .payload = 20);
	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = BLUE_IP6, .dest = second,
	      .protocol = FRAME_ICMPV6, .icmp_type = FRAME6_UNREACHABLE, .icmp_code = 4,
	      .quoted = &about, .quoted_beyond = 1000);
	got = &EXPECT_PORT_IN(lab, BLUE, &f, TO_PEER)->out;
	expect_address(&frame_ip6(got)->saddr, UPLINK_IP6);
	expect_address(&frame_ip6(got)->daddr, RED_IP6);
	unpublish(lab, NULL, NSR_NAT_UDP);
	lab_expect_no_flows6(lab);
}

static void test_local(void **state)
{
	const struct nsr_uplink loopback = {
		.address4 = address4("127.0.0.1"), .port_min = 1, .port_max = 65535};
	struct lab *lab = lab_of(state);
	struct frame f, got, *answer;

	set(lab, second, NULL);
	assert_int_equal(
		datapath_uplink_set(lab->datapath, STATE_LOOPBACK, &loopback, NULL, &lab->err), 0);
	publish(lab, second, BLUE_IP6, NSR_NAT_UDP);
	for (int i = 0; i < 2; i++) {
		const char *external = i ? UPLINK_IP6 : second;

		FRAME(&f, .to = nobody, .from = nobody, .source = external, .dest = external,
		      .sport = 5000, .dport = 8080, .payload = 20);
		assert_int_equal(lab_run(lab, DATAPATH_LOCAL_OUT, STATE_LOOPBACK, &f, &got),
				 i ? TC_ACT_UNSPEC : TC_ACT_REDIRECT);
		if (!i)
			expect_address(&frame_ip6(&got)->daddr, BLUE_IP6);
	}
	answer = from_port(lab, BLUE, second, 80, 5000, TO_NEIGHBOUR);
	expect_address(&frame_ip6(answer)->saddr, second);
	assert_int_equal(frame_sport(answer), 8080);
	assert_int_equal(datapath_uplink_delete(lab->datapath, STATE_LOOPBACK, &lab->err), 0);
	unpublish(lab, second, NSR_NAT_UDP);
	lab_expect_no_flows6(lab);
}

static int host_opens(const char *local, uint16_t port)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(port)},
			    to = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET6, local, &at.sin6_addr);
	inet_pton(AF_INET6, REMOTE_IP6, &to.sin6_addr);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* What the host begins from one of them, with a port that somebody has there, leaves from another
 * port of that address, and everybody's flows go on. */
static void test_own(void **state)
{
	const char *const inside[] = {BLUE_IP6, RED_IP6}, *const external[] = {UPLINK_IP6, second};
	struct lab *lab = lab_of(state);

	set(lab, second, NULL);
	for (int i = 0; i < 2; i++) {
		const uint16_t port = (uint16_t)(3000 + i); /* none that cools down */
		struct frame *f;
		int fd;

		leaves_by(lab, BLUE_IP6, port, UPLINK_IP6);
		leaves_by(lab, RED_IP6, port, second);
		fd = host_opens(external[i], port);
		f = out(lab, external[i], REMOTE_IP6, IPPROTO_UDP, port, 80, 0, TRANSLATED);
		expect_address(&frame_ip6(f)->saddr, external[i]);
		assert_int_not_equal(frame_sport(f), port);
		assert_int_equal(lab_entries(lab, MAP_session_by_flow6), 3);
		f = &in(lab, external[i], IPPROTO_UDP, 80, frame_sport(f), 0, TRANSLATED)->out;
		expect_address(&frame_ip6(f)->daddr, external[i]);
		assert_int_equal(frame_dport(f), port);
		for (int j = 0; j < 2; j++) {
			in(lab, external[j], IPPROTO_UDP, 80, port, 0, TRANSLATED_TO_PEER);
			leaves_by(lab, inside[j], port, external[j]);
		}
		close(fd);
		lab_expect_no_flows6(lab);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
	const struct CMUnitTest tests[] = {
		TEST(test_paired),    TEST(test_ports_apart), TEST(test_change),
		TEST(test_killed),    TEST(test_gone),        TEST(test_published),
		TEST(test_fragments), TEST(test_errors),      TEST(test_portless),
		TEST(test_hairpin),   TEST(test_local),       TEST(test_own),
	};

	return LAB_MAIN(tests);
}
