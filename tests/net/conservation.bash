# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# conservation.bash - random mixes of traffic, and the sums that hold for any: what conservation.bats
# and long_conservation.bats share.
#
# How it works: the fabric is that of put_networks with one network isolated and
# one that the outside may begin with. A mix is a list of
# actions, chosen by a seed, of which four run at a time. What the interfaces counted (ip -s -j link)
# and what nsroute did (stats -j) is taken before and after it, both in one quiet moment, as one flat
# object of numbers; the sums are over the differences. CONSERVATION_SEED=NUMBER repeats a mix.

# shellcheck disable=SC2154 # fabric.bash sets the names
load fabric

put_conserved() { # DATAPATH
	put_networks "$1"
	sed -i -e 's/v-net-3: {/&isolate: true, /' -e 's/v-net-2: {/&inbound: true, /' "$topology"
}

conservation_up() { # DATAPATH [NUMBER]
	new_host "${@:2}"
	put_conserved "$1"
	lab apply "$topology"
	find_cookie
	# What has no business to come in is tried as well.
	ip -n "$outside" route add 192.168.0.0/16 via "$uplink_address"
	ip -n "$outside" route add fd00::/16 via "$uplink_address6"
	on "$blue" sysctl -qw net.ipv4.ip_forward=1
	settle
}

# Sets peers_counted: a kernel that does not count what is redirected has nothing to compare with.
learn_kernel() {
	peers_counted=false
	pings "$red" 192.168.15.12
	! peer_is_counted || peers_counted=true
}

# ---- What was counted

# The kernel's statistics of the links of namespaces, one document each, with their names before.
link_counts() { # NAMESPACE...
	local name
	for name in "$@"; do
		printf '"%s"\n' "$name"
		ip -n "$name" -s -j link show
	done
}

# One flat object: of each port "red eth0 FIELD", of the uplink "uplink FIELD"; fields that begin with
# n_, h_ and o_ are the kernel's, of the namespace's end, the host's end and the outside's.
flat_counts() { # BASENAME
	jq -n --slurpfile links "$1.links" --slurpfile ours "$1.ours" --slurpfile shown "$work/shown" \
		--arg host "$host" --arg outside "$outside" '
		([$links | range(0; length; 2) as $i | .[$i] as $name | .[$i + 1][] |
			{key: "\($name)/\(.ifname)", value: .stats64}] | from_entries) as $links |
		def kernel($prefix; $link): $links[$link] | {
			"\($prefix)_rx_packets": .rx.packets, "\($prefix)_rx_bytes": .rx.bytes,
			"\($prefix)_tx_packets": .tx.packets, "\($prefix)_tx_bytes": .tx.bytes,
			"\($prefix)_tx_dropped": .tx.dropped };
		def own: with_entries(select(.value | type == "number")) +
			{drops: ([.drops[]] | add), vlan: .drops."vlan-tag"};
		def named($name): with_entries(.key = "\($name) \(.key)");
		$ours[0] as $ours |
		([$ours.namespaces[] | .name as $name | .interfaces[] | select(.port) | .name as $interface |
			([$shown[0].namespaces[] | select(.name == $name) | .interfaces[] |
				select(.name == $interface) | .host_end] | first) as $host_end |
			own + kernel("n"; "\($name)/\($interface)") + kernel("h"; "\($host)/\($host_end)") |
			named("\($name) \($interface)")] | add) +
		($ours.uplinks[0] | own + {flows: .nat.flows, created: .nat.created, expired: .nat.expired} +
			kernel("h"; "\($host)/eth0") + kernel("o"; "\($outside)/eth0") | named("uplink")) +
		($ours.drops | named("total")) +
		([$ours | (.namespaces[].interfaces[], .uplinks[]) | .drops | to_entries[]] |
			group_by(.key) | map({key: .[0].key, value: (map(.value) | add)}) | from_entries |
			named("summed"))' >"$1.flat"
}

# Both in a moment in which the kernel counted nothing.
take_counts() { # BASENAME
	local i names
	mapfile -t names < <(test_namespaces)
	lab -j show lab >"$work/shown"
	for ((i = 0; i < 100; i++)); do
		link_counts "${names[@]}" >"$1.links"
		lab -j stats >"$1.ours"
		link_counts "${names[@]}" >"$1.again"
		if cmp -s "$1.links" "$1.again"; then
			flat_counts "$1"
			return 0
		fi
		sleep 0.1
	done
	return 1
}

