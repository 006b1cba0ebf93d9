#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# inbound: true. What the outside begins straight with an inside address is forwarded, and answered
# from that address; whatever else the inside sends is masqueraded.
#
# What the host sends is captured at outside. An inside source is there only towards who has asked.

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # jq has dollars; run sets output; fabric.bash the names
load published

red4=192.168.15.11
red6=fd00:15::11

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	unwatched "answers leave with their inside source; tests look for what else does"
	ip -n "$outside" route add 192.168.0.0/16 via "$uplink_address"
	ip -n "$outside" route add fd00::/16 via "$uplink_address6"
}

teardown() {
	stop_captures
	clean_up
}

inbound_is() { # true|false
	sed -i -E "s/(v-net-0: \{)(inbound: [a-z]+, )?/\1inbound: $1, /" "$topology"
}

inbound_up() { # [DATAPATH]
	put_topology "$@"
	inbound_is true
	lab apply "$topology"
	find_cookie
	settle
}

# Of what has left; of IPv6 without what is a neighbour's.
inside_sources() {
	captured "src net 192.168.0.0/16 or src net fd00::/16"
}

both_ways() { # DATAPATH
	local protocol
	inbound_up "$1"
	start_capture "$outside" eth0
	for protocol in tcp udp; do
		exchange "$protocol" "$outside" "$red" "$red4"
		[[ $caller == "$outside_address" ]]
		exchange "$protocol" "$outside" "$red" "$red6"
		[[ $caller == "$outside_address6" ]]
	done
	pings "$outside" "$red4"
	pings "$outside" "$red6"
	pings "$outside" "$red4" -s 4000
	pings "$outside" "$red6" -s 4000
	stop_capture
	run -0 inside_sources
	[[ $output == *"$red4"* && $output == *"$red6"* ]]
	start_capture "$outside" eth0
	pings "$red" "$outside_address"
	pings "$red" "$outside_address6"
	for protocol in tcp udp; do
		exchange "$protocol" "$red" "$outside" "$outside_address"
		[[ $caller == "$uplink_address" ]]
		exchange "$protocol" "$red" "$outside" "$outside_address6"
		[[ $caller == "$uplink_address6" ]]
	done
	stop_capture
	assert_no_leak
	# The other network has not been opened.
	run -1 pings "$outside" 192.168.16.11 -c 1 -W 1
	run -1 pings "$outside" fd00:16::11 -c 1 -W 1
	# Nor is the gateway, which is the host.
	run -1 pings "$outside" 192.168.15.1 -c 1 -W 1
	run -1 pings "$outside" fd00:15::1 -c 1 -W 1
}

@test "TCP, UDP and pings straight to an inside address, and masqueraded the other way" {
	both_ways auto
}

@test "datapath: kernel: the same" {
	both_ways kernel
}

@test "a closed port is told, and a router that does not go on" {
	inbound_up
	run -1 on "$outside" nc -nv -w 5 "$red4" 9
	[[ $output == *refused* ]]
	run -0 on "$outside" traceroute -n -I -q 1 -w 3 "$red4"
	[[ ${lines[1]} == *" $uplink_address "* && ${lines[2]} == *" $red4 "* ]]
	run -0 on "$outside" traceroute -n -U -q 1 -w 3 "$red4"
	[[ ${lines[2]} == *" $red4 "* ]]
	run -0 on "$outside" traceroute -6 -n -U -q 1 -w 3 "$red6"
	[[ ${lines[1]} == *" $uplink_address6 "* && ${lines[2]} == *" $red6 "* ]]
}

@test "too large for the namespace: the sender is told" {
	put_topology
	inbound_is true
	sed -i 's/datapath: auto/datapath: auto, mtu: 1300/' "$topology"
	lab apply "$topology"
	find_cookie
	settle
	run -1 on "$outside" ping -n -c 1 -W 3 -M "do" -s 1400 "$red4"
	[[ $output == *"mtu = 1300"* || $output == *"mtu=1300"* ]]
	run -0 on "$outside" ping -n -c 2 -i 0.2 -W 3 -s 1400 "$red4"
}

@test "nat list and flush, and what is counted" {
	inbound_up
	serve "$red" tcp 7000
	hold "$outside" "$red4" 7000
	run -0 lab nat list
	[[ $output == *" direct "* ]]
	run -0 lab -j nat list
	[[ $(jq -c 'select(.direct) | [.inside, .external, .inside_port, .external_port, .remote, .state]' <<<"$output") == \
		"[\"$red4\",\"$red4\",7000,7000,\"$outside_address\",\"established\"]" ]]
	run -0 stats '.uplinks[0] | .rx_passed > 0 and .tx_passed > 0 and .nat.flows == 1'
	[[ $output == true ]]
	lab nat flush --namespace "$red"
	run -0 lab -j nat list
	[[ -z $output ]]
	# What goes on is masqueraded: nobody waits for it there.
	start_capture "$outside" eth0
	run -1 still_held gone 20
	stop_capture
	assert_no_leak
}

