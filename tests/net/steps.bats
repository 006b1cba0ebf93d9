#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What the tutorials do by hand, with nsroute's words, looked at with stock ip, bridge and ping; and
# how a file takes it over.

# shellcheck disable=SC2154 # bats sets output; fabric.bash the names
load fabric
load faults
load by_hand

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	host_state >"$work/before"
	red=red-$suffix blue=blue-$suffix green=green-$suffix
}

teardown() {
	clean_up
}

@test "scenario 1: namespaces are one registry for ip and nsroute" {
	first_step netns add "$red" "$blue"
	run -0 ip netns list
	grep -E "^$red( |\$)" <<<"$output"
	ip netns add "$green"
	run -0 lab netns list
	[[ $output == *"$green"* ]]
	run -0 lab -j netns ls
	jq -e --arg red "$red" --arg green "$green" --arg outside "$outside" '.namespaces |
		(.[] | select(.name == $red) | .owner == "nsroute" and .fabric == null) and
		(.[] | select(.name == $green) | .owner == "other" and .id == null) and
		(.[] | select(.name == $outside) | .id >= 0)' <<<"$output"
	# Each deletes the other's.
	ip netns del "$red"
	lab netns del "$green" "$blue"
	run -0 ip netns list
	[[ $output != *"$red"* && $output != *"$blue"* && $output != *"$green"* ]]
	run -2 lab netns del "$red"
	[[ $output == *"No such file or directory"* && $output == *"nsroute netns list"* ]]
	assert_as_before
}

@test "scenarios 2 and 3: a new namespace has only lo, down; commands in it" {
	first_step netns add "$red"
	run -0 ip -n "$red" -j link
	jq -e 'map(.ifname) == ["lo"] and (.[0].flags | index("UP") == null)' <<<"$output"
	run -0 lab netns exec "$red" -- ip -o link
	[[ $output == "$(on "$red" ip -o link)" ]]
	run -7 lab netns exec "$red" -- sh -c 'exit 7'
	run -0 lab netns exec "$red" ip neighbour
	run -125 lab netns exec "$red"
	run ! on "$red" ping -c 1 -W 1 127.0.0.1
	lab link -n "$red" set lo up
	run -0 on "$red" ping -q -c 1 -W 3 127.0.0.1
	lab down @steps
	assert_as_before
}

@test "scenario 4: two namespaces joined by a cable" {
	first_step netns add "$red" "$blue"
	lab link add veth-red type veth peer name veth-blue
	[[ $(ip -n "$host" -o link show veth-red) == *veth-red@veth-blue* ]]
	lab link set veth-red netns "$red"
	lab link set veth-blue netns "$blue"
	run ! ip -n "$host" link show veth-red
	lab addr -n "$red" add 192.168.15.1/24 dev veth-red
	lab address add 192.168.15.2/24 dev veth-blue netns "$blue"
	lab link -n "$red" set veth-red up
	lab link -n "$blue" set veth-blue up
	pings "$red" 192.168.15.2
	pings "$blue" 192.168.15.1
	[[ $(ip -n "$red" -o link show veth-red) == *": veth-red@if"* ]]
	run -0 ip -n "$blue" -o -4 address show veth-blue
	[[ $output == *"inet 192.168.15.2/24 "* ]]
	# The other way: at once where they are to be, and deleted from one side.
	lab link add p0 netns "$red" type veth peer name p0 netns "$blue"
	ip -n "$blue" link show p0
	lab link -n "$red" del p0
	run ! ip -n "$blue" link show p0
	lab netns del "$red" "$blue"
	assert_as_before
}

@test "scenario 5: a namespace joined to the host" {
	first_step netns add "$red"
	lab link add veth-host type veth peer name veth-red netns "$red"
	lab addr add 10.0.0.1/24 dev veth-host
	lab addr -n "$red" add 10.0.0.2/24 dev veth-red
	lab link set veth-host up
	lab link -n "$red" set veth-red up mtu 1400
	lab route -n "$red" add default via 10.0.0.1
	pings "$host" 10.0.0.2
	pings "$red" "$uplink_address"
	run -0 ip -n "$red" route
	[[ $output == *"default via 10.0.0.1 dev veth-red"* ]]
	[[ $(ip -n "$red" link show veth-red) == *"mtu 1400"* ]]
	run -0 lab -j route -n "$red" list
	jq -e '.routes[] | select(.to == "default") | .via == "10.0.0.1" and
		.interface == "veth-red"' <<<"$output"
	run -0 lab -j addr -n "$red" list veth-red
	jq -e '[.addresses[] | select(.family == "inet").address] == ["10.0.0.2/24"]' <<<"$output"
	run -0 lab -j link list veth-host
	jq -e '.links | length == 1 and .[0].kind == "veth" and .[0].owner == "nsroute"' <<<"$output"
	lab route -n "$red" del default
	run ! grep default < <(ip -n "$red" route)
	lab addr -n "$red" del 10.0.0.2/24 dev veth-red
	lab link set veth-host down
	lab netns del "$red"
	assert_as_before
}

