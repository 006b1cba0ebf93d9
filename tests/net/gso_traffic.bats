#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Large packets that are cut up later, or never: UDP that is sent many datagrams at once, and TCP of
# more than 64 KiB. check-kernels runs this file on older kernels too, so it probes for what they can,
# and is short.

# shellcheck disable=SC2154 # bats sets output; fabric.bash the names
load fabric

segment=1400 count=40 batches=10 # 56,000 bytes at once

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

# Sets mean to the bytes a packet that the server's eth0 received in a short stream; 0 where it does
# not count them.
mean_size() { # CLIENT SERVER ADDRESS [OPTION...]
	local packets bytes server client=$1 namespace=$2
	packets=$(received "$2" packets) bytes=$(received "$2" bytes)
	ip netns exec "$namespace" timeout 60 iperf3 -s -1 >/dev/null 2>&1 3>&- &
	server=$!
	await_listener "$namespace" tcp 5201
	shift 2
	on "$client" timeout 50 iperf3 -n 32M -C cubic -c "$@" >"$work/iperf3.log" 2>&1 || {
		cat "$work/iperf3.log" >&2
		return 1
	}
	wait "$server"
	set -- "$client" "$namespace"
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
	pings "$red" "$outside_address"
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
	assert_counts_equal ' rx .*'
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
	local slow
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
	mean_size "$red" "$green" 10.77.0.2
	(($(fast_share) >= 99))
	# The host has to cut what has no room there into fragments.
	ip -n "$host" link set "$(host_end "$green")" mtu 1499
	slow=$(counter "$red" .slow_packets)
	mean_size "$red" "$green" 10.77.0.2
	(($(counter "$red" .slow_packets) - slow > 50))
	[[ $(stats '.drops | add') == 0 ]]
}

# ---- BIG TCP

# Two networks with a bridge and one without, no uplink; red and blue on the first.
put_plain() { # BIG_TCP [DATAPATH [BIG_TCP of v-net-1]]
	red=red-$suffix blue=blue-$suffix green=green-$suffix white=white-$suffix
	cat >"$topology" <<-END
		version: 1
		name: lab
		defaults: {datapath: ${2:-auto}}
		networks:
		  v-net-0: {subnets: [192.168.15.0/24, "fd00:15::/64"], big_tcp: $1}
		  v-net-1: {subnets: [192.168.16.0/24], big_tcp: ${3:-$1}}
		  v-net-2: {type: routed, subnets: [192.168.17.0/24, "fd00:17::/64"], big_tcp: $1}
		namespaces:
		  $red:
		    interfaces:
		      eth0: {network: v-net-0, addresses: [192.168.15.11/24, "fd00:15::11/64"]}
		  $blue:
		    interfaces:
		      eth0: {network: v-net-0, addresses: [192.168.15.12/24, "fd00:15::12/64"]}
		  $green:
		    interfaces:
		      eth0: {network: v-net-1, addresses: [192.168.16.11/24]}
		  $white:
		    interfaces:
		      eth0: {network: v-net-2, addresses: [192.168.17.11/24, "fd00:17::11/64"]}
	END
}

# Large packets are what TCP shall make from the first, whatever the round trip takes: only their
# limit counts here.
large_packets() { # SERVER...
	local name
	on "$red" sysctl -qw net.ipv4.tcp_tso_rtt_log=30
	for name; do
		on "$name" sysctl -qw net.ipv4.tcp_rmem="4096 4194304 6291456"
	done
}

up_plain() { # BIG_TCP [DATAPATH [BIG_TCP of v-net-1]]
	put_plain "$@"
	lab apply "$topology"
	find_cookie
	settle
	large_packets "$blue" "$green" "$white"
	find_out_what_counts
}

# What the kernel says that this namespace's eth0 takes: "ipv4 ipv6".
big_tcp_of() { # NAMESPACE
	lab -j show lab | jq -r --arg name "$1" \
		'.namespaces[] | select(.name == $name) | .interfaces[] | select(.name == "eth0") |
		.big_tcp | join(" ")'
}

# A stream from red that all goes by the fast path, in packets larger than 64 KiB or not.
stream() { # large|small SERVER ADDRESS
	mark_counters
	mean_is "$1" "$red" "$2" "$3"
	(($(fast_share) >= 99))
}

