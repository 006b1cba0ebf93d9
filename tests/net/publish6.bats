#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Ports of namespaces at the uplink's IPv6 address, beside those of IPv4: reached from outside,
# changed while flows go on; and from other namespaces (hairpin).

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
}

teardown() {
	stop_captures
	clean_up
}

@test "from outside: one entry is for both families, with the client's address" {
	local protocol
	published_up
	start_capture "$outside" eth0
	for protocol in tcp udp; do
		serve "$red" "$protocol" 8080
		calls "$outside" "$protocol" "$uplink_address" 8080
		[[ $(last_caller 8080) == "$outside_address "* ]]
		serve "$red" "${protocol}6" 8080
		calls "$outside" "${protocol}6" "$uplink_address6" 8080
		[[ $(last_caller 8080) == "$outside_address6 "* ]]
	done
	SIZE=5000 calls "$outside" udp6 "$uplink_address6" 8080
	run -0 lab nat list
	[[ $output == *"[$outside_address6]"* ]]
	run -0 lab -j show lab
	run -0 jq -r '.published[] | select(.inside | startswith("[")) | "\(.protocol) \(.ports) \(.inside)"' <<<"$output"
	[[ $output == $'tcp 8080 [fd00:15::11]:8080\nudp 8080 [fd00:15::11]:8080' ]]
	stop_capture
	assert_no_leak
	run -0 lab plan "$topology"
	run -0 lab down lab
	calls_in_vain "$outside" tcp6 "$uplink_address6" 8080
}

@test "datapath: kernel: from outside and by hairpin" {
	local protocol
	published_up kernel
	for protocol in tcp6 udp6; do
		serve "$red" "$protocol" 8080
		calls "$outside" "$protocol" "$uplink_address6" 8080
		[[ $(last_caller 8080) == "$outside_address6 "* ]]
		calls "$blue" "$protocol" "$uplink_address6" 8080
		[[ $(last_caller 8080) == "$uplink_address6 "* ]]
	done
}

@test "hairpin: from the same network, from another, and from the namespace itself; the host's own" {
	local protocol name
	published_up
	start_capture "$outside" eth0
	for protocol in tcp6 udp6; do
		serve "$red" "$protocol" 8080
		for name in "$blue" "$green" "$red"; do
			calls "$name" "$protocol" "$uplink_address6" 8080
			[[ $(last_caller 8080) == "$uplink_address6 "* ]]
		done
	done
	run -0 lab trace --from "$blue" --to "[$uplink_address6]:8080" --proto tcp
	[[ $output == *"the kernel does not route it to the outside"*"delivered to $red eth0 by the fast path" ]]
	SIZE=5000 calls "$green" udp6 "$uplink_address6" 8080
	publish "$red" '"5201:5201/tcp"'
	lab apply "$topology"
	bulk "$blue" "$red" "$uplink_address6" -n 1M
	serve "$host" tcp6 2222
	calls "$red" tcp6 "$uplink_address6" 2222
	[[ $(last_caller 2222) == "fd00:15::11 "* ]]
	pings "$red" "$uplink_address6"
	stop_capture
	run -0 captured "not arp and not icmp6"
	[[ -z $output ]]
	[[ $(dropped nat-hairpin) == 0 ]]
}

@test "one family by its address, a network without IPv4, ranges" {
	put_topology
	sed -i 's|v-net-1: {subnets: \[192.168.16.0/24, |v-net-1: {subnets: [|; s|\[192.168.16.11/24, |[|' "$topology"
	publish "$red" "\"[$uplink_address6]:9000-9003:7000-7003/tcp\", \"$uplink_address:9100:7000/tcp\""
	publish "$green" '"9100:7100/udp"'
	lab apply "$topology"
	find_cookie
	settle
	serve "$red" tcp 7000
	serve "$red" tcp6 7000
	serve "$red" tcp6 7003
	serve "$green" udp6 7100
	calls "$outside" tcp6 "$uplink_address6" 9000
	calls "$outside" tcp6 "$uplink_address6" 9003
	calls "$outside" tcp "$uplink_address" 9100
	calls "$outside" udp6 "$uplink_address6" 9100
	calls_in_vain "$outside" tcp "$uplink_address" 9000
	calls_in_vain "$outside" tcp6 "$uplink_address6" 9100
	publish "$red" '"[2001:db8:113::99]:9000:7000/tcp"'
	run -2 lab plan "$topology"
	[[ $output == *"$topology:"*"cannot be published on 2001:db8:113::99: its uplink 'eth0' translates to $uplink_address6"* ]]
}

@test "a live fabric: others are published and unpublished, and a connection goes on" {
	published_up
	serve "$red" tcp6 8080
	hold "$outside" "$uplink_address6" 8080
	serve "$blue" udp6 8081
	publish "$blue" '"8081:8081/udp", "8090-8099:8090-8099/tcp"'
	lab apply "$topology"
	calls "$outside" udp6 "$uplink_address6" 8081 5000
	still_held two
	publish "$blue"
	publish "$green" '"8081:8082/udp"'
	lab apply "$topology"
	serve "$green" udp6 8082
	calls "$outside" udp6 "$uplink_address6" 8081 5000
	[[ $(last_caller 8082) == "$outside_address6 5000" ]]
	still_held three
	publish "$red"
	lab apply "$topology"
	[[ $(sessions --port 8080) == 0 ]]
	exec 7>&-
	calls_in_vain "$outside" tcp6 "$uplink_address6" 8080
}
