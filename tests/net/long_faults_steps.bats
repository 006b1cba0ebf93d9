#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Single steps, and what takes over what they made, killed before every single change or failed at
# every single step.

# shellcheck disable=SC2154 # bats sets output; fabric.bash and faults.bash the names
load fabric
load faults
load by_hand

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	host_state >"$work/before"
	red=red-$suffix blue=blue-$suffix
}

teardown() {
	clean_up
}

# Every change is the last one in turn. What was made before it is found by the next command.
each_kill() { # ARGUMENTS...: and calls before and after
	local number
	before
	count_points "$@"
	lab down --all
	for ((number = 1; number <= changes; number++)); do
		before
		faulty "kill:$number" "$@"
		((status == 137))
		after "$number"
		lab down --all
		assert_as_before
	done
}

@test "killed at each change of a step: down removes it, and the step can be repeated" {
	first_step netns add "$red"
	lab down --all
	before() { :; }
	after() {
		(($1 % 2)) || return 0
		lab down @steps || [[ ! -e /run/nsroute/$cookie ]]
		lab netns add "$red" "$blue"
	}
	each_kill netns add "$red" "$blue"
	before() { lab netns add "$red" "$blue"; }
	after() { :; }
	each_kill link add p0 netns "$red" type veth peer name p0
	before() {
		lab netns add "$red" "$blue"
		lab link add p0 netns "$red" type veth peer name p0
	}
	each_kill link set p0 netns "$blue"
	each_kill netns del "$red"
}

@test "killed at each change of an adoption: it has one owner, and apply completes it" {
	put_cable
	first_step netns add "$red"
	lab down --all
	before() { make_cable; }
	after() {
		pings "$red" 10.0.0.2
		(($1 % 2)) || return 0
		lab apply "$topology"
		run -0 lab plan "$topology"
		run -1 lab show @steps
		pings "$red" 10.0.0.2
	}
	each_kill apply "$topology"
}

@test "an adoption that fails leaves everything to single steps" {
	put_cable
	first_step netns add "$red"
	lab down --all
	make_cable
	count_points apply "$topology"
	lab down --all
	make_cable
	for ((n = 1; n <= steps; n++)); do
		lab show @steps | sort >"$work/steps" # undone is recorded anew, at the end
		faulty "fail:$n" apply "$topology"
		if ((status == 0)); then # nothing that matters failed
			lab down --all
			make_cable
			continue
		fi
		((status == 1 || status == 2)) # 1: the file could not be read
		lab show @steps | sort | diff "$work/steps" -
		pings "$red" 10.0.0.2
		run -1 lab show cable
	done
	lab down --all
	assert_as_before
}
