#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Several external addresses at one uplink: who has which, and that it is the same for all that is
# begun; published ports; and a set that changes while flows go on.

# shellcheck disable=SC2030,SC2031,SC2154 # run sets output; fabric.bash the names
load published

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	for last in 101 102 103; do
		ip -n "$host" address add "${uplink_address%.*}.$last/32" dev eth0
	done
}

teardown() {
	stop_captures
	clean_up
}

# Of both networks of put_topology.
name_externals() { # LAST-BYTE...
	local list="" last
	for last; do
		list+="${list:+, }${uplink_address%.*}.$last"
	done
	sed -i -E "s/masquerade: [^}]*(\{[^}]*\})?\}/masquerade: {uplink: eth0, addresses: [$list]}}/" "$topology"
}

# What it is seen as: sets seen.
see() { # NAMESPACE tcp|udp [SOURCE-PORT]
	local port=$((4000 + RANDOM % 1000))
	serve "$outside" "$2" "$port"
	calls "$1" "$2" "$outside_address" "$port" "${3:-0}"
	seen=$(last_caller "$port")
	kill "$server"
	seen=${seen% *}
}

@test "each namespace has one of them, for TCP, UDP and ping; all are in use" {
	put_topology
	name_externals 101 102 103
	lab apply "$topology"
	run -0 lab apply "$topology"
	[[ $output == *"nothing to do"* ]]
	start_capture "$outside" eth0
	local name first
	for name in "$red" "$blue" "$green"; do
		see "$name" tcp
		first=$seen
		[[ $first == "${uplink_address%.*}".10[123] ]]
		see "$name" udp
		[[ $seen == "$first" ]]
		pings "$name" "$outside_address"
	done
	stop_capture
	run -0 captured "src net 192.168.0.0/16"
	[[ -z $output ]]
	run -0 lab -j show lab
	[[ $(jq -r '.uplinks[] | select(.name == "eth0").addresses[:3] | join(" ")' <<<"$output") == \
		"${uplink_address%.*}.101 ${uplink_address%.*}.102 ${uplink_address%.*}.103" ]]
	# What is told of a flow that there is not yet is what it gets; and of those that there are.
	run -0 lab trace --from "$green" --to "$outside_address:9" --proto udp
	[[ $output == *"$seen"* ]]
	run -0 lab nat list
	[[ $output == *"$seen:"* ]]
}

@test "the order in the file does not matter; one that is taken out ends the flows of those who had it" {
	put_topology
	name_externals 101 102 103
	lab apply "$topology"
	declare -A had=()
	local name
	for name in "$red" "$blue" "$green"; do
		see "$name" udp 5000
		had[$name]=$seen
	done
	name_externals 103 102 101
	run -0 lab plan "$topology"
	[[ $output == *"nothing to do"* ]]
	serve "$outside" tcp 7000
	hold "$red" "$outside_address" 7000
	# Every address but red's goes, one after the other: its connection goes on.
	local kept=${had[$red]##*.} left=(101 102 103) last
	for last in 101 102 103; do
		[[ $last != "$kept" ]] || continue
		mapfile -t left < <(printf '%s\n' "${left[@]}" | grep -v "^$last$")
		name_externals "${left[@]}"
		run -3 lab plan "$topology"
		lab apply "$topology"
		for name in "$red" "$blue" "$green"; do
			see "$name" udp 5000
			[[ $seen != *".$last" ]]
		done
	done
	see "$blue" tcp
	[[ $seen == "${had[$red]}" ]]
}

@test "published: on each of them, or on the one that is named; by hairpin and from the host" {
	put_topology
	name_externals 101 102
	publish "$red" '"8080:8080/tcp"'
	publish "$blue" "\"${uplink_address%.*}.102:9090:8080/tcp\""
	lab apply "$topology"
	find_cookie
	run -0 lab plan "$topology"
	[[ $output == *"nothing to do"* ]]
	local last
	for last in 101 102; do
		exchange tcp "$outside" "$red" "${uplink_address%.*}.$last"
		[[ $caller == "$outside_address" ]]
		exchange tcp "$green" "$red" "${uplink_address%.*}.$last"
		[[ $caller == "${uplink_address%.*}".10[12] ]]
	done
	serve "$blue" tcp 8080
	calls "$outside" tcp "${uplink_address%.*}.102" 9090
	calls "$host" tcp "${uplink_address%.*}.102" 9090
	calls_in_vain "$outside" tcp "${uplink_address%.*}.101" 9090
	publish "$blue"
	lab apply "$topology"
	calls_in_vain "$outside" tcp "${uplink_address%.*}.102" 9090
	exchange tcp "$outside" "$red" "${uplink_address%.*}.102"
	lab down --all
}

@test "one that the host loses: who has it is dropped, the others go on, until it is back" {
	put_topology
	name_externals 101 102 103
	lab apply "$topology"
	find_cookie
	see "$red" udp
	local lost=$seen name
	ip -n "$host" address del "$lost/32" dev eth0
	sleep 1.5
	run ! on "$red" ping -q -c 1 -W 1 "$outside_address"
	for name in "$blue" "$green"; do
		[[ $(uplink_dropped nat-uplink-closed) -gt 0 ]]
	done
	run -3 lab doctor
	[[ $output == *uplink-address* && $output == *$lost* ]] || false
	ip -n "$host" address add "$lost/32" dev eth0
	sleep 1.5
	see "$red" udp
	[[ $seen == "$lost" ]]
}

@test "refused: one that the host has not, and other ones for the same uplink" {
	put_topology
	name_externals 101 109
	run -2 lab apply "$topology"
	[[ $output == *"is no address of the host's"* ]] || false
}
