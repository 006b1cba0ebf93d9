#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Ports of namespaces at the uplink's address: reached from outside, from other namespaces and from
# the namespace itself (hairpin), changed while flows go on, refused where they cannot be.

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
}

teardown() {
	stop_captures
	clean_up
}

# ---- From outside

@test "from outside: TCP and UDP, whole datagrams and bulk, with the client's address" {
	local protocol
	published_up
	start_capture "$outside" eth0
	for protocol in tcp udp; do
		exchange "$protocol" "$outside" "$red" "$uplink_address"
		[[ $caller == "$outside_address" ]]
	done
	publish "$red" '"5201:5201/tcp"'
	lab apply "$topology"
	bulk "$outside" "$red" "$uplink_address"
	stop_capture
	assert_no_leak
}

@test "datapath: kernel: from outside and by hairpin" {
	local protocol
	published_up kernel
	for protocol in tcp udp; do
		exchange "$protocol" "$outside" "$red" "$uplink_address"
		[[ $caller == "$outside_address" ]]
		exchange "$protocol" "$blue" "$red" "$uplink_address"
		[[ $caller == "$uplink_address" ]]
	done
}

@test "ranges, other ports inside, one address; a port beside them is not published" {
	put_topology
	publish "$red" "\"9000-9003:7000-7003/tcp\", \"$uplink_address:5353:53/udp\""
	lab apply "$topology"
	find_cookie
	local port
	for port in 0 3; do
		serve "$red" tcp $((7000 + port))
		calls "$outside" tcp "$uplink_address" $((9000 + port))
		[[ $(last_caller $((7000 + port))) == "$outside_address "* ]]
	done
	serve "$red" tcp 7004
	calls_in_vain "$outside" tcp "$uplink_address" 9004
	serve "$red" udp 53
	calls "$outside" udp "$uplink_address" 5353
	[[ $(last_caller 53) == "$outside_address "* ]]
	run -0 lab plan "$topology"
}

@test "what the namespace sends from a published port has the published one" {
	put_topology
	publish "$red" '"9000:7000/udp"'
	lab apply "$topology"
	find_cookie
	serve "$outside" udp 4000
	calls "$red" udp "$outside_address" 4000 7000
	[[ $(last_caller 4000) == "$uplink_address 9000" ]]
}

# ---- Hairpin

@test "hairpin: from the same network, from another, and from the namespace itself" {
	local protocol name
	published_up
	start_capture "$outside" eth0
	for protocol in tcp udp; do
		for name in "$blue" "$green" "$red"; do
			exchange "$protocol" "$name" "$red" "$uplink_address"
			[[ $caller == "$uplink_address" ]]
		done
	done
	publish "$red" '"5201:5201/tcp"'
	lab apply "$topology"
	bulk "$green" "$red" "$uplink_address"
	stop_capture
	run -0 captured "not arp and not icmp6"
	[[ -z $output ]]
	[[ $(dropped nat-hairpin) == 0 ]]
}

@test "hairpin: datagrams in fragments, both ways; those to the host itself" {
	published_up
	serve "$red" udp 8080
	serve "$host" udp 2222
	for name in "$blue" "$green" "$red"; do
		SIZE=5000 calls "$name" udp "$uplink_address" 8080
		[[ $(last_caller 8080) == "$uplink_address "* ]]
	done
	# It answers by the gateway's address, which is another than the one that was called.
	SIZE=5000 PATIENCE=2 run ! calls "$blue" udp "$uplink_address" 2222
	[[ $(last_caller 2222) == "192.168.15.12 "* ]]
}

@test "hairpin: a mapped port that is not published lets in who it has sent to" {
	put_topology
	lab apply "$topology"
	find_cookie
	serve "$outside" udp 4000
	# blue's 6000 is mapped to 6000; it has sent to the outside only.
	calls "$blue" udp "$outside_address" 4000 6000
	serve "$blue" udp 6000
	calls_in_vain "$red" udp "$uplink_address" 6000 6001
	[[ ! -s $work/callers-6000 ]]
	(($(dropped nat-filtered) > 0))
	# Now it sends to red's mapping, which is 6001.
	kill "$server"
	wait "$server" || true
	calls_in_vain "$blue" udp "$uplink_address" 6001 6000
	serve "$blue" udp 6000
	calls "$red" udp "$uplink_address" 6000 6001
	[[ $(last_caller 6000) == "$uplink_address 6001" ]]
}

