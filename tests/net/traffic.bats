#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Traffic through a fabric of two networks with an uplink: it arrives, the outside sees one address,
# and the counters account for every packet. check-kernels runs this file on older kernels too, so it
# probes for what they do otherwise, and is short.

# shellcheck disable=SC2154 # bats sets output; fabric.bash the names
load fabric

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
}

teardown() {
	clean_up
}

# What is the same whoever forwards.
assert_traffic() {
	# Checksums on the wire are complete then, so that the capture can judge them.
	on "$host" ethtool -K eth0 tx off >/dev/null
	start_capture "$outside" eth0
	traffic
	stop_capture
	assert_no_leak
	[[ $(captured "icmp and src host $uplink_address" | grep -c 'echo request') -ge 9 ]]
	[[ $(captured "tcp and src host $uplink_address" | wc -l) -ge 18 ]]
	run ! grep -iE 'bad|wrong|incorrect' < <(captured ip)

	if peer_is_counted; then
		assert_counts_equal
	else
		echo "# this kernel does not count redirected packets at the receiver" >&3
		assert_counts_equal ' rx .*'
	fi
	[[ -z $(on "$host" nft list ruleset) ]]
	run ! grep '^-A' < <(on "$host" iptables-save 2>/dev/null)
}

@test "fast path: inside, between networks, through a router, out; the outside sees the uplink only" {
	up
	assert_traffic
	(($(total fast_packets) > $(total slow_packets)))
	[[ $(stats '.drops | add') == 0 ]]
}

@test "datapath kernel: the same traffic, the same view from outside, no fast packet" {
	up kernel
	assert_traffic
	[[ $(total fast_packets) == 0 ]]
	[[ $(stats '.drops | add') == 0 ]]
}

@test "the gateway answers what has lived too long, or is too large for the uplink" {
	up
	run -1 on "$red" ping -n -c 1 -W 3 -t 1 192.168.16.11
	[[ $output == *"From 192.168.15.1 "*"Time to live exceeded"* ]]
	run -1 on "$red" ping -n -c 1 -W 3 -t 1 "$outside_address"
	[[ $output == *"From 192.168.15.1 "*"Time to live exceeded"* ]]
	run -1 on "$red" ping -n -c 1 -W 3 -t 1 fd00:16::11
	[[ $output == *"From fd00:15::1 "*"Hop limit"* ]]
	run -0 on "$red" ping -n -c 1 -W 3 -t 2 192.168.16.11
	[[ $output == *"ttl=63"* ]]

	ip -n "$host" link set eth0 mtu 1400
	ip -n "$outside" link set eth0 mtu 1400
	run -1 on "$red" ping -n -c 1 -W 3 -M "do" -s 1472 "$outside_address"
	[[ $output == *"From 192.168.15.1 "*"mtu = 1400"* ]]
	run -0 on "$red" ping -n -c 1 -W 3 -M "do" -s 1372 "$outside_address"
	# What was learned is heeded: TCP comes through.
	bulk "$red" "$outside" "$outside_address"
}

@test "bulk goes by the fast path; without its table entry by the kernel; apply mends that" {
	up
	mark_counters
	bulk "$red" "$blue" 192.168.15.12
	bulk "$red" "$green" 192.168.16.11
	bulk "$red" "$outside" "$outside_address"
	bulk "$red" "$outside" "$outside_address" --reverse
	(($(fast_share) >= 99))

	bpftool map delete pinned "/sys/fs/bpf/nsroute/$cookie/hosts4" key 192 168 16 11
	mark_counters
	bulk "$red" "$green" 192.168.16.11
	(($(fast_share) < 90))

	mac=$(ip -n "$blue" -j link show eth0 | jq -r '.[].address')
	key=$(bpftool -j map dump pinned "/sys/fs/bpf/nsroute/$cookie/fdb" |
		jq -r --arg mac "0x${mac//:/ 0x}" '.[].key | join(" ") | select(startswith($mac))')
	# shellcheck disable=SC2086 # bytes
	bpftool map delete pinned "/sys/fs/bpf/nsroute/$cookie/fdb" key $key
	mark_counters
	bulk "$red" "$blue" 192.168.15.12
	(($(fast_share) < 90))

	run -3 lab plan "$topology"
	((${#lines[@]} == 2))
	lab apply "$topology"
	mark_counters
	bulk "$red" "$blue" 192.168.15.12
	bulk "$red" "$green" 192.168.16.11
	(($(fast_share) >= 99))
}
