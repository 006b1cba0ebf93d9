/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * CPUs that meet where few packets come: at the last free ports, contacts, datagrams in fragments,
 * sessions of the outside, published ports, and the host's own sockets.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/pkt_cls.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "meetings_run.h"

#define FEW_PORTS   128 /* two words of the pool's set */
#define TURNS       4096
#define PUBLISHED   32   /* ports that are published in turn, the crowd's first among them */
#define INSIDE_PORT 9000 /* behind them */
#define DATAGRAMS   256
#define PAYLOAD     1200 /* of each, in two fragments */
#define STRANGERS   500  /* remote ports that speak first */
#define OWN_FLOWS   300

/* ---- What threads do beside the crowd, or all of it. */

static int flush_ports(struct crowd *crowd)
{
	struct error err;

	return datapath_flush_ports(crowd->lab->datapath, crowd->ipv6,
				    crowd->lab->uplink_number[UP0], &err);
}

/* Sessions end, and their ports do not cool down. */
static void *end_all_at_once(void *argument)
{
	struct crowd *crowd = argument;
	struct nsr_selection all = {.uplink = (uint8_t)(1 + crowd->lab->uplink_number[UP0])};
	struct nsr_selection6 all6 = {.uplink = all.uplink};
	struct error err;

	while (!atomic_load(&crowd->done))
		if ((crowd->ipv6 ? datapath_flush6(crowd->lab->datapath, &all6, NULL, &err)
				 : datapath_flush(crowd->lab->datapath, &all, NULL, &err)) ||
		    flush_ports(crowd))
			break;
	return NULL;
}

static int out(const struct crowd *crowd, const struct frame *f, struct frame *ret_out)
{
	return lab_run(crowd->lab, DATAPATH_UPLINK_OUT, crowd->lab->uplink[UP0], f, ret_out);
}

static void in(const struct crowd *crowd, const struct frame *f)
{
	lab_run(crowd->lab, DATAPATH_UPLINK_IN, crowd->lab->uplink[UP0], f, NULL);
}

static void filter(const struct crowd *crowd, uint8_t filtering)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;

	settings.filtering = filtering;
	lab_inside_set(crowd->lab, crowd->ipv6 ? "fd00:15::/64" : "192.168.15.0/24", UP0,
		       &settings);
}

/* What user space asks of a port, behind which is always the same endpoint. */
static int publish_step(const struct crowd *crowd, enum nsr_publish_step step, uint16_t external,
			uint32_t count)
{
	const struct nsr_inside_endpoint6 inside6 = {
		.port = htons(INSIDE_PORT),
		.protocol = NSR_NAT_UDP,
		.uplink = (uint8_t)crowd->lab->uplink_number[UP0]};
	struct nsr_publish6 asked6 = {.step = step, .inside = inside6, .count = count};
	struct nsr_publish asked = {.step = step, .count = count};
	char packet[ETH_HLEN + sizeof(asked6)] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof(packet));

	asked6.mapping = NSR_MAPPING(NSR_POOL(inside6.uplink, NSR_NAT_UDP), external);
	asked.mapping = asked6.mapping;
	asked.inside.address = address4(RED_IP);
	asked.inside.port = inside6.port;
	asked.inside.protocol = inside6.protocol;
	asked.inside.uplink = inside6.uplink;
	memcpy(&asked6.inside.address, lab_ip(RED_IP6).bytes, sizeof(asked6.inside.address));
	if (crowd->ipv6)
		memcpy(packet + ETH_HLEN, &asked6, sizeof(asked6));
	else
		memcpy(packet + ETH_HLEN, &asked, sizeof(asked));
	assert_int_equal(bpf_prog_test_run_opts(
				 crowd->lab->datapath->programs[crowd->ipv6 ? DATAPATH_PUBLISH6
									    : DATAPATH_PUBLISH],
				 &options),
			 0);
	return (int)options.retval;
}

/* ---- The last free ports. */

