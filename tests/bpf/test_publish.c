/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Published ports: what comes in to them, what their namespace sends from them, how they are taken
 * from flows and given back; and hairpins, to published and to mapped ports.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath_maps.h"
#include "datapath_publish.h"

#define OWN_NETNS (-1) /* the test is in the lab's namespace */

static struct published_ports ports(enum nsr_nat_protocol protocol, uint16_t external,
				    uint16_t inside, uint16_t count)
{
	return (struct published_ports){external, inside, count, (uint8_t)protocol};
}

static int try_publish(struct lab *lab, const char *ip, struct published_ports what)
{
	struct ip_address inside = lab_ip(ip);

	return datapath_publish(lab->datapath, lab->uplink[UP0], &inside, &what, OWN_NETNS,
				&lab->err);
}

static void publish(struct lab *lab, const char *ip, struct published_ports what)
{
	if (try_publish(lab, ip, what))
		fail_msg("%s", lab->err.message);
}

static void unpublish(struct lab *lab, struct published_ports what)
{
	if (datapath_unpublish(lab->datapath, lab->uplink[UP0], false, &what, &lab->err))
		fail_msg("%s", lab->err.message);
}

/* Nothing is left when the last is gone. */
static void unpublish_all(struct lab *lab, struct published_ports what)
{
	unpublish(lab, what);
	assert_int_equal(lab_entries(lab, MAP_published), 0);
	lab_expect_no_flows(lab);
}

static struct run *in(struct lab *lab, const char *remote, uint8_t protocol, uint16_t sport,
		      uint16_t dport, uint8_t flags, int outcome)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = remote, .dest = UPLINK_IP,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = flags,
	      .payload = 10);
	return EXPECT_IN(lab, UP0, &f, outcome);
}

/* Returns the external port. */
static uint16_t out(struct lab *lab, const char *inside, const char *remote, uint8_t protocol,
		    uint16_t sport, uint16_t dport, uint8_t flags)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = inside, .dest = remote,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = flags);
	return frame_sport(&EXPECT_OUT(lab, UP0, &f, TRANSLATED)->out);
}

static void expect_for(struct run *run, enum lab_port which, const char *source, uint16_t sport,
		       const char *dest, uint16_t dport)
{
	assert_int_equal(run->delivered, which);
	assert_int_equal(frame_ip4(&run->out)->saddr, address4(source));
	assert_int_equal(frame_ip4(&run->out)->daddr, address4(dest));
	assert_int_equal(frame_sport(&run->out), sport);
	assert_int_equal(frame_dport(&run->out), dport);
}

/* ---- From outside. */

static void test_lets_in(void **state)
{
	const struct published_ports web = ports(NSR_NAT_TCP, 8080, 80, 1);
	struct lab *lab = lab_of(state);
	struct run *run;

	publish(lab, RED_IP, web);
	/* What opens nothing is the namespace's to answer; the other protocol is the host's. */
	in(lab, REMOTE_IP, IPPROTO_TCP, 4000, 8080, FRAME_ACK, TRANSLATED_TO_PEER);
	in(lab, REMOTE_IP, IPPROTO_UDP, 4000, 8080, 0, PASSED);
	in(lab, REMOTE_IP, IPPROTO_TCP, 4000, 8081, FRAME_SYN, PASSED);
	assert_int_equal(lab_active_sessions(lab), 0);
	run = in(lab, REMOTE_IP, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	expect_for(run, RED, REMOTE_IP, 4000, RED_IP, 80);
	assert_memory_equal(frame_eth(&run->out)->h_dest, mac_red, 6);
	assert_int_equal(frame_ip4(&run->out)->ttl, 63);
	in(lab, REMOTE_IP, IPPROTO_TCP, 4000, 8080, FRAME_ACK, TRANSLATED_TO_PEER);
	in(lab, REMOTE2_IP, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	assert_int_equal(lab_active_sessions(lab), 2);
	assert_int_equal(out(lab, RED_IP, REMOTE_IP, IPPROTO_TCP, 80, 4000, FRAME_SYN | FRAME_ACK),
			 8080);
	assert_int_equal(lab_nat(lab, UP0).mappings_created[NSR_NAT_TCP], 1);
	unpublish_all(lab, web);
	in(lab, REMOTE_IP, IPPROTO_TCP, 4001, 8080, FRAME_SYN, PASSED);
}

static void test_range(void **state)
{
	const struct published_ports range = ports(NSR_NAT_UDP, 9000, 7000, 100);
	struct lab *lab = lab_of(state);

	publish(lab, RED_IP, range);
	for (uint16_t i = 0; i < 100; i += 33)
		expect_for(in(lab, REMOTE_IP, IPPROTO_UDP, 4000, (uint16_t)(9000 + i), 0,
			      TRANSLATED_TO_PEER),
			   RED, REMOTE_IP, 4000, RED_IP, (uint16_t)(7000 + i));
	in(lab, REMOTE_IP, IPPROTO_UDP, 4000, 8999, 0, PASSED);
	in(lab, REMOTE_IP, IPPROTO_UDP, 4000, 9100, 0, PASSED);
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_UDP), 100);
	assert_int_equal(lab_nat(lab, UP0).ports_used[NSR_NAT_UDP], 100);
	unpublish_all(lab, range);
}

