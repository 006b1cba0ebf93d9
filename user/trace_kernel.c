/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: what is left to the kernel is bridged or routed by it. Its tables are asked the way
 * that it asks them (route_ask.h); what it does besides, for TTL and size, is the work of any
 * router. Then the packet meets a hook again, at the uplink or at the port that it leaves by.
 * Netfilter and other people's programs are not asked: "nsroute doctor" tells of them.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "dissect.h"
#include "neighbour.h"
#include "plan_uplink.h"
#include "probe.h"
#include "route_ask.h"
#include "sysctl.h"
#include "trace_walk.h"

#define WHERE "kernel"

static uint32_t size_of(const struct walk *walk)
{
	return walk->packet.length - ETH_HLEN;
}

static bool is_bridge(const struct walk *walk, uint32_t ifindex)
{
	const struct state_link *link = walk_link(walk, ifindex);

	return link && strcmp(link->kind, "bridge") == 0;
}

/* To the host by a bridge, or by a port where there is none: another network may be masqueraded to
 * that, and then its hook comes first. */
static int into_host(struct walk *walk, uint32_t ifindex)
{
	struct nsr_uplink uplink;

	return datapath_find_uplink(walk->datapath, ifindex, &uplink)
		       ? walk_uplink_in(walk, ifindex)
		       : walk_kernel_route(walk, ifindex);
}

/* ---- Bridged. */

static int through_bridge(struct walk *walk, uint32_t bridge, const uint8_t mac[6],
			  uint32_t came_in)
{
	char name[TRACE_NAME_MAX], port[TRACE_NAME_MAX], text[MAC_TEXT_MAX];
	const struct state_link *link;
	uint32_t ifindex;
	bool own;
	int ret = bridge_ask(walk->nl, bridge, mac, &ifindex, &own, walk->err);

	if (ret)
		return ret;
	walk_name(walk, bridge, name);
	mac_format(mac, text);
	if (own)
		return into_host(walk, bridge);
	if (!ifindex) {
		walk_say(walk, WHERE, "fdb", "bridge %s does not know %s", name, text);
		walk_answer(walk, "kernel", 0, "slow", NULL,
			    "left to the kernel: bridge %s sends it to all of its ports", name);
		return 0;
	}
	walk_say(walk, WHERE, "fdb", "bridge %s has %s at %s", name, text,
		 walk_name(walk, ifindex, port));
	link = walk_link(walk, ifindex);
	if (ifindex == came_in || (link && size_of(walk) > link->mtu)) {
		walk_answer(walk, "lost", 0, "slow", NULL, "the bridge drops it: %s",
			    ifindex == came_in ? "it came from there"
					       : "it is larger than the MTU there");
		return 0;
	}
	return walk_port_out(walk, ifindex, came_in);
}

int walk_kernel_frame(struct walk *walk, uint32_t port_ifindex)
{
	const uint8_t *to = walk->packet.bytes;
	const struct state_link *link = walk_link(walk, port_ifindex);
	struct nsr_port port = {0};
	char name[TRACE_NAME_MAX];

	datapath_find_port(walk->datapath, port_ifindex, &port);
	if (to[0] & 1) {
		walk_answer(
			walk, "kernel", 0, "slow", NULL,
			"left to the kernel, which gives a frame to many to all of the network");
		return 0;
	}
	if (port.gateway_ifindex && (memcmp(to, port.gateway_mac, ETH_ALEN) == 0 ||
				     (link && memcmp(to, link->mac, ETH_ALEN) == 0)))
		return into_host(walk, port.gateway_ifindex);
	if (link && is_bridge(walk, link->master))
		return through_bridge(walk, link->master, to, port_ifindex);
	if (link && link->master) {
		walk_answer(walk, "kernel", 0, "slow", NULL,
			    "left to %s, whose tables are not asked",
			    walk_name(walk, link->master, name));
		return 0;
	}
	walk_answer(walk, "lost", 0, "slow", NULL,
		    "the kernel drops it: its destination MAC is nobody's there");
	return 0;
}

/* ---- Routed. */

