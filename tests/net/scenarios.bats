#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What tutorials do by hand with ip and iptables, declared in a file, then used and looked at with
# stock tools only; and the examples, each with the commands that its comments tell to try.

# shellcheck disable=SC2030,SC2031,SC2154 # bats sets output; fabric.bash the names
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

# For one request.
serve_page() { # NAMESPACE TEXT
	printf 'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s' "${#2}" "$2" >"$work/page"
	ip netns exec "$1" timeout 10 nc -n -N -l 8080 <"$work/page" >/dev/null 3>&- &
	await_listener "$1" tcp 8080
}

@test "every example does what its comments say, and leaves nothing" {
	ip link add eth1 netns "$host" type veth peer name eth1 netns "$outside"
	ip -n "$host" link set eth1 addrgenmode none up
	ip -n "$outside" link set eth1 addrgenmode none up
	ip -n "$outside" address add 198.51.100.1/24 dev eth1
	await_link "$host" eth1
	host_state >"$work/before"
	for example in examples/*.yaml; do
		[[ $example != */open-vswitch.yaml ]] || continue # ovs.bats has the switch
		put_example "$example"
		run_example
		assert_as_before
	done
}

@test "scenario 4: two namespaces and the cable between them" {
	put_example examples/veth-pair.yaml
	client=client-$suffix server=server-$suffix
	lab apply "$topology"
	find_cookie
	run -0 ip -n "$client" -o link
	((${#lines[@]} == 2))
	[[ $output == *": lo: "*": pair-client@if"* ]]
	run -0 ip -n "$server" -o -4 address show pair-server
	[[ $output == *"inet 10.0.0.2/24 "* ]]
	pings "$client" 10.0.0.2
	pings "$server" 10.0.0.1
	exchange tcp "$client" "$server" 10.0.0.2
	# Nothing of it is in the host, and a cable has no need of programs.
	run -0 ip -n "$host" -o link
	((${#lines[@]} == 2))
	assert_counts_equal

	ip -n "$server" link set pair-server down
	[[ $(ip -n "$client" -o link show pair-client) == *NO-CARRIER* ]]
	run -0 lab apply "$topology"
	pings "$client" 10.0.0.2
}

@test "scenario 7: namespaces on one bridge reach each other, and nobody else" {
	put_example examples/one-bridge.yaml
	red=red-$suffix blue=blue-$suffix green=green-$suffix
	host_state >"$work/before"
	lab apply "$topology"
	find_cookie
	run -0 bridge -n "$host" -j link
	jq -e 'map(.master) == ["v-net-0", "v-net-0", "v-net-0"] and all(.state == "forwarding")' \
		<<<"$output"
	for address in 192.168.15.{1,2,3}; do
		pings "$red" "$address"
		pings "$blue" "$address"
		pings "$green" "$address"
	done
	run -0 ip -n "$host" -o address show v-net-0
	[[ $output != *" inet "* ]]
	run -2 on "$red" ping -n -c 1 -W 1 "$outside_address"
	[[ $output == *"Network is unreachable"* ]]
	lab down bridge
	assert_as_before
}

@test "by-hand.sh: the tutorials' steps one by one, and all of it removed" {
	host_state >"$work/before"
	mkdir "$work/bin"
	printf '#!/bin/sh\nexec %q --netns %q "$@"\n' "$(realpath "$NSROUTE")" "$host" >"$work/bin/nsroute"
	chmod +x "$work/bin/nsroute"
	sed 's/^nsroute down @steps/: end/' examples/by-hand.sh >"$work/steps.sh"
	PATH=$work/bin:$PATH run -0 sh "$work/steps.sh" "-$suffix"
	find_cookie
	pings "red-$suffix" 192.168.15.2
	run -0 ip -n "green-$suffix" route
	[[ $output == *"default via 192.168.16.1 dev veth-green"* ]]
	run -0 bridge -n "$host" link
	[[ $output == *"veth-green-br"*"master v-net-0"* ]]
	lab down @steps
	assert_as_before
	PATH=$work/bin:$PATH run -0 sh examples/by-hand.sh "-$suffix"
	assert_as_before
}

@test "scenario 8: bridges with masquerade, as stock tools see it" {
	put_example examples/bridge-masquerade.yaml
	red=red-$suffix blue=blue-$suffix green=green-$suffix
	lab apply "$topology"
	find_cookie

	for name in "$red" "$blue" "$green"; do
		run -0 ip netns list
		grep -E "^$name( |\$)" <<<"$output"
		run -0 ip -n "$name" -j link
		jq -e 'map(.ifname) == ["lo", "eth0"] and .[1].operstate == "UP"' <<<"$output"
	done
	run -0 ip -n "$red" -o -4 address show eth0
	[[ $output == *"inet 192.168.15.11/24 "* ]]
	run -0 ip -n "$red" route
	[[ $output == *"default via 192.168.15.1 dev eth0"* ]]
	run -0 ip -n "$host" -o -4 address show v-net-0
	[[ $output == *"inet 192.168.15.1/24 "* ]]
	run -0 ip -n "$host" -d -j link show type bridge
	jq -e 'map(.ifname) == ["v-net-0", "v-net-1"] and all(.ifalias == "nsroute:lab")' <<<"$output"
	run -0 bridge -n "$host" -j link
	jq -e 'group_by(.master) | map([.[0].master, length]) == [["v-net-0", 2], ["v-net-1", 1]]' \
		<<<"$output"
	run -0 ip -n "$host" -o link show type veth
	[[ $output == *" link-netns $red"* && $output == *" link-netns $green"* ]]
	# Both sides know each other without asking.
	mac=$(on "$red" cat /sys/class/net/eth0/address)
	run -0 ip -n "$host" neighbour show 192.168.15.11
	[[ $output == *"dev v-net-0 lladdr $mac PERMANENT"* ]]
	run -0 bridge -n "$host" fdb show br v-net-0
	[[ $output == *"$mac dev red-"*static* ]]
	run -0 on "$host" nft list ruleset
	[[ -z $output ]]
	run ! grep '^-A' < <(on "$host" iptables-save 2>/dev/null)

	# nsroute exec and ip netns exec are the same place.
	run -0 "$NSROUTE" exec "$red" -- ip -o link
	[[ $output == "$(on "$red" ip -o link)" ]]

	for name in "$red" "$blue" "$green"; do
		pings "$name" 192.168.15.11
		pings "$name" 192.168.16.11
		pings "$name" "$outside_address"
		pings "$host" "$(ip -n "$name" -4 -j address show eth0 | jq -r '.[].addr_info[0].local')"
	done
	serve_page "$green" hello
	[[ $(on "$red" curl -sS --max-time 5 http://192.168.16.11:8080/) == hello ]]
	serve_page "$outside" outside
	[[ $(on "$red" curl -sS --max-time 5 "http://$outside_address:8080/") == outside ]]
	bulk "$red" "$blue" 192.168.15.12
	bulk "$green" "$outside" "$outside_address"
	assert_counts_equal
}

@test "scenario 10: a namespace sees its own interfaces, routes and neighbours, and no other's" {
	up
	run -0 ip -n "$green" -o link
	((${#lines[@]} == 2))
	run -0 ip -n "$green" route show table main
	[[ $output == *192.168.16.0/24* && $output != *192.168.15.* && $output != *203.0.113.* ]]
	run -0 ip -n "$green" neighbour
	[[ $output != *192.168.15.* && $output != *203.0.113.* ]]
	# show, which runs in the host, has all of it.
	run -0 lab -j show lab
	jq -e --arg red "$red" --arg far "$far" \
		'[.namespaces[].name] | index($red) != null and index($far) != null' <<<"$output"
	run -0 lab show lab
	[[ $output == *"$red"* && $output == *192.168.16.11* ]]
}

@test "namespaces of ip netns and of nsroute are one registry" {
	put_topology
	lab apply "$topology"
	find_cookie
	# Deleted by the other tool: apply makes it again, down is content without it.
	ip netns del "$red"
	run -0 lab apply "$topology"
	pings "$red" 192.168.15.12
	ip netns del "$red"
	ip netns del "$far"
	run -0 lab down lab
	run -0 ip netns list
	[[ $output != *"$blue"* ]]
}
