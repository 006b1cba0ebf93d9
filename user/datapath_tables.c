/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the datapath is told: ports, endpoints, uplinks, prefixes. Each entry is one map update, so
 * packets see the old one or the new one. Numbers (of ports, of uplinks) are given out here, the
 * lowest free one first.
 *
 * An uplink's entry makes its programs act, so it comes last and goes last. While its pools and
 * sessions change it has no external address, which means that what is inside is dropped: at no
 * instant does a guard that was there let an inside source out. A number that is given out may have
 * been half taken back by a process that was killed; so its sessions and pools are removed first.
 */
#include "datapath.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath_entry.h"
#include "datapath_externals.h"
#include "datapath_maps.h"
#include "datapath_numbers.h"
#include "datapath_pools.h"
#include "datapath_publish.h"
#include "datapath_reserve.h"

/* ---- Ports. */

static int read_port_numbers(struct datapath *datapath, struct error *err)
{
	uint32_t key, *previous = NULL;
	struct nsr_port port;

	if (datapath->port_numbers)
		return 0;
	datapath->port_numbers = calloc(NSR_PORTS_MAX / 64, sizeof(uint64_t));
	if (!datapath->port_numbers)
		return error_set(err, -ENOMEM, "out of memory");
	while (bpf_map_get_next_key(datapath->maps[MAP_ports], previous, &key) == 0) {
		if (bpf_map_lookup_elem(datapath->maps[MAP_ports], &key, &port) == 0)
			datapath->port_numbers[port.index / 64] |= 1ull << port.index % 64;
		previous = &key;
	}
	return 0;
}

static int take_port_number(struct datapath *datapath, uint32_t *ret_number, struct error *err)
{
	unsigned int word;
	int ret = read_port_numbers(datapath, err);

	if (ret)
		return ret;
	for (word = 0; word < NSR_PORTS_MAX / 64; word++) {
		if (!~datapath->port_numbers[word])
			continue;
		*ret_number = word * 64 + (uint32_t)__builtin_ctzll(~datapath->port_numbers[word]);
		datapath->port_numbers[word] |= 1ull << *ret_number % 64;
		return 0;
	}
	return error_set(err, -ENOSPC, "cannot add a port: this host namespace has %d already",
			 NSR_PORTS_MAX);
}

static int reset_port_counters(const struct datapath *datapath, uint32_t number, struct error *err)
{
	int cpus = libbpf_num_possible_cpus(), ret;
	struct nsr_drops drops = {0};
	void *zeros;

	if (cpus < 0)
		return error_set(err, cpus, "cannot count the CPUs: %s", strerror(-cpus));
	zeros = calloc((size_t)cpus, sizeof(struct nsr_port_counters));
	if (!zeros)
		return error_set(err, -ENOMEM, "out of memory");
	ret = datapath_put(datapath, MAP_port_counters, &number, zeros, "a port's counters", err);
	free(zeros);
	return ret ? ret
		   : datapath_put(datapath, MAP_port_drops, &number, &drops, "a port's counters",
				  err);
}

static int drop_sources(const struct datapath *datapath, uint32_t number, struct error *err)
{
	struct nsr_source_key key, next, *previous = NULL;
	int map = datapath->maps[MAP_sources];

	while (bpf_map_get_next_key(map, previous, &next) == 0) {
		if ((ntohl(next.port) & ~NSR_SOURCE_IPV6) == number) {
			if (datapath_drop(datapath, MAP_sources, &next, "a port's source", err))
				return err->code;
			continue; /* from the one before again: this key is gone */
		}
		key = next;
		previous = &key;
	}
	return 0;
}

int datapath_port_set(struct datapath *datapath, uint32_t ifindex, const struct nsr_port *port,
		      uint32_t *ret_index, struct error *err)
{
	struct nsr_port entry, known;
	int ret = 0;

	entry = *port;
	entry.reserved = 0;
	if (bpf_map_lookup_elem(datapath->maps[MAP_ports], &ifindex, &known) == 0) {
		entry.index = known.index;
	} else {
		ret = take_port_number(datapath, &entry.index, err);
		if (!ret) /* a killed process may have left some */
			ret = drop_sources(datapath, entry.index, err);
		if (!ret)
			ret = reset_port_counters(datapath, entry.index, err);
	}
	if (!ret)
		ret = datapath_put(datapath, MAP_ports, &ifindex, &entry, "a port", err);
	if (!ret && ret_index)
		*ret_index = entry.index;
	return ret;
}

