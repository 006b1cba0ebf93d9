/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the host itself sends to published ports, at the external address and at the loopback one,
 * and what comes back. Of both families.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "datapath_publish.h"

#define OWN_NETNS     (-1) /* the test is in the lab's namespace */
#define LOOPBACK_IP   "127.0.0.1"
#define LOOPBACK_LAST 15 /* of the bytes of ::1 */

static const struct family {
	bool ipv6;
	const char *external, *other, *red, *blue, *remote, *loopback, *client;
	uint16_t headers;    /* of IP and UDP */
	int client_is_other; /* what becomes of a packet to the client when nothing is published */
} ipv4 = {false,     UPLINK_IP,   UPLINK2_IP,     RED_IP, BLUE_IP,
	  REMOTE_IP, LOOPBACK_IP, "169.254.78.1", 28,     TO_NEIGHBOUR},
  ipv6 = {true,       UPLINK_IP6, REMOTE2_IP6,         RED_IP6, BLUE_IP6,
	  REMOTE_IP6, "::1",      "fd0d:2b16:9ad7::1", 48,      TO_KERNEL},
  *family;

static uint32_t loopback_number;

static void publish(struct lab *lab, uint32_t ifindex, enum nsr_nat_protocol protocol,
		    uint16_t external, uint16_t inside)
{
	struct published_ports what = {external, inside, 1, (uint8_t)protocol};
	struct ip_address red = lab_ip(family->red);

	if (datapath_publish(lab->datapath, ifindex, &red, &what, OWN_NETNS, &lab->err))
		fail_msg("%s", lab->err.message);
}

static struct lab *lab_with_loopback(void **state)
{
	struct nsr_uplink loopback = {
		.address4 = address4(LOOPBACK_IP), .port_min = 1, .port_max = 65535};
	struct lab *lab = lab_of(state);

	loopback.address6[LOOPBACK_LAST] = family->ipv6;

	if (datapath_uplink_set(lab->datapath, STATE_LOOPBACK, &loopback, &loopback_number,
				&lab->err))
		fail_msg("%s", lab->err.message);
	return lab;
}

static void done(struct lab *lab, enum nsr_nat_protocol protocol)
{
	struct published_ports what = {8080, 80, 1, (uint8_t)protocol};

	if (datapath_uplink_delete(lab->datapath, STATE_LOOPBACK, &lab->err) ||
	    datapath_unpublish(lab->datapath, lab->uplink[UP0], family->ipv6, &what, &lab->err))
		fail_msg("%s", lab->err.message);
	assert_int_equal(lab_entries(lab, family->ipv6 ? MAP_published6 : MAP_published), 0);
	if (family->ipv6)
		lab_expect_no_flows6(lab);
	else
		lab_expect_no_flows(lab);
}

static struct nsr_uplink_counters counters(struct lab *lab)
{
	int cpus = libbpf_num_possible_cpus();
	struct nsr_uplink_counters sum = {0}, *cells = calloc((size_t)cpus, sizeof(*cells));

	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_uplink_counters],
					     &loopback_number, cells),
			 0);
	for (int i = 0; i < cpus; i++) {
		sum.tx_packets += cells[i].tx_packets;
		sum.tx_translated += cells[i].tx_translated;
		sum.tx_passed += cells[i].tx_passed;
		sum.tx_dropped += cells[i].tx_dropped;
	}
	free(cells);
	return sum;
}

/* The action says which counter it is in. */
static struct frame *runs(struct lab *lab, const struct frame *frame, int action)
{
	struct nsr_uplink_counters before = counters(lab), after;
	static struct frame out;

	assert_int_equal(lab_run(lab, DATAPATH_LOCAL_OUT, STATE_LOOPBACK, frame, &out), action);
	after = counters(lab);
	assert_int_equal(after.tx_packets - before.tx_packets, 1);
	assert_int_equal(after.tx_translated - before.tx_translated, action == TC_ACT_REDIRECT);
	assert_int_equal(after.tx_passed - before.tx_passed, action == TC_ACT_UNSPEC);
	assert_int_equal(after.tx_dropped - before.tx_dropped, action == TC_ACT_SHOT);
	assert_int_equal(out.length, frame->length);
	if (action != TC_ACT_REDIRECT)
		assert_memory_equal(out.bytes, frame->bytes, frame->length);
	else
		assert_null(frame_fault(&out));
	return &out;
}