@test "hairpin: what is mapped for nobody is the host's own" {
	published_up
	exchange tcp "$red" "$host" 192.168.15.1
	serve "$host" tcp 2222
	calls "$red" tcp "$uplink_address" 2222
	[[ $(last_caller 2222) == "192.168.15.11 "* ]]
	pings "$red" "$uplink_address"
}

@test "hairpin: a forged source is dropped, whatever it is sent to" {
	published_up
	on "$blue" sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0
	ip -n "$blue" address add 192.168.15.77/32 dev lo
	serve "$red" udp 8080
	PATIENCE=2 run ! on "$blue" timeout 20 perl tests/net/echo.pl udp 8080 "$uplink_address" 0 192.168.15.77
	[[ ! -s $work/callers-8080 ]]
	(($(dropped spoofed-address) > 0))
}

# ---- Changes

@test "a live fabric: others are published and unpublished, and a connection goes on" {
	published_up
	serve "$red" tcp 8080
	hold "$outside" "$uplink_address" 8080
	serve "$blue" tcp 8081
	publish "$blue" '"8081:8081/tcp", "8090-8099:8090-8099/udp"'
	lab apply "$topology"
	calls "$outside" tcp "$uplink_address" 8081
	still_held two
	publish "$blue"
	run -0 lab apply "$topology"
	[[ $output == *"6 operations done"* ]] # of each family, reserved ports, and the mark of its port
	calls_in_vain "$outside" tcp "$uplink_address" 8081
	still_held three
	[[ $(sessions --port 8081) == 0 ]]

	publish "$red"
	lab apply "$topology"
	[[ $(sessions --port 8080) == 0 ]]
	run ! still_held four 50
	exec 7>&-
	calls_in_vain "$outside" tcp "$uplink_address" 8080
}

@test "a port goes to another namespace at once, and its flows with it" {
	published_up
	serve "$red" udp 8080
	calls "$outside" udp "$uplink_address" 8080 5000
	publish "$red"
	publish "$blue" '"8080:8081/udp"'
	lab apply "$topology"
	serve "$blue" udp 8081
	calls "$outside" udp "$uplink_address" 8080 5000
	[[ $(last_caller 8081) == "$outside_address 5000" && $(wc -l <"$work/callers-8080") == 1 ]]
}

@test "a port that packets have taken is published all the same, and so is one that sends" {
	put_topology
	lab apply "$topology"
	find_cookie
	serve "$outside" udp 4000
	calls "$blue" udp "$outside_address" 4000 9000
	[[ $(last_caller 4000) == "$uplink_address 9000" ]]
	calls "$red" udp "$outside_address" 4000 7000
	[[ $(last_caller 4000) == "$uplink_address 7000" ]]
	publish "$red" '"9000:7000/udp"'
	lab apply "$topology"
	[[ $(sessions) == 0 ]]
	serve "$red" udp 7000
	calls "$outside" udp "$uplink_address" 9000
	calls "$blue" udp "$outside_address" 4000 9000
	[[ $(last_caller 4000) == "$uplink_address "* && $(last_caller 4000) != *" 9000" ]]
}

@test "another address of the uplink: what is published is published there" {
	published_up
	serve "$red" tcp 8080
	ip -n "$host" address del "$uplink_address/24" dev eth0
	ip -n "$host" address add 203.0.113.7/24 dev eth0
	ip -n "$host" route replace default via "$outside_address"
	lab apply "$topology"
	calls "$outside" tcp 203.0.113.7 8080
	run -0 lab plan "$topology"
}

# ---- Reserved

reserved() { # TEXT: what the host's sysctl is
	[[ $(on "$host" sysctl -n net.ipv4.ip_local_reserved_ports) == "$1" ]]
}

# Sockets of the host's, one after the other, that are bound to nothing: each gets its answer.
asks_from_any_port() { # ADDRESS PORT
	on "$host" perl -MSocket -MIO::Select -e '
		for (1 .. 20) {
			socket(my $s, AF_INET, SOCK_DGRAM, 0) or die "socket: $!";
			send($s, "any", 0, sockaddr_in($ARGV[1], inet_aton($ARGV[0]))) or die "send: $!";
			IO::Select->new($s)->can_read(10) or die "no answer\n";
		}' "$@"
}