int datapath_port_delete(struct datapath *datapath, uint32_t ifindex, struct error *err)
{
	struct nsr_port port;
	int ret;

	if (bpf_map_lookup_elem(datapath->maps[MAP_ports], &ifindex, &port))
		return 0;
	ret = drop_sources(datapath, port.index, err);
	if (!ret)
		ret = datapath_drop(datapath, MAP_ports, &ifindex, "a port", err);
	if (!ret && datapath->port_numbers)
		datapath->port_numbers[port.index / 64] &= ~(1ull << port.index % 64);
	return ret;
}

static struct nsr_source_key source_key(uint32_t port, const struct ip_address *prefix)
{
	bool ipv6 = prefix->family == AF_INET6;
	struct nsr_source_key key = {.prefix_len = 32u + prefix->prefix_len,
				     .port = htonl(ipv6 ? port | NSR_SOURCE_IPV6 : port)};

	memcpy(key.address, prefix->bytes, ipv6 ? 16 : 4);
	return key;
}

int datapath_source_set(struct datapath *datapath, uint32_t port_ifindex,
			const struct ip_address *prefix, struct error *err)
{
	struct nsr_source_key key;
	struct nsr_port port;
	uint8_t unused = 0;

	if (bpf_map_lookup_elem(datapath->maps[MAP_ports], &port_ifindex, &port))
		return error_set(err, -ENOENT, "cannot add a source: no port has ifindex %u",
				 port_ifindex);
	key = source_key(port.index, prefix);
	return datapath_put(datapath, MAP_sources, &key, &unused, "a port's source", err);
}

int datapath_source_delete(struct datapath *datapath, uint32_t port_ifindex,
			   const struct ip_address *prefix, struct error *err)
{
	struct nsr_source_key key;
	struct nsr_port port;

	if (bpf_map_lookup_elem(datapath->maps[MAP_ports], &port_ifindex, &port))
		return 0;
	key = source_key(port.index, prefix);
	return datapath_drop(datapath, MAP_sources, &key, "a port's source", err);
}

/* ---- Endpoints. */

static int complete_endpoint(const struct datapath *datapath, struct nsr_endpoint *endpoint,
			     struct error *err)
{
	struct nsr_port port;

	if (bpf_map_lookup_elem(datapath->maps[MAP_ports], &endpoint->ifindex, &port))
		return error_set(err, -ENOENT, "cannot add an endpoint: no port has ifindex %u",
				 endpoint->ifindex);
	endpoint->port = port.index;
	return 0;
}

bool datapath_has_sessions(const struct datapath *datapath, bool ipv6)
{
	static struct nsr_session_bits bits; /* 33 KiB, not for the stack; IPv6 has fewer */
	int map = datapath->maps[ipv6 ? MAP_session_bits6 : MAP_session_bits];
	unsigned int words = ipv6 ? NSR_SESSION6_WORDS : NSR_SESSION_WORDS;

	for (uint32_t set = 0; set < datapath->session_sets; set++) {
		if (bpf_map_lookup_elem(map, &set, &bits))
			return true;
		for (unsigned int i = 0; i < words; i++)
			if (bits.words[i])
				return true;
	}
	return false;
}

/* Sessions have inside addresses as their remotes only while something is published. */
static bool is_published(const struct datapath *datapath)
{
	const uint32_t ifindex = STATE_LOOPBACK;
	struct nsr_uplink loopback;

	return !bpf_map_lookup_elem(datapath->maps[MAP_uplinks], &ifindex, &loopback);
}

static int end_sessions_of_host4(const struct datapath *datapath, const struct ip_address *ip,
				 struct error *err)
{
	struct nsr_selection own = {.mask = ~(__be32)0}, asked = {.remote_mask = ~(__be32)0};
	int ret;

	memcpy(&own.address, ip->bytes, sizeof(own.address));
	memcpy(&asked.remote, ip->bytes, sizeof(asked.remote));
	ret = datapath_flush(datapath, &own, NULL, err);
	return ret || !is_published(datapath) ? ret : datapath_flush(datapath, &asked, NULL, err);
}

static int end_sessions_of_host6(const struct datapath *datapath, const struct ip_address *ip,
				 struct error *err)
{
	struct nsr_selection6 own = {0}, asked = {0};
	int ret;

	memcpy(&own.address, ip->bytes, sizeof(own.address));
	memset(&own.mask, 0xff, sizeof(own.mask));
	memcpy(&asked.remote, ip->bytes, sizeof(asked.remote));
	memset(&asked.remote_mask, 0xff, sizeof(asked.remote_mask));
	ret = datapath_flush6(datapath, &own, NULL, err);
	return ret || !is_published(datapath) ? ret : datapath_flush6(datapath, &asked, NULL, err);
}

