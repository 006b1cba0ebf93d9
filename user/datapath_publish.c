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

#include "datapath_entry.h"
#include "datapath_maps.h"
#include "netns.h"

#define TRIES 16 /* to get a port that packets claim and release meanwhile */

struct range {
	uint32_t mapping; /* of the first port */
	struct nsr_published published;
};

static int put_entry(const struct datapath *datapath, const struct range *range, bool ready,
		     struct error *err)
{
	struct nsr_published entry = range->published;

	entry.ready = ready;
	return datapath_put(datapath, MAP_published, &range->mapping, &entry, "a published port",
			    err);
}

static int drop_entry(const struct datapath *datapath, uint32_t mapping, struct error *err)
{
	return datapath_drop(datapath, MAP_published, &mapping, "a published port", err);
}

/* ---- Steps. */

static int step_one(const struct datapath *datapath, const struct nsr_publish *asked)
{
	char packet[ETH_HLEN + sizeof(*asked)] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet, .data_size_in = sizeof(packet));
	int ret;

	memcpy(packet + ETH_HLEN, asked, sizeof(*asked));
	ret = bpf_prog_test_run_opts(datapath->programs[DATAPATH_PUBLISH], &options);
	return ret ? ret : (int)options.retval;
}

/* Of all ports of the range; the first that fails is named. */
static int step(const struct datapath *datapath, const struct range *range,
		enum nsr_publish_step which, __be32 external, struct error *err)
{
	uint16_t inside = ntohs(range->published.inside.port);

