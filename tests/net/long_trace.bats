#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# "nsroute trace" says of random packets what then happens to them: each is asked about, then sent
# for real as a frame that forge.pl builds, and the counters that moved are those that were named.
# NSROUTE_SEED chooses the packets; a failure shows it.

# shellcheck disable=SC2030,SC2031,SC2154 # run sets output; fabric.bash the names
load fabric

packets=${NSROUTE_PACKETS:-200}

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	unwatched "one network is not masqueraded, and random packets have any checksum; what leaves is compared"
}

teardown() {
	clean_up
}

# red and blue on a bridge, back on a network that is masqueraded to it, lone on an isolated one, wire
# on a routed network; green on a bridge of another fabric, with a smaller MTU. Two have published.
put_all() { # DATAPATH
	red=red-$suffix blue=blue-$suffix green=green-$suffix lone=lone-$suffix wire=wire-$suffix
	back=back-$suffix
	cat >"$topology" <<-END
		version: 1
		name: lab
		defaults: {datapath: $1}
		networks:
		  v-net-0: {subnets: [192.168.15.0/24, "fd00:15::/64"], masquerade: eth0}
		  v-net-2: {subnets: [192.168.17.0/24, "fd00:17::/64"], isolate: true}
		  v-net-3: {type: routed, subnets: [192.168.18.0/24, "fd00:18::/64"], masquerade: eth0}
		  v-net-4: {subnets: [192.168.19.0/24, "fd00:19::/64"], masquerade: v-net-0}
		namespaces:
		  $red:
		    interfaces: {eth0: {network: v-net-0, addresses: [192.168.15.11/24, "fd00:15::11/64"]}}
		    publish: ["8:8/udp", "8:8/tcp"]
		  $back:
		    interfaces: {eth0: {network: v-net-4, addresses: [192.168.19.11/24, "fd00:19::11/64"]}}
		    publish: ["9:9/udp", "9:9/tcp"]
		  $blue: {interfaces: {eth0: {network: v-net-0, addresses: [192.168.15.12/24, "fd00:15::12/64"]}}}
		  $lone: {interfaces: {eth0: {network: v-net-2, addresses: [192.168.17.11/24, "fd00:17::11/64"]}}}
		  $wire: {interfaces: {eth0: {network: v-net-3, addresses: [192.168.18.11/24, "fd00:18::11/64"]}}}
	END
	lab apply "$topology"
	cat >"$work/small-$suffix.yaml" <<-END
		version: 1
		name: small
		defaults: {datapath: $1, mtu: 1300}
		networks:
		  v-net-1: {subnets: [192.168.16.0/24, "fd00:16::/64"], masquerade: eth0}
		namespaces:
		  $green: {interfaces: {eth0: {network: v-net-1, addresses: [192.168.16.11/24, "fd00:16::11/64"]}}}
	END
	lab apply "$work/small-$suffix.yaml"
	find_cookie
	settle
	senders=("$red" "$green" "$lone" "$wire" "$back")
	own4=(192.168.15.11 192.168.16.11 192.168.17.11 192.168.18.11 192.168.19.11)
	own6=(fd00:15::11 fd00:16::11 fd00:17::11 fd00:18::11 fd00:19::11)
	# No packet waits for a MAC, nor counts with one that asks for it.
	local mac
	mac=$(on "$outside" cat /sys/class/net/eth0/address)
	ip -n "$host" neighbour replace "$outside_address" lladdr "$mac" dev eth0 nud permanent
	ip -n "$host" neighbour replace "$outside_address6" lladdr "$mac" dev eth0 nud permanent
}

