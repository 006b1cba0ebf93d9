#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What the kernel's own tests of its NAT look at (tools/testing/selftests/net/netfilter): packets of one
# socket that meet while nothing is known of it (conntrack_clash), errors of routers on the way
# (conntrack_icmp_related), the same addresses behind several NATs (nft_nat_zones).

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # perl has dollars; run sets output; fabric.bash the names
load outside

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

teardown() {
	[[ -z ${host2-} ]] || "$NSROUTE" --netns "$host2" down --all >/dev/null 2>&1 || true
	clean_up
}

# ---- Packets that meet

clash_up() { # DATAPATH [SED-OPTION...]
	remotes=("$server_address:7000" "$server_address:7001" "$server_address2:7000")
	remotes6=("[$server_address6]:7000" "[$server_address6]:7001" "[$server_address62]:7000")
	internet_up "$@"
	clients=("$red" "$green" "$white")
	serve replies "$outside" tests/net/clash.pl serve "${remotes[@]}" "${remotes6[@]}"
	await_listener "$outside" udp 7001
	await_listener "$outside" udp6 7001
	watch
}

# Of several namespaces at once, with the same ports: 150 sockets of each, by 4 processes each. SEEN is what
# clash.pl says of each. While CPUs are interrupted where they meet, a packet may be dropped (nat-contention): at
# most one of a thousand here.
clash() { # SEEN REMOTE...
	local name one failed="" asking=()
	for name in "${clients[@]}"; do
		ip netns exec "$name" timeout 60 tests/net/clash.pl ask 150 4 5000 "${@:2}" \
			>"$work/clash-$name" 2>"$work/missing-$name" 3>&- &
		asking+=($!)
	done
	for one in "${asking[@]}"; do wait "$one" || failed=1; done
	cat "$work"/missing-*
	[[ -z $failed ]]
	run -0 sort -u "$work"/clash-*
	[[ $output == "$1" ]]
	(($(stats '.drops."nat-contention"') <= 5))
	[[ $(stats '.drops | del(."nat-contention") | add') == 0 ]]
}

@test "processes that share a socket send at once to several remotes: one port, and all is answered" {
	clash_up auto
	clash "1 1" "${remotes[@]}"
	clash "1 1" "${remotes6[@]}"
	assert_judged
}

@test "the same with a port for each remote: one of each, and all is answered" {
	clash_up auto "s/masquerade: eth0/masquerade: {uplink: eth0, mapping: address-and-port-dependent}/"
	clash "3 1" "${remotes[@]}"
	clash "3 1" "${remotes6[@]}"
	assert_judged
}

@test "the same by the kernel's path" {
	clash_up kernel
	clash "1 1" "${remotes[@]}"
	clash "1 1" "${remotes6[@]}"
	assert_judged
}

# ---- Errors

# Of three namespaces, from the same ports: routers tell each socket of its own datagram, and no other.
told() { # ADDRESS
	local name one asking=()
	ip netns exec "$red" timeout 20 tests/net/errors.pl "$1" 5551 old closed large good >"$work/told-$red" 2>&1 3>&- &
	asking+=($!)
	ip netns exec "$green" timeout 20 tests/net/errors.pl "$1" 5551 good old closed large >"$work/told-$green" 2>&1 3>&- &
	asking+=($!)
	ip netns exec "$white" timeout 20 tests/net/errors.pl "$1" 5551 large good old closed >"$work/told-$white" 2>&1 3>&- &
	asking+=($!)
	for one in "${asking[@]}"; do wait "$one"; done
	for name in "$red" "$green" "$white"; do
		run -0 sort "$work/told-$name"
		echo "$output"
		[[ $output == $'closed: ECONNREFUSED\ngood: \nlarge: EMSGSIZE\nold: EHOSTUNREACH' ]]
	done
}

@test "routers' errors reach the socket that they are about, whoever else has its port" {
	internet_up
	far_away
	serve listener "$server" perl -MIO::Socket::IP -e '
		my $s = IO::Socket::IP->new(Proto => "udp", LocalHost => "::", LocalPort => 8080, V6Only => 0) or die;
		sleep'
	await_listener "$server" udp6 8080
	watch
	told "$far_address"
	told "$far_address6"
	[[ $(nat_drops) == 0 ]]
	run -0 lab -j nat list --protocol udp
	[[ $(jq -r '"\(.external) \(.external_port)"' <<<"$output" | sort -u | wc -l) == 24 ]]
	assert_judged
}

# ---- The same addresses, several times

# A host of its own at the same outside, whose fabric has the addresses that red and blue have, and the same
# ports. Sets host2.
second_host() { # FIRST SECOND
	host2=nsr-host2-$suffix
	new_namespace "$host2"
	cable "$host2" eth0 198.19.0.1 "$outside" eth2 198.19.0.10 1500
	ip -n "$host2" address add 2001:db8:114::1/64 dev eth0 nodad
	ip -n "$outside" address add 2001:db8:114::10/64 dev eth2 nodad
	await_address "$host2" 2001:db8:114::1
	ip -n "$host2" route add default via 198.19.0.10
	ip -n "$host2" route add default via 2001:db8:114::10
	on "$host2" ethtool -K eth0 tx off >/dev/null
	cat >"$work/second.yaml" <<-END
		version: 1
		name: second
		networks:
		  v-net-0: {subnets: [192.168.15.0/24, "fd00:15::/64"], masquerade: eth0}
		namespaces:
		  $1: {interfaces: {eth0: {network: v-net-0, addresses: [192.168.15.11/24, "fd00:15::11/64"]}}}
		  $2: {interfaces: {eth0: {network: v-net-0, addresses: [192.168.15.12/24, "fd00:15::12/64"]}}}
	END
	"$NSROUTE" --netns "$host2" apply "$work/second.yaml"
	settle
}

# What calls outside is who should.
seen_as() { # NAMESPACE ADDRESS ADDRESS6
	exchange tcp "$1" "$outside" "$server_address"
	[[ $caller == "$2" ]]
	exchange tcp "$1" "$outside" "$server_address6"
	[[ $caller == "$3" ]]
	pings "$1" "$server_address" -s 8000
	pings "$1" "$server_address6" -s 8000
}

@test "the same addresses and ports behind two hosts: each has its own answers, and all of them" {
	local red2=red2-$suffix blue2=blue2-$suffix
	clash_up auto
	second_host "$red2" "$blue2"
	clients=("$red" "$blue" "$red2" "$blue2")
	clash "1 1" "${remotes[@]}"
	clash "1 1" "${remotes6[@]}"
	seen_as "$red" "$uplink_address" "$uplink_address6"
	seen_as "$red2" 198.19.0.1 2001:db8:114::1
	assert_judged
}
