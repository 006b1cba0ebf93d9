#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A reset that somebody else has made, who is on no way between the two: it costs neither a connection.

# shellcheck disable=SC2030,SC2031,SC2154 # run sets output; fabric.bash the names
load published

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	put_topology
	sed -i '/v-net-0:/s/masquerade: eth0/masquerade: {uplink: eth0, timeouts: {tcp_rst: 3}}/' "$topology"
	lab apply "$topology"
	find_cookie
	settle
}

teardown() {
	clean_up
}

# A segment with RST that is out of every window.
forge_reset() { # PORT PORT: from the outside's to the uplink's
	on "$outside" perl -MSocket=:all -e '
		my ($from, $to) = map { inet_aton($_) } @ARGV[0, 1];
		my $tcp = pack("nnNNCCnnn", @ARGV[2, 3], 12345, 0, 0x50, 4, 0, 0, 0);
		my $sum = unpack("%32n*", $from . $to . pack("nn", 6, length $tcp) . $tcp);
		$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
		substr($tcp, 16, 2) = pack("n", ~$sum & 0xffff);
		socket(my $s, AF_INET, SOCK_RAW, IPPROTO_TCP) or die "socket: $!";
		send($s, $tcp, 0, sockaddr_in(0, $to)) or die "send: $!"' \
		"$outside_address" "$uplink_address" "$1" "$2"
}

state() {
	lab -j nat list --port 4001 | jq -r .state
}

await_state() { # STATE
	local i
	for ((i = 0; i < 100; i++)); do
		[[ $(state) != "$1" ]] || return 0
		sleep 0.02
	done
	return 1
}

@test "a forged reset, then a rest: the connection goes on" {
	local served
	# What the server has to say, it says late, and of itself.
	ip netns exec "$outside" timeout 60 perl -MIO::Socket::INET -e '
		my $listener = IO::Socket::INET->new(LocalPort => 4001, Listen => 1, ReuseAddr => 1)
			or die "listen: $!";
		my $c = $listener->accept;
		sysread($c, my $said, 100) for 1, 2;
		sleep 5;
		syswrite($c, "late\n");
		sysread($c, $said, 100)' 3>&- &
	served=$!
	await_listener "$outside" tcp 4001
	mkfifo "$work/sent"
	ip netns exec "$red" timeout 60 nc -n -N -p 5001 "$outside_address" 4001 \
		<"$work/sent" >"$work/held" 3>&- &
	exec 7>"$work/sent"
	echo one >&7
	await_state established
	sleep 0.3
	forge_reset 4001 5001
	await_state reset
	echo two >&7
	await_state established
	for ((i = 0; i < 400; i++)); do # beyond tcp_rst
		[[ $(<"$work/held") != late ]] || break
		sleep 0.02
	done
	[[ $(<"$work/held") == late && $(state) == established ]]
	exec 7>&-
	wait "$served"
}
