/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "portless.h"

#include <netinet/in.h>
#include <string.h>

#include "datapath_maps.h"

#define SCTP_HEADER 12 /* bytes before the first chunk, which begins with its type */

static const struct portless_family
	ipv4 = {.red = RED_IP,
		.blue = BLUE_IP,
		.third = GREEN_IP,
		.external = UPLINK_IP,
		.external2 = UPLINK2_IP,
		.remote = REMOTE_IP,
		.remote2 = REMOTE2_IP,
		.router = "198.51.100.77",
		.gateway = GATEWAY_IP,
		.hosts_other = "10.9.0.1",
		.prefix = "192.168.15.0/24",
		.nobody = {"224.0.0.5", "239.1.2.3", "255.255.255.255"},
		/* The last is any private encryption scheme, RFC 1700. */
		.protocols = {IPPROTO_SCTP, IPPROTO_GRE, IPPROTO_ESP, IPPROTO_IPIP, 99},
		.refused = {IPPROTO_AH, IPPROTO_DCCP, IPPROTO_UDPLITE, 139},
		.icmp = IPPROTO_ICMP,
		.errors = {{FRAME_UNREACHABLE, 2, 0},
			   {FRAME_UNREACHABLE, 4, 1280},
			   {FRAME_TIME_EXCEEDED, 0, 0},
			   {FRAME_PARAMETER, 0, 0}},
		.refusals = {{FRAME_UNREACHABLE, 2, 0}, {FRAME_UNREACHABLE, 3, 0}},
		.session_bits = MAP_session_bits,
		.session_by_flow = MAP_session_by_flow,
		.host_remotes = MAP_host_remotes,
		.host_hears = MAP_host_hears},
	ipv6 = {.red = RED_IP6,
		.blue = BLUE_IP6,
		.third = "fd00:15::13",
		.external = UPLINK_IP6,
		.remote = REMOTE_IP6,
		.remote2 = REMOTE2_IP6,
		.router = "2001:db8:9::1",
		.gateway = "fd00:15::1",
		.hosts_other = "2001:db8:1::77",
		.prefix = "fd00:15::/64",
		.nobody = {"ff02::5", "ff0e::1:2", "fe80::1"},
		.protocols = {IPPROTO_SCTP, IPPROTO_GRE, IPPROTO_ESP, IPPROTO_IPV6, IPPROTO_IPIP},
		/* PIM and OSPF have the addresses in their checksums; the next are extension
		 * headers, or nothing at all; the last two may be anything. */
		.refused = {IPPROTO_AH, IPPROTO_DCCP, IPPROTO_UDPLITE, 103, 89, 135, 139, 140, 59,
			    99, 200},
		.icmp = FRAME_ICMPV6,
		.errors = {{FRAME6_UNREACHABLE, 4, 0},
			   {FRAME6_TOO_BIG, 0, 1280},
			   {FRAME6_TIME_EXCEEDED, 0, 0},
			   {FRAME6_PARAMETER, 0, 0}},
		.refusals = {{FRAME6_UNREACHABLE, 4, 0}, {FRAME6_PARAMETER, 1, 0}},
		.session_bits = MAP_session_bits6,
		.session_by_flow = MAP_session_by_flow6,
		.host_remotes = MAP_host_remotes6,
		.host_hears = MAP_host_hears6};

const struct portless_family *family = &ipv4;

int portless_set_up4(void **state)
{
	family = &ipv4;
	return lab_set_up(state);
}

int portless_set_up6(void **state)
{
	family = &ipv6;
	return lab_set_up(state);
}

struct nsr_nat_counters portless_nat(struct lab *lab, enum lab_uplink which)
{
	return family == &ipv6 ? lab_nat6(lab, which) : lab_nat(lab, which);
}

void portless_expect_sessions(struct lab *lab, uint32_t sessions)
{
	uint64_t live = 0;

	for (uint32_t i = 0; i < LAB_UPLINKS; i++)
		live += portless_nat(lab, i).sessions_created[NSR_NAT_OTHER] -
			portless_nat(lab, i).sessions_expired[NSR_NAT_OTHER];
	assert_int_equal(live, sessions);
	assert_int_equal(lab_entries(lab, family->session_by_flow), sessions);
	assert_int_equal(lab_active_sessions(lab), family == &ipv6 ? 0 : sessions);
	assert_int_equal(lab_session_bits(lab), family == &ipv6 ? 0 : sessions);
}

void portless_leaves(struct frame *f, const char *source, const char *remote, uint8_t protocol)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = source, .dest = remote,
	      .protocol = protocol, .sport = 4321, .dport = 80, .payload = 60);
}

void portless_arrives(struct frame *f, const char *remote, uint8_t protocol)
{
	FRAME(f, .to = mac_up0, .from = mac_router, .source = remote, .dest = family->external,
	      .protocol = protocol, .sport = 80, .dport = 4321, .payload = 44);
}

void portless_set_chunk(struct frame *f, uint8_t type)
{
	((uint8_t *)frame_transport(f))[SCTP_HEADER] = type;
}

/* As red gets it. */
static void delivered(struct frame *f, const char *remote, uint8_t protocol)
{
	FRAME(f, .to = mac_red, .from = mac_br1, .source = remote, .dest = family->red,
	      .protocol = protocol, .sport = 80, .dport = 4321, .payload = 44, .ttl = 63);
}

void portless_expect_out(struct lab *lab, const char *source, const char *remote, uint8_t protocol)
{
	struct frame f, wanted;
	struct run *run;

	portless_leaves(&f, source, remote, protocol);
	portless_leaves(&wanted, family->external, remote, protocol);
	run = EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
}

void portless_expect_refused(struct lab *lab, const char *source, const char *remote,
			     uint8_t protocol, int outcome)
{
	struct frame f;

	portless_leaves(&f, source, remote, protocol);
	EXPECT_OUT(lab, UP0, &f, outcome);
}

void portless_expect_in(struct lab *lab, const char *remote, uint8_t protocol)
{
	struct frame f, wanted;
	struct run *run;

	portless_arrives(&f, remote, protocol);
	delivered(&wanted, remote, protocol);
	run = EXPECT_IN(lab, UP0, &f, TRANSLATED_TO_PEER);
	assert_int_equal(run->delivered, RED);
	assert_memory_equal(run->out.bytes, wanted.bytes, wanted.length);
}

void portless_expect_passed(struct lab *lab, const char *remote, uint8_t protocol)
{
	struct frame f;

	portless_arrives(&f, remote, protocol);
	EXPECT_IN(lab, UP0, &f, PASSED);
}

void portless_host_sends(struct lab *lab, const char *remote, uint8_t protocol)
{
	struct frame f;

	portless_leaves(&f, family->external, remote, protocol);
	EXPECT_OUT(lab, UP0, &f, PASSED);
}