/* Replies to who had the address are nothing for the next; nor is what it had of others' published
 * ports, which counts for its interface (bpf/guest.h). */
static int end_sessions_of_host(const struct datapath *datapath, const struct ip_address *ip,
				struct error *err)
{
	bool ipv6 = ip->family == AF_INET6;

	if (!datapath_has_sessions(datapath, ipv6))
		return 0;
	return ipv6 ? end_sessions_of_host6(datapath, ip, err)
		    : end_sessions_of_host4(datapath, ip, err);
}

/* An address whose interface is gone, or is another one. */
int datapath_host_delete(struct datapath *datapath, const struct ip_address *ip, struct error *err)
{
	int ret = datapath_drop(datapath, ip->family == AF_INET ? MAP_hosts4 : MAP_hosts6,
				ip->bytes, "an endpoint's address", err);

	return ret ? ret : end_sessions_of_host(datapath, ip, err);
}

int datapath_host_set(struct datapath *datapath, const struct ip_address *ip,
		      const struct nsr_endpoint *endpoint, struct error *err)
{
	enum datapath_map map = ip->family == AF_INET ? MAP_hosts4 : MAP_hosts6;
	struct nsr_endpoint entry = *endpoint, known;
	int ret = complete_endpoint(datapath, &entry, err);

	if (ret)
		return ret;
	/* A process that was killed behind the deletion of an entry has left its sessions. */
	if (bpf_map_lookup_elem(datapath->maps[map], ip->bytes, &known))
		ret = end_sessions_of_host(datapath, ip, err);
	else if (known.ifindex != entry.ifindex)
		ret = datapath_host_delete(datapath, ip, err);
	return ret ? ret
		   : datapath_put(datapath, map, ip->bytes, &entry, "an endpoint's address", err);
}

int datapath_fdb_set(struct datapath *datapath, const struct nsr_fdb_key *key,
		     const struct nsr_endpoint *endpoint, struct error *err)
{
	struct nsr_endpoint entry = *endpoint;
	int ret = complete_endpoint(datapath, &entry, err);

	return ret ? ret
		   : datapath_put(datapath, MAP_fdb, key, &entry, "an endpoint's MAC address", err);
}

int datapath_fdb_delete(struct datapath *datapath, const struct nsr_fdb_key *key, struct error *err)
{
	return datapath_drop(datapath, MAP_fdb, key, "an endpoint's MAC address", err);
}

int datapath_inner_link_set(struct datapath *datapath, uint32_t ifindex,
			    const struct nsr_inner_link *inner, struct error *err)
{
	return datapath_put(datapath, MAP_inner_links, &ifindex, inner, "an inner link", err);
}

int datapath_inner_link_delete(struct datapath *datapath, uint32_t ifindex, struct error *err)
{
	return datapath_drop(datapath, MAP_inner_links, &ifindex, "an inner link", err);
}

/* ---- Uplinks. */

static int reset_uplink_counters(const struct datapath *datapath, uint32_t number,
				 struct error *err)
{
	int cpus = libbpf_num_possible_cpus(), ret;
	struct nsr_nat_counters nat = {0};
	struct nsr_drops drops = {0};
	void *zeros;

	if (cpus < 0)
		return error_set(err, cpus, "cannot count the CPUs: %s", strerror(-cpus));
	zeros = calloc((size_t)cpus, sizeof(struct nsr_uplink_counters));
	if (!zeros)
		return error_set(err, -ENOMEM, "out of memory");
	ret = datapath_put(datapath, MAP_uplink_counters, &number, zeros, "an uplink's counters",
			   err);
	free(zeros);
	if (!ret)
		ret = datapath_put(datapath, MAP_uplink_drops, &number, &drops,
				   "an uplink's counters", err);
	if (!ret)
		ret = datapath_put(datapath, MAP_nat_counters, &number, &nat,
				   "an uplink's counters", err);
	if (!ret)
		ret = datapath_put(datapath, MAP_nat_counters6, &number, &nat,
				   "an uplink's counters", err);
	return ret;
}

int datapath_wait_for_programs(const struct datapath *datapath, uint32_t number, struct error *err)
{
	uint32_t pool = NSR_POOL(number, 0), id;

	/* Without a pool no program can have translated anything for the uplink. */
	return bpf_map_lookup_elem(datapath->maps[MAP_pools], &pool, &id) ? 0 : datapath_wait(err);
}

