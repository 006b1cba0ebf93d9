#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Published ports and the host itself: it reaches them as others do, it has some for itself alone, and
# its loopback interface is its own. And what everybody is told of a port that nobody listens on.

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # perl has dollars; run sets output; fabric.bash the names
load published

client6=fd0d:2b16:9ad7::1 # that a namespace sees in place of ::1

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
}

teardown() {
	clean_up
}

@test "a closed port is told: to neighbours, to the namespace itself, to the host, to the outside" {
	published_up
	publish "$red" '"8080:8080/udp", "127.0.0.1:8080:8080/udp", "[::1]:8080:8080/udp"'
	lab apply "$topology"
	for name in "$blue" "$green" "$red" "$host" "$outside"; do
		is_refused "$name" "$uplink_address" 8080
		is_refused "$name" "$uplink_address6" 8080
	done
	is_refused "$host" 127.0.0.1 8080
	is_refused "$host" ::1 8080
}

@test "from the host: at the uplink's addresses, both ways in bulk, its own services beside it" {
	local protocol address
	published_up
	on "$host" sysctl -qw net.ipv4.conf.all.rp_filter=1
	for address in "$uplink_address" "$uplink_address6"; do
		for protocol in tcp udp; do
			exchange "$protocol" "$host" "$red" "$address"
			[[ $caller == "$address" ]]
		done
	done
	publish "$red" '"5201:5201/tcp"'
	lab apply "$topology"
	bulk "$host" "$red" "$uplink_address"
	bulk "$host" "$red" "$uplink_address" -R
	bulk "$host" "$red" "$uplink_address6"
	bulk "$host" "$red" "$uplink_address6" -R
	serve "$host" tcp 2222
	calls "$host" tcp "$uplink_address" 2222
	calls "$host" tcp 127.0.0.1 2222
	serve "$host" tcp6 2223
	calls "$host" tcp6 "$uplink_address6" 2223
	calls "$host" tcp6 ::1 2223
	pings "$host" 127.0.0.1
	pings "$host" ::1
	pings "$host" "$uplink_address"
	pings "$host" "$uplink_address6"
	[[ $(dropped nat-hairpin) == 0 ]]
	run -0 lab plan "$topology"
}

@test "datapath: kernel: from the host" {
	local protocol
	published_up kernel
	publish "$red" '"8080:8080/tcp", "127.0.0.1:8080:8080/udp", "[::1]:8080:8080/udp"'
	lab apply "$topology"
	exchange tcp "$host" "$red" "$uplink_address"
	[[ $caller == "$uplink_address" ]]
	exchange udp "$host" "$red" 127.0.0.1
	[[ $caller == 169.254.78.1 ]]
	exchange udp "$host" "$red" ::1
	[[ $caller == "$client6" ]]
	exchange tcp "$host" "$red" "$uplink_address6"
	[[ $caller == "$uplink_address6" ]]
}

@test "on the loopback address: the host reaches it, and nobody else" {
	local protocol
	put_topology
	publish "$red" '"127.0.0.1:8080:8080/tcp", "127.0.0.1:8080:8080/udp", "127.0.0.1:5201:5201/tcp"'
	publish "$blue" '"8080:9090/tcp"'
	lab apply "$topology"
	find_cookie
	for protocol in tcp udp; do
		exchange "$protocol" "$host" "$red" 127.0.0.1
		[[ $caller == 169.254.78.1 ]]
	done
	bulk "$host" "$red" 127.0.0.1
	# Two connections from one port of the host, to both addresses.
	serve "$red" tcp 8080
	serve "$blue" tcp 9090
	calls "$host" tcp 127.0.0.1 8080 4000
	calls "$host" tcp "$uplink_address" 8080 4000
	[[ $(last_caller 8080) == "169.254.78.1 4000" && $(last_caller 9090) == "$uplink_address 4000" ]]

	: >"$work/callers-8080"
	serve "$red" udp 8080
	# By the uplink's address, by the gateway's, and by the loopback address of the host, whose kernel
	# would take it.
	on "$host" sysctl -qw net.ipv4.conf.all.route_localnet=1
	on "$outside" sysctl -qw net.ipv4.conf.all.route_localnet=1
	ip -n "$outside" address del 127.0.0.1/8 dev lo
	ip -n "$outside" route add 127.0.0.1/32 via "$uplink_address" src "$outside_address"
	for protocol in tcp udp; do
		calls_in_vain "$outside" "$protocol" 127.0.0.1 8080
		calls_in_vain "$blue" "$protocol" 192.168.15.1 8080
	done
	calls_in_vain "$outside" udp "$uplink_address" 8080
	calls_in_vain "$blue" udp "$uplink_address" 8080
	[[ ! -s $work/callers-8080 ]]
}