/* All of which one namespace may have. */
static void leave_few_ports(struct crowd *crowd)
{
	lab_uplink_set(crowd->lab, UP0, UPLINK_IP, CROWD_FIRST, CROWD_FIRST + FEW_PORTS - 1);
	assert_int_equal(publish_step(crowd, NSR_PUBLISH_SHARE, CROWD_FIRST, FEW_PORTS), 0);
}

static void few_ports(void **state, bool ipv6)
{
	meet(state, &(struct meeting_of){.wanted = MET(BIT_LOST) | MET(FULL_TAKEN_BACK),
					 .prepare = leave_few_ports,
					 .body = crowd_open_from_elsewhere,
					 .beside = end_all_at_once,
					 .again = true,
					 .ipv6 = ipv6});
}

static void test_few_ports(void **state)
{
	few_ports(state, false);
}

static void test_few_ports6(void **state)
{
	few_ports(state, true);
}

/* ---- Published ports: one thread publishes and gives back, others open flows from those. */

static void *publish_and_open(void *argument)
{
	struct crowd *crowd = argument;
	uint16_t port;
	int result;

	if (atomic_fetch_add(&crowd->next, 1))
		return crowd_open_few(crowd);
	for (uint32_t i = 0; i < TURNS; i++) {
		port = (uint16_t)(CROWD_FIRST + i % PUBLISHED);
		result = publish_step(crowd, NSR_PUBLISH_MAKE, port, 1);
		if (result && result != -EBUSY) /* a packet, or who gives back, was at it */
			fail_msg("publish: %d", result);
		if (!result) {
			publish_step(crowd, NSR_PUBLISH_CLOSE, port, 1);
			publish_step(crowd, NSR_PUBLISH_RELEASE, port, 1);
		}
	}
	return NULL;
}

/* What was published cools down, and counts for nobody. */
static void give_ports_back(struct crowd *crowd)
{
	assert_int_equal(flush_ports(crowd), 0);
}

static void ports_published(void **state, bool ipv6)
{
	meet(state, &(struct meeting_of){.wanted = MET(RECLAIM_LOST) | MET(PUBLISH_LOST),
					 .body = publish_and_open,
					 .beside = end_all_at_once,
					 .judge = give_ports_back,
					 .again = true,
					 .ipv6 = ipv6});
}

static void test_ports_published(void **state)
{
	ports_published(state, false);
}

static void test_ports_published6(void **state)
{
	ports_published(state, true);
}

/* ---- Contacts. */

static void filter_by_address(struct crowd *crowd)
{
	filter(crowd, NSR_FILTER_ADDRESS);
}

static void contacts(void **state, bool ipv6)
{
	meet(state, &(struct meeting_of){.wanted = MET(CONTACT_EXISTS) | MET(CONTACT_ENDED),
					 .prepare = filter_by_address,
					 .body = crowd_open_few,
					 .beside = crowd_end_all,
					 .ipv6 = ipv6});
}

static void test_contacts(void **state)
{
	contacts(state, false);
}

static void test_contacts6(void **state)
{
	contacts(state, true);
}

/* ---- Datagrams in fragments: all threads have the same ones, half of them the second fragment
 * first. */

static void begin_datagrams(struct crowd *crowd)
{
	const uint32_t none = 0;
	struct frame f, sent;

	for (uint32_t i = 0; i < NSR_IDS_MAX; i++)
		assert_int_equal(bpf_map_update_elem(crowd->lab->datapath->maps[MAP_datagram_ids],
						     &i, &none, BPF_ANY),
				 0);
	crowd_sends(crowd, &f, 0, 80);
	assert_int_equal(out(crowd, &f, &sent), TC_ACT_UNSPEC);
	assert_int_equal(frame_sport(&sent), CROWD_FIRST);
}

/* One that leaves has one identification, whoever saw it first. */
static void note_id(struct crowd *crowd, uint16_t number, struct frame *sent)
{
	uint32_t id = 1u + ntohs(frame_ip4(sent)->id), nobody = 0;

	if (!atomic_compare_exchange_strong(&crowd->owner[number], &nobody, id) && nobody != id)
		atomic_fetch_add(&crowd->shared, 1);
}

