#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Every packet is counted once: what nsroute's hooks counted equals what the interfaces did, to the
# packet and to the byte, for a mix of all kinds of traffic. The few cases in which it cannot are in
# docs/datapath.md, "Counters", and each has its test here.

# shellcheck disable=SC2030,SC2031,SC2154 # run sets output; fabric.bash the names
load conservation

setup_file() {
	new_suffix
	conservation_up auto 0
}

teardown_file() {
	name_host 0
	clean_up || return
	assert_nothing_left
}

# All tests share one fabric, which is put right after each.
teardown() {
	ip -n "$blue" link set eth0 up
	ip -n "$white" link set eth0 up
	on "$host" ethtool -K eth0 tso on
	put_conserved auto
	lab apply "$topology"
}

setup() {
	name_host 0
	name_namespaces
	find_cookie
	learn_kernel
}

@test "a mix of fast, slow and dropped traffic" {
	assert_mix_conserved "${CONSERVATION_SEED:-1}" 40
	(($(total fast_packets) > 0 && $(total slow_packets) > 0 && $(stats '.drops | add') > 0))
}

@test "a mix of traffic with datapath kernel" {
	put_conserved kernel
	lab apply "$topology"
	mark_counters
	assert_mix_conserved "${CONSERVATION_SEED:-2}" 40
	[[ $(total fast_packets) == "$fast_before" ]]
}

# ---- Where they cannot be equal. What else was counted meanwhile is, so these are all that differs.

# What it is off by is sure; the numbers also have what namespaces say by themselves.
any='[0-9]+, not [0-9]+'

# Whether the sums that do not hold are these, each a pattern, and no others.
broken_are() { # PATTERN...
	local pattern
	[[ $(wc -l <"$work/broken") == "$#" ]] || return 1
	for pattern in "$@"; do
		grep -qE "^$pattern$" "$work/broken" || return 1
	done
}

# Runs the command, and expects that these sums do not hold then; within bounds, for what is still on
# its way.
breaks() { # PATTERN... -- COMMAND...
	local i patterns=()
	while [[ $1 != -- ]]; do
		patterns+=("$1")
		shift
	done
	shift
	take_counts "$work/before"
	"$@"
	for ((i = 0; i < 20; i++)); do
		take_counts "$work/after"
		broken_sums "$work/before" "$work/after" >"$work/broken"
		! broken_are "${patterns[@]}" || return 0
		sleep 0.2
	done
	cat "$work/broken"
	return 1
}

# Until the kernel has noticed at the other end: the bridge sends nothing there then.
take_down() { # NAMESPACE
	local i end
	end=$(host_end_of "$1")
	ip -n "$1" link set eth0 down
	for ((i = 0; i < 200; i++)); do
		[[ $(ip -n "$host" -o link show "$end") == *" state UP "* ]] ||
			[[ $(bridge -n "$host" link show dev "$end") == *" state forwarding "* ]] || return 0
		sleep 0.05
	done
	return 1
}

unanswered() { # NAMESPACE ADDRESS
	run -1 on "$1" ping -n -q -c 5 -i 0.01 -W 0.3 "$2"
}

@test "an interface that is down: what is delivered to it is lost behind the hook" {
	[[ $peers_counted == true ]] || skip "this kernel does not count what is redirected"
	take_down "$blue"
	breaks "$blue eth0: delivered: $any: -5 off" "$blue eth0: bytes delivered: $any: -490 off" \
		"fast: [0-9]+, in by the uplink 0, past the host ends [0-9]+" -- unanswered "$red" 192.168.15.12
	# By the kernel, which has a route to it all the same, and counts what it drops at the host's end.
	take_down "$white"
	breaks -- unanswered "$host" 192.168.17.11
	[[ $(jq -n --slurpfile before "$work/before.flat" --slurpfile after "$work/after.flat" \
		--arg key "$white eth0 h_tx_dropped" '$after[0][$key] - $before[0][$key]') -ge 5 ]]
}

@test "a frame whose VLAN tag is cut off: the kernel drops it before the hook" {
	breaks "$red eth0: sent, and seen at the host end: $any: 1 off" "$red eth0: bytes sent: $any: 16 off" \
		"$red eth0: sent, and what the namespace sent: $any: 1 off" \
		"$red eth0: bytes the namespace sent: $any: 16 off" -- \
		send_frame "$red" "$(mac_of "$blue" eth0)$(mac_of "$red" eth0)81000005"
}

@test "what a program of the host sends past the queue is not seen" {
	breaks "uplink: left: $any: 1 off" "uplink: bytes that left: $any: 60 off" -- \
		send_frame "$host" "$(mac_of "$outside" eth0)$(mac_of "$host" eth0)0806$(printf '00%.0s' {1..46})" 20
}

# perl, because it is on every Debian.
send_frame() { # NAMESPACE HEXADECIMAL [OPTION]: by eth0; an option of AF_PACKET is set before
	on "$1" perl -e '
		my ($frame, $option) = @ARGV;
		open(my $file, "<", "/sys/class/net/eth0/ifindex") or die;
		chomp(my $ifindex = <$file>);
		socket(my $socket, 17, 3, 0) or die "socket: $!";
		!$option or setsockopt($socket, 263, $option, pack("i", 1)) or die "option: $!";
		send($socket, pack("H*", $frame =~ s/://gr), 0, pack("SniSCCx8", 17, 0x88b5, $ifindex, 0, 0, 6))
			or die "send: $!";' "${@:2}"
}

# One at the hook, many at the interface.
@test "what an interface divides behind the hook" {
	on "$host" ethtool -K eth0 tso off
	breaks "uplink: left: $any: [0-9]+ off" "uplink: bytes that left: $any: [0-9]+ off" -- \
		bulk "$red" "$outside" "$outside_address" -n 1M
}
