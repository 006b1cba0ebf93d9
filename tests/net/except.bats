#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# masquerade: {except: [...]}. What is listed is reached, and reaches, as it is; all else is masqueraded, and
# nothing of it comes in. The watch outside knows the two networks and the two hosts that are meant: whatever
# else shows an inside address there fails a test.

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # jq has dollars; run sets output; fabric.bash the names
load published

red4=192.168.15.11
red6=fd00:15::11
near4=203.0.113.11 # outside too, and listed
near6=2001:db8:113::11

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	private_prefixes+=("192.168.15.0/24=$near4/32" "fd00:15::/64=$near6/128")
	new_host
	ip -n "$outside" address add "$near4/24" dev eth0
	ip -n "$outside" address add "$near6/64" dev eth0 nodad preferred_lft 0
	ip -n "$outside" route add 192.168.0.0/16 via "$uplink_address" src "$near4"
	ip -n "$outside" route add fd00::/16 via "$uplink_address6" src "$near6"
}

teardown() {
	stop_captures
	clean_up
}

except_is() { # [LIST]
	local words="masquerade: eth0"
	[[ -z ${1-} ]] || words="masquerade: {uplink: eth0, except: [$1]}"
	sed -i -E "/v-net-0:/s@masquerade: (eth0|\{[^{}]*\})@$words@" "$topology"
}

except_near() {
	except_is "$near4/32, \"$near6/128\""
}

except_up() { # [DATAPATH]
	put_topology "$@"
	except_near
	lab apply "$topology"
	find_cookie
	settle
}

# Of what has left; of IPv6 without what is a neighbour's.
inside_sources() { # ADDRESS: to this one
	captured "(src net 192.168.0.0/16 or src net fd00::/16) and dst host $1"
}

both_ways() { # DATAPATH
	local protocol
	except_up "$1"
	start_capture "$outside" eth0
	for protocol in tcp udp; do
		exchange "$protocol" "$red" "$outside" "$near4"
		[[ $caller == "$red4" ]]
		exchange "$protocol" "$red" "$outside" "$near6"
		[[ $caller == "$red6" ]]
		exchange "$protocol" "$outside" "$red" "$red4"
		[[ $caller == "$near4" ]]
		exchange "$protocol" "$outside" "$red" "$red6"
		[[ $caller == "$near6" ]]
		exchange "$protocol" "$red" "$outside" "$outside_address"
		[[ $caller == "$uplink_address" ]]
		exchange "$protocol" "$red" "$outside" "$outside_address6"
		[[ $caller == "$uplink_address6" ]]
	done
	pings "$red" "$near4" -s 4000
	pings "$red" "$near6" -s 4000
	pings "$outside" "$red4" -s 4000
	pings "$outside" "$red6" -s 4000
	pings "$red" "$outside_address" -s 4000
	pings "$red" "$outside_address6" -s 4000
	send_ipv6 "$red" "$near6" 47
	stop_capture
	run -0 inside_sources "$near4"
	[[ $output == *"$red4"* ]]
	run -0 inside_sources "$near6"
	[[ $output == *"$red6"* ]]
	run -0 inside_sources "$outside_address"
	[[ -z $output ]]
	run -0 inside_sources "$outside_address6"
	[[ -z $output ]]
	# None of it has a session.
	[[ $(sessions --remote "$near4") == 0 && $(sessions --remote "$near6") == 0 ]]
	[[ $(sessions --remote "$outside_address") -gt 0 ]]
	# Nobody else comes in, nor to another network, nor to the host by the gateway's address.
	run -1 pings "$outside" "$red4" -c 1 -W 1 -I "$outside_address"
	run -1 pings "$outside" "$red6" -c 1 -W 1 -I "$outside_address6"
	run -1 pings "$outside" 192.168.16.11 -c 1 -W 1
	run -1 pings "$outside" fd00:16::11 -c 1 -W 1
	run -1 pings "$outside" 192.168.15.1 -c 1 -W 1
	run -1 pings "$outside" fd00:15::1 -c 1 -W 1
	# The other network has no exceptions.
	exchange tcp "$green" "$outside" "$near4"
	[[ $caller == "$uplink_address" ]]
}

@test "TCP, UDP, pings, fragments, both ways, to what is listed; all else is masqueraded" {
	both_ways auto
}

@test "datapath: kernel: the same" {
	both_ways kernel
}

