#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# A command in a namespace of a fabric is as if nsroute was not there: status, signals, terminal,
# streams; and it sees the network that is its own. commands.bats has what needs no fabric.

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
	red=red-$suffix blue=blue-$suffix
	cat >"$topology" <<-END
		version: 1
		name: pair
		namespaces: {$red: {}, $blue: {}}
		links:
		  - {endpoints: ["$red:p0", "$blue:p0"], addresses: [10.0.0.1/30, 10.0.0.2/30]}
	END
}

teardown() {
	rm -rf "/etc/netns/red-$suffix"
	[[ -z ${made_folder-} ]] || rmdir /etc/netns
	clean_up
}

inside() { # COMMAND...
	"$NSROUTE" exec "$red" -- "$@"
}

@test "status, streams and traffic pass through" {
	lab apply "$topology"
	run -0 inside ping -n -c 1 -W 3 10.0.0.2
	for code in 0 1 2 124 125 255; do
		run -"$code" inside sh -c "exit $code"
	done
	run -0 --separate-stderr inside sh -c 'cat; echo error >&2' <<<input
	[[ $output == input && $stderr == error ]]
	run -0 --separate-stderr "$NSROUTE" exec "$red" printf '%s,' -c 'a b' '' -- "\$HOME"
	[[ $output == "-c,a b,,--,\$HOME," ]]
}

@test "nsroute's own failures are 125, 126 and 127" {
	lab apply "$topology"
	run -125 --separate-stderr "$NSROUTE" exec "$red"
	[[ -z $output && -n $stderr ]]
	run -125 --separate-stderr "$NSROUTE" exec "no-$suffix" -- true
	[[ $stderr == *"no-$suffix"* ]]
	touch "$work/not-executable"
	run -126 --separate-stderr inside "$work/not-executable"
	[[ $stderr == *not-executable* ]]
	run -126 inside /
	run -127 --separate-stderr inside no-such-command
	[[ $stderr == *no-such-command* ]]
	run -127 inside /no/such/command
}

@test "a signal to nsroute is a signal to the command" {
	lab apply "$topology"
	for signal in TERM INT HUP KILL; do
		# In the background a shell ignores SIGINT, and what it starts inherits that.
		env --default-signal=INT "$NSROUTE" exec "$red" -- sleep 60 3>&- &
		command=$!
		for ((i = 0; i < 100; i++)); do
			[[ $(</proc/$command/comm) != sleep ]] || break
			sleep 0.02
		done
		[[ $(ip netns pids "$red") == "$command" ]]
		kill -s "$signal" "$command"
		status=0
		wait "$command" || status=$?
		((status == 128 + $(kill -l "$signal")))
		[[ -z $(ip netns pids "$red") ]]
	done
	# It can be caught as well.
	run -7 inside sh -c 'trap "exit 7" TERM; kill -TERM $$; sleep 5'
}

@test "the terminal stays the command's" {
	type -P script >/dev/null || skip "no script(1)"
	lab apply "$topology"
	run -0 script -qec "$NSROUTE exec $red -- tty" /dev/null
	[[ $output == /dev/pts/* ]]
	# It is in the foreground: it may read from its terminal, and has a size to draw on.
	run -0 script -qec "$NSROUTE exec $red -- sh -c 'test -t 0 && stty size && ps -o stat= -p \$\$'" /dev/null
	[[ $output == *+* ]]
	run -0 inside sh -c 'test -t 0 || echo none' </dev/null
	[[ $output == none ]]
}

@test "inside are the namespace's /sys, the machine's bpffs, the same root" {
	lab apply "$topology"
	run -0 inside ls /sys/class/net
	[[ $output == $'lo\np0' ]]
	run -0 inside cat /sys/class/net/p0/operstate
	[[ $output == up ]]
	run -0 inside stat -f -c %T /sys/fs/bpf
	[[ $output == bpf_fs ]]
	# The same one: what is pinned here is seen there.
	mkdir "/sys/fs/bpf/test-$suffix"
	run inside ls -d "/sys/fs/bpf/test-$suffix"
	rmdir "/sys/fs/bpf/test-$suffix"
	((status == 0))
	run -0 inside ls -d "$work"
	run -0 inside pwd
	[[ $output == "$PWD" ]]
	# Mounts made for it are its own.
	mounts=$(grep -v /run/netns/ /proc/self/mountinfo)
	inside true
	[[ $(grep -v /run/netns/ /proc/self/mountinfo) == "$mounts" ]]
}

@test "files of /etc/netns/NAME stand in for those in /etc" {
	lab apply "$topology"
	before=$(</etc/passwd)
	[[ -d /etc/netns ]] || made_folder=1
	mkdir -p "/etc/netns/$red"
	echo "seven:x:7007:7007::/:/bin/false" >"/etc/netns/$red/passwd"
	run -0 inside cat /etc/passwd
	[[ $output == "seven:x:7007:7007::/:/bin/false" ]]
	run -0 inside getent passwd seven
	[[ $output == "seven:x:7007:"* ]]
	run -0 "$NSROUTE" exec "$blue" -- cat /etc/passwd
	[[ $output == "$before" ]]
	[[ $(</etc/passwd) == "$before" ]]
}
