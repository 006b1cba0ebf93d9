/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is set for a masqueraded network: how many flows a namespace may have, what the filter lets
 * in, timeouts; and that a change of them is felt by flows that run.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath_maps.h"

#define NETWORK  "192.168.15.0/24" /* red's and blue's */
#define NETWORK6 "fd00:15::/64"

static void set(struct lab *lab, uint32_t filtering, uint32_t flows_max)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;

	settings.filtering = filtering;
	settings.flows_max = flows_max;
	lab_inside_set(lab, NETWORK, UP0, &settings);
}

static void set_timeout(struct lab *lab, uint32_t filtering, enum nsr_nat_timeout which,
			uint32_t seconds)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;

	settings.filtering = filtering;
	settings.timeout_s[which] = seconds;
	lab_inside_set(lab, NETWORK, UP0, &settings);
}

static void out_frame(struct frame *f, const char *inside, const char *remote, uint8_t protocol,
		      uint16_t sport, uint16_t dport, uint8_t flags)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = inside, .dest = remote,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = flags,
	      .icmp_type = FRAME_ECHO_REQUEST);
}

/* Returns the external port; 0: it was dropped, as expected. */
static uint16_t out(struct lab *lab, const char *inside, const char *remote, uint8_t protocol,
		    uint16_t sport, uint16_t dport, uint8_t flags, int outcome)
{
	struct frame f;
	struct run *run;

	out_frame(&f, inside, remote, protocol, sport, dport, flags);
	run = EXPECT_OUT(lab, UP0, &f, outcome);
	return outcome == TRANSLATED ? frame_sport(&run->out) : 0;
}

static void in(struct lab *lab, const char *remote, uint8_t protocol, uint16_t sport,
	       uint16_t dport, uint8_t flags, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = remote, .dest = UPLINK_IP,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = flags,
	      .icmp_type = FRAME_ECHO_REPLY);
	EXPECT_IN(lab, UP0, &f, outcome);
}

/* It finds no session; whether it is filtered or the host's depends on whether the timer was here.
 */
static void expect_gone(struct lab *lab, const char *remote, uint16_t sport, uint16_t dport)
{
	struct nsr_uplink_counters before = lab_uplink_counters(lab, UP0), after;
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = remote, .dest = UPLINK_IP,
	      .protocol = IPPROTO_UDP, .sport = sport, .dport = dport);
	lab_run(lab, DATAPATH_UPLINK_IN, lab->uplink[UP0], &f, NULL);
	after = lab_uplink_counters(lab, UP0);
	assert_int_equal(after.rx_packets, before.rx_packets + 1);
	assert_int_equal(after.rx_translated, before.rx_translated);
}

/* ---- How many. */

static void test_flows_limit(void **state)
{
	struct lab *lab = lab_of(state);
	const struct nsr_selection reds = {.address = address4(RED_IP), .mask = ~0u, .port = 3001};
	uint64_t ended;

	set(lab, NSR_FILTER_ADDRESS_AND_PORT, 3);
	for (uint16_t port = 3000; port < 3003; port++)
		out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, port, 80, 0, TRANSLATED);
	out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3003, 80, 0, REFUSED(NAT_LIMIT));
	out(lab, RED_IP, REMOTE2_IP, IPPROTO_UDP, 3000, 80, 0, REFUSED(NAT_LIMIT));
	out(lab, RED_IP, REMOTE_IP, IPPROTO_TCP, 3000, 80, FRAME_SYN, REFUSED(NAT_LIMIT));
	assert_int_equal(lab_flows_of(lab, RED), 3);
	/* Nothing is left of what was refused, and what runs goes on; so do others. */
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_UDP), 3);
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_TCP), 0);
	assert_int_equal(lab_session_bits(lab), 3);
	out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	in(lab, REMOTE_IP, IPPROTO_UDP, 80, 3000, 0, TRANSLATED_TO_PEER);
	out(lab, BLUE_IP, REMOTE_IP, IPPROTO_UDP, 3003, 80, 0, TRANSLATED);
	out(lab, GREEN_IP, REMOTE_IP, IPPROTO_UDP, 3004, 80, 0, TRANSLATED);
	/* One that ends makes room for one. */
	assert_int_equal(datapath_flush(lab->datapath, &reds, &ended, &lab->err), 0);
	assert_int_equal(ended, 1);
	out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3005, 80, 0, TRANSLATED);
	out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3006, 80, 0, REFUSED(NAT_LIMIT));
	/* More are allowed, or fewer: those that run stay. */
	set(lab, NSR_FILTER_ADDRESS_AND_PORT, 4);
	out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3006, 80, 0, TRANSLATED);
	set(lab, NSR_FILTER_ADDRESS_AND_PORT, 1);
	out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3007, 80, 0, REFUSED(NAT_LIMIT));
	lab_expect_no_flows(lab);
}