static void put_question(const struct walk *walk, uint32_t came_in, struct route_question *ret)
{
	struct dissection packet;

	dissect(walk->packet.bytes, walk->packet.length, walk->packet.length, &packet);
	*ret = (struct route_question){
		.to = packet.destination,
		.from = packet.source,
		.came_in = came_in,
		.protocol = (uint8_t)packet.protocol,
		.source_port = packet.source_port,
		.destination_port = packet.destination_port,
	};
}

static int refused(struct walk *walk, const struct route_question *question, int code)
{
	char to[IP_TEXT_MAX];

	ip_format(&question->to, to);
	walk_say(walk, WHERE, "route", "no way to %s: %s", to, strerror(-code));
	walk_answer(walk, "refused", 0, "slow", NULL, "the kernel does not forward it to %s: %s",
		    to, strerror(-code));
	return 0;
}

/* The MAC of the next hop. */
static int find_mac(struct walk *walk, uint32_t ifindex, const struct ip_address *hop,
		    const uint8_t **ret_mac)
{
	struct state_neighbour asked = {.ifindex = ifindex, .ip = *hop}, *found = NULL;
	char name[TRACE_NAME_MAX], text[IP_TEXT_MAX], mac[MAC_TEXT_MAX];
	const struct state_link *link = walk_link(walk, ifindex);
	size_t count = 0;
	int ret;

	ip_format(hop, text);
	walk_name(walk, ifindex, name);
	*ret_mac = NULL;
	walk->unknown_mac = false;
	if (link && plan_link_is_bare(link)) {
		walk_say(walk, WHERE, "neighbour", "%s is a layer-3 device: no MAC is needed",
			 name);
		return 0;
	}
	ret = neighbour_find(walk->nl, walk->arena, &asked, 1, &found, &count, walk->err);
	if (ret)
		return ret;
	*ret_mac = count ? found[0].mac : NULL;
	walk->unknown_mac = !count;
	if (count)
		walk_say(walk, WHERE, "neighbour", "next hop %s at %s is %s", text, name,
			 mac_format(found[0].mac, mac));
	else
		walk_say(walk, WHERE, "neighbour",
			 "the MAC of next hop %s at %s is to be asked for first", text, name);
	return 0;
}

/* Into a fabric, by a bridge or a port of it, or by an interface that is none of ours. */
static int into_fabric(struct walk *walk, uint32_t ifindex, uint32_t came_in,
		       const struct ip_address *hop)
{
	char name[TRACE_NAME_MAX], text[IP_TEXT_MAX];
	struct nsr_port port;
	const uint8_t *mac;
	int ret;

	if (datapath_find_port(walk->datapath, ifindex, &port))
		return walk_port_out(walk, ifindex, came_in);
	ret = find_mac(walk, ifindex, hop, &mac);
	if (ret)
		return ret;
	if (mac && is_bridge(walk, ifindex))
		return through_bridge(walk, ifindex, mac, came_in);
	if (is_bridge(walk, ifindex)) {
		walk_answer(walk, "unresolved", 0, "slow", NULL,
			    "nobody is known to have %s: the host asks for its MAC by %s first",
			    ip_format(hop, text), walk_name(walk, ifindex, name));
		return 0;
	}
	walk_answer(walk, "sent", ifindex, "slow", NULL,
		    "sent by %s, which is no uplink, by the kernel",
		    walk_name(walk, ifindex, name));
	return 0;
}

static bool is_link_local(const struct ip_address *ip)
{
	return ip->family == AF_INET6 && ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80;
}

/* Whether the host answers in place of forwarding it. */
static bool is_answered(struct walk *walk, const struct route_question *question, uint32_t ifindex)
{
	const struct state_link *link = walk_link(walk, ifindex);
	char name[TRACE_NAME_MAX];

	if (probe_ttl(walk->packet.bytes) <= 1) {
		walk_answer(walk, "answered", 0, "slow", NULL,
			    "left to the kernel: its TTL is %u, and the host answers with \"time "
			    "exceeded\"",
			    probe_ttl(walk->packet.bytes));
		return true;
	}
	if (is_link_local(&question->from)) { /* net/ipv6/ip6_output.c, ip6_forward() */
		walk_answer(walk, "answered", 0, "slow", NULL,
			    "left to the kernel: its source is of one link only, and the host "
			    "answers with \"beyond scope of source address\"");
		return true;
	}
	if (!link || size_of(walk) <= link->mtu)
		return false;
	walk_answer(walk, "answered", 0, "slow", NULL,
		    "left to the kernel: larger than the MTU of %s (%" PRIu32
		    "), and the host answers with \"too big\"",
		    walk_name(walk, ifindex, name), link->mtu);
	return true;
}

