#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Several external addresses at one uplink: who has which, and that it is the same for all that is
# begun; published ports; and a set that changes while flows go on.

# shellcheck disable=SC2030,SC2031,SC2154 # run sets output; fabric.bash the names
load published

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	for last in 101 102 103; do
		ip -n "$host" address add "${uplink_address%.*}.$last/32" dev eth0
		ip -n "$host" address add "${uplink_address6%:*}:$last/128" dev eth0 nodad
	done
}

teardown() {
	stop_captures
	clean_up
}

# Of both networks of put_topology.
name_externals() { # LAST-BYTE...
	local list=() last
	for last; do
		list+=("${uplink_address%.*}.$last")
	done
	name_addresses "${list[@]}"
}

name_externals6() { # LAST-WORD...
	local list=() last
	for last; do
		list+=("\"${uplink_address6%:*}:$last\"")
	done
	name_addresses "${list[@]}"
}

name_addresses() { # ADDRESS...
	local list
	printf -v list '%s, ' "$@"
	list=${list%, }
	sed -i -E "s/masquerade: [^}]*(\{[^}]*\})?\}/masquerade: {uplink: eth0, addresses: [$list]}}/" "$topology"
}

# What it is seen as: sets seen.
see() { # NAMESPACE tcp|udp|tcp6|udp6 [SOURCE-PORT]
	local port=$((4000 + RANDOM % 1000)) to=$outside_address
	[[ $2 != *6 ]] || to=$outside_address6
	serve "$outside" "$2" "$port"
	calls "$1" "$2" "$to" "$port" "${3:-0}"
	seen=$(last_caller "$port")
	kill "$server"
	seen=${seen% *}
}

@test "each namespace has one of them, for TCP, UDP and ping; all are in use" {
	put_topology
	name_externals 101 102 103
	lab apply "$topology"
	run -0 lab apply "$topology"
	[[ $output == *"nothing to do"* ]]
	start_capture "$outside" eth0
	local name first
	for name in "$red" "$blue" "$green"; do
		see "$name" tcp
		first=$seen
		[[ $first == "${uplink_address%.*}".10[123] ]]
		see "$name" udp
		[[ $seen == "$first" ]]
		pings "$name" "$outside_address"
	done
	stop_capture
	run -0 captured "src net 192.168.0.0/16"
	[[ -z $output ]]
	run -0 lab -j show lab
	[[ $(jq -r '.uplinks[] | select(.name == "eth0").addresses[:3] | join(" ")' <<<"$output") == \
		"${uplink_address%.*}.101 ${uplink_address%.*}.102 ${uplink_address%.*}.103" ]]
	# What is told of a flow that there is not yet is what it gets; and of those that there are.
	run -0 lab trace --from "$green" --to "$outside_address:9" --proto udp
	[[ $output == *"$seen"* ]]
	run -0 lab nat list
	[[ $output == *"$seen:"* ]]
}

