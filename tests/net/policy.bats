#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What must not pass: it is dropped, counted with its reason, and nobody receives it. Each refusal is
# tested with the fast path and with "datapath: kernel", which must be as strict.

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
}

teardown() {
	clean_up
}

# Also shows that a fabric that is up changes from one mode to the other.
in_both_modes() { # FUNCTION
	up
	"$1"
	echo "now with datapath: kernel"
	put_topology kernel
	lab apply "$topology"
	"$1"
}

# Three frames with an IPv4 header and eight bytes; TAG is a VLAN tag in hexadecimal, or nothing.
# perl, because it is on every Debian.
send_ipv4() { # NAMESPACE INTERFACE DESTINATION-MAC SOURCE DESTINATION PROTOCOL [TAG]
	on "$1" perl - "$(mac_of "$1" "$2")" "$(on "$1" cat "/sys/class/net/$2/ifindex")" "${@:3}" <<-'END'
		my ($source_mac, $ifindex, $mac, $source, $destination, $protocol, $tag) = @ARGV;
		my $header = pack("nnnnCCnC4C4", 0x4500, 28, 1, 0, 64, $protocol, 0,
				  split(/\./, $source), split(/\./, $destination));
		my $sum = unpack("%32n*", $header);
		substr($header, 10, 2) = pack("n", ~(($sum & 0xffff) + ($sum >> 16)) & 0xffff);
		my $frame = pack("H*", join("", $mac, $source_mac, $tag) =~ s/://gr) .
			    pack("n", 0x0800) . $header . "\0" x 8;
		# AF_PACKET, SOCK_RAW; the address is a struct sockaddr_ll
		socket(my $socket, 17, 3, 0) or die "socket: $!";
		for (1 .. 3) {
			send($socket, $frame, 0, pack("SniSCCx8", 17, 0x0800, $ifindex, 0, 0, 6))
				or die "send: $!";
		}
	END
}

no_ping() { # NAMESPACE ADDRESS [OPTION...]
	local namespace=$1 address=$2
	shift 2
	run -1 on "$namespace" ping -n -q -c 3 -i 0.05 -W 0.2 "$@" "$address"
	[[ $output == *"100% packet loss"* ]]
}

# Runs the command, and expects that COUNTER (a command that prints it) grows by NUMBER at least.
counts() { # NUMBER COUNTER -- COMMAND...
	local number=$1 counter=() before
	shift
	while [[ $1 != -- ]]; do
		counter+=("$1")
		shift
	done
	shift
	before=$("${counter[@]}")
	"$@"
	echo "${counter[*]}: $before, now $("${counter[@]}")"
	(($("${counter[@]}") >= before + number))
}

spoofed_address() {
	# Else what is dropped is the question for blue's MAC.
	pings "$red" 192.168.15.12
	pings "$red" fd00:15::12
	start_capture "$blue" eth0
	for address in 192.168.15.77 192.168.16.11 192.168.15.1 "$outside_address" 0.0.0.0; do
		counts 3 dropped "$red" spoofed-address -- \
			send_ipv4 "$red" eth0 "$(mac_of "$blue" eth0)" "$address" 192.168.15.12 17
	done
	ip -n "$red" address add 192.168.15.77/24 dev eth0
	counts 3 dropped "$red" spoofed-address -- no_ping "$red" 192.168.15.12 -I 192.168.15.77
	ip -n "$red" address del 192.168.15.77/24 dev eth0
	ip -n "$red" address add fd00:15::77/64 dev eth0 nodad
	counts 3 dropped "$red" spoofed-address -- no_ping "$red" fd00:15::12 -I fd00:15::77
	ip -n "$red" address del fd00:15::77/64 dev eth0
	stop_capture
	# The bridge reports its multicast groups.
	run -0 captured "(ip and not igmp and not src host 192.168.15.11) or src host fd00:15::77"
	[[ -z $output ]]
	pings "$red" 192.168.15.12
	# What the file routes by a namespace may come from it.
	pings "$red" 10.99.0.2
}

@test "a source address that was not given to the interface" {
	in_both_modes spoofed_address
}

spoofed_mac() {
	mac=$(mac_of "$red" eth0)
	start_capture "$blue" eth0
	for fake in 02:00:00:00:00:99 "$(mac_of "$blue" eth0)" "$(mac_of "$host" v-net-0)"; do
		ip -n "$red" link set eth0 address "$fake"
		counts 3 dropped "$red" spoofed-mac -- \
			send_ipv4 "$red" eth0 "$(mac_of "$blue" eth0)" 192.168.15.11 192.168.15.12 17
		counts 3 dropped "$red" spoofed-mac -- \
			send_ipv4 "$red" eth0 ff:ff:ff:ff:ff:ff 192.168.15.11 192.168.15.255 17
	done
	stop_capture
	# The bridge sends as itself, but no UDP.
	run -0 captured "udp or ether src 02:00:00:00:00:99 or ether src $(mac_of "$blue" eth0)"
	[[ -z $output ]]
	ip -n "$red" link set eth0 address "$mac"
	pings "$red" 192.168.15.12
}

@test "a source MAC that is not the interface's" {
	in_both_modes spoofed_mac
}

vlan_tags() {
	start_capture "$blue" eth0
	counts 3 dropped "$red" vlan-tag -- send_ipv4 "$red" eth0 "$(mac_of "$blue" eth0)" \
		192.168.15.11 192.168.15.12 17 81000005
	# Priority tag, service tag, and one behind the other.
	counts 3 dropped "$red" vlan-tag -- send_ipv4 "$red" eth0 "$(mac_of "$host" v-net-0)" \
		192.168.15.11 "$outside_address" 17 81000000
	counts 3 dropped "$red" vlan-tag -- send_ipv4 "$red" eth0 "$(mac_of "$blue" eth0)" \
		192.168.16.11 192.168.15.12 17 88a80005
	counts 3 dropped "$red" vlan-tag -- send_ipv4 "$red" eth0 "$(mac_of "$blue" eth0)" \
		192.168.16.11 192.168.15.12 17 8100000581000005
	stop_capture
	run -0 captured "udp or vlan"
	[[ -z $output ]]
}

@test "VLAN tags" {
	in_both_modes vlan_tags
}

# More of send_ipv4, for what it does not send: a packet in hexadecimal, from the IPv4 header on, the
# header's checksum put right. perl, because it is on every Debian.
send_packet() { # NAMESPACE INTERFACE DESTINATION-MAC HEXADECIMAL [TAG]
	on "$1" perl - "$(mac_of "$1" "$2")" "$(on "$1" cat "/sys/class/net/$2/ifindex")" "${@:3}" <<-'END'
		my ($source_mac, $ifindex, $mac, $hex, $tag) = @ARGV;
		my $packet = pack("H*", $hex =~ s/ //gr);
		my $words = 2 * (ord($packet) & 15);
		my $sum = unpack("%32n$words", $packet);
		$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
		substr($packet, 10, 2) = pack("n", ~$sum & 0xffff);
		my $frame = pack("H*", join("", $mac, $source_mac, $tag) =~ s/://gr) .
			    pack("n", 0x0800) . $packet;
		socket(my $socket, 17, 3, 0) or die "socket: $!";
		for (1 .. 3) {
			send($socket, $frame, 0, pack("SniSCCx8", 17, 0x0800, $ifindex, 0, 0, 6))
				or die "send: $!";
		}
	END
}

hex_address() { # IPV4-ADDRESS
	# shellcheck disable=SC2046,SC2183 # four numbers
	printf '%02x%02x%02x%02x' $(tr . ' ' <<<"$1")
}

# A UDP packet from port 9 to port 53, without data.
udp_packet() { # SOURCE DESTINATION [OPTIONS-IN-HEXADECIMAL]
	local options=${3-}
	printf '4%x00%04x 00010000 40110000 %s %s %s 0009003500080000' $((5 + ${#options} / 8)) \
		$((28 + ${#options} / 2)) "$(hex_address "$1")" "$(hex_address "$2")" "$options"
}

# What is not as plain as almost all packets are, and where the kernel's way is not that of the
# destination alone.
wrong_uplink_by_detours() {
	local gateway
	gateway=$(mac_of "$host" v-net-0)
	start_capture "$elsewhere" eth0
	pings "$host" 198.51.100.10
	for address in 240.1.2.3 0.1.2.3 203.0.114.9; do
		counts 3 dropped "$red" wrong-uplink -- send_packet "$red" eth0 "$gateway" \
			"$(udp_packet 192.168.15.11 "$address")"
		# A frame with a priority, of one that may send what it likes.
		counts 3 dropped "$blue" wrong-uplink -- send_packet "$blue" eth0 "$gateway" \
			"$(udp_packet 192.168.15.12 "$address")" 8100e000
	done
	counts 3 dropped "$blue" vlan-tag -- send_packet "$blue" eth0 "$gateway" \
		"$(udp_packet 192.168.15.12 240.1.2.3)" 8100000081000000
	# To the host, which would send it on.
	counts 3 dropped "$red" ip-options -- send_packet "$red" eth0 "$gateway" \
		"$(udp_packet 192.168.15.11 192.168.15.1 "830704$(hex_address 240.1.2.3)00")"
	# By a rule for its port, which is behind options.
	ip -n "$host" rule add ipproto udp dport 53 table 100
	counts 3 dropped "$red" wrong-uplink -- send_packet "$red" eth0 "$gateway" \
		"$(udp_packet 192.168.15.11 "$outside_address")"
	counts 3 dropped "$red" wrong-uplink -- send_packet "$red" eth0 "$gateway" \
		"$(udp_packet 192.168.15.11 "$outside_address" 01010100)"
	ip -n "$host" rule del ipproto udp dport 53 table 100
	# Forwarding of IPv6 is off where it comes in, which the kernel does not mind.
	on "$host" sysctl -qw net.ipv6.conf.v-net-0.forwarding=0
	counts 3 dropped "$red" wrong-uplink -- no_ping "$red" 2001:db8:100::10
	pings "$red" fd00:15::1
	on "$host" sysctl -qw net.ipv6.conf.v-net-0.forwarding=1
	# To a namespace that the kernel takes another way to.
	ip -n "$host" route add 192.168.16.11 via 198.51.100.10
	counts 3 dropped "$red" wrong-uplink -- send_packet "$red" eth0 "$gateway" \
		"$(udp_packet 192.168.15.11 192.168.16.11 01010100)"
	ip -n "$host" route del 192.168.16.11
	stop_capture
	[[ $(captured "src host 198.51.100.1" | wc -l) -ge 3 ]]
	run -0 captured "src net 192.168.0.0/16 or src net fd00::/16"
	[[ -z $output ]]
}

wrong_uplink() {
	start_capture "$elsewhere" eth0
	pings "$host" 198.51.100.10
	counts 3 dropped "$red" wrong-uplink -- no_ping "$red" 198.51.100.10
	counts 3 dropped "$green" wrong-uplink -- \
		send_ipv4 "$green" eth0 "$(mac_of "$host" v-net-1)" 192.168.16.11 198.51.100.10 17
	counts 3 dropped "$red" wrong-uplink -- no_ping "$red" 2001:db8:100::10
	# Another route to where the uplink leads, while flows are there.
	pings "$red" "$outside_address"
	ip -n "$host" route add "$outside_address" via 198.51.100.10
	counts 3 dropped "$red" wrong-uplink -- no_ping "$red" "$outside_address"
	ip -n "$host" route del "$outside_address"
	pings "$red" "$outside_address"
	stop_capture
	[[ $(captured "src host 198.51.100.1" | wc -l) -ge 3 ]]
	run -0 captured "src net 192.168.0.0/16 or src net fd00::/16"
	[[ -z $output ]]
}

# eth1, no uplink, which leads to $elsewhere.
another_interface() {
	elsewhere=nsr-else-$suffix
	new_namespace "$elsewhere"
	ip link add eth1 netns "$host" type veth peer name eth0 netns "$elsewhere"
	ip -n "$host" address add 198.51.100.1/24 dev eth1
	ip -n "$host" address add 2001:db8:100::1/64 dev eth1 nodad
	ip -n "$elsewhere" address add 198.51.100.10/24 dev eth0
	ip -n "$elsewhere" address add 2001:db8:100::10/64 dev eth0 nodad
	ip -n "$host" link set eth1 up
	ip -n "$elsewhere" link set eth0 up
	# Were anything to arrive, it would be answered.
	ip -n "$elsewhere" route add default via 198.51.100.1
	on "$host" sysctl -qw net.ipv4.ip_forward=1
}

@test "a masqueraded source on the way to another interface than its uplink" {
	another_interface
	in_both_modes wrong_uplink
}

@test "a masqueraded source on its way to another interface by options, tags, rules and odd addresses" {
	another_interface
	ip -n "$host" route add 240.0.0.0/4 via 198.51.100.10
	ip -n "$host" route add 0.0.0.0/8 via 198.51.100.10
	ip -n "$host" route add 203.0.114.0/24 via 198.51.100.10
	ip -n "$host" route add default via 198.51.100.10 table 100
	on "$host" sysctl -qw net.ipv4.conf.all.accept_source_route=1
	for mode in auto kernel; do
		echo "== datapath: $mode"
		put_topology "$mode"
		# blue may send what it likes
		sed -i 's/192.168.15.12\/24, "fd00:15::12\/64"\]/&, spoof_check: off/' "$topology"
		lab apply "$topology"
		find_cookie
		settle
		wrong_uplink_by_detours
	done
}

# Straight to an inside address, with a tag that the kernel takes off, and by a source route.
inbound_by_detours() {
	local uplink
	uplink=$(mac_of "$host" eth0)
	start_capture "$red" eth0
	counts 3 uplink_dropped inbound-refused -- send_packet "$outside" eth0 "$uplink" \
		"$(udp_packet "$outside_address" 192.168.15.11)" 8100e000
	counts 3 uplink_dropped vlan-tag -- send_packet "$outside" eth0 "$uplink" \
		"$(udp_packet "$outside_address" 192.168.15.11)" 8100000081000000
	counts 3 uplink_dropped ip-options -- send_packet "$outside" eth0 "$uplink" \
		"$(udp_packet "$outside_address" "$uplink_address" "830704$(hex_address 192.168.15.11)00")"
	stop_capture
	run -0 captured udp
	[[ -z $output ]]
}

@test "what the outside sends to an inside address by a tag or a source route" {
	on "$host" sysctl -qw net.ipv4.conf.all.accept_source_route=1
	in_both_modes inbound_by_detours
}

# The kernel's masquerade would show where a packet has been.
recorded_route() {
	start_capture "$outside" eth0
	pings "$red" "$outside_address" -R
	stop_capture
	assert_no_leak
	[[ $(captured "icmp[0] == 8" | grep -c "$uplink_address > $outside_address") -ge 3 ]]
	run -0 captured "icmp"
	[[ $output != *192.168.* ]]
}

@test "options that record addresses tell nothing of the inside" {
	in_both_modes recorded_route
}

inbound() {
	start_capture "$red" eth0
	counts 3 uplink_dropped inbound-refused -- no_ping "$outside" 192.168.15.11
	counts 3 uplink_dropped inbound-refused -- no_ping "$outside" fd00:15::11
	counts 3 uplink_dropped inbound-refused -- \
		send_ipv4 "$outside" eth0 "$(mac_of "$host" eth0)" "$outside_address" 192.168.15.11 6
	# The host itself is none of our business.
	pings "$outside" "$uplink_address"
	pings "$outside" "$uplink_address6"
	stop_capture
	run -0 captured "src host $outside_address or src host $outside_address6"
	[[ -z $output ]]
}

@test "what the outside sends straight to an inside address" {
	ip -n "$outside" route add 192.168.0.0/16 via "$uplink_address"
	ip -n "$outside" route add fd00::/16 via "$uplink_address6"
	in_both_modes inbound
}

untranslatable() {
	local protocol
	start_capture "$outside" eth0
	for protocol in 51 33 136 139 1; do # the last as an echo reply
		counts 3 uplink_dropped nat-protocol -- send_ipv4 "$red" eth0 \
			"$(mac_of "$host" v-net-0)" 192.168.15.11 "$outside_address" "$protocol"
	done
	counts 3 uplink_dropped nat-protocol -- send_ipv6 "$red" "$outside_address6" 136
	stop_capture
	assert_no_leak
	run -0 captured "ip and not icmp"
	[[ -z $output ]]
}

@test "what cannot be masqueraded does not leave at all" {
	ip -n "$outside" route add fd00::/16 via "$uplink_address6"
	in_both_modes untranslatable
}

@test "without a port to be had nothing leaves; the flows that are there go on" {
	put_topology
	sed -i 's/masquerade: eth0/masquerade: {uplink: eth0, ports: 40000-40003}/' "$topology"
	lab apply "$topology"
	find_cookie
	start_capture "$outside" eth0
	ip netns exec "$red" ping -n -q -c 100 -i 0.02 "$outside_address" >"$work/ping" 3>&- &
	# shellcheck disable=SC2016 # expanded inside
	# One namespace may have half of them.
	counts 18 uplink_dropped nat-flows-limit -- on "$red" bash -c \
		'for i in {1..20}; do echo >"/dev/udp/$0/9"; done' "$outside_address"
	wait $!
	grep ' 0% packet loss' "$work/ping"
	stop_capture
	assert_no_leak
	[[ $(captured "udp" | grep -c "$uplink_address.4000[0-3] > $outside_address.9") == 2 ]]
	[[ $(stats '.uplinks[0].nat.protocols.udp | "\(.ports_used) \(.ports_total)"') == "2 8" ]] # IPv6 has four more
}

filtered() {
	start_capture "$outside" eth0
	exchange udp "$red" "$outside" "$outside_address"
	stop_capture
	external=$(captured "udp and dst port 8080" | sed -nE "s/.*$uplink_address.([0-9]+) > .*/\1/p" | tail -n 1)
	start_capture "$red" eth0
	# shellcheck disable=SC2016 # expanded inside
	counts 3 uplink_dropped nat-filtered -- on "$outside" bash -c \
		'for i in 1 2 3; do echo >"/dev/udp/$0/$1"; done' "$uplink_address" "$external"
	stop_capture
	run -0 captured udp
	[[ -z $output ]]
}

@test "a mapped port answers to the remote that it talks to, and to no other" {
	in_both_modes filtered
}

# Untranslated until it leaves: the hook is behind the queue where it waits for the next hop's MAC.
@test "what waits for a next hop when the fabric goes does not leave" {
	up
	start_capture "$outside" eth0
	no_ping "$red" 203.0.113.99
	lab down --all
	on "$outside" ip address add 203.0.113.99/24 dev eth0
	sleep 2 # ARP asks once a second, three times
	stop_capture
	assert_no_leak
}

# An "ingress" qdisc would take the filter of both hooks for one, and nothing would guard what leaves.
@test "an uplink with no place for the guard is refused" {
	put_topology
	on "$host" tc qdisc add dev eth0 handle ffff: ingress
	run -2 lab apply "$topology"
	[[ $output == *"'eth0' has an 'ingress' qdisc"* ]]
	on "$host" tc qdisc del dev eth0 ingress
	on "$host" tc qdisc add dev eth0 clsact
	on "$host" tc filter add dev eth0 egress pref 20051 protocol ip u32 match u32 0 0
	run -2 lab apply "$topology"
	[[ $output == *"'eth0' has a filter of somebody else at priority 20051"* ]]
	run -0 on "$host" tc filter show dev eth0 egress
	[[ $output == *"pref 20051 u32"* ]]
	[[ $output != *nsr_* ]]
	run -0 lab show
	[[ $output == *"no fabrics"* ]]
}
