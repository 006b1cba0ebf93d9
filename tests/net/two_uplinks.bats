#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Two uplinks of a host with traffic at once, and two fabrics by one uplink: ports that both want are each
# one's own where there are two addresses, and one's alone where there is one.

# shellcheck disable=SC2030,SC2031,SC2154 # run sets output; fabric.bash the names
load fabric

server_address=198.51.100.1 # by eth0
other_server=198.51.101.1   # by eth1
other_address=192.0.2.1     # the host's, at eth1

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	ip -n "$outside" address add "$server_address/32" dev lo
}

teardown() {
	stop_captures
	clean_up
}

# The outside of another uplink, in a namespace of its own. Sets other.
new_uplink() {
	other=nsr-other-$suffix
	new_namespace "$other"
	cable "$host" eth1 "$other_address" "$other" eth0 192.0.2.10 1500
	ip -n "$other" address add "$other_server/32" dev lo
	ip -n "$host" route add "$other_server/32" via 192.0.2.10
	ip -n "$other" route add default via "$other_address"
	on "$host" ethtool -K eth0 tx off >/dev/null
	on "$host" ethtool -K eth1 tx off >/dev/null
}

# An echo of datagrams and a server of streams. It says who called.
start_servers() { # NAMESPACE ADDRESS
	ip netns exec "$1" perl tests/net/echo_udp.pl serve "$2" 7000 >"$work/called-$1" 3>&- &
	ip netns exec "$1" iperf3 -s >/dev/null 2>&1 3>&- &
	await_listener "$1" udp 7000
	await_listener "$1" tcp 5201
}

# Each datagram from this port has to come back to it.
echoes() { # NAMESPACE ADDRESS PORT COUNT
	ip netns exec "$1" perl tests/net/echo_udp.pl ask "$2" 7000 "$3" "$4" >"$work/echoes-$1" 2>&1 3>&- &
	jobs+=($!)
}

stream() { # NAMESPACE ADDRESS OPTION...
	ip netns exec "$1" timeout 60 iperf3 -J -C cubic -b 50M -t 3 -c "$2" "${@:3}" \
		>"$work/stream-$1" 2>&1 3>&- &
	jobs+=($!)
}

finished() {
	local job
	for job in "${jobs[@]}"; do
		wait "$job" || { cat "$work"/echoes-* "$work"/stream-* && return 1; }
	done
}

@test "two uplinks at once, both ways: the same ports of both, and nothing of one by the other" {
	local jobs=() name
	new_uplink
	put_topology
	sed -i '/v-net-1:/s/masquerade: eth0/masquerade: eth1/' "$topology"
	sed -i "/^  $red:/a\\    publish: [\"6000:6000/udp\"]" "$topology"
	sed -i "/^  $green:/a\\    publish: [\"6000:6000/udp\"]" "$topology"
	lab apply "$topology"
	find_cookie
	settle
	start_servers "$outside" "$server_address"
	start_servers "$other" "$other_server"
	capture_in "$outside" "$other"

	# Outwards with streams both ways, and inwards to what is published, all at once.
	echoes "$red" "$server_address" 5000 300
	echoes "$green" "$other_server" 5000 300
	ip netns exec "$red" perl tests/net/echo_udp.pl serve 0.0.0.0 6000 >"$work/called-$red" 3>&- &
	ip netns exec "$green" perl tests/net/echo_udp.pl serve 0.0.0.0 6000 >"$work/called-$green" 3>&- &
	await_listener "$red" udp 6000
	await_listener "$green" udp 6000
	stream "$red" "$server_address"
	stream "$green" "$other_server" -R
	for ((i = 0; i < 3; i++)); do
		on "$outside" perl tests/net/echo_udp.pl ask "$uplink_address" 6000 4000 50
		on "$other" perl tests/net/echo_udp.pl ask "$other_address" 6000 4000 50
	done
	finished
	[[ $(sort -u "$work/called-$outside") == "$uplink_address:5000" ]]
	[[ $(sort -u "$work/called-$other") == "$other_address:5000" ]]
	[[ $(sort -u "$work/called-$red") == "$outside_address:4000" ]]
	[[ $(sort -u "$work/called-$green") == "192.0.2.10:4000" ]]
	[[ $(lab -j nat list --protocol udp --port 5000 | jq -r '[.uplink, .external] | join(" ")' | sort) == \
		"eth0 $uplink_address"$'\n'"eth1 $other_address" ]]

	# By the wrong one neither gets out, nor does an answer get in.
	run -1 on "$green" ping -nqc 2 -i 0.1 -W 1 "$outside_address"
	run -1 on "$red" ping -nqc 2 -i 0.1 -W 1 192.0.2.10
	(($(stats '.drops."wrong-uplink"') > 0))
	stop_captures
	for name in "$outside" "$other"; do
		run -0 tests/net/judge.pl "$work/at-$name" "${private_prefixes[@]}"
		echo "$output"
	done
	run -0 captured "ip and src host $other_address" "$outside"
	[[ -z $output ]]
	run -0 captured "ip and src host $uplink_address" "$other"
	[[ -z $output ]]
}

@test "two fabrics by one uplink: who wants a port that the other has gets another, and both go on" {
	local jobs=() n1=n1-$suffix n2=n2-$suffix
	put_many 2
	lab apply "$topology"
	up
	settle
	on "$host" ethtool -K eth0 tx off >/dev/null
	start_servers "$outside" "$server_address"
	# The same port of four namespaces to one port of one remote, and streams beside them.
	for name in "$red" "$n1" "$green" "$n2"; do
		echoes "$name" "$server_address" 5000 300
	done
	stream "$blue" "$server_address"
	finished
	[[ $(lab -j nat list --protocol udp --port 7000 | jq -r '"\(.fabric) \(.namespace)"' | sort) == \
		"$(printf '%s\n' "lab $green" "lab $red" "many $n1" "many $n2" | sort)" ]]
	[[ $(lab -j nat list --protocol udp --port 7000 | jq .external_port | sort -u | wc -l) == 4 ]]
	[[ $(sort -u "$work/called-$outside" | wc -l) == 4 ]]
	lab -j stats | jq -es '[.. | .drops? // empty | to_entries[] | select(.key | startswith("nat-")) | .value] |
		length > 0 and add == 0'

	# One goes, and with it its flows alone.
	jobs=()
	echoes "$n1" "$server_address" 5000 100
	lab down lab
	finished
	[[ $(lab -j nat list --protocol udp --port 7000 | jq -r .fabric | sort -u) == many ]]
}