	for (unsigned int i = 0; i < range->published.count; i++) {
		struct nsr_publish asked = {.step = which,
					    .mapping = range->mapping + i,
					    .inside = range->published.inside,
					    .external = external};
		int ret;

		asked.inside.port = htons((uint16_t)(inside + i));
		ret = step_one(datapath, &asked);
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

static int end_sessions(const struct datapath *datapath, const struct nsr_selection *selection,
			struct error *err)
{
	return datapath_has_sessions(datapath, false)
		       ? datapath_flush(datapath, selection, NULL, err)
		       : 0;
}

/* Those of the external ports, and those of the inside endpoints under other mappings; but none of
 * what is published. */
static int end_others(const struct datapath *datapath, const struct range *range, struct error *err)
{
	const struct nsr_inside_endpoint *inside = &range->published.inside;
	uint16_t last = (uint16_t)(range->published.count - 1);
	struct nsr_selection external = {.mapping_first = range->mapping,
					 .mapping_last = range->mapping + last,
					 .unpublished = 1};
	struct nsr_selection same = {.address = inside->address,
				     .mask = ~(__be32)0,
				     .protocol = (uint8_t)(1 + inside->protocol),
				     .uplink = (uint8_t)(1 + inside->uplink),
				     .inside_first = ntohs(inside->port),
				     .inside_last = (uint16_t)(ntohs(inside->port) + last),
				     .unpublished = 1};
	int ret = datapath_wait_for_programs(datapath, inside->uplink, err);

	if (!ret)
		ret = end_sessions(datapath, &external, err);
	return ret ? ret : end_sessions(datapath, &same, err);
}

static int make(const struct datapath *datapath, const struct range *range, __be32 external,
		struct error *err)
{
	int ret = -EBUSY;

	for (unsigned int i = 0; i < TRIES && ret == -EBUSY; i++) {
		ret = step(datapath, range, NSR_PUBLISH_CLEAR, 0, err);
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
	return ret ? ret : step(datapath, range, NSR_PUBLISH_MAKE, 0, err);
}

static int unmake(const struct datapath *datapath, const struct range *range, struct error *err)
{
	struct nsr_selection sessions = {.mapping_first = range->mapping,
					 .mapping_last =
						 range->mapping + range->published.count - 1};
	int ret = step(datapath, range, NSR_PUBLISH_CLOSE, 0, err);

	if (!ret)
		ret = datapath_wait_for_programs(datapath, range->published.inside.uplink, err);
	if (!ret)
		ret = end_sessions(datapath, &sessions, err);
	return ret ? ret : step(datapath, range, NSR_PUBLISH_RELEASE, 0, err);
}

/* ---- Of an uplink whose pools go and come back. */

/* Calls act for each entry of the uplink, which it may delete. */
static int each(const struct datapath *datapath, uint32_t uplink,
		int (*act)(const struct datapath *, const struct range *, struct error *),
		struct error *err)
{
	int map = datapath->maps[MAP_published], ret = 0;
	struct range found[2], *range = found;
	bool more;

	more = !bpf_map_get_next_key(map, NULL, &range->mapping);
	while (more && !ret) {
		struct range *next = range == found ? found + 1 : found;
		uint32_t key = range->mapping;

		more = !bpf_map_get_next_key(map, &key, &next->mapping);
		if (!bpf_map_lookup_elem(map, &key, &range->published) &&
		    range->published.inside.uplink == uplink)
			ret = act(datapath, range, err);
		range = next;
	}
	return ret;
}

static int remake(const struct datapath *datapath, const struct range *range, struct error *err)
{
	return step(datapath, range, NSR_PUBLISH_MAKE, 0, err);
}

static int forget(const struct datapath *datapath, const struct range *range, struct error *err)
{
	int ret = unmake(datapath, range, err);

	return ret ? ret : drop_entry(datapath, range->mapping, err);
}

int datapath_publish_suspend(const struct datapath *datapath, uint32_t uplink, struct error *err)
{
	return each(datapath, uplink, unmake, err);
}

int datapath_publish_resume(const struct datapath *datapath, uint32_t uplink, struct error *err)
{
	return each(datapath, uplink, remake, err);
}

int datapath_publish_forget(const struct datapath *datapath, uint32_t uplink, struct error *err)
{
	return each(datapath, uplink, forget, err);
}

/* ---- What is asked for. */

static struct range range_of(uint32_t uplink, const struct ip_address *inside,
			     const struct published_ports *ports)
{
	struct range range = {
		.mapping = NSR_MAPPING(NSR_POOL(uplink, ports->protocol), ports->external),
		.published = {.inside = {.port = htons(ports->inside),
					 .protocol = ports->protocol,
					 .uplink = (uint8_t)uplink},
			      .count = ports->count},
	};

	if (inside)
		memcpy(&range.published.inside.address, inside->bytes,
		       sizeof(range.published.inside.address));
	return range;
}

/* Whether an entry has a port of the range, unless it is the same one. */
static int check_free(const struct datapath *datapath, const struct range *range, struct error *err)
{
	uint32_t key, *previous = NULL, end = range->mapping + range->published.count;
	struct nsr_published entry;

	for (; !bpf_map_get_next_key(datapath->maps[MAP_published], previous, &key);
	     previous = &key) {
		if (bpf_map_lookup_elem(datapath->maps[MAP_published], &key, &entry) ||
		    key >= end || key + entry.count <= range->mapping ||
		    (key == range->mapping && entry.count == range->published.count &&
		     !memcmp(&entry.inside, &range->published.inside, sizeof(entry.inside))))
			continue;
		return error_set(err, -EEXIST, "cannot publish port %u/%s: it is published already",
				 NSR_MAPPING_PORT(key > range->mapping ? key : range->mapping),
				 published_protocol(entry.inside.protocol));
	}
	return 0;
}

/* In the host namespace, whose sockets are asked for. */
static int make_there(const struct datapath *datapath, const struct range *range, __be32 external,
		      int host_fd, struct error *err)
{
	int previous, ret = netns_enter(host_fd, &previous, err);

	if (ret)
		return ret;
	ret = make(datapath, range, external, err);
	netns_leave(previous);
	return ret ? ret : put_entry(datapath, range, true, err);
}

int datapath_publish(const struct datapath *datapath, uint32_t uplink_ifindex,
		     const struct ip_address *inside, const struct published_ports *ports,
		     int host_fd, struct error *err)
{
	struct nsr_uplink uplink;
	struct error ignored;
	struct range range;
	int ret;

	if (bpf_map_lookup_elem(datapath->maps[MAP_uplinks], &uplink_ifindex, &uplink))
		return error_set(err, -ENOENT, "cannot publish: no uplink has ifindex %u",
				 uplink_ifindex);
	range = range_of(uplink.index, inside, ports);
	ret = check_free(datapath, &range, err);
	if (!ret)
		ret = put_entry(datapath, &range, false, err);
	if (ret)
		return ret;
	datapath_follow(datapath, &uplink);
	ret = make_there(datapath, &range, uplink.address4, host_fd, err);
	if (ret)
		forget(datapath, &range, &ignored);
	return ret;
}

int datapath_unpublish(const struct datapath *datapath, uint32_t uplink_ifindex,
		       const struct published_ports *ports, struct error *err)
{
	struct nsr_uplink uplink;
	struct range range;
	int ret;

	if (bpf_map_lookup_elem(datapath->maps[MAP_uplinks], &uplink_ifindex, &uplink))
		return 0; /* its ports went with it */
	range = range_of(uplink.index, NULL, ports);
	if (bpf_map_lookup_elem(datapath->maps[MAP_published], &range.mapping, &range.published))
		return 0;
	ret = put_entry(datapath, &range, false, err);
	return ret ? ret : forget(datapath, &range, err);
}
