#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The lock that a process holds for longer than others wait.

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
	host_state >"$work/before"
}

teardown() {
	[[ -z ${stopped-} ]] || kill -CONT "$stopped" 2>/dev/null || true
	clean_up
}

given_up() { # WORDS COMMAND...
	local words=$1 start=$SECONDS
	shift
	run -2 lab "$@"
	echo "$output"
	[[ $output == "nsroute: another nsroute (process $stopped, which $words) is changing things" ]]
	((SECONDS - start >= 29))
}

@test "the lock is given up after its time, and its holder named with what it does" {
	count_points apply "$topology"
	lab down lab
	stop_at $((changes / 2)) apply "$topology"
	given_up "applies fabric 'lab'" apply "$topology"
	lab plan "$topology" || (($? == 3)) # looking needs no lock
	go_on
	assert_whole
	find_cookie
	stop_at 20 down lab
	given_up "removes fabrics" netns add "x-$suffix"
	go_on
	stop_at 8 netns add "x-$suffix"
	given_up "takes a single step" down --all
	go_on
	lab down --all
	assert_as_before
}
