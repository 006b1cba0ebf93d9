#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What a machine can do to nsroute, and what others can: two at once, full and read-only file
# systems, names that are taken, links and namespaces that vanish, records that are no records. Each
# has its message, leaves the host as it was, and touches nothing that is not ours.

# shellcheck disable=SC2154 # bats sets output and stderr; fabric.bash and faults.bash the names
load fabric
load faults

setup_file() {
	new_suffix
}

teardown_file() {
	assert_nothing_left
}

setup() {
	new_host
	put_fabric
	put_edited
	host_state >"$work/before"
}

teardown() {
	[[ -z ${stopped-} ]] || kill -CONT "$stopped" 2>/dev/null || true
	clean_up
}

up() {
	lab apply "$topology"
	find_cookie
}

# Sets cookie to that of a host namespace that has no fabric.
know_cookie() {
	up
	lab down lab
}

# Runs commands of the shell in a mount namespace of its own, where they can do what they like to
# file systems. $nsroute there is the program, on the host namespace.
in_own_mounts() { # COMMANDS
	nsroute="$NSROUTE --netns $host" topology=$topology cookie=${cookie-} \
		unshare --mount --propagation private bash -euc "$1"
}

# Where some processes keep their namespaces to themselves, even from root, none of them has ours.
orphans() {
	NSROUTE_FAULT=blind "$NSROUTE-faults" down --orphans
}

# apply is refused with these words and this code and the place; the host stays as it is; then the
# obstacle goes.
refused() { # WORDS CODE COMMAND...
	host_state >"$work/taken"
	run -2 --separate-stderr lab apply "$topology"
	echo "$stderr"
	[[ -z $output && $stderr == "$topology":[0-9]*:[0-9]*:*"$1"* ]]
	run -2 --separate-stderr lab -j apply "$topology"
	jq -e --arg code "$2" '.error | .code == $code and .line' <<<"$stderr"
	host_state | diff "$work/taken" -
	run -0 lab show
	[[ $output == "no fabrics" ]]
	shift 2
	"$@"
}

@test "two at once: the second waits for the first, and finds its work done" {
	count_points apply "$topology"
	lab down lab
	stop_at $((changes / 2)) apply "$topology"
	"$NSROUTE" --netns "$host" apply "$topology" >"$work/second" 2>&1 3>&- &
	second=$!
	sleep 0.5
	kill -0 "$second"
	[[ ! -s $work/second ]]
	go_on
	wait "$second"
	[[ $(<"$work/second") == "fabric 'lab': nothing to do" ]]
	assert_whole
	find_cookie
	lab down lab
	assert_as_before
}

@test "a namespace that a fabric of another host namespace has: refused, and said whose it is" {
	up
	cat >"$edited" <<-END
		version: 1
		name: lab
		networks: {v-net-5: {subnets: [192.168.55.0/24]}}
		namespaces: {$red: {interfaces: {eth0: {network: v-net-5}}}}
	END
	for name in lab other; do
		sed -i "s/^name: .*/name: $name/" "$edited"
		run -2 "$NSROUTE" --netns "$outside" apply "$edited"
		[[ $output == *"namespace '$red' belongs to fabric 'lab' of host namespace '$host' (nsroute --netns $host); choose another name"* ]]
	done
	assert_whole
	lab down lab
	# Nobody has it, whatever mark it bears.
	new_namespace "$red"
	ip -n "$red" link set lo alias nsroute:other
	run -2 "$NSROUTE" --netns "$outside" apply "$edited"
	[[ $output == *"namespace '$red' has our mark but no record says that fabric 'other' made it"* ]]
	ip netns del "$red"
	assert_as_before
}

@test "a full disk: undone when there is no room for the record, and down needs none" {
	know_cookie
	put_many 60
	# Room for the lock, and for a part of the record.
	run -0 in_own_mounts '
		mount -t tmpfs -o size=8k,mode=700 tmpfs /run/nsroute
		! $nsroute apply "$topology" || exit 9
		ls /run/nsroute
	'
	[[ $output == *"cannot write the record in /run/nsroute: No space left on device"*lock ]]
	[[ $output == *"$topology:"* && $output != *"could not be undone"* ]]
	assert_as_before

	put_fabric
	run -0 in_own_mounts '
		mount -t tmpfs -o size=64k,mode=700 tmpfs /run/nsroute
		$nsroute apply "$topology"
		dd if=/dev/zero of=/run/nsroute/ballast bs=1k status=none || true
		$nsroute down lab
		ls /run/nsroute
	'
	[[ $output == *"fabric 'lab': removed"*$'\nballast\nlock' ]]
	assert_as_before
}

