#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# nsroute killed before every single change of an edit, and of what it undoes when one fails.

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

@test "killed at each change of an edit: the new file completes it, the old one takes it back" {
	lab apply "$topology"
	count_points apply "$edited"
	there=$changes
	count_points apply "$topology"
	back=$changes
	assert_whole
	for ((n = 1; n <= there || n <= back; n++)); do
		if ((n <= there)); then
			killed_at "$n" apply "$edited"
			lab apply "$topology"
			assert_whole
			killed_at "$n" apply "$edited"
		fi
		lab apply "$edited"
		assert_whole "$edited"
		((n % 16)) || pings "$green" "$outside_address"
		if ((n <= back)); then
			killed_at "$n" apply "$topology"
		fi
		lab apply "$topology"
		assert_whole
		((n % 16)) || pings "$red" "$outside_address"
	done
	lab down lab
	assert_as_before
	assert_guarded
}

@test "killed at each change of an edit, then down: all is as it was before" {
	lab apply "$topology"
	count_points apply "$edited"
	lab down lab
	for ((n = 1; n <= changes; n++)); do
		lab apply "$topology"
		killed_at "$n" apply "$edited"
		lab down lab
		assert_as_before
	done
	assert_guarded
}

@test "killed at each change of undoing: the next apply completes it, down removes it" {
	count_points apply "$topology"
	lab down lab
	last=$steps
	first=$changes
	faulty "fail:$last,count" apply "$topology"
	((status == 2))
	[[ $message =~ fault:\ ([0-9]+)\ changes,\ ([0-9]+)\ steps ]]
	changes=${BASH_REMATCH[1]}
	assert_as_before
	((changes > first))
	for ((n = first + 1; n <= changes; n++)); do
		killed_at "$n,fail:$last" apply "$topology"
		lab apply "$topology"
		assert_whole
		lab down lab
		assert_as_before
		killed_at "$n,fail:$last" apply "$topology"
		lab down --all
		assert_as_before
	done
	assert_guarded
}