static struct frame *sends(struct lab *lab, const char *from, const char *to, uint8_t protocol,
			   uint16_t sport, uint16_t dport, uint8_t flags, int action)
{
	static const uint8_t nobody[6];
	struct frame f;

	FRAME(&f, .to = nobody, .from = nobody, .source = from, .dest = to, .protocol = protocol,
	      .sport = sport, .dport = dport, .tcp_flags = flags, .payload = 20);
	return runs(lab, &f, action);
}

static struct frame *answers(struct lab *lab, enum lab_port which, const char *to, uint8_t protocol,
			     uint16_t sport, uint16_t dport, uint8_t flags, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_br1, .from = which == RED ? mac_red : mac_blue,
	      .source = which == RED ? family->red : family->blue, .dest = to, .protocol = protocol,
	      .sport = sport, .dport = dport, .tcp_flags = flags, .payload = 20);
	return &EXPECT_PORT_IN(lab, which, &f, outcome)->out;
}

static void expect(struct frame *frame, const char *source, uint16_t sport, const char *dest,
		   uint16_t dport)
{
	const struct ip_address from = lab_ip(source), to = lab_ip(dest);

	if (family->ipv6) {
		assert_memory_equal(&frame_ip6(frame)->saddr, from.bytes, 16);
		assert_memory_equal(&frame_ip6(frame)->daddr, to.bytes, 16);
	} else {
		assert_memory_equal(&frame_ip4(frame)->saddr, from.bytes, 4);
		assert_memory_equal(&frame_ip4(frame)->daddr, to.bytes, 4);
	}
	assert_int_equal(frame_sport(frame), sport);
	assert_int_equal(frame_dport(frame), dport);
}

static uint32_t sessions(struct lab *lab)
{
	return lab_entries(lab, family->ipv6 ? MAP_session_by_flow6 : MAP_session_by_flow);
}

static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};

static void test_external(void **state)
{
	struct lab *lab = lab_with_loopback(state);

	for (size_t i = 0; i < 2; i++) {
		uint8_t protocol = protocols[i];
		struct frame *out;

		publish(lab, lab->uplink[UP0], (enum nsr_nat_protocol)i, 8080, 80);
		out = sends(lab, family->external, family->external, protocol, 4000, 8080,
			    FRAME_SYN, TC_ACT_REDIRECT);
		expect(out, family->external, 4000, family->red, 80);
		assert_int_equal(family->ipv6 ? frame_ip6(out)->hop_limit : frame_ip4(out)->ttl,
				 64);
		assert_memory_equal(frame_eth(out)->h_dest, mac_red, 6);
		assert_memory_equal(frame_eth(out)->h_source, mac_br1, 6);
		out = answers(lab, RED, family->external, protocol, 80, 4000, FRAME_SYN | FRAME_ACK,
			      TO_NEIGHBOUR);
		expect(out, family->external, 8080, family->external, 4000);
		sends(lab, family->external, family->external, protocol, 4000, 8080, FRAME_ACK,
		      TC_ACT_REDIRECT);
		assert_int_equal(sessions(lab), 1);
		/* Without a session, what red sends to the host is not touched. */
		answers(lab, RED, family->external, protocol, 80, 4001, FRAME_ACK, TO_KERNEL);
		done(lab, (enum nsr_nat_protocol)i);
		lab_with_loopback(state);
	}
	done(lab, NSR_NAT_UDP);
}

static void test_not_published(void **state)
{
	struct lab *lab = lab_with_loopback(state);
	struct frame f;

	publish(lab, lab->uplink[UP0], NSR_NAT_UDP, 8080, 80);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = family->blue, .dest = family->remote,
	      .sport = 6000, .dport = 80);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	/* Nobody's, a mapped one, the other protocol. */
	sends(lab, family->external, family->external, IPPROTO_UDP, 4000, 8081, 0, TC_ACT_UNSPEC);
	sends(lab, family->external, family->external, IPPROTO_UDP, 4000, 6000, 0, TC_ACT_UNSPEC);
	sends(lab, family->external, family->external, IPPROTO_TCP, 4000, 8080, FRAME_SYN,
	      TC_ACT_UNSPEC);
	/* Other addresses, at either end. */
	sends(lab, family->external, family->other, IPPROTO_UDP, 4000, 8080, 0, TC_ACT_UNSPEC);
	sends(lab, family->other, family->external, IPPROTO_UDP, 4000, 8080, 0, TC_ACT_UNSPEC);
	sends(lab, family->other, family->other, IPPROTO_UDP, 4000, 8080, 0, TC_ACT_UNSPEC);
	/* What is on its way back to the host. */
	lab->came_in = lab->port[RED];
	sends(lab, family->external, family->external, IPPROTO_UDP, 4000, 8080, 0, TC_ACT_UNSPEC);
	lab->came_in = 0;
	assert_int_equal(sessions(lab), 1);
	done(lab, NSR_NAT_UDP);
}

