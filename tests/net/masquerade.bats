#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What masquerade has to do beyond addresses and ports: ICMP errors from both sides.
#
# What the host sends is captured at outside, and not one packet of it may show an inside address, in a
# quote either, or have a wrong checksum.

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # perl has dollars; run sets output; fabric.bash the names
load far

server_address=198.51.100.80

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	new_server cable net.ipv4.ip_forward 192.0.2.1 192.0.2.2 198.51.100.1
}

teardown() {
	clean_up
}

assert_clean() {
	stop_capture
	assert_no_leak
	run tests/net/judge.pl "$work/capture" 192.168.0.0/16
	echo "$output"
	((status == 0))
}

# Of what the host sends by the uplink; tcpdump may be a moment behind.
await_icmp() { # WORDS
	local i
	for ((i = 0; i < 100; i++)); do
		run captured "icmp and src host $uplink_address"
		[[ $output != *"$1"* ]] || return 0
		sleep 0.05
	done
	return 1
}

address_changes() { # DATAPATH
	local old=$uplink_address new=203.0.113.7
	up "$1"
	watch
	uplink_becomes "$red" "$old" "$new" 24 "$outside_address"
	uplink_address=$new
	traffic
	uplink_address="($old or $new)"
	assert_clean
}

routers_answer() {
	up "$1"
	watch
	routers_show -4 192.168.15.1 "$outside_address" 192.0.2.2
	[[ $output == *" $outside_address "*"pmtu 1280"*" 192.0.2.2 "*"$server_address "*reached* ]]
	assert_clean
}

@test "traceroute and tracepath through the masquerade show every router" {
	routers_answer auto
}

@test "datapath kernel: the same routers" {
	routers_answer kernel
}

@test "path-MTU discovery outwards: a router's answer reaches the sender, and is heeded" {
	up
	watch
	run -1 on "$red" ping -n -c 1 -W 3 -M "do" -s 1400 "$server_address"
	[[ $output == *"From $outside_address "*"mtu = 1280"* ]]
	run -0 on "$red" ping -n -c 1 -W 3 -M "do" -s 1252 "$server_address"
	assert_clean
	ip -n "$red" route flush cache
	bulk "$red" "$server" "$server_address"
	run -0 ip -n "$red" route get "$server_address"
	[[ $output == *"mtu 1280"* ]]
}

@test "path-MTU discovery inwards: the server hears of a small MTU behind the masquerade" {
	up
	sed -i 's/^defaults: {/&mtu: 1280, /' "$topology"
	lab apply "$topology"
	ip -n "$outside" link set eth1 mtu 1500
	ip -n "$far_router" link set eth0 mtu 1500
	watch
	# The answer with "don't fragment" is too large; the error comes back, and then it is refused.
	serve '
		setsockopt($s, 0, 10, pack("i", 2)) or die;
		connect($s, $from) or die;
		send($s, "x" x 1300, 0) // die;
		for (1 .. 50) {
			select(undef, undef, undef, 0.1);
			print("refused: $!\n"), exit if !defined send($s, "x" x 1300, 0) && $!{EMSGSIZE};
		}
		print "never\n";'
	send_early "$green" 5555
	served
	[[ $output == "refused: Message too long" ]]
	await_icmp "unreachable - need to frag (mtu 1280)"
	assert_clean
}

@test "an inside host's refusal reaches the server, in the external address's name" {
	up
	watch
	serve '
		connect($s, $from) or die;
		for (1 .. 50) {
			last if !defined send($s, "pong", 0);
			select(undef, undef, undef, 0.1);
		}
		print "refused: $!\n";'
	send_early "$red" 5555
	served
	[[ $output == "refused: Connection refused" ]]
	await_icmp "$uplink_address udp port 5555 unreachable"
	assert_clean
	[[ $(uplink_dropped nat-icmp-error) == 0 ]]
}

@test "what gets too old behind the uplink is answered by the host, as if it were for itself" {
	up
	watch
	serve '
		setsockopt($s, 0, 2, pack("i", 3)) or die;
		setsockopt($s, 0, 11, pack("i", 1)) or die;
		connect($s, $from) or die;
		send($s, "pong", 0) // die;
		vec(my $ready = "", fileno($s), 1) = 1;
		select(undef, undef, my $error = $ready, 5);
		print send($s, "pong", 0) ? "nothing\n" : "answered: $!\n";'
	send_early "$red" 5555
	served
	[[ $output == "answered: No route to host" ]]
	await_icmp "time exceeded in-transit"
	assert_clean
}

# ---- Fragments

inside_address() { # NAMESPACE
	[[ $1 == "$red" ]] && echo 192.168.15.11 || echo 192.168.15.12
}

send_pieces() { # NAMESPACE PORT ID LETTER ORDER
	on "$1" tests/net/fragments.pl "$(inside_address "$1"):$2" "$server_address:8080" "$3" "$4" "$5"
}

fragments_pass() {
	local order ids=100
	up "$1"
	watch
	run -0 on "$red" ping -n -c 3 -i 0.1 -W 3 -s 8000 "$server_address"
	[[ $output == *" 0% packet loss"* ]]
	for order in 0,1,2,3,4,5 5,4,3,2,1,0 3,1,5,0,4,2; do
		receive "$server" 8080
		send_pieces "$red" 5555 "$((++ids))" r "$order"
		served
		[[ $output == "r 8000 from $uplink_address:5555" ]]
		receive "$red" 5555
		on "$server" tests/net/fragments.pl "$server_address:8080" "$uplink_address:5555" \
			"$((++ids))" s "$order"
		served
		[[ $output == "s 8000 from $server_address:8080" ]]
	done
	assert_clean
	[[ $(uplink_dropped nat-fragment) == 0 ]]
}

