#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A fabric that is edited while it is used: apply does only what differs, and what others put on its
# interfaces stays theirs.

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

edit() { # SED-ARGUMENT...
	sed -i "$@" "$topology"
}

# ---- Things made by hand

# On an interface: an address, routes of both usual protocols, neighbours.
by_hand() { # NAMESPACE INTERFACE
	ip -n "$1" address add 172.16.7.1/24 dev "$2"
	ip -n "$1" address add fd00:77::1/64 dev "$2" nodad
	ip -n "$1" route add 172.16.8.0/24 via 172.16.7.2
	ip -n "$1" route add 172.16.9.0/24 via 172.16.7.2 proto static
	ip -n "$1" route add fd00:78::/64 via fd00:77::2 proto static
	ip -n "$1" neighbour add 172.16.7.2 lladdr 02:00:00:00:00:77 nud permanent dev "$2"
	ip -n "$1" neighbour add fd00:77::2 lladdr 02:00:00:00:00:77 nud permanent dev "$2"
}

things_on() { # NAMESPACE INTERFACE
	ip -n "$1" -o address show dev "$2" | grep -E '172\.16\.|fd00:7' | sed 's/ valid_lft.*//'
	ip -n "$1" route show dev "$2" | grep -E '172\.16\.'
	ip -n "$1" -6 route show dev "$2" | grep -E '^fd00:7'
	ip -n "$1" neighbour show nud permanent dev "$2" | grep -E '172\.16\.|fd00:7'
}

each_place() { # COMMAND
	"$1" "$host" v-net-0
	"$1" "$red" eth0
	"$1" "$blue" p0
}

@test "what others put on the fabric's interfaces survives applies and edits, ours goes" {
	up
	port=$(bridge -n "$host" -j link | jq -r '[.[] | select(.master == "v-net-0")][0].ifname')
	each_place by_hand
	each_place things_on >"$work/by-hand"
	(($(wc -l <"$work/by-hand") == 3 * 9))
	bridge -n "$host" fdb add 02:00:00:00:00:99 dev "$port" master static
	ip -n "$host" address add 192.168.15.200/24 dev v-net-0
	run -0 lab plan "$topology"
	run -0 lab apply "$topology"

	# Other addresses, a route less, a gateway of its own.
	edit -e 's/, "fd00:15::11.64"\]/, "fd00:15::21\/64", 192.168.15.21\/24]/' \
		-e '/10.99.0.0.24/d' -e 's/gateway: auto/gateway: 192.168.15.1/'
	run -0 lab apply "$topology"
	run -0 lab plan "$topology"
	each_place things_on | diff "$work/by-hand" -
	bridge -n "$host" fdb show dev "$port" | grep 02:00:00:00:00:99
	run ! grep fd00:15::11 <(ip -n "$red" address)
	run ! grep 10.99.0.0 <(ip -n "$red" route)

	# What was there before the file asked for it is not ours when the file forgets it.
	ip -n "$red" address add 192.168.15.50/24 dev eth0
	edit 's/192.168.15.21\/24/192.168.15.50\/24/'
	run -0 lab apply "$topology"
	run ! grep 192.168.15.21 <(ip -n "$red" address)
	edit 's/, 192.168.15.50\/24//'
	run -3 lab plan "$topology"
	[[ $output != *address* ]]
	lab apply "$topology"
	grep 192.168.15.50 <(ip -n "$red" address)
	lab down lab
	assert_as_before
}
