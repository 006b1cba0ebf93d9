/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the packet is built as the namespace, or somebody outside, would send it: the
 * namespace's own tables say by which interface, from which address and to which MAC. Then it goes
 * from stage to stage (trace_walk.h), each of which is a hook's steps, told and without effect, or
 * what the kernel's tables say; the packet of a stage is what the one before made of it. There is
 * no way round: a packet meets at most a port's hook, the kernel, and the hook that it leaves by;
 * where a network is masqueraded to another one, that one's bridge and a port of it besides.
 */
#include "trace.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dissect.h"
#include "link.h"
#include "neighbour.h"
#include "netns.h"
#include "output.h"
#include "output_drops.h"
#include "output_model.h"
#include "plan_uplink.h"
#include "probe.h"
#include "qdisc.h"
#include "route_ask.h"
#include "trace_walk.h"

#define SIZE_USUAL 84 /* of what ping sends */
#define WHERE      "namespace"

/* The MAC of somebody outside whom the host does not know. */
static const uint8_t stranger[6] = {2, 0, 0, 0, 0, 1};

/* ---- Stages. */

/* Whether our program is at the hook. */
static int find_hook(struct walk *walk, enum datapath_program hook, uint32_t ifindex, bool *ret)
{
	const struct state_link *link = walk_link(walk, ifindex);
	struct state_link copy;
	int code;

	*ret = false;
	if (!link)
		return 0;
	copy = *link;
	code = qdisc_read(walk->nl, &copy, 1, DATAPATH_PROGRAM_PREFIX, walk->err);
	*ret = hook == DATAPATH_PORT_IN || hook == DATAPATH_UPLINK_IN ? copy.hook_in
								      : copy.hook_out;
	return code;
}

/* Where our program is not attached nothing is told, and the packet goes on as it is. */
static int run(struct walk *walk, enum datapath_program hook, uint32_t ifindex, uint32_t came_in,
	       struct nsr_trace *told)
{
	struct datapath_packet after = walk->packet;
	char name[TRACE_NAME_MAX];
	bool attached;
	int ret = find_hook(walk, hook, ifindex, &attached);

	told->count = 0;
	if (!ret && !attached)
		walk_say(walk, "kernel", "hook", "nsroute's program is not attached at %s",
			 walk_name(walk, ifindex, name));
	if (ret || !attached)
		return ret;
	ret = datapath_trace(walk->steps, hook, walk->host_fd, ifindex, came_in, &after, told,
			     walk->err);
	if (ret)
		return ret;
	walk_tell(walk, hook, ifindex, told);
	walk->packet = after;
	return 0;
}

/* Whether the hook was the end of it. */
static bool is_dropped(struct walk *walk, const struct nsr_trace *told)
{
	const char *reason = walk_reason(walk_verdict(told));

	if (reason)
		walk_answer(walk, "dropped", 0, NULL, reason, "dropped: %s (%s)", reason,
			    output_drop_meaning(reason));
	return reason;
}

/* Whether nobody receives it, which no hook can tell. What is redirected passes the host's end, be
 * it up or not, and when it is not, the other one's state is not known. */
static bool is_lost(struct walk *walk, uint32_t ifindex, bool fast)
{
	const struct state_link *link = walk_link(walk, ifindex);
	char name[TRACE_NAME_MAX];

	if (link && (link->carrier || (fast && !(link->flags & IFF_UP))))
		return false;
	walk_answer(walk, "lost", 0, fast ? "fast" : "slow", NULL, "lost behind the hook: %s is %s",
		    walk_name(walk, ifindex, name), link ? "down" : "gone");
	return true;
}

static bool is_delivered(struct walk *walk, const struct nsr_trace *told)
{
	const struct nsr_told *into = walk_find(told, NSR_TELLS_DELIVERS);
	char name[TRACE_NAME_MAX];

	if (into && !is_lost(walk, (uint32_t)into->a, true))
		walk_answer(walk, "delivered", (uint32_t)into->a, "fast", NULL,
			    "delivered to %s by the fast path",
			    walk_name(walk, (uint32_t)into->a, name));
	return into;
}