@test "scenario 7: several namespaces on one bridge" {
	first_step netns add "$red" "$blue" "$green"
	lab bridge add v-net-0
	lab link set v-net-0 up
	local i=0 name
	for name in "$red" "$blue" "$green"; do
		i=$((i + 1))
		lab link add "veth-$i" type veth peer name "veth-$i-br"
		lab link set "veth-$i" netns "$name"
		lab link set "veth-$i-br" master v-net-0
		lab addr -n "$name" add "192.168.15.$i/24" dev "veth-$i"
		lab link -n "$name" set "veth-$i" up
		lab link set "veth-$i-br" up
	done
	lab addr add 192.168.15.5/24 dev v-net-0
	run -0 bridge -n "$host" -j link
	jq -e 'map(select(.master == "v-net-0").ifname) | sort ==
		["veth-1-br", "veth-2-br", "veth-3-br"]' <<<"$output"
	run -0 lab -j bridge list
	jq -e '.bridges | length == 1 and (.[0].ports | length == 3)' <<<"$output"
	pings "$red" 192.168.15.2
	pings "$blue" 192.168.15.3
	pings "$green" 192.168.15.1
	pings "$host" 192.168.15.1
	lab link set veth-1-br nomaster
	run -0 bridge -n "$host" link
	[[ $output != *veth-1-br* ]]
	run -0 lab show
	[[ $output == *@steps* ]]
	run -0 lab -j show @steps
	jq -e '.fabric == "@steps" and .state == "up" and (.namespaces | length == 3)' <<<"$output"
	# What single steps made is no fabric for stats.
	run -0 lab -j stats
	[[ $output == '{"fabrics":[]}' ]]
	lab down --all
	assert_as_before
}

@test "refused: with the kernel's words, the place and the mend" {
	first_step netns add "$red"
	run -1 lab addr -n "$red" add 10.0.0.1 dev lo
	[[ $output == *"no prefix length: it would mean /32"* && $output == *"10.0.0.1/24"* ]]
	run -1 lab link add p0 type vlan id 3
	run -1 lab netns add host
	run -2 lab netns add "$blue" "$red"
	[[ $output == *"'$red': File exists"* && $output == *"nsroute netns del $red"* ]]
	run ! ip -n "$blue" link
	run -2 lab route -n "$red" add default via 10.9.9.9
	[[ $output == *"in namespace '$red': Network is unreachable"* ]]
	lab link -n "$red" add d0 type bridge
	run -2 lab route -n "$red" add 10.9.9.0/24 dev d0
	[[ $output == *"namespace '$red'"*"Network is down"*"nsroute link -n $red set"* ]]
	run -2 lab link -n "$red" set p9 up
	[[ $output == *"no interface 'p9' in namespace '$red': No such device"* ]]
	run -2 lab link -n "none-$suffix" list
	[[ $output == *"nsroute netns list"* ]]
	run -2 lab link list p9
	run -2 --separate-stderr lab -j link -n "$red" del p9
	jq -e '.error.code == "ENODEV"' <<<"$stderr"
	# What nsroute did not make is neither deleted nor moved; the rest is as with ip.
	ip -n "$host" link add x0 type veth peer name x1
	run -2 lab link del x0
	[[ $output == *"ip link delete x0"* ]]
	run -2 lab link set x0 netns "$red"
	lab link set x0 up
	lab addr add 10.8.0.1/24 dev x0
	[[ $(ip -n "$host" -4 address show x0) == *10.8.0.1/24* ]]
	ip -n "$host" link del x0
	lab down --all
	assert_as_before
}

