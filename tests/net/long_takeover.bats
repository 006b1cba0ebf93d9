#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A take-over ended before each of its changes, and failed at each of its steps, under traffic.

# shellcheck disable=SC2154 # bats sets output; fabric.bash and takeover.bash the names
load fabric
load takeover

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	host_state >"$work/before"
	up
	pings "$red" "$outside_address"
	attached_code >"$work/old"
	NSROUTE_FAULT=count with code apply "$topology" 2>"$work/count"
	[[ $(<"$work/count") =~ ([0-9]+)\ changes,\ ([0-9]+)\ steps ]]
	changes=${BASH_REMATCH[1]} steps=${BASH_REMATCH[2]}
	attached_code >"$work/new"
	lab apply "$topology"
}

teardown() {
	clean_up
}

@test "killed at each change: either binary goes on from there" {
	start_pings
	for ((at = 1; at <= changes; at++)); do
		status=0
		NSROUTE_FAULT=kill:$at with code apply "$topology" || status=$?
		echo "killed at $at: $status"
		((status == 137))
		if ((at % 2)); then
			with code apply "$topology"
			attached_code | diff "$work/new" -
			run -0 with code plan "$topology"
		fi
		lab apply "$topology"
		attached_code | diff "$work/old" -
		run -0 lab plan "$topology"
	done
	assert_no_ping_lost
	lab down lab
	assert_as_before
}

@test "failed at each step: the old build stays" {
	start_pings
	for ((at = 1; at <= steps; at++)); do
		status=0
		NSROUTE_FAULT=fail:$at with code apply "$topology" 2>"$work/failure" || status=$?
		echo "failed at $at: $status $(<"$work/failure")"
		if ((status)); then
			run -0 lab plan "$topology"
		fi
		lab apply "$topology" # some failures change nothing: a look that is repeated
		attached_code | diff "$work/old" -
	done
	assert_no_ping_lost
	lab down lab
	assert_as_before
}

@test "a take-over that fails and cannot be undone says so, and the next apply completes it" {
	local last undone end
	NSROUTE_FAULT=trace with code apply "$topology" 2>"$work/trace"
	lab apply "$topology"
	start_pings
	# The last hook of the exchange, and the first of the one that undoes it; then what ends that.
	last=$(awk '/netlink type 44/ { step = $5 + 0 } END { print step }' "$work/trace")
	NSROUTE_FAULT=fail:$last,trace with code apply "$topology" 2>"$work/trace" && false
	undone=$(awk -v "last=$last" '/netlink type 44/ && $5 + 0 > last { print $5 + 0; exit }' \
		"$work/trace")
	end=$(awk '/netlink type 44/ { step = $5 + 0 } END { print step }' "$work/trace")
	((undone && end > undone))
	for at in "$undone" $((end + 1)) $((end + 2)); do
		status=0
		NSROUTE_FAULT=fail:$last,fail:$at with code apply "$topology" 2>"$work/failure" ||
			status=$?
		cat "$work/failure"
		((status == 4))
		grep -F "not everything could be undone (1, the first: ~ datapath: BPF programs as they were: " \
			"$work/failure"
		run -3 lab plan "$topology"
		run -3 with code plan "$topology"
		if ((at == undone)); then
			run ! diff "$work/old" <(attached_code)
			with code apply "$topology"
			attached_code | diff "$work/new" -
		fi
		lab apply "$topology"
		attached_code | diff "$work/old" -
		run -0 lab plan "$topology"
	done
	assert_no_ping_lost
	lab down lab
	assert_as_before
}
