#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# What scripts rely on of every command: exit codes, which stream carries what, errors as JSON.
# Fabrics are the business of the other files here.

# shellcheck disable=SC2154 # bats sets stderr and stderr_lines
bats_require_minimum_version 1.5.0

setup() {
	NSROUTE=${NSROUTE:-build/nsroute}
	namespace=
	# A host namespace that has no fabrics, whatever else this machine runs.
	if ((EUID == 0)); then
		namespace=nsr-cmd-$RANDOM$RANDOM
		ip netns add "$namespace"
	fi
}

teardown() {
	[[ -z $namespace ]] || ip netns del "$namespace"
}

need_root() {
	((EUID == 0)) || skip "needs root"
}

# Through an open file, because nobody may not walk to where it was built.
without_root() { # ARGUMENTS...
	setpriv --reuid 65534 --clear-groups --inh-caps=-all /proc/self/fd/9 "$@" 9<"$NSROUTE"
}

@test "no command, an unknown one and one that comes later are exit 1" {
	run -1 "$NSROUTE"
	run -1 --separate-stderr "$NSROUTE" aply
	[[ -z $output && $stderr == *"did you mean 'apply'?"* ]]
	run -1 --separate-stderr "$NSROUTE" xyzzy
	[[ $stderr != *"did you mean"* ]]
	run -1 --separate-stderr "$NSROUTE" metrics
	[[ $stderr == "nsroute: 'metrics' is not supported yet" ]]
}

@test "wrong options and arguments are exit 1, with the usage" {
	run -1 "$NSROUTE" --color=sometimes version
	run -1 "$NSROUTE" --netns
	run -1 "$NSROUTE" --nothing version
	for command in validate plan apply down; do
		run -1 --separate-stderr "$NSROUTE" "$command"
		[[ $stderr == *"usage: nsroute $command "* ]]
		run -1 --separate-stderr "$NSROUTE" "$command" --nothing x
		[[ $stderr == *"unknown option '--nothing'"* ]]
	done
	run -1 "$NSROUTE" show a b
	run -1 "$NSROUTE" stats a b
	run -1 "$NSROUTE" stats --watch=soon
	run -1 --separate-stderr "$NSROUTE" drops --reason spoofed-adress
	[[ $stderr == *"did you mean 'spoofed-address'?"* ]]
	run -1 "$NSROUTE" drops --count 0
	run -1 "$NSROUTE" drops --seconds soon
	run -1 "$NSROUTE" drops red
	run -1 "$NSROUTE" trace --from red
	run -1 "$NSROUTE" trace --to 192.0.2.1
	run -1 "$NSROUTE" trace --from red --in eth0 --to 192.0.2.1
	run -1 "$NSROUTE" trace --in eth0 --to 192.0.2.1:1
	run -1 "$NSROUTE" trace --from red --to 192.0.2.0/24
	run -1 "$NSROUTE" trace --from red --to 192.0.2.1:65536
	run -1 "$NSROUTE" trace --from red --to 192.0.2.1 --proto tcp
	run -1 "$NSROUTE" trace --from red --to 192.0.2.1:80 --proto icmp
	run -1 "$NSROUTE" trace --from red --to '[2001:db8::1:80' --proto udp
	run -1 "$NSROUTE" trace --from red --to 2001:db8::1 --source 192.0.2.1
	run -1 "$NSROUTE" trace --from red --to 192.0.2.1 --ttl 256
	run -1 "$NSROUTE" trace --from red --to 192.0.2.1 --proto gre
	run -1 "$NSROUTE" down --all name
}

@test "errors are one JSON object on standard error with -j, before the command or after it" {
	run -1 --separate-stderr "$NSROUTE" -j validate
	[[ -z $output ]]
	jq -e '.error | .code == "EINVAL" and .line == null and (.message | test("one file"))' \
		<<<"$stderr"
	for option in -j --json; do
		run -1 --separate-stderr "$NSROUTE" validate "$option"
		jq -e .error.message <<<"$stderr"
	done
}

@test "every command tells how to use it" {
	for command in validate plan apply confirm down show exec stats drops trace doctor netns link bridge addr route \
		completion help version; do
		run -0 "$NSROUTE" help "$command"
		[[ $output == "usage: nsroute $command"* ]]
		run -0 "$NSROUTE" "$command" --help
		[[ $output == "usage: nsroute $command"* ]]
	done
	run -0 "$NSROUTE" -j help
	jq -e '[.commands[] | select(.supported)] | length == 21' <<<"$output"
}

@test "version" {
	run -0 "$NSROUTE" version
	[[ $output == nsroute* ]]
	run -0 "$NSROUTE" -j version
	jq -e '.layout_version >= 1 and .version and .libbpf and .kernel' <<<"$output"
}

