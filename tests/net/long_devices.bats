#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# SIGKILL at many instants of moving devices, there and back. The instants are fractions of the time that
# the same command takes undisturbed, which is less once the machine has less to do.

# shellcheck disable=SC2034,SC2154 # killed_within has durations by name; fabric.bash sets names
load fabric

# Devices that come back one after the other stand in another order in the kernel's lists.
eval "$(declare -f host_state | sed '1s/host_state/host_state_in_order/')"
host_state() {
	host_state_in_order | sort
}

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

# Eight devices with an address and a route each, whose other ends are outside.
setup() {
	new_host
	red=red-$suffix
	local i
	for i in 1 2 3 4 5 6 7 8; do
		ip link add "wire$i" netns "$host" type veth peer name "wire$i" netns "$outside"
		ip -n "$host" link set "wire$i" addrgenmode none alias "wire number $i" up
		ip -n "$outside" link set "wire$i" addrgenmode none up
		await_link "$host" "wire$i"
		ip -n "$host" address add "198.51.$i.1/24" dev "wire$i"
		ip -n "$host" route add "10.$i.0.0/16" via "198.51.$i.2"
	done
	{
		printf 'version: 1\nname: lab\nnamespaces:\n  %s: {}\ndevices:\n' "$red"
		for i in 1 2 3 4 5 6 7 8; do
			echo "  - {name: wire$i, namespace: $red, addresses: [198.51.$i.9/24], mtu: 1400}"
		done
	} >"$topology"
	await_own_routes
	host_state >"$work/before"
}

teardown() {
	clean_up
}

# The kernel enters them a moment after the addresses.
await_own_routes() {
	local i
	for ((i = 0; i < 200; i++)); do
		(($(ip -n "$host" -6 route show table local | grep -cE '^local (2001:|fe80:)') < 2)) ||
			return 0
		sleep 0.05
	done
	return 1
}

now_ms() {
	echo $(($(date +%s%N) / 1000000))
}

killed_within() { # DURATION PART ARGUMENTS...: kills it at PART / 20 of the milliseconds in variable DURATION
	local -n within=$1
	local ms=$((within * $2 / 20)) delay
	printf -v delay '%d.%03d' $((ms / 1000)) $((ms % 1000))
	shift 2
	"$NSROUTE" --netns "$host" "$@" >"$work/killed" 2>&1 3>&- &
	sleep "$delay"
	kill -9 $! 2>/dev/null || true
	status=0
	wait $! || status=$?
	((status == 0 || status == 137))
	if ((status == 137)); then
		killed=$((killed + 1))
	else
		within=$((within * 3 / 4))
	fi
}

@test "SIGKILL at any instant of taking and giving back devices" {
	start=$(now_ms)
	lab apply --confirm 0 "$topology"
	duration=$(($(now_ms) - start))
	find_cookie
	start=$(now_ms)
	lab down lab
	duration_down=$(($(now_ms) - start))
	assert_as_before
	killed=0
	for ((part = 1; part < 20; part++)); do
		killed_within duration "$part" apply --confirm 0 "$topology"
		if ((part % 2)); then
			lab apply --confirm 0 "$topology"
			killed_within duration_down "$part" down lab
		fi
		lab down --all
		assert_as_before
	done
	((killed > 10)) # not each meets it at work
}