static void arrives(struct lab *lab, const char *from, const char *to, uint8_t protocol,
		    int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = from, .dest = to,
	      .protocol = protocol, .sport = 4000, .dport = 8080, .tcp_flags = FRAME_SYN);
	EXPECT_IN(lab, UP0, &f, outcome);
}

static void test_loopback(void **state)
{
	const char *loopback = family->loopback, *client = family->client;
	struct lab *lab = lab_with_loopback(state);
	struct frame *out;

	for (size_t i = 0; i < 2; i++) {
		uint8_t protocol = protocols[i];

		publish(lab, STATE_LOOPBACK, (enum nsr_nat_protocol)i, 8080, 80);
		out = sends(lab, loopback, loopback, protocol, 4000, 8080, FRAME_SYN,
			    TC_ACT_REDIRECT);
		expect(out, client, 4000, family->red, 80);
		assert_memory_equal(frame_eth(out)->h_dest, mac_red, 6);
		out = answers(lab, RED, client, protocol, 80, 4000, FRAME_SYN | FRAME_ACK,
			      TO_NEIGHBOUR);
		expect(out, loopback, 8080, loopback, 4000);
		sends(lab, loopback, loopback, protocol, 4000, 8080, FRAME_ACK, TC_ACT_REDIRECT);
		/* Nobody else reaches it: not the outside, whatever it sends to, not a namespace.
		 */
		arrives(lab, family->remote, family->external, protocol, PASSED);
		arrives(lab, family->remote, loopback, protocol, PASSED);
		answers(lab, BLUE, family->external, protocol, 4000, 8080, FRAME_SYN, TO_KERNEL);
		sends(lab, family->external, family->external, protocol, 4000, 8080, FRAME_SYN,
		      TC_ACT_UNSPEC);
		/* What belongs to no session does not leave, by whichever interface it would. */
		answers(lab, BLUE, client, protocol, 80, 4000, FRAME_SYN, DROPPED(NAT_STATE));
		answers(lab, RED, client, protocol, 81, 4000, FRAME_SYN, DROPPED(NAT_STATE));
		answers(lab, RED, client, protocols[!i], 80, 4000, 0, DROPPED(NAT_STATE));
		assert_int_equal(sessions(lab), 1);
		done(lab, (enum nsr_nat_protocol)i);
		/* It stands for nothing any more. */
		answers(lab, RED, client, protocol, 80, 4000, FRAME_SYN, family->client_is_other);
		lab_with_loopback(state);
	}
	done(lab, NSR_NAT_UDP);
}

/* From outside, as if it were the host: to a port that all others reach. */
static void test_forged(void **state)
{
	struct lab *lab = lab_with_loopback(state);

	for (size_t i = 0; i < 2; i++) {
		publish(lab, lab->uplink[UP0], (enum nsr_nat_protocol)i, 8080, 80);
		arrives(lab, family->client, family->external, protocols[i], DROPPED(NAT_FILTERED));
		assert_int_equal(sessions(lab), 0);
		arrives(lab, family->remote, family->external, protocols[i], TRANSLATED_TO_PEER);
		done(lab, (enum nsr_nat_protocol)i);
		lab_with_loopback(state);
	}
	done(lab, NSR_NAT_UDP);
}

static struct sockaddr_storage socket_address(uint16_t port)
{
	const struct ip_address ip = lab_ip(family->external);
	struct sockaddr_storage address = {0};
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address;
	struct sockaddr_in *in4 = (struct sockaddr_in *)&address;

