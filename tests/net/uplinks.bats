#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Uplinks of every kind: VLAN, bond, bridge, macvlan, and layer-3 devices (tun, WireGuard, ipip, gre,
# sit). Each carries masqueraded traffic both ways, and the outside sees the uplink's address and no
# other. What this kernel lacks is skipped, by trying; check-kernels runs the file on kernels that have
# all of them, ten times slower: with SLOW=1, by which transfers for their length are left out, and
# kinds that are to the programs what another one is.

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # perl has dollars; run sets output; fabric.bash the names
load fabric

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	underlay=$uplink_address underlay_outside=$outside_address
	uplink_address=198.51.100.1 outside_address=198.51.100.10
}

teardown() {
	clean_up
}

# ---- Kinds. Each makes "wan" at the host and $peer at the outside, and sets $wire to where packets
# of it can be seen there.

# Whether the kernel knows the kind: it says so to a link of that kind, whatever else is wrong with it.
known() { # KIND
	local said
	said=$(ip -n "$host" link add nsr-probe type "$1" 2>&1) || true
	ip -n "$host" link delete nsr-probe 2>/dev/null || true
	[[ $said != *"Unknown device type"* && $said != *"Operation not supported"* ]]
}

need() { # KIND
	known "$1" || skip "this kernel has no $1"
}

unless_slow() {
	[[ -z ${SLOW-} ]] || skip "left out where it is slow"
}

at_both() { # WORDS...: of ip link add, with LOCAL and REMOTE for the addresses below
	local words=("$@")
	words=("${words[@]/LOCAL/$underlay}")
	ip -n "$host" link add "${words[@]/REMOTE/$underlay_outside}"
	words=("$@")
	words=("${words[@]/LOCAL/$underlay_outside}")
	ip -n "$outside" link add "${words[@]/REMOTE/$underlay}"
}

kind_vlan() {
	need vlan
	at_both link eth0 name wan type vlan id 100
	peer=wan wire=eth0
}

# A VLAN in a VLAN.
kind_qinq() {
	need vlan
	at_both link eth0 name service type vlan protocol 802.1ad id 10
	ip -n "$host" link set service up
	ip -n "$outside" link set service up
	at_both link service name wan type vlan id 100
	peer=wan wire=eth0
}

kind_bond() {
	need bond
	ip link add slave0 netns "$host" type veth peer name wire0 netns "$outside"
	ip -n "$host" link add wan type bond mode active-backup miimon 50
	ip -n "$host" link set slave0 master wan
	peer=wire0 wire=wire0
}

kind_bridge() {
	ip link add port0 netns "$host" type veth peer name wire0 netns "$outside"
	ip -n "$host" link add wan type bridge forward_delay 0
	ip -n "$host" link set port0 addrgenmode none master wan
	bridge -n "$host" link set dev port0 learning off # what it learned would be a difference
	ip -n "$host" link set port0 up
	peer=wire0 wire=wire0
}

kind_macvlan() {
	need macvlan
	ip -n "$host" link add link eth0 name wan type macvlan mode bridge
	peer=eth0 wire=eth0
}

kind_tun() {
	modprobe -q tun 2>/dev/null || true # it makes its device file
	perl tests/net/tunnel.pl wan "$host" "$outside" >"$work/tunnel" 2>&1 3>&- &
	local i
	for ((i = 0; i < 200; i++)); do
		[[ ! -s $work/tunnel ]] || skip "no tun devices: $(<"$work/tunnel")"
		! ip -n "$host" link show wan >/dev/null 2>&1 ||
			! ip -n "$outside" link show wan >/dev/null 2>&1 || break
		sleep 0.05
	done
	peer=wan wire=wan
}

