/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every drop reason has a packet here that is dropped for it, or says why it cannot have one.
 *
 * One packet is enough: what else falls under a reason is in the tests of its program. A reason
 * that is new fails here until it has its packet.
 */
#include "lab.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath_maps.h"

/* From red to the uplink's hook. */
static void leaving(struct frame *f, uint8_t protocol)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = protocol, .sport = 3000, .dport = 80, .icmp_type = FRAME_ECHO_REQUEST,
	      .payload = 8);
}

static void malformed(struct lab *lab)
{
	struct frame f;

	leaving(&f, IPPROTO_UDP);
	frame_ip4(&f)->version = 5;
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(MALFORMED));
}

static void vlan_tag(struct lab *lab)
{
	struct frame f;

	leaving(&f, IPPROTO_UDP);
	frame_eth(&f)->h_proto = htons(ETH_P_8021Q);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(VLAN_TAG));
}

static void spoofed_mac(struct lab *lab)
{
	struct frame f;

	leaving(&f, IPPROTO_UDP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_MAC));
}

static void spoofed_address(struct lab *lab)
{
	struct frame f;

	FRAME(&f, .to = mac_br1, .from = mac_red, .source = BLUE_IP, .dest = REMOTE_IP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_ADDRESS));
}

static void wrong_uplink(struct lab *lab)
{
	struct frame f;

	leaving(&f, IPPROTO_UDP);
	EXPECT_OUT(lab, UP1, &f, DROPPED(WRONG_UPLINK));
}

/* A source that red may send from, but that its network's masquerade does not cover. */
static void not_inside(struct lab *lab)
{
	struct nsr_port red = lab_port(lab, RED);
	struct ip_address prefix = lab_ip("172.16.4.0/22");
	struct frame f;

	red.flags |= NSR_PORT_MORE_SOURCES;
	lab_port_set(lab, RED, &red);
	assert_int_equal(datapath_source_set(lab->datapath, lab->port[RED], &prefix, &lab->err), 0);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = "172.16.4.1", .dest = REMOTE_IP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(NOT_INSIDE));
}

static void inbound(struct lab *lab)
{
	struct frame f;

	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = RED_IP);
	EXPECT_IN(lab, UP0, &f, DROPPED(INBOUND));
}

static void nat_protocol(struct lab *lab)
{
	struct frame f;

	leaving(&f, IPPROTO_AH);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_PROTOCOL));
}

static void nat_ambiguous(struct lab *lab)
{
	struct frame f;

	leaving(&f, IPPROTO_GRE);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	frame_ip4(&f)->saddr = address4(BLUE_IP);
	frame_seal(&f);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_AMBIGUOUS));
}

static void nat_icmp_error(struct lab *lab)
{
	struct frame f, caused;

	leaving(&caused, IPPROTO_UDP);
	FRAME(&f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_ICMP, .icmp_type = FRAME_UNREACHABLE, .quoted = &caused);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_ICMP_ERROR));
}

static void nat_ports(struct lab *lab)
{
	struct frame f;

	lab_uplink_set(lab, UP0, UPLINK_IP, 40000, 40000);
	leaving(&f, IPPROTO_UDP);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	frame_ip4(&f)->saddr = address4(BLUE_IP);
	frame_seal(&f);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_PORTS));
}

static void nat_sessions(struct lab *lab)
{
	struct nsr_session_bits *full = malloc(sizeof(*full));
	uint32_t zero = 0;
	struct frame f;

	memset(full, 0xff, sizeof(*full));
	assert_int_equal(
		bpf_map_update_elem(lab->datapath->maps[MAP_session_bits], &zero, full, BPF_ANY),
		0);
	free(full);
	leaving(&f, IPPROTO_UDP);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_SESSIONS));
}

/* An entry that never becomes a mapping, as of a CPU that is stopped in the middle. */
static void nat_contention(struct lab *lab)
{
	struct nsr_inside_endpoint inside = {
		.address = address4(RED_IP), .port = htons(3000), .protocol = NSR_NAT_UDP};
	struct nsr_mapping_ref ref = {0};
	struct frame f;

	inside.uplink = (uint8_t)lab->uplink_number[UP0];
	assert_int_equal(bpf_map_update_elem(lab->datapath->maps[MAP_mapping_by_inside], &inside,
					     &ref, BPF_ANY),
			 0);
	leaving(&f, IPPROTO_UDP);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_CONTENTION));
}

static void nat_state(struct lab *lab)
{
	struct frame f;

	FRAME(&f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_TCP, .sport = 3000, .dport = 80, .tcp_flags = FRAME_RST);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_STATE));
}

static void nat_filtered(struct lab *lab)
{
	struct frame f;

	leaving(&f, IPPROTO_UDP);
	EXPECT_OUT(lab, UP0, &f, TRANSLATED);
	FRAME(&f, .to = mac_up0, .from = mac_router, .source = REMOTE2_IP, .dest = UPLINK_IP,
	      .sport = 80, .dport = 3000);
	EXPECT_IN(lab, UP0, &f, DROPPED(NAT_FILTERED));
}