#define RUSH  3000 /* packets of each, */
#define LIMIT 2000 /* which are more than there is room for */

struct rush {
	struct lab *lab;
	uint16_t first_port;
	uint8_t protocol;
	bool ipv6;
};

static void *open_flows(void *argument)
{
	struct rush *rush = argument;
	struct frame f;

	for (uint16_t i = 0; i < RUSH; i++) {
		/* Half of them the same as the other thread's. */
		uint16_t port = (uint16_t)(i & 1 ? rush->first_port + i : 20000 + i);

		out_frame(&f, rush->ipv6 ? RED_IP6 : RED_IP, rush->ipv6 ? REMOTE_IP6 : REMOTE_IP,
			  rush->protocol, port, 80, FRAME_SYN);
		lab_run(rush->lab, DATAPATH_UPLINK_OUT, rush->lab->uplink[UP0], &f, NULL);
	}
	return NULL;
}

/* Two threads reach for it: as many are opened as may be, never more, be they of one protocol and
 * family or of two. */
static void flows_limit_is_exact(struct lab *lab, const struct rush *one, const struct rush *other)
{
	struct rush rush[2] = {*one, *other};
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	pthread_t threads[2];

	settings.flows_max = LIMIT;
	lab_inside_set(lab, NETWORK, UP0, &settings);
	lab_inside_set(lab, NETWORK6, UP0, &settings);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, open_flows, &rush[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(lab_flows_of(lab, RED), LIMIT);
	assert_int_equal(lab_session_bits(lab) + lab_session_bits6(lab), LIMIT);
	assert_int_equal(lab_entries(lab, MAP_session_by_flow) +
				 lab_entries(lab, MAP_session_by_flow6),
			 LIMIT);
	lab_expect_no_flows(lab);
}

static void test_flows_limit_is_exact(void **state)
{
	static const struct {
		uint8_t protocol[2];
		bool ipv6[2];
	} who[] = {
		{{IPPROTO_UDP, IPPROTO_UDP}, {false, false}},
		{{IPPROTO_TCP, IPPROTO_TCP}, {false, false}},
		{{IPPROTO_UDP, IPPROTO_UDP}, {true, true}},
		{{IPPROTO_TCP, IPPROTO_TCP}, {true, true}},
		{{IPPROTO_TCP, IPPROTO_UDP}, {false, true}},
	};

	for (size_t i = 0; i < sizeof(who) / sizeof(who[0]); i++) {
		lab_set_up(state);
		flows_limit_is_exact(
			lab_of(state),
			&(struct rush){lab_of(state), 3000, who[i].protocol[0], who[i].ipv6[0]},
			&(struct rush){lab_of(state), 40000, who[i].protocol[1], who[i].ipv6[1]});
	}
}

/* ---- What comes in. */

static void test_endpoint_independent_filter(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t udp, tcp, echo;

	set(lab, NSR_FILTER_NOTHING, 100);
	udp = out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	tcp = out(lab, RED_IP, REMOTE_IP, IPPROTO_TCP, 3001, 80, FRAME_SYN, TRANSLATED);
	echo = out(lab, RED_IP, REMOTE_IP, IPPROTO_ICMP, 3002, 0, 0, TRANSLATED);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 81, udp, 0, TRANSLATED_TO_PEER);
	in(lab, REMOTE_IP, IPPROTO_UDP, 82, udp, 0, TRANSLATED_TO_PEER);
	in(lab, REMOTE2_IP, IPPROTO_TCP, 81, tcp, FRAME_SYN, TRANSLATED_TO_PEER);
	/* Of TCP a SYN only; and what has no mapping is the host's, as before. */
	in(lab, REMOTE2_IP, IPPROTO_TCP, 82, tcp, FRAME_ACK, DROPPED(NAT_FILTERED));
	in(lab, REMOTE2_IP, IPPROTO_TCP, 82, tcp, FRAME_RST, DROPPED(NAT_FILTERED));
	in(lab, REMOTE2_IP, IPPROTO_ICMP, echo, echo, 0, PASSED);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 81, 4000, 0, PASSED);
	assert_int_equal(lab_active_sessions(lab), 6);
	/* The inside answers to each, from the one port. */
	assert_int_equal(out(lab, RED_IP, REMOTE2_IP, IPPROTO_UDP, 3000, 81, 0, TRANSLATED), udp);
	assert_int_equal(out(lab, RED_IP, REMOTE2_IP, IPPROTO_TCP, 3001, 81, FRAME_SYN | FRAME_ACK,
			     TRANSLATED),
			 tcp);
	assert_int_equal(lab_active_sessions(lab), 6);
	assert_int_equal(lab_share(lab, RED).flows, 3);
	assert_int_equal(lab_share(lab, RED).inbound, 3);
	/* Changed back: whom the inside has answered stays, nobody else gets in or is in. */
	set(lab, NSR_FILTER_ADDRESS_AND_PORT, 100);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 81, udp, 0, TRANSLATED_TO_PEER);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 83, udp, 0, DROPPED(NAT_FILTERED));
	in(lab, REMOTE_IP, IPPROTO_UDP, 82, udp, 0, DROPPED(NAT_FILTERED));
	assert_int_equal(lab_active_sessions(lab), 5);
	lab_expect_no_flows(lab);
	assert_int_equal(lab_sum(lab_nat(lab, UP0).mappings_created), 3);
}

