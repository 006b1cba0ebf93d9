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
	new_faulty_host
}

teardown() {
	clean_up
}

@test "each step of apply fails: undone, exit 2, and the message says what and where" {
	find_points steps trace apply "$topology"
	lab down lab
	for n in $points; do
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
	find_points steps trace apply "$edited"
	lab apply "$topology"
	for n in $points; do
		failed_at "$n" apply "$edited"
		probe
		case $status in
		0)
			is_harmless || is_look
			assert_whole "$edited"
			;;
		1) [[ $step == "open $edited" ]] ;;
		2)
			assert_told
			assert_whole
			;;
		*)
			((status == 4))
			assert_told
			[[ $message == *"; what was deleted cannot be brought back ("* ]]
			# But a device back into a namespace that is among what was deleted.
			[[ $message != *"not everything could be undone"* ||
				$message == *"undone (1, the first: + device eth1 into $blue"* ]]
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
	assert_guarded edited
}

@test "each step of down fails: said, recorded, and the next down is complete" {
	lab apply "$topology"
	find_points steps trace down lab
	for n in $points; do
		lab apply "$topology"
		failed_at "$n" down lab
		case $status in
		0)
			is_harmless || is_look
			assert_as_before
			;;
		2 | 4) assert_told ;;
		*) false ;;
		esac
		probe
		lab down --all
		assert_as_before
	done
	assert_guarded
}