@test "a read-only /run: refused, nothing is touched" {
	know_cookie
	run -0 --separate-stderr in_own_mounts '
		mount -t tmpfs -o ro tmpfs /run/nsroute
		! $nsroute apply "$topology" || exit 9
		! $nsroute down lab || exit 9
		$nsroute plan "$topology" >/dev/null || test $? == 3
	'
	[[ $stderr == *"cannot open /run/nsroute/lock: Read-only file system"* ]]
	assert_as_before
	run -0 in_own_mounts '
		mount -o remount,bind,ro /run/netns
		$nsroute apply "$topology" || test $? == 2
	'
	[[ $output == *"cannot create namespace '$red': "*"Read-only file system"* ]]
	assert_as_before
}

@test "no bpffs, and one that is read-only: said before anything stays" {
	know_cookie
	run -0 in_own_mounts '
		mount -t tmpfs tmpfs /sys/fs/bpf
		$nsroute apply "$topology" || test $? == 2
	'
	[[ $output == *"no bpffs is mounted at /sys/fs/bpf: mount it with 'mount -t bpf bpf /sys/fs/bpf'"* ]]
	assert_as_before
	run -0 in_own_mounts '
		mount -t bpf -o ro bpf /sys/fs/bpf
		$nsroute apply "$topology" || test $? == 2
	'
	[[ $output == *"/sys/fs/bpf/nsroute"*"Read-only file system"* ]]
	assert_as_before
	# A fabric that is up, and its pins out of sight: all goes but the pins, and a warning says so.
	up
	run -0 in_own_mounts '
		mount -t tmpfs tmpfs /sys/fs/bpf
		$nsroute down lab
	'
	echo "$output"
	lab down --all
	assert_as_before
}

@test "few descriptors, and little memory to lock: refused with the reason, nothing stays" {
	know_cookie
	for limit in 8 10 12 16 20 24 32 40 48; do
		run bash -c "ulimit -n $limit; exec \"\$@\"" - "$NSROUTE" --netns "$host" apply "$topology"
		echo "$limit: $status $output"
		((status == 2))
		[[ $output == *"Too many open files"* ]]
		assert_as_before
	done
	run -0 bash -c "ulimit -l 0; exec \"\$@\"" - "$NSROUTE" --netns "$host" apply "$topology"
	for limit in 8 12 16 20 24 32; do
		run bash -c "ulimit -n $limit; exec \"\$@\"" - "$NSROUTE" --netns "$host" down lab
		echo "$limit: $status $output"
		((status == 2 || status == 4))
		[[ $output == *"Too many open files"* ]]
	done
	lab down --all
	assert_as_before
}

@test "names that are taken: a namespace, a link, an address, an alternative name" {
	ip -n "$host" link add h0 type bridge
	refused "h0" EEXIST ip -n "$host" link del h0
	ip -n "$host" link property add dev eth0 altname h0
	refused "h0" EEXIST ip -n "$host" link property del dev eth0 altname h0
	ip netns add "$blue"
	refused "namespace '$blue' exists already and is not ours" EEXIST ip netns del "$blue"
	ip -n "$host" address add 192.168.15.77/24 dev eth0
	refused "192.168.15.77" EEXIST ip -n "$host" address del 192.168.15.77/24 dev eth0
	: >"/run/netns/$red"
	refused "namespace '$red' exists already" EEXIST rm "/run/netns/$red"
	ln -s "$red" "/run/netns/$red"
	refused "namespace '$red' exists already" EEXIST rm "/run/netns/$red"
	mkdir "/run/netns/$red"
	refused "namespace '$red' exists already" EEXIST rmdir "/run/netns/$red"
	host_state | diff "$work/before" -
}

@test "a host namespace that is gone: what it left is removed, and what another made again is not" {
	[[ $(stat -L -c %i /proc/self/ns/pid) == 4026531836 ]] || skip "in a pid namespace"
	up
	run lab down --orphans
	echo "$output"
	((status == 0)) || [[ $output == *"not all processes"* ]]
	run -0 orphans
	[[ -z $output ]]
	assert_whole
	ip netns del "$host"
	for ((i = 0; i < 50; i++)); do
		[[ -e /run/netns/$red ]] # it has a name of its own
		run -0 orphans
		[[ -z $output ]] || break # the kernel ends namespaces a moment later
		sleep 0.1
	done
	[[ $output == *"fabric 'lab': removed"* ]]
	[[ ! -e /run/netns/$red && ! -e /etc/netns/$red ]]
	[[ ! -e /sys/fs/bpf/nsroute/$cookie && ! -e /run/nsroute/$cookie ]]

	# Two hosts one after the other, the second after "ip netns del" of what the first left.
	new_namespace "$host"
	sed -i 's/, masquerade: eth0//; /publish:/d' "$topology"
	up
	gone=$cookie
	ip netns del "$host"
	ip netns del "$red"
	ip netns del "$blue"
	ip netns del "$yellow"
	new_namespace "$host"
	rm -rf "/etc/netns/$red"
	lab apply "$topology"
	for ((i = 0; i < 50; i++)); do
		run -0 orphans
		[[ -z $output ]] || break
		sleep 0.1
	done
	[[ ! -e /run/nsroute/$gone ]]
	find_cookie
	assert_whole
	pings "$red" 192.168.15.12
}