any() { # WORD...: one of them, in $chosen
	shift $((RANDOM % $#))
	chosen=$1
}

# Sets namespace, source, dest, protocol, sport, dport, ttl, size and words, which are trace's.
choose() {
	local i=$((RANDOM % ${#senders[@]})) ipv6=$((RANDOM % 3 == 0)) foreign=$((RANDOM % 6 == 0)) other
	namespace=${senders[i]}
	other=$(((i + 1 + RANDOM % 4) % 5))
	if ((ipv6)); then
		source=${own6[foreign ? other : i]}
		any "${own6[other]}" "${own6[other]}" "${own6[other]}" fd00:15::12 fd00:15::1 fd00:18::1 \
			"$outside_address6" 2001:db8:99::9 "$uplink_address6" "$uplink_address6" ff02::1
	else
		source=${own4[foreign ? other : i]}
		any "${own4[other]}" "${own4[other]}" "${own4[other]}" "${own4[other]}" 192.168.15.12 192.168.16.1 \
			192.168.15.1 192.168.18.1 "$outside_address" "$outside_address" "$outside_address" \
			198.51.100.7 "$uplink_address" "$uplink_address" 224.0.0.77
	fi
	dest=$chosen
	any tcp udp icmp
	protocol=$chosen sport=$((20000 + RANDOM % 5)) dport=$((7 + RANDOM % 3))
	any 64 64 64 1 2 255
	ttl=$chosen
	any 84 100 1280 1300 1301 1400 1500
	size=$chosen
	words=(--from "$namespace" --proto "$protocol" --ttl "$ttl" --size "$size" --interface eth0)
	if [[ $protocol == icmp ]]; then
		words+=(--to "$dest")
	elif ((ipv6)); then
		words+=(--to "[$dest]:$dport")
	else
		words+=(--to "$dest:$dport")
	fi
	if ((ipv6)); then
		words+=(--source "[$source]:$sport")
	else
		words+=(--source "$source:$sport")
	fi
}

# A line a counter: "red eth0 fast 7", "eth0 translated 3", and "in-translated" of what comes in.
counters() {
	stats '.fabrics[] | (.namespaces[] | .name as $name | .interfaces[] | select(.port) | "\($name) \(.name)" as $at |
		"\($at) fast \(.fast_packets)", "\($at) slow \(.slow_packets)", "\($at) received \(.rx_packets)",
		"\($at) sent \(.tx_packets)", (.drops | to_entries[] | "\($at) dropped-\(.key) \(.value)")),
		(.uplinks[] | .name as $at | "\($at) translated \(.tx_translated)", "\($at) passed \(.tx_passed)",
		"\($at) in-translated \(.rx_translated)", "\($at) in-passed \(.rx_passed)",
		(.drops | to_entries[] | "\($at) dropped-\(.key) \(.value)"))' | sort -u
}

# How far a counter has moved since $work/before.
moved() { # COUNTER
	join -t '|' <(sed 's/ \([0-9]*\)$/|\1/' "$work/before") <(counters | sed 's/ \([0-9]*\)$/|\1/') |
		awk -F '|' -v "wanted=$1" '$1 == wanted { print $3 - $2 }'
}

# What trace named has moved, each by one at least; the sender's own exactly so.
moves_as_told() {
	local counter i
	while read -r counter; do
		for ((i = 0; i < 100; i++)); do
			[[ $(moved "$counter") == 0 ]] || break
			sleep 0.02
		done
		((i < 100)) || { echo "did not move: $counter"; return 1; }
	done <"$work/told"
}

# 0: as told; 1: not; 2: another packet of the sender came between, so that nobody can say.
compare() {
	local mac status=0
	counters >"$work/before"
	lab -j trace "${words[@]}" >"$work/trace"
	jq -r '(.hooks[] | "\(.interface) \(if .hook == "uplink-in" and .reason == null then "in-" else "" end)\(
		.verdict)\(if .reason then "-" + .reason else "" end)"),
		(.answer | select(.result == "delivered") | "\(.namespace) \(.interface) received")' "$work/trace" |
		sort -u >"$work/told"
	[[ -s $work/told ]] || return 0 # it does not leave the namespace
	mac=$(jq -r .packet.destination_mac "$work/trace")
	on "$namespace" perl tests/net/forge.pl packet interface=eth0 "own=$(on "$namespace" cat /sys/class/net/eth0/address)" \
		"to=$mac" "source=$source" "dest=$dest" "protocol=$protocol" "sport=$sport" "dport=$dport" \
		"ttl=$ttl" "size=$size" >"$work/sent"
	moves_as_told >"$work/wrong" || status=1
	# What comes back to its sender (a hairpin to one's own port) may be answered by it at once.
	[[ $(moved "$namespace eth0 sent") == 1 ]] ||
		jq -e --arg from "$namespace" '.answer | .result == "delivered" and .namespace == $from' "$work/trace" >"$work/own" ||
		status=2
	sent=$((sent + 1))
	return $status
}

agree() { # DATAPATH
	local i try status seed=${NSROUTE_SEED:-$((RANDOM * 32768 + RANDOM))}
	sent=0
	put_all "$1"
	RANDOM=$seed
	echo "NSROUTE_SEED=$seed"
	for ((i = 0; i < packets; i++)); do
		choose
		for ((try = 0; try < 20; try++)); do
			status=0
			compare || status=$?
			((status == 2)) || break
		done
		((status == 0)) || {
			echo "packet $i: trace ${words[*]}"
			cat "$work/wrong" "$work/trace"
			diff "$work/before" <(counters)
			return 1
		}
		jq -r '.answer | "\(.result) \(.path) \(.reason)"' "$work/trace" >>"$work/answers"
	done
	sort "$work/answers" | uniq -c
	((sent > packets / 2))
}

# Of answers that are frequent: one of many packets at least.
went() { # ANSWER...
	local answer
	((packets >= 200)) || return 0
	for answer in "$@"; do
		grep -qx "$answer" "$work/answers"
	done
}

@test "trace agrees with what happens to random packets" {
	agree auto
	went "delivered fast null" "dropped null spoofed-address" "dropped null isolated" "sent fast null" "host slow null"
}

@test "trace agrees with what happens to random packets, forwarded by the kernel" {
	agree kernel
	went "delivered slow null" "dropped null spoofed-address" "dropped null isolated" "sent slow null" "host slow null"
}
