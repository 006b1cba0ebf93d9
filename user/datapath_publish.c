/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: the table "published" says what is published, the mappings themselves are made and
 * ended by the program "nsr_publish", a port at a time (bpf/publish.h): it alone can claim a port
 * that packets claim too. An entry is written before the first mapping is made and deleted after
 * the last one has ended, and is "ready" between. So a process that is killed leaves an entry that
 * is not ready, and all steps can be done again.
 *
 * Who had the port, or the inside endpoint, is first kept from opening sessions, then those that it
 * has are ended. A packet that was on its way may have opened one meanwhile; so programs are waited
 * for, and the sessions ended again when the mapping is there, which leaves nothing to open them
 * on.
 *
 * The pools of an uplink go when its address or range of ports changes: the mappings are ended
 * before, and made anew from the table.
 */
#include "datapath_publish.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <net/ethernet.h>
#include <string.h>
#include <sys/socket.h>

#include "datapath_entry.h"
#include "datapath_maps.h"
#include "netns.h"

#define TRIES 16 /* to get a port that packets claim and release meanwhile */

static const struct {
	enum datapath_map map;
	unsigned int program;
} families[2] = {{MAP_published, DATAPATH_PUBLISH}, {MAP_published6, DATAPATH_PUBLISH6}};

/* ---- The table. */

static struct nsr_inside_endpoint inside4_of(const struct nsr_inside_endpoint6 *inside)
{
	return (struct nsr_inside_endpoint){.address = inside->address.words[0],
					    .port = inside->port,
					    .protocol = inside->protocol,
					    .uplink = inside->uplink};
}

static bool read_entry(const struct datapath *datapath, bool ipv6, uint32_t mapping,
		       struct state_published *ret)
{
	const int map = datapath->maps[families[ipv6].map];
	struct nsr_published entry;

	*ret = (struct state_published){.ipv6 = ipv6, .mapping = mapping};
	if (ipv6)
		return !bpf_map_lookup_elem(map, &mapping, &ret->published);
	if (bpf_map_lookup_elem(map, &mapping, &entry))
		return false;
	ret->published.inside.address.words[0] = entry.inside.address;
	ret->published.inside.port = entry.inside.port;
	ret->published.inside.protocol = entry.inside.protocol;
	ret->published.inside.uplink = entry.inside.uplink;
	ret->published.count = entry.count;
	ret->published.ready = entry.ready;
	return true;
}

bool datapath_published(const struct datapath *datapath, bool ipv6, const uint32_t *previous,
			struct state_published *ret)
{
	uint32_t key;

	return !bpf_map_get_next_key(datapath->maps[families[ipv6].map], previous, &key) &&
	       read_entry(datapath, ipv6, key, ret);
}

static int put_entry(const struct datapath *datapath, const struct state_published *range,
		     bool ready, struct error *err)
{
	struct nsr_published6 entry6 = range->published;
	struct nsr_published entry = {
		.inside = inside4_of(&entry6.inside), .count = entry6.count, .ready = ready};

	entry6.ready = ready;
	return datapath_put(datapath, families[range->ipv6].map, &range->mapping,
			    range->ipv6 ? (void *)&entry6 : &entry, "a published port", err);
}

static int drop_entry(const struct datapath *datapath, const struct state_published *range,
		      struct error *err)
{
	return datapath_drop(datapath, families[range->ipv6].map, &range->mapping,
			     "a published port", err);
}

/* ---- Steps. */

/* asked is what the program of the family is asked for. */
static int run_step(const struct datapath *datapath, bool ipv6, const void *asked, size_t size)
{
	char packet[ETH_HLEN + sizeof(struct nsr_publish6)] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof(packet));
	int ret;

	memcpy(packet + ETH_HLEN, asked, size);
	ret = bpf_prog_test_run_opts(datapath->programs[families[ipv6].program], &options);
	return ret ? ret : (int)options.retval;
}

static int step_one(const struct datapath *datapath, bool ipv6, const struct nsr_publish6 *asked6)
{
	struct nsr_publish asked = {.step = asked6->step,
				    .mapping = asked6->mapping,
				    .inside = inside4_of(&asked6->inside),
				    .external = asked6->external.words[0],
				    .unpaired = asked6->unpaired};

	return ipv6 ? run_step(datapath, true, asked6, sizeof(*asked6))
		    : run_step(datapath, false, &asked, sizeof(asked));
}

