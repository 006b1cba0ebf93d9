#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# nsroute killed before every single change of an edit.

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

@test "killed at each change of an edit: the new file completes it, the old one takes it back" {
	lab apply "$topology"
	find_points changes trace apply "$edited"
	there=$points
	lab apply "$edited"
	find_points changes trace apply "$topology"
	assert_whole
	for n in $there; do
		killed_at "$n" apply "$edited"
		lab apply "$topology"
		assert_whole
		((n % 16)) || pings "$red" "$outside_address"
		killed_at "$n" apply "$edited"
		lab apply "$edited"
		assert_whole "$edited"
		((n % 16)) || pings "$green" "$outside_address"
		lab apply "$topology"
	done
	lab apply "$edited"
	for n in $points; do
		killed_at "$n" apply "$topology"
		lab apply "$topology"
		assert_whole
		((n % 16)) || pings "$red" "$outside_address"
		lab apply "$edited"
	done
	lab down lab
	assert_as_before
	assert_guarded edited
}

@test "killed at each change of an edit, then down: all is as it was before" {
	lab apply "$topology"
	find_points changes trace apply "$edited"
	lab down lab
	for n in $points; do
		lab apply "$topology"
		killed_at "$n" apply "$edited"
		lab down lab
		assert_as_before
	done
	assert_guarded edited
}