@test "a result that cannot be written is not a success" {
	for command in version help "-j version" "-j help"; do
		# shellcheck disable=SC2016,SC2086 # expanded inside; words
		run -2 bash -c '"$@" >/dev/full' _ "$NSROUTE" $command
		# shellcheck disable=SC2016,SC2086 # expanded inside; words
		run -2 bash -c '"$@" >&-' _ "$NSROUTE" $command
	done
}

@test "validate needs no file system but the file, and reports every error with its place" {
	run -0 --separate-stderr "$NSROUTE" validate - <<<$'version: 1\nname: t'
	[[ $output == *": valid: fabric 't', 0 networks, 0 namespaces, 0 links" ]]
	run -1 --separate-stderr "$NSROUTE" validate - <<<$'version: 1\nname: t\nx: 1\ny: 2'
	[[ -z $output && ${stderr_lines[0]} == "(standard input):3:1: "* && ${stderr_lines[1]} == "(standard input):4:1: "* ]]
	run -1 --separate-stderr "$NSROUTE" -j validate - <<<$'version: 1\nname: t\nx: 1\ny: 2'
	jq -e '.valid == false and [.errors[].line] == [3, 4]' <<<"$output"
	run -1 "$NSROUTE" validate /nonexistent/file
}

@test "without root the commands that need it say so" {
	need_root
	for arguments in "plan x" "apply x" "down x" show stats; do
		# shellcheck disable=SC2086 # words
		run -2 --separate-stderr without_root $arguments
		[[ $stderr == "nsroute: needs root (CAP_NET_ADMIN, CAP_BPF, CAP_SYS_ADMIN): run with sudo" ]]
	done
}

@test "no fabrics: show, stats and down --all have nothing to say" {
	need_root
	run -0 --separate-stderr "$NSROUTE" --netns "$namespace" show
	[[ -z $output && $stderr == "no fabrics" ]]
	run -0 "$NSROUTE" -j --netns "$namespace" show
	[[ $output == '{"fabrics":[]}' ]]
	run -0 "$NSROUTE" -j --netns "$namespace" stats
	[[ $output == '{"fabrics":[]}' ]]
	run -0 "$NSROUTE" --netns "$namespace" down --all
	run -1 "$NSROUTE" --netns "$namespace" show nothing
	run -1 "$NSROUTE" --netns "$namespace" stats nothing
	run -1 "$NSROUTE" --netns "$namespace" down nothing
	run -2 "$NSROUTE" --netns "$namespace-not" show
}

@test "exec: the command's exit code and signal, its namespace, its terminal" {
	need_root
	run -7 "$NSROUTE" exec "$namespace" -- sh -c 'exit 7'
	run -7 "$NSROUTE" exec "$namespace" sh -c 'exit 7'
	run -143 "$NSROUTE" exec "$namespace" -- sh -c 'kill -TERM $$'
	run -0 "$NSROUTE" exec "$namespace" -- readlink /proc/self/ns/net
	[[ $output == "net:[$(stat -L -c %i "/run/netns/$namespace")]" ]]
	run -0 "$NSROUTE" exec "$namespace" -- ls /sys/class/net
	[[ $output == lo ]]
	run -0 "$NSROUTE" exec "$namespace" -- stat -f -c %T /sys/fs/bpf
	[[ $output == bpf_fs || $(stat -f -c %T /sys/fs/bpf) != bpf_fs ]]
	run -0 script -qec "$NSROUTE exec $namespace -- tty" /dev/null
	[[ $output == /dev/* ]]
}

@test "exec: its own failures are 125, 126 and 127" {
	need_root
	run -125 "$NSROUTE" exec
	run -125 "$NSROUTE" exec "$namespace"
	run -125 "$NSROUTE" exec "$namespace-not" -- true
	run -126 "$NSROUTE" exec "$namespace" -- /etc/passwd
	run -127 "$NSROUTE" exec "$namespace" -- no-such-command
}

@test "doctor: findings with a mend, exit 3 when there is a problem" {
	run --separate-stderr "$NSROUTE" -j doctor
	problems=$(jq '[.findings[] | select(.status == "problem")] | length' <<<"$output")
	((status == (problems ? 3 : 0)))
	jq -e --argjson problems "$problems" '.problems == $problems' <<<"$output"
	jq -e 'all(.findings[]; .what and .where and .why and
		(.status != "problem" or .mend != null))' <<<"$output"
}

@test "doctor without root finds that, and leaves nothing behind" {
	need_root
	before=$(ip -o link | wc -l)
	run -3 --separate-stderr without_root -j doctor
	jq -e '.findings[] | select(.check == "privilege").status == "problem"' <<<"$output"
	[[ $(ip -o link | wc -l) == "$before" ]]
}