kind_wireguard() {
	need wireguard
	type -P wg >/dev/null || skip "no wg: make deps-long"
	local here there
	here=$(wg genkey) there=$(wg genkey)
	at_both wan type wireguard
	on "$host" wg set wan listen-port 51820 private-key <(echo "$here") \
		peer "$(wg pubkey <<<"$there")" endpoint "$underlay_outside:51820" allowed-ips 0.0.0.0/0
	on "$outside" wg set wan listen-port 51820 private-key <(echo "$there") \
		peer "$(wg pubkey <<<"$here")" endpoint "$underlay:51820" allowed-ips 0.0.0.0/0
	peer=wan wire=wan
}

kind_ipip() {
	need ipip
	at_both name wan type ipip local LOCAL remote REMOTE
	peer=wan wire=eth0
}

kind_gre() {
	need gre
	at_both name wan type gre local LOCAL remote REMOTE
	peer=wan wire=eth0
}

kind_sit() {
	need sit
	at_both name wan type sit local LOCAL remote REMOTE mode any
	peer=wan wire=eth0
}

# ---- What is the same for all

await_running() { # NAMESPACE INTERFACE: a layer-3 device never says more of its state
	local i
	for ((i = 0; i < 200; i++)); do
		[[ $(ip -n "$1" -o link show "$2") != *LOWER_UP* ]] || return 0
		sleep 0.02
	done
	return 1
}

address() {
	ip -n "$outside" address add "$outside_address/24" dev "$peer"
	ip -n "$host" address add "$uplink_address/24" dev wan
	# Late addresses of the kernel's choice would make a difference between before and after.
	ip -n "$host" link set wan addrgenmode none
	ip -n "$outside" link set "$peer" addrgenmode none up
	ip -n "$host" link set wan up
	await_running "$host" wan
	await_running "$outside" "$peer"
	ip -n "$host" route replace default dev wan via "$outside_address"
}

put_uplink() { # UPLINK [DATAPATH]
	put_topology "${2-}"
	sed -i "s/masquerade: eth0/masquerade: $1/" "$topology"
	on "$host" sysctl -qw net.ipv4.conf.wan.rp_filter=0
}

counts() { # JQ-EXPRESSION: of the uplink
	stats ".uplinks[] | select(.name == \"wan\") | $1"
}

# What passes the uplink's hooks is translated, passed or dropped, and each interface counts the same.
assert_conserved() {
	[[ $(counts '.tx_packets - .tx_translated - .tx_passed - .tx_dropped') == 0 ]]
	[[ $(counts '.rx_packets - .rx_translated - .rx_passed - .rx_dropped') == 0 ]]
	(($(counts .tx_translated) > 0 && $(counts .rx_translated) > 0))
}

assert_hidden() {
	run -0 captured ''
	[[ -n $output ]]
	run ! grep -nE '(192\.168\.1[56]|10\.99\.0)\.[0-9]|fd00:1[56]:' <<<"$output"
}

# Out and in by all protocols, from both networks.
traffic_outside() {
	local name protocol
	for name in "$red" "$green"; do
		pings "$name" "$outside_address"
		for protocol in tcp udp; do
			exchange "$protocol" "$name" "$outside" "$outside_address"
			[[ $caller == "$uplink_address" ]]
		done
	done
	pings "$host" "$outside_address" # the host's own
}

carries_traffic() { # KIND
	"kind_$1"
	address
	put_uplink wan
	[[ $1 != tun && $1 != bridge ]] || host_state >"$work/before"
	run -0 lab apply "$topology"
	find_cookie
	run -0 lab plan "$topology"
	start_capture "$outside" "$wire"
	traffic_outside
	stop_capture
	assert_hidden
	assert_conserved
	[[ $(stats '.drops | add') == 0 ]]
	# Once the next hop is known, and the flow has a session, it goes by the fast path both ways.
	mark_counters
	on "$red" ping -n -q -c 20 -i 0.02 "$outside_address" >/dev/null
	(($(fast_share) >= 50))
	(($(counts .rx_fast) >= 15))
	if [[ -z ${SLOW-} ]]; then
		bulk "$red" "$outside" "$outside_address" >/dev/null
		bulk "$green" "$outside" "$outside_address" -R >/dev/null
	fi
	assert_conserved
	assert_counts_agree
	run -0 lab down lab
	[[ ! -e $work/before ]] || assert_as_before
}