int walk_port_in(struct walk *walk, uint32_t ifindex)
{
	const struct nsr_told *out;
	struct nsr_trace told;
	int ret = run(walk, DATAPATH_PORT_IN, ifindex, ifindex, &told);

	if (ret || is_dropped(walk, &told) || is_delivered(walk, &told))
		return ret;
	out = walk_find(&told, NSR_TELLS_NEIGHBOUR);
	return out ? walk_uplink_out(walk, (uint32_t)out->a, ifindex, true)
		   : walk_kernel_frame(walk, ifindex);
}

int walk_port_out(struct walk *walk, uint32_t ifindex, uint32_t came_in)
{
	char name[TRACE_NAME_MAX];
	struct nsr_trace told;
	int ret = run(walk, DATAPATH_PORT_OUT, ifindex, came_in, &told);

	if (!ret && !is_dropped(walk, &told) && !is_lost(walk, ifindex, false))
		walk_answer(walk, "delivered", ifindex, "slow", NULL,
			    "delivered to %s%s%s%s by the kernel", walk_name(walk, ifindex, name),
			    *walk->external ? " as " : "", walk->external, walk->external_more);
	return ret;
}

/* "203.0.113.1:5000", as the outside sees it. */
static void find_external(struct walk *walk, const struct nsr_trace *told)
{
	const struct nsr_told *opens = walk_find(told, NSR_TELLS_OPENS);
	bool any = opens && opens->b == NSR_OPENS_ANY;
	struct dissection packet;

	dissect(walk->packet.bytes, walk->packet.length, walk->packet.length, &packet);
	walk_end(&packet.source, packet.ports && !any, packet.source_port, walk->external);
	walk->external_more = any ? " and any free port" : "";
}

int walk_uplink_out(struct walk *walk, uint32_t ifindex, uint32_t came_in, bool fast)
{
	char name[TRACE_NAME_MAX];
	struct nsr_trace told;
	int ret = run(walk, DATAPATH_UPLINK_OUT, ifindex, came_in, &told);

	if (ret || is_dropped(walk, &told))
		return ret;
	find_external(walk, &told);
	if (datapath_leads_inside(walk->datapath, ifindex))
		return walk_inner(walk, ifindex, came_in);
	walk_answer(walk, "sent", ifindex, fast ? "fast" : "slow", NULL, "sent by %s as %s%s by %s",
		    walk_name(walk, ifindex, name), walk->external, walk->external_more,
		    fast                ? "the fast path"
		    : walk->unknown_mac ? "the kernel, once the next hop's MAC is known"
					: "the kernel");
	return 0;
}

int walk_uplink_in(struct walk *walk, uint32_t ifindex)
{
	struct nsr_trace told;
	int ret = run(walk, DATAPATH_UPLINK_IN, ifindex, ifindex, &told);

	if (ret || is_dropped(walk, &told) || is_delivered(walk, &told))
		return ret;
	return walk_kernel_route(walk, ifindex);
}

/* ---- The packet. */

static int set_packet(struct walk *walk, struct probe *probe)
{
	const struct trace_request *request = walk->request;
	uint32_t smallest = probe_smallest(probe);

	probe->ttl = request->ttl;
	probe->size = request->size ? request->size : smallest > SIZE_USUAL ? smallest : SIZE_USUAL;
	if (probe->size < smallest || probe->size > DATAPATH_TRACE_PACKET - ETH_HLEN)
		return error_invalid(walk->err, "--size is from %" PRIu32 " to %d for this packet",
				     smallest, DATAPATH_TRACE_PACKET - ETH_HLEN);
	probe_build(probe, walk->packet.bytes);
	walk->packet.length = ETH_HLEN + probe->size;
	return 0;
}

