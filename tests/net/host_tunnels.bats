#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# UDP tunnels of the host at the external address. Their sockets are the kernel's: no process has them.
# A port of theirs is handed out to nobody, and what the other end sends stays the host's.

# shellcheck disable=SC2030,SC2031,SC2154 # run sets output; fabric.bash the names
load published

port=7789
near=198.19.77.1 beyond=198.19.77.2 # in the tunnel

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

# Red may have one other port than the tunnel's, green the other one.
setup() {
	new_host
	put_topology
	sed -i "s/masquerade: eth0/masquerade: {uplink: eth0, ports: $port-$((port + 1))}/" "$topology"
}

teardown() {
	clean_up
}

masquerade() {
	lab apply "$topology"
	find_cookie
	settle
}

need_kind() { # KIND UPLINK'S-ADDRESS
	local options=()
	case $1 in
	vxlan) options=(id 7 dstport "$port") ;;
	geneve) options=(id 7 remote 192.0.2.1 dstport "$port") ;;
	bareudp) options=(dstport "$port" ethertype ipv4) ;;
	fou)
		on "$outside" ip fou add port "$port" ipproto 4 2>/dev/null || skip "this kernel has no FOU"
		on "$outside" ip fou del port "$port"
		fou_link "$outside" "$2" 2>/dev/null || skip "this kernel has no FOU over IPv6"
		ip -n "$outside" link del tunnel
		unwatched "FOU takes its header out of a packet in place, before the watch has seen it"
		return 0
		;;
	wireguard) type -P wg >/dev/null || skip "wg is not installed" ;;
	esac
	ip -n "$outside" link add probe type "$1" "${options[@]}" 2>/dev/null || skip "this kernel has no $1"
	ip -n "$outside" link del probe
}

# An end of a tunnel.
tunnel() { # KIND NAMESPACE REMOTE ADDRESS OTHER
	local six=
	[[ $3 != *:* ]] || six=-6
	case $1 in
	vxlan) ip -n "$2" link add tunnel type vxlan id 7 remote "$3" dstport "$port" ;;
	geneve) ip -n "$2" link add tunnel type geneve id 7 remote "$3" dstport "$port" ;;
	wireguard) wireguard "$2" "$3" "$5" ;;
	bareudp)
		ip -n "$2" link add tunnel type bareudp dstport "$port" ethertype ipv4
		ip -n "$2" link set tunnel up
		ip -n "$2" route add "$5/32" encap ip${six#-} id 7 dst "$3" dev tunnel
		;;
	fou)
		# shellcheck disable=SC2086 # an option or none
		on "$2" ip fou add port "$port" ipproto 4 $six
		fou_link "$2" "$3"
		;;
	esac
	ip -n "$2" link set tunnel mtu 1300 up
	ip -n "$2" address add "$4/32" dev tunnel
	[[ $1 == bareudp ]] || ip -n "$2" route add "$5/32" dev tunnel
}

fou_link() { # NAMESPACE REMOTE
	local encap=(encap fou encap-sport "$port" encap-dport "$port")
	if [[ $2 == *:* ]]; then
		ip -n "$1" link add tunnel type ip6tnl mode ipip6 remote "$2" local "$(own_end "$2")" "${encap[@]}"
	else
		ip -n "$1" link add tunnel type ipip remote "$2" local "$(own_end "$2")" "${encap[@]}"
	fi
}

own_end() { # OTHER END
	case $1 in
	"$outside_address") echo "$uplink_address" ;;
	"$uplink_address") echo "$outside_address" ;;
	"$outside_address6") echo "$uplink_address6" ;;
	"$uplink_address6") echo "$outside_address6" ;;
	esac
}

wireguard() { # NAMESPACE REMOTE OTHER: keys are made once
	local name remote=$2
	[[ $remote != *:* ]] || remote=[$remote]
	for name in "$host" "$outside"; do
		[[ -e $work/key-$name ]] || wg genkey >"$work/key-$name"
	done
	name=$host
	[[ $1 == "$outside" ]] || name=$outside
	ip -n "$1" link add tunnel type wireguard
	on "$1" wg set tunnel listen-port "$port" private-key "$work/key-$1" \
		peer "$(wg pubkey <"$work/key-$name")" endpoint "$remote:$port" allowed-ips "$3/32"
}

