/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is told of sessions, and which of them are ended: all that are meant, each once, no others,
 * while other threads open and end them.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "datapath_maps.h"
#include "datapath_sessions.h"

#define FLOWS 100 /* more than a word of the bits */

static void open_session(struct lab *lab, enum lab_uplink uplink, const char *inside,
			 const char *remote, uint8_t protocol, uint16_t sport, uint16_t dport)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = inside, .dest = remote,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = FRAME_SYN,
	      .icmp_type = FRAME_ECHO_REQUEST);
	EXPECT_OUT(lab, uplink, &f, TRANSLATED);
}

/* Ports 3000 on of red to the remote's 80; and one of each other kind. */
static void open_all(struct lab *lab)
{
	for (uint16_t i = 0; i < FLOWS; i++)
		open_session(lab, UP0, RED_IP, REMOTE_IP, IPPROTO_UDP, (uint16_t)(3000 + i), 80);
	open_session(lab, UP0, BLUE_IP, REMOTE2_IP, IPPROTO_UDP, 3000, 81);
	open_session(lab, UP0, GREEN_IP, REMOTE2_IP, IPPROTO_TCP, 9000, 80);
	open_session(lab, UP0, GREEN_IP, REMOTE_IP, IPPROTO_ICMP, 9001, 0);
	open_session(lab, UP1, "192.168.18.5", REMOTE_IP, IPPROTO_UDP, 3000, 80);
}

struct told {
	uint32_t count, enough;
	uint8_t ports[65536 / 8]; /* of red's, by inside port */
};

static int note(const struct nsr_session *session, uint32_t left_s, void *argument)
{
	uint16_t port = ntohs(session->flow.inside.port);
	struct told *told = argument;

	assert_in_range(left_s, 1, 240);
	if (session->flow.inside.address == address4(RED_IP)) {
		assert_false(told->ports[port / 8] >> port % 8 & 1);
		told->ports[port / 8] |= (uint8_t)(1 << port % 8);
	}
	return ++told->count == told->enough;
}

static uint32_t count(struct lab *lab, const struct nsr_selection *selection)
{
	struct told told = {0};

	assert_int_equal(datapath_sessions(lab->datapath, selection, note, &told, &lab->err), 0);
	return told.count;
}

static uint64_t end(struct lab *lab, const struct nsr_selection *selection)
{
	uint64_t ended = UINT64_MAX;

	assert_int_equal(datapath_sessions_end(lab->datapath, selection, &ended, &lab->err), 0);
	return ended;
}

static void test_each_is_told_once(void **state)
{
	struct lab *lab = lab_of(state);
	const struct nsr_selection all = {0};
	struct told told = {.enough = 5};

	assert_int_equal(count(lab, &all), 0);
	open_all(lab);
	assert_int_equal(count(lab, &all), FLOWS + 4);
	assert_int_equal(datapath_sessions(lab->datapath, &all, note, &told, &lab->err), 0);
	assert_int_equal(told.count, 5);
	lab_clock_offset(lab, 200); /* that is past all but an opening connection's time */
	assert_int_equal(count(lab, &all), 1);
}

/* What is listed is what is ended, for whatever is selected. */
static void test_selections(void **state)
{
	struct lab *lab = lab_of(state);
	const struct {
		struct nsr_selection selection;
		uint32_t sessions;
	} cases[] = {
		{{.address = address4(RED_IP), .mask = ~0u}, FLOWS},
		{{.address = address4("192.168.15.0"), .mask = htonl(0xffffff00)}, FLOWS + 1},
		{{.remote = address4(REMOTE2_IP), .remote_mask = ~0u}, 2},
		{{.port = 80}, FLOWS + 2},
		{{.port = 3000}, 3},
		{{.port = 9001}, 1},
		{{.protocol = 1 + NSR_NAT_TCP}, 1},
		{{.protocol = 1 + NSR_NAT_UDP}, FLOWS + 2},
		{{.uplink = (uint8_t)(1 + lab->uplink_number[UP1])}, 1},
		{{.uplink = (uint8_t)(1 + lab->uplink_number[UP1]), .protocol = 1 + NSR_NAT_TCP},
		 0},
		{{.address = address4(BLUE_IP), .mask = ~0u, .port = 3000}, 1},
		{{.address = address4(BLUE_IP), .mask = ~0u, .port = 80}, 0},
		{{0}, FLOWS + 4},
	};
	const struct nsr_selection all = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		lab_set_up(state); /* so that ports are free, and kept */
		open_all(lab);
		assert_int_equal(count(lab, &all), FLOWS + 4);
		assert_int_equal(count(lab, &cases[i].selection), cases[i].sessions);
		assert_int_equal(end(lab, &cases[i].selection), cases[i].sessions);
		assert_int_equal(count(lab, &cases[i].selection), 0);
		assert_int_equal(count(lab, &all), FLOWS + 4 - cases[i].sessions);
		assert_int_equal(lab_active_sessions(lab), FLOWS + 4 - cases[i].sessions);
		end(lab, &all);
		lab_expect_no_flows(lab);
	}
}

