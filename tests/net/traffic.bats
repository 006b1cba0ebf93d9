#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Traffic, of all kinds and all ways through a fabric with an uplink: it arrives, the outside sees
# what it may, the kernel answers what is its to answer, and the counters account for every packet.
#
# How it works: these tests run twice, with "datapath: auto", and as traffic_kernel.bats, which is a
# link to this file, with "datapath: kernel". Their results are the same; what differs is the share of
# fast packets, and where that is looked at, $fast says it. All tests of a file share one fabric, and
# leave it as they found it. check-kernels runs both on older kernels too, so they probe for what
# those do otherwise, and are short.

# shellcheck disable=SC2030,SC2031,SC2154 # run sets output; fabric.bash the names
load fabric

datapath=auto fast=100 # percent
[[ $BATS_TEST_FILENAME != *_kernel.bats ]] || datapath=kernel fast=0

setup_file() {
	new_suffix
	new_host 0
	put_networks "$datapath"
	lab apply "$topology"
	find_cookie
	# The one network that the outside knows of.
	ip -n "$outside" route add 192.168.18.0/24 via "$uplink_address"
	ip -n "$outside" route add fd00:18::/64 via "$uplink_address6"
	on "$blue" sysctl -qw net.ipv4.ip_forward=1
	# Answers to errors are looked at one by one: none is one too many.
	for name in $(test_namespaces); do
		on "$name" sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
	done
	# Checksums on the wire are complete then, so that a capture can judge them.
	on "$host" ethtool -K eth0 tx off >/dev/null
	settle
	mark_counts
}

setup() {
	name_host 0
	name_namespaces
	find_cookie
}

teardown() {
	stop_captures
}

teardown_file() {
	name_host 0
	clean_up || return
	assert_nothing_left
}

# Of what is sent from here on, at least (or with the kernel's datapath: at most) $fast percent fast.
assert_fast_share() {
	echo "$(fast_share) % fast"
	if ((fast)); then
		(($(fast_share) >= 99))
	else
		[[ $(total fast_packets) == 0 ]]
	fi
}

# ---- All ways

# CLIENT SERVER ADDRESS AGE SOURCE: how much older the answers are, and who the server sees.
ways() {
	sed "s/ /-$suffix /; s/ / /" <<-END
		red blue-$suffix 192.168.15.12 0 192.168.15.11
		red blue-$suffix fd00:15::12 0 fd00:15::11
		green red-$suffix 192.168.15.11 1 192.168.16.11
		red green-$suffix fd00:16::11 1 fd00:15::11
		white black-$suffix 192.168.17.12 1 192.168.17.11
		white black-$suffix fd00:17::12 1 fd00:17::11
		white red-$suffix 192.168.15.11 1 192.168.17.11
		blue black-$suffix fd00:17::12 1 fd00:15::12
		green white-$suffix 192.168.17.11 1 192.168.16.11
		grey loose-$suffix fd00:18::12 0 fd00:18::11
		red grey-$suffix 192.168.18.11 1 192.168.15.11
		red far-$suffix 10.99.0.2 1 192.168.15.11
		grey $outside $outside_address 1 192.168.18.11
		grey $outside $outside_address6 1 fd00:18::11
		red $outside $outside_address 1 $uplink_address
		white $outside $outside_address 1 $uplink_address
	END
}

