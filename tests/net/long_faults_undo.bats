#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The last step of apply fails, and nsroute is killed before, or failed at, every single change and
# step of undoing all the others.

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

# Sets last to the last step of apply, and points to those of undoing that it fails.
find_undoing() { # changes|steps
	local before point undoing=
	count_points apply "$topology"
	last=$steps
	before=${!1}
	lab down lab
	find_points "$1" "fail:$last,trace" apply "$topology"
	((status == 2))
	assert_as_before
	for point in $points; do
		((point <= before)) || undoing+=" $point"
	done
	[[ -n $undoing ]]
	points=$undoing
}

@test "killed at each change of undoing: the next apply completes it, down removes it" {
	find_undoing changes
	for n in $points; do
		killed_at "$n,fail:$last" apply "$topology"
		lab apply "$topology"
		assert_whole
		lab down lab
		[[ ! -e /run/nsroute/$cookie ]]
		killed_at "$n,fail:$last" apply "$topology"
		lab down --all
		assert_as_before
	done
	assert_guarded
}

@test "a step of apply fails, and then one of undoing it: named, and down removes what is left" {
	find_undoing steps
	for n in $points; do
		failed_at "$last,fail:$n" apply "$topology"
		((status == 2 || status == 4))
		probe
		lab down --all
		assert_as_before
	done
	stop_capture
	assert_no_leak
}