@test "on ::1: the host reaches it, and nobody else" {
	local protocol
	put_topology
	publish "$red" '"[::1]:8080:8080/tcp", "[::1]:8080:8080/udp", "[::1]:5201:5201/tcp"'
	publish "$blue" '"127.0.0.1:8080:9090/tcp", "8080:9090/tcp"'
	lab apply "$topology"
	find_cookie
	start_capture "$outside" eth0
	# Its namespace takes nothing from where it would not send to.
	on "$red" nft add table ip6 strict
	on "$red" nft add chain ip6 strict in '{ type filter hook prerouting priority raw; }'
	on "$red" nft add rule ip6 strict in fib saddr . iif oif missing drop
	for protocol in tcp udp; do
		exchange "$protocol" "$host" "$red" ::1
		[[ $caller == "$client6" ]]
	done
	bulk "$host" "$red" ::1
	bulk "$host" "$red" ::1 -R
	run -0 lab trace --from "$red" --to "[$client6]:4000" --proto udp
	[[ $output == *"dropped, counted as nat-state"* ]]
	# Connections from one port of the host, to all of its addresses.
	serve "$red" tcp6 8080
	serve "$blue" tcp 9090
	serve "$blue" tcp6 9090
	calls "$host" tcp6 ::1 8080 4000
	[[ $(last_caller 8080) == "$client6 4000" ]]
	calls "$host" tcp 127.0.0.1 8080 4000
	[[ $(last_caller 9090) == "169.254.78.1 4000" ]]
	calls "$host" tcp6 "$uplink_address6" 8080 4000
	[[ $(last_caller 9090) == "$uplink_address6 4000" ]]
	run -0 lab nat list --port 8080
	[[ $output == *"[::1]"* ]]
	run -0 lab trace --from "$red" --source "[fd00:15::11]:8080" --to "[$client6]:4000" --proto tcp
	[[ $output == *"known outside as [::1]:8080"*"delivered to lo by the fast path" ]]
	run -0 lab -j show lab
	run -0 jq -r '.uplinks[] | select(.name == "lo") | "\(.address) \(.address6)"' <<<"$output"
	[[ $output == "127.0.0.1 ::1" ]]

	: >"$work/callers-8080"
	serve "$red" udp6 8080
	calls_in_vain "$blue" udp6 fd00:15::1 8080
	calls_in_vain "$blue" udp6 "$uplink_address6" 8080
	calls_in_vain "$outside" udp6 "$uplink_address6" 8080
	serve "$host" udp6 8081
	for protocol in tcp6 udp6; do
		calls_in_vain "$blue" "$protocol" "$client6" 8080
		calls_in_vain "$red" "$protocol" "$client6" 8081
	done
	[[ $(dropped nat-state) -gt 0 && ! -s $work/callers-8080 ]]
	stop_capture
	assert_no_leak
	run -0 captured "ip6 and host $client6"
	[[ -z $output ]]
	run -0 lab plan "$topology"
}

@test "what comes from outside as if it were the host does not get in" {
	local protocol address
	unwatched "the outside has an address that looks like one of inside, to which neighbours answer"
	published_up
	publish "$red" '"8080:8080/tcp", "8080:8080/udp", "127.0.0.1:8081:8080/udp", "[::1]:8081:8080/udp"'
	lab apply "$topology"
	ip -n "$outside" address add 169.254.78.1/32 dev eth0
	ip -n "$outside" address add "$client6/128" dev eth0 nodad
	on "$host" sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0
	serve "$red" udp 8080
	serve "$red" udp6 8080
	for address in 169.254.78.1 "$client6"; do
		protocol=udp
		[[ $address != *:* ]] || protocol=udp6
		PATIENCE=2 run ! on "$outside" timeout 30 perl tests/net/echo.pl "$protocol" 8080 \
			"$([[ $protocol == udp ]] && echo "$uplink_address" || echo "$uplink_address6")" 4000 "$address"
	done
	[[ ! -s $work/callers-8080 && $(dropped nat-filtered) -gt 0 ]]
	calls "$outside" udp6 "$uplink_address6" 8080
}

# To the gateway, with a tag that the kernel takes off: UDP from an address of red's to port 9.
send_tagged() { # SOURCE DESTINATION
	on "$red" perl -MSocket=:all - "$(mac_of "$host" v-net-0)" "$(mac_of "$red" eth0)" \
		"$(on "$red" cat /sys/class/net/eth0/ifindex)" "$@" <<-'END'
		my ($to, $from, $ifindex, @addresses) = @ARGV;
		my $frame = pack("H*", "$to$from" =~ s/://gr) . pack("nnnNnCC", 0x8100, 0, 0x86dd,
			    6 << 28, 8, 17, 64) . join("", map { inet_pton(AF_INET6, $_) } @addresses) .
			    pack("nnnn", 9, 9, 8, 1);
		socket(my $socket, 17, 3, 0) or die "socket: $!";
		for (1 .. 3) {
			send($socket, $frame, 0, pack("SniSCCx8", 17, 0x86dd, $ifindex, 0, 0, 6))
				or die "send: $!";
		}
	END
}

