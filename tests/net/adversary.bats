#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A namespace that forges: forge.pl puts frames on its interface that no honest one sends. Each is
# dropped for its reason, nobody else's counter moves, nobody receives one, and neither the host nor
# a neighbour believes a word of it; with the fast path and with "datapath: kernel". Isolation of
# networks is here as well.

# shellcheck disable=SC2030,SC2031,SC2154 # run sets output; fabric.bash the names
load fabric

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
	stop_captures
	clean_up
}

# v-net-0 is isolated; 10.88.0.0/16, which nsroute does not know of, is behind green by the host.
isolated_up() { # DATAPATH
	put_topology "$1"
	sed -i 's/^  v-net-0: {/&isolate: true, /' "$topology"
	lab apply "$topology"
	find_cookie
	ip -n "$host" route replace 10.88.0.0/16 via 192.168.16.11
	ip -n "$green" address replace 10.88.0.1/16 dev lo
	# The host goes along with what it is asked, so that what stops it is us.
	on "$host" sysctl -qw net.ipv4.conf.all.accept_source_route=1 \
		net.ipv4.conf.v-net-0.accept_source_route=1
	settle
	# They would believe it, and make entries of what nobody has asked for.
	for namespace in "$blue" "$host"; do
		on "$namespace" sysctl -qw net.ipv4.conf.all.arp_accept=1 \
			net.ipv6.conf.all.accept_untracked_na=1 2>/dev/null || true
	done
	on "$blue" sysctl -qw net.ipv6.conf.eth0.accept_ra=2 net.ipv6.conf.eth0.accept_redirects=1
	# Else what is dropped is the question for a MAC.
	pings "$red" 192.168.15.12
	pings "$red" fd00:15::12
}

in_both_modes() { # FUNCTION
	for mode in auto kernel; do
		echo "== datapath: $mode"
		isolated_up "$mode"
		"$1"
	done
}

# ---- Captures

# Frames that bear forge.pl's mark, of those that arrived there.
marked_at() { # NAMESPACE
	grep -a -o nsr-forged "$work/at-$1" | wc -l
}

# ---- What is believed

# Prints what somebody has come to believe: another's address at red's MAC, anything at the
# stranger's, a route that red told.
believed() {
	local name red_mac
	red_mac=$(mac_of "$red" eth0)
	for name in "$host" "$blue" "$green" "$outside"; do
		ip -n "$name" neighbour | grep -iE "02:00:00:00:00:99|$red_mac" |
			grep -vE "^(192\.168\.15\.11|fd00:15::11|$(local_of "$red_mac")) .*$red_mac"
		ip -n "$name" -6 route show table all proto ra
		ip -n "$name" -6 route show table all proto redirect
	done
	ip -n "$blue" neighbour show 192.168.15.1 | grep -v "$(mac_of "$host" v-net-0)"
	return 0
}

# The link-local address of a MAC, RFC 4291 appendix A.
local_of() { # MAC
	local bytes
	IFS=: read -ra bytes <<<"$1"
	printf 'fe80::%x:%xff:fe%s:%x\n' "$(((0x${bytes[0]} ^ 2) << 8 | 0x${bytes[1]}))" \
		"0x${bytes[2]}" "${bytes[3]}" "0x${bytes[4]}${bytes[5]}"
}

# Of all namespaces together.
all_counts() {
	stats '[.namespaces[].interfaces[] | select(.port)] | {
		fast: ([.[].fast_packets] | add), slow: ([.[].slow_packets] | add),
		tx: ([.[].tx_packets] | add),
		drops: ([.[].drops | to_entries[]] | group_by(.key) |
			map({key: .[0].key, value: (map(.value) | add)}) | from_entries)}'
}

# Sends a group, and expects that each frame is counted as a drop of its reason, once, and that no
# other drop is. What the namespaces' kernels say by themselves meanwhile is forwarded.
refused() { # GROUP
	local reason=${1%%:*}
	all_counts >"$work/counts-before"
	forge "$1"
	all_counts >"$work/counts-after"
	echo "$1: $sent frames; before and after:"
	jq -c . "$work/counts-before" "$work/counts-after"
	jq -en --arg reason "$reason" --argjson sent "$sent" \
		--slurpfile b "$work/counts-before" --slurpfile a "$work/counts-after" '
		$b[0] as $b | $a[0] as $a |
		$a.drops == ($b.drops | .[$reason] += $sent) and
		$a.tx - $b.tx == $sent + $a.slow - $b.slow + $a.fast - $b.fast'
}

forgeries() {
	capture_in "$blue" "$green" "$outside"
	for group in "${groups[@]}"; do
		refused "$group"
	done
	stop_captures
	for name in "$blue" "$green" "$outside"; do
		[[ $(marked_at "$name") == 0 ]]
	done
	[[ -z $(believed) ]]
	pings "$red" 192.168.15.12
	pings "$red" fd00:15::12
	pings "$red" 192.168.15.1
	pings "$red" "$outside_address"
}

@test "forged MACs" {
	groups=(spoofed-mac)
	in_both_modes forgeries
}

@test "forged addresses" {
	groups=(spoofed-address:ipv4 spoofed-address:ipv6 spoofed-address:arp)
	in_both_modes forgeries
}

@test "neighbour discovery in the name of others and of routers" {
	groups=(spoofed-neighbour)
	in_both_modes forgeries
}

@test "VLAN tags" {
	groups=(vlan-tag)
	in_both_modes forgeries
}

@test "headers that are cut off, wrong or too many" {
	groups=(malformed)
	in_both_modes forgeries
}