/* What comes in has a limit of its own; beyond it there are no sessions (test_share.c). */
static void test_limit(void **state)
{
	const struct published_ports dns = ports(NSR_NAT_UDP, 5353, 53, 1);
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct lab *lab = lab_of(state);

	settings.flows_max = 2;
	lab_inside_set(lab, "192.168.15.0/24", UP0, &settings);
	publish(lab, RED_IP, dns);
	in(lab, REMOTE_IP, IPPROTO_UDP, 4000, 5353, 0, TRANSLATED_TO_PEER);
	in(lab, REMOTE_IP, IPPROTO_UDP, 4001, 5353, 0, TRANSLATED_TO_PEER);
	in(lab, REMOTE_IP, IPPROTO_UDP, 4000, 5353, 0, TRANSLATED_TO_PEER);
	assert_int_equal(lab_active_sessions(lab), 1);
	assert_int_equal(lab_flows_of(lab, RED), 0);
	unpublish_all(lab, dns);
	assert_int_equal(lab_flows_of(lab, RED), 0);
}

/* A datagram in fragments, which opens a session by its first. */
static void test_fragments(void **state)
{
	const struct published_ports dns = ports(NSR_NAT_UDP, 5353, 53, 1);
	struct lab *lab = lab_of(state);
	struct frame f;

	publish(lab, RED_IP, dns);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .sport = 4000, .dport = 5353, .payload = 100, .fragment = 0x2000, .id = 7);
	expect_for(EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER), RED, REMOTE_IP, 4000, RED_IP, 53);
	assert_int_equal(lab_active_sessions(lab), 1);
	frame_ip4(&f)->frag_off = htons(108 / 8);
	frame_seal(&f);
	assert_int_equal(EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER)->delivered, RED);
	unpublish_all(lab, dns);
}

/* ---- What the namespace sends, and others. */

static void test_own_port(void **state)
{
	const struct published_ports sip = ports(NSR_NAT_UDP, 6060, 5060, 1);
	const struct published_ports also = ports(NSR_NAT_UDP, 6061, 5060, 1);
	struct lab *lab = lab_of(state);

	publish(lab, RED_IP, sip);
	assert_int_equal(out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 5060, 80, 0), 6060);
	assert_int_equal(out(lab, RED_IP, REMOTE2_IP, IPPROTO_UDP, 5060, 81, 0), 6060);
	assert_int_equal(out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 5061, 80, 0), 5061);
	/* Nobody else gets it. */
	assert_int_not_equal(out(lab, BLUE_IP, REMOTE_IP, IPPROTO_UDP, 6060, 80, 0), 6060);
	/* A second one of the same port: what is answered keeps its port, the first sends. */
	publish(lab, RED_IP, also);
	in(lab, REMOTE_IP, IPPROTO_UDP, 4000, 6061, 0, TRANSLATED_TO_PEER);
	assert_int_equal(out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 5060, 4000, 0), 6061);
	assert_int_equal(out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 5060, 4001, 0), 6060);
	unpublish(lab, also);
	unpublish_all(lab, sip);
}

