/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "paths.h"

#include <netinet/in.h>

#include "lab.h"

static void switched(struct frame *f, uint16_t port)
{
	(void)port;
	FRAME(f, .to = mac_blue, .from = mac_red, .source = RED_IP, .dest = BLUE_IP, .sport = 1,
	      .dport = 2, .payload = 64);
}

static void routed4(struct frame *f, uint16_t port)
{
	(void)port;
	FRAME(f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = GREEN_IP, .sport = 1,
	      .dport = 2, .payload = 64);
}

static void routed6(struct frame *f, uint16_t port)
{
	(void)port;
	FRAME(f, .to = mac_br1, .from = mac_red, .source = RED_IP6, .dest = GREEN_IP6, .sport = 1,
	      .dport = 2, .payload = 64);
}

static void delivered(struct frame *f, uint16_t port)
{
	(void)port;
	FRAME(f, .to = mac_green, .from = mac_br2, .source = RED_IP, .dest = GREEN_IP, .sport = 1,
	      .dport = 2, .payload = 64);
}

static void last_hop(struct frame *f, uint16_t port)
{
	(void)port;
	FRAME(f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = GREEN_IP, .sport = 1,
	      .dport = 2, .ttl = 1);
}

static void arp(struct frame *f, uint16_t port)
{
	static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	(void)port;
	frame_arp(f, all, mac_red, mac_red, RED_IP, GATEWAY_IP);
}

static void spoofed(struct frame *f, uint16_t port)
{
	(void)port;
	FRAME(f, .to = mac_blue, .from = mac_red, .source = GREEN_IP, .dest = BLUE_IP, .sport = 1,
	      .dport = 2);
}

static void to_remote(struct frame *f, uint16_t port)
{
	(void)port;
	FRAME(f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_TCP, .tcp_flags = FRAME_ACK, .sport = 40000, .dport = 80,
	      .payload = 64);
}

static void opening(struct frame *f, uint16_t port)
{
	(void)port;
	FRAME(f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_TCP, .tcp_flags = FRAME_SYN, .sport = 40000, .dport = 80);
}

static void untranslated(struct frame *f, uint16_t port)
{
	(void)port;
	FRAME(f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_TCP, .tcp_flags = FRAME_ACK, .sport = 40000, .dport = 80,
	      .payload = 64);
}

static void translated(struct frame *f, uint16_t port)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_TCP, .tcp_flags = FRAME_ACK, .sport = port, .dport = 80,
	      .payload = 64);
}

static void reply(struct frame *f, uint16_t port)
{
	FRAME(f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_TCP, .tcp_flags = FRAME_ACK, .sport = 80, .dport = port,
	      .payload = 64);
}

/* As a namespace sends it: the checksum is to be finished by a device, and has addresses, protocol
 * and length only. What arrives from a device has all of it. */
static void leave_unfinished(struct frame *f)
{
	uint16_t *udp = frame_transport(f);
	uint32_t sum = frame_ip4(f)->saddr, dest = frame_ip4(f)->daddr;

	sum = (sum >> 16) + (sum & 0xffff) + (dest >> 16) + (dest & 0xffff) + htons(IPPROTO_UDP) +
	      udp[2];
	sum = (sum >> 16) + (sum & 0xffff);
	udp[3] = (uint16_t)((sum >> 16) + sum);
}

static void udp_to_remote(struct frame *f, uint16_t port)
{
	(void)port;
	FRAME(f, .to = mac_br1, .from = mac_red, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = 40000, .dport = 4433, .payload = 64);
	leave_unfinished(f);
}

static void udp_opening(struct frame *f, uint16_t port)
{
	(void)port;
	FRAME(f, .to = mac_router, .from = mac_up0, .source = RED_IP, .dest = REMOTE_IP,
	      .sport = 40000, .dport = 4433, .payload = 64);
	leave_unfinished(f);
}

static void udp_translated(struct frame *f, uint16_t port)
{
	FRAME(f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE_IP,
	      .sport = port, .dport = 4433, .payload = 64);
}

static void udp_reply(struct frame *f, uint16_t port)
{
	FRAME(f, .to = mac_up0, .from = mac_router, .source = REMOTE_IP, .dest = UPLINK_IP,
	      .sport = 4433, .dport = port, .payload = 64);
}

static void leak(struct frame *f, uint16_t port)
{
	(void)port;
	FRAME(f, .to = mac_router, .from = mac_up0, .source = PLAIN_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_AH);
	frame_ip4(f)->saddr = address4(RED_IP);
	frame_seal(f);
}

