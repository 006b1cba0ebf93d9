#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A million flows by real packets, as the commands list and end them.

# shellcheck disable=SC2016,SC2154 # perl has dollars; run sets output; fabric.bash the names
load fabric

flows=1000000 ports=16

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	unwatched "more packets than the watch can look at while they come"
	put_topology
	sed -i "s/masquerade: eth0/masquerade: {uplink: eth0, max_flows_per_namespace: $flows, timeouts: {udp_unreplied: 3600}}/" "$topology"
	lab apply "$topology"
	find_cookie
	settle
	ip -n "$outside" route add blackhole 198.51.100.0/24
	pings "$red" "$outside_address"
	lab nat flush
}

teardown() {
	clean_up
}

# From so many ports to as many ports of the outside's as it takes; not to 53, whose time is short.
opens_each() {
	on "$red" timeout 300 perl -MSocket -e '
		my ($flows, $ports) = @ARGV;
		for my $own (1 .. $ports) {
			socket(my $s, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
			bind($s, sockaddr_in(7000 + $own, INADDR_ANY)) or die "bind: $!";
			for my $port (1001 .. 1000 + $flows / $ports) {
				send($s, "x", 0, sockaddr_in($port, inet_aton("198.51.100.1"))) or die "send: $!";
			}
		}' "$flows" "$ports"
}

# What a full queue has lost on the way to the host is sent again.
opens_all() {
	local i
	for ((i = 0; i < 5; i++)); do
		opens_each
		[[ $(stats '.uplinks[0].nat.flows') != "$flows" ]] || return 0
	done
	return 1
}

seconds() { # WHAT COMMAND...
	local began=$EPOCHREALTIME
	"${@:2}"
	awk -v from="$began" -v to="$EPOCHREALTIME" -v what="$1" \
		'BEGIN { printf "# %s: %.1f s\n", what, to - from }' >&3
}

@test "a million flows are listed, each once, and end at a word" {
	seconds "opened" opens_all
	seconds "listed as JSON" lab -j nat list >"$work/list"
	[[ $(wc -l <"$work/list") == "$flows" ]]
	# Of each the ports, which are the same inside and outside, and the remote's.
	sed -E 's/.*"inside_port": ?([0-9]+).*"external_port": ?([0-9]+).*"remote_port": ?([0-9]+).*/\1 \2 \3/' "$work/list" |
		awk '$1 != $2 || seen[$1, $3]++ { print; bad = 1 } END { exit bad }'
	seconds "listed" lab nat list >"$work/list"
	(($(wc -l <"$work/list") >= flows))
	run -0 seconds "ended" lab nat flush
	[[ $output == *"$flows sessions ended"* ]]
	run -0 lab -j nat list
	[[ -z $output ]]
	[[ $(stats '.uplinks[0].nat.flows') == 0 ]]
	# And there is room again.
	pings "$red" "$outside_address"
	[[ $(lab -j nat list | wc -l) == 1 ]]
}
