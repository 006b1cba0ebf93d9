#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# One binary meets the datapath of another: the same layout is taken over under traffic, whatever
# else is refused and can be removed. The other binaries are this one with other BPF programs
# (VARIANTS in the Makefile).

# shellcheck disable=SC2154,SC2030,SC2031 # bats sets output; fabric.bash and takeover.bash the names
load fabric
load takeover

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	host_state >"$work/before"
}

teardown() {
	clean_up
}

@test "another build is taken over: plan says so, apply does it, what was there is gone" {
	up
	traffic
	attached >"$work/old"
	before=$(pinned)
	fast=$(total fast_packets)
	run -3 with code plan "$topology"
	[[ $output == "~ datapath: BPF programs of this nsroute: those of another build are attached; flows go on" ]]
	run -3 --separate-stderr with code -j plan "$topology"
	jq -e '.operations | map(.kind) == ["datapath_exchange"]' <<<"$output"
	attached | diff "$work/old" -
	run -0 with code apply "$topology"
	[[ $output == "fabric 'lab': 1 operation done" ]]
	attached >"$work/new"
	[[ $(wc -l <"$work/new") == "$(wc -l <"$work/old")" ]]
	[[ $(cut -d ' ' -f -3 "$work/new") == "$(cut -d ' ' -f -3 "$work/old")" ]]
	for name in nsr_port_in nsr_uplink_in nsr_uplink_out; do # nsr_port_out has nothing to place
		tag=$(awk -v "name=$name" '$3 == name { print $4 }' "$work/old" | sort -u)
		run ! grep -F " $tag " "$work/new"
	done
	for id in $before $(awk '{ print $5 }' "$work/old"); do
		run ! bpftool prog show id "$id"
	done
	(($(total fast_packets) >= fast))
	run -0 with code plan "$topology"
	run -0 with code apply "$topology"
	[[ $output == "fabric 'lab': nothing to do" ]]
	traffic
	assert_counts_as_known

	# And back, by the binary that built it.
	run -0 lab apply "$topology"
	attached_code | diff <(cut -d ' ' -f -4 "$work/old") -
	traffic
	lab down lab
	assert_as_before
}

@test "under traffic: no ping is lost, connections and flows go on, counters only grow" {
	up
	pings "$red" "$outside_address" # the neighbours are known
	pings "$red" fd00:16::11
	start_streams 12
	start_pings
	opened=$(sessions created) before=$(total tx_packets)
	for variant in code faults code faults; do
		run -0 with "$variant" apply "$topology"
		[[ $output == "fabric 'lab': 1 operation done" ]]
		now=$(total tx_packets)
		((now > before))
		before=$now
		sleep 0.5
	done
	[[ $(sessions created) == "$opened" && $(sessions expired) == 0 ]]
	assert_no_ping_lost
	assert_streams_whole
	assert_counts_as_known
}

@test "flows that one build opened expire by the clock of the next" {
	up
	exchange udp "$red" "$outside" "$outside_address"
	(($(sessions created) > 0 && $(sessions expired) == 0))
	with code apply "$topology"
	set_settings 4 0xff 0xff 0 0 # the clock, 18 hours ahead
	for ((i = 0; i < 150; i++)); do
		[[ $(sessions expired) != "$(sessions created)" ]] || break
		sleep 0.2
	done
	[[ $(sessions expired) == "$(sessions created)" ]]
}

# An end at each instant that makes a difference is in long_takeover.bats.
@test "killed in the middle: traffic goes on, and the next apply completes it" {
	up
	pings "$red" "$outside_address"
	attached_code >"$work/old"
	NSROUTE_FAULT=count with code apply "$topology" 2>"$work/count"
	[[ $(<"$work/count") =~ ([0-9]+)\ changes ]]
	changes=${BASH_REMATCH[1]}
	attached_code >"$work/new"
	start_pings
	for fifth in 2 3; do
		lab apply "$topology"
		status=0
		NSROUTE_FAULT=kill:$((changes * fifth / 5)) with code apply "$topology" || status=$?
		((status == 137))
		if ((fifth % 2)); then
			run -3 with code plan "$topology"
			with code apply "$topology"
			attached_code | diff "$work/new" -
			run -0 with code plan "$topology"
		else
			run -3 lab plan "$topology"
			lab apply "$topology"
			attached_code | diff "$work/old" -
			run -0 lab plan "$topology"
		fi
	done
	assert_no_ping_lost
	lab down lab
	assert_as_before
}