@test "datagrams in fragments pass both ways, whatever the order of these" {
	fragments_pass auto
}

@test "datapath kernel: fragments pass as well" {
	fragments_pass kernel
}

@test "fragments of MTU 9000 pass in any order, larger ones in order; else they are told of" {
	large_fragments_pass "$server_address:8080" "$uplink_address:5555"
	assert_clean
}

# RFC 4787 REQ-13a.
@test "what is too large for the uplink, and may be taken to pieces, leaves in pieces and in order" {
	ip -n "$host" link set eth0 mtu 1400
	ip -n "$outside" link set eth0 mtu 1400
	up
	watch
	run -0 on "$red" ping -n -c 3 -i 0.2 -W 3 -M dont -s 1472 "$outside_address"
	[[ $output == *" 0% packet loss"* ]]
	run -0 captured "src $uplink_address and icmp and ip[6:2] & 0x1fff = 0"
	((${#lines[@]} >= 3))
	run -0 captured "src $uplink_address and ip[6:2] & 0x3fff != 0"
	offsets=$(grep -o 'offset [0-9]*' <<<"$output" | tr '\n' ' ')
	echo "offsets: $offsets"
	[[ $offsets == "offset 0 offset 1376 offset 0 offset 1376 offset 0 offset 1376 " ]]
	assert_clean
}

# RFC 4787 REQ-7.
@test "an uplink that gets an address of the inside is told of, and others outside are reached" {
	up
	watch
	ip -n "$host" address add 192.168.15.200/24 dev eth0
	run -2 lab plan "$topology"
	[[ $output == *"192.168.15.1/24 is in use: interface 'eth0' of the host has the address 192.168.15.200; choose another subnet"* ]]
	run lab doctor
	[[ $output == *"host-overlap"*"its subnet of 192.168.15.1/24 overlaps the host's route to 192.168.15.0/24 by eth0"* ]]
	pings "$red" "$outside_address"
	run -1 on "$red" ping -n -q -c 2 -i 0.1 -W 0.5 192.168.15.201
	ip -n "$host" address del 192.168.15.200/24 dev eth0
	assert_clean
}

@test "two inside hosts with one identification are not mixed up by the receiver" {
	up
	watch
	receive "$server" 8080 2
	send_pieces "$red" 5555 77 r 5,4,3
	send_pieces "$blue" 6666 77 b 1,0,4
	send_pieces "$red" 5555 77 r 1,2,0
	send_pieces "$blue" 6666 77 b 5,2,3
	served
	[[ ${lines[0]} == "r 8000 from $uplink_address:5555" ]]
	[[ ${lines[1]} == "b 8000 from $uplink_address:6666" ]]
	assert_clean
}

@test "addresses: the one that the file names, and no other when it goes" {
	put_topology
	sed -i 's/masquerade: eth0/masquerade: {uplink: eth0, addresses: [203.0.113.9]}/' "$topology"
	run -2 lab apply "$topology"
	[[ $output == *"masquerades as 203.0.113.9, which is no address of the host's; give it to its uplink (ip address add 203.0.113.9/32 dev eth0)"* ]]
	ip -n "$host" address add 203.0.113.9/32 dev eth0
	lab apply "$topology"
	find_cookie
	settle
	watch
	pings "$red" "$outside_address"
	exchange tcp "$red" "$server" "$server_address"
	[[ $caller == 203.0.113.9 ]]
	run -0 captured "icmp and src host $uplink_address"
	[[ -z $output ]]
	run -0 lab plan "$topology"

	ip -n "$host" address del 203.0.113.9/32 dev eth0
	sleep 1.5
	run -1 on "$red" ping -nqc 1 -W 1 "$outside_address"
	(($(uplink_dropped nat-uplink-closed) > 0))
	sed -i 's/masquerade: .*addresses.*}}$/masquerade: eth0}/' "$topology"
	lab apply "$topology"
	pings "$red" "$outside_address"
	uplink_address="($uplink_address or 203.0.113.9)"
	assert_clean
}

@test "one address at two uplinks: refused, and nothing is touched" {
	ip link add second netns "$host" type veth peer name second netns "$outside"
	ip -n "$host" link set second up
	ip -n "$host" address add "$uplink_address/32" dev second
	put_topology
	sed -i '/v-net-1:/s/masquerade: eth0/masquerade: second/' "$topology"
	run -2 lab apply "$topology"
	[[ $output == *"$topology:"*"network 'v-net-1' masquerades to 'second' as $uplink_address, which is the external address at 'eth0' too;"* ]]
	run -1 ip -n "$host" link show v-net-0
	ip -n "$host" address add 198.51.100.1/24 dev second
	sed -i '/v-net-1:/s/masquerade: second/masquerade: {uplink: second, addresses: [198.51.100.1]}/' "$topology"
	lab apply "$topology"
}

@test "another address of the uplink: followed without a command" {
	address_changes auto
}

@test "another address of the uplink: followed without a command, datapath: kernel" {
	address_changes kernel
}
