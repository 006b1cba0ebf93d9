#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# When there is no port left, or one namespace takes all that it may have: hping3 floods, and others go
# on.

# shellcheck disable=SC2154 # run sets output; fabric.bash the names
load outside

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

teardown() {
	clean_up
}

# All networks share the uplink, and so its range of 100 ports of each protocol.
small_range_up() {
	internet_up auto -e 's/masquerade: eth0/masquerade: {uplink: eth0, ports: 50000-50099}/'
}

# A stream that goes on for so many seconds, of two connections. Sets streaming.
start_stream() { # NAMESPACE SECONDS
	local i
	serve iperf3 "$outside" iperf3 -s -1
	await_listener "$outside" tcp 5201
	ip netns exec "$1" timeout 120 iperf3 -J -C cubic -b 20M -t "$2" -c "$server_address" \
		>"$work/stream" 2>&1 </dev/null 3>&- &
	streaming=$!
	for ((i = 0; i < 200; i++)); do
		[[ $(states "$1") != $'established\nestablished' ]] || return 0
		sleep 0.05
	done
	return 1
}

states() { # NAMESPACE: of its TCP sessions
	lab -j nat list --namespace "$1" --protocol tcp | jq -r .state
}

mappings() { # NAMESPACE: of its TCP sessions, from inside to outside port
	lab -j nat list --namespace "$1" --protocol tcp | jq -r '"\(.inside_port) \(.external_port)"' | sort -u
}

# As many packets as told, each from a port of its own.
hping() { # NAMESPACE COUNT FIRST-PORT OPTION...
	on "$1" timeout 60 hping3 -n -q -c "$2" -i u1000 -s "$3" -p 9 "${@:4}" "$server_address" 2>&1 || true
}

ports_used() {
	stats '.uplinks[].nat.ports_used'
}

# A moment for what is on its way.
await_drops() { # NUMBER
	local i
	for ((i = 0; i < 100; i++)); do
		(($(exhausted) < $1)) || break
		sleep 0.05
	done
	[[ $(exhausted) == "$1" ]]
}

# Until the flood has met its limit.
await_refused() {
	local i
	for ((i = 0; i < 200; i++)); do
		(($(stats '.drops."nat-flows-limit"') == 0)) || return 0
		sleep 0.05
	done
	return 1
}

exhausted() { # drops for want of a port, wherever they were
	stats '.drops."nat-ports-exhausted"'
}

@test "the last port is handed out with no failure before, and a live stream stays" {
	local before
	need hping3
	small_range_up
	watch
	start_stream "$red" 6
	before=$(mappings "$red")
	[[ $(wc -l <<<"$before") == 2 ]]
	# The ports of the range are wanted by nobody in it, so each is a choice.
	hping "$blue" 50 20000 -S # half, as one may have
	hping "$green" 47 20000 -S
	[[ $(lab -j nat list --protocol tcp | jq .external_port | sort -u | wc -l) == 99 ]]
	[[ $(exhausted) == 0 ]]
	hping "$green" 1 20047 -S
	[[ $(lab -j nat list --protocol tcp | jq .external_port | sort -n | uniq | sed -n '1p;$p' | xargs) == "50000 50099" ]]
	[[ $(exhausted) == 0 ]]
	# Not one more, of anybody; those that have one keep it.
	hping "$blue" 50 30000 -S
	await_drops 50
	hping "$white" 50 30000 -S
	await_drops 100
	hping "$blue" 20 20000 -S
	await_drops 100
	[[ $(mappings "$red") == "$before" ]]
	wait "$streaming"
	jq -e '.end.sum_received.bytes > 10000000' "$work/stream"
	[[ $(counter "$red" '[.drops[]] | add') == 0 ]]
	assert_judged
}

@test "a flood of SYNs has as many flows as a namespace may, and costs the others nothing" {
	need hping3 nginx ab
	internet_up auto 's/masquerade: eth0/masquerade: {uplink: eth0, max_flows_per_namespace: 5000}/'
	start_nginx
	watch
	start_stream "$green" 8
	ip netns exec "$blue" timeout 60 hping3 -n -q -S --flood -s 1024 -p 9 "$server_address" \
		>/dev/null 2>&1 </dev/null 3>&- &
	flooding=$!
	connections "$red" 3000
	connections "$white" 3000
	await_refused
	kill "$flooding"
	wait "$flooding" || true
	[[ $(lab -j nat list --namespace "$blue" --protocol tcp | wc -l) == 5000 ]]
	wait "$streaming"
	jq -e '.end.sum_received.bytes > 10000000' "$work/stream"
	for name in "$red" "$green" "$white"; do
		[[ $(counter "$name" '[.drops[]] | add') == 0 ]]
	done
	[[ $(stats '.drops | with_entries(select(.value > 0 and .key != "nat-flows-limit")) | length') == 0 ]]
	assert_judged
}
