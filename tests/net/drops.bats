#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# "nsroute drops": what is dropped is told as it is dropped, to one listener, and only while it lives.

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
	up
}

teardown() {
	clean_up
}

# Sets listener. What it prints is in $work/drops.
listen() { # [OPTION...]
	"$NSROUTE" --netns "$host" drops "$@" >"$work/drops" 2>"$work/drops.log" 3>&- &
	listener=$!
	await_listening
}

await_listening() {
	local i
	for ((i = 0; i < 500; i++)); do
		! grep -q listening "$work/drops.log" || return 0
		sleep 0.02
	done
	cat "$work/drops.log"
	return 1
}

ends() { # STATUS
	local status=0
	wait "$listener" || status=$?
	((status == $1))
}

stop_listening() {
	kill -TERM "$listener"
	wait "$listener"
}

datagrams() { # NUMBER NAMESPACE ADDRESS PORT
	# shellcheck disable=SC2016 # expanded inside
	on "$2" bash -c 'for ((i = 0; i < $0; i++)); do echo >"/dev/udp/$1/$2"; done' "$1" "$3" "$4" || true
}

# From an address that was not given to it; the neighbour entry spares the question for its MAC.
spoof() { # NUMBER NAMESPACE
	ip -n "$2" address replace 192.168.99.1/32 dev eth0
	ip -n "$2" route replace 198.51.100.7/32 via "$(ip -n "$2" -j route show default | jq -r '.[0].gateway')" \
		src 192.168.99.1
	datagrams "$1" "$2" 198.51.100.7 9
	ip -n "$2" route del 198.51.100.7/32
	ip -n "$2" address del 192.168.99.1/32 dev eth0
}

# Prints a value of every drop that is told.
told() { # JQ-EXPRESSION
	jq -r "select(.reason) | $1" "$work/drops"
}

left_out() { # REASON
	jq -s "[.[].left_out // {} | .\"$1\" // 0] | add" "$work/drops"
}

