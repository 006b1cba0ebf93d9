#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Large packets that are cut up later, or never: UDP that is sent many datagrams at once, and TCP of
# more than 64 KiB. check-kernels runs this file on older kernels too, so it probes for what they can,
# and is short.

# shellcheck disable=SC2154 # bats sets output; fabric.bash the names
load fabric

segment=1400 count=40 batches=25 # 56,000 bytes at once

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

received() { # NAMESPACE packets|bytes: at its eth0
	on "$1" cat "/sys/class/net/eth0/statistics/rx_$2"
}

# Batches from a client to a server. Sets sent to what the client's interface counted since, and
# arrived to the packets that the server's did.
udp_batches() { # CLIENT SERVER ADDRESS [SEGMENT COUNT]
	local server sent_before arrived_before size=${4:-$segment} number=${5:-$count}
	ip netns exec "$2" tests/net/udp_gso.pl serve "$3" 5300 "$size" "$number" \
		>"$work/server.log" 2>&1 3>&- &
	server=$!
	await_listener "$2" udp 5300
	sent_before=$(on "$1" cat /sys/class/net/eth0/statistics/tx_packets)
	arrived_before=$(received "$2" packets)
	run -0 on "$1" tests/net/udp_gso.pl send "$3" 5300 "$size" "$number" "$batches"
	sent=$(($(on "$1" cat /sys/class/net/eth0/statistics/tx_packets) - sent_before))
	arrived=$(($(received "$2" packets) - arrived_before))
	kill "$server"
	wait "$server" || true
	[[ $output == "$batches batches of $number" && ! -s $work/server.log ]]
}

fast_of_red() {
	counter "$red" .fast_packets
}

# A few more than the batches: ND and the like.
stays_whole() { # CLIENT SERVER ADDRESS
	udp_batches "$@"
	((sent >= batches && sent < 2 * batches))
	[[ -z $counted ]] || ((arrived >= batches && arrived < 2 * batches))
}

# Bytes a packet that the server's eth0 received in a stream; 0 where it does not count them.
mean_size() { # CLIENT SERVER ADDRESS [OPTION...]
	local packets bytes
	packets=$(received "$2" packets) bytes=$(received "$2" bytes)
	bulk "$@" >/dev/null
	packets=$(($(received "$2" packets) - packets)) bytes=$(($(received "$2" bytes) - bytes))
	mean=$((packets ? bytes / packets : 0))
}

find_out_what_counts() {
	counted=
	! peer_is_counted || counted=yes
}

ways="192.168.15.12 fd00:15::12 192.168.16.11 fd00:16::11"
server_of() { # ADDRESS
	case $1 in
	192.168.15.* | fd00:15:*) echo "$blue" ;;
	*) echo "$green" ;;
	esac
}

@test "UDP GSO: switched, routed and masqueraded, whole and by the fast path" {
	local address fast
	up
	settle
	find_out_what_counts
	traffic
	for address in $ways; do
		fast=$(fast_of_red)
		stays_whole "$red" "$(server_of "$address")" "$address"
		(($(fast_of_red) - fast >= batches))
	done
	fast=$(fast_of_red)
	stays_whole "$red" "$outside" "$outside_address"
	(($(fast_of_red) - fast >= batches))
	[[ $(stats '.drops | add') == 0 ]]

	# Checksums on the wire are complete then, and the receiver looks at them.
	on "$host" ethtool -K eth0 tx off >/dev/null
	udp_batches "$red" "$outside" "$outside_address"
	((arrived >= batches * count))
	[[ -z $counted ]] || assert_counts_equal
}

@test "UDP GSO: datapath kernel does the same with it" {
	local address
	up kernel
	settle
	find_out_what_counts
	for address in $ways $outside_address; do
		[[ $address != "$outside_address" ]] || pings "$red" "$address"
		if [[ $address == "$outside_address" ]]; then
			stays_whole "$red" "$outside" "$address"
		else
			stays_whole "$red" "$(server_of "$address")" "$address"
		fi
	done
	[[ $(total fast_packets) == 0 && $(stats '.drops | add') == 0 ]]
}

host_end() { # NAMESPACE: of its eth0
	lab -j show lab | jq -r --arg name "$1" \
		'.namespaces[] | select(.name == $name) | .interfaces[] | select(.name == "eth0") | .host_end'
}

# A tunnel from red to another namespace; what it sends is UDP, and GSO, but no UDP GSO.
make_tunnel() { # NAMESPACE ADDRESS
	ip -n "$red" link add tunnel type vxlan id 7 remote "$2" dstport 4789 2>"$work/why" ||
		skip "no VXLAN: $(<"$work/why")"
	ip -n "$1" link add tunnel type vxlan id 7 remote 192.168.15.11 dstport 4789
	ip -n "$red" address add 10.77.0.1/24 dev tunnel
	ip -n "$1" address add 10.77.0.2/24 dev tunnel
	ip -n "$red" link set tunnel mtu 1450 up # and 50 of headers: 1,500
	ip -n "$1" link set tunnel mtu 1450 up
}

@test "GSO in a tunnel of a namespace: by the fast path when its segments fit with all headers" {
	up
	settle
	find_out_what_counts
	make_tunnel "$blue" 192.168.15.12
	pings "$red" 10.77.0.2
	mark_counters
	mean_size "$red" "$blue" 10.77.0.2
	(($(fast_share) >= 99))
	[[ -z $counted ]] || ((mean > 5000))

	ip -n "$blue" link delete tunnel
	ip -n "$red" link delete tunnel
	make_tunnel "$green" 192.168.16.11
	mark_counters
	bulk "$red" "$green" 10.77.0.2 >/dev/null
	(($(fast_share) >= 99))
	# The host has to cut what has no room there into fragments.
	ip -n "$host" link set "$(host_end "$green")" mtu 1499
	mark_counters
	bulk "$red" "$green" 10.77.0.2 >/dev/null
	(($(fast_share) < 90))
	[[ $(stats '.drops | add') == 0 ]]
}
