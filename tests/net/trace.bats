#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# "nsroute trace": what it says of packets, and that it changes nothing. long_trace.bats compares
# its answers with what happens.

# shellcheck disable=SC2030,SC2031,SC2154 # run sets output; fabric.bash the names
load fabric
load takeover

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

answer() { # ARGUMENTS...: the last line
	lab trace "$@" | tail -n 1
}

link_local() { # NAMESPACE
	ip -n "$1" -o -6 address show dev eth0 scope link | awk '{ sub("/.*", "", $4); print $4 }'
}

# A UDP packet from a port of its own, which opens a session.
datagram() { # NAMESPACE PORT ADDRESS PORT
	on "$1" perl -MSocket -e 'socket(my $s, PF_INET, SOCK_DGRAM, 0) or die;
		bind($s, sockaddr_in($ARGV[0], INADDR_ANY)) or die;
		send($s, "x", 0, sockaddr_in($ARGV[2], inet_aton($ARGV[1]))) or die' "$2" "$3" "$4"
}

# The flow's counters of sessions follow the packet, which may wait for a MAC first.
await_session() {
	local i
	for ((i = 0; i < 200; i++)); do
		(($(stats '.uplinks[0].nat.flows') == 0)) || return 0
		sleep 0.02
	done
	return 1
}

@test "inside: switched, routed, and what the kernel does" {
	up
	settle
	[[ $(answer --from "$red" --to 192.168.15.12) == "delivered to $blue eth0 by the fast path" ]]
	[[ $(answer --from "$red" --to fd00:16::11) == "delivered to $green eth0 by the fast path" ]]
	[[ $(answer --from "$red" --to 192.168.16.11:80 --size 1500) == "delivered to $green eth0 by the fast path" ]]
	[[ $(answer --from "$red" --to 10.99.0.2) == "delivered to $blue eth0 by the fast path" ]]
	[[ $(answer --from "$red" --to 192.168.16.11 --ttl 1) == *"TTL is 1, and the host answers"* ]]
	[[ $(answer --from "$red" --to 192.168.15.1) == "the host itself gets it" ]]
	[[ $(answer --from "$red" --to 192.168.15.11) == "it stays in $red, which has 192.168.15.11 itself" ]]
	[[ $(answer --from "$red" --to 192.168.15.99) == "nobody is known to have 192.168.15.99: $red asks"* ]]
	[[ $(answer --from "$red" --to 192.168.15.12 --size 1501) == "$red does not send it in one piece: larger than the MTU of eth0 (1500)" ]]
	[[ $(answer --from "$red" --to 255.255.255.255) == *"all of the network" ]]
	[[ $(answer --from "$red" --to 240.0.0.1) == "sent by eth0 as $uplink_address by the kernel"* ]] # no group
	[[ $(answer --from "$red" --to "$outside_address6" --source "$(link_local "$red")") == *'answers with "beyond scope'* ]]
	[[ $(answer --from "$red" --to 192.168.15.12 --source 192.168.15.13) == "dropped: spoofed-address ("* ]]
	[[ $(answer --from "$green" --to '[2001:db8:113::10]:80') == "sent by eth0 as [$uplink_address6]:40000 by the kernel"* ]]
	run -0 lab trace --from "$green" --to '[2001:db8:113::10]:80'
	[[ $output == *"no session: it would open one as [$uplink_address6]:40000, its own port, which is free"* ]]
	run -0 lab -j trace --from "$red" --to '[fd00:16::11]:443' --ttl 9
	jq -e --arg green "$green" --arg red "$red" '
		.answer == {result: "delivered", path: "fast", reason: null, namespace: $green, interface: "eth0",
			source: null, text: "delivered to \($green) eth0 by the fast path"} and
		.hooks == [{hook: "port-in", interface: "\($red) eth0", verdict: "fast", reason: null}] and
		.other_build == false and .packet.ttl == 9 and .packet.destination_port == 443 and
		([.steps[] | select(.at == "port-in").step] == ["parse", "policy", "route", "verdict"])' <<<"$output"
}

@test "inside: by the kernel, where the file says so" {
	up kernel
	settle
	[[ $(answer --from "$red" --to 192.168.15.12) == "delivered to $blue eth0 by the kernel" ]]
	[[ $(answer --from "$red" --to 192.168.16.11) == "delivered to $green eth0 by the kernel" ]]
	[[ $(answer --from "$red" --to fd00:16::11) == "delivered to $green eth0 by the kernel" ]]
	[[ $(answer --from "$red" --to "$outside_address:53" --proto udp) == "sent by eth0 as $uplink_address:40000 by the kernel"* ]]
	[[ $(answer --from "$red" --to 203.0.113.77) == "sent by eth0 as $uplink_address by the kernel, once the next hop's MAC is known" ]]
	on "$host" sysctl -qw net.ipv6.conf.all.forwarding=0
	[[ $(answer --from "$red" --to fd00:16::11) == "the kernel drops it: net.ipv6.conf.all.forwarding is 0" ]]
	run -0 lab -j trace --from "$red" --to 192.168.16.11
	jq -e --arg green "$green" '[.hooks[] | [.hook, .verdict]] == [["port-in", "slow"], ["port-out", "received"]] and
		.answer.path == "slow" and .answer.namespace == $green' <<<"$output"
	ip -n "$green" link set eth0 down
	[[ $(answer --from "$red" --to 192.168.16.11) == "lost behind the hook: $green eth0 is down" ]]
}

