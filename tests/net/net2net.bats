#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A network that is masqueraded to another one: what the namespaces there see, and what they reach.
# red (v-net-0) and white (v-net-2, no bridge) are behind v-net-1, where green is, and which is itself
# masqueraded to eth0; grey is on v-net-3, which is masqueraded to nothing.

# shellcheck disable=SC2154 # bats sets output; fabric.bash the names
load fabric

setup_file() {
	new_suffix
	new_host 0
	net2net_up
}

teardown_file() {
	[[ -z ${file_suffix-} ]] || name_host 0
	clean_up || return
	assert_nothing_left
}

# The first test begins with IPv4, whose addresses do not wait.
setup() {
	name_host 0
	name_namespaces
	[[ $BATS_TEST_DESCRIPTION == "what is sent there"* ]] || settle_once
}

settle_once() {
	[[ -e $BATS_FILE_TMPDIR/settled ]] || settle
	: >"$BATS_FILE_TMPDIR/settled"
}

green_address=192.168.16.11 as_address=192.168.16.1
green_address6=fd00:16::11 as_address6=fd00:16::1

put_behind() { # [DATAPATH]
	put_networks "$@"
	sed -i -E '/^  v-net-[02]:/s/masquerade: eth0/masquerade: v-net-1/' "$topology"
}

# One fabric for all tests, which each test leaves as it was.
net2net_up() {
	work=$BATS_FILE_TMPDIR put_behind
	lab apply "$topology"
	find_cookie
}

# Three packets, as close as they may be.
calls() { # NAMESPACE ADDRESS [OPTION...]
	pings "$1" "$2" -i 0.01 "${@:3}"
}

# By two packets to each.
unanswered() { # NAMESPACE ADDRESS...
	local one status all=()
	for one in "${@:2}"; do
		ip netns exec "$1" ping -n -q -c 2 -i 0.05 -W 0.2 "$one" 3>&- &
		all+=("$!")
	done
	for one in "${all[@]}"; do
		status=0
		wait "$one" || status=$?
		((status == 1)) || return 1
	done
}

# Everything that arrives at green is from its own network, or from outside.
assert_hidden() {
	stop_captures
	run -0 captured "src net 192.168.15.0/24 or src net 192.168.17.0/24 or \
		src net fd00:15::/64 or src net fd00:17::/64" "$green"
	[[ -z $output ]]
}

