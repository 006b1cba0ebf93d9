#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Flows of the host itself that begin later, from a port that is mapped to the same remote.

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
	lab apply "$topology"
	find_cookie
	settle
	start_capture "$outside" eth0
}

teardown() {
	stop_captures
	clean_up
}

# What is asked in the name of the caller is answered to the caller: a datagram with that name, again
# each second.
asks() { # NAMESPACE PORT
	on "$1" perl -MSocket -MIO::Select -e '
		socket(my $s, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
		setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
		bind($s, sockaddr_in($ARGV[2], INADDR_ANY)) or die "bind: $!";
		connect($s, sockaddr_in(4000, inet_aton($ARGV[1]))) or die "connect: $!";
		for (1 .. 15) {
			send($s, $ARGV[0], 0);
			next if !IO::Select->new($s)->can_read(1);
			next if !defined recv($s, my $data, 100, 0);
			die "got what $data has asked\n" if $data ne $ARGV[0];
			exit 0;
		}
		die "no answer\n"' "$1" "$outside_address" "$2"
}

@test "datagrams: the host's are answered to the host" {
	serve "$outside" udp 4000
	asks "$red" 7000
	[[ $(last_caller 4000) == "$uplink_address 7000" ]]
	asks "$host" 7000
	[[ $(last_caller 4000) == "$uplink_address 7000" ]]
	# What red sends now has another port: the one it had cools down.
	asks "$red" 7000
	[[ $(last_caller 4000) == "$uplink_address "* && $(last_caller 4000) != *" 7000" ]]
	asks "$host" 7000
	stop_capture
	assert_no_leak
}

@test "connections: the host's comes about, the namespace's fails and says so" {
	local held i
	serve "$outside" tcp 4001
	mkfifo "$work/sent"
	ip netns exec "$red" timeout 100 nc -n -p 7001 "$outside_address" 4001 <"$work/sent" >"$work/held" 2>/dev/null 3>&- &
	held=$!
	exec 7>"$work/sent"
	still_held one
	[[ $(last_caller 4001) == "$uplink_address 7001" ]]
	# The remote has another connection of that port, which the host's first segment ends.
	calls "$host" tcp "$outside_address" 4001 7001
	[[ $(wc -l <"$work/callers-4001") == 2 && $(last_caller 4001) == "$uplink_address 7001" ]]
	echo two >&7
	for ((i = 0; i < 500; i++)); do
		[[ -d /proc/$held ]] || break
		sleep 0.02
	done
	[[ ! -d /proc/$held && $(<"$work/held") == one ]]
	exec 7>&-
	stop_capture
	assert_no_leak
}
