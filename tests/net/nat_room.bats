#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# One namespace opens all flows that it may have, or is flooded from outside: the others have room for
# theirs. Of IPv6, whose table is the smaller one.

# shellcheck disable=SC2016,SC2154 # perl has dollars; fabric.bash the names
bats_require_minimum_version 1.5.0
load fabric

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

# Datagrams from one port to as many remotes, or to as many ports of one. What they are for is dropped
# in silence.
opens() { # NAMESPACE COUNT remotes|ports
	on "$1" perl -MSocket=:all -e '
		my ($count, $what) = @ARGV;
		socket(my $s, AF_INET6, SOCK_DGRAM, 0) or die;
		bind($s, pack_sockaddr_in6(6666, IN6ADDR_ANY)) or die;
		for my $i (1 .. $count) {
			my ($host, $port) = $what eq "remotes" ? ($i, 9) : (0, 100 + $i);
			my $to = inet_pton(AF_INET6, sprintf("2001:db8:ffff::1:%x", $host));
			defined(send($s, "x", 0, pack_sockaddr_in6($port, $to))) or die;
			select undef, undef, undef, 0.001 if $i % 100 == 0;
		}' "$2" "$3"
}

# As many datagrams to the port, each from a port of its own.
floods() { # FROM-ADDRESS FIRST-PORT LAST-PORT TO-PORT
	on "$outside" perl -MSocket=:all -e '
		my ($from, $first, $last, $to, $port) = @ARGV;
		my $there = pack_sockaddr_in6($port, inet_pton(AF_INET6, $to));
		for my $i ($first .. $last) {
			socket(my $s, AF_INET6, SOCK_DGRAM, 0) or die;
			bind($s, pack_sockaddr_in6($i, inet_pton(AF_INET6, $from))) or die;
			send($s, "x", 0, $there) or die;
			select undef, undef, undef, 0.001 if $i % 100 == 0;
		}' "$1" "$2" "$3" "$uplink_address6" "$4"
}

sessions_of() { # NAMESPACE
	lab -j nat list --namespace "$1" | wc -l
}

room_up() { # MASQUERADE [PUBLISH]
	put_topology
	sed -i "s/masquerade: eth0/masquerade: {uplink: eth0, $1}/" "$topology"
	[[ -z ${2:-} ]] || sed -i "s|^  $red:|&\n    publish: [$2]|" "$topology"
	lab apply "$topology"
	find_cookie
	settle
	ip -n "$outside" -6 route add blackhole 2001:db8:ffff::/48
}

@test "IPv6: one namespace sends to as many remotes as it may, each of which the filter remembers" {
	room_up 'filtering: address-dependent'
	opens "$red" 32768 remotes
	[[ $(sessions_of "$red") == 32768 ]]
	opens "$blue" 300 ports
	[[ $(sessions_of "$blue") == 300 ]]
	# Its limit is what ends it, not the table.
	opens "$red" 10 ports
	[[ $(sessions_of "$red") == 32768 ]]
	(($(uplink_dropped nat-flows-limit) > 0))
	[[ $(uplink_dropped nat-sessions-full) == 0 ]]
}

@test "IPv6: a flood from outside to a published port leaves room for the others" {
	room_up 'max_flows_per_namespace: 163840' '"8080:8080/udp"'
	local listening
	ip netns exec "$red" timeout 60 perl -MSocket=:all -e '
		socket(my $s, AF_INET6, SOCK_DGRAM, 0) or die;
		bind($s, pack_sockaddr_in6(8080, IN6ADDR_ANY)) or die;
		sleep 60' 3>&- &
	listening=$!
	await_listener "$red" udp 8080
	ip -n "$outside" address add 2001:db8:113::11/64 dev eth0 nodad
	floods "$outside_address6" 1024 22000 8080
	floods 2001:db8:113::11 1024 22000 8080
	# A quarter of the table for all that comes from outside; the port is reached all the same.
	[[ $(sessions_of "$red") == 32768 ]]
	[[ $(uplink_dropped nat-sessions-full) == 0 ]]
	opens "$blue" 300 ports
	[[ $(sessions_of "$blue") == 300 ]]
	opens "$red" 300 ports
	[[ $(sessions_of "$red") == $((32768 + 300)) ]]
	kill $listening
}
