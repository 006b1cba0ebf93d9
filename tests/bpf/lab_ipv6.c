/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How it works: what lab.c tells of the NAT's state, of IPv6.
 */
#include "lab.h"

#include <bpf/bpf.h>

#include "datapath_maps.h"

struct nsr_nat_counters lab_nat6(struct lab *lab, enum lab_uplink which)
{
	struct nsr_nat_counters nat;

	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_nat_counters6],
					     &lab->uplink_number[which], &nat),
			 0);
	return nat;
}

uint32_t lab_session_bits6(struct lab *lab)
{
	static struct nsr_session_bits6 bits;
	uint32_t count = 0, set, i;

	for (set = 0; set < lab->datapath->session_sets; set++) {
		assert_int_equal(
			bpf_map_lookup_elem(lab->datapath->maps[MAP_session_bits6], &set, &bits),
			0);
		for (i = 0; i < NSR_SESSION6_WORDS; i++)
			count += (uint32_t)__builtin_popcountll(bits.words[i]);
	}
	return count;
}

uint32_t lab_pool_bits6(struct lab *lab, enum lab_uplink which, enum nsr_nat_protocol protocol)
{
	static struct nsr_pool_bits bits;
	uint32_t pool = NSR_POOL(lab->uplink_number[which], protocol), count = 0, i;
	struct nsr_uplink uplink;

	assert_int_equal(bpf_map_lookup_elem(lab->datapath->maps[MAP_pool_bits6], &pool, &bits), 0);
	assert_int_equal(
		bpf_map_lookup_elem(lab->datapath->maps[MAP_uplinks], &lab->uplink[which], &uplink),
		0);
	for (i = 0; i < NSR_POOL_WORDS; i++)
		count += (uint32_t)__builtin_popcountll(bits.words[i]);
	return count - (NSR_POOL_PORTS - (uplink.port_max - uplink.port_min + 1u));
}

void lab_expect_no_flows6(struct lab *lab)
{
	struct nsr_selection6 all = {0};
	struct nsr_nat_counters nat;
	uint32_t i;

	for (i = 0; i < LAB_UPLINKS; i++) {
		all.uplink = (uint8_t)(1 + lab->uplink_number[i]);
		assert_int_equal(datapath_flush6(lab->datapath, &all, NULL, &lab->err), 0);
		nat = lab_nat6(lab, i);
		assert_int_equal(lab_sum(nat.sessions_created), lab_sum(nat.sessions_expired));
		assert_int_equal(lab_sum(nat.mappings_created), lab_sum(nat.mappings_ended));
	}
	assert_int_equal(lab_session_bits6(lab), 0);
	assert_int_equal(lab_entries(lab, MAP_session_by_flow6), 0);
	assert_int_equal(lab_entries(lab, MAP_mapping_by_inside6), 0);
}