/* Ends the sessions of an uplink whose programs open no new ones, and removes its pools. Direct
 * ones have nothing to do with its address: they go with the inside prefix. */
static int empty_uplink(const struct datapath *datapath, bool ipv6, uint32_t number,
			uint32_t ifindex, struct error *err)
{
	struct nsr_selection all = {.uplink = (uint8_t)(1 + number),
				    .kind = 1 + NSR_FLOW_TRANSLATED};
	struct nsr_selection6 all6 = {.uplink = (uint8_t)(1 + number),
				      .kind = 1 + NSR_FLOW_TRANSLATED};
	int ret = datapath_publish_suspend(datapath, ipv6, number, err);

	if (!ret)
		ret = datapath_wait_for_programs(datapath, number, err);
	if (!ret)
		ret = ipv6 ? datapath_flush6(datapath, &all6, NULL, err)
			   : datapath_flush(datapath, &all, NULL, err);
	for (uint32_t slot = 0; slot < NSR_SLOTS_MAX && !ret; slot++) {
		if (!datapath_slot_is_of(datapath, slot, number, ifindex))
			continue;
		ret = datapath_flush_ports(datapath, ipv6, slot, err);
		if (!ret)
			ret = datapath_pools_drop(datapath, ipv6, slot, err);
	}
	return ret ? ret : datapath_pools_reset(datapath, ipv6, number, err);
}

static bool has_address6(const struct nsr_uplink *uplink)
{
	static const uint8_t none[16];

	return memcmp(uplink->address6, none, sizeof(none)) != 0;
}

static int put_uplink(const struct datapath *datapath, const struct nsr_uplink *uplink,
		      struct error *err)
{
	return datapath_put(datapath, MAP_uplinks, &uplink->ifindex, uplink, "an uplink", err);
}

/* Whom the host speaks to, or hears from, by an uplink that had this number. Programs change the
 * table meanwhile, and where the walk's place has gone it begins again; so it has an end. */
static int forget_host(const struct datapath *datapath, enum datapath_map map, uint32_t number,
		       struct error *err)
{
	union {
		struct nsr_host_remote ipv4;
		struct nsr_host_remote6 ipv6;
		struct nsr_host_echo echo;
	} key, next, *previous = NULL;
	bool ipv6 = map == MAP_host_remotes6 || map == MAP_host_hears6;
	bool echo = map == MAP_host_echoes;
	struct bpf_map_info info = {0};
	uint32_t left, size = sizeof(info);

	if (bpf_obj_get_info_by_fd(datapath->maps[map], &info, &size))
		return error_set(err, -errno, "cannot look at map '%s': %s", datapath_map_name[map],
				 strerror(errno));
	for (left = 4 * info.max_entries;
	     left && !bpf_map_get_next_key(datapath->maps[map], previous, &next); left--) {
		uint32_t uplink = echo   ? next.echo.uplink
				  : ipv6 ? next.ipv6.uplink
					 : next.ipv4.uplink;

		if (uplink == number) {
			if (datapath_drop(datapath, map, &next, "whom the host speaks to", err))
				return err->code;
			continue; /* from the one before again: this key is gone */
		}
		key = next;
		previous = &key;
	}
	return 0;
}

static int forget_hosts(const struct datapath *datapath, uint32_t number, struct error *err)
{
	static const enum datapath_map maps[] = {MAP_host_remotes, MAP_host_hears,
						 MAP_host_remotes6, MAP_host_hears6,
						 MAP_host_echoes};
	int ret = 0;

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]) && !ret; i++)
		ret = forget_host(datapath, maps[i], number, err);
	return ret;
}

/* Its entry is there, and closed for the families that change. IPv6's pools take memory only where
 * there is an address to use them with. */
static int open_uplink(const struct datapath *datapath, const struct nsr_uplink *uplink,
		       bool change4, bool change6, struct error *err)
{
	struct nsr_uplink marked = *uplink;
	int ret = 0;

	marked.flags |= (change4 ? NSR_UPLINK_CHANGING4 : 0) | (change6 ? NSR_UPLINK_CHANGING6 : 0);
	if (change4)
		ret = empty_uplink(datapath, false, uplink->index, uplink->ifindex, err);
	if (!ret && change4)
		ret = datapath_slots_open(datapath, false, uplink, err);
	if (!ret && change6)
		ret = empty_uplink(datapath, true, uplink->index, uplink->ifindex, err);
	if (!ret && change6)
		ret = datapath_slots_open(datapath, true, uplink, err);
	if (!ret)
		ret = datapath_put(datapath, MAP_uplink_by_index, &uplink->index, &uplink->ifindex,
				   "an uplink", err);
	if (!ret) /* which address an inside one has is known */
		ret = put_uplink(datapath, &marked, err);
	if (!ret)
		ret = datapath_publish_resume(datapath, false, uplink->index, err);
	if (!ret && has_address6(uplink))
		ret = datapath_publish_resume(datapath, true, uplink->index, err);
	if (!ret)
		ret = put_uplink(datapath, uplink, err);
	return ret ? ret : datapath_slots_release(datapath, uplink, err);
}

