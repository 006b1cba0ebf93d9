# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# takeover.bash - what takeover.bats and long_takeover.bats share: nsroute with other BPF programs,
# what is attached, and traffic that must not notice.

# shellcheck disable=SC2154 # bats sets output; fabric.bash the names

with() { # VARIANT ARGUMENTS...
	local variant=$1
	shift
	"$NSROUTE-$variant" --netns "$host" "$@"
}

# The numbers of the programs at all hooks of the host namespace.
attached() {
	local link hook
	for link in $(ip -n "$host" -j link | jq -r '.[].ifname'); do
		for hook in ingress egress; do
			tc -n "$host" -j filter show dev "$link" "$hook" 2>/dev/null |
				jq -r --arg at "$link $hook" '.[].options // empty |
					select(.prog) | "\($at) \(.bpf_name) \(.prog.tag) \(.prog.id)"'
		done
	done
}

attached_code() {
	attached | cut -d ' ' -f -4
}

pinned() { # the numbers of the pinned programs
	local name
	for name in nsr_port_in nsr_port_out nsr_uplink_in nsr_uplink_out nsr_arm nsr_flush; do
		bpftool -j prog show pinned "/sys/fs/bpf/nsroute/$cookie/$name" | jq .id
	done
}

sessions() { # created or expired: over all protocols and uplinks
	bpftool -j map dump pinned "/sys/fs/bpf/nsroute/$cookie/nat_counters" |
		jq "[.[].formatted.value.sessions_$1[]] | add"
}

set_settings() { # FIELD-OFFSET BYTES...: of the datapath's
	local at=$1 path=/sys/fs/bpf/nsroute/$cookie/settings value
	shift
	read -ra value < <(bpftool map dump pinned "$path" -j | jq -r '.[0].value | join(" ")')
	while (($#)); do
		value[at++]=$1
		shift
	done
	bpftool map update pinned "$path" key 0 0 0 0 value "${value[@]}"
}

# Pings go on between start_pings and assert_no_ping_lost: switched, routed, masqueraded.
start_pings() {
	local target
	pingers=()
	for target in 192.168.15.12 192.168.16.11 fd00:16::11 "$outside_address"; do
		ip netns exec "$red" ping -n -q -i 0.01 "$target" >"$work/ping-$target" 3>&- &
		pingers+=($!)
	done
	sleep 0.2
}

assert_no_ping_lost() {
	local pinger
	sleep 0.2
	for pinger in "${pingers[@]}"; do
		kill -INT "$pinger"
		wait "$pinger"
	done
	cat "$work"/ping-*
	for pinger in "$work"/ping-*; do
		grep -q ' 0% packet loss' "$pinger"
		run ! grep duplicates "$pinger"
	done
}

start_streams() { # SECONDS
	local -A target=([$blue]=192.168.15.12 [$green]=192.168.16.11 [$outside]=$outside_address)
	local server
	streams=()
	for server in "$blue" "$green" "$outside"; do
		ip netns exec "$server" timeout 90 iperf3 -s -1 >/dev/null 2>&1 3>&- &
		streams+=($!)
		await_listener "$server" tcp 5201
		ip netns exec "$red" timeout 80 iperf3 -J -t "$1" -C cubic -b 200M \
			-c "${target[$server]}" >"$work/stream-$server" 2>&1 3>&- &
		streams+=($!)
	done
	sleep 0.3
}

assert_streams_whole() {
	local stream
	for stream in "${streams[@]}"; do
		wait "$stream"
	done
	for stream in "$work"/stream-*; do # not one interval in which nothing arrived
		jq -e '[.intervals[].sum.bytes] | min > 0' "$stream"
	done
}

# What an older kernel does not count at the receiver is left out.
assert_counts_as_known() {
	if peer_is_counted; then
		assert_counts_equal
	else
		assert_counts_equal ' rx .*'
	fi
}