# What the namespaces' interfaces count and what nsroute counts for them.
assert_counts_agree() {
	if peer_is_counted; then
		assert_counts_equal
	else
		assert_counts_equal ' rx .*'
	fi
}

# ---- Tests

@test "VLAN" {
	carries_traffic vlan
}

@test "VLAN in a VLAN" {
	unless_slow
	carries_traffic qinq
}

@test "bond" {
	carries_traffic bond
}

@test "bridge, with an interface as its port" {
	unless_slow
	carries_traffic bridge
}

@test "macvlan" {
	unless_slow
	carries_traffic macvlan
}

@test "tun" {
	carries_traffic tun
}

@test "WireGuard" {
	carries_traffic wireguard
}

@test "ipip" {
	carries_traffic ipip
}

@test "gre" {
	carries_traffic gre
}

@test "sit, with IPv4 in it" {
	carries_traffic sit
}

# ---- Fragments and ICMP errors at layer-3 devices, which have programs of their own

# A UDP socket that prints letter and length of a datagram, and who sent it.
receive() { # NAMESPACE PORT
	ip netns exec "$1" timeout 30 perl -MIO::Socket::INET -e '
		my $s = IO::Socket::INET->new(Proto => "udp", LocalPort => $ARGV[0]) or die;
		my $from = recv($s, my $data, 65535, 0) // die;
		my ($port, $address) = sockaddr_in($from);
		my $letter = substr($data, 0, 1);
		die "mixed" if $data ne $letter x length($data);
		print $letter, " ", length($data), " from ", inet_ntoa($address), ":$port\n"' \
		"$2" >"$work/received" 3>&- &
	receiving=$!
	await_listener "$1" udp "$2"
}

received() {
	wait "$receiving"
	run -0 cat "$work/received"
}

fragments_pass() {
	local order ids=100
	pings "$red" "$outside_address" -s 8000
	for order in 0,1,2,3,4,5 5,4,3,2,1,0; do
		receive "$outside" 8080
		on "$red" tests/net/fragments.pl 192.168.15.11:5555 "$outside_address:8080" "$((++ids))" \
			r "$order"
		received
		[[ $output == "r 8000 from $uplink_address:5555" ]]
		receive "$red" 5555
		on "$outside" tests/net/fragments.pl "$outside_address:8080" "$uplink_address:5555" \
			"$((++ids))" s "$order"
		received
		[[ $output == "s 8000 from $outside_address:8080" ]]
	done
}

# The datagram goes to a closed port: whoever sent it is told so.
refusal_arrives() { # NAMESPACE FROM-PORT ADDRESS PORT
	run -0 on "$1" timeout 30 perl -MIO::Socket::INET -e '
		my $s = IO::Socket::INET->new(Proto => "udp", LocalPort => $ARGV[0],
			PeerAddr => $ARGV[1], PeerPort => $ARGV[2]) or die;
		for (1 .. 100) {
			last if !defined send($s, "x", 0);
			select(undef, undef, undef, 0.1);
		}
		print "$!\n"' "${@:2}"
	[[ $output == "Connection refused" ]]
}

fragments_and_errors() { # KIND
	"kind_$1"
	address
	put_uplink wan
	run -0 lab apply "$topology"
	find_cookie
	start_capture "$outside" "$wire"
	fragments_pass
	refusal_arrives "$red" 7777 "$outside_address" 9
	refusal_arrives "$outside" 9 "$uplink_address" 7777 # what was red's; nobody is there any more
	stop_capture
	assert_hidden
	run -0 captured "icmp and src host $uplink_address"
	[[ $wire != wan || $output == *"$uplink_address udp port 7777 unreachable"* ]]
	[[ $(stats '.drops | add') == 0 ]]
	assert_conserved
}

