/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "crowd.h"

#include <arpa/inet.h>
#include <linux/pkt_cls.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "datapath_maps.h"

/* As number host after RED_IP or RED_IP6. */
static void set_source(struct frame *f, uint32_t host)
{
	if (frame_ip4(f)->version == 6)
		frame_ip6(f)->saddr.s6_addr[15] = (uint8_t)(frame_ip6(f)->saddr.s6_addr[15] + host);
	else
		frame_ip4(f)->saddr = htonl(ntohl(frame_ip4(f)->saddr) + host);
	frame_seal(f);
}

void crowd_sends(const struct crowd *crowd, struct frame *f, uint32_t i, uint16_t remote_port)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = crowd->ipv6 ? RED_IP6 : RED_IP,
	      .dest = crowd->ipv6 ? REMOTE_IP6 : REMOTE_IP,
	      .sport = (uint16_t)(CROWD_FIRST + i / CROWD_HOSTS), .dport = remote_port);
	set_source(f, i % CROWD_HOSTS);
}

void crowd_is_sent(const struct crowd *crowd, struct frame *f, uint16_t remote_port, uint16_t port)
{
	FRAME(f, .to = mac_up0, .from = mac_router, .source = crowd->ipv6 ? REMOTE_IP6 : REMOTE_IP,
	      .dest = crowd->ipv6 ? UPLINK_IP6 : UPLINK_IP, .sport = remote_port, .dport = port);
}

static void send_one(struct crowd *crowd, uint32_t i, uint16_t remote_port)
{
	struct lab *lab = crowd->lab;
	struct frame f, out;
	uint32_t nobody = 0;

	crowd_sends(crowd, &f, i, remote_port);
	if (lab_run(lab, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, &out) != TC_ACT_UNSPEC)
		atomic_fetch_add(&crowd->dropped, 1);
	else if (!atomic_compare_exchange_strong(&crowd->owner[frame_sport(&out)], &nobody,
						 i + 1) &&
		 nobody != i + 1)
		atomic_fetch_add(&crowd->shared, 1);
}

/* All threads walk the same endpoints the same way, so that they meet. */
void *crowd_open_all(void *argument)
{
	struct crowd *crowd = argument;
	uint32_t i;

	for (i = 0; i < CROWD_HOSTS * CROWD_ENDPOINTS; i++) {
		send_one(crowd, i, 80);
		send_one(crowd, i, (uint16_t)(81 + i % 2));
	}
	return NULL;
}

/* Each thread begins elsewhere, so that they want the same ports at different times. */
void *crowd_open_from_elsewhere(void *argument)
{
	struct crowd *crowd = argument;
	uint32_t number = atomic_fetch_add(&crowd->next, 1);
	uint32_t start = number * CROWD_HOSTS * CROWD_ENDPOINTS / CROWD_THREADS, i;

	for (i = 0; i < CROWD_HOSTS * CROWD_ENDPOINTS; i++)
		send_one(crowd, (start + i * 7) % (CROWD_HOSTS * CROWD_ENDPOINTS), 80);
	return NULL;
}

/* The same few again and again, each time towards another of a few remotes. */
void *crowd_open_few(void *argument)
{
	struct crowd *crowd = argument;
	uint32_t i;

	for (i = 0; i < CROWD_HOSTS * CROWD_ENDPOINTS; i++)
		send_one(crowd, i % CROWD_HOSTS, (uint16_t)(80 + i % 15));
	return NULL;
}

/* One TCP connection is opened, closed and reset all the time. */
void *crowd_change_one(void *argument)
{
	static const uint8_t flags[] = {FRAME_SYN, FRAME_ACK, FRAME_FIN | FRAME_ACK, FRAME_RST};
	struct crowd *crowd = argument;
	struct lab *lab = crowd->lab;
	struct frame f;
	uint32_t i;

	for (i = 0; i < CROWD_HOSTS * CROWD_ENDPOINTS; i++) {
		FRAME(&f, .to = mac_router, .from = mac_up0,
		      .source = crowd->ipv6 ? RED_IP6 : RED_IP,
		      .dest = crowd->ipv6 ? REMOTE_IP6 : REMOTE_IP, .protocol = IPPROTO_TCP,
		      .sport = CROWD_FIRST, .dport = 80, .tcp_flags = flags[i % 4]);
		lab_run(lab, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, NULL);
	}
	return NULL;
}

void *crowd_speak(void *argument)
{
	struct crowd *crowd = argument;
	struct lab *lab = crowd->lab;
	uint32_t host = atomic_fetch_add(&crowd->next, 1), i, nobody;
	struct frame f;
	uint8_t *remote = crowd->ipv6 ? &frame_ip6(&f)->daddr.s6_addr[14]
				      : (uint8_t *)&frame_ip4(&f)->daddr + 2;

	for (i = 0; i < 2 * CROWD_REMOTES; i++) {
		FRAME(&f, .to = mac_router, .from = mac_up0,
		      .source = crowd->ipv6 ? RED_IP6 : RED_IP,
		      .dest = crowd->ipv6 ? "2001:db8:f::" : "198.18.0.0", .protocol = IPPROTO_GRE);
		remote[0] = (uint8_t)(i / 2 >> 8);
		remote[1] = (uint8_t)(i / 2);
		set_source(&f, host);
		nobody = 0;
		if (lab_run(lab, DATAPATH_UPLINK_OUT, lab->uplink[UP0], &f, NULL) != TC_ACT_UNSPEC)
			atomic_fetch_add(&crowd->dropped, 1);
		else if (!atomic_compare_exchange_strong(&crowd->owner[i / 2], &nobody, host + 1) &&
			 nobody != host + 1)
			atomic_fetch_add(&crowd->shared, 1);
	}
	return NULL;
}

