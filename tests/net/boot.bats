#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What "make install" puts beside the program: the unit that restores a fabric at boot, and the rules
# that keep udev, systemd-networkd and NetworkManager off its links.

# shellcheck disable=SC2154 # bats sets output; fabric.bash the names
load fabric

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	host_state >"$work/before"
}

teardown() {
	clean_up
}

# The command of the unit, acting in the test's host namespace on the test's file.
unit_command() { # ExecStart|ExecReload|ExecStop
	local line words
	line=$(sed -n "s/^$1=//p" tools/system/nsroute@.service)
	[[ $line == "@PREFIX@/bin/nsroute "*" /etc/nsroute/%i.yaml" ]]
	line=${line#* }
	read -ra words <<<"${line% *}"
	lab "${words[@]}" "$topology"
}

@test "the unit's commands: start, reload after an edit, stop" {
	put_topology
	unit_command ExecStart
	find_cookie
	pings "$red" "$outside_address"
	sed -i "s|routes: \[{to: 10.99.0.0/24, via: 192.168.15.12}\]||" "$topology"
	unit_command ExecReload
	run -0 ip -n "$red" route
	[[ $output != *10.99.0.0/24* ]]
	run -0 unit_command ExecReload
	[[ $output == *"nothing to do"* ]]
	unit_command ExecStop
	assert_as_before
}

@test "the unit is one that systemd takes, and has no mounts of its own" {
	type -P systemd-analyze >/dev/null || skip "no systemd-analyze"
	sed "s|@PREFIX@/bin/nsroute|$(type -P true)|; s|@PREFIX@|/usr|" tools/system/nsroute@.service >"$work/nsroute@.service"
	run -0 --separate-stderr systemd-analyze verify --man=no "$work/nsroute@lab.service"
	run ! grep -F nsroute@ <<<"$stderr"
	run ! grep -E '^(Private|Protect|ReadOnly|ReadWrite|Inaccessible|TemporaryFileSystem|RootDirectory|MountFlags)' \
		tools/system/nsroute@.service
}

@test "every link of the host has its name, and a MAC that udev's rules know, from its first event" {
	put_topology
	# shellcheck disable=SC2024
	ip netns exec "$host" ip -o -d monitor link >"$work/events" 2>&1 3>&- &
	monitor=$!
	sleep 0.3
	lab apply "$topology"
	find_cookie
	sleep 0.3
	kill "$monitor"
	wait "$monitor" || true
	ip -n "$host" -j link | jq -r '.[] | select(.ifalias == "nsroute:lab") | .ifname' >"$work/names"
	(($(wc -l <"$work/names") == 5))
	while read -r name; do
		first=$(grep -m 1 -E "^[0-9]+: ${name}[@:]" "$work/events")
		[[ $first == *"link/ether 6e:73:"* ]]
		index=${first%%:*}
		first=$(grep -m 1 "^$index: " "$work/events")
		[[ $first == "$index: ${name}"[@:]* ]]
	done <"$work/names"
}

@test "udev marks our links for network managers, and no others" {
	type -P udevadm >/dev/null || skip "no udevadm"
	ip -n "$host" link add nsr0 address 6e:73:00:00:00:01 type veth peer name other0
	cat >"$work/look" <<-'END'
		set -e
		mount -t tmpfs none /run/udev
		mount -t tmpfs none /run/systemd
		mkdir -p /run/udev/rules.d /run/systemd/network
		cp tools/system/70-nsroute.rules /run/udev/rules.d
		cp tools/system/10-nsroute.link tools/system/10-nsroute.network /run/systemd/network
		for link in nsr0 other0; do
			echo "== $link"
			udevadm test "/sys/class/net/$link" 2>/dev/null
		done
	END
	mkdir -p /run/udev /run/systemd
	run -0 unshare --mount ip netns exec "$host" bash "$work/look"
	ours=${output%%== other0*} others=${output##*== other0}
	[[ $ours == *NM_UNMANAGED=1* && $ours == *NSROUTE=1* ]]
	[[ $ours == *ID_NET_LINK_FILE=/run/systemd/network/10-nsroute.link* ]]
	[[ $ours == *ID_NET_NAME=nsr0* ]]
	[[ $others == *INTERFACE=other0* && $others != *NM_UNMANAGED* && $others != *nsroute* ]]
}