static void end_flows(struct lab *lab, uint16_t remote_port, uint64_t expected)
{
	const struct nsr_selection which = {
		.remote = address4(REMOTE_IP), .remote_mask = ~0u, .port = remote_port};
	uint64_t ended;

	assert_int_equal(datapath_flush(lab->datapath, &which, &ended, &lab->err), 0);
	assert_int_equal(ended, expected);
}

/* Whom the mapping has sent to may send to it from any port, for as long as any of the sessions by
 * which it has sent there lives. */
static void test_address_dependent_filter(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t udp, tcp, other;

	set(lab, NSR_FILTER_ADDRESS, 100);
	udp = out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	tcp = out(lab, RED_IP, REMOTE_IP, IPPROTO_TCP, 3001, 80, FRAME_SYN, TRANSLATED);
	other = out(lab, RED_IP, REMOTE2_IP, IPPROTO_UDP, 3002, 80, 0, TRANSLATED);
	in(lab, REMOTE_IP, IPPROTO_UDP, 81, udp, 0, TRANSLATED_TO_PEER);
	in(lab, REMOTE_IP, IPPROTO_TCP, 81, tcp, FRAME_SYN, TRANSLATED_TO_PEER);
	in(lab, REMOTE_IP, IPPROTO_TCP, 82, tcp, FRAME_ACK, DROPPED(NAT_FILTERED));
	/* Not whom another mapping of the same host has sent to. */
	in(lab, REMOTE2_IP, IPPROTO_UDP, 80, udp, 0, DROPPED(NAT_FILTERED));
	in(lab, REMOTE_IP, IPPROTO_UDP, 80, other, 0, DROPPED(NAT_FILTERED));
	/* It is no session: nobody sees it, and it counts for no limit. */
	assert_int_equal(lab_active_sessions(lab), 5);
	assert_int_equal(lab_share(lab, RED).flows, 3);
	assert_int_equal(lab_share(lab, RED).inbound, 2);
	assert_int_equal(lab_session_bits(lab), 5 + 3);

	out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 83, 0, TRANSLATED);
	end_flows(lab, 80, 2);
	in(lab, REMOTE_IP, IPPROTO_UDP, 84, udp, 0, TRANSLATED_TO_PEER);
	end_flows(lab, 83, 1);
	in(lab, REMOTE_IP, IPPROTO_UDP, 85, udp, 0, PASSED); /* the mapping has ended, too */
	assert_int_equal(lab_session_bits(lab), lab_active_sessions(lab) + 1);
	lab_expect_no_flows(lab);
}

