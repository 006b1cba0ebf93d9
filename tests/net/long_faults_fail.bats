#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Every single step of apply, of an edit and of down fails once.

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

@test "each step of apply fails: undone, exit 2, and the message says what and where" {
	count_points apply "$topology"
	lab down lab
	for ((n = 1; n <= steps; n++)); do
		failed_at "$n" apply "$topology"
		case $status in
		0)
			is_harmless
			lab down lab
			;;
		1) [[ $step == "open $topology" ]] ;;
		*)
			((status == 2))
			assert_told "$topology"
			;;
		esac
		probe
		assert_as_before
	done
	stop_capture
	assert_no_leak
}

# What was deleted is gone; an edit deletes when all else is done.
@test "each step of an edit fails: undone, or it is named what was deleted, and apply of either file goes on" {
	lab apply "$topology"
	count_points apply "$edited"
	lab apply "$topology"
	for ((n = 1; n <= steps; n++)); do
		failed_at "$n" apply "$edited"
		probe
		case $status in
		0) is_harmless || [[ $step == "netlink type 18" ]] ;; # asked for once more
		1) [[ $step == "open $edited" ]] ;;
		2)
			assert_told
			assert_whole
			;;
		*)
			((status == 4))
			assert_told
			[[ $message == *"; what was deleted cannot be brought back ("* ]]
			[[ $message != *"not everything could be undone"* ]]
			if ((n % 2)); then
				lab apply "$edited"
				assert_whole "$edited"
			fi
			;;
		esac
		lab apply "$topology"
		assert_whole
	done
	lab down lab
	assert_as_before
	assert_guarded
}

@test "each step of down fails: said, recorded, and the next down is complete" {
	lab apply "$topology"
	count_points down lab
	for ((n = 1; n <= steps; n++)); do
		lab apply "$topology"
		failed_at "$n" down lab
		case $status in
		0) is_harmless || [[ $step == "netlink type 18" ]] ;; # asked for once more
		2 | 4) assert_told ;;
		*) false ;;
		esac
		probe
		lab down --all
		assert_as_before
	done
	assert_guarded
}

@test "a step of apply fails, and then one of undoing it: named, and down removes what is left" {
	count_points apply "$topology"
	lab down lab
	last=$steps
	faulty "fail:$last,count" apply "$topology"
	((status == 2))
	[[ $message =~ fault:\ ([0-9]+)\ changes,\ ([0-9]+)\ steps ]]
	assert_as_before
	for ((n = last + 1; n <= BASH_REMATCH[2]; n++)); do
		failed_at "$last,fail:$n" apply "$topology"
		((status == 2 || status == 4))
		probe
		lab down --all
		assert_as_before
	done
	stop_capture
	assert_no_leak
}