static void from_host(struct frame *f, uint16_t port)
{
	(void)port;
	FRAME(f, .to = mac_router, .from = mac_up0, .source = UPLINK_IP, .dest = REMOTE2_IP,
	      .protocol = IPPROTO_TCP, .tcp_flags = FRAME_ACK, .sport = 22, .dport = 80);
}

static void to_host(struct frame *f, uint16_t port)
{
	(void)port;
	FRAME(f, .to = mac_up0, .from = mac_router, .source = REMOTE2_IP, .dest = UPLINK_IP,
	      .protocol = IPPROTO_TCP, .tcp_flags = FRAME_ACK, .sport = 80, .dport = 22);
}

/* Of a network without masquerade, where anything is published: to none of the uplinks' addresses.
 */
static void guest_to_remote(struct frame *f, uint16_t port)
{
	(void)port;
	FRAME(f, .to = mac_br2, .from = mac_green, .source = GREEN_IP, .dest = REMOTE_IP,
	      .protocol = IPPROTO_TCP, .tcp_flags = FRAME_ACK, .sport = 40000, .dport = 80,
	      .payload = 64);
}

static void guest_to_remote6(struct frame *f, uint16_t port)
{
	(void)port;
	FRAME(f, .to = mac_br2, .from = mac_green, .source = GREEN_IP6, .dest = REMOTE_IP6,
	      .protocol = IPPROTO_TCP, .tcp_flags = FRAME_ACK, .sport = 40000, .dport = 80,
	      .payload = 64);
}

const struct path paths[] = {
	{"switched", "nsr_port_in", PATH_RED, false, switched, 120, 2},
	{"routed-ipv4", "nsr_port_in", PATH_RED, false, routed4, 120, 2},
	{"routed-ipv6", "nsr_port_in", PATH_RED, false, routed6, 120, 2},
	{"delivered-by-kernel", "nsr_port_out", PATH_GREEN, false, delivered, 0, 0},
	{"slow-ttl", "nsr_port_in", PATH_RED, false, last_hop, 0, 0},
	{"slow-arp", "nsr_port_in", PATH_RED, false, arp, 0, 0},
	{"dropped-spoofed", "nsr_port_in", PATH_RED, false, spoofed, 0, 0},
	{"masqueraded-first", "nsr_port_in", PATH_RED, false, to_remote, 0, 0},
	{"new-flow", "nsr_uplink_out", PATH_UPLINK, true, opening, 0, 0},
	{"masqueraded-at-uplink", "nsr_uplink_out", PATH_UPLINK, true, untranslated, 0, 0},
	{"masqueraded-asks-fib", "nsr_port_in", PATH_RED, false, to_remote, 0, 0},
	{"masqueraded-out", "nsr_port_in", PATH_RED, false, to_remote, 0, 0},
	{"masqueraded-out-uplink", "nsr_uplink_out", PATH_UPLINK, true, translated, 0, 0},
	{"masqueraded-first-in", "nsr_uplink_in", PATH_UPLINK, false, reply, 0, 0},
	{"masqueraded-in", "nsr_uplink_in", PATH_UPLINK, false, reply, 0, 0},
	{"leak-dropped", "nsr_uplink_out", PATH_UPLINK, true, leak, 0, 0},
	{"uplink-pass-out", "nsr_uplink_out", PATH_UPLINK, false, from_host, 0, 0},
	{"uplink-pass-in", "nsr_uplink_in", PATH_UPLINK, false, to_host, 0, 0},
	{"new-flow-udp", "nsr_uplink_out", PATH_UPLINK, true, udp_opening, 0, 0},
	{NULL, "nsr_port_in", PATH_RED, false, udp_to_remote, 0, 0}, /* asks the FIB */
	{"masqueraded-udp-out", "nsr_port_in", PATH_RED, false, udp_to_remote, 0, 0},
	{"masqueraded-udp-out-uplink", "nsr_uplink_out", PATH_UPLINK, true, udp_translated, 0, 0},
	{NULL, "nsr_uplink_in", PATH_UPLINK, false, udp_reply, 0, 0}, /* the first of the flow */
	{"masqueraded-udp-in", "nsr_uplink_in", PATH_UPLINK, false, udp_reply, 0, 0},
	{"guest-of-nobody", "nsr_guest", PATH_GREEN, false, guest_to_remote, 0, 0},
	{"guest-of-nobody-ipv6", "nsr_guest6", PATH_GREEN, false, guest_to_remote6, 0, 0},
};
const unsigned int paths_count = sizeof(paths) / sizeof(*paths);

bool path_opens(const struct path *path)
{
	return path->build == opening || path->build == udp_opening;
}
