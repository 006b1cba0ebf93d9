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

# ---- Streams

# From red to blue (same network), green (another one) and the outside (masqueraded): TCP for
# $seconds, and a ping each 10 ms, or what the machine makes of that.
targets=(192.168.15.12 192.168.16.11 "$outside_address")
seconds=10

start_streams() {
	local i servers=("$blue" "$green" "$outside")
	jobs=()
	for i in 0 1 2; do
		ip netns exec "${servers[i]}" timeout 60 iperf3 -s -1 >/dev/null 2>&1 3>&- &
		jobs+=($!)
		await_listener "${servers[i]}" tcp 5201
	done
	for i in 0 1 2; do
		ip netns exec "$red" iperf3 -c "${targets[i]}" -t $seconds -b 20M -C cubic -J \
			>"$work/stream.$i" 2>&1 3>&- &
		jobs+=($!)
		ip netns exec "$red" ping -n -q -i 0.01 -c $((seconds * 65)) -W 3 "${targets[i]}" \
			>"$work/ping.$i" 2>&1 3>&- &
		jobs+=($!)
	done
	started=$SECONDS
}

# A stream that was cut ends with an error; one that stalled has retransmissions and no bits.
end_streams() { # [RETRANSMISSIONS-ALLOWED LOST-PINGS-ALLOWED]
	local i job lost
	for job in "${jobs[@]}"; do
		wait "$job" || { cat "$work"/stream.? "$work"/ping.? && return 1; }
	done
	for i in 0 1 2; do
		echo "to ${targets[i]}: $(jq -c '.end.sum_sent | [.retransmits, .bits_per_second]' \
			"$work/stream.$i"), $(grep loss "$work/ping.$i")"
		jq -e --argjson allowed "${1:-20}" '.error == null and
			.end.sum_sent.retransmits <= $allowed and
			.end.sum_received.bits_per_second > 1e7' "$work/stream.$i" >/dev/null
		lost=$(awk '/packets transmitted/ { print $1 - $4 }' "$work/ping.$i")
		((lost <= ${2:-0}))
	done
}

streams_run() {
	local job
	for job in "${jobs[@]}"; do
		kill -0 "$job"
	done
}

# The operations of the plan, without what differs from run to run.
operations() {
	lab -j plan "$topology" >"$work/json" || [[ $? == 3 ]]
	jq -r '.operations[].text' "$work/json" | sed -E "s/-$suffix//g;
		s/([0-9a-f]{2}:){5}[0-9a-f]{2}/MAC/g; s/\b([a-z]+)-[0-9a-f-]+-[0-9a-f]{6}\b/\1.host/g"
}

# What plan has to do is what standard input says; the kernel lists neighbours in no order. Apply does it while the streams run; they are
# renewed when they might end meanwhile.
assert_edit() {
	sort >"$work/expected"
	if ((SECONDS - started > seconds - 5)); then
		end_streams
		start_streams
	fi
	streams_run
	operations | sort | diff "$work/expected" -
	lab apply "$topology"
	streams_run
	run -0 lab plan "$topology"
}

# A namespace that carries none of the streams.
put_olive() { # BODY
	edit "/^  olive-/d"
	edit "/^  $far:/i\  olive-$suffix: {$1}"
}