refused() { # REASON: at ports and uplinks
	lab -j stats | jq --arg reason "$1" '([.namespaces[].interfaces[].drops[$reason] // 0] | add) +
		([.uplinks[].drops[$reason] // 0] | add)'
}

call_green() { # NAMESPACE...
	local name protocol
	for name in "$@"; do
		calls "$name" "$green_address"
		calls "$name" "$green_address" -s 4000
		for protocol in tcp udp; do
			exchange "$protocol" "$name" "$green" "$green_address"
			[[ $caller == "$as_address" ]]
		done
	done
	settle_once
	for name in "$@"; do
		calls "$name" "$green_address6"
		for protocol in tcp udp; do
			exchange "$protocol" "$name" "$green" "$green_address6"
			[[ $caller == "$as_address6" ]]
		done
	done
}

@test "what is sent there arrives from the gateway, and answers come back" {
	capture_in "$green"
	call_green "$red" "$white"
	bulk "$red" "$green" "$green_address" -n 4M
	(($(counter "$red" .fast_packets) > 0))
	assert_hidden
	run -0 captured "src host $as_address and icmp" "$green"
	((${#lines[@]} > 6))
	run -0 lab -j nat list --uplink v-net-1 --namespace "$white"
	[[ $(jq -r .external <<<"$output" | sort -u) == "$as_address"* ]]
	run -0 lab plan "$topology"
}

@test "the same with the kernel's forwarding" {
	put_behind kernel
	lab apply "$topology"
	capture_in "$green"
	calls "$red" "$green_address" -s 4000
	exchange tcp "$red" "$green" "$green_address"
	[[ $caller == "$as_address" ]]
	exchange udp "$red" "$green" "$green_address6"
	[[ $caller == "$as_address6" ]]
	unanswered "$green" 192.168.15.11
	assert_hidden
	put_behind
	lab apply "$topology"
}

@test "the masquerade is taken off and put on again on a live fabric" {
	sed -i '/^  v-net-0:/s/, masquerade: v-net-1//' "$topology"
	lab apply "$topology"
	exchange tcp "$red" "$green" "$green_address"
	[[ $caller == 192.168.15.11 ]]
	calls "$green" 192.168.15.11
	exchange tcp "$white" "$green" "$green_address"
	[[ $caller == "$as_address" ]]

	put_behind
	sed -i 's/^\(  v-net-1: {.*\), masquerade: eth0}/\1, gateway: [192.168.16.7, "fd00:16::7"]}/' "$topology"
	lab apply "$topology"
	capture_in "$green"
	exchange tcp "$red" "$green" "$green_address"
	[[ $caller == 192.168.16.7 ]]
	exchange udp "$white" "$green" "$green_address6"
	[[ $caller == fd00:16::7 ]]
	assert_hidden

	put_behind
	lab apply "$topology"
	run -0 lab plan "$topology"
	exchange udp "$red" "$green" "$green_address"
	[[ $caller == "$as_address" ]]
}

@test "a port that is published behind is reached from there, and by nobody else" {
	sed -i "s/^  $red:/&\n    publish: [\"8080:8080\/tcp\"]/" "$topology"
	lab apply "$topology"
	exchange tcp "$green" "$red" "$as_address"
	[[ $caller == "$green_address" ]]
	run -0 lab trace --from "$green" --to "$as_address:8080"
	[[ ${lines[-1]} == "delivered to $red eth0 by the fast path" ]]
	run -0 lab trace --from "$blue" --to "$as_address:8080" # a hairpin
	[[ $output == *"would open one as $as_address:40000"*"delivered to $red eth0 by the fast path" ]]
	run ! on "$outside" nc -n -z -w 1 "$uplink_address" 8080
	put_behind
	lab apply "$topology"
	run ! on "$green" nc -n -z -w 1 "$as_address" 8080
}

@test "nobody there reaches what is behind, by whichever way" {
	capture_in "$red" "$white"
	local before i name refused=0
	before=$(refused inbound-refused)
	unanswered "$green" 192.168.15.11 192.168.17.11 fd00:15::11 fd00:17::11
	((refused += 8))
	run ! on "$green" ping -n -q -c 2 -i 0.05 -W 0.2 -R 192.168.15.11 # by the kernel
	((refused += 2))
	(($(refused inbound-refused) >= before + refused))
	run ! on "$green" nc -n -z -w 5 "$as_address" 8080 # the host's own: it answers
	stop_captures
	for name in "$red" "$white"; do
		run -0 captured "ip and not src net 192.168.15.1/32 or ip6 and src net fd00:16::/64" "$name"
		[[ -z $output ]]
	done

	# An answer passes, a packet from another port does not.
	exchange udp "$red" "$green" "$green_address"
	before=$(lab -j nat list --namespace "$red" --protocol udp | jq -s -r 'max_by(.seconds_left).external_port')
	run -0 on "$green" nc -n -u -q 0 -p 999 "$as_address" "$before" <<<x
	for ((i = 0; i < 100 && $(refused nat-filtered) == 0; i++)); do
		sleep 0.05
	done
	(($(refused nat-filtered) > 0))
}

@test "all others reach each other as before" {
	local before name
	for name in "$outside_address" 192.168.18.11 fd00:18::11 192.168.16.1 fd00:16::1; do
		calls "$green" "$name"
	done
	exchange tcp "$green" "$outside" "$outside_address"
	[[ $caller == "$uplink_address" ]]
	exchange tcp "$green" "$grey" 192.168.18.11
	[[ $caller == "$green_address" ]]
	exchange tcp "$grey" "$green" "$green_address"
	[[ $caller == 192.168.18.11 ]]
	calls "$host" "$green_address"
	calls "$red" 192.168.18.11
	calls "$grey" 192.168.15.11
	calls "$grey" fd00:15::11
	calls "$red" 192.168.15.12
	calls "$red" "$as_address"

	# Too old: the host answers green, which is masqueraded elsewhere, and grey, and red.
	for name in "$green" "$grey"; do
		run on "$name" ping -n -c 1 -W 3 -t 1 "$outside_address"
		[[ $output == *"Time to live exceeded"* ]]
	done
	run on "$red" ping -n -c 1 -W 3 -t 1 "$green_address"
	[[ $output == *"Time to live exceeded"* ]]
	# The kernel's way out of green's network, by options: guarded at eth0, and let through before.
	calls "$grey" "$green_address" -R
	calls "$green" 192.168.18.11 -R
	run on "$green" ping -n -q -c 2 -i 0.05 -W 3 -R "$outside_address"
	[[ $output == *", 0% packet loss"* || $(uplink_dropped ip-options) -gt 0 ]]

	# What is behind leaves by its own uplink only.
	before=$(dropped "$red" wrong-uplink)
	unanswered "$red" "$outside_address"
	(($(dropped "$red" wrong-uplink) == before + 2))
}

@test "it is shown, found right by doctor, and traced" {
	run -0 lab -j show lab networks
	[[ $(jq -r '.networks[] | select(.name == "v-net-0").masquerade[].uplink' <<<"$output" | sort -u) == v-net-1 ]]
	[[ $(jq -r '.uplinks[] | select(.name == "v-net-1").address' <<<"$output") == "$as_address" ]]
	run lab -j doctor lab
	[[ $(jq -r '.findings[] | select(.where | contains("v-net-1")) | .check' <<<"$output") == "" ]]
	run -0 lab -j trace --from "$red" --to "$green_address:80"
	jq -e --arg green "$green" --arg source "$as_address:40000" '.answer == {result: "delivered", path: "slow", reason: null,
		namespace: $green, interface: "eth0", source: $source, text: "delivered to \($green) eth0 as \($source) by the kernel"} and
		[.hooks[] | .hook + " " + .verdict] == ["port-in fast", "uplink-out translated", "port-out received"]' <<<"$output"
	run -0 lab trace --from "$white" --to "[$green_address6]:80"
	[[ ${lines[-1]} == "delivered to $green eth0 as [$as_address6]:40000 by the kernel" ]]
	run lab trace --from "$green" --to 192.168.15.11:80
	[[ $output == *"dropped, counted as inbound-refused"* ]]
}