@test "what is for the host's client goes nowhere else, by a priority tag either" {
	put_topology
	sed -i 's/"fd00:15::11\/64"\]/&, spoof_check: off/' "$topology" # it drops all tags
	grep -q spoof_check "$topology"
	publish "$red" '"[::1]:8081:8080/udp"'
	lab apply "$topology"
	find_cookie
	settle
	start_capture "$outside" eth0 udp
	send_tagged fd00:15::11 "$client6"
	stop_capture
	run -0 captured udp
	[[ -z $output ]]
	run -0 lab -j nat list
	[[ -z $output ]]
	[[ $(dropped nat-state) -gt 0 ]]
}

@test "on ::1 beside 127.0.0.1: what comes later, and goes, ends nothing of the other" {
	put_topology
	publish "$red" '"127.0.0.1:8080:8080/tcp"'
	lab apply "$topology"
	find_cookie
	serve "$red" tcp 8080
	hold "$host" 127.0.0.1 8080
	publish "$red" '"127.0.0.1:8080:8080/tcp", "[::1]:8080:8081/tcp"'
	lab apply "$topology"
	serve "$red" tcp6 8081
	calls "$host" tcp6 ::1 8080
	still_held two
	publish "$red" '"127.0.0.1:8080:8080/tcp"'
	lab apply "$topology"
	calls_in_vain "$host" tcp6 ::1 8080
	still_held three
	exec 7>&-
}

@test "on ::1 without IPv6 at the uplink, and not without it at the loopback interface" {
	put_topology
	publish "$red" '"[::1]:8080:8080/tcp"'
	ip -n "$host" address del "$uplink_address6/64" dev eth0
	lab apply "$topology"
	find_cookie
	exchange tcp "$host" "$red" ::1
	[[ $caller == "$client6" ]]
	on "$host" sysctl -qw net.ipv6.conf.lo.disable_ipv6=1
	run -2 lab plan "$topology"
	[[ $output == *"$topology:"*"namespace '$red' cannot be published on ::1, which the host's 'lo' does not have"* ]]
	publish "$red" '"127.0.0.1:8080:8080/tcp"'
	lab apply "$topology"
	exchange tcp "$host" "$red" 127.0.0.1
	on "$host" sysctl -qw net.ipv6.conf.lo.disable_ipv6=0
	run -0 lab -j show lab
	run -0 jq -r '.uplinks[] | select(.name == "lo") | "\(.address) \(.address6)"' <<<"$output"
	[[ $output == "127.0.0.1 null" ]]
}

@test "on ::1: a program of the host that has the port is not cut off, and one that comes later is told of" {
	put_topology
	serve "$host" tcp6 8080
	publish "$red" '"[::1]:8080:8080/tcp"'
	run ! lab apply "$topology"
	[[ $output == *"cannot publish port 8080/tcp: a program of the host uses it"* ]]
	kill "$server"
	wait "$server" || :
	lab apply "$topology"
	find_cookie
	exchange tcp "$host" "$red" ::1
	on "$host" timeout 100 nc -6 -n -l -k ::1 8080 3>&- &
	await_listener "$host" tcp6 8080
	run lab doctor
	[[ $output == *"port-taken"*"lo tcp port 8080"*"on ::1"* ]]
}

@test "the loopback interface is as it was when nothing is published, and others' things there stay" {
	put_topology
	lab apply "$topology"
	find_cookie
	run -0 tc -n "$host" qdisc show dev lo
	[[ $output != *clsact* ]]
	publish "$red" '"127.0.0.1:8080:8080/tcp"'
	lab apply "$topology"
	run -0 tc -n "$host" filter show dev lo egress
	[[ $output == *nsr_local_out* ]]
	run -0 tc -n "$host" filter show dev lo ingress
	[[ -z $output ]]
	tc -n "$host" filter del dev lo egress
	run lab plan "$topology"
	echo "$output"
	[[ $output == *"uplink lo: what the host sends to published ports"* ]]
	run lab doctor
	echo "$output"
	[[ $output == *"nsroute's programs are not attached"* ]]
	lab apply "$topology"
	exchange tcp "$host" "$red" 127.0.0.1
	publish "$red"
	lab apply "$topology"
	run -0 tc -n "$host" qdisc show dev lo
	[[ $output != *clsact* ]]

	# Somebody's own, before and after.
	tc -n "$host" qdisc add dev lo clsact
	tc -n "$host" filter add dev lo egress pref 5 protocol ip u32 match u32 0 0
	publish "$red" '"127.0.0.1:8080:8080/tcp"'
	lab apply "$topology"
	lab down lab
	run -0 tc -n "$host" filter show dev lo egress
	[[ $output == *"pref 5 "* && $output != *nsr_local_out* ]]
	tc -n "$host" qdisc del dev lo clsact
	tc -n "$host" qdisc add dev lo ingress
	run -2 lab apply "$topology"
	[[ $output == *"interface 'lo' has an 'ingress' qdisc"* ]]
	tc -n "$host" qdisc del dev lo ingress
}