@test "a namespace, its interfaces, addresses and routes: only the differences, the rest flows on" {
	up
	start_streams
	eth0="eth0: {network: v-net-0, addresses: [192.168.15.40/24]}"
	eth1="eth1: {network: v-net-1, addresses: [192.168.16.40/24]}"
	put_olive "interfaces: {$eth0}"
	assert_edit <<-END
		+ namespace olive
		~ interface lo in olive: mark as ours, up
		+ veth olive.host to eth0 in olive
		+ port olive.host: policy with spoof check, fast path, masquerade to eth0
		+ host MAC behind olive.host
		+ host 192.168.15.40 behind olive.host
		~ interface olive.host: mark as ours, port of v-net-0, no automatic IPv6 address, up
		+ forwarding entry MAC on olive.host
		+ neighbour 192.168.15.40 at MAC on v-net-0
		+ address 192.168.15.40/24 on eth0 in olive
		~ interface eth0 in olive: mark as ours, up
		+ neighbour 192.168.15.1 at MAC on eth0 in olive
		+ route default via 192.168.15.1 on eth0 in olive
	END
	put_olive "interfaces: {$eth0, $eth1}"
	assert_edit <<-END
		+ veth olive.host to eth1 in olive
		+ port olive.host: policy with spoof check, fast path, masquerade to eth0
		+ host MAC behind olive.host
		+ host 192.168.16.40 behind olive.host
		~ interface olive.host: mark as ours, port of v-net-1, no automatic IPv6 address, up
		+ forwarding entry MAC on olive.host
		+ neighbour 192.168.16.40 at MAC on v-net-1
		+ address 192.168.16.40/24 on eth1 in olive
		~ interface eth1 in olive: mark as ours, up
		+ neighbour 192.168.16.1 at MAC on eth1 in olive
	END
	eth0=${eth0/]/, 192.168.15.41/24]}
	put_olive "interfaces: {$eth0, $eth1}"
	assert_edit <<-END
		~ port olive.host: policy with spoof check, fast path, masquerade to eth0
		+ host 192.168.15.41 behind olive.host
		+ neighbour 192.168.15.41 at MAC on v-net-0
		+ address 192.168.15.41/24 on eth0 in olive
	END
	put_olive "interfaces: {$eth0, $eth1}, routes: [{to: 10.98.0.0/24, via: 192.168.16.41}]"
	assert_edit <<-END
		+ route 10.98.0.0/24 via 192.168.16.41 on eth1 in olive
	END
	eth0=${eth0%\}}", mac: '02:00:00:00:00:40'}"
	put_olive "interfaces: {$eth0, $eth1}"
	assert_edit <<-END
		- forwarding entry MAC on olive.host
		- route 10.98.0.0/24 via 192.168.16.41 on eth1 in olive
		- neighbour 192.168.15.1 at MAC on eth0 in olive
		~ port olive.host: policy with spoof check, fast path, masquerade to eth0
		+ host MAC behind olive.host
		~ host 192.168.15.40 behind olive.host
		~ host 192.168.15.41 behind olive.host
		+ forwarding entry MAC on olive.host
		~ neighbour 192.168.15.40 at MAC on v-net-0
		~ neighbour 192.168.15.41 at MAC on v-net-0
		~ interface eth0 in olive: MAC MAC
		+ neighbour 192.168.15.1 at MAC on eth0 in olive
		- host MAC behind olive.host
	END
	pings "olive-$suffix" 192.168.15.1
	eth0=${eth0%\}}", spoof_check: off}"
	put_olive "interfaces: {$eth0}"
	assert_edit <<-END
		- neighbour 192.168.16.40 at MAC on v-net-1
		~ port olive.host: policy, fast path, masquerade to eth0
		- interface olive.host
		- host 192.168.16.40 behind olive.host
		- host MAC behind olive.host
		- port olive.host
	END
	put_olive "interfaces: {${eth0/15.40/15.42}}"
	assert_edit <<-END
		- neighbour 192.168.15.40 at MAC on v-net-0
		- route default via 192.168.15.1 on eth0 in olive
		- neighbour 192.168.15.1 at MAC on eth0 in olive
		- address 192.168.15.40/24 on eth0 in olive
		~ port olive.host: policy, fast path, masquerade to eth0
		+ host 192.168.15.42 behind olive.host
		+ neighbour 192.168.15.42 at MAC on v-net-0
		+ address 192.168.15.42/24 on eth0 in olive
		~ address 192.168.15.41/24 on eth0 in olive
		+ neighbour 192.168.15.1 at MAC on eth0 in olive
		+ route default via 192.168.15.1 on eth0 in olive
		- host 192.168.15.40 behind olive.host
	END
	pings "olive-$suffix" 192.168.16.11
	edit "s/^  olive-/  amber-/"
	assert_edit <<-END
		+ namespace amber
		~ interface lo in amber: mark as ours, up
		+ veth amber.host to eth0 in amber
		+ port amber.host: policy, fast path, masquerade to eth0
		~ host MAC behind amber.host
		~ host 192.168.15.42 behind amber.host
		~ host 192.168.15.41 behind amber.host
		~ interface amber.host: mark as ours, port of v-net-0, no automatic IPv6 address, up
		+ forwarding entry MAC on amber.host
		+ address 192.168.15.42/24 on eth0 in amber
		+ address 192.168.15.41/24 on eth0 in amber
		~ interface eth0 in amber: mark as ours, up
		+ neighbour 192.168.15.1 at MAC on eth0 in amber
		+ route default via 192.168.15.1 on eth0 in amber
		- interface olive.host
		- namespace olive
		- port olive.host
	END
	pings "amber-$suffix" 192.168.16.11
	edit "/^  amber-/d"
	assert_edit <<-END
		- neighbour 192.168.15.42 at MAC on v-net-0
		- neighbour 192.168.15.41 at MAC on v-net-0
		- interface amber.host
		- namespace amber
		- host 192.168.15.42 behind amber.host
		- host 192.168.15.41 behind amber.host
		- host MAC behind amber.host
		- port amber.host
	END
	end_streams
	lab down lab
	assert_as_before
}