@test "to a namespace of another network, in whatever way" {
	groups=(isolated)
	in_both_modes forgeries
}

# What only the kernel knows how to deliver: a source route, a route of somebody else's. It is
# refused where it is delivered, or the kernel does.
by_the_kernel() {
	local before
	capture_in "$green" "$outside"
	before=$(dropped "$green" isolated)
	forge slow
	for ((i = 0; i < 100; i++)); do
		(($(dropped "$green" isolated) < before + 3)) || break
		sleep 0.02
	done
	stop_captures
	[[ $(marked_at "$green") == 0 ]]
	[[ $(marked_at "$outside") == 0 ]]
	# The three to 10.88.0.1 at least; a kernel that takes source routes refuses none of the others.
	(($(dropped "$green" isolated) >= before + 3))
	[[ $(counter "$green" .rx_dropped) == $(dropped "$green" isolated) ]]
	[[ -z $(believed) ]]
	assert_counts_equal
}

@test "around the ingress hook: source routes, and routes that nsroute does not know" {
	in_both_modes by_the_kernel
}

# That the above can fail: with nothing to stop them the same frames arrive.
@test "without spoof check and isolation the same frames do arrive" {
	isolated_up auto
	sed -i 's/isolate: true, //; s/\(192.168.15.11.24.*\)\]}/\1], spoof_check: off}/' "$topology"
	grep -q 'spoof_check: off' "$topology"
	lab apply "$topology"
	for group in spoofed-mac spoofed-address:ipv4 spoofed-address:ipv6 spoofed-address:arp \
		spoofed-neighbour; do
		capture_in "$blue"
		forge "$group"
		stop_captures
		echo "$group: $sent sent, $(marked_at "$blue") arrived"
		(($(marked_at "$blue") > 0))
	done
	for group in isolated slow; do
		capture_in "$green"
		forge "$group"
		stop_captures
		echo "$group: $sent sent, $(marked_at "$green") arrived"
		(($(marked_at "$green") > 0))
	done
	[[ -n $(believed) ]]
}

# ---- Isolation

isolation() {
	for way in "$red 192.168.16.11" "$blue fd00:16::11" "$green 192.168.15.11" "$green fd00:15::12"; do
		read -r name address <<<"$way"
		before=$(dropped "$name" isolated)
		run -1 on "$name" ping -n -q -c 3 -i 0.05 -W 0.3 "$address"
		(($(dropped "$name" isolated) == before + 3))
	done
	# Its own network, the host and the outside are what they were.
	pings "$red" 192.168.15.12
	pings "$red" fd00:15::12
	pings "$red" 192.168.15.1
	pings "$red" 192.168.16.1
	pings "$host" 192.168.15.11
	pings "$host" fd00:15::11
	pings "$red" "$outside_address"
	pings "$green" "$outside_address"
	exchange tcp "$red" "$outside" "$outside_address"
	[[ $caller == "$uplink_address" ]]
}

@test "an isolated network: nothing to and from others; itself, the host and the outside as before" {
	in_both_modes isolation
	sed -i 's/isolate: true, //' "$topology"
	run -3 lab plan "$topology"
	lab apply "$topology"
	pings "$red" 192.168.16.11
	pings "$green" fd00:15::12
}

@test "isolation between two fabrics of one host, and of routed networks" {
	put_topology
	lab apply "$topology"
	find_cookie
	white=white-$suffix
	for type in bridge routed; do
		cat >"$work/other.yaml" <<-END
			version: 1
			name: other
			networks:
			  v-other: {type: $type, subnets: [192.168.20.0/24, "fd00:20::/64"], isolate: true}
			namespaces:
			  $white: {interfaces: {eth0: {network: v-other, addresses: [192.168.20.2/24, "fd00:20::2/64"]}}}
		END
		lab apply "$work/other.yaml"
		for mode in auto kernel; do
			put_topology "$mode"
			lab apply "$topology"
			settle
			for way in "$red 192.168.20.2" "$red fd00:20::2" "$white 192.168.15.11" "$white fd00:16::11"; do
				read -r name address <<<"$way"
				run -1 on "$name" ping -n -q -c 2 -i 0.05 -W 0.3 "$address"
				[[ $output == *"100% packet loss"* ]]
			done
			pings "$white" 192.168.20.1
			pings "$white" fd00:20::1
		done
	done
	[[ $(lab -j stats other | jq '.drops.isolated') -ge 8 ]]
	[[ $(lab -j stats lab | jq '.drops.isolated') -ge 8 ]]
	lab down other
}

# A link is a passage that its owner laid: what comes by it is from no network.
@test "a link to the host leads into an isolated network" {
	white=white-$suffix grey=grey-$suffix
	for mode in auto kernel; do
		cat >"$topology" <<-END
			version: 1
			name: lab
			defaults: {datapath: $mode}
			networks:
			  v-lab: {subnets: [192.168.15.0/24], isolate: true}
			namespaces:
			  $white: {}
			  $grey: {interfaces: {eth0: {network: v-lab, addresses: [192.168.15.2/24]}}}
			links:
			  - {endpoints: ["$white:p0", "host:to-white"], addresses: [10.77.0.1/30, 10.77.0.2/30]}
		END
		lab apply "$topology"
		find_cookie
		on "$host" sysctl -qw net.ipv4.conf.to-white.forwarding=1
		ip -n "$white" route replace 192.168.15.0/24 via 10.77.0.2
		pings "$white" 192.168.15.2
	done
}
