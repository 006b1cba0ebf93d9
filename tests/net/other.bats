#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Protocols without ports that we know, through the masquerade of either family: by address, where one
# namespace alone speaks them to a remote.

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
	settle
	of_ipv4
}

of_ipv4() {
	family=4 remote=$outside_address external=$uplink_address
}

of_ipv6() {
	family=6 remote=$outside_address6 external=$uplink_address6
}

teardown() {
	clean_up
}

# What comes of these protocols is sent back by the outside.
serve() { # PROTOCOL...
	local i
	ip netns exec "$outside" timeout 120 perl tests/net/other.pl serve "$family" "$@" >"$work/server" 3>&- &
	for ((i = 0; i < 500; i++)); do
		[[ ! -s $work/server ]] || return 0
		sleep 0.02
	done
	return 1
}

ask() { # NAMESPACE PROTOCOL SIZE SECONDS
	on "$1" perl tests/net/other.pl ask "$remote" "${@:2}"
}

# Packets may be on their way for a moment.
await_drop() { # REASON COMMAND...: that has one packet dropped at least
	local i before
	before=$(uplink_dropped "$1")
	"${@:2}"
	for ((i = 0; i < 200; i++)); do
		(($(uplink_dropped "$1") == before)) || return 0
		sleep 0.05
	done
	return 1
}

# Of the protocols, as "nat list" calls them.
each_way() { # NAME=NUMBER...
	local pair name number
	start_capture "$outside" eth0
	for pair in "$@"; do
		name=${pair%=*} number=${pair#*=}
		ask "$red" "$number" 100 30
		ask "$red" "$number" 4000 30 # in fragments
		await_drop nat-ambiguous ask "$blue" "$number" 100 0
		run -0 lab -j nat list --protocol "$number"
		[[ ${#lines[@]} == 1 ]]
		jq -e --arg name "$name" --arg red "$red" '.protocol == $name and .namespace == $red and
			.state == "replied" and ([.inside_port, .external_port, .remote_port] | all(. == null))' \
			<<<"$output"
		[[ $(stats '.uplinks[0].nat.protocols.other.flows') == 1 ]]
		[[ $(lab -j nat flush --protocol "$name") == '{"ended":1}' ]]
		ask "$blue" "$number" 100 30
		[[ $(lab -j nat flush --protocol "$name") == '{"ended":1}' ]]
	done
	stop_capture
	assert_no_leak
	run -0 tests/net/judge.pl "$work/capture" 192.168.0.0/16 10.0.0.0/8 fd00::/16
	echo "$output"
	[[ ${lines[-1]} == "0 faults in "* ]]
	[[ $(stats '.uplinks[0].nat.protocols.other | .flows') == 0 ]]
}

@test "SCTP, GRE, ESP and one that nobody knows: both ways, whole and in fragments, one namespace at a time" {
	serve 132 47 50 99
	each_way sctp=132 gre=47 esp=50 99=99
	echo "now with datapath: kernel"
	put_topology kernel
	lab apply "$topology"
	each_way sctp=132 99=99
}

@test "IPv6: SCTP, GRE, ESP, IPv6 in IPv6 and Ethernet: both ways, whole and in fragments, one namespace at a time" {
	of_ipv6
	serve 132 47 50 41 143
	each_way sctp=132 gre=47 esp=50 41=41 143=143
	echo "now with datapath: kernel"
	put_topology kernel
	lab apply "$topology"
	each_way gre=47
}

# Of IPv6 the protocols that nobody knows are not for the masquerade: 99 is 143 there.
host_goes_first() {
	local any=$1
	serve 47 "$any"
	ask "$red" 47 100 30
	ask "$host" 47 100 30
	await_drop nat-host-socket ask "$red" 47 100 0
	ask "$red" "$any" 100 30
	ask "$host" 47 4000 30
	[[ $(lab -j nat list --protocol "$any" | jq -r .namespace) == "$red" ]]
	ask "$host" "$any" 100 30
	await_drop nat-host-socket ask "$red" "$any" 100 0
	lab nat flush
	ask "$host" "$any" 100 30
}

@test "what the host itself sends goes first, whoever began, and does not disturb others" {
	host_goes_first 99
}

@test "IPv6: what the host itself sends goes first, whoever began, and does not disturb others" {
	of_ipv6
	host_goes_first 143
}

# The host's listener has got so many packets, or gets them now.
await_came() { # COUNT
	local i
	for ((i = 0; i < 200; i++)); do
		(($(grep -c came "$work/listener") != $1)) || return 0
		sleep 0.05
	done
	return 1
}

host_listens() { # PROTOCOL OTHER: it listens to, and does not
	local protocol
	serve "$@"
	ip netns exec "$host" timeout 120 perl tests/net/other.pl listen "$family" "$1" >"$work/listener" 3>&- &
	for ((i = 0; i < 500; i++)); do
		[[ ! -s $work/listener ]] || break
		sleep 0.02
	done
	for protocol in "$@"; do
		ip netns exec "$outside" perl tests/net/other.pl ask "$external" "$protocol" 100 0
	done
	await_came 1
	await_drop nat-host-socket ask "$red" "$1" 100 0
	ip netns exec "$outside" perl tests/net/other.pl ask "$external" "$1" 100 0
	await_came 2
	ask "$red" "$2" 100 30
}

@test "what the host listens to stays its own; what nobody listens to, the kernel refuses, and a namespace may have" {
	host_listens 99 98
}

@test "IPv6: what the host listens to stays its own; what nobody listens to, the kernel refuses, and a namespace may have" {
	of_ipv6
	host_listens 143 97
}
