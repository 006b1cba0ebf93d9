/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What must not leave by what a direct flow has left behind, or beside one, of both families.
 */
#include "lab.h"
#include "pieces.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <string.h>

#include "datapath_maps.h"
#include "datapath_publish.h"
#include "kernel_state.h"
#include "nsroute_trace.h"

#define MORE  0x2000
#define PORT  4321 /* red's direct one; the remote's is 80 */
#define OTHER 4322 /* red's translated one */
#define ID    7    /* of two datagrams */

#define OWN_NETNS (-1) /* the test is in the lab's namespace */

static const struct family {
	const char *red, *remote, *remote2, *uplink, *prefix;
	bool ipv6;
} families[2] = {
	{RED_IP, REMOTE_IP, REMOTE2_IP, UPLINK_IP, "192.168.15.0/24", false},
	{RED_IP6, REMOTE_IP6, REMOTE2_IP6, UPLINK_IP6, "fd00:15::/64", true},
};

static const struct family *f;

static struct nsr_inside settings(void)
{
	struct nsr_inside inside = NSR_INSIDE_DEFAULT;

	inside.inbound = true;
	return inside;
}

static void set_inbound(struct lab *lab)
{
	struct nsr_inside inside = settings();

	lab_inside_set(lab, f->prefix, UP0, &inside);
}

static void expect_in(struct lab *lab, const char *dest, uint8_t protocol, uint16_t port,
		      uint8_t flags, int outcome)
{
	struct frame frame;

	FRAME(&frame, .to = mac_up0, .from = mac_router, .source = f->remote, .dest = dest,
	      .protocol = protocol, .sport = 80, .dport = port, .tcp_flags = flags, .payload = 33);
	EXPECT_IN(lab, UP0, &frame, outcome);
}

static void expect_out(struct lab *lab, const char *remote, uint8_t protocol, uint16_t port,
		       uint8_t flags, int outcome)
{
	struct frame frame;

	FRAME(&frame, .to = mac_router, .from = mac_up0, .source = f->red, .dest = remote,
	      .protocol = protocol, .sport = port, .dport = 80, .tcp_flags = flags, .payload = 33);
	EXPECT_OUT(lab, UP0, &frame, outcome);
}

/* Ends what is translated, or of all kinds. */
static void flush(struct lab *lab, uint8_t kind)
{
	struct nsr_selection selected = {.kind = kind};
	struct nsr_selection6 selected6 = {.kind = kind};

	assert_int_equal(datapath_flush(lab->datapath, &selected, NULL, &lab->err), 0);
	assert_int_equal(datapath_flush6(lab->datapath, &selected6, NULL, &lab->err), 0);
}

/* ---- Fragments. */

/* Of the datagram ID of red's to the remote: 0 the first, 1 the last. */
static void piece(struct frame *frame, uint16_t port, unsigned int number, uint8_t options)
{
	FRAME(frame, .to = mac_router, .from = mac_up0, .source = f->red, .dest = f->remote,
	      .protocol = IPPROTO_UDP, .sport = port, .dport = 80, .payload = 64,
	      .ip_options = options, .fragment = (uint16_t)(number ? 9 : MORE), .id = ID,
	      .extended = f->ipv6, .extension = 44,
	      .extension_data = {0, (uint8_t)(number ? 72 : 1), 0, 0, 0, ID});
}

static void expect_piece(struct lab *lab, uint16_t port, unsigned int number, int outcome)
{
	struct frame frame;

	piece(&frame, port, number, 0);
	EXPECT_OUT(lab, UP0, &frame, outcome);
}

/* A direct datagram has left in part, and the first fragment of another by its name is next. */
static void begin(struct lab *lab)
{
	set_inbound(lab);
	expect_in(lab, f->red, IPPROTO_UDP, PORT, 0, PASSED_TO_PEER);
	expect_piece(lab, PORT, 0, PASSED);
	expect_piece(lab, PORT, 1, PASSED);
}

