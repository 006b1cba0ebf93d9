#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Namespaces that come and go all day: 100 of them, 20 times, leave nothing behind; and a container
# runtime (examples/container-runtime) that uses nsroute for its networks.
#
# What the whole machine has of something (memory, namespaces that the kernel is still ending) moves
# with whatever else runs, so it is awaited, and limits are far above that and far below what a leak
# of 2,000 namespaces would be.

# shellcheck disable=SC2154 # bats sets output; fabric.bash the names
load fabric

bats_require_minimum_version 1.5.0

readonly TIMES=20 COUNT=100

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
	[[ ! -e $work/runtime ]] || runtime clean || true
	clean_up
}

kernel_namespaces() {
	awk '$1 == "net_namespace" { print $2 }' /proc/slabinfo
}

# Of the kernel's own memory, which no file cache is part of.
kernel_kib() {
	awk '/^(SUnreclaim|Percpu|KernelStack):/ { n += $2 } END { print n }' /proc/meminfo
}

open_files() {
	cut -f 1 /proc/sys/fs/file-nr
}

bpf_objects() {
	echo $(($(bpftool -j prog | jq '[.[] | select(.name // "" | startswith("nsr_"))] | length') +
		$(bpftool -j map | jq '[.[] | select(.name // "" | startswith("nsr_"))] | length')))
}

links() {
	ip -n "$host" -o link | wc -l
}

take_counts() {
	namespaces_before=$(kernel_namespaces) kib_before=$(kernel_kib) files_before=$(open_files)
	bpf_before=$(bpf_objects) mounts_before=$(wc -l </proc/self/mountinfo) links_before=$(links)
	names_before=$(find /run/netns -mindepth 1 | wc -l)
}

await_at_most() { # WHAT LIMIT COMMAND
	local i
	for ((i = 0; i < 300; i++)); do
		(($($3) > $2)) || return 0
		sleep 0.2
	done
	echo "$1: $($3), not at most $2" >&2
	return 1
}

names() { find /run/netns -mindepth 1 | wc -l; }
mounts() { wc -l </proc/self/mountinfo; }

assert_no_leak_since() {
	await_at_most links "$links_before" links
	await_at_most names "$names_before" names
	await_at_most mounts "$mounts_before" mounts
	await_at_most "namespaces in the kernel" $((namespaces_before + 300)) kernel_namespaces
	await_at_most "open files" $((files_before + 1000)) open_files
	await_at_most "programs and maps" "$bpf_before" bpf_objects
	await_at_most "KiB of the kernel" $((kib_before + 65536)) kernel_kib
}

@test "100 namespaces applied and taken down 20 times leave nothing" {
	local i
	put_many "$COUNT"
	lab apply "$topology"
	find_cookie
	lab down many # what is made once for all stays: caches, BTF
	take_counts
	for ((i = 0; i < TIMES; i++)); do
		lab apply "$topology"
		[[ $(test_namespaces | wc -l) == $((COUNT + 2)) ]]
		lab down many
		[[ ! -e /run/nsroute/$cookie && ! -e /sys/fs/bpf/nsroute/$cookie ]]
	done
	assert_as_before
	assert_no_leak_since
}

@test "100 namespaces edited in and out of a file 20 times leave nothing and harm nobody" {
	local i pinger transmitted received
	put_many 2
	cp "$topology" "$work/two"
	lab apply "$topology"
	find_cookie
	put_many $((COUNT + 2))
	cp "$topology" "$work/all"
	cp "$work/all" "$topology" && lab apply "$topology"
	cp "$work/two" "$topology" && lab apply "$topology"
	take_counts
	ip netns exec "n1-$suffix" ping -n -q -i 0.05 -W 5 10.20.1.2 >"$work/pinged" 3>&- &
	pinger=$!
	for ((i = 0; i < TIMES; i++)); do
		cp "$work/all" "$topology"
		lab apply "$topology"
		[[ $(test_namespaces | wc -l) == $((COUNT + 4)) ]]
		pings "n2-$suffix" "10.20.1.$((COUNT + 2))" -c 1
		cp "$work/two" "$topology"
		lab apply "$topology"
		[[ $(test_namespaces | wc -l) == 4 ]]
	done
	sleep 0.5
	kill -INT "$pinger"
	wait "$pinger"
	read -r transmitted received < <(sed -nE \
		's/^([0-9]+) packets transmitted, ([0-9]+) received.*/\1 \2/p' "$work/pinged")
	((transmitted > 50 && received >= transmitted - 1)) # the last one may be on its way
	run -0 lab plan "$topology"
	assert_no_leak_since
	# The record does not grow with what has come and gone.
	(($(wc -c <"/run/nsroute/$cookie/many.record") < 131072))
	lab down many
	assert_as_before
}

runtime() { # ARGUMENTS...
	STATE=$work/runtime FABRIC=rt-$file_suffix HOST_NETNS=$host NSROUTE=$(realpath "$NSROUTE") \
		SUBNET=10.88.0.0/16 examples/container-runtime "$@" 3>&-
}

@test "12: a container runtime uses nsroute for its networks" {
	local i server
	runtime start "one-$suffix" sleep 600
	runtime start "two-$suffix" sleep 600
	find_cookie
	two=$(lab exec "c-two-$suffix" -- ip -4 -o address show dev eth0 | awk '{ print $4 }')
	ip netns exec "c-two-$suffix" iperf3 -s -1 >/dev/null 2>&1 3>&- &
	server=$!
	await_listener "c-two-$suffix" tcp 5201
	ip netns exec "c-one-$suffix" iperf3 -t 20 -b 20M -C cubic -c "${two%/*}" -J \
		>"$work/iperf" 2>&1 3>&- &
	client=$!
	for ((i = 0; i < 3; i++)); do # others come and go while the two talk
		runtime start "three-$suffix" sleep 600
		runtime start "four-$suffix" sh -c "ip -o link show eth0; exec sleep 600"
		run -0 runtime list
		[[ $(grep -c running <<<"$output") == 4 ]]
		runtime stop "three-$suffix"
		runtime stop "four-$suffix"
	done
	[[ $(lab exec "c-two-$suffix" -- ip -4 -o address show dev eth0 | awk '{ print $4 }') == "$two" ]]
	wait "$client"
	wait "$server"
	jq -e '.end.sum_received.bytes > 0 and (.error == null) and
		([.intervals[].sum.bytes] | min > 0)' "$work/iperf"
	kill -9 "$(<"$work/runtime/one-$suffix.container")" # by force: the runtime is not asked
	for ((i = 0; i < 50; i++)); do
		[[ $(runtime list) != *"one-$suffix ended"* ]] || break
		sleep 0.1
	done
	((i < 50))
	runtime stop "one-$suffix"
	runtime clean
	rm -r "$work/runtime"
	assert_as_before
}