# Prints each sum that does not hold between two moments. Names the fields as flat_counts does.
broken_sums() { # BEFORE AFTER
	jq -rn --slurpfile before "$1.flat" --slurpfile after "$2.flat" --argjson peers "$peers_counted" '
		def check($what; $sum; $counted):
			if $sum == $counted then empty else "\($what): \($sum), not \($counted): \($counted - $sum) off" end;
		($after[0] | with_entries(.value -= ($before[0][.key] // 0))) as $d |
		def of($name): $d | with_entries(select(.key | startswith($name + " ")) |
			.key |= ltrimstr($name + " "));
		([$d | keys[] | select(endswith(" fast_packets")) | rtrimstr(" fast_packets")]) as $ports |
		($ports[] | . as $name | of($name) |
			check("\($name): sent, and seen at the host end"; .tx_packets; .h_rx_packets),
			check("\($name): sent, and what the namespace sent"; .tx_packets; .n_tx_packets),
			# A tag that was in the bytes is beside them when the hook sees them.
			check("\($name): bytes sent"; .tx_bytes + 4 * .vlan; .h_rx_bytes),
			check("\($name): bytes the namespace sent"; .tx_bytes + 4 * .vlan; .n_tx_bytes),
			check("\($name): fast, slow and drops"; .fast_packets + .slow_packets + .drops -
				.rx_dropped; .tx_packets),
			if $peers then
				check("\($name): delivered"; .rx_packets; .n_rx_packets + .h_tx_dropped),
				if .h_tx_dropped > 0 and .rx_bytes > .n_rx_bytes then empty else
					check("\($name): bytes delivered"; .rx_bytes; .n_rx_bytes) end,
				if .n_rx_packets < .h_tx_packets then "\($name): more than arrived" else empty end
			else empty end),
		(of("uplink") |
			check("uplink: received"; .rx_packets; .h_rx_packets),
			check("uplink: received, and what the outside sent"; .rx_packets; .o_tx_packets),
			check("uplink: bytes received"; .rx_bytes; .h_rx_bytes),
			check("uplink: left"; .tx_packets - .tx_dropped; .h_tx_packets),
			check("uplink: left, and what the outside received"; .h_tx_packets; .o_rx_packets),
			if .tx_dropped > 0 and .tx_bytes > .h_tx_bytes then empty else
				check("uplink: bytes that left"; .tx_bytes; .h_tx_bytes) end,
			check("uplink: ways out"; .tx_translated + .tx_passed + .tx_dropped; .tx_packets),
			check("uplink: ways in"; .rx_translated + .rx_passed + .rx_dropped; .rx_packets),
			check("uplink: drops"; .tx_dropped + .rx_dropped; .drops),
			check("uplink: flows"; .created - .expired; .flows)),
		# What a hook forwarded came past the host ends, or went out by the uplink.
		(if $peers then
			([$ports[] as $name | of($name).fast_packets] | add) as $fast |
			([$ports[] as $name | of($name) | .n_rx_packets - .h_tx_packets] | add) as $past |
			of("uplink") | ($fast + .rx_fast - $past) as $out |
			if $out >= 0 and $out <= .tx_translated + .tx_dropped then empty else
				"fast: \($fast), in by the uplink \(.rx_fast), past the host ends \($past)" end
		else empty end),
		(of("total") | to_entries[] | check("drops of \(.key)"; .value; $d["summed \(.key)"]))'
}

# Waits, within bounds, until nothing is on its way: what was counted at one end is at the other.
assert_conserved() { # BEFORE
	local i
	for ((i = 0; i < 20; i++)); do
		take_counts "$work/after"
		broken_sums "$1" "$work/after" >"$work/broken"
		[[ -s $work/broken ]] || return 0
		sleep 0.2
	done
	cat "$work/broken"
	return 1
}

# ---- A mix

declare -gA address4 address6
address4=([red]=192.168.15.11 [blue]=192.168.15.12 [green]=192.168.16.11 [white]=192.168.17.11
	[black]=192.168.17.12 [grey]=192.168.18.11 [loose]=192.168.18.12)
address6=([red]=fd00:15::11 [blue]=fd00:15::12 [green]=fd00:16::11 [white]=fd00:17::11
	[black]=fd00:17::12 [grey]=fd00:18::11 [loose]=fd00:18::12)
sorts=(ping ping ping datagrams datagrams stream forge all outsider)
forgeries=(spoofed-mac spoofed-address:ipv4 spoofed-address:ipv6 spoofed-address:arp spoofed-neighbour
	vlan-tag malformed isolated slow)
ping_options=("" "" "-s 1400" "-s 4000" "-t 1" "-M do -s 1472" "-p ff -s 17")

pick() { # VARIABLE WORD...: one of them, by the seed
	local -n ret=$1
	shift
	ret=$((RANDOM % $#))
	shift $ret
	ret=$1
}

# Prints so many actions. RANDOM is the shell's own generator, so this runs in no subshell.
write_mix() { # SEED COUNT FILE
	local i sort client server option
	local names=(red blue green white black grey loose)
	RANDOM=$1
	for ((i = 0; i < $2; i++)); do
		pick sort "${sorts[@]}"
		pick client "${names[@]}"
		pick server "${names[@]}"
		pick server "${address4[$server]}" "${address6[$server]}" "${address4[$server]}" \
			"${address6[$server]}" "$outside_address" "$outside_address" "$outside_address6" \
			192.168.15.1 fd00:16::1 192.168.16.77 fd00:15::77 198.51.100.1 "$uplink_address"
		case $sort in
		ping)
			pick option "${ping_options[@]}"
			echo "mix_ping $client $server $option"
			;;
		datagrams) echo "mix_datagrams $client $server $((RANDOM % 40)) $((RANDOM % 3000))" ;;
		stream)
			pick server "${names[@]}" outside
			pick option 4 6
			echo "mix_stream $client $server $option $((20000 + i)) $((RANDOM * 64))"
			;;
		forge)
			pick option "${forgeries[@]}"
			echo "mix_forge $option"
			;;
		all)
			pick option 224.0.0.1 239.1.2.3 255.255.255.255 ff02::1 ff05::77
			echo "mix_ping $client $option -I eth0 $([[ $option == *:* ]] || echo -b)"
			;;
		outsider)
			pick server "${address4[$client]}" "${address6[$client]}" "$uplink_address" "$uplink_address6"
			echo "mix_outsider $server $((RANDOM % 2))"
			;;
		esac
	done >"$3"
}