# A bridge that plays another uplink: what is sent there goes nowhere.
new_uplink() { # NAME ADDRESS
	ip -n "$host" link add "$1" up type bridge
	ip -n "$host" address add "$2/24" dev "$1"
}

@test "a network, its masquerade, a link: only the differences, the rest flows on" {
	new_uplink up1 198.51.100.1
	new_uplink up2 198.51.101.1
	settle
	host_state >"$work/before"
	up
	start_streams
	edit "/^namespaces:/i\  v-net-2: {subnets: [192.168.17.0/24], masquerade: up1}"
	edit "/^  $far:/i\  white-$suffix: {interfaces: {eth0: {network: v-net-2, addresses: [192.168.17.11/24]}}}"
	assert_edit <<-END
		+ uplink up1: masquerade as 198.51.100.1, ports 1024-65535
		+ masquerade 192.168.17.0/24 to up1
		~ sysctl net/ipv4/conf/up1/forwarding = 1 (was 0): replies come in by up1 and are forwarded
		+ network v-net-2: bridge
		+ bridge v-net-2
		+ inner interface v-net-2
		+ address 192.168.17.1/24 on v-net-2
		~ interface v-net-2: mark as ours, up
		~ sysctl net/ipv4/conf/v-net-2/forwarding = 1: the gateway forwards
		+ namespace white
		~ interface lo in white: mark as ours, up
		+ veth white.host to eth0 in white
		+ port white.host: policy with spoof check, fast path, masquerade to up1
		+ host MAC behind white.host
		+ host 192.168.17.11 behind white.host
		~ interface white.host: mark as ours, port of v-net-2, no automatic IPv6 address, up
		+ forwarding entry MAC on white.host
		+ neighbour 192.168.17.11 at MAC on v-net-2
		+ address 192.168.17.11/24 on eth0 in white
		~ interface eth0 in white: mark as ours, up
		+ neighbour 192.168.17.1 at MAC on eth0 in white
		+ route default via 192.168.17.1 on eth0 in white
	END
	edit 's|subnets: .192.168.17.0/24.|&, gateway: [192.168.17.254]|'
	assert_edit <<-END
		- neighbour 192.168.17.11 at MAC on v-net-2
		- address 192.168.17.1/24 on v-net-2
		- route default via 192.168.17.1 on eth0 in white
		- neighbour 192.168.17.1 at MAC on eth0 in white
		+ address 192.168.17.254/24 on v-net-2
		+ neighbour 192.168.17.11 at MAC on v-net-2
		+ neighbour 192.168.17.254 at MAC on eth0 in white
		+ route default via 192.168.17.254 on eth0 in white
	END
	edit 's|192\.168\.17\.|192.168.18.|g'
	assert_edit <<-END
		- neighbour 192.168.17.11 at MAC on v-net-2
		- address 192.168.17.254/24 on v-net-2
		- route default via 192.168.17.254 on eth0 in white
		- neighbour 192.168.17.254 at MAC on eth0 in white
		- address 192.168.17.11/24 on eth0 in white
		+ masquerade 192.168.18.0/24 to up1
		+ address 192.168.18.254/24 on v-net-2
		~ port white.host: policy with spoof check, fast path, masquerade to up1
		+ host 192.168.18.11 behind white.host
		+ neighbour 192.168.18.11 at MAC on v-net-2
		+ address 192.168.18.11/24 on eth0 in white
		+ neighbour 192.168.18.254 at MAC on eth0 in white
		+ route default via 192.168.18.254 on eth0 in white
		- host 192.168.17.11 behind white.host
		- masquerade 192.168.17.0/24 to up1
	END
	pings "white-$suffix" 192.168.15.11
	edit 's|, masquerade: up1||'
	assert_edit <<-END
		~ port white.host: policy with spoof check, fast path
		- masquerade 192.168.18.0/24 to up1
		~ sysctl net/ipv4/conf/up1/forwarding = 0 (is 1): as it was before
		- uplink up1
	END
	edit 's|gateway: .192.168.18.254.|&, masquerade: {uplink: up1, ports: 2000-3000}|'
	assert_edit <<-END
		+ uplink up1: masquerade as 198.51.100.1, ports 2000-3000
		+ masquerade 192.168.18.0/24 to up1
		~ sysctl net/ipv4/conf/up1/forwarding = 1 (was 0): replies come in by up1 and are forwarded
		~ port white.host: policy with spoof check, fast path, masquerade to up1
	END
	edit 's|2000-3000|4000-5000|'
	assert_edit <<-END
		~ uplink up1: masquerade as 198.51.100.1, ports 4000-5000
	END
	edit 's|uplink: up1|uplink: up2|'
	assert_edit <<-END
		+ uplink up2: masquerade as 198.51.101.1, ports 4000-5000
		~ masquerade 192.168.18.0/24 to up2
		~ sysctl net/ipv4/conf/up2/forwarding = 1 (was 0): replies come in by up2 and are forwarded
		~ port white.host: policy with spoof check, fast path, masquerade to up2
		~ sysctl net/ipv4/conf/up1/forwarding = 0 (is 1): as it was before
		- uplink up1
	END
	edit 's|10.99.0.2/24.$|10.99.0.3/24]|'
	assert_edit <<-END
		- route default via 10.99.0.1 on p0 in far
		- address 10.99.0.2/24 on p0 in far
		+ address 10.99.0.3/24 on p0 in far
		+ route default via 10.99.0.1 on p0 in far
	END
	pings "$far" 10.99.0.1
	edit "s|$far:p0|$far:q0|"
	assert_edit <<-END
		- interface p0 in blue: is not what we made any more
		+ veth p0 in blue to q0 in far
		+ address 10.99.0.1/24 on p0 in blue
		~ interface p0 in blue: mark as ours, up
		+ address 10.99.0.3/24 on q0 in far
		~ interface q0 in far: mark as ours, up
		+ route default via 10.99.0.1 on q0 in far
		- interface p0 in far
	END
	pings "$far" 10.99.0.1
	edit '/^  v-net-2:/d; /^  white-/d'
	assert_edit <<-END
		- interface v-net-2
		- interface white.host
		- namespace white
		- host 192.168.18.11 behind white.host
		- host MAC behind white.host
		- port white.host
		- inner interface v-net-2
		- record of network v-net-2
		- masquerade 192.168.18.0/24 to up2
		~ sysctl net/ipv4/conf/up2/forwarding = 0 (is 1): as it was before
		- uplink up2
	END
	end_streams
	lab down lab
	assert_as_before
}