static void nat_limit(struct lab *lab)
{
	struct nsr_inside settings = NSR_INSIDE_DEFAULT;
	struct frame f;

	settings.flows_max = 0;
	lab_inside_set(lab, "192.168.15.0/24", UP0, &settings);
	leaving(&f, IPPROTO_UDP);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_LIMIT));
}

static void isolated(struct lab *lab)
{
	struct nsr_endpoint green = lab_endpoint(lab, GREEN);
	struct frame f;

	green.flags |= NSR_PORT_ISOLATED;
	lab_host_set(lab, GREEN_IP, &green);
	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = GREEN_IP);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(ISOLATED));
}

/* A router advertisement. */
static void spoofed_neighbour(struct lab *lab)
{
	struct frame f;

	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP6, .dest = "ff02::1",
	      .protocol = FRAME_ICMPV6, .icmp_type = 134, .payload = 8);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(SPOOFED_NEIGHBOUR));
}

/* A loose source route to nowhere. */
static void ip_options(struct lab *lab)
{
	struct frame f;

	FRAME(&f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = GATEWAY_IP,
	      .ip_options = 4);
	memcpy(frame_ip4(&f) + 1, (const uint8_t[]){131, 3, 4}, 3);
	frame_seal(&f);
	EXPECT_PORT_IN(lab, RED, &f, DROPPED(IP_OPTIONS));
}

static void nat_socket(struct lab *lab)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr.s_addr = address4(UPLINK_IP),
				 .sin_port = htons(40000)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct frame f;

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	lab_uplink_set(lab, UP0, UPLINK_IP, 40000, 40000);
	leaving(&f, IPPROTO_UDP);
	EXPECT_OUT(lab, UP0, &f, REFUSED(NAT_SOCKET));
	close(fd);
}

static void nat_closed(struct lab *lab)
{
	struct frame f;

	lab_uplink_set(lab, UP0, NULL, LAB_PORT_MIN, LAB_PORT_MAX);
	leaving(&f, IPPROTO_UDP);
	EXPECT_OUT(lab, UP0, &f, DROPPED(NAT_CLOSED));
}

/* For each reason either, never both. */
static const struct {
	void (*provoke)(struct lab *lab);
	const char *why_not;
} reasons[NSR_DROP_REASONS_END] = {
	[NSR_DROP_MALFORMED] = {malformed, NULL},
	[NSR_DROP_VLAN_TAG] = {vlan_tag, NULL},
	[NSR_DROP_SPOOFED_MAC] = {spoofed_mac, NULL},
	[NSR_DROP_SPOOFED_ADDRESS] = {spoofed_address, NULL},
	[NSR_DROP_WRONG_UPLINK] = {wrong_uplink, NULL},
	[NSR_DROP_NOT_INSIDE] = {not_inside, NULL},
	[NSR_DROP_INBOUND] = {inbound, NULL},
	[NSR_DROP_NAT_PROTOCOL] = {nat_protocol, NULL},
	[NSR_DROP_NAT_ICMP_ERROR] = {nat_icmp_error, NULL},
	[NSR_DROP_NAT_STATE] = {nat_state, NULL},
	[NSR_DROP_NAT_PORTS] = {nat_ports, NULL},
	[NSR_DROP_NAT_SESSIONS] = {nat_sessions, NULL},
	[NSR_DROP_NAT_CONTENTION] = {nat_contention, NULL},
	[NSR_DROP_NAT_FILTERED] = {nat_filtered, NULL},
	[NSR_DROP_NAT_LIMIT] = {nat_limit, NULL},
	[NSR_DROP_ISOLATED] = {isolated, NULL},
	[NSR_DROP_SPOOFED_NEIGHBOUR] = {spoofed_neighbour, NULL},
	[NSR_DROP_IP_OPTIONS] = {ip_options, NULL},
	[NSR_DROP_NAT_SOCKET] = {nat_socket, NULL},
	[NSR_DROP_NAT_CLOSED] = {nat_closed, NULL},
	[NSR_DROP_NAT_AMBIGUOUS] = {nat_ambiguous, NULL},
	[NSR_DROP_NAT_FRAGMENT] = {NULL, "some of it has to be held, or cannot be: test_fragment"},
	[NSR_DROP_NAT_HAIRPIN] = {NULL, "takes a published port: test_publish"},
	[NSR_DROP_NAT_REWRITE] = {NULL, "the kernel fails only without memory for a copy"},
};

static void test_every_reason(void **state)
{
	struct lab *lab = lab_of(state);
	int reason;

	for (reason = NSR_DROP_NONE + 1; reason < NSR_DROP_REASONS_END; reason++) {
		if (!reasons[reason].provoke == !reasons[reason].why_not)
			fail_msg("reason %d has no packet", reason);
		if (!reasons[reason].provoke)
			continue;
		assert_int_equal(lab_set_up(state), 0);
		reasons[reason].provoke(lab);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LAB_TEST(test_every_reason),
	};

	return LAB_MAIN(tests);
}
