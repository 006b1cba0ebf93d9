#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Networks of type routed: no bridge, the host is the router between the namespaces of one subnet too.
# And a network that changes from one type to the other while it is used. Traffic of all kinds by such
# a network is in traffic.bats.

# shellcheck disable=SC2030,SC2031,SC2154 # run sets output; fabric.bash the names
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

# Red and blue on v-net-0, which is of TYPE, green on v-net-1, which is a bridge.
put_types() { # TYPE [DATAPATH]
	red=red-$suffix blue=blue-$suffix green=green-$suffix
	cat >"$topology" <<-END
		version: 1
		name: lab
		defaults: {datapath: ${2:-auto}}
		networks:
		  v-net-0: {type: $1, subnets: [192.168.15.0/24, "fd00:15::/64"], masquerade: eth0}
		  v-net-1: {subnets: [192.168.16.0/24, "fd00:16::/64"], masquerade: eth0}
		namespaces:
		  $red:
		    interfaces:
		      eth0: {network: v-net-0, addresses: [192.168.15.11/24, "fd00:15::11/64"]}
		  $blue:
		    interfaces:
		      eth0: {network: v-net-0, addresses: [192.168.15.12/24, "fd00:15::12/64"]}
		  $green:
		    interfaces:
		      eth0: {network: v-net-1, addresses: [192.168.16.11/24, "fd00:16::11/64"]}
	END
}

up_type() { # TYPE [DATAPATH]
	put_types "$@"
	lab apply "$topology"
	find_cookie
}

# The first packet is answered: nobody has to ask for a MAC. What a router forwards is one hop older.
first_ping() { # FROM TO TTL
	run -0 on "$1" ping -n -c 1 -W 3 "$2"
	[[ $output == *"ttl=$3"* ]]
}

# All ways, each of both families, and both ways round.
assert_routed() {
	start_capture "$red" eth0 "icmp[icmptype] == icmp-redirect or (icmp6 and ip6[40] == 137) or arp"
	first_ping "$red" 192.168.15.12 63
	first_ping "$blue" 192.168.15.11 63
	first_ping "$red" fd00:15::12 63
	first_ping "$red" 192.168.15.1 64
	first_ping "$red" fd00:15::1 64
	first_ping "$red" 192.168.16.11 63
	first_ping "$green" 192.168.15.12 63
	first_ping "$red" fd00:16::11 63
	first_ping "$green" fd00:15::11 63
	pings "$red" "$outside_address"
	run -0 on "$host" ping -n -c 1 -W 3 192.168.15.11
	run -0 on "$host" ping -n -c 1 -W 3 fd00:15::12
	for protocol in tcp udp; do
		exchange "$protocol" "$red" "$blue" 192.168.15.12
		[[ $caller == 192.168.15.11 ]]
		exchange "$protocol" "$blue" "$red" fd00:15::11
		[[ $caller == fd00:15::12 ]]
		exchange "$protocol" "$green" "$red" 192.168.15.11
		[[ $caller == 192.168.16.11 ]]
		exchange "$protocol" "$red" "$outside" "$outside_address"
		[[ $caller == "$uplink_address" ]]
	done
	exchange tcp "$host" "$blue" 192.168.15.12
	[[ $caller == 192.168.15.1 ]]
	exchange tcp "$host" "$red" fd00:15::11
	[[ $caller == fd00:15::1 ]]
	stop_capture
	run -0 captured ''
	[[ -z $output ]]
	[[ $(stats '.drops | add') == 0 ]]
}

@test "routed, fast path: inside, between networks, out, to the host; no ARP, no redirect" {
	host_state >"$work/before"
	up_type routed
	[[ $(ip -n "$host" -o link show type bridge) != *v-net-0* ]]
	run -0 lab plan "$topology"
	assert_routed
	(($(total fast_packets) > $(total slow_packets)))
	mark_counters
	bulk "$red" "$blue" 192.168.15.12
	bulk "$green" "$red" 192.168.15.11
	bulk "$red" "$outside" "$outside_address" --reverse
	(($(fast_share) >= 99))
	lab down lab
	assert_as_before
}

@test "routed with strict reverse path filters on the host and inside" {
	on "$host" sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1
	for datapath in auto kernel; do
		up_type routed "$datapath"
		for name in "$red" "$blue"; do
			on "$name" sysctl -qw net.ipv4.conf.all.rp_filter=1
		done
		pings "$red" 192.168.15.12
		pings "$red" 192.168.16.11
		pings "$red" "$outside_address"
		pings "$host" 192.168.15.11
	done
}

# Another's address, and frames for another's MAC, which a bridge would carry.
@test "routed: what a namespace must not send" {
	for datapath in auto kernel; do
		up_type routed "$datapath"
		ip -n "$red" address add 192.168.15.77/32 dev eth0
		before=$(dropped "$red" spoofed-address)
		run -1 on "$red" ping -n -q -c 3 -i 0.05 -W 0.2 -I 192.168.15.77 192.168.15.12
		(($(dropped "$red" spoofed-address) >= before + 3))
		ip -n "$red" address del 192.168.15.77/32 dev eth0

		mac=$(on "$blue" cat /sys/class/net/eth0/address)
		start_capture "$blue" eth0 "icmp"
		ip -n "$red" neighbour replace 192.168.15.1 lladdr "$mac" dev eth0 nud permanent
		run -1 on "$red" ping -n -q -c 3 -i 0.05 -W 0.2 192.168.15.12
		stop_capture
		run -0 captured ''
		[[ -z $output ]]
		run -3 lab plan "$topology"
		lab apply "$topology"
		pings "$red" 192.168.15.12
	done
}