@test "edits of the streams' own interfaces: they live on" {
	up
	start_streams
	edit 's|192.168.15.11/24,|192.168.15.11/24, 192.168.15.61/24,|'
	assert_edit <<-END
		~ port red-eth0: policy with spoof check, fast path, masquerade to eth0
		+ host 192.168.15.61 behind red-eth0
		+ neighbour 192.168.15.61 at MAC on v-net-0
		+ address 192.168.15.61/24 on eth0 in red
	END
	edit 's|    routes: \[{to: 10.99|    routes: [{to: 10.97.0.0/24, via: 192.168.15.12}, {to: 10.99|'
	assert_edit <<-END
		~ port blue.host: policy with spoof check, fast path, masquerade to eth0
		+ route 10.97.0.0/24 via 192.168.15.12 on eth0 in red
	END
	edit 's|192.168.15.0/24, |192.168.15.0/24, 192.168.25.0/24, |'
	assert_edit <<-END
		+ masquerade 192.168.25.0/24 to eth0
		+ address 192.168.25.1/24 on v-net-0
	END
	edit -e 's|, 192.168.15.61/24||' -e 's|192.168.25.0/24, ||' -e '/10.97.0.0/d'
	assert_edit <<-END
		- neighbour 192.168.15.61 at MAC on v-net-0
		- address 192.168.25.1/24 on v-net-0
		- route 10.97.0.0/24 via 192.168.15.12 on eth0 in red
		- route 10.99.0.0/24 via 192.168.15.12 on eth0 in red
		- address 192.168.15.61/24 on eth0 in red
		~ port red-eth0: policy with spoof check, fast path, masquerade to eth0
		~ port blue.host: policy with spoof check, fast path, masquerade to eth0
		- host 192.168.15.61 behind red-eth0
		- masquerade 192.168.25.0/24 to eth0
	END
	edit 's|datapath: auto|datapath: kernel|'
	lab apply "$topology"
	streams_run
	edit 's|datapath: kernel|datapath: auto|'
	lab apply "$topology"
	end_streams
	lab down lab
	assert_as_before
}