static void check_refused_first(struct lab *lab)
{
	begin(lab);
	lab_uplink_set(lab, UP0, NULL, LAB_PORT_MIN, LAB_PORT_MAX);
	expect_piece(lab, OTHER, 0, DROPPED(NAT_CLOSED));
	expect_piece(lab, OTHER, 1, f->ipv6 ? DROPPED(NAT_CLOSED) : DROPPED(NAT_FRAGMENT));
	lab_uplink_set(lab, UP0, UPLINK_IP, LAB_PORT_MIN, LAB_PORT_MAX);
}

static void check_limited_first(struct lab *lab)
{
	struct nsr_inside inside = settings();

	inside.flows_max = 1;
	lab_inside_set(lab, f->prefix, UP0, &inside);
	expect_out(lab, f->remote2, IPPROTO_UDP, OTHER, 0, TRANSLATED);
	expect_in(lab, f->red, IPPROTO_UDP, PORT, 0, PASSED_TO_PEER);
	expect_piece(lab, PORT, 0, PASSED);
	expect_piece(lab, OTHER, 0, f->ipv6 ? DROPPED(NAT_LIMIT) : REFUSED(NAT_LIMIT));
	expect_piece(lab, OTHER, 1, f->ipv6 ? TRANSLATED : DROPPED(NAT_FRAGMENT));
}

/* One that has a session, and options that nobody translates. */
static void test_first_with_options(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame frame;

	f = &families[0];
	begin(lab);
	expect_out(lab, f->remote, IPPROTO_UDP, OTHER, 0, TRANSLATED);
	piece(&frame, OTHER, 0, 8);
	memset(frame.bytes + 34, 1, 8);
	memcpy(frame.bytes + 34, (const uint8_t[]){131, 7, 4}, 3); /* a source route */
	frame_seal(&frame);
	EXPECT_OUT(lab, UP0, &frame, DROPPED(IP_OPTIONS));
	expect_piece(lab, OTHER, 1, DROPPED(NAT_FRAGMENT));
	/* And of no protocol that is translated straight. */
	begin(lab);
	piece(&frame, OTHER, 0, 0);
	frame.bytes[14 + 2] = 0; /* no room for a transport header */
	frame.bytes[14 + 3] = 24;
	frame.length = 14 + 24;
	frame_seal(&frame);
	EXPECT_OUT(lab, UP0, &frame, DROPPED(MALFORMED));
	expect_piece(lab, OTHER, 1, DROPPED(NAT_FRAGMENT));
}

/* A header behind that of the fragment is not looked into. */
static void test_first_unfit6(void **state)
{
	struct lab *lab = lab_of(state);
	struct frame frame;

	f = &families[1];
	begin(lab);
	piece(&frame, OTHER, 0, 0);
	frame.bytes[14 + 40] = 60;
	EXPECT_OUT(lab, UP0, &frame, DROPPED(NAT_FRAGMENT));
	expect_piece(lab, OTHER, 1, TRANSLATED);
}

/* ---- A direct session beside a translated one. */

static int inside_map(struct lab *lab)
{
	return lab->datapath->maps[f->ipv6 ? MAP_inside6 : MAP_inside4];
}

static struct nsr_inside6_key inside_key(void)
{
	struct nsr_inside6_key key;

	memset(&key, 0, sizeof(key));
	key.prefix_len = f->ipv6 ? 64 : 24;
	memcpy(key.address, lab_ip(f->ipv6 ? "fd00:15::" : "192.168.15.0").bytes, 16);
	return key;
}