/* bare: it has no Ethernet header where it comes from. */
static void describe_packet(struct walk *walk, const struct probe *probe, bool bare)
{
	char text[IP_TEXT_MAX > MAC_TEXT_MAX ? IP_TEXT_MAX : MAC_TEXT_MAX], number[16];
	json_t *packet = json_object();
	struct dissection read;

	dissect(walk->packet.bytes, walk->packet.length, walk->packet.length, &read);
	model_set_text(packet, "protocol", dissect_protocol(&read, number));
	model_set_text(packet, "source", ip_format(&probe->source, text));
	model_set_number(packet, "source_port", probe->source_port);
	model_set_text(packet, "destination", ip_format(&probe->destination, text));
	model_set_number(packet, "destination_port", probe->destination_port);
	model_set_text_or_null(packet, "source_mac",
			       bare ? NULL : mac_format(probe->source_mac, text));
	model_set_text_or_null(packet, "destination_mac",
			       bare ? NULL : mac_format(probe->destination_mac, text));
	model_set_number(packet, "ttl", probe->ttl);
	model_set_number(packet, "length", walk->packet.length - (bare ? ETH_HLEN : 0));
	json_object_set_new(walk->result, "packet", packet);
}

/* ---- From a namespace. */

/* Its links, and its tables. */
struct origin {
	struct netlink *nl;
	struct state_link *links;
	size_t links_count;
	const struct state_link *link; /* that it leaves by */
	uint32_t port;                 /* ifindex of the host's end; 0: no port */
};

static bool is_at(const json_t *place, const char *namespace, const char *interface)
{
	const char *name = json_string_value(json_object_get(place, "namespace"));

	return name && strcmp(name, namespace) == 0 &&
	       (!interface ||
		strcmp(json_string_value(json_object_get(place, "interface")), interface) == 0);
}

static uint32_t find_place(const struct walk *walk, const char *namespace, const char *interface)
{
	const json_t *place;
	const char *ifindex;

	json_object_foreach((json_t *)walk->places, ifindex, place)
	{
		if (is_at(place, namespace, interface))
			return (uint32_t)strtoul(ifindex, NULL, 10);
	}
	return 0;
}

static int open_origin(struct walk *walk, struct origin *origin)
{
	const struct trace_request *request = walk->request;
	int fd, ret;

	if (!find_place(walk, request->namespace, NULL))
		return error_invalid(walk->err,
				     "no fabric of this host namespace has a namespace '%s' on a "
				     "network",
				     request->namespace);
	ret = netns_open(request->namespace, &fd, walk->err);
	if (ret)
		return ret;
	ret = netlink_open(&origin->nl, fd, walk->err);
	close(fd);
	if (!ret)
		ret = link_read(origin->nl, walk->arena, &origin->links, &origin->links_count,
				walk->err);
	for (size_t i = 0; !ret && request->interface && i < origin->links_count; i++)
		if (strcmp(origin->links[i].name, request->interface) == 0)
			origin->link = &origin->links[i];
	if (!ret && request->interface && !origin->link)
		ret = error_invalid(walk->err, "namespace '%s' has no interface '%s'",
				    request->namespace, request->interface);
	return ret;
}

/* Whether it does not come as far as a port; what becomes of it then is said. */
static bool stays_inside(struct walk *walk, struct origin *origin, const struct route_answer *route)
{
	const char *namespace = walk->request->namespace;
	char to[IP_TEXT_MAX];

	ip_format(&walk->request->to, to);
	if (route->refused) {
		walk_answer(walk, "not-sent", 0, NULL, NULL,
			    "%s does not send it: its way to %s: %s", namespace, to,
			    strerror(-route->refused));
		return true;
	}
	if (route->type == RTN_LOCAL) {
		walk_answer(walk, "not-sent", 0, NULL, NULL, "it stays in %s, which has %s itself",
			    namespace, to);
		return true;
	}
	for (size_t i = 0; i < origin->links_count; i++)
		if (origin->links[i].ifindex == route->ifindex)
			origin->link = &origin->links[i];
	origin->port = origin->link ? find_place(walk, namespace, origin->link->name) : 0;
	if (origin->port)
		return false;
	walk_answer(walk, "not-sent", 0, NULL, NULL,
		    "%s sends it by %s, which is no port of a network", namespace,
		    origin->link ? origin->link->name : "another interface");
	return true;
}

