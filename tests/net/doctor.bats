#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What "nsroute doctor" finds in fabrics and in namespaces made by hand. Each finding is provoked with
# stock tools, and gone when the command that it prints has run.

# shellcheck disable=SC2030,SC2031,SC2154 # bats sets output; fabric.bash the names
load fabric

setup_file() {
	new_suffix
	bin=$(dirname "$(realpath "${NSROUTE:-build/nsroute}")")
	export PATH=$bin:$PATH # mends say "nsroute ..."
	unset SUDO_UID         # and "sudo" only to those who used it
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	fabric=lab
}

teardown() {
	[[ -z ${nameless-} ]] || kill "$nameless" || true
	clean_up
}

# ---- Findings

look() { # Sets report: of the fabric, or of everything when $fabric is empty.
	local problems
	run --separate-stderr lab -j doctor ${fabric:+"$fabric"}
	report=$output
	problems=$(jq .problems <<<"$report")
	((status == (problems ? 3 : 0))) || { echo "status $status: $output $stderr" >&2; return 1; }
	jq -e '.problems == ([.findings[] | select(.status == "problem")] | length)' <<<"$report" >/dev/null
}

found() { # CHECK WHERE
	jq -e --arg check "$1" --arg where "$2" 'any(.findings[]; .check == $check and
		.where == $where and (.status == "problem" or .status == "note") and
		(.what != "") and (.why != ""))' <<<"$report" >/dev/null
}

value() { # CHECK WHERE KEY
	jq -r --arg check "$1" --arg where "$2" \
		"first(.findings[] | select(.check == \$check and .where == \$where)).$3" <<<"$report"
}

# The finding is there; its command makes it go. Sets what and mend.
assert_mended() { # CHECK WHERE [note]
	look
	jq -r '.findings[] | select(.status == "problem" or .status == "note") |
		"\(.status) \(.check) \(.where): \(.what)\n\t\(.mend)"' <<<"$report"
	found "$1" "$2"
	[[ $(value "$1" "$2" status) == "${3:-problem}" ]]
	what=$(value "$1" "$2" what)
	mend=$(value "$1" "$2" mend)
	eval "$mend" 3>&-
	look
	! found "$1" "$2" || return 1
}

# No problem in what is looked at.
assert_well() {
	look
	jq -r '.findings[] | select(.status == "problem")' <<<"$report"
	((status == 0))
}

# As the tutorials do it: a bridge, red and blue on it; all up, with addresses.
by_hand() {
	red=red-$suffix blue=blue-$suffix
	fabric=
	ip -n "$host" link add v-net-0 type bridge
	ip -n "$host" link set v-net-0 up
	for name in red blue; do
		new_namespace "$name-$suffix"
		ip -n "$host" link add "veth-$name" type veth peer name "veth-$name-br"
		ip -n "$host" link set "veth-$name" netns "$name-$suffix"
		ip -n "$host" link set "veth-$name-br" master v-net-0 up
		ip -n "$name-$suffix" link set "veth-$name" up
	done
	ip -n "$host" address add 192.168.15.5/24 dev v-net-0
	ip -n "$red" address add 192.168.15.1/24 dev veth-red
	ip -n "$blue" address add 192.168.15.2/24 dev veth-blue
	ip -n "$red" route add default via 192.168.15.5
	ip -n "$blue" route add default via 192.168.15.5
	on "$host" sysctl -qw net.ipv4.ip_forward=1
}

# With mounts that nobody else has.
in_private() { # SCRIPT [ARGUMENT...]
	unshare --mount --propagation private bash -c "$1" in_private "${@:2}"
}

# Somebody's BPF program that lets everything go on its way: the name of its object file.
program() { # tc|xdp
	local verdict=0 # TC_ACT_OK
	[[ $1 != xdp ]] || verdict=2 # XDP_PASS
	clang -O2 -target bpf -x c -c - -o "$work/$1.o" <<-END
		__attribute__((section("$1"), used)) int stranger(void *context) { return $verdict; }
		__attribute__((section("license"), used)) char words[] = "GPL";
	END
	echo "$work/$1.o"
}

# ---- Nothing wrong

@test "every example's fabric is well" {
	ip link add eth1 netns "$host" type veth peer name eth1 netns "$outside" # for one of them
	ip -n "$host" link set eth1 up
	ip -n "$outside" link set eth1 mtu 1400 up
	ip -n "$outside" address add 198.51.100.1/24 dev eth1
	on "$outside" sysctl -qw net.ipv4.ip_forward=1
	for example in examples/*.yaml; do
		[[ $example != */open-vswitch.yaml ]] || continue # there is no switch here
		echo "== $example"
		edits=()
		while read -r name; do
			edits+=(-e "s/^  $name:/  $name-$suffix:/" -e "s/\"$name:/\"$name-$suffix:/")
			edits+=(-e "s/namespace: $name([,}]|$)/namespace: $name-$suffix\1/")
		done < <(sed -n '/^namespaces:/,/^[a-z]*:/s/^  \([a-z0-9-]*\):.*/\1/p' "$example")
		sed -E "${edits[@]}" "$example" >"$topology"
		fabric=$(sed -nE 's/^name: *([^ ]+).*/\1/p' "$example")
		lab apply --confirm 0 "$topology"
		find_cookie
		settle
		assert_well
		run -0 lab doctor "$fabric"
		[[ $output == *"good     fabric"*"$fabric: nothing is wrong with it"* ]]
		lab down "$fabric"
	done
}