/* Sessions made before count for the filter that they were made under. */
static void test_filter_changes_in_place(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port;

	port = out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	set(lab, NSR_FILTER_ADDRESS, 100);
	in(lab, REMOTE_IP, IPPROTO_UDP, 81, port, 0, DROPPED(NAT_FILTERED));
	out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 82, 0, TRANSLATED);
	in(lab, REMOTE_IP, IPPROTO_UDP, 81, port, 0, TRANSLATED_TO_PEER);
	set(lab, NSR_FILTER_NOTHING, 100);
	in(lab, REMOTE_IP, IPPROTO_UDP, 81, port, 0, TRANSLATED_TO_PEER);
	assert_int_equal(lab_active_sessions(lab), 3);
	set(lab, NSR_FILTER_ADDRESS_AND_PORT, 100);
	in(lab, REMOTE_IP, IPPROTO_UDP, 81, port, 0, DROPPED(NAT_FILTERED));
	in(lab, REMOTE_IP, IPPROTO_UDP, 83, port, 0, DROPPED(NAT_FILTERED));
	end_flows(lab, 0, 2);
	assert_int_equal(lab_session_bits(lab), 0);
	assert_int_equal(lab_entries(lab, MAP_session_by_flow), 0);
}

struct contacts {
	struct lab *lab;
	uint16_t first_port;
	atomic_bool *done;
};

/* Of one endpoint to one address, so that all refer to one contact; few at a time, so that it ends
 * often. */
static void *open_to_one_address(void *argument)
{
	struct contacts *contacts = argument;
	struct frame f;

	for (uint16_t i = 0; i < 3000; i++) {
		out_frame(&f, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000,
			  (uint16_t)(contacts->first_port + i % 4), 0);
		lab_run(contacts->lab, DATAPATH_UPLINK_OUT, contacts->lab->uplink[UP0], &f, NULL);
	}
	return NULL;
}

static void *end_all(void *argument)
{
	const struct nsr_selection all = {.remote = address4(REMOTE_IP), .remote_mask = ~0u};
	struct contacts *contacts = argument;
	struct error err;

	while (!atomic_load(contacts->done))
		if (datapath_flush(contacts->lab->datapath, &all, NULL, &err))
			break;
	return NULL;
}

/* References are taken and given back by several at once: nothing is left. */
static void test_contacts_are_counted(void **state)
{
	atomic_bool done = false;
	struct lab *lab = lab_of(state);
	struct contacts contacts[3] = {{lab, 80, &done}, {lab, 82, &done}, {lab, 0, &done}};
	pthread_t threads[3];

	set(lab, NSR_FILTER_ADDRESS, 1000);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						i < 2 ? open_to_one_address : end_all,
						&contacts[i]),
				 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&done, true);
	pthread_join(threads[2], NULL);
	assert_int_equal(lab_session_bits(lab),
			 lab_active_sessions(lab) + !!lab_active_sessions(lab));
	assert_int_equal(lab_entries(lab, MAP_session_by_flow), lab_session_bits(lab));
	end_flows(lab, 0, lab_active_sessions(lab));
	assert_int_equal(lab_session_bits(lab), 0);
	assert_int_equal(lab_entries(lab, MAP_session_by_flow), 0);
	assert_int_equal(lab_flows_of(lab, RED), 0);
}

static void test_filter_counts_flows(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port;

	set(lab, NSR_FILTER_NOTHING, 1);
	port = out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 81, port, 0, TRANSLATED_TO_PEER);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 82, port, 0, DROPPED(NAT_LIMIT));
	in(lab, REMOTE2_IP, IPPROTO_UDP, 81, port, 0, TRANSLATED_TO_PEER);
	out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3001, 80, 0, REFUSED(NAT_LIMIT));
	out(lab, BLUE_IP, REMOTE_IP, IPPROTO_UDP, 3001, 80, 0, TRANSLATED);
	lab_expect_no_flows(lab);
}

