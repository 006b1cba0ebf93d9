#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# nsroute killed before every third change of an edit, and every fifth of apply and of down (all of them
# are gone through in the other long_faults*.bats), with all that a masquerade can have: two uplinks with
# two addresses of each family, destinations that are not translated, and published ports, at all of the
# addresses and at one. The edit moves an address of each family from one uplink to the other, and back.

# shellcheck disable=SC2034,SC2154 # bats sets output; fabric.bash and faults.bash the names, and use ours
load fabric
load faults

near4=203.0.113.11 # outside, and not translated for the first network
near6=2001:db8:113::11

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	private_prefixes+=("192.168.15.0/24=$near4/32" "fd00:15::/64=$near6/128")
	new_host
	new_second
	name_namespaces
	yellow=yellow-$suffix edited=$work/edited-$suffix.yaml
	put_two "$topology" '203.0.113.101, 203.0.113.102, "2001:db8:113::101", "2001:db8:113::102"' \
		'198.51.100.1, 198.51.100.2, "2001:db8:114::1", "2001:db8:114::2"' \
		"$near4/32, \"$near6/128\"" '"8080-8081:80-81/tcp", "203.0.113.102:9090:90/tcp"' \
		'"[2001:db8:114::2]:53:53/udp"'
	put_two "$edited" '203.0.113.101, "2001:db8:113::101", "2001:db8:114::2"' \
		'198.51.100.1, 203.0.113.102, 198.51.100.2, "2001:db8:114::1", "2001:db8:113::102"' \
		"$near4/32" '"8081:81/tcp", "53:53/udp"' '"203.0.113.102:9090:90/tcp"'
	lab apply "$topology"
	find_cookie
	lab down lab
	host_state >"$work/before"
	start_capture "$outside" eth0
}

teardown() {
	clean_up
}

new_second() {
	local last
	cable "$host" eth1 198.51.100.1 "$outside" eth1 198.51.100.10 1500
	ip -n "$host" address add 198.51.100.2/24 dev eth1
	for last in 1 2; do
		ip -n "$host" address add "203.0.113.10$last/24" dev eth0
		ip -n "$host" address add "2001:db8:113::10$last/64" dev eth0 nodad
		ip -n "$host" address add "2001:db8:114::$last/64" dev eth1 nodad
	done
	ip -n "$outside" address add "$near4/24" dev eth0
	ip -n "$outside" address add "$near6/64" dev eth0 nodad
	settle
}

# red and blue leave by eth0, green by eth1.
put_two() { # FILE AT-ETH0 AT-ETH1 EXCEPT PUBLISHED-OF-RED PUBLISHED-OF-GREEN
	cat >"$1" <<-END
		version: 1
		name: lab
		networks:
		  v-net-0: {subnets: [192.168.15.0/24, "fd00:15::/64"], masquerade: {uplink: eth0, addresses: [$2], except: [$4]}}
		  v-net-1: {subnets: [192.168.16.0/24, "fd00:16::/64"], masquerade: {uplink: eth1, addresses: [$3]}}
		namespaces:
		  $red:
		    interfaces: {eth0: {network: v-net-0, addresses: [192.168.15.11/24, "fd00:15::11/64"]}}
		    publish: [$5]
		  $blue: {interfaces: {eth0: {network: v-net-0, addresses: [192.168.15.12/24, "fd00:15::12/64"]}}}
		  $green:
		    interfaces: {eth0: {network: v-net-1, addresses: [192.168.16.11/24, "fd00:16::11/64"]}}
		    publish: [$6]
	END
}

# All that leaves, and nothing else, is what the file says: the watch knows the rest.
assert_works() {
	pings "$red" "$outside_address"
	pings "$blue" "$outside_address6"
	pings "$green" 198.51.100.10
}

# Of the points, another one each time that they are found.
only_every() { # NUMBER
	points=$(awk -v each="$1" -v first=$((RANDOM % $1)) 'NR % each == first' <<<"$points")
	echo "of them: ${points//$'\n'/ }"
}

# Two uplinks that hand out ports of one address would give two flows one translation.
assert_apart() {
	local address
	for address in 203.0.113.102 2001:db8:113::102 2001:db8:114::2; do
		(($(uplinks_with "$address") <= 1))
	done
}

@test "killed in apply: down removes it, apply completes it" {
	local i=0
	find_points changes trace apply "$topology"
	lab down lab
	only_every 5
	for n in $points; do
		killed_at "$n" apply "$topology"
		if ((i++ % 2)); then
			lab apply "$topology"
			assert_whole
			((i % 8)) || assert_works
		fi
		lab down --all
		assert_as_before
	done
}

@test "killed in an edit, both ways: no address is at both, and either file goes on" {
	lab apply "$topology"
	find_points changes trace apply "$edited"
	only_every 3
	there=$points
	find_points changes trace apply "$topology"
	only_every 3
	for n in $there; do
		lab apply "$topology"
		killed_at "$n" apply "$edited"
		assert_apart
		lab apply "$edited"
		assert_whole "$edited"
	done
	for n in $points; do
		lab apply "$edited"
		killed_at "$n" apply "$topology"
		assert_apart
		if ((n % 2)); then
			lab apply "$edited"
			assert_whole "$edited"
			continue
		fi
		lab apply "$topology"
		assert_whole
		((n % 8)) || assert_works
	done
	lab down lab
	assert_as_before
}

@test "killed in down: apply brings it back, down removes it" {
	local i=0
	lab apply "$topology"
	find_points changes trace down lab
	only_every 5
	for n in $points; do
		lab apply "$topology"
		killed_at "$n" down lab
		if ((i++ % 2)); then
			lab apply "$topology"
			assert_whole
			((i % 8)) || assert_works
			killed_at "$n" down lab
		fi
		lab down --all
		assert_as_before
	done
}