# A connection that the change does not concern goes on, and so does one on the network itself.
hold() { # CLIENT SERVER ADDRESS PORT
	ip netns exec "$2" timeout 60 iperf3 -s -1 -p "$4" >/dev/null 2>&1 3>&- &
	await_listener "$2" tcp "$4"
	ip netns exec "$1" timeout 60 iperf3 -t 8 -i 0 -b 10M -C cubic -p "$4" -c "$3" \
		>"$work/held-$4" 2>&1 3>&- &
	held+=($!)
}

change_type() { # FROM TO
	local pid held=() before=$work/before
	host_state >"$before"
	up_type "$1"
	pings "$red" 192.168.15.12
	index=$(ip -n "$red" -j link show eth0 | jq '.[].ifindex')
	hold "$red" "$blue" 192.168.15.12 5301
	hold "$green" "$outside" "$outside_address" 5302
	put_types "$2"
	run -3 lab plan "$topology"
	[[ $output == *"~ network v-net-0: $2"* ]]
	[[ $output != *"$green"* && $output != *v-net-1* && $output != *"veth "* ]]
	lab apply "$topology"
	run -0 lab plan "$topology"
	pings "$red" 192.168.15.12
	for pid in "${held[@]}"; do
		wait "$pid"
	done
	grep receiver "$work/held-5301"
	grep receiver "$work/held-5302"
	[[ $(ip -n "$red" -j link show eth0 | jq '.[].ifindex') == "$index" ]]
}

# What a fresh fabric would have, but for numbers that the kernel counts up.
assert_as_fresh() {
	local name
	for name in "$host" "$red" "$blue"; do
		ip -n "$name" -o address | sed -E 's/^[0-9]+: //; s/ valid_lft.*//; /fe80/d' | sort
		ip -n "$name" route | sort
		ip -n "$name" -6 route | sort
		ip -n "$name" neighbour show nud permanent | sort
		ip -n "$name" -o link | sed -E 's/^[0-9]+: //; s/@if[0-9]+//; s/ link-netns(id)? [^ ]+//g' | sort
	done >"$work/$1"
}

@test "a bridge network becomes a routed one while it is used" {
	change_type bridge routed
	assert_routed
	assert_as_fresh changed
	lab down lab
	assert_as_before
	up_type routed
	assert_as_fresh fresh
	diff "$work/fresh" "$work/changed"
}

@test "a routed network becomes a bridge while it is used" {
	change_type routed bridge
	first_ping "$red" 192.168.15.12 64
	first_ping "$red" fd00:15::12 64
	pings "$red" 192.168.16.11
	pings "$red" "$outside_address"
	assert_as_fresh changed
	lab down lab
	assert_as_before
	up_type bridge
	assert_as_fresh fresh
	diff "$work/fresh" "$work/changed"
}

@test "show and stats know a network without a bridge" {
	up_type routed
	[[ $(lab -j show lab networks | jq -c '.. | objects | select(.type? == "routed") |
		[.name, .state, .ports, .gateways, .masquerade[0].uplink]') == \
		'["v-net-0","up",2,["192.168.15.1/32","fd00:15::1/128"],"eth0"]' ]]
	[[ $(lab -j show lab namespaces | jq -r ".. | objects | select(.name? == \"$red\") |
		.interfaces[] | select(.name == \"eth0\") | .network") == v-net-0 ]]
	run -0 lab show lab networks
	[[ $output == *v-net-0*routed*up*2*1500* ]]
	pings "$red" 192.168.15.12
	(($(counter "$red" .tx_packets) >= 3))
	ip -n "$host" link set "$(ip -n "$host" -j link | jq -r '.[].ifname | select(startswith("red"))')" down
	run -0 lab show lab networks
	[[ $output == *v-net-0*routed*down* ]]
}

# The old gateway's entries go from the namespaces, whatever moment apply was killed at.
@test "a gateway that moves, on a bridge and on a routed network" {
	for type in bridge routed; do
		up_type "$type"
		sed -i "s|fd00:15::/64\"],|fd00:15::/64\"], gateway: [192.168.15.254, \"fd00:15::fe\"],|" "$topology"
		run -3 lab plan "$topology"
		[[ $output == *"- neighbour 192.168.15.1 at "*" in $red"* ]]
		[[ $output == *"- neighbour fd00:15::1 at "*" in $blue"* ]]
		lab apply "$topology"
		run -0 lab plan "$topology"
		[[ -z $(ip -n "$red" neighbour show 192.168.15.1) ]]
		[[ $(ip -n "$red" neighbour show 192.168.15.254) == *PERMANENT* ]]
		[[ $(ip -n "$host" -o address) != *" 192.168.15.1/"* ]]
		pings "$red" 192.168.15.12
		pings "$red" fd00:16::11
		pings "$red" "$outside_address"
		# One that is lost comes back.
		ip -n "$red" neighbour del 192.168.15.254 dev eth0
		run -3 lab plan "$topology"
		[[ $output == *"+ neighbour 192.168.15.254 at "*" in $red"* ]]
		lab apply "$topology"
		lab down lab
	done
}