@test "a drop is told with its reason, whose it is and what it was" {
	listen -j --count 3 --seconds 30
	spoof 3 "$red"
	wait "$listener"
	[[ $(told '[.reason, .hook, .fabric, .namespace, .interface, .uplink, .protocol, .source,
		.destination, .destination_port] | join(" ")' | sort -u) == \
		"spoofed-address port-in lab $red eth0  udp 192.168.99.1 198.51.100.7 9" ]]
	[[ $(told .length | sort -u) == 43 ]]
	[[ $(told .source_port | grep -c .) == 3 ]]
	[[ $(told .source_mac | sort -u) == "$(on "$red" cat /sys/class/net/eth0/address)" ]]
	# Within a minute of now.
	local time
	time=$(date -d "$(told .time | head -n 1)" +%s)
	((time > $(date +%s) - 60 && time <= $(date +%s) + 1))
	[[ $(<"$work/drops.log") == '{"listening": true}' ]]

	listen --count 1 --seconds 30
	spoof 1 "$red"
	wait "$listener"
	grep -E "^[0-9:.]{15}  spoofed-address      from $red eth0: udp 192\.168\.99\.1:[0-9]+ > 198\.51\.100\.7:9, 43 bytes$" \
		"$work/drops"
}

@test "drops at an uplink name the uplink, and the namespace whose packet it is" {
	listen -j --count 2 --seconds 30
	on "$outside" ip route add 192.168.15.0/24 via "$uplink_address"
	datagrams 1 "$outside" 192.168.15.11 9
	send_ipv6 "$red" "$outside_address6" 136 # UDP-Lite: not masqueraded
	wait "$listener"
	told '[.hook, .uplink, .namespace, .interface, .reason, .protocol] | join(" ")' | sort >"$work/told"
	diff "$work/told" - <<-END
		uplink-in eth0 $red eth0 inbound-refused udp
		uplink-out eth0 $red eth0 nat-protocol 136
	END
}

# Red may have two flows, blue gets the last two ports, green none.
refuse_all() { # OUTSIDE'S-ADDRESS UPLINK'S-ADDRESS; sets port, which blue has
	local i
	for i in 1 2 3; do
		sends "$red" $((5000 + i)) "$1" 4001
	done
	for i in 1 2; do
		sends "$blue" $((5000 + i)) "$1" 4002
	done
	sends "$green" 5001 "$1" 4003
	port=$(lab -j nat list --port 4002 | jq .external_port | head -n 1)
	sends "$outside" 4004 "$2" "$port"
}

masquerade_little() {
	lab down lab
	put_topology
	sed -i 's/masquerade: eth0/masquerade: {uplink: eth0, ports: 40000-40003, max_flows_per_namespace: 2}/' "$topology"
	lab apply "$topology"
	find_cookie
	settle
}

# Nothing but the time and the destination's MAC address, which is the way's, is left out.
refused_is_told() { # OUTSIDE'S-ADDRESS UPLINK'S-ADDRESS RED'S GREEN'S BYTES
	masquerade_little
	for name in "$red" "$blue" "$green"; do
		pings "$name" "$1" # the way is there
	done
	lab nat flush
	listen -j --count 3 --seconds 30
	refuse_all "$1" "$2"
	wait "$listener"
	told '[.reason, .hook, .namespace, .interface, .uplink, .protocol, .source, .source_port, .destination,
		.destination_port, .length] | join(" ")' | sort >"$work/told"
	diff "$work/told" - <<-END
		nat-filtered uplink-in   eth0 udp $1 4004 $2 $port $5
		nat-flows-limit uplink-out $red eth0 eth0 udp $3 5003 $1 4001 $5
		nat-ports-exhausted uplink-out $green eth0 eth0 udp $4 5001 $1 4003 $5
	END
	# In words, and only what is asked for.
	listen --reason nat-ports-exhausted --reason nat-filtered --count 2 --seconds 30
	sends "$red" 5003 "$1" 4001
	sends "$green" 5001 "$1" 4003
	sends "$outside" 4004 "$2" "$port"
	wait "$listener"
	sed -E 's/^[0-9:.]{15}  //; s/ +/ /g' "$work/drops" >"$work/told"
	diff "$work/told" - <<-END
		nat-ports-exhausted from $green eth0, out eth0: udp $(spelled "$4" 5001) > $(spelled "$1" 4003), $5 bytes
		nat-filtered in eth0: udp $(spelled "$1" 4004) > $(spelled "$2" "$port"), $5 bytes
	END
}

spelled() { # ADDRESS PORT
	[[ $1 != *:* ]] && echo "$1:$2" || echo "[$1]:$2"
}

@test "what the masquerade refuses is told: a port, a limit, a filter" {
	refused_is_told "$outside_address" "$uplink_address" 192.168.15.11 192.168.16.11 43
}

@test "what the masquerade refuses is told: over IPv6" {
	refused_is_told "$outside_address6" "$uplink_address6" fd00:15::11 fd00:16::11 63
}

@test "only these reasons, only this namespace" {
	listen -j --namespace "$blue" --reason spoofed-address --reason vlan-tag --count 2 --seconds 30
	spoof 3 "$red"
	spoof 1 "$blue"
	ip -n "$blue" link set eth0 address 02:00:00:00:00:99
	on "$blue" ping -c 1 -W 0.2 192.168.15.11 || true # spoofed-mac
	sleep 0.5
	stop_listening
	[[ $(told '.namespace + " " + .reason') == "$blue spoofed-address" ]]
	(($(dropped "$red" spoofed-address) == 3 && $(dropped "$blue" spoofed-mac) > 0))

	run -1 --separate-stderr lab drops --namespace nobody-"$suffix"
	[[ $stderr == *"no fabric of this host namespace has a namespace 'nobody-$suffix' on a network"* ]]
}

# What is told and what is left out are all the drops that the counters have.
@test "a flood is limited, and nothing goes missing from the sum" {
	local before
	before=$(dropped "$red" spoofed-address)
	listen -j --seconds 60
	spoof 1500 "$red"
	spoof 1 "$green"
	sleep 1.5 # it tells of what is left out once a second
	stop_listening
	((before == 0))
	[[ $(told 'select(.namespace == "'"$green"'").source') == 192.168.99.1 ]]
	local sum
	sum=$(($(told .reason | grep -c spoofed-address) + $(left_out spoofed-address)))
	echo "told and left out $sum, counted $(dropped "$red" spoofed-address) and $(dropped "$green" spoofed-address)"
	((sum == 1501))
	((sum == $(dropped "$red" spoofed-address) + $(dropped "$green" spoofed-address)))
	(($(left_out spoofed-address) > 0 && $(told .reason | wc -l) >= 100))
}

@test "one listens at a time; one that was killed is in nobody's way" {
	listen --seconds 60
	run -2 --separate-stderr lab drops --seconds 1
	[[ $stderr == *'another "nsroute drops" listens in this host namespace already'* ]]
	kill -9 "$listener"
	ends 137
	# What it did not read is not told to the next.
	spoof 5 "$red"
	listen -j --seconds 1
	wait "$listener"
	[[ ! -s $work/drops ]]
	# Its lease ends: nothing is counted as left out any more.
	sleep 5.5
	spoof 1000 "$red"
	listen -j --count 1 --seconds 30
	spoof 1 "$blue"
	wait "$listener"
	[[ $(told .namespace) == "$blue" ]]
	[[ $(jq -s '[.[] | select(.left_out)] | length' "$work/drops") == 0 ]]
}

@test "it ends after its time, with its reader, and with the datapath" {
	run -0 --separate-stderr lab drops --seconds 0.3
	[[ -z $output && $stderr == "listening for drops" ]]
	: >"$work/drops.log"
	"$NSROUTE" --netns "$host" drops --seconds 60 2>"$work/drops.log" 3>&- | head -n 1 >"$work/drops" 3>&- &
	listener=$!
	await_listening
	local i
	# The reader ends after a line, and it when the next one cannot be written.
	for ((i = 0; i < 100; i++)); do
		spoof 1 "$red"
		! lab drops --seconds 0.1 >/dev/null 2>&1 || break
	done
	[[ -s $work/drops ]]
	((i < 100)) # another can listen: the first is gone
	ends 0      # head
	listen --seconds 30
	run -0 lab down --all
	ends 2
	grep "the datapath is gone" "$work/drops.log"
	run -2 --separate-stderr lab drops
	[[ $stderr == *"no datapath is loaded in this host namespace"* ]]
}

@test "a fabric that comes later is known by its names" {
	listen -j --count 1 --seconds 30
	sed -i "s/^namespaces:/&\n  late-$suffix: {interfaces: {eth0: {network: v-net-0}}}/" "$topology"
	lab apply "$topology"
	sleep 1
	spoof 1 "late-$suffix"
	wait "$listener"
	[[ $(told '.namespace + " " + .interface') == "late-$suffix eth0" ]]
}
