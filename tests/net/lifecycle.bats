#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The life of a fabric: applied, again, edited, damaged, refused, beside others, removed. What counts
# is the host's state as stock tools show it (host_state), before and after.

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
	[[ -z ${other-} ]] || "$NSROUTE" --netns "$other" down --all || true
	clean_up
}

assert_up() {
	run -0 lab plan "$topology"
	pings "$red" 192.168.15.12
	pings "$red" 192.168.16.11
	pings "$red" fd00:16::11
	pings "$red" 10.99.0.2
	pings "$green" "$outside_address"
}

# What is damaged shows in plan, apply mends it, and nothing is left to do.
assert_mended() { # COMMAND...
	"$@"
	run -3 lab plan "$topology"
	run -0 lab apply "$topology"
	echo "$output"
	run -0 lab plan "$topology"
	echo "after $*: $output"
}

@test "plan says what apply would do, apply does it, and again does nothing" {
	put_topology
	run -3 lab plan "$topology"
	((${#lines[@]} > 50))
	[[ $output == *"+ bridge v-net-0"* ]]
	operations=${#lines[@]}
	run -3 lab apply --dry-run "$topology"
	((${#lines[@]} == operations))
	host_state | diff "$work/before" -

	run -0 --separate-stderr lab -j apply "$topology"
	jq -e --argjson operations "$operations" \
		'.changed and .operations_done == $operations' <<<"$output"
	[[ -z $stderr ]]
	find_cookie
	settle
	host_state >"$work/up"
	run -0 lab plan "$topology"
	[[ $output == *"nothing to do"* ]]
	run -0 lab apply "$topology"
	[[ $output == "fabric 'lab': nothing to do" ]]
	run -0 lab -j apply "$topology"
	jq -e '.changed == false and .operations_done == 0' <<<"$output"
	host_state | diff "$work/up" -
}

@test "down leaves the host as it was, also when the file is gone" {
	up
	traffic
	rm "$topology"
	run -0 lab down lab
	assert_as_before
	run -1 lab down lab
	[[ $output == *lab* ]]
	host_state | diff "$work/before" -
}

@test "down takes the file, the path of one that is gone, and refuses the unknown" {
	up
	run -1 lab down unknown
	run -1 lab down /nonexistent/file.yaml
	run -0 lab show lab
	run -0 lab down "$topology"
	assert_as_before
	run -0 lab down "$topology"
	lab apply "$topology"
	rm "$topology"
	run -0 lab down "$topology"
	assert_as_before
}

@test "down removes all the rest when the pins are gone" {
	up
	rm -r "/sys/fs/bpf/nsroute/$cookie"
	run -0 lab down lab
	assert_as_before
	run -0 lab show
	[[ $output == "no fabrics" ]]
}

@test "pins that are gone under traffic: apply puts them back, and nothing inside gets out" {
	up
	start_capture "$outside" eth0
	# A flow of its own for each datagram, so that each needs the tables.
	ip netns exec "$red" timeout 30 perl -MSocket -e '
		socket(my $s, AF_INET, SOCK_DGRAM, 0);
		for (my $port = 1; ; $port = $port % 65535 + 1) {
			send($s, "x", 0, pack_sockaddr_in($port, inet_aton($ARGV[0])));
		}' "$outside_address" 3>&- &
	sender=$!
	rm -r "/sys/fs/bpf/nsroute/$cookie"
	run -0 lab apply "$topology"
	run -0 lab plan "$topology"
	pings "$red" "$outside_address"
	kill "$sender"
	wait "$sender" || true
	stop_capture
	run -0 captured "udp and src host $uplink_address"
	[[ -n $output ]]
	assert_no_leak
	pings "$red" 192.168.16.11
	lab down lab
	assert_as_before
}

@test "an edited file: what is new is added, what is gone is removed, the rest stays" {
	up
	index=$(ip -n "$red" -j link show eth0 | jq '.[].ifindex')
	yellow=yellow-$suffix
	sed -i "/^  $green:/,+2d" "$topology"
	sed -i "/^links:/i\\  $yellow: {interfaces: {eth0: {network: v-net-1}}}" "$topology"
	run -3 lab plan "$topology"
	[[ $output == *"+ namespace $yellow"* && $output == *"- namespace $green"* ]]
	[[ $output != *"namespace $red"* ]]
	lab apply "$topology"
	run -0 lab plan "$topology"
	[[ ! -e /run/netns/$green ]]
	[[ $(ip -n "$red" -j link show eth0 | jq '.[].ifindex') == "$index" ]]
	address=$(ip -n "$yellow" -4 -j address show eth0 | jq -r '.[].addr_info[0].local')
	pings "$red" "$address"
	pings "$yellow" "$outside_address"

	sed -i "/^  $far:/,\$d" "$topology"
	echo "  $far: {}" >>"$topology"
	lab apply "$topology"
	run ! ip -n "$blue" link show p0
	run ! ip -n "$far" link show p0
	lab down lab
	assert_as_before
}

@test "what was deleted by hand is put back by apply" {
	up
	bridge_port=$(bridge -n "$host" -j link | jq -r '.[0].ifname')
	assert_mended ip -n "$host" address del 192.168.15.1/24 dev v-net-0
	assert_mended ip -n "$red" address del 192.168.15.11/24 dev eth0
	assert_mended ip -n "$red" -6 address del fd00:15::11/64 dev eth0
	assert_mended ip -n "$red" route del default
	assert_mended ip -n "$red" route del 10.99.0.0/24
	assert_mended ip -n "$red" link set eth0 down
	assert_mended ip -n "$host" link set "$bridge_port" nomaster
	assert_mended ip -n "$host" link set v-net-1 down
	assert_mended on "$host" sysctl -qw net.ipv4.conf.eth0.forwarding=0
	assert_mended tc -n "$host" qdisc del dev "$bridge_port" clsact
	assert_mended tc -n "$host" filter del dev eth0 ingress
	assert_mended tc -n "$host" qdisc del dev eth0 clsact
	assert_mended ip -n "$red" link del eth0
	assert_mended ip -n "$far" link del p0
	assert_mended ip -n "$host" link del v-net-0
	assert_mended ip netns del "$green"
	assert_mended rm -r "/sys/fs/bpf/nsroute/$cookie"
	assert_up
	lab down lab
	assert_as_before
}

@test "a name that is taken by somebody else is refused, with its place, and nothing is touched" {
	put_topology
	ip -n "$host" link add v-net-1 type bridge
	host_state >"$work/taken"
	for command in plan apply; do
		run -2 --separate-stderr lab "$command" "$topology"
		[[ -z $output ]]
		[[ $stderr == *"lab-$suffix.yaml:6:3: "*"'v-net-1' exists already and is not ours"* ]]
		host_state | diff "$work/taken" -
	done
	run -2 --separate-stderr lab -j apply "$topology"
	jq -e '.error | .line == 6 and .column == 3 and .code == "EEXIST"' <<<"$stderr"
	ip -n "$host" link del v-net-1

	ip netns add "$blue"
	host_state >"$work/taken"
	run -2 --separate-stderr lab apply "$topology"
	[[ $stderr == *"lab-$suffix.yaml:12:3: "*"'$blue' exists already and is not ours"* ]]
	host_state | diff "$work/taken" -
	[[ $(on "$blue" ls /sys/class/net) == lo ]]
	ip netns del "$blue"
	host_state | diff "$work/before" -
}

@test "an uplink that is not there, or has no address, is refused before anything is done" {
	put_topology
	sed -i 's/masquerade: eth0/masquerade: eth7/' "$topology"
	run -2 --separate-stderr lab apply "$topology"
	[[ $stderr == *"lab-$suffix.yaml:5:"*eth7* ]]
	host_state | diff "$work/before" -

	put_topology
	ip -n "$host" -4 address flush dev eth0
	host_state >"$work/before"
	run -2 --separate-stderr lab apply "$topology"
	[[ $stderr == *"lab-$suffix.yaml:5:"*eth0* ]]
	host_state | diff "$work/before" -
}

@test "an apply that the kernel refuses half-way is undone" {
	# New interfaces refuse IPv6 addresses: it shows when bridges and namespaces are there already.
	on "$host" sysctl -qw net.ipv6.conf.default.disable_ipv6=1
	host_state >"$work/before"
	put_topology
	run -2 --separate-stderr lab apply "$topology"
	[[ -z $output && $stderr == *"lab-$suffix.yaml:"*"fd00:15::1"* ]]
	cookie=none assert_as_before
	run -0 lab show
	[[ $output == "no fabrics" ]]

	# A fabric that is up stays as it was.
	sed 's/, "fd00:[^"]*"//' "$topology" >"$work/ipv4.yaml"
	lab apply "$work/ipv4.yaml"
	find_cookie
	settle
	host_state >"$work/up"
	run -2 lab apply "$topology"
	host_state | diff "$work/up" -
	run -0 lab plan "$work/ipv4.yaml"
	pings "$red" 192.168.16.11
	pings "$red" "$outside_address"
	lab down lab
	assert_as_before
}

@test "a creation that fails is not recorded" {
	ip -n "$host" link property add dev eth0 altname v-net-0
	host_state >"$work/before"
	put_topology
	run -2 lab apply "$topology"
	run -0 lab show
	[[ $output == "no fabrics" ]]
	cookie=none assert_as_before
}

@test "a failed apply that deleted something says so" {
	up
	ip -n "$far" link del p0
	ip -n "$far" link add p0 type veth peer name p1
	ip -n "$far" link set p0 alias nsroute:lab
	sed -i "/^namespaces:/i\  v-net-2: {subnets: [\"fd00:17::/64\"]}" "$topology"
	on "$host" sysctl -qw net.ipv6.conf.default.disable_ipv6=1
	run -3 lab plan "$topology"
	[[ $output == *"- interface p0 in $far"* ]]
	run -4 lab apply "$topology"
	[[ $output == *"cannot be brought back (1, the first: - interface p0 in $far"* ]]
	on "$host" sysctl -qw net.ipv6.conf.default.disable_ipv6=0
	lab apply "$topology"
	assert_up
	lab down lab
	assert_as_before
}

# Each network with an uplink of its own, up1 to upCOUNT: the datapath has room for 16.
put_wide() { # COUNT
	printf '%s\n' 'version: 1' 'name: wide' 'networks:' >"$topology"
	for ((i = 1; i <= $1; i++)); do
		echo "  br$i: {subnets: [10.20.$i.0/24], masquerade: up$i}" >>"$topology"
	done
}

new_uplinks() { # COUNT
	for ((i = 1; i <= $1; i++)); do
		ip -n "$host" link add "up$i" up type bridge
		ip -n "$host" address add "198.51.100.$i/32" dev "up$i"
	done
	settle
}

@test "an uplink that the datapath has no room for is refused, and nothing is touched" {
	new_uplinks 17
	host_state >"$work/before"
	put_wide 17
	run -1 lab apply "$topology"
	[[ $output == *"lab-$suffix.yaml:20:"*"16 uplinks"* ]]
	cookie=none assert_as_before
	run -0 lab show
	[[ $output == "no fabrics" ]]
}

@test "undoing leaves a clsact that was there, with others' filters, and ours that guarded" {
	new_uplinks 2
	host_state >"$work/before"
	put_wide 1
	lab apply "$topology"
	find_cookie
	tc -n "$host" filter add dev up1 egress prio 7 handle 1 bpf bytecode '1,6 0 0 0,'
	tc -n "$host" filter del dev up1 ingress
	put_wide 2
	sed -i '$s|\[|["fd00:20::/64", |' "$topology"
	on "$host" sysctl -qw net.ipv6.conf.default.disable_ipv6=1 # the gateway is refused
	run -2 lab apply "$topology"
	run -0 tc -n "$host" filter show dev up1 egress
	[[ $output == *"pref 7 "* ]]
	rm -r "/sys/fs/bpf/nsroute/$cookie" # now the uplink is a new one, but for its clsact
	run -2 lab apply "$topology"
	run -0 tc -n "$host" filter show dev up1 egress
	[[ $output == *"pref 7 "* && $output == *nsr_uplink_out* ]]
	tc -n "$host" filter del dev up1 egress prio 7
	on "$host" sysctl -qw net.ipv6.conf.default.disable_ipv6=0
	lab down wide
	assert_as_before
}

@test "two fabrics share a host and an uplink: one goes, the other's traffic runs on" {
	put_many 2
	lab apply "$topology"
	up
	n1=n1-$suffix
	pings "$n1" "$outside_address"
	ip netns exec "$green" ping -n -q -i 0.01 -c 300 -W 2 "$outside_address" >"$work/ping" 3>&- &
	lab down many
	wait $!
	grep ' 0% packet loss' "$work/ping"
	assert_up
	exchange tcp "$red" "$outside" "$outside_address"
	[[ $caller == "$uplink_address" ]]

	put_many 2
	lab apply "$topology"
	lab down lab
	pings "$n1" "$outside_address"
	exchange tcp "$n1" "$outside" "$outside_address"
	[[ $caller == "$uplink_address" ]]
	run -0 lab down --all
	assert_as_before
}

@test "clsact and filters of others on the uplink stay, whoever came first" {
	filter=(prio 7 handle 1 bpf bytecode '1,6 0 0 0,')
	tc -n "$host" qdisc add dev eth0 clsact
	tc -n "$host" filter add dev eth0 ingress "${filter[@]}"
	tc -n "$host" filter add dev eth0 egress "${filter[@]}"
	host_state >"$work/before"
	up
	assert_up
	[[ $(tc -n "$host" filter show dev eth0 ingress) == *"pref 7 "* ]]
	lab down lab
	assert_as_before

	tc -n "$host" qdisc del dev eth0 clsact
	up
	tc -n "$host" filter add dev eth0 egress "${filter[@]}"
	run -0 lab plan "$topology"
	lab down lab
	run -0 tc -n "$host" filter show dev eth0 egress
	[[ $output == *"pref 7 "* && $output != *nsr_* ]]
	tc -n "$host" qdisc del dev eth0 clsact
	tc -n "$host" qdisc add dev eth0 clsact
	tc -n "$host" filter add dev eth0 ingress "${filter[@]}"
	tc -n "$host" filter add dev eth0 egress "${filter[@]}"
	assert_as_before
}

@test "a process in a namespace does not keep down from removing the fabric" {
	up
	start_sleeper "$red"
	run -0 lab down lab
	assert_as_before
	kill "$sleeper"
}

@test "two applies at once: one does it, the other finds nothing to do" {
	put_topology
	for i in 1 2 3; do
		"$NSROUTE" --netns "$host" apply "$topology" >"$work/apply.$i" 2>&1 3>&- &
	done
	for job in $(jobs -p); do
		wait "$job"
	done
	[[ $(grep -l 'operations done' "$work"/apply.? | wc -l) == 1 ]]
	[[ $(grep -l 'nothing to do' "$work"/apply.? | wc -l) == 2 ]]
	find_cookie
	on "$blue" sysctl -qw net.ipv4.ip_forward=1
	assert_up
	lab down lab
	assert_as_before
}

@test "a namespace that took the name of ours is somebody else's: down leaves it, apply refuses" {
	up
	ip netns del "$red"
	ip netns add "$red"
	for command in plan apply; do
		run -2 --separate-stderr lab "$command" "$topology"
		[[ $stderr == *"lab-$suffix.yaml:8:3: "*"'$red' exists already and is not ours"* ]]
	done
	run -0 --separate-stderr lab down lab
	[[ $stderr == *"'$red' is not the one that fabric 'lab' made: left alone"* ]]
	[[ $(on "$red" ls /sys/class/net) == lo ]]
	ip netns del "$red"
	assert_as_before
}

@test "an apply that was undone does not say of the fabric that it is of that file" {
	put_topology
	lab apply "$topology"
	find_cookie
	cp "$topology" "$work/other.yaml"
	sed -i "s/^links:/  new-$suffix: {sysctl: {net.ipv4.nosuch: 1}}\nlinks:/" "$work/other.yaml"
	run -2 lab apply "$work/other.yaml"
	[[ $(lab -j show lab | jq -r .file) == "$topology" ]]
	rm "$topology"
	run -0 lab down "$topology"
	assert_as_before
}

@test "a namespace of another host namespace, under a name that was ours: show has nothing of it" {
	other=nsr-other-$suffix
	up
	ip netns del "$red"
	new_namespace "$other"
	cat >"$work/other.yaml" <<-END
		version: 1
		name: other
		networks: {o-net-0: {subnets: [192.168.77.0/24]}}
		namespaces:
		  $red: {interfaces: {eth0: {network: o-net-0, addresses: [192.168.77.11/24]}}}
	END
	"$NSROUTE" --netns "$other" apply "$work/other.yaml"
	run -0 lab -j show lab
	[[ $(jq -c --arg name "$red" '.namespaces[] | select(.name == $name) | [.state, .interfaces, .routes]' \
		<<<"$output") == '["missing",[],[]]' ]]
	[[ $output != *192.168.77.* && $(jq -r .state <<<"$output") == incomplete ]]
	run -0 "$NSROUTE" --netns "$other" -j show other
	[[ $(jq -r '.namespaces[].interfaces[].addresses[0]' <<<"$output") == 192.168.77.11/24 ]]
	lab down --all
	"$NSROUTE" --netns "$other" down --all
	other=
}
