/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: a pool is an array of mappings, by port, in the map of maps "pools" or "pools6",
 * and a set of bits, which says what is free. The bits are written first: without its array nothing
 * is taken from a pool.
 */
#include "datapath_pools.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "datapath_maps.h"

/* The tables of the NAT, by family. */
struct family {
	enum datapath_map pools, pool_bits, nat_counters;
	uint32_t mapping_size;
};

static const struct family families[2] = {
	{MAP_pools, MAP_pool_bits, MAP_nat_counters, sizeof(struct nsr_mapping)},
	{MAP_pools6, MAP_pool_bits6, MAP_nat_counters6, sizeof(struct nsr_mapping6)},
};

/* A pool with every port free that may be handed out, and all the others reserved. Port 0 is never
 * handed out, so that no mapping is 0. One namespace may have half of it. */
static void fill_bits(struct nsr_pool_bits *bits, uint16_t port_min, uint16_t port_max)
{
	unsigned int port, i, left = 0;

	memset(bits, 0, sizeof(*bits));
	for (port = 0; port < NSR_POOL_PORTS; port++)
		if (port == 0 || port < port_min || port > port_max)
			bits->words[NSR_POOL_BIT(port) / 64] |= 1ull << NSR_POOL_BIT(port) % 64;
	for (i = 0; i < NSR_POOL_WORDS; i++) {
		left += (unsigned int)__builtin_popcountll(~bits->words[i]);
		if (!~bits->words[i])
			bits->words[NSR_POOL_WORDS + i / 64] |= 1ull << i % 64;
	}
	bits->share = left > 1 ? left / 2 : 1;
	for (i = 0; i < 64; i++)
		if (i >= NSR_POOL_WORDS / 64 || !~bits->words[NSR_POOL_WORDS + i])
			bits->words[NSR_POOL_BITS_WORDS - 1] |= 1ull << i;
}

/* Ports that were in use went with the pools they were in. */
int datapath_pools_reset(const struct datapath *datapath, bool ipv6, uint32_t uplink,
			 struct error *err)
{
	int map = datapath->maps[families[ipv6].nat_counters];
	struct nsr_nat_counters nat;

	if (bpf_map_lookup_elem(map, &uplink, &nat))
		return error_set(err, -errno, "cannot read an uplink's counters: %s",
				 strerror(errno));
	memset(nat.ports_used, 0, sizeof(nat.ports_used));
	if (bpf_map_update_elem(map, &uplink, &nat, BPF_ANY))
		return error_set(err, -errno, "cannot set an uplink's counters: %s",
				 strerror(errno));
	return 0;
}

static int add_pool(const struct datapath *datapath, const struct family *family, uint32_t pool,
		    const struct nsr_pool_bits *bits, struct error *err)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "nsr_pool", sizeof(uint32_t),
				family->mapping_size, NSR_POOL_PORTS, NULL);
	int ret = 0;

	if (fd < 0)
		return error_set(err, fd, "cannot create a pool of ports: %s", strerror(-fd));
	if (bpf_map_update_elem(datapath->maps[family->pool_bits], &pool, bits, BPF_ANY) ||
	    bpf_map_update_elem(datapath->maps[family->pools], &pool, &fd, BPF_ANY))
		ret = error_set(err, -errno, "cannot add a pool of ports: %s", strerror(errno));
	close(fd);
	return ret;
}

int datapath_pools_add(const struct datapath *datapath, bool ipv6, const struct nsr_uplink *uplink,
		       uint32_t slot, struct error *err)
{
	static struct nsr_pool_bits bits; /* 8 KiB: not for the stack */
	const struct family *family = &families[ipv6];
	int ret = 0;

	fill_bits(&bits, uplink->port_min, uplink->port_max);
	for (uint32_t protocol = 0; protocol < NSR_NAT_PROTOCOLS && !ret; protocol++)
		ret = add_pool(datapath, family, NSR_POOL(slot, protocol), &bits, err);
	return ret;
}

int datapath_pools_drop(const struct datapath *datapath, bool ipv6, uint32_t slot,
			struct error *err)
{
	for (uint32_t protocol = 0; protocol < NSR_NAT_PROTOCOLS; protocol++) {
		uint32_t pool = NSR_POOL(slot, protocol);

		if (bpf_map_delete_elem(datapath->maps[families[ipv6].pools], &pool) &&
		    errno != ENOENT)
			return error_set(err, -errno, "cannot remove a pool of ports: %s",
					 strerror(errno));
	}
	return 0;
}