/* A change that some flows survive is made at once; *change tells whether there is more to do. */
static int repair(const struct datapath *datapath, const struct nsr_uplink *known,
		  const struct nsr_uplink *entry, bool ipv6, bool *change, struct error *err)
{
	const unsigned int changing = ipv6 ? NSR_UPLINK_CHANGING6 : NSR_UPLINK_CHANGING4;

	*change = known->flags & changing || datapath_externals_differ(known, entry, ipv6);
	if (!*change || !datapath_can_repair(known, entry, ipv6))
		return 0;
	*change = false;
	return datapath_repair(datapath, ipv6, known, entry, err);
}

int datapath_uplink_set(struct datapath *datapath, uint32_t ifindex,
			const struct nsr_uplink *uplink, uint32_t *ret_index, struct error *err)
{
	struct nsr_uplink entry = *uplink, entered, known, trimmed, closed;
	bool change4 = true, change6 = true;
	int ret = 0;

	entry.ifindex = ifindex;
	if (bpf_map_lookup_elem(datapath->maps[MAP_uplinks], &ifindex, &entered) == 0) {
		entry.index = entered.index;
		known = entered;
		datapath_follow(datapath, &known);
		ret = datapath_recall(datapath, &entered, &known, err);
		if (!ret)
			ret = datapath_slots_take(datapath, &known, &entry, err);
		trimmed = entry;
		datapath_slots_trim(&trimmed);
		if (!ret && !memcmp(&trimmed, &known, sizeof(known))) {
			ret = datapath_slots_release(datapath, &entry, err);
			goto done;
		}
		if (!ret)
			ret = datapath_externals_part(datapath, &entry, err);
		if (!ret && entry.port_min == known.port_min && entry.port_max == known.port_max) {
			ret = repair(datapath, &known, &entry, false, &change4, err);
			if (!ret)
				ret = repair(datapath, &known, &entry, true, &change6, err);
		}
	} else {
		ret = datapath_take_number(datapath, &entry.index, err);
		if (!ret)
			ret = datapath_publish_forget(datapath, entry.index, err);
		if (!ret)
			ret = forget_hosts(datapath, entry.index, err);
		if (!ret)
			ret = reset_uplink_counters(datapath, entry.index, err);
		if (!ret)
			ret = datapath_slots_take(datapath, NULL, &entry, err);
		if (!ret)
			ret = datapath_externals_part(datapath, &entry, err);
	}
	datapath_slots_trim(&entry);
	closed = entry;
	datapath_externals_close(&closed, change4, change6);
	if (!ret)
		ret = put_uplink(datapath, &closed, err);
	if (!ret)
		ret = open_uplink(datapath, &entry, change4, change6, err);
done:
	if (!ret && ret_index)
		*ret_index = entry.index;
	return ret;
}

int datapath_uplink_delete(struct datapath *datapath, uint32_t ifindex, struct error *err)
{
	struct nsr_uplink closed = {.ifindex = ifindex};
	uint32_t unused = 0;
	int ret;

	/* Who was killed before there was an entry may have taken slots for it. */
	if (bpf_map_lookup_elem(datapath->maps[MAP_uplinks], &ifindex, &closed))
		return datapath_slots_release(datapath, &closed, err);
	datapath_externals_close(&closed, true, true);
	ret = put_uplink(datapath, &closed, err);
	if (!ret)
		ret = datapath_publish_forget(datapath, closed.index, err);
	if (!ret)
		ret = datapath_put(datapath, MAP_uplink_by_index, &closed.index, &unused,
				   "an uplink", err);
	if (!ret)
		ret = empty_uplink(datapath, false, closed.index, ifindex, err);
	if (!ret)
		ret = empty_uplink(datapath, true, closed.index, ifindex, err);
	memset(closed.slots, 0, sizeof(closed.slots));
	if (!ret)
		ret = datapath_slots_release(datapath, &closed, err);
	return ret ? ret : datapath_drop(datapath, MAP_uplinks, &ifindex, "an uplink", err);
}