@test "set and taken away in place: flows that run stay as they are, those that begin are by what is set now" {
	put_topology
	lab apply "$topology"
	find_cookie
	settle
	serve "$outside" tcp 7000
	hold "$red" "$near4" 7000
	[[ $(last_caller 7000) == *"$uplink_address"* ]]
	except_near
	run -3 lab plan "$topology"
	[[ ${lines[0]} == "~ masquerade 192.168.15.0/24 to eth0, except $near4/32" ]]
	[[ ${lines[1]} == "~ masquerade fd00:15::/64 to eth0, except $near6/128" && ${#lines[@]} == 2 ]]
	lab apply "$topology"
	run -0 lab plan "$topology"
	still_held still
	exchange tcp "$red" "$outside" "$near4"
	[[ $caller == "$red4" ]]
	still_held after
	run -0 lab -j show lab networks
	[[ $(jq -c '.networks[] | select(.name == "v-net-0") | .masquerade | map(.except)' <<<"$output") == \
		"[[\"$near4/32\"],[\"$near6/128\"]]" ]]
	run -0 lab show lab networks
	[[ $output == *"192.168.15.0/24 to eth0 but for 1, fd00:15::/64 to eth0 but for 1"* ]]
	run -0 stats '.uplinks[0] | .rx_passed > 0 and .tx_passed > 0'
	[[ $output == true ]]
	# Its session ends: what goes on is not the connection of before.
	except_is
	run -3 lab plan "$topology"
	[[ ${lines[0]} == *", no more except $near4/32" ]]
	lab apply "$topology"
	still_held last
	exchange tcp "$red" "$outside" "$near4"
	[[ $caller == "$uplink_address" ]]
	run -1 pings "$outside" "$red4" -c 1 -W 1
}

@test "a published port is reached by who is excepted, and answers from there" {
	put_topology
	except_near
	publish "$red" '"8080:8080/tcp", "8080:8080/udp"'
	lab apply "$topology"
	find_cookie
	settle
	serve "$red" tcp 8080
	serve "$red" udp 8080
	ip -n "$outside" route add "$uplink_address/32" dev eth0 src "$near4"
	calls "$outside" tcp "$uplink_address" 8080
	calls "$outside" udp "$uplink_address" 8080
	# And straight, from other ports.
	calls "$outside" tcp "$red4" 8080
	calls "$outside" udp "$red4" 8080
}

@test "closed ports, routers and MTU are told, both ways" {
	put_topology
	except_near
	sed -i 's/datapath: auto/datapath: auto, mtu: 1300/' "$topology"
	lab apply "$topology"
	find_cookie
	settle
	run -1 on "$outside" nc -nv -w 5 "$red4" 9
	[[ $output == *refused* ]]
	run -1 on "$red" nc -nv -w 5 "$near4" 9
	[[ $output == *refused* ]]
	run -0 on "$outside" traceroute -n -U -q 1 -w 3 "$red4"
	[[ ${lines[1]} == *" $uplink_address "* && ${lines[2]} == *" $red4 "* ]]
	run -0 on "$outside" traceroute -6 -n -U -q 1 -w 3 "$red6"
	[[ ${lines[2]} == *" $red6 "* ]]
	run -0 on "$red" traceroute -n -U -q 1 -w 3 "$near4"
	[[ ${lines[2]} == *" $near4 "* ]]
	run -1 on "$outside" ping -n -c 1 -W 3 -M "do" -s 1400 "$red4"
	[[ $output == *"mtu = 1300"* || $output == *"mtu=1300"* ]]
	run -0 on "$outside" ping -n -c 2 -i 0.2 -W 3 -s 1400 "$red4"
}

@test "trace tells what is excepted" {
	except_up
	run -0 lab trace --from "$red" --proto udp --to "$near4:5000"
	[[ $output == *"its network excepts where it goes: it leaves as it is"* ]]
	run -0 lab trace --from "$red" --proto udp --to "[$near6]:5000"
	[[ $output == *"its network excepts where it goes: it leaves as it is"* ]]
	run -0 lab trace --in eth0 --proto udp --source "$near4:5000" --to "$red4:7000"
	[[ $output == *"its network excepts where it comes from: it is let in as it is"* ]]
	run -0 lab trace --in eth0 --proto udp --source "[$near6]:5000" --to "[$red6]:7000"
	[[ $output == *"its network excepts where it comes from: it is let in as it is"* ]]
	run -0 lab trace --from "$red" --proto udp --to "$outside_address:5000"
	[[ $output != *excepts* ]]
}