	address.ss_family = family->ipv6 ? AF_INET6 : AF_INET;
	if (family->ipv6) {
		in6->sin6_port = htons(port);
		memcpy(&in6->sin6_addr, ip.bytes, 16);
	} else {
		in4->sin_port = htons(port);
		memcpy(&in4->sin_addr, ip.bytes, 4);
	}
	return address;
}

/* The host's socket has a port that a namespace has mapped. */
static void test_port_of_two(void **state)
{
	struct sockaddr_storage own = socket_address(6000), peer = socket_address(8080);
	struct lab *lab = lab_with_loopback(state);
	int fd = socket(own.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct frame f;

	publish(lab, lab->uplink[UP0], NSR_NAT_UDP, 8080, 80);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = family->blue, .dest = family->remote,
	      .sport = 6000, .dport = 80);
	assert_int_equal(frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out), 6000);
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&peer, sizeof(peer)), 0);
	expect(sends(lab, family->external, family->external, IPPROTO_UDP, 6000, 8080, 0,
		     TC_ACT_REDIRECT),
	       family->external, 6000, family->red, 80);
	expect(answers(lab, RED, family->external, IPPROTO_UDP, 80, 6000, 0, TO_NEIGHBOUR),
	       family->external, 8080, family->external, 6000);
	close(fd);
	/* Its socket has gone: the port is blue's again, whose filter has not heard of red. */
	answers(lab, RED, family->external, IPPROTO_UDP, 80, 6000, 0, DROPPED(NAT_FILTERED));
	done(lab, NSR_NAT_UDP);
}

static void test_too_large(void **state)
{
	static const uint8_t nobody[6];
	struct lab *lab = lab_with_loopback(state);
	struct nsr_endpoint endpoint = lab_endpoint(lab, RED);
	struct frame f;

	publish(lab, lab->uplink[UP0], NSR_NAT_UDP, 8080, 80);
	endpoint.mtu = 1280;
	lab_host_set(lab, family->red, &endpoint);
	for (uint16_t excess = 0; excess < 2; excess++) {
		FRAME(&f, .to = nobody, .from = nobody, .source = family->external,
		      .dest = family->external, .sport = 4000, .dport = 8080,
		      .payload = (uint16_t)(1280 - family->headers + excess));
		runs(lab, &f, excess ? TC_ACT_SHOT : TC_ACT_REDIRECT);
	}
	done(lab, NSR_NAT_UDP);
}

/* Without the program that takes over, what the host sends to itself stays its own. */
static void test_nobody_takes_over(void **state)
{
	struct lab *lab = lab_with_loopback(state);
	int map = lab->datapath->maps[MAP_programs6], *program;
	uint32_t entry = NSR_PROGRAM6_LOCAL;

	program = &lab->datapath->programs[DATAPATH_LOCAL_OUT6];
	publish(lab, lab->uplink[UP0], NSR_NAT_UDP, 8080, 80);
	assert_int_equal(bpf_map_delete_elem(map, &entry), 0);
	sends(lab, family->external, family->external, IPPROTO_UDP, 4000, 8080, 0, TC_ACT_UNSPEC);
	sends(lab, family->external, family->external, IPPROTO_TCP, 4000, 80, FRAME_SYN,
	      TC_ACT_UNSPEC);
	sends(lab, "::1", "::1", IPPROTO_TCP, 4000, 8080, FRAME_SYN, TC_ACT_UNSPEC);
	assert_int_equal(bpf_map_update_elem(map, &entry, program, 0), 0);
	sends(lab, family->external, family->external, IPPROTO_UDP, 4000, 8080, 0, TC_ACT_REDIRECT);
	done(lab, NSR_NAT_UDP);
}

static int set_up_ipv4(void **state)
{
	family = &ipv4;
	return lab_set_up(state);
}

static int set_up_ipv6(void **state)
{
	family = &ipv6;
	return lab_set_up(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define IPV4(name) cmocka_unit_test_setup(name, set_up_ipv4)
#define BOTH(name) IPV4(name), {#name "_ipv6", name, set_up_ipv6, NULL, NULL}
		BOTH(test_external),
		BOTH(test_not_published),
		BOTH(test_loopback),
		BOTH(test_port_of_two),
		BOTH(test_too_large),
		BOTH(test_forged),
		cmocka_unit_test_setup(test_nobody_takes_over, set_up_ipv6),
	};

	return LAB_MAIN(tests);
}
