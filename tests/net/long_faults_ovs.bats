#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# nsroute killed before every single change of a fabric on an Open vSwitch, and failed at each of its
# steps: in the switch's database as in the kernel nothing is left, and nothing missing.

# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # bats sets output; the others the names, and use ours
load fabric
load faults
load ovs

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	need_ovs
	new_host
	red=red-$suffix blue=blue-$suffix green=green-$suffix yellow=yellow-$suffix
	edited=$work/edited-$suffix.yaml
	put_on_switch "$topology" "$blue" 192.168.15.11
	put_on_switch "$edited" "$green" 192.168.15.21
	start_ovs
	lab apply "$topology"
	find_cookie
	lab down switched
	host_state >"$work/before"
}

teardown() {
	end_ovs
	clean_up
}

put_on_switch() { # FILE NEIGHBOUR ADDRESS
	cat >"$1" <<-END
		version: 1
		name: switched
		networks:
		  ovs-br0: {type: ovs, subnets: [192.168.15.0/24, "fd00:15::/64"]}
		namespaces:
		  $red:
		    interfaces:
		      eth0: {network: ovs-br0, addresses: [$3/24, "fd00:15::11/64"], spoof_check: off}
		  $2:
		    interfaces:
		      eth0: {network: ovs-br0, addresses: [192.168.15.12/24], spoof_check: off}
	END
}

assert_gone() {
	assert_as_before
	[[ -z $(ports) ]]
}

assert_on_switch() { # [FILE]
	assert_whole "${1-$topology}"
	[[ $(ports | wc -w) == 2 ]]
}

@test "killed at each change of apply: down removes all, apply completes it, and the switch forwards" {
	find_points changes trace apply "$topology"
	lab down switched
	[[ $message == *": ovs-vsctl add-port"* ]]
	for n in $points; do
		killed_at "$n" apply "$topology"
		lab down --all
		assert_gone
		killed_at "$n" apply "$topology"
		lab apply "$topology"
		assert_on_switch
		((n % 4)) || pings "$red" 192.168.15.12
		lab down switched
	done
	assert_gone
}

@test "killed at each change of an edit: the new file completes it, the old one takes it back" {
	lab apply "$topology"
	find_points changes trace apply "$edited"
	[[ $message == *": ovs-vsctl add-port"*": ovs-vsctl del-port"* ||
		$message == *": ovs-vsctl del-port"*": ovs-vsctl add-port"* ]]
	lab apply "$topology"
	for n in $points; do
		killed_at "$n" apply "$edited"
		lab apply "$topology"
		assert_on_switch
		killed_at "$n" apply "$edited"
		lab apply "$edited"
		assert_on_switch "$edited"
		((n % 4)) || pings "$red" 192.168.15.12
		lab apply "$topology"
	done
	lab down switched
	assert_gone
}

@test "killed at each change of down: apply brings it back, down removes it" {
	lab apply "$topology"
	find_points changes trace down switched
	[[ $message == *": ovs-vsctl del-port"* ]]
	for n in $points; do
		lab apply "$topology"
		killed_at "$n" down switched
		lab apply "$topology"
		assert_on_switch
		killed_at "$n" down switched
		lab down --all
		assert_gone
	done
}

@test "each step of apply fails: undone, exit 2, and the message says what" {
	find_points steps trace apply "$topology"
	lab down switched
	for n in $points; do
		failed_at "$n" apply "$topology"
		case $status in
		0)
			is_harmless
			lab down switched
			;;
		1) [[ $step == "open $topology" ]] ;;
		*)
			((status == 2))
			[[ $message == *"Input/output error"* ]]
			;;
		esac
		assert_gone
	done
}

@test "each step of down fails: said, and the next down is complete" {
	lab apply "$topology"
	find_points steps trace down switched
	for n in $points; do
		lab apply "$topology"
		failed_at "$n" down switched
		case $status in
		0) is_harmless || is_look ;;
		2 | 4) [[ $message == *"Input/output error"* ]] ;;
		*) false ;;
		esac
		lab down --all
		assert_gone
	done
}
