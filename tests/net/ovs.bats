#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Scenario 11: another virtual switch in place of the Linux bridge. Networks on a bridge of an Open
# vSwitch with its userspace datapath, seen with ovs-vsctl and with traffic.

# shellcheck disable=SC2030,SC2031,SC2154 # bats sets output; fabric.bash the names
load fabric
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
	red=red-$suffix blue=blue-$suffix router=router-$suffix
	put_switched "" ", spoof_check: off"
}

teardown() {
	end_ovs
	clean_up
}

put_switched() { # [KEYS-OF-THE-NETWORK [KEYS-OF-INTERFACES [TYPE]]]
	cat >"$topology" <<-END
		version: 1
		name: switched
		networks:
		  ovs-br0: {type: ${3-ovs}, subnets: [192.168.15.0/24, "fd00:15::/64"]$1}
		namespaces:
		  $red:
		    interfaces:
		      eth0: {network: ovs-br0, addresses: [192.168.15.11/24, "fd00:15::11/64"]${2-}}
		  $blue:
		    interfaces:
		      eth0: {network: ovs-br0, addresses: [192.168.15.12/24, "fd00:15::12/64"]${2-}}
	END
}

# Names of the ports, as list-ports has them.
host_ends() {
	lab -j show switched namespaces | jq -r '.. | .host_end? // empty' | sort | tr '\n' ' '
}

assert_traffic() {
	local protocol
	pings "$red" 192.168.15.12
	pings "$red" fd00:15::12 -s 1400
	for protocol in tcp udp; do
		exchange "$protocol" "$red" "$blue" 192.168.15.12
		[[ $caller == 192.168.15.11 ]]
		exchange "$protocol" "$blue" "$red" fd00:15::11
	done
}

@test "namespaces reach each other through the switch, and down leaves it as it was" {
	start_ovs
	host_state >"$work/before"
	ovs-vsctl show >"$work/show-before"
	run -0 --separate-stderr lab apply "$topology"
	[[ -z $stderr ]]
	find_cookie
	settle
	assert_traffic
	bulk "$red" "$blue" 192.168.15.12
	[[ $(ports) == "$(host_ends)" && $(ports | wc -w) == 2 ]]
	for port in $(ports); do
		[[ $(ovs-vsctl get Port "$port" external_ids:nsroute) == switched ]]
	done
	# It is the switch that forwards: no bridge, no fast path; all is counted.
	[[ -z $(ip -n "$host" link show type bridge) ]]
	[[ $(total fast_packets) == 0 && $(total slow_packets) -gt 20 ]]
	assert_counts_equal
	run -0 lab -j show switched networks
	[[ $(jq -r '.. | .type? // empty' <<<"$output") == ovs ]]
	run -0 lab plan "$topology"
	run -0 lab down switched
	assert_as_before
	ovs-vsctl show | diff "$work/show-before" -
}

@test "the gateway is whoever else is on the switch" {
	start_ovs
	put_switched ", gateway: [192.168.15.254]" ", spoof_check: off"
	new_namespace "$router"
	ip link add router0 netns "$host" type veth peer name eth0 netns "$router"
	ip -n "$host" link set router0 up
	ip -n "$router" link set eth0 up
	ip -n "$router" address add 192.168.15.254/24 dev eth0
	ip -n "$router" address add 10.77.0.1/32 dev lo
	ovs-vsctl --timeout=5 add-port ovs-br0 router0
	run -0 lab apply "$topology"
	find_cookie
	pings "$red" 10.77.0.1
	run -0 on "$red" ip neighbour show to 192.168.15.254
	[[ $output != *PERMANENT* ]]
	run -0 lab down switched
	[[ $(ports) == "router0 " ]]
}

@test "what is missing is put back, by whatever way it went" {
	start_ovs
	lab apply "$topology"
	find_cookie
	read -ra all <<<"$(ports)"
	ovs-vsctl del-port "${all[0]}"
	run -3 lab plan "$topology"
	[[ $output == "+ Open vSwitch port ${all[0]} on ovs-br0" ]]
	run -0 lab apply "$topology"
	assert_traffic
	ip -n "$host" link delete "${all[1]}"
	run -0 lab apply "$topology"
	assert_traffic
	on "$red" ethtool -K eth0 tx on >/dev/null
	run -3 lab plan "$topology"
	[[ $output == *"offload/eth0/tx-checksum = off in $red"* ]]
	run -0 lab apply "$topology"
	assert_traffic
	ip netns del "$blue"
	run -0 lab apply "$topology"
	assert_traffic
	# The bridge was made anew.
	ovs-vsctl --timeout=20 del-br ovs-br0 -- add-br ovs-br0 -- set Bridge ovs-br0 datapath_type=netdev
	run -0 lab apply "$topology"
	assert_traffic
	run -0 lab plan "$topology"
}

