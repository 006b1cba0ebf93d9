#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# "nsroute nat": what is masqueraded is listed, and ended, by whatever tells it apart.

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
	up
}

teardown() {
	clean_up
}

datagram() { # NAMESPACE PORT
	# shellcheck disable=SC2016 # expanded inside
	on "$1" bash -c 'echo >"/dev/udp/$0/$1"' "$outside_address" "$2"
}

# Two datagrams of red, to ports 4001 and 4002, one of blue to 4001, and a ping of green.
some_flows() {
	datagram "$red" 4001
	datagram "$red" 4002
	datagram "$blue" 4001
	pings "$green" "$outside_address"
	await 4 sessions
}

sessions() { # OPTION...: how many
	lab -j nat list "$@" | wc -l
}

# Packets may be on their way for a moment.
await() { # NUMBER COMMAND...: that prints it
	local i wanted=$1
	shift
	for ((i = 0; i < 200; i++)); do
		[[ $("$@") != "$wanted" ]] || return 0
		sleep 0.05
	done
	echo "$*: $("$@"), not $wanted"
	return 1
}

flows() { # as stats has them
	stats '.uplinks[].nat.flows'
}

@test "list: whose session, from where to where, its state and how long it lasts" {
	run -0 lab nat list
	[[ ${#lines[@]} == 1 && $output == NAMESPACE*SECONDS ]]
	[[ -z $(lab -j nat list) ]]
	some_flows
	await 4 sessions
	await 4 flows

	run -0 lab -j nat list --namespace "$red" --port 4001
	[[ ${#lines[@]} == 1 ]]
	[[ $(jq -r '[.fabric, .namespace, .interface, .uplink, .protocol, .inside, .external, .remote,
		.state] | join(" ")' <<<"$output") == "lab $red eth0 eth0 udp 192.168.15.11 $uplink_address \
$outside_address unreplied" ]]
	jq -e '.inside_port == .external_port and .inside_port > 1023 and .remote_port == 4001 and
		.seconds_left > 0 and .seconds_left <= 120' <<<"$output"

	run -0 lab -j nat list --protocol icmp
	jq -e --arg green "$green" '.namespace == $green and .remote_port == null and .state == "replied" and
		.seconds_left <= 60' <<<"$output"

	run -0 lab nat list --namespace "$blue"
	[[ ${#lines[@]} == 2 ]]
	[[ ${lines[1]} == "$blue "*" eth0 "*" udp "*" 192.168.15.12:"*" $uplink_address:"*" $outside_address:4001 "* ]]
}

@test "list: each filter, and several of them together" {
	some_flows
	await 2 sessions --namespace "$red"
	await 3 sessions --proto udp
	await 2 sessions --port 4001
	await 1 sessions --port 4001 --namespace "$red"
	await 4 sessions --remote "$outside_address"
	await 1 sessions --remote 203.0.113.0/24 --protocol icmp
	await 0 sessions --remote 203.0.113.11
	await 4 sessions --remote 0.0.0.0/0
	await 4 sessions --uplink eth0
	port=$(lab -j nat list --port 4002 | jq .external_port)
	await 1 sessions --port "$port" --protocol udp --remote "$outside_address" --namespace "$red"
}

@test "flush ends what it is asked for, and nothing else; the numbers add up" {
	some_flows
	run -0 lab nat flush --namespace "$red" --port 4002
	[[ $output == "1 session ended" ]]
	await 3 sessions
	await 0 sessions --port 4002
	await 3 flows
	[[ $(lab -j nat flush --namespace "$red") == '{"ended":1}' ]]
	await 0 sessions --namespace "$red"
	await 2 sessions
	await 2 flows
	run -0 lab nat flush --protocol tcp
	[[ $output == "0 sessions ended" ]]
	datagram "$red" 4001
	await 3 sessions
	run -0 lab nat flush --uplink eth0
	[[ $output == "3 sessions ended" ]]
	await 0 sessions
	await 0 flows
	pings "$red" "$outside_address"
}

@test "a connection goes on while others end, and stops when it is ended itself" {
	local client server i
	ip netns exec "$outside" timeout 60 nc -n -l 8080 >"$work/received" 3>&- &
	server=$!
	await_listener "$outside" tcp 8080
	mkfifo "$work/sent"
	ip netns exec "$red" timeout 60 nc -n "$outside_address" 8080 <"$work/sent" >/dev/null 3>&- &
	client=$!
	exec 7>"$work/sent"
	echo one >&7
	for ((i = 0; i < 500; i++)); do
		[[ $(<"$work/received") != one ]] || break
		sleep 0.02
	done
	[[ $(lab -j nat list --port 8080 | jq -r .state) == established ]]
	datagram "$blue" 4001
	await 1 sessions --port 4001
	[[ $(lab -j nat flush --protocol udp) == '{"ended":1}' ]]
	[[ $(lab -j nat flush --namespace "$blue") == '{"ended":0}' ]]
	echo two >&7
	for ((i = 0; i < 500; i++)); do
		[[ $(<"$work/received") != one$'\n'two ]] || break
		sleep 0.02
	done
	[[ $(<"$work/received") == one$'\n'two ]]
	[[ $(lab -j nat flush --port 8080) == '{"ended":1}' ]]
	echo three >&7
	exec 7>&-
	sleep 0.5
	[[ $(<"$work/received") == one$'\n'two ]]
	kill "$client" "$server"
	wait "$client" "$server" || true
	[[ $(stats '[.uplinks[].nat | .created - .expired == .flows] | all') == true ]]
}

# The masquerade of v-net-0, with these keys.
masquerade_with() { # KEYS
	sed -E -i "/v-net-0:/s/masquerade: [^}]*(\{[^{}]*(\{[^{}]*\})?[^{}]*\})?\}/masquerade: {uplink: eth0$1}}/" "$topology"
}

@test "what is set for a network is changed in place: flows go on, under what is set now" {
	# The way out is there before datagrams, which are sent once.
	pings "$green" "$outside_address"
	lab nat flush
	datagram "$red" 4001
	datagram "$green" 4001
	await 2 sessions
	before=$(lab -j nat list --namespace "$red" | jq -c '[.inside_port, .external_port]')

	masquerade_with ', mapping: address-and-port-dependent, filtering: endpoint-independent, max_flows_per_namespace: 2, timeouts: {udp_unreplied: 5000}'
	run -3 lab plan "$topology"
	[[ ${lines[0]} == "~ masquerade 192.168.15.0/24 to eth0, mapping address-and-port-dependent, filtering endpoint-independent, \
up to 2 flows a namespace (was 32768), udp_unreplied 5000 s (was 120 s)" ]]
	lab apply "$topology"
	run -0 lab plan "$topology"
	[[ $(lab -j nat list --namespace "$red" | jq -c '[.inside_port, .external_port]') == "$before" ]]
	lab -j nat list --namespace "$red" | jq -e '.seconds_left > 4000 and .seconds_left <= 5000'
	lab -j nat list --namespace "$green" | jq -e '.seconds_left <= 120'

	# One more, and that is all; blue has its own.
	datagram "$red" 4002
	datagram "$red" 4003
	await 2 sessions --namespace "$red"
	await 1 uplink_dropped nat-flows-limit
	datagram "$blue" 4001
	await 1 sessions --namespace "$blue"

	masquerade_with ''
	run -3 lab plan "$topology"
	lab apply "$topology"
	await 2 sessions --namespace "$red"
	lab -j nat list --namespace "$red" | jq -e '.seconds_left <= 120'
	datagram "$red" 4003
	await 3 sessions --namespace "$red"
}

@test "filtering: whoever sends to a mapped port gets through, or an address or only who was sent to" {
	masquerade_with ', filtering: endpoint-independent'
	lab apply "$topology"
	ip -n "$outside" address add 203.0.113.11/24 dev eth0
	# shellcheck disable=SC2016 # expanded inside
	ip netns exec "$red" timeout 60 bash -c '
		exec 5<>"/dev/udp/$0/4001"
		echo >&5
		sleep 60' "$outside_address" 3>&- &
	await 1 sessions --port 4001
	port=$(lab -j nat list --port 4001 | jq .external_port)
	from_outside() { # ADDRESS PORT: what it sends to the mapped port
		echo x | on "$outside" timeout 5 nc -n -u -q 0 -s "$1" -p "$2" "$uplink_address" "$port"
	}
	from_outside 203.0.113.11 4002
	from_outside "$outside_address" 4003
	await 3 sessions --port "$port"
	await 0 uplink_dropped nat-filtered
	lab -j nat list --port 4002 | jq -e --arg red "$red" '.namespace == $red and .remote == "203.0.113.11" and
		.state == "unreplied"'

	masquerade_with ''
	lab apply "$topology"
	from_outside 203.0.113.11 4004
	await 1 uplink_dropped nat-filtered
	# Nobody stays whom red has not answered.
	await 1 sessions --port "$port"

	masquerade_with ', filtering: address-dependent'
	lab apply "$topology"
	datagram "$red" 4005
	await 1 sessions --port 4005
	port=$(lab -j nat list --port 4005 | jq .external_port)
	from_outside 203.0.113.11 4006
	await 2 uplink_dropped nat-filtered
	from_outside "$outside_address" 4007
	await 2 sessions --port "$port"
}

@test "what cannot be meant is refused: a namespace or an uplink that is not there, a word too much" {
	run -1 lab nat list --namespace nobody
	[[ $output == *"no fabric of this host namespace has a namespace 'nobody' on a network"* ]]
	run -1 lab nat flush --uplink lo
	[[ $output == *"no network of this host namespace is masqueraded to 'lo'"* ]]
	run -1 lab nat list --protocol smtp
	[[ $output == *"--protocol takes tcp, udp, icmp, sctp, gre, esp or a number from 1 to 255, not 'smtp'"* ]]
	run -1 lab nat list --protocol 256
	run -1 lab nat list --protocol 0
	run -1 lab nat list --remote 192.0.2
	run -1 lab nat list --port 0
	run -1 lab nat list --port 65536
	run -1 lab nat
	run -1 lab nat lost
	run -1 lab nat list "$red"
	lab down lab
	run -2 lab nat list
	[[ $output == *"no datapath is loaded in this host namespace"* ]]
}