@test "the order in the file does not matter; one that is taken out ends the flows of those who had it" {
	put_topology
	name_externals 101 102 103
	lab apply "$topology"
	declare -A had=()
	local name
	for name in "$red" "$blue" "$green"; do
		see "$name" udp 5000
		had[$name]=$seen
	done
	name_externals 103 102 101
	run -0 lab plan "$topology"
	[[ $output == *"nothing to do"* ]]
	serve "$outside" tcp 7000
	hold "$red" "$outside_address" 7000
	# Every address but red's goes, one after the other: its connection goes on.
	local kept=${had[$red]##*.} left=(101 102 103) last
	for last in 101 102 103; do
		[[ $last != "$kept" ]] || continue
		mapfile -t left < <(printf '%s\n' "${left[@]}" | grep -v "^$last$")
		name_externals "${left[@]}"
		run -3 lab plan "$topology"
		lab apply "$topology"
		for name in "$red" "$blue" "$green"; do
			see "$name" udp 5000
			[[ $seen != *".$last" ]]
		done
		still_held "without-$last"
	done
	see "$blue" tcp
	[[ $seen == "${had[$red]}" ]]
}

@test "published: on each of them, or on the one that is named; by hairpin and from the host" {
	put_topology
	name_externals 101 102
	publish "$red" '"8080:8080/tcp"'
	publish "$blue" "\"${uplink_address%.*}.102:9090:8080/tcp\""
	lab apply "$topology"
	find_cookie
	run -0 lab plan "$topology"
	[[ $output == *"nothing to do"* ]]
	local last
	for last in 101 102; do
		exchange tcp "$outside" "$red" "${uplink_address%.*}.$last"
		[[ $caller == "$outside_address" ]]
		exchange tcp "$green" "$red" "${uplink_address%.*}.$last"
		[[ $caller == "${uplink_address%.*}".10[12] ]]
	done
	serve "$blue" tcp 8080
	calls "$outside" tcp "${uplink_address%.*}.102" 9090
	calls "$host" tcp "${uplink_address%.*}.102" 9090
	calls_in_vain "$outside" tcp "${uplink_address%.*}.101" 9090
	publish "$blue"
	lab apply "$topology"
	calls_in_vain "$outside" tcp "${uplink_address%.*}.102" 9090
	exchange tcp "$outside" "$red" "${uplink_address%.*}.102"
	lab down --all
}

@test "one that the host loses: who has it is dropped, the others go on, until it is back" {
	put_topology
	name_externals 101 102 103
	lab apply "$topology"
	find_cookie
	see "$red" udp
	local lost=$seen name
	ip -n "$host" address del "$lost/32" dev eth0
	sleep 1.5
	run ! on "$red" ping -q -c 1 -W 1 "$outside_address"
	for name in "$blue" "$green"; do
		[[ $(uplink_dropped nat-uplink-closed) -gt 0 ]]
	done
	run -3 lab doctor
	[[ $output == *uplink-address* && $output == *$lost* ]] || false
	ip -n "$host" address add "$lost/32" dev eth0
	sleep 1.5
	see "$red" udp
	[[ $seen == "$lost" ]]
}

@test "refused: one that the host has not, and other ones for the same uplink" {
	put_topology
	name_externals 101 109
	run -2 lab apply "$topology"
	[[ $output == *"is no address of the host's"* ]] || false
}

@test "one address at two uplinks, though it is not the first of either: refused" {
	ip link add second netns "$host" type veth peer name second netns "$outside"
	ip -n "$host" link set second up
	ip -n "$host" address add 198.51.100.1/24 dev second
	put_topology
	local addresses=("${uplink_address%.*}.102" "\"${uplink_address6%:*}:102\"") address
	for address in "${addresses[@]}"; do
		name_addresses "${uplink_address%.*}.101" "\"${uplink_address6%:*}:101\"" "$address"
		sed -i "/v-net-1:/s/masquerade: .*/masquerade: {uplink: second, addresses: [198.51.100.1, $address]}}/" "$topology"
		run -2 lab apply "$topology"
		[[ $output == *"network 'v-net-1' masquerades to 'second' as ${address//\"/}, which is the external address at 'eth0' too;"* ]]
		run -1 ip -n "$host" link show v-net-0
	done
}

@test "IPv6: each namespace has one of them, for TCP, UDP and ping; all are in use" {
	put_topology
	name_externals6 101 102 103
	lab apply "$topology"
	run -0 lab apply "$topology"
	[[ $output == *"nothing to do"* ]]
	start_capture "$outside" eth0
	local name first all=()
	for name in "$red" "$blue" "$green"; do
		see "$name" tcp6
		first=$seen
		[[ $first == "${uplink_address6%:*}":10[123] ]]
		see "$name" udp6
		[[ $seen == "$first" ]]
		on "$name" ping -n -q -c 1 -W 3 -s 5000 "$outside_address6"
		pings "$name" "$outside_address6"
		see "$name" udp
		[[ $seen == "$uplink_address" ]]
		all+=("$first")
	done
	(($(printf '%s\n' "${all[@]}" | sort -u | wc -l) > 1))
	stop_capture
	run -0 captured "src net fd00::/8"
	[[ -z $output ]]
	# And nobody by an address that is not his.
	run -0 captured "icmp6[0] == 128"
	[[ $(grep -o "${uplink_address6%:*}:10[123] >" <<<"$output" | sort -u | wc -l) -eq \
		$(printf '%s\n' "${all[@]}" | sort -u | wc -l) ]]
	run -0 lab -j show lab
	[[ $(jq -r '.uplinks[] | select(.name == "eth0").addresses[1:] | join(" ")' <<<"$output") == \
		"${uplink_address6%:*}:101 ${uplink_address6%:*}:102 ${uplink_address6%:*}:103" ]]
	run -0 lab trace --from "$green" --to "[$outside_address6]:9" --proto udp
	[[ $output == *"$first"* ]]
	run -0 lab nat list
	[[ $output == *"$first"* ]]
}

@test "IPv6: one that is taken out of the file ends the flows of those who had it, and no others" {
	put_topology
	name_externals6 101 102 103
	lab apply "$topology"
	declare -A had=()
	local name kept last left=(101 102 103)
	for name in "$red" "$blue" "$green"; do
		see "$name" udp6 5000
		had[$name]=$seen
	done
	name_externals6 103 101 102
	run -0 lab plan "$topology"
	[[ $output == *"nothing to do"* ]]
	serve "$outside" tcp6 7000
	hold "$red" "$outside_address6" 7000
	kept=${had[$red]##*:}
	for last in 101 102 103; do
		[[ $last != "$kept" ]] || continue
		mapfile -t left < <(printf '%s\n' "${left[@]}" | grep -v "^$last$")
		name_externals6 "${left[@]}"
		run -3 lab plan "$topology"
		[[ $output == *"${uplink_address6%:*}:$kept"* ]]
		lab apply "$topology"
		for name in "$red" "$blue" "$green"; do
			see "$name" udp6 5000
			[[ $seen != *":$last" ]]
		done
		still_held "without-$last"
	done
	see "$blue" tcp6
	[[ $seen == "${had[$red]}" ]]
}

@test "IPv6: published on each of them, or on the one that is named; by hairpin and from the host" {
	put_topology
	name_externals6 101 102
	publish "$red" '"8080:8080/tcp"'
	publish "$blue" "\"[${uplink_address6%:*}:102]:9090:8080/tcp\""
	lab apply "$topology"
	find_cookie
	run -0 lab plan "$topology"
	[[ $output == *"nothing to do"* ]]
	local last
	serve "$red" tcp6 8080
	for last in 101 102; do
		calls "$outside" tcp6 "${uplink_address6%:*}:$last" 8080
		[[ $(last_caller 8080) == "$outside_address6 "* ]]
		calls "$green" tcp6 "${uplink_address6%:*}:$last" 8080
		[[ $(last_caller 8080) == "${uplink_address6%:*}":10[12]\ * ]]
		calls "$host" tcp6 "${uplink_address6%:*}:$last" 8080
	done
	serve "$blue" tcp6 8080
	calls "$outside" tcp6 "${uplink_address6%:*}:102" 9090
	calls_in_vain "$outside" tcp6 "${uplink_address6%:*}:101" 9090
	publish "$blue"
	lab apply "$topology"
	calls_in_vain "$outside" tcp6 "${uplink_address6%:*}:102" 9090
	calls "$outside" tcp6 "${uplink_address6%:*}:102" 8080
	lab down --all
}

@test "IPv6: one that the host loses: who has it is dropped, the others go on, until it is back" {
	put_topology
	name_externals6 101 102 103
	lab apply "$topology"
	find_cookie
	declare -A had=()
	local lost name
	for name in "$blue" "$green" "$red"; do
		see "$name" udp6
		had[$name]=$seen
	done
	lost=$seen
	ip -n "$host" address del "$lost/128" dev eth0
	sleep 1.5
	run ! on "$red" ping -q -c 1 -W 1 "$outside_address6"
	(($(uplink_dropped nat-uplink-closed) > 0))
	for name in "$blue" "$green"; do
		[[ ${had[$name]} == "$lost" ]] || see "$name" udp6
	done
	run -3 lab doctor
	[[ $output == *uplink-address* && $output == *$lost* ]] || false
	ip -n "$host" address add "$lost/128" dev eth0 nodad
	sleep 1.5
	see "$red" udp6
	[[ $seen == "$lost" ]]
}

@test "IPv6: another fabric at the uplink has to have the same" {
	put_topology
	name_externals6 101 102
	lab apply "$topology"
	cat >"$work/other.yaml" <<-END
		version: 1
		name: other
		networks:
		  o-net-0: {subnets: [192.168.77.0/24], masquerade: eth0}
	END
	run -2 lab apply "$work/other.yaml"
	[[ $output == *"another fabric masquerades to 'eth0' as other addresses"* ]] || false
	sed -i "s/masquerade: eth0/masquerade: {uplink: eth0, addresses: [\"${uplink_address6%:*}:102\", \"${uplink_address6%:*}:101\"]}/" "$work/other.yaml"
	lab apply "$work/other.yaml"
	run -0 lab plan "$topology"
	[[ $output == *"nothing to do"* ]]
	lab down --all
}

@test "IPv6: an address that one fabric names is the uplink's for another one too, which names none" {
	put_topology
	name_externals6 101
	lab apply "$topology"
	cat >"$work/other.yaml" <<-END
		version: 1
		name: other
		networks:
		  o-net-0: {subnets: [192.168.77.0/24], masquerade: eth0}
	END
	lab apply "$work/other.yaml"
	run -0 lab plan "$topology"
	[[ $output == *"nothing to do"* ]]
	run -0 lab plan "$work/other.yaml"
	[[ $output == *"nothing to do"* ]]
	sed -i "s/masquerade: eth0/masquerade: {uplink: eth0, addresses: [\"${uplink_address6%:*}:102\"]}/" "$work/other.yaml"
	run -2 lab apply "$work/other.yaml"
	[[ $output == *"another fabric masquerades to 'eth0' as other addresses"* ]] || false
	lab down --all
}

# An uplink as a dialled line is after each time that it was lost: with all its addresses, and a
# number that no interface had before.
dial() {
	local last
	ip -n "$host" link delete ppp0 2>/dev/null || true
	ip link add ppp0 netns "$host" type veth peer name ppp0 netns "$outside"
	ip -n "$host" link set ppp0 addrgenmode none up
	ip -n "$outside" link set ppp0 addrgenmode none up
	for last in "${dialled[@]}"; do
		ip -n "$host" address add "198.51.100.$last/24" dev ppp0
	done
	ip -n "$outside" address add 198.51.100.10/24 dev ppp0
}

# red leaves by ppp0, and white, of another fabric, by either.
put_dialled() { # UPLINK-OF-WHITE
	local list
	printf -v list ', 198.51.100.%s' "${dialled[@]}"
	red=red-$suffix white=white-$suffix
	cat >"$topology" <<-END
		version: 1
		name: lab
		networks:
		  v-net-0: {subnets: [192.168.15.0/24], masquerade: {uplink: ppp0, addresses: [${list#, }]}}
		namespaces:
		  $red: {interfaces: {eth0: {network: v-net-0, addresses: [192.168.15.11/24]}}}
	END
	sed -e 's/name: lab/name: other/' -e 's/v-net-0/v-net-9/' -e 's/192.168.15/192.168.19/' \
		-e "s/$red/$white/" -e "s/ppp0/$1/" "$topology" >"$work/other.yaml"
	[[ $1 == ppp0 ]] || sed -i 's/, addresses: \[198[^]]*\]//' "$work/other.yaml"
}

@test "an uplink that is made anew again and again, beside another fabric's: nothing of it is left" {
	local i dialled=(1 2 3 4 5 6 7 8)
	put_dialled eth0
	lab apply "$work/other.yaml"
	for ((i = 0; i < 3; i++)); do # two take all the room that there is
		dial
		lab apply "$topology"
	done
	find_cookie
	run -0 lab plan "$topology"
	pings "$red" 198.51.100.10
	pings "$white" "$outside_address"
	# Nor does it keep an address from who follows his own.
	sed -i 's/, addresses: [^]]*\]//' "$topology"
	lab apply "$topology"
	pings "$red" 198.51.100.10
	dial
	ip -n "$host" address flush dev ppp0
	ip -n "$host" address add 198.51.100.3/24 dev ppp0
	lab apply "$topology"
	ip -n "$host" address del 198.51.100.3/24 dev ppp0
	ip -n "$host" address add 198.51.100.1/24 dev ppp0
	sleep 1.5
	pings "$red" 198.51.100.10
	lab down --all
}

@test "who leaves by an uplink that was lost does not leave by another that comes" {
	local dialled=(1 2)
	dial
	put_dialled ppp0
	lab apply "$work/other.yaml"
	find_cookie
	pings "$white" 198.51.100.10
	ip -n "$host" link delete ppp0
	sed -i -e 's/ppp0/eth0/' -e 's/, addresses: [^]]*\]//' "$topology"
	lab apply "$topology" # what there was of it is forgotten
	pings "$red" "$outside_address"
	run -1 on "$white" ping -nqc 2 -i 0.1 -W 1 "$outside_address"
	(($(dropped wrong-uplink) > 0))
	dial
	lab apply "$work/other.yaml"
	pings "$white" 198.51.100.10
	run -0 lab plan "$topology"
	lab down --all
}

# Another uplink to the outside, by which green leaves, with an address of its own and these.
new_second() {
	ip link add second netns "$host" type veth peer name second netns "$outside"
	ip -n "$host" link set second addrgenmode none up
	ip -n "$outside" link set second addrgenmode none up
	ip -n "$host" address add 198.51.100.1/24 dev second
	ip -n "$outside" address add 198.51.100.10/24 dev second
}

put_two() { # FILE AT-ETH0 AT-SECOND: last bytes, separated by commas
	local net=${uplink_address%.*} first=${2//,/ } second=${3//,/ }
	first=${first// /, $net.} second=${second:+, $net.${second// /, $net.}}
	sed -E -e "/v-net-0/s/masquerade: .*/masquerade: {uplink: eth0, addresses: [$net.$first]}}/" \
		-e "/v-net-1/s/masquerade: .*/masquerade: {uplink: second, addresses: [198.51.100.1$second]}}/" \
		"$topology" >"$1.new"
	mv "$1.new" "$1"
}

@test "one moves from one uplink to the other in one edit: who has another goes on" {
	local stays moves rest last moved=$BATS_TEST_TMPDIR/moved.yaml
	new_second
	put_topology
	sed -i 's|192.168.16.11/24|192.168.16.11/24, 192.168.16.12/24, 192.168.16.13/24, 192.168.16.14/24, 192.168.16.15/24, 192.168.16.16/24|' "$topology"
	put_two "$topology" 101,102,103
	lab apply "$topology"
	find_cookie
	see "$red" udp 5000
	stays=$seen
	case ${stays##*.} in # not the first, whose place the last one would take
	102) last=103 rest=101,102 ;;
	*) last=102 rest=101,103 ;;
	esac
	moves=${uplink_address%.*}.$last
	put_two "$moved" $rest $last
	serve "$outside" tcp 7000
	hold "$red" "$outside_address" 7000
	lab apply "$moved"
	still_held there
	[[ $(uplinks_with "$moves") == 1 ]]
	ip -n "$outside" route add "$moves/32" via 198.51.100.1 src 198.51.100.10
	start_capture "$outside" second
	for last in 11 12 13 14 15 16; do # by whichever of the two each of them has
		on "$green" ping -nqc 1 -W 3 -I "192.168.16.$last" 198.51.100.10
	done
	stop_capture
	run -0 captured "src host $moves"
	[[ -n $output ]]
	lab apply "$topology"
	still_held back
	see "$red" udp 5000
	[[ $seen == "$stays" ]]
}