# Streams whose packets are so large. How large TCP makes them depends on what else the machine does,
# so it has a few tries for a mean that only larger packets than 64 KiB can have.
mean_is() { # large|small CLIENT SERVER ADDRESS...
	local tries
	for ((tries = 0; tries < 5; tries++)); do
		mean_size "${@:2}"
		echo "$1: $mean bytes a packet"
		[[ $counted && $1 == large && $mean -le 65536 ]] || break
	done
	case ${counted:+$1} in
	large) ((mean > 65536)) ;;
	small) ((mean <= 65536)) ;;
	esac
}

# IPv4's sizes are from 6.3.
knows_ipv4() {
	[[ $(big_tcp_of "$red") == *ipv4* ]]
}

@test "BIG TCP: switched and routed, IPv4 and IPv6, whole and by the fast path" {
	local ipv4=small
	up_plain on
	[[ $(big_tcp_of "$red") == *ipv6 && $(big_tcp_of "$white") == *ipv6 ]]
	! knows_ipv4 || ipv4=large
	stream "$ipv4" "$blue" 192.168.15.12
	stream "$ipv4" "$white" 192.168.17.11
	stream large "$blue" fd00:15::12
	stream large "$white" fd00:17::11
	[[ $(stats '.drops | add') == 0 ]]
	assert_counts_equal ' rx .*'
}

@test "BIG TCP: auto is IPv4's, datapath kernel passes it too, off ends it under traffic" {
	local ipv4=small server
	up_plain auto kernel
	[[ $(big_tcp_of "$red") != *ipv6* ]]
	[[ $(ip -n "$red" -d -j link show eth0 | jq -r '.[].gso_max_size') == 65536 ]]
	! knows_ipv4 || ipv4=large
	mean_is "$ipv4" "$red" "$white" 192.168.17.11
	mean_is small "$red" "$blue" fd00:15::12
	[[ $(total fast_packets) == 0 ]]

	put_plain off
	if [[ $ipv4 == large ]]; then
		run -3 lab plan "$topology"
		[[ $output == *"interface eth0 in $red: TCP packets to 65536 bytes (IPv4)"* ]]
	fi
	bulk "$red" "$white" 192.168.17.11 -t 3 >"$work/stream" &
	server=$!
	await_listener "$white" tcp 5201
	lab apply "$topology"
	wait "$server"
	run -0 lab plan "$topology"
	[[ -z $(big_tcp_of "$red") ]]
	stream small "$white" 192.168.17.11
	[[ $(stats '.drops | add') == 0 ]]
}

@test "BIG TCP: a network that is off gets none from one that is on" {
	local slow
	up_plain on auto off
	knows_ipv4 || skip "this kernel has no BIG TCP for IPv4"
	slow=$(counter "$red" .slow_packets)
	mean_is small "$red" "$green" 192.168.16.11
	(($(counter "$red" .slow_packets) - slow > 50)) # the kernel cuts them up
	[[ $(stats '.drops | add') == 0 ]]
}

uplink_sizes() { # BYTES
	on "$host" tests/net/link_sizes.pl eth0 "$1"
	on "$outside" tests/net/link_sizes.pl eth0 "$1"
}

# A try is some 300 packets of that size, of two connections, and the first packet of each goes to the
# uplink, which opens its session.
by_fast_path_but_first() {
	local fast slow
	fast=$(($(total fast_packets) - fast_before))
	slow=$(($(total slow_packets) - slow_before))
	echo "$fast packets by the fast path, $slow not"
	((fast > 200 && (slow <= 20 || 100 * slow <= fast)))
}

@test "BIG TCP: masqueraded, when the uplink takes it; else the fabric has none" {
	up
	settle
	[[ -z $(big_tcp_of "$red") ]]
	pings "$red" "$outside_address"
	uplink_sizes 200000 2>"$work/why" || skip "$(<"$work/why")"
	find_out_what_counts
	lab apply "$topology"
	[[ $(big_tcp_of "$red") == ipv4 && $(big_tcp_of "$far") == "" ]]
	large_packets "$outside"
	mark_counters
	mean_is large "$red" "$outside" "$outside_address"
	by_fast_path_but_first
	mean_size "$red" "$outside" "$outside_address" --reverse

	# The kernel cuts them up and completes the checksums, which the receiver looks at.
	on "$host" ethtool -K eth0 tx off >/dev/null
	mean_size "$red" "$outside" "$outside_address"
	((mean < 2000))
	on "$host" ethtool -K eth0 tx on >/dev/null
	uplink_sizes 65536
	mean_is small "$red" "$outside" "$outside_address"
	lab apply "$topology"
	[[ -z $(big_tcp_of "$red") ]]
	mean_is small "$red" "$outside" "$outside_address"
	[[ $(stats '.drops | add') == 0 ]]
}
