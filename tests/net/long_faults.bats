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
	new_host
	put_fabric
	put_edited
	put_device
	lab apply "$topology"
	find_cookie
	lab down lab
	host_state >"$work/before"
	start_capture "$outside" eth0
}

teardown() {
	clean_up
}

@test "killed at each change of apply, then down: all is as it was before" {
	count_points apply "$topology"
	lab down lab
	for ((n = 1; n <= changes; n++)); do
		killed_at "$n" apply "$topology"
		lab down --all
		assert_as_before
	done
	assert_guarded
}

@test "killed at each change of apply, then apply: whole; killed at each change of down: apply brings it back, down removes it" {
	count_points apply "$topology"
	apply_changes=$changes
	count_points down lab
	down_changes=$changes
	for ((n = 1; n <= apply_changes || n <= down_changes; n++)); do
		if ((n <= apply_changes)); then
			killed_at "$n" apply "$topology"
		fi
		lab apply "$topology"
		assert_whole
		((n % 16)) || pings "$red" "$outside_address"
		if ((n <= down_changes)); then
			killed_at "$n" down lab
			lab apply "$topology"
			assert_whole
			((n % 16)) || pings "$red" "$outside_address"
			killed_at "$n" down lab
		fi
		lab down --all
		assert_as_before
	done
	assert_guarded
}
