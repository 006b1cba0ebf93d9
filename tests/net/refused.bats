#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What a namespace is told of a flow that it cannot have, and that the kernel in it takes it so.

# shellcheck disable=SC2154 # bats sets output; fabric.bash the names
load fabric

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

# Four ports of each protocol.
setup() {
	new_host
	put_topology
	sed -i 's/masquerade: eth0/masquerade: {uplink: eth0, ports: 40000-40003}/' "$topology"
	lab apply "$topology"
	find_cookie
}

teardown() {
	clean_up
}

take_ports() { # tcp|udp: all of them, by blue and green, each half as they may
	local name i
	for name in "$blue" "$green"; do
		if [[ $1 == tcp ]]; then # nobody answers
			on "$name" perl "$BATS_TEST_DIRNAME/refused.pl" begin 192.0.2.99 9 2
		else
			for i in 1 2; do
				# shellcheck disable=SC2016 # expanded inside
				on "$name" bash -c 'echo >"/dev/udp/$0/9"' "$outside_address"
			done
		fi
	done
	await_sessions "$1"
}

await_sessions() { # PROTOCOL
	local i
	for ((i = 0; i < 200; i++)); do
		[[ $(lab -j nat list --protocol "$1" | wc -l) != 4 ]] || return 0
		sleep 0.05
	done
	lab nat list
	return 1
}

# As if a router did not allow it, and counted. Of a connection the kernel does not believe what it is
# told while it is still sending the first packet: it asks again, a second later.
refused() { # NAMESPACE PROTOCOL
	local before counted
	before=$(uplink_dropped nat-ports-exhausted)
	run -0 on "$1" perl "$BATS_TEST_DIRNAME/refused.pl" "$2" "$outside_address" 7
	[[ $output == "No route to host" ]]
	counted=$(($(uplink_dropped nat-ports-exhausted) - before))
	echo "$2: $counted"
	((counted >= 1 && counted < 9))
	[[ $2 == tcp || $counted == 1 ]]
}

@test "ports run out: whoever wants one is told at once, and who has one goes on" {
	ip -n "$outside" route add blackhole 192.0.2.99/32
	take_ports udp
	take_ports tcp
	! peer_is_counted || mark_counts
	start_capture "$red" eth0
	refused "$red" udp
	refused "$red" tcp
	# Checksums that are made before a packet is sent.
	on "$red" ethtool -K eth0 tx off
	refused "$red" tcp
	refused "$red" udp
	stop_capture
	run -0 captured "icmp[0] == 3 and icmp[1] == 13 and src host $uplink_address"
	(($(grep -c 'admin prohibited' <<<"$output") >= 4))
	! peer_is_counted || assert_counts_equal
	begun=$(lab -j nat list --protocol tcp | wc -l)
	[[ $begun == 4 ]]
}

@test "a port that the host has is left to it, and all the others are handed out" {
	local name socket i
	# shellcheck disable=SC2016 # perl's
	ip netns exec "$host" timeout 60 perl -MIO::Socket::INET -e '
		my $s = IO::Socket::INET->new(Proto => "udp", LocalPort => 40000, PeerHost => $ARGV[0],
			PeerPort => 9) or die;
		sleep' "$outside_address" 3>&- &
	socket=$!
	for ((i = 0; i < 100; i++)); do
		! on "$host" ss -Hun src :40000 | grep -q . || break
		sleep 0.05
	done
	for name in "$blue" "$green" "$red"; do
		# shellcheck disable=SC2016 # expanded inside
		on "$name" bash -c 'echo >"/dev/udp/$0/9"' "$outside_address"
	done
	run -0 lab -j nat list --protocol udp
	[[ $(jq .external_port <<<"$output" | sort | xargs) == "40001 40002 40003" ]]
	run -0 on "$red" perl "$BATS_TEST_DIRNAME/refused.pl" udp "$outside_address" 9
	[[ $output == "No route to host" ]]
	(($(uplink_dropped nat-host-socket) >= 1))
	kill "$socket"
	run -0 on "$red" bash -c "echo >/dev/udp/$outside_address/9"
	await_sessions udp
}

@test "the same by the kernel's path" {
	lab down lab
	put_topology kernel
	sed -i 's/masquerade: eth0/masquerade: {uplink: eth0, ports: 40000-40003}/' "$topology"
	lab apply "$topology"
	find_cookie
	take_ports udp
	refused "$red" udp
}

@test "ping is told, too" {
	local i
	for i in 1 2; do
		on "$blue" ping -n -q -c 1 -e "$i" "$outside_address"
		on "$green" ping -n -q -c 1 -e "$i" "$outside_address"
	done
	await_sessions icmp
	run -1 on "$red" ping -n -c 1 -e 77 -W 20 "$outside_address"
	[[ $output == *"From $uplink_address"*"Packet filtered"* ]]
}

# The namespace's end sends checksums that are to be finished by a device. Its host's end is told
# that it is none, so that the kernel finishes that of the quoted header before the error arrives.
@test "an error's checksum is right also when that of what it quotes is finished later" {
	ip -n "$outside" route add blackhole 192.0.2.99/32
	take_ports udp
	take_ports tcp
	on "$host" ethtool -K "$(host_end_of "$red")" tx off
	start_capture "$red" eth0
	refused "$red" udp
	refused "$red" tcp
	stop_capture
	run -0 tcpdump -vv -nn -r "$work/capture" "icmp[0] == 3 and icmp[1] == 13"
	(($(grep -c "admin prohibited" <<<"$output") >= 2))
	[[ $output != *"wrong icmp cksum"* && $output != *"bad cksum"* ]]
}