static const struct nsr_address6 unasked; /* no socket of the host's is looked for */

/* Whether what the inside address begins leaves by another address than this one. */
static bool is_unpaired(const struct datapath *datapath, const struct state_published *range)
{
	const struct nsr_inside_endpoint6 *inside = &range->published.inside;
	const uint32_t index = inside->uplink;
	struct nsr_uplink uplink;
	uint32_t ifindex, slot;

	if (bpf_map_lookup_elem(datapath->maps[MAP_uplink_by_index], &index, &ifindex) ||
	    bpf_map_lookup_elem(datapath->maps[MAP_uplinks], &ifindex, &uplink))
		return false;
	slot = range->ipv6 ? nsr_pair6(&uplink, inside->address.words)
			   : nsr_pair(&uplink, inside->address.words[0]);
	return slot != NSR_MAPPING_SLOT(range->mapping);
}

/* Of all ports of the range; the first that fails is named. */
static int step(const struct datapath *datapath, const struct state_published *range,
		enum nsr_publish_step which, const struct nsr_address6 *external, struct error *err)
{
	const bool unpaired = is_unpaired(datapath, range);
	uint16_t inside = ntohs(range->published.inside.port);

	for (unsigned int i = 0; i < range->published.count; i++) {
		struct nsr_publish6 asked = {.step = which,
					     .mapping = range->mapping + i,
					     .inside = range->published.inside,
					     .external = *external,
					     .unpaired = unpaired};
		int ret;

		asked.inside.port = htons((uint16_t)(inside + i));
		ret = step_one(datapath, range->ipv6, &asked);
		if (ret < 0)
			return error_set(
				err, ret, "cannot publish port %u/%s: %s",
				NSR_MAPPING_PORT(asked.mapping),
				published_protocol(asked.inside.protocol),
				ret == -EADDRINUSE
					? "a program of the host uses it; stop that, or publish "
					  "another port"
					: strerror(-ret));
	}
	return 0;
}

/* ---- Sessions. */

static int end_sessions(const struct datapath *datapath, bool ipv6,
			const struct nsr_selection6 *selection6, struct error *err)
{
	struct nsr_selection selection = {.address = selection6->address.words[0],
					  .mask = selection6->mask.words[0],
					  .protocol = selection6->protocol,
					  .uplink = selection6->uplink,
					  .mapping_first = selection6->mapping_first,
					  .mapping_last = selection6->mapping_last,
					  .inside_first = selection6->inside_first,
					  .inside_last = selection6->inside_last,
					  .unpublished = selection6->unpublished,
					  .kind = selection6->kind};

	if (!datapath_has_sessions(datapath, ipv6))
		return 0;
	return ipv6 ? datapath_flush6(datapath, selection6, NULL, err)
		    : datapath_flush(datapath, &selection, NULL, err);
}

/* Those of the external ports, and those of the inside endpoints under other mappings; but none of
 * what is published, and no direct ones, which have no external port. */
static int end_others(const struct datapath *datapath, const struct state_published *range,
		      struct error *err)
{
	const struct nsr_inside_endpoint6 *inside = &range->published.inside;
	uint16_t last = (uint16_t)(range->published.count - 1);
	struct nsr_selection6 external = {.mapping_first = range->mapping,
					  .mapping_last = range->mapping + last,
					  .unpublished = 1};
	struct nsr_selection6 same = {.address = inside->address,
				      .protocol = (uint8_t)(1 + inside->protocol),
				      .uplink = (uint8_t)(1 + inside->uplink),
				      .inside_first = ntohs(inside->port),
				      .inside_last = (uint16_t)(ntohs(inside->port) + last),
				      .unpublished = 1,
				      .kind = 1 + NSR_FLOW_TRANSLATED};
	int ret = datapath_wait_for_programs(datapath, inside->uplink, err);

	memset(&same.mask, 0xff, sizeof(same.mask));
	if (!ret)
		ret = end_sessions(datapath, range->ipv6, &external, err);
	/* What it begins by another address goes on. */
	return ret || is_unpaired(datapath, range)
		       ? ret
		       : end_sessions(datapath, range->ipv6, &same, err);
}