# Here the kernel itself loses what is larger than the next interface takes.
@test "another MTU of all interfaces, another MAC: streams live on" {
	up
	start_streams
	for mtu in 1400 9000 1500; do
		edit -E "s/defaults: \{(mtu: [0-9]+, )?/defaults: {mtu: $mtu, /"
		operations | grep -vE "^~ (interface .*: MTU $mtu|host .* behind .*)$" | diff - /dev/null
		lab apply "$topology"
		streams_run
		[[ $(on "$blue" cat /sys/class/net/eth0/mtu) == "$mtu" ]]
		sleep 1
	done
	# Neighbours of both sides have to learn a MAC.
	edit 's|192.168.15.11/24, "fd00:15::11/64".|&, mac: "02:00:00:00:00:0b"|'
	lab apply "$topology"
	streams_run
	run -0 lab plan "$topology"
	[[ $(on "$red" cat /sys/class/net/eth0/address) == 02:00:00:00:00:0b ]]
	end_streams 1000 10
	lab down lab
	assert_as_before
}

@test "an edit that fails late is undone, and what flows does not notice" {
	up
	settle
	ip -n "$far" route add 10.98.0.0/24 dev p0
	host_state >"$work/up"
	cp "$topology" "$work/good.yaml"
	start_streams
	put_olive "interfaces: {eth0: {network: v-net-0}}"
	edit -e "s|via: 10.99.0.1}]|via: 10.99.0.1}, {to: 10.98.0.0/24, via: 10.99.0.1}]|" \
		-e 's|192.168.16.11/24|192.168.16.11/24, 192.168.16.12/24|' -e '/10.99.0.0.24, via/d' \
		-e '/^namespaces:/i\  v-net-2: {subnets: [192.168.17.0/24], masquerade: eth0}'
	operations >"$work/plan"
	(($(wc -l <"$work/plan") > 25))
	run -2 --separate-stderr lab apply "$topology"
	[[ $stderr == *"lab-$suffix.yaml:"*"cannot add route 10.98.0.0/24 via 10.99.0.1 on 'p0': File exists"* ]]
	streams_run
	host_state | diff "$work/up" -
	run -0 lab plan "$work/good.yaml"
	ip -n "$far" route del 10.98.0.0/24 dev p0
	end_streams
	lab down lab
	assert_as_before
}

# ---- What the file leaves to nsroute

put_dense() { # NUMBER...: namespaces n1, n2 ... on a network that has 13 addresses
	local i
	{
		printf '%s\n' 'version: 1' 'name: dense' 'networks: {lan: {subnets: [10.20.0.0/28]}}' \
			'namespaces:'
		for i in "$@"; do
			echo "  n$i-$suffix: {interfaces: {eth0: {network: lan}}}"
		done
	} >"$topology"
}

# Of each: name, addresses, MAC, host end and its MAC.
given() { # NUMBER...
	local i
	{
		ip -n "$host" -j link
		for i in "$@"; do
			ip -n "n$i-$suffix" -j address show eth0 | jq --arg name "n$i" '.[0].name = $name'
		done
	} | jq -rs '(.[0] | map({(.ifindex | tostring): .}) | add) as $host | .[1:][][] |
		"\(.name) \([.addr_info[] | select(.family == "inet").local]) \(.address)" +
		" \($host[.link_index | tostring] | "\(.ifname) \(.address)")"'
}

@test "in a full subnet, no namespace more or less moves the address, MAC or host end of another" {
	put_dense 1 2 3 4 5 6 7 8 9 10 11 12
	lab apply "$topology"
	find_cookie
	given 1 2 3 4 5 6 7 8 9 10 11 12 >"$work/given"
	(($(cut -d ' ' -f 2 "$work/given" | sort -u | wc -l) == 12))
	grep -E '^n7 \["10.20.0.[0-9]+"\] [0-9a-f:]{17} n7-.* [0-9a-f:]{17}$' "$work/given"
	for edit in "13 12 11 10 9 8 7 6 5 4 3 2 1" "14 13 1 2 4 5 6 7 8 9 10 11 12"; do
		read -ra numbers <<<"$edit"
		put_dense "${numbers[@]}"
		lab apply "$topology"
		run -0 lab plan "$topology"
		given 1 2 4 5 6 7 8 9 10 11 12 | diff <(sed '/^n3 /d' "$work/given") -
	done
	run -0 lab down dense
	assert_as_before
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