/* Of IPv6, which RTM_GETROUTE does not ask for: one sysctl for all, and since Linux 6.17 one of
 * each interface that goes before it. */
static int find_forwarding6(struct walk *walk, uint32_t came_in, bool *ret)
{
	const struct state_link *link = walk_link(walk, came_in);
	const char *all, *one = NULL;
	int code = sysctl_read(walk->host_fd, "net/ipv6/conf/all/forwarding", walk->arena, &all,
			       walk->err);

	if (!code && link)
		code = sysctl_read(
			walk->host_fd,
			arena_printf(walk->arena, "net/ipv6/conf/%s/force_forwarding", link->name),
			walk->arena, &one, walk->err);
	*ret = (all && strcmp(all, "0") != 0) || (one && strcmp(one, "0") != 0);
	return code;
}

/* Whether the kernel forwards at all what comes in there. */
static int find_forwarding(struct walk *walk, const struct route_question *question, bool *ret)
{
	int code = 0;

	*ret = true;
	if (question->to.family == AF_INET6)
		code = find_forwarding6(walk, question->came_in, ret);
	if (!code && !*ret)
		walk_answer(walk, "lost", 0, "slow", NULL,
			    "the kernel drops it: net.ipv6.conf.all.forwarding is 0");
	return code;
}

static int forward(struct walk *walk, const struct route_question *question,
		   const struct route_answer *route)
{
	const struct ip_address *hop = route->via.family ? &route->via : &question->to;
	char name[TRACE_NAME_MAX], text[IP_TEXT_MAX];
	struct nsr_uplink uplink;
	const uint8_t *mac;
	bool forwards;
	int ret;

	walk_say(walk, WHERE, "route", "forwarded by %s, next hop %s",
		 walk_name(walk, route->ifindex, name), ip_format(hop, text));
	ret = find_forwarding(walk, question, &forwards);
	if (ret || !forwards || is_answered(walk, question, route->ifindex))
		return ret;
	probe_hop(walk->packet.bytes);
	if (!datapath_find_uplink(walk->datapath, route->ifindex, &uplink))
		return into_fabric(walk, route->ifindex, question->came_in, hop);
	if (!datapath_leads_inside(walk->datapath, route->ifindex))
		ret = find_mac(walk, route->ifindex, hop, &mac);
	return ret ? ret : walk_uplink_out(walk, route->ifindex, question->came_in, false);
}

int walk_kernel_route(struct walk *walk, uint32_t came_in)
{
	struct route_question question;
	struct route_answer route;
	int ret;

	put_question(walk, came_in, &question);
	ret = route_ask(walk->nl, &question, &route, walk->err);
	if (ret)
		return ret;
	if (route.refused)
		return refused(walk, &question, route.refused);
	if (route.type == RTN_UNICAST)
		return forward(walk, &question, &route);
	if (route.type == RTN_LOCAL) {
		walk_say(walk, WHERE, "route", "its destination is the host's own");
		walk_answer(walk, "host", 0, "slow", NULL, "the host itself gets it");
		return 0;
	}
	walk_answer(walk, "kernel", 0, "slow", NULL,
		    "left to the kernel: its destination is one of many");
	return 0;
}

int walk_inner(struct walk *walk, uint32_t bridge, uint32_t came_in)
{
	struct route_question question;
	struct route_answer route;
	int ret;

	put_question(walk, 0, &question); /* its source is the host's now */
	question.ifindex = bridge;
	ret = route_ask(walk->nl, &question, &route, walk->err);
	if (ret)
		return ret;
	if (route.refused)
		return refused(walk, &question, route.refused);
	return into_fabric(walk, bridge, came_in, route.via.family ? &route.via : &question.to);
}
