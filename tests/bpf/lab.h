/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * lab - a datapath with a small fabric in its tables, in a network namespace of its own.
 *
 *   red, blue   network 1, 192.168.15.0/24 and fd00:15::/64, gateway br1, masqueraded to up0
 *   green       network 2, 192.168.16.0/24, gateway br2, masqueraded to up0
 *   plain       network 3, 192.168.17.0/24, gateway br3, masqueraded to nothing
 *   up0         198.51.100.2/24, where the default route goes; up1 203.0.113.2/24, uplink of
 *               192.168.18.0/24; else0 10.9.0.1/24, an interface that is no uplink
 *
 * Links are real, so that bpf_fib_lookup() answers as it does for traffic; nobody is behind them,
 * because packets are handed to the programs by PROG_RUN. The pins are removed as soon as the
 * datapath is open: its descriptors keep it, so even a test that is killed leaves nothing behind.
 *
 * Every packet that lab_expect() runs is checked for more than was asked: exactly one counter
 * moved, all sums agree, the action is that of the counter, what is not translated or routed is
 * untouched, and the checksums of what is are right.
 */
#ifndef TESTS_BPF_LAB_H
#define TESTS_BPF_LAB_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "datapath.h"
#include "frame.h"

#define RED_IP       "192.168.15.11"
#define BLUE_IP      "192.168.15.12"
#define GREEN_IP     "192.168.16.13"
#define PLAIN_IP     "192.168.17.14"
#define RED_IP6      "fd00:15::11"
#define GREEN_IP6    "fd00:16::13"
#define GATEWAY_IP   "192.168.15.1"
#define UPLINK_IP    "198.51.100.2"
#define REMOTE_IP    "192.0.2.80" /* by the default route */
#define REMOTE2_IP   "192.0.2.81"
#define UPLINK2_IP   "203.0.113.2"
#define BLUE_IP6     "fd00:15::12"
#define UPLINK_IP6   "2001:db8:1::2"
#define REMOTE_IP6   "2001:db8::80"
#define REMOTE2_IP6  "2001:db8::81"
#define LAB_PORT_MIN 1024 /* external ports of both uplinks */
#define LAB_PORT_MAX 65535
#define LAB_MTU      1500
#define LAB_SPACIOUS 32768 /* MTU of br2 and its port */

extern const uint8_t mac_red[6], mac_blue[6], mac_green[6], mac_plain[6], mac_br1[6], mac_br2[6],
	mac_br3[6], mac_up0[6], mac_router[6], mac_stranger[6],
	mac_port_red[6]; /* of the host's end; mac_red is of the namespace's */

enum lab_port { RED, BLUE, GREEN, PLAIN, LAB_PORTS };
enum lab_uplink { UP0, UP1, LAB_UPLINKS };

struct lab {
	struct datapath *datapath;
	uint32_t port[LAB_PORTS], uplink[LAB_UPLINKS]; /* ifindexes */
	uint32_t port_number[LAB_PORTS], uplink_number[LAB_UPLINKS];
	uint32_t bridge[LAB_PORTS];     /* of each port: RED and BLUE share one */
	uint32_t elsewhere;             /* else0 */
	struct nsr_pool_bits free_pool; /* of a pool with every port free */
	bool ready;                     /* free_pool is filled in */
	uint32_t came_in;               /* the ifindex that what is run came in by; 0: none */
	uint32_t beside[5];             /* skb->cb of what is run */
	uint32_t left_beside[5];        /* and of the last packet, after it was */
	struct error err;
};

/* What became of a packet, by the counter that moved. A drop is the negative of its reason. */
enum outcome {
	UNCOUNTED,
	DELIVERED,          /* port, on the way to the namespace */
	TO_KERNEL,          /* port: slow */
	TO_PEER,            /* port: fast, into a namespace */
	TO_NEIGHBOUR,       /* port: fast, out by the uplink */
	PASSED,             /* uplink: not ours */
	TRANSLATED,         /* uplink: translated, and left to the kernel */
	TRANSLATED_TO_PEER, /* uplink: translated, into a namespace */
	PASSED_TO_PEER,     /* uplink: not translated, into a namespace */
};
#define DROPPED(reason) (-(int)NSR_DROP_##reason)
/* Dropped, and the namespace is told by an ICMP error, which is what comes out. */
#define REFUSED(reason) (DROPPED(reason) - NSR_DROP_SLOTS)

struct run {
	int outcome;
	uint32_t delivered; /* enum lab_port, of what was counted as delivered */
	struct frame out;
};

/* For cmocka. The group's set-up makes namespace, links and datapath; the test's fills the tables
 * anew, with no flow, all counters 0, and the clock as it is. */