static int make(const struct datapath *datapath, const struct state_published *range,
		const struct nsr_address6 *external, struct error *err)
{
	int ret = -EBUSY;

	for (unsigned int i = 0; i < TRIES && ret == -EBUSY; i++) {
		ret = step(datapath, range, NSR_PUBLISH_CLEAR, &unasked, err);
		if (!ret)
			ret = end_others(datapath, range, err);
		if (!ret)
			ret = step(datapath, range, NSR_PUBLISH_MAKE, external, err);
	}
	if (!ret)
		ret = end_others(datapath, range, err);
	/* A mapping that ends at this moment may take the entry of the one that replaced it. */
	if (!ret)
		ret = datapath_wait_for_programs(datapath, range->published.inside.uplink, err);
	return ret ? ret : step(datapath, range, NSR_PUBLISH_MAKE, &unasked, err);
}

static int unmake(const struct datapath *datapath, const struct state_published *range,
		  struct error *err)
{
	struct nsr_selection6 sessions = {.mapping_first = range->mapping,
					  .mapping_last =
						  range->mapping + range->published.count - 1};
	int ret = step(datapath, range, NSR_PUBLISH_CLOSE, &unasked, err);

	if (!ret)
		ret = datapath_wait_for_programs(datapath, range->published.inside.uplink, err);
	if (!ret)
		ret = end_sessions(datapath, range->ipv6, &sessions, err);
	return ret ? ret : step(datapath, range, NSR_PUBLISH_RELEASE, &unasked, err);
}

/* ---- Of an uplink whose pools go and come back. */

#define ANY_SLOT NSR_SLOTS_MAX

/* Calls act for each entry of the uplink, or of a slot, which it may delete. */
static int each(const struct datapath *datapath, bool ipv6, uint32_t uplink, uint32_t slot,
		int (*act)(const struct datapath *, const struct state_published *, struct error *),
		struct error *err)
{
	struct state_published range, next;
	bool more = datapath_published(datapath, ipv6, NULL, &next);
	int ret = 0;

	while (more && !ret) {
		range = next;
		more = datapath_published(datapath, ipv6, &range.mapping, &next);
		if (slot == ANY_SLOT ? range.published.inside.uplink == uplink
				     : NSR_MAPPING_SLOT(range.mapping) == slot)
			ret = act(datapath, &range, err);
	}
	return ret;
}

static int remake(const struct datapath *datapath, const struct state_published *range,
		  struct error *err)
{
	return step(datapath, range, NSR_PUBLISH_MAKE, &unasked, err);
}

static int forget(const struct datapath *datapath, const struct state_published *range,
		  struct error *err)
{
	int ret = unmake(datapath, range, err);

	return ret ? ret : drop_entry(datapath, range, err);
}

int datapath_publish_suspend(const struct datapath *datapath, bool ipv6, uint32_t uplink,
			     struct error *err)
{
	return each(datapath, ipv6, uplink, ANY_SLOT, unmake, err);
}

int datapath_publish_leave(const struct datapath *datapath, bool ipv6, uint32_t slot, bool for_good,
			   struct error *err)
{
	return each(datapath, ipv6, 0, slot, for_good ? forget : unmake, err);
}

int datapath_publish_resume(const struct datapath *datapath, bool ipv6, uint32_t uplink,
			    struct error *err)
{
	return each(datapath, ipv6, uplink, ANY_SLOT, remake, err);
}

int datapath_publish_forget(const struct datapath *datapath, uint32_t uplink, struct error *err)
{
	int ret = each(datapath, false, uplink, ANY_SLOT, forget, err);

	return ret ? ret : each(datapath, true, uplink, ANY_SLOT, forget, err);
}

/* ---- What is asked for. */

static struct state_published range_of(uint32_t uplink, uint32_t slot, bool ipv6,
				       const struct published_ports *ports)
{
	return (struct state_published){
		.ipv6 = ipv6,
		.mapping = NSR_MAPPING(NSR_POOL(slot, ports->protocol), ports->external),
		.published = {.inside = {.port = htons(ports->inside),
					 .protocol = ports->protocol,
					 .uplink = (uint8_t)uplink},
			      .count = ports->count},
	};
}

/* Whether an entry has a port of the range, unless it is the same one. */
static int check_free(const struct datapath *datapath, const struct state_published *range,
		      struct error *err)
{
	uint32_t end = range->mapping + range->published.count, *previous = NULL, key;
	struct state_published entry;