/* ---- Taken, and given back. */

/* The inside port has a mapping that packets made, and the external one another's. */
static void test_takes_over(void **state)
{
	const struct published_ports range = ports(NSR_NAT_UDP, 9000, 7000, 2);
	struct lab *lab = lab_of(state);

	assert_int_equal(out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 7000, 80, 0), 7000);
	assert_int_equal(out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 7002, 80, 0), 7002);
	assert_int_equal(out(lab, BLUE_IP, REMOTE_IP, IPPROTO_UDP, 9000, 80, 0), 9000);
	assert_int_equal(out(lab, BLUE_IP, REMOTE_IP, IPPROTO_UDP, 9002, 80, 0), 9002);
	publish(lab, RED_IP, range);
	/* Theirs ended, no others. */
	assert_int_equal(lab_active_sessions(lab), 2);
	in(lab, REMOTE_IP, IPPROTO_UDP, 80, 7002, 0, TRANSLATED_TO_PEER);
	in(lab, REMOTE_IP, IPPROTO_UDP, 80, 9002, 0, TRANSLATED_TO_PEER);
	assert_int_equal(out(lab, RED_IP, REMOTE_IP, IPPROTO_UDP, 7000, 80, 0), 9000);
	assert_int_not_equal(out(lab, BLUE_IP, REMOTE_IP, IPPROTO_UDP, 9000, 80, 0), 9000);
	expect_for(in(lab, REMOTE2_IP, IPPROTO_UDP, 80, 9000, 0, TRANSLATED_TO_PEER), RED,
		   REMOTE2_IP, 80, RED_IP, 7000);
	unpublish_all(lab, range);
}

/* It ends its flows and no others, and cools down; what was reserved stays so. */
static void test_given_back(void **state)
{
	const struct published_ports high = ports(NSR_NAT_TCP, 8080, 80, 1);
	const struct published_ports low = ports(NSR_NAT_TCP, 80, 80, 1);
	struct lab *lab = lab_of(state);

	publish(lab, RED_IP, high);
	publish(lab, BLUE_IP, low);
	in(lab, REMOTE_IP, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	in(lab, REMOTE_IP, IPPROTO_TCP, 4000, 80, FRAME_SYN, TRANSLATED_TO_PEER);
	unpublish(lab, high);
	assert_int_equal(lab_active_sessions(lab), 1);
	in(lab, REMOTE_IP, IPPROTO_TCP, 4000, 80, FRAME_ACK, TRANSLATED_TO_PEER);
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_TCP), 1); /* cools down */
	assert_int_not_equal(out(lab, RED_IP, REMOTE_IP, IPPROTO_TCP, 8080, 80, FRAME_SYN), 8080);
	/* Published again at once, by somebody else. */
	publish(lab, BLUE_IP, high);
	assert_int_equal(lab_nat(lab, UP0).ports_used[NSR_NAT_TCP], 3);
	in(lab, REMOTE_IP, IPPROTO_TCP, 4001, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	unpublish(lab, high);
	unpublish_all(lab, low);

	lab_clock_offset(lab, 2 * NSR_PORT_COOLDOWN_S);
	for (int i = 0; i < 1500 && lab_nat(lab, UP0).ports_used[NSR_NAT_TCP]; i++)
		usleep(10000); /* a pass takes 8 s */
	assert_int_equal(lab_nat(lab, UP0).ports_used[NSR_NAT_TCP], 0);
	assert_int_equal(lab_pool_bits(lab, UP0, NSR_NAT_TCP), 0);
	/* 80 is not one that is handed out, not even to who prefers it. */
	assert_int_not_equal(out(lab, RED_IP, REMOTE_IP, IPPROTO_TCP, 80, 80, FRAME_SYN), 80);
	lab_expect_no_flows(lab);
}