@test "a program that is not attached is named" {
	up
	local port
	port=$(ip -n "$host" -o link show | sed -nE "s/^[0-9]+: (red-[^@]*)@.*/\\1/p" | head -n 1)
	tc -n "$host" filter del dev "$port" ingress
	run -0 lab trace --from "$red" --to 192.168.15.12
	[[ $output == *"nsroute's program is not attached at $red eth0"* ]]
	[[ ${lines[-1]} == "delivered to $blue eth0 by the kernel" ]]
	ip -n "$blue" link set eth0 down
	[[ $(answer --from "$green" --to 192.168.15.12) == "lost behind the hook: $blue eth0 is down" ]]
	on "$host" ip link delete "$(host_end_of "$blue")"
	[[ $(answer --from "$green" --to 192.168.15.12) == "lost behind the hook: interface "*" is gone" ]]
}

@test "outside and back: sessions are told, and none is opened" {
	up
	local out=("--from" "$red" "--to" "$outside_address:9" "--proto" udp "--source" :5353)
	lab -j stats >"$work/before"
	run -0 lab trace "${out[@]}"
	[[ $output == *"no session: it would open one as $uplink_address:5353, its own port, which is free"* ]]
	[[ ${lines[-1]} == "sent by eth0 as $uplink_address:5353 by "* ]]
	[[ $(answer --in eth0 --source "$outside_address:9" --to "$uplink_address:5353" --proto udp) == "the host itself gets it" ]]
	# Nothing was counted or opened (of what the namespaces send meanwhile only that moves).
	jq -e '.uplinks[0].nat | .flows == 0 and .created == 0' <(lab -j stats)
	lab -j stats | jq '[.namespaces[].interfaces[].drops]' >"$work/after"
	jq '[.namespaces[].interfaces[].drops]' "$work/before" | diff - "$work/after"

	datagram "$red" 5353 "$outside_address" 9
	await_session
	run -0 lab trace "${out[@]}"
	[[ $output == *"session: known outside as $uplink_address:5353"* ]]
	[[ $(lab -j trace "${out[@]}" | jq -r .answer.source) == "$uplink_address:5353" ]]
	run -0 lab -j trace --in eth0 --source "$outside_address:9" --to "$uplink_address:5353" --proto udp
	jq -e --arg red "$red" '.answer | .result == "delivered" and .namespace == $red and .path == "fast"' <<<"$output"
	[[ $output == *"the port is mapped to 192.168.15.11:5353"* ]]
	[[ $(answer --in eth0 --source "$outside_address:10" --to "$uplink_address:5353" --proto udp) == "dropped: nat-filtered ("* ]]
	[[ $(answer --in eth0 --source "$outside_address:9" --to 192.168.15.11:5353 --proto udp) == "dropped: inbound-refused ("* ]]
	# Another remote of the same source, and another source with the same port.
	run -0 lab trace --from "$red" --to "$outside_address:10" --proto udp --source :5353
	[[ $output == *"it would open one as $uplink_address:5353, the mapping that its source has"* ]]
	run -0 lab trace --from "$blue" --to "$outside_address:9" --proto udp --source :5353
	[[ $output == *"it would open one and take a free port of $uplink_address"* ]]
	[[ ${lines[-1]} == "sent by eth0 as $uplink_address and any free port by "* ]]
	(($(stats '.uplinks[0].nat.created') == 1))
}

@test "what cannot be asked is refused, and another build is named" {
	run -2 --separate-stderr lab trace --from nobody --to 192.0.2.1
	[[ $stderr == "nsroute: no datapath is loaded in this host namespace" ]]
	up
	run -1 --separate-stderr lab trace --from nobody --to 192.0.2.1
	[[ $stderr == *"has a namespace 'nobody' on a network" ]]
	run -1 --separate-stderr lab trace --from "$red" --to 192.168.15.12 --interface eth7
	[[ $stderr == *"namespace '$red' has no interface 'eth7'" ]]
	run -1 --separate-stderr lab trace --in eth7 --source 192.0.2.1:1 --to 192.0.2.2:2
	[[ $stderr == *"has an uplink 'eth7'" ]]
	run -1 --separate-stderr lab trace --from "$red" --to 192.168.15.12 --size 20
	[[ $stderr == *"--size is from 28 to "* ]]
	run -2 --separate-stderr with layout trace --from "$red" --to 192.168.15.12
	[[ $stderr == *"of another version of nsroute, whose flows cannot be taken over (its layout is "* ]]
	run -0 --separate-stderr with code trace --from "$red" --to 192.168.15.12
	[[ $stderr == *"of another build than this nsroute"* && ${lines[-1]} == "delivered to $blue eth0 by the fast path" ]]
	run -0 --separate-stderr with code -j trace --from "$red" --to 192.168.15.12
	jq -e '.other_build' <<<"$output"
}