@test "all ways, by ping, TCP and UDP: each arrives, in the name and at the age that it should" {
	start_capture "$outside" eth0
	capture_in "$white"
	while read -r client server address age source <&3; do
		echo "== $client to $address"
		run -0 on "$client" ping -n -c 3 -i 0.05 -W 3 "$address"
		[[ $(grep -o 'ttl=[0-9]*' <<<"$output" | sort -u) == "ttl=$((64 - age))" ]]
		for protocol in tcp udp; do
			exchange "$protocol" "$client" "$server" "$address"
			[[ $caller == "$source" ]]
		done
	done 3< <(ways)
	# The gateways, and the host itself.
	for address in 192.168.15.1 fd00:15::1 192.168.18.1 192.168.17.1 fd00:17::1 "$uplink_address"; do
		pings "$red" "$address"
		pings "$white" "$address"
	done
	exchange tcp "$host" "$black" 192.168.17.12
	[[ $caller == 192.168.17.1 ]]
	exchange tcp "$host" "$red" fd00:15::11
	[[ $caller == fd00:15::1 ]]
	stop_capture
	stop_captures

	run -0 captured "(ip or arp) and not src host $uplink_address and not src net 192.168.18.0/24"
	[[ -z $output ]]
	run -0 captured "ip6 and not src host $uplink_address6 and not src net fe80::/10 and
		not src net fd00:18::/64"
	[[ -z $output ]]
	run ! grep -E '\b(bad|wrong) [a-z0-9 ]*cksum|\(incorrect' < <(captured "ip or ip6")
	# A network without a bridge needs no ARP, and its router sends nobody elsewhere.
	run -0 captured "arp or icmp[icmptype] == icmp-redirect or (icmp6 and ip6[40] >= 135)" "$white"
	[[ -z $output ]]

	if peer_is_counted; then
		assert_counts_equal
	else
		echo "# this kernel does not count redirected packets at the receiver" >&3
		assert_counts_equal ' rx .*'
	fi
	[[ $(stats '.drops | add') == 0 ]]
	if ((fast)); then
		(($(total fast_packets) > $(total slow_packets)))
	else
		[[ $(total fast_packets) == 0 ]]
	fi
	[[ -z $(on "$host" nft list ruleset) ]]
	run ! grep '^-A' < <(on "$host" iptables-save 2>/dev/null)
}

@test "bulk: inside, between networks, out and back, in both families" {
	mark_counters
	for way in "$red $blue 192.168.15.12" "$red $green fd00:16::11" "$white $black fd00:17::12" \
		"$green $white 192.168.17.11" "$red $outside $outside_address" \
		"$white $outside $outside_address --reverse"; do
		read -ra way <<<"$way"
		bulk "${way[@]}"
	done
	assert_fast_share
}