@test "refused in part: nothing of it stays, and what has not moved keeps its addresses" {
	first_step netns add "$red"
	lab link add v0 type veth peer name v1
	ip -n "$host" address add 10.8.0.1/24 dev v0
	lab link set v0 up
	links() { ip -n "$host" -o address show; ip -n "$host" -o link show v0; ip -n "$host" -o link show v1; }
	links | sed 's/ state [A-Z]*//' >"$work/links"
	run -2 lab link set v0 address 02:00:00:00:00:77 mtu 20
	[[ $output == *"mtu less than device minimum"* ]]
	run -2 lab link set v0 netns "$red" address 02:00:00:00:00:77 mtu 20 up
	run -2 lab link set v0 netns "$red" address 01:00:00:00:00:77
	links | sed 's/ state [A-Z]*//' | diff "$work/links" -
	lab link set v0 netns "$red" address 02:00:00:00:00:77 mtu 1400 up
	[[ $(ip -n "$red" -o link show v0) == *",UP"*" mtu 1400 "*" 02:00:00:00:00:77 "* ]]
	lab down --all
	assert_as_before
}

@test "what a fabric has is left to its file" {
	up
	run -2 lab netns del "$red"
	[[ $output == *"belongs to fabric 'lab'"* && $output == *"nsroute down lab"* ]]
	run -2 lab netns adopt "$red"
	run -2 lab link set v-net-0 down
	run -2 lab bridge del v-net-0
	run -2 lab addr -n "$red" add 10.0.0.1/24 dev eth0
	run -2 lab route -n "$red" del default
	run -2 lab link -n "$red" set lo down
	run -0 lab -j netns list
	jq -e --arg red "$red" '.namespaces[] | select(.name == $red) |
		.owner == "fabric" and .fabric == "lab"' <<<"$output"
	run -0 lab plan "$topology"
	# A step may put something beside it, which stays the step's.
	lab link add extra0 type veth peer name extra netns "$red"
	run -0 lab plan "$topology"
	lab down @steps
	run -0 lab plan "$topology"
	run -0 lab -j stats
	jq -e '.fabric == "lab"' <<<"$output"
	lab down lab
	assert_as_before
}

# Its mark is the same in every host namespace.
@test "a namespace of the same name that another host namespace has made meanwhile is left alone" {
	first_step netns add "$red"
	ip netns del "$red"
	"$NSROUTE" --netns "$outside" netns add "$red"
	"$NSROUTE" --netns "$outside" link add v0 netns "$red" type veth peer name v1 netns "$red"
	run -0 lab down @steps
	[[ $output == *"namespace '$red' is not the one that fabric '@steps' made: left alone"* ]]
	ip -n "$red" link show v0
	"$NSROUTE" --netns "$outside" down @steps
	printf 'version: 1\nname: lab\nnamespaces: {%s: {}}\n' "$red" >"$topology"
	lab apply "$topology"
	ip netns del "$red"
	"$NSROUTE" --netns "$outside" apply "$topology"
	run -2 lab apply "$topology"
	[[ $output == *"$topology:3:14: "*"belongs to fabric 'lab' of host namespace '$outside'"* ]]
	run -0 lab down lab
	ip -n "$red" link show lo
	"$NSROUTE" --netns "$outside" down lab
	run ! ip -n "$red" link show lo
	assert_as_before
}

# ---- Taken over by a file

# A process inside and a ping through it all; every packet has to come back.
start_traffic() { # FROM TO ADDRESS
	start_sleeper "$2"
	ip netns exec "$1" ping -n -i 0.02 -W 1 -w 60 "$3" >"$work/ping" 3>&- &
	pinger=$!
	sleep 0.3
}

assert_undisturbed() {
	sleep 0.5
	kill -0 "$sleeper"
	kill -INT "$pinger"
	wait "$pinger" || true
	cat "$work/ping"
	grep -E ' [1-9][0-9]+ received.* 0(\.[0-9]+)?% packet loss' "$work/ping"
	kill "$sleeper"
}

@test "apply takes a cable over: no packet is lost, and down removes it" {
	first_step netns add "keep-$suffix"
	make_cable
	put_cable
	mac=$(on "$red" cat /sys/class/net/p0/address)
	start_traffic "$red" "$blue" 10.0.0.2
	run -3 lab plan "$topology"
	[[ $output == *"adopt namespace $red"* && $output != *"+ veth"* ]]
	run -0 lab apply "$topology"
	run -0 lab plan "$topology"
	assert_undisturbed
	[[ $(on "$red" cat /sys/class/net/p0/address) == "$mac" ]]
	run -0 ip -n "$red" -d link show p0
	[[ $output == *"alias nsroute:cable"* ]]
	run -2 lab netns del "$red"
	run -0 lab -j show @steps
	jq -e --arg keep "keep-$suffix" '[.namespaces[].name] == [$keep]' <<<"$output"
	lab down cable
	run -0 lab -j netns list
	jq -e --arg suffix "$suffix" '[.namespaces[].name | select(endswith($suffix))] | length == 3' <<<"$output"
	lab down --all
	assert_as_before
}