@test "a take-over that fails leaves the old build at work" {
	up
	attached_code >"$work/old"
	NSROUTE_FAULT=count with code apply "$topology" 2>"$work/count"
	[[ $(<"$work/count") =~ ([0-9]+)\ steps ]]
	steps=${BASH_REMATCH[1]}
	lab apply "$topology"
	start_pings
	for at in $((steps / 2)) $((steps - 2)) $((steps - 1)); do
		status=0
		NSROUTE_FAULT=fail:$at with code apply "$topology" 2>"$work/failure" || status=$?
		cat "$work/failure"
		((status == 2))
		attached_code | diff "$work/old" -
		run -0 lab plan "$topology"
	done
	assert_no_ping_lost
	# So does one that worked, in a plan that fails later.
	sed "s/\(  $green:\)/  late-$suffix: {}\n\1/" "$topology" >"$work/later.yaml"
	NSROUTE_FAULT=count with code apply "$work/later.yaml" 2>"$work/count"
	[[ $(<"$work/count") =~ ([0-9]+)\ steps ]]
	steps=${BASH_REMATCH[1]}
	lab apply "$topology"
	NSROUTE_FAULT=fail:$((steps - 1)) with code apply "$work/later.yaml" && false
	attached_code | diff "$work/old" -
	run -0 lab plan "$topology"
}

# ---- What cannot be taken over.

refuses() { # VARIANT WHY-PATTERN
	local command pattern="*of another version of nsroute*($2)*\"nsroute down --all\"*"
	attached >"$work/hooks"
	for command in "plan $topology" "apply $topology" show stats; do
		# shellcheck disable=SC2086 # words
		run -2 with "$1" $command
		# shellcheck disable=SC2053 # a pattern
		[[ $output == $pattern ]]
	done
	attached | diff "$work/hooks" -
}

@test "another layout is refused by both, and either can remove it" {
	up
	refuses layout 'its layout is [0-9]*, ours 99'
	traffic
	run -0 lab plan "$topology"
	run -0 with layout down --all
	assert_as_before

	with layout apply "$topology"
	on "$blue" sysctl -qw net.ipv4.ip_forward=1
	refuses faults 'its layout is 99, ours [0-9]*'
	traffic
	lab down lab
	assert_as_before
}

@test "a table of another size is refused" {
	up
	refuses shape "its table 'sessions' has 262144 entries of 4 and * bytes, ours 131072 of *"
	with shape down --all
	assert_as_before
}

@test "room for more flows: made with the datapath, kept by another build, and not made later" {
	put_topology
	sed -i 's/masquerade: eth0/masquerade: {uplink: eth0, max_flows: 300000}/' "$topology"
	run -3 lab plan "$topology"
	[[ ${lines[0]} == "+ datapath: BPF programs and tables, for 300000 flows" ]]
	lab apply "$topology"
	find_cookie
	on "$blue" sysctl -qw net.ipv4.ip_forward=1
	entries=$(bpftool -j map show pinned "/sys/fs/bpf/nsroute/$cookie/sessions" | jq .max_entries)
	[[ $entries == 524288 ]]
	traffic
	opened=$(sessions created)
	run -0 with code apply "$topology"
	[[ $(sessions created) == "$opened" ]]
	traffic
	run -0 with code plan "$topology"

	sed -i 's/max_flows: 300000/max_flows: 600000/' "$topology"
	for command in plan apply; do
		run -2 with code $command "$topology"
		[[ $output == *"lab-$suffix.yaml:5:"*"no room for 600000 flows of network 'v-net-0'"*"takes 524288"*"down --all"* ]]
	done
	traffic
	sed -i 's/masquerade: {.*max_flows: 600000}/masquerade: eth0/' "$topology"
	run -0 with code plan "$topology"
	with code down lab
	assert_as_before
}

@test "of two fabrics of another layout one is not removed without the other" {
	up
	cat >"$work/two.yaml" <<-END
		version: 1
		name: two
		networks:
		  v-net-2: {subnets: [192.168.17.0/24], masquerade: eth0}
		namespaces:
		  two-$suffix: {interfaces: {eth0: {network: v-net-2, addresses: [192.168.17.11/24]}}}
	END
	lab apply "$work/two.yaml"
	run -2 with layout down lab
	[[ $output == *"other fabrics use it"*"nsroute down --all"* ]]
	traffic
	pings "two-$suffix" "$outside_address"
	start_capture "$outside" eth0
	run -0 with layout down --all
	assert_as_before
	stop_capture
	assert_no_leak
}