@test "tun: fragments in any order, and ICMP errors both ways" {
	fragments_and_errors tun
	run -1 grep -iwE 'bad|wrong|incorrect' <<<"$(captured ip)"
}

@test "WireGuard: fragments in any order, and ICMP errors both ways" {
	fragments_and_errors wireguard
}

@test "tun: trace says what becomes of a packet there" {
	local port
	kind_tun
	address
	put_uplink wan
	run -0 lab apply "$topology"
	find_cookie
	run -0 lab trace --from "$red" --to "$outside_address:8080" --proto udp --source 192.168.15.11:5000
	[[ $output == *"sent by wan as $uplink_address:5000 by the kernel" ]]
	[[ $output == *"wan is a layer-3 device: no MAC is needed"* ]]
	exchange udp "$red" "$outside" "$outside_address"
	run -0 lab trace --from "$red" --to "$outside_address:8080" --proto udp --source 192.168.15.11:5000
	[[ $output == *"sent by wan as $uplink_address:5000 by the fast path" ]]
	port=$(lab -j nat list | jq -r 'select(.protocol == "udp") | .external_port')
	run -0 lab trace --in wan --proto udp --source "$outside_address:8080" --to "$uplink_address:$port"
	[[ $output == *"delivered to $red eth0 by the fast path" ]]
	run -0 lab -j trace --in wan --proto udp --source "$outside_address:8080" --to 192.168.15.11:53
	[[ $(jq -r '.answer.reason' <<<"$output") == inbound-refused ]]
	[[ $(jq -c '.packet | [.source_mac, .destination_mac, .length]' <<<"$output") == "[null,null,84]" ]]
}

attached() { # HOOK: name and number of our program at the uplink
	tc -n "$host" -j filter show dev wan "$1" | jq -r '.[].options // empty | select(.prog) |
		"\(.bpf_name) \(.prog.id)"'
}

@test "tun: another build takes over, with programs of the same kind and all flows" {
	local hook before after
	kind_tun
	address
	put_uplink wan
	run -0 lab apply "$topology"
	find_cookie
	traffic_outside
	before=$(counts .nat.created)
	for hook in ingress egress; do
		attached "$hook" >"$work/$hook"
	done
	run -0 "$NSROUTE-code" --netns "$host" apply "$topology"
	for hook in ingress egress; do
		after=$(attached "$hook")
		[[ $after == nsr_bare_* && $after != "$(<"$work/$hook")" ]]
	done
	[[ $(counts .nat.created) == "$before" ]]
	traffic_outside
	fragments_pass
	[[ $(stats '.drops | add') == 0 ]]
	assert_conserved
}

# ---- What leaves by a device that a VLAN is upon

@test "in a VLAN upon the uplink no masqueraded source leaves, and what is the host's does" {
	unwatched "the host has private addresses of its own in that VLAN; what leaves is captured here"
	need vlan
	at_both link eth0 name eth0.100 type vlan id 100
	ip -n "$host" address add 10.77.0.1/24 dev eth0.100
	ip -n "$outside" address add 10.77.0.2/24 dev eth0.100
	ip -n "$host" link set eth0.100 addrgenmode none up
	ip -n "$outside" link set eth0.100 addrgenmode none up
	await_running "$host" eth0.100
	await_running "$outside" eth0.100
	uplink_address=$underlay outside_address=$underlay_outside
	up
	start_capture "$outside" eth0
	pings "$host" 10.77.0.2
	exchange tcp "$host" "$outside" 10.77.0.2
	[[ $(uplink_dropped wrong-uplink) == 0 ]]
	# Whole packets of a program of the host's, with a source that is not its own.
	on "$host" tests/net/fragments.pl 192.168.15.11:5555 10.77.0.2:8080 7 x 0,5
	[[ $(uplink_dropped wrong-uplink) == 2 ]]
	pings "$red" "$outside_address"
	stop_capture
	assert_hidden
	run -0 captured "vlan 100 and host 10.77.0.1"
	[[ -n $output ]]
}