/* As CPUs may leave it that meet: red's port has both, with the remote. */
static void both_kinds(struct lab *lab)
{
	struct nsr_inside6_key key = inside_key();
	struct nsr_inside inside;
	uint32_t inbound;

	set_inbound(lab);
	expect_in(lab, f->red, IPPROTO_UDP, PORT, 0, PASSED_TO_PEER);
	assert_int_equal(bpf_map_lookup_elem(inside_map(lab), &key, &inside), 0);
	inbound = inside.inbound;
	inside.inbound = 0;
	assert_int_equal(bpf_map_update_elem(inside_map(lab), &key, &inside, 0), 0);
	expect_out(lab, f->remote, IPPROTO_UDP, PORT, 0, TRANSLATED);
	inside.inbound = inbound;
	assert_int_equal(bpf_map_update_elem(inside_map(lab), &key, &inside, 0), 0);
	expect_out(lab, f->remote, IPPROTO_UDP, PORT, 0, TRANSLATED);
}

/* The uplink has no address now, or another one, as the programs find out for themselves. */
static void test_translated_elsewhere(void **state)
{
	struct lab *lab = lab_of(state);
	const uint32_t *number = &lab->uplink_number[UP0];
	int map = lab->datapath->maps[MAP_followed];
	struct nsr_followed found, changed;
	unsigned int i;

	f = &families[0];
	for (i = 0; i < 2; i++) {
		both_kinds(lab);
		assert_int_equal(bpf_map_lookup_elem(map, number, &found), 0);
		changed = found;
		changed.address.entered = address4(UPLINK_IP);
		changed.address.now = i ? address4("203.0.113.9") : 0;
		assert_int_equal(bpf_map_update_elem(map, number, &changed, BPF_ANY), 0);
		expect_out(lab, f->remote, IPPROTO_UDP, PORT, 0,
			   i ? TRANSLATED : DROPPED(NAT_CLOSED));
		assert_int_equal(bpf_map_update_elem(map, number, &found, BPF_ANY), 0);
		flush(lab, 0);
	}
}

/* Who asks for the same endpoint by the external address does not take a direct flow away. */
static void check_asked_both_ways(struct lab *lab)
{
	struct nsr_inside inside = settings();

	inside.filtering = NSR_FILTER_NOTHING;
	lab_inside_set(lab, f->prefix, UP0, &inside);
	expect_in(lab, f->red, IPPROTO_UDP, PORT, 0, PASSED_TO_PEER);
	expect_out(lab, f->remote2, IPPROTO_UDP, PORT, 0, TRANSLATED); /* and has a mapping now */
	expect_in(lab, f->uplink, IPPROTO_UDP, PORT, 0, DROPPED(NAT_FILTERED));
	expect_out(lab, f->remote, IPPROTO_UDP, PORT, 0, PASSED);
	expect_in(lab, f->red, IPPROTO_UDP, PORT, 0, PASSED_TO_PEER);
}

/* ... nor where the port is published; and to publish it does not either. */
static void test_published(void **state)
{
	struct lab *lab = lab_of(state);
	const struct published_ports port = {8080, PORT, 1, NSR_NAT_UDP};
	struct ip_address inside = lab_ip(RED_IP);

	f = &families[0];
	set_inbound(lab);
	expect_in(lab, f->red, IPPROTO_UDP, PORT, 0, PASSED_TO_PEER);
	assert_int_equal(datapath_publish(lab->datapath, lab->uplink[UP0], &inside, &port,
					  OWN_NETNS, &lab->err),
			 0);
	expect_out(lab, f->remote, IPPROTO_UDP, PORT, 0, PASSED);
	expect_in(lab, f->uplink, IPPROTO_UDP, 8080, 0, DROPPED(NAT_FILTERED));
	expect_out(lab, f->remote, IPPROTO_UDP, PORT, 0, PASSED);
	assert_int_equal(
		datapath_unpublish(lab->datapath, lab->uplink[UP0], false, &port, &lab->err), 0);
	expect_out(lab, f->remote, IPPROTO_UDP, PORT, 0, PASSED);
}