@test "links and namespaces that somebody deleted: apply puts them back, down misses nothing" {
	up
	port=$(bridge -n "$host" -j link | jq -r '.[0].ifname')
	for deleted in "ip -n $host link del $port" "ip -n $red link del eth0" \
		"ip -n $host link del v-net-0" "ip -n $host link del h0" "ip netns del $blue"; do
		$deleted
		run -3 lab plan "$topology"
		lab apply "$topology"
		assert_whole
		$deleted
		lab down lab
		assert_as_before
		lab apply "$topology"
	done
	# One that a process is in lives on without its name.
	start_sleeper "$blue"
	ip netns del "$blue"
	lab apply "$topology"
	assert_whole
	pings "$red" 192.168.15.12
	ip netns del "$blue"
	lab down lab
	assert_as_before
	kill "$sleeper"
}

@test "records that are no records: the file is named, nothing is touched" {
	up
	record=/run/nsroute/$cookie/lab.record
	cp "$record" "$work/record"
	settle
	host_state >"$work/up"
	echo "garbage" >>"$record"
	for command in "down lab" "plan $topology" "apply $topology" "show"; do
		# shellcheck disable=SC2086 # words
		run -2 lab $command
		[[ $output == *"$record has a line that is not understood; delete it there"*garbage* ]]
	done
	head -c 3000 /dev/urandom >"$record"
	run -2 lab down --all
	[[ $output == *"$record"* ]]
	# That of another fabric stops this one too: what it lives on is not known.
	cp "$work/record" "$record"
	echo "garbage" >"${record%/*}/other.record"
	run -2 lab apply "$topology"
	[[ $output == *"${record%/*}/other.record"*"delete it there"* ]]
	rm "${record%/*}/other.record"
	host_state | diff "$work/up" -

	# Ended in the middle of a line, as by a killed process: what is whole counts.
	printf '{"kind":"link","na' >>"$record"
	run -0 lab show
	lab apply "$topology"
	assert_whole
	lab down lab
	assert_as_before

	# An empty one tells of a fabric with nothing in it.
	mkdir -p "${record%/*}"
	: >"$record"
	run -0 lab show
	lab apply "$topology"
	assert_whole
	lab down lab
	assert_as_before
}

assert_foreign() { # NAMESPACE
	ip -n "$host" link show foreign0
	[[ $(ip -n "$host" address show dev eth0) == *203.0.113.77* ]]
	[[ $(tc -n "$host" qdisc show dev eth0) == *"pfifo 7: root"* ]]
	[[ $(tc -n "$host" filter show dev eth0 ingress) == *"pref 7 "* ]]
	[[ $(ip -n "$host" neighbour show 203.0.113.99) == *PERMANENT* ]]
	[[ $(ip netns list) == *"$1"* ]]
	[[ $(<"/etc/netns/$1/hosts") == mine ]]
}

@test "what is not ours stays as it is through apply, edit and down" {
	other=other-$suffix
	new_namespace "$other"
	ip -n "$host" link add foreign0 type veth peer name foreign1 netns "$other"
	ip -n "$host" address add 198.18.0.1/24 dev foreign0
	ip -n "$host" address add 203.0.113.77/32 dev eth0
	ip -n "$host" link set foreign0 up alias "nsroute:other"
	ip -n "$other" link set foreign1 up
	ip -n "$host" route add 198.18.9.0/24 via 198.18.0.2
	ip -n "$host" neighbour add 203.0.113.99 lladdr 02:00:00:00:00:99 dev eth0 nud permanent
	ip -n "$host" rule add from 198.18.9.9 lookup 99
	tc -n "$host" qdisc add dev eth0 root handle 7: pfifo limit 50
	tc -n "$host" qdisc add dev eth0 clsact
	tc -n "$host" filter add dev eth0 ingress prio 7 handle 1 bpf bytecode '1,6 0 0 0,'
	on "$host" sysctl -qw net.ipv4.conf.eth0.log_martians=1
	mkdir -p "/etc/netns/$other"
	echo mine >"/etc/netns/$other/hosts"
	settle
	host_state >"$work/before"
	start_capture "$outside" eth0
	up
	lab apply "$edited"
	assert_foreign "$other"
	lab apply "$topology"
	assert_foreign "$other"
	lab down lab
	assert_as_before
	rm -r "/etc/netns/$other"
}

@test "an uplink whose filters are in a shared block is refused" {
	tc -n "$host" qdisc add dev eth0 ingress_block 21 egress_block 22 clsact ||
		skip "no shared blocks in this kernel"
	refused "shared block" EEXIST tc -n "$host" qdisc del dev eth0 clsact
	host_state | diff "$work/before" -
}