/* Steps can be done again: as after a process that was killed between. */
static void test_done_again(void **state)
{
	const struct published_ports range = ports(NSR_NAT_UDP, 9000, 7000, 3);
	const struct published_ports overlaps = ports(NSR_NAT_UDP, 8999, 6999, 2);
	struct lab *lab = lab_of(state);

	publish(lab, RED_IP, range);
	in(lab, REMOTE_IP, IPPROTO_UDP, 4000, 9001, 0, TRANSLATED_TO_PEER);
	publish(lab, RED_IP, range);
	assert_int_equal(lab_active_sessions(lab), 1); /* its own go on */
	assert_int_equal(lab_nat(lab, UP0).mappings_created[NSR_NAT_UDP], 3);
	assert_int_equal(try_publish(lab, BLUE_IP, overlaps), -EEXIST);
	assert_int_equal(lab_entries(lab, MAP_published), 1);
	assert_int_equal(lab_entries(lab, MAP_mapping_by_inside), 3);
	in(lab, REMOTE_IP, IPPROTO_UDP, 4000, 9001, 0, TRANSLATED_TO_PEER);
	unpublish_all(lab, range);
	unpublish_all(lab, range);
}

/* The pools of an uplink are made anew when its range changes, or its address. */
static void test_pools_made_anew(void **state)
{
	const struct published_ports web = ports(NSR_NAT_TCP, 8080, 80, 1);
	struct lab *lab = lab_of(state);

	publish(lab, RED_IP, web);
	in(lab, REMOTE_IP, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	lab_uplink_set(lab, UP0, UPLINK_IP, 20000, 20999);
	assert_int_equal(lab_active_sessions(lab), 0);
	in(lab, REMOTE_IP, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	assert_int_equal(out(lab, RED_IP, REMOTE2_IP, IPPROTO_TCP, 80, 4000, FRAME_SYN), 8080);
	lab_uplink_set(lab, UP0, UPLINK_IP, LAB_PORT_MIN, LAB_PORT_MAX);
	unpublish_all(lab, web);
}

/* ---- The host's own. */

static int listen_on(const char *ip, uint16_t port)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = address4(ip)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void test_host_listens(void **state)
{
	const struct published_ports range = ports(NSR_NAT_TCP, 8079, 79, 3);
	struct lab *lab = lab_of(state);
	int fd = listen_on("0.0.0.0", 8080);

	assert_int_equal(try_publish(lab, RED_IP, range), -EADDRINUSE);
	assert_non_null(strstr(lab->err.message, "8080/tcp"));
	assert_int_equal(lab_entries(lab, MAP_published), 0);
	assert_int_equal(lab_entries(lab, MAP_mapping_by_inside), 0);
	close(fd);
	publish(lab, RED_IP, range);
	/* One that comes later has other addresses ... */
	fd = listen_on("0.0.0.0", 8080);
	in(lab, REMOTE_IP, IPPROTO_TCP, 4001, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	close(fd);
	/* ... unless it is bound to this one: the host's own is not disturbed. */
	fd = listen_on(UPLINK_IP, 8080);
	in(lab, REMOTE_IP, IPPROTO_TCP, 4000, 8080, FRAME_SYN, PASSED);
	in(lab, REMOTE_IP, IPPROTO_TCP, 4000, 8081, FRAME_SYN, TRANSLATED_TO_PEER);
	close(fd);
	in(lab, REMOTE_IP, IPPROTO_TCP, 4000, 8080, FRAME_SYN, TRANSLATED_TO_PEER);
	unpublish_all(lab, range);
}

/* The kernel gives a client of the host the published port, for whatever it sends. */
static void test_host_client(void **state)
{
	const struct published_ports dns = ports(NSR_NAT_UDP, 40000, 53, 1);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(40000)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct lab *lab = lab_of(state);

	publish(lab, RED_IP, dns);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	in(lab, REMOTE_IP, IPPROTO_UDP, 4000, 40000, 0, TRANSLATED_TO_PEER);
	assert_int_equal(out(lab, RED_IP, REMOTE2_IP, IPPROTO_UDP, 53, 81, 0), 40000);
	/* It talks to somebody: that is its own. */
	at.sin_addr.s_addr = address4(REMOTE2_IP);
	at.sin_port = htons(82);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 82, 40000, 0, PASSED);
	in(lab, REMOTE2_IP, IPPROTO_UDP, 83, 40000, 0, TRANSLATED_TO_PEER);
	close(fd);
	unpublish_all(lab, dns);
}

/* ---- Hairpin. */

static void from_port(struct frame *f, enum lab_port which, uint8_t protocol, uint16_t sport,
		      uint16_t dport, uint8_t flags, uint8_t ttl, uint16_t payload)
{
	static const char *const ips[] = {RED_IP, BLUE_IP, GREEN_IP, PLAIN_IP};
	static const uint8_t *const macs[] = {mac_red, mac_blue, mac_green, mac_plain};
	static const uint8_t *const bridges[] = {mac_br1, mac_br1, mac_br2, mac_br3};

	FRAME(f, .to = bridges[which], .from = macs[which], .source = ips[which], .dest = UPLINK_IP,
	      .protocol = protocol, .sport = sport, .dport = dport, .tcp_flags = flags, .ttl = ttl,
	      .payload = payload);
}

static struct run *sends(struct lab *lab, enum lab_port which, uint8_t protocol, uint16_t sport,
			 uint16_t dport, uint8_t flags, int outcome)
{
	struct frame f;

	from_port(&f, which, protocol, sport, dport, flags, 0, 20);
	return EXPECT_PORT_IN(lab, which, &f, outcome);
}

static void test_hairpin(void **state)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
	static const enum lab_port senders[] = {BLUE, GREEN, RED};
	struct lab *lab = lab_of(state);

	for (size_t i = 0; i < 2; i++) {
		const struct published_ports web = ports((enum nsr_nat_protocol)i, 8080, 80, 1);

		publish(lab, RED_IP, web);
		for (size_t j = 0; j < 3; j++) {
			static const char *const ips[] = {RED_IP, BLUE_IP, GREEN_IP};
			uint16_t sport = (uint16_t)(3000 + senders[j]);
			struct run *run = sends(lab, senders[j], protocols[i], sport, 8080,
						FRAME_SYN, TO_PEER);

			expect_for(run, RED, UPLINK_IP, sport, RED_IP, 80);
			assert_int_equal(frame_ip4(&run->out)->ttl, 63);
			assert_memory_equal(frame_eth(&run->out)->h_dest, mac_red, 6);
			assert_memory_equal(frame_eth(&run->out)->h_source, mac_br1, 6);
			run = sends(lab, RED, protocols[i], 80, sport, FRAME_SYN | FRAME_ACK,
				    TO_PEER);
			expect_for(run, senders[j], UPLINK_IP, 8080, ips[senders[j]], sport);
			sends(lab, senders[j], protocols[i], sport, 8080, FRAME_ACK, TO_PEER);
		}
		assert_int_equal(lab_active_sessions(lab), 6);
		unpublish_all(lab, web);
	}
}

/* Isolation is not gone around by the outside, neither of who sends nor of who is sent to. */
static void test_hairpin_isolated(void **state)
{
	const struct published_ports web = ports(NSR_NAT_TCP, 8080, 80, 1);
	static const enum lab_port isolated[] = {RED, GREEN};
	struct lab *lab = lab_of(state);

	publish(lab, RED_IP, web);
	for (size_t i = 0; i < 2; i++) {
		struct nsr_port port = lab_port(lab, isolated[i]);
		struct nsr_endpoint endpoint = lab_endpoint(lab, isolated[i]);
		const char *ip = isolated[i] == RED ? RED_IP : GREEN_IP;

		port.flags |= NSR_PORT_ISOLATED;
		endpoint.flags |= NSR_PORT_ISOLATED;
		lab_port_set(lab, isolated[i], &port);
		lab_host_set(lab, ip, &endpoint);
		sends(lab, GREEN, IPPROTO_TCP, 3000, 8080, FRAME_SYN, DROPPED(ISOLATED));
		assert_int_equal(lab_active_sessions(lab), 0);
		port = lab_port(lab, isolated[i]);
		endpoint = lab_endpoint(lab, isolated[i]);
		lab_port_set(lab, isolated[i], &port);
		lab_host_set(lab, ip, &endpoint);
	}
	sends(lab, GREEN, IPPROTO_TCP, 3000, 8080, FRAME_SYN, TO_PEER);
	unpublish_all(lab, web);
}

/* As for what comes from outside: who it has not sent to is not let in. */
static void test_hairpin_filter(void **state)
{
	struct lab *lab = lab_of(state);

	assert_int_equal(out(lab, BLUE_IP, REMOTE_IP, IPPROTO_UDP, 6000, 80, 0), 6000);
	sends(lab, RED, IPPROTO_UDP, 6001, 6000, 0, DROPPED(NAT_FILTERED));
	/* red has a mapping now, which blue sends to: red's filter refuses as well, but then lets
	 * it in, for red has sent to it. */
	expect_for(sends(lab, BLUE, IPPROTO_UDP, 6000, 6001, 0, TO_PEER), RED, UPLINK_IP, 6000,
		   RED_IP, 6001);
	expect_for(sends(lab, RED, IPPROTO_UDP, 6001, 6000, 0, TO_PEER), BLUE, UPLINK_IP, 6001,
		   BLUE_IP, 6000);
	lab_expect_no_flows(lab);
}

static void test_hairpin_to_the_host(void **state)
{
	const struct published_ports web = ports(NSR_NAT_TCP, 8080, 80, 1);
	struct lab *lab = lab_of(state);
	struct frame f;
	int fd;

	publish(lab, RED_IP, web);
	sends(lab, BLUE, IPPROTO_TCP, 3000, 22, FRAME_SYN, TO_KERNEL);
	sends(lab, BLUE, IPPROTO_UDP, 3000, 8080, 0, TO_KERNEL);
	sends(lab, PLAIN, IPPROTO_TCP, 3000, 8080, FRAME_SYN, TO_KERNEL); /* not masqueraded */
	from_port(&f, BLUE, IPPROTO_TCP, 3000, 8080, FRAME_SYN, 1, 0);
	EXPECT_PORT_IN(lab, BLUE, &f, TO_KERNEL);
	fd = listen_on(UPLINK_IP, 8080);
	sends(lab, BLUE, IPPROTO_TCP, 3000, 8080, FRAME_SYN, TO_KERNEL);
	close(fd);
	assert_int_equal(lab_active_sessions(lab), 0);
	sends(lab, BLUE, IPPROTO_TCP, 3000, 8080, FRAME_RST, DROPPED(NAT_STATE));
	unpublish_all(lab, web);
}

/* It cannot be left to the kernel. */
static void test_hairpin_too_large(void **state)
{
	const struct published_ports dns = ports(NSR_NAT_UDP, 5353, 53, 1);
	struct lab *lab = lab_of(state);
	struct nsr_endpoint endpoint = lab_endpoint(lab, RED);
	struct frame f;

	publish(lab, RED_IP, dns);
	endpoint.mtu = 1280;
	lab_host_set(lab, RED_IP, &endpoint);
	from_port(&f, BLUE, IPPROTO_UDP, 3000, 5353, 0, 0, 1280 - 28);
	EXPECT_PORT_IN(lab, BLUE, &f, TO_PEER);
	from_port(&f, BLUE, IPPROTO_UDP, 3000, 5353, 0, 0, 1281 - 28);
	EXPECT_PORT_IN(lab, BLUE, &f, DROPPED(NAT_HAIRPIN));
	unpublish_all(lab, dns);
}

/* They leave at the port, renumbered, and arrive at the uplink; without the first they are the
 * host's, who puts together what is its own. */
static void test_hairpin_fragments(void **state)
{
	static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	const struct published_ports dns = ports(NSR_NAT_UDP, 5353, 53, 1);
	struct lab *lab = lab_of(state);
	struct frame first, later, out;

	publish(lab, RED_IP, dns);
	FRAME(&first, .to = mac_br1, .from = mac_blue, .source = BLUE_IP, .dest = UPLINK_IP,
	      .sport = 3000, .dport = 5353, .payload = 100, .fragment = 0x2000, .id = 7);
	later = first;
	frame_ip4(&later)->frag_off = htons(108 / 8);
	frame_seal(&later);
	EXPECT_PORT_IN(lab, BLUE, &later, TO_KERNEL);
	out = EXPECT_PORT_IN(lab, BLUE, &first, TO_NEIGHBOUR)->out;
	assert_memory_equal(frame_eth(&out)->h_dest, all, 6);
	assert_int_equal(frame_ip4(&out)->saddr, address4(UPLINK_IP));
	assert_int_equal(frame_sport(&out), 3000);
	expect_for(EXPECT_IN(lab, UP0, &out, TRANSLATED_TO_PEER), RED, UPLINK_IP, 3000, RED_IP, 53);
	later = EXPECT_PORT_IN(lab, BLUE, &later, TO_NEIGHBOUR)->out;
	assert_int_equal(frame_ip4(&later)->id, frame_ip4(&out)->id);
	assert_int_equal(EXPECT_IN(lab, UP0, &later, TRANSLATED_TO_PEER)->delivered, RED);
	assert_int_equal(lab_active_sessions(lab), 2);
	/* What is mapped for nobody. */
	FRAME(&first, .to = mac_br1, .from = mac_blue, .source = BLUE_IP, .dest = UPLINK_IP,
	      .sport = 3000, .dport = 5354, .payload = 100, .fragment = 0x2000, .id = 8);
	EXPECT_PORT_IN(lab, BLUE, &first, TO_KERNEL);
	unpublish_all(lab, dns);
}

/* The policy comes first. */
static void test_hairpin_forged(void **state)
{
	const struct published_ports web = ports(NSR_NAT_TCP, 8080, 80, 1);
	struct lab *lab = lab_of(state);
	struct frame f;

	publish(lab, RED_IP, web);
	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = RED_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_TCP, .sport = 1, .dport = 8080, .tcp_flags = FRAME_SYN);
	EXPECT_PORT_IN(lab, BLUE, &f, DROPPED(SPOOFED_ADDRESS));
	FRAME(&f, .to = mac_br1, .from = mac_blue, .source = UPLINK_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_TCP, .sport = 1, .dport = 8080, .tcp_flags = FRAME_SYN);
	EXPECT_PORT_IN(lab, BLUE, &f, DROPPED(SPOOFED_ADDRESS));
	assert_int_equal(lab_active_sessions(lab), 0);
	unpublish_all(lab, web);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_lets_in),
		LAB_TEST(test_range),
		LAB_TEST(test_limit),
		LAB_TEST(test_fragments),
		LAB_TEST(test_own_port),
		LAB_TEST(test_takes_over),
		LAB_TEST(test_given_back),
		LAB_TEST(test_done_again),
		LAB_TEST(test_pools_made_anew),
		LAB_TEST(test_host_listens),
		LAB_TEST(test_host_client),
		LAB_TEST(test_hairpin),
		LAB_TEST(test_hairpin_isolated),
		LAB_TEST(test_hairpin_filter),
		LAB_TEST(test_hairpin_to_the_host),
		LAB_TEST(test_hairpin_too_large),
		LAB_TEST(test_hairpin_fragments),
		LAB_TEST(test_hairpin_forged),
	};

	return LAB_MAIN(tests);
}