/* A filter has no say in it. */
static void check_filter(struct lab *lab)
{
	struct nsr_inside inside = settings();

	inside.filtering = NSR_FILTER_NOTHING;
	lab_inside_set(lab, f->prefix, UP0, &inside);
	expect_in(lab, f->red, IPPROTO_UDP, PORT, 0, PASSED_TO_PEER);
	set_inbound(lab);
	expect_out(lab, f->remote, IPPROTO_UDP, PORT, 0, PASSED);
}

/* One that the inside has ended by beginning anew stays so when timeouts change. */
static void check_given_up(struct lab *lab)
{
	struct nsr_inside inside = settings();

	set_inbound(lab);
	expect_in(lab, f->red, IPPROTO_TCP, PORT, FRAME_SYN, PASSED_TO_PEER);
	expect_out(lab, f->remote, IPPROTO_TCP, PORT, FRAME_SYN | FRAME_ACK, PASSED);
	expect_out(lab, f->remote, IPPROTO_TCP, PORT, FRAME_SYN, TRANSLATED);
	inside.timeout_s[NSR_TIMEOUT_FRAGMENT]++;
	lab_inside_set(lab, f->prefix, UP0, &inside);
	flush(lab, 1 + NSR_FLOW_TRANSLATED);
	expect_out(lab, f->remote, IPPROTO_TCP, PORT, FRAME_ACK, TRANSLATED);
}

/* What stands for the host itself, where ports are published for the host alone, is no client. */
static void check_client(struct lab *lab)
{
	const char *client = f->ipv6 ? "fd0d:2b16:9ad7::1" : "169.254.78.1";
	struct nsr_uplink loopback = {
		.address4 = htonl(INADDR_LOOPBACK), .port_min = 1, .port_max = 65535};
	struct frame frame;
	uint32_t number;

	loopback.address6[15] = f->ipv6;
	set_inbound(lab);
	assert_int_equal(
		datapath_uplink_set(lab->datapath, STATE_LOOPBACK, &loopback, &number, &lab->err),
		0);
	FRAME(&frame, .to = mac_up0, .from = mac_router, .source = client, .dest = f->red,
	      .sport = 80, .dport = PORT, .payload = 33);
	EXPECT_IN(lab, UP0, &frame, DROPPED(SPOOFED_ADDRESS));
	expect_in(lab, f->red, IPPROTO_UDP, PORT, 0, PASSED_TO_PEER);
	assert_int_equal(datapath_uplink_delete(lab->datapath, STATE_LOOPBACK, &lab->err), 0);
}

/* Of a datagram that the host has a part of, because it could not be held, the inside gets none,
 * and the kernel, which would send it on, gets none either. */
static void test_left(void **state)
{
	struct lab *lab = lab_of(state);
	int in = lab->datapath->maps[MAP_datagrams_in];
	struct nsr_datagram key = {.source = address4(REMOTE_IP),
				   .dest = address4(RED_IP),
				   .id = htons(ID),
				   .protocol = IPPROTO_UDP,
				   .uplink = (uint8_t)lab->uplink_number[UP0]};
	struct nsr_datagram_in entry;
	struct frame frame;

	f = &families[0];
	set_inbound(lab);
	FRAME(&frame, .to = mac_up0, .from = mac_router, .source = f->remote, .dest = f->red,
	      .protocol = IPPROTO_UDP, .fragment = 64, .payload = 64, .id = ID);
	expect_held(lab, &frame);
	assert_int_equal(bpf_map_lookup_elem(in, &key, &entry), 0);
	entry.whom = NSR_INBOUND_LEFT;
	assert_int_equal(bpf_map_update_elem(in, &key, &entry, BPF_EXIST), 0);
	EXPECT_IN(lab, UP0, &frame, DROPPED(NAT_FRAGMENT));
}

/* ---- What an entry names, and is not the datagram's: tables hand out entries and records anew
 * while they are read. */

static int datagrams_map(struct lab *lab)
{
	return lab->datapath->maps[f->ipv6 ? MAP_datagrams_out6 : MAP_datagrams_out];
}

