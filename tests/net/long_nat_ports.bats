#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# All ports of an address, by real packets; and as many flows as "nsroute nat" has to list and to end then.

# shellcheck disable=SC2154 # run sets output; fabric.bash the names
load outside

silent_address=198.51.100.99 # nobody answers

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

teardown() {
	stop_captures
	clean_up
}

# First packets of one protocol to as many ports, by each namespace from its ports. A packet that a queue of
# the kernel loses is sent again; that of a flow that is there begins nothing.
begin() { # NAMESPACE tcp|udp FIRST-PORT PORTS [DEST-PORTS]
	local i wanted=$(($4 * ${5-1}))
	for ((i = 0; i < 3; i++)); do
		on "$1" perl tests/net/begin.pl "$2" "$(inside_address_of "$1")" "$3" "$4" "$silent_address" 10000 "${5-1}"
		sleep 0.5
		(($(begun "$1" "$2") < wanted)) || break
	done
	[[ $(begun "$1" "$2") == "$wanted" ]]
}

inside_address_of() { # NAMESPACE
	ip -n "$1" -4 -j address show eth0 | jq -r '.[0].addr_info[0].local'
}

begun() { # NAMESPACE tcp|udp
	lab -j nat list --namespace "$1" --protocol "$2" --remote "$silent_address" | wc -l
}

exhausted() {
	stats '.drops."nat-ports-exhausted"'
}

mappings() { # NAMESPACE: of its connections, from inside to outside port
	lab -j nat list --namespace "$1" --protocol tcp | jq -r '"\(.inside_port) \(.external_port)"' | sort -u
}

@test "all ports of an address: none twice, none refused before the last, then code 13; a stream goes on" {
	local before streaming all=64512 half=32256 # 1024 to 65535; a namespace may have half
	need iperf3
	internet_up
	ip -n "$outside" route add blackhole "$silent_address/32"
	watch
	capture_in "$white"

	# A stream that is there all the time, by two connections.
	serve iperf3 "$outside" iperf3 -s -1
	await_listener "$outside" tcp 5201
	ip netns exec "$red" timeout 300 iperf3 -J -C cubic -b 20M -t 240 -c "$server_address" \
		>"$work/stream" 2>&1 </dev/null 3>&- &
	streaming=$!
	for ((i = 0; i < 200; i++)); do
		[[ $(mappings "$red" | wc -l) != 2 ]] || break
		sleep 0.05
	done
	before=$(mappings "$red")
	[[ $(wc -l <<<"$before") == 2 ]]

	# Green wants the ports that blue has already, so each is a choice.
	begin "$blue" tcp 20000 "$half"
	begin "$green" tcp 20000 "$((half - 3))"
	[[ $(exhausted) == 0 ]]
	begin "$white" tcp 20000 1
	[[ $(exhausted) == 0 ]]
	lab -j nat list --protocol tcp | jq .external_port | sort -n >"$work/ports"
	[[ $(wc -l <"$work/ports") == "$all" ]]
	seq 1024 65535 | cmp - "$work/ports"

	# One too many.
	run -0 on "$white" perl tests/net/refused.pl tcp "$server_address" 7
	[[ $output == "No route to host" ]]
	(($(exhausted) > 0))
	stop_captures
	run -0 captured "icmp[0] == 3 and icmp[1] == 13" "$white"
	[[ $output == *"admin prohibited"* ]]

	[[ $(mappings "$red") == "$before" ]]
	kill -0 "$streaming"
	[[ $(counter "$red" '[.drops[]] | add') == 0 ]]
	kill -INT "$streaming" # it ends with a report of what went through
	wait "$streaming" || true
	jq -e '.end.sum_sent.bytes > 10000000' "$work/stream"
	jq -r '"# stream: \(.end.sum_sent | [.bytes, .retransmits])"' "$work/stream" >&3

	# Outside each port was seen, of nobody else.
	assert_judged "$all"
	tcpdump -nn -r "$work/capture" "tcp and dst host $silent_address" 2>/dev/null | awk '{ print $3 }' |
		sort -u | wc -l | grep -x "$((all - 2))"
}

flows() {
	stats '[.uplinks[].nat.flows] | add'
}

@test "a million flows are listed, each with its namespace, and ended, while others go on" {
	local name share=250000
	internet_up auto -e 's/masquerade: eth0/masquerade: {uplink: eth0, max_flows: 1048576, \
max_flows_per_namespace: 262144, timeouts: {udp_unreplied: 3600}}/'
	ip -n "$outside" route add blackhole "$silent_address/32"
	for name in "$red" "$blue" "$green" "$white"; do
		begin "$name" udp 20000 250 1000
	done
	[[ $(flows) == $((4 * share)) ]]
	[[ $(stats '.drops | with_entries(select(.key | startswith("nat-"))) | add') == 0 ]]

	SECONDS=0
	lab -j nat list >"$work/list"
	echo "# listed in $SECONDS s" >&3
	for name in "$red" "$blue" "$green" "$white"; do
		[[ $(grep -c "\"namespace\":\"$name\"" "$work/list") == "$share" ]]
	done
	[[ $(wc -l <"$work/list") == $((4 * share)) ]]
	[[ $(sort -u "$work/list" | wc -l) == $((4 * share)) ]]

	SECONDS=0
	[[ $(lab nat flush --namespace "$blue") == "$share sessions ended" ]]
	[[ $(begun "$blue" udp) == 0 && $(flows) == $((3 * share)) ]]
	serve ping "$white" ping -n -i 0.01 -c 300 -W 5 "$server_address"
	[[ $(lab nat flush --protocol udp) == "$((3 * share)) sessions ended" ]]
	echo "# ended in $SECONDS s" >&3
	[[ $(lab -j nat list --protocol udp | wc -l) == 0 ]]
	wait "$serving"
	grep " 0% packet loss" "$work/ping.log"
	[[ $(lab nat flush) == "1 session ended" && $(flows) == 0 ]]
}