@test "reserved: what the host asks by any free port is answered to the host" {
	put_topology
	publish "$red" '"40000:7000/udp"'
	run -3 lab plan "$topology"
	[[ $output == *"~ sysctl net/ipv4/ip_local_reserved_ports: with 40000"* ]]
	lab apply "$topology"
	find_cookie
	on "$host" sysctl -qw net.ipv4.ip_local_port_range="40000 40001"
	serve "$outside" udp 4000
	asks_from_any_port "$outside_address" 4000
	[[ $(sort -u "$work/callers-4000") == "$uplink_address 40001" ]]
}

@test "reserved: what others put into the set stays; of two fabrics the last takes a port out" {
	on "$host" sysctl -qw net.ipv4.ip_local_reserved_ports=8079,9999
	put_topology
	publish "$red" '"8079-8081:79-81/tcp"'
	lab apply "$topology"
	find_cookie
	reserved 8079-8081,9999
	sed -e 's/^name: lab/name: other/' -e 's/v-net-/w-net-/g' -e 's/192\.168\.1/192.168.2/g' \
		-e 's/fd00:1/fd00:2/g' -e 's/10\.99/10.98/g' -e "s/-$suffix/-other-$suffix/g" \
		-e "s,8079-8081:79-81/tcp,8081-8082:81-82/udp," "$topology" >"$work/other.yaml"
	lab apply "$work/other.yaml"
	reserved 8079-8082,9999
	run -0 lab plan "$topology"
	on "$host" sysctl -qw net.ipv4.ip_local_reserved_ports=7777,8079-8082
	lab down lab
	reserved 7777,8079,8081-8082
	# What is others' is handed out to nobody; it has changed.
	run -3 lab plan "$work/other.yaml"
	[[ $output == *"~ ports not handed out: 7777,8079 (were 8079,9999): the host's ip_local_reserved_ports"* ]]
	((${#lines[@]} == 1))
	lab apply "$work/other.yaml"
	run -0 lab plan "$work/other.yaml"
	lab down other
	reserved 7777,8079
	# More than a page of text.
	local odd
	odd=$(seq -s, 1 2 9999)
	on "$host" perl -e 'open my $f, "+<", "/proc/sys/net/ipv4/ip_local_reserved_ports";
		for (my $at = 0; $at < length $ARGV[0];) { $at += syswrite $f, $ARGV[0], 9999, $at }' "$odd"
	reserved "$odd"
	lab apply "$topology"
	reserved "${odd/,8079,8081,/,8079-8081,}"
	lab down lab
	reserved "$odd"
}

@test "reserved: what the host has reserved for itself is handed out to nobody, from the next apply on" {
	put_topology
	lab apply "$topology"
	find_cookie
	serve "$outside" udp 4000
	calls "$red" udp "$outside_address" 4000 7000
	[[ $(last_caller 4000) == "$uplink_address 7000" ]]
	on "$host" sysctl -qw net.ipv4.ip_local_reserved_ports=7000-7001
	lab apply "$topology"
	# Who has it keeps it.
	calls "$red" udp "$outside_address" 4000 7000
	[[ $(last_caller 4000) == "$uplink_address 7000" ]]
	calls "$red" udp "$outside_address" 4000 7001
	[[ $(last_caller 4000) == "$uplink_address "* ]]
	[[ $(last_caller 4000) != "$uplink_address 7001" ]]
}

# ---- Refused

@test "refused: a port that the host listens on, another fabric's, an address that is not the uplink's" {
	put_topology
	serve "$host" tcp 8080
	publish "$red" '"8079-8081:79-81/tcp"'
	run -2 lab apply "$topology"
	[[ $output == *"$topology:"*"cannot publish port 8080/tcp: a program of the host uses it"* ]]
	kill "$server"
	wait "$server" || true
	lab apply "$topology"
	find_cookie

	sed -e 's/^name: lab/name: other/' -e 's/v-net-/w-net-/g' -e 's/192\.168\.1/192.168.2/g' \
		-e 's/fd00:1/fd00:2/g' -e 's/10\.99/10.98/g' -e "s/-$suffix/-other-$suffix/g" \
		-e "s/8079-8081:79-81/8081:81/" "$topology" >"$work/other.yaml"
	run -2 lab apply "$work/other.yaml"
	[[ $output == *"other.yaml:"*"fabric 'lab' has published port 8081/tcp at 'eth0' already"* ]]

	publish "$red" '"203.0.113.99:8080:80/tcp"'
	run -2 lab plan "$topology"
	[[ $output == *"cannot be published on 203.0.113.99: its uplink 'eth0' translates to $uplink_address"* ]]
}
