#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Large fabrics: as many namespaces on a bridge as it takes ports, 4,000 on a routed network. What
# that takes in time is measured by tools/scale.

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
}

teardown() {
	clean_up
}

put_large() { # TYPE COUNT: nI has the address 10.20.0.0 + I + 1
	local i
	{
		printf 'version: 1\nname: large\nnetworks:\n'
		printf '  large: {type: %s, subnets: [10.20.0.0/16]}\nnamespaces:\n' "$1"
		for ((i = 1; i <= $2; i++)); do
			printf '  n%d-%s: {interfaces: {eth0: {network: large, addresses: [10.20.%d.%d/16]}}}\n' \
				"$i" "$suffix" $(((i + 1) / 256)) $(((i + 1) % 256))
		done
	} >"$topology"
}

large() { # TYPE COUNT
	put_large "$@"
	lab apply "$topology"
	find_cookie
	[[ $(test_namespaces | wc -l) == $(($2 + 2)) ]]
	run -0 lab plan "$topology"
	[[ $output == *"nothing to do"* ]]
	# Between the first and the last, both ways, and with the gateway; for a while the IPv6 multicast of
	# all that are new fills the queues, where each of it goes to a thousand.
	pings "n1-$suffix" "10.20.$((($2 + 1) / 256)).$((($2 + 1) % 256))" -w 30
	pings "n$2-$suffix" 10.20.0.2 -w 30
	pings "n$2-$suffix" 10.20.0.1 -w 30
	(($(total fast_packets) > 0))
	lab down large
	[[ $(test_namespaces | wc -l) == 2 ]]
	assert_as_before
}

@test "1,023 namespaces on one bridge, all that it takes" {
	large bridge 1023
}

@test "the 1,024th is refused by validate, with its place, and nothing is touched" {
	put_large bridge 1024
	run -1 "$NSROUTE" validate "$topology"
	[[ $output == *":1029:"*"more than 1023 interfaces"*"routed"* ]]
	run -1 lab apply "$topology"
	host_state | diff "$work/before" -
}

@test "4,000 namespaces on a routed network" {
	large routed 4000
}
