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

# The port that the remote has seen last, of the uplink's address.
port_seen() { # PORT ADDRESS
	local address port
	read -r address port < <(last_caller "$1")
	[[ $address == "$2" ]]
	echo "$port"
}

@test "datagrams: of one port, to one remote, each is answered, and the host has another port" {
	local port
	serve "$outside" udp 4000
	asks "$red" 7000
	[[ $(last_caller 4000) == "$uplink_address 7000" ]]
	asks "$host" 7000
	port=$(port_seen 4000 "$uplink_address")
	[[ $port != 7000 ]]
	asks "$red" 7000
	[[ $(last_caller 4000) == "$uplink_address 7000" ]]
	asks "$host" 7000
	[[ $(last_caller 4000) == "$uplink_address $port" ]]
	# Both are there.
	lab -j nat list | jq -se --arg ip "$uplink_address" --argjson port "$port" \
		'map(select(.inside_port == 7000) | [.host, .inside == $ip, .external_port]) | sort == [[false, false, 7000], [true, true, $port]]'
	lab nat list | grep -E "^\(host\) .* $uplink_address:7000 +$uplink_address:$port "
	# The inside's flow ends, and the host's goes on.
	lab nat flush --namespace "$red"
	asks "$host" 7000
	[[ $(last_caller 4000) == "$uplink_address $port" ]]
	stop_capture
	assert_no_leak
}

# How much of so many bytes comes back.
comes_back() { # NAMESPACE ADDRESS PORT SOURCE-PORT BYTES
	on "$1" timeout 60 perl -MIO::Socket::IP -e '
		my ($address, $port, $own, $bytes) = @ARGV;
		my $s = IO::Socket::IP->new(PeerHost => $address, PeerPort => $port, LocalPort => $own, Proto => "tcp") or die "$@\n";
		if (!fork) {
			print $s "x" x $bytes;
			shutdown($s, 1);
			exit 0;
		}
		my $got = 0;
		while (sysread($s, my $data, 65536)) { $got += length $data }
		print "$got\n"' "${@:2}"
}

# A connection of red's that is held while the host has one of the same port, to the same remote. Much
# goes over that, both ways, in segments that a device is to cut and to sum up.
both_connect() { # PROTOCOL ADDRESS UPLINK-ADDRESS
	serve "$outside" "$1" 4001
	mkfifo "$work/sent"
	ip netns exec "$red" timeout 100 nc -n -p 7001 "$2" 4001 <"$work/sent" >"$work/held" 2>/dev/null 3>&- &
	exec 7>"$work/sent"
	still_held one
	[[ $(last_caller 4001) == "$3 7001" ]]
	[[ $(comes_back "$host" "$2" 4001 7001 3000000) == 3000000 ]]
	[[ $(wc -l <"$work/callers-4001") == 2 && $(port_seen 4001 "$3") != 7001 ]]
	still_held two
	lab -j nat list | jq -se 'map(select(.inside_port == 7001 and .host)) | length == 1'
	exec 7>&-
	stop_capture
	assert_no_leak
}

@test "connections: both go on, the host's by another port" {
	both_connect tcp "$outside_address" "$uplink_address"
}

@test "connections over IPv6" {
	both_connect tcp6 "$outside_address6" "$uplink_address6"
}

@test "datagrams over IPv6, and in fragments" {
	local protocol address uplink
	for protocol in udp6 udp; do
		address=$outside_address uplink=$uplink_address
		[[ $protocol == udp ]] || address=$outside_address6 uplink=$uplink_address6
		serve "$outside" "$protocol" 4002
		calls "$red" "$protocol" "$address" 4002 7002
		[[ $(last_caller 4002) == "$uplink 7002" ]]
		SIZE=5000 calls "$host" "$protocol" "$address" 4002 7002
		[[ $(port_seen 4002 "$uplink") != 7002 ]]
		SIZE=5000 calls "$red" "$protocol" "$address" 4002 7002
		[[ $(last_caller 4002) == "$uplink 7002" ]]
		kill "$server"
		wait "$server" || true
	done
	stop_capture
	assert_no_leak
}

# The host's kernel finds its socket by what an error quotes.
@test "errors: a closed port is told to the host, by its own port" {
	asks_nobody() { # NAMESPACE: "refused", if it is told
		on "$1" perl -MSocket -MIO::Select -e '
			socket(my $s, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
			bind($s, sockaddr_in(7003, INADDR_ANY)) or die "bind: $!";
			connect($s, sockaddr_in(4003, inet_aton($ARGV[0]))) or die "connect: $!";
			for (1 .. 15) {
				send($s, "x", 0) or last;
				IO::Select->new($s)->can_read(1) or next;
				defined recv($s, my $data, 100, 0) or last;
			}
			print $!{ECONNREFUSED} ? "refused\n" : "$!\n"' "$outside_address"
	}
	[[ $(asks_nobody "$red") == refused ]]
	[[ $(asks_nobody "$host") == refused ]]
	lab -j nat list | jq -se 'map(select(.inside_port == 7003) | .host) | sort == [false, true]'
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