static bool is_group(const struct ip_address *to)
{
	static const uint8_t broadcast[] = {255, 255, 255, 255};

	if (to->family == AF_INET6)
		return to->bytes[0] == 0xff;
	return to->bytes[0] >> 4 == 0xe || memcmp(to->bytes, broadcast, 4) == 0;
}

/* RFC 1112 6.4, RFC 2464 7; a broadcast goes to all. */
static void put_group_mac(const struct ip_address *to, uint8_t mac[6])
{
	static const uint8_t start4[] = {1, 0, 0x5e}, start6[] = {0x33, 0x33};

	if (to->family == AF_INET6) {
		memcpy(mac, start6, 2);
		memcpy(mac + 2, to->bytes + 12, 4);
	} else if (to->bytes[0] < 240) {
		memcpy(mac, start4, 3);
		mac[3] = to->bytes[1] & 0x7f;
		memcpy(mac + 4, to->bytes + 2, 2);
	} else {
		memset(mac, 0xff, 6);
	}
}

/* The MAC that it is sent to; false when the namespace would have to ask for it, and nobody is
 * known to answer. */
static int find_next_mac(struct walk *walk, const struct origin *origin,
			 const struct route_answer *route, uint8_t mac[6], bool *ret_found)
{
	const struct ip_address *hop = route->via.family ? &route->via : &walk->request->to;
	struct state_neighbour asked = {.ifindex = origin->link->ifindex, .ip = *hop};
	struct state_neighbour *found = NULL;
	struct nsr_port port = {0};
	struct nsr_endpoint endpoint;
	char text[IP_TEXT_MAX];
	size_t count = 0;
	int ret;

	*ret_found = true;
	if (is_group(&walk->request->to) || route->type == RTN_BROADCAST) {
		put_group_mac(&walk->request->to, mac);
		if (route->type == RTN_BROADCAST)
			memset(mac, 0xff, 6);
		return 0;
	}
	ret = neighbour_find(origin->nl, walk->arena, &asked, 1, &found, &count, walk->err);
	if (ret)
		return ret;
	datapath_find_port(walk->datapath, origin->port, &port);
	walk_say(walk, WHERE, "route", "sent by %s to %s%s", origin->link->name,
		 ip_format(hop, text), count ? "" : ", whose MAC is asked for first");
	if (count)
		memcpy(mac, found[0].mac, 6);
	else if (datapath_find_host(walk->datapath, hop, &endpoint))
		memcpy(mac, endpoint.mac, 6);
	else if (route->via.family && port.gateway_ifindex)
		memcpy(mac, port.gateway_mac, 6);
	else
		*ret_found = false;
	return 0;
}

static int leave_namespace(struct walk *walk, struct origin *origin,
			   const struct route_answer *route)
{
	const struct trace_request *request = walk->request;
	struct probe probe = {
		.source = request->source.family ? request->source : route->source,
		.destination = request->to,
		.protocol = request->protocol,
		.source_port = request->source_port,
		.destination_port = request->to_port,
	};
	char text[IP_TEXT_MAX];
	bool found;
	int ret;

	if (!probe.source.family)
		return error_invalid(walk->err, "'%s' has no address to send from: give --source",
				     request->namespace);
	memcpy(probe.source_mac, origin->link->mac, 6);
	ret = find_next_mac(walk, origin, route, probe.destination_mac, &found);
	if (!ret)
		ret = set_packet(walk, &probe);
	if (ret)
		return ret;
	describe_packet(walk, &probe, false);
	if (!found) {
		walk_answer(
			walk, "unresolved", 0, NULL, NULL,
			"nobody is known to have %s: %s asks for its MAC, and sends nothing before "
			"the answer",
			ip_format(route->via.family ? &route->via : &request->to, text),
			request->namespace);
		return 0;
	}
	if (probe.size > origin->link->mtu) {
		walk_answer(walk, "not-sent", 0, NULL, NULL,
			    "%s does not send it in one piece: larger than the MTU of %s (%" PRIu32
			    ")",
			    request->namespace, origin->link->name, origin->link->mtu);
		return 0;
	}
	return walk_port_in(walk, origin->port);
}