/* The entry of the first fragment of whoever sends it; there is no other one. */
static struct nsr_datagram_out entry_of(struct lab *lab, const char *source, const char *remote,
					uint8_t protocol, struct nsr_datagram6 *ret_key)
{
	struct nsr_datagram_out entry;
	struct frame frame;

	FRAME(&frame, .to = mac_up0, .from = mac_router, .source = remote, .dest = source,
	      .protocol = protocol, .sport = 80, .dport = PORT, .tcp_flags = FRAME_SYN);
	EXPECT_IN(lab, UP0, &frame, PASSED_TO_PEER);
	FRAME(&frame, .to = mac_router, .from = mac_up0, .source = source, .dest = remote,
	      .protocol = protocol, .sport = PORT, .dport = 80, .tcp_flags = FRAME_ACK,
	      .payload = 64, .fragment = MORE, .id = ID, .extended = f->ipv6, .extension = 44,
	      .extension_data = {0, 1, 0, 0, 0, ID});
	EXPECT_OUT(lab, UP0, &frame, PASSED);
	assert_int_equal(bpf_map_get_next_key(datagrams_map(lab), NULL, ret_key), 0);
	assert_int_equal(bpf_map_lookup_elem(datagrams_map(lab), ret_key, &entry), 0);
	assert_int_equal(bpf_map_delete_elem(datagrams_map(lab), ret_key), 0);
	assert_int_not_equal(entry.state, 0);
	return entry;
}

static void expect_named(struct lab *lab, const struct nsr_datagram6 *key,
			 const struct nsr_datagram_out *entry, int outcome)
{
	assert_int_equal(bpf_map_update_elem(datagrams_map(lab), key, entry, BPF_ANY), 0);
	expect_piece(lab, PORT, 1, outcome);
}

static void check_entry_of_another(struct lab *lab)
{
	const struct {
		const char *source, *remote;
		uint8_t protocol;
	} others[] = {
		{f->ipv6 ? BLUE_IP6 : BLUE_IP, f->remote, IPPROTO_UDP},
		{f->red, f->remote2, IPPROTO_UDP},
		{f->red, f->remote, IPPROTO_TCP}, /* IPv6's datagrams have no protocol */
	};
	struct nsr_datagram6 key, other;
	struct nsr_datagram_out own, entry;
	uint32_t i;

	set_inbound(lab);
	own = entry_of(lab, f->red, f->remote, IPPROTO_UDP, &key);
	expect_named(lab, &key, &own, PASSED);
	assert_int_equal(bpf_map_delete_elem(datagrams_map(lab), &key), 0);
	for (i = 0; i < (f->ipv6 ? 2 : 3); i++) {
		entry = entry_of(lab, others[i].source, others[i].remote, others[i].protocol,
				 &other);
		expect_named(lab, &key, &entry, DROPPED(NAT_FRAGMENT));
		assert_int_equal(bpf_map_delete_elem(datagrams_map(lab), &key), 0);
	}
	/* The record is another flow's now, or was when the entry was made. */
	entry = own;
	entry.state += NSR_SESSION_GENERATION;
	expect_named(lab, &key, &entry, DROPPED(NAT_FRAGMENT));
	entry.state = (own.state & ~NSR_SESSION_STATUS) | NSR_SESSION_DYING;
	expect_named(lab, &key, &entry, DROPPED(NAT_FRAGMENT));
	expect_named(lab, &key, &own, PASSED);
}

