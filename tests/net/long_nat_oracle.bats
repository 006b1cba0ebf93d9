#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# The differential oracle: random packets through the kernel's own masquerade and through ours.
# NAT_SEED=NUMBER repeats a run.

# shellcheck disable=SC2154 # run sets output; fabric.bash the names
load outside

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

teardown() {
	clean_up
}

# A host, an outside, red and blue again, by hand: a bridge, and a rule of nftables.
kernel_world() {
	local name
	khost=nsr-khost-$suffix kout=nsr-kout-$suffix kred=nsr-kred-$suffix kblue=nsr-kblue-$suffix
	for name in "$khost" "$kout" "$kred" "$kblue"; do new_namespace "$name"; done
	cable "$khost" eth0 "$uplink_address" "$kout" eth0 "$outside_address" 1500
	ip -n "$kout" address add "$server_address/32" dev lo
	ip -n "$kout" address add "$server_address2/32" dev lo
	ip -n "$khost" route add default via "$outside_address"
	ip -n "$khost" link add br0 type bridge
	ip -n "$khost" address add 192.168.15.1/24 dev br0
	ip -n "$khost" link set br0 up
	attach "$kred" red 192.168.15.11
	attach "$kblue" blue 192.168.15.12
	on "$khost" sysctl -qw net.ipv4.ip_forward=1
	on "$khost" nft -f - <<-END || skip "this kernel has no masquerade to compare with"
		table ip nat {
			chain after {
				type nat hook postrouting priority srcnat
				ip saddr 192.168.0.0/16 oifname "eth0" masquerade
			}
		}
	END
	# As long as ours, and no guesses about what is in the window.
	on "$khost" sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=1 \
		net.netfilter.nf_conntrack_udp_timeout=120 net.netfilter.nf_conntrack_udp_timeout_stream=300 \
		net.netfilter.nf_conntrack_icmp_timeout=60 net.netfilter.nf_conntrack_tcp_timeout_close=240 \
		net.netfilter.nf_conntrack_tcp_timeout_time_wait=240
}

attach() { # NAMESPACE LINK ADDRESS
	ip link add "$2" netns "$khost" type veth peer name eth0 netns "$1"
	ip -n "$khost" link set "$2" master br0 up
	ip -n "$1" address add "$3/24" dev eth0
	ip -n "$1" link set eth0 up
	await_link "$1" eth0
	ip -n "$1" route add default via 192.168.15.1
}

# From now on its stack neither hears nor says anything by IPv4.
silence() { # NAMESPACE
	on "$1" nft -f - <<-END
		table ip silence {
			chain in { type filter hook input priority 0; policy drop; }
			chain out { type filter hook output priority 0; policy drop; }
			chain through { type filter hook forward priority 0; policy drop; }
		}
	END
}

world() { # HOST OUTSIDE RED BLUE BRIDGE: prints the words of one, and silences it
	local name
	# The two latter are of a namespace since 6.13, and of the whole machine before: left alone then.
	on "$1" sysctl -eqw net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=1000000 \
		net.ipv4.icmp_msgs_burst=100000
	for name in "$3" "$4"; do
		pings "$name" "$outside_address" >/dev/null
	done
	for name in "$2" "$3" "$4"; do silence "$name"; done
	echo "$2" "$3" "$4" "$(mac_of "$1" eth0),$(mac_of "$2" eth0)" \
		"$(mac_of "$1" "$5"),$(mac_of "$3" eth0)" "$(mac_of "$1" "$5"),$(mac_of "$4" eth0)"
}

compare() { # DATAPATH SECONDS
	local seed=${NAT_SEED:-$(od -An -N4 -tu4 /dev/urandom)} kernel ours
	need /usr/bin/python3
	internet_up "$1"
	kernel_world
	kernel=$(world "$khost" "$kout" "$kred" "$kblue" br0)
	ours=$(world "$host" "$outside" "$red" "$blue" v-net-0)
	watch
	# shellcheck disable=SC2086 # words
	run tests/net/nat_oracle.py $((seed)) "$2" $kernel $ours
	echo "# ${output//$'\n'/$'\n'# }" >&3
	((status == 0))
	assert_judged
}

@test "what arrives is what arrives through the kernel's masquerade" {
	compare auto 20
}

@test "datapath kernel: the same" {
	compare kernel 10
}