	for (; datapath_published(datapath, range->ipv6, previous, &entry); previous = &key) {
		key = entry.mapping;
		if (key >= end || key + entry.published.count <= range->mapping ||
		    (key == range->mapping && entry.published.count == range->published.count &&
		     !memcmp(&entry.published.inside, &range->published.inside,
			     sizeof(entry.published.inside))))
			continue;
		return error_set(err, -EEXIST, "cannot publish port %u/%s: it is published already",
				 NSR_MAPPING_PORT(key > range->mapping ? key : range->mapping),
				 published_protocol(entry.published.inside.protocol));
	}
	return 0;
}

/* In the host namespace, whose sockets are asked for. */
static int make_there(const struct datapath *datapath, const struct state_published *range,
		      const struct nsr_address6 *external, int host_fd, struct error *err)
{
	int previous, ret = netns_enter(host_fd, &previous, err);

	if (ret)
		return ret;
	ret = make(datapath, range, external, err);
	netns_leave(previous);
	return ret ? ret : put_entry(datapath, range, true, err);
}

/* The slot of one of the other external addresses; that of the first when none is named. False: the
 * uplink has no such address. */
static bool find_slot(const struct nsr_uplink *uplink, bool ipv6, const struct ip_address *external,
		      uint32_t *ret)
{
	const size_t size = ipv6 ? 16 : 4;

	*ret = uplink->index;
	if (!external->family)
		return true;
	for (size_t i = 0; i < NSR_MORE_MAX; i++) {
		if (!uplink->slots[i] || /* an empty place; slot 0 is the first uplink's */
		    memcmp(ipv6 ? (const void *)uplink->more6[i] : &uplink->more4[i],
			   external->bytes, size) != 0)
			continue;
		*ret = uplink->slots[i];
		return true;
	}
	return false;
}

static struct nsr_address6 external_of(const struct datapath *datapath, struct nsr_uplink *uplink,
				       bool ipv6, const struct ip_address *named)
{
	struct nsr_address6 external = {{0}};

	if (named->family) {
		memcpy(&external, named->bytes, ip_bits(named) / 8);
		return external;
	}
	datapath_follow(datapath, uplink);
	if (ipv6)
		memcpy(&external, uplink->address6, sizeof(external));
	else
		external.words[0] = uplink->address4;
	return external;
}

int datapath_publish_at(const struct datapath *datapath, uint32_t uplink_ifindex,
			const struct ip_address *at, const struct ip_address *inside,
			const struct published_ports *ports, int host_fd, struct error *err)
{
	const bool ipv6 = inside->family == AF_INET6;
	struct nsr_address6 external;
	struct nsr_uplink uplink;
	struct error ignored;
	struct state_published range;
	uint32_t slot;
	int ret;

	if (bpf_map_lookup_elem(datapath->maps[MAP_uplinks], &uplink_ifindex, &uplink))
		return error_set(err, -ENOENT, "cannot publish: no uplink has ifindex %u",
				 uplink_ifindex);
	if (!find_slot(&uplink, ipv6, at, &slot))
		return error_set(err, -EADDRNOTAVAIL,
				 "cannot publish: the uplink does not translate to that address");
	range = range_of(uplink.index, slot, ipv6, ports);
	memcpy(&range.published.inside.address, inside->bytes, ip_bits(inside) / 8);
	ret = check_free(datapath, &range, err);
	if (!ret)
		ret = put_entry(datapath, &range, false, err);
	if (ret)
		return ret;
	external = external_of(datapath, &uplink, ipv6, at);
	ret = make_there(datapath, &range, &external, host_fd, err);
	if (ret)
		forget(datapath, &range, &ignored);
	return ret;
}

int datapath_unpublish_at(const struct datapath *datapath, uint32_t uplink_ifindex, bool ipv6,
			  const struct ip_address *at, const struct published_ports *ports,
			  struct error *err)
{
	struct nsr_uplink uplink;
	struct state_published range;
	uint32_t slot;
	int ret;

	if (bpf_map_lookup_elem(datapath->maps[MAP_uplinks], &uplink_ifindex, &uplink) ||
	    !find_slot(&uplink, ipv6, at, &slot))
		return 0; /* its ports went with it */
	range = range_of(uplink.index, slot, ipv6, ports);
	if (!read_entry(datapath, ipv6, range.mapping, &range))
		return 0;
	ret = put_entry(datapath, &range, false, err);
	return ret ? ret : forget(datapath, &range, err);
}
