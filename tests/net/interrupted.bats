#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# nsroute ended half-way: by a signal that it heeds, and by SIGKILL. The instants are fractions of the
# time that the same command takes undisturbed, so that they are in its middle on any machine.

# shellcheck disable=SC2154 # bats sets output; fabric.bash the names
load fabric

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	host_state >"$work/before"
}

teardown() {
	clean_up
}

now_ms() {
	echo $(($(date +%s%N) / 1000000))
}

# Starts nsroute and ends it by SIGNAL after MILLISECONDS. Sets status to what it ended with.
signalled() { # SIGNAL MILLISECONDS ARGUMENTS...
	local signal=$1 delay
	printf -v delay '%d.%03d' $(($2 / 1000)) $(($2 % 1000))
	shift 2
	"$NSROUTE" --netns "$host" "$@" >"$work/signalled" 2>&1 3>&- &
	sleep "$delay"
	kill -s "$signal" $! 2>/dev/null || true
	status=0
	wait $! || status=$?
}

# Of the host, in no order: links that are made anew come last.
routes() {
	local i
	for ((i = 0; i < 100; i++)); do # those of multicast come a moment after the link
		(($(on "$host" ip -6 route show table local type multicast | wc -l) < 17)) || break
		sleep 0.05
	done
	{ on "$host" ip route show table all && on "$host" ip -6 route show table all; } |
		sed 's/ linkdown//' | sort
}

@test "SIGINT, SIGTERM and SIGHUP in the middle of apply: all is undone" {
	put_many 30
	start=$(now_ms)
	lab apply "$topology"
	duration=$(($(now_ms) - start))
	find_cookie
	lab down many
	assert_as_before
	signals=(INT TERM HUP)
	interrupted=0
	for eighth in 1 2 3 4 5 6 7; do
		signalled "${signals[eighth % 3]}" $((duration * eighth / 8)) apply "$topology"
		if ((status == 2)); then
			interrupted=$((interrupted + 1))
			grep -q 'interrupted by a signal' "$work/signalled"
			grep -q 'everything is as it was before' "$work/signalled"
			assert_as_before
		else
			# Before it could listen, or after it was done.
			((status == 0 || status > 128))
			lab down --all
		fi
	done
	((interrupted > 0)) # on a busy machine not each signal meets it at work
	assert_as_before
}

@test "SIGKILL at any instant of apply: the next apply completes it, down removes it" {
	put_many 30
	start=$(now_ms)
	lab apply "$topology"
	duration=$(($(now_ms) - start))
	find_cookie
	lab down many
	killed=0
	for eighth in 1 2 3 4 5 6 7; do
		signalled KILL $((duration * eighth / 8)) apply "$topology"
		((status != 137)) || killed=$((killed + 1))
		if ((eighth % 2)); then
			run -0 lab apply "$topology"
			run -0 lab plan "$topology"
			on "n1-$suffix" ping -q -c 1 -W 3 10.20.1.30
			on "n30-$suffix" ping -q -c 1 -W 3 "$outside_address"
		fi
		run -0 lab down --all
		assert_as_before
	done
	((killed > 0))
}

@test "SIGKILL at any instant of down: the next down completes it, or apply brings it back" {
	put_many 30
	lab apply "$topology"
	find_cookie
	start=$(now_ms)
	lab down many
	duration=$(($(now_ms) - start))
	killed=0
	for quarter in 1 2 3; do
		lab apply "$topology"
		signalled KILL $((duration * quarter / 4)) down many
		((status != 137)) || killed=$((killed + 1))
		if ((quarter == 2)); then
			run -0 lab apply "$topology"
			run -0 lab plan "$topology"
			on "n30-$suffix" ping -q -c 1 -W 3 "$outside_address"
		fi
		lab down --all
		assert_as_before
	done
	((killed > 0))
}

@test "down killed when only the routes are gone: apply makes the links anew, down goes on" {
	local many=16 # from so many on, routes go before their links
	put_many $many
	sed -i 's/br-many: {subnets/br-many: {type: routed, subnets/
		s|addresses: \[10.20.1.\([0-9]*\)/16\]|addresses: [10.20.1.\1/16, "fd00:20::1:\1/64"]|' "$topology"
	lab apply "$topology"
	find_cookie
	routes >"$work/whole"
	# The first change is the record's, and each of these is in the middle of the routes.
	for change in 2 20 60; do
		run -137 env NSROUTE_FAULT=kill:$change "$NSROUTE-faults" --netns "$host" down many
		(($(on "$host" ip -o link show type veth | wc -l) == many + 1))
		((change == 2)) || (($(routes | wc -l) < $(wc -l <"$work/whole")))
		lab apply "$topology"
		run -0 lab plan "$topology"
		[[ $output == *"nothing to do"* ]]
		diff "$work/whole" <(routes)
	done
	run -137 env NSROUTE_FAULT=kill:60 "$NSROUTE-faults" --netns "$host" down many
	lab down many
	assert_as_before
}