int lab_group_set_up(void **state);       /* every program but those of layer-3 devices */
int lab_group_set_up_ports(void **state); /* the programs of ports alone, which takes less time */
int lab_group_set_up_for(void **state, uint32_t flows, uint32_t uses); /* struct datapath_new */
int lab_group_tear_down(void **state);
int lab_set_up(void **state);
/* The test's lab; skips the test when the group has none. */
struct lab *lab_of(void **state);
#define LAB_TEST(name)  cmocka_unit_test_setup(name, lab_set_up)
#define LAB_MAIN(tests) cmocka_run_group_tests(tests, lab_group_set_up, lab_group_tear_down)
#define LAB_MAIN_PORTS(tests) \
	cmocka_run_group_tests(tests, lab_group_set_up_ports, lab_group_tear_down)

/* Runs the program on a copy of frame and asserts the outcome. The result is the test's until the
 * next run. */
struct run *lab_expect(struct lab *lab, enum datapath_program program, uint32_t ifindex,
		       struct frame *frame, int outcome, const char *file, int line);
#define EXPECT_PORT_OUT(lab, which, frame, outcome) \
	lab_expect(lab, DATAPATH_PORT_OUT, (lab)->port[which], frame, outcome, __FILE__, __LINE__)
#define EXPECT_PORT_IN(lab, which, frame, outcome) \
	lab_expect(lab, DATAPATH_PORT_IN, (lab)->port[which], frame, outcome, __FILE__, __LINE__)
#define EXPECT_OUT(lab, which, frame, outcome)                                               \
	lab_expect(lab, DATAPATH_UPLINK_OUT, (lab)->uplink[which], frame, outcome, __FILE__, \
		   __LINE__)
#define EXPECT_IN(lab, which, frame, outcome)                                               \
	lab_expect(lab, DATAPATH_UPLINK_IN, (lab)->uplink[which], frame, outcome, __FILE__, \
		   __LINE__)

/* Runs without any check, from whichever thread; out may be NULL. Returns the program's action. */
int lab_run(struct lab *lab, enum datapath_program program, uint32_t ifindex,
	    const struct frame *frame, struct frame *out);

/* Whether PROG_RUN takes the frame: since 6.18 it refuses one that is too short for its protocol.
 */
bool lab_takes(struct lab *lab, const struct frame *frame);

/* ---- Tables. */

/* The port, as it is entered, for tests that change it. */
struct nsr_port lab_port(const struct lab *lab, enum lab_port which);
void lab_port_set(struct lab *lab, enum lab_port which, const struct nsr_port *port);
struct nsr_endpoint lab_endpoint(const struct lab *lab, enum lab_port which);
void lab_host_set(struct lab *lab, const char *ip, const struct nsr_endpoint *endpoint);
void lab_fdb_set(struct lab *lab, enum lab_port which, const struct nsr_endpoint *endpoint);
void lab_uplink_set(struct lab *lab, enum lab_uplink which, const char *ip, uint16_t port_min,
		    uint16_t port_max);
/* settings NULL: those that hold by default. */
void lab_inside_set(struct lab *lab, const char *prefix, enum lab_uplink which,
		    const struct nsr_inside *settings);
struct ip_address lab_ip(const char *text);

/* ---- State of the NAT. */

void lab_clock_offset(struct lab *lab, uint32_t seconds);
struct nsr_nat_counters lab_nat(struct lab *lab, enum lab_uplink which);
struct nsr_nat_counters lab_nat6(struct lab *lab, enum lab_uplink which);
uint64_t lab_sum(const __u64 counters[NSR_NAT_PROTOCOLS]);
struct nsr_port_counters lab_port_counters(struct lab *lab, enum lab_port which);
struct nsr_uplink_counters lab_uplink_counters(struct lab *lab, enum lab_uplink which);
/* Sessions in the table that are active, and numbers in use by bit. */
uint32_t lab_active_sessions(struct lab *lab);
uint32_t lab_session_bits(struct lab *lab);
/* Ports of the pool whose bit is set and that were to be handed out. */
uint32_t lab_pool_bits(struct lab *lab, enum lab_uplink which, enum nsr_nat_protocol protocol);
/* What the port's namespace has of what all share; and of it the sessions that count for its limit.
 */
struct nsr_share lab_share(struct lab *lab, enum lab_port which);
/* Ports that are counted for anybody. */
uint32_t lab_ports_of_all(struct lab *lab);
uint32_t lab_flows_of(struct lab *lab, enum lab_port which);
uint32_t lab_entries(struct lab *lab, int map); /* in a hash; enum datapath_map */
/* Ends all sessions of the uplink, and checks that nothing of them is left. */
void lab_expect_no_flows(struct lab *lab);
void lab_expect_no_flows6(struct lab *lab);

#endif
