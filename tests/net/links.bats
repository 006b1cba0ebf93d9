#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Links, veth pairs with nothing between: to the host namespace, of one family, of another MTU, and
# with a name that the host has already.

# shellcheck disable=SC2154 # bats sets output; fabric.bash the names
load fabric

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	host_state >"$work/before"
	red=red-$suffix blue=blue-$suffix
}

teardown() {
	clean_up
}

put_links() { # LINE...
	{
		printf '%s\n' 'version: 1' 'name: lab' 'defaults: {mtu: 9000}' 'namespaces:'
		echo "  $red: {}"
		echo "  $blue: {}"
		printf '%s\n' 'links:' "$@"
	} >"$topology"
}

@test "a link to the host with IPv6 only: both ends addressed and up, with the fabric's MTU" {
	put_links "  - {endpoints: ['$red:p0', 'host:to-red'], addresses: ['fd00:9::1/64', 'fd00:9::2/64']}" \
		"  - {endpoints: ['host:to-blue', '$blue:p0'], addresses: ['fd00:8::1/127', 'fd00:8::/127']}"
	lab apply "$topology"
	find_cookie
	run -0 lab plan "$topology"
	[[ -z $(ip -n "$host" -4 -o address show dev to-red) ]]
	for end in "$red p0" "$host to-red" "$host to-blue" "$blue p0"; do
		read -r namespace link <<<"$end"
		[[ $(on "$namespace" cat "/sys/class/net/$link/mtu") == 9000 ]]
		[[ $(on "$namespace" cat "/sys/class/net/$link/ifalias") == nsroute:lab ]]
	done
	pings "$red" fd00:9::2 -s 8900 -M 'do'
	pings "$host" fd00:9::1 -s 8900 -M 'do'
	pings "$blue" fd00:8::1
	run -0 lab down lab
	assert_as_before
}

@test "a link without addresses is up, and carries those that somebody gives it" {
	put_links "  - {endpoints: ['$red:p0', 'host:to-red']}"
	lab apply "$topology"
	find_cookie
	ip -n "$red" address add 10.0.0.1/30 dev p0
	ip -n "$host" address add 10.0.0.2/30 dev to-red
	run -0 lab plan "$topology"
	pings "$red" 10.0.0.2
	run -0 lab down lab
	assert_as_before
}

@test "a name that the host has is refused, with its place" {
	put_links "  - {endpoints: ['$red:p0', 'host:to-red'], addresses: [10.0.0.1/30, 10.0.0.2/30]}" \
		"  - {endpoints: ['$blue:p0', 'host:eth0']}"
	for command in plan apply; do
		run -2 --separate-stderr lab "$command" "$topology"
		[[ $stderr == *"lab-$suffix.yaml:9:5: "*"interface 'eth0' exists already and is not ours"* ]]
		host_state | diff "$work/before" -
	done
}

# The numbers of interfaces repeat in every namespace: p0 is 2 everywhere.
put_four() { # END-END...
	local name pair i=0
	{
		printf '%s\n' 'version: 1' 'name: lab' 'namespaces:'
		for name in a b c d; do
			echo "  $name-$suffix: {}"
		done
		[[ $# == 0 ]] || echo 'links:'
		for pair; do
			echo "  - endpoints: ['${pair%-*}-$suffix:p0', '${pair#*-}-$suffix:p0']"
			echo "    addresses: [10.0.$i.1/30, 10.0.$i.2/30]"
			i=$((i + 1))
		done
	} >"$topology"
}

links_in_four() {
	local name
	for name in a b c d; do
		ip -n "$name-$suffix" -o link show type veth
	done
}

@test "several links that look alike: all of them go, at once" {
	put_four a-b c-d
	lab apply "$topology"
	find_cookie
	[[ $(links_in_four | grep -c ' p0@if2: ') == 4 ]]
	put_four
	lab apply "$topology"
	[[ -z $(links_in_four) ]]
	run -0 lab plan "$topology"
	run -0 lab down lab
	assert_as_before
}

@test "links that look alike and are to connect others: made anew" {
	put_four a-b c-d
	lab apply "$topology"
	find_cookie
	pings "a-$suffix" 10.0.0.2
	put_four a-c d-b
	run -3 lab plan "$topology"
	[[ $output == *"interface p0 in a-$suffix: is not what we made any more"* ]]
	lab apply "$topology"
	ip -n "d-$suffix" link set p0 down
	pings "a-$suffix" 10.0.0.2
	[[ -n $(on "c-$suffix" ip neighbour show 10.0.0.1 dev p0) ]]
	ip -n "d-$suffix" link set p0 up
	run -0 lab plan "$topology"
	run -0 lab down lab
	assert_as_before
}
