#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# 4,000 namespaces on one routed network: set up, found as they are, removed. No times are asked for
# but one: what a plan of them takes of the CPU, far above what it should be, so that it fails only
# when something has become quadratic.

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
}

teardown() {
	clean_up
}

# A line each: namespace n1 to nCOUNT.
put_cables() { # COUNT SUBNETS
	local i
	{
		printf '%s\n' 'version: 1' 'name: cables' 'networks:' \
			"  cables: {type: routed, subnets: [$2], masquerade: eth0}" 'namespaces:'
		for ((i = 1; i <= $1; i++)); do
			echo "  n$i-$suffix: {interfaces: {eth0: {network: cables}}}"
		done
	} >"$topology"
}

address_of() { # NAMESPACE FAMILY
	ip -n "$1" -j "$2" address show dev eth0 scope global | jq -r '.[].addr_info[0].local'
}

# Milliseconds of CPU that the command takes.
cpu_of() { # COMMAND...
	local TIMEFORMAT='%U %S'
	{ time "$@" >/dev/null 2>&1; } 2>&1 | awk '{ print int(1000 * ($1 + $2)) }'
}

@test "4,000 namespaces on one routed network" {
	host_state >"$work/before"
	put_cables 4000 '10.20.0.0/16, "fd00:20::/64"'
	lab apply "$topology"
	find_cookie
	[[ $(stats '[.namespaces[].interfaces[] | select(.port)] | length') == 4000 ]]
	run -0 lab plan "$topology"
	took=$(cpu_of lab plan "$topology")
	echo "plan: $took ms of CPU"
	((took < 10000))
	for pair in "1 4000" "2047 2048" "1500 77"; do
		read -r from to <<<"$pair"
		pings "n$from-$suffix" "$(address_of "n$to-$suffix" -4)"
		pings "n$from-$suffix" "$(address_of "n$to-$suffix" -6)"
		pings "n$from-$suffix" "$outside_address"
	done
	# One more and one less: just that.
	put_cables 3999 '10.20.0.0/16, "fd00:20::/64"'
	run -3 lab plan "$topology"
	((${#lines[@]} < 20))
	lab apply "$topology"
	run -0 lab plan "$topology"
	lab down cables
	assert_as_before
}