both_ends() { # KIND OUTSIDE'S-ADDRESS UPLINK'S-ADDRESS
	tunnel "$1" "$host" "$2" "$near" "$beyond"
	tunnel "$1" "$outside" "$3" "$beyond" "$near"
}

# What a socket without a process looks like: it is there, and nobody's.
assert_of_the_kernel() { # ADDRESS OF THE FAMILY
	local file=udp
	[[ $1 != *:* ]] || file=udp6
	on "$host" grep -iE "^ *[0-9]+: 0*:$(printf %04X "$port") " "/proc/net/$file"
	run ! grep -q users: <(on "$host" ss -Hlnup "sport = $port")
}

external_ports() { # ADDRESS: that are in use towards it
	lab -j nat list --protocol udp | jq --arg remote "$1" 'select(.remote == $remote) | .external_port' | sort -u
}

# Before there is anything inside, while namespaces want its port, and when they have all the others.
tunnel_is_the_hosts() { # KIND OUTSIDE'S-ADDRESS UPLINK'S-ADDRESS
	local six=
	[[ $2 != *:* ]] || six=-6
	need_kind "$1" "$3"
	both_ends "$@"
	assert_of_the_kernel "$2"
	masquerade
	pings "$outside" "$near"
	sends "$red" "$port" "$2" 4001
	sends "$red" "$port" "$2" "$port"
	[[ $(external_ports "$2") == $((port + 1)) ]]
	# The other one has gone.
	sends "$green" "$port" "$2" 4001
	sends "$green" 5000 "$2" "$port"
	[[ $(external_ports "$2") == $((port + 1)) ]]
	(($(uplink_dropped nat-host-socket) == 2))
	pings "$outside" "$near"
	pings "$host" "$beyond"
	# And when it has gone, its port is anybody's.
	ip -n "$host" link del tunnel
	# shellcheck disable=SC2086 # an option or none
	[[ $1 != fou ]] || on "$host" ip fou del port "$port" $six
	sends "$green" "$port" "$2" 4001
	[[ $(external_ports "$2") == "$port"$'\n'$((port + 1)) ]]
}

# Red has the port, and flows by it, when the host's tunnel begins: the remote's end of it speaks first.
tunnel_comes_later() { # KIND OUTSIDE'S-ADDRESS UPLINK'S-ADDRESS
	need_kind "$1" "$3"
	masquerade
	sends "$red" "$port" "$2" 4001
	[[ $(external_ports "$2") == "$port" ]]
	both_ends "$@"
	pings "$outside" "$near"
	pings "$host" "$beyond"
	# Nor does red get there now, by that port.
	sends "$red" "$port" "$2" "$port"
	(($(uplink_dropped nat-host-socket) == 1))
	pings "$outside" "$near"
}

@test "VXLAN" {
	tunnel_is_the_hosts vxlan "$outside_address" "$uplink_address"
}

@test "VXLAN over IPv6" {
	tunnel_is_the_hosts vxlan "$outside_address6" "$uplink_address6"
}

@test "VXLAN that comes when its port is mapped" {
	tunnel_comes_later vxlan "$outside_address" "$uplink_address"
}

@test "VXLAN over IPv6 that comes when its port is mapped" {
	tunnel_comes_later vxlan "$outside_address6" "$uplink_address6"
}

@test "Geneve" {
	tunnel_is_the_hosts geneve "$outside_address" "$uplink_address"
}

@test "Geneve over IPv6" {
	tunnel_is_the_hosts geneve "$outside_address6" "$uplink_address6"
}

@test "WireGuard" {
	tunnel_is_the_hosts wireguard "$outside_address" "$uplink_address"
}

@test "WireGuard over IPv6" {
	tunnel_is_the_hosts wireguard "$outside_address6" "$uplink_address6"
}

@test "WireGuard that comes when its port is mapped" {
	tunnel_comes_later wireguard "$outside_address" "$uplink_address"
}

@test "bare UDP" {
	tunnel_is_the_hosts bareudp "$outside_address" "$uplink_address"
}

@test "foo over UDP" {
	tunnel_is_the_hosts fou "$outside_address" "$uplink_address"
}

@test "foo over UDP over IPv6" {
	tunnel_is_the_hosts fou "$outside_address6" "$uplink_address6"
}
