#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Masquerade of IPv6: the namespaces have unique local addresses, and the outside knows the uplink's
# alone. What the host sends is captured at outside, and not one packet of it may show an inside
# address, in a quote either, or have a wrong checksum. The smallest MTU on the way is the smallest
# that IPv6 allows.

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # perl has dollars; run sets output; fabric.bash the names
load far

server_address=2001:db8:80::80

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	new_server cable6 net.ipv6.conf.all.forwarding 2001:db8:2::1 2001:db8:2::2 2001:db8:80::1
}

teardown() {
	clean_up
}

cable6() { # NAMESPACE INTERFACE ADDRESS NAMESPACE INTERFACE ADDRESS MTU
	ip link add "$2" netns "$1" mtu "$7" type veth peer name "$5" netns "$4" mtu "$7"
	ip -n "$1" address add "$3/64" dev "$2" nodad
	ip -n "$4" address add "$6/64" dev "$5" nodad
	ip -n "$1" link set "$2" up
	ip -n "$4" link set "$5" up
	await_link "$1" "$2"
	await_link "$4" "$5"
	await_address "$1" "$3"
	await_address "$4" "$6"
}

assert_clean() {
	stop_capture
	assert_no_leak
	run -0 captured ip6
	[[ $output == *"$uplink_address6"* ]]
	[[ $output != *fd00:1* ]]
	# Words: addresses have "bad" in them, too.
	run -1 grep -E '\b(bad|wrong) [a-z0-9 ]*cksum|\(incorrect' <<<"$output"
}

no_ping() { # NAMESPACE ADDRESS [OPTION...]
	run -1 on "$1" ping -n -q -c 3 -i 0.05 -W 0.2 "${@:2}"
	[[ $output == *"100% packet loss"* ]]
}

# Runs the command, and expects that a drop counter of the uplink grows by NUMBER at least.
counts() { # NUMBER REASON -- COMMAND...
	local before
	before=$(uplink_dropped "$2")
	"${@:4}"
	(($(uplink_dropped "$2") >= before + $1))
}

all_ways() { # [DATAPATH]
	local name protocol
	up "$@"
	settle
	watch
	for name in "$red" "$blue" "$green"; do
		pings "$name" "$outside_address6"
		pings "$name" "$server_address"
		for protocol in tcp udp; do
			exchange "$protocol" "$name" "$outside" "$outside_address6"
			[[ $caller == "$uplink_address6" ]]
			exchange "$protocol" "$name" "$server" "$server_address"
			[[ $caller == "$uplink_address6" ]]
		done
	done
	assert_clean
	run -0 lab -j stats lab
	jq -e '.uplinks[0] | .tx_translated > 0 and .rx_translated > 0 and ([.drops[]] | add) == 0' <<<"$output"
}

@test "TCP, UDP and echo of every namespace, as the uplink's address" {
	all_ways
}

@test "datapath kernel: the same" {
	all_ways kernel
}

@test "much of it, GSO and all" {
	up
	settle
	start_capture "$outside" eth0 ip6
	bulk "$red" "$outside" "$outside_address6" -n 20M
	bulk "$red" "$outside" "$outside_address6" -n 20M -R
	stop_capture
	assert_no_leak
}

fragments_pass() { # [DATAPATH]
	local order ids=100
	up "$@"
	settle
	watch
	run -0 on "$red" ping -n -c 3 -i 0.1 -W 3 -s 8000 "$outside_address6"
	[[ $output == *" 0% packet loss"* ]]
	# The first is too big for a link on the way, which red is told of.
	run -0 on "$red" ping -n -c 3 -i 0.5 -W 3 -s 8000 "$server_address"
	run -0 ip -n "$red" route get "$server_address"
	[[ $output == *"mtu 1280"* ]]
	for order in 0,1,2,3,4,5 5,4,3,2,1,0 3,1,5,0,4,2; do
		receive "$outside" 8080
		on "$red" tests/net/fragments.pl "[fd00:15::11]:5555" "[$outside_address6]:8080" \
			"$((++ids))" r "$order"
		served
		[[ $output == "r 8000 from [$uplink_address6]:5555" ]]
		receive "$red" 5555
		on "$outside" tests/net/fragments.pl "[$outside_address6]:8080" "[$uplink_address6]:5555" \
			"$((++ids))" s "$order"
		served
		[[ $output == "s 8000 from [$outside_address6]:8080" ]]
	done
	assert_clean
	[[ $(uplink_dropped nat-fragment) == 0 ]]
}

@test "datagrams in fragments pass both ways, whatever the order of these" {
	fragments_pass
}

