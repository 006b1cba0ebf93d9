#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# nsroute killed before some of its changes, and with some of its steps failing. All of them are
# gone through in long_faults*.bats.

# shellcheck disable=SC2030,SC2031,SC2154 # bats sets output; fabric.bash and faults.bash the names
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
	host_state >"$work/before"
	start_capture "$outside" eth0
	lab apply "$topology"
	find_cookie
}

teardown() {
	clean_up
}

@test "killed in apply and in down: the next apply completes it, down removes it" {
	count_points down lab
	down_changes=$changes
	count_points apply "$topology"
	lab down lab
	for sixth in 1 3 5; do
		killed_at $((changes * sixth / 6)) apply "$topology"
		lab apply "$topology"
		assert_whole
		pings "$red" "$outside_address"
		probe
		killed_at $((down_changes * sixth / 6)) down lab
		lab down --all
		assert_as_before
	done
	assert_guarded
}

@test "killed in an edit: either file goes on from there" {
	count_points apply "$edited"
	lab apply "$topology"
	for sixth in 2 5; do
		killed_at $((changes * sixth / 6)) apply "$edited"
		lab apply "$topology"
		assert_whole
		killed_at $((changes * sixth / 6)) apply "$edited"
		lab apply "$edited"
		assert_whole "$edited"
		lab apply "$topology"
	done
	lab down lab
	assert_as_before
	assert_guarded
}

# It is what an edit begins with that needs more of them than there are.
@test "killed, and failing, while programs are added: either file goes on from there" {
	plain=$work/plain-$suffix.yaml
	sed -e 's/, "fd00:15::[^"]*"//' -e '/publish/d' "$topology" >"$plain"
	lab down lab
	lab apply "$plain"
	faulty trace apply "$topology"
	mapfile -t pinned < <(awk '/ bpf_obj_pin .*\/nsr_/ { print $3, $5 + 0 }' <<<"$message")
	((${#pinned[@]} > 3))
	for pin in 1 3 $((${#pinned[@]} - 1)); do
		read -r change step <<<"${pinned[pin]}"
		lab down lab
		lab apply "$plain"
		killed_at "$change" apply "$topology"
		lab apply "$plain"
		assert_whole "$plain"
		lab down lab
		lab apply "$plain"
		killed_at "$change" apply "$topology"
		lab apply "$topology"
		assert_whole
		pings "$red" "$outside_address"
	done
	lab down lab
	lab apply "$plain"
	settle
	host_state >"$work/plain"
	failed_at "$step" apply "$topology"
	((status == 2))
	[[ $message == *"cannot pin"* ]]
	host_state | diff "$work/plain" -
	lab down lab
	assert_as_before
	assert_guarded
}

# This step, or the last before it whose failure changes something.
failed_from() { # NUMBER ARGUMENTS...
	local number
	for ((number = $1; number > 0; number--)); do
		failed_at "$number" "${@:2}"
		((status == 0)) && is_harmless || return 0
		lab down lab
	done
}

@test "a step of apply fails: undone, and the message says what and where" {
	lab down lab
	count_points apply "$topology"
	lab down lab
	for eighth in 5 7 8; do
		failed_from $((steps * eighth / 8)) apply "$topology"
		((status == 2))
		assert_told "$topology"
		assert_as_before
	done
}

@test "an uplink that goes while the fabric is removed: so does the rest" {
	lab down lab
	sed -i -e 's/masquerade: eth0/masquerade: eth8/' -e '/^devices/,$d' "$topology"
	for before in 0 1; do
		ip link add eth8 netns "$host" type veth peer name eth8 netns "$outside"
		ip -n "$host" address add 203.0.113.129/25 dev eth8
		ip -n "$host" link set eth8 up
		lab apply "$topology"
		faulty trace down lab
		change=$(awk '/ netlink type 45$/ { print $3 }' <<<"$message" | tail -n 1) # a filter
		lab apply "$topology"
		stop_at $((change - before)) down lab
		ip -n "$host" link delete eth8
		go_on
		[[ ! -e /sys/fs/bpf/nsroute/$cookie ]]
	done
}

# The step at which the record is asked for the device that is given back, after this one.
find_return() { # STEP
	step=$(awk -v after="$1" '
		/^fault: change / && $5 + 0 > after && /: open .*lab\.record$/ { step = $5 + 0 }
		/^fault: change / && $5 + 0 > after && / netlink type 17$/ { exit }
		END { print step }' <<<"$message")
	[[ -n $step ]]
}

assert_device_kept() {
	((status == 4))
	[[ $message == *"lab.record: Input/output error"* ]]
	ip -n "$blue" link show eth1
	[[ ! -e /run/netns/$red ]]
	lab down --all
	assert_as_before
}

@test "a device that cannot be given back: its namespace stays, in down and in undoing" {
	faulty trace down lab
	find_return 0
	lab apply "$topology"
	failed_at "$step" down lab
	assert_device_kept
	count_points apply "$topology"
	lab down lab
	last=$steps
	faulty "fail:$last,trace" apply "$topology"
	find_return "$last"
	failed_at "$last,fail:$step" apply "$topology"
	assert_device_kept
}