@test "the type of a network changes in place" {
	start_ovs
	lab apply "$topology"
	find_cookie
	sed 's/ovs-br0/v-net-0/; s/type: ovs/type: bridge/' "$topology" |
		sed 's/network: ovs-br0/network: v-net-0/' >"$work/bridge-$suffix.yaml"
	run -0 lab apply "$work/bridge-$suffix.yaml"
	[[ -z $(ports) ]]
	run -0 on "$red" ethtool -k eth0
	[[ $output == *"tx-checksumming: on"* ]]
	assert_traffic
	run -0 lab plan "$work/bridge-$suffix.yaml"
	run -0 lab apply "$topology"
	[[ $(ports | wc -w) == 2 ]]
	assert_traffic
	run -0 lab plan "$topology"
}

@test "without Open vSwitch, its database, the bridge, or the port: clear, with its place, undone" {
	host_state >"$work/before"
	export cookie=none
	# Programs of the machine, but not those of Open vSwitch.
	run -2 --separate-stderr env PATH=/nowhere "$(type -P "$NSROUTE")" --netns "$host" apply "$topology"
	[[ $stderr == *"lab-$suffix.yaml:4:3: network 'ovs-br0': Open vSwitch is not here: there is no program 'ovs-vsctl'"* ]]
	export OVS_RUNDIR=$work/ovs
	run -2 --separate-stderr lab apply "$topology"
	[[ $stderr == *"lab-$suffix.yaml:4:3: network 'ovs-br0': Open vSwitch does not run"*db.sock* ]]
	start_database
	run -2 --separate-stderr lab apply "$topology"
	[[ $stderr == *"Open vSwitch has no bridge of this name; make it (ovs-vsctl add-br ovs-br0)"* ]]
	assert_as_before
	# A switch that lives in another namespace cannot see our interfaces.
	start_switch "$outside"
	ovs-vsctl --timeout=20 add-br ovs-br0 -- set Bridge ovs-br0 datapath_type=netdev
	run -2 --separate-stderr lab apply "$topology"
	[[ $stderr == *"lab-$suffix.yaml:"*"did not take port '"*"could not open network device"* ]]
	assert_as_before
	[[ -z $(ports) ]]
	# Somebody else's port.
	ovs-vsctl --timeout=20 add-br other -- set Bridge other datapath_type=netdev
	port=$(lab plan "$topology" | sed -n 's/^+ Open vSwitch port \(.*\) on ovs-br0$/\1/p' | head -n 1)
	ovs-vsctl --timeout=5 add-port other "$port" -- set Interface "$port" type=internal
	run -2 --separate-stderr lab apply "$topology"
	[[ $stderr == *"port '$port' is on the Open vSwitch bridge 'other' already and is not ours"* ]]
	[[ $(ports other) == "$port " ]]
}

@test "a switch that does nothing is noticed, and its database left clean" {
	start_ovs
	stop_switch
	run -2 --separate-stderr lab apply "$topology"
	[[ $stderr == *"did not take port '"*"is ovs-vswitchd running?"* ]]
	[[ -z $(ports) ]]
	run -0 lab show
	[[ $output != *switched* ]]
}

@test "down works when the bridge, or all of Open vSwitch, is gone" {
	start_ovs
	lab apply "$topology"
	find_cookie
	ovs-vsctl --timeout=20 del-br ovs-br0
	run -0 lab down switched
	[[ $(test_namespaces) != *"$red"* ]]
	ovs-vsctl --timeout=20 add-br ovs-br0 -- set Bridge ovs-br0 datapath_type=netdev
	lab apply "$topology"
	stop_ovs
	run -0 --separate-stderr lab down switched
	[[ $stderr == *"warning: Open vSwitch does not run"*"may still be in its database"* ]]
	[[ $(test_namespaces) != *"$red"* ]]
	# It comes back with its ports, as after a reboot: they are ours still.
	start_database
	lab apply "$topology" 3>&- &
	local apply=$!
	sleep 2
	kill -0 "$apply" # waits for the switch, though the database has all it wants
	start_switch "$host"
	wait "$apply"
	assert_traffic
	run -0 lab down switched
	[[ -z $(ports) ]]
}

# Why spoof_check is warned of: the userspace datapath reads packets before tc's ingress.
@test "spoof_check keeps packets from the host only, and says so" {
	start_ovs
	put_switched ""
	run -0 --separate-stderr lab apply "$topology"
	[[ $stderr == *"warning: network 'ovs-br0': spoof_check does not hold"* ]]
	find_cookie
	start_capture "$blue" eth0 "udp port 9999"
	on "$red" ip address add 192.168.15.99/32 dev lo
	on "$red" nc -u -n -w 1 -s 192.168.15.99 192.168.15.12 9999 <<<spoofed || true
	stop_capture
	run -0 captured "src host 192.168.15.99"
	[[ -n $output ]]
	(($(dropped "$red" spoofed-address) > 0))
}

@test "the example does what its comments say" {
	start_ovs
	host_state >"$work/before"
	put_example examples/open-vswitch.yaml
	run_example
	assert_as_before
	[[ -z $(ports) ]]
}
