/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: in a hash (NSR_TABLE in bpf/maps.h) the kernel makes an element that has just been
 * freed into the next new one, while a program may still read it: it would go on with what another
 * key has. So what was freed is left alone until the programs that ran then have ended, which takes
 * some 15 ms. That is only where a change follows another one: a fabric that is new frees nothing,
 * and one that is removed adds nothing.
 */
#include "datapath_entry.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Hashes from which an element was freed since programs were waited for last, one bit each. */
static uint64_t freed;

static bool is_hash(enum datapath_map map)
{
	return map == MAP_ports || map == MAP_fdb || map == MAP_hosts4 || map == MAP_hosts6 ||
	       map == MAP_inner_links || map == MAP_uplinks;
}

/* A change of a map of maps returns only when that is so. */
int datapath_wait(struct error *err)
{
	int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "nsr_waited", sizeof(uint32_t),
				   sizeof(uint32_t), 1, NULL);
	LIBBPF_OPTS(bpf_map_create_opts, options, .inner_map_fd = (uint32_t)inner);
	int outer = inner < 0 ? inner
			      : bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "nsr_wait",
					       sizeof(uint32_t), sizeof(uint32_t), 1, &options);
	uint32_t zero = 0;
	int ret = outer < 0 ? outer : 0;

	if (!ret && bpf_map_update_elem(outer, &zero, &inner, BPF_ANY))
		ret = -errno;
	if (outer >= 0)
		close(outer);
	if (inner >= 0)
		close(inner);
	if (ret)
		return error_set(err, ret, "cannot wait for programs: %s", strerror(-ret));
	freed = 0;
	return 0;
}

int datapath_put(const struct datapath *datapath, enum datapath_map map, const void *key,
		 const void *value, const char *what, struct error *err)
{
	uint64_t bit = is_hash(map) ? 1ull << map : 0;

	if ((freed & bit) && datapath_wait(err))
		return err->code;
	if (bit && bpf_map_update_elem(datapath->maps[map], key, value, BPF_NOEXIST) == 0)
		return 0;
	if (!bit || errno == EEXIST) {
		freed |= bit; /* what is replaced */
		if (bpf_map_update_elem(datapath->maps[map], key, value, BPF_ANY) == 0)
			return 0;
	}
	if (errno == E2BIG || errno == ENOSPC)
		return error_set(err, -ENOSPC, "cannot add %s: the datapath's table is full", what);
	return error_set(err, -errno, "cannot add %s: %s", what, strerror(errno));
}

int datapath_drop(const struct datapath *datapath, enum datapath_map map, const void *key,
		  const char *what, struct error *err)
{
	if (bpf_map_delete_elem(datapath->maps[map], key) && errno != ENOENT)
		return error_set(err, -errno, "cannot remove %s: %s", what, strerror(errno));
	freed |= 1ull << map;
	return 0;
}
