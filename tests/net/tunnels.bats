#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Tunnels of a namespace over UDP with checksums. Linux makes the tunnel's in advance, of a checksum of
# TCP inside that is still to be completed: a packet of which nobody is told which of the two that is.

# shellcheck disable=SC2030,SC2031,SC2154 # run sets output; fabric.bash the names
load published

setup_file() {
	new_suffix
	ip netns add "nsr-probe-$file_suffix"
	ip -n "nsr-probe-$file_suffix" link add probe type vxlan id 1 dstport 4789 || no_vxlan=1
	ip netns del "nsr-probe-$file_suffix"
	[[ -z ${no_vxlan-} ]] || skip "this kernel has no VXLAN"
}

teardown_file() {
	assert_nothing_left
}

# Red's tunnel is published, so that the outside and other namespaces reach it.
setup() {
	new_host
	unwatched "the outside sees what was in the tunnel, too; these tests judge captures of their own"
	put_topology
	publish "$red" '"4789:4789/udp"'
	lab apply "$topology"
	find_cookie
	settle
	on "$host" ethtool -K eth0 tx off >/dev/null
}

teardown() {
	stop_captures
	clean_up
}

# An end of the tunnel, 10.77.0.NUMBER, which knows the other's MAC address.
tunnel() { # NAMESPACE NUMBER REMOTE OTHER
	local sums=udpcsum
	[[ $3 != *:* ]] || sums=noudp6zerocsumtx
	ip -n "$1" link add tunnel address "02:00:00:00:77:0$2" type vxlan id 7 remote "$3" dstport 4789 "$sums"
	ip -n "$1" link set tunnel mtu 1400 addrgenmode none up
	ip -n "$1" address add "10.77.0.$2/24" dev tunnel
	ip -n "$1" neigh add "10.77.0.$4" lladdr "02:00:00:00:77:0$4" dev tunnel nud permanent
}

# Lines one by one, so that no two become one packet and most leave within a second that others left in.
lines() { # CLIENT SERVER ADDRESS
	serve "$2" tcp 8081
	on "$1" timeout 30 perl -MIO::Socket::INET -e '
		my $s = IO::Socket::INET->new(PeerHost => $ARGV[0], PeerPort => 8081, Timeout => 10)
			or die "connect: $!";
		setsockopt($s, 6, 1, 1); # TCP_NODELAY
		for (1 .. 200) {
			syswrite($s, "line $_\n" . "x" x ($_ % 7));
			sysread($s, my $back, 100) or die "read: $!";
			select undef, undef, undef, 0.002;
		}' "$3"
	kill "$server"
	wait "$server" || true
}

# Of TCP in the tunnel. The outside's captures have every checksum; those in namespaces have not TCP's own,
# nor the tunnel's around all else.
assert_judged() { # NAMESPACE PACKETS
	tests/net/complete.pl "$work/at-$1" >"$work/completed-$1"
	run tests/net/judge.pl "$work/completed-$1" 10.66.0.0/16
	echo "$1: $output"
	((status == 0))
	[[ ${lines[-1]} =~ ^0\ faults\ in\ ([0-9]+)\ packets ]]
	((BASH_REMATCH[1] >= $2))
}

# From red outward, what comes back, and what the outside begins.
through_the_tunnel() { # OUTSIDE'S-ADDRESS UPLINK'S-ADDRESS
	tunnel "$red" 1 "$1" 2
	tunnel "$outside" 2 "$2" 1
	capture_in "$outside" "$red"
	lines "$red" "$outside" 10.77.0.2
	lines "$outside" "$red" 10.77.0.1
	stop_captures
	run -0 tests/net/judge.pl "$work/at-$outside" 192.168.0.0/16 fd00::/16
	echo "$output"
	assert_judged "$outside" 400
	assert_judged "$red" 400
}

# GSO packets: the tunnel's checksum is that of what they are cut into.
much_through_the_tunnel() { # OUTSIDE'S-ADDRESS UPLINK'S-ADDRESS
	tunnel "$red" 1 "$1" 2
	tunnel "$outside" 2 "$2" 1
	start_capture "$outside" eth0 "" -s 2000 -B 65536
	bulk "$red" "$outside" 10.77.0.2 -n 4M
	stop_capture
	run -0 tests/net/judge.pl "$work/capture" 192.168.0.0/16 fd00::/16
	echo "$output"
}

# From one namespace to another by the uplink's address: translated on both sides.
by_hairpin() { # UPLINK'S-ADDRESS
	tunnel "$blue" 1 "$1" 2
	capture_in "$red"
	run on "$blue" timeout 3 nc -n -w 2 10.77.0.2 80
	stop_captures
	run -0 tcpdump -nn -r "$work/at-$red" "udp dst port 4789"
	[[ -n $output ]]
	assert_judged "$red" 2
}

@test "outward, back and inward" {
	through_the_tunnel "$outside_address" "$uplink_address"
}

@test "outward, back and inward, over IPv6" {
	through_the_tunnel "$outside_address6" "$uplink_address6"
}

@test "large packets" {
	much_through_the_tunnel "$outside_address" "$uplink_address"
}

@test "large packets, over IPv6" {
	much_through_the_tunnel "$outside_address6" "$uplink_address6"
}

@test "by hairpin" {
	by_hairpin "$uplink_address"
}

@test "by hairpin, over IPv6" {
	by_hairpin "$uplink_address6"
}

@test "another port than its own" {
	# The port that the tunnel sends from is another namespace's as well.
	sed -i '/v-net-0:/s/masquerade: eth0/masquerade: {uplink: eth0, ports: 20000-20999}/' "$topology"
	sed -i '/v-net-1:/s/masquerade: eth0/masquerade: {uplink: eth0, ports: 20000-20999}/' "$topology"
	lab apply "$topology"
	through_the_tunnel "$outside_address" "$uplink_address"
}