@test "a fabric with traffic is well, with all networks and paths" {
	up
	settle
	traffic
	assert_well
	jq -e '.notes == 0' <<<"$report"
	# An unknown fabric is an error; without root one is told so.
	run -1 --separate-stderr lab doctor nothing
	[[ $stderr == "nsroute: there is no fabric 'nothing'" ]]
	run -1 lab doctor lab more
}

@test "what is made by hand, all of it right, is well" {
	by_hand
	look
	# shellcheck disable=SC2016 # jq's own
	run -0 jq -r --arg suffix "$suffix" \
		'.findings[] | select(.status == "problem" and ((.namespace // "") == "host" or
		((.namespace // "") | startswith("red-" + $suffix, "blue-" + $suffix))))' <<<"$report"
	[[ -z $output ]]
}

@test "text and JSON say the same" {
	up
	ip -n "$red" link set eth0 down
	look
	run -3 lab doctor lab
	[[ $output == *"problem  peer-down "*"$red:eth0: $(value peer-down "$red:eth0" what)"* ]]
	[[ $output == *"why:  $(value peer-down "$red:eth0" why)"* ]]
	[[ $output == *"mend: $(value peer-down "$red:eth0" mend)"* ]]
	[[ $(value peer-down "$red:eth0" fabric) == lab ]]
	[[ $(value peer-down "$red:eth0" namespace) == "$red" ]]
	[[ $(value peer-down "$red:eth0" interface) == eth0 ]]
}

# ---- Links

@test "down: lo, a namespace's end, the host's end, the bridge" {
	up
	ip -n "$red" link set lo down
	assert_mended lo-down "$red:lo"
	ip -n "$red" link set eth0 down
	assert_mended peer-down "$red:eth0"
	[[ $what == *"LOWERLAYERDOWN"* ]]
	end=$(lab -j show lab | jq -r --arg name "$red" '.namespaces[] | select(.name == $name) |
		.interfaces[0].host_end')
	ip -n "$host" link set "$end" down
	assert_mended peer-down "host:$end"
	[[ $what == *"$red:eth0"* ]]
	ip -n "$host" link set v-net-0 down
	assert_mended link-down host:v-net-0
}

@test "down, by hand: both ends of a cable, and lo of a new namespace" {
	fabric=
	ip netns add "new-$suffix"
	ip netns add "old-$suffix"
	ip -n "new-$suffix" link add a0 type veth peer name b0 netns "old-$suffix"
	look
	found lo-down "old-$suffix:lo"
	assert_mended lo-down "new-$suffix:lo"
	assert_mended link-down "new-$suffix:a0"
	assert_mended peer-down "old-$suffix:b0"
	ip -n "old-$suffix" link set b0 down
	assert_mended peer-down "old-$suffix:b0"
}

@test "no carrier: the other end is down in a namespace without a name" {
	local i
	fabric=
	new_namespace "a-$suffix"
	unshare --net sleep 300 3>&- &
	nameless=$!
	for ((i = 0; i < 500; i++)); do
		[[ $(readlink "/proc/$nameless/ns/net") == "$(readlink /proc/self/ns/net)" ]] || break
		sleep 0.02
	done
	ip -n "a-$suffix" link add a0 type veth peer name b0 netns "$nameless"
	ip -n "a-$suffix" link set a0 up
	look
	found no-carrier "a-$suffix:a0"
	mend=$(value no-carrier "a-$suffix:a0" mend)
	mend=${mend/PID/$nameless}
	eval "${mend/INTERFACE/b0}"
	await_link "a-$suffix" a0
	look
	! found no-carrier "a-$suffix:a0" || return 1
}

@test "gone: a link, a namespace, a namespace that is another one now" {
	up
	end=$(lab -j show lab | jq -r --arg name "$red" '.namespaces[] | select(.name == $name) |
		.interfaces[0].host_end')
	ip -n "$host" link del "$end"
	assert_mended link-missing "host:$end"
	ip netns del "$far"
	assert_mended namespace-missing "$far"
	ip netns del "$far"
	ip netns add "$far"
	assert_mended namespace-foreign "$far"
	settle
	assert_well
}

@test "MTU: the two ends of a cable, a bridge and its ports, the uplink" {
	up
	ip -n "$red" link set eth0 mtu 1600
	assert_mended mtu "$red:eth0"
	[[ $what == "MTU 1600, but 1500 at its other end host:"* ]]
	ip -n "$host" link set v-net-0 mtu 1400
	assert_mended mtu host:v-net-0
	lab apply "$topology"
	assert_well
	ip -n "$host" link set eth0 mtu 1400
	ip -n "$outside" link set eth0 mtu 1400
	export EDITOR="sed -i s/datapath:/mtu:\ 1400,&/"
	look
	found uplink-mtu host:eth0
	sed -i 's/{datapath:/{mtu: 1400, datapath:/' "$topology"
	EDITOR=true assert_mended uplink-mtu host:eth0 note
}

@test "a MAC address that somebody changed, outside and inside" {
	up
	end=$(lab -j show lab | jq -r --arg name "$red" '.namespaces[] | select(.name == $name) |
		.interfaces[0].host_end')
	ip -n "$host" link set "$end" address 02:00:00:00:99:01
	assert_mended mac-changed "host:$end"
	ip -n "$host" link set v-net-0 address 02:00:00:00:99:02
	assert_mended mac-changed host:v-net-0
	ip -n "$red" link set eth0 address 02:00:00:00:99:03
	assert_mended mac-changed "$red:eth0"
	[[ $mend == "ip -n $red link set eth0 address "* ]]
	pings "$red" 192.168.15.12
}

# ---- Addresses

@test "an address without a prefix length" {
	by_hand
	ip -n "$red" address flush dev veth-red
	ip -n "$red" address add 192.168.15.1 dev veth-red
	run ! on "$red" ping -c 1 -W 1 192.168.15.2
	assert_mended address-prefix "$red:veth-red"
	[[ $mend == *"192.168.15.1/24"* ]]
	pings "$red" 192.168.15.2
	assert_mended no-route-out "$red:veth-red"
	pings "$red" 192.168.15.5
}

@test "duplicate addresses, MAC addresses, and what duplicate detection says" {
	by_hand
	ip -n "$red" address add 192.168.15.2/24 dev veth-red
	where="$red:veth-red"
	look
	found duplicate-address "$where" || where="$blue:veth-blue"
	assert_mended duplicate-address "$where"
	[[ $what == *192.168.15.2* ]]

	ip -n "$blue" link set veth-blue address 02:00:00:00:99:01
	ip -n "$red" link set veth-red address 02:00:00:00:99:01
	look
	where="$red:veth-red"
	found duplicate-mac "$where" || where="$blue:veth-blue"
	assert_mended duplicate-mac "$where"

	ip -n "$red" address add fd00:15::1/64 dev veth-red nodad
	ip -n "$blue" address add fd00:15::1/64 dev veth-blue
	for ((i = 0; i < 100; i++)); do
		[[ $(ip -n "$blue" address show veth-blue) != *dadfailed* ]] || break
		sleep 0.1
	done
	assert_mended duplicate-address "$blue:veth-blue"
	[[ $what == *"failed duplicate detection"* ]]

	on "$blue" sysctl -qw net.ipv6.conf.veth-blue.dad_transmits=600
	ip -n "$blue" address add fd00:15::2/64 dev veth-blue
	look
	! found address-tentative "$blue:veth-blue" || return 1
	sleep 6.5
	assert_mended address-tentative "$blue:veth-blue"
	[[ $(ip -n "$blue" address show veth-blue) == *"fd00:15::2/64 scope global nodad"* ]]
}

@test "subnets that overlap, in a namespace and with the host's routes" {
	by_hand
	new_namespace "far-$suffix"
	ip -n "$red" link add p0 type veth peer name p0 netns "far-$suffix"
	ip -n "$red" link set p0 up
	ip -n "far-$suffix" link set p0 up
	ip -n "$red" address add 192.168.15.129/25 dev p0
	look
	where=$red:p0
	found subnet-overlap "$where" || where=$red:veth-red
	assert_mended subnet-overlap "$where"

	ip -n "$host" link del v-net-0
	for name in "$red" "$blue" "far-$suffix"; do
		ip netns del "$name"
	done
	fabric=lab
	up
	ip -n "$host" route add 192.168.15.128/25 via "$outside_address"
	sed -i 's/192\.168\.15\./192.168.17./g' "$topology"
	EDITOR=true assert_mended host-overlap host:v-net-0
	ip -n "$host" route add 192.168.0.0/16 via "$outside_address"
	look
	[[ $(value host-overlap host:v-net-0 status) == note ]]
}

# ---- Routes

@test "no way out: no default route, a gateway that nobody has, one off the link" {
	by_hand
	ip -n "$red" route del default
	assert_mended no-route-out "$red:veth-red"
	ip -n "$red" route replace default via 192.168.15.77
	assert_mended gateway-unreachable "$red:veth-red"
	[[ $what == *"nobody on the link has the address 192.168.15.77"* ]]
	pings "$red" "$uplink_address"
	ip -n "$host" address del 192.168.15.5/24 dev v-net-0
	assert_mended gateway-unreachable "$red:veth-red"
	[[ $mend == "ip -n $host address add 192.168.15.5/24 dev v-net-0" ]]
	ip -n "$blue" address add 192.168.15.3/32 dev veth-blue
	ip -n "$blue" address del 192.168.15.2/24 dev veth-blue
	assert_mended gateway-unreachable "$blue:veth-blue"
	[[ $what == *"is in no network of the link"* ]]
}

@test "no default route in a fabric's namespace; no way out at all is a note, by hand only" {
	up
	ip -n "$red" route del default
	assert_mended no-route-out "$red:eth0"
	fabric=
	new_namespace "a-$suffix"
	new_namespace "b-$suffix"
	ip -n "a-$suffix" link add p0 type veth peer name p0 netns "b-$suffix"
	for name in a b; do
		ip -n "$name-$suffix" link set p0 up
	done
	ip -n "a-$suffix" address add 10.0.0.1/24 dev p0
	look
	[[ $(value no-route-out "a-$suffix:p0" status) == note ]]
}

@test "forwarding off: at the gateway, at the uplink, in a namespace others go through" {
	up
	on "$host" sysctl -qw net.ipv4.conf.v-net-0.forwarding=0
	assert_mended forwarding-off host:v-net-0
	on "$host" sysctl -qw net.ipv4.conf.eth0.forwarding=0
	assert_mended forwarding-off host:eth0
	on "$host" sysctl -qw net.ipv6.conf.all.forwarding=0
	look
	where=host:v-net-0
	found forwarding-off "$where" || where=host:v-net-1
	assert_mended forwarding-off "$where"
	[[ $mend == *net/ipv6/conf/all/forwarding=1 ]]
	on "$blue" sysctl -qw net.ipv4.ip_forward=0
	assert_mended forwarding-off "$blue:eth0" note
	assert_mended forwarding-off "$blue:p0" # the default route of the one behind it
	lab apply "$topology"
	assert_well
}

@test "router advertisements that a forwarding host ignores" {
	up
	on "$host" sysctl -qw net.ipv6.conf.eth0.forwarding=1 net.ipv6.conf.eth0.accept_ra=1
	assert_well
	ip -n "$host" -6 route add default via fe80::10 dev eth0 proto ra metric 512
	assert_mended accept-ra host:eth0
}

@test "a strict reverse path filter where the way back is another" {
	by_hand
	ip -n "$red" link add p0 type veth peer name p0 netns "$blue"
	for name in "$red" "$blue"; do
		ip -n "$name" link set p0 up
		on "$name" sysctl -qw net.ipv4.conf.all.rp_filter=0
		for link in p0 veth-red veth-blue; do
			on "$name" sysctl -qw "net.ipv4.conf.$link.rp_filter=0" 2>/dev/null || true
		done
	done
	ip -n "$red" address add 10.0.0.1/30 dev p0
	ip -n "$blue" address add 10.0.0.2/30 dev p0
	ip -n "$red" route add 10.0.0.2 via 192.168.15.5
	look
	! found rp-filter "$red:p0" || return 1
	on "$red" sysctl -qw net.ipv4.conf.p0.rp_filter=1
	assert_mended rp-filter "$red:p0"
	[[ $what == "packets from 10.0.0.2 arrive here, and the way back is by veth-red" ]]
}

@test "the uplink: no default route, one by another interface, another address" {
	up
	pings "$host" "$outside_address"
	ip -n "$host" route del default
	assert_mended uplink-route host:eth0
	[[ $mend == *"default via $outside_address dev eth0" ]]
	ip -n "$host" link add up1 type veth peer name up1 netns "$outside"
	ip -n "$host" link set up1 up
	ip -n "$outside" link set up1 up
	ip -n "$host" address add 198.51.100.1/24 dev up1
	ip -n "$host" route replace default via 198.51.100.2 dev up1
	sed -i 's/masquerade: eth0/masquerade: up1/' "$topology"
	EDITOR=true assert_mended uplink-route host:eth0 note
	ip -n "$host" address del 198.51.100.1/24 dev up1
	ip -n "$host" address add 198.51.100.3/24 dev up1
	ip -n "$host" route replace default via 198.51.100.2 dev up1
	assert_mended uplink-address host:up1
	ip -n "$host" link set up1 down
	assert_mended peer-down host:up1
}

@test "rules by firewall mark and IPsec policies, which masqueraded flows do not see, are a note" {
	up
	assert_well
	! found policy-routing host:eth0 || return 1
	ip -n "$host" rule add fwmark 0xca6c lookup 51820
	assert_well
	found policy-routing host:eth0
	[[ $(value policy-routing host:eth0 what) == "1 rules by firewall mark, 0 XFRM policies outbound" ]]
	ip -n "$host" rule del fwmark 0xca6c lookup 51820
	ip -n "$host" xfrm policy add dst 10.0.0.0/8 dir out action block 2>/dev/null || return 0 # no XFRM
	assert_well
	[[ $(value policy-routing host:eth0 what) == "0 rules by firewall mark, 1 XFRM policies outbound" ]]
}

# ---- Netfilter

@test "nft: a forward chain that drops, one that perhaps does, one that lets us through" {
	up
	on "$host" nft -f - <<-'END'
		table ip guard {
			chain forward {
				type filter hook forward priority 0; policy drop;
				ct state established,related accept
				iifname "other0" accept
			}
		}
	END
	look
	found forward-dropped host:v-net-1
	assert_mended forward-dropped host:v-net-0
	[[ $what == "chain forward of table ip guard drops "* ]]
	eval "$(value forward-dropped host:v-net-1 mend)"
	assert_well
	on "$host" nft add rule ip guard forward ip daddr 192.0.2.1 drop
	look
	jq -e '.notes == 0' <<<"$report" # it comes behind what lets us through
	on "$host" nft insert rule ip guard forward ip daddr 192.0.2.1 drop
	assert_mended forward-dropped host:v-net-0 note
}

@test "a forward chain that drops what goes to and from a network without a bridge" {
	red=red-$suffix
	cat >"$topology" <<-END
		version: 1
		name: lab
		networks: {core: {type: routed, subnets: [10.20.0.0/16], masquerade: eth0}}
		namespaces: {$red: {interfaces: {eth0: {network: core}}}}
	END
	lab apply "$topology"
	find_cookie
	assert_well
	on "$host" nft -f - <<-'END'
		table ip guard {
			chain forward { type filter hook forward priority 0; policy drop; }
		}
	END
	assert_mended forward-dropped host:core
	[[ $mend == *"nft insert rule ip guard forward ip saddr 10.20.0.0/16 accept && "* ]]
	assert_well
	if type -P iptables-legacy >/dev/null && on "$host" iptables-legacy -P FORWARD DROP; then
		assert_mended forward-dropped host:core
		[[ $mend == *"iptables-legacy -I FORWARD -d 10.20.0.0/16 -j ACCEPT" ]]
	fi
}

@test "iptables, both kinds: a policy of DROP, as container engines set it" {
	type -P iptables iptables-legacy >/dev/null || skip "no iptables"
	up
	on "$host" iptables-legacy -P FORWARD DROP || skip "no iptables-legacy in this kernel"
	assert_mended forward-dropped host:v-net-0
	[[ $what == "iptables-legacy chain FORWARD drops "* ]]
	assert_mended forward-dropped host:v-net-1
	assert_well
	on "$host" iptables -N DOCKER-USER
	on "$host" iptables -A FORWARD -j DOCKER-USER
	on "$host" iptables -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	on "$host" iptables -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
	on "$host" iptables -P FORWARD DROP
	assert_mended forward-dropped host:v-net-0
	[[ $mend == *"iptables -I DOCKER-USER -i v-net-0 -j ACCEPT"* ]]
	assert_mended forward-dropped host:v-net-1
	assert_well
}

@test "somebody else's NAT: of our networks a problem, of others a note" {
	up
	on "$host" nft -f - <<-'END'
		table ip nat {
			chain after { type nat hook postrouting priority 100; }
		}
	END
	on "$host" nft add rule ip nat after ip saddr 172.17.0.0/16 oifname eth0 masquerade
	look
	[[ $(value shared-uplink host:eth0 status) == note ]]
	EDITOR='sed -i s/masquerade:.eth0/masquerade:\x20{uplink:\x20eth0,ports:\x2020000-40000}/' \
		eval "$(value shared-uplink host:eth0 mend)"
	run -0 lab plan "$topology"
	[[ $(<"$topology") == *20000-40000* ]]
	on "$host" nft add rule ip nat after oifname eth0 masquerade
	look
	[[ $(jq '[.findings[] | select(.check == "foreign-nat")] | length' <<<"$report") == 2 ]]
	assert_mended foreign-nat host:eth0
	if type -P iptables-legacy >/dev/null &&
		on "$host" iptables-legacy -t nat -A POSTROUTING -s 192.168.15.0/24 -m comment \
			--comment "two words" -j MASQUERADE; then
		assert_mended foreign-nat host:eth0
		[[ $mend == *"iptables-legacy -t nat -D POSTROUTING -s 192.168.15.0/24 "*"two words"* ]]
	fi
}

@test "bridges that ask netfilter" {
	on "$host" test -e /proc/sys/net/bridge/bridge-nf-call-iptables || skip "no br_netfilter"
	up
	on "$host" sysctl -qw net.bridge.bridge-nf-call-iptables=0
	on "$host" nft -f - <<-'END'
		table ip guard {
			chain forward {
				type filter hook forward priority 0; policy drop;
				iifname { "v-net-0", "v-net-1" } oifname "eth0" accept
			}
		}
	END
	look
	! found bridge-nf-call host:v-net-0 || return 1
	on "$host" sysctl -qw net.bridge.bridge-nf-call-iptables=1
	assert_mended bridge-nf-call host:v-net-0
}

# ---- Programs

@test "filters of others before ours, at the uplink and at a port; those that go on are none" {
	up
	end=$(lab -j show lab | jq -r --arg name "$red" '.namespaces[] | select(.name == $name) |
		.interfaces[0].host_end')
	for link in eth0 "$end"; do
		tc -n "$host" filter add dev "$link" ingress pref 7 protocol ip u32 match u32 0 0 \
			action mirred egress mirror dev lo continue
		assert_well
		tc -n "$host" filter add dev "$link" ingress pref 8 protocol ip u32 match u32 0 0
		assert_mended foreign-program "host:$link"
		[[ $what == *"at ingress a filter 'u32' (priority 8)"* ]]
		tc -n "$host" filter del dev "$link" ingress pref 7
		tc -n "$host" filter add dev "$link" egress pref 9 bpf da obj "$(program tc)" sec tc
		assert_mended foreign-program "host:$link"
		[[ $what == *"at egress a filter "*" (priority 9)"* ]]
	done
	tc -n "$host" filter add dev eth0 egress pref 30000 protocol ip u32 match u32 0 0
	look
	! found foreign-program host:eth0 || return 1 # behind ours
}

@test "our programs gone: a filter, the qdisc, somebody else in their place" {
	up
	pref=20051
	tc -n "$host" filter del dev eth0 egress pref $pref
	assert_mended program-missing host:eth0
	[[ $what == "one of nsroute's two programs is not attached" ]]
	end=$(lab -j show lab | jq -r --arg name "$red" '.namespaces[] | select(.name == $name) |
		.interfaces[0].host_end')
	tc -n "$host" qdisc del dev "$end" clsact
	assert_mended program-missing "host:$end"
	tc -n "$host" qdisc del dev "$end" clsact
	tc -n "$host" qdisc add dev "$end" ingress
	assert_mended ingress-qdisc "host:$end"
	tc -n "$host" filter del dev eth0 ingress pref $pref
	tc -n "$host" filter add dev eth0 ingress pref $pref protocol ip u32 match u32 0 0
	assert_mended place-taken host:eth0
	tc -n "$host" qdisc del dev eth0 clsact
	if tc -n "$host" qdisc add dev eth0 ingress_block 1 egress_block 2 clsact; then
		assert_mended shared-block host:eth0
	fi
	pings "$red" "$outside_address"
	assert_well
}

@test "XDP at the uplink is a note, at a port a problem" {
	up
	end=$(lab -j show lab | jq -r --arg name "$red" '.namespaces[] | select(.name == $name) |
		.interfaces[0].host_end')
	ip -n "$host" link set dev eth0 xdp obj "$(program xdp)" sec xdp
	assert_mended foreign-xdp host:eth0 note
	ip -n "$host" link set dev "$end" xdp obj "$(program xdp)" sec xdp
	assert_mended foreign-xdp "host:$end"
}

@test "a queueing discipline at a port is a note" {
	up
	end=$(lab -j show lab | jq -r --arg name "$red" '.namespaces[] | select(.name == $name) |
		.interfaces[0].host_end')
	tc -n "$host" qdisc add dev "$end" root handle 1: pfifo limit 100
	lab apply "$topology"
	assert_mended qdisc "host:$end" note
	[[ $what == *"no fast path"* ]]
	assert_well
}

@test "a published port that the host may take for any, with the file and without" {
	local key=net/ipv4/ip_local_reserved_ports
	put_topology
	sed -i "s|^  $red:|&\n    publish: [\"8080:80/tcp\", \"40000-40009:7000-7009/udp\"]|" "$topology"
	lab apply "$topology"
	find_cookie
	on "$blue" sysctl -qw net.ipv4.ip_forward=1
	settle
	assert_well
	on "$host" sysctl -qw net.ipv4.ip_local_reserved_ports=9999,40003
	assert_mended unreserved $key
	[[ $what == *"the published ports 40000-40002,40004-40009,"* && $mend == *"apply $topology" ]]
	[[ $(on "$host" sysctl -n $key) == 8080,9999,40000-40009 ]]
	mv "$topology" "$work/elsewhere"
	on "$host" sysctl -qw net.ipv4.ip_local_reserved_ports=9999
	assert_mended unreserved $key
	[[ $(on "$host" sysctl -n $key) == 9999,40000-40009 ]]
	on "$host" sysctl -qw net.ipv4.ip_local_port_range="50000 60000" $key=9999
	look
	! found unreserved $key || return 1
}

@test "a published port that a program of the host has taken since" {
	put_topology
	sed -i "s|^  $red:|&\n    publish: [\"8080:80/tcp\", \"5353:53/udp\"]|" "$topology"
	lab apply "$topology"
	find_cookie
	ip netns exec "$host" timeout 100 nc -n -l "$uplink_address" 8080 >"$work/nc" 3>&- &
	ip netns exec "$host" timeout 100 nc -n -u -l 0.0.0.0 5353 >"$work/nc-udp" 3>&- &
	await_listener "$host" tcp 8080
	await_listener "$host" udp 5353
	EDITOR="sed -i s/8080:/8082:/" assert_mended port-taken "eth0 tcp port 8080"
	[[ $what == *"has a socket there, on $uplink_address" ]]
	EDITOR="sed -i s/5353:/5355:/" assert_mended port-taken "eth0 udp port 5353" note
	[[ $what == *"on all addresses" ]]
}

# A socket of IPv6 at the address and port; $! holds it.
listen6() { # ADDRESS PORT V6ONLY
	ip netns exec "$host" timeout 100 perl -MSocket=:all -e '
		socket(my $s, AF_INET6, SOCK_STREAM, 0) or die "socket: $!";
		setsockopt($s, IPPROTO_IPV6, IPV6_V6ONLY, pack("i", $ARGV[2])) or die "v6only: $!";
		bind($s, pack_sockaddr_in6($ARGV[1], inet_pton(AF_INET6, $ARGV[0]))) or die "bind: $!";
		listen($s, 5) or die "listen: $!";
		sleep 100' "$@" 3>&- &
	await_listener "$host" tcp6 "$2" || await_listener "$host" tcp "$2"
}

@test "a published port and sockets of IPv6: of both families, of IPv6 alone, of an IPv4 address" {
	put_topology
	sed -i "s|^  $red:|&\n    publish: [\"$uplink_address:8080:80/tcp\", \"$uplink_address:8081:81/tcp\", \"$uplink_address:8082:82/tcp\"]|" \
		"$topology"
	lab apply "$topology"
	find_cookie
	listen6 :: 8080 0
	listen6 :: 8081 1
	listen6 "::ffff:$uplink_address" 8082 0
	run lab -j doctor
	taken=$(jq -c '.. | objects | select(.check? == "port-taken") | [.status, .where]' <<<"$output")
	echo "$taken"
	[[ $taken == *'["note","eth0 tcp port 8080"]'* ]]
	[[ $taken != *"port 8081"* ]]
	[[ $taken == *'["problem","eth0 tcp port 8082"]'* ]]
}

@test "apply and sockets of IPv6: refused where they have the port of IPv4" {
	put_topology
	cp "$topology" "$work/without"
	lab apply "$topology"
	find_cookie
	listen6 :: 8080 0
	listen6 :: 8081 1
	listen6 "::ffff:$uplink_address" 8082 0
	for port in 8080 8082; do
		sed "s|^  $red:|&\n    publish: [\"$uplink_address:$port:80/tcp\"]|" "$work/without" >"$topology"
		run -2 lab apply "$topology"
		[[ $output == *"$port"* ]]
	done
	sed "s|^  $red:|&\n    publish: [\"$uplink_address:8081:80/tcp\"]|" "$work/without" >"$topology"
	lab apply "$topology"
	# Both families: one of them is taken.
	sed "s|^  $red:|&\n    publish: [\"8081:80/tcp\"]|" "$work/without" >"$topology"
	run -2 lab apply "$topology"
	[[ $output == *"cannot publish port 8081/tcp: a program of the host uses it"* ]]
}

# ---- The file, the record, the host

@test "the file: not what is there, gone, invalid, refused" {
	up
	cp "$topology" "$work/good"
	ip -n "$red" address del 192.168.15.11/24 dev eth0
	assert_mended differs lab
	[[ $what == *"+ address 192.168.15.11/24"* ]]
	settle
	echo 'masqerade: eth0' >>"$topology"
	EDITOR="cp $work/good" assert_mended file-invalid lab
	sed -i 's/masquerade: eth0/masquerade: eth7/' "$topology"
	EDITOR="cp $work/good" assert_mended refused lab
	mv "$topology" "$work/elsewhere"
	look
	[[ $(value file-gone lab status) == note ]]
	mv "$work/elsewhere" "$topology"
	assert_well
}

@test "what bears our mark and is not recorded" {
	up
	ip -n "$host" link add lost0 type veth peer name lost1
	ip -n "$host" link set lost0 alias nsroute:lab
	assert_mended orphan host:lost0
}

# Where some processes keep their namespaces to themselves, even from root, none of them has ours.
blind() {
	[[ $(stat -L -c %i /proc/self/ns/pid) == 4026531836 ]] || skip "in a pid namespace"
	export NSROUTE=$NSROUTE-faults NSROUTE_FAULT=blind
	nsroute() { "$NSROUTE" "$@"; }
}

@test "what a host namespace leaves that was deleted with its fabric" {
	blind
	new_namespace "gone-$suffix"
	cat >"$topology" <<-'END'
		version: 1
		name: lab
		networks: {v-net-0: {subnets: [192.168.15.0/24]}}
		namespaces: {}
	END
	"$NSROUTE" --netns "gone-$suffix" apply "$topology"
	record=$(grep -ls -e "-$suffix" /run/nsroute/*/lab.record)
	cookie=$(basename "$(dirname "$record")")
	fabric=
	look
	! found orphan "/run/nsroute/$cookie" || return 1
	ip netns del "gone-$suffix"
	for ((i = 0; i < 50; i++)); do
		look
		! found orphan "/run/nsroute/$cookie" || break # the kernel ends namespaces a moment later
		sleep 0.1
	done
	assert_mended orphan "/run/nsroute/$cookie"
	[[ $mend == *"nsroute --netns $host down --orphans" ]]
	[[ ! -e /run/nsroute/$cookie && ! -e /sys/fs/bpf/nsroute/$cookie ]]
}

@test "pins without a record" {
	up
	lab down lab
	mkdir -p "/sys/fs/bpf/nsroute/$cookie"
	fabric=
	assert_mended orphan "/sys/fs/bpf/nsroute/$cookie"
	[[ $what == *"which has no fabric" ]]
}

@test "another network manager that nobody told of us" {
	up
	cp "$(type -P sleep)" "$work/NetworkManager"
	look
	! found manager /etc/udev/rules.d/70-nsroute.rules || return 1
	[[ ! -e /usr/local/lib/udev/rules.d/70-nsroute.rules ]] || skip "the rule is installed"
	ip netns exec "$host" "$work/NetworkManager" 300 3>&- &
	manager=$!
	for ((i = 0; i < 500; i++)); do
		[[ $(<"/proc/$manager/comm") != NetworkManager ]] || break
		sleep 0.02
	done
	look
	[[ $(value manager /etc/udev/rules.d/70-nsroute.rules status) == note ]]
	# Its files are written where nobody else sees them.
	run -0 --separate-stderr in_private 'mount -t tmpfs tmpfs /etc && eval "$1" &&
		cat /etc/udev/rules.d/70-nsroute.rules /etc/systemd/network/10-nsroute.network >&2 &&
		"$NSROUTE" --netns "$2" -j doctor lab' \
		"$(value manager /etc/udev/rules.d/70-nsroute.rules mend)" "$host"
	report=$output
	! found manager /etc/udev/rules.d/70-nsroute.rules || return 1
	[[ $stderr == 'SUBSYSTEM=="net", ATTR{address}=="6e:73:*", ENV{NSROUTE}="1", ENV{NM_UNMANAGED}="1"
[Match]
Property=NSROUTE=1
[Link]
Unmanaged=yes' ]]
}

@test "few open files for many namespaces" {
	fabric=
	for ((i = 0; i < 10; i++)); do
		new_namespace "n$i-$suffix"
	done
	# shellcheck disable=SC2016 # expanded inside
	run bash -c 'ulimit -n 70; "$0" --netns "$1" -j doctor' "$NSROUTE" "$host"
	report=$output
	found files "ulimit -n"
	# shellcheck disable=SC2016 # expanded inside
	run bash -c 'ulimit -S -n 70; eval "$2"; "$0" --netns "$1" -j doctor' "$NSROUTE" "$host" \
		"$(value files "ulimit -n" mend)"
	report=$output
	jq -e .findings <<<"$report" >/dev/null
	! found files "ulimit -n" || return 1
}

@test "programs of another layout" {
	up
	run -0 bpftool map dump pinned "/sys/fs/bpf/nsroute/$cookie/settings" -j
	value=$(jq -r '.[0].value | join(" ")' <<<"$output")
	# shellcheck disable=SC2086 # words
	bpftool map update pinned "/sys/fs/bpf/nsroute/$cookie/settings" key 0 0 0 0 value 99 ${value#* }
	look
	found datapath /sys/fs/bpf/nsroute
	[[ $(value datapath /sys/fs/bpf/nsroute what) == *"of another version of nsroute"* ]]
	eval "$(value datapath /sys/fs/bpf/nsroute mend)"
	[[ ! -e /sys/fs/bpf/nsroute/$cookie ]]
	lab apply "$topology"
	on "$blue" sysctl -qw net.ipv4.ip_forward=1
	settle
	assert_well
}

# ---- The machine

@test "no bpffs, and file systems that nothing can be written to" {
	run -0 in_private '
		sudo() { "$@"; }
		of() { "$NSROUTE" -j doctor | jq -r --arg check "$1" "first(.findings[] | select(.check == \$check)).$2"; }
		mended() {
			[[ $(of "$1" status) == problem ]] || { echo "$1 is no problem"; exit 1; }
			eval "$(of "$1" mend)"
			[[ $(of "$1" status) == good ]] || { echo "$1 is one still"; exit 1; }
		}
		while [[ $(stat -f -c %T /sys/fs/bpf) == bpf_fs ]]; do umount -l /sys/fs/bpf; done
		mended bpffs
		mount -o remount,ro /sys/fs/bpf
		mended bpffs-writable
		mount -t tmpfs -o ro tmpfs /run
		mended run'
}