# Whether there is an answer is no matter here.
mix_ping() { # CLIENT ADDRESS [OPTION...]
	ip netns exec "$1-$suffix" timeout 2 ping -n -q -c 5 -i 0.01 -W 0.3 "${@:3}" "$2"
}

mix_datagrams() { # CLIENT ADDRESS COUNT BYTES: to a port where nobody is
	send_datagrams "$1-$suffix" "$2" "$3" "$4" 9
}

send_datagrams() { # NAMESPACE ADDRESS COUNT BYTES PORT
	ip netns exec "$1" perl -MSocket=:all -e '
		my ($address, $count, $bytes, $port) = @ARGV;
		my $family = $address =~ /:/ ? AF_INET6 : AF_INET;
		my $to = inet_pton($family, $address);
		socket(my $socket, $family, SOCK_DGRAM, 0) or die;
		for (1 .. $count) {
			send($socket, "x" x $bytes, 0, $family == AF_INET ?
				pack_sockaddr_in($port, $to) : pack_sockaddr_in6($port, $to));
		}' "${@:2}"
}

mix_stream() { # CLIENT SERVER FAMILY PORT BYTES
	local address server=$2-$suffix
	if [[ $3 == 4 ]]; then address=${address4[$2]-}; else address=${address6[$2]-}; fi
	if [[ $2 == outside ]]; then
		server=$outside address=$outside_address
	fi
	head -c "$5" /dev/zero | ip netns exec "$server" timeout 5 nc "-$([[ $address == *:* ]] && echo 6)nNl" "$4" \
		>/dev/null &
	await_listener "$server" tcp "$4"
	head -c "$5" /dev/zero | ip netns exec "$1-$suffix" timeout 2 nc -nN "$address" "$4" >/dev/null
	kill $! 2>/dev/null || true
}

mix_forge() { # GROUP
	forge "$1"
}

mix_outsider() { # ADDRESS UDP
	if (($2)); then
		send_datagrams "$outside" "$1" 10 100 $((30000 + RANDOM))
	else
		ip netns exec "$outside" timeout 2 ping -n -q -c 5 -i 0.01 -W 0.3 "$1"
	fi
}

# Four at a time, to the end of all.
run_mix() { # FILE
	local words
	while read -ra words; do
		while (($(jobs -rp | wc -l) >= 4)); do wait -n || true; done
		"${words[@]}" >/dev/null 2>&1 </dev/null 3>&- &
	done <"$1"
	wait
}

# A mix of so many actions, and the sums over it.
assert_mix_conserved() { # SEED COUNT
	echo "CONSERVATION_SEED=$1, peers counted: $peers_counted"
	write_mix "$1" "$2" "$work/mix"
	take_counts "$work/before"
	run_mix "$work/mix"
	assert_conserved "$work/before" || { cat "$work/mix" && return 1; }
}