@test "apply takes a bridge with its ports over, and makes what is missing" {
	first_step netns add "$red" "$blue"
	lab bridge add v-net-0
	lab link set v-net-0 up
	lab addr add 192.168.15.1/24 dev v-net-0
	local i=0 name
	for name in "$red" "$blue"; do
		i=$((i + 1))
		lab link add eth0 netns "$name" type veth peer name "port-$i"
		lab link set "port-$i" master v-net-0 up
		lab addr -n "$name" add "192.168.15.1$i/24" dev eth0
		lab link -n "$name" set eth0 up
	done
	await_link "$host" v-net-0
	pings "$red" 192.168.15.12
	put_topology
	start_traffic "$red" "$blue" 192.168.15.12
	run -0 lab apply "$topology"
	run -0 lab plan "$topology"
	assert_undisturbed
	run -0 bridge -n "$host" link
	[[ $output == *port-1* && $output == *port-2* ]]
	on "$blue" sysctl -qw net.ipv4.ip_forward=1
	traffic
	run -1 lab show @steps
	lab down lab
	assert_as_before
}

@test "what ip made is refused, until it is given by netns adopt" {
	ip netns add "$red"
	ip netns add "$blue"
	ip -n "$red" link add p0 type veth peer name p0 netns "$blue"
	ip -n "$red" address add 10.0.0.1/24 dev p0
	ip -n "$red" link set p0 up
	ip -n "$blue" address add 10.0.0.2/24 dev p0
	ip -n "$blue" link set p0 up
	put_cable
	run -2 lab apply "$topology"
	[[ $output == *"nsroute netns adopt $red"* ]]
	first_step netns adopt "$red" "$blue"
	start_traffic "$red" "$blue" 10.0.0.2
	run -0 lab apply "$topology"
	run -0 lab plan "$topology"
	assert_undisturbed
	lab down cable
	assert_as_before
}

@test "killed in the middle of an adoption: it has one owner, and apply completes it" {
	local number
	put_cable
	first_step netns add "$red"
	lab down --all
	make_cable
	count_points apply "$topology"
	lab down --all
	for number in $((changes / 3)) $((changes / 2)) $((changes * 3 / 4)); do
		make_cable
		faulty "kill:$number" apply "$topology"
		((status == 137))
		pings "$red" 10.0.0.2
		lab apply "$topology"
		run -0 lab plan "$topology"
		run -1 lab show @steps
		pings "$red" 10.0.0.2
		lab down --all
		assert_as_before
	done
}

@test "completion: bash finds commands, options, namespaces and interfaces; the others parse" {
	run -0 "$NSROUTE" completion bash
	folder=$(dirname "$(realpath "$NSROUTE")")
	complete_words() { # WORDS...: what could stand for the last of them
		PATH=$folder:$PATH bash -c 'source <(nsroute completion bash)
			COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
			_nsroute
			printf "%s\n" "${COMPREPLY[@]}"' _ "$@"
	}
	[[ $(complete_words nsroute val) == validate ]]
	[[ $(complete_words nsroute -j sho) == show ]]
	[[ $(complete_words nsroute --netns x down --a) == --all ]]
	[[ $(complete_words nsroute netns ad) == $'add\nadopt' ]]
	[[ $(complete_words nsroute completion f) == fish ]]
	[[ $(complete_words nsroute link -n "${host:0:-1}") == *"$host"* ]]
	[[ $(complete_words nsroute exec "$host") == "$host" ]]
	[[ $(complete_words nsroute addr del x dev l) == *lo* ]]
	touch "$work/lab-file.yaml"
	[[ $(cd "$work" && complete_words nsroute apply lab-f) == lab-file.yaml ]]
	run -1 "$NSROUTE" completion
	run -1 "$NSROUTE" completion tcsh
	local shell
	for shell in bash zsh fish; do
		"$NSROUTE" completion "$shell" >"$work/$shell"
		! command -v "$shell" >/dev/null || "$shell" -n "$work/$shell"
	done
}