/* The external port counts as well, where it is another than the inside one. */
static void test_external_port(void **state)
{
	struct lab *lab = lab_of(state);
	struct nsr_selection selection = {0};
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_UDP, .sport = 53, .dport = 80);
	selection.port = frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
	assert_int_not_equal(selection.port, 53);
	assert_int_equal(count(lab, &selection), 1);
	assert_int_equal(end(lab, &selection), 1);
}

/* ---- While others are at it. */

struct churn {
	struct lab *lab;
	atomic_bool stop;
	uint64_t opened;
};

/* Opens flows of blue, whose external port says what the inside one is; others end them. */
static void *open_many(void *argument)
{
	struct churn *churn = argument;
	struct frame f;

	for (uint32_t i = 0; !churn->stop; i++) {
		FRAME(&f, .to = mac_router, .from = mac_up0, .source = BLUE_IP,
		      .dest = i & 1 ? REMOTE_IP : REMOTE2_IP, .protocol = IPPROTO_UDP,
		      .sport = (uint16_t)(20000 + i % 40000), .dport = i & 1 ? 81 : 82);
		lab_run(churn->lab, DATAPATH_UPLINK_OUT, churn->lab->uplink[UP0], &f, NULL);
		churn->opened++;
	}
	return NULL;
}

/* Each record is of one flow: its parts belong together. */
static int check_whole(const struct nsr_session *session, uint32_t left_s, void *argument)
{
	const struct nsr_flow *flow = &session->flow;
	uint32_t *reds = argument;

	(void)left_s;
	if (flow->inside.address == address4(RED_IP)) {
		++*reds;
		return 0;
	}
	assert_int_equal(flow->inside.address, address4(BLUE_IP));
	assert_int_equal(flow->remote_address,
			 address4(ntohs(flow->remote_port) == 81 ? REMOTE_IP : REMOTE2_IP));
	assert_int_equal(session->external, address4(UPLINK_IP));
	assert_int_equal(NSR_MAPPING_POOL(session->mapping) % NSR_NAT_PROTOCOLS, NSR_NAT_UDP);
	return 0;
}

static void test_while_sessions_come_and_go(void **state)
{
	struct lab *lab = lab_of(state);
	const struct nsr_selection all = {0}, blues = {.address = address4(BLUE_IP), .mask = ~0u};
	struct churn churn = {.lab = lab};
	pthread_t thread;

	for (uint16_t i = 0; i < FLOWS; i++)
		open_session(lab, UP0, RED_IP, REMOTE_IP, IPPROTO_UDP, (uint16_t)(3000 + i), 80);
	assert_int_equal(pthread_create(&thread, NULL, open_many, &churn), 0);
	for (int i = 0; i < 10; i++) {
		uint32_t reds = 0;

		assert_int_equal(
			datapath_sessions(lab->datapath, &all, check_whole, &reds, &lab->err), 0);
		assert_int_equal(reds, FLOWS); /* those that stay are told each time */
		end(lab, &blues);
	}
	churn.stop = true;
	pthread_join(thread, NULL);
	assert_true(churn.opened > 0);
	end(lab, &blues);
	assert_int_equal(count(lab, &all), FLOWS);
	lab_expect_no_flows(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_each_is_told_once),
		LAB_TEST(test_selections),
		LAB_TEST(test_external_port),
		LAB_TEST(test_while_sessions_come_and_go),
	};

	return LAB_MAIN(tests);
}
