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