/* What the host listens to is the host's, whatever the filter says. */
static void test_filter_leaves_the_host_its_sockets(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct lab *lab = lab_of(state);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint16_t port;

	set(lab, NSR_FILTER_NOTHING, 100);
	port = out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	address.sin_port = htons(port);
	address.sin_addr.s_addr = address4(UPLINK_IP);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 81, port, 0, PASSED);
	in(lab, REMOTE_IP, IPPROTO_UDP, 80, port, 0, TRANSLATED_TO_PEER);
	close(fd);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 81, port, 0, TRANSLATED_TO_PEER);
}

/*
 * RFC 4787 REQ-6: what the outside sends keeps no mapping. The mapping ends with its last session
 * that the inside has sent on; those of the outside are then of no use.
 */
static void test_inbound_sessions_hold_no_mapping(void **state)
{
	const struct nsr_selection first = {.remote = address4(REMOTE_IP), .remote_mask = ~0u};
	struct lab *lab = lab_of(state);
	uint16_t port, other;

	set(lab, NSR_FILTER_NOTHING, 100);
	port = out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 81, port, 0, TRANSLATED_TO_PEER);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 82, port, 0, TRANSLATED_TO_PEER);
	assert_int_equal(out(lab, RED_IP, REMOTE2_IP, IPPROTO_UDP, 3000, 82, 0, TRANSLATED), port);
	assert_int_equal(datapath_flush(lab->datapath, &first, NULL, &lab->err), 0);
	/* Answered: it holds the mapping. */
	in(lab, REMOTE2_IP, IPPROTO_UDP, 82, port, 0, TRANSLATED_TO_PEER);
	assert_int_equal(lab_sum(lab_nat(lab, UP0).mappings_ended), 0);
	assert_int_equal(
		datapath_flush(lab->datapath, &(struct nsr_selection){.port = 82}, NULL, &lab->err),
		0);
	assert_int_equal(lab_sum(lab_nat(lab, UP0).mappings_ended), 1);
	assert_int_equal(lab_active_sessions(lab), 1);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 81, port, 0, PASSED);
	/* The inside speaks first now, and has another port. */
	other = out(lab, RED_IP, REMOTE2_IP, IPPROTO_UDP, 3000, 81, 0, TRANSLATED);
	assert_int_not_equal(other, port);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 81, other, 0, TRANSLATED_TO_PEER);
	assert_int_equal(lab_active_sessions(lab), 1);
	lab_expect_no_flows(lab);
}

/* Whose mapping has another port by now: the new one's remotes come in again. */
static void test_a_new_mapping_takes_over(void **state)
{
	const struct nsr_selection first = {.remote = address4(REMOTE_IP), .remote_mask = ~0u};
	struct lab *lab = lab_of(state);
	uint16_t port, other;

	set(lab, NSR_FILTER_NOTHING, 100);
	port = out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 81, port, 0, TRANSLATED_TO_PEER);
	assert_int_equal(datapath_flush(lab->datapath, &first, NULL, &lab->err), 0);
	other = out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 82, other, 0, TRANSLATED_TO_PEER);
	assert_int_equal(out(lab, RED_IP, REMOTE2_IP, IPPROTO_UDP, 3000, 81, 0, TRANSLATED), other);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 81, other, 0, TRANSLATED_TO_PEER);
	lab_expect_no_flows(lab);
}

struct knock {
	struct lab *lab;
	uint16_t port;
	bool outside;
};

static void *knock(void *argument)
{
	struct knock *knock = argument;
	struct frame f;

	for (uint16_t i = 0; i < 2000; i++) {
		if (knock->outside)
			FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE2_IP,
			      .dest = UPLINK_IP, .protocol = IPPROTO_UDP,
			      .sport = (uint16_t)(81 + i % 50), .dport = knock->port);
		else
			out_frame(&f, RED_IP, REMOTE2_IP, IPPROTO_UDP, 3000,
				  (uint16_t)(81 + i % 50), 0);
		lab_run(knock->lab, knock->outside ? DATAPATH_UPLINK_IN : DATAPATH_UPLINK_OUT,
			knock->lab->uplink[UP0], &f, NULL);
		if (!knock->outside && i % 500 == 499) {
			const struct nsr_selection all = {.mask = 0};

			datapath_flush(knock->lab->datapath, &all, NULL, &(struct error){0});
		}
	}
	return NULL;
}