@test "datapath kernel: fragments pass as well" {
	fragments_pass kernel
}

@test "traceroute and tracepath show every router" {
	up
	settle
	watch
	routers_show -6 fd00:15::1 "$outside_address6" 2001:db8:2::2
	assert_clean
}

@test "path-MTU discovery outwards: a router's answer reaches the sender, and is heeded" {
	up
	settle
	watch
	run -1 on "$red" ping -n -c 1 -W 3 -M "do" -s 1400 "$server_address"
	[[ $output == *"From $outside_address6 "*"mtu=1280"* || $output == *"mtu = 1280"* ]]
	run -0 on "$red" ping -n -c 1 -W 3 -M "do" -s 1232 "$server_address"
	assert_clean
	run -0 ip -n "$red" route get "$server_address"
	[[ $output == *"mtu 1280"* ]]
	bulk "$red" "$server" "$server_address" -n 2M
}

@test "path-MTU discovery inwards: the server hears of a small MTU behind the masquerade" {
	up
	sed -i 's/^defaults: {/&mtu: 1280, /' "$topology"
	lab apply "$topology"
	settle
	ip -n "$outside" link set eth1 mtu 1500
	ip -n "$far_router" link set eth0 mtu 1500
	watch
	# 41 is IPPROTO_IPV6, 23 IPV6_MTU_DISCOVER, and 2 of it says that nothing is taken to pieces.
	serve '
		setsockopt($s, 41, 23, pack("i", 2)) or die;
		connect($s, $from) or die;
		send($s, "x" x 1300, 0) // die;
		for (1 .. 50) {
			select(undef, undef, undef, 0.1);
			print("refused: $!\n"), exit if !defined send($s, "x" x 1300, 0) && $!{EMSGSIZE};
		}
		print "never\n";'
	send_early "$green"
	served
	[[ $output == "refused: Message too long" ]]
	assert_clean
}

# A refusal of the namespace's, about a datagram that came in: its source and its quote are ours.
@test "an error that a namespace sends quotes the uplink's address" {
	up
	settle
	watch
	serve '
		connect($s, $from) or die;
		for (1 .. 50) {
			last if !defined send($s, "late", 0);
			select(undef, undef, undef, 0.1);
		}
		print "refused: $!\n";'
	send_early "$red"
	served
	[[ $output == "refused: Connection refused" ]]
	assert_clean
}

# What is too large for a link on the way is sent again in fragments, when the sender has heard of it;
# the server's socket would not hear.
@test "a protocol without ports: routers' errors reach the sender, and are heeded" {
	local i
	up
	settle
	watch
	ip -n "$server" route change default via 2001:db8:80::1 mtu 1280
	ip netns exec "$server" timeout 60 perl tests/net/other.pl serve 6 47 >"$work/ready" 3>&- &
	for ((i = 0; i < 500; i++)); do
		[[ ! -s $work/ready ]] || break
		sleep 0.02
	done
	run -0 on "$red" traceroute -6 -n -P 47 -q 1 -w 1 -m 3 "$server_address"
	[[ ${lines[1]} == *" fd00:15::1 "* && ${lines[2]} == *" $outside_address6 "* ]]
	[[ ${lines[3]} == *" 2001:db8:2::2 "* ]]
	run -0 on "$red" perl tests/net/other.pl ask "$server_address" 47 1400 20
	run -0 ip -n "$red" route get "$server_address"
	[[ $output == *"mtu 1280"* ]]
	assert_clean
}

@test "what cannot be masqueraded does not leave; what comes straight to an inside address is refused" {
	up
	settle
	ip -n "$outside" route add fd00::/16 via "$uplink_address6"
	start_capture "$outside" eth0
	counts 3 nat-protocol -- send_ipv6 "$red" "$outside_address6" 200
	counts 3 inbound-refused -- no_ping "$outside" fd00:15::11
	stop_capture
	assert_no_leak
}

@test "an uplink without an IPv6 address: nothing of IPv6 leaves; with one it does" {
	ip -n "$host" address del "$uplink_address6/64" dev eth0
	up
	settle
	run -0 lab -j show lab
	[[ $(jq -r '.uplinks[0].address6' <<<"$output") == null ]]
	start_capture "$outside" eth0
	ip -n "$host" -6 route replace default via fe80::10 dev eth0
	counts 3 nat-uplink-closed -- no_ping "$red" "$outside_address6"
	ip -n "$host" address add "$uplink_address6/64" dev eth0 nodad
	await_address "$host" "$uplink_address6"
	run -3 lab plan "$topology"
	[[ $output == *"uplink eth0: masquerade as $uplink_address and $uplink_address6, ports"* ]]
	lab apply "$topology"
	pings "$red" "$outside_address6"
	run -0 lab plan "$topology"
	stop_capture
	assert_no_leak
}

