#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# nsroute killed before every single change of apply and of down.

# shellcheck disable=SC2154 # bats sets output; fabric.bash and faults.bash the names
load fabric
load faults

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_faulty_host
}

teardown() {
	clean_up
}

@test "killed at each change of apply, then down: all is as it was before" {
	find_points changes trace apply "$topology"
	lab down lab
	for n in $points; do
		killed_at "$n" apply "$topology"
		lab down --all
		assert_as_before
	done
	assert_guarded
}

@test "killed at each change of apply, then apply: whole" {
	find_points changes trace apply "$topology"
	lab down lab
	for n in $points; do
		killed_at "$n" apply "$topology"
		lab apply "$topology"
		assert_whole
		((n % 16)) || pings "$red" "$outside_address"
		lab down --all
		[[ ! -e /run/nsroute/$cookie ]]
	done
	assert_as_before
	assert_guarded
}

@test "killed at each change of down: apply brings it back, down removes it" {
	lab apply "$topology"
	find_points changes trace down lab
	for n in $points; do
		lab apply "$topology"
		killed_at "$n" down lab
		lab apply "$topology"
		assert_whole
		((n % 16)) || pings "$red" "$outside_address"
		killed_at "$n" down lab
		lab down --all
		assert_as_before
	done
	assert_guarded
}
