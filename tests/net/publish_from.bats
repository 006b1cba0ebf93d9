#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Published ports, at the uplink's address, from namespaces that do not leave by that uplink: of networks
# that are not masqueraded, that leave by another uplink, and of another fabric. red, on v-net-0, publishes
# at eth0; grey's network, v-net-3, is not masqueraded; white's, v-net-2, has no bridge.

# shellcheck disable=SC2154 # run sets output; fabric.bash the names
load published

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
}

teardown() {
	clean_up
}

other_address=192.0.2.1 # the host's, at eth1
other_address6=2001:db8:2::1

# Another uplink, with an outside of its own.
new_uplink() {
	other=nsr-other-$suffix
	new_namespace "$other"
	cable "$host" eth1 "$other_address" "$other" eth0 192.0.2.10 1500
	ip -n "$host" address add "$other_address6/64" dev eth1 nodad
}

# Of put_networks' networks, with red's ports. white leaves by no uplink.
put_published() { # [DATAPATH]
	put_networks "$@"
	sed -i '/^  v-net-2:/s/, masquerade: eth0//' "$topology"
	publish "$red" '"8080:8080/tcp", "8080:8080/udp", "5201:5201/tcp"'
}

apply_published() {
	lab apply "$topology"
	find_cookie
	settle
}

# By all protocols, at both addresses; the namespace sees the client's own address.
reaches() { # CLIENT ADDRESS ADDRESS6
	exchange tcp "$1" "$red" "$uplink_address"
	[[ $caller == "$2" ]]
	exchange udp "$1" "$red" "$uplink_address"
	[[ $caller == "$2" ]]
	exchange tcp "$1" "$red" "$uplink_address6"
	[[ $caller == "$3" ]]
	exchange udp "$1" "$red" "$uplink_address6"
	[[ $caller == "$3" ]]
}

@test "from networks without masquerade: with the client's own address" {
	put_published
	apply_published
	reaches "$grey" 192.168.18.11 fd00:18::11
	reaches "$white" 192.168.17.11 fd00:17::11
	[[ $(dropped nat-hairpin) == 0 ]]
}

@test "datapath: kernel: from networks without masquerade" {
	put_published kernel
	apply_published
	reaches "$grey" 192.168.18.11 fd00:18::11
	reaches "$white" 192.168.17.11 fd00:17::11
}

@test "from a network that leaves by another uplink, and the other way round" {
	new_uplink
	put_published
	sed -i '/^  v-net-1:/s/masquerade: eth0/masquerade: eth1/' "$topology"
	publish "$green" '"8080:8080/tcp", "8080:8080/udp"'
	apply_published
	reaches "$green" 192.168.16.11 fd00:16::11
	exchange tcp "$red" "$green" "$other_address"
	[[ $caller == 192.168.15.11 ]]
	exchange udp "$red" "$green" "$other_address6"
	[[ $caller == fd00:15::11 ]]
}

@test "from a network of another fabric" {
	put_published
	apply_published
	cat >"$work/second.yaml" <<-END
		version: 1
		name: second
		networks:
		  br-second: {subnets: [10.30.0.0/16, "fd00:30::/64"]}
		namespaces:
		  two-$suffix: {interfaces: {eth0: {network: br-second, addresses: [10.30.1.1/16, "fd00:30::11/64"]}}}
	END
	lab apply "$work/second.yaml"
	settle
	reaches "two-$suffix" 10.30.1.1 fd00:30::11
}