void *crowd_end_all(void *argument)
{
	struct crowd *crowd = argument;
	struct lab *lab = crowd->lab;
	struct nsr_selection all = {.uplink = (uint8_t)(1 + lab->uplink_number[UP0])};
	struct nsr_selection6 all6 = {.uplink = all.uplink};
	struct error err;

	while (!atomic_load(&crowd->done))
		if (crowd->ipv6 ? datapath_flush6(lab->datapath, &all6, NULL, &err)
				: datapath_flush(lab->datapath, &all, NULL, &err))
			break;
	return NULL;
}

void crowd_run_beside(struct crowd *crowd, void *(*body)(void *), void *(*beside)(void *))
{
	pthread_t threads[CROWD_THREADS], enders[CROWD_ENDERS];
	int i;

	for (i = 0; beside && i < CROWD_ENDERS; i++)
		assert_int_equal(pthread_create(&enders[i], NULL, beside, crowd), 0);
	for (i = 0; i < CROWD_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, body, crowd), 0);
	for (i = 0; i < CROWD_THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&crowd->done, true);
	for (i = 0; beside && i < CROWD_ENDERS; i++)
		pthread_join(enders[i], NULL);
}

void crowd_run(struct crowd *crowd, void *(*body)(void *), bool ending)
{
	crowd_run_beside(crowd, body, ending ? crowd_end_all : NULL);
}

struct crowd *crowd_gather(struct lab *lab)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));

	crowd->lab = lab;
	return crowd;
}

/* Ports that have cooled down may come back while they are counted. */
static void expect_ports_counted(struct lab *lab)
{
	struct nsr_nat_counters nat;
	uint64_t bits, shares, tries = 0;

	do {
		if (tries)
			usleep(20000);
		nat = lab_nat(lab, UP0);
		bits = lab_pool_bits(lab, UP0, NSR_NAT_UDP) + lab_pool_bits(lab, UP0, NSR_NAT_TCP);
		shares = lab_ports_of_all(lab);
	} while ((bits != lab_sum(nat.ports_used) || bits != shares) && ++tries < 100);
	assert_int_equal(bits, lab_sum(nat.ports_used));
	assert_int_equal(bits, shares);
}

void crowd_expect_even(struct lab *lab)
{
	struct nsr_uplink_counters c = lab_uplink_counters(lab, UP0);
	struct nsr_nat_counters nat = lab_nat(lab, UP0);

	assert_int_equal(c.tx_packets, c.tx_translated + c.tx_passed + c.tx_dropped);
	assert_int_equal(c.tx_passed, 0);
	assert_int_equal(lab_active_sessions(lab), lab_sum(nat.sessions_created) +
							   nat.sessions_created[NSR_NAT_OTHER] -
							   lab_sum(nat.sessions_expired) -
							   nat.sessions_expired[NSR_NAT_OTHER]);
	assert_int_equal(lab_session_bits(lab), lab_active_sessions(lab));
	assert_int_equal(lab_entries(lab, MAP_session_by_flow), lab_active_sessions(lab));
	assert_int_equal(lab_entries(lab, MAP_mapping_by_inside),
			 lab_sum(nat.mappings_created) - lab_sum(nat.mappings_ended));
	expect_ports_counted(lab);
	lab_expect_no_flows(lab);
}

static bool is_even(const struct crowd *crowd)
{
	struct lab *lab = crowd->lab;
	struct nsr_nat_counters nat = crowd->ipv6 ? lab_nat6(lab, UP0) : lab_nat(lab, UP0);
	uint32_t (*pool_bits)(struct lab *, enum lab_uplink, enum nsr_nat_protocol) =
		crowd->ipv6 ? lab_pool_bits6 : lab_pool_bits;
	uint64_t bits = pool_bits(lab, UP0, NSR_NAT_UDP) + pool_bits(lab, UP0, NSR_NAT_TCP);

	return bits == lab_sum(nat.ports_used) && bits == lab_ports_of_all(lab) &&
	       (crowd->ipv6 ? lab_session_bits6(lab) : lab_session_bits(lab)) ==
		       lab_entries(lab, crowd->ipv6 ? MAP_session_by_flow6 : MAP_session_by_flow) &&
	       lab_entries(lab, crowd->ipv6 ? MAP_mapping_by_inside6 : MAP_mapping_by_inside) ==
		       lab_sum(nat.mappings_created) - lab_sum(nat.mappings_ended);
}

void crowd_expect_even_of(const struct crowd *crowd)
{
	struct nsr_uplink_counters c = lab_uplink_counters(crowd->lab, UP0);

	assert_int_equal(c.tx_packets, c.tx_translated + c.tx_passed + c.tx_dropped);
	assert_int_equal(c.rx_packets, c.rx_translated + c.rx_passed + c.rx_dropped);
	for (int tries = 0; tries < 100 && !is_even(crowd); tries++)
		usleep(20000); /* ports that have cooled down come back while they are counted */
	assert_true(is_even(crowd));
	lab_expect_no_flows(crowd->lab);
}