@test "without its table entry a namespace is reached by the kernel; apply puts the entry back" {
	bpftool map delete pinned "/sys/fs/bpf/nsroute/$cookie/hosts4" key 192 168 16 11
	mac=$(ip -n "$blue" -j link show eth0 | jq -r '.[].address')
	key=$(bpftool -j map dump pinned "/sys/fs/bpf/nsroute/$cookie/fdb" |
		jq -r --arg mac "0x${mac//:/ 0x}" '.[].key | join(" ") | select(endswith($mac))')
	# shellcheck disable=SC2086 # bytes
	bpftool map delete pinned "/sys/fs/bpf/nsroute/$cookie/fdb" key $key
	for way in "$green 192.168.16.11" "$blue 192.168.15.12"; do
		mark_counters
		# shellcheck disable=SC2086 # two words
		bulk "$red" $way
		(($(fast_share) < 90))
	done
	run -3 lab plan "$topology"
	((${#lines[@]} == 2))
	lab apply "$topology"
	mark_counters
	bulk "$red" "$blue" 192.168.15.12
	bulk "$red" "$green" 192.168.16.11
	assert_fast_share
}

# ---- Age

too_old() { # NAMESPACE ADDRESS GATEWAY
	run -1 on "$1" ping -n -c 1 -W 3 -t 1 "$2"
	[[ $output == *"From $3 "*"Time to live exceeded"* || $output == *"From $3 "*"Hop limit"* ]]
}

@test "the gateway answers what has lived too long" {
	too_old "$red" 192.168.16.11 192.168.15.1
	too_old "$red" fd00:16::11 fd00:15::1
	too_old "$white" 192.168.17.12 192.168.17.1
	too_old "$white" fd00:17::12 fd00:17::1
	too_old "$white" 192.168.15.11 192.168.17.1
	too_old "$red" fd00:17::12 fd00:15::1
	too_old "$red" "$outside_address" 192.168.15.1
	too_old "$white" "$outside_address" 192.168.17.1
	too_old "$grey" "$outside_address" 192.168.18.1
	too_old "$grey" "$outside_address6" fd00:18::1
	# What is switched grows no older.
	run -0 on "$red" ping -n -c 1 -W 3 -t 1 192.168.15.12
	ip -n "$red" -6 route; ip -n "$red" neigh; 	run -0 on "$red" ping -n -c 1 -W 3 -t 1 fd00:15::12
	run -0 on "$red" ping -n -c 1 -W 3 -t 2 192.168.16.11
}

# Its hops, without times and names.
hops() { # NAMESPACE TRACEROUTE-ARGUMENT...
	on "$1" traceroute -n -q 1 -w 5 -m 4 "${@:2}" | sed '1d; s/^ *//; s/  / /' | cut -d ' ' -f 1,2 | paste -sd ,
}

@test "traceroute by ICMP, TCP and UDP, and tracepath: the gateway, then the target" {
	for probe in -I -T -U; do
		[[ $(hops "$red" $probe 192.168.15.12) == "1 192.168.15.12" ]]
		[[ $(hops "$red" $probe 192.168.16.11) == "1 192.168.15.1,2 192.168.16.11" ]]
		[[ $(hops "$red" $probe fd00:16::11) == "1 fd00:15::1,2 fd00:16::11" ]]
		[[ $(hops "$white" $probe 192.168.17.12) == "1 192.168.17.1,2 192.168.17.12" ]]
		[[ $(hops "$white" $probe fd00:15::11) == "1 fd00:17::1,2 fd00:15::11" ]]
		[[ $(hops "$grey" $probe "$outside_address") == "1 192.168.18.1,2 $outside_address" ]]
		[[ $(hops "$grey" $probe "$outside_address6") == "1 fd00:18::1,2 $outside_address6" ]]
	done
	for probe in -I -T; do
		[[ $(hops "$red" $probe "$outside_address") == "1 192.168.15.1,2 $outside_address" ]]
		[[ $(hops "$white" $probe "$outside_address") == "1 192.168.17.1,2 $outside_address" ]]
	done
	run -0 on "$red" tracepath -n 192.168.16.11
	[[ $output == *"1:  192.168.15.1 "*"2:  192.168.16.11 "*reached*"pmtu 1500 hops 2 back 2"* ]]
	run -0 on "$white" tracepath -n fd00:16::11
	[[ $output == *"1:  fd00:17::1 "*"2:  fd00:16::11 "*reached*"pmtu 1500 hops 2 back 2"* ]]
}

# ---- Size

forget_paths() { # NAMESPACE...
	local name
	for name in "$@"; do
		ip -n "$name" route flush cache
		ip -n "$name" -6 route flush cache
	done
}

# A packet of SIZE passes, one of a byte more is answered by the gateway, and the sender heeds that.
largest() { # NAMESPACE ADDRESS GATEWAY SIZE
	local headers=28 told="mtu = $4"
	[[ $2 != *:* ]] || headers=48 told="mtu=$4"
	forget_paths "$1"
	run -0 on "$1" ping -n -c 1 -W 3 -M "do" -s $(($4 - headers)) "$2"
	run -1 on "$1" ping -n -c 1 -W 3 -M "do" -s $(($4 - headers + 1)) "$2"
	[[ $output == *"From $3 "*"$told"* ]]
	[[ $(ip -n "$1" route get "$2") == *"mtu $4"* ]]
}

@test "networks of different MTU: the kernel names the smaller one, and what is sent then fits" {
	small=small-$suffix
	cat >"$work/small.yaml" <<-END
		version: 1
		name: small
		defaults: {mtu: 1300, datapath: $datapath}
		networks:
		  v-small: {subnets: [192.168.20.0/24, "fd00:20::/64"]}
		namespaces:
		  $small: {interfaces: {eth0: {network: v-small, addresses: [192.168.20.2/24, "fd00:20::2/64"]}}}
	END
	lab apply "$work/small.yaml"
	settle
	largest "$red" 192.168.20.2 192.168.15.1 1300
	largest "$red" fd00:20::2 fd00:15::1 1300
	largest "$white" 192.168.20.2 192.168.17.1 1300
	largest "$white" fd00:20::2 fd00:17::1 1300
	largest "$grey" 192.168.20.2 192.168.18.1 1300
	forget_paths "$red" "$white"
	run -0 on "$red" tracepath -n 192.168.20.2
	[[ $output == *"pmtu 1300 hops 2 back 2"* ]]
	run -0 on "$white" tracepath -n fd00:20::2
	[[ $output == *"pmtu 1300 hops 2 back 2"* ]]
	# In one piece it is too large: the kernel divides IPv4 on the way, and IPv6 at its source.
	forget_paths "$red" "$white"
	datagram "$red" "$small" 192.168.20.2 1400
	datagram "$white" "$small" fd00:20::2 1400
	forget_paths "$red" "$white"
	bulk "$red" "$small" 192.168.20.2 -n 4M
	bulk "$white" "$small" fd00:20::2 -n 4M
	bulk "$small" "$red" 192.168.15.11 -n 4M
	lab down small
	forget_paths "$red" "$white" "$grey"
}

@test "an uplink of a smaller MTU: the kernel tells what is masqueraded too" {
	ip -n "$host" link set eth0 mtu 1400
	ip -n "$outside" link set eth0 mtu 1400
	largest "$red" "$outside_address" 192.168.15.1 1400
	largest "$white" "$outside_address" 192.168.17.1 1400
	largest "$grey" "$outside_address" 192.168.18.1 1400
	largest "$grey" "$outside_address6" fd00:18::1 1400
	# What is not let out is answered as it would be.
	run -1 on "$red" ping -n -c 1 -W 3 -M "do" -s 1353 "$outside_address6"
	[[ $output == *"From fd00:15::1 "*"mtu=1400"* ]]
	forget_paths "$red" "$white" "$grey"
	bulk "$red" "$outside" "$outside_address" -n 4M
	bulk "$white" "$outside" "$outside_address" -n 4M
	bulk "$grey" "$outside" "$outside_address6" -n 4M
	ip -n "$host" link set eth0 mtu 1500
	ip -n "$outside" link set eth0 mtu 1500
	forget_paths "$red" "$white" "$grey"
}

# ---- Fragments, options, extension headers

# A datagram of so many bytes, sent with the socket option, arrives whole.
datagram() { # CLIENT SERVER ADDRESS BYTES [LEVEL OPTION VALUE-IN-HEXADECIMAL]
	local server
	ip netns exec "$2" perl -MSocket=:all -e '
		my $family = $ARGV[0] =~ /:/ ? AF_INET6 : AF_INET;
		socket(my $socket, $family, SOCK_DGRAM, 0) or die;
		bind($socket, $family == AF_INET ? pack_sockaddr_in(9000, INADDR_ANY)
						 : pack_sockaddr_in6(9000, IN6ADDR_ANY)) or die;
		alarm 60;
		recv($socket, my $data, 65535, 0) or die;
		print length($data), $data =~ /^(?:nsroute!)*$/ ? "" : " garbled", "\n";' \
		"$3" >"$work/datagram" 3>&- &
	server=$!
	await_listener "$2" udp 9000
	on "$1" perl -MSocket=:all -e '
		my ($receiver, $address, $bytes, $level, $name, $value) = @ARGV;
		my $family = $address =~ /:/ ? AF_INET6 : AF_INET;
		my $to = inet_pton($family, $address);
		socket(my $socket, $family, SOCK_DGRAM, 0) or die;
		setsockopt($socket, $level, $name, pack("H*", $value)) or die "option: $!" if $level;
		# The path is learned on the way: what did not fit is sent again.
		for (1 .. 100) {
			send($socket, "nsroute!" x ($bytes / 8), 0, $family == AF_INET ?
				pack_sockaddr_in(9000, $to) : pack_sockaddr_in6(9000, $to));
			select(undef, undef, undef, $_ / 100);
			last unless kill 0, $receiver;
		}' "$server" "${@:3}"
	wait "$server"
	[[ $(<"$work/datagram") == "$4" ]]
}

@test "fragments" {
	for way in "$red 192.168.15.12 $blue" "$red fd00:15::12 $blue" "$red 192.168.16.11 $green" \
		"$green fd00:15::11 $red" "$white 192.168.17.12 $black" "$white fd00:16::11 $green" \
		"$grey $outside_address $outside" "$grey $outside_address6 $outside"; do
		read -r client address server <<<"$way"
		echo "== $client to $address"
		pings "$client" "$address" -s 8000
		datagram "$client" "$server" "$address" 8000
	done
	[[ $(stats '.drops | add') == "$(stats '.drops."nat-fragment"')" ]]
}

recorded() { # NAMESPACE ADDRESS: the way there and back, as it was recorded
	on "$1" ping -n -c 1 -W 3 -R "$2" | sed -nE 's/^(RR: )?\t([0-9.]+)$/\2/p'
}

@test "IP options: record route and timestamps" {
	run -0 recorded "$red" 192.168.15.12
	[[ ${lines[*]} == "192.168.15.11 192.168.15.12 192.168.15.12 192.168.15.11" ]]
	run -0 recorded "$red" 192.168.16.11
	[[ ${lines[*]} == "192.168.15.11 192.168.16.1 192.168.16.11 192.168.16.11 192.168.15.1 192.168.15.11" ]]
	run -0 recorded "$white" 192.168.17.12
	[[ ${lines[*]} == "192.168.17.11 192.168.17.1 192.168.17.12 192.168.17.12 192.168.17.1 192.168.17.11" ]]
	run -0 recorded "$grey" "$outside_address"
	[[ ${lines[*]} == "192.168.18.11 $uplink_address $outside_address $outside_address 192.168.18.1 192.168.18.11" ]]
	for way in "$red 192.168.15.12" "$red 192.168.16.11" "$white 192.168.17.12" \
		"$grey $outside_address"; do
		read -r client address <<<"$way"
		run -0 on "$client" ping -n -c 1 -W 3 -T tsonly "$address"
		[[ $output == *TS:* ]]
		pings "$client" "$address" -R
	done
	# Where addresses are translated, those in options would show the inside: they are erased.
	start_capture "$outside" eth0
	for client in "$red" "$white"; do
		pings "$client" "$outside_address" -T tsonly
		run -0 recorded "$client" "$outside_address"
		[[ -z $output ]]
	done
	stop_capture
	run -0 captured "icmp[icmptype] == icmp-echo and ip[0] & 15 > 5"
	[[ -n $output && $output != *192.168.* ]]
}

@test "IPv6 extension headers" {
	local options=(
		"41 54 0000010400000000" # hop-by-hop, of padding: IPV6_HOPOPTS
		"41 59 0000010400000000" # destination options: IPV6_DSTOPTS
		"41 59 00001e0400000000" # with one that nobody knows and all may skip
	)
	for option in "${options[@]}"; do
		read -ra option <<<"$option"
		datagram "$red" "$blue" fd00:15::12 64 "${option[@]}"
		datagram "$red" "$green" fd00:16::11 64 "${option[@]}"
		datagram "$white" "$black" fd00:17::12 64 "${option[@]}"
		datagram "$green" "$white" fd00:17::11 2000 "${option[@]}"
		datagram "$grey" "$outside" "$outside_address6" 64 "${option[@]}"
	done
}

# ---- Back by the port that it came from

# Prints the ages of the echo requests that arrived in a namespace.
ages() { # NAMESPACE
	captured "icmp[icmptype] == icmp-echo or (icmp6 and ip6[40] == 128)" "$1" |
		sed -nE 's/.*(ttl|hlim) ([0-9]+).*/\2/p'
}

@test "what the gateway has to send back into the network that it came from" {
	# To the neighbour by the gateway, which says how to do better.
	ip -n "$red" route add 192.168.15.12/32 via 192.168.15.1
	ip -n "$red" route add fd00:15::12/128 via fd00:15::1
	capture_in "$red" "$blue"
	on "$red" ping -n -c 1 -W 3 192.168.15.12
	on "$red" ping -n -c 1 -W 3 fd00:15::12
	stop_captures
	[[ $(ages "$blue" | paste -sd ' ') == "63 63" ]]
	[[ -n $(captured "icmp[icmptype] == icmp-redirect" "$red") ]]
	[[ -n $(captured "icmp6 and ip6[40] == 137" "$red") ]]
	ip -n "$red" route del 192.168.15.12/32
	ip -n "$red" route del fd00:15::12/128
	forget_paths "$red"
	# To a neighbour's neighbour, whom only the gateway knows.
	ip -n "$red" route del 10.99.0.0/24
	ip -n "$host" route add 10.99.0.0/24 via 192.168.15.12
	run -0 on "$red" ping -n -c 1 -W 3 10.99.0.2
	[[ $output == *"ttl=63 "* ]]
	ip -n "$host" route del 10.99.0.0/24
	forget_paths "$red"
	lab apply "$topology"
	pings "$red" 10.99.0.2
	# By the very cable that it came from.
	cable=$(ip -n "$host" -j route get 192.168.17.11 | jq -r '.[].dev')
	ip -n "$host" route add 10.98.0.0/24 via 192.168.17.11 dev "$cable"
	ip -n "$host" route add fd00:98::/64 via fd00:17::11 dev "$cable"
	capture_in "$white"
	run -1 on "$white" ping -n -c 2 -i 0.05 -W 0.3 10.98.0.1
	run -1 on "$white" ping -n -c 2 -i 0.05 -W 0.3 fd00:98::1
	stop_captures
	[[ $(ages "$white" | sort | uniq -c | awk '{ print $2 ":" $1 }') == 63:4 ]]
	ip -n "$host" route del 10.98.0.0/24
	ip -n "$host" route del fd00:98::/64
}

# ---- All of a network

# Who received what bears the pattern, of all namespaces with a port.
received_by() { # FILTER
	local name
	for name in red blue green white black grey loose; do
		[[ -z $(captured "$1" "$name-$suffix") ]] || printf '%s ' "$name"
	done
}

@test "broadcast and multicast: to all ports of the own network, and to no other" {
	on "$blue" sysctl -qw net.ipv4.icmp_echo_ignore_broadcasts=0
	capture_in "$red" "$blue" "$green" "$white" "$black" "$grey" "$loose"
	run -0 on "$red" ping -n -b -c 1 -W 3 192.168.15.255
	[[ $output == *"from 192.168.15.12"* ]]
	run timeout 5 ip netns exec "$red" ping -n -b -c 1 -W 0.1 -I eth0 255.255.255.255
	run timeout 5 ip netns exec "$red" ping -n -c 1 -W 0.1 -I eth0 239.9.9.9
	run -0 on "$red" ping -n -c 1 -W 3 ff02::1%eth0
	run timeout 5 ip netns exec "$red" ping -n -c 1 -W 0.1 -I eth0 ff05::99
	run timeout 5 ip netns exec "$white" ping -n -b -c 1 -W 0.1 -I eth0 255.255.255.255
	run timeout 5 ip netns exec "$white" ping -n -c 1 -W 0.1 -I eth0 239.9.9.9
	run timeout 5 ip netns exec "$white" ping -n -c 1 -W 0.1 -I eth0 ff05::99
	run -0 on "$white" ping -n -c 1 -W 3 ff02::1%eth0
	run timeout 5 ip netns exec "$grey" ping -n -c 1 -W 0.1 -I eth0 239.9.9.9
	stop_captures
	[[ $(received_by "dst host 192.168.15.255") == "blue " ]]
	[[ $(received_by "dst host 255.255.255.255") == "blue " ]]
	[[ $(received_by "dst host 239.9.9.9 and src host 192.168.15.11") == "blue " ]]
	[[ $(received_by "dst host 239.9.9.9 and src host 192.168.17.11") == "" ]]
	[[ $(received_by "dst host 239.9.9.9 and src host 192.168.18.11") == "loose " ]]
	[[ $(received_by "icmp6 and ip6[40] == 128 and dst host ff02::1") == "blue " ]]
	[[ $(received_by "icmp6 and ip6[40] == 128 and dst host ff05::99") == "blue " ]]
	on "$blue" sysctl -qw net.ipv4.icmp_echo_ignore_broadcasts=1
}

state_of() { # NAMESPACE NEIGHBOUR
	ip -n "$1" neighbour show "$2"
}

@test "ARP and neighbour discovery cross the bridge" {
	capture_in "$blue" "$green"
	ip -n "$red" neighbour flush 192.168.15.12
	ip -n "$red" neighbour flush fd00:15::12
	pings "$red" 192.168.15.12
	pings "$red" fd00:15::12
	stop_captures
	mac=$(ip -n "$blue" -j link show eth0 | jq -r '.[].address')
	[[ $(state_of "$red" 192.168.15.12) == *"lladdr $mac "* ]]
	[[ $(state_of "$red" fd00:15::12) == *"lladdr $mac "* ]]
	[[ -n $(captured "arp[6:2] == 1 and arp[24:4] == 0xc0a80f0c" "$blue") ]]
	[[ -n $(captured "icmp6 and ip6[40] == 135" "$blue") ]]
	[[ -z $(captured "arp or icmp6 and ip6[40] == 135" "$green") ]]
}

await_flag() { # NAMESPACE ADDRESS FLAG
	local i
	for ((i = 0; i < 200; i++)); do
		[[ $(ip -n "$1" -o -6 address show to "$2") != *" $3 "* ]] || return 0
		sleep 0.05
	done
	return 1
}

@test "a duplicate IPv6 address is noticed by who takes it, and its owner keeps it" {
	for address in fd00:18::11 fd00:18::1 fd00:18::77; do
		ip -n "$loose" address add "$address/128" dev eth0
	done
	for address in fd00:18::11 fd00:18::1; do
		await_flag "$loose" "$address" dadfailed
		ip -n "$loose" address del "$address/128" dev eth0
	done
	settle
	[[ -z $(ip -n "$loose" -6 -o address show dadfailed) ]]
	[[ -z $(ip -n "$grey" -6 -o address show dadfailed) ]]
	pings "$grey" fd00:18::77
	ip -n "$loose" address del fd00:18::77/128 dev eth0
	pings "$grey" fd00:18::1
	pings "$grey" fd00:18::12
}