another_address() { # DATAPATH
	local old=$uplink_address6 new=2001:db8:113::7
	up "$1"
	settle
	watch
	uplink_becomes "$red" "$old" "$new" 64 "$outside_address6"
	run -0 lab -j show lab
	[[ $(jq -r '.uplinks[0].address6' <<<"$output") == "$new" ]]
	exchange tcp "$red" "$server" "$server_address"
	[[ $caller == "$new" ]]
	exchange udp "$blue" "$outside" "$outside_address6"
	[[ $caller == "$new" ]]
	uplink_address6="($old or $new)"
	stop_capture
	assert_no_leak
}

@test "another address of the uplink: followed without a command" {
	another_address auto
}

@test "another address of the uplink: followed without a command, datapath: kernel" {
	another_address kernel
}

@test "where the host prefers temporary addresses none takes the place of one that has gone" {
	on "$host" sysctl -qw net.ipv6.conf.eth0.use_tempaddr=2
	up
	settle
	ip -n "$host" address del "$uplink_address6/64" dev eth0
	ip -n "$host" address add 2001:db8:113::7/64 dev eth0 nodad
	await_address "$host" 2001:db8:113::7
	sleep 1.5
	counts 3 nat-uplink-closed -- no_ping "$red" "$outside_address6"
	lab apply "$topology"
	pings "$red" "$outside_address6"
	run -0 lab plan "$topology"
	on "$host" sysctl -qw net.ipv6.conf.eth0.use_tempaddr=0
	run -3 lab plan "$topology"
	lab apply "$topology"
	run -0 lab plan "$topology"
}

@test "nat list and flush know sessions of both families" {
	up
	settle
	exchange udp "$red" "$outside" "$outside_address6"
	exchange tcp "$blue" "$outside" "$outside_address6"
	pings "$green" "$outside_address"
	run -0 lab -j nat list
	[[ $(jq -s length <<<"$output") == 3 ]]
	jq -se --arg red "$red" --arg external "$uplink_address6" --arg remote "$outside_address6" '
		.[] | select(.namespace == $red) | .protocol == "udp" and .inside == "fd00:15::11" and
		.external == $external and .external_port == .inside_port and .remote == $remote and
		.remote_port == 8080 and .state == "replied" and .uplink == "eth0"' <<<"$output"
	run -0 lab nat list --namespace "$red"
	[[ ${#lines[@]} == 2 && ${lines[1]} == *" [fd00:15::11]:"*" [$outside_address6]:8080 "* ]]
	run -0 lab -j nat list --remote 2001:db8::/32
	[[ $(jq -s length <<<"$output") == 2 ]]
	run -0 lab -j nat list --remote "$outside_address"
	[[ $(jq -s length <<<"$output") == 1 ]]
	[[ $(stats '.uplinks[0].nat.flows') == 3 ]]
	[[ $(stats '.uplinks[0].nat.ports_total') == $((6 * 64512)) ]]
	run -0 lab nat flush --namespace "$blue"
	[[ $output == "1 session ended" ]]
	run -0 lab nat flush --remote 2001:db8::/32
	[[ $output == "1 session ended" ]]
	run -0 lab -j nat list
	[[ $(jq -s length <<<"$output") == 1 ]]
}

@test "an IPv6 subnet that comes to a fabric, and goes, leaves IPv4's flows alone" {
	put_topology
	sed -i 's/, "fd00:1[56]::\/64"\]/]/; s/, "fd00:1[56]::1[12]\/64"\]/]/' "$topology"
	lab apply "$topology"
	find_cookie
	pings "$red" "$outside_address"
	put_topology
	lab apply "$topology"
	settle
	pings "$red" "$outside_address6"
	run -0 lab -j nat list
	[[ $(jq -s 'map(.inside) | sort | join(" ")' <<<"$output") == '"192.168.15.11 fd00:15::11"' ]]
	sed -i 's/, "fd00:1[56]::\/64"\]/]/; s/, "fd00:1[56]::1[12]\/64"\]/]/' "$topology"
	lab apply "$topology"
	run -0 lab -j nat list
	[[ $(jq -s 'map(.inside) | sort | join(" ")' <<<"$output") == '"192.168.15.11"' ]]
	run -0 lab -j show lab
	[[ $(jq -r '.uplinks[0].address6' <<<"$output") == null ]]
}