# Red answers the outside's datagram again and again, a hundred times a second. Sets ticker.
ticks() { # OUTSIDE'S-ADDRESS RED'S-ADDRESS
	# shellcheck disable=SC2016 # perl's
	ip netns exec "$red" perl -MSocket=:all -e '
		alarm 300;
		my $six = $ARGV[0] =~ /:/;
		socket(my $s, $six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
		bind($s, $six ? pack_sockaddr_in6(7000, inet_pton(AF_INET6, "::")) :
			sockaddr_in(7000, INADDR_ANY)) or die "bind: $!";
		my $caller = recv($s, my $asked, 100, 0) or die "recv: $!";
		for (;;) {
			send($s, "tick", 0, $caller);
			select undef, undef, undef, 0.01;
		}' "$1" 3>&- &
	ticker=$!
	if [[ $1 == *:* ]]; then await_listener "$red" udp6 7000; else await_listener "$red" udp 7000; fi
	sends "$outside" 5000 "$2" 7000
}

# Of whose address it is, in their order, what has come from red.
tickers() {
	tcpdump -nn -t -r "$work/capture" "udp and dst port 5000" 2>/dev/null | awk '{ print $2 }' |
		sed -E 's/[.:][0-9]+$//' | uniq | xargs
}

# While red sends: what was let out before the change is not let out after it, by a single packet.
taken_away() { # OUTSIDE'S-ADDRESS UPLINK'S-ADDRESS RED'S-ADDRESS
	inbound_up
	start_capture "$outside" eth0
	ticks "$1" "$3"
	sleep 0.3
	inbound_is false
	lab apply "$topology"
	sleep 0.3
	kill -STOP "$ticker" # a capture ends when nothing more comes
	stop_capture
	[[ $(tickers) == "$3 $2" ]]
	start_capture "$outside" eth0
	kill -CONT "$ticker"
	sleep 0.3
	kill "$ticker"
	stop_capture
	[[ $(tickers) == "$2" ]]
	assert_no_leak
}

@test "taken away while it is answered: nothing leaves as it is from then on" {
	taken_away "$outside_address" "$uplink_address" "$red4"
}

@test "taken away while it is answered, over IPv6" {
	taken_away "$outside_address6" "$uplink_address6" "$red6"
}

@test "taken away: connections end, and there are new ones when it is back" {
	inbound_up
	serve "$red" tcp 7000
	hold "$outside" "$red4" 7000
	inbound_is false
	run -3 lab plan "$topology"
	[[ $output == *"inbound off"* ]]
	lab apply "$topology"
	start_capture "$outside" eth0
	run -1 still_held gone 20
	calls_in_vain "$outside" tcp "$red4" 7000
	stop_capture
	assert_no_leak
	run -0 lab plan "$topology"
	inbound_is true
	lab apply "$topology"
	calls "$outside" tcp "$red4" 7000
	run -0 lab plan "$topology"
}

@test "a published port beside it, and a hairpin" {
	put_topology
	inbound_is true
	publish "$red" '"8080:7000/tcp"'
	lab apply "$topology"
	find_cookie
	settle
	serve "$red" tcp 7000
	calls "$outside" tcp "$uplink_address" 8080
	[[ $(last_caller 7000) == "$outside_address "* ]]
	calls "$outside" tcp "$red4" 7000
	[[ $(last_caller 7000) == "$outside_address "* ]]
	calls "$blue" tcp "$uplink_address" 8080
	[[ $(last_caller 7000) == "$uplink_address "* ]]
}

@test "trace tells what is direct" {
	inbound_up
	run -0 lab trace --in eth0 --proto udp --source "$outside_address:5000" --to "$red4:7000"
	echo "$output"
	[[ $output == *"would open a direct one"*"delivered to $red eth0 by the fast path"* ]]
	run -0 lab -j nat list
	[[ -z $output ]]
	serve "$red" udp 7000
	calls "$outside" udp "$red4" 7000 5000
	run -0 lab trace --from "$red" --proto udp --source :7000 --to "$outside_address:5000"
	echo "$output"
	[[ $output == *"belongs to a direct session, and is not translated"* ]]
	run -0 lab trace --from "$red" --proto udp --source :7000 --to "$outside_address:5001"
	[[ $output == *"no direct session"*"would open one"* ]]
	run -0 lab trace --in eth0 --proto tcp --source "$outside_address:5000" --to "$red4:7000"
	echo "$output"
	[[ $output == *nat-state* ]]
}

@test "isolate beside it: other networks are kept out, the uplink is not" {
	put_topology
	inbound_is true
	sed -i 's/v-net-0: {/&isolate: true, /' "$topology"
	lab apply "$topology"
	find_cookie
	settle
	pings "$outside" "$red4"
	run -1 pings "$green" "$red4" -c 1 -W 1
}

@test "the uplink's address changes: direct flows go on" {
	inbound_up
	serve "$red" tcp 7000
	hold "$outside" "$red4" 7000
	ip -n "$host" address add 203.0.113.7/24 dev eth0
	ip -n "$host" address del "$uplink_address/24" dev eth0
	ip -n "$host" address add 203.0.113.7/24 dev eth0 || true
	ip -n "$host" route replace default via "$outside_address"
	ip -n "$outside" route replace 192.168.0.0/16 via 203.0.113.7
	lab apply "$topology"
	still_held two
	start_capture "$outside" eth0 "dst host $outside_address and icmp"
	pings "$red" "$outside_address"
	stop_capture
	run -0 captured "src host 203.0.113.7"
	[[ -n $output ]]
}
