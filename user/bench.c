/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "bench.h"

const struct bench_path_info bench_paths[BENCH_PATHS] = {
	[BENCH_DIRECT] = {"direct", "direct veth", BENCH_CEILING},
	[BENCH_SWITCHED] = {"switched", "nsroute, one bridge network", BENCH_OURS},
	[BENCH_ROUTED] = {"routed", "nsroute, network to network", BENCH_OURS},
	[BENCH_CABLES] = {"cables", "nsroute, one network of type routed", BENCH_OURS},
	[BENCH_MASQUERADED] = {"masqueraded", "nsroute, masqueraded to an uplink", BENCH_OURS},
	[BENCH_BIG_TCP] = {"big_tcp", "nsroute, network to network, BIG TCP", BENCH_OURS},
	[BENCH_REDIRECT_PEER] = {"redirect_peer", "bare tc redirect_peer program", BENCH_BARE},
	[BENCH_REDIRECT_NEIGH] = {"redirect_neigh", "bare tc redirect_neigh program, to an uplink",
				  BENCH_BARE},
	[BENCH_BRIDGE] = {"bridge", "kernel bridge", BENCH_PEER},
	[BENCH_BRIDGE_NETFILTER] = {"bridge_netfilter", "kernel bridge + br_netfilter", BENCH_PEER},
	[BENCH_ROUTING] = {"routing", "kernel routing", BENCH_PEER},
	[BENCH_IPTABLES] = {"iptables", "kernel routing + iptables MASQUERADE", BENCH_PEER},
	[BENCH_NFT] = {"nft", "kernel routing + nft masquerade", BENCH_PEER},
	[BENCH_FLOWTABLE] = {"flowtable", "nft masquerade + flow table", BENCH_PEER},
	[BENCH_NETKIT] = {"netkit", "netkit pair, direct", BENCH_PEER},
	[BENCH_IPVLAN] = {"ipvlan", "ipvlan, both on one parent", BENCH_PEER},
	[BENCH_MACVLAN] = {"macvlan", "macvlan, both on one parent", BENCH_PEER},
	[BENCH_OPENVSWITCH] = {"openvswitch", "Open vSwitch kernel datapath", BENCH_PEER},
};

const struct bench_test_info bench_tests[BENCH_TESTS] = {
	[BENCH_TCP_RR] = {"tcp_rr", "transactions", true, false, 0, 0},
	[BENCH_UDP_RR] = {"udp_rr", "transactions", true, false, 0, 0},
	[BENCH_TCP_CRR] = {"tcp_crr", "transactions", true, false, 0, 0},
	[BENCH_STREAM] = {"stream", "bytes", false, false, 0, 0},
	[BENCH_UDP_SMALL] = {"udp_small", "packets", false, false, 0, 0},
	[BENCH_FRAMES] = {"frames", "frames", false, true, 0, 0},
	[BENCH_FRAMES_XDP] = {"frames_xdp", "frames", false, true, 0, 0},
	[BENCH_FLOWS_1K] = {"flows_1k", "frames", false, true, 1024, 0},
	[BENCH_FLOWS_128K] = {"flows_128k", "frames", false, true, 131072, 0},
	[BENCH_FLOWS_1M] = {"flows_1m", "frames", false, true, 1048576, 0},
	[BENCH_HOSTS_16] = {"hosts_16", "frames", false, true, 0, 16},
	[BENCH_HOSTS_16K] = {"hosts_16k", "frames", false, true, 0, 16384},
};

bool bench_void(const struct bench_result *result, enum bench_path path, enum bench_test test)
{
	const struct bench_cell *cell = &result->cells[path][test];
	uint64_t allowed = bench_tests[test].frames ? cell->units / 9 : 0;

	return cell->lost > allowed || result->counters[path].bad_checksums > 0;
}

bool bench_met(const struct bench_result *result, const struct bench_requirement *requirement)
{
	const struct bench_cell *cell = &result->cells[requirement->path][requirement->test];

	return cell->count >= BENCH_ENOUGH_ROUNDS &&
	       !bench_void(result, requirement->path, requirement->test) &&
	       bench_summarize(cell->ratios, cell->count).median >= requirement->ratio;
}
