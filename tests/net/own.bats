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

# Of both: each has its own replies, all of them, and nobody another's.
echoes() { # NAMESPACE IDENTIFIER COUNT ADDRESS
	ip netns exec "$1" ping -n -q -e "$2" -c "$3" -i 0.1 -W 3 "$4" >"$work/ping-$1" 3>&-
}

assert_all_back() { # NAMESPACE COUNT
	cat "$work/ping-$1"
	grep -q "^$2 packets transmitted, $2 received, 0% packet loss" "$work/ping-$1"
}

# What red has sent before the host asks for the first time is answered, and at most one request of it
# that is on its way then is answered to the host, which has not sent it.
echo_of_both() { # ADDRESS
	local first
	echoes "$red" 7777 30 "$1" &
	first=$!
	sleep 0.75
	echoes "$host" 7777 10 "$1"
	wait "$first"
	assert_all_back "$host" 10
	run -0 grep -E "^30 packets transmitted, (29|30) received" "$work/ping-$red"
	lab nat flush
	echoes "$host" 7878 30 "$1" &
	first=$!
	sleep 0.75
	echoes "$red" 7878 10 "$1"
	wait "$first"
	assert_all_back "$host" 30
	assert_all_back "$red" 10
	stop_capture
	assert_no_leak
}

@test "echo: the host's and a namespace's of one identifier, whoever was first" {
	echo_of_both "$outside_address"
}

@test "echo over IPv6" {
	echo_of_both "$outside_address6"
}