/* Both sides open the same sessions while a third ends them: every reference is given back. */
static void test_both_sides_at_once(void **state)
{
	struct lab *lab = lab_of(state);
	struct knock knocks[3] = {{.lab = lab, .outside = true}, {.lab = lab}, {.lab = lab}};
	pthread_t threads[3];

	set(lab, NSR_FILTER_NOTHING, 1000);
	knocks[0].port = out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, knock, &knocks[i]), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	lab_expect_no_flows(lab);
}

/* ---- How long. */

static void test_timeouts_change_in_place(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port, cut;

	port = out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	in(lab, REMOTE_IP, IPPROTO_UDP, 80, port, 0, TRANSLATED_TO_PEER);
	cut = out(lab, GREEN_IP, REMOTE_IP, IPPROTO_UDP, 3001, 80, 0, TRANSLATED);
	in(lab, REMOTE_IP, IPPROTO_UDP, 80, cut, 0, TRANSLATED_TO_PEER);
	set_timeout(lab, NSR_FILTER_ADDRESS_AND_PORT, NSR_TIMEOUT_UDP_REPLIED, 1000);
	lab_clock_offset(lab, 900); /* green's network has the usual one */
	in(lab, REMOTE_IP, IPPROTO_UDP, 80, port, 0, TRANSLATED_TO_PEER);
	expect_gone(lab, REMOTE_IP, 80, cut);
	set_timeout(lab, NSR_FILTER_ADDRESS_AND_PORT, NSR_TIMEOUT_UDP_REPLIED, 500);
	expect_gone(lab, REMOTE_IP, 80, port);
}

/* One that the outside made is unreplied until the inside answers. */
static void test_inbound_sessions_time_out(void **state)
{
	struct lab *lab = lab_of(state);
	uint16_t port;

	set_timeout(lab, NSR_FILTER_NOTHING, NSR_TIMEOUT_UDP_UNREPLIED, 100);
	port = out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 3000, 80, 0, TRANSLATED);
	in(lab, REMOTE_IP, IPPROTO_UDP, 80, port, 0, TRANSLATED_TO_PEER); /* 300 s from now on */
	in(lab, REMOTE2_IP, IPPROTO_UDP, 81, port, 0, TRANSLATED_TO_PEER);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 82, port, 0, TRANSLATED_TO_PEER);
	out(lab, RED_IP, REMOTE2_IP, IPPROTO_UDP, 3000, 82, 0, TRANSLATED);
	lab_clock_offset(lab, 60);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 81, port, 0, TRANSLATED_TO_PEER);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 82, port, 0, TRANSLATED_TO_PEER);
	set_timeout(lab, NSR_FILTER_ADDRESS_AND_PORT, NSR_TIMEOUT_UDP_UNREPLIED, 100);
	lab_clock_offset(lab, 101);
	expect_gone(lab, REMOTE2_IP, 81, port);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 82, port, 0, TRANSLATED_TO_PEER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_flows_limit),
		LAB_TEST(test_flows_limit_is_exact),
		LAB_TEST(test_endpoint_independent_filter),
		LAB_TEST(test_address_dependent_filter),
		LAB_TEST(test_filter_changes_in_place),
		LAB_TEST(test_contacts_are_counted),
		LAB_TEST(test_filter_counts_flows),
		LAB_TEST(test_filter_leaves_the_host_its_sockets),
		LAB_TEST(test_inbound_sessions_hold_no_mapping),
		LAB_TEST(test_a_new_mapping_takes_over),
		LAB_TEST(test_both_sides_at_once),
		LAB_TEST(test_timeouts_change_in_place),
		LAB_TEST(test_inbound_sessions_time_out),
	};

	return LAB_MAIN(tests);
}