/* Nor one that is translated: as CPUs may leave it, its session has the record of a direct one. */
static void check_entry_of_translated(struct lab *lab)
{
	int sessions = lab->datapath->maps[f->ipv6 ? MAP_sessions6 : MAP_sessions];
	struct nsr_datagram_out own;
	struct nsr_datagram6 key;
	union {
		struct nsr_session of4;
		struct nsr_session6 of6;
	} record;

	set_inbound(lab);
	own = entry_of(lab, f->red, f->remote, IPPROTO_UDP, &key);
	assert_int_equal(bpf_map_lookup_elem(sessions, &own.session, &record), 0);
	*(f->ipv6 ? &record.of6.flow.kind : &record.of4.flow.kind) = NSR_FLOW_TRANSLATED;
	assert_int_equal(bpf_map_update_elem(sessions, &own.session, &record, BPF_ANY), 0);
	expect_named(lab, &key, &own, DROPPED(NAT_FRAGMENT));
	*(f->ipv6 ? &record.of6.flow.kind : &record.of4.flow.kind) = NSR_FLOW_DIRECT;
	assert_int_equal(bpf_map_update_elem(sessions, &own.session, &record, BPF_ANY), 0);
	expect_named(lab, &key, &own, PASSED);
	/* Nor when its session has expired, long before the entry has. */
	*(f->ipv6 ? &record.of6.life : &record.of4.life) = NSR_LIFE(1, NSR_SEEN_OUT);
	assert_int_equal(bpf_map_update_elem(sessions, &own.session, &record, BPF_ANY), 0);
	lab_clock_offset(lab, 2);
	expect_named(lab, &key, &own, DROPPED(NAT_FRAGMENT));
}

/* Errors about a direct flow go with it where there is no external address, unless they need one.
 */
static void check_error_without(struct lab *lab)
{
	const char *const reporters[] = {f->red, f->ipv6 ? "fd00:15::1" : GATEWAY_IP};
	struct frame frame, about;

	set_inbound(lab);
	expect_in(lab, f->red, IPPROTO_UDP, PORT, 0, PASSED_TO_PEER);
	lab_uplink_set(lab, UP0, NULL, LAB_PORT_MIN, LAB_PORT_MAX);
	FRAME(&about, .to = mac_up0, .from = mac_router, .source = f->remote, .dest = f->red,
	      .protocol = IPPROTO_UDP, .sport = 80, .dport = PORT, .payload = 33);
	for (int i = 0; i < 2; i++) {
		FRAME(&frame, .to = mac_router, .from = mac_up0, .source = reporters[i],
		      .dest = f->remote, .protocol = f->ipv6 ? FRAME_ICMPV6 : IPPROTO_ICMP,
		      .icmp_type = f->ipv6 ? FRAME6_UNREACHABLE : FRAME_UNREACHABLE,
		      .quoted = &about, .quoted_beyond = 8);
		EXPECT_OUT(lab, UP0, &frame, i ? DROPPED(NAT_ICMP_ERROR) : PASSED);
	}
	lab_uplink_set(lab, UP0, UPLINK_IP, LAB_PORT_MIN, LAB_PORT_MAX);
}

#define BOTH(name)                               \
	static void test_##name(void **state)    \
	{                                        \
		f = &families[0];                \
		check_##name(lab_of(state));     \
	}                                        \
	static void test_##name##6(void **state) \
	{                                        \
		f = &families[1];                \
		check_##name(lab_of(state));     \
	}

BOTH(refused_first)
BOTH(entry_of_another)
BOTH(entry_of_translated)
BOTH(limited_first)
BOTH(asked_both_ways)
BOTH(filter)
BOTH(given_up)
BOTH(client)
BOTH(error_without)

#define LAB_BOTH(name) LAB_TEST(test_##name), LAB_TEST(test_##name##6)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_BOTH(refused_first),
		LAB_BOTH(entry_of_another),
		LAB_BOTH(entry_of_translated),
		LAB_BOTH(limited_first),
		LAB_TEST(test_first_with_options),
		LAB_TEST(test_first_unfit6),
		LAB_TEST(test_translated_elsewhere),
		LAB_BOTH(asked_both_ways),
		LAB_TEST(test_published),
		LAB_BOTH(filter),
		LAB_BOTH(given_up),
		LAB_BOTH(client),
		LAB_BOTH(error_without),
		LAB_TEST(test_left),
	};

	return LAB_MAIN(tests);
}