static void take_to_pieces(struct crowd *crowd, uint32_t order)
{
	struct frame whole, half[2], sent;

	for (uint16_t i = 0; i < DATAGRAMS; i++) {
		for (uint32_t j = 0; j < 2 && !crowd->ipv6; j++) {
			FRAME(&whole, .to = mac_router, .from = mac_up0, .source = RED_IP,
			      .dest = "198.18.7.0", .sport = CROWD_FIRST, .dport = 80,
			      .payload = PAYLOAD);
			((uint8_t *)&frame_ip4(&whole)->daddr)[3] = (uint8_t)i;
			frame_seal(&whole);
			frame_halve(&whole, i, half);
			if (out(crowd, &half[j ^ order], &sent) == TC_ACT_UNSPEC)
				note_id(crowd, i, &sent);
		}
		FRAME(&whole, .to = mac_up0, .from = mac_router,
		      .source = crowd->ipv6 ? REMOTE_IP6 : REMOTE_IP,
		      .dest = crowd->ipv6 ? UPLINK_IP6 : UPLINK_IP, .sport = 80,
		      .dport = CROWD_FIRST, .payload = PAYLOAD);
		frame_halve(&whole, i, half);
		in(crowd, &half[order]);
		in(crowd, &half[!order]);
	}
}

static void *send_datagrams(void *argument)
{
	struct crowd *crowd = argument;

	take_to_pieces(crowd, atomic_fetch_add(&crowd->next, 1) % 2);
	return NULL;
}

/* The first fragment of each has come, so nothing waits for it. */
static void expect_none_held(struct crowd *crowd)
{
	assert_int_equal(
		lab_entries(crowd->lab, crowd->ipv6 ? MAP_held_fragments6 : MAP_held_fragments), 0);
}

static void datagrams(void **state, bool ipv6)
{
	const uint32_t leaving = MET(DATAGRAM_NAMED) | MET(IDS_BEGUN);

	meet(state, &(struct meeting_of){.wanted = MET(DATAGRAM_KNOWN) | MET(FRAGMENT_OVERTAKEN) |
						   (ipv6 ? 0 : leaving),
					 .prepare = begin_datagrams,
					 .body = send_datagrams,
					 .judge = expect_none_held,
					 .lossy = true,
					 .ipv6 = ipv6});
}

static void test_datagrams(void **state)
{
	datagrams(state, false);
}

static void test_datagrams6(void **state)
{
	datagrams(state, true);
}

/* ---- Of datagrams with one identification some are a direct flow's, and some are translated. What
 * is the entry's then must not be taken for an identification: 0 is that of a direct one. */

#define DIRECT_PORT (CROWD_FIRST - 1)
#define NAMES       3 /* that datagrams have */

static void begin_both(struct crowd *crowd)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	const uint32_t one = 1; /* so that none is 0 */
	struct frame f, sent;

	settings.inbound = true;
	lab_inside_set(crowd->lab, "192.168.15.0/24", UP0, &settings);
	begin_datagrams(crowd);
	for (uint32_t i = 0; i < NSR_IDS_MAX; i++)
		assert_int_equal(bpf_map_update_elem(crowd->lab->datapath->maps[MAP_datagram_ids],
						     &i, &one, BPF_ANY),
				 0);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = RED_IP,
	      .sport = 80, .dport = DIRECT_PORT);
	EXPECT_IN(crowd->lab, UP0, &f, PASSED_TO_PEER);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = DIRECT_PORT, .dport = 80);
	assert_int_equal(out(crowd, &f, &sent), TC_ACT_UNSPEC);
	assert_int_equal(frame_ip4(&sent)->saddr, address4(RED_IP));
}

static void *send_both(void *argument)
{
	struct crowd *crowd = argument;
	const bool direct = atomic_fetch_add(&crowd->next, 1) % 2;
	struct frame whole, half[2], sent;
	bool inside;

	for (uint32_t i = 0; i < TURNS; i++) {
		FRAME(&whole, .to = mac_router, .from = mac_up0, .source = RED_IP,
		      .dest = REMOTE_IP, .sport = direct ? DIRECT_PORT : CROWD_FIRST, .dport = 80,
		      .payload = PAYLOAD);
		frame_halve(&whole, i % NAMES, half);
		if (out(crowd, &half[0], &sent) != TC_ACT_UNSPEC)
			continue;
		inside = frame_ip4(&sent)->saddr == address4(RED_IP);
		if (inside != direct || (!direct && !frame_ip4(&sent)->id))
			atomic_fetch_add(&crowd->shared, 1);
	}
	return NULL;
}