static int from_namespace(struct walk *walk)
{
	struct route_question question = {.to = walk->request->to};
	struct origin origin = {0};
	struct route_answer route;
	int ret = open_origin(walk, &origin);

	if (!ret) {
		question.ifindex = origin.link ? origin.link->ifindex : 0;
		ret = route_ask(origin.nl, &question, &route, walk->err);
	}
	if (!ret && !stays_inside(walk, &origin, &route))
		ret = leave_namespace(walk, &origin, &route);
	netlink_close(origin.nl);
	return ret;
}

/* ---- From outside. */

static int from_uplink(struct walk *walk)
{
	const struct trace_request *request = walk->request;
	const struct state_link *link = NULL;
	struct nsr_uplink uplink;
	struct probe probe = {
		.source = request->source,
		.destination = request->to,
		.protocol = request->protocol,
		.source_port = request->source_port,
		.destination_port = request->to_port,
		.answer = true,
	};
	int ret;

	for (size_t i = 0; i < walk->links_count; i++)
		if (strcmp(walk->links[i].name, request->interface) == 0)
			link = &walk->links[i];
	if (!link || !datapath_find_uplink(walk->datapath, link->ifindex, &uplink))
		return error_invalid(walk->err,
				     "no fabric of this host namespace has an uplink '%s'",
				     request->interface);
	memcpy(probe.source_mac, stranger, 6);
	memcpy(probe.destination_mac, link->mac, 6);
	/* BPF_PROG_RUN knows no packets without MACs. The steps are the same with them, as long as
	 * it is for nobody else. */
	if (plan_link_is_bare(link))
		memset(probe.destination_mac, 0xff, 6);
	if (probe.protocol == IPPROTO_ICMP || probe.protocol == IPPROTO_ICMPV6)
		probe.source_port = request->to_port;
	ret = set_packet(walk, &probe);
	if (ret)
		return ret;
	describe_packet(walk, &probe, plan_link_is_bare(link));
	return walk_uplink_in(walk, link->ifindex);
}

int trace_packet(const struct trace_request *request, const struct datapath *datapath, int host_fd,
		 const json_t *places, struct arena *arena, json_t **ret, struct error *err)
{
	struct walk *walk = arena_alloc(arena, sizeof(*walk)); /* a packet is large */
	int result;

	*walk = (struct walk){.request = request,
			      .datapath = datapath,
			      .host_fd = host_fd,
			      .arena = arena,
			      .places = places,
			      .external_more = "",
			      .result = json_object(),
			      .err = err};
	json_object_set_new(walk->result, "packet", json_null());
	json_object_set_new(walk->result, "steps", json_array());
	json_object_set_new(walk->result, "hooks", json_array());
	json_object_set_new(walk->result, "answer", json_null());
	json_object_set_new(walk->result, "other_build",
			    json_boolean(datapath_is_other_build(datapath)));
	result = netlink_open(&walk->nl, host_fd, err);
	if (!result)
		result = link_read(walk->nl, arena, &walk->links, &walk->links_count, err);
	if (!result)
		result = datapath_tracer_open(datapath, &walk->steps, err);
	if (!result)
		result = request->namespace ? from_namespace(walk) : from_uplink(walk);
	datapath_tracer_close(walk->steps);
	netlink_close(walk->nl);
	if (result)
		json_decref(walk->result);
	else
		*ret = walk->result;
	return result;
}