static void test_direct_and_translated(void **state)
{
	meet(state, &(struct meeting_of){.wanted = MET(DATAGRAM_NAMED),
					 .prepare = begin_both,
					 .body = send_both,
					 .lossy = true});
}

/* Who begins to wait for a first fragment may do so over the one that has just come, when both find
 * what is too old: then what it holds is given up in time. */
static void expect_given_up(struct crowd *crowd)
{
	const int held = crowd->ipv6 ? MAP_held_fragments6 : MAP_held_fragments;
	uint32_t count = lab_entries(crowd->lab, held);

	if (!count)
		return;
	print_message("# %u fragments are held in vain\n", count);
	lab_clock_offset(crowd->lab, 2 * (NSR_DATAGRAM_S + 1));
	for (int tries = 0; tries < 600 && lab_entries(crowd->lab, held); tries++)
		usleep(100000);
	assert_int_equal(lab_entries(crowd->lab, held), 0);
}

/* The same when the tables still have others of the same identifications, that are too old. */
static void begin_datagrams_anew(struct crowd *crowd)
{
	begin_datagrams(crowd);
	take_to_pieces(crowd, 0);
	memset(crowd->owner, 0, sizeof(crowd->owner));
	lab_clock_offset(crowd->lab, NSR_DATAGRAM_S + 1);
}

static void old_datagrams(void **state, bool ipv6)
{
	meet(state, &(struct meeting_of){.wanted = MET(FRAGMENT_OVERTAKEN) |
						   (ipv6 ? 0 : MET(DATAGRAM_NAMED)),
					 .prepare = begin_datagrams_anew,
					 .body = send_datagrams,
					 .judge = expect_given_up,
					 .lossy = true,
					 .ipv6 = ipv6});
}

static void test_old_datagrams(void **state)
{
	old_datagrams(state, false);
}

static void test_old_datagrams6(void **state)
{
	old_datagrams(state, true);
}

/* ---- Sessions that the outside makes, and the inside answers when their mapping has ended. */

static void filter_nothing(struct crowd *crowd)
{
	filter(crowd, NSR_FILTER_NOTHING);
}

static void *answer(void *argument)
{
	struct crowd *crowd = argument;
	struct frame f, sent;
	uint16_t stranger;

	for (uint32_t i = 0; i < TURNS; i++) {
		stranger = (uint16_t)(1000 + i % STRANGERS);
		crowd_sends(crowd, &f, i % CROWD_HOSTS, 80);
		if (out(crowd, &f, &sent) != TC_ACT_UNSPEC)
			continue;
		crowd_is_sent(crowd, &f, stranger, frame_sport(&sent));
		in(crowd, &f);
		crowd_sends(crowd, &f, i % CROWD_HOSTS, stranger);
		out(crowd, &f, &sent);
	}
	return NULL;
}

static void strangers(void **state, bool ipv6)
{
	meet(state, &(struct meeting_of){.wanted = MET(SESSION_GIVEN_UP) | MET(INBOUND_BUSY),
					 .prepare = filter_nothing,
					 .body = answer,
					 .beside = crowd_end_all,
					 .ipv6 = ipv6});
}

static void test_strangers(void **state)
{
	strangers(state, false);
}

static void test_strangers6(void **state)
{
	strangers(state, true);
}

/* ---- The host begins a flow from a mapped port, while the inside goes on with its own. */

static void connection(const struct crowd *crowd, struct frame *f, bool own, const char *remote)
{
	FRAME(f, .to = mac_router, .from = mac_up0,
	      .source = own ? (crowd->ipv6 ? UPLINK_IP6 : UPLINK_IP)
			    : (crowd->ipv6 ? RED_IP6 : RED_IP),
	      .dest = remote, .protocol = IPPROTO_TCP, .sport = CROWD_FIRST, .dport = 80,
	      .tcp_flags = FRAME_SYN);
}

/* The mapping lives on with this one. */
static void begin_another(struct crowd *crowd)
{
	struct frame f, sent;

	connection(crowd, &f, false, crowd->ipv6 ? REMOTE2_IP6 : REMOTE2_IP);
	assert_int_equal(out(crowd, &f, &sent), TC_ACT_UNSPEC);
	assert_int_equal(frame_sport(&sent), CROWD_FIRST);
}

static int host_listens(const struct crowd *crowd)
{
	struct sockaddr_in6 at6 = {.sin6_family = AF_INET6, .sin6_port = htons(CROWD_FIRST)};
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(CROWD_FIRST)};
	int fd = socket(crowd->ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	at.sin_addr.s_addr = address4(UPLINK_IP);
	memcpy(&at6.sin6_addr, lab_ip(UPLINK_IP6).bytes, sizeof(at6.sin6_addr));
	if (crowd->ipv6)
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &yes, sizeof(yes)), 0);
	assert_int_equal(crowd->ipv6 ? bind(fd, (struct sockaddr *)&at6, sizeof(at6))
				     : bind(fd, (struct sockaddr *)&at, sizeof(at)),
			 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void set_host_flows(struct lab *lab, uint32_t count)
{
	const struct nsr_share share = {.flows = count};
	uint32_t host = NSR_OWNER_HOST;

	assert_int_equal(
		bpf_map_update_elem(lab->datapath->maps[MAP_shares], &host, &share, BPF_ANY), 0);
}

static void *own_or_change(void *argument)
{
	struct crowd *crowd = argument;
	struct frame mine, theirs;
	int fd;

	if (atomic_fetch_add(&crowd->next, 1))
		return crowd_change_one(crowd);
	connection(crowd, &mine, true, crowd->ipv6 ? REMOTE_IP6 : REMOTE_IP);
	connection(crowd, &theirs, false, crowd->ipv6 ? REMOTE_IP6 : REMOTE_IP);
	set_host_flows(crowd->lab, NSR_HOST_FLOWS_MAX); /* none gets another port */
	for (uint32_t i = 0; i < OWN_FLOWS; i++) {
		out(crowd, &theirs, NULL);
		fd = host_listens(crowd);
		assert_int_equal(out(crowd, &mine, NULL), TC_ACT_UNSPEC);
		close(fd);
	}
	return NULL;
}

/* Nothing else ends sessions. */
static void expect_ended(struct crowd *crowd)
{
	struct nsr_nat_counters nat =
		crowd->ipv6 ? lab_nat6(crowd->lab, UP0) : lab_nat(crowd->lab, UP0);

	assert_true(nat.sessions_expired[NSR_NAT_TCP]);
	set_host_flows(crowd->lab, 0);
}

static void own_flows(void **state, bool ipv6)
{
	meet(state, &(struct meeting_of){.wanted = MET(SESSION_MOVED),
					 .prepare = begin_another,
					 .body = own_or_change,
					 .judge = expect_ended,
					 .lossy = true,
					 .ipv6 = ipv6});
}

static void test_own_flows(void **state)
{
	own_flows(state, false);
}

static void test_own_flows6(void **state)
{
	own_flows(state, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_few_ports),
		LAB_TEST(test_few_ports6),
		LAB_TEST(test_ports_published),
		LAB_TEST(test_ports_published6),
		LAB_TEST(test_contacts),
		LAB_TEST(test_contacts6),
		LAB_TEST(test_datagrams),
		LAB_TEST(test_datagrams6),
		LAB_TEST(test_old_datagrams),
		LAB_TEST(test_old_datagrams6),
		LAB_TEST(test_direct_and_translated),
		LAB_TEST(test_strangers),
		LAB_TEST(test_strangers6),
		LAB_TEST(test_own_flows),
		LAB_TEST(test_own_flows6),
	};

	return LAB_MAIN(tests);
}
